package bulk

import (
	"io"
	"os"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/keyspec"
	"esdk/cmd/esdk/internal/settings"
	"github.com/spf13/pflag"
)

// A session holds the settings from flags, and open keys. Its errors name
// options like the command does. It prints nothing and asks nobody.
type session struct {
	settings *settings.Settings
	null     *os.File
}

func newSession() (*session, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	ui := &cli.UI{Stdin: null, Stdout: null, Stderr: null, Quiet: true, NoProgress: true, Advice: settings.Own.Advice}
	keys := keyspec.New(ui, atomicfile.NewPending(), new(atomicfile.Protected))
	keys.Unattended = true
	return &session{&settings.Settings{UI: ui, Keys: keys, Names: settings.Own}, null}, nil
}

// Close forgets passphrases and closes tokens. It must not be called while
// anything is in progress.
func (s *session) Close() {
	s.settings.Keys.Close()
	s.null.Close()
}

// KMSRequests returns the number of requests made to AWS KMS so far.
func (s *session) KMSRequests() int64 { return s.settings.Keys.KMSRequests() }

// parse parses flags like the command does.
func (s *session) parse(flags *pflag.FlagSet, args []string) error {
	s.settings.AddFlags(flags)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	if err := flags.Parse(args); err != nil {
		return cli.UsageError("%w", settings.FlagError(flags, err))
	}
	if flags.NArg() > 0 {
		return cli.UsageError("%s: only flags are allowed", cli.Printable(flags.Arg(0)))
	}
	return settings.CheckEmpty(flags)
}

// message returns an error with its hint, on one line.
func (s *session) message(err error) string {
	text := cli.Message(err)
	if hint := s.settings.UI.Hint(err); hint != "" {
		text += " (" + hint + ")"
	}
	return text
}
