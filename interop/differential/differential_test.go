// Package differential makes this library and the official Go SDK decrypt and
// encrypt the same input in one process. For any bytes from a fuzzer, both must
// come to the same verdict, plaintext and context.
package differential

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	mpl "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygenerated"
	mpltypes "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygeneratedtypes"
	primitives "github.com/aws/aws-cryptographic-material-providers-library/releases/go/primitives/awscryptographyprimitivessmithygeneratedtypes"
	official "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygenerated"
	officialtypes "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygeneratedtypes"

	"esdk"
	"esdk/internal/suite"
)

// The wrapping keys are constant, so that all processes of a fuzzer agree on
// the valid messages.
const (
	aesNamespace = "differential-aes"
	rsaNamespace = "differential-rsa"
	keyName      = "key"
)

var (
	wrappingKey = bytes.Repeat([]byte{7}, 32)
	rsaPEM      = must(os.ReadFile("testdata/rsa.pem"))
	rsaKey      = must(esdk.ParsePEM[*rsa.PrivateKey](rsaPEM))
	ecdhKey     = must(ecdh.P256().NewPrivateKey(bytes.Repeat([]byte{1}, 32)))
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// ours and theirs hold the same three keys.
var (
	agreement = must(esdk.NewRawECDHKeyring(esdk.RawECDHConfig{PrivateKey: ecdhKey, Peer: ecdhKey.PublicKey()}))
	ours      = must(esdk.NewMultiKeyring(
		must(esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: aesNamespace, Name: keyName, Key: wrappingKey})),
		must(esdk.NewRawRSAKeyring(esdk.RawRSAConfig{
			Namespace: rsaNamespace, Name: keyName, PublicKey: &rsaKey.PublicKey, PrivateKey: rsaKey,
		})),
		agreement,
	))
	theirs = newTheirs()
)

func newTheirs() mpltypes.IKeyring {
	ctx := context.Background()
	m := must(mpl.NewClient(mpltypes.MaterialProvidersConfig{}))
	aes := must(m.CreateRawAesKeyring(ctx, mpltypes.CreateRawAesKeyringInput{
		KeyNamespace: aesNamespace, KeyName: keyName, WrappingKey: wrappingKey, WrappingAlg: mpltypes.AesWrappingAlgAlgAes256GcmIv12Tag16,
	}))
	rsa := must(m.CreateRawRsaKeyring(ctx, mpltypes.CreateRawRsaKeyringInput{
		KeyNamespace: rsaNamespace, KeyName: keyName, PaddingScheme: mpltypes.PaddingSchemeOaepSha256Mgf1,
		PublicKey: publicPEM(&rsaKey.PublicKey), PrivateKey: rsaPEM,
	}))
	agreement := must(m.CreateRawEcdhKeyring(ctx, mpltypes.CreateRawEcdhKeyringInput{
		CurveSpec: primitives.ECDHCurveSpecEccNistP256,
		KeyAgreementScheme: &mpltypes.RawEcdhStaticConfigurationsMemberRawPrivateKeyToStaticPublicKey{
			Value: mpltypes.RawPrivateKeyToStaticPublicKeyInput{
				SenderStaticPrivateKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(ecdhKey))}),
				RecipientPublicKey:     must(x509.MarshalPKIXPublicKey(ecdhKey.PublicKey())),
			},
		},
	}))
	return must(m.CreateMultiKeyring(ctx, mpltypes.CreateMultiKeyringInput{
		Generator: aes, ChildKeyrings: []mpltypes.IKeyring{rsa, agreement},
	}))
}

func publicPEM(key any) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(key))})
}

// A side is one of the two SDKs, configured to read all suites, with or without
// the recovery of messages that .NET 4.0.0 wrote.
type side struct {
	name    string
	decrypt func(message []byte, reproduced map[string]string) (plaintext []byte, ec map[string]string, err error)
}

func ourSide(net400 bool) side {
	c := must(esdk.New(esdk.Config{Keyring: ours, CommitmentPolicy: esdk.RequireEncryptAllowDecrypt, RecoverNET400: net400}))
	return side{"esdk", func(message []byte, reproduced map[string]string) ([]byte, map[string]string, error) {
		plaintext, h, err := c.Decrypt(context.Background(), message, reproduced)
		if err != nil {
			return nil, nil, err
		}
		return plaintext, h.EncryptionContext, nil
	}}
}

func theirSide(net400 bool) side {
	policy, retry := mpltypes.ESDKCommitmentPolicyRequireEncryptAllowDecrypt, officialtypes.NetV4_0_0_RetryPolicyForbidRetry
	if net400 {
		retry = officialtypes.NetV4_0_0_RetryPolicyAllowRetry
	}
	c := must(official.NewClient(officialtypes.AwsEncryptionSdkConfig{CommitmentPolicy: &policy, NetV4_0_0_RetryPolicy: &retry}))
	return side{"official", func(message []byte, reproduced map[string]string) (plaintext []byte, ec map[string]string, err error) {
		// It panics on some inputs.
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("%w: %v", errPanic, p)
			}
		}()
		out, err := c.Decrypt(context.Background(), officialtypes.DecryptInput{Ciphertext: message, EncryptionContext: reproduced, Keyring: theirs})
		if err != nil {
			return nil, nil, err
		}
		return out.Plaintext, out.EncryptionContext, nil
	}}
}

