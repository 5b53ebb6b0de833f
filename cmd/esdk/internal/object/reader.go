package object

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"
	"time"

	"esdk/cmd/esdk/internal/cli"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

const (
	// maxResumes is how many times a request that gave no new bytes is
	// repeated.
	maxResumes = 4

	// readAhead limits the bytes requested beyond a read, for reads that follow
	// each other.
	readAhead = 8 << 20

	// shortObject is the length up to which an object is requested as a whole,
	// since its start alone would cost about the same. The Reader keeps as many
	// bytes of an object's start, which is read twice: first to see whether
	// it's a message or text, and then as content.
	shortObject = 64 << 10

	// firstRead is the number of bytes requested of a longer object, to see the
	// header.
	firstRead = 4 << 10
)

// A Reader reads an object. All bytes are from one version. If the connection
// breaks, it requests the rest.
type Reader struct {
	ctx    context.Context
	object *Object
	info   *Info

	mu      sync.Mutex
	reader  *blob.Reader // nil without a request
	cancel  func()       // ends the request
	first   *description // from the first answer, nil before it
	start   []byte       // of the object, as far as it was read
	offset  int64        // of the next byte
	at, end int64        // of the content in reader
	begun   int64        // start of the sequence of reads that ends at at
}

// Open opens an object. If info is recent, the first request is made by the
// first read. If it's old or nil, Open requests the start of the object, and
// the answer describes it: a request for the description alone would cost as
// much.
func (o *Object) Open(ctx context.Context, info *Info) (*Reader, error) {
	r := &Reader{ctx: ctx, object: o, info: info}
	if info != nil && !info.old {
		return r, nil
	}
	r.info = nil
	if err := r.begin(o.bucket.startOf(info)); err != nil {
		r.stop()
		return nil, o.ExplainInput(err)
	}
	return r, nil
}

// startOf returns the number of bytes to request of an object of unknown
// length. A short object is read with one request, even if it has grown since
// the old info.
func (b *bucket) startOf(old *Info) int64 {
	if b.buckets.StartOnly || old != nil && old.size > shortObject {
		return firstRead
	}
	return shortObject
}

// begin requests the start of an object without a description. An empty object
// has no start, and stores refuse such a request. If the store has no versions,
// the rest couldn't be read later, so begin requests all of the object.
func (o *Reader) begin(end int64) error {
	err := o.request(0, end)
	switch code := gcerrors.Code(err); {
	case err == nil && o.first.version == noVersion && o.end < o.info.size:
		o.first = nil
		return o.request(0, o.info.size)
	case err == nil, code == gcerrors.NotFound, code == gcerrors.PermissionDenied, cli.Retryable(err):
		return err
	}
	info, infoErr := o.object.Info(o.ctx)
	if infoErr != nil || info.size > 0 {
		return err
	}
	o.info = info
	return nil
}

// Stat describes the version that is read.
func (o *Reader) Stat() (fs.FileInfo, error) { return o.info, nil }

// Changed returns nil: all bytes are from one version, or reading fails.
func (o *Reader) Changed() error { return nil }

func (o *Reader) Read(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.read(p, o.offset, o.info.size)
	o.offset += int64(n)
	return n, err
}

// ReadAt implements [io.ReaderAt].
func (o *Reader) ReadAt(p []byte, offset int64) (n int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.reader == nil || offset != o.at {
		o.begun = offset
	}
	// Requesting as much again as was read keeps both the number of requests
	// and the unused bytes low.
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

// read reads from an offset. It uses the current request if that has reached
// the offset, otherwise it makes one up to the end.
func (o *Reader) read(p []byte, offset, end int64) (int, error) {
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
			// The service's client repeats failed requests itself.
			if err := o.request(offset, end); err != nil {
				return 0, o.object.ExplainInput(err)
			}
		}
		n, err := o.readSome(p)
		if n > 0 {
			if offset == int64(len(o.start)) {
				o.start = append(o.start, p[:min(n, shortObject-len(o.start))]...)
			}
			return n, nil
		}
		o.stop()
		if tries == maxResumes {
			return 0, o.object.ExplainInput(err)
		}
		select {
		case <-o.ctx.Done():
			return 0, o.ctx.Err()
		case <-time.After(100 * time.Millisecond << tries):
		}
	}
}

