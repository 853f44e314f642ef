/* May one .proto file follow another? Confluent's rules: what the wire shows, and the names of messages.
 *
 * Fields are matched by number, messages by name. Types that are one on the wire (int32 and bool, string and bytes) may take
 * each other's place; labels are not looked at. A pair of messages is compared once. One owner thread. */
#include <schema/protobuf_int.h>

struct diff {
    struct schema_faults *faults;
    struct arena *arena;
    struct js_map pairs;
    unsigned depth;
    size_t steps;
    bool bad, nomem;
};

struct where {
    const struct where *up;
    cairn_str name;
};

static void
put_where(struct buf *to, const struct where *where)
{
    if (where->up)
        put_where(to, where->up);
    else
        buf_put_char(to, '#');
    buf_put_char(to, '/');
    buf_put_str(to, where->name);
}

#define CUT(text) (int)((text).size > 80 ? 80 : (text).size), (text).data
#define FAULT(d, where, type, ...)                                                        \
    do {                                                                                  \
        struct buf place_ = {0};                                                          \
        put_where(&place_, where);                                                        \
        schema_fault_add((d)->faults, type, buf_str(&place_), __VA_ARGS__);               \
        buf_free(&place_);                                                                \
        (d)->bad = true;                                                                  \
    } while (0)

static void compare_messages(struct diff *d, const struct proto_message *writer, const struct proto_message *reader,
                             const struct where *where);

/* ---- fields */

enum family { FAMILY_NUMBER, FAMILY_SIGNED, FAMILY_TEXT, FAMILY_FIXED32, FAMILY_FIXED64, FAMILY_FLOAT, FAMILY_DOUBLE, FAMILY_MESSAGE,
              FAMILY_MAP };

static enum family
family_of(const struct proto_field *field)
{
    switch (field->type) {
    case PROTO_SINT32:
    case PROTO_SINT64: return FAMILY_SIGNED;
    case PROTO_STRING:
    case PROTO_BYTES: return FAMILY_TEXT;
    case PROTO_FIXED32:
    case PROTO_SFIXED32: return FAMILY_FIXED32;
    case PROTO_FIXED64:
    case PROTO_SFIXED64: return FAMILY_FIXED64;
    case PROTO_FLOAT: return FAMILY_FLOAT;
    case PROTO_DOUBLE: return FAMILY_DOUBLE;
    case PROTO_MESSAGE:
    case PROTO_GROUP: return field->message->is_map_entry ? FAMILY_MAP : FAMILY_MESSAGE;
    default: return FAMILY_NUMBER;
    }
}

static const char *
type_word(const struct proto_field *field)
{
    if (field->type == PROTO_ENUM)
        return "an enum";
    if (field->message)
        return field->message->is_map_entry ? "a map" : field->type == PROTO_GROUP ? "a group" : "a message";
    return proto_type_names[field->type];
}

/* A message's name within its package. */
static cairn_str
local_name(const struct proto_message *message)
{
    cairn_str package = message->file->package, full = message->full;
    return package.size ? (cairn_str){full.data + package.size + 1, full.size - package.size - 1} : full;
}

static void
compare_fields(struct diff *d, const struct proto_field *writer, const struct proto_field *reader, const struct where *where)
{
    enum family was = family_of(writer), now = family_of(reader);
    bool plain = was < FAMILY_MESSAGE && now < FAMILY_MESSAGE;
    if (was != now) {
        FAULT(d, where, plain ? "FIELD_SCALAR_KIND_CHANGED" : "FIELD_KIND_CHANGED", "the field %.*s was %s and is %s",
              CUT(reader->name), type_word(writer), type_word(reader));
    } else if (was == FAMILY_MAP) {
        compare_fields(d, writer->message->by_number[0], reader->message->by_number[0], where);
        compare_fields(d, writer->message->by_number[1], reader->message->by_number[1], where);
    } else if (was == FAMILY_MESSAGE) {
        cairn_str before = local_name(writer->message), after = local_name(reader->message);
        if (!cairn_str_equal(before, after))
            FAULT(d, where, "FIELD_NAMED_TYPE_CHANGED", "the field %.*s was of %.*s and is of %.*s", CUT(reader->name), CUT(before),
                  CUT(after));
        else
            compare_messages(d, writer->message, reader->message, where);
    }
}

static cairn_str
number_text(struct diff *d, uint32_t number)
{
    struct buf text = {0};
    buf_printf(&text, "%u", number);
    cairn_str copy = arena_copy(d->arena, buf_str(&text));
    buf_free(&text);
    d->nomem |= !copy.data;
    return copy;
}

static void
compare_number(struct diff *d, const struct proto_message *writer, const struct proto_message *reader, uint32_t number,
               const struct where *up)
{
    const struct proto_field *was = proto_find_field(writer, number), *now = proto_find_field(reader, number);
    struct where where = {up, number_text(d, number)};
    if (was && now) {
        compare_fields(d, was, now, &where);
    } else if (was && was->label == PROTO_REQUIRED) {
        FAULT(d, &where, "REQUIRED_FIELD_REMOVED", "the required field %.*s was removed", CUT(was->name));
    } else if (now && now->label == PROTO_REQUIRED) {
        FAULT(d, &where, "REQUIRED_FIELD_ADDED", "the required field %.*s was added", CUT(now->name));
    } else if (was && was->oneof >= 0) {
        const struct proto_oneof *oneof = proto_oneof_at(writer, was->oneof);
        bool stays = false;
        for (const struct proto_oneof *other = reader->oneofs; other; other = other->next)
            stays |= cairn_str_equal(other->name, oneof->name);
        if (stays)
            FAULT(d, &where, "ONEOF_FIELD_REMOVED", "the field %.*s of the oneof %.*s was removed", CUT(was->name), CUT(oneof->name));
    }
}

