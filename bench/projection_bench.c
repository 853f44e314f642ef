/* Projections from within: how fast a read model is built, and how late an event is seen in it.
 *
 * 1. One upsert an event into SQLite, by a runner, from the log; and the same prepared statement in the same
 *    batches by a bare loop in C with the values at hand. The ratio is what reading events, finding members in their JSON
 *    and keeping a checkpoint cost. Turns are taken, so that a slow moment of the machine meets both.
 * 2. Events are appended at a steady rate while the runner follows; for each append the time from its acknowledgement until
 *    the runner says that the event is in the read model.
 * 3. A projection that wants one event in twenty: events passed a second.
 *
 *   projection [events (1000000)] [rows (100000)] [rounds (3)]                                                        */
#include <app/sql/runner.h>
#include <base/json.h>
#include <os/os.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define APPEND 1000
#define BATCH 100000 /* the runner's, when it is far behind */
#define RATE 10000
#define LAG_SECONDS 5

static const char TABLE[] = "CREATE TABLE task (id TEXT PRIMARY KEY, title TEXT NOT NULL, due TEXT, n INTEGER) WITHOUT ROWID";
static const char UPSERT[] = "INSERT INTO task (id, title, due, n) VALUES (%s, %s, %s, %s) ON CONFLICT (id) DO UPDATE"
                             " SET title = excluded.title, due = excluded.due, n = excluded.n";

static uint64_t events = 1000000, rows = 100000;
static unsigned rounds = 3;
static char folder[64] = "/tmp/cairn-bench-XXXXXX";
static cairn_store *store;
static struct runner *_Atomic following;

static void
must(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "%s failed\n", what);
        exit(1);
    }
}

static int64_t
now_us(void)
{
    return os_monotonic_us(os_real());
}

static uint64_t
row_of(uint64_t i)
{
    return i * UINT64_C(2654435761) % rows;
}

static void
fill(uint64_t i, char stream[32], char data[160], cairn_event *event)
{
    snprintf(stream, 32, "task-%llu", (unsigned long long)row_of(i));
    int size = snprintf(data, 160, "{\"title\":\"Write report %llu\",\"due\":\"2026-12-%02llu\",\"n\":%llu,"
                        "\"assignee\":{\"name\":\"ann\",\"team\":\"north\"},\"labels\":[\"a\",\"b\"]}",
                        (unsigned long long)i, (unsigned long long)(1 + i % 28), (unsigned long long)i);
    *event = (cairn_event){.type = i % 20 == 19 ? CAIRN_STR("TaskMarked") : CAIRN_STR("TaskCreated"),
                           .data = {data, (size_t)size}};
}

static void
append(uint64_t from, unsigned count, cairn_at *ret_at)
{
    static char streams[APPEND][32], data[APPEND][160];
    static cairn_event made[APPEND];
    static cairn_write writes[APPEND];
    cairn_error error;
    for (unsigned i = 0; i < count; i++) {
        fill(from + i, streams[i], data[i], &made[i]);
        writes[i] = (cairn_write){cairn_cstr(streams[i]), CAIRN_ANY, &made[i], 1};
    }
    cairn_append_request request = {.writes = writes, .write_count = count};
    must(cairn_append_all(store, &request, ret_at, &error) == CAIRN_OK, "append");
}

static struct projection *
parse(const char *types)
{
    char text[1024], upsert[512];
    struct projection *projection;
    cairn_error error;
    snprintf(upsert, sizeof upsert, UPSERT, ":stream_id", ":data.title", ":data.due", ":data.n");
    snprintf(text, sizeof text, "-- table\n%s;\n-- on %s\n%s;\n", TABLE, types, upsert);
    must(projection_parse(CAIRN_STR("task.sql"), cairn_cstr(text), NULL, NULL, NULL, &projection, &error) == CAIRN_OK,
         "projection");
    return projection;
}

static struct runner *
start(struct projection *projection, const char *name)
{
    static char path[128];
    struct runner *runner;
    cairn_error error;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    struct runner_options options = {.store = store, .folder = path, .projection = projection,
                                     .checkpoint_every = UINT32_MAX};
    must(runner_start(&options, &runner, &error) == CAIRN_OK, "runner");
    return runner;
}

/* Events a second by a runner that begins with nothing. */
static double
by_runner(struct projection *projection)
{
    cairn_error error;
    int64_t begin = now_us();
    struct runner *runner = start(projection, "runner");
    must(runner_wait(runner, cairn_end(store), 600000, &error) == CAIRN_OK, "runner");
    double rate = (double)events * 1e6 / (double)(now_us() - begin);
    runner_stop(runner, true);
    runner_free(runner);
    return rate;
}

struct values {
    char id[24], title[40], due[16];
};

