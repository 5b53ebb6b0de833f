package awskms_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"math/big"
	"runtime"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"esdk"
	"esdk/awskms"
	"esdk/esdktest/kmssim"
)

// blank is a client that always returns empty answers.
type blank struct{}

func (blank) Encrypt(context.Context, *kms.EncryptInput, ...func(*kms.Options)) (*kms.EncryptOutput, error) {
	return new(kms.EncryptOutput), nil
}

func (blank) Decrypt(context.Context, *kms.DecryptInput, ...func(*kms.Options)) (*kms.DecryptOutput, error) {
	return new(kms.DecryptOutput), nil
}

func (blank) GenerateDataKey(context.Context, *kms.GenerateDataKeyInput, ...func(*kms.Options)) (*kms.GenerateDataKeyOutput, error) {
	return new(kms.GenerateDataKeyOutput), nil
}

func (blank) GetPublicKey(context.Context, *kms.GetPublicKeyInput, ...func(*kms.Options)) (*kms.GetPublicKeyOutput, error) {
	return new(kms.GetPublicKeyOutput), nil
}

func (blank) DeriveSharedSecret(context.Context, *kms.DeriveSharedSecretInput, ...func(*kms.Options)) (*kms.DeriveSharedSecretOutput, error) {
	return new(kms.DeriveSharedSecretOutput), nil
}

func (blank) DescribeKey(context.Context, *kms.DescribeKeyInput, ...func(*kms.Options)) (*kms.DescribeKeyOutput, error) {
	return new(kms.DescribeKeyOutput), nil
}

// none is a client that returns neither answers nor errors.
type none struct{}

func (none) Encrypt(context.Context, *kms.EncryptInput, ...func(*kms.Options)) (*kms.EncryptOutput, error) {
	return nil, nil
}

func (none) Decrypt(context.Context, *kms.DecryptInput, ...func(*kms.Options)) (*kms.DecryptOutput, error) {
	return nil, nil
}

func (none) GenerateDataKey(context.Context, *kms.GenerateDataKeyInput, ...func(*kms.Options)) (*kms.GenerateDataKeyOutput, error) {
	return nil, nil
}

func (none) GetPublicKey(context.Context, *kms.GetPublicKeyInput, ...func(*kms.Options)) (*kms.GetPublicKeyOutput, error) {
	return nil, nil
}

func (none) DeriveSharedSecret(context.Context, *kms.DeriveSharedSecretInput, ...func(*kms.Options)) (*kms.DeriveSharedSecretOutput, error) {
	return nil, nil
}

func (none) DescribeKey(context.Context, *kms.DescribeKeyInput, ...func(*kms.Options)) (*kms.DescribeKeyOutput, error) {
	return nil, nil
}

// switched uses the simulated KMS until it gets clients of its own.
type switched struct {
	sim
	clients awskms.Clients
}

func (s *switched) Client(ctx context.Context, region string) (awskms.Client, error) {
	if s.clients != nil {
		return s.clients.Client(ctx, region)
	}
	return s.sim.Client(ctx, region)
}

