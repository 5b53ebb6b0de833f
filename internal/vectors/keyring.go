package vectors

import (
	"context"
	"errors"
	"fmt"

	"esdk"
)

// A keyDescription says with what to decrypt. Which fields it has depends on
// its type.
type keyDescription struct {
	Type string

	// Of raw.
	Key        string
	ProviderID string `json:"provider-id"`
	Algorithm  string `json:"encryption-algorithm"`
	Padding    string `json:"padding-algorithm"`
	Hash       string `json:"padding-hash"`

	// Of raw-ecdh: the entries for both parties, and their fields there.
	Schema             string
	Sender             string
	Recipient          string
	RecipientPublicKey string `json:"recipient-public-key"`

	// Of multi-keyring.
	Generator *keyDescription
	Children  []keyDescription `json:"childKeyrings"`

	// Of required-encryption-context-cmm.
	Underlying   *keyDescription
	RequiredKeys []string `json:"requiredEncryptionContextKeys"`
}

// unsupportedError names a type of key that there is no keyring for here.
type unsupportedError string

func (e unsupportedError) Error() string {
	return fmt.Sprintf("key type %q is not supported", string(e))
}

// cmm returns what a description describes.
func (ks keys) cmm(d *keyDescription) (esdk.CMM, error) {
	if d.Type != "required-encryption-context-cmm" {
		kr, err := ks.keyring(d)
		if err != nil {
			return nil, err
		}
		return esdk.NewDefaultCMM(kr)
	}
	if d.Underlying == nil {
		return nil, fmt.Errorf("%s has nothing underlying", d.Type)
	}
	underlying, err := ks.cmm(d.Underlying)
	if err != nil {
		return nil, err
	}
	return esdk.NewRequiredContextCMM(underlying, d.RequiredKeys...)
}

func (ks keys) keyring(d *keyDescription) (esdk.Keyring, error) {
	switch d.Type {
	case "raw":
		return ks.raw(d)
	case "raw-ecdh":
		return ks.rawECDH(d)
	case "multi-keyring":
		return ks.multi(d)
	case "static-material-keyring":
		k, err := ks.get(d.Key)
		return staticKeyring(k.PlaintextDataKey), err
	case "":
		return nil, errors.New("key description has no type")
	}
	return nil, unsupportedError(d.Type)
}

func (ks keys) raw(d *keyDescription) (esdk.Keyring, error) {
	k, err := ks.get(d.Key)
	if err != nil {
		return nil, err
	}
	switch d.Algorithm {
	case "aes":
		material, err := k.aes()
		if err != nil {
			return nil, err
		}
		return esdk.NewRawAESKeyring(d.ProviderID, k.ID, material)
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

// rawECDH returns the keyring of the sender if both parties are static, else
// that of the recipient.
func (ks keys) rawECDH(d *keyDescription) (esdk.Keyring, error) {
	recipientKey, err := ks.get(d.Recipient)
	if err != nil {
		return nil, err
	}
	recipient, err := recipientKey.party(d.RecipientPublicKey)
	if err != nil {
		return nil, err
	}
	switch d.Schema {
	case "static":
		senderKey, err := ks.get(d.Sender)
		if err != nil {
			return nil, err
		}
		return staticECDH(party{private: senderKey.SenderMaterial}, recipient)
	case "discovery":
		private, err := recipient.privateKey()
		if err != nil {
			return nil, err
		}
		return esdk.NewRawECDHDiscoveryKeyring(private)
	}
	return nil, fmt.Errorf("%s with schema %q is not supported", d.Type, d.Schema)
}

func staticECDH(own, peer party) (esdk.Keyring, error) {
	private, err := own.privateKey()
	if err != nil {
		return nil, err
	}
	public, err := peer.publicKey()
	if err != nil {
		return nil, err
	}
	return esdk.NewRawECDHKeyring(private, public)
}

func (ks keys) multi(d *keyDescription) (esdk.Keyring, error) {
	var generator esdk.Keyring
	var err error
	if d.Generator != nil {
		if generator, err = ks.keyring(d.Generator); err != nil {
			return nil, err
		}
	}
	children := make([]esdk.Keyring, len(d.Children))
	for i := range d.Children {
		if children[i], err = ks.keyring(&d.Children[i]); err != nil {
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
