package cli

import (
	"encoding/json"
	"testing"
	"unicode"
)

// FuzzJSON checks that JSON keeps its input, and prints nothing that a terminal
// would act on.
func FuzzJSON(f *testing.F) {
	for _, text := range []string{"", "a<b>&c", "tab\tline\nend", "\u009b31m", "\u202eevil", "\u2066x\u2069", "\U000e0041", "\U0001f512 ü", "\x7f", "\u2028", "\ufeff", "\x80"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		line, err := JSON(map[string]string{text: text})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range string(line[:len(line)-1]) {
			if !unicode.IsPrint(r) {
				t.Fatalf("%q has %U", line, r)
			}
		}
		var got, want map[string]string
		plain, err := json.Marshal(map[string]string{text: text})
		if err != nil {
			t.Fatal(err)
		}
		if json.Unmarshal(line, &got) != nil || json.Unmarshal(plain, &want) != nil || len(got) != 1 {
			t.Fatalf("%q is not JSON", line)
		}
		for k, v := range want {
			if got[k] != v {
				t.Fatalf("%q says %q, want %q", line, got[k], v)
			}
		}
	})
}
