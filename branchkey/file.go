package branchkey

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// lockTimeout bounds the wait for another process.
const lockTimeout = 10 * time.Second

// The file is a database of bbolt. This bucket contains a bucket for each
// branch key id, which maps types to items in JSON.
const itemsBucket = "esdk/branch-keys/v1"

// storedItem is an item in the file.
type storedItem struct {
	Enc        []byte            `json:"enc"`
	Attributes map[string]string `json:"attributes"`
}

type fileStorage struct {
	path    string
	timeout time.Duration
	page    int // the number of items that List reads each time it opens the file
}

// NewFileStorage returns a storage in a local file, for a single machine and
// for development. The directory must exist.
//
// Writes are atomic and synced to disk. Killing a process at any moment leaves
// the file readable, with all of a write or none of it. Several processes may
// use the file. Each opens it for one operation at a time. While one writes,
// the others wait up to 10 seconds, or until their context ends, and then fail
// with [ErrLocked]. Don't put the file on a network file system.
//
// [Store.CreateKeyStore] creates the file, readable by its owner alone. It
// holds no key in the clear, but anyone who can write to it can bring back an
// old version.
func NewFileStorage(path string) (Storage, error) {
	if path == "" {
		return nil, errors.New("branchkey: path of the file is empty")
	}
	return &fileStorage{path, lockTimeout, listPage}, nil
}

func (f *fileStorage) Name() string { return f.path }

func (f *fileStorage) Create(ctx context.Context) (string, error) {
	if _, err := os.Lstat(f.path); errors.Is(err, fs.ErrNotExist) {
		if err := f.create(); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
	return f.path, f.view(ctx, func(*bbolt.Bucket) error { return nil })
}

// create builds the file under a temporary name, so that it is complete when it
// appears.
func (f *fileStorage) create() error {
	temporary, err := os.CreateTemp(filepath.Dir(f.path), filepath.Base(f.path)+".*.tmp") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	if err := temporary.Close(); err != nil {
		return err
	}
	db, err := bbolt.Open(temporary.Name(), 0o600, nil)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte(itemsBucket))
		return err
	})
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := os.Link(temporary.Name(), f.path); err != nil {
		return f.rename(temporary.Name(), err)
	}
	syncDir(filepath.Dir(f.path))
	return nil
}

// rename replaces the link on file systems that have no links.
func (f *fileStorage) rename(temporary string, linkErr error) error {
	if _, err := os.Lstat(f.path); err == nil || errors.Is(linkErr, fs.ErrExist) {
		return fs.ErrExist
	}
	if err := os.Rename(temporary, f.path); err != nil {
		return err
	}
	syncDir(filepath.Dir(f.path))
	return nil
}

// syncDir makes a new name durable. It does nothing on systems that can't sync
// a directory.
func syncDir(path string) {
	if dir, err := os.Open(path); err == nil {
		dir.Sync()
		dir.Close()
	}
}

func (f *fileStorage) Get(ctx context.Context, id, itemType string, _ bool) (item *Item, err error) {
	err = f.view(ctx, func(items *bbolt.Bucket) error {
		item, err = getItem(items.Bucket([]byte(id)), id, itemType)
		return err
	})
	if err != nil {
		return nil, err
	}
	return item, nil
}

func getItem(types *bbolt.Bucket, id, itemType string) (*Item, error) {
	if types == nil {
		return nil, ErrNotFound
	}
	text := types.Get([]byte(itemType))
	if text == nil {
		return nil, ErrNotFound
	}
	return parseItem(id, itemType, text)
}

func parseItem(id, itemType string, text []byte) (*Item, error) {
	var s storedItem
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrItem, err)
	}
	return &Item{ID: id, Type: itemType, Enc: s.Enc, Attributes: s.Attributes}, nil
}

// listPage is the number of items that List reads each time it opens the file.
// It closes the file between two pages, so that a slow consumer doesn't block
// writers.
const listPage = 100

func (f *fileStorage) List(ctx context.Context, id string) iter.Seq2[*Item, error] {
	return func(yield func(*Item, error) bool) {
		after := &Item{ID: id}
		for more := true; more; {
			var page []listed
			err := f.view(ctx, func(items *bbolt.Bucket) (err error) {
				page, err = f.listItems(items, id, after)
				return err
			})
			if err != nil {
				yield(nil, err)
				return
			}
			if more = len(page) == f.page; more {
				last := page[len(page)-1].item
				after = &Item{ID: last.ID, Type: last.Type} // the consumer of the last item may change it
			}
			for _, l := range page {
				if !yield(l.item, l.err) {
					return
				}
			}
		}
	}
}

// listed is an item of a list. A malformed item has only its ID and Type, and
// an error.
type listed struct {
	item *Item
	err  error
}

