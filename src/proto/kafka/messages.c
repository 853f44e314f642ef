/* The tables of messages.h, made from messages.def. Constant data, and the way to find it. */
#include <proto/kafka/messages.h>

#include <assert.h>

#define UP INT16_MAX
#define NEVER KAFKA_NEVER
#define SELF_STRUCT struct KAFKA_JOIN(kafka_, SELF, )
#define TEXT_(name) #name
#define TEXT(name) TEXT_(name) /* of what SELF stands for */

#define BEGIN static const struct kafka_field KAFKA_JOIN(, SELF, _fields)[] = {
#define END                                                                         \
    }                                                                               \
    ;                                                                               \
    const struct kafka_struct KAFKA_JOIN(kafka_, SELF, _table) = {                  \
        TEXT(SELF), sizeof(SELF_STRUCT),                                            \
        sizeof KAFKA_JOIN(, SELF, _fields) / sizeof KAFKA_JOIN(, SELF, _fields)[0], \
        KAFKA_JOIN(, SELF, _fields)};
#define ROW(kind_, name_, tag_, first_, last_, null_from_, ...)                                             \
    {.name = #name_, .offset = offsetof(SELF_STRUCT, name_), .kind = KAFKA_##kind_, .tag = (tag_), .first = (first_), \
     .last = (last_), .null_from = (null_from_), __VA_ARGS__},
#define COUNT(name) .list = true, .beside = offsetof(SELF_STRUCT, name##_count)
#define HAS(name) .beside = offsetof(SELF_STRUCT, has_##name)

#define FIELD(kind, name, first, last) ROW(kind, name, -1, first, last, NEVER, .otherwise = 0)
#define FIELD_OR(kind, name, first, last, value) ROW(kind, name, -1, first, last, NEVER, .otherwise = (value))
#define NULLABLE(kind, name, first, last, null_from) ROW(kind, name, -1, first, last, null_from, .otherwise = 0)
#define TAGGED(kind, name, tag, first, value) ROW(kind, name, tag, first, UP, NEVER, .otherwise = (value))
#define LIST(of_, name, first, last) ROW(STRUCT, name, -1, first, last, NEVER, COUNT(name), .of = &kafka_##of_##_table)
#define LIST_NULLABLE(of_, name, first, last, null_from) \
    ROW(STRUCT, name, -1, first, last, null_from, COUNT(name), .of = &kafka_##of_##_table)
#define TAGGED_LIST(of_, name, tag, first) ROW(STRUCT, name, tag, first, UP, NEVER, COUNT(name), .of = &kafka_##of_##_table)
#define LIST_OF(kind, name, first, last) ROW(kind, name, -1, first, last, NEVER, COUNT(name))
#define LIST_OF_NULLABLE(kind, name, first, last, null_from) ROW(kind, name, -1, first, last, null_from, COUNT(name))
#define STRUCT(of_, name, first, last) ROW(STRUCT, name, -1, first, last, NEVER, .of = &kafka_##of_##_table)
#define STRUCT_NULLABLE(of_, name, first, last) \
    ROW(STRUCT, name, -1, first, last, first, HAS(name), .of = &kafka_##of_##_table)
#define TAGGED_STRUCT(of_, name, tag, first) ROW(STRUCT, name, tag, first, UP, first, HAS(name), .of = &kafka_##of_##_table)
#include <proto/kafka/messages.def>

static const struct kafka_message messages[KAFKA_KEYS] = {
#define MESSAGE(key, KEY, name, Name, advertised, first, last, flexible) \
    [key] = {#Name, key, advertised, first, last, flexible, &kafka_##name##_request_table, &kafka_##name##_response_table},
#include <proto/kafka/messages.def>
};

const struct kafka_message *
kafka_message_of(int16_t key)
{
    return key >= 0 && key < KAFKA_KEYS && messages[key].name ? &messages[key] : NULL;
}

size_t
kafka_size_of(const struct kafka_field *field)
{
    switch ((enum kafka_kind)field->kind) {
    case KAFKA_INT8: case KAFKA_BOOL: return 1;
    case KAFKA_INT16: case KAFKA_UINT16: return 2;
    case KAFKA_INT32: case KAFKA_UINT32: return 4;
    case KAFKA_INT64: case KAFKA_FLOAT64: return 8;
    case KAFKA_UUID: return sizeof(cairn_uuid);
    case KAFKA_STRING: case KAFKA_BYTES: case KAFKA_RECORDS: return sizeof(cairn_str);
    case KAFKA_PIECES: return sizeof(struct kafka_pieces);
    case KAFKA_STRUCT: return field->of->size;
    }
    assert(!"a kind that is none");
    return 0;
}
