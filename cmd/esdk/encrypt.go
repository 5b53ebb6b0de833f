package main

import (
	"context"
	"io"
	"slices"
	"strings"

	"esdk"
	"esdk/cmd/esdk/internal/base64text"
	"esdk/cmd/esdk/internal/batch"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/place"
	"esdk/cmd/esdk/internal/settings"
	"github.com/spf13/cobra"
)

type encryptOptions struct {
	place.OutputOptions
	settings.Encryption
	report      batch.ReportOptions
	base64      bool
	decode      bool // decode the input from Base64 text
	pace        batch.Pace
	failChanged bool
	preserve    bool
}

func (a *app) newEncryptCommand() *cobra.Command {
	o := new(encryptOptions)
	cmd := &cobra.Command{
		Use:   "encrypt -k KEY [flags] [FILE]...",
		Short: "Encrypt files or standard input",
		Long: `Encrypt files or standard input.

Each FILE is written to FILE.encrypted, and standard input to standard output,
unless -o gives another output. Inputs and outputs can be objects, such as
s3://BUCKET/KEY (see "esdk help objects"). A result appears only after all of it
is on the disk. An existing file is replaced only with --force.

With -r, a FILE can be a directory. Its tree is recreated below -o DIRECTORY.
Without -o, each result is written next to its input. A file that fails doesn't
stop the others. To resume an interrupted run, repeat it with --no-clobber.

A pipe doesn't report whether the program before it failed: the output up to the
failure becomes a complete message. With --command, esdk runs the program, and
there is no result if it fails. Otherwise, use "set -o pipefail" in the shell, and
remove the result if the pipeline fails.`,
		Example: `  esdk encrypt -k local notes.txt
  esdk encrypt -r -k local -o encrypted/ documents/
  esdk encrypt -k rsa:corp/backup@public.pem -c kind=db -o /backup/db.encrypted db.dump
  pg_dump app | esdk encrypt -k aes:corp/backup@backup.key > app.encrypted
  esdk encrypt -k @app -o app.encrypted --command -- pg_dump app
  esdk encrypt -k @app -o s3://backups/2026/ db.dump`,
		RunE: func(cmd *cobra.Command, inputs []string) error {
			if o.Command && cmd.ArgsLenAtDash() != 0 {
				return cli.UsageError("no program given: put it after --command --, and give no FILE")
			}
			return a.encrypt(cmd.Context(), o, inputs)
		},
	}
	a.addKeyFlag(cmd, &o.Keys, true)
	addOutputFlags(cmd, &o.OutputOptions)
	addInputFlags(cmd, &o.InputOptions, encryptedSuffix, "`SUFFIX` of the names of results")
	addReportFlag(cmd, &o.report)
	addCommitmentFlag(cmd, &o.Commitment)
	flags := cmd.Flags()
	flags.StringArrayVarP(&o.Pairs, "context", "c", nil, "pair `KEY=VALUE` of the encryption context, which is bound to the message but not secret; repeatable")
	flags.StringArrayVar(&o.Required, "require-context", nil, "do not store the pair of this `KEY`, which decryption must then supply; repeatable")
	flags.StringVar(&o.Suite, "suite", "", "algorithm `SUITE`: a name, or an ID such as 0x0578 (see \"esdk help suites\")")
	flags.BoolVar(&o.Unsigned, "unsigned", false, "use a suite without a signature: faster, and each frame is final when decrypted as a stream")
	settings.BytesVar(flags, &o.FrameLength, "frame-length", settings.DefaultFrameLength, "plaintext `BYTES` per frame")
	flags.IntVar(&o.MaxKeys, "max-keys", 0, "fail if a message would have more than this `NUMBER` of encrypted data keys (default no limit)")
	flags.BoolVar(&o.base64, "base64", false, "write Base64 text")
	flags.BoolVar(&o.preserve, "preserve", false, "store the mode and time of each FILE in its encryption context, which is not secret")
	flags.BoolVar(&o.Command, "command", false, "run the program after --, and encrypt its output unless it fails")
	flags.BoolVar(&o.failChanged, "fail-if-changed", false, "fail if a FILE changes while it is read (default: warn)")
	addCacheFlag(cmd, &o.Cache)
	o.pace.AddFlags(cmd.Flags())
	cmd.RegisterFlagCompletionFunc("suite", suiteNames)
	return cmd
}

