package audit

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"esdk/cmd/esdk/internal/calls"
	"esdk/cmd/esdk/internal/cli"
)

const (
	// maxDistinct limits the number of distinct wrapping keys, and of distinct
	// keys of encryption contexts. Anybody who can write messages can make up
	// any number of them.
	maxDistinct = 10_000

	// maxSamples limits the number of names kept of each finding.
	maxSamples = 20
)

// A Tally counts messages, and the bytes of the inputs that hold them.
type Tally struct {
	Messages int64 `json:"messages"`
	Verified int64 `json:"verified"` // how many of them were verified
	Bytes    int64 `json:"message_bytes"`
}

func (t *Tally) add(f *Finding) {
	t.Messages++
	if f.Authenticated {
		t.Verified++
	}
	if f.Size != nil {
		t.Bytes += *f.Size
	}
}

// A Summary summarizes all inputs. Its memory is bounded.
type Summary struct {
	Started, Ended time.Time
	BytesRead      int64
	WithKeys       bool // messages were opened

	// CurrentOnly is true if an object was audited in its current version only.
	// Its older versions, if there are any, were not audited.
	CurrentOnly bool

	// AllVersions is true if all versions in an inventory were audited.
	AllVersions      bool
	InventoryCreated time.Time // zero if there is no inventory, or if it gives no time

	Inputs, Matches, Skipped        int64
	NoMessages, Broken, Failed      Tally
	Messages, Uncommitted, Unsigned Tally
	Opened, NotOpened, NotAuthentic int64
	NET400, Base64, Unframed        int64
	FailedBy, NotOpenedBy           map[string]int64 // by the kind of the error
	Versions, DataKeys              map[int]*Tally
	Suites                          map[string]*Tally // by ID and name
	Keys, ContextKeys               *distinct
	samples                         map[string][]string // names, by finding
	under                           []Pattern           // patterns of --under that no message has matched so far

	Calls calls.Counts // to open messages
}

// NewSummary returns an empty summary. The argument under has the keys of
// --under.
func NewSummary(withKeys bool, under ...Pattern) *Summary {
	return &Summary{
		Started: time.Now(), WithKeys: withKeys, under: slices.Clone(under),
		FailedBy: make(map[string]int64), NotOpenedBy: make(map[string]int64),
		Versions: make(map[int]*Tally), DataKeys: make(map[int]*Tally), Suites: make(map[string]*Tally),
		Keys: newDistinct(), ContextKeys: newDistinct(), samples: make(map[string][]string),
	}
}

// Findings with samples.
const (
	sampleNoMessage    = "no-message"
	sampleBroken       = "broken"
	sampleFailed       = "failed"
	sampleUncommitted  = "uncommitted"
	sampleUnsigned     = "unsigned"
	sampleNotOpened    = "not-opened"
	sampleNotAuthentic = "not-authentic"
	sampleNET400       = "net-4.0.0"
	sampleMatches      = "matches"
)

// Add counts an input.
func (s *Summary) Add(f *Finding) {
	s.Inputs++
	if f.Matches {
		s.Matches++
		s.sample(sampleMatches, f)
	}
	switch f.Kind {
	case IsNoMessage:
		s.NoMessages.add(f)
		s.sample(sampleNoMessage, f)
	case IsBroken:
		s.Broken.add(f)
		s.sample(sampleBroken, f)
	case CouldNotLook:
		s.Failed.add(f)
		s.FailedBy[f.ErrorKind]++
		s.sample(sampleFailed, f)
	case IsMessage:
		s.addMessage(f)
	}
}

func (s *Summary) addMessage(f *Finding) {
	h := f.Header
	s.Messages.add(f)
	s.under = slices.DeleteFunc(s.under, func(p Pattern) bool { return slices.Contains(f.Under, p) })
	tallyOf(s.Versions, h.Version).add(f)
	tallyOf(s.Suites, h.AlgorithmID+" "+h.Algorithm).add(f)
	tallyOf(s.DataKeys, min(h.DataKeys, manyDataKeys)).add(f)
	if f.Base64 {
		s.Base64++
	}
	if h.FrameLength == 0 {
		s.Unframed++
	}
	if !h.Committed {
		s.Uncommitted.add(f)
		s.sample(sampleUncommitted, f)
	}
	if !h.Signed {
		s.Unsigned.add(f)
		s.sample(sampleUnsigned, f)
	}
	keys := make(map[string]bool)
	for _, k := range h.WrappingKeys {
		keys[k.String()] = true
	}
	s.Keys.add(f, keys, h.WrappingKeysLeftOut > 0)
	context := make(map[string]bool)
	for _, k := range h.ContextKeys {
		context[k] = true
	}
	s.ContextKeys.add(f, context, h.ContextKeysLeftOut > 0)
	s.addVerification(f)
}

