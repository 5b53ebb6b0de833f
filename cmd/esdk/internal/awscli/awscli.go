// Package awscli parses the command line of aws-encryption-cli 4.3.0 into a
// struct. It knows the grammar of that program, but not the operations.
//
// The grammar is Python's argparse as the program uses it, except that
// abbreviated options are rejected.
package awscli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Actions.
const (
	Encrypt         = "encrypt"
	Decrypt         = "decrypt"
	DecryptUnsigned = "decrypt-unsigned"
)

// Algorithms are the values of --algorithm.
var Algorithms = []string{
	"AES_128_GCM_IV12_TAG16",
	"AES_192_GCM_IV12_TAG16",
	"AES_256_GCM_IV12_TAG16",
	"AES_128_GCM_IV12_TAG16_HKDF_SHA256",
	"AES_192_GCM_IV12_TAG16_HKDF_SHA256",
	"AES_256_GCM_IV12_TAG16_HKDF_SHA256",
	"AES_128_GCM_IV12_TAG16_HKDF_SHA256_ECDSA_P256",
	"AES_192_GCM_IV12_TAG16_HKDF_SHA384_ECDSA_P384",
	"AES_256_GCM_IV12_TAG16_HKDF_SHA384_ECDSA_P384",
	"AES_256_GCM_HKDF_SHA512_COMMIT_KEY",
	"AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384",
}

// Policies are the values of --commitment-policy, the default first.
var Policies = []string{"require-encrypt-require-decrypt", "require-encrypt-allow-decrypt", "forbid-encrypt-allow-decrypt"}

// Args are the parsed arguments. If Help or Version is set, nothing else is.
type Args struct {
	Help, Version bool

	Action        string // Encrypt, Decrypt or DecryptUnsigned
	Input, Output string // "-" is standard input and output
	Recursive     bool
	Suffix        *string // nil if there is no --suffix

	Interactive, NoOverwrite bool

	SuppressMetadata  bool
	MetadataOutput    string
	OverwriteMetadata bool

	WrappingKeys []WrappingKeys // at least one
	Context      []string       // KEY=VALUE or, to decrypt, KEY; no key twice

	Algorithm        string // "" for the default
	CommitmentPolicy string // one of Policies

	FrameLength, MaxLength, MaxEncryptedDataKeys *int64 // nil if not given

	Caching        *Caching
	Buffer         bool
	Encode, Decode bool
	Verbosity      int
	Quiet          bool
}

// An arity is the number of values that an option takes.
type arity int

const (
	none arity = iota
	one
	optional
	many // at least one
)

// An option is an option of the program with its setter.
type option struct {
	long  string // without the dashes
	short string // its letters
	arity arity
	once  bool // a second use is an error
	set   func(*parser, []string) error
}

// options returns all documented options of the program. It's a function, since
// a variable would refer to itself through the setters.
func options() []option {
	return []option{
		{long: "help", short: "h", set: flag(func(a *Args) *bool { return &a.Help })},
		{long: "version", set: flag(func(a *Args) *bool { return &a.Version })},
		{long: "encrypt", short: "e", set: action(Encrypt)},
		{long: "decrypt", short: "d", set: action(Decrypt)},
		{long: "decrypt-unsigned", set: action(DecryptUnsigned)},
		{long: "suppress-metadata", short: "S", set: flag(func(a *Args) *bool { return &a.SuppressMetadata })},
		{long: "metadata-output", arity: one, set: (*parser).setMetadataOutput},
		{long: "overwrite-metadata", set: flag(func(a *Args) *bool { return &a.OverwriteMetadata })},
		{long: "wrapping-keys", short: "w", arity: many, set: (*parser).addWrappingKeys},
		{long: "commitment-policy", arity: one, set: choice(Policies, func(a *Args) *string { return &a.CommitmentPolicy })},
		{long: "caching", arity: many, once: true, set: (*parser).setCaching},
		{long: "buffer", short: "b", set: flag(func(a *Args) *bool { return &a.Buffer })},
		{long: "input", short: "i", arity: one, once: true, set: text(func(a *Args) *string { return &a.Input })},
		{long: "output", short: "o", arity: one, once: true, set: text(func(a *Args) *string { return &a.Output })},
		{long: "encode", set: flag(func(a *Args) *bool { return &a.Encode })},
		{long: "decode", set: flag(func(a *Args) *bool { return &a.Decode })},
		{long: "encryption-context", short: "c", arity: many, once: true, set: (*parser).setContext},
		{long: "algorithm", arity: one, once: true, set: choice(Algorithms, func(a *Args) *string { return &a.Algorithm })},
		{long: "frame-length", arity: one, once: true, set: number(func(a *Args) **int64 { return &a.FrameLength })},
		{long: "max-length", arity: one, once: true, set: number(func(a *Args) **int64 { return &a.MaxLength })},
		{long: "max-encrypted-data-keys", arity: one, once: true, set: number(func(a *Args) **int64 { return &a.MaxEncryptedDataKeys })},
		{long: "suffix", arity: optional, once: true, set: (*parser).setSuffix},
		{long: "interactive", set: flag(func(a *Args) *bool { return &a.Interactive })},
		{long: "no-overwrite", set: flag(func(a *Args) *bool { return &a.NoOverwrite })},
		{long: "recursive", short: "rR", set: flag(func(a *Args) *bool { return &a.Recursive })},
		{short: "v", set: (*parser).addVerbosity},
		{long: "quiet", short: "q", set: flag(func(a *Args) *bool { return &a.Quiet })},
	}
}

