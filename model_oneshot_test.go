package esdk_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"esdk"
)

// TestModelOneShot encrypts and decrypts into reused memory.
func TestModelOneShot(t *testing.T) {
	runModel(t, 250, func(t *rapid.T) { drawOneShotProgram(t).run(t) })
}

type oneShotProgram struct {
	config  modelConfig
	total   int
	limit   int64
	asks    int // of both contexts
	damaged bool
	memory  [2]reusedMemory // to encrypt and to decrypt into
	overlap [2]bool
}

// reusedMemory has a prefix to keep and some room, in hundredths of the needed
// size.
type reusedMemory struct{ prefix, room int }

func (p *oneShotProgram) String() string {
	return fmt.Sprintf("%v, %d bytes, limit %d, context asked %d times, memory {prefix, room in %%} %v, overlaps: %v", p.config, p.total, p.limit, p.asks, p.memory, p.overlap)
}

func drawOneShotProgram(t *rapid.T) *oneShotProgram {
	p := &oneShotProgram{config: drawConfig(t), asks: never}
	p.total = p.config.drawSize(t, p.config.budget, "plaintext")
	p.damaged = rapid.Bool().Draw(t, "damaged")
	for i := range p.memory {
		p.memory[i] = reusedMemory{
			prefix: rapid.SampledFrom([]int{0, 1, 100, 5000}).Draw(t, "prefix"),
			room:   rapid.SampledFrom([]int{0, 10, 90, 100, 101, 150, 400}).Draw(t, "room"),
		}
		p.overlap[i] = rapid.IntRange(0, 19).Draw(t, "overlap") == 19
	}
	switch rapid.IntRange(0, 9).Draw(t, "trouble") {
	case 9:
		p.asks = rapid.IntRange(1, 20).Draw(t, "asks")
	case 8, 7:
		p.limit = int64(max(1, p.total+rapid.SampledFrom([]int{0, -1, 1, -p.config.frame, p.config.frame}).Draw(t, "limit")))
	}
	return p
}

// appendsTo makes such memory for n bytes and calls the function with it. It
// checks that the prefix is kept and, if the call failed, that the rest is
// unchanged or cleared. It returns the appended bytes.
func (m reusedMemory) appendsTo(n int, f func(dst []byte) ([]byte, error)) ([]byte, error) {
	size := m.prefix + n*m.room/100
	if m.room > 100 {
		size += 200
	}
	before := noise()[checkedNoise:]
	size = min(size, len(before))
	before = before[:size]
	dst := bytes.Clone(before)
	got, err := f(dst[:m.prefix])
	if !bytes.Equal(dst[:m.prefix], before[:m.prefix]) {
		return nil, fmt.Errorf("the prefix was changed; %v", err)
	}
	if err != nil {
		if got != nil {
			return nil, fmt.Errorf("%d bytes and %v", len(got), err)
		}
		for i := m.prefix; i < size; i++ {
			if dst[i] != before[i] && dst[i] != 0 {
				return nil, fmt.Errorf("%w: %v", errLeft, err)
			}
		}
		return nil, err
	}
	if len(got) < m.prefix || !bytes.Equal(got[:m.prefix], before[:m.prefix]) {
		return nil, errors.New("the prefix was not kept")
	}
	return got[m.prefix:], nil
}

var errLeft = errors.New("model: memory has something left in it")

// overlapping returns input and memory that overlaps it.
func overlapping(input []byte) (dst, copied []byte) {
	memory := slices.Concat(input, make([]byte, 100))
	return memory[:len(input)/2], memory[:len(input):len(input)]
}

func (p *oneShotProgram) run(t *rapid.T) {
	plaintext := drawPlaintext(t, p.total)
	client := p.config.client(t, func(c *esdk.Config) { c.MaxPlaintextLength = p.limit })
	overLimit := p.limit > 0 && int64(p.total) > p.limit
	if p.overlap[0] && p.total > 1 {
		dst, input := overlapping(plaintext)
		if got, _, err := client.AppendEncrypt(t.Context(), dst, input, nil); err == nil || got != nil || !bytes.Equal(input, plaintext) {
			t.Fatalf("%v: encrypted into overlapping memory: %d bytes, %v", p, len(got), err)
		}
	}
	ctx := newModelContext(p.asks)
	var header *esdk.Header
	message, err := p.memory[0].appendsTo(p.total+p.total/p.config.frame*32+1000, func(dst []byte) (message []byte, err error) {
		message, header, err = client.AppendEncrypt(ctx, dst, plaintext, nil)
		return message, err
	})
	// Memory may hold some of an incomplete message: it's no secret.
	if wrong := ctx.seen.Load() || overLimit; wrong != (err != nil) || wrong && !errors.Is(err, errLeft) && header != nil {
		t.Fatalf("%v: Encrypt: %v", p, err)
	}
	if err != nil {
		if !overLimit || !ctx.seen.Load() && !errors.Is(err, esdk.ErrLimit) {
			return
		}
		message, header, err = p.config.client(t).Encrypt(t.Context(), plaintext, nil)
		if err != nil {
			t.Fatalf("%v: Encrypt: %v", p, err)
		}
	}
	m, err := p.config.checkMessage(message, header, p.total)
	if err != nil {
		t.Fatalf("%v: %v", p, err)
	}
	p.decrypt(t, client, message, plaintext, nil)
	if p.damaged {
		bad, d := drawDamage(t, message, m)
		p.decrypt(t, client, bad, plaintext, d)
	}
}

// decrypt decrypts a message and compares the result with the model.
func (p *oneShotProgram) decrypt(t *rapid.T, client *esdk.Client, message, plaintext []byte, d *damage) {
	what := "whole"
	if d != nil {
		what = d.what
	}
	if p.overlap[1] && len(message) > 1 {
		dst, input := overlapping(message)
		if got, _, err := client.AppendDecrypt(t.Context(), dst, input, nil); err == nil || got != nil || !bytes.Equal(input, message) {
			t.Fatalf("%v: decrypted into overlapping memory: %d bytes, %v", p, len(got), err)
		}
	}
	ctx, before := newModelContext(p.asks), bytes.Clone(message)
	var header *esdk.Header
	got, err := p.memory[1].appendsTo(p.total, func(dst []byte) (got []byte, err error) {
		got, header, err = client.AppendDecrypt(ctx, dst, message, nil)
		return got, err
	})
	if !bytes.Equal(message, before) {
		t.Fatalf("%v: Decrypt changed the message, which is %s", p, what)
	}
	wrong := ctx.seen.Load() || d != nil || p.limit > 0 && int64(p.total) > p.limit
	if wrong != (err != nil) || wrong && header != nil || errors.Is(err, errLeft) || errors.Is(err, io.EOF) {
		t.Fatalf("%v: Decrypt of a message that is %s: %d bytes, %v", p, what, len(got), err)
	}
	if !wrong && !bytes.Equal(got, plaintext) {
		t.Fatalf("%v: decrypted to %d bytes of %d, the first %d as they were", p, len(got), len(plaintext), common(got, plaintext))
	}
}
