package parquet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/snappy"
)

// A node is a Thrift struct in bytes.
type node string

// fields makes a node from pairs of an ID and a value.
func fields(pairs ...any) node {
	var b []byte
	zigzag := func(n int64) { b = binary.AppendUvarint(b, uint64(n<<1)^uint64(n>>63)) }
	for i := 0; i < len(pairs); i += 2 {
		switch v := pairs[i+1].(type) {
		case int:
			b = append(b, thriftI64)
			zigzag(int64(pairs[i].(int)))
			zigzag(int64(v))
		case string:
			b = append(b, thriftBinary)
			zigzag(int64(pairs[i].(int)))
			b = append(binary.AppendUvarint(b, uint64(len(v))), v...)
		case node:
			b = append(b, thriftStruct)
			zigzag(int64(pairs[i].(int)))
			b = append(b, v...)
		case []node:
			b = append(b, thriftList)
			zigzag(int64(pairs[i].(int)))
			b = append(b, 0xf0|thriftStruct)
			b = binary.AppendUvarint(b, uint64(len(v)))
			for _, n := range v {
				b = append(b, n...)
			}
		}
	}
	return node(append(b, thriftStop))
}

// A made is a file with one column and one page, in which any number may be
// false.
type made struct {
	rows, values, kind, codec, length int
	at, dictionary                    int
	schema                            []node
	pages                             string
	footer                            node // in place of all the above
}

func newMade(pages string) *made {
	return &made{rows: 3, values: 3, kind: typeBytes, length: len(pages), at: 4, pages: pages, schema: []node{fields(4, "root", 5, 1), fields(1, typeBytes, 3, 0, 4, "key")}}
}

func (m *made) file() []byte {
	footer := m.footer
	if footer == "" {
		meta := fields(1, m.kind, 4, m.codec, 5, m.values, 7, m.length, 9, m.at, 11, m.dictionary)
		footer = fields(2, m.schema, 4, []node{fields(1, []node{fields(3, meta)}, 3, m.rows)})
	}
	b := append([]byte(magic), m.pages...)
	b = append(b, footer...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(footer)))
	return append(b, magic...)
}

// page returns a page of values of a kind and encoding.
func page(kind, values, encoding int, data string) string {
	return pageOf(kind, len(data), len(data), values, encoding, data)
}

func pageOf(kind, length, compressed, values, encoding int, data string) string {
	in := map[int]int{pageData: 5, pageDictionary: 7, pageDataV2: 8}[kind]
	at := 2
	if kind == pageDataV2 {
		at = 4
	}
	return string(fields(1, kind, 2, length, 3, compressed, in, fields(1, values, at, encoding))) + data
}

const three = "\x01\x00\x00\x00a\x02\x00\x00\x00bc\x00\x00\x00\x00"

// read reads a file and returns the keys.
func read(file []byte) (keys []string, err error) {
	f, err := Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, err
	}
	for row, err := range f.Rows("key") {
		if err != nil {
			return keys, err
		}
		keys = append(keys, string(row[0].Bytes))
	}
	return keys, nil
}

// The files that the next test changes are valid.
func TestMade(t *testing.T) {
	for name, pages := range map[string]string{
		"plain":      page(pageData, 3, encodingPlain, three),
		"version 2":  page(pageDataV2, 3, encodingPlain, three),
		"dictionary": page(pageDictionary, 3, encodingPlain, three) + page(pageData, 3, encodingDictionary, "\x02\x03\x24\x00"),
		"two pages":  page(pageData, 1, encodingPlain, three[:5]) + page(pageData, 2, encodingPlain, three[5:]),
	} {
		keys, err := read(newMade(pages).file())
		if err != nil || strings.Join(keys, "|") != "a|bc|" {
			t.Errorf("%s: %q, %v", name, keys, err)
		}
	}
}

