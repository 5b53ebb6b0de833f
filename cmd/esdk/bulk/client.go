package bulk

import (
	"context"
	"errors"
	"regexp"
	"slices"

	"esdk"
	"esdk/cmd/esdk/internal/audit"
	"esdk/cmd/esdk/internal/batch"
	"esdk/cmd/esdk/internal/keyspec"
	"esdk/cmd/esdk/internal/reencrypt"
	"esdk/cmd/esdk/internal/settings"
	"github.com/spf13/pflag"
)

// CheckRotation parses flags as [OpenRotation] does, without opening keys.
// Flags without an error are fit to be passed to another machine, and others
// may read the text of an error. Both keys must be given; a profile may give
// -k. Values are checked too, except where they depend on a profile of the
// other machine.
func CheckRotation(args []string) error {
	o := &reencrypt.Options{InPlace: true}
	o.From.Keyring, o.To.Keyring = noKeyring{}, noKeyring{}
	keysOf := func() map[string][]string {
		return map[string][]string{settings.KeyFlag: o.To.Keys, "--from-key": o.From.Keys}
	}
	return check("reencrypt", args, o.AddFlags, keysOf, func(s *settings.Settings, flags *pflag.FlagSet) error {
		if len(o.From.Keys) == 0 {
			return errors.New("no key to decrypt with: give --from-key KEY")
		}
		if flags.Changed("profile") || flags.Changed("config") { // the file may be on another machine
			o.From.Required = nil // the profile may have its pairs
			_, err := reencrypt.New(context.Background(), s, o)
			if errors.Is(err, esdk.ErrCommitmentPolicy) && !flags.Changed("commitment") {
				return nil
			}
			return err
		}
		if err := s.ApplyProfile(flags); err != nil {
			return err
		}
		if len(o.To.Keys) == 0 {
			return errors.New("no key to encrypt with: give -k KEY")
		}
		_, err := reencrypt.New(context.Background(), s, o)
		return err
	})
}

// CheckAudit is like [CheckRotation], for the flags of [OpenAudit]. Of --under
// and --not-under it checks only names of keys: the configuration of the other
// machine has the rest.
func CheckAudit(args []string) error {
	o := new(audit.Options)
	o.Open.Keyring = noKeyring{}
	return check("audit", args, o.AddFlags, func() map[string][]string {
		return map[string][]string{settings.KeyFlag: o.Open.Keys}
	}, func(s *settings.Settings, _ *pflag.FlagSet) error {
		o.Under, o.NotUnder = slices.DeleteFunc(o.Under, keyspec.IsKey), slices.DeleteFunc(o.NotUnder, keyspec.IsKey)
		if err := o.Parse(s); err != nil {
			return err
		}
		_, err := audit.New(context.Background(), s, o)
		return err
	})
}

// noKeyring stands for a keyring that the worker makes.
type noKeyring struct{}

var errNoKeyring = errors.New("bulk: no keyring")

func (noKeyring) Wrap(context.Context, *esdk.WrapRequest) (*esdk.WrapResult, error) {
	return nil, errNoKeyring
}

func (noKeyring) Unwrap(context.Context, *esdk.UnwrapRequest) ([]byte, error) {
	return nil, errNoKeyring
}

// HasFilter reports whether flags for [CheckAudit] contain a filter. Without a
// filter, everything matches.
func HasFilter(args []string) (bool, error) {
	o := new(audit.Options)
	if err := check("audit", args, o.AddFlags, func() map[string][]string { return nil }, nil); err != nil {
		return false, err
	}
	return len(o.Under)+len(o.NotUnder)+len(o.Suites) > 0 || !o.Filter.Empty(), nil
}

func check(mode string, args []string, add func(*pflag.FlagSet), keysOf func() map[string][]string, more func(*settings.Settings, *pflag.FlagSet) error) error {
	flags := pflag.NewFlagSet(mode, pflag.ContinueOnError)
	add(flags)
	new(batch.Pace).AddFlags(flags)
	s, err := newSession()
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.parse(flags, args); err != nil {
		return errors.New(s.message(err))
	}
	for flag, keys := range keysOf() {
		for _, key := range keys {
			if !keyspec.IsKey(key) || secretInKey.MatchString(key) {
				return errors.New(flag + " …: unknown kind of key, or one that contains a secret; see \"esdk help keys\"")
			}
		}
	}
	if more == nil {
		return nil
	}
	if err := more(s.settings, flags); err != nil {
		return errors.New(s.message(err))
	}
	return nil
}

// secretInKey matches the attribute for a PIN in a PKCS #11 URI. No key may
// have it.
var secretInKey = regexp.MustCompile(`(?i)pin-value=`)

// A Client encrypts and decrypts with keys that stay open until Close. It is
// safe for concurrent use.
type Client struct {
	*esdk.Client
	*session
}

// OpenClient makes a client from the flags of "esdk encrypt": -k KEY, --suite,
// --unsigned, --commitment, --cache, --config and --profile. The client
// decrypts with the same keys.
func OpenClient(ctx context.Context, flags []string) (*Client, error) {
	s, err := newSession()
	if err != nil {
		return nil, err
	}
	c, err := s.openClient(ctx, flags)
	if err != nil {
		s.Close()
		return nil, errors.New(s.message(err))
	}
	return &Client{c, s}, nil
}

func (s *session) openClient(ctx context.Context, args []string) (*esdk.Client, error) {
	to := settings.Encryption{FrameLength: settings.DefaultFrameLength}
	flags := pflag.NewFlagSet("encrypt", pflag.ContinueOnError)
	flags.StringArrayVarP(&to.Keys, "key", "k", nil, "")
	flags.StringVar(&to.Suite, "suite", "", "")
	flags.BoolVar(&to.Unsigned, "unsigned", false, "")
	settings.AddCommitment(flags, &to.Commitment)
	settings.AddCache(flags, &to.Cache)
	if err := s.parse(flags, args); err != nil {
		return nil, err
	}
	if err := s.settings.ApplyProfile(flags); err != nil {
		return nil, err
	}
	config, _, err := s.settings.EncryptConfig(ctx, &to)
	if err != nil {
		return nil, err
	}
	from, _, err := s.settings.DecryptConfig(ctx, &settings.Decryption{
		Keys: to.Keys, Commitment: to.Commitment, Cache: to.Cache, MaxKeys: settings.DefaultMaxKeys, MaxFrame: settings.DefaultMaxFrame,
	})
	if err != nil {
		return nil, err
	}
	config.CMM = &twoCMMs{config.CMM, from.CMM}
	config.MaxEncryptedDataKeys, config.MaxFrameLength = from.MaxEncryptedDataKeys, from.MaxFrameLength
	return esdk.New(config)
}

// twoCMMs encrypts with one CMM and decrypts with another: an RSA key needs its
// public half for one and its private half for the other.
type twoCMMs struct{ to, from esdk.CMM }

func (t *twoCMMs) EncryptionMaterials(ctx context.Context, req *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
	return t.to.EncryptionMaterials(ctx, req)
}

func (t *twoCMMs) DecryptionMaterials(ctx context.Context, req *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
	return t.from.DecryptionMaterials(ctx, req)
}
