/* Relays: their definitions, their threads, what they say. See relay.h. */
#include "relay_int.h"

#include <base/json.h>
#include <base/text.h>
#include <os/os.h>
#include <os/thread.h>
#include <os/wait.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define STREAM_SIZE 96
#define DELETED CAIRN_STR("$relay-deleted") /* type of an event; a relay's own is "$relay" */

/* ---- state that others see ------------------------------------------------------------------------------------------ */

void
relay_say(struct relay *relay, const char *state, const char *format, ...)
{
    char detail[sizeof relay->detail];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&relay->lock);
    bool news = relay->state != state || strcmp(relay->detail, detail) != 0;
    relay->state = state;
    memcpy(relay->detail, detail, sizeof detail);
    pthread_mutex_unlock(&relay->lock);
    if (news && relay->relays->log != NULL)
        relay->relays->log(relay->relays->log_context, detail[0] != '\0', relay->name, detail[0] ? detail : state);
}

void
relay_count(struct relay *relay, uint64_t records, uint64_t lag)
{
    pthread_mutex_lock(&relay->lock);
    relay->records_total += records;
    relay->lag = lag;
    if (records > 0)
        relay->last_time_us = os_now_us(os_real());
    pthread_mutex_unlock(&relay->lock);
}

void
relay_reached(struct relay *relay, const struct relay_places *places)
{
    uint64_t reached = 0;
    for (size_t i = 0; i < places->count; i++)
        reached += places->next[i];
    pthread_mutex_lock(&relay->lock);
    relay->reached = reached;
    pthread_mutex_unlock(&relay->lock);
}

/* Records of a topic here, those that are gone among them: as many as are behind a relay that has not begun. */
static uint64_t
end_of(const struct relays *relays, cairn_str topic)
{
    cairn_topic_ref *ref;
    uint64_t end = 0;
    if (cairn_topic_get(relays->store, relays->scope, topic, &ref, NULL) != CAIRN_OK)
        return 0;
    for (uint32_t i = 0; i < cairn_topic_of(ref)->partitions; i++) {
        cairn_partition_info info;
        if (cairn_partition_get(relays->store, relays->scope, &cairn_topic_of(ref)->id, i, &info, NULL) == CAIRN_OK)
            end += info.end;
    }
    cairn_topic_release(ref);
    return end;
}

void
relay_sleep(struct relay *relay, uint32_t seen, unsigned ms)
{
    if (!relay_stopping(relay))
        os_wait(&relay->wake, seen, (uint64_t)ms * 1000);
}

/* ---- places ---------------------------------------------------------------------------------------------------------------- */

static cairn_str
stream_of(char to[STREAM_SIZE], const char *prefix, const char *name)
{
    int size = snprintf(to, STREAM_SIZE, "%s%s", prefix, name);
    return (cairn_str){to, (size_t)size};
}

void
relay_places_free(struct relay_places *places)
{
    free(places->next);
    *places = (struct relay_places){0};
}

bool
relay_places_grow(struct relay_places *places, size_t count)
{
    if (count <= places->count)
        return true;
    uint64_t *next = realloc(places->next, count * sizeof *next);
    if (next == NULL)
        return false;
    memset(next + places->count, 0, (count - places->count) * sizeof *next);
    places->next = next;
    places->count = count;
    return true;
}

void
relay_places_put(const struct relay_places *places, struct buf *to)
{
    buf_put_char(to, '{');
    if (places->topic[0])
        json_put_text_member(to, "topic", cairn_cstr(places->topic));
    json_put_name(to, "offsets");
    buf_put_char(to, '[');
    for (size_t i = 0; i < places->count; i++) {
        json_put_comma(to);
        json_put_u64(to, places->next[i]);
    }
    buf_put_str(to, CAIRN_STR("]}"));
}