/* The same statement, settings and batches; nothing to read, nothing to decode. */
static double
by_hand(void)
{
    char path[128], sql[512];
    sqlite3 *db;
    sqlite3_stmt *upsert;
    struct values *values = malloc(events * sizeof *values);
    must(values != NULL, "memory");
    for (uint64_t i = 0; i < events; i++) {
        snprintf(values[i].id, sizeof values[i].id, "%llu", (unsigned long long)row_of(i));
        snprintf(values[i].title, sizeof values[i].title, "Write report %llu", (unsigned long long)i);
        snprintf(values[i].due, sizeof values[i].due, "2026-12-%02llu", (unsigned long long)(1 + i % 28));
    }
    snprintf(path, sizeof path, "%s/bare.db", folder);
    (void)unlink(path);
    int64_t begin = now_us();
    must(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK,
         "open");
    sqlite3_exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 2000;"
                     "PRAGMA cache_size = -16384; PRAGMA secure_delete = OFF", NULL, NULL, NULL);
    must(sqlite3_exec(db, TABLE, NULL, NULL, NULL) == SQLITE_OK, "table");
    snprintf(sql, sizeof sql, UPSERT, "?1", "?2", "?3", "?4");
    must(sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &upsert, NULL) == SQLITE_OK, "prepare");
    for (uint64_t i = 0; i < events; i++) {
        if (i % BATCH == 0)
            sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);
        sqlite3_bind_text(upsert, 1, values[i].id, (int)strlen(values[i].id), SQLITE_STATIC);
        sqlite3_bind_text(upsert, 2, values[i].title, (int)strlen(values[i].title), SQLITE_STATIC);
        sqlite3_bind_text(upsert, 3, values[i].due, 10, SQLITE_STATIC);
        sqlite3_bind_int64(upsert, 4, (int64_t)i);
        must(sqlite3_step(upsert) == SQLITE_DONE, "upsert");
        sqlite3_reset(upsert);
        if (i % BATCH == BATCH - 1 || i + 1 == events)
            must(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK, "commit");
    }
    double rate = (double)events * 1e6 / (double)(now_us() - begin);
    sqlite3_finalize(upsert);
    sqlite3_close(db);
    free(values);
    return rate;
}

static void
committed(void *context, uint64_t end)
{
    struct runner *runner = atomic_load(&following);
    (void)context;
    if (runner != NULL)
        runner_committed(runner, end);
}

static int
compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

struct ack {
    uint64_t position;
    int64_t at_us;
};
static struct ack acks[RATE * LAG_SECONDS];
static _Atomic size_t ack_count;
static atomic_bool appended;

static void *
append_steadily(void *context)
{
    (void)context;
    enum { EACH = 10 };
    int64_t begin = now_us();
    for (uint64_t i = 0; i < RATE * LAG_SECONDS / EACH; i++) {
        int64_t due = begin + (int64_t)(i * EACH * 1000000 / RATE);
        while (now_us() < due)
            usleep(50);
        cairn_at at;
        append(events + i * EACH, EACH, &at);
        size_t count = atomic_load(&ack_count);
        acks[count] = (struct ack){at.last_position, now_us()};
        atomic_store(&ack_count, count + 1);
    }
    atomic_store(&appended, true);
    return NULL;
}

static void
lag(struct projection *projection)
{
    static int64_t lags[RATE * LAG_SECONDS];
    struct runner *runner = start(projection, "lag");
    cairn_error error;
    pthread_t thread;
    must(runner_wait(runner, cairn_end(store), 600000, &error) == CAIRN_OK, "runner");
    atomic_store(&following, runner);
    cairn_on_commit(store, committed, NULL);
    must(pthread_create(&thread, NULL, append_steadily, NULL) == 0, "thread");
    size_t seen = 0;
    while (!atomic_load(&appended) || seen < atomic_load(&ack_count)) {
        if (seen == atomic_load(&ack_count)) {
            usleep(20);
            continue;
        }
        must(runner_wait(runner, acks[seen].position + 1, 10000, &error) == CAIRN_OK, "wait");
        int64_t late = now_us() - acks[seen].at_us;
        lags[seen++] = late > 0 ? late : 0;
    }
    pthread_join(thread, NULL);
    cairn_on_commit(store, NULL, NULL);
    qsort(lags, seen, sizeof *lags, compare);
    printf("lag at %d events/s: p50 %.2f ms, p99 %.2f ms, most %.2f ms (%zu appends)\n", RATE,
           (double)lags[seen / 2] / 1000, (double)lags[seen * 99 / 100] / 1000, (double)lags[seen - 1] / 1000, seen);
    runner_stop(runner, true);
    runner_free(runner);
}

int
main(int count, char **arguments)
{
    char path[96], command[128];
    cairn_error error;
    cairn_options options = {.create = true};
    events = count > 1 ? strtoull(arguments[1], NULL, 10) / APPEND * APPEND : events;
    rows = count > 2 ? strtoull(arguments[2], NULL, 10) : rows;
    rounds = count > 3 ? (unsigned)strtoul(arguments[3], NULL, 10) : rounds;
    must(mkdtemp(folder) != NULL && events > 0 && rows > 0 && rounds > 0, "folder");
    snprintf(path, sizeof path, "%s/store", folder);
    must(cairn_open(path, &options, &store, &error) == CAIRN_OK, "store");
    for (uint64_t i = 0; i < events; i += APPEND) {
        cairn_at at;
        append(i, APPEND, &at);
    }
    struct projection *all = parse("TaskCreated, TaskMarked"), *some = parse("TaskMarked");
    double runner = 0, hand = 0, passed = 0;
    for (unsigned i = 0; i < rounds; i++) {
        double by = by_runner(all), bare = by_hand();
        runner += by / rounds;
        hand += bare / rounds;
        passed += by_runner(some) / rounds;
        printf("round %u: runner %.0f events/s, bare loop %.0f, ratio %.2f\n", i + 1, by, bare, by / bare);
    }
    printf("one upsert an event, %llu events, %llu rows: runner %.0f events/s, bare loop %.0f events/s, ratio %.2f\n",
           (unsigned long long)events, (unsigned long long)rows, runner, hand, runner / hand);
    printf("one event in twenty wanted: %.0f events passed/s\n", passed);
    lag(all);
    projection_free(all);
    projection_free(some);
    cairn_close(store);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) == 0 ? 0 : 1;
}
