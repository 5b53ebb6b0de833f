package branchkey

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"esdk"
	"esdk/caching"
	"esdk/internal/fipstest"
)

// TestModel runs random programs of writers and readers on one key store, and
// compares every answer with a reference. Requests to AWS KMS and operations of
// the storage happen one at a time, in an order that is part of the program, so
// a failure shrinks and repeats. The clock is simulated: keyrings see hours
// pass.
func TestModel(t *testing.T) {
	fipstest.Randomness(t)
	eachModelBackend(t, func(t *testing.T, b modelBackend) {
		checkPrograms(t, b, b.checks, func(rt *rapid.T) {
			rapid.SyncTest(rt, func(rt *rapid.T) {
				m := newModel(rt, b, true)
				m.runInTurns(rt)
				m.check(rt)
			})
		})
	})
}

// TestModelParallel runs the same programs with nothing between the clients and
// the storage, so operations overlap as the machine schedules them.
func TestModelParallel(t *testing.T) {
	eachModelBackend(t, func(t *testing.T, b modelBackend) {
		if b.notIsolated {
			t.Skip("NOT run with moto: it lets transactions run into each other")
		}
		checkPrograms(t, b, b.parallelChecks, func(rt *rapid.T) {
			m := newModel(rt, b, false)
			m.runInParallel()
			m.check(rt)
		})
	})
}

// checkPrograms is [rapid.Check] with a default of its own for -rapid.checks.
// It prints the seed, which -rapid.seed takes.
func checkPrograms(t *testing.T, b modelBackend, checks int, property func(*rapid.T)) {
	given := givenFlags()
	set := func(name, value string) {
		old := flag.Lookup(name).Value.String()
		must(t, flag.Set(name, value))
		t.Cleanup(func() { flag.Set(name, old) })
	}
	if !given["rapid.checks"] {
		set("rapid.checks", strconv.Itoa(checks))
	}
	if !given["rapid.seed"] {
		set("rapid.seed", strconv.FormatUint(rand.Uint64()|1, 10))
	}
	set("rapid.nofailfile", "true") // the seed is enough
	t.Logf("-rapid.seed=%s -rapid.checks=%s", flag.Lookup("rapid.seed").Value, flag.Lookup("rapid.checks").Value)
	t.Cleanup(func() { t.Log(b.tally) })
	rapid.Check(t, property)
}

// givenFlags returns the names of the flags on the command line.
var givenFlags = sync.OnceValue(func() map[string]bool {
	given := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
	return given
})

// A tally counts calls by their actions and outcomes, over all programs.
type tally map[string]int

func (t tally) count(c *call) {
	outcome := "fails"
	for name, err := range map[string]error{"succeeds": nil, "ErrExists": ErrExists, "ErrConflict": ErrConflict, "ErrNotFound": ErrNotFound} {
		if errors.Is(c.err, err) {
			outcome = name
		}
	}
	t[fmt.Sprint(c.action, " ", outcome)]++
}

// An action is one operation of a client.
type action int

const (
	createKey action = iota
	versionKey
	readActive
	readVersion
	readBeacon
	wrapDataKey
	unwrapDataKey
	sleep
	rekeyBranchKey
	listEntries
)

var actionNames = []string{"CreateKey", "VersionKey", "ActiveBranchKey", "BranchKeyVersion", "BeaconKey", "Wrap", "Unwrap", "sleep", "RekeyBranchKey", "List"}

func (a action) String() string { return actionNames[a] }

// A faultKind is a way for one step of a call to go wrong. A step is a request
// to AWS KMS or DynamoDB, or an operation of a file.
type faultKind int

const (
	noFault     faultKind = iota
	refused               // the step does not happen; the error is final
	unreachable           // the step does not happen; the AWS SDK tries again
	unanswered            // the step happens, the answer is lost; the AWS SDK tries again
	cancelled             // the context ends before the step
	abandoned             // the context ends before the answer
	colliding             // another transaction is under way
)

// A fault happens at a step of a call; a sticky one also at all later steps.
type fault struct {
	kind   faultKind
	step   int64
	sticky bool
}

// A call is one action of a program, and its place in the history.
type call struct {
	client  int
	action  action
	id      string // of the branch key
	pick    int    // chooses the version to read or the data key to unwrap
	fault   fault
	pause   time.Duration
	version string // to read, or that wrapped
	to      string // the KMS key to re-key to

	cancel  func()
	steps   atomic.Int64
	faulted atomic.Bool

	read       []byte    // the key of the active item that it last read
	readAt     int64     // when it began that read
	start, end int64     // by the clock of the model
	from       time.Time // the start, by the simulated clock
	got        *Key
	wrapped    *wrappedKey
	dataKey    []byte
	changed    int // re-keyed items
	entries    []*Entry
	err        error
}

