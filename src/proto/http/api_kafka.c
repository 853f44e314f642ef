/* What the calls about topics, groups and relays share. See api_kafka.h. */
#include <proto/http/api_kafka.h>

#include <base/error.h>
#include <base/json.h>
#include <base/text.h>

#include <stdio.h>
#include <stdlib.h>

cairn_err
api_broker(struct api_call *call, struct broker **ret, cairn_error *error)
{
    *ret = call->api->config.broker;
    return *ret ? CAIRN_OK : error_set(error, CAIRN_E_UNSUPPORTED, "this server has no topics");
}

cairn_err
api_kgroups(struct api_call *call, struct groups_broker **ret, cairn_error *error)
{
    *ret = call->api->config.groups;
    return *ret && call->api->config.broker ? CAIRN_OK : error_set(error, CAIRN_E_UNSUPPORTED, "this server has no groups");
}

/* ---- errors ----------------------------------------------------------------------------------------------------------------- */

/* Those that people can meet here; what is left is the request's fault when Kafka's code is one of its 40s, otherwise ours. */
static cairn_err
store_err_of(enum kafka_err err)
{
    switch (err) {
    case KAFKA_NONE: return CAIRN_OK;
    case KAFKA_UNKNOWN_TOPIC_OR_PARTITION:
    case KAFKA_UNKNOWN_TOPIC_ID:
    case KAFKA_RESOURCE_NOT_FOUND:
    case KAFKA_GROUP_ID_NOT_FOUND: return CAIRN_E_NOTFOUND;
    case KAFKA_TOPIC_ALREADY_EXISTS:
    case KAFKA_DUPLICATE_RESOURCE: return CAIRN_E_EXISTS;
    case KAFKA_POLICY_VIOLATION:
    case KAFKA_RECORD_LIST_TOO_LARGE:
    case KAFKA_OFFSET_METADATA_TOO_LARGE:
    case KAFKA_MESSAGE_TOO_LARGE: return CAIRN_E_LIMIT;
    case KAFKA_REQUEST_TIMED_OUT:
    case KAFKA_COORDINATOR_LOAD_IN_PROGRESS:
    case KAFKA_COORDINATOR_NOT_AVAILABLE: return CAIRN_E_BUSY;
    case KAFKA_TOPIC_AUTHORIZATION_FAILED:
    case KAFKA_GROUP_AUTHORIZATION_FAILED:
    case KAFKA_CLUSTER_AUTHORIZATION_FAILED: return CAIRN_E_DENIED;
    case KAFKA_STORAGE_ERROR: return CAIRN_E_IO;
    case KAFKA_UNKNOWN_SERVER_ERROR: return CAIRN_E_NOMEM;
    case KAFKA_CORRUPT_MESSAGE: return CAIRN_E_CORRUPT;
    default: return CAIRN_E_INVALID;
    }
}

/* A group's members stand in the way. */
static bool
is_in_use(enum kafka_err err)
{
    switch (err) {
    case KAFKA_NON_EMPTY_GROUP:
    case KAFKA_GROUP_SUBSCRIBED_TO_TOPIC:
    case KAFKA_REBALANCE_IN_PROGRESS:
    case KAFKA_UNKNOWN_MEMBER_ID:
    case KAFKA_ILLEGAL_GENERATION:
    case KAFKA_STALE_MEMBER_EPOCH: return true;
    default: return false;
    }
}

cairn_err
api_kafka_problem(struct api_call *call, enum kafka_err err, const char *why, cairn_error *error)
{
    if (err == KAFKA_NONE)
        return CAIRN_OK;
    struct buf text = {0};
    buf_printf(&text, "\"kafka_error\":\"%s\"", kafka_err_name(err));
    call->problem_members = text.failed ? (cairn_str){0} : arena_copy(call->arena, buf_str(&text));
    buf_free(&text);
    if (is_in_use(err))
        call->problem = &problem_in_use;
    return error_set(error, is_in_use(err) ? CAIRN_E_DENIED : store_err_of(err), "%s", why && why[0] ? why : kafka_err_message(err));
}

