// Package inventorytest writes inventories in the form that S3 documents, for
// tests.
package inventorytest

import (
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"esdk/cmd/esdk/internal/inventory"
	"github.com/parquet-go/parquet-go"
)

// Formats are the formats that can be written.
var Formats = []string{"CSV", "Parquet"}

// An Inventory describes an inventory to write.
type Inventory struct {
	Bucket   string // the bucket whose objects are listed
	Format   string
	Versions bool // of all versions, not only the latest
	PerFile  int  // entries in a data file, 0 for all
	Prefix   string
}

// ManifestKey returns the key of the manifest.
func (i *Inventory) ManifestKey() string { return i.folder() + "2026-11-06T01-00Z/manifest.json" }

func (i *Inventory) folder() string { return i.Prefix + i.Bucket + "/all/" }

// Write returns the objects that S3 would write to the bucket for inventories.
func (i *Inventory) Write(t testing.TB, entries []inventory.Entry) map[string][]byte {
	t.Helper()
	objects := make(map[string][]byte)
	type file struct {
		Key  string `json:"key"`
		Size int    `json:"size"`
		MD5  string `json:"MD5checksum"`
	}
	manifest := struct {
		Source      string `json:"sourceBucket"`
		Destination string `json:"destinationBucket"`
		Version     string `json:"version"`
		Created     string `json:"creationTimestamp"`
		Format      string `json:"fileFormat"`
		Schema      string `json:"fileSchema"`
		Files       []file `json:"files"`
	}{i.Bucket, "arn:aws:s3:::inventories", "2016-11-30", "1793926800000", i.Format, i.schema(), nil}
	for part := range slices.Chunk(entries, max(1, i.perFile(len(entries)))) {
		var out bytes.Buffer
		if err := i.WriteData(&out, slices.Values(part)); err != nil {
			t.Fatal(err)
		}
		key := fmt.Sprintf("%sdata/%d.%s", i.folder(), len(manifest.Files), map[string]string{"CSV": "csv.gz", "Parquet": "parquet"}[i.Format])
		objects[key] = out.Bytes()
		manifest.Files = append(manifest.Files, file{key, out.Len(), sum(out.Bytes())})
	}
	text, err := json.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	objects[i.ManifestKey()] = text
	objects[strings.TrimSuffix(i.ManifestKey(), "json")+"checksum"] = []byte(sum(text))
	return objects
}

func (i *Inventory) perFile(all int) int {
	if i.PerFile > 0 {
		return i.PerFile
	}
	return all
}

func sum(b []byte) string {
	s := md5.Sum(b)
	return hex.EncodeToString(s[:])
}

func (i *Inventory) schema() string {
	if i.Format == "CSV" {
		if i.Versions {
			return "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, StorageClass"
		}
		return "Bucket, Key, Size, LastModifiedDate, ETag, StorageClass"
	}
	return "message s3.inventory { required binary bucket (STRING); required binary key (STRING); …}"
}

// WriteData writes a data file.
func (i *Inventory) WriteData(w io.Writer, entries func(func(inventory.Entry) bool)) error {
	if i.Format == "CSV" {
		return i.writeCSV(w, entries)
	}
	return i.writeParquet(w, entries)
}

func (i *Inventory) writeCSV(w io.Writer, entries func(func(inventory.Entry) bool)) error {
	z := gzip.NewWriter(w)
	for e := range entries {
		fields := []string{i.Bucket, EncodeKey(e.Key)}
		if i.Versions {
			fields = append(fields, e.VersionID, strconv.FormatBool(e.Latest), strconv.FormatBool(e.DeleteMarker))
		}
		fields = append(fields, "", e.Modified.UTC().Format("2006-01-02T15:04:05.000Z"), "d41d8cd98f00b204e9800998ecf8427e", "STANDARD")
		if !e.DeleteMarker {
			fields[len(fields)-4] = strconv.FormatInt(e.Size, 10)
		}
		if _, err := fmt.Fprintf(z, "\"%s\"\n", strings.Join(fields, `","`)); err != nil {
			return err
		}
	}
	return z.Close()
}

// EncodeKey encodes a key as S3 does in CSV: as in a form, except for slashes.
func EncodeKey(key string) string { return strings.ReplaceAll(url.QueryEscape(key), "%2F", "/") }

type latestRow struct {
	Bucket   string `parquet:"bucket"`
	Key      string `parquet:"key"`
	Size     *int64 `parquet:"size"`
	Modified int64  `parquet:"last_modified_date,timestamp(millisecond)"`
	ETag     string `parquet:"e_tag"`
}

type versionRow struct {
	Bucket   string `parquet:"bucket"`
	Key      string `parquet:"key"`
	Version  string `parquet:"version_id,optional"`
	Latest   bool   `parquet:"is_latest"`
	Marker   bool   `parquet:"is_delete_marker"`
	Size     *int64 `parquet:"size"`
	Modified int64  `parquet:"last_modified_date,timestamp(millisecond)"`
	ETag     string `parquet:"e_tag"`
}

func (i *Inventory) writeParquet(w io.Writer, entries func(func(inventory.Entry) bool)) error {
	options := []parquet.WriterOption{parquet.Compression(&parquet.Snappy), parquet.MaxRowsPerRowGroup(100_000)}
	size := func(e *inventory.Entry) *int64 {
		if e.DeleteMarker {
			return nil
		}
		return &e.Size
	}
	const etag = "d41d8cd98f00b204e9800998ecf8427e"
	if i.Versions {
		f := parquet.NewGenericWriter[versionRow](w, options...)
		for e := range entries {
			if _, err := f.Write([]versionRow{{i.Bucket, e.Key, e.VersionID, e.Latest, e.DeleteMarker, size(&e), e.Modified.UnixMilli(), etag}}); err != nil {
				return err
			}
		}
		return f.Close()
	}
	f := parquet.NewGenericWriter[latestRow](w, options...)
	for e := range entries {
		if _, err := f.Write([]latestRow{{i.Bucket, e.Key, size(&e), e.Modified.UnixMilli(), etag}}); err != nil {
			return err
		}
	}
	return f.Close()
}

// Time is a time as in inventories, with milliseconds.
var Time = time.Date(2026, 10, 30, 17, 4, 5, 678_000_000, time.UTC)
