//go:build linux

package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"esdk"
	"esdk/cmd/esdk/internal/cli"
	"esdk/internal/format"
)

// auditKey returns a keyring for the key n/k in the key file that [command]
// writes.
func auditKey(t *testing.T) esdk.Keyring {
	t.Helper()
	kr, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "n", Name: "k", Key: pattern(32)})
	if err != nil {
		t.Fatal(err)
	}
	return kr
}

// likeNET400 returns a copy of a message with the header tag that version 4.0.0
// of the .NET SDK writes: the tag covers two extra bytes, a count of zero
// pairs.
func likeNET400(t *testing.T, kr esdk.Keyring, message []byte) []byte {
	t.Helper()
	h, err := format.ReadHeader(bytes.NewReader(message), format.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var keys []esdk.EncryptedDataKey
	for _, k := range h.DataKeys {
		keys = append(keys, esdk.EncryptedDataKey(k))
	}
	dataKey, err := kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: esdk.SuiteID(h.Suite.ID), EncryptionContext: h.Context, EncryptedDataKeys: keys})
	if err != nil {
		t.Fatal(err)
	}
	derived, err := h.Suite.Derive(dataKey, h.MessageID)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(derived.Content)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	again := bytes.Clone(message)
	aead.Seal(again[h.Size()-format.TagLength:h.Size()-format.TagLength], h.IV, nil, append(bytes.Clone(h.Raw), 0, 0))
	return again
}

// TestAuditNET400 checks that an audit with a key distinguishes messages of
// version 4.0.0 of the .NET SDK from forged ones.
func TestAuditNET400(t *testing.T) {
	dir, kr := t.TempDir(), auditKey(t)
	client, err := esdk.New(esdk.Config{Keyring: kr})
	if err != nil {
		t.Fatal(err)
	}
	message, _, err := client.Encrypt(t.Context(), pattern(100), esdk.EncryptionContext{"a": "1"})
	if err != nil {
		t.Fatal(err)
	}
	forged := likeNET400(t, kr, message)
	writeFile(t, dir, "net", forged)
	forged = bytes.Clone(forged)
	forged[10] ^= 1 // in the message ID
	writeFile(t, dir, "forged", forged)
	writeFile(t, dir, "right", message)
	runCommand(t, dir, 4, "verify", "-k", "aes:n/k@key", "net")
	runCommand(t, dir, 3, "audit", "-k", "aes:n/k@key", "--fail-if", "--net-4.0.0", "--html", "page", "right", "net", "forged")
	page, err := os.ReadFile(filepath.Join(dir, "page"))
	if err != nil || !strings.Contains(string(page), "Messages with the .NET 4.0.0 fault: 1") {
		t.Errorf("the page says no word of it: %v", err)
	}
	for name, want := range map[string]string{
		"net":    `"verification":{"opened":true,"key_used":"aes:n/k@key","net_4_0_0":true}}`,
		"right":  `"verification":{"opened":true,"key_used":"aes:n/k@key","net_4_0_0":false}}`,
		"forged": `"verification":{"opened":false,"net_4_0_0":false,`,
	} {
		c := command(t, dir, "audit", "--json", "-k", "aes:n/k@key", name)
		out, err := c.Output()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %s, %v; want %s", name, out, err, want)
		}
	}
}

// TestAuditRandom checks that the lines of JSON are valid and in the order of
// the inputs for arbitrary names and contents, and that --print0 prints the
// names unchanged.
func TestAuditRandom(t *testing.T) {
	dir, kr := t.TempDir(), auditKey(t)
	client, err := esdk.New(esdk.Config{Keyring: kr, Suite: esdk.AES256GCMHKDFSHA512Commit})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range 300 {
		name := fmt.Sprintf("%03d%s", i, strings.ReplaceAll(randomBytes(rand.IntN(20)), "/", "."))
		content := []byte(randomBytes(rand.IntN(300)))
		if rand.IntN(2) == 0 {
			if content, _, err = client.Encrypt(t.Context(), content, esdk.EncryptionContext{"k" + strings.ToValidUTF8(randomBytes(9), "?"): "v"}); err != nil {
				t.Fatal(err)
			}
		}
		if rand.IntN(4) == 0 {
			content = content[:rand.IntN(len(content)+1)]
		}
		writeFile(t, dir, name, content)
		names = append(names, name)
	}
	writeFile(t, dir, "list", []byte(strings.Join(names, "\x00")))
	out, err := command(t, dir, "audit", "-q", "--print0", "--jobs", "8", "--files-from0", "list").Output()
	if err != nil || string(out) != strings.Join(names, "\x00")+"\x00" {
		t.Errorf("%q, %v", out, err)
	}
	out, err = command(t, dir, "audit", "--json", "-k", "aes:n/k@key", "--context-values", "--jobs", "8", "--files-from0", "list").Output()
	lines := strings.SplitAfter(strings.TrimSuffix(string(out), "\n"), "\n")
	if err != nil || len(lines) != len(names)+1 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	for i, name := range names {
		var f struct {
			Type, Input string
			InputBytes  []byte `json:"input_bytes"`
			Kind        string
			Header      struct {
				ContextKeys []string `json:"context_keys"`
			}
		}
		if err := json.Unmarshal([]byte(lines[i]), &f); err != nil {
			t.Fatalf("%q: %v", lines[i], err)
		}
		if got := string(f.InputBytes); f.Type != "object" || f.Input != name && got != name {
			t.Errorf("line %d is of %q, want %q", i, f.Input, name)
		}
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := esdk.ParseHeader(bytes.NewReader(content)); (err == nil) != (f.Kind == "message") {
			t.Errorf("%q is %s: %v", name, f.Kind, err)
		}
	}
	if !json.Valid([]byte(lines[len(names)])) || !strings.HasPrefix(lines[len(names)], `{"type":"summary",`) {
		t.Errorf("the last line is %q", lines[len(names)])
	}
}

