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
	name := Printable(k.ProviderID) + "/" + Printable(KeyName(k))
	if fingerprint := Fingerprint(k); fingerprint != "" {
		name += ", fingerprint " + fingerprint
	}
	return name
}

// KeyName is the name of a wrapping key without its provider ID: text, or else Base64.
func KeyName(k *esdk.EncryptedDataKey) string {
	name := k.KeyName()
	if !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		return base64.StdEncoding.EncodeToString([]byte(name))
	}
	return name
}

// Fingerprint is the fingerprint of the public key, which a message has of keys of package
// hpke only, and else "".
func Fingerprint(k *esdk.EncryptedDataKey) string {
	if k.ProviderID != hpke.ProviderID {
		return ""
	}
	if _, fingerprint, err := hpke.ParseProviderInfo(k.ProviderInfo); err == nil {
		return fmt.Sprint(fingerprint)
	}
	return ""
}
