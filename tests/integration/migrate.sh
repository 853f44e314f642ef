#!/bin/bash
# `cairn migrate`: SQLite, CSV and PostgreSQL to events, against a server and in a folder.
#
# Goal: a migration writes each row's events exactly once, whatever interrupts it; says when source and events differ; refuses
#       wrong mappings with file and line; writes nothing in a dry run; and is taken back whole, or not at all.
# Method: migrate generated tables and compare what is in the store with the table itself (python3), kill with -9
#       in the middle, run again. The example of docs/migrate.md is carried out as it stands there.
# Usage: migrate.sh    CAIRN_BIN names the program (build/cairn).
cd "$(dirname "$0")/../.." || exit 2
root=$PWD
export LC_ALL=C.UTF-8
cairn=${CAIRN_BIN:-$root/build/cairn}
[ -x "$cairn" ] || { echo "not ok migrate: no program at $cairn"; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/cairn-migrate-XXXXXX")
cd "$work" || exit 2
unset CAIRN_URL CAIRN_CACERT NO_COLOR
server='' postgres=''
postgres_bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)

ok() { echo "ok $1"; }
bad() { echo "not ok $1${2:+: $2}"; failed=1; }
failed=0
stop_server() {
    [ -n "$server" ] || return
    kill -TERM "$server" 2>/dev/null
    if wait "$server"; then ok "the server stops cleanly"; else bad "the server stops cleanly" "$(grep -v level=info serve.err | head -n 60)"; fi
    server=
}
as_postgres() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
stop_all() {
    stop_server
    [ -n "$postgres" ] && as_postgres "$postgres_bin/pg_ctl" -D "$postgres" -m immediate stop >/dev/null 2>&1
    cd /
    rm -rf "$work" ${postgres:+"$postgres"}
}
trap stop_all EXIT

# run CODE NAME ARGUMENTS…: run cairn, keep what it printed in out and err, check how it ended.
run() {
    local want=$1 name=$2 code
    shift 2
    "$cairn" "$@" >out 2>err </dev/null
    code=$?
    if [ $code -eq "$want" ]; then ok "$name"; else bad "$name" "exit $code, not $want: $(head -c 400 err out | tr '\n' ' ')"; fi
}
says() { if grep -qE -- "$2" "${3:-out}"; then ok "$1"; else bad "$1" "no line like $2 in: $(head -c 400 "${3:-out}" | tr '\n' ' ')"; fi; }
# is NAME PYTHON: an expression over lines (out, as JSON) and j (the last of them) is true.
is() {
    if python3 -c '
import json, sys
lines = [json.loads(l) for l in open("out") if l.strip()]
j = lines[-1] if lines else None
sys.exit(0 if eval(sys.argv[1]) else 1)' "$2" 2>py; then ok "$1"; else bad "$1" "not $2 of $(head -c 300 out) $(tail -n 1 py)"; fi
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
}
digest() { "$cairn" verify --json --data "$1" 2>/dev/null | python3 -c 'import json,sys; print(json.load(sys.stdin)["digest"])'; }

# same_as_table NAME ARGUMENTS…: every row of shop.db has its events, once, in the order of the rows; nothing else is there.
cat >compare.py <<'PY'
import json, sqlite3, sys
events = [json.loads(l) for l in sys.stdin]
want = []
for i, customer, total, status, placed, paid, gift in sqlite3.connect("shop.db").execute("SELECT * FROM orders ORDER BY id"):
    tags = {"migration:big", f"customer:{customer}"}
    when = placed.replace(" ", "T") + ".000000Z"
    want.append((f"order-{i}", "OrderPlaced", {"order_id": str(i), "total": total, "gift": bool(gift), "currency": "EUR"}, tags, when))
    if status == "paid":
        want.append((f"order-{i}", "OrderPaid", {"order_id": str(i), "total": total}, {"migration:big"}, paid.replace(" ", "T") + ".000000Z"))
    if status == "cancelled":
        want.append((f"order-{i}", "OrderCancelled", {"order_id": str(i)}, {"migration:big"}, None))
