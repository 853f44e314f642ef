/* Read a mapping file. See migrate.h; docs/migrate.md is the user's page.
 *
 * Reading goes on after a fault, so that all of them are said at once. What is not known is a fault: a misspelt word
 * must not change what is written. */
#include <app/yaml.h>
#include <base/error.h>
#include <base/hash.h>
#include <base/text.h>
#include <errno.h>
#include <os/os.h>
#include <stdarg.h>
#include <stdlib.h>

#include "migrate.h"

struct reading {
    struct mapping *mapping;
    struct app_faults faults;
};

__attribute__((format(printf, 4, 5))) static void
fault(struct reading *reading, uint32_t line, const char *hint, const char *format, ...)
{
    char text[400];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    app_say_fault(&reading->faults, &(cairn_app_fault){.file = cairn_cstr(reading->mapping->path), .line = line,
                                                       .message = cairn_cstr(text), .hint = cairn_cstr(hint)});
}

static void *
make_array(struct reading *reading, size_t count, size_t size)
{
    void *array = arena_zalloc(&reading->mapping->arena, (count ? count : 1) * size);
    if (!array)
        fault(reading, 0, NULL, "out of memory");
    return array;
}

/* Every member is one of these words; the last one is NULL. */
static void
check_words(struct reading *reading, const struct yaml *map, const char *what, const char *const *words)
{
    for (const struct yaml *m = map->first; m; m = m->next) {
        const char *nearest = NULL;
        char list[256] = "", hint[300];
        size_t used = 0;
        bool known = false;
        for (const char *const *w = words; *w && !known; w++) {
            char typed[64];
            snprintf(typed, sizeof typed, "%.*s", (int)(m->name.size < 60 ? m->name.size : 60), m->name.data);
            known = cairn_str_equal(m->name, cairn_cstr(*w));
            if (edit_distance(typed, *w) <= 2)
                nearest = *w;
            used += (size_t)snprintf(list + used, used < sizeof list ? sizeof list - used : 0, "%s%s", used ? ", " : "", *w);
        }
        if (nearest)
            snprintf(hint, sizeof hint, "did you mean %s?", nearest);
        else
            snprintf(hint, sizeof hint, "there are %s", list);
        if (!known)
            fault(reading, m->name_line, hint, "%s has no \"%.*s\"", what, (int)(m->name.size < 60 ? m->name.size : 60),
                  m->name.data);
        else if (m->first_line)
            fault(reading, m->name_line, NULL, "\"%.*s\" is there already, on line %u", (int)m->name.size, m->name.data,
                  m->first_line);
    }
}

/* A scalar's text; NULL text where there is none, after a fault when it is required or no scalar. */
static cairn_str
scalar(struct reading *reading, const struct yaml *map, const char *name, const char *what, bool required)
{
    const struct yaml *node = yaml_get(map, name);
    if (!node || yaml_is_null(node)) {
        if (required)
            fault(reading, map->line, NULL, "%s needs %s", what, name);
        return (cairn_str){0};
    }
    if (node->kind != YAML_SCALAR || node->text.size == 0) {
        fault(reading, node->line, NULL, "%s is %s; it must be text", name, yaml_kind_name(node));
        return (cairn_str){0};
    }
    return node->text;
}

/* NUL-terminated, in the arena. */
static const char *
c_text(struct reading *reading, cairn_str text)
{
    cairn_str copy = arena_copy(&reading->mapping->arena, text);
    return text.size ? copy.data : NULL;
}

