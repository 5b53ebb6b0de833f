package branchkey

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"pgregory.net/rapid"

	"esdk/awskms"
)

// A modelBackend is a kind of storage for the model to run on.
type modelBackend struct {
	kms         *kmsEnv
	second      string // another KMS key, to re-key to
	tally       tally
	notIsolated bool

	// The numbers of programs to run, in turns and in parallel, unless
	// -rapid.checks is given.
	checks, parallelChecks int

	// storage returns a function that opens a new key store for a client.
	storage func(m *model) func() (Storage, error)
	// images returns storages over the states that a crash could leave.
	images func(m *model) []Storage
}

// eachModelBackend runs a test with the file, with the fake of DynamoDB, and
// with the DynamoDB at ESDK_DYNAMODB_URL.
func eachModelBackend(t *testing.T, test func(*testing.T, modelBackend)) {
	t.Run("file", func(t *testing.T) { test(t, newModelFile(t)) })
	t.Run("fake DynamoDB", func(t *testing.T) { test(t, newModelFake(t)) })
	t.Run("DynamoDB", func(t *testing.T) { test(t, newModelDynamoDB(t)) })
}

// A modelWorld is the key store of one program.
type modelWorld struct {
	modelBackend
	client func() (Storage, error)
	m      *model
}

func (b modelBackend) open(m *model) modelWorld {
	return modelWorld{b, b.storage(m), m}
}

// newStore returns a Store with clients of its own. Their requests are steps of
// the calls that make them.
func (w *modelWorld) newStore(t *rapid.T, k KMSConfig) *Store {
	storage, err := w.client()
	if err != nil {
		t.Fatal(err)
	}
	return w.storeOn(t, recorder{storage, w.m}, k)
}

func (w *modelWorld) storeOn(t *rapid.T, storage Storage, k KMSConfig) *Store {
	o := w.kms.Client(region).Options()
	o.HTTPClient = &http.Client{Transport: wire{w.m, inProcess(w.kms.Server)}}
	o.Retryer = modelRetryer()
	o.Credentials = modelCredentials
	s, err := NewStore(Config{
		Storage: storage, LogicalName: "logical", KMS: k, Clients: awskms.FixedClient(kms.New(o)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func modelRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Millisecond })
}

var modelCredentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "testing", SecretAccessKey: strings.Repeat("k", 40)}, nil
})

// A wire turns each request into a step of its call.
type wire struct {
	m    *model
	next http.RoundTripper
}

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) {
	c := callOf(r.Context())
	if c == nil { // a request of the test
		return w.next.RoundTrip(r)
	}
	kind := w.m.step(c)
	switch kind {
	case refused:
		return jsonResponse(failure("AccessDeniedException"))
	case unreachable:
		return nil, errInjected
	case cancelled:
		c.cancel()
		return nil, r.Context().Err()
	case colliding:
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), "TransactWriteItems") {
			return jsonResponse(reasons("None", "TransactionConflict"))
		}
	}
	response, err := w.next.RoundTrip(r)
	switch kind {
	case unanswered:
		return nil, errInjected
	case abandoned:
		c.cancel()
		return nil, r.Context().Err()
	}
	return response, err
}

func jsonResponse(status int, out object) (*http.Response, error) {
	w := httptest.NewRecorder()
	writeAnswer(w, status, out)
	return w.Result(), nil
}

type inProcessTransport struct{ http.Handler }

// inProcess serves requests without a connection.
func inProcess(h http.Handler) http.RoundTripper { return inProcessTransport{h} }

