// Package esdk implements the AWS Encryption SDK, which encrypts data on the
// client before it goes to a store, a queue or a database. Its messages are
// interchangeable with the messages of the C, Java, JavaScript, Python, .NET,
// Go and Rust SDKs.
//
// The SDK uses envelope encryption: each message is encrypted under a fresh
// data key, and one or more wrapping keys encrypt the data key. The message
// carries the ciphertext, the encrypted data keys and an [EncryptionContext],
// which is authenticated but not secret. Any one of the wrapping keys decrypts
// it.
//
// Start with a [Keyring], which holds the wrapping keys, and with [Encrypt] and
// [Decrypt]:
//
//	kr, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{
//		Namespace: "my-app", Name: "2026-11", Key: key,
//	})
//	message, err := esdk.Encrypt(ctx, kr, plaintext, esdk.EncryptionContext{"tenant": "17"})
//	plaintext, err := esdk.Decrypt(ctx, kr, message, esdk.EncryptionContext{"tenant": "17"})
//
// A [Client] adds streams, other algorithm suites, limits and policies.
//
// # Keyrings
//
// The keyring to take depends on where the wrapping keys are:
//
//   - AWS KMS: package [esdk/awskms]. With package [esdk/branchkey], most
//     messages need no call to AWS KMS, and [esdk/caching] saves calls for any
//     keyring.
//   - A hardware security module: package [esdk/pkcs11].
//   - HashiCorp Vault, Google Cloud KMS or Azure Key Vault: package
//     [esdk/keyservice].
//   - Memory of the program: [NewRawAESKeyring], [NewRawRSAKeyring],
//     [NewRawECDHKeyring], or the post-quantum keys of package [esdk/hpke].
//
// [NewMultiKeyring] combines keyrings, so that any one of them decrypts.
//
// # Guarantees
//
// Plaintext is released only after it has been authenticated; see
// [ReleasePolicy] for the signature of a streamed message. The zero [Config]
// signs messages and requires key commitment. Data keys are overwritten after
// use, as far as Go allows. Each type that encrypts or decrypts says whether
// it's safe for concurrent use.
//
// # Compatibility
//
// The message format is defined by the public specification of the AWS
// Encryption SDK; comments name its sections. Messages of every version of the
// official SDKs can be read: messages without key commitment under
// [RequireEncryptAllowDecrypt], and messages of version 4.0.0 of the .NET SDK
// with RecoverNET400 in the [Config]. The official SDKs read ours, except where
// a comment says otherwise.
package esdk

import (
	"context"
	"runtime"

	"esdk/internal/errtext"
	"esdk/internal/isnil"
)

// Encrypt encrypts a plaintext under a keyring, bound to an encryption context,
// which may be nil. It calls [Client.Encrypt] with the defaults of [Config].
func Encrypt(ctx context.Context, kr Keyring, plaintext []byte, ec EncryptionContext) ([]byte, error) {
	c, err := New(Config{Keyring: kr})
	if err != nil {
		return nil, err
	}
	message, _, err := c.Encrypt(ctx, plaintext, ec)
	return message, err
}

// Decrypt decrypts a message with a keyring. The message must be bound to each
// pair of the given encryption context, whether or not it stores the pair. A
// nil context accepts any stored context. Decrypt calls [Client.Decrypt] with
// the defaults of [Config].
func Decrypt(ctx context.Context, kr Keyring, message []byte, ec EncryptionContext) ([]byte, error) {
	c, err := New(Config{Keyring: kr})
	if err != nil {
		return nil, err
	}
	plaintext, _, err := c.Decrypt(ctx, message, ec)
	return plaintext, err
}

// A ReleasePolicy says when a [Reader] releases plaintext, and so how far a
// streamed signed message can be trusted. Frames are authenticated one by one,
// but the signature comes at the end. Anyone who can decrypt a message can
// forge its frames, but not its signature.
//
// One-shot decryption releases nothing until the whole message has been
// verified, under every policy.
//
// Specification: [client-apis/decrypt.md#security-considerations].
//
// [client-apis/decrypt.md#security-considerations]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/client-apis/decrypt.md#security-considerations
type ReleasePolicy int

// These are the release policies. The first is the default.
const (
	// VerifyAtEOF releases each frame once it's authenticated, but the last
	// frame only after the whole message and its signature have been verified.
	// Until [io.EOF] is returned, treat the plaintext as unsigned.
	VerifyAtEOF ReleasePolicy = iota

	// VerifyFirst releases nothing of a message, signed or not, until all of it
	// has been verified. The source is read twice if it can seek, and must not
	// change in between. Otherwise the plaintext is kept in memory, which
	// [Config.MaxPlaintextLength] bounds.
	VerifyFirst

	// RejectSigned is like VerifyAtEOF, but rejects signed messages with
	// [ErrSigned] before any keyring is asked. It makes [Client.Decrypt] reject
	// them too. In the messages it accepts, every released byte is final.
	RejectSigned
)

