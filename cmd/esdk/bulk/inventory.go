package bulk

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/place"
)

// A Part is a part of the objects that an S3 Inventory lists: some lines of one of its data
// files, which are always the same.
type Part struct {
	Manifest string // its URL, whose parameters are those of the bucket, too
	File     int    // of the data files, from 0
	From     int    // how many lines are in front
	Objects  int    // how many lines there are at most
	Bytes    int64  // of those that are to be looked at, as far as the inventory tells

	// AllVersions has an audit look at versions that are not the latest, too. A rotation
	// passes over them.
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

func (w *Work) unread(err error) error {
	return &ListError{Folder: "the inventory", Text: w.message(err), Retryable: cli.Retryable(err)}
}

// lines yields some of a data file.
func (w *Work) lines(ctx context.Context, i *place.Inventory, part Part, yield func(place.Job) bool) error {
	if part.File < 0 || part.File >= i.Files() {
		return fmt.Errorf("the inventory has %d data files, and none with the number %d", i.Files(), part.File)
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

// DoPart is as [Work.Do] for the objects in a part of an inventory. Lines of versions
// that are not the current ones are told as skipped.
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

// SplitInventory yields parts of an inventory with so many lines, but for the last of each
// data file, from one of its data files and lines on.
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

// splitFile reports whether more parts are wanted.
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
