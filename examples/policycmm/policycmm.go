// Package policycmm is a CMM that lets only some algorithm suites pass, such as
// only those that sign.
package policycmm

import (
	"context"
	"errors"
	"fmt"

	"esdk"
)

// ErrSuite is returned for a message whose algorithm suite isn't allowed.
var ErrSuite = errors.New("policycmm: algorithm suite is not allowed")

// AES256 allows suites whose data keys have 256 bits. Whether they must commit
// to them is for the CommitmentPolicy of the esdk.Config.
func AES256(id esdk.SuiteID) bool { return id.DataKeyLength() == 32 }

type cmm struct {
	next    esdk.CMM
	allowed func(esdk.SuiteID) bool
}

// New returns a CMM that encrypts and decrypts only with suites that are
// allowed: esdk.SuiteID.Signed is such a function, and so is [AES256]. It goes
// outermost, as the CMM of the esdk.Config.
//
// It protects from configuration: a program of several clients, or a library
// with a Config of its own, can't fall back to another suite. It doesn't
// protect from a sender who may choose any suite that is allowed.
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
	// 0 stands for the default of whichever CMM makes the materials. If the
	// suite is known, its refusal needs no call to a key service.
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
	if err := c.check(req.Suite); err != nil { // the message's own, never 0
		return nil, err
	}
	return c.next.DecryptionMaterials(ctx, req)
}
