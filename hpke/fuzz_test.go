package hpke_test

import (
	"bytes"
	"errors"
	"testing"

	"esdk"
	"esdk/hpke"
	"esdk/internal/faulttest"
)

// FuzzUnwrap: of all encrypted data keys, only the original one unwraps.
func FuzzUnwrap(f *testing.F) {
	kr := newKeyring(f, "key", newKey(f, 1))
	dataKey, good := wrap(f, kr)
	f.Add("", []byte{}, []byte{}, uint16(0))
	f.Add("", []byte{3}, []byte{}, uint16(0))
	f.Add("", []byte{0, 1}, []byte{}, uint16(0))
	f.Add("", []byte{1}, []byte{}, uint16(19))
	f.Add("", []byte{}, []byte{1}, uint16(1087))
	f.Add("", []byte{}, []byte{0x80}, uint16(1119))
	f.Add("", []byte{}, []byte{1}, uint16(1168))
	f.Add("esdk", []byte{}, []byte{}, uint16(0))
	f.Fuzz(func(t *testing.T, provider string, info, ciphertext []byte, at uint16) {
		edk := esdk.EncryptedDataKey{
			ProviderID:   hpke.ProviderID,
			ProviderInfo: faulttest.Changed(good.ProviderInfo, info, at),
			Ciphertext:   faulttest.Changed(good.Ciphertext, ciphertext, at),
		}
		if provider != "" {
			edk.ProviderID = provider
		}
		same := edk.ProviderID == hpke.ProviderID && bytes.Equal(edk.ProviderInfo, good.ProviderInfo) && bytes.Equal(edk.Ciphertext, good.Ciphertext)
		got, err := unwrap(t, kr, edk)
		if same != (err == nil) || same != bytes.Equal(got, dataKey) {
			t.Errorf("unwrap: %v, but that it is the same is %t", err, same)
		}
		if err != nil && !errors.Is(err, esdk.ErrNoDataKey) {
			t.Errorf("error of no class: %v", err)
		}
	})
}
