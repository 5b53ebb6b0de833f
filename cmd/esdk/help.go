package main

import (
	"fmt"
	"strings"

	"esdk"
	"esdk/cmd/esdk/internal/keyspec"
	"github.com/spf13/cobra"
)

// helpTopics returns the pages of help that belong to no command.
func helpTopics() []*cobra.Command {
	return []*cobra.Command{
		{Use: "suites", Short: "The algorithm suites", Long: helpSuites()},
		{Use: "config", Short: "The configuration file with named keys", Long: helpConfigIntro + keyspec.ConfigHelp() + helpConfigOutro},
		{Use: "exit-codes", Short: "What the exit status means", Long: helpExitCodes},
		{Use: "objects", Short: "Objects of S3 and other stores as inputs and outputs", Long: helpObjects},
		{Use: "safety", Short: "What the command promises about files and plaintext", Long: helpSafety},
	}
}

const helpConfigIntro = `Named keys, for -k @NAME, stand in a TOML file: --config FILE, or $ESDK_CONFIG if that
is not empty, or esdk/config.toml in the user's configuration directory. It is never
looked for in the working directory, and a file that is named must be there. Keys
that it does not know are errors, and so are empty values of what is used. Paths may
start with ~/, and relative ones start at the file's directory.

`

const helpConfigOutro = `The type local needs no field but type; with file, it is a copy of a local key.
"esdk keys list" lists the keys, "esdk keys show NAME" shows one with its paths
resolved, and "esdk keys test NAME" tries it.

A profile has values for flags that are not given. It is named by --profile, or
$ESDK_PROFILE, or default-profile; --profile= and an empty $ESDK_PROFILE stand for
none. To decrypt, its public keys are passed over, and to encrypt kms-discovery.

  default-profile = "prod"

  [profiles.prod]
  keys = ["@app", "@backup"]
  context = { env = "prod" }     # stored on encryption, demanded on decryption
  commitment = "require-encrypt-require-decrypt"
  unsigned = true                # or suite = "…"
  frame-length = 65536
  max-keys = 3
  cache = "max-age=60s,max-messages=100"
  jobs = 4
`

const helpExitCodes = `  0    all went well
  1    another error
  2    the command line or the configuration is wrong, or a flag names a file or
       directory that isn't there or can't be opened
  3    of several inputs, or those of a directory, list, inventory or shard, some
       failed; or something matches, with audit --fail-if
  4    the message is not authentic: changed, cut short or malformed
  5    none of the keys could decrypt a data key
  6    the encryption context is not as given
  7    refused by a policy or a limit: commitment, --unsigned-only, --max-keys, --max-frame
  8    refused to write: the output exists, is the input, or is a terminal
  9    a key service or store could not be reached: the same may go well later
  130  interrupted

New codes may be added: treat those that you do not know as failures. With
--json, the last line of standard error is {"error":{"code":…,"kind":…,"message":…}},
with "retryable":true if the same may go well later.
`

