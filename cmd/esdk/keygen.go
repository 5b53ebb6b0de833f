package main

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"esdk"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/keyspec"
	"esdk/cmd/esdk/internal/settings"
	"esdk/hpke"
	"github.com/spf13/cobra"
)

func (a *app) newKeygenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keygen aes|rsa|ecdh|hpke -o FILE",
		Short: "Make a wrapping key",
		Long: `Make a wrapping key in a new FILE that only its owner can read. The public key of
a key pair goes to standard output. With --passphrase, the private key is
encrypted. "openssl pkey" can decrypt it too, except for HPKE keys, whose format
only esdk knows.`,
		Example: `  esdk keygen aes -o backup.key
  esdk keygen aes --name corp/backup -o backup.key
  esdk keygen rsa --bits 3072 -o private.pem > public.pem
  esdk keygen rsa --passphrase -o private.pem > public.pem
  esdk keygen ecdh --curve p384 -o mine.pem > mine-public.pem
  esdk keygen hpke -o archive.pem > archive-public.pem`,
		Args: onlyCommands,
		RunE: func(*cobra.Command, []string) error {
			return cli.UsageError("no kind of key given: use aes, rsa, ecdh or hpke")
		},
	}
	cmd.AddCommand(a.newKeygenAES(), a.newKeygenRSA(), a.newKeygenECDH(), a.newKeygenHPKE())
	return cmd
}

// A generatedKey is a key with its uses.
type generatedKey struct {
	secret, public []byte // public is nil for a symmetric key
	use            string // a value of -k that decrypts
	more           string // a value of -k that encrypts, if use doesn't
	fingerprint    string // if the kind has one
}

// newKeygen makes the sub-command for a kind of key. The function generate
// makes the key for a file.
func (a *app) newKeygen(kind, short string, generate func(file string) (*generatedKey, error)) *cobra.Command {
	var file string
	var passphrase passphraseFlags
	cmd := &cobra.Command{
		Use:   kind + " -o FILE",
		Short: short,
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			if file == "" {
				return cli.UsageError("no output given: use -o FILE").WithHint("to write the secret key to standard output, use -o -")
			}
			if err := a.CheckStdout("the key"); err != nil && (file == cli.Standard || kind != "aes") {
				return err
			}
			if _, err := os.Lstat(file); err == nil && file != cli.Standard {
				return keyExists(file) // fail before asking anything
			}
			protect, err := passphrase.protect(a.keys, file)
			if err != nil {
				return err
			}
			key, err := generate(file)
			if err != nil {
				return err
			}
			defer clear(key.secret)
			secret, err := protect(key.secret)
			if err != nil {
				return err
			}
			if file == cli.Standard {
				_, err := a.Stdout.Write(secret)
				return err
			}
			made := &madeKey{kind, file, key.use, key.fingerprint, string(key.public)}
			err = a.keys.WriteSecret(file, secret, func() error { return a.printMade(made) })
			if errors.Is(err, fs.ErrExist) {
				return keyExists(file)
			}
			if err == nil && !a.JSON {
				a.Note("wrote %s; %s", cli.Printable(file), key.usage())
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&file, "output", "o", "", "`FILE` to create, which must not exist; - for standard output")
	if kind != "aes" {
		passphrase.add(cmd)
	}
	return cmd
}

// usage returns how to use the key, for people.
func (k *generatedKey) usage() string {
	text := "use it as -k " + cli.Quoted(k.use)
	if k.more != "" {
		text = fmt.Sprintf("use it as -k %s to encrypt, or -k %s to decrypt", cli.Quoted(k.more), cli.Quoted(k.use))
	}
	if k.fingerprint != "" {
		text += "; its fingerprint is " + k.fingerprint
	}
	return text
}

// A madeKey describes a new key in JSON.
type madeKey struct {
	Kind        string `json:"kind"`
	File        string `json:"file"`
	Use         string `json:"use"` // a value of -k that decrypts
	Fingerprint string `json:"fingerprint,omitempty"`
	PublicKey   string `json:"public_key,omitempty"`
}

func (a *app) printMade(k *madeKey) error {
	if a.JSON {
		return a.PrintJSON(k)
	}
	if k.PublicKey == "" {
		return nil
	}
	_, err := io.WriteString(a.Stdout, k.PublicKey)
	return err
}

func keyExists(file string) error {
	return cli.NewError(cli.ExitNotWritten, "%s: %w", cli.Printable(file), fs.ErrExist).WithHint("a key file is never replaced; choose another name")
}

// passphraseFlags are the flags for the passphrase of a new private key.
type passphraseFlags struct {
	ask  bool
	file string
}

func (f *passphraseFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.ask, settings.Passphrase, false, "encrypt the private key under a passphrase, which is asked for twice on the terminal")
	cmd.Flags().StringVar(&f.file, "passphrase-file", "", "encrypt the private key under the passphrase in a `FILE` of one line")
}

// protect returns a function that encrypts the private key under the
// passphrase, or returns it unchanged if there is none.
func (f *passphraseFlags) protect(keys *keyspec.Keys, file string) (func(secret []byte) ([]byte, error), error) {
	var passphrase []byte
	var err error
	switch {
	case f.ask && f.file != "":
		return nil, cli.UsageError("--passphrase and --passphrase-file cannot be used together")
	case f.ask:
		passphrase, err = keys.NewPassphrase(file)
	case f.file != "":
		passphrase, err = keys.ReadPassphrase(f.file)
		if errors.Is(err, fs.ErrNotExist) {
			err = cli.UsageError("--passphrase-file: %w", err)
		}
	default:
		return func(secret []byte) ([]byte, error) { return secret, nil }, nil
	}
	return func(secret []byte) ([]byte, error) {
		defer clear(passphrase)
		return keyspec.EncryptPEM(secret, passphrase)
	}, err
}

