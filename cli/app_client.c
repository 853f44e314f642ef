/* Calls of /v1/apps and what comes back. See app_client.h. */
#include "app_client.h"

#include <base/error.h>
#include <base/text.h>

int
app_open(const struct args *args, struct wire **ret)
{
    struct target *target;
    if (target_is_folder(args))
        return fail(EXIT_USAGE, args->command->name, "run `cairn serve --data DIR`, and leave --data out here",
                    "apps run in a server, not in a folder");
    int code = target_open(args, TARGET_READ, &target);
    if (!code)
        *ret = wire_of(target);
    return code;
}

void
app_close(struct wire *wire)
{
    target_close(&wire->target);
}

void
app_path(struct wire *wire, const char *app, const char *part, const char *name)
{
    wire_path(wire, "/v1/apps", (cairn_str){0}, "");
    const char *parts[] = {app, part, name};
    for (size_t i = 0; i < 3 && parts[i]; i++) {
        buf_put_char(&wire->path, '/');
        percent_put(&wire->path, cairn_cstr(parts[i]));
    }
}

/* ---- what the server refuses -------------------------------------------------------------------------- */

static void
put_places(struct buf *to, struct json faults, struct arena *arena)
{
    struct json_walk walk = json_walk(faults);
    struct json none, fault;
    for (int shown = 0; shown < 20 && json_next(&walk, &none, &fault); shown++) {
        cairn_str path = app_text(fault, "path", arena), message = app_text(fault, "message", arena);
        if (json_get(fault, "file").type != JSON_NONE || message.size == 0)
            continue;
        buf_printf(to, "  %.*s%s", (int)path.size, path.size ? path.data : "", path.size ? ": " : "");
        put_printable(to, message, 0);
        buf_put_char(to, '\n');
    }
}

/* A rejection: its code is what callers rely on, so it is shown beside the sentence. */
static void
tell_rejection(struct json problem, cairn_error *error, struct arena *arena)
{
    cairn_str code = app_text(problem, "code", arena), message = app_text(problem, "message", arena);
    struct json details = json_get(problem, "details");
    bool has_details = details.type == JSON_OBJECT || details.type == JSON_ARRAY;
    if (code.size)
        error_set(error, CAIRN_E_REJECTED, "%.*s: %.*s%s%.*s", (int)code.size, code.data, (int)message.size,
                  message.size ? message.data : "", has_details ? " " : "", has_details ? (int)details.raw.size : 0,
                  has_details ? details.raw.data : "");
}

/* What to do about it: the server's own hint, or a better one where the command line knows more. */
static void
hint_of(const struct args *args, const struct call *call, struct json problem, const cairn_error *error, char *to, size_t size)
{
    struct arena arena = {0};
    cairn_str said = app_text(problem, "hint", &arena);
    *to = '\0';
    if (call->retry_after_s)
        snprintf(to, size, "try again in %llu s", (unsigned long long)call->retry_after_s);
    else if (error->code == CAIRN_E_NOTFOUND)
        snprintf(to, size, "`cairn apps` lists the apps, `cairn app NAME` what an app has");
    else if (error->code == CAIRN_E_CONFLICT && strcmp(args->command->name, "deploy") == 0)
        snprintf(to, size, "`cairn app NAME history` shows what was deployed since");
    else if (said.size)
        snprintf(to, size, "%.*s", (int)said.size, said.data);
    else if (error->code > CLI_E_UNREACHABLE)
        snprintf(to, size, "%s", cairn_err_hint(error->code));
    arena_free(&arena);
}

static int
say_refusal(const struct args *args, const struct call *call, const struct buf *text, cairn_error *error)
{
    struct json problem = {0};
    struct arena arena = {0};
    struct app_faults faults = {.folder = strcmp(args->command->name, "deploy") == 0 ? args->operands[0] : NULL};
    struct buf places = {0};
    char hint[512] = "";
    int code = 0;
    if (text->size == 0 || json_check(buf_str(text), &problem, NULL) != CAIRN_OK || problem.type != JSON_OBJECT)
        return fail_error(args->command->name, error);
    app_say_faults(&faults, json_get(problem, "faults"));
    if (error->code == CAIRN_E_REJECTED)
        tell_rejection(problem, error, &arena);
    hint_of(args, call, problem, error, hint, sizeof hint);
    if (faults.errors) { /* they have been said: what is left is that nothing happened */
        code = EXIT_FAILED;
        error_ignore(error_set(error, error->code, "refused: %zu error%s; nothing has changed", faults.errors,
                               faults.errors == 1 ? "" : "s"));
        snprintf(hint, sizeof hint, "`cairn check DIR` finds mistakes without a server");
    }
    code = fail_problem(code, args->command->name, error, *hint ? hint : NULL, problem.raw);
    put_places(&places, json_get(problem, "faults"), &arena);
    if (places.size && !out.json)
        fprintf(stderr, "%.*s", (int)places.size, places.data);
    buf_free(&faults.json);
    buf_free(&places);
    arena_free(&arena);
    return code;
}

