// Kmssim serves a simulated AWS KMS on a loopback address, for tests and for
// development without AWS. It prints the variables that point the AWS SDKs at
// it, and closes its standard output. A shell can evaluate the output:
//
//	eval "$(kmssim -alias app &)"
//	esdk encrypt -k alias/app FILE
//	esdk decrypt -k "$KMSSIM_KEY_1" -o COPY FILE.encrypted
//	kill $KMSSIM_PID
//
// The keys are in memory. Data encrypted under them is lost when kmssim ends.
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
	signals := []os.Signal{syscall.SIGTERM}
	if !signal.Ignored(os.Interrupt) { // scripts ignore it for background commands
		signals = append(signals, os.Interrupt)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// options are the flags.
type options struct {
	addr, region, aliases string
	latency               time.Duration
}

const usage = `usage: kmssim [-alias NAME[,NAME]...] [-region REGION] [-addr ADDRESS] [-latency TIME]

Kmssim simulates AWS KMS on a loopback address until it is killed. Keys are lost
when it ends. It prints the variables to set, with an ARN for each alias:

    eval "$(kmssim -alias app &)"
    esdk encrypt -k alias/app FILE
    kill $KMSSIM_PID

`

// run serves until ctx ends, and returns the exit status.
func run(ctx context.Context, args []string, stdout io.WriteCloser, stderr io.Writer) int {
	var o options
	flags := flag.NewFlagSet("kmssim", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	flags.StringVar(&o.addr, "addr", "127.0.0.1:0", "loopback `address` to serve on; port 0 takes a free one")
	flags.StringVar(&o.region, "region", "us-west-2", "`region` of the keys of -alias")
	flags.StringVar(&o.aliases, "alias", "", "make a symmetric key for each of these `aliases`, separated by commas; app is alias/app")
	flags.DurationVar(&o.latency, "latency", 0, "`time` to wait before each answer, such as 50ms")
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

func serve(ctx context.Context, o options, stdout io.WriteCloser) error {
	server, err := kmssim.Listen(o.addr)
	if err != nil {
		return err
	}
	defer server.Close()
	keys, err := makeKeys(ctx, server, o)
	if err != nil {
		return err
	}
	server.SetLatency(o.latency)
	if _, err := io.WriteString(stdout, variables(server.URL(), o.region, keys)); err != nil {
		return fmt.Errorf("kmssim: %w", err)
	}
	if err := stdout.Close(); err != nil { // otherwise $(kmssim &) doesn't return
		return fmt.Errorf("kmssim: %w", err)
	}
	<-ctx.Done()
	return nil
}

// A key is the key for one alias of -alias.
type key struct{ alias, arn string }

func makeKeys(ctx context.Context, server *kmssim.Server, o options) (keys []key, err error) {
	if o.aliases == "" {
		return nil, nil
	}
	client := server.Client(o.region)
	for alias := range strings.SplitSeq(o.aliases, ",") {
		alias = "alias/" + strings.TrimPrefix(alias, "alias/")
		made, err := client.CreateKey(ctx, &kms.CreateKeyInput{})
		if err != nil {
			return nil, fmt.Errorf("kmssim: cannot make a key: %w", err)
		}
		_, err = client.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: &alias, TargetKeyId: made.KeyMetadata.KeyId})
		if err != nil {
			return nil, fmt.Errorf("kmssim: cannot make the alias %q: %w", alias, err)
		}
		keys = append(keys, key{alias, *made.KeyMetadata.Arn})
	}
	return keys, nil
}

// variables returns shell commands that export the variables. The simulator
// accepts any credentials.
func variables(url, region string, keys []key) string {
	var text strings.Builder
	export := func(name, value, comment string) {
		fmt.Fprintf(&text, "export %s='%s'%s\n", name, strings.ReplaceAll(value, "'", `'\''`), comment)
	}
	export("AWS_ENDPOINT_URL_KMS", url, "")
	export("AWS_REGION", region, "")
	export("AWS_ACCESS_KEY_ID", "kmssim", "")
	export("AWS_SECRET_ACCESS_KEY", strings.Repeat("k", 40), "") // as long as a real one, as FIPS 140-3 requires
	for i, k := range keys {
		export(fmt.Sprintf("KMSSIM_KEY_%d", i+1), k.arn, " # "+k.alias)
	}
	export("KMSSIM_PID", fmt.Sprint(os.Getpid()), "")
	return text.String()
}
