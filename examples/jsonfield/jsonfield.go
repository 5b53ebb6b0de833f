// Package jsonfield encrypts fields of JSON documents.
package jsonfield

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"esdk"
)

// ErrNull is returned if a field is null or missing. An attacker with write
// access to the document can remove a field: the application must know whether
// null is allowed.
var ErrNull = errors.New("jsonfield: the field is null")

// A Place is the location of a field. A field is bound to its Place: it doesn't
// open in another field or document. The Place is stored in the message and
// isn't secret.
type Place struct {
	Document string // identifies it, such as patients/17
	Field    string // its name, or the path of its names
}

func (p Place) context() (esdk.EncryptionContext, error) {
	if p.Document == "" || p.Field == "" {
		return nil, errors.New("jsonfield: a Place needs a document and a field")
	}
	return esdk.EncryptionContext{"document": p.Document, "field": p.Field}, nil
}

// A Sealed is a field of a document whose value, a T, is encrypted. Its JSON is
// a Base64 string. It holds no plaintext, so a logged document shows none. The
// zero value is null.
//
// Sealing and opening are separate calls, since package json passes no
// context.Context: a key service that doesn't answer would block json.Marshal.
//
// An older value of the same field opens, too: an attacker with write access to
// the document can restore one.
type Sealed[T any] struct{ message []byte }

// Seal encrypts the JSON of a value and binds it to a Place.
func Seal[T any](ctx context.Context, client *esdk.Client, at Place, value T) (Sealed[T], error) {
	ec, err := at.context()
	if err != nil {
		return Sealed[T]{}, err
	}
	plaintext, err := json.Marshal(value)
	if err != nil {
		return Sealed[T]{}, fmt.Errorf("jsonfield: %w", err)
	}
	defer clear(plaintext)
	message, _, err := client.Encrypt(ctx, plaintext, ec)
	return Sealed[T]{message}, err
}

// Open decrypts the value. It returns ErrNull if the field is null.
func (s Sealed[T]) Open(ctx context.Context, client *esdk.Client, at Place) (value T, err error) {
	ec, err := at.context()
	if err != nil {
		return value, err
	}
	if s.message == nil {
		return value, ErrNull
	}
	plaintext, _, err := client.Decrypt(ctx, s.message, ec)
	if err != nil {
		return value, err
	}
	defer clear(plaintext)
	var opened T
	if json.Unmarshal(plaintext, &opened) != nil { // its error may quote the plaintext
		return value, fmt.Errorf("jsonfield: the plaintext isn't the JSON of a %T", value)
	}
	return opened, nil
}

// IsZero reports whether the field is null. Package json calls it for omitzero.
func (s Sealed[T]) IsZero() bool { return s.message == nil }

// MarshalJSON returns the message in Base64.
func (s Sealed[T]) MarshalJSON() ([]byte, error) { return json.Marshal(s.message) }

// UnmarshalJSON reads the output of MarshalJSON. It verifies nothing: Open
// does.
func (s *Sealed[T]) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, &s.message) }
