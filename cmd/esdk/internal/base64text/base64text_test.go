package base64text

import (
	"bytes"
	"encoding/base64"
	"io"
	"math/rand/v2"
	"testing"
)

// TestSeek checks that text decodes to the original after any seek, wherever
// the text begins.
func TestSeek(t *testing.T) {
	want := make([]byte, 100_000)
	for i := range want {
		want[i] = byte(rand.Uint32())
	}
	text := append([]byte("before"), base64.StdEncoding.EncodeToString(want)...)
	src := bytes.NewReader(text)
	src.Seek(6, io.SeekStart)
	r, err := Decode(src, true, true)
	if err != nil {
		t.Fatal(err)
	}
	s := r.(io.ReadSeeker)
	offset := int64(0)
	for range 200 {
		whence, by := io.SeekStart, rand.Int64N(int64(len(want)))
		offset = by
		switch rand.IntN(3) {
		case 0:
			whence, by = io.SeekCurrent, 0
			if offset, err = s.Seek(0, io.SeekCurrent); err != nil {
				t.Fatal(err)
			}
		case 1:
			now, _ := s.Seek(0, io.SeekCurrent)
			whence, by = io.SeekCurrent, by-now
		}
		if got, err := s.Seek(by, whence); err != nil || got != offset {
			t.Fatalf("to %d: %d, %v", offset, got, err)
		}
		p := make([]byte, min(rand.Int64N(5000), int64(len(want))-offset))
		if _, err := io.ReadFull(s, p); err != nil || !bytes.Equal(p, want[offset:offset+int64(len(p))]) {
			t.Fatalf("%d bytes at %d: %v", len(p), offset, err)
		}
	}
	if _, err := s.Seek(0, io.SeekEnd); err == nil {
		t.Error("no error at the end")
	}
	if _, err := s.Seek(-1, io.SeekStart); err == nil {
		t.Error("no error before the start")
	}
}
