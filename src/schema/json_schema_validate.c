/* Validate a value by compiled rules.
 *
 * js_check() applies one node to one value: the type, then what its type calls for, then logic, and last what is left
 * unevaluated. Faults are written where they are found, unless somebody only asks whether (run->quiet: a branch of anyOf,
 * not, if), when the first one ends it. Nothing is allocated on the way to "valid" for plain schemas.
 *
 * Bounds: run->steps falls with each node, member and comparison; run->depth bounds the C stack. Either ends everything
 * with run->err. Any number of threads, each with its own run. */
#include <schema/json_schema_int.h>

#include <stdarg.h>
#include <stdio.h>

const uint8_t js_type_bits[] = {
    [JSON_NONE] = 0, [JSON_NULL] = JS_NULL, [JSON_FALSE] = JS_BOOLEAN, [JSON_TRUE] = JS_BOOLEAN,
    [JSON_NUMBER] = JS_NUMBER, [JSON_STRING] = JS_STRING, [JSON_ARRAY] = JS_ARRAY, [JSON_OBJECT] = JS_OBJECT,
};

const char *
js_type_name(unsigned bit)
{
    switch (bit) {
    case JS_NULL: return "null";
    case JS_BOOLEAN: return "boolean";
    case JS_INTEGER: return "integer";
    case JS_NUMBER: return "number";
    case JS_STRING: return "string";
    case JS_ARRAY: return "array";
    case JS_OBJECT: return "object";
    default: return "nothing";
    }
}

/* ---- faults */

bool
js_give_up(struct js_run *run, cairn_err err)
{
    if (run->err == CAIRN_OK)
        run->err = err;
    return false;
}

static void
put_path(struct buf *to, const struct js_path *at, struct arena *arena)
{
    if (!at)
        return;
    put_path(to, at->up, arena);
    if (at->name.type == JSON_NONE)
        buf_printf(to, "/%zu", at->index);
    else
        js_put_token(to, js_text(at->name, arena));
}

bool
js_fail(struct js_run *run, const struct js_path *at, const char *keyword, const char *format, ...)
{
    if (run->quiet || run->err != CAIRN_OK || (run->has_first && run->fault_count >= run->fault_max))
        return false;
    struct buf place = {0};
    char message[400];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    put_path(&place, at, run->arena);
    struct json_schema_fault fault = {
        .instance = arena_copy(run->arena, buf_str(&place)),
        .keyword = cairn_cstr(keyword),
        .message = arena_copy(run->arena, (cairn_str){message, size < (int)sizeof message ? (size_t)size : sizeof message - 1}),
    };
    bool failed = place.failed || !fault.instance.data || !fault.message.data;
    buf_free(&place);
    if (failed)
        return js_give_up(run, CAIRN_E_NOMEM);
    if (!run->has_first)
        run->first = fault;
    run->has_first = true;
    if (run->fault_count < run->fault_max)
        run->faults[run->fault_count++] = fault;
    return false;
}

bool
js_holds(struct js_run *run, const struct js_node *node, struct json value, const struct js_path *at,
         struct js_seen *seen)
{
    run->quiet++;
    bool holds = js_check(run, node, value, at, seen);
    run->quiet--;
    return holds;
}

/* A name or a string, decoded. What has to be copied for that is charged by its size, and so bounds the memory. */
static bool
text_of(struct js_run *run, struct json string, cairn_str *ret)
{
    *ret = js_text(string, run->arena);
    if (!ret->data)
        return js_give_up(run, CAIRN_E_NOMEM);
    bool copied = string.raw.size > 2 && ret->data != string.raw.data + 1;
    return !copied || js_spend(run, (int64_t)string.raw.size / 32);
}

/* A short piece of a value for a message. */
#define SHOWN(value) (int)((value).raw.size > 60 ? 60 : (value).raw.size), (value).raw.data
#define SHOWN_TEXT(text) (int)((text).size > 100 ? 100 : (text).size), (text).data

