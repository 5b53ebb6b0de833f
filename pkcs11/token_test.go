//go:build cgo

package pkcs11_test

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	p11 "github.com/miekg/pkcs11"

	"esdk"
	"esdk/esdktest"
	"esdk/pkcs11"
)

func aes(t testing.TB, token *pkcs11.Token, label string) esdk.Keyring {
	t.Helper()
	return must[esdk.Keyring](t)(pkcs11.NewAESKeyring(t.Context(), token, pkcs11.AESConfig{
		Namespace: "corp", Name: "backup", Key: pkcs11.KeyRef{Label: label},
	}))
}

func TestTokenAES(t *testing.T) {
	h := newHardware(t)
	token := h.open(h.config())
	for _, length := range []int{16, 24, 32} {
		t.Run(fmt.Sprint(length*8), func(t *testing.T) {
			key, label := make([]byte, length), newName("aes")
			rand.Read(key)
			h.importAES(label, key)
			bothWays(t, aes(t, token, label), must[esdk.Keyring](t)(esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "corp", Name: "backup", Key: key})))
		})
	}
	t.Run("made by the token", func(t *testing.T) {
		label := newName("aes")
		key := h.generateAES(label)
		kr := aes(t, token, label)
		bothWays(t, kr, must[esdk.Keyring](t)(esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "corp", Name: "backup", Key: key})))
		esdktest.TestKeyring(t, kr)
	})
}

