package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"unicode"
	"unicode/utf8"

	"esdk"
	"esdk/cmd/esdk/internal/base64text"
	"esdk/cmd/esdk/internal/batch"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/place"
	"esdk/cmd/esdk/internal/settings"
	"github.com/spf13/cobra"
)

const (
	// maxBuffered is the most plaintext kept in memory until it is verified,
	// and maxTerminal the most plaintext checked before it goes to a terminal,
	// both in bytes.
	maxBuffered = 256 << 20
	maxTerminal = 1 << 20
)

// decryptOptions are the options that decrypt and verify have in common.
type decryptOptions struct {
	place.OutputOptions
	settings.Decryption
	report       batch.ReportOptions
	unsignedOnly bool
	base64       bool
	encode       bool // encode the output as Base64 text
	release      string
	pace         batch.Pace
	sparse       bool
	preserve     bool
	rangeText    string
	part         *byteRange // parsed rangeText, or nil for the whole plaintext
}

func (a *app) newDecryptCommand() *cobra.Command {
	o := new(decryptOptions)
	cmd := &cobra.Command{
		Use:   "decrypt -k KEY [flags] [FILE]...",
		Short: "Decrypt files or standard input",
		Long: `Decrypt files or standard input.

FILE.encrypted is written to FILE, any other FILE to FILE.decrypted, and standard
input to standard output, unless -o gives another output. A file appears only
after all of the message has been verified. --release controls when plaintext goes
to standard output:

  verified  after all of the message has been verified. A file is read twice, and
            a pipe is kept in memory, up to 256 MiB
  frames    frame by frame, as each is verified; the last one only after all of
            the message has been. The exit status tells whether to trust the whole
  auto      verified for a file, frames for a pipe (the default)

With -r, a FILE can be a directory. Its tree is recreated below -o DIRECTORY.
Without -o, each result is written next to its input, and files without the suffix
are left out. To resume an interrupted run, repeat it with --no-clobber.

With --range, only a part of an unsigned message is written, to standard output
unless -o gives another output. Only the end of the file and the frames that hold
the part are read. A signed message needs --release verified, which reads all of
it first.`,
		Example: `  esdk decrypt -k local notes.txt.encrypted
  esdk decrypt -r -k local -o documents/ encrypted/
  esdk decrypt -k rsa:corp/backup@private.pem -c kind=db -o db.dump /backup/db.encrypted
  esdk decrypt -k aes:corp/backup@backup.key < app.encrypted | psql app
  esdk decrypt -k local --range 1M:64K disk.img.encrypted | xxd
  esdk decrypt -r -k @app -o restored/ s3://backups/2026/`,
		RunE: func(cmd *cobra.Command, inputs []string) error { return a.decrypt(cmd.Context(), o, inputs) },
	}
	o.addFlags(a, cmd)
	addOutputFlags(cmd, &o.OutputOptions)
	addInputFlags(cmd, &o.InputOptions, encryptedSuffix, "`SUFFIX` to remove from names; other names get the suffix .decrypted")
	flags := cmd.Flags()
	flags.BoolVar(&o.sparse, "sparse", false, "leave holes in files for blocks of zeros")
	flags.BoolVar(&o.preserve, "preserve", false, "give files the mode and time that encrypt --preserve stored")
	flags.StringVar(&o.rangeText, "range", "", "write only the part `OFFSET:LENGTH` of the plaintext, without reading the rest; OFFSET: reads to the end")
	flags.StringVar(&o.release, "release", "auto", "`WHEN` to release plaintext to standard output: auto, verified or frames")
	cmd.RegisterFlagCompletionFunc("release", cobra.FixedCompletions([]string{"auto", "verified", "frames"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (o *decryptOptions) addFlags(a *app, cmd *cobra.Command) {
	a.addKeyFlag(cmd, &o.Keys, false)
	addReportFlag(cmd, &o.report)
	addCommitmentFlag(cmd, &o.Commitment)
	addCacheFlag(cmd, &o.Cache)
	o.pace.AddFlags(cmd.Flags())
	flags := cmd.Flags()
	flags.StringArrayVarP(&o.Pairs, "context", "c", nil, "`KEY[=VALUE]` that the encryption context of the message must have; repeatable")
	flags.StringArrayVar(&o.Required, "require-context", nil, "the message does not store the pair of this `KEY`, so take it from -c; repeatable")
	flags.BoolVar(&o.unsignedOnly, "unsigned-only", false, "reject signed messages, so that each frame is final when it is released")
	flags.IntVar(&o.MaxKeys, "max-keys", settings.DefaultMaxKeys, "reject messages with more than this `NUMBER` of encrypted data keys; 0 means no limit")
	settings.BytesVar(flags, &o.MaxFrame, "max-frame", settings.DefaultMaxFrame, "reject messages with frames of more than this many `BYTES`; 0 means no limit")
	flags.BoolVar(&o.NET400, "recover-net-4.0.0", false, "also decrypt messages that version 4.0.0 of the .NET SDK wrote against the specification")
	flags.BoolVar(&o.base64, "base64", false, "the input is Base64 text, even if it does not look like it")
}

// A decryption is the state that all jobs of a command share.
type decryption struct {
	*app
	*decryptOptions
	config esdk.Config // without Release
	ec     esdk.EncryptionContext
}

func (a *app) newDecryption(ctx context.Context, o *decryptOptions) (*decryption, error) {
	config, ec, err := a.settings.DecryptConfig(ctx, &o.Decryption)
	return &decryption{a, o, config, ec}, err
}

func (a *app) decrypt(ctx context.Context, o *decryptOptions, inputs []string) error {
	switch o.release {
	case "auto", "frames":
	case "verified":
		if o.unsignedOnly {
			return cli.UsageError("--unsigned-only and --release verified cannot be used together")
		}
	default:
		return cli.UsageError("--release %s: must be auto, verified or frames", cli.Printable(o.release))
	}
	o.Name = func(input string) string { return decryptedName(input, o.Suffix) }
	if o.rangeText != "" {
		part, err := parseRange(o.rangeText)
		if err != nil {
			return err
		}
		o.part = &part
		if o.Recursive && o.Path == "" {
			return cli.UsageError("--range with a directory needs a directory for -o")
		}
		if !o.Recursive && !cli.IsFolder(o.Path) {
			// A file named after the whole plaintext shouldn't hold a part of
			// it.
			o.Name = func(string) string { return cli.Standard }
		}
	}
	d, err := a.newDecryption(ctx, o)
	if err != nil {
		return err
	}
	if o.Path == "" {
		o.OnlyWith()
	}
	plan, err := a.places.Plan(ctx, inputs, &o.OutputOptions)
	if err != nil {
		return err
	}
	a.batch.Tally, a.batch.Resume = true, o.Resume()
	return a.run(ctx, plan, &o.pace, &o.report, "decrypt", d.job)
}

func (d *decryption) job(ctx context.Context, j *place.Job, r *batch.Record) (place.Output, error) {
	in, err := j.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	if j.Output() == cli.Standard && d.Path != cli.Standard && cli.IsTerminal(d.Stdout) {
		return nil, d.toTerminal(ctx, in, r)
	}
	out, err := d.batch.Create(ctx, j, place.CreateOptions{Mode: 0o600, Sparse: d.sparse})
	if err != nil {
		return nil, err
	}
	c := d.config
	c.Release = d.releaseFor(j, in)
	if c.Release == esdk.VerifyFirst && !place.CanSeek(in) {
		c.MaxPlaintextLength = maxBuffered
	}
	if err := d.encoded(ctx, c, in, out, r); err != nil {
		if c.MaxPlaintextLength > 0 && errors.Is(err, esdk.ErrLimit) {
			err = cli.Hinted(err, "%s", d.settings.Names.ToFile)
		}
		return out, err
	}
	j.Changed(out) // the plaintext is all of an earlier message
	if d.preserve {
		return out, restorePast(out, r)
	}
	return out, nil
}

// encoded decrypts in to out, as Base64 text of the plaintext if requested.
func (d *decryption) encoded(ctx context.Context, c esdk.Config, in place.Input, out io.Writer, r *batch.Record) error {
	if !d.encode {
		return d.stream(ctx, c, in, out, r)
	}
	encoder := base64text.NewWriter(out)
	if err := d.stream(ctx, c, in, encoder, r); err != nil {
		return err
	}
	return encoder.Close()
}

// releaseFor returns when a job releases plaintext. A file always appears only
// at the end.
func (o *decryptOptions) releaseFor(j *place.Job, in place.Input) esdk.ReleasePolicy {
	switch {
	case o.unsignedOnly:
		return esdk.RejectSigned
	case o.part != nil && o.release == "verified":
		return esdk.VerifyFirst // a part of a signed message is only good with the whole message
	case o.part != nil:
		return esdk.VerifyAtEOF // the message is unsigned, so each part that is read is final
	case j.Stream() && (o.release == "verified" || o.release == "auto" && place.CanSeek(in)):
		return esdk.VerifyFirst
	}
	return esdk.VerifyAtEOF
}

// toTerminal prints a plaintext after it is verified, if it is text.
func (d *decryption) toTerminal(ctx context.Context, in place.Input, r *batch.Record) error {
	c := d.config
	c.MaxPlaintextLength = maxTerminal
	if d.unsignedOnly {
		c.Release = esdk.RejectSigned
	}
	advice := "use -o FILE, or -o - to write to the terminal anyway"
	var plaintext bytes.Buffer
	if err := d.stream(ctx, c, in, &plaintext, r); err != nil {
		if errors.Is(err, esdk.ErrLimit) {
			err = cli.NewError(cli.ExitNotWritten, "too much to show on a terminal: %w", err).WithHint("%s", advice)
		}
		return err
	}
	if !isText(plaintext.Bytes()) {
		return cli.NewError(cli.ExitNotWritten, "the plaintext is binary, and standard output is a terminal").WithHint("%s", advice)
	}
	var err error
	d.batch.Progress.Aside(func() { _, err = d.Stdout.Write(plaintext.Bytes()) })
	return err
}

// isText reports whether text is safe to print on a terminal.
func isText(b []byte) bool {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 || !unicode.IsPrint(r) && r != '\n' && r != '\t' && r != '\r' {
			return false
		}
		b = b[n:]
	}
	return true
}

// stream decrypts in to out.
func (d *decryption) stream(ctx context.Context, c esdk.Config, in place.Input, out io.Writer, r *batch.Record) error {
	c.Concurrency = d.batch.Concurrency(in)
	if d.part != nil {
		return d.settings.Explain(r.KeyUsed, d.decryptRange(ctx, c, in, out, r))
	}
	client, err := esdk.New(c)
	if err != nil {
		return err
	}
	src, err := base64text.Decode(d.batch.Progress.Watch(in), place.CanSeek(in), d.base64)
	if err != nil {
		return err
	}
	reader, err := client.NewReader(ctx, r.WatchReader(src), d.ec)
	if err != nil {
		return d.settings.Explain(r.KeyUsed, err)
	}
	n, err := reader.WriteTo(out)
	r.SetHeader(reader.Header(), n)
	return d.settings.Explain(r.KeyUsed, err)
}
