package parquet

import (
	"bytes"
	"compress/gzip"
	"io"
	"sync"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

// Codecs.
const (
	codecNone   = 0
	codecSnappy = 1
	codecGzip   = 2
	codecZstd   = 6
)

// decompress reads a page into memory of the page's length. The first bare
// bytes aren't compressed.
func (c *columnReader) decompress(page []byte, h *pageHeader, at, bare int64) error {
	codec := c.chunk.codec
	if h.plain {
		codec = codecNone
	}
	if codec == codecNone {
		if h.compressed != h.length {
			return malformed("a page of %d bytes, and %d in the file", h.length, h.compressed)
		}
		return readFull(c.r, page, at)
	}
	if err := readFull(c.r, page[:bare], at); err != nil {
		return err
	}
	packed, err := c.memory.take(c.memory.scratch, int(h.compressed-bare))
	if err != nil {
		return err
	}
	c.memory.scratch = packed
	if err := readFull(c.r, packed, at+bare); err != nil {
		return err
	}
	return unpack(codec, page[bare:], packed)
}

func readFull(r io.ReaderAt, p []byte, at int64) error {
	if len(p) == 0 {
		return nil
	}
	n, err := r.ReadAt(p, at)
	if n == len(p) {
		return nil
	}
	return noEOF(err)
}

// unpack fills a page with the decompressed bytes, or fails.
func unpack(codec int64, page, packed []byte) error {
	if len(page) == 0 {
		return nil // an empty page may have no compressed data at all
	}
	switch codec {
	case codecSnappy:
		return fills(page, func() ([]byte, error) {
			if n, err := snappy.DecodedLen(packed); err != nil || n != len(page) {
				return nil, malformed("a page of another length")
			}
			return snappy.Decode(page, packed)
		})
	case codecZstd:
		return fills(page, func() ([]byte, error) {
			d, err := zstdDecoder()
			if err != nil {
				return nil, err
			}
			return d.DecodeAll(packed, page[:0:len(page)])
		})
	case codecGzip:
		z, err := gzip.NewReader(bytes.NewReader(packed))
		if err == nil {
			_, err = io.ReadFull(z, page)
		}
		if err != nil {
			return malformed("gzip: %v", err)
		}
		return nil
	}
	return malformed("compression of the unknown kind %d", codec)
}

// fills checks that a decoder has filled exactly a page, in place.
func fills(page []byte, decode func() ([]byte, error)) error {
	got, err := decode()
	if err != nil {
		return malformed("%v", err)
	}
	if len(got) != len(page) || &got[0] != &page[0] {
		return malformed("a page of another length")
	}
	return nil
}

// zstdDecoder makes a decoder on first use, since it needs memory of its own.
// It writes at most maxPage bytes.
var zstdDecoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxPage), zstd.WithDecodeAllCapLimit(true))
})
