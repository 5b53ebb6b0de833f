package keyspec

import (
	"cmp"
	"context"

	"esdk"
	"esdk/awskms"
)

// kinds returns the kinds of keys, in the order of the documentation. A new
// kind is added here.
func kinds() []kind {
	return []kind{
		localKind(), aesKind(), rsaKind(), ecdhKind(), hpkeKind(), kmsKind(),
		kmsDiscoveryKind(), kmsRSAKind(), kmsECDHKind(), branchKind(), pkcs11Kind(), serviceKind(), namedKind(),
	}
}

func localKind() kind {
	return kind{
		name:     "local",
		forms:    []form{{"local", "local", (*Keys).localKeyring}, {"local@", "local@FILE", (*Keys).localCopyKeyring}},
		optional: []string{"file"},
		configured: func(ks *Keys, ctx context.Context, k *KeyConfig, encrypt bool) (esdk.Keyring, error) {
			if k.File != "" {
				return ks.localCopyKeyring(ctx, k.File, encrypt)
			}
			return ks.localKeyring(ctx, "", encrypt)
		},
		help: `  local
      An AES-256 key in the user's configuration directory. It is created when
      it first encrypts, and esdk always says so. Keep a copy of it: without it,
      the messages under it are lost. It is never created below a home directory
      that doesn't exist.
  local@FILE
      A copy of a local key, such as another machine's.`,
	}
}

func aesKind() kind {
	return kind{
		name:     "aes",
		forms:    []form{{"aes:", "aes:[NAMESPACE/NAME]@FILE[?format=FORMAT]", (*Keys).aesKeyring}},
		needed:   []string{"file"},
		optional: []string{"namespace", "name", "format"},
		configured: func(ks *Keys, _ context.Context, k *KeyConfig, encrypt bool) (esdk.Keyring, error) {
			return ks.NewAESKeyring(k.Namespace, k.Name, k.File, k.Format, encrypt)
		},
		help: `  aes:NAMESPACE/NAME@FILE[?format=FORMAT]
  aes:@FILE[?format=FORMAT]
  FILE
      An AES key of 128, 192 or 256 bits. FILE is written by "esdk keygen aes",
      or holds the key as raw bytes, hex or Base64 text. Hex is tried before
      Base64. A file that can be both raw and text is rejected without a FORMAT:
      raw, hex or base64. A FILE of "esdk keygen aes --name NAMESPACE/NAME"
      contains its name, and is enough.`,
		example: `  [keys.backup]
  type = "aes"
  namespace = "corp"
  name = "backup-2026"
  file = "backup.key"        # if it contains its name, namespace and name are optional
  format = "base64"          # or raw or hex; optional`,
	}
}

func rsaKind() kind {
	return kind{
		name:     "rsa",
		forms:    []form{{"rsa:", "rsa:NAMESPACE/NAME@FILE[?pad=PADDING]", (*Keys).rsaKeyring}},
		needed:   []string{"namespace", "name", "file"},
		optional: []string{"padding", "passphrase-file"},
		configured: func(ks *Keys, _ context.Context, k *KeyConfig, encrypt bool) (esdk.Keyring, error) {
			return ks.NewRSAKeyring(k.Namespace, k.Name, k.File, cmp.Or(k.Padding, DefaultPadding), k.PassphraseFile, encrypt)
		},
		help: `  rsa:NAMESPACE/NAME@FILE[?pad=PADDING]
      An RSA key in PEM. The public key encrypts, the private key does both.
      PADDING is pkcs1, oaep-sha1, oaep-sha256 (the default), oaep-sha384 or
      oaep-sha512.`,
		example: `  [keys.archive]
  type = "rsa"
  namespace = "corp"
  name = "archive"
  file = "~/keys/archive.pem"
  padding = "oaep-sha384"    # as on the command line`,
	}
}

