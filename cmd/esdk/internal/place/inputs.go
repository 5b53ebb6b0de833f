package place

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/object"
	"gocloud.dev/gcerrors"
)

// find yields the inputs. An error beside a job is the user's mistake: if it's
// seen before any work, nothing is done.
func (p *Planner) find(ctx context.Context, named iter.Seq2[named, error], o *InputOptions) iter.Seq2[Job, error] {
	return func(yield func(Job, error) bool) {
		unseen := *o // don't ask for the objects of a long list one after the other
		unseen.Unseen = true
		for n, err := range named {
			if err != nil {
				yield(Job{Source: &unopened{o.List}}, err)
				return
			}
			found := func(j Job, err error) bool {
				if !j.Source.Below() {
					j.given = n.name
				}
				if n.listed {
					j.fail(err)
					err = nil
				}
				if n.misnamed(&j); o.List != "" && n.listed && j.Err != nil && strings.Contains(n.name, "\n") {
					j.Err = cli.Hinted(j.Err, listHint)
				}
				return yield(j, err)
			}
			of := o
			if n.listed {
				of = &unseen
			}
			if !p.findNamed(ctx, n.name, of, found) {
				return
			}
		}
	}
}

// listHint is for a list of lines, which reads as one long name.
const listHint = `each name in a list must end in a zero byte: use find -print0, or convert lines with tr '\n' '\0'`

// A named is an input as the user named it. A list may have a million names and
// come from a program, so a mistake in it fails only that input.
type named struct {
	name   string
	listed bool
}

// misnamed explains a name for which there is no file: a list of lines reads as
// one long name, of which it keeps the start, and after -- a flag reads as a
// name with a dash.
func (n *named) misnamed(j *Job) {
	const most = 200
	switch {
	case !errors.Is(j.Err, fs.ErrNotExist) && !errors.Is(j.Err, syscall.ENAMETOOLONG):
	case len(n.name) > most:
		j.Source = &unopened{strings.ToValidUTF8(n.name[:most], "") + "…"}
		j.Err = cli.NewError(cli.ExitError, "no such file: the name has %d bytes", len(n.name)).OfKind(cli.Kind(j.Err))
	case !n.listed && strings.HasPrefix(n.name, "-"):
		j.Err = cli.Hinted(j.Err, "all arguments after -- are names: put flags before it")
	}
}

func (p *Planner) findNamed(ctx context.Context, name string, o *InputOptions, yield func(Job, error) bool) bool {
	if name == "" {
		return yield(Job{Source: &unopened{name}}, cli.UsageError("a name in the list is empty"))
	}
	if object.IsURL(name) {
		return p.findObjects(ctx, name, o, yield)
	}
	path, err := parseFileURL(name)
	if err != nil {
		return yield(Job{Source: &unopened{name}}, err)
	}
	path = standard(path, standardInput)
	if !o.Recursive && !o.shard.has(path) {
		return true
	}
	j, err := p.findFile(path, o)
	if err != nil || path == cli.Standard || j.Err != nil || !j.Source.Info().IsDir() {
		return yield(j, err)
	}
	if !o.Recursive {
		j.fail(cli.NewError(cli.ExitError, "%s is a directory", path).WithHint("use -r to take all files in it"))
		return yield(j, nil)
	}
	t, err := openTree(path)
	if err == nil && o.admit != nil {
		err = o.admit(t, strings.TrimSuffix(t.real, string(filepath.Separator)))
	}
	if err != nil {
		j.search = true
		return yield(j, err)
	}
	return t.walk(o, yield)
}

// findFile looks at a named input. A missing one fails only its own job.
func (p *Planner) findFile(path string, o *InputOptions) (Job, error) {
	if path == cli.Standard {
		if _, err := p.UI.ClaimStdin("the input"); err != nil {
			return Job{Source: &stdin{}}, err
		}
		info, err := p.UI.Stdin.Stat()
		return Job{Source: &stdin{p.UI.Stdin, info}}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		info = nil
	}
	return Job{Source: &file{name: path, path: path, info: info, real: o.real}, Err: err}, nil
}

// check rejects options that make no sense.
func (o *InputOptions) check() error {
	switch o.Symlinks {
	case "", "skip", "follow", "error":
	default:
		return cli.UsageError("--symlinks %s: must be skip, follow or error", cli.Printable(o.Symlinks))
	}
	for _, p := range slices.Concat(o.Include, o.Exclude) {
		if _, err := path.Match(p, ""); err != nil || strings.Contains(p, "**") || strings.ContainsAny(strings.ReplaceAll(p, `\{`, ""), "{") {
			return cli.UsageError("pattern %s: only *, ? and [a-z] have a meaning", cli.Printable(p)).WithHint(`to match *, ?, [ or { itself, put a backslash before it`)
		}
	}
	if o.Command && (o.Recursive || o.List != "" || o.Inventory != "" || o.Shard != "") {
		return cli.UsageError("--command cannot be used with -r, --files-from0, --inventory or --shard")
	}
	if o.Inventory != "" && object.IsURL(o.Inventory) && !strings.HasPrefix(o.Inventory, "s3://") {
		return cli.UsageError("--inventory %s: must be an s3:// URL or a file", cli.Printable(o.Inventory))
	}
	if o.AllVersions && o.Inventory == "" {
		return cli.UsageError("--all-versions needs --inventory")
	}
	if strings.ContainsFunc(o.Suffix, func(r rune) bool { return r < 0x80 && os.IsPathSeparator(uint8(r)) }) {
		return cli.UsageError("--suffix %s: must not contain a path separator", cli.Printable(o.Suffix))
	}
	return nil
}

