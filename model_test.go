package esdk_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"esdk"
	"esdk/internal/modeltest"
)

// The model tests run random programs over the public API and compare the
// results with the original bytes. The model of a message is its plaintext and
// nothing else. The tests check these invariants for every suite, frame length
// and number of workers:
//
//   - A message that Close or Encrypt completes without an error decrypts to
//     exactly the bytes that the program passed in, in their order.
//   - Frames are numbered 1, 2, 3 and so on. The IV of a frame is its number, so
//     no IV appears twice under one key, not even in a message that failed.
//   - No frame but the final one is shorter than the frame length. The final
//     frame is empty only if the plaintext is.
//   - A footer follows the frames exactly if the suite signs, and nothing
//     follows the footer.
//   - A call succeeds unless its source or sink failed, its context ended or the
//     plaintext exceeds its limit. Then the call fails, and so does every later
//     one; nothing that the program does next yields a message that decrypts.
//   - A Writer keeps nothing of the memory that it's given and changes none of it.
//     Sources and sinks are used only during a call, by one goroutine at a time,
//     and a sink that failed isn't used again.
//   - Decryption releases only whole authentic frames, from the first one on and
//     in order. The final frame is released only with the end of the message. A
//     damaged message ends with an error that is neither nil nor io.EOF, and the
//     error stays. VerifyFirst releases nothing of such a message.
//   - A ReaderAt returns the plaintext at the offset, or an error if a frame
//     that it needs is damaged.
//
// The parser of messages below is independent of package format.

// runModel checks a property with this many random programs.
func runModel(t *testing.T, programs int, property func(*rapid.T)) {
	t.Helper()
	modeltest.Run(t, programs, property)
	if !bytes.Equal(noise()[:checkedNoise], makeNoise(checkedNoise)) {
		t.Error("the library changed its input")
	}
}

const (
	// maxModel bounds the plaintext of one program in bytes.
	maxModel = 6 << 20

	checkedNoise = 1 << 20
)

// noise is random text, and all plaintexts are slices of it. It doesn't repeat,
// so a byte in the wrong place shows. It's made on first use: memory held from
// the start would change the garbage collection, and so the benchmarks.
var noise = sync.OnceValue(func() []byte { return makeNoise(2*maxModel + 1<<20) })

func makeNoise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{13}).Read(b)
	return b
}

// drawPlaintext returns n bytes from anywhere in the noise.
func drawPlaintext(t *rapid.T, n int) []byte {
	start := rapid.IntRange(0, maxModel).Draw(t, "plaintext at")
	return noise()[start : start+n : start+n]
}

// A modelSuite is a suite as the specification describes it.
type modelSuite struct {
	id     esdk.SuiteID
	policy esdk.CommitmentPolicy
	footer int // its length in bytes; 0 without a signature
}

const (
	footerP256 = 2 + 71
	footerP384 = 2 + 103
)

var modelSuites = []modelSuite{
	{esdk.AES256GCMHKDFSHA512Commit, esdk.RequireEncryptRequireDecrypt, 0},
	{esdk.AES256GCMHKDFSHA512CommitECDSAP384, esdk.RequireEncryptRequireDecrypt, footerP384},
	{esdk.AES128GCM, esdk.ForbidEncryptAllowDecrypt, 0},
	{esdk.AES192GCM, esdk.ForbidEncryptAllowDecrypt, 0},
	{esdk.AES256GCM, esdk.ForbidEncryptAllowDecrypt, 0},
	{esdk.AES128GCMHKDFSHA256, esdk.ForbidEncryptAllowDecrypt, 0},
	{esdk.AES192GCMHKDFSHA256, esdk.ForbidEncryptAllowDecrypt, 0},
	{esdk.AES256GCMHKDFSHA256, esdk.ForbidEncryptAllowDecrypt, 0},
	{esdk.AES128GCMHKDFSHA256ECDSAP256, esdk.ForbidEncryptAllowDecrypt, footerP256},
	{esdk.AES192GCMHKDFSHA384ECDSAP384, esdk.ForbidEncryptAllowDecrypt, footerP384},
	{esdk.AES256GCMHKDFSHA384ECDSAP384, esdk.ForbidEncryptAllowDecrypt, footerP384},
}

