/* Write a schema in its canonical forms, and hold defaults to their types.
 *
 * Parsing Canonical Form: full names, primitives as plain names, only name, type, fields, symbols, items, values, size, in
 * that order. The whole form adds every other attribute, by name. A type of another document is only named. */
#include <schema/avro_int.h>

#include <stdlib.h>

/* ---- defaults */

static bool value_fits(struct avro_fitting *fitting, const struct avro_node *node, struct json value, unsigned depth);

/* False: there were too many steps, and the answer is of no use. */
static bool
step(struct avro_fitting *fitting)
{
    fitting->too_many = fitting->steps++ >= AVRO_STEPS_MAX;
    return !fitting->too_many;
}

/* A field's own default, looked at once: records whose fields fall back on each other would otherwise be gone through in every way
 * there is. One that needs itself has no end, and fits nothing. */
static bool
fallback_fits(struct avro_fitting *fitting, struct avro_field *field, unsigned depth)
{
    if (field->fit == AVRO_FIT_UNKNOWN) {
        field->fit = AVRO_FIT_NOT;
        if (value_fits(fitting, field->type, field->fallback, depth))
            field->fit = AVRO_FIT_YES;
    }
    return field->fit == AVRO_FIT_YES;
}

static bool
record_fits(struct avro_fitting *fitting, const struct avro_node *node, struct json value, unsigned depth)
{
    if (value.type != JSON_OBJECT)
        return false;
    for (size_t i = 0; i < node->field_count; i++) {
        struct avro_field *field = &node->fields[i];
        struct json name, item, found = {.type = JSON_NONE};
        for (struct json_walk walk = json_walk(value); found.type == JSON_NONE && json_next(&walk, &name, &item);) {
            if (!step(fitting))
                return false;
            if (cairn_str_equal(js_text(name, fitting->arena), field->name))
                found = item;
        }
        if (found.type != JSON_NONE ? !value_fits(fitting, field->type, found, depth + 1)
                                    : field->fallback.type == JSON_NONE || !fallback_fits(fitting, field, depth + 1))
            return false;
    }
    return true;
}

static bool
items_fit(struct avro_fitting *fitting, const struct avro_node *node, struct json value, unsigned depth)
{
    struct json item;
    if (value.type != (node->type == AVRO_ARRAY ? JSON_ARRAY : JSON_OBJECT))
        return false;
    for (struct json_walk walk = json_walk(value); json_next(&walk, NULL, &item);)
        if (!value_fits(fitting, node->item, item, depth + 1))
            return false;
    return true;
}

/* Bytes are written as code points up to U+00FF. */
static bool
bytes_fit(struct json value, uint64_t size, struct arena *arena)
{
    cairn_str text = js_text(value, arena);
    if (value.type != JSON_STRING || !text.data || (size != UINT64_MAX && js_length(value) != size))
        return false;
    for (size_t i = 0; i < text.size; i++)
        if ((uint8_t)text.data[i] > 0xC3)
            return false;
    return true;
}

static bool
value_fits(struct avro_fitting *fitting, const struct avro_node *node, struct json value, unsigned depth)
{
    int64_t whole;
    double number;
    if (depth > JSON_DEPTH_MAX || !step(fitting))
        return false;
    switch (node->type) {
    case AVRO_NULL: return value.type == JSON_NULL;
    case AVRO_BOOLEAN: return value.type == JSON_TRUE || value.type == JSON_FALSE;
    case AVRO_INT: return json_i64(value, &whole) && whole >= INT32_MIN && whole <= INT32_MAX;
    case AVRO_LONG: return json_i64(value, &whole);
    case AVRO_FLOAT:
    case AVRO_DOUBLE:
        return json_double(value, &number) || json_string_is(value, "NaN") || json_string_is(value, "Infinity") ||
               json_string_is(value, "-Infinity");
    case AVRO_STRING: return value.type == JSON_STRING;
    case AVRO_BYTES: return bytes_fit(value, UINT64_MAX, fitting->arena);
    case AVRO_FIXED: return bytes_fit(value, node->size, fitting->arena);
    case AVRO_ENUM: return value.type == JSON_STRING && avro_symbol(node, js_text(value, fitting->arena)) >= 0;
    case AVRO_RECORD: return record_fits(fitting, node, value, depth);
    case AVRO_ARRAY:
    case AVRO_MAP: return items_fit(fitting, node, value, depth);
    case AVRO_UNION:
        for (size_t i = 0; i < node->branch_count; i++)
            if (value_fits(fitting, node->branches[i], value, depth + 1))
                return true;
        return false;
    }
    return false;
}

bool
avro_default_fits(struct avro_fitting *fitting, struct avro_field *field)
{
    return fallback_fits(fitting, field, 0);
}

/* ---- canonical forms */

struct writer {
    const struct avro_schema *schema;
    enum avro_form form;
    struct buf *to;
    uint8_t *written; /* a bit a node */
    struct arena scratch;
};

static void put_node(struct writer *writer, const struct avro_node *node);

struct attribute {
    cairn_str name;
    struct json value;
};

static int
by_name(const void *a, const void *b)
{
    const struct attribute *x = a, *y = b;
    return cairn_str_order(x->name, y->name);
}