have = [(e["stream"], e["type"], e["data"], set(e["tags"]), e["meta"].get("occurred_at")) for e in events]
if any(e["meta"]["migration"] != "big" for e in events): sys.exit("an event without meta.migration")
if len({e["id"] for e in events}) != len(events): sys.exit("an id comes twice")
if have != want:
    first = next((i for i, (a, b) in enumerate(zip(have, want)) if a != b), min(len(have), len(want)))
    sys.exit(f"{len(have)} events, {len(want)} wanted; first difference at {first}: {have[first:first+1]} {want[first:first+1]}")
PY
same_as_table() {
    local name=$1
    shift
    if "$cairn" read --all --category order --json "$@" 2>err | python3 compare.py 2>py; then ok "$name"; else bad "$name" "$(tail -n 1 py) $(head -n 1 err)"; fi
}

# ---- the example of the manual ----------------------------------------------------------------------------
block() { # MARK: the fenced block after the line <!-- MARK -->
    awk -v mark="<!-- $1 -->" '$0 == mark { found = 1; next } found && /^```/ { if (inside) exit; inside = 1; next } inside' "$root/docs/migrate.md"
}
for file in shop.sql orders.yaml; do block "file: $file" >"$file"; done
block run >commands
if [ -s shop.sql ] && [ -s orders.yaml ] && [ "$(grep -c . commands)" -ge 6 ]; then ok "the manual has its example"; else bad "the manual has its example"; fi
mkdir bin && ln -s "$cairn" bin/cairn
cat >bin/sqlite3 <<'PY'
#!/usr/bin/env python3
import sqlite3, sys
sqlite3.connect(sys.argv[1]).executescript(sys.stdin.read())
PY
chmod +x bin/sqlite3 # the manual's sqlite3 shell need not be here
start_server manual
export CAIRN_URL=$url
while IFS= read -r line; do
    if PATH=$work/bin:$PATH bash -c "$line" >out 2>err; then ok "manual: $line"; else bad "manual: $line" "$(cat err)"; fi
    case $line in
    *--dry-run*) says "… would write what it shows" '^orders-2026: 3 rows, 5 events would be written'; says "… with a sample" '"stream":"order-1".*"OrderPaid"' ;;
    *"migrate orders.yaml") says "… the table that the manual shows" '^revenue +157.4 +157.4 +same$'; cp out migrated ;;
    *"read order-1") says "… the order has its events" 'OrderPaid' ;;
    *customer:7*) says "… tags are there" 'order-3' ;;
    *rollback*) says "… everything is taken back" '3 streams deleted' ;;
    esac
done <commands
shown=$(awk '/^CHECK  /,/^orders-2026/' "$root/docs/migrate.md" | sed 's/, [^,]*ms$//; s/ *$//')
if [ "$shown" = "$(sed 's/, [^,]*s$//; s/ *$//' migrated)" ]; then ok "the manual's table is what it prints"; else bad "the manual's table is what it prints" "$(cat migrated)"; fi
stop_server
unset CAIRN_URL

# ---- a larger table ------------------------------------------------------------------------------------------
make_table() { # ROWS
    rm -f shop.db
    python3 - "$1" <<'PY'
import sqlite3, sys
n = int(sys.argv[1])
db = sqlite3.connect("shop.db")
db.execute("CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INTEGER, total NUMERIC, status TEXT, placed_at TEXT, paid_at TEXT, gift INTEGER)")
rows = []
for i in range(1, n + 1):
    i *= 3
    status = ("paid", "open", "cancelled", "paid")[i % 4]
    rows.append((i, i % 97, (i * 137 % 100000) / 100, status, f"2026-01-{1 + i % 28:02} {i % 24:02}:00:00",
                 f"2026-02-{1 + i % 28:02} 12:00:00" if status == "paid" else None, i % 2))
db.executemany("INSERT INTO orders VALUES (?,?,?,?,?,?,?)", rows)
db.commit()
PY
}
make_table 4000
sed 's/^batch: .*/batch: big/' orders.yaml >big.yaml

