package atomicfile

import "sync"

const (
	// ownFiles is the number of files that the command has open besides the
	// files of its jobs: the report, the trees and directories that it walks,
	// and the files of the runtime.
	ownFiles = 24

	// jobFiles is the number of files that a job has open besides its result:
	// its input, and directories on the way to it. A job on a store has
	// connections instead.
	jobFiles = 4
)

// freeFiles returns the number of files that may be opened, besides ownFiles
// and the files open at the start. Go has already raised the soft limit to the
// hard one.
var freeFiles = sync.OnceValue(func() int { return max(0, openLimit()-ownFiles) })

// MaxJobs returns the largest number of concurrent jobs. It leaves half of the
// files that the system allows for results that wait.
func MaxJobs() int { return max(1, freeFiles()/2/jobFiles) }

// maxHeld returns the number of files that results may have open at once. It's
// at least 4, since a job may create a key while it makes its result.
func maxHeld() int { return max(4, freeFiles()/2) }

// hold waits until n more files of results may be open. The caller holds p.mu.
// Results that wait for the disk release their files without needing more.
func (p *Pending) hold(n int) {
	for p.held > 0 && p.held+n > p.mostHeld {
		p.free.Wait()
	}
	p.held += n
}

// letGo releases n files. The caller holds p.mu.
func (p *Pending) letGo(n int) {
	p.held -= n
	p.free.Broadcast()
}
