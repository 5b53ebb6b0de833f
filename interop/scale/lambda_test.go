package scale

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

const events = "../../lake/s3batch/testdata"

// A function runs in the Lambda emulator of AWS's images.
type function struct{ url string }

func startFunction(t *testing.T, b *bucket, environment ...string) *function {
	t.Helper()
	emulator, program := needs(t, "ESDK_LAMBDA_RIE"), needs(t, "ESDK_S3BATCH")
	arguments, err := json.Marshal([]string{"--from-key", filepath.Join(b.dir, "old.key"), "-k", filepath.Join(b.dir, "new.key")})
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	daemon := exec.Command(emulator, "--runtime-interface-emulator-address", "127.0.0.1:"+port, "--runtime-api-address", "127.0.0.1:"+freePort(t), program)
	daemon.Env = append(append(os.Environ(), "ESDK_ARGS="+string(arguments)), environment...)
	log := new(bytes.Buffer)
	daemon.Stdout, daemon.Stderr = log, log
	daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-daemon.Process.Pid, syscall.SIGKILL) // including the function, which it would leave behind
		_ = daemon.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	waitFor(t, "127.0.0.1:"+port)
	return &function{"http://127.0.0.1:" + port + "/2015-03-31/functions/function/invocations"}
}

// An answer is the function's answer to S3.
type answer struct {
	InvocationID string
	Results      []struct{ TaskID, ResultCode, ResultString string }
	ErrorMessage string
}

// call sends a recorded event, changed to name the object.
func (f *function) call(t *testing.T, file, bucket, key, version string) (a answer) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(events, file))
	if err != nil {
		t.Fatal(err)
	}
	event := strings.ReplaceAll(string(text), "example-lake", bucket)
	event = strings.NewReplacer("lake/v2", key, "lake/version", key, "vErSiOnOfThEtAsK", version).Replace(event)
	response, err := http.Post(f.url, "application/json", strings.NewReader(event))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &a); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return a
}

// check calls the function and compares the result.
func (f *function) check(t *testing.T, file, bucket, key, version, code, text string) {
	t.Helper()
	a := f.call(t, file, bucket, key, version)
	if len(a.Results) != 1 || a.Results[0].ResultCode != code || !strings.Contains(a.Results[0].ResultString, text) {
		t.Errorf("%s, %s: %+v, want %s, %q", file, key, a, code, text)
	}
}

// TestFunction: S3's events re-encrypt objects, each once.
func TestFunction(t *testing.T) {
	b := newBucket(t, 6)
	b.moveTo(t, "lake/00000", "lake/2026/a b+c%?#ü.encrypted")
	b.moveTo(t, "lake/00001 ü", "lake/00001")
	f := startFunction(t, b)
	f.check(t, "v1.json", b.name, "", "", "Succeeded", "ok")
	f.check(t, "v1.json", b.name, "", "", "Succeeded", "skipped: already as requested")
	f.check(t, "v2.json", b.name, "lake/00001", "", "Succeeded", "ok")
	f.check(t, "v2.json", b.name, "lake/00002%2541", "", "Succeeded", "ok")
	f.check(t, "v2.json", b.name, "lake/00003%3Fx%3D1", "", "Succeeded", "ok")

	first := b.version(t, "lake/00004#2")
	f.check(t, "v1-version.json", b.name, "lake/00004%232", first, "Succeeded", "ok")
	f.check(t, "v1-version.json", b.name, "lake/00004%232", first, "PermanentFailure", "old-version")
	f.check(t, "v1-version.json", b.name, "lake/00004%232", b.version(t, "lake/00004#2"), "Succeeded", "skipped")
	f.check(t, "v1-version.json", b.name, "lake/00005%2B", b.version(t, "lake/00005+"), "Succeeded", "ok")
	b.checkRotated(t)

	f.check(t, "v2.json", b.name, "lake/missing", "", "PermanentFailure", "not-found")
	f.check(t, "v1-version.json", b.name, "lake/missing", first, "PermanentFailure", "not-found")
	if err := b.put(t.Context(), "other/text", []byte("text")); err != nil {
		t.Fatal(err)
	}
	f.check(t, "v2.json", b.name, "other/text", "", "PermanentFailure", "not-a-message")
	message, _, err := newKey(t, b.dir, "strange").Encrypt(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.put(t.Context(), "other/strange", message); err != nil {
		t.Fatal(err)
	}
	f.check(t, "v2.json", b.name, "other/strange", "", "PermanentFailure", "no-key")
	if a := f.call(t, "v2-arguments.json", b.name, "lake/00001", ""); !strings.Contains(a.ErrorMessage, "user arguments") {
		t.Errorf("with user arguments: %+v", a)
	}
}

// TestFunctionUnavailable: S3 calls again if the store doesn't answer.
func TestFunctionUnavailable(t *testing.T) {
	b := newBucket(t, 1)
	f := startFunction(t, b, "AWS_ENDPOINT_URL_S3=http://127.0.0.1:"+freePort(t))
	f.check(t, "v2.json", b.name, "lake/00000", "", "TemporaryFailure", "unavailable")
	f.check(t, "v1-version.json", b.name, "lake/00000", "1", "TemporaryFailure", "unavailable")
}

// version returns the current version of an object.
func (b *bucket) version(t *testing.T, key string) string {
	t.Helper()
	head, err := b.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &b.name, Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	return *head.VersionId
}

// moveTo renames an object, with a single version.
func (b *bucket) moveTo(t *testing.T, from, to string) {
	t.Helper()
	object, err := b.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &b.name, Key: &from})
	if err != nil {
		t.Fatal(err)
	}
	defer object.Body.Close()
	message, err := io.ReadAll(object.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.put(t.Context(), to, message); err != nil {
		t.Fatal(err)
	}
	b.texts[to] = b.texts[from]
	delete(b.texts, from)
}
