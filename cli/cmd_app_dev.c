/* `cairn new`, `check`, `deploy`: an app from its first file to a running server. */
#include <app/starter.h>
#include <app/yaml.h>
#include <base/error.h>
#include <unistd.h>

#include "app_client.h"
#include "run.h"

/* ---- new ----------------------------------------------------------------------------------------------- */

static bool
is_app_name(const char *name)
{
    size_t size = strlen(name);
    return size >= 1 && size <= 63 && name[0] >= 'a' && name[0] <= 'z' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == size;
}

static void
say_new(const char *folder, const char *name, const cairn_app_file *files, size_t count, bool typescript)
{
    if (out.json) {
        struct buf line = {0};
        buf_put_str(&line, CAIRN_STR("{\"app\":"));
        json_put_string(&line, cairn_cstr(name));
        json_put_text_member(&line, "folder", cairn_cstr(folder));
        json_put_name(&line, "files");
        buf_put_char(&line, '[');
        for (size_t i = 0; i < count; i++) {
            json_put_comma(&line);
            json_put_string(&line, files[i].path);
        }
        buf_put_str(&line, CAIRN_STR("]}"));
        out_json_line(&line);
        buf_free(&line);
        return;
    }
    for (size_t i = 0; i < count; i++)
        printf("%s+%s %s/%.*s\n", style_on(STYLE_GREEN), style_off(), folder, (int)files[i].path.size, files[i].path.data);
    if (typescript)
        printf("\nIts decider is TypeScript: `npm install && npm run build` in %s first.\n", folder);
    printf("\nNext:\n  cairn check %s\n  cairn deploy %s\n  cairn app %s\n", folder, folder, name);
}

int
run_new(const struct args *args)
{
    const char *name = args->operands[0], *in = arg_text(args, "in");
    char folder[4096];
    struct arena arena = {0};
    const cairn_app_file *files;
    size_t count;
    cairn_error error = {0};
    if (!is_app_name(name))
        return fail(EXIT_USAGE, "new", "a small letter, then small letters, digits, '-' and '_', at most 63",
                    "\"%s\" is no name for an app", name);
    if ((size_t)snprintf(folder, sizeof folder, "%s%s%s", in ? in : "", in ? "/" : "", name) >= sizeof folder)
        return fail(EXIT_USAGE, "new", NULL, "the folder's path is too long");
    cairn_err err = app_starter(cairn_cstr(name), arg_flag(args, "typescript"), &arena, &files, &count, &error);
    int code = err == CAIRN_OK ? app_folder_write(args, folder, files, count) : fail_error("new", &error);
    if (!code)
        say_new(folder, name, files, count, arg_flag(args, "typescript"));
    arena_free(&arena);
    return code;
}

/* ---- check ----------------------------------------------------------------------------------------------- */

static void
say_checked(const char *folder, const struct app_faults *faults, size_t files)
{
    if (out.json) {
        struct buf line = {0};
        buf_put_str(&line, CAIRN_STR("{\"folder\":"));
        json_put_string(&line, cairn_cstr(folder));
        json_put_u64_member(&line, "errors", faults->errors);
        json_put_u64_member(&line, "warnings", faults->warnings);
        json_put_name(&line, "faults");
        buf_put_char(&line, '[');
        buf_put_str(&line, buf_str(&faults->json));
        buf_put_str(&line, CAIRN_STR("]}"));
        out_json_line(&line);
        buf_free(&line);
    } else if (faults->errors) {
        fprintf(stderr, "%s%zu error%s%s", style_on_err(STYLE_RED), faults->errors, faults->errors == 1 ? "" : "s",
                style_on_err(STYLE_PLAIN));
        fprintf(stderr, faults->warnings ? ", %zu warning%s\n" : "\n", faults->warnings, faults->warnings == 1 ? "" : "s");
    } else {
        printf("%s is %sfine%s: %zu files", folder, style_on(STYLE_GREEN), style_off(), files);
        printf(faults->warnings ? ", %zu warning%s\n" : "\n", faults->warnings, faults->warnings == 1 ? "" : "s");
    }
}

