/* Dead letters: see dead.h. */
#include "dead.h"

#include <base/error.h>
#include <base/json.h>
#include <base/text.h>
#include <stdio.h>

#include "store.h"

#define BYTES_TYPE "application/octet-stream"
#define SLACK 512 /* what an event takes in the log beside what is counted here */

/* Of the ids of dead letters: UUIDv5 of a random name. */
static const cairn_uuid dead_namespace = {
    {0x5e, 0x0c, 0x1d, 0x52, 0x3b, 0x8f, 0x4e, 0x6a, 0x9a, 0x41, 0xd7, 0x24, 0x61, 0xf0, 0x8b, 0x93}};

bool
dead_error_passes(cairn_err err)
{
    return err == CAIRN_E_NOMEM || err == CAIRN_E_NOSPACE || err == CAIRN_E_BUSY || err == CAIRN_E_IO || err == CAIRN_E_READONLY
        || err == CAIRN_E_CLOSED || err == CAIRN_E_TIMEOUT || err == CAIRN_E_CONFLICT;
}

static cairn_err
no_memory(cairn_error *error)
{
    return error_set(error, CAIRN_E_NOMEM, "no memory for a dead letter");
}

/* ---- which topic ----------------------------------------------------------------------------------------------------------------- */

static cairn_str
category_of(cairn_str stream)
{
    const char *dash = stream.size > 0 ? memchr(stream.data, '-', stream.size) : NULL;
    return dash != NULL ? (cairn_str){stream.data, (size_t)(dash - stream.data)} : stream;
}

/* The topic that shows the category; what is needed of it is copied. */
struct source {
    cairn_str category;
    bool found;
    cairn_uuid id;
    uint32_t partitions;
    cairn_str name, dead;
    char name_text[TOPIC_NAME_MAX], dead_text[TOPIC_NAME_MAX];
};

static void
copy_source(struct source *source, const cairn_topic *topic)
{
    source->found = true;
    source->id = topic->id;
    source->partitions = topic->partitions;
    memcpy(source->name_text, topic->name.data, topic->name.size);
    source->name = (cairn_str){source->name_text, topic->name.size};
    struct json dead = topic->config.size > 0 ? json_get(json_trusted(topic->config), "cairn.dead.letter") : (struct json){0};
    cairn_str text = dead.type == JSON_STRING ? (cairn_str){dead.raw.data + 1, dead.raw.size - 2} : (cairn_str){0};
    if (topic_name_valid(text)) {
        memcpy(source->dead_text, text.data, text.size);
        source->dead = (cairn_str){source->dead_text, text.size};
    }
}

static bool
look_at_topic(void *context, const cairn_topic *topic, uint64_t revision)
{
    struct source *source = context;
    (void)revision;
    if (!cairn_str_equal(topic->category, source->category))
        return true;
    copy_source(source, topic);
    return false;
}

/* Most topics bear the name of their category; any may show it. */
static cairn_err
find_source(cairn_store *store, cairn_scope scope, cairn_str category, struct source *ret, cairn_error *error)
{
    char text[TOPIC_NAME_MAX];
    cairn_topic_ref *ref = NULL;
    *ret = (struct source){.category = category};
    cairn_str name = category_topic(category, text);
    cairn_err err = topic_name_valid(name) ? cairn_topic_get(store, scope, name, &ref, error) : CAIRN_E_NOTFOUND;
    if (err == CAIRN_OK)
        (void)look_at_topic(ret, cairn_topic_of(ref), 0);
    cairn_topic_release(ref);
    if (err != CAIRN_OK && err != CAIRN_E_NOTFOUND)
        return err;
    return ret->found ? CAIRN_OK : cairn_topics(store, scope, look_at_topic, ret, error);
}

