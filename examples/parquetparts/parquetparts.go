// Package parquetparts encrypts Parquet files, and reads single columns of
// single row groups without the rest of the file.
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

// frameLength is the smallest amount that is read and decrypted at once, in
// bytes. A long page of the file spans several frames.
const frameLength = 64 << 10

// NewClient returns a client for the functions of this package.
//
// Its messages are unsigned, since verifying a signature takes the whole
// message. So a program that can read a file can also write one.
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

// Write writes rows as an encrypted Parquet file, with perGroup rows in each
// row group. The file is bound to its name and doesn't open under another one.
// If Write fails, the output is incomplete and doesn't open.
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

// Open opens the file with the given name, which src holds in its first size
// bytes. It reads the header and the end of the message, and the footer of the
// Parquet file.
//
// The Parquet library parses only authentic bytes: an attacker without write
// access to files can't pass it a malicious one. Damage in a part is found only
// when the part is read. An older file of the same name is authentic, too.
func Open(ctx context.Context, client *esdk.Client, src io.ReaderAt, size int64, name string) (*parquet.File, error) {
	plaintext, err := client.NewReaderAt(ctx, src, size, esdk.EncryptionContext{"file": name})
	if err != nil {
		return nil, err
	}
	return parquet.OpenFile(plaintext, plaintext.Size(),
		parquet.ReadBufferSize(1<<20), // fewer reads for a long column
		parquet.SkipMagicBytes(true),  // they would cost another frame
		parquet.SkipPageIndex(true),   // a column that asks for it reads it
	)
}

// Column returns the values of a column in a row group. It reads no other
// column and no other group.
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
			values = append(values, value.Clone()) // the page's memory is reused
		}
		parquet.Release(page)
	}
}
