#!/usr/bin/env bash
# Runs the recipe NAME, or all: installs and starts the server that the recipe
# needs, and runs its tests and benchmarks. Arguments after NAME go to "go
# test". Without -bench among them, benchmarks run for ten rounds.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
backends=$here/../interop/backends

[ $# -gt 0 ] || { echo "usage: $(basename "$0") NAME|all [ARGUMENT OF GO TEST]..." >&2; exit 2; }
name=$1
shift
ESDK_RUN=$(mktemp -d) # for servers of its own
export ESDK_RUN
trap 'for server in ${started:-}; do "$backends/$server.sh" stop >/dev/null 2>&1 || true; done; rm -rf "$ESDK_RUN"' EXIT
export ESDK_REQUIRE_SERVERS=1 # a test whose server is missing fails instead of being skipped
cd "$here"

# server NAME VARIABLE: installs and starts a server with a script of
# interop/backends, and sets VARIABLE to its address. A server that already
# runs, for another recipe or because the caller set VARIABLE, is reused.
server() {
  local address
  [ -z "${!2:-}" ] || return 0
  "$backends/$1.sh" install
  started="${started:-} $1"
  address=$("$backends/$1.sh" start)
  declare -gx "$2=$address"
}

recipe() {
  case $1 in
  s3objects) server seaweedfs ESDK_S3_URL ;;
  sqlcolumn) server postgres ESDK_POSTGRES_URL ;;
  kafkarecords) server kafka ESDK_KAFKA_ADDRESS ;;
  tenants) server dynamodb-local ESDK_DYNAMODB_URL ;;
  esac
  go test -count=1 -v -bench . -benchtime 10x "${@:2}" "./$1"
}

if [ "$name" = all ]; then
  for dir in */; do recipe "${dir%/}" "$@"; done
else
  recipe "${name%/}" "$@"
fi
