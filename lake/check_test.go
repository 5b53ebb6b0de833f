package lake

import (
	"context"
	"strings"
	"testing"
	"time"
)

// TestCheck rejects leases that are too short, and results that a worker
// couldn't write, or would mistake for messages.
func TestCheck(t *testing.T) {
	t.Setenv("AWS_PROFILE", "missing") // unlike the workers' profile
	rotation := func(folder, results string) *Job {
		return &Job{Task: Task{Source: Source{Folder: folder}, Flags: []string{"--from-key", "@old", "-k", "@new"}}, Results: results}
	}
	for _, c := range []struct{ folder, results, want string }{
		{"s3://b/f/", "s3://b/x/", ""},
		{"s3://b/a/c/", "s3://b/a//c/", ""},
		{"s3://b/a//c/", "s3://b/a/c/", ""},
		{"s3://b/a//c/", "s3://b/a//c/x/", "outside of the directory"},
		{"s3://b/f/", "s3://b/x/../f/", `".."`},
		{"s3://b/f/", "s3://b/x/%2e%2e/f/", `".."`},
		{"s3://b/f/", "s3://b/./f/", `"."`},
		{"s3://b/f/", "s3://c/?storageclass=GLACIER", "storageclass"},
		{"s3://b/f/", "s3://c/?tags=SECRET", "tags"},
		{"s3://b/f/", "s3://c/?part-size=64M", "part-size"},
		{"s3://b/f/", "s3://c/?conditional-writes=false", "conditional-writes"},
		{"s3://b/f/", "s3://c/?%zz=SECRET", "malformed"},
		{"s3://b/f/", "s3://c/?region=us-east-1&use_path_style=true", ""},
		{"s3://b/f/", "s3://c/?regio=SECRET&region=SECRET", `unknown query parameter "regio"`},
		{"s3://b/f/", "s3://c/?use_path_style=yes&region=SECRET", "use_path_style"},
		{"s3://b/f/", "s3://c/?profile=workers", ""},
		{"s3://b/f/", "s3://c/?role=arn:aws:iam::111122223333:role/workers", ""},
		{"s3://b/f/", "nosuch://c/", "nosuch"},
	} {
		err := rotation(c.folder, c.results).Check()
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "SECRET")) {
			t.Errorf("%s into %s: %v, want %q", c.folder, c.results, err, c.want)
		}
	}
	for manifest, good := range map[string]bool{
		"s3://inv/lake/all/2026-11-06T01-00Z/manifest.json?region=eu-west-1": true,

		"s3://inv": false, "s3://inv/lake/all/": false, "s3:///manifest.json": false, "gs://inv/manifest.json": false, "manifest.json": false,
	} {
		r := rotation("", "s3://c/")
		r.Inventory = manifest
		if err := r.Check(); (err == nil) != good || err != nil && !strings.Contains(err.Error(), "manifest.json") {
			t.Errorf("%s: %v", manifest, err)
		}
	}
	for _, negative := range []Job{{Objects: -1}, {Parallel: -1}, {RunChunks: -1}} {
		r := rotation("s3://b/f/", "s3://c/")
		r.Objects, r.Parallel, r.RunChunks = negative.Objects, negative.Parallel, negative.RunChunks
		if err := r.Check(); err == nil || !strings.Contains(err.Error(), "at least 1") {
			t.Errorf("%+v: %v", negative, err)
		}
	}
	for _, lease := range []time.Duration{-1, 1, minLease - 1} {
		r := rotation("s3://b/f/", "s3://c/")
		r.Lease = lease
		if err := r.Check(); err == nil || !strings.Contains(err.Error(), "lease") {
			t.Errorf("a lease of %s: %v", lease, err)
		}
	}
}

// TestWithin leaves keys unchanged.
func TestWithin(t *testing.T) {
	for in, want := range map[string]string{
		"s3://b/a//c?region=x": "s3://b/a//c/id/?region=x",
		"s3://b/a/../c/":       "s3://b/a/../c/id/",
		"s3://b/a%20%2F/":      "s3://b/a%20//id/",
		"s3://b":               "s3://b/id/",
	} {
		if got := within(in, "id"); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// TestOpenResults names the wrong parameter, without revealing the others.
func TestOpenResults(t *testing.T) {
	_, err := openResults(context.Background(), "s3://b/a/?region=SECRET&no-such=SECRET")
	if err == nil || strings.Contains(err.Error(), "SECRET") || !strings.Contains(err.Error(), "no-such") {
		t.Error(err)
	}
}

// TestShortLease holds the lease of a workflow that nobody has checked.
func TestShortLease(t *testing.T) {
	for _, length := range []time.Duration{0, 1} {
		l, _ := newLease(t.Context(), &fakeServer{answer: func(context.Context) error { return nil }}, nil, length, nil, nil)
		l.release()
	}
}
