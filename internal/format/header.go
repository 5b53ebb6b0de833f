package format

import (
	"bytes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"unicode/utf8"

	"esdk/internal/errtext"
	"esdk/internal/suite"
)

// These are the lengths of AES-GCM's parameters in every suite, in bytes.
const (
	IVLength  = 12
	TagLength = 16
)

const (
	messageType       = 0x80 // customer authenticated encrypted data
	contentNonFramed  = 1
	contentFramed     = 2
	reservedFieldSize = 4
)

// DataKey is an encrypted data key.
type DataKey struct {
	ProviderID   string
	ProviderInfo []byte
	Ciphertext   []byte
}

// Header is a message header. Nothing in it is authentic until its tag has
// been verified.
type Header struct {
	Suite       *suite.Suite
	MessageID   []byte
	Context     map[string]string
	DataKeys    []DataKey
	FrameLength uint32 // 0: unframed body
	Commitment  []byte // only in suites that commit

	// Raw holds the header body's bytes in the message. The header tag covers
	// these bytes, not a new serialization: the encryption context isn't in
	// canonical order in all messages.
	Raw []byte

	IV, Tag []byte // the header authentication

	stored string // the context's bytes, of a header that was read
}

// Size returns the length of the whole header in bytes.
func (h *Header) Size() int {
	if h.Suite.Commits {
		return len(h.Raw) + TagLength
	}
	return len(h.Raw) + IVLength + TagLength
}

// zeroIV is the IV of header tags that this library writes. It must not be
// changed.
var zeroIV [IVLength]byte

// Seal sets IV and Tag of a built header. It appends the tag to dst, which ends
// with Raw, after the IV if the message stores it. The tag covers aad, which
// starts with Raw.
func (h *Header) Seal(dst []byte, aead cipher.AEAD, aad []byte) []byte {
	h.IV = zeroIV[:]
	if !h.Suite.Commits {
		dst = append(dst, h.IV...)
	}
	dst = aead.Seal(dst, h.IV, nil, aad)
	h.Tag = dst[len(dst)-TagLength:]
	return dst
}

// Append appends the whole header. Raw, IV and Tag must be set.
func (h *Header) Append(dst []byte) []byte {
	dst = append(dst, h.Raw...)
	if !h.Suite.Commits {
		dst = append(dst, h.IV...)
	}
	return append(dst, h.Tag...)
}

// Build sets Raw from the other fields.
func (h *Header) Build() error {
	_, err := h.BuildIn(nil, 0)
	return err
}

// BuildIn is like Build, but appends the bytes to dst, of which Raw then is a
// part. It makes room for the whole header, and for a number of bytes that
// follow.
func (h *Header) BuildIn(dst []byte, follow int64) ([]byte, error) {
	var few fewPairs
	pairs, contextSize, err := sortPairs(&few, h.Context)
	if err != nil {
		return nil, err
	}
	size := h.buildSize() + int64(contextSize) + follow
	if size > math.MaxInt {
		return nil, limitf("message of about %d bytes is too long for this machine", size)
	}
	b := slices.Grow(dst, int(size))
	if h.Suite.Commits {
		b = append(b, 2)
	} else {
		b = append(b, 1, messageType)
	}
	b = binary.BigEndian.AppendUint16(b, h.Suite.ID)
	b = append(b, h.MessageID...)
	b = binary.BigEndian.AppendUint16(b, uint16(contextSize))
	b = appendPairs(b, pairs)
	if b, err = appendDataKeys(b, h.DataKeys); err != nil {
		return nil, err
	}
	b = append(b, contentFramed)
	if !h.Suite.Commits {
		b = append(b, 0, 0, 0, 0, IVLength)
	}
	b = binary.BigEndian.AppendUint32(b, h.FrameLength)
	b = append(b, h.Commitment...)
	h.Raw = b[len(dst):]
	return b, nil
}

// buildSize returns an upper bound on the length of the whole header without
// the context. It may exceed the memory of a 32-bit machine: data keys may
// share their bytes.
func (h *Header) buildSize() int64 {
	const fixed = 18 // everything but variable fields and the authentication, in version 1
	n := int64(fixed + len(h.MessageID) + len(h.Commitment) + IVLength + TagLength)
	for _, k := range h.DataKeys {
		n += 6 + int64(len(k.ProviderID)) + int64(len(k.ProviderInfo)) + int64(len(k.Ciphertext))
	}
	return n
}

