package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"esdk/cmd/esdk/internal/settings"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestFlagAsValue gives each flag that takes text the next flag as its value.
func TestFlagAsValue(t *testing.T) {
	root := newApp().newRootCommand()
	tried := 0
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, c := range cmd.Commands() {
			walk(c)
		}
		cmd.InitDefaultHelpFlag()
		var names []string
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if slices.Contains([]string{"string", "stringArray"}, f.Value.Type()) {
				names = append(names, f.Name)
			}
		})
		for _, name := range names {
			tried++
			again := find(t, newApp().newRootCommand(), cmd.CommandPath())
			if err := again.ParseFlags([]string{"--" + name, "--quiet"}); err != nil {
				t.Fatal(err)
			}
			if err := settings.CheckValues(again.Flags()); err == nil || !strings.Contains(err.Error(), " --quiet: this looks like a flag") {
				t.Errorf("%s --%s --quiet: got error %v", cmd.CommandPath(), name, err)
			}
		}
	}
	walk(root)
	if tried < 50 {
		t.Errorf("tried %d flags", tried)
	}
}

// TestCommandsAreListed: docs/cli.md begins with a list of all commands.
func TestCommandsAreListed(t *testing.T) {
	page, err := os.ReadFile("../../docs/cli.md")
	list, _, ok := strings.Cut(string(page), "\n## ")
	if err != nil || !ok {
		t.Fatal(err)
	}
	for _, name := range append(commandNames(newApp().newRootCommand()), "help") {
		if !strings.Contains(list, "\n    esdk "+name+" ") && !strings.Contains(list, "\n    esdk "+name+"\n") {
			t.Errorf("docs/cli.md doesn't list esdk %s", name)
		}
	}
}

func find(t *testing.T, root *cobra.Command, path string) *cobra.Command {
	cmd, _, err := root.Find(strings.Fields(path)[1:])
	if err != nil {
		t.Fatal(err)
	}
	return cmd
}
