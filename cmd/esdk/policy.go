package main

import (
	"strings"

	"esdk"
	"esdk/internal/suite"
	"github.com/spf13/cobra"
)

// policies are the values of --commitment, as aws-encryption-cli has them.
var policies = []struct {
	name   string
	policy esdk.CommitmentPolicy
}{
	{"require-encrypt-require-decrypt", esdk.RequireEncryptRequireDecrypt},
	{"require-encrypt-allow-decrypt", esdk.RequireEncryptAllowDecrypt},
	{"forbid-encrypt-allow-decrypt", esdk.ForbidEncryptAllowDecrypt},
}

func policyNames() []string {
	var names []string
	for _, p := range policies {
		names = append(names, p.name)
	}
	return names
}

func addCommitmentFlag(cmd *cobra.Command, value *string) {
	cmd.Flags().StringVar(value, "commitment", policies[0].name, "commitment `POLICY`: "+strings.Join(policyNames(), ", "))
	cmd.RegisterFlagCompletionFunc("commitment", cobra.FixedCompletions(policyNames(), cobra.ShellCompDirectiveNoFileComp))
}

func parsePolicy(name string) (esdk.CommitmentPolicy, error) {
	for _, p := range policies {
		if strings.EqualFold(name, p.name) {
			return p.policy, nil
		}
	}
	return 0, usageError("--commitment %s: want one of %s", printable(name), strings.Join(policyNames(), ", "))
}

func suiteNames(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, s := range suite.All {
		names = append(names, s.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// parseSuite reads --suite and --unsigned.
func parseSuite(name string, unsigned bool, policy esdk.CommitmentPolicy) (esdk.SuiteID, error) {
	switch {
	case unsigned && name != "":
		return 0, usageError("--unsigned chooses a suite, and so does --suite")
	case unsigned && policy == esdk.ForbidEncryptAllowDecrypt:
		return esdk.AES256GCMHKDFSHA256, nil
	case unsigned:
		return esdk.AES256GCMHKDFSHA512Commit, nil
	case name == "":
		return 0, nil
	}
	s := suite.Parse(name)
	if s == nil {
		return 0, usageError("--suite %s: not known", printable(name)).withHint("\"esdk help suites\" lists them")
	}
	return esdk.SuiteID(s.ID), nil
}
