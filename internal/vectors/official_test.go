package vectors

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"esdk"
	"esdk/internal/vectors/vectorstest"
)

// A set is one set of the official vectors.
type set struct {
	name string
	run  func(t *testing.T, dir string) Summary
	want Summary

	// checked is the number of cases that another implementation decided
	// without a network. Of these, elsewhere counts the cases that the tests of
	// other packages run, by requirement: branchkey and cmd/esdk run the
	// hierarchical cases, branchkey the KDF, awskms the ARNs. No test runs the
	// cache IDs, since this module has its own. beyond counts cases that pass
	// here though the other implementation didn't decide them.
	checked   int
	elsewhere map[string]int
	beyond    int
}

// kms are the cases that need AWS KMS, by key type, and the hierarchical cases,
// in the three sets that the MPL's generator made. This package has no keyrings
// for them. The command does, and its tests count the results that a user sees.
func kms(symmetric, hierarchy int) map[string]int {
	return map[string]int{
		"aws-kms": symmetric, "aws-kms-ecdh": 33, "aws-kms-hierarchy": hierarchy,
		"aws-kms-mrk-aware": 22, "aws-kms-mrk-aware-discovery": 22, "aws-kms-rsa": 7,
	}
}

func hierarchy(n int) map[string]int { return map[string]int{"aws-kms-hierarchy": n} }

var sets = []set{
	{"net-4.0.1-v4", runManifest("manifest.json", Options{}), want(49, map[string]int{"aws-kms": 17}), 49, nil, 0},
	{"net-4.0.0-invalid", runInvalidNET400, want(14, nil), 14, nil, 0},
	{"net-4.0.0-valid", runManifest("manifest.json", Options{}), want(3, nil), 3, nil, 0},
	{"net-4.0.0-mixed", runMixedNET400, want(49, map[string]int{"aws-kms": 17}), 49, nil, 0},
	{"dafny-4.1.0-v5", runManifest("decrypt-manifest.json", Options{}), want(143, kms(11, 6)), 149, hierarchy(6), 0},
	{"python-1.3.0-legacy", runManifest("manifests/ciphertext.manifest", Options{}), want(450, map[string]int{"aws-kms": 180}), 450, nil, 0},
	{"python-1.3.5-kms", runPython135, want(0, map[string]int{"aws-kms": 180}), 0, nil, 0},
	// For one case of each set, the checker had no static keyring.
	{"mpl-decrypt-go", runManifest("manifest.json", Options{}), want(184, kms(11, 5)), 188, hierarchy(5), 1},
	{"mpl-decrypt-py", runManifest("manifest.json", Options{}), want(465, kms(115, 5)), 469, hierarchy(5), 1},

	{"commitment-kat", runCommitmentKAT, want(23, nil), 23, nil, 0},
	{"python-decrypt-oracle", runPythonOracle, want(9, map[string]int{"aws-kms": 5}), 9, nil, 0},
	{"c-zero-key", runCZeroKey, want(23, nil), 23, nil, 0},
	{"js-decrypt-fixtures", runJSFixtures, want(10, nil), 10, nil, 0},
	{"nonframed-raw-aes", runNonFramed, want(2, nil), 2, nil, 0},
	{"js-hierarchical", runJSHierarchical, want(0, hierarchy(2)), 2, hierarchy(2), 0},
	// The branch key of its two hierarchical cases isn't known.
	{"python-perf", runPythonPerf, want(4, map[string]int{"aws-kms": 4, "aws-kms-hierarchy": 2}), 4, nil, 0},

	{"kat/hkdf", runHKDF, want(7, nil), 7, nil, 0},
	{"kat/raw-aes-keyring", runRawAES, want(3, nil), 3, nil, 0},
	{"kat/raw-rsa-keyring", runRawRSA, want(5, nil), 5, nil, 0},
	{"kat/ecdsa-signatures", runECDSA, want(3, nil), 3, nil, 0},
	{"kat/ec-point-compression", runPointCompression, want(2, nil), 2, nil, 0},
	{"kat/frame-ivs", runFrameIVs, want(3, nil), 3, nil, 0},
	{"kat/serialize-fixtures", runSerializeFixtures, want(32, nil), 0, nil, 32},
	{"kat/kdf-ctr-hmac-sha256", countKDF, want(0, map[string]int{"kdf-ctr-hmac-sha256": 37}), 37, map[string]int{"kdf-ctr-hmac-sha256": 37}, 0},
	{"kat/caching-cmm-cache-ids", countCacheIDs, want(0, map[string]int{"caching-cmm-cache-ids": 6}), 6, map[string]int{"caching-cmm-cache-ids": 6}, 0},
	// The other implementation decided only the parsing of ARNs.
	{"kat/kms-arn-and-mrk", countARNs, want(0, map[string]int{"kms-arn-and-mrk": 42}), 18, map[string]int{"kms-arn-and-mrk": 18}, 0},
}

// checkedOffline is the number of cases in all sets that another implementation
// decided without a network.
const checkedOffline = 1528

func want(passed int, unsupported map[string]int) Summary {
	s := Summary{Passed: passed, UnsupportedTypes: unsupported}
	for _, n := range unsupported {
		s.Unsupported += n
	}
	return s
}

// TestOfficial runs all sets, and checks that no case was lost on the way.
func TestOfficial(t *testing.T) {
	dir := vectorstest.Dir(t)
	got := make([]Summary, len(sets))
	t.Run("set", func(t *testing.T) {
		for i, s := range sets {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				got[i] = s.run(t, filepath.Join(dir, filepath.FromSlash(s.name)))
				s.check(t, got[i])
			})
		}
	})
	logTable(t, got)
}

