package main

import (
	"io"
	"maps"
	"slices"
	"strings"

	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/keyspec"
	"github.com/spf13/cobra"
)

// completeKey completes a -k: named keys of the configuration, kinds of keys,
// and files after an @.
func (a *app) completeKey(_ *cobra.Command, _ []string, text string) ([]string, cobra.ShellCompDirective) {
	if i := strings.IndexByte(text, '@'); i > 0 {
		return cli.CompletePath(text[:i+1], text[i+1:]), cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
	}
	var all []string
	if c, _, err := a.keys.LoadConfig(); err == nil {
		for _, name := range slices.Sorted(maps.Keys(c.Keys)) {
			all = append(all, "@"+name)
		}
	}
	if strings.HasPrefix(text, "@") {
		return startingWith(text, all), cobra.ShellCompDirectiveNoFileComp
	}
	all = startingWith(text, append(keyspec.Prefixes(), all...))
	return all, cobra.ShellCompDirectiveNoSpace // if nothing matches, the shell completes files
}

// completeProfile completes the names of profiles.
func (a *app) completeProfile(_ *cobra.Command, _ []string, text string) ([]string, cobra.ShellCompDirective) {
	c, _, err := a.keys.LoadConfig()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return startingWith(text, slices.Sorted(maps.Keys(c.Profiles))), cobra.ShellCompDirectiveNoFileComp
}

// completeNamedKey completes the names of keys, without an @.
func (a *app) completeNamedKey(_ *cobra.Command, args []string, text string) ([]string, cobra.ShellCompDirective) {
	c, _, err := a.keys.LoadConfig()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return startingWith(text, slices.Sorted(maps.Keys(c.Keys))), cobra.ShellCompDirectiveNoFileComp
}

// completeHelp completes help topics: commands, and pages that aren't commands.
func completeHelp(cmd *cobra.Command, args []string, text string) ([]string, cobra.ShellCompDirective) {
	of, _, err := cmd.Root().Find(args)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var all []string
	for _, c := range of.Commands() {
		if c.IsAvailableCommand() || c.IsAdditionalHelpTopicCommand() {
			all = append(all, cobra.CompletionWithDesc(c.Name(), c.Short))
		}
	}
	return startingWith(text, all), cobra.ShellCompDirectiveNoFileComp
}

func startingWith(text string, all []string) []string {
	return slices.DeleteFunc(all, func(one string) bool { return !strings.HasPrefix(one, text) })
}

// bashPreamble makes bash treat text around an @ as one word. By default bash
// takes @ for the start of a host name and completes that. Without the package
// bash-completion, the preamble also makes the characters = and : part of
// words.
const bashPreamble = `shopt -u hostcomplete
COMP_WORDBREAKS=${COMP_WORDBREAKS//@/}
if ! declare -F _get_comp_words_by_ref >/dev/null; then
    COMP_WORDBREAKS=${COMP_WORDBREAKS//[=:]/}
    _get_comp_words_by_ref() {
        cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
    }
    __ltrim_colon_completions() { :; }
fi
`

// addPreamble prints bashPreamble before the completion script for bash.
func addPreamble(bash *cobra.Command) {
	script := bash.RunE
	bash.RunE = func(cmd *cobra.Command, args []string) error {
		if _, err := io.WriteString(cmd.Root().OutOrStdout(), bashPreamble); err != nil {
			return err
		}
		return script(cmd, args)
	}
}
