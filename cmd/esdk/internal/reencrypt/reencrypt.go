// Package reencrypt re-encrypts messages: under other keys, with another suite
// or another encryption context.
package reencrypt

import (
	"context"
	"maps"
	"math"
	"slices"
	"strings"

	"esdk"
	"esdk/cmd/esdk/internal/base64text"
	"esdk/cmd/esdk/internal/batch"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/place"
	"esdk/cmd/esdk/internal/settings"
	"github.com/spf13/pflag"
)

// Options are the options for both decrypting the old message and encrypting
// the new one.
type Options struct {
	From settings.Decryption
	To   settings.Encryption

	Set, Unset []string // pairs of the encryption context

	Base64   bool   // the old message is Base64 text
	InPlace  bool   // the new message replaces the old one
	SkipDone string // see doneCheck
}

// AddFlags adds the flags for keys, formats and limits, but not those for
// inputs and outputs.
func (o *Options) AddFlags(flags *pflag.FlagSet) {
	flags.StringArrayVarP(&o.To.Keys, "key", "k", nil, settings.EncryptKeyUsage)
	flags.StringArrayVar(&o.From.Keys, "from-key", nil, "`KEY` to decrypt with; repeat it to try several")
	flags.StringVar(&o.SkipDone, "skip-done", doneByKey, "with --in-place, skip messages that this `CHECK` finds to be as requested already: key, header (which anybody can have written) or never")
	flags.StringArrayVarP(&o.From.Pairs, "context", "c", nil, "`KEY[=VALUE]` that the encryption context of the old message must have; repeatable")
	flags.StringArrayVar(&o.From.Required, "require-context", nil, "neither message stores the pair of this `KEY`, so take it from -c; repeatable")
	flags.StringArrayVar(&o.Set, "set", nil, "pair `KEY=VALUE` of the new message's encryption context; repeatable")
	flags.StringArrayVar(&o.Unset, "unset", nil, "leave the pair of this `KEY` out of the new message; repeatable")
	flags.StringVar(&o.To.Suite, "suite", "", "algorithm `SUITE` of the new message: a name, or an ID such as 0x0578")
	flags.BoolVar(&o.To.Unsigned, "unsigned", false, "use a suite without a signature")
	settings.BytesVar(flags, &o.To.FrameLength, "frame-length", 0, "plaintext `BYTES` of a frame (default as in the old message)")
	flags.IntVar(&o.From.MaxKeys, "max-keys", settings.DefaultMaxKeys, "reject messages with more than this `NUMBER` of encrypted data keys; 0 means no limit")
	settings.BytesVar(flags, &o.From.MaxFrame, "max-frame", settings.DefaultMaxFrame, "reject messages with frames of more than this many `BYTES`; 0 means no limit")
	flags.BoolVar(&o.From.NET400, "recover-net-4.0.0", false, "also read messages that version 4.0.0 of the .NET SDK wrote against the specification")
	flags.BoolVar(&o.Base64, "base64", false, "the input is Base64 text, even if it does not look like it")
	settings.AddCommitment(flags, &o.To.Commitment)
	settings.AddCache(flags, &o.To.Cache)
}

// A Reencryption is the state that all jobs of a run share. It is safe for
// concurrent use.
type Reencryption struct {
	*settings.Settings
	*Options
	oldConfig  esdk.Config
	newConfig  esdk.Config
	done       *doneCheck
	reproduced esdk.EncryptionContext // given with -c
	set        esdk.EncryptionContext

	encryptOnly []string // the new keys because of which done is nil
}

// New opens the keys.
func New(ctx context.Context, s *settings.Settings, o *Options) (*Reencryption, error) {
	if len(o.From.Keys) == 0 {
		return nil, cli.UsageError("no key given to decrypt: use --from-key KEY")
	}
	if o.To.FrameLength < 0 || o.To.FrameLength > math.MaxUint32 {
		return nil, cli.UsageError("--frame-length %d: must be 1 to 4294967295", o.To.FrameLength)
	}
	if !slices.Contains(Done(), o.SkipDone) {
		return nil, cli.UsageError("--skip-done %s: must be key, header or never", cli.Printable(o.SkipDone))
	}
	re := &Reencryption{Settings: s, Options: o}
	var err error
	if re.set, err = o.parseSet(); err != nil {
		return nil, err
	}
	o.From.Commitment, o.From.Cache, o.From.KeyFlag = o.To.Commitment, o.To.Cache, "--from-key"
	re.oldConfig, re.reproduced, err = s.DecryptConfig(ctx, &o.From)
	if err != nil {
		return nil, err
	}
	to := o.To
	to.FrameLength = max(1, to.FrameLength) // if it isn't given, the length in each old message applies
	to.Required = o.From.Required
	for _, k := range to.Required {
		to.Pairs = append(to.Pairs, k+"="+re.reproduced[k])
	}
	if re.newConfig, _, err = s.EncryptConfig(ctx, &to); err != nil {
		return nil, err
	}
	re.done, err = re.newDoneCheck(ctx)
	return re, err
}

