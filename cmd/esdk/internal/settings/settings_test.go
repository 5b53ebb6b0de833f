package settings

import (
	"testing"

	"esdk"
)

// TestDefaultFrameLength: the command shows the default that the library has.
func TestDefaultFrameLength(t *testing.T) {
	kr, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "n", Name: "k", Key: []byte("0123456789abcdef")})
	if err != nil {
		t.Fatal(err)
	}
	client, err := esdk.New(esdk.Config{Keyring: kr})
	if err != nil {
		t.Fatal(err)
	}
	_, h, err := client.Encrypt(t.Context(), nil, nil)
	if err != nil || h.FrameLength != DefaultFrameLength {
		t.Errorf("frames of %d bytes, %v; want %d", h.FrameLength, err, DefaultFrameLength)
	}
}
