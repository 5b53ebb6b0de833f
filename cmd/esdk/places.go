package main

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/batch"
	"esdk/cmd/esdk/internal/place"
	"github.com/spf13/cobra"
)

const (
	encryptedSuffix = ".encrypted"
	decryptedSuffix = ".decrypted"
)

func decryptedName(input, suffix string) string {
	if name, ok := strings.CutSuffix(input, suffix); ok && filepath.Base(input) != suffix {
		return name
	}
	return input + decryptedSuffix
}

func addOutputFlags(cmd *cobra.Command, o *place.OutputOptions) {
	flags := cmd.Flags()
	flags.StringVarP(&o.Path, "output", "o", "", "`PATH` of the result: a file, a folder, or - for standard output")
	onlyOnce(flags, "output")
	flags.BoolVar(&o.Force, "force", false, "replace existing files")
	flags.BoolVar(&o.NoClobber, "no-clobber", false, "skip inputs whose result exists already")
	flags.BoolVar(&o.Update, "update", false, "replace results that are older than their input, and skip other inputs that have one")
}

func addInputFlags(cmd *cobra.Command, o *place.InputOptions, suffix, usage string) {
	flags := cmd.Flags()
	flags.BoolVarP(&o.Recursive, "recursive", "r", false, "take all files in a FILE that is a folder")
	flags.StringVar(&o.Suffix, "suffix", suffix, usage+"; an empty one is none")
	allowEmpty(flags, "suffix")
	flags.StringVar(&o.Symlinks, "symlinks", "skip", "`WHAT` to do with symbolic links in folders: skip, follow, which never leaves the folder, or error")
	flags.StringArrayVar(&o.Include, "include", nil, "in folders, take only what is named as the `PATTERN`, or in a folder that is; repeatable")
	flags.StringArrayVar(&o.Exclude, "exclude", nil, "in folders, leave out what is named as the `PATTERN`; repeatable")
	flags.StringVar(&o.List, "files-from0", "", "also take the names in a `LIST`, or - for standard input, each with a zero byte behind it")
	onlyOnce(flags, "files-from0")
	cmd.RegisterFlagCompletionFunc("symlinks", cobra.FixedCompletions([]string{"skip", "follow", "error"}, cobra.ShellCompDirectiveNoFileComp))
}

// create makes the output of a job. The mode is that of a new file, but for the umask. One
// that takes the place of another is like that.
func (a *app) create(ctx context.Context, j *place.Job, o place.CreateOptions) (place.Output, error) {
	if o.Like != nil {
		o.Mode = atomicfile.TemporaryMode
	}
	o.SideBySide = a.batch.SideBySide
	return j.Target.Create(ctx, o)
}

// usualPatience is how long an input is tried again that a service throttles.
const usualPatience = 5 * time.Minute

func addPaceFlags(cmd *cobra.Command, p *batch.Pace) {
	flags := cmd.Flags()
	flags.IntVar(&p.Jobs, "jobs", 0, "work on this `NUMBER` of files side by side (default one for each core, and 8 for objects)")
	flags.Var(&p.Rate, "rate", "work on no more objects, and read no more bytes, in a second than these `LIMITS`, such as objects=100,bytes=20M")
	flags.DurationVar(&p.RetryFor, "retry-for", usualPatience, "how long to try an input again that a service throttles; 0 is not at all")
}

func addReportFlag(cmd *cobra.Command, o *batch.ReportOptions) {
	cmd.Flags().StringVar(&o.Path, "report", "", "append a line of JSON for each input to a `FILE`, or - for standard output")
}
