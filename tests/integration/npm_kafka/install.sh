#!/bin/bash
# Install the clients of this folder as the lockfile says, and with `native` build @confluentinc/kafka-javascript's addon from the sources it
# carries (with librdkafka's), by node-gyp, with the headers that came with Node.js: it wants nothing but npm and Debian's libraries.
# What is there already stays. Says why it cannot, with exit status 3; with 1 where it should be able to.
cd "$(dirname "$0")" || exit 1
export LC_ALL=C.UTF-8 NO_COLOR=1
node=$(../../../scripts/node.sh 2>/dev/null) || { echo "no Node.js 20"; exit 3; }
command -v npm >/dev/null || { echo "no npm"; exit 3; }

stamp=node_modules/.cairn-lockfile log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! cmp -s package-lock.json "$stamp"; then
    if ! timeout 300 npm ci --loglevel=error --fetch-retries=1 --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=5000 >"$log" 2>&1; then
        grep -qE 'EUSAGE|EINTEGRITY|ERESOLVE|EJSONPARSE' "$log" && { tail -n 5 "$log"; exit 1; }
        echo "npm cannot install the clients here"
        exit 3
    fi
    cp package-lock.json "$stamp"
fi
[ "${1:-}" = native ] || exit 0

package=node_modules/@confluentinc/kafka-javascript
version=$("$node" -p process.version)
[ "$(cat "$package/.cairn-built" 2>/dev/null)" = "$version" ] && exit 0
headers=$(dirname "$(dirname "$(readlink -f "$node")")")
[ -e "$headers/include/node/node.h" ] || { echo "Node.js is here without its headers"; exit 3; }
for tool in python3 make g++; do
    command -v $tool >/dev/null || { echo "no $tool"; exit 3; }
done
# Dynamically linked: otherwise it would fetch sources of libraries that Debian has.
export CKJS_LINKING=dynamic PATH="$(dirname "$node"):$PATH"
gyp=$PWD/node_modules/node-gyp/bin/node-gyp.js
if ! (cd "$package" && rm -rf build && into=$PWD/build/deps && mkdir -p "$into" && (cd deps/librdkafka &&
        ./configure --prefix="$into" --libdir="$into" --disable-gssapi --disable-debug-symbols && make -j"$(nproc)" libs install-subdirs) &&
        "$node" "$gyp" rebuild --nodedir="$headers" --jobs "$(nproc)") >"$log" 2>&1; then
    cp "$log" node_modules/.cairn-build.log
    echo "the addon cannot be built: $(grep -iE 'error|not found' "$log" | tail -n 3 | tr '\n' ' ')(node_modules/.cairn-build.log)"
    exit 1
fi
rm -rf "$package/build/Release/obj.target" "$package"/build/deps/*.a "$package"/deps/librdkafka/src/*.o "$package"/deps/librdkafka/src/*.a
echo "$version" >"$package/.cairn-built"
