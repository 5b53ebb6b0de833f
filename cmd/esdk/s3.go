package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"
	_ "gocloud.dev/blob/s3blob" // opens s3://
)

// s3Store tells objects apart by their ETag.
type s3Store struct{}

func (s3Store) open(ctx context.Context, url string) (*blob.Bucket, error) {
	return blob.OpenBucket(ctx, url)
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

func (s3Store) abandons() bool { return true }
