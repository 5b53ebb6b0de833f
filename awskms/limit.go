package awskms

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"esdk/internal/bounded"
)

// maxAnswer is many times as long as any answer of AWS KMS, whose longest part is
// a public key of 8 KiB.
const maxAnswer = 128 << 10

// limitAnswer has a request fail when its answer is longer than one of AWS KMS
// can be: the AWS SDK would keep all of it, however much comes.
func limitAnswer(o *kms.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		// The last is the one that is next to the connection.
		return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("esdkLimitAnswer", limitBody), middleware.After)
	})
}

func limitBody(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	out, metadata, err := next.HandleDeserialize(ctx, in)
	if r, ok := out.RawResponse.(*smithyhttp.Response); ok && r != nil && r.Body != nil {
		r.Body = bounded.Body(r.Body, maxAnswer)
	}
	return out, metadata, err
}
