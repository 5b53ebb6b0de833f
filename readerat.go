package esdk

import (
	"bufio"
	"context"
	"io"

	"esdk/internal/errtext"
	"esdk/internal/format"
	"esdk/internal/stream"
)

// A ReaderAt reads any part of a message's plaintext without the rest. It is
// safe for concurrent use if its source is. An [io.SectionReader] turns it into
// an [io.ReadSeeker], as [net/http.ServeContent] needs.
type ReaderAt struct {
	header *Header
	body   *stream.ReaderAt
}

// NewReaderAt returns a reader of parts of the message that fills the first
// size bytes of src. The encryption context and the errors are the same as for
// [Client.Decrypt]. When ctx ends, reads fail with its error.
//
// NewReaderAt verifies the header and the end of the message, so it rejects a
// message that was truncated or extended. Each read authenticates the frames it
// needs and reads no others. A few frames are cached, at most 1 MiB in all, or
// one frame if frames are longer.
//
// The message must be framed: see [Header.FrameLength]. A signed message is
// rejected with [ErrSigned], since its signature covers the whole message.
// Under [VerifyFirst], NewReaderAt accepts it, and reads and verifies the whole
// message, signed or not.
func (c *Client) NewReaderAt(ctx context.Context, src io.ReaderAt, size int64, ec EncryptionContext) (*ReaderAt, error) {
	if size < 0 {
		return nil, errtext.Errorf("negative size")
	}
	client := *c
	if c.config.Release == VerifyAtEOF {
		client.config.Release = RejectSigned
	}
	d, err := client.readDecryption(ctx, bufio.NewReader(format.Steady(io.NewSectionReader(src, 0, size))), ec)
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

// ReadAt implements [io.ReaderAt]. It reads plaintext starting at an offset,
// and returns fewer than len(p) bytes only with an error, which is [io.EOF] at
// the end of the plaintext. All the bytes it returns are authenticated.
func (r *ReaderAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.body.ReadAt(p, off)
	if err != nil && err != io.EOF {
		err = errtext.Errorf("reading at %d: %w", off, public(err))
	}
	return n, err
}
