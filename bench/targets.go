package main

import (
	"fmt"
	"math"
	"slices"

	"esdk/bench/internal/peer"
)

// A verdict compares a target with its measurement. A topic may have several
// targets.
type verdict struct {
	Topic, Target, Figure string
	Measured, Met         bool
}

// judge compares the results with all targets.
func judge(r *results) []verdict {
	var all []verdict
	all = append(all, oneCore(r)...)
	all = append(all, twoCores(r)...)
	all = append(all, signed(r)...)
	all = append(all, short(r)...)
	all = append(all, memoryTargets(r)...)
	all = append(all, others(r)...)
	return append(all, commandTargets(&r.Commands)...)
}

var operations = []string{"encrypt", "decrypt"}

// bulkLimit returns the AES-GCM loop that an operation is compared with.
func bulkLimit(op string, cores int, reuse bool) cell {
	name := map[string]string{"encrypt": "seal", "decrypt": "open"}[op]
	return cell{limits, peer.Request{Op: name, Size: 100 * mib, Cores: cores, Reuse: reuse}}
}

func ours(op, suite string, cores int, reuse, stream bool) cell {
	return cell{us, peer.Request{Op: op, Suite: suite, Size: 100 * mib, Cores: cores, Reuse: reuse, Stream: stream}}
}

// copied returns a stream from a source that, unlike memory, has to copy its
// data, or a limit that copies them, too.
func copied(c cell) cell {
	c.Request.Copied = true
	return c
}

func oneCore(r *results) []verdict {
	var all []verdict
	for _, op := range operations {
		topic := "unsigned, 100 MiB, one core: " + op
		all = append(all,
			r.atLeast(topic+", reused buffer", 0.92, "of the limit", ours(op, "0478", 1, true, false), bulkLimit(op, 1, true)),
			r.atLeast(topic+", new output", 0.92, "of the limit with new output", ours(op, "0478", 1, false, false), bulkLimit(op, 1, false)),
			r.atLeast(topic+", stream", 0.85, "of the limit", ours(op, "0478", 1, false, true), bulkLimit(op, 1, true)),
			r.atLeast(topic+", stream that is copied", 0.85, "of the limit", copied(ours(op, "0478", 1, false, true)), bulkLimit(op, 1, true)),
			r.atLeast(topic+", stream that is copied", 0.92, "of the limit that copies, too", copied(ours(op, "0478", 1, false, true)), copied(bulkLimit(op, 1, true))))
	}
	return all
}

func twoCores(r *results) []verdict {
	var all []verdict
	for _, op := range operations {
		topic := "unsigned, 100 MiB, two cores: "
		all = append(all,
			r.info(topic+"the limit itself, "+op, "of the one-core limit", bulkLimit(op, 2, true), bulkLimit(op, 1, true)),
			r.atLeast(topic+op+", reused buffer", 1.65, "of the one-core limit", ours(op, "0478", 2, true, false), bulkLimit(op, 1, true)),
			r.atLeast(topic+op+", new output", 1.65, "of the one-core limit with new output", ours(op, "0478", 2, false, false), bulkLimit(op, 1, false)),
			r.atLeast(topic+op+", stream", 1.5, "of the one-core limit", ours(op, "0478", 2, false, true), bulkLimit(op, 1, true)),
			r.atLeast(topic+op+", stream that is copied", 1.5, "of the one-core limit", copied(ours(op, "0478", 2, false, true)), bulkLimit(op, 1, true)))
	}
	return all
}

func signed(r *results) []verdict {
	var all []verdict
	hash := cell{limits, peer.Request{Op: "sha384", Size: 100 * mib, Cores: 1}}
	for _, op := range operations {
		topic := "signed, 100 MiB, two cores: " + op
		all = append(all,
			r.atLeast(topic+", reused buffer", 0.95, "of SHA-384 on one core", ours(op, "0578", 2, true, false), hash),
			r.atLeast(topic+", new output", 0.95, "of SHA-384 on one core", ours(op, "0578", 2, false, false), hash),
			r.atLeast(topic+", stream", 0.95, "of SHA-384 on one core", ours(op, "0578", 2, false, true), hash),
			r.atLeast(topic+", stream that is copied", 0.95, "of SHA-384 on one core", copied(ours(op, "0578", 2, false, true)), hash))
	}
	return all
}

