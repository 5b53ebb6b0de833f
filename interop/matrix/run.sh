#!/usr/bin/env bash
# Passes messages both ways between this library and the official SDKs: run.sh [-peers NAME,...] [-share N] [-seed N]
# [-write FILE] [-v]. Installs the SDKs and starts DynamoDB Local; the KMS simulator is in the program. C is among the
# SDKs if ESDK_C_PREFIX is set. The exit status is 1 if a test failed.
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/../servers.sh"
trap stop_servers EXIT

peers=python,java,javascript,go,rust,c,cli
if [ -z "${ESDK_C_PREFIX:-}" ]; then
  peers=python,java,javascript,go,rust,cli
  missing="NOT RUN: C (ESDK_C_PREFIX isn't set)"
fi
arguments=("$@")
for i in "${!arguments[@]}"; do
  if [ "${arguments[$i]}" = -peers ]; then peers=${arguments[$((i + 1))]} missing=; fi
done
# shellcheck disable=SC2086
"$interop/install.sh" ${peers//,/ }
(cd "$root/cmd/esdk" && CGO_ENABLED=0 go build -o "$cache/peers/esdk" .)
isolate
start_dynamodb
cd "$interop"
go build -o "$t/matrix" ./matrix
"$t/matrix" -bin "$cache/peers" -peers "$peers" "$@" || failed=$?
[ -z "${missing:-}" ] || echo "$missing"
exit "${failed:-0}"
