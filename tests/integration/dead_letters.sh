#!/bin/bash
# Dead letters against a real server, with Kafka's own client beside it.
#
# Goal: what a projection or a subscription gives up is a record of TOPIC.dlq, with the error in its headers; the others go on, in order;
# `cairn topics replay` sends each back once, to who gave it up; what a Kafka client has put there goes to the topic that it came from.
# Method: a projection whose table refuses some events, mended by a deployment or by a later event; a subscription that refuses; kcat. The
# server is killed (SIGKILL) on the way. --json is read with python3.
# Usage: dead_letters.sh    CAIRN_BIN names the program (build/cairn).
cd "$(dirname "$0")/../.." || exit 2
root=$PWD
export LC_ALL=C.UTF-8
cairn=${CAIRN_BIN:-$root/build/cairn}
[ -x "$cairn" ] || { echo "not ok dead_letters: no program at $cairn"; exit 1; }
command -v kcat >/dev/null || { echo "not ok dead_letters: kcat is not installed"; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/cairn-dead-letters-XXXXXX")
cd "$work" || exit 2
unset CAIRN_URL CAIRN_CACERT NO_COLOR
server='' failed=0

ok() { echo "ok $1"; }
bad() { echo "not ok $1${2:+: $2}"; failed=1; }
end_server() { [ -z "$server" ] || { kill -"$1" "$server" 2>/dev/null; wait "$server" 2>/dev/null; server=; }; }
trap 'end_server TERM; cd /; rm -rf "$work"' EXIT
start_server() {
    : >serve.out
    : >serve.out # what the one before said is not what this one says
    "$cairn" serve --data store --listen 127.0.0.1:0 --kafka 127.0.0.1:0 >serve.out 2>>serve.err &
    server=$!
    until grep -q '^Cairn .* is listening on' serve.out; do
        kill -0 "$server" 2>/dev/null || { bad "the server starts" "$(tail -n 5 serve.err)"; server=; exit 1; }
        read -rt 0.05 <> <(:)
    done
    CAIRN_URL=$(sed -n 's/.* is listening on \(http[^ ,]*\).*/\1/p' serve.out)
    export CAIRN_URL
    broker=$(sed -n "s/.*for Kafka's clients on \([^ ,]*\).*/\1/p" serve.out)
}
run() { # CODE NAME ARGUMENTS…
    local want=$1 name=$2 code
    shift 2
    "$cairn" "$@" >out 2>err </dev/null
    code=$?
    if [ $code -eq "$want" ]; then ok "$name"; else bad "$name" "exit $code, not $want: $(head -c 400 err out | tr '\n' ' ')"; fi
}
says() { if grep -qE -- "$2" "${3:-out}"; then ok "$1"; else bad "$1" "no line like $2 in: $(head -c 400 "${3:-out}" | tr '\n' ' ')"; fi; }
holds() {
    python3 -c '
import json, sys
lines = [json.loads(l) for l in open("out") if l.strip()]
j = lines[0] if lines else None
sys.exit(0 if eval(sys.argv[1]) else 1)' "$1" 2>py
}
is() { if holds "$2"; then ok "$1"; else bad "$1" "not $2 of $(head -c 900 out) $(tail -n 1 py)"; fi; }
until_is() { # NAME PYTHON ARGUMENTS…: run cairn until the expression is true of what it prints.
    local name=$1 want=$2
    shift 2
    for _ in $(seq 600); do
        "$cairn" "$@" >out 2>err && holds "$want" && { ok "$name"; return; }
        read -rt 0.05 <> <(:)
    done
    bad "$name" "not $want of $(head -c 900 out err)"
}
append() { "$cairn" append "$1" --type "$2" --data "$3" >/dev/null || bad "append $1 $3"; }
app() { # CHECK
    mkdir -p till/projections till/queries
    cat >till/app.yaml <<'Y'
app: till
events:
  Paid:
    schema: {type: object}
  Opened:
    schema: {type: object}
projections:
  sums: {on_error: dead_letter, retries: 2, backoff: 20ms}
Y
    cat >till/projections/sums.sql <<S
-- table
CREATE TABLE customer (name TEXT PRIMARY KEY);
CREATE TABLE payment (n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT, amount INTEGER NOT NULL $1,
  customer TEXT REFERENCES customer (name));
-- on Opened
INSERT INTO customer VALUES (:data.name);
-- on Paid
INSERT INTO payment (id, amount, customer) VALUES (:stream_id, :data.amount, :data.customer);
S
    cat >till/queries/payments.sql <<'S'
-- query payments: every payment
SELECT n, id, amount FROM payment ORDER BY n;
S
}
payments() { "$cairn" query till payments --json >out 2>err; }
start_server

# ---- a projection ------------------------------------------------------------------------------------------------
run 0 "a topic" topics create order --partitions 2
app 'CHECK (amount >= 0)'
run 0 "an app with dead letters" deploy till
for n in 1 -2 3 -4 5; do append "order-$((n < 0 ? -n : n))" Paid "{\"amount\":$n}"; done
until_is "the others are applied" 'j["lag"] == 0 and j["dead_letters"] == 2 and j["state"] == "running"' projection till sums status --json
is "… and where those are is said" 'j["dead_letter_topic"] == "order.dlq" and [e["position"] for e in j["dead_letter_events"]] == sorted((e["position"] for e in j["dead_letter_events"]), reverse=True)'
payments; is "… in order" '[r["amount"] for r in j["rows"]] == [1, 3, 5]'
run 0 "the topic" topics show order.dlq --json; is "… has as many partitions" 'j["partitions"] == 2 and sum(o["end"] for o in j["offsets"]) == 2'
kcat -b "$broker" -C -t order.dlq -e -q -J >out 2>kcat.err || bad "kcat reads it" "$(cat kcat.err)"
cat >h.py <<'P'
import json
def headers(l):
    h = l["headers"]
    return dict(zip(h[::2], h[1::2]))
P
python3 - <<'P' && ok "kcat reads key, value and headers" || bad "kcat reads key, value and headers" "$(head -c 1500 out)"
from h import *
lines = sorted((json.loads(l) for l in open("out")), key=lambda l: l["key"])
assert [(l["key"], json.loads(l["payload"])) for l in lines] == [("2", {"amount": -2}), ("4", {"amount": -4})]
for l in lines:
    h = headers(l)
    assert h["ce_type"] == h["dlq_type"] == "Paid" and h["dlq_consumer"] == "sums" and h["dlq_app"] == "till" and h["dlq_kind"] == "projection"
    assert h["dlq_error_code"] == "script" and "CHECK" in h["dlq_error"] and h["dlq_attempts"] == "3", h
    assert h["dlq_topic"] == "order" and h["dlq_partition"] in "01" and h["dlq_offset"].isdigit() and h["dlq_stream"] == "order-" + l["key"]
    assert h["dlq_first_failed"] < h["dlq_last_failed"] and h["content-type"] == "application/json"
    assert [t[:12] for t in json.loads(h["ce_tags"])] == ["dead_letter:"] and "kafka_headers" not in h["ce_meta"] and json.loads(h["ce_meta"])["dead_letter"]["consumer"] == "sums"
P
kcat -b "$broker" -C -t order -e -q -f '%p %o %k\n' >at 2>kcat.err
python3 - <<'P' && ok "… where it stood in its own topic" || bad "… where it stood in its own topic" "$(cat at)"
from h import *
at = {l.split()[2]: l.split()[:2] for l in open("at")}
for l in map(json.loads, open("out")):
    h = headers(l)
    assert at[l["key"]] == [h["dlq_partition"], h["dlq_offset"]], (at, h)
P
run 0 "status" projection till sums; says "… how many" '^dead letters +2'; says "… and what next" 'cairn topics replay order.dlq --consumer till/sums'
run 1 "replay without mending" topics replay order.dlq --json; is "… fails again" 'j["failed"] == 2 and j["replayed"] == 0'
run 0 "… no further dead letters" topics list --prefix order.dlq --json; is "… two" 'j["records"] == 2'
end_server KILL
start_server
until_is "a kill loses none" 'j["dead_letters"] == 2 and j["dead_letter_topic"] == "order.dlq"' projection till sums status --json
run 0 "a rebuild" projection till sums rebuild
until_is "… leaves them out again" 'j["rebuild"] is None and j["generation"] > 1 and j["dead_letters"] == 2 and j["lag"] == 0' projection till sums status --json
run 0 "… and doubles none" topics list --prefix order.dlq --json; is "… two" 'j["records"] == 2'

# What mends it may come later: the customer of a payment.
append order-7 Paid '{"amount":7,"customer":"ann"}'
append order-8 Paid '{"amount":8,"customer":"bob"}'
until_is "two more" 'j["dead_letters"] == 4' projection till sums status --json
append customer-ann Opened '{"name":"ann"}'
until_is "… and what they need" 'j["lag"] == 0' projection till sums status --json
run 0 "a dry run" topics replay order.dlq --consumer till/sums --dry-run --json; is "… tells four" 'j["replayed"] == 4'
run 0 "… of somebody else" topics replay order.dlq --consumer other --json; is "… nothing" 'j["replayed"] == j["failed"] == j["no_consumer"] == 0'
run 1 "replay" topics replay order.dlq; says "… one is back" '^ +1 sent back$'; says "… three fail again" '^ +3 failed$'; says "… which" 'FOREIGN KEY' err
run 1 "replay again" topics replay order.dlq --json; is "… not twice" 'j["replayed"] == 0 and j["before"] == 1 and j["failed"] == 3'
is "… says which, as HTTP does" '[("FOREIGN KEY" in f["error"] or "CHECK" in f["error"]) and f["consumer"] for f in j["failures"]] == ["sums"] * 3 and j["next"] is None'
payments; is "… applied once" '[r["amount"] for r in j["rows"]] == [1, 3, 5, 7]'

# A deployment mends the others: the model is built anew, and has had them when they are sent back.
app ''
sed -i 's/ REFERENCES customer (name)//' till/projections/sums.sql
run 0 "mended" deploy till
until_is "built anew" 'j["outdated"] is False and j["rebuild"] is None and j["lag"] == 0 and j["dead_letters"] == 0' projection till sums status --json
run 0 "replay" topics replay order.dlq --json; is "… has had them" 'j["before"] == 4 and j["replayed"] == 0'
payments; cp out live
is "… in order" '[r["amount"] for r in j["rows"]] == [1, -2, 3, -4, 5, 7, 8]'
run 0 "rebuild" replay till
payments; cmp -s out live && ok "the model equals a rebuild" || bad "the model equals a rebuild" "$(cat live out)"

# ---- a subscription ------------------------------------------------------------------------------------------------
run 0 "a group with dead letters" subscription create mailer --category bill --retries 2 --retry-delay 10ms --dead-letter
for n in 1 2 3; do append "bill-$n" Sent "{\"n\":$n}"; done
taken() { "$cairn" subscription take mailer --limit 10 --json >out 2>err; }
taken; is "three" '[e["data"]["n"] for e in lines] == [1, 2, 3]'
second=$(python3 -c 'import json; print([json.loads(l)["position"] for l in open("out")][1])')
run 0 "two are done" subscription ack mailer $((second - 1)) $((second + 1))
run 0 "one is refused" subscription nack mailer "$second" --reason "no such address"
until_is "… comes again" '[e["position"] for e in lines] == ['"$second"']' subscription take mailer --limit 10 --json
run 0 "… is refused again" subscription nack mailer "$second" --reason "still none"
run 0 "… is a dead letter" subscription list mailer --json; is "… counted" 'j["dead_letters"] == 1 and j["parked"] == 0 and j["outstanding"] == 0'
kcat -b "$broker" -C -t bill.dlq -e -q -J >out 2>kcat.err
python3 - <<'P' && ok "kcat reads it" || bad "kcat reads it" "$(head -c 1500 out)"
from h import *
lines = [json.loads(l) for l in open("out")]
h = headers(lines[0])
assert len(lines) == 1 and lines[0]["key"] == "2" and json.loads(lines[0]["payload"]) == {"n": 2}
assert h["dlq_kind"] == "subscription" and h["dlq_consumer"] == "mailer" and h["dlq_error"] == "still none" and h["dlq_attempts"] == "2"
assert h["dlq_error_code"] == "refused" and "dlq_topic" not in h and "ce_tags" not in h and h["ce_type"] == "Sent"
P
run 0 "replay" topics replay bill.dlq --json; is "… one" 'j["replayed"] == 1'
end_server KILL
start_server
run 0 "replay again, after a kill" topics replay bill.dlq --json; is "… not twice" 'j["before"] == 1 and j["replayed"] == 0'
until_is "it is handed out again" '[e["position"] for e in lines] == ['"$second"'] and lines[0]["data"] == {"n": 2}' subscription take mailer --limit 10 --json
run 0 "… done" subscription ack mailer "$second"
taken; is "… nothing more" 'not lines'
run 0 "forget the group" subscription delete mailer
run 0 "… nobody's now" topics replay bill.dlq --json; is "… says so" 'j["no_consumer"] == 1'

# ---- somebody else's -------------------------------------------------------------------------------------------------
printf 'k1:{"x":1}\nk2:{"x":2}\n' | kcat -b "$broker" -P -t click.dlq -K: -H why=slow 2>kcat.err || bad "kcat produces" "$(cat kcat.err)"
printf 'k3:{"x":3}\n' | kcat -b "$broker" -P -t click.dlq -K: -H kafka_dlt-original-topic=tap -H ce_type=Tapped 2>kcat.err || bad "kcat produces" "$(cat kcat.err)"
until_is "three records" 'j["records"] == 3' topics list --prefix click.dlq --json
run 1 "their topics are not there" topics replay click.dlq; says "… three fail" '^ +3 failed$'; says "… says which" 'offset [0-9]+: no topic (click|tap)$' err
run 1 "… a dry run" topics replay click.dlq --dry-run; says "… says what would be" '^ +3 would fail$'; says "… and of each" 'would fail: no topic tap' err
run 3 "… nothing was appended" read click-k1
run 0 "make one" topics create click
run 0 "… the other" topics create tap
run 0 "a dry run" topics replay click.dlq --dry-run; says "… tells" '^ +3 would be appended'; says "… would" '^ +0 would be sent back'
run 0 "… as JSON" topics replay click.dlq --dry-run --json; is "… tells" 'j["appended"] == 3 and j["failures"] == []'
run 0 "replay" topics replay click.dlq; says "… three" '^ +3 appended'
run 0 "replay again" topics replay click.dlq --json; is "… not twice" 'j["before"] == 3 and j["appended"] == 0'
run 0 "read" read click-k1 --json
is "… in its own topic's stream, and says from where" 'len(lines) == 1 and j["type"] == "click" and j["data"] == {"x": 1} and j["meta"]["replayed_from"]["topic"] == "click.dlq" and j["meta"]["kafka_headers"] == {"why": "slow"}'
run 0 "read" read tap-k3 --json; is "… or what its header says" 'len(lines) == 1 and j["type"] == "Tapped"'
run 0 "of a topic of no dead letters" topics replay click; says "… nobody knows from where" '^ +2 looked at$'; says "… says so" '^ +2 whose origin is not known$'
run 0 "… as JSON" topics replay click --json; is "… a count of its own" 'j["no_origin"] == 2 and j["no_consumer"] == 0'
run 3 "no such topic" topics replay nothing
run 3 "no such partition" topics replay click.dlq --partition 99

"$cairn" stats --json >/dev/null 2>&1
curl -s "$CAIRN_URL/metrics" >metrics 2>/dev/null && says "metrics: projections" '^cairn_projection_dead_letters\{app="till",projection="sums"\} 0$' metrics
kill -TERM "$server"; if wait "$server"; then ok "the server stops cleanly"; else bad "the server stops cleanly" "$(tail -n 20 serve.err)"; fi
server=
exit $failed
