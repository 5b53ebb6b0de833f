package lake

import (
	"encoding/json"
	"strings"
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
	write(1, &Line{Result: bulk.OK, Matches: true, Finding: other}, &Line{Result: bulk.Skipped, Reason: "marker of a folder"})
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
