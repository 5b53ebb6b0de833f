package esdk_test

import (
	"bytes"
	"encoding"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"esdk"
	"esdk/internal/format"
	"esdk/internal/suite"
)

var _ encoding.BinaryAppender = esdk.EncryptionContext(nil)

func TestParseHeader(t *testing.T) {
	for _, s := range samples(t) {
		source := bytes.NewReader(s.message)
		h, err := esdk.ParseHeader(source)
		if err != nil {
			t.Fatal(err)
		}
		if read := len(s.message) - source.Len(); h.Length != s.header || read != s.header {
			t.Errorf("%s: length %d, read %d bytes, want %d", s.name, h.Length, read, s.header)
		}
		if h.Suite != esdk.SuiteID(s.suite.ID) || h.Version != int(s.suite.Version()) || len(h.MessageID) != s.suite.MessageIDLength() ||
			h.EncryptionContext["k"] != "v" || len(h.EncryptedDataKeys) != 1 || h.RequiredContextKeys != nil {
			t.Errorf("%s: %+v", s.name, h)
		}
		again, err := esdk.ParseHeader(iotest.OneByteReader(bytes.NewReader(s.message)))
		if err != nil || again.Length != s.header {
			t.Errorf("%s: in small pieces: %v", s.name, err)
		}
		// The parsed header belongs to the caller.
		id := bytes.Clone(h.MessageID)
		clear(s.message)
		if !bytes.Equal(h.MessageID, id) {
			t.Errorf("%s: the header shares memory with its source", s.name)
		}
	}
}

func TestParseHeaderErrors(t *testing.T) {
	errSource := errors.New("network is down")
	if _, err := esdk.ParseHeader(iotest.ErrReader(errSource)); !errors.Is(err, errSource) {
		t.Errorf("got %v", err)
	}
	var malformed *esdk.FormatError
	_, err := esdk.ParseHeader(strings.NewReader(""))
	if !errors.As(err, &malformed) || malformed.Offset != 0 || malformed.Field != "version" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("empty: %v", err)
	}
}

