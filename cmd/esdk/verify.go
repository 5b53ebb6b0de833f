package main

import (
	"context"
	"fmt"
	"io"

	"esdk"
	"esdk/cmd/esdk/internal/batch"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/place"
	"github.com/spf13/cobra"
)

func (a *app) newVerifyCommand() *cobra.Command {
	o := new(decryptOptions)
	cmd := &cobra.Command{
		Use:   "verify -k KEY [flags] [FILE]...",
		Short: "Decrypt files or standard input, and write nothing",
		Long: `Decrypt files or standard input, and write nothing. The exit status tells whether
each message is authentic, complete and has the given encryption context. With -r,
a FILE can be a directory. All files in it are taken as messages, or, with
--suffix, those with the suffix.`,
		Example: `  esdk verify -k local *.encrypted
  esdk verify -r -k local encrypted/`,
		RunE: func(cmd *cobra.Command, inputs []string) error { return a.verify(cmd.Context(), o, inputs) },
	}
	o.addFlags(a, cmd)
	addInputFlags(cmd, &o.InputOptions, "", "of the files in directories, take only the ones with this `SUFFIX`")
	addVersionsFlag(cmd, &o.InputOptions)
	return cmd
}

func (a *app) verify(ctx context.Context, o *decryptOptions, inputs []string) error {
	d, err := a.newDecryption(ctx, o)
	if err != nil {
		return err
	}
	if o.unsignedOnly {
		d.config.Release = esdk.RejectSigned
	}
	o.OnlyWith()
	plan, err := a.places.Inputs(ctx, inputs, &o.InputOptions)
	if err != nil {
		return err
	}
	a.batch.Tally = true
	return a.run(ctx, plan, &o.pace, &o.report, "verify", d.verifyJob)
}

func (d *decryption) verifyJob(ctx context.Context, j *place.Job, r *batch.Record) (place.Output, error) {
	in, err := j.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	if err := d.stream(ctx, d.config, in, io.Discard, r); err != nil {
		return nil, err
	}
	r.Note = fmt.Sprintf("%s: verified, %s of plaintext", cli.Printable(j.Source.Name()), cli.Count(r.Plaintext, "byte", "bytes"))
	return nil, nil
}
