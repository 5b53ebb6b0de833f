// Package logcmm logs messages and caches with the standard library alone.
// Module otel does the same with OpenTelemetry.
package logcmm

import (
	"context"
	"expvar"
	"log/slog"
	"maps"
	"slices"
	"time"

	"esdk"
	"esdk/caching"
)

type cmm struct {
	next esdk.CMM
	log  *slog.Logger
}

// New returns a CMM that logs each message: its suite, the keys of its
// encryption context, the duration of its materials, and the result. It never
// logs a key, or a value of the context. It logs the text of an error as it is:
// a keyring or CMM of your own must not put values in it. Make it the outermost
// CMM, the CMM of the esdk.Config, so that it also sees messages whose
// materials come from a cache.
//
// A CMM sees only the header of a message. If the body turns out to be changed
// or cut short, the message is still logged as opened: log the errors of
// esdk.Client.Decrypt and esdk.Reader.Read, too. The sender of a message
// chooses its context keys.
func New(next esdk.CMM, log *slog.Logger) esdk.CMM { return &cmm{next, log} }

func (c *cmm) EncryptionMaterials(ctx context.Context, req *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
	start := time.Now()
	m, err := c.next.EncryptionMaterials(ctx, req)
	if err != nil || m == nil {
		c.done(ctx, "message not encrypted", req.Suite, keys(req.EncryptionContext), start, err)
		return nil, err
	}
	c.done(ctx, "message encrypted", m.Suite, keys(m.EncryptionContext), start, nil)
	return m, nil
}

func (c *cmm) DecryptionMaterials(ctx context.Context, req *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
	start, suite, names := time.Now(), req.Suite, keys(req.EncryptionContext)
	m, err := c.next.DecryptionMaterials(ctx, req)
	if err != nil || m == nil {
		c.done(ctx, "message not opened", suite, names, start, err)
		return nil, err
	}
	opened := m.Opened
	m.Opened = func(ok bool) { // called once the header was checked with these materials
		if opened != nil {
			opened(ok)
		}
		if ok {
			c.done(ctx, "message opened", suite, names, start, nil)
		} else {
			c.done(ctx, "message not opened", suite, names, start, esdk.ErrAuthentication)
		}
	}
	return m, nil
}

func (c *cmm) done(ctx context.Context, text string, suite esdk.SuiteID, names []string, start time.Time, err error) {
	level, name := slog.LevelInfo, "default"
	if suite != 0 {
		name = suite.String()
	}
	attrs := []slog.Attr{slog.String("suite", name), slog.Any("contextKeys", names), slog.Duration("took", time.Since(start))}
	if err != nil {
		level = slog.LevelError
		attrs = append(attrs, slog.String("error", cut(err.Error(), 1000)))
	}
	c.log.LogAttrs(ctx, level, text, attrs...)
}

// keys returns the first 20 keys of a context, which can have thousands.
func keys(ec esdk.EncryptionContext) []string {
	all := slices.Sorted(maps.Keys(ec))
	all = all[:min(len(all), 20)]
	for i, k := range all {
		all[i] = cut(k, 100)
	}
	return all
}

func cut(text string, n int) string { return text[:min(len(text), n)] }

// Publish publishes the statistics of a cache as a variable of package expvar.
// The package serves its variables, and the command line, at /debug/vars of
// [net/http.DefaultServeMux]: don't expose that mux to strangers. Publish
// panics if the name is taken.
func Publish(name string, cache caching.Cache) {
	expvar.Publish(name, expvar.Func(func() any { return cache.Stats() }))
}

// LogStats logs the statistics of a cache at each interval, and once more when
// the context ends. Then it returns.
func LogStats(ctx context.Context, log *slog.Logger, every time.Duration, name string, cache caching.Cache) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
		s := cache.Stats()
		log.InfoContext(ctx, "cache", "name", name, "hits", s.Hits, "misses", s.Misses,
			"evictions", s.Evictions, "entries", s.Entries, "inFlight", s.InFlight)
	}
}
