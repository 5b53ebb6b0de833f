package kmssim_test

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// A sharedCall is a call that is made to both the simulator and moto.
type sharedCall struct {
	name string
	call func(b *backend) (any, error)
	want string // AWS's documented result, which the simulator returns
	moto string // moto's result, if it differs beyond motoOmits
	why  string // the difference
}

func calls() []sharedCall {
	return slices.Concat(dataKeyCalls(), encryptCalls(), decryptCalls(), reEncryptCalls(), stateCalls(), regionCalls(), rsaCalls(), ecdhCalls(), keyCalls(), aliasCalls(), grantCalls())
}

const unknownID = "1234abcd-12ab-34cd-56ef-1234567890ab"

var context1 = map[string]string{"purpose": "test", "Ünïcode": "☃"}

func dataKeyCalls() []sharedCall {
	generate := func(edit func(*backend, types.KeyMetadata, *kms.GenerateDataKeyInput)) func(*backend) (any, error) {
		return func(b *backend) (any, error) {
			k := b.symmetric("key")
			in := &kms.GenerateDataKeyInput{KeyId: k.Arn}
			edit(b, k, in)
			return b.west.GenerateDataKey(b.t.Context(), in)
		}
	}
	bytes := func(n int32) func(*backend) (any, error) {
		return generate(func(_ *backend, _ types.KeyMetadata, in *kms.GenerateDataKeyInput) { in.NumberOfBytes = &n })
	}
	spec := func(s types.DataKeySpec) func(*backend) (any, error) {
		return generate(func(_ *backend, _ types.KeyMetadata, in *kms.GenerateDataKeyInput) { in.KeySpec = s })
	}
	named := func(name func(*backend, types.KeyMetadata) string) func(*backend) (any, error) {
		return generate(func(b *backend, k types.KeyMetadata, in *kms.GenerateDataKeyInput) {
			in.KeyId = aws.String(name(b, k))
			in.KeySpec = types.DataKeySpecAes256
		})
	}
	const good = "CiphertextBlob KeyId=key.arn KeyMaterialId Plaintext"
	return []sharedCall{
		{name: "data key of 16 bytes", call: bytes(16), want: good + "[16]"},
		{name: "data key of 24 bytes", call: bytes(24), want: good + "[24]"},
		{name: "data key of 32 bytes", call: bytes(32), want: good + "[32]"},
		{name: "data key of 1 byte", call: bytes(1), want: good + "[1]"},
		{name: "data key of 1024 bytes", call: bytes(1024), want: good + "[1024]"},
		{name: "data key of 0 bytes", call: bytes(0), want: "ValidationException"},
		{name: "data key of -1 bytes", call: bytes(-1), want: "ValidationException"},
		{name: "data key of 1025 bytes", call: bytes(1025), want: "ValidationException"},
		{name: "data key AES_128", call: spec(types.DataKeySpecAes128), want: good + "[16]"},
		{name: "data key AES_256", call: spec(types.DataKeySpecAes256), want: good + "[32]"},
		{name: "data key AES_192", call: spec("AES_192"), want: "ValidationException"},
		{name: "data key without a length", call: spec(""), want: "ValidationException"},
		{name: "data key with spec and length", want: "ValidationException",
			call: generate(func(_ *backend, _ types.KeyMetadata, in *kms.GenerateDataKeyInput) {
				in.KeySpec, in.NumberOfBytes = types.DataKeySpecAes256, aws.Int32(32)
			})},
		{name: "data key by id", want: good + "[32]",
			call: named(func(_ *backend, k types.KeyMetadata) string { return *k.KeyId })},
		{name: "data key by alias", want: good + "[32]",
			call: named(func(b *backend, k types.KeyMetadata) string { return b.alias("gdk", k) })},
		{name: "data key by alias ARN", want: good + "[32]",
			call: named(func(b *backend, k types.KeyMetadata) string {
				return strings.Replace(*k.Arn, "key/"+*k.KeyId, b.alias("gdk-arn", k), 1)
			})},
		{name: "data key of an unknown id", want: "NotFoundException",
			call: named(func(*backend, types.KeyMetadata) string { return unknownID })},
		{name: "data key of an unknown ARN", want: "NotFoundException",
			call: named(func(_ *backend, k types.KeyMetadata) string { return strings.Replace(*k.Arn, *k.KeyId, unknownID, 1) })},
		{name: "data key of an unknown alias", want: "NotFoundException",
			call: named(func(*backend, types.KeyMetadata) string { return "alias/unknown" })},
		{name: "data key of no id", want: "NotFoundException",
			call: named(func(*backend, types.KeyMetadata) string { return "key" })},
		{name: "data key with another region's ARN", want: "NotFoundException",
			call: func(b *backend) (any, error) {
				return b.east.GenerateDataKey(b.t.Context(), &kms.GenerateDataKeyInput{KeyId: b.symmetric("key").Arn, KeySpec: types.DataKeySpecAes256})
			}},
		{name: "data key without plaintext", want: "CiphertextBlob KeyId=key.arn KeyMaterialId",
			call: func(b *backend) (any, error) {
				return b.west.GenerateDataKeyWithoutPlaintext(b.t.Context(), &kms.GenerateDataKeyWithoutPlaintextInput{
					KeyId: b.symmetric("key").Arn, NumberOfBytes: aws.Int32(32), EncryptionContext: context1})
			}},
		{name: "data key opens", want: "EncryptionAlgorithm=SYMMETRIC_DEFAULT KeyId=key.arn KeyMaterialId Plaintext=DATAKEY", call: dataKeyOpens},
		{name: "data key as a rehearsal", want: "DryRunOperationException", moto: "CiphertextBlob KeyId=key.arn Plaintext[32]", why: "DryRun is ignored",
			call: generate(func(_ *backend, _ types.KeyMetadata, in *kms.GenerateDataKeyInput) {
				in.KeySpec, in.DryRun = types.DataKeySpecAes256, aws.Bool(true)
			})},
	}
}

