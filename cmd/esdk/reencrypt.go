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
		Short: "Encrypt messages again, under other keys",
		Long: `Decrypt messages and encrypt them again in one stream: under other keys, with
another suite or another encryption context. Plaintext is never on the disk.

A message keeps its encryption context, but for --set and --unset, and its frame
length, but gets the default suite unless --suite or --unsigned say otherwise: so
messages of older suites come to have a key commitment. To read those, give
--commitment require-encrypt-allow-decrypt.

Only replacing the encrypted data keys in the header would reuse a key and an IV,
so there is no such command.

With --in-place, a new message takes the place of the old one, and has its owner,
mode, access control list and extended attributes, once all of the old one was
verified and the new one is on the disk. If they cannot be kept, that is an error,
and the old one stays. A message that is as asked already, which a key of -k
verifies by its header, is passed over: so a run that was interrupted is done again
as it was. Else -o says where it goes; standard input goes to standard
output. With -r, a FILE may be a folder, of which all files are messages, or those
with the --suffix.`,
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
	addInputFlags(cmd, &o.InputOptions, "", "of the files in folders, take only those with this `SUFFIX`")
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
	if o.SkipDone == "never" || o.Base64 { // finished messages are re-encrypted again, so there is no way to resume
		a.batch.Resume = ""
	}
	work := re.Work(a.batch)
	return a.run(ctx, plan, &o.pace, &o.report, "reencrypt", func(ctx context.Context, j *place.Job, r *batch.Record) (place.Output, error) {
		if j.Output() == cli.Standard && o.Path != cli.Standard && cli.IsTerminal(a.Stdout) {
			return nil, cli.NewError(cli.ExitNotWritten, "the message is binary, and standard output a terminal").
				WithHint("-o FILE writes a file, and -o - writes to the terminal all the same")
		}
		return work(ctx, j, r)
	})
}
