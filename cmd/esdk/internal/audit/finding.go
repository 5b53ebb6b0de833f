package audit

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"esdk"
	"esdk/cmd/esdk/internal/batch"
	"esdk/cmd/esdk/internal/cli"
)

// Kinds of inputs.
const (
	IsMessage     = "message"
	IsNoMessage   = "not-a-message" // it doesn't begin like a message
	IsBroken      = "broken"        // it begins like a message, but its header is malformed or truncated
	CouldNotLook  = "failed"        // it couldn't be read, or a key service didn't decide whether a key opens it
	typeOfFinding = "object"
	typeOfSummary = "summary"
)

// A Finding is the result of auditing an input, in bounded memory. In JSON it
// is a line.
type Finding struct {
	Type       string `json:"type"` // object
	Input      string `json:"input"`
	InputBytes []byte `json:"input_bytes,omitempty"` // set if the name isn't UTF-8
	Kind       string `json:"kind"`
	Size       *int64 `json:"message_bytes,omitempty"` // of the whole input, if known
	Base64     bool   `json:"base64,omitempty"`

	// Authenticated is true if the header was verified with a key. Otherwise,
	// anybody with write access can have forged it.
	Authenticated bool          `json:"authenticated"`
	Header        *Header       `json:"header,omitempty"`
	Verification  *Verification `json:"verification,omitempty"` // nil without keys
	Under         []Pattern     `json:"under,omitempty"`        // the keys of --under that it is under

	Error     string `json:"error,omitempty"` // why it isn't a message, or couldn't be read
	ErrorKind string `json:"error_kind,omitempty"`
	Retryable bool   `json:"retryable,omitempty"`

	Name    string `json:"-"` // for display, without parts of Input that may be secret
	Matches bool   `json:"-"` // it matches the filter
}

// A Header is the header of a message. Long lists are truncated.
type Header struct {
	Algorithm   string `json:"algorithm"`
	AlgorithmID string `json:"algorithm_id"`
	Version     int    `json:"version"`
	Committed   bool   `json:"committed"`
	Signed      bool   `json:"signed"`
	FrameLength uint32 `json:"frame_length"` // 0 if the body isn't framed
	Length      int    `json:"header_length"`

	DataKeys     int           `json:"data_keys"`
	WrappingKeys []WrappingKey `json:"wrapping_keys"` // without duplicates
	ContextKeys  []string      `json:"context_keys"`
	RequiredKeys []string      `json:"required_context_keys,omitempty"` // only known after the header was verified

	// Context is set if values were requested.
	Context map[string]string `json:"encryption_context,omitempty"`

	WrappingKeysLeftOut int `json:"wrapping_keys_left_out,omitempty"`
	ContextKeysLeftOut  int `json:"context_keys_left_out,omitempty"`
}

// A WrappingKey is a wrapping key as the message names it. The key service may
// not know this key.
type WrappingKey struct {
	Provider    string `json:"provider"`
	Name        string `json:"name"` // as Base64 if it isn't text
	Fingerprint string `json:"fingerprint,omitempty"`
}

func (k *WrappingKey) String() string { return k.Provider + "/" + k.Name }

// A Verification tells whether a key opened a message.
type Verification struct {
	Opened  bool   `json:"opened"`
	KeyUsed string `json:"key_used,omitempty"` // as it was given
	NET400  bool   `json:"net_4_0_0"`          // it only opened as a message of version 4.0.0 of the .NET SDK

	Error     string `json:"error,omitempty"` // why it didn't open
	ErrorKind string `json:"error_kind,omitempty"`
}

// NewFinding returns a Finding to be completed. The argument given is the
// input's name as passed to commands, and name is its name for display.
func NewFinding(given, name string) *Finding {
	return &Finding{Type: typeOfFinding, Input: given, InputBytes: cli.Bytes(given), Kind: CouldNotLook, Name: name}
}

// SetSize records the length of the input in bytes, unless it is -1.
func (f *Finding) SetSize(size int64) {
	if size >= 0 {
		f.Size = &size
	}
}

