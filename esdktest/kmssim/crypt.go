package kmssim

import (
	"cmp"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

const (
	maxPlaintext  = 4096
	maxCiphertext = 6144
	symmetric     = types.EncryptionAlgorithmSpecSymmetricDefault
)

// An encryption is the task of Encrypt and of the second half of ReEncrypt.
type encryption struct {
	keyID     string
	algorithm types.EncryptionAlgorithmSpec
	context   map[string]string
}

// A decryption is the task of Decrypt and of the first half of ReEncrypt.
type decryption struct {
	blob      []byte
	keyID     string // may be empty
	algorithm types.EncryptionAlgorithmSpec
	context   map[string]string
}

func (s *Server) encrypt(region string, in *kms.EncryptInput) (answer, error) {
	if err := checkLength("plaintext", in.Plaintext, maxPlaintext); err != nil {
		return nil, err
	}
	e := encryption{aws.ToString(in.KeyId), cmp.Or(in.EncryptionAlgorithm, symmetric), in.EncryptionContext}
	k, err := s.encryptionKey(region, e)
	if err != nil {
		return nil, err
	}
	if err := s.checkCall(in.GrantTokens, in.DryRun); err != nil {
		return nil, err
	}
	blob, err := k.encrypt(e, in.Plaintext)
	return answer{"KeyId": k.arn(), "CiphertextBlob": blob, "EncryptionAlgorithm": e.algorithm}, err
}

func (s *Server) decrypt(region string, in *kms.DecryptInput) (answer, error) {
	if in.Recipient != nil {
		return nil, unsupported("kmssim has no enclaves")
	}
	d := decryption{in.CiphertextBlob, aws.ToString(in.KeyId), cmp.Or(in.EncryptionAlgorithm, symmetric), in.EncryptionContext}
	if len(in.DryRunModifiers) > 0 {
		return nil, s.rehearse(region, in, d)
	}
	k, err := s.decryptionKey(region, d)
	if err != nil {
		return nil, err
	}
	if err := s.checkCall(in.GrantTokens, in.DryRun); err != nil {
		return nil, err
	}
	plaintext, err := k.decrypt(d)
	out := answer{"KeyId": k.arn(), "Plaintext": plaintext, "EncryptionAlgorithm": d.algorithm}
	k.addMaterialID(out, "KeyMaterialId")
	return out, err
}

// rehearse reports, without a ciphertext, whether a key might decrypt.
func (s *Server) rehearse(region string, in *kms.DecryptInput, d decryption) error {
	switch {
	case slices.ContainsFunc(in.DryRunModifiers, func(m types.DryRunModifierType) bool { return m != types.DryRunModifierTypeIgnoreCiphertext }):
		return constraint("dryRunModifiers", "of unknown values", "satisfy enum value set: [IGNORE_CIPHERTEXT]")
	case !aws.ToBool(in.DryRun), d.keyID == "":
		return invalid("DryRunModifiers want DryRun and a KeyId.")
	}
	if _, err := s.encryptionKey(region, encryption{d.keyID, d.algorithm, d.context}); err != nil { // encryption has the same conditions
		return err
	}
	return s.checkCall(in.GrantTokens, in.DryRun)
}

func (s *Server) reEncrypt(region string, in *kms.ReEncryptInput) (answer, error) {
	d := decryption{in.CiphertextBlob, aws.ToString(in.SourceKeyId), cmp.Or(in.SourceEncryptionAlgorithm, symmetric), in.SourceEncryptionContext}
	source, err := s.decryptionKey(region, d)
	if err != nil {
		return nil, err
	}
	e := encryption{aws.ToString(in.DestinationKeyId), cmp.Or(in.DestinationEncryptionAlgorithm, symmetric), in.DestinationEncryptionContext}
	destination, err := s.encryptionKey(region, e)
	if err != nil {
		return nil, err
	}
	if err := s.checkCall(in.GrantTokens, in.DryRun); err != nil {
		return nil, err
	}
	plaintext, err := source.decrypt(d)
	if err != nil {
		return nil, err
	}
	blob, err := destination.encrypt(e, plaintext)
	out := answer{
		"CiphertextBlob":                 blob,
		"KeyId":                          destination.arn(),
		"SourceKeyId":                    source.arn(),
		"SourceEncryptionAlgorithm":      d.algorithm,
		"DestinationEncryptionAlgorithm": e.algorithm,
	}
	source.addMaterialID(out, "SourceKeyMaterialId")
	destination.addMaterialID(out, "DestinationKeyMaterialId")
	return out, err
}

// encryptionKey returns the key to encrypt with.
func (s *Server) encryptionKey(region string, e encryption) (*key, error) {
	if err := checkContext("encryptionContext", e.context); err != nil {
		return nil, err
	}
	k, err := s.keys.usable(region, e.keyID)
	if err != nil {
		return nil, err
	}
	return k, k.checkAlgorithm(e.algorithm, e.context)
}

// decryptionKey returns the key to decrypt with: the requested key, or the key
// that a symmetric ciphertext names.
func (s *Server) decryptionKey(region string, d decryption) (*key, error) {
	if err := checkLength("ciphertextBlob", d.blob, maxCiphertext); err != nil {
		return nil, err
	}
	if err := checkContext("encryptionContext", d.context); err != nil {
		return nil, err
	}
	if d.keyID == "" {
		return s.ciphertextKey(region, d)
	}
	k, err := s.keys.usable(region, d.keyID)
	if err != nil {
		return nil, err
	}
	if err := k.checkAlgorithm(d.algorithm, d.context); err != nil {
		return nil, err
	}
	if k.material.symmetric == nil {
		return k, nil
	}
	id, ok := blobKey(d.blob)
	switch {
	case !ok:
		return nil, errInvalidCiphertext
	case id != k.id:
		return nil, errIncorrectKey
	}
	return k, nil
}

func (s *Server) ciphertextKey(region string, d decryption) (*key, error) {
	if d.algorithm != symmetric {
		return nil, invalid("KeyId is required for algorithm %s", d.algorithm)
	}
	id, ok := blobKey(d.blob)
	if !ok {
		return nil, errInvalidCiphertext
	}
	k, ok := s.keys.byID(region, id)
	if !ok {
		return nil, errForeignCiphertext
	}
	return k, k.checkState()
}

// addMaterialID adds the ID of a symmetric key's material.
func (k *key) addMaterialID(out answer, name string) {
	if k.material.symmetric != nil {
		out[name] = k.material.id
	}
}

func (k *key) encrypt(e encryption, plaintext []byte) ([]byte, error) {
	if k.material.symmetric != nil {
		return k.seal(plaintext, e.context), nil
	}
	return k.encryptRSA(e.algorithm, plaintext)
}

func (k *key) decrypt(d decryption) ([]byte, error) {
	if k.material.symmetric != nil {
		return k.open(d.blob, d.context)
	}
	return k.decryptRSA(d.algorithm, d.blob)
}
