package differential

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"esdk"
	"esdk/internal/format"
	"esdk/internal/suite"
)

// choices are the fuzzer's bytes, each of which is one decision about a
// message. Zeros, and missing bytes, choose the usual.
type choices struct{ rest []byte }

func (c *choices) next() int {
	if len(c.rest) == 0 {
		return 0
	}
	b := c.rest[0]
	c.rest = c.rest[1:]
	return int(b)
}

func (c *choices) upTo(n int) int { return c.next() % n }

// odd is true for one byte in eight.
func (c *choices) odd() bool { return c.next() >= 224 }

func pick[T any](c *choices, all []T) T { return all[c.upTo(len(all))] }

// A message is a forged message. Its tags are valid for its content, unless the
// choices say otherwise.
type message struct {
	bytes      []byte
	reproduced map[string]string
	strange    []string // unusual features
}

func (m *message) note(format string, args ...any) {
	m.strange = append(m.strange, fmt.Sprintf(format, args...))
}

type pair struct{ key, value string }

type forger struct {
	*choices
	message
	suite     *suite.Suite
	messageID []byte
	pairs     []pair
	dataKey   []byte
	aead      cipher.AEAD
	signing   *ecdsa.PrivateKey
	frame     uint32
	framed    bool
}

// forge makes the message that the decisions describe.
func forge(decisions []byte) *message {
	f := &forger{choices: &choices{decisions}}
	f.suite = pick(f.choices, suite.All)
	// All random data depends on the decisions alone, except for keys and
	// padding, so that findings can be reproduced.
	f.messageID = f.bytesOf("message id", f.suite.MessageIDLength())
	f.dataKey = f.bytesOf("data key", f.suite.KeyLength)
	f.choosePairs()
	f.header()
	f.body()
	f.footer()
	f.spoil()
	f.reproduce()
	return &f.message
}

func (f *forger) bytesOf(label string, n int) []byte {
	digest := sha256.Sum256(fmt.Append(nil, label, f.rest))
	return slices.Clone(digest[:n])
}

var (
	keyTexts   = []string{"k", "a", "Z", "key", "ä", "\uff5e", "\U0001f511", "k\x00", "aws-crypto-x", "\xff", "", "日本"}
	valueTexts = []string{"v", "", "1", "süß", "\U0001d11e", "\xc3\x28", "\xed\xa0\x80", strings.Repeat("long ", 300)}
)

func (f *forger) choosePairs() {
	used := map[string]bool{}
	for range f.upTo(4) {
		p := pair{pick(f.choices, keyTexts), pick(f.choices, valueTexts)}
		if used[p.key] && !f.odd() {
			continue
		}
		if used[p.key] || !utf8.ValidString(p.key) || !utf8.ValidString(p.value) {
			f.note("pair %q", p)
		}
		used[p.key] = true
		f.pairs = append(f.pairs, p)
	}
	if f.suite.Signs() {
		f.signing, _ = f.suite.GenerateSigningKey()
		f.pairs = append(f.pairs, f.publicKeyPair()...)
	} else if f.odd() {
		f.note("public key of a suite that does not sign")
		f.pairs = append(f.pairs, pair{publicKeyKey, "AAAA"})
	}
	slices.SortStableFunc(f.pairs, func(a, b pair) int { return strings.Compare(a.key, b.key) })
	if len(f.pairs) > 1 && f.odd() {
		f.note("context out of order")
		slices.Reverse(f.pairs)
	}
}

const publicKeyKey = "aws-crypto-public-key"

func (f *forger) publicKeyPair() []pair {
	encoded, _ := f.suite.EncodePublicKey(&f.signing.PublicKey)
	if !f.odd() {
		return []pair{{publicKeyKey, encoded}}
	}
	how := f.upTo(7)
	f.note("public key, way %d", how)
	uncompressed, _ := f.signing.PublicKey.Bytes()
	compressed, _ := base64.StdEncoding.DecodeString(encoded)
	other := elliptic.P256()
	if f.signing.Curve == other {
		other = elliptic.P384()
	}
	text := base64.StdEncoding.EncodeToString
	switch how {
	case 0:
		return nil
	case 1:
		return []pair{{publicKeyKey, text(uncompressed)}}
	case 2:
		key, _ := ecdsa.GenerateKey(other, rand.Reader)
		return []pair{{publicKeyKey, text(elliptic.MarshalCompressed(other, key.X, key.Y))}}
	case 3:
		return []pair{{publicKeyKey, base64.RawStdEncoding.EncodeToString(append(compressed, 0))}}
	case 4:
		return []pair{{publicKeyKey, encoded[:len(encoded)/2]}}
	case 5:
		compressed[1] = 0xff // an x off the curve, or another point
		return []pair{{publicKeyKey, text(compressed)}}
	default:
		return []pair{{publicKeyKey, encoded[:4] + "\n" + encoded[4:]}}
	}
}

