package place

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gocloud.dev/blob/memblob"
)

// A trial is a random command line over random files, whose names often
// collide.
type trial struct {
	files  []string
	inputs []string
	option OutputOptions
}

func newTrial(r *rand.Rand) *trial {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	t := new(trial)
	for range 1 + r.IntN(8) {
		t.files = append(t.files, pick("d", "d/s", "d/s/u", "e", "e/s", "out", "out/s")+"/"+pick("a", "b", "a.x", "a.x.x", "a.d", "a.d.x", "s.x", ".x"))
	}
	slices.Sort(t.files)
	t.files = slices.Compact(t.files)
	for range 1 + r.IntN(3) {
		if r.IntN(3) == 0 {
			t.inputs = append(t.inputs, t.files[r.IntN(len(t.files))])
		} else {
			t.inputs = append(t.inputs, pick("d", "e", "d/s", "out"))
		}
	}
	// The first inputs decide whether -o names a directory that is made.
	slices.SortStableFunc(t.inputs, func(a, b string) int {
		isFile := func(name string) int { return slices.Index(t.files, name) }
		return cmp.Compare(min(0, isFile(a)), min(0, isFile(b)))
	})
	o := &t.option
	o.Recursive, o.Suffix = true, ".x"
	o.Path = pick("", "", "out", "made", "d/made")
	switch r.IntN(5) {
	case 3:
		o.Update = true
	case 0:
		o.Force = true
	case 1:
		o.NoClobber = true
	case 2:
		o.InPlace = o.Path == ""
	}
	if r.IntN(2) == 0 {
		o.Name, o.OneToOne = encrypted, true
		if o.Path == "" && !o.InPlace {
			o.OnlyWithout()
		}
		return t
	}
	o.Name = func(name string) string {
		if plain, ok := strings.CutSuffix(name, ".x"); ok && filepath.Base(name) != ".x" {
			return plain
		}
		return name + ".d"
	}
	if o.Path == "" {
		o.OnlyWith()
	}
	return t
}

func (t *trial) String() string {
	o := t.option
	return fmt.Sprintf("files %q, inputs %q, -o %q, force %t, no-clobber %t, update %t, in-place %t, one to one %t", t.files, t.inputs, o.Path, o.Force, o.NoClobber, o.Update, o.InPlace, o.OneToOne)
}

// make creates the files anew.
func (t *trial) make(tt *testing.T) {
	for _, dir := range []string{"d", "e", "out", "made"} {
		if err := os.RemoveAll(dir); err != nil {
			tt.Fatal(err)
		}
	}
	for _, name := range append([]string{"d/s/.keep", "e/.keep", "out/.keep"}, t.files...) {
		if os.MkdirAll(filepath.Dir(name), 0o700) != nil || os.WriteFile(name, []byte(name), 0o600) != nil {
			tt.Fatal("a file and a directory have one name")
		}
	}
}

// A plan is the same for any look-ahead, except for mistakes: a mistake found
// within it stops the run, and a later one fails its input. In no run does a
// result replace another result or an input that is still to be read.
func TestPlanAnyLookAhead(t *testing.T) {
	t.Chdir(t.TempDir())
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	refused, failed := 0, 0
	for range 150 {
		trial := newTrial(r)
		whole, _, err := trial.run(t, 0, false)
		if err != nil {
			refused++
		}
		for _, ahead := range []int{2, 3, 4} {
			part, ok, partErr := trial.run(t, ahead, true)
			switch {
			case partErr != nil && err == nil:
				t.Fatalf("look-ahead %d: %v\n%v", ahead, partErr, trial)
			case partErr != nil:
			case err == nil && !maps.Equal(whole, part):
				t.Fatalf("look-ahead %d: %q, want %q\n%v", ahead, part, whole, trial)
			case err != nil && ok && !trial.option.InPlace && !trial.option.NoClobber && !trial.option.Update: // these allow an input to be named twice
				t.Fatalf("look-ahead %d: all went well, but as a whole %v\n%v", ahead, err, trial)
			case err != nil:
				failed++
			}
		}
	}
	t.Logf("%d refused, %d ran up to the mistake", refused, failed)
	if refused == 0 || failed == 0 {
		t.Error("too few mistakes")
	}
}

