package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"esdk"
	"esdk/cmd/esdk/internal/base64text"
	"esdk/cmd/esdk/internal/batch"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/place"
	"esdk/internal/inspect"
	"github.com/spf13/cobra"
)

type inspectOptions struct {
	place.InputOptions
	frames bool
	base64 bool
}

func (a *app) newInspectCommand() *cobra.Command {
	o := new(inspectOptions)
	cmd := &cobra.Command{
		Use:   "inspect [flags] [FILE]...",
		Short: "Show the headers and sizes of messages, without a key",
		Long: `Show the suite, encryption context, wrapping keys, frames and sizes of messages.
No key is needed, and nothing that is shown is authenticated: anybody can have
written it. To check it, use "esdk verify".

Only the header and the end of a file or object are read. With --frames, or from a
pipe, everything is read. With -r, a FILE can be a directory.`,
		Example: `  esdk inspect notes.txt.encrypted
  esdk inspect --json notes.txt.encrypted | jq .header.encryption_context
  esdk inspect -r --json s3://backups/ | jq -r '.header.encrypted_data_keys[].key_name'`,
		RunE: func(cmd *cobra.Command, inputs []string) error { return a.inspect(cmd.Context(), o, inputs) },
	}
	addInputFlags(cmd, &o.InputOptions, "", "of the files in directories, take only the ones with this `SUFFIX`")
	addVersionsFlag(cmd, &o.InputOptions)
	cmd.Flags().BoolVar(&o.frames, "frames", false, "read the whole message, and list each frame")
	cmd.Flags().BoolVar(&o.base64, "base64", false, "the input is Base64 text, even if it does not look like it")
	return cmd
}

func (a *app) inspect(ctx context.Context, o *inspectOptions, inputs []string) error {
	o.OnlyWith()
	a.buckets.StartOnly = true
	plan, err := a.places.Inputs(ctx, inputs, &o.InputOptions)
	if err != nil {
		return err
	}
	if err := a.checkStdout(plan); err != nil {
		return err
	}
	return a.run(ctx, plan, &batch.Pace{Jobs: 1}, new(batch.ReportOptions), "inspect", func(ctx context.Context, j *place.Job, _ *batch.Record) (place.Output, error) {
		in, err := j.Open(ctx)
		if err != nil {
			return nil, err
		}
		defer in.Close()
		return nil, a.inspectInput(j.Source.Name(), in, o)
	})
}

// checkStdout rejects a standard output that is also an input.
func (a *app) checkStdout(plan *place.Plan) error {
	out, err := a.Stdout.Stat()
	if err != nil || !out.Mode().IsRegular() {
		return nil
	}
	for _, j := range plan.Ahead() {
		if os.SameFile(out, j.Source.Info()) {
			return cli.NewError(cli.ExitNotWritten, "standard output is the input %s", j.Source.Name())
		}
	}
	return nil
}

// inspectInput reads the header and the end of a file. It reads the whole input
// if it can't seek in it, or if it's Base64 text.
func (a *app) inspectInput(name string, in place.Input, o *inspectOptions) error {
	info, err := in.Stat()
	if err == nil && info.Mode().IsRegular() && !o.frames {
		var start [64]byte
		n, _ := in.ReadAt(start[:], 0)
		if !o.base64 && !base64text.Seems(start[:n]) {
			return a.inspectMessage(name, io.NewSectionReader(in, 0, info.Size()), o)
		}
	}
	src, err := base64text.Decode(in, false, o.base64)
	if err != nil {
		return err
	}
	return a.inspectMessage(name, src, o)
}

// An inspection is the information that a message shows without its keys.
type inspection struct {
	Input         string              `json:"input"`
	InputBytes    []byte              `json:"input_bytes,omitempty"` // set if the name isn't UTF-8
	Authenticated bool                `json:"authenticated"`         // always false
	Header        *batch.HeaderRecord `json:"header"`
	Body          *inspect.Body       `json:"body,omitempty"`
}

// inspectMessage shows the header even if the body is broken, and the body even
// if its frames have wrong sequence numbers.
func (a *app) inspectMessage(name string, src io.Reader, o *inspectOptions) error {
	r := bufio.NewReader(src)
	header, err := esdk.ParseHeader(r)
	if err != nil {
		return err
	}
	result := inspection{Input: name, InputBytes: cli.Bytes(name), Header: batch.NewHeaderRecord(header)}
	var bodyErr error
	result.Body, bodyErr = inspectBody(r, src, inspect.Header{Length: header.Length, FrameLength: header.FrameLength, Signed: header.Suite.Signed()}, o.frames)
	if e := (*inspect.Error)(nil); errors.As(bodyErr, &e) {
		bodyErr = (*esdk.FormatError)(e) // convert to the exported type
	}
	if a.JSON {
		return cmp.Or(a.PrintJSON(result), bodyErr)
	}
	_, err = io.WriteString(a.Stdout, inspectionText(&result, header))
	return cmp.Or(err, bodyErr)
}

// inspectBody reads the whole body if the frames are wanted, or if the two ends
// of the message don't tell the size of the body. The header was read from r,
// which reads src.
func inspectBody(r *bufio.Reader, src io.Reader, h inspect.Header, frames bool) (*inspect.Body, error) {
	if file, ok := src.(*io.SectionReader); ok && !frames {
		if body, err := inspect.Ends(file, file.Size(), h); body != nil || err != nil {
			return body, err
		}
	}
	return inspect.Walk(bufio.NewReaderSize(r, 64<<10), h, frames)
}

func inspectionText(i *inspection, h *esdk.Header) string {
	var b strings.Builder
	row := func(name, text string, args ...any) {
		fmt.Fprintf(&b, "  %-12s "+text+"\n", append([]any{name}, args...)...)
	}
	fmt.Fprintf(&b, "%s: NOT AUTHENTICATED, anybody can have written this\n", cli.Printable(i.Input))
	row("version", "%d", h.Version)
	row("suite", "%s %v", batch.SuiteID(h.Suite), h.Suite)
	row("message id", "%x", h.MessageID)
	for n, k := range slices.Sorted(maps.Keys(h.EncryptionContext)) {
		row(once(n, "context"), "%s=%s", cli.Printable(k), cli.Printable(h.EncryptionContext[k]))
	}
	for n, k := range h.EncryptedDataKeys {
		row(once(n, "data keys"), "%s (%d bytes)", cli.DataKeyName(&k), len(k.Ciphertext))
	}
	if h.FrameLength > 0 {
		row("frame length", "%d", h.FrameLength)
	} else {
		row("frame length", "none: the body is not framed")
	}
	if i.Body == nil {
		row("header", "%d bytes", h.Length)
		return b.String()
	}
	if h.FrameLength > 0 {
		row("frames", "%d", i.Body.Frames)
	}
	row("plaintext", "%s", cli.Count(i.Body.Plaintext, "byte", "bytes"))
	row("message", "%d bytes: header %d, body %d, footer %d", i.Body.Message, h.Length, i.Body.Body, i.Body.Footer)
	for _, f := range i.Body.List {
		final := ""
		if f.Final {
			final = ", final"
		}
		row("frame", "%d: %s%s", f.Sequence, cli.Count(f.Plaintext, "byte", "bytes"), final)
	}
	return b.String()
}

func once(n int, name string) string {
	if n > 0 {
		return ""
	}
	return name
}
