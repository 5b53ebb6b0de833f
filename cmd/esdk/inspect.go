package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"esdk"
	"esdk/cmd/esdk/internal/batch"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/place"
	"esdk/hpke"
	"esdk/internal/format"
	"github.com/spf13/cobra"
)

type inspectOptions struct {
	frames bool
	base64 bool
}

func (a *app) newInspectCommand() *cobra.Command {
	o := new(inspectOptions)
	cmd := &cobra.Command{
		Use:   "inspect [flags] [FILE]...",
		Short: "Show what messages say of themselves, without a key",
		Long: `Show what messages say of themselves: suite, encryption context, wrapping keys,
frames and sizes. It needs no key, and nothing that it shows is authenticated:
anybody can have written it. "esdk verify" tells whether it is true.`,
		Example: `  esdk inspect notes.txt.encrypted
  esdk inspect --json notes.txt.encrypted | jq .header.encryption_context`,
		RunE: func(cmd *cobra.Command, inputs []string) error { return a.inspect(cmd.Context(), o, inputs) },
	}
	cmd.Flags().BoolVar(&o.frames, "frames", false, "list each frame")
	cmd.Flags().BoolVar(&o.base64, "base64", false, "the input is Base64 text, even if it does not look so")
	return cmd
}

func (a *app) inspect(ctx context.Context, o *inspectOptions, inputs []string) error {
	jobs, err := a.places.Inputs(ctx, inputs, new(place.InputOptions))
	if err != nil {
		return err
	}
	return a.run(ctx, jobs, 1, new(batch.ReportOptions), "inspect", func(ctx context.Context, j *place.Job, _ *batch.Record) (place.Output, error) {
		in, err := j.Source.Open(ctx)
		if err != nil {
			return nil, err
		}
		defer in.Close()
		src, err := decodeBase64(in, false, o.base64)
		if err != nil {
			return nil, err
		}
		return nil, a.inspectMessage(j.Source.Name(), src, o)
	})
}

// An inspection is what can be known of a message without its keys.
type inspection struct {
	Input         string              `json:"input"`
	Authenticated bool                `json:"authenticated"` // never
	Header        *batch.HeaderRecord `json:"header"`
	Body          *bodyRecord         `json:"body,omitempty"`
}

type bodyRecord struct {
	Frames    int64         `json:"frames"` // 0: not framed
	Plaintext int64         `json:"plaintext_bytes"`
	Body      int64         `json:"body_bytes"`
	Footer    int64         `json:"footer_bytes"`
	Message   int64         `json:"message_bytes"`
	List      []frameRecord `json:"list,omitempty"`
}

type frameRecord struct {
	Sequence  uint32 `json:"sequence_number"`
	Plaintext int64  `json:"plaintext_bytes"`
	Final     bool   `json:"final"`
}

// inspectMessage shows the header even if the body is broken, and the body even if
// its frames have wrong numbers.
func (a *app) inspectMessage(name string, src io.Reader, o *inspectOptions) error {
	r := bufio.NewReaderSize(src, 64<<10)
	header, err := esdk.ParseHeader(r)
	if err != nil {
		return err
	}
	result := inspection{Input: name, Header: batch.NewHeaderRecord(header)}
	walk := &bodyWalk{r: r, header: header, offset: int64(header.Length), list: o.frames}
	bodyErr := walk.run()
	if bodyErr == nil {
		result.Body = &walk.bodyRecord
	}
	bodyErr = publicError(cmp.Or(walk.mismatch, bodyErr))
	if a.JSON {
		encoder := json.NewEncoder(a.Stdout)
		encoder.SetEscapeHTML(false)
		return cmp.Or(encoder.Encode(result), bodyErr)
	}
	_, err = io.WriteString(a.Stdout, inspectionText(&result, header))
	return cmp.Or(err, bodyErr)
}

// publicError returns the error of a body as the library publishes it.
func publicError(err error) error {
	if e := (*format.Error)(nil); errors.As(err, &e) {
		return (*esdk.FormatError)(e)
	}
	return err
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
		row(once(n, "data keys"), "%s (%d bytes)", dataKeyName(&k), len(k.Ciphertext))
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
	row("plaintext", "%d bytes", i.Body.Plaintext)
	row("message", "%d bytes: header %d, body %d, footer %d", i.Body.Message, h.Length, i.Body.Body, i.Body.Footer)
	for _, f := range i.Body.List {
		final := ""
		if f.Final {
			final = ", final"
		}
		row("frame", "%d: %d bytes%s", f.Sequence, f.Plaintext, final)
	}
	return b.String()
}

func once(n int, name string) string {
	if n > 0 {
		return ""
	}
	return name
}