func (c *call) String() string {
	return fmt.Sprintf("client %d, [%d, %d] %v of %q version %q with fault %v: %v", c.client, c.start, c.end, c.action, c.id, c.version, c.fault, c.err)
}

// A wrappedKey is a data key that a keyring wrapped.
type wrappedKey struct {
	id, version string
	dataKey     []byte
	edk         esdk.EncryptedDataKey
}

// A write is one call of the storage's Write. It creates a version, or re-keys
// an item.
type write struct {
	call       *call
	id         string
	version    string // the version it creates; empty if it re-keys
	replaces   []byte // the key of the active item before; nil for a new branch key
	puts       []Put
	start, end int64
	to         time.Time
	err        error
	committed  bool // decided at the end
	index      int  // of the state after it
}

// nobody makes calls that don't wait for their turn.
const nobody = -1

type callKey struct{}

func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// A model runs a program and keeps its history.
type model struct {
	modelWorld
	clients  []*modelClient
	ids      []string
	storm    bool
	schedule bool // steps happen in turns
	rekeys   bool // the program re-keys
	oneWay   bool // always to the second KMS key

	clock atomic.Int64

	mu       sync.Mutex
	waiting  []*waiter
	calls    []*call
	writes   []*write
	wrapped  []*wrappedKey
	faults   []mishap
	problems []string
}

// A mishap records a fault that happened: its time and its call.
type mishap struct {
	at   int64
	call *call
}

// A modelClient acts like a process of its own: it shares the storage with the
// others, and the cache of its keyring.
type modelClient struct {
	kms     KMSConfig
	store   *Store
	keyring esdk.Keyring
	ttl     time.Duration
	program []*call
}

// A waiter is a client that waits for its turn.
type waiter struct {
	client int
	turn   chan struct{}
}

var programs atomic.Int64

func newModel(t *rapid.T, b modelBackend, schedule bool) *model {
	n := programs.Add(1)
	m := &model{schedule: schedule, ids: []string{fmt.Sprint("a", n), fmt.Sprint("a", n, "b")}}
	m.modelWorld = b.open(m)
	cache := drawCache(t, m)
	actions, clients, most := rapid.SampledFrom(storeActions), 4, 6
	switch rapid.IntRange(0, 3).Draw(t, "kind") {
	case 0:
	case 1: // cheap calls
		actions, most = rapid.SampledFrom(keyringActions), 20
	default:
		actions, clients = rapid.SampledFrom(rekeyActions), 8
		m.rekeys, m.oneWay = true, rapid.Bool().Draw(t, "one way")
	}
	for i := range rapid.IntRange(1, clients).Draw(t, "clients") {
		m.clients = append(m.clients, m.newClient(t, i, cache, actions, most))
	}
	if rapid.IntRange(0, 5).Draw(t, "begin") < 5 { // otherwise, most programs have nothing to read
		m.runCall(m.clients[0], &call{client: nobody, action: createKey, id: m.ids[0]})
	}
	return m
}

