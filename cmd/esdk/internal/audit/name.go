package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"esdk"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/object"
	"esdk/hpke"
)

// wholeName returns the name of a wrapping key as in the message: the provider
// ID, a slash, and the name.
func wholeName(k *esdk.EncryptedDataKey) string { return k.ProviderID + "/" + cli.KeyName(k) }

// Shown returns the name of an input for display. It removes the parameters of
// a URL, except for the version, since they may be secret.
func Shown(given string) string {
	name, query, _ := strings.Cut(given, "?")
	if !object.IsURL(name) {
		return given
	}
	query, mark, marked := strings.Cut(query, "#")
	if marked {
		mark = "#" + mark
	}
	for parameter := range strings.SplitSeq(query, "&") {
		if strings.HasPrefix(parameter, "versionId=") {
			return name + "?" + parameter + mark
		}
	}
	return name + mark
}

// Visible returns a text without invisible characters. It replaces a character
// that isn't printable, ends the line or changes the direction of text by its
// number.
func Visible(text string) string {
	if !strings.ContainsFunc(text, hidden) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if hidden(r) {
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func hidden(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }

// maxText is the largest length of a text from a message that is kept, in
// bytes. Names of keys are shorter, unless somebody wants to exhaust the
// memory.
const maxText = 512

// cut limits the length of a text. Different texts stay different.
func cut(text string) string {
	if len(text) <= maxText {
		return text
	}
	start := text[:maxText-64]
	for !utf8.ValidString(start) && utf8.ValidString(text) {
		start = start[:len(start)-1]
	}
	sum := sha256.Sum256([]byte(text))
	return fmt.Sprintf("%s… (%d bytes, SHA-256 %s…)", start, len(text), hex.EncodeToString(sum[:8]))
}

// A Pattern is the name of a wrapping key, in which * stands for any
// characters.
type Pattern string

// namespaces are provider IDs that are never namespaces of raw keys, so that
// the name alone identifies a key.
var namespaces = []string{hpke.ProviderID, "esdk-keeper", "raw-ecdh"}

// Match reports whether a wrapping key matches the pattern. The pattern may
// omit the provider ID if that stands for a kind of keys and isn't a user's
// namespace.
func (p Pattern) Match(k *esdk.EncryptedDataKey) bool {
	if glob(string(p), wholeName(k)) {
		return true
	}
	reserved := strings.HasPrefix(k.ProviderID, "aws-kms") || slices.Contains(namespaces, k.ProviderID)
	return reserved && glob(string(p), cli.KeyName(k))
}

// MatchAny reports whether a message has a data key under a matching wrapping
// key.
func (p Pattern) MatchAny(h *esdk.Header) bool {
	return slices.ContainsFunc(h.EncryptedDataKeys, func(k esdk.EncryptedDataKey) bool { return p.Match(&k) })
}

// glob reports whether a text matches a pattern, in which each * stands for any
// characters, including slashes.
func glob(pattern, text string) bool {
	start, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, start)
	for ok && star {
		pattern = rest
		if start, rest, star = strings.Cut(pattern, "*"); !star {
			return strings.HasSuffix(text, pattern)
		}
		_, text, ok = strings.Cut(text, start)
	}
	return ok
}
