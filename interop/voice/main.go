// Command voice counts patterns that make this project's text hard to read, in
// Go comments and in Markdown, for each package and document: headless clauses
// ("what was read"), "that of" and "those of", the word "folder", and lines
// that are too wide. With a limit, more of them for each 1,000 lines of text is
// an error. A link that leads to no file or heading is always one.
//
//	go run ./voice [-limit N] [-list] [-wrap] [DIRECTORY]
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	limit := flag.Float64("limit", 0, "fail if a rule is broken more than `N` times for each 1,000 lines; 0 means no limit")
	list := flag.Bool("list", false, "list each place")
	wrap := flag.Bool("wrap", false, "wrap lines that are too wide, in the files themselves")
	flag.Parse()
	dir := cmp.Or(flag.Arg(0), ".")
	if err := run(os.Stdout, dir, *limit, *list, *wrap); err != nil {
		fmt.Fprintln(os.Stderr, "voice:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, dir string, limit float64, list, wrap bool) error {
	files, err := textFiles(dir)
	if err != nil {
		return err
	}
	counts := make(map[string]*count)
	var broken []string
	for _, name := range files {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if wrap {
			wrapped := wrapFile(name, string(data))
			if wrapped != string(data) {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(wrapped), 0o666); err != nil {
					return err
				}
			}
			data = []byte(wrapped)
		}
		group := filepath.ToSlash(filepath.Dir(name))
		if filepath.Ext(name) == ".md" {
			group = filepath.ToSlash(name)
			links, err := brokenLinks(dir, name)
			if err != nil {
				return err
			}
			broken = append(broken, links...)
		}
		if counts[group] == nil {
			counts[group] = newCount()
		}
		for _, l := range textLines(name, string(data)) {
			counts[group].lines++
			for _, rule := range rules {
				if !rule.broken(l) {
					continue
				}
				counts[group].broken[rule.name]++
				if list {
					fmt.Fprintf(out, "%s:%d: %s: %s\n", name, l.number, rule.name, l.text)
				}
			}
		}
	}
	err = report(out, counts, limit)
	if len(broken) > 0 {
		err = errors.Join(err, fmt.Errorf("broken links:\n%s", strings.Join(broken, "\n")))
	}
	return err
}

// A count is for one package or document.
type count struct {
	lines  int
	broken map[string]int
}

func newCount() *count { return &count{broken: make(map[string]int)} }

// report prints a table of the groups that break a rule, and a sum. The limit
// applies to the sum: a small package may have a sentence that needs a word.
func report(out io.Writer, counts map[string]*count, limit float64) error {
	sum := newCount()
	for _, group := range slices.Sorted(maps.Keys(counts)) {
		c := counts[group]
		sum.lines += c.lines
		var cells []string
		for _, rule := range rules {
			sum.broken[rule.name] += c.broken[rule.name]
			if n := c.broken[rule.name]; n > 0 {
				cells = append(cells, fmt.Sprintf("%s %d", rule.name, n))
			}
		}
		if len(cells) > 0 {
			fmt.Fprintf(out, "%-40s %6d lines  %s\n", group, c.lines, strings.Join(cells, ", "))
		}
	}
	var over []string
	for _, rule := range rules {
		n := sum.broken[rule.name]
		rate := 1000 * float64(n) / float64(max(1, sum.lines))
		fmt.Fprintf(out, "%-20s %5d in %d lines, %.1f for each 1,000\n", rule.name, n, sum.lines, rate)
		if limit > 0 && rate > limit {
			over = append(over, rule.name)
		}
	}
	if len(over) > 0 {
		return fmt.Errorf("more than %.1f for each 1,000 lines: %s", limit, strings.Join(over, ", "))
	}
	return nil
}

// textFiles returns the Go and Markdown files under dir.
func textFiles(dir string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != dir && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if ext := filepath.Ext(path); d.Type().IsRegular() && (ext == ".go" || ext == ".md") {
			name, err := filepath.Rel(dir, path)
			if err != nil {
				return err
			}
			files = append(files, name)
		}
		return nil
	})
	return files, err
}
