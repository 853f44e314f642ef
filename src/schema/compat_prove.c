/* Does a reader's schema accept all that a writer's schema allows? Shown keyword by keyword, never guessed.
 *
 * The writer is a set of nodes that all hold (a schema with its $ref and allOf). For each keyword of the reader one looks for
 * something in the set that implies it. Where the writer has alternatives (anyOf, oneOf) each is tried, added to the set;
 * where it allows only finitely many values (enum, const, null, booleans) each value is tried on the reader, which is exact.
 * To leave out what the writer says is always safe: then more could be written than really can.
 *
 * A recursive schema comes to a pair of writer and reader that is being shown already. Schemas cannot refer to themselves
 * without going into the value (json_schema_compile() refuses that), so the pair is about a smaller value there, and
 * induction on the value's size lets it be taken as shown.
 *
 * Bounds: PROOF_STEPS_MAX nodes, PROOF_DEPTH_MAX levels; beyond them nothing is shown. One owner thread. */
#include <schema/compat_int.h>

#include <stdarg.h>
#include <stdio.h>

/* ---- what is written */

/* The node and what it always takes along. */
void
written_add(struct written *written, const struct js_node *node)
{
    for (size_t i = 0; i < written->count; i++)
        if (written->nodes[i] == node)
            return;
    if (node->is_true)
        return;
    if (written->count == PROOF_CONJUNCTS_MAX) {
        written->overflow = true;
        return;
    }
    written->nodes[written->count] = node;
    written->split[written->count++] = 0;
    if (!node->logic)
        return;
    if (node->logic->ref)
        written_add(written, node->logic->ref);
    for (size_t i = 0; i < node->logic->all.count && !written->overflow; i++)
        written_add(written, node->logic->all.items[i]);
}

static bool
allows_nothing(const struct written *written)
{
    for (size_t i = 0; i < written->count; i++)
        if (written->nodes[i]->is_false)
            return true;
    return false;
}

/* The types that can be written. A number that must be a multiple of a whole number is an integer. */
static unsigned
written_types(const struct written *written)
{
    unsigned types = JS_ANY;
    for (size_t i = 0; i < written->count; i++) {
        const struct js_number *number = written->nodes[i]->number;
        types &= written->nodes[i]->types;
        if (number && number->has_multiple && number->multiple.decimal.exponent >= 0)
            types &= ~(unsigned)JS_NUMBER;
    }
    return types;
}

/* ---- faults */

const struct js_node *
proof_place(const struct proof *proof, const struct js_node *reader, const struct js_node *here)
{
    return proof->newer_reads ? reader : here;
}

bool
proof_fail(struct proof *proof, const struct js_node *place, const char *keyword, const char *format, ...)
{
    char message[300], whole[512];
    if (proof->quiet || proof->err != CAIRN_OK || proof->fault_count >= proof->fault_max)
        return false;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    snprintf(whole, sizeof whole, "%s; %s could not read all that %s allows", message, proof->reader_name, proof->writer_name);
    struct buf at = {0};
    js_put_place(&at, place, proof->arena);
    if (keyword && proof->newer_reads)
        js_put_token(&at, cairn_cstr(keyword));
    struct compat_fault fault = {.version = proof->version, .place = arena_copy(proof->arena, buf_str(&at)),
                                 .message = arena_copy(proof->arena, cairn_cstr(whole))};
    if (at.failed || !fault.place.data || !fault.message.data)
        proof->err = CAIRN_E_NOMEM;
    else
        proof->faults[proof->fault_count++] = fault;
    buf_free(&at);
    return false;
}

#define PLACE proof_place(proof, reader, here)
#define FAIL(...) proof_fail(proof, PLACE, __VA_ARGS__)
#define SHOWN(value) (int)((value).raw.size > 60 ? 60 : (value).raw.size), (value).raw.data

/* ---- values */

