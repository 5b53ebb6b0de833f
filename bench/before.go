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

// An earlier run has figures to compare with.
type earlier struct {
	Run     string            // the rest of its row: date, machine and rounds
	Figures map[string]string // of its target table, by [former]
}

// readBefore reads an earlier page. It may be missing.
func readBefore(path string) (earlier, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return earlier{}, err
	}
	page := string(data)
	_, run, _ := strings.Cut(page, "\n"+runPrefix)
	run, _, _ = strings.Cut(run, "\n")
	return earlier{run, figures(page)}, nil
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