// short returns the targets for messages of 1 KiB.
func short(r *results) []verdict {
	var all []verdict
	for _, op := range operations {
		signature := map[string]string{"encrypt": "sign", "decrypt": "verify"}[op]
		unsigned := cell{us, peer.Request{Op: op, Suite: "0478", Size: kib, Cores: 1}}
		reused := cell{us, peer.Request{Op: op, Suite: "0478", Size: kib, Cores: 1, Reuse: true}}
		withSignature := cell{us, peer.Request{Op: op, Suite: "0578", Size: kib, Cores: 1}}
		all = append(all,
			r.atMost("1 KiB, unsigned: "+op+", reused buffer", 1.35, "the forced calls", reused, forcedCalls(op, true)),
			r.atMost("1 KiB, unsigned: "+op+", new output", 1.35, "the forced calls with new output", unsigned, forcedCalls(op, false)),
			r.atMost("1 KiB, signed: "+op, 1.15, signatureText[op], withSignature, cell{limits, peer.Request{Op: signature, Cores: 1}}),
			r.allocations("1 KiB, unsigned: "+op+", reused buffer", reused, forcedCalls(op, true)))
		for _, suite := range []string{"0478", "0578"} {
			for _, heap := range scalingHeaps {
				all = append(all, r.scaling(op, suite, heap))
			}
		}
	}
	return all
}

var signatureText = map[string]string{"encrypt": "a P-384 key and signature", "decrypt": "a P-384 verification"}

// atLeast returns a target for the speed of a, as a fraction of the speed of b.
func (r *results) atLeast(topic string, target float64, of string, a, b cell) verdict {
	ratios := r.ratios(a, b)
	return verdict{topic, fmt.Sprintf("≥ %.2f %s", target, of), withBest(ratios, slices.Max), len(ratios) > 0, median(ratios) >= target}
}

// atMost returns a target for the time of a, as a multiple of the time of b.
func (r *results) atMost(topic string, target float64, of string, a, b cell) verdict {
	ratios := r.ratios(b, a)
	return verdict{topic, fmt.Sprintf("≤ %.2f × the time of %s", target, of), withBest(ratios, slices.Min), len(ratios) > 0, median(ratios) <= target}
}

// info returns a figure without a target, for comparison with a target's
// figure.
func (r *results) info(topic, of string, a, b cell) verdict {
	ratios := r.ratios(a, b)
	return verdict{topic, "– (" + of + ")", withBest(ratios, slices.Max), len(ratios) > 0, true}
}

// withBest returns the median of the rounds, with the best round in brackets.
func withBest(ratios []float64, best func([]float64) float64) string {
	if len(ratios) == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f (%.2f)", median(ratios), best(ratios))
}

func (r *results) scaling(op, suite string, heap int) verdict {
	topic := "1 KiB, " + suiteWord(suite) + ": " + op
	if heap > 0 {
		topic += ", in a heap of " + sizeText(heap)
	}
	target := 1.8
	if suite == "0478" && heap == 0 {
		// Beside short work in a small heap, the garbage collector runs often.
		target = 1.7
	}
	return r.atLeast(topic, target, "times as many with two goroutines", scalingCell(op, suite, heap, 2), scalingCell(op, suite, heap, 1))
}

// moreAllocations is the target for allocations that the forced calls don't
// make. HKDF makes most of theirs.
const moreAllocations = 8

func (r *results) allocations(topic string, c, forced cell) verdict {
	v := verdict{Topic: topic, Target: fmt.Sprintf("≤ %d allocations more than the forced calls", moreAllocations)}
	ours, why1 := r.answers(c)
	theirs, why2 := r.answers(forced)
	if why1+why2 != "" {
		return v
	}
	n, least := math.Round(ours[len(ours)-1].Allocs), math.Round(theirs[len(theirs)-1].Allocs)
	v.Figure, v.Measured, v.Met = fmt.Sprintf("%.0f; %.0f in all", n-least, n), true, n-least <= moreAllocations
	return v
}

func memoryTargets(r *results) []verdict {
	var all []verdict
	for _, m := range r.Memory {
		if m.Op == "" {
			continue
		}
		what := map[string]string{"save": "encrypt", "load": "decrypt"}[m.Op]
		all = append(all, verdict{
			Topic:    fmt.Sprintf("memory, stream of %s, %s: %s", sizeText(m.Size), suiteText(m.Suite), what),
			Target:   "< 16 MiB resident, the whole process",
			Figure:   memoryText(m.RSS),
			Measured: m.Note == "",
			Met:      m.RSS < 16*mib,
		})
	}
	for _, suite := range []string{"0478", "0578"} {
		all = append(all, residentTarget(r, suite))
	}
	return all
}

// residentTarget compares our memory for a message in memory with C's. Both use
// the message's memory again.
func residentTarget(r *results, suite string) verdict {
	v := verdict{
		Topic:  fmt.Sprintf("memory, %s in memory, %s", sizeText(r.memorySize()), suiteText(suite)),
		Target: "≤ 1.30 × the resident memory of C",
	}
	ours, why1 := r.resident(memory{Peer: us, Suite: suite, Reuse: true})
	theirs, why2 := r.resident(memory{Peer: "c", Suite: suite})
	if why1+why2 != "" {
		return v
	}
	ratio := float64(ours) / float64(theirs)
	v.Figure, v.Measured, v.Met = fmt.Sprintf("%.2f", ratio), true, ratio <= 1.3
	return v
}

