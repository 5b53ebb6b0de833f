package branchkey

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"esdk"
	"esdk/awskms"
	"esdk/caching"
	"esdk/internal/fipstest"
)

// Anyone may implement the interfaces of this package. If a method returns
// neither a result nor an error, the call must fail and not panic.

// silentKMS answers one operation with nil, nil.
type silentKMS struct {
	*kms.Client
	silent string
}

func (s silentKMS) Decrypt(ctx context.Context, in *kms.DecryptInput, o ...func(*kms.Options)) (*kms.DecryptOutput, error) {
	if s.silent == "Decrypt" {
		return nil, nil
	}
	return s.Client.Decrypt(ctx, in, o...)
}

func (s silentKMS) GenerateDataKeyWithoutPlaintext(ctx context.Context, in *kms.GenerateDataKeyWithoutPlaintextInput, o ...func(*kms.Options)) (*kms.GenerateDataKeyWithoutPlaintextOutput, error) {
	if s.silent == "GenerateDataKeyWithoutPlaintext" {
		return nil, nil
	}
	return s.Client.GenerateDataKeyWithoutPlaintext(ctx, in, o...)
}

func (s silentKMS) ReEncrypt(ctx context.Context, in *kms.ReEncryptInput, o ...func(*kms.Options)) (*kms.ReEncryptOutput, error) {
	if s.silent == "ReEncrypt" {
		return nil, nil
	}
	return s.Client.ReEncrypt(ctx, in, o...)
}

func TestKMSWithoutAnswer(t *testing.T) {
	k := newKMS(t)
	storage := newFile(t)
	s := k.newStore(t, storage)
	id := ok[string](t)(s.CreateKey(t.Context(), "", nil))
	version := ok[*Key](t)(s.ActiveBranchKey(t.Context(), id)).Version
	former := k.another()
	uses := map[string]string{
		"RekeyBranchKey": "ReEncrypt",
		"CreateKey":      "GenerateDataKeyWithoutPlaintext ReEncrypt", "VersionKey": "GenerateDataKeyWithoutPlaintext ReEncrypt",
		"ActiveBranchKey": "Decrypt", "BranchKeyVersion": "Decrypt", "BeaconKey": "Decrypt",
	}
	for _, silent := range []string{"Decrypt", "GenerateDataKeyWithoutPlaintext", "ReEncrypt"} {
		quiet := k.with(t, storage, func(c *Config) {
			c.Clients = awskms.FixedClient(silentKMS{k.Client(region), silent})
			c.KMS.Former = []string{former}
		})
		for name, operation := range operations(quiet, id, version) {
			err := operation(t.Context())
			if !strings.Contains(uses[name], silent) {
				must(t, err)
			} else if err == nil || !strings.Contains(err.Error(), silent+": ") || !strings.HasSuffix(err.Error(), ": the client returned no answer") {
				t.Errorf("%s with nothing from %s: %v", name, silent, err)
			}
		}
	}
}

// silentDynamoDB returns nil, nil, except for the answers that are set.
type silentDynamoDB struct {
	described []*dynamodb.DescribeTableOutput
	err       error // of DescribeTable, the first time
}

func (s *silentDynamoDB) CreateTable(context.Context, *dynamodb.CreateTableInput, ...func(*dynamodb.Options)) (*dynamodb.CreateTableOutput, error) {
	return nil, nil
}

func (s *silentDynamoDB) DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error) {
	if err := s.err; err != nil {
		s.err = nil
		return nil, err
	}
	if len(s.described) == 0 {
		return nil, nil
	}
	out := s.described[0]
	s.described = s.described[1:]
	return out, nil
}

func (s *silentDynamoDB) GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return nil, nil
}

func (s *silentDynamoDB) Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	return nil, nil
}

func (s *silentDynamoDB) Scan(context.Context, *dynamodb.ScanInput, ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error) {
	return nil, nil
}

func (s *silentDynamoDB) TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	return nil, nil
}

