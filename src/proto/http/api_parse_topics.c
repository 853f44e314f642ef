/* Bodies of calls about topics, groups and relays. See api_kafka.h; the manner is api_parse.h's. */
#include <proto/http/api_kafka.h>

#include <base/error.h>
#include <base/text.h>

#define CONFIG_MAX 64

static cairn_err
parse_flag(struct parse *parse, const struct field *at, struct json value, bool *ret)
{
    if (value.type != JSON_TRUE && value.type != JSON_FALSE)
        return parse_fail(parse, CAIRN_E_INVALID, at, "must be true or false");
    *ret = value.type == JSON_TRUE;
    return CAIRN_OK;
}

static cairn_err
parse_number(struct parse *parse, const struct field *at, struct json value, int64_t min, int64_t max, int64_t *ret)
{
    if (!json_i64(value, ret) || *ret < min || *ret > max)
        return parse_fail(parse, CAIRN_E_INVALID, at, "must be a whole number from %lld to %lld", (long long)min, (long long)max);
    return CAIRN_OK;
}

static cairn_err
parse_object(struct parse *parse, cairn_str body, struct json *ret)
{
    const struct field root = {NULL, "body", 0};
    cairn_err err = parse_text(parse, body, ret);
    if (err == CAIRN_OK && ret->type != JSON_OBJECT)
        err = parse_fail(parse, CAIRN_E_INVALID, &root, "must be an object");
    return err;
}

/* ---- a topic ---------------------------------------------------------------------------------------------------------------------- */

static cairn_err
parse_setting(struct parse *parse, const struct field *at, struct json name, struct json value, bool patch, struct broker_pair *ret)
{
    ret->name = json_string(name, parse->arena);
    ret->op = PAIR_SET;
    if (!ret->name.data)
        return parse_fail(parse, CAIRN_E_INVALID, at, "a name holds a lone surrogate");
    switch (value.type) {
    case JSON_NULL:
        ret->op = PAIR_DELETE;
        ret->value = (cairn_str){0};
        if (!patch)
            return parse_fail(parse, CAIRN_E_INVALID, at, "%.*s: null; a setting that is left out has its default",
                              (int)(name.raw.size < 100 ? name.raw.size : 100), name.raw.data);
        return CAIRN_OK;
    case JSON_STRING: ret->value = json_string(value, parse->arena); break;
    case JSON_NUMBER:
    case JSON_TRUE:
    case JSON_FALSE: ret->value = value.raw; break;
    default:
        return parse_fail(parse, CAIRN_E_INVALID, at, "%.*s: must be a string, a number, true or false",
                          (int)(name.raw.size < 100 ? name.raw.size : 100), name.raw.data);
    }
    return ret->value.data ? CAIRN_OK : parse_fail(parse, CAIRN_E_INVALID, at, "a value holds a lone surrogate");
}

static cairn_err
parse_config(struct parse *parse, const struct field *at, struct json value, bool patch, struct topic_body *ret)
{
    if (value.type != JSON_OBJECT)
        return parse_fail(parse, CAIRN_E_INVALID, at, "must be an object");
    size_t count = json_count(value);
    if (count > CONFIG_MAX)
        return parse_fail(parse, CAIRN_E_LIMIT, at, "has %zu settings; the limit is %d", count, CONFIG_MAX);
    struct broker_pair *pairs = arena_alloc(parse->arena, (count + 1) * sizeof *pairs);
    if (!pairs)
        return error_set(parse->error, CAIRN_E_NOMEM, "out of memory");
    struct json_walk walk = json_walk(value);
    struct json name, item;
    cairn_err err = CAIRN_OK;
    for (size_t i = 0; err == CAIRN_OK && json_next(&walk, &name, &item); i++)
        err = parse_setting(parse, at, name, item, patch, &pairs[i]);
    ret->has_config = true;
    ret->config = pairs;
    ret->config_count = count;
    return err;
}

cairn_err
parse_topic(struct parse *parse, cairn_str body, bool patch, struct topic_body *ret)
{
    static const char *const members[] = {"partitions", "config", "category"};
    struct json value, name, item;
    uint64_t seen = 0;
    *ret = (struct topic_body){0};
    cairn_err err = parse_object(parse, body, &value);
    if (err != CAIRN_OK)
        return err;
    struct json_walk walk = json_walk(value);
    while (err == CAIRN_OK && json_next(&walk, &name, &item)) {
        unsigned i;
        int64_t n;
        err = parse_member(parse, NULL, name, members, patch ? 2 : 3, &seen, &i);
        if (err != CAIRN_OK)
            break;
        const struct field here = {NULL, members[i], 0};
        if (i == 0) {
            err = parse_number(parse, &here, item, 1, CAIRN_PARTITIONS_MAX, &n);
            ret->partitions = err == CAIRN_OK ? (uint32_t)n : 0;
            ret->has_partitions = true;
        } else if (i == 1) {
            err = parse_config(parse, &here, item, patch, ret);
        } else {
            err = parse_name(parse, &here, item, true, &ret->category);
        }
    }
    return err;
}

