package esdk_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// TestConformance checks that docs/conformance.md names only tests that exist,
// and has a row for each section with counted demands.
func TestConformance(t *testing.T) {
	text, err := os.ReadFile("docs/conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range checkConformance(string(text), os.DirFS(".")) {
		t.Error(err)
	}
	// This counts the files and the demands in esdk/.duvet/requirements/spec.
	if !strings.Contains(string(text), "83 sections with 415 demands") {
		t.Error("the document doesn't say how many sections and demands there are")
	}
}

const (
	conformanceHead = "| Section | Held by | Remarks |"
	demandsHead     = "| Section | Demands | Held by | Remarks |"
)

var tableRules = map[string]string{conformanceHead: "|---|---|---|", demandsHead: "|---|---|---|---|"}

var (
	codeSpan    = regexp.MustCompile("`([^`]*)`")
	specSection = regexp.MustCompile(`^([a-z0-9/-]+\.md)?#[a-z0-9_-]+$`)
	statedCount = regexp.MustCompile(`(\d+) sections with (\d+) demands`)
	testName    = regexp.MustCompile(`^(?:([a-z0-9/]+)\.)?((?:Test|Fuzz|Example)\w*)(?:/(\w+))?$`)
)

// checkConformance checks the tables of a document. Each row has sections of
// the specification, the tests that cover them, and remarks. A section without
// a file belongs to the file before it. A test is named by its package, unless
// that is the root, and by its script, if it runs scripts. A table can count
// demands: then each row is one section, and the text states the sums.
func checkConformance(text string, module fs.FS) (errs []error) {
	c := &conformance{tests: make(map[string][]string), module: module, seen: make(map[string]bool)}
	head := "" // of the current table
	for i, line := range strings.Split(text, "\n") {
		c.line = i + 1
		switch {
		case !strings.HasPrefix(line, "|"):
			head = ""
		case tableRules[line] != "":
			head = line
		case head == "":
			c.errorf("a table that does not start with %s or %s", conformanceHead, demandsHead)
		case line != tableRules[head]:
			c.row(line, head == demandsHead)
		}
	}
	c.checkCount(text)
	if len(c.seen) == 0 {
		c.errorf("there are no sections")
	}
	return c.errs
}

type conformance struct {
	module fs.FS
	tests  map[string][]string // by directory
	seen   map[string]bool     // sections
	line   int
	errs   []error

	counted, demands int // sections whose demands are counted, and their sum
}

func (c *conformance) errorf(text string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("line %d: "+text, append([]any{c.line}, args...)...))
}

func (c *conformance) row(line string, counts bool) {
	cells := strings.Split(strings.Trim(line, "|"), "|")
	want := 3
	if counts {
		want = 4
	}
	if len(cells) != want {
		c.errorf("%d cells, want %d", len(cells), want)
		return
	}
	sections := c.spans(cells[0])
	if len(sections) == 0 {
		c.errorf("there is no section")
	}
	if counts {
		c.count(sections, strings.TrimSpace(cells[1]))
		cells = slices.Delete(cells, 1, 2)
	}
	file := ""
	for _, s := range sections {
		file = c.section(file, s)
	}
	tests := c.spans(cells[1])
	for _, name := range tests {
		c.test(name)
	}
	if len(tests) == 0 && strings.TrimSpace(cells[2]) == "" {
		c.errorf("%s has neither a test nor a reason", sections)
	}
}

// count adds the demands of a row.
func (c *conformance) count(sections []string, cell string) {
	n, err := strconv.Atoi(cell)
	if err != nil || n < 1 {
		c.errorf("%q is no number of demands", cell)
	}
	if len(sections) > 1 {
		c.errorf("%d sections in a row that counts demands", len(sections))
	}
	c.counted++
	c.demands += n
}

// checkCount compares the rows with the sums that the text states.
func (c *conformance) checkCount(text string) {
	want := "0 sections with 0 demands"
	if stated := statedCount.FindString(text); stated != "" {
		want = stated
	}
	if got := fmt.Sprintf("%d sections with %d demands", c.counted, c.demands); got != want {
		c.errorf("the rows have %s, the text states %s", got, want)
	}
}

// spans returns the content of a list of code spans.
func (c *conformance) spans(cell string) (names []string) {
	if rest := codeSpan.ReplaceAllString(cell, ""); strings.Trim(rest, " ,") != "" {
		c.errorf("%q is more than a list of names", strings.TrimSpace(cell))
	}
	for _, m := range codeSpan.FindAllStringSubmatch(cell, -1) {
		names = append(names, m[1])
	}
	return names
}

func (c *conformance) section(file, name string) string {
	m := specSection.FindStringSubmatch(name)
	if m == nil || m[1] == "" && file == "" {
		c.errorf("%q is not a file and a section", name)
		return file
	}
	if m[1] != "" {
		file = m[1]
	} else {
		name = file + name
	}
	if c.seen[name] {
		c.errorf("%s comes twice", name)
	}
	c.seen[name] = true
	return file
}

func (c *conformance) test(name string) {
	m := testName.FindStringSubmatch(name)
	if m == nil {
		c.errorf("%q is not the name of a test", name)
		return
	}
	dir := path.Join(".", m[1])
	if !slices.Contains(c.testsIn(dir), m[2]) {
		c.errorf("there is no test %s", name)
	}
	if m[3] == "" {
		return
	}
	if _, err := fs.Stat(c.module, path.Join(dir, "testdata", "script", m[3]+".txt")); err != nil {
		c.errorf("%s: there is no script: %w", name, err)
	}
}

