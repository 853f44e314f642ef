/* Can a reader read what a writer wrote? The rules of Avro's "Schema Resolution", each fault with its place in the reader.
 *
 * Two types that are compared already (under way or done) are not compared again: what is wrong with them has been said.
 * What was found to hold while something around it was under way may rest on that, so it is forgotten where that fails. One
 * owner thread. */
#include <schema/avro_int.h>

#include <stdio.h>

struct pair {
    uint64_t key;
    uint8_t state; /* 0: free, 1: under way, 2: reads, 3: does not, 4: not known any more */
};

#define STEPS_MAX 1000000

struct avro_match {
    struct arena *arena;
    struct pair *pairs; /* open addressing */
    size_t capacity, count;
    uint64_t *held; /* keys of those that hold, in the order in which that was found */
    size_t held_count, held_capacity;
    int64_t steps;
    struct schema_faults *faults; /* NULL: only asked whether */
    unsigned quiet, depth;
    bool nomem, limit;
};

struct place {
    const struct place *up;
    const char *keyword;
    size_t index;
};

static void
put_place(struct buf *to, const struct place *place)
{
    if (!place)
        return;
    put_place(to, place->up);
    buf_printf(to, "/%s", place->keyword);
    if (place->index != SIZE_MAX)
        buf_printf(to, "/%zu", place->index);
}

#define FAULT(match, place, type, ...)                                                                       \
    do {                                                                                                     \
        struct buf where_ = {0};                                                                             \
        if ((match)->faults && (match)->quiet == 0) {                                                        \
            put_place(&where_, place);                                                                       \
            if (where_.size == 0)                                                                            \
                buf_put_char(&where_, '/');                                                                  \
            schema_fault_add((match)->faults, type, buf_str(&where_), __VA_ARGS__);                          \
            buf_free(&where_);                                                                               \
        }                                                                                                    \
    } while (0)
#define CUT(text) (int)((text).size > 120 ? 120 : (text).size), (text).data

/* ---- pairs */

struct avro_match *
avro_match_create(struct arena *arena)
{
    struct avro_match *match = arena_zalloc(arena, sizeof *match);
    if (match)
        match->arena = arena;
    return match;
}

static struct pair *
slot_of(struct pair *pairs, size_t capacity, uint64_t key)
{
    for (size_t i = (size_t)hash64(&key, sizeof key, 0);; i++) {
        struct pair *pair = &pairs[i & (capacity - 1)];
        if (pair->state == 0 || pair->key == key)
            return pair;
    }
}

/* NULL: no memory or too many. */
static struct pair *
find_pair(struct avro_match *match, const struct avro_node *reader, const struct avro_node *writer)
{
    uint64_t key = (uint64_t)reader->number << 32 | writer->number;
    if (match->count >= AVRO_PAIRS_MAX) {
        match->limit = true;
        return NULL;
    }
    if (match->count * 2 >= match->capacity) {
        size_t capacity = match->capacity ? match->capacity * 2 : 64;
        struct pair *larger = arena_zalloc(match->arena, capacity * sizeof *larger);
        if (!larger) {
            match->nomem = true;
            return NULL;
        }
        for (size_t i = 0; i < match->capacity; i++)
            if (match->pairs[i].state)
                *slot_of(larger, capacity, match->pairs[i].key) = match->pairs[i];
        match->pairs = larger;
        match->capacity = capacity;
    }
    struct pair *pair = slot_of(match->pairs, match->capacity, key);
    if (pair->state == 0)
        pair->key = key;
    return pair;
}

static bool
remember(struct avro_match *match, uint64_t key)
{
    if (match->held_count == match->held_capacity) {
        size_t capacity = match->held_capacity ? match->held_capacity * 2 : 64;
        uint64_t *larger = arena_alloc(match->arena, capacity * sizeof *larger);
        if (!larger) {
            match->nomem = true;
            return false;
        }
        if (match->held_count)
            memcpy(larger, match->held, match->held_count * sizeof *larger);
        match->held = larger;
        match->held_capacity = capacity;
    }
    match->held[match->held_count++] = key;
    return true;
}

static void
forget_since(struct avro_match *match, size_t count)
{
    while (match->held_count > count)
        slot_of(match->pairs, match->capacity, match->held[--match->held_count])->state = 4;
}

/* ---- what both the comparison and the reader of data ask */

