package esdk_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha512"
	"fmt"
	"io"
	"math"
	"runtime"
	"sync"
	"testing"
	"time"

	"esdk"
)

const (
	unsigned = esdk.AES256GCMHKDFSHA512Commit
	signed   = esdk.AES256GCMHKDFSHA512CommitECDSAP384

	kib = 1 << 10
	mib = 1 << 20
)

// An operation is a repeated step of a benchmark. prepare isn't measured.
type operation struct {
	name    string
	prepare func(tb testing.TB, id esdk.SuiteID, size, cores int) func()
}

var operations = []operation{
	{"Encrypt", func(tb testing.TB, id esdk.SuiteID, size, cores int) func() {
		client, plaintext, _ := benchmarkMessage(tb, id, size, cores)
		return func() { mustDo(tb, second(client.Encrypt(tb.Context(), plaintext, nil))) }
	}},
	{"Decrypt", func(tb testing.TB, id esdk.SuiteID, size, cores int) func() {
		client, _, message := benchmarkMessage(tb, id, size, cores)
		return func() { mustDo(tb, second(client.Decrypt(tb.Context(), message, nil))) }
	}},
	{"AppendEncrypt", func(tb testing.TB, id esdk.SuiteID, size, cores int) func() {
		client, plaintext, message := benchmarkMessage(tb, id, size, cores)
		dst := make([]byte, 0, len(message))
		return func() { mustDo(tb, second(client.AppendEncrypt(tb.Context(), dst, plaintext, nil))) }
	}},
	{"AppendDecrypt", func(tb testing.TB, id esdk.SuiteID, size, cores int) func() {
		client, _, message := benchmarkMessage(tb, id, size, cores)
		dst := make([]byte, 0, len(message))
		return func() { mustDo(tb, second(client.AppendDecrypt(tb.Context(), dst, message, nil))) }
	}},
	{"Writer", func(tb testing.TB, id esdk.SuiteID, size, cores int) func() {
		client, plaintext, _ := benchmarkMessage(tb, id, size, cores)
		return func() {
			w, err := client.NewWriter(tb.Context(), io.Discard, nil)
			mustDo(tb, err)
			_, err = w.ReadFrom(bytes.NewReader(plaintext))
			mustDo(tb, err)
			mustDo(tb, w.Close())
		}
	}},
	{"Reader", func(tb testing.TB, id esdk.SuiteID, size, cores int) func() {
		client, _, message := benchmarkMessage(tb, id, size, cores)
		return func() {
			r, err := client.NewReader(tb.Context(), bytes.NewReader(message), nil)
			mustDo(tb, err)
			_, err = r.WriteTo(io.Discard)
			mustDo(tb, err)
		}
	}},
}

func second[T, U any](_ T, _ U, err error) error { return err }

func mustDo(tb testing.TB, err error) {
	if err != nil {
		tb.Fatal(err)
	}
}

func benchmarkMessage(tb testing.TB, id esdk.SuiteID, size, cores int) (client *esdk.Client, plaintext, message []byte) {
	client = newClient(tb, esdk.Config{Suite: id, Concurrency: cores})
	plaintext = pattern(size)
	message, _, err := client.Encrypt(tb.Context(), plaintext, nil)
	mustDo(tb, err)
	return client, plaintext, message
}

// BenchmarkMessage measures each operation alone, including its allocations.
func BenchmarkMessage(b *testing.B) {
	for _, op := range operations {
		for _, id := range []esdk.SuiteID{unsigned, signed} {
			for _, size := range []int{kib, mib, 100 * mib} {
				for _, cores := range []int{1, 2} {
					if size == kib && cores > 1 {
						continue
					}
					b.Run(fmt.Sprintf("op=%s/suite=%04x/KiB=%d/cores=%d", op.name, uint16(id), size/kib, cores), func(b *testing.B) {
						run := op.prepare(b, id, size, cores)
						b.SetBytes(int64(size))
						b.ReportAllocs()
						for b.Loop() {
							run()
						}
					})
				}
			}
		}
	}
}

