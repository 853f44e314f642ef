#!/bin/sh
# The installed library: it builds the examples by itself, and exports nothing but its own names.
#
# Goal: whoever embeds Cairn needs the installed files alone.
# Method: install into a temporary prefix; build examples/ there by pkg-config against the shared and the
# static library; run them and compare what they print; look at the symbols; compile the headers as C
# and as C++; uninstall and find nothing left. Usage: library.sh [make arguments, such as B=DIR]
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
temp=$(mktemp -d "${TMPDIR:-/tmp}/cairn-library-XXXXXX")
trap 'rm -rf "$temp"' EXIT
prefix=$temp/usr
failures=0

fail() {
    echo "FAIL: $*"
    failures=$((failures + 1))
}

# expect NAME FILE: the file holds what standard input says.
expect() {
    cat > "$temp/expected"
    if diff -u "$temp/expected" "$2"; then
        echo "ok: $1"
    else
        fail "$1"
    fi
}

make -s -C "$root" "$@" PREFIX="$prefix" install > "$temp/install.log" 2>&1 || {
    cat "$temp/install.log"
    exit 1
}
cp -r "$root/examples" "$temp/examples"
export PKG_CONFIG_PATH="$prefix/lib/pkgconfig"

run() { # LINK PROGRAM: what it prints, into out
    rm -rf "$temp/data"
    LD_LIBRARY_PATH=$prefix/lib "$temp/examples/$2" "$temp/data" > "$temp/out" 2>&1 || fail "$1 $2: exit code $?"
}

for link in shared static; do
    make -s -C "$temp/examples" clean
    make -s -C "$temp/examples" LINK=$link CFLAGS="-O2 -Wall -Wextra -Werror"
    if ldd "$temp/examples/append_read" | grep -q libcairn; then linked=shared; else linked=static; fi
    [ "$linked" = "$link" ] || fail "append_read is linked $linked, not $link"

    run $link append_read
    expect "$link append_read" "$temp/out" <<'END'
appended: positions 0 to 1, revision 1
0 OrderPlaced {"total":12.50}
1 OrderPaid {"by":"card"}
END
    # Once more in the same folder: the first run's events are there.
    LD_LIBRARY_PATH=$prefix/lib "$temp/examples/append_read" "$temp/data" > "$temp/out" 2>&1
    expect "$link append_read again" "$temp/out" <<'END'
the order is there already, at revision 1
0 OrderPlaced {"total":12.50}
1 OrderPaid {"by":"card"}
END
    run $link follow
    expect "$link follow" "$temp/out" <<'END'
sensor-0 {"reading":0}
sensor-1 {"reading":1}
sensor-2 {"reading":2}
sensor-0 {"reading":3}
sensor-1 {"reading":4}
sensor-2 {"reading":5}
sensor-0 {"reading":6}
sensor-1 {"reading":7}
sensor-2 {"reading":8}
sensor-0 {"reading":9}
a later run would go on from 10
END
    run $link conditions
    expect "$link conditions" "$temp/out" <<'END'
ann into physics: enrolled
bob into physics: enrolled
cid into physics: the course is full
ann into music: enrolled
ann into sport: the student has enough courses
bob into music: enrolled
on old knowledge: condition
END
    run $link async
    expect "$link async" "$temp/out" <<'END'
1000 appends durable, 0 failed
one commit carried more than one append: yes
END
    run $link app
    expect "$link app" "$temp/out" <<'END'
rooms, version 1
Reserve {"room": "blue", "seats": 4}: done
Reserve {"room": "blue", "seats": 7}: full: There are not that many seats left. {"left":6}
Reserve {"room": "red", "seats": 10}: done
Reserve {"room": "red"}: invalid: "seats" is missing
Release {"room": "blue", "seats": 9}: done
{"rows":[{"name":"blue","taken":0},{"name":"red","taken":10}],"next":null,"position":11}
state of room-red: {"taken":10}
END
    # Once more: the app and what it knows are there.
    LD_LIBRARY_PATH=$prefix/lib "$temp/examples/app" "$temp/data" > "$temp/out" 2>&1
    expect "$link app again" "$temp/out" <<'END'
rooms, version 1, as before
Reserve {"room": "blue", "seats": 4}: done
Reserve {"room": "blue", "seats": 7}: full: There are not that many seats left. {"left":6}
Reserve {"room": "red", "seats": 10}: full: There are not that many seats left. {"left":0}
Reserve {"room": "red"}: invalid: "seats" is missing
Release {"room": "blue", "seats": 9}: done
{"rows":[{"name":"blue","taken":0},{"name":"red","taken":10}],"next":null,"position":13}
state of room-red: {"taken":10}
END
    run $link groups
    expect "$link groups" "$temp/out" <<'END'
delivery 1: {"to":"ann"}
delivery 1: {"to":"nobody"}
delivery 1: {"to":"bob"}
parked after 1: {"to":"nobody"}: no such mailbox
replayed: 1
delivery 1: {"to":"nobody"}
END
done

# Every name that is exported is in a public header, and every function of a header is exported.
cat "$prefix"/include/cairn/*.h > "$temp/headers"
nm -D --defined-only "$prefix/lib/libcairn.so" | awk '$2 != "A" {print $3}' | sed 's/@.*//' | sort -u > "$temp/shared"
nm -g --defined-only "$prefix/lib/libcairn.a" | awk 'NF == 3 {print $3}' | sort -u > "$temp/static"
grep -o '^CAIRN_API' "$temp/headers" | wc -l > "$temp/declared"
for kind in shared static; do
    if grep -qv '^cairn_' "$temp/$kind"; then
        fail "$kind library exports other names: $(grep -v '^cairn_' "$temp/$kind" | head -5 | tr '\n' ' ')"
    fi
    while read -r name; do
        grep -qw "$name" "$temp/headers" || fail "$kind library exports $name, which no header declares"
    done < "$temp/$kind"
    [ "$(wc -l < "$temp/$kind")" -eq "$(cat "$temp/declared")" ] ||
        fail "$kind library exports $(wc -l < "$temp/$kind") functions; the headers declare $(cat "$temp/declared")"
done
echo "ok: exports $(wc -l < "$temp/shared") names, all of them public"

soname=$(objdump -p "$prefix/lib/libcairn.so" | awk '/SONAME/ {print $2}')
[ "$soname" = libcairn.so.0 ] || fail "soname is $soname"

# Each header stands alone, in C (old and new) and in C++.
for header in "$prefix"/include/cairn/*.h; do
    name=cairn/$(basename "$header")
    for how in "gcc -std=c99 -x c" "gcc -std=gnu17 -x c" "g++ -std=c++11 -x c++" "g++ -std=c++20 -x c++"; do
        echo "#include <$name>" | $how -Wall -Wextra -Werror -pedantic -Wno-unused-function -fsyntax-only \
            -I"$prefix/include" - || fail "$name with $how"
    done
done
echo "ok: headers in C and C++"

make -s -C "$root" "$@" PREFIX="$prefix" uninstall
left=$(find "$prefix" ! -type d)
[ -z "$left" ] || fail "uninstall leaves $left"

[ "$failures" -eq 0 ] || { echo "$failures failures"; exit 1; }
echo "PASSED"