// Users find Base64 in configuration and databases, and forget to decode it.
func TestBase64Mistake(t *testing.T) {
	starts := make(map[string]bool)
	for _, s := range samples(t) {
		text := base64.StdEncoding.EncodeToString(s.message)
		starts[text[:min(4, len(text))]] = true
		_, _, err := reader(t).Decrypt(t.Context(), []byte(text), nil)
		var malformed *esdk.FormatError
		if !errors.As(err, &malformed) || !strings.Contains(err.Error(), "Base64") {
			t.Errorf("%s: %v", s.name, err)
		}
	}
	for _, start := range []string{"AgR4", "AgV4"} {
		if !starts[start] {
			t.Errorf("no sample starts with %s", start)
		}
	}
	for _, text := range []string{"A", "AB", "Ag", "AgR", "AgQ4", "AgV5"} {
		if _, err := esdk.ParseHeader(strings.NewReader(text)); err == nil || strings.Contains(err.Error(), "Base64") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Other products share the registry of suites.
func TestForeignSuites(t *testing.T) {
	for _, id := range []uint16{0x0000, 0x0070, 0x0071, 0x0067, 0x6701, 0x6702, 0xFFFF} {
		for _, start := range [][]byte{{1, 0x80}, {2}} {
			message := binary.BigEndian.AppendUint16(start, id)
			wantMalformed(t, reader(t), append(message, make([]byte, 500)...), "algorithm suite")
		}
	}
	// A suite belongs to one version of the format.
	for _, s := range suite.All {
		start := []byte{2}
		if s.Commits {
			start = []byte{1, 0x80}
		}
		wantMalformed(t, reader(t), append(binary.BigEndian.AppendUint16(start, s.ID), make([]byte, 500)...), "algorithm suite")
	}
}

// Each violation of the header format is reported at the right field.
func TestMalformedHeaders(t *testing.T) {
	v1, v2 := sampleOf(t, "0014/framed"), sampleOf(t, "0478/framed")
	set := func(s sample, at int, b ...byte) []byte {
		m := bytes.Clone(s.message)
		copy(m[at:], b)
		return m
	}
	// The context k=v has 2 bytes of count and 2 fields of 3 bytes.
	context1, context2 := 2+2+16, 1+2+32
	for _, c := range []struct {
		name    string
		message []byte
		field   string
	}{
		{"version 0", set(v1, 0, 0), "version"},
		{"version 3", set(v1, 0, 3), "version"},
		{"type", set(v1, 1, 0x81), "type"},
		{"context of one byte", set(v1, context1, 0, 1), "encryption context"},
		{"count of 0 before pairs", set(v1, context1+2, 0, 0), "encryption context"},
		{"count too low", slices.Insert(set(v1, context1, 0, 9), context1+10, 0), "encryption context"},
		{"count too high", set(v1, context1+2, 0, 2), "encryption context"},
		{"key too long", set(v1, context1+4, 0, 200), "encryption context"},
		{"value too long", set(v1, context1+7, 0, 200), "encryption context"},
		{"key not UTF-8", set(v1, context1+6, 0xFF), "encryption context"},
		{"value not UTF-8", set(v2, context2+9, 0xFF), "encryption context"},
		{"no data keys", set(v2, context2+10, 0, 0), "encrypted data keys"},
		{"content type 0", set(v1, v1.header-28-10, 0), "content type"},
		{"content type 3", set(v2, v2.header-16-37, 3), "content type"},
		{"not framed, with a frame length", set(v2, v2.header-16-37, 1), "frame length"},
		{"framed, without a frame length", set(v2, v2.header-16-36, 0, 0, 0, 0), "frame length"},
		{"reserved field", set(v1, v1.header-28-6, 1), "reserved field"},
		{"IV length", set(v1, v1.header-28-5, 16), "IV length"},
	} {
		t.Run(c.name, func(t *testing.T) { wantMalformed(t, reader(t), c.message, c.field) })
	}
}

// Other SDKs write messages that differ from ours, and we read them.
func TestLegacyHeaders(t *testing.T) {
	for _, s := range suite.All {
		if s.Signs() {
			continue // it would have a public key in its context
		}
		// An empty context may have a count.
		f := newForger(t, s, 16, nil)
		at := len(f.header.MessageID) + 3
		if !s.Commits {
			at++
		}
		f.header.Raw = slices.Replace(f.header.Raw, at, at+2, 0, 2, 0, 0)
		f.header.Tag = f.aead.Seal(nil, f.header.IV, nil, f.header.Raw)
		wantDecrypts(t, reader(t), f.message(t, f.final(1, pattern(5))), nil, pattern(5))

		// The JavaScript SDK sorted keys by locale. The keyring sees byte order
		// nonetheless.
		f = newForger(t, s, 16, esdk.EncryptionContext{"Stage": "x", "at": "home"})
		sorted := []byte("\x00\x05Stage\x00\x01x\x00\x02at\x00\x04home")
		if !bytes.Contains(f.header.Raw, sorted) {
			t.Fatal("context is not in the order of bytes")
		}
		f.header.Raw = bytes.Replace(f.header.Raw, sorted, []byte("\x00\x02at\x00\x04home\x00\x05Stage\x00\x01x"), 1)
		f.header.Tag = f.aead.Seal(nil, f.header.IV, nil, f.header.Raw)
		wantDecrypts(t, reader(t), f.message(t, f.final(1, pattern(5))), nil, pattern(5))

		// IVs were random before data keys were cached. The IVs in the message
		// count.
		if !s.Commits {
			f = newForger(t, s, 16, nil)
			f.header.IV = pattern(12)
			f.header.Tag = f.aead.Seal(nil, f.header.IV, nil, f.header.Raw)
			wantDecrypts(t, reader(t), f.message(t, f.final(1, pattern(5))), nil, pattern(5))
		}
	}
}

func TestContextAppendBinary(t *testing.T) {
	for _, c := range []struct {
		ec   esdk.EncryptionContext
		want string
	}{
		{nil, ""},
		{esdk.EncryptionContext{}, ""},
		{esdk.EncryptionContext{"": ""}, "\x00\x01\x00\x00\x00\x00"},
		{esdk.EncryptionContext{"b": "2", "a": "1", "B": "3"}, "\x00\x03\x00\x01B\x00\x013\x00\x01a\x00\x011\x00\x01b\x00\x012"},
		// UTF-16 would sort these two the other way round.
		{esdk.EncryptionContext{"\U00010000": "", "\uffff": ""}, "\x00\x02\x00\x03\uffff\x00\x00\x00\x04\U00010000\x00\x00"},
	} {
		got, err := c.ec.AppendBinary([]byte("x"))
		if err != nil || string(got) != "x"+c.want {
			t.Errorf("%v: %q, %v; want %q", c.ec, got, err, "x"+c.want)
		}
	}
	if _, err := (esdk.EncryptionContext{"\xff": ""}).AppendBinary(nil); !errors.Is(err, esdk.ErrEncryptionContext) {
		t.Errorf("not UTF-8: %v", err)
	}
}

// Frames are opened with the IVs that they store. IVs were random before data
// keys were cached.
func TestLegacyFrameIVs(t *testing.T) {
	const frame, frames = 16, 5
	plaintext := pattern(frame*frames + 7)
	for _, s := range suite.All {
		f := newForger(t, s, frame, sampleContext)
		seal := func(kind format.Kind, sequence byte, head []byte, plaintext []byte) []byte {
			aad := format.NewBodyAAD(f.header.MessageID, kind).Frame(uint32(sequence), uint64(len(plaintext)))
			return f.aead.Seal(head, randomIV(sequence), plaintext, aad)
		}
		var parts [][]byte
		for i := range byte(frames) {
			head := slices.Concat([]byte{0, 0, 0, i + 1}, randomIV(i+1))
			parts = append(parts, seal(format.Regular, i+1, head, plaintext[int(i)*frame:][:frame]))
		}
		head := slices.Concat([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, frames + 1}, randomIV(frames+1), []byte{0, 0, 0, 7})
		parts = append(parts, seal(format.Final, frames+1, head, plaintext[frame*frames:]))
		wantDecrypts(t, reader(t), f.message(t, parts...), nil, plaintext)
	}
}

// randomIV returns an IV that matches no sequence number.
func randomIV(i byte) []byte { return bytes.Repeat([]byte{0x80 | i}, format.IVLength) }

// The sizes match actual messages, and lengths that no message has yield no
// plaintext length.
func TestHeaderSizes(t *testing.T) {
	for _, id := range []esdk.SuiteID{unsigned, signed, esdk.AES256GCMHKDFSHA256, esdk.AES128GCMHKDFSHA256ECDSAP256} {
		for _, frame := range []uint32{1, 10, 4096} {
			c := newClient(t, esdk.Config{Suite: id, FrameLength: frame, CommitmentPolicy: policyFor(suite.Lookup(uint16(id)))})
			lengths := make(map[int64]int64)
			var h *esdk.Header
			for plaintext := range int64(3*10 + 2) {
				message, header, err := c.Encrypt(t.Context(), pattern(int(plaintext)), sampleContext)
				if err != nil {
					t.Fatal(err)
				}
				h = header
				lengths[int64(len(message))] = plaintext
				if got, ok := h.MessageSize(plaintext); !ok || got != int64(len(message)) {
					t.Errorf("%v, frames of %d: a message of %d: %d bytes, %t; has %d", id, frame, plaintext, got, ok, len(message))
				}
			}
			most, _ := h.MessageSize(31)
			for length := range most {
				want, possible := lengths[length]
				if got, ok := h.PlaintextSize(length); ok != possible || ok && got != want {
					t.Errorf("%v, frames of %d: a plaintext of %d: %d bytes, %t; want %d, %t", id, frame, length, got, ok, want, possible)
				}
			}
		}
	}
	h := &esdk.Header{Suite: unsigned, FrameLength: 1, Length: 100}
	for _, length := range []int64{-1, 1 << 32, 1<<63 - 1, -1 << 63} {
		if got, ok := h.MessageSize(length); ok {
			t.Errorf("%d bytes in frames of one: %d", length, got)
		}
		if got, ok := h.PlaintextSize(length); ok && length != 1<<32 {
			t.Errorf("message of %d bytes: %d", length, got)
		}
	}
	h.FrameLength = 1<<32 - 1
	if size, ok := h.MessageSize(1<<63 - 1); ok {
		t.Errorf("a message of %d bytes", size)
	}
	h.FrameLength = 0
	for plaintext, want := range map[int64]bool{0: true, 1: true, 1<<36 - 32: true, 1<<36 - 31: false, -1: false} {
		size, ok := h.MessageSize(plaintext)
		if ok != want || ok && size != 100+12+8+16+plaintext {
			t.Errorf("no frames, %d bytes: %d, %t", plaintext, size, ok)
		}
		if got, ok := h.PlaintextSize(100 + 12 + 8 + 16 + plaintext); ok != want || ok && got != plaintext {
			t.Errorf("no frames, back from %d bytes: %d, %t", plaintext, got, ok)
		}
	}
}

// The header has the parts that reports and tools used to parse again.
func TestHeaderParts(t *testing.T) {
	for _, id := range []esdk.SuiteID{unsigned, signed, esdk.AES256GCMHKDFSHA256} {
		c := newClient(t, esdk.Config{Suite: id, CommitmentPolicy: policyFor(suite.Lookup(uint16(id)))})
		message, header, err := c.Encrypt(t.Context(), nil, sampleContext)
		if err != nil {
			t.Fatal(err)
		}
		parsed := must[*esdk.Header](t)(esdk.ParseHeader(bytes.NewReader(message)))
		if !bytes.Equal(parsed.Tag, message[parsed.Length-16:parsed.Length]) {
			t.Errorf("%v: tag %x", id, parsed.Tag)
		}
		if commits := id.Commits(); commits != (len(parsed.Commitment) == 32) || len(parsed.IV) != 12 ||
			commits && !bytes.Equal(parsed.Commitment, message[parsed.Length-48:parsed.Length-16]) || !commits && !bytes.Equal(parsed.IV, message[parsed.Length-28:parsed.Length-16]) {
			t.Errorf("%v: commitment %x, IV %x", id, parsed.Commitment, parsed.IV)
		}
		if !bytes.Equal(header.Tag, parsed.Tag) || !bytes.Equal(header.Commitment, parsed.Commitment) || !bytes.Equal(header.IV, parsed.IV) {
			t.Errorf("%v: encrypted with %x, %x, %x; parsed %x, %x, %x", id, header.Tag, header.Commitment, header.IV, parsed.Tag, parsed.Commitment, parsed.IV)
		}
		if ec := header.UserContext(); len(ec) != 1 || ec["k"] != "v" {
			t.Errorf("%v: context of the user's: %v", id, ec)
		}
		// The Header belongs to the caller.
		w := must[*esdk.Writer](t)(c.NewWriter(t.Context(), io.Discard, nil))
		w.Header().IV[0]++
		clear(w.Header().Tag)
		header.IV[0]++
		parsed.IV[0]++
		wantDecrypts(t, c, encrypt(t, c, nil, nil), nil, nil)
	}
	if ec := new(esdk.Header).UserContext(); ec == nil || len(ec) != 0 {
		t.Errorf("no context: %v", ec)
	}
}

// A data key tells the name of its wrapping key; package datakey tests all
// kinds.
func TestKeyName(t *testing.T) {
	m := encrypt(t, newClient(t, esdk.Config{}), nil, nil)
	h := must[*esdk.Header](t)(esdk.ParseHeader(bytes.NewReader(m)))
	if got := h.EncryptedDataKeys[0].KeyName(); got != "key" {
		t.Errorf("%q", got)
	}
}
