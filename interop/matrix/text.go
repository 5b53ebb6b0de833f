package main

// This is the text of docs/compatibility.md around the table.

const header = `# Compatibility

Messages pass both ways between this library and the official SDKs. This page is written by the run that shows it, ` + "`make interop`" + `, which
installs the SDKs from their registries and runs each in a program of its own ([interop](../interop/README.md)).

| | version | with |
|---|---|---|
`

const beforeTable = `
C and .NET are not among them: C is in no registry, and .NET not on the machines that test this. Messages of both are in the published
test vectors, which all pass.

## What passes

"330 / 330" says that they read 330 messages of ours, and we 330 of theirs: the same plaintext and encryption context came back. Each count
is over all eleven algorithm suites, but for AWS KMS RSA, which takes none that signs. The first row has each suite with six lengths of plaintext (0, 1, one
frame, three frames, 10,000 bytes, 10 MiB) and five encryption contexts (none, ASCII, mixed case, beyond ASCII and U+FFFF, 40 pairs); the
other rows take lengths and contexts in turn. A message of several keys is read with each of them. We write no bodies without frames, which the
specification forbids. A number behind a cell gives the reason for what an SDK
cannot do.

`

const beforeFaults = `
## Known faults of the official SDKs

Each is shown by tests of the run, which fail the day that the SDK no longer has the fault.

`

const differential = "## Differences of verdict\n\n" +
	"`interop/differential` has the official Go SDK and this library decrypt the same bytes, in one process, with the same keys: messages that a fuzzer\n" +
	"makes, with tags that are right for a structure that need not be, and bytes that it changes. Both come to the same verdict, plaintext and context, but for\n\n" +
	"- a message with an encrypted data key whose provider id is not UTF-8: the official SDK refuses the message, we skip that data key;\n" +
	"- a message with a malformed data key of ECDH before a good one: the official ECDH keyring fails, ours goes on to the next, as the specification says.\n\n" +
	"And on encryption, version 0.4.0 of the official Go SDK panics at a plaintext that is nil; ours is an empty message.\n"
