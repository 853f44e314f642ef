/* Apps: deploying, looking at them, their projections, replays. Commands and queries are in api_commands.c. */
#include <proto/http/api_int.h>

#include <base/error.h>
#include <base/json.h>
#include <base/text.h>

#include <stdlib.h>

#define FILES_MAX 256

#define APPS_OR_RETURN                                                                                               \
    cairn_apps *apps;                                                                                                \
    cairn_err err = api_apps(call, &apps, error);                                                                    \
    if (err != CAIRN_OK)                                                                                             \
        return err

/* ---- looking at them ------------------------------------------------------------------------------------------ */

cairn_err
api_app_list(struct api_call *call, cairn_error *error)
{
    APPS_OR_RETURN;
    return cairn_app_describe(apps, (cairn_str){0}, buf_sink, call->out, error);
}

cairn_err
api_app_get(struct api_call *call, cairn_error *error)
{
    APPS_OR_RETURN;
    return cairn_app_describe(apps, call->parts[0], buf_sink, call->out, error);
}

cairn_err
api_app_openapi(struct api_call *call, cairn_error *error)
{
    APPS_OR_RETURN;
    return cairn_app_openapi(apps, call->parts[0], buf_sink, call->out, error);
}

cairn_err
api_app_state(struct api_call *call, cairn_error *error)
{
    APPS_OR_RETURN;
    const struct api_value *asked = &call->args.value[ARG_AT_REVISION];
    cairn_stream_info stream;
    err = cairn_stream_info_get(call->api->store, 0, call->parts[1], &stream, error);
    if (err != CAIRN_OK)
        return err;
    int64_t revision = asked->given && asked->number < stream.last_revision ? asked->number : stream.last_revision;
    buf_put_str(call->out, CAIRN_STR("{\"stream\":"));
    json_put_string(call->out, call->parts[1]);
    json_put_name(call->out, "revision"); /* -1: nothing has happened yet */
    json_put_i64(call->out, revision);
    json_put_name(call->out, "state");
    err = cairn_app_state(apps, call->parts[0], call->parts[1], revision, buf_sink, call->out, error);
    buf_put_char(call->out, '}');
    return err;
}

/* ---- deploying -------------------------------------------------------------------------------------------------- */

struct deployment {
    cairn_app_file *files;
    size_t count;
    cairn_deploy_options options;
    uint32_t to_version; /* a rollback's */
};

static cairn_err
take_text(struct json value, const char *name, struct arena *arena, cairn_str *ret, cairn_error *error)
{
    *ret = json_string(value, arena);
    return ret->data != NULL ? CAIRN_OK : error_set(error, CAIRN_E_INVALID, "%s must be a string of valid text", name);
}

static cairn_err
take_version(struct json value, const char *name, uint32_t *ret, cairn_error *error)
{
    uint64_t number;
    if (!json_u64(value, &number) || number == 0 || number > UINT32_MAX)
        return error_set(error, CAIRN_E_INVALID, "%s must be a whole number from 1", name);
    *ret = (uint32_t)number;
    return CAIRN_OK;
}

static cairn_err
take_files(struct json value, struct arena *arena, struct deployment *ret, cairn_error *error)
{
    if (value.type != JSON_OBJECT)
        return error_set(error, CAIRN_E_INVALID, "files must be an object: {\"app.yaml\": \"…\", …}");
    size_t count = json_count(value);
    if (count > FILES_MAX)
        return error_set(error, CAIRN_E_LIMIT, "the app has %zu files; the limit is %d", count, FILES_MAX);
    ret->files = arena_zalloc(arena, (count + 1) * sizeof *ret->files);
    if (ret->files == NULL)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    struct json_walk walk = json_walk(value);
    struct json name, text;
    while (json_next(&walk, &name, &text)) {
        cairn_app_file *file = &ret->files[ret->count];
        cairn_err err = take_text(name, "a file's path", arena, &file->path, error);
        if (err == CAIRN_OK)
            err = take_text(text, "a file's text", arena, &file->text, error);
        if (err != CAIRN_OK)
            return err;
        ret->count++;
    }
    return CAIRN_OK;
}

