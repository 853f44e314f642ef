/* apps.c: apps on a real server, over HTTP: commands decided in Lua, queries by key; and the peers that handle commands.
 *
 * Two servers with default settings, each with one of the apps in bench/app, deployed by the program itself: `orders` has nothing
 * that reads its events, `items` a projection and a query. A command carries the 256 bytes that its event then has, and each client
 * writes to a stream of its own, as in append.c; PostgreSQL's function, which only inserts, takes its turn in every round. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#define CLIENTS_MAX 64
#define ITEMS 10000 /* as random_keys.lua has them */
#define MODEL_TRIES 2000 /* 5 ms apart */

/* ---- servers ------------------------------------------------------------------------------- */

static struct cairn_server orders = {.pid = -1}, items = {.pid = -1};

static bool
start(const struct settings *settings, const char *app, struct cairn_server *ret)
{
    char name[32], folder[512], url[64], said[2048];
    snprintf(name, sizeof name, "cairn-%s", app);
    if (!cairn_server_start(settings, name, ret))
        return false;
    snprintf(folder, sizeof folder, "%s/%s", settings->apps, app);
    snprintf(url, sizeof url, "http://127.0.0.1:%u", ret->port);
    const char *arguments[] = {settings->server, "deploy", folder, "--url", url, NULL};
    if (process_run(arguments, said, sizeof said))
        return true;
    failure("apps: cannot deploy %s: %s", folder, said);
    cairn_server_stop(ret);
    return false;
}

/* ---- commands ------------------------------------------------------------------------------ */

struct load {
    struct cairn_server *server;
    const char *target, *member;
    bool keyed;
};
static struct load placed = {&orders, "/v1/apps/orders/commands/Place", "order", false},
                   placed_keyed = {&orders, "/v1/apps/orders/commands/Place", "order", true},
                   noted = {&items, "/v1/apps/items/commands/Note", "item", false};

static bool
commands_open(struct contender *self, const struct settings *settings)
{
    (void)settings;
    return ((struct load *)self->state)->server->pid > 0;
}

static bool
commands_run(struct contender *self, const struct shape *shape, struct sample *ret)
{
    const struct load *load = self->state;
    void *connections[CLIENTS_MAX];
    bool ok = shape->clients <= CLIENTS_MAX;
    unsigned count = 0;
    for (; ok && count < shape->clients; count++) {
        char value[24];
        snprintf(value, sizeof value, "c%u", count);
        if ((connections[count] = http_connect(load->server->port)) == NULL)
            break;
        ok = http_prepare_command(connections[count], load->target, load->member, value, load->keyed);
    }
    ok = ok && count == shape->clients && load_run(&HTTP_WIRE, connections, shape, load->server->pid, ret);
    while (count-- > 0)
        http_disconnect(connections[count]);
    return ok;
}

static void
commands_close(struct contender *self)
{
    (void)self;
}

#define LUA_CONTENDER(name, text, load) \
    {.key = name, .label = text, .open = commands_open, .run = commands_run, .close = commands_close, .state = load}
static struct contender LUA = LUA_CONTENDER("cairn_lua", "Cairn, commands in Lua over HTTP", &placed),
                        LUA_KEYED = LUA_CONTENDER("cairn_lua_keyed", "  the same, with idempotency keys", &placed_keyed),
                        LUA_PROJECTED = LUA_CONTENDER("cairn_lua_projected", "  the same, with a projection", &noted);
static struct contender *const contenders[] = {&LUA, &POSTGRES, &LUA_KEYED, &LUA_PROJECTED, &EMMETT, &EVENTSOURCING};
#define CONTENDERS (sizeof contenders / sizeof *contenders)

static void
run_shape(const struct shape *shape, bool backward)
{
    disk_settle();
    for (size_t i = 0; i < CONTENDERS; i++) {
        struct contender *contender = contenders[backward ? CONTENDERS - 1 - i : i];
        struct sample sample = {0};
        if (!contender->ready)
            continue;
        if (contender->run(contender, shape, &sample))
            sample_add_as("apps", shape, contender->key, &sample);
        else
            failure("%s: commands of %u clients failed", contender->label, shape->clients);
    }
}

/* ---- queries ------------------------------------------------------------------------------- */

