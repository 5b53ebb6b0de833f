package main

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"esdk/bench/internal/peer"
)

// TestPeers starts each peer in Go, and tries a bit of everything.
func TestPeers(t *testing.T) {
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin, "./peers/...")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{us, "official", "sio", "tink", "age"} {
		t.Run(name, func(t *testing.T) { testPeer(t, bin, name) })
	}
	t.Run("cross-decryption", func(t *testing.T) { testCross(t, bin) })
	t.Run(limits, func(t *testing.T) {
		p := startPeer(t, bin, limits)
		for _, op := range []string{"seal", "open", "sha384"} {
			wantFigure(t, p.ask(peer.Request{Op: op, Size: mib, Cores: 1, Reuse: true}))
		}
		for _, op := range []string{"forced-encrypt", "forced-decrypt", "sign", "verify", "decompress"} {
			wantFigure(t, p.ask(peer.Request{Op: op, Size: kib, Cores: 1}))
		}
	})
}

func testCross(t *testing.T, bin string) {
	b := &bench{bin: bin, names: []string{us, "official"}, log: t.Output(), results: newResults(1)}
	b.startAll()
	defer b.stopAll()
	path := filepath.Join(t.TempDir(), "message")
	if b.crossCheck(path); len(b.results.Missing) > 0 {
		t.Errorf("%v", b.results.Missing)
	}
	if err := b.passes(us, us, filepath.Join(path, "no", "folder")); err == nil {
		t.Error("a message passed by a file that there cannot be")
	}
}

