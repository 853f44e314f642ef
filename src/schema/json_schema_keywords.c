/* Keywords become rules: a table of keywords, each with the vocabulary and the drafts it belongs to.
 *
 * A keyword whose value is of the wrong kind refuses the schema; one that is not in the table is an annotation. */
#include <schema/json_schema_int.h>

struct in {
    struct js_compile *compile;
    struct js_node *node;
    const char *keyword;
};

/* What keeps "a misspelt keyword is silently nothing" away is the caller's business; here unknown ones are allowed. */
struct keyword {
    const char *name;
    uint8_t drafts;
    uint8_t vocabulary;
    cairn_err (*compile)(const struct in *in, struct json value);
};
enum { D7 = 1, D20 = 2, BOTH = 3 };

static const struct json no_name = {JSON_NONE, {NULL, 0}};

#define refuse(in, ...) js_refuse((in)->compile, (in)->node, (in)->keyword, CAIRN_E_INVALID, __VA_ARGS__)

static cairn_err
no_memory(const struct in *in)
{
    return error_set(in->compile->error, CAIRN_E_NOMEM, "no memory to compile the schema");
}

static void *
part(const struct in *in, size_t size)
{
    return arena_zalloc(&in->compile->schema->arena, size);
}

static struct js_number *
number_of(const struct in *in)
{
    if (!in->node->number)
        in->node->number = part(in, sizeof *in->node->number);
    return in->node->number;
}

static struct js_string *
string_of(const struct in *in)
{
    if (!in->node->string && (in->node->string = part(in, sizeof *in->node->string)))
        in->node->string->max = UINT64_MAX;
    return in->node->string;
}

static struct js_array *
array_of(const struct in *in)
{
    struct js_array *array = in->node->array;
    if (!array && (array = part(in, sizeof *array))) {
        array->max = array->contains_max = UINT64_MAX;
        array->contains_min = 1;
        in->node->array = array;
    }
    return array;
}

static struct js_object *
object_of(const struct in *in)
{
    if (!in->node->object && (in->node->object = part(in, sizeof *in->node->object)))
        in->node->object->max = UINT64_MAX;
    return in->node->object;
}

static struct js_logic *
logic_of(const struct in *in)
{
    if (!in->node->logic)
        in->node->logic = part(in, sizeof *in->node->logic);
    return in->node->logic;
}

/* ---- values of keywords */

static cairn_err
child(const struct in *in, struct json value, struct js_node **ret)
{
    return js_child(in->compile, in->node, value, in->keyword, no_name, SIZE_MAX, ret);
}

static cairn_err
schema_list(const struct in *in, struct json value, struct js_list *ret)
{
    struct json name, item;
    size_t count = json_count(value), i = 0;
    if (value.type != JSON_ARRAY || count == 0)
        return refuse(in, "must be an array of at least one schema");
    struct js_node **items = part(in, count * sizeof *items);
    if (!items)
        return no_memory(in);
    for (struct json_walk walk = json_walk(value); json_next(&walk, &name, &item); i++) {
        cairn_err err = js_child(in->compile, in->node, item, in->keyword, no_name, i, &items[i]);
        if (err != CAIRN_OK)
            return err;
    }
    *ret = (struct js_list){items, count};
    return CAIRN_OK;
}

static cairn_err
name_list(const struct in *in, struct json value, const cairn_str **ret, size_t *ret_count)
{
    struct json name, item;
    size_t count = json_count(value), i = 0;
    if (value.type != JSON_ARRAY)
        return refuse(in, "must be an array of names");
    cairn_str *names = part(in, count * sizeof *names);
    if (!names)
        return no_memory(in);
    for (struct json_walk walk = json_walk(value); json_next(&walk, &name, &item); i++) {
        if (item.type != JSON_STRING)
            return refuse(in, "must be an array of names; item %zu is no string", i);
        names[i] = js_text(item, &in->compile->schema->arena);
        if (!names[i].data)
            return no_memory(in);
    }
    *ret = names;
    *ret_count = count;
    return CAIRN_OK;
}

static cairn_err
count_value(const struct in *in, struct json value, uint64_t *ret)
{
    struct json_decimal decimal = js_decimal(value);
    if (value.type == JSON_NUMBER && js_is_integer(value) && !decimal.negative) {
        if (!json_u64(value, ret))
            *ret = UINT64_MAX;
        return CAIRN_OK;
    }
    return refuse(in, "must be a whole number, 0 or more");
}

