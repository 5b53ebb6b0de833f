package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/audit"
	"esdk/cmd/esdk/internal/batch"
	"esdk/cmd/esdk/internal/calls"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/object"
	"esdk/cmd/esdk/internal/place"
	"github.com/spf13/cobra"
)

// auditJobs is the number of objects audited concurrently. Each takes one short
// request, so most jobs wait, unlike jobs that read whole objects.
const auditJobs = 32

type auditOptions struct {
	place.InputOptions
	look audit.Options
	pace batch.Pace

	summary bool // alone
	print0  bool
	failIf  bool
	html    string
	force   bool
}

func (a *app) newAuditCommand() *cobra.Command {
	o := new(auditOptions)
	cmd := &cobra.Command{
		Use:   "audit [flags] [FILE]...",
		Short: "Report which messages are under which keys, from their headers alone",
		Long: `Report which files of directories and buckets are messages, and the keys and suite
of each message. Only headers are read: of an object the first 4 KiB, in one
request.

Without -k, no key is needed and nothing is authenticated: anybody who can write
to the files or objects can have made up their headers. With -k, each message is
opened with one of the keys and its header is verified, which takes a request to a
key service for each message. This also finds the messages that version 4.0.0 of
the .NET SDK wrote incorrectly; their headers alone don't show it. Bodies are not
read: to find modified or truncated ones, use "esdk verify".

Without --all-versions of an --inventory, only the current versions of objects are
audited, and the summary says so. Older versions, which a bucket may keep, and
versions behind delete markers are not audited, and the old key still opens them.
To show that nothing is left under a key: rotate, remove older versions with a
lifecycle rule (NoncurrentVersionExpiration), and audit a new inventory that
includes all versions with --all-versions.

Filters select the inputs to list. A message must meet all filters of headers;
--not-a-message adds the inputs without a readable header. The KEY of --under and
--not-under is the name that "esdk inspect" shows, such as corp/backup or the ARN
of a KMS key, in which * stands for any characters; or a key as for -k, if that
contains its name. --under lists messages under one of its keys, --not-under
messages under none of them. Both compare names only: to find messages under older
material of the same name, use -k NEW --unopened. The summary counts all inputs.

--print0 prints a list for --files-from0. --fail-if exits with status 3 if
anything matches the filters, and otherwise with 1 if there was no message to
audit. It needs a FILE, or - for standard input. The exit status is also 3 if some
inputs could not be read; those never match.`,
		Annotations: map[string]string{noProfile: ""},
		RunE:        func(cmd *cobra.Command, inputs []string) error { return a.audit(cmd.Context(), o, inputs) },
	}
	o.addFlags(a, cmd)
	return cmd
}

func (o *auditOptions) addFlags(a *app, cmd *cobra.Command) {
	addInputFlags(cmd, &o.InputOptions, "", "of the files in directories, take only the ones with this `SUFFIX`")
	addVersionsFlag(cmd, &o.InputOptions)
	flags := cmd.Flags()
	o.pace.AddFlags(flags)
	flags.Lookup("jobs").Usage = "audit this `NUMBER` of files concurrently; 0, the default, is four for each core, and 32 for objects"
	o.look.AddFlags(flags)
	flags.BoolVar(&o.summary, "summary", false, "print only the summary")
	flags.BoolVarP(&o.print0, "print0", "0", false, "print only the names of matching inputs, each followed by a zero byte")
	flags.BoolVar(&o.failIf, "fail-if", false, "exit with status 3 if anything matches the filters")
	flags.StringVar(&o.html, "html", "", "write a page about all audited inputs to a new `FILE`")
	flags.BoolVar(&o.force, "force", false, "replace an existing FILE of --html")
	cmd.RegisterFlagCompletionFunc("key", a.completeKey)
	cmd.RegisterFlagCompletionFunc("under", a.completeKey)
	cmd.RegisterFlagCompletionFunc("not-under", a.completeKey)
	cmd.RegisterFlagCompletionFunc("suite", suiteNames)
}

// check rejects contradicting flags, and a verdict on standard input unless it
// was named.
func (o *auditOptions) check(asJSON bool, inputs []string) error {
	switch {
	case o.failIf && o.look.Filter.Empty():
		return cli.UsageError("--fail-if needs a filter, such as --uncommitted: without one, everything matches")
	case asJSON && o.print0 || o.summary && o.print0:
		return cli.UsageError("--print0 cannot be used with --json or --summary")
	case o.force && o.html == "":
		return cli.UsageError("--force needs --html")
	case o.failIf && !o.Named(inputs):
		return place.NotNamed("--fail-if")
	case o.html != "" && !o.Named(inputs):
		return place.NotNamed("--html")
	}
	return nil
}

// An auditing is a run of the command.
type auditing struct {
	*app
	*auditOptions
	looks   *audit.Audit
	out     *bufio.Writer
	summed  *audit.Summary
	all     bool // the audit covers all versions of the objects
	started bool // the head of the table was printed
}

