/* An app's code, tried: deciders in Lua are loaded, projections and queries parsed and prepared. See manifest_int.h. */
#include <app/manifest_int.h>

#include <app/sql/runner.h>
#include <base/error.h>
#include <base/text.h>
#include <stdio.h>
#include <stdlib.h>

#define SHOWN(text) (int)((text).size < 100 ? (text).size : 100), (text).data

/* ---- deciders */

/* "order.lua:12: message" → line 12. */
static uint32_t
detail_line(const char *detail, cairn_str path)
{
    const char *at = path.size ? strstr(detail, path.data) : NULL;
    return at && at[path.size] == ':' ? (uint32_t)strtoul(at + path.size + 1, NULL, 10) : 0;
}

/* The file that a detail of the Lua room begins with: the one that was loaded, or one that it requires. */
static const cairn_app_file *
detail_file(struct manifest_reader *reader, const char *detail, const cairn_app_file *otherwise)
{
    for (size_t i = 0; i < reader->sources.count; i++) {
        const cairn_app_file *file = &reader->sources.files[i];
        if (strncmp(detail, file->path.data, file->path.size) == 0 && detail[file->path.size] == ':')
            return file;
    }
    return otherwise;
}

static cairn_decider *
load_decider(struct manifest_reader *reader, const struct app_decider *spec)
{
    const struct lua_limits limits = {.instructions_max = spec->instructions_max, .memory_max = spec->memory_max};
    const cairn_app_file *file = manifest_file(reader->manifest, spec->source);
    cairn_decider *decider = NULL;
    cairn_error error = {0};
    if (spec->kind != APP_DECIDER_LUA || !file)
        return NULL;
    cairn_err err = lua_decider_make(spec->name.data, spec->source, &reader->sources, &limits, &decider, &error);
    if (err == CAIRN_OK)
        return decider;
    if (err == CAIRN_E_NOMEM) {
        manifest_nomem(reader);
        return NULL;
    }
    const cairn_app_file *in = detail_file(reader, error.detail, file);
    manifest_fault(reader, in->path, detail_line(error.detail, in->path), "A decider's file returns {initial = …, evolve = {…}, decide = {…}}.",
                   "%s", error.detail);
    return NULL;
}

static void
check_decider(struct manifest_reader *reader, size_t index, const cairn_decider *decider)
{
    const struct app_manifest *manifest = reader->manifest;
    cairn_str file = manifest->deciders[index].source;
    for (size_t i = 0; i < manifest->command_count; i++)
        if (manifest->commands[i].decider == index && !lua_decider_has(decider, "decide", manifest->commands[i].name))
            manifest_fault(reader, file, 0, manifest_hint(reader, "decide = {%.*s = function(state, command) … end}", SHOWN(manifest->commands[i].name)),
                           "decide has no function for the command %.*s", SHOWN(manifest->commands[i].name));
}

/* An event that no decider evolves by changes no state: seldom meant. Known only when all deciders are Lua. */
static void
check_evolve(struct manifest_reader *reader, cairn_decider *const *deciders)
{
    const struct app_manifest *manifest = reader->manifest;
    for (size_t i = 0; i < manifest->decider_count; i++)
        if (!deciders[i])
            return;
    for (size_t e = 0; e < manifest->event_count && manifest->decider_count > 0; e++) {
        bool known = false;
        for (size_t i = 0; i < manifest->decider_count && !known; i++)
            known = lua_decider_has(deciders[i], "evolve", manifest->events[e].type);
        if (!known)
            yaml_warn(reader, manifest->events[e].line, manifest_hint(reader, "evolve = {%.*s = function(state, event) … end}", SHOWN(manifest->events[e].type)),
                      "no decider evolves by %.*s: it changes no state", SHOWN(manifest->events[e].type));
    }
}

void
manifest_check_deciders(struct manifest_reader *reader)
{
    const struct app_manifest *manifest = reader->manifest;
    cairn_decider **deciders = calloc(manifest->decider_count + 1, sizeof *deciders);
    if (!deciders) {
        manifest_nomem(reader);
        return;
    }
    for (size_t i = 0; i < manifest->decider_count && reader->fatal == CAIRN_OK; i++) {
        bool used = false;
        deciders[i] = load_decider(reader, &manifest->deciders[i]);
        for (size_t c = 0; c < manifest->command_count; c++)
            used |= manifest->commands[c].decider == i;
        if (deciders[i])
            check_decider(reader, i, deciders[i]);
        if (!used)
            yaml_warn(reader, 0, "Take it away, or name it in a command.", "no command is decided by %.*s", SHOWN(manifest->deciders[i].name));
    }
    if (reader->fatal == CAIRN_OK)
        check_evolve(reader, deciders);
    for (size_t i = 0; i < manifest->decider_count; i++)
        lua_decider_free(deciders[i]);
    free(deciders);
}

