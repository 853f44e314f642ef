/* app.yaml into struct app_manifest. See manifest.h, and manifest_int.h for how the work is shared.
 *
 * Order: files → YAML → names at the top → events → deciders → commands → topics → Lua, projections, queries → what nobody named.
 * Each part tells its faults and goes on; only running out of memory ends the reading. */
#include <app/manifest_int.h>

#include <app/bundle.h>
#include <base/error.h>
#include <base/text.h>
#include <stdio.h>
#include <stdlib.h>

enum { MEMBERS_MAX = 500, DECIDERS_MAX = 64, QUERY_ITEMS_MAX = 16, TEXTS_MAX = 64, TEMPLATE_MAX = 512, DESCRIPTION_MAX = 4000,
       ARENA_BYTES_MAX = 128 * 1024 * 1024 };

#define SHOWN(text) (int)((text).size < 100 ? (text).size : 100), (text).data
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- files */

const cairn_app_file *
manifest_file(const struct app_manifest *manifest, cairn_str path)
{
    for (size_t i = 0; i < manifest->file_count; i++)
        if (cairn_str_equal(manifest->files[i].path, path))
            return &manifest->files[i];
    return NULL;
}

bool
manifest_file_name_at(const void *context, size_t index, cairn_str *ret)
{
    const struct app_manifest *manifest = context;
    if (index >= manifest->file_count)
        return false;
    *ret = manifest->files[index].path;
    return true;
}

const cairn_app_file *
manifest_named_file(struct manifest_reader *reader, const struct yaml *node, const char *what)
{
    struct app_manifest *manifest = reader->manifest;
    if (node->kind != YAML_SCALAR || yaml_is_null(node)) {
        yaml_fault(reader, node->line, "", "%s must be the path of a file, and is %s", what, yaml_kind_name(node));
        return NULL;
    }
    const cairn_app_file *file = manifest_file(manifest, node->text);
    if (file)
        reader->file_used[file - manifest->files] = true;
    else
        yaml_fault(reader, node->line,
                   manifest_did_you_mean(reader, node->text, manifest_file_name_at, manifest,
                                         "Paths are relative to the app's folder, with '/'."),
                   "%s names the file %.*s, which is not in the app", what, SHOWN(node->text));
    return file;
}

static bool
ends_with(cairn_str text, const char *end)
{
    size_t size = strlen(end);
    return text.size > size && memcmp(text.data + text.size - size, end, size) == 0;
}

/* Copy the files, sorted, and look at paths and sizes: what comes over the wire never saw a folder. */
static bool
take_files(struct manifest_reader *reader, const cairn_app_file *files, size_t count)
{
    struct app_manifest *manifest = reader->manifest;
    char digest[65];
    size_t bytes = 0;
    if (count > BUNDLE_FILES_MAX) {
        manifest_fault(reader, (cairn_str){0}, 0, "", "the app has %zu files; the limit is %d", count, BUNDLE_FILES_MAX);
        return true;
    }
    cairn_app_file *copies = arena_zalloc(&manifest->arena, (count + 1) * sizeof *copies);
    cairn_app_file *lua = arena_zalloc(&manifest->arena, (count + 1) * sizeof *lua);
    reader->file_used = arena_zalloc(&manifest->arena, count + 1);
    reader->json = arena_zalloc(&manifest->arena, (count + 1) * sizeof *reader->json);
    if (!copies || !lua || !reader->file_used || !reader->json)
        return manifest_nomem(reader);
    manifest->files = copies;
    for (size_t i = 0; i < count; i++) {
        if (!bundle_path_valid(files[i].path)) {
            manifest_fault(reader, files[i].path, 0, "Paths are relative, with '/', without \"..\".", "a file of an app cannot have this path");
            continue;
        }
        if (files[i].text.size > BUNDLE_FILE_BYTES_MAX || (bytes += files[i].text.size) > BUNDLE_BYTES_MAX) {
            manifest_fault(reader, files[i].path, 0, "An app's files are text that people write.",
                           "the file is too large: the limits are %d KiB for one and %d MiB for all", BUNDLE_FILE_BYTES_MAX / 1024,
                           BUNDLE_BYTES_MAX / 1024 / 1024);
            continue;
        }
        if (!utf8_valid(files[i].text) || (files[i].text.size && memchr(files[i].text.data, 0, files[i].text.size))) {
            manifest_fault(reader, files[i].path, 0, "", "it is not UTF-8 text");
            continue;
        }
        cairn_app_file *copy = &copies[manifest->file_count];
        copy->path = arena_copy(&manifest->arena, files[i].path);
        copy->text = arena_copy(&manifest->arena, files[i].text);
        if (!copy->path.data || !copy->text.data)
            return manifest_nomem(reader);
        manifest->file_count++;
    }
    bundle_sort(copies, manifest->file_count);
    for (size_t i = 1; i < manifest->file_count; i++)
        if (cairn_str_equal(copies[i].path, copies[i - 1].path))
            manifest_fault(reader, copies[i].path, 0, "", "the file is there twice");
    for (size_t i = 0; i < manifest->file_count; i++)
        if (ends_with(copies[i].path, ".lua"))
            lua[reader->sources.count++] = copies[i];
    reader->sources.files = lua;
    bundle_digest(copies, manifest->file_count, digest);
    manifest->digest = arena_copy(&manifest->arena, (cairn_str){digest, 64});
    return manifest->digest.data || manifest_nomem(reader);
}

