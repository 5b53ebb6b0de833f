package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"

	"esdk"
	"esdk/cmd/esdk/internal/awscli"
	"esdk/cmd/esdk/internal/batch"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/keyspec"
	"esdk/cmd/esdk/internal/place"
	"esdk/cmd/esdk/internal/settings"
	"github.com/spf13/cobra"
)

// compatName is the name of the Python program. If the command is started under
// this name, it takes the arguments of that program.
const compatName = "aws-encryption-cli"

func isCompatName(program string) bool {
	return strings.TrimSuffix(filepath.Base(program), ".exe") == compatName
}

func (a *app) newCompatCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "compat ARGUMENT...",
		Short: "Take the arguments of " + compatName,
		Long: `Take the arguments of version 4.3.0 of ` + compatName + `, the command of the Python
SDK, so that scripts work unchanged. A link of that name to this program does the
same. "esdk compat --help" lists the arguments, and docs/cli.md the differences.`,
		Example:            `  esdk compat -e -i notes.txt -o notes.txt.encrypted -w key=arn:… -S`,
		DisableFlagParsing: true,
		RunE:               func(cmd *cobra.Command, args []string) error { return a.compat(cmd.Context(), args) },
	}
}

// compat returns the exit status of the Python program, except for
// cli.ExitContext, where the program returns 0.
func (a *app) compat(ctx context.Context, args []string) error {
	c, err := compatSource().Parse(args)
	if err != nil {
		return cli.UsageError("%w", err).WithHint("--help lists the options")
	}
	switch {
	case c.Help:
		_, err = fmt.Fprint(a.Stdout, awscli.Usage)
		return err
	case c.Version:
		_, err = fmt.Fprintf(a.Stdout, "esdk/%s with the arguments of aws-encryption-sdk-cli/4.3.0\n", buildVersion().Version)
		return err
	}
	a.Quiet = c.Quiet
	a.useNames(settings.Compat)
	err = a.compatRun(ctx, c)
	switch code := cli.ExitStatus(err); code {
	case cli.ExitOK, cli.ExitContext, cli.ExitInterrupted:
		return err
	}
	return cli.WithCode(cli.ExitError, err)
}

// compatSource resolves arguments such as @FILE.
func compatSource() awscli.Source {
	s := awscli.Source{ReadFile: os.ReadFile, LookupEnv: os.LookupEnv, Escape: '\\'}
	if runtime.GOOS == "windows" {
		s.Escape = '`'
	}
	s.Home = func(name string) (string, bool) {
		if name == "" {
			home, err := os.UserHomeDir()
			return home, err == nil
		}
		u, err := user.Lookup(name)
		if err != nil {
			return "", false
		}
		return u.HomeDir, true
	}
	return s
}

func (a *app) compatRun(ctx context.Context, c *awscli.Args) error {
	if c.Output == "" {
		return cli.UsageError("--output is empty")
	}
	for name, n := range map[string]*int64{
		"--frame-length": c.FrameLength, "--max-length": c.MaxLength, "--max-encrypted-data-keys": c.MaxEncryptedDataKeys,
	} {
		if n != nil && (*n < 1 || *n > 1<<32-1) {
			return cli.UsageError("%s %d: must be 1 to 4294967295", name, *n)
		}
	}
	kr, err := a.compatKeyring(ctx, c)
	if err != nil {
		return err
	}
	inputs, err := a.compatInputs(c)
	if err != nil || len(inputs) == 0 {
		return err
	}
	if c.Action == awscli.Encrypt {
		return a.compatEncrypt(ctx, c, kr, inputs)
	}
	return a.compatDecrypt(ctx, c, kr, inputs)
}

// compatInputs returns the files that --input stands for and, with --recursive,
// the directories.
func (a *app) compatInputs(c *awscli.Args) (inputs []string, err error) {
	if c.Input == cli.Standard {
		return []string{cli.Standard}, nil
	}
	names, err := awscli.Glob(c.Input)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, cli.NewError(cli.ExitError, "%s: no such file", c.Input)
	}
	for _, name := range names {
		info, err := os.Stat(name)
		switch {
		case err != nil:
			return nil, err
		case info.IsDir() && !cli.IsFolder(c.Output):
			return nil, cli.UsageError("%s is a directory, but the output %s is not", cli.Printable(name), cli.Printable(c.Output))
		case info.IsDir() && !c.Recursive:
			a.Note("skipped the directory %s: use --recursive to include it", cli.Printable(name))
		case !info.IsDir() && !info.Mode().IsRegular() && awscli.HasPattern(c.Input):
			a.Note("skipped %s, which is not a regular file", cli.Printable(name))
		default:
			inputs = append(inputs, fileName(name))
		}
	}
	return inputs, nil
}

