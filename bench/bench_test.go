package main

import (
	"encoding/xml"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"esdk/bench/internal/peer"
)

// TestPeers starts each peer in Go, and has it do a little of everything.
func TestPeers(t *testing.T) {
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin, "./peers/...")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{us, "official", "sio", "tink", "age"} {
		t.Run(name, func(t *testing.T) { testPeer(t, bin, name) })
	}
	t.Run(limits, func(t *testing.T) {
		p := startPeer(t, bin, limits)
		for _, op := range []string{"seal", "open", "sha384"} {
			wantFigure(t, p.ask(peer.Request{Op: op, Size: mib, Cores: 1, Reuse: true}))
		}
		for _, op := range []string{"forced-encrypt", "forced-decrypt", "sign", "verify"} {
			wantFigure(t, p.ask(peer.Request{Op: op, Size: kib, Cores: 1}))
		}
	})
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

// made are results in which each peer takes a time that is made up.
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
	return r
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
	for _, v := range judge(made(bad)) {
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

func TestRendering(t *testing.T) {
	r := made(func(cell) float64 { return 0.01 })
	text := page(r)
	for _, want := range []string{"a <machine>", "not installed", "JavaScript", "10 KiB"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	svg := xml.NewDecoder(strings.NewReader(plot(r)))
	for {
		if _, err := svg.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("the plot is not well-formed: %v", err)
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
