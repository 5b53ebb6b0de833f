package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"esdk"
	"esdk/awskms"
	"esdk/cmd/esdk/internal/calls"
	"esdk/esdktest/kmssim"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

var countRuns = flag.Int("count-runs", 12, "runs of TestCallCounts")

// TestCallCounts runs random commands on random inputs, with a simulator of AWS
// KMS that often fails. The run must count the requests that the simulator got,
// and each input the requests with its encryption context.
func TestCallCounts(t *testing.T) {
	for i := range *countRuns {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			newCountRun(t, seed).test()
		})
	}
}

// A countRun has inputs whose encryption contexts are id=0, id=1 and so on.
type countRun struct {
	*testing.T
	rand *rand.Rand
	sim  *kmssim.Server
	dir  string
	keys []string          // of AWS KMS
	ids  map[string]string // of the inputs by name
	args []string
}

func newCountRun(t *testing.T, seed uint64) *countRun {
	r := &countRun{T: t, rand: rand.New(rand.NewPCG(seed, 0)), sim: kmssim.New(), dir: t.TempDir(), ids: make(map[string]string)}
	t.Cleanup(r.sim.Close)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d: %q", seed, r.args)
		}
	})
	for range 3 {
		r.keys = append(r.keys, r.sim.CreateKey("us-west-2", types.KeySpecSymmetricDefault))
	}
	r.keys = append(r.keys, r.sim.CreateMultiRegionKey("us-west-2", types.KeySpecSymmetricDefault))
	return r
}

func (r *countRun) coin() bool { return r.rand.IntN(2) == 0 }

// key returns a random key.
func (r *countRun) key() string { return r.keys[r.rand.IntN(len(r.keys))] }

// esdk runs the command, and returns its outputs.
func (r *countRun) esdk(args ...string) (stdout, stderr string) {
	c := exec.Command("esdk", args...)
	c.Dir = r.dir
	c.Env = append(os.Environ(), "HOME="+r.dir, "XDG_CONFIG_HOME="+r.dir, "AWS_ENDPOINT_URL="+r.sim.URL(), "AWS_REGION=us-west-2",
		"AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret", "AWS_MAX_ATTEMPTS=2")
	var out, says bytes.Buffer
	c.Stdout, c.Stderr = &out, &says
	c.Run() // some inputs are meant to fail
	return out.String(), says.String()
}

func (r *countRun) write(name string, b []byte) string {
	r.Helper()
	file := filepath.Join(r.dir, "in", name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		r.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		r.Fatal(err)
	}
	return filepath.Join("in", name)
}

// messages writes messages under one or two keys. Some are there twice, some
// are cut short, and some inputs aren't messages.
func (r *countRun) messages(generator string) {
	c := awskms.Config{Clients: awskms.FixedClient(r.sim.Client("us-west-2"))}
	for i := range 3 + r.rand.IntN(5) {
		var more []string
		if r.coin() {
			more = []string{r.keys[(i+1)%len(r.keys)]}
		}
		kr, err := awskms.NewKeyring(c, generator, more...)
		if err != nil {
			r.Fatal(err)
		}
		id := strconv.Itoa(i)
		message, err := esdk.Encrypt(r.Context(), kr, pattern(r.rand.IntN(10000)), esdk.EncryptionContext{"id": id})
		if err != nil {
			r.Fatal(err)
		}
		switch r.rand.IntN(6) {
		case 0:
			message = message[:len(message)-1-r.rand.IntN(len(message)/3)]
		case 1:
			r.ids[r.write(id+"twice", message)] = id
		case 2:
			r.ids[r.write(id+"none", []byte("plaintext"))] = id + "none"
		}
		r.ids[r.write(id, message)] = id
	}
}