/* 1: holds, 0: does not, -1: could not be computed. */
static int
ask_node(struct proof *proof, const struct js_node *node, struct json value)
{
    static const struct json_schema any; /* compat_check() lets no $dynamicRef through */
    struct js_run run = {.schema = &any, .arena = proof->arena, .steps = JS_STEPS_MAX, .quiet = 1};
    bool holds = js_check(&run, node, value, NULL, NULL);
    js_pattern_scratch_free(run.match);
    if (run.err == CAIRN_E_NOMEM)
        proof->err = CAIRN_E_NOMEM;
    proof->steps -= (JS_STEPS_MAX - run.steps) / 16;
    return run.err != CAIRN_OK ? -1 : holds;
}

bool
proof_node_holds(struct proof *proof, const struct js_node *node, struct json value)
{
    return ask_node(proof, node, value) == 1;
}

/* Whether the value may be written: no only where something surely refuses it. */
static bool
writes(struct proof *proof, const struct written *written, struct json value)
{
    for (size_t i = 0; i < written->count; i++)
        if (ask_node(proof, written->nodes[i], value) == 0)
            return false;
    return true;
}

/* Finitely many values: each on its own. */
static bool
try_values(struct proof *proof, const struct written *written, const struct json *values, size_t count,
           const struct js_node *reader, const struct js_node *here)
{
    for (size_t i = 0; i < count; i++)
        if (writes(proof, written, values[i]) && !proof_node_holds(proof, reader, values[i]))
            return FAIL(NULL, "%.*s could be written and is refused", SHOWN(values[i]));
    return true;
}

static bool
finite_values(const struct written *written, const struct json **ret, size_t *ret_count)
{
    static const struct json simple[] = {{JSON_NULL, {"null", 4}}, {JSON_FALSE, {"false", 5}}, {JSON_TRUE, {"true", 4}}};
    for (size_t i = 0; i < written->count; i++) {
        const struct js_logic *logic = written->nodes[i]->logic;
        if (logic && logic->constant.type != JSON_NONE) {
            *ret = &logic->constant;
            *ret_count = 1;
            return true;
        }
        if (logic && logic->values) {
            *ret = logic->values;
            *ret_count = logic->value_count;
            return true;
        }
    }
    *ret = simple;
    *ret_count = 3;
    return (written_types(written) & ~(unsigned)(JS_NULL | JS_BOOLEAN)) == 0;
}

/* ---- numbers and strings */

/* The writer's lower (or upper) bound: the tightest there is. NULL: none. */
static const struct js_bound *
written_bound(const struct written *written, bool lower, bool *ret_strict)
{
    const struct js_bound *best = NULL;
    *ret_strict = false;
    for (size_t i = 0; i < written->count; i++) {
        const struct js_number *number = written->nodes[i]->number;
        if (!number)
            continue;
        const struct js_bound *bounds[] = {
            lower ? (number->has_minimum ? &number->minimum : NULL) : (number->has_maximum ? &number->maximum : NULL),
            lower ? (number->has_more ? &number->more : NULL) : (number->has_less ? &number->less : NULL)};
        for (int strict = 0; strict < 2; strict++) {
            if (!bounds[strict])
                continue;
            int order = best ? js_decimal_compare(&bounds[strict]->decimal, &best->decimal) : 0;
            if (!best || (lower ? order > 0 : order < 0)) {
                best = bounds[strict];
                *ret_strict = strict;
            } else if (order == 0 && strict) {
                *ret_strict = true;
            }
        }
    }
    return best;
}

static bool
prove_bound(struct proof *proof, const struct written *written, const struct js_node *reader, const struct js_node *here,
            const struct js_bound *wanted, bool lower, bool strict, const char *keyword)
{
    bool written_strict;
    const struct js_bound *bound = written_bound(written, lower, &written_strict);
    int order = bound ? js_decimal_compare(&bound->decimal, &wanted->decimal) : 0;
    if (bound && (lower ? order > 0 : order < 0))
        return true;
    if (bound && order == 0 && (written_strict || !strict))
        return true;
    return bound ? FAIL(keyword, "\"%s\" is %.*s where %.*s was allowed", keyword, SHOWN(wanted->json), SHOWN(bound->json))
                 : FAIL(keyword, "\"%s\" is %.*s where there was no limit", keyword, SHOWN(wanted->json));
}

