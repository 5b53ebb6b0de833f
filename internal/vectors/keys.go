package vectors

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"esdk"
	"esdk/internal/errtext"
)

// Keys are the entries of a keys manifest by name.
type Keys map[string]Key

// A Key is one entry. Its fields depend on its type.
type Key struct {
	Type          string          `json:"type"`
	ID            string          `json:"key-id,omitempty"`
	Encrypt       bool            `json:"encrypt"`
	Decrypt       bool            `json:"decrypt"`
	Algorithm     string          `json:"algorithm,omitempty"`
	Bits          int             `json:"bits,omitempty"`
	Encoding      string          `json:"encoding,omitempty"`
	Material      json.RawMessage `json:"material,omitempty"` // text, or a list of lines in version 1
	LineSeparator string          `json:"line-separator,omitempty"`

	// An entry for key agreement holds both parties.
	SenderMaterial     string `json:"sender-material,omitempty"`
	RecipientMaterial  string `json:"recipient-material,omitempty"`
	PublicKeyEncoding  string `json:"public-key-encoding,omitempty"`
	SenderPublicKey    []byte `json:"sender-material-public-key,omitempty"`
	RecipientPublicKey []byte `json:"recipient-material-public-key,omitempty"`

	// For static-material.
	PlaintextDataKey []byte `json:"plaintextDataKey,omitempty"`

	// For static-branch-key. The beacon key encrypts no message.
	BranchKeyVersion string `json:"branchKeyVersion,omitempty"`
	BranchKey        []byte `json:"branchKey,omitempty"`
	BeaconKey        []byte `json:"beaconKey,omitempty"`
}

// ReadKeys reads a keys manifest from a file.
func ReadKeys(path string) (Keys, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("vectors: %w", errtext.Bare(err))
	}
	ks, err := ParseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("vectors: %s: %w", path, errtext.Bare(err))
	}
	return ks, nil
}

// ParseKeys parses a keys manifest of version 1, 2 or 3.
func ParseKeys(text []byte) (Keys, error) {
	var d struct {
		Manifest struct {
			Type    string
			Version int
		}
		Keys Keys
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, err
	}
	if m := d.Manifest; m.Type != "keys" || m.Version < 1 || m.Version > 3 {
		return nil, fmt.Errorf("manifest of type %q, version %d, is not supported", m.Type, m.Version)
	}
	return d.Keys, nil
}

// Get returns the entry with a name. The name is also its key ID if it has
// none.
func (ks Keys) Get(name string) (Key, error) {
	k, ok := ks[name]
	if !ok {
		return Key{}, fmt.Errorf("no key %q in the keys manifest", name)
	}
	if k.ID == "" {
		k.ID = name
	}
	return k, nil
}

// text returns the material as text.
func (k *Key) text() (string, error) {
	var lines []string
	if json.Unmarshal(k.Material, &lines) == nil {
		return strings.Join(lines, k.LineSeparator), nil
	}
	var text string
	if err := json.Unmarshal(k.Material, &text); err != nil {
		return "", fmt.Errorf("material of key %q: %w", k.ID, errtext.Bare(err))
	}
	return text, nil
}

// AESKey returns the key of an entry for an AES key.
func (k *Key) AESKey() ([]byte, error) {
	text, err := k.text()
	if err != nil {
		return nil, err
	}
	if k.Encoding != "base64" {
		return nil, fmt.Errorf("key %q: encoding %q of an AES key is not supported", k.ID, k.Encoding)
	}
	return base64.StdEncoding.DecodeString(text)
}

// setRSA sets the public key of a configuration, and the private key if the
// entry has it.
func (k *Key) setRSA(c *esdk.RawRSAConfig) (err error) {
	switch k.Type {
	case "private":
		if c.PrivateKey, err = k.RSAPrivateKey(); err != nil {
			return err
		}
		c.PublicKey = &c.PrivateKey.PublicKey
	case "public":
		c.PublicKey, err = k.RSAPublicKey()
	default:
		err = fmt.Errorf("key %q: type %q of an RSA key is not supported", k.ID, k.Type)
	}
	return err
}