// BenchmarkTarget compares each operation with the fastest possible code for
// the machine, measured in alternation. The metrics are the speed relative to
// the limit's: from the fastest time of each, which noise hardly affects, and
// from the sums.
func BenchmarkTarget(b *testing.B) {
	streams := operations[4:]
	inPlace := operations[2:4]
	allocating := operations[:2]
	for _, t := range []struct {
		name  string
		limit func(testing.TB) func()
		ops   []operation
		id    esdk.SuiteID
		size  int
		cores int
	}{
		{"goal=0.92/limit=AES-GCM", limitGCM, inPlace, unsigned, 100 * mib, 1},
		{"goal=0.92/limit=AES-GCM,new-output", limitGCMNew, allocating, unsigned, 100 * mib, 1},
		{"goal=0.85/limit=AES-GCM", limitGCM, streams, unsigned, 100 * mib, 1},
		{"goal=1.65/limit=AES-GCM", limitGCM, inPlace, unsigned, 100 * mib, 2},
		{"goal=1.65/limit=AES-GCM,new-output", limitGCMNew, allocating, unsigned, 100 * mib, 2},
		{"goal=1.50/limit=AES-GCM", limitGCM, streams, unsigned, 100 * mib, 2},
		{"goal=0.95/limit=SHA-384", limitSHA384, operations, signed, 100 * mib, 2},
		{"goal=0.67/limit=forced-calls", limitSmallEncrypt, operations[:1], unsigned, kib, 1},
		{"goal=0.67/limit=forced-calls", limitSmallDecrypt, operations[1:2], unsigned, kib, 1},
		{"goal=0.87/limit=P-384", limitSign, operations[:1], signed, kib, 1},
		{"goal=0.87/limit=P-384", limitVerify, operations[1:2], signed, kib, 1},
	} {
		for _, op := range t.ops {
			name := fmt.Sprintf("op=%s/suite=%04x/KiB=%d/cores=%d/%s", op.name, uint16(t.id), t.size/kib, t.cores, t.name)
			b.Run(name, func(b *testing.B) { compare(b, t.limit(b), op.prepare(b, t.id, t.size, t.cores)) })
		}
	}
}

// compare runs a limit and the measured operation in alternation.
func compare(b *testing.B, limit, run func()) {
	b.StopTimer()
	best, sum := [2]float64{math.Inf(1), math.Inf(1)}, [2]float64{}
	repeat := 1
	if start := time.Now(); true {
		limit()
		repeat = max(1, int(2*time.Millisecond/max(1, time.Since(start))))
	}
	for range b.N {
		for i, f := range []func(){limit, run} {
			start := time.Now()
			if i == 1 {
				b.StartTimer()
			}
			for range repeat {
				f()
			}
			b.StopTimer()
			t := time.Since(start).Seconds()
			best[i] = min(best[i], t)
			sum[i] += t
		}
	}
	b.ReportMetric(best[0]/best[1], "best-of-limit")
	b.ReportMetric(sum[0]/sum[1], "mean-of-limit")
}

func newGCM(tb testing.TB, key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	mustDo(tb, err)
	aead, err := cipher.NewGCM(block)
	mustDo(tb, err)
	return aead
}

// frameAAD is as long as the additional data of a regular frame.
var frameAAD = make([]byte, 32+28+12)

// sealBlocks is the bare loop that all unsigned operations are compared with.
func sealBlocks(aead cipher.AEAD, dst, plaintext []byte) []byte {
	nonce := make([]byte, 12)
	for ; len(plaintext) > 0; plaintext = plaintext[4096:] {
		dst = aead.Seal(dst, nonce, plaintext[:4096], frameAAD)
	}
	return dst
}

func limitGCM(tb testing.TB) func() {
	aead, plaintext := newGCM(tb, make([]byte, 32)), pattern(100*mib)
	dst := make([]byte, 0, sealedSize)
	return func() { sealBlocks(aead, dst, plaintext) }
}

const sealedSize = 100*mib + 100*mib/4096*16

var sink []byte

// limitGCMNew allocates its output each time, as Encrypt and Decrypt do.
func limitGCMNew(tb testing.TB) func() {
	aead, plaintext := newGCM(tb, make([]byte, 32)), pattern(100*mib)
	return func() { sink = sealBlocks(aead, make([]byte, 0, sealedSize), plaintext) }
}

func limitSHA384(testing.TB) func() {
	plaintext := pattern(100 * mib)
	return func() { sha512.Sum384(plaintext) }
}

// limitSmallEncrypt makes the calls that the format requires for a short
// message: random bytes, the wrapped data key, one extraction and two
// expansions of HKDF, the header tag and a frame.
func limitSmallEncrypt(tb testing.TB) func() {
	wrapping, plaintext := newGCM(tb, make([]byte, 32)), pattern(kib)
	return func() {
		random := make([]byte, 32+32+12)
		rand.Read(random)
		dataKey, id, nonce := random[:32], random[32:64], random[64:]
		wrapping.Seal(nil, nonce, dataKey, nil)
		content := deriveKeys(tb, dataKey, id)
		content.Seal(nil, nonce, nil, make([]byte, 191))
		content.Seal(nil, nonce, plaintext, frameAAD)
	}
}

func limitSmallDecrypt(tb testing.TB) func() {
	wrapping, nonce, id := newGCM(tb, make([]byte, 32)), make([]byte, 12), make([]byte, 32)
	dataKey, header := make([]byte, 32), make([]byte, 191)
	wrapped := wrapping.Seal(nil, nonce, dataKey, nil)
	content := deriveKeys(tb, dataKey, id)
	tag, frame := content.Seal(nil, nonce, nil, header), content.Seal(nil, nonce, pattern(kib), frameAAD)
	return func() {
		dataKey, err := wrapping.Open(nil, nonce, wrapped, nil)
		mustDo(tb, err)
		content := deriveKeys(tb, dataKey, id)
		_, err = content.Open(nil, nonce, tag, header)
		mustDo(tb, err)
		_, err = content.Open(nil, nonce, frame, frameAAD)
		mustDo(tb, err)
	}
}

