// Package object reads and writes objects in buckets of object stores: those of S3, and
// in the full build also Google's and Azure's.
package object

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/cli"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// otherStores are those of the full build.
var otherStores = []string{"gs", "azblob"}

// A store is what the Go CDK does not have the same for all of them.
type store interface {
	open(ctx context.Context, url string) (*blob.Bucket, error)
	// reason returns an error of the store in a few words.
	reason(err error) error
	// answer is what the store says beside the content that a reader has.
	answer(r *blob.Reader) answer
	// versionOf is the version of a description that was asked for alone.
	versionOf(a *blob.Attributes) string
	// only has a request get this version or fail. As is what the Go CDK gives to
	// ReaderOptions.BeforeRead.
	only(version string, as func(any) bool)
	// replace has an upload take the place of this version or fail. As is what the Go CDK
	// gives to WriterOptions.BeforeWrite.
	replace(version string, as func(any) bool)
	// writing returns the id of the version that is uploaded, once it has been, or nil if
	// that cannot be asked. As is the same, of which it is the last use.
	writing(as func(any) bool) (versionID func() string)
	// entry describes an object in a list.
	entry(e *blob.ListObject) *Entry
	// listAfter has a list begin behind a key, or not far in front. As is what the Go CDK
	// gives to ListOptions.BeforeList.
	listAfter(key string, as func(any) bool)
	// parameters takes those of a URL that the Go CDK does not know.
	parameters(query url.Values) (parameters, error)
}

// A description is what a store says of a version of an object.
type description struct {
	// version tells it apart from others. It is noVersion if the store tells none, and ""
	// for a store that is not known to do so.
	version string

	// id is the name under which the store keeps it, "" if it keeps one version only.
	id string

	// keep returns what has an upload be described as this version is. It is nil if the
	// store has not said all of that.
	keep func(ctx context.Context, o *Object) (describe func(as func(any) bool), err error)
}

// noVersion is the version of an object of which a store tells none.
const noVersion = "none"

// An answer is what a store says of an object that it sends.
type answer struct {
	description
	begins int64 // where in the object the content begins, -1 if that is not known
	whole  bool  // all of the object is sent, even if a part was asked for
}

// parameters say how a store is used. The zero value is the usual way.
type parameters struct {
	describe func(as func(any) bool) // an upload; nil for as it is
	tagged   bool                    // that says the tags of objects
	plain    bool                    // the store knows no conditional writes
	version  string                  // of an object, to be read in place of the newest one
}

// A bucket is a place for objects.
type bucket struct {
	*blob.Bucket
	store    store
	url      string // such as s3://name
	query    string // behind it, as it was given
	id       string // the same for two URLs of one bucket
	partSize int64  // of uploads, 0 for one that fits
	buckets  *Buckets
	parameters
}

// An Object is named by a key in a bucket. A folder is a key that is empty or
// ends in a slash, and the start of the keys of other objects.
type Object struct {
	bucket    *bucket
	Key       string
	versionID string // of this one, "" for that of the URL

	// unreachable says that the Go CDK asks for another object by this key. The name of this
	// one is marked, so that it leads to none.
	unreachable bool
}

// unreachableMark is the fragment in the name of an object that can't be reached.
const unreachableMark = "unreachable"

// Buckets are those that are open. It is safe for concurrent use.
type Buckets struct {
	// StallTime is how long a store may send nothing of what it was asked for.
	StallTime time.Duration

	// StartOnly is set by a command that mostly reads no more than the start of objects.
	StartOnly bool

	mu    sync.Mutex
	byURL map[string]*bucket
}

// NewBuckets returns one with no open bucket.
func NewBuckets() *Buckets { return &Buckets{StallTime: time.Minute, byURL: make(map[string]*bucket)} }

// Schemes returns the schemes of the URLs of the stores that this build has.
func Schemes() []string { return slices.Sorted(maps.Keys(stores)) }

func (o *Object) String() string {
	return o.unmarked() + o.mark()
}

func (o *Object) unmarked() string {
	return o.bucket.url + "/" + (&url.URL{Path: o.Key}).EscapedPath() + o.parameter()
}

func (o *Object) mark() string {
	if o.unreachable {
		return "#" + unreachableMark
	}
	return ""
}

// parameter names a version that the object was given after its URL was parsed.
func (o *Object) parameter() string {
	if o.versionID == "" {
		return ""
	}
	return "?versionId=" + url.QueryEscape(o.versionID)
}

