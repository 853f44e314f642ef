/* schema/avro.h: Apache Avro 1.12 schemas: parse, compare, and hold data to them.
 *
 * Source: avro.apache.org/docs/1.12.0/specification. A compiled schema never changes: any number of threads may use it.
 *
 * Bounds: 1 MiB a text, 10,000 types, names of 512 bytes, JSON_DEPTH_MAX levels of text; data: 1,000,000 values and 500
 * levels. Beyond them CAIRN_E_LIMIT (of data: CAIRN_E_INVALID). */
#ifndef SCHEMA_AVRO_H
#define SCHEMA_AVRO_H

#include <base/bytes.h>
#include <schema/faults.h>

struct avro_schema;

/* `references`: texts whose named types this one may use; each may use those before it. All texts are copied.
 * CAIRN_E_INVALID: no schema, the detail says where and why. */
CAIRN_MUST_CHECK cairn_err avro_compile(cairn_str text, const cairn_str *references, size_t reference_count,
                                        struct avro_schema **ret, cairn_error *error);
void avro_free(struct avro_schema *schema);
size_t avro_memory(const struct avro_schema *schema); /* bytes that it holds */

/* AVRO_PARSING: Parsing Canonical Form, what matters to read data; two schemas that differ only in a default or an alias
 * have the same. AVRO_WHOLE: the same order and full names, but with everything that was said. */
enum avro_form { AVRO_PARSING, AVRO_WHOLE };
void avro_put_text(const struct avro_schema *schema, enum avro_form form, struct buf *to);

/* Whether `reader` can read all that was written by `writer`; where not, faults say why. CAIRN_E_INVALID: it cannot. */
CAIRN_MUST_CHECK cairn_err avro_compatible(const struct avro_schema *reader, const struct avro_schema *writer,
                                           struct schema_faults *faults, cairn_error *error);

/* Whether the bytes are one value of the schema, and nothing more. CAIRN_E_INVALID: at which byte what is wrong. */
CAIRN_MUST_CHECK cairn_err avro_check(const struct avro_schema *schema, cairn_str data, cairn_error *error);
/* What was written by `writer` as `reader` sees it, as JSON: bytes as text of U+0000 to U+00FF, unions without their branch.
 * CAIRN_E_INVALID: the data is no value of `writer`, or this value has no place in `reader`. */
CAIRN_MUST_CHECK cairn_err avro_to_json(const struct avro_schema *writer, const struct avro_schema *reader, cairn_str data,
                                        struct buf *to, cairn_error *error);
#endif
