package esdk

import (
	"bufio"
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/subtle"
	"io"
	"slices"

	"esdk/internal/errtext"
	"esdk/internal/format"
	"esdk/internal/stream"
	"esdk/internal/suite"
)

// Decrypt decrypts a message and returns its plaintext and its header, or
// neither unless all of the message is authentic. Each pair of the encryption
// context given must be one of the message, or have been required without being
// stored; a nil context accepts any that is stored.
//
// It fails with a [*FormatError], a [*NoDataKeyError], [ErrAuthentication],
// [ErrCommitment], [ErrCommitmentPolicy], [ErrEncryptionContext], [ErrLimit],
// [ErrSigned], the error of the CMM, or the error of a context ctx that ends
// first.
//
// A pair whose key the message does not store is taken for a required one, even
// if the key is only misspelt. If the message then does not decrypt, the error
// names the key and matches [ErrEncryptionContext], besides [ErrNoDataKey],
// [ErrCommitment] or [ErrAuthentication].
//
// Specification: client-apis/decrypt.md.
func (c *Client) Decrypt(ctx context.Context, message []byte, ec EncryptionContext) ([]byte, *Header, error) {
	return c.AppendDecrypt(ctx, nil, message, ec)
}

// AppendDecrypt is [Client.Decrypt], but appends the plaintext to dst and
// returns the longer slice. Reusing dst spares the allocation of the plaintext,
// as for [Client.AppendEncrypt]. If it fails, the spare memory of dst holds no
// plaintext of the message. It fails if that memory overlaps the message.
func (c *Client) AppendDecrypt(ctx context.Context, dst, message []byte, ec EncryptionContext) ([]byte, *Header, error) {
	if err := checkOverlap(dst, message); err != nil {
		return nil, nil, err
	}
	d, err := c.beginDecryption(ctx, bytes.NewReader(message), ec)
	if err != nil {
		return nil, nil, err
	}
	plaintext, err := stream.Open(dst, message[d.header.Length:], d.source())
	if err != nil {
		return nil, nil, public(err)
	}
	return plaintext, d.header, nil
}

