#!/usr/bin/env bash
# Installs the peers that are missing, measures everything, and writes docs/performance.md and docs/performance.svg. Options are
# those of the program: run.sh -quick only tries it, and leaves docs alone. What cannot be installed is said in the tables.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
./install.sh || echo "going on without them" >&2
exec go run . "$@"
