# A real Kafka of one node (KRaft), by the classes that scripts/kafka.sh brings. Sourced; kafka_have says in `kafka_why` why there is none.
# shellcheck shell=bash
kafka_have() {
    local into=${B:-build}
    mkdir -p "$into"
    kafka_classes=$(scripts/kafka.sh 2>"$into/kafka.why") && return 0
    # shellcheck disable=SC2034
    kafka_why=$(tail -n 1 "$into/kafka.why")
    return 1
}
kafka_java() { java -Xmx"${KAFKA_HEAP:-256m}" -Djava.awt.headless=true -cp "$kafka_classes" "$@"; }
# A folder in $1 for a Kafka that listens on $2 (and on $3 for itself).
kafka_format() {
    mkdir -p "$1"
    cat >"$1/properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$3
listeners=PLAINTEXT://127.0.0.1:$2,CONTROLLER://127.0.0.1:$3
advertised.listeners=PLAINTEXT://127.0.0.1:$2
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$1/log
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
END
    kafka_java kafka.tools.StorageTool format -t "bNLSj3N6QjKLBzdUIoRiVA" -c "$1/properties" >"$1/format.log" 2>&1
}
# Start it; sets kafka_pid. Returns when it answers.
kafka_start() {
    local _
    java -Xmx512m -Djava.awt.headless=true -cp "$kafka_classes" kafka.Kafka "$1/properties" >>"$1/out" 2>&1 & # not by a function: the process itself is what gets killed
    kafka_pid=$!
    for _ in $(seq 300); do
        kill -0 "$kafka_pid" 2>/dev/null || return 1
        timeout 3 kcat -b "127.0.0.1:$2" -L >/dev/null 2>&1 && return 0
        read -rt 0.2 <> <(:)
    done
    return 1
}
kafka_free_ports() {
    python3 -c '
import socket, sys
all = [socket.socket() for _ in range(int(sys.argv[1]))]
for s in all: s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in all))' "$1"
}
