#!/bin/bash
# The Java client and Kafka's own console tools against Cairn.
#
# Goal: the tools that people have in their fingers and scripts work as they are, and say what is so; the Java client does what it
# promises (Tour.java: records with headers and times, read-process-write in transactions, fencing, groups of both protocols, admin).
# Method: the classes come by Maven (scripts/kafka.sh); each tool's output is read, not its exit code alone, and what one wrote another reads.
# Usage: kafka_java.sh    CAIRN_BIN names the program (build/cairn).
cd "$(dirname "$0")/../.." || exit 2
root=$PWD
export LC_ALL=C.UTF-8
. tests/interop/kafka_rig.sh
kafka_have || { echo "skip the Java client and Kafka's console tools: $kafka_why"; exit 0; }
command -v javac >/dev/null || { echo "skip the Java client and Kafka's console tools: there is no javac"; exit 0; }
cairn=${CAIRN_BIN:-$root/build/cairn}
[ -x "$cairn" ] || { echo "not ok kafka_java: no program at $cairn"; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/cairn-java-XXXXXX")
cd "$work" || exit 2
unset CAIRN_URL CAIRN_CACERT
server='' consumer='' failed=0
ok() { echo "ok $1"; }
bad() { echo "not ok $1${2:+: $2}"; failed=1; }
pause() { read -rt "$1" <> <(:); }
trap 'for each in $consumer $server; do kill "$each" 2>/dev/null; done; wait 2>/dev/null; cd /; rm -rf "$work"' EXIT
start_server() {
    : >serve.out
    : >serve.out
    "$cairn" serve --data store --listen 127.0.0.1:0 --kafka "${broker:-127.0.0.1:0}" --kafka-partitions 3 >serve.out 2>>serve.err &
    server=$!
    until grep -q '^Cairn .* is listening on' serve.out; do
        kill -0 "$server" 2>/dev/null || { bad "the server starts" "$(tail -n 3 serve.err)"; server=; exit 1; }
        pause 0.05
    done
    broker=$(sed -n "s/.*for Kafka's clients on \([^ ,]*\).*/\1/p" serve.out)
}
# A tool of org.apache.kafka.tools with --bootstrap-server; what it says is in out.
tool() {
    local class=$1
    shift
    local server=(--bootstrap-server "$broker")
    case $class in kafka.*) ;; ProducerPerformance) server=() class=org.apache.kafka.tools.$class ;; *) class=org.apache.kafka.tools.$class ;; esac
    timeout -k 5 60 java -Xmx256m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$kafka_classes" "$class" "${server[@]}" "$@" >out 2>&1
}
run() { # NAME CLASS ARGUMENTS…
    local name=$1 code
    shift
    tool "$@" </dev/null
    code=$?
    if [ $code -eq 0 ]; then ok "$name"; else bad "$name" "exit $code: $(head -c 300 out | tr '\n' ' ')"; fi
}
says() { if grep -qE -- "$2" "${3:-out}"; then ok "$1"; else bad "$1" "no line like $2 in: $(head -c 500 "${3:-out}" | tr '\n' ' ')"; fi; }
lines() { if [ "$(wc -l <"${3:-out}")" -eq "$2" ]; then ok "$1"; else bad "$1" "$(wc -l <"${3:-out}") lines instead of $2: $(head -c 300 "${3:-out}" | tr '\n' ' ')"; fi; }
start_server

# ---- topics and their settings ----------------------------------------------------------------------------------------
run "kafka-topics --create" TopicCommand --create --topic tools --partitions 3 --replication-factor 3 --config retention.ms=86400000
run "kafka-topics --describe" TopicCommand --describe --topic tools
says "… its partitions" 'PartitionCount: 3' && says "… its settings" 'Configs: .*retention.ms=86400000' && says "… a leader each" 'Partition: 2.*Leader: 1.*Isr: 1'
run "kafka-topics --alter" TopicCommand --alter --topic tools --partitions 5
run "kafka-topics --list" TopicCommand --list; says "… names it" '^tools$'
tool TopicCommand --create --topic tools </dev/null; says "… not twice" 'There is a topic .tools. already'
run "kafka-configs --alter" kafka.admin.ConfigCommand --alter --entity-type topics --entity-name tools --add-config max.message.bytes=2000000,cleanup.policy=compact --delete-config retention.ms
run "kafka-configs --describe" kafka.admin.ConfigCommand --describe --entity-type topics --entity-name tools
says "… one was set" 'max.message.bytes=2000000' && says "… another too" 'cleanup.policy=compact'
if grep -q retention.ms=86400000 out; then bad "… one was taken back" "$(cat out)"; else ok "… one was taken back"; fi
run "kafka-configs of the broker" kafka.admin.ConfigCommand --describe --entity-type brokers --entity-name 1 --all
says "… says some" 'num.partitions=3|auto.create.topics.enable'
run "kafka-configs of a user" kafka.admin.ConfigCommand --alter --entity-type users --entity-name anna --add-config 'SCRAM-SHA-512=[password=secret]'
run "kafka-configs of users" kafka.admin.ConfigCommand --describe --entity-type users; says "… names her" "anna.*SCRAM-SHA-512=iterations=4096"
run "kafka-broker-api-versions" BrokerApiVersionsCommand; says "… Produce" 'Produce\(0\): 0 to 11'

