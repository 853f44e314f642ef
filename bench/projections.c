/* projections.c: how fast a read model is built, and how late an event is seen in it; in this process, through cairn/app.h.
 *
 * 1. A read model of one upsert an event is built from the log (cairn_app_replay: beside the old one, to the swap); then the same
 *    statement, in batches as large as the runner's, in a bare loop with the values at hand. Every second round backward.
 * 2. Events are appended at a steady rate, one an append; of every tenth, the time from its acknowledgement until a query with
 *    after_position has the row in hand. In order and without leaving any out, so that a stall counts for all that it held up. */
#include "bench.h"

#include <cairn/app.h>
#include <pthread.h>
#include <semaphore.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define APPEND 1000
#define BATCH 100000 /* the runner's, when it is far behind */
#define RATE 10000   /* events a second, while lag is measured */
#define TICK 10      /* of them at once, then a pause; the last one is watched */
#define LAG_LEAST_S 1.0

#define TABLE "CREATE TABLE task (id TEXT PRIMARY KEY, title TEXT NOT NULL, due TEXT, n INTEGER) WITHOUT ROWID"
#define UPSERT(id, title, due, n)                                                                     \
    "INSERT INTO task (id, title, due, n) VALUES (" id ", " title ", " due ", " n ")"                 \
    " ON CONFLICT (id) DO UPDATE SET title = excluded.title, due = excluded.due, n = excluded.n"

static const char MANIFEST[] = "app: tasks\n", QUERY[] = "-- param id text\n-- one\nSELECT id, n FROM task WHERE id = :id\n",
                  PROJECTION[] = "-- from task\n-- table\n" TABLE ";\n-- on TaskChanged\n"
                      UPSERT(":stream_id", ":data.title", ":data.due", ":data.n") ";\n";

struct world {
    cairn_store *store;
    cairn_apps *apps;
    uint64_t events, rows;
    char folder[512];
};

/* ---- events --------------------------------------------------------------------------------- */

struct made {
    char stream[32], data[DATA_SIZE + 1];
    cairn_event event;
};

/* Which task the event with this number changes: every one as often as any other, neighbours far apart. */
static uint64_t
row_of(const struct world *world, uint64_t number)
{
    return number * UINT64_C(2654435761) % world->rows;
}

static void
make_event(const struct world *world, uint64_t number, struct made *ret)
{
    snprintf(ret->stream, sizeof ret->stream, "task-%llu", (unsigned long long)row_of(world, number));
    int size = snprintf(ret->data, sizeof ret->data,
                        "{\"title\":\"Write report %llu\",\"due\":\"2026-12-%02u\",\"n\":%llu,\"text\":\"",
                        (unsigned long long)number, (unsigned)(1 + number % 28), (unsigned long long)number);
    memset(ret->data + size, 'x', DATA_SIZE - (size_t)size);
    memcpy(ret->data + DATA_SIZE - 2, "\"}", 3);
    ret->event = (cairn_event){.type = CAIRN_STR("TaskChanged"), .data = {ret->data, DATA_SIZE}};
}

static bool
append_many(struct world *world, uint64_t from)
{
    static struct made made[APPEND];
    static cairn_write writes[APPEND];
    cairn_error error = {0};
    cairn_at at;
    for (unsigned i = 0; i < APPEND; i++) {
        make_event(world, from + i, &made[i]);
        writes[i] = (cairn_write){cairn_cstr(made[i].stream), CAIRN_ANY, &made[i].event, 1};
    }
    const cairn_append_request request = {.writes = writes, .write_count = APPEND};
    cairn_err err = cairn_append_all(world->store, &request, &at, &error);
    if (err != CAIRN_OK)
        failure("projections: %s", error.detail);
    return err == CAIRN_OK;
}

/* ---- the app --------------------------------------------------------------------------------- */

static void
on_fault(void *context, const cairn_app_fault *fault)
{
    (void)context;
    if (!fault->warning)
        failure("projections: %.*s:%u: %.*s", (int)fault->file.size, fault->file.data, fault->line,
                (int)fault->message.size, fault->message.data);
}

