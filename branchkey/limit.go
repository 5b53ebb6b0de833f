package branchkey

import (
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"esdk/internal/bounded"
)

// maxAnswer is more than any answer has but a page of a list: an item of
// DynamoDB is at most 400 KB, of which binary parts are a third longer in
// Base64. Answers of AWS KMS are much shorter.
const maxAnswer = 1 << 20

// maxPage is more than a page of a list has. DynamoDB counts 1 MB at most, in
// which an empty string in a list is one byte. As JSON, it has nine.
const maxPage = 10 << 20

// Without a limit, the AWS SDK would keep all of an answer in memory, however long
// it is.
func limitKMS(o *kms.Options)           { o.HTTPClient = bounded.Client(o.HTTPClient, maxAnswer) }
func limitDynamoDB(o *dynamodb.Options) { o.HTTPClient = bounded.Client(o.HTTPClient, maxAnswer) }
func limitList(o *dynamodb.Options)     { o.HTTPClient = bounded.Client(o.HTTPClient, maxPage) }

// answered turns an answer that is missing into an error. The clients are
// interfaces, which anyone may implement.
func answered[T any](answer *T, err error) (*T, error) {
	if err == nil && answer == nil {
		err = errors.New("the client returned no answer")
	}
	return answer, err
}
