/* commands.c: commands in this process, durable, by deciders in C and in Lua; and how long an aggregate takes to rebuild.
 *
 * One thread keeps so many commands outstanding, as an event loop would; they go to 1,000 streams in turn, each adds a number
 * and is decided on the state before it. The aggregates have 1,000 events, each in a batch of its own with those of 19 other
 * streams; they are rebuilt without the states that the bus keeps in memory, and without cached snapshots. */
#include "bench.h"

#include <cairn/app.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define STREAMS 1000
#define LONG_STREAMS 20
#define LONG_EVENTS 1000

/* ---- the decider in C ---------------------------------------------------------------------- */

struct counter {
    uint64_t sum, count;
};

static uint64_t
number_after(cairn_str text, const char *name)
{
    const char *at = memmem(text.data, text.size, name, strlen(name));
    return at != NULL ? strtoull(at + strlen(name), NULL, 10) : 0; /* JSON goes on after a number */
}

static cairn_err
counter_new(void *self, cairn_str stream, void **ret, cairn_error *error)
{
    (void)self, (void)stream, (void)error;
    *ret = calloc(1, sizeof(struct counter));
    return *ret != NULL ? CAIRN_OK : CAIRN_E_NOMEM;
}

static void
counter_free(void *self, void *state)
{
    (void)self;
    free(state);
}

static cairn_err
counter_evolve(void *self, void *state, const cairn_recorded *event, cairn_error *error)
{
    (void)self, (void)error;
    struct counter *counter = state;
    counter->sum += number_after(event->event.data, "\"n\":");
    counter->count++;
    return CAIRN_OK;
}

static cairn_err
counter_decide(void *self, const void *state, const cairn_command *command, cairn_decision *decision,
               cairn_error *error)
{
    (void)self, (void)error;
    char data[64];
    const struct counter *counter = state;
    int size = snprintf(data, sizeof data, "{\"n\":%llu,\"before\":%llu}",
                        (unsigned long long)number_after(command->data, "\"n\":"),
                        (unsigned long long)counter->count);
    const cairn_event event = {.type = CAIRN_STR("Added"), .data = {data, (size_t)size}};
    return cairn_decide_event(decision, (cairn_str){0}, &event);
}

static cairn_err
counter_save(void *self, const void *state, cairn_sink sink, void *context, cairn_error *error)
{
    (void)self, (void)error;
    char text[64];
    const struct counter *counter = state;
    int size = snprintf(text, sizeof text, "{\"sum\":%llu,\"count\":%llu}", (unsigned long long)counter->sum,
                        (unsigned long long)counter->count);
    return sink(context, (cairn_str){text, (size_t)size}) ? CAIRN_OK : CAIRN_E_LIMIT;
}

static cairn_err
counter_load(void *self, cairn_str stream, cairn_str text, void **ret, cairn_error *error)
{
    cairn_err err = counter_new(self, stream, ret, error);
    if (err == CAIRN_OK)
        *(struct counter *)*ret = (struct counter){number_after(text, "\"sum\":"), number_after(text, "\"count\":")};
    return err;
}

static const cairn_decider COUNTER = {
    .abi = CAIRN_DECIDER_ABI, .name = "counter", .state_new = counter_new, .state_free = counter_free,
    .evolve = counter_evolve, .decide = counter_decide, .save = counter_save, .load = counter_load,
    .fingerprint = {"1", 1},
};
static const cairn_decider *const NATIVES[] = {&COUNTER};

/* ---- the app --------------------------------------------------------------------------------- */

static const char MANIFEST[] =
    "app: bench\n"
    "deciders:\n"
    "  c: {native: counter, snapshot: none}\n"
    "  c_kept: {native: counter, snapshot: {every: 100}}\n"
    "  lua: {lua: counter.lua, snapshot: none}\n"
    "  lua_kept: {lua: counter.lua, snapshot: {every: 100}}\n"
    "commands:\n"
    "  AddC: {stream: \"c-{id}\", decider: c, schema: add.json}\n"
    "  AddCKept: {stream: \"ckept-{id}\", decider: c_kept, schema: add.json}\n"
    "  AddLua: {stream: \"lua-{id}\", decider: lua, schema: add.json}\n"
    "  AddLuaKept: {stream: \"luakept-{id}\", decider: lua_kept, schema: add.json}\n"
    "events:\n"
    "  Added: {schema: added.json}\n";
