package esdk

import (
	"io"
	"maps"
	"slices"
	"strings"

	"esdk/internal/datakey"
	"esdk/internal/format"
	"esdk/internal/suite"
)

// An EncryptionContext is a set of pairs of text that is bound to a message but
// not secret. Keys and values are UTF-8, and the pairs take at most 65,535
// bytes, with 2 bytes for the whole and 4 for each pair. The public key of a
// signed message takes up to 93 of them. Keys that start with "aws-crypto-" are
// reserved. The Java SDK reads at most 32,767 bytes and no empty key or value; KMS
// takes at most 8,192 characters.
//
// An EncryptionContext that was passed to this package is not changed and not
// kept.
type EncryptionContext map[string]string

// AppendBinary appends the pairs as the message format serializes them, for use
// as the additional data of a keyring's own encryption: nothing for an empty
// context. It implements [encoding.BinaryAppender] and fails with
// [ErrEncryptionContext]. Specification: framework/structures.md#serialization.
func (ec EncryptionContext) AppendBinary(b []byte) ([]byte, error) {
	b, err := format.AppendContext(b, ec)
	if err != nil {
		return nil, contextError("%w", err)
	}
	return b, nil
}

const (
	reservedPrefix = "aws-crypto-"

	// publicKeyKey is the key of the pair that holds the verification key of a
	// signed message.
	publicKeyKey = "aws-crypto-public-key"
)

// checkInput refuses what a user may not ask to be encrypted.
func (ec EncryptionContext) checkInput() error {
	for k := range ec {
		if strings.HasPrefix(k, reservedPrefix) {
			return contextError("key %q is reserved", k)
		}
	}
	if _, err := format.ContextSize(ec); err != nil {
		return contextError("%w", err)
	}
	return nil
}

// split returns the pairs whose keys are not listed, and those that are.
func (ec EncryptionContext) split(keys []string) (rest, listed EncryptionContext) {
	if len(keys) == 0 {
		return ec, nil
	}
	rest, listed = maps.Clone(ec), EncryptionContext{}
	for _, k := range keys {
		if v, ok := ec[k]; ok {
			listed[k] = v
			delete(rest, k)
		}
	}
	return rest, listed
}

// An EncryptedDataKey is a data key as one wrapping key encrypted it.
type EncryptedDataKey struct {
	ProviderID   string // of the kind of keyring that made it, such as "aws-kms"
	ProviderInfo []byte // names the wrapping key to that kind of keyring
	Ciphertext   []byte
}

// KeyName returns the name of the wrapping key, as far as the message has it: the ARN of
// a key of AWS KMS, the id of a branch key, the name of a raw key, of a token's or of
// a key service's, or, with ECDH, the recipient's compressed public key in
// hexadecimal. It need not be text. Together with the provider id it is what a
// keyring goes by. Of a provider that is not known, it is all of the provider info.
func (k *EncryptedDataKey) KeyName() string { return datakey.Name(k.ProviderID, k.ProviderInfo) }

// A Header is what a message says of itself.
// Specification: data-format/message-header.md.
type Header struct {
	Version   int // of the format: 1, or 2 for suites that commit
	Suite     SuiteID
	MessageID []byte // random: 16 bytes, or 32 in version 2

	// EncryptionContext holds the pairs that the message stores, which for a
	// signed message include its public key, and, once it was decrypted or
	// encrypted, also those that are authenticated but not stored.
	EncryptionContext EncryptionContext

	// RequiredContextKeys are the keys of the pairs that are not stored.
	RequiredContextKeys []string

	EncryptedDataKeys []EncryptedDataKey

	FrameLength uint32 // plaintext bytes of a frame; 0 if the body is not framed
	Length      int    // bytes of the whole header

	Commitment []byte // to the data key: 32 bytes; nil in version 1
	IV         []byte // of the tag: 12 bytes; zeros in version 2, which does not store it
	Tag        []byte // that authenticates the header: 16 bytes
}

// UserContext returns the pairs that are the user's, and not the SDK's: the
// encryption context that the message, once it was decrypted, can be encrypted with
// again.
func (h *Header) UserContext() EncryptionContext {
	ec := cloneContext(h.EncryptionContext)
	maps.DeleteFunc(ec, func(k, _ string) bool { return strings.HasPrefix(k, reservedPrefix) })
	return ec
}

