#!/bin/bash
# Goal: what `cairn new --typescript` writes compiles as it stands, and the app is then without fault.
# Method: write it, install and compile with npm, check it. Skipped by name where npm cannot install.
# Usage: starter_typescript.sh    CAIRN_BIN names the program (build/cairn).
cd "$(dirname "$0")/../.." || exit 2
export LC_ALL=C.UTF-8 NO_COLOR=1
cairn=$(readlink -f "${CAIRN_BIN:-build/cairn}")
[ -x "$cairn" ] || { echo "not ok starter_typescript: no program at $cairn"; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/cairn-starter-XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 2
unset CAIRN_URL
failed=0
check() { # NAME COMMAND…
    local name=$1
    shift
    if "$@" >out 2>&1; then echo "ok $name"; else echo "not ok $name: $(tail -n 8 out)"; failed=1; fi
}
check "a starter in TypeScript is written" "$cairn" new shop --typescript
if ! command -v npm >/dev/null || ! (cd shop && timeout 200 npm install --no-audit --no-fund >../out 2>&1); then
    echo "skip starter_typescript: npm cannot install typescript-to-lua here"
    exit $failed
fi
check "it compiles as it stands" npm --prefix shop run build
check "what came of it is Lua" test -s shop/order.lua
check "the app is without fault" sh -c '"$1" check shop | grep "^shop is fine: [0-9]* files$"' sh "$cairn"
exit $failed
