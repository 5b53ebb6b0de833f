package parquet

import (
	"encoding/binary"
	"math"
)

// Encodings.
const (
	encodingPlain           = 0
	encodingPlainDictionary = 2
	encodingRLE             = 3
	encodingDelta           = 5
	encodingDeltaLength     = 6
	encodingDeltaBytes      = 7
	encodingDictionary      = 8
)

var errShort = malformed("fewer values than there should be")

// A decoder reads the values that aren't null.
type decoder interface {
	next() (Value, error)
}

func (c *columnReader) newDecoder(h *pageHeader, data []byte) (decoder, error) {
	encoding, most := h.encoding, uint64(h.values)
	kind := c.column.kind
	number := kind == typeInt32 || kind == typeInt64
	switch {
	case encoding == encodingPlain:
		return newPlain(kind, data), nil
	case encoding == encodingPlainDictionary, encoding == encodingDictionary:
		return newIndexed(c.dictionary, data)
	case encoding == encodingRLE && kind == typeBool:
		levels, _, err := cutPrefixed(data)
		return &bools{hybrid{data: levels, width: 1}}, err
	case encoding == encodingDelta && number:
		d, err := newDelta(data, most)
		return &numbers{d, kind == typeInt32}, err
	case encoding == encodingDeltaLength && kind == typeBytes:
		return newDeltaLength(data, most)
	case encoding == encodingDeltaBytes && kind == typeBytes:
		return newDeltaBytes(data, most)
	}
	return nil, malformed("values of encoding %d", encoding)
}

// plain decodes consecutive values.
type plain struct {
	kind int64
	data []byte
	bit  int
}

func newPlain(kind int64, data []byte) *plain { return &plain{kind: kind, data: data} }

func (p *plain) next() (v Value, err error) {
	switch p.kind {
	case typeBool:
		if len(p.data) == 0 {
			return v, errShort
		}
		v.Int = int64(p.data[0] >> p.bit & 1)
		if p.bit++; p.bit == 8 {
			p.data, p.bit = p.data[1:], 0
		}
	case typeInt32:
		if len(p.data) < 4 {
			return v, errShort
		}
		v.Int = int64(int32(binary.LittleEndian.Uint32(p.data)))
		p.data = p.data[4:]
	case typeInt64:
		if len(p.data) < 8 {
			return v, errShort
		}
		v.Int = int64(binary.LittleEndian.Uint64(p.data))
		p.data = p.data[8:]
	default:
		v.Bytes, p.data, err = cutPrefixed(p.data)
	}
	return v, err
}

// A dictionary has the values that indexes refer to.
type dictionary struct {
	kind   int64
	data   []byte
	starts []uint32
}