static cairn_err
bound_value(const struct in *in, struct json value, bool *ret_has, struct js_bound *ret)
{
    if (value.type != JSON_NUMBER)
        return refuse(in, "must be a number");
    ret->json = value;
    ret->decimal = js_decimal(value);
    ret->plain = js_plain_i64(value, &ret->whole);
    *ret_has = true;
    return CAIRN_OK;
}

/* ---- any value */

static cairn_err
on_type(const struct in *in, struct json value)
{
    static const struct {
        const char *name;
        uint8_t bits;
    } types[] = {{"null", JS_NULL}, {"boolean", JS_BOOLEAN}, {"integer", JS_INTEGER}, {"number", JS_NUMBER | JS_INTEGER},
                 {"string", JS_STRING}, {"array", JS_ARRAY}, {"object", JS_OBJECT}};
    struct json name, item = value;
    struct json_walk walk = json_walk(value);
    uint8_t bits = 0;
    bool list = value.type == JSON_ARRAY, more = !list || json_next(&walk, &name, &item);
    while (more) {
        uint8_t bit = 0;
        for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
            if (json_string_is(item, types[i].name))
                bit = types[i].bits;
        if (!bit)
            return refuse(in, "must be null, boolean, integer, number, string, array or object, or a list of these");
        bits |= bit;
        more = list && json_next(&walk, &name, &item);
    }
    if (!bits)
        return refuse(in, "must name at least one type");
    in->node->types = bits;
    return CAIRN_OK;
}

static cairn_err
hash_constant(const struct in *in, struct json value, uint64_t *ret)
{
    int64_t steps = INT64_MAX;
    struct js_compare compare = {.arena = &in->compile->scratch, .steps = &steps};
    *ret = js_hash(&compare, value);
    return compare.nomem ? no_memory(in) : CAIRN_OK;
}

static cairn_err
on_enum(const struct in *in, struct json value)
{
    struct js_logic *logic = logic_of(in);
    struct json name, item;
    size_t count = json_count(value), i = 0;
    if (value.type != JSON_ARRAY)
        return refuse(in, "must be an array of the values allowed");
    struct json *values = part(in, count * sizeof *values);
    uint64_t *hashes = part(in, count * sizeof *hashes);
    if (!logic || !values || !hashes)
        return no_memory(in);
    for (struct json_walk walk = json_walk(value); json_next(&walk, &name, &item); i++) {
        values[i] = item;
        cairn_err err = hash_constant(in, item, &hashes[i]);
        if (err != CAIRN_OK)
            return err;
    }
    logic->values = values;
    logic->hashes = hashes;
    logic->value_count = count;
    return CAIRN_OK;
}

static cairn_err
on_const(const struct in *in, struct json value)
{
    struct js_logic *logic = logic_of(in);
    if (!logic)
        return no_memory(in);
    logic->constant = value;
    return hash_constant(in, value, &logic->constant_hash);
}

/* ---- numbers */

