#!/usr/bin/env bash
# Installs two PKCS #11 tokens of different make, SoftHSM 2 and Kryoptic, or those that are named, and
# runs on a new token of each the tests of the keyrings and of the command that has them. Fails if
# one cannot be had.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."

[ "$(go env CGO_ENABLED)" = 1 ] || { echo "pkcs11.sh: PKCS #11 needs cgo: a C compiler, and CGO_ENABLED=1" >&2; exit 1; }
if [ $# = 0 ]; then set -- softhsm kryoptic; fi
tokens=$(mktemp -d)
trap 'rm -rf "$tokens"' EXIT
export ESDK_REQUIRE_BACKENDS=1
for token; do
  "$here/$token.sh" install
  # A file, since the exit status of a substitution within eval is lost.
  "$here/$token.sh" init "$tokens/$token" >"$tokens/$token.env" 2>"$tokens/$token.log" || { cat "$tokens/$token.log" >&2; exit 1; }
  echo "PKCS #11 on $token"
  (. "$tokens/$token.env" && go test -race -count=1 ./pkcs11 && cd cmd/esdk && go test -count=1 -tags full -run PKCS11 .)
done
