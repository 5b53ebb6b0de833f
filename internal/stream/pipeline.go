package stream

import (
	"errors"
	"hash"
	"slices"
	"sync"

	"esdk/internal/format"
)

// A batch is a run of regular frames that are sealed or opened together.
type batch struct {
	in    []byte // whole frames, or their plaintext
	out   []byte // what was made of them
	first uint32 // sequence number of the first frame
	used  int    // bytes of in that out was made of
	err   error  // why those are not all

	offset int64 // of out in the plaintext, where it matters

	stage stage
	aad   format.BodyAAD

	inBuf, outBuf []byte // memory of the batch's own, if it needs any
}

// A stage is how far a batch has come.
type stage int

const (
	filled stage = iota
	worked
	digested
)

// A pipeline has batches pass four stages:
//
//	fill   which may read a source; one at a time
//	work   several at a time
//	digest in order, one at a time, if there is a digest
//	drain  in order, one at a time, which may write to a sink
//
// All of it is done by as many workers as there are, of which the calling
// goroutine is one: each takes, again and again, the task that is furthest along,
// so that no core waits while there is something to do, a batch mostly stays in
// one core's cache, and with one worker all happens in turn. Hashing comes first,
// since it is the slowest and cannot be shared out.
//
// The first batch in order that fails, by its work or its drain, is drained as far
// as it is good, and ends everything.
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

// run returns when all is done, with no goroutine left.
func (p *pipeline) run() error {
	r := &pipelineRun{pipeline: p, started: 1}
	r.changed.L = &r.mu
	defer r.others.Wait() // even if a sink ends this goroutine
	r.loop()
	r.others.Wait()
	p.idle = append(p.idle, r.batches...)
	if r.panicked != nil {
		panic(r.panicked)
	}
	if r.err == nil {
		r.err = p.stopped()
	}
	return r.err
}

// pipelineRun is the state that the workers share.
type pipelineRun struct {
	*pipeline
	others sync.WaitGroup // all workers but the calling goroutine

	mu       sync.Mutex // guards all below
	changed  sync.Cond
	batches  []*batch // those filled and not yet drained, in order
	taken    int      // of batches, how many some worker works on or has
	digested int      // of batches, how many the digest has
	started  int      // workers

	filling, digesting, draining bool

	ended    bool  // nothing is filled any more
	failed   bool  // nor done at all
	err      error // of the first batch in order that failed
	panicked any   // what some task panicked with, to go on with in the caller
}

// loop does tasks until none is left.
func (r *pipelineRun) loop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.failed && !(r.ended && len(r.batches) == 0) {
		if r.doNext() {
			r.changed.Broadcast()
		} else {
			r.changed.Wait()
		}
	}
}

// doNext does a task, if there is one. It is called with mu held, as are the
// tasks, which give it up meanwhile.
func (r *pipelineRun) doNext() bool {
	switch {
	case r.digest != nil && !r.digesting && r.digested < r.taken && r.batches[r.digested].stage == worked:
		r.digestOne()
	case !r.draining && len(r.batches) > 0 && r.batches[0].stage == r.lastStage():
		r.drainOne()
	case r.taken < len(r.batches):
		r.workOne()
	case !r.filling && !r.ended && len(r.batches) < r.workers+2:
		r.fillOne()
	default:
		return false
	}
	return true
}

func (r *pipelineRun) lastStage() stage {
	if r.digest != nil {
		return digested
	}
	return worked
}

// unlocked runs a function without the lock. A panic, or an end of the goroutine,
// which code of the user's may cause, ends everything, and goes on in the caller.
func (r *pipelineRun) unlocked(f func()) {
	r.mu.Unlock()
	finished := false
	defer func() {
		r.mu.Lock()
		if finished {
			return
		}
		r.panicked = recover()
		if r.panicked == nil {
			r.err = errors.New("esdk: a source or sink ended its goroutine")
		}
		r.failed = true
		r.changed.Broadcast()
	}()
	f()
	finished = true
}

func (r *pipelineRun) fillOne() {
	b := new(batch)
	if n := len(r.idle); n > 0 {
		b, r.idle = r.idle[n-1], r.idle[:n-1]
	}
	b.stage, b.used, b.err = filled, 0, nil
	r.filling = true
	ok := false
	r.unlocked(func() { ok = r.stopped() == nil && r.fill(b) })
	r.filling = false
	if !ok {
		r.ended = true
		r.idle = append(r.idle, b)
		return
	}
	r.batches = append(r.batches, b)
	if r.started < r.workers {
		r.started++
		r.others.Go(r.loop)
	}
}

func (r *pipelineRun) workOne() {
	b := r.batches[r.taken]
	r.taken++
	r.unlocked(func() { r.work(b) })
	b.stage = worked
}

func (r *pipelineRun) digestOne() {
	b := r.batches[r.digested]
	r.digesting = true
	r.unlocked(func() { r.digest.Write(r.digests(b)) })
	// Nothing behind what is good is hashed.
	r.digesting = b.err != nil
	r.digested++
	b.stage = digested
}

func (r *pipelineRun) drainOne() {
	b := r.batches[0]
	r.draining = true
	err := b.err
	r.unlocked(func() {
		if drainErr := r.drain(b); drainErr != nil {
			err = drainErr
		}
	})
	r.draining = false
	if r.failed {
		return
	}
	if r.err, r.failed = err, err != nil; r.failed {
		return
	}
	r.batches = slices.Delete(r.batches, 0, 1)
	r.taken--
	if r.digest != nil {
		r.digested--
	}
	r.idle = append(r.idle, b)
}
