package batch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"unicode/utf8"

	"esdk"
	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/calls"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/object"
	"esdk/cmd/esdk/internal/place"
)

// ReportOptions are the options for the report.
type ReportOptions struct {
	Path      string // a file, - for standard output, or "" for none
	Overwrite bool   // replace the content of the file

	// Format returns a line in place of a record, or nil for no line. If Format
	// is nil, the line is the record itself.
	Format func(r *Record, skipped string, err error) any

	// Each, if not nil, is called with each record in the order of the inputs.
	// If it returns an error, the run ends, as it does if the report can't be
	// written.
	Each func(r *Record, err error) error
}

// A report writes one line of JSON for each input to a file, or nothing.
type report struct {
	file    *os.File
	mode    string
	ui      *cli.UI
	options *ReportOptions
	info    os.FileInfo // nil unless the report is a file
}

// A Record is a line of the report. Its fields have the names that
// aws-encryption-cli uses in its metadata, where such a name exists.
type Record struct {
	Mode   string `json:"mode"`
	Name   string `json:"name"` // of the input, as it was given; see place.Job.Given
	Input  string `json:"input"`
	Output string `json:"output,omitempty"`

	// NameBytes, InputBytes and OutputBytes hold names that aren't UTF-8.
	NameBytes   []byte `json:"name_bytes,omitempty"`
	InputBytes  []byte `json:"input_bytes,omitempty"`
	OutputBytes []byte `json:"output_bytes,omitempty"`

	// InputVersion and OutputVersion are the versions in the store of the
	// object read and of the object written.
	InputVersion  string `json:"input_version,omitempty"`
	OutputVersion string `json:"output_version,omitempty"`

	Result     string        `json:"result"`           // ok, failed or skipped
	Reason     string        `json:"reason,omitempty"` // why it was skipped
	Error      string        `json:"error,omitempty"`
	ExitCode   int           `json:"exit_code"`
	Kind       string        `json:"kind,omitempty"` // of the error; see cli.Kind
	Retryable  bool          `json:"retryable,omitempty"`
	Warning    string        `json:"warning,omitempty"` // a problem although the job succeeded
	Header     *HeaderRecord `json:"header,omitempty"`
	HeaderAuth *HeaderAuth   `json:"header_auth,omitempty"`
	KeyUsed    string        `json:"key_used,omitempty"`
	Plaintext  int64         `json:"plaintext_bytes"`
	Message    int64         `json:"message_bytes"`
	DurationMS float64       `json:"duration_ms"`

	calls.Counts // on behalf of this input

	Note    string                 `json:"-"` // for the user, if the job succeeds
	Context esdk.EncryptionContext `json:"-"` // of the message
	Found   any                    `json:"-"` // result of the job, for Batch.Each

	watched bool // there is a report, so record the header and the key too
	head    headCopy
}

// A HeaderRecord is a header in JSON.
type HeaderRecord struct {
	Algorithm         string                 `json:"algorithm"`
	AlgorithmID       string                 `json:"algorithm_id"`
	Version           string                 `json:"version"`
	MessageID         []byte                 `json:"message_id"`
	EncryptionContext esdk.EncryptionContext `json:"encryption_context"`
	RequiredKeys      []string               `json:"required_encryption_context_keys,omitempty"`
	DataKeys          []DataKeyRecord        `json:"encrypted_data_keys"`
	FrameLength       uint32                 `json:"frame_length"`
	CommitmentKey     []byte                 `json:"commitment_key,omitempty"`
	HeaderLength      int                    `json:"header_length"`
}

// A DataKeyRecord is an encrypted data key in JSON.
type DataKeyRecord struct {
	KeyProvider struct {
		ProviderID string `json:"provider_id"`
		KeyInfo    []byte `json:"key_info"`
	} `json:"key_provider"`
	KeyName          string `json:"key_name,omitempty"` // if it is text
	EncryptedDataKey []byte `json:"encrypted_data_key"`
}