/* Go on after a fault only while more of them are wanted. */
#define HOLD(condition)                                                                                           \
    do {                                                                                                          \
        if (!(condition)) {                                                                                       \
            valid = false;                                                                                        \
            if (js_enough(run))                                                                                   \
                return false;                                                                                     \
        }                                                                                                         \
    } while (0)

/* ---- numbers */

static int
compare_bound(struct json value, const struct js_bound *bound)
{
    int64_t whole;
    if (bound->plain && js_plain_i64(value, &whole))
        return whole < bound->whole ? -1 : whole > bound->whole;
    struct json_decimal decimal = js_decimal(value);
    return js_decimal_compare(&decimal, &bound->decimal);
}

static bool
check_number(struct js_run *run, const struct js_number *number, struct json value, const struct js_path *at)
{
    bool valid = true;
    if (number->has_minimum && compare_bound(value, &number->minimum) < 0)
        HOLD(js_fail(run, at, "minimum", "must be at least %.*s, is %.*s", SHOWN(number->minimum.json), SHOWN(value)));
    if (number->has_maximum && compare_bound(value, &number->maximum) > 0)
        HOLD(js_fail(run, at, "maximum", "must be at most %.*s, is %.*s", SHOWN(number->maximum.json), SHOWN(value)));
    if (number->has_more && compare_bound(value, &number->more) <= 0)
        HOLD(js_fail(run, at, "exclusiveMinimum", "must be above %.*s, is %.*s", SHOWN(number->more.json), SHOWN(value)));
    if (number->has_less && compare_bound(value, &number->less) >= 0)
        HOLD(js_fail(run, at, "exclusiveMaximum", "must be below %.*s, is %.*s", SHOWN(number->less.json), SHOWN(value)));
    if (number->has_multiple) {
        struct json_decimal decimal = js_decimal(value);
        HOLD(js_spend(run, 1 + (int64_t)decimal.digits / 16));
        if (!js_decimal_is_multiple(&decimal, &number->multiple.decimal))
            HOLD(js_fail(run, at, "multipleOf", "must be a multiple of %.*s, is %.*s", SHOWN(number->multiple.json),
                         SHOWN(value)));
    }
    return valid;
}

/* ---- strings */

/* Matches, or does not, or gives up. */
static bool
match(struct js_run *run, const struct js_pattern *pattern, cairn_str text)
{
    int found = js_pattern_match(pattern, text, &run->match, &run->steps);
    if (found < 0)
        return js_give_up(run, (cairn_err)found);
    return found && js_spend(run, 0);
}

static bool
check_string(struct js_run *run, const struct js_string *string, struct json value, const struct js_path *at)
{
    bool valid = true;
    if (string->min > 0 || string->max < UINT64_MAX) {
        size_t length = js_length(value);
        if (length == 0 && string->min == 1)
            HOLD(js_fail(run, at, "minLength", "must not be empty"));
        else if (length < string->min)
            HOLD(js_fail(run, at, "minLength", "must have at least %llu characters, has %zu",
                         (unsigned long long)string->min, length));
        if (length > string->max)
            HOLD(js_fail(run, at, "maxLength", "must have at most %llu characters, has %zu",
                         (unsigned long long)string->max, length));
    }
    if (!string->pattern && !string->format)
        return valid;
    cairn_str text;
    if (!text_of(run, value, &text))
        return false;
    if (string->pattern && !match(run, string->pattern, text))
        HOLD(js_fail(run, at, "pattern", "must match %.*s", SHOWN_TEXT(string->pattern_text)));
    if (string->format && !js_format_holds(string->format, text))
        HOLD(js_fail(run, at, "format", "must be %s", js_format_hint(string->format)));
    return valid;
}

/* ---- arrays */

static struct js_compare
comparison(struct js_run *run)
{
    return (struct js_compare){.arena = run->arena, .steps = &run->steps};
}

/* What js_equal() and js_hash() said can be believed. */
static bool
compared(struct js_run *run, const struct js_compare *compare)
{
    return (compare->nomem ? js_give_up(run, CAIRN_E_NOMEM) : true) && js_spend(run, 0);
}

struct unique_slot {
    struct json value;
    uint64_t hash;
    size_t index; /* from 1; 0: free */
};

