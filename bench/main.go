// Bench measures this library, the machine's limits and other libraries side by
// side, and writes a page with tables and a plot. README.md describes how to
// run it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

func main() {
	var o options
	flag.StringVar(&o.out, "o", "", "directory for performance.md and the plots (default ../docs, or the directory of install.sh if quick)")
	flag.StringVar(&o.cache, "cache", cacheFolder(), "directory that install.sh filled")
	flag.StringVar(&o.dir, "dir", "", "directory on a disk for 5 GiB of temporary files (default the directory of install.sh)")
	flag.StringVar(&o.peers, "peers", "", "measure only these peers, separated by commas (default all)")
	flag.StringVar(&o.render, "render", "", "measure nothing, and render the results in this file")
	flag.IntVar(&o.rounds, "rounds", 3, "number of rounds")
	flag.BoolVar(&o.quick, "quick", false, "only check that everything works; the figures mean nothing")
	flag.StringVar(&o.before, "before", filepath.Join("..", "docs", "performance.md"), "earlier page, for the figures before this run")
	flag.Parse()
	o.setDefaults()
	if err := perform(&o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	out, cache, dir, peers, render, before string
	rounds                                 int
	quick                                  bool
}

// setDefaults fills in options that depend on others.
func (o *options) setDefaults() {
	if o.quick {
		o.rounds = 1
	}
	switch {
	case o.out != "":
	case o.quick:
		o.out = o.cache
	default:
		o.out = filepath.Join("..", "docs")
	}
	if o.dir == "" {
		o.dir = o.cache
	}
}

// kept returns the file of the results, so that a change of the tables needs no
// new run.
func (o *options) kept() string {
	if o.quick {
		return filepath.Join(o.cache, "quick.json")
	}
	return filepath.Join(o.cache, "results.json")
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
	r, err := measureAll(o)
	if err != nil {
		return err
	}
	if err := r.save(o.kept()); err != nil {
		return err
	}
	if err := write(o.out, r); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "wrote", filepath.Join(o.out, "performance.md"))
	return nil
}

func measureAll(o *options) (_ *results, err error) {
	dir, err := os.MkdirTemp(o.dir, "esdk-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	removeOnInterrupt(dir)
	r := newResults(o.rounds)
	r.Machine, r.Quick = thisMachine(), o.quick
	if r.Before, err = readBefore(o.before); err != nil {
		return nil, err
	}
	b := &bench{bin: filepath.Join(o.cache, "bin"), names: names(o.peers), quick: o.quick, log: os.Stderr, results: r}
	defer b.stopAll()
	if err := b.measurePeers(dir); err != nil {
		return nil, err
	}
	b.stopAll()
	file, files := gib, 10_000
	if o.quick {
		file, files = 10*mib, 20
	}
	if version, err := exec.Command(filepath.Join(b.bin, officialCommand), "--version").Output(); err == nil {
		r.Versions[officialCommand] = strings.TrimSpace(string(version))
	}
	r.Commands, err = measureCommands(dir, b.bin, file, files, o.rounds, os.Stderr)
	return r, err
}

// removeOnInterrupt removes gigabytes of files on an interrupt. The peers end
// with their input.
func removeOnInterrupt(dir string) {
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupts
		os.RemoveAll(dir)
		os.Exit(1)
	}()
}

// measurePeers measures everything but the commands.
func (b *bench) measurePeers(dir string) error {
	for _, c := range contestants {
		if !slices.Contains(b.names, c.name) {
			b.results.Missing[c.name] = "not asked for"
		}
	}
	b.startAll()
	for _, name := range []string{us, limits} {
		if why, ok := b.results.Missing[name]; ok {
			return fmt.Errorf("%s is %s: run install.sh first", name, why)
		}
	}
	b.crossCheck(filepath.Join(dir, "message"))
	b.warmUp()
	for _, g := range plan(b.results.Rounds) {
		b.run(g)
	}
	b.memory(dir)
	long := 10 * gib
	if b.quick {
		long = 100 * mib
	}
	for _, suite := range []string{"0478", "0578"} {
		if err := b.longStream(dir, suite, long); err != nil {
			return err
		}
	}
	return nil
}

// names returns the peers to start: the requested ones, and the ones that all
// are compared with.
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
	if err := os.WriteFile(filepath.Join(dir, "overview.svg"), []byte(overview(r)), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "performance.svg"), []byte(plot(r)), 0o644)
}
