// Package esdk implements the AWS Encryption SDK. Its messages are
// interchangeable with those of the C, Java, JavaScript, Python, .NET, Go and
// Rust SDKs.
//
// The SDK uses envelope encryption: each message is encrypted under a fresh data
// key, and one or more wrapping keys encrypt the data key. The message carries the
// ciphertext, the encrypted data keys and an [EncryptionContext], which is
// authenticated but not secret. Any one of the wrapping keys decrypts it.
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
// A [Client] has streams, other algorithm suites, limits and policies.
//
// # What is promised
//
// Plaintext is released only after it has been authenticated; see [ReleasePolicy] for
// the signature of a streamed message. The zero [Config] signs messages and
// requires key commitment. Data keys are overwritten after use, as far as Go
// allows. Each type that encrypts or decrypts says whether it is safe for
// concurrent use.
//
// # Compatibility
//
// The message format is fixed by the public specification of the AWS
// Encryption SDK, whose sections the comments name. Messages of all official
// SDKs, of any age, can be read: messages without key commitment under
// [RequireEncryptAllowDecrypt], and messages of version 4.0.0 of the .NET SDK with
// RecoverNET400 in the [Config]. The official SDKs read ours, except where a comment
// says otherwise.
package esdk

import (
	"context"
	"runtime"

	"esdk/internal/errtext"
	"esdk/internal/isnil"
)

// Encrypt encrypts a plaintext under a keyring, bound to an encryption context,
// which may be nil. It is [Client.Encrypt] with the defaults of [Config].
func Encrypt(ctx context.Context, kr Keyring, plaintext []byte, ec EncryptionContext) ([]byte, error) {
	c, err := New(Config{Keyring: kr})
	if err != nil {
		return nil, err
	}
	message, _, err := c.Encrypt(ctx, plaintext, ec)
	return message, err
}

// Decrypt decrypts a message with a keyring. The message must be bound to each
// pair of the encryption context given, which it need not store; a nil context
// accepts any that it stores. It is [Client.Decrypt] with the defaults of [Config].
func Decrypt(ctx context.Context, kr Keyring, message []byte, ec EncryptionContext) ([]byte, error) {
	c, err := New(Config{Keyring: kr})
	if err != nil {
		return nil, err
	}
	plaintext, _, err := c.Decrypt(ctx, message, ec)
	return plaintext, err
}

// A ReleasePolicy says when a [Reader] releases plaintext, and so what a signed
// message is worth to whoever reads it as a stream: its frames are
// authenticated one by one, but the signature stands at the end. Whoever can
// decrypt a message can forge its frames, but not the signature.
//
// One-shot decryption releases nothing before all of the message was verified,
// whatever the policy.
// Specification: client-apis/decrypt.md#security-considerations.
type ReleasePolicy int

const (
	// VerifyAtEOF releases each frame once it is authenticated, but the last
	// only after the whole message and its signature were. Until [io.EOF] is
	// returned, what was read must be treated as not yet signed.
	VerifyAtEOF ReleasePolicy = iota

	// VerifyFirst releases nothing of a message, signed or not, before all of it
	// was verified. The source is read twice if it can seek, and must not change
	// meanwhile; else the plaintext is kept in memory, to which
	// [Config.MaxPlaintextLength] sets a bound.
	VerifyFirst

	// RejectSigned is as VerifyAtEOF, but refuses signed messages with
	// [ErrSigned], before any keyring is asked; so does [Client.Decrypt]. Of what
	// it accepts, each byte that was released is final.
	RejectSigned
)

const (
	defaultFrameLength  = 4096
	defaultHeaderLength = 10 << 20
)

// Config configures a [Client]. Each zero value is the default, and lengths are
// in bytes. The defaults set hardly a limit on what a message of a stranger may
// cost: see the example.
type Config struct {
	// Keyring or CMM provides the keys: exactly one of them is set.
	Keyring Keyring
	CMM     CMM

	// CommitmentPolicy says which suites may be used.
	CommitmentPolicy CommitmentPolicy

	// Suite encrypts. 0 means the default of the policy:
	// [AES256GCMHKDFSHA512CommitECDSAP384], or [AES256GCMHKDFSHA384ECDSAP384]
	// under [ForbidEncryptAllowDecrypt].
	Suite SuiteID

	// FrameLength is the plaintext in each frame that is encrypted. 0 means
	// 4096. Java and Python do not read frames of more than 2^31-1 bytes.
	FrameLength uint32

	// MaxEncryptedDataKeys is the most encrypted data keys of a message, both
	// encrypted and decrypted. 0 means no limit but that of the format, 65,535.
	MaxEncryptedDataKeys int

	// MaxPlaintextLength is the most plaintext of a message, both encrypted and
	// decrypted. 0 means no limit.
	MaxPlaintextLength int64

	// MaxFrameLength is the longest frame that is decrypted, and the most plaintext
	// of a body that is not framed. 0 means no limit: memory grows only with bytes
	// that have arrived, but each of these is held as a whole.
	MaxFrameLength uint32

	// MaxHeaderLength is the longest header that is decrypted. 0 means 10 MiB.
	MaxHeaderLength int

	// Release says when a [Reader] releases plaintext, and whether signed messages
	// are decrypted at all.
	Release ReleasePolicy

	// Concurrency is how many cores a call may keep busy; 0 means all of
	// [runtime.GOMAXPROCS], and 1 that the Client starts no goroutine; a keyring
	// may, as a multi-keyring does. Streams use at most 8, and 3 if the
	// message is signed. A plaintext of up to 256 KiB keeps one busy, and in a
	// stream one of up to 16 KiB. No goroutine outlives the call that started it.
	// Plaintext is released, and errors are reported, as if there were one.
	Concurrency int

	// RecoverNET400 has messages decrypt that version 4.0.0 of the .NET SDK
	// wrote, against the specification: with a content key that does not depend
	// on the message, and other additional data for the header. A message that
	// is not authentic as it should be is tried that way too.
	RecoverNET400 bool
}

// A Client encrypts and decrypts messages. It is safe for concurrent use.
type Client struct {
	config Config
	cmm    CMM
}

// New returns a client. It fails if the configuration contradicts itself, with
// [ErrCommitmentPolicy] if the policy does not allow the suite.
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
