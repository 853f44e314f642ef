/* Answers that register, delete, compare and set. One owner thread. */
#include <proto/http/registry_int.h>

#include <stdio.h>

/* ---- registering */

/* {errorType, description, additionalInfo} as text, each on its own, and what they were found against. */
static void
put_messages(struct buf *to, const struct schema_outcome *outcome)
{
    char line[900];
    buf_put_char(to, '[');
    size_t kept = schema_faults_kept(&outcome->faults);
    for (size_t i = 0; i < kept; i++) {
        const struct schema_fault *fault = &outcome->faults.items[i];
        snprintf(line, sizeof line, "{errorType:'%s', description:'%.*s', additionalInfo:'%.*s'}", fault->type,
                 (int)(fault->message.size > 400 ? 400 : fault->message.size), fault->message.data,
                 (int)(fault->place.size > 300 ? 300 : fault->place.size), fault->place.data);
        json_put_comma(to);
        json_put_string(to, cairn_cstr(line));
        if (i + 1 == kept || outcome->fault_versions[i + 1] != outcome->fault_versions[i])
            buf_printf(to, ",\"{oldSchemaVersion: %u}\"", outcome->fault_versions[i]);
    }
    json_put_comma(to);
    buf_printf(to, "\"{compatibility: '%s'}\"]", compat_level_name(outcome->level));
}

static void
refuse_outcome(struct door_call *call, cairn_err err, const struct schema_outcome *outcome, cairn_str subject)
{
    if (outcome->refusal != SCHEMA_INCOMPATIBLE) {
        door_refuse_error(call, err, outcome->refusal);
        return;
    }
    const struct schema_fault *first = outcome->faults.count ? &outcome->faults.items[0] : NULL;
    door_refuse(call, SCHEMA_INCOMPATIBLE,
                    "Schema being registered is incompatible with an earlier schema for subject \"%.*s\", details: "
                    "{errorType:'%s', description:'%.*s', additionalInfo:'%.*s'}, {oldSchemaVersion: %u}, "
                    "{compatibility: '%s'}",
                    (int)(subject.size > 60 ? 60 : subject.size), subject.data, first ? first->type : "",
                    (int)(first && first->message.size < 100 ? first->message.size : first ? 100 : 0),
                    first ? first->message.data : "", (int)(first && first->place.size < 50 ? first->place.size : first ? 50 : 0),
                    first ? first->place.data : "", outcome->fault_versions[0], compat_level_name(outcome->level));
}

void
door_register(struct door_call *call)
{
    cairn_str subject;
    struct schema_request request;
    struct schema_outcome outcome = {.faults = {.arena = &call->arena}};
    if (!door_subject_arg(call, call->open[0], &subject) || !door_request_arg(call, subject, &request))
        return;
    cairn_err err = schema_registry_register(call->registry, &request, &outcome, &call->error);
    if (err == CAIRN_OK)
        door_put_version(call, &outcome.version, true);
    else
        refuse_outcome(call, err, &outcome, subject);
}

void
door_lookup(struct door_call *call)
{
    cairn_str subject;
    struct schema_request request;
    struct schema_outcome outcome = {.faults = {.arena = &call->arena}};
    if (!door_subject_arg(call, call->open[0], &subject) || !door_request_arg(call, subject, &request))
        return;
    cairn_err err = schema_registry_lookup(call->registry, &request, door_query_true(call, "deleted"), &outcome, &call->error);
    if (err == CAIRN_OK)
        door_put_version(call, &outcome.version, true);
    else
        door_refuse_error(call, err, outcome.refusal);
}

void
door_compatible(struct door_call *call)
{
    cairn_str subject;
    uint32_t version = 0;
    struct schema_request request;
    struct schema_version found;
    struct schema_outcome outcome = {.faults = {.arena = &call->arena}};
    if (!door_subject_arg(call, call->open[0], &subject) ||
        (call->open[1].data && !door_version_arg(call, call->open[1], &version)) ||
        !door_request_arg(call, subject, &request))
        return;
    if (version != 0 && !door_find_version(call, subject, version, SCHEMA_VIEW_LIVE, &found))
        return;
    if (call->open[1].data && version == 0 &&
        schema_registry_find(call->registry, subject, 0, &found) && found.life == SCHEMA_LIVE)
        version = found.version; /* "latest" is one version, whatever the level */
    cairn_err err = schema_registry_compatible(call->registry, &request, version, &outcome, &call->error);
    bool refused = err == CAIRN_E_INVALID && outcome.refusal == SCHEMA_INCOMPATIBLE;
    if (err != CAIRN_OK && !refused) {
        door_refuse_error(call, err, outcome.refusal);
        return;
    }
    buf_printf(&call->out, "{\"is_compatible\":%s", refused ? "false" : "true");
    if (door_query_true(call, "verbose")) {
        json_put_name(&call->out, "messages");
        if (refused)
            put_messages(&call->out, &outcome);
        else
            buf_put_str(&call->out, CAIRN_STR("[]"));
    }
    buf_put_char(&call->out, '}');
}

