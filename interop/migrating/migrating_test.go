// Package migrating holds docs/migrating.md: it compiles and runs its Go code,
// runs its commands, and looks up the names in its tables.
package migrating

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"esdk"
	"esdk/esdktest/kmssim"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// blocks returns the blocks of code of the page in a language.
func blocks(t *testing.T, language string, number int) (all []string) {
	t.Helper()
	for _, found := range regexp.MustCompile("(?s)\n```"+language+"\n(.*?)\n```\n").FindAllStringSubmatch(read(t, "../../docs/migrating.md"), -1) {
		all = append(all, found[1])
	}
	if len(all) != number {
		t.Fatalf("%d blocks of %s, want %d", len(all), language, number)
	}
	return all
}

// simulate points programs and keyrings at a simulator of AWS KMS.
func simulate(t *testing.T, server *kmssim.Server) {
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_KMS": server.URL(), "AWS_REGION": "us-west-2", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_PROFILE": "",
	} {
		t.Setenv(name, value)
	}
}

// TestGoBlocks finds each block of Go in the code of this package, which runs.
func TestGoBlocks(t *testing.T) {
	source := read(t, "snippets_test.go")
	for _, block := range blocks(t, "go", 4) {
		indented := "\t" + strings.ReplaceAll(block, "\n", "\n\t")
		if !strings.Contains(source, indented) {
			t.Errorf("this is not in snippets_test.go:\n%s", block)
		}
	}
}

func run(t *testing.T, dir, script string) (string, error) {
	t.Helper()
	sh := exec.Command("bash", "-euc", script)
	sh.Dir = dir
	out, err := sh.CombinedOutput()
	return string(out), err
}