// listItems returns the items that follow after, of a branch key, or of all
// branch keys if id is empty.
func (f *fileStorage) listItems(items *bbolt.Bucket, id string, after *Item) (page []listed, err error) {
	var typesErr error
	err = each(items, after.ID, func(next string, _ []byte) bool {
		types := items.Bucket([]byte(next))
		if id != "" && next != id {
			return false
		}
		if types == nil {
			return true // a value beside the buckets, which Write never creates
		}
		start := ""
		if next == after.ID && after.Type != "" {
			start = successor(after.Type)
		}
		typesErr = each(types, start, func(itemType string, text []byte) bool {
			if len(page) < f.page {
				page = append(page, listItem(next, itemType, text))
			}
			return len(page) < f.page
		})
		return typesErr == nil && len(page) < f.page
	})
	return page, errors.Join(err, typesErr)
}

func listItem(id, itemType string, text []byte) listed {
	item, err := parseItem(id, itemType, text)
	if err != nil {
		item = &Item{ID: id, Type: itemType}
	}
	return listed{item, err}
}

// each visits the entries of a bucket from start on. It checks their order,
// since the keys of a damaged file can be out of order and never end.
func each(b *bbolt.Bucket, start string, visit func(key string, value []byte) bool) error {
	c := b.Cursor()
	for key, value := c.Seek([]byte(start)); key != nil; key, value = c.Next() {
		if string(key) < start {
			return fmt.Errorf("%w: the file is damaged: its items are out of order", ErrSchema)
		}
		if !visit(string(key), value) {
			return nil
		}
		start = successor(string(key))
	}
	return nil
}

// successor returns the smallest string greater than s.
func successor(s string) string { return s + "\x00" }

func (f *fileStorage) Write(ctx context.Context, puts ...Put) error {
	return f.with(ctx, false, func(db *bbolt.DB) error {
		return db.Update(func(tx *bbolt.Tx) error {
			items := tx.Bucket([]byte(itemsBucket))
			if items == nil {
				return ErrSchema
			}
			for _, p := range puts {
				if err := putItem(items, &p); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func putItem(items *bbolt.Bucket, p *Put) error {
	types, err := items.CreateBucketIfNotExists([]byte(p.Item.ID))
	if err != nil {
		return err
	}
	stored, err := getItem(types, p.Item.ID, p.Item.Type)
	exists := !errors.Is(err, ErrNotFound)
	switch {
	case exists != (p.Replaces != nil):
		return p.failed()
	case exists && err != nil:
		return err
	case exists && !bytes.Equal(stored.Enc, p.Replaces):
		return p.failed()
	}
	text, err := json.Marshal(storedItem{p.Item.Enc, p.Item.Attributes})
	if err != nil {
		return err
	}
	return types.Put([]byte(p.Item.Type), text)
}

func (f *fileStorage) view(ctx context.Context, read func(items *bbolt.Bucket) error) error {
	return f.with(ctx, true, func(db *bbolt.DB) error {
		return db.View(func(tx *bbolt.Tx) error {
			items := tx.Bucket([]byte(itemsBucket))
			if items == nil {
				return ErrSchema
			}
			return read(items)
		})
	})
}

// with opens the file for one operation. On a damaged file, bbolt panics or
// reads beyond the end of the file. with turns both into errors.
func (f *fileStorage) with(ctx context.Context, readOnly bool, use func(*bbolt.DB) error) (err error) {
	var file *os.File
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			file.Close() // bbolt may have left it open, and it holds the lock
			err = fmt.Errorf("%w: the file is damaged: %v", ErrSchema, r)
		}
		if err != nil {
			err = fmt.Errorf("key store file %s: %w", f.path, err)
		}
	}()
	db, err := f.open(ctx, readOnly, func(name string, flag int, mode fs.FileMode) (*os.File, error) {
		var err error
		file, err = openExisting(name, flag, mode)
		return file, err
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return use(db)
}

// open opens the file, and waits for its lock, which readers share.
func (f *fileStorage) open(ctx context.Context, readOnly bool, openFile func(string, int, fs.FileMode) (*os.File, error)) (*bbolt.DB, error) {
	giveUp := time.NewTimer(f.timeout)
	defer giveUp.Stop()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for {
		db, err := bbolt.Open(f.path, 0o600, &bbolt.Options{
			ReadOnly: readOnly,
			Timeout:  1, // zero would wait forever and ignore the context
			OpenFile: openFile,
		})
		if !errors.Is(err, berrors.ErrTimeout) {
			return db, openError(err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrLocked, ctx.Err())
		case <-giveUp.C:
			return nil, ErrLocked
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// openExisting opens a file, and never creates one. It rejects an empty file,
// since bbolt would turn it into a database.
func openExisting(name string, flag int, mode fs.FileMode) (*os.File, error) {
	file, err := os.OpenFile(name, flag&^os.O_CREATE, mode)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && (info.Size() == 0 || !info.Mode().IsRegular()) {
		err = ErrSchema
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func openError(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %w", ErrNoKeyStore, err)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrVersionMismatch), errors.Is(err, berrors.ErrChecksum):
		return fmt.Errorf("%w: %w", ErrSchema, err)
	}
	return err
}
