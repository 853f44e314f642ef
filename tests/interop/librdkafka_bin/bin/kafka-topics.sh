#!/bin/bash
# Kafka's script, for librdkafka's tests (they call it under $KAFKA_PATH), by `cairn topics`.
action='' topic='' partitions=1 args=()
while [ $# -gt 0 ]; do
    case $1 in
    --create|--alter|--delete|--describe) action=${1#--} ;;
    --topic) topic=$2; shift ;;
    --partitions) partitions=$2; shift ;;
    --config) args+=(--set "$2"); shift ;;
    --replication-factor|--bootstrap-server|--command-config|--zookeeper) shift ;;
    esac
    shift
done
case $action in
create) "$CAIRN_BIN" topics create "$topic" --partitions "$partitions" "${args[@]}" ;;
alter) "$CAIRN_BIN" topics grow "$topic" "$partitions" ;;
delete) "$CAIRN_BIN" topics delete "$topic" ;;
describe) "$CAIRN_BIN" topics show "$topic" ;;
*) exit 2 ;;
esac
