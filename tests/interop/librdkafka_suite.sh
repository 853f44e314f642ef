#!/bin/bash
# librdkafka's own tests against Cairn.
#
# Goal: what librdkafka's authors hold a broker to, this one does; librdkafka_suite.txt and librdkafka_suite_new.txt say of each of
# their tests whether it passes, fails and why, or does not apply and why.
# Method: the tests are not in this tree. Debian's source package brings those of the library that Cairn itself links
# (a sources list of its own: the system's is not touched); a newer release comes from the repository that LIBRDKAFKA_GIT names (any
# URL that git can clone; the list's first line says which tag). They are built in $B/librdkafka, and each runs alone with a time limit
# against a fresh server. A test that is listed as passing and fails is a failure; one that is listed as failing and passes is
# told, so that the list is mended.
# Usage: librdkafka_suite.sh [NUMBER…]    only these; CAIRN_BIN names the program, SUITE=debian or SUITE=new takes one of the two.
cd "$(dirname "$0")/../.." || exit 2
root=$PWD
export LC_ALL=C.UTF-8
B=${B:-build}
CAIRN_BIN=${CAIRN_BIN:-$root/$B/cairn}
case $B in /*) ;; *) B=$root/$B ;; esac
export CAIRN_BIN
only=" $* "
server='' serving='' failed=0
ok() { echo "ok $1"; }
bad() { echo "not ok $1${2:+: $2}"; failed=1; }
pause() { read -rt "$1" <> <(:); }
stop_server() { [ -z "$server" ] || { kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; server=; }; }
work=$(mktemp -d "${TMPDIR:-/tmp}/cairn-librdkafka-XXXXXX")
trap 'stop_server; rm -rf "$work"' EXIT

# ---- the sources -----------------------------------------------------------------------------------------------------

# Into $1, from Debian's source package of the version that is installed. Prints why not.
from_debian() {
    local into=$1 version uri
    command -v dpkg-source >/dev/null || { echo "there is no dpkg-source (package dpkg-dev)"; return 1; }
    version=$(dpkg-query -W -f '${Version}' librdkafka-dev 2>/dev/null) || { echo "librdkafka-dev is not installed"; return 1; }
    uri=$(grep -rhoE '^(URIs:|deb) +[^ ]*/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | awk '{print $2; exit}')
    [ -n "$uri" ] || { echo "apt's sources name no archive of Debian's"; return 1; }
    mkdir -p "$work/lists/partial" "$work/cache"
    # shellcheck disable=SC1091
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $(. /etc/os-release && echo "$VERSION_CODENAME") main" >"$work/source.list"
    local apt=(-o "Dir::Etc::sourcelist=$work/source.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache")
    (cd "$work" && timeout 300 apt-get "${apt[@]}" update && timeout 300 apt-get "${apt[@]}" source --download-only "librdkafka=$version") >"$work/apt.log" 2>&1 ||
        { echo "Debian's archive cannot be reached: $(grep -E '^[EW]:' "$work/apt.log" | tail -n 1)"; return 1; }
    mkdir -p "$into" && tar -xf "$work"/librdkafka_*.orig.tar.gz -C "$into" --strip-components=1 || { echo "its archive cannot be unpacked"; return 1; }
}
from_git() {
    [ -n "${LIBRDKAFKA_GIT:-}" ] || { echo "LIBRDKAFKA_GIT does not name a repository"; return 1; }
    git -c advice.detachedHead=false clone -q --depth 1 --branch "$2" "$LIBRDKAFKA_GIT" "$1" >"$work/git.log" 2>&1 || { echo "it cannot be cloned: $(tail -n 1 "$work/git.log")"; return 1; }
}
# Configure and build in $1: the library, its C++ face, the tests.
build() {
    local log=$1/build.log
    (cd "$1" && nice ./configure --disable-sasl && nice make -j"$(nproc)" -C src && nice make -j"$(nproc)" -C src-cpp &&
        nice make -j"$(nproc)" -C tests build) >"$log" 2>&1 || { tail -n 3 "$log"; return 1; }
    [ -x "$1/tests/test-runner" ]
}

# ---- the server ----------------------------------------------------------------------------------------------------------

