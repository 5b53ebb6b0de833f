package esdk

import (
	"cmp"
	"context"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/rand"
	"hash"
	"io"
	"math"
	"reflect"
	"slices"

	"esdk/internal/errtext"
	"esdk/internal/format"
	"esdk/internal/stream"
	"esdk/internal/suite"
)

// Encrypt encrypts a plaintext, bound to an encryption context, which may be
// nil. It returns the message and its header. It fails with the error of the
// keyring or CMM, [ErrEncryptionContext], [ErrCommitmentPolicy], [ErrLimit], or
// the error of ctx if ctx ends first.
//
// Specification: [client-apis/encrypt.md].
//
// [client-apis/encrypt.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/client-apis/encrypt.md
func (c *Client) Encrypt(ctx context.Context, plaintext []byte, ec EncryptionContext) ([]byte, *Header, error) {
	return c.AppendEncrypt(ctx, nil, plaintext, ec)
}

// AppendEncrypt is like [Client.Encrypt], but appends the message to dst and
// returns the extended slice. Reusing dst saves allocating the message, which
// can be half of the time for a long unsigned one. AppendEncrypt fails if the
// spare capacity of dst overlaps the plaintext.
func (c *Client) AppendEncrypt(ctx context.Context, dst, plaintext []byte, ec EncryptionContext) ([]byte, *Header, error) {
	if err := checkOverlap(dst, plaintext); err != nil {
		return nil, nil, err
	}
	bodySize, err := c.bodySize(int64(len(plaintext)), math.MaxInt/2)
	if err != nil {
		return nil, nil, err
	}
	e, err := c.beginEncryption(ctx, ec, int64(len(plaintext)), dst, bodySize)
	if err != nil {
		return nil, nil, err
	}
	message, err := stream.Seal(e.message, plaintext, &e.params)
	if err != nil {
		return nil, nil, err
	}
	footer, err := e.footer()
	if err != nil {
		return nil, nil, err
	}
	return append(message, footer...), e.header, nil
}

// checkOverlap fails if the output of a one-shot call would overwrite its
// input. Such a call works on several parts of the input at once.
func checkOverlap(dst, input []byte) error {
	spare := dst[len(dst):cap(dst)]
	if len(spare) == 0 || len(input) == 0 {
		return nil
	}
	start, end := reflect.ValueOf(&spare[0]).Pointer(), reflect.ValueOf(&input[0]).Pointer()
	if start < end+uintptr(len(input)) && end < start+uintptr(len(spare)) {
		return errtext.Errorf("the memory to append to overlaps the input")
	}
	return nil
}

// NewWriter returns a writer that encrypts to dst, bound to an encryption
// context, which may be nil. The caller must call [Writer.Close]; without it
// the message isn't complete and doesn't decrypt. A caller that may stop early
// defers [Writer.Abort]. NewWriter itself writes nothing. It fails as
// [Client.Encrypt] does. If ctx ends before the message is complete, the writer
// fails with its error.
//
// Specification: [client-apis/streaming.md].
//
// [client-apis/streaming.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/client-apis/streaming.md
func (c *Client) NewWriter(ctx context.Context, dst io.Writer, ec EncryptionContext) (*Writer, error) {
	bound := int64(-1)
	if c.config.MaxPlaintextLength > 0 {
		bound = c.config.MaxPlaintextLength
	}
	return c.newWriter(ctx, dst, ec, bound, -1)
}

// NewSizedWriter is like [Client.NewWriter], for a plaintext of a known length
// in bytes. A CMM that counts bytes, such as a caching CMM, counts this length,
// and [Header.MessageSize] returns the length of the message. Write and
// ReadFrom fail with [ErrLimit] if the plaintext is longer, and Close fails
// with [io.ErrUnexpectedEOF] if it's shorter.
func (c *Client) NewSizedWriter(ctx context.Context, dst io.Writer, length int64, ec EncryptionContext) (*Writer, error) {
	if length < 0 {
		return nil, errtext.Errorf("a plaintext of %d bytes", length)
	}
	if _, err := c.bodySize(length, math.MaxInt64); err != nil {
		return nil, err
	}
	return c.newWriter(ctx, dst, ec, length, length)
}