// run plans, and optionally creates the results. It returns the outcome of each
// input, and whether nothing failed.
func (t *trial) run(tt *testing.T, ahead int, work bool) (all map[string]string, ok bool, err error) {
	t.make(tt)
	p := newPlanner()
	p.LookAhead = ahead
	o := t.option
	plan, err := p.Plan(context.Background(), t.inputs, &o)
	if err != nil {
		return nil, false, err
	}
	all, ok = make(map[string]string), true
	read, written := make(map[string]string), make(map[string]string)
	for j := range plan.All() {
		what := j.Output()
		if j.Skip == skipResults {
			continue // it may not exist yet
		}
		if j.Skip != "" {
			what = "skipped"
		}
		if j.Skip == SkipExists || j.Skip == skipNewer {
			if other, is := written[j.Target.ID()]; is {
				tt.Fatalf("%s was skipped, and its result is of %s\n%v", j.Source.Name(), other, t)
			}
		}
		if j.Err == nil && j.Skip == "" && work {
			j.Err = make1(j, func() {})
			if errOK := j.Err == nil; errOK && !o.InPlace {
				if other, twice := written[j.Target.ID()]; twice {
					tt.Fatalf("%s and %s were both written to %s\n%v", other, j.Source.Name(), j.Output(), t)
				}
				written[j.Target.ID()] = j.Source.Name()
				if other, was := read[j.Target.ID()]; was {
					tt.Fatalf("%s was read, and %s written to it\n%v", other, j.Source.Name(), t)
				}
				if other, was := written[j.Source.ID()]; was {
					tt.Fatalf("%s was read, and %s was written to it\n%v", j.Source.Name(), other, t)
				}
				read[j.Source.ID()] = j.Source.Name()
			}
		}
		if j.Err != nil {
			what, ok = "failed", false
		}
		all[j.Source.Name()] += what + ";"
	}
	return all, ok, nil
}

// TestPlanSkippedResult checks that an existing result that one input keeps
// isn't taken for the result of another one.
func TestPlanSkippedResult(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"d/a", "e/a", "out/a.x"} {
		if os.MkdirAll(filepath.Dir(name), 0o700) != nil || os.WriteFile(name, nil, 0o600) != nil {
			t.Fatal("no files")
		}
	}
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes("e/a", later, later); err != nil {
		t.Fatal(err)
	}
	for _, o := range []OutputOptions{{NoClobber: true}, {Update: true}} {
		p := newPlanner()
		p.LookAhead = 1
		o.Recursive, o.Path, o.Name, o.OneToOne = true, "out", encrypted, true
		plan, err := p.Plan(t.Context(), []string{"d", "e"}, &o)
		if err != nil {
			t.Fatal(err)
		}
		var failed []bool
		for j := range plan.All() {
			failed = append(failed, j.Err != nil)
		}
		if !slices.Equal(failed, []bool{false, true}) {
			t.Errorf("%+v: failed %v", o, failed)
		}
	}
}

