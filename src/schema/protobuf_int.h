/* schema/protobuf_int.h: parsed .proto files.
 *
 *   protobuf_schema ─► files, the main one last ─► messages ─► fields ─► message / enum_    (names are resolved to pointers)
 *                                              └─► enums
 *
 * Files: protobuf.c compiles (files, imports, names, rules), protobuf_parse.c reads text, protobuf_descriptor.c reads
 * FileDescriptorProto, protobuf_text.c and protobuf_write.c write them, protobuf_options.c knows options, protobuf_known.c has
 * what is built in, protobuf_compat.c compares, protobuf_data.c reads values. Everything hangs in the schema's arena and is constant once protobuf_compile() has returned. */
#ifndef SCHEMA_PROTOBUF_INT_H
#define SCHEMA_PROTOBUF_INT_H

#include <base/error.h>
#include <base/text.h>
#include <schema/json_schema_int.h>
#include <schema/kind.h>
#include <schema/protobuf.h>

#define PROTO_TEXT_MAX ((size_t)1 << 20)
#define PROTO_FILES_MAX 100
#define PROTO_THINGS_MAX 10000 /* messages, enums, fields, values */
#define PROTO_OPTIONS_MAX 1000 /* in one place */
#define PROTO_DEPTH_MAX 100
#define PROTO_ARENA_MAX ((size_t)64 << 20)
#define PROTO_NUMBER_MAX 536870911u
#define PROTO_STEPS_MAX 1000000

/* As descriptor.proto numbers them. */
enum proto_type { PROTO_NAMED = 0, PROTO_DOUBLE = 1, PROTO_FLOAT, PROTO_INT64, PROTO_UINT64, PROTO_INT32, PROTO_FIXED64,
                  PROTO_FIXED32, PROTO_BOOL, PROTO_STRING, PROTO_GROUP, PROTO_MESSAGE, PROTO_BYTES, PROTO_UINT32, PROTO_ENUM,
                  PROTO_SFIXED32, PROTO_SFIXED64, PROTO_SINT32, PROTO_SINT64 };
#define PROTO_TYPES 19
extern const char *const proto_type_names[]; /* NULL where there is no word for it */
enum proto_label { PROTO_OPTIONAL = 1, PROTO_REQUIRED, PROTO_REPEATED };

struct proto_message;
struct proto_enum;
struct proto_file;

/* name and value as they stand in the text: "deprecated", "true". */
struct proto_option {
    cairn_str name, value;
    struct proto_option *next;
};

/* Both ends inclusive. */
struct proto_range {
    int64_t first, last;
    struct proto_range *next;
};

struct proto_name {
    cairn_str text;
    struct proto_name *next;
};

struct proto_field {
    cairn_str name;
    uint32_t number;
    enum proto_type type;
    enum proto_label label;
    bool is_optional; /* said so: in proto3 that is presence */
    int32_t oneof;    /* index among the message's, or -1 */
    cairn_str type_name; /* as it stands in the text */
    struct proto_message *message; /* of messages and groups; of maps their entry */
    struct proto_enum *enum_;
    struct proto_option *options;
    unsigned line;
    struct proto_field *next;
};

struct proto_oneof {
    cairn_str name;
    struct proto_option *options;
    struct proto_oneof *next;
};

struct proto_message {
    cairn_str name, full; /* full: with package, without a dot before it */
    struct proto_file *file;
    const struct proto_message *parent;
    struct proto_field *fields; /* as declared */
    size_t field_count;
    struct proto_field **by_number; /* sorted */
    struct proto_oneof *oneofs;
    size_t oneof_count;
    struct proto_message *messages; /* without the entries of maps */
    struct proto_enum *enums;
    struct proto_range *reserved, *extensions;
    struct proto_name *reserved_names;
    struct proto_option *options;
    bool is_map_entry, is_group;
    uint32_t number; /* from 0, within the schema */
    struct proto_message *next;
};

struct proto_value {
    cairn_str name;
    int32_t number;
    struct proto_option *options;
    struct proto_value *next;
};

