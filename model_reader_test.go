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

// TestModelReader runs random programs on a Reader. The messages are whole,
// damaged or truncated; the sources return odd pieces, and some fail.
func TestModelReader(t *testing.T) {
	runModel(t, 300, func(t *rapid.T) {
		drawReaderProgram(t, []fault{failFault}, []fault{noFault}).run(t)
	})
}

// TestModelReaderFaults does the same with WriteTo sinks that fail and with
// sources that return no bytes. After an error of its sink, the Reader returns
// the error again and releases nothing twice.
func TestModelReaderFaults(t *testing.T) {
	runModel(t, 100, func(t *rapid.T) {
		drawReaderProgram(t, []fault{failFault, idleFault}, []fault{failFault, shortFault}).run(t)
	})
}

// TestModelReaderBroken does the same with sources and sinks that panic, end
// their goroutine or break their contract. Every later call fails.
func TestModelReaderBroken(t *testing.T) {
	runModel(t, 100, func(t *rapid.T) {
		drawReaderProgram(t, []fault{panicFault, exitFault, moreFault, lessFault}, []fault{panicFault, exitFault, noFault}).run(t)
	})
}

// A damage is a change to a message after it was made.
type damage struct {
	what   string
	header bool // the header is damaged
	good   int  // how many frames there are before the damage
	bad    []bool
	moved  bool // the message has another length
}

// drawDamage returns a changed copy of a message that the model has parsed.
func drawDamage(t *rapid.T, message []byte, m *modelMessage) ([]byte, *damage) {
	last := len(m.frames) - 1
	d := &damage{good: last, bad: make([]bool, len(m.frames))}
	frame := func(i int) []byte { return message[m.frames[i].start:m.frames[i].end] }
	from := func(i int) []byte { return message[m.frames[i].start:] }
	kinds := []string{"flip", "flip", "cut", "cut", "append", "duplicate", "drop", "flip the header", "flip the end"}
	if last >= 2 {
		kinds = append(kinds, "swap", "replace")
	}
	d.what = rapid.SampledFrom(kinds).Draw(t, "damage")
	i := drawIndex(t, last)
	switch d.what {
	case "flip the header":
		d.header = true
		return d.flip(t, message, 0, m.header)
	case "flip":
		d.good, d.bad[i] = i, true
		return d.flip(t, message, m.frames[i].start, m.frames[i].end)
	case "flip the end":
		d.bad[last] = true
		return d.flip(t, message, m.frames[last].start, len(message))
	case "cut":
		at := rapid.SampledFrom([]int{0, m.header, m.frames[i].start, m.frames[i].end, m.frames[last].start, m.end, len(message)}).Draw(t, "cut near")
		at += rapid.IntRange(-30, 30).Draw(t, "cut more")
		at = max(0, min(at, len(message)-1))
		d.moved, d.header, d.good = true, at < m.header, 0
		for d.good < last && m.frames[d.good].end <= at {
			d.good++
		}
		return message[:at:at], d
	case "append":
		d.moved = true
		return append(bytes.Clone(message), noise()[:rapid.SampledFrom([]int{1, 4, 100, 300_000}).Draw(t, "appended")]...), d
	case "duplicate":
		d.moved, d.good = true, min(i+1, last)
		return slices.Concat(message[:m.frames[i].end], frame(i), message[m.frames[i].end:]), d
	case "drop":
		d.moved, d.good = true, i
		return slices.Concat(message[:m.frames[i].start], message[m.frames[i].end:]), d
	}
	// Regular frames only.
	i = min(i, last-2)
	j := i + 1 + drawIndex(t, last-2-i)
	d.good, d.bad[i], d.bad[j] = i, true, true
	if d.what == "replace" {
		d.good, d.bad[i] = j, false
		return slices.Concat(message[:m.frames[j].start], frame(i), from(j+1)), d
	}
	return slices.Concat(message[:m.frames[i].start], frame(j), message[m.frames[i].end:m.frames[j].start], frame(i), from(j+1)), d
}

// drawIndex draws a number up to last, favoring the ends.
func drawIndex(t *rapid.T, last int) int {
	i := rapid.IntRange(0, last).Draw(t, "index")
	if rapid.Bool().Draw(t, "from the end") {
		return last - i
	}
	return i
}

