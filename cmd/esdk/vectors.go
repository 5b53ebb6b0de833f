package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/vectorkeys"
	"esdk/internal/vectors"
	"github.com/spf13/cobra"
)

type vectorsOptions struct {
	keys   string
	filter string
	net400 bool
	kms    bool
}

func (a *app) newVectorsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "vectors",
		Short: "Run and write test vectors",
		Args:  onlyCommands,
		RunE: func(*cobra.Command, []string) error {
			return cli.UsageError("no command given: use run or generate")
		},
	}
	o := new(vectorsOptions)
	run := &cobra.Command{
		Use:   "run [flags] MANIFEST...",
		Short: "Run the test vectors of manifests",
		Long: `Run the test vectors of manifests in the formats of the AWS Crypto Tools test
vector framework: awses-decrypt (versions 1 to 5), awses-mpl-decrypt (4) and the
older ciphertext manifest. A MANIFEST that does not exist is looked for below the
directory $ESDK_VECTORS.

Each message is decrypted in one shot and as a stream. Cases with an unsupported
kind of key are counted as such. The exit status is 3 if a case failed.

Without --kms, only files are used, and keys of AWS KMS are not supported. With
--kms, AWS KMS is called several times for each message, with the credentials and
the endpoint of the AWS SDK, to decrypt with the keys that the manifest names.
Anybody may use the keys of the official manifests.`,
		Example: `  esdk vectors run dafny-4.1.0-v5/decrypt-manifest.json
  esdk vectors run --filter '^0578-' --json net-4.0.1-v4/manifest.json`,
		Args: someArguments("MANIFEST"),
		RunE: func(cmd *cobra.Command, manifests []string) error { return a.runVectors(cmd.Context(), o, manifests) },
	}
	flags := run.Flags()
	flags.StringVar(&o.keys, "keys", "", "keys manifest `FILE`, instead of the one that the manifest names")
	flags.StringVar(&o.filter, "filter", "", "run only the cases whose ID or description matches the `REGEXP`")
	flags.BoolVar(&o.net400, "recover-net-4.0.0", false, "also decrypt messages that version 4.0.0 of the .NET SDK wrote against the specification")
	flags.BoolVar(&o.kms, "kms", false, "call AWS KMS for cases with its keys")
	cmd.AddCommand(run, a.newVectorsGenerateCommand())
	return cmd
}

func (a *app) runVectors(ctx context.Context, o *vectorsOptions, manifests []string) error {
	filter, err := regexp.Compile(o.filter)
	if err != nil {
		return cli.UsageError("--filter: %v", err)
	}
	failed, total, unasked := 0, 0, 0
	options := vectors.Options{Keys: o.keys, RecoverNET400: o.net400, Keyring: vectorkeys.Keyring(ctx, a.keys, o.kms)}
	for _, name := range manifests {
		m, err := vectors.Load(findManifest(name), options)
		if err != nil {
			return err
		}
		summary, err := a.runManifest(ctx, name, m, filter)
		if err != nil {
			return err
		}
		failed += summary.Failed
		total += summary.Total()
		unasked += unaskedKMS(summary.UnsupportedTypes)
	}
	a.noteNeedsKMS(unasked)
	if total == 0 {
		return cli.UsageError("no case matches --filter %s", cli.Printable(o.filter))
	}
	if failed > 0 {
		return cli.NewError(cli.ExitSomeFailed, "%d of %d cases failed", failed, total)
	}
	return nil
}

// findManifest returns the path of a manifest: the name itself, or the name
// below the directory of the official vectors.
func findManifest(name string) string {
	dir := os.Getenv("ESDK_VECTORS")
	if _, err := os.Stat(name); dir == "" || !errors.Is(err, fs.ErrNotExist) || filepath.IsAbs(name) {
		return name
	}
	if below := filepath.Join(dir, name); isFile(below) {
		return below
	}
	return name
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// runManifest runs the cases of a manifest. It prints the failed cases and the
// counts, or all cases as JSON.
func (a *app) runManifest(ctx context.Context, name string, m *vectors.Manifest, filter *regexp.Regexp) (*vectors.Summary, error) {
	type line struct {
		Manifest    string          `json:"manifest"`
		ID          string          `json:"id"`
		Description string          `json:"description,omitempty"`
		KeyType     string          `json:"key_type"`
		Outcome     vectors.Outcome `json:"outcome"`
		Error       string          `json:"error,omitempty"`
	}
	summary := new(vectors.Summary)
	for _, c := range m.Cases {
		if !filter.MatchString(c.ID) && !filter.MatchString(c.Description) {
			continue
		}
		r := c.Run(ctx)
		summary.Add(r)
		text := ""
		if r.Err != nil {
			text = cli.Message(r.Err)
		}
		switch {
		case a.JSON:
			if err := a.PrintJSON(line{name, r.ID, r.Description, r.KeyType, r.Outcome, text}); err != nil {
				return nil, err
			}
		case r.Outcome == vectors.Failed:
			fmt.Fprintf(a.Stdout, "FAILED %s (%s): %s\n", cli.Printable(r.ID), cli.Printable(r.Description), text)
		}
	}
	if a.JSON {
		return summary, nil
	}
	_, err := fmt.Fprintf(a.Stdout, "%s: %d passed, %d failed, %d not supported%s\n",
		cli.Printable(name), summary.Passed, summary.Failed, summary.Unsupported, countsByType(summary.UnsupportedTypes))
	return summary, err
}
