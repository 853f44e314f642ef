#!/usr/bin/env bash
# make bench: install what is missing, start the peers' real servers in a folder of our own, measure, take
# everything away again. The results stay in build/bench/results.json.
#
# Options go to the bench program (bench --help lists them). From the environment:
#   B          where the build is (build)
#   BENCH_DIR  a folder on the disk to measure (the build's own); all contenders get a place in it
#   UMADB      "no": leave UmaDB out; "yes": compile it for a quick run too
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
B=${B:-build}
cd "$root"
out=$(mkdir -p "$B/bench" && cd "$B/bench" && pwd)
postgres_bin=/usr/lib/postgresql/15/bin
work= sockets= pids=()

say() { printf 'bench: %s\n' "$*" >&2; }

quick=no
for argument in "$@"; do
    case $argument in
    --quick) quick=yes ;;
    --help) exec "$out/bench" --help ;;
    esac
done

# ---- what we need ------------------------------------------------------------------------------------

missing() {
    [ -x $postgres_bin/initdb ] || echo postgresql-15
    command -v redis-server >/dev/null || echo redis-server
    command -v wrk >/dev/null || echo wrk
    pkg-config --exists libpq || echo libpq-dev
    pkg-config --exists hiredis || echo libhiredis-dev
    pkg-config --exists sqlite3 || echo libsqlite3-dev
}

install_missing() {
    local packages
    packages=$(missing)
    [ -z "$packages" ] && return
    if [ "$(id -u)" != 0 ]; then
        say "please install, then run again: apt-get install" $packages
        exit 1
    fi
    say "installing" $packages
    apt-get update -q >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $packages >&2
}

build() {
    make -s "$B/bench/bench" >&2
    if make -n "$B/cairn" >/dev/null 2>&1; then
        make -s "$B/cairn" >&2
    fi
}

# UmaDB is a Rust crate, the only peer that Debian does not have.
build_umadb() {
    local program=$out/umadb/release/peer_umadb
    umadb=
    if [ "${UMADB:-}" = no ]; then
        umadb_why="as asked (UMADB=no)"
    elif [ $quick = yes ] && [ "${UMADB:-}" != yes ] && [ ! -x "$program" ]; then
        umadb_why="for compiling it takes minutes: UMADB=yes makes a quick run do it"
    elif ! command -v cargo >/dev/null; then
        umadb_why="for there is no cargo to compile it with"
    else
        if ! command -v protoc >/dev/null && [ "$(id -u)" = 0 ]; then
            apt-get install -y -q protobuf-compiler >&2 || true
        fi
        say "compiling UmaDB from crates.io (log: $out/umadb.log)"
        if CARGO_TARGET_DIR=$out/umadb cargo build --release --locked --manifest-path bench/peer_umadb/Cargo.toml \
            >"$out/umadb.log" 2>&1; then
            umadb=$program
        else
            umadb_why="for it did not compile here: $(grep -m1 '^error' "$out/umadb.log" || echo "see $out/umadb.log")"
        fi
    fi
    if [ -z "$umadb" ]; then
        say "UmaDB is LEFT OUT, $umadb_why"
        export BENCH_UMADB_WHY=$umadb_why
    fi
}

# ---- where ---------------------------------------------------------------------------------------------

as_postgres() {
    if [ "$(id -u)" = 0 ]; then
        runuser -u postgres -- "$@"
    else
        "$@"
    fi
}

# PostgreSQL does not run as root, so its user must be able to walk to the folder. Everybody moves with it.
choose_folder() {
    local parent=${BENCH_DIR:-$out}
    if ! as_postgres test -x "$parent"; then
        say "PostgreSQL's user cannot enter $parent; measuring in /var/tmp instead"
        parent=/var/tmp
    fi
    work=$(mktemp -d "$parent/cairn-bench-XXXXXX")
    sockets=$(mktemp -d /tmp/cairn-bench-XXXXXX) # the names of sockets have to be short; nothing is stored here
    chmod 755 "$work" "$sockets"
    local free
    free=$(df --output=avail -B1000000000 "$work" | tail -1)
    if [ $quick = no ] && [ "$free" -lt 25 ]; then
        say "only ${free} GB free at $work; the full benchmark wants 25"
        exit 1
    fi
}

