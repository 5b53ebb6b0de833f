package main

import "esdk/bench/internal/peer"

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// A contestant is a peer of the tables.
type contestant struct {
	name  string // of its program
	label string
	sdk   bool // whether it is an official SDK
}

// us and limits are in all comparisons.
const (
	us     = "esdk"
	limits = "limits"
)

var contestants = []contestant{
	{us, "esdk (this)", false},
	{"c", "C", true},
	{"java", "Java", true},
	{"python", "Python", true},
	{"rust", "Rust", true},
	{"official", "Go (official)", true},
	{"js", "JavaScript", true},
	{"sio", "minio/sio", false},
	{"tink", "Tink streaming", false},
	{"age", "age", false},
}

// A cell identifies one figure. It can be the key of a map.
type cell struct {
	Peer    string
	Request peer.Request
}

// A group is measured together: each round measures all of its cells, so that
// other load on the machine affects all of them.
type group struct {
	name   string
	rounds int
	cells  []cell
}

func (g *group) add(name string, r peer.Request) { g.cells = append(g.cells, cell{name, r}) }

// plan returns everything that is measured in long-running processes.
func plan(rounds int) []group {
	var groups []group
	for _, suite := range []string{"0478", "0578"} {
		for _, size := range []int{kib, mib, 100 * mib} {
			groups = append(groups, comparison(suite, size, rounds))
		}
	}
	for _, size := range scenarioSizes {
		if size != kib && size != mib && size != 100*mib {
			groups = append(groups, scenario(size))
		}
	}
	return append(groups, concurrency(rounds), scaling(rounds))
}

// comparison returns the cells of a suite and a size: the limits, this library
// in all ways, and the others.
func comparison(suite string, size, rounds int) group {
	g := group{name: suite + " " + sizeText(size), rounds: rounds}
	for _, op := range []string{"encrypt", "decrypt"} {
		g.cells = append(g.cells, limitsOf(suite, size, op)...)
		if size == 100*mib {
			for _, cores := range []int{1, 2} {
				g.add(us, peer.Request{Op: op, Suite: suite, Size: size, Cores: cores, Reuse: true})
				g.add(us, peer.Request{Op: op, Suite: suite, Size: size, Cores: cores})
				g.add(us, peer.Request{Op: op, Suite: suite, Size: size, Cores: cores, Stream: true})
				g.add(us, peer.Request{Op: op, Suite: suite, Size: size, Cores: cores, Stream: true, Copied: true})
			}
		} else {
			g.add(us, peer.Request{Op: op, Suite: suite, Size: size, Cores: 1})
			if size == kib {
				g.add(us, peer.Request{Op: op, Suite: suite, Size: size, Cores: 1, Reuse: true})
			}
		}
		for _, c := range contestants {
			if suite == "0578" && !c.sdk && c.name != us {
				continue
			}
			g.add(c.name, peer.Request{Op: op, Suite: suite, Size: size})
			if size == 100*mib {
				g.add(c.name, peer.Request{Op: op, Suite: suite, Size: size, Stream: true})
			}
		}
	}
	return g
}

// limitsOf returns the limits that an operation is compared with.
func limitsOf(suite string, size int, op string) []cell {
	bulk, signature := "seal", "sign"
	if op == "decrypt" {
		bulk, signature = "open", "verify"
	}
	switch {
	case suite == "0478" && size == kib:
		return []cell{forcedCalls(op, false), forcedCalls(op, true)}
	case suite == "0578" && size == kib:
		cells := []cell{{limits, peer.Request{Op: signature, Cores: 1}}}
		if op == "decrypt" {
			cells = append(cells, cell{limits, peer.Request{Op: "decompress", Cores: 1}})
		}
		return cells
	case suite == "0578":
		return []cell{{limits, peer.Request{Op: "sha384", Size: size, Cores: 1}}}
	}
	return []cell{
		{limits, peer.Request{Op: bulk, Size: size, Cores: 1, Reuse: true}},
		{limits, peer.Request{Op: bulk, Size: size, Cores: 1, Reuse: true, Copied: true}},
		{limits, peer.Request{Op: bulk, Size: size, Cores: 1}},
		{limits, peer.Request{Op: bulk, Size: size, Cores: 2, Reuse: true}},
	}
}

// These are the scenarios of the official suite for performance tests: sizes,
// with the default suite, and numbers of threads.
var (
	scenarioSizes   = []int{kib, 5 * kib, 10 * kib, 100 * kib, 500 * kib, mib, 10 * mib, 50 * mib, 100 * mib}
	scenarioThreads = []int{1, 2, 4, 8, 16}
)

const threadsSize = 10 * kib

func scenario(size int) group {
	g := group{name: "scenario " + sizeText(size), rounds: 1}
	for _, op := range []string{"encrypt", "decrypt"} {
		for _, c := range contestants {
			if c.sdk || c.name == us {
				g.add(c.name, peer.Request{Op: op, Suite: "0578", Size: size})
			}
		}
	}
	return g
}

func concurrency(rounds int) group {
	g := group{name: "concurrency", rounds: min(rounds, 2)}
	for _, threads := range scenarioThreads {
		for _, op := range []string{"encrypt", "decrypt"} {
			for _, c := range contestants {
				if c.sdk || c.name == us {
					g.add(c.name, peer.Request{Op: op, Suite: "0578", Size: threadsSize, Threads: threads})
				}
			}
		}
	}
	return g
}

// scaling compares one and two goroutines on messages of 1 KiB. In an almost
// empty heap, the garbage collector runs every few hundred messages, on a core
// that is idle with one goroutine and busy with two. So it is also measured
// with a larger heap, as a service has.
func scaling(rounds int) group {
	g := group{name: "scaling", rounds: rounds}
	for _, suite := range []string{"0478", "0578"} {
		for _, op := range []string{"encrypt", "decrypt"} {
			for _, heap := range scalingHeaps {
				for _, threads := range []int{1, 2} {
					g.cells = append(g.cells, scalingCell(op, suite, heap, threads))
				}
			}
		}
	}
	return g
}

var scalingHeaps = []int{0, 100 * mib}

func scalingCell(op, suite string, heap, threads int) cell {
	return cell{us, peer.Request{Op: op, Suite: suite, Size: kib, Threads: threads, Heap: heap}}
}

// forcedCalls returns the limit of a short unsigned message.
func forcedCalls(op string, reuse bool) cell {
	return cell{limits, peer.Request{Op: "forced-" + op, Size: kib, Cores: 1, Reuse: reuse}}
}
