# Relays under kills: what tests/integration/relay.sh and tests/interop/kafka_relay.sh share. Sourced in the repository's root.
#
# A load of kcat's (idempotent, numbered records) goes to a topic `source`; servers are killed with -9 and started again while it runs;
# tests/relay_verify.py counts what has arrived elsewhere.
# shellcheck shell=bash
export LC_ALL=C.UTF-8
rig_root=$PWD
cairn=${CAIRN_BIN:-$rig_root/build/cairn}
verify=$rig_root/tests/relay_verify.py
KEYS=40 PARTITIONS=4
[ -x "$cairn" ] || { echo "not ok relays: no program at $cairn"; exit 1; }
command -v kcat >/dev/null || { echo "not ok relays: kcat is not installed"; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/cairn-relay-XXXXXX")
cd "$work" || exit 2
unset CAIRN_URL CAIRN_CACERT NO_COLOR
failed=0 load='' feeder=''
declare -A pid=() url=() broker=() listen=()

ok() { echo "ok $1"; }
bad() { echo "not ok $1${2:+: $2}"; failed=1; }
pause() { read -rt "$1" <> <(:); }
on_exit() {
    local each
    for each in "${pid[@]}" $load $feeder; do kill -9 "$each" 2>/dev/null; done
    wait 2>/dev/null
    cd /
    if [ -n "${RELAY_KEEP:-}" ]; then echo "# kept: $work"; else rm -rf "$work"; fi
}
trap on_exit EXIT

# A server of that name, on the ports that it had before; with more flags, where given.
start_cairn() {
    local name=$1 out=$work/$1.out
    : >"$out"
    "$cairn" serve --data "$work/$name" --listen "${listen[$name]:-127.0.0.1:0}" --kafka "${broker[$name]:-127.0.0.1:0}" \
        --kafka-partitions $PARTITIONS "${@:2}" >"$out" 2>>"$work/$name.err" &
    pid[$name]=$!
    until grep -q '^Cairn .* is listening on' "$out"; do
        kill -0 "${pid[$name]}" 2>/dev/null || { bad "the server $name starts" "$(tail -n 3 "$work/$name.err")"; exit 1; }
        pause 0.05
    done
    url[$name]=$(sed -n 's/.* is listening on \(http[^ ,]*\).*/\1/p' "$out")
    listen[$name]=${url[$name]#http://}
    broker[$name]=$(sed -n "s/.*for Kafka's clients on \([^ ,]*\).*/\1/p" "$out")
}
kill_9() { kill -9 "${pid[$1]}" 2>/dev/null; wait "${pid[$1]}" 2>/dev/null; unset "pid[$1]"; }
stops_cleanly() {
    local name=$1
    kill -TERM "${pid[$name]}"
    if wait "${pid[$name]}"; then ok "$name stops cleanly"; else bad "$name stops cleanly" "$(grep -v level= "$work/$name.err" | head -n 40)"; fi
    unset "pid[$name]"
}
at() { local name=$1; shift; "$cairn" --url "${url[$name]}" "$@"; }

# ends BROKER TOPIC: the sum of its partitions' ends; nothing while it does not answer
ends() {
    local p list=()
    for ((p = 0; p < PARTITIONS; p++)); do list+=(-t "$2:$p:-1"); done
    timeout 10 kcat -b "$1" -Q "${list[@]}" 2>/dev/null | awk '{sum += $NF} END {if (NR) print sum}'
}
# grows NAME BROKER TOPIC RECORDS SECONDS: wait until it has so many more than now
grows() {
    local from='' now seconds=$5 begun=$SECONDS
    until [ -n "$from" ] || ((SECONDS - begun > seconds)); do from=$(ends "$2" "$3"); [ -n "$from" ] || pause 0.2; done
    while ((SECONDS - begun <= seconds)); do
        now=$(ends "$2" "$3")
        [ -n "$now" ] && [ "$now" -ge $((from + $4)) ] && return 0
        pause 0.2
    done
    bad "$1" "$3 at $2 did not go on from ${from:-?} in $seconds s"
    tell
    return 1
}
tell() {
    local name
    for name in "${!url[@]}"; do at "$name" relays 2>&1 | sed "s/^/# $name: /"; done
}

# Records to `source` at $1, $2 a second, until load_stop.
load_start() {
    rm -f "$work/stop"
    mkfifo "$work/load"
    python3 "$verify" feed "$2" $KEYS "$work/stop" "$work/fed" >"$work/load" &
    feeder=$!
    kcat -b "$1" -P -E -t source -K: -X enable.idempotence=true -X message.timeout.ms=600000 -X partitioner=murmur2_random \
        -X linger.ms=5 -X reconnect.backoff.max.ms=500 -X retry.backoff.ms=100 <"$work/load" >"$work/load.out" 2>&1 &
    load=$!
}
load_stop() {
    : >"$work/stop"
    wait "$feeder"
    feeder=
    if wait "$load"; then ok "every record is acknowledged ($(cat "$work/fed") of each of $KEYS keys)"; else bad "every record is acknowledged" "$(tail -n 2 "$work/load.out")"; fi
    load=
}
# has NAME BROKER TOPIC exact|complete SECONDS: everything that was fed is there, by that measure
has() {
    local begun=$SECONDS code
    while :; do
        timeout 100 kcat -b "$2" -C -t "$3" -o beginning -e -q -f '%p %k %s\n' -X isolation.level=read_committed 2>/dev/null >"$work/read"
        python3 "$verify" "$4" $KEYS "$work/fed" <"$work/read" >"$work/verdict"
        code=$?
        case $code in 0) ok "$1: $(cat "$work/verdict")"; return 0 ;; 2) ;; *) break ;; esac
        ((SECONDS - begun > $5)) && break # 2: some are missing yet
        pause 0.5
    done
    bad "$1" "$(cat "$work/verdict")"
    tell
    return 1
}
# few BROKER TOPIC COUNT: as many records; reaches NAME BROKER TOPIC COUNT: wait until its ends make as many
few() { seq "$3" | kcat -b "$1" -P -t "$2" -X message.timeout.ms=20000; }
reaches() {
    local begun=$SECONDS now=''
    while ((SECONDS - begun <= 60)); do
        now=$(ends "$2" "$3")
        [ "${now:-0}" -ge "$4" ] && break
        pause 0.2
    done
    if [ "${now:-0}" -eq "$4" ]; then ok "$1"; else bad "$1" "$3 has ${now:-0} records, not $4"; tell; fi
}
# shows NAME SERVER RELAY PYTHON SECONDS: wait until the expression is true of j, what is said of the relay
shows() {
    local begun=$SECONDS
    while ((SECONDS - begun <= $5)); do
        at "$2" relays show "$3" --json >"$work/relay" 2>/dev/null &&
            python3 -c 'import json, sys; j = json.load(open(sys.argv[1])); sys.exit(0 if eval(sys.argv[2]) else 1)' "$work/relay" "$4" && { ok "$1"; return; }
        pause 0.2
    done
    bad "$1" "$(cat "$work/relay")"
}
# idle SERVER RELAY: it runs and has nothing left
idle() { shows "$2 has nothing left" "$1" "$2" 'j["state"] == "running" and j["lag"] == 0' 30; }
