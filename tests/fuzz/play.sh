#!/bin/sh
# Replay a fuzzer's corpus and mutate it for a while: play.sh PROGRAM fuzz_NAME. One test.
corpus=tests/fuzz/corpus/${2#fuzz_}
runs=$((20000 * ${TEST_SCALE:-1}))
if "$1" -runs="$runs" "$corpus"; then echo "ok $2: corpus and $runs mutations"; else echo "not ok $2"; exit 1; fi