static bool
read_yaml(struct manifest_reader *reader)
{
    cairn_error error = {0};
    uint32_t line;
    const cairn_app_file *file = manifest_file(reader->manifest, CAIRN_STR(MANIFEST_FILE));
    if (!file) {
        yaml_fault(reader, 0, "`cairn new NAME` makes a small app to begin with.", "there is no %s in the folder", MANIFEST_FILE);
        return false;
    }
    reader->file_used[file - reader->manifest->files] = true;
    cairn_err err = yaml_read(file->text, &reader->manifest->arena, &reader->root, &line, &error);
    if (err == CAIRN_E_NOMEM)
        return manifest_nomem(reader);
    if (err != CAIRN_OK)
        yaml_fault(reader, line, "", "%s", error.detail);
    return err == CAIRN_OK;
}

/* ---- events */

bool
manifest_event_name_at(const void *context, size_t index, cairn_str *ret)
{
    const struct app_manifest *manifest = context;
    if (index >= manifest->event_count)
        return false;
    *ret = manifest->events[index].type;
    return true;
}

struct app_event *
manifest_event(const struct app_manifest *manifest, cairn_str type)
{
    for (size_t i = 0; i < manifest->event_count; i++)
        if (cairn_str_equal(manifest->events[i].type, type))
            return &manifest->events[i];
    return NULL;
}

static bool
compat_name_at(const void *context, size_t index, cairn_str *ret)
{
    (void)context;
    if (index > COMPAT_FULL_TRANSITIVE)
        return false;
    *ret = cairn_cstr(compat_level_name((enum compat_level)index));
    return true;
}

static cairn_str
read_description(struct manifest_reader *reader, const struct yaml *map, const char *name)
{
    cairn_str text = manifest_text(map, name);
    if (text.size > DESCRIPTION_MAX)
        yaml_fault(reader, yaml_get(map, name)->line, "README.md has room.", "%s has %zu bytes; the limit is %d", name, text.size, DESCRIPTION_MAX);
    return text;
}

/* Braces that match, a length that a name may have. */
static bool
check_template_form(struct manifest_reader *reader, const struct yaml *node, const char *what)
{
    size_t at = 0;
    cairn_str member;
    while (app_template_member(node->text, &at, &member))
        continue;
    if (at == SIZE_MAX)
        yaml_fault(reader, node->line, "A member's name stands in braces: order-{order_id}.", "%s has braces that do not match: %.*s", what,
                   SHOWN(node->text));
    else if (node->text.size == 0 || node->text.size > TEMPLATE_MAX)
        yaml_fault(reader, node->line, "", "%s must have 1 to %d bytes", what, TEMPLATE_MAX);
    else
        return true;
    return false;
}

