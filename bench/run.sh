#!/usr/bin/env bash
# make bench: install what is missing, start the peers' real servers in a folder of our own, measure, take
# everything away again. The results stay in build/bench/results.json.
#
# Options go to the bench program (bench --help lists them). From the environment:
#   B          where the build is (build)
#   BENCH_DIR  a folder on the disk to measure (the build's own); all contenders get a place in it
#   UMADB      "no": leave UmaDB out; "yes": compile it for a quick run too
#   EMMETT     the same for Emmett, whose SQLite may have to be compiled
#   KAFKA      "no": leave Kafka out (it comes by Maven)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
B=${B:-build}
cd "$root"
out=$(mkdir -p "$B/bench" && cd "$B/bench" && pwd)
postgres_bin=/usr/lib/postgresql/15/bin
work= sockets= pids=()

say() { printf 'bench: %s\n' "$*" >&2; }

quick=no parts=all last=
for argument in "$@"; do
    case $argument in
    --quick) quick=yes ;;
    --help) exec "$out/bench" --help ;;
    esac
    [ "$last" = --part ] && parts=$argument
    last=$argument
done

wanted() { # PART…: is any of them measured?
    local part
    for part in all "$@"; do
        case ,$parts, in *",$part,"*) return 0 ;; esac
    done
    return 1
}

# ---- what we need ------------------------------------------------------------------------------------

missing() {
    [ -x $postgres_bin/initdb ] || echo postgresql-15
    command -v redis-server >/dev/null || echo redis-server
    command -v wrk >/dev/null || echo wrk
    pkg-config --exists libpq || echo libpq-dev
    pkg-config --exists hiredis || echo libhiredis-dev
    pkg-config --exists sqlite3 || echo libsqlite3-dev
    pkg-config --exists rdkafka || echo librdkafka-dev
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

left_out() { # NAME VARIABLE WHY
    say "$1 is LEFT OUT, $3"
    export "$2=$3"
}

# Emmett, from npm. The SQLite that it uses is a binary from elsewhere, or compiled where that is out of reach.
install_emmett() {
    local node
    if [ "${EMMETT:-}" = no ]; then
        left_out Emmett BENCH_EMMETT_WHY "as asked (EMMETT=no)"
        return
    elif [ $quick = yes ] && [ "${EMMETT:-}" != yes ] && [ ! -e "$out/emmett/installed" ]; then
        left_out Emmett BENCH_EMMETT_WHY "for installing it takes minutes: EMMETT=yes makes a quick run do it"
        return
    elif ! node=$(scripts/node.sh 2>"$out/emmett.log") || ! command -v npm >/dev/null; then
        left_out Emmett BENCH_EMMETT_WHY "for there is no Node.js 20 with npm"
        return
    fi
    mkdir -p "$out/emmett"
    if ! cmp -s bench/peer_emmett/package-lock.json "$out/emmett/installed"; then
        say "installing Emmett from npm (log: $out/emmett.log)"
        cp bench/peer_emmett/package.json bench/peer_emmett/package-lock.json bench/peer_emmett/.npmrc "$out/emmett"
        if ! (cd "$out/emmett" && npm ci --loglevel=error --fetch-retries=1 --fetch-timeout=60000) >"$out/emmett.log" 2>&1; then
            left_out Emmett BENCH_EMMETT_WHY "for npm could not install it here: see $out/emmett.log"
            return
        fi
        cp bench/peer_emmett/package-lock.json "$out/emmett/installed"
    fi
    cp bench/peer_emmett/bench.mjs "$out/emmett"
    export BENCH_EMMETT="$node $out/emmett/bench.mjs"
}

# The library eventsourcing, from PyPI: nothing to compile.
install_eventsourcing() {
    local into=$out/eventsourcing
    if ! command -v python3 >/dev/null; then
        left_out eventsourcing BENCH_EVENTSOURCING_WHY "for there is no Python 3"
        return
    fi
    if ! cmp -s bench/peer_eventsourcing/requirements.txt "$into/installed"; then
        say "installing eventsourcing from PyPI (log: $out/eventsourcing.log)"
        rm -rf "$into"
        if ! python3 -m pip install --quiet --target "$into" --only-binary :all: --require-hashes \
            -r bench/peer_eventsourcing/requirements.txt >"$out/eventsourcing.log" 2>&1; then
            left_out eventsourcing BENCH_EVENTSOURCING_WHY "for pip could not install it here: see $out/eventsourcing.log"
            return
        fi
        cp bench/peer_eventsourcing/requirements.txt "$into/installed"
    fi
    cp bench/peer_eventsourcing/bench.py "$into"
    export BENCH_EVENTSOURCING="$(command -v python3) $into/bench.py"
}

# Kafka, by Maven: the peer that speaks the same protocol.
bring_kafka() {
    local classes
    if [ "${KAFKA:-}" = no ]; then
        left_out Kafka BENCH_KAFKA_WHY "as asked (KAFKA=no)"
    elif classes=$(B=$B scripts/kafka.sh 2>"$out/kafka.log"); then
        export BENCH_KAFKA=$classes BENCH_JAVA=$(command -v java)
    else
        left_out Kafka BENCH_KAFKA_WHY "for $(tail -1 "$out/kafka.log")"
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
if wanted append; then build_umadb; else umadb=; fi
if wanted apps; then
    install_emmett
    install_eventsourcing
fi
if wanted kafka; then bring_kafka; fi
trap cleanup EXIT
trap 'exit 130' INT TERM
choose_folder
ulimit -n "$(ulimit -Hn)"
if wanted append apps; then start_peers; fi
mkdir "$work/run"
server=()
[ -x "$B/cairn" ] && server=(--server "$(dirname "$out")/cairn")
"$out/bench" --dir "$work/run" "${server[@]}" --json "$out/results.json" "$@"
say "every figure of every round: $out/results.json"
