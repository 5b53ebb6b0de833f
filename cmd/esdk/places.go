package main

import (
	"path/filepath"
	"strings"

	"esdk/cmd/esdk/internal/batch"
	"esdk/cmd/esdk/internal/place"
	"esdk/cmd/esdk/internal/settings"
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
	settings.OnlyOnce(flags, "output")
	flags.BoolVar(&o.Force, "force", false, "replace existing files")
	flags.BoolVar(&o.NoClobber, "no-clobber", false, "skip inputs whose result exists already")
	flags.BoolVar(&o.Update, "update", false, "replace results that are older than their input, and skip other inputs that have one")
}

func addInputFlags(cmd *cobra.Command, o *place.InputOptions, suffix, usage string) {
	flags := cmd.Flags()
	flags.BoolVarP(&o.Recursive, "recursive", "r", false, "take all files in a FILE that is a folder")
	flags.StringVar(&o.Suffix, "suffix", suffix, usage+"; an empty one is none")
	settings.AllowEmpty(flags, "suffix")
	flags.StringVar(&o.Symlinks, "symlinks", "skip", "`WHAT` to do with symbolic links in folders: skip, follow, which never leaves the folder, or error")
	flags.StringArrayVar(&o.Include, "include", nil, "in folders, take only what is named as the `PATTERN`, or in a folder that is; repeatable")
	flags.StringArrayVar(&o.Exclude, "exclude", nil, "in folders, leave out what is named as the `PATTERN`; repeatable")
	flags.StringVar(&o.List, "files-from0", "", "also take the names in a `LIST`, or - for standard input, each with a zero byte behind it")
	flags.StringVar(&o.Inventory, "inventory", "", "also take the objects in an S3 Inventory, by the `URL` or path of its manifest.json")
	flags.StringVar(&o.Shard, "shard", "", "take only the part `I/N` of the inputs, I from 0 to N-1; env/N takes I from $AWS_BATCH_JOB_ARRAY_INDEX or $JOB_COMPLETION_INDEX")
	settings.OnlyOnce(flags, "files-from0", "inventory", "shard")
	cmd.RegisterFlagCompletionFunc("symlinks", cobra.FixedCompletions([]string{"skip", "follow", "error"}, cobra.ShellCompDirectiveNoFileComp))
}

// addVersionsFlag is for commands that write nothing, since only the latest
// version of an object can be replaced.
func addVersionsFlag(cmd *cobra.Command, o *place.InputOptions) {
	cmd.Flags().BoolVar(&o.AllVersions, "all-versions", false, "take all versions of the objects in the --inventory")
}

func addReportFlag(cmd *cobra.Command, o *batch.ReportOptions) {
	cmd.Flags().StringVar(&o.Path, "report", "", "append a line of JSON for each input to a `FILE`, or - for standard output")
}

func addCacheFlag(cmd *cobra.Command, value *string) { settings.AddCache(cmd.Flags(), value) }