func (s *Summary) addVerification(f *Finding) {
	switch v := f.Verification; {
	case v == nil:
	case !v.Opened:
		s.NotOpened++
		s.NotOpenedBy[v.ErrorKind]++
		if v.ErrorKind == notAuthentic {
			s.NotAuthentic++
			s.sample(sampleNotAuthentic, f)
		} else {
			s.sample(sampleNotOpened, f)
		}
	default:
		s.Opened++
		if v.NET400 {
			s.NET400++
			s.sample(sampleNET400, f)
		}
	}
}

// Kinds of errors: of a modified or forged header, and of a message under other
// keys, with other names or the same ones.
const (
	notAuthentic = "not-authentic"
	noKey        = "no-key"
	wrongKey     = cli.KindWrongKey
)

// manyDataKeys stands for itself and larger numbers.
const manyDataKeys = 10

// Skip counts a skipped input.
func (s *Summary) Skip() { s.Skipped++ }

// End ends the summary. No more inputs may be added.
func (s *Summary) End(bytesRead int64) { s.Ended, s.BytesRead = time.Now(), bytesRead }

func (s *Summary) sample(of string, f *Finding) {
	if list := s.samples[of]; len(list) < maxSamples {
		s.samples[of] = append(list, cut(f.Name))
	}
}

func tallyOf[K comparable](m map[K]*Tally, k K) *Tally {
	t := m[k]
	if t == nil {
		t = new(Tally)
		m[k] = t
	}
	return t
}

// A distinct counts messages by names that an attacker may choose.
type distinct struct {
	tallies map[string]*Tally
	others  Tally // messages with a name that isn't in tallies
}

func newDistinct() *distinct { return &distinct{tallies: make(map[string]*Tally)} }

// add counts a message once for each of its names. The argument more means that
// it has further names.
func (d *distinct) add(f *Finding, names map[string]bool, more bool) {
	for name := range names {
		t := d.tallies[name]
		if t == nil && len(d.tallies) >= maxDistinct {
			more = true
			continue
		}
		tallyOf(d.tallies, name).add(f)
	}
	if more {
		d.others.add(f)
	}
}

// NoneUnder returns the keys of --under that no message is under, since they
// may be misspelled, and a list of the keys that messages are under. It returns
// nothing if there are no such keys or no messages.
func (s *Summary) NoneUnder() (keys []string, others string) {
	if s.Messages.Messages == 0 || len(s.under) == 0 {
		return nil, ""
	}
	for _, p := range s.under {
		keys = append(keys, Visible(string(p)))
	}
	return keys, s.otherKeys()
}

// UnderNone returns the result of NoneUnder in words.
func (s *Summary) UnderNone() (texts []string) {
	keys, others := s.NoneUnder()
	for _, k := range keys {
		texts = append(texts, "no message is under "+k+"; there are: "+others)
	}
	return texts
}

// otherKeys lists the keys with the most messages.
func (s *Summary) otherKeys() string {
	const most = 3
	names := byMessages(s.Keys.tallies)
	return Visible(listOf(names[:min(len(names), most)], max(0, len(names)-most)))
}

// byMessages returns the names, in descending order of their messages.
func byMessages(m map[string]*Tally) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(m[b].Messages, m[a].Messages), cmp.Compare(a, b))
	})
}

// A tallyLine is a named tally in JSON.
type tallyLine struct {
	Name string `json:"name"`
	Tally
}

func tallyLines(m map[string]*Tally) []tallyLine {
	lines := []tallyLine{}
	for _, name := range byMessages(m) {
		lines = append(lines, tallyLine{name, *m[name]})
	}
	return lines
}

