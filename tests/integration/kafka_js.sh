#!/bin/bash
# Goal: kafkajs works as it is: topics, settings, records, groups, transactions, offsets, access control lists.
# Method: npm_kafka/kafka.mjs against `cairn serve --kafka`. Skipped by name where npm cannot install.
# Usage: kafka_js.sh    CAIRN_BIN names the program (build/cairn).
cd "$(dirname "$0")/../.." || exit 2
export LC_ALL=C.UTF-8 NO_COLOR=1 KAFKAJS_NO_PARTITIONER_WARNING=1
cairn=$(readlink -f "${CAIRN_BIN:-build/cairn}")
[ -x "$cairn" ] || { echo "not ok kafka_js: no program at $cairn"; exit 1; }
skip() {
    echo "skip kafka_js: $1"
    exit 0
}
node=$(scripts/node.sh 2>/dev/null) || skip "no Node.js 20"
command -v npm >/dev/null || skip "no npm"
cd tests/integration/npm_kafka || exit 2
work=$(mktemp -d "${TMPDIR:-/tmp}/cairn-kafka-js-XXXXXX")
server=
clean() {
    [ -n "$server" ] && kill -9 "$server" 2>/dev/null
    rm -rf "$work"
}
trap clean EXIT

# What is installed is what the lockfile says, or it is installed again.
stamp=node_modules/.cairn-lockfile
if ! cmp -s package-lock.json "$stamp"; then
    if ! timeout 300 npm ci --loglevel=error --fetch-retries=1 --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=5000 >"$work/npm" 2>&1; then
        grep -qE 'EUSAGE|EINTEGRITY|ERESOLVE|EJSONPARSE' "$work/npm" && { echo "not ok kafka_js: $(tail -n 5 "$work/npm")"; exit 1; }
        skip "npm cannot install the client here"
    fi
    cp package-lock.json "$stamp"
fi
"$cairn" serve --data "$work/data" --listen 127.0.0.1:0 --kafka 127.0.0.1:0 >"$work/out" 2>"$work/err" &
server=$!
until grep -q "for Kafka's clients on" "$work/out" 2>/dev/null; do
    kill -0 "$server" 2>/dev/null || { echo "not ok kafka_js: the server does not start: $(tail -n 5 "$work/err")"; exit 1; }
    read -rt 0.05 <> <(:)
done
"$node" kafka.mjs "$(sed -n "s/.*for Kafka's clients on \([0-9.:]*\).*/\1/p" "$work/out")"
failed=$?
kill -TERM "$server"
wait "$server" || { echo "not ok kafka_js: the server stops cleanly: $(tail -n 20 "$work/err")"; failed=1; }
server=
exit $failed
