package branchkey

import "errors"

// These errors are for callers to act on. Every error of this package wraps one
// of these, or an error of AWS, the file system or the context, or is about a
// mistake in the arguments. Test for them with [errors.Is]; [errors.As] finds
// the errors of the AWS SDK.
var (
	// ErrNotFound means that the branch key, or this version of it, does not
	// exist.
	ErrNotFound = errors.New("branchkey: branch key not found")

	// ErrExists means that a branch key with this id exists already.
	ErrExists = errors.New("branchkey: branch key already exists")

	// ErrConflict means that somebody else changed the branch key meanwhile.
	// The failed call changed nothing, unless it is [Store.RekeyBranchKey]. If
	// you only need a new version, there may be one now.
	ErrConflict = errors.New("branchkey: branch key was changed in the meantime")

	// ErrNoKeyStore means that the table or the file does not exist:
	// [Store.CreateKeyStore] creates it.
	ErrNoKeyStore = errors.New("branchkey: key store does not exist")

	// ErrSchema means that the table or the file is not a key store.
	ErrSchema = errors.New("branchkey: not a key store")

	// ErrItem means that an item of the key store is not as it was written: it
	// lacks attributes, was changed, or belongs to another logical name.
	ErrItem = errors.New("branchkey: item of the key store is not authentic")

	// ErrHierarchyVersion means that an item has a version of the format that
	// this package does not know.
	ErrHierarchyVersion = errors.New("branchkey: unknown hierarchy version")

	// ErrKMSKey means that an item, or an answer of AWS KMS, names a KMS key
	// that the [KMSConfig] does not allow.
	ErrKMSKey = errors.New("branchkey: wrong KMS key")

	// ErrDiscovery means that a [KMSConfig] with discovery can neither create
	// nor re-key branch keys.
	ErrDiscovery = errors.New("branchkey: creating, versioning and re-keying keys needs a KMS key of its own, not discovery")

	// ErrLocked means that another process did not release the file in time.
	ErrLocked = errors.New("branchkey: key store file is in use")
)
