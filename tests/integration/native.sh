#!/bin/bash
# Goal: a decider in C, a shared object in the server's folder of modules, decides for an app that names it.
# Method: compile examples/decider.c against the public headers alone, as its users do, start a server on it, deploy an app,
# send commands, end the server by force, and go on where it was. Without the folder the deployment says what is missing.
# Usage: native.sh    CAIRN_BIN names the program (build/cairn), CC the compiler (cc).
cd "$(dirname "$0")/../.." || exit 2
root=$PWD
export LC_ALL=C.UTF-8 NO_COLOR=1
cairn=$(readlink -f "${CAIRN_BIN:-build/cairn}")
[ -x "$cairn" ] || { echo "not ok native: no program at $cairn"; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/cairn-native-XXXXXX")
cd "$work" || exit 2
unset CAIRN_URL
server='' failed=0
trap '[ -z "$server" ] || kill -TERM "$server" 2>/dev/null; wait; cd /; rm -rf "$work"' EXIT

ok() { echo "ok $1"; }
bad() { echo "not ok $1${2:+: $2}"; failed=1; }
check() { # CODE NAME PATTERN COMMAND…: it exits so, and prints a line like that
    local want=$1 name=$2 pattern=$3 code
    shift 3
    "$@" >out 2>&1 </dev/null
    code=$?
    if [ $code -eq "$want" ] && grep -qE -- "$pattern" out; then ok "$name"; else bad "$name" "exit $code: $(head -c 400 out | tr '\n' ' ')"; fi
}
start() { # OPTIONS…
    mkfifo said.$# 2>/dev/null
    "$cairn" serve --data store --listen 127.0.0.1:0 "$@" >said.$# 2>>server.err &
    server=$!
    read -r line <said.$#
    export CAIRN_URL=${line#*listening on } && CAIRN_URL=${CAIRN_URL%% *}
}

mkdir modules tally
${CC:-cc} -std=c11 -Wall -Wextra -Werror -shared -fPIC -I"$root/include" -o modules/tally.so "$root/examples/decider.c" >cc.out 2>&1 \
    && ok "the example compiles against the public headers" || bad "the example compiles against the public headers" "$(head -c 600 cc.out)"
cat >tally/app.yaml <<'YAML'
app: tally
deciders:
  tally: {native: tally, snapshot: {every: 2}}
commands:
  Count: {stream: "tally-{door}", schema: {type: object, required: [door], properties: {door: {type: string}}}}
events:
  Counted: {schema: {type: object, required: [n], properties: {n: {type: integer}}}}
YAML

start
check 1 "without a folder of modules the deployment is refused" 'no decider .tally. is built in' "$cairn" deploy tally
kill -TERM $server; wait $server; server=
start --apps-native "$work/modules"
check 0 "with it the app is deployed" 'deployed tally, version 1' "$cairn" deploy tally
check 0 "the decider decides" 'revision 0' "$cairn" command tally Count '{"door":"front"}'
check 0 "on its state" 'revision 1' "$cairn" command tally Count '{"door":"front"}'
check 0 "which is shown as JSON" '"n":2' "$cairn" state tally tally-front
kill -KILL $server; wait $server 2>/dev/null; server=
start --apps-native "$work/modules"
check 0 "after kill -9 it goes on from what was recorded" 'revision 2' "$cairn" command tally Count '{"door":"front"}'
check 10 "it refuses by a code of its own" 'full: ' "$cairn" command tally Count '{"door":"front"}'
check 0 "what was decided is decided again" 'differing +0' "$cairn" app tally check-history
kill -TERM $server
wait $server && ok "the server stops cleanly" || bad "the server stops cleanly" "$(tail -n 20 server.err)"
server=
exit $failed