run 0 "a dry run" migrate big.yaml --dry-run --sample 4 --data dry; says "… shows the sample and the counts" '^rows +4000 +4000 +same'
if [ "$(grep -c '^{"stream"' out)" -eq 4 ]; then ok "… as many events as asked for"; else bad "… as many events as asked for" "$(head -c 200 out)"; fi
if [ ! -e dry ] && ! ls -d big-backup-* >/dev/null 2>&1; then ok "… and writes nothing"; else bad "… and writes nothing" "$(ls)"; fi

run 0 "a migration into a folder" migrate big.yaml --data folder --json; is "… says what it did" 'j["rows"] == 4000 and j["same"] and len(j["checks"]) == 6'
same_as_table "… every row has its events" --data folder
if ls -d big-backup-*T*Z >/dev/null 2>&1; then ok "… with a backup before it"; else bad "… with a backup before it" "$(ls)"; fi
before=$(digest folder)
run 0 "again" migrate big.yaml --data folder; says "… nothing to do" 'it was complete; nothing was written' err
if [ "$(digest folder)" = "$before" ]; then ok "… and nothing is written"; else bad "… and nothing is written"; fi
sed 's/EUR/USD/' big.yaml >changed.yaml
run 4 "a mapping that has changed" migrate changed.yaml --data folder; says "… is told how to go on" 'hint: cairn migrate --rollback big' err
sed 's/order-{/second-{/' big.yaml >second.yaml
run 0 "the same rows as another batch, elsewhere" migrate second.yaml --batch other --no-backup --data folder
run 0 "status" migrate --status big --data folder --json; is "… completed" 'j["phase"] == "completed" and j["rows"] == 4000 and j["key"] == 12000'
run 3 "status of no batch" migrate --status nobody --data folder

# ---- killed in the middle --------------------------------------------------------------------------------------
start_server served
progressed() { "$cairn" read migration-big --backward --limit 1 --json --url "$url" 2>/dev/null | python3 -c 'import json,sys; print(json.loads(sys.stdin.readline())["data"]["rows"])' 2>/dev/null || echo 0; }
log_end() { "$cairn" stats --json --url "$url" | python3 -c 'import json,sys; print(json.load(sys.stdin)["store"]["events"])'; }
# kill_in_the_middle NAME MAPPING: a migration, row by row, is killed when a follower has seen it make 20 steps.
kill_in_the_middle() {
    local end victim follower status
    end=$(log_end)
    timeout 120 "$cairn" follow --type MigrationProgressed --from "$end" --limit 20 --url "$url" >/dev/null 2>&1 &
    follower=$!
    "$cairn" migrate "$2" --rows 1 --no-backup --url "$url" >out 2>err &
    victim=$!
    wait $follower
    kill -9 $victim 2>/dev/null
    { wait $victim; } 2>/dev/null
    status=$?
    if [ $status -eq 137 ]; then ok "$1"; else bad "$1" "it ended by itself, $status: $(head -c 300 err)"; fi
    last=$(progressed)
}
last=0
for round in 1 2 3; do
    before=$last
    kill_in_the_middle "killed in the middle, round $round" big.yaml
    if [ "$last" -ge $((before + 20)) ] && [ "$last" -lt 4000 ]; then ok "… and it had got further ($last rows)"; else bad "… and it had got further" "$last after $before"; fi
done
run 0 "run again it goes on" migrate big.yaml --url "$url"; says "… after what is in" "going on after $last rows" err
says "… source and events are the same" '^events +[0-9]+ +[0-9]+ +same'
same_as_table "… each row once" --url "$url"

