# Sourced by the scripts that run an official SDK beside cmd/esdk: installs the SDKs, and counts rows.
# Needs go and python3. Sets interop, root, cache and t, a folder of the run's own.

interop=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$interop/..
cache=${XDG_CACHE_HOME:-$HOME/.cache}/esdk-interop
export PYTHONDONTWRITEBYTECODE=1

umask 077
t=$(mktemp -d)

# install_sdks: the official Python SDK into a virtual environment, the Go one into $t/gopeer.
install_sdks() {
  mkdir -p "$cache"
  [ -x "$cache/venv/bin/python" ] || python3 -m venv "$cache/venv"
  "$cache/venv/bin/python" -m pip install -q --disable-pip-version-check -r "$interop/official/python/requirements.txt"
  (cd "$interop" && go build -o "$t/gopeer" ./gopeer)
}

passed=0
failed=0
result() { # VERDICT LABEL
  if [ "$1" = ok ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
  printf '%-70s %s\n' "$2" "$1"
}

# totals prints them; it fails if a row failed, or if there was none.
totals() {
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}