func (h inProcessTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

// A steppedStorage turns each operation of a file into a step of its call.
type steppedStorage struct {
	Storage
	m *model
}

func (s steppedStorage) step(ctx context.Context, operation func() error) error {
	c := callOf(ctx)
	if c == nil {
		return operation()
	}
	kind := s.m.step(c)
	switch kind {
	case refused, unreachable, colliding:
		return errInjected
	case cancelled:
		c.cancel()
	}
	err := operation()
	switch {
	case kind == unanswered:
		return errInjected
	case kind == abandoned:
		c.cancel()
	}
	return err
}

func (s steppedStorage) Get(ctx context.Context, id, itemType string, consistent bool) (item *Item, err error) {
	err = s.step(ctx, func() error {
		item, err = s.Storage.Get(ctx, id, itemType, consistent)
		return err
	})
	if err != nil {
		return nil, err
	}
	return item, nil
}

func (s steppedStorage) List(ctx context.Context, id string) iter.Seq2[*Item, error] {
	return func(yield func(*Item, error) bool) {
		if err := s.step(ctx, func() error { return nil }); err != nil {
			yield(nil, err)
			return
		}
		s.Storage.List(ctx, id)(yield)
	}
}

func (s steppedStorage) Write(ctx context.Context, puts ...Put) error {
	return s.step(ctx, func() error {
		if !s.m.schedule {
			return s.Storage.Write(ctx, puts...)
		}
		before, _ := os.ReadFile(s.Name())
		err := s.Storage.Write(ctx, puts...)
		after, _ := os.ReadFile(s.Name())
		s.m.checkCommit(before, after, puts, err)
		return err
	})
}

// modelPage is the number of items in a page of a list.
const modelPage = 2

func newModelFile(t *testing.T) modelBackend {
	dir, k := t.TempDir(), newKMS(t)
	return modelBackend{
		kms: k, second: k.another(), tally: tally{}, checks: 30, parallelChecks: 15,
		storage: func(m *model) func() (Storage, error) {
			path := filepath.Join(dir, m.ids[0])
			s, err := NewFileStorage(path)
			if err == nil {
				_, err = s.Create(context.Background())
			}
			return func() (Storage, error) {
				return steppedStorage{&fileStorage{path, lockTimeout, modelPage}, m}, err
			}
		},
		images: func(m *model) []Storage {
			path := filepath.Join(dir, m.ids[0])
			image, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path+".copy", image, 0o600)
			}
			reopened, openErr := NewFileStorage(path)
			copied, copyErr := NewFileStorage(path + ".copy")
			if err := errors.Join(err, openErr, copyErr); err != nil {
				m.problem("%v", err)
			}
			return []Storage{reopened, copied}
		},
	}
}

func newModelFake(t *testing.T) modelBackend {
	k := newKMS(t)
	return modelBackend{kms: k, second: k.another(), tally: tally{}, checks: 150, parallelChecks: 30, storage: func(m *model) func() (Storage, error) {
		db := &fakeDynamoDB{items: map[string]object{}, done: map[string]bool{}, page: modelPage}
		return dynamoDBStorages(m, "http://fake", "table", inProcess(db))
	}}
}

func newModelDynamoDB(t *testing.T) modelBackend {
	client := dynamoDBClient(t)
	url, table := *client.Options().BaseEndpoint, newTableName()
	t.Cleanup(func() {
		client.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: &table})
	})
	ok[string](t)(ok[Storage](t)(NewDynamoDBStorage(client, table)).Create(t.Context()))
	transport, k := newOutside(t, 8), newKMS(t)
	return modelBackend{
		kms: k, second: k.another(), tally: tally{}, checks: 40, parallelChecks: 40, notIsolated: isMoto(t, url),
		storage: func(m *model) func() (Storage, error) { return dynamoDBStorages(m, url, table, transport) },
	}
}

func dynamoDBStorages(m *model, url, table string, transport http.RoundTripper) func() (Storage, error) {
	return func() (Storage, error) {
		return NewDynamoDBStorage(dynamodb.New(dynamodb.Options{
			Region: region, BaseEndpoint: &url, Retryer: modelRetryer(), Credentials: modelCredentials,
			HTTPClient: &http.Client{Transport: wire{m, transport}},
		}), table)
	}
}

// An outside transport has goroutines outside the bubble of a program, so the
// bubble waits for them as it would for a computation.
type outside struct{ idle chan *courier }

type courier struct {
	request  chan *http.Request
	response chan delivered
}

type delivered struct {
	response *http.Response
	err      error
}

func newOutside(t *testing.T, couriers int) outside {
	o := outside{make(chan *courier, couriers)}
	transport := &http.Transport{MaxIdleConnsPerHost: couriers}
	for range couriers {
		c := &courier{make(chan *http.Request), make(chan delivered)}
		o.idle <- c
		go func() {
			for r := range c.request {
				c.response <- deliver(transport, r)
			}
		}()
		t.Cleanup(func() { close(c.request) })
	}
	t.Cleanup(transport.CloseIdleConnections)
	return o
}

