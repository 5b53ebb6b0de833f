package cli

import "slices"

// Closest returns the word that a mistyped one is probably meant for, or "" if
// there is none: a longer word with the same beginning, or one within two
// typing errors.
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

// distance returns the number of edits between two texts. An edit adds, removes
// or changes a byte, or swaps it with the next one.
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
