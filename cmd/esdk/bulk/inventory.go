package bulk

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/place"
)

// A Part is a part of the objects in an S3 Inventory: consecutive lines of one
// of its data files. The same part always has the same lines.
type Part struct {
	Manifest string // URL of the manifest; its parameters also apply to the bucket
	File     int    // number of the data file, from 0
	From     int    // number of lines before the part
	Objects  int    // largest number of lines in the part
	Bytes    int64  // size of the objects to be processed, as far as the inventory tells

	// AllVersions makes an audit include versions that aren't the latest. A
	// rotation skips them.
	AllVersions bool
}

func (w *Work) openInventory(ctx context.Context, in Part) (*place.Inventory, error) {
	p := &place.Planner{UI: w.settings.UI, Buckets: w.buckets}
	i, err := p.OpenInventory(ctx, in.Manifest, in.AllVersions && w.audit != nil)
	if err != nil {
		return nil, w.unread(err)
	}
	return i, nil
}

// InventoryCreated returns when the inventory of a part was written, or a zero
// time if its manifest doesn't say.
func (w *Work) InventoryCreated(ctx context.Context, in Part) (time.Time, error) {
	i, err := w.openInventory(ctx, in)
	if err != nil {
		return time.Time{}, err
	}
	return i.Created, nil
}

func (w *Work) unread(err error) error {
	return &ListError{Folder: "the inventory", Text: w.message(err), Retryable: cli.Retryable(err)}
}

// lines yields the lines of a part.
func (w *Work) lines(ctx context.Context, i *place.Inventory, part Part, yield func(place.Job) bool) error {
	if part.File < 0 || part.File >= i.Files() {
		return fmt.Errorf("the inventory has %d data files, but none has the number %d", i.Files(), part.File)
	}
	line := 0
	for j, err := range i.Jobs(ctx, part.File) {
		if err != nil && ctx.Err() == nil {
			return w.unread(err)
		}
		if err != nil || line == part.From+part.Objects || line >= part.From && !yield(j) {
			break
		}
		line++
	}
	return ctx.Err()
}

// DoPart is like [Work.Do], for the objects in a part of an inventory. Versions
// that aren't the current ones are reported as skipped.
func (w *Work) DoPart(ctx context.Context, in Part, each func(Result) error) error {
	i, err := w.openInventory(ctx, in)
	if err != nil {
		return err
	}
	run := &run{Work: w, teller: newTeller(each)}
	return run.do(ctx, place.InputOptions{Found: func(yield func(place.Job) bool) {
		run.err = w.lines(ctx, i, in, func(j place.Job) bool {
			return run.begin(j.Given()) && yield(j)
		})
	}})
}

// SplitInventory yields parts of an inventory, starting at the data file and
// line of from. Each part has the given number of lines, except for the last
// part of each data file.
func (w *Work) SplitInventory(ctx context.Context, from Part, objects int) iter.Seq2[Part, error] {
	return func(yield func(Part, error) bool) {
		if objects < 1 {
			yield(Part{}, errors.New("bulk: a part has at least one object"))
			return
		}
		i, err := w.openInventory(ctx, from)
		for err == nil && from.File < i.Files() {
			var more bool
			if more, err = w.splitFile(ctx, i, from, objects, yield); err == nil && !more {
				return
			}
			from.File, from.From = from.File+1, 0
		}
		if err != nil {
			yield(Part{}, err)
		}
	}
}

// splitFile yields the parts of a data file, and reports whether the caller
// wants more parts.
func (w *Work) splitFile(ctx context.Context, i *place.Inventory, from Part, objects int, yield func(Part, error) bool) (more bool, err error) {
	part := Part{Manifest: from.Manifest, File: from.File, From: from.From, AllVersions: from.AllVersions}
	more = true
	from.Objects = int(^uint(0)>>1) - from.From // all
	err = w.lines(ctx, i, from, func(j place.Job) bool {
		if part.Objects == objects {
			if more = yield(part, nil); !more {
				return false
			}
			part = Part{Manifest: from.Manifest, File: from.File, From: part.From + objects, AllVersions: from.AllVersions}
		}
		part.Objects++
		if j.Skip == "" {
			part.Bytes += j.Size()
		}
		return true
	})
	if err == nil && more && part.Objects > 0 {
		more = yield(part, nil)
	}
	return more, err
}
