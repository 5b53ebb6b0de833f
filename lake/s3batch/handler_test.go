package main

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"esdk/cmd/esdk/bulk"

	"github.com/aws/aws-lambda-go/events"
)

// A fake rotation returns one result, and records the requested names.
type fake struct {
	result bulk.Result
	err    error
	names  []string
}

func (f *fake) Do(ctx context.Context, names iter.Seq[string], each func(bulk.Result) error) error {
	f.names = append(f.names, slices.Collect(names)...)
	if f.err != nil {
		return f.err
	}
	return each(f.result)
}

func readEvent(t *testing.T, name string) (e event) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &e); err != nil {
		t.Fatal(err)
	}
	return e
}

// TestNames verifies that both versions of the schema name the intended object,
// and that our event has the fields of aws-lambda-go.
func TestNames(t *testing.T) {
	for file, want := range map[string]string{
		"v1.json":         "s3://example-lake/lake/2026/a b+c%25%3F%23ü.encrypted",
		"v1-version.json": "s3://example-lake/lake/version",
		"v2.json":         "s3://example-lake/lake/v2",
	} {
		f := &fake{result: bulk.Result{Status: bulk.OK}}
		h := &handler{f, func(context.Context, string, string) (string, error) { return "vErSiOnOfThEtAsK", nil }}
		e := readEvent(t, file)
		got, err := h.handle(t.Context(), e)
		if err != nil || !slices.Equal(f.names, []string{want}) {
			t.Errorf("%s: %q, %v, want %q", file, f.names, err, want)
			continue
		}
		if r := got.Results; len(r) != 1 || r[0] != (events.S3BatchJobResult{TaskID: e.Tasks[0].ID, ResultCode: "Succeeded", ResultString: "ok"}) ||
			got.InvocationID != e.Invocation || got.InvocationSchemaVersion != e.Schema || got.TreatMissingKeysAs == "" {
			t.Errorf("%s: %+v", file, got)
		}
	}
	text, err := os.ReadFile("testdata/v1-version.json")
	if err != nil {
		t.Fatal(err)
	}
	var theirs events.S3BatchJobEvent
	if err := json.Unmarshal(text, &theirs); err != nil {
		t.Fatal(err)
	}
	e := readEvent(t, "v1-version.json")
	if i := theirs.Tasks[0]; i.TaskID != e.Tasks[0].ID || i.S3Key != e.Tasks[0].Key || i.S3VersionID != e.Tasks[0].Version || i.S3BucketARN != e.Tasks[0].BucketARN {
		t.Errorf("aws-lambda-go reads %+v", theirs)
	}
}

// TestAnswers: S3 calls again for failures that may succeed later, and for
// nothing else.
func TestAnswers(t *testing.T) {
	failed := func(kind string, retryable bool) bulk.Result {
		return bulk.Result{Status: bulk.Failed, Kind: kind, Error: "reason", Retryable: retryable}
	}
	for _, c := range []struct {
		result     bulk.Result
		err        error
		code, text string
	}{
		{bulk.Result{Status: bulk.OK}, nil, succeeded, "ok"},
		{bulk.Result{Status: bulk.Skipped, Reason: "already as requested"}, nil, succeeded, "skipped: already as requested"},
		{failed("throttled", true), nil, temporary, "throttled: reason"},
		{failed("changed", false), nil, temporary, "changed: reason"},
		{failed("no-key", false), nil, permanent, "no-key: reason"},
		{failed("forbidden", false), nil, permanent, "forbidden: reason"},
		{bulk.Result{}, context.DeadlineExceeded, temporary, "interrupted: the function's time is over; the object is as it was"},
		{bulk.Result{}, errors.New("no more files"), temporary, "interrupted: no more files"},
	} {
		h := &handler{rotation: &fake{result: c.result, err: c.err}}
		got, err := h.handle(t.Context(), readEvent(t, "v2.json"))
		if err != nil || got.Results[0].ResultCode != c.code || got.Results[0].ResultString != c.text {
			t.Errorf("%+v, %v: %+v, %v, want %s, %q", c.result, c.err, got, err, c.code, c.text)
		}
	}
}

