package esdk_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"esdk"
	"esdk/internal/format"
	"esdk/internal/suite"
)

var (
	mutations    = flag.Int("mutations", 20_000, "how many messages TestMutations makes")
	mutationSeed = flag.Uint64("mutationseed", 1, "what TestMutations starts from")
)

// A part is a field of a message, or a group of fields.
type part struct {
	name  string
	bytes []byte
	kind  partKind
}

type partKind int

const (
	plainPart  partKind = iota
	lengthPart          // a length or a count
	framePart           // all of a frame
)

// dissect splits a message into parts. Concatenated, they are the message.
func dissect(t *testing.T, message []byte) (parts []part) {
	t.Helper()
	rest := message
	take := func(name string, n int, kind partKind) []byte {
		b := rest[:n]
		parts, rest = append(parts, part{name, b, kind}), rest[n:]
		return b
	}
	number := func(name string, n int) int {
		var wide [8]byte
		copy(wide[8-n:], take(name, n, lengthPart))
		return int(binary.BigEndian.Uint64(wide[:]))
	}
	h := must[*format.Header](t)(format.ReadHeader(bytes.NewReader(message), format.Limits{}))
	start := 4
	if h.Suite.Commits {
		start = 3
	}
	take("version and suite", start, plainPart)
	take("message id", h.Suite.MessageIDLength(), plainPart)
	if number("context length", 2) > 0 {
		for range number("pair count", 2) {
			take("context key", number("key length", 2), plainPart)
			take("context value", number("value length", 2), plainPart)
		}
	}
	for range number("data key count", 2) {
		for _, name := range []string{"provider id", "provider info", "data key"} {
			take(name, number(name+" length", 2), plainPart)
		}
	}
	take("content type", 1, plainPart)
	if !h.Suite.Commits {
		take("reserved", 4, plainPart)
		number("IV length", 1)
	}
	number("frame length", 4)
	if h.Suite.Commits {
		take("commitment", suite.CommitmentLength, plainPart)
	} else {
		take("header IV", format.IVLength, plainPart)
	}
	take("header tag", format.TagLength, plainPart)
	if h.FrameLength == 0 {
		take("body IV", format.IVLength, plainPart)
		take("body", number("body length", 8), plainPart)
		take("body tag", format.TagLength, plainPart)
	} else {
		for binary.BigEndian.Uint32(rest) != format.EndFrame {
			take("frame", format.FrameOverhead+int(h.FrameLength), framePart)
		}
		length := binary.BigEndian.Uint32(rest[8+format.IVLength:])
		take("final frame", format.FinalOverhead+int(length), framePart)
	}
	if h.Suite.Signs() {
		take("signature", number("signature length", 2), plainPart)
	}
	if len(rest) != 0 {
		t.Fatalf("%d bytes are left", len(rest))
	}
	return parts
}

func assemble(parts []part) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p.bytes...)
	}
	return b
}

// A mutator changes messages. Its two messages were made under the same keys;
// if they are framed, even with the same data key.
type mutator struct {
	*rand.Rand
	own, other []part
}

func (m *mutator) pick(parts []part, kind partKind) int {
	var of []int
	for i, p := range parts {
		if kind == plainPart || p.kind == kind {
			of = append(of, i)
		}
	}
	if len(of) == 0 {
		return m.IntN(len(parts))
	}
	return of[m.IntN(len(of))]
}

// same returns the other message's part at the place of one of ours, or with
// its name.
func (m *mutator) same(i int) part {
	name := m.own[i].name
	if i < len(m.other) && m.other[i].name == name {
		return m.other[i]
	}
	if j := slices.IndexFunc(m.other, func(p part) bool { return p.name == name }); j >= 0 {
		return m.other[j]
	}
	return m.other[m.IntN(len(m.other))]
}

var lies = []uint64{0, 1, 2, 3, 12, 16, 255, 256, 1<<15 - 1, 1 << 15, 1<<16 - 1, 1<<31 - 1, 1 << 31, 1<<32 - 2, 1<<32 - 1, 1<<36 - 32, 1 << 63, 1<<64 - 1}