bool
avro_is_promoted(enum avro_type writer, enum avro_type reader)
{
    switch (reader) {
    case AVRO_LONG: return writer == AVRO_INT;
    case AVRO_FLOAT: return writer == AVRO_INT || writer == AVRO_LONG;
    case AVRO_DOUBLE: return writer == AVRO_INT || writer == AVRO_LONG || writer == AVRO_FLOAT;
    case AVRO_STRING: return writer == AVRO_BYTES;
    case AVRO_BYTES: return writer == AVRO_STRING;
    default: return false;
    }
}

bool
avro_names_match(const struct avro_node *reader, const struct avro_node *writer)
{
    if (cairn_str_equal(avro_short_name(reader->name), avro_short_name(writer->name)))
        return true;
    for (size_t i = 0; i < reader->alias_count; i++)
        if (cairn_str_equal(reader->aliases[i], writer->name))
            return true;
    return false;
}

const struct avro_field *
avro_writer_field(const struct avro_node *writer, const struct avro_field *reader)
{
    for (size_t i = 0; i < writer->field_count; i++)
        if (cairn_str_equal(writer->fields[i].name, reader->name))
            return &writer->fields[i];
    for (size_t a = 0; a < reader->alias_count; a++)
        for (size_t i = 0; i < writer->field_count; i++)
            if (cairn_str_equal(writer->fields[i].name, reader->aliases[a]))
                return &writer->fields[i];
    return NULL;
}

ptrdiff_t
avro_symbol(const struct avro_node *node, cairn_str symbol)
{
    for (size_t i = 0; i < node->symbol_count; i++)
        if (cairn_str_equal(node->symbols[i], symbol))
            return (ptrdiff_t)i;
    return -1;
}

/* ---- comparing */

static bool reads(struct avro_match *match, const struct avro_node *reader, const struct avro_node *writer,
                  const struct place *at);

static bool
named(struct avro_match *match, const struct avro_node *reader, const struct avro_node *writer, const struct place *at)
{
    if (avro_names_match(reader, writer))
        return true;
    struct place here = {at, "name", SIZE_MAX};
    FAULT(match, &here, "NAME_MISMATCH", "the reader's %.*s is not the writer's %.*s", CUT(reader->name), CUT(writer->name));
    return false;
}

static bool
record_reads(struct avro_match *match, const struct avro_node *reader, const struct avro_node *writer, const struct place *at)
{
    bool holds = named(match, reader, writer, at);
    for (size_t i = 0; i < reader->field_count; i++) {
        const struct avro_field *field = &reader->fields[i], *written = avro_writer_field(writer, field);
        struct place here = {at, "fields", i}, type = {&here, "type", SIZE_MAX};
        if (written) {
            holds &= reads(match, field->type, written->type, &type);
        } else if (field->fallback.type == JSON_NONE) {
            FAULT(match, &here, "READER_FIELD_MISSING_DEFAULT_VALUE",
                  "the field '%.*s' has no default value and is not in the writer's schema", CUT(field->name));
            holds = false;
        }
    }
    return holds;
}

static bool
enum_reads(struct avro_match *match, const struct avro_node *reader, const struct avro_node *writer, const struct place *at)
{
    bool holds = named(match, reader, writer, at);
    if (reader->symbol_default.type != JSON_NONE)
        return holds;
    struct place here = {at, "symbols", SIZE_MAX};
    for (size_t i = 0; i < writer->symbol_count; i++)
        if (avro_symbol(reader, writer->symbols[i]) < 0) {
            FAULT(match, &here, "MISSING_ENUM_SYMBOLS", "the reader lacks the symbol '%.*s' of %.*s and has no default",
                  CUT(writer->symbols[i]), CUT(writer->name));
            holds = false;
        }
    return holds;
}

static bool
fixed_reads(struct avro_match *match, const struct avro_node *reader, const struct avro_node *writer, const struct place *at)
{
    bool holds = named(match, reader, writer, at);
    if (reader->size == writer->size)
        return holds;
    struct place here = {at, "size", SIZE_MAX};
    FAULT(match, &here, "FIXED_SIZE_MISMATCH", "expected %llu bytes, the writer has %llu", (unsigned long long)reader->size,
          (unsigned long long)writer->size);
    return false;
}

