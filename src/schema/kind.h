/* schema/kind.h: a compiled schema of whatever kind: JSON Schema, Avro or Protobuf.
 *
 * A compiled schema is constant and counted: any number of threads may use it; who holds one releases it. */
#ifndef SCHEMA_KIND_H
#define SCHEMA_KIND_H

#include <base/bytes.h>
#include <schema/faults.h>

enum schema_kind { SCHEMA_AVRO, SCHEMA_JSON, SCHEMA_PROTOBUF };
#define SCHEMA_KINDS 3
bool schema_kind_parse(cairn_str text, enum schema_kind *ret); /* "AVRO", "JSON", "PROTOBUF" */
const char *schema_kind_name(enum schema_kind kind);

struct schema_compiled;

/* What a text refers to by `name`: a full name (Avro, not used), a URI or path (JSON Schema), an imported file (Protobuf). */
struct schema_text {
    cairn_str name, text;
};

/* `references`: dependencies first. CAIRN_E_INVALID or CAIRN_E_LIMIT: no schema; the detail says why. */
CAIRN_MUST_CHECK cairn_err schema_compile(enum schema_kind kind, cairn_str text, const struct schema_text *references,
                                          size_t reference_count, struct schema_compiled **ret, cairn_error *error);
struct schema_compiled *schema_hold(struct schema_compiled *schema);
void schema_release(struct schema_compiled *schema); /* NULL is fine */
size_t schema_memory(const struct schema_compiled *schema); /* about how many bytes it holds */

/* SCHEMA_CANONICAL: the form in which two texts that say the same are the same. SCHEMA_PLAIN: the text as it came, but a
 * descriptor of Protobuf as the text of a .proto file. SCHEMA_SERIALIZED: Protobuf as a FileDescriptorProto in base64. */
enum schema_form { SCHEMA_CANONICAL, SCHEMA_PLAIN, SCHEMA_SERIALIZED };
CAIRN_MUST_CHECK cairn_err schema_put(const struct schema_compiled *schema, enum schema_form form, struct buf *to,
                                      cairn_error *error);

/* The canonical form of JSON Schema, which needs no compiling: members by name, numbers by value. CAIRN_E_INVALID: no JSON. */
CAIRN_MUST_CHECK cairn_err schema_put_json_canonical(cairn_str text, struct buf *to);

/* Whether the reader can read all that was written by the writer. CAIRN_E_INVALID: not, or it cannot be shown; faults say
 * why. Schemas of two kinds cannot. */
CAIRN_MUST_CHECK cairn_err schema_reads(const struct schema_compiled *reader, const struct schema_compiled *writer,
                                        struct schema_faults *faults, cairn_error *error);

/* Whether the bytes are a value of the schema; of Protobuf they begin with the message's indexes. CAIRN_E_INVALID: why not. */
CAIRN_MUST_CHECK cairn_err schema_check_value(const struct schema_compiled *schema, cairn_str value, cairn_error *error);
#endif
