/* The door of the schema registry: a request is taken on its loop, worked on by the pool, answered on its loop.
 *
 *   handle ─► parts of the path ─► route ─► http_work: refresh, answer into call->out ─► done: http_respond, release
 *
 * A call is owned by the loop until http_work() takes it, then by the pool's thread, then by the loop again. */
#include <proto/http/registry_int.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define PART_MAX 2000

struct registry_door {
    struct schema_registry *registry;
    bool own;
};

static const struct route {
    const char *method, *path; /* '*' stands for one part */
    door_answer answer;
} routes[] = {
    {"GET", "/", door_root},
    {"POST", "/", door_root},
    {"GET", "/contexts", door_contexts},
    {"GET", "/schemas", door_schemas},
    {"GET", "/schemas/types", door_types},
    {"GET", "/schemas/ids/*", door_id},
    {"GET", "/schemas/ids/*/schema", door_id_schema},
    {"GET", "/schemas/ids/*/subjects", door_id_subjects},
    {"GET", "/schemas/ids/*/versions", door_id_versions},
    {"GET", "/schemas/guids/*", door_guid},
    {"GET", "/schemas/guids/*/ids", door_guid_ids},
    {"GET", "/subjects", door_subjects},
    {"POST", "/subjects/*", door_lookup},
    {"DELETE", "/subjects/*", door_delete_subject},
    {"GET", "/subjects/*/metadata", door_subject_metadata},
    {"GET", "/subjects/*/versions", door_subject_versions},
    {"POST", "/subjects/*/versions", door_register},
    {"GET", "/subjects/*/versions/*", door_subject_version},
    {"DELETE", "/subjects/*/versions/*", door_delete_version},
    {"GET", "/subjects/*/versions/*/schema", door_subject_schema},
    {"GET", "/subjects/*/versions/*/referencedby", door_subject_referrers},
    {"POST", "/compatibility/subjects/*/versions", door_compatible},
    {"POST", "/compatibility/subjects/*/versions/*", door_compatible},
    {"GET", "/config", door_config_get},
    {"PUT", "/config", door_config_put},
    {"DELETE", "/config", door_config_delete},
    {"GET", "/config/*", door_config_get},
    {"PUT", "/config/*", door_config_put},
    {"DELETE", "/config/*", door_config_delete},
    {"GET", "/mode", door_mode_get},
    {"PUT", "/mode", door_mode_put},
    {"DELETE", "/mode", door_mode_delete},
    {"GET", "/mode/*", door_mode_get},
    {"PUT", "/mode/*", door_mode_put},
    {"DELETE", "/mode/*", door_mode_delete},
};

struct work {
    struct door_call call;
    door_answer answer;
};

/* ---- refusing */

void
door_refuse(struct door_call *call, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(call->error.detail, sizeof call->error.detail, format, arguments);
    va_end(arguments);
    call->code = code;
    call->status = code > 999 ? code / 100 : code;
}

void
door_refuse_error(struct door_call *call, cairn_err err, enum schema_refusal refusal)
{
    char detail[sizeof call->error.detail];
    static const struct {
        cairn_err err;
        int code;
    } codes[] = {{CAIRN_E_INVALID, 422}, {CAIRN_E_NOTFOUND, 404}, {CAIRN_E_LIMIT, SCHEMA_TOO_LARGE}, {CAIRN_E_BUSY, 503},
                 {CAIRN_E_TIMEOUT, 50002}, {CAIRN_E_CLOSED, 503}, {CAIRN_E_READONLY, SCHEMA_NOT_PERMITTED}};
    int code = 50001;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (codes[i].err == err)
            code = codes[i].code;
    snprintf(detail, sizeof detail, "%s", call->error.detail[0] ? call->error.detail : cairn_err_hint(err));
    door_refuse(call, refusal ? (int)refusal : code, "%s", detail);
}

/* ---- routes */

static bool
split_path(struct door_call *call, cairn_str path)
{
    const char *at = path.data, *end = at + path.size;
    while (at < end) {
        const char *slash = memchr(at, '/', (size_t)(end - at));
        const char *stop = slash ? slash : end;
        if (stop > at) {
            struct buf part = {0};
            cairn_str raw = {at, (size_t)(stop - at)};
            bool fine = call->part_count < PARTS_MAX && raw.size <= PART_MAX && percent_get(&part, raw, false) && !part.failed &&
                        utf8_valid(buf_str(&part)) && !memchr(part.data, 0, part.size);
            if (fine)
                call->parts[call->part_count] = arena_copy(&call->arena, buf_str(&part));
            buf_free(&part);
            if (!fine || !call->parts[call->part_count++].data)
                return false;
        }
        at = stop + 1;
    }
    return true;
}

/* /contexts/:.name:/subjects/… is /subjects/… with subjects of that context. */
static void
take_context(struct door_call *call)
{
    if (call->part_count < 3 || !cairn_str_equal(call->parts[0], CAIRN_STR("contexts")))
        return;
    call->context = call->parts[1];
    call->part_count -= 2;
    memmove(call->parts, call->parts + 2, call->part_count * sizeof *call->parts);
}

