package parquetparts_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/parquet-go/parquet-go"

	"esdk"
	"esdk/examples/parquetparts"
)

// A sale has a short column, one that is often NULL, and a long one.
type sale struct {
	ID      int64   `parquet:"id"`
	Amount  float64 `parquet:"amount"`
	Coupon  *string `parquet:"coupon,optional"`
	Receipt []byte  `parquet:"receipt"`
}

const (
	groups   = 4
	perGroup = 5_000
	name     = "sales/2026-11.parquet"
)

// sales returns the same rows on each call.
func sales() iter.Seq[sale] {
	return func(yield func(sale) bool) {
		random := rand.NewChaCha8([32]byte{})
		for id := range int64(groups * perGroup) {
			s := sale{ID: id, Amount: amount(id), Receipt: make([]byte, 400)}
			random.Read(s.Receipt)
			switch id % 10 {
			case 0:
				s.Coupon = new(string) // empty, not NULL
			case 1:
				coupon := fmt.Sprintf("coupon-%d", id)
				s.Coupon = &coupon
			}
			if !yield(s) {
				return
			}
		}
	}
}

func amount(id int64) float64 { return float64(id*7919%10_007) / 100 }

func newKeyring(key byte) esdk.Keyring {
	kr, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "example", Name: "sales", Key: bytes.Repeat([]byte{key}, 32)})
	if err != nil {
		panic(err)
	}
	return kr
}

func newClient(t testing.TB, key byte) *esdk.Client {
	t.Helper()
	client, err := parquetparts.NewClient(newKeyring(key))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// storage counts the bytes and calls of ReadAt.
type storage struct {
	*os.File
	size int64

	mu    sync.Mutex
	bytes int64
	calls int
	parts [][2]int64 // from, to
}

func (s *storage) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.File.ReadAt(p, off)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes += int64(n)
	s.calls++
	s.parts = append(s.parts, [2]int64{off, off + int64(n)})
	return n, err
}

func (s *storage) reset() { s.bytes, s.calls, s.parts = 0, 0, nil }

func openStorage(t testing.TB, path string) *storage {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return &storage{File: file, size: info.Size()}
}

// salesMessage is an encrypted file of sales, made once.
var salesMessage = sync.OnceValues(func() ([]byte, error) {
	client, err := parquetparts.NewClient(newKeyring(1))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = parquetparts.Write(context.Background(), client, &b, name, perGroup, sales())
	return b.Bytes(), err
})