func (d *damage) flip(t *rapid.T, message []byte, start, end int) ([]byte, *damage) {
	at := start + drawIndex(t, end-start-1)
	message = bytes.Clone(message)
	message[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "flips"))
	return message, d
}

// A readerProgram is a sequence of calls on a Reader.
type readerProgram struct {
	config  modelConfig
	total   int // bytes of plaintext
	release esdk.ReleasePolicy
	damaged bool
	source  string
	pieces  []int
	end     bool
	fault   fault // of the source
	faultAt int   // in hundredths of the message
	limit   int64
	asks    int
	ops     []readerOp
	rest    string // how the rest is read
	again   int    // calls after the end
}

type readerOp struct {
	do    string
	n     int
	fault fault // of the sink
}

func (p *readerProgram) String() string {
	return fmt.Sprintf("%v, %d bytes, release %d, from %s in pieces of %v (end with data: %v), source %q at %d %%, limit %d, context asked %d times: %v, then %s",
		p.config, p.total, p.release, p.source, p.pieces, p.end, p.fault, p.faultAt, p.limit, p.asks, p.ops, p.rest)
}

var (
	modelReaderSources = []string{"a reader", "a reader", "a seeker", "no seeker", "bufio.Reader"}
	readyReaderSources = []string{"bytes.Reader", "bytes.Reader", "bytes.Buffer", "strings.Reader", "io.Pipe", "a rest of bytes.Reader", "iotest.DataErrReader", "iotest.HalfReader", "io.SectionReader"}
)

func drawReaderProgram(t *rapid.T, sources, sinks []fault) *readerProgram {
	p := &readerProgram{config: drawConfig(t), asks: never}
	p.total = p.config.drawSize(t, p.config.budget, "plaintext")
	p.release = rapid.SampledFrom([]esdk.ReleasePolicy{esdk.VerifyAtEOF, esdk.VerifyAtEOF, esdk.VerifyFirst, esdk.RejectSigned}).Draw(t, "release")
	if p.config.suite.footer > 0 && p.release == esdk.RejectSigned && rapid.IntRange(0, 3).Draw(t, "rejected") > 0 {
		p.release = esdk.VerifyAtEOF
	}
	p.damaged = rapid.Bool().Draw(t, "damaged")
	p.source = rapid.SampledFrom(slices.Concat(modelReaderSources, readyReaderSources)).Draw(t, "source")
	p.pieces = drawPieces(t, p.config, p.total, true)
	p.end = rapid.Bool().Draw(t, "end with data")
	if slices.Contains(modelReaderSources, p.source) && rapid.IntRange(0, 4).Draw(t, "faulty") == 4 {
		p.fault = rapid.SampledFrom(sources).Draw(t, "fault")
		p.faultAt = rapid.SampledFrom([]int{100, 100, 0, 99, 50, 30, 10}).Draw(t, "fault at")
	}
	switch rapid.IntRange(0, 9).Draw(t, "trouble") {
	case 9:
		p.asks = rapid.IntRange(1, 40).Draw(t, "asks")
	case 8, 7:
		p.limit = int64(max(1, p.total+rapid.SampledFrom([]int{0, -1, 1, -p.config.frame, p.config.frame, -p.total / 2}).Draw(t, "limit")))
	}
	for range rapid.IntRange(0, 4).Draw(t, "operations") {
		op := readerOp{do: rapid.SampledFrom([]string{"Read", "Read", "Reads", "io.ReadFull", "io.CopyN", "nothing", "WriteTo"}).Draw(t, "do")}
		if op.do != "nothing" {
			op.n = p.config.drawSize(t, p.total+1, "bytes")
		}
		if op.do == "WriteTo" {
			op.fault = rapid.SampledFrom(sinks).Draw(t, "sink")
		}
		p.ops = append(p.ops, op)
	}
	p.rest = rapid.SampledFrom([]string{"WriteTo", "Read", "io.ReadAll", "io.Copy"}).Draw(t, "rest")
	p.again = rapid.IntRange(1, 4).Draw(t, "again")
	return p
}

