package parquet

import "time"

// maxColumns limits the columns of a file. An inventory has some twenty.
const maxColumns = 1000

// An element is a node of the schema, a tree in depth-first order.
type element struct {
	column
	children, repetition int64
}

// readFooter reads the schema and the places of the columns.
func (f *File) readFooter(c *compact) error {
	var elements []element
	encrypted := false
	c.fields(0, func(id int64, kind byte) bool {
		switch {
		case id == 2:
			c.list(kind, func() {
				if elements = append(elements, c.element()); len(elements) > maxColumns {
					c.fail("more than %d columns", maxColumns)
				}
			})
		case id == 4:
			c.list(kind, func() { f.groups = append(f.groups, c.rowGroup()) })
		case id == 8 && kind == thriftStruct:
			encrypted = true
			return false
		default:
			return false
		}
		return true
	})
	switch {
	case c.err != nil:
		return c.err
	case encrypted:
		return malformed("it is encrypted")
	}
	return f.flatten(elements)
}

// flatten makes columns from the schema, which must have one level.
func (f *File) flatten(elements []element) error {
	if len(elements) == 0 || elements[0].children != int64(len(elements)-1) {
		return malformed("columns in columns")
	}
	for _, e := range elements[1:] {
		if e.children != 0 || e.repetition > 1 || e.repetition < 0 {
			return malformed("column %q has several values", e.name)
		}
		if f.index(e.name) >= 0 {
			return malformed("two columns %q", e.name)
		}
		e.optional = e.repetition == 1
		f.columns = append(f.columns, e.column)
	}
	for _, g := range f.groups {
		if len(g.chunks) != len(f.columns) || g.rows < 0 {
			return malformed("a group of rows with %d of %d columns", len(g.chunks), len(f.columns))
		}
	}
	return nil
}

// ConvertedTypes of timestamps.
const (
	timestampMillis = 9
	timestampMicros = 10
)

func (c *compact) element() (e element) {
	e.kind = -1
	c.fields(1, func(id int64, kind byte) bool {
		switch {
		case id == 1 && isInt(kind):
			e.kind = c.int()
		case id == 3 && isInt(kind):
			e.repetition = c.int()
		case id == 4 && kind == thriftBinary:
			e.name = c.text()
		case id == 5 && isInt(kind):
			e.children = c.int()
		case id == 6 && isInt(kind):
			switch c.int() {
			case timestampMillis:
				e.unit = time.Millisecond
			case timestampMicros:
				e.unit = time.Microsecond
			}
		case id == 10 && kind == thriftStruct:
			c.logicalType(&e.unit)
		default:
			return false
		}
		return true
	})
	return e
}

// logicalType reads the unit of a timestamp. It's a union of types, one of
// which is a struct with a union of units. The units are empty structs.
func (c *compact) logicalType(unit *time.Duration) {
	const timestamp, unitOf = 8, 2
	units := map[int64]time.Duration{1: time.Millisecond, 2: time.Microsecond, 3: time.Nanosecond}
	c.fields(2, func(id int64, kind byte) bool {
		if id != timestamp || kind != thriftStruct {
			return false
		}
		c.fields(3, func(id int64, kind byte) bool {
			if id != unitOf || kind != thriftStruct {
				return false
			}
			c.fields(4, func(id int64, _ byte) bool {
				*unit = units[id]
				return false
			})
			return true
		})
		return true
	})
}

func (c *compact) rowGroup() (g rowGroup) {
	c.fields(1, func(id int64, kind byte) bool {
		switch {
		case id == 1:
			c.list(kind, func() {
				if g.chunks = append(g.chunks, c.chunk()); len(g.chunks) > maxColumns {
					c.fail("more than %d columns", maxColumns)
				}
			})
		case id == 3 && isInt(kind):
			g.rows = c.int()
		default:
			return false
		}
		return true
	})
	return g
}

func (c *compact) chunk() (k chunk) {
	described := false
	c.fields(2, func(id int64, kind byte) bool {
		if id == 1 && kind == thriftBinary {
			c.fail("a column in another file")
		}
		if id != 3 || kind != thriftStruct {
			return false
		}
		described = true
		c.metadata(&k)
		return true
	})
	if !described {
		c.fail("a column without a description")
	}
	return k
}

func (c *compact) metadata(k *chunk) {
	numbers := map[int64]*int64{1: &k.kind, 4: &k.codec, 5: &k.values, 7: &k.length, 9: &k.data, 11: &k.dictionary}
	c.fields(3, func(id int64, kind byte) bool {
		n, ok := numbers[id]
		if ok = ok && isInt(kind); ok {
			*n = c.int()
		}
		return ok
	})
	if k.data == 0 {
		c.fail("a column without data")
	}
}
