package stream

import (
	"crypto/cipher"
	"encoding/binary"
	"math"

	"esdk/internal/errtext"
	"esdk/internal/format"
)

// A sealer owns the AEAD of one message's content key and the numbers of its
// frames. Nothing else seals a frame.
//
// A frame's number is its IV. If a number were given out twice, two plaintexts
// would be sealed under one key and IV, which reveals both of them and the key
// that authenticates the message. Hence:
//
//   - Each number is given out once, in order, to whole frames that are counted.
//     No number is computed from a count of bytes.
//   - Each run of frames is sealed at most once, over exactly the plaintext that
//     it was numbered for.
//   - No number is given out after the final frame, after 2^32-1, or after an
//     error: an error ends the message.
//
// Calls of number and final must not overlap. seal may run concurrently with
// them, and with itself for other runs.
//
// Specification: data-format/message-body.md#iv-1 and #sequence-number.
type sealer struct {
	_         noCopy // two would give out the same numbers
	aead      cipher.AEAD
	messageID []byte
	finalAAD  format.BodyAAD
	memory    finalMemory
	frame     uint32 // plaintext bytes of a regular frame
	numbered  uint32 // the last number that was given out
	err       error  // why none is given out any more
	iv        iv     // of the final frame
}

// An iv is a frame's IV in memory that no other code has. The copy in the
// message is in the caller's or a sink's memory, and they may change it while
// it's in use.
type iv [format.IVLength]byte

// of returns the IV of a frame, valid until the next call.
func (v *iv) of(sequence uint32) []byte {
	binary.BigEndian.PutUint32(v[format.IVLength-4:], sequence)
	return v[:]
}

// errComplete is returned for anything after the final frame.
var errComplete = errtext.Errorf("the message is complete")

// init takes the AEAD out of the params, so that no other code has it.
func (s *sealer) init(p *Params) {
	s.aead, s.frame = p.AEAD, p.FrameLength
	s.finalAAD = p.ownMessageID(&s.memory)
	s.messageID = p.MessageID
	p.AEAD = nil
}

// A run is a run of regular frames that have numbers and aren't sealed yet. Its
// zero value has none. It must not be copied, since each copy could be sealed.
type run struct {
	_         noCopy
	first     uint32
	count     int
	plaintext []byte // count frames
	aad       format.BodyAAD
	iv        iv
}

// noCopy makes vet report copies.
type noCopy struct{}

func (*noCopy) Lock()   {}
func (*noCopy) Unlock() {}

// number assigns the next numbers to the regular frames in the plaintext, and
// stores both in r. It rejects a plaintext whose length doesn't fit the number
// of frames.
func (s *sealer) number(r *run, frames int, plaintext []byte) error {
	switch {
	case s.err != nil:
	case int64(frames) > format.MaxFrames-1-int64(s.numbered):
		// The last number is reserved for the final frame.
		s.err = errtext.Errorf("%w: message needs more than 2^32-1 frames of %d bytes", format.ErrLimit, s.frame)
	case frames <= 0 || int64(frames)*int64(s.frame) != int64(len(plaintext)):
		s.err = errtext.Errorf("internal error: %d bytes are not %d frames of %d", len(plaintext), frames, s.frame)
	case r.count != 0:
		s.err = errtext.Errorf("internal error: frames that were numbered are not sealed")
	default:
		r.first, r.count, r.plaintext = s.numbered+1, frames, plaintext
		s.numbered += uint32(frames)
	}
	return s.err
}

// seal appends the frames of r to dst and empties r.
func (s *sealer) seal(dst []byte, r *run) []byte {
	first, count, plaintext := r.first, r.count, r.plaintext
	r.first, r.count, r.plaintext = 0, 0, nil
	if r.aad == nil {
		r.aad = format.NewBodyAAD(s.messageID, format.Regular)
	}
	for i := range count {
		sequence := first + uint32(i)
		frame := plaintext[:s.frame]
		plaintext = plaintext[s.frame:]
		dst = format.AppendRegular(dst, sequence)
		dst = s.aead.Seal(dst, r.iv.of(sequence), frame, r.aad.Frame(sequence, uint64(s.frame)))
	}
	return dst
}

// sealedLength returns the length of r's sealed frames.
func (s *sealer) sealedLength(r *run) int {
	return len(r.plaintext) + r.count*format.FrameOverhead
}

// final appends the final frame to dst. Its plaintext has at most the length of
// a frame.
func (s *sealer) final(dst, plaintext []byte) ([]byte, error) {
	switch {
	case s.err != nil:
		return nil, s.err
	case s.numbered == math.MaxUint32 || int64(len(plaintext)) > int64(s.frame):
		s.err = errtext.Errorf("internal error: %d bytes are no final frame behind %d of %d", len(plaintext), s.numbered, s.frame)
		return nil, s.err
	}
	s.numbered++
	s.err = errComplete
	dst = format.AppendFinal(dst, s.numbered, uint32(len(plaintext)))
	return s.aead.Seal(dst, s.iv.of(s.numbered), plaintext, s.finalAAD.Frame(s.numbered, uint64(len(plaintext)))), nil
}
