package place

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/object"
)

func newPlanner() *Planner {
	return &Planner{UI: cli.NewUI(), Buckets: object.NewBuckets(), Pending: atomicfile.NewPending(), Protected: new(atomicfile.Protected)}
}

// files makes files with their names as content, and changes the working
// directory to theirs.
func files(t *testing.T, names ...string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, name := range names {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func encrypted(name string) string { return name + ".x" }

// plan returns the output of each input, or why it has none.
func plan(t *testing.T, o *OutputOptions, inputs ...string) (map[string]string, error) {
	t.Helper()
	o.Name, o.OneToOne = encrypted, true
	plan, err := newPlanner().Plan(context.Background(), inputs, o)
	all := make(map[string]string)
	if err != nil {
		return all, err
	}
	for j := range plan.All() {
		switch {
		case j.Err != nil:
			all[j.Source.Name()] = "error"
		case j.Skip != "":
			all[j.Source.Name()] = j.Skip
		default:
			all[j.Source.Name()] = j.Output()
		}
	}
	return all, err
}

func TestPlan(t *testing.T) {
	files(t, "a", "b", "b.x", "dir/c", "dir/sub/d", "out/keep")
	for name, c := range map[string]struct {
		options OutputOptions
		inputs  []string
		want    map[string]string
	}{
		"beside":         {OutputOptions{}, []string{"a"}, map[string]string{"a": "a.x"}},
		"missing":        {OutputOptions{}, []string{"a", "none"}, map[string]string{"a": "a.x", "none": "error"}},
		"exists":         {OutputOptions{NoClobber: true}, []string{"a", "b"}, map[string]string{"a": "a.x", "b": SkipExists}},
		"force":          {OutputOptions{Force: true}, []string{"b"}, map[string]string{"b": "b.x"}},
		"into a folder":  {OutputOptions{Path: "out"}, []string{"a", "dir/c"}, map[string]string{"a": "out/a.x", "dir/c": "out/c.x"}},
		"to a name":      {OutputOptions{Path: "new"}, []string{"a"}, map[string]string{"a": "new"}},
		"to a stream":    {OutputOptions{Path: "-"}, []string{"a"}, map[string]string{"a": "-"}},
		"to a device":    {OutputOptions{Path: os.DevNull}, []string{"a"}, map[string]string{"a": os.DevNull}},
		"in place":       {OutputOptions{InPlace: true}, []string{"a", "b"}, map[string]string{"a": "a", "b": "b"}},
		"tree":           {OutputOptions{Path: "built", InputOptions: InputOptions{Recursive: true}}, []string{"dir"}, map[string]string{"dir/c": "built/c.x", "dir/sub/d": "built/sub/d.x"}},
		"tree beside":    {OutputOptions{InputOptions: InputOptions{Recursive: true}}, []string{"dir"}, map[string]string{"dir/c": "dir/c.x", "dir/sub/d": "dir/sub/d.x"}},
		"tree in place":  {OutputOptions{InPlace: true, InputOptions: InputOptions{Recursive: true}}, []string{"dir"}, map[string]string{"dir/c": "dir/c", "dir/sub/d": "dir/sub/d"}},
		"tree and file":  {OutputOptions{Path: "built", InputOptions: InputOptions{Recursive: true}}, []string{"dir/sub", "a"}, map[string]string{"dir/sub/d": "built/d.x", "a": "built/a.x"}},
		"filtered":       {OutputOptions{InputOptions: InputOptions{Recursive: true, Filter: func(string) string { return "why" }}}, []string{"dir/sub"}, map[string]string{"dir/sub/d": "why"}},
		"results inside": {OutputOptions{Path: "dir/sub", InputOptions: InputOptions{Recursive: true}}, []string{"dir"}, map[string]string{"dir/c": "dir/sub/c.x", "dir/sub": skipResults}},
	} {
		got, err := plan(t, &c.options, c.inputs...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for input, want := range c.want {
			if want != "error" && want != "-" {
				want = filepath.FromSlash(want)
			}
			if got[filepath.FromSlash(input)] != want {
				t.Errorf("%s: %s goes to %q, want %q", name, input, got[filepath.FromSlash(input)], want)
			}
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// An entry that is skipped in a tree doesn't keep other files from being
// handled concurrently.
func TestSpecial(t *testing.T) {
	files(t, "dir/f")
	if err := os.Symlink("f", filepath.Join("dir", "link")); err != nil {
		t.Skip(err)
	}
	plan, err := newPlanner().Inputs(context.Background(), []string{"dir", os.DevNull}, &InputOptions{Recursive: true})
	if err != nil || len(plan.Ahead()) != 3 {
		t.Fatalf("%v", err)
	}
	jobs := plan.Ahead()
	for i, special := range []bool{false, false, true} {
		if jobs[i].Special() != special {
			t.Errorf("%s: %t", jobs[i].Source.Name(), !special)
		}
	}
}

// A file called "-" is a file, not standard output.
func TestFileCalledAsStandardOutput(t *testing.T) {
	files(t, "-")
	plan, err := newPlanner().Plan(context.Background(), []string{"./-"}, &OutputOptions{InPlace: true})
	if err != nil {
		t.Fatal(err)
	}
	if jobs := plan.Ahead(); jobs[0].Output() == cli.Standard || jobs[0].Stream() || jobs[0].Source.ID() != jobs[0].Target.ID() {
		t.Errorf("%+v", jobs)
	}
}

func TestPlanRefuses(t *testing.T) {
	files(t, "a", "a.x", "b", "dir/c", "other/c", "key", "deep/n", "deep2/n/m")
	for name, err := range map[string]struct {
		options OutputOptions
		inputs  []string
		code    int
	}{
		"exists":             {OutputOptions{}, []string{"a"}, cli.ExitNotWritten},
		"two to one":         {OutputOptions{Path: "dir"}, []string{"dir/c", "other/c"}, cli.ExitNotWritten},
		"two to a file":      {OutputOptions{Path: "new"}, []string{"a", "b"}, cli.ExitUsage},
		"itself":             {OutputOptions{Path: "a", Force: true}, []string{"a"}, cli.ExitNotWritten},
		"another's input":    {OutputOptions{Force: true}, []string{"a", "a.x"}, cli.ExitNotWritten},
		"no folder":          {OutputOptions{Path: filepath.Join("none", "f")}, []string{"a"}, cli.ExitOK}, // found when it is made
		"folder twice":       {OutputOptions{InputOptions: InputOptions{Recursive: true}}, []string{"dir", "other", "dir"}, cli.ExitUsage},
		"folder in another":  {OutputOptions{InPlace: true, InputOptions: InputOptions{Recursive: true}}, []string{"deep2/n", "deep2"}, cli.ExitUsage},
		"another in it":      {OutputOptions{InputOptions: InputOptions{Recursive: true}}, []string{"deep2", "deep", "deep2/n"}, cli.ExitUsage},
		"contradiction":      {OutputOptions{Force: true, NoClobber: true}, []string{"a"}, cli.ExitUsage},
		"in place and there": {OutputOptions{InPlace: true, Path: "dir"}, []string{"a"}, cli.ExitUsage},
	} {
		_, got := plan(t, &err.options, err.inputs...)
		if cli.ExitStatus(got) != err.code {
			t.Errorf("%s: %v, want exit status %d", name, got, err.code)
		}
	}
}

// Two names of one file have one ID, and reading and writing go to that file.
func TestIDs(t *testing.T) {
	files(t, "dir/f")
	if err := os.Symlink("dir", "link"); err != nil {
		t.Skip(err)
	}
	plan, err := newPlanner().Inputs(context.Background(), []string{"dir/f", "link/f", "./dir/../dir/f", "dir"}, &InputOptions{Recursive: true})
	if err != nil || len(plan.Ahead()) != 4 {
		t.Fatalf("%v", err)
	}
	jobs := plan.Ahead()
	for _, j := range jobs {
		if j.Source.ID() != jobs[0].Source.ID() || j.Special() || j.Size() != 5 || j.Remote() || j.Target != nil {
			t.Errorf("%s: %s, size %d", j.Source.Name(), j.Source.ID(), j.Size())
		}
		in, err := j.Source.Open(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(in); err != nil || string(got) != "dir/f" {
			t.Errorf("%s: %q, %v", j.Source.Name(), got, err)
		}
		in.Close()
	}
}

// A target creates the planned result.
func TestTargets(t *testing.T) {
	files(t, "dir/f", "there")
	p := newPlanner()
	produce := func(o OutputOptions, input string) error {
		t.Helper()
		o.Name = encrypted
		plan, err := p.Plan(context.Background(), []string{input}, &o)
		if err != nil {
			t.Fatal(err)
		}
		out, err := plan.Ahead()[0].Target.Create(context.Background(), CreateOptions{Mode: 0o600})
		if err != nil {
			return err
		}
		defer out.Abort()
		if _, err := io.WriteString(out, "made"); err != nil {
			return err
		}
		return out.Commit()
	}
	for name, err := range map[string]error{
		"there.x": produce(OutputOptions{}, "there"),
		"new":     produce(OutputOptions{Path: "new"}, "there"),
		"t/f.x":   produce(OutputOptions{Path: "t", InputOptions: InputOptions{Recursive: true}}, "dir"),
		"there":   produce(OutputOptions{InPlace: true}, "there"),
	} {
		if got, readErr := os.ReadFile(name); err != nil || readErr != nil || string(got) != "made" {
			t.Errorf("%s: %q, %v, %v", name, got, err, readErr)
		}
	}
	// Anything that has appeared, or has become another file, since planning
	// isn't replaced. In place, the input is the planned file.
	for name, c := range map[string]struct {
		options OutputOptions
		spoiled string
	}{
		"new":             {OutputOptions{Path: "late"}, "late"},
		"new, with force": {OutputOptions{Path: "late", Force: true}, "late"},
		"replaced":        {OutputOptions{Path: "there.x", Force: true}, "there.x"},
		"in place":        {OutputOptions{InPlace: true}, "there"},
		"in a tree":       {OutputOptions{Path: "t", Force: true, InputOptions: InputOptions{Recursive: true}}, "t/f.x"},
		"in a tree, new":  {OutputOptions{Path: "t2", InputOptions: InputOptions{Recursive: true}}, "t2/f.x"},
		"tree in place":   {OutputOptions{InPlace: true, InputOptions: InputOptions{Recursive: true}}, "dir/f"},
		"pipe":            {OutputOptions{Path: "pipe"}, "pipe"},
	} {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/late=%t", name, late), func(t *testing.T) { testSpoiled(t, c.options, c.spoiled, late) })
		}
	}
}

// testSpoiled gives a name to another file after planning, or after the result
// was begun.
func testSpoiled(t *testing.T, o OutputOptions, name string, late bool) {
	files(t, "dir/f", "there", "there.x", "t/f.x", "other")
	if name == "pipe" {
		if late {
			t.Skip("it is open by then")
		}
		makePipe(t, name)
	}
	input := "there"
	if o.Recursive {
		input = "dir"
	}
	o.Name = encrypted
	plan, err := newPlanner().Plan(context.Background(), []string{input}, &o)
	if err != nil {
		t.Fatal(err)
	}
	spoil := func() {
		os.MkdirAll(filepath.Dir(name), 0o700)
		if err := os.Rename("other", name); err != nil {
			t.Fatal(err)
		}
	}
	if !late {
		spoil()
	}
	err = make1(&plan.Ahead()[0], func() {
		if late {
			spoil()
		}
	})
	if err == nil {
		t.Error("no error")
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != "other" {
		t.Errorf("there is %q, %v", got, err)
	}
}

// make1 creates the result of a job.
func make1(j *Job, meanwhile func()) error {
	if j.Err != nil {
		return j.Err
	}
	in, err := j.Source.Open(context.Background())
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := j.Target.Create(context.Background(), CreateOptions{Mode: 0o600})
	if err != nil {
		return err
	}
	defer out.Abort()
	if _, err := io.WriteString(out, "made"); err != nil {
		return err
	}
	meanwhile()
	return out.Commit()
}

// TestResultsMadeMeanwhile: another command may have made the directory for
// results since this one looked. Anything else with that name is refused.
func TestResultsMadeMeanwhile(t *testing.T) {
	dir := t.TempDir()
	open := func(path string) (*tree, error) {
		o := &outputs{Planner: new(Planner), OutputOptions: &OutputOptions{Path: path}} // has found nothing at the path
		return o.openResults()
	}
	to, err := open(dir)
	if err != nil || to.root == nil {
		t.Fatalf("%v, %v", to, err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if _, err := open(link); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a link: %v", err)
	}
}
