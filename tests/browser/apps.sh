#!/bin/sh
# tests/browser/apps.mjs under a Node.js that is new enough.
cd "$(dirname "$0")/../.." || exit 2
node=$(scripts/node.sh 2>/dev/null) || { echo "skip apps: there is no Node.js 20 to be had"; exit 0; }
exec "$node" tests/browser/apps.mjs
