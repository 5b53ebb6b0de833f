package main

import (
	"context"
	"errors"

	"esdk/cmd/esdk/internal/batch"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/place"
	"esdk/cmd/esdk/internal/reencrypt"
	"github.com/spf13/cobra"
)

type reencryptOptions struct {
	place.OutputOptions
	reencrypt.Options
	report batch.ReportOptions
	pace   batch.Pace
}

func (a *app) newReencryptCommand() *cobra.Command {
	o := new(reencryptOptions)
	cmd := &cobra.Command{
		Use:   "reencrypt -k KEY --from-key OLD-KEY [flags] [FILE]...",
		Short: "Re-encrypt messages under other keys",
		Long: `Decrypt messages and encrypt them again in one stream: under other keys, with
another suite or another encryption context. Plaintext is never written to the
disk.

A message keeps its encryption context, except for --set and --unset, and its
frame length. It gets the default suite unless --suite or --unsigned is given, so
messages of older suites gain key commitment. To read those, use --commitment
require-encrypt-allow-decrypt.

There is no command that only replaces the encrypted data keys in the header: that
would reuse a key and an IV.

With --in-place, a new message replaces the old one after all of the old one has
been verified and the new one is on the disk. It keeps the owner, mode, access
control list and extended attributes. If they can't be kept, that is an error, and
the old message stays. A message that already is as requested is skipped: the
keys of -k prove it by verifying the header. So to resume an interrupted run,
repeat it. This needs keys that decrypt, too. If a key only encrypts, such as a
public key, a repeated run fails on finished messages or encrypts them again,
unless --skip-done header is given. An alias of AWS KMS stands for the key that it
refers to when the run begins, which needs kms:DescribeKey.

Without --in-place, -o gives the output, and standard input goes to standard
output. With -r, a FILE can be a directory. All files in it are taken as messages,
or, with --suffix, those with the suffix.`,
		Example: `  esdk reencrypt --from-key aes:corp/backup@2025.key -k aes:corp/backup@2026.key --in-place backup/*.encrypted
  esdk reencrypt -r --from-key @old -k @new --in-place encrypted/
  esdk reencrypt --from-key local -k arn:aws:kms:us-west-2:111122223333:key/… -o shared/ notes.txt.encrypted
  esdk reencrypt --from-key @old -k @new -c tenant=17 --set stage=archive -o archive/ a.encrypted
  esdk reencrypt -r --from-key @old -k @new --in-place s3://backups/`,
		RunE: func(cmd *cobra.Command, inputs []string) error { return a.reencrypt(cmd.Context(), o, inputs) },
	}
	flags := cmd.Flags()
	o.AddFlags(flags)
	a.completeKeys(cmd, "key", "from-key")
	completeCommitment(cmd)
	cmd.RegisterFlagCompletionFunc("suite", suiteNames)
	cmd.RegisterFlagCompletionFunc("skip-done", cobra.FixedCompletions(reencrypt.Done(), cobra.ShellCompDirectiveNoFileComp))
	addOutputFlags(cmd, &o.OutputOptions)
	addInputFlags(cmd, &o.InputOptions, "", "of the files in directories, take only the ones with this `SUFFIX`")
	addReportFlag(cmd, &o.report)
	o.pace.AddFlags(flags)
	flags.BoolVar(&o.OutputOptions.InPlace, "in-place", false, "replace each FILE")
	return cmd
}

func (a *app) reencrypt(ctx context.Context, o *reencryptOptions, inputs []string) error {
	o.Options.InPlace = o.OutputOptions.InPlace
	re, err := reencrypt.New(ctx, a.settings, &o.Options)
	if err != nil {
		return err
	}
	o.OnlyWith()
	o.Name, o.OneToOne = func(input string) string { return input }, true
	plan, err := a.places.Plan(ctx, inputs, &o.OutputOptions)
	if errors.Is(err, place.ErrNoPlace) {
		return cli.UsageError("%w, or --in-place", err)
	}
	if err != nil {
		return err
	}
	a.batch.Tally, a.batch.Resume = true, o.Resume()
	if o.Options.InPlace && !re.Resumable() {
		a.batch.Resume = ""
	}
	work := re.Work(a.batch)
	return a.run(ctx, plan, &o.pace, &o.report, "reencrypt", func(ctx context.Context, j *place.Job, r *batch.Record) (place.Output, error) {
		if j.Output() == cli.Standard && o.Path != cli.Standard && cli.IsTerminal(a.Stdout) {
			return nil, cli.NewError(cli.ExitNotWritten, "the message is binary, and standard output is a terminal").
				WithHint("use -o FILE, or -o - to write to the terminal anyway")
		}
		return work(ctx, j, r)
	})
}
