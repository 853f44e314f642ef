#!/bin/bash
# What `make run` starts, at a terminal.
#
# Goal: Ctrl-C stops it cleanly, whenever it comes: make ends with 0 and says nothing, the server is told once, and the
# next run finds its data as it was, recovers nothing and imports nothing twice.
# Method: make on a pseudo-terminal, Ctrl-C written to it after a given text has been seen, three times.
# Usage: make_run.sh    CAIRN_BIN names the program (build/cairn).
cd "$(dirname "$0")/../.." || exit 2
export LC_ALL=C.UTF-8 CAIRN_BIN=${CAIRN_BIN:-$PWD/build/cairn}
unset CAIRN_URL MAKEFLAGS MAKELEVEL
[ -x "$CAIRN_BIN" ] || { echo "not ok make run: no program at $CAIRN_BIN"; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/cairn-run-XXXXXX")
trap 'rm -rf "$work"' EXIT
printf 'run:\n\t@%s/scripts/run.sh\n' "$PWD" >"$work/Makefile"
export CAIRN_DATA=$work/data
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print("127.0.0.1:%d" % s.getsockname()[1])'; }
CAIRN_LISTEN=$(free) CAIRN_KAFKA=$(free) CAIRN_SCHEMA_REGISTRY=$(free)
export CAIRN_LISTEN CAIRN_KAFKA CAIRN_SCHEMA_REGISTRY
failed=0
check() { # NAME COMMAND…
    local name=$1
    shift
    if "$@" >/dev/null 2>&1; then echo "ok $name"; else echo "not ok $name: $(tr -d '\r' <"$work/out" | tail -n 8)"; failed=1; fi
}
# A line that overwrites a line of progress is a line too.
says() { tr '\r' '\n' <"$work/out" | sed 's/\x1b\[[0-9;]*[A-Za-z]//g' | grep -E -- "$1" >/dev/null; }
says_not() { ! says "$1"; }

# run_until TEXT: `make run` at a terminal of its own; Ctrl-C when TEXT has been printed. Its status goes to $status.
run_until() {
    python3 - "$work" "$1" >"$work/out" <<'P'
import os, pty, sys
folder, text = sys.argv[1], sys.argv[2].encode()
child, terminal = pty.fork()
if child == 0:
    os.execvp("make", ["make", "--no-print-directory", "-C", folder, "run"])
said = b""
while True:
    try:
        piece = os.read(terminal, 65536)
    except OSError:
        break
    if not piece:
        break
    if text in said + piece and text not in said:
        os.write(terminal, b"\x03")
    said += piece
sys.stdout.buffer.write(said.replace(b"\x1b[K", b"").replace(b"\r\n", b"\n").replace(b"\r", b"\n"))  # progress draws over its line
sys.stdout.flush()
os._exit(abs(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
P
    status=$?
}
stopped() { # NAME
    check "$1: make ends with 0" [ "$status" -eq 0 ]
    check "$1: … without a word of its own" says_not '^make(\[[0-9]+\])?: '
    check "$1: the server has stopped by itself" says 'level=info msg=stopped'
    check "$1: … and that is said" says '^Cairn has stopped\. Its data is in '
}

run_until 'has the rest'
stopped "a first run"
check "it imports a history" says '^imported [1-9][0-9]* events?, 0 already there'
check "it prints five commands" says 'build/cairn stats '
check "and where Kafka's clients go" says "kcat -b $CAIRN_KAFKA -P "
check "and the schema registry's" says "The schema registry: +http://$CAIRN_SCHEMA_REGISTRY$"
check "which are served" says "is listening on .* for Kafka's clients on $CAIRN_KAFKA, for the schema registry's clients on http://$CAIRN_SCHEMA_REGISTRY"
run_until 'has the rest'
stopped "a second run"
check "it finds its data, and has nothing to recover" says 'msg="store opened" .* events=[1-9][0-9]* .* recovered_events=0 '
check "it imports nothing twice" says '^imported 0 events, [1-9][0-9]* already there'
rm -rf "$CAIRN_DATA"
CAIRN_KAFKA='' CAIRN_SCHEMA_REGISTRY='' run_until 'has the rest'
stopped "without the doors"
check "there are none" says_not "for Kafka's clients on|schema registry's clients on"
check "and none are named" says_not 'kcat|The schema registry'
rm -rf "$CAIRN_DATA"
run_until 'mporting'
stopped "Ctrl-C while it imports"
exit $failed
