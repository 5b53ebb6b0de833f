package awskms

import (
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"esdk/internal/bounded"
)

// maxAnswer far exceeds every answer of AWS KMS. The longest part of any is a
// public key of 8 KiB.
const maxAnswer = 128 << 10

// limitAnswer makes a request fail if its answer is longer than AWS KMS could
// send. The AWS SDK reads answers into memory without a limit.
func limitAnswer(o *kms.Options) { o.HTTPClient = bounded.Client(o.HTTPClient, maxAnswer) }
