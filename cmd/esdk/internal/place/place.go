// Package place plans what is read and where results go: files, directories, objects
// and standard streams.
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

// A Source is what a job reads.
type Source interface {
	// Name is as the user gave it, or below a directory that the user gave.
	Name() string

	// ID is the same for two names of one file or object. It is there to be
	// compared, not to be shown.
	ID() string

	// Info is what was seen when it was planned, nil if it was not there.
	Info() fs.FileInfo

	// Below reports whether it was found in a directory that was named.
	Below() bool

	// Remote reports whether it is in a store.
	Remote() bool

	Open(ctx context.Context) (Input, error)

	// localName and keyName are how the name of a result begins in a directory and
	// in a bucket: all that is below what was named, or the last part.
	localName() (string, error)
	keyName() string
}

// An Input is what was opened of a [Source].
type Input interface {
	io.ReadSeekCloser
	io.ReaderAt
	Stat() (fs.FileInfo, error)

	// Changed returns what has become of a file since it was opened: that what was
	// read may be of no one time. It is nil for what cannot change, and for what
	// cannot be asked.
	Changed() error
}

// A Target is where a result goes. It knows what was there when it was planned, which
// may be replaced or not, and replaces nothing else: what has come up, or was changed,
// since then is an error of Create or Commit.
type Target interface {
	Name() string
	ID() string

	// Stream reports whether it is a pipe, a device or standard output, where what
	// is written can be seen at once.
	Stream() bool

	Remote() bool

	Create(ctx context.Context, o CreateOptions) (Output, error)
}

// CreateOptions say how to make a result.
type CreateOptions struct {
	Mode       fs.FileMode // of a file
	SideBySide bool        // others are under way too
	Sparse     bool        // blocks of zeros of a file are holes

	// Like is what a file takes the place of: its owner, mode, access control list and
	// extended attributes are kept. It is nil for a new file.
	Like Input
}

// An Output is where a message or plaintext goes. Unless it is of a stream, nothing
// is to be seen of it before Commit.
type Output interface {
	io.Writer
	Commit() error
	Abort() // no effect after Commit
}

// A Job is one input and where its result goes.
type Job struct {
	Source Source
	Target Target // nil if nothing is written
	Skip   string // why nothing is to be done, "" otherwise
	Err    error  // why nothing can be done

	look   func(context.Context, *Job) // see Look; the job may be another copy than when it was planned
	search bool                        // it is a folder, in which nothing or no more can be found
	given  string                      // the name of the input as the user gave it, "" if it was found below another
	in     Input                       // that was opened
}

// Given is the name of the input as the user gave it, with the parameters of a URL, or one
// that can be given for what was found below that. Parameters may be secret: only a
// report for the user has them.
func (j *Job) Given() string {
	if j.given != "" {
		return j.given
	}
	if o, ok := j.Source.(*objectSource); ok {
		return o.Object.Given()
	}
	return j.Source.Name()
}

// Open opens the input.
func (j *Job) Open(ctx context.Context) (in Input, err error) {
	in, err = j.Source.Open(ctx)
	j.in = in
	return in, err
}

// Renew forgets what was seen of an object, which somebody else may have changed.
func (j *Job) Renew() {
	if o, ok := j.Source.(*objectSource); ok {
		o.info = nil
	}
}

// End forgets the input, and returns the name under which a store keeps what was read of
// it, "" if there is none.
func (j *Job) End() (versionID string) {
	if in, ok := j.in.(interface{ VersionID() string }); ok {
		versionID = in.VersionID()
	}
	j.in = nil
	return versionID
}

// Look does what planning has left to be done side by side: it may set Skip and Err.
func (j *Job) Look(ctx context.Context) {
	if j.look != nil && j.Skip == "" && j.Err == nil {
		j.look(ctx, j)
	}
}

// Output is the name of the result, "" if there is none.
func (j *Job) Output() string {
	if j.Target == nil {
		return ""
	}
	return j.Target.Name()
}

