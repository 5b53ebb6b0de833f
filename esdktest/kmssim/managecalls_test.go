package kmssim_test

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// stateCalls use keys that can't be used, or can't any more.
func stateCalls() []sharedCall {
	disabled := func(b *backend) types.KeyMetadata {
		k := b.symmetric("key")
		// By ID: moto doesn't accept an ARN here.
		if _, err := b.west.DisableKey(b.t.Context(), &kms.DisableKeyInput{KeyId: k.KeyId}); err != nil {
			b.t.Fatal(err)
		}
		return k
	}
	const ignored = "disabled keys can still be used"
	return []sharedCall{
		{name: "disabled: data key", want: "DisabledException", moto: "CiphertextBlob KeyId=key.arn Plaintext[32]", why: ignored,
			call: func(b *backend) (any, error) {
				return b.west.GenerateDataKey(b.t.Context(), &kms.GenerateDataKeyInput{KeyId: disabled(b).Arn, KeySpec: types.DataKeySpecAes256})
			}},
		{name: "disabled: encrypt", want: "DisabledException", moto: "CiphertextBlob KeyId=key.arn", why: ignored,
			call: func(b *backend) (any, error) {
				return b.west.Encrypt(b.t.Context(), &kms.EncryptInput{KeyId: disabled(b).Arn, Plaintext: []byte("secret")})
			}},
		{name: "disabled: decrypt", want: "DisabledException", moto: "KeyId=key.arn Plaintext=SECRET", why: ignored,
			call: func(b *backend) (any, error) {
				k := b.symmetric("key")
				blob := b.blob(k, nil)
				if _, err := b.west.DisableKey(b.t.Context(), &kms.DisableKeyInput{KeyId: k.KeyId}); err != nil {
					return nil, err
				}
				return b.west.Decrypt(b.t.Context(), &kms.DecryptInput{KeyId: k.Arn, CiphertextBlob: blob})
			}},
		{name: "disabled: enabled again", want: "CiphertextBlob EncryptionAlgorithm=SYMMETRIC_DEFAULT KeyId=key.arn",
			call: func(b *backend) (any, error) {
				k := disabled(b)
				if _, err := b.west.EnableKey(b.t.Context(), &kms.EnableKeyInput{KeyId: k.KeyId}); err != nil {
					return nil, err
				}
				return b.west.Encrypt(b.t.Context(), &kms.EncryptInput{KeyId: k.Arn, Plaintext: []byte("secret")})
			}},
		{name: "disable by ARN", want: "", moto: "status 500", why: "it takes only an id",
			call: func(b *backend) (any, error) {
				return b.west.DisableKey(b.t.Context(), &kms.DisableKeyInput{KeyId: b.symmetric("key").Arn})
			}},
		{name: "disable an unknown key", want: "NotFoundException",
			call: func(b *backend) (any, error) {
				return b.west.DisableKey(b.t.Context(), &kms.DisableKeyInput{KeyId: aws.String(unknownID)})
			}},
		{name: "pending deletion: encrypt", want: "KMSInvalidStateException", moto: "CiphertextBlob KeyId=key.arn", why: "such keys can still be used",
			call: func(b *backend) (any, error) {
				k := b.symmetric("key")
				if _, err := b.west.ScheduleKeyDeletion(b.t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: k.KeyId}); err != nil {
					return nil, err
				}
				return b.west.Encrypt(b.t.Context(), &kms.EncryptInput{KeyId: k.Arn, Plaintext: []byte("secret")})
			}},
	}
}

// multiRegion makes a multi-Region key in the west.
func multiRegion(b *backend) types.KeyMetadata {
	k := b.key("mrk", kms.CreateKeyInput{MultiRegion: aws.Bool(true)})
	b.names[strings.Replace(*k.Arn, west, east, 1)] = "replica.arn"
	return k
}

// replicated makes a multi-Region key with a replica in the east, by ID, since
// moto doesn't accept an ARN here.
func replicated(b *backend) types.KeyMetadata {
	k := multiRegion(b)
	_, err := b.west.ReplicateKey(b.t.Context(), &kms.ReplicateKeyInput{KeyId: k.KeyId, ReplicaRegion: aws.String(east)})
	if err != nil {
		b.t.Fatal(err)
	}
	return k
}