// TestVersions: nothing is done unless the version of the task is the current
// one.
func TestVersions(t *testing.T) {
	for _, c := range []struct {
		current string
		err     error
		version string
		code    string
	}{
		{"v2", nil, "v2", succeeded},
		{"", nil, "null", succeeded},
		{"null", nil, "null", succeeded},
		{"v2", nil, "null", permanent},
		{"v3", nil, "v2", permanent},
		{"", nil, "v2", permanent},
		{"", errMissing, "v2", permanent},
		{"", errForbidden, "v2", permanent},
		{"", errors.New("timeout"), "v2", temporary},
	} {
		f := &fake{result: bulk.Result{Status: bulk.OK}}
		h := &handler{f, func(context.Context, string, string) (string, error) { return c.current, c.err }}
		e := readEvent(t, "v1-version.json")
		e.Tasks[0].Version = c.version
		got, err := h.handle(t.Context(), e)
		if err != nil || got.Results[0].ResultCode != c.code || (len(f.names) == 1) != (c.code == succeeded) {
			t.Errorf("%+v: %+v, %v, and %q was done", c, got, err, f.names)
		}
	}
}

// TestMalformed: events that S3 never sends fail, and names with another
// meaning in a URL are rejected.
func TestMalformed(t *testing.T) {
	h := &handler{rotation: &fake{result: bulk.Result{Status: bulk.OK}}}
	if got, err := h.handle(t.Context(), readEvent(t, "v2-arguments.json")); err == nil {
		t.Errorf("with user arguments: %+v", got)
	}
	for _, schema := range []string{"", "3.0"} {
		e := readEvent(t, "v2.json")
		e.Schema = schema
		if got, err := h.handle(t.Context(), e); err == nil {
			t.Errorf("schema %q: %+v", schema, got)
		}
	}
	for _, bad := range []task{
		{Key: "a"},
		{Key: "", Bucket: "b"},
		{Key: "%", Bucket: "b"},
		{Key: "%zz", Bucket: "b"},
		{Key: "a", Bucket: "b/c"},
		{Key: "a", Bucket: "b?endpoint=http%3A%2F%2Fexample.com"},
		{Key: "a", BucketARN: "b"},
		{Key: "a", BucketARN: "arn:aws:s3:::b/c"},
		{Key: "a", BucketARN: "arn:aws:sqs:::b"},
	} {
		f := &fake{result: bulk.Result{Status: bulk.OK}}
		h := &handler{rotation: f}
		got, err := h.handle(t.Context(), event{Schema: "1.0", Tasks: []task{bad}})
		if err != nil || got.Results[0].ResultCode != permanent || f.names != nil {
			t.Errorf("%+v: %+v, %v, and %q was done", bad, got, err, f.names)
		}
	}
}

// TestDeadline: the work ends before S3's time does.
func TestDeadline(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	want, _ := ctx.Deadline()
	h := &handler{rotation: deadline(func(ctx context.Context) {
		if got, ok := ctx.Deadline(); !ok || !got.Equal(want.Add(-graceTime)) {
			t.Errorf("the work may take until %v, want %v before %v", got, graceTime, want)
		}
	})}
	if _, err := h.handle(ctx, readEvent(t, "v2.json")); err != nil {
		t.Error(err)
	}
}

type deadline func(context.Context)

func (d deadline) Do(ctx context.Context, _ iter.Seq[string], each func(bulk.Result) error) error {
	d(ctx)
	return each(bulk.Result{Status: bulk.OK})
}

func TestPrintable(t *testing.T) {
	if got := printable("a\nb\x00c\"ü"); got != "a b c\"ü" {
		t.Errorf("%q", got)
	}
	for i := range 4 {
		if got := printable(strings.Repeat("x", i) + strings.Repeat("ü", maxText)); !utf8.ValidString(got) || len(got) > maxText+len("…") {
			t.Errorf("%d bytes: %q", len(got), got)
		}
	}
}

// TestArguments: only arrays of strings are accepted, and flags that the
// command rejects are rejected before any call.
func TestArguments(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	for text, want := range map[string]string{
		"":                              "not set",
		"-k @new":                       "not a JSON array",
		`["-k", 1]`:                     "not a JSON array",
		`{"-k": "@new"}`:                "not a JSON array",
		`[]`:                            "key",
		`["--no-such-flag"]`:            "no-such-flag",
		`["s3://bucket/key"]`:           "only flags are allowed",
		`["-k","@new"]`:                 "key",
		`["--from-key","@x","-k","@x"]`: "@x",
	} {
		if _, err := open(t.Context(), text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
