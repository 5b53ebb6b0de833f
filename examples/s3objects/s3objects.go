// Package s3objects keeps encrypted objects in a bucket of S3.
package s3objects

import (
	"context"
	"fmt"
	"io"
	"time"

	"esdk"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// A Bucket reads and writes encrypted objects. Each is bound to its bucket and
// key, so that one that is copied or moved doesn't open.
//
// It protects from whoever can read or write the bucket, who can still remove
// an object or put back an older one of the same key. Keys, lengths and
// metadata show.
type Bucket struct {
	name    string
	s3      *s3.Client
	uploads *transfermanager.Client
	client  *esdk.Client
	again   aws.Retryer // of Put: three attempts
}

// New returns a bucket. Its endpoint must have TLS for Put.
func New(kr esdk.Keyring, store *s3.Client, name string) (*Bucket, error) {
	client, err := esdk.New(esdk.Config{
		Keyring:              kr,
		Suite:                esdk.AES256GCMHKDFSHA512Commit, // not signed, so that Open can read parts
		FrameLength:          64 << 10,                       // the least that Open fetches
		MaxFrameLength:       1 << 20,
		MaxEncryptedDataKeys: 3,
		MaxHeaderLength:      16 << 10,
	})
	if err != nil {
		return nil, err
	}
	uploads := transfermanager.New(store, func(o *transfermanager.Options) {
		o.FailTimeout = 30 * time.Second // removes the parts of an upload whose context has ended
	})
	return &Bucket{name, store, uploads, client, retry.NewStandard()}, nil
}

func (b *Bucket) bound(key string) esdk.EncryptionContext {
	return esdk.EncryptionContext{"bucket": b.name, "key": key}
}

// Put writes an object of a known length, of up to 5 GB with the message's
// overhead, in one request and with hardly any memory.
//
// A message can't be read twice, so that the AWS SDK can't send it again: each
// attempt is a message of its own here, of the source from its start. For the
// same reason the SDK can't compute a checksum beforehand. With TLS it sends
// one behind the body, which some stores don't know: their client needs
// WhenRequired as its RequestChecksumCalculation.
func (b *Bucket) Put(ctx context.Context, key string, src io.ReadSeeker, size int64) error {
	start, err := src.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	for attempt := 1; ; attempt++ {
		body, err := b.put(ctx, key, src, size)
		if err == nil || body.err != nil || attempt == b.again.MaxAttempts() || !b.again.IsErrorRetryable(err) {
			return err
		}
		delay, delayErr := b.again.RetryDelay(attempt, err)
		if delayErr != nil {
			return err
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return err
		}
		if _, err := src.Seek(start, io.SeekStart); err != nil {
			return err
		}
	}
}

func (b *Bucket) put(ctx context.Context, key string, src io.Reader, size int64) (*body, error) {
	message, err := b.client.NewEncryptingReader(ctx, io.LimitReader(src, size), size, b.bound(key))
	if err != nil {
		return &body{err: err}, err
	}
	length, _ := message.Size() // known, since the length of the plaintext is
	read := &body{r: message}
	_, err = b.s3.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &b.name, Key: &key, Body: read, ContentLength: &length,
	}, func(o *s3.Options) { o.Retryer = aws.NopRetryer{} })
	return read, err
}

// A body remembers an error of its own, which the AWS SDK may take for one of
// the network.
type body struct {
	r   io.Reader
	err error
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// Upload writes an object of any length, in parts of 8 MiB that are kept in
// memory, six at once, and sent again by the AWS SDK. If the source fails or
// the context ends, no object is made.
func (b *Bucket) Upload(ctx context.Context, key string, src io.Reader) error {
	body, err := b.client.NewEncryptingReader(ctx, src, -1, b.bound(key))
	if err != nil {
		return err
	}
	_, err = b.uploads.UploadObject(ctx, &transfermanager.UploadObjectInput{Bucket: &b.name, Key: &key, Body: body})
	return err
}

// An Object is read to its end: only io.EOF says that it is complete.
type Object struct {
	*esdk.Reader
	io.Closer
}

// Get returns the plaintext of an object. It must be closed.
func (b *Bucket) Get(ctx context.Context, key string) (*Object, error) {
	out, err := b.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: &key}, quietly)
	if err != nil {
		return nil, err
	}
	r, err := b.client.NewReader(ctx, out.Body, b.bound(key))
	if err != nil {
		out.Body.Close()
		return nil, err
	}
	return &Object{r, out.Body}, nil
}

// Parts of an object, and objects of several parts, have no checksum that the
// AWS SDK can verify, which it would log each time. The message has its own.
func quietly(o *s3.Options) { o.DisableLogOutputChecksumValidationSkipped = true }

// Open returns a reader of any part of an object: io.NewSectionReader makes an
// io.ReadSeeker of it. Each read is a request, for whole frames. An object that
// is replaced meanwhile is an error. Signed messages are refused, with
// esdk.ErrSigned: read them with Get.
func (b *Bucket) Open(ctx context.Context, key string) (*esdk.ReaderAt, error) {
	head, err := b.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.name, Key: &key})
	if err != nil {
		return nil, err
	}
	src := &objectAt{ctx, b, key, head.ETag}
	return b.client.NewReaderAt(ctx, src, aws.ToInt64(head.ContentLength), b.bound(key))
}

// objectAt reads parts of one version of an object.
type objectAt struct {
	ctx  context.Context
	b    *Bucket
	key  string
	etag *string
}

func (o *objectAt) ReadAt(p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	out, err := o.b.s3.GetObject(o.ctx, &s3.GetObjectInput{
		Bucket: &o.b.name, Key: &o.key, IfMatch: o.etag,
		Range: aws.String(fmt.Sprintf("bytes=%d-%d", off, off+int64(len(p))-1)),
	}, quietly)
	if err != nil {
		return 0, err
	}
	defer out.Body.Close()
	n, err := io.ReadFull(out.Body, p)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return n, err
}