// A HeaderAuth is the authentication data of a header in JSON.
type HeaderAuth struct {
	IV  []byte `json:"iv,omitempty"`
	Tag []byte `json:"tag"`
}

// NewHeaderRecord returns the record of a header.
func NewHeaderRecord(h *esdk.Header) *HeaderRecord {
	r := &HeaderRecord{
		Algorithm:         h.Suite.String(),
		AlgorithmID:       SuiteID(h.Suite),
		Version:           [...]string{1: "1.0", 2: "2.0"}[h.Version],
		MessageID:         h.MessageID,
		EncryptionContext: h.EncryptionContext,
		RequiredKeys:      h.RequiredContextKeys,
		FrameLength:       h.FrameLength,
		HeaderLength:      h.Length,
		CommitmentKey:     h.Commitment,
	}
	for _, k := range h.EncryptedDataKeys {
		d := DataKeyRecord{EncryptedDataKey: k.Ciphertext}
		d.KeyProvider.ProviderID, d.KeyProvider.KeyInfo = k.ProviderID, k.ProviderInfo
		if name := k.KeyName(); utf8.ValidString(name) {
			d.KeyName = name
		}
		r.DataKeys = append(r.DataKeys, d)
	}
	return r
}

// openReport opens the report, if one is requested.
func (b *Batch) openReport(o *ReportOptions, mode string, jobs []place.Job) (*report, error) {
	r := &report{mode: mode, ui: b.UI, options: o}
	if object.IsURL(o.Path) {
		return nil, cli.UsageError("--report must be a file: lines cannot be appended to an object")
	}
	switch o.Path {
	case "":
	case cli.Standard:
		for _, j := range jobs {
			if j.Output() == cli.Standard {
				return nil, cli.UsageError("standard output cannot be both the result and the report")
			}
		}
		if err := b.UI.CheckStdout("the report"); err != nil {
			return nil, err
		}
		r.file = b.UI.Stdout
		if err := b.checkReport(r, "on standard output", jobs); err != nil {
			return nil, err
		}
	default:
		if err := b.checkReportName(o.Path, jobs); err != nil {
			return nil, err
		}
		f, err := openAppending(o.Path)
		if err != nil {
			return nil, cli.NamedFile("--report", err)
		}
		r.file = f
		if err := b.checkReport(r, o.Path, jobs); err != nil {
			f.Close()
			return nil, err
		}
		if err := o.prepare(f); err != nil {
			f.Close()
			return nil, err
		}
	}
	return r, nil
}

// openAppending opens a file for appending, and creates it if it doesn't exist.
// It doesn't create the target of a dangling link.
func openAppending(path string) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_APPEND
	f, err := os.OpenFile(path, flags, 0)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	f, err = os.OpenFile(path, flags|os.O_CREATE|os.O_EXCL, 0o600)
	if !errors.Is(err, fs.ErrExist) {
		return f, err
	}
	f, err = os.OpenFile(path, flags, 0) // another command may have made it since
	if errors.Is(err, fs.ErrNotExist) {
		err = cli.NewError(cli.ExitNotWritten, "the report %s is a symbolic link to a missing file", cli.Printable(path))
	}
	return f, err
}

// prepare truncates the file if it is to be replaced. Otherwise it rejects a
// file that isn't a report, and cuts off an incomplete last line, which a
// killed run may have left.
func (o *ReportOptions) prepare(f *os.File) error {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return err
	}
	if o.Overwrite {
		return f.Truncate(0)
	}
	old, err := os.Open(o.Path)
	if errors.Is(err, fs.ErrPermission) {
		return nil // the file is write-only
	}
	if err != nil {
		return err
	}
	defer old.Close()
	begin := `{`
	if o.Format == nil {
		begin = `{"mode":`
	}
	start := make([]byte, len(begin))
	if _, err := old.ReadAt(start, 0); err != nil && err != io.EOF {
		return err
	}
	if string(start) != begin {
		return cli.NewError(cli.ExitNotWritten, "%s exists and is not a report", cli.Printable(o.Path))
	}
	last, err := lastLine(old, info.Size())
	switch {
	case err != nil || len(last) == 0:
		return err
	case json.Valid(last):
		_, err = f.WriteString("\n")
		return err
	}
	return f.Truncate(info.Size() - int64(len(last)))
}

