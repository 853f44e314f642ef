/* Topics made, changed and deleted: definitions checked, written as events, and read back from them. */
#include "attempt.h"
#include "topics.h"
#include <base/json.h>
#include <batch/event.h>

#define CONFIG_MAX (256u << 10)

/* ---- the event ------------------------------------------------------------------------------------------------------------ */

/* Numbers of partitions; zeros at the end are left out, and a list of nothing else. */
static void
put_numbers(struct buf *to, const char *name, const uint64_t *numbers, uint32_t count)
{
    while (numbers != NULL && count > 0 && numbers[count - 1] == 0)
        count--;
    if (numbers == NULL || count == 0)
        return;
    json_put_name(to, name);
    buf_put_char(to, '[');
    for (uint32_t i = 0; i < count; i++) {
        json_put_comma(to);
        json_put_u64(to, numbers[i]);
    }
    buf_put_char(to, ']');
}

void
topic_write(struct buf *to, const cairn_topic *topic, const uint64_t *linked, bool deleted)
{
    buf_put_char(to, '{');
    json_put_name(to, "id");
    json_put_uuid(to, topic->id);
    json_put_text_member(to, "name", topic->name);
    json_put_text_member(to, "category", topic->category);
    json_put_u64_member(to, "partitions", topic->partitions);
    json_put_bool_member(to, "compact", topic->compact);
    json_put_name(to, "config");
    if (topic->config.size > 0)
        json_put_compact(to, topic->config);
    else
        buf_put_str(to, CAIRN_STR("{}"));
    put_numbers(to, "starts", topic->starts, topic->partitions);
    put_numbers(to, "linked", linked, topic->partitions);
    if (deleted)
        json_put_bool_member(to, "deleted", true);
    buf_put_char(to, '}');
}

/* False: it is no list of at most `count` numbers. */
static bool
get_numbers(struct json list, uint64_t *numbers, uint32_t count)
{
    struct json_walk walk = json_walk(list);
    struct json name, item;
    uint32_t i = 0;
    while (json_next(&walk, &name, &item))
        if (i == count || !json_u64(item, &numbers[i++]))
            return false;
    return true;
}

static char *
keep_text(char *at, cairn_str text, cairn_str *ret)
{
    if (text.size > 0)
        memcpy(at, text.data, text.size);
    *ret = (cairn_str){at, text.size};
    return at + text.size;
}

static struct hash128
id_key(const struct log *log, cairn_scope scope, const cairn_uuid *id)
{
    return log_key(log, KEY_TOPIC_ID, scope, (cairn_str){(const char *)id->bytes, 16});
}

/* A setting of the config in milliseconds, which is kept as a text. */
static uint64_t
setting_us(struct json config, const char *name, uint64_t otherwise_ms, struct arena *arena)
{
    uint64_t ms;
    if (!parse_u64(json_string(json_get(config, name), arena), &ms))
        ms = otherwise_ms;
    return ms < INT64_MAX / 1000 ? ms * 1000 : INT64_MAX;
}

