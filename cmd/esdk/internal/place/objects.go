package place

import (
	"cmp"
	"context"
	"unicode/utf8"

	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/object"
)

// planObject plans the output of an input in a bucket: the object that -o
// names, or one beside the input.
func (o *outputs) planObject(ctx context.Context, j *Job) error {
	source, _ := j.Source.(*objectSource)
	var result *object.Object
	switch {
	case o.InPlace:
		result = source.Object
	case o.object == nil:
		key := o.Name(source.Key)
		if key == cli.Standard { // the result of a part
			return o.planStdout(j)
		}
		if key == source.Key {
			return noPlace(j)
		}
		result = source.With(key)
	case o.object.IsFolder() && j.Source.Name() == cli.Standard:
		return cli.UsageError("standard input has no name to use in %s: give -o the URL of an object", o.object)
	case o.object.IsFolder():
		result = o.object.With(o.object.Key + o.Name(j.Source.keyName()))
	default:
		result = o.object
	}
	target := &objectTarget{Object: result, pending: o.Pending, force: o.Force, size: j.Size()}
	if j.Special() || j.Source.Info() == nil {
		target.size = -1
	}
	j.Target = target
	if o.InPlace {
		return nil
	}
	if !utf8.ValidString(result.Key) {
		j.Err = cli.NewError(cli.ExitNotWritten, "%s: the key of an object must be UTF-8", j.Output())
		return nil
	}
	if source != nil && source.ID() == result.ID() {
		return cli.NewError(cli.ExitNotWritten, "%s is both input and output", j.Output())
	}
	return o.checkNoObject(ctx, j, target)
}

// checkNoObject checks whether the output exists. Without permission to look,
// the store reports it when the object is created, unless existing objects are
// skipped.
func (o *outputs) checkNoObject(ctx context.Context, j *Job, target *objectTarget) error {
	if o.Force {
		return nil
	}
	take := func(j *Job, seen object.Seen, err error) error {
		if o.Update {
			target.seen = &seen
		}
		switch {
		case err != nil && (o.NoClobber || o.Update):
			j.Err = target.Explain(err)
		case err == nil && seen.Exists:
			return o.checkAbsent(j, seen.ModTime)
		}
		return nil
	}
	if j.Source.Below() {
		keys := o.known.list(ctx, o.resultFolder(j), cmp.Or(o.LookAhead, maxListed))
		if !keys.tooMany {
			return take(j, keys.keys[target.Key], keys.err)
		}
		// Too many requests to make here, one after the other.
		j.look = func(ctx context.Context, j *Job) {
			seen, err := target.Look(ctx)
			if err := take(j, seen, err); err != nil {
				j.Err = err
			}
		}
		return nil
	}
	seen, err := target.Look(ctx)
	return take(j, seen, err)
}

func (o *outputs) resultFolder(j *Job) *object.Object {
	if o.object != nil {
		return o.object
	}
	return j.Source.(*objectSource).folder()
}

// An objectSet has the keys with a prefix, so that not every object needs a
// request.
type objectSet struct {
	folder  string
	keys    map[string]object.Seen
	tooMany bool  // too many to list
	err     error // why they couldn't be listed
}

// maxListed limits the keys of a prefix that are held.
const maxListed = 10 * defaultLookAhead

// list makes s the set of the objects with a prefix, unless it already is. If
// there are more than most, it holds none.
func (s *objectSet) list(ctx context.Context, folder *object.Object, most int) *objectSet {
	if s.folder == folder.ID() {
		return s
	}
	*s = objectSet{folder: folder.ID(), keys: make(map[string]object.Seen)}
	for e, err := range folder.All(ctx) {
		if s.err = err; err != nil {
			break
		}
		if s.tooMany = len(s.keys) == most; s.tooMany {
			s.keys = nil
			break
		}
		s.keys[e.Key] = e.Seen()
	}
	return s
}
