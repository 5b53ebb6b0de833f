package cli

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"esdk"
	"esdk/hpke"
)

// DataKeyName names a wrapping key, as far as it can be told from what stands in
// the message.
func DataKeyName(k *esdk.EncryptedDataKey) string {
	if name, fingerprint, err := hpke.ParseProviderInfo(k.ProviderInfo); k.ProviderID == hpke.ProviderID && err == nil {
		return fmt.Sprintf("%s/%s, fingerprint %s", hpke.ProviderID, printableName([]byte(name)), fingerprint)
	}
	return Printable(k.ProviderID) + "/" + printableName([]byte(k.KeyName()))
}

// printableName is text, or else Base64.
func printableName(name []byte) string {
	if !utf8.Valid(name) || strings.ContainsFunc(string(name), func(r rune) bool { return r < ' ' }) {
		return base64.StdEncoding.EncodeToString(name)
	}
	return Printable(string(name))
}
