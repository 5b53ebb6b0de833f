package vectors

import (
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"esdk"
	"esdk/internal/errtext"
	"esdk/internal/kmsarn"
)

// The ciphertext manifest of version 1.3.0 of the Python SDK is older than the
// others. It names files in the parent of its own directory, which is called
// manifests.

// legacyKeys are the keys by algorithm, AES or RSA, and length in bits.
type legacyKeys map[string]map[string]struct {
	Lines     []string `json:"key"`
	Separator string   `json:"line_separator"`
}

type legacyCase struct {
	Suite      SuiteID           `json:"algorithm"`
	Plaintext  legacyFile        `json:"plaintext"`
	Ciphertext legacyFile        `json:"ciphertext"`
	MasterKeys []legacyMasterKey `json:"master_keys"`
}

type legacyFile struct{ Filename string }

type legacyMasterKey struct {
	ProviderID  string `json:"provider_id"`
	KeyID       string `json:"key_id"`
	Decryptable bool
	Algorithm   string `json:"encryption_algorithm"`
	Bits        int    `json:"key_bits"`
	Padding     string `json:"padding_algorithm"`
	Hash        string `json:"padding_hash"`
}

func (l *loader) loadLegacy() ([]*Case, error) {
	files := l.files
	if filepath.Base(string(files)) == "manifests" {
		files = folderOf(string(files))
	}
	cases := make([]*Case, len(l.TestCases))
	for i, t := range l.TestCases {
		if len(t.MasterKeys) == 0 {
			return nil, fmt.Errorf("test %q: no master keys", t.Ciphertext.Filename)
		}
		cases[i] = &Case{
			ID:          t.Ciphertext.Filename,
			Description: t.describe(),
			KeyType:     t.MasterKeys[0].keyType(),
			cmm:         func() (esdk.CMM, error) { return l.legacyCMM(t.MasterKeys) },
			test: &messageTest{
				ciphertext: func() ([]byte, error) { return files.read(t.Ciphertext.Filename) },
				plaintext:  func() ([]byte, error) { return files.read(t.Plaintext.Filename) },
				suite:      esdk.SuiteID(t.Suite),
				config:     l.config(),
			},
		}
	}
	return cases, nil
}

func (t *legacyCase) describe() string {
	names := make([]string, len(t.MasterKeys))
	for i, k := range t.MasterKeys {
		names[i] = strings.TrimSpace(k.ProviderID + " " + k.Algorithm + " " + k.Padding)
	}
	return "master keys " + strings.Join(names, ", ")
}

// keyType returns the type's name in later manifests.
func (k *legacyMasterKey) keyType() string {
	if k.Algorithm == "" {
		return k.ProviderID
	}
	return "raw"
}

func (l *loader) legacyCMM(masterKeys []legacyMasterKey) (esdk.CMM, error) {
	var children []esdk.Keyring
	for _, k := range masterKeys {
		// The keys that don't decrypt were never written down.
		if !k.Decryptable {
			continue
		}
		more, err := l.legacyKeyrings(&k)
		if err != nil {
			return nil, err
		}
		children = append(children, more...)
	}
	kr, err := esdk.NewMultiKeyring(nil, children...)
	if err != nil {
		return nil, err
	}
	return esdk.NewDefaultCMM(kr)
}

func (l *loader) legacyKeyrings(k *legacyMasterKey) ([]esdk.Keyring, error) {
	switch k.Algorithm {
	case "":
		kr, err := l.legacyProvider(k)
		return []esdk.Keyring{kr}, err
	case "AES":
		return l.TestKeys.aes(k)
	case "RSA":
		kr, err := l.TestKeys.rsa(k)
		return []esdk.Keyring{kr}, err
	}
	return nil, fmt.Errorf("raw key with algorithm %q is not supported", k.Algorithm)
}

// legacyProvider returns the keyring of a key that isn't raw. The manifest
// names AWS KMS keys by their alias, which no message stores: the SDKs of its
// time decrypted with any key that the message names. Here, that's any key of
// the alias's account and Region.
func (l *loader) legacyProvider(k *legacyMasterKey) (esdk.Keyring, error) {
	if k.ProviderID != "aws-kms" {
		return nil, &UnsupportedError{k.ProviderID, ErrUnsupported}
	}
	arn, err := kmsarn.Parse(k.KeyID)
	if err != nil {
		return nil, err
	}
	kr, err := l.options.Keyring.keyring(&KeyDescription{
		Type:   "aws-kms-mrk-aware-discovery",
		Region: arn.Region,
		Filter: &DiscoveryFilter{arn.Partition, []string{arn.Account}},
	}, nil)
	var unsupported *UnsupportedError
	if errors.As(err, &unsupported) {
		unsupported.KeyType = k.ProviderID
	}
	return kr, err
}

// aes returns a keyring for each AES key: the manifest doesn't say which one to
// use.
func (ks legacyKeys) aes(k *legacyMasterKey) ([]esdk.Keyring, error) {
	var keyrings []esdk.Keyring
	for bits, entry := range ks["AES"] {
		material, err := base64.StdEncoding.DecodeString(strings.Join(entry.Lines, entry.Separator))
		if err != nil {
			return nil, fmt.Errorf("AES key of %s bits: %w", bits, errtext.Bare(err))
		}
		kr, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: k.ProviderID, Name: "AES." + bits + "..", Key: material})
		if err != nil {
			return nil, err
		}
		keyrings = append(keyrings, kr)
	}
	if len(keyrings) == 0 {
		return nil, errors.New("manifest has no AES key")
	}
	return keyrings, nil
}

func (ks legacyKeys) rsa(k *legacyMasterKey) (esdk.Keyring, error) {
	bits := strconv.Itoa(k.Bits)
	entry, ok := ks["RSA"][bits]
	if !ok {
		return nil, fmt.Errorf("manifest has no RSA key of %s bits", bits)
	}
	private, err := esdk.ParsePEM[*rsa.PrivateKey]([]byte(strings.Join(entry.Lines, entry.Separator)))
	if err != nil {
		return nil, err
	}
	c := esdk.RawRSAConfig{
		Namespace:  k.ProviderID,
		Name:       strings.Join([]string{"RSA", bits, k.Padding, k.Hash}, "."),
		PrivateKey: private,
	}
	if err := setRSAPadding(&c, k.Padding, k.Hash); err != nil {
		return nil, err
	}
	return esdk.NewRawRSAKeyring(c)
}
