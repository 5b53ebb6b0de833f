package object

import (
	"context"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
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
				o.HTTPClient = c.WithTransportOptions(func(t *http.Transport) { t.ResponseHeaderTimeout = answerTimeout })
			}
			o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
				return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("Finish", finish), middleware.Before)
			})
		})
	}
	return b, nil
}

// answerTimeout is how long a server may take to begin its answer. S3 may need
// minutes for a long object.
const answerTimeout = 5 * time.Minute

// finish has an upload that was begun be known, and be removed, even if the context
// has ended: else its parts would stay.
func finish(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
	switch in.Parameters.(type) {
	case *s3.CreateMultipartUploadInput, *s3.AbortMultipartUploadInput:
		ctx = context.WithoutCancel(ctx)
	}
	return next.HandleInitialize(ctx, in)
}

func (s3Store) reason(err error) error { return err }

func (s3Store) version(r *blob.Reader) string {
	var response s3.GetObjectOutput
	if !r.As(&response) {
		return ""
	}
	return aws.ToString(response.ETag)
}

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

func (s3Store) replace(old *blob.Attributes, as func(any) bool) {
	var request *transfermanager.UploadObjectInput
	if as(&request) {
		request.IfMatch = aws.String(old.ETag)
	}
}
