// Package parquet reads columns of flat Parquet files, row by row, in bounded
// memory. A malicious file can't increase the limit: all its lengths are
// checked before anything is allocated.
//
// Specification: https://parquet.apache.org/docs/file-format/
package parquet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
)

const (
	// maxFooter limits the description of a file, in bytes. It takes some
	// hundred bytes for each column of each row group, which usually has a
	// million rows.
	maxFooter = 4 << 20

	// maxPage limits a page or dictionary, in bytes. Writers usually make them
	// 1 MiB long. maxHeld limits all of a row group's pages that are in memory
	// at a time.
	maxPage = 16 << 20
	maxHeld = 64 << 20

	magic = "PAR1"
)

// Types of columns in the file.
const (
	typeBool  = 0
	typeInt32 = 1
	typeInt64 = 2
	typeBytes = 6
)

// A Value is a value in a row. Bools are 0 and 1.
type Value struct {
	Null  bool
	Int   int64
	Bytes []byte // valid until the next row
}

// A File is a Parquet file whose footer has been read.
type File struct {
	r       io.ReaderAt
	columns []column
	groups  []rowGroup
}

// A column is a leaf below the root of the schema.
type column struct {
	name     string
	kind     int64
	optional bool
	unit     time.Duration // of timestamps, 0 for other columns
}

type rowGroup struct {
	rows   int64
	chunks []chunk // one for each column
}

// A chunk is a column's part of a row group.
type chunk struct {
	kind, codec, values, length int64
	data, dictionary            int64 // offsets of the first pages; 0 for no dictionary
}

var errMalformed = errors.New("malformed Parquet file")

func malformed(text string, args ...any) error {
	return fmt.Errorf("%w: "+text, append([]any{errMalformed}, args...)...)
}

// Open reads the footer of a file.
func Open(r io.ReaderAt, size int64) (*File, error) {
	var tail [8]byte
	if size < int64(len(magic)+len(tail)) {
		return nil, malformed("too short")
	}
	if _, err := r.ReadAt(tail[:], size-int64(len(tail))); err != nil {
		return nil, err
	}
	if string(tail[4:]) != magic {
		return nil, malformed("it does not end in %s", magic)
	}
	length := int64(binary.LittleEndian.Uint32(tail[:]))
	if length > maxFooter || length > size-int64(len(magic)+len(tail)) {
		return nil, malformed("a footer of %d bytes", length)
	}
	f := &File{r: r}
	end := size - int64(len(tail))
	if err := f.readFooter(newCompact(io.NewSectionReader(r, end-length, length), length)); err != nil {
		return nil, err
	}
	for _, g := range f.groups {
		for i, c := range g.chunks {
			if c.values != g.rows {
				return nil, malformed("%d values for %d rows", c.values, g.rows)
			}
			if err := c.check(&f.columns[i], end-length); err != nil {
				return nil, err
			}
		}
	}
	return f, nil
}

// check returns an error if the chunk isn't inside the file.
func (c *chunk) check(of *column, end int64) error {
	first := c.first()
	if c.kind != of.kind || c.length < 0 || first < int64(len(magic)) || first > end || c.length > end-first {
		return malformed("column %q is not where it should be", of.name)
	}
	return nil
}

// first returns the offset of the first page. Some writers give the offset of a
// dictionary that doesn't exist.
func (c *chunk) first() int64 {
	if c.dictionary > 0 && c.dictionary < c.data {
		return c.dictionary
	}
	return c.data
}

// Has reports whether the file has a column.
func (f *File) Has(name string) bool { return f.index(name) >= 0 }

func (f *File) index(name string) int {
	for i := range f.columns {
		if f.columns[i].name == name {
			return i
		}
	}
	return -1
}

// Unit returns the unit of a column's timestamps, 0 if it has none.
func (f *File) Unit(name string) time.Duration {
	if i := f.index(name); i >= 0 {
		return f.columns[i].unit
	}
	return 0
}

// Rows yields the values of some columns row by row. It reuses the slice. The
// values of a missing column are null.
func (f *File) Rows(names ...string) iter.Seq2[[]Value, error] {
	return func(yield func([]Value, error) bool) {
		row := make([]Value, len(names))
		for _, g := range f.groups {
			columns, err := f.open(&g, names)
			for n := int64(0); err == nil && n < g.rows; n++ {
				for i, c := range columns {
					if row[i], err = c.next(); err != nil {
						err = fmt.Errorf("column %q: %w", names[i], err)
						break
					}
				}
				if err == nil && !yield(row, nil) {
					return
				}
			}
			if err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// open starts to read columns of a row group.
func (f *File) open(g *rowGroup, names []string) ([]*columnReader, error) {
	held := new(memory)
	columns := make([]*columnReader, len(names))
	for i, name := range names {
		at := f.index(name)
		if at < 0 {
			columns[i] = &columnReader{absent: true}
			continue
		}
		switch f.columns[at].kind {
		case typeBool, typeInt32, typeInt64, typeBytes:
		default:
			return nil, malformed("column %q has the type %d", name, f.columns[at].kind)
		}
		columns[i] = newColumnReader(f.r, &f.columns[at], &g.chunks[at], held)
	}
	return columns, nil
}

// memory counts the bytes held for a row group.
type memory struct {
	held    int
	scratch []byte // the compressed bytes, of one page at a time
}

// take returns room for a page, reusing another page's if it's large enough.
func (m *memory) take(old []byte, length int) ([]byte, error) {
	if length <= cap(old) {
		return old[:length], nil
	}
	if m.held += length - cap(old); m.held > maxHeld {
		return nil, malformed("pages of more than %d MiB at a time", maxHeld>>20)
	}
	return make([]byte, length), nil
}
