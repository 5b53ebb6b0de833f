package awskms

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"esdk/internal/kmsarn"
	"esdk/internal/vectors/vectorstest"
)

const (
	keyARN   = "arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	mrkARN   = "arn:aws:kms:us-west-2:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab"
	aliasARN = "arn:aws:kms:us-west-2:111122223333:alias/mrk-alias"
)

func TestParseARN(t *testing.T) {
	for _, s := range []string{keyARN, mrkARN, aliasARN, "arn:aws-cn:kms:cn-north-1:1:key/a/b/c", "arn:p:kms:r:a:alias/aws/s3"} {
		if a, err := kmsarn.Parse(s); err != nil || a.String() != s {
			t.Errorf("kmsarn.Parse(%q) = %v, %v", s, a, err)
		}
		if region, err := checkIdentifier(s); err != nil || region == "" {
			t.Errorf("checkIdentifier(%q) = %q, %v", s, region, err)
		}
	}
	for _, s := range []string{
		"", "arn", "arn:", "arn:aws:kms:us-west-2:111122223333", // too few parts
		keyARN + ":", keyARN + ":x", "x:" + keyARN, // too many
		"ARN:aws:kms:r:a:key/x", "arn::kms:r:a:key/x", "arn:aws:KMS:r:a:key/x", "arn:aws:s3:r:a:key/x",
		"arn:aws:kms::a:key/x", "arn:aws:kms:r::key/x", "arn:aws:kms:r:a:", "arn:aws:kms:r:a:key", "arn:aws:kms:r:a:key/",
		"arn:aws:kms:r:a:/x", "arn:aws:kms:r:a:keys/x", "arn:aws:kms:r:a:alias/", "arn:aws:kms:r:a:key:x",
		"arn:aws:kms:r:a:key/\xff",
	} {
		if a, err := kmsarn.Parse(s); err == nil {
			t.Errorf("kmsarn.Parse(%q) = %v", s, a)
		}
		if strings.HasPrefix(s, "arn:") {
			if _, err := checkIdentifier(s); err == nil {
				t.Errorf("checkIdentifier(%q) succeeded", s)
			}
		}
	}
	if _, err := kmsarn.ParseKey(aliasARN); err == nil {
		t.Error("parseKeyARN takes the ARN of an alias")
	}
}

func TestCheckIdentifier(t *testing.T) {
	for id, want := range map[string]string{
		keyARN: "us-west-2", aliasARN: "us-west-2",
		"alias/test-key": "", "alias/aws/s3": "", "1234abcd-12ab-34cd-56ef-1234567890ab": "", "mrk-1234": "",
	} {
		if region, err := checkIdentifier(id); err != nil || region != want {
			t.Errorf("checkIdentifier(%q) = %q, %v", id, region, err)
		}
	}
	for _, id := range []string{"", "alias/", "key/1234", "alias:x", "alias/a:b", "a b", "tab\t", "arn-not:aws", "\xff"} {
		if _, err := checkIdentifier(id); err == nil {
			t.Errorf("checkIdentifier(%q) succeeded", id)
		}
	}
}

func TestMatchMRK(t *testing.T) {
	a, err := kmsarn.Parse(mrkARN)
	if err != nil {
		t.Fatal(err)
	}
	otherResource := a
	otherResource.ResourceID += "0"
	otherAccount := a
	otherAccount.Account = "444455556666"
	otherPartition := a
	otherPartition.Partition = "aws-cn"
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{mrkARN, mrkARN, true},
		{mrkARN, a.In("eu-west-1").String(), true},
		{keyARN, keyARN, true},
		{keyARN, strings.Replace(keyARN, "us-west-2", "eu-west-1", 1), false},
		{mrkARN, otherResource.String(), false},
		{mrkARN, otherAccount.In("eu-west-1").String(), false},
		{mrkARN, otherPartition.String(), false},
		{aliasARN, strings.Replace(aliasARN, "us-west-2", "eu-west-1", 1), false},
		{"mrk-1234abcd12ab34cd56ef1234567890ab", mrkARN, false}, // its account is unknown
		{"alias/mrk-alias", aliasARN, false},
	} {
		if got := matchMRK(c.a, c.b); got != c.want {
			t.Errorf("matchMRK(%q, %q) = %v", c.a, c.b, got)
		}
		if matchMRK(c.a, c.b) != matchMRK(c.b, c.a) {
			t.Errorf("matchMRK(%q, %q) depends on the order", c.a, c.b)
		}
	}
}