// Bytes returns the length of the input, or 0 if it is unknown.
func (f *Finding) Bytes() int64 {
	if f.Size == nil {
		return 0
	}
	return *f.Size
}

// SetHeader records a message, with the values of its encryption context if
// values is set.
func (f *Finding) SetHeader(h *esdk.Header, values bool) {
	f.Kind = IsMessage
	f.Header = &Header{
		Algorithm: h.Suite.String(), AlgorithmID: batch.SuiteID(h.Suite), Version: h.Version,
		Committed: h.Suite.Commits(), Signed: h.Suite.Signed(), FrameLength: h.FrameLength, Length: h.Length,
		DataKeys: len(h.EncryptedDataKeys),
	}
	f.Header.setWrappingKeys(h.EncryptedDataKeys)
	f.Header.setContext(h.EncryptionContext, values)
}

// SetRequired records the keys of pairs that the message doesn't store. They
// are only known after the message was opened.
func (f *Finding) SetRequired(keys []string) {
	room := newRoom()
	for _, k := range keys {
		if room.take(cut(k)) {
			f.Header.RequiredKeys = append(f.Header.RequiredKeys, cut(k))
		}
	}
}

// SetError records why there is no header.
func (f *Finding) SetError(err error) {
	f.Kind = kindOf(err)
	f.noteError(err)
}

// SetFailed records why the input couldn't be read, or why a key service didn't
// decide. The header may already be set.
func (f *Finding) SetFailed(err error) {
	f.Kind = CouldNotLook
	f.noteError(err)
}

func (f *Finding) noteError(err error) {
	f.Error, f.ErrorKind, f.Retryable = cut(cli.Message(err)), cli.Kind(err), cli.Retryable(err)
}

// fails reports whether an error isn't caused by the content of the input.
func fails(err error) bool { return err != nil && kindOf(err) == CouldNotLook }

func kindOf(err error) string {
	var malformed *esdk.FormatError
	switch {
	case errors.As(err, &malformed) && slices.Contains([]string{"version", "type", "algorithm suite"}, malformed.Field):
		return IsNoMessage
	case malformed != nil, errors.Is(err, esdk.ErrLimit):
		return IsBroken
	}
	return CouldNotLook
}

func (h *Header) setWrappingKeys(keys []esdk.EncryptedDataKey) {
	room, seen := newRoom(), make(map[WrappingKey]bool)
	h.WrappingKeys = []WrappingKey{}
	for i := range keys {
		k := WrappingKey{cut(validText(keys[i].ProviderID)), cut(cli.KeyName(&keys[i])), cli.Fingerprint(&keys[i])}
		switch {
		case seen[k]:
		case room.take(k.Provider, k.Name):
			seen[k] = true
			h.WrappingKeys = append(h.WrappingKeys, k)
		default:
			h.WrappingKeysLeftOut++
		}
	}
}

// validText replaces bytes that aren't UTF-8, as JSON does.
func validText(text string) string { return strings.ToValidUTF8(text, string(utf8.RuneError)) }

func (h *Header) setContext(ec esdk.EncryptionContext, values bool) {
	room := newRoom()
	h.ContextKeys = []string{}
	for _, k := range slices.Sorted(maps.Keys(ec)) {
		key, value := cut(k), ""
		if values {
			value = cut(ec[k])
		}
		if !room.take(key, value) {
			h.ContextKeysLeftOut++
			continue
		}
		h.ContextKeys = append(h.ContextKeys, key)
		if values {
			if h.Context == nil {
				h.Context = make(map[string]string)
			}
			h.Context[key] = value
		}
	}
}

// A room limits the size of a list of texts from a message. A thousand findings
// may be in memory while they wait for earlier ones.
type room struct{ items, bytes int }

func newRoom() *room { return &room{32, 8 << 10} }

// take reports whether there was room for the texts.
func (r *room) take(texts ...string) bool {
	n := 0
	for _, t := range texts {
		n += len(t)
	}
	if r.items == 0 || n > r.bytes {
		return false
	}
	r.items--
	r.bytes -= n
	return true
}
