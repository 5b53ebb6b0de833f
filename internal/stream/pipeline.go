package stream

import (
	"hash"
	"io"
	"slices"
	"sync"

	"esdk/internal/errtext"
)

// A batch is a run of regular frames that are sealed or opened together.
type batch struct {
	run    run       // frames to seal,
	sealed sealedRun // or to open
	out    []byte    // the result
	opened int       // number of frames whose plaintext is in out
	err    error     // the reason if not all are opened

	offset int64 // of out in the plaintext, if it matters

	stage stage

	// The batch's own memory, if it needs any.
	plain, inBuf, outBuf []byte
}

// A stage is the progress of a batch.
type stage int

const (
	filled stage = iota
	worked
	digested
)

// A pipeline passes batches through four stages:
//
//	fill   which may read a source; one at a time
//	work   several at a time
//	digest in order, one at a time, if there is a digest
//	drain  in order, one at a time, which may write to a sink
//
// A number of workers, including the calling goroutine, do all of the work.
// Each repeatedly takes the task that is furthest along. This way, no core is
// idle while there is work, and a batch mostly stays in one core's cache. With
// one worker, everything happens in turn. Hashing comes first, since it's the
// slowest stage and can't be parallelized.
//
// When a batch fails in its work or its drain, its good part is drained, and
// the pipeline ends. The first failed batch in order counts.
type pipeline struct {
	stopped func() error        // called before each fill
	fill    func(*batch) error  // io.EOF: no batch, and none follows
	work    func(*batch)        // sets out, and err if out is incomplete
	digest  hash.Hash           // nil: none
	digests func(*batch) []byte // the part of a batch that is hashed
	drain   func(*batch) error
}

// A pool keeps batches, and so their memory, from one run to the next.
type pool struct{ idle []*batch }

// get returns an empty batch.
func (p *pool) get() *batch {
	n := len(p.idle)
	if n == 0 {
		return new(batch)
	}
	b := p.idle[n-1]
	p.idle = p.idle[:n-1]
	b.out, b.opened, b.err, b.stage = nil, 0, nil, filled
	return b
}

func (p *pool) put(b ...*batch) { p.idle = append(p.idle, b...) }

// run processes all batches with a number of workers, including the calling
// goroutine. It returns when everything is done, with no goroutine left. An
// error of fill ranks after errors of the batches before it.
func (p pipeline) run(batches *pool, workers int) error {
	r := &pipelineRun{pipeline: p, pool: batches, workers: workers, started: 1}
	r.changed.L = &r.mu
	defer r.others.Wait() // even if a sink ends this goroutine
	r.loop()
	r.others.Wait()
	if r.panicked != nil {
		panic(r.panicked)
	}
	r.pool.put(r.batches...)
	if r.err == nil {
		r.err = r.fillErr
	}
	if r.err == nil {
		r.err = p.stopped()
	}
	return r.err
}

// pipelineRun is the state that the workers share.
type pipelineRun struct {
	pipeline
	pool    *pool
	workers int
	others  sync.WaitGroup // all workers but the calling goroutine

	mu       sync.Mutex // guards the fields below
	changed  sync.Cond
	batches  []*batch // filled and not yet drained, in order
	taken    int      // number of batches that a worker works on or has finished
	digested int      // number of batches that were hashed
	started  int      // workers

	filling, digesting, draining bool

	ended    bool  // no more batches are filled
	fillErr  error // the reason, unless fill returned io.EOF
	failed   bool  // no more tasks are done at all
	err      error // of the first batch in order that failed
	panicked any   // a task's panic, which continues in the caller
}

// loop does tasks until none are left.
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

// doNext does a task, if there is one. It's called with mu held, and so are the
// tasks, which release it while they run.
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

// unlocked runs a function without the lock. The function may call the user's
// code. If that panics or ends the goroutine, the pipeline ends, and the panic
// or the end continues in the caller.
func (r *pipelineRun) unlocked(f func()) {
	r.mu.Unlock()
	finished := false
	defer func() {
		r.mu.Lock()
		if finished {
			return
		}
		if panicked := recover(); panicked != nil {
			r.panicked = panicked
		} else {
			r.err = errtext.Errorf("a source or sink ended its goroutine")
		}
		r.failed = true
		r.changed.Broadcast()
	}()
	f()
	finished = true
}

func (r *pipelineRun) fillOne() {
	b := r.pool.get()
	r.filling = true
	err := io.EOF // if the call does not return
	r.unlocked(func() {
		stopped := r.stopped()
		if stopped == nil {
			stopped = r.fill(b)
		}
		err = stopped
	})
	r.filling = false
	if err != nil {
		r.ended = true
		if err != io.EOF {
			r.fillErr = err
		}
		r.pool.put(b)
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
	// Nothing after the good part is hashed.
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
	r.pool.put(b)
}