// regionCalls are calls in one region about keys of another.
func regionCalls() []sharedCall {
	decryptEast := func(k func(*backend) types.KeyMetadata) func(*backend) (any, error) {
		return func(b *backend) (any, error) {
			return b.east.Decrypt(b.t.Context(), &kms.DecryptInput{CiphertextBlob: b.blob(k(b), nil)})
		}
	}
	return []sharedCall{
		{name: "region: decrypt in another", want: "AccessDeniedException",
			call: decryptEast(func(b *backend) types.KeyMetadata { return b.symmetric("key") })},
		{name: "region: decrypt with a replica", want: "EncryptionAlgorithm=SYMMETRIC_DEFAULT KeyId=replica.arn KeyMaterialId Plaintext=SECRET",
			moto: "AccessDeniedException", why: "ciphertexts have no room for the ids of multi-Region keys",
			call: decryptEast(replicated)},
		{name: "region: replicate", want: replica, moto: motoReplica, why: "a replica says it is the primary key",
			call: func(b *backend) (any, error) {
				return b.west.ReplicateKey(b.t.Context(), &kms.ReplicateKeyInput{KeyId: multiRegion(b).KeyId, ReplicaRegion: aws.String(east)})
			}},
		{name: "region: replicate by ARN", want: replica, moto: "status 500", why: "it takes only an id",
			call: func(b *backend) (any, error) {
				return b.west.ReplicateKey(b.t.Context(), &kms.ReplicateKeyInput{KeyId: multiRegion(b).Arn, ReplicaRegion: aws.String(east)})
			}},
		{name: "region: replicate again", want: "AlreadyExistsException", moto: motoReplica, why: "it replicates again",
			call: func(b *backend) (any, error) {
				return b.west.ReplicateKey(b.t.Context(), &kms.ReplicateKeyInput{KeyId: replicated(b).KeyId, ReplicaRegion: aws.String(east)})
			}},
		{name: "region: replicate a single-Region key", want: "UnsupportedOperationException", moto: "status 500", why: "it fails",
			call: func(b *backend) (any, error) {
				return b.west.ReplicateKey(b.t.Context(), &kms.ReplicateKeyInput{KeyId: b.symmetric("key").KeyId, ReplicaRegion: aws.String(east)})
			}},
		{name: "region: primary's ARN in the replica's", want: "NotFoundException", moto: "CiphertextBlob KeyId=replica.arn", why: "regions of ARNs are ignored",
			call: func(b *backend) (any, error) {
				return b.east.Encrypt(b.t.Context(), &kms.EncryptInput{KeyId: replicated(b).Arn, Plaintext: []byte("secret")})
			}},
		{name: "region: replica's ARN", want: "CiphertextBlob EncryptionAlgorithm=SYMMETRIC_DEFAULT KeyId=replica.arn",
			call: func(b *backend) (any, error) {
				arn := strings.Replace(*replicated(b).Arn, west, east, 1)
				return b.east.Encrypt(b.t.Context(), &kms.EncryptInput{KeyId: &arn, Plaintext: []byte("secret")})
			}},
	}
}

// metadata returns the outcome that describes an enabled key, with extra
// fields.
func metadata(prefix, arn, id, spec string, more ...string) string {
	fields := append(more, "AWSAccountId=ACCOUNT", "Arn="+arn, "CreationDate", "CustomerMasterKeySpec="+spec, "Enabled=true",
		"KeyId="+id, "KeyManager=CUSTOMER", "KeySpec="+spec, "KeyState=Enabled", "Origin=AWS_KMS")
	for i, field := range fields {
		fields[i] = prefix + "." + field
	}
	return join(fields)
}

const (
	symmetricSpec = "SYMMETRIC_DEFAULT"
	rsaAlgorithms = "EncryptionAlgorithms=[RSAES_OAEP_SHA_1,RSAES_OAEP_SHA_256]"
)

var (
	described = metadata("KeyMetadata", "key.arn", "key.id", symmetricSpec, "CurrentKeyMaterialId", "Description=",
		"EncryptionAlgorithms=[SYMMETRIC_DEFAULT]", "KeyUsage=ENCRYPT_DECRYPT", "MultiRegion=false")
	motoDescribed = metadata("KeyMetadata", "key.arn", "key.id", symmetricSpec, "Description=",
		"EncryptionAlgorithms=[SYMMETRIC_DEFAULT]", "SigningAlgorithms=[]")

	replica = metadata("ReplicaKeyMetadata", "replica.arn", "mrk.id", symmetricSpec, "CurrentKeyMaterialId", "Description=",
		"EncryptionAlgorithms=[SYMMETRIC_DEFAULT]", "KeyUsage=ENCRYPT_DECRYPT", "MultiRegion=true", "MultiRegionConfiguration.MultiRegionKeyType=REPLICA",
		"MultiRegionConfiguration.PrimaryKey.Arn=mrk.arn", "MultiRegionConfiguration.PrimaryKey.Region=us-west-2",
		"MultiRegionConfiguration.ReplicaKeys[0].Arn=replica.arn", "MultiRegionConfiguration.ReplicaKeys[0].Region=eu-west-1") + " ReplicaPolicy"
	motoReplica = metadata("ReplicaKeyMetadata", "replica.arn", "mrk.id", symmetricSpec, "Description=",
		"EncryptionAlgorithms=[SYMMETRIC_DEFAULT]", "MultiRegion=true", "MultiRegionConfiguration.MultiRegionKeyType=PRIMARY",
		"MultiRegionConfiguration.PrimaryKey.Arn=mrk.arn", "MultiRegionConfiguration.PrimaryKey.Region=us-west-2",
		"MultiRegionConfiguration.ReplicaKeys[0].Arn=replica.arn", "MultiRegionConfiguration.ReplicaKeys[0].Region=eu-west-1",
		"SigningAlgorithms=[]") + " ReplicaPolicy"
)

