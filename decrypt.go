package esdk

import (
	"bufio"
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/subtle"
	"io"

	"esdk/internal/errtext"
	"esdk/internal/format"
	"esdk/internal/stream"
	"esdk/internal/suite"
)

// Decrypt decrypts a message. It returns the plaintext and the header, or
// neither unless the whole message is authentic. Each pair of the given
// encryption context must match the message: either the message stores it, or
// it was required and not stored. A nil context accepts any stored context.
//
// It fails with a [*FormatError], a [*NoDataKeyError], [ErrAuthentication],
// [ErrCommitment], [ErrCommitmentPolicy], [ErrEncryptionContext], [ErrLimit],
// [ErrSigned], the error of the CMM, or the error of ctx if ctx ends first.
//
// A pair whose key the message doesn't store is treated as a required pair,
// even if the key is only misspelt. If the message then doesn't decrypt, the
// error names the key and matches [ErrEncryptionContext], besides
// [ErrNoDataKey], [ErrCommitment] or [ErrAuthentication].
//
// Specification: [client-apis/decrypt.md].
//
// [client-apis/decrypt.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/client-apis/decrypt.md
func (c *Client) Decrypt(ctx context.Context, message []byte, ec EncryptionContext) ([]byte, *Header, error) {
	return c.AppendDecrypt(ctx, nil, message, ec)
}

// AppendDecrypt is like [Client.Decrypt], but appends the plaintext to dst and
// returns the extended slice. Reusing dst saves allocating the plaintext, as
// with [Client.AppendEncrypt]. If AppendDecrypt fails, the spare capacity of
// dst holds no plaintext of the message. It fails if the spare capacity
// overlaps the message.
func (c *Client) AppendDecrypt(ctx context.Context, dst, message []byte, ec EncryptionContext) ([]byte, *Header, error) {
	if err := checkOverlap(dst, message); err != nil {
		return nil, nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	var h format.Header
	if err := h.Parse(message, c.headerLimits()); err != nil {
		return nil, nil, public(err)
	}
	d, err := c.beginDecryption(ctx, &h, ec)
	if err != nil {
		return nil, nil, err
	}
	plaintext, err := stream.Open(dst, message[d.header.Length:], d.source())
	if err != nil {
		return nil, nil, public(err)
	}
	return plaintext, d.header, nil
}

// NewReader returns a reader of the plaintext of the message in src. The
// message must end where src ends: src is read to EOF. NewReader reads and
// verifies the header, and the whole message under [VerifyFirst]. The
// encryption context and the errors are the same as for [Client.Decrypt]. If
// ctx ends before the message was read, the reader fails with its error; a
// blocked read of src isn't interrupted.
func (c *Client) NewReader(ctx context.Context, src io.Reader, ec EncryptionContext) (*Reader, error) {
	// The header is read in small pieces; a body is read past this buffer.
	buffered := src
	if stream.InMemory(src) == nil {
		buffered = bufio.NewReader(format.Steady(src))
	}
	seeker, start := seekable(src)
	d, err := c.readDecryption(ctx, buffered, ec)
	if err != nil {
		return nil, err
	}
	r := &Reader{header: d.header, body: stream.NewReader(buffered, d.source())}
	if c.config.Release != VerifyFirst {
		return r, nil
	}
	if seeker == nil {
		verified := new(bytes.Buffer)
		if _, err := r.WriteTo(verified); err != nil {
			return nil, err
		}
		r.body = stream.NewVerifiedReader(verified.Bytes())
		return r, nil
	}
	if _, err := r.WriteTo(io.Discard); err != nil {
		return nil, err
	}
	if _, err := seeker.Seek(start+int64(d.header.Length), io.SeekStart); err != nil {
		return nil, errtext.Errorf("reading message: %w", err)
	}
	r.body = stream.NewReader(src, d.source())
	return r, nil
}

// seekable returns src as a seeker and its current offset, or nil if src can't
// really seek. A file that is a pipe can't.
func seekable(src io.Reader) (io.Seeker, int64) {
	seeker, ok := src.(io.Seeker)
	if !ok {
		return nil, 0
	}
	start, err := seeker.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, 0
	}
	return seeker, start
}

