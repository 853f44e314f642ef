#!/bin/sh
# Bring a real Kafka (and its tools) by Maven into $B/kafka-peer and print the class path that runs it. Where there is no
# Java or no way to Maven Central: exit 1, and the reason on stderr. Nothing is fetched twice: who comes second waits.
set -eu
cd "$(dirname "$0")/.."
into=${B:-build}/kafka-peer
pom=tests/interop/kafka_peer/pom.xml
command -v java >/dev/null || { echo "there is no java" >&2; exit 1; }
mkdir -p "$into"
exec 9>"$into/lock"
flock 9
if ! cmp -s "$pom" "$into/installed"; then
    command -v mvn >/dev/null || { echo "there is no mvn to bring it with" >&2; exit 1; }
    if ! mvn -q -B -f "$pom" dependency:copy-dependencies -DoutputDirectory="$(cd "$into" && pwd)/lib" >"$into/mvn.log" 2>&1; then
        echo "Maven could not bring it: see $into/mvn.log" >&2
        exit 1
    fi
    cp "$pom" "$into/installed"
fi
find "$(cd "$into" && pwd)/lib" -name '*.jar' | LC_ALL=C sort | tr '\n' ':'
