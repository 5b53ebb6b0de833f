package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync"
	"time"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/cli"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// An input is what a job reads.
type input interface {
	io.ReadSeekCloser
	io.ReaderAt
	Stat() (fs.FileInfo, error)
}

const (
	// maxResumes is how often a request is made again that gave nothing new.
	maxResumes = 4

	// readAhead bounds how much is asked for beyond what is read, if the parts that
	// are read follow each other.
	readAhead = 8 << 20

	// keptStart is how much is kept of the start of an object, which is looked at, to
	// see whether it is text, and then read.
	keptStart = 4 << 10
)

// stallTime is how long a store may send nothing of what it was asked for.
var stallTime = time.Minute

// objectInput reads an object, all of whose bytes are of one version. What is cut
// off is asked for again from there on.
type objectInput struct {
	ctx    context.Context
	object *object
	info   *objectInfo

	mu      sync.Mutex
	reader  *blob.Reader // nil if there is no request
	cancel  func()       // ends the request
	version string       // of the first request
	start   []byte       // of the object, so far
	offset  int64        // of the next byte
	at, end int64        // of what the reader has
	begun   int64        // where the parts begin that follow each other up to at
}

// openObject opens an object whose length is known, if not when it is asked for.
func (a *app) openObject(ctx context.Context, j *job) (input, error) {
	info, ok := j.info.(*objectInfo)
	if !ok {
		var err error
		if info, err = j.source.info(ctx); err != nil {
			return nil, j.source.explain(err)
		}
	}
	return &objectInput{ctx: ctx, object: j.source, info: info}, nil
}

func (o *objectInput) Stat() (fs.FileInfo, error) { return o.info, nil }

func (o *objectInput) Read(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.read(p, o.offset, o.info.size)
	o.offset += int64(n)
	return n, err
}

// ReadAt implements [io.ReaderAt].
func (o *objectInput) ReadAt(p []byte, offset int64) (n int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.reader == nil || offset != o.at {
		o.begun = offset
	}
	// As much again as was read, so that a part takes few requests, and not much more.
	end := offset + max(int64(len(p)), min(offset-o.begun, readAhead))
	for n < len(p) && err == nil {
		var m int
		m, err = o.read(p[n:], offset+int64(n), min(end, o.info.size))
		n += m
	}
	if n == len(p) {
		err = nil
	}
	return n, err
}

// read reads from an offset, by a request up to the end unless there is one that
// has come to the offset.
func (o *objectInput) read(p []byte, offset, end int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if offset >= o.info.size {
		return 0, io.EOF
	}
	if offset < int64(len(o.start)) {
		return copy(p, o.start[offset:]), nil
	}
	for tries := 0; ; tries++ {
		if o.reader == nil || offset != o.at || offset == o.end {
			// The service's client tries that again itself.
			if err := o.request(offset, end); err != nil {
				return 0, o.object.explain(err)
			}
		}
		n, err := o.readSome(p)
		if n > 0 {
			if offset == int64(len(o.start)) {
				o.start = append(o.start, p[:min(n, keptStart-len(o.start))]...)
			}
			return n, nil
		}
		o.stop()
		if tries == maxResumes {
			return 0, o.object.explain(err)
		}
		select {
		case <-o.ctx.Done():
			return 0, o.ctx.Err()
		case <-time.After(100 * time.Millisecond << tries):
		}
	}
}

// readSome reads something of what was asked for, or fails.
func (o *objectInput) readSome(p []byte) (int, error) {
	watchdog := time.AfterFunc(stallTime, o.cancel)
	defer watchdog.Stop()
	n, err := o.reader.Read(p[:min(int64(len(p)), o.end-o.at)])
	o.at += int64(n)
	switch {
	case n > 0:
		return n, nil
	case err == nil || err == io.EOF:
		return 0, io.ErrUnexpectedEOF
	case o.stalled(err):
		return 0, errStalled
	}
	return 0, err
}

// stalled reports whether a request was given up.
func (o *objectInput) stalled(err error) bool {
	return o.ctx.Err() == nil && gcerrors.Code(err) == gcerrors.Canceled
}

// request asks for a part of the object, in the version that was seen first.
func (o *objectInput) request(offset, end int64) error {
	o.stop()
	var ctx context.Context
	ctx, o.cancel = context.WithCancel(o.ctx)
	only := func(as func(any) bool) error {
		o.object.bucket.store.only(o.version, as)
		return nil
	}
	watchdog := time.AfterFunc(answerTimeout, o.cancel)
	defer watchdog.Stop()
	r, err := o.object.bucket.NewRangeReader(ctx, o.object.key, offset, end-offset, &blob.ReaderOptions{BeforeRead: only})
	if o.stalled(err) {
		return errStalled
	}
	if code := gcerrors.Code(err); o.version != "" && (code == gcerrors.FailedPrecondition || code == gcerrors.NotFound) {
		return errChanged
	}
	if err != nil {
		return err
	}
	o.reader, o.at, o.end = r, offset, end
	o.version = cmp.Or(o.version, o.object.bucket.store.version(r))
	if r.Size() != o.info.size {
		o.stop()
		return errChanged
	}
	return nil
}

