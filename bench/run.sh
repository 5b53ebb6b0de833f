#!/usr/bin/env bash
# Installs all peers, measures everything, and writes docs/performance.md and docs/performance.svg. Options are those of the
# program: run.sh -quick -o /tmp only tries it. What cannot be installed is said in the tables.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
./install.sh || echo "going on without them" >&2
exec go run . -o ../docs "$@"