/* A category may have what no topic's name has. */
static cairn_str
with_suffix(cairn_str name, char *to)
{
    size_t size = name.size < TOPIC_NAME_MAX - (sizeof DEAD_SUFFIX - 1) ? name.size : TOPIC_NAME_MAX - (sizeof DEAD_SUFFIX - 1);
    for (size_t i = 0; i < size; i++)
        to[i] = topic_name_valid((cairn_str){name.data + i, 1}) || name.data[i] == '.' ? name.data[i] : '_';
    memcpy(to + size, DEAD_SUFFIX, sizeof DEAD_SUFFIX - 1);
    return (cairn_str){to, size + sizeof DEAD_SUFFIX - 1};
}

static cairn_str
name_topic(const struct source *source, cairn_str wanted, char *to)
{
    char text[TOPIC_NAME_MAX];
    cairn_str name = wanted.size > 0 ? wanted : source->dead;
    if (name.size == 0)
        return with_suffix(source->found ? source->name : category_topic(source->category, text), to);
    memcpy(to, name.data, name.size);
    return (cairn_str){to, name.size};
}

cairn_str
dead_topic(cairn_store *store, cairn_scope scope, cairn_str category, cairn_str wanted, char *to)
{
    struct source source = {.category = category};
    if (wanted.size == 0)
        error_ignore(find_source(store, scope, category, &source, NULL)); /* only shown */
    return name_topic(&source, wanted, to);
}

/* The category of the topic, which is made when it is not there. Where it cannot be (too many topics; the category is another's) its
 * events are in the category all the same. */
static cairn_err
ensure_topic(cairn_store *store, cairn_scope scope, cairn_str name, uint32_t partitions, char *to, cairn_str *ret_category,
             cairn_error *error)
{
    const cairn_topic topic = {.name = name, .partitions = partitions > 0 ? partitions : 1};
    cairn_topic_ref *ref = NULL;
    cairn_err err = cairn_topic_get(store, scope, name, &ref, error);
    if (err == CAIRN_E_NOTFOUND)
        err = cairn_topic_put(store, scope, &topic, CAIRN_NONE, &ref, error);
    if (err == CAIRN_E_EXISTS) /* another consumer was quicker */
        err = cairn_topic_get(store, scope, name, &ref, error);
    if (err != CAIRN_OK && dead_error_passes(err))
        return err;
    *ret_category = topic_category(name, to);
    if (err == CAIRN_OK) {
        cairn_str category = cairn_topic_of(ref)->category;
        memcpy(to, category.data, category.size);
        *ret_category = (cairn_str){to, category.size};
        cairn_topic_release(ref);
    } else if (ret_category->data != to) {
        memcpy(to, name.data, name.size);
        *ret_category = (cairn_str){to, name.size};
    }
    return CAIRN_OK;
}

/* ---- where it stands in its own topic -------------------------------------------------------------------------------------------- */

/* The offset of a position in a partition. False: it is not there. */
static bool
find_offset(cairn_store *store, cairn_scope scope, const cairn_uuid *id, uint32_t partition, uint64_t position, uint64_t *ret)
{
    cairn_partition_info info;
    cairn_partition_reader *reader = NULL;
    bool found = false;
    if (cairn_partition_get(store, scope, id, partition, &info, NULL) != CAIRN_OK
        || cairn_read_partition(store, scope, id, partition, info.start, &reader, NULL) != CAIRN_OK)
        return false;
    for (uint64_t low = info.start, high = info.end; low < high && !found;) {
        uint64_t middle = low + (high - low) / 2;
        cairn_partition_item item;
        cairn_err err = cairn_partition_seek(reader, id, partition, middle, NULL);
        if (err == CAIRN_OK)
            err = cairn_partition_next(reader, &item, NULL);
        if (err != CAIRN_OK && err != CAIRN_E_END)
            break;
        if (err == CAIRN_E_END || position < item.position) {
            high = middle < item.first_offset || err == CAIRN_E_END ? middle : item.first_offset;
        } else if (position - item.position > item.last_offset - item.first_offset) {
            low = item.last_offset + 1;
        } else {
            *ret = item.first_offset + (position - item.position);
            found = true;
        }
    }
    cairn_partition_reader_free(reader);
    return found;
}

