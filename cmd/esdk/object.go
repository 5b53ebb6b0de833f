package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/cli"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// otherStores are those of the full build.
var otherStores = []string{"gs", "azblob"}

// stores are the object stores that this build has, by the scheme of their URLs.
var stores = map[string]store{"s3": s3Store{}}

// A store is what the Go CDK does not have the same for all of them.
type store interface {
	open(ctx context.Context, url string) (*blob.Bucket, error)
	// reason returns an error of the store in a few words.
	reason(err error) error
	// What is read of an object in several requests is to be of one version.
	// version names the one that a reader has, or is "" if that is not known.
	version(r *blob.Reader) string
	// only has a request get this one or fail. As is what the Go CDK gives to
	// ReaderOptions.BeforeRead.
	only(version string, as func(any) bool)
	// replace has an upload take the place of the version with these attributes, or
	// fail. As is what the Go CDK gives to WriterOptions.BeforeWrite.
	replace(old *blob.Attributes, as func(any) bool)
}

// A bucket is a place for objects.
type bucket struct {
	*blob.Bucket
	store    store
	url      string // such as s3://name
	id       string // the same for two URLs of one bucket
	partSize int64  // of uploads, 0 for one that fits
}

// An object is named by a key in a bucket. A folder is a key that is empty or
// ends in a slash, and the start of those of other objects.
type object struct {
	bucket *bucket
	key    string
}

func (o *object) String() string {
	return o.bucket.url + "/" + (&url.URL{Path: o.key}).EscapedPath()
}

// id is the same for two names of one object.
func (o *object) id() string { return o.bucket.id + "/" + o.key }

func (o *object) isFolder() bool { return o.key == "" || strings.HasSuffix(o.key, "/") }

// with returns another object of the bucket.
func (o *object) with(key string) *object { return &object{o.bucket, key} }

// isObject reports whether a name is the URL of an object or of a bucket.
func isObject(name string) bool {
	scheme, _, ok := strings.Cut(name, "://")
	scheme = strings.ToLower(scheme)
	_, known := stores[scheme]
	return ok && (known || slices.Contains(otherStores, scheme))
}

// parseObject opens the bucket of a URL, such as s3://bucket/key?region=us-west-2. No
// request is made yet. Its parameters are not told, since they may be secret.
func (a *app) parseObject(ctx context.Context, text string) (*object, error) {
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
		return nil, cli.UsageError("this build does not have the store %s://", u.Scheme).WithHint("%s", fullBuild)
	}
	b, err := a.openBucket(ctx, u)
	if err != nil {
		return nil, err
	}
	return &object{b, strings.TrimPrefix(u.Path, "/")}, nil
}

// serverParameters are those of a URL that say which server has the bucket. The
// others say how to use it.
var serverParameters = []string{"endpoint", "profile", "storage_account", "domain"}

// openBucket opens a bucket once.
func (a *app) openBucket(ctx context.Context, u *url.URL) (*bucket, error) {
	b := &bucket{url: u.Scheme + "://" + u.Host, store: stores[u.Scheme]}
	whole := b.url + "?" + u.RawQuery
	if known, ok := a.buckets[whole]; ok {
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
	parameters := "?" + query.Encode()
	b.Bucket, err = b.store.open(ctx, b.url+parameters)
	if err != nil {
		return nil, cli.UsageError("%s: %s", b.url, strings.ReplaceAll(err.Error(), parameters, "")).
			WithHint("what stands behind a question mark are parameters; in a key it is written as %%3F")
	}
	a.buckets[whole] = b
	return b, nil
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

// objectInfo is that of an object.
type objectInfo struct {
	name     string
	size     int64
	modified time.Time
}

func (i *objectInfo) Name() string       { return i.name }
func (i *objectInfo) Size() int64        { return i.size }
func (i *objectInfo) Mode() fs.FileMode  { return atomicfile.TemporaryMode }
func (i *objectInfo) ModTime() time.Time { return i.modified }
func (i *objectInfo) IsDir() bool        { return false }
func (i *objectInfo) Sys() any           { return nil }

// info asks for an object.
func (o *object) info(ctx context.Context) (*objectInfo, error) {
	attributes, err := o.bucket.Attributes(ctx, o.key)
	if err != nil {
		return nil, err
	}
	return &objectInfo{path.Base(o.key), attributes.Size, attributes.ModTime}, nil
}

// list returns what is in a folder, and in those in it, in the order of keys.
func (o *object) list(ctx context.Context) (all []*blob.ListObject, err error) {
	entries := o.bucket.List(&blob.ListOptions{Prefix: o.key})
	for {
		entry, err := entries.Next(ctx)
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, entry)
	}
}

// explain names the object in an error, in place of what the Go CDK says of it.
func (o *object) explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.As(err, new(*cli.Error)) {
		return err
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
		return cli.NewError(cli.ExitError, "%s: no such object, or bucket", o).WithHint("or these credentials may not read it")
	case gcerrors.PermissionDenied:
		return cli.NewError(cli.ExitError, "%s: permission denied: %w", o, o.bucket.store.reason(err))
	}
	return cli.NewError(cli.ExitError, "%s: %w", o, o.bucket.store.reason(err))
}
