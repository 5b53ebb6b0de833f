#!/usr/bin/env bash
# The transit engine of HashiCorp Vault, in memory, on 127.0.0.1, with a key named "esdk". "start" prints its URL,
# for VAULT_ADDR; without a port it takes a free one. VAULT_TOKEN is the token that it asks for; "rotate" makes
# a new version of the key, and "seal" has the server refuse all until "unseal". Needs go and python3; "install" takes
# the engine from the Go module proxy, and builds it for some minutes.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/common.sh"

home=$cache/vault-transit-1.21.4 # the version is in go.mod

install() {
  mkdir -p "$home"
  cd "$here/vault-transit"
  GOWORK=off CGO_ENABLED=0 go build -o "$home/vault-transit" . # a module of its own
}

# post URL: asks the server for something that has no parameters.
post() { python3 - "$1" <<'END'
import os, sys, urllib.request
request = urllib.request.Request(sys.argv[1], method="POST", headers={"X-Vault-Token": os.environ["VAULT_TOKEN"]})
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10).read()
END
}

case ${1-} in
  install) install ;;
  start)
    installed "$home/vault-transit"
    : "${VAULT_TOKEN:?is to be the token of the server}"
    port=${2:-$(free_port)}
    url=$(start vault-transit "$port" "$home/vault-transit" -addr "127.0.0.1:$port")
    post "$url/v1/transit/keys/esdk" || { stop vault-transit; exit 1; }
    echo "$url"
    ;;
  seal|unseal) running vault-transit && post "$url/v1/sys/$1" ;;
  rotate) running vault-transit && post "$url/v1/transit/keys/esdk/rotate" ;;
  stop) stop vault-transit ;;
  *) usage ;;
esac
