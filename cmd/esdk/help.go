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
		{Use: "exit-codes", Short: "The exit status", Long: helpExitCodes},
		{Use: "objects", Short: "Objects of S3 and other stores as inputs and outputs", Long: helpObjects},
		{Use: "safety", Short: "The guarantees for files and plaintext", Long: helpSafety},
	}
}

const helpConfigIntro = `Named keys, for -k @NAME, are defined in a TOML file: --config FILE, or $ESDK_CONFIG
if that is not empty, or esdk/config.toml in the user's configuration directory. The
working directory is never searched, and a file that is named must exist. Unknown
fields are errors, and so are empty values of fields that are used. Paths can start
with ~/, and relative paths start at the directory of the file.

`

const helpConfigOutro = `The type local needs only the field type. With the field file, it is a copy of a
local key. "esdk keys list" lists the keys, "esdk keys show NAME" shows one with its
paths resolved, and "esdk keys test NAME" tries it.

A profile has values for flags that are not given. It is named by --profile, by
$ESDK_PROFILE or by default-profile. --profile= or an empty $ESDK_PROFILE selects no
profile. Decryption ignores the profile's public keys, and encryption ignores
kms-discovery.

  default-profile = "prod"

  [profiles.prod]
  keys = ["@app", "@backup"]
  context = { env = "prod" }     # stored by encryption, required by decryption
  commitment = "require-encrypt-require-decrypt"
  unsigned = true                # or suite = "…"
  frame-length = 65536
  max-keys = 3
  cache = "max-age=60s,max-messages=100"
  jobs = 4
`

const helpExitCodes = `  0    success
  1    another error
  2    the command line or the configuration is wrong, or a flag names a file or
       directory that doesn't exist or can't be opened
  3    some inputs failed: of several, or of a directory, list, inventory or shard;
       or, with audit --fail-if, something matches
  4    the message is not authentic: modified, truncated or malformed
  5    none of the keys could decrypt a data key
  6    the encryption context is not as given, or does not fit the suite in the
       header, as after a change of either
  7    rejected by a policy or a limit: commitment, --unsigned-only, --max-keys,
       --max-frame
  8    refused to write: the output exists, is the input, or is a terminal
  9    a key service or store could not be reached: a retry may succeed
  130  interrupted

New codes may be added: treat unknown codes as failures. With --json, the last line
of standard error is {"error":{"code":…,"kind":…,"message":…}}, with
"retryable":true if a retry may succeed.
`

const helpObjects = `A FILE and the value of -o can be an object in a bucket:

  s3://BUCKET/KEY[?PARAMETERS]        Amazon S3 and compatible stores
  gs://BUCKET/KEY[?PARAMETERS]        Google Cloud Storage, in the full build
  azblob://CONTAINER/KEY[?PARAMETERS] Azure Blob Storage, in the full build
  file:///PATH                        the file PATH

An empty KEY, or one that ends in a slash, is a prefix: -r takes all objects whose
keys begin with it, and -o puts results below it. In a URL, %25, %3F and %23 stand
for a percent sign, a question mark and a number sign.

  esdk encrypt -k @app -o s3://backups/2026/ db.dump
  pg_dump app | esdk encrypt -k @app -o 's3://backups/app.encrypted?part-size=64M'
  esdk decrypt -r -k @app -o restored/ s3://backups/2026/
  esdk reencrypt -r --from-key @old -k @new --in-place s3://backups/
  esdk decrypt -k @app --range 1G:64K s3://backups/disk.img.encrypted > part

--inventory s3://…/manifest.json takes the objects in an S3 Inventory, CSV or Parquet,
instead of a listing. The manifest can also be a file, with its data files near it.
Versions that are not the latest are skipped, except with --all-versions of "esdk
verify", "esdk inspect" and "esdk audit". --shard I/N takes one of N parts of the
inputs, by a hash of the name. env/N takes the part whose index AWS Batch or
Kubernetes has set:

  esdk reencrypt --from-key @old -k @new --in-place --shard env/100 --inventory s3://…

An object appears only after all of it was written and verified. If that fails, the
uploaded parts are removed. An existing object is not replaced without --force: the
store itself is asked to ensure that. To resume an interrupted run, repeat it with
--no-clobber.

Objects are streamed. They are uploaded in parts of 8 MiB, or larger parts if they
are longer than 39 GiB. Input from a pipe is uploaded in parts of 16 MiB, which is
enough for 156 GiB. The parameter part-size sets another size: an object has at most
10000 parts, and up to 5 of them are in memory. If an object is replaced while it is
read, reading starts over, three times at most. A broken connection is resumed.

For S3, storageclass and tags apply to new objects, and versionId reads a version.
Stores that are like S3 may want use_path_style=true,
request_checksum_calculation=when_required or conditional-writes=false.

Other parameters are parameters of the Go CDK, such as region, profile, endpoint,
use_path_style, ssetype and kmskeyid for S3. Without them, credentials, Region and
endpoint come from the environment and files that the SDK of each store reads, such
as AWS_REGION, AWS_PROFILE and AWS_ENDPOINT_URL_S3.
`

const helpSafety = `  - A file appears under its name only after all of it has been written, verified
    and synced to the disk. On Linux it has no name until then, if the file system
    supports that, and nothing is left even after kill -9. Otherwise it is a
    temporary file .NAME.esdk-NUMBER in the same directory, readable only by its
    owner, which an error or a signal removes.
  - An object of S3 or another store appears only after all of it has been uploaded
    and verified; see "esdk help objects".
  - An existing file is never replaced without --force, and never by a command
    that fails.
  - Decrypted files are readable only by their owner. Encrypted files have the mode
    that the umask gives. Directories that are created for them are as open, but no
    more than the directories of the inputs.
  - Plaintext goes to standard output after all of the message has been verified,
    or, from a pipe, frame by frame as each is verified; see --release of "esdk
    decrypt".
  - With -r, nothing outside of the directories is read or written, even if they
    contain symbolic links or links appear while the command runs. Links, devices
    and pipes are skipped and counted; --symlinks follow takes links that stay
    inside.
  - Binary data does not go to a terminal, unless -o - is given.
  - An input, or a key or configuration file that is named, is never an output.
  - -c of "esdk decrypt" is checked before any key is used.
  - Messages with more than 32 encrypted data keys or frames of more than 64 MiB
    are rejected, unless --max-keys and --max-frame allow them.
`

func helpSuites() string {
	var b strings.Builder
	b.WriteString("--suite takes the ID or the name. The part IV12_TAG16_ is optional.\n\n")
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
