#!/usr/bin/env bash
# Runs the front-end of the command beside the Python program whose arguments it takes, which it installs:
# run.sh [ARGUMENT OF GO TEST]...
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
rm -r "$t"
"$interop/install.sh" cli
cd "$interop"
ESDK_AWS_CLI=$cache/cli/bin/aws-encryption-cli exec go test -count=1 -timeout 30m ./compat "$@"