static bool
prove_multiple(struct proof *proof, const struct written *written, const struct js_node *reader, const struct js_node *here)
{
    static const char one[] = "1";
    const struct json_decimal *wanted = &reader->number->multiple.decimal;
    struct json_decimal unit = js_decimal((struct json){JSON_NUMBER, {one, 1}});
    if (!(written_types(written) & JS_NUMBER) && js_decimal_is_multiple(&unit, wanted))
        return true;
    for (size_t i = 0; i < written->count; i++) {
        const struct js_number *number = written->nodes[i]->number;
        if (number && number->has_multiple && js_decimal_is_multiple(&number->multiple.decimal, wanted))
            return true;
    }
    return FAIL("multipleOf", "\"multipleOf\" %.*s was not demanded", SHOWN(reader->number->multiple.json));
}

static bool
prove_number(struct proof *proof, const struct written *written, const struct js_node *reader, const struct js_node *here)
{
    const struct js_number *number = reader->number;
    bool ok = true;
    if (number->has_minimum)
        ok &= prove_bound(proof, written, reader, here, &number->minimum, true, false, "minimum");
    if (number->has_maximum)
        ok &= prove_bound(proof, written, reader, here, &number->maximum, false, false, "maximum");
    if (number->has_more)
        ok &= prove_bound(proof, written, reader, here, &number->more, true, true, "exclusiveMinimum");
    if (number->has_less)
        ok &= prove_bound(proof, written, reader, here, &number->less, false, true, "exclusiveMaximum");
    if (number->has_multiple)
        ok &= prove_multiple(proof, written, reader, here);
    return ok;
}

static bool
prove_string(struct proof *proof, const struct written *written, const struct js_node *reader, const struct js_node *here)
{
    const struct js_string *wanted = reader->string;
    uint64_t min = 0, max = UINT64_MAX;
    bool pattern = !wanted->pattern, format = !wanted->format, ok = true;
    for (size_t i = 0; i < written->count; i++) {
        const struct js_string *string = written->nodes[i]->string;
        if (!string)
            continue;
        min = string->min > min ? string->min : min;
        max = string->max < max ? string->max : max;
        pattern = pattern || (string->pattern && cairn_str_equal(string->pattern_text, wanted->pattern_text));
        format = format || string->format == wanted->format;
    }
    if (min < wanted->min)
        ok = FAIL("minLength", "\"minLength\" is %llu, was %llu", (unsigned long long)wanted->min, (unsigned long long)min);
    if (max > wanted->max)
        ok = max == UINT64_MAX ? FAIL("maxLength", "\"maxLength\" is %llu where there was no limit", (unsigned long long)wanted->max)
                               : FAIL("maxLength", "\"maxLength\" is %llu, was %llu", (unsigned long long)wanted->max,
                                      (unsigned long long)max);
    if (!pattern)
        ok = FAIL("pattern", "the pattern %.*s was not demanded",
                  (int)(wanted->pattern_text.size > 100 ? 100 : wanted->pattern_text.size), wanted->pattern_text.data);
    if (!format)
        ok = FAIL("format", "the format %s was not demanded", js_format_name(wanted->format));
    return ok;
}

/* ---- arrays */

/* All that is said of the item at an index; UINT64_MAX: of those after every prefix. */
static void
written_item(const struct written *written, uint64_t index, struct written *ret)
{
    ret->count = 0;
    ret->overflow = false;
    for (size_t i = 0; i < written->count; i++) {
        const struct js_array *array = written->nodes[i]->array;
        if (!array)
            continue;
        const struct js_node *node = index < array->prefix_count ? array->prefix[index] : array->rest;
        if (node)
            written_add(ret, node);
    }
}

