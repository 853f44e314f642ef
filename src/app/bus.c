/* The bus: made, ended, and what the submitting thread does with a command: check, authorise, copy, hand over. bus.h is
 * the design, bus_int.h tells where everything is. */
#include "bus_int.h"

#include <os/thread.h>

#include <stdio.h>

#define DEADLINE_MS 10000
#define FAULTS_MAX 16

/* ---- making and ending -------------------------------------------------------------------------- */

static unsigned
worker_count(const cairn_apps_options *apps)
{
    unsigned count = apps->workers ? apps->workers : os_processors();
    unsigned most = apps->workers ? BUS_WORKERS_MAX : 16;
    return count > most ? most : count;
}

cairn_err
bus_create(const struct bus_options *options, struct bus **ret, cairn_error *error)
{
    struct bus *bus = calloc(1, sizeof *bus);
    if (bus == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for the command bus");
    bus->store = options->store;
    bus->os = options->store->os;
    bus->apps = *options->apps;
    bus->waiting_max = bus->apps.commands_waiting_max ? bus->apps.commands_waiting_max : 10000;
    bus->retries_max = bus->apps.retries_max ? bus->apps.retries_max : 16;
    if (bus->apps.state_cache_bytes == 0)
        bus->apps.state_cache_bytes = 64u << 20;
    if (bus->apps.state_cache_ttl_ms == 0)
        bus->apps.state_cache_ttl_ms = 600000;
    pthread_mutex_init(&bus->lock, NULL);
    bus->worker_count = worker_count(&bus->apps);
    bus->workers = calloc(bus->worker_count + BUS_WEBHOOK_WORKERS, sizeof *bus->workers);
    bus->snapshots = snapshots_start(bus);
    cairn_err err = bus->workers != NULL && bus->snapshots != NULL
                        ? CAIRN_OK
                        : error_set(error, CAIRN_E_NOMEM, "no memory for the command bus");
    for (unsigned i = 0; err == CAIRN_OK && i < bus->worker_count; i++)
        err = worker_start(&bus->workers[i], bus, i, error);
    if (err != CAIRN_OK) {
        bus_free(bus);
        return err;
    }
    *ret = bus;
    return CAIRN_OK;
}

void
bus_free(struct bus *bus)
{
    if (bus == NULL)
        return;
    atomic_store(&bus->closing, true);
    _Atomic uint32_t never = 0;
    while (atomic_load(&bus->waiting) > 0)
        os_wait(&never, 0, 1000); /* nobody wakes: whoever ends a command touches nothing of ours afterwards */
    for (unsigned i = 0; bus->workers != NULL && i < bus->worker_count + BUS_WEBHOOK_WORKERS; i++)
        worker_stop(&bus->workers[i]);
    snapshots_stop(bus->snapshots);
    for (struct meter *meter = bus->meters, *next; meter != NULL; meter = next) {
        next = meter->next;
        free(meter);
    }
    free(bus->workers);
    pthread_mutex_destroy(&bus->lock);
    free(bus);
}

void
bus_committed(struct bus *bus, uint64_t end)
{
    (void)bus; /* appends tell by themselves; what others write is seen when a state is used */
    (void)end;
}

/* ---- checking ------------------------------------------------------------------------------------- */

static const struct app_command *
find_command(const struct bus_app *app, cairn_str name)
{
    for (size_t i = 0; i < app->manifest->command_count; i++)
        if (cairn_str_equal(app->manifest->commands[i].name, name))
            return &app->manifest->commands[i];
    return NULL;
}

/* What is wrong with the data, as JSON: [{"path","keyword","message"}]. */
static void
put_faults(struct buf *to, const struct json_schema_fault *faults, size_t count)
{
    buf_put_char(to, '[');
    for (size_t i = 0; i < count; i++) {
        json_put_comma(to);
        buf_put_char(to, '{');
        json_put_text_member(to, "path", faults[i].instance);
        json_put_text_member(to, "keyword", faults[i].keyword);
        json_put_text_member(to, "message", faults[i].message);
        buf_put_char(to, '}');
    }
    buf_put_char(to, ']');
}

static cairn_err
check_data(const struct app_command *spec, cairn_str data, struct json *ret, struct buf *faults, cairn_error *error)
{
    cairn_error why = {0};
    cairn_err err = json_check(data, ret, &why);
    if (err == CAIRN_E_NOMEM)
        return error_set(error, err, "no memory to read the command");
    if (err != CAIRN_OK)
        return error_set(error, CAIRN_E_INVALID, "the command's data: %s", why.detail);
    if (ret->type != JSON_OBJECT)
        return error_set(error, CAIRN_E_INVALID, "the command's data must be a JSON object");
    if (spec->schema == NULL)
        return CAIRN_OK;
    struct arena arena = {.size_max = 16u << 20};
    struct json_schema_fault list[FAULTS_MAX];
    size_t count = 0;
    err = json_schema_validate(spec->schema, *ret, &arena, list, FAULTS_MAX, &count, error);
    if (err == CAIRN_E_INVALID)
        put_faults(faults, list, count);
    arena_free(&arena);
    return err;
}

static cairn_err
check_meta(cairn_str meta, cairn_error *error)
{
    struct json json;
    if (meta.size == 0)
        return CAIRN_OK;
    cairn_err err = json_check(meta, &json, error);
    if (err == CAIRN_OK && json.type != JSON_OBJECT)
        err = error_set(error, CAIRN_E_INVALID, "the command's meta must be a JSON object");
    return err;
}

static cairn_err
check_names(const struct bus *bus, const cairn_command *command, cairn_error *error)
{
    if (command->data.size > bus->store->event_size_max || command->meta.size > bus->store->event_size_max)
        return error_set(error, CAIRN_E_LIMIT, "the command's data or meta is larger than an event may be: %u bytes",
                         bus->store->event_size_max);
    if (command->key.size > BUS_KEY_MAX)
        return error_set(error, CAIRN_E_LIMIT, "the idempotency key is %zu bytes; the limit is %d", command->key.size,
                         BUS_KEY_MAX);
    const struct {
        const char *what;
        cairn_str text;
    } names[] = {{"idempotency key", command->key}, {"correlation", command->correlation},
                 {"causation", command->causation}, {"actor", command->actor}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i].text.size > 512)
            return error_set(error, CAIRN_E_LIMIT, "the %s is %zu bytes; the limit is 512", names[i].what,
                             names[i].text.size);
        if (!utf8_valid(names[i].text))
            return error_set(error, CAIRN_E_INVALID, "the %s is not valid UTF-8", names[i].what);
    }
    return check_meta(command->meta, error);
}