// A readerRun is the state of a running program.
type readerRun struct {
	*rapid.T
	*readerProgram
	guard
	ctx    *modelContext
	damage *damage
	src    *modelSource // nil if the source has no faults
	r      *esdk.Reader

	plaintext []byte
	got       int   // bytes released
	err       error // the error that ended the message
	broken    bool  // a sink or source panicked or ended its goroutine
	scratch   []byte
}

func (r *readerRun) fail(where, format string, args ...any) {
	r.Helper()
	what := "whole"
	if r.damage != nil {
		what = r.damage.what
	}
	r.Fatalf("%v\n%s of a message that is %s: %s", r.readerProgram, where, what, fmt.Sprintf(format, args...))
}

func (p *readerProgram) run(t *rapid.T) {
	r := &readerRun{T: t, readerProgram: p, ctx: newModelContext(p.asks), plaintext: drawPlaintext(t, p.total)}
	message, header, err := p.config.client(t).Encrypt(t.Context(), r.plaintext, nil)
	if err != nil {
		r.fail("Encrypt", "%v", err)
	}
	m, err := p.config.checkMessage(message, header, p.total)
	if err != nil {
		r.fail("Encrypt", "%v", err)
	}
	if p.damaged {
		message, r.damage = drawDamage(t, message, m)
	}
	client := p.config.client(t, func(c *esdk.Config) { c.Release, c.MaxPlaintextLength = p.release, p.limit })
	src, done := r.open(message)
	defer done()
	o := r.guard.call(func() (n int64, err error) {
		r.r, err = client.NewReader(r.ctx, src, nil)
		return 0, err
	})
	if r.began(o) {
		for i, op := range p.ops {
			r.do(fmt.Sprintf("operation %d, %v", i+1, op), op)
		}
		r.finish()
	}
	if r.problem != "" {
		r.fail("use of source and sink", "%s", r.problem)
	}
}

// began checks the result of NewReader, and reports whether there is a Reader.
func (r *readerRun) began(o outcome) bool {
	if o.how == panicked {
		r.checkPanic("NewReader", o)
	}
	if o.failed() {
		if o.how == returned && r.r != nil {
			r.fail("NewReader", "a Reader and %v", o.err)
		}
		rejected := r.release == esdk.RejectSigned && r.config.suite.footer > 0
		if rejected && !errors.Is(o.err, esdk.ErrSigned) && r.damage == nil && !r.trouble() {
			r.fail("NewReader", "%v, need ErrSigned", o)
		}
		early := r.damage != nil && (r.damage.header || r.release == esdk.VerifyFirst) || r.release == esdk.VerifyFirst && r.overLimit()
		if !rejected && !early && !r.trouble() {
			r.fail("NewReader", "%v\n%s", o, o.stack)
		}
		return false
	}
	switch {
	case r.damage != nil && (r.damage.header || r.release == esdk.VerifyFirst),
		r.release == esdk.VerifyFirst && r.overLimit(),
		r.release == esdk.VerifyFirst && r.src != nil && r.src.fired.Load(),
		r.ctx.seen.Load(),
		r.release == esdk.RejectSigned && r.config.suite.footer > 0:
		r.fail("NewReader", "%v", o)
	}
	return true
}

// trouble reports whether a source has failed or the context has ended.
func (r *readerRun) trouble() bool {
	return r.ctx.seen.Load() || r.src != nil && r.src.fired.Load()
}

func (r *readerRun) overLimit() bool { return r.limit > 0 && int64(r.total) > r.limit }

// checkPanic checks that a panic is the program's own, or caused by a source
// that broke its contract.
func (r *readerRun) checkPanic(where string, o outcome) {
	if o.value == errModelPanic || r.src != nil && r.src.fired.Load() && (r.fault == moreFault || r.fault == lessFault) {
		return
	}
	r.fail(where, "%v\n%s", o, o.stack)
}

// A modelSeeker is a source that can start over.
type modelSeeker struct{ *modelSource }

func (s modelSeeker) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
		s.delivered = int(offset)
	case io.SeekCurrent:
		s.delivered += int(offset)
	default:
		return 0, errors.ErrUnsupported
	}
	return int64(s.delivered), nil
}

