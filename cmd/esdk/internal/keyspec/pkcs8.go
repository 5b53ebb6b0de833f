package keyspec

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/scrypt"
)

// Specification: encrypted private keys are the EncryptedPrivateKeyInfo of RFC
// 5958, encrypted with PBES2 of RFC 8018, with scrypt as in RFC 7914.

// Limits for key files: 10 million iterations take seconds, as does scrypt with
// its limits of work and 256 MiB.
const (
	maxIterations   = 10_000_000
	maxSalt         = 1024
	maxScryptMemory = 256 << 20 // bytes, 128 * N * r
	maxScryptWork   = 4 << 30   // the same times p
)

// newIterations is the number that OWASP recommends for PBKDF2 with
// HMAC-SHA256.
const newIterations = 600_000

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidScrypt = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}

	oidHMACSHA1   = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}
	oidHMACSHA256 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidHMACSHA384 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 10}
	oidHMACSHA512 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}

	oidAES128CBC = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}
	oidAES192CBC = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 22}
	oidAES256CBC = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
)

// prfs are the hash functions of PBKDF2, by the OID of their HMAC.
var prfs = map[string]func() hash.Hash{
	oidHMACSHA1.String(): sha1.New, oidHMACSHA256.String(): sha256.New,
	oidHMACSHA384.String(): sha512.New384, oidHMACSHA512.String(): sha512.New,
}

// cbcKeyLengths are the key lengths of AES in CBC mode, in bytes.
var cbcKeyLengths = map[string]int{oidAES128CBC.String(): 16, oidAES192CBC.String(): 24, oidAES256CBC.String(): 32}

type algorithm struct {
	Algorithm  asn1.ObjectIdentifier
	Parameters asn1.RawValue `asn1:"optional"`
}

type encryptedPrivateKey struct {
	Algorithm algorithm
	Data      []byte
}

type pbes2Params struct{ KDF, Encryption algorithm }

type pbkdf2Params struct {
	Salt       []byte
	Iterations int64
	KeyLength  int64     `asn1:"optional"`
	PRF        algorithm `asn1:"optional"`
}

type scryptParams struct {
	Salt      []byte
	N, R, P   int64
	KeyLength int64 `asn1:"optional"`
}

var (
	errPassphrase = errors.New("the passphrase is wrong, or the file is damaged")
	errOldPKCS8   = errors.New("the private key is encrypted in an unsupported way")
	errPKCS8      = errors.New("the encrypted private key is malformed")
)

// unmarshal parses a value and requires that nothing follows it.
func unmarshal(der []byte, value any) error {
	rest, err := asn1.Unmarshal(der, value)
	if err != nil || len(rest) > 0 {
		return errPKCS8
	}
	return nil
}

// decryptPKCS8 decrypts a private key. The encryption isn't authenticated: for
// one in 256 wrong passphrases, it returns bytes that aren't a key.
func decryptPKCS8(der, passphrase []byte) ([]byte, error) {
	var k encryptedPrivateKey
	if err := unmarshal(der, &k); err != nil {
		return nil, err
	}
	if !k.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, errOldPKCS8
	}
	var params pbes2Params
	if err := unmarshal(k.Algorithm.Parameters.FullBytes, &params); err != nil {
		return nil, err
	}
	length, ok := cbcKeyLengths[params.Encryption.Algorithm.String()]
	if !ok {
		return nil, errOldPKCS8
	}
	var iv []byte
	if err := unmarshal(params.Encryption.Parameters.FullBytes, &iv); err != nil {
		return nil, err
	}
	if len(iv) != aes.BlockSize || len(k.Data) == 0 || len(k.Data)%aes.BlockSize != 0 {
		return nil, errPKCS8
	}
	block, err := newBlock(&params.KDF, passphrase, length)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(k.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, k.Data)
	padding := int(plain[len(plain)-1])
	if padding < 1 || padding > aes.BlockSize {
		clear(plain)
		return nil, errPassphrase
	}
	for _, b := range plain[len(plain)-padding:] {
		if int(b) != padding {
			clear(plain)
			return nil, errPassphrase
		}
	}
	return plain[:len(plain)-padding], nil
}

