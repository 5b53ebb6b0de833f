package awscli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// source returns a Source of files and variables in memory.
func source(files map[string]string) Source {
	env := map[string]string{"KEY": "arn:k", "EMPTY": ""}
	return Source{
		ReadFile: func(name string) ([]byte, error) {
			if text, ok := files[name]; ok {
				return []byte(text), nil
			}
			return nil, fs.ErrNotExist
		},
		LookupEnv: func(name string) (string, bool) { value, ok := env[name]; return value, ok },
		Home: func(user string) (string, bool) {
			home, ok := map[string]string{"": "/home/me", "root": "/root"}[user]
			return home, ok
		},
		Escape: '\\',
	}
}

func p[T any](v T) *T { return &v }

func TestParse(t *testing.T) {
	files := map[string]string{
		"keys":   "-w key=$KEY # the key\n",
		"all":    "--encrypt\n@keys\n\n# nothing\n-S -i 'a b' -o ~/\"x\"",
		"parts":  "-w",
		"values": "key=a key=b",
	}
	base := Args{Action: Encrypt, Input: "i", Output: "o", SuppressMetadata: true, CommitmentPolicy: Policies[0],
		WrappingKeys: []WrappingKeys{{Provider: KMS, Keys: []string{"k"}, Attributes: map[string][]string{}}}}
	with := func(change func(*Args)) *Args {
		a := base
		change(&a)
		return &a
	}
	const short = "-e\x00-i\x00i\x00-o\x00o\x00-S\x00-w\x00key=k"
	for _, test := range []struct {
		args string // separated by zero bytes, after short if they start with one
		want *Args
	}{
		{short, &base},
		{"--encrypt\x00--input\x00i\x00--output=o\x00--suppress-metadata\x00--wrapping-keys\x00key=k", &base},
		{"-eSii\x00-oo\x00-wkey=k", &base},
		{"-i=i\x00-o=o\x00-e\x00-S\x00-w=key=k", &base},
		{"\x00-bqvv\x00-v", with(func(a *Args) { a.Buffer, a.Quiet, a.Verbosity = true, true, 3 })},
		{"\x00--suffix", with(func(a *Args) { a.Suffix = p("") })},
		{"\x00--suffix=\x00-r", with(func(a *Args) { a.Suffix, a.Recursive = p(""), true })},
		{"\x00--suffix\x00.x\x00-R", with(func(a *Args) { a.Suffix, a.Recursive = p(".x"), true })},
		{"\x00-c\x00a=1\x00-x c=2\x00d=x=y\x00e=", with(func(a *Args) { a.Context = []string{"a=1", "-x c=2", "d=x=y", "e="} })},
		{"\x00--frame-length\x00-5\x00--max-length=7\x00--max-encrypted-data-keys\x00 3 ", with(func(a *Args) {
			a.FrameLength, a.MaxLength, a.MaxEncryptedDataKeys = p(int64(-5)), p(int64(7)), p(int64(3))
		})},
		{"\x00--caching\x00capacity=3\x00max_age=80.5\x00max_bytes_encrypted=9", with(func(a *Args) {
			a.Caching = &Caching{Capacity: 3, MaxAge: 80500 * time.Millisecond, MaxBytes: p(int64(9))}
		})},
		{"\x00--commitment-policy\x00forbid-encrypt-allow-decrypt\x00--algorithm\x00AES_128_GCM_IV12_TAG16", with(func(a *Args) {
			a.CommitmentPolicy, a.Algorithm = "forbid-encrypt-allow-decrypt", "AES_128_GCM_IV12_TAG16"
		})},
		{"\x00-w\x00provider=raw-aes\x00key=n\x00namespace=s\x00file=f", with(func(a *Args) {
			a.WrappingKeys = append(slices.Clone(a.WrappingKeys), WrappingKeys{Provider: "raw-aes", Keys: []string{"n"},
				Attributes: map[string][]string{"namespace": {"s"}, "file": {"f"}}})
		})},
		{"-d\x00-i\x00-\x00-o\x00-\x00-S\x00-w\x00discovery=Yes\x00discovery-account=1\x00discovery-account=2\x00discovery-partition=aws\x00region=r\x00profile=p\x00-c\x00k",
			&Args{Action: Decrypt, Input: "-", Output: "-", SuppressMetadata: true, CommitmentPolicy: Policies[0], Context: []string{"k"},
				WrappingKeys: []WrappingKeys{{Provider: KMS, Region: "r", Profile: "p", Discovery: &Discovery{"aws", []string{"1", "2"}},
					Attributes: map[string][]string{}}}}},
		{"@all", &Args{Action: Encrypt, Input: "a b", Output: "/home/me/x", SuppressMetadata: true, CommitmentPolicy: Policies[0],
			WrappingKeys: []WrappingKeys{{Provider: KMS, Keys: []string{"arn:k"}, Attributes: map[string][]string{}}}}},
		{"-e\x00-ii\x00-oo\x00-S\x00@parts\x00@values\x00key=c", with(func(a *Args) {
			a.WrappingKeys = []WrappingKeys{{Provider: KMS, Keys: []string{"a", "b", "c"}, Attributes: map[string][]string{}}}
		})},
		{"--version\x00--nonsense", &Args{Version: true}},
		{"-eh", &Args{Help: true}},
	} {
		args := test.args
		if args[0] == 0 {
			args = short + args
		}
		got, err := source(files).Parse(strings.Split(args, "\x00"))
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q:\ngot  %+v, %v\nwant %+v", args, got, err, test.want)
		}
	}
}

