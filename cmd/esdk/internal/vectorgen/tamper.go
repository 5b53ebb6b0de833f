package vectorgen

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"

	"esdk"
	"esdk/internal/format"
	"esdk/internal/stream"
	"esdk/internal/suite"
)

// A tampering makes messages that must be refused from a valid encryption.
type tampering func(context.Context, *encryption) ([]variant, error)

// A variant is a message made from a scenario.
type variant struct {
	suffix  string // of the ID, if there are several
	message []byte
	refusal string // why it must be refused, "" if it must decrypt
}

// one returns a tampering that changes the valid message into one other.
func one(refusal string, change func(e *encryption, message []byte) ([]byte, error)) tampering {
	return func(ctx context.Context, e *encryption) ([]variant, error) {
		message, err := e.encrypt(ctx, e.cmm)
		if err != nil {
			return nil, err
		}
		if message, err = change(e, message); err != nil {
			return nil, err
		}
		return []variant{{message: message, refusal: refusal}}, nil
	}
}

// tamperings are the tamperings of awses-decrypt-generate without values.
var tamperings = map[string]tampering{"truncate": truncate, "mutate": mutate, "half-sign": halfSign}

// maxExhaustive is the longest message, in bytes, that is changed at every
// place. It gives as many messages as it has bits.
const maxExhaustive = 8 << 10

func (e *encryption) encryptShort(ctx context.Context) ([]byte, error) {
	message, err := e.encrypt(ctx, e.cmm)
	if err == nil && len(message) > maxExhaustive {
		err = fmt.Errorf("message of %d bytes is too long to tamper with each of them", len(message))
	}
	return message, err
}

// truncate cuts the message at every byte.
func truncate(ctx context.Context, e *encryption) ([]variant, error) {
	message, err := e.encryptShort(ctx)
	if err != nil {
		return nil, err
	}
	var all []variant
	for n := 1; n < len(message); n++ {
		all = append(all, variant{fmt.Sprintf("-truncated-%d", n), message[:n], fmt.Sprintf("Truncated at byte %d", n)})
	}
	return all, nil
}

// mutate flips each bit of the message. The first bit of a byte is the highest.
func mutate(ctx context.Context, e *encryption) ([]variant, error) {
	message, err := e.encryptShort(ctx)
	if err != nil {
		return nil, err
	}
	var all []variant
	for bit := range 8 * len(message) {
		all = append(all, variant{fmt.Sprintf("-bit-%d", bit), flipped(message, bit/8, 0x80>>(bit%8)), fmt.Sprintf("Bit %d flipped", bit)})
	}
	return all, nil
}

func flipped(message []byte, at int, bits byte) []byte {
	changed := bytes.Clone(message)
	changed[at] ^= bits
	return changed
}

// changeProviderInfo makes all encrypted data keys name other keys, in a
// message that is otherwise authentic.
func changeProviderInfo(infos ...string) tampering {
	return func(ctx context.Context, e *encryption) ([]variant, error) {
		var all []variant
		for i, info := range infos {
			message, err := e.encrypt(ctx, &providerInfoCMM{e.cmm, info})
			if err != nil {
				return nil, err
			}
			v := variant{message: message, refusal: "Incorrect encrypted data key provider info: " + info}
			if len(infos) > 1 {
				v.suffix = fmt.Sprintf("-%d", i+1)
			}
			all = append(all, v)
		}
		return all, nil
	}
}

type providerInfoCMM struct {
	esdk.CMM
	info string
}

func (c *providerInfoCMM) EncryptionMaterials(ctx context.Context, req *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
	m, err := c.CMM.EncryptionMaterials(ctx, req)
	if err != nil {
		return nil, err
	}
	for i := range m.EncryptedDataKeys {
		m.EncryptedDataKeys[i].ProviderInfo = []byte(c.info)
	}
	return m, nil
}

