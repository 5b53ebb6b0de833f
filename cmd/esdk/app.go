package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/batch"
	"esdk/cmd/esdk/internal/calls"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/keyspec"
	"esdk/cmd/esdk/internal/object"
	"esdk/cmd/esdk/internal/place"
	"esdk/cmd/esdk/internal/settings"
	"github.com/spf13/cobra"
)

// app holds the state that the sub-commands share.
type app struct {
	*cli.UI

	settings *settings.Settings

	// protected holds the files that keys were read from. They are never
	// overwritten.
	protected *atomicfile.Protected

	keys *keyspec.Keys

	places *place.Planner

	// buckets holds the open buckets by URL.
	buckets *object.Buckets

	// pending holds the unfinished results.
	pending *atomicfile.Pending

	batch *batch.Batch

	// usage is true until the arguments have been accepted. Until then, an
	// error is a usage error.
	usage bool
}

func newApp() *app {
	a := &app{
		UI:        cli.NewUI(),
		buckets:   object.NewBuckets(),
		pending:   atomicfile.NewPending(),
		protected: new(atomicfile.Protected),
		usage:     true,
	}
	a.places = &place.Planner{UI: a.UI, Buckets: a.buckets, Pending: a.pending, Protected: a.protected}
	a.batch = &batch.Batch{UI: a.UI, Pending: a.pending, Protected: a.protected, OwnProcess: true}
	a.keys = keyspec.New(a.UI, a.pending, a.protected)
	a.settings = &settings.Settings{UI: a.UI, Keys: a.keys}
	a.useNames(settings.Own)
	return a
}

// useNames sets the names of the options in errors and hints.
func (a *app) useNames(n *settings.Names) { a.settings.Names, a.Advice = n, n.Advice }

// execute runs the command line and returns the exit status.
func (a *app) execute(ctx context.Context, args []string) int {
	ctx, _ = calls.New(ctx)
	log.SetOutput(io.Discard) // libraries log errors there that they also return
	root := a.newRootCommand()
	root.SetArgs(args)
	out := &keepError{Writer: a.Stdout}
	root.SetOut(out)
	cmd, err := root.ExecuteContextC(ctx)
	a.keys.Close()
	err = cmp.Or(err, out.err)
	a.JSON = a.JSON || err != nil && a.usage && slices.Contains(args, "--json") // --json isn't parsed yet if it follows an invalid argument
	if err != nil && a.usage && !errors.As(err, new(*cli.Error)) {
		err = cli.UsageError("%v", err).WithHint("%s", helpHint(cmd))
	}
	if err == nil {
		return cli.ExitOK
	}
	a.Report("", err)
	return cli.ExitStatus(err)
}

// keepError keeps the first error of a writer whose callers don't check for
// errors.
type keepError struct {
	io.Writer
	err error
}

func (k *keepError) Write(p []byte) (int, error) {
	n, err := k.Writer.Write(p)
	k.err = cmp.Or(k.err, err)
	return n, err
}

// helpHint returns a hint at the help on the arguments of a command.
func helpHint(cmd *cobra.Command) string {
	if name, ok := strings.CutPrefix(cmd.CommandPath(), "esdk "); ok && name != "help" {
		return fmt.Sprintf("run \"esdk help %s\"", name)
	}
	return "run \"esdk help\" for the commands, or \"esdk help COMMAND\" for one"
}

// checkTopic rejects unknown help topics.
func checkTopic(cmd *cobra.Command, args []string) error {
	if found, rest, err := cmd.Root().Find(args); err != nil || found == nil || len(rest) > 0 {
		return fmt.Errorf("no help on %q", strings.Join(args, " "))
	}
	return nil
}

// noProfile annotates commands that ignore the profile: their flags differ in
// meaning from the profile's fields of the same names.
const noProfile = "no profile"

