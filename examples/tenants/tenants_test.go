package tenants_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"esdk/awskms"
	"esdk/branchkey"
	"esdk/esdktest/kmssim"
	"esdk/examples/tenants"
)

const (
	region = "us-west-2"
	secret = "the door's code is 4711"
)

// notes is a Notes whose rows the tests can move.
type notes struct {
	mu   sync.Mutex
	rows map[[2]string][]byte
}

func (n *notes) Put(_ context.Context, tenant, id string, message []byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rows[[2]string{tenant, id}] = message
	return nil
}

func (n *notes) Get(_ context.Context, tenant, id string) ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	message, found := n.rows[[2]string{tenant, id}]
	if !found {
		return nil, tenants.ErrNoNote
	}
	return message, nil
}

// An environment is a service with a key store and a simulated AWS KMS. Tenants
// authenticate with a token that holds their name and a secret.
type environment struct {
	*kmssim.Server
	store   *branchkey.Store
	notes   *notes
	service http.Handler
	log     *bytes.Buffer
}

func newEnvironment(t testing.TB, storage branchkey.Storage, names ...string) *environment {
	t.Helper()
	server := kmssim.New()
	t.Cleanup(server.Close)
	e := &environment{Server: server, notes: &notes{rows: map[[2]string][]byte{}}, log: new(bytes.Buffer)}
	logger := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(e.log, nil)))
	t.Cleanup(func() { slog.SetDefault(logger) })
	var err error
	e.store, err = branchkey.NewStore(branchkey.Config{
		Storage:     storage,
		LogicalName: "tenants",
		KMS:         branchkey.KMSConfig{KeyARN: server.CreateKey(region, types.KeySpecSymmetricDefault)},
		Clients:     awskms.FixedClient(server.Client(region)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.store.CreateKeyStore(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := tenants.AddTenant(t.Context(), e.store, name); err != nil {
			t.Fatal(err)
		}
	}
	e.service = e.newService(t, names...)
	return e
}

// newService returns another process of the service.
func (e *environment) newService(t testing.TB, warm ...string) http.Handler {
	t.Helper()
	service, err := tenants.New(t.Context(), tenants.Config{
		Store: e.store, Notes: e.notes, Tenants: warm, MaxTenants: 100,
		Tenant: func(r *http.Request) (string, error) {
			name, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer secret-of-")
			if !found {
				return "", errors.New("wrong token")
			}
			return name, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return service
}

func request(service http.Handler, tenant, method, id, body string) (status int, text string) {
	r := httptest.NewRequest(method, "/notes/"+id+"?tenant=mallory", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer secret-of-"+tenant)
	r.Header.Set("X-Tenant", "mallory")
	w := httptest.NewRecorder()
	service.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func (e *environment) put(t testing.TB, tenant, id, text string) {
	t.Helper()
	if status, answer := request(e.service, tenant, http.MethodPut, id, text); status != http.StatusOK {
		t.Fatalf("PUT of %s: %d %s", tenant, status, answer)
	}
}

func checkNote(t testing.TB, service http.Handler, tenant, id, want string) {
	t.Helper()
	if status, got := request(service, tenant, http.MethodGet, id, ""); status != http.StatusOK || got != want {
		t.Errorf("GET of %s: %d %q, want %q", tenant, status, got, want)
	}
}

func fileStorage(t testing.TB) branchkey.Storage {
	t.Helper()
	storage, err := branchkey.NewFileStorage(filepath.Join(t.TempDir(), "keys.db"))
	if err != nil {
		t.Fatal(err)
	}
	return storage
}

// dynamoDBStorage returns a storage on a new table.
func dynamoDBStorage(t *testing.T) branchkey.Storage {
	t.Helper()
	url := os.Getenv("ESDK_DYNAMODB_URL")
	if url == "" {
		const text = "NOT RUN: ESDK_DYNAMODB_URL is not set; examples/run.sh tenants sets it"
		if os.Getenv("ESDK_REQUIRE_SERVERS") != "" {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	client := dynamodb.New(dynamodb.Options{
		Region: region, BaseEndpoint: &url,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}, nil
		}),
	})
	storage, err := branchkey.NewDynamoDBStorage(client, "tenants-"+rand.Text())
	if err != nil {
		t.Fatal(err)
	}
	return storage
}

func TestFile(t *testing.T)     { testTenants(t, fileStorage(t)) }
func TestDynamoDB(t *testing.T) { testTenants(t, dynamoDBStorage(t)) }

func testTenants(t *testing.T, storage branchkey.Storage) {
	e := newEnvironment(t, storage, "ada", "bob", "mallory")
	for _, tenant := range []string{"ada", "bob"} {
		e.put(t, tenant, "1", secret+" of "+tenant)
		checkNote(t, e.service, tenant, "1", secret+" of "+tenant)
	}
	e.put(t, "ada", "empty", "")
	checkNote(t, e.service, "ada", "empty", "")
	for row, message := range e.notes.rows {
		if bytes.Contains(message, []byte(secret)) || !bytes.Contains(message, []byte("tenant-"+row[0])) {
			t.Errorf("row %v isn't encrypted under the tenant's branch key", row)
		}
	}

	// After a rotation, old notes stay readable, also for another process,
	// which encrypts under the new version.
	before, err := e.store.ActiveBranchKey(t.Context(), "tenant-ada")
	if err != nil {
		t.Fatal(err)
	}
	if err := e.store.VersionKey(t.Context(), "tenant-ada"); err != nil {
		t.Fatal(err)
	}
	after, err := e.store.ActiveBranchKey(t.Context(), "tenant-ada")
	if err != nil || after.Version == before.Version {
		t.Fatalf("version %s after %s, %v", after.Version, before.Version, err)
	}
	old := e.service
	e.service = e.newService(t, "ada")
	e.put(t, "ada", "2", "new")
	for _, service := range []http.Handler{old, e.service} {
		checkNote(t, service, "ada", "1", secret+" of ada")
		checkNote(t, service, "ada", "2", "new")
		checkNote(t, service, "bob", "1", secret+" of bob")
	}
}

func TestRefused(t *testing.T) {
	e := newEnvironment(t, fileStorage(t), "ada", "bob")
	e.put(t, "ada", "1", secret)
	e.put(t, "ada", "2", "another note")
	e.put(t, "bob", "1", "a note of bob")
	refused := func(what string, want int, tenant, method, id, body string) {
		t.Helper()
		status, answer := request(e.service, tenant, method, id, body)
		if status != want || answer != http.StatusText(want)+"\n" {
			t.Errorf("%s: %d %q, want %d", what, status, answer, want)
		}
	}
	refused("another tenant's note", http.StatusNotFound, "bob", http.MethodGet, "2", "")
	refused("a tenant without a branch key, to write", http.StatusForbidden, "eve", http.MethodPut, "1", secret)
	if _, found := e.notes.rows[[2]string{"eve", "1"}]; found {
		t.Error("an unknown tenant has a note")
	}
	refused("a long note", http.StatusRequestEntityTooLarge, "ada", http.MethodPut, "3", strings.Repeat("x", 1<<20+1))
	for _, token := range []string{"", "Bearer other", "Bearer secret-of-"} {
		r := httptest.NewRequest(http.MethodGet, "/notes/1", nil)
		r.Header.Set("Authorization", token)
		w := httptest.NewRecorder()
		if e.service.ServeHTTP(w, r); w.Code != http.StatusUnauthorized {
			t.Errorf("token %q: %d", token, w.Code)
		}
	}

	rows := e.notes.rows
	sound := rows[[2]string{"ada", "1"}]
	tampered := bytes.Clone(sound)
	tampered[len(tampered)-20] ^= 1
	renamed := bytes.ReplaceAll(sound, []byte("ada"), []byte("bob"))
	for what, message := range map[string][]byte{
		"another note":             rows[[2]string{"ada", "2"}],
		"another tenant's note":    rows[[2]string{"bob", "1"}],
		"a tampered note":          tampered,
		"a note that is cut short": sound[:len(sound)-1],
		"an empty row":             {},
		"plaintext":                []byte(secret),
	} {
		rows[[2]string{"ada", "1"}] = message
		refused(what, http.StatusInternalServerError, "ada", http.MethodGet, "1", "")
	}
	rows[[2]string{"bob", "1"}] = sound
	refused("ada's note as bob's", http.StatusInternalServerError, "bob", http.MethodGet, "1", "")
	rows[[2]string{"bob", "1"}] = renamed
	refused("ada's note as bob's, with his name in it", http.StatusInternalServerError, "bob", http.MethodGet, "1", "")
	rows[[2]string{"eve", "1"}] = sound
	refused("ada's note as that of an unknown tenant", http.StatusInternalServerError, "eve", http.MethodGet, "1", "")
	rows[[2]string{"ada", "1"}] = sound
	checkNote(t, e.service, "ada", "1", secret)

	if strings.Contains(e.log.String(), secret) || !strings.Contains(e.log.String(), "tenant=eve") {
		t.Errorf("log:\n%s", e.log)
	}
}

// TestOutage checks a tenant whose branch key AWS KMS doesn't decrypt. New
// fails for this tenant. A running service fails only this tenant's requests.
func TestOutage(t *testing.T) {
	e := newEnvironment(t, fileStorage(t), "ada", "bob")
	e.put(t, "ada", "1", secret)
	cold := e.newService(t)
	e.Fault(func(r *kmssim.Request) *kmssim.Fault {
		if ec, _ := r.Input["EncryptionContext"].(map[string]any); ec["branch-key-id"] == "tenant-bob" {
			return &kmssim.Fault{Code: "AccessDeniedException"}
		}
		return nil
	})
	checkNote(t, cold, "ada", "1", secret)
	if status, _ := request(cold, "bob", http.MethodPut, "1", secret); status != http.StatusInternalServerError {
		t.Errorf("PUT: %d", status)
	}
	_, err := tenants.New(t.Context(), tenants.Config{Store: e.store, Notes: e.notes, Tenants: []string{"ada", "bob"}, MaxTenants: 2})
	if err == nil || !strings.Contains(err.Error(), "tenant-bob") || strings.Contains(err.Error(), "tenant-ada") {
		t.Errorf("New returned %v", err)
	}
}

// TestCalls counts the calls to AWS KMS for 10,000 notes of 10 tenants.
func TestCalls(t *testing.T) {
	var names []string
	for i := range 10 {
		names = append(names, fmt.Sprintf("tenant%d", i))
	}
	e := newEnvironment(t, fileStorage(t), names...)
	serve := func(what string, count, wantStart, wantServe int, warm ...string) {
		t.Helper()
		e.Reset()
		service := e.newService(t, warm...)
		if n := e.Count("Decrypt"); n != wantStart {
			t.Errorf("%s: %d calls at the start, want %d", what, n, wantStart)
		}
		e.Reset()
		var wg sync.WaitGroup
		for worker := range 8 {
			wg.Go(func() {
				for i := worker; i < count; i += 8 {
					tenant, id := names[i%10], fmt.Sprint(i)
					request(service, tenant, http.MethodPut, id, id)
					if status, got := request(service, tenant, http.MethodGet, id, ""); status != http.StatusOK || got != id {
						t.Errorf("GET: %d %q", status, got)
						return
					}
				}
			})
		}
		wg.Wait()
		t.Logf("%s: %d calls to AWS KMS at the start, %d for %d notes", what, wantStart, e.Count("Decrypt"), count)
		if n := e.Count("Decrypt"); n != wantServe || len(e.Counts()) > 1 {
			t.Errorf("%s: calls %v, want %d", what, e.Counts(), wantServe)
		}
	}
	serve("warm", 10_000, 20, 0, names...)
	serve("cold", 1_000, 0, 20)
	e.Reset()
	if err := e.store.VersionKey(t.Context(), "tenant-tenant0"); err != nil {
		t.Fatal(err)
	}
	t.Logf("a rotation: %v", e.Counts())
	if n := e.Count("GenerateDataKeyWithoutPlaintext") + e.Count("ReEncrypt"); n != 3 || len(e.Counts()) != 2 {
		t.Errorf("a rotation has the calls %v", e.Counts())
	}
}

func BenchmarkService(b *testing.B) {
	e := newEnvironment(b, fileStorage(b), "ada")
	text := strings.Repeat("x", 1000)
	e.put(b, "ada", "1", text)
	added := len(e.notes.rows[[2]string{"ada", "1"}]) - len(text)
	for _, method := range []string{http.MethodPut, http.MethodGet} {
		b.Run(method, func(b *testing.B) {
			for b.Loop() {
				if status, _ := request(e.service, "ada", method, "1", text); status != http.StatusOK {
					b.Fatal(status)
				}
			}
			b.ReportMetric(float64(added), "bytes-added")
		})
	}
}
