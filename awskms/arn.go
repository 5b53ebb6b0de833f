package awskms

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"esdk/internal/kmsarn"
)

func isKeyARN(id string) bool {
	_, err := kmsarn.ParseKey(id)
	return err == nil
}

// checkIdentifier fails unless id has a form of key identifier that AWS KMS
// accepts: the ARN of a key or an alias, an alias, or a bare key id. It returns
// the Region of an ARN.
//
// Specification:
// framework/aws-kms/aws-kms-key-arn.md#a-valid-aws-kms-identifier.
func checkIdentifier(id string) (region string, err error) {
	alias, isAlias := strings.CutPrefix(id, "alias/")
	switch {
	case id == "":
		return "", errors.New("key id is empty")
	case !utf8.ValidString(id):
		return "", fmt.Errorf("key id %q is not valid UTF-8", id)
	case strings.HasPrefix(id, "arn:"):
		a, err := kmsarn.Parse(id)
		return a.Region, err
	case isAlias && alias != "" && !strings.Contains(alias, ":"):
		return "", nil
	case strings.ContainsAny(id, "/: \t\r\n"):
		return "", fmt.Errorf("%q is neither an ARN, an alias nor a key id of AWS KMS", id)
	}
	return "", nil
}

// mrkOf returns the key id that all replicas of a multi-Region key share, from
// an ARN or a bare id. It returns false for any other key, and for aliases.
//
// Specification:
// framework/aws-kms/aws-kms-key-arn.md#identifying-an-an-aws-kms-multi-region-identifier.
func mrkOf(id string) (keyID string, ok bool) {
	if a, err := kmsarn.Parse(id); err == nil {
		return a.ResourceID, a.IsMRK()
	}
	return id, kmsarn.IsMRKID(id)
}

// matchMRK reports whether the configured key decrypts data that the other key
// encrypted: they are equal, or replicas of the same multi-Region key.
//
// Specification: framework/aws-kms/aws-kms-mrk-match-for-decrypt.md.
func matchMRK(configured, other string) bool {
	if configured == other {
		return true
	}
	a, errA := kmsarn.Parse(configured)
	b, errB := kmsarn.Parse(other)
	return errA == nil && errB == nil && kmsarn.MatchMRK(a, b)
}

// checkMRKsUnique fails if two of the keys are replicas of the same
// multi-Region key, and lists all such keys.
//
// Specification: framework/aws-kms/aws-kms-mrk-are-unique.md.
func checkMRKsUnique(ids []string) error {
	if d := duplicateMRKs(ids); len(d) > 0 {
		return fmt.Errorf("awskms: a keyring takes only one replica of a multi-Region key: %s", strings.Join(d, ", "))
	}
	return nil
}

func duplicateMRKs(ids []string) (duplicates []string) {
	count := make(map[string]int)
	for _, id := range ids {
		if keyID, ok := mrkOf(id); ok {
			count[keyID]++
		}
	}
	for _, id := range ids {
		if keyID, ok := mrkOf(id); ok && count[keyID] > 1 {
			duplicates = append(duplicates, id)
		}
	}
	return duplicates
}
