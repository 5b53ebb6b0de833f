package main

import (
	"context"
	"errors"
	"io"
	"math"
	"strings"

	"esdk"
	"esdk/cmd/esdk/internal/batch"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/object"
	"esdk/cmd/esdk/internal/place"
)

// A byteRange is a part of a plaintext.
type byteRange struct {
	offset, length int64
}

// toEnd is the length of a range without a given length.
const toEnd = math.MaxInt64

// parseRange parses --range, such as 1000:500, 1M:64K or 1000: for the rest.
func parseRange(text string) (byteRange, error) {
	bad := cli.UsageError("--range %s: must be OFFSET:LENGTH, such as 1M:64K, or OFFSET: for the rest", cli.Printable(text))
	offset, length, ok := strings.Cut(text, ":")
	if !ok {
		return byteRange{}, bad
	}
	r := byteRange{length: toEnd}
	var err error
	if offset != "0" {
		if r.offset, err = cli.ParseBytes(offset); err != nil {
			return r, bad
		}
	}
	if length != "" {
		if r.length, err = cli.ParseBytes(length); err != nil {
			return r, bad
		}
	}
	return r, nil
}

// decryptRange writes a part of the plaintext of in to out. It reads the
// header, the end of the message, and the frames that hold the part. A limit on
// the plaintext applies to the part.
func (d *decryption) decryptRange(ctx context.Context, c esdk.Config, in place.Input, out io.Writer, r *batch.Record) error {
	part := *d.part
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return cli.NewError(cli.ExitError, "--range needs a file, not a pipe or a device")
	}
	if _, ok := in.(*object.Reader); ok {
		c.Concurrency = 1 // sequential reads take fewer requests
	}
	limit := c.MaxPlaintextLength
	c.MaxPlaintextLength = 0
	client, err := esdk.New(c)
	if err != nil {
		return err
	}
	reader, err := client.NewReaderAt(ctx, in, info.Size(), d.ec)
	if err != nil {
		if errors.Is(err, esdk.ErrSigned) && c.Release == esdk.VerifyAtEOF {
			err = cli.Hinted(err, "the signature covers the whole message: use --release verified to read and verify all of it first")
		}
		return err
	}
	if part.offset > reader.Size() {
		return cli.NewError(cli.ExitError, "--range starts at byte %d, but the plaintext has only %d", part.offset, reader.Size())
	}
	part.length = min(part.length, reader.Size()-part.offset)
	if limit > 0 && part.length > limit {
		return cli.Errorf("%w: %d bytes", esdk.ErrLimit, part.length)
	}
	n, err := copyPart(out, reader, part)
	if err == nil {
		err = r.SetRange(reader.Header(), n, in, info.Size())
	}
	return err
}

// copyPart copies a part in pieces large enough to use several cores.
func copyPart(out io.Writer, reader *esdk.ReaderAt, part byteRange) (int64, error) {
	src := io.NewSectionReader(reader, part.offset, part.length)
	return io.CopyBuffer(struct{ io.Writer }{out}, src, make([]byte, min(4<<20, max(1, part.length))))
}