bool
relay_places_get(struct relay_places *places, cairn_str text)
{
    struct json json, name, item;
    if (json_check(text, &json, NULL) != CAIRN_OK)
        return false;
    struct json offsets = json_get(json, "offsets"), topic = json_get(json, "topic");
    size_t count = json_count(offsets), i = 0;
    if (offsets.type != JSON_ARRAY || count > RELAY_PARTITIONS_MAX || !relay_places_grow(places, count))
        return false;
    for (struct json_walk walk = json_walk(offsets); json_next(&walk, &name, &item); i++)
        if (!json_u64(item, &places->next[i]))
            return false;
    if (topic.type == JSON_STRING && topic.raw.size == UUID_TEXT_SIZE + 1) { /* its quotes instead of a final 0 */
        memcpy(places->topic, topic.raw.data + 1, UUID_TEXT_SIZE - 1);
        places->topic[UUID_TEXT_SIZE - 1] = '\0';
    }
    return true;
}

cairn_err
relay_places_load(struct relay *relay, struct relay_places *ret, cairn_error *error)
{
    char text[STREAM_SIZE];
    cairn_str stream = stream_of(text, "$relayed-", relay->name);
    cairn_reader *reader;
    cairn_recorded event;
    const cairn_read_options options = {.scope = relay->relays->scope, .from = CAIRN_FROM_END, .direction = CAIRN_BACKWARD};
    *ret = (struct relay_places){.revision = CAIRN_NONE};
    cairn_err err = cairn_read_stream(relay->relays->store, stream, &options, &reader, error);
    if (err != CAIRN_OK)
        return err;
    err = cairn_reader_next(reader, &event, error);
    if (err == CAIRN_OK) {
        ret->revision = (int64_t)event.revision;
        if (!relay_places_get(ret, event.event.data))
            err = error_set(error, CAIRN_E_CORRUPT, "the newest event of %s does not say where the relay stands", text);
    }
    cairn_reader_free(reader);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

cairn_err
relay_places_save(struct relay *relay, struct relay_places *places, const cairn_batch *batches, size_t batch_count,
                  cairn_error *error)
{
    char text[STREAM_SIZE];
    struct buf data = {0};
    relay_places_put(places, &data);
    if (data.failed) {
        buf_free(&data);
        return error_set(error, CAIRN_E_NOMEM, "no memory for a relay's offsets");
    }
    const cairn_event event = {.type = CAIRN_STR("$relayed"), .data = buf_str(&data)};
    const cairn_write write = {.stream = stream_of(text, "$relayed-", relay->name), .expected = places->revision,
                               .events = &event, .event_count = 1};
    const cairn_append_request request = {.scope = relay->relays->scope, .writes = &write, .write_count = 1, .batches = batches,
                                          .batch_count = batch_count, .system = true};
    cairn_at at;
    cairn_err err = cairn_append_all(relay->relays->store, &request, &at, error);
    if (err == CAIRN_OK)
        places->revision = places->revision == CAIRN_NONE ? 0 : places->revision + 1;
    buf_free(&data);
    return err;
}

/* ---- a relay's thread --------------------------------------------------------------------------------------------------------- */

/* Faults come and go (Kafka is away, the disk is full): wait longer each time, begin anew when it has worked for a while. */
static void *
relay_main(void *context)
{
    struct relay *relay = context;
    unsigned back_off_ms = RELAY_BACK_OFF_MS;
    while (!relay_stopping(relay)) {
        uint32_t seen = atomic_load(&relay->wake);
        cairn_error error = {0};
        uint64_t before = relay->records_total;
        relay->reason[0] = '\0';
        cairn_err err = relay->spec.out ? relay_run_out(relay, &error) : relay_run_in(relay, &error);
        if (relay_stopping(relay))
            break;
        if (relay->records_total > before)
            back_off_ms = RELAY_BACK_OFF_MS;
        if (err == CAIRN_OK)
            continue; /* its topic has changed: at once, by what it is now */
        relay_say(relay, "waiting", "%s", error.detail[0] ? error.detail : cairn_err_name(err));
        relay_sleep(relay, seen, back_off_ms);
        back_off_ms = back_off_ms * 2 < RELAY_BACK_OFF_MOST_MS ? back_off_ms * 2 : RELAY_BACK_OFF_MOST_MS;
    }
    relay_say(relay, "stopped", "%s", "");
    return NULL;
}

static void
set_started(struct relay *relay, bool started)
{
    pthread_mutex_lock(&relay->relays->lock);
    relay->started = started;
    pthread_mutex_unlock(&relay->relays->lock);
}

static void
tell_to_stop(struct relay *relay)
{
    atomic_store(&relay->stop, true);
    atomic_fetch_add(&relay->wake, 1);
    os_wake(&relay->wake, 1);
}

/* May take as long as a call to Kafka: without the list's lock. */
static void
relay_halt(struct relay *relay)
{
    if (!relay->started)
        return;
    tell_to_stop(relay);
    pthread_join(relay->thread, NULL);
    set_started(relay, false);
    atomic_store(&relay->stop, false);
}

/* How far it is when that is known here: its lag is right also while Kafka has never answered. */
static void
know_reached(struct relay *relay)
{
    struct relay_places places;
    if (!relay->spec.out || relay->spec.transactions)
        return;
    if (relay_places_load(relay, &places, NULL) == CAIRN_OK) /* otherwise its thread will say why not */
        relay_reached(relay, &places);
    relay_places_free(&places);
}

static cairn_err
relay_begin(struct relay *relay, cairn_error *error)
{
    know_reached(relay);
    if (relay->spec.paused) {
        relay_say(relay, "paused", "%s", "");
        return CAIRN_OK;
    }
    pthread_mutex_lock(&relay->lock); /* it runs from when its lag is known: who waits for "running" and 0 must not be told so before */
    relay->state = "waiting";
    snprintf(relay->detail, sizeof relay->detail, "for Kafka's first answer");
    pthread_mutex_unlock(&relay->lock);
    if (os_thread_start(&relay->thread, "cairn-relay", relay_main, relay) != 0)
        return error_set(error, CAIRN_E_NOMEM, "cannot start a thread for the relay %s", relay->name);
    set_started(relay, true);
    return CAIRN_OK;
}

static void
relay_free(struct relay *relay)
{
    if (relay == NULL)
        return;
    relay_halt(relay);
    pthread_mutex_destroy(&relay->lock);
    free(relay->definition);
    free(relay);
}

/* ---- definitions ------------------------------------------------------------------------------------------------------------------ */

static bool
name_valid(cairn_str name)
{
    if (name.size == 0 || name.size > RELAY_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!plain && (i == 0 || (c != '.' && c != '_' && c != '-')))
            return false;
    }
    return true;
}

