package object

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"esdk/cmd/esdk/internal/cli"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
	"gocloud.dev/blob"
	_ "gocloud.dev/blob/s3blob" // opens s3://
)

// s3Store tells objects apart by their ETag.
type s3Store struct{}

// open has an upload that is given up leave nothing behind. A server that does not
// answer is given up.
func (s3Store) open(ctx context.Context, url string) (*blob.Bucket, error) {
	b, err := blob.OpenBucket(ctx, url)
	if err != nil {
		return nil, err
	}
	var client *s3.Client
	if b.As(&client) {
		*client = *s3.New(client.Options(), func(o *s3.Options) {
			if c, ok := o.HTTPClient.(*awshttp.BuildableClient); ok {
				o.HTTPClient = c.WithTransportOptions(func(t *http.Transport) {
					t.ResponseHeaderTimeout = answerTimeout
					t.MaxIdleConns, t.MaxIdleConnsPerHost = maxIdle, maxIdle
				})
			}
			o.Logger = logging.Nop{} // what matters is an error, too
			o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
				return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("Finish", finish), middleware.Before)
			})
		})
	}
	return b, nil
}

// maxIdle is how many connections are kept for the next request. With fewer than there are
// requests side by side, which the AWS SDK's 10 may be, most requests would make a new one.
const maxIdle = 256

// answerTimeout is how long a server may take to begin its answer. S3 may need
// minutes for a long object.
const answerTimeout = 5 * time.Minute

// finish has an upload that was begun be known, and be removed, even if the context
// has ended: else its parts would stay. It also notes the version that was made, which
// the Go CDK does not tell.
func finish(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
	switch in.Parameters.(type) {
	case *s3.CreateMultipartUploadInput, *s3.AbortMultipartUploadInput:
		ctx = context.WithoutCancel(ctx)
	}
	out, metadata, err := next.HandleInitialize(ctx, in)
	if made, ok := ctx.Value(madeKey{}).(*string); ok {
		switch result := out.Result.(type) {
		case *s3.PutObjectOutput:
			*made = aws.ToString(result.VersionId)
		case *s3.CompleteMultipartUploadOutput:
			*made = aws.ToString(result.VersionId)
		}
	}
	return out, metadata, err
}

// madeKey is that of a context, for a *string that gets the id of the version that an
// upload makes.
type madeKey struct{}

func (s3Store) reason(err error) error { return err }

func (s3Store) answer(r *blob.Reader) answer {
	var response s3.GetObjectOutput
	if !r.As(&response) {
		return answer{begins: -1}
	}
	response.Body = nil
	return answer{
		description: description{
			version: cmp.Or(aws.ToString(response.ETag), noVersion),
			id:      aws.ToString(response.VersionId),
			keep: func(ctx context.Context, o *Object) (func(as func(any) bool), error) {
				return keepS3(ctx, o, &response)
			},
		},
		begins: rangeBegin(aws.ToString(response.ContentRange)),
		whole:  response.ContentRange == nil,
	}
}

// rangeBegin is where the part of a header Content-Range begins, 0 if there is none.
func rangeBegin(header string) (begin int64) {
	fmt.Sscanf(header, "bytes %d-", &begin)
	return begin
}

func (s3Store) versionOf(a *blob.Attributes) string { return cmp.Or(a.ETag, noVersion) }

// writing has nothing to ask: see finish.
func (s3Store) writing(func(any) bool) func() string { return nil }

func (s3Store) only(version string, as func(any) bool) {
	var request *s3.GetObjectInput
	if as(&request) && version != "" {
		request.IfMatch = aws.String(version)
	}
	// An object of several parts has no checksum of the whole, and what is read is
	// either a message, which has its own, or was read by its owner's choice.
	var options *[]func(*s3.Options)
	if as(&options) {
		*options = append(*options, func(o *s3.Options) { o.DisableLogOutputChecksumValidationSkipped = true })
	}
}

func (s3Store) replace(version string, as func(any) bool) {
	var request *transfermanager.UploadObjectInput
	if as(&request) {
		request.IfMatch = aws.String(version)
	}
}