func drawCache(t *rapid.T, m *model) caching.Cache {
	var cache caching.Cache
	var err error
	switch rapid.SampledFrom([]string{"plain", "none", "storm"}).Draw(t, "cache") {
	case "plain":
		cache, err = caching.NewLRU(100)
	case "none":
		cache, err = caching.NewLRU(0)
	default:
		m.storm = true
		cache, err = caching.NewStormTracking(caching.StormTrackingConfig{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return cache
}

var modelContext = esdk.EncryptionContext{"purpose": "model"}

// These are the actions of a program, frequent ones repeated.
var (
	storeActions = []action{
		readActive, readActive, versionKey, versionKey, versionKey, versionKey, createKey, readVersion, readVersion, readBeacon,
		wrapDataKey, unwrapDataKey, sleep,
	}
	keyringActions = []action{wrapDataKey, wrapDataKey, wrapDataKey, unwrapDataKey, unwrapDataKey, versionKey, versionKey, sleep, sleep}
	rekeyActions   = []action{
		rekeyBranchKey, rekeyBranchKey, rekeyBranchKey, rekeyBranchKey, versionKey, versionKey, versionKey, versionKey, createKey,
		readActive, readVersion, readVersion, readBeacon, listEntries, wrapDataKey, unwrapDataKey, sleep,
	}
)

func (m *model) newClient(t *rapid.T, i int, cache caching.Cache, actions *rapid.Generator[action], most int) *modelClient {
	c := &modelClient{kms: KMSConfig{KeyARN: m.kms.arn}}
	if m.rekeys {
		c.kms = rapid.SampledFrom(m.kmsConfigs()).Draw(t, "KMS")
	}
	c.store = m.newStore(t, c.kms)
	c.ttl = rapid.SampledFrom([]time.Duration{time.Minute, 11 * time.Second, time.Hour}).Draw(t, "TTL")
	var err error
	c.keyring, err = NewKeyring(KeyringConfig{
		Store: c.store, TTL: c.ttl, Cache: cache, PartitionID: "shared",
		Supplier: func(_ context.Context, ec esdk.EncryptionContext) (string, error) { return ec["key"], nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	for range rapid.IntRange(1, most).Draw(t, "calls") {
		c.program = append(c.program, m.drawCall(t, i, actions.Draw(t, "action")))
	}
	return c
}

func (m *model) drawCall(t *rapid.T, client int, a action) *call {
	c := &call{client: client, action: a, to: m.second}
	c.id = rapid.SampledFrom([]string{m.ids[0], m.ids[0], m.ids[0], m.ids[0], m.ids[1]}).Draw(t, "key")
	switch a {
	case readVersion, unwrapDataKey:
		c.pick = rapid.IntRange(0, 20).Draw(t, "pick")
	case sleep:
		c.pause = rapid.SampledFrom([]time.Duration{4 * time.Second, 15 * time.Second, 90 * time.Second}).Draw(t, "pause")
		return c
	case rekeyBranchKey:
		if !m.oneWay {
			c.to = rapid.SampledFrom([]string{m.second, m.kms.arn}).Draw(t, "to")
		}
	}
	if rapid.IntRange(0, 3).Draw(t, "faulty") == 3 {
		c.fault.kind = faultKind(rapid.IntRange(int(refused), int(colliding)).Draw(t, "fault"))
		steps := 5
		if a == rekeyBranchKey {
			steps = 15
		}
		c.fault.step = int64(rapid.IntRange(0, steps).Draw(t, "step"))
		// Without the model's clock, a storage that always collides is slow.
		c.fault.sticky = rapid.Bool().Draw(t, "sticky") && (m.schedule || c.fault.kind != colliding)
	}
	return c
}

func (m *model) now() int64 { return m.clock.Add(1) }

func (m *model) problem(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.problems = append(m.problems, fmt.Sprintf(format, args...))
}

// runInTurns runs one client at a time, each until its next step. It returns
// when all work is done, including work that outlives its call.
func (m *model) runInTurns(t *rapid.T) {
	// Small numbers are drawn most often. As a stride, they make the clients
	// alternate.
	stride := rapid.IntRange(0, 3).Draw(t, "stride")
	var running atomic.Int64
	for i, c := range m.clients {
		running.Add(1)
		go func() {
			defer running.Add(-1)
			m.runClient(i, c)
		}()
	}
	for turn := 0; ; turn++ {
		synctest.Wait()
		m.mu.Lock()
		waiting := slices.SortedFunc(slices.Values(m.waiting), func(a, b *waiter) int { return cmp.Compare(a.client, b.client) })
		m.mu.Unlock()
		if len(waiting) == 0 && running.Load() == 0 {
			return
		}
		next := 0
		if len(waiting) > 0 {
			next = (rapid.IntRange(0, len(waiting)).Draw(t, "next") + turn*stride) % (len(waiting) + 1)
		}
		if next == len(waiting) {
			time.Sleep(3 * time.Second)
			continue
		}
		m.mu.Lock()
		m.waiting = slices.DeleteFunc(m.waiting, func(w *waiter) bool { return w == waiting[next] })
		m.mu.Unlock()
		close(waiting[next].turn)
	}
}

func (m *model) runInParallel() {
	var group sync.WaitGroup
	for i, c := range m.clients {
		group.Go(func() { m.runClient(i, c) })
	}
	group.Wait()
}

func (m *model) runClient(i int, client *modelClient) {
	for _, c := range client.program {
		m.waitForTurn(i)
		m.runCall(client, c)
	}
}

func (m *model) runCall(client *modelClient, c *call) {
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), callKey{}, c))
	defer cancel()
	c.cancel = cancel
	m.choose(c)
	c.from, c.start = time.Now(), m.now()
	c.err = m.do(ctx, client, c)
	c.end = m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, c)
	if c.wrapped != nil && c.action == wrapDataKey {
		m.wrapped = append(m.wrapped, c.wrapped)
	}
}

// choose picks the version to read, or the data key to unwrap, among those
// known by now.
func (m *model) choose(c *call) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case c.action == readVersion:
		c.version = formatUUID(newUUID())
		makers := slices.DeleteFunc(slices.Clone(m.writes), func(w *write) bool { return w.version == "" })
		if len(makers) > 0 {
			c.version = makers[c.pick%len(makers)].version
		}
	case c.action == unwrapDataKey && len(m.wrapped) > 0:
		c.wrapped = m.wrapped[c.pick%len(m.wrapped)]
		c.id, c.version = c.wrapped.id, c.wrapped.version
	}
}