static void
on_commit(void *context, uint64_t end)
{
    cairn_apps_committed(context, end);
}

static bool
open_world(const struct settings *settings, struct world *world)
{
    const cairn_app_file files[] = {{CAIRN_STR("app.yaml"), cairn_cstr(MANIFEST)},
                                    {CAIRN_STR("projections/task.sql"), cairn_cstr(PROJECTION)},
                                    {CAIRN_STR("queries/task.sql"), cairn_cstr(QUERY)}};
    char models[520];
    cairn_error error = {0};
    cairn_deployed deployed;
    snprintf(world->folder, sizeof world->folder, "%s/projections", settings->dir);
    snprintf(models, sizeof models, "%s-apps", world->folder);
    const cairn_options options = {.create = true};
    const cairn_apps_options apps = {.folder = models};
    cairn_err err = cairn_open(world->folder, &options, &world->store, &error);
    if (err == CAIRN_OK)
        err = cairn_apps_open(world->store, &apps, &world->apps, &error);
    if (err == CAIRN_OK) {
        cairn_on_commit(world->store, on_commit, world->apps);
        err = cairn_app_deploy(world->apps, files, sizeof files / sizeof *files, &(cairn_deploy_options){0}, on_fault, NULL,
                               &deployed, &error);
    }
    if (err != CAIRN_OK)
        failure("projections: %s", error.detail);
    return err == CAIRN_OK;
}

static void
close_world(struct world *world)
{
    if (world->store != NULL)
        cairn_on_commit(world->store, NULL, NULL);
    cairn_apps_close(world->apps);
    cairn_close(world->store);
}

struct answer {
    char text[256];
    size_t size;
};

static bool
take(void *context, cairn_str bytes)
{
    struct answer *answer = context;
    if (answer->size + bytes.size >= sizeof answer->text)
        return false;
    memcpy(answer->text + answer->size, bytes.data, bytes.size);
    answer->size += bytes.size;
    answer->text[answer->size] = '\0';
    return true;
}

/* The row that the event with this number changed, as a query sees it that waits for the event's position; its n. */
static bool
ask(struct world *world, uint64_t number, uint64_t position, uint64_t *ret_n)
{
    char id[24];
    struct answer answer = {0};
    cairn_error error = {0};
    snprintf(id, sizeof id, "%llu", (unsigned long long)row_of(world, number));
    const cairn_app_param param = {CAIRN_STR("id"), cairn_cstr(id)};
    const cairn_app_query_request request = {.app = CAIRN_STR("tasks"), .query = CAIRN_STR("task"), .params = &param,
                                             .param_count = 1, .has_after_position = true, .after_position = position,
                                             .timeout_ms = 100000};
    cairn_err err = cairn_app_query(world->apps, &request, take, &answer, &error);
    const char *at = err == CAIRN_OK ? strstr(answer.text, "\"n\":") : NULL;
    if (at == NULL) {
        failure("projections: a query: %s", err != CAIRN_OK ? error.detail : answer.text);
        return false;
    }
    *ret_n = strtoull(at + 4, NULL, 10);
    return true;
}

/* ---- building --------------------------------------------------------------------------------- */

static bool
ignore(void *context, cairn_str bytes)
{
    (void)context, (void)bytes;
    return true;
}

static bool
build_by_runner(struct world *world)
{
    const cairn_replay_request request = {.app = CAIRN_STR("tasks"), .projection = CAIRN_STR("task")};
    cairn_error error = {0};
    double used = cpu_self_s();
    uint64_t begin = now_ns();
    if (cairn_app_replay(world->apps, &request, NULL, NULL, ignore, NULL, &error) != CAIRN_OK) {
        failure("projections: %s", error.detail);
        return false;
    }
    double took = (double)(now_ns() - begin) / 1e9;
    figure_add((double)world->events / took, "projection.upsert.events_per_s");
    figure_add((cpu_self_s() - used) / took, "projection.upsert.cores");
    return true;
}