static cairn_err
fill_stream(const struct app_command *spec, struct json data, struct buf *to, cairn_error *error)
{
    cairn_err err = app_template_fill(spec->stream, data, to, error);
    if (err == CAIRN_OK && to->failed)
        err = error_set(error, CAIRN_E_NOMEM, "no memory for the command");
    if (err == CAIRN_OK && (to->size == 0 || to->size > 512 || to->data[0] == '$'))
        err = error_set(error, CAIRN_E_INVALID,
                        "the stream '%.*s' that the command is about: 1 to 512 bytes, not beginning with '$'",
                        (int)(to->size > 100 ? 100 : to->size), to->size ? to->data : "");
    return err;
}

/* ---- making the command ------------------------------------------------------------------------------ */

static cairn_str
put(char **to, cairn_str text)
{
    cairn_str copy = {*to, text.size};
    if (text.size > 0)
        memcpy(*to, text.data, text.size);
    *to += text.size;
    return copy;
}

static void
take_fingerprint(const cairn_command *command, uint8_t ret[16])
{
    const cairn_str pieces[] = {command->name, CAIRN_STR("\n"), command->data};
    uint8_t hash[32];
    sha256_pieces(pieces, 3, hash);
    memcpy(ret, hash, 16);
}

/* One allocation with everything in it. `stream` is filled in. */
static struct op *
make_op(struct bus *bus, const cairn_command *given, cairn_str stream)
{
    size_t key_size = given->key.size ? sizeof "$command-/" + given->app.size + given->key.size : 0;
    size_t size = sizeof(struct op) + given->app.size + given->name.size + given->data.size + given->correlation.size
                  + given->causation.size + given->actor.size + given->meta.size + stream.size + key_size
                  + UUID_TEXT_SIZE;
    struct op *op = malloc(size);
    if (op == NULL)
        return NULL;
    *op = (struct op){.command = *given};
    cairn_command *command = &op->command;
    char *to = (char *)(op + 1);
    command->app = put(&to, given->app);
    command->name = put(&to, given->name);
    command->data = put(&to, given->data);
    command->causation = put(&to, given->causation);
    command->actor = put(&to, given->actor);
    command->meta = put(&to, given->meta);
    op->stream = op->place = put(&to, stream);
    op->revision = -1;
    if (command->time_us == 0)
        command->time_us = os_now_us(bus->os);
    if (uuid_is_zero(command->id))
        command->id = bus_uuid(bus, command->time_us);
    if (given->key.size > 0) {
        op->key_stream.data = to;
        (void)put(&to, CAIRN_STR("$command-"));
        (void)put(&to, given->app);
        (void)put(&to, CAIRN_STR("/"));
        command->key = put(&to, given->key);
        op->key_stream.size = (size_t)(to - op->key_stream.data);
        take_fingerprint(command, op->fingerprint);
    }
    if (given->correlation.size > 0) {
        command->correlation = put(&to, given->correlation);
    } else {
        format_uuid(command->id, to);
        command->correlation = (cairn_str){to, UUID_TEXT_SIZE - 1};
    }
    return op;
}

