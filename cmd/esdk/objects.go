package main

import (
	"context"
	"path"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/object"
	"gocloud.dev/gcerrors"
)

// Why an object in a folder is skipped.
const isMarker = "marker of a folder"

// planObjects returns jobs for an object, or for all objects in a folder.
func (a *app) planObjects(ctx context.Context, text string, o *treeOptions) ([]job, error) {
	named, err := a.buckets.Parse(ctx, text)
	if err != nil {
		return nil, err
	}
	if named.IsFolder() && !o.recursive {
		return nil, cli.NewError(cli.ExitError, "%s is a folder", named).WithHint("-r takes all objects in it")
	}
	if !named.IsFolder() {
		info, err := named.Info(ctx)
		if err == nil {
			return []job{{input: named.String(), source: named, info: info, size: info.Size()}}, nil
		}
		if !o.recursive || gcerrors.Code(err) != gcerrors.NotFound {
			return []job{{input: named.String(), source: named, err: named.Explain(err)}}, nil
		}
	}
	return walkObjects(ctx, named.Folder(), o)
}

// walkObjects returns jobs for all that is in a folder.
func walkObjects(ctx context.Context, o *object.Object, options *treeOptions) ([]job, error) {
	entries, err := o.List(ctx)
	if err != nil {
		return nil, o.Explain(err)
	}
	var results *object.Object
	if options.object != nil {
		results = options.object.Folder()
		if results.ID() == o.ID() {
			return nil, cli.UsageError("-o names the folder %s itself: without -o, results go beside the objects", o)
		}
	}
	var jobs []job
	for _, e := range entries {
		if e.Key == o.Key {
			continue
		}
		source := o.With(e.Key)
		j := job{
			input: source.String(), source: source, name: strings.TrimPrefix(e.Key, o.Key),
			size: e.Size, info: object.NewInfo(e.Key, e.Size, e.ModTime),
		}
		switch {
		case strings.HasSuffix(e.Key, "/") && e.Size == 0:
			j.skip = isMarker
		case results != nil && results.IsBelow(o) && source.IsBelow(results):
			j.skip = isResults
		case options.filter != nil:
			j.skip = options.filter(e.Key)
		}
		jobs = append(jobs, j)
	}
	if len(jobs) == 0 {
		return nil, cli.NewError(cli.ExitError, "there is no object in it").Of(o.String())
	}
	return jobs, nil
}

// baseName is the last part of the name of an input.
func (j *job) baseName() string {
	if j.source != nil {
		return path.Base(j.source.Key)
	}
	return filepath.Base(j.input)
}

// localName is the name below a folder as one of files. Keys of objects need not
// be names of files, and may lead out of a folder.
func (j *job) localName() (string, error) {
	if j.source == nil {
		return j.name, nil
	}
	name, err := filepath.Localize(j.name)
	if err != nil {
		return "", cli.NewError(cli.ExitNotWritten, "there can be no file of this name")
	}
	return name, nil
}

// keyName is the name below a folder as the end of a key.
func (j *job) keyName() string {
	switch {
	case !j.below():
		return j.baseName()
	case j.source != nil:
		return j.name
	}
	return filepath.ToSlash(j.name)
}

// planObject finds the output of an input in a bucket: what -o names, or beside
// the input.
func (j *job) planObject(ctx context.Context, o *outputOptions, folder bool, rename func(string) string) error {
	switch {
	case o.inPlace:
		j.result, j.output = j.source, j.input
		return nil
	case o.object == nil:
		key := rename(j.source.Key)
		if key == cli.Standard { // of a part
			j.output = cli.Standard
			j.stream = true
			return nil
		}
		if key == j.source.Key {
			return noPlace(j)
		}
		j.result = j.source.With(key)
	case folder && j.input == cli.Standard:
		return cli.UsageError("standard input has no name for an object in folder %s", o.object)
	case folder:
		j.result = o.object.With(o.object.Key + rename(j.keyName()))
	default:
		j.result = o.object
	}
	j.output = j.result.String()
	if !utf8.ValidString(j.result.Key) {
		j.err = cli.NewError(cli.ExitNotWritten, "%s: a key of an object must be UTF-8", j.output)
		return nil
	}
	if j.source != nil && j.source.ID() == j.result.ID() {
		return cli.NewError(cli.ExitNotWritten, "%s is both input and output", j.output)
	}
	return j.checkNoObject(ctx, o)
}

// checkNoObject looks whether the output exists. Who may not look is told by the
// store when the object is made, unless that is to be skipped.
func (j *job) checkNoObject(ctx context.Context, o *outputOptions) error {
	if o.force {
		return nil
	}
	exists, err := o.known.has(ctx, j, o)
	switch {
	case err != nil && o.noClobber:
		j.err = j.result.Explain(err)
	case err == nil && exists:
		return j.checkAbsent(atomicfile.Exists(j.output), o)
	}
	return nil
}

// objectSets are the keys of folders that were listed, so that not each object in
// them is asked for.
type objectSets map[string]objectSet

type objectSet struct {
	keys map[string]bool
	err  error // if they could not be listed
}

func (s *objectSets) has(ctx context.Context, j *job, o *outputOptions) (bool, error) {
	if !j.below() {
		return j.result.Exists(ctx)
	}
	folder := o.object
	if folder == nil {
		folder = j.source.With(strings.TrimSuffix(j.source.Key, j.name))
	}
	keys, ok := (*s)[folder.ID()]
	if !ok {
		entries, err := folder.List(ctx)
		keys = objectSet{err: err, keys: make(map[string]bool)}
		for _, e := range entries {
			keys.keys[e.Key] = true
		}
		if *s == nil {
			*s = make(objectSets)
		}
		(*s)[folder.ID()] = keys
	}
	return keys.keys[j.result.Key], keys.err
}
