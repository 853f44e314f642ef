/* schema/json_schema_int.h: a compiled JSON Schema, and what compiling and validating share.
 *
 *   json_schema ─► node ─┬─► number, string, array, object   what holds for values of that type (or NULL)
 *                        ├─► logic                           what holds for any: enum, $ref, allOf …
 *                        └─► resource                        the nearest $id: whose anchors $dynamicRef asks for
 *
 * Files: json_schema.c compiles (the queue of nodes), json_schema_index.c finds what a reference means, json_schema_keywords.c
 * turns keywords into rules, json_schema_validate.c and json_schema_unevaluated.c run them, json_schema_value.c compares
 * values exactly, json_schema_pattern.c is PCRE2, json_schema_format.c "format", json_schema_meta.c the metaschemas,
 * json_schema_uri.c references by RFC 3986.
 *
 * Everything hangs in the schema's arena and is constant once json_schema_compile() has returned. */
#ifndef SCHEMA_JSON_SCHEMA_INT_H
#define SCHEMA_JSON_SCHEMA_INT_H

#include <base/bytes.h>
#include <base/error.h>
#include <base/hash.h>
#include <schema/json_schema.h>

#define JS_TEXT_MAX ((size_t)1 << 20)
#define JS_NODES_MAX 10000
#define JS_DOCUMENTS_MAX 64
#define JS_PATTERN_MAX 1000
#define JS_STEPS_MAX 1000000
#define JS_DEPTH_MAX 1000 /* nested checks, JSON_DEPTH_MAX of which can go down in the value */
#define JS_ARENA_MAX ((size_t)128 << 20)

/* ---- values (json_schema_value.c) */

/* Zero is never negative. */
struct json_decimal js_decimal(struct json number);
int js_decimal_compare(const struct json_decimal *a, const struct json_decimal *b);
/* `divisor` has at most JS_DIVISOR_DIGITS digits and is above 0. */
#define JS_DIVISOR_DIGITS 18
bool js_decimal_is_multiple(const struct json_decimal *number, const struct json_decimal *divisor);
bool js_is_integer(struct json number);
/* A whole number of at most 18 digits written plainly: the quick way through. */
bool js_plain_i64(struct json number, int64_t *ret);

/* The string's text; a lone surrogate becomes U+FFFD. data is NULL only when out of memory. */
cairn_str js_text(struct json string, struct arena *arena);
/* Code points in a string. */
size_t js_length(struct json string);

/* Equality as JSON Schema has it: numbers by value, objects without order. *steps is spent as they work; what they
 * answer when it ran out (below 0) or memory did (*ret_nomem) means nothing. */
struct js_compare {
    struct arena *arena;
    int64_t *steps;
    bool nomem;
};
bool js_equal(struct js_compare *compare, struct json a, struct json b);
uint64_t js_hash(struct js_compare *compare, struct json value);

/* ---- the compiled form */

enum {
    JS_NULL = 1, JS_BOOLEAN = 2, JS_INTEGER = 4, JS_NUMBER = 8, JS_STRING = 16, JS_ARRAY = 32, JS_OBJECT = 64,
    JS_ANY = 127
};
extern const uint8_t js_type_bits[]; /* by enum json_type; a number is JS_NUMBER */
const char *js_type_name(unsigned bit);

enum { JS_VOCABULARY_CORE = 1, JS_VOCABULARY_APPLICATOR = 2, JS_VOCABULARY_UNEVALUATED = 4, JS_VOCABULARY_VALIDATION = 8,
       JS_VOCABULARY_FORMAT = 16, JS_VOCABULARY_OTHER = 32, JS_VOCABULARY_ALL = 63 };

struct js_anchor {
    cairn_str name;
    struct json value;
    struct js_node *node; /* of dynamic anchors */
    struct js_anchor *next;
};

struct js_resource {
    cairn_str uri; /* absolute where there was a base, without fragment */
    struct json root;
    enum json_schema_draft draft;
    unsigned vocabularies;
    bool formats; /* "format" is an assertion */
    struct js_anchor *dynamic;
    struct js_resource *next;
};

struct js_pattern;
struct js_format;

struct js_bound {
    struct json json;
    struct json_decimal decimal;
    bool plain; /* whole holds it */
    int64_t whole;
};

struct js_number {
    bool has_minimum, has_maximum, has_more, has_less, has_multiple;
    struct js_bound minimum, maximum, more, less; /* more, less: the exclusive ones */
    struct js_bound multiple;
};