// The errors list all duplicates.
func TestCheckMRKsUnique(t *testing.T) {
	east := strings.Replace(mrkARN, "us-west-2", "us-east-1", 1)
	if err := checkMRKsUnique([]string{keyARN, keyARN, mrkARN, aliasARN, aliasARN, "alias/mrk-alias", "alias/mrk-alias"}); err != nil {
		t.Error(err)
	}
	err := checkMRKsUnique([]string{mrkARN, keyARN, east, "mrk-1234abcd12ab34cd56ef1234567890ab", "mrk-2", "mrk-3", "mrk-3"})
	for _, id := range []string{mrkARN, east, " mrk-1234abcd12ab34cd56ef1234567890ab", "mrk-3, mrk-3"} {
		if err == nil || !strings.Contains(err.Error(), id) {
			t.Errorf("the error does not name %s: %v", id, err)
		}
	}
	if err != nil && (strings.Contains(err.Error(), keyARN) || strings.Contains(err.Error(), "mrk-2")) {
		t.Errorf("the error names a key that is there once: %v", err)
	}
}

// officialVectors reads a file of the official vectors.
func officialVectors(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(vectorstest.Dir(t), filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestOfficialARNs(t *testing.T) {
	var set struct {
		Parse []struct {
			ARN                        string
			Valid                      bool
			Partition, Region, Account string
			ResourceType               string `json:"resource-type"`
			ResourceID                 string `json:"resource-id"`
			Identifier                 string
		} `json:"parse-arn"`
		IsMRK []struct {
			Identifier string
			MRK        bool
		} `json:"is-mrk-identifier"`
		Match []struct {
			A, B  string
			Match bool
		} `json:"match-for-decrypt"`
		Unique []struct{ Keys, Duplicates []string } `json:"mrk-are-unique"`
	}
	if err := json.Unmarshal(officialVectors(t, "kat/kms-arn-and-mrk.json"), &set); err != nil {
		t.Fatal(err)
	}
	for _, c := range set.Parse {
		a, err := kmsarn.Parse(c.ARN)
		if c.Valid != (err == nil) || a != (kmsarn.ARN{
			Partition: c.Partition, Region: c.Region, Account: c.Account, ResourceType: c.ResourceType, ResourceID: c.ResourceID,
		}) {
			t.Errorf("kmsarn.Parse(%q) = %v, %v", c.ARN, a, err)
		}
		if _, err := checkIdentifier(c.ARN); (err == nil) != (c.Valid || c.Identifier != "") {
			t.Errorf("checkIdentifier(%q): %v", c.ARN, err)
		}
	}
	for _, c := range set.IsMRK {
		if _, ok := mrkOf(c.Identifier); ok != c.MRK {
			t.Errorf("mrkOf(%q): %v", c.Identifier, ok)
		}
	}
	for _, c := range set.Match {
		if got := matchMRK(c.A, c.B); got != c.Match {
			t.Errorf("matchMRK(%q, %q) = %v", c.A, c.B, got)
		}
	}
	for _, c := range set.Unique {
		if got := duplicateMRKs(c.Keys); !slices.Equal(got, c.Duplicates) {
			t.Errorf("duplicateMRKs(%q) = %q", c.Keys, got)
		}
	}
	total := len(set.Parse) + len(set.IsMRK) + len(set.Match) + len(set.Unique)
	if t.Logf("%d known answers", total); total != 42 {
		t.Errorf("the file has %d known answers, want 42", total)
	}
}

// FuzzARN checks that a parsed ARN formats to the same string.
func FuzzARN(f *testing.F) {
	for _, s := range []string{keyARN, mrkARN, aliasARN, "arn:a:kms:r:a:key/x/y:z", "alias/x", "mrk-x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if a, err := kmsarn.Parse(s); err == nil && a.String() != s {
			t.Errorf("%q became %q", s, a)
		}
		if !matchMRK(s, s) {
			t.Errorf("%q does not match itself", s)
		}
		region, err := checkIdentifier(s)
		if a, arnErr := kmsarn.Parse(s); arnErr == nil && (err != nil || region != a.Region) {
			t.Errorf("checkIdentifier(%q) = %q, %v", s, region, err)
		}
	})
}
