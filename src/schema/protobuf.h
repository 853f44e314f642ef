/* schema/protobuf.h: Protocol Buffers: .proto files and descriptors; compare, and hold data to them.
 *
 * Sources: protobuf.dev (language specification of proto2 and proto3, encoding), descriptor.proto. A compiled schema never
 * changes: any number of threads may use it. Services, extensions and options that matter to nobody here are read and
 * forgotten; editions are refused. Google's own files that everybody imports are built in.
 *
 * Bounds: 1 MiB a text, 100 files, 10,000 messages, enums and fields, 1,000 options in one place, 100 levels; data: 1,000,000 fields and 100 levels.
 * Beyond them CAIRN_E_LIMIT (of data: CAIRN_E_INVALID). */
#ifndef SCHEMA_PROTOBUF_H
#define SCHEMA_PROTOBUF_H

#include <base/bytes.h>
#include <schema/faults.h>

struct protobuf_schema;
struct schema_text;

/* The text of a .proto file, or a FileDescriptorProto in base64. `references` are the files that it imports, by the names in
 * the import statements; each may import those before it. CAIRN_E_INVALID: no schema, the detail says at which line. */
CAIRN_MUST_CHECK cairn_err protobuf_compile(cairn_str text, const struct schema_text *references, size_t reference_count,
                                            struct protobuf_schema **ret, cairn_error *error);
void protobuf_free(struct protobuf_schema *schema);
size_t protobuf_memory(const struct protobuf_schema *schema);
bool protobuf_was_descriptor(const struct protobuf_schema *schema); /* it was compiled from base64 */

/* As the text of a .proto file; canonical: fields by number, names in full, imports by name. */
void protobuf_put_text(const struct protobuf_schema *schema, bool canonical, struct buf *to);
/* As a FileDescriptorProto in base64. */
CAIRN_MUST_CHECK cairn_err protobuf_put_descriptor(const struct protobuf_schema *schema, struct buf *to, cairn_error *error);

/* Whether `reader` can read what was written by `writer`, by Confluent's rules. CAIRN_E_INVALID: it cannot. */
CAIRN_MUST_CHECK cairn_err protobuf_compatible(const struct protobuf_schema *reader, const struct protobuf_schema *writer,
                                               struct schema_faults *faults, cairn_error *error);

/* Whether the bytes are message indexes (a count and so many zigzag numbers; 0 alone is the first message) and then a
 * message of that type. CAIRN_E_INVALID: at which byte what is wrong. */
CAIRN_MUST_CHECK cairn_err protobuf_check(const struct protobuf_schema *schema, cairn_str value, cairn_error *error);
#endif
