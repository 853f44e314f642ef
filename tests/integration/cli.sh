#!/bin/bash
# The `cairn` command against a real server and on folders.
#
# Goal: every command does what its help says, with the exit codes that it documents.
# Method: run them, and compare what they print and how they end; --json is read with python3.
# Usage: cli.sh    CAIRN_BIN names the program (build/cairn); CAIRN_TEST_DATA the folder of real logs.
cd "$(dirname "$0")/../.." || exit 2
root=$PWD
export LC_ALL=C.UTF-8
cairn=${CAIRN_BIN:-$root/build/cairn}
data=${CAIRN_TEST_DATA:-$root/../shared/data}
[ -x "$cairn" ] || { echo "not ok cli: no program at $cairn"; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/cairn-cli-XXXXXX")
cd "$work" || exit 2
unset CAIRN_URL CAIRN_CACERT NO_COLOR
passed=0 failed=0 skipped=0 server=

ok() { echo "ok $1"; passed=$((passed + 1)); }
bad() { echo "not ok $1${2:+: $2}"; failed=$((failed + 1)); }
skip() { echo "skip $1: $2"; skipped=$((skipped + 1)); }
stop_server() { # and say how it ended, if not well
    [ -n "$server" ] || return
    kill -TERM "$server" 2>/dev/null
    if wait "$server"; then ok "the server stops cleanly"; else bad "the server stops cleanly" "$(grep -v level=info serve.err | head -n 60)"; fi
    server=
}
trap 'stop_server; cd /; rm -rf "$work"' EXIT

# run CODE NAME ARGUMENTS…: run cairn, keep what it printed in out and err, check how it ended.
run() {
    local want=$1 name=$2 code
    shift 2
    "$cairn" "$@" >out 2>err </dev/null
    code=$?
    if [ $code -eq "$want" ]; then ok "$name"; else bad "$name" "exit $code, not $want: $(head -c 300 err out | tr '\n' ' ')"; fi
}
# says NAME PATTERN [FILE]: the last output has a line that matches (grep -E).
says() { if grep -qE -- "$2" "${3:-out}"; then ok "$1"; else bad "$1" "no line like $2 in: $(head -c 300 "${3:-out}" | tr '\n' ' ')"; fi; }
# is NAME PYTHON: an expression over j (the first line of out as JSON) and lines (all of them) is true.
is() {
    if python3 -c '
import json, sys
lines = [json.loads(l) for l in open("out") if l.strip()]
j = lines[0] if lines else None
sys.exit(0 if eval(sys.argv[1]) else 1)' "$2" 2>py; then ok "$1"; else bad "$1" "not $2 of $(head -c 300 out) $(tail -n 1 py)"; fi
}
digest() { "$cairn" verify --json "$@" 2>/dev/null | python3 -c 'import json,sys; print(json.load(sys.stdin)["digest"])'; }

# ---- what needs no store ------------------------------------------------------------------------------
run 0 "cairn alone teaches"; says "it shows an example" 'cairn append order-42'
run 0 "help" help; says "exit codes are documented" '^ +9 +the disk is full'
for command in append read follow streams stats import export verify backup restore branch scavenge bench serve \
    reindex retention delete snapshot subscription completion version 'import git' 'import xes' 'import csv' 'import ocel' \
    'import ndjson' 'import cloudevents' 'import packages' 'subscription take' new check deploy apps app command query state \
    projections projection replay migrate topics "topics read" groups "groups reset" relays "relays put"; do
    # shellcheck disable=SC2086
    if "$cairn" help $command 2>err | grep -q '^Usage'; then ok "help $command"; else bad "help $command" "$(cat err)"; fi
done
run 0 "--help after a command" append --help; says "… explains it" '^cairn append'
run 2 "an unknown command" apend; says "… suggests the nearest" 'hint: did you mean .cairn append' err
run 2 "an unknown option" read x --limti 3; says "… suggests the nearest" 'hint: did you mean --limit' err
run 2 "an unknown subcommand" import gti; says "… suggests the nearest" 'did you mean .cairn import git' err
run 2 "an option without its value" read x --limit
run 2 "a number that is none" read x --limit x
run 2 "too few arguments" append
run 2 "too many arguments" read a b
run 0 "version" version --json; is "version is JSON" 'j["version"].count(".") == 2'
run 6 "no server" stats --url http://127.0.0.1:1; says "… says how to get one" 'hint: .*cairn serve' err
run 6 "no server, as JSON" stats --json --url http://127.0.0.1:1
cp err out; is "errors are JSON with --json" 'j["exit"] == 6 and j["error"] == "unreachable" and j["hint"]'
run 3 "a folder without a store" read --all --data nowhere
run 0 "the manual page" help --man
if cmp -s out "$root/docs/cairn.1"; then ok "docs/cairn.1 is what the table makes"; else bad "docs/cairn.1 is what the table makes" "run make cli-texts"; fi
for shell in bash:cairn.bash zsh:_cairn fish:cairn.fish; do
    run 0 "completion ${shell%:*}" completion "${shell%:*}"
    if cmp -s out "$root/cli/completions/${shell#*:}"; then ok "completions/${shell#*:} is up to date"; else bad "completions/${shell#*:} is up to date" "run make cli-texts"; fi
done
complete_bash() { # WORDS…: what bash would offer for the last one
    bash -c 'source "$0"; PATH=$1:$PATH; shift; COMP_WORDS=(cairn "$@"); COMP_CWORD=$#; _cairn; printf "%s\n" "${COMPREPLY[@]}"' \
        "$root/cli/completions/cairn.bash" "$(dirname "$cairn")" "$@" >out 2>err
}
complete_bash imp; says "bash completes a command" '^import$'
complete_bash import x; says "bash completes a subcommand" '^xes$'
complete_bash read --back; says "bash completes an option" '^--backward$'
complete_bash export --format c; says "bash completes a value" '^cloudevents$'
if command -v man >/dev/null && command -v groff >/dev/null; then
    if man -l --warnings=w "$root/docs/cairn.1" 2>&1 >/dev/null | grep -q .; then bad "man reads the page without a warning"; else ok "man reads the page without a warning"; fi
fi

# ---- a folder, then a server: the same commands on both ---------------------------------------------
basics() { # TARGET-ARGUMENTS…
    local where=$1
    shift
    run 0 "$where: append" "$@" append order-1 --type Placed --data '{"total": 99}' --tag customer:7 --meta '{"correlation":"c1"}' --json
    is "$where: append answers" 'j == {"first_position": 0, "last_position": 0, "revision": 0}'
    run 0 "$where: append at an expected revision" "$@" append order-1 --type Paid --data '{}' --expected 0 --tag customer:7
    run 4 "$where: a lost race" "$@" append order-1 --type Paid --data '{}' --expected 0 --json
    cp err out; is "$where: … names the revision" 'j["revision"] == 1 and j["error"] == "conflict"'
    run 4 "$where: expected none" "$@" append order-1 --type Paid --data '{}' --expected none
    run 4 "$where: expected exists" "$@" append order-0 --type Paid --data '{}' --expected exists
    run 5 "$where: a condition that does not hold" "$@" append order-2 --type Placed --data '{}' --unless-type Placed --unless-tag customer:7 --json
    cp err out; is "$where: … names the position" 'j["position"] == 0'
    run 0 "$where: the condition holds after it" "$@" append order-2 --type Placed --data '{}' --unless-type Placed --unless-tag customer:7 --after 0
    id=7d444840-9dc0-11d1-b245-5ffdce74fad2
    run 0 "$where: append with an id" "$@" append order-3 --type A --data 1 --id $id --expected none
    run 0 "$where: again with the id" "$@" append order-3 --type A --data 1 --id $id --expected none --json
    is "$where: … is written once" 'j["repeated"] is True'
    run 2 "$where: data that is no JSON" "$@" append order-3 --type A --data '{oops'
    run 2 "$where: meta that is no object" "$@" append order-3 --type A --meta '[]'
    run 2 "$where: no type" "$@" append order-3 --data 1
    run 1 "$where: a stream of Cairn's own" "$@" append '$own' --type A --data 1
    printf '{"type":"L","data":1}\n{"type":"L","data":2,"tags":["t:1"]}\n\n{"type":"L"}\n' | "$cairn" "$@" append lines-1 --json >out 2>err
    is "$where: NDJSON from standard input is one append" 'j["last_position"] - j["first_position"] == 2 and j["revision"] == 2'
    printf '{"type":"L","data":1}\n{"type":L}\n' | "$cairn" "$@" append lines-2 >out 2>err
    [ $? -eq 2 ] && ok "$where: a bad line" || bad "$where: a bad line"
    says "$where: … is named" 'line 2' err
    printf 'bytes\0\377' >blob
    run 0 "$where: bytes from a file" "$@" append blob-1 --type B --content-type application/octet-stream --data @blob
    run 3 "$where: a file that is not there" "$@" append blob-1 --type B --data @nope

    run 0 "$where: read a stream" "$@" read order-1 --json
    is "$where: … in order" '[e["type"] for e in lines] == ["Placed","Paid"] and lines[0]["data"] == {"total":99} and lines[0]["tags"] == ["customer:7"]'
    run 3 "$where: read an unknown stream" "$@" read nope
    run 0 "$where: read all" "$@" read --all --json
    is "$where: … positions are dense" '[e["position"] for e in lines] == list(range(len(lines))) and len(lines) == 8'
    run 0 "$where: read backward" "$@" read --all --backward --limit 2 --json; is "$where: … newest first" '[e["position"] for e in lines] == [7, 6]'
    run 0 "$where: read from" "$@" read --all --from 6 --json; is "$where: … begins there" '[e["position"] for e in lines] == [6, 7]'
    run 0 "$where: read as of a position" "$@" read --all --as-of 2 --json; is "$where: … ends there" 'len(lines) == 2'
    run 0 "$where: read as of the past" "$@" read --all --as-of 2001-01-01 --json; is "$where: … is empty" 'lines == []'
    run 0 "$where: read by type" "$@" read --all --type Paid --type L --json; is "$where: … any of them" 'sorted(set(e["type"] for e in lines)) == ["L","Paid"]'
    run 0 "$where: read by tag" "$@" read --all --tag customer:7 --json; is "$where: … finds two" 'len(lines) == 2'
    run 0 "$where: read a category" "$@" read --all --category lines --json; is "$where: … finds three" 'len(lines) == 3'
    run 0 "$where: read since" "$@" read --all --since 2001-01-01 --until 2001-01-02 --json; is "$where: … and until" 'lines == []'
    run 0 "$where: filter a stream" "$@" read order-1 --type Paid --json; is "$where: … finds one" 'len(lines) == 1'
    run 2 "$where: a time that is none" "$@" read --all --since yesterday
    run 2 "$where: read what" "$@" read
    run 0 "$where: read for people" "$@" read order-1; says "$where: … is aligned" '^ +0  20.*order-1 +0  Placed'
    run 0 "$where: only the data" "$@" read order-1 --data-only; says "$where: … as it was written" '^\{"total": 99\}$'
    run 0 "$where: follow what is there" "$@" follow order-1 --from start --limit 2 --json; is "$where: … shows it" 'len(lines) == 2'

    run 0 "$where: streams" "$@" streams --json; is "$where: … by first appearance" '[s["stream"] for s in lines] == ["order-1","order-2","order-3","lines-1","blob-1"]'
    run 0 "$where: streams by prefix" "$@" streams --prefix order- --after order-1 --limit 1 --long --json; is "$where: … after one" 'lines == [{"stream":"order-2","first_position":2,"last_revision":0,"first_revision":0}]'
    run 0 "$where: stats" "$@" stats --json; is "$where: … counts" 'j["store"]["events"] == 8 and j["store"]["streams"] == 5 and "index_memory_entries" in j["store"]'
    run 0 "$where: verify" "$@" verify --json; is "$where: … finds no fault" 'j["faults"] == 0 and j["events"] == 8 and len(j["digest"]) == 64'

    run 0 "$where: retention" "$@" retention lines-1 --max-count 1; run 0 "$where: … takes effect" "$@" read lines-1 --json
    is "$where: … at once" '[e["revision"] for e in lines] == [2]'
    run 0 "$where: retention adds up" "$@" retention lines-1 --max-age 30d; run 0 "$where: … shows both" "$@" retention lines-1 --json
    is "$where: … limits" 'j["max_count"] == 1 and j["max_age_us"] == 30*86400*1000000'
    run 0 "$where: scavenge" "$@" scavenge --json; is "$where: … reports" '"bytes_freed" in j'
    run 0 "$where: reindex" "$@" reindex --json; is "$where: … says so" 'j == {"reindexed": True}'
    run 0 "$where: … and the index is right" "$@" verify --json; is "$where: … entry by entry" 'j["faults"] == 0 and j["index_entries"] > 0'
    run 0 "$where: delete" "$@" delete order-2; run 3 "$where: … is gone" "$@" read order-2
    run 3 "$where: delete what is not there" "$@" delete nope
    run 0 "$where: delete for good" "$@" delete blob-1 --tombstone; run 3 "$where: … closes the name" "$@" append blob-1 --type A --data 1
    run 0 "$where: put a snapshot" "$@" snapshot put order-1 --state '{"paid":true}'
    run 0 "$where: get a snapshot" "$@" snapshot get order-1 --json; is "$where: … as it was put" 'j == {"revision": 1, "content_type": "application/json", "state": {"paid": True}}'
    run 3 "$where: no snapshot" "$@" snapshot get order-3

    run 0 "$where: make a group" "$@" subscription create g --category order
    run 0 "$where: list groups" "$@" subscription list --json; is "$where: … has it" 'j["name"] == "g" and j["checkpoint"] == 0'
    run 0 "$where: take and acknowledge" "$@" subscription take g --limit 1 --ack --json; is "$where: … takes one" 'len(lines) == 1 and j["delivery"] == 1'
    run 0 "$where: delete a group" "$@" subscription delete g; run 3 "$where: … it is gone" "$@" subscription take g

    run 0 "$where: bench append" "$@" bench append --events 200 --clients 4 --json; is "$where: … measures" 'j["events"] == 200 and j["p50_us"] <= j["p95_us"] <= j["p99_us"] <= j["max_us"] and j["rate"] > 0'
    run 0 "$where: bench read" "$@" bench read --events 100 --json; is "$where: … reads" 'j["events"] >= 100'
    run 0 "$where: bench stream" "$@" bench stream --events 50 --json; is "$where: … reads a stream" 'j["calls"] == 50'
}

start_server() { # FOLDER: on a free port; waits for its line
    : >serve.out # what the one before said is not what this one says
    "$cairn" serve --data "$1" --listen 127.0.0.1:0 >serve.out 2>serve.err &
    server=$!
    until grep -q '^Cairn .* is listening on' serve.out; do
        kill -0 "$server" 2>/dev/null || { bad "the server starts" "$(cat serve.err)"; exit 1; }
        read -rt 0.05 <> <(:)
    done
    url=$(sed -n 's/.* is listening on \(http[^ ]*\).*/\1/p' serve.out)
    export CAIRN_URL=$url
}

# ---- the server's own command line -----------------------------------------------------------------------
run 2 "serve: an unknown flag" serve --lisen 127.0.0.1:0; says "… says where the settings are" 'hint: .*cairn serve --help' err
echo 'limts: {a: 1}' >bad.yaml
run 2 "serve: an unknown key" serve --config bad.yaml; says "… names its line" 'bad.yaml:1: unknown key .limts.a' err
run 2 "serve: a value that is none, as JSON" serve --json --limits-event-size big
cp err out; is "… is one object" 'j["exit"] == 2 and j["error"] == "invalid" and j["what"] == "serve" and "64KiB" in j["detail"] and j["hint"]'
run 3 "serve: no such file" serve --config nope.yaml
run 2 "serve: no address" serve --data served --kafka localhost; says "… names the setting" 'kafka.listen: .localhost. is not' err
run 2 "serve: logins that nobody has" serve --data served --listen 127.0.0.1:0 --kafka 127.0.0.1:0 --kafka-sasl PLAIN; says "… names the file" 'kafka.users' err
says "serve --help has every setting" '^  --log-segment-size SIZE' <("$cairn" serve --help)
"$cairn" serve --json --quiet --data served --listen 127.0.0.1:0 >out 2>err &
server=$!
until [ -s out ]; do kill -0 $server 2>/dev/null || break; read -rt 0.05 <> <(:); done
is "serve --json says where it listens" 'j["url"].startswith("http://127.0.0.1:") and j["data"] == "served" and j["version"]'
taken=$(python3 -c 'import json; print(json.load(open("out"))["url"].removeprefix("http://"))')
run 1 "serve: a port that is taken" serve --data other --listen 127.0.0.1:0 --kafka "$taken"; says "… says what to do" 'hint: .*port that is free' err
stop_server
if command -v openssl >/dev/null; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 2 \
        -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 2>/dev/null
    "$cairn" serve --json --data served --listen 127.0.0.1:0 --tls-cert cert.pem --tls-key key.pem >tls.out 2>err &
    server=$!
    until [ -s tls.out ]; do kill -0 $server 2>/dev/null || break; read -rt 0.05 <> <(:); done
    url=$(sed 's/.*"url":"\([^"]*\)".*/\1/' tls.out)
    run 6 "a certificate that nobody vouches for" stats --url "$url"; says "… says how to trust it" 'hint: .*--cacert' err
    run 0 "with --cacert" stats --url "$url" --cacert cert.pem --json; is "… it answers" '"store" in j'
    run 0 "with --insecure" stats --url "$url" --insecure --json
    stop_server
else
    skip "TLS" "openssl is not installed"
fi
rm -rf served

basics folder --data folder
start_server served
basics server --url "$url"
unset CAIRN_URL
run 0 "a server over HTTP/2" stats --http2 --json --url "$url"; is "… answers" 'j["store"]["events"] > 0'
export CAIRN_URL=$url
run 8 "a folder that a server owns" --data served append x-1 --type A --data 1
says "… says what to do" 'hint: work through its server' err
run 0 "append to a folder named after the command" append here-1 --type A --data 1 --data folder
run 0 "bench follow" bench follow --events 50 --json; is "… follows" 'j["events"] >= 50'

# groups with state in the server
"$cairn" append work-1 --type W --data 1 >/dev/null; "$cairn" append work-1 --type W --data 2 >/dev/null
run 0 "a group on a stream" subscription create w --stream work-1 --retries 3
run 0 "take" subscription take w --json; is "… both" '[e["data"] for e in lines] == [1, 2]'
p1=$(python3 -c 'import json; print(json.loads(open("out").readlines()[0])["position"])')
p2=$(python3 -c 'import json; print(json.loads(open("out").readlines()[1])["position"])')
run 0 "ack" subscription ack w "$p1" --json; is "… one" 'j["acknowledged"] == 1'
run 0 "nack and park" subscription nack w "$p2" --park --reason 'no good' --json; is "… the other" 'j["refused"] == 1'
run 0 "parked" subscription parked w --json; is "… with its reason" 'j["reason"] == "no good" and j["data"] == 2'
run 0 "replay" subscription replay w --json; is "… it" 'j["replayed"] == 1'
run 0 "take again" subscription take w --ack --json; is "… is handed out again" '[e["data"] for e in lines] == [2]'
run 2 "a position that is none" subscription ack w x

# follow live: an event appended after the follower began
"$cairn" follow live-1 --from start --limit 2 --json >follow.out 2>follow.err &
follower=$!
"$cairn" append live-1 --type A --data 1 >/dev/null
until [ -s follow.out ]; do kill -0 $follower 2>/dev/null || break; read -rt 0.05 <> <(:); done
"$cairn" append live-1 --type A --data 2 >/dev/null
wait $follower && cp follow.out out && is "follow sees what is appended" '[e["data"] for e in lines] == [1, 2]'
"$cairn" follow --verbose >follow.out 2>follow.err &
follower=$!
until grep -q following follow.err; do kill -0 $follower 2>/dev/null || break; read -rt 0.05 <> <(:); done
kill -INT $follower; wait $follower
[ $? -eq 130 ] && ok "Ctrl-C ends follow with 130" || bad "Ctrl-C ends follow with 130"

# ---- export and import --------------------------------------------------------------------------------
python3 -c '
import json
print("\n".join(json.dumps(e) for e in [
 {"stream":"a-1","type":"T","data":{"x":1},"tags":["k:1","k:\u00fc"]}, {"stream":"b-1","type":"T","data":None},
 {"stream":"a-1","type":"U","data":[1,2],"meta":{"correlation":"c","z":{}}}, {"stream":"a-1","type":"V"},
 {"stream":"b-1","type":"W","content_type":"text/plain","data_base64":"aGkA"}]))' >small.ndjson
"$cairn" --data first import ndjson small.ndjson >out 2>err && says "import ndjson" 'imported 5 events'
printf '{"type":"Pretty","data":{\n "a": 1 },"meta":{\n"b": 2}}' | "$cairn" --data first append c-1 >/dev/null
run 0 "export to a file" --data first export --output first.ndjson --json; is "… counts" 'j["exported"] == 6'
run 0 "import it into another store" --data second import ndjson first.ndjson --json; is "… all of it" 'j["imported"] == 6'
[ -n "$(digest --data first)" ] && [ "$(digest --data first)" = "$(digest --data second)" ] && ok "export and import gives an identical log" || bad "export and import gives an identical log"
run 0 "import it again" --data second import ndjson first.ndjson --json; is "… writes nothing" 'j["imported"] == 0 and j["already"] == 6'
"$cairn" --data first export | "$cairn" import ndjson - --url "$url" --json >out 2>err; is "export | import over the wire" 'j["imported"] == 6'
"$cairn" export --category a | cut -d, -f2- | sed 's/"revision.*"id"/"id"/' >x1; "$cairn" --data first export --category a | cut -d, -f2- | sed 's/"revision.*"id"/"id"/' >x2
cmp -s x1 x2 && [ -s x1 ] && ok "the wire and the folder export the same" || bad "the wire and the folder export the same"
run 0 "export CloudEvents" --data first export --format cloudevents
is "… are CloudEvents 1.0" 'all(e["specversion"] == "1.0" and e["id"] and e["source"] and e["type"] for e in lines) and len(lines) == 6'
cp out first.ce
run 0 "import CloudEvents" --data third import cloudevents first.ce --json; is "… all" 'j["imported"] == 6 and j["streams"] == 3'
run 0 "… twice" --data third import cloudevents first.ce --json; is "… writes nothing" 'j["imported"] == 0 and j["already"] == 6'
echo '[{"specversion":"1.0","id":"x","source":"/s","type":"T","data":1},{"specversion":"1.0","id":"y","source":"/s","type":"T","subject":"sub-1"}]' >array.ce
run 0 "an array of CloudEvents" --data third import cloudevents array.ce --stream other-1 --json; is "… by subject, or --stream" 'j["imported"] == 2 and j["streams"] == 2'
run 2 "CloudEvents without a stream" --data fourth import cloudevents array.ce
run 2 "a line that is no event" --data fourth import ndjson /proc/self/cmdline
run 3 "a source that is not there" --data fourth import ndjson nope
run 4 "another event in its place" --data second import ndjson <(echo '{"stream":"a-1","type":"X","data":9}')

# What is Cairn's own (here: a snapshot and a limit) is not exported, and not let in.
cp -r first own
run 0 "a store with a snapshot" --data own snapshot put a-1 --state '{}'; run 0 "… and a limit" --data own retention c-1 --max-age 90d
run 0 "… exports the same" --data own export --output again.ndjson
cmp -s first.ndjson again.ndjson && ok "… to the byte" || bad "… to the byte"
run 0 "--system shows the rest" --data own export --system --output all.ndjson
says "… of it" '"stream":"\$snapshot-a-1"' all.ndjson
run 2 "which no importer takes" --data fifth import ndjson all.ndjson; says "… and says what to do instead" 'line 7: .*cairn backup' err

# ---- backup, restore, branch -----------------------------------------------------------------------------
run 0 "backup over the wire" backup saved; run 0 "the backup verifies" verify --data saved
[ "$(digest)" = "$(digest --data saved)" ] && ok "the backup is the store" || bad "the backup is the store"
run 4 "a backup needs a new folder" backup saved
run 0 "backup of a folder" backup --data first copied; run 0 "… again, what is new" backup --data first copied
run 0 "restore" restore copied restored --json; is "… all" 'j["events"] == 6'
run 4 "restore never overwrites" restore copied restored
run 0 "restore to a position" restore copied earlier --to 5 --json; is "… before it" 'j["events"] == 5'
run 0 "restore to a position within an append" restore copied within --to 2 --json; is "… leaves all of it out" 'j["events"] == 0'
says "… and says so" 'appends are never split' err
run 3 "export to a folder that is not there" --data first export --output nowhere/x
run 0 "restore to a moment" restore copied ancient --to 2001-01-01 --json; is "… is empty" 'j["events"] == 0'
run 2 "restore to nonsense" restore copied other --to soon
run 3 "restore from nothing" restore nope other
run 0 "branch" --data first branch branched --at 5 --json; is "… begins with the same" 'j["events"] == 5'
run 0 "a branch goes its own way" --data branched append new-1 --type N --data 1
run 1 "branch over the wire" branch other; says "… says how" 'hint: .*restore' err
run 0 "branch explains why" branch --help; says "… it needs the folder" 'no server has open'
cp -r first broken
python3 - <<'P'
import glob
f = open(sorted(glob.glob("broken/segments/*"))[0], "r+b"); f.seek(200); b = f.read(1); f.seek(200); f.write(bytes([b[0] ^ 1])); f.close()
P
run 7 "verify finds a flipped byte" verify --data broken
says "… and names the file" 'segments/' <(cat out err)
says "… and what to do" 'hint: .*cairn reindex.*cairn restore' err

# ---- importers ----------------------------------------------------------------------------------------------
printf '\xEF\xBB\xBFcase;what;when;who\r\n1;A;2020-01-01 10:00:00+01:00;"x;y"\r\n2;B;;z\r\n1;C;never;"a ""q"""\r\n' >t.csv
run 0 "import csv" --data csv import csv t.csv --stream case --type what --time when --tag who --separator ';' --json; is "… all rows" 'j["imported"] == 3 and j["streams"] == 2'
run 0 "… read" --data csv read t-1 --json; is "… columns, time, tags" 'lines[0]["data"]["who"] == "x;y" and lines[0]["meta"]["occurred_at"] == "2020-01-01T09:00:00.000000Z" and lines[1]["meta"]["occurred_at"] == "never" and lines[1]["tags"] == ["who:a \"q\""]'
run 0 "… twice" --data csv import csv t.csv --stream case --type what --time when --tag who --separator ';' --json; is "… writes nothing" 'j["imported"] == 0 and j["already"] == 3'
printf '1;D;;w\r\n3;E;;v\r\n' >>t.csv
run 0 "… grown" --data csv import csv t.csv --stream case --type what --time when --tag who --separator ';' --json; is "… adds what is new" 'j["imported"] == 2 and j["already"] == 3'
run 2 "an unknown column" --data csv import csv t.csv --separator ';' --stream cases --type what; says "… lists those there are" 'case, what, when, who' err
run 2 "a row of other length" --data csv import csv <(printf 'a,b\n1\n') --stream a --type b; says "… names its line" 'line 2' err
printf '<log><trace><string key="concept:name" value="T1"/><event><string key="concept:name" value="A"/><int key="n" value="5"/></event></trace></log>' | gzip >s.xes.gz
run 0 "import xes.gz" --data xes import xes s.xes.gz --prefix p --json; is "… one" 'j["imported"] == 1'
run 0 "… read" --data xes read p-T1 --json; is "… as it was" 'j["type"] == "A" and j["data"] == {"n": 5} and j["meta"]["trace"]["concept:name"] == "T1"'
run 2 "no xes" --data xes import xes t.csv

if command -v git >/dev/null; then
    export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@b.c GIT_COMMITTER_NAME=C GIT_COMMITTER_EMAIL=c@d.e
    git init -q -b main repo; cd repo || exit 2
    printf 'a\nb\nc\nd\n' >one; mkdir d; echo x >'d/ü space'; git add .; git commit -qm 'first

with a body'
    git mv one two; git commit -qam second; git rm -q two; git commit -qm third
    cd ..
    run 0 "import git" import git repo --json; is "… files and authors" 'j["imported"] == 2+1+2+1+1+1 and j["streams"] == 4'
    run 0 "… a rename in both streams" read file-two --json; is "… from and to" '[e["type"] for e in lines] == ["FileRenamed","FileDeleted"] and j["data"]["from"] == "one"'
    run 0 "… commits" read author-a@b.c --json; is "… tagged, with their time" 'j["data"]["message"] == "first\n\nwith a body" and j["tags"][0] == "commit:" + j["data"]["commit"] and j["meta"]["occurred_at"]'
    run 0 "… twice" import git repo --json; is "… writes nothing" 'j["imported"] == 0 and j["already"] == 8'
    cd repo || exit 2
    git checkout -q -b side HEAD~2; echo s >>one; git commit -qam side; git checkout -q main; git merge -q -m merge side -s ours; cd ..
    run 0 "… grown by a merge of older work" import git repo --json; is "… adds what is new" 'j["imported"] == 3 and j["already"] == 8'
    run 0 "… and once more" import git repo --json; is "… nothing" 'j["imported"] == 0 and j["already"] == 11'
    mkdir plain
    GIT_CEILING_DIRECTORIES=$work run 3 "no repository" import git plain; says "… names packages" 'cairn import packages' err
else
    skip "import git" "git is not installed"
fi
printf '%s\n' '2026-01-01 10:00:00 install libx:amd64 <none> 1.0' '2026-01-01 10:00:00 status unpacked libx:amd64 1.0' \
    '2026-01-01 10:00:01 configure libx:amd64 1.0 <none>' '2026-01-01 10:00:01 configure libx:amd64 1.0 <none>' >dpkg.log
run 0 "import packages" --data packages import packages dpkg.log --json; is "… actions only" 'j["imported"] == 3 and j["streams"] == 1'
mv dpkg.log dpkg.log.1
printf '%s\n' '2026-02-01 10:00:00 upgrade libx:amd64 1.0 2.0' >dpkg.log
run 0 "… rotated and grown" --data packages import packages dpkg.log dpkg.log.1 --json; is "… adds what is new" 'j["imported"] == 1 and j["already"] == 3'
run 0 "… the oldest part gone" --data packages import packages dpkg.log --json; is "… adds nothing" 'j["imported"] == 0'

# ---- real logs -------------------------------------------------------------------------------------------------
if [ -r "$data/bpic2012.xes.gz" ]; then
    run 0 "bpic2012 over the wire" import xes "$data/bpic2012.xes.gz" --json; is "… 13,087 streams and 262,200 events" 'j["imported"] == 262200 and j["streams"] == 13087'
    run 0 "… twice" import xes "$data/bpic2012.xes.gz" --json; is "… without a double" 'j["imported"] == 0 and j["already"] == 262200'
    run 0 "… a trace" read case-173688 --json; is "… in order, with its attributes" 'len(lines) == 26 and j["type"] == "A_SUBMITTED" and j["meta"]["trace"]["AMOUNT_REQ"] == "20000" and j["data"]["org:resource"] == "112" and [e["revision"] for e in lines] == list(range(26)) and all(lines[i]["data"]["time:timestamp"] <= lines[i+1]["data"]["time:timestamp"] for i in range(25))'
    "$cairn" --data killed import xes "$data/bpic2012.xes.gz" >/dev/null 2>&1 &
    importer=$!
    until [ "$(du -sk killed 2>/dev/null | cut -f1)" -gt 4000 ] 2>/dev/null || ! kill -0 $importer 2>/dev/null; do read -rt 0.02 <> <(:); done
    kill -9 $importer 2>/dev/null; wait $importer 2>/dev/null
    run 0 "bpic2012 after a kill" --data killed import xes "$data/bpic2012.xes.gz" --json; is "… goes on where it stopped" 'j["imported"] + j["already"] == 262200 and j["streams"] == 13087'
    run 0 "… is whole" verify --data killed --json; is "… and nothing doubled" 'j["events"] == 262200'
    run 0 "receipt.csv" --data receipt import csv "$data/receipt.csv" --stream case:concept:name --type concept:name --time time:timestamp --json; is "… 8,577 rows" 'j["imported"] == 8577 and j["streams"] == 1434'
    run 0 "recruiting-red" --data ocel import ocel "$data/recruiting-red.jsonocel" --json; is "… events" 'j["imported"] == 6607'
    run 0 "… an object's story" --data ocel read --all --tag 'applications:Application[770001]' --json; is "… by its tag" 'len(lines) >= 3 and j["type"] == "submit application"'
    run 0 "ocel20_example" --data ocel import ocel "$data/ocel20_example.jsonocel" --objects --json; is "… and objects" 'j["imported"] == 22'
    run 0 "… twice" --data ocel import ocel "$data/ocel20_example.jsonocel" --objects --json; is "… nothing" 'j["imported"] == 0'
    run 0 "roadtraffic" --data road import xes "$data/roadtraffic100traces.xes" --tag org:resource --log-event --json; is "… and the log's own attributes" 'j["streams"] == 101'
else
    skip "bpic2012, receipt, recruiting-red, ocel20, roadtraffic" "no $data"
fi

stop_server
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
