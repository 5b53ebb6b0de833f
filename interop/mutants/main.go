// Mutants changes the code of packages, an operator at a time, and fails if
// their tests don't notice. The changes are gremlins'. It also measures the
// statement coverage of each package by its own tests.
//
// The changes that survive, and the statements that no test reaches, are listed
// in survivors.txt with a reason each. A package fails if one isn't listed, if
// a listed one no longer survives, or if a figure is below 95 %.
//
// Usage: mutants [flags] [package ...], with packages such as hpke,
// internal/format, or root. Without arguments, it runs all of them.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// defaultPackages are the directories whose tests must reach the figures.
var defaultPackages = []string{
	"internal/ecpoint", "internal/datakey", "internal/kmsarn", "internal/kdf", "internal/keyagreement", "internal/suite", "internal/format",
	"internal/stream", "caching", "hpke", "keyservice", "pkcs11", "awskms", "branchkey", ".",
}

var (
	root = flag.String("root", "..", "the `directory` of the module")
	list = flag.String("list", "mutants/survivors.txt", "the `file` that lists the survivors")
)

func main() {
	if filepath.Base(os.Args[0]) == shimName {
		os.Exit(asGo(os.Args[1:]))
	}
	flag.Parse()
	if err := run(flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(packages []string) error {
	if len(packages) == 0 {
		packages = defaultPackages
	}
	module, err := filepath.Abs(*root)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(*list)
	if err != nil {
		return err
	}
	listed, err := parseList(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", *list, err)
	}
	tester, err := newTester(module)
	if err != nil {
		return err
	}
	defer tester.close()
	return testAll(tester, packages, listed)
}

func testAll(tester *tester, packages []string, listed []entry) error {
	fmt.Println(tableHead)
	var faults []string
	for _, pkg := range packages {
		pkg = directoryOf(pkg)
		result, err := tester.test(pkg)
		if err != nil {
			return fmt.Errorf("%s: %w", pkg, err)
		}
		fmt.Println(result.row())
		faults = slices.Concat(faults, result.faults(listed))
	}
	for _, fault := range faults {
		fmt.Println(fault)
	}
	if len(faults) > 0 {
		return fmt.Errorf("%d faults", len(faults))
	}
	return nil
}

// directoryOf returns the directory of a package, relative to the module.
func directoryOf(pkg string) string {
	if pkg == "root" {
		return "."
	}
	return filepath.ToSlash(filepath.Clean(pkg))
}