// writeSales writes a file of sales and returns its path.
func writeSales(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sales.parquet.encrypted")
	message, err := salesMessage()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, message, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func checkAmounts(t testing.TB, file *parquet.File, group int) {
	t.Helper()
	values, err := parquetparts.Column(file, group, "amount")
	if err != nil || len(values) != perGroup {
		t.Errorf("%d values, %v", len(values), err)
		return
	}
	for i, value := range values {
		if want := amount(int64(group*perGroup + i)); value.Double() != want {
			t.Errorf("amount %d of group %d is %v, want %v", i, group, value, want)
			return
		}
	}
}

func TestParts(t *testing.T) {
	client := newClient(t, 1)
	path := writeSales(t)
	s := openStorage(t, path)
	file, err := parquetparts.Open(t.Context(), client, s, s.size, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("opening reads %d of %d bytes in %d calls", s.bytes, s.size, s.calls)
	// Open reads the header, within 4 KiB, and the last frame.
	if s.bytes > 4<<10+64<<10+36 || s.calls > 2 {
		t.Errorf("opening reads %d bytes in %d calls", s.bytes, s.calls)
	}
	s.reset()
	checkAmounts(t, file, 2)
	t.Logf("a column of a group reads %d bytes in %d calls", s.bytes, s.calls)
	// The column may begin and end within a frame.
	chunk := file.Metadata().RowGroups[2].Columns[1].MetaData
	if most := chunk.TotalCompressedSize + 3*(64<<10+32); s.bytes > most {
		t.Errorf("a column of %d bytes reads %d, want at most %d", chunk.TotalCompressedSize, s.bytes, most)
	}

	s.reset()
	if _, err := parquetparts.Column(file, 2, "receipt"); err != nil {
		t.Error(err)
	}
	t.Logf("a long one reads %d bytes in %d calls", s.bytes, s.calls)
	if most := file.Metadata().RowGroups[2].Columns[3].MetaData.TotalCompressedSize + 300<<10; s.bytes > most || s.calls > 12 {
		t.Errorf("a long column reads %d bytes in %d calls", s.bytes, s.calls)
	}
	if len(file.ColumnIndexes()) > 0 {
		t.Error("opening reads the page index")
	}
	if index, err := file.RowGroups()[2].ColumnChunks()[1].ColumnIndex(); err != nil || index.NumPages() == 0 {
		t.Errorf("page index: %v", err)
	}

	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if plaintext, _, err := client.Decrypt(t.Context(), whole, esdk.EncryptionContext{"file": name}); err != nil || !bytes.HasPrefix(plaintext, []byte("PAR1")) {
		t.Errorf("the message isn't a Parquet file: %v", err)
	}
	if bytes.Contains(whole, []byte("receipt")) || bytes.Contains(whole, []byte("PAR1")) {
		t.Error("the file has plaintext")
	}
}

// TestValues checks that NULL, empty and other values are distinct, and that
// rows can be read, too.
func TestValues(t *testing.T) {
	client := newClient(t, 1)
	s := openStorage(t, writeSales(t))
	file, err := parquetparts.Open(t.Context(), client, s, s.size, name)
	if err != nil {
		t.Fatal(err)
	}
	coupons, err := parquetparts.Column(file, 1, "coupon")
	if err != nil || len(coupons) != perGroup {
		t.Fatalf("%d coupons, %v", len(coupons), err)
	}
	for i, value := range coupons {
		want := fmt.Sprintf("coupon-%d", perGroup+i)
		switch {
		case i%10 == 0 && (value.IsNull() || len(value.ByteArray()) != 0),
			i%10 == 1 && string(value.ByteArray()) != want,
			i%10 > 1 && !value.IsNull():
			t.Fatalf("coupon %d is %v", i, value)
		}
	}
	// Values remain valid after their pages are released.
	for group := range groups {
		if _, err := parquetparts.Column(file, group, "receipt"); err != nil {
			t.Fatal(err)
		}
		if _, err := parquetparts.Column(file, group, "coupon"); err != nil {
			t.Fatal(err)
		}
	}
	if got := string(coupons[1].ByteArray()); got != fmt.Sprintf("coupon-%d", perGroup+1) {
		t.Errorf("a coupon has become %q", got)
	}
	rows := parquet.NewGenericReader[sale](file)
	defer rows.Close()
	if err := rows.SeekToRow(12_345); err != nil {
		t.Fatal(err)
	}
	one := make([]sale, 1)
	if n, err := rows.Read(one); n != 1 || one[0].ID != 12_345 || one[0].Amount != amount(12_345) || len(one[0].Receipt) != 400 {
		t.Errorf("row %+v, %v", one, err)
	}
	for _, missing := range [][]string{{"card"}, nil} {
		if _, err := parquetparts.Column(file, 0, missing...); err == nil {
			t.Errorf("there is a column %q", missing)
		}
	}
	for _, group := range []int{-1, groups} {
		if _, err := parquetparts.Column(file, group, "id"); err == nil {
			t.Errorf("there is a group %d", group)
		}
	}
}

func TestConcurrentReaders(t *testing.T) {
	client := newClient(t, 1)
	s := openStorage(t, writeSales(t))
	file, err := parquetparts.Open(t.Context(), client, s, s.size, name)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() { checkAmounts(t, file, i%groups) })
	}
	wg.Wait()
}

// TestDamagedPart checks that damage fails only the reads that meet it.
func TestDamagedPart(t *testing.T) {
	client := newClient(t, 1)
	path := writeSales(t)
	message, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sound := bytes.NewReader(message)
	file, err := parquetparts.Open(t.Context(), client, sound, sound.Size(), name)
	if err != nil {
		t.Fatal(err)
	}
	receipts := file.Metadata().RowGroups[3].Columns[3].MetaData
	at := receipts.DataPageOffset + receipts.TotalCompressedSize/2
	message[at+at/(64<<10)*32] ^= 1 // each frame adds 32 bytes
	damaged := bytes.NewReader(message)
	file, err = parquetparts.Open(t.Context(), client, damaged, damaged.Size(), name)
	if err != nil {
		t.Fatal(err)
	}
	checkAmounts(t, file, 3)
	if values, err := parquetparts.Column(file, 3, "receipt"); !errors.Is(err, esdk.ErrAuthentication) || values != nil {
		t.Errorf("%d values, error %v, want ErrAuthentication", len(values), err)
	}
}

