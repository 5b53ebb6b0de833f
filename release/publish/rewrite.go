package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// A rewriter changes the module path and version of a tree.
type rewriter struct {
	dir     string // the tree
	from    string // the module path of its root
	to      string
	version string
	files   []string // paths in the tree, with slashes
	dirs    map[string]bool
}

func newRewriter(dir, from, to, version string, files []string) *rewriter {
	r := &rewriter{dir: dir, from: from, to: to, version: version, files: files, dirs: map[string]bool{".": true}}
	for _, f := range files {
		for d := path.Dir(f); !r.dirs[d]; d = path.Dir(d) {
			r.dirs[d] = true
		}
	}
	return r
}

// rewrite rewrites all files that may contain the module path.
func (r *rewriter) rewrite() error {
	var errs []error
	for _, name := range r.files {
		var change func(name string, b []byte) ([]byte, error)
		switch base := path.Base(name); {
		case base == "go.mod":
			change = r.goMod
		case name == "go.work":
			change = r.goWork
		case strings.HasSuffix(name, ".go"):
			change = r.goFile
		case strings.HasSuffix(name, ".md"):
			change = r.markdown
		default:
			continue
		}
		errs = append(errs, r.file(name, change))
	}
	return errors.Join(errs...)
}

func (r *rewriter) file(name string, change func(name string, b []byte) ([]byte, error)) error {
	file := filepath.Join(r.dir, filepath.FromSlash(name))
	info, err := os.Lstat(file)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	b, err := change(name, old)
	if err != nil {
		return err
	}
	if bytes.Equal(b, old) {
		return nil
	}
	return os.WriteFile(file, b, info.Mode().Perm())
}

// moved returns the new path of a package or module of the tree. Its second
// result is false, and the path unchanged, if the path isn't in the tree.
func (r *rewriter) moved(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, r.from)
	if !ok || rest != "" && rest[0] != '/' {
		return path, false
	}
	return r.to + rest, true
}

// A splice replaces bytes of a file.
type splice struct {
	at, end int
	text    string
}

// goFile rewrites imports and doc links. A string literal may be part of a
// format, so it stays: a string that is the path of a package of the tree is an
// error.
func (r *rewriter) goFile(name string, src []byte) ([]byte, error) {
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	offset := func(p token.Pos) int { return set.PositionFor(p, false).Offset }

	var splices []splice
	imports := make(map[*ast.BasicLit]bool)
	for _, spec := range f.Imports {
		imports[spec.Path] = true
		old, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if path, ok := r.moved(old); ok {
			splices = append(splices, splice{offset(spec.Path.Pos()), offset(spec.Path.End()), strconv.Quote(path)})
		}
	}
	link := regexp.MustCompile(`\[\*?(` + regexp.QuoteMeta(r.from) + `)/`)
	for _, group := range f.Comments {
		for _, c := range group.List {
			at := offset(c.Pos())
			for _, m := range link.FindAllStringSubmatchIndex(c.Text, -1) {
				splices = append(splices, splice{at + m[2], at + m[3], r.to})
			}
		}
	}
	var errs []error
	directive := regexp.MustCompile(`^//go:(linkname|generate)\s(?:.*\s)?` + regexp.QuoteMeta(r.from) + `[/.]`)
	for _, group := range f.Comments {
		for _, c := range group.List {
			if r.from != r.to && directive.MatchString(c.Text) {
				errs = append(errs, fmt.Errorf("%s: %s names a package, and isn't rewritten", set.Position(c.Pos()), c.Text))
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.BasicLit); ok && s.Kind == token.STRING && !imports[s] && r.from != r.to {
			text, err := strconv.Unquote(s.Value)
			if err == nil && r.names(text) {
				errs = append(errs, fmt.Errorf("%s: the string %q names a package, and isn't rewritten: take the path from the package itself", set.Position(s.Pos()), text))
			}
		}
		return true
	})
	if err := errors.Join(errs...); err != nil || len(splices) == 0 {
		return src, err
	}

	slices.SortFunc(splices, func(a, b splice) int { return a.at - b.at })
	var out []byte
	last := 0
	for _, s := range splices {
		out = append(append(out, src[last:s.at]...), s.text...)
		last = s.end
	}
	out = append(out, src[last:]...)
	if formatted, err := format.Source(src); err != nil || !bytes.Equal(formatted, src) {
		return out, err
	}
	return format.Source(out) // sorts the imports
}

// names reports whether a string is the path of a directory of the tree. The
// root doesn't count, since its stand-in name is an ordinary word.
func (r *rewriter) names(text string) bool {
	rest, ok := strings.CutPrefix(text, r.from+"/")
	return ok && r.dirs[strings.TrimSuffix(rest, "/")]
}