static bool
check_unique(struct js_run *run, struct json value, const struct js_path *at, size_t count)
{
    struct js_compare compare = comparison(run);
    struct json name, item;
    size_t slots = 8, index = 0;
    if (count < 2)
        return true;
    while (slots < count * 2)
        slots *= 2;
    if (!js_spend(run, (int64_t)count))
        return false;
    struct unique_slot *table = arena_zalloc(run->arena, slots * sizeof *table);
    if (!table)
        return js_give_up(run, CAIRN_E_NOMEM);
    for (struct json_walk walk = json_walk(value); json_next(&walk, &name, &item);) {
        uint64_t hash = js_hash(&compare, item);
        size_t i = (size_t)hash & (slots - 1);
        index++;
        for (; table[i].index; i = (i + 1) & (slots - 1)) {
            if (table[i].hash == hash && js_equal(&compare, table[i].value, item) && compared(run, &compare))
                return js_fail(run, at, "uniqueItems", "items %zu and %zu are equal", table[i].index - 1, index - 1);
            if (!js_spend(run, 1))
                return false;
        }
        if (!compared(run, &compare))
            return false;
        table[i] = (struct unique_slot){item, hash, index};
    }
    return true;
}

static bool
check_array(struct js_run *run, const struct js_array *array, struct json value, const struct js_path *up,
            struct js_seen *seen)
{
    bool valid = true;
    struct json name, item;
    struct js_path at = {.up = up};
    uint64_t matches = 0;
    for (struct json_walk walk = json_walk(value); json_next(&walk, &name, &item); at.index++) {
        HOLD(js_spend(run, 1));
        const struct js_node *node = at.index < array->prefix_count ? array->prefix[at.index] : array->rest;
        if (node) {
            js_seen_mark(seen, at.index);
            HOLD(js_check(run, node, item, &at, NULL));
        }
        if (array->contains && js_holds(run, array->contains, item, &at, NULL)) {
            matches++;
            js_seen_mark(seen, at.index);
        }
        if (run->err != CAIRN_OK)
            return false;
    }
    size_t count = at.index;
    if (count < array->min)
        HOLD(js_fail(run, up, "minItems", "must have at least %llu items, has %zu", (unsigned long long)array->min, count));
    if (count > array->max)
        HOLD(js_fail(run, up, "maxItems", "must have at most %llu items, has %zu", (unsigned long long)array->max, count));
    if (array->contains && matches < array->contains_min)
        HOLD(js_fail(run, up, array->contains_min == 1 ? "contains" : "minContains",
                     "must contain at least %llu items that match, contains %llu",
                     (unsigned long long)array->contains_min, (unsigned long long)matches));
    if (array->contains && matches > array->contains_max)
        HOLD(js_fail(run, up, "maxContains", "must contain at most %llu items that match, contains %llu",
                     (unsigned long long)array->contains_max, (unsigned long long)matches));
    if (array->unique)
        HOLD(check_unique(run, value, up, count));
    return valid;
}

/* ---- objects */

/* Members mostly come in the schema's order: *hint is where the next one is expected. */
static const struct js_property *
find_property(const struct js_object *object, cairn_str name, uint32_t *hint)
{
    if (*hint < object->property_count && cairn_str_equal(object->properties[*hint].name, name))
        return &object->properties[(*hint)++];
    if (object->property_count == 0)
        return NULL;
    for (size_t i = (size_t)hash64(name.data, name.size, 0);; i++) {
        uint32_t slot = object->slots[i & object->slot_mask];
        if (slot == 0)
            return NULL;
        if (cairn_str_equal(object->properties[slot - 1].name, name)) {
            *hint = slot;
            return &object->properties[slot - 1];
        }
    }
}

static bool
report_missing(struct js_run *run, const struct js_object *object, const uint64_t *there, const struct js_path *at)
{
    bool valid = true;
    for (uint32_t i = 0; i < object->property_count; i++) {
        const struct js_property *property = &object->properties[i];
        if (property->required >= 0 && !(there[property->required / 64] >> (property->required % 64) & 1))
            HOLD(js_fail(run, at, "required", "\"%.*s\" is missing", SHOWN_TEXT(property->name)));
    }
    return valid;
}

