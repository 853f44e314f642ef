#!/bin/bash
# How the console's files are served.
#
# Goal: a browser gets them compressed, cached for good where their names say what they hold, and asks again where not;
# a program that asks for / gets JSON as ever; what is under /console/ can load nothing from elsewhere.
# Method: curl against a real server; every file in the program is fetched and compared with the one that was built.
# Usage: console.sh    CAIRN_BIN names the program (build/cairn).
cd "$(dirname "$0")/../.." || exit 2
export LC_ALL=C.UTF-8
cairn=${CAIRN_BIN:-$PWD/build/cairn}
dist=$PWD/build/console/dist
[ -x "$cairn" ] || { echo "not ok console: no program at $cairn"; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/cairn-console-XXXXXX")
failed=0
check() { # NAME COMMAND…
    local name=$1
    shift
    if "$@" >"$work/why" 2>&1; then echo "ok $name"; else echo "not ok $name: $(head -c 300 "$work/why" "$work/head" 2>/dev/null | tr '\r\n' '  ')"; failed=1; fi
}
"$cairn" serve --data "$work/data" --listen 127.0.0.1:0 >"$work/serve" 2>&1 </dev/null &
server=$!
trap 'kill -TERM $server 2>/dev/null; wait $server; rm -rf "$work"' EXIT
until grep -q 'msg=listening' "$work/serve"; do
    kill -0 $server 2>/dev/null || { echo "not ok console: the server ended: $(cat "$work/serve")"; exit 1; }
    read -rt 0.05 <> <(:) || true
done
url=$(sed -n 's/.*msg=listening url=\([^ ]*\).*/\1/p' "$work/serve")

# get PATH [CURL ARGUMENTS…]: the answer's head and body go to the files head and body.
get() { local path=$1; shift; rm -f "$work/body"; : >"$work/body"; curl -s --max-time 20 -o "$work/body" -D "$work/head" "$@" "$url$path"; }
status() { head -n 1 "$work/head" | grep -q " $1"; }
says() { tr -d '\r' <"$work/head" | grep -qiE "^$1"; }
says_not() { ! says "$1"; }
value() { tr -d '\r' <"$work/head" | sed -n "s/^$1: //p"; }

get / -H 'accept: text/html,application/xhtml+xml,*/*;q=0.8'
check "a browser at / is led to the console" status 302
check "… to /console/" says 'location: /console/$'
get / -H 'accept: */*'
check "a program at / gets JSON" says 'content-type: application/json'
get /console
check "/console is led to /console/" says 'location: /console/$'
get /console/ -X POST
check "nothing can be posted there" status 404

if [ -e "$dist/.missing" ]; then
    get /console/streams
    check "without npm: a page says that there is no console" grep -q 'built without the console' "$work/body"
    check "without npm: as a page" says 'content-type: text/html'
    echo "skip console: npm was out of reach"
    exit $failed
fi

get /console/
check "the page" cmp "$work/body" "$dist/index.html"
check "the page is asked for again" says 'cache-control: no-cache$'
check "the page may load from here only" says "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self';"
check "… and be framed by nobody" says "content-security-policy: .*frame-ancestors 'none'"
check "… and is what it says it is" says 'x-content-type-options: nosniff$'
check "no script or style stands in the page itself" bash -c "! grep -E '<script[^>]*>[^<]|<style|style=' '$work/body'"
check "the page names no other host" bash -c "! grep -qE '(src|href)=\"?(https?:)?//' '$work/body'"
etag=$(value etag)
get /console/ -H "if-none-match: \"other\", W/$etag"
check "who has it gets 304" status 304
check "… without a body" test ! -s "$work/body"
check "… and its tag" says "etag: $etag$"
get /console/ -H 'if-none-match: "other"'
check "who has another gets it" status 200
get /console/streams/order-1%2F2?as_of=7
check "every address of the console gets the page" cmp "$work/body" "$dist/index.html"
get /console/ -I
check "HEAD has the length" says "content-length: $(stat -c %s "$dist/index.html")$"

total=0
while IFS= read -r file; do
    get "/console/$file"
    check "$file" cmp "$work/body" "$dist/$file"
    plain=$(value etag)
    get "/console/$file" -H 'accept-encoding: br, gzip;q=0.7'
    total=$((total + $(stat -c %s "$work/body")))
    if says 'content-encoding: gzip$'; then
        check "$file, compressed, is the same" bash -c "gzip -dc '$work/body' | cmp - '$dist/$file'"
        check "$file, compressed, has a tag of its own" test "$(value etag)" != "$plain"
        check "$file: caches are told that it depends" says 'vary: accept-encoding$'
        get "/console/$file" --http2-prior-knowledge --compressed
        check "$file over HTTP/2" cmp "$work/body" "$dist/$file"
    fi
    get "/console/$file" -H 'accept-encoding: gzip;q=0, identity'
    check "$file, not compressed where that is refused" says_not content-encoding
    case $file in
    assets/*) check "$file is kept for good" says 'cache-control: .*max-age=31536000, immutable$' ;;
    *) check "$file is asked for again" says 'cache-control: no-cache$' ;;
    esac
    case $file in
    *.js) check "$file is a script" says 'content-type: text/javascript' ;;
    *.css) check "$file is a style" says 'content-type: text/css' ;;
    esac
done < <(cd "$dist" && find . -type f ! -name '.*' | sed 's|^\./||' | sort)
check "all of it is under 100 KB on the wire: $total" test "$total" -lt 102400

get /console/assets/none.js
check "an asset that is not there is not the page" status 404
for path in /console/../v1/stats /console/%2e%2e/v1/stats /console//etc/passwd; do
    get "$path" --path-as-is
    check "$path gives nothing away" bash -c "cmp -s '$work/body' '$dist/index.html' || grep -q 'urn:cairn:problem' '$work/body'"
done
get /console/ -H 'origin: http://elsewhere.example'
check "another site is not told that it may read" says_not access-control
exit $failed