// maxLine is longer than any line of a report, in bytes.
const maxLine = 16 << 20

// lastLine returns the text after the last line end of a file.
func lastLine(f *os.File, size int64) ([]byte, error) {
	for length := int64(4096); ; length *= 4 {
		length = min(length, size, maxLine)
		tail := make([]byte, length)
		if _, err := f.ReadAt(tail, size-length); err != nil {
			return nil, err
		}
		if i := bytes.LastIndexByte(tail, '\n'); i >= 0 {
			return tail[i+1:], nil
		}
		if length == min(size, maxLine) {
			return tail, nil
		}
	}
}

// checkReportName checks the name of the report before the file is created.
// checkReport then checks the file.
func (b *Batch) checkReportName(path string, jobs []place.Job) error {
	if b.Protected.HasPath(atomicfile.RealPath(path)) {
		return cli.NewError(cli.ExitNotWritten, "the report %s is a key file", path)
	}
	for _, j := range jobs {
		isInput := clean(path) == clean(j.Source.Name()) && !j.Source.Below() // see checkReport
		if j.Skip == "" && (isInput || clean(path) == clean(j.Output())) {
			return cli.NewError(cli.ExitNotWritten, "%s is both the report and an input or output", path)
		}
	}
	return nil
}

// checkReport refuses to append to a file that is an input, output, key or
// configuration file. It then protects the file from later outputs.
func (b *Batch) checkReport(r *report, path string, jobs []place.Job) error {
	info, err := r.file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	var others []os.FileInfo
	for i := range jobs {
		j := &jobs[i]
		if out, err := b.UI.Stdout.Stat(); j.Output() == cli.Standard && err == nil {
			others = append(others, out)
		}
		if j.Source.Below() && j.Source.Info() != nil && os.SameFile(info, j.Source.Info()) {
			j.Skip = place.SkipReport
		}
		if j.Skip != "" {
			continue
		}
		for _, name := range []string{j.Source.Name(), j.Output()} {
			if other, err := os.Stat(name); err == nil {
				others = append(others, other)
			}
		}
	}
	same := func(other os.FileInfo) bool { return os.SameFile(info, other) }
	if b.Protected.Has(info) || slices.ContainsFunc(others, same) {
		return cli.NewError(cli.ExitNotWritten, "the report %s is an input, output, key or configuration file", path)
	}
	b.Protected.Add(info) // from outputs that are planned later
	r.info = info
	return nil
}

// check rejects an input that is the report, but was unknown when the report
// was opened. It skips the report if it's found in a directory.
func (r *report) check(j *place.Job) error {
	if info := j.Source.Info(); info != nil && r.info != nil && os.SameFile(info, r.info) {
		if j.Source.Below() {
			j.Skip = place.SkipReport
		}
		if j.Skip != "" {
			return nil
		}
		return cli.NewError(cli.ExitNotWritten, "the input is the report")
	}
	return nil
}

// clean is like [cli.Clean], but returns the URLs of objects unchanged.
func clean(name string) string {
	if object.IsURL(name) {
		return name
	}
	return cli.Clean(name)
}

// newRecord starts the Record of a job.
func (r *report) newRecord(j *place.Job) Record {
	if r.file == nil && r.options.Each == nil {
		return Record{}
	}
	given, in, out := j.Given(), clean(j.Source.Name()), clean(j.Output())
	return Record{
		Mode: r.mode, Name: given, Input: in, Output: out,
		NameBytes: cli.Bytes(given), InputBytes: cli.Bytes(in), OutputBytes: cli.Bytes(out),
		watched: true,
	}
}