/* The types that the schemas make now, beside those in the folder: written with --types, otherwise compared. An app whose
 * schemas have faults keeps what it has; the check that follows names them. */
static int
check_types(const struct args *args, const char *folder, struct bundle *bundle, struct app_faults *faults)
{
    const cairn_app_file *had = NULL;
    struct buf types = {0};
    int code = 0;
    for (size_t i = 0; i < bundle->count; i++)
        if (cairn_str_equal(bundle->files[i].path, CAIRN_STR(APP_TYPES_PATH)))
            had = &bundle->files[i];
    bool write = arg_flag(args, "types");
    if ((!had && !write) || app_typescript(bundle->files, bundle->count, &types, NULL) != CAIRN_OK)
        goto done;
    const cairn_app_file made = {.path = CAIRN_STR(APP_TYPES_PATH), .text = buf_str(&types)};
    if (had && cairn_str_equal(had->text, made.text))
        goto done;
    if (write) {
        code = app_folder_replace(args, folder, &made);
        if (!code && !out.json)
            printf("%s%c%s %s/%s\n", style_on(STYLE_GREEN), had ? '~' : '+', style_off(), folder, APP_TYPES_PATH);
    } else {
        app_say_fault(faults, &(cairn_app_fault){.file = made.path, .message = CAIRN_STR("the schemas make other types now"),
                                                 .hint = CAIRN_STR("cairn check --types writes them."), .warning = true});
    }
done:
    buf_free(&types);
    return code;
}

int
run_check(const struct args *args)
{
    const char *folder = args->operand_count ? args->operands[0] : ".";
    struct bundle bundle;
    struct app_faults faults = {.folder = strcmp(folder, ".") == 0 ? NULL : folder};
    cairn_error error = {0};
    int code = app_folder_read(args, folder, &bundle);
    if (code)
        return code;
    code = check_types(args, folder, &bundle, &faults);
    cairn_err err = code ? CAIRN_OK : cairn_app_check(bundle.files, bundle.count, app_say_fault, &faults, &error);
    if (err != CAIRN_OK && !faults.errors)
        code = fail_error("check", &error);
    else if (!code)
        say_checked(folder, &faults, bundle.count);
    if (faults.errors)
        code = EXIT_FAILED;
    buf_free(&faults.json);
    bundle_free(&bundle);
    return code;
}

/* ---- deploy ---------------------------------------------------------------------------------------------- */

static void
put_deployment(struct buf *to, const struct args *args, const struct bundle *bundle, uint64_t expected)
{
    buf_clear(to);
    buf_put_str(to, CAIRN_STR("{\"files\":{"));
    for (size_t i = 0; i < bundle->count; i++) {
        json_put_comma(to);
        json_put_string(to, bundle->files[i].path);
        buf_put_char(to, ':');
        json_put_string(to, bundle->files[i].text);
    }
    buf_put_char(to, '}');
    if (arg_text(args, "note")) {
        json_put_text_member(to, "note", cairn_cstr(arg_text(args, "note")));
    }
    if (expected) {
        json_put_u64_member(to, "expected_version", expected);
    }
    if (arg_flag(args, "dry-run"))
        buf_put_str(to, CAIRN_STR(",\"dry_run\":true"));
    buf_put_char(to, '}');
}

static void
say_file(char mark, cairn_str path, cairn_str before, cairn_str after)
{
    size_t added, removed;
    if (!diff_count(before, after, &added, &removed))
        return;
    enum style style = mark == '+' ? STYLE_GREEN : mark == '-' ? STYLE_RED : STYLE_YELLOW;
    printf("  %s%c%s %.*s", style_on(style), mark, style_off(), (int)path.size, path.data);
    printf(mark == '~' ? "  (+%zu -%zu)\n" : "\n", added, removed);
}

/* What the files say that those of the version before did not. Both are in the order of their paths. */
static void
say_changes(const struct bundle *before, const struct bundle *after)
{
    size_t i = 0, j = 0;
    while (i < before->count || j < after->count) {
        const cairn_app_file *old = i < before->count ? &before->files[i] : NULL;
        const cairn_app_file *new = j < after->count ? &after->files[j] : NULL;
        int order = !old ? 1 : !new ? -1 : cairn_str_order(old->path, new->path);
        if (order < 0)
            say_file('-', old->path, old->text, (cairn_str){0});
        else if (order > 0)
            say_file('+', new->path, (cairn_str){0}, new->text);
        else if (!cairn_str_equal(old->text, new->text))
            say_file('~', new->path, old->text, new->text);
        i += order <= 0;
        j += order >= 0;
    }
}