// modelFrames are frame lengths: typical ones first, then the edges. Powers of
// two divide the library's buffers, the others don't.
var modelFrames = []uint32{
	1000, 4096, 1460, 5000, 100, 65_536, 100_000, 16, 300_000, 1, 1 << 20,
	7, 512, 128 << 10, 256 << 10, 2, 256<<10 + 1, 512 << 10,
}

// A modelConfig is a client and the maximum length of its messages.
type modelConfig struct {
	suite   modelSuite
	frame   int
	workers int
	budget  int // most plaintext of a program, in bytes
}

func (c modelConfig) String() string {
	return fmt.Sprintf("{suite %04x, frames of %d, %d workers}", uint16(c.suite.id), c.frame, c.workers)
}

func drawConfig(t *rapid.T) modelConfig {
	c := modelConfig{
		suite:   rapid.SampledFrom(modelSuites).Draw(t, "suite"),
		frame:   int(rapid.SampledFrom(modelFrames).Draw(t, "frame length")),
		workers: rapid.SampledFrom([]int{1, 2, 3, 8}).Draw(t, "workers"),
	}
	if rapid.IntRange(0, 9).Draw(t, "any frame length") == 9 {
		c.frame = rapid.IntRange(1, 1<<20).Draw(t, "frame length")
	}
	c.budget = rapid.SampledFrom([]int{1 << 20, 1 << 20, 1 << 20, 2 << 20, 2 << 20, 3 << 20, maxModel}).Draw(t, "budget")
	// The number of frames determines the time, and short frames are many.
	frames := rapid.SampledFrom([]int{2_000, 5_000, 20_000, 300_000}).Draw(t, "frames")
	if frames == 300_000 && rapid.IntRange(0, 7).Draw(t, "really") > 0 {
		frames = 5_000
	}
	c.budget = int(min(int64(c.budget), int64(frames)*int64(c.frame)))
	return c
}

var modelKeyring = sync.OnceValues(func() (esdk.Keyring, error) {
	return esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "model", Name: "key", Key: make([]byte, 32)})
})