// open makes the source of a message, and a function that ends it.
func (r *readerRun) open(message []byte) (io.Reader, func()) {
	nothing := func() {}
	switch r.source {
	case "bytes.Reader":
		return bytes.NewReader(message), nothing
	case "bytes.Buffer":
		return bytes.NewBuffer(slices.Clip(message)), nothing
	case "strings.Reader":
		return strings.NewReader(string(message)), nothing
	case "a rest of bytes.Reader":
		b := bytes.NewReader(slices.Concat([]byte("read before"), message))
		b.Seek(int64(len("read before")), io.SeekStart)
		return b, nothing
	case "iotest.DataErrReader":
		return iotest.DataErrReader(bytes.NewReader(message)), nothing
	case "iotest.HalfReader":
		return iotest.HalfReader(bytes.NewReader(message)), nothing
	case "io.SectionReader":
		return io.NewSectionReader(bytes.NewReader(message), 0, int64(len(message))), nothing
	case "io.Pipe":
		return pipeOf(message, r.pieces)
	}
	if r.fault != noFault {
		message = message[:len(message)*r.faultAt/100]
	}
	r.src = &modelSource{guard: &r.guard, data: message, pieces: r.pieces, withEnd: r.end, fault: r.fault}
	switch r.source {
	case "a seeker":
		return modelSeeker{r.src}, nothing
	case "no seeker":
		return struct {
			io.Reader
			io.Seeker
		}{r.src, noSeeker{}}, nothing
	case "bufio.Reader":
		return bufio.NewReaderSize(r.src, 100), nothing
	}
	return r.src, nothing
}

// do runs one operation.
func (r *readerRun) do(where string, op readerOp) {
	switch op.do {
	case "nothing":
		if o := r.guard.call(func() (int64, error) { n, err := r.r.Read(nil); return int64(n), err }); o.n != 0 || o.how != returned {
			r.fail(where, "%v", o)
		}
	case "Read":
		r.read(where, op.n)
	case "Reads":
		size := max(op.n, r.total/500, 1)
		for range 20 {
			r.read(where, size)
		}
	case "io.ReadFull":
		for end := r.got + op.n; r.got < end && r.ongoing(); {
			r.read(where, end-r.got)
		}
	case "io.CopyN":
		sink := &modelSink{guard: &r.guard}
		o := r.guard.call(func() (int64, error) { return io.CopyN(sink, r.r, int64(op.n)) })
		if op.n > 0 {
			r.written(where, o, sink)
		}
	case "WriteTo":
		r.writeTo(where, &modelSink{guard: &r.guard, fault: op.fault, at: op.n})
	}
}

func (r *readerRun) ongoing() bool { return r.err == nil && !r.broken }

// read calls Read once. Memory behind the returned bytes stays unchanged.
func (r *readerRun) read(where string, size int) {
	if size == 0 {
		return
	}
	if cap(r.scratch) < size {
		r.scratch = make([]byte, size)
	}
	p := r.scratch[:size]
	for i := range p {
		p[i] = 0xAA
	}
	o := r.guard.call(func() (int64, error) { n, err := r.r.Read(p); return int64(n), err })
	if o.n < 0 || o.n > int64(size) || o.n == 0 && o.how == returned && o.err == nil {
		r.fail(where, "%v for %d bytes", o, size)
	}
	for _, b := range p[o.n:] {
		if b != 0xAA {
			r.fail(where, "memory behind the %d bytes read was changed", o.n)
		}
	}
	r.released(where, p[:o.n])
	r.ended(where, o)
}

func (r *readerRun) writeTo(where string, sink *modelSink) {
	o := r.guard.call(func() (int64, error) { return r.r.WriteTo(sink) })
	counted := sink.fault != panicFault && sink.fault != exitFault
	if o.how == returned && counted && o.n != int64(len(sink.got)) {
		r.fail(where, "%v, but the sink got %d bytes", o, len(sink.got))
	}
	if o.how == returned && o.err == nil {
		o.err = io.EOF // the model's way to say it
	}
	r.written(where, o, sink)
}

