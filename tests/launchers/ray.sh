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
# For this machine alone, and with a token of its own instead of the one that Ray keeps in the home folder.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
# In a session of its own, so that all of its processes, and none else, can be ended by their group.
(cd / && exec setsid "$RAY" start --head --block --node-ip-address=127.0.0.1 --port="$PORT" --num-cpus=2 --include-dashboard=false \
    --temp-dir="$FOLDER" --disable-usage-stats >"$FOLDER/start.log" 2>&1) &
HEAD=$!
stop() {
    kill -TERM -- "-$HEAD" 2>/dev/null || true
    sleep 2
    kill -KILL -- "-$HEAD" 2>/dev/null || true
    wait "$HEAD" 2>/dev/null || true
    rm -rf "$FOLDER"
}
trap stop EXIT
for _ in $(seq 120); do
    if grep -q "Ray runtime started" "$FOLDER/start.log"; then
        export TANDEM_RAY=127.0.0.1:$PORT
        "$@"
        exit
    fi
    sleep 0.5
done
tail -n 5 "$FOLDER/start.log" >&2
echo "error: Ray did not start within a minute; the last lines of its log are above." >&2
exit 2
