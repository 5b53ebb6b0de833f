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
	// minPart and maxPart are S3's limits for a part of an upload, in bytes,
	// and maxParts is its limit for their number.
	minPart  = 5 << 20
	maxPart  = 4 << 30
	maxParts = 10_000

	// usualPart is the part size for uploads short enough for it. streamPart is
	// the part size for unknown lengths, and allows up to 156 GiB.
	usualPart  = 8 << 20
	streamPart = 16 << 20

	// maxUploading limits the bytes of an object's parts that are uploaded at
	// the same time.
	maxUploading = 64 << 20

	// CleanUpTime is how long an interrupted command waits for the store to
	// remove uploaded parts.
	CleanUpTime = 10 * time.Second
)

var errAborted = errors.New("the upload was aborted")

// A Writer uploads an object, which appears once it's complete.
type Writer struct {
	*io.PipeWriter
	pending *atomicfile.Pending
	object  *Object
	lost    error // the error if another object is there than expected
	cancel  func()
	done    chan struct{} // closed when the upload has ended
	err     error         // of the upload
	made    string        // the ID of the version, if it's known
}

// CreateOptions control the upload of an object. Without Replace, Seen and
// InPlace, it must not exist yet.
type CreateOptions struct {
	Replace    bool    // replace any object
	Seen       *Seen   // replace only the version found by a look
	InPlace    *Reader // replace only the version that is read, and keep its description
	Size       int64   // approximate size of the source, -1 if it isn't known
	SideBySide bool    // other uploads run at the same time
}

// Create starts to upload an object. The store is told which version may be
// replaced, and the upload fails if there is another by then.
func (o *Object) Create(ctx context.Context, p *atomicfile.Pending, c CreateOptions) (*Writer, error) {
	if o.version() != "" {
		return nil, cli.NewError(cli.ExitNotWritten, "cannot write to a version of an object").Of(o.String()).
			WithHint("remove older versions, or use a lifecycle rule (NoncurrentVersionExpiration)")
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
			o.bucket.describe(as) // the URL overrides the old description
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

// partSize returns the size of an upload's parts, in bytes. A message is longer
// than its plaintext, and may be Base64 text.
func (o *Object) partSize(size int64) int64 {
	switch {
	case o.bucket.partSize > 0:
		return o.bucket.partSize
	case size < 0:
		return streamPart
	}
	return min(maxPart, max(usualPart, size/(maxParts/2)))
}

// claim sets the options that limit an upload to versions that it may replace.
// It returns a function that adds the store's own options.
func (o *Writer) claim(ctx context.Context, c *CreateOptions, options *blob.WriterOptions) (describe func(as func(any) bool), err error) {
	switch {
	case c.InPlace != nil:
		o.lost, c.Size = errChanged, c.InPlace.info.size
		return o.object.keepPlace(ctx, c.InPlace, options)
	case c.Replace:
		return sayNothing, nil
	case c.Seen != nil:
		o.lost = cli.NewError(cli.ExitNotWritten, "the object was changed in the meantime").OfKind(cli.KindChanged).Of(o.object.String())
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

// replacing returns a function that makes an upload fail unless it replaces a
// version.
func (o *Object) replacing(version string) (func(as func(any) bool), error) {
	if o.bucket.plain || version == "" {
		return sayNothing, nil
	}
	if version == noVersion {
		return nil, cli.NewError(cli.ExitError, "cannot replace the object safely: the store sends no ETag").Of(o.String()).
			WithHint("if nobody else writes to the object, add ?conditional-writes=false to the URL")
	}
	return func(as func(any) bool) { o.bucket.store.replace(version, as) }, nil
}

// keepPlace makes an upload replace the version that is read and keep its
// description. It fails if another writer replaces the object first.
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

// keepAttributes requests an object's description and puts it into the options
// of an upload. If a version was read, it must be the same one.
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

// VersionID returns the store's name for the uploaded version. It returns "" if
// the store keeps only one version, or doesn't tell.
func (o *Writer) VersionID() string { return o.made }

func (o *Writer) Write(p []byte) (int, error) {
	n, err := o.PipeWriter.Write(p)
	return n, o.explain(err)
}

// Commit makes the object appear.
func (o *Writer) Commit() error {
	o.PipeWriter.Close()
	<-o.done
	o.forget()
	return o.explain(o.err)
}

// explain turns an upload's error into the one for an unexpected object, if
// that's the cause.
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
		return cli.NewError(cli.ExitUnavailable, "another request for the object is in progress: %w", err).OfKind(cli.KindThrottled).Of(o.object.String())
	}
	if strings.Contains(err.Error(), "MaxUploadParts") {
		return cli.NewError(cli.ExitError, "the object needs more than %d parts", maxParts).Of(o.object.String()).WithHint("use larger parts: add ?part-size=1G to the URL")
	}
	return o.object.Explain(err)
}

// Abort waits until the store has removed the uploaded parts.
func (o *Writer) Abort() {
	o.giveUp()
	<-o.done
	o.forget()
}

// giveUp ends the upload, which may be waiting for the server or for more
// bytes. It cancels the upload first: if the source just failed, the Go CDK
// might create an object from the bytes so far.
func (o *Writer) giveUp() {
	o.cancel()
	o.CloseWithError(errAborted)
}

func (o *Writer) forget() {
	o.pending.Done(o)
}

// interrupt is called by [atomicfile.Pending].
func (o *Writer) interrupt() {
	o.giveUp()
	select {
	case <-o.done:
	case <-time.After(CleanUpTime):
	}
}
