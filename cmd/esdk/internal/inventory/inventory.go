package inventory

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"time"
)

// An Entry is an inventory's description of a version of an object.
type Entry struct {
	Key       string
	VersionID string // "" if the inventory has none

	// Latest reports whether it's known to be the current version. It is true
	// if the inventory lists only current versions.
	Latest       bool
	DeleteMarker bool

	Size     int64     // -1 if the inventory has none
	Modified time.Time // zero if the inventory has none
}

// All yields the entries in the order of the inventory. It stops after an
// error, since nothing after it can be trusted. The entries of a data file are
// yielded only after all of the file has been verified.
func (i *Inventory) All(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for n := range i.data {
			if !i.file(ctx, &i.data[n], yield) {
				return
			}
		}
	}
}

// Files returns the number of data files.
func (i *Inventory) Files() int { return len(i.data) }

// File is like All for one data file. Data files are numbered from 0.
func (i *Inventory) File(ctx context.Context, n int) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) { i.file(ctx, &i.data[n], yield) }
}

// file yields the entries of a data file, and returns false after an error.
func (i *Inventory) file(ctx context.Context, f *dataFile, yield func(Entry, error) bool) bool {
	v, err := i.verify(ctx, f)
	if err != nil {
		yield(Entry{}, about(f.key, err))
		return false
	}
	defer v.close()
	more := true
	return i.format.entries(v, func(e Entry, err error) bool {
		if err != nil {
			err, more = about(f.key, err), false
		}
		return yield(e, err) && more
	})
}

// A verified is a copy of a data file that no other program can change.
type verified struct {
	*os.File
	size int64
}

// verify copies a data file to one without a name, so that the verified bytes
// are the ones that are read. On systems where an open file keeps its name, it
// keeps it until it's closed.
func (i *Inventory) verify(ctx context.Context, f *dataFile) (*verified, error) {
	in, err := i.files(ctx, f.key)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	out, err := os.CreateTemp("", "esdk-inventory-*")
	if err != nil {
		return nil, err
	}
	os.Remove(out.Name())
	v := &verified{out, f.size}
	if err := v.copy(in, f); err != nil {
		v.close()
		return nil, err
	}
	return v, nil
}

func (v *verified) copy(in io.Reader, f *dataFile) error {
	sum := md5.New()
	n, err := io.Copy(io.MultiWriter(v.File, sum), io.LimitReader(in, f.size+1))
	switch {
	case err != nil:
		return err
	case n < f.size:
		return fmt.Errorf("the file has %d bytes, but %d in the manifest", n, f.size)
	case n > f.size:
		return fmt.Errorf("the file has more than the %d bytes in the manifest", f.size)
	case [md5.Size]byte(sum.Sum(nil)) != f.md5:
		return errors.New("the file does not match its checksum in the manifest")
	}
	_, err = v.Seek(0, io.SeekStart)
	return err
}

func (v *verified) close() {
	v.Close()
	os.Remove(v.Name()) // no error check: mostly it's gone already
}
