#!/usr/bin/env bash
# PostgreSQL, on 127.0.0.1, with its data in a temporary directory and a password of its own. "start" prints its URL, for
# ESDK_POSTGRES_URL; without a port it takes a free one. "stop" removes the data. Needs python3; "install" takes it from
# the packages of Debian or Ubuntu, and needs root for that. Started by root, it runs as the user postgres of those packages.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# The directory of the newest version's programs.
programs() {
  local newest
  newest=$(printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n 1)
  [ -x "$newest" ] && dirname "$newest"
}

install() {
  if programs >/dev/null; then return; fi
  if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    echo "postgres.sh: PostgreSQL is not here, and only root can install it (apt-get install postgresql)" >&2
    exit 1
  fi
  mkdir -p /etc/postgresql-common
  [ -e /etc/postgresql-common/createcluster.conf ] ||
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf # no server of the package's own
  DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 apt_install postgresql # keeps that file
}

as=() # PostgreSQL refuses to run as root
if [ "$(id -u)" = 0 ]; then as=(setpriv --reuid=postgres --regid=postgres --init-groups); fi

# What start in common.sh waits for: PostgreSQL does not speak HTTP.
answers() { "$bin/pg_isready" -q -h 127.0.0.1 -p "${1##*:}"; }

case ${1-} in
  install) install ;;
  start)
    bin=$(programs) || installed /usr/lib/postgresql/initdb
    if running postgres; then
      echo "postgres runs already" >&2
      exit 1
    fi
    port=${2:-$(free_port)}
    data=$(mktemp -d "${TMPDIR:-/tmp}/esdk-postgres.XXXXXX")
    echo "$data" >"$run/postgres.data"
    password=$(python3 -c 'import secrets; print(secrets.token_hex(16))')
    (umask 077 && echo "$password" >"$data/password")
    if [ ${#as[@]} -gt 0 ]; then chown -R postgres: "$data"; fi
    cd / # which everybody may read
    "${as[@]}" "$bin/initdb" -D "$data/db" -U esdk -A scram-sha-256 --pwfile="$data/password" -E UTF8 --locale=C --no-sync >/dev/null
    rm "$data/password"
    start postgres "$port" "${as[@]}" "$bin/postgres" -D "$data/db" -h 127.0.0.1 -p "$port" -c unix_socket_directories= \
      -c fsync=off -c full_page_writes=off >/dev/null
    echo "postgres://esdk:$password@127.0.0.1:$port/postgres?sslmode=disable"
    ;;
  stop)
    stop postgres
    if [ -f "$run/postgres.data" ]; then
      data=$(cat "$run/postgres.data")
      case $data in */esdk-postgres.*) rm -rf "$data" ;; esac
      rm -f "$run/postgres.data"
    fi
    ;;
  *) usage ;;
esac
