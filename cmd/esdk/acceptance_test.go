package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// acceptance is what was demanded of the command before it was written, and the
// tests that hold it. A test of another folder is named by that.
var acceptance = []struct{ demand, test string }{
	1:  {"a message from a pipe whose last byte was changed: status 4, no file, no temporary file", "TestScripts/safety"},
	2:  {"an existing output survives a decryption that fails", "TestScripts/safety"},
	3:  {"another encryption context: status 6, and AWS KMS is not called", "TestKMSScripts/keys"},
	4:  {"links in the folder of the results: nothing outside of it changes", "TestScripts/acceptance"},
	5:  {"an alias of AWS KMS to decrypt with: the error names the ARN to give", "TestKMSScripts/keys"},
	6:  {"an interrupt in the middle of a file: status 130, and nothing is left", "TestInterrupt"},
	7:  {"1 GiB through a pipe of encrypt and decrypt: less than 64 MiB of memory", "TestPipeMemory"},
	8:  {"flags behind the names of files work", "TestScripts/paths"},
	9:  {"the examples of AWS's documents, both ways with the Python program", "../../interop/compat/TestExamples"},
	10: {"what inspect prints in JSON stays", "TestScripts/acceptance"},
	11: {"standard output is a terminal: no binary goes there", "TestTerminal"},
	12: {"a tree of 10,000 files with a cache: as many calls of AWS KMS as were allowed", "TestKMSScripts/tree"},
}

// TestAcceptance has each demand be held by a test that is there. A script says
// where it holds it.
func TestAcceptance(t *testing.T) {
	scripts := map[string]string{"TestScripts": "testdata/script", "TestKMSScripts": "testdata/kms"}
	for number, a := range acceptance[1:] {
		folder, name := filepath.Split(filepath.FromSlash(a.test))
		pattern, files := "func "+name+`\(t \*testing\.T\)`, filepath.Join(folder, "*_test.go")
		if dir, ok := scripts[filepath.Clean(folder)]; ok {
			pattern, files = `(?i)acceptance `+strconv.Itoa(number+1)+`\b`, filepath.Join(dir, name+".txt")
		}
		if !found(t, files, regexp.MustCompile(pattern)) {
			t.Errorf("acceptance %d, %s: there is no test %s", number+1, a.demand, a.test)
		}
	}
}

// found reports whether one of the files has what the pattern says.
func found(t *testing.T, files string, pattern *regexp.Regexp) bool {
	t.Helper()
	names, err := filepath.Glob(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if pattern.Match(text) {
			return true
		}
	}
	return false
}
