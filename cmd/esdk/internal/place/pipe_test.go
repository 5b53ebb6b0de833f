//go:build unix

package place

import (
	"context"
	"os"
	"syscall"
	"testing"

	"esdk/cmd/esdk/internal/cli"
)

func makePipe(t *testing.T, name string) {
	t.Helper()
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A pipe at the place of a result gets nothing, unless -o names the pipe
// itself.
func TestPlantedPipe(t *testing.T) {
	files(t, "a", "dir/f", "out/other")
	makePipe(t, "a.x")
	makePipe(t, "dir/f.x")
	makePipe(t, "out/a.x")
	if err := os.Symlink("../a.x", "out/f.x"); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		options OutputOptions
		input   string
	}{
		"beside":          {OutputOptions{}, "a"},
		"in a folder":     {OutputOptions{Path: "out"}, "a"},
		"behind a link":   {OutputOptions{Path: "out"}, "dir/f"},
		"in a tree":       {OutputOptions{InputOptions: InputOptions{Recursive: true}}, "dir"},
		"below a folder":  {OutputOptions{Path: "out", InputOptions: InputOptions{Recursive: true}}, "dir"},
		"not with a list": {OutputOptions{InputOptions: InputOptions{List: "list"}}, "a"},
	} {
		if err := os.WriteFile("list", []byte("dir/f"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, force := range []bool{false, true} {
			c.options.Force = force
			got, err := plan(t, &c.options, c.input)
			if name == "below a folder" && force {
				// The link itself is replaced.
				if err != nil || got["dir/f"] != "out/f.x" {
					t.Errorf("%s: %q, %v", name, got, err)
				}
				continue
			}
			if err == nil && got["a"] != "error" && got["dir/f"] != "error" || err != nil && cli.ExitStatus(err) != cli.ExitNotWritten {
				t.Errorf("%s, force %t: %q, %v", name, force, got, err)
			}
		}
	}
	plan, err := newPlanner().Plan(context.Background(), []string{"a"}, &OutputOptions{Path: "a.x", Name: encrypted})
	if err != nil || !plan.Ahead()[0].Stream() {
		t.Errorf("named: %v", err)
	}
}
