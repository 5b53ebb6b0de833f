package lake_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"esdk/esdktest/kmssim"
	"esdk/lake"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

var rated = flag.Int("lake-rates", 0, "`NUMBER` of objects of TestRates; 0 does not run it")

// kmsLatency is the latency of AWS KMS within a Region.
const kmsLatency = 5 * time.Millisecond

// TestRates prints the speed of re-encryption by the command, and by one, two
// and three workers, and the number of requests. It compares nothing: all
// programs, the store and the key service share the machine.
func TestRates(t *testing.T) {
	if *rated == 0 {
		t.Skip("NOT RUN: -lake-rates says how many objects")
	}
	w := newWorld(t)
	w.startTemporal()
	sim := kmssim.New()
	t.Cleanup(sim.Close)
	sim.SetLatency(kmsLatency)
	t.Setenv("AWS_ENDPOINT_URL_KMS", sim.URL())
	all := make(map[string]object)
	for i := range *rated {
		all[fmt.Sprintf("data/%06d", i)] = object{key: "@old", message: true}
	}
	w.put(all)
	key := func() string { return sim.CreateKey("us-east-1", types.KeySpecSymmetricDefault) }
	under := "@old"
	for _, kind := range []struct {
		name, key, other string
		flags            []string
	}{
		{"raw AES keys", "@old", "@new", nil},
		{"raw AES keys, unsigned", "@old", "@new", []string{"--unsigned"}},
		{"AWS KMS", key(), key(), nil},
		{"AWS KMS, --cache, unsigned", key(), key(), []string{"--unsigned", "--cache", "max-age=10m,max-messages=1000"}},
	} {
		for workers := range 4 {
			to := kind.key
			if to == under {
				to = kind.other
			}
			flags := slices.Concat([]string{"--from-key", under, "-k", to, "--skip-done", "header"}, kind.flags)
			under = to
			sim.Reset()
			w.door.counts()
			r := w.rate(workers, fmt.Sprintf("%s %d", kind.name, workers), flags)
			passed, _ := w.door.counts()
			requests := []string{fmt.Sprint("S3 ", passed)}
			counts := sim.Counts()
			for _, operation := range slices.Sorted(maps.Keys(counts)) {
				requests = append(requests, fmt.Sprint(operation, " ", counts[operation]))
			}
			t.Logf("%-28s %d workers: %6.0f objects/s %6.1f MB/s in %5.1f s; %s", kind.name, workers,
				float64(*rated)/r.took.Seconds(), float64(r.bytes)/1e6/r.took.Seconds(), r.took.Seconds(), strings.Join(requests, ", "))
		}
	}
}

type rate struct {
	took  time.Duration
	bytes int64
}

// rate re-encrypts all objects with the given number of workers, or with the
// command if there are none.
func (w *world) rate(workers int, id string, flags []string) rate {
	w.t.Helper()
	if workers == 0 {
		program, err := mainCommand()
		w.check(err)
		report := w.t.TempDir() + "/report"
		args := append([]string{"reencrypt", "-r", "--in-place", "-q", "--report", report}, flags...)
		begun := time.Now()
		out, err := exec.Command(program, append(args, w.url(w.bucket, "data/"))...).CombinedOutput()
		took := time.Since(begun)
		if err != nil {
			w.t.Fatalf("%v: %s", err, out)
		}
		var bytes int64
		for _, o := range w.objects(w.bucket, "data/") {
			bytes += aws.ToInt64(o.Size)
		}
		return rate{took, bytes}
	}
	for range workers {
		p := w.worker()
		defer p.end(syscall.SIGTERM)
	}
	begun := time.Now()
	args := w.startArgs("data", "--wait", "--json", "--id", id, "--objects", strconv.Itoa(max(1, *rated/50)))
	args = append(args[:slices.Index(args, "--")+1], flags...)
	var report lake.Report
	w.check(json.Unmarshal([]byte(w.esdkLake(0, args...)), &report))
	if report.OK != *rated {
		w.t.Errorf("%+v", report)
	}
	return rate{time.Since(begun), report.Bytes}
}
