// Package place plans the inputs of a run and the places of their results:
// files, directories, objects and standard streams.
package place

import (
	"context"
	"io"
	"io/fs"
	"iter"
	"strings"
	"time"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/object"
)

// A Source is the input of a job.
type Source interface {
	// Name is the name as the user gave it, or one below a directory that the
	// user gave.
	Name() string

	// ID is equal for two names of one file or object. It is for comparisons,
	// not for display.
	ID() string

	// Info describes the source as planning saw it. It is nil if nothing was
	// there.
	Info() fs.FileInfo

	// Below reports whether it was found in a directory that was named.
	Below() bool

	// Remote reports whether it is in a store.
	Remote() bool

	Open(ctx context.Context) (Input, error)

	// localName and keyName return the start of the result's name, in a
	// directory and in a bucket: the path below the directory that was named,
	// or the base name.
	localName() (string, error)
	keyName() string
}

// An Input is an open [Source].
type Input interface {
	io.ReadSeekCloser
	io.ReaderAt
	Stat() (fs.FileInfo, error)

	// Changed returns an error if the file has changed since it was opened, so
	// that the bytes read may be from different times. It returns nil for
	// inputs that can't change, or whose state can't be determined.
	Changed() error
}

// A Target is the place of a result. It remembers the file or object that
// planning found there, which may or may not be replaced. It replaces nothing
// else: if another one has appeared, or the known one has changed, Create or
// Commit fails.
type Target interface {
	Name() string
	ID() string

	// Stream reports whether it is a pipe, a device or standard output, where
	// bytes are visible as soon as they're written.
	Stream() bool

	Remote() bool

	Create(ctx context.Context, o CreateOptions) (Output, error)
}

// CreateOptions control how a result is made.
type CreateOptions struct {
	Mode       fs.FileMode // of a file
	SideBySide bool        // other results are written at the same time
	Sparse     bool        // blocks of zeros become holes in a file

	// Like is the file that the result replaces. The result keeps its owner,
	// mode, access control list and extended attributes. Like is nil for a new
	// file.
	Like Input
}

// An Output receives a message or plaintext. Unless it's a stream, nothing of
// it is visible before Commit.
type Output interface {
	io.Writer
	Commit() error
	Abort() // has no effect after Commit
}

// A Job is one input and the target of its result.
type Job struct {
	Source Source
	Target Target // nil if nothing is written
	Skip   string // why the input is skipped, "" if it isn't
	Err    error  // why the job fails

	look   func(context.Context, *Job) // see Look; it gets the job, which may be a copy of the one planned
	search bool                        // the source is a directory that can't be searched, or has no inputs
	given  string                      // the input's name as the user gave it, "" if it was found below another
	in     Input                       // set by Open
}

// Given returns the name of the input as the user gave it, with the parameters
// of a URL. For an input found below that name, it returns a name that can be
// given. Parameters may be secret: only a report for the user has them.
func (j *Job) Given() string {
	if j.given != "" {
		return j.given
	}
	if o, ok := j.Source.(*objectSource); ok {
		return o.Object.Given()
	}
	return j.Source.Name()
}

// Open opens the input and remembers it until End.
func (j *Job) Open(ctx context.Context) (in Input, err error) {
	in, err = j.Source.Open(ctx)
	j.in = in
	return in, err
}

// Changed returns an error if the open input has changed since it was opened.
// It then makes the result older than the input, so that --update replaces it.
func (j *Job) Changed(out Output) error {
	changed := j.in.Changed()
	if file, ok := out.(interface{ SetTime(time.Time) }); changed != nil && ok && j.Source.Info() != nil {
		file.SetTime(j.Source.Info().ModTime())
	}
	return changed
}

// Renew forgets the state of an object, which another program may have changed.
func (j *Job) Renew() {
	if o, ok := j.Source.(*objectSource); ok {
		o.info = nil
	}
}

// End forgets the input. It returns the store's name for the version that was
// read, "" if it has none.
func (j *Job) End() (versionID string) {
	if in, ok := j.in.(interface{ VersionID() string }); ok {
		versionID = in.VersionID()
	}
	j.in = nil
	return versionID
}

// Look does the part of planning that can run concurrently. It may set Skip and
// Err.
func (j *Job) Look(ctx context.Context) {
	if j.look != nil && j.Skip == "" && j.Err == nil {
		j.look(ctx, j)
	}
}

// Output returns the name of the result, "" if there is none.
func (j *Job) Output() string {
	if j.Target == nil {
		return ""
	}
	return j.Target.Name()
}

