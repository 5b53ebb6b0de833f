package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"esdk"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/settings"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// checkEmpty rejects empty arguments, as a script passes if its variable is not
// set.
func checkEmpty(cmd *cobra.Command, args []string) error {
	if command := cmd.Flags().Lookup("command"); command != nil && command.Changed && cmd.ArgsLenAtDash() >= 0 {
		args = args[:cmd.ArgsLenAtDash()] // the rest are the program's
	}
	if slices.Contains(args, "") && !cmd.DisableFlagParsing {
		return cli.UsageError("an argument is empty")
	}
	return settings.CheckEmpty(cmd.Flags())
}

// commandFlags are flags of other programs for what is a command here.
var commandFlags = map[string]string{"d": "decrypt", "e": "encrypt", "v": "version", "V": "version"}

// flagError reports an unknown command before it reports errors of its flags.
func flagError(cmd *cobra.Command, err error) error {
	if cmd.HasSubCommands() && cmd.Flags().NArg() > 0 {
		return onlyCommands(cmd, cmd.Flags().Args())
	}
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && !cmd.HasParent() {
		if name := cmp.Or(commandFlags[unknown.GetSpecifiedName()], unknown.GetSpecifiedName()); slices.Contains(commandNames(cmd), name) {
			return fmt.Errorf("%w; did you mean \"esdk %s\"?", err, name)
		}
	}
	return settings.FlagError(cmd.Flags(), err)
}

func commandNames(cmd *cobra.Command) (names []string) {
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return names
}

// onlyCommands is for commands that only have sub-commands.
func onlyCommands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	meant := settings.Meant(args[0], commandNames(cmd))
	if paths := commandsBelow(cmd, nil, args); len(paths) > 0 {
		meant = fmt.Sprintf("; did you mean %s?", strings.Join(paths, " or "))
	}
	return fmt.Errorf("unknown command %q for %q%s", args[0], cmd.CommandPath(), meant)
}

// commandsBelow returns the commands below cmd that arguments may be meant for:
// "keystore key list" for "list", and "keys test" for "key test". The words
// lead to cmd.
func commandsBelow(cmd *cobra.Command, words, args []string) (paths []string) {
	for _, c := range cmd.Commands() {
		switch {
		case !c.IsAvailableCommand():
		case c.HasAvailableSubCommands():
			paths = append(paths, commandsBelow(c, append(words, c.Name()), args)...)
		case len(words) == 0:
		case c.Name() == args[0], len(args) > 1 && c.Name() == args[1] && isLike(args[0], words[len(words)-1]):
			paths = append(paths, fmt.Sprintf("%q", c.CommandPath()))
		}
	}
	return paths
}

func isLike(wrong, word string) bool {
	return wrong == word || cli.Closest(wrong, []string{word}) != ""
}

// noArguments is for commands that have flags only.
func noArguments(cmd *cobra.Command, args []string) error {
	if asks := cmd.Flags().Lookup(settings.Passphrase); len(args) > 0 && asks != nil && asks.Changed {
		return settings.NoPassphrase()
	}
	if len(args) > 0 {
		return fmt.Errorf("%q takes no arguments, but got %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// oneArgument is for commands with exactly one argument, named as in the usage.
func oneArgument(name string) cobra.PositionalArgs {
	return cobra.MatchAll(someArguments(name), optionalArgument(name))
}

// optionalArgument is for commands with at most one argument.
func optionalArgument(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return fmt.Errorf("%q takes one %s, but also got %q", cmd.CommandPath(), name, args[1])
		}
		return nil
	}
}

// someArguments is for commands with at least one argument.
func someArguments(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("no %s given: use \"%s %s\"", name, cmd.CommandPath(), name)
		}
		return nil
	}
}

func addCommitmentFlag(cmd *cobra.Command, value *string) {
	settings.AddCommitment(cmd.Flags(), value)
	completeCommitment(cmd)
}

func completeCommitment(cmd *cobra.Command) {
	cmd.RegisterFlagCompletionFunc("commitment", cobra.FixedCompletions(settings.PolicyNames(), cobra.ShellCompDirectiveNoFileComp))
}

func suiteNames(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, id := range esdk.Suites() {
		names = append(names, id.String())
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
