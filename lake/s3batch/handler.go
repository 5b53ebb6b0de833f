package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
	"unicode"

	"esdk/cmd/esdk/bulk"

	"github.com/aws/aws-lambda-go/events"
)

// Codes of results.
const (
	succeeded = "Succeeded"
	temporary = "TemporaryFailure" // S3 calls again
	permanent = "PermanentFailure"
)

const (
	// maxText bounds the text of a result, which is a column of the job's
	// report.
	maxText = 400

	// graceTime is the part of the function's time that is reserved for the
	// answer.
	graceTime = 3 * time.Second
)

// A handler is safe for concurrent use.
type handler struct {
	rotation interface {
		Do(ctx context.Context, names iter.Seq[string], each func(bulk.Result) error) error
	}
	current func(ctx context.Context, bucket, key string) (version string, err error)
}

// handle answers each task. An error concerns the whole call, and S3 counts all
// its tasks as failed.
func (h *handler) handle(ctx context.Context, e event) (*events.S3BatchJobResponse, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-graceTime))
		defer cancel()
	}
	answer := &events.S3BatchJobResponse{InvocationSchemaVersion: e.Schema, InvocationID: e.Invocation, TreatMissingKeysAs: temporary}
	for _, t := range e.Tasks {
		code, text := h.do(ctx, &t)
		answer.Results = append(answer.Results, events.S3BatchJobResult{TaskID: t.ID, ResultCode: code, ResultString: printable(text)})
	}
	return answer, nil
}

func (h *handler) do(ctx context.Context, t *task) (code, text string) {
	o, err := t.object()
	if err != nil {
		return permanent, err.Error()
	}
	if o.version != "" {
		if code, text := h.checkVersion(ctx, o); code != "" {
			return code, text
		}
	}
	result := bulk.Result{Status: bulk.Failed, Error: "nothing was done", Retryable: true}
	err = h.rotation.Do(ctx, slices.Values([]string{o.url()}), func(r bulk.Result) error {
		result = r
		return nil
	})
	if err != nil { // the run ended before its result
		result = bulk.Result{Status: bulk.Failed, Kind: "interrupted", Error: explain(err), Retryable: true}
	}
	return answer(result)
}

// checkVersion rejects a version that isn't the current one. Otherwise, the
// current version would be re-encrypted, and the version of the task reported
// as done.
func (h *handler) checkVersion(ctx context.Context, o object) (code, text string) {
	current, err := h.current(ctx, o.bucket, o.key)
	switch {
	case errors.Is(err, errMissing):
		return permanent, "not-found: there is no current version"
	case errors.Is(err, errForbidden):
		return permanent, "forbidden: s3:GetObject"
	case err != nil:
		return temporary, "unavailable: " + explain(err)
	case cmp.Or(current, null) != o.version:
		return permanent, fmt.Sprintf("old-version: %.100s is not the current version, and only that can be replaced", o.version)
	}
	return "", ""
}

// null is the version of an object older than its bucket's versioning.
const null = "null"

// explain describes the end of the function's time, since the error itself
// doesn't.
func explain(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "the function's time is over; the object is as it was"
	}
	return err.Error()
}

// answer returns the result code and text for S3. If the object was changed
// concurrently, the next call finds it done, or can do it.
func answer(r bulk.Result) (code, text string) {
	switch {
	case r.Status == bulk.OK:
		return succeeded, "ok"
	case r.Status == bulk.Skipped:
		return succeeded, "skipped: " + r.Reason
	case r.Retryable || r.Kind == "changed":
		code = temporary
	default:
		code = permanent
	}
	return code, r.Kind + ": " + r.Error
}

// printable bounds a text, and makes it one line.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return text
}
