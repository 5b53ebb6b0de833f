package esdk_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"esdk"
)

// TestModelWriter runs random programs on a Writer, with sources and sinks that
// fail and contexts that end.
func TestModelWriter(t *testing.T) {
	runModel(t, 400, func(t *rapid.T) {
		drawWriterProgram(t, []fault{noFault, noFault, noFault, noFault, failFault}, []fault{idleFault}, []fault{shortFault}).run(t)
	})
}

// TestModelWriterBroken does the same with sources and sinks that panic, end
// their goroutine or break their contract. No Close, deferred or repeated,
// completes a message from the bytes written before.
func TestModelWriterBroken(t *testing.T) {
	runModel(t, 150, func(t *rapid.T) {
		drawWriterProgram(t, []fault{panicFault, exitFault}, []fault{moreFault, lessFault, noFault}, nil).run(t)
	})
}

// A writerProgram is a sequence of calls on a Writer.
type writerProgram struct {
	config modelConfig
	ops    []writerOp
	limit  int64 // MaxPlaintextLength
	asks   int   // the context ends after this many checks
	closes int   // at the end

	sinkFault fault
	sinkAt    int  // bytes before it
	sinkEnds  bool // the sink ends the context instead
}

// A writerOp is one call on a Writer, or several that belong together.
type writerOp struct {
	do     string
	n      int    // bytes of plaintext
	pieces []int  // that they come in
	source string // its kind, if there is one
	end    bool   // the last piece comes with io.EOF; the latter half of a bufio.Writer's from a source
	fault  fault  // of the source
	cancel bool   // the source ends the context at its end
	buffer int    // of a bufio.Writer
}

func (o writerOp) String() string {
	text := fmt.Sprintf("%s of %d", o.do, o.n)
	if o.source != "" {
		text += " from " + o.source
	}
	if len(o.pieces) > 0 {
		text += fmt.Sprintf(" in pieces of %v", o.pieces)
	}
	if o.fault != noFault {
		text += fmt.Sprintf(", which %s", o.fault)
	}
	if o.cancel {
		text += ", which ends the context"
	}
	if o.end {
		text += ", end with data"
	}
	if o.buffer > 0 {
		text += fmt.Sprintf(", buffer of %d", o.buffer)
	}
	return text
}

func (p *writerProgram) String() string {
	return fmt.Sprintf("%v, limit %d, context asked %d times, sink %q after %d (ends context: %v): %v",
		p.config, p.limit, p.asks, p.sinkFault, p.sinkAt, p.sinkEnds, p.ops)
}

// plainSources are only an io.Reader to the Writer, so it sees their faults.
// readySources have everything in memory or pass it on in their own way.
var (
	plainSources = []string{"a reader", "io.LimitReader", "io.TeeReader", "bufio.Reader", "io.MultiReader"}
	readySources = []string{"bytes.Reader", "bytes.Buffer", "strings.Reader", "io.Pipe", "io.SectionReader", "a rest of bytes.Reader", "iotest.DataErrReader", "an esdk.Reader"}
)

// drawWriterProgram draws a program. The faults in both are for sources and
// sinks; the other lists are for sources or sinks alone.
func drawWriterProgram(t *rapid.T, both, sources, sinks []fault) *writerProgram {
	p := &writerProgram{config: drawConfig(t), asks: never, sinkFault: noFault}
	left := p.config.budget
	for range rapid.IntRange(1, 8).Draw(t, "operations") {
		op := drawWriterOp(t, p.config, left, slices.Concat(both, sources))
		left -= op.n
		p.ops = append(p.ops, op)
	}
	total := p.config.budget - left
	p.closes = rapid.IntRange(1, 3).Draw(t, "closes")
	if rapid.IntRange(0, 4).Draw(t, "limited") == 4 {
		p.limit = int64(max(1, total+rapid.SampledFrom([]int{0, -1, 1, -p.config.frame, p.config.frame, -total / 2}).Draw(t, "limit")))
	}
	switch rapid.IntRange(0, 9).Draw(t, "trouble") {
	case 9:
		p.asks = rapid.IntRange(1, 40).Draw(t, "asks")
	case 8:
		p.sinkEnds = true
		p.sinkAt = rapid.IntRange(0, max(1, total)).Draw(t, "sink ends context after")
	case 7, 6:
		p.sinkFault = rapid.SampledFrom(slices.Concat(both, sinks)).Draw(t, "sink")
		p.sinkAt = rapid.SampledFrom([]int{0, 100, total / 4, total / 2, total, total + total/20, 1000}).Draw(t, "sink at")
		p.sinkAt += rapid.IntRange(0, 1000).Draw(t, "sink at more")
	}
	return p
}