// SoftHSM 2 has no OAEP with SHA-2, and the constructor reports it.
func TestTokenRSA(t *testing.T) {
	h := newHardware(t)
	token := h.open(h.config())
	imported, made := newName("rsa"), newName("rsa")
	key := newRSA(t)
	h.importRSA(imported, key)
	keys := map[string]*rsa.PrivateKey{imported: key, made: h.generateRSA(made)}
	for _, c := range []pkcs11.RSAConfig{
		{PKCS1v15: true}, {Hash: crypto.SHA1}, {Hash: crypto.SHA256}, {Hash: crypto.SHA384}, {Hash: crypto.SHA512}, {},
	} {
		name := "OAEP " + c.Hash.String()
		if c.PKCS1v15 {
			name = "PKCS1"
		} else if c.Hash == 0 {
			name = "default"
		}
		t.Run(name, func(t *testing.T) {
			for label, key := range keys {
				c.Namespace, c.Name, c.Key = "corp", "archive", pkcs11.KeyRef{Label: label}
				kr, err := pkcs11.NewRSAKeyring(t.Context(), token, c)
				if h.isSoftHSM() && !c.PKCS1v15 && c.Hash != crypto.SHA1 {
					if code := new(pkcs11.Error); !errors.As(err, &code) || code.Name != "CKR_ARGUMENTS_BAD" {
						t.Errorf("SoftHSM has it, or has another error for it: %v", err)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				raw := must[esdk.Keyring](t)(esdk.NewRawRSAKeyring(esdk.RawRSAConfig{
					Namespace: "corp", Name: "archive", PublicKey: &key.PublicKey, PrivateKey: key, Hash: c.Hash, PKCS1v15: c.PKCS1v15,
				}))
				bothWays(t, kr, raw)
				if label == made {
					esdktest.KeyringTest{Encrypt: kr, Decrypt: kr, NoContext: true, NoIntegrity: c.PKCS1v15}.Run(t)
				}
			}
		})
	}
	t.Run("public key of another", func(t *testing.T) {
		for _, c := range []pkcs11.RSAConfig{{PKCS1v15: true}, {Hash: crypto.SHA1}} {
			c.Namespace, c.Name, c.Key, c.PublicKey = "corp", "archive", pkcs11.KeyRef{Label: imported}, &newRSA(t).PublicKey
			if _, err := pkcs11.NewRSAKeyring(t.Context(), token, c); err == nil {
				t.Error("it is accepted")
			}
		}
	})
}

func TestTokenECDH(t *testing.T) {
	h := newHardware(t)
	token := h.open(h.config())
	keyring := must[esdk.Keyring](t)
	for curve := range curveNames {
		t.Run(fmt.Sprint(curve), func(t *testing.T) {
			imported, made := newName("ec"), newName("ec")
			mine, theirs := newEC(t, curve), newEC(t, curve)
			h.importEC(imported, mine)
			for label, mine := range map[string]*ecdh.PrivateKey{imported: mine, made: h.generateEC(made, curve)} {
				c := pkcs11.ECDHConfig{Key: pkcs11.KeyRef{Label: label}}
				discovery := keyring(pkcs11.NewECDHDiscoveryKeyring(t.Context(), token, c))
				c.Peer = theirs.PublicKey()
				kr := keyring(pkcs11.NewECDHKeyring(t.Context(), token, c))
				bothWays(t, kr, keyring(esdk.NewRawECDHKeyring(esdk.RawECDHConfig{PrivateKey: mine, Peer: theirs.PublicKey()})))
				bothWays(t, kr, keyring(esdk.NewRawECDHKeyring(esdk.RawECDHConfig{PrivateKey: theirs, Peer: mine.PublicKey()})))
				exchange(t, "to a raw discovery keyring", kr, keyring(esdk.NewRawECDHDiscoveryKeyring(theirs)))

				public := must[crypto.PublicKey](t)(token.PublicKey(t.Context(), c.Key)).(*ecdh.PublicKey)
				exchange(t, "from a raw ephemeral keyring", keyring(esdk.NewRawECDHEphemeralKeyring(public)), discovery)
				exchange(t, "from the peer", keyring(esdk.NewRawECDHKeyring(esdk.RawECDHConfig{PrivateKey: theirs, Peer: public})), discovery)
				if label == made {
					esdktest.TestKeyring(t, kr)
				}
			}
			c := pkcs11.ECDHConfig{Key: pkcs11.KeyRef{Label: imported}, PublicKey: theirs.PublicKey()}
			if _, err := pkcs11.NewECDHDiscoveryKeyring(t.Context(), token, c); err == nil {
				t.Error("the public key of another is accepted")
			}
		})
	}
}

// The shared secret doesn't stay on the token.
func TestTokenECDHLeavesNothing(t *testing.T) {
	h := newHardware(t)
	c := h.config()
	c.Sessions = 1
	token := h.open(c)
	label := newName("ec")
	h.generateEC(label, ecdh.P256())
	peer := newEC(t, ecdh.P256()).PublicKey()
	kr := must[esdk.Keyring](t)(pkcs11.NewECDHKeyring(t.Context(), token, pkcs11.ECDHConfig{Key: pkcs11.KeyRef{Label: label}, Peer: peer}))
	for range 3 {
		exchange(t, "own", kr, kr)
	}
	h.session(func(s p11.SessionHandle) error {
		if err := h.admin.FindObjectsInit(s, attributes{p11.CKA_KEY_TYPE: uint(p11.CKK_GENERIC_SECRET)}.with(nil)); err != nil {
			return err
		}
		defer h.admin.FindObjectsFinal(s)
		found, _, err := h.admin.FindObjects(s, 10)
		if len(found) > 0 {
			t.Errorf("%d secrets are there", len(found))
		}
		return err
	})
}

func TestTokenKeys(t *testing.T) {
	h := newHardware(t)
	token := h.open(h.config())
	one, two := newName("one"), newName("two")
	key := make([]byte, 32)
	for range 2 {
		rand.Read(key)
		h.create(secret(p11.CKO_SECRET_KEY, p11.CKK_AES, two).with(attributes{p11.CKA_VALUE: key, p11.CKA_ENCRYPT: true, p11.CKA_DECRYPT: true}))
	}
	h.importAES(one, key)
	raw := must[esdk.Keyring](t)(esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "corp", Name: "backup", Key: key}))
	uri := func(format string, args ...any) pkcs11.KeyRef {
		return pkcs11.KeyRef{URI: fmt.Sprintf(format, args...)}
	}
	for name, test := range map[string]struct {
		ref  pkcs11.KeyRef
		want error
	}{
		"label":          {pkcs11.KeyRef{Label: one}, nil},
		"id":             {pkcs11.KeyRef{ID: []byte(one + "-id")}, nil},
		"both":           {pkcs11.KeyRef{Label: one, ID: []byte(one + "-id")}, nil},
		"URI":            {uri("pkcs11:token=%s;object=%s;type=secret-key", url.PathEscape(h.label), one), nil},
		"URI with id":    {uri("pkcs11:id=%s-id", one), nil},
		"two":            {pkcs11.KeyRef{Label: two}, pkcs11.ErrAmbiguous},
		"none":           {pkcs11.KeyRef{Label: "no-such-key"}, pkcs11.ErrNoKey},
		"another's id":   {pkcs11.KeyRef{Label: one, ID: []byte(two + "-id")}, pkcs11.ErrNoKey},
		"start of label": {pkcs11.KeyRef{Label: one[:len(one)-1]}, pkcs11.ErrNoKey},
	} {
		kr, err := pkcs11.NewAESKeyring(t.Context(), token, pkcs11.AESConfig{Namespace: "corp", Name: "backup", Key: test.ref})
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		} else if err == nil {
			bothWays(t, kr, raw)
		} else if !strings.Contains(err.Error(), h.label) {
			t.Errorf("%s: the error does not name the token: %v", name, err)
		}
	}
	if _, err := pkcs11.NewRSAKeyring(t.Context(), token, pkcs11.RSAConfig{Namespace: "corp", Name: "n", Key: pkcs11.KeyRef{Label: one}}); !errors.Is(err, pkcs11.ErrNoKey) {
		t.Errorf("an AES key as one of RSA: %v", err)
	}
}

