package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"esdk/branchkey"
	"esdk/internal/suite"
	"esdk/interop/peer"
)

// A rekeying passes messages while the KMS key of a branch key is replaced.
type rekeying struct {
	*runner
	kms              storeKeys
	table, id, owner string
}

// halfway is the number of items after which a run is interrupted: the active
// one, the beacon key and one of three versions.
const halfway = 3

var errHalfway = errors.New("halfway")

// An endingStorage fails after a number of writes.
type endingStorage struct {
	branchkey.Storage
	left int
}

func (s *endingStorage) Write(ctx context.Context, puts ...branchkey.Put) error {
	if s.left == 0 {
		return errHalfway
	}
	s.left--
	return s.Storage.Write(ctx, puts...)
}

func (r *rekeying) use(kms string) use { return branchKey(r.table, kms, r.id) }

func (r *rekeying) test(kms string) *test {
	return &test{feature: rekeyed, note: "store " + r.owner + ", " + kms, suite: suite.Lookup(0x0578), context: "none", frame: 4096, size: 100, use: r.use(kms)}
}

// run makes both sides write messages before the run and in the middle of it.
// Both sides read all messages, and new ones, at that point and afterwards.
func (r *rekeying) run(ctx context.Context) {
	at := r.test(r.kms.first)
	kept := r.keep(ctx, at, "before")
	err := r.rekey(ctx, halfway)
	if errors.Is(err, errHalfway) {
		err = r.checkKeys(ctx, halfway)
	} else {
		err = fmt.Errorf("it did not end halfway: %w", err)
	}
	r.results.add(r.name, at, oursToTheirs, err)

	during := r.test(peer.Discovery)
	r.sameActive(ctx, during, peer.Discovery)
	r.read(ctx, during, kept)
	r.eachSuite(ctx, peer.Discovery)
	kept = append(kept, r.keep(ctx, during, "during")...)

	after := r.test(r.kms.second)
	err = r.rekey(ctx, -1)
	if err == nil {
		err = r.checkKeys(ctx, -1)
	}
	r.results.add(r.name, after, oursToTheirs, err)
	for _, kms := range []string{r.kms.second, peer.Discovery} {
		r.sameActive(ctx, r.test(kms), kms)
		r.read(ctx, r.test(kms), kept)
	}
	their := theirStores{r.process, r.kms.second}
	r.results.add(r.name, after, theirsToOurs, their.version(ctx, r.table, r.id))
	r.sameActive(ctx, after, r.kms.second)
	r.eachSuite(ctx, r.kms.second)
	_, err = theirStores{r.process, r.kms.first}.active(ctx, r.table, r.id)
	if err == nil {
		r.results.add(r.name, at, oursToTheirs, errors.New("they read it with the old key only"))
	}
}

func (r *rekeying) rekey(ctx context.Context, writes int) error {
	storage, err := r.storage(r.table)
	if err != nil {
		return err
	}
	s, err := r.storeOn(&endingStorage{storage, writes}, branchkey.KMSConfig{KeyARN: r.kms.second, Former: []string{r.kms.first}})
	if err != nil {
		return err
	}
	_, err = s.RekeyBranchKey(ctx, r.id, r.kms.second)
	return err
}

// checkKeys fails unless want items are under the second key; -1 means all.
func (r *rekeying) checkKeys(ctx context.Context, want int) error {
	s, err := r.store(r.table, peer.Discovery)
	if err != nil {
		return err
	}
	got, all := 0, 0
	for e, err := range s.List(ctx, r.id) {
		if err != nil {
			return err
		}
		if all++; e.KMSKeyARN == r.kms.second {
			got++
		}
	}
	if want < 0 {
		want = all
	} else if all <= want {
		return fmt.Errorf("there are only %d items", all)
	}
	if got != want {
		return fmt.Errorf("%d of %d items are under the second key, want %d", got, all, want)
	}
	return nil
}

// keep makes each side write a message, for later.
func (r *rekeying) keep(ctx context.Context, t *test, when string) (paths []string) {
	ours, theirs := r.path(when+"-ours"), r.path(when+"-theirs")
	message, err := r.encrypt(ctx, t, plaintext(t.size))
	if err == nil {
		err = os.WriteFile(ours, message, 0o600)
	}
	if err == nil {
		paths = append(paths, ours)
	}
	r.results.add(r.name, t, oursToTheirs, err)
	made, err := r.theyEncrypt(t)
	if err == nil {
		err = os.Rename(made, theirs)
	}
	if err == nil {
		paths = append(paths, theirs)
	}
	r.results.add(r.name, t, theirsToOurs, err)
	return paths
}

// read makes each side read the kept messages.
func (r *rekeying) read(ctx context.Context, t *test, paths []string) {
	for _, path := range paths {
		got, _, err := r.theyDecrypt(t, t.use.decrypts[0], path)
		r.results.add(r.name, t, oursToTheirs, samePlaintext(t, got, err))
		got, _, err = r.decrypt(ctx, t, t.use.decrypts[0], readFile(path))
		r.results.add(r.name, t, theirsToOurs, samePlaintext(t, got, err))
	}
}

func samePlaintext(t *test, got []byte, err error) error {
	if err == nil && !bytes.Equal(got, plaintext(t.size)) {
		return errors.New("another plaintext")
	}
	return err
}

// sameActive compares the active versions that both sides see.
func (r *rekeying) sameActive(ctx context.Context, t *test, kms string) {
	ours, err := ourStores{r.library, kms}.active(ctx, r.table, r.id)
	theirs, theirErr := theirStores{r.process, kms}.active(ctx, r.table, r.id)
	if err = errors.Join(err, theirErr); err == nil && ours != theirs {
		err = fmt.Errorf("we see version %s, they see %s", ours, theirs)
	}
	r.results.add(r.name, t, oursToTheirs, err)
}

func (r *rekeying) eachSuite(ctx context.Context, kms string) {
	p := new(plan)
	p.eachSuite(rekeyed, "store "+r.owner+", "+kms, r.use(kms))
	for _, t := range p.tests {
		r.runner.run(ctx, t)
	}
}
