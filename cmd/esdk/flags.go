package main

import (
	"fmt"
	"slices"

	"esdk"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/settings"
	"github.com/spf13/cobra"
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

// flagError reports an unknown command before it reports errors of its flags.
func flagError(cmd *cobra.Command, err error) error {
	if cmd.HasSubCommands() && cmd.Flags().NArg() > 0 {
		return onlyCommands(cmd, cmd.Flags().Args())
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
	if len(args) > 0 {
		return fmt.Errorf("unknown command %q for %q%s", args[0], cmd.CommandPath(), settings.Meant(args[0], commandNames(cmd)))
	}
	return nil
}

// noArguments is for commands that have flags only.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%q takes no argument, and has %q", cmd.CommandPath(), args[0])
	}
	return nil
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
