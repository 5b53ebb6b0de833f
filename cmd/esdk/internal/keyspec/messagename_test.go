package keyspec

import (
	"os"
	"path/filepath"
	"testing"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/cli"
)

func TestMessageName(t *testing.T) {
	dir := t.TempDir()
	ks := New(cli.NewUI(), atomicfile.NewPending(), new(atomicfile.Protected))
	ks.ConfigFile = filepath.Join(dir, "config.toml")
	config := `[keys.a]
type = "aes"
namespace = "corp"
name = "backup"
file = "no-such.key"
[keys.says]
type = "aes"
file = "no-such.key"
[keys.k]
type = "kms"
key = "arn:aws:kms:us-west-2:1:key/2"
[keys.alias]
type = "kms"
key = "alias/app"
[keys.h]
type = "hpke"
name = "vault"
file = "no-such.pem"
[keys.b]
type = "branch"
table = "keys"
id = "tenant-17"
[keys.p]
type = "pkcs11"
uri = "pkcs11:token=corp"
`
	if err := os.WriteFile(ks.ConfigFile, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"@a": "corp/backup", "@says": "", "@k": "arn:aws:kms:us-west-2:1:key/2", "@alias": "", "@h": "esdk-hpke/vault", "@b": "tenant-17", "@p": "", "@none": "", "@": "",
		"aes:corp/backup@FILE?format=hex": "corp/backup", "rsa:corp/backup": "corp/backup", "aes:@FILE": "", "hpke:vault@v.pem": "esdk-hpke/vault",
		"branch:keys/t/17?file=f": "t/17", "branch:keys": "", "kms-rsa:arn:aws:kms:us-west-2:1:key/2@f": "arn:aws:kms:us-west-2:1:key/2",
		"arn:aws:kms:us-west-2:1:key/2": "arn:aws:kms:us-west-2:1:key/2", "arn:aws:kms:us-west-2:1:alias/x": "", "alias/x": "",
		"arn:aws:kms:us-west-2:*": "arn:aws:kms:us-west-2:*", "arn:aws:kms:us-west-2:1": "", "ARN:AWS:KMS:us-west-2:1:key/2": "", "ARN:*": "", "arn:aws:s3:::bucket": "",
		" arn:aws:kms:us-west-2:1:key/2": "", "arn:aws:kms:us-west-2:1:key/2 ": "", "arn:aws:kms:*:key/2 ": "", "aws-kms/arn:aws:kms:us-west-2:1:key/2": "aws-kms/arn:aws:kms:us-west-2:1:key/2",
		"1234abcd-12ab-34cd-56ef-1234567890ab": "", "1234ABCD-12AB-34CD-56EF-1234567890AB": "", "mrk-1234abcd12ab34cd56ef1234567890ab": "", "mrk-x": "mrk-x",
		"local": "", "local@FILE": "", "ecdh:peer.pem": "", "kms-discovery:aws/1": "", "pkcs11:token=x": "",
		"backup.key": "", "corp/backup.pem": "", ks.ConfigFile: "", ks.ConfigFile + "*": ks.ConfigFile + "*", "backup.key*": "backup.key*", dir: dir,
		"corp/backup": "corp/backup", "corp/*": "corp/*", "hashivault://orders": "hashivault://orders", "localhost/x": "localhost/x",
	} {
		if got, err := ks.MessageName(text); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v; want %q", text, got, err, want)
		}
	}
}
