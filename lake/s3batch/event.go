package main

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
)

// An event is the input of a function of S3 Batch Operations, in version 1.0 or
// 2.0 of its schema. aws-lambda-go has separate types for the two versions,
// with otherwise equal fields.
//
// Specification:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-invoke-lambda.html
type event struct {
	Schema     string `json:"invocationSchemaVersion"`
	Invocation string `json:"invocationId"`
	Job        struct {
		Arguments map[string]string `json:"userArguments"` // 2.0
	} `json:"job"`
	Tasks []task `json:"tasks"`
}

type task struct {
	ID        string `json:"taskId"`
	Key       string `json:"s3Key"`       // as in the query of a URL
	Version   string `json:"s3VersionId"` // empty or null if the manifest has none
	BucketARN string `json:"s3BucketArn"` // 1.0
	Bucket    string `json:"s3Bucket"`    // 2.0
}

// An object is the object of a task.
type object struct{ bucket, key, version string }

func (e *event) check() error {
	switch {
	case e.Schema != "1.0" && e.Schema != "2.0":
		return fmt.Errorf("the event has the schema version %.20q, not 1.0 or 2.0", e.Schema)
	case len(e.Job.Arguments) > 0:
		return errors.New("the job has user arguments, but this function takes options only from ESDK_ARGS")
	}
	return nil
}

func (t *task) object() (o object, err error) {
	if o.bucket, err = t.bucket(); err != nil {
		return o, err
	}
	// In this encoding, a plus sign is a space, and %2B is a plus sign.
	if o.key, err = url.QueryUnescape(t.Key); err != nil || o.key == "" {
		return o, fmt.Errorf("the key %.100q is not URL-encoded", t.Key)
	}
	o.version = t.Version
	return o, nil
}

// bucket checks that the name can't change the meaning of a URL.
func (t *task) bucket() (string, error) {
	name := t.Bucket
	if name == "" {
		a, err := arn.Parse(t.BucketARN)
		if err != nil || a.Service != "s3" {
			return "", fmt.Errorf("%.100q is not the ARN of a bucket", t.BucketARN)
		}
		name = a.Resource
	}
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") != "" {
		return "", fmt.Errorf("%.100q is not the name of a bucket", name)
	}
	return name, nil
}

// url returns the object's URL for the command.
func (o object) url() string {
	return "s3://" + o.bucket + "/" + strings.NewReplacer("%", "%25", "?", "%3F", "#", "%23").Replace(o.key)
}