// keepS3 keeps what the Go CDK does not know of, too: when it expires, its redirection, its
// storage class, its tags and the server's encryption. Who may not read the tags cannot keep
// them, and is told so.
func keepS3(ctx context.Context, o *Object, old *s3.GetObjectOutput) (func(as func(any) bool), error) {
	tags, err := s3Tags(ctx, o)
	if err != nil {
		return nil, err
	}
	return func(as func(any) bool) {
		var request *transfermanager.UploadObjectInput
		if !as(&request) {
			return
		}
		if tags != "" {
			request.Tagging = aws.String(tags)
		}
		describeAs(request, old)
	}, nil
}

// describeAs has a new version be described as the old one is. What the URL says of the
// server's encryption is in the request already, and stays.
func describeAs(request *transfermanager.UploadObjectInput, old *s3.GetObjectOutput) {
	if old.ContentType != nil {
		request.ContentType = old.ContentType
	}
	request.CacheControl, request.ContentDisposition = old.CacheControl, old.ContentDisposition
	request.ContentEncoding, request.ContentLanguage = old.ContentEncoding, old.ContentLanguage
	request.Metadata, request.WebsiteRedirectLocation = old.Metadata, old.WebsiteRedirectLocation
	if expires, err := http.ParseTime(aws.ToString(old.ExpiresString)); err == nil {
		request.Expires = &expires
	}
	request.StorageClass = types.StorageClass(old.StorageClass)
	switch {
	case request.ServerSideEncryption != "":
	case request.SSEKMSKeyID != nil:
		request.ServerSideEncryption = types.ServerSideEncryptionAwsKms
	default:
		request.ServerSideEncryption = types.ServerSideEncryption(old.ServerSideEncryption)
		request.SSEKMSKeyID, request.BucketKeyEnabled = old.SSEKMSKeyId, old.BucketKeyEnabled
	}
	keepLock(request, old)
}

// keepLock has a new version be locked as the old one is. Retention that has ended cannot be
// asked for.
func keepLock(request *transfermanager.UploadObjectInput, old *s3.GetObjectOutput) {
	request.ObjectLockLegalHoldStatus = types.ObjectLockLegalHoldStatus(old.ObjectLockLegalHoldStatus)
	if until := aws.ToTime(old.ObjectLockRetainUntilDate); until.After(time.Now()) {
		request.ObjectLockMode = types.ObjectLockMode(old.ObjectLockMode)
		request.ObjectLockRetainUntilDate = &until
	}
}

// s3Tags returns the tags of an object, as they are written.
func s3Tags(ctx context.Context, o *Object) (string, error) {
	client, name := o.s3()
	if client == nil || o.bucket.tagged {
		return "", nil
	}
	out, err := client.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: &name, Key: &o.Key})
	var response interface{ HTTPStatusCode() int }
	switch {
	case errors.As(err, &response) && (response.HTTPStatusCode() == http.StatusNotImplemented || response.HTTPStatusCode() == http.StatusNotFound):
		return "", nil // the store has none
	case err != nil:
		return "", cli.NewError(cli.ExitError, "its tags would be lost: %w", o.Explain(err)).Of(o.String()).WithHint("give these credentials s3:GetObjectTagging, or say the tags in the URL: ?tags=")
	}
	tags := make(url.Values)
	for _, t := range out.TagSet {
		tags.Add(aws.ToString(t.Key), aws.ToString(t.Value))
	}
	return tags.Encode(), nil
}

// s3 returns the client and the name of the bucket, nil if it is not one of S3.
func (o *Object) s3() (client *s3.Client, bucket string) {
	if !o.bucket.As(&client) {
		return nil, ""
	}
	return client, strings.TrimPrefix(o.bucket.url, "s3://")
}

// s3Info describes the version of an object that its URL names.
func s3Info(ctx context.Context, o *Object) (*Info, error) {
	client, name := o.s3()
	version := o.version()
	head, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &name, Key: &o.Key, VersionId: &version})
	if err != nil {
		return nil, err
	}
	return NewInfo(o.Key, aws.ToInt64(head.ContentLength), aws.ToTime(head.LastModified)), nil
}

// s3Version has a request get a version.
func s3Version(version string, as func(any) bool) {
	var request *s3.GetObjectInput
	if version != "" && as(&request) {
		request.VersionId = aws.String(version)
	}
}