struct values {
    char id[24], title[40], due[16];
};

static struct values *
make_values(const struct world *world, uint64_t count)
{
    struct values *values = calloc(count, sizeof *values);
    for (uint64_t i = 0; values != NULL && i < count; i++) {
        snprintf(values[i].id, sizeof values[i].id, "%llu", (unsigned long long)row_of(world, i));
        snprintf(values[i].title, sizeof values[i].title, "Write report %llu", (unsigned long long)i);
        snprintf(values[i].due, sizeof values[i].due, "2026-12-%02u", (unsigned)(1 + i % 28));
    }
    return values;
}

static bool
upsert_all(sqlite3 *db, sqlite3_stmt *upsert, const struct values *values, uint64_t count)
{
    bool ok = true;
    for (uint64_t i = 0; ok && i < count; i++) {
        if (i % BATCH == 0)
            ok = sqlite3_exec(db, "BEGIN", NULL, NULL, NULL) == SQLITE_OK;
        sqlite3_bind_text(upsert, 1, values[i].id, (int)strlen(values[i].id), SQLITE_STATIC);
        sqlite3_bind_text(upsert, 2, values[i].title, (int)strlen(values[i].title), SQLITE_STATIC);
        sqlite3_bind_text(upsert, 3, values[i].due, (int)strlen(values[i].due), SQLITE_STATIC);
        sqlite3_bind_int64(upsert, 4, (sqlite3_int64)i);
        ok = ok && sqlite3_step(upsert) == SQLITE_DONE && sqlite3_reset(upsert) == SQLITE_OK;
        if (i % BATCH == BATCH - 1 || i + 1 == count)
            ok = ok && sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK;
    }
    return ok;
}

/* The same statement, settings and batches; nothing to read, nothing to decode, no checkpoint. */
static bool
build_by_hand(const struct world *world)
{
    char path[520], wal[530];
    sqlite3 *db = NULL;
    sqlite3_stmt *upsert = NULL;
    uint64_t count = world->events;
    struct values *values = make_values(world, count);
    snprintf(path, sizeof path, "%s-bare.db", world->folder);
    uint64_t begin = now_ns();
    bool ok = values != NULL && sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                                                NULL) == SQLITE_OK
              && sqlite3_exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 2000;"
                                  "PRAGMA cache_size = -16384; PRAGMA secure_delete = OFF;" TABLE, NULL, NULL, NULL) == SQLITE_OK
              && sqlite3_prepare_v3(db, UPSERT("?1", "?2", "?3", "?4"), -1, SQLITE_PREPARE_PERSISTENT, &upsert, NULL)
                     == SQLITE_OK
              && upsert_all(db, upsert, values, count);
    double took = (double)(now_ns() - begin) / 1e9;
    if (ok)
        figure_add((double)count / took, "projection.bare.events_per_s");
    else
        failure("projections: the bare loop: %s", db != NULL ? sqlite3_errmsg(db) : "out of memory");
    sqlite3_finalize(upsert);
    sqlite3_close(db);
    unlink(path);
    snprintf(wal, sizeof wal, "%s-wal", path);
    unlink(wal);
    free(values);
    return ok;
}

/* ---- lag ---------------------------------------------------------------------------------------- */

struct watched {
    uint64_t number, position, acked_ns;
};

struct pace {
    struct world *world;
    uint64_t first, count;
    struct watched *watched; /* count / TICK */
    sem_t acked;
    _Atomic uint64_t done;
    atomic_bool failed;
    double took;
};

static void
on_appended(void *context, cairn_err err, const cairn_at *at, const cairn_error *error)
{
    struct pace *pace = context;
    if (err != CAIRN_OK && !atomic_exchange(&pace->failed, true))
        failure("projections: %s", error->detail);
    uint64_t done = atomic_fetch_add(&pace->done, 1);
    if (done % TICK != TICK - 1)
        return;
    pace->watched[done / TICK] = (struct watched){pace->first + done, err == CAIRN_OK ? at->last_position : 0, now_ns()};
    sem_post(&pace->acked);
}