static bool
prove_contains(struct proof *proof, const struct written *written, const struct js_node *reader, const struct js_node *here,
               const struct proof_pair *up, uint64_t written_min)
{
    const struct js_array *wanted = reader->array;
    bool least = wanted->contains_min == 0, most = wanted->contains_max == UINT64_MAX;
    for (size_t i = 0; i < written->count && !(least && most); i++) {
        const struct js_array *array = written->nodes[i]->array;
        if (!array || !array->contains)
            continue;
        struct written one = {.count = 0}, other = {.count = 0};
        written_add(&one, array->contains);
        written_add(&other, wanted->contains);
        if (!least && array->contains_min >= wanted->contains_min)
            least = prove_quietly(proof, &one, wanted->contains, here, up);
        if (!most && array->contains_max <= wanted->contains_max)
            most = prove_quietly(proof, &other, array->contains, here, up);
    }
    if (!least && written_min >= wanted->contains_min) { /* when every item matches */
        size_t longest = 0;
        for (size_t i = 0; i < written->count; i++)
            if (written->nodes[i]->array && written->nodes[i]->array->prefix_count > longest)
                longest = written->nodes[i]->array->prefix_count;
        least = true;
        for (uint64_t i = 0; i <= longest && least; i++) {
            struct written item;
            written_item(written, i < longest ? i : UINT64_MAX, &item);
            least = prove_quietly(proof, &item, wanted->contains, here, up);
        }
    }
    return (least && most) || FAIL("contains", "what the array must contain was not demanded");
}

static bool
prove_array(struct proof *proof, const struct written *written, const struct js_node *reader, const struct js_node *here,
            const struct proof_pair *up)
{
    const struct js_array *wanted = reader->array;
    uint64_t min = 0, max = UINT64_MAX;
    size_t longest = wanted->prefix_count;
    bool unique = !wanted->unique, ok = true;
    for (size_t i = 0; i < written->count; i++) {
        const struct js_array *array = written->nodes[i]->array;
        if (!array)
            continue;
        min = array->min > min ? array->min : min;
        max = array->max < max ? array->max : max;
        unique |= array->unique;
        longest = array->prefix_count > longest ? array->prefix_count : longest;
    }
    if (min < wanted->min)
        ok = FAIL("minItems", "\"minItems\" is %llu, was %llu", (unsigned long long)wanted->min, (unsigned long long)min);
    if (max > wanted->max)
        ok = FAIL("maxItems", "\"maxItems\" is %llu, and more were allowed", (unsigned long long)wanted->max);
    if (!unique && max > 1)
        ok = FAIL("uniqueItems", "\"uniqueItems\" was not demanded");
    if (wanted->contains)
        ok &= prove_contains(proof, written, reader, here, up, min);
    for (uint64_t i = 0; i <= longest && i < max; i++) {
        const struct js_node *node = i < wanted->prefix_count ? wanted->prefix[i] : wanted->rest;
        struct written item;
        if (!node)
            continue;
        written_item(written, i < longest ? i : UINT64_MAX, &item);
        ok &= prove(proof, &item, node, item.count && !proof->newer_reads ? item.nodes[0] : here, up);
    }
    return ok;
}

/* ---- logic */

/* Nothing that is written is valid by the node. */
static bool
disjoint(struct proof *proof, const struct written *written, const struct js_node *node, unsigned depth)
{
    struct written other = {.count = 0};
    written_add(&other, node);
    if (depth == 0 || --proof->steps < 0)
        return false;
    if (allows_nothing(written) || allows_nothing(&other))
        return true;
    unsigned types = written_types(written) & written_types(&other);
    if (types == 0)
        return true;
    const struct json *values;
    size_t count, refused = 0;
    if (finite_values(written, &values, &count) || finite_values(&other, &values, &count)) {
        for (size_t i = 0; i < count; i++)
            refused += !writes(proof, written, values[i]) || !writes(proof, &other, values[i]);
        return refused == count && proof->err == CAIRN_OK;
    }
    if (types != JS_OBJECT)
        return false;
    for (int side = 0; side < 2; side++) { /* a member that one side demands, with values that never meet */
        const struct written *demands = side ? &other : written;
        for (size_t i = 0; i < demands->count; i++) {
            const struct js_object *object = demands->nodes[i]->object;
            for (uint32_t p = 0; object && p < object->property_count; p++) {
                struct written here, there;
                if (object->properties[p].required < 0)
                    continue;
                proof_member(proof, written, object->properties[p].name, &here);
                proof_member(proof, &other, object->properties[p].name, &there);
                for (size_t n = 0; n < there.count; n++)
                    if (disjoint(proof, &here, there.nodes[n], depth - 1))
                        return true;
            }
        }
    }
    return false;
}

