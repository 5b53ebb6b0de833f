package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"esdk"
	"esdk/cmd/esdk/internal/cli"
	"esdk/internal/format"
)

// inspectSamples returns short messages by their names, and a client that
// decrypts them.
func inspectSamples(t *testing.T) (map[string][]byte, *esdk.Client) {
	t.Helper()
	// The key of some of the official messages. They include the only unframed
	// one.
	key, err := base64.StdEncoding.DecodeString("5ZMvpkhGwbrJUIhe3ADIvp/aC2Ju9HVUu3huFeonZHY=")
	if err != nil {
		t.Fatal(err)
	}
	kr, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "interop-aes", Name: "aes-256", Key: key})
	if err != nil {
		t.Fatal(err)
	}
	newClient := func(c esdk.Config) *esdk.Client {
		c.Keyring = kr
		client, err := esdk.New(c)
		if err != nil {
			t.Fatal(err)
		}
		return client
	}
	samples := make(map[string][]byte)
	for _, name := range []string{"java-0014-non-framed", "python-0178-non-framed", "java-0578-non-framed"} {
		message, err := os.ReadFile(filepath.Join("../../testdata/official/ciphertexts", name))
		if err != nil {
			t.Fatal(err)
		}
		samples[name] = message
	}
	for name, config := range map[string]esdk.Config{
		"framed 0178": {Suite: esdk.AES256GCMHKDFSHA256, CommitmentPolicy: esdk.ForbidEncryptAllowDecrypt},
		"framed 0378": {Suite: esdk.AES256GCMHKDFSHA384ECDSAP384, CommitmentPolicy: esdk.ForbidEncryptAllowDecrypt},
		"framed 0478": {Suite: esdk.AES256GCMHKDFSHA512Commit},
		"framed 0578": {Suite: esdk.AES256GCMHKDFSHA512CommitECDSAP384},
	} {
		config.FrameLength = 10
		for _, size := range []int{0, 10, 35} {
			message, _, err := newClient(config).Encrypt(t.Context(), pattern(size), nil)
			if err != nil {
				t.Fatal(err)
			}
			samples[fmt.Sprintf("%s, %d bytes", name, size)] = message
		}
	}
	return samples, newClient(esdk.Config{CommitmentPolicy: esdk.RequireEncryptAllowDecrypt})
}

// An inspector runs inspect on messages.
type inspector struct {
	t      *testing.T
	client *esdk.Client
	app    *app
}

func newInspector(t *testing.T, c *esdk.Client) *inspector {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	a := newApp()
	a.Stdout, a.JSON = out, true
	return &inspector{t, c, a}
}

// inspect returns the inspection, or nil if nothing is shown, and the error of
// inspect.
func (i *inspector) inspect(src io.Reader) (*inspection, error) {
	i.t.Helper()
	out := i.app.Stdout
	if _, err := out.Seek(0, io.SeekStart); err != nil {
		i.t.Fatal(err)
	}
	if err := out.Truncate(0); err != nil {
		i.t.Fatal(err)
	}
	inspectErr := i.app.inspectMessage("message", src, &inspectOptions{frames: true})
	shown, err := os.ReadFile(out.Name())
	if err != nil {
		i.t.Fatal(err)
	}
	if len(shown) == 0 {
		return nil, inspectErr
	}
	result := new(inspection)
	if err := json.Unmarshal(shown, result); err != nil {
		i.t.Fatal(err)
	}
	return result, inspectErr
}

// checkError checks that inspect and decryption return the same error for a
// message. It returns the inspection.
func (i *inspector) checkError(what string, message []byte) *inspection {
	i.t.Helper()
	shown, err := i.inspect(bytes.NewReader(message))
	_, _, want := i.client.Decrypt(i.t.Context(), message, nil)
	if !errors.As(want, new(*esdk.FormatError)) {
		i.t.Fatalf("%s: Decrypt: %v, want a malformed message", what, want)
	}
	if !errors.As(err, new(*esdk.FormatError)) || err.Error() != want.Error() || cli.ExitStatus(err) != cli.ExitNotAuthentic {
		i.t.Errorf("%s: %v, exit status %d; want %v", what, err, cli.ExitStatus(err), want)
	}
	r, err := i.client.NewReader(i.t.Context(), bytes.NewReader(message), nil)
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	if err == nil || err.Error() != want.Error() {
		i.t.Errorf("%s: Reader: %v; Decrypt: %v", what, err, want)
	}
	return shown
}