// dataKeyName names a wrapping key, as far as it can be told from what stands in
// the message.
func dataKeyName(k *esdk.EncryptedDataKey) string {
	info := k.ProviderInfo
	if name, fingerprint, err := hpke.ParseProviderInfo(info); k.ProviderID == hpke.ProviderID && err == nil {
		return fmt.Sprintf("%s/%s, fingerprint %s", hpke.ProviderID, printableName([]byte(name)), fingerprint)
	}
	// A raw AES key's name is followed by the lengths of tag and IV and the IV.
	const tail = 4 + 4 + format.IVLength
	if n := len(info) - tail; n > 0 && string(info[n:n+8]) == "\x00\x00\x00\x80\x00\x00\x00\x0c" {
		info = info[:n]
	}
	// A key service's name is preceded by the version of its format.
	if k.ProviderID == "esdk-keeper" {
		info = bytes.TrimPrefix(info, []byte{1})
	}
	return cli.Printable(k.ProviderID) + "/" + printableName(info)
}

// printableName is text, or else Base64.
func printableName(name []byte) string {
	if !utf8.Valid(name) || strings.ContainsFunc(string(name), func(r rune) bool { return r < ' ' }) {
		return base64.StdEncoding.EncodeToString(name)
	}
	return cli.Printable(string(name))
}

// bodyWalk goes from frame to frame by their lengths. Its errors have the fields,
// offsets and texts that decryption has.
type bodyWalk struct {
	bodyRecord
	r      *bufio.Reader
	header *esdk.Header
	offset int64
	list   bool

	// mismatch is the first sequence number that is wrong. It does not end the
	// walk, since the lengths tell where the next frame starts.
	mismatch error
}

// maxListed bounds the memory of a list of frames.
const maxListed = 1 << 20

func (w *bodyWalk) run() error {
	start := w.offset
	walk := w.walkFrames
	if w.header.FrameLength == 0 {
		walk = w.walkSingle
	}
	if err := walk(); err != nil {
		return err
	}
	w.Body = w.offset - start
	if w.header.Suite.Signed() {
		length, err := w.next(2, w.offset, "signature length")
		if err != nil {
			return err
		}
		if err := w.skip(int64(binary.BigEndian.Uint16(length)), w.offset, "signature"); err != nil {
			return err
		}
		w.Footer = w.offset - start - w.Body
	}
	w.Message = w.offset
	if _, err := w.r.ReadByte(); err == nil {
		return malformed(w.offset, "end", "more bytes after the message")
	} else if err != io.EOF {
		return cli.Errorf("esdk: reading message: %w", err)
	}
	return nil
}

func malformed(offset int64, field, text string, args ...any) error {
	return &format.Error{Offset: offset, Field: field, Err: fmt.Errorf(text, args...)}
}

func (w *bodyWalk) walkFrames() error {
	for final := false; !final; {
		start := w.offset
		b, err := w.next(4, start, "sequence number")
		if err != nil {
			return err
		}
		sequence, length := binary.BigEndian.Uint32(b), w.header.FrameLength
		if final = sequence == format.EndFrame; final {
			sequence, length, err = w.walkFinal(start)
		} else {
			w.checkSequence(sequence, start)
			err = w.skip(format.IVLength+int64(length)+format.TagLength, start, "frame")
		}
		if err != nil {
			return err
		}
		w.Frames++
		w.Plaintext += int64(length)
		if w.list && len(w.List) < maxListed {
			w.List = append(w.List, frameRecord{sequence, int64(length), final})
		}
	}
	return nil
}

// walkFinal goes over the final frame, which starts at an offset, behind its first
// field.
func (w *bodyWalk) walkFinal(start int64) (sequence, length uint32, err error) {
	b, err := w.next(4+format.IVLength+4, start, "final frame")
	if err != nil {
		return 0, 0, err
	}
	sequence, length = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4+format.IVLength:])
	w.checkSequence(sequence, start+4)
	if length > w.header.FrameLength {
		return 0, 0, malformed(w.offset-4, "final frame length", "%d is more than the frame length, %d", length, w.header.FrameLength)
	}
	return sequence, length, w.skip(int64(length)+format.TagLength, start, "final frame")
}

func (w *bodyWalk) checkSequence(sequence uint32, offset int64) {
	if want := w.Frames + 1; int64(sequence) != want && w.mismatch == nil {
		w.mismatch = malformed(offset, "sequence number", "%d, need %d", sequence, want)
	}
}

func (w *bodyWalk) walkSingle() error {
	if err := w.skip(format.IVLength, w.offset, "IV"); err != nil {
		return err
	}
	start := w.offset
	b, err := w.next(8, start, "body length")
	if err != nil {
		return err
	}
	length := binary.BigEndian.Uint64(b)
	if length > format.MaxNonFramed {
		return malformed(start, "body length", "%d is more than 2^36-32", length)
	}
	w.Plaintext = int64(length)
	return w.skip(w.Plaintext+format.TagLength, w.offset, "encrypted content")
}

// next reads some bytes, few enough for the buffer, of a field that starts at an
// offset.
func (w *bodyWalk) next(n int, start int64, field string) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(w.r, b); err != nil {
		return nil, format.Truncated(start, field, err)
	}
	w.offset += int64(n)
	return b, nil
}

// skip passes over some bytes, the last of a field that starts at an offset.
func (w *bodyWalk) skip(n, start int64, field string) error {
	if _, err := io.CopyN(io.Discard, w.r, n); err != nil {
		return format.Truncated(start, field, err)
	}
	w.offset += n
	return nil
}