// Stream reports whether the result is one that can be seen at once.
func (j *Job) Stream() bool { return j.Target != nil && j.Target.Stream() }

// Special reports whether the input is standard input, or was named and is no regular
// file. What is below a directory and no regular file is skipped.
func (j *Job) Special() bool {
	info := j.Source.Info()
	return j.Source.Name() == cli.Standard || !j.Source.Below() && info != nil && !info.Mode().IsRegular()
}

// Size is the length of a regular file or object, else 0.
func (j *Job) Size() int64 {
	if info := j.Source.Info(); info != nil && !j.Special() {
		return info.Size()
	}
	return 0
}

// Remote reports whether the job has to do with a store.
func (j *Job) Remote() bool { return j.Source.Remote() || j.Target != nil && j.Target.Remote() }

// Why an input is skipped.
const (
	SkipDone      = "as asked already"  // with --in-place
	SkipExists    = "its result exists" // with --no-clobber
	SkipLink      = "symbolic link"
	SkipSpecial   = "not a regular file"
	SkipTemporary = "temporary file of an interrupted run"

	skipResults = "folder of the results"
	skipMarker  = "marker of a folder"
	skipPattern = "left out by --include or --exclude"
	skipNewer   = "its result is not older" // with --update
	SkipTwice   = "named before"
	SkipReport  = "the report"
	skipDeleted = "marker of a deletion"
	skipOld     = "a version that is not the latest"

	// What such a reason begins or ends with.
	notNamed     = "not named *"
	alreadyNamed = " already"
)

// LeftOut reports whether a reason to skip an input is its name, and Done whether it is
// that there is nothing left to do.
func LeftOut(skip string) bool { return skip == skipPattern || strings.HasPrefix(skip, notNamed) }
func Done(skip string) bool {
	return skip == SkipDone || skip == SkipExists || skip == skipNewer || skip == SkipTwice || strings.HasSuffix(skip, alreadyNamed)
}

// A Planner finds inputs and outputs.
type Planner struct {
	UI        *cli.UI
	Buckets   *object.Buckets
	Pending   *atomicfile.Pending
	Protected *atomicfile.Protected

	// LookAhead is how many inputs are looked at before any work, 0 for the usual.
	LookAhead int
}

// InputOptions say which inputs there are.
type InputOptions struct {
	Recursive bool
	Suffix    string
	Symlinks  string           // what to do with them in directories: skip, follow or error
	List      string           // of names
	Names     iter.Seq[string] // taken as those of a list are
	Found     iter.Seq[Job]    // in place of names: jobs that others have found, as by InFolder
	Inventory string           // manifest of one of S3
	Shard     string           // which part of the inputs is taken, as I/N; "" is all
	Include   []string         // patterns of what to take in folders, if there are any
	Exclude   []string         // and of what not to take
	Unseen    bool             // objects that are named are not looked at before they are read

	Created     time.Time // when the inventory was written, once it is open; zero if it doesn't say
	AllVersions bool      // take those of an inventory that are not the latest, too
	Command     bool      // the inputs are those of a program that is run, and its standard output the input

	// Filter returns why a file in a directory is left out, "" if it is not.
	Filter func(name string) string

	results fs.FileInfo    // of what -o names, nil if there is none yet
	object  *object.Object // that -o names
	real    realPaths
	shard   shard

	// admit is asked before what is in a folder is an input: a tree, or one of a
	// bucket, for which the tree is nil. The id begins those of all that is in it.
	admit func(t *tree, id string) error

	// isResults reports whether a directory is the one that is made for results.
	isResults func(id string) bool
}

// OnlyWith leaves out files without the suffix, and OnlyWithout those that have
// it: results of an earlier run, where they are beside the inputs.
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
	Update           bool // replace a result that is older than its input, and skip others
	InPlace          bool // the result takes the place of the input

	// Name returns the name of the result of a file. OneToOne is that it returns no
	// name for two of one folder.
	Name     func(string) string
	OneToOne bool
}