static bool
note_all(struct http_connection **connections, unsigned from, unsigned count)
{
    unsigned sent = 0, answered = 0;
    for (bool ok = true; ok && sent < count; sent += ok) {
        char value[24];
        snprintf(value, sizeof value, "%u", from + sent);
        ok = http_prepare_command(connections[sent], noted.target, noted.member, value, false)
             && HTTP_WIRE.send(connections[sent], NULL);
    }
    while (answered < sent && http_wait(connections[answered]))
        answered++;
    return answered == count;
}

/* The read model has reached what was answered before: an item that is noted now is in it. */
static bool
await_model(void)
{
    static unsigned marks;
    char value[32], target[128];
    struct http_connection *connection = http_connect(items.port);
    snprintf(value, sizeof value, "mark%u", marks++);
    snprintf(target, sizeof target, "/v1/apps/items/queries/item?id=%s", value);
    bool ok = connection != NULL && http_prepare_command(connection, noted.target, noted.member, value, false)
              && HTTP_WIRE.send(connection, NULL) && http_wait(connection);
    http_disconnect(connection);
    for (unsigned i = 0; ok && i < MODEL_TRIES; i++, sleep_ms(5))
        if (http_get(items.port, target, NULL) == 200)
            return true;
    failure("apps: the projection does not follow");
    return false;
}

static bool
fill_items(void)
{
    struct http_connection *connections[CLIENTS_MAX] = {NULL};
    bool ok = true;
    for (unsigned i = 0; ok && i < CLIENTS_MAX; i++)
        ok = (connections[i] = http_connect(items.port)) != NULL;
    for (unsigned from = 0; ok && from < ITEMS; from += CLIENTS_MAX)
        ok = note_all(connections, from, ITEMS - from < CLIENTS_MAX ? ITEMS - from : CLIENTS_MAX);
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        http_disconnect(connections[i]);
    if (!ok)
        failure("apps: cannot make %d items", ITEMS);
    return ok && await_model();
}

struct queries {
    bool ready;
    pid_t null;
    unsigned null_port;
    char script[512];
};

static void
queries_open(const struct settings *settings, struct queries *queries)
{
    size_t size = 0;
    *queries = (struct queries){.null = -1};
    if (items.pid <= 0 || !fill_items() || http_get(items.port, "/v1/apps/items/queries/item?id=4711", &size) != 200)
        return;
    snprintf(queries->script, sizeof queries->script, "%s/random_keys.lua", settings->apps);
    figure_add((double)size, "query.row_bytes");
    queries->null = null_server_start(&queries->null_port, size);
    queries->ready = queries->null > 0;
}

static void
queries_run(const struct settings *settings, struct queries *queries)
{
    queries->ready = queries->ready && await_model()
                     && wrk_run(settings, queries->null, queries->null_port, "/", queries->script, "query.null")
                     && wrk_run(settings, items.pid, items.port, "/", queries->script, "query.by_key");
}

/* -------------------------------------------------------------------------------------------- */

void
part_apps(const struct settings *settings)
{
    static const struct shape shapes[] = {{1, 1, 0}, {1, 64, 0}};
    struct queries queries;
    if (settings->server == NULL) {
        remark("apps: LEFT OUT, there is no server program");
        return;
    }
    if (!disk_open(settings))
        return;
    if (start(settings, "orders", &orders) && start(settings, "items", &items)) {
        for (size_t i = 0; i < CONTENDERS; i++)
            contenders[i]->ready = contenders[i]->open(contenders[i], settings);
        queries_open(settings, &queries);
        for (unsigned round = 0; round < settings->rounds; round++) {
            progress("commands and queries over HTTP, round %u of %u", round + 1, settings->rounds);
            for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
                struct shape shape = shapes[i];
                shape.seconds = settings->slice_s;
                run_shape(&shape, round % 2 == 1);
            }
            queries_run(settings, &queries);
            peer_program_reads(&EMMETT, settings);
            peer_program_reads(&EVENTSOURCING, settings);
        }
        process_stop(queries.null, 9);
        for (size_t i = 0; i < CONTENDERS; i++)
            if (contenders[i]->ready)
                contenders[i]->close(contenders[i]);
    }
    cairn_server_stop(&orders);
    cairn_server_stop(&items);
    disk_close();
}