/* A field that was in the oneof of this name and is elsewhere in the message has left it. */
static void
compare_left(struct diff *d, const struct proto_message *writer, const struct proto_message *reader, const struct proto_oneof *oneof,
             int32_t index, const struct where *up)
{
    struct where where = {up, oneof->name};
    int32_t before = -1, i = 0;
    for (const struct proto_oneof *other = writer->oneofs; other; other = other->next, i++)
        if (cairn_str_equal(other->name, oneof->name))
            before = i;
    for (const struct proto_field *field = writer->fields; field && before >= 0; field = field->next) {
        const struct proto_field *now = field->oneof == before ? proto_find_field(reader, field->number) : NULL;
        if (now && now->oneof != index)
            FAULT(d, &where, "ONEOF_FIELD_REMOVED", "the field %.*s has left the oneof %.*s", CUT(field->name), CUT(oneof->name));
    }
}

/* Of the fields that come into one oneof, at most one may have been outside any before, and then no other have been within. */
static void
compare_oneofs(struct diff *d, const struct proto_message *writer, const struct proto_message *reader, const struct where *up)
{
    int32_t index = 0;
    for (const struct proto_oneof *oneof = reader->oneofs; oneof; oneof = oneof->next, index++) {
        struct where where = {up, oneof->name};
        unsigned moved = 0, within = 0;
        for (const struct proto_field *field = reader->fields; field; field = field->next) {
            const struct proto_field *was = field->oneof == index ? proto_find_field(writer, field->number) : NULL;
            moved += was && was->oneof < 0;
            within += was && was->oneof >= 0;
        }
        if (moved > 1)
            FAULT(d, &where, "MULTIPLE_FIELDS_MOVED_TO_ONEOF", "%u fields were moved into the oneof %.*s", moved, CUT(oneof->name));
        else if (moved == 1 && within > 0)
            FAULT(d, &where, "FIELD_MOVED_TO_EXISTING_ONEOF", "a field was moved into the oneof %.*s, which there was", CUT(oneof->name));
        compare_left(d, writer, reader, oneof, index, up);
    }
}

/* ---- messages */

/* False: they have been compared, or are being. */
static bool
first_time(struct diff *d, const struct proto_message *writer, const struct proto_message *reader)
{
    const struct proto_message *pair[2] = {writer, reader};
    char *key = arena_alloc(d->arena, sizeof pair);
    if (!key) {
        d->nomem = true;
        return false;
    }
    memcpy(key, pair, sizeof pair);
    cairn_str text = {key, sizeof pair};
    if (js_map_get(&d->pairs, text))
        return false;
    d->nomem |= !js_map_put(&d->pairs, d->arena, text, d);
    return !d->nomem;
}

static const struct proto_message *
find_message(const struct proto_message *list, cairn_str name)
{
    while (list && !cairn_str_equal(list->name, name))
        list = list->next;
    return list;
}

static void
compare_lists(struct diff *d, const struct proto_message *writer, const struct proto_message *reader, const struct where *up)
{
    for (; writer; writer = writer->next) {
        const struct proto_message *now = find_message(reader, writer->name);
        struct where where = {up, writer->name};
        if (now)
            compare_messages(d, writer, now, &where);
        else
            FAULT(d, &where, "MESSAGE_REMOVED", "the message %.*s was removed", CUT(writer->full));
    }
}

static void
compare_messages(struct diff *d, const struct proto_message *writer, const struct proto_message *reader, const struct where *where)
{
    if (!first_time(d, writer, reader))
        return;
    if (++d->depth > 4 * PROTO_DEPTH_MAX || ++d->steps > PROTO_STEPS_MAX) {
        FAULT(d, where, "NOT_COMPARABLE", "the schemas are too large to be compared");
        d->depth--;
        return;
    }
    compare_oneofs(d, writer, reader, where);
    for (size_t i = 0, j = 0; i < writer->field_count || j < reader->field_count;) {
        uint32_t was = i < writer->field_count ? writer->by_number[i]->number : UINT32_MAX;
        uint32_t now = j < reader->field_count ? reader->by_number[j]->number : UINT32_MAX;
        compare_number(d, writer, reader, was < now ? was : now, where);
        i += was <= now;
        j += now <= was;
    }
    compare_lists(d, writer->messages, reader->messages, where);
    d->depth--;
}

cairn_err
protobuf_compatible(const struct protobuf_schema *reader, const struct protobuf_schema *writer, struct schema_faults *faults,
                    cairn_error *error)
{
    struct arena scratch = {0};
    struct diff d = {.faults = faults, .arena = &scratch};
    const struct proto_file *was = writer->main, *now = reader->main;
    if (!cairn_str_equal(was->package, now->package)) {
        schema_fault_add(faults, "PACKAGE_CHANGED", CAIRN_STR("#/"), "the package was \"%.*s\" and is \"%.*s\"", CUT(was->package),
                         CUT(now->package));
        d.bad = true;
    }
    for (const struct proto_message *message = was->messages; message; message = message->next) {
        const struct proto_message *there = find_message(now->messages, message->name);
        struct where where = {NULL, message->name};
        if (there)
            compare_messages(&d, message, there, &where);
        else
            FAULT(&d, &where, "MESSAGE_REMOVED", "the message %.*s was removed", CUT(message->full));
    }
    arena_free(&scratch);
    if (d.nomem || faults->nomem)
        return error_set(error, CAIRN_E_NOMEM, "no memory to compare schemas");
    if (!d.bad)
        return CAIRN_OK;
    return error_set(error, CAIRN_E_INVALID, "%s", schema_faults_kept(faults) ? faults->items[0].message.data : "not compatible");
}
