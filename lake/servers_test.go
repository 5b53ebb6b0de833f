package lake_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"esdk/cmd/esdk/bulk"
	"esdk/lake"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"
)

var (
	background = context.Background()

	count      = flag.Int("lake-objects", 2000, "`NUMBER` of objects in the bucket of the long test")
	longest    = flag.Int("lake-longest", 16<<10, "most `BYTES` of one")
	kills      = flag.Duration("lake-kills", 0, "`TIME` between two kills of a worker; 0 is one kill")
	numWorkers = flag.Int("lake-workers", 2, "`NUMBER` of workers")
	refused    = flag.Int("lake-refused", 40, "`NUMBER` of requests that the store refuses, one of 20")
	bigSize    = flag.Int64("lake-big", 0, "`BYTES` of one more object; 0 is none")
)

// A world consists of real servers, keys, and the tested command.
type world struct {
	t       *testing.T
	run     string // the directory of the scripts' servers
	home    string
	program string
	bucket  string
	s3      *s3.Client // bypasses the door
	door    *door      // for the workers

	temporal string // address
}

// command builds the command once.
var command = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "esdk-lake")
	if err != nil {
		return "", err
	}
	built = dir
	program := filepath.Join(dir, "esdk-lake")
	out, err := exec.Command("go", "build", "-o", program, "./cmd/esdk-lake").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return program, err
})

var built string

func TestMain(m *testing.M) {
	flag.Parse()
	log.SetOutput(new(bytes.Buffer))
	code := m.Run()
	os.RemoveAll(built)
	os.Exit(code)
}