// newWriter makes a Writer. A length of -1 isn't known. The CMM gets bound, an
// upper bound on the length.
func (c *Client) newWriter(ctx context.Context, dst io.Writer, ec EncryptionContext, bound, length int64) (*Writer, error) {
	e, err := c.beginEncryption(ctx, ec, bound, nil, 0)
	if err != nil {
		return nil, err
	}
	if length >= 0 {
		e.params.MaxPlaintext = cmp.Or(length, stream.NoPlaintext)
	}
	return &Writer{encryption: e, body: stream.NewWriter(dst, e.message, &e.params), length: length}, nil
}

// bodySize returns the length of the body for a plaintext of n bytes. It fails
// if n is over a limit or the body is longer than most.
func (c *Client) bodySize(n, most int64) (int64, error) {
	if limit := c.config.MaxPlaintextLength; limit > 0 && n > limit {
		return 0, errtext.Errorf("%w: plaintext has %d bytes, at most %d are allowed", ErrLimit, n, limit)
	}
	size, ok := format.BodySize(n, c.config.FrameLength)
	if !ok || size > most {
		return 0, errtext.Errorf("%w: plaintext of %d bytes is too long for frames of %d", ErrLimit, n, c.config.FrameLength)
	}
	return size, nil
}

// A Writer encrypts a message as it's written. It needs a few MiB of memory, or
// a few frames if frames are longer. Before a call returns, other goroutines
// may write to the underlying writer, one at a time. A Writer is not safe for
// concurrent use.
//
// Its methods can be mixed. If the underlying writer, the source of ReadFrom or
// the context panics or ends its goroutine, the Writer is broken and every
// later call fails.
type Writer struct {
	encryption encryption
	body       *stream.Writer
	length     int64 // of the plaintext; -1: not declared
	closed     bool
	closeErr   error
}

// Header returns the header of the message.
func (w *Writer) Header() *Header { return w.encryption.header }

var (
	errClosed    = errtext.Errorf("write to a closed Writer")
	errAborted   = errtext.Errorf("the message was aborted")
	errNotClosed = errtext.Errorf("an earlier Close did not return, and the message is not complete")
)

// Write encrypts p. The ciphertext may reach the underlying writer later. Write
// fails with [ErrLimit] as soon as the plaintext is longer than allowed. After
// an error, the message can't be completed. After Close or Abort, Write and
// ReadFrom fail.
func (w *Writer) Write(p []byte) (int, error) {
	if w.closed {
		return 0, errClosed
	}
	return w.body.Write(p)
}

// ReadFrom encrypts everything in r. It implements [io.ReaderFrom]. After an
// error of r the message can't be completed, so that a partial message is never
// mistaken for a complete one.
//
// [io.Copy] calls ReadFrom unless the source has a WriteTo method. The Writer
// then sees the writes, but no error of the source unless the source is a
// [Reader]. After a failed Copy, call Abort instead of Close.
func (w *Writer) ReadFrom(r io.Reader) (int64, error) {
	if w.closed {
		return 0, errClosed
	}
	return w.body.ReadFrom(r)
}

// Close completes the message. It doesn't close the underlying writer. After an
// error of Write or ReadFrom, Close returns that error again and leaves a
// message that doesn't decrypt. It also leaves one if either of them panicked
// or ended its goroutine. An application that stops early for its own reasons
// calls [Writer.Abort] instead. A second call returns the same result as the
// first.
func (w *Writer) Close() error {
	if w.closed {
		return w.closeErr
	}
	w.closed, w.closeErr = true, errNotClosed // if the call does not return
	if n := w.body.Plaintext(); n < w.length {
		w.body.Fail(errtext.Errorf("plaintext has %d bytes, %d were declared: %w", n, w.length, io.ErrUnexpectedEOF))
	}
	w.closeErr = w.body.Finish(w.encryption.footer)
	return w.closeErr
}

// Abort gives up the message: nothing more is written, and a later Close fails.
// After Close it has no effect. A deferred Abort protects functions that return
// early. A deferred Close would complete a message that holds only a part of
// the plaintext:
//
//	w, err := client.NewWriter(ctx, file, ec)
//	…
//	defer w.Abort()
//	…
//	return w.Close()
func (w *Writer) Abort() {
	if !w.closed {
		w.closed, w.closeErr = true, errAborted
		w.body.Fail(errAborted)
	}
}

// An encryption holds the keys and parameters that encrypt one message.
type encryption struct {
	header     *Header
	message    []byte // up to the end of the header
	params     stream.Params
	suite      *suite.Suite
	signingKey *ecdsa.PrivateKey
}

