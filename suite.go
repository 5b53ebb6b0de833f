package esdk

import (
	"fmt"

	"esdk/internal/suite"
)

// A SuiteID names an algorithm suite. All encrypt with AES-GCM in frames; they
// differ in the length of the data key, in whether a key is derived from it for
// each message (HKDF), whether the message commits to the data key (Commit),
// and whether it is signed (ECDSA).
// Specification: framework/algorithm-suites.md.
type SuiteID uint16

// The suites. New messages should use one that commits, which is the default.
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

// String returns the name of the suite in the specification, or the id if it
// is not known.
func (id SuiteID) String() string {
	if s := suite.Lookup(uint16(id)); s != nil {
		return s.Name
	}
	return fmt.Sprintf("0x%04x", uint16(id))
}

// DataKeyLength returns the length of the suite's data key in bytes, or 0 if
// the suite is not known.
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

func (id SuiteID) lookup() (*suite.Suite, error) {
	s := suite.Lookup(uint16(id))
	if s == nil {
		return nil, fmt.Errorf("esdk: unknown algorithm suite 0x%04x", uint16(id))
	}
	return s, nil
}

// A CommitmentPolicy says which suites may be used, by whether they commit to
// the data key. Without commitment, one message can be made that decrypts to
// two plaintexts under two keys.
// Specification: framework/commitment-policy.md.
type CommitmentPolicy int

const (
	// RequireEncryptRequireDecrypt allows only suites that commit.
	RequireEncryptRequireDecrypt CommitmentPolicy = iota

	// RequireEncryptAllowDecrypt encrypts only with suites that commit, and
	// decrypts with any: for those who still have older messages.
	RequireEncryptAllowDecrypt

	// ForbidEncryptAllowDecrypt encrypts only with suites that do not commit,
	// and decrypts with any: for those whose readers do not know commitment yet.
	ForbidEncryptAllowDecrypt
)

// String returns the policy's name in the specification.
func (p CommitmentPolicy) String() string {
	switch p {
	case RequireEncryptRequireDecrypt:
		return "REQUIRE_ENCRYPT_REQUIRE_DECRYPT"
	case RequireEncryptAllowDecrypt:
		return "REQUIRE_ENCRYPT_ALLOW_DECRYPT"
	case ForbidEncryptAllowDecrypt:
		return "FORBID_ENCRYPT_ALLOW_DECRYPT"
	}
	return fmt.Sprintf("CommitmentPolicy(%d)", int(p))
}

// defaultSuite returns the suite that encrypts if none was chosen. The
// specification names 0078 for the last policy; all implementations use 0378.
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
	return fmt.Errorf("%w: %s %s (0x%04x) under %s", ErrCommitmentPolicy, what, s.Name, s.ID, p)
}