# ---- records ---------------------------------------------------------------------------------------------------------------
seq 1 300 | sed 's/.*/key-&:value &/' >in
tool ConsoleProducer --topic lines --property parse.key=true --property key.separator=: --compression-codec zstd <in && ok "kafka-console-producer" || bad "kafka-console-producer" "$(head -c 300 out)"
run "kafka-console-consumer" consumer.ConsoleConsumer --topic lines --from-beginning --max-messages 300 --property print.key=true --property key.separator=:
grep ':value' out | sort >got; sort in | cmp -s - got && ok "… reads what was written" || bad "… reads what was written" "$(diff <(sort in) got | head -n 3)"
"$cairn" --url "$(sed -n 's/.* is listening on \(http[^ ,]*\).*/\1/p' serve.out)" read lines-key-17 >got 2>&1; says "… which is an event of its key's stream" 'value 17' got
run "kafka-get-offsets" GetOffsetShell --topic lines --time latest
[ "$(awk -F: '{sum += $3} END {print sum}' out)" = 300 ] && ok "… counts them" || bad "… counts them" "$(cat out)"
run "kafka-get-offsets by time" GetOffsetShell --topic lines --time 1000
[ "$(awk -F: '{sum += $3} END {print sum}' out)" = 0 ] && ok "… from the beginning" || bad "… from the beginning" "$(cat out)"
echo '{"partitions": [{"topic": "lines", "partition": 0, "offset": 5}], "version": 1}' >delete.json
run "kafka-delete-records" DeleteRecordsCommand --offset-json-file delete.json; says "… up to there" 'low_watermark: 5'
run "kafka-get-offsets of the earliest" GetOffsetShell --topic-partitions lines:0 --time earliest; says "… is that" '^lines:0:5$'

# ---- groups ----------------------------------------------------------------------------------------------------------------
run "a group of the console's" consumer.ConsoleConsumer --topic lines --group readers --consumer-property auto.offset.reset=earliest --max-messages 295 --timeout-ms 30000
says "… reads what is left" 'Processed a total of 295 messages'
run "kafka-consumer-groups --list" consumer.group.ConsumerGroupCommand --list; says "… names it" '^readers$'
run "kafka-consumer-groups --describe" consumer.group.ConsumerGroupCommand --describe --group readers
[ "$(awk '$1 == "readers" {lag += $6; n++} END {print n "/" lag}' out)" = 3/0 ] && ok "… has no lag" || bad "… has no lag" "$(cat out)"
run "kafka-consumer-groups --reset-offsets" consumer.group.ConsumerGroupCommand --reset-offsets --to-earliest --group readers --topic lines --execute
run "… says where" consumer.group.ConsumerGroupCommand --describe --group readers --offsets
[ "$(awk '$1 == "readers" {lag += $6} END {print lag}' out)" = 295 ] && ok "… and there it is" || bad "… and there it is" "$(cat out)"
run "… shifted" consumer.group.ConsumerGroupCommand --reset-offsets --shift-by 2 --group readers --topic lines:0 --execute; says "… by two" 'lines +0 +7'
timeout -k 5 60 java -Xmx256m -cp "$kafka_classes" org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server "$broker" --topic lines --group newer --consumer-property group.protocol=consumer \
    --consumer-property auto.offset.reset=earliest >newer.out 2>&1 &
