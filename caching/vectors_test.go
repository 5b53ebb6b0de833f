package caching_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"esdk"
	"esdk/caching"
	"esdk/internal/vectors/vectorstest"
)

// A cacheIDVector is a request and the ID that other implementations give its
// materials. The arguments are a partition and the request.
type cacheIDVector struct {
	Arguments [2]json.RawMessage
	ID        string
}

type vectorRequest struct {
	Suite *struct {
		ID uint16
	}
	EncryptionContext esdk.EncryptionContext
	EncryptedDataKeys []struct {
		ProviderID, ProviderInfo, EncryptedDataKey string
	}
}

func (v *cacheIDVector) parse(t *testing.T) (partition string, r vectorRequest) {
	t.Helper()
	if err := json.Unmarshal(v.Arguments[0], &partition); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(v.Arguments[1], &r); err != nil {
		t.Fatal(err)
	}
	return partition, r
}

// signingCMM has materials for any request, and keys for suites that sign.
type signingCMM struct {
	esdk.CMM
	key *ecdsa.PublicKey
}

func (c *signingCMM) DecryptionMaterials(_ context.Context, req *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
	m := &esdk.DecryptionMaterials{EncryptionContext: req.EncryptionContext, DataKey: pattern(req.Suite.DataKeyLength())}
	if req.Suite.Signed() {
		m.VerificationKey = c.key
	}
	return m, nil
}

// TestCacheIDVectors: our IDs are our own, but distinguish the same requests as
// the other implementations' IDs. The same request has the same ID.
func TestCacheIDVectors(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(vectorstest.Dir(t), "kat", "caching-cmm-cache-ids.json"))
	if err != nil {
		t.Fatal(err)
	}
	var set struct{ Encrypt, Decrypt []cacheIDVector }
	if err := json.Unmarshal(text, &set); err != nil {
		t.Fatal(err)
	}
	key := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	under := &signingCMM{defaultCMM(t), &key.PublicKey}
	cache, ids := newCache(t, 1000), make(map[string]bool)
	ask := func(v *cacheIDVector, decrypt bool) {
		partition, r := v.parse(t)
		cmm := must[esdk.CMM](t)(caching.NewCMM(caching.Config{CMM: under, Cache: cache, Partition: partition, MaxAge: time.Hour}))
		suite := esdk.AES256GCMHKDFSHA256
		if r.Suite != nil {
			suite = esdk.SuiteID(r.Suite.ID)
		}
		if !decrypt {
			req := &esdk.EncryptionRequest{EncryptionContext: r.EncryptionContext, CommitmentPolicy: esdk.ForbidEncryptAllowDecrypt}
			if r.Suite != nil {
				req.Suite = suite
			}
			must[*esdk.EncryptionMaterials](t)(cmm.EncryptionMaterials(t.Context(), req))
			return
		}
		req := &esdk.DecryptionRequest{Suite: suite, EncryptionContext: r.EncryptionContext, CommitmentPolicy: esdk.ForbidEncryptAllowDecrypt}
		for _, k := range r.EncryptedDataKeys {
			req.EncryptedDataKeys = append(req.EncryptedDataKeys, esdk.EncryptedDataKey{
				ProviderID: k.ProviderID, ProviderInfo: []byte(k.ProviderInfo), Ciphertext: []byte(k.EncryptedDataKey),
			})
		}
		must[*esdk.DecryptionMaterials](t)(cmm.DecryptionMaterials(t.Context(), req))
	}
	for i, vectors := range [][]cacheIDVector{set.Encrypt, set.Decrypt} {
		for _, v := range vectors {
			ids[fmt.Sprint(i, v.ID)] = true
			ask(&v, i == 1)
			ask(&v, i == 1)
		}
	}
	want := uint64(len(ids))
	if s := cache.Stats(); s.Misses != want || s.Hits != want || want != 6 {
		t.Errorf("%d official ids; %+v", want, s)
	}
}