// testsIn returns the test functions in a directory, under any build tags.
func (c *conformance) testsIn(dir string) []string {
	if names, ok := c.tests[dir]; ok {
		return names
	}
	names := []string{}
	paths, err := fs.Glob(c.module, path.Join(dir, "*_test.go"))
	if err != nil {
		c.errorf("%w", err)
	}
	for _, p := range paths {
		source, err := fs.ReadFile(c.module, p)
		if err != nil {
			c.errorf("%w", err)
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, source, parser.SkipObjectResolution)
		if err != nil {
			c.errorf("%w", err)
			continue
		}
		for _, d := range f.Decls {
			if d, ok := d.(*ast.FuncDecl); ok && d.Recv == nil {
				names = append(names, d.Name.Name)
			}
		}
	}
	c.tests[dir] = names
	return names
}

func TestCheckConformance(t *testing.T) {
	module := fstest.MapFS{
		"a_test.go":                        {Data: []byte("package p\nfunc TestA() {}\nfunc (T) TestMethod() {}")},
		"a.go":                             {Data: []byte("package p\nfunc TestNoTest() {}")},
		"internal/x/b_test.go":             {Data: []byte("//go:build never\n\npackage x\nfunc FuzzB() {}")},
		"cmd/esdk/c_test.go":               {Data: []byte("package main\nfunc TestScripts() {}")},
		"cmd/esdk/testdata/script/one.txt": {},
	}
	for _, c := range []struct {
		rows string
		want string // a part of the only error; empty: no error
	}{
		{"| `f/g.md#a` | `TestA` | |", ""},
		{"| `f/g.md#a`, `#b` | `TestA`, `internal/x.FuzzB` | and a remark |", ""},
		{"| `g.md#a` | `cmd/esdk.TestScripts/one` | |", ""},
		{"| `g.md#a` | | for a reason |", ""},
		{"| `g.md#a` | `TestB` | |", "no test TestB"},
		{"| `g.md#a` | `TestA`, `TestMethod` | |", "no test TestMethod"},
		{"| `g.md#a` | `TestNoTest` | |", "no test TestNoTest"},
		{"| `g.md#a` | `internal/x.TestA` | |", "no test internal/x.TestA"},
		{"| `g.md#a` | `internal/y.FuzzB` | |", "no test internal/y.FuzzB"},
		{"| `g.md#a` | `cmd/esdk.TestScripts/two` | |", "no script"},
		{"| `g.md#a` | `helper` | |", "not the name of a test"},
		{"| `g.md#a` | TestA | |", "more than a list"},
		{"| `g.md#a` | | |", "neither a test nor a reason"},
		{"| `g.md#a` | | for a reason |\n| `g.md#a` | `TestA` | |", "g.md#a comes twice"},
		{"| `g.md#a`, `#a` | `TestA` | |", "g.md#a comes twice"},
		{"| `g.md#b` | `TestA` | |\n| `#a` | `TestA` | |", "not a file and a section"},
		{"| `g.md` | `TestA` | |", "not a file and a section"},
		{"| `g.md#a` | `TestA` |", "2 cells"},
		{"| | `TestA` | |", "no section"},
		{"| `g.md#a` | `TestA` | |\n\n| `g.md#b` | `TestA` | |", "does not start with"},
		{"", "no sections"},
		{"| `g.md#a` | 1 | `TestA` | |", "4 cells"},
		{counts(1, 2) + "| `g.md#a` | 2 | `TestA` | |", ""},
		{counts(2, 5) + "| `g.md#a` | 2 | `TestA` | |\n| `#b` | 3 | `TestA` | |", "not a file and a section"},
		{counts(2, 5) + "| `g.md#a` | 2 | `TestA` | |\n| `g.md#b` | 3 | `TestA` | |", ""},
		{counts(2, 5) + "| `g.md#a` | 5 | `TestA` | |", "rows have 1 sections with 5 demands"},
		{counts(1, 4) + "| `g.md#a` | 5 | `TestA` | |", "rows have 1 sections with 5 demands"},
		{counts(2, 2) + "| `g.md#a`, `#b` | 2 | `TestA` | |", "2 sections in a row"},
		{counts(1, 0) + "| `g.md#a` | 0 | `TestA` | |", "no number"},
		{counts(1, 1) + "| `g.md#a` | one | `TestA` | |", "no number"},
		{counts(1, 1) + "| `g.md#a` | 1 | | |", "neither a test nor a reason"},
		{counts(1, 1) + "| `g.md#a` | `TestA` | |", "3 cells"},
	} {
		errs := checkConformance(conformanceHead+"\n"+tableRules[conformanceHead]+"\n"+c.rows+"\n", module)
		if c.want == "" && len(errs) > 0 {
			t.Errorf("%s: %v", c.rows, errs)
		}
		if c.want != "" && (len(errs) == 0 || !strings.Contains(errs[0].Error(), c.want)) {
			t.Errorf("%s: %v, want an error with %q", c.rows, errs, c.want)
		}
	}
}

// counts returns the start of a table that counts demands, and the sums that it
// should have.
func counts(sections, demands int) string {
	return fmt.Sprintf("\n%d sections with %d demands\n\n%s\n%s\n", sections, demands, demandsHead, tableRules[demandsHead])
}
