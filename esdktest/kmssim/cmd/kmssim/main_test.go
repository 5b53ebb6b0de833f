package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// TestMain runs the command instead of the tests if [TestBackground] starts the
// test binary.
func TestMain(m *testing.M) {
	if os.Getenv("KMSSIM") != "" {
		main()
	}
	os.Exit(m.Run())
}

// TestServe reads the output up to its end, and uses the keys.
func TestServe(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	status := make(chan int)
	go func() {
		status <- run(ctx, []string{"-region", "eu-west-1", "-alias", "a,alias/b"}, w, t.Output())
	}()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	set := values(t, string(text), "AWS_ENDPOINT_URL_KMS", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "KMSSIM_KEY_1", "KMSSIM_KEY_2", "KMSSIM_PID")
	if set["AWS_REGION"] != "eu-west-1" || set["KMSSIM_PID"] != fmt.Sprint(os.Getpid()) {
		t.Errorf("%s", text)
	}
	client := kms.New(kms.Options{Region: set["AWS_REGION"], BaseEndpoint: aws.String(set["AWS_ENDPOINT_URL_KMS"]),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: set["AWS_ACCESS_KEY_ID"], SecretAccessKey: set["AWS_SECRET_ACCESS_KEY"]}, nil
		})})
	for alias, arn := range map[string]string{"alias/a": set["KMSSIM_KEY_1"], "alias/b": set["KMSSIM_KEY_2"]} {
		out, err := client.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: &alias, KeySpec: "AES_256"})
		if err != nil {
			t.Fatal(err)
		}
		if *out.KeyId != arn {
			t.Errorf("%s: got the key %s, printed %s", alias, *out.KeyId, arn)
		}
		if !strings.Contains(string(text), "='"+arn+"' # "+alias+"\n") {
			t.Errorf("%s is not beside its ARN in\n%s", alias, text)
		}
	}
	cancel()
	if got := <-status; got != 0 {
		t.Errorf("got status %d", got)
	}
}

// values evaluates text in a shell and returns the values of the named
// variables.
func values(t *testing.T, text string, names ...string) map[string]string {
	t.Helper()
	script := text
	for _, name := range names {
		script += fmt.Sprintf(`printf '%%s\n' "$%s"`+"\n", name)
	}
	sh := exec.Command("sh", "-eu", "-c", script)
	sh.Env = []string{}
	out, err := sh.CombinedOutput()
	lines := strings.Split(string(out), "\n")
	if err != nil || len(lines) != len(names)+1 {
		t.Fatalf("%v: %s\n%s", err, out, text)
	}
	set := make(map[string]string)
	for i, name := range names {
		set[name] = lines[i]
	}
	return set
}

// TestQuoting checks that a shell evaluates values with special characters
// unchanged.
func TestQuoting(t *testing.T) {
	const odd = "http://[::1]:1/*'; $(exit) `exit`"
	text := variables(odd, "x y", []key{{"alias/a", "arn:1"}})
	set := values(t, text, "AWS_ENDPOINT_URL_KMS", "AWS_REGION", "KMSSIM_KEY_1")
	if set["AWS_ENDPOINT_URL_KMS"] != odd || set["AWS_REGION"] != "x y" || set["KMSSIM_KEY_1"] != "arn:1" {
		t.Errorf("%q", set)
	}
}

// TestBackground starts the command in a shell as its documentation does. An
// interrupt from the terminal must not end a script's background command.
func TestBackground(t *testing.T) {
	const script = `eval "$(KMSSIM=1 "$0" -alias app &)"; kill -INT $KMSSIM_PID; sleep 0.2; printf '%s ' $KMSSIM_PID ${AWS_ENDPOINT_URL_KMS#http://}`
	sh := exec.Command("sh", "-eu", "-c", script, os.Args[0])
	sh.Stderr = os.Stderr // not a pipe, which the command would keep open
	out, err := sh.Output()
	var pid int
	var address string
	if _, scanErr := fmt.Sscan(string(out), &pid, &address); err != nil || scanErr != nil {
		t.Fatalf("%v: %s", err, out)
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer process.Kill()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if err := process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for ; err == nil; conn, err = net.Dial("tcp", address) { // until it ends
		conn.Close()
	}
}

type nowhere struct{ io.Writer }

func (nowhere) Close() error { return nil }

func TestUsage(t *testing.T) {
	for _, test := range []struct {
		args string
		want int
		says string
	}{
		{"-h", 0, "-addr"},
		{"-h", 0, `eval "$(kmssim -alias app &)"`},
		{"-nonsense", 2, "nonsense"},
		{"more", 2, "more"},
		{"-addr 0.0.0.0:0", 1, "not a loopback address"},
		{"-alias non=sense", 1, "alias/non=sense"},
	} {
		var stderr, stdout bytes.Buffer
		if got := run(t.Context(), strings.Fields(test.args), nowhere{&stdout}, &stderr); got != test.want || !strings.Contains(stderr.String(), test.says) {
			t.Errorf("%s: got status %d and %q", test.args, got, stderr.String())
		}
		if stdout.Len() > 0 {
			t.Errorf("%s: a shell would take %q", test.args, &stdout)
		}
	}
	if got := run(t.Context(), nil, nowhere{full{}}, t.Output()); got != 1 {
		t.Errorf("nothing is printed, and the status is %d", got)
	}
}

// full is a device without free space.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }
