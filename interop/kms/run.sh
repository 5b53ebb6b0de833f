#!/usr/bin/env bash
# AWS KMS and key stores, both ways between the official Python and Go SDKs and cmd/esdk, on the KMS
# simulator and DynamoDB Local. Prints one line per row and the totals; the exit status is 1 if a row
# failed. Needs go, python3 and what ../backends/dynamodb-local.sh needs.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/servers.sh"
trap stop_servers EXIT
install_sdks
(cd "$root" && go build -o "$t" ./cmd/esdk)
start_servers

python() { "$cache/venv/bin/python" "$here/peer.py" "$@"; }
gosdk() { "$t/gopeer" "$@"; }
esdk() { "$t/esdk" "$@"; }

python keys "$t" >"$t/keys"
key() { awk -v name="$1" '$1 == name { print $2 }' "$t/keys"; }
one=$(key one) multi=$(key multi) replica=$(key replica)
rsa=$(key rsa) alice=$(key alice) bob=$(key bob)
account=$(cut -d: -f5 <<<"$one")

head -c 10000 /dev/urandom >"$t/plain"
context=(-c purpose=interop -c Tenant=42)
everyone=(python go esdk)
ways=("python esdk" "esdk python" "go esdk" "esdk go")

# encrypt WHO SUITE KEY OUT, decrypt WHO KEY IN OUT
encrypt() {
  case $1 in
    python) python encrypt --key "$3" --suite "$2" "${context[@]}" "$t/plain" "$4" ;;
    go) gosdk encrypt --key "$3" --suite "$2" "${context[@]}" "$t/plain" "$4" ;;
    esdk) esdk encrypt -k "$3" --suite "0x$2" "${context[@]}" --force -o "$4" "$t/plain" ;;
  esac
}
decrypt() {
  case $1 in
    python) python decrypt --key "$2" "${context[@]}" "$3" "$4" ;;
    go) gosdk decrypt --key "$2" "${context[@]}" "$3" "$4" ;;
    esdk) esdk decrypt -k "$2" "${context[@]}" -o "$4" "$3" ;;
  esac
}

# why prints what was wrong: the last line of the log that is not advice.
why() { grep -v '^esdk: hint:' "$t/log" | tail -n 1 || true; }

# reads WHO KEY MESSAGE LABEL: a row that the message decrypts.
reads() {
  local verdict=ok
  rm -f "$t/back"
  if [ ! -s "$3" ]; then
    verdict="FAILED: no message"
  elif ! decrypt "$1" "$2" "$3" "$t/back" >"$t/log" 2>&1; then
    verdict="FAILED to decrypt: $(why)"
  elif ! cmp -s "$t/plain" "$t/back"; then
    verdict="FAILED: another plaintext"
  fi
  result "$verdict" "$4"
}

# row FROM TO SUITE LABEL KEY-TO-ENCRYPT KEY-TO-DECRYPT
row() {
  local label
  label=$(printf '%-6s -> %-6s  %s  %s' "$1" "$2" "$3" "$4")
  rm -f "$t/message"
  if encrypt "$1" "$3" "$5" "$t/message" >"$t/log" 2>&1; then
    reads "$2" "$6" "$t/message" "$label"
  else
    result "FAILED to encrypt: $(why)" "$label"
  fi
}

