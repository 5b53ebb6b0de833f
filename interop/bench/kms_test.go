// Package bench compares the official Go SDK and esdk in one process.
package bench

import (
	"bytes"
	"context"
	"os"
	"testing"
	"time"

	mpltypes "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygeneratedtypes"
	officialtypes "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygeneratedtypes"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"esdk"
	"esdk/awskms"
	"esdk/branchkey"
	"esdk/caching"
	"esdk/esdktest/kmssim"
	"esdk/interop/gosdk"
)

const (
	region  = "us-west-2"
	latency = 5 * time.Millisecond
	size    = 1024
)

// A peer encrypts and decrypts.
type peer struct {
	name             string
	encrypt, decrypt func(ctx context.Context, in []byte) ([]byte, error)
}

func must[T any](b *testing.B) func(T, error) T {
	return func(v T, err error) T {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
		return v
	}
}

// BenchmarkKMS encrypts and decrypts unsigned messages of 1 KiB, in 8
// goroutines, with a KMS that takes 5 ms to answer. Each benchmark reports its
// calls of KMS. DynamoDB is at AWS_ENDPOINT_URL_DYNAMODB, started by run.sh.
func BenchmarkKMS(b *testing.B) {
	if os.Getenv("AWS_ENDPOINT_URL_DYNAMODB") == "" {
		b.Fatal("AWS_ENDPOINT_URL_DYNAMODB is not set: run run.sh here")
	}
	sim := kmssim.New()
	b.Cleanup(sim.Close)
	b.Setenv("AWS_ENDPOINT_URL_KMS", sim.URL())
	arn := sim.CreateKey(region, types.KeySpecSymmetricDefault)
	table, id := newStore(b, arn)
	sim.SetLatency(latency)
	for _, p := range append(ours(b, sim, arn, table, id), theirs(b, arn, table, id)...) {
		plaintext := make([]byte, size)
		message := must[[]byte](b)(p.encrypt(b.Context(), plaintext))
		if back := must[[]byte](b)(p.decrypt(b.Context(), message)); !bytes.Equal(back, plaintext) {
			b.Fatalf("%s: another plaintext came back", p.name)
		}
		b.Run("Encrypt/"+p.name, func(b *testing.B) { run(b, sim, p.encrypt, plaintext) })
		b.Run("Decrypt/"+p.name, func(b *testing.B) { run(b, sim, p.decrypt, message) })
	}
}

func run(b *testing.B, sim *kmssim.Server, do func(context.Context, []byte) ([]byte, error), in []byte) {
	sim.Reset()
	b.SetParallelism(4) // goroutines for each of two cores
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := do(b.Context(), in); err != nil {
				b.Error(err)
				return
			}
		}
	})
	calls := 0
	for _, n := range sim.Counts() {
		calls += n
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	b.ReportMetric(float64(calls)/float64(b.N), "KMS-calls/op")
}

// newStore creates a key store and a branch key for both.
func newStore(b *testing.B, arn string) (table, id string) {
	table = "bench-" + time.Now().Format("150405.000000")
	s := store(b, arn, table)
	if _, err := s.CreateKeyStore(b.Context()); err != nil {
		b.Fatal(err)
	}
	return table, must[string](b)(s.CreateKey(b.Context(), "", nil))
}

func store(b *testing.B, arn, table string) *branchkey.Store {
	c := must[branchkey.Storage](b)(branchkey.NewDynamoDBStorage(dynamodbClient(b), table))
	return must[*branchkey.Store](b)(branchkey.NewStore(branchkey.Config{
		Storage: c, LogicalName: table, KMS: branchkey.KMSConfig{KeyARN: arn},
	}))
}

func dynamodbClient(b *testing.B) *dynamodb.Client {
	c, err := config.LoadDefaultConfig(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return dynamodb.NewFromConfig(c)
}

func ours(b *testing.B, sim *kmssim.Server, arn, table, id string) []peer {
	direct := must[esdk.Keyring](b)(awskms.NewKeyring(awskms.Config{Clients: awskms.FixedClient(sim.Client(region))}, arn))
	cached := must[esdk.CMM](b)(caching.NewCMM(caching.Config{Keyring: direct, MaxAge: time.Minute, MaxMessages: 1000}))
	branch := must[esdk.Keyring](b)(branchkey.NewKeyring(branchkey.KeyringConfig{Store: store(b, arn, table), BranchKeyID: id, TTL: 10 * time.Minute}))
	return []peer{
		our(b, "esdk/call for each", esdk.Config{Keyring: direct}),
		our(b, "esdk/caching CMM", esdk.Config{CMM: cached}),
		our(b, "esdk/branch key", esdk.Config{Keyring: branch}),
	}
}

func our(b *testing.B, name string, c esdk.Config) peer {
	c.Suite = esdk.AES256GCMHKDFSHA512Commit
	client := must[*esdk.Client](b)(esdk.New(c))
	return peer{
		name: name,
		encrypt: func(ctx context.Context, in []byte) ([]byte, error) {
			out, _, err := client.Encrypt(ctx, in, nil)
			return out, err
		},
		decrypt: func(ctx context.Context, in []byte) ([]byte, error) {
			out, _, err := client.Decrypt(ctx, in, nil)
			return out, err
		},
	}
}

// theirs has no caching CMM: the official Go SDK has none.
func theirs(b *testing.B, arn, table, id string) []peer {
	k := must[*gosdk.Keyrings](b)(gosdk.NewKeyrings(""))
	keyring := must[mpltypes.IKeyring](b)
	return []peer{
		their(b, "official Go/call for each", keyring(k.Strict(b.Context(), arn, false))),
		their(b, "official Go/branch key", keyring(k.Branch(b.Context(), table, arn, id))),
	}
}

func their(b *testing.B, name string, kr mpltypes.IKeyring) peer {
	client, err := gosdk.NewClient(mpltypes.ESDKCommitmentPolicyRequireEncryptRequireDecrypt)
	if err != nil {
		b.Fatal(err)
	}
	suite := mpltypes.ESDKAlgorithmSuiteIdAlgAes256GcmHkdfSha512CommitKey
	return peer{
		name: name,
		encrypt: func(ctx context.Context, in []byte) ([]byte, error) {
			out, err := client.Encrypt(ctx, officialtypes.EncryptInput{Plaintext: in, AlgorithmSuiteId: &suite, Keyring: kr})
			if err != nil {
				return nil, err
			}
			return out.Ciphertext, nil
		},
		decrypt: func(ctx context.Context, in []byte) ([]byte, error) {
			out, err := client.Decrypt(ctx, officialtypes.DecryptInput{Ciphertext: in, Keyring: kr})
			if err != nil {
				return nil, err
			}
			return out.Plaintext, nil
		},
	}
}
