/* What a request to the registry says: parameters, subjects, versions, bodies. One owner thread. */
#include <proto/http/registry_int.h>

/* ---- the query */

static bool
name_is(cairn_str raw, const char *name)
{
    struct buf decoded = {0};
    bool same = percent_get(&decoded, raw, true) && !decoded.failed && cairn_str_equal(buf_str(&decoded), cairn_cstr(name));
    buf_free(&decoded);
    return same;
}

bool
door_query(struct door_call *call, const char *name, size_t index, cairn_str *ret)
{
    const char *at = call->query.data, *end = at + call->query.size;
    while (at < end) {
        const char *stop = memchr(at, '&', (size_t)(end - at));
        stop = stop ? stop : end;
        const char *equals = memchr(at, '=', (size_t)(stop - at));
        cairn_str key = {at, (size_t)((equals ? equals : stop) - at)};
        if (key.size && name_is(key, name) && index-- == 0) {
            struct buf value = {0};
            cairn_str raw = equals ? (cairn_str){equals + 1, (size_t)(stop - equals - 1)} : (cairn_str){"", 0};
            bool fine = percent_get(&value, raw, true) && !value.failed;
            *ret = fine ? arena_copy(&call->arena, buf_str(&value)) : (cairn_str){NULL, 0};
            buf_free(&value);
            return fine && ret->data;
        }
        at = stop + 1;
    }
    return false;
}

bool
door_query_true(struct door_call *call, const char *name)
{
    cairn_str value;
    return door_query(call, name, 0, &value) && cairn_str_equal(value, CAIRN_STR("true"));
}

uint64_t
door_query_number(struct door_call *call, const char *name, uint64_t otherwise)
{
    cairn_str value;
    uint64_t number;
    return door_query(call, name, 0, &value) && parse_u64(value, &number) ? number : otherwise;
}

enum schema_view
door_view_arg(struct door_call *call)
{
    if (door_query_true(call, "deletedOnly"))
        return SCHEMA_VIEW_DELETED_ONLY;
    return door_query_true(call, "deleted") ? SCHEMA_VIEW_DELETED_TOO : SCHEMA_VIEW_LIVE;
}

/* ---- parts of the path */

/* ":.:name" is "name": the context that everything is in unless it says otherwise. */
bool
door_subject_arg(struct door_call *call, cairn_str part, cairn_str *ret)
{
    cairn_str context = call->context;
    bool qualified = part.size > 2 && part.data[0] == ':' && part.data[1] == '.';
    if (!qualified && context.size > 0 && !cairn_str_equal(context, CAIRN_STR(".")) && !cairn_str_equal(context, CAIRN_STR(":.:"))) {
        struct buf name = {0};
        bool colons = context.data[0] == ':';
        buf_printf(&name, "%s%.*s%s", colons ? "" : ":", (int)context.size, context.data, colons ? "" : ":");
        buf_put_str(&name, part);
        part = name.failed ? (cairn_str){NULL, 0} : arena_copy(&call->arena, buf_str(&name));
        buf_free(&name);
    } else if (part.size >= 3 && memcmp(part.data, ":.:", 3) == 0) {
        part = (cairn_str){part.data + 3, part.size - 3};
    }
    *ret = part;
    if (part.size > 0 && part.size <= SCHEMA_SUBJECT_MAX && part.data)
        return true;
    door_refuse(call, SCHEMA_BAD_SUBJECT, "The specified subject '%.*s' is not a valid subject.",
                    (int)(part.size > 100 ? 100 : part.size), part.data ? part.data : "");
    return false;
}

bool
door_setting_arg(struct door_call *call, cairn_str *ret)
{
    *ret = (cairn_str){"", 0};
    return call->open[0].data == NULL || door_subject_arg(call, call->open[0], ret);
}

