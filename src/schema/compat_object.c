/* What concerns members, for the proof of compat_prove.c.
 *
 * The names a writer may use fall into those that its schemas spell out and all others. The former are looked at one by one.
 * For the others one of the schemas that hold must say enough by itself: its additionalProperties and its patterns. */
#include <schema/compat_int.h>

#define FAIL(...) proof_fail(proof, proof_place(proof, reader, here), __VA_ARGS__)
#define SHOWN(text) (int)((text).size > 100 ? 100 : (text).size), (text).data

/* 1: matches, 0: does not, -1: could not be computed. */
static int
ask_pattern(struct proof *proof, const struct js_pattern *pattern, cairn_str name)
{
    void *scratch = NULL;
    int64_t steps = JS_STEPS_MAX;
    int found = js_pattern_match(pattern, name, &scratch, &steps);
    js_pattern_scratch_free(scratch);
    proof->steps -= 1 + (JS_STEPS_MAX - steps) / 1000;
    return found < 0 || steps < 0 ? -1 : found;
}

const struct js_property *
proof_property(const struct js_node *node, cairn_str name)
{
    const struct js_object *object = node->object;
    if (!object || object->property_count == 0)
        return NULL;
    for (size_t i = (size_t)hash64(name.data, name.size, 0);; i++) {
        uint32_t slot = object->slots[i & object->slot_mask];
        if (slot == 0)
            return NULL;
        if (cairn_str_equal(object->properties[slot - 1].name, name))
            return &object->properties[slot - 1];
    }
}

bool
proof_requires(const struct written *written, cairn_str name)
{
    for (size_t i = 0; i < written->count; i++) {
        const struct js_property *property = proof_property(written->nodes[i], name);
        if (property && property->required >= 0)
            return true;
    }
    return false;
}

void
proof_member(struct proof *proof, const struct written *written, cairn_str name, struct written *ret)
{
    ret->count = 0;
    ret->overflow = false;
    for (size_t i = 0; i < written->count; i++) {
        const struct js_object *object = written->nodes[i]->object;
        if (!object)
            continue;
        const struct js_property *property = proof_property(written->nodes[i], name);
        bool known = property && property->node;
        if (known)
            written_add(ret, property->node);
        for (size_t p = 0; p < object->pattern_count; p++) {
            int found = ask_pattern(proof, object->patterns[p].pattern, name);
            known = known || found != 0; /* if in doubt, additionalProperties may not apply */
            if (found == 1)
                written_add(ret, object->patterns[p].node);
        }
        if (!known && object->additional)
            written_add(ret, object->additional);
    }
}

/* The i-th name that any of the schemas spells out; false after the last. */
static bool
spelt_name(const struct written *written, size_t i, cairn_str *ret)
{
    for (size_t w = 0; w < written->count; w++) {
        const struct js_object *object = written->nodes[w]->object;
        if (!object)
            continue;
        if (i < object->property_count) {
            *ret = object->properties[i].name;
            return true;
        }
        i -= object->property_count;
    }
    return false;
}

static bool
member_is_forbidden(const struct written *member)
{
    for (size_t i = 0; i < member->count; i++)
        if (member->nodes[i]->is_false)
            return true;
    return false;
}

static const struct js_node *
member_here(const struct proof *proof, const struct written *member, const struct js_node *here)
{
    return member->count && !proof->newer_reads ? member->nodes[0] : here;
}

static bool
prove_node(struct proof *proof, const struct js_node *writer, const struct js_node *reader, const struct js_node *here,
           const struct proof_pair *up)
{
    struct written written = {.count = 0};
    written_add(&written, writer);
    return prove_quietly(proof, &written, reader, here, up);
}

static bool
prove_property(struct proof *proof, const struct written *written, const struct js_property *wanted,
               const struct js_node *here, const struct proof_pair *up)
{
    struct written member;
    proof_member(proof, written, wanted->name, &member);
    if (member.count > 0)
        return prove(proof, &member, wanted->node, member_here(proof, &member, here), up);
    return prove_quietly(proof, &member, wanted->node, here, up) ||
           proof_fail(proof, proof_place(proof, wanted->node, here), NULL,
                      "\"%.*s\" is restricted, and was open to any value before (\"additionalProperties\": false "
                      "in the first version keeps that door shut)",
                      SHOWN(wanted->name));
}

