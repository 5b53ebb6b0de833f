//go:build linux

package main

import (
	"bytes"
	"crypto/fips140"
	"encoding/xml"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"esdk/cmd/esdk/internal/cli"
)

var listed = flag.Int("listed", 20_000, "how many objects TestListedMemory lists")

// modified is the modification time of all objects.
var modified = time.Date(2026, time.January, 2, 3, 4, 5, 0, time.UTC)

// A lister is a bucket whose objects all have the same content. It doesn't
// store a list of them. It answers the requests that the command makes like S3
// does.
type lister struct {
	count   int
	content []byte
}

func (l *lister) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const etag = `"0123456789abcdef0123456789abcdef"`
	query := r.URL.Query()
	if query.Get("list-type") != "2" {
		w.Header().Set("ETag", etag)
		http.ServeContent(w, r, "", modified, bytes.NewReader(l.content))
		return
	}
	type object struct {
		Key, LastModified, ETag, Size string
	}
	page := struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		NextContinuationToken string   `xml:",omitempty"`
		Contents              []object `xml:"Contents"`
	}{}
	first, _ := strconv.Atoi(query.Get("continuation-token"))
	for i := first; i < min(first+1000, l.count); i++ {
		page.Contents = append(page.Contents, object{key(i), modified.Format("2006-01-02T15:04:05.000Z"), etag, strconv.Itoa(len(l.content))})
	}
	if page.IsTruncated = first+1000 < l.count; page.IsTruncated {
		page.NextContinuationToken = strconv.Itoa(first + 1000)
	}
	xml.NewEncoder(w).Encode(page)
}

func key(i int) string { return fmt.Sprintf("in/part=%03d/object-%09d.encrypted", i/10_000, i) }

// TestListedMemory checks that the memory of the command doesn't grow with the
// number of objects in a bucket, whether they are processed or filtered out.
func TestListedMemory(t *testing.T) {
	long(t)
	limit := 64 << 10 // KiB
	if fips140.Enabled() {
		limit += 32 << 10 // for the source of entropy
	}
	dir := t.TempDir()
	writeFile(t, dir, "plain", pattern(100))
	runCommand(t, dir, cli.ExitOK, "encrypt", "-q", "-k", "aes:n/k2@key", "plain")
	content, err := os.ReadFile(filepath.Join(dir, "plain.encrypted"))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(&lister{*listed, content})
	defer server.Close()
	again := []string{"reencrypt", "-r", "--in-place", "--from-key", "aes:n/k@key", "-k", "aes:n/k2@key", "--report", "report"}
	const folder = "s3://bucket/in/?use_path_style=true"
	list := new(bytes.Buffer)
	for i := range *listed {
		fmt.Fprintf(list, "s3://bucket/%s?use_path_style=true\x00", key(i))
	}
	writeFile(t, dir, "list", list.Bytes())
	for _, run := range []struct {
		more []string
		said string
	}{
		{[]string{"--skip-done", "header", "--files-from0", "list"}, fmt.Sprintf("%d inputs: %[1]d skipped: already as requested", *listed)},
		{[]string{"--include", "*7.encrypted", folder}, fmt.Sprintf("%d inputs: %[1]d skipped: already as requested (%d), excluded", *listed, *listed/10)},
		{[]string{"--skip-done", "header", folder}, fmt.Sprintf("%d inputs: %[1]d skipped: already as requested", *listed)},
	} {
		c := command(t, dir, append(again, run.more...)...)
		c.Env = append(os.Environ(), "AWS_ENDPOINT_URL_S3="+server.URL, "AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=secret", "AWS_REGION=us-east-1", "AWS_CONFIG_FILE=", "AWS_SHARED_CREDENTIALS_FILE=")
		rss := measured(t, c)
		checkStatus(t, c, c.Run(), cli.ExitOK)
		if said := fmt.Sprint(c.Stderr); !strings.Contains(said, run.said) {
			t.Errorf("stderr %q", said)
		}
		if got := rss(); got > limit {
			t.Errorf("%v: %d KiB resident, more than %d", run.more, got, limit)
		} else {
			t.Logf("%v: %d KiB resident", run.more, got)
		}
	}
}