cairn_err
topic_parse(const struct log *log, cairn_scope scope, cairn_str data, uint64_t revision, const cairn_topic_ref *before,
            cairn_topic_ref **ret, cairn_error *error)
{
    struct json json;
    struct arena arena = {0};
    uint64_t partitions = 0;
    cairn_uuid id;
    cairn_err err = json_check(data, &json, error);
    if (err == CAIRN_E_NOMEM)
        return err;
    cairn_str name = json_string(json_get(json, "name"), &arena);
    cairn_str category = json_string(json_get(json, "category"), &arena);
    struct json config = json_get(json, "config"), starts = json_get(json, "starts"), linked = json_get(json, "linked");
    if (err != CAIRN_OK || !parse_uuid(json_string(json_get(json, "id"), &arena), &id) || !topic_name_valid(name)
        || category.size == 0 || category.size > LOG_NAME_MAX || !json_u64(json_get(json, "partitions"), &partitions)
        || partitions == 0 || partitions > CAIRN_PARTITIONS_MAX || config.type != JSON_OBJECT) {
        arena_free(&arena);
        return error_set(error, CAIRN_E_CORRUPT, "it is no topic's");
    }
    bool inherits = linked.type == JSON_NONE && before != NULL && before->linked != NULL
                    && memcmp(&before->topic.id, &id, sizeof id) == 0;
    size_t numbers = ((starts.type == JSON_ARRAY) + (linked.type == JSON_ARRAY || inherits)) * (size_t)partitions;
    cairn_topic_ref *ref = calloc(1, sizeof *ref + numbers * 8 + name.size + category.size + config.raw.size);
    if (ref == NULL) {
        arena_free(&arena);
        return error_set(error, CAIRN_E_NOMEM, "no memory for a topic");
    }
    uint64_t *number = (uint64_t *)(ref + 1);
    char *text = (char *)(number + numbers);
    *ref = (cairn_topic_ref){.topic = {.id = id, .partitions = (uint32_t)partitions,
                                       .compact = json_get(json, "compact").type == JSON_TRUE},
                             .count = 1, .scope = scope, .revision = revision,
                             .deleted = json_get(json, "deleted").type == JSON_TRUE,
                             .null_age_us = setting_us(config, "delete.retention.ms", 86400000, &arena),
                             .lag_us = setting_us(config, "min.compaction.lag.ms", 0, &arena)};
    text = keep_text(text, name, &ref->topic.name);
    text = keep_text(text, category, &ref->topic.category);
    (void)keep_text(text, config.raw, &ref->topic.config);
    bool understood = true;
    if (starts.type == JSON_ARRAY) {
        ref->topic.starts = number;
        understood = get_numbers(starts, number, (uint32_t)partitions);
        number += partitions;
    }
    if (linked.type == JSON_ARRAY || inherits)
        ref->linked = number;
    if (linked.type == JSON_ARRAY)
        understood = understood && get_numbers(linked, number, (uint32_t)partitions);
    else if (inherits)
        memcpy(number, before->linked,
               8 * (before->topic.partitions < partitions ? before->topic.partitions : (size_t)partitions));
    ref->name_key = log_key(log, KEY_TOPIC_NAME, scope, ref->topic.name);
    ref->id_key = id_key(log, scope, &id);
    ref->category_key = log_key(log, KEY_CATEGORY, scope, ref->topic.category);
    arena_free(&arena);
    if (!understood) {
        cairn_topic_release(ref);
        return error_set(error, CAIRN_E_CORRUPT, "its numbers are no topic's");
    }
    *ret = ref;
    return CAIRN_OK;
}

/* ---- checking -------------------------------------------------------------------------------------------------------------- */

static cairn_err
invalid(cairn_error *error, const char *what)
{
    return error_set(error, CAIRN_E_INVALID, "the topic's %s", what);
}

static cairn_err
check_topic(const cairn_topic *topic, cairn_error *error)
{
    if (!topic_name_valid(topic->name))
        return invalid(error, "name must be 1 to 249 of [a-zA-Z0-9._-], and not \".\" or \"..\"");
    cairn_str category = topic->category;
    if (category.size > TOPIC_NAME_MAX || !utf8_valid(category))
        return invalid(error, "category must be UTF-8, of at most 249 bytes");
    if (category.size > 0
        && (category.data[0] == '$' || memchr(category.data, '-', category.size) != NULL
            || memchr(category.data, '\0', category.size) != NULL))
        return invalid(error, "category must not begin with '$', nor have a '-' in it");
    if (topic->partitions == 0 || topic->partitions > CAIRN_PARTITIONS_MAX)
        return error_set(error, CAIRN_E_INVALID, "a topic has 1 to %d partitions, not %u", CAIRN_PARTITIONS_MAX,
                         topic->partitions);
    struct json config;
    if (topic->config.size > CONFIG_MAX)
        return error_set(error, CAIRN_E_LIMIT, "the topic's config has %zu bytes; the limit is %u", topic->config.size,
                         CONFIG_MAX);
    if (topic->config.size > 0 && (json_check(topic->config, &config, NULL) != CAIRN_OK || config.type != JSON_OBJECT))
        return invalid(error, "config must be a JSON object");
    return CAIRN_OK;
}

/* Both as they would be: `after` has its category filled in. */
static cairn_err
check_step(const cairn_topic *before, const cairn_topic *after, cairn_error *error)
{
    if (memcmp(&before->id, &after->id, sizeof before->id) != 0)
        return invalid(error, "id is that of another one");
    if (!cairn_str_equal(before->category, after->category))
        return invalid(error, "category stays what it is");
    if (after->partitions < before->partitions)
        return error_set(error, CAIRN_E_INVALID, "the topic has %u partitions, and can only get more", before->partitions);
    for (uint32_t i = 0; before->starts != NULL && i < before->partitions; i++)
        if (before->starts[i] > (after->starts ? after->starts[i] : 0))
            return error_set(error, CAIRN_E_INVALID, "partition %u starts at %llu already", i,
                             (unsigned long long)before->starts[i]);
    return CAIRN_OK;
}

/* ---- writing ---------------------------------------------------------------------------------------------------------------- */

struct definition {
    struct log *log;
    cairn_scope scope;
    char stream[sizeof TOPIC_PREFIX + TOPIC_NAME_MAX];
    size_t stream_size;
    int64_t last; /* revision of its newest event; CAIRN_NONE: there is none */
};

