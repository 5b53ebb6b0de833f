package headerrotation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"esdk"
)

// A countingKeyring counts its calls.
type countingKeyring struct {
	esdk.Keyring
	wraps, unwraps int
	onUnwrap       func()
}

func (k *countingKeyring) Wrap(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
	k.wraps++
	return k.Keyring.Wrap(ctx, req)
}

func (k *countingKeyring) Unwrap(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
	k.unwraps++
	if k.onUnwrap != nil {
		k.onUnwrap()
	}
	return k.Keyring.Unwrap(ctx, req)
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newKeyring(t testing.TB, name string) *countingKeyring {
	key := bytes.Repeat([]byte(name[len(name)-1:]), 32)
	return &countingKeyring{Keyring: must[esdk.Keyring](t)(esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "recipes", Name: name, Key: key}))}
}

func newClient(t testing.TB, kr esdk.Keyring) *esdk.Client {
	return must[*esdk.Client](t)(esdk.New(esdk.Config{Keyring: kr, MaxEncryptedDataKeys: 3}))
}

// A tree is a directory of messages, with the keys to rotate it.
type tree struct {
	*Rotation
	path     string
	root     *os.Root
	from, to *countingKeyring
}

func newTree(t testing.TB) *tree {
	dir := t.TempDir()
	tr := &tree{path: dir, root: must[*os.Root](t)(os.OpenRoot(dir)), from: newKeyring(t, "2025"), to: newKeyring(t, "2026")}
	t.Cleanup(func() { tr.root.Close() })
	tr.Rotation = &Rotation{From: newClient(t, tr.from), To: newClient(t, tr.to), Key: Key{"recipes", "2026"}}
	return tr
}

func (tr *tree) write(t testing.TB, name string, content []byte) {
	t.Helper()
	path := filepath.Join(tr.path, name)
	check(t, os.MkdirAll(filepath.Dir(path), 0o700))
	check(t, os.WriteFile(path, content, 0o640))
}

func (tr *tree) message(t testing.TB, name string, client *esdk.Client, plaintext []byte) []byte {
	t.Helper()
	message, _, err := client.Encrypt(t.Context(), plaintext, esdk.EncryptionContext{"file": name})
	check(t, err)
	tr.write(t, name, message)
	return message
}

func (tr *tree) read(t testing.TB, name string) []byte {
	t.Helper()
	return must[[]byte](t)(os.ReadFile(filepath.Join(tr.path, name)))
}

// wantRotated checks that a file opens with the new key alone and keeps its
// context.
func (tr *tree) wantRotated(t *testing.T, name string, plaintext []byte) {
	t.Helper()
	got, err := esdk.Decrypt(t.Context(), tr.to, tr.read(t, name), esdk.EncryptionContext{"file": name})
	if err != nil || !bytes.Equal(got, plaintext) {
		t.Errorf("%s: %d bytes, %v", name, len(got), err)
	}
	header := must[*esdk.Header](t)(esdk.ParseHeader(bytes.NewReader(tr.read(t, name))))
	if !tr.Key.Done(header) || fmt.Sprint(header.UserContext()) != "map[file:"+name+"]" {
		t.Errorf("%s: %v", name, header)
	}
	info := must[os.FileInfo](t)(os.Stat(filepath.Join(tr.path, name)))
	if info.Mode() != 0o640 {
		t.Errorf("%s has the mode %v", name, info.Mode())
	}
}

