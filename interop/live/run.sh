#!/usr/bin/env bash
# Round trips between the official Python and Go SDKs and cmd/esdk, both ways. Prints one line per row
# and the totals; the exit status is 1 if a row failed. Needs go, python3 and openssl.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../common.sh"
trap 'rm -rf "$t"' EXIT
install_sdks
(cd "$root" && go build -o "$t/esdk" ./cmd/esdk)

openssl rand -out "$t/aes.key" 32
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$t/rsa.pem" 2>/dev/null
openssl pkey -in "$t/rsa.pem" -pubout -out "$t/rsa.pub.pem"
sizes=(0 1 4096 8192 1000003)
for n in "${sizes[@]}"; do head -c "$n" /dev/urandom >"$t/plain-$n"; done

context=(-c purpose=interop -c Tenant=42)
python() { local command=$1; shift; "$cache/venv/bin/python" "$here/peer.py" "$command" "$@"; }

# encrypt WHO SUITE KEY IN OUT, decrypt WHO KEY IN OUT
encrypt() {
  case $1 in
    python) python encrypt --key "$3" --suite "$2" "${context[@]}" "$4" "$5" ;;
    go) "$t/gopeer" encrypt --key "$3" --suite "$2" "${context[@]}" "$4" "$5" ;;
    esdk) "$t/esdk" encrypt -k "$3" --suite "0x$2" "${context[@]}" -o "$5" "$4" ;;
  esac
}
decrypt() {
  case $1 in
    python) python decrypt --key "$2" "${context[@]}" "$3" "$4" ;;
    go) "$t/gopeer" decrypt --key "$2" "${context[@]}" "$3" "$4" ;;
    esdk) "$t/esdk" decrypt -k "$2" "${context[@]}" -o "$4" "$3" ;;
  esac
}

row() { # FROM TO SUITE LABEL KEY-TO-ENCRYPT KEY-TO-DECRYPT SIZE
  local verdict=ok
  rm -f "$t/message" "$t/back"
  if ! encrypt "$1" "$3" "$5" "$t/plain-$7" "$t/message" >"$t/log" 2>&1; then
    verdict="FAILED to encrypt: $(tail -n 1 "$t/log")"
  elif ! decrypt "$2" "$6" "$t/message" "$t/back" >"$t/log" 2>&1; then
    verdict="FAILED to decrypt: $(tail -n 1 "$t/log")"
  elif ! cmp -s "$t/plain-$7" "$t/back"; then
    verdict="FAILED: another plaintext"
  fi
  result "$verdict" "$(printf '%-6s -> %-6s  %s  %-16s %8d' "$1" "$2" "$3" "$4" "$7")"
}

aes=aes:interop/aes-key@$t/aes.key
public="rsa:interop/rsa-key@$t/rsa.pub.pem?pad=oaep-sha256"
private="rsa:interop/rsa-key@$t/rsa.pem?pad=oaep-sha256"
for suite in 0578 0478; do
  for n in "${sizes[@]}"; do
    for way in "python esdk" "esdk python" "go esdk" "esdk go"; do
      # shellcheck disable=SC2086
      row $way "$suite" "AES-256" "$aes" "$aes" "$n"
      # shellcheck disable=SC2086
      row $way "$suite" "RSA oaep-sha256" "$public" "$private" "$n"
    done
  done
done

totals
