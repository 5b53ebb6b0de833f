package main

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"

	"esdk"
	"esdk/cmd/esdk/internal/base64text"
	"esdk/cmd/esdk/internal/batch"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/place"
	"github.com/spf13/cobra"
)

// reencryptOptions are those of both: how to decrypt the old message, and how to
// encrypt the new one.
type reencryptOptions struct {
	place.OutputOptions
	report batch.ReportOptions
	from   decryptOptions
	to     encryptOptions
	set    []string
	unset  []string

	skipDone string // see doneCheck
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
	a.addKeyFlag(cmd, &o.to.keys, true)
	addOutputFlags(cmd, &o.OutputOptions)
	addInputFlags(cmd, &o.InputOptions, "", "of the files in folders, take only those with this `SUFFIX`")
	addReportFlag(cmd, &o.report)
	addCommitmentFlag(cmd, &o.to.commitment)
	addCacheFlag(cmd, &o.to.cache)
	addPaceFlags(cmd, &o.to.pace)
	flags := cmd.Flags()
	flags.BoolVar(&o.InPlace, "in-place", false, "replace each FILE")
	flags.StringVar(&o.skipDone, "skip-done", doneByKey, "with --in-place, pass over what is as asked already, as `WHAT` says: key, header, which anybody can have written, or never")
	cmd.RegisterFlagCompletionFunc("skip-done", cobra.FixedCompletions([]string{doneByKey, doneByHeader, doneNever}, cobra.ShellCompDirectiveNoFileComp))
	flags.StringArrayVar(&o.from.keys, "from-key", nil, "`KEY` to decrypt with; repeat it to try several")
	flags.StringArrayVarP(&o.from.pairs, "context", "c", nil, "`KEY[=VALUE]` that the encryption context of the old message must have; repeatable")
	flags.StringArrayVar(&o.from.required, "require-context", nil, "neither message stores the pair of this `KEY`, and -c gives it; repeatable")
	flags.StringArrayVar(&o.set, "set", nil, "pair `KEY=VALUE` of the new message's encryption context; repeatable")
	flags.StringArrayVar(&o.unset, "unset", nil, "leave the pair of this `KEY` out of the new message; repeatable")
	flags.StringVar(&o.to.suite, "suite", "", "algorithm `SUITE` of the new message: a name or an id such as 0x0578")
	flags.BoolVar(&o.to.unsigned, "unsigned", false, "use a suite without a signature")
	bytesVar(flags, &o.to.frameLength, "frame-length", 0, "plaintext `BYTES` of a frame (default as in the old message)")
	flags.IntVar(&o.from.maxKeys, "max-keys", defaultMaxKeys, "refuse messages of more than this `NUMBER` of encrypted data keys; 0 means no limit")
	bytesVar(flags, &o.from.maxFrame, "max-frame", defaultMaxFrame, "refuse messages with frames of more than this many `BYTES`; 0 means no limit")
	flags.BoolVar(&o.from.net400, "recover-net-4.0.0", false, "also read what version 4.0.0 of the .NET SDK wrote, against the specification")
	flags.BoolVar(&o.from.base64, "base64", false, "the input is Base64 text, even if it does not look so")
	cmd.RegisterFlagCompletionFunc("suite", suiteNames)
	cmd.RegisterFlagCompletionFunc("from-key", a.completeKey)
	return cmd
}

// A reencryption is what all jobs of a command share.
type reencryption struct {
	*app
	*reencryptOptions
	oldConfig  esdk.Config
	newConfig  esdk.Config
	done       *doneCheck
	reproduced esdk.EncryptionContext // given with -c
	set        esdk.EncryptionContext
}

func (a *app) reencrypt(ctx context.Context, o *reencryptOptions, inputs []string) error {
	re, err := a.newReencryption(ctx, o)
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
	return a.run(ctx, plan, &o.to.pace, &o.report, "reencrypt", re.job)
}

func (a *app) newReencryption(ctx context.Context, o *reencryptOptions) (*reencryption, error) {
	if len(o.from.keys) == 0 {
		return nil, cli.UsageError("which key decrypts? Give at least one --from-key KEY")
	}
	if o.to.frameLength < 0 || o.to.frameLength > math.MaxUint32 {
		return nil, cli.UsageError("--frame-length %d: want 1 to 4294967295", o.to.frameLength)
	}
	re := &reencryption{app: a, reencryptOptions: o}
	var err error
	if re.set, err = o.parseSet(); err != nil {
		return nil, err
	}
	o.from.commitment, o.from.cache, o.from.keyFlag = o.to.commitment, o.to.cache, "--from-key"
	d, err := a.newDecryption(ctx, &o.from)
	if err != nil {
		return nil, err
	}
	re.reproduced, re.oldConfig = d.ec, d.config
	to := o.to
	to.frameLength = max(1, to.frameLength) // that of each message, if none is given
	to.required = o.from.required
	for _, k := range to.required {
		to.pairs = append(to.pairs, k+"="+re.reproduced[k])
	}
	e, err := a.newEncryption(ctx, &to)
	if err != nil {
		return nil, err
	}
	re.newConfig = e.config
	re.done, err = re.newDoneCheck(ctx)
	return re, err
}

