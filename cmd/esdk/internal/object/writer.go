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
	inPlace bool
	cancel  func()
	done    chan struct{} // closed when the upload has ended
	err     error         // of the upload
	made    string        // the id of the version, as far as it is known
}

// CreateOptions say how to upload an object.
type CreateOptions struct {
	Replace    bool    // one that there is
	InPlace    *Reader // only what this reads, and keep how it is described; nil for a new object
	Size       int64   // of the source, about; -1 if it is not known
	SideBySide bool    // others are under way too
}

// Create uploads an object. Unless it replaces one, the store is told that there is
// none yet, and fails if there is by then.
func (o *Object) Create(ctx context.Context, p *atomicfile.Pending, c CreateOptions) (*Writer, error) {
	if o.version() != "" {
		return nil, cli.NewError(cli.ExitNotWritten, "a version cannot be written to").Of(o.String())
	}
	options := &blob.WriterOptions{ContentType: "application/octet-stream", IfNotExist: !c.Replace && c.InPlace == nil && !o.bucket.plain}
	if !c.Replace && c.InPlace == nil && o.bucket.plain {
		if _, exists, err := o.Changed(ctx); err != nil {
			return nil, o.Explain(err)
		} else if exists {
			return nil, atomicfile.Exists(o.String())
		}
	}
	describe := func(func(any) bool) {}
	if c.InPlace != nil {
		var err error
		if describe, err = o.keepPlace(ctx, c.InPlace, options); err != nil {
			return nil, err
		}
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
	ctx, cancel := context.WithCancel(ctx)
	pr, pw := io.Pipe()
	out := &Writer{PipeWriter: pw, pending: p, object: o, inPlace: c.InPlace != nil, cancel: cancel, done: make(chan struct{})}
	p.Add(out, out.interrupt)
	go func() {
		defer cancel()
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

// Changed asks whether there is an object, and when it was changed.
func (o *Object) Changed(ctx context.Context) (at time.Time, exists bool, err error) {
	attributes, err := o.bucket.Attributes(ctx, o.Key)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return time.Time{}, false, nil
	}
	if err != nil {
		return time.Time{}, false, err
	}
	return attributes.ModTime, true, nil
}

// keepPlace has an object take the place of this one, unless another does so
// before, and be described as it, for which it returns what else to say of it. What was
// read of it already is of this one.
func (o *Object) keepPlace(ctx context.Context, in *Reader, options *blob.WriterOptions) (describe func(as func(any) bool), err error) {
	seen, answer := in.seen()
	if answer != nil {
		return o.bucket.store.replaceRead(ctx, o, answer)
	}
	old, err := o.bucket.Attributes(ctx, o.Key)
	if err != nil {
		return nil, o.Explain(err)
	}
	if seen != "" && seen != o.bucket.store.versionOf(old) {
		return nil, errChanged
	}
	options.ContentType = cmp.Or(old.ContentType, options.ContentType)
	options.CacheControl = old.CacheControl
	options.ContentDisposition = old.ContentDisposition
	options.ContentEncoding = old.ContentEncoding
	options.ContentLanguage = old.ContentLanguage
	options.Metadata = old.Metadata
	return o.bucket.store.replace(ctx, o, old)
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

// explain tells whether there is another object by now.
func (o *Writer) explain(err error) error {
	if code := gcerrors.Code(err); err != nil && (code == gcerrors.FailedPrecondition || code == gcerrors.AlreadyExists) {
		if o.inPlace {
			return errChanged
		}
		return atomicfile.Exists(o.object.String())
	}
	var conflict interface{ ErrorCode() string }
	if errors.As(err, &conflict) && conflict.ErrorCode() == "ConditionalRequestConflict" { // with another request at the same time
		if o.inPlace {
			return errChanged
		}
		return cli.NewError(cli.ExitUnavailable, "another request for it is under way: %w", err).OfKind(cli.KindThrottled).Of(o.object.String())
	}
	if err != nil && strings.Contains(err.Error(), "MaxUploadParts") {
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