func appendDataKeys(b []byte, keys []DataKey) ([]byte, error) {
	if len(keys) == 0 {
		return nil, errors.New("0 encrypted data keys, need 1 to 65,535")
	}
	if len(keys) > math.MaxUint16 {
		return nil, limitf("%d encrypted data keys, at most 65,535 are allowed", len(keys))
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(keys)))
	for i, k := range keys {
		if !utf8.ValidString(k.ProviderID) {
			return nil, fmt.Errorf("provider id of encrypted data key %d is not valid UTF-8", i)
		}
		if max(len(k.ProviderID), len(k.ProviderInfo), len(k.Ciphertext)) > math.MaxUint16 {
			return nil, limitf("encrypted data key %d has a field of more than 65,535 bytes", i)
		}
		b = appendField(b, k.ProviderID)
		b = appendField(b, k.ProviderInfo)
		b = appendField(b, k.Ciphertext)
	}
	return b, nil
}

// Limits limit the headers that ReadHeader accepts; 0 means no limit.
type Limits struct {
	DataKeys int // encrypted data keys
	Size     int // bytes of the whole header
}

// ReadHeader reads a header and nothing beyond it. It allocates at most the
// bytes that have arrived plus one field of at most 65,535 bytes.
func ReadHeader(r io.Reader, limits Limits) (*Header, error) {
	h := new(Header)
	p := headerParser{src: Steady(r), limits: limits}
	if err := p.parse(h); err != nil {
		return nil, err
	}
	return h, nil
}

// Parse is like ReadHeader, for a message in memory. The header, which must be
// empty, will share no memory with the message.
func (h *Header) Parse(message []byte, limits Limits) error {
	p := headerParser{buf: message, limits: limits}
	if err := p.parse(h); err != nil {
		return err
	}
	h.moveFrom(message)
	return nil
}

// moveFrom copies the header out of the message that its fields are parts of.
func (h *Header) moveFrom(message []byte) {
	own := bytes.Clone(message[:h.Size()])
	move := func(field *[]byte) {
		start := cap(message) - cap(*field) // each reaches to the end of the same memory
		end := start + len(*field)
		*field = own[start:end:end]
	}
	move(&h.Raw)
	move(&h.MessageID)
	for i := range h.DataKeys {
		move(&h.DataKeys[i].ProviderInfo)
		move(&h.DataKeys[i].Ciphertext)
	}
	if h.Suite.Commits {
		move(&h.Commitment)
	} else {
		move(&h.IV)
	}
	move(&h.Tag)
}

// headerParser reads a header field by field.
type headerParser struct {
	src        io.Reader // nil: buf is the whole message
	buf        []byte    // what was read; it grows by copying, so fields stay valid
	start, end int       // of the current field in buf
	limits     Limits
}

// next reads a field of n bytes.
func (p *headerParser) next(n int, field string) ([]byte, error) {
	p.start, p.end = p.end, p.end+n
	if p.limits.Size > 0 && p.end > p.limits.Size {
		return nil, errtext.Errorf("%w: header is longer than %d bytes", ErrLimit, p.limits.Size)
	}
	if p.src != nil || p.end > len(p.buf) {
		if err := p.read(); err != nil {
			return nil, Truncated(int64(p.start), field, err)
		}
	}
	return p.from(p.start), nil
}

// from returns what was read from an offset on. A part of a message in memory
// keeps its capacity, from which moveFrom computes its place.
func (p *headerParser) from(start int) []byte {
	if p.src == nil {
		return p.buf[start:p.end]
	}
	return p.buf[start:p.end:p.end]
}

// read reads to the end of the current field.
func (p *headerParser) read() error {
	if p.src == nil {
		return io.ErrUnexpectedEOF
	}
	if p.end > cap(p.buf) {
		p.buf = append(make([]byte, 0, max(512, p.end+p.start/2)), p.buf...)
	}
	p.buf = p.buf[:p.end]
	_, err := io.ReadFull(p.src, p.buf[p.start:])
	return err
}

// errorf returns an error about the last field read.
func (p *headerParser) errorf(field, text string, args ...any) error {
	return &Error{Offset: int64(p.start), Field: field, Err: fmt.Errorf(text, args...)}
}

func (p *headerParser) uint16(field string) (int, error) {
	b, err := p.next(2, field)
	if err != nil {
		return 0, err
	}
	return int(binary.BigEndian.Uint16(b)), nil
}

// field reads a field with a 16-bit length prefix.
func (p *headerParser) field(name string) ([]byte, error) {
	n, err := p.uint16(name)
	if err != nil {
		return nil, err
	}
	return p.next(n, name)
}

func (p *headerParser) parse(h *Header) error {
	if err := p.parseVersion(h); err != nil {
		return err
	}
	id, err := p.next(h.Suite.MessageIDLength(), "message id")
	if err != nil {
		return err
	}
	h.MessageID = id
	ec, err := p.field("encryption context")
	if err != nil {
		return err
	}
	h.stored = string(ec) // the keys and values are parts of it
	if h.Context, err = parseContext(h.stored); err != nil {
		return p.errorf("encryption context", "%w", err)
	}
	if err := p.parseDataKeys(h); err != nil {
		return err
	}
	if err := p.parseContent(h); err != nil {
		return err
	}
	h.Raw = p.from(0)
	return p.parseAuthentication(h)
}

