package keyspec

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// The hint for a key of unknown kind is short for any key.
func TestUnknownHint(t *testing.T) {
	for text, want := range map[string]string{
		"aes":                    "did you mean aes:[NAMESPACE/NAME]@FILE",
		"eas:n/k@f":              "did you mean aes:",
		"rs:n/k@f":               "did you mean rsa:",
		"ARN:aws:kms":            "did you mean arn:",
		"alais/x":                "did you mean alias/NAME?",
		"kms-discover:aws/1":     "did you mean kms-discovery:",
		"kms-esa:arn":            "did you mean kms-rsa:",
		"pkcs-11:token=t":        "did you mean pkcs11:",
		"vault://orders":         "did you mean hashivault://KEY?",
		"azurekeyvalt://v/k":     "did you mean azurekeyvault://",
		"backup":                 "a key is one of: local ",
		"x":                      "a key is one of: ",
		":":                      "a key is one of: ",
		"AQIDBAUG":               "a key is one of: ",
		strings.Repeat("x", 9e3): "a key is one of: ",
	} {
		got := unknownHint(text)
		if !strings.HasPrefix(got, want) || utf8.RuneCountInString(got) > 160 {
			t.Errorf("%.40s: %d letters: %s", text, utf8.RuneCountInString(got), got)
		}
	}
	for _, f := range forms() {
		if n := utf8.RuneCountInString("did you mean ?" + f.usage); n > 160 {
			t.Errorf("%s: %d letters", f.usage, n)
		}
	}
}

// Names aren't taken for keys.
func TestLooksLikeKey(t *testing.T) {
	for text, want := range map[string]bool{
		"abcdef0123456789abcdef0123456789": true, "q83vEjRWeJCrze8SNFZ4kA==": true, "q83vEjRWeJCrze8SNFZ4kA": true,
		"q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=": true, "q83v": false, "backup-2026-production": false,
		"": false, "something-or-other-of-22": false, "abcdef0123456789": false, "# Name: x": false,
	} {
		if looksLikeKey(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}