/* ---- names that are not spelt out */

static bool
has_pattern(const struct js_object *object, cairn_str text)
{
    for (size_t i = 0; i < object->pattern_count; i++)
        if (cairn_str_equal(object->patterns[i].text, text))
            return true;
    return false;
}

/* One of the schemas alone sees to it that members with other names satisfy `rule`. but_patterns: members do not matter that
 * its patterns name when `reader` has the same pattern. */
static bool
others_satisfy(struct proof *proof, const struct written *written, const struct js_node *rule, const struct js_node *reader,
               bool but_patterns, const struct js_node *here, const struct proof_pair *up)
{
    for (size_t w = 0; w < written->count; w++) {
        const struct js_object *object = written->nodes[w]->object;
        if (!object || !object->additional)
            continue;
        bool ok = prove_node(proof, object->additional, rule, here, up);
        for (size_t p = 0; ok && p < object->pattern_count; p++)
            ok = (but_patterns && has_pattern(reader->object, object->patterns[p].text)) ||
                 prove_node(proof, object->patterns[p].node, rule, here, up);
        if (ok)
            return true;
    }
    struct written anything = {.count = 0};
    return prove_quietly(proof, &anything, rule, here, up);
}

static bool
prove_pattern(struct proof *proof, const struct written *written, const struct js_node *reader,
              const struct js_pattern_property *wanted, const struct js_node *here, const struct proof_pair *up)
{
    cairn_str name;
    bool ok = true, same = false;
    for (size_t i = 0; spelt_name(written, i, &name); i++) {
        struct written member;
        if (ask_pattern(proof, wanted->pattern, name) == 0)
            continue;
        proof_member(proof, written, name, &member);
        ok &= prove(proof, &member, wanted->node, member_here(proof, &member, here), up);
    }
    for (size_t w = 0; w < written->count && !same; w++) {
        const struct js_object *object = written->nodes[w]->object;
        for (size_t p = 0; object && p < object->pattern_count && !same; p++)
            same = cairn_str_equal(object->patterns[p].text, wanted->text) &&
                   prove_node(proof, object->patterns[p].node, wanted->node, here, up);
    }
    if (!same && !others_satisfy(proof, written, wanted->node, reader, false, here, up))
        ok = FAIL("patternProperties", "members named like %.*s are restricted further", SHOWN(wanted->text));
    return ok;
}

static bool
reader_names(struct proof *proof, const struct js_node *reader, cairn_str name)
{
    const struct js_property *property = proof_property(reader, name);
    bool named = property && property->node;
    for (size_t p = 0; !named && p < reader->object->pattern_count; p++)
        named = ask_pattern(proof, reader->object->patterns[p].pattern, name) == 1;
    return named;
}

static bool
prove_additional(struct proof *proof, const struct written *written, const struct js_node *reader,
                 const struct js_node *here, const struct proof_pair *up)
{
    const struct js_node *rule = reader->object->additional;
    cairn_str name;
    bool ok = true;
    for (size_t i = 0; spelt_name(written, i, &name); i++) {
        struct written member;
        if (reader_names(proof, reader, name))
            continue;
        proof_member(proof, written, name, &member);
        if (!prove_quietly(proof, &member, rule, here, up))
            ok = FAIL("additionalProperties", "\"%.*s\" was allowed and is %s", SHOWN(name),
                      rule->is_false ? "refused" : "restricted");
    }
    if (!others_satisfy(proof, written, rule, reader, true, here, up))
        ok = FAIL("additionalProperties", "other members were allowed and are %s", rule->is_false ? "refused" : "restricted");
    return ok;
}

/* ---- names, numbers of members, dependents */

