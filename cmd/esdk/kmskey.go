package main

import (
	"context"
	"crypto/ecdh"
	"crypto/rsa"
	"strings"

	"esdk"
	"esdk/awskms"
)

// kms is how keyrings of AWS KMS reach it. They share their clients, so that the
// AWS SDK's configuration is read once.
func (a *app) kms() awskms.Config {
	if a.kmsClients == nil {
		a.kmsClients = awskms.DefaultClients()
	}
	return awskms.Config{Clients: a.kmsClients}
}

// isKMSKey reports whether a key is one of AWS KMS by its ARN or alias.
func isKMSKey(text string) bool {
	return strings.HasPrefix(text, "arn:") || strings.HasPrefix(text, "alias/")
}

// kmsKeyring wraps under all of the keys at the same time.
func (a *app) kmsKeyring(keys []string) (esdk.Keyring, error) {
	return awskms.NewMRKKeyring(a.kms(), keys[0], keys[1:]...)
}

func (a *app) kmsARNKeyring(_ context.Context, text string, _ bool) (esdk.Keyring, error) {
	return a.kmsKeyring([]string{"arn:" + text})
}

func (a *app) kmsAliasKeyring(_ context.Context, text string, _ bool) (esdk.Keyring, error) {
	return a.kmsKeyring([]string{"alias/" + text})
}

// kmsDiscoveryKeyring reads PARTITION/ACCOUNT[,ACCOUNT]...[@REGION].
func (a *app) kmsDiscoveryKeyring(_ context.Context, text string, encrypt bool) (esdk.Keyring, error) {
	if encrypt {
		return nil, usageError("discovery only decrypts").withHint("to encrypt, name the key: -k arn:…")
	}
	text, region, hasRegion := strings.Cut(text, "@")
	partition, accounts, _ := strings.Cut(text, "/")
	if partition == "" || accounts == "" || hasRegion && region == "" {
		return nil, usageError("want kms-discovery:PARTITION/ACCOUNT[,ACCOUNT]...[@REGION], such as kms-discovery:aws/111122223333")
	}
	filter := &awskms.Filter{Partition: partition, Accounts: strings.Split(accounts, ",")}
	if hasRegion {
		return awskms.NewMRKDiscoveryKeyring(a.kms(), filter, region)
	}
	return awskms.NewDiscoveryKeyring(a.kms(), filter)
}

// kmsRSAKeyring reads ARN[@PUBLIC-FILE][?pad=PADDING].
func (a *app) kmsRSAKeyring(_ context.Context, text string, encrypt bool) (esdk.Keyring, error) {
	text, padding, err := cutPadding(text)
	if err != nil {
		return nil, err
	}
	arn, file, _ := strings.Cut(text, "@")
	c := awskms.RSAConfig{KeyID: arn, Hash: paddings[padding]}
	if padding != "oaep-sha1" && padding != "oaep-sha256" {
		return nil, usageError("padding %q is not one of oaep-sha1, oaep-sha256", padding)
	}
	if file == "" && encrypt {
		return nil, usageError("to encrypt, the key's public key is needed").withHint("write kms-rsa:ARN@PUBLIC-FILE")
	}
	if file != "" {
		data, err := a.readKeyFile(file)
		if err != nil {
			return nil, err
		}
		if c.PublicKey, err = esdk.ParsePEM[*rsa.PublicKey](data); err != nil {
			return nil, usageError("%s: %v", file, err)
		}
	}
	return awskms.NewRSAKeyring(a.kms(), c)
}

// kmsECDHKeyring reads ARN[@PEER-FILE].
func (a *app) kmsECDHKeyring(ctx context.Context, text string, encrypt bool) (esdk.Keyring, error) {
	arn, file, _ := strings.Cut(text, "@")
	if file == "" && encrypt {
		return nil, usageError("to encrypt, the peer's public key is needed").withHint("write kms-ecdh:ARN@PEER-FILE")
	}
	if file == "" {
		return awskms.NewECDHDiscoveryKeyring(ctx, a.kms(), arn, nil)
	}
	data, err := a.readKeyFile(file)
	if err != nil {
		return nil, err
	}
	peer, err := esdk.ParsePEM[*ecdh.PublicKey](data)
	if err != nil {
		return nil, usageError("%s: %v", file, err)
	}
	return awskms.NewECDHKeyring(ctx, a.kms(), arn, nil, peer)
}