// The names in a directory are complete and sorted.
func TestNames(t *testing.T) {
	dir := t.TempDir()
	want := []string{"a", "a b", "a.", "a.b", "ab", "b", "é", "\u00ff", strings.Repeat("l", 200)}
	for i := range 5000 {
		want = append(want, fmt.Sprintf("n%d", i))
	}
	for _, name := range want {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(want)
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := readNames(f)
	if err != nil || all.len() != len(want) {
		t.Fatalf("%d names, %v", all.len(), err)
	}
	for i, name := range want {
		if all.at(i) != name {
			t.Fatalf("name %d is %q, want %q", i, all.at(i), name)
		}
	}
}

// A change to a file while it's read is reported, and nothing else is.
func TestChanged(t *testing.T) {
	for name, c := range map[string]struct {
		change func() error
		want   string
	}{
		"nothing":    {func() error { return nil }, ""},
		"read":       {func() error { _, err := os.ReadFile("d/f"); return err }, ""},
		"mode":       {func() error { return os.Chmod("d/f", 0o640) }, ""},
		"grew":       {func() error { return os.WriteFile("d/f", []byte("longer than before"), 0o600) }, "the input grew while it was read"},
		"shrank":     {func() error { return os.Truncate("d/f", 1) }, "the input shrank while it was read"},
		"written to": {func() error { return os.Chtimes("d/f", testTime, testTime) }, "the input was modified while it was read"},
		"removed":    {func() error { return os.Remove("d/f") }, "the input was removed while it was read"},
		"replaced":   {func() error { return os.Rename("d/g", "d/f") }, "the input was replaced while it was read"},
	} {
		for _, input := range []string{"d", "d/f"} {
			files(t, "d/f", "d/g")
			plan, err := newPlanner().Inputs(context.Background(), []string{input}, &InputOptions{Recursive: true})
			if err != nil {
				t.Fatal(err)
			}
			in, err := plan.Ahead()[0].Source.Open(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if err := c.change(); err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := in.Changed(); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("%s, %s: %q, want %q", name, input, got, c.want)
			}
			in.Close()
		}
	}
}

var testTime = time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)

// Plans for a bucket agree too, also with too many keys to hold: then each
// object is looked at when its turn comes.
func TestPlanObjects(t *testing.T) {
	for _, ahead := range []int{0, 2} {
		in := memblob.OpenBucket(nil)
		p := newPlanner()
		p.LookAhead = ahead
		p.Buckets.UseTest("s3://test", in)
		for _, key := range []string{"in/a", "in/b", "in/b.x", "in/c/d", "in/c/", "in/out/keep", "other/a", "one"} {
			text := []byte(key)
			if strings.HasSuffix(key, "/") {
				text = nil
			}
			if err := in.WriteAll(context.Background(), key, text, nil); err != nil {
				t.Fatal(err)
			}
		}
		for name, c := range map[string]struct {
			options OutputOptions
			inputs  []string
			want    string
		}{
			"beside":         {OutputOptions{NoClobber: true}, []string{"s3://test/in/"}, "a:a.x b:" + SkipExists + " b.x:named *.x already c/:directory marker c/d:c/d.x out/keep:out/keep.x"},
			"refused":        {OutputOptions{}, []string{"s3://test/in/"}, "a:a.x b:error b.x:named *.x already c/:directory marker c/d:c/d.x out/keep:out/keep.x"},
			"updated":        {OutputOptions{Update: true}, []string{"s3://test/in/"}, "a:a.x b:" + skipNewer + " b.x:named *.x already c/:directory marker c/d:c/d.x out/keep:out/keep.x"},
			"replaced":       {OutputOptions{Force: true}, []string{"s3://test/in"}, "a:a.x b:b.x b.x:named *.x already c/:directory marker c/d:c/d.x out/keep:out/keep.x"},
			"elsewhere":      {OutputOptions{Path: "s3://test/new"}, []string{"s3://test/in/"}, "a:../new/a.x b:../new/b.x b.x:../new/b.x.x c/:directory marker c/d:../new/c/d.x out/keep:../new/out/keep.x"},
			"in it":          {OutputOptions{Path: "s3://test/in/out"}, []string{"s3://test/in/"}, "a:out/a.x b:out/b.x b.x:out/b.x.x c/:directory marker c/d:out/c/d.x out/keep:directory of the results"},
			"in place":       {OutputOptions{InPlace: true}, []string{"s3://test/in/c"}, "c/d:c/d"},
			"two of a name":  {OutputOptions{Path: "s3://test/new/", Force: true}, []string{"s3://test/in/a", "s3://test/other/", "s3://test/one"}, "a:error ../other/a:error ../one:../new/one.x"},
			"twice":          {OutputOptions{}, []string{"s3://test/other/", "s3://test/one", "s3://test/other"}, "../other/a:../other/a.x ../one:../one.x ../other:error"},
			"none":           {OutputOptions{}, []string{"s3://test/one", "s3://test/none"}, "../one:../one.x ../none:error"},
			"nothing in it":  {OutputOptions{}, []string{"s3://test/one", "s3://test/other/", "s3://test/none/"}, "../one:../one.x ../other/a:../other/a.x ../none/:error"},
			"not a folder":   {OutputOptions{Path: "s3://test/new"}, []string{"s3://test/one", "s3://test/in/a", "s3://test/in/b"}, "error"},
			"the folder":     {OutputOptions{Path: "s3://test/other"}, []string{"s3://test/one", "s3://test/in/a", "s3://test/other/"}, "error"},
			"itself":         {OutputOptions{Path: "s3://test/one", Force: true}, []string{"s3://test/one"}, "error"},
			"a listed error": {OutputOptions{}, []string{"s3://test/in/a", "s3://test/in/b", "s3://test/%zz?SECRET"}, "a:a.x b:error ../%zz:error"},
		} {
			o := c.options
			o.Recursive, o.Suffix, o.Name, o.OneToOne = true, ".x", encrypted, true
			if o.Path == "" && !o.InPlace {
				o.OnlyWithout()
			}
			got, err := planObjects(p, &o, c.inputs)
			if err != nil {
				if !strings.Contains(c.want, "error") {
					t.Errorf("%s, look-ahead %d: %v", name, ahead, err)
				}
				continue
			}
			if want := c.want; got != want && !(name == "two of a name" && got == "a:../new/a.x ../other/a:error ../one:../new/one.x") {
				t.Errorf("%s, look-ahead %d:\n%s\nwant\n%s", name, ahead, got, want)
			}
		}
	}
}