func ecdhKind() kind {
	return kind{
		name:     "ecdh",
		forms:    []form{{"ecdh:", "ecdh:[PEER-FILE][@OWN-FILE]", (*Keys).ecdhKeyring}},
		optional: []string{"peer", "own", "passphrase-file"},
		configured: func(ks *Keys, _ context.Context, k *KeyConfig, encrypt bool) (esdk.Keyring, error) {
			return ks.newECDHKeyring(k.Peer, k.Own, k.PassphraseFile, encrypt)
		},
		help: `  ecdh:PEER-FILE@OWN-FILE
  ecdh:PEER-FILE
  ecdh:@OWN-FILE
      Elliptic-curve key agreement (P-256, P-384, P-521) between the peer's public
      key and your own private key, both in PEM. Either side decrypts. Without
      OWN-FILE it only encrypts, with a fresh key for each message. Without
      PEER-FILE it only decrypts, from any sender.`,
		example: `  [keys.alice]
  type = "ecdh"
  peer = "alice-public.pem"
  own = "mine.pem"
  passphrase-file = "mine.passphrase"    # if own is encrypted; otherwise it is asked for`,
	}
}

func hpkeKind() kind {
	return kind{
		name:     "hpke",
		forms:    []form{{"hpke:", "hpke:NAME@FILE", (*Keys).hpkeKeyring}},
		needed:   []string{"name", "file"},
		optional: []string{"passphrase-file"},
		configured: func(ks *Keys, _ context.Context, k *KeyConfig, encrypt bool) (esdk.Keyring, error) {
			return ks.newHPKEKeyring(k.Name, k.File, k.PassphraseFile, encrypt)
		},
		help: `  hpke:NAME@FILE
      A key of ML-KEM-768 and X25519 together (HPKE), which also withstands a
      quantum computer. "esdk keygen hpke" creates FILE. The public key encrypts,
      the private key does both. Other SDKs don't support it: to let them decrypt
      the message, add a -k of another kind.`,
		example: `  [keys.vault]
  type = "hpke"
  name = "vault-2026"
  file = "vault.pem"         # or the public key, to encrypt`,
	}
}

func kmsKind() kind {
	return kind{
		name:     "kms",
		forms:    []form{{"arn:", "arn:…:key/ID", (*Keys).kmsARNKeyring}, {"alias/", "alias/NAME", (*Keys).kmsAliasKeyring}},
		needed:   []string{"key"},
		optional: []string{"aws-profile"},
		configured: func(ks *Keys, _ context.Context, k *KeyConfig, _ bool) (esdk.Keyring, error) {
			return ks.newKMSKeyring(ks.KMS(k.AWSProfile), []string{k.Key})
		},
		help: `  arn:…:key/ID
  alias/NAME
      A symmetric key of AWS KMS. Messages name their key by ARN, so an alias
      encrypts but doesn't decrypt. Any replica of a multi-Region key decrypts.`,
		example: `  [keys.app]
  type = "kms"
  key = "arn:aws:kms:eu-west-1:111122223333:key/…"   # or an alias, to encrypt
  aws-profile = "payments"   # in the AWS SDK's configuration; also for the other AWS types`,
	}
}

func kmsDiscoveryKind() kind {
	return kind{
		name:     "kms-discovery",
		forms:    []form{{"kms-discovery:", "kms-discovery:PARTITION/ACCOUNT[,ACCOUNT]...[@REGION]", (*Keys).kmsDiscoveryKeyring}},
		needed:   []string{"partition", "accounts"},
		optional: []string{"region", "aws-profile"},
		configured: func(ks *Keys, _ context.Context, k *KeyConfig, encrypt bool) (esdk.Keyring, error) {
			return newKMSDiscoveryKeyring(ks.KMS(k.AWSProfile), &awskms.Filter{Partition: k.Partition, Accounts: k.Accounts}, k.Region, encrypt)
		},
		help: `  kms-discovery:PARTITION/ACCOUNT[,ACCOUNT]...[@REGION]
      Decrypts with the key of AWS KMS that the message names, if it belongs to one
      of the accounts, such as kms-discovery:aws/111122223333. Each key is used in
      its own Region. With a REGION, only keys there are used, and replicas
      there of multi-Region keys.`,
		example: `  [keys.anyone]
  type = "kms-discovery"
  partition = "aws"
  accounts = ["111122223333"]
  region = "eu-west-1"       # optional`,
	}
}