/* A member's name as a JSON string in its own right, against propertyNames. */
static bool
check_name(struct js_run *run, const struct js_object *object, struct json name, const struct js_path *at)
{
    if (js_holds(run, object->names, name, at, NULL))
        return true;
    return js_fail(run, at, "propertyNames", "%.*s is not a name that is allowed here", SHOWN(name));
}

/* By patternProperties and, where nothing else knows it, additionalProperties. */
static bool
check_other_member(struct js_run *run, const struct js_object *object, bool known, cairn_str name, struct json item,
                   const struct js_path *at, struct js_seen *seen)
{
    bool valid = true;
    for (size_t i = 0; i < object->pattern_count; i++) {
        if (match(run, object->patterns[i].pattern, name)) {
            known = true;
            js_seen_mark(seen, at->index);
            HOLD(js_check(run, object->patterns[i].node, item, at, NULL));
        }
        if (run->err != CAIRN_OK)
            return false;
    }
    if (known || !object->additional)
        return valid;
    js_seen_mark(seen, at->index);
    if (object->additional->is_false)
        return js_fail(run, at, "additionalProperties", "\"%.*s\" is not allowed here", SHOWN_TEXT(name));
    HOLD(js_check(run, object->additional, item, at, NULL));
    return valid;
}

static bool
has_member(struct js_run *run, struct json value, cairn_str wanted)
{
    struct json name, item;
    for (struct json_walk walk = json_walk(value); js_spend(run, 1) && json_next(&walk, &name, &item);) {
        cairn_str text;
        if (!text_of(run, name, &text))
            return false;
        if (cairn_str_equal(text, wanted))
            return true;
    }
    return false;
}

static bool
check_dependents(struct js_run *run, const struct js_object *object, struct json value, const struct js_path *at,
                 struct js_seen *seen)
{
    bool valid = true;
    for (size_t i = 0; i < object->dependent_count; i++) {
        const struct js_dependent *dependent = &object->dependents[i];
        bool there = has_member(run, value, dependent->name);
        if (there && dependent->node)
            HOLD(js_check(run, dependent->node, value, at, seen));
        for (size_t n = 0; there && n < dependent->name_count; n++)
            if (!has_member(run, value, dependent->names[n]))
                HOLD(js_fail(run, at, dependent->keyword, "\"%.*s\" is missing, which \"%.*s\" needs",
                             SHOWN_TEXT(dependent->names[n]), SHOWN_TEXT(dependent->name)));
        if (run->err != CAIRN_OK)
            return false;
    }
    return valid;
}

static bool
check_object(struct js_run *run, const struct js_object *object, struct json value, const struct js_path *up,
             struct js_seen *seen)
{
    bool valid = true;
    struct json item;
    struct js_path at = {.up = up};
    uint64_t few[4] = {0}, *there = few;
    uint32_t hint = 0, required_there = 0;
    if (object->required_count > 64 * 4) {
        there = arena_zalloc(run->arena, (object->required_count / 64 + 1) * sizeof *there);
        if (!there)
            return js_give_up(run, CAIRN_E_NOMEM);
    }
    for (struct json_walk walk = json_walk(value); json_next(&walk, &at.name, &item); at.index++) {
        cairn_str name;
        if (!js_spend(run, 1 + (int64_t)at.name.raw.size / 256) || !text_of(run, at.name, &name))
            return false;
        const struct js_property *property = find_property(object, name, &hint);
        if (property && property->required >= 0) {
            uint64_t bit = UINT64_C(1) << (property->required % 64), *word = &there[property->required / 64];
            required_there += !(*word & bit);
            *word |= bit;
        }
        bool known = property && property->node;
        if (known) {
            js_seen_mark(seen, at.index);
            HOLD(js_check(run, property->node, item, &at, NULL));
        }
        if (object->pattern_count || (object->additional && !known))
            HOLD(check_other_member(run, object, known, name, item, &at, seen));
        if (object->names)
            HOLD(check_name(run, object, at.name, &at));
    }
    size_t count = at.index;
    if (required_there < object->required_count)
        HOLD(report_missing(run, object, there, up));
    if (count < object->min)
        HOLD(js_fail(run, up, "minProperties", "must have at least %llu members, has %zu",
                     (unsigned long long)object->min, count));
    if (count > object->max)
        HOLD(js_fail(run, up, "maxProperties", "must have at most %llu members, has %zu",
                     (unsigned long long)object->max, count));
    if (object->dependent_count)
        HOLD(check_dependents(run, object, value, up, seen));
    return valid;
}

