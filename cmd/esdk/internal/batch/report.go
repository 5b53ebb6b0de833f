package batch

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"unicode/utf8"

	"esdk"
	"esdk/cmd/esdk/internal/atomicfile"
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
	Input  string `json:"input"`
	Output string `json:"output,omitempty"`

	// Those of names that are not UTF-8.
	InputBytes  []byte `json:"input_bytes,omitempty"`
	OutputBytes []byte `json:"output_bytes,omitempty"`

	Result     string        `json:"result"`           // ok, failed or skipped
	Reason     string        `json:"reason,omitempty"` // why it was skipped
	Error      string        `json:"error,omitempty"`
	ExitCode   int           `json:"exit_code"`
	Retryable  bool          `json:"retryable,omitempty"`
	Warning    string        `json:"warning,omitempty"` // all went well, but
	Header     *HeaderRecord `json:"header,omitempty"`
	HeaderAuth *HeaderAuth   `json:"header_auth,omitempty"`
	KeyUsed    string        `json:"key_used,omitempty"`
	Plaintext  int64         `json:"plaintext_bytes"`
	Message    int64         `json:"message_bytes"`
	DurationMS float64       `json:"duration_ms"`

	Note    string                 `json:"-"` // for the user, if all goes well
	Context esdk.EncryptionContext `json:"-"` // of the message

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
			return nil, err
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
	if errors.Is(err, fs.ErrNotExist) {
		return os.OpenFile(path, flags|os.O_CREATE|os.O_EXCL, 0o600)
	}
	return f, err
}

// prepare empties the file if it is to be replaced. Else it refuses one that is no
// report, and ends the last line, which a run that was killed may have left open.
func (o *ReportOptions) prepare(f *os.File) error {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return err
	}
	if o.Overwrite {
		return f.Truncate(0)
	}
	first, last, err := ends(o.Path, info)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil // of a file that may only be written to
	case err != nil:
		return err
	case first != '{':
		return cli.NewError(cli.ExitNotWritten, "%s exists, and is no report", cli.Printable(o.Path))
	case last != '\n':
		_, err = f.WriteString("\n")
	}
	return err
}

// ends returns the first and the last byte of a file.
func ends(path string, info fs.FileInfo) (first, last byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	var both [2]byte
	_, err = f.ReadAt(both[:1], 0)
	if err == nil {
		_, err = f.ReadAt(both[1:], info.Size()-1)
	}
	return both[0], both[1], err
}

// checkReportName is before the file is made, checkReport after.
func (b *Batch) checkReportName(path string, jobs []place.Job) error {
	if b.Protected.HasPath(atomicfile.RealPath(path)) {
		return cli.NewError(cli.ExitNotWritten, "the report %s is a key file", path)
	}
	for _, j := range jobs {
		if clean(path) == clean(j.Source.Name()) || clean(path) == clean(j.Output()) {
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
	for _, j := range jobs {
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

// check refuses an input that is the report, and was not known when that was opened.
func (r *report) check(j *place.Job) error {
	if info := j.Source.Info(); info != nil && r.info != nil && os.SameFile(info, r.info) {
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
	if r.file == nil {
		return Record{}
	}
	in, out := clean(j.Source.Name()), clean(j.Output())
	return Record{Mode: r.mode, Input: in, Output: out, InputBytes: cli.Bytes(in), OutputBytes: cli.Bytes(out), watched: true}
}

// write writes down what came of a job.
func (r *report) write(rec *Record, skipped string, jobErr error) error {
	if r.file == nil {
		return nil
	}
	switch {
	case jobErr != nil:
		rec.Result, rec.Error, rec.ExitCode = "failed", cli.Message(jobErr), cli.ExitStatus(jobErr)
		rec.Retryable = cli.Retryable(jobErr)
	case skipped != "":
		rec.Result, rec.Reason = "skipped", skipped
	default:
		rec.Result = "ok"
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
	_, err = r.file.Write(text)
	return err
}

func (r *report) close() error {
	if r.file == nil || r.file == r.ui.Stdout {
		return nil
	}
	return r.file.Close()
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
