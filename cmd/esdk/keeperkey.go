package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"

	"esdk"
	"esdk/keeper"
)

// keeperKind is the kind of keys of a key service that a program of its own
// reaches, so that this one need not hold the drivers of all of them.
func keeperKind(scheme, key string) keyKind {
	prefix := scheme + "://"
	return keyKind{prefix, prefix + key, func(_ *app, _ context.Context, text string, _ bool) (esdk.Keyring, error) {
		return newKeeperKeyring(prefix + text)
	}}
}

// newKeeperKeyring names a key in messages by its URL, as it is given.
func newKeeperKeyring(url string) (esdk.Keyring, error) {
	scheme, key, ok := strings.Cut(url, "://")
	if !ok || scheme == "" || key == "" || strings.ContainsFunc(scheme, func(r rune) bool { return r < 'a' || r > 'z' }) {
		return nil, usageError("want SERVICE://KEY, such as hashivault://orders")
	}
	program := "esdk-keeper-" + scheme
	path, err := exec.LookPath(program)
	if err != nil {
		return nil, usageError("the program %s is needed, and not on the PATH", program).
			withHint("build it in keeper/cdk of the sources of esdk: go install ./%s", program)
	}
	return keeper.NewKeyring(&keeperProgram{path, program, url}, url)
}

// keeperProgram asks a program for each call: what is to be encrypted or decrypted
// is its input, and the result its output.
type keeperProgram struct{ path, name, url string }

func (p *keeperProgram) Encrypt(ctx context.Context, plaintext []byte) ([]byte, error) {
	return p.run(ctx, "encrypt", plaintext)
}

func (p *keeperProgram) Decrypt(ctx context.Context, ciphertext []byte) ([]byte, error) {
	return p.run(ctx, "decrypt", ciphertext)
}

func (p *keeperProgram) run(ctx context.Context, verb string, input []byte) ([]byte, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, p.path, verb, p.url)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), &stderr
	output, err := cmd.Output()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && stderr.Len() > 0:
		return nil, fmt.Errorf("%s: %s", p.name, strings.Join(strings.Fields(stderr.String()), " "))
	case err != nil:
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	return output, nil
}
