/* One .proto file (text or base64), or two with a line of "---" between: compiling answers; the canonical text is a file that
 * says the same; so is the descriptor; a file may follow itself; two are compared without harm. */
#include <schema/protobuf.h>

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                           \
    do {                                                                                                          \
        if (!(condition)) {                                                                                       \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                       \
            abort();                                                                                              \
        }                                                                                                         \
    } while (0)

static struct protobuf_schema *
compile(cairn_str text, cairn_error *error)
{
    struct protobuf_schema *schema = NULL;
    error->detail[0] = 0;
    cairn_err err = protobuf_compile(text, NULL, 0, &schema, error);
    MUST(err == CAIRN_OK || ((err == CAIRN_E_INVALID || err == CAIRN_E_LIMIT || err == CAIRN_E_NOMEM) && error->detail[0] && !schema));
    return schema;
}

static void
compare(const struct protobuf_schema *reader, const struct protobuf_schema *writer, bool same)
{
    struct arena arena = {0};
    struct schema_faults faults = {.arena = &arena};
    cairn_err err = protobuf_compatible(reader, writer, &faults, NULL);
    MUST(err == CAIRN_OK ? faults.count == 0 : faults.count > 0);
    MUST(!same || err == CAIRN_OK);
    arena_free(&arena);
}

static void
check_forms(const struct protobuf_schema *schema)
{
    struct buf text = {0}, again = {0}, descriptor = {0};
    cairn_error error;
    protobuf_put_text(schema, true, &text);
    struct protobuf_schema *second = text.size <= 1 << 20 ? compile(buf_str(&text), &error) : NULL;
    if (text.size <= 1 << 20 && !second) {
        fprintf(stderr, "%s\n%.*s\n", error.detail, (int)text.size, text.data);
        abort();
    }
    if (second) {
        protobuf_put_text(second, true, &again);
        MUST(cairn_str_equal(buf_str(&text), buf_str(&again)));
        compare(second, schema, true);
    }
    protobuf_free(second);
    MUST(protobuf_put_descriptor(schema, &descriptor, NULL) == CAIRN_OK);
    second = descriptor.size <= 1 << 20 ? compile(buf_str(&descriptor), &error) : NULL;
    if (descriptor.size <= 1 << 20 && !second) {
        fprintf(stderr, "%s\n%.*s\n", error.detail, (int)text.size, text.data);
        abort();
    }
    if (second)
        compare(second, schema, true);
    protobuf_free(second);
    buf_free(&text);
    buf_free(&again);
    buf_free(&descriptor);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *line = size ? memmem(data, size, "\n---\n", 5) : NULL;
    cairn_str text = {(const char *)data, line ? (size_t)(line - data) : size};
    cairn_str rest = line ? (cairn_str){(const char *)line + 5, size - text.size - 5} : text;
    cairn_error error;
    struct protobuf_schema *one = compile(text, &error), *two = compile(rest, &error);
    if (one)
        check_forms(one);
    if (one && two)
        compare(one, two, false);
    protobuf_free(one);
    protobuf_free(two);
    return 0;
}