// goMod rewrites the path of a module, the paths and versions of the modules of
// the tree that it requires, and the paths of tools in the tree.
func (r *rewriter) goMod(name string, b []byte) ([]byte, error) {
	f, err := modfile.Parse(name, b, nil)
	if err != nil {
		return nil, err
	}
	if len(f.Replace) > 0 {
		return nil, fmt.Errorf("%s has a replace, with which \"go install\" refuses a version", name)
	}
	path, ok := r.moved(f.Module.Mod.Path)
	if !ok {
		return nil, fmt.Errorf("%s: module %s isn't below %s", name, f.Module.Mod.Path, r.from)
	}
	if err := f.AddModuleStmt(path); err != nil {
		return nil, err
	}
	for _, req := range f.Require {
		if path, ok := r.moved(req.Mod.Path); ok {
			tokens := req.Syntax.Token
			tokens[len(tokens)-2], tokens[len(tokens)-1] = path, r.version
		}
	}
	for _, tool := range f.Tool {
		if path, ok := r.moved(tool.Path); ok {
			tokens := tool.Syntax.Token
			tokens[len(tokens)-1] = path
		}
	}
	f.SortBlocks()
	return modfile.Format(f.Syntax), nil
}

// goWork rewrites the workspace's replacements, so that the tree builds before
// its version can be looked up.
func (r *rewriter) goWork(name string, b []byte) ([]byte, error) {
	f, err := modfile.ParseWork(name, b, nil)
	if err != nil {
		return nil, err
	}
	for _, replace := range slices.Clone(f.Replace) {
		path, ok := r.moved(replace.Old.Path)
		if !ok {
			continue
		}
		// Tokens: path [version] => directory
		tokens := replace.Syntax.Token
		i := slices.Index(tokens, replace.Old.Path)
		if i < 0 || replace.Old.Version == "" {
			return nil, fmt.Errorf("%s: give the version of %s that is replaced", name, replace.Old.Path)
		}
		tokens[i], tokens[i+1] = path, r.version
	}
	return modfile.Format(f.Syntax), nil
}

const (
	onlyBefore = "<!-- before publication -->"
	endBefore  = "<!-- end -->"
	onlyAfter  = "<!-- after publication"
	endAfter   = "-->"
)

// importLine matches an import in a document's Go code.
var importLine = regexp.MustCompile(`^(\s*(?:import )?(?:[\w.]+ )?")([^"]+)("\s*)$`)

// markdown rewrites imports in Go code. It removes the parts for before
// publication, and shows the parts for after it, with MODULE and VERSION filled
// in.
func (r *rewriter) markdown(name string, b []byte) ([]byte, error) {
	var out strings.Builder
	fill := strings.NewReplacer("MODULE", r.to, "VERSION", r.version)
	end := ""     // the line that ends the current part
	inGo := false // in a block of Go code
	for line := range strings.Lines(string(b)) {
		bare := strings.TrimSpace(line)
		switch {
		case end == "" && bare == onlyBefore:
			end = endBefore
			continue
		case end == "" && bare == onlyAfter:
			end = endAfter
			continue
		case end != "" && bare == end:
			end = ""
			continue
		case end == endBefore:
			continue
		case end == endAfter:
			line = fill.Replace(line)
		}
		if strings.HasPrefix(bare, "```") {
			inGo = bare == "```go"
		}
		if m := importLine.FindStringSubmatch(line); inGo && m != nil {
			if path, ok := r.moved(m[2]); ok {
				line = m[1] + path + m[3]
			}
		}
		out.WriteString(line)
	}
	if end != "" {
		return nil, fmt.Errorf("%s: a part for before or after publication has no end, %s", name, end)
	}
	return []byte(out.String()), nil
}

// sums returns go.sum with its lines for modules of the tree replaced by add.
func (r *rewriter) sums(b []byte, add []string) []byte {
	var lines []string
	for line := range strings.Lines(string(b)) {
		path, _, _ := strings.Cut(line, " ")
		_, old := r.moved(path)
		current := path == r.to || strings.HasPrefix(path, r.to+"/")
		if !old && !current {
			lines = append(lines, line)
		}
	}
	for _, line := range add {
		path, _, _ := strings.Cut(line, " ")
		i := slices.IndexFunc(lines, func(l string) bool {
			other, _, _ := strings.Cut(l, " ")
			return other > path
		})
		if i < 0 {
			i = len(lines)
		}
		lines = slices.Insert(lines, i, line)
	}
	return []byte(strings.Join(lines, ""))
}

// required returns the modules of the tree that a go.mod file requires, with
// their versions.
func (r *rewriter) required(name string, b []byte) ([]module.Version, error) {
	f, err := modfile.Parse(name, b, nil)
	if err != nil {
		return nil, err
	}
	var all []module.Version
	for _, req := range f.Require {
		if req.Mod.Path == r.to || strings.HasPrefix(req.Mod.Path, r.to+"/") {
			all = append(all, req.Mod)
		}
	}
	return all, nil
}