// client returns the client, with a test's additions to its configuration.
func (c modelConfig) client(t *rapid.T, more ...func(*esdk.Config)) *esdk.Client {
	kr, err := modelKeyring()
	if err != nil {
		t.Fatal(err)
	}
	config := esdk.Config{Keyring: kr, CommitmentPolicy: c.suite.policy, Suite: c.suite.id, FrameLength: uint32(c.frame), Concurrency: c.workers}
	for _, f := range more {
		f(&config)
	}
	client, err := esdk.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// drawSize returns a number of bytes up to a limit: a small one, whole frames
// or multiples of the library's batches with a few bytes more or less, or any
// other.
func (c modelConfig) drawSize(t *rapid.T, limit int, label string) int {
	n := 0
	switch rapid.SampledFrom([]string{"small", "frames", "batches", "batches", "any"}).Draw(t, label+" kind") {
	case "small":
		return min(limit, rapid.IntRange(0, 300).Draw(t, label))
	case "frames":
		n = rapid.IntRange(1, 40).Draw(t, label+" frames") * c.frame
	case "batches":
		batch := rapid.SampledFrom([]int{256 << 10, 512 << 10, 1 << 20, 64 << 10, 1<<20 + 256<<10, 2 << 20, 3 << 20}).Draw(t, label+" batch")
		n = max(1, batch/c.frame) * c.frame
		if rapid.Bool().Draw(t, label+" bytes") {
			n = batch
		}
	case "any":
		n = rapid.IntRange(0, 1<<rapid.IntRange(1, 21).Draw(t, label+" bits")).Draw(t, label)
	}
	n += rapid.SampledFrom([]int{0, 1, -1, c.frame, -c.frame, 200, c.frame - 1}).Draw(t, label+" more")
	return max(0, min(n, limit))
}

// A modelMessage is the parser's result for a message.
type modelMessage struct {
	header   int
	frames   []modelFrame // the final one comes last
	complete bool         // the message has its final frame
	end      int          // of the frames
}

type modelFrame struct{ start, end int }

const (
	modelTag     = 16
	modelRegular = 4 + 12            // before a regular frame's ciphertext
	modelFinal   = 4 + 4 + 12 + 4    // before the final frame's ciphertext
	modelEnd     = uint32(1<<32 - 1) // begins the final frame
)

// parse reads the frames of a message after a header of known length and
// checks their numbers, IVs and lengths. The message may be truncated; parse
// also checks the existing part of its last frame.
func (c modelConfig) parse(message []byte, header int) (*modelMessage, error) {
	m := &modelMessage{header: header, end: header}
	for number := uint32(1); !m.complete; number++ {
		rest := message[min(m.end, len(message)):]
		if len(rest) < modelFinal {
			return m, nil
		}
		numberAt, size := 0, modelRegular+c.frame+modelTag
		final := binary.BigEndian.Uint32(rest) == modelEnd
		if final {
			length := binary.BigEndian.Uint32(rest[modelFinal-4:])
			if int64(length) > int64(c.frame) || length == 0 && number > 1 {
				return nil, fmt.Errorf("final frame %d has %d bytes", number, length)
			}
			numberAt, size = 4, modelFinal+int(length)+modelTag
		}
		if got := binary.BigEndian.Uint32(rest[numberAt:]); got != number {
			return nil, fmt.Errorf("frame %d has number %d", number, got)
		}
		// An IV that is its frame's number can't appear twice.
		iv := rest[numberAt+4:][:12]
		if binary.BigEndian.Uint64(iv) != 0 || binary.BigEndian.Uint32(iv[8:]) != number {
			return nil, fmt.Errorf("frame %d has IV %x", number, iv)
		}
		if len(rest) < size {
			return m, nil
		}
		m.frames = append(m.frames, modelFrame{m.end, m.end + size})
		m.end += size
		m.complete = final
	}
	return m, nil
}

// checkMessage checks a complete message whose plaintext length is known.
func (c modelConfig) checkMessage(message []byte, h *esdk.Header, plaintext int) (*modelMessage, error) {
	if h.Suite != c.suite.id || int(h.FrameLength) != c.frame {
		return nil, fmt.Errorf("header says suite %v and frames of %d", h.Suite, h.FrameLength)
	}
	m, err := c.parse(message, h.Length)
	if err != nil {
		return nil, err
	}
	frames := max(1, (plaintext+c.frame-1)/c.frame)
	if !m.complete || len(m.frames) != frames {
		return nil, fmt.Errorf("%d frames, final one found: %v; need %d", len(m.frames), m.complete, frames)
	}
	if rest := len(message) - m.end; rest != c.suite.footer {
		return nil, fmt.Errorf("%d bytes behind the frames, a footer has %d", rest, c.suite.footer)
	}
	if c.suite.footer > 0 && int(binary.BigEndian.Uint16(message[m.end:])) != c.suite.footer-2 {
		return nil, fmt.Errorf("footer has length field %d", binary.BigEndian.Uint16(message[m.end:]))
	}
	return m, nil
}

// A modelContext is a context that a program ends, or that ends by itself after
// the library has checked it a given number of times.
type modelContext struct {
	context.Context
	left  atomic.Int64 // questions until it ends
	ended atomic.Bool
	seen  atomic.Bool // the library was told
}

func newModelContext(asks int) *modelContext {
	c := &modelContext{Context: context.Background()}
	c.left.Store(int64(asks))
	return c
}

func (c *modelContext) Err() error {
	if c.left.Add(-1) < 0 {
		c.ended.Store(true)
	}
	if !c.ended.Load() {
		return nil
	}
	c.seen.Store(true)
	return context.Canceled
}

// never is more often than any program checks its context.
const never = math.MaxInt

// An outcome is how a call ended.
type outcome struct {
	n     int64
	err   error
	how   ending
	value any    // of a panic
	stack []byte // of it
}

type ending int

const (
	exited ending = iota
	returned
	panicked
)

func (o outcome) String() string {
	switch o.how {
	case returned:
		return fmt.Sprintf("%d, %v", o.n, o.err)
	case panicked:
		return fmt.Sprintf("panic: %v", o.value)
	}
	return "the goroutine ended"
}

// failed reports whether the call failed in any way.
func (o outcome) failed() bool { return o.how != returned || o.err != nil }

// call runs a call that may panic or end its goroutine.
func call(f func() (int64, error)) (o outcome) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if o.how == returned {
				return
			}
			if v := recover(); v != nil {
				o.how, o.value, o.stack = panicked, v, debug.Stack()
			}
		}()
		o.n, o.err = f()
		o.how = returned
	}()
	<-done
	return o
}

// A fault is a way in which a source or sink misbehaves.
type fault string