// If a peer fails, the results contain its error, and the peer is restarted.
func TestRestart(t *testing.T) {
	bin := t.TempDir()
	// It answers once, and dies on the second request.
	script := "#!/bin/sh\nread line; echo '{\"version\":\"1\"}'; read line; kill -TERM $$\n"
	if err := os.WriteFile(filepath.Join(bin, us), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	b := &bench{bin: bin, names: []string{us, "c"}, log: t.Output(), results: newResults(1)}
	b.startAll()
	defer b.stopAll()
	if b.results.Versions[us] != "1" || b.results.Missing["c"] == "" {
		t.Fatalf("%+v", b.results)
	}
	died := cell{us, peer.Request{Op: "encrypt", Size: kib}}
	b.measure(died)
	if _, why := b.results.answers(died); !strings.Contains(why, "terminated") {
		t.Errorf("the error of a peer that died is not in the results, but %q", why)
	}
	if a := b.running[us].ask(peer.Request{Op: "version"}); a.Version != "1" {
		t.Errorf("it was not started again: %+v", a)
	}
}

func startPeer(t *testing.T, bin, name string) *process {
	t.Helper()
	p, err := start(bin, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	return p
}

func wantFigure(t *testing.T, a peer.Answer) {
	t.Helper()
	if a.Error != "" || a.Unsupported != "" || a.Best <= 0 || a.Median < a.Best || a.Iterations == 0 {
		t.Errorf("%+v", a)
	}
}

func testPeer(t *testing.T, bin, name string) {
	p := startPeer(t, bin, name)
	if a := p.ask(peer.Request{Op: "version"}); a.Version == "" {
		t.Errorf("%+v", a)
	}
	for _, op := range operations {
		wantFigure(t, p.ask(peer.Request{Op: op, Suite: "0478", Size: 10_000}))
		wantFigure(t, p.ask(peer.Request{Op: op, Suite: "0478", Size: 10_000, Threads: 2}))
		if a := p.ask(peer.Request{Op: op, Suite: "0478", Size: 10_000, Stream: true}); a.Unsupported == "" {
			wantFigure(t, a)
		}
	}
	path := filepath.Join(t.TempDir(), "message")
	for _, op := range []string{"save", "load"} {
		if a := p.ask(peer.Request{Op: op, Suite: "0478", Size: 10_000, Path: path}); a.Error != "" {
			t.Errorf("%s: %+v", op, a)
		}
	}
	for _, size := range []int{10_000, 9000, 11_000} {
		for _, op := range []string{"save", "load"} {
			if a := p.ask(peer.Request{Op: op, Suite: "0478", Size: size, Reuse: true, Path: path}); a.Error != "" {
				t.Errorf("%s of %d bytes into reused memory: %+v", op, size, a)
			}
		}
	}
	if err := os.Truncate(path, 5000); err != nil {
		t.Fatal(err)
	}
	if a := p.ask(peer.Request{Op: "load", Suite: "0478", Size: 10_000, Path: path}); a.Error == "" {
		t.Error("loaded half of a message")
	}
	if a := p.ask(peer.Request{Op: "rss"}); a.RSS < mib {
		t.Errorf("%+v", a)
	}
	if a := p.ask(peer.Request{Op: "nonsense"}); a.Unsupported == "" {
		t.Errorf("%+v", a)
	}
}

// made returns results with made-up times.
func made(seconds func(c cell) float64) *results {
	r := newResults(1)
	r.Machine = machine{CPU: "a <machine>", Go: "go1.26", Cores: 2}
	for _, c := range contestants {
		r.Versions[c.name] = "1"
	}
	r.Missing["rust"] = "not installed"
	for _, g := range plan(1) {
		for _, c := range g.cells {
			s := seconds(c)
			r.add(c, peer.Answer{Iterations: 1, Best: s, Median: s, Allocs: 20})
		}
	}
	for _, op := range []string{"save", "load"} {
		r.Memory = append(r.Memory, memory{Peer: us, Suite: "0478", Size: 10 * gib, Stream: true, Op: op, RSS: 12 * mib})
	}
	r.Memory = append(r.Memory,
		memory{Peer: us, Suite: "0478", Size: 100 * mib, RSS: 200 * mib},
		memory{Peer: us, Suite: "0478", Size: 100 * mib, Reuse: true, RSS: 100 * mib})
	return r
}

// TestCommandTargets: ratios are taken within rounds. A command that failed in
// a round has none.
func TestCommandTargets(t *testing.T) {
	c := &commands{FileSize: gib, Files: 10_000, Timed: []timed{
		{Name: jobCopy, Seconds: []float64{1, 10, 1}},
		{Name: jobEncrypt, Seconds: []float64{1.2, 12, 9}},
		{Name: jobDecrypt, Seconds: []float64{2, 20, 1}},
		{Name: jobAge, Seconds: []float64{1}, Note: "failed"},
		{Name: jobStart, Seconds: []float64{0.020, 0.002, 0.003}},
		{Name: jobTreeCopy, Seconds: []float64{0.5, 1, 0.5}},
		{Name: jobSign, Seconds: []float64{1.5, 9, 0.5}},
		{Name: jobVerify, Note: "failed"},
		{Name: treeJob(ourCommand, "encrypt", "0578"), Seconds: []float64{3, 10, 1.3}},
		{Name: treeJob(ourCommand, "decrypt", "0578"), Seconds: []float64{3, 10, 1.3}},
		{Name: treeJob(ourCommand, "encrypt", "0478"), Seconds: []float64{1}},
		{Name: treeJob(officialCommand, "encrypt", "0478"), Seconds: []float64{60}},
	}}
	got := make(map[string]verdict)
	for _, v := range commandTargets(c) {
		got[v.Topic+": "+v.Target] = v
	}
	for key, want := range map[string]string{
		"command, 1 GiB: encrypt: ≤ 1.25 × the time of the copy":                                        "1.20 (1.20) true",
		"command, 1 GiB: decrypt: ≤ 1.25 × the time of the copy":                                        "2.00 (1.00) false",
		"command, 1 GiB: encrypt: ≤ 1.00 × the time of age":                                             "",
		"command: start-up (`esdk version`): < 15 ms":                                                   "3.00 ms true",
		"command, 10000 files of 4 KiB: encrypt, unsigned (0478): ≥ 50 × as fast as aws-encryption-cli": "60.00 (60.00) true",
		"command, 10000 files of 4 KiB: decrypt, unsigned (0478): ≥ 50 × as fast as aws-encryption-cli": "",

		"command, 10000 files of 4 KiB: encrypt, unsigned (0478): ≤ 2.20 × the time of the copy":                                  "2.00 (2.00) true",
		"command, 10000 files of 4 KiB: encrypt, signed (0578): ≤ 1.40 × the time of the signatures on all cores and the copy":    "1.30 (1.00) true",
		"command, 10000 files of 4 KiB: decrypt, signed (0578): ≤ 1.40 × the time of the verifications on all cores and the copy": "",
	} {
		v, ok := got[key]
		figure := ""
		if v.Measured {
			figure = fmt.Sprint(v.Figure, " ", v.Met)
		}
		if !ok || figure != want {
			t.Errorf("%s: %q, want %q", key, figure, want)
		}
	}
}

// TestShort: the targets of short messages and of memory.
func TestShort(t *testing.T) {
	r := newResults(1)
	for _, reuse := range []bool{false, true} {
		r.add(cell{us, peer.Request{Op: "encrypt", Suite: "0478", Size: kib, Cores: 1, Reuse: reuse}}, peer.Answer{Best: 1, Allocs: 44.2})
		r.add(forcedCalls("encrypt", reuse), peer.Answer{Best: 1, Allocs: 35.9})
	}
	for _, suite := range []string{"0478", "0578"} {
		for _, heap := range scalingHeaps {
			r.add(scalingCell("encrypt", suite, heap, 1), peer.Answer{Best: 1.75})
			r.add(scalingCell("encrypt", suite, heap, 2), peer.Answer{Best: 1})
		}
	}
	r.Memory = []memory{
		{Peer: us, Suite: "0478", Size: 100 * mib, Reuse: true, RSS: 130}, {Peer: "c", Suite: "0478", Size: 100 * mib, RSS: 100},
		{Peer: us, Suite: "0578", Size: 100 * mib, Reuse: true, RSS: 131}, {Peer: "c", Suite: "0578", Size: 100 * mib, RSS: 100},
	}
	got := make(map[string]string)
	for _, v := range judge(r) {
		if v.Measured {
			got[v.Topic+": "+v.Target] = fmt.Sprint(v.Figure, " ", v.Met)
		}
	}
	two := "times as many with two goroutines"
	for key, want := range map[string]string{
		"1 KiB, unsigned: encrypt, reused buffer: ≤ 8 allocations more than the forced calls":         "8; 44 in all true",
		"1 KiB, unsigned: encrypt, reused buffer: ≤ 1.35 × the time of the forced calls":              "1.00 (1.00) true",
		"1 KiB, unsigned: encrypt, new output: ≤ 1.35 × the time of the forced calls with new output": "1.00 (1.00) true",
		"1 KiB, unsigned: encrypt: ≥ 1.70 " + two:                                                     "1.75 (1.75) true",
		"1 KiB, unsigned: encrypt, in a heap of 100 MiB: ≥ 1.80 " + two:                               "1.75 (1.75) false",
		"1 KiB, signed: encrypt: ≥ 1.80 " + two:                                                       "1.75 (1.75) false",
		"1 KiB, signed: encrypt, in a heap of 100 MiB: ≥ 1.80 " + two:                                 "1.75 (1.75) false",
		"memory, 100 MiB in memory, unsigned (0478): ≤ 1.30 × the resident memory of C":               "1.30 true",
		"memory, 100 MiB in memory, signed (0578): ≤ 1.30 × the resident memory of C":                 "1.31 false",
	} {
		if got[key] != want {
			t.Errorf("%s: %q, want %q", key, got[key], want)
		}
		delete(got, key)
	}
	if len(got) > 0 {
		t.Errorf("also judged: %q", got)
	}
}

// TestRatio: the median over rounds counts, and each round's ratio is between
// its own best times.
func TestRatio(t *testing.T) {
	r := newResults(3)
	a, b := bulkLimit("encrypt", 2, true), bulkLimit("encrypt", 1, true)
	for _, round := range [][2]float64{{1, 2}, {10, 20}, {1, 9}} {
		r.add(a, peer.Answer{Best: round[0]})
		r.add(b, peer.Answer{Best: round[1]})
	}
	want := verdict{"t", "≥ 2.00 of it", "2.00 (9.00)", true, true}
	if v := r.atLeast("t", 2, "of it", a, b); v != want {
		t.Errorf("%+v, want %+v", v, want)
	}
	want = verdict{"t", "≤ 0.40 × the time of it", "0.50 (0.11)", true, false}
	if v := r.atMost("t", 0.4, "it", a, b); v != want {
		t.Errorf("%+v, want %+v", v, want)
	}
	r.add(a, peer.Answer{Error: "late"})
	if v := r.atLeast("t", 2, "of it", a, b); v.Measured {
		t.Errorf("a ratio to a peer that failed: %+v", v)
	}
}

// A label is a text of a plot.
type label struct {
	X      float64 `xml:"x,attr"`
	Y      float64 `xml:"y,attr"`
	Anchor string  `xml:"text-anchor,attr"`
	Size   float64 `xml:"font-size,attr"`
	Text   string  `xml:",chardata"`
}

// box returns the label's left and right ends, top and bottom. Letters are
// about as wide as in common fonts, rather wider.
func (l label) box() (left, right, top, bottom float64) {
	size := cmp.Or(l.Size, 12)
	width := 0.6 * size * float64(utf8.RuneCountInString(l.Text))
	left = l.X - width*map[string]float64{"middle": 0.5, "end": 1}[l.Anchor]
	return left, left + width, l.Y - 0.8*size, l.Y + 0.2*size
}

func labels(t *testing.T, svg string) (width float64, found []label) {
	t.Helper()
	var parsed struct {
		Width  float64 `xml:"width,attr"`
		Labels []label `xml:"text"`
	}
	if err := xml.Unmarshal([]byte(svg), &parsed); err != nil {
		t.Fatalf("the plot is not well-formed: %v", err)
	}
	return parsed.Width, parsed.Labels
}

// TestLabels: no labels of a plot overlap or stick out, wherever the limits
// are.
func TestLabels(t *testing.T) {
	for limit := 1e-7; limit < 10; limit *= 1.3 {
		width, all := labels(t, plot(made(func(c cell) float64 {
			if c.Peer == limits {
				return limit
			}
			return 0.001
		})))
		if len(all) < 50 {
			t.Fatalf("only %d labels", len(all))
		}
		for i, a := range all {
			left, right, top, bottom := a.box()
			if left < 0 || right > width {
				t.Errorf("limit %g: %q is from %.0f to %.0f, of %.0f", limit, a.Text, left, right, width)
			}
			for _, b := range all[:i] {
				if l, r, t1, b1 := b.box(); l < right && left < r && t1 < bottom && top < b1 {
					t.Errorf("limit %g: %q is over %q", limit, a.Text, b.Text)
				}
			}
		}
	}
}

// TestPlots checks that the plots in docs are of the same run, and have the
// labels of this package.
func TestPlots(t *testing.T) {
	docs := make(map[string]string)
	for _, name := range []string{"overview.svg", "performance.svg"} {
		data, err := os.ReadFile(filepath.Join("..", "docs", name))
		if err != nil {
			t.Fatal(err)
		}
		docs[name] = string(data)
	}
	for line := range strings.Lines(docs["overview.svg"]) {
		if !strings.HasPrefix(line, "<svg ") && !strings.Contains(docs["performance.svg"], line) {
			t.Errorf("performance.svg doesn't have the line %q of overview.svg", line)
		}
	}
	panels := panelsOf(made(func(cell) float64 { return 0.01 }))
	for i, p := range panels {
		for name, want := range map[string]bool{"overview.svg": i == 0, "performance.svg": true} {
			if strings.Contains(docs[name], ">"+p.title+"<") != want {
				t.Errorf("%s: the panel %q is there: %t", name, p.title, !want)
			}
		}
		if !strings.Contains(docs["performance.svg"], ">"+p.limits[0].label+"<") {
			t.Errorf("performance.svg doesn't have the label %q", p.limits[0].label)
		}
	}
}

// TestBefore: a target's figure is found again in the page, and also once the
// target has changed, unlike the figures of other tables.
func TestBefore(t *testing.T) {
	r := newResults(1)
	r.Machine = machine{Date: "2026-01-02", Cores: 3, CPU: "a machine", Kernel: "6", Go: "go1"}
	a, b := bulkLimit("encrypt", 2, true), bulkLimit("encrypt", 1, true)
	r.add(a, peer.Answer{Best: 1})
	r.add(b, peer.Answer{Best: 1.98})
	path := filepath.Join(t.TempDir(), "performance.md")
	if got, err := readBefore(path); err != nil || len(got.Figures) > 0 {
		t.Errorf("without a page: %v, %v", got, err)
	}
	topic := "unsigned, 100 MiB, two cores: the limit itself, encrypt"
	for range 2 { // the second page has a column more
		if err := os.WriteFile(path, []byte(page(r)), 0o644); err != nil {
			t.Fatal(err)
		}
		before, err := readBefore(path)
		if err != nil || len(before.Figures) != 1 || before.Figures[former(topic, "– (of the one-core limit)")] != "1.98 (1.98)" {
			t.Fatalf("%v: %q", err, before)
		}
		r.Before = before
	}
	row := "| " + topic + " | – (of the one-core limit) | 1.98 (1.98) | 1.98 (1.98) |"
	run := "\n| before | 2026-01-02 | 3 cores of a machine, Linux 6, go1 | 1 |\n"
	for _, want := range []string{row, run} {
		if text := page(r); !strings.Contains(text, want) {
			t.Errorf("the page doesn't have %q", want)
		}
	}
	if one, other := former("t", "≥ 1.80 times as many"), former("t", "≥ 1.7 times as many"); one != other {
		t.Errorf("%q isn't %q", one, other)
	}
	seen := make(map[string]string)
	for _, v := range judge(made(func(cell) float64 { return 1 })) {
		key := former(v.Topic, v.Target)
		if seen[key] != "" {
			t.Errorf("%q and %q have the same key", v.Target, seen[key])
		}
		seen[key] = v.Target
	}
}

func TestPlain(t *testing.T) {
	if got := plain("a |\n b" + strings.Repeat("é", 200)); strings.ContainsAny(got, "|\n") || len([]rune(got)) != 151 {
		t.Errorf("%q", got)
	}
}

func TestDefaults(t *testing.T) {
	for _, test := range []struct {
		given     options
		out, kept string
	}{
		{options{cache: "c", rounds: 3}, filepath.Join("..", "docs"), filepath.Join("c", "results.json")},
		{options{cache: "c", rounds: 3, quick: true}, "c", filepath.Join("c", "quick.json")},
		{options{cache: "c", out: "o", quick: true}, "o", filepath.Join("c", "quick.json")},
	} {
		o := test.given
		if o.setDefaults(); o.out != test.out || o.kept() != test.kept || o.dir != "c" {
			t.Errorf("%+v: %+v", test.given, o)
		}
	}
}

func TestJudge(t *testing.T) {
	good := func(c cell) float64 {
		switch {
		case c.Peer == us && c.Request.Cores == 2, c.Peer == us && c.Request.Threads == 2:
			return 0.5
		case c.Peer == us, c.Peer == limits:
			return 1
		}
		return 100
	}
	for _, v := range judge(made(good)) {
		if v.Measured && !v.Met {
			t.Errorf("not met: %+v", v)
		}
	}
	bad := func(c cell) float64 {
		if c.Peer == us {
			return 2
		}
		return 1
	}
	met := 0
	worst := made(bad)
	for i := range worst.Memory {
		worst.Memory[i].RSS = gib
	}
	for _, v := range judge(worst) {
		if v.Measured && v.Met && !strings.Contains(v.Target, "allocations") && !strings.HasPrefix(v.Target, "–") {
			t.Errorf("met: %+v", v)
		}
		if v.Measured {
			met++
		}
	}
	if met == 0 {
		t.Error("nothing was judged")
	}
}

// TestPage checks that docs/performance.md has the text of this package, so
// that another run changes only tables and the line on the file system.
func TestPage(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "docs", "performance.md"))
	if err != nil {
		t.Fatal(err)
	}
	r := made(func(cell) float64 { return 0.01 })
	r.Commands.FileSize, r.Commands.Files = gib, 10_000
	if got, want := prose(string(data)), prose(page(r)); got != want {
		t.Errorf("the page's text is\n%s\nwant\n%s", got, want)
	}
}

// prose returns a page's lines outside of tables, without blank lines and the
// line on the file system.
func prose(page string) string {
	var b strings.Builder
	for line := range strings.Lines(page) {
		switch {
		case line == "\n", strings.HasPrefix(line, "|"):
		case strings.HasPrefix(line, "The file system is "):
		default:
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestRendering(t *testing.T) {
	r := made(func(cell) float64 { return 0.01 })
	text := page(r)
	for _, row := range []string{"| esdk (this) | not measured | 200 MiB |", "| esdk (this), reused buffers |  | 100 MiB |"} {
		if !strings.Contains(text, row) {
			t.Errorf("the page has no row %q", row)
		}
	}
	for _, want := range []string{"a <machine>", "not installed", "JavaScript", "10 KiB", "encrypts 100 MiB into a file"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	path := filepath.Join(t.TempDir(), "results.json")
	if err := r.save(path); err != nil {
		t.Fatal(err)
	}
	again, err := loadResults(path)
	if err != nil || page(again) != text {
		t.Errorf("the page is another one once the results were saved: %v", err)
	}
}
