package place

import (
	"crypto/sha256"
	"encoding/binary"
	"iter"
	"strconv"
	"strings"

	"esdk/cmd/esdk/internal/cli"
)

// A shard is one of several disjoint parts of the inputs, which together are
// all inputs. The zero value is all inputs.
type shard struct{ index, count uint64 }

// maxShards is more than any batch system starts.
const maxShards = 1 << 30

// indexVariables name the environment variables in which batch systems set the
// index of a process.
var indexVariables = []string{"AWS_BATCH_JOB_ARRAY_INDEX", "JOB_COMPLETION_INDEX"}

// parseShard parses I/N, or env/N for the index in the environment. Empty text
// stands for all inputs.
func parseShard(text string, environment func(string) string) (s shard, err error) {
	if text == "" {
		return s, nil
	}
	index, count, ok := strings.Cut(text, "/")
	if index == "env" {
		if index, err = shardIndex(environment); err != nil {
			return s, err
		}
	}
	s.count, err = strconv.ParseUint(count, 10, 64)
	if !ok || err != nil || s.count < 1 || s.count > maxShards {
		return s, cli.UsageError("--shard %s: must be I/N or env/N, with I from 0 to N-1", cli.Printable(text))
	}
	s.index, err = strconv.ParseUint(index, 10, 64)
	if err != nil || s.index >= s.count {
		return s, cli.UsageError("--shard %s: shard %s of %d does not exist: the first is 0", cli.Printable(text), cli.Printable(index), s.count)
	}
	return s, nil
}

func shardIndex(environment func(string) string) (index string, err error) {
	for _, name := range indexVariables {
		value := environment(name)
		if value != "" && index != "" && value != index {
			return "", cli.UsageError("--shard env/N: %s have different values", strings.Join(indexVariables, " and "))
		}
		if value != "" {
			index = value
		}
	}
	if index == "" {
		return "", cli.UsageError("--shard env/N: neither %s is set", strings.Join(indexVariables, " nor "))
	}
	return index, nil
}

// has reports whether an input belongs to the shard. It takes the first eight
// bytes of the SHA-256 hash of the name as a big-endian number, modulo N. Other
// programs compute this too, so it must never change.
func (s shard) has(name string) bool {
	if s.count <= 1 {
		return true
	}
	sum := sha256.Sum256([]byte(name))
	return binary.BigEndian.Uint64(sum[:])%s.count == s.index
}

// of filters out jobs of other shards.
func (s shard) of(jobs iter.Seq2[Job, error]) iter.Seq2[Job, error] {
	if s.count <= 1 {
		return jobs
	}
	return func(yield func(Job, error) bool) {
		for j, err := range jobs {
			// If a directory can't be searched, its part of each shard is
			// unknown, so all shards report it.
			if err == nil && !j.search && !s.has(shardName(j.Source)) {
				continue
			}
			if !yield(j, err) {
				return
			}
		}
	}
}

// shardName returns the name that decides. For an object, it's the bucket and
// the key, so that lists, directories and inventories agree regardless of
// parameters and escapes in URLs.
func shardName(s Source) string {
	if o, ok := s.(*objectSource); ok {
		return o.Path()
	}
	return s.Name()
}