/* Where a client put it, or else the partition of its key. */
static uint32_t
partition_of(const struct source *source, const cairn_recorded *event)
{
    char room[RECORD_STREAM_MAX];
    cairn_str key = {0};
    uint64_t partition;
    if (event->event.meta.size > 0
        && json_u64(json_get(json_get(json_trusted(event->event.meta), "kafka"), "partition"), &partition)
        && partition < source->partitions)
        return (uint32_t)partition;
    return stream_record_key(event->stream, room, &key) ? key_partition(key, source->partitions) : 0;
}

/* ---- the event ------------------------------------------------------------------------------------------------------------------- */

struct making {
    cairn_store *store;
    cairn_scope scope;
    const struct dead_consumer *consumer;
    const struct dead_failure *failure;
    const cairn_recorded *event;
    struct source source;
    bool has_offset, lean, no_data; /* lean: without what the event's meta was */
    uint32_t partition;
    uint64_t offset;
};

static void
put_number_header(struct buf *to, const char *name, uint64_t n)
{
    json_put_name(to, name);
    buf_printf(to, "\"%llu\"", (unsigned long long)n);
}

static void
put_time_header(struct buf *to, const char *name, int64_t time_us)
{
    if (time_us <= 0)
        return;
    json_put_name(to, name);
    json_put_time(to, time_us);
}

void
dead_put_headers(struct buf *to, cairn_str meta)
{
    struct json name, value;
    struct json headers = json_get(json_get(json_trusted(meta), "kafka"), "headers");
    if (headers.type != JSON_OBJECT)
        headers = json_get(json_trusted(meta), "kafka_headers");
    if (headers.type != JSON_OBJECT)
        return;
    for (struct json_walk walk = json_walk(headers); json_next(&walk, &name, &value);) {
        cairn_str text = {name.raw.data + 1, name.raw.size - 2};
        if ((text.size >= 3 && memcmp(text.data, "ce_", 3) == 0) || (text.size >= 4 && memcmp(text.data, "dlq_", 4) == 0)
            || json_string_is(name, "content-type"))
            continue;
        json_put_comma(to);
        buf_put_str(to, name.raw);
        buf_put_char(to, ':');
        buf_put_str(to, value.raw);
    }
}

static void
put_headers(struct buf *to, const struct making *making)
{
    const cairn_recorded *event = making->event;
    const struct dead_consumer *consumer = making->consumer;
    const struct dead_failure *failure = making->failure;
    json_put_name(to, "kafka_headers");
    buf_put_char(to, '{');
    if (!making->lean && event->event.meta.size > 0)
        dead_put_headers(to, event->event.meta);
    json_put_text_member(to, "ce_type", event->event.type);
    json_put_text_member(to, "dlq_kind", cairn_cstr(consumer->kind));
    if (consumer->app.size > 0)
        json_put_text_member(to, "dlq_app", consumer->app);
    json_put_text_member(to, "dlq_consumer", consumer->name);
    json_put_text_member(to, "dlq_error_code", failure->code);
    json_put_text_member(to, "dlq_error", failure->detail);
    put_number_header(to, "dlq_attempts", failure->attempts);
    put_time_header(to, "dlq_first_failed", failure->first_us);
    put_time_header(to, "dlq_last_failed", failure->last_us);
    json_put_text_member(to, "dlq_type", event->event.type);
    json_put_text_member(to, "dlq_stream", event->stream);
    put_number_header(to, "dlq_revision", event->revision);
    put_number_header(to, "dlq_position", event->position);
    if (making->source.found)
        json_put_text_member(to, "dlq_topic", making->source.name);
    if (making->has_offset) {
        put_number_header(to, "dlq_partition", making->partition);
        put_number_header(to, "dlq_offset", making->offset);
    }
    if (making->no_data)
        json_put_text_member(to, "dlq_data_left_out", CAIRN_STR("true"));
    buf_put_char(to, '}');
}

