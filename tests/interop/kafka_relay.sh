#!/bin/bash
# Relays to and from a real Kafka; it and Cairn are killed under load.
#
# Goal: whichever of the two dies with -9 in the middle of it, a relay that goes out with transactions (for consumers with read_committed)
# and one that comes in lose nothing, double nothing and keep the order of each key; one without transactions loses nothing.
# Method: `source` here is written to all the time; `once` and `least` go out to Kafka, and what `once` brings there comes back in as
# `fetched`, on another Cairn (a log takes nothing in that left it). Both sides are killed and started again several times, each time when something
# has arrived everywhere since; at last Kafka stays away for longer than a client's patience. Then every record is counted.
# Usage: kafka_relay.sh    CAIRN_BIN names the program (build/cairn); RELAY_ROUNDS (3), RELAY_RATE (2000 records a second).
cd "$(dirname "$0")/../.." || exit 2
. tests/interop/kafka_rig.sh
kafka_have || { echo "skip relays to and from a real Kafka: $kafka_why"; exit 0; }
. tests/relay_rig.sh

read -r port control <<<"$(kafka_free_ports 2)"
kafka=127.0.0.1:$port
begin_kafka() {
    kafka_start "$work/kafka" "$port" || { bad "Kafka starts" "$(tail -n 2 "$work/kafka/out")"; exit 1; }
    pid[kafka]=$kafka_pid
}
kafka_format "$work/kafka" "$port" "$control" || { bad "Kafka's folder" "$(tail -n 2 "$work/kafka/format.log")"; exit 1; }
begin_kafka
start_cairn here
start_cairn there
at here topics create source --partitions $PARTITIONS >/dev/null || bad "a topic"
for topic in once least; do
    kafka_java org.apache.kafka.tools.TopicCommand --bootstrap-server "$kafka" --create --topic $topic --partitions $PARTITIONS >/dev/null || bad "a topic of Kafka's"
done
quick=(--client reconnect.backoff.max.ms=500 --client transaction.timeout.ms=30000)
at here relays put once --out --from source --to once --bootstrap "$kafka" --transactions "${quick[@]}" >/dev/null || bad "a relay out, with transactions"
at here relays put least --out --from source --to least --bootstrap "$kafka" "${quick[@]}" >/dev/null || bad "a relay out"
at there relays put fetch --in --from once --to fetched --bootstrap "$kafka" --client reconnect.backoff.max.ms=500 >/dev/null || bad "a relay in"

all_grow() {
    local topic
    for topic in once least; do grows "$topic goes on, $1" "$kafka" $topic 500 120 || exit 1; done
    grows "fetched goes on, $1" "${broker[there]}" fetched 500 120 || exit 1
}
load_start "${broker[here]}" "${RELAY_RATE:-2000}"
all_grow "first"
for round in $(seq "${RELAY_ROUNDS:-3}"); do
    kill_9 kafka
    begin_kafka
    all_grow "after Kafka was killed ($round)"
    for side in here there; do
        kill_9 $side
        start_cairn $side
        all_grow "after $side was killed ($round)"
    done
done
# An outage that is longer than the client's own patience with a record in a transaction (25 s).
kill_9 kafka
shows "without Kafka a relay says that it waits" here once 'j["state"] == "waiting" and j["detail"]' 60
shows "… so does the one that comes in" there fetch 'j["state"] == "waiting" and j["detail"]' 60
shows "… the lag grows with the log" here once "j['lag'] > 35 * ${RELAY_RATE:-2000}" 120
begin_kafka
load_stop
has "the source" "${broker[here]}" source exact 30
has "out with transactions" "$kafka" once exact 120
has "out without" "$kafka" least complete 120
has "in" "${broker[there]}" fetched exact 120
idle here once
idle here least
idle there fetch
# What Kafka's retention has removed before it came in is told, and passed.
kafka_java org.apache.kafka.tools.TopicCommand --bootstrap-server "$kafka" --create --topic gap --partitions 1 >/dev/null || bad "a topic of Kafka's"
few "$kafka" gap 10
at there relays put gap --in --from gap --bootstrap "$kafka" >/dev/null || bad "a relay in"
PARTITIONS=1
reaches "a topic comes in" "${broker[there]}" gap 10
at there relays pause gap >/dev/null || bad "it is paused"
few "$kafka" gap 10
echo '{"partitions": [{"topic": "gap", "partition": 0, "offset": 15}], "version": 1}' >gap.json
kafka_java org.apache.kafka.tools.DeleteRecordsCommand --bootstrap-server "$kafka" --offset-json-file gap.json >/dev/null || bad "records are removed"
at there relays resume gap >/dev/null || bad "it goes on"
reaches "what is left comes in" "${broker[there]}" gap 15
if grep -q 'offsets 10 to 14 are gone' there.err; then ok "and what is gone is told"; else bad "and what is gone is told" "$(tail -n 3 there.err)"; fi

kill_9 kafka
stops_cleanly there # their relays wait for one that is away
stops_cleanly here
exit $failed
