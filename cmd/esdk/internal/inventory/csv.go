package inventory

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxLine limits a line, in bytes. It has a key, each byte of which may take
// three, and an access control list of up to a hundred grants in Base64.
const maxLine = 1 << 20

// A csvFormat reads gzip-compressed lines of fields, without a header. Keys are
// encoded as in a form: a space is a plus sign.
type csvFormat struct {
	bucket string
	scope  Scope
	count  int            // of fields
	at     map[string]int // index of each field
}

// newCSV parses a schema such as "Bucket, Key, Size".
func newCSV(schema, bucket string, scope Scope) (*csvFormat, error) {
	names := strings.Split(schema, ",")
	c := &csvFormat{bucket, scope, len(names), make(map[string]int)}
	for i, name := range names {
		c.at[fieldName(name)] = i
	}
	if !c.has(fieldKey) {
		return nil, errors.New("fileSchema has no Key")
	}
	return c, scope.check(c.has(fieldVersion), c.has(fieldLatest))
}

func (c *csvFormat) has(name string) bool {
	_, ok := c.at[name]
	return ok
}

// Fields that are read, by the name that CSV and Parquet schemas have in
// common.
const (
	fieldBucket   = "bucket"
	fieldKey      = "key"
	fieldVersion  = "versionid"
	fieldLatest   = "islatest"
	fieldMarker   = "isdeletemarker"
	fieldSize     = "size"
	fieldModified = "lastmodifieddate"
)

// fieldName maps both VersionId and version_id to the same name.
func fieldName(name string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimSpace(name), "_", ""))
}

func (c *csvFormat) entries(f *verified, yield func(Entry, error) bool) bool {
	z, err := gzip.NewReader(f)
	if err == io.EOF && f.size == 0 {
		return true
	}
	if err != nil {
		return yield(Entry{}, fmt.Errorf("not in gzip format: %w", err))
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, maxLine)
	var fields []string
	for n := 1; lines.Scan(); n++ {
		var e Entry
		if fields, err = splitLine(fields[:0], lines.Text()); err == nil {
			e, err = c.entry(fields)
		}
		if err != nil {
			return yield(Entry{}, fmt.Errorf("line %d: %w", n, err))
		}
		if !yield(e, nil) {
			return false
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return yield(Entry{}, fmt.Errorf("the line has more than %d bytes", maxLine))
	} else if err != nil {
		return yield(Entry{}, err)
	}
	return true
}

var errQuote = errors.New("quotation mark inside a field")

// splitLine appends the fields of a line. A field may be in quotation marks,
// and two of them inside it stand for one.
func splitLine(fields []string, line string) ([]string, error) {
	for {
		field, rest, more := line, "", false
		if strings.HasPrefix(line, `"`) {
			end := endOfQuoted(line)
			if end < 0 {
				return nil, errQuote
			}
			field, rest = strings.ReplaceAll(line[1:end], `""`, `"`), line[end+1:]
			if more = strings.HasPrefix(rest, ","); !more && rest != "" {
				return nil, errQuote
			}
			rest = strings.TrimPrefix(rest, ",")
		} else {
			field, rest, more = strings.Cut(line, ",")
		}
		fields = append(fields, field)
		if !more {
			return fields, nil
		}
		line = rest
	}
}

// endOfQuoted returns the index of the closing quotation mark, -1 if there is
// none.
func endOfQuoted(line string) int {
	for i := 1; i < len(line); i++ {
		if line[i] != '"' {
			continue
		}
		if i+1 == len(line) || line[i+1] != '"' {
			return i
		}
		i++
	}
	return -1
}

// entry parses the fields of a line.
func (c *csvFormat) entry(fields []string) (e Entry, err error) {
	if len(fields) != c.count {
		return e, fmt.Errorf("%d fields, but the schema has %d", len(fields), c.count)
	}
	field := func(name string) string {
		if i, ok := c.at[name]; ok {
			return fields[i]
		}
		return ""
	}
	if c.has(fieldBucket) && field(fieldBucket) != c.bucket {
		return e, errBucket
	}
	if e.Key, err = url.QueryUnescape(field(fieldKey)); err != nil {
		return e, err
	}
	e.VersionID = field(fieldVersion)
	if e.Latest, err = parseBool(field(fieldLatest), !c.has(fieldVersion)); err != nil {
		return e, err
	}
	if err := c.scope.check(c.has(fieldVersion), field(fieldLatest) != ""); err != nil {
		return e, err
	}
	if e.DeleteMarker, err = parseBool(field(fieldMarker), false); err != nil {
		return e, err
	}
	e.Size = -1
	if text := field(fieldSize); text != "" {
		if e.Size, err = strconv.ParseInt(text, 10, 64); err != nil {
			return e, errors.New("the size is not a number")
		}
	}
	if text := field(fieldModified); text != "" {
		if e.Modified, err = time.Parse(time.RFC3339, text); err != nil {
			return e, errors.New("the time is malformed")
		}
	}
	return e, e.check()
}

var errBucket = errors.New("the object is in another bucket")

// parseBool parses a field. An empty or missing field has the default value.
func parseBool(text string, usual bool) (bool, error) {
	switch strings.ToLower(text) {
	case "":
		return usual, nil
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, errors.New("the field must be true or false")
}

// check returns an error for values that no object can have.
func (e *Entry) check() error {
	switch {
	case e.Key == "":
		return errors.New("the object has no key")
	case e.Size < -1:
		return errors.New("the object has a negative size")
	}
	return nil
}