static bool
fill_texts(struct op *op, const cairn_str *texts, size_t count, struct json data, const cairn_str **ret, struct buf *text,
           cairn_err *ret_err, cairn_error *error)
{
    cairn_str *filled = arena_alloc(&op->arena, (count + 1) * sizeof *filled);
    *ret = filled;
    for (size_t i = 0; filled != NULL && i < count; i++) {
        struct buf one = {0};
        *ret_err = app_template_fill(texts[i], data, &one, error);
        if (*ret_err == CAIRN_OK) {
            filled[i] = one.failed ? (cairn_str){0} : arena_copy(&op->arena, buf_str(&one));
            if (filled[i].data == NULL)
                filled = NULL;
            else
                buf_printf(text, "%zu:%.*s", filled[i].size, (int)filled[i].size, filled[i].data);
        }
        buf_free(&one);
        if (*ret_err != CAIRN_OK)
            return false;
    }
    return filled != NULL;
}

/* What a decision over several streams reads, and the same as text: states are cached by it. */
static cairn_err
fill_query(struct op *op, const struct app_decider *decider, struct json data, cairn_error *error)
{
    struct buf text = {0};
    cairn_err err = CAIRN_OK;
    cairn_query_item *items = arena_zalloc(&op->arena, decider->item_count * sizeof *items);
    bool good = items != NULL;
    for (size_t i = 0; good && i < decider->item_count; i++) {
        const struct app_query_item *item = &decider->items[i];
        items[i].type_count = item->type_count;
        items[i].tag_count = item->tag_count;
        buf_put_str(&text, CAIRN_STR("t"));
        good = fill_texts(op, item->types, item->type_count, data, &items[i].types, &text, &err, error);
        buf_put_str(&text, CAIRN_STR("g"));
        good = good && fill_texts(op, item->tags, item->tag_count, data, &items[i].tags, &text, &err, error);
    }
    if (good && !text.failed)
        op->place = arena_copy(&op->arena, buf_str(&text));
    op->query = (cairn_query){items, decider->item_count};
    op->over_streams = true;
    if (err == CAIRN_OK && (!good || text.failed || op->place.data == NULL))
        err = error_set(error, CAIRN_E_NOMEM, "no memory for the command");
    buf_free(&text);
    return err;
}

/* ---- submitting --------------------------------------------------------------------------------------- */

