package format

import (
	"encoding/binary"
)

const (
	// EndFrame stands where a regular frame has its sequence number, and says
	// that the final frame follows.
	EndFrame = 0xFFFFFFFF

	// MaxFrames is the largest sequence number.
	MaxFrames = 0xFFFFFFFF

	// MaxNonFramed is the length in bytes of the longest plaintext that AES-GCM
	// encrypts under one IV, and so of a body that is not framed.
	MaxNonFramed = 1<<36 - 32

	// What each kind of frame adds to its plaintext, in bytes.
	FrameOverhead     = 4 + IVLength + TagLength
	FinalOverhead     = 4 + 4 + IVLength + 4 + TagLength
	NonFramedOverhead = IVLength + 8 + TagLength
)

// Kind is the kind of a frame. Its text separates the kinds in the additional
// data that the frame's tag covers.
type Kind string

// A body that is not framed counts as one frame, with sequence number 1.
const (
	Regular Kind = "AWSKMSEncryptionClient Frame"
	Final   Kind = "AWSKMSEncryptionClient Final Frame"
	Single  Kind = "AWSKMSEncryptionClient Single Block"
)

// BodyAAD builds the additional data of the frames of one message and kind.
// It is not safe for concurrent use.
type BodyAAD []byte

// NewBodyAAD returns the builder for a message and a kind of frame.
func NewBodyAAD(messageID []byte, kind Kind) BodyAAD {
	b := make([]byte, 0, len(messageID)+len(kind)+12)
	b = append(b, messageID...)
	b = append(b, kind...)
	return b[:cap(b)]
}

// Frame returns the additional data of a frame, valid until the next call.
// Specification: data-format/message-body-aad.md#structure.
func (b BodyAAD) Frame(sequence uint32, length uint64) []byte {
	binary.BigEndian.PutUint32(b[len(b)-12:], sequence)
	binary.BigEndian.PutUint64(b[len(b)-8:], length)
	return b
}

// AppendRegular appends what stands before the ciphertext of a regular frame:
// the sequence number and the IV, which is that number too.
func AppendRegular(dst []byte, sequence uint32) []byte {
	dst = binary.BigEndian.AppendUint32(dst, sequence)
	return appendIV(dst, sequence)
}

// AppendFinal appends what stands before the ciphertext of the final frame.
func AppendFinal(dst []byte, sequence, length uint32) []byte {
	dst = binary.BigEndian.AppendUint32(dst, EndFrame)
	dst = binary.BigEndian.AppendUint32(dst, sequence)
	dst = appendIV(dst, sequence)
	return binary.BigEndian.AppendUint32(dst, length)
}

func appendIV(dst []byte, sequence uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, 0, 0, 0, 0, 0, 0, 0, 0), sequence)
}

// BodySize is the length in bytes of the framed body of a plaintext, whose
// final frame is never empty unless the plaintext is. It fails if the frames
// are too many.
func BodySize(plaintext int64, frameLength uint32) (size int64, ok bool) {
	regular := int64(0)
	if plaintext > 0 {
		regular = (plaintext - 1) / int64(frameLength)
	}
	if regular >= MaxFrames {
		return 0, false
	}
	return plaintext + regular*FrameOverhead + FinalOverhead, true
}

// AppendFooter appends a message's footer.
// Specification: data-format/message-footer.md.
func AppendFooter(dst, signature []byte) []byte {
	return appendField(dst, signature)
}
