package kmsarn

import "testing"

const (
	plain   = "arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	primary = "arn:aws:kms:us-west-2:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab"
	replica = "arn:aws:kms:eu-west-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab"
)

func parse(t *testing.T, s string) ARN {
	t.Helper()
	a, err := ParseKey(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestParse(t *testing.T) {
	for _, s := range []string{plain, primary, replica, "arn:aws-cn:kms:r:1:key/a/b"} {
		if got := parse(t, s).String(); got != s {
			t.Errorf("%q becomes %q", s, got)
		}
	}
	for _, s := range []string{
		"", "mrk-1", "alias/a", "arn:aws:kms:us-west-2:111122223333",
		"arn:aws:kms:us-west-2:111122223333:alias/a",
		"arn:aws:kms:us-west-2:111122223333:key/",
		"arn:aws:kms:us-west-2:111122223333:key",
		"arn:aws:kms:us-west-2::key/a",
		"arn:aws:kms::1:key/a",
		"arn::kms:us-west-2:1:key/a",
		"arn:aws:s3:us-west-2:1:key/a",
		"ARN:aws:kms:us-west-2:1:key/a",
		"arn:aws:kms:us-west-2:1:key:a",
		"arn:aws:kms:us-west-2:1:key/a:b",
		"arn:aws:kms:us-west-2:1:grant/a",
		"arn:aws:kms:us-west-2:1:key/\xff",
	} {
		if a, err := ParseKey(s); err == nil {
			t.Errorf("%q is read as %+v", s, a)
		}
	}
}

func TestMRK(t *testing.T) {
	one, a, b := parse(t, plain), parse(t, primary), parse(t, replica)
	if one.IsMRK() || !a.IsMRK() || a.In("eu-west-1") != b {
		t.Error("IsMRK or In is wrong")
	}
	other := one.In("eu-west-1")
	foreign := b
	foreign.Account = "444455556666"
	for _, c := range []struct {
		a, b ARN
		want bool
	}{{one, one, true}, {a, a, true}, {a, b, true}, {b, a, true}, {one, other, false}, {a, foreign, false}, {one, a, false}} {
		if got := MatchMRK(c.a, c.b); got != c.want {
			t.Errorf("MatchMRK(%v, %v) = %v", c.a, c.b, got)
		}
	}
}
