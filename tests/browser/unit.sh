#!/bin/sh
# The console's pure functions: JSON, schema → form, addresses, times, differences.
cd "$(dirname "$0")/../.." || exit 2
node=$(scripts/node.sh 2>/dev/null) || { echo "skip console units: there is no Node.js 20 to be had"; exit 0; }
[ -d console/node_modules/esbuild ] || { echo "skip console units: npm is out of reach"; exit 0; }
CONSOLE_TEST_LINES=1 exec "$node" console/test/run.mjs
