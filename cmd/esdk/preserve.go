package main

import (
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"strconv"
	"time"

	"esdk"
	"esdk/cmd/esdk/internal/batch"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/place"
)

// pastKey is the key of the pair of the encryption context that stores the mode
// and time of a file. The encryption context stays with the message and is
// authenticated, unlike a report.
const pastKey = "esdk:file"

var pastValue = regexp.MustCompile(`^mode=0([0-7]{3}) mtime=([0-9TZ:.-]+)$`)

// withPast adds the pair for a local file. It must be called just before the
// file is read.
func withPast(ec esdk.EncryptionContext, s place.Source, in place.Input) (esdk.EncryptionContext, error) {
	info, err := in.Stat()
	if err != nil || !info.Mode().IsRegular() || s.Remote() {
		return ec, nil
	}
	if year := info.ModTime().UTC().Year(); year < 0 || year > 9999 {
		return nil, cli.NewError(cli.ExitError, "the file has a time in the year %d, which --preserve cannot store", year)
	}
	all := maps.Clone(ec)
	if all == nil {
		all = make(esdk.EncryptionContext)
	}
	all[pastKey] = fmt.Sprintf("mode=%04o mtime=%s", info.Mode().Perm(), info.ModTime().UTC().Format(time.RFC3339Nano))
	return all, nil
}

// restorePast gives a file the mode and time that its message stores. The mode
// has permission bits only, without set-user-ID, set-group-ID and sticky bits.
func restorePast(out place.Output, r *batch.Record) error {
	file, ok := out.(interface {
		Restore(fs.FileMode, time.Time)
	})
	value, has := r.Context[pastKey]
	if !ok || !has {
		return nil
	}
	fields := pastValue.FindStringSubmatch(value)
	if fields == nil {
		return cli.NewError(cli.ExitContext, "the pair %s of the encryption context is %s, not a mode and time", pastKey, cli.Printable(value))
	}
	mode, _ := strconv.ParseUint(fields[1], 8, 32) // pastValue has checked it
	modified, err := time.Parse(time.RFC3339Nano, fields[2])
	if err != nil {
		return cli.NewError(cli.ExitContext, "the pair %s of the encryption context: %w", pastKey, err)
	}
	file.Restore(fs.FileMode(mode), modified)
	return nil
}
