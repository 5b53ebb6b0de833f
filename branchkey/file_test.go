package branchkey

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

var fileBackend = backend{
	name: "file",
	new:  newFile,
	put: func(t testing.TB, s Storage, item *Item) {
		editFile(t, s, func(items *bbolt.Bucket) error {
			b, err := items.CreateBucketIfNotExists([]byte(item.ID))
			if err != nil {
				return err
			}
			text, err := json.Marshal(storedItem{item.Enc, item.Attributes})
			if err != nil {
				return err
			}
			return b.Put([]byte(item.Type), text)
		})
	},
	del: func(t testing.TB, s Storage, id, itemType string) {
		editFile(t, s, func(items *bbolt.Bucket) error { return items.Bucket([]byte(id)).Delete([]byte(itemType)) })
	},
}

func editFile(t testing.TB, s Storage, edit func(items *bbolt.Bucket) error) {
	t.Helper()
	must(t, s.(*fileStorage).with(t.Context(), false, func(db *bbolt.DB) error {
		return db.Update(func(tx *bbolt.Tx) error { return edit(tx.Bucket([]byte(itemsBucket))) })
	}))
}

func TestFileIsPrivate(t *testing.T) {
	s := newFile(t)
	if got := ok[string](t)(s.Create(t.Context())); got != s.Name() {
		t.Errorf("Create returned %q", got)
	}
	if runtime.GOOS == "windows" {
		t.Skip("modes are not those of Unix")
	}
	info := ok[os.FileInfo](t)(os.Stat(s.Name()))
	if info.Mode() != 0o600 {
		t.Errorf("mode is %v", info.Mode())
	}
	entries := ok[[]os.DirEntry](t)(os.ReadDir(filepath.Dir(s.Name())))
	if len(entries) != 1 {
		t.Errorf("Create left %v", entries)
	}
}

func TestFileIsNoKeyStore(t *testing.T) {
	otherDatabase := func(path string) error {
		db, err := bbolt.Open(path, 0o600, nil)
		if err != nil {
			return err
		}
		return errors.Join(db.Update(func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucket([]byte("other"))
			return err
		}), db.Close())
	}
	for name, make := range map[string]func(path string) error{
		"empty":          func(p string) error { return os.WriteFile(p, nil, 0o600) },
		"short":          func(p string) error { return os.WriteFile(p, []byte("text"), 0o600) },
		"zeros":          func(p string) error { return os.WriteFile(p, make([]byte, 1<<16), 0o600) },
		"directory":      func(p string) error { return os.Mkdir(p, 0o700) },
		"other database": otherDatabase,
	} {
		t.Run(name, func(t *testing.T) {
			s := newFile(t)
			must(t, make(s.Name()))
			before, _ := os.ReadFile(s.Name())
			_, err := s.Create(t.Context())
			wantError(t, err, ErrSchema)
			_, err = s.Get(t.Context(), "id", activeType, true)
			wantError(t, err, ErrSchema)
			if err := s.Write(t.Context(), Put{Item: &Item{ID: "id", Type: activeType}}); err == nil {
				t.Error("Write succeeded")
			}
			if after, _ := os.ReadFile(s.Name()); string(before) != string(after) {
				t.Error("the file was changed")
			}
		})
	}
}

// A truncated or overwritten file causes errors, not panics or faults.
func TestFileIsDamaged(t *testing.T) {
	k := newKMS(t)
	storage := newFile(t)
	id := ok[string](t)(k.newStore(t, storage).CreateKey(t.Context(), "", customContext))
	good := ok[[]byte](t)(os.ReadFile(storage.Name()))
	try := func(what string, bytes []byte, write bool) {
		s := newFile(t)
		must(t, os.WriteFile(s.Name(), bytes, 0o600))
		item, err := s.Get(t.Context(), id, activeType, true)
		if err == nil && item.ID != id {
			t.Errorf("%s: %v", what, item)
		}
		if write { // slow, since it syncs
			s.Write(t.Context(), Put{Item: &Item{ID: "other", Type: activeType, Enc: []byte("enc")}})
		}
	}
	for n := 0; n < len(good); n += 1021 {
		try(fmt.Sprint("cut to ", n), good[:n], n%2 == 0)
	}
	for n := 0; n < len(good); n += 61 {
		bad := append([]byte(nil), good...)
		for i := n; i < min(n+16, len(bad)); i++ {
			bad[i] ^= 0xFF
		}
		try(fmt.Sprint("changed at ", n), bad, n%8 == 0)
	}
}

