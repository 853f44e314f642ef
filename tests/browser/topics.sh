#!/bin/sh
# tests/browser/topics.mjs under a Node.js that is new enough.
cd "$(dirname "$0")/../.." || exit 2
node=$(scripts/node.sh 2>/dev/null) || { echo "skip topics: there is no Node.js 20 to be had"; exit 0; }
exec "$node" tests/browser/topics.mjs
