#!/usr/bin/env bash
# Messages a second and calls of KMS, of esdk beside the official Go SDK, with a KMS that
# takes 5 ms to answer. Needs go and what ../backends/dynamodb-local.sh needs. Arguments go to "go test".
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/../servers.sh"
trap stop_servers EXIT
isolate
start_dynamodb
cd "$interop"
go test -run '^$' -bench KMS "$@" ./bench