// listAfter is for the first page: the others begin where the one before ended.
func (s3Store) listAfter(key string, as func(any) bool) {
	var request *s3.ListObjectsV2Input
	if as(&request) && request.ContinuationToken == nil {
		request.StartAfter = &key
	}
}

func (s3Store) parameters(query url.Values) (p parameters, err error) {
	class, tags := query.Get("storageclass"), query.Get("tags")
	if _, err := url.ParseQuery(tags); err != nil {
		return p, cli.UsageError("tags=: want KEY%%3DVALUE, with %%26 between them")
	}
	if class != "" && !slices.Contains(s3types.StorageClass("").Values(), s3types.StorageClass(class)) {
		return p, cli.UsageError("storageclass=%s: want one of %v", cli.Printable(class), s3types.StorageClass("").Values())
	}
	_, p.tagged = query["tags"]
	if class != "" || tags != "" {
		p.describe = func(as func(any) bool) {
			var request *transfermanager.UploadObjectInput
			if !as(&request) {
				return
			}
			if class != "" {
				request.StorageClass = types.StorageClass(class)
			}
			if tags != "" {
				request.Tagging = aws.String(tags)
			}
		}
	}
	if text := query.Get("conditional-writes"); text != "" {
		conditional, err := strconv.ParseBool(text)
		if err != nil {
			return p, cli.UsageError("conditional-writes=%s: want true or false", cli.Printable(text))
		}
		p.plain = !conditional
	}
	p.version = query.Get("versionId")
	for _, name := range []string{"storageclass", "tags", "conditional-writes", "versionId"} {
		query.Del(name)
	}
	return p, nil
}

// entry tells which key leads to an object. The Go CDK writes and reads some characters of
// keys in another way. What it would not write as it is there, it cannot ask for, and asks for
// another object instead.
func (s3Store) entry(e *blob.ListObject) *Entry {
	entry := newEntry(e)
	var object s3types.Object
	if !e.As(&object) {
		return entry
	}
	entry.version = cmp.Or(quoted(aws.ToString(object.ETag)), noVersion)
	entry.Raw = aws.ToString(object.Key)
	key, ok := keyOf(entry.Raw)
	entry.Key, entry.Unreachable = key, !ok
	return entry
}

// quoted is an ETag as headers have it, which lists of some stores write without quotes.
func quoted(etag string) string {
	if etag == "" || strings.HasSuffix(etag, `"`) {
		return etag
	}
	return `"` + etag + `"`
}

// cutEscape returns the character for which an escape of the Go CDK stands that a text begins
// with, and what is behind it.
func cutEscape(text string) (c rune, rest string, ok bool) {
	rest, ok = strings.CutPrefix(text, "__0x")
	digits, _, closed := strings.Cut(rest, "_")
	if !ok || !closed {
		return 0, text, false
	}
	rest, ok = strings.CutPrefix(rest[len(digits):], "__")
	n, err := strconv.ParseInt(digits, 16, 32)
	if !ok || err != nil {
		return 0, text, false
	}
	return rune(n), rest, true
}

// escapeS3 is what the Go CDK makes of a key before it asks S3 for it.
func escapeS3(key string) string {
	b := new(strings.Builder)
	for i, c := range key {
		if _, _, escape := cutEscape(key[i:]); escape || c < ' ' || c == '/' && strings.HasSuffix(key[:i], "..") {
			fmt.Fprintf(b, "__%#x__", c)
		} else {
			b.WriteRune(c)
		}
	}
	return b.String()
}

// unescapeS3 is the inverse, as the Go CDK does it to the keys of a list.
func unescapeS3(raw string) string {
	b := new(strings.Builder)
	for raw != "" {
		c, rest, ok := cutEscape(raw)
		if !ok {
			_, n := utf8.DecodeRuneInString(raw)
			b.WriteString(raw[:n])
			raw = raw[n:]
			continue
		}
		b.WriteRune(c)
		raw = rest
	}
	return b.String()
}

// keyOf returns the key by which the Go CDK asks for what S3 has under another one. It is false
// if there is none: then the key itself leads to another object.
func keyOf(raw string) (key string, ok bool) {
	if key = unescapeS3(raw); escapeS3(key) != raw {
		return raw, false
	}
	return key, true
}
