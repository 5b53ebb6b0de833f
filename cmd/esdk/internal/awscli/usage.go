package awscli

// Usage is the output of --help.
const Usage = `aws-encryption-cli --encrypt | --decrypt | --decrypt-unsigned
    -i INPUT -o OUTPUT -w KEY=VALUE... (-S | --metadata-output FILE) [OPTION]...

Actions
  -e, --encrypt
  -d, --decrypt
      --decrypt-unsigned           reject signed messages
      --version
  -h, --help

Input and output
  -i, --input INPUT                a file, a pattern such as '*.txt', or - for standard input
  -o, --output OUTPUT              a file, an existing directory, or - for standard output
  -r, -R, --recursive              take all files in directories
      --suffix [SUFFIX]            of names in an output directory, instead of .encrypted or .decrypted
      --interactive                ask before a file is replaced
      --no-overwrite               skip existing files
      --encode, --decode           encode the output as Base64 text, or decode the input
  -b, --buffer                     release nothing until all of it is verified

Keys: -w, --wrapping-keys, repeatable; the first makes the data key
  [provider=aws-kms] key=KEY... [region=REGION] [profile=PROFILE]
  [provider=aws-kms] discovery=true [discovery-partition=PARTITION discovery-account=ACCOUNT...]
  provider=raw-aes namespace=NAMESPACE key=NAME file=FILE
  provider=raw-rsa namespace=NAMESPACE key=NAME file=FILE [pad=PADDING]

Message
  -c, --encryption-context KEY[=VALUE]...
      --algorithm NAME
      --commitment-policy require-encrypt-require-decrypt | require-encrypt-allow-decrypt | forbid-encrypt-allow-decrypt
      --frame-length BYTES
      --max-length BYTES           longest frame to decrypt
      --max-encrypted-data-keys NUMBER
      --caching capacity=NUMBER max_age=SECONDS [max_messages_encrypted=NUMBER] [max_bytes_encrypted=BYTES]

Metadata
  -S, --suppress-metadata
      --metadata-output FILE       append a line of JSON for each input; - is standard output
      --overwrite-metadata         replace the content of FILE

  -v                               report each file
  -q, --quiet                      print errors only
  @FILE                            take arguments from a file

Options are not abbreviated. docs/cli.md lists the differences from the Python program.
`
