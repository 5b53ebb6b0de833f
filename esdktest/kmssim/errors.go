package kmssim

import (
	"errors"
	"fmt"
	"net/http"
)

// An apiError is sent to a client instead of an answer.
type apiError struct {
	code    string
	message string
}

func (e apiError) Error() string { return e.code + ": " + e.message }

// status returns the HTTP status of the error's code. KMS uses only these two.
func (e apiError) status() int {
	switch e.code {
	case "KMSInternalException", "KeyUnavailableException", "DependencyTimeoutException", "InternalFailure", "ServiceUnavailable":
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// code returns the error code that is sent for err, or "" if err is nil.
func code(err error) string {
	var e apiError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.code
	}
	return "KMSInternalException"
}

// errInvalidCiphertext has no message, like AWS's, so it doesn't give the
// reason.
var errInvalidCiphertext = apiError{code: "InvalidCiphertextException"}

var errIncorrectKey = apiError{"IncorrectKeyException",
	"The key ID in the request does not identify a CMK that can perform this operation."}

// errForeignCiphertext is for ciphertexts whose key isn't in the region.
var errForeignCiphertext = apiError{"AccessDeniedException",
	"The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access."}

func notFound(format string, args ...any) error {
	return apiError{"NotFoundException", fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error {
	return apiError{"ValidationException", fmt.Sprintf(format, args...)}
}

func invalidUsage(format string, args ...any) error {
	return apiError{"InvalidKeyUsageException", fmt.Sprintf(format, args...)}
}

func unsupported(format string, args ...any) error {
	return apiError{"UnsupportedOperationException", fmt.Sprintf(format, args...)}
}

// constraint returns the error for a member whose value is out of bounds.
func constraint(member, value, demand string) error {
	return invalid("1 validation error detected: Value %s at '%s' failed to satisfy constraint: Member must %s", value, member, demand)
}

// checkLength checks a required blob or string.
func checkLength[T ~string | ~[]byte](member string, v T, most int) error {
	switch {
	case len(v) == 0:
		return constraint(member, "", "have length greater than or equal to 1")
	case len(v) > most:
		return constraint(member, "of length "+fmt.Sprint(len(v)), "have length less than or equal to "+fmt.Sprint(most))
	}
	return nil
}
