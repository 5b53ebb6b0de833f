package branchkey

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"esdk"
	"esdk/awskms"
	"esdk/esdktest/kmssim"
)

// operations returns all operations that call AWS KMS, on an existing branch
// key. A Store that knows two KMS keys re-keys to the key that the branch key
// is not under.
func operations(s *Store, id, version string) map[string]func(context.Context) error {
	all := map[string]func(context.Context) error{
		"CreateKey":        func(ctx context.Context) error { _, err := s.CreateKey(ctx, "", nil); return err },
		"VersionKey":       func(ctx context.Context) error { return s.VersionKey(ctx, id) },
		"ActiveBranchKey":  func(ctx context.Context) error { _, err := s.ActiveBranchKey(ctx, id); return err },
		"BranchKeyVersion": func(ctx context.Context) error { _, err := s.BranchKeyVersion(ctx, id, version); return err },
		"BeaconKey":        func(ctx context.Context) error { _, err := s.BeaconKey(ctx, id); return err },
	}
	if former := s.config.KMS.Former; len(former) > 0 {
		all["RekeyBranchKey"] = func(ctx context.Context) error {
			active, err := s.get(ctx, id, activeType)
			if err != nil {
				return err
			}
			to := former[0]
			if active.Attributes[kmsARNAttribute] == to {
				to = s.configuredARN()
			}
			_, err = s.RekeyBranchKey(ctx, id, to)
			return err
		}
	}
	return all
}

// newOperations also returns the fake DynamoDB of the operations.
func newOperations(t *testing.T, k *kmsEnv) (map[string]func(context.Context) error, *fakeDynamoDB) {
	db := newFakeDynamoDB(t)
	s := k.with(t, db.storage(t), func(c *Config) { c.KMS.Former = []string{k.another()} })
	ok[string](t)(s.CreateKey(t.Context(), "key", customContext))
	version := ok[*Key](t)(s.ActiveBranchKey(t.Context(), "key")).Version
	return operations(s, "key", version), db
}

