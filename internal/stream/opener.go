package stream

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"

	"esdk/internal/format"
)

// An opener owns the AEAD of a message that is read. Nothing else opens a
// frame, and a frame opens only under the number of its place in the message.
// It is safe for concurrent use.
type opener struct {
	aead      cipher.AEAD
	messageID []byte
	frame     uint32 // plaintext bytes of a regular frame
}

// newOpener takes the AEAD out of the params, so that no other code has it.
func newOpener(p *Params) opener {
	o := opener{aead: p.AEAD, messageID: p.MessageID, frame: p.FrameLength}
	p.AEAD = nil
	return o
}

// A sealedRun is a run of regular frames with the numbers that they must have.
type sealedRun struct {
	first  uint32
	count  int
	frames []byte // exactly count frames
}

// sealedRun panics unless frames has exactly count frames. It reserves the last
// number for the final frame.
func (p *Params) sealedRun(first uint32, count int, frames []byte) sealedRun {
	if int64(count)*p.frameSize() != int64(len(frames)) || int64(first)+int64(count) > format.MaxFrames {
		panic(fmt.Sprintf("internal error: %d bytes are not %d frames from %d on", len(frames), count, first))
	}
	return sealedRun{first, count, frames}
}

// errIrregular says that a frame isn't the expected regular one: it may be the
// final one, or wrong.
var errIrregular = errors.New("irregular frame")

// open opens the frames of a batch up to the first wrong one, and appends their
// plaintext to the batch's out.
func (o *opener) open(b *batch) {
	size := int(int64(o.frame) + format.FrameOverhead)
	aad := format.NewBodyAAD(o.messageID, format.Regular)
	rest := b.sealed.frames
	for ; b.opened < b.sealed.count; b.opened++ {
		frame := rest[:size]
		rest = rest[size:]
		number := b.sealed.first + uint32(b.opened)
		if binary.BigEndian.Uint32(frame) != number {
			b.err = errIrregular
			return
		}
		out, err := o.openFrame(b.out, frame[4:], frame[4+format.IVLength:], aad.Frame(number, uint64(o.frame)))
		if err != nil {
			b.err = err
			return
		}
		b.out = out
	}
}

// openFrame opens one frame of any kind and appends its plaintext to dst. The
// IV is at the start of iv, and is the writer's choice: old messages have
// random ones.
func (o *opener) openFrame(dst, iv, ciphertext, aad []byte) ([]byte, error) {
	plaintext, err := o.aead.Open(dst, iv[:format.IVLength], ciphertext, aad)
	if err != nil {
		return nil, ErrAuthentication
	}
	return plaintext, nil
}
