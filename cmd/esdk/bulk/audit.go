package bulk

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"time"

	"esdk/cmd/esdk/internal/audit"
	"github.com/spf13/pflag"
)

// OpenAudit opens the keys, if any, and the filter that the flags of "esdk
// audit" give. It also takes --config, --jobs, --rate and --retry-for, but no
// flags for the output of the command.
func OpenAudit(ctx context.Context, flags []string) (*Work, error) {
	o := new(audit.Options)
	return newWork("audit", flags, auditJobs, o.AddFlags, func(w *Work, _ *pflag.FlagSet) (err error) {
		w.buckets.StartOnly = true
		if err := o.Parse(w.settings); err != nil {
			return err
		}
		w.audit, err = audit.New(ctx, w.settings, o)
		return err
	})
}

// BytesRead returns the number of bytes that an audit has read from its inputs
// so far, and 0 for a rotation.
func (w *Work) BytesRead() int64 {
	if w.audit == nil {
		return 0
	}
	return w.audit.Bytes()
}

// A Summary summarizes an audit of any number of inputs. Its memory is bounded.
type Summary struct {
	*audit.Summary
	filter *audit.Filter
}

// NewSummary returns the summary of an audit that began at a given time. The
// audit covers all versions of objects, or else the current ones. A summary may
// count the findings of another Work with the same flags.
func (w *Work) NewSummary(started time.Time, allVersions bool) *Summary {
	s := &Summary{w.audit.Summary(), &w.audit.Filter}
	s.Started, s.CurrentOnly, s.AllVersions = started, !allVersions, allVersions
	return s
}

// AddFinding counts a [Result] with a finding. It returns an error if the
// finding is malformed.
func (s *Summary) AddFinding(finding []byte, matches bool) error {
	f := new(audit.Finding)
	if err := json.Unmarshal(finding, f); err != nil {
		return err
	}
	f.Name, f.Matches = audit.Shown(f.Input), matches
	kinds := []string{audit.IsMessage, audit.IsNoMessage, audit.IsBroken, audit.CouldNotLook}
	if !slices.Contains(kinds, f.Kind) || f.Kind == audit.IsMessage && f.Header == nil {
		return errors.New("not a finding of an audit")
	}
	s.Add(f)
	return nil
}

// AddSkipped counts skipped inputs.
func (s *Summary) AddSkipped(n int) { s.Skipped += int64(n) }

// End ends the summary: it sets the time of the end and the number of bytes
// read from all inputs.
func (s *Summary) End(at time.Time, bytesRead int64) { s.Ended, s.BytesRead = at, bytesRead }

// JSON returns the last line of "esdk audit --json".
func (s *Summary) JSON() ([]byte, error) { return s.Summary.JSON(s.filter) }

// WriteText writes the summary that "esdk audit" prints.
func (s *Summary) WriteText(w io.Writer) error { return s.Summary.WriteText(w, s.filter) }

// WritePage writes the page of "esdk audit --html". Inputs describes the
// audited inputs, in words that may be shown, and version is the version of the
// program.
func (s *Summary) WritePage(w io.Writer, inputs []string, version string) error {
	return (&audit.Page{Summary: s.Summary, Filter: s.filter, Inputs: inputs, Version: version}).Write(w)
}
