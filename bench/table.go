package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"esdk/bench/internal/peer"
)

// tableRows returns the rows of the side-by-side table.
func tableRows() []peer.Request {
	var rows []peer.Request
	for _, suite := range []string{"0478", "0578"} {
		for _, size := range []int{kib, mib, 100 * mib} {
			for _, op := range operations {
				rows = append(rows, peer.Request{Op: op, Suite: suite, Size: size})
			}
		}
		for _, op := range operations {
			rows = append(rows, peer.Request{Op: op, Suite: suite, Size: 100 * mib, Stream: true})
		}
	}
	return rows
}

const introduction = `# Performance

One run of [bench](../bench/README.md) made this page. In each round, this library, the limits of
the machine and the other libraries take turns, with the same sizes, the same wrapping key (raw
AES-256), frames of 4 KiB and the encryption context {"purpose":"bench"}. To repeat the run:

    bench/run.sh

`

// These begin the rows on this run and on the run before.
const (
	runPrefix    = "| this run | "
	beforePrefix = "| before | "
)

// page returns performance.md.
func page(r *results) string {
	var b strings.Builder
	b.WriteString(introduction)
	if r.Quick {
		b.WriteString("**This was a quick run, whose figures mean nothing.**\n\n")
	}
	b.WriteString("|  | date | machine | rounds |\n|---|---|---|---|\n")
	fmt.Fprintf(&b, runPrefix+"%s | %d cores of %s, Linux %s, %s | %d |\n", r.Machine.Date, r.Machine.Cores, plain(r.Machine.CPU), r.Machine.Kernel, r.Machine.Go, r.Rounds)
	if r.Before.Run != "" {
		fmt.Fprintf(&b, beforePrefix+"%s\n", r.Before.Run)
	}
	b.WriteString("\nSuite 0478 doesn't sign. Suite 0578 signs with P-384.\n\n")
	b.WriteString("![Throughput of 100 MiB, and messages of 1 KiB a second](performance.svg)\n")
	targetSection(&b, r)
	limitSection(&b, r)
	sideBySide(&b, r)
	scenarioSection(&b, r)
	threadSection(&b, r)
	memorySection(&b, r)
	commandSection(&b, &r.Commands)
	versionSection(&b, r)
	return b.String()
}

