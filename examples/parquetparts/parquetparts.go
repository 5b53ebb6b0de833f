// Package parquetparts keeps Parquet files encrypted, and reads single columns
// of single row groups without the rest.
package parquetparts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"esdk"
)

// frameLength is the least that is read and decrypted at once, in bytes. It is
// a page of the file, or a part of one.
const frameLength = 64 << 10

// NewClient returns a client for the functions of this package.
//
// Its messages aren't signed, since a signature is over all of a message:
// whoever can read a file can also write one.
func NewClient(kr esdk.Keyring) (*esdk.Client, error) {
	return esdk.New(esdk.Config{
		Keyring:              kr,
		Suite:                esdk.AES256GCMHKDFSHA512Commit,
		FrameLength:          frameLength,
		MaxFrameLength:       1 << 20,
		MaxEncryptedDataKeys: 3,
		MaxHeaderLength:      64 << 10,
	})
}

// Write writes rows as an encrypted Parquet file with so many rows in a group.
// The file is bound to its name: under another one, it doesn't open. If Write
// fails, what it has written doesn't open either.
func Write[T any](ctx context.Context, client *esdk.Client, dst io.Writer, name string, perGroup int64, rows iter.Seq[T]) error {
	message, err := client.NewWriter(ctx, dst, esdk.EncryptionContext{"file": name})
	if err != nil {
		return err
	}
	defer message.Abort() // has no effect after Close
	file := parquet.NewGenericWriter[T](message, parquet.MaxRowsPerRowGroup(perGroup), parquet.Compression(&zstd.Codec{}))
	one := make([]T, 1)
	for one[0] = range rows {
		if _, err := file.Write(one); err != nil {
			return err
		}
	}
	if err := file.Close(); err != nil {
		return err
	}
	return message.Close()
}

// Open opens the file of a name, which src holds in its first size bytes. It
// reads the header and the end of the message, and the directory of the file.
//
// All that the Parquet library sees is authentic, so that only whoever can
// write files can have it parse a malicious one. But a part that nobody reads
// may be damaged, and an older file of the same name is authentic, too.
func Open(ctx context.Context, client *esdk.Client, src io.ReaderAt, size int64, name string) (*parquet.File, error) {
	plaintext, err := client.NewReaderAt(ctx, src, size, esdk.EncryptionContext{"file": name})
	if err != nil {
		return nil, err
	}
	return parquet.OpenFile(plaintext, plaintext.Size(),
		parquet.ReadBufferSize(1<<20), // fewer reads for a long column
		parquet.SkipMagicBytes(true),  // they would be another frame
		parquet.SkipPageIndex(true),   // a column that asks for it reads it
	)
}

// Column returns the values of a column in a row group. It reads no other
// column, and no other group.
func Column(file *parquet.File, group int, path ...string) (values []parquet.Value, err error) {
	leaf, found := file.Schema().Lookup(path...)
	if !found || group < 0 || group >= len(file.RowGroups()) {
		return nil, fmt.Errorf("parquetparts: no column %q in a row group %d", path, group)
	}
	pages := file.RowGroups()[group].ColumnChunks()[leaf.ColumnIndex].Pages()
	defer func() { err = errors.Join(err, pages.Close()) }()
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return values, nil
		} else if err != nil {
			return nil, err
		}
		part := make([]parquet.Value, page.NumValues())
		if n, err := page.Values().ReadValues(part); n < len(part) {
			return nil, fmt.Errorf("parquetparts: %d of %d values: %w", n, len(part), err)
		}
		for _, value := range part {
			values = append(values, value.Clone()) // the page's memory is used again
		}
		parquet.Release(page)
	}
}
