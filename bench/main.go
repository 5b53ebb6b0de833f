// Bench measures this library, the machine's limits and other libraries side by
// side, and writes a page with tables and a plot. README.md says how to run it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	var o options
	flag.StringVar(&o.out, "o", ".", "folder for performance.md and performance.svg")
	flag.StringVar(&o.cache, "cache", cacheFolder(), "folder that install.sh filled")
	flag.StringVar(&o.dir, "dir", "", "folder for large temporary files (default that of the system)")
	flag.StringVar(&o.peers, "peers", "", "only these, with commas between (default all)")
	flag.StringVar(&o.render, "render", "", "measure nothing, and render the results in this file")
	flag.IntVar(&o.rounds, "rounds", 3, "how often all is measured")
	flag.BoolVar(&o.quick, "quick", false, "only see that all works; the figures mean nothing")
	flag.Parse()
	if err := perform(&o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	out, cache, dir, peers, render string
	rounds                         int
	quick                          bool
}

func cacheFolder() string {
	if dir := os.Getenv("ESDK_BENCH"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "esdk-bench")
}

func perform(o *options) error {
	if o.render != "" {
		r, err := loadResults(o.render)
		if err != nil {
			return err
		}
		return write(o.out, r)
	}
	if o.quick {
		o.rounds = 1
	}
	r, err := measureAll(o)
	if err != nil {
		return err
	}
	// Kept, so that a change of the tables needs no other run.
	if err := r.save(filepath.Join(o.cache, "results.json")); err != nil {
		return err
	}
	return write(o.out, r)
}

func measureAll(o *options) (_ *results, err error) {
	dir, err := os.MkdirTemp(o.dir, "esdk-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r := newResults(o.rounds)
	r.Machine = thisMachine()
	b := &bench{bin: filepath.Join(o.cache, "bin"), names: names(o.peers), quick: o.quick, log: os.Stderr, results: r}
	for _, c := range contestants {
		if !slices.Contains(b.names, c.name) {
			r.Missing[c.name] = "not asked for"
		}
	}
	b.startAll()
	for _, name := range []string{us, limits} {
		if why, ok := r.Missing[name]; ok {
			return nil, fmt.Errorf("%s is %s: run install.sh first", name, why)
		}
	}
	b.warmUp()
	for _, g := range plan(o.rounds) {
		b.run(g)
	}
	b.memory(dir)
	long, file, files := 10*gib, gib, 10_000
	if o.quick {
		long, file, files = 100*mib, 10*mib, 20
	}
	for _, suite := range []string{"0478", "0578"} {
		if err := b.longStream(dir, suite, long); err != nil {
			return nil, err
		}
	}
	b.stopAll()
	r.Commands, err = measureCommands(dir, b.bin, file, files, o.rounds, os.Stderr)
	return r, err
}

// names are the peers to start: those that were asked for, and what all are
// compared with.
func names(asked string) []string {
	all := []string{us, limits}
	for _, c := range contestants {
		if c.name != us && (asked == "" || slices.Contains(strings.Split(asked, ","), c.name)) {
			all = append(all, c.name)
		}
	}
	return all
}

// write renders results.
func write(dir string, r *results) error {
	if err := os.WriteFile(filepath.Join(dir, "performance.md"), []byte(page(r)), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "performance.svg"), []byte(plot(r)), 0o644)
}