// Given is a URL that [Buckets.ParseInput] takes. Its parameters may be secret.
func (o *Object) Given() string {
	name := o.unmarked()
	switch {
	case o.bucket.query == "":
	case o.versionID != "":
		name += "&" + o.bucket.query
	default:
		name += "?" + o.bucket.query
	}
	return name + o.mark()
}

// ID is the same for two names of one object.
func (o *Object) ID() string {
	if version := o.version(); version != "" {
		return o.bucket.id + "/" + o.Key + "?versionId=" + version + o.mark()
	}
	return o.bucket.id + "/" + o.Key + o.mark()
}

// Path is the name of the bucket, a slash and the key, as they are.
func (o *Object) Path() string {
	_, bucket, _ := strings.Cut(o.bucket.url, "://")
	return bucket + "/" + o.Key
}

// IsFolder reports whether it is a folder.
func (o *Object) IsFolder() bool { return o.Key == "" || strings.HasSuffix(o.Key, "/") }

// With returns another object of the bucket.
func (o *Object) With(key string) *Object { return &Object{bucket: o.bucket, Key: key} }

// Listed returns an object of the bucket that was listed.
func (o *Object) Listed(e *Entry) *Object {
	return &Object{bucket: o.bucket, Key: e.Key, unreachable: e.Unreachable}
}

// Stored returns an object of the bucket, which is one of S3, by its key there.
func (o *Object) Stored(raw string) *Object {
	key, ok := keyOf(raw)
	return &Object{bucket: o.bucket, Key: key, unreachable: !ok}
}

// Unreachable reports whether the Go CDK cannot ask for it.
func (o *Object) Unreachable() bool { return o.unreachable }

// ErrUnreachable is the error of an object that cannot be asked for.
var ErrUnreachable = cli.NewError(cli.ExitError, "a key with ../, a control character or __0x…__ can't be reached by this command").
	OfKind(cli.KindUnreachable).WithHint("rename it with another program")

// Version returns a version of the object, which can be read but not written to.
func (o *Object) Version(id string) *Object {
	return &Object{o.bucket, o.Key, id, o.unreachable}
}

func (o *Object) version() string { return cmp.Or(o.versionID, o.bucket.parameters.version) }

// IsURL reports whether a name is the URL of an object or of a bucket.
func IsURL(name string) bool {
	scheme, _, ok := strings.Cut(name, "://")
	scheme = strings.ToLower(scheme)
	_, known := stores[scheme]
	return ok && (known || slices.Contains(otherStores, scheme))
}

// Parse opens the bucket of a URL, such as s3://bucket/key?region=us-west-2. No
// request is made yet. Its parameters are not told, since they may be secret.
func (b *Buckets) Parse(ctx context.Context, text string) (*Object, error) {
	o, err := b.ParseInput(ctx, text)
	if err == nil && o.unreachable {
		return nil, ErrUnreachable
	}
	return o, err
}

// ParseInput also takes the name of an object that cannot be reached.
func (b *Buckets) ParseInput(ctx context.Context, text string) (*Object, error) {
	text, unreachable := strings.CutSuffix(text, "#"+unreachableMark)
	u, err := url.Parse(text)
	name, _, _ := strings.Cut(cli.Printable(text), "?")
	switch {
	case err != nil:
		return nil, cli.UsageError("%s is not a URL", name).WithHint("a percent sign is written as %%25")
	case u.Fragment != "" || strings.HasSuffix(text, "#"):
		return nil, cli.UsageError("%s: a number sign is written as %%23", name)
	case u.Host == "" || u.User != nil:
		return nil, cli.UsageError("want %s://BUCKET/KEY, and no user", u.Scheme)
	}
	if _, ok := stores[u.Scheme]; !ok {
		return nil, cli.UsageError("this build does not have the store %s://", u.Scheme).WithHint("%s", cli.FullBuild)
	}
	in, err := b.open(ctx, u)
	if err != nil {
		return nil, err
	}
	return &Object{bucket: in, Key: strings.TrimPrefix(u.Path, "/"), unreachable: unreachable}, nil
}

// Beside opens a bucket with the parameters of the URL of an object, but for its version.
func (b *Buckets) Beside(ctx context.Context, text, name string) (*Object, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, cli.UsageError("s3://%s: malformed parameters", name)
	}
	query.Del("versionId")
	u.Host, u.Path, u.RawPath, u.RawQuery = name, "/", "", query.Encode()
	return b.Parse(ctx, u.String())
}

