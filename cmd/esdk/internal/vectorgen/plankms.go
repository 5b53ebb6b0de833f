package vectorgen

import (
	"strings"

	"esdk/internal/kmsarn"
	"esdk/internal/vectors"
)

// Keyrings for AWS KMS keys that were given to a plan.

// kmsSymmetric also tests a multi-Region key through discovery in its Region.
func (p *planner) kmsSymmetric() (all []planKeyring, err error) {
	for _, key := range p.ofType("aws-kms") {
		all = append(all, bothWays("aws-kms-"+key, "AWS KMS key "+key, &vectors.KeyDescription{Type: "aws-kms", Key: key}))
		arn, err := kmsarn.ParseKey(p.Keys[key].ID)
		if err != nil || !arn.IsMRK() {
			continue
		}
		kr := bothWays("aws-kms-mrk-aware-"+key, "AWS KMS multi-Region key "+key, &vectors.KeyDescription{Type: "aws-kms-mrk-aware", Key: key})
		kr.decrypt = append(kr.decrypt, planDecryption{"-by-discovery", &vectors.KeyDescription{
			Type: "aws-kms-mrk-aware-discovery", Region: arn.Region, Filter: &vectors.DiscoveryFilter{Partition: arn.Partition, Accounts: []string{arn.Account}},
		}})
		all = append(all, kr)
	}
	return all, nil
}

func (p *planner) kmsRSA() (all []planKeyring, err error) {
	for _, key := range p.ofType("aws-kms-rsa") {
		for _, hash := range []string{"SHA_1", "SHA_256"} {
			kr := bothWays("aws-kms-rsa-"+key+"-"+strings.ToLower(strings.ReplaceAll(hash, "_", "")), "AWS KMS RSA key "+key+" with "+hash,
				&vectors.KeyDescription{Type: "aws-kms-rsa", Key: key, Algorithm: "RSAES_OAEP_" + hash})
			kr.unsigned = true
			all = append(all, kr)
		}
	}
	return all, nil
}

func (p *planner) kmsECDH() (all []planKeyring, err error) {
	for _, key := range p.ofType("aws-kms-ecdh") {
		k := p.Keys[key]
		curve := curveOf(&k)
		kr := bothWays("aws-kms-ecdh-"+key, "AWS KMS key agreement "+key, ecdhDescription("aws-kms-ecdh", "static", curve, key))
		kr.decrypt = append(kr.decrypt, planDecryption{"-by-discovery", ecdhDescription("aws-kms-ecdh", "discovery", curve, key)})
		all = append(all, kr)
	}
	return all, nil
}
