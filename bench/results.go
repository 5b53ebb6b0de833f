package main

import (
	"encoding/json"
	"os"
	"slices"

	"esdk/bench/internal/peer"
)

// results are all results of a run. They can be stored, and rendered again.
type results struct {
	Machine  machine
	Rounds   int
	Quick    bool
	Versions map[string]string
	Missing  map[string]string
	Cells    []measured
	Memory   []memory
	Commands commands
	Before   earlier // the page that the run replaces

	index map[cell]int
}

// A measured is a cell with its answers, one for each round.
type measured struct {
	cell
	Answers []peer.Answer
}

// A memory is a peak of resident memory. Without a suite, it belongs to an idle
// process.
type memory struct {
	Peer   string
	Suite  string
	Size   int
	Stream bool
	Reuse  bool   // of the buffers of save by load
	Op     string // "" means both: save, then load
	RSS    int64
	Note   string
}

func newResults(rounds int) *results {
	return &results{Rounds: rounds, Versions: map[string]string{}, Missing: map[string]string{}}
}

func (r *results) add(c cell, a peer.Answer) {
	i := r.find(c)
	if i < 0 {
		i = len(r.Cells)
		r.Cells = append(r.Cells, measured{cell: c})
		r.index[c] = i
	}
	r.Cells[i].Answers = append(r.Cells[i].Answers, a)
}

func (r *results) find(c cell) int {
	if r.index == nil {
		r.index = make(map[cell]int)
		for i, m := range r.Cells {
			r.index[m.cell] = i
		}
	}
	if i, ok := r.index[c]; ok {
		return i
	}
	return -1
}

// answers returns the answers of a cell, or why there are none.
func (r *results) answers(c cell) ([]peer.Answer, string) {
	if why, ok := r.Missing[c.Peer]; ok {
		return nil, why
	}
	i := r.find(c)
	if i < 0 {
		return nil, "not measured"
	}
	for _, a := range r.Cells[i].Answers {
		if why := a.Unsupported + a.Error; why != "" {
			return nil, why
		}
	}
	return r.Cells[i].Answers, ""
}

// best returns the shortest time of all rounds. typical returns the median of
// the medians.
func (r *results) best(c cell) (seconds float64, why string) {
	answers, why := r.answers(c)
	for i, a := range answers {
		if i == 0 || a.Best < seconds {
			seconds = a.Best
		}
	}
	return seconds, why
}

func (r *results) typical(c cell) (seconds float64, why string) {
	answers, why := r.answers(c)
	var all []float64
	for _, a := range answers {
		all = append(all, a.Median)
	}
	return median(all), why
}

// ratios returns how many times as fast as b a is, in each round.
func (r *results) ratios(a, b cell) []float64 {
	of, why1 := r.answers(a)
	to, why2 := r.answers(b)
	if why1+why2 != "" {
		return nil
	}
	var ratios []float64
	for i := range min(len(of), len(to)) {
		ratios = append(ratios, to[i].Best/of[i].Best)
	}
	return ratios
}

func median(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	x = slices.Sorted(slices.Values(x))
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}

func (r *results) save(path string) error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

func loadResults(path string) (*results, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := newResults(0)
	return r, json.Unmarshal(data, r)
}
