package awscli

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"esdk"
	"esdk/cmd/esdk/internal/batch"
	"esdk/cmd/esdk/internal/cli"
)

// A metadata is a line of --metadata-output, with the fields of the Python
// program in their order.
type metadata struct {
	Header     metadataHeader    `json:"header"`
	HeaderAuth *batch.HeaderAuth `json:"header_auth,omitempty"` // not when encrypting
	Input      string            `json:"input"`
	*metadataMissing
	Mode   string `json:"mode"`
	Output string `json:"output"`
	*metadataSkipped
}

// metadataMissing and metadataSkipped are set if the encryption context doesn't
// have the required pairs.
type metadataMissing struct {
	Keys  []string    `json:"missing_encryption_context_keys"`
	Pairs [][2]string `json:"missing_encryption_context_pairs"`
}

type metadataSkipped struct {
	Reason  string `json:"reason"`
	Skipped bool   `json:"skipped"`
}

type metadataHeader struct {
	Algorithm         string            `json:"algorithm"`
	CommitmentKey     []byte            `json:"commitment_key"`
	ContentType       int               `json:"content_type"`
	DataKeys          []metadataDataKey `json:"encrypted_data_keys"`
	EncryptionContext map[string]string `json:"encryption_context"`
	FrameLength       uint32            `json:"frame_length"`
	IVLength          *int              `json:"header_iv_length"` // of version 1, like the next but one
	MessageID         []byte            `json:"message_id"`
	Type              *int              `json:"type"`
	Version           string            `json:"version"`
}

type metadataDataKey struct {
	EncryptedDataKey []byte `json:"encrypted_data_key"`
	KeyProvider      struct {
		KeyInfo    []byte `json:"key_info"`
		ProviderID []byte `json:"provider_id"`
	} `json:"key_provider"`
}

// Report returns the options for a report of successful messages, and of
// messages whose encryption context doesn't have the required pairs.
func (c *Args) Report() batch.ReportOptions {
	return batch.ReportOptions{
		Path:      c.MetadataOutput,
		Overwrite: c.OverwriteMetadata,
		Format: func(r *batch.Record, skipped string, err error) any {
			switch {
			case err == nil && skipped == "" && r.Header != nil:
				return newMetadata(r)
			case cli.ExitStatus(err) == cli.ExitContext:
				return missingMetadata(r, c.Context)
			}
			return nil
		},
	}
}

func newMetadata(r *batch.Record) *metadata {
	m := &metadata{Header: newMetadataHeader(r.Header), Input: r.Input, Mode: r.Mode, Output: r.Output}
	if m.Input == cli.Standard {
		m.Input = "<stdin>"
	}
	if m.Output == cli.Standard {
		m.Output = "<stdout>"
	}
	if r.Mode != Encrypt && r.HeaderAuth != nil {
		m.HeaderAuth = r.HeaderAuth
	}
	return m
}

func newMetadataHeader(h *batch.HeaderRecord) metadataHeader {
	m := metadataHeader{
		Algorithm:         h.Algorithm,
		CommitmentKey:     h.CommitmentKey,
		ContentType:       2, // framed
		EncryptionContext: h.EncryptionContext,
		FrameLength:       h.FrameLength,
		MessageID:         h.MessageID,
		Version:           h.Version,
	}
	if h.FrameLength == 0 {
		m.ContentType = 1
	}
	if m.EncryptionContext == nil {
		m.EncryptionContext = make(map[string]string)
	}
	if h.Version == "1.0" {
		ivLength, customerAuthenticated := 12, 0x80
		m.IVLength, m.Type = &ivLength, &customerAuthenticated
	}
	for _, k := range h.DataKeys {
		d := metadataDataKey{EncryptedDataKey: k.EncryptedDataKey}
		d.KeyProvider.KeyInfo, d.KeyProvider.ProviderID = k.KeyProvider.KeyInfo, []byte(k.KeyProvider.ProviderID)
		m.DataKeys = append(m.DataKeys, d)
	}
	slices.SortFunc(m.DataKeys, func(x, y metadataDataKey) int {
		return cmp.Compare(string(x.KeyProvider.ProviderID)+string(x.KeyProvider.KeyInfo),
			string(y.KeyProvider.ProviderID)+string(y.KeyProvider.KeyInfo))
	})
	return m
}

// missingMetadata reports the missing pairs of a message. Its header is not
// authenticated, since no key was used.
func missingMetadata(r *batch.Record, required []string) any {
	h, err := esdk.ParseHeader(bytes.NewReader(r.Head()))
	if err != nil {
		return nil
	}
	r.SetHeader(h, 0)
	m := newMetadata(r)
	m.metadataMissing = &metadataMissing{[]string{}, [][2]string{}}
	m.metadataSkipped = &metadataSkipped{Reason: "Missing encryption context key or value", Skipped: true}
	for _, want := range required {
		key, value, isPair := strings.Cut(want, "=")
		got, ok := r.Header.EncryptionContext[key]
		switch {
		case isPair && (!ok || got != value):
			m.Pairs = append(m.Pairs, [2]string{key, value})
		case !isPair && !ok:
			m.Keys = append(m.Keys, key)
		}
	}
	return m
}
