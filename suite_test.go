package esdk_test

import (
	"encoding"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"esdk"
)

var (
	_ encoding.TextMarshaler   = esdk.SuiteID(0)
	_ encoding.TextUnmarshaler = (*esdk.SuiteID)(nil)
	_ encoding.TextMarshaler   = esdk.CommitmentPolicy(0)
	_ encoding.TextUnmarshaler = (*esdk.CommitmentPolicy)(nil)
)

func TestSuites(t *testing.T) {
	var commits []esdk.SuiteID
	ids := esdk.Suites()
	if len(ids) != 11 || !slices.IsSorted(ids) {
		t.Errorf("suites %v", ids)
	}
	documented := regexp.MustCompile(`(?m)^\| 0.*$`).FindAllString(string(must[[]byte](t)(os.ReadFile("docs/format.md"))), -1)
	for _, id := range ids {
		if id.Commits() {
			commits = append(commits, id)
		}
		if !strings.Contains(strings.Join(documented, "\n"), fmt.Sprintf("%04x", uint16(id))) {
			t.Errorf("docs/format.md lacks the suite %04x", uint16(id))
		}
		name, err := id.MarshalText()
		if err != nil || string(name) != id.String() {
			t.Errorf("%v: %q, %v", id, name, err)
		}
		short := strings.Replace(string(name), "_IV12_TAG16", "", 1)
		for _, text := range []string{string(name), short, strings.ToLower(short), fmt.Sprintf("%04x", uint16(id)), fmt.Sprintf("0x%04X", uint16(id))} {
			var got esdk.SuiteID
			if err := got.UnmarshalText([]byte(text)); err != nil || got != id {
				t.Errorf("%q: %v, %v", text, got, err)
			}
		}
	}
	if want := []esdk.SuiteID{esdk.AES256GCMHKDFSHA512Commit, esdk.AES256GCMHKDFSHA512CommitECDSAP384}; !slices.Equal(commits, want) {
		t.Errorf("%v commit", commits)
	}
	ids[0] = 0 // the caller's own copy
	if esdk.Suites()[0] != esdk.AES128GCM {
		t.Error("the list of suites was changed")
	}
	unknown := esdk.SuiteID(0x0067)
	if text, err := unknown.MarshalText(); err == nil || unknown.Commits() {
		t.Errorf("unknown suite: %q, commits %t", text, unknown.Commits())
	}
	for _, text := range []string{"", "0x0067", "AES", "0478 ", "0x"} {
		if got := esdk.AES128GCM; got.UnmarshalText([]byte(text)) == nil || got != esdk.AES128GCM {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestPolicyText(t *testing.T) {
	for _, p := range []esdk.CommitmentPolicy{esdk.RequireEncryptRequireDecrypt, esdk.RequireEncryptAllowDecrypt, esdk.ForbidEncryptAllowDecrypt} {
		name, err := p.MarshalText()
		if err != nil || string(name) != p.String() {
			t.Errorf("%v: %q, %v", p, name, err)
		}
		for _, text := range []string{string(name), strings.ToLower(string(name)), strings.ReplaceAll(strings.ToLower(string(name)), "_", "-")} {
			var got esdk.CommitmentPolicy
			if err := got.UnmarshalText([]byte(text)); err != nil || got != p {
				t.Errorf("%q: %v, %v", text, got, err)
			}
		}
	}
	for _, p := range []esdk.CommitmentPolicy{-1, 3} {
		if text, err := p.MarshalText(); err == nil {
			t.Errorf("%d: %q", int(p), text)
		}
	}
	for _, text := range []string{"", "require", "CommitmentPolicy(0)"} {
		if p := esdk.ForbidEncryptAllowDecrypt; p.UnmarshalText([]byte(text)) == nil || p != esdk.ForbidEncryptAllowDecrypt {
			t.Errorf("%q: %v", text, p)
		}
	}
}
