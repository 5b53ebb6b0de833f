package place

import (
	"hash/maphash"
	"path/filepath"
	"strings"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/cli"
)

// checkCollisions rejects outputs that are also the output of another job, or
// an input.
func checkCollisions(jobs []Job, o *OutputOptions) error {
	outputs := make(map[string]*Job)
	for i := range jobs {
		j := &jobs[i]
		if j.Target == nil {
			continue
		}
		name := j.Target.ID()
		other, ok := outputs[name]
		if ok && !j.Stream() && other.Source.ID() == j.Source.ID() {
			j.Skip = SkipTwice
			continue
		}
		if ok && !j.Stream() {
			return cli.NewError(cli.ExitNotWritten, "%s and %s would both be written to %s", other.Source.Name(), j.Source.Name(), j.Output())
		}
		outputs[name] = j
	}
	for i := range jobs {
		// Otherwise the bytes read would depend on which job is faster.
		j := &jobs[i]
		if j.Skip != "" || j.Err != nil {
			continue
		}
		if other, ok := outputs[j.Source.ID()]; ok && !other.Stream() && other.Skip == "" && !o.InPlace {
			return cli.NewError(cli.ExitNotWritten, "%s is an input: the result of %s must not replace it", j.Source.Name(), other.Source.Name())
		}
	}
	return checkDirs(jobs, outputs)
}

// checkDirs rejects an output whose name other outputs need for a directory.
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
				return cli.NewError(cli.ExitNotWritten, "%s would be written to %s, but %s needs a directory there", other.Source.Name(), other.Output(), j.Source.Name())
			}
		}
	}
	return nil
}

// taken holds the inputs and outputs of a run, to find one that is named twice.
// A run that replaces or skips existing results has no other way to recognize
// its own; in other runs, creating a result fails if its name is taken. It
// holds only hashes with a random seed. The chance that two of a million names
// share a hash is 1 in millions.
type taken struct {
	seed maphash.Seed
	ids  map[uint64]uint64 // from the hash of an output to the hash of its input
}

// maxTaken limits the hashes to some 30 MB. In place, an input that is named
// again has already been converted by then, or is encrypted once more, so its
// limit is lower.
//
// Skipped inputs, whose results existed before the run, have a limit of their
// own: a resumed run may have millions.
const (
	maxTaken        = 1 << 20
	maxTakenInPlace = 1 << 16
	maxSkipped      = 1 << 18
)

const inputKind, outputKind = 'i', 'o'

func (t *taken) id(kind byte, name string) uint64 {
	if t.ids == nil {
		t.seed, t.ids = maphash.MakeSeed(), make(map[uint64]uint64)
	}
	var h maphash.Hash
	h.SetSeed(t.seed)
	h.WriteByte(kind)
	h.WriteString(name)
	return h.Sum64()
}

// again reports whether the same job has been planned before.
func (o *outputs) again(j *Job) bool {
	if j.Target == nil || len(o.taken.ids) == 0 {
		return false
	}
	in, ok := o.taken.ids[o.taken.id(outputKind, j.Target.ID())]
	return ok && in == o.taken.id(inputKind, j.Source.ID())
}

// take records the input and output of a job, unless no two jobs can share a
// file.
func (o *outputs) take(j *Job) error {
	if !o.several && o.OneToOne || j.Err != nil || j.Skip == SkipTwice || j.Target == nil || j.Stream() {
		return nil
	}
	in, out := j.Source.ID(), j.Target.ID()
	inID, outID, other := o.taken.id(inputKind, in), o.taken.id(outputKind, out), o.taken.id(outputKind, in)
	has := func(id uint64) bool { _, ok := o.taken.ids[id]; return ok }
	skippedID := o.skipped.id(outputKind, out)
	skipped, wasSkipped := o.skipped.ids[skippedID]
	switch {
	case has(outID), wasSkipped && skipped != inID:
		return cli.NewError(cli.ExitNotWritten, "%s is already the result of another input", j.Output())
	case j.Skip != "": // the result existed before the run
		if len(o.skipped.ids) < maxSkipped {
			o.skipped.ids[skippedID] = inID
		}
	case has(o.taken.id(inputKind, out)):
		return cli.NewError(cli.ExitNotWritten, "%s is also an input", j.Output())
	case has(other):
		return cli.NewError(cli.ExitNotWritten, "the input is also the result of another input")
	case o.InPlace && len(o.taken.ids) == maxTakenInPlace:
	case len(o.taken.ids) < maxTaken:
		o.taken.ids[outID] = inID
		if in != out { // otherwise nothing else can be written to it
			o.taken.ids[inID] = inID
		}
	case o.Force || o.Update:
		return cli.NewError(cli.ExitNotWritten, "too many results for one run that replaces files").WithHint("pass fewer inputs at a time, or leave out --force and --update")
	}
	return nil
}

// folders holds directories, none of which is inside another. Their parents are
// in the map too, with the value false.
type folders map[string]bool

// add adds a directory. It returns false if the directory is in one of them, or
// contains one.
func (f *folders) add(id string) bool {
	if *f == nil {
		*f = make(folders)
	}
	if _, above := (*f)[id]; above {
		return false
	}
	var parents []string
	for dir := id; dir != ""; {
		if dir = parent(dir); (*f)[dir] {
			return false
		}
		parents = append(parents, dir)
	}
	(*f)[id] = true
	for _, dir := range parents {
		(*f)[dir] = false
	}
	return true
}

// parent returns the directory of an ID, "" if it has none.
func parent(id string) string {
	i := strings.LastIndexAny(id, "/"+string(filepath.Separator))
	return id[:max(0, i)]
}

// maxRealPaths limits the directories that are remembered.
const maxRealPaths = 10_000

// realPaths tells whether two names are of one file. It remembers the resolved
// paths of directories.
type realPaths map[string]string

func (r realPaths) path(name string) string {
	if name == cli.Standard {
		return name
	}
	dir := filepath.Dir(name)
	if _, ok := r[dir]; !ok {
		if len(r) >= maxRealPaths {
			clear(r)
		}
		r[dir] = atomicfile.RealDir(dir)
	}
	return filepath.Join(r[dir], filepath.Base(name))
}
