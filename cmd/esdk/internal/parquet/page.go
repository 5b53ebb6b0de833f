package parquet

import (
	"encoding/binary"
	"io"
)

// maxPageHeader limits the header of a page, in bytes. It may contain the
// smallest and the largest value of the page, up to 1 KiB each for S3 keys.
const maxPageHeader = 64 << 10

// maxValues limits the number of values in a page, since equal values take no
// room. Writers make pages of some thousand values.
const maxValues = 1 << 24

// Types of pages.
const (
	pageData       = 0
	pageDictionary = 2
	pageDataV2     = 3
)

type pageHeader struct {
	kind, length, compressed   int64
	values, encoding           int64
	levels, levelsV2, repeatV2 int64 // encoding of levels, and their lengths in a version 2 page
	plain                      bool  // not compressed, in a version 2 page
}

func (c *compact) pageHeader() (h pageHeader) {
	h.kind, h.length, h.compressed = -1, -1, -1
	ints := func(fields map[int64]*int64) {
		c.fields(1, func(id int64, kind byte) bool {
			n, ok := fields[id]
			switch {
			case ok && isInt(kind):
				*n = c.int()
				return true
			case id == 7 && kind == thriftFalse: // only version 2 pages have this field
				h.plain = true
			}
			return false
		})
	}
	c.fields(0, func(id int64, kind byte) bool {
		switch {
		case id == 1 && isInt(kind):
			h.kind = c.int()
		case id == 2 && isInt(kind):
			h.length = c.int()
		case id == 3 && isInt(kind):
			h.compressed = c.int()
		case id == 5 && kind == thriftStruct:
			ints(map[int64]*int64{1: &h.values, 2: &h.encoding, 3: &h.levels})
		case id == 7 && kind == thriftStruct:
			ints(map[int64]*int64{1: &h.values, 2: &h.encoding})
		case id == 8 && kind == thriftStruct:
			ints(map[int64]*int64{1: &h.values, 4: &h.encoding, 5: &h.levelsV2, 6: &h.repeatV2})
		default:
			return false
		}
		return true
	})
	return h
}

// A columnReader reads the values of a chunk, one page at a time.
type columnReader struct {
	absent bool // all values are null

	r          io.ReaderAt
	column     *column
	chunk      *chunk
	memory     *memory
	at, end    int64 // offsets of the next page and the end of the chunk
	page       []byte
	dictionary *dictionary
	total      int64   // values in later pages
	left       int64   // values left in this page
	levels     *hybrid // 1 for a value and 0 for a null; nil if there are no nulls
	values     decoder
}

func newColumnReader(r io.ReaderAt, of *column, k *chunk, m *memory) *columnReader {
	return &columnReader{r: r, column: of, chunk: k, memory: m, total: k.values, at: k.first(), end: k.first() + k.length}
}

func (c *columnReader) next() (v Value, err error) {
	if c.absent {
		return Value{Null: true}, nil
	}
	for c.left == 0 {
		if err := c.readPage(); err != nil {
			return v, err
		}
	}
	c.left--
	if c.levels != nil {
		level, err := c.levels.next()
		if err != nil {
			return v, err
		}
		if level > 1 {
			return v, malformed("a level of %d", level)
		}
		if level == 0 {
			return Value{Null: true}, nil
		}
	}
	return c.values.next()
}

// readPage reads the next page: a dictionary, values, or a kind that it skips.
func (c *columnReader) readPage() error {
	if c.at >= c.end {
		return malformed("fewer values than rows")
	}
	room := min(c.end-c.at, maxPageHeader)
	header := newCompact(io.NewSectionReader(c.r, c.at, room), room)
	h := header.pageHeader()
	if header.err != nil {
		return header.err
	}
	c.at += room - header.left
	if h.compressed < 0 || h.compressed > c.end-c.at || h.length < 0 || max(h.compressed, h.length) > maxPage {
		return malformed("a page of %d bytes, and %d compressed, with %d left", h.length, h.compressed, c.end-c.at)
	}
	at := c.at
	c.at += h.compressed
	switch h.kind {
	case pageDictionary:
		return c.readDictionary(&h, at)
	case pageData, pageDataV2:
		return c.readValues(&h, at)
	}
	return nil
}

func (c *columnReader) readDictionary(h *pageHeader, at int64) error {
	if c.dictionary != nil {
		return malformed("two dictionaries")
	}
	if h.encoding != encodingPlain && h.encoding != encodingPlainDictionary {
		return malformed("a dictionary of encoding %d", h.encoding)
	}
	data, err := c.memory.take(nil, int(h.length))
	if err == nil {
		err = c.decompress(data, h, at, 0)
	}
	if err != nil {
		return err
	}
	c.dictionary, err = c.newDictionary(data, h.values)
	return err
}

func (c *columnReader) readValues(h *pageHeader, at int64) (err error) {
	if h.values < 0 || h.values > min(c.total, maxValues) {
		return malformed("a page of %d values, with %d left", h.values, c.total)
	}
	c.total -= h.values
	if c.page, err = c.memory.take(c.page, int(h.length)); err != nil {
		return err
	}
	bare := int64(0) // length of the levels at the start, which are never compressed
	if h.kind == pageDataV2 {
		bare = h.levelsV2 + h.repeatV2
		if h.levelsV2 < 0 || h.repeatV2 != 0 || bare > min(h.length, h.compressed) {
			return malformed("levels of %d and %d bytes", h.repeatV2, h.levelsV2)
		}
	}
	if err := c.decompress(c.page, h, at, bare); err != nil {
		return err
	}
	data, err := c.readLevels(h, c.page)
	if err != nil {
		return err
	}
	c.left = h.values
	c.values, err = c.newDecoder(h, data)
	return err
}

// readLevels prepares reading which values are null. It returns the data after
// the levels.
func (c *columnReader) readLevels(h *pageHeader, data []byte) (_ []byte, err error) {
	c.levels = nil
	levels := data[:h.levelsV2]
	switch {
	case h.kind == pageDataV2:
		data = data[h.levelsV2:]
	case !c.column.optional:
		return data, nil
	case h.levels == encodingRLE:
		if levels, data, err = cutPrefixed(data); err != nil {
			return nil, err
		}
	default:
		return nil, malformed("levels of encoding %d", h.levels)
	}
	if c.column.optional {
		c.levels = &hybrid{data: levels, width: 1}
	}
	return data, nil
}

// cutPrefixed splits off a part that is preceded by its length.
func cutPrefixed(data []byte) (part, rest []byte, err error) {
	if len(data) < 4 {
		return nil, nil, errShort
	}
	n := binary.LittleEndian.Uint32(data)
	if data = data[4:]; uint64(n) > uint64(len(data)) {
		return nil, nil, errShort
	}
	return data[:n], data[n:], nil
}
