package place

import (
	"path/filepath"

	"esdk/cmd/esdk/internal/cli"
)

// checkCollisions refuses outputs that are those of others, or inputs.
func checkCollisions(jobs []Job, o *OutputOptions) error {
	outputs := make(map[string]*Job)
	for i := range jobs {
		j := &jobs[i]
		if j.Target == nil {
			continue
		}
		name := j.Target.ID()
		if other, ok := outputs[name]; ok && !j.Stream() {
			return cli.NewError(cli.ExitNotWritten, "%s and %s would both be written to %s", other.Source.Name(), j.Source.Name(), j.Output())
		}
		outputs[name] = j
	}
	for i := range jobs {
		// Else what is read would depend on which job is faster.
		j := &jobs[i]
		if j.Skip != "" || j.Err != nil {
			continue
		}
		if other, ok := outputs[j.Source.ID()]; ok && !other.Stream() && other.Skip == "" && !o.InPlace {
			return cli.NewError(cli.ExitNotWritten, "%s is an input, and %s would be written to it", j.Source.Name(), other.Source.Name())
		}
	}
	return checkDirs(jobs, outputs)
}

// checkDirs refuses an output whose name others need for their directory.
func checkDirs(jobs []Job, outputs map[string]*Job) error {
	seen := make(map[string]bool)
	for i := range jobs {
		j := &jobs[i]
		target, ok := j.Target.(*treeTarget)
		if !ok {
			continue
		}
		for dir := filepath.Dir(target.ID()); len(dir) > len(target.tree.real) && !seen[dir]; dir = filepath.Dir(dir) {
			seen[dir] = true
			if other, ok := outputs[dir]; ok {
				return cli.NewError(cli.ExitNotWritten, "%s would be written to %s, which %s needs for a folder", other.Source.Name(), other.Output(), j.Source.Name())
			}
		}
	}
	return nil
}

// realPaths tell whether two names are of one file. They remember what the links
// on the way to a directory lead to.
type realPaths map[string]string

func (r realPaths) path(name string) string {
	if name == cli.Standard {
		return name
	}
	dir := filepath.Dir(name)
	if _, ok := r[dir]; !ok {
		r[dir] = cli.Clean(dir)
		if resolved, err := filepath.EvalSymlinks(dir); err == nil {
			r[dir] = cli.Clean(resolved)
		}
	}
	return filepath.Join(r[dir], filepath.Base(name))
}
