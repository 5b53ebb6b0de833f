// Package sqlcolumn encrypts a column of a table of SQL.
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
// VARBINARY. Each cell is bound to table, column and row, so that it opens in
// no other place. None of these is stored in it, and none can be forgotten:
// without them no cell opens.
//
// It protects from whoever can read or write the database. It doesn't hide the
// length of a value, nor NULL, and it can't tell an older value of the same
// cell, or a NULL in its place, from the current one. The column can't be
// searched.
type Column struct {
	client      *esdk.Client
	table, name string
}

// MaxLength is the most bytes of a value.
const MaxLength = 64 << 10

// New returns the column of a table. Since each row has a context of its own,
// each cell has a data key of its own, and a caching CMM spares no calls to a
// key service; the hierarchical keyring of package branchkey does.
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
		Suite:                esdk.AES256GCMHKDFSHA512Commit, // not signed: whoever reads also writes
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
// database/sql. It is a [driver.Valuer] and a [sql.Scanner].
type Cell struct {
	ctx    context.Context
	column *Column
	row    *string
	value  *sql.Null[string]
}

// Cell returns the cell of a row. As an argument of Exec or Query it is the
// ciphertext of *value; as a destination of Scan it decrypts into *value, which
// is not valid for NULL. The interfaces of database/sql pass no
// context.Context: so the cell has the one of the call that it is made for.
// Don't keep it.
//
// The row is the primary key as text, and must be known before INSERT, as a
// UUID is. Scan sets its destinations in order: *row may be one that stands
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
