// Package cdk is the programs through which the command esdk reaches the key
// services of the Go CDK. Each imports one driver and calls [Main]:
//
//	esdk-keeper-SCHEME encrypt|decrypt SCHEME://KEY <input >output
//
// To add a service that has a driver, write such a program and put it on the PATH.
package cdk

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"gocloud.dev/secrets"
)

// maxInput is the most that is read: an encrypted data key holds no more.
const maxInput = 1<<16 - 1

// timeout is how long a key service may take.
const timeout = time.Minute

// Main encrypts or decrypts standard input, as the command line says, and exits.
func Main() {
	// A driver may heed no context, as that of Vault, which waits for ever.
	time.AfterFunc(timeout, func() {
		fmt.Fprintln(os.Stderr, "the key service has not answered in", timeout)
		os.Exit(1)
	})
	if err := run(context.Background(), os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) != 2 || args[0] != "encrypt" && args[0] != "decrypt" {
		return fmt.Errorf("usage: %s encrypt|decrypt URL; it is for the command esdk to run", os.Args[0])
	}
	k, err := secrets.OpenKeeper(ctx, args[1])
	if err != nil {
		return err
	}
	defer k.Close()
	input, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if err != nil {
		return err
	}
	if len(input) > maxInput {
		return fmt.Errorf("the input has more than %d bytes", maxInput)
	}
	call := k.Encrypt
	if args[0] == "decrypt" {
		call = k.Decrypt
	}
	output, err := call(ctx, input)
	if err != nil {
		return err
	}
	_, err = out.Write(output)
	return err
}
