package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"

	"esdk/esdktest/kmssim"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/rogpeppe/go-internal/testscript"
)

// TestKMSScripts runs scripts against a simulator of AWS KMS. The command finds
// it as it would find any other endpoint.
func TestKMSScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/kms",
		Setup: setupKMS,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"pattern": cmdPattern,
			"flip":    cmdFlip,
			"status":  cmdStatus,
			"files":   cmdFiles,
			"calls":   cmdCalls,
			"fault":   cmdFault,
			"expand":  cmdExpand,
			"tree":    cmdTree,
		},
		RequireUniqueNames: true,
	})
}

type simulator struct{}

func setupKMS(env *testscript.Env) error {
	s := kmssim.New()
	env.Defer(s.Close)
	env.Values[simulator{}] = s
	home := filepath.Join(env.WorkDir, "home")
	key := s.CreateKey("us-west-2", types.KeySpecSymmetricDefault)
	primary := s.CreateMultiRegionKey("us-west-2", types.KeySpecSymmetricDefault)
	rsaKey := s.CreateKey("us-west-2", types.KeySpecRsa2048)
	ecdhKey := s.CreateKey("us-west-2", types.KeySpecEccNistP384)
	s.CreateAlias("us-west-2", "alias/app", key)
	s.CreateAlias("eu-west-1", "alias/elsewhere", s.CreateKey("eu-west-1", types.KeySpecSymmetricDefault))
	for name, value := range map[string]string{
		"HOME":                  home,
		"XDG_CONFIG_HOME":       filepath.Join(home, "config"),
		"AWS_ENDPOINT_URL":      s.URL(),
		"AWS_REGION":            "us-west-2",
		"AWS_ACCESS_KEY_ID":     "AKIDEXAMPLE",
		"AWS_SECRET_ACCESS_KEY": "secret",
		"AWS_MAX_ATTEMPTS":      "1",
		"KEY":                   key,
		"OTHER":                 s.CreateKey("us-west-2", types.KeySpecSymmetricDefault),
		"MRK":                   primary,
		"REPLICA":               s.Replicate(primary, "eu-west-1"),
		"RSA":                   rsaKey,
		"ECDH":                  ecdhKey,
	} {
		env.Setenv(name, value)
	}
	if err := os.Mkdir(home, 0o700); err != nil {
		return err
	}
	for file, arn := range map[string]string{"rsa.pub": rsaKey, "ecdh.pub": ecdhKey} {
		out, err := s.Client("us-west-2").GetPublicKey(context.Background(), &kms.GetPublicKeyInput{KeyId: aws.String(arn)})
		if err != nil {
			return err
		}
		if _, err := x509.ParsePKIXPublicKey(out.PublicKey); err != nil {
			return err
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: out.PublicKey})
		if err := os.WriteFile(filepath.Join(env.WorkDir, file), text, 0o644); err != nil {
			return err
		}
	}
	s.Reset()
	return nil
}

// cmdCalls checks how often an operation, or any operation, was called since
// the last check: calls Decrypt 3, or calls all 0.
func cmdCalls(ts *testscript.TestScript, _ bool, args []string) {
	s := ts.Value(simulator{}).(*kmssim.Server)
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	got := s.Count(args[0])
	if args[0] == "all" {
		for _, n := range s.Counts() {
			got += n
		}
	}
	if got != want {
		ts.Fatalf("%d calls of %s, want %d: %v", got, args[0], want, s.Counts())
	}
	s.Reset()
}

// cmdFault makes all calls after the next N fail:
//
//	fault CODE [N], or fault none
func cmdFault(ts *testscript.TestScript, _ bool, args []string) {
	s := ts.Value(simulator{}).(*kmssim.Server)
	if args[0] == "none" {
		s.Fault(nil)
		return
	}
	var left atomic.Int64
	if len(args) > 1 {
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		left.Store(int64(n))
	}
	s.Fault(func(*kmssim.Request) *kmssim.Fault {
		if left.Add(-1) >= 0 {
			return nil
		}
		return &kmssim.Fault{Code: args[0]}
	})
}

// cmdExpand expands the variables in a file: expand FILE.
func cmdExpand(ts *testscript.TestScript, _ bool, args []string) {
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// cmdTree makes a tree of N small files: tree DIRECTORY N.
func cmdTree(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	for i := range n {
		dir := filepath.Join(ts.MkAbs(args[0]), strconv.Itoa(i%50))
		ts.Check(os.MkdirAll(dir, 0o755))
		ts.Check(os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), pattern(i%100), 0o644))
	}
}
