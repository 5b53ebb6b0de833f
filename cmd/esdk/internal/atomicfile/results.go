package atomicfile

import (
	"io/fs"
	"time"

	"esdk/cmd/esdk/internal/cli"
)

// results are the files that a run has made, by their IDs: two different names
// may lead to the same file, as on a file system that ignores case. A nil
// results remembers nothing.
type results struct {
	ids    map[fileID]struct{}
	most   int
	oldest time.Time // the earliest modification time of any of them
	full   bool      // ids isn't complete
}

// maxResults limits the number of remembered files. They take some 30 MB.
const maxResults = 1 << 19

// RememberResults keeps a result from replacing another one of the same run.
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

// add records a result. Its arguments are the return values of Lstat for the
// result.
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

// check returns an error if a file is a result. If there are too many results
// to remember, it also rejects every file modified since the first of them, by
// the clock of the file system itself.
func (r *results) check(info fs.FileInfo, name string) error {
	if r == nil {
		return nil
	}
	if _, ok := r.ids[idOf(info)]; ok {
		return cli.NewError(cli.ExitNotWritten, "the output is the result of another input").Of(name)
	}
	if r.full && !info.ModTime().Before(r.oldest) {
		return cli.NewError(cli.ExitNotWritten, "the output was written during this run, and may be the result of another input").Of(name).
			WithHint("pass fewer inputs at a time")
	}
	return nil
}