// base64Starts are the first characters of messages in Base64: of version 1 (01
// 80), and of version 2 with either suite (02 04 78, 02 05 78).
var base64Starts = [][]byte{[]byte("AY"), []byte("AgR4"), []byte("AgV4")}

var errBase64 = errors.New("the message seems to be Base64 text; decode it first")

func (p *headerParser) parseVersion(h *Header) error {
	version, err := p.next(1, "version")
	if err != nil {
		return err
	}
	switch version[0] {
	case 1:
		kind, err := p.next(1, "type")
		if err != nil {
			return err
		}
		if kind[0] != messageType {
			return p.errorf("type", "0x%02x, need 0x80", kind[0])
		}
	case 2: // has no type
	default:
		return p.badVersion(version[0])
	}
	id, err := p.uint16("algorithm suite")
	if err != nil {
		return err
	}
	if h.Suite = suite.Lookup(uint16(id)); h.Suite == nil {
		return p.errorf("algorithm suite", "0x%04x is not one of the message format", id)
	}
	if h.Suite.Version() != version[0] {
		return p.errorf("algorithm suite", "0x%04x in a message of version %d", id, version[0])
	}
	return nil
}

func (p *headerParser) badVersion(version byte) error {
	bad := p.errorf("version", "0x%02x, need 0x01 or 0x02", version)
	if version != base64Starts[0][0] {
		return bad
	}
	p.next(3, "version") // a short read leaves zeros, which match nothing
	p.start = 0
	if SeemsBase64(p.buf) {
		return p.errorf("version", "%w", errBase64)
	}
	return bad
}

// SeemsBase64 reports whether the first bytes match a message in Base64.
func SeemsBase64(start []byte) bool {
	return slices.ContainsFunc(base64Starts, func(s []byte) bool { return bytes.HasPrefix(start, s) })
}

func (p *headerParser) parseDataKeys(h *Header) error {
	const name = "encrypted data keys"
	count, err := p.uint16(name)
	if err != nil {
		return err
	}
	if count == 0 {
		return p.errorf(name, "none")
	}
	if p.limits.DataKeys > 0 && count > p.limits.DataKeys {
		return errtext.Errorf("%w: message has %d encrypted data keys, at most %d are allowed", ErrLimit, count, p.limits.DataKeys)
	}
	for range count {
		provider, err := p.field(name)
		if err != nil {
			return err
		}
		info, err := p.field(name)
		if err != nil {
			return err
		}
		ciphertext, err := p.field(name)
		if err != nil {
			return err
		}
		// A provider ID that isn't UTF-8 belongs to no keyring of ours, but is
		// no reason to reject the other keys.
		if h.DataKeys == nil { // most messages have few, whatever the count says
			h.DataKeys = make([]DataKey, 0, min(count, 4))
		}
		h.DataKeys = append(h.DataKeys, DataKey{ProviderID: string(provider), ProviderInfo: info, Ciphertext: ciphertext})
	}
	return nil
}

func (p *headerParser) parseContent(h *Header) error {
	content, err := p.next(1, "content type")
	if err != nil {
		return err
	}
	if content[0] != contentFramed && content[0] != contentNonFramed {
		return p.errorf("content type", "0x%02x, need 0x01 or 0x02", content[0])
	}
	framed := content[0] == contentFramed
	if !h.Suite.Commits {
		reserved, err := p.next(reservedFieldSize, "reserved field")
		if err != nil {
			return err
		}
		if !bytes.Equal(reserved, make([]byte, reservedFieldSize)) {
			return p.errorf("reserved field", "not zero")
		}
		ivLength, err := p.next(1, "IV length")
		if err != nil {
			return err
		}
		if ivLength[0] != IVLength {
			return p.errorf("IV length", "%d, need %d", ivLength[0], IVLength)
		}
	}
	length, err := p.next(4, "frame length")
	if err != nil {
		return err
	}
	h.FrameLength = binary.BigEndian.Uint32(length)
	if framed != (h.FrameLength > 0) {
		return p.errorf("frame length", "%d with content type 0x%02x", h.FrameLength, content[0])
	}
	if h.Suite.Commits {
		h.Commitment, err = p.next(suite.CommitmentLength, "key commitment")
	}
	return err
}

func (p *headerParser) parseAuthentication(h *Header) (err error) {
	h.IV = zeroIV[:] // version 2 doesn't store it
	if !h.Suite.Commits {
		if h.IV, err = p.next(IVLength, "header IV"); err != nil {
			return err
		}
	}
	h.Tag, err = p.next(TagLength, "header tag")
	return err
}
