package lake

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"slices"
	"strings"
	"time"

	"esdk/cmd/esdk/bulk"
	"gocloud.dev/blob"
	_ "gocloud.dev/blob/s3blob" // opens s3://
	"gocloud.dev/gcerrors"
)

// A Line is the result of one object, in a chunk's file.
type Line struct {
	Name      string      `json:"name"`
	Result    bulk.Status `json:"result"`
	Version   string      `json:"version,omitempty"` // that replaced the previous one
	Bytes     int64       `json:"bytes,omitempty"`
	Reason    string      `json:"reason,omitempty"`
	Kind      string      `json:"kind,omitempty"`
	Error     string      `json:"error,omitempty"`
	Retryable bool        `json:"retryable,omitempty"`

	// For audits: whether the object matches the filter, and a line of "esdk
	// audit --json".
	Matches bool            `json:"matches,omitempty"`
	Finding json.RawMessage `json:"finding,omitempty"`
}

// results is the directory of a job:
//
//	chunks/00000001.jsonl    the result of each object in a chunk, in the order of keys
//	failures/00000001.jsonl  failed objects, if any
//	matches/00000001.jsonl   matching objects, if any, without the findings
//	parts/                   chunks in progress
//	report.json
//	summary.json             of an audit
//	report.html              of an audit
type results struct{ *blob.Bucket }

// openResults opens a directory of results. It makes no request.
func openResults(ctx context.Context, text string) (*results, error) {
	u, err := parseFolder(text)
	if err != nil {
		return nil, err
	}
	b, err := openBucket(ctx, u)
	if err != nil {
		return nil, err
	}
	return &results{blob.PrefixedBucket(b, strings.TrimPrefix(u.Path, "/"))}, nil
}

// openBucket opens the bucket of a URL. Parameters may be secret, so the error
// contains only the wrong one.
func openBucket(ctx context.Context, u *url.URL) (*blob.Bucket, error) {
	rest := "?" + u.RawQuery
	b, err := blob.OpenBucket(ctx, u.Scheme+"://"+u.Host+rest)
	if err != nil {
		return nil, &openError{strings.ReplaceAll(err.Error(), rest, ""), err}
	}
	return b, nil
}

// An openError has a different text than its cause.
type openError struct {
	text  string
	cause error
}

func (e *openError) Error() string { return e.text }
func (e *openError) Unwrap() error { return e.cause }

// within returns the URL of a directory in another.
func within(folder, name string) string {
	u, err := parseFolder(folder)
	if err != nil {
		return folder // rejected by Check
	}
	u.Path, u.RawPath = u.Path+name+"/", "" // JoinPath would clean it, and a key may have // JoinPath would clean the path, but keys may contain //
	return u.String()
}

func chunkName(number int) string    { return fmt.Sprintf("chunks/%08d.jsonl", number) }
func failuresName(number int) string { return failuresFolder + fmt.Sprintf("%08d.jsonl", number) }
func matchesName(number int) string  { return matchesFolder + fmt.Sprintf("%08d.jsonl", number) }

const (
	failuresFolder = "failures/"
	matchesFolder  = "matches/"
)

// maxFile exceeds the size of a chunk's file: a line is less than 64 KiB.
const maxFile = 1 << 30

func (r *results) read(ctx context.Context, name string) ([]byte, error) {
	f, err := r.NewReader(ctx, name, nil)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.Size() > maxFile {
		return nil, fmt.Errorf("%s has %d bytes", name, f.Size())
	}
	return io.ReadAll(f)
}

// keep writes a file unless it exists, and returns the content of the file. So
// a chunk has one file, even if two workers finish it.
func (r *results) keep(ctx context.Context, name string, content []byte) ([]byte, error) {
	err := r.WriteAll(ctx, name, content, &blob.WriterOptions{ContentType: "application/jsonl", IfNotExist: true})
	switch code := gcerrors.Code(err); {
	case err == nil:
		return content, nil
	case code == gcerrors.FailedPrecondition || code == gcerrors.AlreadyExists:
		return r.read(ctx, name)
	}
	return nil, err
}

// end writes the failures and matches from the file of a chunk, and returns its
// result.
func (r *results) end(ctx context.Context, number int, content []byte) (*ChunkResult, error) {
	s, err := summarize(content)
	if err != nil {
		return nil, err
	}
	for name, text := range map[string][]byte{failuresName(number): s.failed, matchesName(number): s.matched} {
		if len(text) == 0 {
			continue
		}
		if err := r.WriteAll(ctx, name, text, nil); err != nil {
			return nil, err
		}
	}
	return &s.ChunkResult, nil
}

// settle returns the result of a chunk that was ended, or nil if it has neither
// a file nor parts.
func (r *results) settle(ctx context.Context, number int) (*ChunkResult, error) {
	content, err := r.read(ctx, chunkName(number))
	if gcerrors.Code(err) == gcerrors.NotFound {
		if content, err = r.joinParts(ctx, number); content == nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	return r.end(ctx, number, content)
}

// joinParts joins the parts of a chunk into its file, and returns it; nil if
// there are none.
func (r *results) joinParts(ctx context.Context, number int) ([]byte, error) {
	names, err := r.partNames(ctx, number)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	content, err := r.readParts(ctx, names)
	if err == nil {
		content, err = r.keep(ctx, chunkName(number), content)
	}
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		r.Delete(ctx, name) // leftover parts are harmless
	}
	return content, nil
}

