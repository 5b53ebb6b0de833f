package bulk

import (
	"context"
	"errors"
	"iter"

	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/object"
	"esdk/cmd/esdk/internal/place"
)

// A Range is a range of the objects under a prefix, in the order of their keys.
type Range struct {
	Folder string // URL of the prefix, such as s3://bucket/key/?region=us-west-2
	After  string // the key before the first one; "" starts at the first object
	Until  string // the last key; "" ends at the last object
}

// A Chunk is a range with the number and total size, in bytes, of its objects
// when it was listed.
type Chunk struct {
	Range
	Objects int
	Bytes   int64
}

// errOrder is returned for stores such as directory buckets of S3.
var errOrder = errors.New("the store does not list keys in order, so it cannot be split into ranges: use an inventory")

// list yields the objects in a range.
func (w *Work) list(ctx context.Context, in Range, yield func(*object.Object, *object.Entry) bool) error {
	named, err := w.buckets.Parse(ctx, in.Folder)
	if err != nil {
		return errors.New(w.message(err))
	}
	folder, last := named.Folder(), in.After
	for e, err := range folder.Between(ctx, in.After, in.Until) {
		if err != nil {
			return w.unlisted(folder, err)
		}
		if e.Raw <= last {
			return errOrder
		}
		if last = e.Raw; e.Key == folder.Key {
			continue // marks the prefix
		}
		if !yield(folder, e) {
			return nil
		}
	}
	return ctx.Err()
}

// unlisted converts an error of a list, and keeps whether a retry may succeed.
func (w *Work) unlisted(folder *object.Object, err error) error {
	err = folder.Explain(err)
	return &ListError{Folder: folder.String(), Text: w.message(err), Retryable: cli.Retryable(err)}
}

// A ListError reports that a prefix can't be listed, or that an inventory can't
// be read.
type ListError struct {
	Folder, Text string
	Retryable    bool
}

// Error returns the location and the reason.
func (e *ListError) Error() string { return e.Folder + " cannot be listed: " + e.Text }

// DoRange is like [Work.Do], for the objects in a range that exist when it
// reaches them.
func (w *Work) DoRange(ctx context.Context, in Range, each func(Result) error) error {
	run := &run{Work: w, teller: newTeller(each)}
	return run.do(ctx, place.InputOptions{Found: func(yield func(place.Job) bool) {
		run.err = w.list(ctx, in, func(folder *object.Object, e *object.Entry) bool {
			j := place.InFolder(folder, e)
			return run.begin(j.Given()) && yield(j)
		})
	}})
}

// Split yields consecutive parts of a range. Each part has the given number of
// objects, except for the last one, which has the rest. Split lists the whole
// range, and keeps no names in memory.
func (w *Work) Split(ctx context.Context, in Range, objects int) iter.Seq2[Chunk, error] {
	return func(yield func(Chunk, error) bool) {
		if objects < 1 {
			yield(Chunk{}, errors.New("bulk: a chunk has at least one object"))
			return
		}
		chunk, stopped := Chunk{Range: Range{Folder: in.Folder, After: in.After}}, false
		err := w.list(ctx, in, func(_ *object.Object, e *object.Entry) bool {
			if chunk.Objects == objects {
				if stopped = !yield(chunk, nil); stopped {
					return false
				}
				chunk = Chunk{Range: Range{Folder: in.Folder, After: chunk.Until}}
			}
			chunk.Until = e.Raw
			chunk.Objects++
			chunk.Bytes += e.Size
			return true
		})
		switch {
		case stopped:
		case err != nil:
			yield(Chunk{}, err)
		case chunk.Objects > 0:
			chunk.Until = in.Until
			yield(chunk, nil)
		}
	}
}
