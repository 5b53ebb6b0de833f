// Package kmsarn reads the ARNs of AWS KMS keys.
// Specification: framework/aws-kms/aws-kms-key-arn.md.
package kmsarn

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// An ARN is the name that a key has everywhere. It can be compared.
type ARN struct {
	Partition, Region, Account string
	KeyID                      string
}

// Parse reads the ARN of a key. That of an alias is an error.
func Parse(s string) (ARN, error) {
	parts := strings.Split(s, ":")
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "kms" || !utf8.ValidString(s) {
		return ARN{}, fmt.Errorf("%q is not the ARN of a KMS key", s)
	}
	kind, id, _ := strings.Cut(parts[5], "/")
	a := ARN{Partition: parts[1], Region: parts[3], Account: parts[4], KeyID: id}
	switch {
	case a.Partition == "" || a.Region == "" || a.Account == "" || a.KeyID == "":
		return ARN{}, fmt.Errorf("%q is not the ARN of a KMS key: a part of it is empty", s)
	case kind == "alias":
		return ARN{}, fmt.Errorf("%q is the ARN of an alias, not of a key", s)
	case kind != "key":
		return ARN{}, fmt.Errorf("%q is not the ARN of a KMS key", s)
	}
	return a, nil
}

func (a ARN) String() string {
	return "arn:" + a.Partition + ":kms:" + a.Region + ":" + a.Account + ":key/" + a.KeyID
}

// IsMRK reports whether the key is a multi-Region key.
func (a ARN) IsMRK() bool { return strings.HasPrefix(a.KeyID, "mrk-") }

// In returns the ARN of the replica in a Region.
func (a ARN) In(region string) ARN {
	a.Region = region
	return a
}

// MatchMRK reports whether one key decrypts what the other encrypted: they are
// the same, or both are replicas of one multi-Region key.
// Specification: framework/aws-kms/aws-kms-mrk-match-for-decrypt.md.
func MatchMRK(a, b ARN) bool { return a == b || a.IsMRK() && a.In(b.Region) == b }
