/* See yaml.h. libfyaml's events, one at a time, become nodes; nothing is resolved or expanded. One thread a call. */
#include <app/yaml.h>

#include <base/error.h>
#include <base/json.h>
#include <base/text.h>
#include <libfyaml.h>
#include <math.h>
#include <stdlib.h>

enum { DEPTH_MAX = 32, NODES_MAX = 50000, MEMBERS_MAX = 2000 };

struct reader {
    struct arena *arena;
    struct yaml *root;
    struct yaml *open[DEPTH_MAX]; /* mappings and lists around the place */
    size_t depth, nodes, documents;
    cairn_str name; /* of the member whose value comes next */
    uint32_t name_line;
    bool has_name;
    uint32_t line; /* of the newest event that has one */
};

static struct yaml *
find_member(const struct yaml *map, cairn_str name)
{
    for (struct yaml *at = map->first; at; at = at->next)
        if (cairn_str_equal(at->name, name))
            return at;
    return NULL;
}

/* Hang a new node where the reader stands. */
static cairn_err
add_node(struct reader *reader, enum yaml_kind kind, struct yaml **ret, cairn_error *error)
{
    struct yaml *around = reader->depth ? reader->open[reader->depth - 1] : NULL;
    if (++reader->nodes > NODES_MAX)
        return error_set(error, CAIRN_E_LIMIT, "more than %d values", NODES_MAX);
    struct yaml *node = arena_zalloc(reader->arena, sizeof *node);
    if (!node)
        return error_set(error, CAIRN_E_NOMEM, "out of memory reading YAML");
    node->kind = kind;
    node->line = reader->line;
    if (!around) {
        if (reader->root)
            return error_set(error, CAIRN_E_INVALID, "more than one document; a file holds one");
        reader->root = node;
        *ret = node;
        return CAIRN_OK;
    }
    if (around->kind == YAML_MAP) {
        if (around->count >= MEMBERS_MAX)
            return error_set(error, CAIRN_E_LIMIT, "more than %d members in one mapping", MEMBERS_MAX);
        node->name = reader->name;
        node->name_line = reader->name_line;
        struct yaml *before = find_member(around, node->name);
        node->first_line = before ? before->name_line : 0;
        reader->has_name = false;
    }
    if (around->last)
        around->last->next = node;
    else
        around->first = node;
    around->last = node;
    around->count++;
    *ret = node;
    return CAIRN_OK;
}

static bool
name_expected(const struct reader *reader)
{
    return reader->depth && reader->open[reader->depth - 1]->kind == YAML_MAP && !reader->has_name;
}

static cairn_err
begin(struct reader *reader, enum yaml_kind kind, cairn_error *error)
{
    struct yaml *node;
    if (name_expected(reader))
        return error_set(error, CAIRN_E_INVALID, "a member's name must be text");
    if (reader->depth == DEPTH_MAX)
        return error_set(error, CAIRN_E_LIMIT, "nested deeper than %d", DEPTH_MAX);
    cairn_err err = add_node(reader, kind, &node, error);
    if (err == CAIRN_OK)
        reader->open[reader->depth++] = node;
    return err;
}

static cairn_err
take_scalar(struct reader *reader, struct fy_event *event, cairn_error *error)
{
    struct yaml *node;
    size_t size = 0;
    const char *bytes = event->scalar.value ? fy_token_get_text(event->scalar.value, &size) : "";
    if (!bytes)
        return error_set(error, CAIRN_E_NOMEM, "out of memory reading YAML");
    cairn_str text = arena_copy(reader->arena, (cairn_str){bytes, size});
    if (!text.data)
        return error_set(error, CAIRN_E_NOMEM, "out of memory reading YAML");
    /* The input was checked, but an escape ("\x80" is fine, "\ud800" is not) can make text that is no text. */
    if (!utf8_valid(text) || memchr(text.data, 0, text.size))
        return error_set(error, CAIRN_E_INVALID, "text that is not UTF-8, or holds a NUL");
    if (name_expected(reader)) {
        reader->name = text;
        reader->name_line = reader->line;
        reader->has_name = true;
        return CAIRN_OK;
    }
    cairn_err err = add_node(reader, YAML_SCALAR, &node, error);
    if (err == CAIRN_OK) {
        node->text = text;
        node->plain = !event->scalar.value || fy_token_scalar_style(event->scalar.value) == FYSS_PLAIN;
    }
    return err;
}

