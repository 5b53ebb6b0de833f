package place

import (
	"context"
	"errors"
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

// files makes files with their names as content, and works below them.
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

// plan returns where each input goes, or why it does not.
func plan(t *testing.T, o *OutputOptions, inputs ...string) (map[string]string, error) {
	t.Helper()
	jobs, err := newPlanner().Plan(context.Background(), inputs, o, encrypted)
	all := make(map[string]string)
	for _, j := range jobs {
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

// What is skipped in a tree keeps no other file from being worked on side by side.
func TestSpecial(t *testing.T) {
	files(t, "dir/f")
	if err := os.Symlink("f", filepath.Join("dir", "link")); err != nil {
		t.Skip(err)
	}
	jobs, err := newPlanner().Inputs(context.Background(), []string{"dir", os.DevNull}, &InputOptions{Recursive: true})
	if err != nil || len(jobs) != 3 {
		t.Fatalf("%d jobs, %v", len(jobs), err)
	}
	for i, special := range []bool{false, false, true} {
		if jobs[i].Special() != special {
			t.Errorf("%s: %t", jobs[i].Source.Name(), !special)
		}
	}
}

// A file called "-" is one, and not standard output.
func TestFileCalledAsStandardOutput(t *testing.T) {
	files(t, "-")
	jobs, err := newPlanner().Plan(context.Background(), []string{"./-"}, &OutputOptions{InPlace: true}, encrypted)
	if err != nil || jobs[0].Output() == cli.Standard || jobs[0].Stream() || jobs[0].Source.ID() != jobs[0].Target.ID() {
		t.Errorf("%+v, %v", jobs, err)
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
		"a folder":           {OutputOptions{}, []string{"dir"}, cli.ExitError},
		"contradiction":      {OutputOptions{Force: true, NoClobber: true}, []string{"a"}, cli.ExitUsage},
		"in place and there": {OutputOptions{InPlace: true, Path: "dir"}, []string{"a"}, cli.ExitUsage},
	} {
		_, got := plan(t, &err.options, err.inputs...)
		if cli.ExitStatus(got) != err.code {
			t.Errorf("%s: %v, want exit status %d", name, got, err.code)
		}
	}
}

// Two names of one file have one ID, and what is read and made is the file's.
func TestIDs(t *testing.T) {
	files(t, "dir/f")
	if err := os.Symlink("dir", "link"); err != nil {
		t.Skip(err)
	}
	jobs, err := newPlanner().Inputs(context.Background(), []string{"dir/f", "link/f", "./dir/../dir/f", "dir"}, &InputOptions{Recursive: true})
	if err != nil || len(jobs) != 4 {
		t.Fatalf("%d jobs, %v", len(jobs), err)
	}
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

// A target makes what it was planned to be.
func TestTargets(t *testing.T) {
	files(t, "dir/f", "there")
	p := newPlanner()
	produce := func(o OutputOptions, input string) error {
		t.Helper()
		jobs, err := p.Plan(context.Background(), []string{input}, &o, encrypted)
		if err != nil {
			t.Fatal(err)
		}
		out, err := jobs[0].Target.Create(context.Background(), CreateOptions{Mode: 0o600})
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
	// One that was planned to be new does not replace what has come up.
	jobs, err := p.Plan(context.Background(), []string{"there"}, &OutputOptions{Path: "late"}, encrypted)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("late", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := jobs[0].Target.Create(context.Background(), CreateOptions{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file that came up: %v", err)
	}
}