// readParts returns the lines of parts. A killed worker may have left a part
// unknown to the next worker, which then found the objects done. For such
// objects, the first line is kept, unless it is a failure.
func (r *results) readParts(ctx context.Context, names []string) ([]byte, error) {
	var all []*Line
	places := make(map[string]int)
	for _, name := range names {
		content, err := r.read(ctx, name)
		if err != nil {
			return nil, err
		}
		for l, err := range lines(content) {
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			place, known := places[l.Name]
			switch {
			case !known:
				places[l.Name] = len(all)
				all = append(all, l)
			case all[place].Result == bulk.Failed:
				all[place] = l
			}
		}
	}
	var text []byte
	for _, l := range all {
		text = append(text, l.text()...)
	}
	return text, nil
}

func partName(number int, attempt int32, part int) string {
	return fmt.Sprintf("parts/%08d-%d-%d.jsonl", number, attempt, part)
}

// partNames returns the parts of a chunk in the order of writing.
func (r *results) partNames(ctx context.Context, number int) ([]string, error) {
	type part struct {
		attempt int32
		number  int
	}
	var all []part
	prefix := fmt.Sprintf("parts/%08d-", number)
	for list := r.List(&blob.ListOptions{Prefix: prefix}); ; {
		object, err := list.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		var p part
		if _, err := fmt.Sscanf(object.Key[len(prefix):], "%d-%d.jsonl", &p.attempt, &p.number); err == nil {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b part) int {
		return cmp.Or(cmp.Compare(a.attempt, b.attempt), cmp.Compare(a.number, b.number))
	})
	var names []string
	for _, p := range all {
		names = append(names, partName(number, p.attempt, p.number))
	}
	return names, nil
}

// lines yields the lines of a file.
func lines(content []byte) iter.Seq2[*Line, error] {
	return func(yield func(*Line, error) bool) {
		for d := json.NewDecoder(bytes.NewReader(content)); ; {
			l := new(Line)
			err := d.Decode(l)
			if err == io.EOF || !yield(l, err) || err != nil {
				return
			}
		}
	}
}

// A chunkSummary is the result of a chunk's file, with the lines of failed and
// of matching objects.
type chunkSummary struct {
	ChunkResult
	failed, matched []byte
}

func summarize(content []byte) (*chunkSummary, error) {
	sum := sha256.Sum256(content)
	out := &chunkSummary{ChunkResult: ChunkResult{Digest: hex.EncodeToString(sum[:])}}
	for l, err := range lines(content) {
		if err != nil {
			return nil, fmt.Errorf("the file of a chunk: %w", err)
		}
		out.addLine(l)
		l.Finding = nil
		if l.Result == bulk.Failed {
			out.failed = append(out.failed, l.text()...)
		}
		if l.Matches {
			out.matched = append(out.matched, l.text()...)
		}
	}
	return out, nil
}

func (l *Line) text() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(l) // can't fail for texts and numbers
	return b.Bytes()
}

// Failures yields the failed objects of a job, by the URL of its directory.
func Failures(ctx context.Context, folder string) iter.Seq2[*Line, error] {
	return linesIn(ctx, folder, failuresFolder)
}

// Matches yields the objects that match the filter of an audit, without
// findings.
func Matches(ctx context.Context, folder string) iter.Seq2[*Line, error] {
	return linesIn(ctx, folder, matchesFolder)
}

func linesIn(ctx context.Context, folder, prefix string) iter.Seq2[*Line, error] {
	return func(yield func(*Line, error) bool) {
		r, err := openResults(ctx, folder)
		if err != nil {
			yield(nil, err)
			return
		}
		defer r.Close()
		list := r.List(&blob.ListOptions{Prefix: prefix})
		for {
			object, err := list.Next(ctx)
			if errors.Is(err, io.EOF) {
				return
			}
			var content []byte
			if err == nil {
				content, err = r.read(ctx, object.Key)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			for l, err := range lines(content) {
				if !yield(l, err) {
					return
				}
			}
		}
	}
}

// ReadReport returns the report of a job by the URL of its directory, or nil if
// there is none yet. A directory without results of a job is an error.
func ReadReport(ctx context.Context, folder string) (*Report, error) {
	r, err := openResults(ctx, folder)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	report, err := r.readReport(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", withoutQuery(folder), err)
	}
	return report, nil
}

func (r *results) readReport(ctx context.Context) (*Report, error) {
	text, err := r.read(ctx, reportName)
	switch {
	case gcerrors.Code(err) == gcerrors.NotFound:
		return nil, r.checkBegun(ctx)
	case err != nil:
		return nil, err
	}
	report := new(Report)
	return report, json.Unmarshal(text, report)
}

// checkBegun returns an error if no chunk was started.
func (r *results) checkBegun(ctx context.Context) error {
	for _, prefix := range []string{"chunks/", "parts/"} {
		found, _, err := r.ListPage(ctx, blob.FirstPageToken, 1, &blob.ListOptions{Prefix: prefix})
		switch {
		case gcerrors.Code(err) == gcerrors.NotFound:
			return errors.New("no such bucket")
		case err != nil:
			return err
		case len(found) > 0:
			return nil
		}
	}
	return errors.New("no results of a job found: \"esdk-lake status ID\" shows their URL")
}

const reportName = "report.json"

// writeReport writes the report of a job to its directory.
func (r *results) writeReport(ctx context.Context, report *Report) error {
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	return r.WriteAll(ctx, reportName, append(text, '\n'), &blob.WriterOptions{ContentType: "application/json"})
}

// cleanUpTime is how long ending work may take to write its results.
const cleanUpTime = 30 * time.Second
