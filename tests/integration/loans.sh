#!/bin/bash
# examples/loans on the whole of bpic2012.xes.gz.
#
# Goal: an app of one's own over an imported log: read models by SQL only answer what the log says.
# Method: import, deploy, wait until the read models have reached the end, compare every answer with numbers that
#         loans_numbers.py works out from the XES file. Then once more after a rebuild, and as of an earlier position.
# Usage: loans.sh    CAIRN_BIN names the program (build/cairn); CAIRN_TEST_DATA the folder of real logs.
cd "$(dirname "$0")/../.." || exit 2
root=$PWD
export LC_ALL=C.UTF-8
cairn=${CAIRN_BIN:-$root/build/cairn}
xes=${CAIRN_TEST_DATA:-$root/../shared/data}/bpic2012.xes.gz
[ -x "$cairn" ] || { echo "not ok loans: no program at $cairn"; exit 1; }
if [ ! -f "$xes" ]; then
    echo "skip loans: no $(basename "$xes") (CAIRN_TEST_DATA)"
    exit 0
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/cairn-loans-XXXXXX")
unset CAIRN_URL CAIRN_CACERT
server='' failed=0
ok() { echo "ok $1"; }
bad() { echo "not ok $1${2:+: $2}"; failed=1; }
stop() {
    if [ -n "$server" ]; then
        kill -TERM "$server" 2>/dev/null
        if wait "$server"; then ok "the server stops cleanly"; else bad "the server stops cleanly" "$(grep -v level=info "$work/serve.err" | head -n 60)"; fi
    fi
    rm -rf "$work"
}
trap stop EXIT
did() { # NAME ARGUMENTS…
    local name=$1
    shift
    if "$cairn" "$@" >"$work/out" 2>"$work/err"; then ok "$name"; else bad "$name" "$(head -c 300 "$work/err" "$work/out" | tr '\n' ' ')"; fi
}

did "the app has no mistake" check "$root/examples/loans"
: >"$work/serve.out"
"$cairn" serve --data "$work/store" --listen 127.0.0.1:0 >"$work/serve.out" 2>"$work/serve.err" &
server=$!
until grep -q '^Cairn .* is listening on' "$work/serve.out"; do
    kill -0 "$server" 2>/dev/null || { bad "the server starts" "$(cat "$work/serve.err")"; server=''; exit 1; }
    read -rt 0.05 <> <(:)
done
CAIRN_URL=$(sed -n 's/.* is listening on \(http[^ ]*\).*/\1/p' "$work/serve.out")
export CAIRN_URL
did "the log is imported" import xes "$xes"
did "the app is deployed" deploy "$root/examples/loans"
end=$("$cairn" read --all --backward --limit 1 --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["position"])')
wait_for() { # until every read model has reached the end
    for query in board time_in_state workload; do
        until "$cairn" query loans $query --after-position "$end" --timeout 10s >"$work/out" 2>"$work/err"; do
            grep -q stopped "$work/err" && { bad "$query is kept up" "$(cat "$work/err")"; return 1; }
            "$cairn" projections loans --json | grep -q '"state":"stopped"' && { bad "$query is kept up" "$("$cairn" projections loans)"; return 1; }
        done
    done
    ok "the read models have reached position $end"
}
wait_for
python3 tests/integration/loans_numbers.py "$xes" "$cairn" || failed=1
"$cairn" query loans board --csv >"$work/before"
"$cairn" query loans workload --all --csv >>"$work/before"
did "every read model is built anew" replay loans
"$cairn" query loans board --csv >"$work/after"
"$cairn" query loans workload --all --csv >>"$work/after"
if [ -s "$work/before" ] && cmp -s "$work/before" "$work/after"; then ok "… and says the same"; else bad "… and says the same"; fi
# as of a position: the board over the first 100,000 events of the log
"$cairn" read --all --limit 100000 --json | python3 -c '
import json, sys
state = {}
for line in sys.stdin:
    e = json.loads(line)
    if e["stream"].startswith("case-") and e["type"].startswith("A_"):
        state[e["stream"]] = e["type"][2:].lower()
count = {}
for s in state.values():
    count[s] = count.get(s, 0) + 1
print(json.dumps(count, sort_keys=True))' >"$work/want"
for try in 1 2 3 4 5 6; do # an as-of read model is built when it is asked for, and goes on being built after a timeout
    "$cairn" query loans board --as-of 100000 --timeout 10s --json >"$work/out" 2>"$work/err" && break
done
python3 -c '
import json, sys
print(json.dumps({r["state"]: r["applications"] for r in json.load(sys.stdin)["rows"]}, sort_keys=True))' <"$work/out" >"$work/have"
if [ -s "$work/want" ] && cmp -s "$work/want" "$work/have"; then ok "the board as of position 100000"; else bad "the board as of position 100000" "$(head -c 200 "$work/have") is not $(head -c 200 "$work/want") $(head -c 200 "$work/err")"; fi
exit $failed