func TestFileLock(t *testing.T) {
	storage := newFile(t)
	ok[string](t)(storage.Create(t.Context()))
	s := storage.(*fileStorage)
	s.timeout = 50 * time.Millisecond

	// Another process holds the lock, which bbolt takes this way.
	db := ok[*bbolt.DB](t)(bbolt.Open(s.path, 0o600, nil))
	_, err := s.Get(t.Context(), "id", activeType, true)
	wantError(t, err, ErrLocked)
	wantError(t, s.Write(t.Context(), Put{Item: &Item{ID: "id", Type: activeType}}), ErrLocked)

	s.timeout = time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = s.Get(ctx, "id", activeType, true)
	wantError(t, err, ErrLocked, context.DeadlineExceeded)

	// A waiting caller gets the lock once it is free.
	go func() {
		time.Sleep(30 * time.Millisecond)
		db.Close()
	}()
	must(t, s.Write(t.Context(), Put{Item: &Item{ID: "id", Type: activeType, Enc: []byte{1}}}))
	if err := s.Write(t.Context(), Put{Item: &Item{ID: "id", Type: activeType}}); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
}

// Readers don't block each other.
func TestFileReadersShare(t *testing.T) {
	storage := newFile(t)
	ok[string](t)(storage.Create(t.Context()))
	s := storage.(*fileStorage)
	s.timeout = 10 * time.Millisecond
	must(t, s.view(t.Context(), func(*bbolt.Bucket) error {
		_, err := s.Get(t.Context(), "id", activeType, true)
		wantError(t, err, ErrNotFound)
		return nil
	}))
}

