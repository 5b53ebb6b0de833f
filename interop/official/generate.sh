#!/usr/bin/env bash
# Makes the official SDKs' test vectors. Usage: generate.sh [OUTDIR]; see README.md.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:-$here/../../testdata/official}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/esdk-interop

for tool in python3 java mvn node npm openssl; do
  command -v "$tool" >/dev/null || { echo "generate.sh: $tool is needed" >&2; exit 1; }
done
mkdir -p "$cache" "$out"
out=$(cd "$out" && pwd)

# Everything is built aside and put in place at the end, so a failure leaves the old output alone.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# --- the SDKs

export PYTHONDONTWRITEBYTECODE=1
[ -x "$cache/venv/bin/python" ] || python3 -m venv "$cache/venv"
"$cache/venv/bin/python" -m pip install -q --disable-pip-version-check -r "$here/python/requirements.txt"

# The registries' tools leave files beside the sources, hence copies.
rm -rf "$cache/java"
cp -R "$here/java" "$cache/java"
(cd "$cache/java" && mvn -q -B compile dependency:build-classpath -Dmdep.outputFile=classpath)

mkdir -p "$cache/js"
cp "$here/js/package.json" "$here/js/generate.js" "$cache/js/"
(cd "$cache/js" && npm install --no-package-lock --no-audit --no-fund --silent)

python() { "$cache/venv/bin/python" "$here/python/generate.py" "$@"; }
java_() { java -cp "$cache/java/target/classes:$(cat "$cache/java/classpath")" vectors.Generate "$@"; }

# Some releases of Node refuse PKCS #1 v1.5 decryption unless told otherwise, and others do not
# know how to be told.
node_flag=
node -e '
  const c = require("crypto"), padding = c.constants.RSA_PKCS1_PADDING
  const { privateKey, publicKey } = c.generateKeyPairSync("rsa", { modulusLength: 2048 })
  c.privateDecrypt({ key: privateKey, padding }, c.publicEncrypt({ key: publicKey, padding }, Buffer.from("x")))
' 2>/dev/null || node_flag=--security-revert=CVE-2023-46809
javascript() { node ${node_flag:+"$node_flag"} "$cache/js/generate.js" "$@"; }

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
python make "$work"
java_ make "$work"
javascript make "$work"
python3 "$here/cases.py" publish "$work"
python check "$work"
java_ check "$work"
javascript check "$work"

# --- putting them in place

rm -rf "$work/plan" "$out/ciphertexts" "$out/plaintexts"
cp -R "$work/." "$out/"
echo "$(find "$out/ciphertexts" -type f | wc -l | tr -d ' ') ciphertexts"
