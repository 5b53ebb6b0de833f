package lake

import (
	"bytes"
	"context"
	"fmt"
	"runtime/debug"
	"strings"

	"esdk/cmd/esdk/bulk"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// summarize writes the summary of an audit, and its page, from the files of all
// chunks.
func (r *results) summarize(ctx context.Context, w *work, in *SummaryRequest) (*SummaryResult, error) {
	s := w.NewSummary(in.Started, in.AllVersions)
	if in.Inventory != "" {
		created, err := w.InventoryCreated(ctx, bulk.Part{Manifest: in.Inventory, AllVersions: in.AllVersions})
		if isAway(err) {
			return nil, err
		}
		s.InventoryCreated = created // zero if the manifest is gone by now
	}
	for number := 1; number <= in.Last; number++ {
		content, err := r.read(ctx, chunkName(number))
		switch {
		case gcerrors.Code(err) == gcerrors.NotFound: // missing
			continue
		case err != nil:
			return nil, err
		}
		if err := addFindings(s, content); err != nil {
			return nil, fmt.Errorf("%s: %w", chunkName(number), err)
		}
	}
	s.End(in.Ended, in.BytesRead)
	text, err := s.JSON()
	if err != nil {
		return nil, err
	}
	page := new(bytes.Buffer)
	if err := s.WritePage(page, in.inputs(), version()); err != nil {
		return nil, err
	}
	for name, file := range map[string]struct {
		content []byte
		kind    string
	}{"summary.json": {text, "application/json"}, "report.html": {page.Bytes(), "text/html; charset=utf-8"}} {
		if err := r.WriteAll(ctx, name, file.content, &blob.WriterOptions{ContentType: file.kind}); err != nil {
			return nil, err
		}
	}
	none, keys := s.NoneUnder()
	return &SummaryResult{none, keys}, nil
}

func addFindings(s *bulk.Summary, content []byte) error {
	skipped := 0
	for l, err := range lines(content) {
		switch {
		case err != nil:
			return err
		case l.Result == bulk.Skipped:
			skipped++
		default:
			if err := s.AddFinding(l.Finding, l.Matches); err != nil {
				return err
			}
		}
	}
	s.AddSkipped(skipped)
	return nil
}

// inputs returns the audited inputs, without parameters, which may be secret.
func (in *SummaryRequest) inputs() (all []string) {
	if in.End != Complete {
		all = append(all, "only a part of the following, since the audit was ended: "+in.End)
	}
	switch {
	case in.Folder != "":
		all = append(all, withoutQuery(in.Folder))
	case in.AllVersions:
		all = append(all, "all versions of objects in the inventory "+withoutQuery(in.Inventory))
	default:
		all = append(all, "the objects in the inventory "+withoutQuery(in.Inventory))
	}
	return append(all, "job "+in.Workflow+", digest of the results "+in.Digest)
}

func withoutQuery(url string) string {
	name, _, _ := strings.Cut(url, "?")
	return name
}

// version returns the version of the program.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}
