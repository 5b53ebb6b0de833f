package awskms_test

import (
	"bytes"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"esdk"
	"esdk/awskms"
	"esdk/esdktest/kmssim"
	"esdk/internal/faulttest"
	"esdk/internal/kmsarn"
)

// FuzzUnwrap: only the exact encrypted data keys that were made for a key in
// AWS KMS unwrap, and each keyring reports an error for any other.
func FuzzUnwrap(f *testing.F) {
	s := newSim(f)
	c := s.config()
	kr := mustKeyring(f)
	one := kr(awskms.NewKeyring(c, s.symmetric(west)))
	primary, replica := s.mrk()
	multi := kr(awskms.NewMRKKeyring(c, primary))
	rsaARN := s.CreateKey(west, types.KeySpecRsa2048)
	rsaKeyring := kr(awskms.NewRSAKeyring(c, awskms.RSAConfig{KeyID: rsaARN, PublicKey: rsaPublicKey(f, s, rsaARN)}))
	alice, bob := s.CreateKey(west, types.KeySpecEccNistP256), s.CreateKey(west, types.KeySpecEccNistP256)
	agreed := kr(awskms.NewECDHKeyring(f.Context(), c, awskms.ECDHConfig{KeyID: alice, Peer: ecdhPublicKey(f, s, bob)}))
	filter := &awskms.Filter{Partition: "aws", Accounts: []string{kmssim.Account}}

	pairs := []struct{ wraps, unwraps esdk.Keyring }{
		{one, one},
		{one, kr(awskms.NewDiscoveryKeyring(c, filter))},
		{multi, kr(awskms.NewMRKKeyring(c, replica))},
		{multi, kr(awskms.NewMRKDiscoveryKeyring(c, filter, east))},
		{rsaKeyring, rsaKeyring},
		{agreed, kr(awskms.NewECDHDiscoveryKeyring(f.Context(), c, awskms.ECDHConfig{KeyID: bob}))},
	}
	var made []*esdk.WrapResult
	for i, p := range pairs {
		made = append(made, wrap(f, p.wraps, nil))
		f.Add(uint8(i), "", []byte{}, []byte{}, uint16(0))
		f.Add(uint8(i), "", []byte{1}, []byte{}, uint16(9))
		f.Add(uint8(i), "", []byte("xxx"), []byte{1}, uint16(500))
		f.Add(uint8(i), "aws-kms", []byte{}, []byte{}, uint16(0))
	}
	f.Fuzz(func(t *testing.T, which uint8, provider string, info, ciphertext []byte, at uint16) {
		defer s.Reset() // it records all requests
		i := int(which) % len(pairs)
		good := made[i].EncryptedDataKeys[0]
		edk := esdk.EncryptedDataKey{
			ProviderID: good.ProviderID, ProviderInfo: faulttest.Changed(good.ProviderInfo, info, at), Ciphertext: faulttest.Changed(good.Ciphertext, ciphertext, at),
		}
		if provider != "" {
			edk.ProviderID = provider
		}
		ecdhKeys := good.ProviderID == "aws-kms-ecdh" && edk.ProviderID == "raw-ecdh" // these share a format
		same := (edk.ProviderID == good.ProviderID || ecdhKeys) &&
			sameKey(string(edk.ProviderInfo), string(good.ProviderInfo), pairs[i].wraps == multi) && bytes.Equal(edk.Ciphertext, good.Ciphertext)
		got, err := tryUnwrap(t, pairs[i].unwraps, edk)
		if same != (err == nil) || same != bytes.Equal(got, made[i].DataKey) {
			t.Errorf("unwrap: %v, but that it is the same is %t", err, same)
		}
	})
}

// sameKey reports whether an encrypted data key names the given key, or any
// replica of it if it is a multi-Region key.
func sameKey(info, key string, multiRegion bool) bool {
	got, err := kmsarn.Parse(info)
	if !multiRegion || err != nil {
		return info == key
	}
	want, err := kmsarn.Parse(key)
	want.Region = got.Region
	return err == nil && got == want
}