func (f *forger) header() {
	raw := []byte{2}
	if !f.suite.Commits {
		raw = []byte{1, 0x80}
		if f.odd() {
			raw[1] = byte(f.next())
			f.note("type %d", raw[1])
		}
	}
	raw = binary.BigEndian.AppendUint16(raw, f.suite.ID)
	raw = append(raw, f.messageID...)
	raw = append(raw, f.contextField()...)
	raw = append(raw, f.dataKeys()...)
	raw = append(raw, f.contentType()...)
	f.deriveAndSeal(raw)
}

func (f *forger) contextField() []byte {
	serialized := serialize(f.pairs)
	if len(f.pairs) == 0 && f.odd() {
		f.note("empty context with a count")
		serialized = []byte{0, 0}
	}
	length := len(serialized)
	if f.odd() {
		length += f.upTo(9) - 4
		f.note("context length off by %d", length-len(serialized))
	}
	if len(f.pairs) > 0 && f.odd() {
		serialized[1] += byte(f.upTo(5) - 2)
		f.note("%d pairs counted for %d", serialized[1], len(f.pairs))
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(length)), serialized...)
}

func serialize(pairs []pair) []byte {
	if len(pairs) == 0 {
		return nil
	}
	b := binary.BigEndian.AppendUint16(nil, uint16(len(pairs)))
	for _, p := range pairs {
		b = field(field(b, p.key), p.value)
	}
	return b
}

func field[T string | []byte](b []byte, value T) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(value))), value...)
}

// additionalData returns the context as keyrings bind it: ordered by its keys.
func (f *forger) additionalData() []byte {
	sorted := slices.Clone(f.pairs)
	slices.SortStableFunc(sorted, func(a, b pair) int { return strings.Compare(a.key, b.key) })
	return serialize(sorted)
}

func (f *forger) dataKeys() []byte {
	var all [][]byte
	for range f.upTo(3) {
		all = append(all, f.strangeDataKey())
	}
	if f.odd() {
		f.note("no good data key")
	} else {
		all = slices.Insert(all, f.upTo(len(all)+1), f.goodDataKey())
	}
	count := len(all)
	if f.odd() {
		count = f.upTo(5)
		f.note("%d data keys counted for %d", count, len(all))
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(count)), bytes.Join(all, nil)...)
}

func (f *forger) goodDataKey() []byte {
	switch f.upTo(5) {
	case 4:
		return f.agreedDataKey()
	case 3:
		wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, &rsaKey.PublicKey, f.dataKey, nil)
		if err != nil {
			panic(err)
		}
		return field(field(field(nil, rsaNamespace), keyName), wrapped)
	}
	iv := f.bytesOf("wrapping IV", 12)
	info := aesInfo(keyName, 128, 12, iv)
	return field(field(field(nil, aesNamespace), info), newGCM(wrappingKey).Seal(nil, iv, f.dataKey, f.additionalData()))
}

// agreedDataKey returns an ECDH data key, made by our keyring.
func (f *forger) agreedDataKey() []byte {
	ec := esdk.EncryptionContext{}
	for _, p := range f.pairs {
		ec[p.key] = p.value
	}
	r, err := agreement.Wrap(context.Background(), &esdk.WrapRequest{Suite: esdk.SuiteID(f.suite.ID), EncryptionContext: ec, DataKey: f.dataKey})
	if err != nil { // not a valid context
		return field(field(field(nil, "raw-ecdh"), ""), "")
	}
	edk := r.EncryptedDataKeys[0]
	return field(field(field(nil, edk.ProviderID), edk.ProviderInfo), edk.Ciphertext)
}

func aesInfo(name string, tagBits, ivLength uint32, iv []byte) []byte {
	info := binary.BigEndian.AppendUint32([]byte(name), tagBits)
	return append(binary.BigEndian.AppendUint32(info, ivLength), iv...)
}

