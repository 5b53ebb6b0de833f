// Package peer runs the programs of the official SDKs described in
// ../README.md.
package peer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// A Request asks a peer to do something.
type Request struct {
	Op                string            `json:"op"`
	API               string            `json:"api,omitempty"`
	Stream            bool              `json:"stream,omitempty"`
	Legacy            bool              `json:"legacy,omitempty"`
	Key               *Key              `json:"key,omitempty"`
	Suite             string            `json:"suite,omitempty"`
	Frame             uint32            `json:"frame"`
	Context           map[string]string `json:"context,omitzero"`
	ReproducedContext map[string]string `json:"reproduced,omitempty"`
	In                string            `json:"in,omitempty"`
	Out               string            `json:"out,omitempty"`

	// For key stores.
	Action string `json:"action,omitempty"`
	Table  string `json:"table,omitempty"`
	KMS    string `json:"kms,omitempty"`
	ID     string `json:"id,omitempty"`
}

// Discovery replaces the ARN of a KMS key, and accepts any key that an item of
// a key store names.
const Discovery = "discovery"

// An Answer is the answer of a peer.
type Answer struct {
	Error       string            `json:"error"`
	Unsupported string            `json:"unsupported"`
	Context     map[string]string `json:"context"`
	ID          string            `json:"id"`
	Version     string            `json:"version"`
	Name        string            `json:"name"`
	With        string            `json:"with"`
}

// A Key is a description of a key.
type Key struct {
	Type               string  `json:"type"`
	Key                string  `json:"key,omitempty"`
	Algorithm          string  `json:"encryption-algorithm,omitempty"`
	ProviderID         string  `json:"provider-id,omitempty"`
	Padding            string  `json:"padding-algorithm,omitempty"`
	Hash               string  `json:"padding-hash,omitempty"`
	Schema             string  `json:"schema,omitempty"`
	Curve              string  `json:"ecc-curve,omitempty"`
	Sender             string  `json:"sender,omitempty"`
	SenderPublicKey    string  `json:"sender-public-key,omitempty"`
	Recipient          string  `json:"recipient,omitempty"`
	RecipientPublicKey string  `json:"recipient-public-key,omitempty"`
	MRKRegion          string  `json:"default-mrk-region,omitempty"`
	Region             string  `json:"region,omitempty"`
	Filter             *Filter `json:"aws-kms-discovery-filter,omitempty"`
	Generator          *Key    `json:"generator,omitempty"`
	Children           []*Key  `json:"childKeyrings,omitzero"`

	Underlying   *Key     `json:"underlying,omitempty"`
	RequiredKeys []string `json:"requiredEncryptionContextKeys,omitempty"`

	// For branch-key.
	Table string `json:"table,omitempty"`
	KMS   string `json:"kms,omitempty"`
	ID    string `json:"id,omitempty"`
}

// A Filter restricts the keys of AWS KMS that may decrypt.
type Filter struct {
	Partition string   `json:"partition"`
	Accounts  []string `json:"account-ids"`
}

// An UnsupportedError means that an SDK lacks a feature.
type UnsupportedError string

func (e UnsupportedError) Error() string { return string(e) }

// ErrEnded means that the program no longer answers.
var ErrEnded = errors.New("the peer has ended")

// A Process is a program of one SDK. It is not safe for concurrent use.
type Process struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

// Start starts a program with the path of a keys manifest. The program's
// standard error goes to log.
func Start(program, keys string, log *os.File) (*Process, error) {
	p := &Process{command: exec.Command(program, keys)}
	p.command.Stderr = log
	var err error
	if p.in, err = p.command.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	return p, p.command.Start()
}

// Ask returns the answer to a request. If the SDK lacks a feature, the error is
// an [UnsupportedError].
func (p *Process) Ask(r *Request) (*Answer, error) {
	line, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEnded, err)
	}
	// Node.js prints a warning if PKCS #1 v1.5 decryption is allowed.
	for line = nil; !bytes.HasPrefix(line, []byte("{")); {
		if line, err = p.out.ReadBytes('\n'); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrEnded, err)
		}
	}
	a := new(Answer)
	switch err := json.Unmarshal(line, a); {
	case err != nil:
		return nil, fmt.Errorf("answer %q: %w", line, err)
	case a.Unsupported != "":
		return nil, UnsupportedError(a.Unsupported)
	case a.Error != "":
		return nil, errors.New(a.Error)
	}
	return a, nil
}

// Close ends the program.
func (p *Process) Close() error {
	if err := p.in.Close(); err != nil {
		return err
	}
	return p.command.Wait()
}
