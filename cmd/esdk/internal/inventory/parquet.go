package inventory

import (
	"errors"
	"time"

	"esdk/cmd/esdk/internal/parquet"
)

// A parquetFormat finds columns by their names in the files. Keys aren't
// encoded.
type parquetFormat struct {
	bucket string
	scope  Scope
}

// columns are the columns that are read. Rows have their values in this order.
var columns = []string{"bucket", "key", "version_id", "is_latest", "is_delete_marker", "size", "last_modified_date"}

func (p *parquetFormat) entries(f *verified, yield func(Entry, error) bool) bool {
	file, err := parquet.Open(f, f.size)
	if err != nil {
		return yield(Entry{}, err)
	}
	versioned, unit := file.Has(columns[2]), file.Unit(columns[6])
	if err := p.scope.check(versioned, file.Has(columns[3])); err != nil {
		return yield(Entry{}, err)
	}
	for row, err := range file.Rows(columns...) {
		var e Entry
		if err == nil {
			e, err = p.entry(row, versioned, unit)
		}
		if err != nil {
			return yield(Entry{}, err)
		}
		if !yield(e, nil) {
			return false
		}
	}
	return true
}

func (p *parquetFormat) entry(row []parquet.Value, versioned bool, unit time.Duration) (Entry, error) {
	bucket, key, version, latest, marker, size, modified := row[0], row[1], row[2], row[3], row[4], row[5], row[6]
	if !bucket.Null && string(bucket.Bytes) != p.bucket {
		return Entry{}, errBucket
	}
	e := Entry{Key: string(key.Bytes), VersionID: string(version.Bytes), Latest: latest.Null && !versioned || latest.Int != 0, DeleteMarker: marker.Int != 0, Size: -1}
	if err := p.scope.check(versioned, !latest.Null); err != nil {
		return e, err
	}
	if !size.Null {
		if e.Size = size.Int; e.Size < 0 {
			return e, errors.New("the object has a negative size")
		}
	}
	switch {
	case modified.Null:
	case unit == 0:
		return e, errors.New("last_modified_date is not a timestamp")
	default:
		second := int64(time.Second / unit)
		e.Modified = time.Unix(modified.Int/second, modified.Int%second*int64(unit)).UTC()
	}
	return e, e.check()
}