func (a *app) newRootCommand() *cobra.Command {
	var version bool
	root := &cobra.Command{
		Use:   "esdk",
		Short: "Encrypt and decrypt files in the message format of the AWS Encryption SDK",
		Long: `esdk encrypts and decrypts files in the message format of the AWS Encryption SDK.
Each message is encrypted under a fresh data key, and the data key under one or
more wrapping keys. Any one of them decrypts the message.`,
		Example: `  esdk encrypt -k local backup.tar            writes backup.tar.encrypted
  esdk decrypt -k local backup.tar.encrypted  writes backup.tar
  tar c docs | esdk encrypt -k aes:corp/backup@backup.key -c kind=docs > docs.tar.encrypted
  esdk inspect docs.tar.encrypted`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          onlyCommands,
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			a.usage = false
			a.keys.ProtectOwn()
			if err := cmp.Or(checkEmpty(cmd, args), settings.CheckValues(cmd.Flags()), a.keys.CheckNamed()); err != nil {
				return err
			}
			if _, none := cmd.Annotations[noProfile]; none {
				return nil
			}
			return a.settings.ApplyProfile(cmd.Flags())
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if version {
				return a.version()
			}
			return cmd.Help()
		},
	}
	root.Flags().BoolVar(&version, "version", false, "print the version")
	flags := root.PersistentFlags()
	flags.BoolVarP(&a.Quiet, "quiet", "q", false, "print errors only")
	flags.BoolVar(&a.NoProgress, "no-progress", false, "print no progress line")
	flags.BoolVar(&a.JSON, "json", false, "print notes and errors as JSON, and the results of audit, inspect, keygen, keys, keystore, vectors and version; for each FILE see --report")
	a.settings.AddFlags(flags)
	root.RegisterFlagCompletionFunc("profile", a.completeProfile)
	root.AddCommand(
		a.newEncryptCommand(), a.newDecryptCommand(), a.newReencryptCommand(), a.newVerifyCommand(), a.newInspectCommand(), a.newAuditCommand(),
		a.newKeygenCommand(), a.newKeysCommand(), a.newKeystoreCommand(), a.newVectorsCommand(), a.newCompatCommand(), a.newVersionCommand(),
	)
	root.AddCommand(a.extraCommands()...)
	root.AddCommand(helpTopics()...)
	root.InitDefaultCompletionCmd()
	if completion, _, err := root.Find([]string{"completion"}); err == nil {
		completion.Args = onlyCommands
		completion.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	if bash, _, err := root.Find([]string{"completion", "bash"}); err == nil {
		addPreamble(bash)
	}
	root.InitDefaultHelpCmd()
	if help, _, err := root.Find([]string{"help"}); err == nil {
		help.Args, help.ValidArgsFunction = checkTopic, completeHelp
	}
	root.SetFlagErrorFunc(flagError)
	root.SetErr(a.Stderr)
	return root
}

// handleSignals makes the process remove unfinished files before it ends, since
// a blocked read can't be interrupted. A signal that was ignored at the start
// stays ignored: nohup and background jobs of scripts rely on it. A closed pipe
// is an error of the write, so it takes the same path as any other.
func (a *app) handleSignals() {
	// Handle the signal instead of ignoring it: child processes would inherit
	// an ignored signal.
	for _, s := range sigPipe {
		signal.Notify(make(chan os.Signal, 1), s)
	}
	stop := make(chan os.Signal, 2)
	for _, s := range endSignals {
		if ignored(s) {
			signal.Ignore(s)
		} else {
			signal.Notify(stop, s)
		}
	}
	go func() {
		<-stop
		a.interrupt(stop)
		os.Exit(cli.ExitInterrupted)
	}()
}

// farewellTime limits how long an interrupted command waits for its last
// messages to be read. After a second signal it also limits the wait for the
// removal of unfinished files.
const farewellTime = time.Second

func (a *app) interrupt(again <-chan os.Signal) {
	removed, told := make(chan struct{}), make(chan struct{})
	go func() {
		a.pending.Interrupt()
		close(removed)
		a.pending.Farewell()
		a.Report("", cli.NewError(cli.ExitInterrupted, "interrupted"))
		close(told)
	}()
	select {
	case <-removed:
	case <-again:
	}
	select {
	case <-told:
	case <-time.After(farewellTime):
	}
}

// run processes a plan and records which key decrypted each input.
func (a *app) run(ctx context.Context, plan *place.Plan, pace *batch.Pace, o *batch.ReportOptions, mode string, work batch.Work) error {
	return a.batch.Run(ctx, plan, pace, o, mode, func(ctx context.Context, j *place.Job, r *batch.Record) (place.Output, error) {
		return work(keyspec.WithKeyUsed(ctx, &r.KeyUsed), j, r)
	})
}
