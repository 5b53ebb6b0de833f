package format

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"esdk/internal/suite"
)

// newHeader builds a header with an invalid tag.
func newHeader(t testing.TB, s *suite.Suite, ec map[string]string, keys ...DataKey) *Header {
	t.Helper()
	if len(keys) == 0 {
		keys = []DataKey{{"provider", []byte("info\xff"), []byte("ciphertext")}, {"", nil, nil}}
	}
	h := &Header{
		Suite: s, MessageID: bytes.Repeat([]byte{7}, s.MessageIDLength()), Context: ec, DataKeys: keys, FrameLength: 4096,
		IV: make([]byte, IVLength), Tag: bytes.Repeat([]byte{9}, TagLength),
	}
	if s.Commits {
		h.Commitment = bytes.Repeat([]byte{8}, suite.CommitmentLength)
	}
	if err := h.Build(); err != nil {
		t.Fatal(err)
	}
	return h
}

// parse reads a header from a source and from memory, and checks that both give
// the same result. The header shares no memory with the message, and no field
// has spare capacity, so that appending to one doesn't change the next.
func parse(t testing.TB, b []byte, limits Limits) (*Header, error) {
	t.Helper()
	got, err := ReadHeader(bytes.NewReader(b), limits)
	message, inMemory := append(make([]byte, 0, len(b)+100), b...), new(Header)
	memoryErr := inMemory.Parse(message, limits)
	clear(message)
	if fmt.Sprint(err) != fmt.Sprint(memoryErr) || err == nil && !reflect.DeepEqual(got, inMemory) {
		t.Errorf("%x: from a source %+v, %v; in memory %+v, %v", b, got, err, inMemory, memoryErr)
	}
	for name, h := range map[string]*Header{"from a source": got, "in memory": inMemory} {
		if err != nil {
			break
		}
		fields := [][]byte{h.Raw, h.MessageID, h.Commitment, h.Tag}
		if !h.Suite.Commits {
			fields = append(fields, h.IV)
		}
		for _, k := range h.DataKeys {
			fields = append(fields, k.ProviderInfo, k.Ciphertext)
		}
		for i, field := range fields {
			if len(field) != cap(field) {
				t.Errorf("%s, field %d: %d bytes, capacity for %d", name, i, len(field), cap(field))
			}
		}
	}
	return got, err
}

func TestHeaderRoundTrip(t *testing.T) {
	for _, s := range suite.All {
		for _, ec := range []map[string]string{nil, {"k": "v"}, {"b": "", "": "a", "\U0001F600": "\x00"}} {
			h := newHeader(t, s, ec)
			b := h.Append(nil)
			if len(b) != h.Size() {
				t.Errorf("%04x: %d bytes, Size is %d", s.ID, len(b), h.Size())
			}
			if got, err := parse(t, append(bytes.Clone(b), "body"...), Limits{}); err != nil || got.Size() != len(b) {
				t.Errorf("%04x: %+v, %v", s.ID, got, err)
			}
			for how, r := range map[string]io.Reader{
				"at once": bytes.NewReader(b), "byte by byte": iotest.OneByteReader(bytes.NewReader(b)), "with EOF": iotest.DataErrReader(bytes.NewReader(b)),
			} {
				got, err := ReadHeader(r, Limits{})
				if err != nil {
					t.Fatalf("%04x: %s: %v", s.ID, how, err)
				}
				if got.Suite != s || !maps.Equal(got.Context, ec) || !maps.Equal(maps.Collect(got.Pairs), maps.Collect(maps.All(ec))) || got.FrameLength != 4096 || len(got.DataKeys) != 2 ||
					!bytes.Equal(got.MessageID, h.MessageID) || !bytes.Equal(got.Commitment, h.Commitment) || !bytes.Equal(got.Tag, h.Tag) {
					t.Errorf("%04x: %s: %+v, want %+v", s.ID, how, got, h)
				}
				if again := got.Append(nil); !bytes.Equal(again, b) {
					t.Errorf("%04x: %s: %x became %x", s.ID, how, b, again)
				}
				if err := got.Build(); err != nil || !bytes.Equal(got.Raw, h.Raw) {
					t.Errorf("%04x: %s: built again: %x, %v", s.ID, how, got.Raw, err)
				}
			}
		}
	}
}

