package esdk_test

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"testing"

	"esdk"
	"esdk/internal/modeltest"
	"esdk/internal/suite"
)

// refuse decrypts at once and as a stream. It checks that both reject the
// message and release only a part of the plaintext.
func refuse(t *testing.T, c *esdk.Client, message, plaintext []byte, what string) (oneShot, streamed error) {
	t.Helper()
	got, header, oneShot := c.Decrypt(t.Context(), message, nil)
	if oneShot == nil || got != nil || header != nil {
		t.Errorf("%s: Decrypt: %d bytes, %v", what, len(got), oneShot)
	}
	released, streamed := decryptStream(t, c, bytes.NewReader(message), nil)
	if streamed == nil {
		t.Errorf("%s: Reader accepts it", what)
	}
	// Not even the whole plaintext: the last frame waits for the end.
	if len(released) >= max(1, len(plaintext)) || !bytes.HasPrefix(plaintext, released) {
		t.Errorf("%s: Reader released %q of %q", what, released, plaintext)
	}
	return oneShot, streamed
}

func TestTruncated(t *testing.T) {
	for _, s := range samples(t) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			for n := range s.message {
				oneShot, streamed := refuse(t, reader(t), s.message[:n], s.plaintext, fmt.Sprintf("first %d bytes", n))
				for _, err := range []error{oneShot, streamed} {
					var malformed *esdk.FormatError
					if !errors.As(err, &malformed) || !errors.Is(err, io.ErrUnexpectedEOF) || malformed.Offset > int64(n) {
						t.Errorf("first %d bytes: %v", n, err)
					}
				}
			}
		})
	}
}

// Every bit of a message matters, and each part has its own error. Under the
// race detector, which has nothing to find here, only one bit of each byte is
// flipped.
func TestFlippedBits(t *testing.T) {
	for _, s := range samples(t) {
		t.Run(s.name, func(t *testing.T) {
			if testing.Short() && s.suite.Signs() && s.suite.KeyLength > 16 {
				t.Skip("P-384 takes long, and P-256 shows the same")
			}
			t.Parallel()
			c := reader(t)
			bad := bytes.Clone(s.message)
			for i := range bad {
				for bit := range 8 {
					if modeltest.Race && bit != i%8 {
						continue
					}
					bad[i] ^= 1 << bit
					what := fmt.Sprintf("bit %d of byte %d", bit, i)
					oneShot, streamed := refuse(t, c, bad, s.plaintext, what)
					s.checkFlip(t, what, i, oneShot)
					if oneShot != nil && streamed != nil && oneShot.Error() != streamed.Error() {
						t.Errorf("%s: Decrypt: %v; Reader: %v", what, oneShot, streamed)
					}
					bad[i] ^= 1 << bit
				}
			}
		})
	}
}

// checkFlip checks the error after a bit in byte i was flipped.
func (s *sample) checkFlip(t *testing.T, what string, i int, err error) {
	t.Helper()
	var malformed *esdk.FormatError
	format := errors.As(err, &malformed)
	// These are the offsets at which the parts end.
	id, commitment := 4, 0
	authentication := s.header - 16 - 12
	if s.suite.Commits {
		id, commitment = 3, suite.CommitmentLength
		authentication = s.header - 16
	}
	messageID := id + s.suite.MessageIDLength()
	ok := false
	switch {
	case i < id:
		// A flipped bit can turn one suite into another, which derives other
		// keys.
		ok = format || errors.Is(err, esdk.ErrAuthentication) || errors.Is(err, esdk.ErrCommitment) ||
			errors.Is(err, esdk.ErrEncryptionContext) || errors.Is(err, esdk.ErrNoDataKey)
	case i < messageID && s.suite.Commits:
		ok = errors.Is(err, esdk.ErrCommitment)
	case i < messageID:
		ok = errors.Is(err, esdk.ErrAuthentication)
	case i < authentication-commitment:
		ok = format || errors.Is(err, esdk.ErrNoDataKey) || errors.Is(err, esdk.ErrEncryptionContext) ||
			errors.Is(err, esdk.ErrAuthentication) // the frame length
	case i < authentication:
		ok = errors.Is(err, esdk.ErrCommitment)
	case i < s.header:
		ok = errors.Is(err, esdk.ErrAuthentication)
	default:
		ok = format || errors.Is(err, esdk.ErrAuthentication)
	}
	if !ok {
		t.Errorf("%s: %v", what, err)
	}
}

