package branchkey

import (
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"esdk/internal/bounded"
)

// maxAnswer exceeds every answer except a page of a list: an item of DynamoDB
// has at most 400 KB, and Base64 makes binary parts a third longer. Answers of
// AWS KMS are much shorter.
const maxAnswer = 1 << 20

// maxPage exceeds every page of a list. DynamoDB counts at most 1 MB, in which
// an empty string in a list takes one byte. As JSON, it takes nine.
const maxPage = 10 << 20

// The AWS SDK reads answers into memory without a limit, so these set one.
func limitKMS(o *kms.Options)           { o.HTTPClient = bounded.Client(o.HTTPClient, maxAnswer) }
func limitDynamoDB(o *dynamodb.Options) { o.HTTPClient = bounded.Client(o.HTTPClient, maxAnswer) }
func limitList(o *dynamodb.Options)     { o.HTTPClient = bounded.Client(o.HTTPClient, maxPage) }

// answered turns a missing answer into an error. The clients are interfaces,
// which anyone may implement.
func answered[T any](answer *T, err error) (*T, error) {
	if err == nil && answer == nil {
		err = errors.New("the client returned no answer")
	}
	return answer, err
}
