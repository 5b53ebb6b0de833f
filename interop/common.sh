# Sourced by the scripts here. Sets interop, root, cache and t, a folder of the run's own.

interop=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$interop/..
cache=${XDG_CACHE_HOME:-$HOME/.cache}/esdk-interop
export PYTHONDONTWRITEBYTECODE=1

umask 077
t=$(mktemp -d)