// A summaryRecord is a summary in JSON.
type summaryRecord struct {
	Type          string  `json:"type"` // summary
	Started       string  `json:"started"`
	Seconds       float64 `json:"seconds"`
	Filter        string  `json:"filter,omitempty"`
	Authenticated bool    `json:"authenticated"` // all headers are verified, and no input is failed or broken
	CurrentOnly   bool    `json:"current_versions_only"`
	AllVersions   bool    `json:"all_versions"`
	Created       string  `json:"inventory_created,omitempty"`
	Inputs        int64   `json:"inputs"`
	Matches       int64   `json:"matches"`
	Skipped       int64   `json:"skipped"`

	UnderNone []Pattern `json:"under_none,omitempty"` // keys of --under that no message is under
	BytesRead int64     `json:"bytes_read"`

	Messages     Tally            `json:"messages"`
	NoMessages   Tally            `json:"not_messages"`
	Broken       Tally            `json:"broken"`
	Failed       Tally            `json:"failed"`
	FailedByKind map[string]int64 `json:"failed_by_kind"`

	Uncommitted Tally `json:"uncommitted"`
	Unsigned    Tally `json:"unsigned"`
	Unframed    int64 `json:"unframed"`
	Base64      int64 `json:"base64"`

	Suites   []tallyLine `json:"suites"`
	Versions []countLine `json:"versions"`
	DataKeys []countLine `json:"data_keys"`

	WrappingKeys        []tallyLine `json:"wrapping_keys"`
	WrappingKeysLeftOut Tally       `json:"wrapping_keys_left_out"`
	ContextKeys         []tallyLine `json:"context_keys"`
	ContextKeysLeftOut  Tally       `json:"context_keys_left_out"`

	Verification *verificationRecord `json:"verification,omitempty"` // nil without keys
}

// A countLine is a tally of the messages with a certain number, in JSON.
type countLine struct {
	Count int `json:"count"`
	Tally
}

func countLines(m map[int]*Tally) []countLine {
	all := []countLine{}
	for _, n := range slices.Sorted(maps.Keys(m)) {
		all = append(all, countLine{n, *m[n]})
	}
	return all
}

type verificationRecord struct {
	Opened          int64            `json:"opened"`
	NotOpened       int64            `json:"not_opened"`
	NotOpenedByKind map[string]int64 `json:"not_opened_by_kind"`
	NET400          int64            `json:"net_4_0_0"`

	calls.Counts // to open them
}

// verified reports whether the headers of all messages were verified, there is
// at least one message, and no other input may be a message.
func (s *Summary) verified() bool { return s.allVerified() && s.unknown() == 0 }

func (s *Summary) allVerified() bool {
	return s.WithKeys && s.Messages.Messages > 0 && s.Messages.Messages == s.Messages.Verified
}

// unknown returns the number of inputs that may be messages, but have no
// readable header.
func (s *Summary) unknown() int64 { return s.Failed.Messages + s.Broken.Messages }

// anotherKey reports whether no message was opened because they are under other
// keys. That is more often a mistake in -k than a forgery.
func (s *Summary) anotherKey() bool {
	return s.Opened == 0 && s.NotOpenedBy[noKey]+s.NotOpenedBy[wrongKey] > 0
}

// JSON returns the summary as a line of JSON.
func (s *Summary) JSON(filter *Filter) ([]byte, error) {
	r := &summaryRecord{
		Type: typeOfSummary, Started: s.Started.UTC().Format(time.RFC3339), Seconds: s.Ended.Sub(s.Started).Seconds(),
		Filter: filter.String(), Authenticated: s.verified(), CurrentOnly: s.CurrentOnly,
		AllVersions: s.AllVersions, UnderNone: s.under,
		Inputs: s.Inputs, Matches: s.Matches, Skipped: s.Skipped, BytesRead: s.BytesRead,
		Messages: s.Messages, NoMessages: s.NoMessages, Broken: s.Broken, Failed: s.Failed, FailedByKind: s.FailedBy,
		Uncommitted: s.Uncommitted, Unsigned: s.Unsigned, Unframed: s.Unframed, Base64: s.Base64,
		Suites: tallyLines(s.Suites), Versions: countLines(s.Versions), DataKeys: countLines(s.DataKeys),
		WrappingKeys: tallyLines(s.Keys.tallies), WrappingKeysLeftOut: s.Keys.others,
		ContextKeys: tallyLines(s.ContextKeys.tallies), ContextKeysLeftOut: s.ContextKeys.others,
	}
	if !s.InventoryCreated.IsZero() {
		r.Created = s.InventoryCreated.UTC().Format(time.RFC3339)
	}
	if s.WithKeys {
		r.Verification = &verificationRecord{s.Opened, s.NotOpened, s.NotOpenedBy, s.NET400, s.Calls}
	}
	return cli.JSON(r)
}