func kmsRSAKind() kind {
	return kind{
		name:     "kms-rsa",
		forms:    []form{{"kms-rsa:", "kms-rsa:ARN[@PUBLIC-FILE][?pad=PADDING]", (*Keys).kmsRSAKeyring}},
		needed:   []string{"key"},
		optional: []string{"file", "padding", "aws-profile"},
		configured: func(ks *Keys, _ context.Context, k *KeyConfig, encrypt bool) (esdk.Keyring, error) {
			return ks.newKMSRSAKeyring(ks.KMS(k.AWSProfile), k.Key, k.File, cmp.Or(k.Padding, DefaultPadding), encrypt)
		},
		help: `  kms-rsa:ARN[@PUBLIC-FILE][?pad=PADDING]
      An RSA key of AWS KMS. The public key in FILE encrypts, without AWS; AWS KMS
      decrypts. PADDING is oaep-sha256 (the default) or oaep-sha1. Suites with
      signatures are rejected: encrypt with --unsigned.`,
		example: `  [keys.partner]
  type = "kms-rsa"
  key = "arn:…"
  file = "partner-public.pem"    # to encrypt
  padding = "oaep-sha256"        # or oaep-sha1`,
	}
}

func kmsECDHKind() kind {
	return kind{
		name:     "kms-ecdh",
		forms:    []form{{"kms-ecdh:", "kms-ecdh:ARN[@PEER-FILE]", (*Keys).kmsECDHKeyring}},
		needed:   []string{"key"},
		optional: []string{"peer", "aws-profile"},
		configured: func(ks *Keys, ctx context.Context, k *KeyConfig, encrypt bool) (esdk.Keyring, error) {
			return ks.newKMSECDHKeyring(ctx, ks.KMS(k.AWSProfile), k.Key, k.Peer, encrypt)
		},
		help: `  kms-ecdh:ARN[@PEER-FILE]
      Like ecdh:, with your own private key in AWS KMS.`,
		example: `  [keys.agreed]
  type = "kms-ecdh"
  key = "arn:…"
  peer = "alice-public.pem"      # without it, decrypts messages from any sender`,
	}
}

func branchKind() kind {
	return kind{
		name:     "branch",
		forms:    []form{{"branch:", "branch:TABLE/BRANCH-KEY-ID[?kms=ARN]", (*Keys).branchKeyring}},
		needed:   []string{"id"},
		optional: []string{"table", "file", "name", "key", "former", "aws-profile"},
		configured: func(ks *Keys, ctx context.Context, k *KeyConfig, encrypt bool) (esdk.Keyring, error) {
			o := &StoreOptions{Table: k.Table, File: k.File, LogicalName: k.Name, KMSKey: k.Key, FormerKeys: k.Former, AWSProfile: k.AWSProfile}
			return ks.newBranchKeyring(ctx, o, k.ID, encrypt)
		},
		help: `  branch:TABLE/BRANCH-KEY-ID[?kms=ARN]
      A branch key in a key store, a DynamoDB table, created by "esdk keystore".
      AWS KMS is called once in ten minutes, not for each message. Without kms=ARN
      it only decrypts, with the KMS key that the branch key names. With
      former=ARN, it may also be under a KMS key that it is being re-keyed from.
      With file=FILE the key store is a file, and TABLE its logical name.`,
		example: `  [keys.tenant]
  type = "branch"
  table = "keys"             # or file = "keys.db" and name = "keys"
  id = "tenant-17"
  key = "arn:…"              # optional to decrypt
  former = ["arn:…"]         # only while branch keys are re-keyed from these`,
	}
}

