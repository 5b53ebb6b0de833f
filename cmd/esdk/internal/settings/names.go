package settings

import (
	"errors"
	"strings"

	"esdk"
	"esdk/branchkey"
	"esdk/cmd/esdk/internal/keyspec"
)

// Names are the names of the options in errors and hints. They depend on the
// command line.
type Names struct {
	MaxFrame, MaxKeys string
	ToFile            string // how to decrypt without keeping the plaintext in memory

	cache, commitment, suite string

	acceptSigned  string // how to accept signed messages
	unsignedSuite string // how to choose a suite without signatures

	// requireContext is a format for the key of a pair that isn't stored.
	requireContext string
}

// Own are the option names of esdk.
var Own = &Names{
	cache: "--cache", commitment: "--commitment", MaxFrame: "--max-frame", MaxKeys: "--max-keys", suite: "--suite",
	acceptSigned:   "leave out --unsigned-only to accept signed messages",
	unsignedSuite:  "use --unsigned",
	ToFile:         "use -o FILE to verify without keeping the plaintext in memory, or --release frames to release each frame once it is verified",
	requireContext: "if the message was encrypted with --require-context %s, give that here too",
}

// Compat are the option names of aws-encryption-cli.
var Compat = &Names{
	cache: "--caching", commitment: "--commitment-policy", MaxFrame: "--max-length", MaxKeys: "--max-encrypted-data-keys", suite: "--algorithm",
	acceptSigned:   "use --decrypt to accept signed messages",
	unsignedSuite:  "use --algorithm AES_256_GCM_HKDF_SHA512_COMMIT_KEY",
	ToFile:         "use -o FILE to verify without keeping the plaintext in memory",
	requireContext: "if the message was encrypted with \"esdk encrypt --require-context %s\", use \"esdk decrypt --require-context %[1]s\"",
}

// Advice returns a hint for an error of the library or of a service, or "" if
// there is none.
func (n *Names) Advice(err error) string {
	switch {
	case errors.Is(err, esdk.ErrCommitmentPolicy):
		return n.adviceOnCommitment(err.Error())
	case errors.Is(err, esdk.ErrSigned):
		return n.acceptSigned
	}
	if advice := adviceOnBranchKey(err); advice != "" {
		return advice
	}
	// These errors have no types.
	for text, advice := range map[string]string{
		"get credentials: ":            "name a profile with AWS_PROFILE, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
		"Invalid region: ":             "set AWS_REGION, or name a Region in the profile",
		"region must be set":           "set AWS_REGION, or name a Region in the profile",
		"only suites that do not sign": n.unsignedSuite,
	} {
		if strings.Contains(err.Error(), text) {
			return advice
		}
	}
	return ""
}

// adviceOnBranchKey returns a hint for an error about a branch key, or "" if
// there is none.
func adviceOnBranchKey(err error) string {
	switch {
	case errors.Is(err, branchkey.ErrKMSKey):
		return "if the branch key was or is being re-keyed, use both KMS keys: -k 'branch:…?kms=NEW&former=OLD'"
	case keyspec.IsOtherName(err):
		return "if the branch key has another logical name, use 'branch:NAME/ID?file=FILE', or name in the configuration; otherwise the item was modified"
	}
	return ""
}

// adviceOnCommitment suggests the policy that allows just the rejected
// operation. Advice on reading an old message must not lead to writing such
// messages.
func (n *Names) adviceOnCommitment(text string) string {
	switch {
	case !strings.Contains(text, "encrypting with"):
		return "to read the message, use " + n.commitment + " require-encrypt-allow-decrypt"
	case strings.Contains(text, "under "+esdk.ForbidEncryptAllowDecrypt.String()):
		return "this policy encrypts only with suites that do not commit to the key; leave out " + n.commitment
	}
	return "to encrypt with this suite, use " + n.commitment + " forbid-encrypt-allow-decrypt"
}