func drawWriterOp(t *rapid.T, c modelConfig, left int, faults []fault) writerOp {
	op := writerOp{
		do: rapid.SampledFrom([]string{
			"Write", "Write", "Write", "Writes", "Writes", "ReadFrom", "ReadFrom", "io.Copy", "io.Copy",
			"io.WriteString", "bufio.Writer", "io.Copy hidden", "nothing", "Close", "cancel",
		}).Draw(t, "do"),
	}
	// Operations that end a program are rarer.
	if (op.do == "Close" || op.do == "cancel") && rapid.IntRange(0, 3).Draw(t, "really") < 3 {
		op.do = "Write"
	}
	switch op.do {
	case "nothing", "Close", "cancel":
		return op
	}
	op.n = c.drawSize(t, left, "size")
	switch op.do {
	case "Writes":
		op.pieces = drawPieces(t, c, op.n, false)
	case "bufio.Writer":
		op.pieces = drawPieces(t, c, op.n, false)
		op.end = rapid.Bool().Draw(t, "half from a source")
		op.buffer = rapid.SampledFrom([]int{16, 4096, 1000, 64 << 10, 1 << 20}).Draw(t, "buffer")
	case "ReadFrom", "io.Copy", "io.Copy hidden":
		op.source = rapid.SampledFrom(slices.Concat(plainSources, plainSources, readySources)).Draw(t, "source")
		op.pieces = drawPieces(t, c, op.n, true)
		op.end = rapid.Bool().Draw(t, "end with data")
		if slices.Contains(plainSources, op.source) {
			if rapid.IntRange(0, 5).Draw(t, "faulty") == 5 {
				op.fault = rapid.SampledFrom(faults).Draw(t, "fault")
			}
			// io.Copy doesn't handle these faults of a source.
			if op.hidden() && slices.Contains([]fault{idleFault, moreFault, lessFault}, op.fault) {
				op.fault = failFault
			}
			// In front of a wrapper, the claim may fit into the Writer's
			// memory.
			if op.fault == moreFault {
				op.source = "a reader"
			}
			op.cancel = op.fault == noFault && rapid.IntRange(0, 19).Draw(t, "cancels") == 19
		}
	}
	return op
}

// drawPieces draws the lengths of the pieces that n bytes come in, which
// repeat. There are few enough pieces to be fast. Some may be empty.
func drawPieces(t *rapid.T, c modelConfig, n int, empty bool) []int {
	least := max(1, n/2000)
	sizes := []int{n + 1, 700, 1460, 32 << 10, c.frame, c.frame + 1, max(1, c.frame-1), 4096, 1, 65_537, 300_000}
	pieces := rapid.SliceOfN(rapid.SampledFrom(sizes), 1, 4).Draw(t, "pieces")
	for i, piece := range pieces {
		pieces[i] = max(least, piece)
		if empty && i > 0 && rapid.IntRange(0, 5).Draw(t, "empty") == 5 {
			pieces[i] = 0
		}
	}
	return pieces
}

// A writerRun is the state of a running program.
type writerRun struct {
	*rapid.T
	*writerProgram
	guard
	ctx  *modelContext
	sink *modelSink
	w    *esdk.Writer

	text    []byte // plaintext of the whole program
	at      int    // plaintext so far: passed in, or offered to a call that failed
	broken  bool   // some call failed
	cause   error  // of the first that returned an error
	closed  bool
	closing error  // Close's first result
	scratch []byte // reused memory
}