/* Every setting is text, a number, true or false, or {"env": …}; and one that may be set. */
static cairn_err
check_client(cairn_str client, cairn_error *error)
{
    struct json json, name, value;
    cairn_error inner = {0};
    if (json_check(client, &json, &inner) != CAIRN_OK || json.type != JSON_OBJECT)
        return error_set(error, CAIRN_E_INVALID, "client: is not a JSON object of librdkafka's settings%s%s",
                         inner.detail[0] ? ": " : "", inner.detail);
    if (json_get(json, "bootstrap.servers").type != JSON_STRING)
        return error_set(error, CAIRN_E_INVALID, "client: \"bootstrap.servers\" is missing: where Kafka is, as host:port,…");
    for (struct json_walk walk = json_walk(json); json_next(&walk, &name, &value);) {
        cairn_str text = {name.raw.data + 1, name.raw.size - 2};
        bool plain = value.type == JSON_STRING || value.type == JSON_NUMBER || value.type == JSON_TRUE || value.type == JSON_FALSE
                     || (value.type == JSON_OBJECT && json_get(value, "env").type == JSON_STRING);
        if (!relay_setting_allowed(text))
            return error_set(error, CAIRN_E_INVALID, "client: \"%.*s\" is no setting that a relay may have",
                             (int)(text.size < 80 ? text.size : 80), text.data);
        if (!plain)
            return error_set(error, CAIRN_E_INVALID, "client: \"%.*s\" is neither a value nor {\"env\": \"NAME\"}", (int)text.size,
                             text.data);
    }
    return CAIRN_OK;
}

