#!/usr/bin/env bash
# Installs Temporal and SeaweedFS, and runs the tests of module lake that want them, which start and stop servers of their
# own. Arguments are those of "go test".
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

for server in temporal seaweedfs; do "$here/$server.sh" install; done
export ESDK_LAKE="${XDG_CACHE_HOME:-$HOME/.cache}" # where they are installed: a test has a home of its own
cd "$here/../../lake"
go test -count=1 -timeout 6h -v "$@" .
