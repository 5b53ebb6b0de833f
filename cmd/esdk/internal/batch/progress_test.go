package batch

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/place"
)

// TestProgressFiles checks that for many files, the line shows the number of
// finished files, and the total if it is known.
func TestProgressFiles(t *testing.T) {
	testProgressFiles(t, false, "\r37/412 files  ")
	testProgressFiles(t, true, "\r37 files  ")
}

func testProgressFiles(t *testing.T, more bool, want string) {
	t.Helper()
	jobs := make([]place.Job, 412)
	for i := range jobs {
		jobs[i].Skip = place.SkipExists
	}
	p := newProgress(&cli.UI{Quiet: true}, jobs, more, false)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.terminal = w
	p.finished.Add(37)
	p.draw(time.Second)
	w.Close()
	line, err := io.ReadAll(r)
	if err != nil || !strings.HasPrefix(string(line), want) {
		t.Errorf("the terminal shows %q, want %q: %v", line, want, err)
	}
}

// TestProgressFilesLine checks that for files that are read in part, the line
// shows the number of finished files, and no bytes.
func TestProgressFilesLine(t *testing.T) {
	for _, test := range []struct {
		count, total int64
		want         string
	}{
		{100, 400, "f  50/s  ETA 6s"},
		{400, 400, "f  200/s"},
		{100, 0, "f  50/s"},
	} {
		if got := filesLine("f", test.count, test.total, 2*time.Second); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

func TestProgressLine(t *testing.T) {
	for _, test := range []struct {
		count, total int64
		want         string
	}{
		{1 << 20, 4 << 20, "f  1.0 MiB/4.0 MiB  25%  512.0 KiB/s  ETA 6s"},
		{4 << 20, 4 << 20, "f  4.0 MiB/4.0 MiB  100%  2.0 MiB/s"},
		{100, 0, "f  100 B  50 B/s"},
	} {
		if got := progressLine("f", test.count, test.total, 2*time.Second); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}