/* Everything up to the hand-over. On failure *ret is NULL, unless there was memory for one to tell with. */
static cairn_err
prepare(struct bus *bus, struct bus_app *app, const struct app_command *spec, const cairn_command *command,
        struct op **ret, struct buf *faults, cairn_error *error)
{
    cairn_err err = CAIRN_OK;
    for (size_t i = 0; err == CAIRN_OK && i < bus->apps.middleware_count; i++)
        if (bus->apps.middleware[i].before != NULL)
            err = bus->apps.middleware[i].before(bus->apps.middleware[i].context, command, error);
    if (err == CAIRN_OK && spec->permission.size > 0 && bus->apps.authorise != NULL)
        err = bus->apps.authorise(bus->apps.authorise_context, command->scope, command->actor, spec->permission, error);
    struct json data = {0};
    struct buf stream = {0};
    if (err == CAIRN_OK)
        err = check_names(bus, command, error);
    if (err == CAIRN_OK)
        err = check_data(spec, command->data, &data, faults, error);
    if (err == CAIRN_OK)
        err = fill_stream(spec, data, &stream, error);
    cairn_command named = *command;
    named.app = app->manifest->name;
    struct op *op = make_op(bus, &named, buf_str(&stream));
    buf_free(&stream);
    if (op == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for the command");
    *ret = op;
    const struct app_decider *decider = &app->manifest->deciders[spec->decider];
    if (err == CAIRN_OK && decider->item_count > 0)
        err = fill_query(op, decider, data, error);
    return err;
}

static struct worker *
worker_of(struct bus *bus, const struct app_decider *decider, uint64_t hash)
{
    if (decider->kind == APP_DECIDER_WEBHOOK)
        return &bus->workers[bus->worker_count + hash % BUS_WEBHOOK_WORKERS];
    return &bus->workers[hash % bus->worker_count];
}

cairn_err
bus_submit(struct bus *bus, struct bus_app *app, const cairn_command *command, cairn_command_done done, void *context,
           cairn_error *error)
{
    const struct app_command *spec = find_command(app, command->name);
    if (spec == NULL)
        return error_set(error, CAIRN_E_NOTFOUND, "the app %.*s has no command %.*s", (int)app->manifest->name.size,
                         app->manifest->name.data, (int)(command->name.size > 100 ? 100 : command->name.size),
                         command->name.data);
    uint64_t waiting = atomic_fetch_add(&bus->waiting, 1);
    if (atomic_load(&bus->closing)) {
        atomic_fetch_sub(&bus->waiting, 1);
        return error_set(error, CAIRN_E_CLOSED, "the apps are closing");
    }
    struct op *op = NULL;
    struct buf faults = {0};
    cairn_error why = {0};
    int64_t submitted_us = os_monotonic_us(bus->os);
    cairn_err err = prepare(bus, app, spec, command, &op, &faults, &why);
    if (op == NULL) {
        buf_free(&faults);
        if (error != NULL)
            *error = why;
        atomic_fetch_sub(&bus->waiting, 1);
        return err;
    }
    bus_app_hold(app);
    op->app = app;
    op->spec = spec;
    op->meter = app->meters[spec - app->manifest->commands];
    op->done = done;
    op->context = context;
    op->submitted_us = submitted_us;
    uint32_t deadline_ms = command->deadline_ms ? command->deadline_ms : spec->deadline_ms ? spec->deadline_ms : DEADLINE_MS;
    op->deadline_us = submitted_us + (int64_t)deadline_ms * 1000;
    op->hash = hash64(op->place.data, op->place.size, op->command.scope);
    op->worker = worker_of(bus, &app->manifest->deciders[spec->decider], op->hash);
    if (err == CAIRN_OK && waiting >= bus->waiting_max)
        err = error_set(&why, CAIRN_E_BUSY, "%u commands are waiting, which is the limit", bus->waiting_max);
    if (err != CAIRN_OK) {
        if (!faults.failed)
            op->details = buf_str(&faults);
        op_tell(op, err, NULL, false, &why);
        op_free(op);
        atomic_fetch_sub(&bus->waiting, 1);
    } else {
        worker_submit(op->worker, op);
    }
    buf_free(&faults);
    return CAIRN_OK;
}
