package branchkey

import (
	"context"
	"fmt"
	"iter"

	"esdk"
)

// An Entry describes an item of a key store. It is not authenticated, since
// [Store.List] does not call AWS KMS: anyone who can write to the storage may
// have made it up.
type Entry struct {
	ID      string // of the branch key
	Type    string // of the item: branch:ACTIVE, branch:version:UUID or beacon:ACTIVE
	Version string // a UUID; empty for a beacon key
	Active  bool   // the item names the active version, and has a copy of it

	EncryptionContext esdk.EncryptionContext // as given to [Store.CreateKey]
	KMSKeyARN         string                 // of the KMS key that encrypted the item
	CreateTime        string                 // of the version, in ISO 8601
}

// Beacon reports whether the item is a beacon key.
func (e *Entry) Beacon() bool { return e.Type == beaconType }

// List yields an entry for each item of a branch key, or of all branch keys if
// id is empty. A branch key has an active entry, an entry for each of its
// versions, and one for its beacon key. The entries of a branch key are
// adjacent, both in a table and in a file. Memory use is bounded. DynamoDB is
// queried page by page; listing all branch keys scans the whole table, which
// costs one read unit for every 4 KB.
//
// A malformed item is yielded with an error that matches [ErrItem] or
// [ErrHierarchyVersion], and with an entry that has its ID, its Type and any
// other known fields. Any other error is the last, and comes without an entry:
// the key store does not exist ([ErrNoKeyStore]), or the storage fails. A
// branch key that does not exist has no entries.
//
// The list is not a snapshot: items created or replaced meanwhile may or may
// not be in it. Branch keys may be created, versioned and re-keyed while the
// list goes on.
func (s *Store) List(ctx context.Context, id string) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		for item, err := range s.items(ctx, id) {
			if !yield(entryOf(item), err) {
				return
			}
		}
	}
}

// items yields items, malformed ones with an error. An error without an item is
// the last.
func (s *Store) items(ctx context.Context, id string) iter.Seq2[*Item, error] {
	return func(yield func(*Item, error) bool) {
		if id != "" {
			if err := checkName("branch key id", id); err != nil {
				yield(nil, err)
				return
			}
		}
		for item, err := range s.storage.List(ctx, id) {
			if item == nil {
				if err == nil {
					err = fmt.Errorf("branchkey: key store %q: the storage returned no item", s.storage.Name())
				}
				yield(nil, err)
				return
			}
			if err == nil && id != "" && item.ID != id {
				err = fmt.Errorf("%w: the storage returned an item of %q", ErrItem, item.ID)
			}
			if err == nil {
				err = item.check(item.ID, item.Type)
			}
			if err != nil {
				err = itemError(item.ID, item.Type, err)
			}
			if !yield(item, err) {
				return
			}
		}
	}
}

func entryOf(i *Item) *Entry {
	if i == nil {
		return nil
	}
	return &Entry{
		ID: i.ID, Type: i.Type, Version: i.version(), Active: i.Type == activeType,
		EncryptionContext: i.custom(), KMSKeyARN: i.Attributes[kmsARNAttribute], CreateTime: i.Attributes[timeAttribute],
	}
}
