package vectors

import (
	"context"
	"errors"
	"fmt"

	"esdk"
)

// A KeyDescription describes the key to encrypt or decrypt with. Its fields
// depend on its type.
type KeyDescription struct {
	Type string `json:"type"`

	// Key is the name of an entry in the keys manifest. Types with two parties
	// have [Keys.Parties] instead, and discovery has neither.
	Key string `json:"key,omitempty"`

	// Algorithm is aes or rsa for raw, and AWS KMS's name for aws-kms-rsa.
	Algorithm string `json:"encryption-algorithm,omitempty"`

	// For raw. For raw-ecdh only because the format has it there.
	ProviderID string `json:"provider-id,omitempty"`
	Padding    string `json:"padding-algorithm,omitempty"`
	Hash       string `json:"padding-hash,omitempty"`

	// For raw-ecdh and aws-kms-ecdh: the entries of both parties, and the role
	// of each. The curve and the sender's public key are for other readers: the
	// keys themselves have them.
	Schema             string `json:"schema,omitempty"`
	Curve              string `json:"ecc-curve,omitempty"`
	Sender             string `json:"sender,omitempty"`
	SenderPublicKey    string `json:"sender-public-key,omitempty"`
	Recipient          string `json:"recipient,omitempty"`
	RecipientPublicKey string `json:"recipient-public-key,omitempty"`

	// For aws-kms-mrk-aware-discovery. Without a filter, all keys may decrypt.
	Region string           `json:"default-mrk-region,omitempty"`
	Filter *DiscoveryFilter `json:"aws-kms-discovery-filter,omitempty"`

	// For multi-keyring.
	Generator *KeyDescription  `json:"generator,omitempty"`
	Children  []KeyDescription `json:"childKeyrings,omitzero"`

	// For required-encryption-context-cmm.
	Underlying   *KeyDescription `json:"underlying,omitempty"`
	RequiredKeys []string        `json:"requiredEncryptionContextKeys,omitempty"`
}

// A DiscoveryFilter names the accounts whose AWS KMS keys may decrypt.
type DiscoveryFilter struct {
	Partition string   `json:"partition"`
	Accounts  []string `json:"account-ids"`
}

// A KeyringFunc makes keyrings for key types that this package doesn't support,
// anywhere in a description. For types that it doesn't support either, it fails
// with [ErrUnsupported]. It may be called concurrently, and must not change its
// arguments.
//
// If such a keyring fails with [ErrInconclusive], a negative case fails too.
type KeyringFunc func(*KeyDescription, Keys) (esdk.Keyring, error)

// An UnsupportedError is the error for a key type without a keyring.
type UnsupportedError struct {
	KeyType string
	Err     error // ErrUnsupported, maybe wrapped
}

func (e *UnsupportedError) Error() string { return fmt.Sprintf("key type %q is %v", e.KeyType, e.Err) }

func (e *UnsupportedError) Unwrap() error { return e.Err }

// CMM returns a CMM for a description. Whether it encrypts or decrypts depends
// on the entries that the description names, and on the schema for key
// agreement. For types of keyrings that this package doesn't support, CMM calls
// more, which may be nil. The error is an [*UnsupportedError] if more doesn't
// support the type either.
func (ks Keys) CMM(d *KeyDescription, more KeyringFunc) (esdk.CMM, error) {
	return (&keyringMaker{ks, more}).cmm(d)
}

// A keyringMaker makes keyrings and CMMs from descriptions.
type keyringMaker struct {
	Keys
	more KeyringFunc
}

func (m *keyringMaker) cmm(d *KeyDescription) (esdk.CMM, error) {
	if d.Type != "required-encryption-context-cmm" {
		kr, err := m.keyring(d)
		if err != nil {
			return nil, err
		}
		return esdk.NewDefaultCMM(kr)
	}
	if d.Underlying == nil {
		return nil, fmt.Errorf("%s has nothing underlying", d.Type)
	}
	underlying, err := m.cmm(d.Underlying)
	if err != nil {
		return nil, err
	}
	return esdk.NewRequiredContextCMM(underlying, d.RequiredKeys...)
}

