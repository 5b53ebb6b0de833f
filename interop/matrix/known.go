package main

import (
	"slices"

	"esdk/internal/suite"
	"esdk/interop/peer"
)

type key = peer.Key

// A fault is a known fault of official SDKs, documented in
// docs/compatibility.md. Its tests are expected to fail.
type fault struct {
	title string
	peers []string // with the fault
	shows func(*test, direction) bool
	text  string // part of the error

	// Some of its tests pass.
	sometimes bool

	says string // description, and our answer
}

func ofRow(row string) func(*test, direction) bool {
	return func(t *test, _ direction) bool { return t.feature == row }
}

// These are the rows of tests that only show faults.
const (
	faultMixed = "discovery with data keys of other providers in the message"
	faultOrder = "the default order of the context in JavaScript"
	faultFull  = "a final frame that is full"
)

var faults = []fault{
	{
		title: faultMixed, peers: []string{"go", "rust", "python", "java"}, shows: ofRow(faultMixed),
		says: "The AWS KMS discovery keyrings of the material providers look at the provider information of each encrypted data key before they look " +
			"at its provider id, and fail for a message that also has a data key of a raw key. Ours skip those, as the specification says. To have such " +
			"messages read by discovery in those SDKs, use their multi-Region discovery keyring, which does not have the fault.",
	},
	{
		title: faultOrder, peers: []string{"javascript"}, shows: ofRow(faultOrder),
		says: "The raw AES and the hierarchical keyring order the encryption context by locale unless they are made with `utf8Sorting: true`. For a " +
			"context with capital or non-ASCII letters in its keys, and so for every signed message with a key that begins with a capital letter, " +
			"no other SDK opens what they wrote, nor they what others wrote. We refuse such a message, as one whose data key does not open; nothing in it " +
			"tells the order. The answer is to set `utf8Sorting: true`.",
	},
	{
		title: faultFull, peers: []string{"cli"}, shows: func(t *test, _ direction) bool { return t.full }, text: "Invalid final frame length",
		says: "The Python SDK before version 4.0.0, and the command, which is built on 3.3.1, refuse a message whose plaintext is a multiple of the frame " +
			"length if its final frame is full, as the SDKs for C, Java, .NET, Go and Rust and ours write it and the specification advises. An empty one in its place, as " +
			"Python writes, would be read; but then all plaintext of a signed stream would be released before its signature is verified, so we " +
			"do not. The answer is version 4 of the SDK, our command, or a frame length that the length is no multiple of (`--frame-length 4095`).",
	},
	{
		title: "bytes behind the end of a message", peers: []string{"python", "java", "javascript", "cli"}, text: "accepts", sometimes: true,
		shows: func(t *test, d direction) bool { return d == oursToTheirs && t.tamper == aByteMore },
		says: "Python, the command, JavaScript (with suites that do not sign) and the streams of Java do not look whether anything follows a message. " +
			"We refuse what has something behind it, as the specification says.",
	},
}

// faultOf returns the known fault of a peer that a test shows.
func faultOf(name string, t *test, d direction) *fault {
	for i, f := range faults {
		if slices.Contains(f.peers, name) && f.shows(t, d) {
			return &faults[i]
		}
	}
	return nil
}

// fullFrame adds a test of the fault with full final frames.
func (p *plan) fullFrame(t test) {
	t.feature, t.full, t.onlyOurs, t.onlyTheirs = faultFull, true, true, false
	p.tests = append(p.tests, &t)
}

// differences adds the tests that show the faults, for all SDKs: SDKs without a
// fault pass.
func (p *plan) differences() {
	for _, id := range []uint16{0x0578, 0x0478} {
		s := suite.Lookup(id)
		p.add(test{feature: faultMixed, suite: s, use: use{multi(both(kmsKey("kms")), aes(256)).encrypt, []*key{discovery()}}, onlyOurs: true})
		p.add(test{feature: faultOrder, suite: s, use: aes(256), context: "mixed case", legacy: true})
	}
}
