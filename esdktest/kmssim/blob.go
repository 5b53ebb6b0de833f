package kmssim

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// A ciphertext of a symmetric key is
//
//	"KMSSIM" | 01 | u8 length of id | id | nonce[12] | AES-256-GCM(plaintext) | tag[16]
//
// where id is the key's ID without its region, so that related multi-Region
// keys open it. Everything before the nonce and the encryption context are
// authenticated too. KMS's own format isn't public.
const blobMagic = "KMSSIM\x01"

// maxContext is KMS's limit on the size of an encryption context.
const maxContext = 8192

// seal encrypts under a symmetric key.
func (k *key) seal(plaintext []byte, ec map[string]string) []byte {
	prefix := []byte(blobMagic)
	prefix = append(prefix, byte(len(k.id)))
	prefix = append(prefix, k.id...)
	return k.material.symmetric.Seal(slices.Clip(prefix), nil, plaintext, blobAAD(prefix, ec))
}

// open decrypts under a symmetric key.
func (k *key) open(blob []byte, ec map[string]string) ([]byte, error) {
	id, ok := blobKey(blob)
	if !ok || id != k.id {
		return nil, errInvalidCiphertext
	}
	n := len(blobMagic) + 1 + len(id)
	plaintext, err := k.material.symmetric.Open(nil, nil, blob[n:], blobAAD(blob[:n], ec))
	if err != nil {
		return nil, errInvalidCiphertext
	}
	return plaintext, nil
}

// blobKey returns the key ID that a ciphertext claims.
func blobKey(blob []byte) (string, bool) {
	rest, ok := strings.CutPrefix(string(blob), blobMagic)
	if !ok || rest == "" || len(rest) < 1+int(rest[0]) {
		return "", false
	}
	return rest[1 : 1+int(rest[0])], true
}

// blobAAD joins a self-delimiting prefix and the encryption context.
func blobAAD(prefix []byte, ec map[string]string) []byte {
	aad := slices.Clone(prefix)
	for _, name := range slices.Sorted(maps.Keys(ec)) {
		for _, s := range []string{name, ec[name]} {
			aad = binary.BigEndian.AppendUint32(aad, uint32(len(s)))
			aad = append(aad, s...)
		}
	}
	return aad
}

func checkContext(member string, ec map[string]string) error {
	total := 0
	for name, value := range ec {
		if name == "" {
			return constraint(member, "with an empty key", "have keys of length greater than or equal to 1")
		}
		total += utf8.RuneCountInString(name) + utf8.RuneCountInString(value)
	}
	if total > maxContext {
		return constraint(member, "of more than 8192 characters", "have length less than or equal to 8192")
	}
	return nil
}