func (s *set) check(t *testing.T, got Summary) {
	if got.Passed != s.want.Passed || got.Failed != 0 || got.Unsupported != s.want.Unsupported ||
		!maps.Equal(got.UnsupportedTypes, s.want.UnsupportedTypes) {
		t.Errorf("got %+v, want %+v", got, s.want)
	}
	if sum := got.Passed - s.beyond + total(s.elsewhere); sum != s.checked {
		t.Errorf("%d cases are accounted for, want %d", sum, s.checked)
	}
}

func total(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// logTable prints the results of each set, and accounts for all cases that can
// be decided without a network.
func logTable(t *testing.T, got []Summary) {
	var table strings.Builder
	var all Summary
	var checked, beyond int
	elsewhere := map[string]int{}
	row := func(name string, s Summary) {
		fmt.Fprintf(&table, "%-26s %6d %6d %11d  %v\n", name, s.Passed, s.Failed, s.Unsupported, s.UnsupportedTypes)
	}
	fmt.Fprintf(&table, "\n%-26s %6s %6s %11s\n", "set", "passed", "failed", "unsupported")
	for i, s := range sets {
		row(s.name, got[i])
		all.Passed += got[i].Passed
		all.Failed += got[i].Failed
		all.Unsupported += got[i].Unsupported
		checked += s.checked
		beyond += s.beyond
		for k, n := range s.elsewhere {
			elsewhere[k] += n
		}
	}
	row("all", all)
	fmt.Fprintf(&table, "%d can be decided without a network: %d passed, not counting %d that were not among them; not of this package: %v\n",
		checked, all.Passed-beyond, beyond, elsewhere)
	t.Log(table.String())
	if slices.ContainsFunc(got, func(s Summary) bool { return s.Total() == 0 }) {
		t.Log("not all sets were run")
		return
	}
	if checked != checkedOffline || all.Passed-beyond+total(elsewhere) != checkedOffline {
		t.Errorf("not all of the %d cases are accounted for", checkedOffline)
	}
}

// runManifest runs the cases of a manifest.
func runManifest(name string, o Options) func(*testing.T, string) Summary {
	return func(t *testing.T, dir string) (s Summary) {
		for _, c := range load(t, filepath.Join(dir, filepath.FromSlash(name)), o).Cases {
			r := c.Run(t.Context())
			s.Add(r)
			checkResult(t, c, r)
		}
		return s
	}
}

func load(t testing.TB, path string, o Options) *Manifest {
	t.Helper()
	m, err := Load(path, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Cases) == 0 {
		t.Fatal("manifest has no cases")
	}
	return m
}

// checkResult reports a case that failed or was rejected for the wrong reason.
// For an unsupported message, it makes the checks that need no key.
func checkResult(t *testing.T, c *Case, r Result) {
	t.Helper()
	switch {
	case r.Outcome == Unsupported:
		if message, err := c.Message(); err != nil {
			t.Errorf("%s: %v", r.ID, err)
		} else if message != nil {
			checkStructure(t, message, -1)
		}
	case r.Outcome == Failed:
		t.Errorf("%s (%s): %v", r.ID, r.Description, r.Err)
	case r.Outcome == Passed && c.Negative && !isExpected(c, r.Err):
		t.Errorf("%s (%s): refused with: %v", r.ID, r.Description, r.Err)
	}
}

// isExpected reports whether an error fits the description of a negative case.
func isExpected(c *Case, err error) bool {
	_, after, _ := strings.Cut(c.Description, ": ")
	if after == "" {
		after = c.Description
	}
	committing := strings.Contains(c.ID, "-0478-") || strings.Contains(c.ID, "-0578-")
	switch {
	case strings.HasSuffix(c.Description, "The reproducedEncryptionContext is not correct"):
		return errors.Is(err, esdk.ErrEncryptionContext) || errors.Is(err, esdk.ErrNoDataKey)
	case strings.HasSuffix(c.Description, "No plaintext data key on encrypt fails"):
		return errors.Is(err, esdk.ErrNoDataKey)
	case after == "a byte of the message ID is changed" && committing:
		return errors.Is(err, esdk.ErrCommitment)
	case after == "the last byte is missing", after == "all after the first frame is missing":
		return vectorstest.IsTruncation(err)
	}
	return errors.Is(err, esdk.ErrAuthentication)
}

// runInvalidNET400 checks that the messages of .NET 4.0.0 are rejected without
// recovery and read with it. Their manifest says only the latter.
func runInvalidNET400(t *testing.T, dir string) (s Summary) {
	path := filepath.Join(dir, "manifest.json")
	for _, c := range load(t, path, Options{}).Cases {
		c.Negative = true
		r := c.Run(t.Context())
		s.Add(r)
		checkResult(t, c, r)
	}
	recovered := runManifest("manifest.json", Options{RecoverNET400: true})(t, dir)
	if recovered.Passed != s.Passed {
		t.Errorf("%d were refused but %d recovered", s.Passed, recovered.Passed)
	}
	return s
}

// runMixedNET400 checks that messages in the form of .NET 4.0.0 are rejected,
// and that all messages are read with recovery.
func runMixedNET400(t *testing.T, dir string) Summary {
	const name = "manifest.json"
	refused := 0
	for _, c := range load(t, filepath.Join(dir, name), Options{}).Cases {
		if c.Negative && c.KeyType == "raw" {
			refused++
		}
	}
	if refused != 41 {
		t.Errorf("%d are to be refused, want 41", refused)
	}
	s := runManifest(name, Options{})(t, dir)
	if recovered := runManifest(name, Options{RecoverNET400: true})(t, dir); recovered.Passed != s.Passed {
		t.Errorf("with recovery %d pass, want %d", recovered.Passed, s.Passed)
	}
	return s
}