static const char ADD[] = "{\"type\":\"object\",\"required\":[\"id\",\"n\"],\"properties\":{\"id\":{\"type\":\"integer\"},"
                          "\"n\":{\"type\":\"integer\",\"minimum\":0}},\"additionalProperties\":false}";
static const char ADDED[] = "{\"type\":\"object\",\"required\":[\"n\",\"before\"],\"properties\":{\"n\":{\"type\":\"integer\"},"
                            "\"before\":{\"type\":\"integer\"}}}";
static const char LUA[] =
    "return {\n"
    "  initial = {sum = 0, count = 0},\n"
    "  evolve = {Added = function(state, event)\n"
    "    state.sum = state.sum + event.data.n\n"
    "    state.count = state.count + 1\n"
    "  end},\n"
    "  decide = function(state, command)\n"
    "    return {type = \"Added\", data = {n = command.data.n, before = state.count}}\n"
    "  end,\n"
    "}\n";

static void
on_fault(void *context, const cairn_app_fault *fault)
{
    (void)context;
    if (!fault->warning)
        failure("commands: %.*s:%u: %.*s", (int)fault->file.size, fault->file.data, fault->line,
                (int)fault->message.size, fault->message.data);
}

struct world {
    cairn_store *store;
    cairn_apps *apps;
    _Atomic uint64_t done, failed;
    _Atomic uint64_t wanted; /* of `done`, by the thread that waits; UINT64_MAX: nobody does */
    pthread_mutex_t lock;
    pthread_cond_t reached;
};

static bool
open_world(const struct settings *settings, struct world *world)
{
    const cairn_app_file files[] = {{CAIRN_STR("app.yaml"), cairn_cstr(MANIFEST)}, {CAIRN_STR("add.json"), cairn_cstr(ADD)},
                                    {CAIRN_STR("added.json"), cairn_cstr(ADDED)}, {CAIRN_STR("counter.lua"), cairn_cstr(LUA)}};
    char folder[512], models[520];
    cairn_error error = {0};
    snprintf(folder, sizeof folder, "%s/commands", settings->dir);
    snprintf(models, sizeof models, "%s/commands-apps", settings->dir);
    const cairn_options options = {.create = true, .snapshot_cache_bytes = 1};
    const cairn_apps_options apps = {.folder = models, .natives = NATIVES, .native_count = 1};
    cairn_err err = cairn_open(folder, &options, &world->store, &error);
    if (err == CAIRN_OK)
        err = cairn_apps_open(world->store, &apps, &world->apps, &error);
    cairn_deployed deployed;
    if (err == CAIRN_OK)
        err = cairn_app_deploy(world->apps, files, sizeof files / sizeof *files, &(cairn_deploy_options){0}, on_fault,
                               NULL, &deployed, &error);
    if (err != CAIRN_OK)
        failure("commands: %s", error.detail);
    return err == CAIRN_OK;
}

static void
close_world(struct world *world)
{
    cairn_apps_close(world->apps);
    cairn_close(world->store);
}

/* ---- load --------------------------------------------------------------------------------------- */

static void
on_done(void *context, cairn_err err, const cairn_outcome *outcome, const cairn_error *error)
{
    struct world *world = context;
    (void)outcome;
    if (err != CAIRN_OK && atomic_fetch_add(&world->failed, 1) == 0)
        failure("commands: %s", error->detail);
    if (atomic_fetch_add(&world->done, 1) + 1 >= atomic_load(&world->wanted)) {
        pthread_mutex_lock(&world->lock);
        pthread_cond_signal(&world->reached);
        pthread_mutex_unlock(&world->lock);
    }
}

static bool
submit(struct world *world, const char *command, uint64_t id)
{
    char data[64];
    cairn_error error = {0};
    int size = snprintf(data, sizeof data, "{\"id\":%llu,\"n\":1}", (unsigned long long)id);
    const cairn_command with = {.app = CAIRN_STR("bench"), .name = cairn_cstr(command), .data = {data, (size_t)size},
                                .deadline_ms = 60000};
    cairn_err err = cairn_command_async(world->apps, &with, on_done, world, &error);
    if (err != CAIRN_OK)
        failure("commands: %s", error.detail);
    return err == CAIRN_OK;
}

