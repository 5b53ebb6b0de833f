// Kmssim serves a simulated AWS KMS on a loopback address, for tests and for
// development without AWS:
//
//	kmssim -addr 127.0.0.1:4566 -alias alias/dev
//	export AWS_ENDPOINT_URL_KMS=http://127.0.0.1:4566 AWS_REGION=us-west-2
//	export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
//
// What keys protect is lost when it ends, since it holds them in memory.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"esdk/esdktest/kmssim"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// options are what the command line says.
type options struct {
	addr, region, aliases string
	latency               time.Duration
}

// run serves until ctx ends and returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o options
	flags := flag.NewFlagSet("kmssim", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.addr, "addr", "127.0.0.1:0", "loopback `address` to serve on; port 0 takes a free one")
	flags.StringVar(&o.region, "region", "us-west-2", "`region` of the keys of -alias")
	flags.StringVar(&o.aliases, "alias", "", "make symmetric keys with these `aliases`, separated by commas")
	flags.DurationVar(&o.latency, "latency", 0, "time to wait before each answer")
	switch err := flags.Parse(args); {
	case err == flag.ErrHelp:
		return 0
	case err != nil:
		return 2
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "kmssim: unexpected argument %q\n", flags.Arg(0))
		return 2
	}
	if err := serve(ctx, o, stdout); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

func serve(ctx context.Context, o options, stdout io.Writer) error {
	server, err := kmssim.Listen(o.addr)
	if err != nil {
		return err
	}
	defer server.Close()
	if err := makeKeys(ctx, server, o, stdout); err != nil {
		return err
	}
	server.SetLatency(o.latency)
	fmt.Fprintln(stdout, server.URL())
	<-ctx.Done()
	return nil
}

// makeKeys makes a key for each alias and prints both.
func makeKeys(ctx context.Context, server *kmssim.Server, o options, stdout io.Writer) error {
	if o.aliases == "" {
		return nil
	}
	client := server.Client(o.region)
	for alias := range strings.SplitSeq(o.aliases, ",") {
		key, err := client.CreateKey(ctx, &kms.CreateKeyInput{})
		if err != nil {
			return fmt.Errorf("kmssim: cannot make a key: %w", err)
		}
		_, err = client.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: &alias, TargetKeyId: key.KeyMetadata.KeyId})
		if err != nil {
			return fmt.Errorf("kmssim: cannot make the alias %q: %w", alias, err)
		}
		fmt.Fprintln(stdout, alias, *key.KeyMetadata.Arn)
	}
	return nil
}