const (
	defaultFrameLength  = 4096
	defaultHeaderLength = 10 << 20
)

// Config configures a [Client]. Zero values select the defaults. Lengths are in
// bytes. The defaults hardly limit the cost of a message from a stranger: see
// the example.
type Config struct {
	// Keyring or CMM provides the keys. Exactly one of them must be set.
	Keyring Keyring
	CMM     CMM

	// CommitmentPolicy says which suites are allowed.
	CommitmentPolicy CommitmentPolicy

	// Suite is the algorithm suite that encrypts. 0 means the default of the
	// policy: [AES256GCMHKDFSHA512CommitECDSAP384], or
	// [AES256GCMHKDFSHA384ECDSAP384] under [ForbidEncryptAllowDecrypt].
	Suite SuiteID

	// FrameLength is the plaintext length of each encrypted frame. 0 means
	// 4096. The Java and Python SDKs don't read frames of more than 2^31-1
	// bytes.
	FrameLength uint32

	// MaxEncryptedDataKeys is the maximum number of encrypted data keys in a
	// message, when encrypting and decrypting. 0 means only the format's limit,
	// 65,535.
	MaxEncryptedDataKeys int

	// MaxPlaintextLength is the maximum length of a plaintext, when encrypting
	// and decrypting. 0 means no limit.
	MaxPlaintextLength int64

	// MaxFrameLength is the maximum length of a decrypted frame, and of the
	// plaintext of an unframed body. 0 means no limit. Memory grows only with
	// the bytes that have arrived, but each frame or unframed body is held as a
	// whole.
	MaxFrameLength uint32

	// MaxHeaderLength is the maximum length of a decrypted header. 0 means 10
	// MiB.
	MaxHeaderLength int

	// Release says when a [Reader] releases plaintext, and whether signed
	// messages are decrypted at all.
	Release ReleasePolicy

	// Concurrency is the number of cores that a call may use. 0 means
	// [runtime.GOMAXPROCS]. With 1, the Client starts no goroutine, though a
	// keyring may, as a multi-keyring does. Streams use at most 8 cores, and 3
	// if the message is signed. A plaintext of up to 256 KiB uses one core, and
	// in a stream one of up to 16 KiB does. No goroutine outlives the call that
	// started it. The order of released plaintext and errors is the same as
	// with one core.
	Concurrency int

	// RecoverNET400 also decrypts messages of version 4.0.0 of the .NET SDK.
	// Against the specification, it derived a content key that doesn't depend
	// on the message, and used other additional data for the header. A message
	// that fails regular authentication is tried that way too.
	RecoverNET400 bool
}

// A Client encrypts and decrypts messages. It is safe for concurrent use.
type Client struct {
	config Config
	cmm    CMM
}

// New returns a client. It fails if the configuration contradicts itself, with
// [ErrCommitmentPolicy] if the policy doesn't allow the suite.
func New(c Config) (*Client, error) {
	if (c.Keyring == nil) == (c.CMM == nil) || isnil.Value(c.Keyring) && isnil.Value(c.CMM) {
		return nil, errtext.Errorf("Config needs either a Keyring or a CMM")
	}
	if !c.CommitmentPolicy.isKnown() {
		return nil, errtext.Errorf("Config: unknown %v", c.CommitmentPolicy)
	}
	if c.Release < VerifyAtEOF || c.Release > RejectSigned {
		return nil, errtext.Errorf("Config: unknown ReleasePolicy(%d)", int(c.Release))
	}
	if c.MaxEncryptedDataKeys < 0 || c.MaxPlaintextLength < 0 || c.MaxHeaderLength < 0 || c.Concurrency < 0 {
		return nil, errtext.Errorf("Config: negative limit")
	}
	if c.Suite != 0 {
		s, err := c.Suite.lookup()
		if err != nil {
			return nil, err
		}
		if err := c.CommitmentPolicy.checkEncrypt(s); err != nil {
			return nil, err
		}
	}
	if c.FrameLength == 0 {
		c.FrameLength = defaultFrameLength
	}
	if c.MaxHeaderLength == 0 {
		c.MaxHeaderLength = defaultHeaderLength
	}
	if c.Concurrency == 0 {
		c.Concurrency = runtime.GOMAXPROCS(0)
	}
	client := &Client{config: c, cmm: c.CMM}
	if c.CMM == nil {
		client.cmm = &defaultCMM{c.Keyring}
	}
	return client, nil
}

func (c *Client) checkDataKeys(n int) error {
	if limit := c.config.MaxEncryptedDataKeys; limit > 0 && n > limit {
		return errtext.Errorf("%w: %d encrypted data keys, at most %d are allowed", ErrLimit, n, limit)
	}
	return nil
}