// test runs a random command, and runs it again, when much is done already.
func (r *countRun) test() {
	generator := r.key()
	attributable, report := true, []string{"-", "log"}[r.rand.IntN(2)]
	var args []string
	switch r.rand.IntN(5) {
	case 0:
		r.messages(generator)
		args, report = []string{"verify", "-k", r.key(), "-k", generator}, "log" // verify writes its results to standard output
	case 1:
		r.messages(generator)
		args = []string{"decrypt", "--no-clobber", "-k", generator, "-o", "out"}
	case 2:
		r.messages(generator)
		args = []string{"reencrypt", "--from-key", generator, "-k", r.key(), "--in-place"}
	case 3:
		r.messages(generator)
		args = []string{"reencrypt", "--no-clobber", "--from-key", generator, "-k", r.keys[0], "-k", r.keys[1], "-o", "out"}
	case 4: // all have one context
		attributable = false
		for i := range 3 + r.rand.IntN(5) {
			r.ids[r.write(strconv.Itoa(i), pattern(r.rand.IntN(10000)))] = ""
		}
		args = []string{"encrypt", "--no-clobber", "-k", r.keys[0], "-k", r.keys[1], "-o", "out"}
		if r.coin() {
			r.esdk("keystore", "create", "--file", "store", "--logical-name", "keys", "--kms-key", generator)
			r.esdk("keystore", "key", "create", "--file", "store", "--logical-name", "keys", "--kms-key", generator, "--id", "b", "-c", "tenant=b")
			args = append(args, "-k", "branch:keys/b?kms="+generator+"&file=store")
		}
	}
	if args[0] != "verify" && r.coin() {
		args = append(args, "--cache", "max-age=1h,max-messages=2,max-bytes=12K")
	}
	r.args = append(args, "-r", "--json", "--jobs", strconv.Itoa(1+r.rand.IntN(4)), "--retry-for", "1s", "--report", report, "in")
	if !strings.Contains(strings.Join(args, " "), "branch:") {
		r.fail() // otherwise a failure may cancel a request before it arrives
	}
	for range 2 {
		r.sim.Reset()
		os.Remove(filepath.Join(r.dir, "log"))
		stdout, stderr := r.esdk(r.args...)
		if report == "log" {
			b, err := os.ReadFile(filepath.Join(r.dir, "log"))
			if err != nil {
				r.Fatalf("%v: %s", err, stderr)
			}
			stdout = string(b)
		}
		r.check(stdout, stderr, attributable)
	}
}

// fail lets requests fail at random.
func (r *countRun) fail() {
	codes := []string{"ThrottlingException", "KMSInternalException", "AccessDeniedException", ""}
	var mu sync.Mutex
	often := r.rand.IntN(30)
	r.sim.Fault(func(*kmssim.Request) *kmssim.Fault {
		mu.Lock()
		defer mu.Unlock()
		if r.rand.IntN(100) >= often {
			return nil
		}
		code := codes[r.rand.IntN(len(codes))]
		return &kmssim.Fault{Code: code, Reset: code == ""}
	})
}

// check compares the counts of the report and of the summary with the requests
// that the simulator got.
func (r *countRun) check(report, stderr string, attributable bool) {
	want := make(map[string]int64)
	for operation, n := range r.sim.Counts() {
		want[operation] = int64(n)
	}
	wantOf := make(map[string]map[string]int64) // by the ID of an input
	for _, q := range r.sim.Requests() {
		ec, _ := q.Input["EncryptionContext"].(map[string]any)
		id, _ := ec["id"].(string)
		add(wantOf, id, q.Operation, 1)
	}
	type counted struct {
		Name   string
		Inputs int
		calls.Counts
	}
	var run struct{ Summary counted }
	for line := range strings.Lines(stderr) {
		if strings.HasPrefix(line, `{"summary":`) {
			if err := json.Unmarshal([]byte(line), &run); err != nil {
				r.Fatal(err)
			}
		}
	}
	if run.Summary.Inputs != len(r.ids) || !maps.Equal(run.Summary.KMS, want) && len(want)+len(run.Summary.KMS) > 0 {
		r.Errorf("the summary counts %v, and the simulator %v: %s", run.Summary.KMS, want, stderr)
	}
	got, gotOf, lines := make(map[string]int64), make(map[string]map[string]int64), 0
	var cache calls.CacheCounts
	for line := range strings.Lines(report) {
		var one counted
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			r.Fatal(err)
		}
		lines++
		id, ok := r.ids[one.Name]
		if !ok {
			r.Errorf("unknown input %q", one.Name)
		}
		for operation, n := range one.KMS {
			got[operation] += n
			add(gotOf, id, operation, n)
		}
		if one.Cache != nil {
			cache.Hits, cache.Misses = cache.Hits+one.Cache.Hits, cache.Misses+one.Cache.Misses
		}
	}
	if lines != len(r.ids) {
		r.Errorf("the report has %d lines: %s", lines, stderr)
	}
	if !maps.Equal(got, want) {
		r.Errorf("all inputs count %v, and the simulator %v", got, want)
	}
	if attributable && !maps.EqualFunc(gotOf, wantOf, maps.Equal) {
		r.Errorf("the inputs count %v, and the simulator %v", gotOf, wantOf)
	}
	if total := run.Summary.Cache; total != nil && (total.Hits != cache.Hits || total.Misses != cache.Misses) || total == nil && cache.Hits+cache.Misses > 0 {
		r.Errorf("all inputs count %+v, and the summary %+v", cache, total)
	}
}

func add(to map[string]map[string]int64, id, operation string, n int64) {
	if to[id] == nil {
		to[id] = make(map[string]int64)
	}
	to[id][operation] += n
}
