package place

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/url"
	"testing"

	"esdk/cmd/esdk/internal/cli"
	"gocloud.dev/blob/memblob"
)

// A name's shard follows a rule that other programs use too.
func TestShardRule(t *testing.T) {
	// printf %s 'lake/a/b' | sha256sum | cut -c 1-16
	for name, sum := range map[string]uint64{"lake/a/b": 0x6d8e5bfb221f4d35, "lake/ö +": 0x5700b0556f7a2309} {
		for _, count := range []uint64{1, 2, 7, 10_000} {
			for _, index := range []uint64{sum % count, (sum + 1) % count} {
				if s := (shard{index, count}); s.has(name) != (index == sum%count) {
					t.Errorf("%s in shard %d of %d: %t", name, index, count, s.has(name))
				}
			}
		}
	}
}

// The shards of any number of names contain each name exactly once, and about
// equally many.
func TestShardsDisjointAndComplete(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		names := make([]string, r.IntN(3000))
		for i := range names {
			names[i] = fmt.Sprintf("lake/%x/%d", r.Uint64()>>r.IntN(64), i)
		}
		count := 1 + r.IntN(40)
		seen := make(map[string]int)
		for index := range count {
			s, err := parseShard(fmt.Sprintf("%d/%d", index, count), nil)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, name := range names {
				if s.has(name) {
					n++
					seen[name]++
				}
			}
			// Six standard deviations, and some more for few names.
			if mean := float64(len(names)) / float64(count); float64(n) > mean+6*math.Sqrt(mean)+6 || float64(n) < mean-6*math.Sqrt(mean)-6 {
				t.Errorf("shard %d of %d has %d of %d names", index, count, n, len(names))
			}
		}
		for _, name := range names {
			if seen[name] != 1 {
				t.Fatalf("%s is in %d of %d shards", name, seen[name], count)
			}
		}
	}
}

func TestParseShard(t *testing.T) {
	const batch, kubernetes = "AWS_BATCH_JOB_ARRAY_INDEX", "JOB_COMPLETION_INDEX"
	for _, c := range []struct {
		text        string
		environment map[string]string
		want        shard
		fails       bool
	}{
		{text: "", want: shard{}},
		{text: "0/1", want: shard{0, 1}},
		{text: "3/4", want: shard{3, 4}},
		{text: "3/4", environment: map[string]string{batch: "1"}, want: shard{3, 4}},
		{text: "env/4", environment: map[string]string{batch: "1"}, want: shard{1, 4}},
		{text: "env/4", environment: map[string]string{kubernetes: "2"}, want: shard{2, 4}},
		{text: "env/4", environment: map[string]string{batch: "2", kubernetes: "2"}, want: shard{2, 4}},
		{text: "env/4", environment: map[string]string{batch: "2", kubernetes: "3"}, fails: true},
		{text: "env/4", fails: true},
		{text: "env/4", environment: map[string]string{batch: "4"}, fails: true},
		{text: "env/4", environment: map[string]string{batch: "x"}, fails: true},
		{text: "env", environment: map[string]string{batch: "1"}, fails: true},
		{text: "4/4", fails: true},
		{text: "-1/4", fails: true},
		{text: "1/0", fails: true},
		{text: "1/99999999999", fails: true},
		{text: "1", fails: true},
		{text: "/4", fails: true},
		{text: "1/", fails: true},
		{text: "1/2/3", fails: true},
	} {
		got, err := parseShard(c.text, func(name string) string { return c.environment[name] })
		if c.fails != (err != nil) || got != c.want && err == nil || err != nil && cli.ExitStatus(err) != cli.ExitUsage {
			t.Errorf("%q with %v: %v, %v", c.text, c.environment, got, err)
		}
	}
}

// The shards of a command line are disjoint and complete for any inputs: files,
// directories, objects, lists and inventories. The spelling of an object's name
// doesn't matter.
func TestShardsOfInputs(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	files(t, "a", "d/b", "d/sub/c", "d/e", "f", "g h")
	in := memblob.OpenBucket(nil)
	var keys []string
	for i := range 60 {
		keys = append(keys, fmt.Sprintf("k%%/ö %d", i))
		if err := in.WriteAll(context.Background(), keys[i], nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	count := 2 + r.IntN(6)
	escaped := func(key string) string { return "s3://lake/" + (&url.URL{Path: key}).EscapedPath() }
	for _, way := range []func() []string{
		func() []string { return []string{"a", "d", "f", "g h", "none", "s3://lake/k%25/ö 7"} },
		func() []string { return []string{"s3://lake/"} },
		func() []string {
			var all []string
			for _, key := range keys {
				all = append(all, escaped(key))
			}
			return all
		},
		func() []string {
			var all []string
			for _, key := range keys {
				all = append(all, "s3://lake/"+url.PathEscape(key))
			}
			return all
		},
	} {
		for _, recursive := range []bool{true, false} {
			whole, parts := make(map[string]string), make(map[string]string)
			shardOf := func(text string, of map[string]string) {
				p := newPlanner()
				p.Buckets.UseTest("s3://lake", in)
				plan, err := p.Inputs(context.Background(), way(), &InputOptions{Recursive: recursive, Shard: text})
				if err != nil {
					t.Fatal(err)
				}
				for j := range plan.All() {
					of[j.Source.Name()] += fmt.Sprint(shardName(j.Source), j.Err, ";")
				}
			}
			shardOf("", whole)
			for index := range count {
				shardOf(fmt.Sprintf("%d/%d", index, count), parts)
			}
			if !maps.Equal(whole, parts) {
				t.Errorf("recursive %t:\n%q\nwant\n%q", recursive, parts, whole)
			}
		}
	}
}
