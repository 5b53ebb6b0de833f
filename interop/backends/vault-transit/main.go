// Command vault-transit serves the transit engine of HashiCorp Vault, in
// memory, for tests. The engine is Vault's own package, with the paths and the
// JSON of Vault's HTTP interface. The rest of a Vault server is missing:
// storage, policies and all tokens but one. It can be sealed and unsealed,
// without the keys that Vault requires, and then answers as Vault does. It is
// for tests alone: Vault's license is the Business Source License.
package main

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/builtin/logical/transit"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8200", "where to listen")
	flag.Parse()
	token := os.Getenv("VAULT_TOKEN")
	if token == "" {
		log.Fatal("VAULT_TOKEN is to be the token that the server asks for")
	}
	e, err := newEngine(context.Background(), token)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe(*addr, e))
}

// engine is the transit engine, mounted at its usual path.
type engine struct {
	logical.Backend
	storage logical.Storage
	token   string
	sealed  atomic.Bool
}

func newEngine(ctx context.Context, token string) (*engine, error) {
	storage := new(logical.InmemStorage)
	backend, err := transit.Factory(ctx, &logical.BackendConfig{
		Logger: hclog.Default(), System: logical.TestSystemView(), StorageView: storage,
		BackendUUID: "esdk", Config: map[string]string{},
	})
	if err != nil {
		return nil, err
	}
	return &engine{Backend: backend, storage: storage, token: token}, backend.Initialize(ctx, &logical.InitializationRequest{Storage: storage})
}

func (e *engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, "/v1/transit/")
	switch {
	case r.URL.Path == "/v1/sys/unseal":
		e.sealed.Store(false)
		answer(w, map[string]any{"type": "shamir", "initialized": true, "sealed": false, "t": 1, "n": 1, "progress": 0})
		return
	case e.sealed.Load():
		logical.RespondError(w, http.StatusServiceUnavailable, consts.ErrSealed)
		return
	case !ok && r.URL.Path != "/v1/sys/seal":
		fail(w, http.StatusNotFound, "no handler for route")
		return
	case subtle.ConstantTimeCompare([]byte(r.Header.Get("X-Vault-Token")), []byte(e.token)) != 1:
		fail(w, http.StatusForbidden, "permission denied")
		return
	case !ok:
		e.sealed.Store(true)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	req := &logical.Request{Operation: logical.ReadOperation, Path: path, Storage: e.storage, MountPoint: "transit/"}
	if r.Method == http.MethodPut || r.Method == http.MethodPost {
		req.Operation = logical.UpdateOperation
		if err := json.NewDecoder(r.Body).Decode(&req.Data); err != nil && !errors.Is(err, io.EOF) {
			fail(w, http.StatusBadRequest, err.Error())
			return
		}
	}
	e.handle(w, r.Context(), req)
}

func (e *engine) handle(w http.ResponseWriter, ctx context.Context, req *logical.Request) {
	// Vault turns an update of a missing object into its creation.
	if check := e.HandleExistenceCheck; req.Operation == logical.UpdateOperation {
		if known, exists, err := check(ctx, req); err == nil && known && !exists {
			req.Operation = logical.CreateOperation
		}
	}
	resp, err := e.HandleRequest(ctx, req)
	if status, failure := logical.RespondErrorCommon(req, resp, err); failure != nil {
		fail(w, status, failure.Error())
		return
	}
	if resp == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	answer(w, map[string]any{"data": resp.Data})
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(body)
}

func fail(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string][]string{"errors": {text}})
}
