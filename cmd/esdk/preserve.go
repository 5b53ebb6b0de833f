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

// pastKey is of the pair of the encryption context that has mode and time of a file. It
// stands there, and not in a report, so that it goes where the message goes, and nobody
// can change it.
const pastKey = "esdk:file"

var pastValue = regexp.MustCompile(`^mode=0([0-7]{3}) mtime=([0-9TZ:.-]+)$`)

// withPast adds the pair for a file on this machine, as it is when it is about to be read.
func withPast(ec esdk.EncryptionContext, s place.Source, in place.Input) (esdk.EncryptionContext, error) {
	info, err := in.Stat()
	if err != nil || !info.Mode().IsRegular() || s.Remote() {
		return ec, nil
	}
	if year := info.ModTime().UTC().Year(); year < 0 || year > 9999 {
		return nil, cli.NewError(cli.ExitError, "its time is of the year %d, which --preserve cannot store", year)
	}
	all := maps.Clone(ec)
	if all == nil {
		all = make(esdk.EncryptionContext)
	}
	all[pastKey] = fmt.Sprintf("mode=%04o mtime=%s", info.Mode().Perm(), info.ModTime().UTC().Format(time.RFC3339Nano))
	return all, nil
}

// restorePast has a file get what its message says. Bits that give somebody's rights away
// are not among it.
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
		return cli.NewError(cli.ExitContext, "the pair %s of the encryption context is %s, which is no mode and time", pastKey, cli.Printable(value))
	}
	mode, _ := strconv.ParseUint(fields[1], 8, 32) // which the expression has checked
	modified, err := time.Parse(time.RFC3339Nano, fields[2])
	if err != nil {
		return cli.NewError(cli.ExitContext, "the pair %s of the encryption context: %w", pastKey, err)
	}
	file.Restore(fs.FileMode(mode), modified)
	return nil
}
