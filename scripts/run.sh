#!/bin/bash
# Start the server on a folder of this checkout, import a first history, deploy an app and give it some work, and stay
# until Ctrl-C.
#   CAIRN_DATA    the folder (cairn-data)        CAIRN_LISTEN  address and port (127.0.0.1:7480)
#   CAIRN_KAFKA, CAIRN_SCHEMA_REGISTRY    the same for Kafka's clients (127.0.0.1:9092) and the registry's (127.0.0.1:8081);
#                                         empty: no such door
set -eu
cd "$(dirname "$0")/.."

# A terminal sends Ctrl-C to its whole foreground group: to make, which would report a failure, and to the server beside
# this script. As a job of its own the script alone is told, passes it on once, and make ends well.
if [ -t 0 ] && [ -z "${CAIRN_RUN_AS_JOB:-}" ]; then
    set -m
    CAIRN_RUN_AS_JOB=1 scripts/run.sh
    exit
fi
cairn=${CAIRN_BIN:-$PWD/build/cairn}
data=${CAIRN_DATA:-cairn-data}
listen=${CAIRN_LISTEN:-127.0.0.1:7480}
kafka=${CAIRN_KAFKA-127.0.0.1:9092} registry=${CAIRN_SCHEMA_REGISTRY-127.0.0.1:8081}
export CAIRN_URL=http://$listen
export CAIRN_APPS_LOG=${CAIRN_APPS_LOG:-0} # a line for every command would hide what follows

if curl -fsS --max-time 2 "$CAIRN_URL/healthz" >/dev/null 2>&1; then
    echo "Something answers at $CAIRN_URL already. Stop it, or choose another: CAIRN_LISTEN=127.0.0.1:7481 make run" >&2
    exit 1
fi

# The server is a job of its own too: a second signal would end it at once instead of cleanly.
trap '' TSTP
set -m
"$cairn" serve --data "$data" --listen "$listen" --kafka "$kafka" --schema-registry "$registry" </dev/null &
server=$!
set +m
stop() {
    trap '' INT TERM HUP
    kill -TERM "$server" 2>/dev/null || true
    status=0
    wait "$server" 2>/dev/null || status=$?
    [ "$status" -ne 0 ] || echo "Cairn has stopped. Its data is in $data; \`make run\` goes on with it."
    exit "$status"
}
trap stop INT TERM HUP

# Ready when it says so; gone when it could not start (it has said why).
until curl -fsS --max-time 2 "$CAIRN_URL/readyz" >/dev/null 2>&1; do
    kill -0 "$server" 2>/dev/null || { wait "$server"; exit $?; }
    read -rt 0.1 <> <(:) || true
done

if git rev-parse --verify -q HEAD >/dev/null 2>&1; then
    echo "Importing the git history of $PWD: a stream for each file, a stream for each author."
    "$cairn" import git . || echo "The import did not finish; the server goes on. Try: build/cairn import git ." >&2
    stream=$("$cairn" streams --prefix file- --limit 1 2>/dev/null | tail -n 1 | awk '{print $1}')
else
    echo "There is no git history here: importing this machine's package log, a stream for each package."
    "$cairn" import packages || echo "The import did not finish; the server goes on." >&2
    stream=$("$cairn" streams --prefix package- --limit 1 2>/dev/null | tail -n 1 | awk '{print $1}')
fi

echo "Deploying apps/research: research workflows carried out by agents; and a few of them, carried out."
if "$cairn" deploy apps/research >"$data/.deployed"; then
    sed -n 1p "$data/.deployed"
    scripts/research_workload.sh "$CAIRN_URL" || echo "The workload did not finish; the server goes on." >&2
fi
rm -f "$data/.deployed"

# Where there is a desktop, the console opens by itself.
if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] && command -v xdg-open >/dev/null; then
    xdg-open "$CAIRN_URL/console/" >/dev/null 2>&1 &
fi

doors='' try=''
if [ -n "$kafka" ]; then
    doors="
  For Kafka's clients:  $kafka"
    try="
  echo '{\"text\":\"hello\"}' | kcat -b $kafka -P -t greeting -k 2"
fi
[ -z "$registry" ] || doors="$doors
  The schema registry:  http://$registry"
cat <<TEXT

Cairn runs at $CAIRN_URL on the folder $data. Ctrl-C stops it.

  The console:          $CAIRN_URL/console/$doors

In another terminal, here:
$([ "$listen" = 127.0.0.1:7480 ] || printf '\n  export CAIRN_URL=%s' "$CAIRN_URL")
  build/cairn query research workflow_board           what the research app's workflows are at
  build/cairn app research                            its commands, queries, projections
  build/cairn streams --limit 10                      what streams are there
  build/cairn read '${stream:-STREAM}'
  build/cairn follow --all                            and, while it runs:
  build/cairn append greeting-1 --type Greeted --data '{"text":"hello"}'$try
  build/cairn stats                                   curl $CAIRN_URL/openapi.json has the rest
TEXT
wait "$server"
