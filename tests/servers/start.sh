#!/usr/bin/env bash
# Runs a rerank server that others made on a loopback port, in the foreground: Infinity, with the checkpoint in a folder.
#   start.sh infinity FOLDER PORT [option...]      PORT 0: a free one; options are the server's own
# Prints `ready http://127.0.0.1:PORT` once it answers, and ends with its standard input or with ctrl-c.
# INFINITY_PYTHON is a Python that has it; without, it is installed once below SERVER_CACHE (600 MB where PyTorch's own index can be reached).
set -euo pipefail
server=$1 folder=$2 port=$3
shift 3
here=$(cd "$(dirname "$0")" && pwd)

missing() { # what, how to get it
  printf '%s is missing, so no %s can be started: %s\n' "$1" "$server" "$2" >&2
  exit 69
}

[ "$server" = infinity ] || missing "a way to start it" 'this script knows infinity'

install() { # into "$1"
  python3 -m venv "$1"
  # Without the libraries of a graphics card, where that index can be reached.
  "$1/bin/pip" install -q --index-url https://download.pytorch.org/whl/cpu torch==2.11.0 >&2 || "$1/bin/pip" install -q torch==2.11.0 >&2
  "$1/bin/pip" install -q -r "$here/infinity.txt" >&2
  # Its own list wants a NumPy that its other dependencies have left behind.
  "$1/bin/pip" install -q --no-deps infinity-emb==0.0.78 >&2
}

python=${INFINITY_PYTHON:-}
if [ -z "$python" ]; then
  command -v python3 >/dev/null || missing python3 'install python3 with venv'
  version=$(cat "$here/start.sh" "$here/infinity.txt" | sha256sum | cut -c1-12)
  place=${SERVER_CACHE:-$HOME/.cache/podium-servers}/infinity-$version
  if [ ! -x "$place/bin/infinity_emb" ]; then
    rm -rf "$place"
    trap 'rm -rf "$place"' EXIT
    install "$place"
    trap - EXIT
  fi
  python=$place/bin/python
fi

free='import socket; held = socket.socket(); held.bind(("127.0.0.1", 0)); print(held.getsockname()[1])'
[ "$port" != 0 ] || port=$("$python" -c "$free")
HF_HUB_OFFLINE=1 DO_NOT_TRACK=1 INFINITY_ANONYMOUS_USAGE_STATS=0 "$python" -c 'from infinity_emb.cli import cli; cli()' v2 --model-id "$folder" \
  --served-model-name model --engine torch --device cpu --dtype float32 --no-bettertransformer --no-model-warmup \
  --host 127.0.0.1 --port "$port" "$@" >&2 </dev/null &
child=$!
stop() { # a server whose model failed does not end by itself
  kill $child 2>/dev/null || return 0
  for _ in $(seq 50); do
    kill -0 $child 2>/dev/null || break
    sleep 0.1
  done
  kill -9 $child 2>/dev/null || true
  wait $child 2>/dev/null || true
}
trap stop EXIT
answers='import sys, urllib.request; urllib.request.urlopen("http://127.0.0.1:" + sys.argv[1] + "/health", timeout=5)'
until "$python" -c "$answers" "$port" 2>/dev/null; do
  kill -0 $child 2>/dev/null || { wait $child; exit 1; }
  sleep 0.5
done
printf 'ready http://127.0.0.1:%s\n' "$port"
cat >/dev/null
