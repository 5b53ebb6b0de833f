// Package lake re-encrypts or audits all messages in a bucket on Temporal. A
// [Job] is a workflow. Each range of about a thousand keys is an activity,
// which any worker runs in its own process, just as "esdk reencrypt --in-place"
// and "esdk audit" do.
//
// The command esdk-lake runs workers and starts jobs. A worker of your own
// registers the workflows and activities:
//
//	a := lake.NewActivities(t) // t is a client of Temporal
//	defer a.Close()
//	w := worker.New(t, lake.TaskQueue, worker.Options{WorkerStopTimeout: time.Minute})
//	lake.Register(w, a)
//	err := w.Run(worker.InterruptCh())
//
// Another program starts the job:
//
//	job := lake.Job{
//		Task: lake.Task{
//			Source: lake.Source{Folder: "s3://lake/data/"},
//			Flags:  []string{"--from-key", "@old", "-k", "@new"},
//		},
//		Results: "s3://audit/rotations/",
//	}
//	err := job.Check()
//	run, err := t.ExecuteWorkflow(ctx, client.StartWorkflowOptions{TaskQueue: lake.TaskQueue}, lake.Rotate, job)
//
// The history contains keys of objects and the flags that name wrapping keys.
// Workers make keyrings from these flags, with their own configuration and
// credentials, so there are no secrets in the history. Package
// [esdk/lake/codec] encrypts it nevertheless.
package lake

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"esdk/cmd/esdk/bulk"
	"github.com/aws/aws-sdk-go-v2/config"
	"go.temporal.io/sdk/temporal"
)

// TaskQueue is the default task queue.
const TaskQueue = "esdk-lake"

// These are the default sizes.
const (
	usualObjects  = 1000
	usualParallel = 8
	usualLease    = 30 * time.Second
)

// A Source is the location of the objects. Exactly one of its two URLs is set.
type Source struct {
	Folder    string `json:"folder,omitempty"`    // the URL of a directory, such as s3://bucket/key/
	Inventory string `json:"inventory,omitempty"` // the URL of a manifest of S3 Inventory

	// AllVersions makes an audit read all versions that an inventory lists.
	AllVersions bool `json:"all_versions,omitempty"`
}

// A Task is an operation on the objects of a source.
type Task struct {
	Source
	Audit bool     `json:"audit,omitempty"` // audit instead of re-encrypting
	Flags []string `json:"flags"`           // of "esdk reencrypt", or of "esdk audit"
}

// A Job is a task with its parameters. It is the input of the workflows
// [Rotate] and [Audit].
type Job struct {
	Task

	// Results is the URL of a directory. Each job has a directory of its own in
	// it.
	Results string `json:"results"`

	Objects  int           `json:"objects,omitempty"`  // per chunk
	Parallel int           `json:"parallel,omitempty"` // chunks at once, on all workers
	Lease    time.Duration `json:"lease,omitempty"`    // of a worker on a chunk, without a heartbeat

	// RunChunks is the number of chunks after which the workflow continues as a
	// new run, or earlier if its history gets too long.
	RunChunks int `json:"run_chunks,omitempty"`

	// Progress is the work of earlier runs. It is nil at the start.
	Progress *Progress `json:"progress,omitempty"`
}

// Check rejects jobs that can't succeed on any worker, and flags that may
// contain secrets.
func (j *Job) Check() error {
	if (j.Folder == "") == (j.Inventory == "") {
		return errors.New("a job needs either a directory or an inventory")
	}
	if j.AllVersions && (!j.Audit || j.Inventory == "") {
		return errors.New("all versions need an audit of an inventory")
	}
	if j.Lease != 0 && j.Lease < minLease {
		return fmt.Errorf("the lease of %s must be at least %s", j.Lease, minLease)
	}
	if j.Objects < 0 || j.Parallel < 0 || j.RunChunks < 0 {
		return errors.New("a number must be at least 1, or 0 for the default")
	}
	results, err := parseFolder(j.Results)
	if err == nil {
		err = checkResults(results)
	}
	if err != nil {
		return errors.New("the results: " + err.Error())
	}
	if j.Inventory != "" {
		u, err := url.Parse(j.Inventory)
		if err != nil || u.Scheme != "s3" || u.Host == "" || u.Path == "" || strings.HasSuffix(u.Path, "/") {
			return errors.New("an inventory must be the URL of its manifest, such as s3://BUCKET/…/manifest.json")
		}
		return j.checkFlags()
	}
	folder, err := parseFolder(j.Folder)
	if err != nil {
		return err
	}
	if folder.Scheme == results.Scheme && folder.Host == results.Host && strings.HasPrefix(results.Path, folder.Path) {
		return errors.New("the results must be outside of the directory: they would be taken for messages")
	}
	return j.checkFlags()
}