func (a *app) newAuditing(ctx context.Context, o *auditOptions, inputs []string) (*auditing, error) {
	if err := cmp.Or(o.look.Parse(a.settings), o.check(a.JSON, inputs)); err != nil {
		return nil, err
	}
	looks, err := audit.New(ctx, a.settings, &o.look)
	if err != nil {
		return nil, err
	}
	return &auditing{app: a, auditOptions: o, looks: looks, out: bufio.NewWriterSize(a.Stdout, 64<<10), summed: looks.Summary()}, nil
}

func (a *app) audit(ctx context.Context, o *auditOptions, inputs []string) error {
	au, err := a.newAuditing(ctx, o, inputs)
	if err != nil {
		return err
	}
	page, err := a.newAuditPage(o.html, o.force)
	if err != nil {
		return err
	}
	defer page.abort()
	au.all = o.AllVersions && len(inputs) == 0 && o.List == "" // other inputs are audited in their current version
	o.OnlyWith()
	o.Unseen = true
	a.buckets.StartOnly = true
	plan, err := a.places.Inputs(ctx, inputs, &o.InputOptions)
	if err != nil {
		return err
	}
	if err := cmp.Or(a.checkStdout(plan), plan.Each(page.check)); err != nil {
		plan.Close()
		return err
	}
	a.batch.Each, a.batch.CountFiles = au.each, true
	au.looks.Await = func(n int) error { return a.batch.Progress.Await(n) }
	err = a.run(ctx, plan, au.paceOf(plan), new(batch.ReportOptions), "audit", au.job)
	err = cmp.Or(err, au.checkSeen(plan))
	if au.summed.Inputs == 0 && err != nil {
		return err
	}
	au.summed.End(au.looks.Bytes())
	au.summed.Calls = calls.Of(ctx).Counts()
	au.summed.AllVersions, au.summed.InventoryCreated = au.all, o.Created
	if outErr := cmp.Or(au.printSummary(), au.out.Flush()); outErr != nil {
		return outErr
	}
	return cmp.Or(page.write(au, inputs), au.verdict(err))
}

// checkSeen keeps --fail-if from passing on an empty list or on wrong
// arguments, such as a name filter that matches nothing or a place without
// messages. A shard may be empty.
func (au *auditing) checkSeen(plan *place.Plan) error {
	switch {
	case !au.failIf || plan.Part() || au.summed.Matches > 0:
		return nil
	case au.summed.Inputs == 0:
		return cli.NewError(cli.ExitError, "no inputs were audited").WithHint("--fail-if passes only if an input was audited")
	case au.summed.Messages.Messages == 0:
		return cli.NewError(cli.ExitError, "none of %d inputs is a message", au.summed.Inputs).
			WithHint("--fail-if passes only if a message was found, or with --not-a-message if there was no input")
	}
	return nil
}

// paceOf returns the pace, with more concurrent jobs than other commands use if
// any input is an object.
func (o *auditOptions) paceOf(plan *place.Plan) *batch.Pace {
	if o.pace.Jobs == 0 && slices.ContainsFunc(plan.Ahead(), func(j place.Job) bool { return j.Remote() }) {
		o.pace.Jobs = auditJobs
	}
	return &o.pace
}

// verdict adds the number of matches to an error of some inputs.
func (au *auditing) verdict(err error) error {
	switch n := au.summed.Matches; {
	case !au.failIf || n == 0:
		return err
	case err == nil:
		return cli.NewError(cli.ExitSomeFailed, "%d of %d inputs match: %s", n, au.summed.Inputs, au.look.Filter.String())
	default:
		return cli.NewError(cli.ExitSomeFailed, "%w, and %d match: %s", err, n, au.look.Filter.String())
	}
}

func (au *auditing) job(ctx context.Context, j *place.Job, r *batch.Record) (place.Output, error) {
	if out, err := au.looks.Job(ctx, j, r); err != nil {
		return out, au.explain(j, err)
	}
	return nil, nil
}

// explain adds a hint to the error for a missing key: the key may be a prefix
// of other keys.
func (au *auditing) explain(j *place.Job, err error) error {
	if !j.Remote() || au.Recursive || cli.Kind(err) != cli.KindNotFound {
		return err
	}
	return cli.Hinted(err, "use -r to take all objects with this prefix; %s", cmp.Or(cli.Hint(err), "without -r, give the key of one object"))
}

// each counts an input and lists it. It is called in the order of the inputs.
func (au *auditing) each(j *place.Job, r *batch.Record, err error) error {
	if err == nil && j.Skip != "" {
		au.summed.Skip()
		return nil
	}
	f := audit.Found(r, j.Given(), j.Source.Name(), err)
	au.summed.Add(f)
	if j.Remote() && !au.all && !ofVersion(j.Given()) {
		au.summed.CurrentOnly = true
	}
	if au.summary || !f.Matches && (au.print0 || !au.look.Filter.Empty()) {
		return nil
	}
	return cmp.Or(au.print(f), au.flushTerminal())
}