static void
read_event(struct manifest_reader *reader, const struct yaml *node, struct app_event *event)
{
    static const struct manifest_key keys[] = {{"schema", WANT_TEXT | WANT_MAP}, {"compatibility", WANT_TEXT},
                                               {"tags", WANT_LIST | WANT_TEXT}, {"upcast", WANT_LIST},
                                               {"description", WANT_TEXT}};
    char what[128];
    snprintf(what, sizeof what, "event %.*s", SHOWN(node->name));
    event->type = node->name;
    event->compat = COMPAT_BACKWARD;
    event->line = node->name_line;
    if (!manifest_type_name_valid(node->name))
        yaml_fault(reader, node->name_line, "OrderPlaced: letters and digits, beginning with a capital, at most 64.",
                   "%.*s is no name for an event", SHOWN(node->name));
    if (yaml_is_null(node))
        return;
    if (!manifest_check_keys(reader, node, what, keys, COUNT(keys)))
        return;
    event->description = read_description(reader, node, "description");
    const struct yaml *schema = yaml_get(node, "schema");
    if (schema)
        manifest_read_schema(reader, schema, what, &event->schema_text, &event->schema_path, &event->schema);
    cairn_str level = manifest_text(node, "compatibility");
    if (level.size && !compat_level_parse(level, &event->compat))
        yaml_fault(reader, yaml_get(node, "compatibility")->line,
                   manifest_did_you_mean(reader, level, compat_name_at, NULL, "One of NONE, BACKWARD, FORWARD, FULL, or these with _TRANSITIVE."),
                   "%s: %.*s is no compatibility level", what, SHOWN(level));
    const struct yaml *tags = yaml_get(node, "tags");
    snprintf(what, sizeof what, "event %.*s: tags", SHOWN(node->name));
    if (tags && manifest_texts(reader, tags, what, TEXTS_MAX, &event->tags, &event->tag_count))
        for (const struct yaml *tag = tags->kind == YAML_LIST ? tags->first : tags; tag; tag = tags->kind == YAML_LIST ? tag->next : NULL)
            if (check_template_form(reader, tag, "a tag"))
                manifest_check_template(reader, tag, event->schema_text, what);
    const struct yaml *upcast = yaml_get(node, "upcast");
    if (upcast && upcast->kind == YAML_LIST)
        manifest_read_upcasts(reader, upcast, event);
}

void *
manifest_begin_part(struct manifest_reader *reader, const char *name, size_t most, size_t size, const struct yaml **ret)
{
    const struct yaml *part = yaml_get(reader->root, name);
    *ret = NULL;
    if (!part || part->kind != YAML_MAP || !manifest_check_names(reader, part, name))
        return NULL;
    if (part->count > most) {
        yaml_fault(reader, part->line, "", "%s has %zu members; the limit is %zu", name, part->count, most);
        return NULL;
    }
    void *list = arena_zalloc(&reader->manifest->arena, (part->count + 1) * size);
    if (!list)
        manifest_nomem(reader);
    else
        *ret = part;
    return list;
}

static void
read_events(struct manifest_reader *reader)
{
    struct app_manifest *manifest = reader->manifest;
    const struct yaml *part;
    manifest->events = manifest_begin_part(reader, "events", MEMBERS_MAX, sizeof *manifest->events, &part);
    for (const struct yaml *at = part ? part->first : NULL; at && reader->fatal == CAIRN_OK; at = at->next)
        if (!at->first_line)
            read_event(reader, at, &manifest->events[manifest->event_count++]);
    if (!part)
        manifest->events = NULL;
}

/* ---- deciders */