cleanup() {
    local status=$?
    trap - EXIT INT TERM
    if [ -n "$work" ] && [ -f "$work/postgres/postmaster.pid" ]; then
        as_postgres $postgres_bin/pg_ctl -D "$work/postgres" -m immediate stop >/dev/null 2>&1 || true
    fi
    for pid in "${pids[@]}"; do
        kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true
    done
    [ -n "$work" ] && rm -rf "$work" "$sockets"
    exit $status
}

# ---- the peers' servers -----------------------------------------------------------------------------------

start_postgres() {
    mkdir "$work/postgres"
    mkdir "$sockets/postgres"
    if [ "$(id -u)" = 0 ]; then
        chown postgres "$work/postgres" "$sockets/postgres"
    fi
    as_postgres $postgres_bin/initdb -D "$work/postgres" -U bench --auth=trust --encoding=UTF8 --locale=C \
        >"$out/postgres.log" 2>&1
    as_postgres tee -a "$work/postgres/postgresql.conf" >/dev/null <<-CONF
	listen_addresses = ''
	unix_socket_directories = '$sockets/postgres'
	max_connections = 200
	shared_buffers = 1GB
	min_wal_size = 2GB
	max_wal_size = 16GB
	checkpoint_timeout = 30min
	fsync = on
	synchronous_commit = on
	full_page_writes = on
	CONF
    as_postgres $postgres_bin/pg_ctl -D "$work/postgres" -w -l "$work/postgres/server.log" start >>"$out/postgres.log" 2>&1
    export BENCH_POSTGRES="host=$sockets/postgres dbname=postgres user=bench"
    $postgres_bin/psql -q -v ON_ERROR_STOP=1 -f bench/peer_postgres.sql "$BENCH_POSTGRES" >>"$out/postgres.log" 2>&1
    BENCH_POSTGRES_PID=$(head -1 "$work/postgres/postmaster.pid")
    export BENCH_POSTGRES_PID
}

start_redis() {
    mkdir "$work/redis"
    redis-server --port 0 --unixsocket "$sockets/redis" --dir "$work/redis" --save '' --appendonly yes \
        --appendfsync always --auto-aof-rewrite-percentage 0 >"$out/redis.log" 2>&1 &
    pids+=($!)
    export BENCH_REDIS_PID=$! BENCH_REDIS_SOCKET=$sockets/redis
    for _ in $(seq 200); do
        redis-cli -s "$sockets/redis" ping >/dev/null 2>&1 && return
        sleep 0.05
    done
    return 1
}

start_umadb() {
    local port=$((20000 + RANDOM % 10000))
    while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
        port=$((port + 1))
    done
    mkdir "$work/umadb"
    "$umadb" serve --listen "127.0.0.1:$port" --db-path "$work/umadb" >"$out/umadb-server.log" 2>&1 &
    pids+=($!)
    export BENCH_UMADB=$umadb BENCH_UMADB_PID=$! BENCH_UMADB_URL=http://127.0.0.1:$port
    for _ in $(seq 100); do
        "$umadb" load "$BENCH_UMADB_URL" 1 1 256 0.05 >/dev/null 2>&1 && return
        sleep 0.05
    done
    return 1
}

start_peers() {
    say "starting the peers"
    start_postgres || { say "PostgreSQL is LEFT OUT: it did not start, see $out/postgres.log"; unset BENCH_POSTGRES; }
    start_redis || { say "Redis is LEFT OUT: it did not start, see $out/redis.log"; unset BENCH_REDIS_SOCKET; }
    if [ -n "$umadb" ] && ! start_umadb; then
        say "UmaDB is LEFT OUT: it did not start, see $out/umadb-server.log"
        unset BENCH_UMADB
    fi
}

install_missing
build
build_umadb
trap cleanup EXIT
trap 'exit 130' INT TERM
choose_folder
ulimit -n "$(ulimit -Hn)"
case " $* " in
*" --part "*append* | *" --part "*apps* | *" all "*) start_peers ;;
*" --part "*) ;;
*) start_peers ;;
esac
mkdir "$work/run"
server=()
[ -x "$B/cairn" ] && server=(--server "$(dirname "$out")/cairn")
"$out/bench" --dir "$work/run" "${server[@]}" --json "$out/results.json" "$@"
say "every figure of every round: $out/results.json"
