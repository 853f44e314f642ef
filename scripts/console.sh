#!/bin/bash
# Build the console into a folder: console.sh FOLDER. Where npm is out of reach the folder is left empty but for a file
# .missing, which makes the next `make build` try again, and a loud line says so; a console that does not compile is a failure.
set -eu
cd "$(dirname "$0")/.."
out=$PWD/$1
log=$out.log
rm -rf "$out"
mkdir -p "$out"

without() {
    echo "console: npm is out of reach, built without the console ($1; see ${log#"$PWD"/})" >&2
    touch "$out/.missing"
    exit 0
}
node=$(scripts/node.sh 2>"$log") || without "no Node.js 20"
command -v npm >/dev/null || without "no npm"

# What is installed is what the lockfile says, or it is installed again.
cd console
stamp=node_modules/.cairn-lockfile
if ! cmp -s package-lock.json "$stamp"; then
    if ! npm ci --loglevel=error --fetch-retries=1 --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=5000 --fetch-timeout=60000 >"$log" 2>&1; then
        # Out of reach is no fault of ours; a lockfile that does not fit is.
        if grep -qE 'EUSAGE|EINTEGRITY|ERESOLVE|EJSONPARSE' "$log"; then
            cat "$log" >&2
            exit 1
        fi
        without "npm ci failed"
    fi
    cp package-lock.json "$stamp"
fi
"$node" node_modules/typescript/bin/tsc --noEmit
"$node" node_modules/vite/bin/vite.js build --logLevel warn --outDir "$out" --emptyOutDir
