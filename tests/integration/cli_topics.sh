#!/bin/bash
# `cairn topics`, `groups` and `relays` against a real server, with Kafka's own client beside it.
#
# Goal: every command does what its help says, with the exit codes that it documents; what was appended and what was produced are
# in a topic alike.
# Method: events of a category that becomes a topic, batches by kcat, a group of kcat's; --json is read with python3.
# Usage: cli_topics.sh    CAIRN_BIN names the program (build/cairn).
cd "$(dirname "$0")/../.." || exit 2
root=$PWD
export LC_ALL=C.UTF-8
cairn=${CAIRN_BIN:-$root/build/cairn}
[ -x "$cairn" ] || { echo "not ok cli_topics: no program at $cairn"; exit 1; }
command -v kcat >/dev/null || { echo "not ok cli_topics: kcat is not installed"; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/cairn-cli-topics-XXXXXX")
cd "$work" || exit 2
unset CAIRN_URL CAIRN_CACERT NO_COLOR
server='' consumer='' failed=0

ok() { echo "ok $1"; }
bad() { echo "not ok $1${2:+: $2}"; failed=1; }
stop_server() {
    [ -n "$server" ] || return
    kill -TERM "$server" 2>/dev/null
    if wait "$server"; then ok "the server stops cleanly"; else bad "the server stops cleanly" "$(grep -v level=info serve.err | head -n 60)"; fi
    server=
}
stop_consumer() { [ -z "$consumer" ] || { kill "$consumer" 2>/dev/null; wait "$consumer" 2>/dev/null; consumer=; }; }
trap 'stop_consumer; stop_server; cd /; rm -rf "$work"' EXIT
run() { # CODE NAME ARGUMENTS…
    local want=$1 name=$2 code
    shift 2
    "$cairn" "$@" >out 2>err </dev/null
    code=$?
    if [ $code -eq "$want" ]; then ok "$name"; else bad "$name" "exit $code, not $want: $(head -c 400 err out | tr '\n' ' ')"; fi
}
says() { if grep -qE -- "$2" "${3:-out}"; then ok "$1"; else bad "$1" "no line like $2 in: $(head -c 400 "${3:-out}" | tr '\n' ' ')"; fi; }
# holds PYTHON: an expression over j (the first line of out as JSON) and lines (all of them) is true.
holds() {
    python3 -c '
import json, sys
lines = [json.loads(l) for l in open("out") if l.strip()]
j = lines[0] if lines else None
sys.exit(0 if eval(sys.argv[1]) else 1)' "$1" 2>py
}
is() { if holds "$2"; then ok "$1"; else bad "$1" "not $2 of $(head -c 400 out) $(tail -n 1 py)"; fi; }
# until_is NAME PYTHON ARGUMENTS…: run cairn until the expression is true of what it prints.
until_is() {
    local name=$1 want=$2
    shift 2
    for _ in $(seq 400); do
        "$cairn" "$@" >out 2>err && holds "$want" && { ok "$name"; return; }
        kill -0 "$server" 2>/dev/null || { bad "$name" "the server has ended"; exit 1; }
        read -rt 0.05 <> <(:)
    done
    bad "$name" "not $want of $(head -c 400 out err)"
}
: >serve.out
"$cairn" serve --data store --listen 127.0.0.1:0 --kafka 127.0.0.1:0 >serve.out 2>serve.err &
server=$!
until grep -q '^Cairn .* is listening on' serve.out; do
    kill -0 "$server" 2>/dev/null || { bad "the server starts" "$(cat serve.err)"; server=; exit 1; }
    read -rt 0.05 <> <(:)
done
CAIRN_URL=$(sed -n 's/.* is listening on \(http[^ ,]*\).*/\1/p' serve.out)
export CAIRN_URL
broker=$(sed -n "s/.*for Kafka's clients on \([^ ,]*\).*/\1/p" serve.out)

# ---- topics ------------------------------------------------------------------------------------------------------
run 0 "no topics" topics; says "… says how to make one" 'topics create' err
for i in 1 2 3; do "$cairn" append "my~order-$i" --type Placed --data "{\"n\":$i}" >/dev/null; done
run 0 "create" topics create my-order --partitions 2 --set retention.ms=86400000 --json
is "… a topic of its category" 'j["topic"] == "my-order" and j["category"] == "my~order" and j["partitions"] == 2'
is "… with what the category has" 'sum(p["end"] for p in j["offsets"]) == 3 and j["config"]["retention.ms"] == {**j["config"]["retention.ms"], "value": "86400000", "default": False}'
run 4 "create again" topics create my-order; says "… says so" 'There is a topic of that name' err
run 4 "create again, as JSON" topics create my-order --json; cp err out; is "… Kafka's name" 'j["problem"]["kafka_error"] == "TOPIC_ALREADY_EXISTS"'
run 2 "a bad name" topics create 'no topic'; says "… says what a name is" 'letters, digits' err
run 2 "a bad number" topics create x --partitions 0
run 2 "a bad setting" topics create x --set retention.ms=soon
run 2 "an unknown setting" topics create x --set retention.mss=1; says "… suggests the nearest" 'retention.ms' err
run 2 "what is no setting" topics create x --set retention
run 2 "a setting of certain words" topics create x --set cleanup.policy=foo; says "… says which" 'a list of delete, compact' err
for name in '' . ..; do
    run 2 "no name of a topic: '$name'" topics create "$name"
done
run 2 "a subcommand after the options" topics --data store list; says "… says where it stands" 'hint: cairn topics list' err
run 3 "show what is not there" topics show nothing; says "… says how to find out" 'cairn topics' err
printf 'a:{"by":"kcat"}\nb:{"by":"kcat"}\nc:\n' | kcat -b "$broker" -P -t my-order -K: -Z -z zstd -H who=me 2>kcat.err || bad "kcat produces" "$(cat kcat.err)"
until_is "what kcat produced is there" 'j["records"] == 6 and len(lines) == 1' topics list --json
run 0 "list" topics; says "… a table" '^my-order +my~order +2 +6 +retention.ms=86400000'
run 0 "show" topics show my-order; says "… settings" '^retention.ms +86400000'; says "… partitions" '^ +[01] +0 +[0-9]'
run 0 "show all" topics show my-order --all; says "… with the defaults" '^cleanup.policy +delete +default'
run 0 "read" topics read my-order --json
is "… all of them, in order" 'len(lines) == 6 and [l["offset"] for l in lines] == [i for p in (0, 1) for i in range(sum(1 for l in lines if l["partition"] == p))]'
is "… an event's key and headers" '[(l["stream"], l["data"]) for l in lines if l["key"] == "2"] == [("my~order-2", {"n": 2})] and all({"name": "ce_type", "value": "Placed"} in l["headers"] for l in lines if l["type"] == "Placed")'
is "… a record's stream and headers" '[(l["stream"], l["data"], l["headers"]) for l in lines if l["key"] == "a"] == [("my~order-a", {"by": "kcat"}, [{"name": "who", "value": "me"}])]'
is "… and a tombstone" '[l["tombstone"] for l in lines if l["key"] == "c"] == [True]'
run 0 "read a table" topics read my-order; says "… key, type, value" ' 2 +Placed +\{"n":2\}'; says "… tombstones" ' c .*\(tombstone\)'
run 0 "read a partition from an offset" topics read my-order --partition 0 --from 1 --json; is "… from there" 'all(l["partition"] == 0 and l["offset"] >= 1 for l in lines)'
run 0 "the newest" topics read my-order --from latest --limit 1 --json; is "… one of each" 'len(lines) == 2 and len({l["partition"] for l in lines}) == 2'
run 0 "from a time to come" topics read my-order --at 2100-01-01T00:00:00Z --json; is "… nothing" 'not lines'
run 0 "from a time gone by" topics read my-order --at 2000-01-01T00:00:00Z --json; is "… everything" 'len(lines) == 6'
run 2 "from and at" topics read my-order --at 2000-01-01T00:00:00Z --from 0
run 2 "beyond the end" topics read my-order --partition 0 --from 99; says "… says where it is" 'end' err
run 3 "no such partition" topics read my-order --partition 2
run 0 "a topic of texts" topics create texts --partitions 2
"$cairn" append texts-1 --type Said --content-type text/plain --data hello >/dev/null
{ printf 'k\377y:v\377lue\n'; printf 'b:2\n'; } | kcat -b "$broker" -P -t texts -p 0 -K: 2>kcat.err || bad "kcat produces bytes" "$(cat kcat.err)"
printf 'c:3\nd:4\ne:5\nf:6\n' | kcat -b "$broker" -P -t texts -p 1 -K: 2>kcat.err || bad "kcat produces numbers" "$(cat kcat.err)"
run 0 "read texts" topics read texts; says "… as cairn read shows them" ' 1 +Said +hello$'; says "… bytes are marked" ' base64:a/95 .*\(5 bytes of '
if python3 -c '
rows = [l.rstrip("\n") for l in open("out")]
at = rows[0].index("VALUE")
assert len(rows) == 8 and all(r[at - 2:at] == "  " and r[at] != " " for r in rows), rows' 2>py; then
    ok "… columns are one width in all partitions"
else
    bad "… columns are one width in all partitions" "$(tail -n 1 py)"
fi
run 0 "from an offset that one partition does not reach" topics read texts --from 4 --json
is "… the others are read" '{l["partition"] for l in lines} == {1}'; says "… and that one is named" '^partition 0 ends at [23]$' err
run 0 "a subject that values conform to" topics set texts cairn.value.subject=nosuch; says "… what that means is said" 'subject nosuch .* no schema' err
run 0 "… and the topic goes" topics delete texts
run 2 "grow to what it is" topics grow my-order 2; says "… says so" 'has 2 partitions already' err
run 0 "grow" topics grow my-order 4; says "… says so" '4 partitions'
run 2 "shrink" topics grow my-order 3; says "… they only grow" 'only grow' err
run 0 "set" topics set my-order cleanup.policy=compact --unset retention.ms --json; is "… both" 'j["config"]["cleanup.policy"]["value"] == "compact" and j["config"]["retention.ms"]["default"]'
run 2 "set nothing" topics set my-order

# ---- groups ------------------------------------------------------------------------------------------------------
kcat -b "$broker" -G readers -X auto.offset.reset=earliest -X auto.commit.interval.ms=50 -X client.id=tester -u my-order >got 2>kcat.err &
consumer=$!
until_is "a member is there, with partitions" 'j["state"] == "Stable" and len(j["members"]) == 1 and sum(len(a["partitions"]) for a in j["members"][0]["assignment"]) == 4' groups show readers --json
is "… and what it said" 'j["members"][0]["client_id"] == "tester" and j["members"][0]["topics"] == ["my-order"] and j["type"] == "classic"'
until_is "it has read everything" 'j["lag"] == 0 and sum(o["offset"] or 0 for o in j["offsets"]) == 6' groups show readers --json
run 0 "show" groups show readers; says "… members" '-[0-9a-f-]{20,} +tester .*my-order: 0, 1, 2, 3'; says "… offsets" '^my-order +0 +[0-9]+ +[0-9]+ +0 '
run 0 "list" groups; says "… a table" '^readers +Stable +classic .* 1 +0'
run 4 "reset while somebody reads" groups reset readers --topic my-order --to earliest; says "… says who is in the way" '1 member' err
run 4 "delete while somebody reads" groups delete readers --json; cp err out; is "… Kafka's name" 'j["problem"]["kafka_error"] == "NON_EMPTY_GROUP" and j["problem"]["type"].endswith(":in-use")'
stop_consumer
until_is "the member has gone" 'not j["members"]' groups show readers --json
run 0 "a dry run" groups reset readers --topic my-order --to earliest --dry-run --json
is "… says what would be" 'j["dry_run"] and sum(o["lag"] for o in j["offsets"]) == 6 and all(o["to"] == 0 for o in j["offsets"])'
run 0 "… and changes nothing" groups show readers --json; is "… still there" 'j["lag"] == 0'
run 0 "reset" groups reset readers --topic my-order --to earliest; says "… a table" '^ +0 +[0-9]+ +0 '
run 0 "… durable" groups show readers --json; is "… all of it again" 'j["lag"] == 6'
run 0 "to the end" groups reset readers --topic my-order --to latest --json; is "… of each" 'all(o["to"] == o["end"] for o in j["offsets"])'
run 0 "back by one" groups reset readers --topic my-order --to=-1 --partition 0 --json; is "… one partition" 'len(j["offsets"]) == 1 and j["offsets"][0]["to"] == j["offsets"][0]["end"] - 1'
run 0 "to an offset" groups reset readers --topic my-order --to 1 --partition 1 --json; is "… there" 'j["offsets"][0]["to"] == 1'
run 0 "beyond the end" groups reset readers --topic my-order --to 999 --json; is "… is the end" 'all(o["to"] == o["end"] for o in j["offsets"])'
run 0 "to a position" groups reset readers --topic my-order --to position:2 --json
is "… the first events at or after it" 'sum(o["to"] for o in j["offsets"]) == 2 and sum(o["end"] for o in j["offsets"]) == 6'
run 2 "to no position" groups reset readers --topic my-order --to position:-1; says "… says what there is" 'position:N' err
run 0 "to a time" groups reset readers --topic my-order --to 2000-01-01T00:00:00Z --json; is "… the first since" 'all(o["to"] == o["start"] for o in j["offsets"])'
kcat -b "$broker" -G readers -X auto.offset.reset=latest -e -u my-order >again 2>kcat.err
[ "$(wc -l <again)" -eq 6 ] && ok "kcat reads it all again" || bad "kcat reads it all again" "$(wc -l <again) lines; $(tail -n 3 kcat.err)"
run 2 "to nowhere" groups reset readers --topic my-order --to soon
run 2 "to a time without zone" groups reset readers --topic my-order --to 2026-11-22T08:30:00.000; says "… says what is missing" 'without its zone' err
run 2 "a group without a name" groups reset '' --topic my-order --to 0
for name in . ..; do # Kafka lets groups be called so
    run 0 "a group called $name" groups reset "$name" --topic my-order --to 0 --json
    run 0 "… is there" groups show "$name" --json; is "… under that name" "j['group'] == '$name'"
    run 0 "… and goes" groups delete "$name"
done
run 2 "no topic" groups reset readers --to 1
run 3 "another topic" groups reset readers --topic nothing --to earliest; says "… says which there are" '`cairn topics`' err
run 3 "no such partition" groups reset readers --topic my-order --to 0 --partition 9
run 3 "no such group" groups show nobody; says "… says how to find out" 'cairn groups' err
until_is "nobody is there" 'not j["members"]' groups show readers --json
run 0 "delete" groups delete readers
run 3 "… it is gone" groups delete readers

# ---- relays: a Kafka that is away -------------------------------------------------------------------------------------
run 0 "no relays" relays
run 2 "which way" relays put copy --from my-order --bootstrap 127.0.0.1:1
run 2 "from where" relays put copy --out --bootstrap 127.0.0.1:1
run 2 "a setting that loads a library" relays put copy --out --from my-order --bootstrap 127.0.0.1:1 --client plugin.library.paths=x
run 0 "put" relays put copy --out --from my-order --to copied --bootstrap 127.0.0.1:1 --client security.protocol=PLAINTEXT --client sasl.password=hunter2 --paused --json
is "… a relay, without its secret" 'j["relay"] == "copy" and j["target"] == "copied" and j["paused"] and j["client"]["sasl.password"] == "•••"'
run 0 "list" relays; says "… a table" '^copy +out +my-order +copied +paused'
run 0 "show" relays show copy; says "… its settings" '^bootstrap.servers=127.0.0.1:1'; says "… may repeat" '^exactly once false$'
if grep -q hunter2 out; then bad "the secret is not shown"; else ok "the secret is not shown"; fi
run 0 "put it again" relays put copy --out --from my-order --to copied --bootstrap 127.0.0.1:1 --json; is "… what is left out has its default, but paused" 'j["client"] == {"bootstrap.servers": "127.0.0.1:1"} and j["paused"]'
run 4 "another topic" relays put copy --out --from other --to copied --bootstrap 127.0.0.1:1; says "… says which it has" 'goes out from my-order to copied; a relay of other topics has another name' err
run 4 "another direction" relays put copy --in --from my-order --to copied --bootstrap 127.0.0.1:1
run 0 "resume" relays resume copy
until_is "it waits for its Kafka, and says why" 'j["state"] == "waiting" and not j["paused"] and "cannot be reached" in j["detail"] and "Connection refused" in j["detail"]' relays show copy --json
is "… and how far it is behind" 'j["lag"] == 6'
run 0 "pause" relays pause copy --json; is "… paused" 'j["paused"]'
run 0 "delete" relays delete copy
run 3 "… it is gone" relays show copy
run 4 "… its name is not for other topics" relays put copy --out --from other --to copied --bootstrap 127.0.0.1:1; says "… says why" 'went out from my-order' err
run 0 "put one that comes in" relays put fetch --in --from theirs --bootstrap 127.0.0.1:1 --paused
run 0 "… show" relays show fetch; says "… is exactly once" '^exactly once true$'
run 0 "… delete" relays delete fetch

run 0 "delete the topic" topics delete my-order
run 3 "… it is gone" topics show my-order
run 0 "… events of other ways stay" read my~order-2 --json; is "… as they were" 'len(lines) == 1 and j["data"] == {"n": 2}'
run 0 "… what was produced does not" read my~order-a --json; is "… hidden" 'not lines'
run 2 "a folder has none" topics --data store; says "… says why" 'server' err
stop_server
exit $failed
