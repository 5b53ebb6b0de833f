package format

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"testing"

	"esdk/internal/suite"
)

// An invalid field yields an error with its name and offset.
func TestMalformedHeader(t *testing.T) {
	const authentication = IVLength + TagLength
	for _, c := range []struct {
		name  string
		suite uint16
		at    int // negative: from the end of the header body
		bytes string
		field string
	}{
		{"version 0", 0x0078, 0, "\x00", "version"},
		{"version 3", 0x0078, 0, "\x03", "version"},
		{"version A, no Base64", 0x0078, 0, "Axyz", "version"},
		{"Base64 of version 1", 0x0078, 0, "AYAA", "version"},
		{"Base64 of version 2", 0x0078, 0, "AgR4", "version"},
		{"type", 0x0078, 1, "\x81", "type"},
		{"unknown suite", 0x0078, 2, "\x00\x79", "algorithm suite"},
		{"suite of version 2 in version 1", 0x0078, 2, "\x05\x78", "algorithm suite"},
		{"suite of version 1 in version 2", 0x0478, 1, "\x00\x78", "algorithm suite"},
		{"content type 0", 0x0078, -10, "\x00", "content type"},
		{"content type 3", 0x0078, -10, "\x03", "content type"},
		{"reserved", 0x0078, -6, "\x01", "reserved field"},
		{"IV length", 0x0078, -5, "\x0b", "IV length"},
		{"frames of no bytes", 0x0078, -4, "\x00\x00\x00\x00", "frame length"},
		{"frames where there are none", 0x0078, -10, "\x01", "frame length"},
		{"context of one byte", 0x0078, 20, "\x00\x01", "encryption context"},
		{"no data keys", 0x0078, 22, "\x00\x00", "encrypted data keys"},
	} {
		b := newHeader(t, suite.Lookup(c.suite), nil).Append(nil)
		at := c.at
		if at < 0 {
			at += len(b) - authentication
		}
		copy(b[at:], c.bytes)
		_, err := parse(t, b, Limits{})
		malformed, ok := errors.AsType[*Error](err)
		if !ok || malformed.Field != c.field {
			t.Errorf("%s: %v, want a malformed %s", c.name, err, c.field)
		}
		if base64 := c.bytes == "AYAA" || c.bytes == "AgR4"; errors.Is(err, errBase64) != base64 {
			t.Errorf("%s: %v; Base64: %t", c.name, err, base64)
		}
	}
}

// The header of an unframed body has frame length 0, and is read.
func TestHeaderWithoutFrames(t *testing.T) {
	b := newHeader(t, suite.Lookup(0x0078), nil).Append(nil)
	body := b[:len(b)-IVLength-TagLength]
	copy(body[len(body)-10:], "\x01\x00\x00\x00\x00\x0c\x00\x00\x00\x00")
	h, err := ReadHeader(bytes.NewReader(b), Limits{})
	if err != nil || h.FrameLength != 0 {
		t.Errorf("%+v, %v", h, err)
	}
}

// A sealed header reads back unchanged, and its tag covers the right bytes.
func TestHeaderSeal(t *testing.T) {
	block, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range suite.All {
		h := newHeader(t, s, map[string]string{"k": "v"})
		b := h.Seal(h.Raw, aead, h.Raw)
		got, err := ReadHeader(bytes.NewReader(b), Limits{})
		if err != nil || len(b) != h.Size() || !bytes.Equal(got.Raw, h.Raw) || !bytes.Equal(got.Tag, h.Tag) || !bytes.Equal(got.IV, make([]byte, IVLength)) {
			t.Fatalf("%04x: %x, %v", s.ID, b, err)
		}
		if _, err := aead.Open(nil, got.IV, got.Tag, got.Raw); err != nil {
			t.Errorf("%04x: %v", s.ID, err)
		}
	}
}

func TestErrorText(t *testing.T) {
	err := &Error{Offset: 7, Field: "version", Err: errBase64}
	if got, want := err.Error(), "esdk: malformed message: version at byte 7: "+errBase64.Error(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Error texts are checked with and without the library's name.
func TestErrorTexts(t *testing.T) {
	e := &Error{Offset: 3, Field: "version", Err: limitf("%d is too much", 7)}
	if got := e.Error(); got != "esdk: malformed message: version at byte 3: 7 is too much" {
		t.Errorf("%q", got)
	}
	if got := e.WithoutPrefix(); got != "malformed message: version at byte 3: 7 is too much" {
		t.Errorf("%q", got)
	}
	if !errors.Is(e.Err, ErrLimit) {
		t.Error("it does not match ErrLimit")
	}
}