static void *
append_steadily(void *context)
{
    struct pace *pace = context;
    struct timespec due;
    clock_gettime(CLOCK_MONOTONIC, &due);
    uint64_t begin = now_ns();
    for (uint64_t i = 0; i < pace->count; i++) {
        struct made made;
        cairn_error error = {0};
        make_event(pace->world, pace->first + i, &made);
        const cairn_write write = {cairn_cstr(made.stream), CAIRN_ANY, &made.event, 1};
        const cairn_append_request request = {.writes = &write, .write_count = 1};
        cairn_err err = cairn_append_async(pace->world->store, &request, on_appended, pace, &error);
        if (err != CAIRN_OK)
            on_appended(pace, err, NULL, &error);
        if (i % TICK != TICK - 1)
            continue;
        due.tv_nsec += TICK * (1000000000 / RATE);
        due.tv_sec += due.tv_nsec / 1000000000;
        due.tv_nsec %= 1000000000;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
    }
    pace->took = (double)(now_ns() - begin) / 1e9;
    return NULL;
}

/* Appends of one thread get their places in the order in which they were made, so the watched event is known by its number. */
static void
measure_lag(struct world *world, uint64_t first, double seconds)
{
    static struct histogram histogram;
    struct pace pace = {.world = world, .first = first, .count = (uint64_t)(seconds * RATE) / TICK * TICK};
    pthread_t thread;
    memset(&histogram, 0, sizeof histogram);
    pace.watched = calloc(pace.count / TICK, sizeof *pace.watched);
    if (pace.watched == NULL || sem_init(&pace.acked, 0, 0) != 0
        || pthread_create(&thread, NULL, append_steadily, &pace) != 0) {
        failure("projections: cannot append steadily");
        free(pace.watched);
        return;
    }
    for (size_t i = 0; i < pace.count / TICK; i++) {
        uint64_t n = 0;
        while (sem_wait(&pace.acked) != 0)
            ;
        const struct watched *watched = &pace.watched[i];
        if (atomic_load(&pace.failed) || !ask(world, watched->number, watched->position, &n))
            continue;
        uint64_t now = now_ns();
        if (n < watched->number)
            failure("projections: the row that event %llu changed is not there", (unsigned long long)watched->number);
        histogram_add(&histogram, now - watched->acked_ns);
    }
    pthread_join(thread, NULL);
    sem_destroy(&pace.acked);
    free(pace.watched);
    figure_add((double)pace.count / pace.took, "lag.appends_per_s");
    figure_add(histogram_us(&histogram, 0.5) / 1e3, "lag.p50_ms");
    figure_add(histogram_us(&histogram, 0.99) / 1e3, "lag.p99_ms");
}

/* --------------------------------------------------------------------------------------------------- */

void
part_projections(const struct settings *settings)
{
    struct world world = {.events = settings->quick ? 500000 : 1000000, .rows = 100000};
    uint64_t next = 0, n;
    bool ok = open_world(settings, &world);
    for (; ok && next < world.events; next += APPEND)
        ok = append_many(&world, next);
    double lag_s = settings->slice_s > LAG_LEAST_S ? settings->slice_s : LAG_LEAST_S;
    ok = ok && ask(&world, next - 1, cairn_end(world.store) - 1, &n);
    for (unsigned round = 0; ok && round < settings->rounds; round++) {
        progress("projections, round %u of %u", round + 1, settings->rounds);
        if (round % 2 == 0)
            ok = build_by_runner(&world) && build_by_hand(&world);
        else
            ok = build_by_hand(&world) && build_by_runner(&world);
    }
    for (unsigned round = 0; ok && round < settings->rounds; round++) {
        measure_lag(&world, next, lag_s);
        next += (uint64_t)(lag_s * RATE);
    }
    close_world(&world);
}
