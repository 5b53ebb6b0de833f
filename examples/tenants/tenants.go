// Package tenants implements an HTTP service that keeps the notes of many
// tenants, each encrypted under the tenant's own branch key.
package tenants

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"esdk"
	"esdk/branchkey"
	"esdk/caching"
)

// ErrNoNote is returned by Notes if it has no such note.
var ErrNoNote = errors.New("tenants: no such note")

// Notes stores messages, for example in a table or a bucket. An attacker with
// write access can remove a note or restore an old one. A note in another's
// place doesn't decrypt.
type Notes interface {
	Put(ctx context.Context, tenant, id string, message []byte) error
	Get(ctx context.Context, tenant, id string) ([]byte, error)
}

// A Config configures [New].
type Config struct {
	Store *branchkey.Store
	Notes Notes

	// Tenant authenticates a request and returns its tenant, or an error. The
	// service takes the tenant from nothing else: no header, path or body.
	Tenant func(*http.Request) (string, error)

	// Tenants lists the tenants whose branch keys New fetches. MaxTenants is
	// the number of tenants whose keys are kept in memory.
	Tenants    []string
	MaxTenants int
}

const maxNote = 1 << 20 // bytes

type service struct {
	Config
	client *esdk.Client
}

// branchKeyID returns the branch key ID of a tenant.
func branchKeyID(tenant string) string { return "tenant-" + tenant }

// AddTenant creates the branch key of a new tenant. Nothing else creates one,
// so requests of unknown tenants fail. [branchkey.Store.VersionKey] rotates the
// key.
func AddTenant(ctx context.Context, store *branchkey.Store, tenant string) error {
	_, err := store.CreateKey(ctx, branchKeyID(tenant), esdk.EncryptionContext{"tenant": tenant})
	return err
}

// New returns a service with PUT and GET of /notes/ID. It fails if it can't
// fetch the branch keys of c.Tenants.
func New(ctx context.Context, c Config) (http.Handler, error) {
	cache, err := caching.NewStormTracking(caching.StormTrackingConfig{Capacity: 4 * c.MaxTenants}) // the active version and some older ones
	if err != nil {
		return nil, err
	}
	kr, err := branchkey.NewKeyring(branchkey.KeyringConfig{
		Store: c.Store,
		// The tenant in the context is authenticated: each request passes it to
		// Encrypt and Decrypt.
		Supplier: func(_ context.Context, ec esdk.EncryptionContext) (string, error) {
			if ec["tenant"] == "" {
				return "", errors.New("tenants: no tenant in the encryption context")
			}
			return branchKeyID(ec["tenant"]), nil
		},
		TTL:   10 * time.Minute, // delay until a new version is used or a lost permission is noticed
		Cache: cache,
	})
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(c.Tenants))
	for i, tenant := range c.Tenants {
		ids[i] = branchKeyID(tenant)
	}
	if len(ids) > 0 {
		if err := branchkey.Warm(ctx, kr, ids...); err != nil {
			return nil, err
		}
	}
	client, err := esdk.New(esdk.Config{
		Keyring:              kr,
		Suite:                esdk.AES256GCMHKDFSHA512Commit, // unsigned: readers also write notes
		MaxEncryptedDataKeys: 1,
		MaxPlaintextLength:   maxNote,
		MaxHeaderLength:      16 << 10,
	})
	if err != nil {
		return nil, err
	}
	s := &service{c, client}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /notes/{id}", s.handler(s.put))
	mux.HandleFunc("GET /notes/{id}", s.handler(s.get))
	return mux, nil
}

// handler authenticates requests, and answers errors without their text.
func (s *service) handler(serve func(w http.ResponseWriter, r *http.Request, ec esdk.EncryptionContext) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		tenant, err := s.Tenant(r)
		if err != nil || tenant == "" {
			http.Error(w, "not authenticated", http.StatusUnauthorized)
			return
		}
		err = serve(w, r, esdk.EncryptionContext{"tenant": tenant, "note": r.PathValue("id")})
		if err == nil {
			return
		}
		status := http.StatusInternalServerError
		switch _, long := errors.AsType[*http.MaxBytesError](err); {
		case errors.Is(err, ErrNoNote):
			status = http.StatusNotFound
		case errors.Is(err, branchkey.ErrNotFound) && !errors.Is(err, esdk.ErrNoDataKey): // to encrypt
			status = http.StatusForbidden
		case long:
			status = http.StatusRequestEntityTooLarge
		}
		slog.ErrorContext(r.Context(), "note", "tenant", tenant, "status", status, "error", err) // has no plaintext
		http.Error(w, http.StatusText(status), status)
	}
}

func (s *service) put(w http.ResponseWriter, r *http.Request, ec esdk.EncryptionContext) error {
	plaintext, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxNote))
	if err != nil {
		return err
	}
	message, _, err := s.client.Encrypt(r.Context(), plaintext, ec)
	if err != nil {
		return err
	}
	return s.Notes.Put(r.Context(), ec["tenant"], ec["note"], message)
}

func (s *service) get(w http.ResponseWriter, r *http.Request, ec esdk.EncryptionContext) error {
	message, err := s.Notes.Get(r.Context(), ec["tenant"], ec["note"])
	if err != nil {
		return err
	}
	plaintext, _, err := s.client.Decrypt(r.Context(), message, ec)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(plaintext) // fails only if the client has gone away
	return nil
}
