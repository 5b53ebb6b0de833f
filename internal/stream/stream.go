// Package stream encrypts and decrypts message bodies, frame by frame, in
// memory that depends on the length of a frame but not on that of the message.
// It knows no header, keyring or signature.
//
// Frames are independent of each other: batches of them are sealed and opened
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
	// defaultBatch is about how many bytes of plaintext make a batch: enough to
	// make a system call cheap and a hand-over between cores not worth
	// mentioning, and little enough to stay in a core's cache.
	defaultBatch = 256 << 10

	// gathered is how many batches a stream collects that is written or read in
	// small pieces, before it goes over them with several workers.
	gathered = 4

	// maxStreamWorkers bounds the memory of a stream. More do not help: a source
	// or sink keeps up with a few at most. With long frames they are fewer, and
	// have about maxStreamFrames bytes of them at once.
	maxStreamWorkers = 8
	maxStreamFrames  = 8 << 20

	// maxDigestWorkers is the same with a digest, since hashing takes several
	// times as long as all else.
	maxDigestWorkers = 3

	// minBuffer is what a stream starts with, since most messages are short.
	minBuffer = 8 << 10
)

// Params are what the body of one message needs.
type Params struct {
	AEAD        cipher.AEAD
	MessageID   []byte
	FrameLength uint32 // 0: not framed, which is only ever read

	// MaxPlaintext is the most plaintext that the body may hold, in bytes; 0
	// means no limit, and NoPlaintext none.
	MaxPlaintext int64

	// Digest, if not nil, is fed each byte of the body.
	Digest hash.Hash

	// Workers is how many cores to use. With 0 or 1, no goroutine is started.
	// None outlives a call.
	Workers int

	// Stopped, if not nil, is asked before each batch. Its error ends the body.
	Stopped func() error
}

// NoPlaintext as a limit allows no byte.
const NoPlaintext = -1

// batchBytes is about how many bytes of plaintext make a batch. Tests of this
// package lower it, so that short messages take the way of long ones.
var batchBytes int64 = defaultBatch

// ownMessageID has the params keep a copy of the message id, inside of the
// additional data of the final frame, which every body has.
func (p *Params) ownMessageID() format.BodyAAD {
	final := format.NewBodyAAD(p.MessageID, format.Final)
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
	if p.Stopped == nil {
		return nil
	}
	return notEOF(p.Stopped(), "context")
}

// frameSize is the length of a regular frame in the message.
func (p *Params) frameSize() int64 { return int64(p.FrameLength) + format.FrameOverhead }

// batchFrames is how many frames make a batch.
func (p *Params) batchFrames() int64 {
	size := batchBytes
	if p.Digest != nil {
		size *= 2 // the core that hashes wakes the others less often
	}
	return max(1, size/int64(p.FrameLength))
}

// batchLength is the plaintext of a batch in bytes.
func (p *Params) batchLength() int64 { return p.batchFrames() * int64(p.FrameLength) }

// gatherFrames is how many frames a stream collects at most.
func (p *Params) gatherFrames() int64 {
	if n := p.batchFrames(); p.Workers > 1 && n > 1 {
		return gathered * n
	}
	return p.batchFrames()
}

// limitWorkers is for streams, which hold what their workers work on.
func (p *Params) limitWorkers() {
	fit := max(1, maxStreamFrames/max(1, int64(p.FrameLength)))
	p.Workers = int(min(int64(p.Workers), maxStreamWorkers, fit))
	if p.Digest != nil {
		p.Workers = min(p.Workers, maxDigestWorkers)
	}
}

// workersFor is how many workers so many bytes of plaintext are worth.
func (p *Params) workersFor(n int64) int {
	return int(min(int64(p.Workers), n/p.batchLength()))
}

// errInterrupted is the error of a stream while code of the user's runs. It stays
// if that panics or ends its goroutine: what it was about to bring or take is
// missing.
var errInterrupted = errtext.Errorf("an earlier call on this stream did not return")

// frameTooLong is the error for a frame that memory can't hold: its length has 32
// bits, and a slice's may have fewer.
func frameTooLong(n int64) error {
	return errtext.Errorf("%w: frame of %d bytes is too long for this machine", format.ErrLimit, n)
}

// InMemory returns r if it is a source that has all its bytes in memory and
// passes them in one piece; else nil.
func InMemory(r io.Reader) io.WriterTo {
	switch r := r.(type) {
	case *bytes.Reader:
		return r
	case *bytes.Buffer:
		return r
	}
	return nil
}

// notEOF returns another error for a sink's or context's that matches io.EOF, which
// must not be taken for the end of a message.
func notEOF(err error, of string) error {
	if err == io.EOF {
		return errtext.Errorf("the %s ended with io.EOF", of)
	}
	return format.NotEOF(err)
}

// WriteAll writes b to a sink of a user's, and tells how much of it was written. It
// returns no error that matches io.EOF, nor an impossible count.
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

// ErrAuthentication is the error for each failed tag or signature. It does not
// say which, since that would help only an attacker.
var ErrAuthentication = errtext.Errorf("message authentication failed")