// Reordered frames are rejected.
func TestRearrangedFrames(t *testing.T) {
	plaintext := pattern(25)
	for _, s := range suite.All {
		f := newForger(t, s, 10, sampleContext)
		one, two, final := f.regular(1, plaintext[:10]), f.regular(2, plaintext[10:20]), f.final(3, plaintext[20:])
		wantDecrypts(t, reader(t), f.message(t, one, two, final), nil, plaintext)
		renumbered := bytes.Clone(two)
		binary.BigEndian.PutUint32(renumbered, 1)
		for _, c := range []struct {
			name  string
			parts [][]byte
			want  string // the field of the error; empty: ErrAuthentication
		}{
			{"swapped", [][]byte{two, one, final}, "sequence number"},
			{"repeated", [][]byte{one, one, two, final}, "sequence number"},
			{"first dropped", [][]byte{two, final}, "sequence number"},
			{"second dropped", [][]byte{one, final}, "sequence number"},
			{"only the final", [][]byte{final}, "sequence number"},
			{"final dropped", [][]byte{one, two}, "sequence number"},
			{"final first", [][]byte{final, one, two}, "sequence number"},
			{"second renumbered as first", [][]byte{renumbered, final}, ""},
			{"frame 0", [][]byte{f.regular(0, plaintext[:10]), one, two, final}, "sequence number"},
			{"final frame 1 again", [][]byte{one, two, f.final(1, nil)}, "sequence number"},
			{"final frame too long", [][]byte{one, two, f.final(3, pattern(11))}, "final frame length"},
			{"two final frames", [][]byte{one, two, final, final}, ""},
			{"regular as final", [][]byte{one, append(f.final(2, plaintext[10:20])[:24], two[16:]...)}, ""},
		} {
			// Here, the attacker has the data key and can sign as well.
			message := f.message(t, c.parts...)
			oneShot, streamed := refuse(t, reader(t), message, plaintext, c.name)
			if s.Signs() {
				continue // the footer may be parsed as a frame
			}
			var malformed *esdk.FormatError
			switch {
			case c.name == "final dropped":
				if !errors.Is(oneShot, io.ErrUnexpectedEOF) || !errors.Is(streamed, io.ErrUnexpectedEOF) {
					t.Errorf("%s: %v, %v", c.name, oneShot, streamed)
				}
			case c.name == "two final frames":
				if !errors.As(oneShot, &malformed) || malformed.Field != "end" {
					t.Errorf("%s: %v", c.name, oneShot)
				}
			case c.want == "":
				if !errors.Is(oneShot, esdk.ErrAuthentication) {
					t.Errorf("%s: %v", c.name, oneShot)
				}
			case !errors.As(oneShot, &malformed) || malformed.Field != c.want:
				t.Errorf("%s: %v, want %q", c.name, oneShot, c.want)
			}
		}
	}
}

// A frame of one message doesn't fit into another message with the same data
// key.
func TestFramesOfAnotherMessage(t *testing.T) {
	for _, s := range suite.All {
		a, b := newForger(t, s, 10, nil), newForger(t, s, 10, nil)
		b.aead = a.aead
		b.header.MessageID[0] ^= 1
		wantRefused(t, reader(t), a.message(t, b.final(1, pattern(5))), nil, esdk.ErrAuthentication)
	}
}

func TestTrailingBytes(t *testing.T) {
	for _, s := range samples(t) {
		for _, more := range [][]byte{{0}, {0xFF}, []byte("\n"), make([]byte, 1000), s.message} {
			oneShot, _ := refuse(t, reader(t), slices.Concat(s.message, more), s.plaintext, s.name)
			var malformed *esdk.FormatError
			if !errors.As(oneShot, &malformed) || malformed.Field != "end" || malformed.Offset != int64(len(s.message)) {
				t.Errorf("%s: %v", s.name, oneShot)
			}
		}
	}
}

// The footer is missing or has another length.
func TestFooters(t *testing.T) {
	for _, s := range samples(t) {
		if !s.suite.Signs() {
			continue
		}
		body := s.message[:len(s.message)-2-s.suite.SignatureLength]
		signature := s.message[len(body)+2:]
		footer := func(signature []byte) []byte {
			return append(binary.BigEndian.AppendUint16(nil, uint16(len(signature))), signature...)
		}
		for name, end := range map[string][]byte{
			"none":           nil,
			"empty":          footer(nil),
			"one byte":       footer([]byte{0x30}),
			"one byte more":  footer(append(bytes.Clone(signature), 0)),
			"one byte less":  footer(signature[:len(signature)-1]),
			"long":           footer(make([]byte, 65535)),
			"without a body": footer(signature[2:]),
		} {
			refuse(t, reader(t), append(bytes.Clone(body), end...), s.plaintext, s.name+": "+name)
		}
	}
}