func dataKeyOpens(b *backend) (any, error) {
	k := b.symmetric("key")
	out, err := b.west.GenerateDataKey(b.t.Context(), &kms.GenerateDataKeyInput{KeyId: k.Arn, NumberOfBytes: aws.Int32(32), EncryptionContext: context1})
	if err != nil {
		return nil, err
	}
	b.names[string(out.Plaintext)] = "DATAKEY"
	return b.west.Decrypt(b.t.Context(), &kms.DecryptInput{KeyId: k.Arn, CiphertextBlob: out.CiphertextBlob, EncryptionContext: context1})
}

func encryptCalls() []sharedCall {
	encrypt := func(n int) func(*backend) (any, error) {
		return func(b *backend) (any, error) {
			return b.west.Encrypt(b.t.Context(), &kms.EncryptInput{KeyId: b.symmetric("key").Arn, Plaintext: make([]byte, n)})
		}
	}
	const good = "CiphertextBlob EncryptionAlgorithm=SYMMETRIC_DEFAULT KeyId=key.arn"
	return []sharedCall{
		{name: "encrypt 1 byte", call: encrypt(1), want: good},
		{name: "encrypt 4096 bytes", call: encrypt(4096), want: good},
		{name: "encrypt 4097 bytes", call: encrypt(4097), want: "ValidationException"},
		{name: "encrypt nothing", call: encrypt(0), want: "ValidationException"},
		{name: "encrypt with an algorithm for RSA", want: "InvalidKeyUsageException", moto: "CiphertextBlob KeyId=key.arn", why: "algorithms are ignored",
			call: func(b *backend) (any, error) {
				return b.west.Encrypt(b.t.Context(), &kms.EncryptInput{KeyId: b.symmetric("key").Arn, Plaintext: []byte("secret"),
					EncryptionAlgorithm: types.EncryptionAlgorithmSpecRsaesOaepSha256})
			}},
		{name: "encrypt with an unknown algorithm", want: "ValidationException", moto: "CiphertextBlob KeyId=key.arn", why: "algorithms are ignored",
			call: func(b *backend) (any, error) {
				return b.west.Encrypt(b.t.Context(), &kms.EncryptInput{KeyId: b.symmetric("key").Arn, Plaintext: []byte("secret"), EncryptionAlgorithm: "ROT13"})
			}},
		{name: "encrypt with a large context", want: "ValidationException", moto: "CiphertextBlob KeyId=key.arn", why: "contexts have no limit",
			call: func(b *backend) (any, error) {
				return b.west.Encrypt(b.t.Context(), &kms.EncryptInput{KeyId: b.symmetric("key").Arn, Plaintext: []byte("secret"),
					EncryptionContext: map[string]string{"k": strings.Repeat("v", 8192)}})
			}},
	}
}

