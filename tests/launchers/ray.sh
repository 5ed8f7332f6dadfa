#!/usr/bin/env bash
# A real Ray on this machine: `ray.sh run COMMAND …` starts it, runs the command with its address in TANDEM_RAY, stops it.
# It is started in another folder and without this project's path, as a cluster's nodes are.
set -euo pipefail

if [ "${1:-}" != run ]; then
    echo "error: say run COMMAND …" >&2
    exit 2
fi
shift
RAY=$(cd "$(dirname "$0")/../.." && pwd)/.venv/bin/ray
PORT=${TANDEM_RAY_PORT:-26379}
if [ ! -x "$RAY" ]; then
    echo "error: Ray is not installed; install it with: .venv/bin/pip install hydra-ray-launcher" >&2
    exit 2
fi

FOLDER=$(mktemp -d)
stop() {
    # Only what was started here: `ray stop` would end every Ray of the machine.
    pkill -TERM -f -- "$FOLDER/" || true
    rm -rf "$FOLDER"
}
trap stop EXIT
(cd / && "$RAY" start --head --port="$PORT" --num-cpus=2 --include-dashboard=false --temp-dir="$FOLDER" \
    --disable-usage-stats >"$FOLDER/start.log" 2>&1) || {
    tail -n 5 "$FOLDER/start.log" >&2
    exit 2
}
export TANDEM_RAY=127.0.0.1:$PORT
"$@"