func pkcs11Kind() kind {
	return kind{
		name:     "pkcs11",
		forms:    []form{{"pkcs11:", "pkcs11:token=TOKEN;object=LABEL?module-path=FILE…", (*Keys).pkcs11Keyring}},
		needed:   []string{"uri"},
		optional: []string{"peer"},
		configured: func(ks *Keys, ctx context.Context, k *KeyConfig, encrypt bool) (esdk.Keyring, error) {
			return ks.newPKCS11Keyring(ctx, k.URI, k.Peer, encrypt)
		},
		help: `  pkcs11:token=TOKEN;object=LABEL?module-path=FILE&namespace=NAMESPACE&name=NAME
  pkcs11:token=TOKEN;object=LABEL?module-path=FILE[&peer=PEER-FILE]
      A key in a hardware security module or another token of PKCS #11, as a URI of
      RFC 7512 (in quotes, for the shell): AES or RSA, with pad=PADDING as above,
      and without namespace and name ECDH. The key may also be given by its id, and
      the token by its serial, model, manufacturer or slot-id. If an AES key and an
      RSA key match, set type to secret-key for AES, or private for RSA. FILE is
      the token's library. The PIN is read from a file, pin-source=file:/PATH, or
      asked for on the terminal. iv=token is for tokens that generate the IV. This
      needs the full build, with cgo.`,
		example: `  [keys.hsm]
  type = "pkcs11"
  uri = "pkcs11:token=corp;object=backup?module-path=/usr/lib/…"  # as on the command line
  peer = "alice-public.pem"  # for ECDH`,
	}
}

func serviceKind() kind {
	return kind{
		name:   "keyservice",
		forms:  []form{serviceForm("hashivault", "KEY"), serviceForm("gcpkms", "projects/…"), serviceForm("azurekeyvault", "VAULT/keys/KEY/VERSION")},
		needed: []string{"key"},
		configured: func(ks *Keys, ctx context.Context, k *KeyConfig, _ bool) (esdk.Keyring, error) {
			return ks.newServiceKeyring(ctx, k.Key)
		},
		help: `  hashivault://KEY
  gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K
  azurekeyvault://VAULT.vault.azure.net/keys/KEY/VERSION
      A key of HashiCorp Vault's transit engine, of Google Cloud KMS or of Azure
      Key Vault, in the full build. VAULT_ADDR and VAULT_TOKEN give the address and
      token of Vault. Messages name their key by this text, and decryption needs
      the same text. Only esdk can decrypt these messages.`,
		example: `  [keys.orders]
  type = "keyservice"
  key = "hashivault://orders"    # or another service's, as on the command line`,
	}
}

func namedKind() kind {
	return kind{
		forms: []form{{"@", "@NAME", (*Keys).configuredKeyring}},
		help: `  @NAME
      A key of the configuration file; see "esdk help config".`,
	}
}

const helpIntro = `A key is given as -k KEY, and -k can be repeated. To encrypt, the first key
generates the data key, and any one of the keys decrypts. To decrypt, the keys are
tried in order.
`

const helpOutro = `
NAMESPACE and NAME are stored in the message, and decryption needs the same ones.
The other SDKs call them key namespace (or provider ID) and key name (or key ID).

Credentials, Region and endpoint of AWS KMS come from the AWS SDK: its environment
variables, ~/.aws/config, roles. A key's ARN gives its Region.

A private key in a FILE can be encrypted (PKCS #8, as "esdk keygen --passphrase" and
OpenSSL write it). The passphrase is asked for on the terminal, or read from the
only line of the file given by ?passphrase-file=FILE, or after another option by
&passphrase-file=FILE.

FILE can be - for standard input, or /dev/fd/N, and ~/ is the home directory. A file
with a question mark in its name must be given in the configuration. In the value of
an option, %26 stands for & and %25 for %. Quote a KEY that has ?, ; or & for the
shell. No secret is ever taken from the command line or the environment, except for
the credentials of key services.
`