static void
put_what(struct buf *to, const struct making *making)
{
    const cairn_recorded *event = making->event;
    const struct dead_consumer *consumer = making->consumer;
    const struct dead_failure *failure = making->failure;
    json_put_name(to, "dead_letter");
    buf_put_char(to, '{');
    json_put_text_member(to, "kind", cairn_cstr(consumer->kind));
    if (consumer->app.size > 0)
        json_put_text_member(to, "app", consumer->app);
    json_put_text_member(to, "consumer", consumer->name);
    json_put_name(to, "error");
    buf_put_char(to, '{');
    json_put_text_member(to, "code", failure->code);
    json_put_text_member(to, "detail", failure->detail);
    buf_put_char(to, '}');
    json_put_u64_member(to, "attempts", failure->attempts);
    put_time_header(to, "first_failed", failure->first_us);
    put_time_header(to, "last_failed", failure->last_us);
    json_put_text_member(to, "stream", event->stream);
    json_put_u64_member(to, "revision", event->revision);
    json_put_u64_member(to, "position", event->position);
    json_put_text_member(to, "type", event->event.type);
    json_put_name(to, "id");
    json_put_uuid(to, event->event.id);
    if (event->event.tag_count > 0)
        json_put_texts_member(to, "tags", event->event.tags, event->event.tag_count);
    if (making->source.found)
        json_put_text_member(to, "topic", making->source.name);
    if (making->has_offset) {
        json_put_u64_member(to, "partition", making->partition);
        json_put_u64_member(to, "offset", making->offset);
    }
    if (making->no_data)
        json_put_bool_member(to, "data_left_out", true);
    if (!making->lean && event->event.meta.size > 0) {
        json_put_name(to, "meta");
        buf_put_str(to, event->event.meta);
    }
    buf_put_char(to, '}');
}

static cairn_err
make_meta(const struct making *making, struct arena *arena, cairn_str *ret, cairn_error *error)
{
    struct buf to = {0};
    buf_put_char(&to, '{');
    put_what(&to, making);
    json_put_name(&to, "causation");
    json_put_uuid(&to, making->event->event.id);
    put_headers(&to, making);
    buf_put_char(&to, '}');
    *ret = to.failed ? (cairn_str){0} : arena_copy(arena, buf_str(&to));
    buf_free(&to);
    return ret->data != NULL ? CAIRN_OK : no_memory(error);
}

/* Meta and data, as much of them as an event may have: its meta of before goes first, then its data, which the log has anyway. */
static cairn_err
fit(struct making *making, struct arena *arena, cairn_event *to, cairn_error *error)
{
    const cairn_event *from = &making->event->event;
    const size_t event_max = making->store->event_size_max < DEAD_BYTES_MAX ? making->store->event_size_max : DEAD_BYTES_MAX;
    const size_t max = event_max > SLACK ? event_max - SLACK : 0;
    cairn_err err = make_meta(making, arena, &to->meta, error);
    if (err == CAIRN_OK && to->meta.size + from->data.size > max) {
        making->lean = true;
        err = make_meta(making, arena, &to->meta, error);
    }
    if (err == CAIRN_OK && to->meta.size + from->data.size > max) {
        making->no_data = true;
        err = make_meta(making, arena, &to->meta, error);
    }
    if (err != CAIRN_OK)
        return err;
    to->data = making->no_data ? (cairn_str){0} : arena_copy(arena, from->data);
    to->content_type = making->no_data ? CAIRN_STR(BYTES_TYPE) : arena_copy(arena, from->content_type);
    to->correlation = arena_copy(arena, from->correlation);
    return (from->data.size > 0 && !making->no_data && to->data.data == NULL) || to->content_type.data == NULL
                   || to->correlation.data == NULL
               ? no_memory(error)
               : CAIRN_OK;
}

cairn_err
dead_move_stream(cairn_str category, cairn_str from, struct arena *arena, cairn_str *ret, cairn_error *error)
{
    char text[RECORD_STREAM_MAX], room[RECORD_STREAM_MAX];
    cairn_str behind = {from.data + category_of(from).size, from.size - category_of(from).size}, key;
    cairn_str stream = {text, category.size + behind.size};
    if (stream.size <= sizeof text) {
        memcpy(text, category.data, category.size);
        if (behind.size > 0)
            memcpy(text + category.size, behind.data, behind.size);
    } else {
        (void)stream_record_key(from, room, &key);
        stream = record_stream(category, &key, text);
    }
    *ret = arena_copy(arena, stream);
    return ret->data != NULL ? CAIRN_OK : no_memory(error);
}