/* ---- projections */

/* "projections/board.sql" in "projections/" with one of the endings → "board". */
static bool
name_in_folder(cairn_str path, const char *folder, const char *ending, cairn_str *ret)
{
    size_t before = strlen(folder), after = strlen(ending);
    if (path.size <= before + after || memcmp(path.data, folder, before) != 0
        || memcmp(path.data + path.size - after, ending, after) != 0
        || memchr(path.data + before, '/', path.size - before))
        return false;
    *ret = (cairn_str){path.data + before, path.size - before - after};
    return true;
}

static bool
projection_file_name(const struct app_manifest *manifest, size_t index, cairn_str *ret)
{
    cairn_str path = manifest->files[index].path;
    return name_in_folder(path, "projections/", ".sql", ret) || name_in_folder(path, "projections/", ".lua", ret);
}

/* The names of the projections' files, whether they could be parsed or not. */
static bool
projection_name_at(const void *context, size_t index, cairn_str *ret)
{
    const struct app_manifest *manifest = context;
    for (size_t i = 0; i < manifest->file_count; i++)
        if (projection_file_name(manifest, i, ret) && index-- == 0)
            return true;
    return false;
}

static void
check_projection_types(struct manifest_reader *reader, const cairn_app_file *file, const struct projection *projection)
{
    cairn_str type;
    if (reader->manifest->event_count == 0)
        return; /* an app that only looks on: every event is another's */
    for (size_t i = 0; projection_type(projection, i, &type); i++)
        if (!cairn_str_equal(type, CAIRN_STR("*")) && !manifest_event(reader->manifest, type))
            manifest_warn(reader, file->path, manifest_line_of_word(file->text, type),
                          manifest_did_you_mean(reader, type, manifest_event_name_at, reader->manifest,
                                                "Only other apps and importers could write it."),
                          "it waits for events of type %.*s, which this app does not have", SHOWN(type));
}

static void
read_projection(struct manifest_reader *reader, const cairn_app_file *file, cairn_str name)
{
    struct app_manifest *manifest = reader->manifest;
    cairn_error error = {0};
    size_t wrong = reader->wrong_count;
    if (!manifest_plain_name_valid(name, false)) {
        manifest_fault(reader, file->path, 0, "board.sql: small letters, digits and _, beginning with a letter, at most 63.",
                       "%.*s is no name for a projection", SHOWN(name));
        return;
    }
    for (size_t i = 0; i < manifest->projection_count; i++)
        if (cairn_str_equal(projection_name(manifest->projections[i]), name)) {
            manifest_fault(reader, file->path, 0, "Rename one of them.", "there are two projections %.*s", SHOWN(name));
            return;
        }
    struct projection **made = &manifest->projections[manifest->projection_count];
    cairn_err err = projection_parse(file->path, file->text, &reader->sources, manifest_pass_on, reader, made, &error);
    if (err == CAIRN_E_NOMEM)
        manifest_nomem(reader);
    else if (err != CAIRN_OK && wrong == reader->wrong_count)
        manifest_fault(reader, file->path, 0, "", "%s", error.detail);
    if (err == CAIRN_OK) {
        manifest->projection_count++;
        check_projection_types(reader, file, *made);
    }
}

#define PROJECTION_RETRIES_MAX 100
#define PROJECTION_BACKOFF_US 100000

/* One of them. */
static void
read_on_error(struct manifest_reader *reader, const struct yaml *at, struct app_on_error *ret)
{
    static const char *const choices[] = {"stop", "skip", "park", "dead_letter"}; /* enum cairn_on_error */
    size_t choice = 0, count = sizeof choices / sizeof *choices;
    uint64_t backoff_us = PROJECTION_BACKOFF_US;
    cairn_str text = manifest_text(at, "on_error"), backoff = manifest_text(at, "backoff");
    while (text.size && choice < count && !cairn_str_equal(text, cairn_cstr(choices[choice])))
        choice++;
    if (choice == count)
        yaml_fault(reader, yaml_get(at, "on_error")->line, "One of stop, skip, park and dead_letter.", "on_error cannot be %.*s",
                   SHOWN(text));
    bool dead = choice == CAIRN_ON_ERROR_DEAD_LETTER;
    const char *const only[] = {"retries", "backoff"};
    for (size_t i = 0; i < 2 && choice < count && !dead; i++)
        if (yaml_get(at, only[i]))
            yaml_fault(reader, yaml_get(at, only[i])->line, "on_error: dead_letter", "%s is for dead letters only", only[i]);
    if (backoff.size && (!parse_duration(backoff, &backoff_us) || backoff_us == 0 || backoff_us > RUNNER_BACKOFF_MAX_US))
        yaml_fault(reader, yaml_get(at, "backoff")->line, "Such as 250ms or 2s; at most a minute.", "backoff cannot be %.*s",
                   SHOWN(backoff));
    *ret = (struct app_on_error){
        .what = choice < count ? (cairn_on_error)choice : CAIRN_ON_ERROR_STOP,
        .retries = dead ? (uint32_t)manifest_whole(reader, at, "retries", 0, PROJECTION_RETRIES_MAX, 0) : 0,
        .backoff_us = dead ? (int64_t)backoff_us : 0,
    };
}