func flag(field func(*Args) *bool) func(*parser, []string) error {
	return func(p *parser, _ []string) error {
		*field(&p.result) = true
		return nil
	}
}

func text(field func(*Args) *string) func(*parser, []string) error {
	return func(p *parser, values []string) error {
		*field(&p.result) = values[0]
		return nil
	}
}

func choice(choices []string, field func(*Args) *string) func(*parser, []string) error {
	return func(p *parser, values []string) error {
		if !slices.Contains(choices, values[0]) {
			return fmt.Errorf("%q is not one of %s", values[0], strings.Join(choices, ", "))
		}
		*field(&p.result) = values[0]
		return nil
	}
}

func number(field func(*Args) **int64) func(*parser, []string) error {
	return func(p *parser, values []string) error {
		n, err := strconv.ParseInt(strings.TrimSpace(values[0]), 10, 64)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", values[0])
		}
		*field(&p.result) = &n
		return nil
	}
}

func action(name string) func(*parser, []string) error {
	return func(p *parser, _ []string) error {
		if p.result.Action != "" && p.result.Action != name {
			return fmt.Errorf("contradicts --%s", p.result.Action)
		}
		p.result.Action = name
		return nil
	}
}

func (p *parser) setMetadataOutput(values []string) error {
	if values[0] == "" {
		return errors.New("the name is empty")
	}
	p.result.MetadataOutput = values[0]
	return nil
}

func (p *parser) setSuffix(values []string) error {
	suffix := strings.Join(values, "")
	p.result.Suffix = &suffix
	return nil
}

func (p *parser) addVerbosity([]string) error {
	p.result.Verbosity++
	return nil
}

// check rejects missing arguments, and arguments that don't apply to the
// action.
func (p *parser) check() error {
	a := &p.result
	var missing []string
	for _, need := range []struct {
		there bool
		name  string
	}{
		{a.Action != "", "one of --encrypt, --decrypt, --decrypt-unsigned and --version"},
		{a.SuppressMetadata || a.MetadataOutput != "", "one of --suppress-metadata and --metadata-output"},
		{len(p.keys) > 0, "--wrapping-keys"},
		{p.seen["input"], "--input"},
		{p.seen["output"], "--output"},
	} {
		if !need.there {
			missing = append(missing, need.name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("missing: %s", strings.Join(missing, "; "))
	}
	if a.SuppressMetadata && a.MetadataOutput != "" {
		return errors.New("--suppress-metadata contradicts --metadata-output")
	}
	if a.CommitmentPolicy == "" {
		a.CommitmentPolicy = Policies[0]
	}
	for _, pairs := range p.keys {
		group, err := newWrappingKeys(pairs, a.Action)
		if err != nil {
			return fmt.Errorf("--wrapping-keys: %w", err)
		}
		a.WrappingKeys = append(a.WrappingKeys, group)
	}
	if a.Action == Encrypt {
		for _, pair := range a.Context {
			if !strings.Contains(pair, "=") {
				return fmt.Errorf("--encryption-context: %q is not KEY=VALUE", pair)
			}
		}
	}
	return nil
}