/* ---- logic */

static bool
is_among(struct js_run *run, const struct js_logic *logic, struct json value)
{
    struct js_compare compare = comparison(run);
    uint64_t hash = js_hash(&compare, value);
    bool found = false;
    if (!js_spend(run, (int64_t)logic->value_count / 8))
        return false;
    for (size_t i = 0; i < logic->value_count && !found; i++)
        found = logic->hashes[i] == hash && js_equal(&compare, logic->values[i], value);
    return compared(run, &compare) && found;
}

/* "one of: 1, 2, 3" as far as there is room. */
static bool
fail_enum(struct js_run *run, const struct js_logic *logic, const struct js_path *at)
{
    char text[200];
    size_t size = 0;
    if (run->quiet)
        return false;
    for (size_t i = 0; i < logic->value_count && size < sizeof text; i++) {
        int more = snprintf(text + size, sizeof text - size, "%s%.*s", i ? ", " : "", SHOWN(logic->values[i]));
        size += (size_t)more;
    }
    return js_fail(run, at, "enum", "must be one of %s%s", size ? text : "no values at all", size < sizeof text ? "" : "…");
}

static bool
is_constant(struct js_run *run, const struct js_logic *logic, struct json value)
{
    struct js_compare compare = comparison(run);
    bool equal = js_equal(&compare, logic->constant, value);
    return compared(run, &compare) && equal;
}

/* A branch that fails must leave no marks: it gets its own, which are added when it holds. */
static bool
branch(struct js_run *run, const struct js_node *node, struct json value, const struct js_path *at,
       struct js_seen *seen)
{
    struct js_seen own;
    if (!seen)
        return js_holds(run, node, value, at, NULL);
    if (!js_seen_begin(run, &own, value) || !js_holds(run, node, value, at, &own))
        return false;
    js_seen_add(seen, &own);
    return true;
}

static bool
check_any(struct js_run *run, const struct js_list *list, struct json value, const struct js_path *at,
          struct js_seen *seen)
{
    bool any = false;
    for (size_t i = 0; i < list->count && (!any || seen) && run->err == CAIRN_OK; i++)
        any |= branch(run, list->items[i], value, at, seen);
    return any || js_fail(run, at, "anyOf", "matches none of the %zu alternatives", list->count);
}

static bool
check_one(struct js_run *run, const struct js_list *list, struct json value, const struct js_path *at,
          struct js_seen *seen)
{
    size_t matches = 0, first = 0;
    for (size_t i = 0; i < list->count && matches < 2 && run->err == CAIRN_OK; i++)
        if (branch(run, list->items[i], value, at, seen)) {
            if (matches++)
                return js_fail(run, at, "oneOf", "matches alternatives %zu and %zu, must match only one", first, i);
            first = i;
        }
    return matches == 1 || js_fail(run, at, "oneOf", "matches none of the %zu alternatives", list->count);
}

/* What $dynamicRef leads to: the outermost resource that has the anchor. */
static const struct js_node *
dynamic_target(struct js_run *run, const struct js_logic *logic)
{
    const struct js_node *target = logic->dynamic_ref;
    if (logic->dynamic_name.size == 0)
        return target;
    for (const struct js_scope *scope = run->scope; scope; scope = scope->up)
        for (const struct js_anchor *anchor = scope->resource->dynamic; anchor; anchor = anchor->next) {
            if (!js_spend(run, 1))
                return target;
            if (cairn_str_equal(anchor->name, logic->dynamic_name))
                target = anchor->node;
        }
    return target;
}

