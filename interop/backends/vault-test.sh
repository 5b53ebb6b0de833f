#!/usr/bin/env bash
# Builds and starts Vault's transit engine, and runs the keeper's keyring and the command on it. Stops what it started.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."

ESDK_RUN=$(mktemp -d)
export ESDK_RUN ESDK_REQUIRE_BACKENDS=1
stop() { "$here/vault.sh" stop; rm -rf "$ESDK_RUN"; }
trap stop EXIT
"$here/vault.sh" install

export VAULT_TOKEN=test
VAULT_ADDR=$("$here/vault.sh" start)
export VAULT_ADDR
echo "keeper's keyring on Vault's transit engine at $VAULT_ADDR"
(cd cmd/esdk && go test -count=1 -tags full -run Vault .)

echo "the command on Vault's transit engine, before and after its key is rotated"
t=$ESDK_RUN/command
mkdir "$t"
(cd cmd/esdk && CGO_ENABLED=0 go build -tags full -o "$t/esdk" .)
echo hello >"$t/f"
esdk() { HOME=$t XDG_CONFIG_HOME=$t PATH=$t:$PATH "$t/esdk" "$@" -k hashivault://esdk; }
esdk encrypt -c tenant=17 -o "$t/old" "$t/f"
"$here/vault.sh" rotate
esdk encrypt -c tenant=17 -o "$t/new" "$t/f"
for m in old new; do
  esdk decrypt -c tenant=17 -o "$t/$m.plain" "$t/$m"
  cmp "$t/f" "$t/$m.plain"
done
VAULT_TOKEN=wrong
if esdk verify "$t/old" 2>"$t/err"; then
  echo "decrypted with another token" >&2
  exit 1
fi
grep -q 'permission denied' "$t/err"
