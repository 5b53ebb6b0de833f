#!/usr/bin/env bash
# Installs and starts moto and DynamoDB Local, and runs the tests that want real servers: the KMS
# simulator's calls and the KMS keyrings on moto, and the key store on both. Stops what it started.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."

ESDK_RUN=$(mktemp -d)
export ESDK_RUN
stop() { "$here/moto.sh" stop; "$here/dynamodb-local.sh" stop; rm -rf "$ESDK_RUN"; }
trap stop EXIT
"$here/moto.sh" install
"$here/dynamodb-local.sh" install
ESDK_MOTO_URL=$("$here/moto.sh" start)
dynamodb=$("$here/dynamodb-local.sh" start)
export ESDK_MOTO_URL ESDK_REQUIRE_BACKENDS=1

echo "KMS: the simulator and moto, $ESDK_MOTO_URL"
go test -count=1 ./esdktest/kmssim
echo "KMS keyrings on moto"
go test -count=1 -run Moto ./awskms
echo "key store on DynamoDB Local, $dynamodb, and moto"
ESDK_DYNAMODB_URL=$dynamodb go test -count=1 ./branchkey &
ESDK_DYNAMODB_URL=$ESDK_MOTO_URL go test -count=1 ./branchkey
wait $!
