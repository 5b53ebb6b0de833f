package jsonfield

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"esdk"
)

type diagnosis struct {
	Code string
	Year int
}

// A patient is a document with sealed fields.
type patient struct {
	ID        string            `json:"id"`
	Diagnosis Sealed[diagnosis] `json:"diagnosis"`
	Note      Sealed[string]    `json:"note,omitzero"`
}

func newClient(t testing.TB, key byte) *esdk.Client {
	kr, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "recipes", Name: "json", Key: bytes.Repeat([]byte{key}, 32)})
	if err != nil {
		t.Fatal(err)
	}
	client, err := esdk.New(esdk.Config{
		Keyring:              kr,
		Suite:                esdk.AES256GCMHKDFSHA512Commit, // readers may also write
		MaxEncryptedDataKeys: 3,
		MaxHeaderLength:      16 << 10,
		MaxPlaintextLength:   64 << 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func seal[T any](t testing.TB, client *esdk.Client, at Place, value T) Sealed[T] {
	s, err := Seal(t.Context(), client, at, value)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sent returns a document after a round trip through JSON.
func sent[D any](t testing.TB, document D) (read D) {
	text, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	return read
}

var (
	place = Place{"patients/17", "diagnosis"}
	note  = Place{"patients/17", "note"}
	value = diagnosis{"J45.0", 1999}
)

func TestDocument(t *testing.T) {
	client := newClient(t, 1)
	p := patient{ID: "17", Diagnosis: seal(t, client, place, value), Note: seal(t, client, note, "")}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s", p, p, p, p), string(must[[]byte](t)(json.Marshal(p)))} {
		if strings.Contains(text, "J45") || strings.Contains(text, "1999") {
			t.Errorf("a plaintext shows: %s", text)
		}
	}
	read := sent(t, p)
	if got, err := read.Diagnosis.Open(t.Context(), client, place); err != nil || got != value {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := read.Note.Open(t.Context(), client, note); err != nil || got != "" {
		t.Errorf("an empty value: %q, %v", got, err)
	}
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestCollections checks Sealed values in maps and slices, which allocate new
// elements.
func TestCollections(t *testing.T) {
	client := newClient(t, 1)
	read := sent(t, map[string][]Sealed[int]{"a": {seal(t, client, place, 1), {}, seal(t, client, place, 3)}})
	var got []int
	for _, s := range read["a"] {
		n, err := s.Open(t.Context(), client, place)
		if err != nil && (!errors.Is(err, ErrNull) || !s.IsZero()) {
			t.Error(err)
		}
		got = append(got, n)
	}
	if fmt.Sprint(got) != "[1 0 3]" {
		t.Errorf("%v", got)
	}
}

// TestNull checks null and missing fields. A sealed nil pointer or value is
// JSON's null, and isn't a null field.
func TestNull(t *testing.T) {
	client := newClient(t, 1)
	text := must[[]byte](t)(json.Marshal(patient{ID: "17"}))
	if want := `{"id":"17","diagnosis":null}`; string(text) != want {
		t.Errorf("%s, want %s", text, want)
	}
	for _, text := range []string{`{"diagnosis":null}`, `{}`} {
		p := patient{Diagnosis: seal(t, client, place, value)}
		if text == `{}` {
			p = patient{}
		}
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Error(err)
		}
		if got, err := p.Diagnosis.Open(t.Context(), client, place); !errors.Is(err, ErrNull) || got != (diagnosis{}) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	sealed := sent(t, seal[*diagnosis](t, client, place, nil))
	if got, err := sealed.Open(t.Context(), client, place); err != nil || got != nil {
		t.Errorf("a nil value: %v, %v", got, err)
	}
}

func TestBadInput(t *testing.T) {
	client := newClient(t, 1)
	message := seal(t, client, place, value).message
	changed := bytes.Clone(message)
	changed[len(changed)-1] ^= 1
	var format *esdk.FormatError
	isFormat := func(err error) bool { return errors.As(err, &format) }
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	long := must[*esdk.Client](t)(esdk.New(esdk.Config{Keyring: keyring(t, 1), Suite: esdk.AES256GCMHKDFSHA512Commit}))
	for _, try := range []struct {
		name    string
		message []byte
		at      Place
		is      func(error) bool
	}{
		{"another field", message, Place{"patients/17", "allergy"}, is(esdk.ErrEncryptionContext)},
		{"another document", message, Place{"patients/18", "diagnosis"}, is(esdk.ErrEncryptionContext)},
		{"changed", changed, place, is(esdk.ErrAuthentication)},
		{"truncated", message[:len(message)-1], place, is(io.ErrUnexpectedEOF)},
		{"continued", append(bytes.Clone(message), 0), place, isFormat},
		{"empty", []byte{}, place, isFormat},
		{"no message", []byte(`{"Code":"J45.0"}`), place, isFormat},
		{"another key", seal(t, newClient(t, 2), place, value).message, place, is(esdk.ErrNoDataKey)},
		{"too long", seal(t, long, place, strings.Repeat("x", 64<<10)).message, place, is(esdk.ErrLimit)},
	} {
		s := sent(t, Sealed[diagnosis]{try.message})
		got, err := s.Open(t.Context(), client, try.at)
		if err == nil || !try.is(err) || got != (diagnosis{}) {
			t.Errorf("%s: %v, %v", try.name, got, err)
		}
	}
	for _, text := range []string{`"not Base64!"`, `17`, `{}`} {
		if err := new(Sealed[string]).UnmarshalJSON([]byte(text)); err == nil {
			t.Errorf("%s is taken for a message", text)
		}
	}
	for _, at := range []Place{{}, {Field: "diagnosis"}, {Document: "patients/17"}} {
		if _, err := Seal(t.Context(), client, at, value); err == nil {
			t.Errorf("%v: sealed", at)
		}
		if _, err := (Sealed[diagnosis]{message}).Open(t.Context(), client, at); err == nil {
			t.Errorf("%v: opened", at)
		}
	}
	if _, err := Seal(t.Context(), client, place, strings.Repeat("x", 64<<10)); !errors.Is(err, esdk.ErrLimit) {
		t.Errorf("too long: %v", err)
	}
	if _, err := Seal(t.Context(), client, place, make(chan int)); err == nil {
		t.Error("a channel has no JSON")
	}
}

func keyring(t testing.TB, key byte) esdk.Keyring {
	return must[esdk.Keyring](t)(esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "recipes", Name: "json", Key: bytes.Repeat([]byte{key}, 32)}))
}

// TestOtherType checks that a value doesn't open as another type, and that the
// error doesn't quote it.
func TestOtherType(t *testing.T) {
	client := newClient(t, 1)
	s := seal(t, client, place, []any{"partly", 123456})
	got, err := Sealed[[]string](s).Open(t.Context(), client, place)
	if err == nil || strings.Contains(err.Error(), "123456") || strings.Contains(err.Error(), "partly") || got != nil {
		t.Errorf("%v, %v", got, err)
	}
	n, err := Sealed[int8]{seal(t, client, place, 123456).message}.Open(t.Context(), client, place)
	if err == nil || strings.Contains(err.Error(), "123456") || n != 0 {
		t.Errorf("%v, %v", n, err)
	}
}

func TestConcurrent(t *testing.T) {
	client := newClient(t, 1)
	var all sync.WaitGroup
	for n := range 20 {
		all.Go(func() {
			at := Place{fmt.Sprint(n), "diagnosis"}
			s, err := Seal(t.Context(), client, at, n)
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := s.Open(t.Context(), client, at); err != nil || got != n {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
	all.Wait()
}

func BenchmarkField(b *testing.B) {
	client := newClient(b, 1)
	plaintext := must[[]byte](b)(json.Marshal(value))
	var s Sealed[diagnosis]
	b.Run("seal", func(b *testing.B) {
		for b.Loop() {
			s = seal(b, client, place, value)
		}
		b.ReportMetric(float64(base64.StdEncoding.EncodedLen(len(s.message))+2-len(plaintext)), "bytes-added/op")
	})
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Open(b.Context(), client, place); err != nil {
				b.Fatal(err)
			}
		}
	})
}