func apiCode(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// TestKMSFaults makes AWS KMS fail or answer wrongly in each operation. Then
// nothing is written.
func TestKMSFaults(t *testing.T) {
	k := newKMS(t)
	all, db := newOperations(t, k)
	editKeyID := func(name string) *kmssim.Fault {
		return &kmssim.Fault{Edit: func(out map[string]any) {
			if _, ok := out[name]; ok {
				out[name] = k.arn + "0"
			}
		}}
	}
	code := func(c string) *kmssim.Fault { return &kmssim.Fault{Code: c, Message: "injected"} }
	for _, f := range []struct {
		name  string
		fault *kmssim.Fault
		only  string // operations of KMS
		check func(error) bool
	}{
		{"access denied", code("AccessDeniedException"), "", func(err error) bool {
			return apiCode(err) == "AccessDeniedException" && strings.Contains(err.Error(), k.arn)
		}},
		{"throttled", code("ThrottlingException"), "", func(err error) bool { return apiCode(err) == "ThrottlingException" }},
		{"disabled", code("DisabledException"), "", func(err error) bool {
			var disabled *types.DisabledException
			return errors.As(err, &disabled)
		}},
		{"incorrect key", code("IncorrectKeyException"), "Decrypt ReEncrypt", func(err error) bool { return errors.Is(err, ErrItem) }},
		{"other key", editKeyID("KeyId"), "", func(err error) bool { return errors.Is(err, ErrKMSKey) }},
		{"other source key", editKeyID("SourceKeyId"), "ReEncrypt", func(err error) bool { return errors.Is(err, ErrKMSKey) }},
		{"no key", &kmssim.Fault{Edit: func(out map[string]any) { delete(out, "KeyId") }}, "", func(err error) bool { return errors.Is(err, ErrKMSKey) }},
		{"no ciphertext", &kmssim.Fault{Edit: func(out map[string]any) { delete(out, "CiphertextBlob") }}, "ReEncrypt GenerateDataKeyWithoutPlaintext", func(err error) bool { return err != nil }},
		{"short plaintext", &kmssim.Fault{Edit: func(out map[string]any) { out["Plaintext"] = []byte("secret-of-16-byt") }}, "Decrypt", func(err error) bool {
			return err != nil && strings.Contains(err.Error(), "16 bytes") && !strings.Contains(err.Error(), "secret-of")
		}},
		{"garbage", &kmssim.Fault{Garbage: []byte("<html>")}, "", func(err error) bool { return err != nil }},
	} {
		for name, operation := range all {
			k.Fault(func(r *kmssim.Request) *kmssim.Fault {
				if f.only == "" || strings.Contains(f.only, r.Operation) {
					return f.fault
				}
				return nil
			})
			k.Reset()
			db.take()
			err := operation(t.Context())
			touched := f.only == ""
			for op, n := range k.Counts() {
				touched = touched || n > 0 && strings.Contains(f.only, op)
			}
			if touched && !f.check(err) || !touched && err != nil {
				t.Errorf("%s: %s: %v", f.name, name, err)
			}
			for _, r := range db.take() {
				if touched && r["op"] == "TransactWriteItems" {
					t.Errorf("%s: %s wrote", f.name, name)
				}
			}
		}
	}
}

// The AWS SDK retries if AWS KMS throttles for a while, or resets a connection.
func TestKMSRetries(t *testing.T) {
	k := newKMS(t)
	all, _ := newOperations(t, k)
	for name, operation := range all {
		n := 0
		k.Fault(func(*kmssim.Request) *kmssim.Fault {
			n++
			switch n {
			case 1:
				return &kmssim.Fault{Code: "ThrottlingException"}
			case 2:
				return &kmssim.Fault{Reset: true}
			}
			return nil
		})
		if err := operation(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Cancelling the context of a call ends a request that is under way.
func TestCancelled(t *testing.T) {
	k := newKMS(t)
	all, _ := newOperations(t, k)
	k.SetLatency(time.Minute)
	for name, operation := range all {
		for _, wait := range []time.Duration{0, 30 * time.Millisecond} {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(wait, cancel)
			if wait == 0 {
				cancel()
			}
			start := time.Now()
			if err := operation(ctx); !errors.Is(err, context.Canceled) || time.Since(start) > 20*time.Second {
				t.Errorf("%s: %v after %v", name, err, time.Since(start))
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	file := newFile(t)
	_, err := file.Create(ctx)
	wantError(t, err, context.Canceled)
	_, err = file.Get(ctx, "id", activeType, true)
	wantError(t, err, context.Canceled)
	wantError(t, file.Write(ctx, Put{Item: &Item{ID: "id", Type: activeType}}), context.Canceled)
}

func TestDynamoDBFaults(t *testing.T) {
	k := newKMS(t)
	all, db := newOperations(t, k)
	for _, code := range []string{"AccessDeniedException", "ProvisionedThroughputExceededException", "ResourceNotFoundException"} {
		db.setAnswer(func(string, object) (int, object) { return failure(code) })
		for name, operation := range all {
			err := operation(t.Context())
			if apiCode(err) != code || !strings.Contains(err.Error(), "table") {
				t.Errorf("%s: %v", name, err)
			}
			if errors.Is(err, ErrNoKeyStore) != (code == "ResourceNotFoundException") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	// DynamoDB throttles for a while only.
	n := 0
	db.setAnswer(func(op string, _ object) (int, object) {
		if n++; n%3 != 0 {
			return failure("ThrottlingException")
		}
		return 0, nil
	})
	for name, operation := range all {
		if err := operation(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func reasons(codes ...string) (int, object) {
	var list []object
	for _, c := range codes {
		list = append(list, object{"Code": c})
	}
	return failure("TransactionCanceledException", "CancellationReasons", list)
}

// A transaction that collides with another is tried again; a transaction whose
// condition does not hold is not.
func TestDynamoDBTransactions(t *testing.T) {
	k := newKMS(t)
	all, db := newOperations(t, k)
	writes := 0
	script := func(answers ...[]string) {
		writes = 0
		db.setAnswer(func(op string, _ object) (int, object) {
			if op != "TransactWriteItems" {
				return 0, nil
			}
			writes++
			if writes <= len(answers) {
				return reasons(answers[writes-1]...)
			}
			return 0, nil
		})
	}
	conflict := []string{"None", "TransactionConflict"}
	script(conflict, conflict, conflict)
	must(t, all["VersionKey"](t.Context()))
	if writes != 4 {
		t.Errorf("%d writes", writes)
	}
	script(conflict, []string{"None", "ConditionalCheckFailed"})
	wantError(t, all["VersionKey"](t.Context()), ErrConflict)
	if writes != 2 {
		t.Errorf("%d writes", writes)
	}
	script([]string{"None", "ConditionalCheckFailed", "None"})
	wantError(t, all["CreateKey"](t.Context()), ErrExists)

	var cancelled *dynamodbtypes.TransactionCanceledException
	script([]string{"None", "ValidationError"})
	err := all["VersionKey"](t.Context())
	wantError(t, err, &cancelled)
	if errors.Is(err, ErrConflict) || writes != 1 {
		t.Errorf("%v after %d writes", err, writes)
	}
	for range writeAttempts {
		conflict = append(conflict, "None")
	}
	script(conflict, conflict, conflict, conflict, conflict, conflict, conflict, conflict, conflict)
	wantError(t, all["VersionKey"](t.Context()), &cancelled)
	if writes != writeAttempts {
		t.Errorf("%d writes", writes)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Millisecond)
	defer cancel()
	script(conflict, conflict, conflict, conflict, conflict, conflict, conflict)
	wantError(t, all["VersionKey"](ctx), context.DeadlineExceeded)
}

// If a stale replica doesn't have a new version yet, the read is repeated.
func TestStaleReplica(t *testing.T) {
	k, db := newKMS(t), newFakeDynamoDB(t)
	s := k.with(t, db.storage(t), func(*Config) {})
	ok[string](t)(s.CreateKey(t.Context(), "key", customContext))
	db.setAnswer(func(op string, body object) (int, object) {
		if op == "GetItem" && body["ConsistentRead"] != true {
			return 200, object{}
		}
		return 0, nil
	})
	active := ok[*Key](t)(s.ActiveBranchKey(t.Context(), "key"))
	ok[*Key](t)(s.BranchKeyVersion(t.Context(), "key", active.Version))
	ok[*Key](t)(s.BeaconKey(t.Context(), "key"))
}

// readOnlyClient lacks methods that create keys.
type readOnlyClient struct{ awskms.Client }

type failingClients struct{ err error }

func (f failingClients) Client(context.Context, string) (awskms.Client, error) { return nil, f.err }

func TestClients(t *testing.T) {
	k := newKMS(t)
	storage := newFile(t)
	id := ok[string](t)(k.newStore(t, storage).CreateKey(t.Context(), "", nil))
	reader := k.with(t, storage, func(c *Config) { c.Clients = awskms.FixedClient(readOnlyClient{k.Client(region)}) })
	ok[*Key](t)(reader.ActiveBranchKey(t.Context(), id))
	if _, err := reader.CreateKey(t.Context(), "", nil); err == nil || !strings.Contains(err.Error(), "GenerateDataKeyWithoutPlaintext") {
		t.Error(err)
	}
	if err := reader.VersionKey(t.Context(), id); err == nil || !strings.Contains(err.Error(), "ReEncrypt") {
		t.Error(err)
	}
	for _, client := range []awskms.Client{nil, (*kms.Client)(nil), (*readOnlyClient)(nil)} {
		noClient := k.with(t, storage, func(c *Config) { c.Clients = awskms.FixedClient(client) })
		for name, operation := range operations(noClient, id, formatUUID(newUUID())) {
			if err := operation(t.Context()); err == nil {
				t.Errorf("%s works without a client, %T", name, client)
			}
		}
	}
	broken := errors.New("no credentials")
	s := k.with(t, storage, func(c *Config) { c.Clients = failingClients{broken} })
	for name, operation := range operations(s, id, formatUUID(newUUID())) {
		if err := operation(t.Context()); !errors.Is(err, broken) && !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Default clients of KMS and DynamoDB use the Region of the KMS configuration.
func TestDefaultRegion(t *testing.T) {
	k, db := newKMS(t), newFakeDynamoDB(t)
	for name, value := range map[string]string{
		"AWS_REGION": "ap-south-1", "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_SESSION_TOKEN": "",
		"AWS_ENDPOINT_URL_KMS": k.URL(), "AWS_ENDPOINT_URL_DYNAMODB": db.URL, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
	} {
		t.Setenv(name, value)
	}
	storage := ok[Storage](t)(NewDynamoDBStorage(nil, "table"))
	for want, c := range map[string]KMSConfig{
		region: {KeyARN: k.arn}, "": {Discovery: true}, "eu-central-1": {MRDiscovery: "eu-central-1"},
	} {
		s := ok[*Store](t)(NewStore(Config{Storage: storage, LogicalName: "logical", KMS: c}))
		made, err := s.storage.(*defaultDynamoDB).storage(t.Context())
		must(t, err)
		wantDB := want
		if want == "" {
			wantDB = "ap-south-1"
		}
		if got := made.client.(*dynamodb.Client).Options().Region; got != wantDB {
			t.Errorf("%+v: DynamoDB is in %q", c, got)
		}
		if s.region != want {
			t.Errorf("%+v: KMS is in %q", c, s.region)
		}
	}
	s := ok[*Store](t)(NewStore(Config{Storage: storage, LogicalName: "logical", KMS: KMSConfig{KeyARN: k.arn}}))
	if s.Info().StorageName != "table" {
		t.Error(s.Info())
	}
	id := ok[string](t)(s.CreateKey(t.Context(), "key", esdk.EncryptionContext{"tenant": "17"}))
	ok[*Key](t)(s.ActiveBranchKey(t.Context(), id))
	if entries := ok[[]*Entry](t)(collect(s.List(t.Context(), id))); len(entries) != 3 {
		t.Errorf("%d entries", len(entries))
	}
	db.setAnswer(func(op string, _ object) (int, object) { return 200, object{"Table": wireSchema} })
	ok[string](t)(s.CreateKeyStore(t.Context()))

	t.Setenv("AWS_PROFILE", "none")
	for name, operation := range operations(ok[*Store](t)(NewStore(Config{
		Storage: ok[Storage](t)(NewDynamoDBStorage(nil, "table")), LogicalName: "logical",
		KMS: KMSConfig{KeyARN: k.arn}, Clients: k.clients(),
	})), id, formatUUID(newUUID())) {
		var noProfile config.SharedConfigProfileNotExistError
		if err := operation(t.Context()); !errors.As(err, &noProfile) {
			t.Errorf("%s without a configuration: %v", name, err)
		}
	}

	_, err := collect(ok[Storage](t)(NewDynamoDBStorage(nil, "table")).List(t.Context(), ""))
	if noProfile := (config.SharedConfigProfileNotExistError{}); !errors.As(err, &noProfile) {
		t.Errorf("List without a configuration: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	fresh := &defaultDynamoDB{dynamoDBStorage{table: "table"}, "", make(chan struct{}, 1)}
	fresh.lock <- struct{}{} // as if another call were loading the configuration
	_, err = fresh.Get(ctx, "id", activeType, true)
	wantError(t, err, context.Canceled)
	_, err = collect(fresh.List(ctx, "id"))
	wantError(t, err, context.Canceled)
	wantError(t, fresh.Write(ctx), context.Canceled)
	_, err = fresh.Create(ctx)
	wantError(t, err, context.Canceled)
}
