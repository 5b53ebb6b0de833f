#!/usr/bin/env bash
# Builds the peers, and installs the official SDKs in them from the package registries: install.sh PEER...
# of go, python, cli, javascript, java, rust and c. Each becomes a program in $cache/peers. Needs Go, Python 3,
# Node.js with npm, a JDK of 17 with Maven, Rust, for the peers that are named; Rust takes ten minutes the first time.
# The C SDK is in no registry: ESDK_C_PREFIX names the directory in which it and aws-c-common are installed.
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
rm -r "$t"
peers=$interop/peers
bin=$cache/peers
mkdir -p "$bin"

# wrap NAME COMMAND...: a program that runs another.
wrap() {
  local name=$1
  shift
  { echo '#!/bin/sh'; printf 'exec'; printf ' %q' "$@"; echo ' "$@"'; } >"$bin/$name.new"
  chmod +x "$bin/$name.new"
  mv "$bin/$name.new" "$bin/$name"
}

install_go() {
  (cd "$interop" && go build -o "$bin/go" ./peers/go)
}

install_python() {
  [ -x "$cache/venv/bin/python" ] || python3 -m venv "$cache/venv"
  "$cache/venv/bin/python" -m pip install -q --disable-pip-version-check -r "$peers/python/requirements.txt"
  wrap python "$cache/venv/bin/python" "$peers/python/peer.py"
}

install_cli() {
  [ -x "$cache/cli/bin/python" ] || python3 -m venv "$cache/cli"
  "$cache/cli/bin/python" -m pip install -q --disable-pip-version-check setuptools wheel aws-encryption-sdk-cli==4.3.0
  # A build writes beside its sources.
  rm -rf "$cache/cli-plugin"
  cp -r "$peers/cli" "$cache/cli-plugin"
  "$cache/cli/bin/python" -m pip install -q --disable-pip-version-check --no-build-isolation "$cache/cli-plugin"
  wrap cli "$cache/cli/bin/python" "$peers/cli/peer.py"
}

install_javascript() {
  mkdir -p "$cache/javascript"
  cp "$peers/javascript/package.json" "$peers/javascript/peer.js" "$cache/javascript"
  (cd "$cache/javascript" && npm install --no-package-lock --no-audit --no-fund --silent)
  # Some releases of Node refuse PKCS #1 v1.5 decryption unless told otherwise, and others do not know how to be told.
  local flag=
  node -e '
    const c = require("crypto"), padding = c.constants.RSA_PKCS1_PADDING
    const { privateKey, publicKey } = c.generateKeyPairSync("rsa", { modulusLength: 2048 })
    c.privateDecrypt({ key: privateKey, padding }, c.publicEncrypt({ key: publicKey, padding }, Buffer.from("x")))
  ' 2>/dev/null || flag=--security-revert=CVE-2023-46809
  wrap javascript node ${flag:+"$flag"} "$cache/javascript/peer.js"
}

install_java() {
  mkdir -p "$cache/java-peer"
  cp -R "$peers/java/." "$cache/java-peer"
  # Maven writes control characters even when it has nothing to say.
  local said
  said=$(cd "$cache/java-peer" && mvn -q -B compile dependency:build-classpath -Dmdep.outputFile=classpath 2>&1) || { echo "$said" >&2; return 1; }
  wrap java env LC_ALL=C.UTF-8 java -cp "$cache/java-peer/target/classes:$(cat "$cache/java-peer/classpath")" peer.Peer
}

install_rust() {
  CARGO_TARGET_DIR=$cache/rust cargo build -q --release --locked --manifest-path "$peers/rust/Cargo.toml"
  wrap rust "$cache/rust/release/esdk-interop-peer"
}

install_c() {
  : "${ESDK_C_PREFIX:?names the directory of the C SDK}"
  gcc -O2 -Wall -Wextra -I"$ESDK_C_PREFIX/include" -o "$bin/c" "$peers/c/peer.c" -L"$ESDK_C_PREFIX/lib" \
    -laws-encryption-sdk -laws-c-common -lcrypto -lpthread -lm -ldl
}

for what; do
  echo "installing the peer $what"
  "install_$what"
done