static void
read_snapshot(struct manifest_reader *reader, const struct yaml *node, struct app_decider *decider)
{
    static const struct manifest_key keys[] = {{"every", WANT_WHOLE}, {"bytes", WANT_TEXT}};
    decider->snapshots.every_events = 100;
    if (!node)
        return;
    if (node->kind == YAML_SCALAR && cairn_str_equal(node->text, CAIRN_STR("none"))) {
        decider->snapshots.every_events = 0;
        return;
    }
    if (node->kind != YAML_MAP) {
        yaml_fault(reader, node->line, "snapshot: {every: 100}, or snapshot: none", "snapshot must be none or a mapping, and is %s",
                   yaml_kind_name(node));
        return;
    }
    manifest_check_keys(reader, node, "snapshot", keys, COUNT(keys));
    if (!yaml_get(node, "every") && yaml_get(node, "bytes"))
        decider->snapshots.every_events = 0;
    decider->snapshots.every_events = (uint32_t)manifest_whole(reader, node, "every", 1, 1000000, decider->snapshots.every_events);
    decider->snapshots.every_bytes = (uint32_t)manifest_size(reader, node, "bytes", 1024, 1u << 30, 0);
}

static void
read_query_item(struct manifest_reader *reader, const struct yaml *node, struct app_query_item *item)
{
    static const struct manifest_key keys[] = {{"types", WANT_LIST | WANT_TEXT}, {"tags", WANT_LIST | WANT_TEXT}};
    const struct yaml *types = yaml_get(node, "types"), *tags = yaml_get(node, "tags");
    if (!manifest_check_keys(reader, node, "an item of query", keys, COUNT(keys)))
        return;
    if (!types && !tags)
        yaml_fault(reader, node->line, "An item without either would read the whole log.", "an item of query needs types or tags");
    if (types && manifest_texts(reader, types, "types", TEXTS_MAX, &item->types, &item->type_count))
        for (size_t i = 0; i < item->type_count; i++)
            if (!manifest_event(reader->manifest, item->types[i]))
                yaml_warn(reader, types->line,
                          manifest_did_you_mean(reader, item->types[i], manifest_event_name_at, reader->manifest, "Only other apps could write it."),
                          "query asks for events of type %.*s, which this app does not have", SHOWN(item->types[i]));
    if (tags && manifest_texts(reader, tags, "tags", TEXTS_MAX, &item->tags, &item->tag_count))
        for (const struct yaml *tag = tags->kind == YAML_LIST ? tags->first : tags; tag; tag = tags->kind == YAML_LIST ? tag->next : NULL)
            check_template_form(reader, tag, "a tag");
}

static void
read_decider_query(struct manifest_reader *reader, const struct yaml *node, struct app_decider *decider)
{
    if (node->kind != YAML_LIST || node->count == 0 || node->count > QUERY_ITEMS_MAX) {
        yaml_fault(reader, node->line, "query: [{types: [StudentEnrolled], tags: [\"course:{course}\"]}]",
                   "query must be a list of 1 to %d items", QUERY_ITEMS_MAX);
        return;
    }
    struct app_query_item *items = arena_zalloc(&reader->manifest->arena, node->count * sizeof *items);
    if (!items) {
        manifest_nomem(reader);
        return;
    }
    for (const struct yaml *at = node->first; at; at = at->next)
        read_query_item(reader, at, &items[decider->item_count++]);
    decider->items = items;
}

/* What a decider is: Lua, native or a webhook, by the one member that says so. */
static void
read_decider_kind(struct manifest_reader *reader, const struct yaml *node, struct app_decider *decider, const char *what)
{
    static const char *const kinds[] = {"lua", "native", "webhook"};
    const struct yaml *source = NULL;
    for (size_t i = 0; i < COUNT(kinds); i++) {
        const struct yaml *at = yaml_get(node, kinds[i]);
        if (at && source)
            yaml_fault(reader, at->name_line, "Keep one of them.", "%s has more than one of lua, native and webhook", what);
        if (!at || source)
            continue;
        source = at;
        decider->kind = (enum app_decider_kind)i;
    }
    if (!source) {
        yaml_fault(reader, node->name_line, "lua: order.lua", "%s has none of lua, native and webhook", what);
        return;
    }
    if (source->kind != YAML_SCALAR || yaml_is_null(source))
        return;
    decider->source = source->text;
    if (decider->kind == APP_DECIDER_LUA)
        manifest_named_file(reader, source, what);
    else if (decider->kind == APP_DECIDER_NATIVE && !manifest_plain_name_valid(source->text, true))
        yaml_fault(reader, source->line, "A decider that is built in, or the file of a module without its .so.", "%s: %.*s is no name of a native decider", what, SHOWN(source->text));
    else if (decider->kind == APP_DECIDER_WEBHOOK
             && (source->text.size > 2000 || (strncmp(source->text.data, "https://", 8) && strncmp(source->text.data, "http://", 7))))
        yaml_fault(reader, source->line, "webhook: https://example.com/decide", "%s: the webhook is no http or https URL", what);
}