// A Reader decrypts a message as it's read. Its memory depends on the frame
// length, not on the length of the message. The exceptions are [VerifyFirst]
// and unframed messages, which are held as a whole. Before a call returns,
// other goroutines may read the source and write to the argument of WriteTo,
// one at a time. A Reader is not safe for concurrent use.
type Reader struct {
	header *Header
	body   *stream.Reader
}

// Header returns the authenticated header of the message.
func (r *Reader) Header() *Header { return r.header }

// Read reads authenticated plaintext. It returns [io.EOF] only after the whole
// message has been verified, including its signature. A truncated message fails
// with [io.ErrUnexpectedEOF] in a [*FormatError].
func (r *Reader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	return n, public(err)
}

// WriteTo writes the remaining plaintext to w. It implements [io.WriterTo]. A
// nil error means that the whole message has been verified. After an error of
// w, the Reader keeps returning it.
func (r *Reader) WriteTo(w io.Writer) (n int64, err error) {
	if e, ok := w.(*Writer); ok {
		// The Writer doesn't see an error of this Reader. If WriteTo fails or
		// panics, the Writer must not complete a message from the plaintext
		// that came before.
		err = errNotRead
		defer func() {
			if err != nil {
				e.body.Fail(err)
			}
		}()
	}
	n, err = r.body.WriteTo(w)
	err = public(err)
	return n, err
}

var errNotRead = errtext.Errorf("the message to re-encrypt was not read to its end")

// A decryption holds the keys and parameters that decrypt one message.
type decryption struct {
	header          *Header
	head            []byte // the header as bytes, if a signature covers it
	params          stream.Params
	suite           *suite.Suite
	verificationKey *ecdsa.PublicKey
}

// lowerLimit returns the lower of two limits, where 0 means no limit.
func lowerLimit(a, b int64) int64 {
	if a == 0 || b == 0 {
		return a + b
	}
	return min(a, b)
}

func (c *Client) headerLimits() format.Limits {
	return format.Limits{DataKeys: c.config.MaxEncryptedDataKeys, Size: c.config.MaxHeaderLength}
}

// readDecryption reads the header and begins with it.
func (c *Client) readDecryption(ctx context.Context, r io.Reader, ec EncryptionContext) (decryption, error) {
	if err := ctx.Err(); err != nil {
		return decryption{}, err
	}
	h, err := format.ReadHeader(r, c.headerLimits())
	if err != nil {
		return decryption{}, public(err)
	}
	return c.beginDecryption(ctx, h, ec)
}

// beginDecryption gets materials and verifies the header.
func (c *Client) beginDecryption(ctx context.Context, h *format.Header, ec EncryptionContext) (d decryption, err error) {
	if err := c.checkHeader(h); err != nil {
		return d, err
	}
	own, forCMM := newDataKeys(h.DataKeys)
	header := newHeader(h, own)
	m, err := c.decryptionMaterials(ctx, h, forCMM, ec)
	if err != nil {
		return d, explainUnstored(err, h, ec)
	}
	defer clear(m.DataKey)
	aead, err := c.open(h, m, ec)
	if m.Opened != nil {
		m.Opened(err == nil)
	}
	if err != nil {
		return d, err
	}
	header.complete(m.EncryptionContext, m.RequiredContextKeys)
	d.header, d.suite, d.verificationKey = header, h.Suite, m.VerificationKey
	d.params = c.bodyParams(ctx, h, aead)
	if h.FrameLength == 0 { // an unframed body counts as one frame
		d.params.MaxPlaintext = lowerLimit(d.params.MaxPlaintext, int64(c.config.MaxFrameLength))
	}
	if h.Suite.Signs() {
		d.head = h.Append(nil)
	}
	return d, nil
}

// decryptionMaterials asks the CMM for materials, and gives it the header's
// context and the encrypted data keys. The CMM and its keyrings may be the
// user's: checkContext notices if they change the former. The default CMM
// doesn't pass on the caller's context, so it needs no copy.
func (c *Client) decryptionMaterials(ctx context.Context, h *format.Header, edks []EncryptedDataKey, ec EncryptionContext) (*DecryptionMaterials, error) {
	req := DecryptionRequest{
		Suite:             SuiteID(h.Suite.ID),
		CommitmentPolicy:  c.config.CommitmentPolicy,
		EncryptionContext: h.Context,
		EncryptedDataKeys: edks,
		ReproducedContext: ec,
	}
	if h.Context == nil {
		req.EncryptionContext = EncryptionContext{}
	}
	if own, ok := c.cmm.(*defaultCMM); ok {
		return own.takeDecryption(ctx, &req, h.Stored())
	}
	copied := req
	copied.ReproducedContext = cloneContext(ec)
	return decryptionMaterials(ctx, c.cmm, &copied)
}

