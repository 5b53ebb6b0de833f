package atomicfile

import (
	"io/fs"
	"time"

	"esdk/cmd/esdk/internal/cli"
)

// results are the files that a run has made, by what identifies a file: two names that
// differ can be of one, as on a file system that ignores case. Nil remembers nothing.
type results struct {
	ids    map[fileID]struct{}
	most   int
	oldest time.Time // time of the last change of any of them
	full   bool      // ids are not all of them
}

// maxResults bounds the files that are held, by some 30 MB.
const maxResults = 1 << 19

// RememberResults has no result take the place of another.
func (p *Pending) RememberResults() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.results == nil {
		p.results = &results{ids: make(map[fileID]struct{}), most: maxResults}
	}
}

// CheckResult returns an error if a file is, or may be, a result of this run.
func (p *Pending) CheckResult(info fs.FileInfo, name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.results.check(info, name)
}

// add notes a result. Its arguments are those that Lstat returns for it.
func (r *results) add(info fs.FileInfo, err error) {
	if r == nil || err != nil {
		return
	}
	if r.oldest.IsZero() || info.ModTime().Before(r.oldest) {
		r.oldest = info.ModTime()
	}
	if r.full = r.full || len(r.ids) >= r.most; !r.full {
		r.ids[idOf(info)] = struct{}{}
	}
}

// check refuses a result. If there are too many to remember, it refuses all that was
// written to since the first of them, by the clock of the file system itself.
func (r *results) check(info fs.FileInfo, name string) error {
	if r == nil {
		return nil
	}
	if _, ok := r.ids[idOf(info)]; ok {
		return cli.NewError(cli.ExitNotWritten, "it is the result of another input").Of(name)
	}
	if r.full && !info.ModTime().Before(r.oldest) {
		return cli.NewError(cli.ExitNotWritten, "it may be the result of another input, since it was written during this run").Of(name).
			WithHint("take fewer inputs at a time")
	}
	return nil
}