consumer=$!
for _ in $(seq 100); do [ "$(wc -l <newer.out)" -ge 295 ] && break; pause 0.2; done
lines "a group of the new protocol reads them" 295 newer.out
run "… described" consumer.group.ConsumerGroupCommand --describe --group newer --members --verbose; says "… its member has all three" 'newer .* 3 .*lines'
run "… its state" consumer.group.ConsumerGroupCommand --describe --group newer --state; says "… is stable" 'newer .*uniform.*Stable'
run "kafka-groups" GroupsCommand --list; says "… knows both kinds" 'newer +Consumer +consumer' && says "… and the classic" 'readers +Classic'
kill "$consumer"; wait "$consumer" 2>/dev/null; consumer=
run "kafka-consumer-groups --delete-offsets" consumer.group.ConsumerGroupCommand --delete-offsets --group readers --topic lines:1
run "kafka-consumer-groups --delete" consumer.group.ConsumerGroupCommand --delete --group readers; says "… is gone" 'successful'

# ---- access rules, transactions -----------------------------------------------------------------------------------------------
run "kafka-acls --add" AclCommand --add --allow-principal User:anna --operation Read --operation Describe --topic lines --group readers
run "kafka-acls --list" AclCommand --list --topic lines; says "… names them" 'principal=User:anna.*operation=READ'
run "kafka-acls --remove" AclCommand --remove --force --allow-principal User:anna --operation Read --topic lines
run "… listed" AclCommand --list --topic lines; if grep -q 'operation=READ' out; then bad "… gone" "$(cat out)"; else ok "… gone"; fi

for codec in none gzip snappy lz4 zstd; do
    run "kafka-producer-perf-test, transactions, $codec" ProducerPerformance --topic "perf-$codec" --num-records 3000 --record-size 300 --throughput -1 --transactional-id "perf-$codec" \
        --transaction-duration-ms 100 --producer-props "bootstrap.servers=$broker" "compression.type=$codec"
    says "… sent them" '3000 records sent'
    run "… counted" GetOffsetShell --topic "perf-$codec"; [ "$(awk -F: '{sum += $3} END {print sum}' out)" = 3000 ] && ok "… all are there" || bad "… all are there" "$(cat out)"
    run "kafka-consumer-perf-test, $codec" ConsumerPerformance --topic "perf-$codec" --messages 3000 --timeout 20000; says "… read them" ', 3000, '
done
run "kafka-transactions list" TransactionsCommand list; says "… knows the producer" 'perf-zstd'
run "kafka-transactions describe" TransactionsCommand describe --transactional-id perf-zstd; says "… and its state" 'perf-zstd.*(CompleteCommit|Empty)'
run "kafka-transactions describe-producers" TransactionsCommand describe-producers --topic perf-zstd --partition 0; says "… of a partition" '^ProducerId|^[0-9]+'

# ---- the verifiable ones, with the server killed between them -------------------------------------------------------------------
run "kafka-verifiable-producer" VerifiableProducer --topic verify --max-messages 500 --acks -1
[ "$(grep -c producer_send_success out)" = 500 ] && ok "… 500 acknowledged" || bad "… 500 acknowledged" "$(tail -n 2 out)"
kill -9 "$server"; wait "$server" 2>/dev/null
start_server
run "kafka-verifiable-consumer, after kill -9" VerifiableConsumer --topic verify --group-id verify --max-messages 500 --reset-policy earliest
[ "$(python3 -c 'import json, sys; print(sum(json.loads(l).get("count", 0) for l in open("out") if l.startswith("{") and json.loads(l)["name"] == "records_consumed"))')" -eq 500 ] && ok "… has 500" || bad "… has 500" "$(tail -n 2 out)"
run "kafka-topics --delete" TopicCommand --delete --topic verify
run "… listed" TopicCommand --list; if grep -q '^verify$' out; then bad "… gone" ; else ok "… gone"; fi

# ---- the client itself -----------------------------------------------------------------------------------------------------------
mkdir classes
if javac -cp "$kafka_classes" -d classes "$root/tests/interop/kafka_peer/Tour.java" >out 2>&1; then
    timeout -k 5 300 java -Xmx256m -cp "classes:$kafka_classes" Tour "$broker" >tour 2>&1 || failed=1
    cat tour
    grep -q '^ok java: offsets by the admin client' tour || bad "the tour is at its end"
else
    bad "Tour.java is compiled" "$(head -n 3 out)"
fi
kill "$server"; if wait "$server"; then ok "the server stops cleanly"; else bad "the server stops cleanly" "$(tail -n 5 serve.err)"; fi
server=
exit $failed