func (r *readerRun) written(where string, o outcome, sink *modelSink) {
	r.released(where, sink.got)
	if sink.fired.Load() {
		if !o.failed() || o.err == io.EOF {
			r.fail(where, "%v after its sink failed", o)
		}
		if o.how == panicked {
			r.checkPanic(where, o)
		}
		if sink.fault == panicFault || sink.fault == exitFault {
			r.broken = true
		} else {
			r.err = o.err
		}
		return
	}
	r.ended(where, o)
}

// released compares bytes with the plaintext that follows the bytes released
// before.
func (r *readerRun) released(where string, b []byte) {
	if len(b) > 0 && (r.err != nil || r.broken) {
		r.fail(where, "released %d bytes after the end", len(b))
	}
	if r.got+len(b) > r.total || !bytes.Equal(b, r.plaintext[r.got:r.got+len(b)]) {
		r.fail(where, "released %d bytes that do not follow the %d before", len(b), r.got)
	}
	r.got += len(b)
}

// ended checks how a call ended if its sink didn't stop it.
func (r *readerRun) ended(where string, o outcome) {
	fired := r.src != nil && r.src.fired.Load()
	switch {
	case o.how == panicked:
		r.checkPanic(where, o)
		r.broken = true
	case o.how == exited:
		if !fired || r.fault != exitFault {
			r.fail(where, "%v", o)
		}
		r.broken = true
	case o.err == nil:
		if r.err != nil || r.broken {
			r.fail(where, "%v after the end", o)
		}
	case r.err != nil:
		if o.n != 0 || o.err.Error() != r.err.Error() {
			r.fail(where, "%v, before it ended with %v", o, r.err)
		}
	case r.broken:
		if o.err == io.EOF {
			r.fail(where, "ended well after a panic")
		}
	default:
		r.err = o.err
		r.checkEnd(where, fired)
	}
}

// checkEnd compares the error and the number of released bytes with the model.
func (r *readerRun) checkEnd(where string, fired bool) {
	faulty := r.damage != nil || r.overLimit() || r.ctx.seen.Load() || fired
	if r.err == io.EOF {
		if faulty || r.got != r.total {
			r.fail(where, "ended well after %d bytes of %d", r.got, r.total)
		}
		return
	}
	last := (max(0, r.total-1)) / r.config.frame
	if !faulty || errors.Is(r.err, io.EOF) {
		r.fail(where, "ended with %v", r.err)
	}
	if r.got%r.config.frame != 0 || r.got > last*r.config.frame {
		r.fail(where, "released %d bytes and then failed with %v", r.got, r.err)
	}
	if r.limit > 0 && int64(r.got) > r.limit {
		r.fail(where, "released %d bytes, the limit is %d", r.got, r.limit)
	}
	if r.ctx.seen.Load() || fired {
		return
	}
	switch {
	case r.damage == nil && !errors.Is(r.err, esdk.ErrLimit):
		r.fail(where, "ended with %v", r.err)
	case r.damage != nil && r.got > r.damage.good*r.config.frame,
		r.damage != nil && !r.overLimit() && r.got != r.damage.good*r.config.frame:
		r.fail(where, "released %d bytes, %d frames are good; %v", r.got, r.damage.good, r.err)
	}
}

// finish reads the rest, and then reads again.
func (r *readerRun) finish() {
	for i := 0; i == 0 || r.err == nil && !r.broken; i++ {
		switch r.rest {
		case "WriteTo":
			r.writeTo("WriteTo at the end", &modelSink{guard: &r.guard})
		case "io.Copy":
			sink := &modelSink{guard: &r.guard}
			o := r.guard.call(func() (int64, error) { return io.Copy(struct{ io.Writer }{sink}, r.r) })
			if o.how == returned && o.err == nil {
				o.err = io.EOF
			}
			r.written("io.Copy at the end", o, sink)
		case "io.ReadAll":
			var all []byte
			o := r.guard.call(func() (n int64, err error) {
				all, err = io.ReadAll(r.r)
				return int64(len(all)), err
			})
			r.released("io.ReadAll at the end", all)
			if o.how == returned && o.err == nil {
				o.err = io.EOF
			}
			r.ended("io.ReadAll at the end", o)
		default:
			r.read("Read at the end", max(r.total/500, 1000))
		}
	}
	for range r.again {
		r.read("Read after the end", 10)
		r.writeTo("WriteTo after the end", &modelSink{guard: &r.guard})
	}
}