// readSome reads at least one byte of the current request, or fails.
func (o *Reader) readSome(p []byte) (int, error) {
	watchdog := time.AfterFunc(o.object.bucket.buckets.StallTime, o.cancel)
	defer watchdog.Stop()
	n, err := o.reader.Read(p[:min(int64(len(p)), o.end-o.at)])
	o.at += int64(n)
	switch {
	case n > 0:
		return n, nil
	case err == nil || err == io.EOF:
		return 0, io.ErrUnexpectedEOF
	case o.stalled(err):
		return 0, ErrStalled
	}
	return 0, err
}

// stalled reports whether a request was given up because the store didn't
// answer.
func (o *Reader) stalled(err error) bool {
	return o.ctx.Err() == nil && gcerrors.Code(err) == gcerrors.Canceled
}

// request requests a part of the object, in the version of the first answer.
func (o *Reader) request(offset, end int64) error {
	o.stop()
	version := ""
	if o.first != nil {
		version = o.first.version
	}
	if version == noVersion {
		return errNoVersions
	}
	var ctx context.Context
	ctx, o.cancel = context.WithCancel(o.ctx)
	only := func(as func(any) bool) error {
		o.object.bucket.store.only(version, as)
		s3Version(o.object.version(), as)
		return nil
	}
	watchdog := time.AfterFunc(answerTimeout, o.cancel)
	defer watchdog.Stop()
	r, err := o.object.bucket.NewRangeReader(ctx, o.object.Key, offset, end-offset, &blob.ReaderOptions{BeforeRead: only})
	if o.stalled(err) {
		return ErrStalled
	}
	if code := gcerrors.Code(err); version != "" && (code == gcerrors.FailedPrecondition || code == gcerrors.NotFound) {
		return errChanged
	}
	if err != nil {
		return err
	}
	o.reader = r
	if err := o.take(offset, end); err != nil {
		o.stop()
		return err
	}
	return nil
}

// take records the extent of an answer, which may differ from the requested
// one.
func (o *Reader) take(offset, end int64) error {
	a := o.object.bucket.store.answer(o.reader)
	if a.begins >= 0 && a.begins != offset {
		return errNoParts
	}
	if o.info == nil {
		o.info = NewInfo(o.object.Key, o.reader.Size(), o.reader.ModTime())
	}
	if o.reader.Size() != o.info.size {
		return errChanged
	}
	if o.first == nil {
		o.first = &a.description
	}
	o.at, o.end = offset, min(end, o.info.size)
	if a.whole {
		o.end = o.info.size
	}
	return nil
}

var (
	// ErrStalled is the error for a store that stops sending.
	ErrStalled = errors.New("the store stopped sending data")

	errNoParts    = cli.NewError(cli.ExitError, "the store does not support reading parts of objects")
	errNoVersions = cli.NewError(cli.ExitError, "cannot resume reading: the store sends no ETag")

	errChanged = cli.NewError(cli.ExitError, "the object was replaced while it was read").OfKind(cli.KindChanged)
)

// described returns the store's description of the version that is read. If
// nothing was read yet, it requests the whole object. It returns nil for an
// empty object.
func (o *Reader) described() (*description, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.first == nil && o.info.size > 0 {
		if err := o.request(0, o.info.size); err != nil {
			return nil, o.object.ExplainInput(err)
		}
	}
	return o.first, nil
}

// VersionID returns the store's name for the version that was read. It returns
// "" if nothing was read, or if the store keeps only one version.
func (o *Reader) VersionID() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.first == nil {
		return ""
	}
	return o.first.id
}

func (o *Reader) stop() {
	if o.cancel != nil {
		o.cancel()
	}
	if o.reader != nil {
		o.reader.Close()
		o.reader = nil
	}
}

// Seek implements [io.Seeker]. It makes no request.
func (o *Reader) Seek(offset int64, whence int) (int64, error) {
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

func (o *Reader) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stop()
	return nil
}
