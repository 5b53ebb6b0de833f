// Package policycmm implements a CMM that allows only some algorithm suites,
// such as those with signatures.
package policycmm

import (
	"context"
	"errors"
	"fmt"

	"esdk"
)

// ErrSuite is returned if the algorithm suite of a message isn't allowed.
var ErrSuite = errors.New("policycmm: algorithm suite is not allowed")

// AES256 allows suites with 256-bit data keys. The CommitmentPolicy of the
// esdk.Config decides whether a suite must commit to its key.
func AES256(id esdk.SuiteID) bool { return id.DataKeyLength() == 32 }

type cmm struct {
	next    esdk.CMM
	allowed func(esdk.SuiteID) bool
}

// New returns a CMM that encrypts and decrypts only with suites for which
// allowed returns true. [AES256] and esdk.SuiteID.Signed are such functions.
// Make it the outermost CMM, the CMM of the esdk.Config.
//
// The CMM protects against configuration: a program with several clients, or a
// library with a Config of its own, can't fall back to another suite. It
// doesn't protect against a sender, who may choose any allowed suite.
func New(next esdk.CMM, allowed func(esdk.SuiteID) bool) (esdk.CMM, error) {
	if next == nil || allowed == nil {
		return nil, errors.New("policycmm: New needs a CMM and a function")
	}
	return &cmm{next, allowed}, nil
}

func (c *cmm) check(id esdk.SuiteID) error {
	if !c.allowed(id) {
		return fmt.Errorf("%w: %v", ErrSuite, id)
	}
	return nil
}

func (c *cmm) EncryptionMaterials(ctx context.Context, req *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
	// 0 stands for the default suite of the CMM that makes the materials. A
	// known suite is rejected here, without a call to a key service.
	if req.Suite != 0 {
		if err := c.check(req.Suite); err != nil {
			return nil, err
		}
	}
	m, err := c.next.EncryptionMaterials(ctx, req)
	if err != nil || m == nil {
		return nil, err
	}
	if err := c.check(m.Suite); err != nil {
		clear(m.DataKey)
		return nil, err
	}
	return m, nil
}

func (c *cmm) DecryptionMaterials(ctx context.Context, req *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
	if err := c.check(req.Suite); err != nil { // of the message, never 0
		return nil, err
	}
	return c.next.DecryptionMaterials(ctx, req)
}