static bool
check_conditional(struct js_run *run, const struct js_logic *logic, struct json value, const struct js_path *at,
                  struct js_seen *seen)
{
    const struct js_node *then = branch(run, logic->if_, value, at, seen) ? logic->then : logic->else_;
    return run->err == CAIRN_OK && (!then || js_check(run, then, value, at, seen));
}

static bool
check_logic(struct js_run *run, const struct js_logic *logic, struct json value, const struct js_path *at,
            struct js_seen *seen)
{
    bool valid = true;
    if (logic->values && !is_among(run, logic, value))
        HOLD(fail_enum(run, logic, at));
    if (logic->constant.type != JSON_NONE && !is_constant(run, logic, value))
        HOLD(js_fail(run, at, "const", "must be %.*s", SHOWN(logic->constant)));
    if (logic->ref)
        HOLD(js_check(run, logic->ref, value, at, seen));
    if (logic->dynamic_ref)
        HOLD(js_check(run, dynamic_target(run, logic), value, at, seen));
    for (size_t i = 0; i < logic->all.count; i++)
        HOLD(js_check(run, logic->all.items[i], value, at, seen));
    if (logic->any.count)
        HOLD(check_any(run, &logic->any, value, at, seen));
    if (logic->one.count)
        HOLD(check_one(run, &logic->one, value, at, seen));
    if (logic->not && (js_holds(run, logic->not, value, at, NULL) || run->err != CAIRN_OK))
        HOLD(js_fail(run, at, "not", "must not match the schema under \"not\""));
    if (logic->if_)
        HOLD(check_conditional(run, logic, value, at, seen));
    return valid;
}

/* ---- a node */

static bool
fail_type(struct js_run *run, const struct js_node *node, struct json value, const struct js_path *at)
{
    char wanted[100];
    size_t size = 0;
    unsigned types = node->types & JS_NUMBER ? node->types & ~(unsigned)JS_INTEGER : node->types;
    if (run->quiet)
        return false;
    for (unsigned bit = 1; bit < JS_ANY; bit <<= 1)
        if (types & bit)
            size += (size_t)snprintf(wanted + size, sizeof wanted - size, "%s%s", size ? " or " : "", js_type_name(bit));
    return js_fail(run, at, "type", "must be %s, is %s", wanted, js_type_name(js_type_bits[value.type]));
}

static bool
type_holds(const struct js_node *node, struct json value)
{
    unsigned bits = js_type_bits[value.type];
    return (node->types & bits) || (bits == JS_NUMBER && node->types & JS_INTEGER && js_is_integer(value));
}

/* What all but unevaluated* says. */
static bool
check_evaluated(struct js_run *run, const struct js_node *node, struct json value, const struct js_path *at,
                struct js_seen *seen)
{
    bool valid = true;
    switch (value.type) {
    case JSON_NUMBER:
        if (node->number)
            HOLD(check_number(run, node->number, value, at));
        break;
    case JSON_STRING:
        if (node->string)
            HOLD(check_string(run, node->string, value, at));
        break;
    case JSON_ARRAY:
        if (node->array)
            HOLD(check_array(run, node->array, value, at, seen));
        break;
    case JSON_OBJECT:
        if (node->object)
            HOLD(check_object(run, node->object, value, at, seen));
        break;
    default: break;
    }
    if (node->logic)
        HOLD(check_logic(run, node->logic, value, at, seen));
    return valid;
}

/* Items or members that nothing in this schema has looked at. */
static bool
check_left(struct js_run *run, const struct js_node *node, struct json value, const struct js_path *up,
           struct js_seen *seen)
{
    bool valid = true, object = value.type == JSON_OBJECT;
    const struct js_node *rule = object ? node->unevaluated_properties : node->unevaluated_items;
    const char *keyword = object ? "unevaluatedProperties" : "unevaluatedItems";
    struct json item;
    struct js_path at = {.up = up};
    for (struct json_walk walk = json_walk(value); json_next(&walk, &at.name, &item); at.index++) {
        HOLD(js_spend(run, 1));
        if (at.index < seen->count && seen->bits[at.index / 64] >> (at.index % 64) & 1)
            continue;
        js_seen_mark(seen, at.index);
        if (rule->is_false)
            HOLD(js_fail(run, &at, keyword, "is not allowed here"));
        else
            HOLD(js_check(run, rule, item, &at, NULL));
    }
    return valid;
}