// strangeDataKey returns a data key that some keyring may mistake for its own.
func (f *forger) strangeDataKey() []byte {
	iv := f.bytesOf("strange IV", 12)
	junk := f.bytesOf("junk", f.upTo(33))
	how := f.upTo(14)
	f.note("data key, way %d", how)
	data := func(provider, info string, ciphertext []byte) []byte {
		return field(field(field(nil, provider), info), ciphertext)
	}
	switch how {
	case 0:
		return data("somebody", "else", junk)
	case 1:
		return data(aesNamespace, string(junk), junk)
	case 2:
		return data(aesNamespace, string(aesInfo(keyName, 128, 12, iv)), junk)
	case 3:
		return data(aesNamespace, string(aesInfo(keyName, 96, 12, iv)), bytes.Repeat(junk, 2))
	case 4:
		return data(aesNamespace, string(aesInfo(keyName+"x", 128, 12, iv)), bytes.Repeat(junk, 2))
	case 5: // another length of data key, which opens
		return data(aesNamespace, string(aesInfo(keyName, 128, 12, iv)), newGCM(wrappingKey).Seal(nil, iv, junk, f.additionalData()))
	case 6:
		return data(rsaNamespace, keyName, junk)
	case 7:
		wrapped, _ := rsa.EncryptOAEP(sha256.New(), rand.Reader, &rsaKey.PublicKey, junk, nil)
		return data(rsaNamespace, keyName, wrapped)
	case 8:
		return data("raw-ecdh", "", junk)
	case 9:
		return data("raw-ecdh", "\x01"+string(junk), junk)
	case 10:
		return data("\xff\xfe", "not UTF-8", junk)
	case 11:
		return data("", "", nil)
	case 12:
		return data("aws-kms", "arn:aws:kms:us-west-2:1:key/x", junk)
	default:
		return data("aws-kms-hierarchy", "branch", junk)
	}
}

var frameLengths = []uint32{16, 1, 5, 4096, 64, 1 << 20, 1<<32 - 1}

func (f *forger) contentType() []byte {
	f.framed, f.frame = f.upTo(4) != 3, pick(f.choices, frameLengths)
	content, length := byte(2), f.frame
	if !f.framed {
		content, length = 1, 0
	}
	if f.odd() {
		how := f.upTo(4)
		f.note("content type or frame length, way %d", how)
		switch how {
		case 0:
			content = 3 - content
		case 1:
			content = byte(f.next())
		case 2:
			length = 0
		default:
			length = f.frame + 1
		}
	}
	b := []byte{content}
	if !f.suite.Commits {
		b = append(b, 0, 0, 0, 0, 12)
		if f.odd() {
			i := 1 + f.upTo(5)
			b[i] ^= byte(f.next())
			f.note("byte %d behind the content type is %d", i, b[i])
		}
	}
	return binary.BigEndian.AppendUint32(b, length)
}

func (f *forger) deriveAndSeal(raw []byte) {
	keys, err := f.suite.Derive(f.dataKey, f.messageID)
	if err != nil {
		panic(err)
	}
	if f.suite.Commits {
		commitment := slices.Clone(keys.Commitment)
		if f.odd() {
			f.note("commitment")
			commitment[f.upTo(32)] ^= 1
		}
		raw = append(raw, commitment...)
	}
	f.aead = newGCM(keys.Content)
	iv, additional := make([]byte, 12), raw
	if !f.suite.Commits && f.odd() {
		f.note("IV of the header")
		iv = f.bytesOf("header IV", 12)
	}
	if f.odd() {
		f.note("as .NET 4.0.0 did")
		additional = append(slices.Clone(raw), 0, 0)
		if !f.suite.Commits && f.suite.Derives() {
			keys, err := f.suite.DeriveNET400(f.dataKey)
			if err != nil {
				panic(err)
			}
			f.aead = newGCM(keys.Content)
		}
	}
	f.bytes = slices.Clone(raw)
	if !f.suite.Commits {
		f.bytes = append(f.bytes, iv...)
	}
	f.bytes = f.aead.Seal(f.bytes, iv, nil, additional)
}

func newGCM(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}

var oddSequences = []uint32{0, 1, 2, 3, 1<<31 - 1, 1<<32 - 2, 1<<32 - 1}

func (f *forger) body() {
	if !f.framed {
		f.nonFramed()
		return
	}
	regular := 0
	if f.frame <= 64 {
		regular = f.upTo(4)
	}
	for i := range regular {
		length := int(f.frame)
		if f.odd() {
			length = f.upTo(80)
			f.note("regular frame of %d", length)
		}
		f.frameOf(uint32(i+1), length, false)
	}
	if f.odd() {
		f.note("no final frame")
		return
	}
	length := int(min(f.frame, uint32(f.upTo(65))))
	if f.odd() {
		length = f.upTo(256)
		f.note("final frame of %d", length)
	}
	f.frameOf(uint32(regular+1), length, true)
	if f.odd() {
		f.note("a frame behind the final one")
		f.frameOf(uint32(regular+2), int(min(f.frame, 64)), f.odd())
	}
}