func deriveKeys(tb testing.TB, dataKey, id []byte) cipher.AEAD {
	content, _ := expand(tb, dataKey, id)
	return newGCM(tb, content)
}

const contentInfo, commitmentInfo = "\x04\x78DERIVEKEY", "COMMITKEY"

func expand(tb testing.TB, dataKey, id []byte) (content, commitment []byte) {
	prk, err := hkdf.Extract(sha512.New, dataKey, id)
	mustDo(tb, err)
	content, err = hkdf.Expand(sha512.New, prk, contentInfo, 32)
	mustDo(tb, err)
	commitment, err = hkdf.Expand(sha512.New, prk, commitmentInfo, 32)
	mustDo(tb, err)
	return content, commitment
}

// expandOneHMAC shows what HKDF costs if both expansions use one HMAC. The
// library doesn't do that, since crypto/hkdf can't.
func expandOneHMAC(dataKey, id []byte) (content, commitment []byte) {
	extractor := hmac.New(sha512.New, id)
	extractor.Write(dataKey)
	expander := hmac.New(sha512.New, extractor.Sum(nil))
	expander.Write([]byte(contentInfo + "\x01"))
	content = expander.Sum(nil)[:32]
	expander.Reset()
	expander.Write([]byte(commitmentInfo + "\x01"))
	return content, expander.Sum(nil)[:32]
}

func limitHKDF(tb testing.TB) func() {
	dataKey, id := pattern(32), make([]byte, 32)
	return func() { expand(tb, dataKey, id) }
}

func limitOneHMAC(tb testing.TB) func() {
	dataKey, id := pattern(32), make([]byte, 32)
	content, commitment := expand(tb, dataKey, id)
	if c, k := expandOneHMAC(dataKey, id); !bytes.Equal(c, content) || !bytes.Equal(k, commitment) {
		tb.Fatal("one HMAC derives other keys")
	}
	return func() { expandOneHMAC(dataKey, id) }
}

func limitSign(tb testing.TB) func() {
	digest := make([]byte, 48)
	return func() {
		key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		mustDo(tb, err)
		_, err = ecdsa.SignASN1(rand.Reader, key, digest)
		mustDo(tb, err)
	}
}

func limitVerify(tb testing.TB) func() {
	digest := make([]byte, 48)
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	mustDo(tb, err)
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest)
	mustDo(tb, err)
	return func() {
		if !ecdsa.VerifyASN1(&key.PublicKey, digest, signature) {
			tb.Fatal("own signature")
		}
	}
}

// BenchmarkScaling measures how much faster two goroutines make short messages
// than one, all with one client. In an empty heap, garbage is collected every
// few hundred messages, on a core that is idle with one goroutine but not with
// two. So it's also measured in a larger heap, as a service has, and with the
// forced calls alone.
func BenchmarkScaling(b *testing.B) {
	for _, heap := range []int{0, 100} {
		benchmarkScaling(b, heap)
	}
}

func benchmarkScaling(b *testing.B, heap int) {
	live := make([]byte, heap*mib)
	defer runtime.KeepAlive(live)
	for _, op := range operations[:2] {
		for _, id := range []esdk.SuiteID{unsigned, signed} {
			b.Run(fmt.Sprintf("op=%s/suite=%04x/KiB=1/heapMiB=%d/goal=1.80", op.name, uint16(id), heap), func(b *testing.B) {
				compareGoroutines(b, op.prepare(b, id, kib, 1))
			})
		}
	}
	for name, limit := range map[string]func(testing.TB) func(){"encrypt": limitSmallEncrypt, "decrypt": limitSmallDecrypt} {
		b.Run(fmt.Sprintf("limit=forced-calls-%s/heapMiB=%d", name, heap), func(b *testing.B) { compareGoroutines(b, limit(b)) })
	}
}

// compareGoroutines compares two goroutines with one.
func compareGoroutines(b *testing.B, run func()) {
	const messages = 1000
	many := func(goroutines int) func() {
		return func() {
			var group sync.WaitGroup
			for range goroutines {
				group.Go(func() {
					for range messages / goroutines {
						run()
					}
				})
			}
			group.Wait()
		}
	}
	compare(b, many(1), many(2))
}

// BenchmarkLimit measures the limits alone.
func BenchmarkLimit(b *testing.B) {
	for _, l := range []struct {
		name  string
		limit func(testing.TB) func()
		size  int64
	}{
		{"AES-GCM", limitGCM, 100 * mib}, {"AES-GCM,new-output", limitGCMNew, 100 * mib}, {"SHA-384", limitSHA384, 100 * mib},
		{"forced-calls-encrypt", limitSmallEncrypt, kib}, {"forced-calls-decrypt", limitSmallDecrypt, kib},
		{"HKDF", limitHKDF, 0}, {"HKDF,one-HMAC", limitOneHMAC, 0},
		{"P-384-generate-sign", limitSign, 0}, {"P-384-verify", limitVerify, 0},
	} {
		b.Run("limit="+l.name, func(b *testing.B) {
			run := l.limit(b)
			b.SetBytes(l.size)
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
		})
	}
}
