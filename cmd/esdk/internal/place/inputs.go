package place

import (
	"bytes"
	"context"
	"io"
	"net/url"
	"os"
	"strings"

	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/object"
	"gocloud.dev/gcerrors"
)

// Inputs finds the inputs of a command that writes nothing.
func (p *Planner) Inputs(ctx context.Context, inputs []string, o *InputOptions) ([]Job, error) {
	o.real = make(realPaths)
	jobs, _, err := p.planInputs(ctx, inputs, o)
	return jobs, err
}

// planInputs finds the inputs, and those of folders with the trees that they are.
func (p *Planner) planInputs(ctx context.Context, inputs []string, o *InputOptions) (jobs []Job, trees []*tree, err error) {
	if inputs, err = p.listInputs(inputs, o); err != nil {
		return nil, nil, err
	}
	for _, input := range inputs {
		if object.IsURL(input) {
			found, err := p.planObjects(ctx, input, o)
			if err != nil {
				return nil, nil, err
			}
			jobs = append(jobs, found...)
			continue
		}
		if input, err = parseFileURL(input); err != nil {
			return nil, nil, err
		}
		j, err := p.planInput(input, o)
		if err != nil {
			return nil, nil, err
		}
		if input == cli.Standard || j.Err != nil || !j.Source.Info().IsDir() {
			jobs = append(jobs, j)
			continue
		}
		if !o.Recursive {
			return nil, nil, cli.NewError(cli.ExitError, "%s is a folder", input).WithHint("-r takes all files in it")
		}
		t, err := openTree(input)
		if err != nil {
			return nil, nil, err
		}
		trees = append(trees, t)
		jobs = append(jobs, t.walk(o)...)
	}
	return jobs, trees, nil
}

// planInput looks at an input that was named. One that is not there fails alone.
func (p *Planner) planInput(input string, o *InputOptions) (Job, error) {
	if input == cli.Standard {
		if _, err := p.UI.ClaimStdin("the input"); err != nil {
			return Job{}, err
		}
		info, err := p.UI.Stdin.Stat()
		return Job{Source: &stdin{p.UI.Stdin, info}}, err
	}
	info, err := os.Stat(input)
	if err != nil {
		info = nil
	}
	return Job{Source: &file{input, info, o.real}, Err: err}, nil
}

// listInputs adds the names of a list to those of the command line.
func (p *Planner) listInputs(inputs []string, o *InputOptions) ([]string, error) {
	switch o.Symlinks {
	case "", "skip", "follow", "error":
	default:
		return nil, cli.UsageError("--symlinks %s: want skip, follow or error", cli.Printable(o.Symlinks))
	}
	if strings.ContainsFunc(o.Suffix, func(r rune) bool { return r < 0x80 && os.IsPathSeparator(uint8(r)) }) {
		return nil, cli.UsageError("--suffix %s: a suffix is no folder", cli.Printable(o.Suffix))
	}
	if o.List == "" {
		if len(inputs) == 0 {
			inputs = []string{cli.Standard}
		}
		return inputs, nil
	}
	text, err := p.readList(o.List)
	if err != nil || len(text) == 0 {
		return inputs, err
	}
	for name := range bytes.SplitSeq(bytes.TrimSuffix(text, []byte{0}), []byte{0}) {
		if len(name) == 0 {
			return nil, cli.UsageError("--files-from0 %s: has an empty name", cli.Printable(o.List))
		}
		if string(name) == cli.Standard {
			name = []byte(cli.Join("", cli.Standard)) // a file of this name
		}
		inputs = append(inputs, string(name))
	}
	return inputs, nil
}

func (p *Planner) readList(path string) ([]byte, error) {
	if path != cli.Standard {
		return os.ReadFile(path)
	}
	in, err := p.UI.ClaimStdin("the list of names")
	if err != nil {
		return nil, err
	}
	return io.ReadAll(in)
}

// planObjects returns jobs for an object, or for all objects in a folder.
func (p *Planner) planObjects(ctx context.Context, text string, o *InputOptions) ([]Job, error) {
	named, err := p.Buckets.Parse(ctx, text)
	if err != nil {
		return nil, err
	}
	if named.IsFolder() && !o.Recursive {
		return nil, cli.NewError(cli.ExitError, "%s is a folder", named).WithHint("-r takes all objects in it")
	}
	if !named.IsFolder() {
		info, err := named.Info(ctx)
		if err == nil {
			return []Job{{Source: &objectSource{named, "", info}}}, nil
		}
		if !o.Recursive || gcerrors.Code(err) != gcerrors.NotFound {
			return []Job{{Source: &objectSource{named, "", nil}, Err: named.Explain(err)}}, nil
		}
	}
	return walkObjects(ctx, named.Folder(), o)
}

// walkObjects returns jobs for all that is in a folder.
func walkObjects(ctx context.Context, o *object.Object, options *InputOptions) ([]Job, error) {
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
	var jobs []Job
	for _, e := range entries {
		if e.Key == o.Key {
			continue
		}
		source := o.With(e.Key)
		j := Job{Source: &objectSource{source, strings.TrimPrefix(e.Key, o.Key), object.NewInfo(e.Key, e.Size, e.ModTime)}}
		switch {
		case strings.HasSuffix(e.Key, "/") && e.Size == 0:
			j.Skip = skipMarker
		case results != nil && results.IsBelow(o) && source.IsBelow(results):
			j.Skip = skipResults
		case options.Filter != nil:
			j.Skip = options.Filter(e.Key)
		}
		jobs = append(jobs, j)
	}
	if len(jobs) == 0 {
		return nil, cli.NewError(cli.ExitError, "there is no object in it").Of(o.String())
	}
	return jobs, nil
}

// parseFileURL returns the path of a file:// URL, or the name itself if it is
// none.
func parseFileURL(name string) (string, error) {
	if !strings.HasPrefix(name, "file://") {
		return name, nil
	}
	u, err := url.Parse(name)
	if err != nil || u.Host != "" && u.Host != "localhost" || !strings.HasPrefix(u.Path, "/") || u.RawQuery != "" || u.Fragment != "" {
		return "", cli.UsageError("%s: want file:///PATH, with %%25, %%3F and %%23 for a percent sign, question mark and number sign", cli.Printable(name))
	}
	return filePath(u.Path), nil
}
