/* schema/avro_int.h: a parsed Avro schema.
 *
 *   avro_schema ─► node ─► fields / item / branches ─► node      a named type is one node, however often it is named
 *
 * Files: avro.c parses, avro_default.c holds defaults to their types and writes them, avro_text.c writes the canonical forms,
 * avro_compat.c compares, avro_data.c reads binary data. Everything hangs in the schema's arena and is constant once
 * avro_compile() has returned. */
#ifndef SCHEMA_AVRO_INT_H
#define SCHEMA_AVRO_INT_H

#include <base/error.h>
#include <base/json.h>
#include <schema/avro.h>
#include <schema/json_schema_int.h>

#define AVRO_TEXT_MAX ((size_t)1 << 20)
#define AVRO_NODES_MAX 10000
#define AVRO_NAME_MAX 512
#define AVRO_STEPS_MAX 1000000
#define AVRO_DEPTH_MAX 500
#define AVRO_ARENA_MAX ((size_t)64 << 20)
#define AVRO_PAIRS_MAX 100000

/* Primitives first, in the order of avro_type_names. */
enum avro_type { AVRO_NULL, AVRO_BOOLEAN, AVRO_INT, AVRO_LONG, AVRO_FLOAT, AVRO_DOUBLE, AVRO_BYTES, AVRO_STRING,
                 AVRO_RECORD, AVRO_ENUM, AVRO_FIXED, AVRO_ARRAY, AVRO_MAP, AVRO_UNION };
#define AVRO_PRIMITIVES 8
extern const char *const avro_type_names[];

struct avro_node;

struct avro_field {
    cairn_str name;
    cairn_str *aliases;
    size_t alias_count;
    struct avro_node *type;
    struct json fallback; /* "default"; JSON_NONE: none */
    enum { AVRO_FIT_UNKNOWN, AVRO_FIT_YES, AVRO_FIT_NOT } fit; /* of the fallback to the type: known once the schema is compiled */
    struct json source;
};

struct avro_node {
    enum avro_type type;
    uint32_t number;   /* from 0, within the schema */
    uint32_t document; /* which text: the references first */
    cairn_str name;    /* full, of record, enum and fixed */
    cairn_str *aliases; /* full */
    size_t alias_count;
    struct avro_field *fields;
    size_t field_count;
    cairn_str *symbols;
    size_t symbol_count;
    struct json symbol_default; /* JSON_NONE: none */
    uint64_t size;              /* of fixed */
    struct avro_node *item;     /* of array and map */
    struct avro_node **branches;
    size_t branch_count;
    struct json source; /* the object with its other attributes; JSON_NONE where the type is only a name */
};

struct avro_schema {
    struct arena arena;
    struct avro_node *root;
    uint32_t node_count, document_count;
};

/* A name without its namespace. */
cairn_str avro_short_name(cairn_str full);
/* A name in the namespace where it stands ("" : none), full; in the arena. data NULL: out of memory. */
cairn_str avro_full_name(struct arena *arena, cairn_str name, cairn_str space);

/* Whether a field's default is one of its type: a union's may be of any of its branches, each of which is tried, so the steps are counted
 * (AVRO_STEPS_MAX a schema). too_many: the answer is of no use. */
struct avro_fitting {
    struct arena *arena;
    size_t steps;
    bool too_many;
};
bool avro_default_fits(struct avro_fitting *fitting, struct avro_field *field);

/* Whether a reader may read, without faults (avro_compat.c). Pairs of records met again count as compatible. */
struct avro_match;
bool avro_node_reads(struct avro_match *match, const struct avro_node *reader, const struct avro_node *writer);
struct avro_match *avro_match_create(struct arena *arena);
bool avro_is_promoted(enum avro_type writer, enum avro_type reader);
bool avro_names_match(const struct avro_node *reader, const struct avro_node *writer);
/* The writer's field that a reader's takes its value from, or NULL. */
const struct avro_field *avro_writer_field(const struct avro_node *writer, const struct avro_field *reader);
ptrdiff_t avro_symbol(const struct avro_node *node, cairn_str symbol); /* -1: none */
#endif