cairn_err
api_topic_find(struct api_call *call, cairn_str name, cairn_topic_ref **ret, cairn_error *error)
{
    struct broker *broker;
    cairn_err err = api_broker(call, &broker, error);
    if (err == CAIRN_OK)
        err = cairn_topic_get(broker_store(broker), broker_scope(broker), name, ret, error);
    if (err != CAIRN_E_NOTFOUND)
        return err;
    struct broker_why why;
    snprintf(why.text, sizeof why.text, "There is no topic '%.*s'.", (int)(name.size < 100 ? name.size : 100), name.data);
    return api_kafka_problem(call, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, why.text, error);
}

cairn_err
api_partition_find(struct api_call *call, const cairn_topic *topic, cairn_str text, uint32_t *ret, cairn_error *error)
{
    uint64_t number;
    struct broker_why why;
    if (parse_u64(text, &number) && number < topic->partitions) {
        *ret = (uint32_t)number;
        return CAIRN_OK;
    }
    snprintf(why.text, sizeof why.text, "There is no partition '%.*s': topic '%.*s' has %u, counted from 0.",
             (int)(text.size < 40 ? text.size : 40), text.data, (int)(topic->name.size < 100 ? topic->name.size : 100),
             topic->name.data, topic->partitions);
    return api_kafka_problem(call, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, why.text, error);
}

/* ---- values ------------------------------------------------------------------------------------------------------------------ */

void
api_put_bytes(struct buf *to, const char *name, const cairn_str *bytes)
{
    char encoded[40];
    if (bytes && utf8_valid(*bytes)) {
        json_put_text_member(to, name, *bytes);
        return;
    }
    snprintf(encoded, sizeof encoded, "%s%s", name, bytes ? "_base64" : "");
    json_put_name(to, encoded);
    if (!bytes) {
        buf_put_str(to, CAIRN_STR("null"));
        return;
    }
    buf_put_char(to, '"');
    base64_put(to, *bytes);
    buf_put_char(to, '"');
}

void
api_put_ms(struct buf *to, const char *name, int64_t ms)
{
    const int64_t year_10000_ms = INT64_C(253402300800000);
    json_put_name(to, name);
    if (ms >= 0 && ms < year_10000_ms)
        json_put_time(to, ms * 1000);
    else
        buf_put_str(to, CAIRN_STR("null"));
}

/* ---- pages of names ------------------------------------------------------------------------------------------------------------ */

struct name_page
name_page_of(struct api_call *call)
{
    return (struct name_page){
        .arena = call->arena,
        .after = call->args.value[ARG_AFTER_NAME].text,
        .prefix = call->args.value[ARG_NAME_PREFIX].text,
        .limit = (size_t)call->args.value[ARG_LIMIT].number,
    };
}

static int
by_name(const void *a, const void *b)
{
    return cairn_str_order(((const struct named *)a)->name, ((const struct named *)b)->name);
}

bool
name_page_wants(const struct name_page *page, cairn_str name)
{
    if (name.size < page->prefix.size || (page->prefix.size && memcmp(name.data, page->prefix.data, page->prefix.size) != 0))
        return false;
    return page->after.size == 0 || cairn_str_order(name, page->after) > 0;
}

bool
name_page_add(struct name_page *page, cairn_str name, void *about)
{
    if (page->count == page->capacity) {
        size_t capacity = page->capacity ? page->capacity * 2 : 128;
        struct named *larger = realloc(page->items, capacity * sizeof *larger);
        if (!larger)
            return !(page->failed = true);
        page->items = larger;
        page->capacity = capacity;
    }
    cairn_str copy = arena_copy(page->arena, name);
    page->failed |= !copy.data;
    page->items[page->count++] = (struct named){copy, about};
    return !page->failed;
}

void
name_page_close(struct name_page *page)
{
    if (page->count > 1)
        qsort(page->items, page->count, sizeof *page->items, by_name);
    page->more = page->count > page->limit;
    if (page->more)
        page->count = page->limit;
}

void
name_page_end(const struct name_page *page, struct buf *to)
{
    buf_put_str(to, CAIRN_STR("],\"next\":"));
    if (page->more)
        json_put_string(to, page->items[page->count - 1].name);
    else
        buf_put_str(to, CAIRN_STR("null"));
    json_put_bool_member(to, "end", !page->more);
    buf_put_char(to, '}');
}

void
name_page_free(struct name_page *page)
{
    free(page->items);
}