func TestTokenWrongContext(t *testing.T) {
	h := newHardware(t)
	token := h.open(h.config())
	label := newName("aes")
	h.generateAES(label)
	kr := aes(t, token, label)
	const suite = esdk.AES256GCMHKDFSHA512Commit
	r := must[*esdk.WrapResult](t)(kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: suite, EncryptionContext: testContext}))
	for _, ec := range []esdk.EncryptionContext{nil, {"purpose": "test", "tenant": "18"}} {
		_, err := kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: suite, EncryptionContext: ec, EncryptedDataKeys: r.EncryptedDataKeys})
		code := new(pkcs11.Error)
		if !errors.Is(err, esdk.ErrNoDataKey) || !errors.Is(err, esdk.ErrAuthentication) || !errors.As(err, &code) || code.Call != "C_Decrypt" {
			t.Errorf("with another encryption context: %v", err)
		}
	}
}

func TestTokenOpen(t *testing.T) {
	h := newHardware(t)
	const wrong = "87654321"
	file := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(file, []byte(h.pin+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(*pkcs11.Config)
		want   error
	}{
		"wrong PIN":   {func(c *pkcs11.Config) { c.PIN = func(context.Context) ([]byte, error) { return []byte(wrong), nil } }, pkcs11.ErrPIN},
		"PIN file":    {func(c *pkcs11.Config) { c.PIN = pkcs11.PINFile(file) }, nil},
		"no PIN file": {func(c *pkcs11.Config) { c.PIN = pkcs11.PINFile(file + "-") }, os.ErrNotExist},
		"no token":    {func(c *pkcs11.Config) { c.Token = "no-such-token" }, pkcs11.ErrNoToken},
		"URI": {func(c *pkcs11.Config) {
			*c = pkcs11.Config{URI: "pkcs11:token=" + url.PathEscape(h.label) + "?module-path=" + h.module + "&pin-source=file:" + file}
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := h.config()
			test.change(&c)
			token, err := pkcs11.Open(t.Context(), c)
			if !errors.Is(err, test.want) {
				t.Fatal(err)
			}
			if err == nil {
				if err := token.Close(); err != nil {
					t.Error(err)
				}
				_, err = token.PublicKey(t.Context(), pkcs11.KeyRef{Label: "any"})
				if !errors.Is(err, pkcs11.ErrClosed) {
					t.Errorf("after Close: %v", err)
				}
			} else if strings.Contains(err.Error(), wrong) || strings.Contains(err.Error(), h.pin) {
				t.Error("the error shows a PIN")
			}
		})
	}
	if _, err := pkcs11.Open(t.Context(), pkcs11.Config{Module: file}); err == nil {
		t.Error("a text is loaded as a library")
	}
}

// All sessions are closed behind the keyring's back, which also ends the login.
func TestTokenSessionsLost(t *testing.T) {
	h := newHardware(t)
	logins := 0
	c := h.config()
	c.PIN = func(ctx context.Context) ([]byte, error) {
		logins++
		return h.givePIN(ctx)
	}
	token := h.open(c)
	label := newName("lost")
	h.generateAES(label)
	h.generateRSA(label)
	h.generateEC(label, ecdh.P256())
	ref := pkcs11.KeyRef{Label: label}
	keyring := must[esdk.Keyring](t)
	for name, kr := range map[string]esdk.Keyring{
		"AES":  aes(t, token, label),
		"RSA":  keyring(pkcs11.NewRSAKeyring(t.Context(), token, pkcs11.RSAConfig{Namespace: "corp", Name: "n", Key: ref, PKCS1v15: true})),
		"ECDH": keyring(pkcs11.NewECDHKeyring(t.Context(), token, pkcs11.ECDHConfig{Key: ref, Peer: newEC(t, ecdh.P256()).PublicKey()})),
	} {
		for range 3 {
			before := logins
			if err := h.admin.CloseAllSessions(h.slot()); err != nil {
				t.Fatal(err)
			}
			exchange(t, name+" after its sessions were closed", kr, kr)
			if logins != before+1 {
				t.Errorf("%s: %d logins", name, logins-before)
			}
		}
	}
}

// The library is finalized behind the keyring's back, as after a fork or a
// restart.
func TestTokenModuleLost(t *testing.T) {
	h := newHardware(t)
	token := h.open(h.config())
	label := newName("aes")
	h.generateAES(label)
	kr := aes(t, token, label)
	for range 2 {
		if err := h.admin.Finalize(); err != nil {
			t.Fatal(err)
		}
		exchange(t, "after the library was finalized", kr, kr)
	}
}

// The directory of the token's keys is removed, and restored. Meanwhile, a
// token may continue from memory, or calls fail.
func TestTokenRemoved(t *testing.T) {
	h := newHardware(t)
	store := os.Getenv("ESDK_PKCS11_STORE")
	if store == "" {
		t.Skip("NOT RUN: ESDK_PKCS11_STORE is not set")
	}
	token := h.open(h.config())
	label := newName("aes")
	h.generateAES(label)
	kr := aes(t, token, label)
	for range 2 {
		if err := os.Rename(store, store+".away"); err != nil {
			t.Fatal(err)
		}
		_, err := kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: esdk.AES256GCM})
		t.Logf("while it is away: %v", err)
		if err := os.Rename(store+".away", store); err != nil {
			t.Fatal(err)
		}
		exchange(t, "with the token back", kr, kr)
	}
}

