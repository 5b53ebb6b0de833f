package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"unicode"

	"esdk/branchkey"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/keyspec"
	"esdk/internal/kmsarn"
	"github.com/spf13/cobra"
)

// An entryRecord is an entry of a key store in JSON.
type entryRecord struct {
	ID      string            `json:"branch_key_id"`
	Kind    string            `json:"kind"` // active, version or beacon
	Version string            `json:"version,omitempty"`
	KMSKey  string            `json:"kms_key"`
	Created string            `json:"create_time"`
	Context map[string]string `json:"encryption_context"`
}

func kindOf(e *branchkey.Entry) string {
	switch {
	case e.Active:
		return "active"
	case e.Beacon():
		return "beacon"
	}
	return "version"
}

const listHead = "KIND     VERSION                               CREATED                      BRANCH KEY AND KMS KEY\n"

// A listing prints entries as they arrive, and reports the malformed ones.
type listing struct {
	*app
	count, malformed int

	items int            // well-formed, wanted or not
	under map[string]int // the number of items under each KMS key, for some KMS keys
}

// maxUnder limits the memory for KMS keys that an attacker may have made up.
const maxUnder = 1000

// add counts an item that is well formed.
func (l *listing) add(e *branchkey.Entry) {
	l.items++
	if _, known := l.under[e.KMSKeyARN]; !known && len(l.under) >= maxUnder {
		return
	}
	if l.under == nil {
		l.under = make(map[string]int)
	}
	l.under[e.KMSKeyARN]++
}

// tellNone tells why nothing was listed, since an empty list means that the KMS
// key isn't needed any more.
func (l *listing) tellNone(kmsKey string) {
	switch {
	case l.items == 0 && l.malformed == 0:
		l.Note("the key store is empty")
	case kmsKey != "" && l.items > 0:
		l.Note("no item is under %s; there are: %s", cli.Printable(kmsKey), l.others())
	}
}

// others lists the KMS keys that most items are under.
func (l *listing) others() string {
	const most = 3
	keys := slices.SortedFunc(maps.Keys(l.under), func(a, b string) int {
		return cmp.Or(cmp.Compare(l.under[b], l.under[a]), cmp.Compare(a, b))
	})
	var texts []string
	rest := l.items
	for _, k := range keys[:min(len(keys), most)] {
		rest -= l.under[k]
		texts = append(texts, fmt.Sprintf("%d under %s", l.under[k], cli.Printable(k)))
	}
	if rest > 0 {
		texts = append(texts, fmt.Sprintf("%d under others", rest))
	}
	return strings.Join(texts, ", ")
}

func (l *listing) print(e *branchkey.Entry) error {
	l.count++
	head := ""
	if l.count == 1 {
		head = listHead
	}
	r := entryRecord{e.ID, kindOf(e), e.Version, e.KMSKeyARN, e.CreateTime, e.EncryptionContext}
	return l.Print(r, "%s%-7s  %-36s  %-27s  %s  %s\n", head, r.Kind, cmp.Or(cli.Printable(r.Version), "-"), cli.Printable(r.Created), cli.Printable(r.ID), cli.Printable(r.KMSKey))
}

// list prints the wanted entries of a branch key, or of all branch keys if id
// is empty.
func (l *listing) list(ctx context.Context, s *branchkey.Store, id string, wanted func(*branchkey.Entry) bool) error {
	for e, err := range s.List(ctx, id) {
		switch {
		case e == nil:
			return err
		case err != nil:
			l.malformed++
			l.Report(e.ID, explainStore(err))
		default:
			l.add(e)
			if !wanted(e) {
				continue
			}
			if err := l.print(e); err != nil {
				return err
			}
		}
	}
	if l.malformed > 0 {
		return cli.NewError(cli.ExitSomeFailed, "%s malformed", cli.Count(l.malformed, "item of the key store is", "items of the key store are"))
	}
	return nil
}

func (a *app) newKeyList(o *keyspec.StoreOptions) *cobra.Command {
	var kmsKey string
	cmd := &cobra.Command{Use: "list", Short: "List branch keys, or all entries under a KMS key", Args: noArguments,
		Long: `List branch keys, each with its active version, the creation time of that version,
and the KMS key that it is under. With --kms ARN, list all entries under that KMS
key: active and other versions, and beacon keys. Once that list is empty, the key
store no longer needs the KMS key. A note on standard error then names the KMS
keys that items are under. AWS KMS is not called, so nothing is authenticated. A
DynamoDB table is read completely.`}
	cmd.Flags().StringVar(&kmsKey, "kms", "", "list all entries under the KMS key with this `ARN`")
	return a.keyCommand(o, cmd, func(ctx context.Context, s *branchkey.Store, _ []string) error {
		if _, err := kmsarn.ParseKey(kmsKey); kmsKey != "" && (err != nil || strings.ContainsFunc(kmsKey, unicode.IsSpace)) {
			return keyspec.NotKMSKeyARN("--kms", kmsKey)
		}
		l := &listing{app: a}
		err := l.list(ctx, s, "", func(e *branchkey.Entry) bool {
			return kmsKey == "" && e.Active || kmsKey != "" && e.KMSKeyARN == kmsKey
		})
		if l.count > 0 || err != nil && l.malformed == 0 {
			return err
		}
		l.tellNone(kmsKey)
		if kmsKey != "" && !keyspec.IsKMSKeyARN(kmsKey) {
			return keyspec.NotKMSKeyARN("--kms", kmsKey)
		}
		return err
	})
}