// ReadHeader reads nothing after the header, since that's the body.
func TestReadHeaderReadsNoMore(t *testing.T) {
	b := newHeader(t, suite.All[0], nil).Append(nil)
	r := strings.NewReader(string(b) + "body")
	if _, err := ReadHeader(r, Limits{}); err != nil || r.Len() != 4 {
		t.Errorf("%d bytes are left, %v", r.Len(), err)
	}
}

// Each field has its offset, even if the message ends within the field.
func TestTruncatedHeader(t *testing.T) {
	for _, s := range suite.All {
		b := newHeader(t, s, map[string]string{"k": "v"}).Append(nil)
		last := int64(0)
		for n := range b {
			_, err := parse(t, b[:n], Limits{})
			var malformed *Error
			if !errors.As(err, &malformed) || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%04x: %d bytes: %v", s.ID, n, err)
			}
			if malformed.Offset > int64(n) || malformed.Offset < last {
				t.Errorf("%04x: %d bytes: offset %d after %d", s.ID, n, malformed.Offset, last)
			}
			last = malformed.Offset
			errSource := errors.New("source is ill")
			_, err = ReadHeader(io.MultiReader(bytes.NewReader(b[:n]), iotest.ErrReader(errSource)), Limits{})
			if !errors.Is(err, errSource) || errors.As(err, new(*Error)) {
				t.Errorf("%04x: %d bytes, then an error: %v", s.ID, n, err)
			}
		}
	}
}

func TestLimits(t *testing.T) {
	h := newHeader(t, suite.Lookup(0x0478), nil)
	b := h.Append(nil)
	for _, c := range []struct {
		limits  Limits
		allowed bool
	}{
		{Limits{}, true},
		{Limits{DataKeys: 2, Size: len(b)}, true},
		{Limits{DataKeys: 1}, false},
		{Limits{Size: len(b) - 1}, false},
		{Limits{Size: 1}, false},
	} {
		_, err := parse(t, b, c.limits)
		if c.allowed != (err == nil) || !c.allowed && !errors.Is(err, ErrLimit) {
			t.Errorf("%+v: %v", c.limits, err)
		}
	}
	// The count is enough to reject them: none is read.
	at := len(b) - TagLength - suite.CommitmentLength - 5 - 6 - len("provider") - len("info\xff") - len("ciphertext") - 6 - 2
	if got := binary.BigEndian.Uint16(b[at:]); got != 2 {
		t.Fatalf("count of data keys is %d", got)
	}
	if _, err := parse(t, b[:at+2], Limits{DataKeys: 1}); !errors.Is(err, ErrLimit) {
		t.Errorf("with nothing behind the count: %v", err)
	}
}

// A length in the header doesn't cause an allocation of that size.
func TestHeaderMemory(t *testing.T) {
	b := newHeader(t, suite.Lookup(0x0478), nil).Append(nil)
	at := bytes.Index(b, []byte("\x00\x08provider"))
	many := slices.Clone(b[:at+4])
	copy(many[at-2:], "\xff\xff\xff\xff")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := ReadHeader(bytes.NewReader(many), Limits{}); err == nil {
		t.Error("accepted")
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes of memory for a header of %d", n, len(many))
	}
}

