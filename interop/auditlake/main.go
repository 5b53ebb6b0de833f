//go:build linux

// Command auditlake puts messages of known keys and suites into a bucket, runs
// "esdk audit" on them, and compares the result with the truth. It prints the
// cost of an audit: requests and bytes per object, objects per second, and
// memory.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"strconv"
	"strings"
)

func main() {
	log.SetFlags(0)
	o := new(options)
	flag.StringVar(&o.server, "url", "", "address of a server that speaks as S3 does")
	flag.StringVar(&o.command, "esdk", "", "the command")
	flag.IntVar(&o.objects, "objects", 20_000, "how many objects to make")
	flag.Uint64Var(&o.seed, "seed", 1, "of what is random in their lengths, keys and suites")
	jobs := flag.String("jobs", "8,16,32,64,128", "values of --jobs to try on a tenth of the objects")
	flag.Parse()
	for text := range strings.SplitSeq(*jobs, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			log.Fatal(err)
		}
		o.jobs = append(o.jobs, n)
	}
	if err := run(context.Background(), o); err != nil {
		log.Fatal(err)
	}
}

type options struct {
	server, command string
	objects         int
	seed            uint64
	jobs            []int
}

func run(ctx context.Context, o *options) error {
	if o.server == "" || o.command == "" {
		return errors.New("-url and -esdk are needed; interop/backends/auditlake.sh gives them")
	}
	store, err := newStore(ctx, o.server)
	if err != nil {
		return err
	}
	want, err := fill(ctx, store, o)
	if err != nil {
		return err
	}
	for _, n := range o.jobs {
		a := &auditRun{command: o.command, server: o.server, folder: store.url() + "0/", args: []string{"--jobs", fmt.Sprint(n)}}
		if err := a.run(ctx); err != nil {
			return err
		}
		fmt.Printf("--jobs %-4d %6.0f objects/s, %d MiB\n", n, a.rate(), a.peak>>20)
	}
	proxy, err := newCounter(o.server)
	if err != nil {
		return err
	}
	defer proxy.close()
	for _, a := range []*auditRun{
		{what: "counted by a proxy", server: proxy.url},
		{what: "without a key", server: o.server},
		{what: "headers verified", server: o.server, args: want.keyArguments()},
	} {
		a.command, a.folder = o.command, store.url()
		if err := a.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", a.what, err)
		}
		fmt.Printf("%-20s %d objects in %.1f s: %.0f objects/s; %d bytes of an object read, peak memory %d MiB\n",
			a.what, a.summary.Inputs, a.took.Seconds(), a.rate(), a.summary.BytesRead/a.summary.Inputs, a.peak>>20)
		if err := want.compare(a.summary, len(a.args) > 0); err != nil {
			return fmt.Errorf("%s: %w", a.what, err)
		}
	}
	fmt.Printf("%-20s %.3f requests of an object, of which %.3f for lists; %.0f bytes of bodies, %.0f with headers\n", "through the proxy",
		proxy.per(&proxy.requests, o.objects), proxy.per(&proxy.lists, o.objects), proxy.per(&proxy.bodies, o.objects), proxy.per(&proxy.answers, o.objects))
	return nil
}

// A summary is the compared part of the last line of the output.
type summary struct {
	Type      string `json:"type"`
	Inputs    int64  `json:"inputs"`
	BytesRead int64  `json:"bytes_read"`

	Messages   tally `json:"messages"`
	NoMessages tally `json:"not_messages"`
	Broken     tally `json:"broken"`
	Failed     tally `json:"failed"`

	Suites       []named `json:"suites"`
	WrappingKeys []named `json:"wrapping_keys"`
}

type tally struct {
	Messages int64 `json:"messages"`
	Verified int64 `json:"verified"`
	Bytes    int64 `json:"message_bytes"`
}

type named struct {
	Name string `json:"name"`
	tally
}

func parseSummary(line []byte) (*summary, error) {
	s := new(summary)
	if err := json.Unmarshal(line, s); err != nil {
		return nil, fmt.Errorf("%w: %.200q", err, line)
	}
	if s.Type != "summary" || s.Inputs == 0 {
		return nil, fmt.Errorf("no summary, or an empty one: %.200q", line)
	}
	return s, nil
}
