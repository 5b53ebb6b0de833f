package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"esdk/lake"
	"go.temporal.io/sdk/temporal"
	_ "gocloud.dev/blob/fileblob" // opens file://
)

// write writes files to the working directory of a test.
func write(t *testing.T, files map[string]string) {
	t.Helper()
	for name, content := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func reportText(t *testing.T, r *lake.Report) string {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestListing lists results, and reports whether they are partial, or missing.
func TestListing(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Chdir(t.TempDir())
	report := func(end string, audit bool) string {
		return reportText(t, &lake.Report{Workflow: "nightly", End: end, Task: lake.Task{Audit: audit}})
	}
	line := `{"name":"s3://lake/a","result":"failed","error":"503"}` + "\n"
	write(t, map[string]string{
		"done/report.json": report(lake.Complete, true), "done/failures/1.jsonl": line, "done/matches/1.jsonl": line,
		"rotation/report.json": report(lake.Complete, false), "rotation/failures/1.jsonl": line,
		"cancelled/report.json": report("cancelled", true), "cancelled/failures/1.jsonl": line,
		"running/chunks/1.jsonl": line, "running/failures/1.jsonl": line,
		"begun/parts/1.jsonl":   line,
		"above/run/report.json": report(lake.Complete, true),
	})
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, "<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>")
	}))
	defer store.Close()
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": store.URL} {
		t.Setenv(name, value)
	}
	for _, c := range []struct {
		command, folder string
		code, listed    int
		want            string
	}{
		{"failures", "file://./done/", 0, 1, ""},
		{"matches", "file://./done", 0, 1, ""},
		{"failures", "file://./rotation/", 0, 1, ""},
		{"matches", "file://./rotation/", exitUsage, 0, "nightly is a rotation"},
		{"failures", "file://./cancelled/", exitSomeFailed, 1, "part of the objects: nightly did not complete: cancelled"},
		{"failures", "file://./running/", exitSomeFailed, 1, "the job is running"},
		{"failures", "file://./begun/", exitSomeFailed, 0, "the job is running"},
		{"failures", "file://./above/", exitError, 0, "no results of a job found"},
		{"matches", "file://./typo/", exitError, 0, "no results of a job found"},
		{"failures", "s3://gone/x/?use_path_style=true", exitError, 0, "s3://gone/x/: no such bucket"},
		{"failures", "rotation-8d20b2c1f3aa", exitUsage, 0, "is not a URL"},
	} {
		root, out := newRoot(new(bool)), new(bytes.Buffer)
		root.SetArgs([]string{c.command, "--print0", c.folder})
		root.SetOut(out)
		err := root.Execute()
		code := 0
		if status, ok := errors.AsType[*statusError](err); ok {
			code = status.code
		} else if err != nil {
			code = exitError
		}
		if listed := bytes.Count(out.Bytes(), []byte{0}); code != c.code || listed != c.listed || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: exit code %d, %d names, %v; want %+v", c.command, c.folder, code, listed, err, c)
		}
	}
}

// TestPartial prints the report of a job that was cancelled or failed, if there
// is one.
func TestPartial(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Chdir(t.TempDir())
	cause := temporal.NewNonRetryableApplicationError("access denied", "Listing", nil)
	server := &fakeServer{t: t, kind: "Rotate", job: lake.Job{Results: "file://./r/"}}
	failed := &ended{err: errors.Join(new(temporal.WorkflowExecutionError), cause)}
	await := func(o *printOptions) (string, error) {
		var out bytes.Buffer
		err := o.await(t.Context(), testConnection(), server, failed, &out, nil)
		return out.String(), err
	}
	if out, err := await(new(printOptions)); err == nil || out != "" || !strings.Contains(err.Error(), "access denied; its report cannot be read") {
		t.Errorf("%q, %v", out, err)
	}
	write(t, map[string]string{"r/id/first/chunks/1.jsonl": ""})
	if out, err := await(new(printOptions)); err == nil || out != "" || !strings.Contains(err.Error(), "no report found") {
		t.Errorf("%q, %v", out, err)
	}
	report := &lake.Report{Workflow: "id", End: "access denied", Missing: []int{3, 4}, Counts: lake.Counts{OK: 7}}
	write(t, map[string]string{"r/id/first/report.json": reportText(t, report)})
	for _, asJSON := range []bool{false, true} {
		out, err := await(&printOptions{json: asJSON})
		if err == nil || errors.As(err, new(*statusError)) || !strings.Contains(err.Error(), "did not complete: access denied") {
			t.Error(err)
		}
		for _, want := range []string{"7 objects", "end           access denied", "missing       chunks 3 4"} {
			if strings.Contains(out, want) == asJSON {
				t.Errorf("%q in %s", want, out)
			}
		}
		if asJSON != json.Valid([]byte(out)) {
			t.Errorf("JSON %v: %s", asJSON, out)
		}
	}
}

