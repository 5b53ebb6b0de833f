package branchkey

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"esdk/internal/bounded"
)

// maxAnswer is more than any answer has: an item of DynamoDB is at most 400 KB,
// of which binary parts are a third longer in Base64, and answers of AWS KMS are
// much shorter.
const maxAnswer = 1 << 20

// Without a limit, the AWS SDK would keep all of an answer, however much comes.
func limitKMS(o *kms.Options)           { o.APIOptions = append(o.APIOptions, addLimit) }
func limitDynamoDB(o *dynamodb.Options) { o.APIOptions = append(o.APIOptions, addLimit) }

// answered turns an answer that is missing into an error. The clients are
// interfaces, which anyone may implement.
func answered[T any](answer *T, err error) (*T, error) {
	if err == nil && answer == nil {
		err = errors.New("the client returned no answer")
	}
	return answer, err
}

// addLimit has the limit next to the connection, which is last.
func addLimit(stack *middleware.Stack) error {
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("esdkLimitAnswer", limitBody), middleware.After)
}

func limitBody(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	out, metadata, err := next.HandleDeserialize(ctx, in)
	if r, ok := out.RawResponse.(*smithyhttp.Response); ok && r != nil && r.Body != nil {
		r.Body = bounded.Body(r.Body, maxAnswer)
	}
	return out, metadata, err
}
