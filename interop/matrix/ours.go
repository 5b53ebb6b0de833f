package main

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/logging"

	"esdk"
	"esdk/awskms"
	"esdk/branchkey"
	"esdk/hpke"
	"esdk/internal/vectors"
	"esdk/interop/peer"
)

// A library is our side, in this process.
type library struct {
	keys vectors.Keys
	kms  awskms.Config
}

func newLibrary(manifest string) (*library, error) {
	keys, err := vectors.ReadKeys(manifest)
	return &library{keys, awskms.Config{Clients: awskms.DefaultClients()}}, err
}

func (l *library) encrypt(ctx context.Context, t *test, plaintext []byte) ([]byte, error) {
	policy := esdk.ForbidEncryptAllowDecrypt
	if t.suite.Commits {
		policy = esdk.RequireEncryptRequireDecrypt
	}
	c, err := l.client(t.use.encrypt, esdk.Config{Suite: esdk.SuiteID(t.suite.ID), CommitmentPolicy: policy, FrameLength: t.frame})
	if err != nil {
		return nil, err
	}
	if !t.stream {
		message, _, err := c.Encrypt(ctx, plaintext, contexts[t.context])
		return message, err
	}
	var message bytes.Buffer
	w, err := c.NewWriter(ctx, &message, contexts[t.context])
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(w, bytes.NewReader(plaintext)); err != nil {
		return nil, err
	}
	err = w.Close()
	return message.Bytes(), err
}

// decrypt returns the plaintext, and the context without the pair of signing
// suites.
func (l *library) decrypt(ctx context.Context, t *test, k *key, message []byte) ([]byte, map[string]string, error) {
	policy := esdk.RequireEncryptAllowDecrypt
	if t.suite.Commits {
		policy = esdk.RequireEncryptRequireDecrypt
	}
	c, err := l.client(k, esdk.Config{CommitmentPolicy: policy})
	if err != nil {
		return nil, nil, err
	}
	var plaintext []byte
	var header *esdk.Header
	if t.stream {
		var r *esdk.Reader
		if r, err = c.NewReader(ctx, bytes.NewReader(message), t.reproduced); err == nil {
			header = r.Header()
			plaintext, err = io.ReadAll(r)
		}
	} else {
		plaintext, header, err = c.Decrypt(ctx, message, t.reproduced)
	}
	if err != nil {
		return nil, nil, err
	}
	return plaintext, header.EncryptionContext, nil
}

func (l *library) client(k *key, c esdk.Config) (*esdk.Client, error) {
	d := new(vectors.KeyDescription)
	if err := json.Unmarshal(must(json.Marshal(k)), d); err != nil {
		return nil, err
	}
	var err error
	if c.CMM, err = l.keys.CMM(d, l.keyring); err != nil {
		return nil, err
	}
	return esdk.New(c)
}

// keyring makes the keyrings that package vectors lacks.
func (l *library) keyring(d *vectors.KeyDescription, keys vectors.Keys) (esdk.Keyring, error) {
	ctx := context.Background()
	switch d.Type {
	case "aws-kms":
		return awskms.NewKeyring(l.kms, keys[d.Key].ID)
	case "aws-kms-mrk-aware":
		return awskms.NewMRKKeyring(l.kms, keys[d.Key].ID)
	case "aws-kms-discovery":
		return awskms.NewDiscoveryKeyring(l.kms, (*awskms.Filter)(d.Filter))
	case "aws-kms-mrk-aware-discovery":
		return awskms.NewMRKDiscoveryKeyring(l.kms, (*awskms.Filter)(d.Filter), d.Region)
	case "aws-kms-rsa":
		k := keys[d.Key]
		public, err := k.RSAPublicKey()
		if err != nil {
			return nil, err
		}
		hash := map[string]crypto.Hash{"RSAES_OAEP_SHA_1": crypto.SHA1, "RSAES_OAEP_SHA_256": crypto.SHA256}[d.Algorithm]
		return awskms.NewRSAKeyring(l.kms, awskms.RSAConfig{KeyID: k.ID, Hash: hash, PublicKey: public})
	case "aws-kms-ecdh":
		sender, recipient, err := keys.Parties(d)
		if err != nil {
			return nil, err
		}
		public, err := recipient.PublicKey()
		if err != nil {
			return nil, err
		}
		if sender == nil {
			return awskms.NewECDHDiscoveryKeyring(ctx, l.kms, awskms.ECDHConfig{KeyID: recipient.Material, PublicKey: public})
		}
		return awskms.NewECDHKeyring(ctx, l.kms, awskms.ECDHConfig{KeyID: sender.Material, Peer: public})
	case "hpke":
		key, err := hpke.GenerateKey()
		if err != nil {
			return nil, err
		}
		return hpke.NewKeyring(hpke.Config{Name: "matrix", PublicKey: key.PublicKey()})
	case "branch-key":
		parts := strings.Fields(d.Key)
		s, err := l.store(parts[0], parts[1])
		if err != nil {
			return nil, err
		}
		return branchkey.NewKeyring(branchkey.KeyringConfig{Store: s, BranchKeyID: parts[2], TTL: 10 * time.Minute})
	}
	return nil, vectors.ErrUnsupported
}

// store returns a key store with the given KMS key, or with [peer.Discovery].
func (l *library) store(table, arn string) (*branchkey.Store, error) {
	storage, err := l.storage(table)
	if err != nil {
		return nil, err
	}
	if arn == peer.Discovery {
		return l.storeOn(storage, branchkey.KMSConfig{Discovery: true})
	}
	return l.storeOn(storage, branchkey.KMSConfig{KeyARN: arn})
}

func (l *library) storeOn(storage branchkey.Storage, k branchkey.KMSConfig) (*branchkey.Store, error) {
	return branchkey.NewStore(branchkey.Config{Storage: storage, LogicalName: storage.Name(), KMS: k, Clients: l.kms.Clients})
}

func (l *library) storage(table string) (branchkey.Storage, error) {
	// Some answers of DynamoDB Local have wrong checksums, and the AWS SDK
	// warns about them.
	c, err := config.LoadDefaultConfig(context.Background(), config.WithLogger(logging.Nop{}))
	if err != nil {
		return nil, err
	}
	return branchkey.NewDynamoDBStorage(dynamodb.NewFromConfig(c), table)
}

// checkContext reports an error in the context of a message.
func checkContext(t *test, got map[string]string) error {
	got = maps.Clone(got)
	delete(got, "aws-crypto-public-key")
	maps.Copy(got, t.reproduced)
	if !maps.Equal(got, contexts[t.context]) {
		return fmt.Errorf("another encryption context: %q", got)
	}
	return nil
}

func readFile(path string) []byte { return must(os.ReadFile(path)) }
