package main

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"esdk"
	"esdk/caching"
)

func addCacheFlag(cmd *cobra.Command, value *string) {
	cmd.Flags().StringVar(value, "cache", "", "use a data key for several files, within `LIMITS` such as max-age=60s,max-messages=100,max-bytes=1G")
}

// parseCache reads --cache, such as max-age=60s,max-messages=100,max-bytes=1G.
func parseCache(text string) (caching.Config, error) {
	var c caching.Config
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(part, "=")
		var err error
		switch name {
		case "max-age":
			c.MaxAge, err = time.ParseDuration(value)
		case "max-messages":
			c.MaxMessages, err = strconv.ParseUint(value, 10, 33)
		case "capacity":
			var n uint64
			if n, err = strconv.ParseUint(value, 10, 31); err == nil {
				c.Cache, err = caching.NewLRU(int(n))
			}
		case "max-bytes":
			c.MaxBytes, err = parseBytes(value)
		default:
			err = usageError("unknown limit")
		}
		if err != nil {
			return c, usageError("--cache %s: want max-age=DURATION[,max-messages=NUMBER][,max-bytes=BYTES][,capacity=NUMBER], such as max-age=60s,max-bytes=1G", printable(part))
		}
	}
	if c.MaxAge <= 0 {
		return c, usageError("--cache needs max-age=DURATION, such as max-age=60s")
	}
	return c, nil
}

// parseBytes reads a number of bytes, with a unit of K, M, G or T.
func parseBytes(text string) (int64, error) {
	unit := int64(1)
	if i := strings.IndexAny(text, "KMGT"); i >= 0 && i == len(text)-1 {
		unit <<= 10 * (1 + strings.IndexByte("KMGT", text[i]))
		text = text[:i]
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || n > math.MaxInt64/unit {
		return 0, strconv.ErrRange
	}
	return n * unit, nil
}

// withCache puts a cache over a CMM, if there is to be one.
func withCache(cmm esdk.CMM, text string) (esdk.CMM, error) {
	if text == "" {
		return cmm, nil
	}
	c, err := parseCache(text)
	if err != nil {
		return nil, err
	}
	c.CMM = cmm
	return caching.NewCMM(c)
}

// lengthBound bounds the length of what a file has, or is 0 if that cannot be
// known. A cache counts bytes, and so must know them before. An empty file counts
// as a byte, since a bound of 0 is none.
func lengthBound(f input) int64 {
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		return max(1, info.Size())
	}
	return 0
}

// fileLength is the length of a file that has one, or 0.
func fileLength(f input) int64 {
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		return info.Size()
	}
	return 0
}
