package cli

import "testing"

func TestClosest(t *testing.T) {
	words := []string{"encrypt", "decrypt", "reencrypt", "verify", "inspect", "keys", "keygen", "keystore", "aes", "arn"}
	for wrong, want := range map[string]string{
		"encrpyt": "encrypt", "decrypt ": "decrypt", "dcrypt": "decrypt", "re-encrypt": "reencrypt", "insp": "inspect", "verfiy": "verify",
		"key": "keys", "keystores": "keystore", "xyz": "", "": "", "a": "aes", "aes256": "", "completely": "", "ase": "aes",
	} {
		if got := Closest(wrong, words); got != want {
			t.Errorf("%q: %q, want %q", wrong, got, want)
		}
	}
}
