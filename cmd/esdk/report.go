package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"slices"

	"esdk"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/object"
	"esdk/cmd/esdk/internal/place"
	"github.com/spf13/cobra"
)

type reportOptions struct {
	reportPath string
	overwrite  bool // what the file has

	// format makes another line of a record, or nil for none. Nil is for the
	// record itself.
	format func(r *record, skipped string, err error) any
}

func (o *reportOptions) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.reportPath, "report", "", "append a line of JSON for each input to a `FILE`, or - for standard output")
}

// A report is a file of one JSON line for each input, or none.
type report struct {
	file    *os.File
	mode    string
	app     *app
	options *reportOptions
}

// A record is a line of the report. Its fields have the names that
// aws-encryption-cli gives them in its metadata, where it has them.
type record struct {
	Mode       string          `json:"mode"`
	Input      string          `json:"input"`
	Output     string          `json:"output,omitempty"`
	Result     string          `json:"result"`           // ok, failed or skipped
	Reason     string          `json:"reason,omitempty"` // why it was skipped
	Error      string          `json:"error,omitempty"`
	ExitCode   int             `json:"exit_code"`
	Header     *headerRecord   `json:"header,omitempty"`
	HeaderAuth *authentication `json:"header_auth,omitempty"`
	KeyUsed    string          `json:"key_used,omitempty"`
	Plaintext  int64           `json:"plaintext_bytes"`
	Message    int64           `json:"message_bytes"`
	DurationMS float64         `json:"duration_ms"`

	note string // for the user, if all goes well

	watched bool // there is a report, to have the header and key too
	head    headCopy
}

type headerRecord struct {
	Algorithm         string                 `json:"algorithm"`
	AlgorithmID       string                 `json:"algorithm_id"`
	Version           string                 `json:"version"`
	MessageID         []byte                 `json:"message_id"`
	EncryptionContext esdk.EncryptionContext `json:"encryption_context"`
	RequiredKeys      []string               `json:"required_encryption_context_keys,omitempty"`
	DataKeys          []dataKeyRecord        `json:"encrypted_data_keys"`
	FrameLength       uint32                 `json:"frame_length"`
	CommitmentKey     []byte                 `json:"commitment_key,omitempty"`
	HeaderLength      int                    `json:"header_length"`
}

type dataKeyRecord struct {
	KeyProvider struct {
		ProviderID string `json:"provider_id"`
		KeyInfo    []byte `json:"key_info"`
	} `json:"key_provider"`
	EncryptedDataKey []byte `json:"encrypted_data_key"`
}

type authentication struct {
	IV  []byte `json:"iv,omitempty"`
	Tag []byte `json:"tag"`
}

func newHeaderRecord(h *esdk.Header) *headerRecord {
	r := &headerRecord{
		Algorithm:         h.Suite.String(),
		AlgorithmID:       suiteID(h.Suite),
		Version:           [...]string{1: "1.0", 2: "2.0"}[h.Version],
		MessageID:         h.MessageID,
		EncryptionContext: h.EncryptionContext,
		RequiredKeys:      h.RequiredContextKeys,
		FrameLength:       h.FrameLength,
		HeaderLength:      h.Length,
		CommitmentKey:     h.Commitment,
	}
	for _, k := range h.EncryptedDataKeys {
		d := dataKeyRecord{EncryptedDataKey: k.Ciphertext}
		d.KeyProvider.ProviderID, d.KeyProvider.KeyInfo = k.ProviderID, k.ProviderInfo
		r.DataKeys = append(r.DataKeys, d)
	}
	return r
}

// openReport opens the report, if there is to be one.
func (a *app) openReport(o *reportOptions, mode string, jobs []place.Job) (*report, error) {
	r := &report{mode: mode, app: a, options: o}
	if object.IsURL(o.reportPath) {
		return nil, cli.UsageError("the report cannot be an object, since lines are appended to it")
	}
	switch o.reportPath {
	case "":
	case cli.Standard:
		for _, j := range jobs {
			if j.Output() == cli.Standard {
				return nil, cli.UsageError("standard output cannot be both the result and the report")
			}
		}
		r.file = a.Stdout
	default:
		if err := checkReportName(o.reportPath, jobs); err != nil {
			return nil, err
		}
		f, err := os.OpenFile(o.reportPath, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return nil, err
		}
		r.file = f
		if err := a.checkReport(f, o.reportPath, jobs); err != nil {
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

// prepare empties the file if it is to be replaced.
func (o *reportOptions) prepare(f *os.File) error {
	info, err := f.Stat()
	if err != nil || !o.overwrite || !info.Mode().IsRegular() {
		return err
	}
	return f.Truncate(0)
}

// checkReportName is before the file is made, checkReport after.
func checkReportName(path string, jobs []place.Job) error {
	for _, j := range jobs {
		if clean(path) == clean(j.Source.Name()) || clean(path) == clean(j.Output()) {
			return cli.NewError(cli.ExitNotWritten, "%s is both the report and an input or output", path)
		}
	}
	return nil
}

// checkReport refuses to append to a file that is something else.
func (a *app) checkReport(f *os.File, path string, jobs []place.Job) error {
	info, err := f.Stat()
	if err != nil {
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
	if info.Mode().IsRegular() && (a.protected.Has(info) || slices.ContainsFunc(others, same)) {
		return cli.NewError(cli.ExitNotWritten, "the report %s is an input, output, key or configuration file", path)
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

// newRecord begins the record of a job.
func (r *report) newRecord(j *place.Job) record {
	if r.file == nil {
		return record{}
	}
	return record{Mode: r.mode, Input: clean(j.Source.Name()), Output: clean(j.Output()), watched: true}
}

// write writes down what came of a job.
func (r *report) write(rec *record, skipped string, jobErr error) error {
	if r.file == nil {
		return nil
	}
	switch {
	case jobErr != nil:
		rec.Result, rec.Error, rec.ExitCode = "failed", cli.Message(jobErr), cli.ExitStatus(jobErr)
	case skipped != "":
		rec.Result, rec.Reason = "skipped", skipped
	default:
		rec.Result = "ok"
	}
	var line any = rec
	if r.options.format != nil {
		if line = r.options.format(rec, skipped, jobErr); line == nil {
			return nil
		}
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(line); err != nil {
		return err
	}
	_, err := text.WriteTo(r.file)
	return err
}

func (r *report) close() error {
	if r.file == nil || r.file == r.app.Stdout {
		return nil
	}
	return r.file.Close()
}

// setHeader notes the header of a message.
func (r *record) setHeader(h *esdk.Header, plaintext int64) {
	r.Plaintext = plaintext
	if !r.watched {
		return
	}
	r.Header, r.HeaderAuth = newHeaderRecord(h), &authentication{h.IV, h.Tag}
	r.Message = r.head.total
}

// watchWriter keeps a copy of a message's header as it passes.
func (r *record) watchWriter(w io.Writer) io.Writer {
	if !r.watched {
		return w
	}
	return io.MultiWriter(w, &r.head)
}

// watchReader is the same for a message that is read. It seeks if src does.
func (r *record) watchReader(src io.Reader) io.Reader {
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