/* ---- dead letters that are to go back --------------------------------------------------------------------------------------------- */

static cairn_err
parse_next(struct parse *parse, const struct field *at, struct json value, cairn_dead_request *ret)
{
    static const char *const members[] = {"partition", "offset", "until"};
    struct json name, item;
    uint64_t seen = 0;
    cairn_err err = CAIRN_OK;
    if (value.type == JSON_NULL)
        return CAIRN_OK;
    if (value.type != JSON_OBJECT)
        return parse_fail(parse, CAIRN_E_INVALID, at, "must be an object, or null");
    for (struct json_walk walk = json_walk(value); err == CAIRN_OK && json_next(&walk, &name, &item);) {
        unsigned i;
        int64_t n = 0;
        err = parse_member(parse, at, name, members, 3, &seen, &i);
        if (err != CAIRN_OK)
            break;
        const struct field here = {at, members[i], 0};
        err = parse_number(parse, &here, item, i == 2, i == 0 ? CAIRN_PARTITIONS_MAX - 1 : INT64_MAX - 1, &n);
        if (i == 0)
            ret->next_partition = (uint32_t)n;
        else
            *(i == 1 ? &ret->next_offset : &ret->until) = (uint64_t)n;
    }
    return err == CAIRN_OK && seen != 7 ? parse_fail(parse, CAIRN_E_INVALID, at, "has partition, offset and until") : err;
}

cairn_err
parse_replay(struct parse *parse, cairn_str body, cairn_dead_request *ret)
{
    static const char *const members[] = {"partition", "from", "to", "limit", "consumer", "dry_run", "next"};
    static const struct {
        int64_t least, most;
    } ranges[] = {{0, CAIRN_PARTITIONS_MAX - 1}, {0, INT64_MAX - 1}, {0, INT64_MAX - 1}, {1, 10000}};
    struct json value, name, item;
    uint64_t seen = 0;
    cairn_err err = CAIRN_OK;
    *ret = (cairn_dead_request){0};
    if (body.size == 0)
        return CAIRN_OK;
    err = parse_object(parse, body, &value);
    if (err != CAIRN_OK)
        return err;
    for (struct json_walk walk = json_walk(value); err == CAIRN_OK && json_next(&walk, &name, &item);) {
        unsigned i;
        int64_t n = 0;
        err = parse_member(parse, NULL, name, members, 7, &seen, &i);
        if (err != CAIRN_OK)
            break;
        const struct field here = {NULL, members[i], 0};
        err = i < 4    ? parse_number(parse, &here, item, ranges[i].least, ranges[i].most, &n)
              : i == 4 ? parse_name(parse, &here, item, true, &ret->consumer)
              : i == 5 ? parse_flag(parse, &here, item, &ret->dry_run)
                       : parse_next(parse, &here, item, ret);
        if (i == 0) {
            ret->has_partition = true;
            ret->partition = (uint32_t)n;
        } else if (i == 3) {
            ret->limit = (uint32_t)n;
        } else if (i < 3) {
            *(i == 1 ? &ret->from : &ret->to) = (uint64_t)n;
        }
    }
    return err;
}

/* ---- where a group's offsets are to go --------------------------------------------------------------------------------------------- */

static cairn_err
parse_partitions(struct parse *parse, const struct field *at, struct json value, struct reset_body *ret)
{
    size_t count = value.type == JSON_ARRAY ? json_count(value) : 0;
    if (count == 0 || count > CAIRN_PARTITIONS_MAX)
        return parse_fail(parse, CAIRN_E_INVALID, at, "must be an array of 1 to %d partitions", CAIRN_PARTITIONS_MAX);
    uint32_t *partitions = arena_alloc(parse->arena, count * sizeof *partitions);
    if (!partitions)
        return error_set(parse->error, CAIRN_E_NOMEM, "out of memory");
    struct json_walk walk = json_walk(value);
    struct json none, item;
    for (size_t i = 0; json_next(&walk, &none, &item); i++) {
        const struct field here = {at, NULL, i};
        int64_t n;
        cairn_err err = parse_number(parse, &here, item, 0, CAIRN_PARTITIONS_MAX - 1, &n);
        if (err != CAIRN_OK)
            return err;
        partitions[i] = (uint32_t)n;
    }
    ret->partitions = partitions;
    ret->partition_count = count;
    return CAIRN_OK;
}