/* Id and tag, which the condition of dead_letter_append_once() is about. */
static cairn_err
make_once(const struct making *making, struct arena *arena, cairn_event *to, cairn_error *error)
{
    struct buf name = {0};
    cairn_str *tag = arena_alloc(arena, sizeof *tag);
    char *text = arena_alloc(arena, sizeof "dead_letter:" + UUID_TEXT_SIZE);
    buf_printf(&name, "%s\n%.*s\n%.*s\n%llu", making->consumer->kind, (int)making->consumer->app.size,
               making->consumer->app.size > 0 ? making->consumer->app.data : "", (int)making->consumer->name.size,
               making->consumer->name.data, (unsigned long long)making->event->position);
    bool failed = name.failed || tag == NULL || text == NULL;
    if (!failed) {
        to->id = uuid_v5(dead_namespace, buf_str(&name));
        memcpy(text, "dead_letter:", sizeof "dead_letter:");
        format_uuid(to->id, text + sizeof "dead_letter:" - 1);
        *tag = cairn_cstr(text);
        to->tags = tag;
        to->tag_count = 1;
    }
    buf_free(&name);
    return failed ? no_memory(error) : CAIRN_OK;
}

static bool
is_dead_letter(const cairn_event *event)
{
    return cairn_str_equal(event->type, CAIRN_STR(DEAD_TYPE)) && event->meta.size > 0
        && json_get(json_trusted(event->meta), "dead_letter").type == JSON_OBJECT;
}

static cairn_err
make_of(struct making *making, bool once, struct arena *arena, struct dead_letter *ret, cairn_error *error)
{
    const cairn_recorded *event = making->event;
    char topic[TOPIC_NAME_MAX], category_text[TOPIC_NAME_MAX];
    cairn_str category = {0};
    if (is_dead_letter(&event->event))
        return error_set(error, CAIRN_E_EXISTS, "the event is a dead letter itself");
    cairn_err err = find_source(making->store, making->scope, category_of(event->stream), &making->source, error);
    if (err != CAIRN_OK)
        return err;
    if (making->source.found) {
        making->partition = partition_of(&making->source, event);
        making->has_offset = find_offset(making->store, making->scope, &making->source.id, making->partition, event->position,
                                         &making->offset);
    }
    cairn_str name = name_topic(&making->source, making->consumer->topic, topic);
    *ret = (struct dead_letter){.topic = arena_copy(arena, name), .event = {.type = CAIRN_STR(DEAD_TYPE)}};
    err = ret->topic.data == NULL ? no_memory(error)
                                  : ensure_topic(making->store, making->scope, name, making->source.partitions, category_text,
                                                 &category, error);
    if (err == CAIRN_OK)
        err = dead_move_stream(category, event->stream, arena, &ret->stream, error);
    if (err == CAIRN_OK)
        err = fit(making, arena, &ret->event, error);
    if (err == CAIRN_OK && once)
        err = make_once(making, arena, &ret->event, error);
    return err;
}

cairn_err
dead_letter_make(cairn_store *store, cairn_scope scope, const struct dead_consumer *consumer, const struct dead_failure *failure,
                 uint64_t position, bool once, struct arena *arena, struct dead_letter *ret, cairn_error *error)
{
    const cairn_read_options options = {.scope = scope, .from = (int64_t)position, .end = position + 1, .system = true};
    cairn_reader *reader = NULL;
    cairn_recorded event;
    cairn_err err = cairn_read_all(store, &options, &reader, error);
    if (err == CAIRN_OK)
        err = cairn_reader_next(reader, &event, error);
    if (err == CAIRN_E_END)
        err = error_set(error, CAIRN_E_NOTFOUND, "the event is gone");
    if (err == CAIRN_OK) {
        struct making making = {.store = store, .scope = scope, .consumer = consumer, .failure = failure, .event = &event};
        err = make_of(&making, once, arena, ret, error);
    }
    cairn_reader_free(reader);
    return err;
}