// UseTest has a URL such as s3://name stand for a bucket of a test.
func (b *Buckets) UseTest(url string, in *blob.Bucket) {
	scheme, _, _ := strings.Cut(url, "://")
	b.byURL[url+"?"] = &bucket{Bucket: in, url: url, id: url, store: stores[scheme], buckets: b}
}

// serverParameters are those of a URL that say which server has the bucket. The
// others say how to use it.
var serverParameters = []string{"endpoint", "profile", "storage_account", "domain"}

// open opens a bucket once.
func (all *Buckets) open(ctx context.Context, u *url.URL) (*bucket, error) {
	b := &bucket{url: u.Scheme + "://" + u.Host, query: u.RawQuery, store: stores[u.Scheme], buckets: all}
	whole := b.url + "?" + u.RawQuery
	all.mu.Lock()
	defer all.mu.Unlock()
	if known, ok := all.byURL[whole]; ok {
		return known, nil
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, cli.UsageError("%s: malformed parameters", b.url)
	}
	b.id = b.url
	for _, p := range serverParameters {
		b.id += " " + query.Get(p)
	}
	if text := query.Get("part-size"); text != "" {
		if b.partSize, err = cli.ParseBytes(text); err != nil || b.partSize < minPart || b.partSize > maxPart {
			return nil, cli.UsageError("part-size=%s: want a number of bytes from 5M to 4G", cli.Printable(text))
		}
		query.Del("part-size")
	}
	if b.parameters, err = b.store.parameters(query); err != nil {
		return nil, cli.UsageError("%s: %w", b.url, err)
	}
	rest := "?" + query.Encode()
	b.Bucket, err = b.store.open(ctx, b.url+rest)
	if err != nil {
		return nil, cli.UsageError("%s: %s", b.url, strings.ReplaceAll(err.Error(), rest, "")).
			WithHint("what stands behind a question mark are parameters; in a key it is written as %%3F")
	}
	all.byURL[whole] = b
	return b, nil
}

// Info describes an object as [fs.FileInfo] describes a file.
type Info struct {
	name     string
	size     int64
	modified time.Time
	old      bool // it may have become another since
}

func (i *Info) Name() string       { return i.name }
func (i *Info) Size() int64        { return i.size }
func (i *Info) Mode() fs.FileMode  { return atomicfile.TemporaryMode }
func (i *Info) ModTime() time.Time { return i.modified }
func (i *Info) IsDir() bool        { return false }
func (i *Info) Sys() any           { return nil }

// Info asks for an object.
func (o *Object) Info(ctx context.Context) (*Info, error) {
	if o.version() != "" {
		return s3Info(ctx, o)
	}
	attributes, err := o.bucket.Attributes(ctx, o.Key)
	if err != nil {
		return nil, err
	}
	return NewInfo(o.Key, attributes.Size, attributes.ModTime), nil
}

// Seen is what a look has found of an object. The zero value is that there is none.
type Seen struct {
	Exists  bool
	ModTime time.Time
	version string
}

// Look asks whether there is an object.
func (o *Object) Look(ctx context.Context) (Seen, error) {
	attributes, err := o.bucket.Attributes(ctx, o.Key)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return Seen{}, nil
	}
	if err != nil {
		return Seen{}, err
	}
	return Seen{true, attributes.ModTime, o.bucket.store.versionOf(attributes)}, nil
}

// An Entry is an object in a list.
type Entry struct {
	Key         string
	Raw         string // the key as the store has it, by which it orders
	Size        int64
	ModTime     time.Time
	Unreachable bool // the Go CDK cannot ask for it
	version     string
}

func newEntry(e *blob.ListObject) *Entry {
	return &Entry{Key: e.Key, Raw: e.Key, Size: e.Size, ModTime: e.ModTime}
}

// Seen is what the list tells, as a look would.
func (e *Entry) Seen() Seen { return Seen{true, e.ModTime, e.version} }

// All yields what is in a folder, and in those in it, in the order of keys. An error
// is the last that it yields.
func (o *Object) All(ctx context.Context) iter.Seq2[*Entry, error] {
	return o.Between(ctx, "", "")
}

