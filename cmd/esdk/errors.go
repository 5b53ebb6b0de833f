package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"esdk"
)

// The exit codes are a promise; docs/cli.md and "esdk help exit-codes" list
// them. New ones may be added.
const (
	exitOK           = 0
	exitError        = 1
	exitUsage        = 2
	exitSomeFailed   = 3
	exitNotAuthentic = 4
	exitNoKey        = 5
	exitContext      = 6
	exitPolicy       = 7
	exitNotWritten   = 8
	exitInterrupted  = 130
)

// kinds name the exit codes in JSON.
var kinds = map[int]string{
	exitError:        "error",
	exitUsage:        "usage",
	exitSomeFailed:   "some-failed",
	exitNotAuthentic: "not-authentic",
	exitNoKey:        "no-key",
	exitContext:      "context",
	exitPolicy:       "policy",
	exitNotWritten:   "not-written",
	exitInterrupted:  "interrupted",
}

// A cliError is an error with the exit code and the hint that go with it.
type cliError struct {
	code int
	err  error
	hint string
}

func (e *cliError) Error() string { return e.err.Error() }

func (e *cliError) Unwrap() error { return e.err }

func (e *cliError) withHint(text string, args ...any) *cliError {
	e.hint = fmt.Sprintf(text, args...)
	return e
}

func newError(code int, text string, args ...any) *cliError {
	return &cliError{code: code, err: fmt.Errorf(text, args...)}
}

func usageError(text string, args ...any) *cliError { return newError(exitUsage, text, args...) }

// hinted adds a hint to an error without changing its exit code.
func hinted(err error, text string, args ...any) error {
	return (&cliError{code: exitStatus(err), err: err}).withHint(text, args...)
}

// exitStatus returns the exit code for an error.
func exitStatus(err error) int {
	var cli *cliError
	var malformed *esdk.FormatError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &cli):
		return cli.code
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, esdk.ErrAuthentication), errors.Is(err, esdk.ErrCommitment), errors.As(err, &malformed):
		return exitNotAuthentic
	case errors.Is(err, esdk.ErrNoDataKey):
		return exitNoKey
	case errors.Is(err, esdk.ErrEncryptionContext):
		return exitContext
	case errors.Is(err, esdk.ErrCommitmentPolicy), errors.Is(err, esdk.ErrSigned), errors.Is(err, esdk.ErrLimit):
		return exitPolicy
	case errors.Is(err, fs.ErrExist):
		return exitNotWritten
	}
	return exitError
}

// hint returns advice on an error, "" if there is none.
func hint(err error) string {
	var cli *cliError
	var malformed *esdk.FormatError
	switch {
	case errors.As(err, &cli) && cli.hint != "":
		return cli.hint
	case errors.As(err, &malformed) && malformed.Offset == 0 && errors.Is(err, io.ErrUnexpectedEOF):
		return "there is nothing in it"
	case errors.As(err, &malformed) && malformed.Offset == 0 && malformed.Field == "version":
		return "it does not begin as an encrypted message does"
	case errors.Is(err, esdk.ErrCommitmentPolicy):
		return "--commitment forbid-encrypt-allow-decrypt encrypts with such a suite; --commitment require-encrypt-allow-decrypt decrypts it"
	case errors.Is(err, esdk.ErrSigned):
		return "leave out --unsigned-only to accept signed messages"
	}
	// There are no types for these.
	for text, advice := range map[string]string{
		"get credentials: ":            "which credentials of AWS? Name a profile with AWS_PROFILE, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
		"Invalid region: ":             "which Region? Set AWS_REGION, or name it in the profile",
		"region must be set":           "which Region? Set AWS_REGION, or name it in the profile",
		"only suites that do not sign": "--unsigned takes such a suite",
	} {
		if err != nil && strings.Contains(err.Error(), text) {
			return advice
		}
	}
	return ""
}

// reportError prints an error about an input, if it is about one.
func (a *app) reportError(input string, err error) {
	code, text, advice := exitStatus(err), strings.TrimPrefix(message(err), input+": "), hint(err)
	if a.words != nil {
		text, advice = a.words.Replace(text), a.words.Replace(advice)
	}
	if a.json {
		type body struct {
			Code    int    `json:"code"`
			Kind    string `json:"kind"`
			Input   string `json:"input,omitempty"`
			Message string `json:"message"`
			Hint    string `json:"hint,omitempty"`
		}
		line, _ := json.Marshal(map[string]body{"error": {code, kinds[code], input, text, advice}})
		fmt.Fprintf(a.stderr, "%s\n", line)
		return
	}
	if input != "" {
		input = printable(input) + ": "
	}
	fmt.Fprintf(a.stderr, "esdk: %serror: %s\n", input, text)
	if advice != "" {
		fmt.Fprintf(a.stderr, "esdk: hint: %s\n", advice)
	}
}
