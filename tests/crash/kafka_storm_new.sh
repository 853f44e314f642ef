#!/bin/bash
# Goal, method: those of kafka_storm.c, with cooperative members and the next protocol (KIP-848): they want a newer librdkafka than Debian's, which
# @confluentinc/kafka-javascript brings (tests/integration/npm_kafka). Skipped by name where it cannot be had.
# Usage: kafka_storm_new.sh    B names the folder of the build (build), CAIRN_BIN the program.
cd "$(dirname "$0")/../.." || exit 2
why=$(tests/integration/npm_kafka/install.sh native)
case $? in
0) ;;
3) echo "skip kafka_storm_new: $why"; exit 0 ;;
*) echo "not ok kafka_storm_new: $why"; exit 1 ;;
esac
export LD_LIBRARY_PATH=$PWD/tests/integration/npm_kafka/node_modules/@confluentinc/kafka-javascript/build/deps
exec "${B:-build}/tests/crash/kafka_storm" new
