package esdk_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha512"
	"fmt"
	"io"
	"testing"

	"esdk"
)

// benchmarkSuites are the defaults, unsigned and signed.
var benchmarkSuites = []esdk.SuiteID{esdk.AES256GCMHKDFSHA512Commit, esdk.AES256GCMHKDFSHA512CommitECDSAP384}

var benchmarkSizes = []int{1 << 10, 1 << 20, 100 << 20}

// BenchmarkLimit is what the others are measured against, in the same run: bare
// AES-GCM in blocks of 4 KiB with as much additional data as a frame has, and
// the hash of a signature.
func BenchmarkLimit(b *testing.B) {
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		b.Fatal(err)
	}
	plaintext := pattern(100 << 20)
	b.Run("AES-GCM", func(b *testing.B) {
		out := make([]byte, 0, 4096+16)
		nonce, aad := make([]byte, 12), make([]byte, 32+28+12)
		b.SetBytes(int64(len(plaintext)))
		for b.Loop() {
			for p := plaintext; len(p) > 0; p = p[4096:] {
				aead.Seal(out, nonce, p[:4096], aad)
			}
		}
	})
	b.Run("SHA-384", func(b *testing.B) {
		b.SetBytes(int64(len(plaintext)))
		for b.Loop() {
			sha512.Sum384(plaintext)
		}
	})
}

func BenchmarkEncrypt(b *testing.B) {
	forEachBenchmark(b, func(b *testing.B, client *esdk.Client, plaintext, _ []byte) {
		for b.Loop() {
			if _, _, err := client.Encrypt(b.Context(), plaintext, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDecrypt(b *testing.B) {
	forEachBenchmark(b, func(b *testing.B, client *esdk.Client, _, message []byte) {
		for b.Loop() {
			if _, _, err := client.Decrypt(b.Context(), message, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkWriter(b *testing.B) {
	forEachBenchmark(b, func(b *testing.B, client *esdk.Client, plaintext, _ []byte) {
		for b.Loop() {
			w, err := client.NewWriter(b.Context(), io.Discard, nil)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := w.ReadFrom(bytes.NewReader(plaintext)); err != nil {
				b.Fatal(err)
			}
			if err := w.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkReader(b *testing.B) {
	forEachBenchmark(b, func(b *testing.B, client *esdk.Client, _, message []byte) {
		for b.Loop() {
			r, err := client.NewReader(b.Context(), bytes.NewReader(message), nil)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := r.WriteTo(io.Discard); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func forEachBenchmark(b *testing.B, run func(b *testing.B, client *esdk.Client, plaintext, message []byte)) {
	for _, id := range benchmarkSuites {
		client := newClient(b, esdk.Config{Suite: id})
		for _, size := range benchmarkSizes {
			b.Run(fmt.Sprintf("%04x/%d", uint16(id), size), func(b *testing.B) {
				plaintext := pattern(size)
				message, _, err := client.Encrypt(b.Context(), plaintext, nil)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				run(b, client, plaintext, message)
			})
		}
	}
}