func TestBadFiles(t *testing.T) {
	client := newClient(t, 1)
	var b bytes.Buffer
	if err := parquetparts.Write(t.Context(), client, &b, name, 10, func(yield func(sale) bool) { yield(sale{}) }); err != nil {
		t.Fatal(err)
	}
	message := b.Bytes()
	var plain bytes.Buffer
	if err := parquet.Write(&plain, []sale{{}}); err != nil {
		t.Fatal(err)
	}
	signed, err := esdk.Encrypt(t.Context(), newKeyring(1), plain.Bytes(), esdk.EncryptionContext{"file": name})
	if err != nil {
		t.Fatal(err)
	}
	noParquet, _, err := client.Encrypt(t.Context(), []byte("no Parquet file, but long enough"), esdk.EncryptionContext{"file": name})
	if err != nil {
		t.Fatal(err)
	}
	tampered := slices.Clone(message)
	tampered[len(tampered)-20] ^= 1
	var malformed *esdk.FormatError
	for what, test := range map[string]struct {
		client  *esdk.Client
		message []byte
		name    string
		want    any
	}{
		"another name":    {client, message, "sales/2026-10.parquet", esdk.ErrEncryptionContext},
		"another key":     {newClient(t, 2), message, name, esdk.ErrNoDataKey},
		"tampered":        {client, tampered, name, esdk.ErrAuthentication},
		"cut short":       {client, message[:len(message)-1], name, &malformed},
		"half":            {client, message[:len(message)/2], name, &malformed},
		"continued":       {client, append(slices.Clone(message), 0), name, &malformed},
		"empty":           {client, nil, name, io.ErrUnexpectedEOF},
		"plaintext":       {client, plain.Bytes(), name, &malformed},
		"signed":          {client, signed, name, esdk.ErrSigned},
		"no Parquet file": {client, noParquet, name, nil},
	} {
		file, err := parquetparts.Open(t.Context(), test.client, bytes.NewReader(test.message), int64(len(test.message)), test.name)
		if err == nil || file != nil {
			t.Errorf("%s: Open returned %v, %v", what, file, err)
			continue
		}
		switch want := test.want.(type) {
		case error:
			if !errors.Is(err, want) {
				t.Errorf("%s: error %v, want %v", what, err, want)
			}
		case nil:
		default:
			if !errors.As(err, want) {
				t.Errorf("%s: error %v, want a %T", what, err, want)
			}
		}
	}
}

// TestUnfinished checks that a file doesn't open if writing it failed.
func TestUnfinished(t *testing.T) {
	client := newClient(t, 1)
	var b bytes.Buffer
	sink := &fullDisk{Buffer: &b, left: 100 << 10}
	if err := parquetparts.Write(t.Context(), client, sink, name, perGroup, sales()); !errors.Is(err, errFull) {
		t.Errorf("error %v, want errFull", err)
	}
	if _, err := parquetparts.Open(t.Context(), client, bytes.NewReader(b.Bytes()), int64(b.Len()), name); err == nil {
		t.Error("a part of a file opens")
	}
}

// TestPanic checks that a file doesn't open if its rows panic.
func TestPanic(t *testing.T) {
	client := newClient(t, 1)
	var b bytes.Buffer
	func() {
		defer func() {
			if recover() == nil {
				t.Error("Write doesn't panic")
			}
		}()
		parquetparts.Write(t.Context(), client, &b, name, 10, func(yield func(sale) bool) {
			for range 100 {
				yield(sale{})
			}
			panic("no more rows")
		})
	}()
	if _, _, err := client.Decrypt(t.Context(), b.Bytes(), nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v, want io.ErrUnexpectedEOF", err)
	}
}

var errFull = errors.New("disk is full")

type fullDisk struct {
	*bytes.Buffer
	left int
}

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.left -= len(p); d.left < 0 {
		return 0, errFull
	}
	return d.Buffer.Write(p)
}

// BenchmarkColumn opens a file and reads a column of one group.
func BenchmarkColumn(b *testing.B) {
	client := newClient(b, 1)
	s := openStorage(b, writeSales(b))
	for b.Loop() {
		s.reset()
		file, err := parquetparts.Open(b.Context(), client, s, s.size, name)
		if err != nil {
			b.Fatal(err)
		}
		checkAmounts(b, file, 2)
	}
	b.ReportMetric(float64(s.bytes), "bytes-read")
	b.ReportMetric(float64(s.calls), "reads")
	b.ReportMetric(float64(s.size), "bytes-of-file")
}

// BenchmarkWrite reports the number of bytes that encryption adds to a file.
func BenchmarkWrite(b *testing.B) {
	client := newClient(b, 1)
	var encrypted bytes.Buffer
	for b.Loop() {
		encrypted.Reset()
		if err := parquetparts.Write(b.Context(), client, &encrypted, name, perGroup, sales()); err != nil {
			b.Fatal(err)
		}
	}
	plaintext, _, err := client.Decrypt(b.Context(), encrypted.Bytes(), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(encrypted.Len()-len(plaintext)), "bytes-added")
}
