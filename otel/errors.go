package otelesdk

import (
	"context"
	"errors"

	"esdk"
	"esdk/branchkey"
	"github.com/aws/smithy-go"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// classes are the values of error.type, the most specific first. Their number
// is small, and they never contain the text of an error.
var classes = []struct {
	err  error
	name string
}{
	{context.Canceled, "canceled"},
	{context.DeadlineExceeded, "deadline_exceeded"},
	{esdk.ErrCommitmentPolicy, "commitment_policy"},
	{esdk.ErrSigned, "signed"},
	{esdk.ErrLimit, "limit"},
	{esdk.ErrCommitment, "commitment"},
	{esdk.ErrAuthentication, "authentication"},
	{branchkey.ErrNotFound, "branch_key_not_found"},
	{branchkey.ErrItem, "branch_key_item"},
	{branchkey.ErrKMSKey, "branch_key_kms_key"},
}

// errorType returns the class of an error: a code of AWS, one of the classes
// above, no_data_key if no key fits, or wrong_key if each data key that was
// tried isn't authentic.
func errorType(err error) attribute.KeyValue {
	if errors.Is(err, esdk.ErrNoDataKey) && errors.Is(err, esdk.ErrAuthentication) {
		return semconv.ErrorTypeKey.String("wrong_key")
	}
	for _, c := range classes {
		if errors.Is(err, c.err) {
			return semconv.ErrorTypeKey.String(c.name)
		}
	}
	var service smithy.APIError
	var malformed *esdk.FormatError
	switch {
	case errors.As(err, &service) && service.ErrorCode() != "":
		return semconv.ErrorTypeKey.String(service.ErrorCode())
	case errors.As(err, &malformed):
		return semconv.ErrorTypeKey.String("format")
	case errors.Is(err, esdk.ErrEncryptionContext):
		return semconv.ErrorTypeKey.String("encryption_context")
	case errors.Is(err, esdk.ErrNoDataKey):
		return semconv.ErrorTypeKey.String("no_data_key")
	}
	return semconv.ErrorTypeOther
}
