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

// wholeName names a wrapping key as far as the message does: the provider ID, a slash, and
// the name.
func wholeName(k *esdk.EncryptedDataKey) string { return k.ProviderID + "/" + cli.KeyName(k) }

// Shown returns what may be shown of the name of an input as it is given: the parameters of a
// URL, but for the version, may be secret.
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

// Visible returns a text in which all characters are seen: one that has no picture, ends
// the line or changes the direction of text is told by its number.
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

// maxText is the most bytes of a text of a message that is kept. Names of keys have fewer,
// unless somebody wants to fill the memory.
const maxText = 512

// cut bounds a text. Different texts stay different.
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

// A Pattern is the name of a wrapping key, in which * stands for any characters.
type Pattern string

// namespaces are the provider ids that aren't the namespace of somebody's raw key, so that
// the name alone says which key is meant.
var namespaces = []string{hpke.ProviderID, "esdk-keeper", "raw-ecdh"}

// Match reports whether a wrapping key has the name: its whole name, or without the provider
// id if that is of a kind of keys, and not a user's namespace.
func (p Pattern) Match(k *esdk.EncryptedDataKey) bool {
	if glob(string(p), wholeName(k)) {
		return true
	}
	reserved := strings.HasPrefix(k.ProviderID, "aws-kms") || slices.Contains(namespaces, k.ProviderID)
	return reserved && glob(string(p), cli.KeyName(k))
}

// MatchAny reports whether a message has a data key under a wrapping key of the name.
func (p Pattern) MatchAny(h *esdk.Header) bool {
	return slices.ContainsFunc(h.EncryptedDataKeys, func(k esdk.EncryptedDataKey) bool { return p.Match(&k) })
}

// glob reports whether a text is as a pattern, in which each * stands for any characters,
// slashes too.
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