// others returns the targets for the other SDKs.
func others(r *results) []verdict {
	all := []verdict{r.allRows("all rows, beside C", "C", "c", 1, allRows())}
	for _, op := range operations {
		row := cell{us, peer.Request{Op: op, Suite: "0478", Size: 100 * mib}}
		all = append(all, r.allRows("unsigned, 100 MiB, beside Go: "+op, "official Go", "official", 15, []cell{row}))
	}
	return all
}

// allRows returns our cells of the side-by-side table.
func allRows() []cell {
	var rows []cell
	for _, row := range tableRows() {
		rows = append(rows, cell{us, row})
	}
	return rows
}

// allRows returns a target for the lowest ratio to another peer over their
// common rows, and names the row.
func (r *results) allRows(topic, label, other string, target float64, rows []cell) verdict {
	v := verdict{Topic: topic, Target: fmt.Sprintf("≥ %.0f × as fast as %s", target, label)}
	least, name := 0.0, ""
	for _, row := range rows {
		ratios := r.ratios(row, cell{other, row.Request})
		if ratio := median(ratios); len(ratios) > 0 && (!v.Measured || ratio < least) {
			v.Measured, least, name = true, ratio, rowText(row.Request)
		}
	}
	v.Figure, v.Met = fmt.Sprintf("%.2f", least), least >= target
	if len(rows) > 1 {
		v.Figure += ", " + name
	}
	return v
}

func commandTargets(c *commands) []verdict {
	tree := fmt.Sprintf("command, %d files of 4 KiB: ", c.Files)
	file := "command, " + sizeText(c.FileSize) + ": "
	all := []verdict{
		c.atMost(file+"encrypt", 1.25, "the copy", jobEncrypt, jobCopy),
		c.atMost(file+"decrypt", 1.25, "the copy", jobDecrypt, jobCopy),
		c.atMost(file+"encrypt", 1, "age", jobEncrypt, jobAge),
		c.atMost(file+"encrypt", 1, "age and a sync", jobEncrypt, jobAgeSync),
		c.atMost(file+"decrypt", 1, "age", jobDecrypt, jobAgeBack),
		c.atMost(file+"decrypt", 1, "age and a sync", jobDecrypt, jobAgeBackS),
	}
	for _, op := range operations {
		signatures, work := jobSign, "the signatures on all cores and the copy"
		if op == "decrypt" {
			signatures, work = jobVerify, "the verifications on all cores and the copy"
		}
		all = append(all,
			c.atMost(tree+op+", "+suiteText("0478"), 2.2, "the copy", treeJob(ourCommand, op, "0478"), jobTreeCopy),
			c.atMost(tree+op+", "+suiteText("0578"), 1.4, work, treeJob(ourCommand, op, "0578"), signatures, jobTreeCopy))
	}
	for _, suite := range []string{"0478", "0578"} {
		for _, op := range operations {
			all = append(all, c.atLeast(tree+op+", "+suiteText(suite), 50, officialCommand,
				treeJob(ourCommand, op, suite), treeJob(officialCommand, op, suite)))
		}
	}
	v := verdict{Topic: "command: start-up (`esdk version`)", Target: "< 15 ms"}
	if t := c.find(jobStart); t.measured() {
		seconds := median(t.Seconds)
		v.Measured, v.Figure, v.Met = true, timeText(seconds), seconds < 0.015
	}
	return append(all, v)
}

// atMost compares the time of a command with the time of others together,
// within each round.
func (c *commands) atMost(topic string, target float64, of, a string, b ...string) verdict {
	v := verdict{Topic: topic, Target: fmt.Sprintf("≤ %.2f × the time of %s", target, of)}
	ratios := c.ratios(a, b...)
	v.Figure, v.Measured, v.Met = withBest(ratios, slices.Min), len(ratios) > 0, median(ratios) <= target
	return v
}

// atLeast returns a target for the speed of a command, as a multiple of
// another's.
func (c *commands) atLeast(topic string, target float64, of, a, b string) verdict {
	ratios := c.ratios(b, a)
	return verdict{topic, fmt.Sprintf("≥ %.0f × as fast as %s", target, of), withBest(ratios, slices.Max), len(ratios) > 0, median(ratios) >= target}
}

// ratios returns how many times as long as all of b a takes, in each round.
func (c *commands) ratios(a string, b ...string) []float64 {
	mine := c.find(a)
	if !mine.measured() {
		return nil
	}
	sums := make([]float64, len(mine.Seconds))
	for _, name := range b {
		other := c.find(name)
		if !other.measured() {
			return nil
		}
		sums = sums[:min(len(sums), len(other.Seconds))]
		for i := range sums {
			sums[i] += other.Seconds[i]
		}
	}
	var ratios []float64
	for i, sum := range sums {
		ratios = append(ratios, mine.Seconds[i]/sum)
	}
	return ratios
}
