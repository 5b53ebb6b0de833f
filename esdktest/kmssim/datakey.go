package kmssim

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

func (s *Server) generateDataKey(region string, in *kms.GenerateDataKeyInput) (answer, error) {
	if in.Recipient != nil {
		return nil, unsupported("kmssim has no enclaves")
	}
	n, err := dataKeyLength(in.KeySpec, in.NumberOfBytes)
	if err != nil {
		return nil, err
	}
	if err := checkContext("encryptionContext", in.EncryptionContext); err != nil {
		return nil, err
	}
	k, err := s.keys.usable(region, aws.ToString(in.KeyId))
	if err != nil {
		return nil, err
	}
	if k.material.symmetric == nil {
		return nil, invalidUsage("You cannot generate a data key with an asymmetric CMK")
	}
	if err := s.checkCall(in.GrantTokens, in.DryRun); err != nil {
		return nil, err
	}
	plaintext := random(n)
	return answer{
		"KeyId":          k.arn(),
		"KeyMaterialId":  k.material.id,
		"Plaintext":      plaintext,
		"CiphertextBlob": k.seal(plaintext, in.EncryptionContext),
	}, nil
}

func (s *Server) generateDataKeyWithoutPlaintext(region string, in *kms.GenerateDataKeyWithoutPlaintextInput) (answer, error) {
	out, err := s.generateDataKey(region, &kms.GenerateDataKeyInput{
		KeyId:             in.KeyId,
		KeySpec:           in.KeySpec,
		NumberOfBytes:     in.NumberOfBytes,
		EncryptionContext: in.EncryptionContext,
		GrantTokens:       in.GrantTokens,
		DryRun:            in.DryRun,
	})
	delete(out, "Plaintext")
	return out, err
}

// dataKeyLength requires either a spec or a number of bytes.
func dataKeyLength(spec types.DataKeySpec, n *int32) (int, error) {
	switch {
	case (spec == "") == (n == nil):
		return 0, invalid("Please specify either number of bytes or key spec.")
	case spec == types.DataKeySpecAes128:
		return 16, nil
	case spec == types.DataKeySpecAes256:
		return 32, nil
	case spec != "":
		return 0, constraint("keySpec", fmt.Sprintf("'%s'", spec), "satisfy enum value set: [AES_256, AES_128]")
	case *n < 1:
		return 0, constraint("numberOfBytes", fmt.Sprintf("'%d'", *n), "have value greater than or equal to 1")
	case *n > 1024:
		return 0, constraint("numberOfBytes", fmt.Sprintf("'%d'", *n), "have value less than or equal to 1024")
	}
	return int(*n), nil
}
