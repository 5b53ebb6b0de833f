package caching_test

import (
	"testing"

	"esdk/internal/clienttest"
)

type (
	keyringFunc = clienttest.KeyringFuncs
	cmmFunc     = clienttest.ChangingCMM
)

var (
	testKeyring   = clienttest.Keyring
	defaultCMM    = clienttest.DefaultCMM
	newClient     = clienttest.New
	pattern       = clienttest.Pattern
	encrypt       = clienttest.Encrypt
	encryptStream = clienttest.EncryptStream
	wantDecrypts  = clienttest.WantDecrypts
	wantRefused   = clienttest.WantRefused
	policyFor     = clienttest.PolicyFor
	errNotAsked   = clienttest.ErrNotAsked
)

func must[T any](t testing.TB) func(T, error) T { return clienttest.Must[T](t) }