func (a *app) newKeygenAES() *cobra.Command {
	var bits int
	var id string
	cmd := a.newKeygen("aes", "Make an AES key", func(file string) (*generatedKey, error) {
		if err := checkKeyName(id); err != nil {
			return nil, err
		}
		if !keyspec.IsAESLength(bits/8) || bits%8 != 0 {
			return nil, cli.UsageError("--bits %d: must be 128, 192 or 256", bits)
		}
		key := make([]byte, bits/8)
		rand.Read(key)
		defer clear(key)
		usage := "aes:NAMESPACE/NAME@" + file
		if id != "" {
			usage = file
			if keyspec.IsKey(file) {
				usage = "aes:@" + file
			}
		}
		return &generatedKey{secret: keyspec.FormatAESKey(key, id), use: usage}, nil
	})
	cmd.Flags().StringVar(&id, "name", "", "write the `NAMESPACE/NAME` of the key into the file, so that -k FILE is enough")
	cmd.Flags().IntVar(&bits, "bits", 256, "`BITS` of the key: 128, 192 or 256")
	return cmd
}

// checkKeyName checks --name, which may be empty. Messages store the name, and
// in -k it stands before an @.
func checkKeyName(text string) error {
	if text == "" {
		return nil
	}
	namespace, name, err := keyspec.SplitName(text)
	switch {
	case err != nil:
	case strings.ContainsFunc(text, unicode.IsSpace):
		err = errors.New("must not contain white space")
	case strings.ContainsAny(text, "@?") || text != cli.Printable(text):
		err = errors.New("must not contain @, ? or control characters")
	default:
		// The keyring checks the name. Any key will do.
		_, err = esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: namespace, Name: name, Key: make([]byte, 32)})
	}
	if err != nil {
		return cli.UsageError("--name %s: %w", cli.Printable(text), err)
	}
	return nil
}

func (a *app) newKeygenRSA() *cobra.Command {
	var bits int
	cmd := a.newKeygen("rsa", "Make an RSA key pair", func(file string) (*generatedKey, error) {
		if bits < keyspec.SafeRSABits || bits > 8192 {
			return nil, cli.UsageError("--bits %d: must be %d to 8192", bits, keyspec.SafeRSABits)
		}
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			return nil, err
		}
		secret, public, err := pemPair(key, &key.PublicKey)
		return &generatedKey{secret: secret, public: public, use: "rsa:NAMESPACE/NAME@" + file}, err
	})
	cmd.Flags().IntVar(&bits, "bits", 4096, "`BITS` of the modulus, 2048 to 8192")
	return cmd
}

// keygenCurves are the values of --curve.
var keygenCurves = map[string]ecdh.Curve{"p256": ecdh.P256(), "p384": ecdh.P384(), "p521": ecdh.P521()}

func (a *app) newKeygenECDH() *cobra.Command {
	var name string
	cmd := a.newKeygen("ecdh", "Make a key pair for elliptic-curve key agreement", func(file string) (*generatedKey, error) {
		curve, ok := keygenCurves[strings.ToLower(strings.ReplaceAll(name, "-", ""))]
		if !ok {
			return nil, cli.UsageError("--curve %s: must be p256, p384 or p521", cli.Printable(name))
		}
		key, err := curve.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		secret, public, err := pemPair(key, key.PublicKey())
		return &generatedKey{secret: secret, public: public, use: "ecdh:@" + file, more: "ecdh:PEER-FILE@" + file}, err
	})
	cmd.Flags().StringVar(&name, "curve", "p384", "`CURVE`: p256, p384 or p521")
	return cmd
}

func (a *app) newKeygenHPKE() *cobra.Command {
	return a.newKeygen("hpke", "Make a key pair for HPKE, safe against quantum computers", func(file string) (*generatedKey, error) {
		key, err := hpke.GenerateKey()
		if err != nil {
			return nil, err
		}
		public, err := hpke.MarshalPublicKey(key.PublicKey())
		if err != nil {
			return nil, err
		}
		secret, err := hpke.MarshalPrivateKey(key)
		use := fmt.Sprintf("hpke:%s@%s", nameOf(file), file)
		return &generatedKey{secret: secret, public: public, use: use, fingerprint: hpke.Fingerprint(key.PublicKey())}, err
	})
}

// nameOf returns a name for the key in a file: the file's name without its
// extension, or NAME if that can't stand before the @ of a key.
func nameOf(file string) string {
	base := filepath.Base(file)
	name := strings.TrimSuffix(base, filepath.Ext(base))
	if name == "" || strings.ContainsAny(name, "@?") || strings.ContainsFunc(name, unicode.IsSpace) || name != cli.Printable(name) {
		return "NAME"
	}
	return name
}

// pemPair encodes a key pair as PKCS #8 and SubjectPublicKeyInfo.
func pemPair(private, public any) (secret, open []byte, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	defer clear(der)
	publicDER, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER}), nil
}
