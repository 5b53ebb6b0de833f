// Package settings makes configurations of the library from a command line and
// a profile.
package settings

import (
	"cmp"
	"context"
	"errors"
	"math"

	"esdk"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/keyspec"
)

// Limits that the library leaves to its user.
const (
	DefaultMaxKeys  = 32
	DefaultMaxFrame = 64 << 20
)

// DefaultFrameLength is the library's default in bytes, shown in the help.
const DefaultFrameLength = 4096

// KeyFlag is the flag for keys, as users type it.
const KeyFlag = "-k"

// The help texts of -k.
const (
	EncryptKeyUsage = "`KEY` to encrypt under; repeat it for several, any one of which decrypts" + seeKeys
	DecryptKeyUsage = "`KEY` to decrypt with; repeat it to try several" + seeKeys

	seeKeys = ` (see "esdk help keys")`
)

// Settings hold the state that all configurations of a command line share. They
// are not safe for concurrent use, but the configurations that they make are.
type Settings struct {
	UI   *cli.UI
	Keys *keyspec.Keys

	// Names are the names of the options of this command line.
	Names *Names

	// Profile is nil if no profile is used.
	Profile *Profile
}

// Encryption holds the options for encrypting.
type Encryption struct {
	Context
	Keys        []string
	Keyring     esdk.Keyring // used instead of Keys, if set
	Suite       string
	Unsigned    bool
	Commitment  string
	FrameLength int64
	MaxKeys     int
	Cache       string
}

// EncryptConfig returns a configuration that encrypts, and the encryption
// context.
func (s *Settings) EncryptConfig(ctx context.Context, o *Encryption) (config esdk.Config, ec esdk.EncryptionContext, err error) {
	ec, bare, err := o.Parse()
	if err != nil {
		return config, nil, err
	}
	if len(bare) > 0 {
		return config, nil, cli.UsageError("-c %s: must be KEY=VALUE; a value may be empty", cli.Printable(bare[0]))
	}
	for k := range ec {
		if IsReserved(k) {
			return config, nil, cli.UsageError("-c: key %q is reserved", k)
		}
	}
	if o.FrameLength < 1 || o.FrameLength > math.MaxUint32 {
		return config, nil, cli.UsageError("--frame-length %d: must be 1 to 4294967295", o.FrameLength)
	}
	if o.FrameLength > DefaultMaxFrame {
		s.UI.Note("frames have more than %d MiB: to decrypt them, esdk needs %s", DefaultMaxFrame>>20, s.Names.MaxFrame)
	}
	if o.MaxKeys < 0 {
		return config, nil, cli.UsageError("%s %d: must be at least 1, or 0 for no limit", s.Names.MaxKeys, o.MaxKeys)
	}
	policy, err := s.Names.parsePolicy(o.Commitment)
	if err != nil {
		return config, nil, err
	}
	suiteID, err := s.Names.parseSuite(o.Suite, o.Unsigned, policy)
	if err != nil {
		return config, nil, err
	}
	cmm, err := s.cmm(ctx, &o.Context, ec, nil, keySource{KeyFlag, o.Keys, o.Keyring, true}, o.Cache)
	if err != nil {
		return config, nil, err
	}
	config = esdk.Config{
		CMM:                  cmm,
		CommitmentPolicy:     policy,
		Suite:                suiteID,
		FrameLength:          uint32(o.FrameLength),
		MaxEncryptedDataKeys: o.MaxKeys,
	}
	_, err = esdk.New(config) // report contradicting options before any work
	return config, ec, err
}

// Decryption holds the options for decrypting.
type Decryption struct {
	Context
	Keys       []string
	KeyFlag    string       // the flag that gave Keys, or "" for -k
	Keyring    esdk.Keyring // used instead of Keys, if set
	Commitment string
	MaxKeys    int
	MaxFrame   int64
	NET400     bool
	Cache      string
}

// DecryptConfig returns a configuration that decrypts, and the encryption
// context that messages must have.
func (s *Settings) DecryptConfig(ctx context.Context, o *Decryption) (config esdk.Config, ec esdk.EncryptionContext, err error) {
	ec, present, err := o.Parse()
	if err != nil {
		return config, nil, err
	}
	if o.MaxKeys < 0 || o.MaxFrame < 0 || o.MaxFrame > 1<<32-1 {
		return config, nil, cli.UsageError("%s and %s must not be negative, and a frame has less than 4 GiB", s.Names.MaxKeys, s.Names.MaxFrame)
	}
	policy, err := s.Names.parsePolicy(o.Commitment)
	if err != nil {
		return config, nil, err
	}
	cmm, err := s.cmm(ctx, &o.Context, ec, present, keySource{cmp.Or(o.KeyFlag, KeyFlag), o.Keys, o.Keyring, false}, o.Cache)
	return esdk.Config{
		CMM:                  cmm,
		CommitmentPolicy:     policy,
		MaxEncryptedDataKeys: o.MaxKeys,
		MaxFrameLength:       uint32(o.MaxFrame),
		RecoverNET400:        o.NET400,
	}, ec, err
}

// keySource is the source of a keyring: the keyring itself if it's set, or else
// the keys of a flag.
type keySource struct {
	flag    string
	keys    []string
	keyring esdk.Keyring
	encrypt bool
}

// cmm adds the checks of the flags to a keyring, and a cache if one is
// configured.
func (s *Settings) cmm(ctx context.Context, f *Context, ec esdk.EncryptionContext, present []string, from keySource, cache string) (esdk.CMM, error) {
	kr := from.keyring
	if kr == nil {
		var err error
		if kr, err = s.Keys.Keyring(ctx, from.flag, from.keys, from.encrypt); err != nil {
			return nil, s.Profile.blameKeys(from.flag, err)
		}
	}
	cmm, err := s.wrap(f, kr, ec, present)
	if err != nil {
		return nil, err
	}
	return s.Names.withCache(ctx, cmm, cache)
}

// Explain adds a hint to an error. The key keyUsed is the one that decrypted
// the message, or "" if unknown. A wrong key with PKCS #1 v1.5 padding decrypts
// to a random data key, which fails like a modified message.
func (s *Settings) Explain(keyUsed string, err error) error {
	if (errors.Is(err, esdk.ErrCommitment) || errors.Is(err, esdk.ErrAuthentication)) && s.Keys.Guessed(keyUsed) {
		return cli.Hinted(err, "or %s is the wrong key or padding, which PKCS #1 v1.5 may not detect", cli.Printable(keyUsed))
	}
	if errors.Is(err, esdk.ErrLimit) && cli.Hint(err) == "" {
		return cli.Hinted(err, "to raise the limits, use %s and %s", s.Names.MaxKeys, s.Names.MaxFrame)
	}
	return err
}