static cairn_err
check_spec(const struct relay_spec *spec, cairn_error *error)
{
    if (!name_valid(spec->name))
        return error_set(error, CAIRN_E_INVALID, "name: 1 to %d of a-z, 0-9, '.', '_' and '-', the first a letter or digit",
                         RELAY_NAME_MAX);
    if (spec->source.size == 0 || spec->source.size > 249 || spec->target.size > 249)
        return error_set(error, CAIRN_E_INVALID, "%s: a topic's name has 1 to 249 bytes",
                         spec->target.size > 249 ? "target" : "source");
    if (spec->transactions && !spec->out)
        return error_set(error, CAIRN_E_INVALID, "transactions: is about relays that go out; what comes in is exactly once anyway");
    return check_client(spec->client, error);
}

/* Of one that is deleted only what its name stays with. */
static void
put_definition(const struct relay_spec *spec, bool deleted, struct buf *to)
{
    buf_put_char(to, '{');
    json_put_text_member(to, "direction", spec->out ? CAIRN_STR("out") : CAIRN_STR("in"));
    json_put_text_member(to, "source", spec->source);
    json_put_text_member(to, "target", spec->target.size > 0 ? spec->target : spec->source);
    if (!deleted) {
        json_put_name(to, "client");
        json_put_compact(to, spec->client);
        json_put_bool_member(to, "transactions", spec->transactions);
        json_put_bool_member(to, "paused", spec->paused);
    }
    buf_put_char(to, '}');
}

/* Topics' names need no escapes. */
static bool
is_topic(struct json text, cairn_str name)
{
    return text.type == JSON_STRING && cairn_str_equal((cairn_str){text.raw.data + 1, text.raw.size - 2}, name);
}

/* Take over a definition; owned from here on. Its thread does not run; under the list's lock, since who looks at the list borrows. */
static cairn_err
apply_definition(struct relay *relay, char *text, size_t size, cairn_error *error)
{
    struct json json;
    if (json_check((cairn_str){text, size}, &json, error) != CAIRN_OK) {
        free(text);
        return error_set(error, CAIRN_E_CORRUPT, "the definition of the relay %s is not JSON", relay->name);
    }
    struct json source = json_get(json, "source"), target = json_get(json, "target");
    bool plain = source.type == JSON_STRING && target.type == JSON_STRING;
    pthread_mutex_lock(&relay->lock);
    free(relay->definition);
    relay->definition = text;
    relay->spec = (struct relay_spec){
        .name = cairn_cstr(relay->name),
        .out = json_string_is(json_get(json, "direction"), "out"),
        .source = plain ? (cairn_str){source.raw.data + 1, source.raw.size - 2} : (cairn_str){0}, /* topics' names need no escapes */
        .target = plain ? (cairn_str){target.raw.data + 1, target.raw.size - 2} : (cairn_str){0},
        .client = json_get(json, "client").raw,
        .transactions = json_get(json, "transactions").type == JSON_TRUE,
        .paused = json_get(json, "paused").type == JSON_TRUE,
    };
    pthread_mutex_unlock(&relay->lock);
    return plain ? CAIRN_OK : error_set(error, CAIRN_E_CORRUPT, "the definition of the relay %s lacks its topics", relay->name);
}