for way in "${ways[@]}"; do
  read -r from to <<<"$way"
  for suite in 0578 0478; do
    row "$from" "$to" "$suite" "KMS, one key" "$one" "$one"
    row "$from" "$to" "$suite" "KMS, multi-Region: the replica decrypts" "$multi" "$replica"
    row "$from" "$to" "$suite" "KMS, multi-Region: the primary decrypts" "$replica" "$multi"
    row "$from" "$to" "$suite" "KMS discovery" "$one" "kms-discovery:aws/$account"
    row "$from" "$to" "$suite" "KMS discovery, multi-Region" "$multi" "kms-discovery:aws/$account@eu-west-1"
    row "$from" "$to" "$suite" "KMS ECDH, the recipient decrypts" "kms-ecdh:$alice@$t/bob.pem" "kms-ecdh:$bob@$t/alice.pem"
    row "$from" "$to" "$suite" "KMS ECDH, the sender decrypts" "kms-ecdh:$alice@$t/bob.pem" "kms-ecdh:$alice@$t/bob.pem"
    row "$from" "$to" "$suite" "KMS ECDH, discovery" "kms-ecdh:$alice@$t/bob.pem" "kms-ecdh:$bob"
  done
  # KMS RSA has no suites that sign.
  row "$from" "$to" 0478 "KMS RSA" "kms-rsa:$rsa@$t/rsa.pem" "kms-rsa:$rsa"
done

# store WHO create|key|version|active TABLE KMS-ARN [ID]
store() {
  case $1-$2 in
    python-*) python store "${@:2}" ;;
    go-*) gosdk store "${@:2}" ;;
    esdk-create) esdk keystore create --table "$3" --kms-key "$4" ;;
    esdk-key) esdk keystore key create --table "$3" --kms-key "$4" ;;
    esdk-version) esdk keystore key version "$5" --table "$3" --kms-key "$4" ;;
    esdk-active) esdk --json keystore key get "$5" --table "$3" --kms-key "$4" |
      python3 -c 'import json, sys; print(json.load(sys.stdin)["version"])' ;;
  esac
}

# same_version TABLE ID LABEL: a row that all see the same newest version. Sets version.
same_version() {
  local who seen=
  for who in "${everyone[@]}"; do
    version=$(store "$who" active "$1" "$one" "$2" 2>"$t/log") || version="nothing ($(why))"
    [ "$version" = "${seen:=$version}" ] || break
  done
  if [ "$version" = "$seen" ] && [[ $version != nothing* ]]; then
    result ok "$3"
  else
    result "FAILED: $who sees $version, others $seen" "$3"
  fi
}

# messages NAME KEY: all encrypt, for the rows that follow.
messages() {
  local who suite
  for who in "${everyone[@]}"; do
    for suite in 0578 0478; do
      rm -f "$t/$1-$who-$suite"
      encrypt "$who" "$suite" "$2" "$t/$1-$who-$suite" >"$t/log" 2>&1 || why
    done
  done
}

# One makes the key store, and each versions the key, so that each reads what the other wrote.
for owner in "${everyone[@]}"; do
  table=store-of-$owner
  if ! { store "$owner" create "$table" "$one" && id=$(store "$owner" key "$table" "$one"); } >"$t/log" 2>&1; then
    result "FAILED: $(why)" "$owner makes a key store and a branch key"
    continue
  fi
  result ok "$owner makes a key store and a branch key"
  branch="branch:$table/$id?kms=$one"
  names=first
  same_version "$table" "$id" "key store of $owner: all see the first version"
  messages first "$branch"
  for by in "${everyone[@]}"; do
    before=$version
    label="key store of $owner: $by makes a version"
    if store "$by" version "$table" "$one" "$id" >"$t/log" 2>&1; then
      result ok "$label"
    else
      result "FAILED: $(why)" "$label"
    fi
    same_version "$table" "$id" "key store of $owner: all see the version by $by"
    if [ "$version" != "$before" ]; then
      result ok "key store of $owner: the version by $by is another"
    else
      result "FAILED: still $before" "key store of $owner: the version by $by is another"
    fi
    messages "by-$by" "$branch"
    names="$names by-$by"
  done
  for name in $names; do
    for suite in 0578 0478; do
      for way in "${ways[@]}"; do
        read -r from to <<<"$way"
        reads "$to" "$branch" "$t/$name-$from-$suite" \
          "$(printf '%-6s -> %-6s  %s  store of %s, version %s' "$from" "$to" "$suite" "$owner" "$name")"
      done
    done
  done
done

totals
