package keyspec

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"esdk"
	"esdk/cmd/esdk/internal/cli"
	"github.com/BurntSushi/toml"
)

// A Config is the configuration file. Unknown keys in it are errors.
type Config struct {
	DefaultProfile string               `toml:"default-profile"`
	Keys           map[string]KeyConfig `toml:"keys"`
	Profiles       map[string]Profile   `toml:"profiles"`

	Fields map[string][]string `toml:"-"` // the fields that are set for each key, by its name
}

// A KeyConfig is a named key. Its type determines which fields it has.
type KeyConfig struct {
	Type       string   `toml:"type"` // the name of a kind
	Namespace  string   `toml:"namespace"`
	Name       string   `toml:"name"`
	File       string   `toml:"file"`
	Format     string   `toml:"format"` // of an AES key file
	Padding    string   `toml:"padding"`
	Peer       string   `toml:"peer"`   // the peer's public key
	Own        string   `toml:"own"`    // the user's own private key
	Key        string   `toml:"key"`    // of AWS KMS, or the URL of another service's key
	Former     []string `toml:"former"` // AWS KMS keys that branch keys may still be under
	Partition  string   `toml:"partition"`
	Accounts   []string `toml:"accounts"`
	Region     string   `toml:"region"`
	Table      string   `toml:"table"`
	ID         string   `toml:"id"`
	AWSProfile string   `toml:"aws-profile"`
	URI        string   `toml:"uri"` // of PKCS #11

	PassphraseFile string `toml:"passphrase-file"` // of a private key
}

// empty returns the names of the fields that have no value or contain an empty
// one.
func (k *KeyConfig) empty() (names []string) {
	v := reflect.ValueOf(k).Elem()
	for i := range v.NumField() {
		list, isList := v.Field(i).Interface().([]string)
		if v.Field(i).IsZero() || isList && (len(list) == 0 || slices.Contains(list, "")) {
			names = append(names, v.Type().Field(i).Tag.Get("toml"))
		}
	}
	return names
}

// check returns an error for fields that the type doesn't have, for missing
// fields that it needs, and for empty fields.
func (kind *kind) check(k *KeyConfig, fields []string) error {
	for _, f := range kind.needed {
		if !slices.Contains(fields, f) {
			return cli.UsageError("a key of type %s needs %s", kind.name, f)
		}
	}
	empty := k.empty()
	for _, f := range fields {
		if slices.Contains(empty, f) {
			return cli.UsageError("%s is empty", f)
		}
		if f != "type" && !slices.Contains(kind.needed, f) && !slices.Contains(kind.optional, f) {
			return cli.UsageError("a key of type %s does not take %s", kind.name, f)
		}
	}
	return nil
}

// NamesOf lists the names of a configuration's keys or profiles.
func NamesOf[V any](m map[string]V) string {
	return cmp.Or(strings.Join(slices.Sorted(maps.Keys(m)), ", "), "none")
}

var errNoName = cli.UsageError("the name of the key is empty")

// Key returns a named key with its paths resolved.
func (c *Config) Key(file, name string) (*KeyConfig, error) {
	if name == "" {
		return nil, errNoName
	}
	k, ok := c.Keys[name]
	if trimmed := strings.TrimSpace(name); !ok && trimmed != name {
		return nil, spaceError("@" + name)
	}
	if !ok {
		return nil, cli.UsageError("%s has no key %s", file, cli.Printable(name)).
			WithHint("defined keys: %s", NamesOf(c.Keys))
	}
	// Paths are relative to the configuration, not to the working directory.
	for _, path := range []*string{&k.File, &k.Peer, &k.Own, &k.PassphraseFile} {
		expanded, err := expandPath(filepath.Dir(file), *path)
		if err != nil {
			return nil, err
		}
		*path = expanded
	}
	return &k, nil
}

// configuredKeyring makes the keyring of a named key.
func (ks *Keys) configuredKeyring(ctx context.Context, name string, encrypt bool) (esdk.Keyring, error) {
	if name == "" {
		return nil, errNoName
	}
	c, file, err := ks.LoadConfig()
	if err != nil {
		return nil, err
	}
	k, err := c.Key(file, name)
	if err != nil {
		return nil, err
	}
	kind, err := c.kind(name)
	if err != nil {
		return nil, err
	}
	return kind.configured(ks, ctx, k, encrypt)
}

// kind returns the kind of a named key, and checks the key's fields.
func (c *Config) kind(name string) (*kind, error) {
	k := c.Keys[name]
	var names []string
	for _, kind := range kinds() {
		switch kind.name {
		case "":
		case k.Type:
			return &kind, kind.check(&k, c.Fields[name])
		default:
			names = append(names, kind.name)
		}
	}
	return nil, cli.UsageError("type %q is not one of %s", k.Type, strings.Join(names, ", "))
}

// Check returns an error if a named key isn't valid. It looks only at the
// configuration.
func (c *Config) Check(name string) error {
	_, err := c.kind(name)
	return err
}

