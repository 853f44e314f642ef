/* Read Protobuf binary data and hold it to a message.
 *
 * Numbers that the message does not know are passed over, as every reader does; known ones must have the wire type of their
 * field (repeated numbers packed or not), text must be UTF-8 in proto3, and what is required must be there. One owner thread. */
#include <schema/protobuf_int.h>

struct checking {
    struct proto_reader reader;
    int64_t steps;
    unsigned depth;
    cairn_err err;
    cairn_error *error;
};

bool
proto_next(struct proto_reader *r, struct proto_item *ret)
{
    uint64_t tag;
    if (r->at >= r->end)
        return false;
    const uint8_t *at = varint_get(r->at, r->end, &tag);
    if (!at || tag >> 3 == 0 || tag >> 3 > PROTO_NUMBER_MAX)
        return false;
    *ret = (struct proto_item){.number = (uint32_t)(tag >> 3), .wire = tag & 7};
    switch (ret->wire) {
    case 0: at = varint_get(at, r->end, &ret->value); break;
    case 1:
    case 5: {
        size_t size = ret->wire == 1 ? 8 : 4;
        if ((size_t)(r->end - at) < size)
            return false;
        ret->value = size == 8 ? load64(at) : load32(at);
        at += size;
        break;
    }
    case 2:
        at = varint_get(at, r->end, &ret->value);
        if (!at || ret->value > (uint64_t)(r->end - at))
            return false;
        ret->bytes = (cairn_str){(const char *)at, (size_t)ret->value};
        at += ret->value;
        break;
    case 3:
    case 4: break;
    default: return false;
    }
    if (!at)
        return false;
    r->at = at;
    return true;
}

static bool
fail(struct checking *c, const struct proto_field *field, const char *what)
{
    if (c->err != CAIRN_OK)
        return false;
    size_t at = (size_t)(c->reader.at - c->reader.start);
    if (field)
        c->err = error_set(c->error, CAIRN_E_INVALID, "at byte %zu: field %u (%.*s) %s", at, field->number,
                           (int)(field->name.size > 80 ? 80 : field->name.size), field->name.data, what);
    else
        c->err = error_set(c->error, CAIRN_E_INVALID, "at byte %zu: %s", at, what);
    return false;
}

static bool check_message(struct checking *c, const struct proto_message *message, uint32_t group);

static unsigned
wire_of(enum proto_type type)
{
    switch (type) {
    case PROTO_DOUBLE:
    case PROTO_FIXED64:
    case PROTO_SFIXED64: return 1;
    case PROTO_FLOAT:
    case PROTO_FIXED32:
    case PROTO_SFIXED32: return 5;
    case PROTO_STRING:
    case PROTO_BYTES:
    case PROTO_MESSAGE: return 2;
    case PROTO_GROUP: return 3;
    default: return 0;
    }
}

/* Numbers one after another without their tags. */
static bool
check_packed(struct checking *c, const struct proto_field *field, cairn_str bytes)
{
    const uint8_t *at = (const uint8_t *)bytes.data, *end = at + bytes.size;
    unsigned wire = wire_of(field->type);
    uint64_t value;
    if (wire != 0)
        return bytes.size % (wire == 1 ? 8 : 4) == 0 || fail(c, field, "holds a packed number that is cut off");
    while (at < end) {
        at = varint_get(at, end, &value);
        if (!at)
            return fail(c, field, "holds a packed number that is cut off");
    }
    return true;
}

/* A message within the bytes of a field. */
static bool
check_inner(struct checking *c, const struct proto_field *field, cairn_str bytes)
{
    struct proto_reader outer = c->reader;
    c->reader.at = (const uint8_t *)bytes.data;
    c->reader.end = c->reader.at + bytes.size;
    bool holds = check_message(c, field->message, 0);
    c->reader = outer;
    return holds;
}

/* Groups of numbers that are not known, as far as their end. */
static bool
skip_group(struct checking *c, uint32_t number)
{
    struct proto_item item;
    if (++c->depth > PROTO_DEPTH_MAX)
        return fail(c, NULL, "groups nested too deep");
    while (proto_next(&c->reader, &item)) {
        if (--c->steps < 0)
            return fail(c, NULL, "more than a million fields");
        if (item.wire == 4) {
            c->depth--;
            return item.number == number || fail(c, NULL, "a group ends that did not begin");
        }
        if (item.wire == 3 && !skip_group(c, item.number))
            return false;
    }
    return fail(c, NULL, "a group that does not end");
}