/* Both allow the same. */
static bool
equivalent(struct proof *proof, const struct js_node *a, const struct js_node *b, const struct js_node *here,
           const struct proof_pair *up)
{
    struct written one = {.count = 0}, other = {.count = 0};
    written_add(&one, a);
    written_add(&other, b);
    return prove_quietly(proof, &one, b, here, up) && prove_quietly(proof, &other, a, here, up);
}

static bool
prove_any(struct proof *proof, const struct written *written, const struct js_node *reader, const struct js_node *here,
          const struct proof_pair *up)
{
    const struct js_list *list = &reader->logic->any;
    for (size_t i = 0; i < list->count && proof->err == CAIRN_OK; i++)
        if (prove_quietly(proof, written, list->items[i], here, up))
            return true;
    return FAIL("anyOf", "no alternative of \"anyOf\" takes all of it");
}

static bool
prove_one(struct proof *proof, const struct written *written, const struct js_node *reader, const struct js_node *here,
          const struct proof_pair *up)
{
    const struct js_list *list = &reader->logic->one;
    for (size_t w = 0; w < written->count; w++) { /* the same alternatives */
        const struct js_list *other = written->nodes[w]->logic ? &written->nodes[w]->logic->one : NULL;
        bool same = other && other->count == list->count;
        for (size_t i = 0; same && i < list->count; i++)
            same = equivalent(proof, other->items[i], list->items[i], here, up);
        if (same)
            return true;
    }
    for (size_t i = 0; i < list->count && proof->err == CAIRN_OK; i++) {
        bool only = prove_quietly(proof, written, list->items[i], here, up);
        for (size_t j = 0; only && j < list->count; j++)
            only = j == i || disjoint(proof, written, list->items[j], 4);
        if (only)
            return true;
    }
    return FAIL("oneOf", "no alternative of \"oneOf\", and only it, takes all of it");
}

/* anyOf and oneOf may take each type by another alternative. */
static bool
prove_alternatives(struct proof *proof, const struct written *written, const struct js_node *reader,
                   const struct js_node *here, const struct proof_pair *up)
{
    static const struct js_node types[] = {
        {.types = JS_NULL}, {.types = JS_BOOLEAN}, {.types = JS_INTEGER | JS_NUMBER}, {.types = JS_STRING},
        {.types = JS_ARRAY}, {.types = JS_OBJECT}};
    bool ok = true;
    for (size_t i = 0; i < sizeof types / sizeof types[0] && ok; i++) {
        struct written narrow = *written;
        if (!(written_types(written) & types[i].types))
            continue;
        written_add(&narrow, &types[i]);
        if (reader->logic->any.count)
            ok = prove_any(proof, &narrow, reader, here, up);
        if (ok && reader->logic->one.count)
            ok = prove_one(proof, &narrow, reader, here, up);
    }
    return ok;
}

static bool
prove_not(struct proof *proof, const struct written *written, const struct js_node *reader, const struct js_node *here,
          const struct proof_pair *up)
{
    struct written refused = {.count = 0};
    written_add(&refused, reader->logic->not);
    for (size_t i = 0; i < written->count; i++) {
        const struct js_logic *logic = written->nodes[i]->logic;
        if (logic && logic->not && prove_quietly(proof, &refused, logic->not, here, up))
            return true;
    }
    return disjoint(proof, written, reader->logic->not, 4) || FAIL("not", "what \"not\" refuses was allowed");
}

