#!/usr/bin/env bash
# Makes a git repository of what is committed under the module path that it's published by, with the tags of a version:
# publish.sh [-after REPOSITORY] [-incompatible] MODULE VERSION [DIR]. DIR (default dist/published-VERSION) must not exist,
# or be empty. From the second version on, -after names the repository with those before, whose exported API is compared;
# before 1.0, -incompatible accepts incompatible changes in a new minor version. It pushes nothing.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
GOWORK=off go build -C "$root/release" -o "$t/publish" ./publish
"$t/publish" -source "$root" "$@"