// TestBadClients gives each keyring clients that break their contract, in both
// directions. Each call fails, none panics, and the same keyring works once the
// clients are good again.
func TestBadClients(t *testing.T) {
	s := &switched{sim: newSim(t)}
	bad := map[string]clientsFunc{
		"no client":               func(string) (awskms.Client, error) { return nil, nil },
		"a nil *kms.Client":       func(string) (awskms.Client, error) { return (*kms.Client)(nil), nil },
		"a nil pointer":           func(string) (awskms.Client, error) { return (*none)(nil), nil },
		"no answer":               func(string) (awskms.Client, error) { return none{}, nil },
		"an answer of zero value": func(string) (awskms.Client, error) { return blank{}, nil },
	}
	for name, k := range allKeyringsOf(t, s.sim, awskms.Config{Clients: s}) {
		t.Run(name, func(t *testing.T) {
			s.clients = nil
			r := wrap(t, k.encrypt, nil)
			for fault, clients := range bad {
				s.clients = clients
				if r, err := tryWrap(t, k.encrypt, nil); !k.offline && (err == nil || r != nil) {
					t.Errorf("%s: Wrap: %v, %v", fault, r, err)
				}
				if none := wantNone(t, k.decrypt, r.EncryptedDataKeys...); len(none.Errors) == 0 {
					t.Errorf("%s: Unwrap: %v", fault, none)
				}
			}
			s.clients = nil
			wantKey(t, k.decrypt, r.DataKey, r.EncryptedDataKeys...)
		})
	}
	peer := must[*ecdh.PrivateKey](t)(ecdh.P256().GenerateKey(rand.Reader)).PublicKey()
	for fault, clients := range bad {
		for _, id := range []string{"alias/x", "arn:aws:kms:us-west-2:111122223333:key/1"} {
			c := awskms.Config{Clients: clients}
			if kr, err := awskms.NewECDHKeyring(t.Context(), c, awskms.ECDHConfig{KeyID: id, Peer: peer}); err == nil || kr != nil {
				t.Errorf("%s: NewECDHKeyring: %v, %v", fault, kr, err)
			}
			if kr, err := awskms.NewECDHDiscoveryKeyring(t.Context(), c, awskms.ECDHConfig{KeyID: id}); err == nil || kr != nil {
				t.Errorf("%s: NewECDHDiscoveryKeyring: %v, %v", fault, kr, err)
			}
		}
		if arn, err := awskms.ResolveAlias(t.Context(), awskms.Config{Clients: clients}, "alias/x"); err == nil || arn != "" {
			t.Errorf("%s: ResolveAlias: %q, %v", fault, arn, err)
		}
	}
}

// If the clients are bad for one Region or key, the keyring tries the others.
func TestBadClientsElsewhere(t *testing.T) {
	s := newSim(t)
	arn := s.symmetric(east)
	primary, replica := s.mrk()
	for fault, client := range map[string]awskms.Client{"nothing": nil, "nil pointer": (*kms.Client)(nil), "no answer": none{}, "zero value": blank{}} {
		c := awskms.Config{Clients: clientsFunc(func(region string) (awskms.Client, error) {
			if region == east {
				return s.Client(t.Context(), region)
			}
			return client, nil
		})}
		r := wrap(t, mustKeyring(t)(awskms.NewKeyring(s.config(), arn)), nil)
		wantKey(t, mustKeyring(t)(awskms.NewDiscoveryKeyring(c, nil, west, east)), r.DataKey, r.EncryptedDataKeys...)
		both := wrap(t, mustKeyring(t)(awskms.NewKeyring(s.config(), primary, replica)), nil)
		wantKey(t, mustKeyring(t)(awskms.NewKeyring(c, primary, replica)), both.DataKey, both.EncryptedDataKeys...)
		wantKey(t, mustKeyring(t)(awskms.NewMRKDiscoveryKeyring(c, nil, west, east)), both.DataKey, both.EncryptedDataKeys...)
		if t.Failed() {
			t.Fatal(fault)
		}
	}
}

// Every constructor rejects a FixedClient with a nil pointer.
func TestFixedNilPointer(t *testing.T) {
	const arn = "arn:aws:kms:us-west-2:111122223333:key/1"
	key := must[*ecdh.PrivateKey](t)(ecdh.P256().GenerateKey(rand.Reader)).PublicKey()
	for _, client := range []awskms.Client{nil, (*kms.Client)(nil), (*none)(nil)} {
		c := awskms.Config{Clients: awskms.FixedClient(client)}
		for name, build := range map[string]func() (esdk.Keyring, error){
			"NewKeyring":             func() (esdk.Keyring, error) { return awskms.NewKeyring(c, arn) },
			"NewMRKKeyring":          func() (esdk.Keyring, error) { return awskms.NewMRKKeyring(c, arn) },
			"NewDiscoveryKeyring":    func() (esdk.Keyring, error) { return awskms.NewDiscoveryKeyring(c, nil) },
			"NewMRKDiscoveryKeyring": func() (esdk.Keyring, error) { return awskms.NewMRKDiscoveryKeyring(c, nil, west) },
			"NewRSAKeyring":          func() (esdk.Keyring, error) { return awskms.NewRSAKeyring(c, awskms.RSAConfig{KeyID: arn}) },
			"NewECDHKeyring": func() (esdk.Keyring, error) {
				return awskms.NewECDHKeyring(t.Context(), c, awskms.ECDHConfig{KeyID: arn, PublicKey: key, Peer: key})
			},
			"NewECDHDiscoveryKeyring": func() (esdk.Keyring, error) {
				return awskms.NewECDHDiscoveryKeyring(t.Context(), c, awskms.ECDHConfig{KeyID: arn, PublicKey: key})
			},
		} {
			kr, err := build()
			if kr != nil {
				t.Errorf("%s: a keyring of the client %T(nil)", name, client)
			}
			wantText(t, err, "FixedClient has no client")
		}
	}
}

