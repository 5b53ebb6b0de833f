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

// s3Store identifies versions by their ETag.
type s3Store struct{}

// open makes an aborted upload leave no parts behind. It sets a timeout for
// answers, so that requests to a dead server end.
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
			o.Logger = logging.Nop{} // anything important is an error too
			o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
				return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("Finish", finish), middleware.Before)
			})
		})
	}
	return b, nil
}

// maxIdle is the number of connections kept open for the next request. If there
// are more concurrent requests than that, most of them need a new connection.
// The AWS SDK's default of 10 may be too few.
const maxIdle = 256

// answerTimeout is how long a server may take to begin its answer. S3 may need
// minutes to complete a long object.
const answerTimeout = 5 * time.Minute

// finish runs the requests that begin and abort an upload even after the
// context has ended. Otherwise its parts would stay in the bucket. It also
// stores the ID of the new version, which the Go CDK doesn't return.
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

// madeKey is the context key of a *string that receives the ID of the uploaded
// version.
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

// rangeBegin returns the first offset in a Content-Range header, 0 if it has
// none.
func rangeBegin(header string) (begin int64) {
	fmt.Sscanf(header, "bytes %d-", &begin)
	return begin
}

func (s3Store) versionOf(a *blob.Attributes) string { return cmp.Or(a.ETag, noVersion) }

// writing returns nil: finish gets the version.
func (s3Store) writing(func(any) bool) func() string { return nil }

func (s3Store) only(version string, as func(any) bool) {
	var request *s3.GetObjectInput
	if as(&request) && version != "" {
		request.IfMatch = aws.String(version)
	}
	// An object uploaded in parts has no checksum of the whole. The content is
	// either a message, which is authenticated anyway, or was read by its
	// owner's choice.
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

// keepS3 returns a function that gives an upload the description of the old
// version. It includes properties that the Go CDK doesn't know: expiry,
// redirection, storage class, tags and server-side encryption. Without
// permission to read the tags they can't be kept, so keepS3 fails.
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

// describeAs copies the description of the old version to an upload. The URL's
// settings for server-side encryption are in the request already, and stay.
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

// keepLock copies the object lock of the old version to an upload. S3 refuses a
// retention date in the past.
func keepLock(request *transfermanager.UploadObjectInput, old *s3.GetObjectOutput) {
	request.ObjectLockLegalHoldStatus = types.ObjectLockLegalHoldStatus(old.ObjectLockLegalHoldStatus)
	if until := aws.ToTime(old.ObjectLockRetainUntilDate); until.After(time.Now()) {
		request.ObjectLockMode = types.ObjectLockMode(old.ObjectLockMode)
		request.ObjectLockRetainUntilDate = &until
	}
}

// s3Tags returns the tags of an object in the form of the request header.
func s3Tags(ctx context.Context, o *Object) (string, error) {
	client, name := o.s3()
	if client == nil || o.bucket.tagged {
		return "", nil
	}
	out, err := client.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: &name, Key: &o.Key})
	var response interface{ HTTPStatusCode() int }
	switch {
	case errors.As(err, &response) && (response.HTTPStatusCode() == http.StatusNotImplemented || response.HTTPStatusCode() == http.StatusNotFound):
		return "", nil // the store has no tags
	case err != nil:
		return "", cli.NewError(cli.ExitError, "the object's tags would be lost: %w", o.Explain(err)).Of(o.String()).WithHint("grant s3:GetObjectTagging, or set the tags in the URL: ?tags=")
	}
	tags := make(url.Values)
	for _, t := range out.TagSet {
		tags.Add(aws.ToString(t.Key), aws.ToString(t.Value))
	}
	return tags.Encode(), nil
}

// s3 returns the client and the name of the bucket, or nil if the bucket isn't
// in S3.
func (o *Object) s3() (client *s3.Client, bucket string) {
	if !o.bucket.As(&client) {
		return nil, ""
	}
	return client, strings.TrimPrefix(o.bucket.url, "s3://")
}

// s3Info describes the version that the object's URL or Version selects.
func s3Info(ctx context.Context, o *Object) (*Info, error) {
	client, name := o.s3()
	version := o.version()
	head, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &name, Key: &o.Key, VersionId: &version})
	if err != nil {
		return nil, err
	}
	return NewInfo(o.Key, aws.ToInt64(head.ContentLength), aws.ToTime(head.LastModified)), nil
}

// s3Version makes a read request get a version.
func s3Version(version string, as func(any) bool) {
	var request *s3.GetObjectInput
	if version != "" && as(&request) {
		request.VersionId = aws.String(version)
	}
}

// listAfter sets the start of the first page. The others continue from it.
func (s3Store) listAfter(key string, as func(any) bool) {
	var request *s3.ListObjectsV2Input
	if as(&request) && request.ContinuationToken == nil {
		request.StartAfter = &key
	}
}

func (s3Store) parameters(query url.Values) (p parameters, err error) {
	class, tags := query.Get("storageclass"), query.Get("tags")
	if _, err := url.ParseQuery(tags); err != nil {
		return p, cli.UsageError("tags=: must be KEY%%3DVALUE, with %%26 between them")
	}
	if class != "" && !slices.Contains(s3types.StorageClass("").Values(), s3types.StorageClass(class)) {
		return p, cli.UsageError("storageclass=%s: must be one of %v", cli.Printable(class), s3types.StorageClass("").Values())
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
			return p, cli.UsageError("conditional-writes=%s: must be true or false", cli.Printable(text))
		}
		p.plain = !conditional
	}
	p.version = query.Get("versionId")
	for _, name := range []string{"storageclass", "tags", "conditional-writes", "versionId"} {
		query.Del(name)
	}
	return p, nil
}

// entry returns a listed object with the key by which the Go CDK requests it.
// The Go CDK escapes some characters in keys. If its escaping doesn't restore
// the key in S3, it can't request the object, and would request another one.
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

// quoted returns an ETag with the quotes that headers have. Some stores leave
// them out of listings.
func quoted(etag string) string {
	if etag == "" || strings.HasSuffix(etag, `"`) {
		return etag
	}
	return `"` + etag + `"`
}

// cutEscape splits off an escape sequence of the Go CDK at the start of a text.
// It returns the escaped character and the rest of the text.
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

// escapeS3 returns the key that the Go CDK sends to S3.
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

// unescapeS3 is the inverse of escapeS3, as the Go CDK applies it to listed
// keys.
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

// keyOf returns the key by which the Go CDK requests an object from its key in
// S3. If there is none, ok is false and the key would lead to another object.
func keyOf(raw string) (key string, ok bool) {
	if key = unescapeS3(raw); escapeS3(key) != raw {
		return raw, false
	}
	return key, true
}
