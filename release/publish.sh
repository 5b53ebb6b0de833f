#!/usr/bin/env bash
# Makes a git repository of the committed tree under the published module path,
# with the tags of a version: publish.sh [-after REPOSITORY] [-incompatible]
# MODULE VERSION [DIR]. DIR (default dist/published-VERSION) must be empty or
# not exist. From the second version on, -after names the repository with the
# previous versions, and the exported API is compared with the last one. Before
# 1.0, -incompatible accepts incompatible changes in a new minor version. It
# pushes nothing.
set -euo pipefail
root=$(CDPATH='' cd -- "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
# Flags of the user, such as -mod=vendor, are for other builds. Without paths in
# them, packages of an earlier publication are reused.
export GOFLAGS='-buildvcs=false -trimpath'
GOWORK=off go build -C "$root/release" -o "$t/publish" ./publish
# A signal to this script alone must end the program, too, which removes what it
# has made.
"$t/publish" -source "$root" "$@" &
trap 'kill -TERM $! 2>/dev/null || true' HUP INT TERM
status=0
wait $! || status=$?
wait $! 2>/dev/null || status=$?
exit "$status"