// ofVersion reports whether a URL names a version of an object.
func ofVersion(url string) bool {
	_, parameters, _ := strings.Cut(url, "?")
	return strings.HasPrefix(parameters, "versionId=") || strings.Contains(parameters, "&versionId=")
}

// flushTerminal flushes the output if it's a terminal, since the next line may
// take long.
func (au *auditing) flushTerminal() error {
	if cli.IsTerminal(au.Stdout) {
		return au.out.Flush()
	}
	return nil
}

func (au *auditing) print(f *audit.Finding) error {
	text := ""
	switch {
	case au.print0 && f.Input == cli.Standard:
		return cli.UsageError("--print0 cannot print standard input, which has no name")
	case au.print0:
		text = f.Input + "\x00"
	case au.JSON:
		line, err := cli.JSON(f)
		if err != nil {
			return err
		}
		text = string(line)
	case !au.started:
		au.started = true
		text = audit.TableHead + f.Line()
	default:
		text = f.Line()
	}
	_, err := io.WriteString(au.out, text)
	return err
}

func (au *auditing) printSummary() error {
	switch {
	case au.print0:
		au.Note("%d of %d inputs match", au.summed.Matches, au.summed.Inputs)
		for _, text := range au.summed.UnderNone() {
			au.Note("%s", text)
		}
		return nil
	case au.JSON:
		line, err := au.summed.JSON(&au.look.Filter)
		if err != nil {
			return err
		}
		_, err = au.out.Write(line)
		return err
	case au.summed.Failed.Messages == au.summed.Inputs && au.summed.Inputs > 0:
		return nil // the errors say it all
	}
	if au.started {
		io.WriteString(au.out, "\n")
	}
	return au.summed.WriteText(au.out, &au.look.Filter)
}

// An auditPage is the file of --html. It is nil if there is none.
type auditPage struct {
	file *atomicfile.File
	old  fs.FileInfo // the file that it replaces, or nil
	path string
}

// newAuditPage creates the file before any work, so that an unwritable page
// fails at once.
func (a *app) newAuditPage(path string, force bool) (*auditPage, error) {
	if path == "" {
		return nil, nil
	}
	if object.IsURL(path) || path == cli.Standard {
		return nil, cli.UsageError("--html %s: must be a file", cli.Printable(path))
	}
	old, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		old = nil
	case err != nil:
		return nil, err
	case !force:
		return nil, cli.NewError(cli.ExitNotWritten, "%w", fs.ErrExist).Of(path).WithHint("use --force to replace it")
	case !old.Mode().IsRegular():
		return nil, cli.NewError(cli.ExitNotWritten, "not a regular file").Of(path)
	case a.protected.Has(old):
		return nil, cli.NewError(cli.ExitNotWritten, "the file is a key or configuration file").Of(path)
	}
	if a.protected.HasPath(atomicfile.RealPath(path)) {
		return nil, cli.NewError(cli.ExitNotWritten, "the file is a key or configuration file").Of(path)
	}
	file, err := a.pending.Create(path, 0o600, old)
	if err != nil {
		return nil, err
	}
	return &auditPage{file, old, path}, nil
}

// check skips the old page in a directory, and refuses to replace an input.
func (p *auditPage) check(j *place.Job) error {
	if p == nil || p.old == nil || j.Source.Info() == nil || !os.SameFile(p.old, j.Source.Info()) {
		return nil
	}
	if j.Source.Below() {
		j.Skip = place.SkipReport
		return nil
	}
	return cli.NewError(cli.ExitNotWritten, "the file is both an input and the page of --html").Of(p.path)
}

func (p *auditPage) abort() {
	if p != nil {
		p.file.Abort()
	}
}

func (p *auditPage) write(au *auditing, inputs []string) error {
	if p == nil {
		return nil
	}
	w := bufio.NewWriter(p.file)
	page := &audit.Page{Summary: au.summed, Filter: &au.look.Filter, Inputs: au.namesOf(inputs), Version: buildVersion().Version}
	if err := cmp.Or(page.Write(w), w.Flush()); err != nil {
		return err
	}
	return p.file.Commit()
}

// namesOf returns the inputs in a form that may be shown: the parameters of a
// URL may be secret.
func (o *auditOptions) namesOf(inputs []string) (names []string) {
	if o.Shard != "" {
		names = append(names, "only the shard "+o.Shard+" of the following")
	}
	for _, name := range inputs {
		names = append(names, audit.Shown(name))
	}
	if o.Inventory != "" {
		names = append(names, "the objects in the inventory "+audit.Shown(o.Inventory))
	}
	switch {
	case o.List != "":
		names = append(names, "the names in the list "+o.List)
	case len(inputs) == 0 && o.Inventory == "":
		names = append(names, "standard input")
	}
	return names
}
