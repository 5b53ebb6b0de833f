package main

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"esdk/esdktest/kmssim"
	"esdk/interop/peer"
)

const (
	home    = "us-west-2"
	foreign = "eu-west-1"
)

var curves = map[string]ecdh.Curve{"ecc-256": ecdh.P256(), "ecc-384": ecdh.P384(), "ecc-521": ecdh.P521()}

var curveNames = slices.Sorted(maps.Keys(curves))

// An entry is an entry of a keys manifest.
type entry map[string]any

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// storeKeys are the keys in AWS KMS that protect key stores, before and after
// re-keying.
type storeKeys struct{ first, second string }

// writeKeys makes all keys of a run. It returns the path of their manifest, and
// the keys of key stores.
func writeKeys(dir string, sim *kmssim.Server) (path string, stores storeKeys) {
	keys := map[string]entry{}
	addRawKeys(keys)
	stores = storeKeys{addKMSKeys(keys, sim), sim.CreateKey(home, types.KeySpecSymmetricDefault)}
	path = dir + "/keys.json"
	text := must(json.MarshalIndent(map[string]any{"manifest": map[string]any{"type": "keys", "version": 3}, "keys": keys}, "", "  "))
	if err := os.WriteFile(path, text, 0o600); err != nil {
		panic(err)
	}
	return path, stores
}

func addRawKeys(keys map[string]entry) {
	for _, bits := range []int{128, 192, 256} {
		key := make([]byte, bits/8)
		rand.Read(key)
		name := fmt.Sprintf("aes-%d", bits)
		keys[name] = entry{
			"encrypt": true, "decrypt": true, "algorithm": "aes", "type": "symmetric", "bits": bits, "key-id": name,
			"encoding": "base64", "material": base64.StdEncoding.EncodeToString(key),
		}
	}
	private := must(rsa.GenerateKey(rand.Reader, 2048))
	for kind, text := range map[string]string{"private": privatePEM(private), "public": publicPEM(&private.PublicKey)} {
		keys["rsa-2048-"+kind] = entry{
			"encrypt": true, "decrypt": kind == "private", "algorithm": "rsa", "type": kind, "bits": 2048, "key-id": "rsa-2048",
			"encoding": "pem", "material": text,
		}
	}
	for name, curve := range curves {
		alice, bob := must(curve.GenerateKey(rand.Reader)), must(curve.GenerateKey(rand.Reader))
		keys[name+"-private"] = ecdhEntry(name, "ecc-private", privatePEM(alice), privatePEM(bob), publicDER(alice.PublicKey()), publicDER(bob.PublicKey()))
		// This is the recipient's side of the same agreement.
		keys[name+"-turned"] = ecdhEntry(name, "ecc-private", privatePEM(bob), privatePEM(alice), publicDER(bob.PublicKey()), publicDER(alice.PublicKey()))
	}
}

func ecdhEntry(id, kind, sender, recipient string, senderPublic, recipientPublic []byte) entry {
	return entry{
		"encrypt": true, "decrypt": true, "algorithm": "ecdh", "type": kind, "key-id": id, "encoding": "pem", "public-key-encoding": "base64-der",
		"sender-material": sender, "recipient-material": recipient,
		"sender-material-public-key": senderPublic, "recipient-material-public-key": recipientPublic,
	}
}

func addKMSKeys(keys map[string]entry, sim *kmssim.Server) (storeKey string) {
	symmetric := func(name, arn string) {
		keys[name] = entry{"encrypt": true, "decrypt": true, "type": "aws-kms", "key-id": arn}
	}
	storeKey = sim.CreateKey(home, types.KeySpecSymmetricDefault)
	symmetric("kms", storeKey)
	primary := sim.CreateMultiRegionKey(home, types.KeySpecSymmetricDefault)
	symmetric("kms-primary", primary)
	symmetric("kms-replica", sim.Replicate(primary, foreign))

	arn := sim.CreateKey(home, types.KeySpecRsa2048)
	keys["kms-rsa"] = entry{
		"encrypt": true, "decrypt": true, "algorithm": "rsa", "type": "aws-kms-rsa", "bits": 2048, "key-id": arn,
		"encoding": "pem", "material": pemText("PUBLIC KEY", kmsPublicKey(sim, arn)),
	}
	for name, spec := range map[string]types.KeySpec{
		"ecc-256": types.KeySpecEccNistP256, "ecc-384": types.KeySpecEccNistP384, "ecc-521": types.KeySpecEccNistP521,
	} {
		alice, bob := sim.CreateKey(home, spec), sim.CreateKey(home, spec)
		alicePublic, bobPublic := kmsPublicKey(sim, alice), kmsPublicKey(sim, bob)
		keys["kms-"+name] = ecdhEntry(name, "aws-kms-ecdh", alice, bob, alicePublic, bobPublic)
		keys["kms-"+name+"-turned"] = ecdhEntry(name, "aws-kms-ecdh", bob, alice, bobPublic, alicePublic)
	}
	return storeKey
}