bool
is_batch_name(cairn_str name)
{
    for (size_t i = 0; i < name.size; i++)
        if (!memchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", name.data[i], 65))
            return false;
    return name.size >= 1 && name.size <= 64 && name.data[0] != '.' && name.data[0] != '-';
}

/* ---- source ---------------------------------------------------------------------------------------------- */

static const char *
path_of(struct reading *reading, cairn_str text)
{
    struct buf path = {0};
    if (text.data[0] != '/')
        buf_printf(&path, "%s", reading->mapping->folder);
    buf_put_str(&path, text);
    const char *kept = c_text(reading, buf_str(&path));
    buf_free(&path);
    return kept;
}

static void
read_source(struct reading *reading, const struct yaml *root)
{
    static const char *const words[] = {"sqlite", "postgresql", "csv", "table", "query", "key", "separator", NULL};
    static const enum source_kind kinds[] = {SOURCE_SQLITE, SOURCE_POSTGRES, SOURCE_CSV};
    struct mapping *mapping = reading->mapping;
    const struct yaml *source = yaml_get(root, "source");
    unsigned named = 0;
    if (!source || source->kind != YAML_MAP) {
        fault(reading, source ? source->line : root->line, "source: {sqlite: shop.db, table: orders, key: id}",
              "the mapping needs a source");
        return;
    }
    check_words(reading, source, "a source", words);
    for (size_t i = 0; i < 3; i++) {
        cairn_str text = scalar(reading, source, words[i], "source", false);
        if (!text.size)
            continue;
        named++;
        mapping->kind = kinds[i];
        mapping->location = mapping->kind == SOURCE_POSTGRES ? c_text(reading, text) : path_of(reading, text);
    }
    if (named != 1)
        fault(reading, source->line, "sqlite: FILE, postgresql: CONNECTION, or csv: FILE", "a source is one of three");
    mapping->table = scalar(reading, source, "table", "source", false);
    mapping->query = scalar(reading, source, "query", "source", false);
    if (mapping->kind != SOURCE_CSV && !mapping->table.size == !mapping->query.size)
        fault(reading, source->line, "table: orders, or query: SELECT …", "a database needs a table or a query, not both");
    if (mapping->kind == SOURCE_CSV && (mapping->table.size || mapping->query.size))
        fault(reading, source->line, NULL, "a CSV file has neither table nor query");
    while (mapping->query.size && strchr("; \t\r\n", mapping->query.data[mapping->query.size - 1]))
        mapping->query.size--;
    mapping->key = c_text(reading, scalar(reading, source, "key", "source", true));
    mapping->key_line = yaml_get(source, "key") ? yaml_get(source, "key")->line : source->line;
    cairn_str separator = scalar(reading, source, "separator", "source", false);
    mapping->separator = !separator.size                                       ? ','
                         : cairn_str_equal(separator, CAIRN_STR("tab")) ? '\t'
                                                                        : separator.data[0];
    if (separator.size > 1 && mapping->separator != '\t')
        fault(reading, source->line, "for example \";\" or tab", "separator is one character");
}

/* ---- parts of a rule ----------------------------------------------------------------------------------------- */

static bool
read_template(struct reading *reading, const struct yaml *node, struct text_template *ret)
{
    cairn_str text = node->text;
    size_t count = 1;
    if (node->kind != YAML_SCALAR || text.size == 0) {
        fault(reading, node->line, "for example order-{id}", "a template is text, not %s", yaml_kind_name(node));
        return false;
    }
    for (size_t i = 0; i < text.size; i++)
        count += text.data[i] == '{';
    *ret = (struct text_template){.pieces = make_array(reading, count, sizeof *ret->pieces), .line = node->line};
    for (size_t at = 0; ret->pieces && (at < text.size || ret->count == 0);) {
        const char *open = memchr(text.data + at, '{', text.size - at);
        struct piece *piece = &ret->pieces[ret->count++];
        size_t size = open ? (size_t)(open - text.data) - at : text.size - at;
        piece->literal = (cairn_str){text.data + at, size};
        if (memchr(piece->literal.data, '}', size)) {
            fault(reading, node->line, "columns stand in braces: order-{id}", "a } without {");
            return false;
        }
        at += size;
        if (!open)
            break;
        const char *close = memchr(open, '}', text.size - at);
        if (!close || close == open + 1) {
            fault(reading, node->line, "columns stand in braces: order-{id}", "a { without a column and }");
            return false;
        }
        piece->has_column = true;
        piece->column = (struct column_ref){{open + 1, (size_t)(close - open) - 1}, node->line, 0};
        at = (size_t)(close - text.data) + 1;
    }
    return ret->pieces != NULL;
}

static bool
read_cast(struct reading *reading, const struct yaml *map, enum cast *ret)
{
    static const char *const names[] = {"text", "integer", "number", "boolean", "json", "time", "unix", "unix_ms"};
    cairn_str text = scalar(reading, map, "type", "a member", false);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (cairn_str_equal(text, cairn_cstr(names[i]))) {
            *ret = (enum cast)(CAST_TEXT + i);
            return true;
        }
    if (text.size)
        fault(reading, yaml_get(map, "type")->line,
              "text, integer, number, boolean, json, time, unix (seconds since 1970) or unix_ms", "no type \"%.*s\"",
              (int)(text.size < 60 ? text.size : 60), text.data);
    return !text.size;
}

/* `name: column`, `name: {column: …, type: …, optional: true}` or `name: {value: …}`. */
static void
read_member(struct reading *reading, const struct yaml *node, struct member *ret)
{
    static const char *const words[] = {"column", "type", "optional", "value", NULL};
    *ret = (struct member){.name = node->name};
    if (node->kind == YAML_SCALAR && node->text.size) {
        ret->column = (struct column_ref){node->text, node->line, 0};
        return;
    }
    if (node->kind != YAML_MAP) {
        fault(reading, node->line, "name: column, or name: {column: …, type: …}, or name: {value: …}", "a member is %s",
              yaml_kind_name(node));
        return;
    }
    check_words(reading, node, "a member", words);
    const struct yaml *value = yaml_get(node, "value"), *optional = yaml_get(node, "optional");
    if (value) {
        struct buf json = {0};
        yaml_put_json(&json, value);
        ret->constant = true;
        ret->json = arena_copy(&reading->mapping->arena, buf_str(&json));
        buf_free(&json);
        if (yaml_get(node, "column"))
            fault(reading, node->line, NULL, "a member has a column or a value, not both");
        return;
    }
    ret->column = (struct column_ref){scalar(reading, node, "column", "a member", true), node->line, 0};
    read_cast(reading, node, &ret->cast);
    ret->optional = optional && cairn_str_equal(optional->text, CAIRN_STR("true"));
    if (optional && !ret->optional && !cairn_str_equal(optional->text, CAIRN_STR("false")))
        fault(reading, optional->line, NULL, "optional is true or false");
}

static void
read_condition(struct reading *reading, const struct yaml *node, struct condition *ret)
{
    *ret = (struct condition){.column = {node->name, node->name_line, 0}, .test = WHEN_IN};
    if (yaml_is_null(node)) {
        ret->test = WHEN_NULL;
    } else if (node->kind == YAML_SCALAR && node->plain && cairn_str_equal(node->text, CAIRN_STR("not null"))) {
        ret->test = WHEN_NOT_NULL;
    } else if (node->kind == YAML_MAP) {
        fault(reading, node->line, "when: {status: [paid, shipped], paid_at: not null}", "a condition is a mapping");
    } else {
        const struct yaml *item = node->kind == YAML_LIST ? node->first : node;
        ret->values = make_array(reading, node->kind == YAML_LIST ? node->count : 1, sizeof *ret->values);
        for (; ret->values && item; item = node->kind == YAML_LIST ? item->next : NULL) {
            if (item->kind != YAML_SCALAR)
                fault(reading, item->line, NULL, "a condition's value is text or a number");
            else
                ret->values[ret->value_count++] = item->text;
        }
    }
}

static void
read_type(struct reading *reading, const struct yaml *map, struct rule *rule)
{
    static const char *const words[] = {"column", "values", NULL};
    const struct yaml *type = yaml_get(map, "type");
    if (!type || type->kind == YAML_LIST || (type->kind == YAML_SCALAR && !type->text.size)) {
        fault(reading, type ? type->line : map->line, "type: OrderPlaced, or type: {column: status}", "an event needs a type");
        return;
    }
    if (type->kind == YAML_SCALAR) {
        rule->type = type->text;
        return;
    }
    check_words(reading, type, "a type", words);
    rule->type_column = (struct column_ref){scalar(reading, type, "column", "a type", true), type->line, 0};
    const struct yaml *values = yaml_get(type, "values");
    if (!values)
        return;
    if (values->kind != YAML_MAP) {
        fault(reading, values->line, "values: {A: Approved, D: Declined}", "values is %s", yaml_kind_name(values));
        return;
    }
    rule->type_names = make_array(reading, values->count, sizeof *rule->type_names);
    for (const struct yaml *v = values->first; rule->type_names && v; v = v->next) {
        if (v->kind != YAML_SCALAR || !v->text.size)
            fault(reading, v->line, NULL, "an event's type is text");
        rule->type_names[rule->type_name_count++] = (struct type_name){v->name, v->text};
    }
}

static void
read_data(struct reading *reading, const struct yaml *map, struct rule *rule)
{
    const struct yaml *data = yaml_get(map, "data");
    if (data && data->kind == YAML_SCALAR && cairn_str_equal(data->text, CAIRN_STR("all"))) {
        rule->all_columns = true;
        return;
    }
    if (!data || data->kind != YAML_MAP) {
        fault(reading, data ? data->line : map->line, "data: all, or data: {member: column}", "an event needs data");
        return;
    }
    rule->members = make_array(reading, data->count, sizeof *rule->members);
    for (const struct yaml *m = data->first; rule->members && m; m = m->next) {
        if (m->first_line)
            fault(reading, m->name_line, NULL, "member \"%.*s\" is there already, on line %u", (int)m->name.size,
                  m->name.data, m->first_line);
        read_member(reading, m, &rule->members[rule->member_count++]);
    }
}

static void
read_rule(struct reading *reading, const struct yaml *map, struct rule *rule)
{
    static const char *const words[] = {"type", "stream", "data", "when", "time", "tags", NULL};
    rule->line = map->line;
    if (map->kind != YAML_MAP) {
        fault(reading, map->line, "- {type: …, stream: …, data: …}", "an event is %s", yaml_kind_name(map));
        return;
    }
    check_words(reading, map, "an event", words);
    read_type(reading, map, rule);
    read_data(reading, map, rule);
    const struct yaml *stream = yaml_get(map, "stream"), *time = yaml_get(map, "time"), *when = yaml_get(map, "when"),
                      *tags = yaml_get(map, "tags");
    if (stream)
        read_template(reading, stream, &rule->stream);
    else
        fault(reading, map->line, "stream: order-{id}", "an event needs a stream");
    if (time) {
        rule->has_time = true;
        read_member(reading, time, &rule->time);
        rule->time.cast = rule->time.cast == CAST_AS_IT_IS ? CAST_TIME : rule->time.cast;
    }
    if (when && when->kind != YAML_MAP) {
        fault(reading, when->line, "when: {status: paid}", "when is %s", yaml_kind_name(when));
    } else if (when) {
        rule->conditions = make_array(reading, when->count, sizeof *rule->conditions);
        for (const struct yaml *c = when->first; rule->conditions && c; c = c->next)
            read_condition(reading, c, &rule->conditions[rule->condition_count++]);
    }
    if (tags && (tags->kind != YAML_LIST || tags->count > TAGS_PER_RULE_MAX)) {
        fault(reading, tags->line, "tags: [\"customer:{customer_id}\"]", "tags is a list of at most %d", TAGS_PER_RULE_MAX);
    } else if (tags) {
        rule->tags = make_array(reading, tags->count, sizeof *rule->tags);
        for (const struct yaml *t = tags->first; rule->tags && t; t = t->next)
            read_template(reading, t, &rule->tags[rule->tag_count++]);
    }
}

/* ---- checks ------------------------------------------------------------------------------------------------ */

bool
parse_check(cairn_str text, enum check_function *ret_function, cairn_str *ret_argument)
{
    static const char *const names[] = {"count", "sum", "min", "max"};
    for (size_t i = 0; i < 4; i++) {
        size_t size = strlen(names[i]);
        if (text.size < size + 2 || memcmp(text.data, names[i], size) != 0 || text.data[size] != '(' ||
            text.data[text.size - 1] != ')')
            continue;
        *ret_function = (enum check_function)i;
        *ret_argument = (cairn_str){text.data + size + 1, text.size - size - 2};
        if (cairn_str_equal(*ret_argument, CAIRN_STR("*")))
            *ret_argument = (cairn_str){0};
        return i == CHECK_COUNT || ret_argument->size > 0;
    }
    return false;
}

static void
read_checks(struct reading *reading, const struct yaml *root)
{
    static const char *const words[] = {"source", "events", "type", NULL};
    static const char *const hint = "revenue: {source: sum(total), events: sum(total), type: OrderPlaced}";
    struct mapping *mapping = reading->mapping;
    const struct yaml *checks = yaml_get(root, "checks");
    if (!checks)
        return;
    if (checks->kind != YAML_MAP || checks->count > CHECKS_MAX) {
        fault(reading, checks->line, hint, "checks is a mapping of at most %d", CHECKS_MAX);
        return;
    }
    mapping->checks = make_array(reading, checks->count, sizeof *mapping->checks);
    for (const struct yaml *c = checks->first; mapping->checks && c; c = c->next) {
        struct check *check = &mapping->checks[mapping->check_count++];
        enum check_function function;
        cairn_str argument;
        *check = (struct check){.name = c->name, .line = c->line};
        if (c->kind != YAML_MAP) {
            fault(reading, c->line, hint, "a check is %s", yaml_kind_name(c));
            continue;
        }
        check_words(reading, c, "a check", words);
        check->source = scalar(reading, c, "source", "a check", true);
        check->type = scalar(reading, c, "type", "a check", false);
        cairn_str events = scalar(reading, c, "events", "a check", true);
        if (events.size && !parse_check(events, &check->function, &check->member))
            fault(reading, c->line, "count(), count(member), sum(member), min(member) or max(member)",
                  "\"%.*s\" is nothing that can be worked out over events", (int)(events.size < 60 ? events.size : 60),
                  events.data);
        if (mapping->kind == SOURCE_CSV && check->source.size && !parse_check(check->source, &function, &argument))
            fault(reading, c->line, "count(), count(column), sum(column), min(column) or max(column)",
                  "\"%.*s\" is nothing that can be worked out over a CSV file",
                  (int)(check->source.size < 60 ? check->source.size : 60), check->source.data);
    }
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

static void
read_root(struct reading *reading, const struct yaml *root)
{
    static const char *const words[] = {"batch", "source", "events", "checks", NULL};
    struct mapping *mapping = reading->mapping;
    if (root->kind != YAML_MAP) {
        fault(reading, root->line, "batch: …, source: …, events: …", "a mapping file is %s", yaml_kind_name(root));
        return;
    }
    check_words(reading, root, "a mapping", words);
    mapping->batch = scalar(reading, root, "batch", "the mapping", true);
    if (mapping->batch.size && !is_batch_name(mapping->batch))
        fault(reading, yaml_get(root, "batch")->line, "letters, digits, '.', '_' and '-', at most 64",
              "\"%.*s\" is no name for a batch", (int)(mapping->batch.size < 80 ? mapping->batch.size : 80),
              mapping->batch.data);
    read_source(reading, root);
    const struct yaml *events = yaml_get(root, "events");
    if (!events || events->kind != YAML_LIST || events->count == 0 || events->count > RULES_MAX) {
        fault(reading, events ? events->line : root->line, "events: [{type: …, stream: …, data: …}]",
              "the mapping needs a list of 1 to %d events", RULES_MAX);
    } else {
        mapping->rules = make_array(reading, events->count, sizeof *mapping->rules);
        for (const struct yaml *e = events->first; mapping->rules && e; e = e->next)
            read_rule(reading, e, &mapping->rules[mapping->rule_count++]);
    }
    read_checks(reading, root);
}

static int
end_reading(const struct args *args, struct reading *reading)
{
    size_t errors = reading->faults.errors;
    int code = 0;
    if (errors && out.json) {
        struct buf problem = {0};
        cairn_error error = {0};
        buf_put_str(&problem, CAIRN_STR("{\"faults\":["));
        buf_put_str(&problem, buf_str(&reading->faults.json));
        buf_put_str(&problem, CAIRN_STR("]}"));
        error_ignore(error_set(&error, CAIRN_E_INVALID, "%s has %zu fault%s", reading->mapping->path, errors,
                               errors == 1 ? "" : "s"));
        code = fail_problem(0, args->command->name, &error, NULL, buf_str(&problem));
        buf_free(&problem);
    } else if (errors) {
        code = EXIT_USAGE;
    }
    buf_free(&reading->faults.json);
    return code;
}

int
mapping_read(const struct args *args, const char *path, struct mapping *ret)
{
    struct reading reading = {.mapping = ret};
    char *bytes = NULL;
    size_t size = 0;
    uint8_t digest[32];
    uint32_t line = 0;
    struct yaml *root = NULL;
    cairn_error error = {0};
    *ret = (struct mapping){.path = path};
    const char *slash = strrchr(path, '/');
    snprintf(ret->folder, sizeof ret->folder, "%.*s", slash ? (int)(slash - path) + 1 : 0, path);
    int failed = os_read_file(os_real(), path, YAML_TEXT_MAX, &bytes, &size);
    if (failed)
        return fail(failed == -ENOENT ? EXIT_NOT_FOUND : EXIT_USAGE, args->command->name, "docs/migrate.md shows one",
                    "%s: %s", path, strerror(-failed));
    sha256(bytes, size, digest);
    format_hex(digest, sizeof digest, ret->digest);
    cairn_str text = arena_copy(&ret->arena, (cairn_str){bytes, size});
    free(bytes);
    if (!text.data)
        fault(&reading, 0, NULL, "out of memory");
    else if (yaml_read(text, &ret->arena, &root, &line, &error) != CAIRN_OK)
        fault(&reading, line, NULL, "%s", error.detail);
    else
        read_root(&reading, root);
    int code = end_reading(args, &reading);
    if (code)
        mapping_free(ret);
    return code;
}

/* ---- columns ------------------------------------------------------------------------------------------------- */

static void
bind_column(struct reading *reading, const struct source *source, struct column_ref *column)
{
    char list[300], hint[360];
    size_t used = 0;
    if (!column->name.size)
        return;
    for (size_t i = 0; i < source->column_count; i++)
        if (cairn_str_equal(source->columns[i], column->name)) {
            column->index = i;
            return;
        }
    list[0] = '\0';
    for (size_t i = 0; i < source->column_count && used + 1 < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%.*s", i ? ", " : "", (int)source->columns[i].size,
                                 source->columns[i].data);
    snprintf(hint, sizeof hint, "there are %s", list);
    fault(reading, column->line, hint, "the source has no column \"%.*s\"",
          (int)(column->name.size < 100 ? column->name.size : 100), column->name.data);
}

static void
bind_template(struct reading *reading, const struct source *source, struct text_template *text)
{
    for (size_t i = 0; i < text->count; i++)
        if (text->pieces[i].has_column)
            bind_column(reading, source, &text->pieces[i].column);
}

int
mapping_bind(const struct args *args, struct mapping *mapping, const struct source *source)
{
    struct reading reading = {.mapping = mapping};
    for (size_t i = 0; i < mapping->rule_count; i++) {
        struct rule *rule = &mapping->rules[i];
        if (!rule->type.size)
            bind_column(&reading, source, &rule->type_column);
        bind_template(&reading, source, &rule->stream);
        for (size_t t = 0; t < rule->tag_count; t++)
            bind_template(&reading, source, &rule->tags[t]);
        for (size_t c = 0; c < rule->condition_count; c++)
            bind_column(&reading, source, &rule->conditions[c].column);
        for (size_t m = 0; m < rule->member_count; m++)
            if (!rule->members[m].constant)
                bind_column(&reading, source, &rule->members[m].column);
        if (rule->has_time)
            bind_column(&reading, source, &rule->time.column);
    }
    return end_reading(args, &reading);
}

void
mapping_free(struct mapping *mapping)
{
    arena_free(&mapping->arena);
}