// Named reports whether any input is given. If none is, standard input is read.
func (o *InputOptions) Named(inputs []string) bool {
	return len(inputs) > 0 || o.List != "" || o.Names != nil || o.Found != nil || o.Inventory != "" || o.Command
}

// checkNamed refuses to read standard input if many inputs are meant. Then a
// name is missing, such as the value of an unset variable.
func (o *InputOptions) checkNamed(inputs []string) error {
	switch {
	case o.Named(inputs):
	case o.Recursive:
		return NotNamed("-r")
	case o.Shard != "":
		return NotNamed("--shard")
	}
	return nil
}

// NotNamed is the error of a flag that needs a named input.
func NotNamed(flag string) error {
	return cli.UsageError("%s needs a FILE, --files-from0 or --inventory", flag).WithHint("to read standard input, give - as FILE")
}

// leftOut returns why a file in a directory is left out, "" if it isn't. Its
// name is relative to the directory that was named, with slashes.
func (o *InputOptions) leftOut(name string) string {
	if len(o.Include) > 0 && !matchAny(o.Include, name) || matchAny(o.Exclude, name) {
		return skipPattern
	}
	if o.Filter == nil {
		return ""
	}
	return o.Filter(name)
}

// matchAny reports whether one of the patterns matches a file or a directory
// above it. A pattern without a slash matches names at any depth.
func matchAny(patterns []string, name string) bool {
	for _, p := range patterns {
		p, whole := strings.CutPrefix(p, "/")
		whole = whole || strings.Contains(p, "/")
		for at := name; at != ""; at = at[:max(0, strings.LastIndexByte(at, '/'))] { // without cleaning: a key may have // or ..
			of := at
			if !whole {
				of = path.Base(at)
			}
			if ok, _ := path.Match(strings.TrimSuffix(p, "/"), of); ok && (at != name || !strings.HasSuffix(p, "/")) {
				return true
			}
		}
	}
	return false
}

// findCommand yields the output of a program as the only input.
func (p *Planner) findCommand(args []string) iter.Seq2[Job, error] {
	return func(yield func(Job, error) bool) {
		yield(Job{Source: newCommand(args, p.UI, p.Pending)}, nil)
	}
}

// names returns the names on the command line, then those in a list.
func (p *Planner) names(inputs []string, o *InputOptions) (iter.Seq2[named, error], error) {
	if !o.Named(inputs) {
		inputs = []string{cli.Standard}
	}
	var list io.ReadCloser
	if o.List != "" {
		var err error
		if list, err = p.openList(o.List); err != nil {
			return nil, err
		}
	}
	return func(yield func(named, error) bool) {
		for _, name := range inputs {
			if !yield(named{name, false}, nil) {
				return
			}
		}
		if o.Names != nil {
			for name := range o.Names {
				if !yield(named{name, true}, nil) {
					return
				}
			}
		}
		if list != nil {
			defer list.Close()
			readList(list, o.List, func(name string, err error) bool { return yield(named{name, true}, err) })
		}
	}, nil
}

func (p *Planner) openList(path string) (io.ReadCloser, error) {
	if path = standard(path, standardInput); path != cli.Standard {
		f, err := os.Open(path)
		if err != nil {
			return nil, cli.NamedFile("--files-from0", err)
		}
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			p.Protected.Add(info)
		}
		return f, nil
	}
	in, err := p.UI.ClaimStdin("the list of names")
	return io.NopCloser(in), err
}

// maxName is the longest name in a list, in bytes. No file system or store
// takes one of this length.
const maxName = 64 << 10

// readList yields the names in a list, each of which ends with a zero byte. The
// last one doesn't need it.
func readList(list io.Reader, path string, yield func(string, error) bool) {
	s := bufio.NewScanner(list)
	s.Buffer(nil, maxName)
	s.Split(func(data []byte, atEOF bool) (int, []byte, error) {
		if i := bytes.IndexByte(data, 0); i >= 0 {
			return i + 1, data[:i], nil
		}
		if atEOF && len(data) > 0 {
			return len(data), data, nil
		}
		return 0, nil, nil
	})
	for s.Scan() {
		name := s.Text()
		if name == cli.Standard {
			name = cli.Join("", cli.Standard) // a file called "-"
		}
		if !yield(name, nil) {
			return
		}
	}
	switch err := s.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		yield("", cli.UsageError("--files-from0 %s: a name has more than %d bytes", cli.Printable(path), maxName).WithHint(listHint))
	case err != nil:
		yield("", cli.NamedFile("--files-from0", err)) // the list may be a directory
	}
}