// MessageSize returns the length in bytes of the whole message with a plaintext of
// a length, and false if no message of this header can have it.
func (h *Header) MessageSize(plaintext int64) (int64, bool) {
	body, ok := h.bodySize(plaintext)
	size := int64(h.Length) + body + h.footerSize()
	return size, ok && size >= 0
}

// PlaintextSize is the reverse of [Header.MessageSize], and returns false if no
// message of this header has such a length. A signed message may be a few bytes
// longer or shorter than either says: signatures of other SDKs have no fixed
// length, and this package's have the most common one.
func (h *Header) PlaintextSize(message int64) (int64, bool) {
	body := message - int64(h.Length) - h.footerSize()
	plaintext := body - format.NonFramedOverhead
	if h.FrameLength > 0 {
		frame := int64(h.FrameLength) + format.FrameOverhead
		rest := max(0, body-format.FinalOverhead)
		plaintext = body - format.FinalOverhead - rest/frame*format.FrameOverhead
	}
	// Lengths between two whole numbers of frames belong to no plaintext.
	size, ok := h.bodySize(max(0, plaintext))
	return plaintext, ok && size == body
}

func (h *Header) bodySize(plaintext int64) (int64, bool) {
	switch {
	case plaintext < 0:
		return 0, false
	case h.FrameLength == 0:
		return plaintext + format.NonFramedOverhead, plaintext <= format.MaxNonFramed
	}
	return format.BodySize(plaintext, h.FrameLength)
}

// footerSize is the length of the footer that this package writes.
func (h *Header) footerSize() int64 {
	if s := suite.Lookup(uint16(h.Suite)); s != nil && s.Signs() {
		return 2 + int64(s.SignatureLength)
	}
	return 0
}

// ParseHeader reads the header of a message and nothing beyond it. It needs no
// key: nothing that it returns is authenticated, and anybody can have written
// it. It fails with a [*FormatError], with [ErrLimit] beyond 10 MiB, or with
// the error of the reader.
func ParseHeader(r io.Reader) (*Header, error) {
	h, err := format.ReadHeader(r, format.Limits{Size: defaultHeaderLength})
	if err != nil {
		return nil, public(err)
	}
	return newHeader(h, newDataKeys(h.DataKeys)), nil
}

// newHeader returns a header that shares memory with the other, which is not
// used any more once it is handed out.
func newHeader(h *format.Header, dataKeys []EncryptedDataKey) *Header {
	// The others are of all headers, or in what is about to be written.
	authentication, iv := slices.Concat(h.IV, h.Tag), len(h.IV)
	return &Header{
		Version:           int(h.Suite.Version()),
		Suite:             SuiteID(h.Suite.ID),
		MessageID:         h.MessageID,
		EncryptionContext: h.Context,
		EncryptedDataKeys: dataKeys,
		FrameLength:       h.FrameLength,
		Length:            h.Size(),
		Commitment:        h.Commitment,
		IV:                authentication[:iv:iv],
		Tag:               authentication[iv:],
	}
}

// cloneContext returns a copy that is never nil, so that it can be added to.
func cloneContext(ec EncryptionContext) EncryptionContext {
	c := make(EncryptionContext, len(ec)+1)
	maps.Copy(c, ec)
	return c
}

func newDataKeys(keys []format.DataKey) []EncryptedDataKey {
	edks := make([]EncryptedDataKey, len(keys))
	for i, k := range keys {
		edks[i] = EncryptedDataKey(k)
	}
	return edks
}

func cloneDataKeys(keys []EncryptedDataKey) []EncryptedDataKey {
	c := slices.Clone(keys)
	for i := range c {
		c[i].ProviderInfo = slices.Clone(c[i].ProviderInfo)
		c[i].Ciphertext = slices.Clone(c[i].Ciphertext)
	}
	return c
}

func formatDataKeys(edks []EncryptedDataKey) []format.DataKey {
	keys := make([]format.DataKey, len(edks))
	for i, k := range edks {
		keys[i] = format.DataKey(k)
	}
	return keys
}

// complete sets what the materials know beyond the header itself.
func (h *Header) complete(ec EncryptionContext, required []string) {
	h.EncryptionContext, h.RequiredContextKeys = ec, required
}