# two at once: one of them, or each in turn, but no row twice
"$cairn" migrate big.yaml --batch twice --no-backup --url "$url" >one 2>one.err &
first=$!
"$cairn" migrate big.yaml --batch twice --no-backup --url "$url" >two 2>two.err
second_code=$?
wait $first
first_code=$?
if [ $first_code -eq 4 ] && [ $second_code -eq 4 ]; then ok "streams of another batch are refused"; else bad "streams of another batch are refused" "$first_code $second_code"; fi

# ---- rolled back, and run anew -----------------------------------------------------------------------------------
"$cairn" append order-9 --type Reviewed --data '{}' --url "$url" >/dev/null
run 4 "a rollback that would take more than the batch" migrate --rollback big --url "$url"
says "… lists the stream" '^  order-9$' err
same_as_table_less() { "$cairn" read --all --category order --json --url "$url" | grep -v '"Reviewed"' | python3 compare.py 2>py; }
if same_as_table_less; then ok "… and deletes nothing"; else bad "… and deletes nothing" "$(cat py)"; fi
run 0 "unless it is forced" migrate --rollback big --force --url "$url"; says "… all are deleted" '4000 streams deleted'
run 0 "nothing of it is left" read --all --tag migration:big --url "$url" --json; is "… no event" 'lines == []'
run 0 "rolled back twice" migrate --rollback big --url "$url"; says "… says so" 'already'
run 0 "a rerun after the rollback" migrate changed.yaml --url "$url" --no-backup --json; is "… is the second run" 'j["run"] == 2 and j["rows"] == 4000'
sed -i 's/"EUR"/"USD"/' compare.py
same_as_table "… with every row again" --url "$url"
# killed while rolling back: the next one ends it
end=$(log_end)
timeout 120 "$cairn" follow --type MigrationRollbackStarted --from "$end" --limit 1 --url "$url" >/dev/null 2>&1 &
follower=$!
"$cairn" migrate --rollback big --url "$url" >out 2>err &
victim=$!
wait $follower
kill -9 $victim 2>/dev/null
{ wait $victim; } 2>/dev/null
"$cairn" migrate --status big --url "$url" --json >out 2>err
if python3 -c 'import json; exit(json.load(open("out"))["phase"] != "rolling_back")'; then
    run 4 "no migration in a half rollback" migrate changed.yaml --url "$url"
fi
run 0 "a rollback goes on" migrate --rollback big --url "$url"
run 0 "nothing of it is left again" read --all --tag migration:big --url "$url" --json; is "… no event" 'lines == []'
run 0 "status after it" migrate --status big --url "$url" --json; is "… rolled back" 'j["phase"] == "rolled_back" and j["run"] == 2'
stop_server

# ---- a check that does not hold, rows that are bad ------------------------------------------------------------------
mapping() { # FILE, lines on stdin after the head
    { printf 'batch: %s\nsource: {sqlite: shop.db, table: orders, key: id}\n' "${1%.yaml}"; cat; } >"$1"
}
mapping lossy.yaml <<'Y'
events:
  - {type: A, stream: "a-{id}", when: {status: paid}, data: {total: total}}
checks:
  revenue: {source: sum(total), events: sum(total)}
Y
run 1 "a mapping that loses money" migrate lossy.yaml --no-backup --data lossy; says "… is found by its check" '^revenue +.* DIFFERENT'
run 0 "and can be taken back" migrate --rollback lossy --data lossy
mapping badtype.yaml <<'Y'
events:
  - {type: A, stream: "a-{id}", data: {when: {column: status, type: time}}}
Y
run 2 "a value that is not of its type" migrate badtype.yaml --data bad --no-backup
says "… names mapping, line, key, column and value" 'badtype.yaml:4: the row with id 3: column "status" is "paid": not a time' err
mapping dup.yaml <<'Y'
events:
  - {type: A, stream: "a-{id}", data: all}