const helpObjects = `A FILE, and what -o names, may be an object in a bucket:

  s3://BUCKET/KEY[?PARAMETERS]        Amazon S3, and stores that speak as it does
  gs://BUCKET/KEY[?PARAMETERS]        Google Cloud Storage, in the full build
  azblob://CONTAINER/KEY[?PARAMETERS] Azure Blob Storage, in the full build
  file:///PATH                        the file PATH

An empty KEY, or one that ends in a slash, is a folder: with -r all objects whose
keys begin so are taken, and -o puts results below it. In a URL, %25, %3F and %23
stand for a percent sign, a question mark and a number sign.

  esdk encrypt -k @app -o s3://backups/2026/ db.dump
  pg_dump app | esdk encrypt -k @app -o 's3://backups/app.encrypted?part-size=64M'
  esdk decrypt -r -k @app -o restored/ s3://backups/2026/
  esdk reencrypt -r --from-key @old -k @new --in-place s3://backups/
  esdk decrypt -k @app --range 1G:64K s3://backups/disk.img.encrypted > part

--inventory s3://…/manifest.json takes the objects in an S3 Inventory, CSV or Parquet,
instead of a listing; the manifest may also be a file, with its data files near it.
Versions that are not the latest are skipped, but for --all-versions of "esdk verify",
"esdk inspect" and "esdk audit". --shard I/N takes one of N parts of the inputs, by a hash of the
name, and env/N the one whose index AWS Batch or Kubernetes has set:

  esdk reencrypt --from-key @old -k @new --in-place --shard env/100 --inventory s3://…

An object appears when all of it was written and verified, and not at all if that
fails: what was uploaded by then is removed. An existing one stays, unless --force
is given: the store itself is asked to see to that. What an interrupted run has
done, --no-clobber skips.

Objects are streamed. They are uploaded in parts of 8 MiB, and more if they are
longer than 39 GiB; what comes from a pipe in parts of 16 MiB, which is enough for
156 GiB. The parameter part-size says otherwise: there are 10000 parts at most, and
up to 5 are in memory. An object that is replaced while it is read is begun again,
three times at most; a connection that breaks off is taken up again.

For S3, storageclass and tags are of what is made, and versionId reads a version.
Stores that are like S3 may want use_path_style=true,
request_checksum_calculation=when_required or conditional-writes=false.

Other parameters are those of the Go CDK, such as region, profile, endpoint,
use_path_style, ssetype and kmskeyid for S3. Without them, credentials, Region and
endpoint are those of the environment and files that the SDK of each store reads,
such as AWS_REGION, AWS_PROFILE and AWS_ENDPOINT_URL_S3.
`

const helpSafety = `  - A file appears under its name only when all of it is written, verified and on
    the disk. Until then it has no name on Linux, where the file system can do
    that, and nothing is left even by kill -9. Else it is a temporary file
    .NAME.esdk-NUMBER in the same folder, readable by its owner only, which an
    error or a signal removes.
  - An object of S3 or another store appears only when all of it is uploaded and
    verified; see "esdk help objects".
  - An existing file is never replaced without --force, and never by a command
    that fails.
  - Decrypted files can be read by their owner only. Encrypted ones have the mode
    that the umask gives. Folders that are made for them are as open, but no more
    than those of the inputs.
  - To standard output, plaintext goes when all of the message was verified, or
    from a pipe, frame by frame as each was; see --release of "esdk decrypt".
  - With -r, nothing outside of the folders is read or written, whatever symbolic
    links are in them or come up while the command runs. Links, devices and pipes
    are skipped and counted; --symlinks follow takes links that stay inside.
  - Binary data does not go to a terminal, unless -o - is given.
  - An input, or a key or configuration file that is named, is never an output.
  - -c of "esdk decrypt" is checked before any key is used.
  - Messages with more than 32 encrypted data keys or frames of more than 64 MiB
    are refused, unless --max-keys and --max-frame allow them.
`

func helpSuites() string {
	var b strings.Builder
	b.WriteString("--suite takes the id or the name; the part IV12_TAG16_ may be left out.\n\n")
	for _, id := range esdk.Suites() {
		var notes []string
		if id.Commits() {
			notes = append(notes, "commits to the key")
		}
		if id.Signed() {
			notes = append(notes, "signed")
		}
		switch id {
		case esdk.AES256GCMHKDFSHA512CommitECDSAP384:
			notes = append(notes, "the default")
		case esdk.AES256GCMHKDFSHA512Commit:
			notes = append(notes, "--unsigned")
		}
		fmt.Fprintf(&b, "  0x%04x  %-46s %s\n", uint16(id), id, strings.Join(notes, ", "))
	}
	b.WriteString("\nSuites that do not commit need --commitment forbid-encrypt-allow-decrypt to encrypt,\nand require-encrypt-allow-decrypt to decrypt.\n")
	return b.String()
}
