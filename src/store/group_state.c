/* The stored form of a consumer group: small JSON objects, so that people can read them too. */
#include "group_state.h"

#include <base/error.h>
#include <base/json.h>
#include <stdlib.h>

#include "request.h"

void
group_state_free(struct group_state *state)
{
    arena_free(&state->arena);
    pending_free(&state->pending);
    *state = (struct group_state){0};
}

int64_t
group_retry_due(const cairn_group_config *config, uint32_t deliveries, int64_t now_us)
{
    uint64_t delay_ms = config->retry_delay_ms;
    for (uint32_t i = 1; i < deliveries && delay_ms < GROUP_RETRY_DELAY_MAX_MS; i++)
        delay_ms *= 2;
    if (delay_ms > GROUP_RETRY_DELAY_MAX_MS)
        delay_ms = GROUP_RETRY_DELAY_MAX_MS;
    return now_us + (int64_t)delay_ms * 1000;
}

/* ---- settings ----------------------------------------------------------------------------- */

static bool
copy_names(const cairn_str *from, size_t count, struct arena *arena, const cairn_str **ret)
{
    cairn_str *names = arena_alloc(arena, (count + 1) * sizeof *names);
    if (names == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        names[i] = arena_copy(arena, from[i]);
        if (names[i].data == NULL)
            return false;
    }
    *ret = names;
    return true;
}

static bool
copy_query(const cairn_query *from, struct arena *arena, cairn_query *ret)
{
    cairn_query_item *items = arena_zalloc(arena, (from->item_count + 1) * sizeof *items);
    if (items == NULL)
        return false;
    for (size_t i = 0; i < from->item_count; i++) {
        const cairn_query_item *item = &from->items[i];
        items[i].type_count = item->type_count;
        items[i].tag_count = item->tag_count;
        if (!copy_names(item->types, item->type_count, arena, &items[i].types) ||
            !copy_names(item->tags, item->tag_count, arena, &items[i].tags))
            return false;
    }
    *ret = (cairn_query){items, from->item_count};
    return true;
}

static cairn_err
check_config(const cairn_group_config *config, cairn_error *error)
{
    cairn_err err = CAIRN_OK;
    if (config->stream.size > 0)
        err = request_check_name(config->stream, "stream name", error);
    if (err == CAIRN_OK && config->category.size > 0)
        err = request_check_name(config->category, "category", error);
    if (err == CAIRN_OK)
        err = request_check_query(&config->query, "group", error);
    if (err != CAIRN_OK)
        return err;
    if (config->stream.size > 0 && (config->category.size > 0 || config->query.item_count > 0))
        return error_set(error, CAIRN_E_INVALID,
                         "a group on one stream cannot have a category or a query");
    if (config->from < 0)
        return error_set(error, CAIRN_E_INVALID, "from is %lld; it must not be negative",
                         (long long)config->from);
    if (config->dead_letter_topic.size > 0 && !topic_name_valid(config->dead_letter_topic))
        return error_set(error, CAIRN_E_INVALID,
                         "dead_letter: a topic's name has 1 to %d of [a-zA-Z0-9._-]", TOPIC_NAME_MAX);
    if (config->outstanding_max > GROUP_OUTSTANDING_MAX)
        return error_set(error, CAIRN_E_LIMIT, "outstanding_max is %u; the limit is %d",
                         config->outstanding_max, GROUP_OUTSTANDING_MAX);
    return CAIRN_OK;
}

cairn_err
group_config_copy(const cairn_group_config *from, struct arena *arena, cairn_group_config *ret,
                  cairn_error *error)
{
    cairn_err err = check_config(from, error);
    if (err != CAIRN_OK)
        return err;
    cairn_group_config config = *from;
    config.stream = arena_copy(arena, from->stream);
    config.category = arena_copy(arena, from->category);
    config.dead_letter_topic =
        arena_copy(arena, from->dead_letter ? from->dead_letter_topic : (cairn_str){0});
    if (config.stream.data == NULL || config.category.data == NULL ||
        config.dead_letter_topic.data == NULL ||
        !copy_query(&from->query, arena, &config.query))
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    if (config.ack_timeout_ms == 0)
        config.ack_timeout_ms = GROUP_ACK_TIMEOUT_MS;
    if (config.retry_max == 0)
        config.retry_max = GROUP_RETRY_MAX;
    if (config.retry_delay_ms == 0)
        config.retry_delay_ms = GROUP_RETRY_DELAY_MS;
    if (config.outstanding_max == 0)
        config.outstanding_max = GROUP_OUTSTANDING;
    *ret = config;
    return CAIRN_OK;
}

