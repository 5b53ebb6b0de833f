package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"gocloud.dev/secrets"
)

func TestMain(m *testing.M) {
	testscript.Main(cleanup{m}, map[string]func(){"esdk": main, compatName: main})
}

// buildFolder is the directory of the command that the tests have built, or
// empty.
var buildFolder string

type cleanup struct{ *testing.M }

func (c cleanup) Run() int {
	defer func() { os.RemoveAll(buildFolder) }()
	return c.M.Run()
}

func TestScripts(t *testing.T) { testscript.Run(t, scriptParams(t, "testdata/script")) }

func scriptParams(t *testing.T, dir string) testscript.Params {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			home := filepath.Join(env.WorkDir, "home")
			env.Setenv("HOME", home)
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(home, "config"))
			env.Setenv("AppData", filepath.Join(home, "config"))
			env.Setenv("REPOSITORY", root)
			env.Setenv("ESDK_CONFIG", "")
			return os.Mkdir(home, 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"pattern":  cmdPattern,
			"flip":     cmdFlip,
			"truncate": cmdTruncate,
			"mode":     cmdMode,
			"status":   cmdStatus,
			"files":    cmdFiles,
			"many":     cmdMany,
		},
		Condition: func(name string) (bool, error) {
			if name == "full" {
				return secrets.DefaultURLMux().ValidKeeperScheme("hashivault"), nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		RequireExplicitExec: false,
		RequireUniqueNames:  true,
	}
}

// cmdPattern writes a file of N bytes: pattern FILE N.
func cmdPattern(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	file := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(file), 0o755))
	ts.Check(os.WriteFile(file, pattern(n), 0o644))
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*131 + i>>8*7)
	}
	return b
}

// cmdFlip flips a bit of a byte. A negative offset counts from the end: flip
// FILE OFFSET.
func cmdFlip(ts *testscript.TestScript, _ bool, args []string) {
	edit(ts, args, func(b []byte, n int) []byte {
		b[(n+len(b))%len(b)] ^= 1
		return b
	})
}

// cmdTruncate cuts a file to N bytes, or by N if negative: truncate FILE N.
func cmdTruncate(ts *testscript.TestScript, _ bool, args []string) {
	edit(ts, args, func(b []byte, n int) []byte {
		if n < 0 {
			n += len(b)
		}
		return b[:n]
	})
}

func edit(ts *testscript.TestScript, args []string, change func([]byte, int) []byte) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	file := ts.MkAbs(args[0])
	b, err := os.ReadFile(file)
	ts.Check(err)
	ts.Check(os.WriteFile(file, change(b, n), 0o644))
}

// cmdMode checks the permissions of a file: mode FILE 600.
func cmdMode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := fmt.Sprintf("%o", info.Mode().Perm()); got != args[1] {
		ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
	}
}

// cmdStatus runs esdk and checks its exit status: status N ARGUMENT...
func cmdStatus(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec("esdk", args[1:]...)
	got := "0"
	if err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("esdk %s: status %s, want %s", strings.Join(args[1:], " "), got, args[0])
	}
}

// cmdFiles checks all entries of a directory, including hidden ones:
//
//	files DIRECTORY NAME...
func cmdFiles(ts *testscript.TestScript, _ bool, args []string) {
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if want := args[1:]; strings.Join(got, "\n") != strings.Join(want, "\n") {
		ts.Fatalf("%s has %q, want %q", args[0], got, want)
	}
}

// cmdMany makes a directory of N files f00, f01, …. Some of them are so long
// that later files are finished first: many DIRECTORY N.
func cmdMany(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	for i := range n {
		length := 100 + i
		if i%7 == 0 {
			length += 3 << 20
		}
		ts.Check(os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%02d", i)), pattern(length), 0o644))
	}
}

// long marks tests that take long and find no races. "make check" runs the
// tests twice: without the race detector, and, with -short, under the race
// detector, which is ten times as slow.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("it takes long")
	}
}