func (f *forger) frameOf(sequence uint32, length int, final bool) {
	if f.odd() {
		sequence = pick(f.choices, oddSequences)
		f.note("sequence number %d", sequence)
	}
	iv := binary.BigEndian.AppendUint32(make([]byte, 8), sequence)
	if f.odd() {
		f.note("IV of a frame")
		iv = f.bytesOf("IV", 12)
	}
	kind := format.Regular
	if final {
		kind = format.Final
		f.bytes = binary.BigEndian.AppendUint32(f.bytes, format.EndFrame)
	}
	if f.odd() {
		f.note("kind of a frame")
		kind = pick(f.choices, []format.Kind{format.Regular, format.Final, format.Single})
	}
	f.bytes = binary.BigEndian.AppendUint32(f.bytes, sequence)
	f.bytes = append(f.bytes, iv...)
	if final {
		f.bytes = binary.BigEndian.AppendUint32(f.bytes, uint32(length))
	}
	aad := format.NewBodyAAD(f.messageID, kind).Frame(sequence, uint64(length))
	f.bytes = f.aead.Seal(f.bytes, iv, bytes.Repeat([]byte{byte(sequence)}, length), aad)
}

func (f *forger) nonFramed() {
	length := f.next()
	iv := f.bytesOf("IV", 12)
	f.bytes = append(f.bytes, iv...)
	stated := uint64(length)
	if f.odd() {
		stated += uint64(f.upTo(5)) - 2
		if f.odd() {
			stated = pick(f.choices, []uint64{1<<36 - 32, 1<<36 - 31, 1 << 63, 1<<64 - 1})
		}
		f.note("a body of %d that says %d", length, stated)
	}
	f.bytes = binary.BigEndian.AppendUint64(f.bytes, stated)
	aad := format.NewBodyAAD(f.messageID, format.Single).Frame(1, uint64(length))
	f.bytes = f.aead.Seal(f.bytes, iv, make([]byte, length), aad)
}

func (f *forger) footer() {
	switch {
	case f.suite.Signs():
		f.sign()
	case f.odd():
		f.note("footer of a suite that does not sign")
		f.bytes = field(f.bytes, f.bytesOf("footer", f.upTo(33)))
	}
	if f.odd() {
		f.note("trailing bytes")
		f.bytes = append(f.bytes, f.bytesOf("trailing", 1+f.upTo(8))...)
	}
}

func (f *forger) sign() {
	digest := f.suite.NewDigest()
	digest.Write(f.bytes)
	signature, err := f.suite.Sign(f.signing, digest.Sum(nil))
	if err != nil {
		panic(err)
	}
	if !f.odd() {
		f.bytes = field(f.bytes, signature)
		return
	}
	how := f.upTo(8)
	f.note("signature, way %d", how)
	switch how {
	case 0: // none
	case 1:
		f.bytes = field(f.bytes, "")
	case 2: // without the hash
		signature, _ = ecdsa.SignASN1(rand.Reader, f.signing, make([]byte, 32))
		f.bytes = field(f.bytes, signature)
	case 3: // the length in two bytes, where one is enough
		f.bytes = field(f.bytes, slices.Concat(signature[:1], []byte{0x81}, signature[1:]))
	case 4:
		f.bytes = field(f.bytes, append(signature, 0))
	case 5: // a leading zero too many
		long := slices.Concat(signature[:1], []byte{signature[1] + 1, 2, signature[3] + 1, 0}, signature[4:])
		f.bytes = field(f.bytes, long)
	case 6: // of any length
		signature, _ = ecdsa.SignASN1(rand.Reader, f.signing, digest.Sum(nil))
		f.bytes = field(f.bytes, signature)
	default:
		f.bytes = field(f.bytes, signature[:len(signature)-1])
	}
}

// spoil changes bytes behind the forger's back.
func (f *forger) spoil() {
	if !f.odd() {
		return
	}
	at := (f.next()<<8 | f.next()) % len(f.bytes)
	if f.odd() {
		f.note("cut off at %d", at)
		f.bytes = f.bytes[:at]
		return
	}
	change := byte(f.next() | 1)
	f.note("byte %d changed by %d", at, change)
	f.bytes[at] ^= change
}

// reproduce chooses a context for decryption.
func (f *forger) reproduce() {
	if !f.odd() {
		return
	}
	f.reproduced = map[string]string{}
	for range 1 + f.upTo(3) {
		p := pair{pick(f.choices, keyTexts), pick(f.choices, valueTexts)}
		if len(f.pairs) > 0 && f.upTo(2) == 1 {
			p = pick(f.choices, f.pairs)
		}
		f.reproduced[p.key] = p.value
	}
	f.note("reproduced context %q", f.reproduced)
}
