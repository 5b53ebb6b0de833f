package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"esdk/interop/peer"
)

// TestPage checks that docs/compatibility.md has the text of this package, so
// that the next run changes only its figures.
func TestPage(t *testing.T) {
	data, err := os.ReadFile("../../docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	want := []string{header, beforeTable, beforeFaults, differential}
	for _, row := range rows {
		want = append(want, fmt.Sprintf("\n| %s |", row))
	}
	for i := range faults {
		f := &faults[i]
		title := strings.ToUpper(f.title[:1]) + f.title[1:]
		shown := regexp.MustCompile(`(?m)^\*\*` + regexp.QuoteMeta(title) + `\*\* \(([^)]*)\)\.`).FindStringSubmatch(page)
		if shown == nil {
			t.Errorf("the page has no fault %q", title)
			continue
		}
		want = append(want, "\n"+f.paragraph(strings.Split(shown[1], ", "))+"\n")
	}
	for _, w := range want {
		if !strings.Contains(page, w) {
			t.Errorf("the page doesn't have %q", w)
		}
	}
}

// TestNotRun: the page names the SDKs that a run left out.
func TestNotRun(t *testing.T) {
	r := newResults()
	r.setPeer("go", &peer.Answer{Name: "aws-encryption-sdk-go", Version: "1.2", With: "this"})
	page := r.document()
	for _, want := range []string{"| C | not run | |\n", "| Go | `aws-encryption-sdk-go` 1.2 | this |\n", "\n| | Go |\n|---|---|\n"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page doesn't have %q", want)
		}
	}
}
