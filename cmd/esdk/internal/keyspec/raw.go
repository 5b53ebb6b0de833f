package keyspec

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/rsa"
	"strings"

	"esdk"
	"esdk/cmd/esdk/internal/cli"
	"esdk/hpke"
)

// splitKey splits NAMESPACE/NAME@FILE.
func splitKey(text string) (namespace, name, file string, err error) {
	id, file, ok := strings.Cut(text, "@")
	namespace, name, slash := strings.Cut(id, "/")
	if !ok || !slash || namespace == "" || name == "" || file == "" {
		return "", "", "", cli.UsageError("expected NAMESPACE/NAME@FILE")
	}
	return namespace, name, file, nil
}

func (ks *Keys) aesKeyring(_ context.Context, text string, encrypt bool) (esdk.Keyring, error) {
	text, options, err := cutOptions(text, formatOption)
	if err != nil {
		return nil, err
	}
	if file, ok := strings.CutPrefix(text, "@"); ok && file != "" {
		return ks.NewAESKeyring("", "", file, options["format"], encrypt)
	}
	namespace, name, file, err := splitKey(text)
	if err != nil {
		return nil, err
	}
	return ks.NewAESKeyring(namespace, name, file, options["format"], encrypt)
}

// NewAESKeyring returns the keyring for an AES key. Without namespace and name,
// they're read from the file. Format is the encoding of the key in the file,
// and may be empty.
func (ks *Keys) NewAESKeyring(namespace, name, file, format string, encrypt bool) (esdk.Keyring, error) {
	if (namespace == "") != (name == "") {
		return nil, cli.UsageError("namespace and name must be given together")
	}
	key, err := ks.readAESKey(file, format)
	if err != nil {
		return nil, missingFile(err, encrypt, "\"esdk keygen aes -o %s\" makes a new key", cli.Quoted(file))
	}
	defer clear(key.bytes)
	if name == "" {
		if namespace, name, err = key.name(file); err != nil {
			return nil, err
		}
	}
	return esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: namespace, Name: name, Key: key.bytes})
}

// paddings are the values of pad for RSA keys. 0 is PKCS #1 v1.5.
var paddings = map[string]crypto.Hash{
	"pkcs1":       0,
	"oaep-sha1":   crypto.SHA1,
	"oaep-sha256": crypto.SHA256,
	"oaep-sha384": crypto.SHA384,
	"oaep-sha512": crypto.SHA512,
}

// paddingNames are the paddings in the order of the documentation.
var paddingNames = []string{"pkcs1", "oaep-sha1", "oaep-sha256", "oaep-sha384", "oaep-sha512"}

// DefaultPadding is the padding of RSA keys unless pad is given.
const DefaultPadding = "oaep-sha256"

func (ks *Keys) rsaKeyring(_ context.Context, text string, encrypt bool) (esdk.Keyring, error) {
	text, options, err := cutOptions(text, padOption, passphraseOption)
	if err != nil {
		return nil, err
	}
	namespace, name, file, err := splitKey(text)
	if err != nil {
		return nil, err
	}
	return ks.NewRSAKeyring(namespace, name, file, cmp.Or(options["pad"], DefaultPadding), options[passphraseOption.name], encrypt)
}

// SafeRSABits is the least length of an RSA key that "esdk keygen" makes and
// that NIST allows (SP 800-57, part 1, section 5.6.1). Messages under shorter
// ones exist, and the official SDKs write them.
const SafeRSABits = 2048

// NewRSAKeyring takes the keys for both directions from one file. A keyring
// doesn't derive the public key from the private one, but here the user gives
// the file for both.
func (ks *Keys) NewRSAKeyring(namespace, name, file, padding, passphraseFile string, encrypt bool) (esdk.Keyring, error) {
	if err := knownPadding(padding, paddingNames...); err != nil {
		return nil, err
	}
	hash := paddings[padding]
	c := esdk.RawRSAConfig{Namespace: namespace, Name: name, Hash: hash, PKCS1v15: hash == 0}
	data, err := ks.readPrivate(file, passphraseFile)
	if err != nil {
		return nil, missingFile(err, encrypt, "\"esdk keygen rsa -o %s\" makes a new key", cli.Quoted(file))
	}
	defer clear(data)
	private, privateErr := onlyKey[*rsa.PrivateKey](data)
	public, publicErr := onlyKey[*rsa.PublicKey](data)
	switch {
	case privateErr == nil && publicErr == nil:
		if err := checkPair(file, &private.PublicKey, public); err != nil {
			return nil, err
		}
		fallthrough
	case privateErr == nil:
		ks.checkSecret(file)
		c.PrivateKey, c.PublicKey = private, &private.PublicKey
	case publicErr != nil:
		return nil, wrongFile(file, data, noneOf("RSA", privateErr, publicErr))
	case !encrypt:
		return nil, &cannot{cli.UsageError("%s contains only a public key, which cannot decrypt", cli.Printable(file))}
	default:
		c.PublicKey = public
	}
	if encrypt && c.PublicKey.N.BitLen() < SafeRSABits {
		ks.UI.Note("warning: the RSA key in %s has only %d bits; it should have %d or more", cli.Printable(file), c.PublicKey.N.BitLen(), SafeRSABits)
	}
	kr, err := esdk.NewRawRSAKeyring(c)
	return guessingIf(c.PKCS1v15, kr, err)
}

