package branchkey

import "errors"

// These errors are for callers to decide on. The errors of this package wrap one
// of these, or one of AWS, the file system or the context, or are about a mistake
// in the arguments. Test for them with [errors.Is]; [errors.As] reaches the errors
// of the AWS SDK.
var (
	// ErrNotFound says that there is no such branch key, or no such version of
	// it.
	ErrNotFound = errors.New("branchkey: branch key not found")

	// ErrExists says that there is a branch key of this id already.
	ErrExists = errors.New("branchkey: branch key exists already")

	// ErrConflict says that somebody else changed the branch key meanwhile. This call
	// changed nothing, unless it is [Store.RekeyBranchKey]. If all that was wanted is
	// a new version, there may be one now.
	ErrConflict = errors.New("branchkey: branch key was changed meanwhile")

	// ErrNoKeyStore says that the table or the file does not exist:
	// [Store.CreateKeyStore] makes it.
	ErrNoKeyStore = errors.New("branchkey: key store does not exist")

	// ErrSchema says that the table or the file is not a key store.
	ErrSchema = errors.New("branchkey: not a key store")

	// ErrItem says that an item of the key store is not as it was written: it
	// lacks attributes, or was changed, or is of another logical name.
	ErrItem = errors.New("branchkey: item of the key store is not authentic")

	// ErrHierarchyVersion says that an item has a version of the format that
	// this package does not know.
	ErrHierarchyVersion = errors.New("branchkey: unknown hierarchy version")

	// ErrKMSKey says that an item is, or an answer of AWS KMS was, of another
	// KMS key than the [KMSConfig] allows.
	ErrKMSKey = errors.New("branchkey: wrong KMS key")

	// ErrDiscovery says that a [KMSConfig] that discovers its keys can neither make
	// nor re-key any.
	ErrDiscovery = errors.New("branchkey: creating, versioning and re-keying keys needs a KMS key of its own, not discovery")

	// ErrLocked says that another process did not let go of the file in time.
	ErrLocked = errors.New("branchkey: key store file is in use")
)