func build(t *testing.T, dir, bin string, args ...string) {
	t.Helper()
	c := exec.Command("go", args...)
	c.Dir, c.Env = dir, append(os.Environ(), "GOBIN="+bin)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

const age = "filippo.io/age/cmd/...@v1.3.2"

// TestCommands runs all commands in their order, in one directory. In place of
// sops is a script that prints, since its module has all clouds below it.
func TestCommands(t *testing.T) {
	dir, bin := t.TempDir(), t.TempDir()
	build(t, "../../cmd/esdk", "", "build", "-o", filepath.Join(bin, "esdk"), ".")
	build(t, ".", bin, "install", age)
	if err := os.WriteFile(filepath.Join(bin, "sops"), []byte("#!/bin/sh\nprintf 'password: %s\\n' \"$1 $2\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	server := kmssim.New()
	defer server.Close()
	simulate(t, server)
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("ARN", server.CreateKey("us-west-2", types.KeySpecSymmetricDefault))
	if out, err := run(t, dir, `seq 100000 >FILE; age-keygen -o key.txt; age -r "$(age-keygen -y key.txt)" -o old.age FILE; ssh-keygen -q -t rsa -b 2048 -N "" -f id_rsa`); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, block := range blocks(t, "sh", 5) {
		if out, err := run(t, dir, block); err != nil {
			t.Errorf("%v: %s\n%s", err, out, block)
		} else if strings.Contains(block, "sops") && !strings.Contains(out, "password: decrypt secrets.yaml\n") {
			t.Errorf("%s\n%s", out, block)
		}
	}
	for _, same := range []string{"copy1", "copy2", "from-ssh"} {
		if read(t, filepath.Join(dir, same)) != read(t, filepath.Join(dir, "FILE")) {
			t.Errorf("%s is not FILE", same)
		}
	}
	if out, err := run(t, dir, `ssh-keygen -q -t ed25519 -N "" -f ed25519; cp ed25519 private; ssh-keygen -q -p -m PKCS8 -N "" -f private; ! esdk decrypt -k rsa:ssh/me@private -o none for-ssh`); err != nil {
		t.Errorf("a key of Ed25519 is taken: %v: %s", err, out)
	}
	testFailures(t, dir)
	testFlags(t, dir)
}

// testFailures cuts the old file short, and runs the commands of the page on
// it.
func testFailures(t *testing.T, dir string) {
	all := strings.Join(blocks(t, "sh", 5), "\n")
	command := regexp.MustCompile(`(?m)^esdk encrypt .* --command -- age .*$`).FindString(all)
	pipe := regexp.MustCompile(`(?m)^age .*\| esdk encrypt .*$`).FindString(all)
	cut := `rm -f new.encrypted piped.encrypted; head -c 200000 old.age >cut; mv cut old.age; `
	if out, err := run(t, dir, cut+command); err == nil {
		t.Errorf("%s goes well: %s", command, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "new.encrypted")); !os.IsNotExist(err) {
		t.Errorf("%s: there is a result: %v", command, err)
	}
	if out, err := run(t, dir, pipe+"; test -e piped.encrypted; rm piped.encrypted"); err != nil {
		t.Errorf("without pipefail, %s fails: %s", pipe, out)
	}
	if out, err := run(t, dir, "set -o pipefail; "+pipe); err == nil {
		t.Errorf("with pipefail, %s goes well: %s", pipe, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "piped.encrypted")); !os.IsNotExist(err) {
		t.Errorf("%s: there is a result: %v", pipe, err)
	}
}

// testFlags looks up the flags of the table in both helps.
func testFlags(t *testing.T, dir string) {
	theirs, err := run(t, dir, "esdk compat --help")
	if err != nil {
		t.Fatal(err)
	}
	ours, err := run(t, dir, "esdk help encrypt; esdk help decrypt")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(read(t, "../../docs/migrating.md"), "\n| `aws-encryption-cli` | `esdk` |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	flag := regexp.MustCompile(`--[a-z][a-z0-9-]*`)
	for row := range strings.Lines(table) {
		cells := strings.Split(row, "|")
		for _, f := range flag.FindAllString(cells[1], -1) {
			if !strings.Contains(theirs, f) {
				t.Errorf("compat has no %s", f)
			}
		}
		for _, f := range flag.FindAllString(cells[2], -1) {
			if !regexp.MustCompile(f + `[ =\n]`).MatchString(ours) {
				t.Errorf("encrypt and decrypt have no %s", f)
			}
		}
	}
}

func moduleDir(t *testing.T, module string) string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(dir))
}

// TestOfficialLimits holds that the official Go SDK has no streams, and refuses
// more than a GiB.
func TestOfficialLimits(t *testing.T) {
	at := moduleDir(t, "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk")
	client := read(t, filepath.Join(at, "awscryptographyencryptionsdksmithygenerated", "api_client.go"))
	if methods := regexp.MustCompile(`func \(client \*Client\) (\w+)`).FindAllStringSubmatch(client, -1); len(methods) != 2 || methods[0][1] != "Encrypt" || methods[1][1] != "Decrypt" {
		t.Errorf("its methods: %q", methods)
	}
	if kinds := read(t, filepath.Join(at, "awscryptographyencryptionsdksmithygeneratedtypes", "types.go")); !strings.Contains(kinds, "if len(input.Plaintext) > 1_073_741_824 {") {
		t.Error("its limit is another one")
	}
}

// TestNames looks up functions and types of the tables: those of this library
// in its documentation, those of the official SDK in its source.
func TestNames(t *testing.T) {
	page := read(t, "../../docs/migrating.md")
	library := reflect.TypeFor[esdk.Config]().PkgPath()
	documents, seen := make(map[string]string), 0
	for _, found := range regexp.MustCompile("`(esdk|awskms|branchkey|caching|hpke|keyservice)\\.([A-Z]\\w*)`|`Client\\.(\\w+)`").FindAllStringSubmatch(page, -1) {
		path, name := library, regexp.MustCompile(`(?m)^(func `+found[2]+`[[(]|type `+found[2]+`[ \n])`)
		if found[1] != "" && found[1] != "esdk" {
			path += "/" + found[1]
		}
		if found[3] != "" {
			name = regexp.MustCompile(`(?m)^func \(c \*Client\) ` + found[3] + `\(`)
		}
		if documents[path] == "" {
			out, err := exec.Command("go", "doc", "-all", path).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			documents[path] = string(out)
		}
		if !name.MatchString(documents[path]) {
			t.Errorf("there is no %s", found[0])
		}
		seen++
	}
	at := moduleDir(t, "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl")
	source := read(t, filepath.Join(at, "awscryptographymaterialproviderssmithygenerated", "api_client.go")) +
		read(t, filepath.Join(at, "awscryptographykeystoresmithygenerated", "api_client.go"))
	var theirs []string
	for _, found := range regexp.MustCompile("`((?:Create|Version)\\w+)`").FindAllStringSubmatch(page, -1) {
		if !strings.Contains(source, "func (client *Client) "+found[1]+"(") {
			t.Errorf("the official SDK has no %s", found[1])
		}
		theirs = append(theirs, found[1])
	}
	// All that it can make is in the table.
	for _, found := range regexp.MustCompile(`func \(client \*Client\) (Create\w+)\(`).FindAllStringSubmatch(source, -1) {
		if name := found[1]; name != "CreateDefaultClientSupplier" && !slices.Contains(theirs, name) {
			t.Errorf("the table has no %s", name)
		}
	}
	if seen < 30 || len(theirs) < 20 {
		t.Errorf("%d names, %d of theirs", seen, len(theirs))
	}
}