var errPanic = errors.New("panic")

var sides = map[bool][2]side{false: {ourSide(false), theirSide(false)}, true: {ourSide(true), theirSide(true)}}

// compare decrypts a message with both.
func compare(t *testing.T, m *message, net400 bool) (ourErr error) {
	t.Helper()
	us, them := sides[net400][0], sides[net400][1]
	ourText, ourContext, ourErr := us.decrypt(m.bytes, maps.Clone(m.reproduced))
	theirText, theirContext, theirErr := them.decrypt(m.bytes, maps.Clone(m.reproduced))
	if known(m, ourErr, theirErr) {
		return ourErr
	}
	switch {
	case (ourErr == nil) != (theirErr == nil):
		t.Errorf("esdk: %v\nofficial: %v\nnet400 %t, odd: %s\n%x", ourErr, theirErr, net400, strings.Join(m.strange, "; "), m.bytes)
	case ourErr == nil && !bytes.Equal(ourText, theirText):
		t.Errorf("esdk: %x\nofficial: %x\nnet400 %t, odd: %s\n%x", ourText, theirText, net400, strings.Join(m.strange, "; "), m.bytes)
	case ourErr == nil && !sameContext(ourContext, theirContext, m.reproduced):
		t.Errorf("esdk: %q\nofficial: %q\nnet400 %t, odd: %s\n%x", ourContext, theirContext, net400, strings.Join(m.strange, "; "), m.bytes)
	}
	return ourErr
}

func sameContext(ours, theirs, reproduced map[string]string) bool {
	ours, theirs = maps.Clone(ours), maps.Clone(theirs)
	maps.Copy(ours, reproduced)
	maps.Copy(theirs, reproduced)
	return maps.Equal(ours, theirs)
}

// known reports whether a difference is one that docs/compatibility.md
// explains: the official SDK refuses a message that we read, since
//   - a provider id is not UTF-8, where we skip that data key, or
//   - a data key of ECDH is malformed, where we try the next one.
func known(m *message, ourErr, theirErr error) bool {
	if ourErr != nil || theirErr == nil {
		return false
	}
	return strings.Contains(theirErr.Error(), "Invalid providerID") ||
		strings.Contains(theirErr.Error(), "No Configured Keyring was able to decrypt") && hasMalformedAgreement(m.bytes)
}

// hasMalformedAgreement reports whether the provider info of an ECDH data key
// isn't a version and two compressed points of one curve.
func hasMalformedAgreement(message []byte) bool {
	h, err := esdk.ParseHeader(bytes.NewReader(message))
	return err == nil && slices.ContainsFunc(h.EncryptedDataKeys, func(k esdk.EncryptedDataKey) bool {
		lengths := []int{1 + 2*(4+33), 1 + 2*(4+49), 1 + 2*(4+67)}
		agrees := k.ProviderID == "raw-ecdh" || k.ProviderID == "aws-kms-ecdh"
		return agrees && (!slices.Contains(lengths, len(k.ProviderInfo)) || k.ProviderInfo[0] != 1)
	})
}

// FuzzForged decrypts, with both, messages with valid tags and arbitrary
// structure.
func FuzzForged(f *testing.F) {
	for i := range len(suite.All) {
		f.Add([]byte{byte(i)})
		f.Add(append([]byte{byte(i)}, bytes.Repeat([]byte{1}, 40)...))
		f.Add(append([]byte{byte(i)}, bytes.Repeat([]byte{0, 3}, 40)...))
	}
	f.Fuzz(func(t *testing.T, decisions []byte) {
		m := forge(decisions)
		for _, net400 := range []bool{false, true} {
			if err := compare(t, m, net400); err != nil && len(m.strange) == 0 {
				t.Errorf("usual, but refused: %v\n%x", err, m.bytes)
			}
		}
	})
}

var (
	number = flag.Int("forged", 3000, "how many messages TestForged makes")
	seed   = flag.Uint64("seed", 1, "what TestForged starts from")
)

// TestForged runs FuzzForged with random decisions.
func TestForged(t *testing.T) {
	random := rand.NewChaCha8([32]byte(binary.LittleEndian.AppendUint64(make([]byte, 24), *seed)))
	accepted := 0
	for range *number {
		decisions := make([]byte, 120)
		random.Read(decisions)
		// Few at once, since one fault hides others.
		for i := range decisions {
			if decisions[i] >= 224 && random.Uint64()%8 != 0 {
				decisions[i] -= 128
			}
		}
		m := forge(decisions)
		for _, net400 := range []bool{false, true} {
			if err := compare(t, m, net400); err == nil {
				accepted++
			} else if len(m.strange) == 0 {
				t.Errorf("usual, but refused: %v\n%x", err, m.bytes)
			}
		}
	}
	t.Logf("seed %d: %d messages, accepted %d of %d times", *seed, *number, accepted, 2**number)
	if accepted < *number/10 || accepted > 2**number*9/10 {
		t.Error("the messages do not cover what is good and what is bad")
	}
}

