package batch

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/place"
	"golang.org/x/term"
	"golang.org/x/time/rate"
)

// Progress counts the bytes read from all inputs. It shows a line on the
// terminal if the run takes longer than a second.
type Progress struct {
	name     string // of a single input
	files    int    // 0 if unknown
	total    int64  // in bytes, 0 if unknown
	finished atomic.Int64
	count    atomic.Int64
	ofFiles  bool // show the number of finished files instead of bytes

	ctx   context.Context // of the run
	bytes *rate.Limiter   // nil for no limit

	terminal *os.File // nil if nothing is shown
	done     chan struct{}
	ended    chan struct{}

	mu    sync.Mutex // held while writing to the terminal
	shown bool
}

// newProgress starts the progress of a run. The argument more means that
// further jobs follow.
func newProgress(ui *cli.UI, jobs []place.Job, more, ofFiles bool) *Progress {
	p := &Progress{ofFiles: ofFiles}
	switch {
	case len(jobs) == 1:
		p.name = jobs[0].Source.Name()
	case !more:
		p.files = len(jobs)
	}
	for _, j := range jobs {
		if j.Skip != "" {
			continue
		}
		if more || j.Special() {
			p.total = 0
			break
		}
		p.total += j.Size()
	}
	if !ui.Quiet && !ui.NoProgress && !ui.JSON && cli.IsTerminal(ui.Stderr) && os.Getenv("TERM") != "dumb" {
		p.terminal = ui.Stderr
		p.done, p.ended = make(chan struct{}), make(chan struct{})
		go p.show()
	}
	return p
}

// Watch returns a reader of an input that counts the bytes and obeys the rate.
func (p *Progress) Watch(src io.ReadSeeker) io.ReadSeeker { return &watchedInput{src, p, 0} }

// Await waits until the rate allows the n bytes that were read from an
// unwatched input.
func (p *Progress) Await(n int) error { return await(p.ctx, p.bytes, n) }

type watchedInput struct {
	io.ReadSeeker
	progress *Progress
	offset   int64
}

func (w *watchedInput) Read(b []byte) (int, error) {
	n, err := w.ReadSeeker.Read(b)
	w.offset += int64(n)
	w.progress.count.Add(int64(n))
	if waitErr := w.progress.Await(n); err == nil {
		err = waitErr
	}
	return n, err
}

// Seek allows a second read of a message. It moves the count along with the
// offset.
func (w *watchedInput) Seek(offset int64, whence int) (int64, error) {
	n, err := w.ReadSeeker.Seek(offset, whence)
	if err == nil {
		w.progress.count.Add(n - w.offset)
		w.offset = n
	}
	return n, err
}

// Aside calls a function that writes something else to the terminal.
func (p *Progress) Aside(write func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	write()
}

func (p *Progress) erase() {
	if p.shown {
		fmt.Fprint(p.terminal, "\r\x1b[K")
		p.shown = false
	}
}

// interrupt removes the line for good, so that the final messages come last.
func (p *Progress) interrupt() {
	p.mu.Lock() // and never unlock
	p.erase()
}

// stop removes the line.
func (p *Progress) stop() {
	if p.terminal != nil {
		close(p.done)
		<-p.ended
	}
}

func (p *Progress) show() {
	defer close(p.ended)
	start := time.Now()
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-p.done:
			p.Aside(func() {})
			return
		case <-ticker.C:
			if elapsed := time.Since(start); elapsed > time.Second {
				p.draw(elapsed)
			}
		}
	}
}

func (p *Progress) draw(elapsed time.Duration) {
	name := cli.Printable(p.name)
	switch {
	case p.files > 0:
		name = fmt.Sprintf("%d/%d files", p.finished.Load(), p.files)
	case name == "":
		name = cli.Count(p.finished.Load(), "file", "files")
	}
	line := progressLine(name, p.count.Load(), p.total, elapsed)
	if p.ofFiles {
		line = filesLine(name, p.finished.Load(), int64(p.files), elapsed)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.terminal, "\r%s\x1b[K", cli.FirstColumns(line, terminalWidth(p.terminal)-1))
	p.shown = true
}

func terminalWidth(f *os.File) int {
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		return 80
	}
	return width
}

// progressLine returns the line for a number of bytes read in a given time. The
// total is 0 if it is unknown.
func progressLine(name string, count, total int64, elapsed time.Duration) string {
	rate := float64(count) / elapsed.Seconds()
	if total <= 0 {
		return fmt.Sprintf("%s  %s  %s/s", name, cli.ByteSize(float64(count)), cli.ByteSize(rate))
	}
	line := fmt.Sprintf("%s  %s/%s  %d%%  %s/s", name, cli.ByteSize(float64(count)), cli.ByteSize(float64(total)),
		min(100, count*100/total), cli.ByteSize(rate))
	return line + timeLeft(count, total, rate)
}

// filesLine returns the line for a number of finished files. The total is 0 if
// it is unknown.
func filesLine(name string, count, total int64, elapsed time.Duration) string {
	rate := float64(count) / elapsed.Seconds()
	return fmt.Sprintf("%s  %.0f/s", name, rate) + timeLeft(count, total, rate)
}

func timeLeft(count, total int64, rate float64) string {
	if rate <= 0 || count >= total {
		return ""
	}
	return fmt.Sprintf("  ETA %s", time.Duration(float64(total-count)/rate*float64(time.Second)).Round(time.Second))
}
