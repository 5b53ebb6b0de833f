#!/usr/bin/env bash
# Builds all peers, from the package registries, into a cache directory: install.sh [go|python|cli|js|java|rust|c]...
# Needs Go, Python 3, Node.js, a JDK of 17 with Maven, Rust. If one is missing, the tables say so. The C SDK is in no registry:
# ESDK_C_PREFIX names the directory in which it and aws-c-common are installed, see README.md. Without it, C is left out.
set -uo pipefail

bench=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${ESDK_BENCH:-${XDG_CACHE_HOME:-$HOME/.cache}/esdk-bench}
bin=$cache/bin
mkdir -p "$bin"

# wrap NAME COMMAND...: a program that runs another.
wrap() {
  local name=$1
  shift
  { echo '#!/bin/sh'; printf 'exec'; printf ' %q' "$@"; echo ' "$@"'; } > "$bin/$name" && chmod +x "$bin/$name"
}

install_go() (
  set -e
  cd "$bench"
  for peer in esdk limits official sio tink age; do go build -o "$bin/$peer" "./peers/$peer"; done
  go build -o "$bin/age-command" filippo.io/age/cmd/age
  go build -o "$bin/age-keygen" filippo.io/age/cmd/age-keygen
  cd "$bench/../cmd/esdk" && CGO_ENABLED=0 go build -trimpath -tags grpcnotrace -o "$bin/esdk-command" .
)

install_python() (
  set -e
  [ -x "$cache/python/bin/python" ] || python3 -m venv "$cache/python"
  "$cache/python/bin/python" -m pip install -q --disable-pip-version-check -r "$bench/python/requirements.txt"
  wrap python "$cache/python/bin/python" "$bench/python/peer.py"
)

install_cli() (
  set -e
  [ -x "$cache/cli/bin/python" ] || python3 -m venv "$cache/cli"
  "$cache/cli/bin/python" -m pip install -q --disable-pip-version-check setuptools wheel aws-encryption-sdk-cli==4.3.0
  # A build writes beside its sources.
  rm -rf "$cache/cli-plugin" && cp -r "$bench/cli" "$cache/cli-plugin"
  "$cache/cli/bin/python" -m pip install -q --disable-pip-version-check --no-build-isolation "$cache/cli-plugin"
  wrap aws-encryption-cli "$cache/cli/bin/aws-encryption-cli"
)

install_js() (
  set -e
  mkdir -p "$cache/js"
  cp "$bench/js/package.json" "$bench/js/peer.js" "$cache/js"
  (cd "$cache/js" && npm install --no-package-lock --no-audit --no-fund --silent)
  wrap js node "$cache/js/peer.js"
)

install_java() (
  set -e
  mkdir -p "$cache/java"
  # It writes control characters even when it has nothing to say.
  said=$(cd "$bench/java" && mvn -q -B dependency:build-classpath -Dmdep.outputFile="$cache/java/classpath" 2>&1) || { echo "$said" >&2; exit 1; }
  javac -cp "$(cat "$cache/java/classpath")" -d "$cache/java" "$bench/java/src/Peer.java"
  wrap java java -cp "$cache/java:$(cat "$cache/java/classpath")" Peer
)

install_rust() (
  set -e
  CARGO_TARGET_DIR=$cache/rust cargo build -q --release --locked --manifest-path "$bench/rust/Cargo.toml"
  cp "$cache/rust/release/esdk-bench-peer" "$bin/rust"
)

install_c() (
  set -e
  if [ -z "${ESDK_C_PREFIX:-}" ]; then
    [ -x "$bin/c" ] || echo "c: ESDK_C_PREFIX is not set"
    exit 0
  fi
  gcc -O2 -Wall -I"$ESDK_C_PREFIX/include" -o "$bin/c" "$bench/c/peer.c" -L"$ESDK_C_PREFIX/lib" \
    -laws-encryption-sdk -laws-c-common -lcrypto -lpthread -lm -ldl
)

failed=
for what in ${*:-go python cli js java rust c}; do
  echo "installing $what"
  "install_$what" & # in a condition, it would not end at its first error
  wait $! || failed="$failed $what"
done
if [ -n "$failed" ]; then
  echo "could not install:$failed" >&2
  exit 1
fi
