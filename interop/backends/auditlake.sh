#!/usr/bin/env bash
# "esdk audit" on a bucket of SeaweedFS with objects whose keys and suites are known: whether it tells all of them right, and
# what it costs. Its arguments are those of interop/auditlake, such as -objects 100000. Stops what it started.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

ESDK_RUN=$(mktemp -d)
export ESDK_RUN TMPDIR=$ESDK_RUN
stop() {
  "$here/seaweedfs.sh" stop
  rm -rf "$ESDK_RUN"
}
trap stop EXIT
"$here/seaweedfs.sh" install
url=$("$here/seaweedfs.sh" start)
cd "$here/../.."
CGO_ENABLED=0 go build -C cmd/esdk -trimpath -tags grpcnotrace -o "$ESDK_RUN/esdk" .
cd interop
go run ./auditlake -url "$url" -esdk "$ESDK_RUN/esdk" "$@"
