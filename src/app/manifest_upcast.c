/* `upcast:` of an event, and how the schemas stand to those deployed before. See manifest_int.h. */
#include <app/manifest_int.h>

#include <base/error.h>
#include <base/hash.h>
#include <stdio.h>
#include <stdlib.h>

enum { STEPS_MAX = 200, OPERATIONS_MAX = 2000, VERSION_MAX = 10000, EARLIER_MAX = 1000, SHOWN_MAX = 20 };

#define SHOWN(text) (int)((text).size < 100 ? (text).size : 100), (text).data

/* ---- steps */

struct steps {
    struct manifest_reader *reader;
    struct upcast_step list[OPERATIONS_MAX];
    size_t count;
    const char *what;
};

static bool
add_step(struct steps *steps, const struct yaml *at, struct upcast_step step)
{
    if (steps->count == OPERATIONS_MAX) {
        yaml_fault(steps->reader, at->line, "Join steps that follow each other in one of Lua.", "%s has more than %d operations", steps->what,
                   OPERATIONS_MAX);
        return false;
    }
    steps->list[steps->count++] = step;
    return true;
}

static bool
is_text(const struct yaml *node)
{
    return node->kind == YAML_SCALAR && node->text.size > 0 && !yaml_is_null(node);
}

/* {from: to} */
static void
read_pairs(struct steps *steps, const struct yaml *map, enum upcast_op op, uint32_t version)
{
    if (!map || map->kind != YAML_MAP || !manifest_check_names(steps->reader, map, steps->what))
        return;
    for (const struct yaml *at = map->first; at; at = at->next) {
        if (!is_text(at))
            yaml_fault(steps->reader, at->line, "{old: new}, with names or JSON pointers.", "%s: %.*s must become a name, and here is %s",
                       steps->what, SHOWN(at->name), yaml_kind_name(at));
        else if (!add_step(steps, at, (struct upcast_step){.to_version = version, .op = op, .from = at->name, .to = at->text}))
            return;
    }
}

static void
read_defaults(struct steps *steps, const struct yaml *map, uint32_t version)
{
    struct arena *arena = &steps->reader->manifest->arena;
    if (!map || map->kind != YAML_MAP || !manifest_check_names(steps->reader, map, steps->what))
        return;
    for (const struct yaml *at = map->first; at; at = at->next) {
        struct buf json = {0};
        yaml_put_json(&json, at);
        cairn_str value = json.failed ? (cairn_str){0} : arena_copy(arena, buf_str(&json));
        buf_free(&json);
        if (!value.data) {
            manifest_nomem(steps->reader);
            return;
        }
        if (!add_step(steps, at, (struct upcast_step){.to_version = version, .op = UPCAST_DEFAULT, .to = at->name, .value = value}))
            return;
    }
}

static void
read_removals(struct steps *steps, const struct yaml *list, uint32_t version)
{
    const cairn_str *names;
    size_t count;
    if (!list || !manifest_texts(steps->reader, list, "remove", STEPS_MAX, &names, &count))
        return;
    for (size_t i = 0; i < count; i++)
        if (!add_step(steps, list, (struct upcast_step){.to_version = version, .op = UPCAST_REMOVE, .from = names[i]}))
            return;
}

/* Make room for one more; the arena keeps the shorter list, which nobody minds. */
static bool
keep_lua_upcast(struct manifest_reader *reader, struct lua_upcast *upcast)
{
    struct app_manifest *manifest = reader->manifest;
    struct lua_upcast **list = arena_alloc(&manifest->arena, (manifest->lua_upcast_count + 1) * sizeof *list);
    if (!list) {
        lua_upcast_free(upcast);
        return manifest_nomem(reader);
    }
    if (manifest->lua_upcast_count)
        memcpy(list, manifest->lua_upcasts, manifest->lua_upcast_count * sizeof *list);
    list[manifest->lua_upcast_count++] = upcast;
    manifest->lua_upcasts = list;
    return true;
}

/* "order.lua:12: message" → line 12. */
static uint32_t
detail_line(const char *detail, cairn_str path)
{
    const char *at = path.size ? strstr(detail, path.data) : NULL;
    return at && at[path.size] == ':' ? (uint32_t)strtoul(at + path.size + 1, NULL, 10) : 0;
}

static void
read_lua_step(struct steps *steps, const struct yaml *node, uint32_t version)
{
    struct manifest_reader *reader = steps->reader;
    cairn_error error = {0};
    struct lua_upcast *upcast;
    const struct lua_limits limits = {0};
    const cairn_app_file *file = node->kind == YAML_SCALAR ? manifest_named_file(reader, node, steps->what) : NULL;
    if (!file)
        return;
    cairn_err err = lua_upcast_make(file->path, &reader->sources, &limits, &upcast, &error);
    if (err == CAIRN_E_NOMEM)
        manifest_nomem(reader);
    else if (err != CAIRN_OK)
        manifest_fault(reader, file->path, detail_line(error.detail, file->path), "An upcaster returns function(data, version, type).", "%s",
                       error.detail);
    else if (keep_lua_upcast(reader, upcast))
        add_step(steps, node, (struct upcast_step){.to_version = version, .op = UPCAST_CALL, .call = lua_upcast_call, .context = upcast});
}