static bool
is_one_of(cairn_str name, const char *const *names)
{
    for (; *names; names++)
        if (cairn_str_equal(name, cairn_cstr(*names)))
            return true;
    return false;
}

/* What is written in its own way, where it means something. */
static const char *const own_of_types[] = {"name", "namespace", "type", "fields", "symbols", "items", "values", "size", "aliases", NULL};

/* What else an object said, by name. Those that are written in their own way are left out. */
static void
put_others(struct writer *writer, struct json source, const char *const *own)
{
    struct json name, value;
    size_t count = 0;
    if (writer->form != AVRO_WHOLE || source.type != JSON_OBJECT)
        return;
    struct attribute *list = arena_alloc(&writer->scratch, (json_count(source) + 1) * sizeof *list);
    if (!list) {
        writer->to->failed = true;
        return;
    }
    for (struct json_walk walk = json_walk(source); json_next(&walk, &name, &value);) {
        cairn_str text = js_text(name, &writer->scratch);
        writer->to->failed |= !text.data;
        if (!is_one_of(text, own))
            list[count++] = (struct attribute){text, value};
    }
    qsort(list, count, sizeof *list, by_name);
    for (size_t i = 0; i < count; i++) {
        json_put_comma(writer->to);
        json_put_string(writer->to, list[i].name);
        buf_put_char(writer->to, ':');
        json_put_compact(writer->to, list[i].value.raw);
    }
}

static void
put_aliases(struct writer *writer, const cairn_str *aliases, size_t count)
{
    if (writer->form == AVRO_WHOLE && count)
        json_put_texts_member(writer->to, "aliases", aliases, count);
}

static void
put_fields(struct writer *writer, const struct avro_node *node)
{
    static const char *const own[] = {"name", "type", "aliases", NULL};
    json_put_name(writer->to, "fields");
    buf_put_char(writer->to, '[');
    for (size_t i = 0; i < node->field_count; i++) {
        const struct avro_field *field = &node->fields[i];
        json_put_comma(writer->to);
        buf_put_char(writer->to, '{');
        json_put_text_member(writer->to, "name", field->name);
        json_put_name(writer->to, "type");
        put_node(writer, field->type);
        put_aliases(writer, field->aliases, field->alias_count);
        put_others(writer, field->source, own);
        buf_put_char(writer->to, '}');
    }
    buf_put_char(writer->to, ']');
}

static void
put_union(struct writer *writer, const struct avro_node *node)
{
    buf_put_char(writer->to, '[');
    for (size_t i = 0; i < node->branch_count; i++) {
        json_put_comma(writer->to);
        put_node(writer, node->branches[i]);
    }
    buf_put_char(writer->to, ']');
}

/* A primitive of which nothing is kept but its type. */
static bool
is_plain(struct writer *writer, const struct avro_node *node)
{
    struct json name, value;
    if (node->type >= AVRO_PRIMITIVES)
        return false;
    if (writer->form == AVRO_WHOLE && node->source.type == JSON_OBJECT)
        for (struct json_walk walk = json_walk(node->source); json_next(&walk, &name, &value);)
            if (!is_one_of(js_text(name, &writer->scratch), own_of_types))
                return false;
    return true;
}

static void
put_object(struct writer *writer, const struct avro_node *node)
{
    buf_put_char(writer->to, '{');
    if (node->name.size)
        json_put_text_member(writer->to, "name", node->name);
    json_put_text_member(writer->to, "type", cairn_cstr(avro_type_names[node->type]));
    if (node->type == AVRO_RECORD)
        put_fields(writer, node);
    if (node->type == AVRO_ENUM)
        json_put_texts_member(writer->to, "symbols", node->symbols, node->symbol_count);
    if (node->item) {
        json_put_name(writer->to, node->type == AVRO_ARRAY ? "items" : "values");
        put_node(writer, node->item);
    }
    if (node->type == AVRO_FIXED)
        json_put_u64_member(writer->to, "size", node->size);
    put_aliases(writer, node->aliases, node->alias_count);
    put_others(writer, node->source, own_of_types);
    buf_put_char(writer->to, '}');
}

/* Goes as deep as the text: a named type is written once. */
static void
put_node(struct writer *writer, const struct avro_node *node)
{
    if (node->type == AVRO_UNION) {
        put_union(writer, node);
        return;
    }
    if (is_plain(writer, node)) {
        json_put_string(writer->to, cairn_cstr(avro_type_names[node->type]));
        return;
    }
    bool known = node->document + 1 != writer->schema->document_count || writer->written[node->number / 8] >> node->number % 8 & 1;
    if (node->name.size && known) {
        json_put_string(writer->to, node->name);
        return;
    }
    writer->written[node->number / 8] |= (uint8_t)(1u << node->number % 8);
    put_object(writer, node);
}

void
avro_put_text(const struct avro_schema *schema, enum avro_form form, struct buf *to)
{
    struct writer writer = {.schema = schema, .form = form, .to = to};
    writer.written = arena_zalloc(&writer.scratch, schema->node_count / 8 + 1);
    if (writer.written)
        put_node(&writer, schema->root);
    else
        to->failed = true;
    arena_free(&writer.scratch);
}