static bool
check_field(struct checking *c, const struct proto_message *message, const struct proto_field *field, const struct proto_item *item)
{
    unsigned wire = wire_of(field->type);
    if (item->wire == 2 && wire != 2 && wire != 3 && field->label == PROTO_REPEATED)
        return check_packed(c, field, item->bytes);
    if (item->wire != wire)
        return fail(c, field, "is not of the type that the schema gives it");
    if (field->type == PROTO_GROUP)
        return check_message(c, field->message, field->number);
    if (field->type == PROTO_MESSAGE)
        return check_inner(c, field, item->bytes);
    if (field->type == PROTO_STRING && (!message->file || message->file->proto3) && !utf8_valid(item->bytes))
        return fail(c, field, "is text that is not UTF-8");
    return true;
}

/* `group`: the number whose end ends it, or 0: the end of the bytes does. Required fields are counted by a second look, which
 * only proto2 needs. */
static bool
check_message(struct checking *c, const struct proto_message *message, uint32_t group)
{
    struct proto_item item;
    const uint8_t *begin = c->reader.at;
    if (++c->depth > PROTO_DEPTH_MAX)
        return fail(c, NULL, "messages nested too deep");
    for (;;) {
        if (!proto_next(&c->reader, &item)) {
            if (c->reader.at < c->reader.end)
                return fail(c, NULL, "bytes that are no field");
            if (group)
                return fail(c, NULL, "a group that does not end");
            break;
        }
        if (--c->steps < 0)
            return fail(c, NULL, "more than a million fields");
        if (item.wire == 4) {
            if (item.number != group)
                return fail(c, NULL, "a group ends that did not begin");
            break;
        }
        const struct proto_field *field = proto_find_field(message, item.number);
        if (field ? !check_field(c, message, field, &item) : item.wire == 3 && !skip_group(c, item.number))
            return false;
    }
    c->depth--;
    for (const struct proto_field *field = message->fields; field; field = field->next) {
        if (field->label != PROTO_REQUIRED)
            continue;
        struct proto_reader again = {begin, begin, c->reader.at};
        unsigned open = 0;
        bool found = false;
        while (!found && proto_next(&again, &item)) {
            if (--c->steps < 0)
                return fail(c, NULL, "more than a million fields");
            found = open == 0 && item.number == field->number && item.wire != 4;
            open += item.wire == 3;
            open -= item.wire == 4 && open > 0;
        }
        if (!found)
            return fail(c, field, "is required and not there");
    }
    return true;
}

/* ---- message indexes */

static bool
read_index(struct checking *c, int64_t *ret)
{
    uint64_t value;
    const uint8_t *at = varint_get(c->reader.at, c->reader.end, &value);
    if (!at)
        return fail(c, NULL, "message indexes that are cut off");
    c->reader.at = at;
    *ret = (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
    return true;
}

static const struct proto_message *
find_index(struct checking *c, const struct proto_message *list, int64_t index)
{
    while (list && index > 0) {
        list = list->next;
        index--;
    }
    if (!list || index < 0)
        fail(c, NULL, "a message index that the schema does not have");
    return index < 0 ? NULL : list;
}

static const struct proto_message *
pick_message(struct checking *c, const struct protobuf_schema *schema)
{
    int64_t count, index;
    if (!read_index(c, &count))
        return NULL;
    if (count == 0)
        return find_index(c, schema->main->messages, 0);
    if (count < 0 || count > PROTO_DEPTH_MAX)
        return fail(c, NULL, "a count of message indexes that cannot be"), NULL;
    const struct proto_message *list = schema->main->messages, *message = NULL;
    for (; count > 0; count--) {
        if (!read_index(c, &index))
            return NULL;
        message = find_index(c, list, index);
        if (!message)
            return NULL;
        list = message->messages;
    }
    return message;
}

cairn_err
protobuf_check(const struct protobuf_schema *schema, cairn_str value, cairn_error *error)
{
    const uint8_t *start = (const uint8_t *)(value.data ? value.data : "");
    struct checking c = {.reader = {start, start, start + value.size}, .steps = PROTO_STEPS_MAX, .error = error};
    const struct proto_message *message = pick_message(&c, schema);
    if (message)
        check_message(&c, message, 0);
    return c.err;
}