func (p *writerProgram) run(t *rapid.T) {
	total := 0
	for _, op := range p.ops {
		total += op.n
	}
	r := &writerRun{T: t, writerProgram: p, ctx: newModelContext(p.asks), text: drawPlaintext(t, total)}
	r.sink = &modelSink{guard: &r.guard, fault: p.sinkFault, at: p.sinkAt}
	if p.sinkEnds {
		r.sink.then = func() { r.ctx.ended.Store(true) }
	}
	client := p.config.client(t, func(c *esdk.Config) { c.MaxPlaintextLength = p.limit })
	w, err := client.NewWriter(r.ctx, r.sink, nil)
	if err != nil {
		if !r.ctx.seen.Load() {
			t.Fatalf("%v: NewWriter: %v", p, err)
		}
		return
	}
	r.w = w
	for i, op := range p.ops {
		r.do(fmt.Sprintf("operation %d, %v", i+1, op), op)
	}
	for range p.closes {
		r.close("Close at the end")
	}
	if r.problem != "" {
		t.Fatalf("%v: %s", p, r.problem)
	}
	r.checkResult(client)
}

func (r *writerRun) fail(where, format string, args ...any) {
	r.Helper()
	r.Fatalf("%v\n%s: %s", r.writerProgram, where, fmt.Sprintf(format, args...))
}

// do runs one operation and compares its outcome with the model's.
func (r *writerRun) do(where string, op writerOp) {
	switch op.do {
	case "Close":
		r.close(where)
		return
	case "cancel":
		r.ctx.ended.Store(true)
		return
	}
	data := r.text[r.at : r.at+op.n]
	before := len(r.sink.got)
	var src *modelSource
	overLimit := r.limit > 0 && int64(r.at+op.n) > r.limit
	o := r.guard.call(func() (int64, error) { return r.perform(op, data, &src) })
	sourceFired := src != nil && src.fired.Load()
	if sourceFired && op.hidden() {
		// The rest never reached the Writer.
		overLimit = r.limit > 0 && int64(r.at+src.delivered) > r.limit
	}
	if o.how == panicked && !r.expectedPanic(o, sourceFired) {
		r.fail(where, "%v\n%s", o, o.stack)
	}
	if r.closed || r.broken {
		// A source in front of a hidden Writer fails without the Writer.
		if !o.failed() && op.n > 0 && !(sourceFired && op.hidden()) {
			r.fail(where, "%v after the end or an error", o)
		}
		if r.closed && len(r.sink.got) != before {
			r.fail(where, "wrote to the sink after Close")
		}
		return
	}
	if sourceFired && op.hidden() && !r.sink.fired.Load() && !overLimit && !r.ctx.seen.Load() {
		// The Writer doesn't know of the error: it has everything the source
		// returned.
		r.at += src.delivered
		return
	}
	fails := sourceFired || r.sink.fired.Load() || r.ctx.seen.Load() || overLimit
	switch {
	case fails && !o.failed():
		r.fail(where, "%v, but source failed: %v, sink failed: %v, context ended: %v, over the limit: %v",
			o, sourceFired, r.sink.fired.Load(), r.ctx.seen.Load(), overLimit)
	case !fails && o.failed():
		r.fail(where, "%v\n%s", o, o.stack)
	case !fails && op.do != "bufio.Writer" && op.do != "Writes" && o.n != int64(op.n):
		r.fail(where, "%d bytes taken of %d", o.n, op.n)
	}
	if o.err != nil {
		r.checkError(where, o.err, src, overLimit)
	}
	if fails {
		r.broken, r.cause = true, o.err
		if o.n < 0 || o.n > int64(op.n) && src != nil && src.fault != moreFault {
			r.fail(where, "%v of %d bytes", o, op.n)
		}
	}
	r.at += op.n
}

// hidden reports whether the Writer sees only the writes and nothing else of
// the source.
func (o writerOp) hidden() bool { return o.do == "io.Copy hidden" }

// expectedPanic reports whether a panic is the program's own, or caused by a
// source or sink that broke its contract.
func (r *writerRun) expectedPanic(o outcome, sourceFired bool) bool {
	if o.value == errModelPanic {
		return true
	}
	return sourceFired || r.sink.fired.Load() && (r.sinkFault == moreFault || r.sinkFault == lessFault)
}

