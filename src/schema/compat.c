/* Compatibility levels: who must be able to read what, asked of the proof in compat_prove.c. One owner thread. */
#include <schema/compat_int.h>

#include <stdio.h>

static const struct {
    const char *name;
    bool backward, forward, transitive;
} levels[] = {
    [COMPAT_NONE] = {"NONE", false, false, false},
    [COMPAT_BACKWARD] = {"BACKWARD", true, false, false},
    [COMPAT_BACKWARD_TRANSITIVE] = {"BACKWARD_TRANSITIVE", true, false, true},
    [COMPAT_FORWARD] = {"FORWARD", false, true, false},
    [COMPAT_FORWARD_TRANSITIVE] = {"FORWARD_TRANSITIVE", false, true, true},
    [COMPAT_FULL] = {"FULL", true, true, false},
    [COMPAT_FULL_TRANSITIVE] = {"FULL_TRANSITIVE", true, true, true},
};

bool
compat_level_parse(cairn_str text, enum compat_level *ret)
{
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
        if (cairn_str_equal(text, cairn_cstr(levels[i].name))) {
            *ret = (enum compat_level)i;
            return true;
        }
    return false;
}

const char *
compat_level_name(enum compat_level level)
{
    return levels[level].name;
}

struct check {
    struct arena *arena;
    struct compat_fault *faults;
    size_t fault_max, fault_count, found; /* found: also those that there was no room for */
    cairn_error *error;
    struct compat_fault first;
};

static cairn_err
add_fault(struct check *check, uint32_t version, cairn_str place, const char *message)
{
    struct compat_fault fault = {version, arena_copy(check->arena, place), arena_copy(check->arena, cairn_cstr(message))};
    if (!fault.place.data || !fault.message.data)
        return error_set(check->error, CAIRN_E_NOMEM, "no memory to compare schemas");
    if (check->found++ == 0)
        check->first = fault;
    if (check->fault_count < check->fault_max)
        check->faults[check->fault_count++] = fault;
    return CAIRN_OK;
}

/* *ret stays NULL where the text is no schema that can be compared: that is a fault. */
static cairn_err
compile(struct check *check, cairn_str text, uint32_t version, bool is_newer, struct json_schema **ret)
{
    struct json_schema_options options = {.assert_formats = true};
    cairn_error inner = {.code = CAIRN_OK};
    char message[400];
    cairn_err err = json_schema_compile(text, &options, ret, &inner);
    if (err == CAIRN_E_NOMEM)
        return error_set(check->error, err, "no memory to compare schemas");
    if (err != CAIRN_OK) {
        *ret = NULL;
        snprintf(message, sizeof message, "%s cannot be compared: %s", is_newer ? "the new schema" : "the earlier schema",
                 inner.detail);
        return add_fault(check, version, (cairn_str){"", 0}, message);
    }
    if (!(*ret)->dynamic)
        return CAIRN_OK;
    json_schema_free(*ret);
    *ret = NULL;
    return add_fault(check, version, (cairn_str){"", 0}, "a schema with \"$dynamicRef\" cannot be compared with another");
}

static cairn_err
prove_one_way(struct check *check, uint32_t version, const struct json_schema *writer, const struct json_schema *reader,
              bool newer_reads)
{
    struct compat_fault faults[16];
    char name[32];
    snprintf(name, sizeof name, "version %u", version);
    struct arena scratch = {0};
    struct proof proof = {.arena = &scratch, .faults = faults, .fault_max = sizeof faults / sizeof faults[0],
                          .version = version, .newer_reads = newer_reads, .steps = PROOF_STEPS_MAX,
                          .reader_name = newer_reads ? "the new schema" : name,
                          .writer_name = newer_reads ? name : "the new schema"};
    bool holds = proof_holds(&proof, writer->root, reader->root);
    cairn_err err = proof.err == CAIRN_OK ? CAIRN_OK : error_set(check->error, proof.err, "no memory to compare schemas");
    for (size_t i = 0; i < proof.fault_count && err == CAIRN_OK; i++)
        err = add_fault(check, version, faults[i].place, faults[i].message.data);
    if (!holds && proof.fault_count == 0 && err == CAIRN_OK)
        err = add_fault(check, version, (cairn_str){"", 0}, "the schemas cannot be compared");
    arena_free(&scratch);
    return err;
}

