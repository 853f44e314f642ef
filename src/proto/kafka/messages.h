/* proto/kafka/messages.h: Kafka's messages as C structs, and the tables by which codec.c reads and writes them.
 *
 * All of it is made from messages.def. For a message `metadata` there are struct kafka_metadata_request, its elements (struct
 * kafka_metadata_request_topic …) and struct kafka_metadata_response; for each struct S a table kafka_S_table.
 *
 *   text and bytes   cairn_str. {NULL, 0} is null where the version has nulls there, else empty.
 *   lists            pointer and `<name>_count`; -1 is null where the version has nulls there, else empty.
 *   struct that may be absent   bool `has_<name>` before it
 *
 * A request's memory is its call's: text points into the request's bytes, lists into the call's arena. A response belongs to
 * whoever answers. A field that the version does not have has its default after decoding, and is not written. */
#ifndef PROTO_KAFKA_MESSAGES_H
#define PROTO_KAFKA_MESSAGES_H

#include <cairn/types.h>

/* Record batches handed over in pieces, so that they need not be copied together. Null is not needed. */
struct kafka_piece {
    cairn_str bytes;  /* data NULL: */
    int file;         /* they lie in a file (os_descriptor()), which stays open as long as the bytes would stay */
    uint64_t file_at;
};
struct kafka_pieces {
    struct kafka_piece *items;
    size_t count;
};

/* ---- what the tables are made of -------------------------------------------------------------------------------------- */

enum kafka_kind {
    KAFKA_INT8, KAFKA_INT16, KAFKA_INT32, KAFKA_INT64, KAFKA_UINT16, KAFKA_UINT32, KAFKA_FLOAT64, KAFKA_BOOL, KAFKA_UUID,
    KAFKA_STRING, KAFKA_BYTES, KAFKA_RECORDS, KAFKA_PIECES,
    KAFKA_STRUCT
};

#define KAFKA_NEVER 32767 /* a version that no message reaches */

struct kafka_field {
    const char *name;
    uint8_t kind;           /* of the field, or of a list's elements */
    bool list;
    int16_t tag;            /* -1: not a tagged field */
    int16_t first, last;    /* versions */
    int16_t null_from;      /* KAFKA_NEVER: it is never null */
    uint16_t offset;        /* in the struct */
    uint16_t beside;        /* of a list's count, of a struct's has_ */
    int64_t otherwise;      /* of numbers */
    const struct kafka_struct *of;
};

struct kafka_struct {
    const char *name;
    uint32_t size;
    uint32_t field_count;
    const struct kafka_field *fields;
};

struct kafka_message {
    const char *name;      /* "Metadata" */
    int16_t key;
    int16_t advertised;    /* where ApiVersions says that the versions begin */
    int16_t first, last;   /* what is served */
    int16_t flexible;      /* first version with compact lengths and tagged fields */
    const struct kafka_struct *request, *response;
};

/* What one value (a list's element) takes in memory; of numbers and ids also on the wire. */
size_t kafka_size_of(const struct kafka_field *field);

/* NULL: no message of this server's. */
const struct kafka_message *kafka_message_of(int16_t key);
#define KAFKA_KEYS 76 /* all keys are below this */

static inline bool
kafka_is_flexible(const struct kafka_message *message, int16_t version)
{
    return version >= message->flexible;
}

/* ---- from messages.def ------------------------------------------------------------------------------------------------- */

enum {
#define MESSAGE(key, KEY, name, Name, advertised, first, last, flexible) KAFKA_API_##KEY = (key),
#include <proto/kafka/messages.def>
#undef MESSAGE
};

#define KAFKA_C_INT8 int8_t
#define KAFKA_C_INT16 int16_t
#define KAFKA_C_INT32 int32_t
#define KAFKA_C_INT64 int64_t
#define KAFKA_C_UINT16 uint16_t
#define KAFKA_C_UINT32 uint32_t
#define KAFKA_C_FLOAT64 double
#define KAFKA_C_BOOL bool
#define KAFKA_C_UUID cairn_uuid
#define KAFKA_C_STRING cairn_str
#define KAFKA_C_BYTES cairn_str
#define KAFKA_C_RECORDS cairn_str
#define KAFKA_C_PIECES struct kafka_pieces

#define KAFKA_JOIN_(a, b, c) a##b##c
#define KAFKA_JOIN(a, b, c) KAFKA_JOIN_(a, b, c) /* with what SELF stands for */
#define KAFKA_DECLARE_LIST(type, name) \
    type *name;                        \
    int32_t name##_count;

#define BEGIN struct KAFKA_JOIN(kafka_, SELF, ) {
#define END                                    \
    }                                          \
    ;                                          \
    extern const struct kafka_struct KAFKA_JOIN(kafka_, SELF, _table);
#define FIELD(kind, name, first, last) KAFKA_C_##kind name;
#define FIELD_OR(kind, name, first, last, otherwise) KAFKA_C_##kind name;
#define NULLABLE(kind, name, first, last, null_from) KAFKA_C_##kind name;
#define TAGGED(kind, name, tag, first, otherwise) KAFKA_C_##kind name;
#define LIST(of, name, first, last) KAFKA_DECLARE_LIST(struct kafka_##of, name)
#define LIST_NULLABLE(of, name, first, last, null_from) KAFKA_DECLARE_LIST(struct kafka_##of, name)
#define TAGGED_LIST(of, name, tag, first) KAFKA_DECLARE_LIST(struct kafka_##of, name)
#define LIST_OF(kind, name, first, last) KAFKA_DECLARE_LIST(KAFKA_C_##kind, name)
#define LIST_OF_NULLABLE(kind, name, first, last, null_from) KAFKA_DECLARE_LIST(KAFKA_C_##kind, name)
#define STRUCT(of, name, first, last) struct kafka_##of name;
#define STRUCT_NULLABLE(of, name, first, last) bool has_##name; struct kafka_##of name;
#define TAGGED_STRUCT(of, name, tag, first) bool has_##name; struct kafka_##of name;
#include <proto/kafka/messages.def>
#undef BEGIN
#undef END
#undef FIELD
#undef FIELD_OR
#undef NULLABLE
#undef TAGGED
#undef LIST
#undef LIST_NULLABLE
#undef TAGGED_LIST
#undef LIST_OF
#undef LIST_OF_NULLABLE
#undef STRUCT
#undef STRUCT_NULLABLE
#undef TAGGED_STRUCT

#endif
