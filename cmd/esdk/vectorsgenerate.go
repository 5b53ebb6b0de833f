package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/vectorgen"
	"esdk/cmd/esdk/internal/vectorkeys"
	"esdk/internal/vectors"
	"github.com/spf13/cobra"
)

type generateOptions struct {
	output  string
	keys    string
	kms     bool
	kmsKeys []string
	force   bool
}

func (a *app) newVectorsGenerateCommand() *cobra.Command {
	o := new(generateOptions)
	cmd := &cobra.Command{
		Use:   "generate [flags] [MANIFEST] -o DIR",
		Short: "Write test vectors for other SDKs",
		Long: `Write test vectors in the formats of the AWS Crypto Tools test vector framework: a
directory DIR with the messages and plaintexts, keys.json, and the manifests
manifest.json of messages to decrypt and negative-manifest.json of messages to
reject. "esdk vectors run" runs them.

A MANIFEST lists the messages to encrypt: awses-encrypt (versions 1 to 5) or
awses-decrypt-generate (1 to 4). It is looked for as by "esdk vectors run". The
result is awses-decrypt: of version 5 for awses-encrypt of version 5, otherwise of
version 4. Messages without frames are not written, and counted as unsupported.

Without a MANIFEST, every algorithm suite is used with every kind of keyring,
several frame lengths, plaintexts and encryption contexts, and messages are
tampered with in several ways. The result is awses-decrypt of version 5.
encrypt-manifest.json lists the messages that were encrypted.

The keys are new, unless --keys has some of their kinds. Anybody may read the
private keys in keys.json, so use them for nothing else, and delete them with the
vectors. The mode of the files follows the umask.

Keys of AWS KMS need --kms. They are the symmetric, RSA and key agreement keys in
--keys, and the symmetric keys of --kms-key.

DIR appears only after all of it has been written. --force replaces a directory of
test vectors.`,
		Example: `  esdk vectors generate -o vectors
  esdk vectors generate dafny-4.1.0-v5/encrypt-manifest.json -o vectors
  esdk vectors generate --kms-key arn:aws:kms:us-west-2:111122223333:key/… -o vectors
  esdk vectors run vectors/manifest.json vectors/negative-manifest.json`,
		Args: optionalArgument("MANIFEST"),
		RunE: func(cmd *cobra.Command, manifest []string) error {
			if o.output == "" || o.output == cli.Standard {
				return cli.UsageError("no output given: use -o DIR")
			}
			return a.generateVectors(cmd.Context(), o, manifest)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.output, "output", "o", "", "`DIR` to create")
	flags.StringVar(&o.keys, "keys", "", "keys manifest `FILE`, instead of the one that the manifest names, or of new keys")
	flags.BoolVar(&o.kms, "kms", false, "call AWS KMS for its keys")
	flags.StringArrayVar(&o.kmsKeys, "kms-key", nil, "`ARN` of a symmetric key of AWS KMS to add, without a MANIFEST; implies --kms; repeatable")
	flags.BoolVar(&o.force, "force", false, "replace DIR if it contains only test vectors")
	return cmd
}

func (a *app) generateVectors(ctx context.Context, o *generateOptions, manifest []string) error {
	options := vectors.Options{Keys: o.keys, Keyring: vectorkeys.Keyring(ctx, a.keys, o.kms || len(o.kmsKeys) > 0)}
	var plan *vectorgen.Plan
	var err error
	inputs := []string{o.keys}
	switch {
	case len(manifest) == 0:
		plan, err = vectorgen.NewPlan(options, o.kmsKeys...)
	case len(o.kmsKeys) > 0:
		return cli.UsageError("--kms-key cannot be used with a MANIFEST, which names its keys")
	default:
		path := findManifest(manifest[0])
		inputs = append(inputs, path)
		plan, err = vectorgen.LoadPlan(path, options)
	}
	if err != nil {
		return err
	}
	var replace *atomicfile.Replace
	if o.force {
		replace = &atomicfile.Replace{Names: vectorFiles, What: "test vectors"}
	}
	out, err := a.pending.CreateDirectory(o.output, replace, inputs)
	if err != nil {
		return err
	}
	defer out.Abort()
	client := vectorgen.Client{Name: "esdk", Version: buildVersion().Version}
	made, err := plan.Generate(ctx, client, out.Create)
	if err == nil {
		err = checkGenerated(made)
	}
	if err == nil {
		err = out.Commit()
	}
	if err != nil {
		return err
	}
	return a.printGenerated(o.output, made)
}

// checkGenerated returns an error if no test vector was made.
func checkGenerated(g *vectorgen.Generated) error {
	if g.Positive+g.Negative > 0 {
		return nil
	}
	err := cli.NewError(cli.ExitError, "no test vectors were written%s", countsByType(g.Unsupported))
	if unaskedKMS(g.Unsupported) > 0 {
		return err.WithHint("use --kms to call AWS KMS")
	}
	return err
}

// unaskedKMS counts the cases that are unsupported because AWS KMS isn't
// called.
func unaskedKMS(unsupported map[string]int) (n int) {
	for _, keyType := range vectorkeys.OfKMS() {
		n += unsupported[keyType]
	}
	return n
}

func (a *app) noteNeedsKMS(n int) {
	if n > 0 {
		a.Note("cases that need --kms, which calls AWS KMS: %d", n)
	}
}

func (a *app) printGenerated(dir string, g *vectorgen.Generated) error {
	a.noteNeedsKMS(unaskedKMS(g.Unsupported))
	if a.JSON {
		return a.PrintJSON(struct {
			Output string `json:"output"`
			*vectorgen.Generated
		}{dir, g})
	}
	unsupported := 0
	for _, n := range g.Unsupported {
		unsupported += n
	}
	_, err := fmt.Fprintf(a.Stdout, "%s: %d positive, %d negative, %d not supported%s\n",
		cli.Printable(dir), g.Positive, g.Negative, unsupported, countsByType(g.Unsupported))
	return err
}

// countsByType formats counts as a list in parentheses, with a leading space.
func countsByType(counts map[string]int) string {
	if len(counts) == 0 {
		return ""
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", cli.Printable(name), counts[name]))
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// vectorFiles are the names of all entries in a directory of test vectors.
var vectorFiles = []string{"ciphertexts", "encrypt-manifest.json", "keys.json", "manifest.json", "negative-manifest.json", "plaintexts"}
