// Command esdk encrypts and decrypts files in the message format of the AWS
// Encryption SDK. Its inputs are files, pipes, directories and objects of S3.
//
//	esdk encrypt -k local backup.tar            writes backup.tar.encrypted
//	esdk decrypt -k local backup.tar.encrypted  writes backup.tar
//	tar c docs | esdk encrypt -k aes:corp/backup@backup.key -c kind=docs > docs.tar.encrypted
//	esdk inspect docs.tar.encrypted
//
// The key "local" is made on first use, in the user's configuration directory.
// "esdk keys" explains the other kinds of keys, such as the ARN of a key of AWS
// KMS.
//
// The commands are:
//
//   - encrypt, decrypt, and verify, which decrypts and writes nothing
//   - inspect, which shows the header of a message, and audit, which reports the
//     messages under each key; both work without a key
//   - reencrypt, which encrypts messages under other keys
//   - keygen, keys and keystore, which make and manage keys
//   - compat, which takes the arguments of aws-encryption-cli
//   - vectors, which runs and writes test vectors
//
// "esdk help COMMAND" lists the flags of a command. docs/cli.md describes the
// command, and "esdk help safety" its guarantees for files and plaintext.
package main

import (
	"context"
	"os"
)

func main() { os.Exit(run()) }

// run is main without the exit, for tests that start the command in their own
// process image.
func run() int {
	disableCoreDumps()
	app := newApp()
	app.handleSignals()
	args := os.Args[1:]
	if isCompatName(os.Args[0]) {
		args = append([]string{"compat"}, args...)
	}
	return app.execute(context.Background(), args)
}
