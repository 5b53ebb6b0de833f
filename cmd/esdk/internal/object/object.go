// Package object reads and writes objects in buckets of object stores: S3, and
// in the full build also Google Cloud Storage and Azure Blob Storage.
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

// otherStores are the schemes of the stores in the full build.
var otherStores = []string{"gs", "azblob"}

// A store does the things for which the Go CDK has no portable interface.
type store interface {
	open(ctx context.Context, url string) (*blob.Bucket, error)
	// reason returns an error of the store in a few words.
	reason(err error) error
	// answer returns the store's information beside the content in r.
	answer(r *blob.Reader) answer
	// versionOf returns the version in the answer to a request for attributes.
	versionOf(a *blob.Attributes) string
	// only makes a read request fail unless it gets this version. As comes from
	// the Go CDK's ReaderOptions.BeforeRead.
	only(version string, as func(any) bool)
	// replace makes an upload fail unless it replaces this version. As comes
	// from the Go CDK's WriterOptions.BeforeWrite.
	replace(version string, as func(any) bool)
	// writing returns a function that gives the ID of the uploaded version
	// after the upload. It returns nil if the store can't tell. As is the
	// function passed to replace, and this is its last use.
	writing(as func(any) bool) (versionID func() string)
	// entry describes an object in a listing.
	entry(e *blob.ListObject) *Entry
	// listAfter makes a listing begin after a key, or not far before it. As
	// comes from the Go CDK's ListOptions.BeforeList.
	listAfter(key string, as func(any) bool)
	// parameters takes the URL parameters that the Go CDK doesn't know.
	parameters(query url.Values) (parameters, error)
}

// A description is a store's description of a version of an object.
type description struct {
	// version tells it apart from other versions. It is noVersion if the store
	// gave none, and "" if the store isn't known to have them.
	version string

	// id is the store's name for the version, "" if it keeps only one version.
	id string

	// keep returns a function that gives an upload the same description. It is
	// nil if the store hasn't sent all of it.
	keep func(ctx context.Context, o *Object) (describe func(as func(any) bool), err error)
}

// noVersion stands for the version if the store doesn't send any.
const noVersion = "none"

// An answer is a store's description of an object that it sends.
type answer struct {
	description
	begins int64 // offset of the content in the object, -1 if it isn't known
	whole  bool  // all of the object is sent, even if a part was requested
}

// parameters control how a store is used. The zero value is the default.
type parameters struct {
	describe func(as func(any) bool) // changes an upload's description; nil for no change
	tagged   bool                    // describe sets the tags
	plain    bool                    // the store doesn't support conditional writes
	version  string                  // version of an object to read instead of the latest one
}

// A bucket is an open bucket.
type bucket struct {
	*blob.Bucket
	store    store
	url      string // without parameters, such as s3://name
	query    string // its parameters, as given
	id       string // equal for two URLs of one bucket
	partSize int64  // of uploads, 0 to choose it by length
	buckets  *Buckets
	parameters
}

// An Object is a key in a bucket. If the key is empty or ends in a slash, it's
// a directory: a prefix of the keys of other objects.
type Object struct {
	bucket    *bucket
	Key       string
	versionID string // of this object, "" for the version in the URL

	// unreachable means that the Go CDK turns this key into a different one.
	// The object's name is marked, so that it doesn't lead to another object.
	unreachable bool
}

// unreachableMark is the fragment in the name of an unreachable object.
const unreachableMark = "unreachable"

// Buckets holds the open buckets. It is safe for concurrent use.
type Buckets struct {
	// StallTime is how long a store may send nothing before a read is given up.
	StallTime time.Duration

	// StartOnly is set by a command that mostly reads only the start of
	// objects.
	StartOnly bool

	mu    sync.Mutex
	byURL map[string]*bucket
}

// NewBuckets returns Buckets with no open bucket.
func NewBuckets() *Buckets { return &Buckets{StallTime: time.Minute, byURL: make(map[string]*bucket)} }

// Schemes returns the URL schemes of the stores in this build.
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

// parameter returns the URL parameter for a version that was set after the URL
// was parsed.
func (o *Object) parameter() string {
	if o.versionID == "" {
		return ""
	}
	return "?versionId=" + url.QueryEscape(o.versionID)
}

// Given returns a URL that [Buckets.ParseInput] takes. Its parameters may be
// secret.
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

