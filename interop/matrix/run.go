package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"esdk/interop/peer"
)

// A runner runs tests with one peer.
type runner struct {
	*library
	command *command
	name    string
	process *peer.Process
	dir     string
	log     *os.File
	results *results
}

// plaintext returns n bytes, always the same for the same n.
func plaintext(n int) []byte {
	b := make([]byte, n)
	random := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	random.Read(b)
	return b
}

func (r *runner) path(name string) string { return filepath.Join(r.dir, name) }

// run runs a test, in both directions.
func (r *runner) run(ctx context.Context, t *test) {
	if t.tamper == "" {
		if !t.onlyTheirs {
			r.results.add(r.name, t, oursToTheirs, r.theirsReads(ctx, t))
		}
		if !t.onlyOurs {
			r.results.add(r.name, t, theirsToOurs, r.oursReads(ctx, t))
		}
		return
	}
	r.results.add(r.name, t, oursToTheirs, r.theirsRefuses(ctx, t))
	r.results.add(r.name, t, theirsToOurs, r.oursRefuses(ctx, t))
}

// theirsReads makes the peer decrypt our message, with each of the keys.
func (r *runner) theirsReads(ctx context.Context, t *test) error {
	in, message := r.path("plain"), r.path("message")
	text := plaintext(t.size)
	err := os.WriteFile(in, text, 0o600)
	if err == nil {
		err = r.weEncrypt(ctx, t, text, in, message)
	}
	if err != nil {
		return fmt.Errorf("we cannot encrypt: %w", err)
	}
	for _, k := range t.use.decrypts {
		got, ec, err := r.theyDecrypt(t, k, message)
		if err != nil {
			return describe(k, err)
		}
		if !bytes.Equal(got, text) {
			return describe(k, errors.New("another plaintext"))
		}
		if err := checkContext(t, ec); err != nil {
			return describe(k, err)
		}
	}
	return nil
}

func describe(k *key, err error) error {
	if errors.As(err, new(peer.UnsupportedError)) {
		return err
	}
	return fmt.Errorf("decrypting with %s %s: %w", k.Type, k.Schema, err)
}

func (r *runner) weEncrypt(ctx context.Context, t *test, text []byte, in, message string) error {
	if t.command {
		return r.command.encrypt(ctx, t, in, message)
	}
	b, err := r.encrypt(ctx, t, text)
	if err != nil {
		return err
	}
	return os.WriteFile(message, b, 0o600)
}

func (r *runner) theyDecrypt(t *test, k *key, message string) ([]byte, map[string]string, error) {
	out := r.path("back")
	_ = os.Remove(out)
	a, err := r.process.Ask(&peer.Request{
		Op: "decrypt", API: t.api, Stream: t.stream, Legacy: t.legacy, Key: k, Suite: suiteName(t), ReproducedContext: t.reproduced, In: message, Out: out,
	})
	if err != nil {
		if _, there := os.Stat(out); there == nil && t.tamper == "" {
			return nil, nil, fmt.Errorf("it failed, but left a file: %w", err)
		}
		return nil, nil, err
	}
	text, err := os.ReadFile(out)
	return text, a.Context, err
}

func suiteName(t *test) string { return fmt.Sprintf("%04x", t.suite.ID) }

// theyEncrypt returns the path of the peer's message.
func (r *runner) theyEncrypt(t *test) (string, error) {
	in, out := r.path("plain"), r.path("message")
	if err := os.WriteFile(in, plaintext(t.size), 0o600); err != nil {
		return "", err
	}
	_, err := r.process.Ask(&peer.Request{
		Op: "encrypt", API: t.api, Stream: t.stream, Legacy: t.legacy, Key: t.use.encrypt, Suite: suiteName(t), Frame: t.frame,
		Context: contexts[t.context], In: in, Out: out,
	})
	return out, err
}

// oursReads decrypts the peer's message, with each of the keys.
func (r *runner) oursReads(ctx context.Context, t *test) error {
	message, err := r.theyEncrypt(t)
	if err != nil {
		return err
	}
	for _, k := range t.use.decrypts {
		got, ec, err := r.weDecrypt(ctx, t, k, message)
		if err == nil && !bytes.Equal(got, plaintext(t.size)) {
			err = errors.New("another plaintext")
		}
		if err == nil && !t.command { // the command has checked it
			err = checkContext(t, ec)
		}
		if err != nil {
			return describe(k, fmt.Errorf("we cannot decrypt: %w", err))
		}
	}
	return nil
}

func (r *runner) weDecrypt(ctx context.Context, t *test, k *key, message string) ([]byte, map[string]string, error) {
	if !t.command {
		return r.decrypt(ctx, t, k, readFile(message))
	}
	out := r.path("back")
	if err := r.command.decrypt(ctx, t, k, message, out); err != nil {
		return nil, nil, err
	}
	return readFile(out), nil, nil
}

const aByteMore = "a byte more"

// tamperings change a message.
var tamperings = map[string]func([]byte) []byte{
	"the last byte":        func(b []byte) []byte { return flip(b, len(b)-1) },
	"the message id":       func(b []byte) []byte { return flip(b, 10) },
	"a byte in the middle": func(b []byte) []byte { return flip(b, len(b)/2) },
	"cut off by a byte":    func(b []byte) []byte { return b[:len(b)-1] },
	"cut in half":          func(b []byte) []byte { return b[:len(b)/2] },
	aByteMore:              func(b []byte) []byte { return append(slices.Clone(b), 0) },
}

var tamperingNames = slices.Sorted(maps.Keys(tamperings))

func flip(b []byte, at int) []byte {
	b = slices.Clone(b)
	b[at] ^= 1
	return b
}

func (r *runner) theirsRefuses(ctx context.Context, t *test) error {
	message, err := r.encrypt(ctx, t, plaintext(t.size))
	if err != nil {
		return fmt.Errorf("we cannot encrypt: %w", err)
	}
	path := r.path("message")
	if err := os.WriteFile(path, tamperings[t.tamper](message), 0o600); err != nil {
		return err
	}
	_, _, err = r.theyDecrypt(t, t.use.decrypts[0], path)
	switch {
	case err == nil:
		return errors.New("it accepts the message")
	case errors.As(err, new(peer.UnsupportedError)) || errors.Is(err, peer.ErrEnded):
		return err
	}
	return nil
}

func (r *runner) oursRefuses(ctx context.Context, t *test) error {
	message, err := r.theyEncrypt(t)
	if err != nil {
		return err
	}
	changed := tamperings[t.tamper](readFile(message))
	if _, _, err := r.decrypt(ctx, t, t.use.decrypts[0], changed); err == nil {
		return errors.New("we accept the message")
	}
	return nil
}
