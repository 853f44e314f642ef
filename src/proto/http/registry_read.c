/* Answers that change nothing. One owner thread. */
#include <proto/http/registry_int.h>

#include <stdlib.h>

#define LIMIT_DEFAULT 1000

static const cairn_str everybody = {"", 0};

static bool
failed(struct door_call *call, cairn_err err)
{
    if (err != CAIRN_OK)
        door_refuse_error(call, err, 0);
    return err != CAIRN_OK;
}

/* ---- versions */

bool
door_find_version(struct door_call *call, cairn_str subject, uint32_t version, enum schema_view view,
                      struct schema_version *ret)
{
    struct schema_version newest;
    if (schema_registry_seen(call->registry, subject, version, view, ret))
        return true;
    if (schema_registry_seen(call->registry, subject, 0, view, &newest))
        door_refuse(call, SCHEMA_NO_VERSION, "Version %u not found.", version);
    else
        door_refuse(call, SCHEMA_NO_SUBJECT, "Subject '%.*s' not found.", (int)subject.size, subject.data);
    return false;
}

/* The text in the format that was asked for; as it was registered where it cannot be written so. */
static cairn_str
text_of(struct door_call *call, const struct schema_version *version)
{
    cairn_str format, text = version->text;
    struct schema_compiled *schema = NULL;
    struct buf to = {0};
    bool serialized = door_query(call, "format", 0, &format) && cairn_str_equal(format, CAIRN_STR("serialized"));
    if (!serialized || !cairn_str_equal(version->kind, CAIRN_STR("PROTOBUF")))
        return text;
    cairn_err err = schema_registry_compiled(call->registry, version, &schema, &call->error);
    if (err == CAIRN_OK)
        err = schema_put(schema, SCHEMA_SERIALIZED, &to, &call->error);
    if (err == CAIRN_OK)
        text = arena_copy(&call->arena, buf_str(&to));
    else
        door_refuse_error(call, err, 0);
    schema_release(schema);
    buf_free(&to);
    return text;
}

static void
put_raw(struct buf *to, const char *name, cairn_str json)
{
    if (json.size == 0)
        return;
    json_put_name(to, name);
    buf_put_str(to, json);
}

void
door_put_version(struct door_call *call, const struct schema_version *version, bool whole)
{
    char guid[UUID_TEXT_SIZE];
    struct buf *to = &call->out;
    json_put_comma(to);
    buf_put_char(to, '{');
    if (whole) {
        json_put_text_member(to, "subject", version->subject);
        json_put_u64_member(to, "version", version->version);
        json_put_u64_member(to, "id", version->id);
    }
    format_uuid(version->guid, guid);
    json_put_text_member(to, "guid", cairn_cstr(guid));
    if (!cairn_str_equal(version->kind, CAIRN_STR("AVRO")))
        json_put_text_member(to, "schemaType", version->kind);
    put_raw(to, "references", version->references);
    put_raw(to, "metadata", version->metadata);
    put_raw(to, "ruleSet", version->rules);
    json_put_text_member(to, "schema", text_of(call, version));
    if (version->life == SCHEMA_HIDDEN)
        json_put_bool_member(to, "deleted", true);
    buf_put_char(to, '}');
}

/* ---- what there is */

void
door_root(struct door_call *call)
{
    buf_put_str(&call->out, CAIRN_STR("{}"));
}

void
door_types(struct door_call *call)
{
    buf_put_str(&call->out, CAIRN_STR("[\"JSON\",\"PROTOBUF\",\"AVRO\"]"));
}

/* ".name" of ":.name:subject"; "." of others. */
static cairn_str
context_of(cairn_str subject)
{
    if (subject.size < 3 || subject.data[0] != ':' || subject.data[1] != '.')
        return CAIRN_STR(".");
    const char *end = memchr(subject.data + 1, ':', subject.size - 1);
    return end ? (cairn_str){subject.data + 1, (size_t)(end - subject.data - 1)} : CAIRN_STR(".");
}

static int
by_text(const void *a, const void *b)
{
    const cairn_str *x = a, *y = b;
    return cairn_str_order(*x, *y);
}

/* Sorted, each once. */
static size_t
distinct(cairn_str *names, size_t count)
{
    size_t kept = 0;
    qsort(names, count, sizeof *names, by_text);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || !cairn_str_equal(names[kept - 1], names[i]))
            names[kept++] = names[i];
    return kept;
}