static bool
prove_conditional(struct proof *proof, const struct written *written, const struct js_node *reader,
                  const struct js_node *here, const struct proof_pair *up)
{
    const struct js_logic *wanted = reader->logic;
    const struct js_node *branches[] = {wanted->then, wanted->else_};
    bool whole = true;
    for (int b = 0; b < 2; b++)
        whole = whole && (!branches[b] || prove_quietly(proof, written, branches[b], here, up));
    for (size_t i = 0; i < written->count && !whole; i++) { /* the same condition */
        const struct js_logic *logic = written->nodes[i]->logic;
        if (!logic || !logic->if_ || !equivalent(proof, logic->if_, wanted->if_, here, up))
            continue;
        const struct js_node *others[] = {logic->then, logic->else_};
        whole = true;
        for (int b = 0; b < 2 && whole; b++) {
            struct written more = *written;
            if (b == 0)
                written_add(&more, logic->if_);
            if (others[b])
                written_add(&more, others[b]);
            whole = !branches[b] || prove_quietly(proof, &more, branches[b], here, up);
        }
    }
    return whole || FAIL("if", "the condition is new, or demands more");
}

static bool
prove_logic(struct proof *proof, const struct written *written, const struct js_node *reader, const struct js_node *here,
            const struct proof_pair *up)
{
    const struct js_logic *logic = reader->logic;
    bool ok = true;
    if (logic->constant.type != JSON_NONE)
        ok = FAIL("const", "\"const\" %.*s: other values were allowed", SHOWN(logic->constant));
    if (logic->values)
        ok = FAIL("enum", "\"enum\": values that it does not list were allowed");
    if (logic->ref)
        ok &= prove(proof, written, logic->ref, here, up);
    for (size_t i = 0; i < logic->all.count; i++)
        ok &= prove(proof, written, logic->all.items[i], here, up);
    if (logic->any.count || logic->one.count)
        ok &= prove_alternatives(proof, written, reader, here, up);
    if (logic->not)
        ok &= prove_not(proof, written, reader, here, up);
    if (logic->if_)
        ok &= prove_conditional(proof, written, reader, here, up);
    return ok;
}

/* ---- the whole */

static bool
prove_types(struct proof *proof, unsigned types, const struct js_node *reader, const struct js_node *here)
{
    unsigned more = types & ~(unsigned)reader->types;
    if (more == 0)
        return true;
    unsigned bit = more & -more; /* JS_INTEGER stands for numbers when both are more */
    return FAIL("type", "\"type\": %s was allowed",
                bit == JS_INTEGER && more & JS_NUMBER ? "number" : bit == JS_NUMBER ? "a number that is no integer"
                                                                                    : js_type_name(bit));
}

/* unevaluated* depends on everything around it: shown only when it is the very same schema, without references. */
static bool
prove_unevaluated(struct proof *proof, const struct written *written, const struct js_node *reader,
                  const struct js_node *here)
{
    bool members = reader->unevaluated_properties && !reader->unevaluated_properties->is_true;
    bool items = reader->unevaluated_items && !reader->unevaluated_items->is_true;
    if (!members && !items)
        return true;
    int64_t steps = PROOF_STEPS_MAX;
    struct js_compare compare = {.arena = proof->arena, .steps = &steps};
    bool refers = memmem(reader->source.raw.data, reader->source.raw.size, "Ref\"", 4) ||
                  memmem(reader->source.raw.data, reader->source.raw.size, "ref\"", 4);
    for (size_t i = 0; i < written->count && !refers; i++)
        if (js_equal(&compare, written->nodes[i]->source, reader->source) && steps >= 0 &&
            written->nodes[i]->resource->draft == reader->resource->draft)
            return true;
    return FAIL(members ? "unevaluatedProperties" : "unevaluatedItems",
                "a schema with \"%s\" that has changed cannot be compared", members ? "unevaluatedProperties" : "unevaluatedItems");
}