func (m *model) do(ctx context.Context, client *modelClient, c *call) (err error) {
	switch c.action {
	case createKey:
		_, err = client.store.CreateKey(ctx, c.id, modelContext)
	case versionKey:
		err = client.store.VersionKey(ctx, c.id)
	case readActive:
		c.got, err = client.store.ActiveBranchKey(ctx, c.id)
	case readVersion:
		c.got, err = client.store.BranchKeyVersion(ctx, c.id, c.version)
	case readBeacon:
		c.got, err = client.store.BeaconKey(ctx, c.id)
	case wrapDataKey:
		c.wrapped, err = modelWrap(ctx, client.keyring, c.id)
	case unwrapDataKey:
		if c.wrapped != nil {
			c.dataKey, err = client.keyring.Unwrap(ctx, &esdk.UnwrapRequest{
				Suite: esdk.AES256GCMHKDFSHA512Commit, EncryptionContext: esdk.EncryptionContext{"key": c.id},
				EncryptedDataKeys: []esdk.EncryptedDataKey{c.wrapped.edk},
			})
		}
	case rekeyBranchKey:
		c.changed, err = client.store.RekeyBranchKey(ctx, c.id, c.to)
	case listEntries:
		c.entries, err = collect(client.store.List(ctx, c.id))
	case sleep:
		if m.schedule {
			time.Sleep(c.pause)
		}
	}
	return err
}

func modelWrap(ctx context.Context, kr esdk.Keyring, id string) (*wrappedKey, error) {
	r, err := kr.Wrap(ctx, &esdk.WrapRequest{Suite: esdk.AES256GCMHKDFSHA512Commit, EncryptionContext: esdk.EncryptionContext{"key": id}})
	if err != nil {
		return nil, err
	}
	edk := r.EncryptedDataKeys[0]
	return &wrappedKey{string(edk.ProviderInfo), versionOf(edk.Ciphertext), r.DataKey, edk}, nil
}

func (m *model) waitForTurn(client int) {
	if !m.schedule || client == nobody {
		return
	}
	w := &waiter{client, make(chan struct{})}
	m.mu.Lock()
	m.waiting = append(m.waiting, w)
	m.mu.Unlock()
	<-w.turn
}

// step waits for the turn of a call, and returns the fault of its next step.
func (m *model) step(c *call) faultKind {
	m.waitForTurn(c.client)
	n := c.steps.Add(1) - 1
	if c.fault.kind == noFault || n < c.fault.step || n > c.fault.step && !c.fault.sticky {
		return noFault
	}
	c.faulted.Store(true)
	m.mu.Lock()
	m.faults = append(m.faults, mishap{m.now(), c})
	m.mu.Unlock()
	return c.fault.kind
}

var errInjected = errors.New("a fault of the model")

// A recorder wraps the storage of a Store. It records each Write, and the state
// that each call read.
type recorder struct {
	Storage
	m *model
}

func (r recorder) Get(ctx context.Context, id, itemType string, consistent bool) (*Item, error) {
	start := r.m.now()
	item, err := r.Storage.Get(ctx, id, itemType, consistent)
	if c := callOf(ctx); c != nil && err == nil && itemType == activeType {
		c.read, c.readAt = item.Enc, start
	}
	return item, err
}

func (r recorder) Write(ctx context.Context, puts ...Put) error {
	w := &write{call: callOf(ctx), id: puts[0].Item.ID, puts: puts, start: r.m.now()}
	for _, p := range puts {
		if p.Item.Type == activeType {
			w.replaces = p.Replaces
		} else if p.Replaces == nil && p.Item.Type != beaconType {
			w.version = p.Item.version()
		}
	}
	r.m.mu.Lock()
	r.m.writes = append(r.m.writes, w)
	r.m.mu.Unlock()
	err := r.Storage.Write(ctx, puts...)
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	w.err, w.end, w.to = err, r.m.now(), time.Now()
	return err
}