func decryptCalls() []sharedCall {
	decrypt := func(edit func(*backend, types.KeyMetadata, *kms.DecryptInput)) func(*backend) (any, error) {
		return func(b *backend) (any, error) {
			k := b.symmetric("key")
			in := &kms.DecryptInput{CiphertextBlob: b.blob(k, context1), EncryptionContext: context1}
			edit(b, k, in)
			return b.west.Decrypt(b.t.Context(), in)
		}
	}
	with := func(ec map[string]string) func(*backend) (any, error) {
		return decrypt(func(_ *backend, _ types.KeyMetadata, in *kms.DecryptInput) { in.EncryptionContext = ec })
	}
	by := func(name func(*backend, types.KeyMetadata) string) func(*backend) (any, error) {
		return decrypt(func(b *backend, k types.KeyMetadata, in *kms.DecryptInput) { in.KeyId = aws.String(name(b, k)) })
	}
	blob := func(edit func([]byte) []byte) func(*backend) (any, error) {
		return decrypt(func(_ *backend, _ types.KeyMetadata, in *kms.DecryptInput) {
			in.CiphertextBlob = edit(in.CiphertextBlob)
		})
	}
	const good = "EncryptionAlgorithm=SYMMETRIC_DEFAULT KeyId=key.arn KeyMaterialId Plaintext=SECRET"
	return []sharedCall{
		{name: "decrypt without a key id", call: decrypt(func(*backend, types.KeyMetadata, *kms.DecryptInput) {}), want: good},
		{name: "decrypt by ARN", call: by(func(_ *backend, k types.KeyMetadata) string { return *k.Arn }), want: good},
		{name: "decrypt by id", call: by(func(_ *backend, k types.KeyMetadata) string { return *k.KeyId }), want: good},
		{name: "decrypt by alias", call: by(func(b *backend, k types.KeyMetadata) string { return b.alias("decrypt", k) }), want: good},
		{name: "decrypt by an unknown id", call: by(func(*backend, types.KeyMetadata) string { return unknownID }), want: "NotFoundException"},
		{name: "decrypt by another key", call: by(func(b *backend, _ types.KeyMetadata) string { return *b.symmetric("other").Arn }),
			want: "IncorrectKeyException", moto: "AccessDeniedException", why: "it has no IncorrectKeyException"},
		{name: "decrypt as a rehearsal", want: "DryRunOperationException", moto: "KeyId=key.arn Plaintext=SECRET", why: "DryRun is ignored",
			call: decrypt(func(_ *backend, k types.KeyMetadata, in *kms.DecryptInput) {
				in.KeyId, in.DryRun = k.Arn, aws.Bool(true)
			})},
		{name: "decrypt as a rehearsal without a ciphertext", want: "DryRunOperationException", moto: "InvalidCiphertextException", why: "DryRunModifiers are not known",
			call: decrypt(func(_ *backend, k types.KeyMetadata, in *kms.DecryptInput) {
				in.KeyId, in.DryRun, in.DryRunModifiers, in.CiphertextBlob = k.Arn, aws.Bool(true), []types.DryRunModifierType{types.DryRunModifierTypeIgnoreCiphertext}, nil
			})},
		{name: "decrypt without a ciphertext", want: "ValidationException", moto: "InvalidCiphertextException", why: "it is looked at as one",
			call: decrypt(func(_ *backend, k types.KeyMetadata, in *kms.DecryptInput) { in.KeyId, in.CiphertextBlob = k.Arn, nil })},
		{name: "decrypt as a rehearsal by an unknown id", want: "NotFoundException",
			call: decrypt(func(_ *backend, _ types.KeyMetadata, in *kms.DecryptInput) {
				in.KeyId, in.DryRun, in.DryRunModifiers, in.CiphertextBlob = aws.String(unknownID), aws.Bool(true), []types.DryRunModifierType{types.DryRunModifierTypeIgnoreCiphertext}, nil
			})},
		{name: "decrypt without the context", call: with(nil), want: "InvalidCiphertextException"},
		{name: "decrypt with another value", call: with(map[string]string{"purpose": "other", "Ünïcode": "☃"}), want: "InvalidCiphertextException"},
		{name: "decrypt with a pair more", call: with(map[string]string{"purpose": "test", "Ünïcode": "☃", "more": "x"}), want: "InvalidCiphertextException"},
		{name: "decrypt with a pair less", call: with(map[string]string{"purpose": "test"}), want: "InvalidCiphertextException"},
		{name: "decrypt with another case", call: with(map[string]string{"Purpose": "test", "Ünïcode": "☃"}), want: "InvalidCiphertextException"},
		{name: "decrypt with moved bytes", want: "InvalidCiphertextException", moto: "KeyId=key.arn Plaintext=SECRET", why: "contexts have no lengths in its associated data",
			call: with(map[string]string{"purposet": "est", "Ünïcode": "☃"})},
		{name: "decrypt a changed ciphertext", want: "InvalidCiphertextException",
			call: blob(func(b []byte) []byte { b = slices.Clone(b); b[len(b)-1] ^= 1; return b })},
		{name: "decrypt a cut ciphertext", want: "InvalidCiphertextException", call: blob(func(b []byte) []byte { return b[:len(b)-1] })},
		{name: "decrypt a short ciphertext", want: "InvalidCiphertextException", call: blob(func(b []byte) []byte { return b[:3] })},
		{name: "decrypt a ciphertext of 6145 bytes", want: "ValidationException", moto: "AccessDeniedException", why: "ciphertexts have no limit, and these bytes name a key",
			call: blob(func([]byte) []byte { return make([]byte, 6145) })},
		{name: "decrypt with an algorithm for RSA", want: "InvalidKeyUsageException", moto: "KeyId=key.arn Plaintext=SECRET", why: "algorithms are ignored",
			call: decrypt(func(_ *backend, k types.KeyMetadata, in *kms.DecryptInput) {
				in.KeyId, in.EncryptionAlgorithm = k.Arn, types.EncryptionAlgorithmSpecRsaesOaepSha1
			})},
	}
}

