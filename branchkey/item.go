package branchkey

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"
	"unicode/utf8"

	"esdk"
)

// All implementations share these names of attributes. The encryption context
// of AWS KMS has the same names, except for enc.
//
// Specification: framework/branch-key-store.md#record-format.
const (
	idAttribute        = "branch-key-id"
	typeAttribute      = "type"
	versionAttribute   = "version"
	encAttribute       = "enc"
	kmsARNAttribute    = "kms-arn"
	timeAttribute      = "create-time"
	hierarchyAttribute = "hierarchy-version"
	customPrefix       = "aws-crypto-ec:"

	tableName = "tablename" // the logical name; only in the encryption context
)

const (
	activeType    = "branch:ACTIVE"
	versionPrefix = "branch:version:"
	beaconType    = "beacon:ACTIVE"

	hierarchyVersion = "1"

	// timeFormat has microseconds.
	timeFormat = "2006-01-02T15:04:05.000000Z"
)

// maxID is the limit of DynamoDB for a partition key, in bytes.
const maxID = 2048

// checkName rejects strings that can't be branch key ids, logical names or
// partition ids. A NUL could make two cache ids equal.
func checkName(what, s string) error {
	switch {
	case s == "":
		return fmt.Errorf("branchkey: %s is empty", what)
	case len(s) > maxID:
		return fmt.Errorf("branchkey: %s is longer than %d bytes", what, maxID)
	case !utf8.ValidString(s) || strings.Contains(s, "\x00"):
		return fmt.Errorf("branchkey: %s %q has a NUL or is not valid UTF-8", what, s)
	}
	return nil
}

// newAttributes returns the attributes that the three items of a new key share.
func newAttributes(kmsARN string, now time.Time, custom esdk.EncryptionContext) map[string]string {
	a := map[string]string{
		kmsARNAttribute:    kmsARN,
		timeAttribute:      now.UTC().Format(timeFormat),
		hierarchyAttribute: hierarchyVersion,
	}
	for k, v := range custom {
		a[customPrefix+k] = v
	}
	return a
}

// newVersionItems returns the items of a new version, without their keys yet:
// stays is the item of the version itself, active is replaced by the next
// version.
func newVersionItems(id, version string, attributes map[string]string) (stays, active *Item) {
	stays = &Item{ID: id, Type: versionPrefix + version, Attributes: maps.Clone(attributes)}
	active = &Item{ID: id, Type: activeType, Attributes: maps.Clone(attributes)}
	active.Attributes[versionAttribute] = versionPrefix + version
	return stays, active
}

// kmsContext returns the encryption context of the item's key. It has every
// attribute, even unknown ones, so that none can be changed or added.
//
// Specification: framework/branch-key-store.md#encryption-context.
func (i *Item) kmsContext(logicalName string) map[string]string {
	ec := maps.Clone(i.Attributes)
	ec[idAttribute] = i.ID
	ec[typeAttribute] = i.Type
	ec[tableName] = logicalName
	return ec
}

// custom returns the encryption context given to [Store.CreateKey].
func (i *Item) custom() esdk.EncryptionContext {
	ec := esdk.EncryptionContext{}
	for k, v := range i.Attributes {
		if name, ok := strings.CutPrefix(k, customPrefix); ok {
			ec[name] = v
		}
	}
	return ec
}

// version returns the UUID of the version. It is empty for a beacon key.
func (i *Item) version() string {
	if i.Type == activeType {
		return strings.TrimPrefix(i.Attributes[versionAttribute], versionPrefix)
	}
	version, _ := strings.CutPrefix(i.Type, versionPrefix)
	if version == i.Type {
		return ""
	}
	return version
}

// enc returns the encrypted key, or nil if there is no item.
func (i *Item) enc() []byte {
	if i == nil {
		return nil
	}
	return i.Enc
}

// check verifies that the item is the requested one and has the required
// attributes. AWS KMS authenticates their values.
func (i *Item) check(id, itemType string) error {
	if v, ok := i.Attributes[hierarchyAttribute]; ok && v != hierarchyVersion {
		return fmt.Errorf("%w: %q; this package knows %s", ErrHierarchyVersion, v, hierarchyVersion)
	}
	if i.ID != id || i.Type != itemType {
		return fmt.Errorf("%w: the storage returned the item %q of %q", ErrItem, i.Type, i.ID)
	}
	if len(i.Enc) == 0 {
		return missing(encAttribute)
	}
	for _, name := range []string{kmsARNAttribute, timeAttribute, hierarchyAttribute} {
		if i.Attributes[name] == "" {
			return missing(name)
		}
	}
	// kmsContext would overwrite these.
	for _, name := range []string{tableName, encAttribute, idAttribute, typeAttribute} {
		if _, ok := i.Attributes[name]; ok {
			return fmt.Errorf("%w: it has an attribute %q", ErrItem, name)
		}
	}
	return i.checkVersion()
}

func missing(name string) error {
	return fmt.Errorf("%w: it has no attribute %q", ErrItem, name)
}

func (i *Item) checkVersion() error {
	v, ok := i.Attributes[versionAttribute]
	if ok != (i.Type == activeType) {
		return fmt.Errorf("%w: active items have a version, and only they", ErrItem)
	}
	if ok && !strings.HasPrefix(v, versionPrefix) {
		return fmt.Errorf("%w: version %q does not start with %q", ErrItem, v, versionPrefix)
	}
	if i.Type == beaconType {
		return nil
	}
	if _, err := parseUUID(i.version()); err != nil {
		return fmt.Errorf("%w: version: %w", ErrItem, err)
	}
	return nil
}

// newUUID returns a random UUID, of version 4.
func newUUID() [16]byte {
	var u [16]byte
	rand.Read(u[:])
	u[6] = u[6]&0x0F | 0x40
	u[8] = u[8]&0x3F | 0x80
	return u
}

func formatUUID(u [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// parseUUID reads a UUID in lower case: decryption formats the version in a
// message this way to look up the item.
func parseUUID(s string) (u [16]byte, err error) {
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err == nil && len(b) == len(u) {
		u = [16]byte(b)
		if formatUUID(u) == s {
			return u, nil
		}
	}
	return u, errors.New("not a UUID in lower case")
}
