package cli

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"esdk"
	"esdk/hpke"
)

// DataKeyName returns the name of a wrapping key, as far as the message gives
// it.
func DataKeyName(k *esdk.EncryptedDataKey) string {
	name := Printable(k.ProviderID) + "/" + Printable(KeyName(k))
	if fingerprint := Fingerprint(k); fingerprint != "" {
		name += ", fingerprint " + fingerprint
	}
	return name
}

// KeyName returns the name of a wrapping key without its provider ID: as text,
// or as Base64 if it isn't printable.
func KeyName(k *esdk.EncryptedDataKey) string {
	name := k.KeyName()
	if !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		return base64.StdEncoding.EncodeToString([]byte(name))
	}
	return name
}

// Fingerprint returns the fingerprint of the public key, or "". Only keys of
// package hpke have one in the message.
func Fingerprint(k *esdk.EncryptedDataKey) string {
	if k.ProviderID != hpke.ProviderID {
		return ""
	}
	if _, fingerprint, err := hpke.ParseProviderInfo(k.ProviderInfo); err == nil {
		return fmt.Sprint(fingerprint)
	}
	return ""
}