// RSAPrivateKey returns the key of an entry for a private RSA key.
func (k *Key) RSAPrivateKey() (*rsa.PrivateKey, error) {
	pem, err := k.text()
	if err != nil {
		return nil, err
	}
	return esdk.ParsePEM[*rsa.PrivateKey]([]byte(pem))
}

// RSAPublicKey returns the key of an entry for a public RSA key.
func (k *Key) RSAPublicKey() (*rsa.PublicKey, error) {
	pem, err := k.text()
	if err != nil {
		return nil, err
	}
	return esdk.ParsePEM[*rsa.PublicKey]([]byte(pem))
}

// setRSAPadding sets the padding by its name in manifests, in any case.
func setRSAPadding(c *esdk.RawRSAConfig, padding, hash string) error {
	switch strings.ToLower(padding) {
	case "pkcs1":
		c.PKCS1v15 = true
		return nil
	case "oaep-mgf1":
	default:
		return fmt.Errorf("RSA padding %q is not supported", padding)
	}
	switch strings.ReplaceAll(strings.ToLower(hash), "-", "") {
	case "sha1":
		c.Hash = crypto.SHA1
	case "sha256":
		c.Hash = crypto.SHA256
	case "sha384":
		c.Hash = crypto.SHA384
	case "sha512":
		c.Hash = crypto.SHA512
	default:
		return fmt.Errorf("RSA padding hash %q is not supported", hash)
	}
	return nil
}

// A Party is a party of a key agreement.
type Party struct {
	Material string // the private key in PEM, or the ARN of one in AWS KMS
	public   []byte // DER
}

// Parties returns the parties that agree on a secret. The sender is nil if the
// schema is discovery: then it can be anyone.
func (ks Keys) Parties(d *KeyDescription) (sender, recipient *Party, err error) {
	if recipient, err = ks.recipient(d); err != nil {
		return nil, nil, err
	}
	switch d.Schema {
	case "static":
		k, err := ks.Get(d.Sender)
		return k.Sender(), recipient, err
	case "discovery":
		return nil, recipient, nil
	}
	return nil, nil, fmt.Errorf("%s with schema %q is not supported", d.Type, d.Schema)
}

func (ks Keys) recipient(d *KeyDescription) (*Party, error) {
	k, err := ks.Get(d.Recipient)
	if err != nil {
		return nil, err
	}
	return k.party(d.RecipientPublicKey)
}

// Sender returns the sender of an entry for key agreement.
func (k *Key) Sender() *Party { return &Party{k.SenderMaterial, k.SenderPublicKey} }

// Recipient returns the recipient of an entry for key agreement.
func (k *Key) Recipient() *Party { return &Party{k.RecipientMaterial, k.RecipientPublicKey} }

// party returns one of the parties, by the name of its field in the manifest.
func (k *Key) party(field string) (*Party, error) {
	switch strings.TrimSuffix(field, "-public-key") {
	case "sender-material":
		return k.Sender(), nil
	case "recipient-material":
		return k.Recipient(), nil
	}
	return nil, fmt.Errorf("key %q: field %q is not supported", k.ID, field)
}

// PrivateKey returns the private key. It fails if AWS KMS holds the key.
func (p *Party) PrivateKey() (*ecdh.PrivateKey, error) {
	return esdk.ParsePEM[*ecdh.PrivateKey]([]byte(p.Material))
}

// PublicKey returns the public key in the keys manifest.
func (p *Party) PublicKey() (*ecdh.PublicKey, error) {
	public, err := x509.ParsePKIXPublicKey(p.public)
	if err != nil {
		return nil, err
	}
	k, ok := public.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("public key is a %T, need one for ECDH", public)
	}
	return k.ECDH()
}
