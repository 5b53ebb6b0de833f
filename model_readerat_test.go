package esdk_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"esdk"
)

// TestModelReaderAt reads random parts of whole and damaged messages, some of
// them concurrently.
func TestModelReaderAt(t *testing.T) {
	runModel(t, 250, func(t *rapid.T) { drawReaderAtProgram(t).run(t) })
}

type readerAtProgram struct {
	config  modelConfig
	total   int
	release esdk.ReleasePolicy
	damaged bool
	limit   int64
	asks    int
	parts   []textPart
	sides   int // how many goroutines share the parts
	failAt  int // the source fails from this hundredth of the message on, once the ReaderAt exists
}

// A textPart is a part of a plaintext.
type textPart struct{ off, n int }

func (p *readerAtProgram) String() string {
	return fmt.Sprintf("%v, %d bytes, release %d, limit %d, context asked %d times, source fails at %d %%, %d goroutines read {offset length} %v",
		p.config, p.total, p.release, p.limit, p.asks, p.failAt, p.sides, p.parts)
}

func drawReaderAtProgram(t *rapid.T) *readerAtProgram {
	p := &readerAtProgram{config: drawConfig(t), asks: never, failAt: 100}
	if p.config.suite.footer > 0 && rapid.IntRange(0, 3).Draw(t, "unsigned") > 0 {
		p.config.suite = modelSuites[0]
	}
	p.total = p.config.drawSize(t, p.config.budget, "plaintext")
	p.release = rapid.SampledFrom([]esdk.ReleasePolicy{esdk.VerifyAtEOF, esdk.VerifyAtEOF, esdk.VerifyFirst, esdk.RejectSigned}).Draw(t, "release")
	p.damaged = rapid.IntRange(0, 2).Draw(t, "damaged") == 2
	switch rapid.IntRange(0, 9).Draw(t, "trouble") {
	case 9:
		p.asks = rapid.IntRange(1, 60).Draw(t, "asks")
	case 8:
		p.limit = int64(max(1, p.total+rapid.SampledFrom([]int{0, -1, 1, -p.config.frame, p.config.frame}).Draw(t, "limit")))
	case 7:
		p.failAt = rapid.IntRange(0, 99).Draw(t, "fails at")
	}
	p.sides = rapid.SampledFrom([]int{1, 1, 2, 4}).Draw(t, "goroutines")
	// The next part is often near the earlier ones, so that frames are kept.
	near := []int{0, p.total}
	for range rapid.IntRange(1, 20).Draw(t, "parts") {
		off := 0
		switch rapid.IntRange(0, 3).Draw(t, "near") {
		case 0, 1:
			off = rapid.SampledFrom(near).Draw(t, "at")
		case 2:
			off = rapid.IntRange(0, 1+p.total/p.config.frame).Draw(t, "frame") * p.config.frame
		case 3:
			off = rapid.IntRange(0, p.total).Draw(t, "anywhere")
		}
		off += rapid.SampledFrom([]int{0, 1, -1, p.config.frame, -p.config.frame}).Draw(t, "beside")
		off = max(0, off)
		n := p.config.drawSize(t, max(1000, p.total/2), "length")
		p.parts = append(p.parts, textPart{off, n})
		near = append(near, off, off+n)
	}
	return p
}

// A modelReaderAt checks the offsets of reads, and may fail from some offset
// on.
type modelReaderAt struct {
	message []byte
	failAt  int
	outside func(off, n int64)
}

func (s *modelReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(s.message)) {
		s.outside(off, int64(len(p)))
		return 0, errModelSource
	}
	n := copy(p, s.message[off:])
	if end := off + int64(n); end > int64(s.failAt) {
		return max(0, s.failAt-int(off)), errModelSource
	}
	// io.EOF may come with the last bytes.
	if off+int64(n) == int64(len(s.message)) {
		return n, io.EOF
	}
	return n, nil
}

type readerAtRun struct {
	*rapid.T
	*readerAtProgram
	ctx       *modelContext
	damage    *damage
	plaintext []byte
	r         *esdk.ReaderAt

	mu      sync.Mutex
	problem string
}

func (r *readerAtRun) report(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.problem == "" {
		r.problem = fmt.Sprintf(format, args...)
	}
}