static bool
prove_parts(struct proof *proof, const struct written *written, const struct js_node *reader, const struct js_node *here,
            const struct proof_pair *up)
{
    unsigned types = written_types(written);
    bool ok = prove_types(proof, types, reader, here);
    if (reader->number && types & (JS_NUMBER | JS_INTEGER))
        ok &= prove_number(proof, written, reader, here);
    if (reader->string && types & JS_STRING)
        ok &= prove_string(proof, written, reader, here);
    if (reader->array && types & JS_ARRAY)
        ok &= prove_array(proof, written, reader, here, up);
    if (reader->object && types & JS_OBJECT)
        ok &= prove_object(proof, written, reader, here, up);
    if (reader->logic)
        ok &= prove_logic(proof, written, reader, here, up);
    if (types & (JS_OBJECT | JS_ARRAY))
        ok &= prove_unevaluated(proof, written, reader, here);
    return ok;
}

/* The first alternatives of the writer that were not taken apart; NULL: none are left. */
static const struct js_list *
next_split(struct written *written)
{
    for (size_t i = 0; i < written->count; i++) {
        const struct js_logic *logic = written->nodes[i]->logic;
        for (uint8_t which = 1; logic && which <= 2; which++) {
            const struct js_list *list = which == 1 ? &logic->any : &logic->one;
            if (list->count == 0 || written->split[i] & which)
                continue;
            written->split[i] |= which;
            return list;
        }
    }
    return NULL;
}

static bool
prove_split(struct proof *proof, const struct written *written, const struct js_node *reader, const struct js_node *here,
            const struct proof_pair *up)
{
    struct written rest = *written;
    const struct json *values;
    size_t count;
    if (finite_values(written, &values, &count))
        return try_values(proof, written, values, count, reader, here);
    const struct js_list *list = next_split(&rest);
    if (!list)
        return prove_parts(proof, written, reader, here, up);
    proof->quiet++;
    bool whole = prove_parts(proof, written, reader, here, up);
    proof->quiet--;
    if (whole)
        return true;
    for (size_t i = 0; i < list->count; i++) {
        struct written branch = rest;
        written_add(&branch, list->items[i]);
        if (!prove(proof, &branch, reader, here, up))
            return false;
    }
    return true;
}

static bool
is_under_way(const struct proof_pair *up, const struct written *written, const struct js_node *reader)
{
    for (; up; up = up->up)
        if (up->reader == reader && up->written->count == written->count &&
            memcmp(up->written->nodes, written->nodes, written->count * sizeof written->nodes[0]) == 0 &&
            memcmp(up->written->split, written->split, written->count) == 0)
            return true;
    return false;
}

bool
prove(struct proof *proof, const struct written *written, const struct js_node *reader, const struct js_node *here,
      const struct proof_pair *up)
{
    if (proof->err != CAIRN_OK)
        return false;
    if (--proof->steps < 0 || proof->depth == PROOF_DEPTH_MAX) {
        proof->steps = 0;
        return FAIL(NULL, "the schemas are too involved to be compared");
    }
    if (reader->is_true || allows_nothing(written) || written_types(written) == 0 || is_under_way(up, written, reader))
        return true;
    if (reader->is_false)
        return FAIL(NULL, "it is not allowed any more");
    if (proof->newer_reads)
        here = reader;
    struct proof_pair pair = {up, written, reader};
    proof->depth++;
    bool ok = prove_split(proof, written, reader, here, &pair);
    proof->depth--;
    return ok;
}

bool
prove_quietly(struct proof *proof, const struct written *written, const struct js_node *reader,
              const struct js_node *here, const struct proof_pair *up)
{
    proof->quiet++;
    bool ok = prove(proof, written, reader, here, up);
    proof->quiet--;
    return ok;
}

bool
proof_holds(struct proof *proof, const struct js_node *writer, const struct js_node *reader)
{
    struct written written = {.count = 0};
    written_add(&written, writer);
    return prove(proof, &written, reader, proof->newer_reads ? reader : writer, NULL);
}
