package keyspec

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"esdk"
	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/cli"
)

// fuzzKeys returns the keys of a command that finds none of the user's files,
// and its working directory with a few files.
func fuzzKeys(f *testing.F) (ks *Keys, dir string) {
	dir = f.TempDir()
	f.Setenv("HOME", dir)
	f.Setenv("XDG_CONFIG_HOME", dir)
	f.Setenv("ESDK_CONFIG", "")
	f.Setenv("AWS_CONFIG_FILE", filepath.Join(dir, "none"))
	f.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(dir, "none"))
	// No request leaves the machine, since nothing listens at this address.
	f.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
	f.Setenv("AWS_MAX_ATTEMPTS", "1")
	f.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	f.Chdir(dir)
	none, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { none.Close() })
	ui := &cli.UI{Stdin: none, Stdout: none, Stderr: none}
	return New(ui, atomicfile.NewPending(), new(atomicfile.Protected)), dir
}

// FuzzKey: any text after --key gives a keyring or an error, and no error shows
// the content of a file.
func FuzzKey(f *testing.F) {
	ks, dir := fuzzKeys(f)
	const secret = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3I=" // 32 bytes
	writeFuzzFile(f, filepath.Join(dir, "k"), secret)
	writeFuzzFile(f, filepath.Join(dir, "config.toml"), "[keys.k]\ntype = \"aes\"\nnamespace = \"n\"\nname = \"k\"\nfile = \"k\"\n")
	for _, text := range []string{
		"aes:n/k@k", "aes:n/k@k?format=hex", "aes:@k", "local@k", "k", "~/k", "rsa:n/k@k?pad=oaep-sha1", "ecdh:k@k", "ecdh:@k", "hpke:k@k", "hpke:@k", "hpke:k", "arn:aws:kms:us-west-2:111122223333:key/x", "alias/x",
		"kms-discovery:aws/1,2@eu-west-1", "kms-rsa:arn:aws:kms:r:1:key/x@k?pad=oaep-sha1", "branch:t/id?kms=arn:aws:kms:r:1:key/x",
		"branch:k/id", "hashivault://k", "@k", "@none", "aes:n/k@none", "aes:n/k@", "aes:", "", ":", "aes:aws-kms/k@k", "aes:\xff/\x00@k", "local",
	} {
		f.Add(text, true)
		f.Add(text, false)
	}
	f.Fuzz(func(t *testing.T, text string, encrypt bool) {
		// Keys that ask AWS KMS or a key store when they're made would wait for
		// an unanswered request.
		if strings.HasPrefix(text, "kms-ecdh:") || strings.Contains(text, cli.Standard) {
			t.Skip()
		}
		kr, err := ks.Parse(context.Background(), text, encrypt)
		if (kr == nil) == (err == nil) {
			t.Fatalf("%v, %v", kr, err)
		}
		if err != nil {
			checkFuzzError(t, err, secret)
		}
	})
}

func checkFuzzError(t *testing.T, err error, secret string) {
	t.Helper()
	var known *cli.Error
	if !errors.As(err, &known) {
		t.Errorf("error of no class: %v", err)
	}
	text := cli.Message(err) + cli.Hint(err)
	if strings.Contains(text, secret) || strings.Contains(text, "secret secret") {
		t.Errorf("shows the secret: %s", text)
	}
	for _, r := range cli.Message(err) {
		if r < ' ' || r == 0x7f {
			t.Errorf("control characters in %q", cli.Message(err))
			break
		}
	}
}

func writeFuzzFile(f *testing.F, path, text string) {
	f.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		f.Fatal(err)
	}
}

// FuzzKeyFile: any file gives a key or an error, and a key that is written and
// read again is the same.
func FuzzKeyFile(f *testing.F) {
	key := bytes.Repeat([]byte{0xab}, 32)
	for _, seed := range [][]byte{
		key, key[:24], key[:16], FormatAESKey(key, "n/k"), []byte("# comment\n\nabababababababababababababababab\n"),
		[]byte("q6urq6urq6urq6urq6urqw=="), []byte("q6urq6urq6urq6\r\nurq6urqw=="), nil,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		key, err := parseAESKey(data, "")
		if (key == nil) == (err == nil) || err == nil && !IsAESLength(len(key)) {
			t.Fatalf("%d bytes, %v", len(key), err)
		}
		if err != nil {
			return
		}
		if _, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "n", Name: "k", Key: key}); err != nil {
			t.Error(err)
		}
		again, err := parseAESKey(FormatAESKey(key, "n/k"), "")
		if err != nil || !bytes.Equal(again, key) {
			t.Errorf("%x is read again as %x, %v", key, again, err)
		}
	})
}

// FuzzConfig: any file gives a configuration or an error.
func FuzzConfig(f *testing.F) {
	ks, dir := fuzzKeys(f)
	const secret = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3I="
	writeFuzzFile(f, filepath.Join(dir, "k"), secret)
	ks.ConfigFile = filepath.Join(dir, "c.toml")
	for _, text := range []string{
		"", "[keys.k]\ntype = \"aes\"\nnamespace = \"n\"\nname = \"k\"\nfile = \"k\"\n", "[keys.k]\ntype = \"kms\"\nkey = \"alias/x\"\n",
		"[keys.k]\ntype = \"none\"\n", "[keys]\nk = 1\n", "keys = []", "[keys.k]\ntype=\"rsa\"\nfile=\"~/k\"\nnamespace=\"n\"\nname=\"k\"\npadding=\"x\"\n",
		"[keys.k]\ntype = \"kms-discovery\"\npartition = \"aws\"\naccounts = [\"1\"]\n", "[keys.\"a.b\"]\ntype = \"local\"\n", "[[keys.k]]\n", "\xff",
		"[keys.k]\ntype = \"hpke\"\nname = \"k\"\nfile = \"k\"\n",
		"[keys.k]\ntype = \"branch\"\ntable = \"t\"\nid = \"x\"\nkey = \"arn:aws:kms:r:1:key/x\"\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		// These would ask AWS KMS and get no answer.
		if strings.Contains(text, "kms-ecdh") || strings.Contains(text, cli.Standard) {
			t.Skip()
		}
		if err := os.WriteFile(ks.ConfigFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, _, err := ks.LoadConfig()
		if (c == nil) == (err == nil) {
			t.Fatalf("%v, %v", c, err)
		}
		if err != nil {
			checkFuzzError(t, err, secret)
			return
		}
		for name := range c.Keys {
			if _, err := ks.Parse(context.Background(), "@"+name, false); err != nil {
				checkFuzzError(t, err, secret)
			}
		}
	})
}