static cairn_err
parse_to(struct parse *parse, const struct field *at, struct json value, struct reset_body *ret)
{
    static const char *const members[] = {"time", "offset", "by", "position"};
    struct json name, item;
    uint64_t seen = 0;
    unsigned i;
    int64_t us;
    if (value.type == JSON_STRING && json_string_is(value, "earliest")) {
        ret->to = TO_EARLIEST;
        return CAIRN_OK;
    }
    if (value.type == JSON_STRING && json_string_is(value, "latest")) {
        ret->to = TO_LATEST;
        return CAIRN_OK;
    }
    if (value.type != JSON_OBJECT || json_count(value) != 1)
        return parse_fail(parse, CAIRN_E_INVALID, at,
                          "must be \"earliest\", \"latest\", {\"time\":…}, {\"offset\":…}, {\"by\":…} or {\"position\":…}");
    struct json_walk walk = json_walk(value);
    (void)json_next(&walk, &name, &item);
    cairn_err err = parse_member(parse, at, name, members, 4, &seen, &i);
    if (err != CAIRN_OK)
        return err;
    const struct field here = {at, members[i], 0};
    if (i == 1 || i == 3) {
        ret->to = i == 1 ? TO_OFFSET : TO_POSITION;
        return parse_number(parse, &here, item, 0, INT64_MAX - 1, &ret->number);
    }
    if (i == 2) {
        ret->to = TO_BY;
        return parse_number(parse, &here, item, -INT64_MAX, INT64_MAX - 1, &ret->number);
    }
    cairn_str text = item.type == JSON_STRING ? json_string(item, parse->arena) : (cairn_str){0};
    if (!text.data || !parse_time(text, &us))
        return parse_fail(parse, CAIRN_E_INVALID, &here, "must be an RFC 3339 time such as \"2026-11-21T08:31:11Z\"");
    ret->to = TO_TIME;
    ret->number = us / 1000 + (us % 1000 > 0); /* a record's time is in whole ms: the first at or after it */
    return CAIRN_OK;
}

cairn_err
parse_reset(struct parse *parse, cairn_str body, struct reset_body *ret)
{
    static const char *const members[] = {"topic", "partitions", "to", "dry_run"};
    struct json value, name, item;
    uint64_t seen = 0;
    *ret = (struct reset_body){0};
    cairn_err err = parse_object(parse, body, &value);
    if (err != CAIRN_OK)
        return err;
    struct json_walk walk = json_walk(value);
    while (err == CAIRN_OK && json_next(&walk, &name, &item)) {
        unsigned i;
        err = parse_member(parse, NULL, name, members, 4, &seen, &i);
        if (err != CAIRN_OK)
            break;
        const struct field here = {NULL, members[i], 0};
        err = i == 0   ? parse_name(parse, &here, item, false, &ret->topic)
              : i == 1 ? parse_partitions(parse, &here, item, ret)
              : i == 2 ? parse_to(parse, &here, item, ret)
                       : parse_flag(parse, &here, item, &ret->dry_run);
    }
    if (err == CAIRN_OK && (seen & 5) != 5)
        err = error_set(parse->error, CAIRN_E_INVALID, "%s is missing", seen & 1 ? "to" : "topic");
    return err;
}

/* ---- a relay ------------------------------------------------------------------------------------------------------------------------- */

static cairn_err
parse_direction(struct parse *parse, const struct field *at, struct json value, struct relay_body *ret)
{
    ret->has_direction = true;
    ret->out = value.type == JSON_STRING && json_string_is(value, "out");
    if (!ret->out && !(value.type == JSON_STRING && json_string_is(value, "in")))
        return parse_fail(parse, CAIRN_E_INVALID, at, "must be \"out\" or \"in\"");
    return CAIRN_OK;
}

cairn_err
parse_relay(struct parse *parse, cairn_str body, struct relay_body *ret)
{
    static const char *const members[] = {"direction", "source", "target", "client", "transactions", "paused"};
    struct json value, name, item;
    uint64_t seen = 0;
    *ret = (struct relay_body){0};
    cairn_err err = parse_object(parse, body, &value);
    if (err != CAIRN_OK)
        return err;
    struct json_walk walk = json_walk(value);
    while (err == CAIRN_OK && json_next(&walk, &name, &item)) {
        unsigned i;
        err = parse_member(parse, NULL, name, members, 6, &seen, &i);
        if (err != CAIRN_OK)
            break;
        const struct field here = {NULL, members[i], 0};
        switch (i) {
        case 0: err = parse_direction(parse, &here, item, ret); break;
        case 1: err = parse_name(parse, &here, item, false, &ret->source); break;
        case 2: err = parse_name(parse, &here, item, true, &ret->target); break;
        case 3:
            ret->client = item;
            if (item.type != JSON_OBJECT)
                err = parse_fail(parse, CAIRN_E_INVALID, &here, "must be an object of librdkafka's settings");
            break;
        case 4: err = parse_flag(parse, &here, item, &ret->transactions); break;
        default:
            err = parse_flag(parse, &here, item, &ret->paused);
            ret->has_paused = true;
        }
    }
    if (err == CAIRN_OK && (seen & 11) != 11)
        err = error_set(parse->error, CAIRN_E_INVALID, "%s is missing",
                        !(seen & 1) ? "direction" : !(seen & 2) ? "source" : "client");
    return err;
}
