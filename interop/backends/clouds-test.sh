#!/usr/bin/env bash
# Installs and starts servers of object stores: moto and SeaweedFS for S3, fake-gcs-server for Google's and Azurite for
# Azure's, and runs the command's tests that want them, with the full build. Stops what it started.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

ESDK_RUN=$(mktemp -d)
export ESDK_RUN ESDK_REQUIRE_BACKENDS=1
stop() {
  for server in moto seaweedfs gcs azurite; do "$here/$server.sh" stop; done
  rm -rf "$ESDK_RUN"
}
trap stop EXIT
for server in moto seaweedfs gcs azurite; do "$here/$server.sh" install; done
ESDK_S3_URL=$("$here/moto.sh" start)
ESDK_SEAWEEDFS_URL=$("$here/seaweedfs.sh" start)
ESDK_GCS_URL=$("$here/gcs.sh" start)
ESDK_AZURE_URL=$("$here/azurite.sh" start)
export ESDK_S3_URL ESDK_SEAWEEDFS_URL ESDK_GCS_URL ESDK_AZURE_URL
cd "$here/../../cmd/esdk"
go test -count=1 -tags full -run '^TestObjects' "$@" .