bool
door_version_arg(struct door_call *call, cairn_str part, uint32_t *ret)
{
    uint64_t number;
    *ret = 0;
    if (cairn_str_equal(part, CAIRN_STR("latest")) || cairn_str_equal(part, CAIRN_STR("-1")))
        return true;
    if (parse_u64(part, &number) && number >= 1 && number <= INT32_MAX) {
        *ret = (uint32_t)number;
        return true;
    }
    door_refuse(call, SCHEMA_BAD_VERSION,
                    "The specified version '%.*s' is not a valid version id. Allowed values are between [1, 2^31-1] and "
                    "the string \"latest\"", (int)(part.size > 40 ? 40 : part.size), part.data);
    return false;
}

bool
door_id_arg(struct door_call *call, cairn_str part, uint32_t *ret)
{
    uint64_t number;
    if (parse_u64(part, &number) && number <= INT32_MAX) {
        *ret = (uint32_t)number;
        return true;
    }
    door_refuse(call, 404, "HTTP 404 Not Found");
    return false;
}

/* ---- bodies */

bool
door_body_arg(struct door_call *call, struct json *ret)
{
    cairn_err err = json_check(call->body, ret, &call->error);
    if (err == CAIRN_OK && ret->type == JSON_OBJECT)
        return true;
    if (err == CAIRN_OK)
        door_refuse(call, 400, "the body must be a JSON object");
    else
        door_refuse_error(call, CAIRN_E_INVALID, 400);
    return false;
}

/* An object or list, as it came; empty where there is nothing in it. False: of another type. */
static bool
take_part(struct json body, const char *name, enum json_type type, cairn_str *ret)
{
    struct json value = json_get(body, name);
    *ret = (cairn_str){NULL, 0};
    if (value.type == JSON_NONE || value.type == JSON_NULL)
        return true;
    if (value.type == type && json_count(value) > 0)
        *ret = value.raw;
    return value.type == type;
}

static bool
take_number(struct json body, const char *name, uint32_t *ret)
{
    int64_t number = 0;
    struct json value = json_get(body, name);
    if (value.type != JSON_NONE && value.type != JSON_NULL && (!json_i64(value, &number) || number > INT32_MAX))
        return false;
    *ret = number > 0 ? (uint32_t)number : 0;
    return true;
}

/* The settings "normalize" of a subject and of all stand in for the parameter. */
static bool
wants_normal(struct door_call *call, cairn_str subject)
{
    struct json config;
    cairn_str text;
    if (door_query_true(call, "normalize"))
        return true;
    if (!schema_registry_config(call->registry, subject, &text) &&
        !schema_registry_config(call->registry, (cairn_str){"", 0}, &text))
        return false;
    return json_check(text, &config, NULL) == CAIRN_OK && json_get(config, "normalize").type == JSON_TRUE;
}

bool
door_request_arg(struct door_call *call, cairn_str subject, struct schema_request *ret)
{
    struct json body;
    *ret = (struct schema_request){.subject = subject, .kind = SCHEMA_AVRO};
    if (!door_body_arg(call, &body))
        return false;
    struct json kind = json_get(body, "schemaType");
    if (kind.type != JSON_NONE && kind.type != JSON_NULL) {
        cairn_str name = json_string(kind, &call->arena);
        if (!name.data || !schema_kind_parse(name, &ret->kind)) {
            door_refuse(call, SCHEMA_BAD_SCHEMA, "Invalid schema type %.*s", (int)(name.size > 40 ? 40 : name.size),
                            name.data ? name.data : "");
            return false;
        }
    }
    ret->text = json_string(json_get(body, "schema"), &call->arena);
    if (ret->text.size == 0) {
        door_refuse(call, SCHEMA_BAD_SCHEMA, "Empty schema");
        return false;
    }
    if (!take_part(body, "references", JSON_ARRAY, &ret->references) || !take_part(body, "metadata", JSON_OBJECT, &ret->metadata) ||
        !take_part(body, "ruleSet", JSON_OBJECT, &ret->rules) || !take_number(body, "id", &ret->id) ||
        !take_number(body, "version", &ret->version)) {
        door_refuse(call, SCHEMA_BAD_SCHEMA, "references must be a list, metadata and ruleSet objects, id and version whole numbers");
        return false;
    }
    ret->normalize = wants_normal(call, subject);
    return true;
}