func kmsPublicKey(sim *kmssim.Server, arn string) []byte {
	return must(sim.Client(home).GetPublicKey(context.Background(), &kms.GetPublicKeyInput{KeyId: &arn})).PublicKey
}

func privatePEM(key any) string {
	return pemText("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key)))
}

func publicPEM(key any) string { return pemText("PUBLIC KEY", publicDER(key)) }

func publicDER(key any) []byte { return must(x509.MarshalPKIXPublicKey(key)) }

func pemText(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// A use is a key to encrypt with, and several keys each of which decrypts
// alone.
type use struct {
	encrypt  *peer.Key
	decrypts []*peer.Key
}

func both(k *peer.Key) use { return use{k, []*peer.Key{k}} }

func aes(bits int) use {
	return both(&peer.Key{Type: "raw", Key: fmt.Sprintf("aes-%d", bits), ProviderID: "interop-aes", Algorithm: "aes"})
}

func rsaKey(padding string) use {
	key := func(kind string) *peer.Key {
		k := &peer.Key{Type: "raw", Key: "rsa-2048-" + kind, ProviderID: "interop-rsa", Algorithm: "rsa", Padding: "oaep-mgf1", Hash: padding}
		if padding == "pkcs1" {
			// The format requires a hash here, too, without effect.
			k.Padding, k.Hash = "pkcs1", "sha1"
		}
		return k
	}
	return use{key("public"), []*peer.Key{key("private")}}
}

// agreement describes a key agreement with the entry named name.
func agreement(kind, name, curve, schema string) *peer.Key {
	k := &peer.Key{
		Type: kind, Schema: schema, Curve: curve, ProviderID: kind, Recipient: name, RecipientPublicKey: "recipient-material-public-key",
		Sender: schema, SenderPublicKey: schema,
	}
	if schema == "static" {
		k.Sender, k.SenderPublicKey = name, "sender-material-public-key"
	}
	return k
}

// static returns a use in which the sender, the recipient, and a discovery
// keyring with the recipient's key decrypt.
func static(kind, curve string) use {
	name := map[string]string{"raw-ecdh": curve, "aws-kms-ecdh": "kms-" + curve}[kind]
	entry := name
	if kind == "raw-ecdh" {
		entry = name + "-private"
	}
	own := agreement(kind, entry, curve, "static")
	return use{own, []*peer.Key{own, agreement(kind, name+"-turned", curve, "static"), agreement(kind, entry, curve, "discovery")}}
}

func ephemeral(curve string) use {
	return use{
		agreement("raw-ecdh", curve+"-private", curve, "ephemeral"),
		[]*peer.Key{agreement("raw-ecdh", curve+"-private", curve, "discovery")},
	}
}

// multi returns a use in which all members decrypt together, and each alone.
func multi(members ...use) use {
	u := use{encrypt: &peer.Key{Type: "multi-keyring", Generator: members[0].encrypt, Children: []*peer.Key{}}}
	together := &peer.Key{Type: "multi-keyring", Children: []*peer.Key{}}
	for i, m := range members {
		if i > 0 {
			u.encrypt.Children = append(u.encrypt.Children, m.encrypt)
		}
		last := m.decrypts[len(m.decrypts)-1]
		together.Children = append(together.Children, last)
		u.decrypts = append(u.decrypts, last)
	}
	u.decrypts = append(u.decrypts, together)
	return u
}

func kmsKey(name string) *peer.Key { return &peer.Key{Type: "aws-kms", Key: name} }

func mrk(name string) *peer.Key { return &peer.Key{Type: "aws-kms-mrk-aware", Key: name} }

var filter = &peer.Filter{Partition: "aws", Accounts: []string{kmssim.Account}}

func discovery() *peer.Key {
	return &peer.Key{Type: "aws-kms-discovery", Region: home, Filter: filter}
}

func mrkDiscovery(region string) *peer.Key {
	return &peer.Key{Type: "aws-kms-mrk-aware-discovery", MRKRegion: region, Filter: filter}
}

func kmsRSA(hash string) use {
	return both(&peer.Key{Type: "aws-kms-rsa", Key: "kms-rsa", Algorithm: "RSAES_OAEP_" + hash})
}

func branchKey(table, arn, id string) use {
	// Key identifies it for our side, whose descriptions have no other fields.
	return both(&peer.Key{Type: "branch-key", Key: table + " " + arn + " " + id, Table: table, KMS: arn, ID: id})
}

func required(u use, keys []string) use {
	wrap := func(k *peer.Key) *peer.Key {
		return &peer.Key{Type: "required-encryption-context-cmm", Underlying: k, RequiredKeys: keys}
	}
	out := use{encrypt: wrap(u.encrypt)}
	for _, k := range u.decrypts {
		out.decrypts = append(out.decrypts, wrap(k))
	}
	return out
}
