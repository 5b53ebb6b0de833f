package bulk

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"esdk/cmd/esdk/internal/inventory"
	"esdk/cmd/esdk/internal/inventory/inventorytest"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
)

var background = context.Background()

// keys are key files in the syntax of -k.
type keys struct{ before, after, other string }

func newKeys(t testing.TB) keys {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	dir := t.TempDir()
	name := func(key string) string {
		file, secret := filepath.Join(dir, key), make([]byte, 32)
		rand.Read(secret)
		if err := os.WriteFile(file, secret, 0o600); err != nil {
			t.Fatal(err)
		}
		return "aes:test/" + key + "@" + file
	}
	return keys{name("before"), name("after"), name("other")}
}

func (k *keys) flags(more ...string) []string {
	return append([]string{"--from-key", k.before, "-k", k.after}, more...)
}

func open(t *testing.T, flags []string) *Work {
	t.Helper()
	r, err := OpenRotation(background, flags)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func openClient(t *testing.T, key string) *Client {
	t.Helper()
	c, err := OpenClient(background, []string{"-k", key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func encrypt(t *testing.T, c *Client, plaintext string) []byte {
	t.Helper()
	message, _, err := c.Encrypt(background, []byte(plaintext), nil)
	if err != nil {
		t.Fatal(err)
	}
	return message
}

// opens reports whether a message decrypts to this plaintext.
func opens(c *Client, message []byte, plaintext string) bool {
	got, _, err := c.Decrypt(background, message, nil)
	return err == nil && string(got) == plaintext
}

// TestDo re-encrypts files. Inputs that aren't messages fail alone, and all
// results are reported in order. The second time there is nothing to do.
func TestDo(t *testing.T) {
	k, dir := newKeys(t), t.TempDir()
	before, after, other := openClient(t, k.before), openClient(t, k.after), openClient(t, k.other)
	const count = 100
	var names []string
	var want []Status
	for i := range count {
		name := filepath.Join(dir, fmt.Sprint(i))
		names = append(names, name)
		content, status := encrypt(t, before, name), OK
		switch {
		case i%10 == 3:
			content, status = encrypt(t, other, name), Failed
		case i%10 == 5:
			content, status = []byte("no message"), Failed
		case i%10 == 7:
			content, status = encrypt(t, after, name), Skipped
		}
		want = append(want, status)
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	names, want = append(names, filepath.Join(dir, "missing"), names[0]), append(want, Failed, Skipped)
	r := open(t, k.flags("--jobs", "7"))
	var told []string
	var got []Status
	each := func(r Result) error {
		told, got = append(told, r.Name), append(got, r.Status)
		if (r.Status == Failed) != (r.Error != "" && r.Kind != "") || (r.Status == Skipped) != (r.Reason != "") || r.Status == OK && (r.Bytes == 0 || r.KeyUsed != k.before) {
			t.Errorf("result %+v", r)
		}
		return nil
	}
	if err := r.Do(background, slices.Values(names), each); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(told, names) || !slices.Equal(got, want) {
		t.Errorf("told %v of %q", got, told)
	}
	for i, name := range names[:count] {
		message, err := os.ReadFile(name)
		if err != nil || want[i] != Failed && !opens(after, message, name) {
			t.Errorf("%s: %v, or it does not open", name, err)
		}
	}
	told, got = nil, nil
	if err := r.Do(background, slices.Values(names), each); err != nil || slices.Contains(got, OK) {
		t.Errorf("the second time: %v, %v", err, got)
	}
}

// TestMistakes checks that an input that no result can replace fails alone,
// wherever it stands.
func TestMistakes(t *testing.T) {
	k, dir := newKeys(t), t.TempDir()
	before := openClient(t, k.before)
	good := filepath.Join(dir, "good")
	_, keyFile, _ := strings.Cut(k.after, "@")
	loop := filepath.Join(dir, "loop")
	if err := os.Symlink("loop", loop); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{keyFile, os.DevNull, dir, loop, "", "s3://", "s3://test/%zz", "-"} {
		for _, names := range [][]string{{name, good}, {good, name}} {
			if err := os.WriteFile(good, encrypt(t, before, "x"), 0o644); err != nil {
				t.Fatal(err)
			}
			told := make(map[string]Status)
			err := open(t, k.flags()).Do(background, slices.Values(names), func(r Result) error {
				told[r.Name] = r.Status
				return nil
			})
			if want := map[string]Status{name: Failed, good: OK}; err != nil || !maps.Equal(told, want) {
				t.Errorf("%q: %v, %v", names, told, err)
			}
		}
	}
}

// TestDoEnds checks that Do ends if its context is canceled, or if each returns
// an error. Each file then is unchanged or complete, and no other files are
// left.
func TestDoEnds(t *testing.T) {
	k := newKeys(t)
	before, after := openClient(t, k.before), openClient(t, k.after)
	errRefused := errors.New("refused")
	for _, cancels := range []bool{false, true} {
		dir := t.TempDir()
		var names []string
		for i := range 300 {
			name := filepath.Join(dir, fmt.Sprint(i))
			if err := os.WriteFile(name, encrypt(t, before, name), 0o644); err != nil {
				t.Fatal(err)
			}
			names = append(names, name)
		}
		ctx, cancel := context.WithCancel(background)
		told := 0
		err := open(t, k.flags()).Do(ctx, slices.Values(names), func(r Result) error {
			if told++; r.Status != OK {
				t.Errorf("result %+v", r)
			}
			if told < 5 {
				return nil
			}
			if cancels {
				cancel()
				return nil
			}
			return errRefused
		})
		cancel()
		if want := map[bool]error{false: errRefused, true: context.Canceled}[cancels]; !errors.Is(err, want) || told < 5 || told == len(names) {
			t.Errorf("%v after %d results, want %v", err, told, want)
		}
		changed := 0
		for _, name := range names {
			message, err := os.ReadFile(name)
			if err != nil || !opens(before, message, name) && !opens(after, message, name) {
				t.Errorf("%s: %v, or it opens with neither key", name, err)
			}
			if opens(after, message, name) {
				changed++
			}
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != len(names) || changed < told || changed == len(names) {
			t.Errorf("%d files, %v; %d changed, %d told", len(entries), err, changed, told)
		}
	}
}

// TestStop checks that a stopped run reports everything that it has replaced.
func TestStop(t *testing.T) {
	k := newKeys(t)
	r, after := open(t, k.flags()), openClient(t, k.after)
	in, keys := useBucket(t, r, openClient(t, k.before), 60)
	told := 0
	err := r.DoRange(background, Range{Folder: "s3://test/all"}, func(r Result) error {
		if told++; told < 10 {
			return nil
		}
		return ErrStop
	})
	replaced := 1 // the object that isn't a message may have been reported, too
	for i, key := range keys {
		content, err := in.ReadAll(background, key)
		if err != nil {
			t.Fatal(err)
		}
		if opens(after, content, key) {
			replaced++
		}
		if bytes.Equal(content, []byte("no message")) && i >= told {
			replaced--
		}
	}
	if !errors.Is(err, ErrStop) || told != replaced || told < 10 || told == len(keys) {
		t.Errorf("%v after %d of %d results; %d were replaced", err, told, len(keys), replaced)
	}
}

// useBucket makes a bucket of objects with random keys. One of them isn't a
// message.
func useBucket(t *testing.T, r *Work, c *Client, count int) (*blob.Bucket, []string) {
	t.Helper()
	in := memblob.OpenBucket(nil)
	t.Cleanup(func() { in.Close() })
	r.buckets.UseTest("s3://test", in)
	var names []string
	for i := range count {
		key := "all/" + strings.Repeat(string(rune('a'+mathrand.IntN(26))), mathrand.IntN(3)) + fmt.Sprintf("%x +ä", mathrand.Uint64())
		content := encrypt(t, c, key)
		if i == 0 {
			content = []byte("no message")
		}
		if err := in.WriteAll(background, key, content, nil); err != nil {
			t.Fatal(err)
		}
		names = append(names, key)
	}
	if err := in.WriteAll(background, "all/", nil, nil); err != nil { // marks the prefix
		t.Fatal(err)
	}
	for _, beside := range []string{"al", "all", "allow/x"} {
		if err := in.WriteAll(background, beside, encrypt(t, c, beside), nil); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(names)
	return in, names
}

// TestRanges splits a prefix, and processes the parts concurrently. Each object
// is processed once, in the order of keys, and objects next to the prefix
// aren't.
func TestRanges(t *testing.T) {
	for range 20 {
		k := newKeys(t)
		before, after, r := openClient(t, k.before), openClient(t, k.after), open(t, k.flags())
		in, keys := useBucket(t, r, before, mathrand.IntN(60))
		size := 1 + mathrand.IntN(20)
		var mu sync.Mutex
		var told []string
		var group sync.WaitGroup
		objects, last := 0, ""
		for chunk, err := range r.Split(background, Range{Folder: "s3://test/all"}, size) {
			if err != nil || chunk.After != last || chunk.Objects > size {
				t.Fatalf("chunk %+v, %v", chunk, err)
			}
			last = chunk.Until
			objects += chunk.Objects
			group.Go(func() {
				var names []string
				err := r.DoRange(background, chunk.Range, func(r Result) error {
					if (r.Status == Failed) != (r.Kind == "not-a-message") {
						t.Errorf("result %+v", r)
					}
					names = append(names, r.Name)
					return nil
				})
				if err != nil || len(names) != chunk.Objects {
					t.Errorf("%d of %d, %v", len(names), chunk.Objects, err)
				}
				mu.Lock()
				defer mu.Unlock()
				told = append(told, names...)
			})
		}
		group.Wait()
		failed := 0
		for _, key := range keys {
			if content, err := in.ReadAll(background, key); err != nil || !opens(after, content, key) {
				failed++
			}
		}
		slices.Sort(told)
		if last != "" || objects != len(keys) || len(told) != len(keys) || len(slices.Compact(told)) != len(keys) || failed != min(1, len(keys)) {
			t.Errorf("%d objects, last %q, %d told, %d failed; want %d", objects, last, len(told), failed, len(keys))
		}
		if content, err := in.ReadAll(background, "allow/x"); err != nil || !opens(before, content, "allow/x") {
			t.Errorf("an object beside the folder: %v", err)
		}
	}
}

// TestNamesAreTaken checks that Do takes the names that DoRange reports.
func TestNamesAreTaken(t *testing.T) {
	k := newKeys(t)
	r := open(t, k.flags())
	_, keys := useBucket(t, r, openClient(t, k.other), 10)
	names := func(run func(each func(Result) error) error) (names []string) {
		if err := run(func(r Result) error { names = append(names, r.Name+" "+r.Error); return nil }); err != nil {
			t.Error(err)
		}
		return names
	}
	ranged := names(func(each func(Result) error) error {
		return r.DoRange(background, Range{Folder: "s3://test/all/"}, each)
	})
	var again []string
	for _, line := range ranged {
		name, _, _ := strings.Cut(line, " ")
		again = append(again, name)
	}
	named := names(func(each func(Result) error) error { return r.Do(background, slices.Values(again), each) })
	if len(ranged) != len(keys) || !slices.Equal(ranged, named) {
		t.Errorf("told %q, then %q", ranged, named)
	}
}

// TestOpenRefuses checks that OpenRotation rejects the same flags as the
// command, and prints nothing.
func TestOpenRefuses(t *testing.T) {
	k := newKeys(t)
	for text, flags := range map[string][]string{
		"--from-key":               {"-k", k.after},
		"unknown flag":             k.flags("--in-place"),
		"did you mean --from-key?": k.flags("--from-kez", "x"),
		"only flags":               k.flags("name"),
		"empty value":              k.flags("--suite", ""),
		"unknown suite":            k.flags("--suite", "0x9999"),
		"no such file":             {"--from-key", "aes:a/b@/missing", "-k", k.after},
		"--jobs -1":                k.flags("--jobs", "-1"),
		"does not exist":           {"--from-key", "@old", "-k", k.after},
		"--skip-done maybe":        k.flags("--skip-done", "maybe"),
	} {
		if _, err := OpenRotation(background, flags); err == nil || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %s", flags, err, text)
		}
	}
}

// TestCheckRotation checks that CheckRotation accepts keys whose files are
// elsewhere, and never shows a text that may be a secret.
func TestCheckRotation(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	const secret = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U="
	for _, good := range [][]string{
		{"-k", "@new", "--from-key", "aes:a/b@/elsewhere", "--jobs", "0", "--profile", "there", "--config", "/elsewhere"},
		{"-k", "arn:aws:kms:us-west-2:111122223333:key/b", "--from-key", "branch:table/id?kms=arn:aws:kms:us-west-2:111122223333:key/b"},
	} {
		if err := CheckRotation(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range [][]string{
		{"-k", secret, "--from-key", "@old"},
		{"-k", "@new", "--from-key", secret},
		{"-k", "pkcs11:token=a;object=b?pin-value=" + secret, "--from-key", "@old"},
		{"--key=@new", "--unknown"},
		{"--key=@new", "--jobs=-1"},
		{"--key=@new", "--retry-for=-1s"},
	} {
		if err := CheckRotation(bad); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestCheckRotationValues checks that wrong values are found without a key. A
// profile on another machine may make some of them right.
func TestCheckRotationValues(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("ESDK_CONFIG", "")
	t.Setenv("ESDK_PROFILE", "")
	const uncommitted = "--suite=0x0378"
	for _, c := range []struct{ flag, want, elsewhere string }{
		{"--suite=nosuch", "--suite nosuch", "--suite nosuch"},
		{"--commitment=nosuch", "--commitment nosuch", "--commitment nosuch"},
		{"--skip-done=nosuch", "--skip-done nosuch", "--skip-done nosuch"},
		{"--cache=max-age=nosuch", "--cache max-age=nosuch", "--cache max-age=nosuch"},
		{"--set=nosuch", "--set nosuch", "--set nosuch"},
		{"--unset=aws-crypto-public-key", "is reserved for the library", "is reserved for the library"},
		{"--frame-length=-1", "--frame-length -1", "--frame-length -1"},
		{"--max-keys=-1", "--max-keys", "--max-keys"},
		{"-c==nosuch", "-c =nosuch", "-c =nosuch"},
		{uncommitted, "forbid-encrypt-allow-decrypt", ""},
		{"--require-context=tenant", "needs -c tenant=VALUE", ""},
		{"--unsigned", "", ""},
		{"--suite=0x0478", "", ""},
	} {
		for profile, want := range map[string]string{"": c.want, "there": c.elsewhere} {
			flags := []string{"--from-key", "@old", "-k", "@new", c.flag}
			if profile != "" {
				flags = append(flags, "--profile", profile)
			}
			err := CheckRotation(flags)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want %q", flags, err, want)
			}
		}
	}
	if err := CheckRotation([]string{"--from-key", "@old", "-k", "@new", uncommitted, "--commitment", "require-encrypt-require-decrypt", "--profile", "there"}); err == nil {
		t.Error("the policy that was given is not that of a profile")
	}
}

// TestCheckRotationKeys checks that a missing key is an error before a worker
// looks for it.
func TestCheckRotationKeys(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("ESDK_PROFILE", "")
	config := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(config, []byte("default-profile = \"a\"\n[profiles.a]\nkeys = [\"@new\"]\n[profiles.b]\nunsigned = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	from := []string{"--from-key", "@old"}
	for _, c := range []struct {
		flags           []string
		config, profile string
		want            string
	}{
		{nil, "", "", "--from-key KEY"},
		{[]string{"-k", "@new"}, "", "", "--from-key KEY"},
		{from, "", "", "-k KEY"},
		{append(from, "-k", "@new"), "", "", ""},
		{from, config, "", ""}, // from the default profile
		{from, config, "b", "-k KEY"},
		{append(from, "--profile", "elsewhere"), "", "", ""},
		{append(from, "--config", "/elsewhere"), "", "", ""},
	} {
		t.Setenv("ESDK_CONFIG", c.config)
		os.Unsetenv("ESDK_PROFILE")
		if c.profile != "" {
			t.Setenv("ESDK_PROFILE", c.profile)
		}
		err := CheckRotation(c.flags)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q with %q, %q: %v, want %q", c.flags, c.config, c.profile, err, c.want)
		}
	}
}

// TestClient checks that a client uses a private key to decrypt and its public
// half to encrypt.
func TestClient(t *testing.T) {
	k := newKeys(t)
	a, b := openClient(t, k.before), openClient(t, k.after)
	message := encrypt(t, a, "text")
	if !opens(a, message, "text") || opens(b, message, "text") || bytes.Contains(message, []byte("text")) {
		t.Error("it opens wrongly")
	}
	private, public := rsaKey(t)
	c := openClient(t, "rsa:a/b@"+private) // encrypts with the public half
	if _, err := OpenClient(background, []string{"-k", "rsa:a/b@" + public}); err == nil {
		t.Error("a public key does not decrypt")
	}
	if !opens(c, encrypt(t, c, "text"), "text") {
		t.Error("it does not open")
	}
	if _, err := OpenClient(background, []string{"-k", "aes:a/b@/missing"}); err == nil {
		t.Error("there is no such key")
	}
}

// rsaKey returns files with a private key and its public half.
func rsaKey(t *testing.T) (private, public string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	half, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	return write("private", "PRIVATE KEY", der), write("public", "PUBLIC KEY", half)
}

// TestParts splits an inventory, and processes its parts. Each object in it is
// processed once.
func TestParts(t *testing.T) {
	for range 5 {
		k := newKeys(t)
		r, before, after := open(t, k.flags()), openClient(t, k.before), openClient(t, k.after)
		in, keys := useBucket(t, r, before, 1+mathrand.IntN(60))
		inventories := memblob.OpenBucket(nil)
		t.Cleanup(func() { inventories.Close() })
		r.buckets.UseTest("s3://inventories", inventories)
		i := inventorytest.Inventory{Bucket: "test", Format: inventorytest.Formats[mathrand.IntN(len(inventorytest.Formats))], PerFile: 1 + mathrand.IntN(30)}
		var entries []inventory.Entry
		for _, key := range keys {
			attributes, err := in.Attributes(background, key)
			if err != nil {
				t.Fatal(err)
			}
			entries = append(entries, inventory.Entry{Key: key, Latest: true, Size: attributes.Size, Modified: inventorytest.Time})
		}
		for key, content := range i.Write(t, entries) {
			if err := inventories.WriteAll(background, key, content, nil); err != nil {
				t.Fatal(err)
			}
		}
		manifest := "s3://inventories/" + i.ManifestKey()
		var told []string
		size := 1 + mathrand.IntN(20)
		for part, err := range r.SplitInventory(background, Part{Manifest: manifest}, size) {
			if err != nil || part.Objects < 1 || part.Objects > size {
				t.Fatalf("part %+v, %v", part, err)
			}
			before := len(told)
			err := r.DoPart(background, part, func(r Result) error { told = append(told, r.Name); return nil })
			if err != nil || len(told)-before != part.Objects {
				t.Errorf("part %+v: %d results, %v", part, len(told)-before, err)
			}
		}
		failed := 0
		for _, key := range keys {
			if content, err := in.ReadAll(background, key); err != nil || !opens(after, content, key) {
				failed++
			}
		}
		slices.Sort(told)
		if len(slices.Compact(told)) != len(keys) || failed != 1 {
			t.Errorf("%d told, %d failed; want %d", len(told), failed, len(keys))
		}
		if err := r.DoPart(background, Part{Manifest: manifest, File: 1000, Objects: 1}, nil); err == nil {
			t.Error("there is no such data file")
		}
	}
}