// FuzzBytes decrypts arbitrary bytes with both.
func FuzzBytes(f *testing.F) {
	for i := range len(suite.All) {
		for _, rest := range [][]byte{nil, {0, 0, 0, 0, 0, 0, 3}, bytes.Repeat([]byte{0, 2}, 20)} {
			f.Add(forge(append([]byte{byte(i)}, rest...)).bytes)
		}
	}
	for _, path := range must(filepath.Glob("../../testdata/messages/*")) {
		f.Add(must(os.ReadFile(path)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := &message{bytes: b}
		compare(t, m, false)
		compare(t, m, true)
	})
}

// FuzzEncrypt checks that each decrypts messages of the other, and that both
// refuse the same input.
func FuzzEncrypt(f *testing.F) {
	f.Add([]byte(nil), uint32(0), uint8(10), "", "", "", "")
	f.Add([]byte("plaintext"), uint32(4), uint8(0), "k", "v", "Z", "")
	f.Add(bytes.Repeat([]byte{1}, 100), uint32(10), uint8(8), "ä", "\U0001f511", "\uff5e", "\xff")
	f.Add(bytes.Repeat([]byte{1}, 100), uint32(1<<32-1), uint8(9), "aws-crypto-public-key", "v", "", "")
	f.Fuzz(func(t *testing.T, plaintext []byte, frame uint32, index uint8, k1, v1, k2, v2 string) {
		s := suite.All[int(index)%len(suite.All)]
		ec := map[string]string{k1: v1, k2: v2}
		ourMessage, ourErr := encryptOurs(s, frame, plaintext, ec)
		theirMessage, theirErr := encryptTheirs(s, frame, plaintext, ec)
		if (ourErr == nil) != (theirErr == nil) {
			t.Fatalf("%s, frame %d, context %q:\nesdk: %v\nofficial: %v", s.Name, frame, ec, ourErr, theirErr)
		}
		if ourErr != nil {
			return
		}
		if len(ourMessage) != len(theirMessage) {
			t.Errorf("esdk wrote %d bytes, the official SDK %d", len(ourMessage), len(theirMessage))
		}
		for _, written := range [][]byte{ourMessage, theirMessage} {
			m := &message{bytes: written}
			if err := compare(t, m, false); err != nil {
				t.Errorf("%v\n%x", err, written)
			}
		}
	})
}

func encryptOurs(s *suite.Suite, frame uint32, plaintext []byte, ec map[string]string) ([]byte, error) {
	policy := esdk.ForbidEncryptAllowDecrypt
	if s.Commits {
		policy = esdk.RequireEncryptRequireDecrypt
	}
	c, err := esdk.New(esdk.Config{Keyring: ours, Suite: esdk.SuiteID(s.ID), CommitmentPolicy: policy, FrameLength: frame})
	if err != nil {
		return nil, err
	}
	message, _, err := c.Encrypt(context.Background(), plaintext, ec)
	return message, err
}

func encryptTheirs(s *suite.Suite, frame uint32, plaintext []byte, ec map[string]string) (message []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errPanic, p)
		}
	}()
	policy := mpltypes.ESDKCommitmentPolicyForbidEncryptAllowDecrypt
	if s.Commits {
		policy = mpltypes.ESDKCommitmentPolicyRequireEncryptRequireDecrypt
	}
	c, err := official.NewClient(officialtypes.AwsEncryptionSdkConfig{CommitmentPolicy: &policy})
	if err != nil {
		return nil, err
	}
	id := mpltypes.ESDKAlgorithmSuiteId(fmt.Sprintf("0x%04x", s.ID))
	// It panics without a slice; TestOfficialPanics shows that.
	in := officialtypes.EncryptInput{Plaintext: append([]byte{}, plaintext...), AlgorithmSuiteId: &id, EncryptionContext: ec, Keyring: theirs}
	if frame != 0 {
		length := int64(frame)
		in.FrameLength = &length
	}
	out, err := c.Encrypt(context.Background(), in)
	if err != nil {
		return nil, err
	}
	return out.Ciphertext, nil
}

// TestOfficialPanics shows known panics of the official Go SDK, version 0.4.0.
func TestOfficialPanics(t *testing.T) {
	c := must(official.NewClient(officialtypes.AwsEncryptionSdkConfig{}))
	defer func() {
		if recover() == nil {
			t.Error("it no longer panics at a plaintext of nil: mend docs/compatibility.md")
		}
	}()
	_, _ = c.Encrypt(context.Background(), officialtypes.EncryptInput{Keyring: theirs})
}