// table writes rows of Markdown.
func table(b *strings.Builder, head []string, rows [][]string) {
	line := func(cells []string) {
		b.WriteString("|")
		for _, cell := range cells {
			b.WriteString(" " + plain(cell) + " |")
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
	line(head)
	b.WriteString("|" + strings.Repeat("---|", len(head)) + "\n")
	for _, row := range rows {
		line(row)
	}
}

// plain removes characters that would break a table, for instance from the text
// of an error.
func plain(s string) string {
	s = strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", "/")
	if runes := []rune(s); len(runes) > 150 {
		s = string(runes[:150]) + "…"
	}
	return s
}

func targetSection(b *strings.Builder, r *results) {
	b.WriteString(`
## Targets

A ratio is the median of the rounds, with the best round in brackets. Each round compares its own
best times. "Reused buffer" means AppendEncrypt and AppendDecrypt. "New output" means Encrypt and
Decrypt, for which the system must provide new memory each time. The limit that they're compared
with has new output, too. A stream comes from memory and is discarded. "That is copied" means that
the source must copy its data, as files and connections do. The "limit that copies, too" copies 256
KiB at once. "Forced calls" are the calls that the format requires for a message of 1 KiB, listed
below. "Before" is the figure of the page that this one replaces.
`)
	var rows [][]string
	for _, v := range judge(r) {
		row := []string{v.Topic, v.Target, cmp.Or(r.Before.Figures[former(v.Topic, v.Target)], "–"), v.Figure, "no"}
		switch {
		case !v.Measured:
			row[3], row[4] = "–", "not measured"
		case strings.HasPrefix(v.Target, "–"):
			row[4] = ""
		case v.Met:
			row[4] = "yes"
		}
		rows = append(rows, row)
	}
	table(b, []string{"", "target", "before", "figure", "met"}, rows)
}

func limitSection(b *strings.Builder, r *results) {
	b.WriteString(`
## Limits

No implementation in Go with the standard library can avoid this work:

- AES-GCM in a bare loop over 100 MiB, in blocks of 4 KiB with 72 bytes of additional data
- SHA-384 over the same amount
- P-384
- for a message of 1 KiB, the forced calls: random numbers, wrapping a data key, HKDF with SHA-512,
  the header tag and one frame
`)
	var rows [][]string
	for _, m := range r.Cells {
		if m.Peer != limits {
			continue
		}
		row := []string{limitText(m.Request), ""}
		if seconds, why := r.best(m.cell); why != "" {
			row[1] = why
		} else if m.Request.Size >= mib {
			row[1] = rateText(m.Request.Size, seconds)
		} else {
			row[1] = timeText(seconds)
		}
		rows = append(rows, row)
	}
	table(b, []string{"limit", "best"}, rows)
}

func limitText(r peer.Request) string {
	names := map[string]string{
		"seal":           "AES-256-GCM, encrypt",
		"open":           "AES-256-GCM, decrypt",
		"sha384":         "SHA-384",
		"sign":           "P-384: new key, signature",
		"verify":         "P-384: verification",
		"decompress":     "P-384: public key, compressed",
		"forced-encrypt": "the forced calls, encrypt",
		"forced-decrypt": "the forced calls, decrypt",
	}
	parts := []string{names[r.Op]}
	if r.Size > 0 {
		parts = append(parts, sizeText(r.Size))
	}
	if r.Cores > 1 {
		parts = append(parts, fmt.Sprintf("%d cores", r.Cores))
	}
	if (r.Op == "seal" || r.Op == "open" || strings.HasPrefix(r.Op, "forced-")) && !r.Reuse {
		parts = append(parts, "new output")
	}
	return strings.Join(parts, ", ")
}

// operationText returns the text for a column of the side-by-side tables.
// rowText includes the table.
func operationText(r peer.Request) string {
	text := r.Op + " " + sizeText(r.Size)
	if r.Stream {
		text += " stream"
	}
	return text
}

func rowText(r peer.Request) string { return operationText(r) + ", " + suiteText(r.Suite) }

// cellText returns a figure of the side-by-side tables, with the best in
// brackets: microseconds for short messages, otherwise MiB a second.
func cellText(r *results, c cell) string {
	typical, why := r.typical(c)
	if why != "" {
		return why
	}
	best, _ := r.best(c)
	figure := func(seconds float64) string { return digits(float64(c.Request.Size) / mib / seconds) }
	if c.Request.Size < mib {
		figure = func(seconds float64) string { return digits(seconds * 1e6) }
	}
	return figure(typical) + " (" + figure(best) + ")"
}

func sideBySide(b *strings.Builder, r *results) {
	b.WriteString(`
## Side by side

The figures are medians, with the best in brackets, on all cores: microseconds for a message of 1
KiB, and MiB of plaintext a second for longer ones. In memory, the output is allocated anew each
time. The last three rows have formats of their own, which do less: none of them signs, minio/sio
and Tink wrap no key for each message, and age has blocks of 64 KiB and ChaCha20-Poly1305.
`)
	for _, suite := range []string{"0478", "0578"} {
		fmt.Fprintf(b, "\n### %s\n", suiteText(suite))
		head := []string{""}
		var requests []peer.Request
		for _, row := range tableRows() {
			if row.Suite == suite {
				requests = append(requests, row)
				name := operationText(row)
				if row.Size < mib {
					name += ", µs"
				} else {
					name += ", MiB/s"
				}
				head = append(head, name)
			}
		}
		var rows [][]string
		for _, c := range contestants {
			if suite == "0578" && !c.sdk && c.name != us {
				continue
			}
			row := []string{c.label}
			for _, request := range requests {
				row = append(row, cellText(r, cell{c.name, request}))
			}
			rows = append(rows, row)
		}
		table(b, head, rows)
	}
}

// sdks returns this library and the official SDKs.
func sdks() []contestant {
	return slices.DeleteFunc(slices.Clone(contestants), func(c contestant) bool { return !c.sdk && c.name != us })
}

func scenarioSection(b *strings.Builder, r *results) {
	b.WriteString(`
## The sizes of the official performance suite

The figures are messages a second with the default suite, 0578. Each message is encrypted and then
decrypted.
`)
	head := []string{""}
	for _, size := range scenarioSizes {
		head = append(head, sizeText(size))
	}
	var rows [][]string
	for _, c := range sdks() {
		row := []string{c.label}
		for _, size := range scenarioSizes {
			row = append(row, cycleText(r, c.name, peer.Request{Suite: "0578", Size: size}))
		}
		rows = append(rows, row)
	}
	table(b, head, rows)
}

// cycleText returns how many messages a second are encrypted and decrypted.
func cycleText(r *results, name string, request peer.Request) string {
	sum := 0.0
	for _, op := range operations {
		request.Op = op
		seconds, why := r.typical(cell{name, request})
		if why != "" {
			return why
		}
		sum += seconds
	}
	return countText(1 / sum)
}

func threadSection(b *strings.Builder, r *results) {
	fmt.Fprintf(b, "\n## Threads\n\nThe same figures for messages of %s and several threads, or the language's equivalent.\n", sizeText(threadsSize))
	head := []string{""}
	for _, n := range scenarioThreads {
		head = append(head, fmt.Sprint(n))
	}
	var rows [][]string
	for _, c := range sdks() {
		row := []string{c.label}
		for _, n := range scenarioThreads {
			row = append(row, cycleText(r, c.name, peer.Request{Suite: "0578", Size: threadsSize, Threads: n}))
		}
		rows = append(rows, row)
	}
	table(b, head, rows)
}

func memorySection(b *strings.Builder, r *results) {
	fmt.Fprintf(b, `
## Memory

The table shows the peak of resident memory in a process that only encrypts %s into a file
and decrypts that file. In memory, the process holds both plaintext and message. The first column is
a process that hasn't done anything yet.
`, sizeText(r.memorySize()))
	head := []string{"", "idle"}
	ways := []memory{{Suite: "0478"}, {Suite: "0478", Stream: true}, {Suite: "0578"}, {Suite: "0578", Stream: true}}
	for _, way := range ways {
		head = append(head, way.Suite+map[bool]string{false: " in memory", true: " stream"}[way.Stream])
	}
	var rows [][]string
	for _, c := range contestants {
		row := []string{c.label, memoryOf(r, memory{Peer: c.name})}
		for _, way := range ways {
			way.Peer = c.name
			row = append(row, memoryOf(r, way))
		}
		rows = append(rows, row)
		if c.name == us {
			reused := []string{c.label + ", reused buffers", ""}
			for _, way := range ways {
				text := ""
				if way.Peer, way.Reuse = us, true; !way.Stream {
					text = memoryOf(r, way)
				}
				reused = append(reused, text)
			}
			rows = append(rows, reused)
		}
	}
	table(b, head, rows)
}

// memorySize returns the size of the messages in the memory table.
func (r *results) memorySize() int {
	for _, m := range r.Memory {
		if m.Op == "" && m.Size > 0 {
			return m.Size
		}
	}
	return 0
}

func memoryOf(r *results, want memory) string {
	rss, why := r.resident(want)
	if why != "" {
		return why
	}
	return memoryText(rss)
}

// resident returns the memory of a process that saves and loads, or why it's
// not known.
func (r *results) resident(want memory) (rss int64, why string) {
	if why, ok := r.Missing[want.Peer]; ok {
		return 0, why
	}
	for _, m := range r.Memory {
		if m.Peer == want.Peer && m.Suite == want.Suite && m.Stream == want.Stream && m.Reuse == want.Reuse && m.Op == "" {
			return m.RSS, m.Note
		}
	}
	return 0, "not measured"
}

func commandSection(b *strings.Builder, c *commands) {
	fmt.Fprintf(b, `
## The command

The commands process a file of %s and a tree of %d files of 4 KiB, signed unless the row says
otherwise. The output of "esdk" is on the disk when it ends. age and aws-encryption-cli leave that
to the system, so age is also timed with a sync of its file. Times are medians, with the best of the
rounds in brackets. For the tree, the copy shows the cost of the files alone. No command can avoid
the signatures or their verifications, one for each file, which are timed alone, too.
`, sizeText(c.FileSize), c.Files)
	if c.FileSystem != "" {
		fmt.Fprintf(b, "\nThe file system is %s.\n", c.FileSystem)
	}
	var rows [][]string
	for _, t := range c.Timed {
		row := []string{"`" + t.Name + "`", t.Note, ""}
		if t.Note == "" && len(t.Seconds) > 0 {
			row[1] = timeText(median(t.Seconds)) + " (" + timeText(slices.Min(t.Seconds)) + ")"
		}
		if t.RSS > 0 {
			row[2] = memoryText(t.RSS)
		}
		rows = append(rows, row)
	}
	table(b, []string{"", "time", "resident"}, rows)
}

func versionSection(b *strings.Builder, r *results) {
	b.WriteString("\n## Versions\n")
	var rows [][]string
	for _, c := range contestants {
		version := r.Versions[c.name]
		if why, ok := r.Missing[c.name]; ok {
			version = why
		}
		if c.name == us {
			version = "this tree, with " + r.Machine.Go
		}
		rows = append(rows, []string{c.label, version})
	}
	if version := r.Versions[officialCommand]; version != "" {
		rows = append(rows, []string{officialCommand, version})
	}
	table(b, []string{"", "version"}, rows)
}
