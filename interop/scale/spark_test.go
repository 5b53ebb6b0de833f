package scale

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSpark rotates the objects of a bucket on a standalone cluster, one of
// whose two workers is killed meanwhile. Then it rotates them again.
func TestSpark(t *testing.T) {
	home := needs(t, "ESDK_SPARK_HOME")
	b := newBucket(t, 2000)
	c := startCluster(t, home)
	names := filepath.Join(b.dir, "names.txt")
	var list strings.Builder
	for key := range b.texts {
		fmt.Fprintln(&list, b.url(key))
	}
	writeFile(t, names, list.String())

	first := filepath.Join(b.dir, "first")
	run := c.submit(t, "rotate.py", names, first, "20", "--from-key", filepath.Join(b.dir, "old.key"), "-k", filepath.Join(b.dir, "new.key"))
	done := b.waitRotated(t, 400)
	c.killWorker(t)
	if err := run.wait(); err != nil {
		t.Fatalf("%v\n%s", err, run.log())
	}
	b.checkRotated(t)
	t.Logf("%d were done when the worker was killed; the report: %v", done, b.checkReport(t, first))

	inventory := filepath.Join(b.dir, "inventory")
	if err := c.submit(t, b.inventory(t, inventory)).wait(); err != nil {
		t.Fatal(err)
	}
	second := filepath.Join(b.dir, "second")
	run = c.submit(t, "rotate.py", inventory, second, "4", "--from-key", filepath.Join(b.dir, "old.key"), "-k", filepath.Join(b.dir, "new.key"))
	if err := run.wait(); err != nil {
		t.Fatalf("%v\n%s", err, run.log())
	}
	if counts := b.checkReport(t, second); counts["skipped"] != len(b.texts) {
		t.Errorf("the second run has %v, want all skipped", counts)
	}
	b.checkRotated(t)
}

// TestSparkFailures: failures are rows of the report, and the exit status is 3.
// With wrong keys on the command line, the run fails and reports the reason.
func TestSparkFailures(t *testing.T) {
	home := needs(t, "ESDK_SPARK_HOME")
	b := newBucket(t, 6)
	c := startCluster(t, home)
	var list strings.Builder
	for key := range b.texts {
		fmt.Fprintln(&list, b.url(key))
	}
	fmt.Fprintln(&list, b.url("lake/missing"))
	names := filepath.Join(b.dir, "names.txt")
	writeFile(t, names, list.String())
	report := filepath.Join(b.dir, "report")
	// With a partition per name, esdk's exit status is the status of the
	// failure itself.
	run := c.submit(t, "rotate.py", names, report, "16", "--from-key", filepath.Join(b.dir, "old.key"), "-k", filepath.Join(b.dir, "new.key"))
	var exit *exec.ExitError
	if err := run.wait(); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("with a missing object: %v, want exit status 3\n%s", err, run.log())
	}
	rows := readReport(t, report)
	if counts := count(rows); counts["ok"] != 6 || counts["failed"] != 1 {
		t.Errorf("the report has %v", counts)
	}
	for _, row := range rows {
		if row.Result == "failed" && (row.Kind != "not-found" || row.Input != b.url("lake/missing")) {
			t.Errorf("the report has the failure %+v", row)
		}
	}
	b.checkRotated(t)
	run = c.submit(t, "rotate.py", names, filepath.Join(b.dir, "none"), "2", "--from-key", filepath.Join(b.dir, "old.key"), "-k", "@unknown")
	if err := run.wait(); err == nil || !strings.Contains(run.log(), "exit status 2, 0 of ") || !strings.Contains(run.log(), "@unknown") {
		t.Errorf("with an unknown key: %v\n%s", err, run.log())
	}
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// waitRotated waits until want objects have a second version, and returns their
// number.
func (b *bucket) waitRotated(t *testing.T, want int) int {
	t.Helper()
	for range 1200 {
		done := 0
		for _, n := range b.versions(t) {
			if n > 1 {
				done++
			}
		}
		if done >= want {
			return done
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Fatalf("%d objects were not rotated in time", want)
	return 0
}

// inventory returns a program that writes an inventory of the bucket, including
// rows that must be skipped.
func (b *bucket) inventory(t *testing.T, dir string) string {
	t.Helper()
	var rows []string
	add := func(key string, latest, marker bool) {
		row, err := json.Marshal([]any{b.name, key, "v", latest, marker})
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, string(row))
	}
	for key := range b.texts {
		add(key, true, false)
		add(key, false, false)
	}
	add("lake/gone", true, true)
	add("lake/", true, false)
	writeFile(t, filepath.Join(b.dir, "rows.json"), "["+strings.Join(rows, ",")+"]")
	program := filepath.Join(b.dir, "inventory.py")
	writeFile(t, program, fmt.Sprintf(`import json
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
columns = "bucket STRING, key STRING, version_id STRING, is_latest BOOLEAN, is_delete_marker BOOLEAN"
spark.createDataFrame(json.load(open(%q)), columns).write.parquet(%q)
`, filepath.Join(b.dir, "rows.json"), dir))
	return program
}

// checkReport fails unless each name has one row, and no row is a failure. It
// counts the rows by result.
func (b *bucket) checkReport(t *testing.T, dir string) map[string]int {
	t.Helper()
	rows := readReport(t, dir)
	seen := make(map[string]bool)
	for _, row := range rows {
		seen[row.Input] = true
		if row.Result == "failed" {
			t.Errorf("the report has the failure %+v", row)
		}
	}
	if len(rows) != len(b.texts) || len(seen) != len(b.texts) {
		t.Errorf("the report has %d rows of %d names, want %d", len(rows), len(seen), len(b.texts))
	}
	return count(rows)
}

type reportRow struct{ Input, Result, Kind string }

// readReport reads the files that Spark wrote, in a directory for each result.
func readReport(t *testing.T, dir string) []reportRow {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "_SUCCESS")); err != nil {
		t.Error(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "result=*", "part-*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []reportRow
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			row := reportRow{Result: strings.TrimPrefix(filepath.Base(filepath.Dir(file)), "result=")}
			if err := json.Unmarshal([]byte(line), &row); err != nil {
				t.Fatal(err)
			}
			rows = append(rows, row)
		}
	}
	return rows
}

