#!/bin/bash
# Run test programs and scripts, and count. Arguments: PRESET:LAYER,LAYER…
#
# One more at a time than there are processors (TEST_LANES): most of them wait, for a disk or for one thread, a part of their time.
# A program is $B/tests/LAYER/NAME (cmocka), a script is tests/LAYER/NAME.sh or .mjs (lines "ok …", "not ok …",
# "skip …"). Each gets TEST_TIMEOUT seconds (600), its output goes to $B/logs/LAYER-NAME.log, and what
# failed is shown. TEST_LEAVE_OUT names tests to leave out (PRESET/LAYER/NAME …). The last line is "N passed, N failed, N skipped".
set -u
cd "$(dirname "$0")/.." || exit 2
export LC_ALL=C.UTF-8
timeout_s=${TEST_TIMEOUT:-600}
lanes=${TEST_LANES:-$(($(nproc) + 1))}
[ "$lanes" -le 8 ] || lanes=8
base=${B:-build} # where make built: the sanitizers' programs are in folders of it
results=$(mktemp -d) # of each test: N.counts, and N.fault, told again at the end, where a reader of the last screen sees it
trap 'rm -rf "$results"' EXIT

# The sanitizers stop at the first fault and say where.
export ASAN_OPTIONS="detect_leaks=1:allocator_may_return_null=1:${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1:${UBSAN_OPTIONS:-}"
export TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1:suppressions=$PWD/tests/tsan.supp:${TSAN_OPTIONS:-}"

count() { grep -cE "$1" "$2" || true; }

# run_one NUMBER PRESET LAYER NAME COMMAND…
run_one() {
    local result=$results/$1 preset=$2 layer=$3 name=$4 begin end ok bad skip status log
    shift 4
    log=$B/logs/$layer-$name.log
    mkdir -p "$B/logs"
    begin=$(date +%s%N)
    timeout -k 10 "$timeout_s" "$@" >"$log" 2>&1 </dev/null
    status=$?
    end=$(date +%s%N)
    ok=$(($(count '^\[       OK \]' "$log") + $(count '^ok[: ]' "$log")))
    bad=$(($(count '^\[  FAILED  \] [^0-9]' "$log") + $(count '^not ok ' "$log")))
    skip=$(($(count '^\[  SKIPPED \] [^0-9]' "$log") + $(count '^skip ' "$log")))
    # cmocka names failed tests twice: as they fail, and in its summary.
    grep -q '^\[==========\]' "$log" && bad=$(($(count '^\[  FAILED  \] [^0-9]' "$log") / 2)) &&
        skip=$(($(count '^\[  SKIPPED \] [^0-9]' "$log") / 2))
    if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
    if [ "$status" -eq 0 ] && [ "$((ok + bad + skip))" -eq 0 ]; then bad=1; echo "it ran no test" >>"$log"; fi
    echo "$ok $bad $skip" >"$result.counts"
    if [ "$bad" -gt 0 ]; then
        {
            echo "    --- $preset $layer $name: $log (exit $status)"
            [ "$status" -eq 124 ] && echo "    took longer than $timeout_s s"
            grep -vE '^\[ RUN|^\[       OK|^ok ' "$log" | tail -n 40 | sed 's/^/    /'
        } >"$result.fault"
    fi
    { # in one go: others are printing too
        printf '%-8s %-12s %-24s %4d ok %s%s %6d ms\n' "$preset" "$layer" "$name" "$ok" \
            "$([ "$bad" -gt 0 ] && echo "$bad FAILED")" "$([ "$skip" -gt 0 ] && echo " $skip skipped")" $(((end - begin) / 1000000))
        grep -E '^\[  SKIPPED \] [^0-9]|^skip ' "$log" | sort -u | sed 's/^/    /'
        [ "$bad" -eq 0 ] || cat "$result.fault"
    } >"$result.text"
    cat "$result.text"
}

started=0
start() {
    while [ "$(jobs -rp | wc -l)" -ge "$lanes" ]; do wait -n; done
    started=$((started + 1))
    run_one "$(printf %05d "$started")" "$@" &
}

for part in "$@"; do
    preset=${part%%:*} layers=${part#*:}
    export PRESET=$preset B=$base
    [ "$preset" = release ] || B=$base/$preset
    CAIRN_BIN=$(realpath -m "$B/cairn")
    export CAIRN_BIN
    for layer in ${layers//,/ }; do
        for source in tests/"$layer"/*.c; do
            name=$(basename "$source" .c)
            program=$B/tests/$layer/$name
            [ -e "$source" ] && [ "$name" != driver ] || continue
            case " ${TEST_LEAVE_OUT:-} " in *" $preset/$layer/$name "*) continue ;; esac
            if [ "$layer" = fuzz ]; then
                start "$preset" "$layer" "$name" tests/fuzz/play.sh "$program" "$name"
            else
                start "$preset" "$layer" "$name" "$program"
            fi
        done
        for script in tests/"$layer"/*.sh tests/"$layer"/*.mjs; do
            [ -x "$script" ] || continue
            case $script in */play.sh) continue ;; esac
            name=$(basename "${script%.*}")
            case " ${TEST_LEAVE_OUT:-} " in *" $preset/$layer/$name "*) continue ;; esac
            start "$preset" "$layer" "$name" "$script"
        done
    done
done

wait
passed=0 failed=0 skipped=0
for counts in "$results"/*.counts; do
    [ -e "$counts" ] || continue
    read -r ok bad skip <"$counts"
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
done
ended=$(find "$results" -name '*.counts' | wc -l)
[ "$ended" -eq "$started" ] || { echo "$((started - ended)) tests ended without a result"; failed=$((failed + started - ended)); }
if [ "$failed" -gt 0 ]; then
    echo "What failed:"
    cat "$results"/*.fault 2>/dev/null
fi
[ "$skipped" -gt 0 ] && tail=", $skipped skipped" || tail=
echo "$passed passed, $failed failed$tail"
[ "$failed" -eq 0 ]
