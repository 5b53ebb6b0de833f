package kmssim

import (
	"maps"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// These methods set up a scene without calls over the wire, so they aren't
// recorded as requests, and faults don't affect them. They panic if the setup
// is impossible, since that's a mistake in the test.

// CreateKey makes a key and returns its ARN. Symmetric and RSA keys encrypt and
// decrypt; keys on the curves P-256, P-384 and P-521 are for key agreement. It
// panics for any other spec.
func (s *Server) CreateKey(region string, spec types.KeySpec) string {
	return s.mustCreateKey(region, spec, false)
}

// CreateMultiRegionKey is like [Server.CreateKey], for a multi-Region primary
// key.
func (s *Server) CreateMultiRegionKey(region string, spec types.KeySpec) string {
	return s.mustCreateKey(region, spec, true)
}

func (s *Server) mustCreateKey(region string, spec types.KeySpec, multiRegion bool) string {
	usages := usagesOf(spec)
	if usages == nil {
		panic("kmssim: no keys of spec " + string(spec))
	}
	k, err := newKey(region, spec, usages[0], multiRegion)
	must(err)
	s.keys.add(k)
	return k.arn()
}

// Replicate makes a replica of a multi-Region primary key in another region and
// returns its ARN.
func (s *Server) Replicate(arn, region string) string {
	primary, err := s.keys.findKey(regionOf(arn), arn)
	must(err)
	replica, err := s.keys.replicate(primary, region, "")
	must(err)
	return replica.arn()
}

// CreateAlias gives a key in the region another name, which begins with
// "alias/", and returns the alias's ARN.
func (s *Server) CreateAlias(region, name, keyARN string) string {
	_, err := s.createAlias(region, &kms.CreateAliasInput{AliasName: &name, TargetKeyId: &keyARN})
	must(err)
	return arnOf(region, name)
}

// CreateGrant makes a grant for all encryption operations and returns its
// token.
func (s *Server) CreateGrant(arn string) string {
	out, err := s.createGrant(regionOf(arn), &kms.CreateGrantInput{
		KeyId:            &arn,
		GranteePrincipal: aws.String("arn:" + partition + ":iam::" + Account + ":root"),
		Operations:       types.GrantOperation("").Values(),
	})
	must(err)
	return out["GrantToken"].(string)
}

// Grants returns the grants by token.
func (s *Server) Grants() map[string]Grant {
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	return maps.Clone(s.keys.grants)
}

// Disable disables a key: using it fails with DisabledException.
func (s *Server) Disable(arn string) {
	must(s.keys.setState(regionOf(arn), arn, types.KeyStateDisabled))
}

// Enable enables a key again.
func (s *Server) Enable(arn string) {
	must(s.keys.setState(regionOf(arn), arn, types.KeyStateEnabled))
}

// ScheduleDeletion schedules a key for deletion: using it fails with
// KMSInvalidStateException.
func (s *Server) ScheduleDeletion(arn string) {
	_, err := s.scheduleKeyDeletion(regionOf(arn), &kms.ScheduleKeyDeletionInput{KeyId: &arn})
	must(err)
}

func regionOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 {
		panic("kmssim: not an ARN: " + arn)
	}
	return parts[3]
}

func must(err error) {
	if err != nil {
		panic("kmssim: " + err.Error())
	}
}
