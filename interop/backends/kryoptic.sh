#!/usr/bin/env bash
# Kryoptic, a PKCS #11 token in software of another make than SoftHSM, which has OAEP with SHA-2.
# "init DIR" makes a new token in DIR, named esdk, and prints what the tests want to know of it, as
# shell variables. "install" builds it from crates.io: it needs Rust, and the headers of OpenSSL and
# SQLite and libclang, which it takes from the packages of Debian or Ubuntu if it is root.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() { echo "usage: $(basename "$0") install|init DIR" >&2; exit 2; }

version=1.5.4
home=$cache/kryoptic-$version
module=$home/libkryoptic_pkcs11.so
packages="libssl-dev libsqlite3-dev clang libclang-dev pkg-config opensc"

install() {
  [ ! -e "$module" ] || ! command -v pkcs11-tool >/dev/null || return 0
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt_install $packages
  fi
  local work
  work=$(mktemp -d)
  # A library cannot be installed by cargo: it fetches the crate, and the copy that it fetched is built.
  (cd "$work" && cargo init -q --name fetch && cargo add -q "kryoptic@=$version" && cargo fetch -q)
  local sources=("${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/kryoptic-$version)
  cp -R "${sources[0]}" "$work/kryoptic"
  # "standard" wants a newer OpenSSL than Debian 12 has.
  (cd "$work/kryoptic" && cargo build -q --release --no-default-features --features minimal,kryoptic-lib/dynamic)
  mkdir -p "$home"
  cp "$work"/kryoptic/target/release/libkryoptic_pkcs11.so "$module.new"
  mv "$module.new" "$module"
  rm -rf "$work"
}

init() {
  local dir=$1
  installed "$module"
  mkdir -p "$dir"
  printf '[[slots]]\nslot = 1\ndbtype = "sqlite"\ndbargs = "%s"\n' "$dir/token.sql" >"$dir/kryoptic.conf"
  export KRYOPTIC_CONF=$dir/kryoptic.conf
  pkcs11-tool --module "$module" --init-token --slot 1 --label esdk --so-pin 56785678 >&2
  pkcs11-tool --module "$module" --login --login-type so --so-pin 56785678 --init-pin --pin 12341234 >&2
  printf 'export KRYOPTIC_CONF=%q ESDK_PKCS11_MODULE=%q ESDK_PKCS11_TOKEN=esdk ESDK_PKCS11_PIN=12341234 ESDK_PKCS11_STORE=%q\n' "$KRYOPTIC_CONF" "$module" "$dir/token.sql"
}

case ${1-} in
  install) install ;;
  init) init "${2:?$(usage)}" ;;
  *) usage ;;
esac
