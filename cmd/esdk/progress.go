package main

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/term"
)

// progress counts the bytes read from a file, and shows them on a terminal once
// that takes longer than a second.
type progress struct {
	src   io.ReadSeeker
	count atomic.Int64
	done  chan struct{}
	ended chan struct{}
}

func (a *app) newProgress(f *os.File, name string) *progress {
	p := &progress{src: f, done: make(chan struct{}), ended: make(chan struct{})}
	if a.quiet || a.noProgress || a.json || !isTerminal(a.stderr) {
		close(p.ended)
		return p
	}
	var total int64
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		total = info.Size()
	}
	go p.show(a.stderr, name, total)
	return p
}

func (p *progress) Read(b []byte) (int, error) {
	n, err := p.src.Read(b)
	p.count.Add(int64(n))
	return n, err
}

// Seek lets a message be read twice; what was counted starts anew.
func (p *progress) Seek(offset int64, whence int) (int64, error) {
	n, err := p.src.Seek(offset, whence)
	if err == nil {
		p.count.Store(n)
	}
	return n, err
}

// stop removes the line.
func (p *progress) stop() {
	close(p.done)
	<-p.ended
}

func (p *progress) show(w *os.File, name string, total int64) {
	defer close(p.ended)
	start := time.Now()
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	shown := false
	for {
		select {
		case <-p.done:
			if shown {
				fmt.Fprint(w, "\r\x1b[K")
			}
			return
		case <-ticker.C:
			if elapsed := time.Since(start); elapsed > time.Second {
				line := []rune(progressLine(name, p.count.Load(), total, elapsed))
				fmt.Fprintf(w, "\r%s\x1b[K", string(line[:min(len(line), terminalWidth(w)-1)]))
				shown = true
			}
		}
	}
}

func terminalWidth(f *os.File) int {
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		return 80
	}
	return width
}

// progressLine tells how much of how many bytes passed in a time; the total is 0
// if it is not known.
func progressLine(name string, count, total int64, elapsed time.Duration) string {
	rate := float64(count) / elapsed.Seconds()
	if total <= 0 {
		return fmt.Sprintf("%s  %s  %s/s", printable(name), byteSize(float64(count)), byteSize(rate))
	}
	line := fmt.Sprintf("%s  %s/%s  %d%%  %s/s", printable(name), byteSize(float64(count)), byteSize(float64(total)),
		min(100, count*100/total), byteSize(rate))
	if rate > 0 && count < total {
		line += fmt.Sprintf("  ETA %s", time.Duration(float64(total-count)/rate*float64(time.Second)).Round(time.Second))
	}
	return line
}

func byteSize(n float64) string {
	unit := 0
	for n >= 1024 && unit < len(byteUnits)-1 {
		n /= 1024
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%.0f B", n)
	}
	return fmt.Sprintf("%.1f %s", n, byteUnits[unit])
}

var byteUnits = []string{"B", "KiB", "MiB", "GiB", "TiB"}