// TestInspectOffsets checks that inspect and decryption find a truncated or
// extended message malformed at the same offset.
func TestInspectOffsets(t *testing.T) {
	long(t)
	samples, c := inspectSamples(t)
	i := newInspector(t, c)
	for name, message := range samples {
		if _, _, err := c.Decrypt(t.Context(), message, nil); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := i.inspect(bytes.NewReader(message)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for n := range message {
			i.checkError(fmt.Sprintf("%s: %d of %d bytes", name, n, len(message)), message[:n])
		}
		i.checkError(name+": a byte more", append(bytes.Clone(message), 0))
	}
}

// TestInspectSequenceNumbers checks that inspect finds each wrong sequence
// number and length, although it authenticates nothing. It shows all frames
// even if their sequence numbers are wrong.
func TestInspectSequenceNumbers(t *testing.T) {
	samples, c := inspectSamples(t)
	i := newInspector(t, c)
	for _, suite := range []string{"0178", "0378", "0478", "0578"} {
		message := samples["framed "+suite+", 35 bytes"]
		header, err := esdk.ParseHeader(bytes.NewReader(message))
		if err != nil {
			t.Fatal(err)
		}
		const frame = 10 + format.FrameOverhead
		body, final := header.Length, header.Length+3*frame
		for _, change := range []struct {
			at     int
			value  uint32
			frames []uint32 // the sequence numbers that are shown; nil: no body
		}{
			{body, 0, []uint32{0, 2, 3, 4}},
			{body, 2, []uint32{2, 2, 3, 4}},
			{body + frame, 1, []uint32{1, 1, 3, 4}}, // repeated
			{body + frame, 3, []uint32{1, 3, 3, 4}}, // skipped
			{body + 2*frame, 0xFFFFFFFE, []uint32{1, 2, 0xFFFFFFFE, 4}},
			{final + 4, 3, []uint32{1, 2, 3, 3}},
			{final + 4, 0xFFFFFFFF, []uint32{1, 2, 3, 0xFFFFFFFF}},
			{final + 8 + format.IVLength, 11, nil}, // longer than a frame
			{final + 8 + format.IVLength, 4, nil},  // a byte too many
			{final + 8 + format.IVLength, 6, nil},  // a byte too few
		} {
			what := fmt.Sprintf("%s: %d at byte %d of the body", suite, change.value, change.at-body)
			changed := bytes.Clone(message)
			binary.BigEndian.PutUint32(changed[change.at:], change.value)
			shown := i.checkError(what, changed)
			if shown == nil || shown.Header == nil || (shown.Body == nil) != (change.frames == nil) {
				t.Errorf("%s: shows %+v", what, shown)
				continue
			}
			if change.frames == nil {
				continue
			}
			var frames []uint32
			for _, f := range shown.Body.List {
				frames = append(frames, f.Sequence)
			}
			if fmt.Sprint(frames) != fmt.Sprint(change.frames) || shown.Body.Frames != 4 || shown.Body.Plaintext != 35 || shown.Body.Message != int64(len(message)) {
				t.Errorf("%s: frames %d, want %d; %+v", what, frames, change.frames, shown.Body)
			}
			// Only the first fault is reported.
			i.checkError(what+", cut", changed[:len(changed)-1])
		}
	}
}

// TestInspectSourceErrors checks that an error of the source isn't reported as
// a malformed message.
func TestInspectSourceErrors(t *testing.T) {
	long(t)
	samples, c := inspectSamples(t)
	i := newInspector(t, c)
	errSource := errors.New("source is ill")
	for name, message := range samples {
		for n := 0; n <= len(message); n += 5 {
			src := io.MultiReader(bytes.NewReader(message[:n]), iotest.ErrReader(errSource))
			_, err := i.inspect(src)
			if want := "esdk: reading message: " + errSource.Error(); !errors.Is(err, errSource) || err.Error() != want || cli.ExitStatus(err) != cli.ExitError {
				t.Errorf("%s, %d of %d bytes: %v, want %s", name, n, len(message), err, want)
			}
		}
	}
}
