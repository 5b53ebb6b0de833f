package sqlcolumn

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"esdk"
	"esdk/awskms"
	"esdk/branchkey"
	"esdk/caching"
	"esdk/esdktest/kmssim"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	_ "github.com/jackc/pgx/v5/stdlib"
)

// open returns a database with an empty table people.
func open(t *testing.T) *sql.DB {
	url := os.Getenv("ESDK_POSTGRES_URL")
	if url == "" {
		if os.Getenv("ESDK_REQUIRE_SERVERS") != "" {
			t.Fatal("ESDK_POSTGRES_URL is not set")
		}
		t.Skip("NOT RUN: ESDK_POSTGRES_URL is not set; examples/run.sh sqlcolumn starts PostgreSQL")
	}
	db := must[*sql.DB](t)(sql.Open("pgx", url))
	t.Cleanup(func() { db.Close() })
	exec(t, db, `DROP TABLE IF EXISTS people`)
	exec(t, db, `CREATE TABLE people (id TEXT PRIMARY KEY, phone BYTEA, passport BYTEA, note TEXT)`)
	return db
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func exec(t testing.TB, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func keyring(t testing.TB, key byte) esdk.Keyring {
	return must[esdk.Keyring](t)(esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "recipes", Name: "sql", Key: bytes.Repeat([]byte{key}, 32)}))
}

func column(t testing.TB, name string) *Column {
	return must[*Column](t)(New(keyring(t, 1), "people", name))
}

func text(s string) *sql.Null[string] { return &sql.Null[string]{V: s, Valid: true} }

func insert(t testing.TB, db *sql.DB, id string, phone, passport *sql.Null[string]) {
	t.Helper()
	exec(t, db, `INSERT INTO people (id, phone, passport) VALUES ($1, $2, $3)`, id,
		column(t, "phone").Cell(t.Context(), &id, phone), column(t, "passport").Cell(t.Context(), &id, passport))
}

// get reads the phone number of a row.
func get(ctx context.Context, db *sql.DB, c *Column, id string) (value sql.Null[string], err error) {
	value = sql.Null[string]{V: "before", Valid: true}
	err = db.QueryRowContext(ctx, `SELECT phone FROM people WHERE id = $1`, id).Scan(c.Cell(ctx, &id, &value))
	return value, err
}

func TestColumn(t *testing.T) {
	db := open(t)
	insert(t, db, "17", text("555-0117"), text(""))
	insert(t, db, "18", new(sql.Null[string]), text("P18"))
	insert(t, db, "19", text("ünïcödé"), new(sql.Null[string]))

	// The keys of these rows aren't known before. Scan sets its destinations in
	// order, so a cell sees the key that was just set.
	rows := must[*sql.Rows](t)(db.QueryContext(t.Context(), `SELECT id, phone, passport FROM people ORDER BY id`))
	defer rows.Close()
	var got []string
	for rows.Next() {
		var id string
		var phone, passport sql.Null[string]
		if err := rows.Scan(&id, column(t, "phone").Cell(t.Context(), &id, &phone), column(t, "passport").Cell(t.Context(), &id, &passport)); err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(id, phone, passport))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if want := "[17{555-0117 true} { true} 18{ false} {P18 true} 19{ünïcödé true} { false}]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
	var nulls int
	if err := db.QueryRow(`SELECT count(*) FROM people WHERE phone IS NULL OR passport IS NULL`).Scan(&nulls); err != nil || nulls != 2 {
		t.Errorf("%d NULLs, %v", nulls, err)
	}
	// The table holds the message, without plaintext or encryption context.
	var raw []byte
	if err := db.QueryRow(`SELECT phone FROM people WHERE id = '17'`).Scan(&raw); err != nil {
		t.Fatal(err)
	}
	header := must[*esdk.Header](t)(esdk.ParseHeader(bytes.NewReader(raw)))
	if len(header.EncryptionContext) != 0 || bytes.Contains(raw, []byte("555-0117")) {
		t.Errorf("the cell shows %q", raw)
	}

	id := "17"
	exec(t, db, `UPDATE people SET phone = $2 WHERE id = $1`, id, column(t, "phone").Cell(t.Context(), &id, text("555-0999")))
	if v, err := get(t.Context(), db, column(t, "phone"), id); err != nil || v != *text("555-0999") {
		t.Errorf("%v, %v", v, err)
	}
}

