// Package headerrotation moves files from one wrapping key to another. It reads
// only the headers of files that are done.
package headerrotation

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"esdk"
)

// A Key identifies a wrapping key as messages do: see esdk.EncryptedDataKey.
// For a raw key, the fields are its namespace and name; for AWS KMS, aws-kms
// and the ARN.
type Key struct{ ProviderID, Name string }

// Done reports whether all data keys of a header are encrypted under k.
func (k Key) Done(h *esdk.Header) bool {
	for i := range h.EncryptedDataKeys {
		edk := &h.EncryptedDataKeys[i]
		if edk.ProviderID != k.ProviderID || edk.KeyName() != k.Name {
			return false
		}
	}
	return true
}

// A Rotation re-encrypts the messages of a directory under To.
type Rotation struct {
	From, To *esdk.Client // decrypts the old messages; encrypts under the new key
	Key      Key          // of To
}

// Counts is the result of a Rotation, in files.
type Counts struct{ Done, Rotated, NotMessages int }

// Run rotates all files in a directory and its subdirectories. If a file fails,
// Run continues with the others and joins the errors. Run is idempotent: repeat
// it after a failure or for new files.
//
// Run trusts the header, which isn't authenticated yet. An attacker with write
// access to a file can keep it from being rotated: before you destroy the old
// key, open each file with the new key alone.
//
// A header can't be exchanged without the body, so Run re-encrypts each file
// that isn't done, under a fresh data key. The encryption context stays. Run
// can't supply required pairs that aren't stored in a message, so it fails for
// such messages.
func (r *Rotation) Run(ctx context.Context, dir *os.Root) (counts Counts, err error) {
	var failed []error
	err = fs.WalkDir(dir.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			err = r.file(ctx, dir, name, &counts)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", name, err))
		}
		return ctx.Err()
	})
	return counts, errors.Join(append(failed, err)...)
}

// prefix begins the names of incomplete files.
const prefix = ".rotating-"

func (r *Rotation) file(ctx context.Context, dir *os.Root, name string, counts *Counts) error {
	if strings.HasPrefix(path.Base(name), prefix) {
		return errors.New("is left of a run that was killed: remove it")
	}
	f, err := dir.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return err
	}
	header, err := readHeader(f)
	var format *esdk.FormatError
	switch {
	case errors.As(err, &format):
		counts.NotMessages++
		return nil
	case err != nil:
		return err
	case r.Key.Done(header):
		counts.Done++
		return nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	temporary := path.Join(path.Dir(name), prefix+rand.Text())
	defer dir.Remove(temporary) // no effect after Rename
	if err := r.write(ctx, dir, temporary, f, before.Mode()); err != nil {
		return err
	}
	after, err := dir.Stat(name)
	if err != nil {
		return err
	}
	if !os.SameFile(before, after) || before.Size() != after.Size() || !before.ModTime().Equal(after.ModTime()) {
		return errors.New("was changed meanwhile")
	}
	if err := dir.Rename(temporary, name); err != nil {
		return err
	}
	counts.Rotated++
	return nil
}

// readHeader parses the header of a message. It reads blocks of 4096 bytes, up
// to the block in which the header ends.
func readHeader(src io.Reader) (*esdk.Header, error) { return esdk.ParseHeader(bufio.NewReader(src)) }

// write re-encrypts a message into a new file. No plaintext reaches the disk.
// If write fails, the file is incomplete and doesn't decrypt.
func (r *Rotation) write(ctx context.Context, dir *os.Root, name string, message io.Reader, mode fs.FileMode) error {
	plaintext, err := r.From.NewReader(ctx, message, nil)
	if err != nil {
		return err
	}
	f, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	w, err := r.To.NewWriter(ctx, f, plaintext.Header().UserContext())
	if err != nil {
		return err
	}
	defer w.Abort() // no effect after Close
	if _, err := io.Copy(w, plaintext); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	if !r.Key.Done(w.Header()) {
		return errors.New("the new client encrypts under another key")
	}
	return errors.Join(f.Chmod(mode.Perm()), f.Sync(), f.Close())
}