// ID is equal for two names of one object.
func (o *Object) ID() string {
	if version := o.version(); version != "" {
		return o.bucket.id + "/" + o.Key + "?versionId=" + version + o.mark()
	}
	return o.bucket.id + "/" + o.Key + o.mark()
}

// Path returns the name of the bucket, a slash and the key, all unescaped.
func (o *Object) Path() string {
	_, bucket, _ := strings.Cut(o.bucket.url, "://")
	return bucket + "/" + o.Key
}

// IsFolder reports whether the key is empty or ends in a slash.
func (o *Object) IsFolder() bool { return o.Key == "" || strings.HasSuffix(o.Key, "/") }

// With returns another object in the bucket.
func (o *Object) With(key string) *Object { return &Object{bucket: o.bucket, Key: key} }

// Listed returns the object in the bucket for an entry of a listing.
func (o *Object) Listed(e *Entry) *Object {
	return &Object{bucket: o.bucket, Key: e.Key, unreachable: e.Unreachable}
}

// Stored returns an object in an S3 bucket by its key in S3.
func (o *Object) Stored(raw string) *Object {
	key, ok := keyOf(raw)
	return &Object{bucket: o.bucket, Key: key, unreachable: !ok}
}

// Unreachable reports whether the Go CDK can't request the object.
func (o *Object) Unreachable() bool { return o.unreachable }

// ErrUnreachable is the error for an object that can't be requested.
var ErrUnreachable = cli.NewError(cli.ExitError, "keys with ../, a control character or __0x…__ are not supported").
	OfKind(cli.KindUnreachable).WithHint("rename the object with another program")

// Version returns a version of the object, which can be read but not written
// to.
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

// Parse opens the bucket of a URL, such as s3://bucket/key?region=us-west-2. It
// makes no request. Errors don't contain the URL's parameters, since they may
// be secret.
func (b *Buckets) Parse(ctx context.Context, text string) (*Object, error) {
	o, err := b.ParseInput(ctx, text)
	if err == nil && o.unreachable {
		return nil, ErrUnreachable
	}
	return o, err
}

// ParseInput is like Parse but also accepts the name of an unreachable object.
func (b *Buckets) ParseInput(ctx context.Context, text string) (*Object, error) {
	text, unreachable := strings.CutSuffix(text, "#"+unreachableMark)
	u, err := url.Parse(text)
	name, _, _ := strings.Cut(cli.Printable(text), "?")
	switch {
	case err != nil:
		return nil, cli.UsageError("%s is not a URL", name).WithHint("write a percent sign as %%25")
	case u.Fragment != "" || strings.HasSuffix(text, "#"):
		return nil, cli.UsageError("%s: write a number sign as %%23", name)
	case u.Host == "" || u.User != nil:
		return nil, cli.UsageError("a URL must be %s://BUCKET/KEY, without a user", u.Scheme)
	}
	if _, ok := stores[u.Scheme]; !ok {
		return nil, cli.UsageError("this build does not support %s://", u.Scheme).WithHint("%s", cli.FullBuild)
	}
	in, err := b.open(ctx, u)
	if err != nil {
		return nil, err
	}
	return &Object{bucket: in, Key: strings.TrimPrefix(u.Path, "/"), unreachable: unreachable}, nil
}

// Beside opens a bucket with the parameters of another object's URL, except its
// version.
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

// UseTest makes a URL such as s3://name stand for a test's bucket.
func (b *Buckets) UseTest(url string, in *blob.Bucket) {
	scheme, _, _ := strings.Cut(url, "://")
	b.byURL[url+"?"] = &bucket{Bucket: in, url: url, id: url, store: stores[scheme], buckets: b}
}

// serverParameters are the URL parameters that select the server of a bucket.
// The others control how it's used.
var serverParameters = []string{"endpoint", "profile", "storage_account", "domain"}

// open opens a bucket, or returns it if it's open already.
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
			return nil, cli.UsageError("part-size=%s: must be a number of bytes from 5M to 4G", cli.Printable(text))
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
			WithHint("parameters follow a question mark: write one in a key as %%3F")
	}
	all.byURL[whole] = b
	return b, nil
}

// Info describes an object in the way that [fs.FileInfo] describes a file.
type Info struct {
	name     string
	size     int64
	modified time.Time
	old      bool // the object may have been replaced since
}

func (i *Info) Name() string       { return i.name }
func (i *Info) Size() int64        { return i.size }
func (i *Info) Mode() fs.FileMode  { return atomicfile.TemporaryMode }
func (i *Info) ModTime() time.Time { return i.modified }
func (i *Info) IsDir() bool        { return false }
func (i *Info) Sys() any           { return nil }

