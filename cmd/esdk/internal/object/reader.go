package object

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"math"
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
	info   *Info // nil until the first answer tells, if nobody knew before

	mu      sync.Mutex
	reader  *blob.Reader // nil if there is no request
	cancel  func()       // ends the request
	version string       // of the first request
	id      string       // under which the store keeps that version
	answer  any          // to the first request, nil if it says less than attributes do
	start   []byte       // of the object, so far
	offset  int64        // of the next byte
	at, end int64        // of what the reader has
	begun   int64        // where the parts begin that follow each other up to at
}

// Open opens an object that was described before, or by a request if info is nil.
func (o *Object) Open(ctx context.Context, info *Info) (*Reader, error) {
	if info == nil {
		var err error
		if info, err = o.Info(ctx); err != nil {
			return nil, o.Explain(err)
		}
	}
	r := &Reader{ctx: ctx, object: o, info: info}
	if info.old {
		if err := r.renew(); err != nil {
			r.Close()
			return nil, err
		}
	}
	return r, nil
}

// renew reads the start of an object, and learns by that how long it is now. This costs
// no more than to ask for the length, and the start is read in any case. A short object
// is asked for in one request, even if it is longer by now.
func (o *Reader) renew() error {
	end := int64(firstRead)
	if o.info.size <= shortObject && !o.object.bucket.startOnly {
		end = shortObject
	}
	var start [firstRead]byte
	if _, err := o.read(start[:], 0, end); err != io.EOF {
		return err
	}
	return nil // it is empty
}

// OpenUnseen opens an object that nobody has looked at. No request is made: the first one for
// its bytes describes it, too.
func (o *Object) OpenUnseen(ctx context.Context) *Reader { return &Reader{ctx: ctx, object: o} }

// Stat returns the description that the object was opened with, or asks for it.
func (o *Reader) Stat() (fs.FileInfo, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.known() {
		info, err := o.object.Info(o.ctx)
		if err != nil {
			return nil, o.object.Explain(err)
		}
		o.info = info
	}
	return o.info, nil
}

// known reports whether the description is of the object as it is now.
func (o *Reader) known() bool { return o.info != nil && !o.info.old }

// size is the length of the object, or more than any has as long as that is not known.
func (o *Reader) size() int64 {
	if !o.known() {
		return math.MaxInt64
	}
	return o.info.size
}

// Changed returns nil: what is read is of one version, or else an error.
func (o *Reader) Changed() error { return nil }

func (o *Reader) Read(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.read(p, o.offset, o.size())
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
		m, err = o.read(p[n:], offset+int64(n), min(end, o.size()))
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
	if offset >= o.size() {
		return 0, io.EOF
	}
	if offset < int64(len(o.start)) {
		return copy(p, o.start[offset:]), nil
	}
	for tries := 0; ; tries++ {
		if o.reader == nil || offset != o.at || offset == o.end {
			// The service's client tries that again itself.
			if err := o.request(offset, end); err != nil {
				return 0, o.object.Explain(err)
			}
			if offset >= o.size() { // as is known by now
				return 0, io.EOF
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
			return 0, o.object.Explain(err)
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
	watchdog := time.AfterFunc(o.object.bucket.stallTime, o.cancel)
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
	if o.version == noVersion {
		return errNoVersions
	}
	var ctx context.Context
	ctx, o.cancel = context.WithCancel(o.ctx)
	only := func(as func(any) bool) error {
		o.object.bucket.store.only(o.version, as)
		s3Version(o.object.version(), as)
		return nil
	}
	watchdog := time.AfterFunc(answerTimeout, o.cancel)
	defer watchdog.Stop()
	length := end - offset
	if end == math.MaxInt64 {
		length = -1 // to the end
	}
	r, err := o.object.bucket.NewRangeReader(ctx, o.object.Key, offset, length, &blob.ReaderOptions{BeforeRead: only})
	if o.stalled(err) {
		return ErrStalled
	}
	if code := gcerrors.Code(err); o.version != "" && (code == gcerrors.FailedPrecondition || code == gcerrors.NotFound) {
		return errChanged
	}
	if err != nil {
		return o.emptyOr(err)
	}
	if begins := o.object.bucket.store.begins(r); begins >= 0 && begins != offset {
		r.Close()
		return errNoParts
	}
	if !o.known() {
		o.info = NewInfo(o.object.Key, r.Size(), r.ModTime())
	}
	o.reader, o.at, o.end = r, offset, min(end, o.info.size)
	o.version = cmp.Or(o.version, o.object.bucket.store.version(r))
	o.id = cmp.Or(o.id, o.object.bucket.store.versionID(r))
	o.answer = cmp.Or(o.answer, o.object.bucket.store.answer(r))
	if r.Size() != o.info.size {
		o.stop()
		return errChanged
	}
	return nil
}

// emptyOr takes the error of a request for a part back if the object turns out to be empty:
// it has no part, and stores refuse to give one.
func (o *Reader) emptyOr(err error) error {
	if code := gcerrors.Code(err); o.known() || code == gcerrors.NotFound || code == gcerrors.PermissionDenied || cli.Retryable(err) {
		return err
	}
	if info, infoErr := o.object.Info(o.ctx); infoErr == nil && info.size == 0 {
		o.info = info
		return nil
	}
	return err
}

var (
	// ErrStalled is the error of a store that does not go on.
	ErrStalled = errors.New("the store does not go on")

	errNoParts    = cli.NewError(cli.ExitError, "the store gives no parts of objects")
	errNoVersions = cli.NewError(cli.ExitError, "the store does not tell versions of an object apart (no ETag), so that it can't be read on")

	errChanged = cli.NewError(cli.ExitError, "it was replaced while it was read").OfKind(cli.KindChanged)
)

// seen is the version that something was read of, "" if that is none yet, and what the
// store said of it.
func (o *Reader) seen() (version string, answer any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.version, o.answer
}

// VersionID is the name under which the store keeps what was read, "" if nothing was, or
// if the store keeps one version only.
func (o *Reader) VersionID() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.id
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
		if !o.known() {
			return 0, errors.ErrUnsupported
		}
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
