package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"esdk"
	"esdk/cmd/esdk/internal/cli"
)

// testInput is an input in memory.
type testInput struct {
	*bytes.Reader
	pipe bool // it can't seek
	most int  // end of the furthest read
}

func newInput(b []byte) *testInput { return &testInput{Reader: bytes.NewReader(b)} }

func (*testInput) Close() error                 { return nil }
func (*testInput) Changed() error               { return nil }
func (t *testInput) Stat() (fs.FileInfo, error) { return testInfo(t.Reader.Size()), nil }

func (t *testInput) Seek(offset int64, whence int) (int64, error) {
	if t.pipe {
		return 0, errors.ErrUnsupported
	}
	return t.Reader.Seek(offset, whence)
}

func (t *testInput) ReadAt(p []byte, offset int64) (int, error) {
	n, err := t.Reader.ReadAt(p, offset)
	t.most = max(t.most, int(offset)+n)
	return n, err
}

type testInfo int64

func (testInfo) Name() string       { return "" }
func (i testInfo) Size() int64      { return int64(i) }
func (testInfo) Mode() fs.FileMode  { return 0o600 }
func (testInfo) ModTime() time.Time { return time.Time{} }
func (testInfo) IsDir() bool        { return false }
func (testInfo) Sys() any           { return nil }

// namingKeyring wraps data keys under wrapping keys with arbitrary names.
type namingKeyring []esdk.EncryptedDataKey

func (k namingKeyring) Wrap(_ context.Context, _ *esdk.WrapRequest) (*esdk.WrapResult, error) {
	return &esdk.WrapResult{DataKey: bytes.Repeat([]byte{1}, 32), EncryptedDataKeys: k}, nil
}

func (k namingKeyring) Unwrap(context.Context, *esdk.UnwrapRequest) ([]byte, error) {
	return bytes.Repeat([]byte{1}, 32), nil
}

var random = rand.New(rand.NewPCG(1, 2))

// randomText returns text that an attacker may write.
func randomText(most int) string {
	pieces := []string{"a", "corp/", "*", "\x00", "\n", "\u202e", "\u2028", "<script>", "\"'&", "é", "日本", "}}", "{{.}}", "\\", " ", "\U000e0001"}
	var b strings.Builder
	for range random.IntN(most + 1) {
		b.WriteString(pieces[random.IntN(len(pieces))])
	}
	return b.String()
}

// A told has the inputs of an encryption, and its message.
type told struct {
	suite   esdk.SuiteID
	keys    []esdk.EncryptedDataKey
	context esdk.EncryptionContext
	frame   uint32
	message []byte
}