static void
check_decider_only(struct manifest_reader *reader, const struct yaml *node, const char *name, bool allowed, const char *kind)
{
    const struct yaml *at = yaml_get(node, name);
    if (at && !allowed)
        yaml_fault(reader, at->name_line, "Take it away.", "%s is for deciders in %s", name, kind);
}

static void
read_decider(struct manifest_reader *reader, const struct yaml *node, struct app_decider *decider)
{
    static const struct manifest_key keys[] = {
        {"lua", WANT_TEXT}, {"native", WANT_TEXT}, {"webhook", WANT_TEXT}, {"snapshot", WANT_TEXT | WANT_MAP},
        {"instructions", WANT_WHOLE}, {"memory", WANT_TEXT}, {"timeout_ms", WANT_WHOLE}, {"retries", WANT_WHOLE},
        {"secret_env", WANT_TEXT}, {"query", WANT_LIST}};
    char what[128];
    snprintf(what, sizeof what, "decider %.*s", SHOWN(node->name));
    decider->name = node->name;
    if (!manifest_plain_name_valid(node->name, true))
        yaml_fault(reader, node->name_line, "order: small letters, digits, - and _, at most 63.", "%.*s is no name for a decider", SHOWN(node->name));
    if (!manifest_check_keys(reader, node, what, keys, COUNT(keys)))
        return;
    read_decider_kind(reader, node, decider, what);
    bool lua = decider->kind == APP_DECIDER_LUA, webhook = decider->kind == APP_DECIDER_WEBHOOK;
    check_decider_only(reader, node, "instructions", lua, "Lua");
    check_decider_only(reader, node, "memory", lua, "Lua");
    check_decider_only(reader, node, "timeout_ms", webhook, "webhooks");
    check_decider_only(reader, node, "retries", webhook, "webhooks");
    check_decider_only(reader, node, "secret_env", webhook, "webhooks");
    decider->instructions_max = manifest_whole(reader, node, "instructions", 1000, 1000000000, 5000000);
    decider->memory_max = manifest_size(reader, node, "memory", 1024 * 1024, 1024 * 1024 * 1024, 32 * 1024 * 1024);
    decider->timeout_ms = (uint32_t)manifest_whole(reader, node, "timeout_ms", 10, 60000, 2000);
    decider->retries = (uint32_t)manifest_whole(reader, node, "retries", 0, 10, 2);
    decider->secret = manifest_text(node, "secret_env");
    read_snapshot(reader, yaml_get(node, "snapshot"), decider);
    if (yaml_get(node, "query"))
        read_decider_query(reader, yaml_get(node, "query"), decider);
}

static void
read_deciders(struct manifest_reader *reader)
{
    struct app_manifest *manifest = reader->manifest;
    const struct yaml *part;
    manifest->deciders = manifest_begin_part(reader, "deciders", DECIDERS_MAX, sizeof *manifest->deciders, &part);
    for (const struct yaml *at = part ? part->first : NULL; at && reader->fatal == CAIRN_OK; at = at->next)
        if (!at->first_line)
            read_decider(reader, at, &manifest->deciders[manifest->decider_count++]);
}

/* ---- commands */

static bool
decider_name_at(const void *context, size_t index, cairn_str *ret)
{
    const struct app_manifest *manifest = context;
    if (index >= manifest->decider_count)
        return false;
    *ret = manifest->deciders[index].name;
    return true;
}

