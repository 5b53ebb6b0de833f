package lake

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"esdk/cmd/esdk/bulk"
	"gocloud.dev/blob/memblob"
)

// TestSummary summarizes a cancelled audit from the chunks that have a file,
// and the summary says that it is partial.
func TestSummary(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	audit, err := bulk.OpenAudit(t.Context(), []string{"--not-a-message"})
	if err != nil {
		t.Fatal(err)
	}
	defer audit.Close()
	into := &results{memblob.OpenBucket(nil)}
	defer into.Close()
	write := func(number int, lines ...*Line) {
		var content []byte
		for _, l := range lines {
			content = append(content, l.text()...)
		}
		if err := into.WriteAll(t.Context(), chunkName(number), content, nil); err != nil {
			t.Fatal(err)
		}
	}
	other := json.RawMessage(`{"type":"object","input":"s3://lake/data/other?secret=SECRET","kind":"not-a-message","message_bytes":7}`)
	failed := json.RawMessage(`{"type":"object","input":"s3://lake/data/away","kind":"failed","error":"503","error_kind":"throttled"}`)
	write(1, &Line{Result: bulk.OK, Matches: true, Finding: other}, &Line{Result: bulk.Skipped, Reason: "directory marker"})
	write(3, &Line{Result: bulk.Failed, Finding: failed})
	in := &SummaryRequest{Last: 3, Report: Report{
		Task: Task{Source: Source{Folder: "s3://lake/data/?secret=SECRET"}}, End: "cancelled", Digest: "0123", Ended: time.Now(), Counts: Counts{BytesRead: 7},
	}}
	for range 2 { // again, if the end of the first wasn't reported
		if _, err := into.summarize(t.Context(), &work{Work: audit}, in); err != nil {
			t.Fatal(err)
		}
	}
	var summary struct {
		Inputs, Matches, Skipped int
		Current                  bool `json:"current_versions_only"`
		Read                     int  `json:"bytes_read"`
		Failed                   struct{ Messages int }
	}
	text, err := into.read(t.Context(), "summary.json")
	if err == nil {
		err = json.Unmarshal(text, &summary)
	}
	if err != nil || summary.Inputs != 2 || summary.Matches != 1 || summary.Skipped != 1 || summary.Failed.Messages != 1 || !summary.Current || summary.Read != 7 {
		t.Errorf("%v: %s", err, text)
	}
	page, err := into.read(t.Context(), "report.html")
	for _, want := range []string{"only a part", "cancelled", "s3://lake/data/other", "0123"} {
		if err != nil || !strings.Contains(string(page), want) {
			t.Errorf("%v: the page says nothing of %s", err, want)
		}
	}
	if strings.Contains(string(page), "SECRET") {
		t.Error("the page has parameters, which may be secret")
	}
	write(4, &Line{Result: bulk.OK, Finding: json.RawMessage(`{"kind":"message"}`)})
	in.Last = 4
	if _, err := into.summarize(t.Context(), &work{Work: audit}, in); err == nil {
		t.Error("a message without a header is counted")
	}
}

// TestInventoryCreated has the summary and the page tell when the inventory was
// written. They are made without it, too, once the inventory is removed.
func TestInventoryCreated(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("AWS_REGION", "us-west-2")
	audit, err := bulk.OpenAudit(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer audit.Close()
	into := &results{memblob.OpenBucket(nil)}
	defer into.Close()
	const text = `{"sourceBucket":"lake","destinationBucket":"arn:aws:s3:::inventories","version":"2016-11-30","creationTimestamp":"1793926800000","fileFormat":"CSV","fileSchema":"Bucket, Key","files":[]}`
	var status atomic.Int32
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch code := int(status.Load()); {
		case code == http.StatusOK && strings.HasSuffix(r.URL.Path, "/manifest.json"):
			io.WriteString(w, text)
		case code == http.StatusServiceUnavailable:
			w.WriteHeader(code)
			io.WriteString(w, "<Error><Code>SlowDown</Code></Error>")
		default:
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, "<Error><Code>NoSuchKey</Code></Error>")
		}
	}))
	defer store.Close()
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL": store.URL, "AWS_MAX_ATTEMPTS": "1"} {
		t.Setenv(name, value)
	}
	in := &SummaryRequest{Report: Report{Task: Task{Source: Source{Inventory: "s3://inv/all/manifest.json?use_path_style=true"}}, End: Complete}}
	for _, there := range []bool{true, false} {
		status.Store(http.StatusNotFound)
		if there {
			status.Store(http.StatusOK)
		}
		if _, err := into.summarize(t.Context(), &work{Work: audit}, in); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"summary.json": `"inventory_created":"2026-11-06T01:00:00Z"`, "report.html": "The inventory was written on"} {
			content, err := into.read(t.Context(), name)
			if err != nil || strings.Contains(string(content), want) != there {
				t.Errorf("%s: %v, want %q: %v\n%s", name, err, want, there, content)
			}
		}
	}
	status.Store(http.StatusServiceUnavailable)
	if _, err := into.summarize(t.Context(), &work{Work: audit}, in); !isAway(err) {
		t.Errorf("it is not tried again: %v", err)
	}
}