static void
put_page(struct door_call *call, const cairn_str *names, size_t count)
{
    uint64_t offset = door_query_number(call, "offset", 0), limit = door_query_number(call, "limit", UINT64_MAX);
    buf_put_char(&call->out, '[');
    for (uint64_t i = offset; i < count && i - offset < limit; i++) {
        json_put_comma(&call->out);
        json_put_string(&call->out, names[i]);
    }
    buf_put_char(&call->out, ']');
}

static bool
has_prefix(void *context, const struct schema_version *version)
{
    const cairn_str *prefix = context;
    return prefix->size <= version->subject.size &&
           (prefix->size == 0 || memcmp(prefix->data, version->subject.data, prefix->size) == 0);
}

/* ":*:" stands for every context, ":.:" for none. */
static cairn_str
prefix_arg(struct door_call *call)
{
    cairn_str prefix;
    if (!door_query(call, "subjectPrefix", 0, &prefix))
        prefix = (cairn_str){"", 0};
    if (prefix.size >= 3 && (memcmp(prefix.data, ":*:", 3) == 0 || memcmp(prefix.data, ":.:", 3) == 0))
        prefix = (cairn_str){prefix.data + 3, prefix.size - 3};
    if (prefix.size == 0 && call->context.size > 0 && !cairn_str_equal(call->context, CAIRN_STR(".")))
        prefix = call->context;
    return prefix;
}

static void
put_names(struct door_call *call, const struct schema_version *list, size_t count, bool contexts)
{
    cairn_str *names = arena_alloc(&call->arena, (count + 1) * sizeof *names);
    if (!names) {
        door_refuse(call, 50001, "out of memory");
        return;
    }
    size_t named = 0;
    if (contexts)
        names[named++] = CAIRN_STR(".");
    for (size_t i = 0; i < count; i++)
        names[named++] = contexts ? context_of(list[i].subject) : list[i].subject;
    put_page(call, names, distinct(names, named));
}

void
door_contexts(struct door_call *call)
{
    struct schema_version *list;
    size_t count;
    if (!failed(call, schema_registry_select(call->registry, SCHEMA_VIEW_LIVE, NULL, NULL, &call->arena, &list, &count)))
        put_names(call, list, count, true);
}

void
door_subjects(struct door_call *call)
{
    struct schema_version *list;
    size_t count;
    cairn_str prefix = prefix_arg(call);
    if (!failed(call, schema_registry_select(call->registry, door_view_arg(call), has_prefix, &prefix, &call->arena, &list,
                                             &count)))
        put_names(call, list, count, false);
}

void
door_schemas(struct door_call *call)
{
    struct schema_version *list, newest;
    size_t count, seen = 0;
    cairn_str prefix = prefix_arg(call);
    bool latest = door_query_true(call, "latestOnly");
    uint64_t offset = door_query_number(call, "offset", 0);
    uint64_t limit = door_query_number(call, "limit", LIMIT_DEFAULT);
    enum schema_view view = door_view_arg(call);
    if (failed(call, schema_registry_select(call->registry, view, has_prefix, &prefix, &call->arena, &list, &count)))
        return;
    buf_put_char(&call->out, '[');
    for (size_t i = 0; i < count && !call->code; i++) {
        if (latest && schema_registry_seen(call->registry, list[i].subject, 0, view, &newest) && newest.version != list[i].version)
            continue;
        if (seen++ >= offset && seen - offset <= limit)
            door_put_version(call, &list[i], true);
    }
    buf_put_char(&call->out, ']');
}

/* ---- by id and guid */

static bool
versions_of_id(struct door_call *call, enum schema_view view, struct schema_version **ret, size_t *ret_count)
{
    uint32_t id;
    if (!door_id_arg(call, call->open[0], &id) ||
        failed(call, schema_registry_of_id(call->registry, id, view, &call->arena, ret, ret_count)))
        return false;
    if (*ret_count == 0)
        door_refuse(call, SCHEMA_NO_SCHEMA, "Schema %u not found", id);
    return *ret_count > 0;
}

