package awskms

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// An arn is the name of a key or an alias that AWS KMS has for it everywhere.
// Specification: framework/aws-kms/aws-kms-key-arn.md.
type arn struct {
	partition, region, account string
	resourceType               string // key or alias
	resourceID                 string
}

func parseARN(s string) (arn, error) {
	parts := strings.Split(s, ":")
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "kms" || !utf8.ValidString(s) {
		return arn{}, fmt.Errorf("%q is not an ARN of AWS KMS", s)
	}
	a := arn{partition: parts[1], region: parts[3], account: parts[4]}
	a.resourceType, a.resourceID, _ = strings.Cut(parts[5], "/")
	switch {
	case a.partition == "" || a.region == "" || a.account == "" || a.resourceID == "":
		return arn{}, fmt.Errorf("%q is not an ARN of AWS KMS: a part of it is empty", s)
	case a.resourceType != "key" && a.resourceType != "alias":
		return arn{}, fmt.Errorf("%q is not the ARN of a key or an alias", s)
	}
	return a, nil
}

func parseKeyARN(s string) (arn, error) {
	a, err := parseARN(s)
	if err == nil && a.resourceType != "key" {
		err = fmt.Errorf("%q is the ARN of an alias, not of a key", s)
	}
	return a, err
}

func (a arn) String() string {
	return "arn:" + a.partition + ":kms:" + a.region + ":" + a.account + ":" + a.resourceType + "/" + a.resourceID
}

func (a arn) isMRK() bool { return a.resourceType == "key" && isMRKID(a.resourceID) }

// isMRKID reports whether a bare key id is that of a multi-Region key.
func isMRKID(id string) bool { return strings.HasPrefix(id, "mrk-") }

// in returns the ARN of the replica in a Region.
func (a arn) in(region string) arn {
	a.region = region
	return a
}

func isKeyARN(id string) bool {
	_, err := parseKeyARN(id)
	return err == nil
}

// checkIdentifier fails unless AWS KMS may know a key by this: the ARN of a key
// or an alias, an alias, or a bare key id. It returns the Region of an ARN.
// Specification: framework/aws-kms/aws-kms-key-arn.md#a-valid-aws-kms-identifier.
func checkIdentifier(id string) (region string, err error) {
	alias, isAlias := strings.CutPrefix(id, "alias/")
	switch {
	case id == "":
		return "", errors.New("key id is empty")
	case !utf8.ValidString(id):
		return "", fmt.Errorf("key id %q is not valid UTF-8", id)
	case strings.HasPrefix(id, "arn:"):
		a, err := parseARN(id)
		return a.region, err
	case isAlias && alias != "" && !strings.Contains(alias, ":"):
		return "", nil
	case strings.ContainsAny(id, "/: \t\r\n"):
		return "", fmt.Errorf("%q is neither an ARN, an alias nor a key id of AWS KMS", id)
	}
	return "", nil
}

// mrkOf returns what all replicas of a multi-Region key have in common in any
// form of naming them, the key id; false for any other key, and for aliases.
// Specification: framework/aws-kms/aws-kms-key-arn.md#identifying-an-an-aws-kms-multi-region-identifier.
func mrkOf(id string) (keyID string, ok bool) {
	if a, err := parseARN(id); err == nil {
		return a.resourceID, a.isMRK()
	}
	return id, isMRKID(id)
}

// matchMRK reports whether the key that was configured decrypts what the other
// encrypted: it is the same, or both are replicas of one multi-Region key.
// Specification: framework/aws-kms/aws-kms-mrk-match-for-decrypt.md.
func matchMRK(configured, other string) bool {
	if configured == other {
		return true
	}
	a, errA := parseARN(configured)
	b, errB := parseARN(other)
	return errA == nil && errB == nil && a.isMRK() && b.isMRK() && a.in(b.region) == b
}

// checkMRKsUnique fails if two of the keys are replicas of one, and names all
// that are.
// Specification: framework/aws-kms/aws-kms-mrk-are-unique.md.
func checkMRKsUnique(ids []string) error {
	if d := duplicateMRKs(ids); len(d) > 0 {
		return fmt.Errorf("awskms: replicas of the same multi-Region key, of which a keyring takes one: %s", strings.Join(d, ", "))
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
