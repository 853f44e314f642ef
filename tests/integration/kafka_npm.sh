#!/bin/bash
# Goal: Node's clients work as they are, over Kafka's protocol and the schema registry of one server: kafkajs (topics, settings, records by every
#       codec, groups, transactions, offsets, access control lists), @confluentinc/kafka-javascript by both of its interfaces, and the
#       serializers of @kafkajs/confluent-schema-registry and @confluentinc/schemaregistry; and no acknowledged record of kafkajs is
#       lost, doubled or out of order when the server is killed.
# Method: npm_kafka/*.mjs against `cairn serve`. Skipped by name where npm cannot install, or the native client cannot be built.
# Usage: kafka_npm.sh    CAIRN_BIN names the program (build/cairn).
cd "$(dirname "$0")/../.." || exit 2
export LC_ALL=C.UTF-8 NO_COLOR=1 KAFKAJS_NO_PARTITIONER_WARNING=1
cairn=$(readlink -f "${CAIRN_BIN:-build/cairn}")
[ -x "$cairn" ] || { echo "not ok kafka_npm: no program at $cairn"; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/cairn-kafka-npm-XXXXXX")
server=
clean() {
    [ -n "$server" ] && kill -9 "$server" 2>/dev/null
    rm -rf "$work"
}
trap clean EXIT

why=$(tests/integration/npm_kafka/install.sh)
case $? in
0) ;;
3) echo "skip kafka_npm: $why"; exit 0 ;;
*) echo "not ok kafka_npm: $why"; exit 1 ;;
esac
native=$(tests/integration/npm_kafka/install.sh native)
native_status=$?
node=$(scripts/node.sh 2>/dev/null)
cd tests/integration/npm_kafka || exit 2

"$cairn" serve --data "$work/data" --listen 127.0.0.1:0 --kafka 127.0.0.1:0 --schema-registry 127.0.0.1:0 >"$work/out" 2>"$work/err" &
server=$!
until grep -q "for Kafka's clients on" "$work/out" 2>/dev/null; do
    kill -0 "$server" 2>/dev/null || { echo "not ok kafka_npm: the server does not start: $(tail -n 5 "$work/err")"; exit 1; }
    read -rt 0.05 <> <(:)
done
broker=$(sed -n "s/.*for Kafka's clients on \([0-9.:]*\).*/\1/p" "$work/out")
registry=$(sed -n "s/.*for the schema registry's clients on \(http[^ ,]*\).*/\1/p" "$work/out")
failed=0
run() { # SCRIPT ARGUMENTS…
    timeout 120 "$node" "$@"
    local status=$?
    [ $status -eq 0 ] || failed=1
    [ $status -lt 124 ] || echo "not ok kafka_npm: $1 does not end ($status)"
}
run kafkajs.mjs "$broker"
run serializers.mjs "$broker" "$registry" kafkajs
case $native_status in
0)
    run confluent.mjs "$broker"
    run serializers.mjs "$broker" "$registry" confluent
    ;;
3) echo "skip kafka_npm: @confluentinc/kafka-javascript: $native" ;;
*) echo "not ok kafka_npm: @confluentinc/kafka-javascript: $native"; failed=1 ;;
esac
kill -TERM "$server"
wait "$server" || { echo "not ok kafka_npm: the server stops cleanly: $(tail -n 20 "$work/err")"; failed=1; }
server=
run kill9.mjs "$cairn" "$work/killed"
exit $failed
