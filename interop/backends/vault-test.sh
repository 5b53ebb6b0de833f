#!/usr/bin/env bash
# Builds and starts Vault's transit engine, and runs the keyring of package keyservice and the command on it. Stops what it started.
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
echo "keyservice's keyring on Vault's transit engine at $VAULT_ADDR"
(cd cmd/esdk && go test -count=1 -tags full -run Vault .)

echo "the command on Vault's transit engine, before and after its key is rotated"
t=$ESDK_RUN/command
mkdir "$t"
(cd cmd/esdk && CGO_ENABLED=0 go build -tags full -o "$t/esdk" .)
echo hello >"$t/f"
esdk() { HOME=$t XDG_CONFIG_HOME=$t timeout 60 "$t/esdk" "$@" -k hashivault://esdk; }
esdk encrypt -c tenant=17 -o "$t/old" "$t/f"
"$here/vault.sh" rotate
esdk encrypt -c tenant=17 -o "$t/new" "$t/f"
for m in old new; do
  esdk decrypt -c tenant=17 -o "$t/$m.plain" "$t/$m"
  cmp "$t/f" "$t/$m.plain"
done

fail() { echo "vault-test.sh: $*" >&2; exit 1; }

# sealed STATUS COMMAND...: fails with that status, and says why.
sealed() {
  local want=$1 status=0
  shift
  esdk "$@" 2>"$t/err" || status=$?
  [ "$status" = "$want" ] || fail "$1 while Vault is sealed: status $status, want $want: $(cat "$t/err")"
  grep -q 'Vault is sealed' "$t/err" || fail "$1 while Vault is sealed: $(cat "$t/err")"
}

files=2000
mkdir "$t/in"
for i in $(seq -w $files); do echo "$i" >"$t/in/f$i"; done

echo "the command while Vault is sealed"
"$here/vault.sh" seal
sealed 1 encrypt -o "$t/none" "$t/f"
sealed 3 encrypt -r -o "$t/none" "$t/in"
sealed 5 decrypt -o "$t/none" "$t/new"
[ ! -e "$t/none" ] || fail "something is left of what failed"
"$here/vault.sh" unseal
esdk verify -q "$t/new"

# midway VERB INPUT OUTPUT SUFFIX: Vault is sealed in the middle of a tree, and a second run does what was left.
midway() {
  local verb=$1 input=$2 output=$3 suffix=$4 status=0 job results failed
  esdk "$verb" -r -o "$output" "$input" 2>"$t/err" &
  job=$!
  while [ ! -e "$output/f0300$suffix" ] && kill -0 "$job" 2>/dev/null; do sleep 0.01; done
  "$here/vault.sh" seal
  wait "$job" || status=$?
  [ "$status" = 3 ] || fail "$verb, and Vault is sealed in the middle: status $status: $(tail -n 3 "$t/err")"
  failed=$(grep -c 'Vault is sealed' "$t/err")
  results=$(find "$output" -type f | wc -l)
  echo "$verb: $results of $files files were done, and $failed failed"
  [ "$results" -gt 0 ] && [ $((results + failed)) = $files ] || fail "$(ls -A "$output")"
  "$here/vault.sh" unseal
  esdk "$verb" -r --no-clobber -o "$output" "$input" 2>"$t/err" || fail "$(cat "$t/err")"
  grep -q "its result exists ($results)" "$t/err" || fail "$(cat "$t/err")"
}

echo "the command on a tree, in the middle of which Vault is sealed"
midway encrypt "$t/in" "$t/enc" .encrypted
midway decrypt "$t/enc" "$t/back" ""
diff -r "$t/in" "$t/back"

VAULT_TOKEN=wrong
if esdk verify "$t/old" 2>"$t/err"; then
  echo "decrypted with another token" >&2
  exit 1
fi
grep -q 'permission denied' "$t/err"
