package stream

import (
	"errors"
	"hash"
	"sync"
	"sync/atomic"

	"esdk/internal/format"
)

// A batch is a run of regular frames that are sealed or opened together.
type batch struct {
	in    []byte // whole frames, or their plaintext
	out   []byte // what was made of them
	first uint32 // sequence number of the first frame
	used  int    // bytes of in that out was made of
	err   error  // why those are not all

	aad  format.BodyAAD
	done chan struct{} // receives once the work is done

	inBuf, outBuf []byte // memory of the batch's own, if it needs any
}

// A pipeline has batches pass four stages:
//
//	fill   in the calling goroutine, which may read a source
//	work   in any of the workers, several at a time
//	digest in order, if there is one
//	drain  in order, which may write to a sink
//
// With several workers, digest and drain have a goroutine each, so that hashing,
// which is the slowest and cannot be shared out, goes on beside all the rest. The
// first batch in order that fails, by its work or its drain, is drained as far as
// it is good, and ends everything; run waits for all goroutines.
type pipeline struct {
	workers int
	stopped func() error
	fill    func(*batch) bool // false: nothing to do any more
	work    func(*batch)
	digest  hash.Hash // nil: none
	digests func(*batch) []byte
	drain   func(*batch) error

	idle []*batch // kept for the next run
}

func (p *pipeline) newBatch() *batch {
	if n := len(p.idle); n > 0 {
		b := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return b
	}
	return new(batch)
}

func (p *pipeline) run() error {
	b := p.newBatch()
	if p.workers > 1 {
		return p.runParallel(b)
	}
	defer func() { p.idle = append(p.idle, b) }()
	for p.next(b) {
		p.work(b)
		p.hash(b)
		if err := p.finish(b); err != nil {
			return err
		}
	}
	return p.stopped()
}

// next fills a batch, unless everything has been stopped.
func (p *pipeline) next(b *batch) bool {
	b.used, b.err = 0, nil
	return p.stopped() == nil && p.fill(b)
}

func (p *pipeline) hash(b *batch) {
	if p.digest != nil {
		p.digest.Write(p.digests(b))
	}
}

// finish drains what is good of a batch.
func (p *pipeline) finish(b *batch) error {
	if err := p.drain(b); err != nil {
		return err
	}
	return b.err
}

// runParallel starts nothing before there is a batch.
func (p *pipeline) runParallel(b *batch) error {
	if !p.next(b) {
		p.idle = append(p.idle, b)
		return p.stopped()
	}
	depth := p.workers + 2
	r := &parallelRun{
		pipeline: p,
		free:     make(chan *batch, depth),
		todo:     make(chan *batch, depth),
		ordered:  make(chan *batch, depth),
	}
	for range depth - 1 {
		r.free <- p.newBatch()
	}
	r.dispatch(b)
	for range depth {
		p.idle = append(p.idle, <-r.free)
	}
	if r.panicked != nil {
		panic(r.panicked)
	}
	if r.err == nil {
		r.err = p.stopped()
	}
	return r.err
}

type parallelRun struct {
	*pipeline
	free, todo, ordered chan *batch

	failed   atomic.Bool
	err      error // of the first batch in order that failed
	panicked any   // what a stage panicked with, to go on with in the caller
	group    sync.WaitGroup
}

// dispatch hands out a batch and fills others until there is nothing more to do,
// and waits for all that it started. Even if fill panics, no goroutine is left.
func (r *parallelRun) dispatch(b *batch) {
	defer r.group.Wait()
	drained := r.ordered
	if r.digest != nil {
		drained = make(chan *batch, cap(r.ordered))
		r.group.Go(func() { r.hashAll(drained) })
	}
	r.group.Go(func() { r.drainAll(drained) })
	defer close(r.ordered)
	defer close(r.todo)
	for started := 0; ; started++ {
		if b.done == nil {
			b.done = make(chan struct{}, 1)
		}
		if started < r.workers {
			r.group.Go(r.workAll)
		}
		r.todo <- b
		r.ordered <- b
		b = <-r.free
		if r.failed.Load() || !r.next(b) {
			r.free <- b
			return
		}
	}
}

func (r *parallelRun) workAll() {
	for b := range r.todo {
		r.workOn(b)
	}
}

// workOn works on a batch. A panic, as from misuse of the caller's memory, is
// kept for the caller: nobody could recover from it here.
func (r *parallelRun) workOn(b *batch) {
	defer func() {
		if v := recover(); v != nil {
			b.err = &panicError{v}
		}
		b.done <- struct{}{}
	}()
	if !r.failed.Load() {
		r.work(b)
	}
}

type panicError struct{ value any }

func (*panicError) Error() string { return "panic" }

func (r *parallelRun) hashAll(drained chan<- *batch) {
	defer close(drained)
	good := true
	for b := range r.ordered {
		<-b.done
		if good {
			r.hash(b)
			good = b.err == nil
		}
		b.done <- struct{}{}
		drained <- b
	}
}

// drainAll runs code of the caller's, a sink, which may panic or even end the
// goroutine. Then too, all batches come back.
func (r *parallelRun) drainAll(drained <-chan *batch) {
	finished := false
	defer func() {
		if v := recover(); v != nil {
			r.panicked = v
		} else if !finished {
			r.err = errors.New("esdk: the sink ended its goroutine")
		}
		r.failed.Store(true)
		for b := range drained {
			<-b.done
			r.free <- b
		}
	}()
	for b := range drained {
		r.drainOne(b)
	}
	finished = true
}

func (r *parallelRun) drainOne(b *batch) {
	defer func() { r.free <- b }()
	<-b.done
	if r.err != nil {
		return
	}
	if r.err = r.finish(b); r.err != nil {
		r.failed.Store(true)
	}
	if p, ok := r.err.(*panicError); ok {
		panic(p.value)
	}
}