// Stream reports whether the result is visible as it's written.
func (j *Job) Stream() bool { return j.Target != nil && j.Target.Stream() }

// Special reports whether the input is standard input, or was named and isn't a
// regular file. Below a directory, entries that aren't regular files are
// skipped.
func (j *Job) Special() bool {
	info := j.Source.Info()
	return j.Source.Name() == cli.Standard || !j.Source.Below() && info != nil && !info.Mode().IsRegular()
}

// Size returns the length of a regular file or object, otherwise 0.
func (j *Job) Size() int64 {
	if info := j.Source.Info(); info != nil && !j.Special() {
		return info.Size()
	}
	return 0
}

// Remote reports whether the job reads from or writes to a store.
func (j *Job) Remote() bool { return j.Source.Remote() || j.Target != nil && j.Target.Remote() }

// Reasons to skip an input.
const (
	SkipDone      = "already as requested" // with --in-place
	SkipExists    = "the result exists"    // with --no-clobber
	SkipLink      = "symbolic link"
	SkipSpecial   = "not a regular file"
	SkipTemporary = "temporary file of an interrupted run"

	skipResults = "directory of the results"
	skipMarker  = "directory marker"
	skipPattern = "excluded by --include or --exclude"
	skipNewer   = "the result is not older" // with --update
	SkipTwice   = "named twice"
	SkipReport  = "the report"
	skipDeleted = "delete marker"
	skipOld     = "not the latest version"

	// Parts of such reasons: the first begins one, the second ends one.
	notNamed     = "not named *"
	alreadyNamed = " already"
)

// LeftOut reports whether an input was skipped because of its name, and Done
// whether nothing is left to do for it.
func LeftOut(skip string) bool { return skip == skipPattern || strings.HasPrefix(skip, notNamed) }
func Done(skip string) bool {
	return skip == SkipDone || skip == SkipExists || skip == skipNewer || skip == SkipTwice || strings.HasSuffix(skip, alreadyNamed)
}

// A Planner finds inputs and their outputs.
type Planner struct {
	UI        *cli.UI
	Buckets   *object.Buckets
	Pending   *atomicfile.Pending
	Protected *atomicfile.Protected

	// LookAhead is the number of inputs that are planned before any work, 0 for
	// the default.
	LookAhead int
}

// InputOptions select the inputs.
type InputOptions struct {
	Recursive bool
	Suffix    string
	Symlinks  string           // symbolic links in directories: skip, follow or error
	List      string           // a file of names
	Names     iter.Seq[string] // handled like the names of a list
	Found     iter.Seq[Job]    // jobs that the caller has found, as by InFolder, in place of names
	Inventory string           // manifest of an S3 inventory
	Shard     string           // the part of the inputs to take, as I/N; "" for all
	Include   []string         // patterns of names to take in directories, if there are any
	Exclude   []string         // patterns of names to leave out
	Unseen    bool             // don't look at named objects before they're read

	Created     time.Time // when the inventory was written, set once it's open; zero if it doesn't say
	AllVersions bool      // also take versions in an inventory that aren't the latest
	Command     bool      // the inputs are a program and its arguments, whose standard output is read

	// Filter returns why a file in a directory is left out, "" if it isn't.
	Filter func(name string) string

	results fs.FileInfo    // of the path given by -o, nil if nothing is there
	object  *object.Object // given by -o
	real    realPaths
	shard   shard

	// admit is called before the contents of a directory become inputs: of a
	// tree, or of a prefix in a bucket, for which t is nil. The IDs of all its
	// contents begin with id.
	admit func(t *tree, id string) error

	// isResults reports whether a directory was made for results.
	isResults func(id string) bool
}

// OnlyWith leaves out files without the suffix, and OnlyWithout leaves out
// files with it: results of an earlier run beside the inputs.
func (o *InputOptions) OnlyWith() {
	o.Filter = func(name string) string {
		if strings.HasSuffix(name, o.Suffix) {
			return ""
		}
		return notNamed + o.Suffix
	}
}

func (o *InputOptions) OnlyWithout() {
	o.Filter = func(name string) string {
		if o.Suffix == "" || !strings.HasSuffix(name, o.Suffix) {
			return ""
		}
		return "named *" + o.Suffix + alreadyNamed
	}
}

// OutputOptions say where results go.
type OutputOptions struct {
	InputOptions
	Path             string
	Force, NoClobber bool
	Update           bool // replace results that are older than their inputs, and skip others
	InPlace          bool // each result replaces its input

	// Name returns the name of the result of a file. OneToOne means that it
	// never returns the same name for two files of one directory.
	Name     func(string) string
	OneToOne bool
}