// beginEncryption gets materials and appends the header to dst. It makes room
// for a body of the given size.
func (c *Client) beginEncryption(ctx context.Context, ec EncryptionContext, length int64, dst []byte, bodySize int64) (encryption, error) {
	if err := ctx.Err(); err != nil {
		return encryption{}, err
	}
	if err := ec.checkInput(); err != nil {
		return encryption{}, err
	}
	m, err := c.encryptionMaterials(ctx, ec, length)
	if err != nil {
		return encryption{}, err
	}
	defer clear(m.DataKey)
	s, err := m.check(c.config.CommitmentPolicy)
	if err != nil {
		return encryption{}, err
	}
	if err := c.checkDataKeys(len(m.EncryptedDataKeys)); err != nil {
		return encryption{}, err
	}
	return c.newEncryption(ctx, s, m, dst, bodySize)
}

// encryptionMaterials asks the CMM for materials. A user's CMM gets a copy of
// the encryption context. The default CMM changes nothing, and makes its own.
func (c *Client) encryptionMaterials(ctx context.Context, ec EncryptionContext, length int64) (*EncryptionMaterials, error) {
	req := EncryptionRequest{
		EncryptionContext: ec,
		CommitmentPolicy:  c.config.CommitmentPolicy,
		Suite:             c.config.Suite,
		PlaintextLength:   length,
	}
	if own, ok := c.cmm.(*defaultCMM); ok {
		return own.EncryptionMaterials(ctx, &req)
	}
	copied := req
	copied.EncryptionContext = cloneContext(ec)
	return encryptionMaterials(ctx, c.cmm, &copied)
}

func (c *Client) newEncryption(ctx context.Context, s *suite.Suite, m *EncryptionMaterials, dst []byte, bodySize int64) (encryption, error) {
	h := &format.Header{
		Suite:       s,
		MessageID:   make([]byte, s.MessageIDLength()),
		DataKeys:    formatDataKeys(m.EncryptedDataKeys),
		FrameLength: c.config.FrameLength,
	}
	stored, required := m.EncryptionContext.split(m.RequiredContextKeys)
	h.Context = stored
	rand.Read(h.MessageID)
	keys, err := s.Derive(m.DataKey, h.MessageID)
	if err != nil {
		return encryption{}, errtext.Errorf("%w", err)
	}
	defer keys.Clear()
	h.Commitment = keys.Commitment
	message, err := h.BuildIn(dst, bodySize+footerSize(s))
	if err != nil {
		// The context may have become too long with the public key.
		if _, err := stored.AppendBinary(nil); err != nil {
			return encryption{}, err
		}
		return encryption{}, errtext.Errorf("header: %w", err)
	}
	aead, err := newGCM(keys.Content)
	if err != nil {
		return encryption{}, err
	}
	aad, err := headerAAD(h, required)
	if err != nil {
		return encryption{}, err
	}
	message = h.Seal(message, aead, aad)
	e := encryption{message: message, suite: s, signingKey: m.SigningKey}
	e.header = newHeader(h, m.EncryptedDataKeys)
	e.header.complete(m.EncryptionContext, m.RequiredContextKeys)
	e.params = c.bodyParams(ctx, h, aead)
	e.params.Digest = newDigest(s, message[len(dst):])
	return e, nil
}

// headerAAD returns the additional data of the header tag: the header's bytes
// in the message, then the required pairs that aren't stored.
//
// Specification: client-apis/encrypt.md#construct-the-header.
func headerAAD(h *format.Header, required EncryptionContext) ([]byte, error) {
	return required.AppendBinary(slices.Clip(h.Raw))
}

func (c *Client) bodyParams(ctx context.Context, h *format.Header, aead cipher.AEAD) stream.Params {
	return stream.Params{
		AEAD:         aead,
		MessageID:    h.MessageID,
		FrameLength:  h.FrameLength,
		MaxPlaintext: c.config.MaxPlaintextLength,
		Workers:      c.config.Concurrency,
		Context:      ctx,
	}
}

// newDigest starts the hash that the signature covers. It's nil for unsigned
// suites.
func newDigest(s *suite.Suite, head []byte) hash.Hash {
	digest := s.NewDigest()
	if digest != nil {
		digest.Write(head)
	}
	return digest
}

// footer signs the message. The digest must already cover all of it.
func (e *encryption) footer() ([]byte, error) {
	if !e.suite.Signs() {
		return nil, nil
	}
	signature, err := e.suite.Sign(e.signingKey, e.params.Digest.Sum(nil))
	if err != nil {
		return nil, errtext.Errorf("signing: %w", err)
	}
	return format.AppendFooter(nil, signature), nil
}
