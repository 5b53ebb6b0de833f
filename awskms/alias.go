package awskms

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// describer is the method that [ResolveAlias] needs beyond [Client].
type describer interface {
	DescribeKey(ctx context.Context, in *kms.DescribeKeyInput, options ...func(*kms.Options)) (*kms.DescribeKeyOutput, error)
}

// ResolveAlias asks AWS KMS once for the ARN of the key that an alias, its ARN
// or a bare key id refers to now. A keyring with that ARN both encrypts and
// decrypts. No keyring does this by itself, since anyone who may change an
// alias would then decide which key decrypts. ResolveAlias returns the ARN of a
// key as it is, without a request.
//
// It needs the permission kms:DescribeKey, and a client with the method
// DescribeKey, such as [*kms.Client].
func ResolveAlias(ctx context.Context, c Config, alias string) (arn string, err error) {
	c, err = c.checked()
	if err != nil {
		return "", err
	}
	k, err := c.newKey(alias)
	if err != nil || isKeyARN(alias) {
		return k.id, err
	}
	_, err = call(ctx, k, describeKey, &kms.DescribeKeyInput{
		KeyId:       &k.id,
		GrantTokens: k.GrantTokens,
	}, func(out *kms.DescribeKeyOutput) error {
		if out.KeyMetadata == nil {
			return errors.New("the answer describes no key")
		}
		arn = aws.ToString(out.KeyMetadata.Arn)
		return k.checkKeyID(&arn)
	})
	if err != nil {
		return "", fmt.Errorf("awskms: %w", err)
	}
	return arn, nil
}

func describeKey(c Client, ctx context.Context, in *kms.DescribeKeyInput, options ...func(*kms.Options)) (*kms.DescribeKeyOutput, error) {
	d, ok := c.(describer)
	if !ok {
		return nil, fmt.Errorf("the client, a %T, has no method DescribeKey", c)
	}
	return d.DescribeKey(ctx, in, options...)
}