func (p *readerAtProgram) run(t *rapid.T) {
	r := &readerAtRun{T: t, readerAtProgram: p, ctx: newModelContext(p.asks), plaintext: drawPlaintext(t, p.total)}
	message, header, err := p.config.client(t).Encrypt(t.Context(), r.plaintext, nil)
	if err != nil {
		t.Fatalf("%v: Encrypt: %v", p, err)
	}
	m, err := p.config.checkMessage(message, header, p.total)
	if err != nil {
		t.Fatalf("%v: %v", p, err)
	}
	what := "whole"
	if p.damaged {
		message, r.damage = drawDamage(t, message, m)
		what = r.damage.what
	}
	src := &modelReaderAt{message: message, failAt: len(message)}
	src.outside = func(off, n int64) { r.report("source is read outside, %d bytes at %d", n, off) }
	client := p.config.client(t, func(c *esdk.Config) { c.Release, c.MaxPlaintextLength = p.release, p.limit })
	r.r, err = client.NewReaderAt(r.ctx, src, int64(len(message)), nil)
	if refused := r.refused(); refused != (err != nil) && !r.ctx.seen.Load() {
		t.Fatalf("%v: NewReaderAt of a message that is %s: %v", p, what, err)
	}
	if err != nil {
		return
	}
	if r.r.Size() != int64(p.total) {
		r.report("Size is %d", r.r.Size())
	}
	src.failAt = len(message) * p.failAt / 100
	var wg sync.WaitGroup
	for side := range p.sides {
		wg.Go(func() {
			for i := side; i < len(p.parts); i += p.sides {
				r.read(p.parts[i], m, src.failAt)
			}
		})
	}
	wg.Wait()
	if r.problem != "" {
		t.Fatalf("%v, message is %s: %s", p, what, r.problem)
	}
}

// refused reports whether NewReaderAt must reject the message: if it's signed,
// or if its length or its final frame has changed.
func (r *readerAtRun) refused() bool {
	d, last := r.damage, (max(0, r.total-1))/r.config.frame
	if r.config.suite.footer > 0 && r.release != esdk.VerifyFirst || r.limit > 0 && int64(r.total) > r.limit {
		return true
	}
	return d != nil && (r.release == esdk.VerifyFirst || d.header || d.moved || d.bad[last])
}

// read reads a part and compares it with the plaintext.
func (r *readerAtRun) read(part textPart, m *modelMessage, failAt int) {
	buf := bytes.Repeat([]byte{0xAA}, part.n)
	n, err := r.r.ReadAt(buf, int64(part.off))
	want := r.plaintext[min(part.off, r.total):min(part.off+part.n, r.total)]
	where := fmt.Sprintf("ReadAt of %d bytes at %d: %d, %v", part.n, part.off, n, err)
	if n < 0 || n > len(want) || !bytes.Equal(buf[:n], want[:n]) {
		r.report("%s: not the plaintext", where)
		return
	}
	// Memory behind the part may hold authentic plaintext, and nothing else.
	for i, b := range buf[n:] {
		if b != 0xAA && b != 0 && (n+i >= len(want) || b != want[n+i]) {
			r.report("%s: memory behind it has something at %d", where, n+i)
			return
		}
	}
	if err == nil && n < part.n || err == io.EOF && (n < len(want) || len(want) == part.n && part.n > 0) {
		r.report("%s: too few bytes, or the end too early", where)
	}
	spoiled := r.spoiled(part.off, len(want), m)
	switch {
	case err == nil || err == io.EOF:
		if len(want) > 0 && spoiled {
			r.report("%s: a frame of it is damaged", where)
		}
	case !spoiled && failAt == m.end+r.config.suite.footer && !r.ctx.seen.Load():
		r.report("%s: nothing is wrong with it", where)
	case errors.Is(err, io.EOF):
		r.report("%s: looks like the end", where)
	}
}

// spoiled reports whether a damaged frame holds some of the part's plaintext.
func (r *readerAtRun) spoiled(off, n int, m *modelMessage) bool {
	if r.damage == nil || n == 0 {
		return false
	}
	for i := off / r.config.frame; i <= (off+n-1)/r.config.frame; i++ {
		if r.damage.bad[min(i, len(m.frames)-1)] {
			return true
		}
	}
	return false
}