func TestBadInput(t *testing.T) {
	db := open(t)
	insert(t, db, "17", text("555-0117"), text("P17"))
	insert(t, db, "18", text("555-0118"), text("P18"))
	id := "17"
	elsewhere := must[*Column](t)(New(keyring(t, 1), "customers", "phone"))
	stranger := must[*Column](t)(New(keyring(t, 2), "people", "phone"))
	long := must[*esdk.Client](t)(esdk.New(esdk.Config{Keyring: keyring(t, 1), Suite: esdk.AES256GCMHKDFSHA512Commit}))
	longMessage, _, err := long.Encrypt(t.Context(), make([]byte, MaxLength+1), esdk.EncryptionContext{"table": "people", "column": "phone", "row": "17"})
	if err != nil {
		t.Fatal(err)
	}
	var format *esdk.FormatError
	isFormat := func(err error) bool { return errors.As(err, &format) }
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	for _, try := range []struct {
		name, set string
		arg       any
		is        func(error) bool
	}{
		{"another row's", `(SELECT phone FROM people WHERE id = '18') || $2::BYTEA`, []byte{}, is(esdk.ErrEncryptionContext)},
		{"another column's", `passport || $2::BYTEA`, []byte{}, is(esdk.ErrEncryptionContext)},
		{"another table's", `$2`, elsewhere.Cell(t.Context(), &id, text("x")), is(esdk.ErrEncryptionContext)},
		{"under another key", `$2`, stranger.Cell(t.Context(), &id, text("x")), is(esdk.ErrNoDataKey)},
		{"changed", `set_byte(phone, length(phone) - 1, get_byte(phone, length(phone) - 1) # 1) || $2::BYTEA`, []byte{}, is(esdk.ErrAuthentication)},
		{"truncated", `substring(phone FROM 1 FOR length(phone) - $2::INT)`, 1, is(io.ErrUnexpectedEOF)},
		{"continued", `phone || $2::BYTEA`, []byte{0}, isFormat},
		{"empty", `$2`, []byte{}, isFormat},
		{"no message", `$2`, []byte("555-0117"), isFormat},
		{"too long", `$2`, longMessage, is(esdk.ErrLimit)},
	} {
		var before []byte
		if err := db.QueryRow(`SELECT phone FROM people WHERE id = '17'`).Scan(&before); err != nil {
			t.Fatal(err)
		}
		exec(t, db, `UPDATE people SET phone = `+try.set+` WHERE id = $1`, id, try.arg)
		v, err := get(t.Context(), db, column(t, "phone"), id)
		if err == nil || !try.is(err) || v != (sql.Null[string]{}) {
			t.Errorf("%s: %v, %v", try.name, v, err)
		}
		exec(t, db, `UPDATE people SET phone = $2 WHERE id = $1`, id, before)
	}
	if v, err := get(t.Context(), db, column(t, "phone"), id); err != nil || v != *text("555-0117") {
		t.Errorf("at the end: %v, %v", v, err)
	}

	// A value that is too long to be read again must not be written.
	if _, err := db.Exec(`UPDATE people SET phone = $1`, column(t, "phone").Cell(t.Context(), &id, text(strings.Repeat("x", MaxLength+1)))); !errors.Is(err, esdk.ErrLimit) {
		t.Errorf("too long: %v", err)
	}
	// A cell doesn't open without the key of its row, or if the key is set
	// after it.
	var none string
	var v sql.Null[string]
	err = db.QueryRow(`SELECT phone, id FROM people WHERE id = '17'`).Scan(column(t, "phone").Cell(t.Context(), &none, &v), &none)
	if err == nil || v.Valid {
		t.Errorf("without a row: %v, %v", v, err)
	}
	if _, err := db.Exec(`UPDATE people SET phone = $1`, column(t, "phone").Cell(t.Context(), new(string), text("x"))); err == nil {
		t.Error("a cell without a row was written")
	}
	// A text column is rejected.
	exec(t, db, `UPDATE people SET note = 'text' WHERE id = '17'`)
	if err := db.QueryRow(`SELECT note FROM people WHERE id = '17'`).Scan(column(t, "note").Cell(t.Context(), &id, &v)); err == nil || v.Valid {
		t.Errorf("a column of text: %v, %v", v, err)
	}
	for _, names := range [][2]string{{"", "phone"}, {"people", ""}} {
		if _, err := New(keyring(t, 1), names[0], names[1]); err == nil {
			t.Errorf("New takes %q", names)
		}
	}
	if _, err := New(nil, "people", "phone"); err == nil {
		t.Error("New takes no keyring")
	}
}