func reEncryptCalls() []sharedCall {
	reEncrypt := func(edit func(*backend, types.KeyMetadata, *kms.ReEncryptInput)) func(*backend) (any, error) {
		return func(b *backend) (any, error) {
			k := b.symmetric("key")
			in := &kms.ReEncryptInput{CiphertextBlob: b.blob(k, context1), SourceEncryptionContext: context1, DestinationKeyId: b.symmetric("other").Arn}
			edit(b, k, in)
			return b.west.ReEncrypt(b.t.Context(), in)
		}
	}
	const (
		good = "CiphertextBlob DestinationEncryptionAlgorithm=SYMMETRIC_DEFAULT DestinationKeyMaterialId KeyId=other.arn SourceEncryptionAlgorithm=SYMMETRIC_DEFAULT SourceKeyId=key.arn SourceKeyMaterialId"
		self = "CiphertextBlob DestinationEncryptionAlgorithm=SYMMETRIC_DEFAULT DestinationKeyMaterialId KeyId=key.arn SourceEncryptionAlgorithm=SYMMETRIC_DEFAULT SourceKeyId=key.arn SourceKeyMaterialId"
	)
	return []sharedCall{
		{name: "re-encrypt to another key", want: good, call: reEncrypt(func(*backend, types.KeyMetadata, *kms.ReEncryptInput) {})},
		{name: "re-encrypt to another context", want: self,
			call: reEncrypt(func(_ *backend, k types.KeyMetadata, in *kms.ReEncryptInput) {
				in.DestinationKeyId, in.DestinationEncryptionContext = k.Arn, map[string]string{"new": "context"}
			})},
		{name: "re-encrypt from a given key", want: good,
			call: reEncrypt(func(_ *backend, k types.KeyMetadata, in *kms.ReEncryptInput) { in.SourceKeyId = k.Arn })},
		{name: "re-encrypt from the wrong key", want: "IncorrectKeyException", moto: withoutOmitted(good), why: "SourceKeyId is ignored",
			call: reEncrypt(func(_ *backend, _ types.KeyMetadata, in *kms.ReEncryptInput) { in.SourceKeyId = in.DestinationKeyId })},
		{name: "re-encrypt from an unknown key", want: "NotFoundException", moto: withoutOmitted(good), why: "SourceKeyId is ignored",
			call: reEncrypt(func(_ *backend, _ types.KeyMetadata, in *kms.ReEncryptInput) { in.SourceKeyId = aws.String(unknownID) })},
		{name: "re-encrypt from another context", want: "InvalidCiphertextException",
			call: reEncrypt(func(_ *backend, _ types.KeyMetadata, in *kms.ReEncryptInput) { in.SourceEncryptionContext = nil })},
		{name: "re-encrypt to an unknown key", want: "NotFoundException",
			call: reEncrypt(func(_ *backend, _ types.KeyMetadata, in *kms.ReEncryptInput) {
				in.DestinationKeyId = aws.String(unknownID)
			})},
		{name: "re-encrypted opens", want: "EncryptionAlgorithm=SYMMETRIC_DEFAULT KeyId=other.arn KeyMaterialId Plaintext=SECRET", call: reEncryptedOpens},
	}
}

func reEncryptedOpens(b *backend) (any, error) {
	k, other := b.symmetric("key"), b.symmetric("other")
	ec := map[string]string{"new": "context"}
	out, err := b.west.ReEncrypt(b.t.Context(), &kms.ReEncryptInput{CiphertextBlob: b.blob(k, context1), SourceEncryptionContext: context1,
		DestinationKeyId: other.Arn, DestinationEncryptionContext: ec})
	if err != nil {
		return nil, err
	}
	return b.west.Decrypt(b.t.Context(), &kms.DecryptInput{KeyId: other.Arn, CiphertextBlob: out.CiphertextBlob, EncryptionContext: ec})
}