cairn_err
dead_letter_append_once(cairn_store *store, cairn_scope scope, const struct dead_letter *letter, cairn_error *error)
{
    const cairn_str type = CAIRN_STR(DEAD_TYPE);
    const cairn_query_item item = {&type, 1, letter->event.tags, letter->event.tag_count};
    const cairn_condition condition = {{&item, 1}, -1};
    const cairn_write write = {letter->stream, CAIRN_ANY, &letter->event, 1};
    /* As Cairn's own, so that a limit on appends that is smaller than that on events is no obstacle. */
    const cairn_append_request request = {.scope = scope, .writes = &write, .write_count = 1, .conditions = &condition,
                                          .condition_count = 1, .system = true};
    cairn_at at;
    cairn_err err = store->ops->append(store, &request, &at, error);
    return err == CAIRN_E_CONDITION ? CAIRN_OK : err;
}

/* ---- the way back ---------------------------------------------------------------------------------------------------------------- */

cairn_err
dead_letter_read(const cairn_event *event, struct arena *arena, struct dead_origin *ret)
{
    if (!is_dead_letter(event))
        return CAIRN_E_NOTFOUND;
    struct json what = json_get(json_trusted(event->meta), "dead_letter"), app = json_get(what, "app");
    *ret = (struct dead_origin){.kind = json_string(json_get(what, "kind"), arena),
                                .app = app.type == JSON_STRING ? json_string(app, arena) : (cairn_str){0},
                                .name = json_string(json_get(what, "consumer"), arena)};
    if (json_get(what, "kind").type != JSON_STRING || json_get(what, "consumer").type != JSON_STRING
        || !json_u64(json_get(what, "position"), &ret->position))
        return CAIRN_E_INVALID;
    bool whole = ret->kind.data != NULL && ret->name.data != NULL && (app.type != JSON_STRING || ret->app.data != NULL);
    return whole ? CAIRN_OK : CAIRN_E_NOMEM; /* Cairn writes no lone surrogates */
}

void
dead_mark_make(struct dead_mark *mark, cairn_str topic, uint64_t letter)
{
    int size = snprintf(mark->stream, sizeof mark->stream, REPLAYED_PREFIX "%.*s", (int)topic.size, topic.data);
    int tag = snprintf(mark->tag, sizeof mark->tag, "replayed:%llu", (unsigned long long)letter);
    int data = snprintf(mark->data, sizeof mark->data, "{\"dead_letter\":%llu}", (unsigned long long)letter);
    mark->tag_text = (cairn_str){mark->tag, (size_t)tag};
    mark->type = CAIRN_STR("$replayed");
    mark->item = (cairn_query_item){&mark->type, 1, &mark->tag_text, 1};
    mark->event = (cairn_event){.type = mark->type, .data = {mark->data, (size_t)data}, .tags = &mark->tag_text,
                                .tag_count = 1};
    mark->write = (cairn_write){{mark->stream, (size_t)size}, CAIRN_ANY, &mark->event, 1};
    mark->condition = (cairn_condition){{&mark->item, 1}, (int64_t)letter};
}

cairn_err
dead_mark_find(cairn_store *store, cairn_scope scope, uint64_t letter, bool *ret, cairn_error *error)
{
    struct dead_mark mark;
    dead_mark_make(&mark, (cairn_str){0}, letter);
    const cairn_read_options options = {.scope = scope, .from = (int64_t)letter, .system = true, .query = {&mark.item, 1}};
    cairn_reader *reader = NULL;
    cairn_recorded event;
    cairn_err err = cairn_read_all(store, &options, &reader, error);
    if (err == CAIRN_OK)
        err = cairn_reader_next(reader, &event, error);
    cairn_reader_free(reader);
    *ret = err == CAIRN_OK;
    return err == CAIRN_E_END ? CAIRN_OK : err;
}