// Constructors reject zero keys, and RSA keys that can't encrypt.
func TestIncompleteKeys(t *testing.T) {
	const arn = "arn:aws:kms:us-west-2:111122223333:key/1"
	c := awskms.Config{Clients: awskms.FixedClient(blank{})}
	good := must[*ecdh.PrivateKey](t)(ecdh.P256().GenerateKey(rand.Reader)).PublicKey()
	empty := new(ecdh.PublicKey)
	for _, keys := range [][2]*ecdh.PublicKey{{empty, good}, {good, empty}, {empty, empty}} {
		if kr, err := awskms.NewECDHKeyring(t.Context(), c, awskms.ECDHConfig{KeyID: arn, PublicKey: keys[0], Peer: keys[1]}); err == nil || kr != nil {
			t.Errorf("NewECDHKeyring: %v, %v", kr, err)
		}
	}
	if kr, err := awskms.NewECDHDiscoveryKeyring(t.Context(), c, awskms.ECDHConfig{KeyID: arn, PublicKey: empty}); err == nil || kr != nil {
		t.Errorf("NewECDHDiscoveryKeyring: %v, %v", kr, err)
	}

	n := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048)).N
	even := new(big.Int).Add(n, big.NewInt(1))
	for name, public := range map[string]*rsa.PublicKey{
		"zero value":        {},
		"no modulus":        {E: 65537},
		"no exponent":       {N: n},
		"exponent 1":        {N: n, E: 1},
		"exponent 2":        {N: n, E: 2},
		"negative exponent": {N: n, E: -3},
		"even exponent":     {N: n, E: 65536},
		"negative modulus":  {N: new(big.Int).Neg(n), E: 65537},
		"even modulus":      {N: even, E: 65537},
		"2047 bits":         {N: new(big.Int).Rsh(n, 1), E: 65537},
	} {
		if kr, err := awskms.NewRSAKeyring(c, awskms.RSAConfig{KeyID: arn, PublicKey: public}); err == nil || kr != nil {
			t.Errorf("NewRSAKeyring, %s: %v, %v", name, kr, err)
		}
	}
	for _, e := range []int{3, 65537} {
		kr := mustKeyring(t)(awskms.NewRSAKeyring(c, awskms.RSAConfig{KeyID: arn, PublicKey: &rsa.PublicKey{N: n, E: e}}))
		wrap(t, kr, nil)
	}
}

// An RSA keyring copies the caller's public key.
func TestRSAKeepsItsOwn(t *testing.T) {
	s := newSim(t)
	arn := s.CreateKey(west, types.KeySpecRsa2048)
	public := rsaPublicKey(t, s, arn)
	kr := mustKeyring(t)(awskms.NewRSAKeyring(s.config(), awskms.RSAConfig{KeyID: arn, PublicKey: public}))
	public.N.SetInt64(1)
	public.E = 1
	r := wrap(t, kr, nil)
	wantKey(t, kr, r.DataKey, r.EncryptedDataKeys...)
}

// leaving is a client that ends the goroutine in Encrypt.
type leaving struct{ awskms.Client }

func (leaving) Encrypt(context.Context, *kms.EncryptInput, ...func(*kms.Options)) (*kms.EncryptOutput, error) {
	runtime.Goexit()
	return nil, nil
}

// If a client ends its goroutine, the call fails. Otherwise, the message would
// have an empty encrypted data key.
func TestClientEndsGoroutine(t *testing.T) {
	s := newSim(t)
	generator, one, two := s.symmetric(west), s.symmetric(east), s.symmetric(west)
	c := awskms.Config{Clients: clientsFunc(func(region string) (awskms.Client, error) {
		client, err := s.Client(t.Context(), region)
		if region == east {
			client = leaving{client}
		}
		return client, err
	})}
	kr := mustKeyring(t)(awskms.NewKeyring(c, generator, two, one))
	r, err := tryWrap(t, kr, nil)
	if r != nil {
		t.Errorf("there is a result, with %d encrypted data keys", len(r.EncryptedDataKeys))
	}
	wantText(t, err, "child keyring 1: ")
}

