// Command publish makes a git repository with this repository's committed tree
// under the published module path, and tags it with a version:
//
//	publish [-source DIR] [-after REPOSITORY] [-incompatible] [-vet=false] MODULE VERSION DIR
//
// MODULE is the address of the repository, such as example.org/esdk. DIR must
// be empty or not exist. With -after, DIR gets the history of the previous
// versions, and the exported API is compared with the last one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	var p publication
	flag.StringVar(&p.source, "source", ".", "the `directory` of the repository to publish")
	flag.StringVar(&p.after, "after", "", "the `repository` with the versions so far")
	flag.BoolVar(&p.incompatible, "incompatible", false, "before 1.0, accept incompatible changes in a new minor version")
	flag.BoolVar(&p.vet, "vet", true, "vet the tree under its new path")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: publish.sh [-after REPOSITORY] [-incompatible] MODULE VERSION [DIR]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() < 2 || flag.NArg() > 3 {
		flag.Usage()
		os.Exit(2)
	}
	p.module, p.version, p.dir = flag.Arg(0), flag.Arg(1), flag.Arg(2)
	if p.dir == "" {
		p.dir = filepath.Join(p.source, "dist", "published-"+p.version)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	p.ctx = ctx
	if err := p.run(); err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		for line := range strings.Lines(err.Error()) {
			fmt.Fprint(os.Stderr, "publish: "+line)
		}
		fmt.Fprintln(os.Stderr)
		os.Exit(1)
	}
}

func (p *publication) run() error {
	if err := errors.Join(checkPath(p.module), checkVersion(p.version)); err != nil {
		return err
	}
	if err := forgetRepository(p.ctx); err != nil {
		return err
	}
	if err := p.checkSource(); err != nil {
		return err
	}
	remove, err := p.begin()
	if err != nil {
		return err
	}
	if err := p.publish(); err != nil {
		return errors.Join(err, remove())
	}
	return nil
}
