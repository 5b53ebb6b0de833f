#!/usr/bin/env bash
# Builds and tests the published modules and the examples with exactly the
# version of Go in their go.mod files: oldest.sh [ARGUMENT OF GO TEST]...
# (default -short). The go command takes this version from the module proxy. The
# script uses its own workspace, since go.work also has interop, which needs a
# later version of Go.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
modules=". cmd/esdk lake otel examples"
[ $# -gt 0 ] || set -- -short

fail() { echo "oldest.sh: $*" >&2; exit 1; }

version=$(sed -n 's/^go //p' go.mod)
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
{
  echo "go $version"
  for module in $modules; do
    demanded=$(sed -n 's/^go //p' "$module/go.mod")
    [ "$demanded" = "$version" ] || fail "$module/go.mod demands Go $demanded, and go.mod Go $version"
    echo "use $(cd "$module" && pwd)"
  done
  sed -n '/^replace/,/^)/p' go.work | sed "s| => ./| => $root/|"
} >"$t/go.work"

export GOWORK=$t/go.work GOTOOLCHAIN=go$version
[ "$(go env GOVERSION)" = "go$version" ] || fail "that is $(go env GOVERSION), and not go$version"
go version
for module in $modules; do
  echo "$module"
  (cd "$module" && go build ./... && go test "$@" ./...)
done