static void
begin(struct definition *definition, struct log *log, cairn_scope scope, cairn_str name)
{
    *definition = (struct definition){.log = log, .scope = scope};
    definition->stream_size = (size_t)snprintf(definition->stream, sizeof definition->stream, TOPIC_PREFIX "%.*s",
                                               (int)name.size, name.data);
}

static cairn_err
read_last(struct definition *definition, cairn_error *error)
{
    struct log *log = definition->log;
    struct hash128 key = log_key(log, KEY_STREAM, definition->scope,
                                 (cairn_str){definition->stream, definition->stream_size});
    struct series_head head;
    cairn_err err = cairn_series_head(log->series, key, cairn_log_end(log), &head, error);
    if (err != CAIRN_OK && err != CAIRN_E_END)
        return err;
    definition->last = err == CAIRN_OK ? (int64_t)head.ordinal : CAIRN_NONE;
    return CAIRN_OK;
}

/* What a definition is written from. */
struct draft {
    const cairn_topic *topic;
    const cairn_topic_ref *before; /* NULL: there was none */
    const uint64_t *linked;
    const char *type;
    const cairn_write *links; /* written with it */
    size_t link_count;
};

static cairn_err
append_draft(const struct definition *definition, struct topic_change *change, const struct draft *draft, cairn_str data,
             cairn_error *error)
{
    cairn_write writes[LINKS_WRITES_MAX + 1];
    cairn_event event = {.type = cairn_cstr(draft->type), .content_type = CAIRN_STR("application/json"), .data = data};
    cairn_append_request request = {.scope = definition->scope, .writes = writes, .write_count = draft->link_count + 1,
                                    .system = true};
    cairn_at at;
    if (draft->link_count > 0)
        memcpy(writes, draft->links, draft->link_count * sizeof *writes);
    writes[draft->link_count] = (cairn_write){{definition->stream, definition->stream_size}, definition->last, &event, 1};
    return log_append_definition(definition->log, &request, change, &at, error);
}

/* *ret: the topic as it is then. CAIRN_E_CONFLICT: the newest event is not definition->last any more. */
static cairn_err
write_definition(const struct definition *definition, struct topic_change *change, const struct draft *draft,
                 cairn_topic_ref **ret, cairn_error *error)
{
    struct buf data = {0};
    topic_write(&data, draft->topic, draft->linked, strcmp(draft->type, TOPIC_DELETED) == 0);
    cairn_err err = data.failed ? error_set(error, CAIRN_E_NOMEM, "no memory for a topic")
                                : topic_parse(definition->log, definition->scope, buf_str(&data), 0, draft->before,
                                              &change->ref, error);
    if (err == CAIRN_OK) {
        err = append_draft(definition, change, draft, buf_str(&data), error);
        if (err == CAIRN_OK && ret != NULL)
            *ret = topic_keep(change->ref);
        cairn_topic_release(change->ref);
    } else if (change->locked) {
        pthread_mutex_unlock(&definition->log->lock);
    }
    buf_free(&data);
    return err;
}

#define TRIES_UNLOCKED 4

/* The definition comes when all that the category has is linked. While events keep coming the last of them are linked under
 * the lock: they are few, and those that are on their way to the disk are in memory. */
static cairn_err
try_to_make(struct definition *definition, const cairn_topic *topic, struct links *links, struct topic_change *change,
            cairn_topic_ref **ret, cairn_error *error)
{
    struct draft draft = {.topic = topic, .type = TOPIC_MADE};
    cairn_err err = links_read_on(links, error);
    if (err == CAIRN_OK && change->locked) {
        pthread_mutex_lock(&definition->log->lock);
        err = links_read_rest(links, error);
        if (err == CAIRN_OK)
            err = links_writes(links, &draft.links, &draft.link_count, error);
        if (err != CAIRN_OK)
            pthread_mutex_unlock(&definition->log->lock);
        change->has_more = err == CAIRN_E_BUSY;
    }
    change->looked_end = links_looked_end(links);
    draft.linked = links_counts(links);
    return err == CAIRN_OK ? write_definition(definition, change, &draft, ret, error) : err;
}

static cairn_err
make_topic(struct definition *definition, const cairn_topic *topic, struct links *links, cairn_topic_ref **ret,
           cairn_error *error)
{
    struct log *log = definition->log;
    cairn_error refusal = {0};
    for (unsigned tries = 0; tries < LOG_RETRIES_MAX; tries++) {
        /* In this order: whoever makes it in between is found, or moves the stream on. */
        cairn_err err = read_last(definition, error);
        if (err != CAIRN_OK)
            return err;
        cairn_topic_ref *there = log_topic_by_name(log, definition->scope, topic->name, false);
        cairn_topic_release(there);
        if (there != NULL)
            return error_set(error, CAIRN_E_EXISTS, "there is a topic %.*s already", (int)topic->name.size,
                             topic->name.data);
        struct topic_change change = {.is_new = true, .locked = tries >= TRIES_UNLOCKED};
        err = try_to_make(definition, topic, links, &change, ret, &refusal);
        if (err != CAIRN_E_CONFLICT && !change.has_more) {
            if (err != CAIRN_OK && error != NULL)
                *error = refusal;
            return err;
        }
    }
    return error_set(error, CAIRN_E_BUSY, "too many changes of the topic compete; try again");
}