static cairn_err
read_deployment(struct api_call *call, bool rollback, struct deployment *ret, cairn_error *error)
{
    struct json body = {0}, name, value;
    memset(ret, 0, sizeof *ret);
    cairn_err err = json_check(call->body, &body, error);
    call->malformed = err == CAIRN_E_INVALID;
    if (err == CAIRN_OK && body.type != JSON_OBJECT)
        err = error_set(error, CAIRN_E_INVALID, "the body must be an object");
    struct json_walk walk = json_walk(body);
    while (err == CAIRN_OK && json_next(&walk, &name, &value)) {
        if (!rollback && json_string_is(name, "files"))
            err = take_files(value, call->arena, ret, error);
        else if (rollback && json_string_is(name, "version"))
            err = take_version(value, "version", &ret->to_version, error);
        else if (json_string_is(name, "note"))
            err = take_text(value, "note", call->arena, &ret->options.note, error);
        else if (json_string_is(name, "expected_version"))
            err = take_version(value, "expected_version", &ret->options.expected_version, error);
        else if (json_string_is(name, "dry_run") && (value.type == JSON_TRUE || value.type == JSON_FALSE))
            ret->options.dry_run = value.type == JSON_TRUE;
        else
            err = error_set(error, CAIRN_E_INVALID, "%.*s is not a member that is known here, or not of its type",
                            (int)(name.raw.size < 64 ? name.raw.size : 64), name.raw.data);
    }
    if (err == CAIRN_OK && !rollback && ret->count == 0)
        err = error_set(error, CAIRN_E_INVALID, "files is missing");
    if (err == CAIRN_OK && rollback && ret->to_version == 0)
        err = error_set(error, CAIRN_E_INVALID, "version is missing: the one to go back to");
    ret->options.by = http_header(call->x, "cairn-actor");
    return err;
}

static void
put_fault(void *context, const cairn_app_fault *fault)
{
    struct buf *to = context;
    json_put_comma(to);
    buf_put_char(to, '{');
    json_put_text_member(to, "file", fault->file);
    json_put_u64_member(to, "line", fault->line);
    json_put_text_member(to, "message", fault->message);
    json_put_text_member(to, "hint", fault->hint);
    json_put_bool_member(to, "warning", fault->warning);
    buf_put_char(to, '}');
}

static cairn_err
answer_deployment(struct api_call *call, cairn_err err, const cairn_deployed *deployed, const struct buf *faults)
{
    if (err != CAIRN_OK && faults->size > 0) {
        struct buf members = {0};
        buf_put_str(&members, CAIRN_STR("\"faults\":["));
        buf_put_str(&members, buf_str(faults));
        buf_put_char(&members, ']');
        call->problem_members = members.failed ? (cairn_str){0} : arena_copy(call->arena, buf_str(&members));
        buf_free(&members);
    }
    if (err != CAIRN_OK)
        return err;
    call->status = 201;
    buf_put_char(call->out, '{');
    json_put_text_member(call->out, "app", cairn_cstr(deployed->app));
    json_put_u64_member(call->out, "version", deployed->version);
    json_put_bool_member(call->out, "changed", deployed->changed);
    json_put_name(call->out, "faults");
    buf_put_char(call->out, '[');
    buf_put_str(call->out, buf_str(faults));
    buf_put_str(call->out, CAIRN_STR("]}"));
    return CAIRN_OK;
}

cairn_err
api_app_deploy(struct api_call *call, cairn_error *error)
{
    APPS_OR_RETURN;
    struct deployment deployment;
    struct buf faults = {0};
    cairn_deployed deployed = {0};
    err = read_deployment(call, false, &deployment, error);
    if (err != CAIRN_OK)
        return err;
    err = cairn_app_deploy(apps, deployment.files, deployment.count, &deployment.options, put_fault, &faults, &deployed,
                           error);
    err = answer_deployment(call, err, &deployed, &faults);
    buf_free(&faults);
    return err;
}

cairn_err
api_app_rollback(struct api_call *call, cairn_error *error)
{
    APPS_OR_RETURN;
    struct deployment deployment;
    struct buf faults = {0};
    cairn_deployed deployed = {0};
    err = read_deployment(call, true, &deployment, error);
    if (err != CAIRN_OK)
        return err;
    err = cairn_app_rollback(apps, call->parts[0], deployment.to_version, &deployment.options, put_fault, &faults,
                             &deployed, error);
    err = answer_deployment(call, err, &deployed, &faults);
    buf_free(&faults);
    return err;
}