func TestDynamoDBWithoutAnswer(t *testing.T) {
	creating := &dynamodb.DescribeTableOutput{Table: &dynamodbtypes.TableDescription{TableStatus: dynamodbtypes.TableStatusCreating}}
	for name, c := range map[string]struct {
		client    *silentDynamoDB
		operation string
	}{
		"describe": {&silentDynamoDB{}, "DescribeTable"},
		"create":   {&silentDynamoDB{err: &dynamodbtypes.ResourceNotFoundException{}}, "CreateTable"},
		"wait":     {&silentDynamoDB{described: []*dynamodb.DescribeTableOutput{creating}}, "DescribeTable"},
	} {
		s := ok[Storage](t)(NewDynamoDBStorage(c.client, "table"))
		_, err := s.Create(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.operation) || !strings.Contains(err.Error(), "no answer") {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := ok[Storage](t)(NewDynamoDBStorage(&silentDynamoDB{}, "table"))
	if _, err := s.Get(t.Context(), "id", activeType, true); err == nil || errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("GetItem: %v", err)
	}
	for operation, id := range map[string]string{"Scan": "", "Query": "id"} {
		if _, err := collect(s.List(t.Context(), id)); err == nil || !strings.Contains(err.Error(), operation+": the client returned no answer") {
			t.Errorf("%s: %v", operation, err)
		}
	}
}

type silentStorage struct{ Storage }

func (silentStorage) Get(context.Context, string, string, bool) (*Item, error) { return nil, nil }

func TestStorageWithoutItem(t *testing.T) {
	k := newKMS(t)
	s := k.with(t, silentStorage{newFile(t)}, func(*Config) {})
	for name, operation := range operations(s, "key", formatUUID(newUUID())) {
		err := operation(t.Context())
		if name == "CreateKey" { // doesn't read
			wantError(t, err, ErrNoKeyStore)
		} else if err == nil || errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "returned no item") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type silentSource struct{ Source }

func (silentSource) ActiveBranchKey(context.Context, string) (*Key, error)          { return nil, nil }
func (silentSource) BranchKeyVersion(context.Context, string, string) (*Key, error) { return nil, nil }

// silentCache returns no entry, or one without a value.
type silentCache struct {
	caching.Cache
	entry *caching.Entry
}

func (c silentCache) Load(context.Context, string, func(context.Context) (*caching.Entry, error)) (*caching.Entry, error) {
	return c.entry, nil
}

func TestKeyringWithoutAnswer(t *testing.T) {
	source := newSource()
	source.add("a")
	good, _ := wrap(t, newKeyring(t, KeyringConfig{Store: source, BranchKeyID: "a"}))
	later := time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		config KeyringConfig
		want   string
	}{
		"store":      {KeyringConfig{Store: silentSource{source}}, "returned no key"},
		"cache":      {KeyringConfig{Store: source, Cache: silentCache{newCache(t), nil}}, "returned no entry"},
		"no value":   {KeyringConfig{Store: source, Cache: silentCache{newCache(t), &caching.Entry{Created: later}}}, "returned a <nil>"},
		"nil inside": {KeyringConfig{Store: source, Cache: silentCache{newCache(t), &caching.Entry{Value: (*branchKey)(nil), Created: later}}}, "returned a *branchkey"},
	} {
		c.config.BranchKeyID = "a"
		kr := newKeyring(t, c.config)
		_, err := kr.Wrap(t.Context(), wrapRequest)
		_, unwrapErr := unwrap(kr, good.EncryptedDataKeys...)
		for _, err := range []error{err, unwrapErr} {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
		wantError(t, unwrapErr, esdk.ErrNoDataKey)
	}
}

// stubbornCache returns one entry forever, even after it was removed.
type stubbornCache struct {
	caching.Cache
	entry *caching.Entry
	loads int
}

func (c *stubbornCache) Load(ctx context.Context, _ string, fetch func(context.Context) (*caching.Entry, error)) (e *caching.Entry, err error) {
	c.loads++
	if c.entry == nil {
		c.entry, err = fetch(ctx)
	}
	return c.entry, err
}

func (c *stubbornCache) Remove(string, *caching.Entry) {}

// A cache that keeps an entry beyond the TTL doesn't stop a keyring, and the
// keyring doesn't use the entry.
func TestCacheKeepsOldEntry(t *testing.T) {
	fipstest.Bubble(t, func(t *testing.T) {
		source := newSource()
		source.add("a")
		cache := &stubbornCache{Cache: newCache(t)}
		kr := newKeyring(t, KeyringConfig{Store: source, BranchKeyID: "a", Cache: cache, TTL: time.Minute})
		_, first := wrap(t, kr)
		second := source.add("a")
		time.Sleep(time.Minute - 1)
		if _, v := wrap(t, kr); v != first || source.took() != 1 {
			t.Errorf("before its TTL: version %s, first was %s", v, first)
		}
		time.Sleep(time.Nanosecond)
		cache.loads = 0
		if _, v := wrap(t, kr); v != second || source.took() != 1 || cache.loads != loadAttempts {
			t.Errorf("after its TTL: version %s, second was %s, %d loads", v, second, cache.loads)
		}
		source.set(ErrNoKeyStore, nil)
		_, err := kr.Wrap(t.Context(), wrapRequest)
		wantError(t, err, ErrNoKeyStore)
	})
}
