package main

import (
	"context"
	"errors"
	"fmt"

	"esdk/internal/suite"
	"esdk/interop/peer"
)

// A storeSide creates and reads key stores.
type storeSide interface {
	create(ctx context.Context, table string) error
	key(ctx context.Context, table string) (id string, err error)
	version(ctx context.Context, table, id string) error
	active(ctx context.Context, table, id string) (version string, err error)
}

type ourStores struct {
	*library
	arn string
}

func (s ourStores) create(ctx context.Context, table string) error {
	store, err := s.store(table, s.arn)
	if err == nil {
		_, err = store.CreateKeyStore(ctx)
	}
	return err
}

func (s ourStores) key(ctx context.Context, table string) (string, error) {
	store, err := s.store(table, s.arn)
	if err != nil {
		return "", err
	}
	return store.CreateKey(ctx, "", nil)
}

func (s ourStores) version(ctx context.Context, table, id string) error {
	store, err := s.store(table, s.arn)
	if err == nil {
		err = store.VersionKey(ctx, id)
	}
	return err
}

func (s ourStores) active(ctx context.Context, table, id string) (string, error) {
	store, err := s.store(table, s.arn)
	if err != nil {
		return "", err
	}
	if _, err := store.BeaconKey(ctx, id); err != nil {
		return "", err
	}
	k, err := store.ActiveBranchKey(ctx, id)
	if err != nil {
		return "", err
	}
	return k.Version, nil
}

type theirStores struct {
	process *peer.Process
	arn     string
}

func (s theirStores) ask(action, table, id string) (*peer.Answer, error) {
	return s.process.Ask(&peer.Request{Op: "store", Action: action, Table: table, KMS: s.arn, ID: id})
}

func (s theirStores) create(_ context.Context, table string) error {
	_, err := s.ask("create", table, "")
	return err
}

func (s theirStores) key(_ context.Context, table string) (string, error) {
	a, err := s.ask("key", table, "")
	if err != nil {
		return "", err
	}
	return a.ID, nil
}

func (s theirStores) version(_ context.Context, table, id string) error {
	_, err := s.ask("version", table, id)
	return err
}

func (s theirStores) active(_ context.Context, table, id string) (string, error) {
	a, err := s.ask("active", table, id)
	if err != nil {
		return "", err
	}
	return a.Version, nil
}

// stores makes each side create a key store and a branch key, and both create
// new versions of it. Both see the same versions, and read each other's
// messages of all versions.
func (r *runner) stores(ctx context.Context, kms storeKeys) {
	arn := kms.first
	our, their := ourStores{r.library, arn}, theirStores{r.process, arn}
	for _, owner := range []struct {
		name string
		storeSide
	}{{"ours", our}, {"theirs", their}} {
		table := fmt.Sprintf("%s-store-of-%s", owner.name, r.name)
		at := &test{feature: hierarchy, note: "store " + owner.name, suite: suite.Lookup(0x0578), context: "none"}
		dir := map[string]direction{"ours": oursToTheirs, "theirs": theirsToOurs}[owner.name]
		err := owner.create(ctx, table)
		if owner.name == "theirs" && errors.As(err, new(peer.UnsupportedError)) {
			// It may still be able to fill an existing table.
			err = our.create(ctx, table)
		}
		id := ""
		if err == nil {
			id, err = owner.key(ctx, table)
		}
		r.results.add(r.name, at, dir, err)
		if _, theirErr := their.active(ctx, table, id); err == nil && !errors.As(theirErr, new(peer.UnsupportedError)) {
			r.branchKey(ctx, at, our, their, table, arn, id)
			(&rekeying{r, kms, table, id, owner.name}).run(ctx)
		}
	}
}

func (r *runner) branchKey(ctx context.Context, at *test, our, their storeSide, table, arn, id string) {
	p := new(plan)
	u := branchKey(table, arn, id)
	for _, version := range []string{"first", "by us", "by them"} {
		switch version {
		case "by us":
			r.results.add(r.name, at, oursToTheirs, our.version(ctx, table, id))
		case "by them":
			r.results.add(r.name, at, theirsToOurs, their.version(ctx, table, id))
		}
		ourVersion, err := our.active(ctx, table, id)
		theirVersion, theirErr := their.active(ctx, table, id)
		if err = errors.Join(err, theirErr); err == nil && ourVersion != theirVersion {
			err = fmt.Errorf("we see version %s, they see %s", ourVersion, theirVersion)
		}
		r.results.add(r.name, at, oursToTheirs, err)
		p.tests = nil
		p.eachSuite(hierarchy, at.note+", version "+version, u)
		for _, t := range p.tests {
			r.run(ctx, t)
		}
	}
}