// halfSign makes an unsigned message with a data key that was made for a signed
// one. Anyone allowed to decrypt could make such a message.
func halfSign(ctx context.Context, e *encryption) ([]variant, error) {
	if e.suite != esdk.AES256GCMHKDFSHA512Commit {
		return nil, fmt.Errorf("half-sign is only for suite %v", esdk.AES256GCMHKDFSHA512Commit)
	}
	m, err := e.materials(ctx, esdk.AES256GCMHKDFSHA512CommitECDSAP384)
	if err != nil {
		return nil, err
	}
	m.Suite, m.SigningKey = e.suite, nil
	message, err := e.forge(m, func(*format.Header) {})
	if err != nil {
		return nil, err
	}
	return []variant{{message: message, refusal: "Unsigned message using a data key with a public key"}}, nil
}

// forgeCommitment makes a message in which only the commitment is wrong. A
// reader that doesn't check it decrypts the message.
func forgeCommitment(ctx context.Context, e *encryption) ([]variant, error) {
	m, err := e.materials(ctx, e.suite)
	if err != nil {
		return nil, err
	}
	message, err := e.forge(m, func(h *format.Header) { h.Commitment[0] ^= 1 })
	if err != nil {
		return nil, err
	}
	return []variant{{message: message, refusal: "the commitment is not that of the data key"}}, nil
}

func (e *encryption) materials(ctx context.Context, id esdk.SuiteID) (*esdk.EncryptionMaterials, error) {
	m, err := e.cmm.EncryptionMaterials(ctx, &esdk.EncryptionRequest{
		EncryptionContext: withoutNil(e.context), Suite: id, PlaintextLength: int64(len(e.data)),
	})
	if err == nil && len(m.RequiredContextKeys) > 0 {
		err = errors.New("tampering is not supported with a required encryption context")
	}
	return m, err
}

// forge makes a message that the library wouldn't. The header is changed before
// it's authenticated.
func (e *encryption) forge(m *esdk.EncryptionMaterials, change func(*format.Header)) ([]byte, error) {
	s := suite.Lookup(uint16(m.Suite))
	h := &format.Header{Suite: s, MessageID: randomBytes(s.MessageIDLength()), Context: m.EncryptionContext, FrameLength: e.frameLength}
	for _, k := range m.EncryptedDataKeys {
		h.DataKeys = append(h.DataKeys, format.DataKey(k))
	}
	keys, err := s.Derive(m.DataKey, h.MessageID)
	if err != nil {
		return nil, err
	}
	h.Commitment = keys.Commitment
	change(h)
	if err := h.Build(); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(keys.Content)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	message, err := stream.Seal(h.Seal(h.Raw, aead, h.Raw), e.data, &stream.Params{AEAD: aead, MessageID: h.MessageID, FrameLength: h.FrameLength})
	if err != nil || m.SigningKey == nil {
		return message, err
	}
	digest := s.NewDigest()
	digest.Write(message)
	signature, err := s.Sign(m.SigningKey, digest.Sum(nil))
	return format.AppendFooter(message, signature), err
}

// A layout has the ends of a message's parts.
type layout struct{ header, firstFrame, body int }

func (e *encryption) layout(message []byte) (*layout, error) {
	h, err := esdk.ParseHeader(bytes.NewReader(message))
	if err != nil {
		return nil, err
	}
	size, ok := format.BodySize(int64(len(e.data)), e.frameLength)
	if !ok || uint64(e.frameLength) >= uint64(len(e.data)) {
		return nil, errors.New("tampering needs a message of several frames")
	}
	return &layout{h.Length, h.Length + format.FrameOverhead + int(e.frameLength), h.Length + int(size)}, nil
}

// at returns a change that flips a bit of one byte.
func at(position func(*layout) int) func(*encryption, []byte) ([]byte, error) {
	return func(e *encryption, message []byte) ([]byte, error) {
		l, err := e.layout(message)
		if err != nil {
			return nil, err
		}
		return flipped(message, position(l), 1), nil
	}
}

// upTo returns a change that truncates the message.
func upTo(end func(*layout) int) func(*encryption, []byte) ([]byte, error) {
	return func(e *encryption, message []byte) ([]byte, error) {
		l, err := e.layout(message)
		if err != nil {
			return nil, err
		}
		return message[:end(l)], nil
	}
}