/* ---- deleting */

static bool
delete_versions(struct door_call *call, cairn_str subject, uint32_t version, uint32_t **ret, size_t *ret_count)
{
    enum schema_refusal refusal;
    cairn_err err = schema_registry_delete(call->registry, subject, version, door_query_true(call, "permanent"),
                                           &call->arena, ret, ret_count, &refusal, &call->error);
    if (err != CAIRN_OK)
        door_refuse_error(call, err, refusal);
    return err == CAIRN_OK;
}

void
door_delete_subject(struct door_call *call)
{
    cairn_str subject;
    uint32_t *versions;
    size_t count;
    if (!door_subject_arg(call, call->open[0], &subject) || !delete_versions(call, subject, 0, &versions, &count))
        return;
    buf_put_char(&call->out, '[');
    for (size_t i = 0; i < count; i++)
        buf_printf(&call->out, "%s%u", i ? "," : "", versions[i]);
    buf_put_char(&call->out, ']');
}

void
door_delete_version(struct door_call *call)
{
    cairn_str subject;
    uint32_t version, *versions;
    size_t count;
    struct schema_version found;
    if (!door_version_arg(call, call->open[1], &version) || !door_subject_arg(call, call->open[0], &subject))
        return;
    bool permanent = door_query_true(call, "permanent");
    if (version == 0) {
        if (!door_find_version(call, subject, 0, permanent ? SCHEMA_VIEW_DELETED_ONLY : SCHEMA_VIEW_LIVE, &found))
            return;
        version = found.version;
    }
    if (delete_versions(call, subject, version, &versions, &count))
        json_put_u64(&call->out, version);
}

/* ---- settings */