struct js_string {
    uint64_t min, max; /* 0, UINT64_MAX */
    const struct js_pattern *pattern;
    cairn_str pattern_text;
    const struct js_format *format;
};

struct js_array {
    uint64_t min, max;
    bool unique, has_tuple;
    struct js_node **prefix;
    size_t prefix_count;
    struct js_node *rest; /* items after the prefix */
    struct js_node *contains;
    uint64_t contains_min, contains_max;
    const char *rest_keyword;
};

struct js_property {
    cairn_str name;        /* decoded */
    struct js_node *node;  /* NULL: only required */
    int32_t required;      /* index among the required, or -1 */
};

struct js_pattern_property {
    const struct js_pattern *pattern;
    cairn_str text;
    struct js_node *node;
};

struct js_dependent {
    cairn_str name;
    struct js_node *node;   /* or */
    const cairn_str *names; /* that must be there too */
    size_t name_count;
    const char *keyword;
};

struct js_object {
    uint64_t min, max;
    struct js_property *properties;
    uint32_t property_count, required_count;
    uint32_t *slots; /* 1 + index of a property, 0: none; by hash64 of the name; slot_mask + 1 of them */
    uint32_t slot_mask;
    struct js_pattern_property *patterns;
    size_t pattern_count;
    struct js_node *additional, *names;
    struct js_dependent *dependents;
    size_t dependent_count;
    struct json properties_json, required_json; /* while compiling */
};

struct js_list {
    struct js_node **items;
    size_t count;
};

struct js_logic {
    struct json *values; /* of enum, or the one of const */
    uint64_t *hashes;
    size_t value_count;
    struct json constant; /* JSON_NONE: none */
    uint64_t constant_hash;
    struct js_node *ref, *dynamic_ref;
    cairn_str dynamic_name; /* not empty: look for that anchor outwards, else take dynamic_ref as it is */
    struct js_list all, any, one;
    struct js_node *not, *if_, *then, *else_;
};

struct js_node {
    uint8_t types;
    bool is_false, is_true;
    struct js_number *number;
    struct js_string *string;
    struct js_array *array;
    struct js_object *object;
    struct js_logic *logic;
    struct js_node *unevaluated_items, *unevaluated_properties;
    struct js_resource *resource;
    /* from where it was made: for messages and while compiling */
    struct json source;
    const struct js_node *parent;
    cairn_str keyword, place; /* place: a pointer, of what only a reference led to */
    struct json name;
    size_t index;
    struct js_node *queued, *next; /* next: of all nodes */
    uint8_t color; /* of the search for circles */
};

struct json_schema {
    struct arena arena;
    struct js_node *root, *all;
    struct js_pattern *patterns; /* all, to be freed */
    bool dynamic;                /* there is a $dynamicRef */
};

/* ---- compiling */

/* A hash table in an arena. A key without size stands for its pointer. */
struct js_map {
    struct js_map_slot *slots;
    size_t capacity, count;
};
void *js_map_get(const struct js_map *map, cairn_str key);
bool js_map_put(struct js_map *map, struct arena *arena, cairn_str key, void *value); /* false: out of memory */

struct js_compile {
    struct json_schema *schema;
    const struct json_schema_options *options;
    struct arena scratch;
    struct js_map nodes;     /* a value's text → its node */
    struct js_map roots;     /* a value's text → the resource whose root it is */
    struct js_map resources; /* URI → resource */
    struct js_map names;     /* address of a container or resource, then a name → value in it */
    struct js_map indexed;   /* containers whose members are in `names` */
    struct js_resource *all_resources;
    struct js_node *queue, **queue_end;
    size_t node_count, document_count, scanned;
    cairn_error *error;
};

/* "<pointer>/keyword: message" as CAIRN_E_INVALID (or another code). */
__attribute__((format(printf, 5, 6))) cairn_err
js_refuse(struct js_compile *compile, const struct js_node *node, const char *keyword, cairn_err code,
          const char *format, ...);

/* "/" and a name as a JSON pointer has it; the pointer to a node, which goes up as far as the text is deep. */
void js_put_token(struct buf *to, cairn_str token);
void js_put_place(struct buf *to, const struct js_node *node, struct arena *arena);

/* The node of a value in a schema; queued for compilation when new. */
CAIRN_MUST_CHECK cairn_err js_node_at(struct js_compile *compile, struct json value, struct js_resource *resource,
                                      struct js_node **ret);
