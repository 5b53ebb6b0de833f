package settings

import (
	"context"
	"strconv"
	"strings"
	"time"

	"esdk"
	"esdk/caching"
	"esdk/cmd/esdk/internal/calls"
	"esdk/cmd/esdk/internal/cli"
	"github.com/spf13/pflag"
)

// defaultCapacity is the number of data keys in a cache. All implementations
// use the same default.
const defaultCapacity = 1000

// AddCache adds --cache.
func AddCache(flags *pflag.FlagSet, value *string) {
	flags.StringVar(value, "cache", "", "reuse a data key for several files, within `LIMITS` such as max-age=60s,max-messages=100,max-bytes=1G")
}

// parseCache parses --cache, such as max-age=60s,max-messages=100,max-bytes=1G.
func (n *Names) parseCache(text string) (caching.Config, error) {
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
			var entries uint64
			if entries, err = strconv.ParseUint(value, 10, 31); err == nil {
				c.Cache, err = caching.NewLRU(int(entries))
			}
		case "max-bytes":
			c.MaxBytes, err = cli.ParseBytes(value)
		default:
			err = cli.UsageError("unknown limit")
		}
		if err != nil {
			return c, cli.UsageError("%s %s: must be max-age=DURATION[,max-messages=NUMBER][,max-bytes=BYTES][,capacity=NUMBER], such as max-age=60s,max-bytes=1G", n.cache, cli.Printable(part))
		}
	}
	if c.MaxAge <= 0 {
		return c, cli.UsageError("%s needs max-age=DURATION, such as max-age=60s", n.cache)
	}
	return c, nil
}

// withCache wraps a CMM in a cache, unless text is empty.
func (n *Names) withCache(ctx context.Context, cmm esdk.CMM, text string) (esdk.CMM, error) {
	if text == "" {
		return cmm, nil
	}
	c, err := n.parseCache(text)
	if err != nil {
		return nil, err
	}
	if c.Cache == nil {
		if c.Cache, err = caching.NewLRU(defaultCapacity); err != nil {
			return nil, err
		}
	}
	c.Cache = calls.Cache(ctx, c.Cache)
	c.CMM = cmm
	return caching.NewCMM(c)
}