static bool
is_known_setting(cairn_str name)
{
    static const char *const known[] = {"normalize", "alias", "aliasForDeks", "compatibilityGroup", "compatibilityPolicy",
                                        "defaultMetadata", "overrideMetadata", "defaultRuleSet", "overrideRuleSet",
                                        "validateFields", "validateNames", "validateNewSchemas", "validateRules"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (cairn_str_equal(name, cairn_cstr(known[i])))
            return true;
    return false;
}

static void
put_known(struct door_call *call, struct json object, struct json unless, struct buf *to)
{
    struct json name, value;
    for (struct json_walk walk = json_walk(object); json_next(&walk, &name, &value);) {
        cairn_str text = arena_copy(&call->arena, json_string(name, &call->arena)); /* with the NUL that json_get() wants */
        if (!text.data || !is_known_setting(text) || value.type == JSON_NULL || json_get(unless, text.data).type != JSON_NONE)
            continue;
        json_put_comma(to);
        buf_put_str(to, name.raw);
        buf_put_char(to, ':');
        json_put_compact(to, value.raw);
    }
}

/* Members of newer clients are passed over, as Confluent's server passes over what it does not know; but a body in which nothing is
 * known is a slip of the pen, and would be believed to hold. False: refused. */
static bool
sets_something(struct door_call *call, struct json body)
{
    struct json name, value;
    cairn_str first = {NULL, 0};
    for (struct json_walk walk = json_walk(body); json_next(&walk, &name, &value);) {
        cairn_str text = json_string(name, &call->arena);
        if (is_known_setting(text) || json_string_is(name, "compatibility") || json_string_is(name, "compatibilityLevel"))
            return true;
        if (!first.data)
            first = arena_copy(&call->arena, text);
    }
    if (first.data)
        door_refuse(call, 422, "Unrecognized field: %.*s", (int)(first.size > 100 ? 100 : first.size), first.data);
    else
        door_refuse(call, 422, "The body sets nothing; a level is {\"compatibility\":\"FULL\"}");
    return false;
}

/* What was there, but for what the body says anew. False: refused. */
static bool
merge_config(struct door_call *call, cairn_str subject, struct json body, struct buf *to)
{
    cairn_str there;
    struct json before = {JSON_NONE, {NULL, 0}};
    enum compat_level level = COMPAT_BACKWARD;
    struct json given = json_get(body, "compatibility");
    if (given.type == JSON_NONE)
        given = json_get(body, "compatibilityLevel");
    if (schema_registry_config(call->registry, subject, &there) && json_check(there, &before, NULL) != CAIRN_OK)
        before.type = JSON_NONE;
    if (given.type == JSON_NONE && before.type == JSON_OBJECT)
        given = json_get(before, "compatibilityLevel");
    buf_put_char(to, '{');
    if (given.type != JSON_NONE && given.type != JSON_NULL) {
        cairn_str name = json_string(given, &call->arena);
        if (!name.data || !compat_level_parse(name, &level)) {
            door_refuse(call, SCHEMA_BAD_LEVEL, "Invalid compatibility level. Valid values are none, backward, forward, "
                                                    "full, backward_transitive, forward_transitive, and full_transitive");
            return false;
        }
        json_put_text_member(to, "compatibilityLevel", name);
    }
    put_known(call, body, (struct json){JSON_NONE, {NULL, 0}}, to);
    put_known(call, before, body, to);
    buf_put_char(to, '}');
    return true;
}

/* The answer to PUT calls the level "compatibility". */
static void
put_answer(struct door_call *call, cairn_str config)
{
    struct json value, name, item;
    buf_put_char(&call->out, '{');
    if (json_check(config, &value, NULL) == CAIRN_OK)
        for (struct json_walk walk = json_walk(value); json_next(&walk, &name, &item);) {
            json_put_comma(&call->out);
            if (json_string_is(name, "compatibilityLevel"))
                buf_put_str(&call->out, CAIRN_STR("\"compatibility\""));
            else
                buf_put_str(&call->out, name.raw);
            buf_put_char(&call->out, ':');
            buf_put_str(&call->out, item.raw);
        }
    buf_put_char(&call->out, '}');
}

void
door_config_put(struct door_call *call)
{
    cairn_str subject;
    struct json body;
    struct buf config = {0};
    enum schema_refusal refusal;
    if (!door_setting_arg(call, &subject) || !door_body_arg(call, &body) || !sets_something(call, body))
        return;
    if (merge_config(call, subject, body, &config)) {
        cairn_err err = config.failed ? CAIRN_E_NOMEM
                                      : schema_registry_set_config(call->registry, subject, buf_str(&config), &refusal, &call->error);
        if (err == CAIRN_OK)
            put_answer(call, buf_str(&config));
        else
            door_refuse_error(call, err, 0);
    }
    buf_free(&config);
}

void
door_config_delete(struct door_call *call)
{
    cairn_str subject, before = {NULL, 0};
    enum schema_refusal refusal;
    if (!door_setting_arg(call, &subject))
        return;
    schema_registry_config(call->registry, subject, &before);
    cairn_err err = schema_registry_set_config(call->registry, subject, (cairn_str){NULL, 0}, &refusal, &call->error);
    if (err != CAIRN_OK)
        door_refuse_error(call, err, refusal);
    else
        buf_put_str(&call->out, before.size ? before : CAIRN_STR("{\"compatibilityLevel\":\"BACKWARD\"}"));
}

void
door_mode_put(struct door_call *call)
{
    cairn_str subject;
    struct json body;
    enum schema_mode mode;
    enum schema_refusal refusal;
    if (!door_setting_arg(call, &subject) || !door_body_arg(call, &body))
        return;
    cairn_str name = json_string(json_get(body, "mode"), &call->arena);
    if (!name.data || !schema_mode_parse(name, &mode)) {
        door_refuse(call, SCHEMA_BAD_MODE, "Invalid mode. Valid values are READWRITE, READONLY, READONLY_OVERRIDE and IMPORT");
        return;
    }
    cairn_err err = schema_registry_set_mode(call->registry, subject, mode, door_query_true(call, "force"), &refusal,
                                             &call->error);
    if (err != CAIRN_OK)
        door_refuse_error(call, err, refusal);
    else
        buf_printf(&call->out, "{\"mode\":\"%s\"}", schema_mode_name(mode));
}

void
door_mode_delete(struct door_call *call)
{
    cairn_str subject;
    enum schema_refusal refusal;
    if (!door_setting_arg(call, &subject))
        return;
    enum schema_mode before = schema_registry_mode(call->registry, subject);
    cairn_err err = schema_registry_set_mode(call->registry, subject, SCHEMA_MODE_UNSET, false, &refusal, &call->error);
    if (err != CAIRN_OK)
        door_refuse_error(call, err, refusal);
    else
        buf_printf(&call->out, "{\"mode\":\"%s\"}", schema_mode_name(before != SCHEMA_MODE_UNSET ? before : SCHEMA_READWRITE));
}
