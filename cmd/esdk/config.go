package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"esdk"
	"github.com/BurntSushi/toml"
)

// A config is the configuration file. Keys that it does not know are errors.
type config struct {
	Keys map[string]keyConfig `toml:"keys"`
}

// A keyConfig is a named key. Which fields it has depends on its type.
type keyConfig struct {
	Type      string `toml:"type"` // local, aes, rsa or ecdh
	Namespace string `toml:"namespace"`
	Name      string `toml:"name"`
	File      string `toml:"file"`    // aes, rsa
	Padding   string `toml:"padding"` // rsa
	Peer      string `toml:"peer"`    // ecdh: the peer's public key
	Own       string `toml:"own"`     // ecdh: one's own private key
}

// fields lists the fields that are set, but for the type.
func (k *keyConfig) fields() []string {
	var set []string
	for name, value := range map[string]string{
		"namespace": k.Namespace, "name": k.Name, "file": k.File, "padding": k.Padding, "peer": k.Peer, "own": k.Own,
	} {
		if value != "" {
			set = append(set, name)
		}
	}
	return set
}

// check refuses fields that a type does not have, and misses those it needs.
func (k *keyConfig) check(needed, optional []string) error {
	set := k.fields()
	for _, f := range needed {
		if !slices.Contains(set, f) {
			return usageError("a key of type %s needs %s", k.Type, f)
		}
	}
	for _, f := range set {
		if !slices.Contains(needed, f) && !slices.Contains(optional, f) {
			return usageError("a key of type %s has no %s", k.Type, f)
		}
	}
	return nil
}

// configuredKeyring makes the keyring of a named key.
func (a *app) configuredKeyring(ctx context.Context, name string, encrypt bool) (esdk.Keyring, error) {
	c, file, err := a.loadConfig()
	if err != nil {
		return nil, err
	}
	k, ok := c.Keys[name]
	if !ok {
		return nil, usageError("%s has no key of this name", file).
			withHint("it has: %s", strings.Join(slices.Sorted(maps.Keys(c.Keys)), ", "))
	}
	// Paths are relative to the configuration, not to where the command runs.
	path := func(name string) string { return expandPath(filepath.Dir(file), name) }
	switch k.Type {
	case "local":
		if err := k.check(nil, nil); err != nil {
			return nil, err
		}
		return a.localKeyring(ctx, "", encrypt)
	case "aes":
		if err := k.check([]string{"namespace", "name", "file"}, nil); err != nil {
			return nil, err
		}
		return a.newAESKeyring(k.Namespace, k.Name, path(k.File))
	case "rsa":
		if err := k.check([]string{"namespace", "name", "file"}, []string{"padding"}); err != nil {
			return nil, err
		}
		if k.Padding == "" {
			k.Padding = defaultPadding
		}
		return a.newRSAKeyring(k.Namespace, k.Name, path(k.File), k.Padding, encrypt)
	case "ecdh":
		if err := k.check(nil, []string{"peer", "own"}); err != nil {
			return nil, err
		}
		return a.newECDHKeyring(path(k.Peer), path(k.Own), encrypt)
	}
	return nil, usageError("type %q is not one of local, aes, rsa, ecdh", k.Type)
}

// loadConfig reads the configuration file, which is never looked for in the
// current folder.
func (a *app) loadConfig() (*config, string, error) {
	file := a.configFile
	if file == "" {
		file = os.Getenv("ESDK_CONFIG")
	}
	if file == "" {
		dir, err := configFolder()
		if err != nil {
			return nil, "", err
		}
		file = filepath.Join(dir, "config.toml")
	}
	c := new(config)
	meta, err := toml.DecodeFile(file, c)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", usageError("there is no configuration file %s", file).withHint("\"esdk help config\" shows one")
	}
	if err != nil {
		return nil, "", usageError("%s: %v", file, err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, "", usageError("%s: unknown key %s", file, unknown[0])
	}
	return c, file, a.registerSecret(file)
}

// registerSecret has a file never be overwritten.
func (a *app) registerSecret(file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
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