// Filtered reports whether an audit has a filter. Without one, everything
// matches.
func (t *Task) Filtered() (bool, error) { return bulk.HasFilter(t.Flags) }

func (t *Task) checkFlags() error {
	if t.Audit {
		return bulk.CheckAudit(t.Flags)
	}
	return bulk.CheckRotation(t.Flags)
}

// checkResults rejects parameters that are for objects only, and paths that
// some stores normalize and others don't.
func checkResults(u *url.URL) error {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errors.New("malformed parameters")
	}
	for _, name := range []string{"storageclass", "tags", "part-size", "conditional-writes", "versionId"} {
		if query.Has(name) {
			return fmt.Errorf("the parameter %s cannot be used for results", name)
		}
	}
	for part := range strings.SplitSeq(u.Path, "/") {
		if part == "." || part == ".." {
			return fmt.Errorf("a path must not contain %q", part)
		}
	}
	return checkParameters(*u, query)
}

// checkParameters lets the store's own opener reject unknown parameters,
// without a request. It leaves out parameters that refer to the worker's
// configuration, which may not exist on this machine.
func checkParameters(u url.URL, query url.Values) error {
	query.Del("profile")
	query.Del("role")
	u.RawQuery = query.Encode()
	b, err := openBucket(context.Background(), &u)
	if err == nil {
		return b.Close()
	}
	if errors.As(err, new(config.SharedConfigProfileNotExistError)) {
		return nil
	}
	return err
}

// parseFolder parses the URL of a directory, and makes its path end with a
// slash.
func parseFolder(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, errors.New("a directory must be a URL, such as s3://BUCKET/KEY/")
	}
	if !strings.HasSuffix(u.Path, "/") {
		u.Path += "/"
	}
	return u, nil
}

// OwnResults returns the URL of the job's own directory, by the ids of its
// workflow and first run.
func (j *Job) OwnResults(id, run string) string { return within(within(j.Results, id), run) }

// Differences lists the differences from another job: the kind, source, flags
// or results. Sizes and the lease may differ, since they don't change the
// result.
func (j *Job) Differences(other *Job) (all []string) {
	differ := func(is bool, what string) {
		if is {
			all = append(all, what)
		}
	}
	differ(j.Audit != other.Audit, "kind")
	differ(withSlash(j.Folder) != withSlash(other.Folder) || j.Inventory != other.Inventory || j.AllVersions != other.AllVersions, "source")
	differ(!slices.Equal(j.Flags, other.Flags), "flags")
	differ(withSlash(j.Results) != withSlash(other.Results), "results")
	return all
}

// withSlash returns the URL of a directory with a slash at its end.
func withSlash(folder string) string {
	if u, err := parseFolder(folder); err == nil {
		return u.String()
	}
	return folder
}

func (j *Job) setDefaults() {
	set := func(n *int, usual int) {
		if *n <= 0 {
			*n = usual
		}
	}
	set(&j.Objects, usualObjects)
	set(&j.Parallel, usualParallel)
	set(&j.RunChunks, maxRunChunks)
	if j.Lease <= 0 {
		j.Lease = usualLease
	}
	j.Lease = max(j.Lease, minLease)
}