func count(rows []reportRow) map[string]int {
	counts := make(map[string]int)
	for _, row := range rows {
		counts[row.Result]++
	}
	return counts
}

// A cluster is a master and two workers on this machine.
type cluster struct {
	home, url string
	workers   []*exec.Cmd
}

func startCluster(t *testing.T, home string) *cluster {
	t.Helper()
	port := freePort(t)
	c := &cluster{home: home, url: "spark://127.0.0.1:" + port}
	c.start(t, "master", "org.apache.spark.deploy.master.Master", "--host", "127.0.0.1", "--port", port, "--webui-port", "0")
	waitFor(t, "127.0.0.1:"+port)
	for i := range 2 {
		c.workers = append(c.workers, c.start(t, fmt.Sprint("worker", i), "org.apache.spark.deploy.worker.Worker",
			"--host", "127.0.0.1", "--webui-port", "0", "--cores", "1", "--memory", "1g", "--work-dir", t.TempDir(), c.url))
	}
	return c
}

// start runs a daemon until the test ends.
func (c *cluster) start(t *testing.T, name string, arguments ...string) *exec.Cmd {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	daemon := exec.Command(filepath.Join(c.home, "bin", "spark-class"), arguments...)
	daemon.Stdout, daemon.Stderr = log, log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = daemon.Process.Signal(syscall.SIGTERM) // it may have been killed
		_ = daemon.Wait()
		log.Close()
	})
	return daemon
}

// killWorker kills a worker and its executor, as a power failure would. Their
// child processes go on, and have to notice.
func (c *cluster) killWorker(t *testing.T) {
	t.Helper()
	worker := c.workers[0].Process.Pid
	pids := append(children(t, worker), worker)
	if len(pids) < 2 {
		t.Fatal("the worker has no executor")
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
}

func children(t *testing.T, parent int) []int {
	t.Helper()
	out, err := exec.Command("pgrep", "-P", strconv.Itoa(parent)).Output()
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for field := range strings.FieldsSeq(string(out)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// A submitted program runs on the cluster.
type submitted struct {
	*exec.Cmd
	output bytes.Buffer
}

// submit starts a program, from docs/scale unless its path is absolute.
func (c *cluster) submit(t *testing.T, program string, arguments ...string) *submitted {
	t.Helper()
	if !filepath.IsAbs(program) {
		program = filepath.Join("..", "..", "docs", "scale", program)
	}
	s := new(submitted)
	s.Cmd = exec.Command(filepath.Join(c.home, "bin", "spark-submit"), slices.Concat([]string{
		"--master", c.url, "--executor-memory", "512m", "--conf", "spark.driver.host=127.0.0.1",
		"--conf", "spark.driver.bindAddress=127.0.0.1", "--conf", "spark.ui.enabled=false", program,
	}, arguments)...)
	s.Stdout, s.Stderr = &s.output, &s.output
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *submitted) wait() error { return s.Cmd.Wait() }

func (s *submitted) log() string { return s.output.String() }

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func waitFor(t *testing.T, address string) {
	t.Helper()
	for range 600 {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("nothing answers at %s", address)
}
