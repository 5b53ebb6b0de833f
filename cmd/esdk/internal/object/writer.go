package object

import (
	"cmp"
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/cli"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

const (
	// minPart and maxPart are bounds that S3 has for the parts of an upload, of which
	// it takes maxParts.
	minPart  = 5 << 20
	maxPart  = 4 << 30
	maxParts = 10_000

	// usualPart is for what is not too long for it, and streamPart for what has no
	// known length: up to 156 GiB.
	usualPart  = 8 << 20
	streamPart = 16 << 20

	// maxUploading bounds the parts of an object that are under way.
	maxUploading = 64 << 20

	// CleanUpTime is how long an interrupted command waits for the store to remove
	// what was uploaded.
	CleanUpTime = 10 * time.Second
)

var errAborted = errors.New("the upload was given up")

// A Writer uploads an object, which appears when all of it is there.
type Writer struct {
	*io.PipeWriter
	pending *atomicfile.Pending
	object  *Object
	lost    error // if the place is not as it was to be
	cancel  func()
	done    chan struct{} // closed when the upload has ended
	err     error         // of the upload
	made    string        // the id of the version, as far as it is known
}

// CreateOptions say how to upload an object. Without Replace, Seen and InPlace, there must be
// none yet.
type CreateOptions struct {
	Replace    bool    // whatever there is
	Seen       *Seen   // replace only what a look has found
	InPlace    *Reader // replace only what this reads, and keep how it is described
	Size       int64   // of the source, about; -1 if it is not known
	SideBySide bool    // others are under way too
}

// Create uploads an object. The store is told what it may replace, and fails if there is
// something else by then.
func (o *Object) Create(ctx context.Context, p *atomicfile.Pending, c CreateOptions) (*Writer, error) {
	if o.version() != "" {
		return nil, cli.NewError(cli.ExitNotWritten, "a version cannot be written to").Of(o.String()).
			WithHint("remove versions that are not the latest, or have a lifecycle rule do it (NoncurrentVersionExpiration)")
	}
	out := &Writer{pending: p, object: o, done: make(chan struct{})}
	options := &blob.WriterOptions{ContentType: "application/octet-stream"}
	describe, err := out.claim(ctx, &c, options)
	if err != nil {
		return nil, err
	}
	var versionID func() string
	options.BeforeWrite = func(as func(any) bool) error {
		describe(as)
		if o.bucket.describe != nil {
			o.bucket.describe(as) // the URL says what is to change
		}
		versionID = o.bucket.store.writing(as)
		return nil
	}
	part := o.partSize(c.Size)
	options.BufferSize = cli.ToInt(part)
	options.MaxConcurrency = int(min(5, max(1, maxUploading/part)))
	if c.SideBySide {
		options.MaxConcurrency = min(2, options.MaxConcurrency)
	}
	ctx, out.cancel = context.WithCancel(ctx)
	var pr *io.PipeReader
	pr, out.PipeWriter = io.Pipe()
	p.Add(out, out.interrupt)
	go func() {
		defer out.cancel()
		out.err = o.bucket.Upload(context.WithValue(ctx, madeKey{}, &out.made), o.Key, pr, options)
		if out.err == nil && versionID != nil {
			out.made = versionID()
		}
		pr.CloseWithError(cmp.Or(out.err, io.ErrClosedPipe))
		close(out.done)
	}()
	return out, nil
}

// partSize is the size of the parts of an upload. A message is longer than its
// plaintext, and may be Base64 text.
func (o *Object) partSize(size int64) int64 {
	switch {
	case o.bucket.partSize > 0:
		return o.bucket.partSize
	case size < 0:
		return streamPart
	}
	return min(maxPart, max(usualPart, size/(maxParts/2)))
}

// claim says in the options of an upload what it may replace, and returns what is to be said
// to the store besides.
func (o *Writer) claim(ctx context.Context, c *CreateOptions, options *blob.WriterOptions) (describe func(as func(any) bool), err error) {
	switch {
	case c.InPlace != nil:
		o.lost, c.Size = errChanged, c.InPlace.info.size
		return o.object.keepPlace(ctx, c.InPlace, options)
	case c.Replace:
		return sayNothing, nil
	case c.Seen != nil:
		o.lost = cli.NewError(cli.ExitNotWritten, "it was replaced or changed meanwhile").OfKind(cli.KindChanged).Of(o.object.String())
		if c.Seen.Exists {
			return o.object.replacing(c.Seen.version)
		}
	default:
		o.lost = atomicfile.Exists(o.object.String())
	}
	if o.object.bucket.plain {
		seen, err := o.object.Look(ctx)
		if err == nil && seen.Exists {
			err = o.lost
		}
		return sayNothing, o.object.Explain(err)
	}
	options.IfNotExist = true
	return sayNothing, nil
}

func sayNothing(func(any) bool) {}

// replacing returns what has an upload take the place of a version, or fail.
func (o *Object) replacing(version string) (func(as func(any) bool), error) {
	if o.bucket.plain || version == "" {
		return sayNothing, nil
	}
	if version == noVersion {
		return nil, cli.NewError(cli.ExitError, "the store does not tell versions of an object apart (no ETag), so that another one might be replaced").Of(o.String()).
			WithHint("add ?conditional-writes=false to the URL if nobody else writes to it")
	}
	return func(as func(any) bool) { o.bucket.store.replace(version, as) }, nil
}

// keepPlace has an object take the place of the version that is read, unless another does so
// before, and be described as it.
func (o *Object) keepPlace(ctx context.Context, in *Reader, options *blob.WriterOptions) (func(as func(any) bool), error) {
	old, err := in.described()
	if err != nil {
		return nil, err
	}
	if old == nil || old.keep == nil {
		if old, err = o.keepAttributes(ctx, old, options); err != nil {
			return nil, err
		}
	}
	replace, err := o.replacing(old.version)
	if err != nil {
		return nil, err
	}
	describe, err := old.keep(ctx, o)
	if err != nil {
		return nil, err
	}
	return func(as func(any) bool) {
		replace(as)
		describe(as)
	}, nil
}

// keepAttributes asks how an object is described, and says so in the options of an upload.
// The version must be the one that was read, if any was.
func (o *Object) keepAttributes(ctx context.Context, read *description, options *blob.WriterOptions) (*description, error) {
	a, err := o.bucket.Attributes(ctx, o.Key)
	if err != nil {
		return nil, o.Explain(err)
	}
	version := o.bucket.store.versionOf(a)
	if read != nil && read.version != "" && read.version != version {
		return nil, errChanged
	}
	options.ContentType = cmp.Or(a.ContentType, options.ContentType)
	options.CacheControl = a.CacheControl
	options.ContentDisposition = a.ContentDisposition
	options.ContentEncoding = a.ContentEncoding
	options.ContentLanguage = a.ContentLanguage
	options.Metadata = a.Metadata
	return &description{version: version, keep: func(context.Context, *Object) (func(func(any) bool), error) { return sayNothing, nil }}, nil
}

// VersionID is the name under which the store keeps what was uploaded, "" if it keeps one
// version only, or does not tell.
func (o *Writer) VersionID() string { return o.made }

func (o *Writer) Write(p []byte) (int, error) {
	n, err := o.PipeWriter.Write(p)
	return n, o.explain(err)
}

// Commit has the object appear.
func (o *Writer) Commit() error {
	o.PipeWriter.Close()
	<-o.done
	o.forget()
	return o.explain(o.err)
}

// explain tells whether the place is not as it was to be.
func (o *Writer) explain(err error) error {
	changed := cli.Kind(o.lost) == cli.KindChanged
	switch code := gcerrors.Code(err); {
	case err == nil:
		return nil
	case o.lost == nil:
	case code == gcerrors.FailedPrecondition, code == gcerrors.AlreadyExists, code == gcerrors.NotFound && changed:
		return o.lost
	}
	var conflict interface{ ErrorCode() string }
	if errors.As(err, &conflict) && conflict.ErrorCode() == "ConditionalRequestConflict" { // with another request at the same time
		if changed {
			return o.lost
		}
		return cli.NewError(cli.ExitUnavailable, "another request for it is under way: %w", err).OfKind(cli.KindThrottled).Of(o.object.String())
	}
	if strings.Contains(err.Error(), "MaxUploadParts") {
		return cli.NewError(cli.ExitError, "more than %d parts", maxParts).Of(o.object.String()).WithHint("add ?part-size=1G, or what is enough, to its URL")
	}
	return o.object.Explain(err)
}

// Abort waits until the store has removed what was uploaded.
func (o *Writer) Abort() {
	o.giveUp()
	<-o.done
	o.forget()
}

// giveUp ends the upload, which may wait for the server or for more to upload. It is
// cancelled first: of a source that fails, the Go CDK may make an object of what
// there is.
func (o *Writer) giveUp() {
	o.cancel()
	o.CloseWithError(errAborted)
}

func (o *Writer) forget() {
	o.pending.Done(o)
}

// interrupt is for [atomicfile.Pending].
func (o *Writer) interrupt() {
	o.giveUp()
	select {
	case <-o.done:
	case <-time.After(CleanUpTime):
	}
}
