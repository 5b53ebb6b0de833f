// Package sqlcolumn encrypts a column of an SQL table.
package sqlcolumn

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"esdk"
)

// A Column encrypts the cells of one column, which holds bytes: BYTEA, BLOB or
// VARBINARY. Each cell is bound to its table, column and row, so that it opens
// in no other place. The cell doesn't store their names, and doesn't open
// without them.
//
// A Column protects against attackers who can read or write the database. It
// doesn't hide the length of a value, or NULL. It can't detect that a cell was
// replaced by an older value of the same cell or by NULL. The column can't be
// searched.
type Column struct {
	client      *esdk.Client
	table, name string
}

// MaxLength is the maximum length of a value in bytes.
const MaxLength = 64 << 10

// New returns the column of a table. Each row has its own encryption context,
// so each cell has a fresh data key. A caching CMM saves no calls to a key
// service; the hierarchical keyring of package branchkey does.
func New(kr esdk.Keyring, table, name string) (*Column, error) {
	if table == "" || name == "" {
		return nil, errors.New("sqlcolumn: a column needs the names of its table and its own")
	}
	cmm, err := esdk.NewDefaultCMM(kr)
	if err != nil {
		return nil, err
	}
	if cmm, err = esdk.NewRequiredContextCMM(cmm, "table", "column", "row"); err != nil {
		return nil, err
	}
	client, err := esdk.New(esdk.Config{
		CMM:                  cmm,
		Suite:                esdk.AES256GCMHKDFSHA512Commit, // unsigned: readers may also write
		MaxEncryptedDataKeys: 3,
		MaxHeaderLength:      8 << 10,
		MaxPlaintextLength:   MaxLength,
	})
	if err != nil {
		return nil, err
	}
	return &Column{client, table, name}, nil
}

// A Cell is the value of a column in one row, for one call of package
// database/sql. It implements [driver.Valuer] and [sql.Scanner].
type Cell struct {
	ctx    context.Context
	column *Column
	row    *string
	value  *sql.Null[string]
}

// Cell returns the cell of a row. As an argument of Exec or Query, it's the
// ciphertext of *value. As a destination of Scan, it decrypts into *value; for
// NULL, *value isn't valid. The interfaces of database/sql pass no
// context.Context, so the cell holds the ctx of its one call. Don't keep it.
//
// *row is the primary key as text. It must be known before INSERT, as a UUID
// is. Scan sets its destinations in order, so row may point to a destination
// before the cell.
func (c *Column) Cell(ctx context.Context, row *string, value *sql.Null[string]) *Cell {
	return &Cell{ctx, c, row, value}
}

func (c *Cell) context() (esdk.EncryptionContext, error) {
	if *c.row == "" {
		return nil, errors.New("sqlcolumn: a cell needs the key of its row")
	}
	return esdk.EncryptionContext{"table": c.column.table, "column": c.column.name, "row": *c.row}, nil
}

// Value implements [driver.Valuer].
func (c *Cell) Value() (driver.Value, error) {
	if !c.value.Valid {
		return nil, nil
	}
	ec, err := c.context()
	if err != nil {
		return nil, err
	}
	message, _, err := c.column.client.Encrypt(c.ctx, []byte(c.value.V), ec)
	if err != nil {
		return nil, err
	}
	return message, nil
}

// Scan implements [sql.Scanner]. After an error the value isn't valid.
func (c *Cell) Scan(src any) error {
	*c.value = sql.Null[string]{}
	if src == nil {
		return nil
	}
	message, ok := src.([]byte)
	if !ok {
		return fmt.Errorf("sqlcolumn: the column holds a %T, not bytes", src)
	}
	ec, err := c.context()
	if err != nil {
		return err
	}
	plaintext, _, err := c.column.client.Decrypt(c.ctx, message, ec)
	if err != nil {
		return err
	}
	*c.value = sql.Null[string]{V: string(plaintext), Valid: true}
	return nil
}
