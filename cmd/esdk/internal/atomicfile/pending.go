// Package atomicfile creates files and directories atomically: each has a
// temporary name until all of it is on the disk.
package atomicfile

import (
	"os"
	"slices"
	"sync"
)

// Pending holds the unfinished results, each with a function that removes it if
// the command is interrupted. It is safe for concurrent use.
type Pending struct {
	// finishing is held while a result gets its final name, so that each sees
	// those before it. It is locked before mu.
	finishing sync.Mutex

	naming sync.Mutex // held while new names are synced

	mu      sync.Mutex // guards the fields below
	remove  map[any]func()
	last    []func()
	made    []madeDir
	opened  int // number of files opened so far
	results *results

	held, mostHeld int        // number of files that results have open
	free           *sync.Cond // signals that some were closed
}

// NewPending returns an empty Pending.
func NewPending() *Pending {
	p := &Pending{remove: make(map[any]func()), mostHeld: maxHeld()}
	p.free = sync.NewCond(&p.mu)
	return p
}

// Add adds an unfinished result, with a function that removes it.
func (p *Pending) Add(result any, remove func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remove[result] = remove
}

// Start calls a function that starts a result, and adds the result. An
// interrupt comes before both or after both.
func (p *Pending) Start(result any, remove func(), start func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := start(); err != nil {
		return err
	}
	p.remove[result] = remove
	return nil
}

// Done removes a result from p after it was completed or deleted.
func (p *Pending) Done(result any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.remove, result)
}

// Last registers a function for [Pending.Farewell] to call. Calling undo
// unregisters it.
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

// Interrupt removes all pending results. After that, completing a result blocks
// forever.
func (p *Pending) Interrupt() {
	p.finishing.Lock() // and never unlock both
	p.mu.Lock()
	var group sync.WaitGroup
	for _, remove := range p.remove {
		group.Go(remove) // concurrently, since a store may be slow
	}
	group.Wait()
	p.removeEmpty()
}

// Farewell calls the functions registered with [Pending.Last]. It must be
// called after Interrupt. It may block until somebody reads the output.
func (p *Pending) Farewell() {
	for _, f := range p.last {
		f()
	}
}

// RemoveEmpty removes the directories created for results that failed.
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
