package bulk

import (
	"context"
	"errors"
	"iter"

	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/object"
	"esdk/cmd/esdk/internal/place"
)

// A Range is a part of the objects in a folder, in the order of their keys.
type Range struct {
	Folder string // its URL, such as s3://bucket/key/?region=us-west-2
	After  string // the key in front of the first one; "" for all from the first on
	Until  string // the last key; "" for all up to the last
}

// A Chunk is a range, and what was in it when it was listed.
type Chunk struct {
	Range
	Objects int
	Bytes   int64
}

// errOrder is about stores such as directory buckets of S3.
var errOrder = errors.New("the store does not list in the order of keys, so that there are no ranges of them; give names, as of an inventory")

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
			continue // its marker
		}
		if !yield(folder, e) {
			return nil
		}
	}
	return ctx.Err()
}

// unlisted keeps whether a list may go well later.
func (w *Work) unlisted(folder *object.Object, err error) error {
	err = folder.Explain(err)
	return &ListError{Folder: folder.String(), Text: w.message(err), Retryable: cli.Retryable(err)}
}

// A ListError is that a folder cannot be listed, or an inventory not be read.
type ListError struct {
	Folder, Text string
	Retryable    bool
}

func (e *ListError) Error() string { return e.Folder + " cannot be listed: " + e.Text }

// DoRange is as [Work.Do] for the objects in a range that are there when it comes to
// them.
func (w *Work) DoRange(ctx context.Context, in Range, each func(Result) error) error {
	run := &run{Work: w, teller: newTeller(each)}
	return run.do(ctx, place.InputOptions{Found: func(yield func(place.Job) bool) {
		run.err = w.list(ctx, in, func(folder *object.Object, e *object.Entry) bool {
			j := place.InFolder(folder, e)
			return run.begin(j.Given()) && yield(j)
		})
	}})
}

// Split yields parts of a range, each with so many objects, but for the last, which has the
// rest. It lists all of the range, and holds no names.
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