func (m *keyringMaker) keyring(d *KeyDescription) (esdk.Keyring, error) {
	switch d.Type {
	case "raw":
		return m.raw(d)
	case "raw-ecdh":
		return m.rawECDH(d)
	case "multi-keyring":
		return m.multi(d)
	case "static-material-keyring":
		k, err := m.Get(d.Key)
		return staticKeyring(k.PlaintextDataKey), err
	case "":
		return nil, errors.New("key description has no type")
	}
	return m.more.keyring(d, m.Keys)
}

// keyring makes a keyring of a type that this package doesn't support.
func (more KeyringFunc) keyring(d *KeyDescription, ks Keys) (esdk.Keyring, error) {
	if more == nil {
		return nil, &UnsupportedError{d.Type, ErrUnsupported}
	}
	kr, err := more(d, ks)
	if errors.Is(err, ErrUnsupported) {
		return nil, &UnsupportedError{d.Type, err}
	}
	return kr, err
}

func (ks Keys) raw(d *KeyDescription) (esdk.Keyring, error) {
	k, err := ks.Get(d.Key)
	if err != nil {
		return nil, err
	}
	switch d.Algorithm {
	case "aes":
		material, err := k.AESKey()
		if err != nil {
			return nil, err
		}
		return esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: d.ProviderID, Name: k.ID, Key: material})
	case "rsa":
		c := esdk.RawRSAConfig{Namespace: d.ProviderID, Name: k.ID}
		if err := k.setRSA(&c); err != nil {
			return nil, err
		}
		if err := setRSAPadding(&c, d.Padding, d.Hash); err != nil {
			return nil, err
		}
		return esdk.NewRawRSAKeyring(c)
	}
	return nil, fmt.Errorf("raw key with algorithm %q is not supported", d.Algorithm)
}

// rawECDH returns the sender's keyring, but the recipient's for discovery.
func (ks Keys) rawECDH(d *KeyDescription) (esdk.Keyring, error) {
	if d.Schema == "ephemeral" {
		recipient, err := ks.recipient(d)
		if err != nil {
			return nil, err
		}
		public, err := recipient.PublicKey()
		if err != nil {
			return nil, err
		}
		return esdk.NewRawECDHEphemeralKeyring(public)
	}
	sender, recipient, err := ks.Parties(d)
	if err != nil {
		return nil, err
	}
	if sender != nil {
		return staticECDH(sender, recipient)
	}
	private, err := recipient.PrivateKey()
	if err != nil {
		return nil, err
	}
	return esdk.NewRawECDHDiscoveryKeyring(private)
}

func staticECDH(own, peer *Party) (esdk.Keyring, error) {
	private, err := own.PrivateKey()
	if err != nil {
		return nil, err
	}
	public, err := peer.PublicKey()
	if err != nil {
		return nil, err
	}
	return esdk.NewRawECDHKeyring(esdk.RawECDHConfig{PrivateKey: private, Peer: public})
}

func (m *keyringMaker) multi(d *KeyDescription) (esdk.Keyring, error) {
	var generator esdk.Keyring
	var err error
	if d.Generator != nil {
		if generator, err = m.keyring(d.Generator); err != nil {
			return nil, err
		}
	}
	children := make([]esdk.Keyring, len(d.Children))
	for i := range d.Children {
		if children[i], err = m.keyring(&d.Children[i]); err != nil {
			return nil, err
		}
	}
	return esdk.NewMultiKeyring(generator, children...)
}

// staticKeyring is the data key itself, for any message. An empty one decrypts
// nothing.
type staticKeyring []byte

func (k staticKeyring) Wrap(context.Context, *esdk.WrapRequest) (*esdk.WrapResult, error) {
	return nil, errors.New("vectors: static keyring only decrypts")
}

func (k staticKeyring) Unwrap(context.Context, *esdk.UnwrapRequest) ([]byte, error) {
	if len(k) == 0 {
		return nil, &esdk.NoDataKeyError{}
	}
	// The caller clears the result.
	return append([]byte(nil), k...), nil
}