struct proto_enum {
    cairn_str name, full;
    struct proto_value *values;
    struct proto_range *reserved;
    struct proto_name *reserved_names;
    struct proto_option *options;
    struct proto_enum *next;
};

struct proto_import {
    cairn_str name;
    char kind; /* 'p' public, 'w' weak, 0 */
    struct proto_import *next;
};

struct proto_file {
    cairn_str name, package;
    bool proto3;
    struct proto_import *imports;
    struct proto_message *messages;
    struct proto_enum *enums;
    struct proto_option *options;
    cairn_str services; /* the tokens of its services and extensions, which only the canonical text has */
    struct proto_file *next;
};

struct protobuf_schema {
    struct arena arena;
    struct proto_file *files, *main;
    size_t things;
    uint32_t message_count;
    bool was_descriptor;
};

struct proto_compile {
    struct protobuf_schema *schema;
    struct arena scratch;
    const struct schema_text *references;
    size_t reference_count, file_count;
    struct js_map names; /* full name → struct proto_named */
    cairn_error *error;
};

struct proto_named {
    struct proto_message *message;
    struct proto_enum *enum_;
};

/* One more message, enum, field or value. */
CAIRN_MUST_CHECK cairn_err proto_count(struct proto_compile *compile);
/* At the end of a place's options. */
CAIRN_MUST_CHECK cairn_err proto_add_option(struct proto_compile *compile, struct proto_option **list, struct proto_option *option);
CAIRN_MUST_CHECK cairn_err proto_no_memory(struct proto_compile *compile);
/* What the text or the descriptor says, names not resolved yet. */
CAIRN_MUST_CHECK cairn_err proto_parse(struct proto_compile *compile, cairn_str text, struct proto_file *file);
CAIRN_MUST_CHECK cairn_err proto_read_descriptor(struct proto_compile *compile, cairn_str bytes, struct proto_file *file);
/* The text of a file that is built in; false: there is none of that name. */
bool proto_known(cairn_str name, cairn_str *ret_text);

/* A map's entry: key and value as fields 1 and 2. */
struct proto_message *proto_make_entry(struct proto_compile *compile, struct proto_field *field, enum proto_type key,
                                       enum proto_type value, cairn_str value_name);
struct proto_field *proto_find_field(const struct proto_message *message, uint32_t number);
const struct proto_option *proto_find_option(const struct proto_option *options, const char *name);
const struct proto_oneof *proto_oneof_at(const struct proto_message *message, int32_t index);
bool proto_type_by_name(cairn_str name, enum proto_type *ret);

/* ---- options and quotes (protobuf_options.c) */

enum proto_place { PROTO_OF_FILE, PROTO_OF_MESSAGE, PROTO_OF_FIELD, PROTO_OF_ENUM, PROTO_OF_VALUE };
enum proto_option_type { PROTO_IS_BOOL, PROTO_IS_TEXT, PROTO_IS_WORD };
struct proto_option_kind {
    enum proto_place place;
    uint32_t number;
    const char *name;
    enum proto_option_type type;
    const char *const *words; /* by value, ended by NULL; "" where there is none */
};
#define PROTO_OPTION_KINDS 31
extern const struct proto_option_kind proto_option_kinds[PROTO_OPTION_KINDS];
void proto_put_quoted(struct buf *to, cairn_str text);
void proto_put_unquoted(struct buf *to, cairn_str text); /* one or several texts in quotes */
bool proto_is_scalar(cairn_str text); /* a number or a word, with '-' before it or not */
void proto_put_json_name(struct buf *to, cairn_str name);

/* ---- the wire (protobuf_data.c) */

struct proto_reader {
    const uint8_t *start, *at, *end;
};
struct proto_item {
    uint32_t number;
    unsigned wire; /* 0 varint, 1 eight bytes, 2 bytes, 3 a group begins, 4 ends, 5 four bytes */
    uint64_t value;
    cairn_str bytes;
};
/* False: the end (then at == end), or broken bytes. */
bool proto_next(struct proto_reader *reader, struct proto_item *ret);
#endif
