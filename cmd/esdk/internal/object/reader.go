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
	// maxResumes is how often a request is made again that gave nothing new.
	maxResumes = 4

	// readAhead bounds how much is asked for beyond what is read, if the parts that
	// are read follow each other.
	readAhead = 8 << 20

	// shortObject is the length of objects of which all is asked for at once, since the
	// start is not much less. So much is kept of the start of an object, which is looked
	// at, to see whether it is done or text, and then read.
	shortObject = 64 << 10

	// firstRead is how much is asked for of a longer one, to see the header.
	firstRead = 4 << 10
)

// A Reader reads an object, all of whose bytes are of one version. What is cut
// off is asked for again from there on.
type Reader struct {
	ctx    context.Context
	object *Object
	info   *Info

	mu      sync.Mutex
	reader  *blob.Reader // nil if there is no request
	cancel  func()       // ends the request
	first   *description // that came with the first answer, nil before that
	start   []byte       // of the object, so far
	offset  int64        // of the next byte
	at, end int64        // of what the reader has
	begun   int64        // where the parts begin that follow each other up to at
}

// Open opens an object. One that was described lately is not asked for before it is read.
// Another is at once, for its start, and the answer describes it: to ask only how long it is
// would cost as much. Info is nil for an object that nobody has looked at.
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

// startOf is how much is asked for of an object before its length is known. A short one is
// read in one request, even if it is longer by now than the old info says.
func (b *bucket) startOf(old *Info) int64 {
	if b.buckets.StartOnly || old != nil && old.size > shortObject {
		return firstRead
	}
	return shortObject
}

// begin asks for the start of an object that is not described yet. An empty one has no start,
// and stores refuse to give one. All is asked for if the rest could not be read later.
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

// Changed returns nil: what is read is of one version, or else an error.
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
			// The service's client tries that again itself.
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

// readSome reads something of what was asked for, or fails.
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

// stalled reports whether a request was given up.
func (o *Reader) stalled(err error) bool {
	return o.ctx.Err() == nil && gcerrors.Code(err) == gcerrors.Canceled
}

// request asks for a part of the object, in the version that was seen first.
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

// take notes what an answer has, which is not always what was asked for.
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
	// ErrStalled is the error of a store that does not go on.
	ErrStalled = errors.New("the store does not go on")

	errNoParts    = cli.NewError(cli.ExitError, "the store gives no parts of objects")
	errNoVersions = cli.NewError(cli.ExitError, "the store does not tell versions of an object apart (no ETag), so that it can't be read on")

	errChanged = cli.NewError(cli.ExitError, "it was replaced while it was read").OfKind(cli.KindChanged)
)

// described returns what the store says of the version that is read. If nothing was read yet,
// all of it is asked for. It is nil for an empty object.
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

// VersionID is the name under which the store keeps what was read, "" if nothing was, or
// if the store keeps one version only.
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

// Seek implements [io.Seeker]. No request is made.
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
