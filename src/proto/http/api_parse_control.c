/* The bodies that are not events themselves: POST /v1/append, retention, consumer groups,
 * acknowledgements. See api_parse.h. */
#include <proto/http/api_parse.h>

#include <base/error.h>
#include <base/text.h>

#define WRITES_MAX 4096
#define CONDITIONS_MAX 64
#define QUERY_ITEMS_MAX 64

/* One member of an object: read `value` into `into`. */
typedef cairn_err (*member_parser)(struct parse *parse, const struct field *at, struct json value,
                                   void *into);

struct member {
    const char *name;
    member_parser parser;
    size_t offset; /* of what it fills in, within the object's struct */
};

#define OBJECT_MEMBERS_MAX 16

/* Every member of `value` by the table; others are refused by name. */
static cairn_err
parse_members(struct parse *parse, const struct field *at, struct json value, const struct member *members,
              size_t count, void *into)
{
    const char *names[OBJECT_MEMBERS_MAX];
    uint64_t seen = 0;
    for (size_t i = 0; i < count; i++)
        names[i] = members[i].name;
    if (value.type != JSON_OBJECT)
        return parse_fail(parse, CAIRN_E_INVALID, at, "must be an object");
    struct json_walk walk = json_walk(value);
    struct json name, item;
    while (json_next(&walk, &name, &item)) {
        unsigned i;
        cairn_err err = parse_member(parse, at, name, names, count, &seen, &i);
        if (err != CAIRN_OK)
            return err;
        struct field here = {at, members[i].name, 0};
        err = members[i].parser(parse, &here, item, (char *)into + members[i].offset);
        if (err != CAIRN_OK)
            return err;
    }
    return CAIRN_OK;
}
#define MEMBERS(table) table, sizeof table / sizeof *table

/* ---- values ------------------------------------------------------------------------------------- */

static cairn_err
parse_stream(struct parse *parse, const struct field *at, struct json value, void *into)
{
    return parse_name(parse, at, value, false, into);
}

static cairn_err
parse_optional_text(struct parse *parse, const struct field *at, struct json value, void *into)
{
    return parse_name(parse, at, value, true, into);
}

static cairn_err
parse_u32(struct parse *parse, const struct field *at, struct json value, void *into)
{
    uint64_t n;
    if (!json_u64(value, &n) || n > UINT32_MAX)
        return parse_fail(parse, CAIRN_E_INVALID, at, "must be a whole number from 0 to 4294967295");
    *(uint32_t *)into = (uint32_t)n;
    return CAIRN_OK;
}

/* null: none. */
static cairn_err
parse_count(struct parse *parse, const struct field *at, struct json value, void *into)
{
    uint64_t n = 0;
    if (value.type != JSON_NULL && (!json_u64(value, &n) || n > INT64_MAX))
        return parse_fail(parse, CAIRN_E_INVALID, at, "must be a whole number from 0 to %lld, or null",
                          (long long)INT64_MAX);
    *(uint64_t *)into = n;
    return CAIRN_OK;
}

static cairn_err
parse_age(struct parse *parse, const struct field *at, struct json value, void *into)
{
    uint64_t us = 0;
    cairn_str text = value.type == JSON_STRING ? json_string(value, parse->arena) : (cairn_str){0};
    if (value.type != JSON_NULL && (!text.data || !parse_duration(text, &us)))
        return parse_fail(parse, CAIRN_E_INVALID, at, "must be a duration such as \"30d\", \"12h\" or \"500ms\", or null");
    *(uint64_t *)into = us;
    return CAIRN_OK;
}

static cairn_err
parse_bool(struct parse *parse, const struct field *at, struct json value, void *into)
{
    if (value.type != JSON_TRUE && value.type != JSON_FALSE)
        return parse_fail(parse, CAIRN_E_INVALID, at, "must be true or false");
    *(bool *)into = value.type == JSON_TRUE;
    return CAIRN_OK;
}