// Counts are numbers of objects by outcome.
type Counts struct {
	OK      int   `json:"ok"`
	Skipped int   `json:"skipped"`
	Failed  int   `json:"failed"`
	Bytes   int64 `json:"bytes"` // of messages that were made or audited
	Matches int   `json:"matches,omitempty"`

	Kinds   map[string]int `json:"kinds,omitempty"`   // of failures
	Reasons map[string]int `json:"reasons,omitempty"` // to skip

	KMSRequests int64 `json:"kms_requests"`
	BytesRead   int64 `json:"bytes_read,omitempty"` // by an audit
}

// Done returns the number of finished objects.
func (c *Counts) Done() int { return c.OK + c.Skipped + c.Failed }

func (c *Counts) addLine(l *Line) {
	if l.Matches {
		c.Matches++
	}
	switch l.Result {
	case bulk.OK:
		c.OK++
		c.Bytes += l.Bytes
	case bulk.Skipped:
		c.Skipped++
		increase(&c.Reasons, l.Reason, 1)
	default:
		c.Failed++
		increase(&c.Kinds, l.Kind, 1)
	}
}

func (c *Counts) add(more *Counts) {
	c.OK += more.OK
	c.Skipped += more.Skipped
	c.Failed += more.Failed
	c.Bytes += more.Bytes
	c.Matches += more.Matches
	c.KMSRequests += more.KMSRequests
	c.BytesRead += more.BytesRead
	for kind, n := range more.Kinds {
		increase(&c.Kinds, kind, n)
	}
	for reason, n := range more.Reasons {
		increase(&c.Reasons, reason, n)
	}
}

func increase(m *map[string]int, name string, n int) {
	if *m == nil {
		*m = make(map[string]int)
	}
	(*m)[name] += n
}

// clone returns a copy, for a status that is read while the counts change.
func (c *Counts) clone() Counts {
	out := *c
	out.Kinds, out.Reasons = maps.Clone(c.Kinds), maps.Clone(c.Reasons)
	return out
}

// A Status is the answer to the query "status".
type Status struct {
	Results string    `json:"results"` // the URL of the job's own directory
	Started time.Time `json:"started"`
	Paused  bool      `json:"paused"`
	Audit   bool      `json:"audit,omitempty"`
	Counts

	Listed      int   `json:"listed"` // objects, so far
	ListedBytes int64 `json:"listed_bytes"`
	AllListed   bool  `json:"all_listed"`

	Chunks  int `json:"chunks"`  // with a file
	Missing int `json:"missing"` // chunks that began and ended without a file
	Running int `json:"running"` // chunks
	Queued  int `json:"queued"`  // chunks

	// Rate is the number of objects per second over the last minute, and
	// Remaining the time for the rest at that rate. Both are 0 if unknown.
	Rate      float64       `json:"rate"`
	Remaining time.Duration `json:"remaining"`
}

// Complete is the end of a job that handled all objects.
const Complete = "complete"

// Reason returns why a job or an activity ended, without the text that Temporal
// adds.
func Reason(err error) string {
	if failure, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return failure.Message()
	}
	switch {
	case temporal.IsCanceledError(err):
		return cancelled
	case temporal.IsTerminatedError(err):
		return "terminated"
	}
	return err.Error()
}

// cancelled is the end of a cancelled job.
const cancelled = "cancelled"

// A Report is the result of a job. It is also stored as report.json in the
// job's directory.
type Report struct {
	Workflow string `json:"workflow"`
	Run      string `json:"run"` // the first run of the workflow
	Task
	Results string    `json:"results"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`
	End     string    `json:"end"` // [Complete], "cancelled", or an error
	Counts
	Objects int `json:"objects"` // all finished objects
	Chunks  int `json:"chunks"`  // with a file

	// Missing has the lowest numbers of chunks that began but have no file,
	// since none of their objects was finished before the job ended.
	Missing []int `json:"missing,omitempty"`

	SummaryResult // of an audit

	// Digest is the SHA-256 of the output of "sha256sum chunks/*.jsonl" in the
	// directory.
	Digest string `json:"digest"`
}