static bool
check_unevaluated(struct js_run *run, const struct js_node *node, struct json value, const struct js_path *at,
                  struct js_seen *seen)
{
    struct js_seen own;
    bool valid = true;
    if (!js_seen_begin(run, &own, value))
        return false;
    HOLD(check_evaluated(run, node, value, at, &own));
    HOLD(check_left(run, node, value, at, &own));
    if (valid && seen)
        js_seen_add(seen, &own);
    return valid;
}

bool
js_check(struct js_run *run, const struct js_node *node, struct json value, const struct js_path *at,
         struct js_seen *seen)
{
    if (!js_spend(run, 1 + (int64_t)(value.raw.size / (value.type >= JSON_ARRAY ? 1024 : 256))))
        return false; /* large values take long to walk, to measure, to compare */
    if (node->is_true)
        return true;
    if (node->is_false)
        return js_fail(run, at, "false", "is not allowed here");
    bool valid = type_holds(node, value) || fail_type(run, node, value, at);
    if (!valid && js_enough(run))
        return false;
    if (run->depth == JS_DEPTH_MAX)
        return js_give_up(run, CAIRN_E_LIMIT);
    run->depth++;
    const struct js_scope *outer = run->scope;
    struct js_scope scope = {node->resource, outer};
    if (run->schema->dynamic && (!outer || outer->resource != node->resource))
        run->scope = &scope;
    bool left = value.type == JSON_OBJECT ? node->unevaluated_properties != NULL
                                          : value.type == JSON_ARRAY && node->unevaluated_items != NULL;
    if (!(left ? check_unevaluated : check_evaluated)(run, node, value, at, seen))
        valid = false;
    run->scope = outer;
    run->depth--;
    return valid;
}

/* ---- marks */

bool
js_seen_begin(struct js_run *run, struct js_seen *seen, struct json value)
{
    *seen = (struct js_seen){.bits = seen->few};
    if (value.type != JSON_OBJECT && value.type != JSON_ARRAY)
        return true;
    seen->count = json_count(value);
    if (!js_spend(run, (int64_t)seen->count / 16 + 1))
        return false;
    if (seen->count > 64 * sizeof seen->few / sizeof seen->few[0]) {
        seen->bits = arena_zalloc(run->arena, (seen->count / 64 + 1) * sizeof *seen->bits);
        if (!seen->bits)
            return js_give_up(run, CAIRN_E_NOMEM);
    }
    return true;
}

void
js_seen_add(struct js_seen *to, const struct js_seen *from)
{
    for (size_t i = 0; i * 64 < from->count; i++)
        to->bits[i] |= from->bits[i];
}

/* ---- the whole */

cairn_err
json_schema_validate(const struct json_schema *schema, struct json value, struct arena *arena,
                     struct json_schema_fault *ret_faults, size_t fault_max, size_t *ret_count, cairn_error *error)
{
    struct js_run run = {.schema = schema, .arena = arena, .faults = ret_faults, .steps = JS_STEPS_MAX,
                         .fault_max = ret_faults ? fault_max : 0};
    bool valid = js_check(&run, schema->root, value, NULL, NULL);
    js_pattern_scratch_free(run.match);
    if (ret_count)
        *ret_count = run.fault_count;
    if (run.err == CAIRN_E_LIMIT)
        return error_set(error, CAIRN_E_LIMIT, "validation takes more than %d steps or %d levels", JS_STEPS_MAX, JS_DEPTH_MAX);
    if (run.err != CAIRN_OK)
        return error_set(error, run.err, "no memory to validate");
    if (valid)
        return CAIRN_OK;
    cairn_str place = run.first.instance, message = run.first.message;
    return error_set(error, CAIRN_E_INVALID, "%s%.*s%s%.*s", place.size ? "at " : "", (int)place.size,
                     place.size ? place.data : "", place.size ? ": " : "", (int)message.size, message.data);
}