#define BOUND(field)                                                                                              \
    static cairn_err on_##field(const struct in *in, struct json value)                                           \
    {                                                                                                             \
        struct js_number *number = number_of(in);                                                                 \
        return number ? bound_value(in, value, &number->has_##field, &number->field) : no_memory(in);             \
    }
BOUND(minimum)
BOUND(maximum)
BOUND(more)
BOUND(less)

static cairn_err
on_multiple(const struct in *in, struct json value)
{
    struct js_number *number = number_of(in);
    if (!number)
        return no_memory(in);
    cairn_err err = bound_value(in, value, &number->has_multiple, &number->multiple);
    if (err != CAIRN_OK)
        return err;
    if (number->multiple.decimal.digits == 0 || number->multiple.decimal.negative)
        return refuse(in, "must be above 0");
    if (number->multiple.decimal.digits > JS_DIVISOR_DIGITS)
        return js_refuse(in->compile, in->node, in->keyword, CAIRN_E_LIMIT, "has more than %d digits", JS_DIVISOR_DIGITS);
    return CAIRN_OK;
}

/* ---- strings */

static cairn_err
on_min_length(const struct in *in, struct json value)
{
    return string_of(in) ? count_value(in, value, &string_of(in)->min) : no_memory(in);
}

static cairn_err
on_max_length(const struct in *in, struct json value)
{
    return string_of(in) ? count_value(in, value, &string_of(in)->max) : no_memory(in);
}

static cairn_err
compile_pattern(const struct in *in, cairn_str text, const struct js_pattern **ret)
{
    char message[200];
    cairn_err err = js_pattern_compile(in->compile->schema, text, ret, message, sizeof message);
    if (err == CAIRN_E_NOMEM)
        return no_memory(in);
    return err == CAIRN_OK ? CAIRN_OK : js_refuse(in->compile, in->node, in->keyword, err, "%s", message);
}

static cairn_err
on_pattern(const struct in *in, struct json value)
{
    struct js_string *string = string_of(in);
    if (value.type != JSON_STRING)
        return refuse(in, "must be a string");
    if (!string)
        return no_memory(in);
    string->pattern_text = js_text(value, &in->compile->schema->arena);
    return string->pattern_text.data ? compile_pattern(in, string->pattern_text, &string->pattern) : no_memory(in);
}

static cairn_err
on_format(const struct in *in, struct json value)
{
    if (value.type != JSON_STRING)
        return refuse(in, "must be a string");
    if (!in->node->resource->formats)
        return CAIRN_OK;
    struct js_string *string = string_of(in);
    cairn_str name = js_text(value, &in->compile->scratch);
    if (!string || !name.data)
        return no_memory(in);
    string->format = js_format_find(name);
    return CAIRN_OK;
}

/* ---- arrays */

static cairn_err
on_min_items(const struct in *in, struct json value)
{
    return array_of(in) ? count_value(in, value, &array_of(in)->min) : no_memory(in);
}

static cairn_err
on_max_items(const struct in *in, struct json value)
{
    return array_of(in) ? count_value(in, value, &array_of(in)->max) : no_memory(in);
}

static cairn_err
on_unique(const struct in *in, struct json value)
{
    if (value.type != JSON_TRUE && value.type != JSON_FALSE)
        return refuse(in, "must be true or false");
    if (!array_of(in))
        return no_memory(in);
    array_of(in)->unique = value.type == JSON_TRUE;
    return CAIRN_OK;
}

static cairn_err
on_prefix(const struct in *in, struct json value)
{
    struct js_array *array = array_of(in);
    struct js_list list = {NULL, 0};
    if (!array)
        return no_memory(in);
    if (value.type == JSON_ARRAY && json_count(value) == 0) /* draft 7 allows "items": [] */
        return CAIRN_OK;
    cairn_err err = schema_list(in, value, &list);
    array->prefix = list.items;
    array->prefix_count = list.count;
    return err;
}

static cairn_err
on_items(const struct in *in, struct json value)
{
    struct js_array *array = array_of(in);
    if (!array)
        return no_memory(in);
    if (value.type == JSON_ARRAY) {
        if (in->node->resource->draft != JSON_SCHEMA_7)
            return refuse(in, "must be a schema; a list of schemas is \"prefixItems\" since 2020-12");
        return on_prefix(in, value);
    }
    array->rest_keyword = "items";
    return child(in, value, &array->rest);
}

/* Draft 7: counts only beside an array of "items". */
static cairn_err
on_additional_items(const struct in *in, struct json value)
{
    struct js_array *array = array_of(in);
    struct js_node *node;
    if (!array)
        return no_memory(in);
    cairn_err err = child(in, value, &node);
    if (err == CAIRN_OK && json_get(in->node->source, "items").type == JSON_ARRAY) {
        array->rest = node;
        array->rest_keyword = "additionalItems";
    }
    return err;
}

static cairn_err
on_contains(const struct in *in, struct json value)
{
    return array_of(in) ? child(in, value, &array_of(in)->contains) : no_memory(in);
}

static cairn_err
on_min_contains(const struct in *in, struct json value)
{
    return array_of(in) ? count_value(in, value, &array_of(in)->contains_min) : no_memory(in);
}

static cairn_err
on_max_contains(const struct in *in, struct json value)
{
    return array_of(in) ? count_value(in, value, &array_of(in)->contains_max) : no_memory(in);
}

static cairn_err
on_unevaluated_items(const struct in *in, struct json value)
{
    return child(in, value, &in->node->unevaluated_items);
}

/* ---- objects */

static cairn_err
on_min_properties(const struct in *in, struct json value)
{
    return object_of(in) ? count_value(in, value, &object_of(in)->min) : no_memory(in);
}

static cairn_err
on_max_properties(const struct in *in, struct json value)
{
    return object_of(in) ? count_value(in, value, &object_of(in)->max) : no_memory(in);
}

static cairn_err
on_properties(const struct in *in, struct json value)
{
    if (value.type != JSON_OBJECT)
        return refuse(in, "must be an object of schemas");
    if (!object_of(in))
        return no_memory(in);
    object_of(in)->properties_json = value;
    return CAIRN_OK;
}

static cairn_err
on_required(const struct in *in, struct json value)
{
    if (value.type != JSON_ARRAY)
        return refuse(in, "must be an array of names");
    if (!object_of(in))
        return no_memory(in);
    object_of(in)->required_json = value;
    return CAIRN_OK;
}

static cairn_err
on_pattern_properties(const struct in *in, struct json value)
{
    struct js_object *object = object_of(in);
    struct json name, item;
    size_t count = json_count(value), i = 0;
    if (value.type != JSON_OBJECT)
        return refuse(in, "must be an object of schemas");
    struct js_pattern_property *patterns = part(in, count * sizeof *patterns);
    if (!object || !patterns)
        return no_memory(in);
    for (struct json_walk walk = json_walk(value); json_next(&walk, &name, &item); i++) {
        patterns[i].text = js_text(name, &in->compile->schema->arena);
        if (!patterns[i].text.data)
            return no_memory(in);
        cairn_err err = compile_pattern(in, patterns[i].text, &patterns[i].pattern);
        if (err == CAIRN_OK)
            err = js_child(in->compile, in->node, item, in->keyword, name, SIZE_MAX, &patterns[i].node);
        if (err != CAIRN_OK)
            return err;
    }
    object->patterns = patterns;
    object->pattern_count = count;
    return CAIRN_OK;
}

static cairn_err
on_additional(const struct in *in, struct json value)
{
    return object_of(in) ? child(in, value, &object_of(in)->additional) : no_memory(in);
}

static cairn_err
on_names(const struct in *in, struct json value)
{
    return object_of(in) ? child(in, value, &object_of(in)->names) : no_memory(in);
}

/* dependentSchemas, dependentRequired, and the "dependencies" that both come from. They add up. */
static cairn_err
on_dependents(const struct in *in, struct json value)
{
    struct js_object *object = object_of(in);
    struct json name, item;
    if (value.type != JSON_OBJECT)
        return refuse(in, "must be an object");
    if (!object)
        return no_memory(in);
    size_t count = object->dependent_count;
    struct js_dependent *all = part(in, (count + json_count(value)) * sizeof *all);
    if (!all)
        return no_memory(in);
    if (count)
        memcpy(all, object->dependents, count * sizeof *all);
    for (struct json_walk walk = json_walk(value); json_next(&walk, &name, &item); count++) {
        struct js_dependent *one = &all[count];
        bool names = strcmp(in->keyword, "dependentRequired") == 0 ||
                     (strcmp(in->keyword, "dependencies") == 0 && item.type == JSON_ARRAY);
        one->keyword = in->keyword;
        one->name = js_text(name, &in->compile->schema->arena);
        if (!one->name.data)
            return no_memory(in);
        cairn_err err = names ? name_list(in, item, &one->names, &one->name_count)
                              : js_child(in->compile, in->node, item, in->keyword, name, SIZE_MAX, &one->node);
        if (err != CAIRN_OK)
            return err;
    }
    object->dependents = all;
    object->dependent_count = count;
    return CAIRN_OK;
}

static cairn_err
on_unevaluated_properties(const struct in *in, struct json value)
{
    return child(in, value, &in->node->unevaluated_properties);
}

/* ---- logic */

#define LOGIC_CHILD(name, field)                                                                                  \
    static cairn_err name(const struct in *in, struct json value)                                                 \
    {                                                                                                             \
        return logic_of(in) ? child(in, value, &logic_of(in)->field) : no_memory(in);                             \
    }
#define LOGIC_LIST(name, field)                                                                                   \
    static cairn_err name(const struct in *in, struct json value)                                                 \
    {                                                                                                             \
        return logic_of(in) ? schema_list(in, value, &logic_of(in)->field) : no_memory(in);                       \
    }
LOGIC_LIST(on_all, all)
LOGIC_LIST(on_any, any)
LOGIC_LIST(on_one, one)
LOGIC_CHILD(on_not, not)
LOGIC_CHILD(on_if, if_)
LOGIC_CHILD(on_then, then)
LOGIC_CHILD(on_else, else_)

static cairn_err
on_ref(const struct in *in, struct json value)
{
    cairn_str anchor;
    if (!logic_of(in))
        return no_memory(in);
    return js_reference(in->compile, in->node, in->keyword, value, &logic_of(in)->ref, &anchor);
}

static cairn_err
on_dynamic_ref(const struct in *in, struct json value)
{
    if (!logic_of(in))
        return no_memory(in);
    in->compile->schema->dynamic = true;
    return js_reference(in->compile, in->node, in->keyword, value, &logic_of(in)->dynamic_ref,
                        &logic_of(in)->dynamic_name);
}

/* ---- the rest */

static cairn_err
on_text(const struct in *in, struct json value)
{
    return value.type == JSON_STRING ? CAIRN_OK : refuse(in, "must be a string");
}

/* Schemas that nothing here applies; yet they must be schemas, so that a mistake is seen now. */
static cairn_err
on_definitions(const struct in *in, struct json value)
{
    struct json name, item;
    if (value.type != JSON_OBJECT)
        return refuse(in, "must be an object of schemas");
    for (struct json_walk walk = json_walk(value); json_next(&walk, &name, &item);) {
        struct js_node *node;
        cairn_err err = js_child(in->compile, in->node, item, in->keyword, name, SIZE_MAX, &node);
        if (err != CAIRN_OK)
            return err;
    }
    return CAIRN_OK;
}

enum { CORE = JS_VOCABULARY_CORE, APPLY = JS_VOCABULARY_APPLICATOR, CHECK = JS_VOCABULARY_VALIDATION,
       REST = JS_VOCABULARY_UNEVALUATED };

static const struct keyword keywords[] = {
    {"type", BOTH, CHECK, on_type},
    {"properties", BOTH, APPLY, on_properties},
    {"required", BOTH, CHECK, on_required},
    {"additionalProperties", BOTH, APPLY, on_additional},
    {"items", BOTH, APPLY, on_items},
    {"enum", BOTH, CHECK, on_enum},
    {"const", BOTH, CHECK, on_const},
    {"minLength", BOTH, CHECK, on_min_length},
    {"maxLength", BOTH, CHECK, on_max_length},
    {"pattern", BOTH, CHECK, on_pattern},
    {"format", BOTH, JS_VOCABULARY_FORMAT, on_format},
    {"minimum", BOTH, CHECK, on_minimum},
    {"maximum", BOTH, CHECK, on_maximum},
    {"exclusiveMinimum", BOTH, CHECK, on_more},
    {"exclusiveMaximum", BOTH, CHECK, on_less},
    {"multipleOf", BOTH, CHECK, on_multiple},
    {"minItems", BOTH, CHECK, on_min_items},
    {"maxItems", BOTH, CHECK, on_max_items},
    {"uniqueItems", BOTH, CHECK, on_unique},
    {"additionalItems", D7, APPLY, on_additional_items},
    {"prefixItems", D20, APPLY, on_prefix},
    {"contains", BOTH, APPLY, on_contains},
    {"minContains", D20, CHECK, on_min_contains},
    {"maxContains", D20, CHECK, on_max_contains},
    {"minProperties", BOTH, CHECK, on_min_properties},
    {"maxProperties", BOTH, CHECK, on_max_properties},
    {"patternProperties", BOTH, APPLY, on_pattern_properties},
    {"propertyNames", BOTH, APPLY, on_names},
    {"dependencies", BOTH, APPLY, on_dependents},
    {"dependentSchemas", D20, APPLY, on_dependents},
    {"dependentRequired", D20, CHECK, on_dependents},
    {"unevaluatedItems", D20, REST, on_unevaluated_items},
    {"unevaluatedProperties", D20, REST, on_unevaluated_properties},
    {"allOf", BOTH, APPLY, on_all},
    {"anyOf", BOTH, APPLY, on_any},
    {"oneOf", BOTH, APPLY, on_one},
    {"not", BOTH, APPLY, on_not},
    {"if", BOTH, APPLY, on_if},
    {"then", BOTH, APPLY, on_then},
    {"else", BOTH, APPLY, on_else},
    {"$ref", BOTH, CORE, on_ref},
    {"$dynamicRef", D20, CORE, on_dynamic_ref},
    {"$defs", D20, CORE, on_definitions},
    {"definitions", BOTH, CORE, on_definitions},
    {"$id", BOTH, CORE, on_text},
    {"$schema", BOTH, CORE, on_text},
    {"$anchor", D20, CORE, on_text},
    {"$dynamicAnchor", D20, CORE, on_text},
    {"$comment", BOTH, CORE, on_text},
};

static const struct keyword *
find_keyword(struct json name)
{
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++) {
        size_t size = strlen(keywords[i].name);
        if (name.raw.size == size + 2 && memcmp(name.raw.data + 1, keywords[i].name, size) == 0)
            return &keywords[i];
        if (name.raw.size > size + 2 && json_string_is(name, keywords[i].name)) /* written with escapes */
            return &keywords[i];
    }
    return NULL;
}