// TestContext checks that the context of the call reaches the key service.
func TestContext(t *testing.T) {
	db := open(t)
	insert(t, db, "17", text("555-0117"), text("P17"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	id, v := "17", *text("before")
	err := db.QueryRowContext(t.Context(), `SELECT phone FROM people WHERE id = $1`, id).Scan(column(t, "phone").Cell(ctx, &id, &v))
	if !errors.Is(err, context.Canceled) || v.Valid {
		t.Errorf("%v, %v", v, err)
	}
	_, err = db.ExecContext(t.Context(), `UPDATE people SET phone = $1`, column(t, "phone").Cell(ctx, &id, text("x")))
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestCallsOfStatement checks that a statement makes one call to the key
// service per cell.
func TestCallsOfStatement(t *testing.T) {
	db := open(t)
	kr := &countingKeyring{Keyring: keyring(t, 1)}
	phones, id := must[*Column](t)(New(kr, "people", "phone")), "17"
	exec(t, db, `INSERT INTO people (id, phone) VALUES ($1, $2)`, id, phones.Cell(t.Context(), &id, text("x")))
	if _, err := get(t.Context(), db, phones, id); err != nil || kr.wraps != 1 || kr.unwraps != 1 {
		t.Errorf("%d calls to encrypt, %d to decrypt, %v", kr.wraps, kr.unwraps, err)
	}
}

type countingKeyring struct {
	esdk.Keyring
	wraps, unwraps int
}

func (k *countingKeyring) Wrap(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
	k.wraps++
	return k.Keyring.Wrap(ctx, req)
}

func (k *countingKeyring) Unwrap(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
	k.unwraps++
	return k.Keyring.Unwrap(ctx, req)
}

func TestConcurrent(t *testing.T) {
	db := open(t)
	phones := column(t, "phone")
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			for m := range 5 {
				id := fmt.Sprintf("%d-%d", n, m)
				if _, err := db.ExecContext(t.Context(), `INSERT INTO people (id, phone) VALUES ($1, $2)`, id, phones.Cell(t.Context(), &id, text("of "+id))); err != nil {
					t.Error(err)
				}
				if v, err := get(t.Context(), db, phones, id); err != nil || v.V != "of "+id {
					t.Errorf("%v, %v", v, err)
				}
			}
		})
	}
	all.Wait()
}

// TestCallsOfKMS counts calls to AWS KMS for ten cells, written and read: one
// per cell and direction, with or without a caching CMM, and fewer with a
// branch key.
func TestCallsOfKMS(t *testing.T) {
	server := kmssim.New()
	defer server.Close()
	arn := server.CreateKey("us-west-2", types.KeySpecSymmetricDefault)
	clients := awskms.FixedClient(server.Client("us-west-2"))
	kr := must[esdk.Keyring](t)(awskms.NewKeyring(awskms.Config{Clients: clients}, arn))
	storage := must[branchkey.Storage](t)(branchkey.NewFileStorage(filepath.Join(t.TempDir(), "keys.db")))
	store := must[*branchkey.Store](t)(branchkey.NewStore(branchkey.Config{
		Storage: storage, LogicalName: "keys", KMS: branchkey.KMSConfig{KeyARN: arn}, Clients: clients,
	}))
	must[string](t)(store.CreateKeyStore(t.Context()))
	branch := must[string](t)(store.CreateKey(t.Context(), "", nil))
	hierarchical := must[esdk.Keyring](t)(branchkey.NewKeyring(branchkey.KeyringConfig{Store: store, BranchKeyID: branch, TTL: time.Hour}))

	calls := func(kr esdk.Keyring) (n int) {
		server.Reset()
		phones := must[*Column](t)(New(kr, "people", "phone"))
		for row := range 10 {
			id := fmt.Sprint(row)
			v := must[any](t)(phones.Cell(t.Context(), &id, text("x")).Value())
			if err := phones.Cell(t.Context(), &id, new(sql.Null[string])).Scan(v); err != nil {
				t.Fatal(err)
			}
		}
		for _, count := range server.Counts() {
			n += count
		}
		return n
	}
	if n := calls(kr); n != 20 {
		t.Errorf("%d calls for 10 cells that were written and read", n)
	}
	if n := calls(hierarchical); n != 2 { // the active version to encrypt, and the same version to decrypt
		t.Errorf("%d calls with a branch key", n)
	}
	// Use a caching CMM instead of the default one.
	phones := must[*Column](t)(New(kr, "people", "phone"))
	cmm := must[esdk.CMM](t)(caching.NewCMM(caching.Config{Keyring: kr, MaxAge: time.Hour}))
	cmm = must[esdk.CMM](t)(esdk.NewRequiredContextCMM(cmm, "table", "column", "row"))
	phones.client = must[*esdk.Client](t)(esdk.New(esdk.Config{CMM: cmm, Suite: esdk.AES256GCMHKDFSHA512Commit}))
	server.Reset()
	for row := range 10 {
		id := fmt.Sprint(row)
		must[any](t)(phones.Cell(t.Context(), &id, text("x")).Value())
	}
	if n := server.Count("GenerateDataKey"); n != 10 {
		t.Errorf("%d calls for 10 cells with a cache", n)
	}
}

func BenchmarkCell(b *testing.B) {
	phones, id, value := column(b, "phone"), "17", text("555-0117")
	var message []byte
	b.Run("encrypt", func(b *testing.B) {
		for b.Loop() {
			message = must[any](b)(phones.Cell(b.Context(), &id, value).Value()).([]byte)
		}
		b.ReportMetric(float64(len(message)-len(value.V)), "bytes-added/op")
	})
	b.Run("decrypt", func(b *testing.B) {
		for b.Loop() {
			if err := phones.Cell(b.Context(), &id, new(sql.Null[string])).Scan(message); err != nil {
				b.Fatal(err)
			}
		}
	})
}
