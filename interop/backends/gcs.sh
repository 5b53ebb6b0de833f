#!/usr/bin/env bash
# fake-gcs-server, which speaks as Google Cloud Storage does, in memory, on 127.0.0.1. "start" prints its URL, for
# ESDK_GCS_URL; without a port it takes a free one. Needs go and python3; "install" takes it from the Go module proxy.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

version=v1.56.1
home=$cache/fake-gcs-server-$version

case ${1-} in
  install)
    [ -x "$home/fake-gcs-server" ] || (cd / && CGO_ENABLED=0 GOBIN=$home go install "github.com/fsouza/fake-gcs-server@$version")
    ;;
  start)
    installed "$home/fake-gcs-server"
    port=${2:-$(free_port)}
    start gcs "$port" "$home/fake-gcs-server" -scheme http -host 127.0.0.1 -port "$port" -public-host "127.0.0.1:$port" \
      -backend memory -log-level error
    ;;
  stop) stop gcs ;;
  *) usage ;;
esac
