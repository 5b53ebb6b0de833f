package settings

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"esdk"
)

// TestDefaultFrameLength: the command and its documentation show the default
// that the library has.
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
	page, err := os.ReadFile("../../../../docs/cli.md")
	if text := fmt.Sprintf("`--frame-length` is %d unless set", DefaultFrameLength); err != nil || !strings.Contains(string(page), text) {
		t.Errorf("docs/cli.md doesn't say %q: %v", text, err)
	}
}