// Returned fields stay valid when the buffer grows.
func TestLargeHeader(t *testing.T) {
	var keys []DataKey
	for i := range 300 {
		keys = append(keys, DataKey{fmt.Sprint(i), bytes.Repeat([]byte{byte(i)}, 5000), bytes.Repeat([]byte{byte(i + 1)}, 300)})
	}
	h := newHeader(t, suite.Lookup(0x0178), map[string]string{"k": strings.Repeat("v", 60000)}, keys...)
	got, err := ReadHeader(iotest.HalfReader(bytes.NewReader(h.Append(nil))), Limits{})
	if err != nil || !maps.Equal(got.Context, h.Context) || !bytes.Equal(got.Raw, h.Raw) {
		t.Fatalf("%v", err)
	}
	for i, k := range got.DataKeys {
		if k.ProviderID != keys[i].ProviderID || !bytes.Equal(k.ProviderInfo, keys[i].ProviderInfo) || !bytes.Equal(k.Ciphertext, keys[i].Ciphertext) {
			t.Fatalf("data key %d differs", i)
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	long := make([]byte, 65536)
	for name, c := range map[string]struct {
		change func(h *Header)
		limit  bool
	}{
		"no data keys":       {func(h *Header) { h.DataKeys = nil }, false},
		"too many data keys": {func(h *Header) { h.DataKeys = make([]DataKey, 65536) }, true},
		"long provider id":   {func(h *Header) { h.DataKeys[0].ProviderID = string(long) }, true},
		"long provider info": {func(h *Header) { h.DataKeys[0].ProviderInfo = long }, true},
		"long ciphertext":    {func(h *Header) { h.DataKeys[0].Ciphertext = long }, true},
		"provider not UTF-8": {func(h *Header) { h.DataKeys[0].ProviderID = "\xff" }, false},
		"context not UTF-8":  {func(h *Header) { h.Context = map[string]string{"k": "\xff"} }, false},
		"long context":       {func(h *Header) { h.Context = map[string]string{"k": string(long)} }, true},
	} {
		h := newHeader(t, suite.All[0], nil)
		c.change(h)
		if err := h.Build(); err == nil || errors.Is(err, ErrLimit) != c.limit {
			t.Errorf("%s: %v, want a limit: %t", name, err, c.limit)
		}
	}
	h := newHeader(t, suite.All[0], nil, make([]DataKey, 65535)...)
	if _, err := ReadHeader(bytes.NewReader(h.Append(nil)), Limits{}); err != nil {
		t.Errorf("65,535 data keys: %v", err)
	}
}

// Data keys that share their bytes can make a header longer than the memory of
// a 32-bit machine.
func TestBuildRefusesMoreThanMemory(t *testing.T) {
	if math.MaxInt > math.MaxInt32 {
		t.Skip("this machine has memory for every header")
	}
	long := make([]byte, math.MaxUint16)
	key := DataKey{string(long), long, long}
	for _, n := range []int{11_000, 22_000, 65_535} { // 2.2, 4.3 and 12.9 GB
		h := &Header{Suite: suite.All[0], MessageID: make([]byte, 16), DataKeys: slices.Repeat([]DataKey{key}, n), FrameLength: 1}
		if err := h.Build(); !errors.Is(err, ErrLimit) {
			t.Errorf("%d data keys: built %d bytes, %v", n, len(h.Raw), err)
		}
	}
}

func TestContextRoundTrip(t *testing.T) {
	for _, ec := range []map[string]string{
		nil, {"": ""}, {"k": "v"}, {"a": "1", "B": "2", "": "3", "ä": "4", "\uffff": "5", "\U0001F600": "6"},
		{"k": strings.Repeat("v", 65535-7)},
	} {
		b, err := AppendContext(nil, ec)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseContext(string(b))
		if err != nil || !maps.Equal(got, ec) {
			t.Errorf("%v became %x and %v, %v", ec, b, got, err)
		}
		if size, err := ContextSize(ec); err != nil || size != len(b) {
			t.Errorf("%v: size %d, %v, want %d", ec, size, err, len(b))
		}
	}
	if _, err := AppendContext(nil, map[string]string{"k": strings.Repeat("v", 65535-6)}); err == nil {
		t.Error("65,536 bytes are accepted")
	}
	many := make(map[string]string)
	for i := range 20000 {
		many[fmt.Sprint(i)] = ""
	}
	if _, err := AppendContext(nil, many); err == nil {
		t.Error("20,000 pairs are accepted")
	}
}

func TestParseContext(t *testing.T) {
	for _, c := range []struct {
		name  string
		bytes string
		want  map[string]string // nil: rejected
	}{
		{"empty", "", map[string]string{}},
		{"empty, with a count", "\x00\x00", map[string]string{}},
		{"unsorted", "\x00\x02\x00\x01b\x00\x00\x00\x01a\x00\x00", map[string]string{"a": "", "b": ""}},
		{"duplicate key", "\x00\x02\x00\x01a\x00\x01x\x00\x01a\x00\x01y", nil},
		{"duplicate pair", "\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00", nil},
		{"one byte", "\x00", nil},
		{"count without pairs", "\x00\x01", nil},
		{"pair without a count", "\x00\x00\x00\x01a\x00\x01b", nil},
		{"key without a value", "\x00\x01\x00\x01a", nil},
		{"half a length", "\x00\x01\x00\x01a\x00", nil},
		{"value too long", "\x00\x01\x00\x01a\x00\x02b", nil},
		{"bytes behind", "\x00\x01\x00\x01a\x00\x01bc", nil},
		{"count too high", "\xff\xff\x00\x01a\x00\x01b", nil},
		{"not UTF-8", "\x00\x01\x00\x01\xff\x00\x00", nil},
		{"value not UTF-8", "\x00\x01\x00\x00\x00\x01\xff", nil},
	} {
		got, err := parseContext(c.bytes)
		if (err == nil) != (c.want != nil) || err == nil && !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, %v; want %v", c.name, got, err, c.want)
		}
	}
}

func TestBodyAAD(t *testing.T) {
	b := NewBodyAAD([]byte("id"), Final)
	if got := string(b.Frame(0x01020304, 0x05060708)); got != "idAWSKMSEncryptionClient Final Frame\x01\x02\x03\x04\x00\x00\x00\x00\x05\x06\x07\x08" {
		t.Errorf("got %q", got)
	}
	if got := string(b.Frame(1, 0)); got != "idAWSKMSEncryptionClient Final Frame\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00" {
		t.Errorf("got %q", got)
	}
}

func TestFrames(t *testing.T) {
	if got := string(AppendRegular(nil, 0x01020304)); got != "\x01\x02\x03\x04"+"\x00\x00\x00\x00\x00\x00\x00\x00\x01\x02\x03\x04" {
		t.Errorf("regular: %q", got)
	}
	if got := string(AppendFinal(nil, 7, 0x0a0b)); got != "\xff\xff\xff\xff\x00\x00\x00\x07"+"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07"+"\x00\x00\x0a\x0b" {
		t.Errorf("final: %q", got)
	}
	if got := string(AppendFooter(nil, []byte("sig"))); got != "\x00\x03sig" {
		t.Errorf("footer: %q", got)
	}
}

func TestBodySize(t *testing.T) {
	for _, c := range []struct {
		plaintext int64
		frame     uint32
		size      int64 // -1: too many frames
	}{
		{0, 10, FinalOverhead},
		{1, 10, FinalOverhead + 1},
		{10, 10, FinalOverhead + 10},
		{11, 10, FrameOverhead + FinalOverhead + 11},
		{20, 10, FrameOverhead + FinalOverhead + 20},
		{21, 10, 2*FrameOverhead + FinalOverhead + 21},
		{1<<32 - 1, 1, (1<<32-2)*FrameOverhead + FinalOverhead + 1<<32 - 1},
		{1 << 32, 1, -1},
		{math.MaxInt64, 1 << 30, -1},
		{1 << 33, 1<<32 - 1, 2*FrameOverhead + FinalOverhead + 1<<33},
	} {
		size, ok := BodySize(c.plaintext, c.frame)
		if ok != (c.size >= 0) || ok && size != c.size {
			t.Errorf("BodySize(%d, %d) = %d, %t; want %d", c.plaintext, c.frame, size, ok, c.size)
		}
	}
}

// FuzzContext checks that each parsed context serializes to the original bytes,
// unless its pairs weren't sorted, and that each serialized context parses to
// the original.
// AppendStored appends what AppendContext does, whatever is stored: the same
// pairs in any order, others, or bytes that are no context.
func TestAppendStored(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	texts := []string{"", "a", "b", "ab", "\uffff", "\U00010000", "a\x00\x00"}
	text := func() string { return texts[random.IntN(len(texts))] }
	context := func() map[string]string {
		ec := make(map[string]string)
		for range random.IntN(4) {
			ec[text()] = text()
		}
		return ec
	}
	same := 0
	for range 20_000 {
		ec, other := context(), context()
		if random.IntN(4) > 0 { // mostly the same pairs, or almost
			other = maps.Clone(ec)
			switch random.IntN(4) {
			case 0:
				delete(other, text())
			case 1:
				other[text()] = text()
			}
		}
		stored := binary.BigEndian.AppendUint16(nil, uint16(len(other)))
		for k, v := range other { // in any order
			stored = appendField(appendField(stored, k), v)
		}
		switch random.IntN(8) {
		case 0:
			stored = stored[:random.IntN(len(stored)+1)]
		case 1:
			stored = append(stored, text()...)
		}
		want, err := AppendContext([]byte("x"), ec)
		got, gotErr := AppendStored([]byte("x"), string(stored), ec)
		if err != nil || gotErr != nil || !bytes.Equal(got, want) {
			t.Fatalf("%q with %x stored: %x, %v, want %x, %v", ec, stored, got, gotErr, want, err)
		}
		if len(ec) > 0 && bytes.Equal(got[1:], stored) {
			same++
			if !serializes(string(stored), ec) {
				t.Fatalf("%q: the stored bytes %x aren't recognized", ec, stored)
			}
		}
	}
	if same < 1000 {
		t.Errorf("the stored bytes were right only %d times", same)
	}
	twice := "\x00\x02\x00\x01a\x00\x00\x00\x01a\x00\x00"
	if serializes(twice, map[string]string{"a": "", "b": ""}) {
		t.Error("a key that is stored twice counts as two keys")
	}
}

// A header that was read has its pairs in the message's order, and their bytes.
func TestStoredPairs(t *testing.T) {
	s := suite.All[0]
	h := newHeader(t, s, map[string]string{"a": "1", "b": "2"})
	got, err := parse(t, h.Append(nil), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if want, err := AppendContext(nil, h.Context); err != nil || got.Stored() != string(want) {
		t.Errorf("stored: %x, %v", got.Stored(), err)
	}
	for key := range got.Pairs {
		if key != "a" {
			t.Errorf("the first pair has the key %q", key)
		}
		break
	}
}

func FuzzContext(f *testing.F) {
	for _, seed := range []string{
		"", "\x00\x00", "\x00\x01\x00\x01a\x00\x01b", "\x00\x02\x00\x01b\x00\x00\x00\x01a\x00\x00",
		"\x00\x02\x00\x03\uffff\x00\x00\x00\x04\U00010000\x00\x00", "\x00\x01\x00\x00\x00\x00", "\xff\xff",
	} {
		f.Add([]byte(seed), "key", "value")
	}
	f.Add([]byte(nil), "", "\xff")
	f.Fuzz(func(t *testing.T, b []byte, key, value string) {
		if ec, err := parseContext(string(b)); err == nil {
			again, err := AppendContext(nil, ec)
			if err != nil && len(b) <= math.MaxUint16 {
				t.Fatalf("%x parses, but does not serialize: %v", b, err)
			}
			if inOrder(b) && len(ec) > 0 && !bytes.Equal(again, b) {
				t.Fatalf("%x became %x", b, again)
			}
			if got, err := parseContext(string(again)); err == nil && !maps.Equal(got, ec) {
				t.Fatalf("%v became %v", ec, got)
			}
		}
		ec := map[string]string{key: value, value: key}
		if serialized, err := AppendContext([]byte("x"), ec); err == nil {
			got, err := parseContext(string(serialized[1:]))
			if err != nil || !maps.Equal(got, ec) {
				t.Fatalf("%v became %v, %v", ec, got, err)
			}
		}
	})
}

// inOrder reports whether the keys of a valid context are sorted.
func inOrder(b []byte) bool {
	last := ""
	for i, text := 0, string(b[min(2, len(b)):]); len(text) > 0; i++ {
		key, rest, _ := cutField(text)
		if i > 0 && key <= last {
			return false
		}
		last = key
		_, text, _ = cutField(rest)
	}
	return true
}
