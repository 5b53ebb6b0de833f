package vectors

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"esdk"
)

// A materialsTest is a test of awses-mpl-decrypt. It has no message, but
// encrypted data keys from which a CMM must get the data key.
type materialsTest struct {
	Type              string
	Description       string
	ErrorDescription  string                 `json:"errorDescription"`
	Suite             SuiteID                `json:"algorithmSuiteId"`
	Key               *KeyDescription        `json:"keyDescription"`
	Context           esdk.EncryptionContext `json:"encryptionContext"`
	ReproducedContext esdk.EncryptionContext `json:"reproducedEncryptionContext"`
	EncryptedDataKeys []struct {
		ProviderID   string `json:"keyProviderId"`
		ProviderInfo []byte `json:"keyProviderInfo"`
		Ciphertext   []byte `json:"ciphertext"`
	} `json:"encryptedDataKeys"`
	Result struct {
		DataKey      []byte   `json:"plaintextDataKey"`
		RequiredKeys []string `json:"requiredEncryptionContextKeys"`
	}
}

func (l *loader) parseMaterials(text json.RawMessage) (*Case, error) {
	t := new(materialsTest)
	if err := json.Unmarshal(text, t); err != nil {
		return nil, err
	}
	if t.Key == nil {
		return nil, errors.New("no key description")
	}
	c := l.newCase(t.Key, t)
	c.Description = joinDescription(t.Description, t.ErrorDescription)
	if !slices.Contains(esdk.Suites(), esdk.SuiteID(t.Suite)) {
		// Other products, such as database encryption, share the registry of
		// suites and these manifests.
		c.KeyType = fmt.Sprintf("algorithm suite %04x", uint16(t.Suite))
		c.cmm = func() (esdk.CMM, error) { return nil, &UnsupportedError{c.KeyType, ErrUnsupported} }
	}
	switch t.Type {
	case "positive-keyring":
		if len(t.Result.DataKey) == 0 {
			return nil, errors.New("result has no data key")
		}
	case "negative-keyring":
		c.Negative = true
	default:
		return nil, fmt.Errorf("test of type %q is not supported", t.Type)
	}
	return c, nil
}

func (t *materialsTest) request() *esdk.DecryptionRequest {
	req := &esdk.DecryptionRequest{
		Suite:             esdk.SuiteID(t.Suite),
		CommitmentPolicy:  esdk.RequireEncryptAllowDecrypt,
		EncryptionContext: t.Context,
		ReproducedContext: t.ReproducedContext,
	}
	for _, k := range t.EncryptedDataKeys {
		req.EncryptedDataKeys = append(req.EncryptedDataKeys, esdk.EncryptedDataKey(k))
	}
	return req
}

func (t *materialsTest) opens(ctx context.Context, cmm esdk.CMM) error {
	m, err := cmm.DecryptionMaterials(ctx, t.request())
	if err != nil {
		return err
	}
	if !bytes.Equal(m.DataKey, t.Result.DataKey) {
		return errors.New("another data key came out")
	}
	slices.Sort(t.Result.RequiredKeys)
	if !slices.Equal(m.RequiredContextKeys, t.Result.RequiredKeys) {
		return fmt.Errorf("required keys are %q, need %q", m.RequiredContextKeys, t.Result.RequiredKeys)
	}
	return nil
}

func (t *materialsTest) refused(ctx context.Context, cmm esdk.CMM) (refusal, failure error) {
	if _, err := cmm.DecryptionMaterials(ctx, t.request()); err != nil {
		return err, nil
	}
	return nil, errors.New("a data key came out")
}