// checkError checks that there was a cause for the error.
func (r *writerRun) checkError(where string, err error, src *modelSource, overLimit bool) {
	if src != nil && src.fired.Load() {
		switch src.fault {
		case failFault:
			if errors.Is(err, errModelSource) {
				return
			}
		case idleFault:
			if errors.Is(err, io.ErrNoProgress) {
				return
			}
		default:
			return
		}
	}
	if r.sink.fired.Load() {
		switch r.sinkFault {
		case failFault:
			if errors.Is(err, errModelSink) {
				return
			}
		case shortFault:
			if errors.Is(err, io.ErrShortWrite) {
				return
			}
		default:
			return
		}
	}
	if overLimit && errors.Is(err, esdk.ErrLimit) || r.ctx.seen.Load() && errors.Is(err, r.ctx.Context.Err()) || r.ctx.seen.Load() && err.Error() == "context canceled" {
		return
	}
	r.fail(where, "error of no known cause: %v", err)
}

// perform makes the calls of an operation.
func (r *writerRun) perform(op writerOp, data []byte, src **modelSource) (int64, error) {
	switch op.do {
	case "nothing":
		n, err := r.w.Write(nil)
		return int64(n), err
	case "Write":
		return r.write(r.w, data)
	case "Writes":
		return r.writePieces(r.w, op, data)
	case "io.WriteString":
		text := string(data)
		n, err := io.WriteString(r.w, text)
		return int64(n), err
	case "bufio.Writer":
		return r.writeBuffered(op, data)
	}
	reader, done := r.source(op, data, src)
	defer done()
	switch op.do {
	case "ReadFrom":
		return r.w.ReadFrom(reader)
	case "io.Copy":
		return io.Copy(r.w, reader)
	default:
		return io.Copy(struct{ io.Writer }{r.w}, reader)
	}
}

// write writes data from reused memory, and checks that it stays unchanged.
func (r *writerRun) write(w io.Writer, data []byte) (int64, error) {
	r.scratch = append(r.scratch[:0], data...)
	n, err := w.Write(r.scratch)
	if !bytes.Equal(r.scratch, data) {
		r.report("Write changed its argument")
	}
	for i := range r.scratch {
		r.scratch[i] = 0xAA
	}
	return int64(n), err
}

// writeBuffered writes through a bufio.Writer: some in pieces, and the rest
// from a source that the bufio.Writer may pass on to the Writer.
func (r *writerRun) writeBuffered(op writerOp, data []byte) (int64, error) {
	b := bufio.NewWriterSize(r.w, op.buffer)
	pieces := len(data)
	if op.end {
		pieces /= 2
	}
	n, err := r.writePieces(b, op, data[:pieces])
	if err != nil {
		return n, err
	}
	rest, err := io.Copy(b, struct{ io.Reader }{bytes.NewReader(data[pieces:])})
	if err != nil {
		return n + rest, err
	}
	return n + rest, b.Flush()
}

func (r *writerRun) writePieces(w io.Writer, op writerOp, data []byte) (n int64, err error) {
	for i := 0; len(data) > 0; i++ {
		piece := data[:min(len(data), op.pieces[i%len(op.pieces)])]
		m, err := r.write(w, piece)
		n += m
		if err != nil {
			return n, err
		}
		if m != int64(len(piece)) {
			return n, fmt.Errorf("Write took %d bytes of %d and returned no error", m, len(piece))
		}
		data = data[len(piece):]
	}
	return n, nil
}

// source makes the source of an operation, and a function that ends it.
func (r *writerRun) source(op writerOp, data []byte, src **modelSource) (io.Reader, func()) {
	nothing := func() {}
	switch op.source {
	case "bytes.Reader":
		return bytes.NewReader(data), nothing
	case "bytes.Buffer":
		return bytes.NewBuffer(slices.Clip(data)), nothing
	case "strings.Reader":
		return strings.NewReader(string(data)), nothing
	case "io.SectionReader":
		return io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data))), nothing
	case "a rest of bytes.Reader":
		b := bytes.NewReader(slices.Concat([]byte("read before"), data))
		b.Seek(int64(len("read before")), io.SeekStart)
		return b, nothing
	case "iotest.DataErrReader":
		return iotest.DataErrReader(bytes.NewReader(data)), nothing
	case "an esdk.Reader":
		return r.reencrypted(data), nothing
	case "io.Pipe":
		return pipeOf(data, op.pieces)
	}
	s := &modelSource{guard: &r.guard, data: data, pieces: op.pieces, withEnd: op.end, fault: op.fault}
	if op.cancel {
		s.then = func() { r.ctx.ended.Store(true) }
	}
	*src = s
	switch op.source {
	case "io.LimitReader":
		return io.LimitReader(s, int64(len(data))+1), nothing
	case "io.TeeReader":
		return io.TeeReader(s, io.Discard), nothing
	case "bufio.Reader":
		return struct{ io.Reader }{bufio.NewReader(s)}, nothing
	case "io.MultiReader":
		return io.MultiReader(strings.NewReader(""), s, strings.NewReader("")), nothing
	}
	return s, nothing
}