// newWorld starts the servers, and creates a bucket with versioning, and one
// for results.
func newWorld(t *testing.T) *world {
	t.Helper()
	if os.Getenv("ESDK_LAKE") == "" {
		t.Skip("NOT RUN: it wants Temporal and SeaweedFS, which \"make lake\" and \"make lake-short\" install")
	}
	w := &world{t: t, run: t.TempDir(), home: t.TempDir(), bucket: "lake"}
	var err error
	if w.program, err = command(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", w.home)
	t.Setenv("XDG_CONFIG_HOME", "")
	for _, name := range []string{"TEMPORAL_ADDRESS", "TEMPORAL_PROFILE", "ESDK_PROFILE"} {
		t.Setenv(name, "")
	}
	store := w.script("seaweedfs", "start")
	w.door = newDoor(t, store)
	t.Setenv("AWS_ENDPOINT_URL", w.door.URL)
	t.Cleanup(func() { w.script("seaweedfs", "stop") })
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_REGION", "us-east-1")
	c, err := config.LoadDefaultConfig(background)
	if err != nil {
		t.Fatal(err)
	}
	w.s3 = s3.NewFromConfig(c, func(o *s3.Options) { o.UsePathStyle, o.BaseEndpoint = true, &store })
	w.makeBuckets()
	w.makeKeys()
	return w
}

func (w *world) startTemporal() {
	w.t.Helper()
	w.temporal = w.script("temporal", "start")
	w.t.Cleanup(func() { w.script("temporal", "stop") })
	w.t.Setenv("TEMPORAL_ADDRESS", w.temporal)
}

// script runs a script of interop/backends, and returns its output.
func (w *world) script(name string, args ...string) string {
	w.t.Helper()
	cmd := exec.Command("../interop/backends/"+name+".sh", args...)
	cmd.Env = append(os.Environ(), "ESDK_RUN="+w.run, "XDG_CACHE_HOME="+os.Getenv("ESDK_LAKE"))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		w.t.Errorf("%s %q: %v: %s", name, args, err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// makeBuckets retries until the store is ready.
func (w *world) makeBuckets() {
	w.t.Helper()
	for _, name := range []string{w.bucket, "audit"} {
		w.try(func() error {
			_, err := w.s3.CreateBucket(background, &s3.CreateBucketInput{Bucket: &name})
			return err
		})
		w.try(func() error {
			_, err := w.s3.PutObject(background, &s3.PutObjectInput{Bucket: &name, Key: aws.String("ready"), Body: strings.NewReader("")})
			return err
		})
	}
	w.try(func() error {
		_, err := w.s3.PutBucketVersioning(background, &s3.PutBucketVersioningInput{Bucket: &w.bucket, VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusEnabled}})
		return err
	})
}

func (w *world) try(f func() error) {
	w.t.Helper()
	var err error
	for range 300 {
		if err = f(); err == nil {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	w.t.Fatal(err)
}

// makeKeys makes keys, and a configuration for the workers that names them.
func (w *world) makeKeys() {
	w.t.Helper()
	text := ""
	for _, name := range []string{"old", "new", "other", "history"} {
		secret := make([]byte, 32)
		rand.Read(secret)
		file := filepath.Join(w.home, name+".key")
		w.check(os.WriteFile(file, secret, 0o600))
		text += fmt.Sprintf("[keys.%s]\ntype = \"aes\"\nnamespace = \"lake\"\nname = %[1]q\nfile = %q\n", name, file)
	}
	file := filepath.Join(w.home, "keys.toml")
	w.check(os.WriteFile(file, []byte(text), 0o600))
	w.t.Setenv("ESDK_CONFIG", file)
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// flags are the flags of a rotation, after --.
var flags = []string{"--from-key", "@old", "-k", "@new"}

func (w *world) url(bucket, key string) string {
	return "s3://" + bucket + "/" + key + "?use_path_style=true"
}

func (w *world) client(key string) *bulk.Client {
	w.t.Helper()
	c, err := bulk.OpenClient(background, []string{"-k", key})
	w.check(err)
	w.t.Cleanup(c.Close)
	return c
}

// An object describes an object of the test.
type object struct {
	sum     [32]byte // of its plaintext
	key     string   // it is under
	message bool
}

// fill writes messages to a directory, mostly under the old key.
func (w *world) fill(folder string, n int) map[string]object {
	w.t.Helper()
	all := make(map[string]object, n)
	for i := range n {
		o := object{key: "@old", message: true}
		switch i % 500 {
		case 100:
			o.key = "@new"
		case 200:
			o.key = "@other"
		case 300:
			o.message = false
		}
		all[fmt.Sprintf("%s%07x+%d", folder, mathrand.IntN(1<<28), i)] = o
	}
	w.put(all)
	return all
}

// put writes objects with random plaintexts, and records their sums.
func (w *world) put(all map[string]object) {
	w.t.Helper()
	clients := map[string]*bulk.Client{"@old": w.client("@old"), "@new": w.client("@new"), "@other": w.client("@other")}
	var group errgroup.Group
	group.SetLimit(16)
	var mu sync.Mutex
	for key, o := range maps.Clone(all) {
		group.Go(func() error {
			content := make([]byte, 1+mathrand.IntN(*longest))
			rand.Read(content)
			content[0] = 0 // unlike any message
			o.sum = sha256.Sum256(content)
			if o.message {
				var err error
				if content, _, err = clients[o.key].Encrypt(background, content, nil); err != nil {
					return err
				}
			}
			mu.Lock()
			all[key] = o
			mu.Unlock()
			_, err := w.s3.PutObject(background, &s3.PutObjectInput{Bucket: &w.bucket, Key: &key, Body: bytes.NewReader(content)})
			return err
		})
	}
	w.check(group.Wait())
}

// versions returns the number of versions of each key.
func (w *world) versions(folder string) map[string]int {
	w.t.Helper()
	all := make(map[string]int)
	pages := s3.NewListObjectVersionsPaginator(w.s3, &s3.ListObjectVersionsInput{Bucket: &w.bucket, Prefix: &folder})
	for pages.HasMorePages() {
		page, err := pages.NextPage(background)
		w.check(err)
		for _, v := range page.Versions {
			all[aws.ToString(v.Key)]++
		}
	}
	return all
}

// checkRotated checks that each object is under the new key, with its old
// plaintext.
func (w *world) checkRotated(all map[string]object) {
	w.t.Helper()
	oldKey, newKey := w.client("@old"), w.client("@new")
	var group errgroup.Group
	group.SetLimit(16)
	for key, o := range maps.Clone(all) {
		if o.key == "@other" || !o.message || key == bigKey {
			continue
		}
		group.Go(func() error {
			out, err := w.s3.GetObject(background, &s3.GetObjectInput{Bucket: &w.bucket, Key: &key})
			if err != nil {
				return err
			}
			defer out.Body.Close()
			var message bytes.Buffer
			if _, err := message.ReadFrom(out.Body); err != nil {
				return err
			}
			plaintext, _, err := newKey.Decrypt(background, message.Bytes(), nil)
			if err != nil || sha256.Sum256(plaintext) != o.sum {
				return fmt.Errorf("%s: %v, or another plaintext", key, err)
			}
			if _, _, err := oldKey.Decrypt(background, message.Bytes(), nil); err == nil {
				return fmt.Errorf("%s: the old key opens it", key)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		w.t.Error(err)
	}
}

// esdkLake runs the command, and returns its output.
func (w *world) esdkLake(code int, args ...string) string {
	w.t.Helper()
	cmd := exec.Command(w.program, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if got := cmd.ProcessState.ExitCode(); got != code {
		w.t.Fatalf("esdk-lake %q: exit code %d, want %d: %v: %s%s", args, got, code, err, stderr.String(), out)
	}
	return string(out)
}

// A process is a worker.
type process struct {
	*exec.Cmd
	ended chan struct{}
}

func (w *world) worker(args ...string) *process {
	w.t.Helper()
	return w.start(append([]string{"worker"}, args...)...)
}

// replaced returns the number of objects in the bucket that were replaced at
// least once.
func (w *world) replaced() (n int) {
	w.t.Helper()
	for _, versions := range w.versions("data") {
		if versions > 1 {
			n++
		}
	}
	return n
}

func (w *world) start(args ...string) *process {
	w.t.Helper()
	p := &process{exec.Command(w.program, args...), make(chan struct{})}
	p.Stderr = os.Stderr
	w.check(p.Start())
	go func() {
		p.Wait()
		close(p.ended)
	}()
	w.t.Cleanup(func() { p.end(syscall.SIGKILL) })
	return p
}

func (p *process) end(s syscall.Signal) {
	p.Process.Signal(s)
	<-p.ended
}

var peak = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// memory returns the peak memory of a process, in MiB.
func (p *process) memory() int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
	if err != nil {
		return 0
	}
	if m := peak.FindSubmatch(text); m != nil {
		kib, _ := strconv.Atoi(string(m[1]))
		return kib >> 10
	}
	return 0
}

// status returns the status of a rotation, as the command reports it.
func (w *world) status(id string) (state string, s lake.Status, err error) {
	cmd := exec.Command(w.program, "status", "--json", id)
	out, err := cmd.Output()
	if err != nil {
		return "", s, err
	}
	var answer struct {
		State string `json:"state"`
		lake.Status
	}
	err = json.Unmarshal(out, &answer)
	return answer.State, answer.Status, err
}

// await waits until the status of a rotation satisfies is.
func (w *world) await(id string, is func(state string, s *lake.Status) bool) lake.Status {
	w.t.Helper()
	for range 3000 {
		if state, s, err := w.status(id); err == nil && is(state, &s) {
			return s
		}
		time.Sleep(100 * time.Millisecond)
	}
	w.t.Fatalf("rotation %s does not come that far", id)
	return lake.Status{}
}