// mutate returns a changed copy of the message, and describes the change.
func (m *mutator) mutate() (message []byte, how string) {
	parts := slices.Clone(m.own)
	for range 1 + m.IntN(3) {
		how += m.step(&parts) + "; "
	}
	return assemble(parts), how
}

func (m *mutator) step(parts *[]part) string {
	all := *parts
	if len(all) == 0 {
		return "nothing left"
	}
	i := m.pick(all, plainPart)
	switch m.IntN(10) {
	case 0: // of the other message
		if i < len(m.own) {
			all[i] = m.same(i)
		}
		return "swap " + all[i].name
	case 1: // a run of the other message
		from := m.IntN(len(m.other))
		to := from + 1 + m.IntN(len(m.other)-from)
		*parts = slices.Replace(all, i, min(len(all), i+to-from), m.other[from:to]...)
		return fmt.Sprintf("splice parts %d to %d", from, to)
	case 2: // a wrong length or count
		i = m.pick(all, lengthPart)
		p := all[i]
		value := lies[m.IntN(len(lies))]
		if m.IntN(2) == 0 && len(p.bytes) <= 8 {
			value = binary.BigEndian.Uint64(append(make([]byte, 8-len(p.bytes)), p.bytes...)) + uint64(m.IntN(7)) - 3
		}
		all[i].bytes = binary.BigEndian.AppendUint64(nil, value)[8-min(8, len(p.bytes)):]
		return fmt.Sprintf("%s is %d", p.name, value)
	case 3: // frames in another order
		i, j := m.pick(all, framePart), m.pick(all, framePart)
		all[i], all[j] = all[j], all[i]
		return "exchange " + all[i].name + " and " + all[j].name
	case 4: // a frame twice, or an extra one of the other message
		from := all
		if m.IntN(2) == 0 {
			from = m.other
		}
		*parts = slices.Insert(all, m.pick(all, framePart), from[m.pick(from, framePart)])
		return "insert a frame"
	case 5:
		name := all[i].name
		*parts = slices.Delete(all, i, i+1)
		return "remove " + name
	case 6:
		*parts = all[:i]
		return "cut off at part " + fmt.Sprint(i)
	case 7: // another number in a frame
		i = m.pick(all, framePart)
		b := slices.Clone(all[i].bytes)
		if len(b) >= 4 {
			binary.BigEndian.PutUint32(b, uint32(lies[m.IntN(len(lies))]))
		}
		all[i].bytes = b
		return "number of " + all[i].name
	case 8:
		b := slices.Clone(all[i].bytes)
		for range 1 + m.IntN(4) {
			if len(b) > 0 {
				b[m.IntN(len(b))] ^= byte(1 + m.IntN(255))
			}
		}
		all[i].bytes = b
		return "flip in " + all[i].name
	default: // longer or shorter
		b := slices.Clone(all[i].bytes)
		if n := m.IntN(len(b) + 1); m.IntN(2) == 0 {
			b = b[:n]
		} else {
			b = append(b, b[:n]...)
		}
		all[i].bytes = b
		return "length of " + all[i].name
	}
}

// TestMutations checks that messages assembled from two others are rejected,
// unless the result is one of the two. It also checks that only their plaintext
// is released.
func TestMutations(t *testing.T) {
	kinds := mutationKinds(t)
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	each := (*mutations + len(kinds) - 1) / len(kinds)
	var wg sync.WaitGroup
	var mu sync.Mutex
	identical, total, peak := 0, 0, uint64(0)
	queue := make(chan *mutationKind)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for k := range queue {
				same, heap := k.run(t, each)
				mu.Lock()
				identical, total, peak = identical+same, total+each, max(peak, heap)
				mu.Unlock()
			}
		})
	}
	for _, k := range kinds {
		queue <- k
	}
	close(queue)
	wg.Wait()
	t.Logf("seed %d: %d mutations of %d kinds of messages; %d gave the message again, all others were refused; heap at most %d MiB",
		*mutationSeed, total, len(kinds), identical, peak>>20)
	if identical > total/5 {
		t.Error("too many mutations change nothing")
	}
	// A message has at most a few KiB, even if it claims more.
	if peak > before.HeapAlloc+256<<20 {
		t.Errorf("the heap had %d MiB", peak>>20)
	}
}