// findObjects yields an object, or all objects with a prefix.
func (p *Planner) findObjects(ctx context.Context, text string, o *InputOptions, yield func(Job, error) bool) bool {
	named, err := p.Buckets.ParseInput(ctx, text)
	if err != nil {
		name, _, _ := strings.Cut(text, "?") // parameters may be secret
		return yield(Job{Source: &unopened{name}}, err)
	}
	if !o.Recursive && !o.shard.has(named.Path()) {
		return true
	}
	j := Job{Source: &objectSource{named, "", nil}}
	if named.Unreachable() {
		j.fail(object.ErrUnreachable)
		return yield(j, nil)
	}
	if named.IsFolder() && !o.Recursive {
		j.fail(cli.NewError(cli.ExitError, "%s is a directory", named).WithHint("use -r to take all objects in it"))
		return yield(j, nil)
	}
	if o.Unseen && !o.Recursive && !named.IsFolder() {
		return yield(j, nil)
	}
	if !named.IsFolder() {
		info, err := named.Info(ctx)
		if err == nil {
			return yield(Job{Source: &objectSource{named, "", info}}, nil)
		}
		if !o.Recursive || gcerrors.Code(err) != gcerrors.NotFound {
			j.Err = named.ExplainInput(err)
			return yield(j, nil)
		}
	}
	if o.admit != nil {
		if err := o.admit(nil, strings.TrimSuffix(named.ID(), "/")); err != nil {
			j.search = true
			return yield(j, err)
		}
	}
	return walkObjects(ctx, named.Folder(), o, yield)
}

// walkObjects yields a job for each object with a prefix.
func walkObjects(ctx context.Context, o *object.Object, options *InputOptions, yield func(Job, error) bool) bool {
	f, err := newObjectFolder(o, options)
	if err != nil {
		return yield(Job{Source: &objectSource{o, "", nil}, search: true}, err)
	}
	empty := true
	for e, err := range o.All(ctx) {
		if err != nil {
			return yield(Job{Source: &objectSource{o, "", nil}, search: true}, o.Explain(err))
		}
		if e.Key == o.Key {
			continue
		}
		empty = false
		if !yield(f.job(o.Listed(e), infoOf(e)), nil) {
			return false
		}
	}
	if empty {
		return yield(Job{Source: &objectSource{o, "", nil}, search: true}, cli.NewError(cli.ExitError, "no objects found").Of(o.String()))
	}
	return true
}

// infoOf describes an object in a listing. An empty object may be a placeholder
// for later content, so it's looked at again when its turn comes.
func infoOf(e *object.Entry) *object.Info {
	if e.Size == 0 {
		return object.OldInfo(e.Key, 0, e.ModTime)
	}
	return object.NewInfo(e.Key, e.Size, e.ModTime)
}

// InFolder returns the job for an object in the listing of a prefix.
func InFolder(folder *object.Object, e *object.Entry) Job {
	f := &objectFolder{Object: folder, options: new(InputOptions)}
	return f.job(folder.Listed(e), infoOf(e))
}

// An objectFolder is a prefix whose objects are inputs.
type objectFolder struct {
	*object.Object
	options *InputOptions
	results *object.Object // given by -o, nil if there is none
}

func newObjectFolder(o *object.Object, options *InputOptions) (*objectFolder, error) {
	f := &objectFolder{Object: o, options: options}
	if options.object != nil {
		f.results = options.object.Folder()
		if f.results.ID() == o.ID() {
			return nil, cli.UsageError("-o names the input directory %s: leave out -o to write results beside the objects", o)
		}
	}
	return f, nil
}

// job returns the job for an object in the bucket. The info is nil if it isn't
// known. An object that is left out may be unreachable.
func (f *objectFolder) job(source *object.Object, info *object.Info) Job {
	name := strings.TrimPrefix(source.Key, f.Key)
	j := Job{Source: &objectSource{source, name, info}}
	switch {
	case strings.HasSuffix(source.Key, "/") && info != nil && info.Size() == 0:
		j.Skip = skipMarker
	case f.results != nil && f.results.IsBelow(f.Object) && source.IsBelow(f.results):
		j.Skip = skipResults
	default:
		j.Skip = f.options.leftOut(name)
	}
	if j.Skip == "" && source.Unreachable() {
		j.fail(object.ErrUnreachable)
	}
	return j
}

// parseFileURL returns the path of a file:// URL. It returns other names as
// they are.
func parseFileURL(name string) (string, error) {
	if !strings.HasPrefix(name, "file://") {
		return name, nil
	}
	u, err := url.Parse(name)
	if err != nil || u.Host != "" && u.Host != "localhost" || !strings.HasPrefix(u.Path, "/") || u.RawQuery != "" || u.Fragment != "" {
		return "", cli.UsageError("%s: must be file:///PATH, with %%25, %%3F and %%23 for a percent sign, question mark and number sign", cli.Printable(name))
	}
	return filePath(u.Path), nil
}
