package branchkey

import (
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"esdk/internal/bounded"
)

// maxAnswer is more than any answer has: an item of DynamoDB is at most 400 KB,
// and a page of a list 1 MB, of which binary parts are a third longer in Base64, and
// each item has some braces and quotes. Answers of AWS KMS are much shorter.
const maxAnswer = 4 << 20

// Without a limit, the AWS SDK would keep all of an answer in memory, however long
// it is.
func limitKMS(o *kms.Options)           { o.HTTPClient = bounded.Client(o.HTTPClient, maxAnswer) }
func limitDynamoDB(o *dynamodb.Options) { o.HTTPClient = bounded.Client(o.HTTPClient, maxAnswer) }

// answered turns an answer that is missing into an error. The clients are
// interfaces, which anyone may implement.
func answered[T any](answer *T, err error) (*T, error) {
	if err == nil && answer == nil {
		err = errors.New("the client returned no answer")
	}
	return answer, err
}