CAIRN_MUST_CHECK cairn_err js_child(struct js_compile *compile, const struct js_node *parent, struct json value,
                                    const char *keyword, struct json name, size_t index, struct js_node **ret);
/* What the keywords of node->source say. */
CAIRN_MUST_CHECK cairn_err js_compile_keywords(struct js_compile *compile, struct js_node *node);

/* json_schema_index.c */
CAIRN_MUST_CHECK cairn_err js_load(struct js_compile *compile, cairn_str text, cairn_str uri,
                                   const struct js_resource *referrer, struct js_resource **ret);
CAIRN_MUST_CHECK cairn_err js_reference(struct js_compile *compile, const struct js_node *node, const char *keyword,
                                        struct json reference, struct js_node **ret, cairn_str *ret_anchor);

/* json_schema_uri.c: `reference` against `base`, without its fragment; in the arena. data NULL: out of memory. */
cairn_str js_uri_resolve(struct arena *arena, cairn_str base, cairn_str reference);
/* What follows '#', percent-decoded; false where there is no '#'. data NULL: out of memory. */
bool js_uri_fragment(struct arena *arena, cairn_str reference, cairn_str *ret);

/* json_schema_meta.c: the text of a metaschema by its URI. */
bool js_metaschema(cairn_str uri, cairn_str *ret_text);

/* json_schema_pattern.c */
CAIRN_MUST_CHECK cairn_err js_pattern_compile(struct json_schema *schema, cairn_str text, const struct js_pattern **ret,
                                              char *ret_message, size_t message_size);
void js_patterns_free(struct js_pattern *first);
/* 1 matches, 0 does not, below 0: a limit was met (or no memory). *scratch is freed with js_pattern_scratch_free(). */
int js_pattern_match(const struct js_pattern *pattern, cairn_str text, void **scratch, int64_t *steps);
void js_pattern_scratch_free(void *scratch);
bool js_pattern_valid(cairn_str text); /* format "regex" */

/* json_schema_format.c; NULL: a format that is not checked. */
const struct js_format *js_format_find(cairn_str name);
bool js_format_holds(const struct js_format *format, cairn_str text);
const char *js_format_name(const struct js_format *format);
const char *js_format_hint(const struct js_format *format); /* what it looks like */

/* ---- validating */

/* Which members (or items) some keyword has looked at: what unevaluatedProperties leaves alone. Bit i is the i-th. */
struct js_seen {
    uint64_t *bits;
    size_t count;
    uint64_t few[4];
};

/* Where in the value: a list on the stack, from the inside out. */
struct js_path {
    const struct js_path *up;
    struct json name; /* JSON_NONE: an item */
    size_t index;
};

struct js_scope {
    const struct js_resource *resource;
    const struct js_scope *up;
};

struct js_run {
    const struct json_schema *schema;
    struct arena *arena;
    struct json_schema_fault *faults;
    size_t fault_max, fault_count;
    struct json_schema_fault first;
    bool has_first;
    unsigned quiet, depth; /* quiet: somebody only asks whether; the first fault ends it */
    int64_t steps;
    const struct js_scope *scope;
    void *match;
    cairn_err err;
};

bool js_check(struct js_run *run, const struct js_node *node, struct json value, const struct js_path *at,
              struct js_seen *seen);
/* Whether, without faults. */
bool js_holds(struct js_run *run, const struct js_node *node, struct json value, const struct js_path *at,
              struct js_seen *seen);
/* Write a fault. Always false. */
__attribute__((format(printf, 4, 5))) bool js_fail(struct js_run *run, const struct js_path *at, const char *keyword,
                                                   const char *format, ...);
/* False, and run->err set. */
bool js_give_up(struct js_run *run, cairn_err err);
static inline bool
js_spend(struct js_run *run, int64_t steps)
{
    run->steps -= steps;
    return __builtin_expect(run->steps >= 0, 1) || js_give_up(run, CAIRN_E_LIMIT);
}
/* No use to look further: an error, only asked whether, or enough faults. */
static inline bool
js_enough(const struct js_run *run)
{
    return run->err != CAIRN_OK || run->quiet > 0 || run->fault_count >= run->fault_max;
}

bool js_seen_begin(struct js_run *run, struct js_seen *seen, struct json value);
void js_seen_add(struct js_seen *to, const struct js_seen *from);
static inline void
js_seen_mark(struct js_seen *seen, size_t index)
{
    if (seen && index < seen->count)
        seen->bits[index / 64] |= UINT64_C(1) << (index % 64);
}

#endif
