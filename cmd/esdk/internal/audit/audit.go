package audit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"

	"esdk"
	"esdk/cmd/esdk/internal/batch"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/object"
	"esdk/cmd/esdk/internal/place"
	"esdk/cmd/esdk/internal/settings"
	"github.com/spf13/pflag"
)

// Options are the options of an audit: filters, and keys to open messages with.
type Options struct {
	Open   settings.Decryption // with the keys of -k
	Filter Filter
	Values bool // findings include values of encryption contexts

	Under, NotUnder, Suites []string // as given, for the filter

	flags *pflag.FlagSet
}

// AddFlags adds the flags for keys and filters, but not those for inputs and
// outputs.
func (o *Options) AddFlags(flags *pflag.FlagSet) {
	o.flags = flags
	flags.StringArrayVarP(&o.Open.Keys, "key", "k", nil, "`KEY` to open messages with, and verify their headers; repeat it to try several (see \"esdk help keys\")")
	flags.StringArrayVarP(&o.Open.Pairs, "context", "c", nil, "with -k, `KEY[=VALUE]` that the encryption context must have to open a message; repeatable")
	flags.StringArrayVar(&o.Open.Required, "require-context", nil, "with -k, messages do not store the pair of this `KEY`, so take it from -c; repeatable")
	flags.IntVar(&o.Open.MaxKeys, "max-keys", settings.DefaultMaxKeys, "with -k, do not open messages with more than this `NUMBER` of encrypted data keys; 0 means no limit")
	flags.StringArrayVar(&o.Under, "under", nil, "list messages with a data key under this `KEY`; repeat it to match any of several")
	flags.StringArrayVar(&o.NotUnder, "not-under", nil, "list messages without a data key under this `KEY`; repeat it to exclude several")
	flags.StringArrayVar(&o.Suites, "suite", nil, "list messages of this algorithm `SUITE`, a name, or an ID such as 0x0578; repeat it to match any of several")
	flags.BoolVar(&o.Filter.Uncommitted, "uncommitted", false, "list messages of suites without key commitment")
	flags.BoolVar(&o.Filter.Unsigned, "unsigned", false, "list messages without a signature")
	flags.BoolVar(&o.Filter.Unopened, "unopened", false, "list messages that no -k opens")
	flags.BoolVar(&o.Filter.NET400, "net-4.0.0", false, "list messages that a -k opens only as messages of version 4.0.0 of the .NET SDK")
	flags.BoolVar(&o.Filter.NotAMessage, "not-a-message", false, "also list inputs that are not messages, or have a broken header; alone, list only those")
	flags.BoolVar(&o.Values, "context-values", false, "show the values of encryption contexts, not only their keys")
}

func (o *Options) check() error {
	switch {
	case !o.WithKeys() && (o.Filter.Unopened || o.Filter.NET400):
		return cli.UsageError("--unopened and --net-4.0.0 need -k KEY")
	case !o.WithKeys() && (len(o.Open.Pairs)+len(o.Open.Required) > 0 || o.flags.Changed("max-keys")):
		return cli.UsageError("-c, --require-context and --max-keys need -k KEY")
	}
	return o.Filter.Check()
}

// WithKeys reports whether messages are opened.
func (o *Options) WithKeys() bool { return len(o.Open.Keys) > 0 }

// Parse makes the filter from the options, and rejects contradictions. It opens
// no key.
func (o *Options) Parse(s *settings.Settings) error {
	for flag, list := range map[string]struct {
		texts    []string
		patterns *[]Pattern
	}{"--under": {o.Under, &o.Filter.Under}, "--not-under": {o.NotUnder, &o.Filter.NotUnder}} {
		for _, text := range list.texts {
			name, err := s.Keys.MessageName(text)
			if err = cmp.Or(err, checkName(name)); err != nil {
				return cli.Hinted(cli.WithCode(cli.ExitUsage, cli.Errorf("%s %w", flag, err)), "%s", cli.Hint(err))
			}
			*list.patterns = append(*list.patterns, Pattern(name))
		}
	}
	for _, text := range o.Suites {
		id, err := s.Names.ParseSuite(text)
		if err != nil {
			return err
		}
		o.Filter.Suites = append(o.Filter.Suites, id)
	}
	return o.check()
}

