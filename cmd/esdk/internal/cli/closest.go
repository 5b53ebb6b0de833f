package cli

import "slices"

// Closest returns the word that a wrong one may be meant for, "" if there is none: one
// that begins so, or that two mistakes lead from.
func Closest(wrong string, words []string) string {
	best, least := "", 3
	for _, w := range words {
		d := distance(wrong, w)
		if len(wrong) > 2 && len(w) > len(wrong) && w[:len(wrong)] == wrong {
			d = 1
		}
		if d < least && d < len(w) {
			best, least = w, d
		}
	}
	return best
}

// distance is how many bytes are to be added, left out, changed or swapped with the
// next one to get from one text to another.
func distance(from, to string) int {
	var before []int
	row := make([]int, len(to)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(from) {
		next := make([]int, len(to)+1)
		next[0] = i + 1
		for j := range len(to) {
			changed := row[j]
			if from[i] != to[j] {
				changed++
			}
			next[j+1] = min(changed, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && from[i] == to[j-1] && from[i-1] == to[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = slices.Clone(row), next
	}
	return row[len(to)]
}
