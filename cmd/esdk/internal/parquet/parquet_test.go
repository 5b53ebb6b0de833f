package parquet

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/encoding"
)

// A line is a row as a Go struct.
type line struct {
	key           string
	version       *string
	latest        *bool
	size          *int64
	modified      *int64
	small         int32
	ignoredColumn string
}

func randomLine(r *rand.Rand) line {
	// Only a few different values, so that there are runs.
	l := line{key: fmt.Sprintf("prefix/%d/%x", r.IntN(5), r.Uint64()>>r.IntN(64)), small: int32(r.Uint32()) >> r.IntN(32), ignoredColumn: "x"}
	if r.IntN(3) > 0 {
		l.version = new(fmt.Sprintf("v%d", r.IntN(3)))
		l.latest = new(r.IntN(50) > 0)
	}
	if r.IntN(100) > 0 {
		l.size = new(r.Int64() >> r.IntN(64))
	}
	if r.IntN(10) > 0 {
		l.modified = new(1_700_000_000_000 + r.Int64N(100))
	}
	return l
}

var names = []string{"key", "version_id", "is_latest", "size", "last_modified_date", "small", "absent"}

// values returns the values of a row in the order of names.
func (l *line) values() string {
	text := func(v any) string {
		switch v := v.(type) {
		case *string:
			if v != nil {
				return *v
			}
		case *bool:
			if v != nil {
				return fmt.Sprint(map[bool]int{true: 1}[*v])
			}
		case *int64:
			if v != nil {
				return fmt.Sprint(*v)
			}
		}
		return "null"
	}
	return fmt.Sprintf("%s %s %s %s %s %d null", l.key, text(l.version), text(l.latest), text(l.size), text(l.modified), l.small)
}

func rowText(row []Value) string {
	text := ""
	for i, v := range row {
		if i > 0 {
			text += " "
		}
		switch {
		case v.Null:
			text += "null"
		case v.Bytes != nil:
			text += string(v.Bytes)
		default:
			text += fmt.Sprint(v.Int)
		}
	}
	return text
}

// A way is a combination of options for writing a file.
type way struct {
	codec        compress.Codec
	text, number encoding.Encoding // nil for the writer's own choice
	version      int
	page, group  int
}

func randomWay(r *rand.Rand) *way {
	texts := []encoding.Encoding{nil, &pq.Plain, &pq.RLEDictionary, &pq.DeltaLengthByteArray, &pq.DeltaByteArray}
	ints := []encoding.Encoding{nil, &pq.Plain, &pq.RLEDictionary, &pq.DeltaBinaryPacked}
	codecs := []compress.Codec{&pq.Uncompressed, &pq.Snappy, &pq.Gzip, &pq.Zstd}
	return &way{
		codec: codecs[r.IntN(len(codecs))], text: texts[r.IntN(len(texts))], number: ints[r.IntN(len(ints))],
		version: 1 + r.IntN(2), page: 1 << (6 + r.IntN(12)), group: 1 + r.IntN(2000),
	}
}

func (w *way) String() string {
	return fmt.Sprintf("%v, texts %v, numbers %v, version %d, pages of %d, groups of %d", w.codec, w.text, w.number, w.version, w.page, w.group)
}

