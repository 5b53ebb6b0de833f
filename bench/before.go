package main

import (
	"errors"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
)

// former returns the key of a target's figure. Targets may be raised or
// lowered: the key doesn't have the numbers.
func former(topic, target string) string {
	return topic + " | " + numbers.ReplaceAllString(target, "")
}

var numbers = regexp.MustCompile(`[0-9]+(\.[0-9]+)?`)

// readBefore returns the figures in the target table of an earlier page. If
// there's no page, it has none.
func readBefore(path string) (map[string]string, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return figures(string(data)), err
}

// figures returns the figures in a page's target table.
func figures(page string) map[string]string {
	_, page, _ = strings.Cut(page, "\n## Targets\n")
	page, _, _ = strings.Cut(page, "\n## ")
	found := make(map[string]string)
	at := -1 // the column of the figures
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, "| ") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i, c := range cells {
			cells[i] = strings.TrimSpace(c)
		}
		if at < 0 {
			at = slices.Index(cells, "figure")
		} else if len(cells) > at && cells[at] != "–" {
			found[former(cells[0], cells[1])] = cells[at]
		}
	}
	return found
}
