package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"esdk/lake"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
)

// A record is the description of a job in the history. Reading it needs no
// worker.
type record struct {
	lake.Job
	results string // the URL of the job's own directory
	queue   string
}

// recordOf reads the first event of a run; "" is the latest run.
func (c *connection) recordOf(ctx context.Context, t client.Client, id, run string) (*record, error) {
	events := t.GetWorkflowHistory(ctx, id, run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	if !events.HasNext() {
		return nil, fmt.Errorf("%s has no history", id)
	}
	first, err := events.Next()
	if err != nil {
		return nil, err
	}
	started := first.GetWorkflowExecutionStartedEventAttributes()
	r, kind := &record{queue: started.GetTaskQueue().GetName()}, started.GetWorkflowType().GetName()
	if kind != "Rotate" && kind != "Audit" {
		return nil, fmt.Errorf("%s is neither a rotation nor an audit, but a workflow of the type %q", id, kind)
	}
	if err := c.converter.FromPayloads(started.GetInput(), &r.Job); err != nil {
		return nil, fmt.Errorf("the job of %s cannot be read: %w", id, err)
	}
	r.Audit = kind == "Audit"
	r.results = r.OwnResults(id, started.GetFirstExecutionRunId())
	return r, nil
}

// String omits parameters of URLs, which may be secret.
func (r *record) String() string {
	return fmt.Sprintf("%s of %s with the flags %q and the results in %s", kindOf(&r.Task), sourceOf(&r.Task), strings.Join(r.Flags, " "), withoutQuery(r.Results))
}

func kindOf(t *lake.Task) string {
	if t.Audit {
		return "an audit"
	}
	return "a rotation"
}

// sourceOf returns the source of a job's objects.
func sourceOf(t *lake.Task) string { return withoutQuery(t.Folder + t.Inventory) }

func withoutQuery(url string) string {
	name, _, _ := strings.Cut(url, "?")
	return name
}

// checkFailIf rejects --fail-if for a job without a filter, where it would
// always pass, or never.
func checkFailIf(t *lake.Task) error {
	if !t.Audit {
		return usage("--fail-if needs an audit, but this is a rotation")
	}
	filtered, err := t.Filtered()
	if err == nil && !filtered {
		err = errors.New("--fail-if needs a filter after --, such as --uncommitted: without one, everything matches")
	}
	if err != nil {
		return &statusError{exitUsage, err}
	}
	return nil
}
