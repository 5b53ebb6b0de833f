package cli

import (
	"os"
	"path/filepath"
	"strings"
)

// CompletePath returns the paths that begin with text, each after the prefix
// before. The path of a directory ends in a slash.
func CompletePath(before, text string) (all []string) {
	dir, base := filepath.Split(text)
	expanded := dir
	if rest, ok := strings.CutPrefix(dir, "~/"); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil
		}
		expanded = filepath.Join(home, rest)
	}
	if expanded == "" {
		expanded = "."
	}
	entries, err := os.ReadDir(expanded)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, base) || base == "" && strings.HasPrefix(name, ".") {
			continue
		}
		if info, err := os.Stat(filepath.Join(expanded, name)); err == nil && info.IsDir() {
			name += string(filepath.Separator)
		}
		all = append(all, before+dir+name)
	}
	return all
}