// parseSet parses --set, and checks --unset.
func (o *reencryptOptions) parseSet() (esdk.EncryptionContext, error) {
	set := make(esdk.EncryptionContext)
	for _, pair := range o.set {
		k, v, ok := strings.Cut(pair, "=")
		if _, twice := set[k]; !ok || k == "" || twice {
			return nil, cli.UsageError("--set %s: want KEY=VALUE, and each key once", cli.Printable(pair))
		}
		set[k] = v
	}
	for _, k := range o.unset {
		if strings.HasPrefix(k, "aws-crypto-") {
			return nil, cli.UsageError("--unset %s: that pair is the library's", cli.Printable(k))
		}
		if _, both := set[k]; both {
			return nil, cli.UsageError("--set and --unset contradict each other about %s", cli.Printable(k))
		}
	}
	for _, k := range o.from.required {
		if _, both := set[k]; both || slices.Contains(o.unset, k) {
			return nil, cli.UsageError("--require-context %s: neither --set nor --unset can change it", cli.Printable(k))
		}
	}
	return set, nil
}

func (re *reencryption) job(ctx context.Context, j *place.Job, r *batch.Record) (place.Output, error) {
	if j.Output() == cli.Standard && re.Path != cli.Standard && cli.IsTerminal(re.Stdout) {
		return nil, cli.NewError(cli.ExitNotWritten, "the message is binary, and standard output a terminal").
			WithHint("-o FILE writes a file, and -o - writes to the terminal all the same")
	}
	in, err := j.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	done, err := re.done.check(ctx, in, r)
	if err != nil {
		return nil, re.explainOf(r, err)
	}
	if done {
		j.Skip = place.SkipDone
		return nil, nil
	}
	var like place.Input
	if re.InPlace {
		like = in
	}
	out, err := re.create(ctx, j, place.CreateOptions{Mode: 0o666, Like: like})
	if err != nil {
		return nil, err
	}
	err = re.stream(ctx, in, out, r)
	if info, statErr := in.Stat(); re.InPlace && statErr == nil && place.HasOtherNames(info) {
		r.Warn("it has other names, which keep the old message")
	}
	return out, err
}

// stream encrypts what it decrypts, at once. The new message is
// only complete if all of the old one was verified.
func (re *reencryption) stream(ctx context.Context, in place.Input, out place.Output, r *batch.Record) error {
	oldConfig, newConfig := re.oldConfig, re.newConfig
	oldConfig.Concurrency, newConfig.Concurrency = re.batch.Concurrency(in), re.batch.Concurrency(in)
	decrypter, err := esdk.New(oldConfig)
	if err != nil {
		return err
	}
	src, err := base64text.Decode(re.batch.Progress.Watch(in), canSeek(in), re.from.base64)
	if err != nil {
		return err
	}
	reader, err := decrypter.NewReader(ctx, src, re.reproduced)
	if err != nil {
		return re.explainOf(r, err)
	}
	if re.to.frameLength == 0 {
		// A body that is not framed has none.
		newConfig.FrameLength = reader.Header().FrameLength
	}
	if re.to.cache != "" {
		newConfig.MaxPlaintextLength = lengthBound(in)
	}
	encrypter, err := esdk.New(newConfig)
	if err != nil {
		return err
	}
	w, err := encrypter.NewWriter(ctx, r.WatchWriter(out), re.context(reader.Header(), r))
	if err != nil {
		return err
	}
	n, err := reader.WriteTo(w)
	if err == nil {
		err = w.Close()
	}
	r.SetHeader(w.Header(), n)
	return re.explainOf(r, err)
}

// context is that of a new message.
func (re *reencryption) context(old *esdk.Header, r *batch.Record) esdk.EncryptionContext {
	ec := make(esdk.EncryptionContext)
	maps.Copy(ec, re.reproduced)
	maps.Copy(ec, old.UserContext())
	for _, k := range re.unset {
		if _, ok := ec[k]; !ok {
			r.Warn("the old message has no pair of the key " + k)
		}
		delete(ec, k)
	}
	maps.Copy(ec, re.set)
	return ec
}
