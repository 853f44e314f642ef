/* schema/json_schema.h: JSON Schema 2020-12 and draft 7: compile once, validate often.
 *
 * Sources: json-schema.org/draft/2020-12 (core, validation), draft-07. Held to JSON-Schema-Test-Suite. A compiled
 * schema never changes, so any number of threads may validate by it. Validation reads zero-copy values (base/json.h)
 * and allocates only from the caller's arena.
 *
 * Bounds: 1 MiB of schema text, 10,000 subschemas, depth 128, patterns of 1,000 bytes run with a match limit (PCRE2),
 * 1,000,000 steps a validation: beyond it CAIRN_E_LIMIT. */
#ifndef SCHEMA_JSON_SCHEMA_H
#define SCHEMA_JSON_SCHEMA_H

#include <base/arena.h>
#include <base/json.h>

struct json_schema;

enum json_schema_draft { JSON_SCHEMA_2020_12, JSON_SCHEMA_7 }; /* used where the text has no $schema */

/* Another document by its absolute URI (or path); text borrowed until the compilation returns. False: unknown. */
typedef bool (*json_schema_resolve)(void *context, cairn_str uri, cairn_str *ret_text);

struct json_schema_options {
    enum json_schema_draft draft;
    bool assert_formats;         /* "format" is an assertion: date-time, date, time, email, uuid, uri, ipv4, ipv6 … */
    cairn_str base_uri;          /* of the text, for relative references; or empty */
    json_schema_resolve resolve; /* or NULL: references stay inside the text */
    void *context;
};

/* ret  freed with json_schema_free()
 * CAIRN_E_INVALID: no schema; the detail begins with a JSON pointer into it. CAIRN_E_LIMIT: too large or too deep. */
CAIRN_MUST_CHECK cairn_err json_schema_compile(cairn_str text, const struct json_schema_options *options,
                                               struct json_schema **ret, cairn_error *error);
void json_schema_free(struct json_schema *schema);

/* What is wrong with a value: where (JSON pointer, "" is the whole), by which keyword, and a sentence. In the arena. */
struct json_schema_fault {
    cairn_str instance;
    cairn_str keyword;
    cairn_str message;
};

/* CAIRN_OK: valid. CAIRN_E_INVALID: up to fault_max faults were written, ret_count says how many; error->detail
 * is the first one in words. CAIRN_E_LIMIT: it took too many steps. */
CAIRN_MUST_CHECK cairn_err json_schema_validate(const struct json_schema *schema, struct json value,
                                                struct arena *arena, struct json_schema_fault *ret_faults,
                                                size_t fault_max, size_t *ret_count, cairn_error *error);
#endif