// reencrypted returns a Reader of another message of the data.
func (r *writerRun) reencrypted(data []byte) io.Reader {
	c := r.config
	c.frame = max(c.frame, 1000)
	client := c.client(r.T)
	message, _, err := client.Encrypt(r.Context(), data, nil)
	if err != nil {
		panic(err)
	}
	reader, err := client.NewReader(r.Context(), bytes.NewReader(message), nil)
	if err != nil {
		panic(err)
	}
	return reader
}

// pipeOf writes data to a pipe.
func pipeOf(data []byte, pieces []int) (io.Reader, func()) {
	pr, pw := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer pw.Close()
		for i := 0; len(data) > 0; i++ {
			n := min(len(data), pieces[i%len(pieces)])
			if _, err := pw.Write(data[:n]); err != nil {
				return
			}
			data = data[n:]
		}
	}()
	return pr, func() {
		pr.Close()
		<-done
	}
}

// close closes the Writer and compares the result with the model's.
func (r *writerRun) close(where string) {
	before, ended := len(r.sink.got), r.ctx.ended.Load()
	o := r.guard.call(func() (int64, error) { return 0, r.w.Close() })
	if o.how == panicked && !r.expectedPanic(o, false) {
		r.fail(where, "%v\n%s", o, o.stack)
	}
	if r.closed {
		if len(r.sink.got) != before {
			r.fail(where, "wrote to the sink again")
		}
		if o.how != returned || (o.err != nil) != r.broken || r.closing != nil && o.err != r.closing {
			r.fail(where, "%v; the first Close returned %v", o, r.closing)
		}
		return
	}
	// A sink that ends the context with the last bytes does it too late.
	fails := r.broken || r.sink.fired.Load() || ended || r.ctx.seen.Load()
	if fails != o.failed() {
		r.fail(where, "%v; call before failed: %v, sink failed: %v, context ended: %v\n%s", o, r.broken, r.sink.fired.Load(), ended, o.stack)
	}
	// A sink can end the goroutine of a Reader that is copied to the Writer.
	// Then the Reader reports it, and the Writer reports that its own call
	// didn't return.
	anyError := r.sinkFault == exitFault && o.err != nil
	if r.cause != nil && o.err != r.cause && !anyError {
		r.fail(where, "%v, not the error of before, %v", o, r.cause)
	}
	if o.err != nil && !r.broken {
		r.checkError(where, o.err, nil, false)
	}
	r.closed, r.broken, r.closing = true, fails, o.err
}

// checkResult compares the sink's content with the model.
func (r *writerRun) checkResult(client *esdk.Client) {
	message, header := r.sink.got, r.w.Header()
	plaintext := r.text[:r.at]
	if r.broken {
		if _, err := r.config.parse(message, header.Length); err != nil {
			r.fail("the message", "%v", err)
		}
		// The program's limit and context don't matter to the message.
		reader := r.config.client(r.T)
		if got, _, err := reader.Decrypt(r.Context(), message, nil); err == nil || got != nil {
			r.fail("the message", "decrypts to %d bytes after a call that failed", len(got))
		}
		stream, err := reader.NewReader(r.Context(), bytes.NewReader(message), nil)
		if err != nil {
			return
		}
		got, err := io.ReadAll(stream)
		if err == nil || !bytes.HasPrefix(plaintext, got) || len(got)%r.config.frame != 0 {
			r.fail("the message", "releases %d bytes, %v", len(got), err)
		}
		return
	}
	if _, err := r.config.checkMessage(message, header, len(plaintext)); err != nil {
		r.fail("the message", "%v", err)
	}
	got, _, err := client.Decrypt(r.Context(), message, nil)
	if err != nil || !bytes.Equal(got, plaintext) {
		r.fail("the message", "decrypts to %d bytes of %d, the first %d as they were, %v", len(got), len(plaintext), common(got, plaintext), err)
	}
}

// common returns the length of the common prefix of two texts.
func common(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