// A panic of a client reaches the caller, who may recover from it, even though
// the requests run in other goroutines.
func TestClientPanics(t *testing.T) {
	s := newSim(t)
	c := awskms.Config{Clients: clientsFunc(func(region string) (awskms.Client, error) {
		client, err := s.Client(t.Context(), region)
		return panicking{client}, err
	})}
	kr := mustKeyring(t)(awskms.NewKeyring(c, s.symmetric(west), s.symmetric(east)))
	defer func() {
		if p := recover(); p != "no client" {
			t.Errorf("panic: %v", p)
		}
	}()
	r, err := tryWrap(t, kr, nil)
	t.Errorf("%v, %v", r, err)
}

type panicking struct{ awskms.Client }

func (panicking) Encrypt(context.Context, *kms.EncryptInput, ...func(*kms.Options)) (*kms.EncryptOutput, error) {
	panic("no client")
}

// The constructor rejects a nil pointer as Clients.
func TestNilClients(t *testing.T) {
	var none *noClients
	if kr, err := awskms.NewKeyring(awskms.Config{Clients: none}, "arn:aws:kms:us-west-2:111122223333:key/1"); err == nil {
		t.Errorf("%v", kr)
	}
}

type noClients struct{}

func (*noClients) Client(context.Context, string) (awskms.Client, error) { return nil, nil }

// If a client clears its input, the data key of the message stays intact.
func TestClientClears(t *testing.T) {
	s := newSim(t)
	c := awskms.Config{Clients: clientsFunc(func(region string) (awskms.Client, error) {
		client, err := s.Client(t.Context(), region)
		return clearing{client}, err
	})}
	dataKey := bytes.Repeat([]byte{7}, 32)
	kr := mustKeyring(t)(awskms.NewKeyring(c, s.symmetric(west)))
	if _, err := kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: esdk.AES256GCM, DataKey: dataKey}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(dataKey, bytes.Repeat([]byte{7}, 32)) {
		t.Error("the data key was cleared")
	}
}

type clearing struct{ awskms.Client }

func (c clearing) Encrypt(ctx context.Context, in *kms.EncryptInput, options ...func(*kms.Options)) (*kms.EncryptOutput, error) {
	defer clear(in.Plaintext)
	return c.Client.Encrypt(ctx, in, options...)
}

// The error explains a wrong encryption context, based on the answer of AWS KMS
// or on the keyring's own check.
func TestWrongContext(t *testing.T) {
	s := newSim(t)
	for name, k := range allKeyrings(t, s) {
		edks := wrap(t, k.encrypt, nil).EncryptedDataKeys
		for _, ec := range []esdk.EncryptionContext{nil, {"purpose": "test"}, {"purpose": "test", "stagé": "ünit"}, {"purpose": "test", "stage": "unit"}} {
			dataKey, err := k.decrypt.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: unsigned, EncryptionContext: ec, EncryptedDataKeys: edks})
			// Only RSA can be certain.
			if dataKey != nil || !errors.Is(err, esdk.ErrNoDataKey) || errors.Is(err, esdk.ErrEncryptionContext) != (name == "RSA") {
				t.Errorf("%s, %q: %v", name, ec, err)
			}
			wantText(t, err, "encryption context", "KMS key arn:")
		}
	}
	// Other failures are not blamed on the context.
	arn := s.symmetric(west)
	kr := mustKeyring(t)(awskms.NewKeyring(s.config(), arn))
	edks := wrap(t, kr, nil).EncryptedDataKeys
	for _, f := range []*kmssim.Fault{{Code: "AccessDeniedException"}, {Code: "DisabledException"}, {Garbage: []byte("<html>")}} {
		s.fault("Decrypt", f)
		if none := wantNone(t, kr, edks...); strings.Contains(none.Error(), "encryption context") {
			t.Errorf("%+v: %v", f, none)
		}
	}
}
