#!/bin/bash
# Goal: the clients that people have work with the schema registry as they are: @kafkajs/confluent-schema-registry and
# @confluentinc/schemaregistry, with Avro, JSON Schema and Protobuf, there and back; and the broker's check of values takes theirs.
# Method: npm_registry/registry.mjs against the door in a test program. Skipped by name where npm cannot install.
# Usage: registry_npm.sh    B names the folder of the build (build).
cd "$(dirname "$0")/../.." || exit 2
export LC_ALL=C.UTF-8 NO_COLOR=1
server=$(readlink -f "${B:-build}/tests/integration/registry_http")
[ -x "$server" ] || { echo "not ok registry_npm: no program at $server"; exit 1; }
skip() {
    echo "skip registry_npm: $1"
    exit 0
}
node=$(scripts/node.sh 2>/dev/null) || skip "no Node.js 20"
command -v npm >/dev/null || skip "no npm"
cd tests/integration/npm_registry || exit 2

# What is installed is what the lockfile says, or it is installed again.
stamp=node_modules/.cairn-lockfile
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! cmp -s package-lock.json "$stamp"; then
    if ! timeout 300 npm ci --loglevel=error --fetch-retries=1 --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=5000 >"$log" 2>&1; then
        grep -qE 'EUSAGE|EINTEGRITY|ERESOLVE|EJSONPARSE' "$log" && { echo "not ok registry_npm: $(tail -n 5 "$log")"; exit 1; }
        skip "npm cannot install the clients here"
    fi
    cp package-lock.json "$stamp"
fi
"$node" registry.mjs "$server"