/* ---- properties and required become one table */

static uint32_t *
property_slot(const struct js_object *object, cairn_str name)
{
    for (size_t i = (size_t)hash64(name.data, name.size, 0);; i++) {
        uint32_t *slot = &object->slots[i & object->slot_mask];
        if (*slot == 0 || cairn_str_equal(object->properties[*slot - 1].name, name))
            return slot;
    }
}

/* The property of that name, added where it is new; NULL when out of memory. */
static struct js_property *
add_property(const struct in *in, struct js_object *object, struct json name, bool *ret_new)
{
    cairn_str text = js_text(name, &in->compile->schema->arena);
    if (!text.data)
        return NULL;
    uint32_t *slot = property_slot(object, text);
    *ret_new = *slot == 0;
    if (*slot == 0) {
        *slot = ++object->property_count;
        object->properties[*slot - 1] = (struct js_property){.name = text, .required = -1};
    }
    return &object->properties[*slot - 1];
}

static cairn_err
finish_object(const struct in *in, struct js_object *object)
{
    struct json name, item;
    bool new;
    size_t most = json_count(object->properties_json) + json_count(object->required_json), slots = 4;
    if (most == 0)
        return CAIRN_OK;
    while (slots < most * 2)
        slots *= 2;
    object->slots = part(in, slots * sizeof *object->slots);
    object->slot_mask = (uint32_t)slots - 1;
    object->properties = part(in, most * sizeof *object->properties);
    if (!object->slots || !object->properties)
        return no_memory(in);
    for (struct json_walk walk = json_walk(object->properties_json); json_next(&walk, &name, &item);) {
        struct js_property *property = add_property(in, object, name, &new);
        if (!property)
            return no_memory(in);
        if (!new)
            return js_refuse(in->compile, in->node, "properties", CAIRN_E_INVALID, "%.*s is there twice",
                             (int)(property->name.size > 100 ? 100 : property->name.size), property->name.data);
        cairn_err err = js_child(in->compile, in->node, item, "properties", name, SIZE_MAX, &property->node);
        if (err != CAIRN_OK)
            return err;
    }
    for (struct json_walk walk = json_walk(object->required_json); json_next(&walk, &name, &item);) {
        if (item.type != JSON_STRING)
            return js_refuse(in->compile, in->node, "required", CAIRN_E_INVALID, "must be an array of names");
        struct js_property *property = add_property(in, object, item, &new);
        if (!property)
            return no_memory(in);
        if (property->required < 0)
            property->required = (int32_t)object->required_count++;
    }
    return CAIRN_OK;
}