// A false number in a file is an error and doesn't make the reader allocate
// memory.
func TestHostile(t *testing.T) {
	with := func(pages string, change func(*made)) []byte {
		m := newMade(pages)
		change(m)
		return m.file()
	}
	only := func(pages string) []byte { return newMade(pages).file() }
	footer := func(n node) []byte { return with("", func(m *made) { m.footer = n }) }
	plain := page(pageData, 3, encodingPlain, three)
	packed := string(snappy.Encode(nil, make([]byte, maxPage+1)))
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty":             {nil, "too short"},
		"magic only":        {[]byte("PAR1PAR1PAR1"), "a footer of 827474256 bytes"},
		"another file":      {bytes.Repeat([]byte("x"), 100), "does not end in PAR1"},
		"long footer":       {append(binary.LittleEndian.AppendUint32([]byte("PAR1...."), math.MaxUint32), magic...), "a footer of 4294967295 bytes"},
		"whole long footer": {footer(node(make([]byte, maxFooter+1))), "a footer of 4194305 bytes"},
		"deep":              {footer(node(strings.Repeat("\x1c", 100))), "too deep"},
		"unknown field":     {footer("\x1f"), "unknown type 15"},
		"long text":         {footer(node(binary.AppendUvarint([]byte{0x18}, 1<<30))), "a length of 1073741824"},
		"long list":         {footer(node(binary.AppendUvarint([]byte{0x29, 0xfc}, 1<<40))), "a length of 1099511627776"},
		"long number":       {footer(node("\x16" + strings.Repeat("\xff", 11))), "a number that is too large"},
		"cut short":         {footer("\x16"), "cut short"},
		"nothing":           {footer("\x00"), "columns in columns"},
		"list of numbers":   {footer("\x29\x16\x02"), "a list of another type"},
		"group":             {footer(fields(4, []node{fields()})), "columns in columns"},
		"many columns": {with(plain, func(m *made) {
			m.schema = make([]node, 2000)
			for i := range m.schema {
				m.schema[i] = fields()
			}
		}), "more than 1000 columns"},
		"column of groups": {with(plain, func(m *made) { m.schema[1] = fields(4, "key", 5, 1) }), "several values"},
		"repeated":         {with(plain, func(m *made) { m.schema[1] = fields(1, typeBytes, 3, 2, 4, "key") }), "several values"},
		"two of a name":    {with(plain, func(m *made) { m.schema = append(m.schema, m.schema[1]); m.schema[0] = fields(5, 2) }), "two columns"},
		"columns missing":  {with(plain, func(m *made) { m.schema = append(m.schema, fields(1, 1, 4, "x")); m.schema[0] = fields(5, 2) }), "1 of 2 columns"},
		"negative rows":    {with(plain, func(m *made) { m.rows, m.values = -1, -1 }), "a group of rows"},
		"more rows":        {with(plain, func(m *made) { m.rows = math.MaxInt }), "3 values for"},
		"more values":      {with(plain, func(m *made) { m.rows, m.values = math.MaxInt, math.MaxInt }), "fewer values than rows"},
		"elsewhere":        {with(plain, func(m *made) { m.at = 1 << 30 }), "not where it should be"},
		"before the file":  {with(plain, func(m *made) { m.at = -5 }), "not where it should be"},
		"too long":         {with(plain, func(m *made) { m.length = math.MaxInt }), "not where it should be"},
		"another type":     {with(plain, func(m *made) { m.kind = typeInt64 }), "not where it should be"},
		"floats":           {with(plain, func(m *made) { m.kind = 5; m.schema[1] = fields(1, 5, 4, "key") }), "has the type 5"},
		"unknown codec":    {with(pageOf(pageData, 3, len(three), 3, 0, three), func(m *made) { m.codec = 4 }), "unknown kind 4"},
		"page too long":    {only(pageOf(pageData, maxPage+1, len(three), 3, 0, three)), "a page of 16777217 bytes"},
		"page of 2 GiB":    {with(pageOf(pageData, math.MaxInt32, len(packed), 3, 0, packed), func(m *made) { m.codec = codecSnappy }), "a page of 2147483647 bytes"},
		"snappy bomb":      {with(pageOf(pageData, 100, len(packed), 3, 0, packed), func(m *made) { m.codec = codecSnappy }), "another length"},
		"zstd bomb":        {with(pageOf(pageData, 100, len(zstdBomb), 3, 0, zstdBomb), func(m *made) { m.codec = codecZstd }), "malformed"},
		"no gzip":          {with(pageOf(pageData, 100, len(packed), 3, 0, packed), func(m *made) { m.codec = codecGzip }), "gzip"},
		"negative page":    {only(pageOf(pageData, -1, len(three), 3, 0, three)), "a page of -1 bytes"},
		"beyond the chunk": {only(pageOf(pageData, 1000, 1000, 3, 0, three)), "a page of 1000 bytes"},
		"values to come":   {only(page(pageData, 4, encodingPlain, three)), "a page of 4 values, with 3 left"},
		"endless lengths":  {with(page(pageData, math.MaxInt, encodingDeltaLength, "\x80\x01\x04"+string(binary.AppendUvarint(nil, math.MaxInt))+"\x00"+strings.Repeat("\x00\x00\x00\x00\x00", 100)), func(m *made) { m.rows, m.values = math.MaxInt, math.MaxInt }), "a page of"},
		"values missing":   {only(page(pageData, 3, encodingPlain, three[:11])), "fewer values"},
		"long value":       {only(page(pageData, 3, encodingPlain, "\xff\xff\xff\xff")), "fewer values"},
		"header too long":  {only(string(fields(99, strings.Repeat("x", maxPageHeader)))), "a length of"},
		"no dictionary":    {only(page(pageData, 3, encodingDictionary, "\x02\x03\x24\x00")), "not there"},
		"two dictionaries": {only(page(pageDictionary, 3, 0, three) + page(pageDictionary, 3, 0, three)), "two dictionaries"},
		"large dictionary": {only(page(pageDictionary, math.MaxInt32, 0, three)), "a dictionary of 2147483647 values"},
		"index too large":  {only(page(pageDictionary, 3, 0, three) + page(pageData, 3, encodingDictionary, "\x02\x06\x03")), "index 3 of a dictionary with 3"},
		"wide indexes":     {only(page(pageDictionary, 3, 0, three) + page(pageData, 3, encodingDictionary, "\x21\x06\x03")), "indexes of 33 bits"},
		"runs missing":     {only(page(pageDictionary, 3, 0, three) + page(pageData, 3, encodingDictionary, "\x02\x02\x00")), "fewer values"},
		"many packed":      {only(page(pageDictionary, 3, 0, three) + page(pageData, 3, encodingDictionary, "\x02"+string(binary.AppendUvarint(nil, math.MaxUint64)))), "packed numbers"},
		"many differences": {only(page(pageData, 3, encodingDeltaLength, "\x80\x01\x04"+string(binary.AppendUvarint(nil, 1<<50))+"\x00")), "differences in blocks"},
		"blocks of none":   {only(page(pageData, 3, encodingDeltaLength, "\x00\x00\x03\x00")), "differences in blocks"},
		"wide differences": {only(page(pageData, 3, encodingDeltaLength, "\x80\x01\x04\x03\x00\x00\xff\xff\xff\xff")), "differences of 255 bits"},
		"negative length":  {only(page(pageData, 1, encodingDeltaLength, "\x80\x01\x04\x01\x01")), "fewer values"},
		"shared too much":  {only(page(pageData, 1, encodingDeltaBytes, "\x80\x01\x04\x01\x08\x80\x01\x04\x01\x00")), "begins as 4 bytes of one with 0"},
		"unknown encoding": {only(page(pageData, 3, 42, three)), "values of encoding 42"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		keys, err := read(c.file)
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, errMalformed) {
			t.Errorf("%s: %q, %v; want %s", name, keys, err, c.want)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 3<<20 && !strings.Contains(name, "zstd") {
			t.Errorf("%s: %d bytes were allocated", name, n)
		}
	}
}

// zstdBomb is a frame with a declared length of 1 GiB.
const zstdBomb = "\x28\xb5\x2f\xfd\xa0\x00\x00\x00\x40\x03\x00\x00x"

// All columns together can't hold more memory than allowed.
func TestHeld(t *testing.T) {
	m := new(memory)
	for range maxHeld / maxPage {
		if _, err := m.take(nil, maxPage); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.take(nil, 1); err == nil {
		t.Error("more was allocated")
	}
}

func FuzzRead(f *testing.F) {
	files, err := filepath.Glob("testdata/*.parquet")
	if err != nil || len(files) == 0 {
		f.Fatalf("%d files, %v", len(files), err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(newMade(page(pageData, 3, encodingPlain, three)).file())
	f.Add(newMade(page(pageDictionary, 3, encodingPlain, three) + page(pageData, 3, encodingDictionary, "\x02\x03\x24\x00")).file())
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		n := 0
		for _, err := range file.Rows("bucket", "key", "version_id", "is_latest", "size", "last_modified_date") {
			if n++; err != nil || n == 10_000 {
				return // more rows only take more time
			}
		}
	})
}