// TestPlanUpdateListed compares times of listed objects, which aren't looked at
// otherwise.
func TestPlanUpdateListed(t *testing.T) {
	in := memblob.OpenBucket(nil)
	p := newPlanner()
	p.Buckets.UseTest("s3://test", in)
	for _, key := range []string{"in/older", "in/older.x", "in/newer.x", "in/newer", "in/new"} {
		if err := in.WriteAll(context.Background(), key, []byte(key), nil); err != nil {
			t.Fatal(err)
		}
	}
	names := []string{"s3://test/in/older", "s3://test/in/newer", "s3://test/in/new", "s3://test/in/none"}
	o := OutputOptions{InputOptions: InputOptions{Names: slices.Values(names)}, Update: true, Name: encrypted, OneToOne: true}
	got, err := planObjects(p, &o, nil)
	if want := "older:" + skipNewer + " newer:newer.x new:new.x none:error"; err != nil || got != want {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
}

// planObjects returns the outcome for each object, with its name and its
// result's relative to in/.
func planObjects(p *Planner, o *OutputOptions, inputs []string) (string, error) {
	plan, err := p.Plan(context.Background(), inputs, o)
	if err != nil {
		return "", err
	}
	short := func(name string) string {
		if in, ok := strings.CutPrefix(name, "s3://test/in/"); ok {
			return in
		}
		return strings.ReplaceAll(name, "s3://test/", "../")
	}
	var all []string
	for j := range plan.All() {
		j.Look(context.Background())
		what := cmp.Or(j.Skip, short(j.Output()))
		if j.Err != nil {
			what = "error"
		}
		all = append(all, short(j.Source.Name())+":"+what)
	}
	return strings.Join(all, " "), nil
}
