package branchkey

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"esdk"
	"esdk/awskms"
	"esdk/esdktest/kmssim"
)

const region = "us-west-2"

func ok[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantError checks that an error matches all targets. A target that is a
// pointer is for errors.As.
func wantError(t testing.TB, err error, targets ...any) {
	t.Helper()
	for _, target := range targets {
		if sentinel, is := target.(error); is {
			if !errors.Is(err, sentinel) {
				t.Errorf("error %v, want one that matches %v", err, sentinel)
			}
		} else if !errors.As(err, target) {
			t.Errorf("error %v, want one that has a %T", err, target)
		}
	}
}

// kmsEnv is a KMS with a key.
type kmsEnv struct {
	*kmssim.Server
	arn string
}

func newKMS(t testing.TB) *kmsEnv {
	s := kmssim.New()
	t.Cleanup(s.Close)
	return &kmsEnv{s, s.CreateKey(region, types.KeySpecSymmetricDefault)}
}

// another makes another key.
func (k *kmsEnv) another() string { return k.CreateKey(region, types.KeySpecSymmetricDefault) }

func (k *kmsEnv) clients() awskms.Clients { return awskms.FixedClient(k.Client(region)) }

// newMRK makes a multi-Region key and a replica of it.
func (k *kmsEnv) newMRK(replicaRegion string) (primary, replica string) {
	primary = k.CreateMultiRegionKey(region, types.KeySpecSymmetricDefault)
	return primary, k.Replicate(primary, replicaRegion)
}

// config returns the configuration of a Store with the key of the environment.
func (k *kmsEnv) config(storage Storage) Config {
	return Config{
		Storage:     storage,
		LogicalName: "logical",
		KMS:         KMSConfig{KeyARN: k.arn},
		Clients:     k.clients(),
		GrantTokens: []string{"token-1"},
	}
}

func newFile(t testing.TB) Storage {
	return ok[Storage](t)(NewFileStorage(filepath.Join(t.TempDir(), "keys.db")))
}

// newStore returns a Store with the key of the environment, in a new key store.
func (k *kmsEnv) newStore(t testing.TB, storage Storage) *Store {
	t.Helper()
	c := k.config(storage)
	c.GrantTokens = nil
	s := ok[*Store](t)(NewStore(c))
	ok[string](t)(s.CreateKeyStore(t.Context()))
	return s
}

// with returns another Store on the same storage.
func (k *kmsEnv) with(t testing.TB, storage Storage, change func(*Config)) *Store {
	t.Helper()
	c := k.config(storage)
	c.GrantTokens = nil
	change(&c)
	return ok[*Store](t)(NewStore(c))
}

// A backend is a kind of storage that the tests run on.
type backend struct {
	name string
	// new returns a storage that is not created yet.
	new func(t testing.TB) Storage
	// put writes an item unconditionally.
	put func(t testing.TB, s Storage, item *Item)
	del func(t testing.TB, s Storage, id, itemType string)

	// notIsolated means that transactions are atomic only if they run one at a
	// time, as in moto.
	notIsolated bool
}

func (b *backend) needsIsolation(t testing.TB) {
	t.Helper()
	if b.notIsolated {
		t.Skip("NOT run with moto: it lets transactions run into each other")
	}
}

var tables atomic.Int64

// eachBackend runs a test with the file, and with the DynamoDB at
// ESDK_DYNAMODB_URL.
func eachBackend(t *testing.T, test func(t *testing.T, b backend)) {
	t.Run("file", func(t *testing.T) { test(t, fileBackend) })
	t.Run("DynamoDB", func(t *testing.T) { test(t, dynamoDBBackend(t)) })
}

func dynamoDBClient(t testing.TB) *dynamodb.Client {
	t.Helper()
	url := os.Getenv("ESDK_DYNAMODB_URL")
	if url == "" {
		const text = "NOT run with DynamoDB: ESDK_DYNAMODB_URL is not set"
		if os.Getenv("ESDK_REQUIRE_BACKENDS") != "" {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	return newDynamoDBClient(url)
}

func newDynamoDBClient(url string) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		Region:       region,
		BaseEndpoint: &url,
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxBackoff = 5 * time.Millisecond
		}),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "testing", SecretAccessKey: "testing"}, nil
		}),
	})
}

func isMoto(t testing.TB, url string) bool {
	t.Helper()
	response := ok[*http.Response](t)(http.Get(url))
	response.Body.Close()
	return strings.Contains(response.Header.Get("Server"), "Werkzeug")
}

// newTableName returns a name that no other test uses, in this process or
// another.
func newTableName() string {
	return fmt.Sprintf("esdk-%d-%d-%s", os.Getpid(), tables.Add(1), formatUUID(newUUID())[:8])
}

func dynamoDBBackend(t testing.TB) backend {
	client := dynamoDBClient(t)
	return backend{
		name:        "DynamoDB",
		notIsolated: isMoto(t, os.Getenv("ESDK_DYNAMODB_URL")),
		new: func(t testing.TB) Storage {
			table := newTableName()
			t.Cleanup(func() {
				client.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: &table})
			})
			return ok[Storage](t)(NewDynamoDBStorage(client, table))
		},
		put: func(t testing.TB, s Storage, item *Item) {
			ok[*dynamodb.PutItemOutput](t)(client.PutItem(t.Context(), &dynamodb.PutItemInput{
				TableName: aws.String(s.Name()), Item: encodeItem(item),
			}))
		},
		del: func(t testing.TB, s Storage, id, itemType string) {
			key := encodeItem(&Item{ID: id, Type: itemType})
			delete(key, encAttribute)
			ok[*dynamodb.DeleteItemOutput](t)(client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{
				TableName: aws.String(s.Name()), Key: key,
			}))
		},
	}
}

// collect returns the elements of a list, up to its first error.
func collect[T any](list iter.Seq2[T, error]) (all []T, err error) {
	for v, err := range list {
		if err != nil {
			return all, err
		}
		all = append(all, v)
	}
	return all, nil
}

func cloneItem(i *Item) *Item {
	c := *i
	c.Enc = append([]byte(nil), i.Enc...)
	c.Attributes = maps.Clone(i.Attributes)
	return &c
}

var customContext = esdk.EncryptionContext{"tenant": "17", "Ünïcode": "\U0001F600", "empty": ""}

// withoutSecret reports whether text doesn't contain the secret of k.
func withoutSecret(text string, k *Key) bool {
	return !strings.Contains(text, string(k.Secret[:8])) && !strings.Contains(text, fmt.Sprint(k.Secret[:4])[1:8])
}