/* A subject in the query chooses among those of the id; another subject than theirs is no fault. */
static const struct schema_version *
choose(struct door_call *call, const struct schema_version *list, size_t count, bool *ret_named)
{
    cairn_str name, subject;
    *ret_named = false;
    if (!door_query(call, "subject", 0, &name) || name.size == 0 || !door_subject_arg(call, name, &subject))
        return &list[0];
    for (size_t i = count; i-- > 0;)
        if (cairn_str_equal(list[i].subject, subject)) {
            *ret_named = true;
            return &list[i];
        }
    return &list[0];
}

void
door_id(struct door_call *call)
{
    struct schema_version *list;
    size_t count;
    bool named;
    if (!versions_of_id(call, SCHEMA_VIEW_DELETED_TOO, &list, &count))
        return;
    const struct schema_version *version = choose(call, list, count, &named);
    if (call->code)
        return;
    door_put_version(call, version, named);
    if (!call->code && door_query_true(call, "fetchMaxId") && call->out.size) {
        call->out.size--; /* its brace */
        json_put_u64_member(&call->out, "maxId", schema_registry_id_max(call->registry));
        buf_put_char(&call->out, '}');
    }
}

void
door_id_schema(struct door_call *call)
{
    struct schema_version *list;
    size_t count;
    if (versions_of_id(call, SCHEMA_VIEW_DELETED_TOO, &list, &count))
        buf_put_str(&call->out, text_of(call, &list[0]));
}

void
door_id_subjects(struct door_call *call)
{
    struct schema_version *list;
    size_t count;
    if (versions_of_id(call, door_view_arg(call), &list, &count))
        put_names(call, list, count, false);
}

void
door_id_versions(struct door_call *call)
{
    struct schema_version *list;
    size_t count;
    if (!versions_of_id(call, door_view_arg(call), &list, &count))
        return;
    buf_put_char(&call->out, '[');
    for (size_t i = 0; i < count; i++) {
        json_put_comma(&call->out);
        buf_put_char(&call->out, '{');
        json_put_text_member(&call->out, "subject", list[i].subject);
        json_put_u64_member(&call->out, "version", list[i].version);
        buf_put_char(&call->out, '}');
    }
    buf_put_char(&call->out, ']');
}

static bool
find_guid(struct door_call *call, struct schema_version *ret)
{
    cairn_uuid guid;
    cairn_str text = call->open[0];
    if (parse_uuid(text, &guid) && schema_registry_by_guid(call->registry, guid, ret))
        return true;
    door_refuse(call, SCHEMA_NO_SCHEMA, "Schema %.*s not found", (int)(text.size > 60 ? 60 : text.size), text.data);
    return false;
}

void
door_guid(struct door_call *call)
{
    struct schema_version version;
    if (find_guid(call, &version))
        door_put_version(call, &version, false);
}

void
door_guid_ids(struct door_call *call)
{
    struct schema_version version;
    if (!find_guid(call, &version))
        return;
    buf_put_str(&call->out, CAIRN_STR("[{"));
    json_put_text_member(&call->out, "context", context_of(version.subject));
    json_put_u64_member(&call->out, "id", version.id);
    buf_put_str(&call->out, CAIRN_STR("}]"));
}

/* ---- by subject */

void
door_subject_versions(struct door_call *call)
{
    cairn_str subject;
    struct schema_version *list;
    size_t count;
    if (!door_subject_arg(call, call->open[0], &subject) ||
        failed(call, schema_registry_versions(call->registry, subject, door_view_arg(call), &call->arena, &list, &count)))
        return;
    if (count == 0) {
        door_refuse(call, SCHEMA_NO_SUBJECT, "Subject '%.*s' not found.", (int)subject.size, subject.data);
        return;
    }
    uint64_t offset = door_query_number(call, "offset", 0), limit = door_query_number(call, "limit", UINT64_MAX);
    buf_put_char(&call->out, '[');
    for (uint64_t i = offset; i < count && i - offset < limit; i++) {
        json_put_comma(&call->out);
        json_put_u64(&call->out, list[i].version);
    }
    buf_put_char(&call->out, ']');
}

static bool
asked_version(struct door_call *call, struct schema_version *ret)
{
    cairn_str subject;
    uint32_t version;
    return door_version_arg(call, call->open[1], &version) && door_subject_arg(call, call->open[0], &subject) &&
           door_find_version(call, subject, version, door_view_arg(call), ret);
}

