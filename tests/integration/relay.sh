#!/bin/bash
# Relays between two Cairns, each of which is killed under load.
#
# Goal: whichever side dies with -9 in the middle of it, a relay that goes out with transactions and one that comes in lose nothing, double
# nothing and keep the order of each key; one that goes out without transactions loses nothing.
# Method: `here` has a topic that is written to all the time, two relays that take it to `there`; `there` has one that fetches it. Both
# are killed and started again several times, each time when something has arrived since. Then every record is counted.
# Usage: relay.sh    CAIRN_BIN names the program (build/cairn); RELAY_ROUNDS (3), RELAY_RATE (2000 records a second).
cd "$(dirname "$0")/../.." || exit 2
# librdkafka makes its threads by C11's thrd_create(), which ThreadSanitizer does not see: it crashes in them.
[ "${PRESET:-}" != tsan ] || { echo "skip relays under ThreadSanitizer, which does not know librdkafka's threads"; exit 0; }
. tests/relay_rig.sh

start_cairn here
start_cairn there
at here topics create source --partitions $PARTITIONS >/dev/null || bad "a topic"
for topic in once least; do at there topics create $topic --partitions $PARTITIONS >/dev/null || bad "a topic"; done
quick=(--client reconnect.backoff.max.ms=500 --client transaction.timeout.ms=30000)
at here relays put once --out --from source --to once --bootstrap "${broker[there]}" --transactions "${quick[@]}" >/dev/null || bad "a relay out, with transactions"
at here relays put least --out --from source --to least --bootstrap "${broker[there]}" "${quick[@]}" >/dev/null || bad "a relay out"
at there relays put fetch --in --from source --to fetched --bootstrap "${broker[here]}" --client reconnect.backoff.max.ms=500 >/dev/null || bad "a relay in"

all_grow() {
    local topic
    for topic in once least fetched; do grows "$topic goes on, $1" "${broker[there]}" $topic 500 90 || exit 1; done
}
load_start "${broker[here]}" "${RELAY_RATE:-2000}"
all_grow "first"
for round in $(seq "${RELAY_ROUNDS:-3}"); do
    for side in there here; do
        kill_9 $side
        start_cairn $side
        all_grow "after $side was killed ($round)"
    done
done
load_stop
has "the source" "${broker[here]}" source exact 30
has "out with transactions" "${broker[there]}" once exact 90
has "out without" "${broker[there]}" least complete 90
has "in" "${broker[there]}" fetched exact 90
idle here once
idle here least
idle there fetch

# A topic that is made anew under its name: going out, all of it goes; coming in, that is somebody's to decide.
PARTITIONS=1
for side in here there; do at $side topics create anew --partitions $PARTITIONS >/dev/null || bad "a topic"; done
few "${broker[here]}" anew 50
at here relays put anew-out --out --from anew --bootstrap "${broker[there]}" --transactions "${quick[@]}" >/dev/null || bad "a relay out"
at there relays put anew-in --in --from anew --to anew-in --bootstrap "${broker[here]}" >/dev/null || bad "a relay in"
reaches "a topic goes out" "${broker[there]}" anew 50
reaches "and in" "${broker[there]}" anew-in 50
at here topics delete anew >/dev/null && at here topics create anew --partitions $PARTITIONS >/dev/null || bad "a topic is made anew"
few "${broker[here]}" anew 8
reaches "made anew it goes out from its beginning" "${broker[there]}" anew 58
shows "a relay in says that the topic was made anew" there anew-in 'j["state"] == "waiting" and "made anew" in j["detail"]' 60
reaches "and takes nothing for something else" "${broker[there]}" anew-in 50

# A record that is too large here: the relay waits with it and what is behind it ahead, and says so. Nobody who waits for "running" with
# lag 0 is told that all is here before it is.
start_cairn small --limits-event-size 4KiB
at here topics create large --partitions 1 >/dev/null || bad "a topic"
few "${broker[here]}" large 3
head -c 5000 /dev/zero | tr '\0' x | kcat -b "${broker[here]}" -P -t large -X message.timeout.ms=20000
few "${broker[here]}" large 2
early=0 begun=$SECONDS
at small relays put large --in --from large --bootstrap "${broker[here]}" --json >"$work/relay" || bad "a relay in"
until python3 -c 'import json, sys; j = json.load(open(sys.argv[1])); sys.exit("too" not in j["detail"])' "$work/relay" || ((SECONDS - begun > 30)); do
    python3 -c 'import json, sys; j = json.load(open(sys.argv[1])); sys.exit(j["state"] == "running" and j["lag"] == 0)' "$work/relay" || early=1
    at small relays show large --json >"$work/relay"
done
[ $early = 0 ] && ok "it is not said to be done before" || bad "it is not said to be done before" "$(cat "$work/relay")"
shows "a record that does not fit is lag" small large 'j["state"] == "waiting" and j["lag"] == 6 - j["records_total"] >= 3' 30
few "${broker[here]}" large 4
shows "and so is what comes after it" small large 'j["state"] == "waiting" and j["lag"] == 10 - j["records_total"] >= 7' 60
stops_cleanly small

# A Kafka that goes away: the relay waits for it all the time, though it has nothing left to do.
idle there fetch
kill_9 here
shows "a relay in waits for a Kafka that went away" there fetch 'j["state"] == "waiting"' 30
for _ in $(seq 20); do at there relays show fetch --json >>"$work/away"; pause 0.1; done
check_away() { python3 -c 'import json, sys; sys.exit(not all(json.loads(line)["state"] == "waiting" for line in open(sys.argv[1])))' "$work/away"; }
check_away && ok "and goes on waiting" || bad "and goes on waiting" "$(grep -v waiting "$work/away" | head -n 1)"
start_cairn here
idle there fetch
stops_cleanly there
stops_cleanly here # its relays wait for one that is away
exit $failed
