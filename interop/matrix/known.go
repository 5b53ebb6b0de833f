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
	faultFull  = "a full final frame"
)

var faults = []fault{
	{
		title: faultMixed, peers: []string{"go", "rust", "python", "java"}, shows: ofRow(faultMixed),
		says: "The AWS KMS discovery keyrings of the material providers look at an encrypted data key's provider info before its provider ID. " +
			"They fail for a message that also has a data key of a raw key. Our keyrings skip such data keys, as the specification says. To read " +
			"such messages by discovery in those SDKs, use their multi-Region discovery keyring, which doesn't have the fault.",
	},
	{
		title: faultOrder, peers: []string{"javascript"}, shows: ofRow(faultOrder),
		says: "The raw AES and the hierarchical keyrings order the encryption context by locale unless they're made with `utf8Sorting: true`. " +
			"This affects contexts with capital or non-ASCII letters in their keys, and so every signed message with a key that begins with a " +
			"capital letter. No other SDK opens such messages of these keyrings, and the keyrings open no such messages of other SDKs. We refuse " +
			"them with the same error as other data keys that don't open, since nothing in the message shows the order. Set `utf8Sorting: true` " +
			"to avoid the fault.",
	},
	{
		title: faultFull, peers: []string{"cli"}, shows: func(t *test, _ direction) bool { return t.full }, text: "Invalid final frame length",
		says: "The Python SDK before version 4.0.0, and the command, which is built on 3.3.1, refuse a message whose plaintext is a multiple of the " +
			"frame length if its final frame is full. The SDKs for C, Java, .NET, Go and Rust and this library write it so, as the specification " +
			"advises. An empty final frame, as Python writes, would be read. But then a signed stream would release all of its plaintext before its " +
			"signature is verified, so we don't write one. Use version 4 of the SDK, our command, or a frame length that doesn't divide the " +
			"plaintext's length (`--frame-length 4095`).",
	},
	{
		title: "bytes after the end of a message", peers: []string{"python", "java", "javascript", "cli"}, text: "accepts", sometimes: true,
		shows: func(t *test, d direction) bool { return d == oursToTheirs && t.tamper == aByteMore },
		says: "Python, the command, JavaScript (with suites that don't sign) and the streams of Java don't check for bytes after a message. " +
			"We refuse a message with such bytes, as the specification says.",
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