int
app_perform(const struct args *args, struct wire *wire, struct call *call, struct json *ret)
{
    cairn_error error = {0};
    struct buf problem = {0};
    struct json reply = {0};
    call->problem_text = &problem;
    cairn_err err = wire_call(wire, call, &error);
    int code = err == CAIRN_OK ? 0 : say_refusal(args, call, &problem, &error);
    buf_free(&problem);
    if (!code && ret && wire->reply.size && wire_json(wire, &reply, &error) != CAIRN_OK)
        code = fail_error(args->command->name, &error);
    if (!code && ret)
        *ret = reply;
    return code;
}

int
app_get(const struct args *args, struct wire *wire, struct json *ret)
{
    struct call call = {.method = "GET"};
    return app_perform(args, wire, &call, ret);
}

int
app_current(const struct args *args, struct wire *wire, const char *app, uint64_t *ret_version)
{
    struct call call = {.method = "GET"};
    struct json reply, none, item;
    cairn_error error = {0};
    *ret_version = 0;
    app_path(wire, app, "deployments", NULL);
    cairn_err err = wire_call(wire, &call, &error);
    if (err == CAIRN_OK)
        err = wire_json(wire, &reply, &error);
    if (err == CAIRN_E_NOTFOUND)
        return 0;
    if (err != CAIRN_OK)
        return fail_error(args->command->name, &error);
    struct json_walk walk = json_walk(json_get(reply, "deployments"));
    while (json_next(&walk, &none, &item))
        if (json_get(item, "current").type == JSON_TRUE || *ret_version == 0) /* newest first */
            *ret_version = wire_number(item, "version");
    return 0;
}

cairn_str
app_text(struct json object, const char *member, struct arena *arena)
{
    struct json value = json_get(object, member);
    if (value.type == JSON_STRING)
        return json_string(value, arena);
    return value.type == JSON_NULL ? (cairn_str){0} : value.raw;
}

void
app_say_json(struct json value)
{
    struct buf line = {0};
    json_put_compact(&line, value.raw);
    out_json_line(&line);
    buf_free(&line);
}

/* ---- faults ---------------------------------------------------------------------------------------------- */

static void
put_fault_json(struct buf *to, const cairn_app_fault *fault)
{
    buf_put_str(to, to->size ? CAIRN_STR(",{\"file\":") : CAIRN_STR("{\"file\":"));
    json_put_string(to, fault->file);
    json_put_u64_member(to, "line", fault->line);
    json_put_text_member(to, "message", fault->message);
    if (fault->hint.size) {
        json_put_text_member(to, "hint", fault->hint);
    }
    json_put_name(to, "warning");
    buf_put_str(to, fault->warning ? CAIRN_STR("true}") : CAIRN_STR("false}"));
}

void
app_say_fault(void *context, const cairn_app_fault *fault)
{
    struct app_faults *faults = context;
    struct buf line = {0};
    faults->errors += !fault->warning;
    faults->warnings += fault->warning;
    if (out.json) {
        put_fault_json(&faults->json, fault);
        return;
    }
    buf_put_str(&line, cairn_cstr(style_on_err(STYLE_BOLD)));
    if (faults->folder)
        buf_printf(&line, "%s%s", faults->folder, faults->folder[strlen(faults->folder) - 1] == '/' ? "" : "/");
    put_printable(&line, fault->file, 0);
    if (fault->line)
        buf_printf(&line, ":%u", fault->line);
    buf_printf(&line, ":%s ", style_on_err(STYLE_PLAIN));
    if (fault->warning)
        buf_printf(&line, "%swarning:%s ", style_on_err(STYLE_YELLOW), style_on_err(STYLE_PLAIN));
    else
        buf_printf(&line, "%serror:%s ", style_on_err(STYLE_RED), style_on_err(STYLE_PLAIN));
    put_printable(&line, fault->message, 0);
    if (fault->hint.size) {
        buf_printf(&line, "\n  %shint:%s ", style_on_err(STYLE_CYAN), style_on_err(STYLE_PLAIN));
        put_printable(&line, fault->hint, 0);
    }
    buf_put_char(&line, '\n');
    fwrite(line.data, 1, line.failed ? 0 : line.size, stderr);
    buf_free(&line);
}

void
app_say_faults(struct app_faults *faults, struct json array)
{
    struct json_walk walk = json_walk(array);
    struct json none, item;
    struct arena arena = {0};
    while (json_next(&walk, &none, &item)) {
        uint64_t line = 0;
        if (json_get(item, "file").type != JSON_STRING)
            continue;
        json_u64(json_get(item, "line"), &line);
        cairn_app_fault fault = {.file = app_text(item, "file", &arena),
                                 .line = (uint32_t)line,
                                 .message = app_text(item, "message", &arena),
                                 .hint = app_text(item, "hint", &arena),
                                 .warning = json_get(item, "warning").type == JSON_TRUE};
        app_say_fault(faults, &fault);
    }
    arena_free(&arena);
}