// configPath returns the path of the configuration file. If named is true, the
// user has given it, so it must exist.
func (ks *Keys) configPath() (file string, named bool, err error) {
	if ks.ConfigFile != "" {
		return ks.ConfigFile, true, nil
	}
	if file := os.Getenv("ESDK_CONFIG"); file != "" {
		return file, true, nil
	}
	dir, err := newConfigDir()
	if err != nil {
		return "", false, err
	}
	return filepath.Join(dir.path(), configFile), false, nil
}

// CheckNamed returns an error if the command line names a configuration file
// that doesn't exist, even if nothing in it is needed.
func (ks *Keys) CheckNamed() error {
	if ks.ConfigFile == "" {
		return nil
	}
	_, err := os.Stat(ks.ConfigFile)
	return cli.NamedFile("--config", err)
}

// HasConfig reports whether a configuration exists or is requested. An
// unreadable one counts, so that LoadConfig reports why.
func (ks *Keys) HasConfig() bool {
	file, named, err := ks.configPath()
	if err != nil || named {
		return named // there may be no home directory
	}
	_, err = os.Stat(file)
	return !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR)
}

// LoadConfig reads the configuration file. It never looks for it in the working
// directory.
func (ks *Keys) LoadConfig() (*Config, string, error) {
	file, _, err := ks.configPath()
	if err != nil {
		return nil, "", err
	}
	c := new(Config)
	text, err := readFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", cli.UsageError("configuration file %s does not exist", file).WithHint("see \"esdk help config\"")
	}
	if err != nil {
		return nil, "", cli.UsageError("%s: %w", file, err)
	}
	meta, err := toml.Decode(string(text), c)
	if err != nil {
		return nil, "", cli.UsageError("%s: %v", file, err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, "", cli.UsageError("%s: unknown field %s", file, unknown[0])
	}
	if err := c.checkNames(meta); err != nil {
		return nil, "", cli.UsageError("%s: %w", file, err)
	}
	c.Fields = make(map[string][]string)
	for _, key := range meta.Keys() {
		if len(key) == 3 && key[0] == "keys" {
			c.Fields[key[1]] = append(c.Fields[key[1]], key[2])
		}
	}
	ks.protectNamed(c, file)
	return c, file, ks.registerSecret(file)
}

// protectNamed protects the files of all named keys from being overwritten,
// including keys that the command line doesn't use.
func (ks *Keys) protectNamed(c *Config, file string) {
	for _, k := range c.Keys {
		for _, name := range append(uriFiles(k.URI), k.File, k.Peer, k.Own, k.PassphraseFile) {
			if path, err := expandPath(filepath.Dir(file), name); err == nil && path != "" {
				ks.Protected.AddPath(path)
			}
		}
	}
}

// uriFile matches an attribute of a PKCS #11 URI that names a file.
var uriFile = regexp.MustCompile(`[?&](?:pin-source|module-path|peer)=([^&]*)`)

// uriFiles returns the files in a PKCS #11 URI, even if the URI is unusable.
func uriFiles(uri string) (names []string) {
	for _, attribute := range uriFile.FindAllStringSubmatch(uri, -1) {
		if name, err := url.PathUnescape(strings.TrimPrefix(attribute[1], "file:")); err == nil {
			names = append(names, name)
		}
	}
	return names
}

// ProtectOwn protects the local key and the default configuration from being
// overwritten by a command that doesn't name them.
func (ks *Keys) ProtectOwn() {
	if dir, err := newConfigDir(); err == nil {
		ks.Protected.AddPath(filepath.Join(dir.path(), localKeyFile))
		ks.Protected.AddPath(filepath.Join(dir.path(), configFile))
	}
}

// The files in the user's configuration directory.
const (
	localKeyFile = "local.key"
	configFile   = "config.toml"
)

func (c *Config) checkNames(meta toml.MetaData) error {
	if _, ok := c.Keys[""]; ok {
		return errors.New("the name of a key is empty")
	}
	if _, ok := c.Profiles[""]; ok {
		return errors.New("the name of a profile is empty")
	}
	if c.DefaultProfile == "" && meta.IsDefined("default-profile") {
		return errors.New("default-profile is empty")
	}
	return nil
}

// registerSecret protects a file from being overwritten.
func (ks *Keys) registerSecret(file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return cli.Errorf("configuration: %w", err)
	}
	ks.Protected.Add(info)
	return nil
}

// expandPath resolves a path in the configuration. ~/ is the home directory,
// and relative paths start at the configuration's directory.
func expandPath(dir, name string) (string, error) {
	path, err := expandHome(name)
	if err != nil || path == "" || filepath.IsAbs(path) {
		return path, err
	}
	return filepath.Join(dir, path), nil
}

// A Profile has values for flags that aren't given. A nil pointer means that it
// has no value.
type Profile struct {
	Keys        []string          `toml:"keys"`
	Context     map[string]string `toml:"context"`
	Commitment  *string           `toml:"commitment"`
	Suite       *string           `toml:"suite"`
	Unsigned    bool              `toml:"unsigned"`
	FrameLength *int64            `toml:"frame-length"`
	MaxKeys     *int64            `toml:"max-keys"`
	Cache       *string           `toml:"cache"`
	Jobs        *int64            `toml:"jobs"`
}