// write writes lines with another library, the counterpart in these tests.
func (w *way) write(t testing.TB, lines []line) []byte {
	t.Helper()
	as := func(n pq.Node, e encoding.Encoding) pq.Node {
		if e != nil {
			n = pq.Encoded(n, e)
		}
		return pq.Compressed(n, w.codec)
	}
	var flag = pq.Leaf(pq.BooleanType)
	schema := pq.NewSchema("s3.inventory", pq.Group{
		"key":                as(pq.String(), w.text),
		"version_id":         pq.Optional(as(pq.String(), w.text)),
		"is_latest":          pq.Optional(as(flag, nil)),
		"size":               pq.Optional(as(pq.Leaf(pq.Int64Type), w.number)),
		"last_modified_date": pq.Optional(as(pq.Timestamp(pq.Millisecond), w.number)),
		"small":              as(pq.Leaf(pq.Int32Type), w.number),
		"zz_ignored":         as(pq.String(), nil),
	})
	var out bytes.Buffer
	f := pq.NewWriter(&out, schema, pq.DataPageVersion(w.version), pq.PageBufferSize(w.page), pq.MaxRowsPerRowGroup(int64(w.group)))
	for _, l := range lines {
		// The columns are in the order of their names.
		optional := func(at int, null bool, v func() pq.Value) pq.Value {
			if null {
				return pq.NullValue().Level(0, 0, at)
			}
			return v().Level(0, 1, at)
		}
		row := pq.Row{
			optional(0, l.latest == nil, func() pq.Value { return pq.BooleanValue(*l.latest) }),
			pq.ByteArrayValue([]byte(l.key)).Level(0, 0, 1),
			optional(2, l.modified == nil, func() pq.Value { return pq.Int64Value(*l.modified) }),
			optional(3, l.size == nil, func() pq.Value { return pq.Int64Value(*l.size) }),
			pq.Int32Value(l.small).Level(0, 0, 4),
			optional(5, l.version == nil, func() pq.Value { return pq.ByteArrayValue([]byte(*l.version)) }),
			pq.ByteArrayValue([]byte(l.ignoredColumn)).Level(0, 0, 6),
		}
		if _, err := f.WriteRows([]pq.Row{row}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestReadsWhatOthersWrite reads files that another library writes with any
// options.
func TestReadsWhatOthersWrite(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 100 {
		w := randomWay(r)
		lines := make([]line, r.IntN(1500))
		for i := range lines {
			lines[i] = randomLine(r)
		}
		file := w.write(t, lines)
		f, err := Open(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatalf("%v: %v", w, err)
		}
		if f.Unit("last_modified_date") != time.Millisecond || f.Unit("size") != 0 || f.Has("absent") {
			t.Fatalf("%v: units %v and %v", w, f.Unit("last_modified_date"), f.Unit("size"))
		}
		n := 0
		for row, err := range f.Rows(names...) {
			if err != nil {
				t.Fatalf("%v, row %d of %d: %v", w, n, len(lines), err)
			}
			if got, want := rowText(row), lines[n].values(); got != want {
				t.Fatalf("%v, row %d of %d: %s, want %s", w, n, len(lines), got, want)
			}
			n++
		}
		if n != len(lines) {
			t.Fatalf("%v: %d rows of %d", w, n, len(lines))
		}
	}
}

// TestReadsWhatWasWritten reads files written by a C++ library: see
// testdata/write.py.
func TestReadsWhatWasWritten(t *testing.T) {
	files, err := filepath.Glob("testdata/*.parquet")
	if err != nil || len(files) != 4 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	null := func(is bool, text string) string {
		if is {
			return "null"
		}
		return text
	}
	for _, name := range files {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := Open(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		i := 0
		for row, err := range f.Rows("bucket", "key", "version_id", "is_latest", "size", "last_modified_date") {
			if err != nil {
				t.Fatalf("%s, row %d: %v", name, i, err)
			}
			latest := fmt.Sprint(min(1, i%4))
			want := fmt.Sprintf("lake a b/%d/ö%%2B+%04d %s %s %s %d", i%7, i, null(i%5 == 0, fmt.Sprintf("v%d", i%3)), null(i%11 == 0, latest), null(i%13 == 0, fmt.Sprint(i*i)), int64(1700000000000)+int64(i))
			if got := rowText(row); got != want {
				t.Fatalf("%s, row %d: %s, want %s", name, i, got, want)
			}
			i++
		}
		if i != 300 || f.Unit("last_modified_date") != time.Millisecond {
			t.Errorf("%s: %d rows", name, i)
		}
	}
}