static void
read_command_decider(struct manifest_reader *reader, const struct yaml *node, struct app_command *command, const char *what)
{
    struct app_manifest *manifest = reader->manifest;
    cairn_str name = manifest_text(node, "decider");
    if (name.size == 0) {
        if (manifest->decider_count > 1)
            yaml_fault(reader, node->name_line, manifest_hint(reader, "decider: %.*s", SHOWN(manifest->deciders[0].name)),
                       "%s does not say which of the %zu deciders decides it", what, manifest->decider_count);
        else if (manifest->decider_count == 0)
            yaml_fault(reader, node->name_line, "deciders: {order: {lua: order.lua}}", "%s has no decider: app.yaml names none", what);
        return;
    }
    for (size_t i = 0; i < manifest->decider_count; i++)
        if (cairn_str_equal(manifest->deciders[i].name, name)) {
            command->decider = i;
            return;
        }
    yaml_fault(reader, yaml_get(node, "decider")->line,
               manifest_did_you_mean(reader, name, decider_name_at, manifest, "Name one of those under deciders."),
               "%s: there is no decider %.*s", what, SHOWN(name));
}

static void
check_permission(struct manifest_reader *reader, const struct yaml *node, const char *what)
{
    cairn_str name = manifest_text(node, "permission");
    bool valid = name.size <= 128;
    for (size_t i = 0; valid && i < name.size; i++) {
        char c = name.data[i];
        valid = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (i > 0 && strchr("._:-", c));
    }
    if (!valid)
        yaml_fault(reader, yaml_get(node, "permission")->line, "orders.write", "%s: %.*s is no name for a permission", what, SHOWN(name));
}

static void
read_command(struct manifest_reader *reader, const struct yaml *node, struct app_command *command)
{
    static const struct manifest_key keys[] = {{"schema", WANT_TEXT | WANT_MAP}, {"stream", WANT_TEXT}, {"decider", WANT_TEXT},
                                               {"permission", WANT_TEXT}, {"deadline_ms", WANT_WHOLE}, {"description", WANT_TEXT}};
    char what[128];
    snprintf(what, sizeof what, "command %.*s", SHOWN(node->name));
    command->name = node->name;
    command->line = node->name_line;
    if (!manifest_type_name_valid(node->name))
        yaml_fault(reader, node->name_line, "PlaceOrder: letters and digits, beginning with a capital, at most 64.",
                   "%.*s is no name for a command", SHOWN(node->name));
    if (!manifest_check_keys(reader, node, what, keys, COUNT(keys)))
        return;
    command->description = read_description(reader, node, "description");
    command->permission = manifest_text(node, "permission");
    command->deadline_ms = (uint32_t)manifest_whole(reader, node, "deadline_ms", 1, 600000, 0);
    command->stream = manifest_text(node, "stream");
    check_permission(reader, node, what);
    read_command_decider(reader, node, command, what);

    const struct yaml *schema = yaml_get(node, "schema"), *stream = yaml_get(node, "stream");
    if (!schema)
        yaml_fault(reader, node->name_line, "schema: schemas/….json, or the schema itself.", "%s has no schema", what);
    else if (schema->kind != YAML_LIST)
        manifest_read_schema(reader, schema, what, &command->schema_text, &command->schema_path, &command->schema);
    if (!stream) {
        yaml_fault(reader, node->name_line, "stream: order-{order_id}", "%s does not say which stream it is about", what);
        return;
    }
    if (stream->kind != YAML_SCALAR || yaml_is_null(stream) || !check_template_form(reader, stream, "stream"))
        return;
    snprintf(what, sizeof what, "command %.*s: stream", SHOWN(node->name));
    if (stream->text.data[0] == '$')
        yaml_fault(reader, stream->line, "Begin it with a word of your own.", "%s: names that begin with '$' are Cairn's own", what);
    if (stream->text.data[0] == '{')
        yaml_warn(reader, stream->line, "order-{order_id}: what stands before the first '-' is the stream's category, by which it is found.",
                  "%s has no category", what);
    manifest_check_template(reader, stream, command->schema_text, what);
}

