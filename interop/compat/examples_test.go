package compat

// An example is a pair of scripts. They call the program by its name, like the
// examples of its README, of its repository and of the AWS developer guide. The
// cases are from there, in the same order.
type example struct{ name, encrypt, decrypt string }

const cli = "aws-encryption-cli "

var examples = []example{
	// The README.
	{"context",
		cli + `-e -i plain -o message -w key=$KEY -S --encryption-context key1=value1 key2=value2 "key 3=value with spaces"`,
		cli + `-d -i message -o result -w key=$KEY --metadata-output meta.json --encryption-context key1 key2=value2 "key 3"`},
	{"two keys",
		cli + `-e -i plain -o message --wrapping-keys provider=aws-kms key=$KEY key=$OTHER --metadata-output meta.json`,
		cli + `-d -i message -o result --wrapping-keys provider=aws-kms key=$OTHER --metadata-output meta.json`},
	{"alias",
		cli + `-e -i plain -o message --wrapping-keys provider=aws-kms key=alias/app -S`,
		cli + `-d -i message -o result --wrapping-keys provider=aws-kms key=$KEY -S`},
	{"key id",
		cli + `-e -i plain -o message -w key=$ID -S`,
		cli + `-d -i message -o result -w key=$KEY -S`},
	{"alias in two Regions",
		cli + `-e -i plain -o message -w key=alias/both region=us-west-2 -w key=alias/both region=eu-west-1 --metadata-output meta.json`,
		cli + `-d -i message -o result -w key=$KEY --metadata-output -`},
	{"provider by its full name",
		cli + `-e -i plain -o message -w provider=aws-encryption-sdk-cli::aws-kms key=$KEY -S`,
		cli + `-d -i message -o result -w provider=aws-kms key=$KEY -S`},
	{"discovery",
		cli + `-e -i plain -o message -w key=$KEY -S`,
		cli + `-d -i message -o result -w discovery=true --metadata-output meta.json`},
	{"discovery of a partition and accounts",
		cli + `-e -i plain -o message -w key=$KEY key=$EUROPE -S`,
		cli + `-d -i message -o result -w discovery=true discovery-partition=aws discovery-account=444455556666 discovery-account=$ACCOUNT -S`},
	{"discovery in another Region",
		cli + `-e -i plain -o message -w key=$EUROPE -S`,
		cli + `-d -i message -o result -w discovery=true -S`},
	{"commitment policy",
		cli + `-e -i plain -o message -w key=$KEY -S --commitment-policy require-encrypt-require-decrypt`,
		cli + `-d -i message -o result -w key=$KEY -S --commitment-policy=require-encrypt-require-decrypt`},
	{"caching",
		cli + `-e -i 'in/*.txt' -o out -w key=$KEY --metadata-output meta.json --caching capacity=3 max_age=80.0`,
		cli + `-d -i 'out/*' -o back -w key=$KEY --metadata-output meta.json --caching capacity=3 max_age=80.0 max_messages_encrypted=10 max_bytes_encrypted=100000`},
	{"configuration files and a directory",
		`echo '--wrapping-keys key=$KEY' >master-key.conf; echo '--caching capacity=10 max_age=60.0' >caching.conf; ` +
			cli + `-e -i 'i?' -o out @master-key.conf @caching.conf --recursive --metadata-output meta.json`,
		cli + `-d -R -i 'out/*' -o back @master-key.conf --metadata-output meta.json`},
	{"configuration files",
		`echo '--wrapping-keys key=$KEY key=$OTHER' >master-key.conf; echo '--caching capacity=10 max_age=60.0 max_messages_encrypted=15' >caching.conf
		printf '%s\n' --encrypt '@master-key.conf # Use these keys' @caching.conf '# and no metadata' '"-S"' >my-encrypt.conf; ` +
			cli + `@my-encrypt.conf -i plain -o message`,
		cli + `-d -i message -o result @master-key.conf @caching.conf --metadata-output meta.json`},
	{"quoting in configuration files",
		`printf '%s\n' '-c "a b=c d" '"'e=\"f\" # g'"' h=\" i=\# # -j' '-o ~/../$NONE${EMPTY}' >x.conf; export HOME=$PWD/in EMPTY=; mkdir '$NONE'; ` +
			cli + `-e -i plain -w key=$KEY --metadata-output meta.json @x.conf --suffix`,
		cli + `-d -i '$NONE/plain' -o result -w key=$KEY --metadata-output meta.json`},
	{"encoding",
		cli + `-e -i plain -o message -w key=$KEY -S --encode`,
		cli + `-d -i message -o result -w key=$KEY -S --decode`},
	{"encoding both ways",
		`base64 plain >text; ` + cli + `-e -i text -o message -w key=$KEY -S --decode --encode`,
		cli + `-d -i message -o result -w key=$KEY -S --decode --encode`},

	// The repository's scripts.
	{"command line",
		`echo 'some text' | ` + cli + `--encrypt --suppress-metadata --input - --output - --encode --wrapping-keys key=$KEY >message`,
		cli + `--decrypt --suppress-metadata --input - --output - --decode --buffer --wrapping-keys discovery=true <message`},
	{"file",
		cli + `--encrypt --input plain --wrapping-keys key=$KEY --suppress-metadata --encryption-context purpose=test --commitment-policy require-encrypt-require-decrypt --output message`,
		cli + `--decrypt --input message --wrapping-keys key=$KEY --commitment-policy require-encrypt-require-decrypt --encryption-context purpose=test --suppress-metadata --max-encrypted-data-keys 1 --buffer --output result`},
	{"file, multiple keys",
		cli + `--encrypt --input plain --wrapping-keys key=$KEY key=$OTHER --suppress-metadata --encryption-context purpose=test --commitment-policy require-encrypt-require-decrypt --output message`,
		cli + `--decrypt --input message --wrapping-keys key=$KEY key=$OTHER --commitment-policy require-encrypt-require-decrypt --encryption-context purpose=test --suppress-metadata --max-encrypted-data-keys 2 --buffer --output result`},

	{"directory",
		cli + `--encrypt --input in --recursive --wrapping-keys key=$KEY --suppress-metadata --encryption-context purpose=test --commitment-policy require-encrypt-require-decrypt --output out`,
		cli + `--decrypt --input out --recursive --wrapping-keys key=$KEY --commitment-policy require-encrypt-require-decrypt --encryption-context purpose=test --suppress-metadata --max-encrypted-data-keys 1 --buffer --output back`},

	// The developer guide.
	{"guide: a file",
		cli + `--encrypt --input plain --wrapping-keys key=$KEY --metadata-output meta.json --encryption-context purpose=test --commitment-policy require-encrypt-require-decrypt --output out`,
		cli + `--decrypt --input out/plain.encrypted --wrapping-keys key=$KEY --commitment-policy require-encrypt-require-decrypt --encryption-context purpose=test --metadata-output meta.json --max-encrypted-data-keys 1 --buffer --output back`},
	{"guide: a directory, with metadata and a suffix",
		cli + `--encrypt --input in --recursive --wrapping-keys key=$KEY --encryption-context dept=IT --metadata-output meta.json --output out --suffix .enc`,
		cli + `--decrypt --input out --recursive --wrapping-keys discovery=true --encryption-context dept=IT --metadata-output meta.json --output back --suffix`},
	{"guide: command line",
		`message=$(echo 'Hello' | ` + cli + `--encrypt -S --input - --output - --encode --wrapping-keys key=$KEY) && echo "$message" >message`,
		`echo "$(cat message)" | ` + cli + `--decrypt --wrapping-keys key=$KEY --input - --output - --decode --buffer -S`},
	{"guide: three keys",
		cli + `--encrypt --input in/a.txt --wrapping-keys key=alias/app key=$OTHER --wrapping-keys key=$EUROPE --output out --metadata-output meta.json --encryption-context project=r`,
		cli + `--decrypt --input out/a.txt.encrypted --wrapping-keys key=$EUROPE --output back --metadata-output meta.json`},
	{"guide: archive in a pipe",
		`tar -c --sort=name --mtime=@0 in | gzip -n | ` + cli + `--encrypt --input - --output in.tar.gz.encrypted --wrapping-keys key=$KEY --metadata-output meta.json -c a=b`,
		cli + `--decrypt -i in.tar.gz.encrypted -o - -w key=$KEY -S | tar -xzf - -C back`},
	{"guide: metadata of a pipe",
		cli + `-e -i - -o message -w key=$KEY --metadata-output - <plain`,
		cli + `-d -i - -o - -w key=$KEY --metadata-output meta.json <message`},
	{"guide: unsigned",
		cli + `-e -i plain -o message -w key=$KEY -S --algorithm AES_256_GCM_HKDF_SHA512_COMMIT_KEY`,
		cli + `--decrypt-unsigned -i message -o result -w key=$KEY --metadata-output meta.json`},
	{"guide: replica",
		cli + `-e -i plain -o message -w key=$MRK -S`,
		cli + `-d -i message -o result -w key=$REPLICA --metadata-output meta.json`},
	{"guide: discovery of a replica",
		cli + `-e -i plain -o message -w key=$MRK -S`,
		cli + `-d -i message -o result -w discovery=true region=eu-west-1 -S`},

	// These features are documented without an example.
	{"pattern", cli + `-e -i 'in/[!b]*' -o out -w key=$KEY --metadata-output meta.json`, cli + `-d -i 'out/?.*' -o back -w key=$KEY --metadata-output meta.json`},
	{"suffixes", cli + `-e -i 'in/?.txt' -o out -w key=$KEY -S --suffix .x`, cli + `-d -i 'out/*' -o back -w key=$KEY -S --suffix`},
	{"letters", cli + `-eSiplain -omessage -wkey=$KEY -vv`, cli + `-dqi message -o=result -w key=$KEY --metadata-output=meta.json`},
	{"overwriting", `echo old >message; ` + cli + `-e -i plain -o message -w key=$KEY -S`, `echo old >result; ` + cli + `-d -i message -o result -w key=$KEY -S`},
	{"no overwriting", cli + `-e -i plain -o message -w key=$KEY -S`,
		`echo old >result; ` + cli + `-d -i message -o result -w key=$KEY -S --no-overwrite; echo $?`},
	{"metadata of several, overwriting", `echo old >meta.json; ` + cli + `-e -i 'in/?.txt' -o out -w key=$KEY --metadata-output meta.json --overwrite-metadata`,
		cli + `-d -i 'out/*' -o back -w key=$KEY --metadata-output meta.json --overwrite-metadata`},
	{"metadata appended", `for n in 1 2; do ` + cli + `-e -i plain -o message$n -w key=$KEY --metadata-output meta.json; done`,
		cli + `-d -i message2 -o result -w key=$KEY --metadata-output meta.json --overwrite-metadata`},
	{"empty", cli + `-e -i empty -o message -w key=$KEY --metadata-output meta.json`, cli + `-d -i message -o result -w key=$KEY --metadata-output meta.json`},
	{"frame length", cli + `-e -i plain -o message -w key=$KEY --metadata-output meta.json --frame-length 1024`, cli + `-d -i message -o result -w key=$KEY --metadata-output meta.json --max-length 1024`},
	{"shorter than a frame", cli + `-e -i short -o message -w key=$KEY -S --max-encrypted-data-keys 1`, cli + `-d -i message -o result -w key=$KEY -S`},
	{"version 1, signed", cli + `-e -i plain -o message -w key=$KEY --metadata-output meta.json --algorithm AES_192_GCM_IV12_TAG16_HKDF_SHA384_ECDSA_P384 --commitment-policy forbid-encrypt-allow-decrypt`,
		cli + `-d -i message -o result -w key=$KEY --metadata-output meta.json --commitment-policy require-encrypt-allow-decrypt`},
	{"version 1, no key derivation", cli + `-e -i plain -o message -w key=$KEY --metadata-output meta.json --algorithm AES_128_GCM_IV12_TAG16 --commitment-policy forbid-encrypt-allow-decrypt`,
		cli + `--decrypt-unsigned -i message -o result -w key=$KEY --metadata-output meta.json --commitment-policy forbid-encrypt-allow-decrypt`},
}

