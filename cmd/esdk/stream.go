package main

import (
	"bufio"
	"io"
	"os"
)

// An output is where a message or plaintext goes. Nothing is to be seen of it
// before Commit, if it is a file.
type output interface {
	io.Writer
	Commit() error
	Abort() // no effect after Commit
}

// streamOutput is standard output, or a device or pipe.
type streamOutput struct {
	*bufio.Writer
	file *os.File
}

func newStreamOutput(f *os.File) output { return &streamOutput{bufio.NewWriter(f), f} }

func (o *streamOutput) Commit() error {
	if err := o.Flush(); err != nil {
		return err
	}
	if o.file == os.Stdout {
		return nil // left open: the report may go there too
	}
	return o.file.Close()
}

// Abort lets out what was released so far: it is authentic, and the reader will
// see by the exit status that it is not all.
func (o *streamOutput) Abort() { o.Flush() }
