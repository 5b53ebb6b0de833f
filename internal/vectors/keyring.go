package vectors

import (
	"context"
	"errors"
	"fmt"

	"esdk"
)

// A KeyDescription says with what to encrypt or decrypt. Which fields it has
// depends on its type.
type KeyDescription struct {
	Type string `json:"type"`

	// Key is the name of an entry of the keys manifest. Types with two parties
	// have [Keys.Parties] instead, and discovery has none.
	Key string `json:"key,omitempty"`

	// Algorithm is aes or rsa for raw; for aws-kms-rsa, what AWS KMS calls it.
	Algorithm string `json:"encryption-algorithm,omitempty"`

	// Of raw, and of raw-ecdh only because the format has it there.
	ProviderID string `json:"provider-id,omitempty"`
	Padding    string `json:"padding-algorithm,omitempty"`
	Hash       string `json:"padding-hash,omitempty"`

	// Of raw-ecdh and aws-kms-ecdh: the entries for both parties, and which of
	// the parties there is which. The curve and the sender's public key are for
	// other readers: the keys themselves say it.
	Schema             string `json:"schema,omitempty"`
	Curve              string `json:"ecc-curve,omitempty"`
	Sender             string `json:"sender,omitempty"`
	SenderPublicKey    string `json:"sender-public-key,omitempty"`
	Recipient          string `json:"recipient,omitempty"`
	RecipientPublicKey string `json:"recipient-public-key,omitempty"`

	// Of aws-kms-mrk-aware-discovery. Without a filter, all keys may decrypt.
	Region string           `json:"default-mrk-region,omitempty"`
	Filter *DiscoveryFilter `json:"aws-kms-discovery-filter,omitempty"`

	// Of multi-keyring.
	Generator *KeyDescription  `json:"generator,omitempty"`
	Children  []KeyDescription `json:"childKeyrings,omitzero"`

	// Of required-encryption-context-cmm.
	Underlying   *KeyDescription `json:"underlying,omitempty"`
	RequiredKeys []string        `json:"requiredEncryptionContextKeys,omitempty"`
}

// A DiscoveryFilter says whose keys of AWS KMS may decrypt.
type DiscoveryFilter struct {
	Partition string   `json:"partition"`
	Accounts  []string `json:"account-ids"`
}

// A KeyringFunc makes the keyrings for types of keys that this package has none
// for, wherever in a description they are. For types that it has none for
// either, it fails with [ErrUnsupported]. It may be called concurrently, and must
// not change its arguments.
//
// An error of such a keyring that is [ErrInconclusive] has a negative case fail,
// too.
type KeyringFunc func(*KeyDescription, Keys) (esdk.Keyring, error)

// An UnsupportedError is the error for a type of key without a keyring.
type UnsupportedError struct {
	KeyType string
	Err     error // ErrUnsupported, maybe with more to it
}

func (e *UnsupportedError) Error() string { return fmt.Sprintf("key type %q is %v", e.KeyType, e.Err) }

func (e *UnsupportedError) Unwrap() error { return e.Err }

// CMM returns what a description describes, to encrypt or to decrypt: the
// entries that it names, and for key agreement its schema, say which of both it
// can. Types of keyrings that this package does not have are left to more, which
// may be nil. The error is an [*UnsupportedError] if more has none either.
func (ks Keys) CMM(d *KeyDescription, more KeyringFunc) (esdk.CMM, error) {
	return (&keyringMaker{ks, more}).cmm(d)
}

// A keyringMaker makes what descriptions describe.
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

// keyring makes the keyring of a type that this package has none for.
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

// rawECDH returns the keyring of the sender, but for discovery that of the
// recipient.
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

// staticKeyring has the data key itself, whatever the message says. Without one
// it decrypts nothing.
type staticKeyring []byte

func (k staticKeyring) Wrap(context.Context, *esdk.WrapRequest) (*esdk.WrapResult, error) {
	return nil, errors.New("vectors: static keyring only decrypts")
}

func (k staticKeyring) Unwrap(context.Context, *esdk.UnwrapRequest) ([]byte, error) {
	if len(k) == 0 {
		return nil, &esdk.NoDataKeyError{}
	}
	// The caller clears what it gets.
	return append([]byte(nil), k...), nil
}