func TestParseMistakes(t *testing.T) {
	files := map[string]string{"loop": "@loop", "two": "@two @two", "open": "'x", "escape": `x\`, "bytes": "\xff", "deep": strings.Repeat("a ", maxArguments+1)}
	const encrypt, decrypt = "-e\x00-i\x00i\x00-o\x00o\x00-S\x00-w\x00key=k", "-d\x00-i\x00i\x00-o\x00o\x00-S\x00"
	for _, test := range []struct{ args, want string }{
		{"-e", "missing: one of --suppress-metadata and --metadata-output; --wrapping-keys; --input; --output"},
		{encrypt + "\x00-d", "-d: contradicts --encrypt"},
		{encrypt + "\x00-encrypt", `did you mean "--encrypt"`},
		{encrypt + "\x00-wrapping-keys=key=k", `did you mean "--wrapping-keys=key=k"`},
		{encrypt + "\x00--overwrite", "not abbreviated; did you mean --overwrite-metadata?"},
		{encrypt + "\x00--nonsense", `unknown option "--nonsense"`},
		{encrypt + "\x00--required-encryption-context-keys\x00k", "unknown option"},
		{encrypt + "\x00-bx", `unknown option "-x" in "-bx"`},
		{encrypt + "\x00--", `unexpected argument "--"`},
		{"more", `unexpected argument "more"`},
		{encrypt + "\x00--encode=1", "takes no value"},
		{encrypt + "\x00-b=1", "takes no value"},
		{encrypt + "\x00-i\x00j", "-i twice"},
		{encrypt + "\x00--suffix\x00a\x00--suffix\x00b", "--suffix twice"},
		{encrypt + "\x00-c", "-c needs a value"},
		{encrypt + "\x00-c\x00-x=1", "-c needs a value"},
		{encrypt + "\x00-c\x00a=1\x00a=2", `key "a" twice`},
		{encrypt + "\x00-c\x00a", "not KEY=VALUE"},
		{encrypt + "\x00-c\x00=a", "a key is empty"},
		{encrypt + "\x00--metadata-output\x00f", "contradicts"},
		{encrypt + "\x00--metadata-output=", "the name is empty"},
		{encrypt + "\x00--frame-length\x00x", "not a whole number"},
		{encrypt + "\x00--algorithm\x00aes_128_gcm_iv12_tag16", "is not one of AES_128"},
		{encrypt + "\x00--caching\x00capacity=1", "capacity and max_age are needed"},
		{encrypt + "\x00--caching\x00capacity=0\x00max_age=1", "capacity=0 is out of range"},
		{encrypt + "\x00--caching\x00capacity=1\x00max_age=NaN", "max_age=NaN is out of range"},
		{encrypt + "\x00--caching\x00capacity=1\x00max_age=1\x00age=1", "there is no age"},
		{encrypt + "\x00-w\x00region=r", "no key="},
		{encrypt + "\x00-w\x00key=", "not KEY=VALUE"},
		{encrypt + "\x00-w\x00key=k\x00region=r\x00region=s", "more than one region"},
		{encrypt + "\x00-w\x00key=k\x00provider=a\x00provider=b", "more than one provider"},
		{encrypt + "\x00-w\x00discovery=true", "discovery is for decryption only"},
		{encrypt + "\x00-w\x00provider=x\x00a=b", "no key="},
		{encrypt + "\x00-w\x00provider=x\x00discovery=true", "for keys of AWS KMS only"},
		{decrypt + "-w\x00discovery=false", "neither key= nor discovery=true"},
		{decrypt + "-w\x00discovery=maybe", "neither true nor false"},
		{decrypt + "-w\x00discovery=true\x00key=k", "contradict each other"},
		{decrypt + "-w\x00discovery=true\x00discovery-account=1", "need each other"},
		{decrypt + "-w\x00key=k\x00discovery-account=1\x00discovery-partition=aws", "need discovery=true"},
		{"@none", "@none: file does not exist"},
		{"@loop", "too deep"},
		{"@two", "too deep"},
		{"@deep", "more than 100000 arguments"},
		{"@open", "does not end"},
		{"@escape", "does not end"},
		{"@bytes", "not UTF-8"},
	} {
		got, err := source(files).Parse(strings.Split(test.args, "\x00"))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q:\ngot  %+v, %v\nwant %s", test.args, got, err, test.want)
		}
	}
}

// TestSplitLine compares splitLine with Python's shlex, set up as in the
// program.
func TestSplitLine(t *testing.T) {
	for _, test := range []struct {
		line string
		want []string
	}{
		{"a  b\tc", []string{"a", "b", "c"}},
		{`'a b'"c d"e`, []string{"a bc de"}},
		{`'' ""`, []string{"", ""}},
		{`a\ b \# \'`, []string{"a b", "#", "'"}},
		{`"a\"b" 'a\'b' "a\b" "\\"`, []string{`a"b`, `a'b`, `a\b`, `\`}},
		{`a#b c`, []string{"a"}},
		{`'a#b' # c`, []string{"a#b"}},
		{`key=$KEY '${KEY}' $NONE $EMPTY ${KEY`, []string{"key=arn:k", "arn:k", "$NONE", "", "${KEY"}},
		{`~ ~/x ~root/x ~nobody/x a~ "~/y"`, []string{"/home/me", "/home/me/x", "/root/x", "~nobody/x", "a~", "/home/me/y"}},
		{`' a '`, []string{"a"}},
		{"", nil},
		{"# all", nil},
	} {
		got, err := source(nil).splitLine(test.line)
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, %v, want %q", test.line, got, err, test.want)
		}
	}
	windows := source(nil)
	windows.Escape = '`'
	if got, err := windows.splitLine("C:\\a` b"); err != nil || !slices.Equal(got, []string{`C:\a b`}) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestGlob(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"a1.txt", "a2.txt", ".a3.txt", "b[x].txt", "d/a4.txt", "d/e/a5.txt", "-.txt", "ä.txt"} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for pattern, want := range map[string]string{
		"a1.txt": "a1.txt", "none": "", "a*": "a1.txt a2.txt", "a[12].txt": "a1.txt a2.txt", "a[!1].txt": "a2.txt", "a[^1].txt": "a1.txt",
		"a?.txt": "a1.txt a2.txt", ".a*": ".a3.txt", "b[x].txt": "", "b[[]x].txt": "b[x].txt", "*/a*": "d/a4.txt", "**/a*": "d/a4.txt",
		"d/*/*": "d/e/a5.txt", "*/e/a5.txt": "d/e/a5.txt", "*/none": "", "[a": "", "[]a]1.txt": "a1.txt", "[b-a]*": "", "?.txt": "-.txt ä.txt",
		"*[": "", "d/": "d/", "*/": "d/", "": "", "[": "", "a1.txt/*": "",
	} {
		got, err := Glob(pattern)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: got %q, %v, want %s", pattern, got, err, want)
		}
	}
}

