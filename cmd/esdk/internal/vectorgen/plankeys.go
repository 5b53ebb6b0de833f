package vectorgen

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"

	"esdk/internal/vectors"
)

// planKeys are the keys of a plan: the given keys, and new keys of the kinds
// that are missing.
type planKeys struct {
	vectors.Keys
	new vectors.Keys
}

// find returns the name of the first key that fits, or of a new one.
func (ks *planKeys) find(name string, fits func(*vectors.Key) bool, generate func() (*vectors.Key, error)) (string, error) {
	for _, have := range ks.names() {
		if k, err := ks.Get(have); err == nil && fits(&k) {
			return have, nil
		}
	}
	k, err := generate()
	if err != nil {
		return "", err
	}
	return ks.add(name, k), nil
}

func (ks *planKeys) names() []string { return slices.Sorted(maps.Keys(ks.Keys)) }

// add adds a key under a name that no other key has.
func (ks *planKeys) add(name string, k *vectors.Key) string {
	for {
		if _, ok := ks.Keys[name]; !ok {
			break
		}
		name += "-new"
	}
	if k.ID == "" {
		k.ID = name
	}
	k.Encrypt, k.Decrypt = true, k.Type != "public"
	ks.Keys[name], ks.new[name] = *k, *k
	return name
}

func (ks *planKeys) aes(bits int) (name string, err error) {
	fits := func(k *vectors.Key) bool {
		if k.Type != "symmetric" {
			return false
		}
		material, err := k.AESKey()
		return err == nil && 8*len(material) == bits
	}
	return ks.find(fmt.Sprintf("aes-%d", bits), fits, func() (*vectors.Key, error) { return newAES(bits), nil })
}

func newAES(bits int) *vectors.Key {
	material := base64.StdEncoding.EncodeToString(randomBytes(bits / 8))
	return &vectors.Key{Type: "symmetric", Algorithm: "aes", Bits: bits, Encoding: "base64", Material: jsonText(material)}
}

// jsonText returns a string as JSON.
func jsonText(text string) json.RawMessage {
	quoted, _ := json.Marshal(text) // cannot fail
	return quoted
}

const newRSABits = 2048

// rsa returns the names of both entries of a key pair. They have the same key
// ID.
func (ks *planKeys) rsa() (private, public string, err error) {
	private, err = ks.find(fmt.Sprintf("rsa-%d-private", newRSABits), func(k *vectors.Key) bool { return rsaPair(k) != nil }, newRSA)
	if err != nil {
		return "", "", err
	}
	k, err := ks.Get(private)
	if err != nil {
		return "", "", err
	}
	pair := rsaPair(&k)
	fits := func(other *vectors.Key) bool {
		if other.Type != "public" || other.ID != k.ID {
			return false
		}
		key, err := other.RSAPublicKey()
		return err == nil && pair.PublicKey.Equal(key)
	}
	public, err = ks.find(strings.TrimSuffix(private, "-private")+"-public", fits, func() (*vectors.Key, error) {
		der, err := x509.MarshalPKIXPublicKey(&pair.PublicKey)
		return &vectors.Key{Type: "public", ID: k.ID, Algorithm: "rsa", Bits: pair.N.BitLen(), Encoding: "pem", Material: jsonText(pemText("PUBLIC KEY", der))}, err
	})
	return private, public, err
}

// rsaPair returns the key pair of an entry, nil if it has none that is secure.
func rsaPair(k *vectors.Key) *rsa.PrivateKey {
	if k.Type != "private" {
		return nil
	}
	pair, err := k.RSAPrivateKey()
	if err != nil || pair.N.BitLen() < newRSABits {
		return nil
	}
	return pair
}

func newRSA() (*vectors.Key, error) {
	key, err := rsa.GenerateKey(rand.Reader, newRSABits)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return &vectors.Key{Type: "private", ID: fmt.Sprintf("rsa-%d", newRSABits), Algorithm: "rsa", Bits: newRSABits, Encoding: "pem", Material: jsonText(pemText("PRIVATE KEY", der))}, err
}

func pemText(kind string, der []byte) string {
	return strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
}

// curves are the curves of key agreement, by name in manifests.
var curves = []struct {
	name string
	bits int
	ecdh.Curve
}{{"ecc-256", 256, ecdh.P256()}, {"ecc-384", 384, ecdh.P384()}, {"ecc-521", 521, ecdh.P521()}}

// curveOf returns the name of the curve of an entry with both parties, "" if it
// isn't usable.
func curveOf(k *vectors.Key) string {
	s, err := k.Sender().PublicKey()
	if err != nil {
		return ""
	}
	r, err := k.Recipient().PublicKey()
	if err != nil || r.Curve() != s.Curve() {
		return ""
	}
	for _, c := range curves {
		if c.Curve == r.Curve() {
			return c.name
		}
	}
	return ""
}

func (ks *planKeys) ecdh(name string, bits int, curve ecdh.Curve) (string, error) {
	fits := func(k *vectors.Key) bool {
		for _, party := range []*vectors.Party{k.Sender(), k.Recipient()} {
			if private, err := party.PrivateKey(); err != nil || private.Curve() != curve {
				return false
			}
		}
		return curveOf(k) == name
	}
	return ks.find(name+"-private", fits, func() (*vectors.Key, error) {
		k := &vectors.Key{Type: "ecc-private", ID: name, Algorithm: "ecdh", Bits: bits, Encoding: "pem", PublicKeyEncoding: "base64-der"}
		var err error
		if k.SenderMaterial, k.SenderPublicKey, err = newParty(curve); err != nil {
			return nil, err
		}
		k.RecipientMaterial, k.RecipientPublicKey, err = newParty(curve)
		return k, err
	})
}

func newParty(curve ecdh.Curve) (private string, public []byte, err error) {
	key, err := curve.GenerateKey(rand.Reader)
	if err != nil {
		return "", nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", nil, err
	}
	public, err = x509.MarshalPKIXPublicKey(key.PublicKey())
	return pemText("PRIVATE KEY", der), public, err
}

func (ks *planKeys) branch() (string, error) {
	fits := func(k *vectors.Key) bool {
		return k.Type == "static-branch-key" && len(k.BranchKey) == 32 && k.BranchKeyVersion != ""
	}
	return ks.find("static-branch-key-1", fits, func() (*vectors.Key, error) {
		return &vectors.Key{Type: "static-branch-key", ID: newUUID(), BranchKeyVersion: newUUID(), BranchKey: randomBytes(32), BeaconKey: randomBytes(32)}, nil
	})
}

func newUUID() string {
	b := randomBytes(16)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// ofType returns the names of the keys of a type that both encrypt and decrypt.
func (ks *planKeys) ofType(keyType string) (names []string) {
	for _, name := range ks.names() {
		if k := ks.Keys[name]; k.Type == keyType && k.Encrypt && k.Decrypt {
			names = append(names, name)
		}
	}
	return names
}

// manifest returns the keys manifest. It contains the given keys unchanged,
// including fields that this package doesn't know.
func (ks *planKeys) manifest(given []byte) ([]byte, error) {
	var m struct {
		Manifest manifestType               `json:"manifest"`
		Keys     map[string]json.RawMessage `json:"keys"`
	}
	m.Manifest, m.Keys = manifestType{"keys", 2}, map[string]json.RawMessage{}
	if given != nil {
		if err := json.Unmarshal(given, &m); err != nil {
			return nil, err
		}
	}
	for name, k := range ks.new {
		text, err := json.Marshal(k)
		if err != nil {
			return nil, err
		}
		m.Keys[name] = text
	}
	return marshal(m)
}