static void
put_config(struct buf *to, const cairn_group_config *config)
{
    buf_put_char(to, '{');
    json_put_text_member(to, "stream", config->stream);
    json_put_text_member(to, "category", config->category);
    json_put_name(to, "query");
    buf_put_char(to, '[');
    for (size_t i = 0; i < config->query.item_count; i++) {
        const cairn_query_item *item = &config->query.items[i];
        json_put_comma(to);
        buf_put_char(to, '{');
        json_put_texts_member(to, "types", item->types, item->type_count);
        json_put_texts_member(to, "tags", item->tags, item->tag_count);
        buf_put_char(to, '}');
    }
    buf_put_char(to, ']');
    json_put_name(to, "from");
    json_put_i64(to, config->from);
    json_put_u64_member(to, "ack_timeout_ms", config->ack_timeout_ms);
    json_put_u64_member(to, "retry_max", config->retry_max);
    json_put_u64_member(to, "retry_delay_ms", config->retry_delay_ms);
    json_put_u64_member(to, "outstanding_max", config->outstanding_max);
    if (config->dead_letter_topic.size > 0)
        json_put_text_member(to, "dead_letter", config->dead_letter_topic);
    else if (config->dead_letter)
        json_put_bool_member(to, "dead_letter", true);
    buf_put_char(to, '}');
}

/* Where strings go while reading, and whether it was memory that ran out. */
struct getting {
    struct arena *arena;
    bool no_memory;
};

static void *
get_memory(struct getting *getting, size_t count, size_t size)
{
    void *memory = arena_zalloc(getting->arena, (count + 1) * size);
    getting->no_memory |= memory == NULL;
    return memory;
}

static bool
get_u32(struct json object, const char *name, uint32_t *ret)
{
    uint64_t value;
    if (!json_u64(json_get(object, name), &value) || value > UINT32_MAX)
        return false;
    *ret = (uint32_t)value;
    return true;
}

static bool
get_names(struct json array, struct getting *getting, const cairn_str **ret, size_t *ret_count)
{
    size_t count = json_count(array), i = 0;
    cairn_str *names = get_memory(getting, count, sizeof *names);
    if (names == NULL || array.type != JSON_ARRAY)
        return false;
    struct json_walk walk = json_walk(array);
    for (struct json name, item; json_next(&walk, &name, &item); i++) {
        cairn_str text = json_string(item, getting->arena);
        if (text.data == NULL)
            return false;
        names[i] = text;
    }
    *ret = names;
    *ret_count = count;
    return true;
}

static bool
get_query(struct json array, struct getting *getting, cairn_query *ret)
{
    size_t count = json_count(array), i = 0;
    cairn_query_item *items = get_memory(getting, count, sizeof *items);
    if (items == NULL || array.type != JSON_ARRAY)
        return false;
    struct json_walk walk = json_walk(array);
    for (struct json name, item; json_next(&walk, &name, &item); i++)
        if (!get_names(json_get(item, "types"), getting, &items[i].types, &items[i].type_count) ||
            !get_names(json_get(item, "tags"), getting, &items[i].tags, &items[i].tag_count))
            return false;
    *ret = (cairn_query){items, count};
    return true;
}

/* Absent in what was written before there were dead letters. */
static bool
get_dead_letter(struct json value, struct getting *getting, cairn_group_config *ret)
{
    ret->dead_letter = value.type == JSON_TRUE || value.type == JSON_STRING;
    if (value.type == JSON_STRING)
        ret->dead_letter_topic = json_string(value, getting->arena);
    return value.type == JSON_NONE || value.type == JSON_TRUE ||
           ret->dead_letter_topic.data != NULL;
}

static bool
get_config(struct json object, struct getting *getting, cairn_group_config *ret)
{
    ret->stream = json_string(json_get(object, "stream"), getting->arena);
    ret->category = json_string(json_get(object, "category"), getting->arena);
    return ret->stream.data && ret->category.data &&
           get_query(json_get(object, "query"), getting, &ret->query) &&
           json_i64(json_get(object, "from"), &ret->from) &&
           get_u32(object, "ack_timeout_ms", &ret->ack_timeout_ms) &&
           get_u32(object, "retry_max", &ret->retry_max) &&
           get_u32(object, "retry_delay_ms", &ret->retry_delay_ms) &&
           get_u32(object, "outstanding_max", &ret->outstanding_max) &&
           get_dead_letter(json_get(object, "dead_letter"), getting, ret);
}

/* ---- state -------------------------------------------------------------------------------- */

/* Pending events as [position, deliveries, …], in no order: readers need none. */
static void
put_pending(struct buf *to, const struct pending *pending, bool replayed)
{
    buf_put_char(to, '[');
    for (size_t i = 0; i < pending->count; i++) {
        const struct pending_entry *entry = &pending->heap[i];
        if (entry->replayed != replayed || entry->leaving)
            continue;
        json_put_comma(to);
        json_put_u64(to, entry->position);
        buf_put_char(to, ',');
        json_put_u64(to, entry->deliveries);
    }
    buf_put_char(to, ']');
}

