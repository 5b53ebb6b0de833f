package place

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/inventory"
	"esdk/cmd/esdk/internal/object"
)

// findInventory yields the objects in an inventory. An error of the inventory
// itself isn't the failure of one object.
func (p *Planner) findInventory(ctx context.Context, o *InputOptions, yield func(Job, error) bool) bool {
	name, _, _ := strings.Cut(o.Inventory, "?") // parameters may be secret
	fail := func(err error) bool { return yield(Job{Source: &unopened{name}}, err) }
	i, bucket, err := p.openInventory(ctx, o)
	if err != nil {
		return fail(err)
	}
	o.Created = i.Created
	if o.admit != nil {
		if err := o.admit(nil, strings.TrimSuffix(bucket.ID(), "/")); err != nil {
			return fail(err)
		}
	}
	f, err := newObjectFolder(bucket, o)
	if err != nil {
		return fail(err)
	}
	for e, err := range i.All(ctx) {
		if err != nil {
			return fail(err)
		}
		if !o.shard.has(bucket.Stored(e.Key).Path()) {
			continue
		}
		if !yield(f.entry(&e), nil) {
			return false
		}
	}
	return true
}

// An Inventory yields jobs for the objects in an S3 inventory, one data file at
// a time.
type Inventory struct {
	*inventory.Inventory
	folder *objectFolder
}

// OpenInventory reads a manifest. Without allVersions, jobs for versions that
// aren't the latest are skipped.
func (p *Planner) OpenInventory(ctx context.Context, manifest string, allVersions bool) (*Inventory, error) {
	if !strings.HasPrefix(manifest, "s3://") {
		return nil, cli.UsageError("must be the URL of a manifest, such as s3://BUCKET/…/manifest.json")
	}
	o := &InputOptions{Inventory: manifest, AllVersions: allVersions}
	i, bucket, err := p.openInventory(ctx, o)
	if err != nil {
		return nil, err
	}
	f, err := newObjectFolder(bucket, o)
	return &Inventory{i, f}, err
}

// Jobs yields a job for each line of a data file. Data files are numbered from
// 0. It stops after an error.
func (i *Inventory) Jobs(ctx context.Context, file int) iter.Seq2[Job, error] {
	return func(yield func(Job, error) bool) {
		for e, err := range i.File(ctx, file) {
			if err != nil {
				yield(Job{}, err)
				return
			}
			if !yield(i.folder.entry(&e), nil) {
				return
			}
		}
	}
}

// entry returns the job for a version of an object.
func (f *objectFolder) entry(e *inventory.Entry) Job {
	source := f.Stored(e.Key)
	if !e.Latest {
		source = source.Version(cmp.Or(e.VersionID, nullVersion))
	}
	var info *object.Info // requested later if the inventory doesn't have it
	if e.Size >= 0 && !e.Modified.IsZero() {
		info = object.OldInfo(e.Key, e.Size, e.Modified)
	}
	j := f.job(source, info)
	if strings.HasSuffix(e.Key, "/") {
		switch {
		case e.Size == 0:
			j.Skip, j.Err = skipMarker, nil
		case e.Size < 0:
			j.look = lookForMarker
		}
	}
	switch {
	case e.DeleteMarker:
		j.Skip, j.Err = skipDeleted, nil
	case !e.Latest && !f.options.AllVersions:
		j.Skip, j.Err = skipOld, nil
	}
	return j
}

// lookForMarker checks whether an object of unknown size marks a directory. If
// the request fails, opening the object reports why.
func lookForMarker(ctx context.Context, j *Job) {
	source := j.Source.(*objectSource)
	if err := source.look(ctx); err == nil && source.info.Size() == 0 {
		j.Skip = skipMarker
	}
}

// nullVersion is S3's ID for versions that were created without versioning.
const nullVersion = "null"

// openInventory opens a manifest and the bucket that it lists. The bucket gets
// the parameters of the manifest's URL.
func (p *Planner) openInventory(ctx context.Context, o *InputOptions) (*inventory.Inventory, *object.Object, error) {
	if !object.IsURL(o.Inventory) {
		name, err := parseFileURL(o.Inventory)
		if err != nil {
			return nil, nil, err
		}
		i, err := p.openLocalInventory(ctx, name, inventory.Scope(o.AllVersions))
		if err != nil {
			return nil, nil, err
		}
		source, err := p.Buckets.Beside(ctx, "s3://", i.Bucket)
		return i, source, err
	}
	manifest, err := p.Buckets.Parse(ctx, o.Inventory)
	if err != nil {
		return nil, nil, err
	}
	if manifest.IsFolder() {
		return nil, nil, noManifest(manifest.String())
	}
	name, _, _ := strings.Cut(manifest.Path(), "/")
	bucket, err := p.Buckets.Beside(ctx, o.Inventory, name)
	if err != nil {
		return nil, nil, err
	}
	i, err := inventory.Open(ctx, manifest.Key, inventory.Scope(o.AllVersions), objectFiles(manifest, bucket))
	if cli.Kind(err) == cli.KindNotFound && !strings.HasSuffix(manifest.Key, ".json") { // the name may be a directory without its slash
		err = cli.Hinted(err, "%s", manifestHint)
	}
	if err != nil {
		return nil, nil, err
	}
	source, err := p.Buckets.Beside(ctx, o.Inventory, i.Bucket)
	return i, source, err
}

// noManifest is the error for a directory, which may have several inventories.
func noManifest(name string) error {
	return cli.UsageError("--inventory %s: is a directory, not a manifest", cli.Printable(name)).
		WithHint("%s", manifestHint)
}

const manifestHint = "name a manifest.json: S3 writes each inventory into its own directory, such as 2026-11-06T01-00Z/"

// objectFiles opens keys in the manifest's bucket. The manifest itself may be
// one of several versions.
func objectFiles(manifest, bucket *object.Object) inventory.Files {
	return func(ctx context.Context, key string) (io.ReadCloser, error) {
		o := bucket.With(key)
		if key == manifest.Key {
			o = manifest
		}
		return o.Open(ctx, nil)
	}
}

// openLocalInventory opens a manifest in a file. The keys of its data files are
// from its original bucket.
func (p *Planner) openLocalInventory(ctx context.Context, manifest string, scope inventory.Scope) (*inventory.Inventory, error) {
	switch info, err := os.Stat(manifest); {
	case err != nil:
		return nil, cli.NamedFile("--inventory", err)
	case info.IsDir():
		return nil, noManifest(manifest)
	case info.Mode().IsRegular():
		p.Protected.Add(info)
	}
	base := filepath.Base(manifest)
	return inventory.Open(ctx, base, scope, func(_ context.Context, key string) (io.ReadCloser, error) {
		if key == base {
			return os.Open(manifest)
		}
		return openNear(filepath.Dir(manifest), key)
	})
}

// openNear opens a data file by its key. It tries the longest suffix of the key
// that exists below the manifest's directory or its parent, since S3 puts the
// manifest into a directory beside the data.
func openNear(dir, key string) (io.ReadCloser, error) {
	for rest := key; rest != ""; _, rest, _ = strings.Cut(rest, "/") {
		name, err := filepath.Localize(rest)
		if err != nil {
			continue
		}
		near := []string{dir, filepath.Join(dir, "..")}
		if !strings.Contains(rest, "/") {
			near = near[:1]
		}
		for _, above := range near {
			f, err := os.OpenInRoot(above, name)
			if !errors.Is(err, fs.ErrNotExist) {
				return f, err
			}
		}
	}
	return nil, cli.NewError(cli.ExitError, "data file %s not found near the manifest", cli.Printable(key)).OfKind(cli.KindNotFound)
}
