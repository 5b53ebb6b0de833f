#!/usr/bin/env bash
# Makes the official SDKs' test vectors. Usage: generate.sh [OUTDIR]; see README.md.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../common.sh"
out=${1:-$here/../../testdata/official}

for tool in python3 java mvn node npm openssl; do
  command -v "$tool" >/dev/null || { echo "generate.sh: $tool is needed" >&2; exit 1; }
done
mkdir -p "$out"
out=$(cd "$out" && pwd)

# Everything is built aside and put in place at the end, so a failure leaves the old output alone.
work=$t
trap 'rm -rf "$work"' EXIT
umask 022
"$interop/install.sh" python java javascript

# --- keys

if [ -f "$out/keys.json" ]; then
  cp "$out/keys.json" "$work/keys.json"
else
  mkdir "$work/pem"
  # Some versions of openssl draw their search for primes on standard error.
  quietly() { "$@" 2>"$work/log" || { cat "$work/log" >&2; return 1; }; }
  for bits in 128 192 256; do openssl rand -out "$work/pem/aes-$bits" $((bits / 8)); done
  quietly openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$work/pem/rsa-private.pem"
  openssl pkey -in "$work/pem/rsa-private.pem" -pubout -out "$work/pem/rsa-public.pem"
  for bits in 256 384 521; do
    for who in sender recipient; do
      key=$work/pem/ecc-$bits-$who
      openssl genpkey -algorithm EC -pkeyopt "ec_paramgen_curve:P-$bits" \
        -pkeyopt ec_param_enc:named_curve -out "$key.pem"
      openssl pkey -in "$key.pem" -pubout -out "$key.pub"
    done
  done
  python3 "$here/cases.py" keys "$work" "$work/pem"
  rm -r "$work/pem" "$work/log"
fi

# --- messages

python3 "$here/cases.py" plan "$work"
python3 "$here/cases.py" make "$work" "$cache/peers"
python3 "$here/cases.py" publish "$work"
python3 "$here/cases.py" check "$work" "$cache/peers"

# --- putting them in place

rm -rf "$work/plan" "$out/ciphertexts" "$out/plaintexts"
cp -R "$work/." "$out/"
echo "$(find "$out/ciphertexts" -type f | wc -l | tr -d ' ') ciphertexts"