// checkName rejects an input in place of a key: the KEY before it is missing,
// for example because a variable isn't set.
func checkName(name string) error {
	if object.IsURL(name) {
		return cli.UsageError("%s is an input, not a key", cli.Printable(Shown(name)))
	}
	return nil
}

// An Audit is the state that all jobs of a run share. It is safe for concurrent
// use.
type Audit struct {
	Reader
	*settings.Settings
	*Options
	opening *esdk.Config // nil without keys
	context esdk.EncryptionContext
}

// New opens the keys. The options must have been parsed.
func New(ctx context.Context, s *settings.Settings, o *Options) (*Audit, error) {
	a := &Audit{Settings: s, Options: o}
	if !o.WithKeys() {
		return a, nil
	}
	o.Open.Commitment = "require-encrypt-allow-decrypt"
	config, ec, err := s.DecryptConfig(ctx, &o.Open)
	a.opening, a.context = &config, ec
	return a, err
}

// Summary returns an empty summary.
func (a *Audit) Summary() *Summary { return NewSummary(a.WithKeys(), a.Filter.Under...) }

// Job audits an input. It is the work of a batch.
func (a *Audit) Job(ctx context.Context, j *place.Job, r *batch.Record) (place.Output, error) {
	f := NewFinding(j.Given(), j.Source.Name())
	r.Found = f
	in, err := j.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	var unasked error
	size, err := a.Read(in, func(m *Message) error {
		f.SetHeader(m.Header, a.Values)
		f.Base64 = m.Base64
		f.Under = slices.DeleteFunc(slices.Clone(a.Filter.Under), func(p Pattern) bool { return !p.MatchAny(m.Header) })
		if unasked = a.verify(ctx, m, f, r); unasked != nil {
			return unasked
		}
		f.Matches = a.Filter.Match(m.Header, f.Verification)
		return nil
	})
	f.SetSize(size)
	if unasked != nil || fails(err) {
		return nil, cmp.Or(unasked, err)
	}
	if err != nil {
		f.SetError(err)
		f.Matches = a.Filter.MatchOther(f.Kind)
	}
	return nil, nil
}

// Found returns the finding of a finished input, which may have failed. The
// arguments given and name are as for [NewFinding].
func Found(r *batch.Record, given, name string, err error) *Finding {
	f, ok := r.Found.(*Finding)
	if !ok {
		f = NewFinding(given, name)
	}
	if err != nil {
		f.SetFailed(err)
	}
	return f
}

// verify opens a message with the keys, if there are any. It returns an error
// if a key service didn't decide whether its key opens the message. The
// decision itself is not an error.
func (a *Audit) verify(ctx context.Context, m *Message, f *Finding, r *batch.Record) error {
	if a.opening == nil {
		return nil
	}
	header, err := a.openHeader(ctx, m, false)
	v := &Verification{}
	if errors.Is(err, esdk.ErrAuthentication) && !errors.Is(err, esdk.ErrNoDataKey) {
		if again, againErr := a.openHeader(ctx, m, true); againErr == nil {
			header, err, v.NET400 = again, nil, true
		} else if cli.Unasked(againErr) != nil {
			err = againErr
		}
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case cli.Unasked(err) != nil:
		return cli.Unasked(err)
	case err == nil:
		v.Opened, v.KeyUsed, f.Authenticated = true, r.KeyUsed, true
		f.SetRequired(header.RequiredContextKeys)
	default:
		v.Error, v.ErrorKind = cli.Message(err), cli.Kind(err)
		if a.Keys.Guessed(r.KeyUsed) { // the message may be under another key
			v.ErrorKind = cli.Kind(esdk.ErrNoDataKey)
		}
	}
	f.Verification = v
	return nil
}

func (a *Audit) openHeader(ctx context.Context, m *Message, net400 bool) (*esdk.Header, error) {
	config := *a.opening
	config.RecoverNET400 = net400
	client, err := esdk.New(config)
	if err != nil {
		return nil, err
	}
	reader, err := client.NewReader(ctx, bytes.NewReader(m.Start), a.context)
	if err != nil {
		return nil, err
	}
	return reader.Header(), nil
}