/* projections: {board: {on_error: stop}, sums: {on_error: dead_letter, retries: 5, backoff: 1s}} */
static void
read_projection_settings(struct manifest_reader *reader)
{
    static const struct manifest_key keys[] = {{"on_error", WANT_TEXT}, {"retries", WANT_WHOLE}, {"backoff", WANT_TEXT}};
    struct app_manifest *manifest = reader->manifest;
    const struct yaml *part = yaml_get(reader->root, "projections");
    cairn_str name;
    if (!part || part->kind != YAML_MAP || !manifest_check_names(reader, part, "projections"))
        return;
    for (const struct yaml *at = part->first; at; at = at->next) {
        bool known = false;
        for (size_t i = 0; projection_name_at(manifest, i, &name) && !known; i++)
            known = cairn_str_equal(name, at->name);
        if (!known)
            yaml_fault(reader, at->name_line,
                       manifest_did_you_mean(reader, at->name, projection_name_at, manifest, "Projections are the files in projections/."),
                       "there is no projection %.*s", SHOWN(at->name));
        struct app_on_error on_error;
        if (yaml_is_null(at) || !manifest_check_keys(reader, at, "a projection", keys, 3))
            continue;
        read_on_error(reader, at, &on_error);
        for (size_t i = 0; i < manifest->projection_count; i++)
            if (cairn_str_equal(projection_name(manifest->projections[i]), at->name))
                manifest->projection_on_error[i] = on_error;
    }
}

void
manifest_read_projections(struct manifest_reader *reader)
{
    struct app_manifest *manifest = reader->manifest;
    cairn_str name;
    manifest->projections = arena_zalloc(&manifest->arena, (manifest->file_count + 1) * sizeof *manifest->projections);
    manifest->projection_on_error = arena_zalloc(&manifest->arena, (manifest->file_count + 1) * sizeof *manifest->projection_on_error);
    if (!manifest->projections || !manifest->projection_on_error) {
        manifest_nomem(reader);
        return;
    }
    for (size_t i = 0; i < manifest->file_count && reader->fatal == CAIRN_OK; i++)
        if (projection_file_name(manifest, i, &name)) {
            reader->file_used[i] = true;
            read_projection(reader, &manifest->files[i], name);
        }
    read_projection_settings(reader);
}

/* ---- queries */

static void
read_query(struct manifest_reader *reader, const cairn_app_file *file, cairn_str name)
{
    struct app_manifest *manifest = reader->manifest;
    cairn_error error = {0};
    cairn_str projection;
    size_t wrong = reader->wrong_count;
    if (!manifest_plain_name_valid(name, false)) {
        manifest_fault(reader, file->path, 0, "open_orders.sql: small letters, digits and _, beginning with a letter, at most 63.",
                       "%.*s is no name for a query", SHOWN(name));
        return;
    }
    struct query **made = &manifest->queries[manifest->query_count];
    cairn_err err = query_parse(file->path, file->text, manifest->projections, manifest->projection_count, manifest_pass_on,
                                reader, made, &error);
    if (err == CAIRN_E_NOMEM)
        manifest_nomem(reader);
    else if (err != CAIRN_OK && wrong == reader->wrong_count)
        manifest_fault(reader, file->path, 0, "", "%s", error.detail);
    if (err == CAIRN_OK) {
        manifest->query_count++;
        if (!query_projection(*made, 0, &projection))
            manifest_warn(reader, file->path, 0, "SELECT … FROM a table of one of the projections.", "the query reads no projection's table");
    }
}

void
manifest_read_queries(struct manifest_reader *reader)
{
    struct app_manifest *manifest = reader->manifest;
    size_t parsed = 0, there = 0;
    cairn_str name;
    while (projection_name_at(manifest, there, &name))
        there++;
    parsed = manifest->projection_count;
    manifest->queries = arena_zalloc(&manifest->arena, (manifest->file_count + 1) * sizeof *manifest->queries);
    if (!manifest->queries) {
        manifest_nomem(reader);
        return;
    }
    for (size_t i = 0; i < manifest->file_count && reader->fatal == CAIRN_OK; i++)
        if (name_in_folder(manifest->files[i].path, "queries/", ".sql", &name)) {
            reader->file_used[i] = true;
            /* Where a projection is broken, its tables are missing, and every query on them would be told as well. */
            if (parsed == there)
                read_query(reader, &manifest->files[i], name);
        }
}
