// Package inventory reads S3 Inventory: lists of the objects in a bucket that
// S3 writes into another bucket. It doesn't access a store itself.
//
// Specification:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory.html
package inventory

import (
	"context"
	"crypto/fips140"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"time"

	"esdk/cmd/esdk/internal/cli"
)

const (
	// maxManifest limits manifest.json, in bytes. A data file lists some
	// million objects and takes less than 300 bytes in it.
	maxManifest = 16 << 20

	// checksumName is the file beside manifest.json that contains its MD5 hash.
	checksumName = "manifest.checksum"
)

// Files opens a file of the inventory by its key. If the key doesn't exist, the
// error wraps [fs.ErrNotExist].
type Files func(ctx context.Context, key string) (io.ReadCloser, error)

// An Inventory is a list of objects in several data files.
type Inventory struct {
	Bucket  string    // the bucket whose objects are listed
	Created time.Time // zero if the manifest doesn't say

	files  Files
	format format
	data   []dataFile
}

// A format reads a verified data file.
type format interface {
	entries(f *verified, yield func(Entry, error) bool) bool
}

// A dataFile is one of the files with the list.
type dataFile struct {
	key  string
	size int64
	md5  [md5.Size]byte
}

// UnmarshalJSON rejects incomplete entries, so that the list can't use more
// memory than its text.
func (f *dataFile) UnmarshalJSON(text []byte) error {
	var fields struct {
		Key  string `json:"key"`
		Size int64  `json:"size"`
		MD5  string `json:"MD5checksum"`
	}
	if err := json.Unmarshal(text, &fields); err != nil {
		return err
	}
	f.key, f.size = fields.Key, fields.Size
	if f.key == "" || f.size < 0 {
		return errors.New("a data file has no key or size")
	}
	return parseMD5(&f.md5, fields.MD5)
}

func parseMD5(sum *[md5.Size]byte, text string) error {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(sum) {
		return errors.New("an MD5 checksum is malformed")
	}
	copy(sum[:], b)
	return nil
}

// A Scope selects versions of objects.
type Scope bool

const (
	Current     Scope = false
	AllVersions Scope = true
)

// check returns an error if an inventory can't tell which versions are wanted.
// The arguments report whether it has version IDs, and whether it marks the
// latest versions.
func (s Scope) check(version, latest bool) error {
	switch {
	case s == AllVersions && !version:
		return cli.UsageError("--all-versions needs an inventory of all versions, but this one has no VersionId").
			WithHint("configure the inventory to include all versions")
	case s == Current && version && !latest:
		return cli.UsageError("the inventory has VersionId but no IsLatest, so the latest versions are unknown").
			WithHint("add IsLatest to the inventory, or use --all-versions with verify, inspect or audit")
	}
	return nil
}

// Open reads a manifest by its key, and verifies it if there is a checksum
// beside it.
func Open(ctx context.Context, key string, scope Scope, files Files) (*Inventory, error) {
	if fips140.Enforced() {
		return nil, cli.NewError(cli.ExitPolicy, "inventory checksums are MD5, which GODEBUG=fips140=only forbids")
	}
	text, err := readSmall(ctx, files, key, maxManifest)
	if err != nil {
		return nil, err
	}
	if err := checkManifest(ctx, files, key, text); err != nil {
		return nil, about(key, err)
	}
	i, err := parse(text, scope)
	if err != nil {
		return nil, about(key, err)
	}
	i.files = files
	return i, nil
}

// about returns an error that names its file.
func about(key string, err error) error {
	if errors.As(err, new(*cli.Error)) {
		return err
	}
	return cli.NewError(cli.ExitError, "inventory file %s: %w", cli.Printable(path.Base(key)), err)
}

func readSmall(ctx context.Context, files Files, key string, most int64) ([]byte, error) {
	f, err := files(ctx, key)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		err = about(key, fmt.Errorf("the file has more than %d bytes", most))
	}
	return text, err
}

// checkManifest compares the manifest with the checksum beside it, if there is
// one. With permission to read the manifest but not to list the bucket, S3
// reports a missing checksum as forbidden.
func checkManifest(ctx context.Context, files Files, key string, text []byte) error {
	const most = 1024
	sum, err := readSmall(ctx, files, strings.TrimSuffix(key, path.Base(key))+checksumName, most)
	if kind := cli.Kind(err); err != nil && (kind == cli.KindNotFound || kind == cli.KindForbidden) {
		return nil
	}
	if err != nil {
		return err
	}
	var want [md5.Size]byte
	if err := parseMD5(&want, strings.TrimSpace(string(sum))); err != nil {
		return fmt.Errorf("%s has %w", checksumName, err)
	}
	if md5.Sum(text) != want {
		return fmt.Errorf("the file does not match %s", checksumName)
	}
	return nil
}

// parse parses a manifest.
func parse(text []byte, scope Scope) (*Inventory, error) {
	var m struct {
		Bucket string     `json:"sourceBucket"`
		Format string     `json:"fileFormat"`
		Schema string     `json:"fileSchema"`
		Files  []dataFile `json:"files"`

		Created string `json:"creationTimestamp"` // milliseconds
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("not a manifest of S3 Inventory: %w", err)
	}
	if !isBucket(m.Bucket) {
		return nil, errors.New("not a manifest of S3 Inventory: sourceBucket names no bucket")
	}
	i := &Inventory{Bucket: m.Bucket, data: m.Files}
	if created, err := strconv.ParseInt(m.Created, 10, 64); err == nil {
		i.Created = time.UnixMilli(created)
	}
	var err error
	switch strings.ToLower(m.Format) {
	case "csv":
		i.format, err = newCSV(m.Schema, m.Bucket, scope)
	case "parquet":
		i.format = &parquetFormat{m.Bucket, scope}
	case "orc":
		return nil, cli.UsageError("ORC inventories are not supported").WithHint("configure the inventory to be CSV or Parquet")
	default:
		err = fmt.Errorf("unknown format %q", m.Format)
	}
	return i, err
}

// isBucket reports whether a text may be the name of a bucket, including old
// ones. The name becomes part of a URL.
func isBucket(name string) bool {
	return name != "" && len(name) <= 255 && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._", r)
	})
}
