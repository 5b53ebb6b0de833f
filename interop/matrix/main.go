// Matrix passes messages both ways between this library and the official SDKs,
// and writes docs/compatibility.md. run.sh installs and starts its
// dependencies.
package main

import (
	"context"
	"flag"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"esdk/esdktest/kmssim"
	"esdk/interop/peer"
)

var (
	peers   = flag.String("peers", "python,java,javascript,go,rust,c,cli", "the SDKs")
	bin     = flag.String("bin", "", "the `folder` of the peers' programs, and of esdk")
	share   = flag.Uint64("share", 1, "run one of so many tests")
	seed    = flag.Uint64("seed", 1, "which tests those are")
	write   = flag.String("write", "", "write the table to this `file`")
	verbose = flag.Bool("v", false, "print each test")
)

func main() {
	flag.Parse()
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "matrix:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	sim := kmssim.New()
	defer sim.Close()
	if err := os.Setenv("AWS_ENDPOINT_URL_KMS", sim.URL()); err != nil {
		return err
	}
	manifest, stores := writeKeys(dir, sim)
	if err := generateVectors(ctx, filepath.Join(dir, "vectors")); err != nil {
		return err
	}
	all := newResults()
	var wg sync.WaitGroup
	for name := range strings.SplitSeq(*peers, ",") {
		wg.Go(func() {
			if err := runPeer(ctx, name, manifest, filepath.Join(dir, name), stores, all); err != nil {
				all.fail(fmt.Sprintf("%s: %v", name, err))
			}
		})
	}
	wg.Wait()
	if *write != "" {
		if err := os.WriteFile(*write, []byte(all.document()), 0o644); err != nil {
			return err
		}
	}
	return all.summary(os.Stdout)
}

func runPeer(ctx context.Context, name, manifest, dir string, stores storeKeys, all *results) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	if err := runWith(ctx, name, manifest, dir, stores, log, all); err != nil {
		text := readFile(log.Name())
		return fmt.Errorf("%w\n%s", err, text[max(0, len(text)-4096):])
	}
	return nil
}

func runWith(ctx context.Context, name, manifest, dir string, stores storeKeys, log *os.File, all *results) error {
	r := &runner{name: name, dir: dir, log: log, results: all}
	var err error
	if r.library, err = newLibrary(manifest); err != nil {
		return err
	}
	if r.command, err = newCommand(filepath.Join(*bin, "esdk"), manifest, dir); err != nil {
		return err
	}
	if r.process, err = peer.Start(filepath.Join(*bin, name), manifest, log); err != nil {
		return err
	}
	hello, err := r.process.Ask(&peer.Request{Op: "hello"})
	if err != nil {
		return err
	}
	all.setPeer(name, hello)
	for _, t := range newPlan(name != "cli") {
		if chosen(t) {
			r.run(ctx, t)
		}
	}
	r.stores(ctx, stores)
	if err := r.vectors(filepath.Join(filepath.Dir(dir), "vectors")); err != nil {
		return err
	}
	return r.process.Close()
}

// chosen reports whether a test belongs to the share of this run.
func chosen(t *test) bool {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s %s", *seed, t, t.api)
	return h.Sum64()%*share == 0
}
