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

// ReportOptions say whether there is a report, and what is in it.
type ReportOptions struct {
	Path      string // a file, - for standard output, or "" for none
	Overwrite bool   // what the file has

	// Format makes another line of a record, or nil for none. Nil is for the
	// record itself.
	Format func(r *Record, skipped string, err error) any

	// Each is told each record, in the order of inputs, if it is not nil. Its error ends
	// the run, as a report that cannot be written does.
	Each func(r *Record, err error) error
}

// A report is a file of one JSON line for each input, or none.
type report struct {
	file    *os.File
	mode    string
	ui      *cli.UI
	options *ReportOptions
	info    os.FileInfo // nil unless it is a file
}

// A Record is a line of the report. Its fields have the names that
// aws-encryption-cli gives them in its metadata, where it has them.
type Record struct {
	Mode   string `json:"mode"`
	Name   string `json:"name"` // of the input, as it was given; see place.Job.Given
	Input  string `json:"input"`
	Output string `json:"output,omitempty"`

	// Those of names that are not UTF-8.
	NameBytes   []byte `json:"name_bytes,omitempty"`
	InputBytes  []byte `json:"input_bytes,omitempty"`
	OutputBytes []byte `json:"output_bytes,omitempty"`

	// The names under which a store keeps what was read and what was written.
	InputVersion  string `json:"input_version,omitempty"`
	OutputVersion string `json:"output_version,omitempty"`

	Result     string        `json:"result"`           // ok, failed or skipped
	Reason     string        `json:"reason,omitempty"` // why it was skipped
	Error      string        `json:"error,omitempty"`
	ExitCode   int           `json:"exit_code"`
	Kind       string        `json:"kind,omitempty"` // of the error; see cli.Kind
	Retryable  bool          `json:"retryable,omitempty"`
	Warning    string        `json:"warning,omitempty"` // all went well, but
	Header     *HeaderRecord `json:"header,omitempty"`
	HeaderAuth *HeaderAuth   `json:"header_auth,omitempty"`
	KeyUsed    string        `json:"key_used,omitempty"`
	Plaintext  int64         `json:"plaintext_bytes"`
	Message    int64         `json:"message_bytes"`
	DurationMS float64       `json:"duration_ms"`

	calls.Counts // on behalf of this input

	Note    string                 `json:"-"` // for the user, if all goes well
	Context esdk.EncryptionContext `json:"-"` // of the message
	Found   any                    `json:"-"` // what the job found out, for Batch.Each

	watched bool // there is a report, to have the header and key too
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

// HeaderAuth authenticates a header.
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

// openReport opens the report, if there is to be one.
func (b *Batch) openReport(o *ReportOptions, mode string, jobs []place.Job) (*report, error) {
	r := &report{mode: mode, ui: b.UI, options: o}
	if object.IsURL(o.Path) {
		return nil, cli.UsageError("the report cannot be an object, since lines are appended to it")
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

// openAppending opens a file, and makes it if there is none. A link to nothing has none
// made elsewhere.
func openAppending(path string) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_APPEND
	f, err := os.OpenFile(path, flags, 0)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	f, err = os.OpenFile(path, flags|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		err = cli.NewError(cli.ExitNotWritten, "%s is a link to nothing", cli.Printable(path))
	}
	return f, err
}

// prepare empties the file if it is to be replaced. Else it refuses one that is no
// report, and cuts off the last line if a run that was killed has left a part of it.
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
		return nil // it may only be written to
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
		return cli.NewError(cli.ExitNotWritten, "%s exists, and is no report", cli.Printable(o.Path))
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

// maxLine is more than a line of a report has.
const maxLine = 16 << 20

// lastLine returns what stands behind the last line end of a file.
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

// checkReportName is before the file is made, checkReport after.
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

// checkReport refuses to append to a file that is something else. Then no later output
// may be it.
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
	b.Protected.Add(info) // from what is planned later
	r.info = info
	return nil
}

// check refuses an input that is the report, and was not known when that was opened. One
// in a folder is passed over.
func (r *report) check(j *place.Job) error {
	if info := j.Source.Info(); info != nil && r.info != nil && os.SameFile(info, r.info) {
		if j.Source.Below() {
			j.Skip = place.SkipReport
		}
		if j.Skip != "" {
			return nil
		}
		return cli.NewError(cli.ExitNotWritten, "it is the report")
	}
	return nil
}

// clean is [cli.Clean], but for URLs of objects.
func clean(name string) string {
	if object.IsURL(name) {
		return name
	}
	return cli.Clean(name)
}

// newRecord begins the Record of a job.
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

// write writes down what came of a job.
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
			r.file.Truncate(info.Size() - int64(n)) // a part of a line is of no use
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

// Warn adds to what is told although all went well.
func (r *Record) Warn(text string) {
	if r.Warning != "" {
		text = r.Warning + "; " + text
	}
	r.Warning = text
}

// SetHeader notes the header of a message.
func (r *Record) SetHeader(h *esdk.Header, plaintext int64) {
	r.Plaintext, r.Context = plaintext, h.EncryptionContext
	if !r.watched {
		return
	}
	r.Header, r.HeaderAuth = NewHeaderRecord(h), &HeaderAuth{h.IV, h.Tag}
	r.Message = r.head.total
}

// WatchWriter keeps a copy of a message's header as it passes.
func (r *Record) WatchWriter(w io.Writer) io.Writer {
	if !r.watched {
		return w
	}
	return io.MultiWriter(w, &r.head)
}

// WatchReader is the same for a message that is read. It seeks if src does.
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

// headCopy keeps the start of what is written to it, and counts it all.
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

// SetRange notes the header of a message of which a part was read.
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

// SuiteID is the id of a suite in text.
func SuiteID(id esdk.SuiteID) string { return fmt.Sprintf("0x%04x", uint16(id)) }