start_server() { # HOW: noautocreate, or nothing
    local more=()
    serving=$1
    [ "$1" != noautocreate ] || more=(--kafka-auto-create 0)
    : >"$work/serve.out"
    rm -rf "$work/data"
    "$CAIRN_BIN" serve --data "$work/data" --listen 127.0.0.1:0 --kafka 127.0.0.1:0 --kafka-partitions 4 "${more[@]}" >"$work/serve.out" 2>"$work/serve.err" &
    server=$!
    until grep -q '^Cairn .* is listening on' "$work/serve.out"; do
        kill -0 "$server" 2>/dev/null || { bad "the server starts" "$(tail -n 3 "$work/serve.err")"; server=; exit 1; }
        pause 0.05
    done
    CAIRN_URL=$(sed -n 's/.* is listening on \(http[^ ,]*\).*/\1/p' "$work/serve.out")
    BROKERS=$(sed -n "s/.*for Kafka's clients on \([^ ,]*\).*/\1/p" "$work/serve.out")
    export CAIRN_URL BROKERS
    echo "bootstrap.servers=$BROKERS" >"$work/test.conf"
}

# ---- the tests ---------------------------------------------------------------------------------------------------------------

# one DIR NAME SECONDS LABEL: a name is a number, number/part, or that with an @ and how (see the list).
# 0: passed; 1: not; 2: it left itself out
one() {
    local dir=$1 name=${2%@*} seconds=$3 log=$B/librdkafka/logs/$4-${2//\//-}.log how='' quick=-Q
    mkdir -p "${log%/*}"
    case $2 in
    *@full) quick='' ;;
    *@consumer) how=TEST_CONSUMER_GROUP_PROTOCOL=consumer ;;
    *@noautocreate) how=TEST_SCENARIO=noautocreate ;;
    esac
    case $name in */*) how="$how SUBTESTS=${name#*/}" name=${name%%/*} ;; esac
    # shellcheck disable=SC2086 # how and quick are words
    (cd "$dir/tests" && exec env $how "TESTS=$name" \
        timeout -k 5 "$seconds" ./test-runner -p1 $quick) >"$log" 2>&1 || return 1
    grep -aqE " ${name}_[^|]*\|[[:space:]]*PASSED" "$log" || return 2
}

# suite NAME LIST DIR
suite() {
    local label=$1 list=$2 dir=$3 name number verdict seconds why got wanted
    export RDKAFKA_TEST_CONF=$work/test.conf LD_LIBRARY_PATH=$dir/src:$dir/src-cpp KAFKA_PATH=$root/tests/interop/librdkafka_bin TEST_KAFKA_VERSION
    while read -r name verdict seconds why; do
        case $name in \#* | '') continue ;; esac
        number=${name%%[/@]*}
        case $only in '  ' | *" $number "*) ;; *) continue ;; esac
        case $verdict in no) echo "# $label $name does not apply: $why"; continue ;; esac
        case $name in *@noautocreate) wanted=noautocreate ;; *) wanted='' ;; esac
        if [ "$wanted" != "$serving" ]; then
            stop_server
            start_server "$wanted"
        fi
        one "$dir" "$name" "$seconds" "$label"
        got=$?
        if [ $got -eq 1 ] && [ "$verdict" = pass ]; then # many of them measure times: a machine that is busy gets another chance
            echo "# $label $name: once more"
            one "$dir" "$name" "$seconds" "$label"
            got=$?
        fi
        case $verdict/$got in
        pass/0) ok "$label $name" ;;
        fails/0) ok "$label $name"; echo "# … although the list says that it fails: $why" ;;
        fails/*) echo "# $label $name fails, as listed: $why" ;;
        pass/2) bad "$label $name" "it left itself out" ;;
        *) bad "$label $name" "$(grep -aE 'Test assertion failed|### Test' "$B/librdkafka/logs/$label-${name//\//-}.log" | head -n 2 | tr '\n' ' ')" ;;
        esac
        kill -0 "$server" 2>/dev/null || { bad "the server lives" "$(tail -n 3 "$work/serve.err")"; exit 1; }
    done <"$list"
}

run_suite() { # LABEL LIST BRING ARGUMENT
    local label=$1 list=$root/tests/interop/$2 bring=$3 dir why
    dir=$B/librdkafka/$label
    case ${SUITE:-$label} in "$label") ;; *) return ;; esac
    if [ ! -x "$dir/tests/test-runner" ]; then
        rm -rf "$dir"
        mkdir -p "${dir%/*}"
        why=$("$bring" "$dir" "$4") || { echo "skip librdkafka's own tests, $label: $why"; return; }
        why=$(build "$dir") || { bad "librdkafka's own tests, $label, are built" "$why"; return; }
    fi
    TEST_KAFKA_VERSION=$(sed -n 's/^# broker //p' "$list")
    start_server ''
    suite "$label" "$list" "$dir"
    stop_server
}

run_suite debian librdkafka_suite.txt from_debian ''
run_suite new librdkafka_suite_new.txt from_git "$(sed -n 's/^# tag //p' tests/interop/librdkafka_suite_new.txt)"
exit $failed