/* The templates of a decider's query are filled in from the data of every command that it decides. */
static void
check_query_templates(struct manifest_reader *reader, const struct app_command *command)
{
    const struct app_decider *decider = &reader->manifest->deciders[command->decider];
    const struct yaml *node = yaml_get(yaml_get(reader->root, "deciders"), decider->name.data), *query = yaml_get(node, "query");
    char what[128];
    snprintf(what, sizeof what, "query of decider %.*s, for command %.*s", SHOWN(decider->name), SHOWN(command->name));
    for (const struct yaml *item = query && query->kind == YAML_LIST ? query->first : NULL; item; item = item->next) {
        const struct yaml *tags = yaml_get(item, "tags");
        for (const struct yaml *tag = tags && tags->kind == YAML_LIST ? tags->first : NULL; tag; tag = tag->next)
            if (tag->kind == YAML_SCALAR)
                manifest_check_template(reader, tag, command->schema_text, what);
    }
}

static void
read_commands(struct manifest_reader *reader)
{
    struct app_manifest *manifest = reader->manifest;
    const struct yaml *part;
    manifest->commands = manifest_begin_part(reader, "commands", MEMBERS_MAX, sizeof *manifest->commands, &part);
    for (const struct yaml *at = part ? part->first : NULL; at && reader->fatal == CAIRN_OK; at = at->next) {
        if (at->first_line)
            continue;
        struct app_command *command = &manifest->commands[manifest->command_count++];
        read_command(reader, at, command);
        if (command->decider < manifest->decider_count)
            check_query_templates(reader, command);
        if (manifest_event(manifest, at->name))
            yaml_warn(reader, at->name_line, "A command asks (PlaceOrder), an event has happened (OrderPlaced).",
                      "%.*s is the name of a command and of an event", SHOWN(at->name));
    }
}

/* ---- the whole */

static void
read_top(struct manifest_reader *reader)
{
    static const struct manifest_key keys[] = {{"app", WANT_TEXT}, {"title", WANT_TEXT}, {"description", WANT_TEXT},
                                               {"deciders", WANT_MAP | WANT_NOTHING}, {"commands", WANT_MAP | WANT_NOTHING},
                                               {"events", WANT_MAP | WANT_NOTHING}, {"projections", WANT_MAP | WANT_NOTHING},
                                               {"topics", WANT_MAP | WANT_NOTHING}};
    struct app_manifest *manifest = reader->manifest;
    if (!manifest_check_keys(reader, reader->root, MANIFEST_FILE, keys, COUNT(keys)))
        return;
    const struct yaml *app = yaml_get(reader->root, "app");
    manifest->name = manifest_text(reader->root, "app");
    manifest->title = manifest_text(reader->root, "title");
    manifest->description = read_description(reader, reader->root, "description");
    if (manifest->title.size == 0)
        manifest->title = manifest->name;
    if (!app)
        yaml_fault(reader, 1, "app: orders", "app.yaml does not say the app's name");
    else if (app->kind == YAML_SCALAR && !manifest_plain_name_valid(app->text, true))
        yaml_fault(reader, app->line, "orders: small letters, digits, - and _, beginning with a letter, at most 63.",
                   "%.*s is no name for an app", SHOWN(app->text));
}

/* Files that look as if they were meant to be read, and are not. */
static void
check_unused(struct manifest_reader *reader)
{
    const struct app_manifest *manifest = reader->manifest;
    for (size_t i = 0; i < manifest->file_count; i++) {
        cairn_str path = manifest->files[i].path;
        if (reader->file_used[i])
            continue;
        if (strncmp(path.data, "schemas/", 8) == 0 && ends_with(path, ".json"))
            manifest_warn(reader, path, 0, "Name it in app.yaml, or take it away.", "no command, event or schema refers to this schema");
        else if (strncmp(path.data, "projections/", 12) == 0 && !ends_with(path, ".lua"))
            manifest_warn(reader, path, 0, "Projections are projections/NAME.sql or projections/NAME.lua.", "this file is not read as a projection");
        else if (strncmp(path.data, "queries/", 8) == 0)
            manifest_warn(reader, path, 0, "Queries are queries/NAME.sql.", "this file is not read as a query");
    }
    if (manifest->command_count == 0 && manifest->projection_count == 0 && manifest->query_count == 0 && manifest->topic_count == 0)
        yaml_warn(reader, 0, "docs/apps.md begins with a small one.", "the app has no commands, no projections, no queries and no topics");
}