static cairn_err
take_event(struct reader *reader, struct fy_event *event, cairn_error *error)
{
    struct fy_token *token = fy_event_get_token(event);
    const struct fy_mark *mark = token ? fy_token_start_mark(token) : NULL;
    if (mark && mark->line >= 0)
        reader->line = (uint32_t)mark->line + 1;

    switch (event->type) {
    case FYET_ALIAS:
        return error_set(error, CAIRN_E_INVALID, "anchors and aliases (& and *) are not taken");
    case FYET_SCALAR:
    case FYET_SEQUENCE_START:
    case FYET_MAPPING_START:
        if (fy_event_get_anchor_token(event))
            return error_set(error, CAIRN_E_INVALID, "anchors and aliases (& and *) are not taken");
        if (fy_event_get_tag_token(event))
            return error_set(error, CAIRN_E_INVALID, "tags (!) are not taken");
        break;
    default: break;
    }
    switch (event->type) {
    case FYET_DOCUMENT_START:
        if (++reader->documents > 1)
            return error_set(error, CAIRN_E_INVALID, "more than one document; a file holds one");
        return CAIRN_OK;
    case FYET_SCALAR: return take_scalar(reader, event, error);
    case FYET_SEQUENCE_START: return begin(reader, YAML_LIST, error);
    case FYET_MAPPING_START: return begin(reader, YAML_MAP, error);
    case FYET_SEQUENCE_END:
    case FYET_MAPPING_END: reader->depth--; return CAIRN_OK;
    default: return CAIRN_OK;
    }
}

static void
say_nothing(struct fy_diag *diag, void *user, const char *bytes, size_t size)
{
    (void)diag, (void)user, (void)bytes, (void)size;
}

/* Faults are collected, none is printed. */
static struct fy_diag *
quiet_diag(void)
{
    struct fy_diag_cfg config;
    fy_diag_cfg_default(&config);
    config.fp = NULL;
    config.output_fn = say_nothing;
    config.colorize = false;
    struct fy_diag *diag = fy_diag_create(&config);
    if (diag)
        fy_diag_set_collect_errors(diag, true);
    return diag;
}

static cairn_err
parse_fault(struct fy_diag *diag, uint32_t line, uint32_t *reterr_line, cairn_error *error)
{
    void *at = NULL;
    struct fy_diag_error *first = fy_diag_errors_iterate(diag, &at);
    *reterr_line = first && first->line > 0 ? (uint32_t)first->line : line;
    return error_set(error, CAIRN_E_INVALID, "not YAML: %s", first && first->msg ? first->msg : "it cannot be read");
}

cairn_err
yaml_read(cairn_str text, struct arena *arena, struct yaml **ret, uint32_t *reterr_line, cairn_error *error)
{
    struct reader reader = {.arena = arena, .line = 1};
    struct fy_parser *parser = NULL;
    struct fy_event *event;
    cairn_err err = CAIRN_OK;

    *reterr_line = 0;
    if (text.size > YAML_TEXT_MAX)
        return error_set(error, CAIRN_E_LIMIT, "it has %zu bytes; the limit is %d", text.size, YAML_TEXT_MAX);
    if (!utf8_valid(text) || (text.size && memchr(text.data, 0, text.size)))
        return error_set(error, CAIRN_E_INVALID, "it is not UTF-8 text");
    struct fy_diag *diag = quiet_diag();
    struct fy_parse_cfg config = {.flags = FYPCF_COLLECT_DIAG | FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE, .diag = diag};
    if (diag)
        parser = fy_parser_create(&config);
    if (!parser || fy_parser_set_string(parser, text.size ? text.data : "", text.size) != 0) {
        err = error_set(error, CAIRN_E_NOMEM, "out of memory reading YAML");
        goto done;
    }
    while (err == CAIRN_OK && (event = fy_parser_parse(parser))) {
        err = take_event(&reader, event, error);
        fy_parser_event_free(parser, event);
        if (err != CAIRN_OK)
            *reterr_line = reader.line;
    }
    if (err == CAIRN_OK && (fy_parser_get_stream_error(parser) || reader.depth > 0))
        err = parse_fault(diag, reader.line, reterr_line, error);
    if (err == CAIRN_OK && !reader.root) {
        reader.root = arena_zalloc(arena, sizeof *reader.root);
        if (reader.root)
            *reader.root = (struct yaml){.kind = YAML_MAP, .line = 1};
        else
            err = error_set(error, CAIRN_E_NOMEM, "out of memory reading YAML");
    }
    if (err == CAIRN_OK)
        *ret = reader.root;
done:
    fy_parser_destroy(parser);
    fy_diag_destroy(diag);
    return err;
}

/* ---- using it */

struct yaml *
yaml_get(const struct yaml *map, const char *name)
{
    return map && map->kind == YAML_MAP ? find_member(map, cairn_cstr(name)) : NULL;
}

static bool
scalar_is(const struct yaml *node, const char *text)
{
    return cairn_str_equal(node->text, cairn_cstr(text));
}

bool
yaml_is_null(const struct yaml *node)
{
    return node->kind == YAML_SCALAR && node->plain
           && (node->text.size == 0 || scalar_is(node, "~") || scalar_is(node, "null") || scalar_is(node, "Null")
               || scalar_is(node, "NULL"));
}