/* What was there before, to tell what a deployment changes. */
struct before {
    char app[64];
    uint64_t version; /* 0: none */
    struct bundle files;
};

static int
look_before(const struct args *args, struct wire *wire, const struct bundle *bundle, struct before *ret)
{
    struct arena arena = {0};
    struct yaml *root = NULL;
    struct json reply;
    char number[24];
    uint32_t line;
    int code = 0;
    *ret = (struct before){0};
    for (size_t i = 0; i < bundle->count; i++)
        if (cairn_str_equal(bundle->files[i].path, CAIRN_STR("app.yaml")) &&
            yaml_read(bundle->files[i].text, &arena, &root, &line, NULL) == CAIRN_OK && yaml_get(root, "app"))
            snprintf(ret->app, sizeof ret->app, "%.*s", (int)(yaml_get(root, "app")->text.size % sizeof ret->app),
                     yaml_get(root, "app")->text.data ? yaml_get(root, "app")->text.data : "");
    arena_free(&arena);
    if (is_app_name(ret->app)) /* else the server will say what is wrong with it */
        code = app_current(args, wire, ret->app, &ret->version);
    if (code || ret->version == 0)
        return code;
    snprintf(number, sizeof number, "%llu", (unsigned long long)ret->version);
    app_path(wire, ret->app, "deployments", number);
    code = app_get(args, wire, &reply);
    return code ? code : app_folder_take(args, json_get(reply, "files"), &ret->files);
}

static void
say_deployed(const struct args *args, struct json reply, const struct before *before, const struct bundle *after)
{
    struct app_faults faults = {.folder = args->operands[0]};
    bool dry = arg_flag(args, "dry-run");
    uint64_t version = wire_number(reply, "version");
    app_say_faults(&faults, json_get(reply, "faults"));
    if (version == before->version)
        printf("%s: nothing has changed; version %llu %s\n", before->app, (unsigned long long)version,
               dry ? "stays" : "is current");
    else if (dry)
        printf("%s can be deployed, as version %llu; %s\n", before->app, (unsigned long long)version,
               before->version ? "it would change:" : "it would be the first:");
    else
        printf("%sdeployed%s %s, version %llu\n", style_on(STYLE_GREEN), style_off(), before->app,
               (unsigned long long)version);
    if (version != before->version)
        say_changes(&before->files, after);
}

static int
deploy(const struct args *args, struct wire *wire, const struct bundle *bundle, uint64_t expected)
{
    struct before before;
    struct json reply;
    int code = look_before(args, wire, bundle, &before);
    if (!code) {
        put_deployment(&wire->body, args, bundle, expected);
        app_path(wire, "deployments", NULL, NULL);
        struct call call = {.method = "POST", .body = buf_str(&wire->body), .content_type = "application/json",
                            .patient = true};
        code = app_perform(args, wire, &call, &reply);
    }
    if (!code && out.json)
        app_say_json(reply);
    else if (!code)
        say_deployed(args, reply, &before, bundle);
    bundle_free(&before.files);
    return code;
}

int
run_deploy(const struct args *args)
{
    const char *folder = args->operands[0];
    struct bundle bundle;
    struct wire *wire;
    uint64_t expected;
    int code = arg_u64(args, "expected-version", 0, &expected);
    if (!code && arg_text(args, "expected-version") && expected == 0)
        code = fail(EXIT_USAGE, "deploy", "versions count from 1; `cairn app NAME history` lists them",
                    "--expected-version 0");
    if (!code)
        code = app_folder_read(args, folder, &bundle);
    if (code)
        return code;
    code = app_open(args, &wire);
    if (!code) {
        code = deploy(args, wire, &bundle, expected);
        app_close(wire);
    }
    bundle_free(&bundle);
    return code;
}
