package branchkey

import (
	"context"
	"iter"
)

// A Storage stores the items of a key store: [NewDynamoDBStorage] in a table of
// DynamoDB, [NewFileStorage] in a local file. It sees no key in the clear, and
// AWS KMS authenticates each item that it returns. But it can withhold items,
// and return an old active version, which is authentic, too. It must be safe
// for concurrent use.
type Storage interface {
	// Name returns the name of the table or the path of the file.
	Name() string

	// Create creates the table or file unless it exists, and returns its ARN or
	// path. It fails with [ErrSchema] if something else exists by that name.
	Create(ctx context.Context) (string, error)

	// Get returns an item, which the caller owns. If consistent is set, the
	// item is as the last Write left it; otherwise it may be older. Get fails
	// with [ErrNotFound] if the item does not exist, with [ErrNoKeyStore] if
	// the key store does not exist, and with [ErrItem] if it has attributes
	// that an [Item] can't have.
	Get(ctx context.Context, id, itemType string, consistent bool) (*Item, error)

	// List yields the items of a branch key, or of all branch keys if id is
	// empty, each as some Write left it, in bounded memory. It yields every
	// item that exists when it begins and is not removed. Other items may be
	// written or replaced meanwhile, also by the caller between two items. A
	// malformed item is yielded with its ID and Type and an error that matches
	// [ErrItem]. Any other error is the last.
	List(ctx context.Context, id string) iter.Seq2[*Item, error]

	// Write does all of the puts or none. It fails with [ErrExists] or
	// [ErrConflict] if a condition does not hold, and with [ErrNoKeyStore] if
	// the key store does not exist.
	Write(ctx context.Context, puts ...Put) error
}

// An Item is a branch key, a version of it, or a beacon key, encrypted by AWS
// KMS. ID and Type identify it.
//
// Specification: [framework/branch-key-store.md#record-format].
//
// [framework/branch-key-store.md#record-format]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/branch-key-store.md#record-format
type Item struct {
	ID   string // the attribute branch-key-id
	Type string // branch:ACTIVE, branch:version:UUID or beacon:ACTIVE
	Enc  []byte // the encrypted key

	// Attributes are all other attributes by name. All are strings, except for
	// hierarchy-version, a number in storages that have numbers.
	Attributes map[string]string
}

// A Put stores an item if a condition holds.
type Put struct {
	Item *Item

	// Replaces is the encrypted key that the stored item must have; otherwise,
	// the put fails with [ErrConflict]. If it is nil, the item must not exist;
	// otherwise, the put fails with [ErrExists].
	Replaces []byte
}

// failed returns the error for a violated condition.
func (p *Put) failed() error {
	if p.Replaces == nil {
		return ErrExists
	}
	return ErrConflict
}