cairn_err
api_app_remove(struct api_call *call, cairn_error *error)
{
    APPS_OR_RETURN;
    call->status = 204;
    return cairn_app_remove(apps, call->parts[0], error);
}

/* ---- history ------------------------------------------------------------------------------------------------------ */

static void
put_deployment(void *context, const cairn_deployment *deployment)
{
    struct buf *to = context;
    json_put_comma(to);
    buf_put_char(to, '{');
    json_put_u64_member(to, "version", deployment->version);
    json_put_name(to, "time");
    json_put_time(to, deployment->time_us);
    json_put_u64_member(to, "position", deployment->position);
    json_put_text_member(to, "by", deployment->by);
    json_put_text_member(to, "note", deployment->note);
    json_put_text_member(to, "digest", deployment->digest);
    json_put_u64_member(to, "files", deployment->file_count);
    if (deployment->rollback_of != 0)
        json_put_u64_member(to, "rollback_of", deployment->rollback_of);
    json_put_bool_member(to, "current", deployment->current);
    buf_put_char(to, '}');
}

cairn_err
api_app_history(struct api_call *call, cairn_error *error)
{
    APPS_OR_RETURN;
    buf_put_str(call->out, CAIRN_STR("{\"deployments\":["));
    err = cairn_app_history(apps, call->parts[0], put_deployment, call->out, error);
    buf_put_str(call->out, CAIRN_STR("]}"));
    return err;
}

static void
put_file(void *context, const cairn_app_file *file)
{
    struct buf *to = context;
    json_put_comma(to);
    json_put_string(to, file->path);
    buf_put_char(to, ':');
    json_put_string(to, file->text);
}

cairn_err
api_app_files(struct api_call *call, cairn_error *error)
{
    APPS_OR_RETURN;
    uint64_t version;
    if (!parse_u64(call->parts[1], &version) || version == 0 || version > UINT32_MAX)
        return error_set(error, CAIRN_E_NOTFOUND, "a version is a whole number from 1");
    buf_put_char(call->out, '{');
    json_put_u64_member(call->out, "version", version);
    json_put_name(call->out, "files");
    buf_put_char(call->out, '{');
    err = cairn_app_files(apps, call->parts[0], (uint32_t)version, put_file, call->out, error);
    buf_put_str(call->out, CAIRN_STR("}}"));
    return err;
}

/* ---- projections ---------------------------------------------------------------------------------------------------- */

cairn_err
api_projection_list(struct api_call *call, cairn_error *error)
{
    APPS_OR_RETURN;
    struct buf whole = {0};
    struct json app;
    err = cairn_app_describe(apps, call->parts[0], buf_sink, &whole, error);
    if (err == CAIRN_OK) {
        app = json_trusted(buf_str(&whole));
        buf_put_str(call->out, CAIRN_STR("{\"projections\":"));
        buf_put_str(call->out, json_get(app, "projections").raw);
        buf_put_char(call->out, '}');
    }
    buf_free(&whole);
    return err;
}

cairn_err
api_projection_get(struct api_call *call, cairn_error *error)
{
    APPS_OR_RETURN;
    return cairn_projection_status(apps, call->parts[0], call->parts[1], buf_sink, call->out, error);
}

cairn_err
api_projection_do(struct api_call *call, cairn_error *error)
{
    static const struct {
        const char *name;
        cairn_projection_action action;
    } actions[] = {
        {"pause", CAIRN_PROJECTION_PAUSE},   {"resume", CAIRN_PROJECTION_RESUME},
        {"retry", CAIRN_PROJECTION_RETRY},   {"skip", CAIRN_PROJECTION_SKIP},
        {"park", CAIRN_PROJECTION_PARK},     {"replay-parked", CAIRN_PROJECTION_REPLAY_PARKED},
        {"rebuild", CAIRN_PROJECTION_REBUILD},
    };
    APPS_OR_RETURN;
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
        if (cairn_str_equal(cairn_cstr(actions[i].name), call->parts[2])) {
            err = cairn_projection_do(apps, call->parts[0], call->parts[1], actions[i].action, error);
            call->status = 202;
            return err == CAIRN_OK ? api_projection_get(call, error) : err;
        }
    return error_set(error, CAIRN_E_NOTFOUND,
                     "a projection can pause, resume, retry, skip, park, replay-parked and rebuild");
}
