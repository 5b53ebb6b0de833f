package kmssim

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
)

// The protocol is AWS JSON 1.1: the operation is in a header, input and answer
// are JSON objects, and blobs in them are in Base64.
const (
	contentType  = "application/x-amz-json-1.1"
	targetPrefix = "TrentService."
	maxBody      = 1 << 20
)

// An answer is the output of an operation. Blobs in it are []byte.
type answer map[string]any

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Amzn-Requestid", newUUID())
	request, body, err := readRequest(r)
	if err != nil {
		writeError(w, err)
		return
	}
	s.log.begin(request)
	fault := s.chaos.faultFor(request)
	if !s.wait(r.Context().Done(), fault.Delay) {
		panic(http.ErrAbortHandler)
	}
	if fault.Reset {
		resetConnection(w)
		return
	}
	out, err := s.answer(request, body, fault)
	s.log.end(request, code(err))
	switch {
	case fault.Garbage != nil && fault.Code == "":
		w.Write(fault.Garbage)
	case err != nil:
		writeError(w, err)
	default:
		json.NewEncoder(w).Encode(out)
	}
}

// answer runs the operation, unless the fault makes it fail.
func (s *Server) answer(request *Request, body []byte, fault *Fault) (answer, error) {
	if fault.Code != "" {
		return nil, apiError{fault.Code, fault.Message}
	}
	run, ok := operations[request.Operation]
	if !ok {
		return nil, apiError{"UnknownOperationException", "kmssim does not have the operation " + request.Operation}
	}
	out, err := run(s, request.Region, body)
	if err == nil && fault.Edit != nil {
		fault.Edit(out)
	}
	return out, err
}

// An operation takes its region, and its input as JSON.
type operation func(s *Server, region string, body []byte) (answer, error)

// with turns a method into an operation. The method takes the AWS SDK's input,
// whose fields have the names of the JSON object's members.
func with[Input any](f func(s *Server, region string, in *Input) (answer, error)) operation {
	return func(s *Server, region string, body []byte) (answer, error) {
		in := new(Input)
		if err := json.Unmarshal(body, in); err != nil {
			return nil, apiError{"SerializationException", err.Error()}
		}
		return f(s, region, in)
	}
}

var operations = map[string]operation{
	"CreateAlias":                     with((*Server).createAlias),
	"CreateGrant":                     with((*Server).createGrant),
	"CreateKey":                       with((*Server).createKey),
	"Decrypt":                         with((*Server).decrypt),
	"DeriveSharedSecret":              with((*Server).deriveSharedSecret),
	"DescribeKey":                     with((*Server).describeKey),
	"DisableKey":                      with((*Server).disableKey),
	"EnableKey":                       with((*Server).enableKey),
	"Encrypt":                         with((*Server).encrypt),
	"GenerateDataKey":                 with((*Server).generateDataKey),
	"GenerateDataKeyWithoutPlaintext": with((*Server).generateDataKeyWithoutPlaintext),
	"GetPublicKey":                    with((*Server).getPublicKey),
	"ListAliases":                     with((*Server).listAliases),
	"ListKeys":                        with((*Server).listKeys),
	"ReEncrypt":                       with((*Server).reEncrypt),
	"ReplicateKey":                    with((*Server).replicateKey),
	"ScheduleKeyDeletion":             with((*Server).scheduleKeyDeletion),
}

func readRequest(r *http.Request) (*Request, []byte, error) {
	region := credentialRegion(r.Header.Get("Authorization"))
	if region == "" {
		return nil, nil, apiError{"MissingAuthenticationTokenException", "Request is missing Authentication Token"}
	}
	name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	if !ok {
		return nil, nil, apiError{"UnknownOperationException", ""}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return nil, nil, apiError{"SerializationException", err.Error()}
	}
	request := &Request{Operation: name, Region: region, Header: r.Header.Clone()}
	if err := json.Unmarshal(body, &request.Input); err != nil {
		return nil, nil, apiError{"SerializationException", err.Error()}
	}
	return request, body, nil
}

// credentialRegion takes the region from a Signature Version 4 header:
//
//	AWS4-HMAC-SHA256 Credential=ID/DATE/REGION/kms/aws4_request, …
func credentialRegion(authorization string) string {
	_, rest, _ := strings.Cut(authorization, "Credential=")
	scope, _, _ := strings.Cut(rest, ",")
	parts := strings.Split(scope, "/")
	if len(parts) != 5 || parts[3] != "kms" {
		return ""
	}
	return parts[2]
}

func writeError(w http.ResponseWriter, err error) {
	var e apiError
	if !errors.As(err, &e) {
		e = apiError{"KMSInternalException", err.Error()}
	}
	body := map[string]string{"__type": e.code}
	if e.message != "" {
		body["message"] = e.message
	}
	w.WriteHeader(e.status())
	json.NewEncoder(w).Encode(body)
}