func (a *app) newKeyVersions(o *keyspec.StoreOptions) *cobra.Command {
	cmd := &cobra.Command{Use: "versions ID", Short: "List the versions of a branch key, and which is active", Args: oneArgument("ID")}
	return a.keyCommand(o, cmd, func(ctx context.Context, s *branchkey.Store, args []string) error {
		l := &listing{app: a}
		if err := l.list(ctx, s, args[0], func(e *branchkey.Entry) bool { return !e.Beacon() }); err != nil {
			return err
		}
		if l.count == 0 {
			return fmt.Errorf("%w: %q", branchkey.ErrNotFound, args[0])
		}
		return nil
	})
}

func (a *app) newKeyRekey(o *keyspec.StoreOptions) *cobra.Command {
	var to string
	var all bool
	cmd := &cobra.Command{Use: "rekey {ID... | --all} --to ARN", Short: "Re-encrypt branch keys under another KMS key; no message changes",
		Long: `Re-encrypt branch keys under another KMS key, with AWS KMS: all versions and the
beacon key of each. The branch keys themselves don't change, so no message
changes.

--kms-key is the KMS key that they are under. Each item is replaced only if it is
unchanged since it was read. To resume an interrupted run, repeat it. During the
run, and until all programs know only the new KMS key, they need both: -k
'branch:…?kms=NEW&former=OLD', or no kms= to decrypt. At the end, "esdk keystore key
list --kms OLD" is empty.`,
		Example: `  esdk keystore key rekey tenant-17 --table keys --kms-key arn:…old --to arn:…new
  esdk keystore key rekey --all --table keys --kms-key arn:…old --to arn:…new
  esdk keystore key list --table keys --kms arn:…old`}
	cmd.Flags().StringVar(&to, "to", "", "the `ARN` of the new KMS key, in the same Region")
	cmd.Flags().BoolVar(&all, "all", false, "re-key all branch keys of the key store")
	return a.keyCommand(o, cmd, func(ctx context.Context, s *branchkey.Store, ids []string) error {
		if to == "" {
			return cli.UsageError("no new KMS key given: use --to ARN")
		}
		if _, err := kmsarn.ParseKey(to); err != nil {
			return cli.UsageError("--to: %w", err)
		}
		if all == (len(ids) > 0) {
			return cli.UsageError("no branch key given: use ID... or --all")
		}
		r := &rekeying{app: a, store: s, to: to}
		defer a.pending.Last(r.tellInterrupted)()
		if all {
			return r.all(ctx)
		}
		for _, id := range ids {
			if err := r.one(ctx, id); err != nil {
				return err
			}
		}
		return r.verdict()
	})
}

// A rekeying is a run over some branch keys.
type rekeying struct {
	*app
	store *branchkey.Store
	to    string

	mu                   sync.Mutex // guards the following, and the output
	count, failed, items int
	current              string // the branch key in progress; empty between two
}

// tellInterrupted prints the progress of an interrupted run.
func (r *rekeying) tellInterrupted() {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := "nothing was done yet"
	if r.count > 0 {
		text = fmt.Sprintf("branch keys so far: %d done, %d failed; items re-keyed: %d", r.count-r.failed, r.failed, r.items)
	}
	if r.current != "" {
		text += "; in progress: " + cli.Printable(r.current)
	}
	r.Note("%s; to resume, repeat the command", text)
}

// start records which branch key is in progress.
func (r *rekeying) start(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current = id
}

// all lists branch keys by their active items. A branch key whose active item
// is malformed counts as failed.
func (r *rekeying) all(ctx context.Context) error {
	last := ""
	for e, err := range r.store.List(ctx, "") {
		if e == nil {
			return err
		}
		if e.ID == last {
			continue
		}
		last = e.ID
		if err := r.one(ctx, e.ID); err != nil {
			return err
		}
	}
	return r.verdict()
}

// ofBranchKey lists errors that concern a single branch key.
var ofBranchKey = []error{branchkey.ErrNotFound, branchkey.ErrItem, branchkey.ErrHierarchyVersion, branchkey.ErrKMSKey, branchkey.ErrConflict}

// one re-keys a branch key. If that fails with an error in ofBranchKey, the run
// continues. Any other error would also hit the next branch key, and ends the
// run.
func (r *rekeying) one(ctx context.Context, id string) error {
	r.start(id)
	changed, err := r.store.RekeyBranchKey(ctx, id, r.to)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current = ""
	r.items += changed
	if err != nil && !slices.ContainsFunc(ofBranchKey, func(of error) bool { return errors.Is(err, of) }) {
		return err
	}
	r.count++
	if err != nil {
		r.failed++
		r.Report(id, explainStore(err))
		return nil
	}
	text := cli.Count(changed, "item", "items")
	if changed == 0 {
		text = "already under " + cli.Printable(r.to)
	}
	return r.Print(map[string]any{"branch_key_id": id, "changed": changed}, "%s: %s\n", cli.Printable(id), text)
}

func (r *rekeying) verdict() error {
	if r.failed > 0 {
		return cli.NewError(cli.ExitSomeFailed, "%d of %d branch keys failed", r.failed, r.count)
	}
	return nil
}