func randomMessage(t *testing.T) *told {
	t.Helper()
	all := esdk.Suites()
	m := &told{suite: all[random.IntN(len(all))], context: make(esdk.EncryptionContext), frame: 1 + random.Uint32N(9000)}
	for random.IntN(3) > 0 {
		m.context["k"+randomText(4)] = randomText(200)
	}
	for range 1 + random.IntN(1+random.IntN(50)) {
		provider := []string{"corp", "aws-kms", "esdk-hpke", "aws-kms-hierarchy", "p" + randomText(6)}[random.IntN(5)]
		info := []byte(randomText(300))
		if random.IntN(3) == 0 {
			info = append(info, byte(random.Uint32()), 0xff)
		}
		m.keys = append(m.keys, esdk.EncryptedDataKey{ProviderID: provider, ProviderInfo: info, Ciphertext: make([]byte, random.IntN(3000))})
	}
	policy := esdk.RequireEncryptRequireDecrypt
	if !m.suite.Commits() {
		policy = esdk.ForbidEncryptAllowDecrypt
	}
	length := dataKeyLength(m.suite)
	client, err := esdk.New(esdk.Config{Keyring: sized{namingKeyring(m.keys), length}, Suite: m.suite, CommitmentPolicy: policy, FrameLength: m.frame, MaxEncryptedDataKeys: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if m.message, _, err = client.Encrypt(t.Context(), make([]byte, random.IntN(20_000)), m.context); err != nil {
		t.Fatal(err)
	}
	return m
}

// sized returns data keys of the length for a suite.
type sized struct {
	namingKeyring
	length int
}

func (s sized) Wrap(ctx context.Context, r *esdk.WrapRequest) (*esdk.WrapResult, error) {
	result, err := s.namingKeyring.Wrap(ctx, r)
	result.DataKey = result.DataKey[:s.length]
	return result, err
}

func dataKeyLength(s esdk.SuiteID) int {
	switch bits := regexp.MustCompile(`AES_([0-9]+)`).FindStringSubmatch(s.String())[1]; bits {
	case "128":
		return 16
	case "192":
		return 24
	}
	return 32
}

func look(t *testing.T, r *Reader, in *testInput) *Finding {
	t.Helper()
	f := NewFinding("in", "in")
	size, err := r.Read(in, func(m *Message) error {
		f.SetHeader(m.Header, false)
		f.Base64 = m.Base64
		if again, err := esdk.ParseHeader(bytes.NewReader(m.Start)); err != nil || again.Length != len(m.Start) {
			t.Errorf("the start is %d bytes: %v", len(m.Start), err)
		}
		return nil
	})
	f.SetSize(size)
	if err != nil {
		f.SetError(err)
	}
	return f
}

// TestFinding checks that a finding agrees with the encryption and with
// ParseHeader, and that no more is read than needed.
func TestFinding(t *testing.T) {
	r := new(Reader)
	for range 150 {
		m := randomMessage(t)
		in := newInput(m.message)
		in.pipe = random.IntN(3) == 0
		f := look(t, r, in)
		want, err := esdk.ParseHeader(bytes.NewReader(m.message))
		if err != nil || f.Kind != IsMessage {
			t.Fatalf("%+v, %v", f, err)
		}
		h := f.Header
		if h.AlgorithmID != fmt.Sprintf("0x%04x", uint16(m.suite)) || h.Algorithm != m.suite.String() || h.Committed != m.suite.Commits() || h.Signed != m.suite.Signed() ||
			h.Version != want.Version || h.FrameLength != m.frame || h.Length != want.Length || h.DataKeys != len(m.keys) {
			t.Errorf("%+v, want suite %v, version %d, frames of %d, a header of %d bytes, %d data keys", h, m.suite, want.Version, m.frame, want.Length, len(m.keys))
		}
		if f.Size == nil || *f.Size != int64(len(m.message)) {
			t.Errorf("size %v, want %d", f.Size, len(m.message))
		}
		if limit := max(headRead, (want.Length+moreRead)/moreRead*moreRead+headRead); in.most > limit {
			t.Errorf("%d bytes were read for a header of %d", in.most, want.Length)
		}
		checkLists(t, h, want)
	}
}

func checkLists(t *testing.T, h *Header, want *esdk.Header) {
	t.Helper()
	names := make(map[WrappingKey]bool)
	for i := range want.EncryptedDataKeys {
		k := &want.EncryptedDataKeys[i]
		name := wholeName(k)
		if !utf8.ValidString(name) {
			t.Errorf("%q is no text", name)
		}
		names[WrappingKey{cut(k.ProviderID), cut(cli.KeyName(k)), cli.Fingerprint(k)}] = true
	}
	for _, k := range h.WrappingKeys {
		if !names[k] {
			t.Errorf("there is no key %q", k.String())
		}
	}
	if h.WrappingKeysLeftOut == 0 && len(h.WrappingKeys) != len(names) || len(h.WrappingKeys)+h.WrappingKeysLeftOut < len(names) {
		t.Errorf("%d keys, %d left out; want %d", len(h.WrappingKeys), h.WrappingKeysLeftOut, len(names))
	}
	keys := slices.Sorted(maps.Keys(want.EncryptionContext))
	if len(h.ContextKeys)+h.ContextKeysLeftOut != len(keys) || h.Context != nil {
		t.Errorf("%q, %d left out; want %q", h.ContextKeys, h.ContextKeysLeftOut, keys)
	}
	for _, k := range h.ContextKeys {
		if !slices.Contains(keys, k) {
			t.Errorf("there is no context key %q", k)
		}
	}
}

// TestFindingOfOthers checks that inputs that aren't messages, or have a broken
// header, are classified as such, without an error, a panic or much memory.
func TestFindingOfOthers(t *testing.T) {
	r := new(Reader)
	for range 500 {
		b := randomMessage(t).message
		b = b[:random.IntN(len(b)+1)]
		for range random.IntN(4) {
			if len(b) > 0 {
				b[random.IntN(min(len(b), 400))] = byte(random.Uint32())
			}
		}
		f := look(t, r, newInput(b))
		h, err := esdk.ParseHeader(bytes.NewReader(b))
		switch {
		case (err == nil) != (f.Kind == IsMessage):
			t.Errorf("%+v, %v", f, err)
		case err == nil && f.Header.Length != h.Length, err != nil && (f.Error == "" || f.Header != nil), f.Kind == CouldNotLook:
			t.Errorf("%+v, %v", f, err)
		}
	}
	for text, want := range map[string]string{"": IsNoMessage, "plain text": IsNoMessage, "\x02": IsNoMessage, "\x02\xff\xff": IsNoMessage, "\x01\x80\x01\x78": IsBroken, "\x02\x04\x78....": IsBroken} {
		if f := look(t, r, newInput([]byte(text))); f.Kind != want {
			t.Errorf("%q: %s, want %s", text, f.Kind, want)
		}
	}
}

// TestReaderMemory checks that several messages with many data keys, read
// concurrently, take little more memory than one of them.
func TestReaderMemory(t *testing.T) {
	var keys namingKeyring
	for range 128 {
		keys = append(keys, esdk.EncryptedDataKey{ProviderID: "p", ProviderInfo: make([]byte, 65535), Ciphertext: []byte("c")})
	}
	client, err := esdk.New(esdk.Config{Keyring: keys, Suite: esdk.AES256GCMHKDFSHA512Commit})
	if err != nil {
		t.Fatal(err)
	}
	long, _, err := client.Encrypt(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	keys = nil
	r := new(Reader)
	var peak uint64
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			_, err := r.Read(newInput(long), func(m *Message) error {
				mu.Lock()
				defer mu.Unlock()
				var stats runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&stats)
				peak = max(peak, stats.HeapAlloc)
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if limit := uint64(8 * len(long)); peak > limit {
		t.Errorf("%d MiB, at most %d wanted", peak>>20, limit>>20)
	}
}

// TestSummaryTells checks that each form of a summary tells which versions an
// inventory had, its date, and the keys of --under that no message is under.
func TestSummaryTells(t *testing.T) {
	s := NewSummary(false, "p/none", "p/some")
	f := NewFinding("in", "in")
	f.SetHeader(&esdk.Header{Version: 2, Suite: esdk.AES256GCMHKDFSHA512Commit, EncryptedDataKeys: []esdk.EncryptedDataKey{{ProviderID: "p", ProviderInfo: []byte("some")}}}, false)
	f.Under = []Pattern{"p/some"}
	s.Add(f)
	s.AllVersions, s.InventoryCreated = true, time.UnixMilli(1793379845678)
	s.End(0)
	filter := &Filter{Under: []Pattern{"p/none", "p/some"}}
	line, err := s.JSON(filter)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"all_versions":true,"inventory_created":"2026-10-30T17:04:05Z"`, `"under_none":["p/none"]`} {
		if !strings.Contains(string(line), want) {
			t.Errorf("%s\nwant %s", line, want)
		}
	}
	for what, write := range map[string]func(io.Writer) error{
		"text": func(w io.Writer) error { return s.WriteText(w, filter) },
		"page": (&Page{Summary: s, Filter: filter}).Write,
	} {
		var b strings.Builder
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"All versions in the inventory were audited", "The inventory was written on 30 October 2026, 17:04:05 UTC", "no message is under p/none; there are: p/some"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: want %s in\n%s", what, want, b.String())
			}
		}
	}
}

// TestSummaryBounded checks that the summary of messages with different keys
// stays small, and says that there are more keys.
func TestSummaryBounded(t *testing.T) {
	s := NewSummary(false)
	long := strings.Repeat("n", 3000)
	const messages = 3 * maxDistinct
	for i := range messages {
		f := NewFinding("in", fmt.Sprint(long, i))
		h := &esdk.Header{Version: 2, Suite: esdk.AES256GCMHKDFSHA512Commit, EncryptionContext: esdk.EncryptionContext{fmt.Sprint(i, long[:2000]): ""}}
		for n := range 2 {
			h.EncryptedDataKeys = append(h.EncryptedDataKeys, esdk.EncryptedDataKey{ProviderID: "p", ProviderInfo: fmt.Appendf(nil, "%s %d %d", long[:2000], i, n)})
		}
		f.SetHeader(h, true)
		s.Add(f)
	}
	s.End(0)
	if len(s.Keys.tallies) != maxDistinct || len(s.ContextKeys.tallies) != maxDistinct {
		t.Errorf("%d keys, %d keys of contexts", len(s.Keys.tallies), len(s.ContextKeys.tallies))
	}
	if s.Keys.others.Messages != messages-maxDistinct/2 || s.ContextKeys.others.Messages != messages-maxDistinct {
		t.Errorf("%d and %d messages have others", s.Keys.others.Messages, s.ContextKeys.others.Messages)
	}
	line, err := s.JSON(new(Filter))
	if err != nil || len(line) > 2*maxDistinct*(maxText+200) || !json.Valid(line) {
		t.Errorf("%d bytes of JSON, %v", len(line), err)
	}
	var page, text bytes.Buffer
	if err := (&Page{Summary: s, Filter: new(Filter)}).Write(&page); err != nil || page.Len() > 1<<18 {
		t.Errorf("a page of %d bytes, %v", page.Len(), err)
	}
	if err := s.WriteText(&text, new(Filter)); err != nil || text.Len() > 1<<17 {
		t.Errorf("a text of %d bytes, %v", text.Len(), err)
	}
	for _, out := range []string{page.String(), text.String()} {
		if !strings.Contains(out, "too many to list") {
			t.Error("nothing says that there are more keys")
		}
	}
}

// TestFindingBounded checks that a finding is small for any message.
func TestFindingBounded(t *testing.T) {
	h := &esdk.Header{Version: 2, Suite: esdk.AES256GCMHKDFSHA512Commit, EncryptionContext: make(esdk.EncryptionContext)}
	for i := range 1000 {
		h.EncryptionContext[fmt.Sprint(i)] = strings.Repeat("v", 60_000)
		h.EncryptedDataKeys = append(h.EncryptedDataKeys, esdk.EncryptedDataKey{ProviderID: fmt.Sprint(strings.Repeat("p", 60_000), i), ProviderInfo: []byte(strings.Repeat("é", 30_000))})
	}
	f := NewFinding("in", "in")
	f.SetHeader(h, true)
	line, err := json.Marshal(f)
	if err != nil || len(line) > 40<<10 {
		t.Errorf("%d bytes, %v", len(line), err)
	}
	if n := len(f.Header.WrappingKeys) + f.Header.WrappingKeysLeftOut; n != 1000 {
		t.Errorf("%d keys", n)
	}
}

// hostileFinding returns a finding with text from an attacker.
func hostileFinding(t *testing.T, filter *Filter, withKeys bool) *Finding {
	t.Helper()
	name := randomText(10)
	if random.IntN(5) == 0 {
		name += "\xff\xfe"
	}
	f := NewFinding(name, name)
	m := randomMessage(t)
	h, err := esdk.ParseHeader(bytes.NewReader(m.message))
	if err != nil {
		t.Fatal(err)
	}
	switch random.IntN(4) {
	case 0:
		f.SetError(&esdk.FormatError{Field: "version", Err: errors.New(randomText(10))})
	case 1:
		f.SetError(errors.New(randomText(10)))
		f.ErrorKind += randomText(2)
	default:
		f.SetHeader(h, random.IntN(2) == 0)
		if withKeys {
			f.Verification = &Verification{Opened: random.IntN(2) == 0, Error: randomText(9), ErrorKind: randomText(3)}
		}
		f.Matches = filter.Match(h, f.Verification)
	}
	return f
}

// TestHostileText checks that lines and pages with text from an attacker are
// valid. They contain no markup and no invisible character from the text.
func TestHostileText(t *testing.T) {
	s := NewSummary(true)
	filter := &Filter{Under: []Pattern{"<b>*"}}
	for range 400 {
		f := hostileFinding(t, filter, true)
		s.Add(f)
		if line := f.Line(); strings.Count(line, "\n") != 1 || strings.ContainsFunc(strings.TrimSuffix(line, "\n"), hidden) {
			t.Errorf("%q", line)
		}
		if line, err := json.Marshal(f); err != nil || !json.Valid(line) {
			t.Errorf("%s, %v", line, err)
		}
	}
	s.End(1)
	if line, err := s.JSON(filter); err != nil || bytes.Count(line, []byte("\n")) != 1 || !json.Valid(line) {
		t.Errorf("%.200s, %v", line, err)
	}
	checkPage(t, pageOf(t, &Page{Summary: s, Filter: filter, Inputs: []string{randomText(100), "<script>"}, Version: "<v>"}))
}

func pageOf(t *testing.T, p *Page) string {
	t.Helper()
	var b strings.Builder
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// checkPage fails if a page has an unexpected element.
func checkPage(t *testing.T, page string) {
	t.Helper()
	known := strings.Fields(`html head meta link title style body header footer main nav section article h1 h2 h3 p ul li dl dt dd a code strong span
		svg rect table caption thead tbody tr th td details summary`)
	for _, m := range regexp.MustCompile(`<[/!]?([A-Za-z][A-Za-z0-9]*)`).FindAllStringSubmatch(page, -1) {
		if m[1] != "DOCTYPE" && !slices.Contains(known, m[1]) {
			t.Errorf("there is an element %s", m[1])
		}
	}
	if m := regexp.MustCompile(`(?i)<[^>]*\s(on[a-z]+|src|srcdoc|action)\s*=|(href)="[^#d]|javascript:|url\(|@import`).FindString(page); m != "" {
		t.Errorf("there is %q", m)
	}
	for _, r := range page {
		if hidden(r) && r != '\n' && r != '\u202f' {
			t.Errorf("there is %U", r)
		}
	}
	if !utf8.ValidString(page) || !strings.HasSuffix(page, "</html>\n") {
		t.Error("it is not whole")
	}
}

func TestGlob(t *testing.T) {
	for range 20_000 {
		pattern, text := randomOf("ab*/", 7), randomOf("ab/", 9)
		want := regexp.MustCompile("(?s)^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$").MatchString(text)
		if got := glob(pattern, text); got != want {
			t.Fatalf("%q, %q: %t", pattern, text, got)
		}
	}
}

func randomOf(letters string, most int) string {
	b := make([]byte, random.IntN(most+1))
	for i := range b {
		b[i] = letters[random.IntN(len(letters))]
	}
	return string(b)
}

func TestPattern(t *testing.T) {
	arn := "arn:aws:kms:us-west-2:111122223333:key/1"
	for _, c := range []struct {
		pattern, provider, info string
		want                    bool
	}{
		{"corp/backup", "corp", "backup", true},
		{"backup", "corp", "backup", false}, // other namespaces may have this name, too
		{"*/backup", "corp", "backup", true},
		{"corp/*", "corp", "a/b", true},
		{"Corp/backup", "corp", "backup", false},
		{arn, "aws-kms", arn, true},
		{"aws-kms/" + arn, "aws-kms", arn, true},
		{"arn:*:111122223333:*", "aws-kms", arn, true},
		{arn, "aws-kms-rsa", arn, true},
		{arn, "corp", arn, false},
		{"tenant-17", "aws-kms-hierarchy", "tenant-17", true},
		{"esdk-hpke/\x00", "esdk-hpke", "\x00", false}, // it is shown as Base64
		{"esdk-hpke/AA==", "esdk-hpke", "\x00", true},
	} {
		k := &esdk.EncryptedDataKey{ProviderID: c.provider, ProviderInfo: []byte(c.info)}
		if got := Pattern(c.pattern).Match(k); got != c.want {
			t.Errorf("%q, %s %q: %t", c.pattern, c.provider, c.info, got)
		}
	}
}

// TestFilter checks that a filter matches exactly the inputs that all of its
// conditions match.
func TestFilter(t *testing.T) {
	for range 500 {
		m := randomMessage(t)
		h, err := esdk.ParseHeader(bytes.NewReader(m.message))
		if err != nil {
			t.Fatal(err)
		}
		var v *Verification
		if random.IntN(2) == 0 {
			v = &Verification{Opened: random.IntN(2) == 0, NET400: random.IntN(2) == 0}
		}
		coin := func() bool { return random.IntN(4) == 0 }
		f := &Filter{Uncommitted: coin(), Unsigned: coin(), Unopened: coin(), NET400: coin(), NotAMessage: coin()}
		for coin() {
			f.Under = append(f.Under, "corp/*")
		}
		for coin() {
			f.NotUnder = append(f.NotUnder, "aws-kms/*")
		}
		for coin() {
			f.Suites = append(f.Suites, esdk.Suites()[random.IntN(len(esdk.Suites()))])
		}
		has := func(provider string) bool {
			return slices.ContainsFunc(m.keys, func(k esdk.EncryptedDataKey) bool { return k.ProviderID == provider })
		}
		want := (len(f.Under) == 0 || has("corp")) && (len(f.NotUnder) == 0 || !has("aws-kms")) && (len(f.Suites) == 0 || slices.Contains(f.Suites, m.suite)) &&
			(!f.Uncommitted || !m.suite.Commits()) && (!f.Unsigned || !m.suite.Signed()) && (!f.Unopened || v != nil && !v.Opened) && (!f.NET400 || v != nil && v.NET400)
		if only := (&Filter{NotAMessage: true}); fmt.Sprint(*f) == fmt.Sprint(*only) {
			want = false
		}
		if got := f.Match(h, v); got != want {
			t.Errorf("%+v, %v, %+v: %t", f, m.suite, v, got)
		}
		for kind, want := range map[string]bool{IsNoMessage: f.NotAMessage || f.Empty(), IsBroken: f.NotAMessage || f.Empty(), CouldNotLook: false} {
			if f.MatchOther(kind) != want {
				t.Errorf("%+v, %s: %t", f, kind, !want)
			}
		}
		if f.Empty() != (f.String() == "") {
			t.Errorf("%+v: %q", f, f.String())
		}
	}
}

// TestReadFails checks that a failing source fails the input, at any offset.
func TestReadFails(t *testing.T) {
	broken := errors.New("the disk is broken")
	m := randomMessage(t)
	for _, at := range []int{0, 1, 30} {
		in := &failingInput{newInput(m.message), at, broken}
		if _, err := new(Reader).Read(in, func(*Message) error { return nil }); !errors.Is(err, broken) || !fails(err) {
			t.Errorf("at %d: %v", at, err)
		}
	}
}

type failingInput struct {
	*testInput
	at  int
	err error
}

func (f *failingInput) ReadAt(p []byte, offset int64) (int, error) {
	n, _ := f.testInput.ReadAt(p[:min(len(p), max(0, f.at-int(offset)))], offset)
	return n, f.err
}

func TestVisible(t *testing.T) {
	for text, want := range map[string]string{"a é 日": "a é 日", "a\nb": "a⟨U+000A⟩b", "\u202eabc": "⟨U+202E⟩abc", "\xff": "⟨U+FFFD⟩", "": ""} {
		if got := Visible(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if a, b := cut(strings.Repeat("é", 1000)+"a"), cut(strings.Repeat("é", 1000)+"b"); a == b || len(a) > maxText || !utf8.ValidString(a) {
		t.Errorf("%q, %q", a, b)
	}

}