void
door_subject_version(struct door_call *call)
{
    struct schema_version version;
    if (asked_version(call, &version))
        door_put_version(call, &version, true);
}

void
door_subject_schema(struct door_call *call)
{
    struct schema_version version;
    if (asked_version(call, &version))
        buf_put_str(&call->out, text_of(call, &version));
}

void
door_subject_referrers(struct door_call *call)
{
    struct schema_version version, *list;
    size_t count;
    if (!asked_version(call, &version) ||
        failed(call, schema_registry_select(call->registry, door_view_arg(call), NULL, NULL, &call->arena, &list, &count)))
        return;
    buf_put_char(&call->out, '[');
    for (size_t i = 0; i < count; i++) {
        struct json references;
        struct schema_reference reference;
        bool refers = false;
        if (list[i].references.size == 0 || json_check(list[i].references, &references, NULL) != CAIRN_OK)
            continue;
        for (struct json_walk walk = json_walk(references); schema_reference_next(&walk, &call->arena, &reference);)
            refers |= cairn_str_equal(reference.subject, version.subject) && reference.version == version.version;
        if (!refers)
            continue;
        json_put_comma(&call->out);
        json_put_u64(&call->out, list[i].id);
    }
    buf_put_char(&call->out, ']');
}

/* Whether all pairs of the query are in metadata.properties. */
static bool
has_metadata(struct door_call *call, const struct schema_version *version)
{
    struct json metadata, name, value;
    cairn_str key, wanted;
    if (version->metadata.size == 0 || json_check(version->metadata, &metadata, NULL) != CAIRN_OK)
        return false;
    for (size_t i = 0; door_query(call, "key", i, &key) && door_query(call, "value", i, &wanted); i++) {
        bool found = false;
        for (struct json_walk walk = json_walk(json_get(metadata, "properties")); json_next(&walk, &name, &value);)
            found |= cairn_str_equal(json_string(name, &call->arena), key) &&
                     cairn_str_equal(json_string(value, &call->arena), wanted);
        if (!found)
            return false;
    }
    return true;
}

void
door_subject_metadata(struct door_call *call)
{
    cairn_str subject;
    struct schema_version *list;
    size_t count;
    if (!door_subject_arg(call, call->open[0], &subject) ||
        failed(call, schema_registry_versions(call->registry, subject, door_view_arg(call), &call->arena, &list, &count)))
        return;
    for (size_t i = count; i-- > 0;)
        if (has_metadata(call, &list[i])) {
            door_put_version(call, &list[i], true);
            return;
        }
    if (count == 0)
        door_refuse(call, SCHEMA_NO_SUBJECT, "Subject '%.*s' not found.", (int)subject.size, subject.data);
    else
        door_refuse(call, SCHEMA_NO_SCHEMA, "Schema not found");
}

/* ---- settings */

void
door_config_get(struct door_call *call)
{
    cairn_str subject, config;
    if (!door_setting_arg(call, &subject))
        return;
    bool global = subject.size == 0 || door_query_true(call, "defaultToGlobal");
    if (schema_registry_config(call->registry, subject, &config) ||
        (global && schema_registry_config(call->registry, everybody, &config)))
        buf_put_str(&call->out, config);
    else if (global)
        buf_printf(&call->out, "{\"compatibilityLevel\":\"%s\"}", compat_level_name(COMPAT_BACKWARD));
    else
        door_refuse(call, SCHEMA_NO_CONFIG, "Subject '%.*s' does not have subject-level compatibility configured",
                        (int)subject.size, subject.data);
}

void
door_mode_get(struct door_call *call)
{
    cairn_str subject;
    if (!door_setting_arg(call, &subject))
        return;
    enum schema_mode mode = schema_registry_mode(call->registry, subject);
    if (mode == SCHEMA_MODE_UNSET && (subject.size == 0 || door_query_true(call, "defaultToGlobal")))
        mode = schema_registry_effective_mode(call->registry, subject);
    if (mode == SCHEMA_MODE_UNSET)
        door_refuse(call, SCHEMA_NO_MODE, "Subject '%.*s' does not have subject-level mode configured",
                        (int)subject.size, subject.data);
    else
        buf_printf(&call->out, "{\"mode\":\"%s\"}", schema_mode_name(mode));
}