// fileName returns a name for a file even if it looks like a URL. The Python
// program doesn't know URLs.
func fileName(name string) string {
	if strings.Contains(name, "://") {
		return "." + string(filepath.Separator) + name
	}
	return name
}

// compatPlan finds the outputs. With --interactive it asks before replacing
// one.
func (a *app) compatPlan(ctx context.Context, c *awscli.Args, o *place.OutputOptions, inputs []string, suffix string) (*place.Plan, error) {
	if c.Suffix != nil {
		suffix = *c.Suffix
	}
	o.Recursive, o.Suffix = c.Recursive, suffix
	o.Path, o.Force, o.NoClobber = fileName(c.Output), !c.NoOverwrite, c.NoOverwrite
	o.Name, o.OneToOne = func(input string) string { return input + suffix }, true
	plan, err := a.places.Plan(ctx, inputs, o)
	if err != nil {
		return nil, err
	}
	return plan, plan.Each(func(j *place.Job) error { return a.compatReplace(c, j) })
}

// compatReplace skips an existing output if the user, asked with --interactive,
// doesn't want it replaced. Otherwise it notes that the output will be
// replaced.
func (a *app) compatReplace(c *awscli.Args, j *place.Job) error {
	if j.Err != nil || j.Skip != "" || j.Stream() {
		return nil
	}
	if _, err := os.Lstat(j.Output()); err != nil {
		return nil
	}
	if c.Interactive {
		yes, err := a.ask(fmt.Sprintf("Replace %s? [y/N] ", cli.Printable(j.Output())))
		if err != nil {
			return err
		}
		if !yes {
			j.Skip = place.SkipExists
		}
	}
	if j.Skip == "" {
		a.Note("%s exists, and will be replaced", cli.Printable(j.Output()))
	}
	return nil
}

// ask asks the user on the terminal, since standard input may be the data.
func (a *app) ask(question string) (bool, error) {
	terminal, err := os.Open(terminalName)
	if err != nil {
		return false, cli.NewError(cli.ExitNotWritten, "no terminal to ask on: %w", err).
			WithHint("without --interactive, existing files are replaced; --no-overwrite skips them")
	}
	defer terminal.Close()
	fmt.Fprint(a.Stderr, question)
	answer, err := bufio.NewReader(io.LimitReader(terminal, 1<<10)).ReadString('\n')
	if err == io.EOF {
		err = nil
	}
	return strings.HasPrefix(strings.ToLower(answer), "y"), err
}

// compatNote returns the note that -v prints for a successful job.
func compatNote(c *awscli.Args, j *place.Job) string {
	if c.Verbosity == 0 {
		return ""
	}
	return fmt.Sprintf("%s: %s to %s", c.Action, cli.Printable(j.Source.Name()), cli.Printable(j.Output()))
}

func (a *app) compatEncrypt(ctx context.Context, c *awscli.Args, kr esdk.Keyring, inputs []string) error {
	o := &encryptOptions{
		Encryption: settings.Encryption{
			Context:     settings.Context{Pairs: c.Context},
			Keyring:     kr,
			Suite:       c.Algorithm,
			Commitment:  c.CommitmentPolicy,
			FrameLength: settings.DefaultFrameLength,
			Cache:       compatCache(c.Caching),
		},
		pace:   batch.Pace{RetryFor: batch.UsualPatience},
		report: c.Report(),
		base64: c.Encode,
		decode: c.Decode,
	}
	if c.FrameLength != nil {
		o.FrameLength = *c.FrameLength
	}
	if c.MaxEncryptedDataKeys != nil {
		o.MaxKeys = cli.ToInt(*c.MaxEncryptedDataKeys)
	}
	e, err := a.newEncryption(ctx, o)
	if err != nil {
		return err
	}
	plan, err := a.compatPlan(ctx, c, &o.OutputOptions, inputs, encryptedSuffix)
	if err != nil {
		return err
	}
	return a.run(ctx, plan, &o.pace, &o.report, c.Action, func(ctx context.Context, j *place.Job, r *batch.Record) (place.Output, error) {
		r.Note = compatNote(c, j)
		return e.job(ctx, j, r)
	})
}

