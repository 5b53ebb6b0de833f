package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

var (
	errMissing   = errors.New("no such object")
	errForbidden = errors.New("forbidden")
)

// versions gets versions from S3.
type versions struct{ *s3.Client }

// current returns the current version of an object, or "" if its bucket has no
// versioning.
func (v versions) current(ctx context.Context, bucket, key string) (string, error) {
	head, err := v.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key})
	if err == nil {
		return aws.ToString(head.VersionId), nil
	}
	var response *awshttp.ResponseError // HEAD has no body with details
	if errors.As(err, &response) {
		switch response.HTTPStatusCode() {
		case http.StatusNotFound, http.StatusMethodNotAllowed: // the current version is a delete marker
			return "", errMissing
		case http.StatusForbidden:
			return "", errForbidden
		}
	}
	return "", err
}