// Info requests the description of an object.
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

// Seen is the result of looking for an object. The zero value means that there
// is none.
type Seen struct {
	Exists  bool
	ModTime time.Time
	version string
}

// Look checks whether an object exists.
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

// An Entry is an object in a listing.
type Entry struct {
	Key         string
	Raw         string // the key in the store, which determines the order
	Size        int64
	ModTime     time.Time
	Unreachable bool // the Go CDK can't request it
	version     string
}

func newEntry(e *blob.ListObject) *Entry {
	return &Entry{Key: e.Key, Raw: e.Key, Size: e.Size, ModTime: e.ModTime}
}

// Seen returns the same as Look would, from the listing.
func (e *Entry) Seen() Seen { return Seen{true, e.ModTime, e.version} }

// All yields the objects in a directory and below it, in the order of their
// keys. It stops after an error.
func (o *Object) All(ctx context.Context) iter.Seq2[*Entry, error] {
	return o.Between(ctx, "", "")
}

// Between is like All for the keys after one key up to and including another.
// An empty key is no limit. If the store can't begin a listing after a key, the
// earlier keys are requested too.
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

// Explain returns an error that names the object, in place of the Go CDK's
// error.
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
	if request, ok := errors.AsType[*url.Error](err); ok { // its URL may have a secret
		err = request.Err
	}
	switch code {
	case gcerrors.NotFound:
		return cli.NewError(cli.ExitError, "no such object or bucket").OfKind(cli.KindNotFound).Of(o.String()).WithHint("if it exists, the credentials may lack permission to read it")
	case gcerrors.PermissionDenied:
		return cli.NewError(cli.ExitError, "permission denied: %w", o.bucket.store.reason(err)).OfKind(cli.KindForbidden).Of(o.String())
	}
	return cli.NewError(cli.ExitError, "%w", o.bucket.store.reason(err)).Of(o.String()).WithHint("%s", hintOnStore(err))
}

// ExplainInput is like Explain, but if an object isn't found, it also checks
// for an unreachable key, under which S3 may have an object.
func (o *Object) ExplainInput(err error) error {
	err = o.Explain(err)
	if _, ok := o.bucket.store.(s3Store); ok && cli.Kind(err) == cli.KindNotFound && escapeS3(o.Key) != o.Key {
		return cli.NewError(cli.ExitError, "no such object: %w", ErrUnreachable.Err).OfKind(cli.KindUnreachable).Of(o.String())
	}
	return err
}

// hintOnStore returns a hint for stores that differ from S3 in some details.
func hintOnStore(err error) string {
	var code interface{ ErrorCode() string }
	var noHost *net.DNSError
	var status interface{ HTTPStatusCode() int }
	switch {
	case errors.As(err, &noHost) && os.Getenv("AWS_ENDPOINT_URL")+os.Getenv("AWS_ENDPOINT_URL_S3") != "":
		return "if the store expects the bucket in the path, add ?use_path_style=true to the URL"
	case errors.As(err, &code) && code.ErrorCode() == "NotImplemented", errors.As(err, &status) && status.HTTPStatusCode() == http.StatusNotImplemented:
		return "if the store does not support conditional writes, add ?conditional-writes=false to the URL: an existing object is then only noticed before the upload"
	case errors.As(err, &code) && slices.Contains([]string{"XAmzContentSHA256Mismatch", "InvalidChunkSizeError", "AuthorizationHeaderMalformed", "MissingContentLength", "InvalidDigest", "BadDigest"}, code.ErrorCode()):
		return "if the store does not support trailing checksums, add ?request_checksum_calculation=when_required to the URL"
	}
	return ""
}

// Folder returns the directory meant by a name without the slash at its end.
func (o *Object) Folder() *Object {
	if o.IsFolder() {
		return o
	}
	return o.With(o.Key + "/")
}

// IsBelow reports whether an object is in a directory or below it.
func (o *Object) IsBelow(folder *Object) bool { return strings.HasPrefix(o.ID(), folder.ID()) }

// NewInfo describes an object in a listing.
func NewInfo(key string, size int64, modified time.Time) *Info {
	return &Info{name: path.Base(key), size: size, modified: modified}
}

// OldInfo describes an object in a listing that may be out of date. Opening the
// object describes it again.
func OldInfo(key string, size int64, modified time.Time) *Info {
	i := NewInfo(key, size, modified)
	i.old = true
	return i
}
