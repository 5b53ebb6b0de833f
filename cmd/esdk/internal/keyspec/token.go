//go:build pkcs11 || full

package keyspec

import (
	"bytes"
	"cmp"
	"context"
	"errors"

	"esdk"
	"esdk/cmd/esdk/internal/cli"
	"esdk/pkcs11"
)

// tokens are the open tokens by URI. Keys in one token share it.
type tokens map[string]*pkcs11.Token

func (t tokens) close() {
	for _, token := range t {
		token.Close()
	}
}

// pkcs11Keyring parses the text after pkcs11:, a URI as in RFC 7512.
func (ks *Keys) pkcs11Keyring(ctx context.Context, text string, encrypt bool) (esdk.Keyring, error) {
	return ks.newPKCS11Keyring(ctx, "pkcs11:"+text, "", encrypt)
}

// A tokenKey is a key in a token, as described by its URI.
type tokenKey struct {
	*pkcs11.URI
	namespace, name, padding, peer string
	tokenIV                        bool
}

func (ks *Keys) newPKCS11Keyring(ctx context.Context, text, peer string, encrypt bool) (esdk.Keyring, error) {
	k, err := parseTokenKey(text)
	if err != nil {
		return nil, err
	}
	k.peer = cmp.Or(peer, k.peer)
	if err := k.check(encrypt); err != nil {
		return nil, err
	}
	token, err := ks.openToken(ctx, k.URI)
	if err != nil {
		return nil, err
	}
	switch ref := (pkcs11.KeyRef{URI: text}); {
	case k.namespace == "":
		return ks.tokenECDHKeyring(ctx, token, ref, k.peer)
	case k.padding != "" || k.Type == "private":
		return tokenRSAKeyring(ctx, token, ref, k)
	default:
		kr, err := pkcs11.NewAESKeyring(ctx, token, pkcs11.AESConfig{Namespace: k.namespace, Name: k.name, Key: ref, TokenIV: k.tokenIV})
		if k.Type == "" && errors.Is(err, pkcs11.ErrNoKey) {
			return tokenRSAKeyring(ctx, token, ref, k)
		}
		return kr, err
	}
}

func parseTokenKey(text string) (*tokenKey, error) {
	uri, err := pkcs11.ParseURI(text)
	if err != nil {
		return nil, cli.UsageError("%w", err)
	}
	k := &tokenKey{URI: uri}
	for name, value := range uri.Query {
		if value == "" {
			return nil, cli.UsageError("%s is empty", name)
		}
		switch name {
		case "namespace":
			k.namespace = value
		case "name":
			k.name = value
		case "pad":
			k.padding = value
		case "peer":
			k.peer = value
		case "iv":
			if value != "token" {
				return nil, cli.UsageError("iv=%s: the only value is token", value)
			}
			k.tokenIV = true
		default:
			return nil, cli.UsageError("the URI has no %s", name)
		}
	}
	return k, nil
}

// check determines the kind of the key and rejects options that don't fit it.
// AES and RSA keys have names in messages, ECDH keys don't.
func (k *tokenKey) check(encrypt bool) error {
	paddingErr := knownPadding(k.padding, paddingNames...)
	switch {
	case k.ModulePath == "":
		return cli.UsageError("no module given: the token's library is needed").WithHint("add ?module-path=/usr/lib/…")
	case k.Object == "" && len(k.ID) == 0:
		return cli.UsageError("no key given: its label or id is needed").WithHint("add object=LABEL or id=%%01")
	case (k.namespace == "") != (k.name == ""):
		return cli.UsageError("namespace and name must be given together")
	case k.Type == "public":
		return cli.UsageError("a public key encrypts without the token").WithHint("to encrypt, use rsa:NAMESPACE/NAME@FILE or ecdh:FILE")
	case k.padding != "" && paddingErr != nil:
		return paddingErr
	case k.padding != "" && (k.namespace == "" || k.Type == "secret-key" || k.tokenIV):
		return cli.UsageError("pad is for RSA keys, which have namespace and name")
	case k.tokenIV && (k.namespace == "" || k.Type == "private"):
		return cli.UsageError("iv is for AES keys")
	case k.namespace != "" && k.peer != "":
		return cli.UsageError("peer is for ECDH keys, and namespace and name for the others")
	case k.namespace == "" && k.Type == "secret-key":
		return cli.UsageError("an AES key needs namespace and name")
	case k.namespace == "" && k.peer == "" && encrypt:
		return cli.UsageError("to encrypt, namespace and name are needed, or for ECDH the peer's public key").
			WithHint("add namespace=N&name=M, or peer=FILE")
	}
	return nil
}

func tokenRSAKeyring(ctx context.Context, token *pkcs11.Token, ref pkcs11.KeyRef, k *tokenKey) (esdk.Keyring, error) {
	hash := paddings[cmp.Or(k.padding, DefaultPadding)]
	kr, err := pkcs11.NewRSAKeyring(ctx, token, pkcs11.RSAConfig{
		Namespace: k.namespace, Name: k.name, Key: ref, Hash: hash, PKCS1v15: hash == 0,
	})
	return guessingIf(hash == 0, kr, err)
}

func (ks *Keys) tokenECDHKeyring(ctx context.Context, token *pkcs11.Token, ref pkcs11.KeyRef, peerFile string) (esdk.Keyring, error) {
	if peerFile == "" {
		return pkcs11.NewECDHDiscoveryKeyring(ctx, token, pkcs11.ECDHConfig{Key: ref})
	}
	data, err := ks.readPEM(peerFile)
	if err != nil {
		return nil, err
	}
	peer, err := parsePeer(peerFile, data, "")
	if err != nil {
		return nil, err
	}
	return pkcs11.NewECDHKeyring(ctx, token, pkcs11.ECDHConfig{Key: ref, Peer: peer})
}

// openToken opens a token once, however many of its keys are used.
func (ks *Keys) openToken(ctx context.Context, uri *pkcs11.URI) (*pkcs11.Token, error) {
	of := uri.OfToken()
	id := of.String()
	if token := ks.tokens[id]; token != nil {
		return token, nil
	}
	ks.Protected.AddPath(of.ModulePath)
	if of.PINSource != "" {
		ks.Protected.AddPath(of.PINSource)
	}
	token, err := pkcs11.Open(ctx, pkcs11.Config{URI: id, PIN: func(context.Context) ([]byte, error) {
		if of.PINSource == "" {
			token := cli.Printable(cmp.Or(of.Token, of.Serial, of.ModulePath))
			return ks.promptSecret("PIN", "PIN of the token "+token+": ", "add pin-source=file:/PATH to the URI")
		}
		data, err := ks.readSecret(of.PINSource)
		return bytes.TrimRight(data, "\r\n"), err
	}})
	if err != nil {
		return nil, err
	}
	if ks.tokens == nil {
		ks.tokens = make(tokens)
	}
	ks.tokens[id] = token
	return token, nil
}