// newDictionary finds the start of each value. Each takes at least 4 bytes,
// except for bools, which have no dictionaries.
func (c *columnReader) newDictionary(data []byte, n int64) (*dictionary, error) {
	if n < 0 || n > int64(len(data)/4) {
		return nil, malformed("a dictionary of %d values in %d bytes", n, len(data))
	}
	if c.memory.held += 4 * int(n); c.memory.held > maxHeld {
		return nil, malformed("dictionaries that are too large")
	}
	d := &dictionary{kind: c.column.kind, data: data, starts: make([]uint32, n)}
	p := newPlain(d.kind, data)
	for i := range d.starts {
		d.starts[i] = uint32(len(data) - len(p.data))
		if _, err := p.next(); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// indexed decodes indexes into a dictionary.
type indexed struct {
	dictionary *dictionary
	indexes    hybrid
}

func newIndexed(d *dictionary, data []byte) (*indexed, error) {
	if d == nil {
		return nil, malformed("values of a dictionary that is not there")
	}
	if len(data) == 0 { // all values are null
		return &indexed{dictionary: d}, nil
	}
	if data[0] > 32 {
		return nil, malformed("indexes of %d bits", data[0])
	}
	return &indexed{d, hybrid{data: data[1:], width: int(data[0])}}, nil
}

func (x *indexed) next() (Value, error) {
	i, err := x.indexes.next()
	if err != nil {
		return Value{}, err
	}
	if i >= uint64(len(x.dictionary.starts)) {
		return Value{}, malformed("index %d of a dictionary with %d values", i, len(x.dictionary.starts))
	}
	p := plain{kind: x.dictionary.kind, data: x.dictionary.data[x.dictionary.starts[i]:]}
	return p.next()
}

// bools decodes runs of bools.
type bools struct{ hybrid }

func (b *bools) next() (Value, error) {
	n, err := b.hybrid.next()
	return Value{Int: int64(n)}, err
}

// A hybrid decodes runs of one number and bit-packed numbers.
type hybrid struct {
	data  []byte
	width int

	run    uint64 // remaining repetitions of value
	value  uint64
	packed uint64 // remaining bit-packed numbers
	bits   bits
}

func (h *hybrid) next() (uint64, error) {
	for h.run == 0 && h.packed == 0 {
		if err := h.begin(); err != nil {
			return 0, err
		}
	}
	if h.run > 0 {
		h.run--
		return h.value, nil
	}
	h.packed--
	return h.bits.next(h.width)
}

// begin reads the head of a run. The last bit-packed run may be cut off, since
// its length is a multiple of eight.
func (h *hybrid) begin() error {
	head, n := binary.Uvarint(h.data)
	if n <= 0 {
		return errShort
	}
	h.data = h.data[n:]
	if head&1 == 0 {
		length := (h.width + 7) / 8
		if len(h.data) < length {
			return errShort
		}
		var value [8]byte
		copy(value[:], h.data[:length])
		h.run, h.value, h.data = head>>1, binary.LittleEndian.Uint64(value[:]), h.data[length:]
		return nil
	}
	groups := head >> 1
	if groups > maxPage {
		return malformed("%d packed numbers", groups)
	}
	length := min(groups*uint64(h.width), uint64(len(h.data)))
	h.packed, h.bits, h.data = 8*groups, bits{data: h.data[:length]}, h.data[length:]
	return nil
}

// bits decodes bit-packed numbers, from the lowest bit of each byte.
type bits struct {
	data []byte
	at   int // next bit in the first byte
}

func (b *bits) next(width int) (n uint64, err error) {
	for got := 0; got < width; {
		if len(b.data) == 0 {
			return 0, errShort
		}
		take := min(8-b.at, width-got)
		n |= uint64(b.data[0]>>b.at&(1<<take-1)) << got
		got += take
		if b.at += take; b.at == 8 {
			b.data, b.at = b.data[1:], 0
		}
	}
	return n, nil
}

// A delta decodes differences. They're bit-packed in blocks, less the smallest
// one in the block.
type delta struct {
	data    []byte // after the block
	mini    uint64 // numbers in each part of a block
	minis   uint64
	left    uint64 // remaining numbers
	value   int64
	started bool

	least  int64
	widths []byte // of the parts after this one
	width  int
	packed uint64 // remaining numbers in this part
	bits   bits
}

func newDelta(data []byte, most uint64) (*delta, error) {
	d := &delta{data: data}
	block, err := d.uvarint()
	if err == nil {
		d.minis, err = d.uvarint()
	}
	if err == nil {
		d.left, err = d.uvarint()
	}
	if err == nil {
		d.value, err = d.varint()
	}
	if err != nil {
		return nil, err
	}
	if block == 0 || block > math.MaxInt32 || block%128 != 0 || d.minis == 0 || d.minis > block || block/d.minis%32 != 0 || block%d.minis != 0 || d.left > most {
		return nil, malformed("%d differences in blocks of %d with %d parts", d.left, block, d.minis)
	}
	d.mini = block / d.minis
	return d, nil
}

func (d *delta) uvarint() (uint64, error) {
	n, length := binary.Uvarint(d.data)
	if length <= 0 {
		return 0, errShort
	}
	d.data = d.data[length:]
	return n, nil
}

func (d *delta) varint() (int64, error) {
	n, err := d.uvarint()
	return int64(n>>1) ^ -int64(n&1), err
}

func (d *delta) next() (int64, error) {
	if d.left == 0 {
		return 0, errShort
	}
	d.left--
	if !d.started {
		d.started = true
		return d.value, nil
	}
	if d.packed == 0 {
		if err := d.begin(); err != nil {
			return 0, err
		}
	}
	d.packed--
	n, err := d.bits.next(d.width)
	d.value += d.least + int64(n)
	return d.value, err
}

// begin starts the next part of a block. The last block has only as many parts
// as needed, each of full length.
func (d *delta) begin() (err error) {
	if len(d.widths) == 0 {
		if d.least, err = d.varint(); err != nil {
			return err
		}
		if uint64(len(d.data)) < d.minis {
			return errShort
		}
		d.widths, d.data = d.data[:d.minis], d.data[d.minis:]
	}
	d.width, d.widths, d.packed = int(d.widths[0]), d.widths[1:], d.mini
	if d.width > 64 {
		return malformed("differences of %d bits", d.width)
	}
	length := min(d.mini*uint64(d.width)/8, uint64(len(d.data)))
	d.bits, d.data = bits{data: d.data[:length]}, d.data[length:]
	return nil
}

// rest returns the data after all numbers.
func (d delta) rest() ([]byte, error) {
	for d.left > 0 {
		if _, err := d.next(); err != nil {
			return nil, err
		}
	}
	return d.data, nil
}

// numbers decodes differences, which wrap around in the column's type.
type numbers struct {
	*delta
	short bool // 32 bits
}

func (n *numbers) next() (v Value, err error) {
	if v.Int, err = n.delta.next(); n.short {
		v.Int = int64(int32(v.Int))
	}
	return v, err
}

// deltaLength decodes texts whose lengths all precede them.
type deltaLength struct {
	lengths *delta
	data    []byte
}

func newDeltaLength(data []byte, most uint64) (*deltaLength, error) {
	lengths, err := newDelta(data, most)
	if err != nil {
		return nil, err
	}
	data, err = lengths.rest()
	return &deltaLength{lengths, data}, err
}

func (d *deltaLength) next() (v Value, err error) {
	n, err := d.lengths.next()
	if err != nil {
		return v, err
	}
	if n < 0 || n > int64(len(d.data)) {
		return v, errShort
	}
	v.Bytes, d.data = d.data[:n], d.data[n:]
	return v, nil
}

// deltaBytes decodes texts, each given by the length of the prefix shared with
// the text before, and the rest.
type deltaBytes struct {
	shared *delta
	ends   *deltaLength
	text   []byte
}

func newDeltaBytes(data []byte, most uint64) (*deltaBytes, error) {
	shared, err := newDelta(data, most)
	if err != nil {
		return nil, err
	}
	if data, err = shared.rest(); err != nil {
		return nil, err
	}
	ends, err := newDeltaLength(data, most)
	return &deltaBytes{shared: shared, ends: ends}, err
}

func (d *deltaBytes) next() (v Value, err error) {
	n, err := d.shared.next()
	if err == nil {
		v, err = d.ends.next()
	}
	if err != nil {
		return v, err
	}
	if n < 0 || n > int64(len(d.text)) {
		return v, malformed("a text that begins as %d bytes of one with %d", n, len(d.text))
	}
	d.text = append(d.text[:n], v.Bytes...)
	v.Bytes = d.text
	return v, nil
}
