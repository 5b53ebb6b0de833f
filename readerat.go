package esdk

import (
	"bufio"
	"context"
	"io"

	"esdk/internal/errtext"
	"esdk/internal/format"
	"esdk/internal/stream"
)

// A ReaderAt reads any part of the plaintext of a message, without the rest. It
// is safe for concurrent use if its source is. An [io.SectionReader] makes an
// [io.ReadSeeker] of it, such as [net/http.ServeContent] takes.
type ReaderAt struct {
	header *Header
	body   *stream.ReaderAt
}

// NewReaderAt returns a reader of parts of the message that src holds in its
// first size bytes, all of which belong to it. The encryption context and errors
// are as for [Client.Decrypt], and when the context ctx ends, reads fail with its
// error.
//
// NewReaderAt verifies the header and the end of the message, so that a message
// that was cut short or continued is refused. Each read authenticates the frames
// that it needs, and reads no others; a few are kept, of at most 1 MiB in all, or
// one if frames are longer.
//
// The message must be framed: see [Header.FrameLength]. A signed message is refused
// with [ErrSigned], since its signature is over all of it, unless the client is to
// [VerifyFirst]: then NewReaderAt reads and verifies all of the message, signed or
// not.
func (c *Client) NewReaderAt(ctx context.Context, src io.ReaderAt, size int64, ec EncryptionContext) (*ReaderAt, error) {
	if size < 0 {
		return nil, errtext.Errorf("negative size")
	}
	client := *c
	if c.config.Release == VerifyAtEOF {
		client.config.Release = RejectSigned
	}
	d, err := client.beginDecryption(ctx, bufio.NewReader(format.Steady(io.NewSectionReader(src, 0, size))), ec)
	if err != nil {
		return nil, err
	}
	if d.params.FrameLength == 0 {
		return nil, errtext.Errorf("message is not framed, and can only be read as a whole")
	}
	start, end := int64(d.header.Length), size
	if c.config.Release == VerifyFirst {
		r := stream.NewReader(io.NewSectionReader(src, start, size-start), d.source())
		if _, err := r.WriteTo(io.Discard); err != nil {
			return nil, public(err)
		}
		end = r.End()
	}
	body, err := stream.NewReaderAt(src, start, end, d.params)
	if err != nil {
		return nil, public(err)
	}
	return &ReaderAt{d.header, body}, nil
}

// Header returns the header of the message, which is authentic.
func (r *ReaderAt) Header() *Header { return r.header }

// Size returns the length of the plaintext in bytes.
func (r *ReaderAt) Size() int64 { return r.body.Size() }

// ReadAt implements [io.ReaderAt]: it reads plaintext from an offset on, and
// returns fewer than len(p) bytes only with an error, which is [io.EOF] at the end
// of the plaintext. All that it returns is authenticated.
func (r *ReaderAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.body.ReadAt(p, off)
	if err != nil && err != io.EOF {
		err = errtext.Errorf("reading at %d: %w", off, public(err))
	}
	return n, err
}
