package main

// The text of docs/compatibility.md around the table.

const header = `# Compatibility

This library's messages are interchangeable with the official SDKs' messages. ` + "`make interop`" + `
checks that and writes this page. It installs the SDKs from their registries, except for C, and runs
each in a program of its own ([interop](../interop/README.md)).

| | version | with |
|---|---|---|
`

const beforeTable = `
C is in no registry. It's built from its sources, without its part in C++, which has the keyrings
for AWS KMS. .NET isn't among the SDKs, since the test machines don't have it. The published test
vectors have messages of both, and all of them pass.

## What passes

"330 / 330" means that the SDK read 330 of our messages, and we read 330 of its messages, each with
the original plaintext and encryption context. Each count covers all eleven algorithm suites, except
for AWS KMS RSA, which supports no suites that sign.

The first row combines each suite with six lengths of plaintext (0, 1, one frame, three frames,
10,000 bytes, 10 MiB) and five encryption contexts (none, ASCII, mixed case, beyond ASCII and
U+FFFF, 40 pairs). The other rows use lengths and contexts in turn. A message with several keys is
read with each of them. We write no bodies without frames, since the specification forbids it. A
number after a count refers to a reason why the SDK can't do something.

`

const beforeFaults = `
## Known faults of the official SDKs

Tests of the run show each fault, and fail once an SDK no longer has it.

`

const differential = "## Differences of verdict\n\n" +
	"In `interop/differential`, the official Go SDK and this library decrypt the same bytes, in one\n" +
	"process and with the same keys. A fuzzer makes the messages, with correct tags for structures that\n" +
	"may be wrong, and changes their bytes. Both come to the same verdict, plaintext and context, with\n" +
	"two exceptions:\n\n" +
	"- If the provider ID of an encrypted data key isn't UTF-8, the official SDK refuses the message. We\n" +
	"  skip that data key.\n" +
	"- If a malformed ECDH data key comes before a good one, the official ECDH keyring fails. Ours goes\n" +
	"  on to the next, as the specification says.\n\n" +
	"On encryption, version 0.4.0 of the official Go SDK panics if the plaintext is nil. We write an\n" +
	"empty message.\n"
