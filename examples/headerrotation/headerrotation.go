// Package headerrotation moves files from one wrapping key to another, and
// reads only the headers of those that are done.
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

// A Key names a wrapping key as messages do: see esdk.EncryptedDataKey. For a
// raw key, these are its namespace and name; for AWS KMS, aws-kms and the ARN.
type Key struct{ ProviderID, Name string }

// Done reports whether a header has data keys of this key, and of no other.
func (k Key) Done(h *esdk.Header) bool {
	for i := range h.EncryptedDataKeys {
		edk := &h.EncryptedDataKeys[i]
		if edk.ProviderID != k.ProviderID || edk.KeyName() != k.Name {
			return false
		}
	}
	return true
}

// A Rotation encrypts the messages of a directory again, under To.
type Rotation struct {
	From, To *esdk.Client // decrypts the old messages; encrypts under the new key
	Key      Key          // of To
}

// Counts tell what a Rotation did with files.
type Counts struct{ Done, Rotated, NotMessages int }

// Run rotates all files of a directory and below it, and goes on after a file
// that fails. It can be run again, after a failure or for files that have come
// since.
//
// The header decides, and nothing of it is authenticated yet. Whoever can write
// a file can keep it from being rotated: before you destroy the old key, open
// each file with the new key alone. A header can't be exchanged without the
// body, so that what isn't done is written anew, under a data key of its own.
// Its encryption context stays. Pairs that were required without being stored
// aren't in a message: it fails without them.
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

// prefix begins the names of files that aren't complete.
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
	defer dir.Remove(temporary) // unless it was renamed
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

// readHeader reads no more than a few KiB of a message: its header, and what is
// left of the block of 4096 bytes that the header ends in.
func readHeader(src io.Reader) (*esdk.Header, error) { return esdk.ParseHeader(bufio.NewReader(src)) }

// write encrypts a message again, into a file of another name. No plaintext is
// on the disk, and what fails before its end leaves a file that doesn't
// decrypt.
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