var (
	errChanged = cli.NewError(cli.ExitError, "it was replaced while it was read")
	errStalled = errors.New("the store does not go on")
)

func (o *objectInput) stop() {
	if o.cancel != nil {
		o.cancel()
	}
	if o.reader != nil {
		o.reader.Close()
		o.reader = nil
	}
}

// Seek implements [io.Seeker]. No request is made.
func (o *objectInput) Seek(offset int64, whence int) (int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += o.offset
	case io.SeekEnd:
		offset += o.info.size
	}
	if offset < 0 {
		return 0, fs.ErrInvalid
	}
	o.offset = offset
	return offset, nil
}

func (o *objectInput) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stop()
	return nil
}

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

	// cleanUpTime is how long an interrupted command waits for the store to remove
	// what was uploaded.
	cleanUpTime = 10 * time.Second
)

var errAborted = errors.New("the upload was given up")

// objectOutput uploads an object, which appears when all of it is there.
type objectOutput struct {
	*io.PipeWriter
	pending *atomicfile.Pending
	object  *object
	inPlace bool
	cancel  func()
	done    chan struct{} // closed when the upload has ended
	err     error         // of the upload
}

// newObjectOutput makes an output with, unless force, a condition that there is no
// such object yet, or with inPlace that it is still the same.
func (a *app) newObjectOutput(ctx context.Context, j *job, o *outputOptions) (output, error) {
	options := &blob.WriterOptions{ContentType: "application/octet-stream", IfNotExist: !o.force && !o.inPlace}
	if o.inPlace {
		if err := j.source.keepPlace(ctx, options); err != nil {
			return nil, err
		}
	}
	part := partSize(j)
	options.BufferSize = cli.ToInt(part)
	options.MaxConcurrency = int(min(5, max(1, maxUploading/part)))
	if a.sideBySide {
		options.MaxConcurrency = min(2, options.MaxConcurrency) // others are under way too
	}
	ctx, cancel := context.WithCancel(ctx)
	pr, pw := io.Pipe()
	out := &objectOutput{PipeWriter: pw, pending: a.pending, object: j.result, inPlace: o.inPlace, cancel: cancel, done: make(chan struct{})}
	a.pending.Add(out, out.interrupt)
	go func() {
		defer cancel()
		out.err = j.result.bucket.Upload(ctx, j.result.key, pr, options)
		pr.CloseWithError(cmp.Or(out.err, io.ErrClosedPipe))
		close(out.done)
	}()
	return out, nil
}

// partSize is that of the parts of an upload. A message is longer than its
// plaintext, and may be Base64 text.
func partSize(j *job) int64 {
	switch {
	case j.result.bucket.partSize > 0:
		return j.result.bucket.partSize
	case j.special:
		return streamPart
	}
	return min(maxPart, max(usualPart, j.size/(maxParts/2)))
}

// keepPlace has an object take the place of this one, unless another does so
// before, and be described as it.
func (o *object) keepPlace(ctx context.Context, options *blob.WriterOptions) error {
	old, err := o.bucket.Attributes(ctx, o.key)
	if err != nil {
		return o.explain(err)
	}
	options.ContentType = cmp.Or(old.ContentType, options.ContentType)
	options.CacheControl = old.CacheControl
	options.ContentDisposition = old.ContentDisposition
	options.ContentEncoding = old.ContentEncoding
	options.ContentLanguage = old.ContentLanguage
	options.Metadata = old.Metadata
	options.BeforeWrite = func(as func(any) bool) error {
		o.bucket.store.replace(old, as)
		return nil
	}
	return nil
}

func (o *objectOutput) Write(p []byte) (int, error) {
	n, err := o.PipeWriter.Write(p)
	return n, o.explain(err)
}

// Commit has the object appear.
func (o *objectOutput) Commit() error {
	o.PipeWriter.Close()
	<-o.done
	o.forget()
	return o.explain(o.err)
}

// explain tells whether there is another object by now.
func (o *objectOutput) explain(err error) error {
	if code := gcerrors.Code(err); err != nil && (code == gcerrors.FailedPrecondition || code == gcerrors.AlreadyExists) {
		if o.inPlace {
			return errChanged
		}
		return atomicfile.Exists(o.object.String())
	}
	if err != nil && strings.Contains(err.Error(), "MaxUploadParts") {
		return cli.NewError(cli.ExitError, "%s: more than %d parts", o.object, maxParts).WithHint("add ?part-size=1G, or what is enough, to its URL")
	}
	return o.object.explain(err)
}

// Abort waits until the store has removed what was uploaded.
func (o *objectOutput) Abort() {
	o.giveUp()
	<-o.done
	o.forget()
}

// giveUp ends the upload, which may wait for the server or for more to upload. It is
// cancelled first: of a source that fails, the Go CDK may make an object of what
// there is.
func (o *objectOutput) giveUp() {
	o.cancel()
	o.CloseWithError(errAborted)
}

func (o *objectOutput) forget() {
	o.pending.Done(o)
}

// interrupt is for [atomicfile.Pending].
func (o *objectOutput) interrupt() {
	o.giveUp()
	select {
	case <-o.done:
	case <-time.After(cleanUpTime):
	}
}