static bool
mismatch(struct avro_match *match, const struct avro_node *reader, const struct avro_node *writer, const struct place *at)
{
    struct place here = {at, "type", SIZE_MAX};
    FAULT(match, &here, "TYPE_MISMATCH", "the reader expects %s, the writer has %s", avro_type_names[reader->type],
          avro_type_names[writer->type]);
    return false;
}

/* Every branch that may have been written. */
static bool
from_union(struct avro_match *match, const struct avro_node *reader, const struct avro_node *writer, const struct place *at)
{
    bool holds = true;
    for (size_t i = 0; i < writer->branch_count; i++)
        holds &= reads(match, reader, writer->branches[i], at);
    return holds;
}

static bool
into_union(struct avro_match *match, const struct avro_node *reader, const struct avro_node *writer, const struct place *at)
{
    match->quiet++;
    bool holds = false;
    for (size_t i = 0; i < reader->branch_count && !holds; i++)
        holds = reads(match, reader->branches[i], writer, at);
    match->quiet--;
    if (!holds) {
        cairn_str name = writer->name.size ? writer->name : cairn_cstr(avro_type_names[writer->type]);
        FAULT(match, at, "MISSING_UNION_BRANCH", "the reader's union lacks the writer's type %.*s", CUT(name));
    }
    return holds;
}

static bool
compare(struct avro_match *match, const struct avro_node *reader, const struct avro_node *writer, const struct place *at)
{
    if (writer->type == AVRO_UNION)
        return from_union(match, reader, writer, at);
    if (reader->type == AVRO_UNION)
        return into_union(match, reader, writer, at);
    if (reader->type != writer->type)
        return avro_is_promoted(writer->type, reader->type) || mismatch(match, reader, writer, at);
    struct place below = {at, reader->type == AVRO_ARRAY ? "items" : "values", SIZE_MAX};
    switch (reader->type) {
    case AVRO_RECORD: return record_reads(match, reader, writer, at);
    case AVRO_ENUM: return enum_reads(match, reader, writer, at);
    case AVRO_FIXED: return fixed_reads(match, reader, writer, at);
    case AVRO_ARRAY:
    case AVRO_MAP: return reads(match, reader->item, writer->item, &below);
    default: return true;
    }
}

/* A pair that turned out badly while nobody was told is compared once more where somebody is. */
static bool
reads(struct avro_match *match, const struct avro_node *reader, const struct avro_node *writer, const struct place *at)
{
    struct pair *pair = find_pair(match, reader, writer);
    if (!pair)
        return false;
    if (pair->state == 1 || pair->state == 2)
        return true;
    bool told = match->faults && match->quiet == 0;
    if (pair->state == 3 && !told)
        return false;
    if (match->depth >= AVRO_DEPTH_MAX || ++match->steps > STEPS_MAX) {
        match->limit = true;
        return false;
    }
    match->count += pair->state == 0;
    pair->state = 1;
    uint64_t key = pair->key;
    size_t before = match->held_count;
    match->depth++;
    bool holds = compare(match, reader, writer, at);
    match->depth--;
    if (!holds)
        forget_since(match, before);
    slot_of(match->pairs, match->capacity, key)->state = holds ? 2 : 3;
    return holds && remember(match, key);
}

bool
avro_node_reads(struct avro_match *match, const struct avro_node *reader, const struct avro_node *writer)
{
    return reads(match, reader, writer, NULL);
}

cairn_err
avro_compatible(const struct avro_schema *reader, const struct avro_schema *writer, struct schema_faults *faults,
                cairn_error *error)
{
    struct arena scratch = {0};
    struct avro_match match = {.arena = &scratch, .faults = faults};
    bool holds = reads(&match, reader->root, writer->root, NULL);
    arena_free(&scratch);
    if (match.nomem || (faults && faults->nomem))
        return error_set(error, CAIRN_E_NOMEM, "no memory to compare schemas");
    if (match.limit) {
        if (faults)
            schema_fault_add(faults, "TYPE_MISMATCH", CAIRN_STR("/"), "the schemas are too large to be compared");
        return error_set(error, CAIRN_E_INVALID, "the schemas are too large to be compared");
    }
    if (holds)
        return CAIRN_OK;
    bool any = faults && schema_faults_kept(faults) > 0;
    return error_set(error, CAIRN_E_INVALID, "%s", any ? faults->items[0].message.data : "the reader cannot read what was written");
}
