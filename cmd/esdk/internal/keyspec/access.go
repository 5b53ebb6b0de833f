package keyspec

import (
	"context"
	"errors"
	"strings"

	"esdk/awskms"
	"esdk/cmd/esdk/internal/cli"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// An Access tells which operations the credentials allow with an AWS KMS key.
// Each field is nil if the operation is allowed.
type Access struct{ Encrypt, Decrypt error }

// KMSAccess asks AWS KMS with DryRun calls. They don't use the key, and need no
// message.
func (ks *Keys) KMSAccess(ctx context.Context, text string) (*Access, error) {
	config, key, err := ks.kmsKey(text)
	if err != nil {
		return nil, err
	}
	region := ""
	if a, err := arn.Parse(key); err == nil {
		region = a.Region
	}
	client, err := config.Clients.Client(ctx, region)
	if err != nil {
		return nil, err
	}
	_, encrypt := client.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: &key, NumberOfBytes: aws.Int32(32), DryRun: aws.Bool(true)})
	_, decrypt := client.Decrypt(ctx, &kms.DecryptInput{KeyId: &key, DryRun: aws.Bool(true), DryRunModifiers: []types.DryRunModifierType{types.DryRunModifierTypeIgnoreCiphertext}})
	return &Access{allowed(encrypt), allowed(decrypt)}, nil
}

// kmsKey returns the AWS KMS key with a given name.
func (ks *Keys) kmsKey(text string) (awskms.Config, string, error) {
	if IsKMSKey(text) {
		return ks.KMS(""), text, nil
	}
	if name, ok := strings.CutPrefix(text, "@"); ok {
		c, file, err := ks.LoadConfig()
		if err != nil {
			return awskms.Config{}, "", err
		}
		k, err := c.Key(file, name)
		if err == nil {
			err = c.Check(name)
		}
		if err != nil {
			return awskms.Config{}, "", err
		}
		if k.Type == "kms" {
			return ks.KMS(k.AWSProfile), k.Key, nil
		}
	}
	return awskms.Config{}, "", cli.UsageError("--dry-run needs a symmetric key of AWS KMS, given by its ARN or alias")
}

// allowed returns nil for the error that a call would have succeeded. If the
// call did succeed, the service doesn't support dry runs.
func allowed(err error) error {
	var would *types.DryRunOperationException
	switch {
	case errors.As(err, &would):
		return nil
	case err == nil:
		return errors.New("the service ignores DryRun")
	}
	return err
}
