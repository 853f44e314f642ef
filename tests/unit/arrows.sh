#!/bin/bash
# Goal: rooms use only those below them (ARCHITECTURE.md). Method: read every #include of src/, cli/ and examples/.
cd "$(dirname "$0")/../.." || exit 2
bad=0
wrong() { echo "not ok arrow: $1 includes $2: $3"; bad=1; }

# Lowest first. Protocol folders share a rank and do not use each other.
rank() {
    case $1 in
    base) echo 1 ;; batch) echo 2 ;; os) echo 3 ;; os/net) echo 4 ;; log) echo 5 ;; store) echo 6 ;;
    schema) echo 7 ;; topic) echo 8 ;; app/lua) echo 9 ;; app/sql) echo 10 ;; app) echo 11 ;; bus) echo 12 ;;
    proto/*) echo 13 ;; server) echo 14 ;; *) echo 0 ;;
    esac
}
while IFS=: read -r file line; do
    header=$(sed -n 's/^ *# *include *[<"]\([^">]*\)[">].*/\1/p' <<<"$line")
    room=${file#src/} room=${room%/*} target=${header%/*}
    [ "$target" = "$header" ] && continue # its own folder, or the C library
    [ "$target" = cairn ] && continue     # the public headers are everybody's
    to=$(rank "$target") from=$(rank "$room")
    [ "$to" -eq 0 ] && continue
    [ "$target" = "$room" ] && continue
    [ "$to" -lt "$from" ] || wrong "$file" "$header" "$target is not below $room"
done < <(grep -rn '^ *# *include' src --include='*.[ch]' | sed 's/^\([^:]*\):[0-9]*:/\1:/')

# libuv stays inside os/net; files, sockets and clocks inside os/.
for use in $(grep -rlE '#include <uv.h>' src cli | grep -v '^src/os/net/'); do wrong "$use" uv.h "libuv is os/net's"; done
calls='\b(open|openat|pread|pwrite|fsync|fdatasync|ftruncate|clock_gettime|gettimeofday|getrandom|socket|accept4?|connect|bind|listen|flock|stat|lstat|fstat|realpath|opendir|sysconf|nanosleep|usleep)\('
while IFS= read -r hit; do echo "not ok system call outside os/: $hit"; bad=1; done \
    < <(grep -rnE "(^|[^a-z_>.])$calls" src/base src/batch src/log src/store src/schema src/topic src/app src/bus src/proto src/server --include='*.c' | grep -vE '^\S+\s*(/?\*|//)' | grep -vE ':\s*(/\*|\*)')
[ "$bad" -eq 0 ] && echo "ok every arrow points down"
exit $bad
