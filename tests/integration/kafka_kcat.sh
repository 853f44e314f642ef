#!/bin/bash
# kcat (librdkafka) against `cairn serve --kafka`.
#
# Goal: what goes in comes out, byte for byte and in order: by every codec, idempotent, in a transaction, without
#       acknowledgement; groups share and go on where they stopped; events by HTTP are records, and records are events; logging in
#       by every mechanism, in the clear and over TLS; all of it is there after kill -9.
# Method: kcat as it comes, with its defaults; checksums of what was sent and what came.
# Usage: kafka_kcat.sh    CAIRN_BIN names the program (build/cairn).
cd "$(dirname "$0")/../.." || exit 2
root=$PWD
cairn=${CAIRN_BIN:-$root/build/cairn}
[ -x "$cairn" ] || { echo "not ok kcat: no program at $cairn"; exit 1; }
command -v kcat >/dev/null || { echo "not ok kcat: it is not installed"; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/cairn-kcat-XXXXXX")
cd "$work" || exit 2
server='' failed=0

ok() { echo "ok $1"; }
bad() { echo "not ok $1${2:+: $2}"; failed=1; }
# same NAME ACTUAL EXPECTED
same() { if [ "$2" = "$3" ]; then ok "$1"; else bad "$1" "$2, not $3"; fi; }
start() { # ARGUMENTS…
    : >serve.out # not what the server before said
    : >serve.out # what the one before said is not what this one says
    "$cairn" serve --data "$work/data" --listen 127.0.0.1:0 --kafka 127.0.0.1:0 "$@" >serve.out 2>serve.err &
    server=$!
    until grep -q "for Kafka's clients on" serve.out; do
        kill -0 "$server" 2>/dev/null || { bad "the server starts" "$(tail -n 5 serve.err)"; exit 1; }
        read -rt 0.05 <> <(:)
    done
    broker=$(sed -n "s/.*for Kafka's clients on \([0-9.:]*\).*/\1/p" serve.out)
    url=$(sed -n 's/.*listening on \(http[^ ,]*\).*/\1/p' serve.out)
}
stop() {
    [ -n "$server" ] || return
    kill -TERM "$server" 2>/dev/null
    if wait "$server"; then ok "the server stops cleanly"; else bad "the server stops cleanly" "$(grep -v level=info serve.err | head -n 40)"; fi
    server=
}
clean() {
    [ -n "$server" ] && kill -9 "$server" 2>/dev/null
    cd /
    rm -rf "$work"
}
trap clean EXIT
k() { timeout 60 kcat -b "$broker" "$@" 2>>kcat.err; }
log_has() { if grep -q "$2" serve.err; then ok "$1"; else bad "$1" "$(tail -n 3 serve.err)"; fi; }
read_all() { k -C -e -q -o beginning -t "$@"; }

start

# ---- records
seq 1 20000 | sed 's/.*/key&:a value that has the number &/' >sent
for codec in none gzip snappy lz4 zstd; do
    k -P -t "by-$codec" -K: -z "$codec" <sent
    same "produced with $codec comes back" "$(read_all "by-$codec" -K: | md5sum)" "$(md5sum <sent)"
done
k -P -t strict -K: -X enable.idempotence=true <sent
same "an idempotent producer's records come back" "$(read_all strict -K: | md5sum)" "$(md5sum <sent)"
head -n 100 sent | k -P -t loose -K: -X acks=0
got=0
for _ in $(seq 100); do
    got=$(read_all loose | wc -l)
    [ "$got" -eq 100 ] && break
    read -rt 0.05 <> <(:)
done
same "records without acknowledgement come, too" "$got" 100
head -n 1000 sent | k -P -t whole -K: -X transactional.id=all
same "a transaction's records come back" "$(read_all whole -K: -X isolation.level=read_committed | md5sum)" "$(head -n 1000 sent | md5sum)"
same "from the end" "$(k -C -e -q -t strict -o -2 -f '%o %k\n' | tr '\n' ' ')" "19998 key19999 19999 key20000 "
same "by time" "$(k -Q -t strict:0:1 | tr -d '\n')" "strict [0] offset 0"
printf 'gone:' | k -P -t nulls -K: -Z
same "a value that is null stays null" "$(read_all nulls -f '%k %S\n')" "gone -1"
"$cairn" topics create tidy --set cleanup.policy=compact --url "$url" >/dev/null || bad "a topic is made"
echo "no key" | k -P -t tidy
log_has "why a record is refused is in the log" "partition 0 of tidy are refused: A topic that is compacted takes no record without"

# ---- groups
same "a group reads all" "$(k -G readers -e -q -X auto.offset.reset=earliest strict | wc -l)" 20000
same "and goes on where it stopped" "$(k -G readers -e -q -X auto.offset.reset=earliest strict | wc -l)" 0
tail -n 5 sent | k -P -t strict -K:
same "with what has come since" "$(k -G readers -e -q strict | wc -l)" 5

# ---- one log, two faces
curl -sf -H 'content-type: application/json' -d '{"type":"Placed","data":{"total":7}}' "$url/v1/streams/by~none-42/events" >/dev/null ||
    bad "an event is appended by HTTP"
same "an event is a record" "$(k -C -e -q -t by-none -o -1 -f '%k %s\n')" '42 {"total":7}'
same "with its type" "$(k -C -e -q -t by-none -o -1 -f '%h\n' | tr ',' '\n' | grep -c '^ce_type=Placed$')" 1
echo '7:{"n":7}' | k -P -t orders-in -K: -H ce_type=Counted
same "a record is an event" "$(curl -sf "$url/v1/streams/orders~in-7/events" | grep -o '"type":"Counted"\|{"n":7}' | tr '\n' ' ')" '"type":"Counted" {"n":7} '

# ---- after a crash
kill -9 "$server"
wait "$server" 2>/dev/null
start
same "all is there after kill -9" "$(for t in by-gzip by-zstd whole; do read_all $t -K:; done | md5sum)" "$({ cat sent sent; head -n 1000 sent; } | md5sum)"
same "also what groups have read" "$(k -G readers -e -q -X auto.offset.reset=earliest strict | wc -l)" 0
stop

# ---- who may come
printf 'ann:secret\n' >users
openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 2>/dev/null
for tls in '' yes; do
    # shellcheck disable=SC2086
    start --kafka-sasl PLAIN,SCRAM-SHA-256,SCRAM-SHA-512 --kafka-users users ${tls:+--kafka-tls-cert cert.pem --kafka-tls-key key.pem}
    protocol=SASL_PLAINTEXT
    [ -n "$tls" ] && protocol=SASL_SSL
    for mechanism in PLAIN SCRAM-SHA-256 SCRAM-SHA-512; do
        as() { k -X security.protocol=$protocol -X ssl.ca.location=cert.pem -X sasl.mechanisms=$mechanism -X sasl.username=ann "$@"; }
        same "$protocol $mechanism" "$(as -C -e -q -o -1 -t whole -f '%k\n' -X sasl.password=secret)" key1000
        as -L -m 2 -X sasl.password=wrong >/dev/null && bad "$protocol $mechanism refuses a wrong password"
    done
    timeout 10 kcat -b "$broker" -L -m 2 >/dev/null 2>&1 && bad "$protocol: nobody comes in without"
    log_has "$protocol: the log tells whose login was refused" "a login by SCRAM-SHA-256 as ann is refused"
    [ -z "$tls" ] || log_has "$protocol: the log tells of somebody who speaks no TLS" "TLS: wrong version number"
    [ "$(curl -s "$url/metrics" | sed -n 's/^cairn_kafka_denied_total //p')" -ge 3 ] && ok "$protocol: they are counted" ||
        bad "$protocol: they are counted" "$(curl -s "$url/metrics" | grep denied)"
    stop
done
[ $failed -eq 0 ] || tail -n 20 kcat.err | sed 's/^/# /'
exit $failed