func deliver(transport http.RoundTripper, r *http.Request) delivered {
	response, err := transport.RoundTrip(r)
	if err != nil {
		return delivered{nil, err}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	response.Body = io.NopCloser(bytes.NewReader(text))
	return delivered{response, err}
}

func (o outside) RoundTrip(r *http.Request) (*http.Response, error) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequest(r.Method, r.URL.String(), bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	request.Header = r.Header.Clone()
	c := <-o.idle
	defer func() { o.idle <- c }()
	c.request <- request
	d := <-c.response
	return d.response, d.err
}

// checkCommit checks the bytes that one Write leaves on the disk. A write is
// one commit of bbolt: the data pages, then one of the two meta pages. The meta
// page with a valid checksum and the higher number counts. Whichever of these
// pages a crash leaves, the file shows all of the write or nothing.
func (m *model) checkCommit(before, after []byte, puts []Put, err error) {
	page := os.Getpagesize()
	changed := changedPages(before, after, page)
	if err != nil {
		if len(changed) > 0 {
			m.problem("a Write that failed with %v changed the file", err)
		}
		return
	}
	meta := -1
	for _, n := range changed {
		if n < 2 && meta >= 0 {
			m.problem("a Write committed more than once")
			return
		} else if n < 2 {
			meta = n
		}
	}
	if meta < 0 {
		m.problem("a Write committed nothing")
		return
	}
	m.checkImage("some pages", crashImage(before, after, page, changed, func(n int) bool { return n != meta && rand.IntN(2) == 0 }), puts, true)
	torn := crashImage(before, after, page, changed, func(n int) bool { return n != meta })
	copy(torn[meta*page:], after[meta*page:][:rand.IntN(100)])
	m.checkImage("a torn meta page", torn, puts, false)
}

func changedPages(before, after []byte, page int) (changed []int) {
	for n := 0; n*page < len(after); n++ {
		start, end := n*page, min((n+1)*page, len(after))
		if end > len(before) || !bytes.Equal(before[start:end], after[start:end]) {
			changed = append(changed, n)
		}
	}
	return changed
}

// crashImage returns the file as it was before, with some of the pages that
// changed.
func crashImage(before, after []byte, page int, changed []int, written func(n int) bool) []byte {
	image := make([]byte, len(after))
	copy(image, before)
	for _, n := range changed {
		if written(n) {
			copy(image[n*page:], after[n*page:min((n+1)*page, len(after))])
		}
	}
	return image
}

// checkImage opens a file as a crash left it. The file has all of the puts or
// none of them; none if onlyOld is set.
func (m *model) checkImage(what string, image []byte, puts []Put, onlyOld bool) {
	f, err := os.CreateTemp("", "crash")
	if err != nil {
		m.problem("%v", err)
		return
	}
	defer os.Remove(f.Name())
	_, err = f.Write(image)
	s, openErr := NewFileStorage(f.Name())
	if err := errors.Join(err, f.Close(), openErr); err != nil {
		m.problem("%v", err)
		return
	}
	done := 0
	for i, p := range puts {
		item, err := s.Get(context.Background(), p.Item.ID, p.Item.Type, true)
		switch {
		case err == nil && sameItem(item, p.Item):
			done++
		case err == nil && p.Replaces != nil && bytes.Equal(item.Enc, p.Replaces):
		case errors.Is(err, ErrNotFound) && p.Replaces == nil:
		default:
			m.problem("after a crash with %s, put %d is neither done nor undone: %v, %v", what, i, item, err)
		}
	}
	if done != 0 && (onlyOld || done != len(puts)) {
		m.problem("after a crash with %s, %d of %d puts are done", what, done, len(puts))
	}
}

func sameItem(a, b *Item) bool {
	return a.ID == b.ID && a.Type == b.Type && bytes.Equal(a.Enc, b.Enc) && maps.Equal(a.Attributes, b.Attributes)
}

func (f fault) String() string {
	if f.kind == noFault {
		return "none"
	}
	name := []string{"", "refused", "unreachable", "unanswered", "cancelled", "abandoned", "colliding"}[f.kind]
	return fmt.Sprintf("%s at step %d (sticky %v)", name, f.step, f.sticky)
}
