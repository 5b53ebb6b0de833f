#!/usr/bin/env bash
# moto, an emulator of AWS, on 127.0.0.1. "start" prints its URL, for ESDK_MOTO_URL; without a port
# it takes a free one. Needs python3; "install" takes moto from PyPI.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

version=5.2.5
venv=$cache/moto-$version

case ${1-} in
  install)
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    "$venv/bin/python" -m pip install -q --disable-pip-version-check "moto[server]==$version"
    ;;
  start)
    installed "$venv/bin/moto_server"
    port=${2:-$(free_port)}
    start moto "$port" "$venv/bin/moto_server" -H 127.0.0.1 -p "$port"
    ;;
  stop) stop moto ;;
  *) usage ;;
esac