// open verifies the header with the materials, and returns the body's cipher.
func (c *Client) open(h *format.Header, m *DecryptionMaterials, ec EncryptionContext) (cipher.AEAD, error) {
	if err := m.check(h.Suite); err != nil {
		return nil, err
	}
	if err := m.checkContext(h, ec); err != nil {
		return nil, err
	}
	aead, err := c.openHeader(h, m)
	if err != nil {
		return nil, explainUnstored(err, h, ec)
	}
	return aead, nil
}

// checkHeader makes the checks of a header that need no key.
func (c *Client) checkHeader(h *format.Header) error {
	if err := c.config.CommitmentPolicy.checkDecrypt(h.Suite); err != nil {
		return err
	}
	if c.config.Release == RejectSigned && h.Suite.Signs() {
		return ErrSigned
	}
	if limit := c.config.MaxFrameLength; limit > 0 && h.FrameLength > limit {
		return errtext.Errorf("%w: frames have %d bytes, at most %d are allowed", ErrLimit, h.FrameLength, limit)
	}
	return nil
}

// openHeader derives the content key, checks the commitment, then the header
// tag, and returns the body's cipher.
func (c *Client) openHeader(h *format.Header, m *DecryptionMaterials) (cipher.AEAD, error) {
	keys, err := h.Suite.Derive(m.DataKey, h.MessageID)
	if err != nil {
		return nil, errtext.Errorf("%w", err)
	}
	defer keys.Clear()
	if h.Suite.Commits && subtle.ConstantTimeCompare(keys.Commitment, h.Commitment) != 1 {
		return nil, ErrCommitment
	}
	_, required := m.EncryptionContext.split(m.RequiredContextKeys)
	aad, err := headerAAD(h, required)
	if err != nil {
		return nil, err
	}
	aead, err := verifyHeader(h, keys.Content, aad)
	if err == nil || !c.config.RecoverNET400 {
		return aead, err
	}
	return verifyHeaderNET400(h, keys.Content, m.DataKey, aad, len(required) == 0)
}

func verifyHeader(h *format.Header, contentKey, aad []byte) (cipher.AEAD, error) {
	aead, err := newGCM(contentKey)
	if err != nil {
		return nil, err
	}
	if _, err := aead.Open(nil, h.IV, h.Tag, aad); err != nil {
		return nil, ErrAuthentication
	}
	return aead, nil
}

// verifyHeaderNET400 verifies headers as version 4.0.0 of the .NET SDK wrote
// them. That version left the message ID out of the key derivation for suites
// that don't commit, and serialized an empty set of required pairs as a count
// of zero. See aws/aws-encryption-sdk issue 619.
func verifyHeaderNET400(h *format.Header, contentKey, dataKey, aad []byte, noneRequired bool) (cipher.AEAD, error) {
	if h.Suite.Derives() && !h.Suite.Commits {
		keys, err := h.Suite.DeriveNET400(dataKey)
		if err != nil {
			return nil, errtext.Errorf("%w", err)
		}
		defer keys.Clear()
		contentKey = keys.Content
	}
	if noneRequired {
		aad = append(aad[:len(aad):len(aad)], 0, 0)
	}
	return verifyHeader(h, contentKey, aad)
}

// source describes the body for one pass over it.
func (d *decryption) source() stream.Source {
	s := stream.Source{Params: d.params, Offset: int64(d.header.Length)}
	if digest := newDigest(d.suite, d.head); digest != nil {
		suite, key := d.suite, d.verificationKey
		s.Digest = digest
		s.Verify = func(signature []byte) error {
			if !suite.Verify(key, digest.Sum(nil), signature) {
				return ErrAuthentication
			}
			return nil
		}
	}
	return s
}
