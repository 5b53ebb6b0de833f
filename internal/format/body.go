package format

import (
	"encoding/binary"
)

const (
	// EndFrame replaces the sequence number of a regular frame, and marks the
	// final frame.
	EndFrame = 0xFFFFFFFF

	// MaxFrames is the largest sequence number.
	MaxFrames = 0xFFFFFFFF

	// MaxNonFramed is the maximum length in bytes of a plaintext that AES-GCM
	// encrypts under one IV, and so of an unframed body.
	MaxNonFramed = 1<<36 - 32

	// These are the bytes that each kind of frame adds to its plaintext.
	FrameOverhead     = 4 + IVLength + TagLength
	FinalOverhead     = 4 + 4 + IVLength + 4 + TagLength
	NonFramedOverhead = IVLength + 8 + TagLength
)

// Kind is the kind of a frame. Its text separates the kinds in the additional
// data that the frame's tag covers.
type Kind string

// An unframed body counts as one frame with sequence number 1.
const (
	Regular Kind = "AWSKMSEncryptionClient Frame"
	Final   Kind = "AWSKMSEncryptionClient Final Frame"
	Single  Kind = "AWSKMSEncryptionClient Single Block"
)

// BodyAAD builds the additional data of the frames of one message and kind.
// It is not safe for concurrent use.
type BodyAAD []byte

// MaxBodyAAD is the maximum length of the additional data in bytes.
const MaxBodyAAD = 32 + len(Single) + 12

// NewBodyAAD returns the builder for a message and a kind of frame.
func NewBodyAAD(messageID []byte, kind Kind) BodyAAD {
	return BodyAADIn(make([]byte, 0, len(messageID)+len(kind)+12), messageID, kind)
}

// BodyAADIn is like NewBodyAAD, but uses the given memory if it's long enough.
func BodyAADIn(memory, messageID []byte, kind Kind) BodyAAD {
	b := append(memory[:0], messageID...)
	b = append(b, kind...)
	return append(b, make([]byte, 12)...)
}

// Frame returns the additional data of a frame, valid until the next call.
//
// Specification: data-format/message-body-aad.md#structure.
func (b BodyAAD) Frame(sequence uint32, length uint64) []byte {
	binary.BigEndian.PutUint32(b[len(b)-12:], sequence)
	binary.BigEndian.PutUint64(b[len(b)-8:], length)
	return b
}

// AppendRegular appends the fields before the ciphertext of a regular frame:
// the sequence number and the IV, which is the same number.
func AppendRegular(dst []byte, sequence uint32) []byte {
	dst = binary.BigEndian.AppendUint32(dst, sequence)
	return appendIV(dst, sequence)
}

// AppendFinal appends the fields before the ciphertext of the final frame.
func AppendFinal(dst []byte, sequence, length uint32) []byte {
	dst = binary.BigEndian.AppendUint32(dst, EndFrame)
	dst = binary.BigEndian.AppendUint32(dst, sequence)
	dst = appendIV(dst, sequence)
	return binary.BigEndian.AppendUint32(dst, length)
}

func appendIV(dst []byte, sequence uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, 0, 0, 0, 0, 0, 0, 0, 0), sequence)
}

// BodySize returns the length in bytes of the framed body of a plaintext. The
// final frame is empty only if the plaintext is. It returns false if there
// would be too many frames.
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
//
// Specification: data-format/message-footer.md.
func AppendFooter(dst, signature []byte) []byte {
	return appendField(dst, signature)
}
