// Package pkcs11 provides keyrings whose wrapping keys are in a hardware
// security module, or in any other token with a PKCS #11 library, and never
// leave it.
//
// Their encrypted data keys are interchangeable with the raw keyrings of
// package esdk: any official SDK with a copy of the key opens a message that a
// token wrapped, and vice versa.
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
//	message, err := esdk.Encrypt(ctx, kr, plaintext, nil)
//
// The library of a token is written in C. A build without cgo has this package,
// but [Open] then fails with [ErrNoCgo]. This package has no control over that
// library: a call in progress can't be cancelled, and copies of data keys that
// the library and the Go binding make in memory are not cleared.
//
// All keyrings are safe for concurrent use.
//
// Specification: [framework/raw-aes-keyring.md], [framework/raw-rsa-keyring.md]
// and [framework/raw-ecdh-keyring.md], for the encrypted data keys.
//
// [framework/raw-aes-keyring.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/raw-aes-keyring.md
// [framework/raw-rsa-keyring.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/raw-rsa-keyring.md
// [framework/raw-ecdh-keyring.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/raw-ecdh-keyring.md
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

// ErrNoCgo means that the program was built without cgo, and can't call the
// library of a token.
var ErrNoCgo = errors.New("pkcs11: this program was built without cgo, which PKCS #11 needs: build it with CGO_ENABLED=1 and a C compiler")

// These errors are for callers to act on. Test for them with [errors.Is].
var (
	// ErrNoToken is returned if no token matches the configuration.
	ErrNoToken = errors.New("no such token")

	// ErrNoKey is returned if no key of the token matches the [KeyRef], or the
	// token doesn't show it.
	ErrNoKey = errors.New("no such key")

	// ErrAmbiguous is returned if several tokens or keys match. This package
	// doesn't choose between them.
	ErrAmbiguous = errors.New("several match")

	// ErrClosed is returned after the [Token] was closed.
	ErrClosed = errors.New("pkcs11: the token was closed")

	// ErrPIN is returned if the token refuses the PIN. The [Token] then makes
	// no further attempts, since some tokens lock themselves after a few wrong
	// PINs.
	ErrPIN = errors.New("the token refuses the PIN")
)

// An Error is an error code that a call of the token's library returned.
// [errors.As] finds it in the errors of this package.
type Error struct {
	Call string // such as "C_Decrypt"
	Code uint   // of type CK_RV
	Name string // of the code, such as "CKR_DEVICE_REMOVED"; may be empty
}

// Error returns the call and the name of the code, or else its number.
func (e *Error) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("%s: CKR 0x%X", e.Call, e.Code)
	}
	return e.Call + ": " + e.Name
}

// Config selects the token for [Open], and configures its use.
type Config struct {
	// Module is the file of the token's library. It may be empty if URI has a
	// module-path.
	Module string

	// Token is the label of the token. Without it and URI, there must be
	// exactly one token.
	Token string

	// URI, if set, selects the token by the attributes of RFC 7512, as in
	// "pkcs11:token=payments;serial=0123". It may be the URI of a key. See
	// [ParseURI].
	URI string

	// PIN returns the user's PIN. It is called for each login: in Open, and
	// again after the token was lost. If it is nil, the URI's pin-source
	// provides the PIN; without that, there is no login. The result is cleared
	// after use. A nil result without an error is an error; an empty PIN that
	// isn't nil is passed to the token.
	PIN func(ctx context.Context) ([]byte, error)

	// Sessions is the number of calls that the token executes at once; others
	// wait. One additional session keeps the login. 0 means 4.
	Sessions int
}

const defaultSessions = 4

// maxPINFile exceeds the length of any PIN, in bytes.
const maxPINFile = 4096

// PINFile returns a function for [Config] that reads the PIN from a file of at
// most 4096 bytes, at each call. Line breaks at its end are not part of the
// PIN.
func PINFile(name string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		// A growing slice would leave the PIN behind in its old array.
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

// A KeyRef identifies a key of a token. All non-empty fields must match, and
// must match one key only. The key is looked up again after the token was lost,
// so a key restored from a backup is found.
type KeyRef struct {
	Label string // CKA_LABEL
	ID    []byte // CKA_ID

	// URI has the label (object) and the id in the form of RFC 7512. If it also
	// has attributes of a token, they must match the open token.
	URI string
}

// String returns the label and the id, as shown in errors.
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

// resolved replaces the URI by its attributes.
func (r KeyRef) resolved(t *Token, class class) (KeyRef, error) {
	if r.URI != "" {
		uri, err := ParseURI(r.URI)
		if err != nil {
			return r, err
		}
		if !uri.matches(&t.info) {
			return r, fmt.Errorf("pkcs11: the key's URI names another token than %q", t.info.label)
		}
		if uri.Type != "" && (uri.Type == "secret-key") != (class == secretKey) {
			return r, fmt.Errorf("pkcs11: the key's URI has the type %s", uri.Type)
		}
		if r.Label != "" && uri.Object != "" && r.Label != uri.Object || len(r.ID) > 0 && len(uri.ID) > 0 && string(r.ID) != string(uri.ID) {
			return r, errors.New("pkcs11: the key's URI has another label or id than the configuration")
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
		return r, errors.New("pkcs11: no key given: its label or its id is needed")
	}
	return r, nil
}
