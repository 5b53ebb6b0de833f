package kmssim

import (
	"encoding/hex"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// maxGrantTokens is KMS's limit on the number of grant tokens in a call.
const maxGrantTokens = 10

// A Grant is the result of CreateGrant. Since there are no policies, a grant
// adds no permissions, but calls accept only tokens of existing grants.
type Grant struct {
	ID         string
	Token      string
	KeyARN     string
	Grantee    string
	Operations []types.GrantOperation
}

func (s *Server) createGrant(region string, in *kms.CreateGrantInput) (answer, error) {
	switch {
	case len(in.Operations) == 0:
		return nil, constraint("operations", "null", "not be null")
	case aws.ToString(in.GranteePrincipal) == "" && aws.ToString(in.GranteeServicePrincipal) == "":
		return nil, constraint("granteePrincipal", "null", "not be null")
	}
	k, err := s.keys.findKey(region, aws.ToString(in.KeyId))
	if err != nil {
		return nil, err
	}
	if err := k.checkState(); err != nil {
		return nil, err
	}
	if err := s.checkCall(in.GrantTokens, in.DryRun); err != nil {
		return nil, err
	}
	g := Grant{
		ID:         hex.EncodeToString(random(32)),
		Token:      hex.EncodeToString(random(64)),
		KeyARN:     k.arn(),
		Grantee:    aws.ToString(in.GranteePrincipal),
		Operations: in.Operations,
	}
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	s.keys.grants[g.Token] = g
	return answer{"GrantId": g.ID, "GrantToken": g.Token}, nil
}

// checkCall makes the last checks of a call that would otherwise succeed: its
// grant tokens, and whether it's a dry run.
func (s *Server) checkCall(grantTokens []string, dryRun *bool) error {
	if len(grantTokens) > maxGrantTokens {
		return constraint("grantTokens", "of more than 10 tokens", "have length less than or equal to 10")
	}
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	for _, token := range grantTokens {
		if _, ok := s.keys.grants[token]; !ok {
			return apiError{"InvalidGrantTokenException", "A grant token is not one of CreateGrant."}
		}
	}
	if aws.ToBool(dryRun) {
		return apiError{"DryRunOperationException", "The request would have succeeded, but the DryRun option is set."}
	}
	return nil
}
