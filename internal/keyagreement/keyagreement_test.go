package keyagreement

import (
	"bytes"
	"crypto/ecdh"
	"strings"
	"testing"
)

func newInfo(t *testing.T, c *Curve) (*Info, []byte) {
	t.Helper()
	sender, err := c.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	recipient, err := c.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	secret, err := sender.ECDH(recipient.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	return &Info{Curve: c, Sender: Compress(sender.PublicKey()), Recipient: Compress(recipient.PublicKey())}, secret
}

func TestInfo(t *testing.T) {
	lengths := map[string]int{"p256": 33, "p384": 49, "p521": 67}
	for _, c := range curves {
		info, _ := newInfo(t, c)
		b := info.Bytes()
		if n := lengths[c.name]; c.pointLength() != n || len(b) != 1+2*(4+n) {
			t.Errorf("%s: points of %d bytes, info of %d", c.name, c.pointLength(), len(b))
		}
		got, err := c.ParseInfo(b)
		if err != nil || !bytes.Equal(got.Sender, info.Sender) || !bytes.Equal(got.Recipient, info.Recipient) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
		for n := range b {
			if _, err := c.ParseInfo(b[:n]); err == nil {
				t.Errorf("%s: %d of %d bytes are accepted", c.name, n, len(b))
			}
		}
		if _, err := c.ParseInfo(append(bytes.Clone(b), 0)); err == nil {
			t.Errorf("%s: one byte more is accepted", c.name)
		}
		for _, at := range []int{0, 1, 4, 5 + c.pointLength(), 8 + c.pointLength()} {
			bad := bytes.Clone(b)
			bad[at] ^= 1
			if _, err := c.ParseInfo(bad); err == nil {
				t.Errorf("%s: byte %d may be anything", c.name, at)
			}
		}
		for _, other := range curves {
			if _, err := other.ParseInfo(b); (err == nil) != (other == c) {
				t.Errorf("info of %s for %s: %v", c.name, other.name, err)
			}
		}
	}
	for curve, want := range map[ecdh.Curve]*Curve{ecdh.P256(): curves[0], ecdh.P384(): curves[1], ecdh.P521(): curves[2]} {
		if got, err := CurveOf(curve); err != nil || got != want || got.curve != curve {
			t.Errorf("%v: %v, %v", curve, got, err)
		}
	}
	if _, err := CurveOf(ecdh.X25519()); err == nil {
		t.Error("X25519 is a curve of the format")
	}
}

// The order and the separators match the other implementations.
func TestFixedInfo(t *testing.T) {
	info := &Info{Curve: curves[1], Sender: []byte("<S>"), Recipient: []byte("<R>")}
	got := string(info.fixedInfo([]byte("<context>")))
	if want := "ecdh-key-derivation\x00p384\x00HMAC_SHA384\x00<S><R>\x00\x01\x00<context>"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSealOpen(t *testing.T) {
	for _, c := range curves {
		info, secret := newInfo(t, c)
		dataKey, context := []byte("a data key of any length"), []byte("context")
		sealed, err := info.Seal(secret, context, dataKey)
		if err != nil {
			t.Fatal(err)
		}
		if want := 32 + 32 + len(dataKey) + 16; len(sealed) != want {
			t.Errorf("%s: %d bytes, want %d", c.name, len(sealed), want)
		}
		before := bytes.Clone(sealed)
		if got, err := info.Open(secret, context, sealed); err != nil || !bytes.Equal(got, dataKey) || !bytes.Equal(sealed, before) {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
		again, err := info.Seal(secret, context, dataKey)
		if err != nil || bytes.Equal(again[:32], sealed[:32]) || bytes.Equal(again[32:64], sealed[32:64]) {
			t.Errorf("%s: salt or commitment is not new each time: %v", c.name, err)
		}
		for i := range sealed {
			bad := bytes.Clone(sealed)
			bad[i] ^= 0x80
			if _, err := info.Open(secret, context, bad); err == nil {
				t.Errorf("%s: byte %d may be anything", c.name, i)
			}
			if _, err := info.Open(secret, context, sealed[:i]); err == nil {
				t.Errorf("%s: %d bytes are accepted", c.name, i)
			}
		}
		if _, err := info.Open(secret, []byte("another"), sealed); err == nil {
			t.Errorf("%s: another context is accepted", c.name)
		}
		if _, err := info.Open(append([]byte{1}, secret[1:]...), context, sealed); err == nil && secret[0] != 1 {
			t.Errorf("%s: another secret is accepted", c.name)
		}
		swapped := &Info{Curve: c, Sender: info.Recipient, Recipient: info.Sender}
		if _, err := swapped.Open(secret, context, sealed); err == nil {
			t.Errorf("%s: the parties may be swapped", c.name)
		}
	}
}

func TestDecompress(t *testing.T) {
	for _, c := range curves {
		key, err := c.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Decompress(Compress(key.PublicKey()))
		if err != nil || !got.Equal(key.PublicKey()) {
			t.Errorf("%s: %v", c.name, err)
		}
		for _, bad := range []string{"", "\x00", "\x02", "\x04" + strings.Repeat("\x01", c.pointLength()-1), "\x02" + strings.Repeat("\xff", c.pointLength()-1)} {
			if _, err := c.Decompress([]byte(bad)); err == nil {
				t.Errorf("%s: %q is a point", c.name, bad)
			}
		}
	}
}

// Open leaves the length of a data key to its caller.
func TestSealOpenNothing(t *testing.T) {
	info, secret := newInfo(t, curves[0])
	sealed, err := info.Seal(secret, nil, nil)
	if err != nil || len(sealed) != Overhead {
		t.Fatalf("%d bytes, %v", len(sealed), err)
	}
	if got, err := info.Open(secret, nil, sealed); err != nil || len(got) != 0 {
		t.Errorf("%x, %v", got, err)
	}
}
