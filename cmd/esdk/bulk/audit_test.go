package bulk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"esdk/cmd/esdk/internal/inventory"
	"esdk/cmd/esdk/internal/inventory/inventorytest"
	"gocloud.dev/blob/memblob"
)

func openAudit(t *testing.T, flags ...string) *Work {
	t.Helper()
	w, err := OpenAudit(background, flags)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// mixed are random objects: messages under two keys, and some that aren't
// messages.
type mixed struct {
	keys
	objects         map[string]string // before, after or neither
	before, neither int
}

func newMixed(t *testing.T, w *Work) *mixed {
	t.Helper()
	k := newKeys(t)
	before, after := openClient(t, k.before), openClient(t, k.after)
	m := &mixed{keys: k, objects: make(map[string]string)}
	in := memblob.OpenBucket(nil)
	t.Cleanup(func() { in.Close() })
	w.buckets.UseTest("s3://test", in)
	for range mathrand.IntN(60) {
		key := fmt.Sprintf("all/%x ä+", mathrand.Uint32())
		content := []byte("no message")
		switch mathrand.IntN(3) {
		case 0:
			m.objects[key], content = "before", encrypt(t, before, key)
			m.before++
		case 1:
			m.objects[key], content = "after", encrypt(t, after, key)
		default:
			m.objects[key] = "neither"
			m.neither++
		}
		if err := in.WriteAll(background, key, content, nil); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// check compares results with the objects, and with the summary made from the
// results.
func (m *mixed) check(t *testing.T, w *Work, results []Result, allVersions bool) {
	t.Helper()
	s := w.NewSummary(time.Now(), allVersions)
	matches := 0
	for _, r := range results {
		if r.Status != OK || r.Error != "" || !json.Valid(r.Finding) || bytes.Contains(r.Finding, []byte("secret")) {
			t.Errorf("result %+v", r)
		}
		if err := s.AddFinding(r.Finding, r.Matches); err != nil {
			t.Error(err)
		}
		if r.Matches {
			matches++
		}
	}
	s.End(time.Now(), w.BytesRead())
	if len(results) != len(m.objects) || matches != m.before {
		t.Errorf("%d results of %d, %d match, want %d", len(results), len(m.objects), matches, m.before)
	}
	line, err := s.JSON()
	var summary struct {
		Inputs, Matches int
		BytesRead       int                    `json:"bytes_read"`
		CurrentOnly     bool                   `json:"current_versions_only"`
		NotMessages     struct{ Messages int } `json:"not_messages"`
	}
	if err := json.Unmarshal(line, &summary); err != nil {
		t.Fatal(err)
	}
	if err != nil || summary.Inputs != len(m.objects) || summary.Matches != m.before || summary.NotMessages.Messages != m.neither || summary.CurrentOnly == allVersions || summary.BytesRead == 0 && len(m.objects) > 0 {
		t.Errorf("%v, %s; want %d inputs, %d, %d", err, line, len(m.objects), m.before, m.neither)
	}
	page, text := new(strings.Builder), new(strings.Builder)
	if err := s.WritePage(page, []string{"s3://test/all/"}, "version"); err != nil || !strings.Contains(page.String(), "s3://test/all/") {
		t.Errorf("the page: %v", err)
	}
	if err := s.WriteText(text); err != nil || text.Len() == 0 {
		t.Errorf("the text: %v, %q", err, text)
	}
}

// TestAudit audits ranges of a prefix, and objects by their names. Each is
// audited once.
func TestAudit(t *testing.T) {
	for range 10 {
		w := openAudit(t, "--under", "test/before")
		m := newMixed(t, w)
		for chunk, err := range w.Split(background, Range{Folder: "s3://test/all/"}, 1+mathrand.IntN(20)) {
			if err != nil {
				t.Fatal(err)
			}
			var results []Result
			if err := w.DoRange(background, chunk.Range, func(r Result) error { results = append(results, r); return nil }); err != nil || len(results) != chunk.Objects {
				t.Errorf("%d of %d, %v", len(results), chunk.Objects, err)
			}
		}
		var ranged, named []Result
		if err := w.DoRange(background, Range{Folder: "s3://test/all/"}, func(r Result) error { ranged = append(ranged, r); return nil }); err != nil {
			t.Error(err)
		}
		m.check(t, w, ranged, false)
		names := func(yield func(string) bool) {
			for _, r := range ranged {
				if !yield(r.Name) {
					return
				}
			}
		}
		if err := w.Do(background, names, func(r Result) error { named = append(named, r); return nil }); err != nil {
			t.Error(err)
		}
		m.check(t, w, named, false)
		var failed []Result
		if err := w.Do(background, slices.Values([]string{"s3://test/all/missing"}), func(r Result) error { failed = append(failed, r); return nil }); err != nil {
			t.Error(err)
		}
		if len(failed) != 1 || failed[0].Status != Failed || failed[0].Kind != "not-found" || failed[0].Matches || !bytes.Contains(failed[0].Finding, []byte(`"kind":"failed"`)) {
			t.Errorf("%+v", failed)
		}
	}
}

// TestAuditParts audits the objects of an inventory, with and without older
// versions.
func TestAuditParts(t *testing.T) {
	for _, allVersions := range []bool{false, true} {
		w := openAudit(t, "--under", "test/before")
		m := newMixed(t, w)
		inventories := memblob.OpenBucket(nil)
		t.Cleanup(func() { inventories.Close() })
		w.buckets.UseTest("s3://inventories", inventories)
		var entries []inventory.Entry
		for _, key := range slices.Sorted(maps.Keys(m.objects)) {
			entries = append(entries,
				inventory.Entry{Key: key, Latest: true, VersionID: "new", Size: 100, Modified: inventorytest.Time},
				inventory.Entry{Key: key, VersionID: "old", Size: 100, Modified: inventorytest.Time})
		}
		i := inventorytest.Inventory{Bucket: "test", Format: inventorytest.Formats[0], PerFile: 1 + mathrand.IntN(30), Versions: true}
		for key, content := range i.Write(t, entries) {
			if err := inventories.WriteAll(background, key, content, nil); err != nil {
				t.Fatal(err)
			}
		}
		var looked, skipped []Result
		old := 0
		for part, err := range w.SplitInventory(background, Part{Manifest: "s3://inventories/" + i.ManifestKey(), AllVersions: allVersions}, 1+mathrand.IntN(20)) {
			if err != nil {
				t.Fatal(err)
			}
			err := w.DoPart(background, part, func(r Result) error {
				switch {
				case strings.Contains(r.Name, "versionId=old") && r.Status != Skipped:
					old++ // the bucket of this test has no versions
				case r.Status == Skipped:
					skipped = append(skipped, r)
				default:
					looked = append(looked, r)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
		if want := len(m.objects); allVersions && old != want || !allVersions && len(skipped) != want {
			t.Errorf("all versions %v: %d old ones and %d skipped, want %d", allVersions, old, len(skipped), want)
		}
		if !allVersions {
			m.check(t, w, looked, false)
		}
	}
}

// TestSummaryRefuses checks that a malformed finding is rejected.
func TestSummaryRefuses(t *testing.T) {
	s := openAudit(t).NewSummary(time.Now(), false)
	for _, text := range []string{"", "{", "{}", `{"type":"object","kind":"other"}`, `{"type":"object","kind":"message"}`} {
		if err := s.AddFinding([]byte(text), false); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// TestCheckAudit checks that CheckAudit accepts filters, and keys whose files
// are elsewhere, but no secret.
func TestCheckAudit(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	const secret = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U="
	for _, good := range [][]string{nil, {"--uncommitted"}, {"-k", "@new", "--unopened", "--under", "corp/*", "--jobs", "3"}} {
		if err := CheckAudit(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range [][]string{{"-k", secret}, {"--html", "page"}, {"--unknown"}, {"--from-key", "@old"}} {
		if err := CheckAudit(bad); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for text, bad := range map[string][]string{
		"need -k KEY": {"--unopened"}, "unknown suite": {"--suite", "0x9999"}, "--max-keys": {"-k", "@new", "--max-keys=-1"},
		"needs -c tenant=VALUE": {"-k", "@new", "--require-context", "tenant"}, "both name corp/a": {"--under", "corp/a", "--not-under", "corp/a"},
	} {
		if err := CheckAudit(bad); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v, want %s", bad, err, text)
		}
	}
	for text, bad := range map[string][]string{"need -k KEY": {"--unopened"}, "unknown suite": {"--suite", "0x9999"}} {
		if _, err := OpenAudit(background, bad); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	elsewhere := []string{"--under", "@old", "--not-under", "aes:a/b@/elsewhere"}
	if err := CheckAudit(elsewhere); err != nil {
		t.Errorf("%q: %v", elsewhere, err)
	}
}