static cairn_err
parse_expected(struct parse *parse, const struct field *at, struct json value, void *into)
{
    static const struct {
        const char *word;
        int64_t value;
    } words[] = {{"any", CAIRN_ANY}, {"none", CAIRN_NONE}, {"exists", CAIRN_EXISTS}};
    uint64_t revision;
    if (json_u64(value, &revision) && revision < INT64_MAX) {
        *(int64_t *)into = (int64_t)revision;
        return CAIRN_OK;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (value.type == JSON_STRING && json_string_is(value, words[i].word)) {
            *(int64_t *)into = words[i].value;
            return CAIRN_OK;
        }
    return parse_fail(parse, CAIRN_E_INVALID, at, "must be \"any\", \"none\", \"exists\" or a revision");
}

static cairn_err
parse_from(struct parse *parse, const struct field *at, struct json value, void *into)
{
    uint64_t position;
    if (json_u64(value, &position) && position < INT64_MAX)
        *(int64_t *)into = (int64_t)position;
    else if (value.type == JSON_STRING && json_string_is(value, "start"))
        *(int64_t *)into = CAIRN_FROM_START;
    else if (value.type == JSON_STRING && json_string_is(value, "end"))
        *(int64_t *)into = CAIRN_FROM_END;
    else
        return parse_fail(parse, CAIRN_E_INVALID, at, "must be a position, \"start\" or \"end\"");
    return CAIRN_OK;
}

static cairn_err
parse_after(struct parse *parse, const struct field *at, struct json value, void *into)
{
    int64_t after;
    if (!json_i64(value, &after) || after < -1)
        return parse_fail(parse, CAIRN_E_INVALID, at, "must be a position, or -1 for the beginning of the log");
    *(int64_t *)into = after;
    return CAIRN_OK;
}

/* ---- queries --------------------------------------------------------------------------------------- */

static cairn_err
parse_types(struct parse *parse, const struct field *at, struct json value, void *into)
{
    cairn_query_item *item = into;
    return parse_names(parse, at, value, &item->types, &item->type_count);
}

static cairn_err
parse_tags(struct parse *parse, const struct field *at, struct json value, void *into)
{
    cairn_query_item *item = into;
    return parse_names(parse, at, value, &item->tags, &item->tag_count);
}

/* Room for an array's items, each parsed by `table` into a struct of item_size. */
static cairn_err
parse_objects(struct parse *parse, const struct field *at, struct json value, size_t count_max,
              const struct member *members, size_t member_count, size_t item_size, void **ret,
              size_t *ret_count)
{
    if (value.type != JSON_ARRAY)
        return parse_fail(parse, CAIRN_E_INVALID, at, "must be an array");
    size_t count = json_count(value);
    if (count > count_max)
        return parse_fail(parse, CAIRN_E_LIMIT, at, "has %zu items; the limit is %zu", count, count_max);
    char *items = arena_zalloc(parse->arena, count > 0 ? count * item_size : 1);
    if (!items)
        return parse_fail(parse, CAIRN_E_NOMEM, at, "out of memory");
    struct json_walk walk = json_walk(value);
    struct json none, item;
    for (size_t i = 0; json_next(&walk, &none, &item); i++) {
        struct field here = {at, NULL, i};
        cairn_err err = parse_members(parse, &here, item, members, member_count, items + i * item_size);
        if (err != CAIRN_OK)
            return err;
    }
    *ret = items;
    *ret_count = count;
    return CAIRN_OK;
}

static cairn_err
parse_query(struct parse *parse, const struct field *at, struct json value, void *into)
{
    static const struct member members[] = {{"types", parse_types, 0}, {"tags", parse_tags, 0}};
    cairn_query *query = into;
    void *items = NULL;
    cairn_err err = parse_objects(parse, at, value, QUERY_ITEMS_MAX, MEMBERS(members), sizeof *query->items,
                                  &items, &query->item_count);
    query->items = items;
    return err;
}

/* ---- POST /v1/append --------------------------------------------------------------------------------- */

/* A write as it is parsed: what is absent must be told from what is zero. */
struct write_parts {
    cairn_str stream;
    int64_t expected; /* biased by one so that zeroed memory means "any" */
    struct event_list events;
};

static cairn_err
parse_write_expected(struct parse *parse, const struct field *at, struct json value, void *into)
{
    int64_t expected = CAIRN_ANY;
    cairn_err err = parse_expected(parse, at, value, &expected);
    if (err == CAIRN_OK)
        *(int64_t *)into = expected - CAIRN_ANY;
    return err;
}

static cairn_err
parse_write_events(struct parse *parse, const struct field *at, struct json value, void *into)
{
    return parse_event_list(parse, at, value, into);
}

static cairn_err
parse_writes(struct parse *parse, const struct field *at, struct json value, void *into)
{
    static const struct member members[] = {
        {"stream", parse_stream, offsetof(struct write_parts, stream)},
        {"expected", parse_write_expected, offsetof(struct write_parts, expected)},
        {"events", parse_write_events, offsetof(struct write_parts, events)},
    };
    cairn_append_request *request = into;
    void *items = NULL;
    size_t count = 0;
    cairn_err err = parse_objects(parse, at, value, WRITES_MAX, MEMBERS(members), sizeof(struct write_parts),
                                  &items, &count);
    if (err != CAIRN_OK)
        return err;
    if (count == 0)
        return parse_fail(parse, CAIRN_E_INVALID, at, "holds no write");
    struct write_parts *parts = items;
    cairn_write *writes = arena_alloc(parse->arena, count * sizeof *writes);
    if (!writes)
        return parse_fail(parse, CAIRN_E_NOMEM, at, "out of memory");
    for (size_t i = 0; i < count; i++) {
        struct field here = {at, NULL, i};
        if (parts[i].stream.size == 0 || parts[i].events.count == 0) {
            struct field missing = {&here, parts[i].stream.size ? "events" : "stream", 0};
            return parse_fail(parse, CAIRN_E_INVALID, &missing, "is missing");
        }
        writes[i] = (cairn_write){parts[i].stream, parts[i].expected + CAIRN_ANY, parts[i].events.events,
                                  parts[i].events.count};
    }
    request->writes = writes;
    request->write_count = count;
    return CAIRN_OK;
}

/* The same bias: an absent `after` is -1. */
struct condition_parts {
    cairn_query query;
    int64_t after_plus_one;
    bool has_query;
};

static cairn_err
parse_condition_after(struct parse *parse, const struct field *at, struct json value, void *into)
{
    int64_t after = -1;
    cairn_err err = parse_after(parse, at, value, &after);
    if (err == CAIRN_OK && after == INT64_MAX)
        err = parse_fail(parse, CAIRN_E_INVALID, at, "is beyond any position");
    if (err == CAIRN_OK)
        *(int64_t *)into = after + 1;
    return err;
}

static cairn_err
parse_condition_query(struct parse *parse, const struct field *at, struct json value, void *into)
{
    struct condition_parts *condition = into;
    condition->has_query = true;
    return parse_query(parse, at, value, &condition->query);
}

static cairn_err
parse_conditions(struct parse *parse, const struct field *at, struct json value, void *into)
{
    static const struct member members[] = {
        {"query", parse_condition_query, 0},
        {"after", parse_condition_after, offsetof(struct condition_parts, after_plus_one)},
    };
    cairn_append_request *request = into;
    void *items = NULL;
    size_t count = 0;
    cairn_err err = parse_objects(parse, at, value, CONDITIONS_MAX, MEMBERS(members),
                                  sizeof(struct condition_parts), &items, &count);
    if (err != CAIRN_OK)
        return err;
    struct condition_parts *parts = items;
    cairn_condition *conditions = arena_alloc(parse->arena, (count ? count : 1) * sizeof *conditions);
    if (!conditions)
        return parse_fail(parse, CAIRN_E_NOMEM, at, "out of memory");
    for (size_t i = 0; i < count; i++) {
        struct field here = {at, NULL, i}, query_at = {&here, "query", 0};
        if (!parts[i].has_query)
            return parse_fail(parse, CAIRN_E_INVALID, &query_at,
                              "is missing; [] is the query that every event matches");
        conditions[i] = (cairn_condition){parts[i].query, parts[i].after_plus_one - 1};
    }
    request->conditions = conditions;
    request->condition_count = count;
    return CAIRN_OK;
}

cairn_err
parse_append(struct parse *parse, cairn_str body, cairn_append_request *ret)
{
    static const struct member members[] = {{"writes", parse_writes, 0}, {"conditions", parse_conditions, 0}};
    cairn_append_request request = {0};
    struct json value;
    cairn_err err = parse_text(parse, body, &value);
    if (err == CAIRN_OK)
        err = parse_members(parse, NULL, value, MEMBERS(members), &request);
    if (err == CAIRN_OK && request.write_count == 0)
        err = error_set(parse->error, CAIRN_E_INVALID, "writes: is missing");
    if (err == CAIRN_OK)
        *ret = request;
    return err;
}

/* ---- retention, groups, positions -------------------------------------------------------------------- */

cairn_err
parse_retention(struct parse *parse, cairn_str body, cairn_retention *ret)
{
    static const struct member members[] = {
        {"max_count", parse_count, offsetof(cairn_retention, max_count)},
        {"max_age", parse_age, offsetof(cairn_retention, max_age_us)},
        {"truncate_before", parse_count, offsetof(cairn_retention, truncate_before)},
    };
    cairn_retention retention = {0};
    struct json value;
    cairn_err err = parse_text(parse, body, &value);
    if (err == CAIRN_OK)
        err = parse_members(parse, NULL, value, MEMBERS(members), &retention);
    if (err == CAIRN_OK)
        *ret = retention;
    return err;
}

/* true, false, or the topic's name. */
static cairn_err
parse_dead_letter(struct parse *parse, const struct field *at, struct json value, void *into)
{
    cairn_group_config *config = into;
    config->dead_letter = value.type == JSON_TRUE || value.type == JSON_STRING;
    config->dead_letter_topic = (cairn_str){0};
    if (value.type == JSON_STRING)
        return parse_name(parse, at, value, false, &config->dead_letter_topic);
    return value.type == JSON_TRUE || value.type == JSON_FALSE
               ? CAIRN_OK
               : parse_fail(parse, CAIRN_E_INVALID, at, "must be true, false or a topic's name");
}

cairn_err
parse_group(struct parse *parse, cairn_str body, cairn_group_config *ret)
{
    static const struct member members[] = {
        {"stream", parse_optional_text, offsetof(cairn_group_config, stream)},
        {"category", parse_optional_text, offsetof(cairn_group_config, category)},
        {"query", parse_query, offsetof(cairn_group_config, query)},
        {"from", parse_from, offsetof(cairn_group_config, from)},
        {"ack_timeout_ms", parse_u32, offsetof(cairn_group_config, ack_timeout_ms)},
        {"retry_max", parse_u32, offsetof(cairn_group_config, retry_max)},
        {"retry_delay_ms", parse_u32, offsetof(cairn_group_config, retry_delay_ms)},
        {"outstanding_max", parse_u32, offsetof(cairn_group_config, outstanding_max)},
        {"dead_letter", parse_dead_letter, 0},
    };
    cairn_group_config config = *ret;
    struct json value;
    cairn_err err = parse_text(parse, body, &value);
    if (err == CAIRN_OK)
        err = parse_members(parse, NULL, value, MEMBERS(members), &config);
    if (err == CAIRN_OK)
        *ret = config;
    return err;
}

static cairn_err
parse_position_list(struct parse *parse, const struct field *at, struct json value, void *into)
{
    struct positions *positions = into;
    if (value.type != JSON_ARRAY)
        return parse_fail(parse, CAIRN_E_INVALID, at, "must be an array of positions");
    size_t count = json_count(value);
    if (count > PARSE_POSITIONS_MAX)
        return parse_fail(parse, CAIRN_E_LIMIT, at, "has %zu items; the limit is %d", count,
                          PARSE_POSITIONS_MAX);
    positions->positions = arena_alloc(parse->arena, (count ? count : 1) * sizeof(uint64_t));
    if (!positions->positions)
        return parse_fail(parse, CAIRN_E_NOMEM, at, "out of memory");
    struct json_walk walk = json_walk(value);
    struct json none, item;
    for (size_t i = 0; json_next(&walk, &none, &item); i++) {
        struct field here = {at, NULL, i};
        if (!json_u64(item, &positions->positions[i]))
            return parse_fail(parse, CAIRN_E_INVALID, &here, "must be a position");
    }
    positions->count = count;
    return CAIRN_OK;
}

cairn_err
parse_positions(struct parse *parse, cairn_str body, bool refusal, struct positions *ret)
{
    static const struct member members[] = {
        {"positions", parse_position_list, 0},
        {"park", parse_bool, offsetof(struct positions, park)},
        {"reason", parse_optional_text, offsetof(struct positions, reason)},
    };
    struct positions positions = {0};
    struct json value;
    cairn_err err = parse_text(parse, body, &value);
    if (err == CAIRN_OK)
        err = parse_members(parse, NULL, value, members, refusal ? 3 : 1, &positions);
    if (err == CAIRN_OK && positions.count == 0)
        err = error_set(parse->error, CAIRN_E_INVALID, "positions: %s",
                        positions.positions ? "is empty" : "is missing");
    if (err == CAIRN_OK)
        *ret = positions;
    return err;
}
