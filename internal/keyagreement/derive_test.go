package keyagreement

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha512"
	"testing"
	"unsafe"
)

// A slice that grows would leave the start of the key in the array before.
func TestExpandStaysInItsMemory(t *testing.T) {
	memory := make([]byte, derivedSpace)
	got := expand(memory[:0], []byte("secret"), []byte("fixed"), []byte("salt"))
	if len(got) < derivedBits/8 || len(got) != cap(got) || &got[0] != &memory[0] {
		t.Errorf("%d bytes, room for %d, at %p; the memory is at %p", len(got), cap(got), got, memory)
	}
}

// The commitment is a part of the memory that held the key.
func TestDeriveClearsTheKey(t *testing.T) {
	secret, fixed, salt := []byte("secret"), []byte("fixed"), []byte("salt")
	commitment, aead, err := derive(secret, fixed, salt)
	if err != nil {
		t.Fatal(err)
	}
	want := expand(make([]byte, 0, derivedSpace), secret, fixed, salt)
	if !bytes.Equal(commitment, want[:commitmentLength]) || len(commitment) != cap(commitment) {
		t.Errorf("commitment is %x with room for %d bytes, want %x", commitment, cap(commitment), want[:commitmentLength])
	}
	all := unsafe.Slice(unsafe.SliceData(commitment), derivedSpace)
	if !bytes.Equal(all[commitmentLength:], make([]byte, derivedSpace-commitmentLength)) {
		t.Errorf("the key's memory holds %x", all[commitmentLength:])
	}
	if aead.NonceSize() != 12 || aead.Overhead() != 16 {
		t.Errorf("IV of %d bytes, tag of %d", aead.NonceSize(), aead.Overhead())
	}
}

func hmac384(key []byte, message string) []byte {
	mac := hmac.New(sha512.New384, key)
	mac.Write([]byte(message))
	return mac.Sum(nil)
}

func TestExpandIsTheKDF(t *testing.T) {
	secret, fixed, salt := []byte("secret"), []byte("fixed"), []byte("salt")
	got := expand(make([]byte, 0, derivedSpace), secret, fixed, salt)
	var want []byte
	for _, counter := range []byte{1, 2} {
		want = append(want, hmac384(secret, "\x00\x00\x00"+string(rune(counter))+"fixed\x00salt\x00\x00\x02\x00")...)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

// With a peer, the two are the parties, whichever encrypted.
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