func TestRun(t *testing.T) {
	tr := newTree(t)
	plaintext := bytes.Repeat([]byte("secret "), 50_000)
	both := newClient(t, must[esdk.Keyring](t)(esdk.NewMultiKeyring(tr.to, tr.from)))
	tr.message(t, "a", tr.From, plaintext)
	tr.message(t, "b/c/d", tr.From, nil)
	tr.message(t, "b/both", both, plaintext) // not done: the old key opens it, too
	done := tr.message(t, "b/done", tr.To, plaintext)
	tr.write(t, "notes.txt", []byte("no message"))
	tr.write(t, "empty", nil)
	check(t, os.Symlink("notes.txt", filepath.Join(tr.path, "link")))
	*tr.from, *tr.to = countingKeyring{Keyring: tr.from.Keyring}, countingKeyring{Keyring: tr.to.Keyring}

	counts, err := tr.Run(t.Context(), tr.root)
	if want := (Counts{Done: 1, Rotated: 3, NotMessages: 2}); err != nil || counts != want {
		t.Errorf("%+v, %v; want %+v", counts, err, want)
	}
	if tr.from.unwraps != 3 || tr.to.wraps != 3 || tr.to.unwraps != 0 {
		t.Errorf("calls: %d to decrypt, %d to encrypt, %d to decrypt with the new key", tr.from.unwraps, tr.to.wraps, tr.to.unwraps)
	}
	tr.wantRotated(t, "a", plaintext)
	tr.wantRotated(t, "b/c/d", nil)
	tr.wantRotated(t, "b/both", plaintext)
	if !bytes.Equal(tr.read(t, "b/done"), done) || string(tr.read(t, "notes.txt")) != "no message" {
		t.Error("a file was changed that need not be")
	}

	counts, err = tr.Run(t.Context(), tr.root) // again
	if want := (Counts{Done: 4, NotMessages: 2}); err != nil || counts != want || tr.from.unwraps != 3 || tr.to.wraps != 3 {
		t.Errorf("%+v, %v, and calls were made; want %+v", counts, err, want)
	}
	tr.wantNoRest(t)
}

func (tr *tree) wantNoRest(t *testing.T) {
	t.Helper()
	check(t, filepath.Walk(tr.path, func(path string, _ os.FileInfo, err error) error {
		if strings.Contains(path, prefix) {
			t.Errorf("%s is left", path)
		}
		return err
	}))
}

// TestBytesRead checks that only the header of a long, finished message is
// read.
func TestBytesRead(t *testing.T) {
	message, header, err := newClient(t, newKeyring(t, "2025")).Encrypt(t.Context(), make([]byte, 10<<20), nil)
	check(t, err)
	src := &countingReader{Reader: bytes.NewReader(message)}
	if _, err := readHeader(src); err != nil || src.n > 4096 || header.Length > 4096 {
		t.Errorf("%d bytes were read for a header of %d, %v", src.n, header.Length, err)
	}
}

type countingReader struct {
	io.Reader
	n int
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n += n
	return n, err
}

// TestBadFiles checks that a file that can't be rotated stays as it is, and
// that the others are rotated.
func TestBadFiles(t *testing.T) {
	tr := newTree(t)
	plaintext := bytes.Repeat([]byte("secret "), 50_000)
	tr.message(t, "good", tr.From, plaintext)
	message := tr.message(t, "z", tr.From, plaintext)
	length := len(message)
	changed := func(at int) []byte {
		m := bytes.Clone(message)
		m[at] ^= 1
		return m
	}
	header := must[*esdk.Header](t)(esdk.ParseHeader(bytes.NewReader(message)))
	bad := map[string][]byte{
		"changed":          changed(length / 2),
		"header-changed":   changed(header.Length - 1),
		"signature":        changed(length - 1),
		"truncated":        message[:length/2],
		"at-the-signature": message[:length-1],
		"continued":        append(bytes.Clone(message), 0),
		prefix + "killed":  message[:length/2],
	}
	for name, m := range bad {
		tr.write(t, name, m)
	}
	bad["other-key"] = tr.message(t, "other-key", newClient(t, newKeyring(t, "other")), plaintext)
	counts, err := tr.Run(t.Context(), tr.root)
	if counts != (Counts{Rotated: 2}) || !errors.Is(err, esdk.ErrAuthentication) || !errors.Is(err, io.ErrUnexpectedEOF) || !errors.Is(err, esdk.ErrNoDataKey) {
		t.Errorf("%+v, %v", counts, err)
	}
	for name, m := range bad {
		if err == nil || !strings.Contains(err.Error(), name+": ") || !bytes.Equal(tr.read(t, name), m) {
			t.Errorf("%s: %v", name, err)
		}
	}
	tr.wantRotated(t, "good", plaintext)
	check(t, os.Remove(filepath.Join(tr.path, prefix+"killed")))
	tr.wantNoRest(t)
}