// write writes the result of a job.
func (r *report) write(rec *Record, skipped string, jobErr error) error {
	if r.file == nil && r.options.Each == nil {
		return nil
	}
	switch {
	case jobErr != nil:
		rec.Result, rec.Error, rec.ExitCode = "failed", cli.Message(jobErr), cli.ExitStatus(jobErr)
		rec.Kind, rec.Retryable = cli.Kind(jobErr), cli.Retryable(jobErr)
	case skipped != "":
		rec.Result, rec.Reason = "skipped", skipped
	default:
		rec.Result = "ok"
	}
	if r.options.Each != nil {
		if err := r.options.Each(rec, jobErr); err != nil || r.file == nil {
			return err
		}
	}
	var line any = rec
	if r.options.Format != nil {
		if line = r.options.Format(rec, skipped, jobErr); line == nil {
			return nil
		}
	}
	text, err := cli.JSON(line)
	if err != nil {
		return err
	}
	n, err := r.file.Write(text)
	if err != nil && n > 0 && r.info != nil {
		if info, statErr := r.file.Stat(); statErr == nil {
			r.file.Truncate(info.Size() - int64(n)) // remove the incomplete line
		}
	}
	return err
}

func (r *report) close() error {
	if r.file == nil || r.file == r.ui.Stdout {
		return nil
	}
	return r.file.Close()
}

// Warn adds a warning to the record. The job still succeeds.
func (r *Record) Warn(text string) {
	if r.Warning != "" {
		text = r.Warning + "; " + text
	}
	r.Warning = text
}

// SetHeader records the header of a message, and the length of its plaintext in
// bytes.
func (r *Record) SetHeader(h *esdk.Header, plaintext int64) {
	r.Plaintext, r.Context = plaintext, h.EncryptionContext
	if !r.watched {
		return
	}
	r.Header, r.HeaderAuth = NewHeaderRecord(h), &HeaderAuth{h.IV, h.Tag}
	r.Message = r.head.total
}

// WatchWriter returns a writer that copies the header of the message that
// passes through it.
func (r *Record) WatchWriter(w io.Writer) io.Writer {
	if !r.watched {
		return w
	}
	return io.MultiWriter(w, &r.head)
}

// WatchReader is like WatchWriter, for a message that is read. The reader seeks
// if src does.
func (r *Record) WatchReader(src io.Reader) io.Reader {
	if !r.watched {
		return src
	}
	tee := io.TeeReader(src, &r.head)
	if seeker, ok := src.(io.Seeker); ok {
		return &watchedSeeker{tee, seeker, &r.head}
	}
	return tee
}

type watchedSeeker struct {
	io.Reader
	seeker io.Seeker
	head   *headCopy
}

func (w *watchedSeeker) Seek(offset int64, whence int) (int64, error) {
	n, err := w.seeker.Seek(offset, whence)
	if err == nil {
		w.head.total = n
	}
	return n, err
}

// headCopy keeps the start of the data written to it, and counts all of it.
type headCopy struct {
	buf   []byte
	total int64
}

const maxHeadCopy = 64 << 10

func (h *headCopy) Write(p []byte) (int, error) {
	h.total += int64(len(p))
	h.buf = append(h.buf, p[:min(len(p), maxHeadCopy-len(h.buf))]...)
	return len(p), nil
}

// Head returns the start of the message, as far as it has passed and is kept.
func (r *Record) Head() []byte { return r.head.buf }

// SetRange records the header of a message that was read in part.
func (r *Record) SetRange(h *esdk.Header, plaintext int64, message io.ReaderAt, length int64) error {
	if r.watched {
		if _, err := io.Copy(&r.head, io.NewSectionReader(message, 0, int64(h.Length))); err != nil {
			return err
		}
		r.head.total = length
	}
	r.SetHeader(h, plaintext)
	return nil
}

// SuiteID returns the ID of a suite as text.
func SuiteID(id esdk.SuiteID) string { return fmt.Sprintf("0x%04x", uint16(id)) }