// FuzzParse checks that Parse returns either a complete struct or an error, for
// any command line and file.
func FuzzParse(f *testing.F) {
	f.Add("-e\x00-i\x00i\x00-o\x00o\x00-S\x00-w\x00key=k\x00-c\x00a=b", "")
	f.Add("@f", "-d -i - -o - --metadata-output m -w discovery=true # x\n--suffix\n--caching capacity=1 max_age=2.5")
	f.Add("@f\x00@f", "@f @g 'a\\'b' \"c\" ~/x ${KEY} $KEY")
	f.Add("-eSvvwkey=k\x00--suffix=\x00-ix\x00-o=y\x00--frame-length\x00-5", "\\")
	f.Add("--encrypt\x00--\x00-\x00\x00-i", "\u2028'\u0085#")
	f.Fuzz(func(t *testing.T, line, file string) {
		got, err := source(map[string]string{"f": file, "g": "-S"}).Parse(strings.Split(line, "\x00"))
		if (got == nil) == (err == nil) {
			t.Fatalf("%+v, %v", got, err)
		}
		if err != nil || got.Help || got.Version {
			return
		}
		if !slices.Contains([]string{Encrypt, Decrypt, DecryptUnsigned}, got.Action) || !slices.Contains(Policies, got.CommitmentPolicy) ||
			len(got.WrappingKeys) == 0 || got.SuppressMetadata == (got.MetadataOutput != "") {
			t.Errorf("not whole: %+v", got)
		}
		for _, w := range got.WrappingKeys {
			if (len(w.Keys) == 0) == (w.Discovery == nil) || w.Provider == "" {
				t.Errorf("neither keys nor discovery: %+v", w)
			}
		}
		for i, c := range got.Context {
			if beforeEqual(c) == "" || slices.ContainsFunc(got.Context[:i], func(o string) bool { return beforeEqual(o) == beforeEqual(c) }) {
				t.Errorf("context %q", got.Context)
			}
		}
		if c := got.Caching; c != nil && (c.Capacity < 1 || c.MaxAge < 0) {
			t.Errorf("%+v", c)
		}
	})
}

// FuzzGlob checks that no pattern causes an error, and that all matches exist.
func FuzzGlob(f *testing.F) {
	dir := f.TempDir() + "/"
	for _, name := range []string{"a", "b[", ".c"} {
		if err := os.WriteFile(dir+name, nil, 0o644); err != nil {
			f.Fatal(err)
		}
	}
	for _, seed := range []string{"*", "[!a]", "[]-a]", "?[[]", "**", "[\\d]", "a[", "./*", "[[:alpha:]]", "[a&&b]", "\xff*"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		if strings.Contains(pattern, "..") {
			t.Skip() // it depends on the files of this machine
		}
		names, err := Glob(dir + pattern)
		if errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		for _, name := range names {
			if _, err := os.Lstat(name); err != nil {
				t.Errorf("%q matches %q: %v", pattern, name, err)
			}
		}
	})
}