func TestFileCreatedByManyAtOnce(t *testing.T) {
	s := newFile(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if _, err := s.Create(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if entries := ok[[]os.DirEntry](t)(os.ReadDir(filepath.Dir(s.Name()))); len(entries) != 1 {
		t.Errorf("left %v", entries)
	}
}

// On a file system without links, the file is renamed, unless the name is
// taken.
func TestFileWithoutLinks(t *testing.T) {
	s := newFile(t).(*fileStorage)
	temporary := filepath.Join(filepath.Dir(s.path), "temporary")
	noLinks := errors.New("no links here")
	must(t, os.WriteFile(temporary, []byte("1"), 0o600))
	must(t, s.rename(temporary, noLinks))
	must(t, os.WriteFile(temporary, []byte("2"), 0o600))
	wantError(t, s.rename(temporary, noLinks), os.ErrExist)
	if got := string(ok[[]byte](t)(os.ReadFile(s.path))); got != "1" {
		t.Errorf("the file has %q", got)
	}
	wantError(t, (&fileStorage{path: s.path + "2"}).rename(temporary+"2", noLinks), os.ErrNotExist)
	notDirectory := &fileStorage{path: filepath.Join(s.path, "file"), timeout: time.Second}
	if _, err := notDirectory.Create(t.Context()); err == nil {
		t.Error("created in a file")
	}
	noDirectory := &fileStorage{path: filepath.Join(t.TempDir(), "none", "file"), timeout: time.Second}
	_, err := noDirectory.Create(t.Context())
	if wantError(t, err, os.ErrNotExist); errors.Is(err, ErrNoKeyStore) {
		t.Errorf("the error is about the file, not the directory: %v", err)
	}
}

// If another process makes the file in between, the link fails, and the file
// stays.
func TestFileAppears(t *testing.T) {
	s := newFile(t).(*fileStorage)
	must(t, os.WriteFile(s.path, []byte("1"), 0o600))
	wantError(t, s.create(), os.ErrExist)
	if got := string(ok[[]byte](t)(os.ReadFile(s.path))); got != "1" {
		t.Errorf("the file has %q", got)
	}
	if entries := ok[[]os.DirEntry](t)(os.ReadDir(filepath.Dir(s.path))); len(entries) != 1 {
		t.Errorf("left %v", entries)
	}
}

// bbolt rejects a bucket without a name. Nothing of such a write is stored.
func TestFileItemWithoutID(t *testing.T) {
	s := newFile(t)
	ok[string](t)(s.Create(t.Context()))
	err := s.Write(t.Context(), Put{Item: &Item{ID: "id", Type: activeType, Enc: []byte{1}}}, Put{Item: &Item{Type: activeType}})
	if err == nil || errors.Is(err, ErrExists) || errors.Is(err, ErrConflict) {
		t.Errorf("Write: %v", err)
	}
	_, err = s.Get(t.Context(), "id", activeType, true)
	wantError(t, err, ErrNotFound)
}

func TestFileItemIsNoJSON(t *testing.T) {
	s := newFile(t)
	ok[string](t)(s.Create(t.Context()))
	editFile(t, s, func(items *bbolt.Bucket) error {
		b, err := items.CreateBucket([]byte("id"))
		return errors.Join(err, b.Put([]byte(activeType), []byte("{")))
	})
	_, err := s.Get(t.Context(), "id", activeType, true)
	wantError(t, err, ErrItem)
	item := &Item{ID: "id", Type: activeType}
	wantError(t, s.Write(t.Context(), Put{Item: item}), ErrExists)
	wantError(t, s.Write(t.Context(), Put{Item: item, Replaces: []byte{1}}), ErrItem)
}

// writerEnv makes this test binary write keys to the file until it is killed.
const writerEnv = "BRANCHKEY_TEST_WRITER"

func TestMain(m *testing.M) {
	if path := os.Getenv(writerEnv); path != "" {
		writeUntilKilled(path)
	}
	if text := os.Getenv(rekeyerEnv); text != "" {
		rekeyUntilKilled(text)
	}
	os.Exit(m.Run())
}

// writeUntilKilled writes the two items of a version together, with a growing
// number, and prints the number after each write.
func writeUntilKilled(path string) {
	ctx := context.Background()
	s, err := NewFileStorage(path)
	if err != nil {
		panic(err)
	}
	old, err := s.Get(ctx, "key", activeType, true)
	if err != nil {
		panic(err)
	}
	for {
		var n int
		fmt.Sscan(string(old.Enc), &n)
		enc := []byte(fmt.Sprint(n + 1))
		padding := map[string]string{"padding": strings.Repeat("x", 3000)}
		next := &Item{ID: "key", Type: activeType, Enc: enc, Attributes: padding}
		stays := &Item{ID: "key", Type: versionPrefix + string(enc), Enc: enc, Attributes: padding}
		if err := s.Write(ctx, Put{Item: stays}, Put{Item: next, Replaces: old.Enc}); err != nil {
			panic(err)
		}
		fmt.Println(n + 1)
		old = next
	}
}

// A writer that is killed at any time leaves a file with all writes that it
// reported, and no partial write.
func TestFileSurvivesKill(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT run: -short is set")
	}
	storage := newFile(t)
	ok[string](t)(storage.Create(t.Context()))
	must(t, storage.Write(t.Context(), Put{Item: &Item{ID: "key", Type: activeType, Enc: []byte("0")}}))
	const rounds = 25
	last := 0
	for round := range rounds {
		said := killedWriter(t, storage.Name(), time.Duration(20+7*round)*time.Millisecond)
		active := ok[*Item](t)(storage.Get(t.Context(), "key", activeType, true))
		var n int
		fmt.Sscan(string(active.Enc), &n)
		if n < said || n < last {
			t.Fatalf("round %d: active is %d, the writer had said %d, before it was %d", round, n, said, last)
		}
		for i := last + 1; i <= n; i++ {
			ok[*Item](t)(storage.Get(t.Context(), "key", versionPrefix+fmt.Sprint(i), true))
		}
		_, err := storage.Get(t.Context(), "key", versionPrefix+fmt.Sprint(n+1), true)
		wantError(t, err, ErrNotFound)
		last = n
	}
	if last == 0 {
		t.Error("the writers wrote nothing")
	}
	t.Logf("%d writes by %d writers that were killed", last, rounds)
}

// killedWriter runs a writer, kills it some time after its first write, and
// returns the last number that it printed.
func killedWriter(t *testing.T, path string, after time.Duration) (last int) {
	t.Helper()
	cmd := exec.Command(ok[string](t)(os.Executable()))
	cmd.Env = append(os.Environ(), writerEnv+"="+path)
	out := ok[*os.File](t)(os.CreateTemp(t.TempDir(), "out"))
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	must(t, cmd.Start())
	awaitOutput(out)
	time.Sleep(after)
	must(t, cmd.Process.Kill())
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() > 0 {
		t.Fatalf("the writer ended by itself: %s", ok[[]byte](t)(os.ReadFile(out.Name())))
	}
	text := string(ok[[]byte](t)(os.ReadFile(out.Name())))
	for line := range strings.SplitSeq(text[:strings.LastIndex(text, "\n")+1], "\n") {
		fmt.Sscan(line, &last)
	}
	return last
}

// awaitOutput waits until a process has written something.
func awaitOutput(out *os.File) {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if info, err := out.Stat(); err == nil && info.Size() > 0 {
			return
		}
	}
}