/* -1: neither. */
static int
truth(const struct yaml *node)
{
    if (scalar_is(node, "true") || scalar_is(node, "True") || scalar_is(node, "TRUE"))
        return 1;
    if (scalar_is(node, "false") || scalar_is(node, "False") || scalar_is(node, "FALSE"))
        return 0;
    return -1;
}

/* A number by the core schema (YAML 1.2.2, 10.3.2), but for .inf and .nan, which JSON has no word for. */
static bool
scalar_number(const struct yaml *node, double *ret)
{
    const char *text = node->text.data;
    size_t size = node->text.size, digits = 0, i = 0;
    char *end;
    if (size == 0 || size > 64)
        return false;
    if (size > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'o')) {
        unsigned long long whole = strtoull(text + 2, &end, text[1] == 'x' ? 16 : 8);
        *ret = (double)whole;
        return end == text + size && text[2] != '+' && text[2] != '-' && text[2] != ' ';
    }
    if (text[i] == '+' || text[i] == '-')
        i++;
    for (; i < size && text[i] >= '0' && text[i] <= '9'; i++)
        digits++;
    if (i < size && text[i] == '.')
        for (i++; i < size && text[i] >= '0' && text[i] <= '9'; i++)
            digits++;
    if (digits == 0)
        return false;
    if (i < size && (text[i] == 'e' || text[i] == 'E')) {
        size_t begin = ++i;
        if (i < size && (text[i] == '+' || text[i] == '-'))
            begin = ++i;
        while (i < size && text[i] >= '0' && text[i] <= '9')
            i++;
        if (i == begin)
            return false;
    }
    if (i != size)
        return false;
    *ret = strtod(text, NULL); /* a NUL follows the text, and base/ never changes the locale */
    return isfinite(*ret);
}

const char *
yaml_kind_name(const struct yaml *node)
{
    double number;
    if (node->kind == YAML_MAP)
        return "a mapping";
    if (node->kind == YAML_LIST)
        return "a list";
    if (yaml_is_null(node))
        return "nothing";
    if (node->plain && truth(node) >= 0)
        return truth(node) ? "true" : "false";
    return node->plain && scalar_number(node, &number) ? "a number" : "text";
}

static void
put_scalar(struct buf *to, const struct yaml *node)
{
    double number;
    struct json json;
    if (!node->plain)
        json_put_string(to, node->text);
    else if (yaml_is_null(node))
        buf_put_str(to, CAIRN_STR("null"));
    else if (truth(node) >= 0)
        buf_put_str(to, truth(node) ? CAIRN_STR("true") : CAIRN_STR("false"));
    else if (!scalar_number(node, &number))
        json_put_string(to, node->text);
    else if (json_check(node->text, &json, NULL) == CAIRN_OK)
        buf_put_str(to, json.raw); /* as it was written: no digit is lost */
    else if (number == floor(number) && fabs(number) < 9e15)
        json_put_i64(to, (int64_t)number);
    else
        json_put_double(to, number);
}

void
yaml_put_json(struct buf *to, const struct yaml *node)
{
    if (node->kind == YAML_SCALAR) {
        put_scalar(to, node);
        return;
    }
    buf_put_char(to, node->kind == YAML_MAP ? '{' : '[');
    for (const struct yaml *at = node->first; at; at = at->next) {
        if (at != node->first)
            buf_put_char(to, ',');
        if (node->kind == YAML_MAP) {
            json_put_string(to, at->name);
            buf_put_char(to, ':');
        }
        yaml_put_json(to, at);
    }
    buf_put_char(to, node->kind == YAML_MAP ? '}' : ']');
}

/* Does a pointer's token (RFC 6901, "~1" is "/") say this name? */
static bool
token_is(cairn_str token, cairn_str name)
{
    size_t at = 0;
    for (size_t i = 0; i < token.size; i++) {
        char c = token.data[i];
        if (c == '~' && i + 1 < token.size)
            c = token.data[++i] == '1' ? '/' : '~';
        if (at >= name.size || name.data[at++] != c)
            return false;
    }
    return at == name.size;
}

uint32_t
yaml_pointer_line(const struct yaml *node, cairn_str pointer)
{
    uint32_t line = node->line;
    while (pointer.size > 0 && pointer.data[0] == '/') {
        const char *end = memchr(pointer.data + 1, '/', pointer.size - 1);
        size_t size = end ? (size_t)(end - pointer.data - 1) : pointer.size - 1;
        cairn_str token = {pointer.data + 1, size};
        uint64_t index = 0;
        struct yaml *at = node->first;
        if (node->kind == YAML_LIST)
            for (uint64_t i = parse_u64(token, &index) ? index : UINT64_MAX; at && i > 0; i--)
                at = at->next;
        else
            while (at && !token_is(token, at->name))
                at = at->next;
        if (!at)
            break;
        node = at;
        line = at->name_line ? at->name_line : at->line;
        pointer.data += size + 1;
        pointer.size -= size + 1;
    }
    return line;
}