const noUsage = "a symmetric key has no KeyUsage and no MultiRegion"

func keyCalls() []sharedCall {
	create := func(in kms.CreateKeyInput) func(*backend) (any, error) {
		return func(b *backend) (any, error) {
			out, err := b.west.CreateKey(b.t.Context(), &in)
			if err == nil {
				b.names[*out.KeyMetadata.Arn] = "new.arn"
				b.names[*out.KeyMetadata.KeyId] = "new.id"
				b.names[*out.KeyMetadata.AWSAccountId] = "ACCOUNT"
			}
			return out, err
		}
	}
	created := func(spec string, more ...string) string {
		return metadata("KeyMetadata", "new.arn", "new.id", spec, more...)
	}
	return []sharedCall{
		{name: "create a symmetric key", why: noUsage,
			want: created(symmetricSpec, "CurrentKeyMaterialId", "Description=text", "EncryptionAlgorithms=[SYMMETRIC_DEFAULT]", "KeyUsage=ENCRYPT_DECRYPT", "MultiRegion=false"),
			moto: created(symmetricSpec, "Description=text", "EncryptionAlgorithms=[SYMMETRIC_DEFAULT]", "SigningAlgorithms=[]"),
			call: create(kms.CreateKeyInput{Description: aws.String("text")})},
		{name: "create an RSA key", why: "there is no MultiRegion",
			want: created("RSA_3072", "Description=", rsaAlgorithms, "KeyUsage=ENCRYPT_DECRYPT", "MultiRegion=false"),
			moto: created("RSA_3072", "Description=", rsaAlgorithms, "KeyUsage=ENCRYPT_DECRYPT"),
			call: create(kms.CreateKeyInput{KeySpec: types.KeySpecRsa3072, KeyUsage: types.KeyUsageTypeEncryptDecrypt})},
		{name: "create an RSA key without a usage", want: "ValidationException", why: "any key can be without a usage, and then does everything",
			moto: created("RSA_2048", "Description=", rsaAlgorithms, "SigningAlgorithms=[RSASSA_PKCS1_V1_5_SHA_256,RSASSA_PKCS1_V1_5_SHA_384,RSASSA_PKCS1_V1_5_SHA_512,RSASSA_PSS_SHA_256,RSASSA_PSS_SHA_384,RSASSA_PSS_SHA_512]"),
			call: create(kms.CreateKeyInput{KeySpec: types.KeySpecRsa2048})},
		{name: "create an ECDH key", why: "it signs and encrypts, and does not say that it agrees",
			want: created("ECC_NIST_P384", "Description=", "KeyAgreementAlgorithms=[ECDH]", "KeyUsage=KEY_AGREEMENT", "MultiRegion=false"),
			moto: created("ECC_NIST_P384", "Description=", rsaAlgorithms, "KeyUsage=KEY_AGREEMENT", "SigningAlgorithms=[ECDSA_SHA_384]"),
			call: create(kms.CreateKeyInput{KeySpec: types.KeySpecEccNistP384, KeyUsage: types.KeyUsageTypeKeyAgreement})},
		{name: "create an ECC key to encrypt", want: "ValidationException", why: "any key can be for anything",
			moto: created("ECC_NIST_P384", "Description=", rsaAlgorithms, "KeyUsage=ENCRYPT_DECRYPT"),
			call: create(kms.CreateKeyInput{KeySpec: types.KeySpecEccNistP384, KeyUsage: types.KeyUsageTypeEncryptDecrypt})},
		{name: "create a key of an unknown spec", want: "ValidationException",
			call: create(kms.CreateKeyInput{KeySpec: "RSA_1024", KeyUsage: types.KeyUsageTypeEncryptDecrypt})},
		{name: "describe by ARN", want: described, moto: motoDescribed, why: noUsage,
			call: func(b *backend) (any, error) {
				return b.west.DescribeKey(b.t.Context(), &kms.DescribeKeyInput{KeyId: b.symmetric("key").Arn})
			}},
		{name: "describe by alias", want: described, moto: motoDescribed, why: noUsage,
			call: func(b *backend) (any, error) {
				return b.west.DescribeKey(b.t.Context(), &kms.DescribeKeyInput{KeyId: aws.String(b.alias("describe", b.symmetric("key")))})
			}},
		{name: "describe an unknown key", want: "NotFoundException",
			call: func(b *backend) (any, error) {
				return b.west.DescribeKey(b.t.Context(), &kms.DescribeKeyInput{KeyId: aws.String(unknownID)})
			}},
		{name: "list keys", want: "East=0 West=1",
			call: func(b *backend) (any, error) { return listKey(b, b.symmetric("key")) }},
	}
}