// A difference is a script with its result: the exit status, and new (+),
// removed (-) and changed (~) files. If python is empty, the Python program has
// the same result, though not a good one.
type difference struct{ name, setup, script, ours, python string }

const (
	encrypted = cli + `-e -i plain -o message -w key=$KEY -S -c a=b; `
	unsigned  = cli + `-e -i plain -o unsigned -w key=$KEY -S --algorithm AES_256_GCM_HKDF_SHA512_COMMIT_KEY; `
	// The last byte of a signed message belongs to the signature.
	damaged = encrypted + `head -c -1 message >damaged; printf x >>damaged; `
	old     = `echo old >old; `
)

var differences = []difference{
	{"context not as required", encrypted + old, cli + `-d -i message -o old -w key=$KEY -S -c a=c`, "6", "0 -old"},
	{"context not as required, with metadata", encrypted, cli + `-d -i message -o result -w key=$KEY -c c --metadata-output meta.json`, "6 +meta.json", "0 +meta.json"},
	{"damaged, to an existing file", damaged + old, cli + `-d -i damaged -o old -w key=$KEY -S`, "1", "1 -old"},
	{"damaged, from a pipe", damaged, cli + `-d -i - -o result -w key=$KEY -S <damaged`, "1", "1 +result"},
	{"damaged, with metadata", damaged, cli + `-d -i damaged -o result -w key=$KEY --metadata-output meta.json; test -s meta.json`, "1 +meta.json", "0 +meta.json"},
	{"full final frame", `head -c 4096 in/c.dat >frame; ` + cli + `-e -i frame -o message -w key=$KEY -S`, cli + `-d -i message -o result -w key=$KEY -S`, "0 +result", "1"},
	{"abbreviation", encrypted, cli + `-d -i message -o result -w key=$KEY --suppress`, "2", "0 +result"},
	{"context key twice", "", cli + `-e -i plain -o message -w key=$KEY -S -c a=1 a=2`, "2", "0 +message"},
	{"empty context value", "", cli + `-e -i plain -o message -w key=$KEY -S -c a=`, "0 +message", "2"},
	{"link as output", encrypted + `ln -s plain link; `, cli + `-d -i message -o link -w key=$KEY -S; test -L link`, "1", "0"},
	{"mode of plaintext", encrypted, cli + `-d -i message -o result -w key=$KEY -S; test "$(stat -c %a result)" = 600`, "0 +result", "1 +result"},
	{"frame length 0", "", cli + `-e -i plain -o message -w key=$KEY -S --frame-length 0`, "1", "0 +message"},
	{"frame length of any number", "", cli + `-e -i plain -o message -w key=$KEY -S --frame-length 1000`, "0 +message", "1"},
	{"some of several fail", `echo x | tee out/a >out/b`, cli + `-d -i 'out/*' -o back -w key=$KEY -S 2>log; test $(grep -c 'out/[ab]: error\|back/[ab].decrypted' log) = 2`, "0 +log", "1 +log"},
	{"link in a folder", `mkdir outside; echo x >outside/x; ln -s ../../outside/x in/sub/x`, cli + `-e -r -i in/sub -o out -w key=$KEY -S`, "0 +out/d.txt.encrypted", "0 +out/d.txt.encrypted +out/x.encrypted"},
	{"link in the output", encrypted + `mkdir elsewhere; mv message elsewhere/a.txt; ln -s ../plain out/a.txt`, cli + `-d -r -i elsewhere -o out -w key=$KEY -S --suffix; test -L out/a.txt`, "1", "0"},
	{"directory to none", "", cli + `-e -r -i in -o none -w key=$KEY -S`, "1", ""},
	{"directory to itself", "", cli + `-e -r -i in -o in -w key=$KEY -S`, "1", ""},
	{"input as output, by an empty suffix", "", cli + `-e -i in/a.txt -o in -w key=$KEY -S --suffix`, "1", "0"},
	{"metadata beside the output folder", "", cli + `-e -i in/a.txt -o out -w key=$KEY --metadata-output out.json`, "0 +out.json +out/a.txt.encrypted", "1"},
	{"pipe by its name", "", `cat plain | ` + cli + `-e -i /dev/stdin -o message -w key=$KEY -S`, "0 +message", "0"},
	{"suffix that leads elsewhere", "", cli + `-e -i in/a.txt -o out -w key=$KEY -S --suffix /../../message`, "1", "0 +message +out/a.txt/"},
	{"plugin", "", cli + `-e -i plain -o message -w provider=my::plugin key=$KEY -S`, "1", ""},
	{"Base64 text that is not said to be", encrypted + `base64 message >text; `, cli + `-d -i text -o result -w key=$KEY -S`, "0 +result", "1"},

	// The same in both.
	{"no action", "", cli + `-i plain -o message -w key=$KEY -S`, "2", ""},
	{"no metadata", "", cli + `-e -i plain -o message -w key=$KEY`, "2", ""},
	{"no keys", "", cli + `-e -i plain -o message -S`, "2", ""},
	{"single dash", "", cli + `-encrypt -i plain -o message -w key=$KEY -S`, "2", ""},
	{"unknown option", "", cli + `-e -i plain -o message -w key=$KEY -S --nonsense`, "2", ""},
	{"input twice", "", cli + `-e -i plain -i plain -o message -w key=$KEY -S`, "2", ""},
	{"algorithm not known", "", cli + `-e -i plain -o message -w key=$KEY -S --algorithm X`, "2", ""},
	{"discovery to encrypt", "", cli + `-e -i plain -o message -w discovery=true -S`, "2", ""},
	{"no such attribute", "", cli + `-e -i plain -o message -w key=$KEY x=y -S`, "1", ""},
	{"no such input", "", cli + `-e -i none -o message -w key=$KEY -S`, "1", ""},
	{"no such key", "", cli + `-e -i plain -o message -w key=alias/none -S`, "1", ""},
	{"no such folder", "", cli + `-e -i plain -o none/message -w key=$KEY -S`, "1", ""},
	{"several to a file", "", cli + `-e -i 'in/*.txt' -o message -w key=$KEY -S`, "1", ""},
	{"folder without -r", "", cli + `-e -i in/sub -o out -w key=$KEY -S`, "0", ""},
	{"folder to a file", "", cli + `-e -i in/sub -o message -w key=$KEY -S`, "1", ""},
	{"standard input to a folder", "", cli + `-e -i - -o out -w key=$KEY -S <plain`, "1", ""},
	{"input as output", "", cli + `-e -i plain -o plain -w key=$KEY -S`, "1", ""},
	{"metadata as output", "", cli + `-e -i plain -o message -w key=$KEY --metadata-output message`, "1", ""},
	{"both on standard output", "", cli + `-e -i plain -o - -w key=$KEY --metadata-output -`, "1", ""},
	{"signed, though it must not be", encrypted, cli + `--decrypt-unsigned -i message -o result -w key=$KEY -S`, "1", ""},
	{"another key", encrypted, cli + `-d -i message -o result -w key=$OTHER -S`, "1", ""},
	{"alias to decrypt", encrypted, cli + `-d -i message -o result -w key=alias/app -S`, "1", ""},
	{"accounts of others", encrypted, cli + `-d -i message -o result -w discovery=true discovery-partition=aws discovery-account=444455556666 -S`, "1", ""},
	{"too many keys", cli + `-e -i plain -o message -w key=$KEY key=$OTHER -S`, cli + `-d -i message -o result -w key=$KEY -S --max-encrypted-data-keys 1`, "1", ""},
	{"frames too long", unsigned, cli + `-d -i unsigned -o result -w key=$KEY -S --max-length 1024`, "1", ""},
	{"suite against the policy", "", cli + `-e -i plain -o message -w key=$KEY -S --algorithm AES_128_GCM_IV12_TAG16`, "1", ""},
}
