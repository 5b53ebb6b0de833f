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

// An EncryptionContext is a set of text pairs that is bound to a message but
// isn't secret. Keys and values are UTF-8. The serialized pairs take at most
// 65,535 bytes: 2 bytes for the whole, 4 for each pair, and the text. The
// public key of a signed message takes up to 93 of them. Keys that start with
// "aws-crypto-" are reserved. The Java SDK reads at most 32,767 bytes and no
// empty key or value; KMS takes at most 8,192 characters.
//
// This package doesn't change or keep an EncryptionContext that it's given.
type EncryptionContext map[string]string

// AppendBinary appends the pairs in the message format's serialization, for use
// as the additional data of a keyring's own encryption. It appends nothing for
// an empty context. It implements [encoding.BinaryAppender] and fails with
// [ErrEncryptionContext].
//
// Specification: [framework/structures.md#serialization].
//
// [framework/structures.md#serialization]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/structures.md#serialization
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

// checkInput rejects contexts that a user must not encrypt with.
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

// split returns the pairs whose keys aren't listed, and the listed ones.
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

// An EncryptedDataKey is a data key encrypted under one wrapping key.
type EncryptedDataKey struct {
	ProviderID   string // of the kind of keyring that made it, such as "aws-kms"
	ProviderInfo []byte // names the wrapping key to that kind of keyring
	Ciphertext   []byte
}

// KeyName returns the name of the wrapping key, as far as the message has it:
//
//   - the ARN of an AWS KMS key;
//   - the ID of a branch key;
//   - the name of a raw key, a token's key or a key service's key;
//   - for ECDH, the recipient's compressed public key in hexadecimal;
//   - for an unknown provider, the whole provider info.
//
// It needn't be text. A keyring recognizes its data keys by this name and the
// provider ID.
func (k *EncryptedDataKey) KeyName() string { return datakey.Name(k.ProviderID, k.ProviderInfo) }

// A Header is the header of a message.
//
// Specification: [data-format/message-header.md].
//
// [data-format/message-header.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/data-format/message-header.md
type Header struct {
	Version   int // of the format: 1, or 2 for suites that commit
	Suite     SuiteID
	MessageID []byte // random: 16 bytes, or 32 in version 2

	// EncryptionContext holds the pairs that the message stores. For a signed
	// message they include its public key. After encryption or decryption it
	// also holds the pairs that are authenticated but not stored.
	EncryptionContext EncryptionContext

	// RequiredContextKeys are the keys of the pairs that aren't stored.
	RequiredContextKeys []string

	EncryptedDataKeys []EncryptedDataKey

	FrameLength uint32 // plaintext bytes of a frame; 0 if the body is unframed
	Length      int    // bytes of the whole header

	Commitment []byte // to the data key: 32 bytes; nil in version 1
	IV         []byte // of the tag: 12 bytes; zeros in version 2, which does not store it
	Tag        []byte // that authenticates the header: 16 bytes
}

// UserContext returns the user's pairs without the SDK's. Once the message has
// been decrypted, this is the encryption context with which it can be encrypted
// again.
func (h *Header) UserContext() EncryptionContext {
	ec := cloneContext(h.EncryptionContext)
	maps.DeleteFunc(ec, func(k, _ string) bool { return strings.HasPrefix(k, reservedPrefix) })
	return ec
}

// MessageSize returns the length of the whole message in bytes, for a plaintext
// of the given length. It returns false if no message with this header can have
// that plaintext length.
func (h *Header) MessageSize(plaintext int64) (int64, bool) {
	body, ok := h.bodySize(plaintext)
	size := int64(h.Length) + body + h.footerSize()
	return size, ok && size >= 0
}

// PlaintextSize is the inverse of [Header.MessageSize]. It returns false if no
// message with this header has that length. A signed message may be a few bytes
// longer or shorter than either method says: signatures of other SDKs vary in
// length, while signatures of this package always have the most common length.
func (h *Header) PlaintextSize(message int64) (int64, bool) {
	body := message - int64(h.Length) - h.footerSize()
	plaintext := body - format.NonFramedOverhead
	if h.FrameLength > 0 {
		frame := int64(h.FrameLength) + format.FrameOverhead
		rest := max(0, body-format.FinalOverhead)
		plaintext = body - format.FinalOverhead - rest/frame*format.FrameOverhead
	}
	// Some lengths between whole numbers of frames match no plaintext.
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

// footerSize returns the length of the footer that this package writes.
func (h *Header) footerSize() int64 {
	if s := suite.Lookup(uint16(h.Suite)); s != nil {
		return footerSize(s)
	}
	return 0
}

func footerSize(s *suite.Suite) int64 {
	if s.Signs() {
		return 2 + int64(s.SignatureLength)
	}
	return 0
}

// ParseHeader reads the header of a message and nothing beyond it. It needs no
// key, so nothing it returns is authenticated: anyone could have written it. It
// fails with a [*FormatError], with [ErrLimit] beyond 10 MiB, or with the error
// of the reader.
func ParseHeader(r io.Reader) (*Header, error) {
	h, err := format.ReadHeader(r, format.Limits{Size: defaultHeaderLength})
	if err != nil {
		return nil, public(err)
	}
	keys, _ := newDataKeys(h.DataKeys)
	return newHeader(h, keys), nil
}

// newHeader returns a header that shares memory with h, which must not be used
// any more once the result is handed out.
func newHeader(h *format.Header, dataKeys []EncryptedDataKey) *Header {
	// IV and Tag are copied: all headers share a zero IV, and the tag is part
	// of the bytes that are about to be written.
	memory := new(struct {
		Header
		iv  [format.IVLength]byte
		tag [format.TagLength]byte
	})
	copy(memory.iv[:], h.IV)
	copy(memory.tag[:], h.Tag)
	memory.Header = Header{
		Version:           int(h.Suite.Version()),
		Suite:             SuiteID(h.Suite.ID),
		MessageID:         h.MessageID,
		EncryptionContext: h.Context,
		EncryptedDataKeys: dataKeys,
		FrameLength:       h.FrameLength,
		Length:            h.Size(),
		Commitment:        h.Commitment,
		IV:                memory.iv[:],
		Tag:               memory.tag[:],
	}
	return &memory.Header
}

// cloneContext returns a copy that is never nil, so that pairs can be added.
func cloneContext(ec EncryptionContext) EncryptionContext {
	if ec == nil {
		return EncryptionContext{}
	}
	return maps.Clone(ec)
}

// newDataKeys returns the data keys twice, since a user's CMM may change them.
func newDataKeys(keys []format.DataKey) (header, request []EncryptedDataKey) {
	n := len(keys)
	both := make([]EncryptedDataKey, 2*n)
	header, request = both[:n:n], both[n:]
	for i, k := range keys {
		header[i] = EncryptedDataKey(k)
	}
	copy(request, header)
	return header, request
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

// complete sets the fields that come from the materials.
func (h *Header) complete(ec EncryptionContext, required []string) {
	h.EncryptionContext, h.RequiredContextKeys = ec, required
}
