// Package kmsarn parses the ARNs of AWS KMS keys.
//
// Specification: framework/aws-kms/aws-kms-key-arn.md.
package kmsarn

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// An ARN is the globally unique name of a key or an alias in AWS KMS. ARNs are
// comparable.
type ARN struct {
	Partition, Region, Account string
	ResourceType               string // key or alias
	ResourceID                 string
}

// Parse parses the ARN of a key or an alias.
func Parse(s string) (ARN, error) {
	parts := strings.Split(s, ":")
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "kms" || !utf8.ValidString(s) {
		return ARN{}, fmt.Errorf("%q is not an ARN of AWS KMS", s)
	}
	a := ARN{Partition: parts[1], Region: parts[3], Account: parts[4]}
	a.ResourceType, a.ResourceID, _ = strings.Cut(parts[5], "/")
	switch {
	case a.Partition == "" || a.Region == "" || a.Account == "" || a.ResourceID == "":
		return ARN{}, fmt.Errorf("%q is not an ARN of AWS KMS: a part of it is empty", s)
	case a.ResourceType != "key" && a.ResourceType != "alias":
		return ARN{}, fmt.Errorf("%q is not the ARN of a key or an alias", s)
	}
	return a, nil
}

// ParseKey parses the ARN of a key. The ARN of an alias is an error.
func ParseKey(s string) (ARN, error) {
	a, err := Parse(s)
	if err == nil && a.ResourceType != "key" {
		return ARN{}, fmt.Errorf("%q is the ARN of an alias, not of a key", s)
	}
	return a, err
}

func (a ARN) String() string {
	return "arn:" + a.Partition + ":kms:" + a.Region + ":" + a.Account + ":" + a.ResourceType + "/" + a.ResourceID
}

// IsMRK reports whether the ARN names a multi-Region key.
func (a ARN) IsMRK() bool { return a.ResourceType == "key" && IsMRKID(a.ResourceID) }

// IsMRKID reports whether a bare key ID names a multi-Region key.
func IsMRKID(id string) bool { return strings.HasPrefix(id, "mrk-") }

// In returns the ARN of the replica in a Region.
func (a ARN) In(region string) ARN {
	a.Region = region
	return a
}

// MatchMRK reports whether one key decrypts data keys that the other encrypted:
// they are the same key, or both are replicas of one multi-Region key.
//
// Specification: framework/aws-kms/aws-kms-mrk-match-for-decrypt.md.
func MatchMRK(a, b ARN) bool { return a == b || a.IsMRK() && a.In(b.Region) == b }
