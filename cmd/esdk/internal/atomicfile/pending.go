// Package atomicfile makes files and directories that appear whole: each has another
// name until all of it is on the disk.
package atomicfile

import (
	"os"
	"slices"
	"sync"
)

// Pending are the results that are not done, with what removes them if the command
// is interrupted. It is safe for concurrent use.
type Pending struct {
	mu      sync.Mutex
	remove  map[any]func()
	last    []func()
	made    []madeDir
	opened  int // files, so far
	results *results

	held, mostHeld int        // files that results have open
	free           *sync.Cond // some were closed
}

// NewPending returns one with nothing pending.
func NewPending() *Pending {
	p := &Pending{remove: make(map[any]func()), mostHeld: maxHeld()}
	p.free = sync.NewCond(&p.mu)
	return p
}

// Add notes that a result has begun, and what removes it.
func (p *Pending) Add(result any, remove func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remove[result] = remove
}

// Start notes what it starts, so that an interrupt comes before both or after both.
func (p *Pending) Start(result any, remove func(), start func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := start(); err != nil {
		return err
	}
	p.remove[result] = remove
	return nil
}

// Done notes that a result is complete, or removed.
func (p *Pending) Done(result any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.remove, result)
}

// Last has something done by [Pending.Farewell] when the command is interrupted, until
// the function that it returns is called.
func (p *Pending) Last(f func()) (undo func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := len(p.last)
	p.last = append(p.last, f)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.last[i] = func() {}
	}
}

// Interrupt removes what is pending. Nothing can be completed any more: whoever
// tries to waits for ever.
func (p *Pending) Interrupt() {
	p.mu.Lock() // and never unlock
	var group sync.WaitGroup
	for _, remove := range p.remove {
		group.Go(remove) // side by side, since a store may take its time
	}
	group.Wait()
	p.removeEmpty()
}

// Farewell does what comes last, behind Interrupt. It may wait for somebody to read.
func (p *Pending) Farewell() {
	for _, f := range p.last {
		f()
	}
}

// RemoveEmpty removes directories that were made for results that failed.
func (p *Pending) RemoveEmpty() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.removeEmpty()
}

func (p *Pending) removeEmpty() {
	for _, made := range slices.Backward(p.made) {
		lstat, remove, name := os.Lstat, os.Remove, made.tree.path
		if made.name != "." {
			lstat, remove, name = made.tree.root.Lstat, made.tree.root.remove, made.name
		}
		if info, err := lstat(name); err == nil && info.IsDir() {
			remove(name)
		}
	}
	p.made = nil
}
