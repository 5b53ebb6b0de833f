package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
)

func TestServe(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	status := make(chan int)
	go func() {
		status <- run(ctx, []string{"-region", "eu-west-1", "-alias", "alias/a,alias/b"}, w, t.Output())
	}()

	lines := bufio.NewScanner(r)
	arns := map[string]string{}
	for range 2 {
		lines.Scan()
		alias, arn, _ := strings.Cut(lines.Text(), " ")
		arns[alias] = arn
	}
	lines.Scan()
	client := kms.New(kms.Options{Region: "eu-west-1", BaseEndpoint: aws.String(lines.Text()),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		})})
	for _, alias := range []string{"alias/a", "alias/b"} {
		out, err := client.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: &alias, KeySpec: "AES_256"})
		if err != nil {
			t.Fatal(err)
		}
		if *out.KeyId != arns[alias] {
			t.Errorf("%s: got the key %s, printed %s", alias, *out.KeyId, arns[alias])
		}
	}
	cancel()
	if got := <-status; got != 0 {
		t.Errorf("got status %d", got)
	}
}

func TestUsage(t *testing.T) {
	for _, test := range []struct {
		args string
		want int
		says string
	}{
		{"-h", 0, "-addr"},
		{"-nonsense", 2, "nonsense"},
		{"more", 2, "more"},
		{"-addr 0.0.0.0:0", 1, "not a loopback address"},
		{"-alias nonsense", 1, "nonsense"},
	} {
		var stderr bytes.Buffer
		if got := run(t.Context(), strings.Fields(test.args), io.Discard, &stderr); got != test.want || !strings.Contains(stderr.String(), test.says) {
			t.Errorf("%s: got status %d and %q", test.args, got, stderr.String())
		}
	}
}
