package scale

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestShards runs the pods of an Indexed Job, and the children of an array job,
// on one listing at once: each object is in one report, and is replaced once.
// Shards that run again, for instance after they were killed, skip finished
// objects.
func TestShards(t *testing.T) {
	const shards = 5
	for _, variable := range []string{"JOB_COMPLETION_INDEX", "AWS_BATCH_JOB_ARRAY_INDEX"} {
		b := newBucket(t, 300)
		rows := b.runShards(t, variable, shards, 0, 1, 2, 3, 4)
		if len(rows) != len(b.texts) {
			t.Errorf("%s: the reports have %d rows, want %d", variable, len(rows), len(b.texts))
		}
		for _, row := range rows {
			if row.Result != "ok" {
				t.Errorf("%s: %+v", variable, row)
			}
		}
		b.checkRotated(t)
		for _, row := range b.runShards(t, variable, shards, 1, 1, 3) {
			if row.Result != "skipped" {
				t.Errorf("%s, again: %+v", variable, row)
			}
		}
		b.checkRotated(t)
	}
}

// runShards runs some shards side by side, and returns the rows of their
// reports.
func (b *bucket) runShards(t *testing.T, variable string, shards int, indexes ...int) (rows []reportRow) {
	t.Helper()
	var running []*exec.Cmd
	for _, i := range indexes {
		run := exec.Command(command(t), "reencrypt", "--in-place", "--recursive", fmt.Sprintf("--shard=env/%d", shards),
			"--from-key", filepath.Join(b.dir, "old.key"), "-k", filepath.Join(b.dir, "new.key"), "--report", "-", "s3://"+b.name+"/lake/")
		run.Env = append(os.Environ(), fmt.Sprint(variable, "=", i))
		run.Stdout, run.Stderr = new(bytes.Buffer), new(bytes.Buffer)
		if err := run.Start(); err != nil {
			t.Fatal(err)
		}
		running = append(running, run)
	}
	for _, run := range running {
		if err := run.Wait(); err != nil {
			t.Errorf("%v\n%s", err, run.Stderr)
		}
		for lines := json.NewDecoder(run.Stdout.(*bytes.Buffer)); lines.More(); {
			var row reportRow
			if err := lines.Decode(&row); err != nil {
				t.Fatal(err)
			}
			rows = append(rows, row)
		}
	}
	return rows
}