cairn_err
compat_reads(const struct json_schema *reader, const struct json_schema *writer, struct schema_faults *faults, cairn_error *error)
{
    struct compat_fault found[16];
    struct arena scratch = {0};
    struct proof proof = {.arena = &scratch, .faults = found, .fault_max = sizeof found / sizeof found[0], .version = 1,
                          .newer_reads = true, .steps = PROOF_STEPS_MAX, .reader_name = "the reader",
                          .writer_name = "the writer"};
    bool dynamic = reader->dynamic || writer->dynamic;
    bool holds = !dynamic && proof_holds(&proof, writer->root, reader->root);
    for (size_t i = 0; i < proof.fault_count; i++)
        schema_fault_add(faults, "NARROWED", found[i].place, "%.*s", (int)found[i].message.size, found[i].message.data);
    if (!holds && proof.fault_count == 0)
        schema_fault_add(faults, "NOT_COMPARABLE", (cairn_str){"", 0}, "%s",
                         dynamic ? "a schema with \"$dynamicRef\" cannot be compared with another" : "the schemas cannot be compared");
    arena_free(&scratch);
    if (proof.err != CAIRN_OK || faults->nomem)
        return error_set(error, CAIRN_E_NOMEM, "no memory to compare schemas");
    return holds ? CAIRN_OK : error_set(error, CAIRN_E_INVALID, "the reader's schema allows less than the writer's");
}

/* The same as JSON: each reads the other, whatever it says. */
static bool
same_schema(cairn_str a, cairn_str b, struct arena *arena)
{
    int64_t steps = JS_STEPS_MAX;
    struct js_compare compare = {.arena = arena, .steps = &steps};
    struct json x, y;
    if (cairn_str_equal(a, b))
        return true;
    return json_check(a, &x, NULL) == CAIRN_OK && json_check(b, &y, NULL) == CAIRN_OK && js_equal(&compare, x, y) &&
           !compare.nomem && steps >= 0;
}

static cairn_err
check_one(struct check *check, enum compat_level level, uint32_t version, cairn_str earlier, cairn_str newer_text,
          const struct json_schema *newer)
{
    struct json_schema *older = NULL;
    if (same_schema(earlier, newer_text, check->arena))
        return CAIRN_OK;
    cairn_err err = compile(check, earlier, version, false, &older);
    if (err == CAIRN_OK && older && levels[level].backward)
        err = prove_one_way(check, version, older, newer, true);
    if (err == CAIRN_OK && older && levels[level].forward)
        err = prove_one_way(check, version, newer, older, false);
    json_schema_free(older);
    return err;
}

cairn_err
compat_check(enum compat_level level, const cairn_str *earlier, size_t count, cairn_str newer, struct arena *arena,
             struct compat_fault *ret_faults, size_t fault_max, size_t *ret_count, cairn_error *error)
{
    struct check check = {.arena = arena, .faults = ret_faults, .fault_max = ret_faults ? fault_max : 0, .error = error};
    struct json_schema *schema = NULL;
    cairn_err err = CAIRN_OK;
    size_t first = levels[level].transitive || count == 0 ? 0 : count - 1;
    bool all_same = true;
    for (size_t i = first; i < count; i++)
        all_same &= same_schema(earlier[i], newer, arena);
    if (level != COMPAT_NONE && !all_same) {
        err = compile(&check, newer, (uint32_t)count, true, &schema);
        for (size_t i = count; schema && i-- > first && err == CAIRN_OK;)
            err = check_one(&check, level, (uint32_t)i + 1, earlier[i], newer, schema);
    }
    json_schema_free(schema);
    if (ret_count)
        *ret_count = check.fault_count;
    if (err != CAIRN_OK || check.found == 0)
        return err;
    return error_set(error, CAIRN_E_INVALID, "not %s compatible with version %u: %s%.*s%s%.*s", levels[level].name,
                     check.first.version, check.first.place.size ? "at " : "", (int)check.first.place.size,
                     check.first.place.data, check.first.place.size ? ": " : "", (int)check.first.message.size,
                     check.first.message.data);
}
