package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// JSON returns a value as a line of JSON that is safe to print on a terminal.
// It escapes characters that could move the cursor or change the direction of
// text, since names and encryption contexts come from files that anybody can
// have written.
func JSON(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	line := b.Bytes()
	if !bytes.ContainsFunc(line, escaped) {
		return line, nil
	}
	var out []byte
	for _, r := range string(line) { // outside of its strings, JSON is ASCII
		switch {
		case !escaped(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out, nil
}

// escaped reports whether a character isn't printable. The encoder has already
// escaped the control characters of ASCII, except for DEL and the line end.
func escaped(r rune) bool { return r >= utf8.RuneSelf && !unicode.IsPrint(r) || r == 0x7f }

// PrintJSON prints a result as JSON.
func (u *UI) PrintJSON(v any) error {
	line, err := JSON(v)
	if err != nil {
		return err
	}
	_, err = u.Stdout.Write(line)
	return err
}

// Bytes returns the name of a file if it isn't UTF-8, and nil otherwise. The
// text in JSON can't represent such a name.
func Bytes(name string) []byte {
	if utf8.ValidString(name) {
		return nil
	}
	return []byte(name)
}