// The signature must be made with the key in the header and no other.
func TestForgedSignature(t *testing.T) {
	for _, s := range suite.All {
		if !s.Signs() {
			continue
		}
		f := newForger(t, s, 10, nil)
		f.key = must[*ecdsa.PrivateKey](t)(s.GenerateSigningKey())
		wantRefused(t, reader(t), f.message(t, f.final(1, pattern(5))), nil, esdk.ErrAuthentication)
	}
}

func TestWrongKey(t *testing.T) {
	other := aesKeyring(t, "test", "key", pattern(32))
	named := aesKeyring(t, "test", "another key", make([]byte, 32))
	for _, s := range samples(t) {
		for _, kr := range []esdk.Keyring{other, named} {
			c := newClient(t, esdk.Config{Keyring: kr, CommitmentPolicy: esdk.RequireEncryptAllowDecrypt})
			wantRefused(t, c, s.message, nil, esdk.ErrNoDataKey)
		}
		wantRefused(t, reader(t), s.message, esdk.EncryptionContext{"k": "w"}, esdk.ErrEncryptionContext)
		if !s.suite.Commits {
			wantRefused(t, newClient(t, esdk.Config{}), s.message, nil, esdk.ErrCommitmentPolicy)
		}
	}
}

// allocated returns the total number of bytes that a function allocates,
// including memory freed meanwhile. That's more than it ever holds at once.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// A message of a few hundred bytes that claims to be long needs little memory.
func TestMemoryOfClaims(t *testing.T) {
	const enough = 32 << 20
	check := func(name string, message []byte, want error) {
		t.Helper()
		c := reader(t)
		n := allocated(func() {
			if _, _, err := c.Decrypt(t.Context(), message, nil); !errors.Is(err, want) {
				t.Errorf("%s: Decrypt: %v", name, err)
			}
			if _, err := decryptStream(t, c, bytes.NewReader(message), nil); !errors.Is(err, want) {
				t.Errorf("%s: Reader: %v", name, err)
			}
			first := newClient(t, esdk.Config{Release: esdk.VerifyFirst, CommitmentPolicy: esdk.RequireEncryptAllowDecrypt})
			if _, err := decryptStream(t, first, bytes.NewBuffer(message), nil); !errors.Is(err, want) {
				t.Errorf("%s: Reader: %v", name, err)
			}
			esdk.ParseHeader(bytes.NewReader(message))
			if _, err := c.NewReaderAt(t.Context(), bytes.NewReader(message), int64(len(message)), nil); err == nil {
				t.Errorf("%s: ReaderAt: no error", name)
			}
		})
		if n > enough {
			t.Errorf("%s: %d bytes of memory for a message of %d", name, n, len(message))
		}
	}
	claimed := io.ErrUnexpectedEOF
	if math.MaxInt == math.MaxInt32 {
		claimed = esdk.ErrLimit // memory can't hold the frame, whether or not it arrives
	}
	for _, s := range []*suite.Suite{suite.Lookup(0x0178), suite.Lookup(0x0478), suite.Lookup(0x0578)} {
		// The headers are authentic, so the body is read.
		huge := newForger(t, s, 1<<32-1, nil)
		check("frames of 4 GiB", append(huge.head(), huge.regular(1, pattern(100))...), claimed)
		single := newForger(t, s, 0, nil)
		claim := func(n uint64) []byte {
			body := binary.BigEndian.AppendUint64(make([]byte, 12), n)
			return slices.Concat(single.head(), body, make([]byte, 100))
		}
		check("body of 2^36-32 bytes", claim(1<<36-32), claimed)
		check("final frame of 4 GiB", append(huge.head(), huge.final(1, pattern(30))[:40]...), io.ErrUnexpectedEOF)
	}
	s := sampleOf(t, "0578/framed")
	at := bytes.Index(s.message, []byte("\x00\x01\x00\x04test"))
	if at < 0 {
		t.Fatal("no data keys in the header")
	}
	many := bytes.Clone(s.message)
	copy(many[at:], "\xff\xff")
	check("65,535 data keys", many, io.ErrUnexpectedEOF)
	long := slices.Concat(s.message[:at+2], []byte("\xff\xff"), make([]byte, 100))
	check("provider id of 65,535 bytes", long, io.ErrUnexpectedEOF)
}
