package keyagreement

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha512"
	"testing"
	"unsafe"
)

// The commitment is a slice of the memory that held the key.
func TestDeriveClearsTheKey(t *testing.T) {
	secret, fixed, salt := []byte("secret"), []byte("fixed"), []byte("salt")
	commitment, aead, err := derive(secret, fixed, salt)
	if err != nil {
		t.Fatal(err)
	}
	want := append(hmac384(secret, "\x00\x00\x00\x01fixed\x00salt\x00\x00\x02\x00"), hmac384(secret, "\x00\x00\x00\x02fixed\x00salt\x00\x00\x02\x00")...)
	if !bytes.Equal(commitment, want[:commitmentLength]) || len(commitment) != cap(commitment) {
		t.Errorf("commitment is %x with room for %d bytes, want %x", commitment, cap(commitment), want[:commitmentLength])
	}
	all := unsafe.Slice(unsafe.SliceData(commitment), derivedLength)
	if !bytes.Equal(all[commitmentLength:], make([]byte, derivedLength-commitmentLength)) {
		t.Errorf("the key's memory holds %x", all[commitmentLength:])
	}
	block, err := aes.NewCipher(want[commitmentLength:derivedLength])
	if err != nil {
		t.Fatal(err)
	}
	same, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	if iv := make([]byte, 12); !bytes.Equal(aead.Seal(nil, iv, salt, fixed), same.Seal(nil, iv, salt, fixed)) {
		t.Error("the AEAD has another key")
	}
}

func hmac384(key []byte, message string) []byte {
	mac := hmac.New(sha512.New384, key)
	mac.Write([]byte(message))
	return mac.Sum(nil)
}

// With a peer, the owner and the peer are the parties, in either direction.
func TestOtherParty(t *testing.T) {
	a, b, c := []byte("a"), []byte("b"), []byte("c")
	info := &Info{Sender: a, Recipient: b}
	for _, test := range []struct{ own, peer, want []byte }{
		{b, nil, a}, {a, nil, nil}, {c, nil, nil},
		{a, b, b}, {b, a, a},
		{a, c, nil}, {c, a, nil}, {b, c, nil}, {c, b, nil}, {a, a, nil}, {b, b, nil}, {c, c, nil},
	} {
		if got := info.OtherParty(test.own, test.peer); !bytes.Equal(got, test.want) || (got == nil) != (test.want == nil) {
			t.Errorf("from %s to %s, for %s with peer %s: %s, want %s", a, b, test.own, test.peer, got, test.want)
		}
	}
}