// listed counts the appearances of a key in the list of each region.
type listed struct{ West, East *int }

func listKey(b *backend, k types.KeyMetadata) (*listed, error) {
	out := &listed{new(int), new(int)}
	for client, n := range map[*kms.Client]*int{b.west: out.West, b.east: out.East} {
		keys, err := client.ListKeys(b.t.Context(), &kms.ListKeysInput{})
		if err != nil {
			return nil, err
		}
		for _, entry := range keys.Keys {
			if *entry.KeyArn == *k.Arn && *entry.KeyId == *k.KeyId {
				*n++
			}
		}
	}
	return out, nil
}

func aliasCalls() []sharedCall {
	create := func(name string, target func(*backend) string) func(*backend) (any, error) {
		return func(b *backend) (any, error) {
			return b.west.CreateAlias(b.t.Context(), &kms.CreateAliasInput{AliasName: aws.String(name), TargetKeyId: aws.String(target(b))})
		}
	}
	key := func(b *backend) string { return *b.symmetric("key").KeyId }
	return []sharedCall{
		{name: "alias without a prefix", call: create("name", key), want: "ValidationException"},
		{name: "alias with a colon", call: create("alias/a:b", key), want: "ValidationException"},
		{name: "alias with a space", call: create("alias/a b", key), want: "ValidationException"},
		{name: "alias of AWS", call: create("alias/aws/s3", key), want: "NotAuthorizedException"},
		{name: "alias of an unknown key", call: create("alias/nothing", func(*backend) string { return unknownID }), want: "NotFoundException"},
		{name: "alias of an alias", want: "ValidationException",
			call: create("alias/alias", func(b *backend) string { return b.alias("target", b.symmetric("key")) })},
		{name: "alias that exists", want: "AlreadyExistsException",
			call: func(b *backend) (any, error) {
				k := b.symmetric("key")
				name := b.alias("exists", k)
				return b.west.CreateAlias(b.t.Context(), &kms.CreateAliasInput{AliasName: &name, TargetKeyId: k.KeyId})
			}},
		{name: "aliases of a key", want: "Aliases[0].AliasArn=arn:aws:kms:us-west-2:ACCOUNT:alias/a-SUFFIX Aliases[0].AliasName=alias/a-SUFFIX Aliases[0].TargetKeyId=key.id " +
			"Aliases[1].AliasArn=arn:aws:kms:us-west-2:ACCOUNT:alias/b-SUFFIX Aliases[1].AliasName=alias/b-SUFFIX Aliases[1].TargetKeyId=key.id",
			call: func(b *backend) (any, error) {
				k := b.symmetric("key")
				b.alias("a", k)
				b.alias("b", k)
				return b.west.ListAliases(b.t.Context(), &kms.ListAliasesInput{KeyId: k.KeyId})
			}},
	}
}

func grantCalls() []sharedCall {
	encrypt := func(token func(*backend, types.KeyMetadata) (string, error)) func(*backend) (any, error) {
		return func(b *backend) (any, error) {
			k := b.symmetric("key")
			t, err := token(b, k)
			if err != nil {
				return nil, err
			}
			return b.west.Encrypt(b.t.Context(), &kms.EncryptInput{KeyId: k.Arn, Plaintext: []byte("secret"), GrantTokens: []string{t}})
		}
	}
	grant := func(b *backend, k types.KeyMetadata) (*kms.CreateGrantOutput, error) {
		return b.west.CreateGrant(b.t.Context(), &kms.CreateGrantInput{
			KeyId:            k.KeyId,
			GranteePrincipal: aws.String("arn:aws:iam::111122223333:role/test"),
			Operations:       []types.GrantOperation{types.GrantOperationEncrypt},
		})
	}
	return []sharedCall{
		{name: "grant", want: "GrantId GrantToken",
			call: func(b *backend) (any, error) { return grant(b, b.symmetric("key")) }},
		{name: "grant token", want: "CiphertextBlob EncryptionAlgorithm=SYMMETRIC_DEFAULT KeyId=key.arn",
			call: encrypt(func(b *backend, k types.KeyMetadata) (string, error) {
				out, err := grant(b, k)
				return aws.ToString(out.GrantToken), err
			})},
		{name: "grant token that is none", want: "InvalidGrantTokenException", moto: "CiphertextBlob KeyId=key.arn", why: "grant tokens are ignored",
			call: encrypt(func(*backend, types.KeyMetadata) (string, error) { return "none", nil })},
	}
}
