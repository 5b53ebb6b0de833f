// Package stream encrypts and decrypts message bodies, frame by frame, in
// memory that depends on the length of a frame but not on the length of the
// message. It handles no headers, keyrings or signatures.
//
// Frames are independent of each other: batches of frames are sealed and opened
// on several cores, and keep their order; see pipeline.
//
// Specification: client-apis/encrypt.md#construct-the-body and
// client-apis/decrypt.md#decrypt-the-message-body.
package stream

import (
	"bytes"
	"crypto/cipher"
	"hash"
	"io"

	"esdk/internal/errtext"
	"esdk/internal/format"
)

const (
	// defaultBatch is the approximate number of plaintext bytes in a batch.
	// It's enough to make a system call cheap and a transfer between cores
	// negligible, and little enough to stay in a core's cache.
	defaultBatch = 256 << 10

	// gathered is the number of batches that a stream collects from small reads
	// or writes before several workers process them.
	gathered = 4

	// maxStreamWorkers limits the memory of a stream. More workers don't help:
	// a source or sink keeps up with a few at most. With long frames there are
	// fewer workers, and they hold about maxStreamFrames bytes of frames at
	// once.
	maxStreamWorkers = 8
	maxStreamFrames  = 8 << 20

	// maxDigestWorkers is the limit with a digest, since hashing takes several
	// times as long as everything else.
	maxDigestWorkers = 3

	// readAhead is the number of bytes that a Writer reads beyond a batch, to
	// see whether more follows. They're copied in front of the next batch. They
	// are whole cache lines, so that the next read is as well aligned, and few,
	// so that a buffer that begins with them grows as an empty one does.
	readAhead = 2 << 10

	// cacheLine is the alignment in bytes that makes copies fast.
	cacheLine = 64

	// minBuffer is the initial buffer of a stream, since most messages are
	// short.
	minBuffer = 8 << 10
)

// Params are the parameters of one message's body.
type Params struct {
	AEAD        cipher.AEAD
	MessageID   []byte
	FrameLength uint32 // 0: unframed, which is only ever read

	// MaxPlaintext is the maximum length of the body's plaintext in bytes. 0
	// means no limit, and NoPlaintext allows none.
	MaxPlaintext int64

	// Digest, if not nil, gets each byte of the body.
	Digest hash.Hash

	// Workers is the number of cores to use. With 0 or 1, no goroutine is
	// started. No goroutine outlives a call.
	Workers int

	// Context, if not nil, is asked before each batch. Its error ends the body.
	Context interface{ Err() error }
}

// NoPlaintext as a limit allows no plaintext.
const NoPlaintext = -1

// batchBytes is the approximate number of plaintext bytes in a batch. Tests of
// this package lower it, so that short messages use the code for long ones.
var batchBytes int64 = defaultBatch

// finalMemory holds the additional data of the final frame.
type finalMemory [format.MaxBodyAAD]byte

// ownMessageID makes the params keep a copy of the message ID. It's a part of
// the additional data of the final frame, which every body has.
func (p *Params) ownMessageID(m *finalMemory) format.BodyAAD {
	final := format.BodyAADIn(m[:], p.MessageID, format.Final)
	p.MessageID = final[:len(p.MessageID):len(p.MessageID)]
	return final
}

func (p *Params) checkPlaintext(n int64) error {
	if most := max(0, p.MaxPlaintext); p.MaxPlaintext != 0 && n > most {
		return errtext.Errorf("%w: plaintext is longer than %d bytes", format.ErrLimit, most)
	}
	return nil
}

func (p *Params) stopped() error {
	if p.Context == nil {
		return nil
	}
	return notEOF(p.Context.Err(), "context")
}

// frameSize returns the length of a regular frame in the message.
func (p *Params) frameSize() int64 { return int64(p.FrameLength) + format.FrameOverhead }

// batchFrames returns the number of frames in a batch.
func (p *Params) batchFrames() int64 {
	size := batchBytes
	if p.Digest != nil {
		size *= 2 // the hashing core wakes the others less often
	}
	return max(1, size/int64(p.FrameLength))
}

// batchLength returns the length of a batch's plaintext in bytes.
func (p *Params) batchLength() int64 { return p.batchFrames() * int64(p.FrameLength) }

// gatherLength returns the maximum length in bytes of the plaintext that a
// stream collects.
func (p *Params) gatherLength() int64 {
	if p.Workers > 1 && p.batchFrames() > 1 {
		return gathered * p.batchLength()
	}
	return p.batchLength()
}

// limitWorkers is for streams, which hold the batches of their workers.
func (p *Params) limitWorkers() {
	fit := max(1, maxStreamFrames/max(1, int64(p.FrameLength)))
	p.Workers = int(min(int64(p.Workers), maxStreamWorkers, fit))
	if p.Digest != nil {
		p.Workers = min(p.Workers, maxDigestWorkers)
	}
}

// workersFor returns the number of workers that n bytes of plaintext are worth.
func (p *Params) workersFor(n int64) int {
	return int(min(int64(p.Workers), n/p.batchLength()))
}

// errInterrupted is the error of a stream while the user's code runs. It stays
// if that code panics or ends its goroutine, since the bytes it was about to
// return or take are missing.
var errInterrupted = errtext.Errorf("an earlier call on this stream did not return")

// frameTooLong returns the error for a frame that memory can't hold: its length
// has 32 bits, and a slice's may have fewer.
func frameTooLong(n int64) error {
	return errtext.Errorf("%w: frame of %d bytes is too long for this machine", format.ErrLimit, n)
}

// InMemory returns r if it's a source that has all its bytes in memory and
// passes them on in one piece; otherwise nil.
func InMemory(r io.Reader) io.WriterTo {
	switch r := r.(type) {
	case *bytes.Reader:
		return r
	case *bytes.Buffer:
		return r
	}
	return nil
}

// notEOF replaces a sink's or context's error that matches io.EOF, so that it
// isn't mistaken for the end of a message.
func notEOF(err error, of string) error {
	if err == io.EOF {
		return errtext.Errorf("the %s ended with io.EOF", of)
	}
	return format.NotEOF(err)
}

// WriteAll writes b to a user's sink, and returns the number of bytes written.
// It returns no error that matches io.EOF, and no impossible count.
func WriteAll(w io.Writer, b []byte) (int, error) {
	n, err := w.Write(b)
	err = notEOF(err, "sink")
	if n < 0 || n > len(b) {
		return 0, errtext.Errorf("sink returned an impossible count from Write")
	}
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return n, err
}

// ErrAuthentication is the error for every failed tag or signature. It doesn't
// say which one failed, since that would only help an attacker.
var ErrAuthentication = errtext.ErrAuthentication
