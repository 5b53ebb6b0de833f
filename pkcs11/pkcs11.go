// Package pkcs11 has keyrings whose wrapping keys are in a hardware security
// module, or any other token that speaks PKCS #11, and never leave it.
//
// What they write is what the raw keyrings of package esdk write with the same
// key: a message that a token wrapped opens with a copy of the key in any official
// SDK, and the other way round.
//
//	token, err := pkcs11.Open(ctx, pkcs11.Config{
//		Module: "/usr/lib/softhsm/libsofthsm2.so",
//		Token:  "payments",
//		PIN:    pkcs11.PINFile("/run/secrets/pin"),
//	})
//	defer token.Close()
//	kr, err := pkcs11.NewAESKeyring(ctx, token, pkcs11.AESConfig{
//		Namespace: "corp", Name: "backup", Key: pkcs11.KeyRef{Label: "backup"},
//	})
//
// The library of a token is written in C: a build without cgo has this package,
// but [Open] then fails with [ErrNoCgo]. What that library does is up to it: a
// call that has begun cannot be cancelled, and copies of data keys that it and
// the binding make in memory are not cleared.
//
// All keyrings are safe for concurrent use.
//
// Specification: framework/raw-aes-keyring.md, raw-rsa-keyring.md and
// raw-ecdh-keyring.md, for what the keyrings write.
package pkcs11

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// ErrNoCgo says that the program was built without cgo, and has no way to call
// the library of a token.
var ErrNoCgo = errors.New("pkcs11: this program was built without cgo, which PKCS #11 needs: build it with CGO_ENABLED=1 and a C compiler")

// These errors are for callers to decide on. Test for them with [errors.Is].
var (
	// ErrNoToken says that no token is the one that was asked for.
	ErrNoToken = errors.New("no such token")

	// ErrNoKey says that the token has no key that is the one asked for, or
	// does not show it.
	ErrNoKey = errors.New("no such key")

	// ErrAmbiguous says that several tokens or keys are what was asked for. No
	// choice is made between them.
	ErrAmbiguous = errors.New("there are several")

	// ErrClosed says that the [Token] was closed.
	ErrClosed = errors.New("pkcs11: the token was closed")

	// ErrPIN says that the token refused the PIN. After that a [Token] asks no
	// more, since some tokens lock themselves after a few wrong ones.
	ErrPIN = errors.New("the token refuses the PIN")
)

// An Error is what a call of the token's library returned. [errors.As] finds it
// in the errors of this package.
type Error struct {
	Call string // such as "C_Decrypt"
	Code uint   // of type CK_RV
	Name string // of the code, such as "CKR_DEVICE_REMOVED"; may be empty
}

func (e *Error) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("%s: CKR 0x%X", e.Call, e.Code)
	}
	return e.Call + ": " + e.Name
}

// Config says which token [Open] opens, and how.
type Config struct {
	// Module is the file of the token's library. It may be left out if URI has
	// a module-path.
	Module string

	// Token is the label of the token. Without it and URI, there must be only
	// one token.
	Token string

	// URI, if it is set, chooses the token by the attributes of RFC 7512, as in
	// "pkcs11:token=payments;serial=0123". It may be that of a key. See [ParseURI].
	URI string

	// PIN returns the user's PIN. It is called for each login: in Open, and
	// again after the token was lost. Without it, that of the URI's pin-source
	// is taken, and without that too, nobody logs in. Its result is cleared. Nil
	// without an error is an error; an empty PIN that is not nil is given to the token.
	PIN func(ctx context.Context) ([]byte, error)

	// Sessions is how many calls the token works on at once; others wait. One
	// more session is kept for the login. 0 means 4.
	Sessions int
}

const defaultSessions = 4

// maxPINFile is longer than any PIN, in bytes.
const maxPINFile = 4096

// PINFile returns a function for [Config] that reads the PIN from a file of at most
// 4096 bytes, anew each time. Line breaks at its end are not part of the PIN.
func PINFile(name string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		// An array that grew would leave the PIN in the one before.
		data := make([]byte, maxPINFile+1)
		defer clear(data)
		n, err := io.ReadFull(f, data)
		switch {
		case err == nil:
			return nil, fmt.Errorf("%s is too large for a file with a PIN", name)
		case err != io.EOF && err != io.ErrUnexpectedEOF:
			return nil, err
		}
		pin := moved(bytes.TrimRight(data[:n], "\r\n"))
		if len(pin) == 0 {
			return nil, fmt.Errorf("%s holds no PIN", name)
		}
		return pin, nil
	}
}

// A KeyRef says which key of a token is meant: all that is set must be so of the
// key, and of one key only. It is looked up again after the token was lost, so
// that a key that was put back, as from a backup, is found.
type KeyRef struct {
	Label string // CKA_LABEL
	ID    []byte // CKA_ID

	// URI has the label (object) and the id in the form of RFC 7512. If it has
	// attributes of a token too, they must be those of the token that is open.
	URI string
}

// String returns the label and the id, as errors show them.
func (r KeyRef) String() string {
	var parts []string
	if r.Label != "" {
		parts = append(parts, fmt.Sprintf("label %q", r.Label))
	}
	if len(r.ID) > 0 {
		parts = append(parts, fmt.Sprintf("id %x", r.ID))
	}
	return strings.Join(parts, ", ")
}

// resolved replaces the URI by what it says.
func (r KeyRef) resolved(t *Token, class class) (KeyRef, error) {
	if r.URI != "" {
		uri, err := ParseURI(r.URI)
		if err != nil {
			return r, err
		}
		if !uri.matches(&t.info) {
			return r, fmt.Errorf("pkcs11: the key's URI is of another token than %q", t.info.label)
		}
		if uri.Type != "" && (uri.Type == "secret-key") != (class == secretKey) {
			return r, fmt.Errorf("pkcs11: the key's URI has the type %s", uri.Type)
		}
		if r.Label != "" && uri.Object != "" && r.Label != uri.Object || len(r.ID) > 0 && len(uri.ID) > 0 && string(r.ID) != string(uri.ID) {
			return r, errors.New("pkcs11: the key's URI has another label or id than is given beside it")
		}
		if uri.Object != "" {
			r.Label = uri.Object
		}
		if len(uri.ID) > 0 {
			r.ID = uri.ID
		}
		r.URI = ""
	}
	if r.Label == "" && len(r.ID) == 0 {
		return r, errors.New("pkcs11: which key? Its label or its id is needed")
	}
	return r, nil
}