// parseSet parses --set, and checks --unset.
func (o *Options) parseSet() (esdk.EncryptionContext, error) {
	set := make(esdk.EncryptionContext)
	for _, pair := range o.Set {
		k, v, ok := strings.Cut(pair, "=")
		if _, twice := set[k]; !ok || k == "" || twice {
			return nil, cli.UsageError("--set %s: must be KEY=VALUE, with each key once", cli.Printable(pair))
		}
		if settings.IsReserved(k) {
			return nil, cli.UsageError("--set %s: the pair is reserved for the library", cli.Printable(k))
		}
		set[k] = v
	}
	for _, k := range o.Unset {
		if settings.IsReserved(k) {
			return nil, cli.UsageError("--unset %s: the pair is reserved for the library", cli.Printable(k))
		}
		if _, both := set[k]; both {
			return nil, cli.UsageError("--set and --unset both name %s", cli.Printable(k))
		}
	}
	for _, k := range o.From.Required {
		if _, both := set[k]; both || slices.Contains(o.Unset, k) {
			return nil, cli.UsageError("--require-context %s: --set and --unset cannot change this pair", cli.Printable(k))
		}
	}
	return set, nil
}

// Work returns the function that does the jobs of a batch.
func (re *Reencryption) Work(b *batch.Batch) batch.Work {
	return func(ctx context.Context, j *place.Job, r *batch.Record) (place.Output, error) {
		return re.job(ctx, b, j, r)
	}
}

func (re *Reencryption) job(ctx context.Context, b *batch.Batch, j *place.Job, r *batch.Record) (place.Output, error) {
	in, err := j.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	done, err := re.done.check(ctx, b, in, r)
	if err != nil {
		return nil, re.Explain(r.KeyUsed, err)
	}
	if done {
		j.Skip = place.SkipDone
		return nil, nil
	}
	var like place.Input
	if re.InPlace {
		like = in
	}
	out, err := b.Create(ctx, j, place.CreateOptions{Mode: 0o666, Like: like})
	if err != nil {
		return nil, err
	}
	if err = re.stream(ctx, b, in, out, r); err == nil {
		j.Changed(out) // the new message is all of an earlier one
	}
	if info, statErr := in.Stat(); re.InPlace && statErr == nil && place.HasOtherNames(info) {
		r.Warn("the file has other names (hard links), which keep the old message")
	}
	return out, err
}

// stream decrypts the old message and encrypts the plaintext at once. It
// completes the new message only if all of the old one was verified.
func (re *Reencryption) stream(ctx context.Context, b *batch.Batch, in place.Input, out place.Output, r *batch.Record) error {
	oldConfig, newConfig := re.oldConfig, re.newConfig
	oldConfig.Concurrency, newConfig.Concurrency = b.Concurrency(in), b.Concurrency(in)
	decrypter, err := esdk.New(oldConfig)
	if err != nil {
		return err
	}
	src, err := base64text.Decode(b.Progress.Watch(in), place.CanSeek(in), re.Base64)
	if err != nil {
		return err
	}
	reader, err := decrypter.NewReader(ctx, src, re.reproduced)
	if err != nil {
		return re.explain(r.KeyUsed, err)
	}
	if re.To.FrameLength == 0 {
		// An unframed body has no frame length.
		newConfig.FrameLength = reader.Header().FrameLength
	}
	if re.To.Cache != "" {
		newConfig.MaxPlaintextLength = place.LengthBound(in)
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
	return re.Explain(r.KeyUsed, err)
}

// context returns the encryption context of a new message.
func (re *Reencryption) context(old *esdk.Header, r *batch.Record) esdk.EncryptionContext {
	ec := make(esdk.EncryptionContext)
	maps.Copy(ec, re.reproduced)
	maps.Copy(ec, old.UserContext())
	for _, k := range re.Unset {
		if _, ok := ec[k]; !ok {
			r.Warn("the old message has no pair with the key " + k)
		}
		delete(ec, k)
	}
	maps.Copy(ec, re.set)
	return ec
}
