#!/usr/bin/env bash
# SoftHSM 2, a PKCS #11 token in software. "init DIR" makes a new token in DIR, named esdk, and
# prints what the tests want to know of it, as shell variables. "install" takes it from the packages
# of Debian or Ubuntu, and needs root for that; SOFTHSM2_MODULE names a library that is elsewhere.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() { echo "usage: $(basename "$0") install|init DIR" >&2; exit 2; }

module() {
  local file
  for file in "${SOFTHSM2_MODULE-}" /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so \
    /usr/lib64/pkcs11/libsofthsm2.so /usr/local/lib/softhsm/libsofthsm2.so /opt/homebrew/lib/softhsm/libsofthsm2.so; do
    if [ -f "$file" ]; then
      echo "$file"
      return
    fi
  done
  return 1
}

install() {
  if module >/dev/null && command -v softhsm2-util >/dev/null; then return; fi
  if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    echo "softhsm.sh: SoftHSM 2 is not here, and only root can install it (apt-get install softhsm2)" >&2
    exit 1
  fi
  apt_install softhsm2
}

init() {
  local dir=$1 module
  module=$(module) || installed /usr/lib/softhsm/libsofthsm2.so
  mkdir -p "$dir/tokens"
  printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$dir/tokens" >"$dir/softhsm2.conf"
  export SOFTHSM2_CONF=$dir/softhsm2.conf
  softhsm2-util --init-token --free --label esdk --so-pin 56785678 --pin 12341234 >&2
  printf 'export SOFTHSM2_CONF=%q ESDK_PKCS11_MODULE=%q ESDK_PKCS11_TOKEN=esdk ESDK_PKCS11_PIN=12341234 ESDK_PKCS11_STORE=%q\n' "$SOFTHSM2_CONF" "$module" "$dir/tokens"
}

case ${1-} in
  install) install ;;
  init) init "${2:?$(usage)}" ;;
  *) usage ;;
esac