func (ks *Keys) ecdhKeyring(_ context.Context, text string, encrypt bool) (esdk.Keyring, error) {
	text, options, err := cutOptions(text, passphraseOption)
	if err != nil {
		return nil, err
	}
	peer, own, err := cutFile(text)
	if err != nil {
		return nil, err
	}
	return ks.newECDHKeyring(peer, own, options[passphraseOption.name], encrypt)
}

func (ks *Keys) newECDHKeyring(peerFile, ownFile, passphraseFile string, encrypt bool) (esdk.Keyring, error) {
	if ownFile == "" && passphraseFile != "" {
		return nil, cli.UsageError("passphrase-file is for a private key of your own")
	}
	var peer *ecdh.PublicKey
	var own *ecdh.PrivateKey
	if peerFile != "" {
		data, err := ks.readPEM(peerFile)
		if err != nil {
			return nil, missingFile(err, encrypt, "\"esdk keygen ecdh\" of the peer prints it")
		}
		if peer, err = parsePeer(peerFile, data, "; your own key stands after the @: "+cli.Quoted("ecdh:PEER-FILE@"+peerFile)); err != nil {
			return nil, err
		}
	}
	if ownFile != "" {
		data, err := ks.readPrivate(ownFile, passphraseFile)
		if err != nil {
			return nil, missingFile(err, encrypt, "\"esdk keygen ecdh -o %s\" makes a new key", cli.Quoted(ownFile))
		}
		ks.checkSecret(ownFile)
		defer clear(data)
		if own, err = onlyKey[*ecdh.PrivateKey](data); err != nil {
			if is[*ecdh.PublicKey](data) {
				err = cli.Hinted(err, "this is a public key, and your own key is private; the peer's key stands before the @: %s", cli.Quoted("ecdh:"+ownFile+"@OWN-FILE"))
			}
			return nil, wrongFile(ownFile, data, err)
		}
	}
	switch {
	case peer == nil && own == nil:
		return nil, cli.UsageError("expected PEER-FILE@OWN-FILE, or one of them")
	case peer != nil && own != nil:
		return esdk.NewRawECDHKeyring(esdk.RawECDHConfig{PrivateKey: own, Peer: peer})
	case own != nil && !encrypt:
		return esdk.NewRawECDHDiscoveryKeyring(own)
	case own != nil:
		return nil, cli.UsageError("to encrypt, the peer's public key is needed").WithHint("use ecdh:PEER-FILE@OWN-FILE, or ecdh:PEER-FILE")
	case encrypt:
		return esdk.NewRawECDHEphemeralKeyring(peer)
	}
	return nil, &cannot{cli.UsageError("to decrypt, your own private key is needed").WithHint("use ecdh:PEER-FILE@OWN-FILE, or ecdh:@OWN-FILE")}
}

func (ks *Keys) hpkeKeyring(_ context.Context, text string, encrypt bool) (esdk.Keyring, error) {
	text, options, err := cutOptions(text, passphraseOption)
	if err != nil {
		return nil, err
	}
	name, file, _ := strings.Cut(text, "@")
	if name == "" || file == "" {
		return nil, cli.UsageError("expected NAME@FILE")
	}
	return ks.newHPKEKeyring(name, file, options[passphraseOption.name], encrypt)
}

// newHPKEKeyring takes the keys for both directions from one file, like
// NewRSAKeyring.
func (ks *Keys) newHPKEKeyring(name, file, passphraseFile string, encrypt bool) (esdk.Keyring, error) {
	data, err := ks.readPrivate(file, passphraseFile)
	if err != nil {
		return nil, missingFile(err, encrypt, "\"esdk keygen hpke -o %s\" makes a new key", cli.Quoted(file))
	}
	defer clear(data)
	c := hpke.Config{Name: name}
	private, privateErr := hpke.ParsePrivateKey(data)
	public, publicErr := hpke.ParsePublicKey(data)
	switch {
	case privateErr == nil && publicErr == nil && !bytes.Equal(public.Bytes(), private.PublicKey().Bytes()):
		return nil, checkPair(file, nil, nil)
	case privateErr == nil:
		ks.checkSecret(file)
		c.PrivateKey, c.PublicKey = private, private.PublicKey()
		return hpke.NewKeyring(c)
	case publicErr != nil:
		return nil, wrongFile(file, data, noneOf("HPKE", privateErr, publicErr))
	case !encrypt:
		return nil, &cannot{cli.UsageError("%s contains only a public key, which cannot decrypt", cli.Printable(file))}
	}
	c.PublicKey = public
	return hpke.NewKeyring(c)
}