static void
read_all(struct manifest_reader *reader, const cairn_app_file *files, size_t count, bool code)
{
    static void (*const parts[])(struct manifest_reader *) = {
        read_top, read_events, read_deciders, read_commands, manifest_read_topics, manifest_check_deciders,
        manifest_read_projections, manifest_read_queries, check_unused};
    enum { PARTS_OF_YAML = 4 };
    if (!take_files(reader, files, count) || !read_yaml(reader))
        return;
    if (reader->root->kind != YAML_MAP) {
        yaml_fault(reader, 1, "app: orders", "app.yaml must be a mapping, and is %s", yaml_kind_name(reader->root));
        return;
    }
    for (size_t i = 0; i < (code ? COUNT(parts) : PARTS_OF_YAML) && reader->fatal == CAIRN_OK; i++)
        parts[i](reader);
}

cairn_err
app_manifest_read(const cairn_app_file *files, size_t count, cairn_app_fault_visit visit, void *context,
                  struct app_manifest **ret, cairn_error *error)
{
    struct manifest_reader reader = {.visit = visit, .context = context, .error = error};
    reader.manifest = calloc(1, sizeof *reader.manifest);
    if (!reader.manifest)
        return error_set(error, CAIRN_E_NOMEM, "out of memory reading an app");
    reader.manifest->arena.size_max = ARENA_BYTES_MAX;
    read_all(&reader, files, count, true);
    cairn_err err = reader.fatal != CAIRN_OK ? reader.fatal : reader.wrong_count > 0 ? CAIRN_E_INVALID : CAIRN_OK;
    if (err == CAIRN_OK)
        *ret = reader.manifest;
    else
        app_manifest_free(reader.manifest);
    return err;
}

cairn_err
manifest_read_types(const cairn_app_file *files, size_t count, struct app_manifest **ret, cairn_error *error)
{
    cairn_error first = {0};
    struct manifest_reader reader = {.error = &first, .types_only = true};
    reader.manifest = calloc(1, sizeof *reader.manifest);
    if (!reader.manifest)
        return error_set(error, CAIRN_E_NOMEM, "out of memory reading an app");
    reader.manifest->arena.size_max = ARENA_BYTES_MAX;
    read_all(&reader, files, count, false);
    cairn_err err = reader.fatal != CAIRN_OK ? reader.fatal : reader.root && !reader.schema_wrong ? CAIRN_OK : CAIRN_E_INVALID;
    if (err == CAIRN_OK) {
        *ret = reader.manifest;
        return CAIRN_OK;
    }
    app_manifest_free(reader.manifest);
    return error_set(error, err, "%s", first.detail);
}

void
app_manifest_free(struct app_manifest *manifest)
{
    if (!manifest)
        return;
    for (size_t i = 0; i < manifest->command_count; i++)
        json_schema_free(manifest->commands[i].schema);
    for (size_t i = 0; i < manifest->event_count; i++) {
        json_schema_free(manifest->events[i].schema);
        upcast_free(manifest->events[i].upcasts);
    }
    for (size_t i = 0; i < manifest->lua_upcast_count; i++)
        lua_upcast_free(manifest->lua_upcasts[i]);
    for (size_t i = 0; i < manifest->query_count; i++)
        query_free(manifest->queries[i]);
    for (size_t i = 0; i < manifest->projection_count; i++)
        projection_free(manifest->projections[i]);
    arena_free(&manifest->arena);
    free(manifest);
}
