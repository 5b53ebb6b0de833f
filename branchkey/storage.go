package branchkey

import (
	"context"
	"iter"
)

// A Storage keeps the items of a key store: [NewDynamoDBStorage] in a table of
// DynamoDB, [NewFileStorage] in a local file. It sees no key in the clear, and AWS
// KMS authenticates each item that it returns. But it can withhold items, and
// return an old active version, which is authentic too. It is safe for concurrent
// use.
type Storage interface {
	// Name names the table or the file.
	Name() string

	// Create makes the table or file unless it exists, and returns its ARN or
	// path. It fails with [ErrSchema] if something else exists by that name.
	Create(ctx context.Context) (string, error)

	// Get returns an item, which the caller owns. If consistent is set, it is as
	// the last Write left it, else it may be older. Get fails with [ErrNotFound]
	// if there is none, with [ErrNoKeyStore] if nothing was created, and with
	// [ErrItem] if there are attributes that no [Item] has.
	Get(ctx context.Context, id, itemType string, consistent bool) (*Item, error)

	// List yields the items of a branch key, or of all if id is empty, as some Write
	// left them, and in bounded memory. Items that are there when it begins and are
	// not removed are among them. Others may be written or replaced meanwhile, also by
	// the caller between two items. What is no [Item] is yielded with its ID and Type
	// and an error that matches [ErrItem]; any other error is the last that is yielded.
	List(ctx context.Context, id string) iter.Seq2[*Item, error]

	// Write does all of the puts, or none: it fails with [ErrExists] or
	// [ErrConflict] if a condition does not hold, and with [ErrNoKeyStore] if
	// nothing was created.
	Write(ctx context.Context, puts ...Put) error
}

// An Item is a branch key, a version of it, or a beacon key, encrypted by AWS
// KMS. ID and Type identify it.
// Specification: framework/branch-key-store.md#record-format.
type Item struct {
	ID   string // the attribute branch-key-id
	Type string // branch:ACTIVE, branch:version:UUID or beacon:ACTIVE
	Enc  []byte // the encrypted key

	// Attributes are all others by their names. All are strings, but for
	// hierarchy-version, which is a number where there are such.
	Attributes map[string]string
}

// A Put stores an item, on a condition.
type Put struct {
	Item *Item

	// Replaces is the encrypted key that the stored item must have, or it is
	// [ErrConflict]. If it is nil, there must be no such item, or it is
	// [ErrExists].
	Replaces []byte
}

// failed returns the error for a condition that does not hold.
func (p *Put) failed() error {
	if p.Replaces == nil {
		return ErrExists
	}
	return ErrConflict
}