// Between is the same for the keys behind one, up to another with it; an empty one is no
// bound. What is in front of them is asked for if the store cannot begin behind a key.
func (o *Object) Between(ctx context.Context, after, until string) iter.Seq2[*Entry, error] {
	options := &blob.ListOptions{Prefix: o.Key}
	if after != "" {
		options.BeforeList = func(as func(any) bool) error {
			o.bucket.store.listAfter(after, as)
			return nil
		}
	}
	return func(yield func(*Entry, error) bool) {
		entries := o.bucket.List(options)
		for {
			listed, err := entries.Next(ctx)
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
			entry := o.bucket.store.entry(listed)
			switch {
			case entry.Raw <= after:
				continue
			case until != "" && entry.Raw > until:
				return
			}
			if !yield(entry, nil) {
				return
			}
		}
	}
}

// Explain names the object in an error, in place of what the Go CDK says of it.
func (o *Object) Explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.As(err, new(*cli.Error)) {
		return err
	}
	if errors.Is(err, ErrStalled) || errors.Is(err, io.ErrUnexpectedEOF) {
		return cli.NewError(cli.ExitUnavailable, "%w", err).Of(o.String())
	}
	code := gcerrors.Code(err)
	if several, ok := err.(interface{ Unwrap() []error }); ok { // the error of the service, and a code
		err = several.Unwrap()[0]
	}
	if request, ok := errors.AsType[*url.Error](err); ok { // whose URL may have a secret
		err = request.Err
	}
	switch code {
	case gcerrors.NotFound:
		return cli.NewError(cli.ExitError, "no such object, or bucket").OfKind(cli.KindNotFound).Of(o.String()).WithHint("or these credentials may not read it")
	case gcerrors.PermissionDenied:
		return cli.NewError(cli.ExitError, "permission denied: %w", o.bucket.store.reason(err)).OfKind(cli.KindForbidden).Of(o.String())
	}
	return cli.NewError(cli.ExitError, "%w", o.bucket.store.reason(err)).Of(o.String()).WithHint("%s", hintOnStore(err))
}

// ExplainInput also says that what is not there may be what can't be reached: an object of S3
// by this very key.
func (o *Object) ExplainInput(err error) error {
	err = o.Explain(err)
	if _, ok := o.bucket.store.(s3Store); ok && cli.Kind(err) == cli.KindNotFound && escapeS3(o.Key) != o.Key {
		return cli.NewError(cli.ExitError, "no such object: %w", ErrUnreachable.Err).OfKind(cli.KindUnreachable).Of(o.String())
	}
	return err
}

// hintOnStore is for stores that speak as S3 does, but for some things.
func hintOnStore(err error) string {
	var code interface{ ErrorCode() string }
	var noHost *net.DNSError
	var status interface{ HTTPStatusCode() int }
	switch {
	case errors.As(err, &noHost) && os.Getenv("AWS_ENDPOINT_URL")+os.Getenv("AWS_ENDPOINT_URL_S3") != "":
		return "add ?use_path_style=true to the URL if the store has buckets in the path and not in the host's name"
	case errors.As(err, &code) && code.ErrorCode() == "NotImplemented", errors.As(err, &status) && status.HTTPStatusCode() == http.StatusNotImplemented:
		return "add ?conditional-writes=false to the URL if the store does not know them; then only a look before tells whether there is an object"
	case errors.As(err, &code) && slices.Contains([]string{"XAmzContentSHA256Mismatch", "InvalidChunkSizeError", "AuthorizationHeaderMalformed", "MissingContentLength", "InvalidDigest", "BadDigest"}, code.ErrorCode()):
		return "add ?request_checksum_calculation=when_required to the URL if the store does not know checksums behind the content"
	}
	return ""
}

// Folder returns the folder that a name without a slash at its end may stand for.
func (o *Object) Folder() *Object {
	if o.IsFolder() {
		return o
	}
	return o.With(o.Key + "/")
}

// IsBelow reports whether an object is in a folder.
func (o *Object) IsBelow(folder *Object) bool { return strings.HasPrefix(o.ID(), folder.ID()) }

// NewInfo describes an object of a list.
func NewInfo(key string, size int64, modified time.Time) *Info {
	return &Info{name: path.Base(key), size: size, modified: modified}
}

// OldInfo describes an object of a list that was made long ago. When it is opened, it is
// looked at anew.
func OldInfo(key string, size int64, modified time.Time) *Info {
	i := NewInfo(key, size, modified)
	i.old = true
	return i
}
