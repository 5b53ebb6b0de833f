package datakey

import (
	"bytes"
	"strings"
	"testing"
)

func TestAES(t *testing.T) {
	iv := strings.Repeat("i", 12)
	info := append(AESPrefix("key"), iv...)
	if want := "key\x00\x00\x00\x80\x00\x00\x00\x0c" + iv; string(info) != want {
		t.Fatalf("%q, want %q", info, want)
	}
	if got, err := CutAES(info, "key"); err != nil || string(got) != iv {
		t.Errorf("IV %q, %v", got, err)
	}
	for name, c := range map[string]struct {
		info string
		ours bool
	}{
		"longer name": {"key2" + string(info[3:]), false}, "shorter name": {"ke" + string(info[3:]), false}, "other name": {"kez" + string(info[3:]), false},
		"no IV": {string(info[:11]), false}, "longer IV": {string(info) + "i", false}, "empty": {"", false},
		"tag of 96 bits": {"key\x00\x00\x00\x60\x00\x00\x00\x0c" + iv, true},
	} {
		if IsAES([]byte(c.info), "key") != c.ours {
			t.Errorf("%s: ours: %t", name, !c.ours)
		}
		if got, err := CutAES([]byte(c.info), "key"); err == nil {
			t.Errorf("%s: IV %q", name, got)
		}
	}
}

func TestHPKE(t *testing.T) {
	fingerprint := bytes.Repeat([]byte{7}, FingerprintLength)
	info := (&HPKEInfo{fingerprint, "n"}).Bytes()
	if got, err := ParseHPKE(info); err != nil || got.Name != "n" || !bytes.Equal(got.Fingerprint, fingerprint) {
		t.Errorf("%+v, %v", got, err)
	}
	for name, bad := range map[string][]byte{"empty": nil, "version": append([]byte{2}, info[1:]...), "no name": info[:1+FingerprintLength]} {
		if got, err := ParseHPKE(bad); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if _, err := ParseHPKE(info[:3]); err == nil || !strings.Contains(err.Error(), "has 3 bytes, need more than 17") {
		t.Error(err)
	}
}

func TestName(t *testing.T) {
	aes := string(AESPrefix("backup")) + strings.Repeat("i", 12)
	hpke := string((&HPKEInfo{make([]byte, FingerprintLength), "archive"}).Bytes())
	point := "\x02" + strings.Repeat("p", 32)
	ecdh := "\x01\x00\x00\x00\x21" + point + "\x00\x00\x00\x21" + point
	for _, c := range []struct{ provider, info, want string }{
		{"my-app", aes, "backup"},
		{"my-app", "rsa key", "rsa key"},
		{"my-app", "", ""},
		{"my-app", aes[6:], aes[6:]}, // a name has at least one byte
		{"my-app", "x" + aes[:len(aes)-1], "x" + aes[:len(aes)-1]},
		{"aws-kms", "arn:aws:kms:us-west-2:1:key/2", "arn:aws:kms:us-west-2:1:key/2"},
		{"aws-kms", aes, aes}, // no raw key has this namespace
		{"aws-kms-hierarchy", "tenant-1", "tenant-1"},
		{"esdk-hpke", hpke, "archive"},
		{"esdk-hpke", "\x02later", "\x02later"},
		{"esdk-keeper", "\x01orders", "orders"},
		{"esdk-keeper", "", ""},
		{"raw-ecdh", ecdh, "02" + strings.Repeat("70", 32)},
		{"aws-kms-ecdh", ecdh, "02" + strings.Repeat("70", 32)},
		{"raw-ecdh", ecdh[:37], ecdh[:37]},
		{"raw-ecdh", ecdh[:38], "02" + strings.Repeat("70", 32)},
		{"raw-ecdh", "\x01\x00\x00\x00\x00", ""},
		{"raw-ecdh", "\x01\x00\x00\x00", "\x01\x00\x00\x00"},
		{"raw-ecdh", "\x01\xff\xff\xff\xff", "\x01\xff\xff\xff\xff"},
	} {
		if got := Name(c.provider, []byte(c.info)); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.provider, c.info, got, c.want)
		}
	}
}