static bool
prove_names(struct proof *proof, const struct written *written, const struct js_node *reader, const struct js_node *here,
            const struct proof_pair *up)
{
    static const struct js_node a_string = {.types = JS_STRING, .index = SIZE_MAX};
    struct written names = {.count = 0};
    written_add(&names, &a_string);
    for (size_t w = 0; w < written->count; w++)
        if (written->nodes[w]->object && written->nodes[w]->object->names)
            written_add(&names, written->nodes[w]->object->names);
    if (prove_quietly(proof, &names, reader->object->names, here, up))
        return true;
    bool closed = false, ok = true;
    for (size_t w = 0; w < written->count; w++) {
        const struct js_object *object = written->nodes[w]->object;
        closed |= object && object->additional && object->additional->is_false && object->pattern_count == 0;
    }
    cairn_str name;
    for (size_t i = 0; closed && ok && spelt_name(written, i, &name); i++) {
        struct written member;
        struct buf text = {0};
        proof_member(proof, written, name, &member);
        if (member_is_forbidden(&member))
            continue;
        json_put_string(&text, name);
        ok = !text.failed && proof_node_holds(proof, reader->object->names, json_trusted(buf_str(&text)));
        buf_free(&text);
    }
    return (closed && ok) || FAIL("propertyNames", "\"propertyNames\" refuses names that were allowed");
}

static bool
prove_counts(struct proof *proof, const struct written *written, const struct js_node *reader, const struct js_node *here)
{
    const struct js_object *wanted = reader->object;
    uint64_t min = 0, max = UINT64_MAX;
    bool ok = true;
    for (size_t w = 0; w < written->count; w++) {
        const struct js_object *object = written->nodes[w]->object;
        if (!object)
            continue;
        min = object->min > min ? object->min : min;
        min = object->required_count > min ? object->required_count : min;
        max = object->max < max ? object->max : max;
        if (object->additional && object->additional->is_false && object->pattern_count == 0 && object->property_count < max)
            max = object->property_count;
    }
    if (min < wanted->min)
        ok = FAIL("minProperties", "\"minProperties\" is %llu, was %llu", (unsigned long long)wanted->min, (unsigned long long)min);
    if (max > wanted->max)
        ok = FAIL("maxProperties", "\"maxProperties\" is %llu, and more were allowed", (unsigned long long)wanted->max);
    return ok;
}

static bool
prove_dependent(struct proof *proof, const struct written *written, const struct js_node *reader,
                const struct js_dependent *wanted, const struct js_node *here, const struct proof_pair *up)
{
    struct written member, more = *written;
    bool ok = true;
    proof_member(proof, written, wanted->name, &member);
    if (member_is_forbidden(&member))
        return true;
    for (size_t n = 0; n < wanted->name_count && ok; n++) {
        ok = proof_requires(written, wanted->names[n]);
        for (size_t w = 0; w < written->count && !ok; w++) {
            const struct js_object *object = written->nodes[w]->object;
            for (size_t d = 0; object && d < object->dependent_count && !ok; d++)
                for (size_t i = 0; i < object->dependents[d].name_count; i++)
                    ok |= cairn_str_equal(object->dependents[d].name, wanted->name) &&
                          cairn_str_equal(object->dependents[d].names[i], wanted->names[n]);
        }
    }
    for (size_t w = 0; w < written->count; w++) {
        const struct js_object *object = written->nodes[w]->object;
        for (size_t d = 0; object && d < object->dependent_count; d++)
            if (object->dependents[d].node && cairn_str_equal(object->dependents[d].name, wanted->name))
                written_add(&more, object->dependents[d].node);
    }
    if (ok && wanted->node)
        ok = prove_quietly(proof, &more, wanted->node, here, up);
    return ok || FAIL(wanted->keyword, "what \"%.*s\" brings with it was not demanded", SHOWN(wanted->name));
}

bool
prove_object(struct proof *proof, const struct written *written, const struct js_node *reader, const struct js_node *here,
             const struct proof_pair *up)
{
    const struct js_object *wanted = reader->object;
    bool ok = prove_counts(proof, written, reader, here);
    for (uint32_t i = 0; i < wanted->property_count; i++) {
        const struct js_property *property = &wanted->properties[i];
        if (property->required >= 0 && !proof_requires(written, property->name))
            ok = FAIL("required", "\"%.*s\" is required and was not", SHOWN(property->name));
        if (property->node)
            ok &= prove_property(proof, written, property, here, up);
    }
    for (size_t i = 0; i < wanted->pattern_count; i++)
        ok &= prove_pattern(proof, written, reader, &wanted->patterns[i], here, up);
    if (wanted->additional)
        ok &= prove_additional(proof, written, reader, here, up);
    if (wanted->names)
        ok &= prove_names(proof, written, reader, here, up);
    for (size_t i = 0; i < wanted->dependent_count; i++)
        ok &= prove_dependent(proof, written, reader, &wanted->dependents[i], here, up);
    return ok;
}
