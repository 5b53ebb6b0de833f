package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"esdk/bench/internal/peer"
)

// A bench runs the peers.
type bench struct {
	bin     string // the directory of their programs
	names   []string
	quick   bool
	log     io.Writer
	results *results
	running map[string]*process
}

// startAll starts the installed peers, and asks for their versions.
func (b *bench) startAll() {
	b.running = make(map[string]*process)
	for _, name := range b.names {
		p, err := start(b.bin, name)
		if err != nil {
			b.results.Missing[name] = err.Error()
			continue
		}
		a := p.ask(peer.Request{Op: "version"})
		if a.Error != "" {
			b.results.Missing[name] = a.Error
			p.stop()
			continue
		}
		b.results.Versions[name] = a.Version
		b.running[name] = p
	}
}

func (b *bench) stopAll() {
	for _, p := range b.running {
		p.stop()
	}
	clear(b.running)
}

// crossCheck makes each official SDK decrypt our messages, and vice versa: only
// then are all measured at the same work. SDKs that fail are left out.
func (b *bench) crossCheck(path string) {
	defer os.Remove(path)
	for _, c := range contestants {
		if b.running[c.name] == nil || !c.sdk {
			continue
		}
		if err := errors.Join(b.passes(us, c.name, path), b.passes(c.name, us, path)); err != nil {
			fmt.Fprintln(b.log, err)
			b.results.Missing[c.name] = "not compatible"
			b.running[c.name].stop()
			delete(b.running, c.name)
		}
	}
}

// passes makes one peer decrypt the message of another.
func (b *bench) passes(from, to, path string) error {
	for _, suite := range []string{"0478", "0578"} {
		for _, step := range []struct{ name, op string }{{from, "save"}, {to, "load"}} {
			a := b.running[step.name].ask(peer.Request{Op: step.op, Suite: suite, Size: 10_000, Path: path})
			if why := a.Unsupported + a.Error; why != "" {
				return fmt.Errorf("from %s to %s, suite %s: %s: %s", from, to, suite, step.op, why)
			}
		}
	}
	return nil
}

// warmUp lets just-in-time compilers run, and fills caches.
func (b *bench) warmUp() {
	began := time.Now()
	for _, c := range contestants {
		p := b.running[c.name]
		if p == nil {
			continue
		}
		for _, suite := range []string{"0478", "0578"} {
			for _, size := range []int{kib, mib} {
				for _, stream := range []bool{false, true} {
					for _, op := range operations {
						r := peer.Request{Op: op, Suite: suite, Size: size, Stream: stream}
						r.Millis = b.millis(cell{c.name, r})
						p.ask(r)
					}
				}
			}
		}
	}
	fmt.Fprintf(b.log, "%-20s %6.1f s\n", "warm-up", time.Since(began).Seconds())
}

// run measures a group: in each round each cell, one after the other.
func (b *bench) run(g group) {
	began := time.Now()
	for range g.rounds {
		for _, c := range g.cells {
			if b.running[c.Peer] != nil {
				b.measure(c)
			}
		}
	}
	fmt.Fprintf(b.log, "%-20s %6.1f s\n", g.name, time.Since(began).Seconds())
}

// measure measures a cell. A peer that fails is restarted for the next cells.
func (b *bench) measure(c cell) {
	r := c.Request
	r.Millis = b.millis(c)
	a := b.running[c.Peer].ask(r)
	b.results.add(c, a)
	if a.Error == "" {
		return
	}
	fmt.Fprintf(b.log, "%s %+v: %s\n", c.Peer, r, a.Error)
	b.running[c.Peer].stop()
	p, err := start(b.bin, c.Peer)
	if err != nil {
		delete(b.running, c.Peer)
		return
	}
	b.running[c.Peer] = p
}

// millis returns how long a cell is measured, unless one operation takes
// longer. Cells with targets get more time.
func (b *bench) millis(c cell) int {
	switch {
	case b.quick:
		return 20
	case c.Peer == us || c.Peer == limits:
		return 500
	}
	return 250
}

// memory measures each way in a process of its own, which encrypts to a file
// and decrypts it.
func (b *bench) memory(dir string) {
	began := time.Now()
	size := 100 * mib
	if b.quick {
		size = mib
	}
	for _, c := range contestants {
		if b.running[c.name] == nil {
			continue
		}
		b.results.Memory = append(b.results.Memory, memory{Peer: c.name, RSS: b.resident(c.name)})
		for _, suite := range []string{"0478", "0578"} {
			for _, stream := range []bool{false, true} {
				r := peer.Request{Suite: suite, Size: size, Stream: stream, Path: filepath.Join(dir, "message")}
				b.results.Memory = append(b.results.Memory, b.fileMemory(c.name, r))
				if c.name == us && !stream {
					r.Reuse = true
					b.results.Memory = append(b.results.Memory, b.fileMemory(c.name, r))
				}
			}
		}
	}
	fmt.Fprintf(b.log, "%-20s %6.1f s\n", "memory", time.Since(began).Seconds())
}

// resident returns the memory of a peer before it does anything.
func (b *bench) resident(name string) int64 {
	p, err := start(b.bin, name)
	if err != nil {
		return 0
	}
	defer p.stop()
	return p.ask(peer.Request{Op: "rss"}).RSS
}

func (b *bench) fileMemory(name string, r peer.Request) memory {
	m := memory{Peer: name, Suite: r.Suite, Size: r.Size, Stream: r.Stream, Reuse: r.Reuse}
	p, err := start(b.bin, name)
	if err != nil {
		m.Note = err.Error()
		return m
	}
	defer p.stop()
	defer os.Remove(r.Path)
	for _, op := range []string{"save", "load", "rss"} {
		r.Op = op
		a := p.ask(r)
		if a.Error != "" {
			fmt.Fprintf(b.log, "%s %+v: %s\n", name, r, a.Error)
		}
		if m.Note = a.Unsupported + a.Error; m.Note != "" {
			return m
		}
		m.RSS = a.RSS
	}
	return m
}

// longStream passes a long message from one of our processes to another, and
// measures both. The pipe keeps it off the disk.
func (b *bench) longStream(dir, suite string, size int) error {
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		return err
	}
	defer os.Remove(pipe)
	began := time.Now()
	loaded := make(chan memory)
	go func() { loaded <- b.pipeEnd("load", pipe, suite, size) }()
	saved := b.pipeEnd("save", pipe, suite, size)
	b.results.Memory = append(b.results.Memory, saved, <-loaded)
	fmt.Fprintf(b.log, "%-20s %6.1f s\n", "stream "+suite, time.Since(began).Seconds())
	return nil
}

func (b *bench) pipeEnd(op, path, suite string, size int) memory {
	m := memory{Peer: us, Suite: suite, Size: size, Stream: true, Op: op}
	p, err := start(b.bin, us)
	if err != nil {
		m.Note = err.Error()
		return m
	}
	defer p.stop()
	if a := p.ask(peer.Request{Op: op, Suite: suite, Size: size, Stream: true, Path: path}); a.Error != "" {
		m.Note = a.Error
		fmt.Fprintf(b.log, "%s of %s, suite %s: %s\n", op, sizeText(size), suite, a.Error)
		return m
	}
	m.RSS = p.ask(peer.Request{Op: "rss"}).RSS
	return m
}