// A mutationKind is a kind of message, with two examples.
type mutationKind struct {
	name       string
	client     *esdk.Client
	messages   [2][]byte
	plaintexts [2][]byte
	parts      [2][]part
}

// mutationKinds returns all suites, framed and unframed.
func mutationKinds(t *testing.T) (kinds []*mutationKind) {
	for _, s := range suite.All {
		for _, frame := range []uint32{16, 0} {
			k := &mutationKind{name: fmt.Sprintf("%04x, frames of %d", s.ID, frame), client: reader(t)}
			for i, text := range []string{"a first plaintext, of a few frames of its own", "another, which is not so long, but for this"} {
				k.plaintexts[i] = []byte(text)
				k.messages[i] = mutationMessage(t, s, frame, k.plaintexts[i], esdk.EncryptionContext{"number": fmt.Sprint(i), "of": "two"})
				k.parts[i] = dissect(t, k.messages[i])
				if !bytes.Equal(assemble(k.parts[i]), k.messages[i]) {
					t.Fatalf("%s: the parts are not the message", k.name)
				}
				wantDecrypts(t, k.client, k.messages[i], nil, k.plaintexts[i])
			}
			kinds = append(kinds, k)
		}
	}
	return kinds
}

func mutationMessage(t *testing.T, s *suite.Suite, frame uint32, plaintext []byte, ec esdk.EncryptionContext) []byte {
	if frame == 0 {
		f := newForger(t, s, 0, ec)
		return f.message(t, f.nonFramed(plaintext))
	}
	c := newClient(t, esdk.Config{Keyring: sameDataKey(t), Suite: esdk.SuiteID(s.ID), CommitmentPolicy: policyFor(s), FrameLength: frame})
	return encrypt(t, c, plaintext, ec)
}

// sameDataKey wraps one data key for all messages, as a caching CMM may do.
func sameDataKey(t *testing.T) esdk.Keyring {
	return keyringFunc{OnWrap: func(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
		s := suite.Lookup(uint16(req.Suite))
		again := *req
		again.DataKey = bytes.Repeat([]byte{3}, s.KeyLength)
		r, err := testKeyring(t).Wrap(ctx, &again)
		if err == nil {
			r.DataKey = bytes.Clone(again.DataKey)
		}
		return r, err
	}}
}

// run makes mutations. It returns how many changed nothing, and the largest
// heap.
func (k *mutationKind) run(t *testing.T, n int) (identical int, heap uint64) {
	random := rand.New(rand.NewPCG(*mutationSeed, uint64(k.messages[0][2])<<8|uint64(len(k.parts[0]))))
	for i := range n {
		if i%100 == 0 {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			heap = max(heap, now.HeapAlloc)
		}
		m := &mutator{random, k.parts[i%2], k.parts[1-i%2]}
		message, how := m.mutate()
		if slices.ContainsFunc(k.messages[:], func(b []byte) bool { return bytes.Equal(b, message) }) {
			identical++
			continue
		}
		if got, h, err := k.client.Decrypt(t.Context(), message, nil); err == nil || got != nil || h != nil {
			t.Errorf("%s: accepted: %s\n%x", k.name, how, message)
		} else {
			checkClass(t, err)
		}
		released, err := decryptStream(t, k.client, bytes.NewReader(message), nil)
		if err == nil {
			t.Errorf("%s: accepted as a stream: %s\n%x", k.name, how, message)
		}
		if !k.isStart(released) {
			t.Errorf("%s: released %q: %s\n%x", k.name, released, how, message)
		}
	}
	return identical, heap
}

// isStart reports whether text is a proper prefix of one of the plaintexts.
func (k *mutationKind) isStart(text []byte) bool {
	return slices.ContainsFunc(k.plaintexts[:], func(p []byte) bool {
		return strings.HasPrefix(string(p), string(text)) && len(text) < len(p)
	})
}
