package atomicfile

import "sync"

const (
	// ownFiles is how many files the command has open besides those of its jobs: the
	// report, trees and directories that it walks, and what the runtime needs.
	ownFiles = 24

	// jobFiles is how many files a job has open besides its result: its input, and
	// directories on the way to it. A job of a store has connections instead.
	jobFiles = 4
)

// freeFiles is how many files may be opened, besides those that were open at the start
// and ownFiles. Go has raised the soft limit to the hard one by then.
var freeFiles = sync.OnceValue(func() int { return max(0, openLimit()-ownFiles) })

// MaxJobs is how many jobs may be under way at once, so that half of the files that
// the system lets a process open are left for results that wait.
func MaxJobs() int { return max(1, freeFiles()/2/jobFiles) }

// maxHeld is how many files results may have open at once. A job may make a key while
// it makes its result.
func maxHeld() int { return max(4, freeFiles()/2) }

// hold waits until n more files of results may be open, with p.mu. Those that wait for
// the disk give theirs back without any more.
func (p *Pending) hold(n int) {
	for p.held > 0 && p.held+n > p.mostHeld {
		p.free.Wait()
	}
	p.held += n
}

// letGo gives n files back, with p.mu.
func (p *Pending) letGo(n int) {
	p.held -= n
	p.free.Broadcast()
}
