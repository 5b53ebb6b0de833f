//go:build linux

package main

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"esdk"
)

// uploads is the number of concurrent uploads.
const uploads = 16

// A truth is the expected result of an audit.
type truth struct {
	mu           sync.Mutex
	messages     tally
	noMessages   tally
	suites, keys map[string]tally

	dir string // of the key file
}

// keyArguments returns the arguments that open all messages.
func (t *truth) keyArguments() []string {
	var args []string
	for _, name := range keyNames {
		args = append(args, "-k", "aes:lake/"+name+"@"+filepath.Join(t.dir, "key"))
	}
	return args
}

var keyNames = []string{"2025", "2026"}

var suites = []esdk.SuiteID{esdk.AES256GCMHKDFSHA512CommitECDSAP384, esdk.AES256GCMHKDFSHA512Commit, esdk.AES256GCMHKDFSHA256, esdk.AES256GCMHKDFSHA384ECDSAP384}

// fill puts objects of 1 to 64 KiB into the bucket, one in 50 of which isn't a
// message.
func fill(ctx context.Context, s *store, o *options) (*truth, error) {
	dir, err := os.MkdirTemp("", "auditlake-")
	if err != nil {
		return nil, err
	}
	t := &truth{suites: make(map[string]tally), keys: make(map[string]tally), dir: dir}
	key := make([]byte, 32)
	crand.Read(key)
	if err := os.WriteFile(filepath.Join(dir, "key"), fmt.Appendf(nil, "%x\n", key), 0o600); err != nil {
		return nil, err
	}
	clients, err := newClients(key)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	numbers, failed := make(chan int), make(chan error, uploads)
	var workers sync.WaitGroup
	for range uploads {
		workers.Go(func() {
			for n := range numbers {
				if err := t.put(ctx, s, clients, o.seed, n); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	for n := range o.objects {
		select {
		case numbers <- n:
		case err := <-failed:
			return nil, err
		}
	}
	close(numbers)
	workers.Wait()
	select {
	case err := <-failed:
		return nil, err
	default:
	}
	fmt.Printf("%d objects, %d MiB, made and put in %.0f s\n", o.objects, (t.messages.Bytes+t.noMessages.Bytes)>>20, time.Since(start).Seconds())
	return t, nil
}

// A client makes messages of one suite under one key.
type client struct {
	*esdk.Client
	key   string
	suite esdk.SuiteID
}

func newClients(key []byte) (clients []client, err error) {
	for _, name := range keyNames {
		kr, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "lake", Name: name, Key: key})
		if err != nil {
			return nil, err
		}
		for _, suite := range suites {
			policy := esdk.RequireEncryptRequireDecrypt
			if !suite.Commits() {
				policy = esdk.ForbidEncryptAllowDecrypt
			}
			c, err := esdk.New(esdk.Config{Keyring: kr, Suite: suite, CommitmentPolicy: policy})
			if err != nil {
				return nil, err
			}
			clients = append(clients, client{c, name, suite})
		}
	}
	return clients, nil
}

// put makes one object. Nine out of ten are outside the directory "0/", which
// is a sample.
func (t *truth) put(ctx context.Context, s *store, clients []client, seed uint64, n int) error {
	random := rand.New(rand.NewPCG(seed, uint64(n)))
	content := bytes.Repeat([]byte{byte(n), 7}, 1+int(math.Exp2(9+6*random.Float64())))
	name := fmt.Sprintf("%d/%08d", n%10, n)
	if random.IntN(50) == 0 {
		t.mu.Lock()
		t.noMessages = t.noMessages.plus(len(content))
		t.mu.Unlock()
		content[0] = 'x'
		return s.put(ctx, name, content)
	}
	c := clients[random.IntN(len(clients))]
	message, _, err := c.Encrypt(ctx, content, esdk.EncryptionContext{"part": strings.Repeat("p", random.IntN(30))})
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.messages = t.messages.plus(len(message))
	suite := fmt.Sprintf("0x%04x %v", uint16(c.suite), c.suite)
	t.suites[suite] = t.suites[suite].plus(len(message))
	t.keys["lake/"+c.key] = t.keys["lake/"+c.key].plus(len(message))
	t.mu.Unlock()
	return s.put(ctx, name, message)
}

func (t tally) plus(n int) tally { return tally{t.Messages + 1, t.Verified, t.Bytes + int64(n)} }

// compare fails unless the audit's result is right.
func (t *truth) compare(s *summary, verified bool) error {
	want := t.messages
	if verified {
		want.Verified = want.Messages
	}
	if s.Messages != want || s.NoMessages != t.noMessages || s.Broken.Messages+s.Failed.Messages != 0 {
		return fmt.Errorf("messages %+v, others %+v, broken %+v, failed %+v; want %+v and %+v", s.Messages, s.NoMessages, s.Broken, s.Failed, want, t.noMessages)
	}
	if got := byName(s.Suites); !maps.Equal(got, t.suites) {
		return fmt.Errorf("suites %+v, want %+v", got, t.suites)
	}
	if got := byName(s.WrappingKeys); !maps.Equal(got, t.keys) {
		return fmt.Errorf("wrapping keys %+v, want %+v", got, t.keys)
	}
	return nil
}

// byName returns tallies by name, without the numbers of verified messages.
func byName(list []named) map[string]tally {
	m := make(map[string]tally)
	for _, n := range list {
		m[n.Name] = tally{n.Messages, 0, n.Bytes}
	}
	return m
}