func (a *app) compatDecrypt(ctx context.Context, c *awscli.Args, kr esdk.Keyring, inputs []string) error {
	o := &decryptOptions{
		Decryption: settings.Decryption{
			Context:    settings.Context{Pairs: c.Context},
			Keyring:    kr,
			Commitment: c.CommitmentPolicy,
			MaxKeys:    settings.DefaultMaxKeys,
			MaxFrame:   settings.DefaultMaxFrame,
			Cache:      compatCache(c.Caching),
		},
		pace:    batch.Pace{RetryFor: batch.UsualPatience},
		report:  c.Report(),
		base64:  c.Decode,
		encode:  c.Encode,
		release: "auto",
	}
	if c.MaxEncryptedDataKeys != nil {
		o.MaxKeys = cli.ToInt(*c.MaxEncryptedDataKeys)
	}
	if c.MaxLength != nil {
		o.MaxFrame = *c.MaxLength
	}
	if c.Buffer {
		o.release = "verified"
	}
	d, err := a.newDecryption(ctx, o)
	if err != nil {
		return err
	}
	if c.Action == awscli.DecryptUnsigned {
		// Both settings reject signed messages, but only the CMM can also
		// buffer the plaintext until all of it is verified.
		o.unsignedOnly = !c.Buffer
		d.config.CMM = unsignedCMM{d.config.CMM}
	}
	plan, err := a.compatPlan(ctx, c, &o.OutputOptions, inputs, decryptedSuffix)
	if err != nil {
		return err
	}
	return a.run(ctx, plan, &o.pace, &o.report, c.Action, func(ctx context.Context, j *place.Job, r *batch.Record) (place.Output, error) {
		r.Note = compatNote(c, j)
		return d.job(ctx, j, r)
	})
}

// unsignedCMM rejects signed messages.
type unsignedCMM struct{ esdk.CMM }

func (c unsignedCMM) DecryptionMaterials(ctx context.Context, req *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
	if req.Suite.Signed() {
		return nil, esdk.ErrSigned
	}
	return c.CMM.DecryptionMaterials(ctx, req)
}

// compatCache translates --caching to --cache.
func compatCache(c *awscli.Caching) string {
	if c == nil {
		return ""
	}
	text := fmt.Sprintf("capacity=%d,max-age=%s", c.Capacity, max(c.MaxAge, 1))
	if c.MaxMessages != nil {
		text += fmt.Sprintf(",max-messages=%d", min(*c.MaxMessages, 1<<32))
	}
	if c.MaxBytes != nil {
		text += fmt.Sprintf(",max-bytes=%d", *c.MaxBytes)
	}
	return text
}

// compatKeyring makes the keyring for all --wrapping-keys. The first key makes
// the data key.
func (a *app) compatKeyring(ctx context.Context, c *awscli.Args) (esdk.Keyring, error) {
	var keyrings []esdk.Keyring
	for i := range c.WrappingKeys {
		w := &c.WrappingKeys[i]
		kr, err := a.compatKeys(ctx, w, i == 0, c.Action == awscli.Encrypt)
		if err != nil {
			return nil, cli.WithCode(cli.ExitError, cli.Errorf("--wrapping-keys: %w", err))
		}
		keyrings = append(keyrings, kr)
	}
	return keyspec.Join(keyrings, c.Action == awscli.Encrypt)
}

func (a *app) compatKeys(ctx context.Context, w *awscli.WrappingKeys, first, encrypt bool) (esdk.Keyring, error) {
	switch w.Provider {
	case awscli.KMS:
		return a.compatKMS(ctx, w, first)
	case "raw-aes", "raw-rsa":
		return a.compatRaw(w, encrypt)
	}
	return nil, cli.NewError(cli.ExitError, "provider=%s is unknown: plugins of the Python program are not supported", w.Provider).
		WithHint("use aws-kms, raw-aes or raw-rsa")
}

// compatRaw makes the keyring for a raw key. The Python program doesn't support
// raw keys.
func (a *app) compatRaw(w *awscli.WrappingKeys, encrypt bool) (esdk.Keyring, error) {
	given := make(map[string]string)
	for name, values := range w.Attributes {
		if len(values) > 1 || name != "namespace" && name != "file" && (name != "pad" || w.Provider != "raw-rsa") {
			return nil, cli.UsageError("provider=%s takes one namespace=, key= and file=, not %s=%s", w.Provider, name, strings.Join(values, " "))
		}
		given[name] = values[0]
	}
	namespace, file := given["namespace"], given["file"]
	if len(w.Keys) != 1 || namespace == "" || file == "" {
		return nil, cli.UsageError("provider=%s needs namespace=NAMESPACE key=NAME file=FILE", w.Provider)
	}
	if w.Provider == "raw-aes" {
		return a.keys.NewAESKeyring(namespace, w.Keys[0], file, "", encrypt)
	}
	return a.keys.NewRSAKeyring(namespace, w.Keys[0], file, cmp.Or(given["pad"], keyspec.DefaultPadding), "", encrypt)
}