static bool
matches(struct door_call *call, const char *path)
{
    size_t part = 0, open = 0;
    while (*path == '/' && path[1]) {
        const char *from = ++path;
        while (*path && *path != '/')
            path++;
        if (part >= call->part_count)
            return false;
        cairn_str wanted = {from, (size_t)(path - from)};
        if (*from == '*')
            call->open[open++] = call->parts[part];
        else if (!cairn_str_equal(wanted, call->parts[part]))
            return false;
        part++;
    }
    for (; open < sizeof call->open / sizeof call->open[0]; open++)
        call->open[open] = (cairn_str){NULL, 0};
    return part == call->part_count;
}

static door_answer
find_route(struct door_call *call)
{
    bool known = false;
    cairn_str method = cairn_str_equal(call->method, CAIRN_STR("HEAD")) ? CAIRN_STR("GET") : call->method;
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (!matches(call, routes[i].path))
            continue;
        known = true;
        if (cairn_str_equal(method, cairn_cstr(routes[i].method)))
            return routes[i].answer;
    }
    door_refuse(call, known ? 405 : 404, known ? "HTTP 405 Method Not Allowed" : "HTTP 404 Not Found");
    return NULL;
}

/* ---- answering */

static void
respond(struct door_call *call)
{
    cairn_str accept = http_header(call->x, "accept");
    bool json = accept.size && memmem(accept.data, accept.size, "application/json", 16) &&
                !memmem(accept.data, accept.size, "schemaregistry", 14);
    cairn_str type = json ? CAIRN_STR("application/json") : CAIRN_STR("application/vnd.schemaregistry.v1+json");
    struct http_field fields[3] = {{"content-type", type}, {"cache-control", CAIRN_STR("no-store")},
                                   {"retry-after", CAIRN_STR("1")}};
    if (call->code == 0 && call->out.failed)
        door_refuse(call, 50001, "out of memory");
    if (call->code) {
        buf_clear(&call->out);
        buf_put_char(&call->out, '{');
        json_put_u64_member(&call->out, "error_code", (uint64_t)call->code);
        json_put_text_member(&call->out, "message", cairn_cstr(call->error.detail));
        buf_put_char(&call->out, '}');
    }
    bool busy = call->status == 503 || call->status == 429;
    http_respond(call->x, call->status, fields, busy ? 3 : 2, call->out.failed ? (cairn_str){NULL, 0} : buf_str(&call->out));
}

static void
free_work(struct work *work)
{
    arena_free(&work->call.arena);
    buf_free(&work->call.out);
    free(work);
}

static void
run(void *context)
{
    struct work *work = context;
    cairn_err err = schema_registry_refresh(work->call.registry, &work->call.error);
    if (err == CAIRN_OK)
        work->answer(&work->call);
    else
        door_refuse_error(&work->call, err, 0);
}

static void
done(void *context)
{
    struct work *work = context;
    struct http_exchange *x = work->call.x;
    respond(&work->call);
    free_work(work);
    http_release(x);
}

void
registry_door_handle(void *context, struct http_exchange *x)
{
    struct registry_door *door = context;
    struct work *work = calloc(1, sizeof *work);
    if (!work) {
        http_respond(x, 503, NULL, 0, (cairn_str){NULL, 0});
        return;
    }
    struct door_call *call = &work->call;
    call->registry = door->registry;
    call->x = x;
    call->status = 200;
    call->method = http_method(x);
    call->query = http_query_text(x);
    call->body = http_body(x);
    if (split_path(call, http_path(x))) {
        take_context(call);
        work->answer = find_route(call);
    } else {
        door_refuse(call, 404, "HTTP 404 Not Found");
    }
    if (work->answer) {
        http_hold(x);
        if (http_work(http_loop_of(x), run, done, work))
            return;
        http_release(x);
        door_refuse(call, 429, "too many requests wait to be worked on; try again");
    }
    respond(call);
    free_work(work);
}

/* ---- life */

cairn_err
registry_door_create(cairn_store *store, cairn_scope scope, struct schema_registry *registry, struct registry_door **ret,
                     cairn_error *error)
{
    struct registry_door *door = calloc(1, sizeof *door);
    if (!door)
        return error_set(error, CAIRN_E_NOMEM, "no memory for the schema registry");
    cairn_err err = CAIRN_OK;
    door->registry = registry;
    door->own = registry == NULL;
    if (door->own)
        err = schema_registry_open(store, scope, &door->registry, error);
    if (err == CAIRN_OK)
        *ret = door;
    else
        free(door);
    return err;
}

void
registry_door_free(struct registry_door *door)
{
    if (!door)
        return;
    if (door->own)
        schema_registry_free(door->registry);
    free(door);
}

struct schema_registry *
registry_door_registry(struct registry_door *door)
{
    return door->registry;
}