func randomBytes(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(1 + rand.IntN(255))
	}
	return string(b)
}

// TestAuditMemory checks that the memory of an audit doesn't grow with the
// number of inputs.
func TestAuditMemory(t *testing.T) {
	long(t)
	dir := t.TempDir()
	writeFile(t, dir, "f", pattern(100))
	var rss [2]int
	for i, inputs := range []int{20_000, 100_000} {
		c := command(t, dir, "audit", "--summary", "--files-from0", "-")
		c.Stdin = strings.NewReader(strings.Repeat("f\x00", inputs))
		peak := measured(t, c)
		out, err := c.Output()
		if err != nil || !strings.Contains(string(out), fmt.Sprintf("%d inputs audited", inputs)) {
			t.Fatalf("%s, %v", out, err)
		}
		rss[i] = peak()
	}
	t.Logf("%d and %d KiB", rss[0], rss[1])
	if rss[1] > rss[0]*5/4 {
		t.Errorf("%d KiB for 20,000 inputs, %d for 100,000", rss[0], rss[1])
	}
}

// TestObjectsAuditVersions checks that an audit reports that it covered current
// versions only, unless it covered all versions in an inventory.
func TestObjectsAuditVersions(t *testing.T) {
	s := newTestStore(t, "ESDK_S3_URL")
	s.enableVersions(t)
	dir := t.TempDir()
	writeFile(t, dir, "f", pattern(100))
	s.run(t, dir, cli.ExitOK, "encrypt", "-q", "-k", "aes:n/old@key", "-o", s.url+"/in/f.encrypted", "f")
	s.run(t, dir, cli.ExitOK, "reencrypt", "-q", "--from-key", "aes:n/old@key", "-k", "aes:n/k@key", "--in-place", s.url+"/in/f.encrypted")
	writeFile(t, dir, "list", []byte(s.url+"/in/f.encrypted\x00"))
	inventory, _ := s.writeInventory(t, dir, "CSV")
	inventory += "?use_path_style=true"
	for _, c := range []struct {
		current, all          bool
		code, inputs, matches int
		args                  []string
	}{
		{true, false, 0, 1, 0, []string{"-r", s.url + "/in/"}},
		{true, false, 0, 1, 0, []string{"--inventory", inventory}},
		{false, true, 3, 2, 1, []string{"--inventory", inventory, "--all-versions"}},
		{true, false, 3, 3, 1, []string{"--inventory", inventory, "--all-versions", "--files-from0", "list"}},
		{false, false, 0, 1, 0, []string{s.url + "/in/f.encrypted?versionId=" + s.currentVersion(t)}},
	} {
		cmd := command(t, dir, append([]string{"audit", "--json", "--summary", "--fail-if", "--under", "n/old"}, c.args...)...)
		cmd.Env = s.environ()
		out, _ := cmd.Output()
		want := fmt.Sprintf(`"current_versions_only":%t,"all_versions":%t,`, c.current, c.all)
		if strings.Contains(c.args[0], "inventory") {
			want += `"inventory_created":"`
		}
		counts := fmt.Sprintf(`"inputs":%d,"matches":%d,`, c.inputs, c.matches)
		if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(string(out), want) || !strings.Contains(string(out), counts) {
			t.Errorf("%q: status %d, %s; want %d, %s, %s", c.args, code, out, c.code, want, counts)
		}
	}
}

// currentVersion returns the current version of the only object.
func (s *testStore) currentVersion(t *testing.T) string {
	for _, e := range s.entries(t) {
		if e.Latest {
			return e.VersionID
		}
	}
	t.Fatal("there is none")
	return ""
}