static void
read_step(struct steps *steps, const struct yaml *node, struct app_event *event, uint32_t *to)
{
    static const struct manifest_key keys[] = {{"to", WANT_WHOLE}, {"rename", WANT_MAP}, {"move", WANT_MAP}, {"default", WANT_MAP},
                                               {"remove", WANT_LIST | WANT_TEXT}, {"lua", WANT_TEXT}};
    struct manifest_reader *reader = steps->reader;
    if (!manifest_check_keys(reader, node, steps->what, keys, sizeof keys / sizeof *keys))
        return;
    const struct yaml *lua = yaml_get(node, "lua");
    uint32_t version = (uint32_t)manifest_whole(reader, node, "to", 2, VERSION_MAX, 0);
    if (!yaml_get(node, "to"))
        yaml_fault(reader, node->line, "- {to: 2, rename: {qty: quantity}}", "%s: a step does not say which version it leads to", steps->what);
    if (version == 0)
        return;
    for (size_t i = 0; i < event->upcast_to_count; i++)
        if (to[i] == version)
            yaml_fault(reader, node->line, "Put them into one step.", "%s has two steps to version %u", steps->what, version);
    to[event->upcast_to_count++] = version;
    if (version > event->upcast_to_max)
        event->upcast_to_max = version;
    if (node->count == 1)
        yaml_fault(reader, node->line, "rename, move, default, remove or lua.", "%s: the step to version %u does nothing", steps->what, version);
    if (lua && node->count > 2)
        yaml_fault(reader, lua->name_line, "Let the Lua file do all of the step.", "%s: a step with lua takes nothing else", steps->what);
    read_pairs(steps, yaml_get(node, "rename"), UPCAST_RENAME, version);
    read_pairs(steps, yaml_get(node, "move"), UPCAST_MOVE, version);
    read_defaults(steps, yaml_get(node, "default"), version);
    read_removals(steps, yaml_get(node, "remove"), version);
    if (lua)
        read_lua_step(steps, lua, version);
}

/* Of what the steps do. A script may require others, so all of the app's scripts count as one. */
static uint64_t
digest_steps(const struct steps *steps)
{
    const struct app_manifest *manifest = steps->reader->manifest;
    uint64_t digest = 1;
    for (size_t i = 0; i < steps->count; i++) {
        const struct upcast_step *step = &steps->list[i];
        const uint32_t kind[2] = {step->to_version, (uint32_t)step->op};
        digest = hash64(kind, sizeof kind, digest);
        digest = hash64(step->from.data, step->from.size, digest);
        digest = hash64(step->to.data, step->to.size, digest);
        digest = hash64(step->value.data, step->value.size, digest);
        for (size_t k = 0; step->op == UPCAST_CALL && k < manifest->file_count; k++) {
            const cairn_app_file *file = &manifest->files[k];
            if (file->path.size > 4 && memcmp(file->path.data + file->path.size - 4, ".lua", 4) == 0)
                digest = hash64(file->text.data, file->text.size, digest);
        }
    }
    return digest;
}

void
manifest_read_upcasts(struct manifest_reader *reader, const struct yaml *node, struct app_event *event)
{
    char what[128];
    cairn_error error = {0};
    snprintf(what, sizeof what, "event %.*s: upcast", SHOWN(event->type));
    if (node->count > STEPS_MAX) {
        yaml_fault(reader, node->line, "", "%s has %zu steps; the limit is %d", what, node->count, STEPS_MAX);
        return;
    }
    struct steps *steps = calloc(1, sizeof *steps);
    uint32_t *to = arena_zalloc(&reader->manifest->arena, (node->count + 1) * sizeof *to);
    if (!steps || !to) {
        manifest_nomem(reader);
        free(steps);
        return;
    }
    size_t wrong = reader->wrong_count;
    steps->reader = reader;
    steps->what = what;
    event->upcast_to = to;
    for (const struct yaml *at = node->first; at && reader->fatal == CAIRN_OK; at = at->next)
        read_step(steps, at, event, to);
    if (reader->fatal == CAIRN_OK && wrong == reader->wrong_count && steps->count > 0) {
        cairn_err err = upcast_build(steps->list, steps->count, &event->upcasts, &error);
        if (err == CAIRN_E_NOMEM)
            manifest_nomem(reader);
        else if (err != CAIRN_OK)
            yaml_fault(reader, node->line, "", "%s: %s", what, error.detail);
        event->upcast_digest = digest_steps(steps);
    }
    free(steps);
}