// NewReader returns a reader of the plaintext of the message in src, which must
// end with the message: src is read up to its end. NewReader reads and verifies
// the header, and all of the message under [VerifyFirst]. It fails as
// [Client.Decrypt] does. The encryption context is as there. When the context
// ctx ends before the message was read, the reader fails with its error; a read
// of src that blocks is not interrupted.
func (c *Client) NewReader(ctx context.Context, src io.Reader, ec EncryptionContext) (*Reader, error) {
	// The header is read in small pieces; a body is read past this buffer.
	buffered := src
	if stream.InMemory(src) == nil {
		buffered = bufio.NewReader(format.Steady(src))
	}
	seeker, start := seekable(src)
	d, err := c.beginDecryption(ctx, buffered, ec)
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

// seekable returns a seeker and where it is, or nil if src cannot really seek,
// as a file that is a pipe cannot.
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

// A Reader decrypts a message as it is read. Its memory depends on the length
// of the frames and not on that of the message, but see [VerifyFirst] and
// messages that are not framed, which are held as a whole. The source may be read,
// and the argument of WriteTo written to, by other goroutines, one at a time,
// before a call returns. A Reader is not safe for concurrent use.
type Reader struct {
	header *Header
	body   *stream.Reader
}

// Header returns the header of the message, which is authentic.
func (r *Reader) Header() *Header { return r.header }

// Read reads plaintext that is authenticated. It returns [io.EOF] only once all
// of the message was verified, with its signature. A message that was cut short
// fails with [io.ErrUnexpectedEOF] in a [*FormatError].
func (r *Reader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	return n, public(err)
}

// WriteTo writes all of the plaintext that is left to w. It implements
// [io.WriterTo]. A nil error means that all of the message was verified. After an
// error of w the Reader returns it again.
func (r *Reader) WriteTo(w io.Writer) (n int64, err error) {
	if e, ok := w.(*Writer); ok {
		// It sees only what is written. What came before an error, or a panic, must
		// not be completed.
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

var errNotRead = errtext.Errorf("the message that is encrypted again was not read to its end")

// decryption is what one message is decrypted with.
type decryption struct {
	header          *Header
	head            []byte // the header as bytes, if a signature covers it
	params          stream.Params
	suite           *suite.Suite
	verificationKey *ecdsa.PublicKey
}

// lowerLimit returns the lower one of two limits, of which 0 is none.
func lowerLimit(a, b int64) int64 {
	if a == 0 || b == 0 {
		return a + b
	}
	return min(a, b)
}

// beginDecryption reads the header, gets materials and verifies the header.
func (c *Client) beginDecryption(ctx context.Context, r io.Reader, ec EncryptionContext) (*decryption, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h, err := format.ReadHeader(r, format.Limits{DataKeys: c.config.MaxEncryptedDataKeys, Size: c.config.MaxHeaderLength})
	if err != nil {
		return nil, public(err)
	}
	if err := c.checkHeader(h); err != nil {
		return nil, err
	}
	header := newHeader(h, newDataKeys(h.DataKeys))
	m, err := decryptionMaterials(ctx, c.cmm, &DecryptionRequest{
		Suite:             header.Suite,
		CommitmentPolicy:  c.config.CommitmentPolicy,
		EncryptionContext: cloneContext(h.Context),
		EncryptedDataKeys: slices.Clone(header.EncryptedDataKeys), // those of the header stay authentic
		ReproducedContext: cloneContext(ec),
	})
	if err != nil {
		return nil, explainUnstored(err, h.Context, ec)
	}
	defer clear(m.DataKey)
	aead, err := c.open(h, m, ec)
	if m.Opened != nil {
		m.Opened(err == nil)
	}
	if err != nil {
		return nil, err
	}
	header.complete(m.EncryptionContext, m.RequiredContextKeys)
	params := c.bodyParams(ctx, h, aead)
	if h.FrameLength == 0 { // a body that is not framed is as one frame
		params.MaxPlaintext = lowerLimit(params.MaxPlaintext, int64(c.config.MaxFrameLength))
	}
	d := &decryption{header: header, params: params, suite: h.Suite, verificationKey: m.VerificationKey}
	if h.Suite.Signs() {
		d.head = h.Append(nil)
	}
	return d, nil
}

// open verifies the header with the materials, and returns the cipher of the body.
func (c *Client) open(h *format.Header, m *DecryptionMaterials, ec EncryptionContext) (cipher.AEAD, error) {
	if err := m.check(h.Suite); err != nil {
		return nil, err
	}
	if err := m.checkContext(h.Context, ec); err != nil {
		return nil, err
	}
	aead, err := c.openHeader(h, m)
	if err != nil {
		return nil, explainUnstored(err, h.Context, ec)
	}
	return aead, nil
}

// checkHeader refuses what needs no key to be refused.
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

// openHeader derives the content key, checks the commitment and then the header
// tag, and returns the cipher of the body.
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
	aead, err := verifyHeader(h, keys, aad)
	if err == nil || !c.config.RecoverNET400 {
		return aead, err
	}
	return verifyHeaderNET400(h, keys, m.DataKey, aad, len(required) == 0)
}

func verifyHeader(h *format.Header, keys *suite.Keys, aad []byte) (cipher.AEAD, error) {
	aead, err := newGCM(keys.Content)
	if err != nil {
		return nil, err
	}
	if _, err := aead.Open(nil, h.IV, h.Tag, aad); err != nil {
		return nil, ErrAuthentication
	}
	return aead, nil
}

// verifyHeaderNET400 reads what version 4.0.0 of the .NET SDK wrote: it left the
// message id out of the key derivation of suites that do not commit, and
// serialized an empty set of required pairs as a count of zero.
// See aws/aws-encryption-sdk issue 619.
func verifyHeaderNET400(h *format.Header, keys *suite.Keys, dataKey, aad []byte, noneRequired bool) (cipher.AEAD, error) {
	if h.Suite.Derives() && !h.Suite.Commits {
		var err error
		if keys, err = h.Suite.DeriveNET400(dataKey); err != nil {
			return nil, errtext.Errorf("%w", err)
		}
		defer keys.Clear()
	}
	if noneRequired {
		aad = append(aad[:len(aad):len(aad)], 0, 0)
	}
	return verifyHeader(h, keys, aad)
}

// source describes the body, for one pass over it.
func (d *decryption) source() stream.Source {
	s := stream.Source{Params: d.params, Offset: int64(d.header.Length)}
	if digest := newDigest(d.suite, d.head); digest != nil {
		s.Digest = digest
		s.Verify = func(signature []byte) error {
			if !d.suite.Verify(d.verificationKey, digest.Sum(nil), signature) {
				return ErrAuthentication
			}
			return nil
		}
	}
	return s
}