// A restored key is found under its new handle.
func TestTokenKeyReplaced(t *testing.T) {
	h := newHardware(t)
	token := h.open(h.config())
	label, key := newName("aes"), make([]byte, 32)
	rand.Read(key)
	h.importAES(label, key)
	kr := aes(t, token, label)
	exchange(t, "before", kr, kr)
	remove := func() {
		h.session(func(s p11.SessionHandle) error {
			if err := h.admin.FindObjectsInit(s, attributes{p11.CKA_LABEL: label}.with(nil)); err != nil {
				return err
			}
			found, _, err := h.admin.FindObjects(s, 1)
			h.admin.FindObjectsFinal(s)
			if err != nil || len(found) == 0 {
				return fmt.Errorf("the key is not there: %w", err)
			}
			return h.admin.DestroyObject(s, found[0])
		})
	}
	remove()
	_, err := kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: esdk.AES256GCM})
	if !errors.Is(err, pkcs11.ErrNoKey) {
		t.Errorf("without the key: %v", err)
	}
	h.importAES(label, key)
	bothWays(t, kr, must[esdk.Keyring](t)(esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "corp", Name: "backup", Key: key})))
}

// Many callers share few sessions.
func TestTokenConcurrent(t *testing.T) {
	h := newHardware(t)
	c := h.config()
	c.Sessions = 3
	token := h.open(c)
	label := newName("aes")
	h.generateAES(label)
	kr := aes(t, token, label)
	var workers sync.WaitGroup
	for range 12 {
		workers.Go(func() {
			for range 20 {
				exchange(t, "among others", kr, kr)
			}
		})
	}
	workers.Wait()
}

// Two Tokens share one library, and closing one doesn't affect the other.
func TestTokenShared(t *testing.T) {
	h := newHardware(t)
	token, other := h.open(h.config()), h.open(h.config())
	label := newName("aes")
	h.generateAES(label)
	kr := aes(t, token, label)
	exchange(t, "with two", kr, aes(t, other, label))
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	exchange(t, "with one", kr, kr)
}
