package place

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"sync"
	"time"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/cli"
)

// command is the standard output of a program. A pipe doesn't tell whether its
// writer succeeded, but a command does. Like standard input, it has no name.
type command struct {
	stdin
	args    []string
	pending *atomicfile.Pending
}

func newCommand(args []string, ui *cli.UI, p *atomicfile.Pending) *command {
	in := ui.Stdin
	if cli.Closed(in) {
		// If standard input was closed at the start, its descriptor may by now
		// be another file, which would read as empty.
		if f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
			in = f
		}
	}
	return &command{stdin{file: in}, args, p}
}

// endTime is how long a program may run after its output is closed.
const endTime = 10 * time.Second

// Open doesn't start the program yet, so that other errors come first.
func (c *command) Open(ctx context.Context) (Input, error) {
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Stdin, cmd.Stderr = c.file, os.Stderr
	kill := apart(cmd)
	cmd.Cancel = func() error { kill(); return nil }
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &commandOutput{ReadCloser: out, cmd: cmd, kill: kill, pending: c.pending}, nil
}

// commandOutput returns [io.EOF] only if the program succeeded.
type commandOutput struct {
	io.ReadCloser
	cmd     *exec.Cmd
	kill    func()
	pending *atomicfile.Pending

	started bool
	once    sync.Once
	err     error // of the program
}

func (o *commandOutput) start() error {
	if o.started {
		return nil
	}
	if err := o.pending.Start(o, o.kill, o.cmd.Start); err != nil {
		return cli.NewError(cli.ExitError, "%w", err)
	}
	o.started = true
	return nil
}

func (o *commandOutput) Read(p []byte) (int, error) {
	if err := o.start(); err != nil {
		return 0, err
	}
	n, err := o.ReadCloser.Read(p)
	if err == io.EOF {
		if failed := o.wait(); failed != nil {
			err = failed
		}
	}
	return n, err
}

func (o *commandOutput) wait() error {
	o.once.Do(func() {
		if err := o.cmd.Wait(); err != nil {
			o.err = cli.NewError(cli.ExitError, "%s failed: %w", cli.Printable(o.cmd.Args[0]), err)
		}
		o.pending.Done(o)
	})
	return o.err
}

// Close waits for the program to end, and kills it after endTime.
func (o *commandOutput) Close() error {
	o.ReadCloser.Close()
	if !o.started {
		return nil
	}
	kill := time.AfterFunc(endTime, o.kill)
	defer kill.Stop()
	o.wait()
	return nil
}

func (o *commandOutput) Stat() (fs.FileInfo, error)      { return nil, errors.ErrUnsupported }
func (*commandOutput) Seek(int64, int) (int64, error)    { return 0, errors.ErrUnsupported }
func (*commandOutput) ReadAt([]byte, int64) (int, error) { return 0, errors.ErrUnsupported }
func (*commandOutput) Changed() error                    { return nil }