const (
	noFault    fault = ""
	failFault  fault = "fails"
	shortFault fault = "writes less without an error" // sinks only
	idleFault  fault = "never returns any bytes"      // sources only
	panicFault fault = "panics"
	exitFault  fault = "ends its goroutine"
	moreFault  fault = "claims more than there is room for"
	lessFault  fault = "claims a negative count"
)

var (
	errModelSource = errors.New("model: source failed")
	errModelSink   = errors.New("model: sink failed")
	errModelPanic  = errors.New("model: panic")
)

// strike performs the fault, given the n bytes of p that were handled.
func (f fault) strike(n int, p []byte, failure error) (int, error) {
	switch f {
	case failFault:
		return n, failure
	case panicFault:
		panic(errModelPanic)
	case exitFault:
		runtime.Goexit()
	case moreFault:
		return len(p) + 1000, nil
	case lessFault:
		return -1, nil
	}
	return n, nil
}

// A guard checks that each source and sink is used only during calls, and by
// one goroutine at a time.
type guard struct {
	inCall  atomic.Bool
	mu      sync.Mutex
	problem string
}

func (g *guard) report(text string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.problem == "" {
		g.problem = text
	}
}

// call calls the function. Sources and sinks may be used until it returns.
func (g *guard) call(f func() (int64, error)) outcome {
	g.inCall.Store(true)
	defer g.inCall.Store(false)
	return call(f)
}

// use marks a source or sink as busy, and returns a function that ends that.
func (g *guard) use(busy *atomic.Bool, what string) func() {
	if !g.inCall.Load() {
		g.report(what + " is used when no call is in progress")
	}
	if busy.Swap(true) {
		g.report(what + " is used by two goroutines")
	}
	return func() { busy.Store(false) }
}

// maxIdle is how often a source that returns no bytes may be read.
const maxIdle = 1000

// A modelSource returns data in pieces of given lengths, which repeat.
type modelSource struct {
	*guard
	busy atomic.Bool

	data    []byte
	pieces  []int  // 0 is a read that returns no bytes
	withEnd bool   // the last data comes together with io.EOF
	fault   fault  // at the end of the data, if any
	then    func() // called once before the fault or the end

	calls     int
	idle      int // reads at the end
	delivered int
	fired     atomic.Bool
}

// Read implements io.Reader. It uses some of the rest of p as scratch space,
// which is allowed.
func (s *modelSource) Read(p []byte) (int, error) {
	defer s.use(&s.busy, "source")()
	if len(p) == 0 {
		return 0, nil
	}
	n := min(len(p), len(s.data)-s.delivered)
	if len(s.pieces) > 0 {
		n = min(n, s.pieces[s.calls%len(s.pieces)])
	}
	s.calls++
	copy(p, s.data[s.delivered:][:n])
	for i := n; i < len(p) && i < n+64; i++ {
		p[i] = 0xEE
	}
	if n < len(p) {
		p[len(p)-1] ^= 0x55
	}
	s.delivered += n
	if s.delivered < len(s.data) || n > 0 && !s.withEnd {
		return n, nil
	}
	if s.then != nil {
		s.then()
		s.then = nil
	}
	if s.fault == noFault {
		return n, io.EOF
	}
	s.fired.Store(true)
	if s.idle++; s.fault == idleFault && s.idle > maxIdle {
		s.report("source is read on and on, though it brings nothing")
		return n, errModelSource
	}
	if s.fault == panicFault || s.fault == exitFault {
		s.delivered -= n // a call that doesn't return delivers nothing
	}
	return s.fault.strike(n, p, errModelSource)
}

// A modelSink keeps the bytes written to it, until its fault.
type modelSink struct {
	*guard
	busy atomic.Bool

	got   []byte
	fault fault
	at    int    // bytes before the fault, or before then is called
	then  func() // called once
	fired atomic.Bool
}

// Write implements io.Writer.
func (s *modelSink) Write(p []byte) (int, error) {
	defer s.use(&s.busy, "sink")()
	if s.fired.Load() {
		s.report("sink is used again after it failed")
		return 0, errModelSink
	}
	room := s.at - len(s.got)
	if len(p) <= room || s.fault == noFault && s.then == nil {
		s.got = append(s.got, p...)
		return len(p), nil
	}
	if s.then != nil {
		s.then()
		s.then = nil
	}
	if s.fault == noFault {
		s.got = append(s.got, p...)
		return len(p), nil
	}
	s.fired.Store(true)
	s.got = append(s.got, p[:room]...)
	return s.fault.strike(room, p, errModelSink)
}
