// Command s3batch is an AWS Lambda function for S3 Batch Operations. It
// re-encrypts each object in place under another key, as "esdk reencrypt
// --in-place" does.
//
// To build it, in a clone of the repository:
//
//	GOOS=linux GOARCH=arm64 CGO_ENABLED=0 go build -C lake -trimpath -tags lambda.norpc -o bootstrap ./s3batch
//	zip esdk-s3batch.zip lake/bootstrap
//
// The variable ESDK_ARGS in the environment of the function has the flags of
// "esdk reencrypt" as a JSON array. No flag is for a secret:
//
//	ESDK_ARGS='["--from-key", "arn:aws:kms:…", "-k", "arn:aws:kms:…"]'
//
// docs/scale.md has the requests that create the function and a job, and the
// policies of their roles.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"

	"esdk/cmd/esdk/bulk"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func main() {
	log.SetFlags(0)
	h, err := open(context.Background(), os.Getenv("ESDK_ARGS"))
	if err != nil {
		log.Fatalf("s3batch: %v", err)
	}
	lambda.Start(h.handle)
}

// open makes clients and keyrings, once for all calls of a function's instance.
func open(ctx context.Context, arguments string) (*handler, error) {
	flags, err := parseArguments(arguments)
	if err != nil {
		return nil, err
	}
	rotation, err := bulk.OpenRotation(ctx, flags)
	if err != nil {
		return nil, err
	}
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	return &handler{rotation, versions{s3.NewFromConfig(settings)}.current}, nil
}

// parseArguments accepts an array of strings only: there is no shell to split
// words.
func parseArguments(text string) ([]string, error) {
	if text == "" {
		return nil, errors.New(`ESDK_ARGS is not set: give flags as a JSON array, such as ["--from-key", "@old", "-k", "@new"]`)
	}
	var flags []string
	if err := json.Unmarshal([]byte(text), &flags); err != nil {
		return nil, fmt.Errorf("ESDK_ARGS is not a JSON array of strings: %w", err)
	}
	return flags, nil
}
