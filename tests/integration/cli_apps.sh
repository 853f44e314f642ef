#!/bin/bash
# The `cairn` command for apps, against a real server: new, check, deploy, apps, app, command, query, state, projections,
# projection, replay.
#
# Goal: every command does what its help says, with the exit codes that it documents, and says what to do about mistakes.
# Method: make the starter app, break it and mend it, deploy, use it; --json is read with python3.
# Usage: cli_apps.sh    CAIRN_BIN names the program (build/cairn).
cd "$(dirname "$0")/../.." || exit 2
root=$PWD
export LC_ALL=C.UTF-8
cairn=${CAIRN_BIN:-$root/build/cairn}
[ -x "$cairn" ] || { echo "not ok cli_apps: no program at $cairn"; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/cairn-cli-apps-XXXXXX")
cd "$work" || exit 2
unset CAIRN_URL CAIRN_CACERT NO_COLOR
server='' failed=0

ok() { echo "ok $1"; }
bad() { echo "not ok $1${2:+: $2}"; failed=1; }
stop_server() {
    [ -n "$server" ] || return
    kill -TERM "$server" 2>/dev/null
    if wait "$server"; then ok "the server stops cleanly"; else bad "the server stops cleanly" "$(grep -v level=info serve.err | head -n 60)"; fi
    server=
}
trap 'stop_server; cd /; rm -rf "$work"' EXIT
run() { # CODE NAME ARGUMENTS…
    local want=$1 name=$2 code
    shift 2
    "$cairn" "$@" >out 2>err </dev/null
    code=$?
    if [ $code -eq "$want" ]; then ok "$name"; else bad "$name" "exit $code, not $want: $(head -c 400 err out | tr '\n' ' ')"; fi
}
says() { if grep -qE -- "$2" "${3:-out}"; then ok "$1"; else bad "$1" "no line like $2 in: $(head -c 400 "${3:-out}" | tr '\n' ' ')"; fi; }
# is NAME PYTHON: an expression over j (the first line of out as JSON) and lines (all of them) is true.
is() {
    if python3 -c '
import json, sys
lines = [json.loads(l) for l in open("out") if l.strip()]
j = lines[0] if lines else None
sys.exit(0 if eval(sys.argv[1]) else 1)' "$2" 2>py; then ok "$1"; else bad "$1" "not $2 of $(head -c 300 out) $(tail -n 1 py)"; fi
}
start_server() {
    : >serve.out
    : >serve.out # what the one before said is not what this one says
    "$cairn" serve --data store --listen 127.0.0.1:0 >serve.out 2>serve.err &
    server=$!
    until grep -q '^Cairn .* is listening on' serve.out; do
        kill -0 "$server" 2>/dev/null || { bad "the server starts" "$(cat serve.err)"; server=; exit 1; }
        read -rt 0.05 <> <(:)
    done
    CAIRN_URL=$(sed -n 's/.* is listening on \(http[^ ]*\).*/\1/p' serve.out)
    export CAIRN_URL
}

# ---- new, check: no server needed ------------------------------------------------------------------------------
run 0 "new" new shop; says "… says what comes next" '^  cairn deploy shop$'
run 0 "check" check shop; says "… is fine" '^shop is fine: [0-9]+ files$'
run 4 "new where there is something" new shop; says "… nothing is overwritten" 'hint: nothing is overwritten' err
run 2 "new with a bad name" new Shop
run 0 "new elsewhere, in TypeScript" new typed --typescript --in "$work" --json; is "… lists its files" '"app.yaml" in j["files"] and j["folder"].endswith("/typed")'
printf '        by: {type: string}\n' >>typed/app.yaml # at its end are the properties of OrderCancelled
mkdir -p typed/src && printf 'return {evolve = {OrderPlaced = function() end}, decide = {PlaceOrder = function() end, PayOrder = function() end, CancelOrder = function() end}}' >typed/order.lua
run 0 "check, when the types are old" check typed; says "… says so" '^typed/src/types.gen.d.ts: warning: ' err
run 0 "check --types" check typed --types; says "… writes them" '^~ typed/src/types.gen.d.ts$'
says "… from the schemas as they are" '^ *by\?: string;$' typed/src/types.gen.d.ts
run 0 "check after that" check typed; if grep -q types.gen err out; then bad "… has no more to say of them" "$(cat err)"; else ok "… has no more to say of them"; fi
cp -r shop broken
sed -i 's/^commands:/comands:/' broken/app.yaml
printf -- '-- from order\n-- table\nCREATE TABEL x (a);\n-- on OrderPlaced\nINSERT INTO x VALUES (1);\n' >broken/projections/bad.sql
run 1 "check finds mistakes" check broken
says "… with file and line" '^broken/app.yaml:[0-9]+: error: ' err
says "… in every file" '^broken/projections/bad.sql:[0-9]+: error: ' err
says "… with hints" '^  hint: [Dd]id you mean commands' err
run 1 "check --json" check broken --json; is "… lists them" 'j["errors"] >= 2 and {f["file"] for f in j["faults"]} >= {"app.yaml", "projections/bad.sql"} and all(f["message"] for f in j["faults"])'
run 3 "check of nothing" check nowhere
mkdir empty
run 3 "check of an empty folder" check empty
run 1 "check in colours" check broken --color always; if grep -q $'\033\\[31merror:' err; then ok "… has them"; else bad "… has them"; fi
run 6 "apps without a server" apps --url http://127.0.0.1:1
run 2 "apps of a folder" apps --data folder; says "… says how" 'hint: run .cairn serve' err

# ---- deploy ----------------------------------------------------------------------------------------------------
start_server
run 0 "no apps yet" apps --json; is "… none" 'lines == []'
run 0 "a dry run" deploy shop --dry-run; says "… lists its files" '^  \+ app.yaml'
run 0 "… deploys nothing" apps --json; is "… still none" 'lines == []'
run 1 "a broken app" deploy broken; says "… is refused with every fault" '^broken/projections/bad.sql:' err
says "… and nothing happens" 'nothing has changed' err
run 1 "the same as JSON" deploy broken --json; cp err out; is "… is one object" 'j["exit"] == 1 and len(j["problem"]["faults"]) >= 2'
run 0 "deploy" deploy shop --note first; says "… version 1" '^deployed shop, version 1$'
run 0 "the same again" deploy shop; says "… changes nothing" 'nothing has changed; version 1 is current'
cp -r shop one
sed -i 's/^title:.*/title: A shop/' shop/app.yaml
echo more >>shop/README.md
run 4 "an expected version that is not there" deploy shop --expected-version 7; says "… says where to look" 'hint: .cairn app NAME history' err
run 0 "a dry run of a change" deploy shop -n; says "… says what changes" '^  ~ app.yaml  \(\+1 -1\)$'
run 0 "version 2" deploy shop --expected-version 1 -m second
run 0 "apps" apps; says "… has it" '^shop +2 .* running .*A shop|^shop +2 .* building .*A shop'
run 0 "app" app shop; says "… lists commands" '^PlaceOrder +order-\{order_id\}'; says "… queries" '^open_orders +status text\?'; says "… projections" '^orders +(running|building)'
run 0 "app --json" app shop --json; is "… everything" 'j["version"] == 2 and j["commands"][0]["schema"]["type"] == "object"'
run 3 "an app that is not there" app nobody; says "… says how to find one" 'hint: .cairn apps' err

# ---- versions -----------------------------------------------------------------------------------------------------
run 0 "history" app shop history --json; is "… newest first" '[d["version"] for d in lines] == [2, 1] and lines[0]["current"] and lines[1]["note"] == "first"'
run 0 "files into a folder" app shop files --version 1 --out v1; if diff -r one v1 >/dev/null; then ok "… byte for byte"; else bad "… byte for byte" "$(diff -r one v1 | head -5)"; fi
run 4 "… not over another" app shop files --out one
run 0 "diff" app shop diff
cp out mine
(cd "$work" && git diff --no-index --no-color -U3 one shop | grep -vE '^(diff|index|new file|---|\+\+\+)' | sed 's/^\(@@ [^@]*@@\).*/\1/') >git.diff
grep -vE '^(---|\+\+\+)' mine | sed 's/,1 @@/ @@/; s/,1 +/ +/' >mine.diff
sed -i 's/,1 @@/ @@/; s/,1 +/ +/' git.diff
if command -v git >/dev/null; then if cmp -s git.diff mine.diff; then ok "… as git has it"; else bad "… as git has it" "$(diff git.diff mine.diff | head -5)"; fi; else echo "skip … as git has it: no git"; fi
run 0 "diff with a folder" app shop diff 2 shop; says "… no difference" 'no difference' err
run 0 "rollback" app shop rollback 1; says "… is version 3" 'version 3'
run 0 "… and is what version 1 was" app shop diff 1 3; says "… no difference" 'no difference' err
run 3 "rollback to nothing" app shop rollback 9
run 2 "rollback without a version" app shop rollback
run 2 "a misspelt action" app shop histroy; says "… is guessed" 'did you mean history' err

# ---- commands and queries --------------------------------------------------------------------------------------------
order='{"order_id":"42","customer":"c7","items":[{"sku":"a","quantity":2,"price_cents":250}]}'
run 0 "a command" command shop PlaceOrder "$order" --key k1 --actor ann --correlation trip --json
is "… is accepted" 'j["events"][0]["type"] == "OrderPlaced" and j["revision"] == 0 and not j["repeated"]'
position=$(python3 -c 'import json; print(json.load(open("out"))["position"])')
run 0 "the same key" command shop PlaceOrder "$order" --key k1 --json; is "… gives the same answer" 'j["repeated"] and j["position"] == '"$position"
run 4 "the key for other data" command shop PlaceOrder "${order/42/43}" --key k1
run 0 "the event" read order-42 --json; is "… knows who asked" 'len(lines) == 1 and j["meta"]["actor"] == "ann" and j["meta"]["correlation"] == "trip"'
run 10 "a command that the rules refuse" command shop PlaceOrder "$order"; says "… by name" '^cairn: command: already_placed: ' err
run 10 "the same as JSON" command shop PlaceOrder "$order" --json; cp err out; is "… with its code" 'j["exit"] == 10 and j["error"] == "rejected" and j["problem"]["code"] == "already_placed"'
run 2 "data that the schema refuses" command shop PlaceOrder --set order_id='"44"'; says "… names the member" 'customer' err
run 2 "data that is no JSON" command shop PlaceOrder '{order_id:1}'; says "… says how to write it" 'hint: quote it for the shell' err
run 3 "a command that the app has not" command shop PlaceOder '{}'
run 0 "data by member" command shop PlaceOrder --set order_id='"45"' --set customer=c8 --set 'items=[{"sku":"b","quantity":1,"price_cents":100}]'
echo "${order/42/46}" >data.json
run 0 "data from a file" command shop PlaceOrder @data.json
if "$cairn" command shop PlaceOrder - --deadline 5000 <<<"${order/42/47}" >out 2>err; then ok "data from standard input"; else bad "data from standard input" "$(cat err)"; fi
position=$("$cairn" read order-47 --json | python3 -c 'import json,sys; print(json.loads(sys.stdin.readline())["position"])')
run 0 "a query sees its own writes" query shop open_orders --after-position "$position" --json; is "… all four orders" 'sorted(r["order_id"] for r in j["rows"]) == ["42", "45", "46", "47"]'
run 0 "as a table" query shop open_orders; says "… with a header" '^order_id +customer'
run 0 "page by page" query shop open_orders --limit 1 --all --json; is "… one row each, none twice" 'sorted(r["order_id"] for p in lines for r in p["rows"]) == ["42", "45", "46", "47"] and len(lines) >= 4'
run 0 "the first page" query shop open_orders --limit 2; says "… says how to go on" 'there are more: --all, or --cursor' err
cursor=$(sed -n 's/.*--cursor //p' err)
run 0 "the next page" query shop open_orders --limit 2 --cursor "$cursor" --json; is "… has the other two" 'len(j["rows"]) == 2 and j["next"] is None'
run 0 "as CSV" query shop open_orders --all --csv
if python3 -c '
import csv, sys
rows = list(csv.DictReader(open("out", newline="")))
sys.exit(0 if len(rows) == 4 and rows[0]["customer"] else 1)'; then ok "… that others can read"; else bad "… that others can read" "$(head -c 200 out)"; fi
run 0 "as of a position before" query shop open_orders --as-of "$position" --json; is "… without the last one" 'len(j["rows"]) == 3'
run 0 "a query of one row" query shop order -p order_id=45 --json; is "… has it" 'j["row"]["customer"] == "c8"'
run 3 "… or none" query shop order -p order_id=99
run 2 "a parameter that is missing" query shop order
run 2 "a parameter without a value" query shop order -p order_id
run 0 "state" state shop order-42; is "… as the decider has it" 'j["status"] == "open"'
run 0 "paid" command shop PayOrder --set order_id='"42"' --set amount_cents=500 --set method=card
run 0 "state as of a revision" state shop order-42 --revision 0; is "… as it was" 'j["status"] == "open"'

# ---- projections, replay ----------------------------------------------------------------------------------------------
run 0 "projections" projections; says "… are listed" '^shop +orders +running'
run 0 "pause" projection shop orders pause; run 0 "projection" projection shop orders --json; is "… is paused" 'j["state"] == "paused"'
run 0 "resume" projection shop orders resume
run 2 "a misspelt action" projection shop orders resmue; says "… is guessed" 'did you mean resume' err
run 3 "a projection that is not there" projection shop nothing
run 0 "rebuild" projection shop orders rebuild
run 0 "replay" replay shop --aggregates --json; is "… tells what it did" 'j["ok"] and j["projections"][0]["name"] == "orders" and j["aggregates"]["streams"] == 4'
run 3 "replay of an app that is not there" replay nothing; says "… says so" "there is no app named .nothing." err
run 0 "check-history" app shop check-history --json; is "… every command decided again" 'j["ok"] and j["aggregates"]["commands"] == 5 and j["aggregates"]["differing"] == 0'
# a decider that decides otherwise than it did
sed 's/quantity \* item.price_cents/quantity * item.price_cents + 1/; s/price_cents \* item.quantity/price_cents * item.quantity + 1/' v1/order.lua >shop/order.lua
if cmp -s v1/order.lua shop/order.lua; then bad "the decider is changed" "$(grep -n price_cents v1/order.lua)"; fi
run 0 "a version that decides otherwise" deploy shop
run 1 "check-history" app shop check-history --json; is "… finds it" 'j["aggregates"]["differing"] == 4 and not j["ok"]'; is "… and says where and what" 'all(f["error"] == "revision 0: an event with other data" for f in j["aggregates"]["failures"])'
# a projection that cannot apply an event
cat >shop/projections/fragile.sql <<'SQL'
-- from order
-- table
CREATE TABLE fragile (order_id TEXT PRIMARY KEY, customer TEXT CHECK (customer <> 'c8'));
-- on OrderPlaced
INSERT INTO fragile VALUES (:data.order_id, :data.customer);
SQL
run 0 "a projection that will fail" deploy shop
until "$cairn" projection shop fragile --json 2>err | grep -q '"state":"stopped"'; do kill -0 "$server" || break; done
run 0 "it stops" projection shop fragile; says "… before the event" 'stream +order-45'; says "… with the error" 'CHECK constraint failed'; says "… and what to do" 'retry\|skip\|park'
printf -- '-- key order_id\nSELECT order_id FROM fragile\n' >shop/queries/fragile.sql
run 0 "a query of it" deploy shop
until "$cairn" projection shop fragile --json 2>err | grep -q '"state":"stopped"'; do kill -0 "$server" || break; done
run 0 "asked" query shop fragile; says "… says that the read model stands" 'the read model fragile is stopped, at position' err
run 0 "another query" query shop open_orders; if grep -q fragile err; then bad "… has nothing to do with it" "$(cat err)"; else ok "… has nothing to do with it"; fi
run 0 "park" projection shop fragile park
until "$cairn" projection shop fragile --json 2>err | grep -q '"state":"running"'; do kill -0 "$server" || break; done
run 0 "it goes on" projection shop fragile; says "… with the event set aside" '^ *[0-9]+ +order-45 +0 +OrderPlaced'
run 0 "remove" app shop remove; run 0 "apps" apps --json; is "… it is gone" 'lines == []'
run 0 "deployed again" deploy one; says "… it is back" '^deployed shop, version'
stop_server
exit $failed
