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
	flags.StringVarP(&o.Path, "output", "o", "", "`PATH` of the result: a file, a directory, or - for standard output")
	settings.OnlyOnce(flags, "output")
	flags.BoolVar(&o.Force, "force", false, "replace existing files")
	flags.BoolVar(&o.NoClobber, "no-clobber", false, "skip inputs whose result already exists")
	flags.BoolVar(&o.Update, "update", false, "replace results that are older than their input, and skip other inputs that have a result")
}

func addInputFlags(cmd *cobra.Command, o *place.InputOptions, suffix, usage string) {
	flags := cmd.Flags()
	flags.BoolVarP(&o.Recursive, "recursive", "r", false, "take all files in each FILE that is a directory")
	flags.StringVar(&o.Suffix, "suffix", suffix, usage+"; empty for none")
	settings.AllowEmpty(flags, "suffix")
	flags.StringVar(&o.Symlinks, "symlinks", "skip", "`ACTION` for symbolic links in directories: skip, follow (never out of the directory) or error")
	flags.StringArrayVar(&o.Include, "include", nil, "in directories, take only files that match the `PATTERN`, or are in a directory that does; repeatable")
	flags.StringArrayVar(&o.Exclude, "exclude", nil, "in directories, leave out files and directories that match the `PATTERN`; repeatable")
	flags.StringVar(&o.List, "files-from0", "", "also take the names in a `LIST`, or - for standard input; each ends in a zero byte")
	flags.StringVar(&o.Inventory, "inventory", "", "also take the objects in an S3 Inventory, given by the `URL` or path of its manifest.json")
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
