package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A command is our side through the command.
type command struct {
	program string
	dir     string // of the key files
	keys    map[string]commandKey
}

type commandKey struct {
	ID              string `json:"key-id"`
	Type            string
	Material        string
	Sender          string `json:"sender-material"`
	Recipient       string `json:"recipient-material"`
	RecipientPublic []byte `json:"recipient-material-public-key"`
}

func newCommand(program, manifest, dir string) (*command, error) {
	var m struct{ Keys map[string]commandKey }
	err := json.Unmarshal(readFile(manifest), &m)
	return &command{program, dir, m.Keys}, err
}

func (c *command) encrypt(ctx context.Context, t *test, in, out string) error {
	args := []string{"encrypt", "--suite", fmt.Sprintf("0x%04x", t.suite.ID), "--frame-length", fmt.Sprint(t.frame), "--force", "-o", out}
	if !t.suite.Commits {
		args = append(args, "--commitment", "forbid-encrypt-allow-decrypt")
	}
	return c.run(ctx, t, t.use.encrypt, append(args, in))
}

func (c *command) decrypt(ctx context.Context, t *test, k *key, in, out string) error {
	args := []string{"decrypt", "--force", "-o", out}
	if !t.suite.Commits {
		args = append(args, "--commitment", "require-encrypt-allow-decrypt")
	}
	return c.run(ctx, t, k, append(args, in))
}

func (c *command) run(ctx context.Context, t *test, k *key, args []string) error {
	names, err := c.names(k)
	if err != nil {
		return err
	}
	for _, name := range names {
		args = append(args, "-k", name)
	}
	for _, name := range slices.Sorted(maps.Keys(contexts[t.context])) {
		args = append(args, "-c", name+"="+contexts[t.context][name])
	}
	if out, err := exec.CommandContext(ctx, c.program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("esdk %s: %s", args[0], strings.TrimSpace(string(out)))
	}
	return nil
}

// names returns the command line's names for the keys of a description.
func (c *command) names(k *key) ([]string, error) {
	entry := c.keys[k.Key]
	switch k.Type {
	case "multi-keyring":
		return c.namesOf(k)
	case "raw":
		return c.raw(k, entry)
	case "raw-ecdh":
		name := "ecdh:"
		if k.Schema != "discovery" {
			name += c.file(k.Recipient+".peer", pemOf(c.keys[k.Recipient].RecipientPublic))
		}
		switch k.Schema {
		case "static":
			name += "@" + c.file(k.Sender+".own", c.keys[k.Sender].Sender)
		case "discovery":
			name += "@" + c.file(k.Recipient+".recipient", c.keys[k.Recipient].Recipient)
		}
		return []string{name}, nil
	case "aws-kms", "aws-kms-mrk-aware":
		return []string{entry.ID}, nil
	case "aws-kms-discovery":
		return []string{"kms-discovery:" + k.Filter.Partition + "/" + strings.Join(k.Filter.Accounts, ",")}, nil
	case "aws-kms-mrk-aware-discovery":
		return []string{"kms-discovery:" + k.Filter.Partition + "/" + strings.Join(k.Filter.Accounts, ",") + "@" + k.MRKRegion}, nil
	case "aws-kms-rsa":
		hash := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(k.Algorithm, "RSAES_OAEP_")), "_", "")
		return []string{"kms-rsa:" + entry.ID + "@" + c.file(k.Key+".pub", entry.Material) + "?pad=oaep-" + hash}, nil
	case "aws-kms-ecdh":
		if k.Schema == "discovery" {
			return []string{"kms-ecdh:" + c.keys[k.Recipient].Recipient}, nil
		}
		return []string{"kms-ecdh:" + c.keys[k.Sender].Sender + "@" + c.file(k.Recipient+".peer", pemOf(c.keys[k.Recipient].RecipientPublic))}, nil
	case "branch-key":
		return []string{"branch:" + k.Table + "/" + k.ID + "?kms=" + k.KMS}, nil
	}
	return nil, fmt.Errorf("the command has no name for %q", k.Type)
}

func (c *command) namesOf(k *key) (names []string, err error) {
	for _, member := range append([]*key{k.Generator}, k.Children...) {
		if member == nil {
			continue
		}
		name, err := c.names(member)
		if err != nil {
			return nil, err
		}
		names = append(names, name...)
	}
	return names, nil
}

func (c *command) raw(k *key, entry commandKey) ([]string, error) {
	if k.Algorithm == "rsa" {
		padding := "pkcs1"
		if k.Padding != "pkcs1" {
			padding = "oaep-" + k.Hash
		}
		return []string{"rsa:" + k.ProviderID + "/" + entry.ID + "@" + c.file(k.Key+".pem", entry.Material) + "?pad=" + padding}, nil
	}
	secret, err := base64.StdEncoding.DecodeString(entry.Material)
	return []string{"aes:" + k.ProviderID + "/" + entry.ID + "@" + c.file(k.Key, string(secret))}, err
}

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// file writes a key to a file.
func (c *command) file(name, text string) string {
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		panic(err)
	}
	return path
}
