package stream

import (
	"bytes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"testing"

	"esdk/internal/format"
)

// A wrong count of frames ends the message, and nothing more is numbered or
// sealed.
func TestSealerRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		numbered  uint32
		frames    int
		plaintext int
		limit     bool
	}{
		"part of a frame":       {0, 1, 9, false},
		"more than a frame":     {0, 1, 11, false},
		"fewer frames":          {0, 1, 20, false},
		"more frames":           {0, 3, 20, false},
		"no frame":              {0, 0, 0, false},
		"negative":              {0, -1, 0, false},
		"the last number":       {format.MaxFrames - 1, 1, 10, true},
		"more than all numbers": {format.MaxFrames - 2, 2, 20, true},
		"behind all numbers":    {format.MaxFrames, 1, 10, true},
	} {
		p := testParams(10)
		var s sealer
		s.init(&p)
		s.numbered = test.numbered
		var r run
		err := s.number(&r, test.frames, pattern(test.plaintext))
		if err == nil || errors.Is(err, format.ErrLimit) != test.limit {
			t.Errorf("%s: %v", name, err)
		}
		if again := s.number(&r, 1, pattern(10)); again != err {
			t.Errorf("%s: then: %v", name, again)
		}
		if _, final := s.final(nil, nil); final != err {
			t.Errorf("%s: then the final frame: %v", name, final)
		}
		if got := s.seal(nil, &r); len(got) != 0 || s.numbered != test.numbered {
			t.Errorf("%s: %d numbers were given out, and %x sealed", name, s.numbered, got)
		}
	}
}

// A run is sealed once, and no other replaces it before.
func TestSealerSealsOnce(t *testing.T) {
	p := testParams(10)
	var s sealer
	s.init(&p)
	var r run
	if err := s.number(&r, 2, pattern(20)); err != nil {
		t.Fatal(err)
	}
	if got := s.seal(nil, &r); len(got) != 2*(10+format.FrameOverhead) {
		t.Errorf("sealed to %d bytes", len(got))
	}
	if got := s.seal(nil, &r); got != nil {
		t.Errorf("sealed a second time, to %x", got)
	}
	if err := s.number(&r, 1, pattern(10)); err != nil || r.first != 3 {
		t.Fatalf("frame %d, %v", r.first, err)
	}
	if err := s.number(&r, 1, pattern(10)); err == nil {
		t.Error("numbers were given to a run that was not sealed")
	}
}

func TestSealerFinal(t *testing.T) {
	p := testParams(10)
	var s sealer
	s.init(&p)
	if p.AEAD != nil {
		t.Error("the caller keeps the AEAD")
	}
	got, err := s.final([]byte("head"), pattern(10))
	if err != nil || !bytes.HasPrefix(got, []byte("head\xff\xff\xff\xff")) || binary.BigEndian.Uint32(got[8:]) != 1 {
		t.Errorf("%x, %v", got, err)
	}
	if _, err := s.final(nil, nil); err != errComplete {
		t.Errorf("a second final frame: %v", err)
	}
	if err := s.number(new(run), 1, pattern(10)); err != errComplete {
		t.Errorf("a frame behind the final one: %v", err)
	}
	for name, prepare := range map[string]func(*sealer) []byte{
		"too long":           func(*sealer) []byte { return pattern(11) },
		"behind all numbers": func(s *sealer) []byte { s.numbered = format.MaxFrames; return nil },
	} {
		p := testParams(10)
		var s sealer
		s.init(&p)
		plaintext := prepare(&s)
		_, err := s.final(nil, plaintext)
		if _, again := s.final(nil, nil); err == nil || again != err {
			t.Errorf("%s: %v, then %v", name, err, again)
		}
	}
}

// A body takes the AEAD, so that the params can't seal another one.
func TestSealedOnce(t *testing.T) {
	p := testParams(10)
	if _, err := Seal(nil, pattern(35), &p); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("sealed a second body under the same key")
		}
	}()
	Seal(nil, pattern(35), &p)
}

// scribbler is an AEAD that changes the memory it appends to, and keeps the
// nonces it was given. A sink that keeps the memory may change it at any time
// too.
type scribbler struct {
	cipher.AEAD
	mu     sync.Mutex
	nonces map[string]int
}

func (s *scribbler) Seal(dst, nonce, plaintext, aad []byte) []byte {
	clear(dst)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nonces[string(nonce)]++
	return s.AEAD.Seal(dst, nonce, plaintext, aad)
}

// The IV isn't read back from the message, which other code may change.
func TestIVIsTheSealersOwn(t *testing.T) { eachVariant(t, testIVIsTheSealersOwn) }

func testIVIsTheSealersOwn(t *testing.T) {
	p := testParams(10)
	s := &scribbler{AEAD: p.AEAD, nonces: map[string]int{}}
	p.AEAD = s
	w := newWriter(io.Discard, nil, p)
	w.Write(pattern(1003))
	w.ReadFrom(slow{bytes.NewReader(pattern(1000))})
	if err := w.Finish(nil); err != nil {
		t.Fatal(err)
	}
	for i := range uint32(201) {
		iv := binary.BigEndian.AppendUint32(make([]byte, 8), i+1)
		if s.nonces[string(iv)] != 1 {
			t.Errorf("frame %d: its IV was used %d times", i+1, s.nonces[string(iv)])
		}
	}
	if len(s.nonces) != 201 {
		t.Errorf("%d IVs", len(s.nonces))
	}
}
