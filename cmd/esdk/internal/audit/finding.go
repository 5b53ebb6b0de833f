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
	IsNoMessage   = "not-a-message" // it doesn't begin as one
	IsBroken      = "broken"        // it begins as one, and its header is malformed or cut short
	CouldNotLook  = "failed"        // it couldn't be read, or a key service didn't say whether a key opens it
	typeOfFinding = "object"
	typeOfSummary = "summary"
)

// A Finding is what is known of an input, in bounded memory. It is a line of JSON.
type Finding struct {
	Type       string `json:"type"` // object
	Input      string `json:"input"`
	InputBytes []byte `json:"input_bytes,omitempty"` // if it is not UTF-8
	Kind       string `json:"kind"`
	Size       *int64 `json:"message_bytes,omitempty"` // of all of the input, if that is known
	Base64     bool   `json:"base64,omitempty"`

	// Authenticated says that the header was verified with a key. Without one, anybody
	// who can write there can have made it up.
	Authenticated bool          `json:"authenticated"`
	Header        *Header       `json:"header,omitempty"`
	Verification  *Verification `json:"verification,omitempty"` // nil without keys
	Under         []Pattern     `json:"under,omitempty"`        // the keys of --under that it is under

	Error     string `json:"error,omitempty"` // why it is no message, or couldn't be read
	ErrorKind string `json:"error_kind,omitempty"`
	Retryable bool   `json:"retryable,omitempty"`

	Name    string `json:"-"` // to be shown, without what may be secret in Input
	Matches bool   `json:"-"` // the filter
}

// A Header is a header of a message. There may be more of the lists than is kept.
type Header struct {
	Algorithm   string `json:"algorithm"`
	AlgorithmID string `json:"algorithm_id"`
	Version     int    `json:"version"`
	Committed   bool   `json:"committed"`
	Signed      bool   `json:"signed"`
	FrameLength uint32 `json:"frame_length"` // 0 if the body isn't framed
	Length      int    `json:"header_length"`

	DataKeys     int           `json:"data_keys"`
	WrappingKeys []WrappingKey `json:"wrapping_keys"` // without those that are there twice
	ContextKeys  []string      `json:"context_keys"`
	RequiredKeys []string      `json:"required_context_keys,omitempty"` // known once it was verified

	// Context is there if values were asked for.
	Context map[string]string `json:"encryption_context,omitempty"`

	WrappingKeysLeftOut int `json:"wrapping_keys_left_out,omitempty"`
	ContextKeysLeftOut  int `json:"context_keys_left_out,omitempty"`
}

// A WrappingKey is what a message says of one. A key service need not know the same.
type WrappingKey struct {
	Provider    string `json:"provider"`
	Name        string `json:"name"` // Base64 if it isn't text
	Fingerprint string `json:"fingerprint,omitempty"`
}

func (k *WrappingKey) String() string { return k.Provider + "/" + k.Name }

// A Verification says whether a key opened a message.
type Verification struct {
	Opened  bool   `json:"opened"`
	KeyUsed string `json:"key_used,omitempty"` // as it was given
	NET400  bool   `json:"net_4_0_0"`          // it opened only as one of version 4.0.0 of the .NET SDK

	Error     string `json:"error,omitempty"` // why not
	ErrorKind string `json:"error_kind,omitempty"`
}

// NewFinding returns the finding of an input, of which all else is still to be said. Given is
// its name as it is given to commands, and name what may be shown.
func NewFinding(given, name string) *Finding {
	return &Finding{Type: typeOfFinding, Input: given, InputBytes: cli.Bytes(given), Kind: CouldNotLook, Name: name}
}

// SetSize notes the length of the input, unless it is -1.
func (f *Finding) SetSize(size int64) {
	if size >= 0 {
		f.Size = &size
	}
}

// Bytes returns the length of the input, 0 if it is not known.
func (f *Finding) Bytes() int64 {
	if f.Size == nil {
		return 0
	}
	return *f.Size
}

// SetHeader notes a message.
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

// SetRequired notes the keys of pairs that the message doesn't store, which only its keys
// tell.
func (f *Finding) SetRequired(keys []string) {
	room := newRoom()
	for _, k := range keys {
		if room.take(cut(k)) {
			f.Header.RequiredKeys = append(f.Header.RequiredKeys, cut(k))
		}
	}
}

// SetError notes why there is no header.
func (f *Finding) SetError(err error) {
	f.Kind = kindOf(err)
	f.noteError(err)
}

// SetFailed notes why the input, or what a key says of it, is not known. A header may have been
// read by then.
func (f *Finding) SetFailed(err error) {
	f.Kind = CouldNotLook
	f.noteError(err)
}

func (f *Finding) noteError(err error) {
	f.Error, f.ErrorKind, f.Retryable = cut(cli.Message(err)), cli.Kind(err), cli.Retryable(err)
}

// fails reports whether an error is none of what stands in an input.
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

// validText replaces what isn't UTF-8, as JSON does.
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

// A room bounds a list of texts of a message. Findings wait for those before them, so that
// a thousand may be in memory.
type room struct{ items, bytes int }

func newRoom() *room { return &room{32, 8 << 10} }

// take reports whether there was room.
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