// TestNoneUnder reports keys of --under that may be misspelled.
func TestNoneUnder(t *testing.T) {
	r := &lake.Report{End: lake.Complete, SummaryResult: lake.SummaryResult{NoneUnder: []string{"lake/odl"}, Keys: "lake/old"}}
	var out bytes.Buffer
	if err := printReport(&out, r); err != nil || !strings.Contains(out.String(), "no message is under lake/odl; there are: lake/old\n") {
		t.Errorf("%v: %s", err, &out)
	}
}

// full is a full device.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// TestFull fails if the output can't be written.
func TestFull(t *testing.T) {
	done := &ended{report: lake.Report{Objects: 1, End: lake.Complete}}
	for _, asJSON := range []bool{false, true} {
		if err := (&printOptions{json: asJSON}).await(t.Context(), testConnection(), nil, done, full{}, nil); err == nil || !strings.Contains(err.Error(), "no space") {
			t.Errorf("JSON %v: %v", asJSON, err)
		}
	}
	if err := printStatus(full{}, &state{Status: new(lake.Status)}); err == nil {
		t.Error("a status is lost")
	}
}

// TestVerdict: one error reports both failed and matching objects.
func TestVerdict(t *testing.T) {
	r := &lake.Report{Objects: 9, Counts: lake.Counts{Failed: 2, Matches: 1}, Results: "s3://audit/a/"}
	err := (&printOptions{failIf: true}).verdict(r)
	if err == nil || !strings.Contains(err.Error(), `2 of 9 objects failed: "esdk-lake failures s3://audit/a/" lists them, and 1 of 9 objects match: "esdk-lake matches`) {
		t.Error(err)
	}
	if err := new(printOptions).verdict(r); err == nil || strings.Contains(err.Error(), "match") {
		t.Error(err)
	}
}

// TestJSONErrors prints errors as JSON where results are.
func TestJSONErrors(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Chdir(t.TempDir())
	closed := httptest.NewServer(http.NotFoundHandler())
	address := closed.Listener.Addr().String()
	closed.Close()
	for _, c := range []struct {
		args string
		code int
		kind string // "" for text
		says string
	}{
		{"failures --json nightly", exitUsage, "usage", "is not a URL"},
		{"failures nightly", exitUsage, "", "is not a URL"},
		{"failures --json file://./nowhere/", exitError, "error", "no results of a job"},
		{"report --json --address " + address + " nightly", exitError, "error", "connecting to Temporal"},
		{"report --json", exitUsage, "usage", "arg"},
		{"report --nosuch --json nightly", exitUsage, "usage", "nosuch"},
		{"report --nosuch nightly", exitUsage, "", "nosuch"},
		{"cancel --json nightly", exitUsage, "", "unknown flag: --json"},
		{"start --json s3://lake/data/ --results s3://audit/ -- --suite nosuch", exitUsage, "usage", "--from-key"},
		{"start s3://lake/data/ --results s3://audit/ -- --json", exitUsage, "", "--json"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), strings.Fields(c.args), &stdout, &stderr)
		var said struct {
			Error struct {
				Code          int
				Kind, Message string
			}
		}
		err := json.Unmarshal(stderr.Bytes(), &said)
		if code != c.code || stdout.Len() > 0 || !strings.Contains(stderr.String(), c.says) || (err == nil) != (c.kind != "") {
			t.Errorf("%s: exit code %d, %q and %q", c.args, code, &stdout, &stderr)
		}
		if e := said.Error; e.Kind != c.kind || err == nil && e.Code != code || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%s: %q", c.args, &stderr)
		}
	}
}
