package esdk

import (
	"context"
	"io"

	"esdk/internal/errtext"
	"esdk/internal/format"
	"esdk/internal/stream"
)

// An EncryptingReader is an [io.Reader] of a message that encrypts the
// plaintext as it's read, for APIs that take a reader, such as http.NewRequest
// or S3's PutObject. It needs a few MiB of memory, or a few frames if frames
// are longer. It has no goroutine between calls, so a reader that isn't read to
// its end needs no cleanup. It is not safe for concurrent use.
type EncryptingReader struct {
	w    *Writer
	src  io.Reader
	sink messageSink
	in   []byte // plaintext just read
	rest []byte // of the sink, not yet released
	err  error  // sticky, once rest is released: no call completes the message after it
}

// chunkLength is the number of plaintext bytes read at once.
const chunkLength = 128 << 10

var (
	errReaderClosed = errtext.Errorf("read from a closed EncryptingReader")

	// errReading stays if the source panics or ends the goroutine.
	errReading = errtext.Errorf("an earlier call on this EncryptingReader did not return")
)

// NewEncryptingReader returns a reader of the message that encrypts all of src,
// bound to an encryption context, which may be nil. The length of the plaintext
// is in bytes, or -1 if it isn't known. A source with a Len method, such as
// [bytes.Reader], has a known length even then. A known length has the same
// effects as in [Client.NewSizedWriter]. NewEncryptingReader fails as
// [Client.NewWriter] does, and reads nothing yet.
//
// If src fails, the reader fails with its error, and the message isn't
// complete. The reader doesn't close src.
func (c *Client) NewEncryptingReader(ctx context.Context, src io.Reader, length int64, ec EncryptionContext) (*EncryptingReader, error) {
	if length < -1 {
		return nil, errtext.Errorf("the length of a plaintext is negative")
	}
	if l, ok := src.(interface{ Len() int }); ok && length < 0 {
		length = int64(l.Len())
	}
	r := &EncryptingReader{src: src}
	var err error
	if length < 0 {
		r.w, err = c.NewWriter(ctx, &r.sink, ec)
	} else {
		r.w, err = c.NewSizedWriter(ctx, &r.sink, length, ec)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Header returns the header of the message.
func (r *EncryptingReader) Header() *Header { return r.w.Header() }

// Size returns the length of the whole message in bytes, or false if the length
// of the plaintext isn't known.
func (r *EncryptingReader) Size() (int64, bool) {
	if r.w.length < 0 {
		return 0, false
	}
	return r.w.Header().MessageSize(r.w.length)
}

// Read reads the message. It returns [io.EOF] once the message is complete.
// After any other error, such as an error of the source, the message stays
// incomplete.
func (r *EncryptingReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.rest) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.fill()
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// fill encrypts the next chunk of the source. Ciphertext made before an error
// is still released.
func (r *EncryptingReader) fill() {
	if r.in == nil {
		r.in = make([]byte, chunkLength)
	}
	r.sink.kept, r.err = r.sink.kept[:0], errReading
	n, err := format.ReadSome(r.src, r.in)
	_, writeErr := r.w.Write(r.in[:n])
	clear(r.in[:n])
	switch {
	case writeErr != nil:
		err = writeErr
	case err == io.EOF:
		if closeErr := r.w.Close(); closeErr != nil {
			err = closeErr
		}
	}
	r.err, r.rest = err, r.sink.kept
}

// WriteTo writes the rest of the message to w. It implements [io.WriterTo]. A
// nil error means that the message is complete.
func (r *EncryptingReader) WriteTo(w io.Writer) (int64, error) {
	r.sink.to, r.sink.n = w, 0
	defer func() { r.sink.to = nil }()
	rest := r.rest
	r.rest = nil
	if len(rest) > 0 {
		if _, err := r.sink.Write(rest); err != nil {
			r.err = err
		}
	}
	if r.err == nil {
		r.err = errReading
		_, err := r.w.ReadFrom(r.src)
		if err == nil {
			err = r.w.Close()
		}
		if err == nil {
			err = io.EOF
		}
		r.err = err
	}
	if r.err == io.EOF {
		return r.sink.n, nil
	}
	return r.sink.n, r.err
}

// Close discards the rest of the message. It's needed only to satisfy an
// [io.Closer].
func (r *EncryptingReader) Close() error {
	r.w.Abort()
	r.rest, r.in, r.sink.kept = nil, nil, nil
	r.err = errReaderClosed
	return nil
}

// A messageSink passes a message on, or keeps it.
type messageSink struct {
	to   io.Writer // nil: keep
	kept []byte
	n    int64 // bytes passed on
}

func (s *messageSink) Write(p []byte) (int, error) {
	if s.to == nil {
		s.kept = append(s.kept, p...)
		return len(p), nil
	}
	n, err := stream.WriteAll(s.to, p)
	s.n += int64(n)
	return n, err
}