static cairn_err
append_definition(struct relays *relays, const char *name, cairn_str type, cairn_str data, cairn_error *error)
{
    char text[STREAM_SIZE];
    const cairn_event event = {.type = type, .data = data};
    const cairn_write write = {.stream = stream_of(text, "$relay-", name), .expected = CAIRN_ANY, .events = &event, .event_count = 1};
    const cairn_append_request request = {.scope = relays->scope, .writes = &write, .write_count = 1, .system = true};
    cairn_at at;
    return cairn_append_all(relays->store, &request, &at, error);
}

/* Where the name is, or would be. Under `changing` or the lock. */
static size_t
place_of(const struct relays *relays, cairn_str name, bool *ret_found)
{
    size_t i = 0;
    int order = 1;
    for (; i < relays->count; i++) {
        order = cairn_str_order(cairn_cstr(relays->list[i]->name), name);
        if (order >= 0)
            break;
    }
    *ret_found = i < relays->count && order == 0;
    return i;
}

static struct relay *
relay_new(struct relays *relays, cairn_str name)
{
    struct relay *relay = calloc(1, sizeof *relay);
    if (relay == NULL)
        return NULL;
    relay->relays = relays;
    memcpy(relay->name, name.data, name.size);
    relay->state = "stopped";
    pthread_mutex_init(&relay->lock, NULL);
    return relay;
}

static void
insert(struct relays *relays, struct relay *relay, size_t at)
{
    pthread_mutex_lock(&relays->lock);
    memmove(relays->list + at + 1, relays->list + at, (relays->count - at) * sizeof *relays->list);
    relays->list[at] = relay;
    relays->count++;
    pthread_mutex_unlock(&relays->lock);
}

/* Under `changing`: write the definition, then let the relay run by it. */
static cairn_err
put_alone(struct relays *relays, const struct relay_spec *spec, cairn_error *error)
{
    bool found;
    size_t at = place_of(relays, spec->name, &found);
    if (!found && relays->count == RELAYS_MAX)
        return error_set(error, CAIRN_E_LIMIT, "there are %d relays, which is the limit", RELAYS_MAX);
    struct relay *relay = found ? relays->list[at] : relay_new(relays, spec->name);
    struct buf data = {0};
    put_definition(spec, false, &data);
    if (relay == NULL || data.failed) {
        buf_free(&data);
        if (!found)
            relay_free(relay);
        return error_set(error, CAIRN_E_NOMEM, "no memory for a relay");
    }
    cairn_err err = append_definition(relays, relay->name, CAIRN_STR("$relay"), buf_str(&data), error);
    if (err != CAIRN_OK) {
        buf_free(&data);
        if (!found)
            relay_free(relay);
        return err;
    }
    if (!found)
        insert(relays, relay, at);
    relay_halt(relay);
    pthread_mutex_lock(&relays->lock);
    err = apply_definition(relay, data.data, data.size, error);
    pthread_mutex_unlock(&relays->lock);
    return err == CAIRN_OK ? relay_begin(relay, error) : err;
}

