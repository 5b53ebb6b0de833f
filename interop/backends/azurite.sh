#!/usr/bin/env bash
# Azurite, Microsoft's own emulator of Azure Storage, with blobs alone, in memory, on 127.0.0.1. "start" prints its URL, for
# ESDK_AZURE_URL; without a port it takes a free one. Needs Node.js with npm, and python3; "install" takes it from npm.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

version=3.37.0
home=$cache/azurite-$version

case ${1-} in
  install)
    [ -e "$home/node_modules/azurite/package.json" ] ||
      npm install --silent --no-audit --no-fund --prefix "$home" "azurite@$version" >/dev/null
    ;;
  start)
    installed "$home/node_modules/azurite/package.json"
    port=${2:-$(free_port)}
    start azurite "$port" node "$home/node_modules/azurite/dist/src/blob/main.js" --inMemoryPersistence --silent \
      --blobHost 127.0.0.1 --blobPort "$port" --skipApiVersionCheck --disableTelemetry
    ;;
  stop) stop azurite ;;
  *) usage ;;
esac