Y
sed -i 's/key: id/key: customer/' dup.yaml
run 2 "a key that is not unique" migrate dup.yaml --dry-run; says "… is refused" 'dup.yaml:2: two rows have the customer 0' err
mapping existing.yaml <<'Y'
events:
  - {type: A, stream: "a-{id}", data: all}
Y
"$cairn" --data existing append a-600 --type Here --data 1 >/dev/null
run 4 "a stream that is there already" migrate existing.yaml --no-backup --data existing; says "… is named" 'stream a-600 is there already' err
run 0 "what was written before can be taken back" migrate --rollback existing --data existing
run 0 "… and the other's stream stays" read a-600 --data existing; says "… with its event" Here

# ---- wrong mappings: every fault, with its line -----------------------------------------------------------------------
cat >wrong.yaml <<'Y'
batch: "no good"
source: {sqlite: shop.db, tabel: orders, key: id}
events:
  - type: A
    stream: a-{id
    data: {x: {column: id, type: strnig}}
  - stream: a-{id}
    data: {y: id}
checks:
  c: {source: sum(total), events: average(total)}
Y
run 2 "a wrong mapping" migrate wrong.yaml --data bad
for line in ':1: error: "no good" is no name' ':2: error: a source has no "tabel"' ':5: error: a [{] without' ':6: error: no type "strnig"' ':7: error: an event needs a type' ':10: error: "average'; do
    says "… says $line" "^wrong.yaml$line" err
done
says "… with hints" 'hint: did you mean table' err
mapping columns.yaml <<'Y'
events:
  - {type: A, stream: "a-{idd}", data: {x: totl}}
Y
run 2 "columns that are not there" migrate columns.yaml --dry-run
if [ "$(grep -c 'the source has no column' err)" -eq 2 ]; then ok "… are all named"; else bad "… are all named" "$(cat err)"; fi
run 2 "the same as JSON" migrate columns.yaml --dry-run --json; cp err out; is "… lists them" 'len(j["problem"]["faults"]) == 2 and j["problem"]["faults"][0]["line"] == 4'
run 3 "no mapping" migrate nothing.yaml
sed 's/shop.db/nothing.db/' dup.yaml >nodb.yaml
run 3 "no database" migrate nodb.yaml --dry-run
mapping query.yaml <<'Y'
events:
  - {type: A, stream: "a-{id}", data: all}
Y
sed -i 's/table: orders/query: "SELECT id FROM nowhere"/' query.yaml
run 2 "a query that is wrong" migrate query.yaml --dry-run; says "… what the database says" 'no such table: nowhere' err
if [ ! -e bad ]; then ok "nothing was written by them"; else run 0 "nothing was written by them" read --all --data bad --json; is "… but that badtype has begun" '[e["type"] for e in lines] == ["MigrationStarted"]'; fi

# ---- CSV --------------------------------------------------------------------------------------------------------------
python3 - <<'PY'
import csv, sqlite3
with open("orders.csv", "w", newline="") as f:
    w = csv.writer(f, delimiter=";")
    w.writerow(["id", "customer", "total", "status", "placed_at", "paid_at", "gift"])
    for row in sqlite3.connect("shop.db").execute("SELECT * FROM orders ORDER BY id"):
        w.writerow(["" if v is None else v for v in row])
PY
sed 's/sqlite: shop.db/csv: orders.csv/; /table: orders/d; s/key: id/key: id\n  separator: ";"/; s/total: total$/total: {column: total, type: number}/' changed.yaml >csv.yaml
run 0 "CSV" migrate csv.yaml --data csv --no-backup --rows 7; says "… rows are counted by the file" '^rows +4000 +4000 +same'
same_as_table "… every row has its events" --data csv
start_server csv2
kill_in_the_middle "killed in the middle of CSV" csv.yaml
run 0 "killed and run again" migrate csv.yaml --url "$url"; says "… it goes on" "going on after $last rows" err
same_as_table "… each row once" --url "$url"
run 0 "rolled back" migrate --rollback big --url "$url"
kill_in_the_middle "killed in the middle of CSV" csv.yaml
sed -i 2d orders.csv
run 4 "a file that has changed meanwhile" migrate csv.yaml --url "$url"; says "… is noticed" 'has changed since' err
stop_server

# ---- PostgreSQL --------------------------------------------------------------------------------------------------------
start_postgres() {
    [ -x "$postgres_bin/initdb" ] || return 1
    [ "$(id -u)" != 0 ] || id postgres >/dev/null 2>&1 || return 1
    postgres=$(mktemp -d /tmp/cairn-pg-XXXXXX)
    if [ "$(id -u)" = 0 ]; then chown postgres "$postgres"; fi
    chmod 700 "$postgres"
    as_postgres "$postgres_bin/initdb" -D "$postgres/db" -U test --auth=trust --encoding=UTF8 --locale=C >pg.log 2>&1 || return 1
    as_postgres "$postgres_bin/pg_ctl" -D "$postgres/db" -w -l "$postgres/log" \
        -o "-c listen_addresses='' -c unix_socket_directories='$postgres' -c fsync=off" start >>pg.log 2>&1 || return 1
    postgres_url="host=$postgres dbname=postgres user=test"
    chmod 755 "$postgres"
}
stop_postgres() { as_postgres "$postgres_bin/pg_ctl" -D "$postgres/db" -m immediate stop >/dev/null 2>&1; rm -rf "$postgres"; postgres=; }
if start_postgres; then
    python3 - >load.sql <<'PY'
import sqlite3
print("CREATE TABLE orders(id bigint PRIMARY KEY, customer int, total numeric(12,2), status text, placed_at timestamptz, paid_at timestamptz, gift boolean, extra jsonb);")
for i, c, t, s, p, q, g in sqlite3.connect("shop.db").execute("SELECT * FROM orders"):
    print(f"INSERT INTO orders VALUES ({i},{c},{t},'{s}','{p}+00',{repr(q + '+00') if q else 'NULL'},{'true' if g else 'false'},'{{\"n\": {i}}}');")
PY
    "$postgres_bin/psql" -q -v ON_ERROR_STOP=1 "$postgres_url" -c 'BEGIN' -f load.sql -c 'COMMIT' >pg.log 2>&1 || bad "PostgreSQL is loaded" "$(tail -n 3 pg.log)"
    sed "s|sqlite: shop.db|postgresql: \"$postgres_url\"|" changed.yaml >pg.yaml
    run 0 "PostgreSQL" migrate pg.yaml --data pg --no-backup; says "… sums are the database's own" '^revenue +[0-9.]+ +[0-9.]+ +same'
    same_as_table "… every row has its events" --data pg
    sed "s|table: orders|query: \"SELECT o.*, upper(status) AS loud FROM orders o -- all of them\"|; s|order-{id}|order-{id}-{loud}|; s|currency: {value: USD}|extra: extra|" pg.yaml >pgq.yaml
    run 0 "a query of PostgreSQL" migrate pgq.yaml --dry-run --sample 1; says "… JSON stays JSON" '"extra":[{]"n":3[}]'
    start_server pg2
    kill_in_the_middle "killed in the middle of PostgreSQL" pg.yaml
    run 0 "killed and run again" migrate pg.yaml --url "$url"; says "… it goes on" "going on after $last rows" err
    same_as_table "… each row once" --url "$url"
    stop_server
    sed 's/table: orders/table: nowhere/' pg.yaml >pgnone.yaml
    run 2 "a table that is not there" migrate pgnone.yaml --dry-run; says "… what the database says" 'relation "nowhere" does not exist' err
    stop_postgres
else
    echo "skip migrate from PostgreSQL: no server can be started here (Debian: postgresql)"
    [ -n "$postgres" ] && rm -rf "$postgres"
    postgres=
fi
exit $failed
