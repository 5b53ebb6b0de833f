package settings

import (
	"strings"

	"esdk"
	"esdk/cmd/esdk/internal/cli"
	"github.com/spf13/pflag"
)

// PolicyNames are the values of --commitment. aws-encryption-cli uses the same
// names.
func PolicyNames() []string {
	var names []string
	for _, p := range []esdk.CommitmentPolicy{esdk.RequireEncryptRequireDecrypt, esdk.RequireEncryptAllowDecrypt, esdk.ForbidEncryptAllowDecrypt} {
		names = append(names, strings.ReplaceAll(strings.ToLower(p.String()), "_", "-"))
	}
	return names
}

// AddCommitment adds --commitment.
func AddCommitment(flags *pflag.FlagSet, value *string) {
	flags.StringVar(value, "commitment", PolicyNames()[0], "commitment `POLICY`: "+strings.Join(PolicyNames(), ", "))
}

func (n *Names) parsePolicy(name string) (p esdk.CommitmentPolicy, err error) {
	if p.UnmarshalText([]byte(name)) != nil {
		err = cli.UsageError("%s %s: must be one of %s", n.commitment, cli.Printable(name), strings.Join(PolicyNames(), ", "))
	}
	return p, err
}

// ParseSuite parses a name or an ID of a suite.
func (n *Names) ParseSuite(name string) (esdk.SuiteID, error) { return n.parseSuite(name, false, 0) }

// parseSuite parses --suite and --unsigned.
func (n *Names) parseSuite(name string, unsigned bool, policy esdk.CommitmentPolicy) (esdk.SuiteID, error) {
	switch {
	case unsigned && name != "":
		return 0, cli.UsageError("--unsigned and %s cannot be used together", n.suite)
	case unsigned && policy == esdk.ForbidEncryptAllowDecrypt:
		return esdk.AES256GCMHKDFSHA256, nil
	case unsigned:
		return esdk.AES256GCMHKDFSHA512Commit, nil
	case name == "":
		return 0, nil
	}
	var id esdk.SuiteID
	if id.UnmarshalText([]byte(name)) != nil {
		return 0, cli.UsageError("%s %s: unknown suite", n.suite, cli.Printable(name)).WithHint("\"esdk help suites\" lists them")
	}
	return id, nil
}