/* The places of one topic are none of another: whoever has had the name, also when it is deleted, was between the same topics. */
static cairn_err
check_topics(const struct relays *relays, const struct relay_spec *spec, cairn_error *error)
{
    char text[STREAM_SIZE], name[RELAY_NAME_MAX + 1];
    cairn_reader *reader;
    cairn_recorded event;
    const cairn_read_options options = {.scope = relays->scope, .from = CAIRN_FROM_END, .direction = CAIRN_BACKWARD};
    snprintf(name, sizeof name, "%.*s", (int)spec->name.size, spec->name.data);
    cairn_err err = cairn_read_stream(relays->store, stream_of(text, "$relay-", name), &options, &reader, error);
    if (err != CAIRN_OK)
        return err;
    err = cairn_reader_next(reader, &event, error);
    if (err == CAIRN_OK) {
        struct json had = json_trusted(event.event.data), source = json_get(had, "source"), target = json_get(had, "target");
        const bool out = json_string_is(json_get(had, "direction"), "out");
        const bool same = out == spec->out && is_topic(source, spec->source)
                          && is_topic(target, spec->target.size > 0 ? spec->target : spec->source);
        if (source.type == JSON_STRING && target.type == JSON_STRING && !same)
            err = error_set(error, CAIRN_E_EXISTS, "the relay %s %s %s from %.*s to %.*s; a relay of other topics has another name", name,
                            cairn_str_equal(event.event.type, DELETED) ? "went" : "goes", out ? "out" : "in", (int)source.raw.size - 2, source.raw.data + 1,
                            (int)target.raw.size - 2, target.raw.data + 1);
    }
    cairn_reader_free(reader);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

cairn_err
relay_put(struct relays *relays, const struct relay_spec *spec, cairn_error *error)
{
    cairn_err err = check_spec(spec, error);
    if (err != CAIRN_OK)
        return err;
    pthread_mutex_lock(&relays->changing);
    err = check_topics(relays, spec, error);
    if (err == CAIRN_OK)
        err = put_alone(relays, spec, error);
    pthread_mutex_unlock(&relays->changing);
    return err;
}

static cairn_err
not_found(cairn_str name, cairn_error *error)
{
    return error_set(error, CAIRN_E_NOTFOUND, "there is no relay %.*s", (int)(name.size < 80 ? name.size : 80), name.data);
}

cairn_err
relay_pause(struct relays *relays, cairn_str name, bool paused, cairn_error *error)
{
    bool found;
    pthread_mutex_lock(&relays->changing);
    size_t at = place_of(relays, name, &found);
    cairn_err err = found ? CAIRN_OK : not_found(name, error);
    if (found && relays->list[at]->spec.paused != paused) {
        struct relay_spec spec = relays->list[at]->spec;
        spec.paused = paused;
        err = put_alone(relays, &spec, error);
    }
    pthread_mutex_unlock(&relays->changing);
    return err;
}

cairn_err
relay_delete(struct relays *relays, cairn_str name, cairn_error *error)
{
    bool found;
    pthread_mutex_lock(&relays->changing);
    size_t at = place_of(relays, name, &found);
    struct relay *relay = found ? relays->list[at] : NULL;
    struct buf data = {0};
    if (found)
        put_definition(&relay->spec, true, &data);
    cairn_err err = !found        ? not_found(name, error)
                    : data.failed ? error_set(error, CAIRN_E_NOMEM, "no memory for a relay")
                                  : append_definition(relays, relay->name, DELETED, buf_str(&data), error);
    buf_free(&data);
    if (err == CAIRN_OK) {
        pthread_mutex_lock(&relays->lock);
        relays->count--;
        memmove(relays->list + at, relays->list + at + 1, (relays->count - at) * sizeof *relays->list);
        pthread_mutex_unlock(&relays->lock);
        relay_free(relay);
    }
    pthread_mutex_unlock(&relays->changing);
    return err;
}

void
relays_visit(struct relays *relays, relay_visit visit, void *context)
{
    bool more = true;
    pthread_mutex_lock(&relays->lock);
    for (size_t i = 0; more && i < relays->count; i++) {
        struct relay *relay = relays->list[i];
        struct relay_status status;
        pthread_mutex_lock(&relay->lock);
        status = (struct relay_status){.spec = relay->spec, .state = relay->state, .records_total = relay->records_total,
                                       .lag = relay->lag, .last_time_us = relay->last_time_us};
        memcpy(status.detail, relay->detail, sizeof status.detail);
        const uint64_t reached = relay->reached;
        pthread_mutex_unlock(&relay->lock);
        if (status.spec.out) {
            const uint64_t end = end_of(relays, status.spec.source);
            status.lag = end > reached ? end - reached : 0;
        }
        more = visit(context, &status);
    }
    pthread_mutex_unlock(&relays->lock);
}

/* ---- opening ------------------------------------------------------------------------------------------------------------------------ */

struct loading {
    struct relays *relays;
    cairn_err err;
    cairn_error *error;
};

/* The newest event of a relay's stream: its definition, or that it has been deleted. */
static bool
load_one(void *context, cairn_str stream, uint64_t first_position)
{
    (void)first_position;
    struct loading *loading = context;
    struct relays *relays = loading->relays;
    const cairn_str name = {stream.data + sizeof "$relay-" - 1, stream.size - (sizeof "$relay-" - 1)};
    const cairn_read_options options = {.scope = relays->scope, .from = CAIRN_FROM_END, .direction = CAIRN_BACKWARD};
    cairn_reader *reader;
    cairn_recorded event;
    if (!name_valid(name) || relays->count == RELAYS_MAX)
        return true;
    loading->err = cairn_read_stream(relays->store, stream, &options, &reader, loading->error);
    if (loading->err != CAIRN_OK)
        return false;
    loading->err = cairn_reader_next(reader, &event, loading->error);
    if (loading->err == CAIRN_OK && !cairn_str_equal(event.event.type, DELETED)) {
        bool found;
        size_t at = place_of(relays, name, &found);
        struct relay *relay = relay_new(relays, name);
        char *text = malloc(event.event.data.size);
        if (relay == NULL || text == NULL) {
            free(text);
            relay_free(relay);
            loading->err = error_set(loading->error, CAIRN_E_NOMEM, "no memory for a relay");
        } else {
            memcpy(text, event.event.data.data, event.event.data.size);
            insert(relays, relay, at);
            loading->err = apply_definition(relay, text, event.event.data.size, loading->error);
        }
    }
    cairn_reader_free(reader);
    if (loading->err == CAIRN_E_END)
        loading->err = CAIRN_OK;
    return loading->err == CAIRN_OK;
}

/* Something has been committed: relays that go out may have more to do. On the commit thread. */
static void
on_commit(void *context, uint64_t end)
{
    (void)end;
    struct relays *relays = context;
    if (pthread_mutex_trylock(&relays->lock) != 0)
        return; /* the list is being changed: they look by themselves soon */
    for (size_t i = 0; i < relays->count; i++) {
        struct relay *relay = relays->list[i];
        if (relay->started && relay->spec.out) {
            atomic_fetch_add(&relay->wake, 1);
            os_wake(&relay->wake, 1);
        }
    }
    pthread_mutex_unlock(&relays->lock);
}

cairn_err
relays_open(cairn_store *store, cairn_scope scope, relay_log log, void *log_context, struct relays **ret, cairn_error *error)
{
    struct relays *relays = calloc(1, sizeof *relays);
    if (relays == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for relays");
    cairn_stats stats;
    cairn_stats_get(store, &stats);
    relays->store = store;
    relays->scope = scope;
    relays->log_id = stats.log_id;
    relays->log = log;
    relays->log_context = log_context;
    pthread_mutex_init(&relays->changing, NULL);
    pthread_mutex_init(&relays->lock, NULL);
    struct loading loading = {relays, CAIRN_OK, error};
    cairn_err err = cairn_streams(store, scope, CAIRN_STR("$relay-"), (cairn_str){0}, load_one, &loading, error);
    if (err == CAIRN_OK)
        err = loading.err;
    for (size_t i = 0; err == CAIRN_OK && i < relays->count; i++)
        err = relay_begin(relays->list[i], error);
    if (err != CAIRN_OK) {
        relays_close(relays);
        return err;
    }
    cairn_on_commit(store, on_commit, relays);
    *ret = relays;
    return CAIRN_OK;
}

void
relays_close(struct relays *relays)
{
    if (relays == NULL)
        return;
    cairn_on_commit(relays->store, NULL, relays);
    for (size_t i = 0; i < relays->count; i++) /* all are told before the first is waited for */
        if (relays->list[i]->started)
            tell_to_stop(relays->list[i]);
    for (size_t i = 0; i < relays->count; i++)
        relay_free(relays->list[i]);
    pthread_mutex_destroy(&relays->lock);
    pthread_mutex_destroy(&relays->changing);
    free(relays);
}