/* A schema that can refuse nothing is not looked at again. */
static bool
says_nothing(const struct js_node *node)
{
    return node->types == JS_ANY && !node->number && !node->string && !node->array && !node->object && !node->logic &&
           !node->unevaluated_items && !node->unevaluated_properties;
}

cairn_err
js_compile_keywords(struct js_compile *compile, struct js_node *node)
{
    if (node->source.type != JSON_OBJECT) {
        node->is_true = node->source.type == JSON_TRUE;
        node->is_false = node->source.type == JSON_FALSE;
        return CAIRN_OK;
    }
    const struct js_resource *resource = node->resource;
    uint8_t draft = resource->draft == JSON_SCHEMA_7 ? D7 : D20;
    bool only_ref = draft == D7 && json_get(node->source, "$ref").type == JSON_STRING;
    struct in in = {compile, node, NULL};
    struct json name, value;
    cairn_err err = CAIRN_OK;
    for (struct json_walk walk = json_walk(node->source); err == CAIRN_OK && json_next(&walk, &name, &value);) {
        const struct keyword *keyword = find_keyword(name);
        if (!keyword || !(keyword->drafts & draft) || !(keyword->vocabulary & resource->vocabularies))
            continue;
        if (only_ref && keyword->compile != on_ref) /* draft 7: its siblings are ignored */
            continue;
        in.keyword = keyword->name;
        err = keyword->compile(&in, value);
    }
    if (err == CAIRN_OK && node->object)
        err = finish_object(&in, node->object);
    node->is_true = says_nothing(node);
    return err;
}