// TestForgedHeader checks that a forged header keeps a file from being rotated,
// and that the new key alone doesn't open the file.
func TestForgedHeader(t *testing.T) {
	tr := newTree(t)
	message := tr.message(t, "a", tr.From, []byte("secret"))
	tr.write(t, "a", bytes.Replace(message, []byte("2025"), []byte("2026"), 1))
	counts, err := tr.Run(t.Context(), tr.root)
	if err != nil || counts != (Counts{Done: 1}) {
		t.Errorf("%+v, %v", counts, err)
	}
	if _, err := esdk.Decrypt(t.Context(), tr.to, tr.read(t, "a"), nil); !errors.Is(err, esdk.ErrNoDataKey) {
		t.Errorf("the forged message: %v", err)
	}
}

// TestChangedMeanwhile checks that a file isn't lost if it's replaced during
// its rotation.
func TestChangedMeanwhile(t *testing.T) {
	tr := newTree(t)
	tr.message(t, "a", tr.From, []byte("old"))
	newer, _, err := tr.From.Encrypt(t.Context(), []byte("newer"), esdk.EncryptionContext{"file": "a"})
	check(t, err)
	tr.from.onUnwrap = func() {
		tr.write(t, "b", newer)
		check(t, os.Rename(filepath.Join(tr.path, "b"), filepath.Join(tr.path, "a")))
	}
	counts, err := tr.Run(t.Context(), tr.root)
	if err == nil || !strings.Contains(err.Error(), "changed meanwhile") || counts != (Counts{}) || !bytes.Equal(tr.read(t, "a"), newer) {
		t.Errorf("%+v, %v", counts, err)
	}
	tr.wantNoRest(t)
	tr.from.onUnwrap = nil
	if _, err := tr.Run(t.Context(), tr.root); err != nil {
		t.Error(err)
	}
	tr.wantRotated(t, "a", []byte("newer"))
}

func TestWrongKey(t *testing.T) {
	tr := newTree(t)
	tr.Key.Name = "another"
	message := tr.message(t, "a", tr.From, []byte("secret"))
	if counts, err := tr.Run(t.Context(), tr.root); err == nil || counts != (Counts{}) || !bytes.Equal(tr.read(t, "a"), message) {
		t.Errorf("the client of the new key has another one: %+v, %v", counts, err)
	}
	tr.wantNoRest(t)
}

func TestCancelled(t *testing.T) {
	tr := newTree(t)
	tr.message(t, "a", tr.From, []byte("secret"))
	tr.message(t, "b", tr.From, []byte("secret"))
	ctx, cancel := context.WithCancel(t.Context())
	tr.from.onUnwrap = cancel // during the first file
	if _, err := tr.Run(ctx, tr.root); !errors.Is(err, context.Canceled) || tr.from.unwraps != 1 || strings.Contains(err.Error(), "b: ") {
		t.Errorf("%v, after %d files", err, tr.from.unwraps)
	}
	tr.wantNoRest(t)
}

func BenchmarkFile(b *testing.B) {
	tr := newTree(b)
	old := tr.message(b, "a", tr.From, make([]byte, 1<<20))
	b.Run("rotate 1 MiB", func(b *testing.B) {
		for b.Loop() {
			tr.write(b, "a", old)
			if counts, err := tr.Run(b.Context(), tr.root); err != nil || counts.Rotated != 1 {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(tr.read(b, "a"))-len(old)), "bytes-added/file")
	})
	b.Run("done", func(b *testing.B) {
		for b.Loop() {
			if counts, err := tr.Run(b.Context(), tr.root); err != nil || counts.Done != 1 {
				b.Fatal(err)
			}
		}
	})
}