static cairn_err
conflict(const cairn_topic_ref *ref, cairn_error *error)
{
    (void)error_set(error, CAIRN_E_CONFLICT, "the topic's definition is at revision %llu",
                    (unsigned long long)ref->revision);
    if (error != NULL)
        error->revision = (int64_t)ref->revision;
    return CAIRN_E_CONFLICT;
}

static cairn_err
change_topic(struct definition *definition, const cairn_topic *topic, int64_t expected, cairn_topic_ref **ret,
             cairn_error *error)
{
    cairn_topic_ref *before = log_topic_by_name(definition->log, definition->scope, topic->name, false);
    if (before == NULL)
        return error_set(error, CAIRN_E_NOTFOUND, "there is no such topic");
    cairn_topic now = *topic;
    if (uuid_is_zero(now.id))
        now.id = before->topic.id;
    cairn_err err = before->revision != (uint64_t)expected ? conflict(before, error)
                                                           : check_step(&before->topic, &now, error);
    if (err == CAIRN_OK) {
        struct topic_change change = {0};
        definition->last = expected;
        struct draft draft = {.topic = &now, .before = before,
                              .type = now.partitions > before->topic.partitions ? TOPIC_GROWN : TOPIC_CHANGED};
        err = write_definition(definition, &change, &draft, ret, error);
    }
    cairn_topic_release(before);
    return err;
}

cairn_err
cairn_log_topic_put(struct log *log, cairn_scope scope, const cairn_topic *given, int64_t expected, cairn_topic_ref **ret,
                    cairn_error *error)
{
    cairn_topic topic = *given;
    char category[TOPIC_NAME_MAX];
    cairn_err err = check_topic(&topic, error);
    if (err != CAIRN_OK)
        return err;
    if (topic.category.size == 0)
        topic.category = topic_category(topic.name, category);
    struct definition definition;
    begin(&definition, log, scope, topic.name);
    if (expected >= 0)
        return change_topic(&definition, &topic, expected, ret, error);
    if (expected != CAIRN_NONE)
        return error_set(error, CAIRN_E_INVALID, "expected must be CAIRN_NONE, or the revision of the topic's definition");
    if (uuid_is_zero(topic.id)) {
        uint8_t random[10];
        os_random(log->os, random, sizeof random);
        topic.id = uuid_v7(os_now_us(log->os), random);
    }
    cairn_topic_ref *there = log_topic_by_id(log, scope, &topic.id, false);
    cairn_topic_release(there);
    if (there != NULL)
        return error_set(error, CAIRN_E_EXISTS, "there is a topic of that id already");
    struct links *links = links_new(log, scope, &topic);
    if (links == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for a topic");
    err = make_topic(&definition, &topic, links, ret, error);
    links_free(links);
    return err;
}

cairn_err
cairn_log_topic_delete(struct log *log, cairn_scope scope, cairn_str name, int64_t expected, cairn_error *error)
{
    if (expected != CAIRN_ANY && expected < 0)
        return error_set(error, CAIRN_E_INVALID, "expected must be CAIRN_ANY, or the revision of the topic's definition");
    for (unsigned tries = 0; tries < LOG_RETRIES_MAX; tries++) {
        cairn_topic_ref *before = log_topic_by_name(log, scope, name, false);
        if (before == NULL)
            return error_set(error, CAIRN_E_NOTFOUND, "there is no such topic");
        cairn_error refusal = {0};
        cairn_err err = CAIRN_OK;
        if (expected >= 0 && before->revision != (uint64_t)expected) {
            err = conflict(before, error);
        } else {
            struct definition definition;
            struct topic_change change = {0};
            begin(&definition, log, scope, before->topic.name);
            definition.last = (int64_t)before->revision;
            struct draft draft = {.topic = &before->topic, .before = before, .type = TOPIC_DELETED};
            err = write_definition(&definition, &change, &draft, NULL, &refusal);
            if (err != CAIRN_OK && error != NULL)
                *error = refusal;
        }
        cairn_topic_release(before);
        if (err != CAIRN_E_CONFLICT || expected >= 0)
            return err;
    }
    return error_set(error, CAIRN_E_BUSY, "too many changes of the topic compete; try again");
}
