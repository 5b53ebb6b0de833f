package main

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"esdk"
	"esdk/awskms"
	"esdk/cmd/esdk/internal/cli"
	"github.com/BurntSushi/toml"
)

// A config is the configuration file. Keys that it does not know are errors.
type config struct {
	DefaultProfile string               `toml:"default-profile"`
	Keys           map[string]keyConfig `toml:"keys"`
	Profiles       map[string]profile   `toml:"profiles"`

	fields map[string][]string // those of keys that are set, by the name of the key
}

// A keyConfig is a named key. Which fields it has depends on its type.
type keyConfig struct {
	Type       string   `toml:"type"` // one of configuredKinds
	Namespace  string   `toml:"namespace"`
	Name       string   `toml:"name"`
	File       string   `toml:"file"`
	Padding    string   `toml:"padding"`
	Peer       string   `toml:"peer"` // the peer's public key
	Own        string   `toml:"own"`  // one's own private key
	Key        string   `toml:"key"`  // of AWS KMS, or the URL of one of another service
	Partition  string   `toml:"partition"`
	Accounts   []string `toml:"accounts"`
	Region     string   `toml:"region"`
	Table      string   `toml:"table"`
	ID         string   `toml:"id"`
	AWSProfile string   `toml:"aws-profile"`
	URI        string   `toml:"uri"` // of PKCS #11
}

// A configuredKind is a type of named keys: the fields that it needs and those
// that it may have.
type configuredKind struct {
	name             string
	needed, optional []string
	make             func(a *app, ctx context.Context, k *keyConfig, encrypt bool) (esdk.Keyring, error)
}

// configuredKinds are the types of named keys, in the order in which they are
// documented. The text on the command line is to their fields what keyKinds say.
var configuredKinds = []configuredKind{
	{"local", nil, nil, func(a *app, ctx context.Context, _ *keyConfig, encrypt bool) (esdk.Keyring, error) {
		return a.localKeyring(ctx, "", encrypt)
	}},
	{"aes", []string{"namespace", "name", "file"}, nil, func(a *app, _ context.Context, k *keyConfig, _ bool) (esdk.Keyring, error) {
		return a.newAESKeyring(k.Namespace, k.Name, k.File)
	}},
	{"rsa", []string{"namespace", "name", "file"}, []string{"padding"}, func(a *app, _ context.Context, k *keyConfig, encrypt bool) (esdk.Keyring, error) {
		return a.newRSAKeyring(k.Namespace, k.Name, k.File, cmp.Or(k.Padding, defaultPadding), encrypt)
	}},
	{"ecdh", nil, []string{"peer", "own"}, func(a *app, _ context.Context, k *keyConfig, encrypt bool) (esdk.Keyring, error) {
		return a.newECDHKeyring(k.Peer, k.Own, encrypt)
	}},
	{"hpke", []string{"name", "file"}, nil, func(a *app, _ context.Context, k *keyConfig, encrypt bool) (esdk.Keyring, error) {
		return a.newHPKEKeyring(k.Name, k.File, encrypt)
	}},
	{"kms", []string{"key"}, []string{"aws-profile"}, func(a *app, _ context.Context, k *keyConfig, _ bool) (esdk.Keyring, error) {
		return awskms.NewMRKKeyring(a.kms(k.AWSProfile), k.Key)
	}},
	{"kms-discovery", []string{"partition", "accounts"}, []string{"region", "aws-profile"}, func(a *app, _ context.Context, k *keyConfig, encrypt bool) (esdk.Keyring, error) {
		return newKMSDiscoveryKeyring(a.kms(k.AWSProfile), &awskms.Filter{Partition: k.Partition, Accounts: k.Accounts}, k.Region, encrypt)
	}},
	{"kms-rsa", []string{"key"}, []string{"file", "padding", "aws-profile"}, func(a *app, _ context.Context, k *keyConfig, encrypt bool) (esdk.Keyring, error) {
		return a.newKMSRSAKeyring(a.kms(k.AWSProfile), k.Key, k.File, cmp.Or(k.Padding, defaultPadding), encrypt)
	}},
	{"kms-ecdh", []string{"key"}, []string{"peer", "aws-profile"}, func(a *app, ctx context.Context, k *keyConfig, encrypt bool) (esdk.Keyring, error) {
		return a.newKMSECDHKeyring(ctx, a.kms(k.AWSProfile), k.Key, k.Peer, encrypt)
	}},
	{"branch", []string{"id"}, []string{"table", "file", "name", "key", "aws-profile"}, func(a *app, ctx context.Context, k *keyConfig, _ bool) (esdk.Keyring, error) {
		return a.newBranchKeyring(ctx, &storeOptions{table: k.Table, file: k.File, logicalName: k.Name, kmsKey: k.Key, awsProfile: k.AWSProfile}, k.ID)
	}},
	{"pkcs11", []string{"uri"}, []string{"peer"}, func(a *app, ctx context.Context, k *keyConfig, encrypt bool) (esdk.Keyring, error) {
		return a.newPKCS11Keyring(ctx, k.URI, k.Peer, encrypt)
	}},
	{"keyservice", []string{"key"}, nil, func(a *app, ctx context.Context, k *keyConfig, _ bool) (esdk.Keyring, error) {
		return a.newServiceKeyring(ctx, k.Key)
	}},
}

