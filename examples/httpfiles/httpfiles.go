// Package httpfiles takes and serves files over HTTP, and stores them
// encrypted.
package httpfiles

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"esdk"
)

// Files serves PUT, GET and HEAD of /{name}. Plaintext never reaches the disk.
// Each file is bound to its name: Files doesn't serve a file that was renamed
// or put in another's place.
//
// Files protects against attackers who can read or write the directory. They
// can still remove a file, or restore an older one of the same name. Files
// doesn't authenticate users: put it behind a handler that does.
type Files struct {
	dir            *os.Root
	client, whole  *esdk.Client
	maxLength      int64
	maxSignedWhole int64
	log            *slog.Logger
}

// New returns the files of a directory. A file may have up to maxLength bytes.
//
// Files are written unsigned, since this program reads its own messages. A
// signed message, which another program may have put there, can't be read in
// parts. Up to 16 MiB, it's read and verified from start to end before each
// answer. A longer one is an error.
func New(kr esdk.Keyring, dir *os.Root, maxLength int64, log *slog.Logger) (*Files, error) {
	config := esdk.Config{
		Keyring:              kr,
		Suite:                esdk.AES256GCMHKDFSHA512Commit,
		MaxEncryptedDataKeys: 3,
		MaxHeaderLength:      16 << 10,
		MaxFrameLength:       1 << 20,
		MaxPlaintextLength:   maxLength,
	}
	client, err := esdk.New(config)
	if err != nil {
		return nil, err
	}
	config.Release = esdk.VerifyFirst
	whole, err := esdk.New(config)
	if err != nil {
		return nil, err
	}
	return &Files{dir, client, whole, maxLength, 16 << 20, log}, nil
}

// Handler returns the handler, for the root of a host or behind
// http.StripPrefix.
func (f *Files) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /{name}", f.put)
	mux.HandleFunc("GET /{name}", f.get) // and HEAD
	return mux
}

// name returns the name of the requested file, or answers with status 400.
// Names of temporary files begin with a dot.
func name(w http.ResponseWriter, r *http.Request) (string, bool) {
	name := r.PathValue("name")
	if name == "" || len(name) > 200 || name[0] == '.' || strings.ContainsAny(name, "/\\") || !filepath.IsLocal(name) {
		http.Error(w, "bad name", http.StatusBadRequest)
		return "", false
	}
	return name, true
}

func bound(name string) esdk.EncryptionContext { return esdk.EncryptionContext{"file": name} }

func (f *Files) put(w http.ResponseWriter, r *http.Request) {
	name, ok := name(w, r)
	if !ok {
		return
	}
	var tooLong *http.MaxBytesError
	switch err := f.store(r.Context(), name, http.MaxBytesReader(w, r.Body, f.maxLength)); {
	case err == nil:
		w.WriteHeader(http.StatusCreated)
	case errors.As(err, &tooLong):
		http.Error(w, "too long", http.StatusRequestEntityTooLarge)
	default:
		f.log.ErrorContext(r.Context(), "upload failed", "name", name, "error", err)
		http.Error(w, "upload failed", http.StatusInternalServerError)
	}
}

// store encrypts a file as it arrives. The file gets its name once it's
// complete. If store fails, it leaves nothing.
func (f *Files) store(ctx context.Context, name string, body io.Reader) error {
	temporary := "." + rand.Text()
	file, err := f.dir.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.dir.Remove(temporary) // no effect after Rename
	defer file.Close()
	message, err := f.client.NewWriter(ctx, file, bound(name))
	if err != nil {
		return err
	}
	defer message.Abort() // no effect after Close
	if _, err := io.Copy(message, body); err != nil {
		return err
	}
	if err := message.Close(); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return f.dir.Rename(temporary, name)
}

func (f *Files) get(w http.ResponseWriter, r *http.Request) {
	name, ok := name(w, r)
	if !ok {
		return
	}
	file, err := f.dir.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		http.NotFound(w, r)
		return
	}
	if err == nil {
		defer file.Close()
		err = f.serve(w, r, name, file)
	}
	if err != nil {
		f.log.ErrorContext(r.Context(), "file can't be read", "name", name, "error", err)
		http.Error(w, "file can't be read", http.StatusInternalServerError)
	}
}

func (f *Files) serve(w http.ResponseWriter, r *http.Request, name string, file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	message, err := f.client.NewReaderAt(r.Context(), file, info.Size(), bound(name))
	if errors.Is(err, esdk.ErrSigned) && info.Size() <= f.maxSignedWhole {
		message, err = f.whole.NewReaderAt(r.Context(), file, info.Size(), bound(name))
	}
	if err != nil {
		return err
	}
	// The message id is new for each upload, which makes it a strong validator.
	w.Header().Set("ETag", `"`+hex.EncodeToString(message.Header().MessageID)+`"`)
	w.Header().Set("Content-Type", "application/octet-stream") // untrusted: browsers must not guess the type
	w.Header().Set("X-Content-Type-Options", "nosniff")
	content := &watched{ReadSeeker: io.NewSectionReader(message, 0, message.Size())}
	http.ServeContent(w, r, "", info.ModTime(), content)
	if content.err != nil {
		f.log.ErrorContext(r.Context(), "download cut short", "name", name, "error", content.err)
		panic(http.ErrAbortHandler) // the status is sent: abort, so that the client doesn't take this for the whole file
	}
	return nil
}

// watched records the read error, which http.ServeContent doesn't return.
type watched struct {
	io.ReadSeeker
	err error
}

func (c *watched) Read(p []byte) (int, error) {
	n, err := c.ReadSeeker.Read(p)
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}