static void
await_done(struct world *world, uint64_t count)
{
    pthread_mutex_lock(&world->lock);
    atomic_store(&world->wanted, count);
    while (atomic_load(&world->done) < count)
        pthread_cond_wait(&world->reached, &world->lock);
    atomic_store(&world->wanted, UINT64_MAX);
    pthread_mutex_unlock(&world->lock);
}

static void
run_load(struct world *world, const char *command, unsigned clients, double seconds, const char *figure)
{
    uint64_t first = world->done, submitted = first, begin = now_ns();
    double used = cpu_self_s();
    while ((double)(now_ns() - begin) / 1e9 < seconds) {
        for (unsigned i = 0; i < 16; i++, submitted++)
            if (!submit(world, command, submitted % STREAMS))
                return;
        if (submitted - world->done + 16 > clients)
            await_done(world, submitted + 16 - clients);
    }
    await_done(world, submitted);
    double took = (double)(now_ns() - begin) / 1e9;
    figure_add((double)(submitted - first) / took, "commands.%s_x%u.per_s", figure, clients);
    figure_add((cpu_self_s() - used) / took, "commands.%s_x%u.cores", figure, clients);
}

/* ---- rebuilding ------------------------------------------------------------------------------------ */

static bool
count_bytes(void *context, cairn_str bytes)
{
    *(size_t *)context += bytes.size;
    return true;
}

static void
build_aggregates(struct world *world, const char *command)
{
    for (unsigned i = 0; i < LONG_EVENTS; i++) {
        uint64_t wanted = world->done + LONG_STREAMS;
        for (unsigned j = 0; j < LONG_STREAMS; j++)
            if (!submit(world, command, 1000000 + j))
                return;
        await_done(world, wanted);
    }
}

static void
time_rebuilds(struct world *world, const char *category, const char *figure)
{
    static struct histogram histogram;
    memset(&histogram, 0, sizeof histogram);
    for (unsigned i = 0; i < 10 * LONG_STREAMS; i++) {
        char stream[40];
        size_t size = 0;
        cairn_error error = {0};
        snprintf(stream, sizeof stream, "%s-%u", category, 1000000 + i % LONG_STREAMS);
        uint64_t begin = now_ns();
        if (cairn_app_state(world->apps, CAIRN_STR("bench"), cairn_cstr(stream), -1, count_bytes, &size, &error)
            != CAIRN_OK) {
            failure("commands: %s", error.detail);
            return;
        }
        histogram_add(&histogram, now_ns() - begin);
    }
    figure_add(histogram_us(&histogram, 0.5), "aggregate.%s.p50_us", figure);
}

void
part_commands(const struct settings *settings)
{
    static const unsigned clients[] = {64, 256, 1024};
    static const struct {
        const char *command, *category, *figure;
    } aggregates[] = {{"AddC", "c", "c"}, {"AddCKept", "ckept", "c_snapshot"}, {"AddLua", "lua", "lua"},
                      {"AddLuaKept", "luakept", "lua_snapshot"}};
    struct world world = {.wanted = UINT64_MAX, .lock = PTHREAD_MUTEX_INITIALIZER,
                          .reached = PTHREAD_COND_INITIALIZER};
    if (!open_world(settings, &world)) {
        close_world(&world);
        return;
    }
    for (size_t i = 0; i < sizeof aggregates / sizeof *aggregates; i++)
        build_aggregates(&world, aggregates[i].command);
    for (unsigned round = 0; round < settings->rounds; round++) {
        for (size_t i = 0; i < sizeof clients / sizeof *clients; i++) {
            run_load(&world, "AddC", clients[i], settings->slice_s, "c");
            run_load(&world, "AddLua", clients[i], settings->slice_s, "lua");
        }
        for (size_t i = 0; i < sizeof aggregates / sizeof *aggregates; i++)
            time_rebuilds(&world, aggregates[i].category, aggregates[i].figure);
    }
    close_world(&world);
}