// check refuses fields that a type does not have, and misses those it needs.
func (kind *configuredKind) check(fields []string) error {
	for _, f := range kind.needed {
		if !slices.Contains(fields, f) {
			return cli.UsageError("a key of type %s needs %s", kind.name, f)
		}
	}
	for _, f := range fields {
		if f != "type" && !slices.Contains(kind.needed, f) && !slices.Contains(kind.optional, f) {
			return cli.UsageError("a key of type %s has no %s", kind.name, f)
		}
	}
	return nil
}

// namesOf lists what a configuration has of a kind.
func namesOf[V any](m map[string]V) string {
	return cmp.Or(strings.Join(slices.Sorted(maps.Keys(m)), ", "), "none")
}

// key returns a named key, with its paths resolved.
func (c *config) key(file, name string) (*keyConfig, error) {
	k, ok := c.Keys[name]
	if !ok {
		return nil, cli.UsageError("%s has no key %s", file, cli.Printable(name)).
			WithHint("it has: %s", namesOf(c.Keys))
	}
	// Paths are relative to the configuration, not to where the command runs.
	for _, path := range []*string{&k.File, &k.Peer, &k.Own} {
		*path = expandPath(filepath.Dir(file), *path)
	}
	return &k, nil
}

// configuredKeyring makes the keyring of a named key.
func (a *app) configuredKeyring(ctx context.Context, name string, encrypt bool) (esdk.Keyring, error) {
	c, file, err := a.loadConfig()
	if err != nil {
		return nil, err
	}
	k, err := c.key(file, name)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, kind := range configuredKinds {
		names = append(names, kind.name)
		if kind.name != k.Type {
			continue
		}
		if err := kind.check(c.fields[name]); err != nil {
			return nil, err
		}
		return kind.make(a, ctx, k, encrypt)
	}
	return nil, cli.UsageError("type %q is not one of %s", k.Type, strings.Join(names, ", "))
}

// configPath is that of the configuration file, which need not be there.
func (a *app) configPath() (string, error) {
	if a.configFile != "" {
		return a.configFile, nil
	}
	if file := os.Getenv("ESDK_CONFIG"); file != "" {
		return file, nil
	}
	dir, err := configFolder()
	return filepath.Join(dir, "config.toml"), err
}

// hasConfig reports whether there is a configuration, or one is asked for.
func (a *app) hasConfig() bool {
	if a.configFile != "" {
		return true
	}
	file, err := a.configPath()
	if err != nil {
		return false // as where there is no home folder
	}
	_, err = os.Stat(file)
	return err == nil
}

// loadConfig reads the configuration file, which is never looked for in the
// current folder.
func (a *app) loadConfig() (*config, string, error) {
	file, err := a.configPath()
	if err != nil {
		return nil, "", err
	}
	c := new(config)
	meta, err := toml.DecodeFile(file, c)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", cli.UsageError("there is no configuration file %s", file).WithHint("\"esdk help config\" shows one")
	}
	if err != nil {
		return nil, "", cli.UsageError("%s: %v", file, err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, "", cli.UsageError("%s: unknown key %s", file, unknown[0])
	}
	c.fields = make(map[string][]string)
	for _, key := range meta.Keys() {
		if len(key) == 3 && key[0] == "keys" {
			c.fields[key[1]] = append(c.fields[key[1]], key[2])
		}
	}
	return c, file, a.registerSecret(file)
}

// registerSecret has a file never be overwritten.
func (a *app) registerSecret(file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return cli.Errorf("configuration: %w", err)
	}
	a.secrets = append(a.secrets, info)
	return nil
}

// expandPath resolves a path of the configuration: ~/ is the home folder, and
// what is relative starts at the configuration's folder.
func expandPath(dir, name string) string {
	if rest, ok := strings.CutPrefix(name, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}