void
group_state_encode(const struct group_state *state, struct buf *to)
{
    buf_put_char(to, '{');
    json_put_name(to, "config");
    put_config(to, &state->config);
    json_put_u64_member(to, "checkpoint", pending_lowest(&state->pending, state->next));
    json_put_u64_member(to, "next", state->next);
    json_put_name(to, "pending");
    put_pending(to, &state->pending, false);
    json_put_u64_member(to, "replay_next", state->replay_next);
    json_put_u64_member(to, "replay_until", state->replay_until);
    json_put_name(to, "replayed");
    put_pending(to, &state->pending, true);
    if (state->dead_letters > 0) {
        json_put_u64_member(to, "dead_letters", state->dead_letters);
        json_put_text_member(to, "dead_letter_topic",
                             (cairn_str){state->dead_topic, state->dead_topic_size});
    }
    buf_put_char(to, '}');
}

static bool
get_pending(struct json array, bool replayed, struct getting *getting, struct pending *ret)
{
    if (array.type != JSON_ARRAY)
        return false;
    struct json_walk walk = json_walk(array);
    for (struct json name, position, deliveries; json_next(&walk, &name, &position);) {
        uint64_t count;
        struct pending_entry entry = {.state = PENDING_BACK_OFF, .replayed = replayed};
        if (!json_next(&walk, &name, &deliveries) || !json_u64(position, &entry.position) ||
            !json_u64(deliveries, &count) || count > UINT32_MAX)
            return false;
        entry.deliveries = (uint32_t)count;
        if (pending_find(ret, entry.position))
            return false;
        if (!pending_add(ret, &entry)) {
            getting->no_memory = true;
            return false;
        }
    }
    return true;
}

static bool
get_dead_letters(struct json state, struct group_state *ret)
{
    struct json count = json_get(state, "dead_letters");
    if (count.type == JSON_NONE)
        return true;
    struct json topic = json_get(state, "dead_letter_topic");
    cairn_str name = json_string(topic, &ret->arena); /* of letters that need no escape */
    if (!json_u64(count, &ret->dead_letters) || !topic_name_valid(name))
        return false;
    memcpy(ret->dead_topic, name.data, name.size);
    ret->dead_topic_size = name.size;
    return true;
}

cairn_err
group_state_decode(cairn_str text, struct group_state *ret, cairn_error *error)
{
    struct json json;
    cairn_error why = {0};
    cairn_err err = json_check(text, &json, &why);
    if (err == CAIRN_E_NOMEM)
        return error_set(error, err, "out of memory");
    if (err != CAIRN_OK)
        return error_set(error, CAIRN_E_CORRUPT, "the group's state is no JSON: %s", why.detail);
    /* The text is a reader's and goes away; the settings' strings must not. */
    struct json kept = json_trusted(arena_copy(&ret->arena, json.raw));
    if (kept.raw.data == NULL)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    struct getting getting = {.arena = &ret->arena};
    if (!get_config(json_get(kept, "config"), &getting, &ret->config) ||
        !json_u64(json_get(kept, "next"), &ret->next) ||
        !json_u64(json_get(kept, "replay_next"), &ret->replay_next) ||
        !json_u64(json_get(kept, "replay_until"), &ret->replay_until) ||
        !get_pending(json_get(kept, "pending"), false, &getting, &ret->pending) ||
        !get_pending(json_get(kept, "replayed"), true, &getting, &ret->pending) ||
        !get_dead_letters(kept, ret)) {
        group_state_free(ret);
        return getting.no_memory
                   ? error_set(error, CAIRN_E_NOMEM, "out of memory")
                   : error_set(error, CAIRN_E_CORRUPT,
                               "the group's state is not as Cairn writes it");
    }
    return CAIRN_OK;
}

/* ---- parked events ------------------------------------------------------------------------ */

void
group_parked_encode(const struct group_parked *parked, struct buf *to)
{
    cairn_str reason = parked->reason;
    if (reason.size > GROUP_REASON_BYTES_MAX) { /* not within a character */
        reason.size = GROUP_REASON_BYTES_MAX;
        while (reason.size > 0 && ((unsigned char)reason.data[reason.size] & 0xC0) == 0x80)
            reason.size--;
    }
    buf_put_char(to, '{');
    json_put_u64_member(to, "position", parked->position);
    json_put_u64_member(to, "deliveries", parked->deliveries);
    json_put_text_member(to, "reason", reason);
    buf_put_char(to, '}');
}

cairn_err
group_parked_decode(cairn_str text, struct arena *arena, struct group_parked *ret,
                    cairn_error *error)
{
    struct json json;
    cairn_err err = json_check(text, &json, NULL);
    if (err == CAIRN_E_NOMEM)
        return error_set(error, err, "out of memory");
    struct group_parked parked = {0};
    if (err == CAIRN_OK)
        parked.reason = json_string(json_get(json, "reason"), arena);
    if (err != CAIRN_OK || parked.reason.data == NULL ||
        !json_u64(json_get(json, "position"), &parked.position) ||
        !get_u32(json, "deliveries", &parked.deliveries))
        return error_set(error, CAIRN_E_CORRUPT, "a parked event is not as Cairn writes it");
    *ret = parked;
    return CAIRN_OK;
}
