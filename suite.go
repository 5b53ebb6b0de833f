package esdk

import (
	"fmt"
	"strings"

	"esdk/internal/errtext"
	"esdk/internal/suite"
)

// A SuiteID names an algorithm suite. All suites encrypt with AES-GCM in
// frames. They differ in the length of the data key and in these parts of
// their names:
//
//   - HKDF: a key is derived from the data key for each message.
//   - Commit: the message commits to the data key.
//   - ECDSA: the message is signed.
//
// Specification: [framework/algorithm-suites.md].
//
// [framework/algorithm-suites.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/algorithm-suites.md
type SuiteID uint16

// These are the suites of the message format. New messages should use one that
// commits, as the default does.
const (
	AES128GCM                          SuiteID = 0x0014
	AES192GCM                          SuiteID = 0x0046
	AES256GCM                          SuiteID = 0x0078
	AES128GCMHKDFSHA256                SuiteID = 0x0114
	AES192GCMHKDFSHA256                SuiteID = 0x0146
	AES256GCMHKDFSHA256                SuiteID = 0x0178
	AES128GCMHKDFSHA256ECDSAP256       SuiteID = 0x0214
	AES192GCMHKDFSHA384ECDSAP384       SuiteID = 0x0346
	AES256GCMHKDFSHA384ECDSAP384       SuiteID = 0x0378
	AES256GCMHKDFSHA512Commit          SuiteID = 0x0478
	AES256GCMHKDFSHA512CommitECDSAP384 SuiteID = 0x0578
)

// String returns the name of the suite in the specification, or its ID if the
// suite isn't known.
func (id SuiteID) String() string {
	if s := suite.Lookup(uint16(id)); s != nil {
		return s.Name
	}
	return fmt.Sprintf("0x%04x", uint16(id))
}

// DataKeyLength returns the length of the suite's data key in bytes, or 0 if
// the suite isn't known.
func (id SuiteID) DataKeyLength() int {
	if s := suite.Lookup(uint16(id)); s != nil {
		return s.KeyLength
	}
	return 0
}

// Signed reports whether messages of the suite are signed.
func (id SuiteID) Signed() bool {
	s := suite.Lookup(uint16(id))
	return s != nil && s.Signs()
}

// Commits reports whether messages of the suite commit to their data key.
func (id SuiteID) Commits() bool {
	s := suite.Lookup(uint16(id))
	return s != nil && s.Commits
}

// Suites returns all suites, ordered by ID.
func Suites() []SuiteID {
	ids := make([]SuiteID, len(suite.All))
	for i, s := range suite.All {
		ids[i] = SuiteID(s.ID)
	}
	return ids
}

// MarshalText returns the name of the suite in the specification. It implements
// [encoding.TextMarshaler] and fails if the suite isn't known.
func (id SuiteID) MarshalText() ([]byte, error) {
	s, err := id.lookup()
	if err != nil {
		return nil, err
	}
	return []byte(s.Name), nil
}

// UnmarshalText parses the name of a suite, with or without IV12_TAG16, or its
// ID in hexadecimal, such as 0x0578 or 0578. It ignores case. It implements
// [encoding.TextUnmarshaler] and fails if the suite isn't known.
func (id *SuiteID) UnmarshalText(text []byte) error {
	s := suite.Parse(string(text))
	if s == nil {
		return errtext.Errorf("unknown algorithm suite %q", text)
	}
	*id = SuiteID(s.ID)
	return nil
}

func (id SuiteID) lookup() (*suite.Suite, error) {
	s := suite.Lookup(uint16(id))
	if s == nil {
		return nil, errtext.Errorf("unknown algorithm suite 0x%04x", uint16(id))
	}
	return s, nil
}

// A CommitmentPolicy says which suites may be used, depending on whether they
// commit to the data key. Without commitment, it's possible to make one message
// that decrypts to two plaintexts under two keys.
//
// Specification: [framework/commitment-policy.md].
//
// [framework/commitment-policy.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/commitment-policy.md
type CommitmentPolicy int

// These are the commitment policies. The first is the default and the
// strictest.
const (
	// RequireEncryptRequireDecrypt allows only suites that commit.
	RequireEncryptRequireDecrypt CommitmentPolicy = iota

	// RequireEncryptAllowDecrypt encrypts only with suites that commit, and
	// decrypts with any suite. Use it while older messages remain.
	RequireEncryptAllowDecrypt

	// ForbidEncryptAllowDecrypt encrypts only with suites that don't commit,
	// and decrypts with any suite. Use it while some readers don't support
	// commitment.
	ForbidEncryptAllowDecrypt
)

var policyNames = [...]string{
	RequireEncryptRequireDecrypt: "REQUIRE_ENCRYPT_REQUIRE_DECRYPT",
	RequireEncryptAllowDecrypt:   "REQUIRE_ENCRYPT_ALLOW_DECRYPT",
	ForbidEncryptAllowDecrypt:    "FORBID_ENCRYPT_ALLOW_DECRYPT",
}

func (p CommitmentPolicy) isKnown() bool { return p >= 0 && int(p) < len(policyNames) }

// String returns the policy's name in the specification.
func (p CommitmentPolicy) String() string {
	if !p.isKnown() {
		return fmt.Sprintf("CommitmentPolicy(%d)", int(p))
	}
	return policyNames[p]
}

// MarshalText returns the policy's name in the specification. It implements
// [encoding.TextMarshaler] and fails if the policy isn't known.
func (p CommitmentPolicy) MarshalText() ([]byte, error) {
	if !p.isKnown() {
		return nil, errtext.Errorf("unknown %v", p)
	}
	return []byte(p.String()), nil
}

// UnmarshalText parses the name of a policy, in any case, with _ or - between
// its words. It implements [encoding.TextUnmarshaler].
func (p *CommitmentPolicy) UnmarshalText(text []byte) error {
	name := strings.ReplaceAll(string(text), "-", "_")
	for i, known := range policyNames {
		if strings.EqualFold(name, known) {
			*p = CommitmentPolicy(i)
			return nil
		}
	}
	return errtext.Errorf("unknown commitment policy %q", text)
}

// defaultSuite returns the suite that encrypts if none was chosen. The
// specification names 0078 for ForbidEncryptAllowDecrypt; all implementations
// use 0378.
func (p CommitmentPolicy) defaultSuite() SuiteID {
	if p == ForbidEncryptAllowDecrypt {
		return AES256GCMHKDFSHA384ECDSAP384
	}
	return AES256GCMHKDFSHA512CommitECDSAP384
}

func (p CommitmentPolicy) checkEncrypt(s *suite.Suite) error {
	if s.Commits != (p == ForbidEncryptAllowDecrypt) {
		return nil
	}
	return p.refuse("encrypting with", s)
}

func (p CommitmentPolicy) checkDecrypt(s *suite.Suite) error {
	if s.Commits || p != RequireEncryptRequireDecrypt {
		return nil
	}
	return p.refuse("decrypting with", s)
}

func (p CommitmentPolicy) refuse(what string, s *suite.Suite) error {
	return errtext.Errorf("%w: %s %s (0x%04x) under %s", ErrCommitmentPolicy, what, s.Name, s.ID, p)
}
