package kmssim

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

func (s *Server) createKey(region string, in *kms.CreateKeyInput) (answer, error) {
	if in.Origin != "" && in.Origin != types.OriginTypeAwsKms {
		return nil, unsupported("kmssim does not make keys of origin %s", in.Origin)
	}
	//lint:ignore SA1019 old clients send it
	spec := cmp.Or(in.KeySpec, types.KeySpec(in.CustomerMasterKeySpec), types.KeySpecSymmetricDefault)
	if !slices.Contains(spec.Values(), spec) {
		return nil, constraint("keySpec", "'"+string(spec)+"'", fmt.Sprintf("satisfy enum value set: %v", spec.Values()))
	}
	usage := in.KeyUsage
	if usage == "" {
		if spec != types.KeySpecSymmetricDefault {
			return nil, invalid("You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.")
		}
		usage = types.KeyUsageTypeEncryptDecrypt
	}
	if usages := usagesOf(spec); usages != nil && !slices.Contains(usages, usage) {
		return nil, invalid("KeyUsage %s is not compatible with KeySpec %s", usage, spec)
	}
	k, err := newKey(region, spec, usage, aws.ToBool(in.MultiRegion))
	if err != nil {
		return nil, err
	}
	k.description = aws.ToString(in.Description)
	out := answer{"KeyMetadata": k.metadata()}
	s.keys.add(k)
	return out, nil
}

func (s *Server) describeKey(region string, in *kms.DescribeKeyInput) (answer, error) {
	k, err := s.keys.find(region, aws.ToString(in.KeyId))
	if err != nil {
		return nil, err
	}
	if err := s.checkCall(in.GrantTokens, nil); err != nil {
		return nil, err
	}
	return answer{"KeyMetadata": k.metadata()}, nil
}

// listKeys returns all keys at once and ignores the limit.
func (s *Server) listKeys(region string, _ *kms.ListKeysInput) (answer, error) {
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	keys := []map[string]string{}
	for _, p := range s.keys.order {
		if p.region == region {
			keys = append(keys, map[string]string{"KeyId": p.name, "KeyArn": s.keys.keys[p].arn()})
		}
	}
	return answer{"Keys": keys, "Truncated": false}, nil
}

var aliasName = regexp.MustCompile(`^alias/[a-zA-Z0-9/_-]{1,250}$`)

func (s *Server) createAlias(region string, in *kms.CreateAliasInput) (answer, error) {
	name, target := aws.ToString(in.AliasName), aws.ToString(in.TargetKeyId)
	switch {
	case !aliasName.MatchString(name):
		return nil, invalid("Invalid identifier")
	case strings.HasPrefix(name, "alias/aws/"):
		return nil, apiError{"NotAuthorizedException", ""}
	case strings.HasPrefix(target, "alias/") || strings.Contains(target, ":alias/"):
		return nil, invalid("Aliases must refer to keys. Not aliases")
	}
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	k, err := s.keys.findLocked(region, target)
	if err != nil {
		return nil, err
	}
	if k.state == types.KeyStatePendingDeletion {
		return nil, k.checkState()
	}
	if _, ok := s.keys.aliases[place{region, name}]; ok {
		return nil, apiError{"AlreadyExistsException", "An alias with the name " + arnOf(region, name) + " already exists"}
	}
	s.keys.aliases[place{region, name}] = k.id
	return answer{}, nil
}

// listAliases returns all aliases at once and ignores the limit.
func (s *Server) listAliases(region string, in *kms.ListAliasesInput) (answer, error) {
	only := ""
	if in.KeyId != nil {
		k, err := s.keys.findKey(region, *in.KeyId)
		if err != nil {
			return nil, err
		}
		only = k.id
	}
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	aliases := []map[string]string{}
	for p, id := range s.keys.aliases {
		if p.region == region && (only == "" || id == only) {
			aliases = append(aliases, map[string]string{"AliasName": p.name, "AliasArn": arnOf(region, p.name), "TargetKeyId": id})
		}
	}
	slices.SortFunc(aliases, func(a, b map[string]string) int { return strings.Compare(a["AliasName"], b["AliasName"]) })
	return answer{"Aliases": aliases, "Truncated": false}, nil
}

// replicateKey makes a replica that is usable at once; with AWS it takes a
// while.
func (s *Server) replicateKey(region string, in *kms.ReplicateKeyInput) (answer, error) {
	to := aws.ToString(in.ReplicaRegion)
	if to == "" {
		return nil, constraint("replicaRegion", "null", "not be null")
	}
	primary, err := s.keys.findKey(region, aws.ToString(in.KeyId))
	if err != nil {
		return nil, err
	}
	replica, err := s.keys.replicate(primary, to, aws.ToString(in.Description))
	if err != nil {
		return nil, err
	}
	return answer{"ReplicaKeyMetadata": replica.metadata(), "ReplicaPolicy": "{}", "ReplicaTags": []string{}}, nil
}

func (s *store) replicate(primary *key, region, description string) (*key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.keys[place{primary.region, primary.id}]
	switch {
	case k.family == nil:
		return nil, unsupported("%s is not a multi-Region key.", k.arn())
	case k.region != k.family.primary:
		return nil, unsupported("%s is not a primary key.", k.arn())
	case k.inFamily(region):
		return nil, apiError{"AlreadyExistsException", "A related key is in " + region + " already."}
	}
	if err := k.checkState(); err != nil {
		return nil, err
	}
	replica := *k
	replica.region, replica.description, replica.created = region, description, time.Now()
	k.family.replicas = append(k.family.replicas, region)
	s.addLocked(&replica)
	return replica.copy(), nil
}

func (s *Server) disableKey(region string, in *kms.DisableKeyInput) (answer, error) {
	return answer{}, s.keys.setState(region, aws.ToString(in.KeyId), types.KeyStateDisabled)
}

func (s *Server) enableKey(region string, in *kms.EnableKeyInput) (answer, error) {
	return answer{}, s.keys.setState(region, aws.ToString(in.KeyId), types.KeyStateEnabled)
}

// setState enables or disables a key, unless its deletion is scheduled.
func (s *store) setState(region, name string, state types.KeyState) error {
	k, err := s.findKey(region, name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k = s.keys[place{region, k.id}]
	if k.state == types.KeyStatePendingDeletion {
		return k.checkState()
	}
	k.state = state
	return nil
}

// scheduleKeyDeletion puts the key in its final state.
func (s *Server) scheduleKeyDeletion(region string, in *kms.ScheduleKeyDeletionInput) (answer, error) {
	days := int32(30)
	if in.PendingWindowInDays != nil {
		days = *in.PendingWindowInDays
	}
	if days < 7 || days > 30 {
		return nil, constraint("pendingWindowInDays", fmt.Sprintf("'%d'", days), "have value between 7 and 30")
	}
	k, err := s.keys.findKey(region, aws.ToString(in.KeyId))
	if err != nil {
		return nil, err
	}
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	k = s.keys.keys[place{region, k.id}]
	if k.state == types.KeyStatePendingDeletion {
		return nil, k.checkState()
	}
	k.state, k.deletion = types.KeyStatePendingDeletion, time.Now().AddDate(0, 0, int(days))
	return answer{
		"KeyId":               k.arn(),
		"DeletionDate":        unixTime(k.deletion),
		"KeyState":            k.state,
		"PendingWindowInDays": days,
	}, nil
}