// newBlock returns AES with a key derived from a passphrase.
func newBlock(kdf *algorithm, passphrase []byte, length int) (cipher.Block, error) {
	key, err := deriveKey(kdf, passphrase, length)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	return aes.NewCipher(key)
}

// deriveKey derives a key of length bytes from a passphrase.
func deriveKey(kdf *algorithm, passphrase []byte, length int) ([]byte, error) {
	switch {
	case kdf.Algorithm.Equal(oidPBKDF2):
		var p pbkdf2Params
		if err := unmarshal(kdf.Parameters.FullBytes, &p); err != nil {
			return nil, err
		}
		if p.PRF.Algorithm == nil {
			p.PRF.Algorithm = oidHMACSHA1 // the default of RFC 8018
		}
		prf, null := prfs[p.PRF.Algorithm.String()], p.PRF.Parameters.FullBytes
		switch {
		case null != nil && !bytes.Equal(null, asn1.NullBytes):
			return nil, errPKCS8
		case prf == nil:
			return nil, errOldPKCS8
		case p.Iterations < 1 || len(p.Salt) > maxSalt || p.KeyLength != 0 && p.KeyLength != int64(length):
			return nil, errPKCS8
		case p.Iterations > maxIterations:
			return nil, fmt.Errorf("%d iterations for the passphrase, at most %d are allowed", p.Iterations, maxIterations)
		}
		return pbkdf2.Key(prf, string(passphrase), p.Salt, int(p.Iterations), length)
	case kdf.Algorithm.Equal(oidScrypt):
		var p scryptParams
		if err := unmarshal(kdf.Parameters.FullBytes, &p); err != nil {
			return nil, err
		}
		if p.N < 2 || p.N&(p.N-1) != 0 || p.R < 1 || p.P < 1 || len(p.Salt) > maxSalt || p.KeyLength != 0 && p.KeyLength != int64(length) {
			return nil, errPKCS8
		}
		// Division avoids overflow.
		if p.N > maxScryptMemory/128/p.R || p.P > maxScryptWork/128/p.R/p.N {
			return nil, fmt.Errorf("scrypt with N=%d, r=%d, p=%d for the passphrase, at most %d MiB are allowed", p.N, p.R, p.P, maxScryptMemory>>20)
		}
		return scrypt.Key(passphrase, p.Salt, int(p.N), int(p.R), int(p.P), length)
	}
	return nil, errOldPKCS8
}

// encryptPKCS8 encrypts a private key with PBKDF2, HMAC-SHA256 and AES-256-CBC,
// which other programs can read too.
func encryptPKCS8(plain, passphrase []byte) ([]byte, error) {
	salt, iv := make([]byte, 16), make([]byte, aes.BlockSize)
	rand.Read(salt)
	rand.Read(iv)
	prf := algorithm{Algorithm: oidHMACSHA256, Parameters: asn1.NullRawValue}
	kdf := newAlgorithm(oidPBKDF2, pbkdf2Params{Salt: salt, Iterations: newIterations, PRF: prf})
	block, err := newBlock(&kdf, passphrase, 32)
	if err != nil {
		return nil, err
	}
	padding := aes.BlockSize - len(plain)%aes.BlockSize
	data := make([]byte, len(plain)+padding)
	for i := copy(data, plain); i < len(data); i++ {
		data[i] = byte(padding)
	}
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(data, data)
	params := pbes2Params{KDF: kdf, Encryption: newAlgorithm(oidAES256CBC, iv)}
	return asn1.Marshal(encryptedPrivateKey{Algorithm: newAlgorithm(oidPBES2, params), Data: data})
}

// newAlgorithm panics if the parameters can't be encoded.
func newAlgorithm(id asn1.ObjectIdentifier, parameters any) algorithm {
	der, err := asn1.Marshal(parameters)
	if err != nil {
		panic("keyspec: " + err.Error())
	}
	return algorithm{Algorithm: id, Parameters: asn1.RawValue{FullBytes: der}}
}
