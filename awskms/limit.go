package awskms

import (
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"esdk/internal/bounded"
)

// maxAnswer is many times as long as any answer of AWS KMS, whose longest part is
// a public key of 8 KiB.
const maxAnswer = 128 << 10

// limitAnswer makes a request fail if its answer is longer than one of AWS KMS can
// be. The AWS SDK has no limit, and would keep all of it in memory.
func limitAnswer(o *kms.Options) { o.HTTPClient = bounded.Client(o.HTTPClient, maxAnswer) }