/* ---- against what was deployed before */

static bool
same_json(cairn_str a, cairn_str b)
{
    struct buf x = {0}, y = {0};
    json_put_compact(&x, a);
    json_put_compact(&y, b);
    bool same = !x.failed && !y.failed && cairn_str_equal(buf_str(&x), buf_str(&y));
    buf_free(&x);
    buf_free(&y);
    return same;
}

static bool
has_step_to(const struct app_event *event, uint32_t version)
{
    for (size_t i = 0; i < event->upcast_to_count; i++)
        if (event->upcast_to[i] == version)
            return true;
    return false;
}

static void
tell_incompatible(struct manifest_reader *reader, const struct app_event *event, const struct compat_fault *fault, uint32_t next)
{
    cairn_str rest = fault->place, file = event->schema_path;
    uint32_t line = event->line;
    if (file.size) {
        cairn_str place = manifest_whole_place(reader, fault->place, &rest);
        if (place.size)
            file = place;
        line = manifest_json_line(manifest_file(reader->manifest, file)->text, rest);
    } else {
        file = CAIRN_STR(MANIFEST_FILE);
    }
    manifest_fault(reader, file, line,
                   manifest_hint(reader, "Say how earlier events are read (%.*s: upcast: [{to: %u, …}]), or change its compatibility.",
                                 SHOWN(event->type), next),
                   "%.*s is not %s with version %u%s%.*s: %.*s", SHOWN(event->type), compat_level_name(event->compat), fault->version,
                   fault->place.size ? ", at " : "", SHOWN(fault->place), (int)(fault->message.size < 300 ? fault->message.size : 300),
                   fault->message.data);
}

static cairn_err
check_event(struct manifest_reader *reader, const struct app_event *event, app_earlier_schema earlier, void *context,
            cairn_str *texts)
{
    struct arena arena = {.size_max = 64 * 1024 * 1024};
    struct compat_fault faults[SHOWN_MAX];
    cairn_error error = {0};
    size_t fault_count = 0, count = 0;
    cairn_err err = CAIRN_OK;
    while (count < EARLIER_MAX && earlier(context, event->type, (uint32_t)count + 1, &texts[count]))
        count++;
    bool same = false; /* a text that was there before has its version again, whatever came between */
    for (size_t i = count; i > 0 && !same; i--)
        same = same_json(texts[i - 1], event->schema_text);
    uint32_t newest = (uint32_t)count + !same;
    if (event->upcast_to_max > newest)
        yaml_warn(reader, event->line, "Steps count the versions of this server; here they do nothing yet.",
                  "%.*s has a step to version %u, and its newest version is %u", SHOWN(event->type), event->upcast_to_max, newest);
    if (count == EARLIER_MAX && !same)
        yaml_fault(reader, event->line, "", "%.*s has %d versions; the limit is reached", SHOWN(event->type), EARLIER_MAX);
    if (count == 0 || same || has_step_to(event, newest))
        return CAIRN_OK;
    err = compat_check(event->compat, texts, count, event->schema_text, &arena, faults, SHOWN_MAX, &fault_count, &error);
    if (err == CAIRN_E_INVALID) {
        for (size_t i = 0; i < fault_count; i++)
            tell_incompatible(reader, event, &faults[i], newest);
        if (fault_count == 0)
            yaml_fault(reader, event->line, "", "%.*s: %s", SHOWN(event->type), error.detail);
        err = CAIRN_OK;
    } else if (err != CAIRN_OK) {
        error_set(reader->error, err, "%s", error.detail);
    }
    arena_free(&arena);
    return err;
}

cairn_err
app_manifest_check_schemas(const struct app_manifest *manifest, app_earlier_schema earlier, void *earlier_context,
                           cairn_app_fault_visit visit, void *context, cairn_error *error)
{
    /* The reader's part that tells faults writes nothing into the manifest. */
    struct manifest_reader reader = {.manifest = (struct app_manifest *)(uintptr_t)manifest, .visit = visit, .context = context, .error = error};
    cairn_err err = CAIRN_OK;
    cairn_str *texts = calloc(EARLIER_MAX, sizeof *texts);
    if (!texts)
        return error_set(error, CAIRN_E_NOMEM, "out of memory comparing schemas");
    for (size_t i = 0; i < manifest->event_count && err == CAIRN_OK; i++)
        if (manifest->events[i].schema_text.size > 0)
            err = check_event(&reader, &manifest->events[i], earlier, earlier_context, texts);
    free(texts);
    return err == CAIRN_OK && reader.wrong_count > 0 ? CAIRN_E_INVALID : err;
}