func (a *app) encrypt(ctx context.Context, o *encryptOptions, inputs []string) error {
	e, err := a.newEncryption(ctx, o)
	if err != nil {
		return err
	}
	if o.Path == "" {
		o.OnlyWithout()
	}
	o.Name, o.OneToOne = func(input string) string { return input + o.Suffix }, true
	plan, err := a.places.Plan(ctx, inputs, &o.OutputOptions)
	if err != nil {
		return err
	}
	a.batch.Tally, a.batch.Resume = true, o.Resume()
	return a.run(ctx, plan, &o.pace, &o.report, "encrypt", e.job)
}

// An encryption is the state that all jobs of a command share.
type encryption struct {
	*app
	*encryptOptions
	config esdk.Config
	ec     esdk.EncryptionContext
}

func (a *app) newEncryption(ctx context.Context, o *encryptOptions) (*encryption, error) {
	isPast := func(pair string) bool { k, _, _ := strings.Cut(pair, "="); return k == pastKey }
	if o.preserve && slices.ContainsFunc(o.Pairs, isPast) {
		return nil, cli.UsageError("-c %s: --preserve sets this pair", pastKey)
	}
	config, ec, err := a.settings.EncryptConfig(ctx, &o.Encryption)
	return &encryption{a, o, config, ec}, err
}

func (e *encryption) job(ctx context.Context, j *place.Job, r *batch.Record) (place.Output, error) {
	if j.Output() == cli.Standard && e.Path != cli.Standard && !e.base64 && cli.IsTerminal(e.Stdout) {
		return nil, cli.NewError(cli.ExitNotWritten, "the message is binary, and standard output is a terminal").
			WithHint("use -o FILE, --base64 for text, or -o - to write to the terminal anyway")
	}
	in, err := j.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	out, err := e.batch.Create(ctx, j, place.CreateOptions{Mode: 0o666})
	if err != nil {
		return nil, err
	}
	c := e.config
	c.Concurrency = e.batch.Concurrency(in)
	if e.Cache != "" {
		c.MaxPlaintextLength = place.LengthBound(in)
	}
	client, err := esdk.New(c)
	if err != nil {
		return out, err
	}
	var src io.Reader = e.batch.Progress.Watch(in)
	if e.decode {
		src = base64text.NewReader(src)
	}
	ec := e.ec
	if e.preserve {
		if ec, err = withPast(ec, j.Source, in); err != nil {
			return out, err
		}
	}
	if err := e.stream(ctx, client, src, out, ec, r); err != nil {
		return out, err
	}
	if changed := j.Changed(out); changed != nil {
		r.Warn(changed.Error())
		if e.failChanged {
			return out, cli.NewError(cli.ExitError, "%w", changed).OfKind(cli.KindChanged)
		}
	}
	return out, nil
}

func (e *encryption) stream(ctx context.Context, client *esdk.Client, src io.Reader, dst io.Writer, ec esdk.EncryptionContext, r *batch.Record) error {
	message := dst
	var encoder io.WriteCloser
	if e.base64 {
		encoder = base64text.NewWriter(dst)
		message = encoder
	}
	w, err := client.NewWriter(ctx, r.WatchWriter(message), ec)
	if err != nil {
		return err
	}
	n, err := w.ReadFrom(src)
	if err == nil {
		err = w.Close()
	}
	r.SetHeader(w.Header(), n)
	if err != nil {
		return err
	}
	if e.base64 {
		err = encoder.Close()
	}
	return err
}
