//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"esdk"
	"esdk/awskms"
	"esdk/branchkey"
	"esdk/cmd/esdk/internal/cli"
	"esdk/esdktest/kmssim"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// TestRekeyInterrupted interrupts the re-keying of several branch keys in the
// middle of the second, and repeats it.
func TestRekeyInterrupted(t *testing.T) {
	s := kmssim.New()
	defer s.Close()
	from, to := s.CreateKey("us-west-2", types.KeySpecSymmetricDefault), s.CreateKey("us-west-2", types.KeySpecSymmetricDefault)
	dir := t.TempDir()
	makeBranchKeys(t, filepath.Join(dir, "store"), s, from, "a", "b", "c")

	release := make(chan struct{})
	defer close(release)
	stalled := make(chan struct{})
	var calls, stall atomic.Int64
	s.Fault(func(*kmssim.Request) *kmssim.Fault {
		if n := calls.Add(1); n == stall.Load() {
			stalled <- struct{}{}
			<-release
		}
		return nil
	})
	for _, run := range []struct {
		calls int64 // before it stalls
		flag  string
		want  string
	}{
		{1, "", "esdk: nothing was done yet; in progress: a; to resume, repeat the command\nesdk: interrupted\n"},
		{5, "", "esdk: branch keys so far: 1 done, 0 failed; items re-keyed: 3; in progress: b; to resume, repeat the command\nesdk: interrupted\n"},
		{2, "--json", `{"note":"branch keys so far: 1 done, 0 failed; items re-keyed: 0; in progress: b; to resume, repeat the command"}` + "\n"},
	} {
		calls.Store(0)
		stall.Store(run.calls)
		args := []string{"keystore", "key", "rekey", "--all", "--file", "store", "--logical-name", "keys", "--kms-key", from, "--to", to}
		if run.flag != "" {
			args = append(args, run.flag)
		}
		c := command(t, dir, args...)
		c.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "AWS_ENDPOINT_URL="+s.URL(), "AWS_REGION=us-west-2", "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		late := time.AfterFunc(time.Minute, func() { c.Process.Kill() })
		defer late.Stop()
		defer c.Process.Kill()
		select {
		case <-stalled:
		case <-time.After(time.Minute):
			t.Fatalf("it doesn't stall: %s", c.Stderr)
		}
		if err := c.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		checkStatus(t, c, c.Wait(), cli.ExitInterrupted)
		if got := fmt.Sprint(c.Stderr); !strings.HasPrefix(got, run.want) {
			t.Errorf("%d calls: %q, want %q", run.calls, got, run.want)
		}
	}
}

func makeBranchKeys(t *testing.T, file string, s *kmssim.Server, kmsKey string, ids ...string) {
	t.Helper()
	storage, err := branchkey.NewFileStorage(file)
	if err != nil {
		t.Fatal(err)
	}
	store, err := branchkey.NewStore(branchkey.Config{
		Storage: storage, LogicalName: "keys", KMS: branchkey.KMSConfig{KeyARN: kmsKey},
		Clients: awskms.FixedClient(s.Client("us-west-2")),
	})
	if err == nil {
		_, err = store.CreateKeyStore(t.Context())
	}
	for _, id := range ids {
		if err == nil {
			_, err = store.CreateKey(t.Context(), id, esdk.EncryptionContext{"tenant": id})
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}
