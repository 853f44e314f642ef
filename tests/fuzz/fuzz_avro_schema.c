/* One schema, or two with a line of "---" between: compiling answers; the canonical form is a schema that says the same and has
 * the same canonical form; a schema reads itself; two are compared without harm. */
#include <schema/avro.h>

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

static struct avro_schema *
compile(cairn_str text)
{
    struct avro_schema *schema = NULL;
    cairn_error error = {.detail = ""};
    cairn_err err = avro_compile(text, NULL, 0, &schema, &error);
    MUST(err == CAIRN_OK || ((err == CAIRN_E_INVALID || err == CAIRN_E_LIMIT || err == CAIRN_E_NOMEM) && error.detail[0] && !schema));
    return schema;
}

static void
check_text(const struct avro_schema *schema)
{
    struct buf text = {0}, again = {0};
    struct arena arena = {0};
    struct schema_faults faults = {.arena = &arena};
    avro_put_text(schema, AVRO_PARSING, &text);
    buf_clear(&text);
    avro_put_text(schema, AVRO_WHOLE, &text);
    struct avro_schema *second = compile(buf_str(&text));
    if (second) { /* else it became larger than a schema may be */
        avro_put_text(second, AVRO_WHOLE, &again);
        MUST(cairn_str_equal(buf_str(&text), buf_str(&again)));
        cairn_err err = avro_compatible(second, schema, &faults, NULL);
        MUST(err == CAIRN_OK || faults.count > 0);
    } else {
        MUST(text.size > 1 << 20);
    }
    avro_free(second);
    arena_free(&arena);
    buf_free(&text);
    buf_free(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *line = size ? memmem(data, size, "\n---\n", 5) : NULL;
    cairn_str text = {(const char *)data, line ? (size_t)(line - data) : size};
    cairn_str rest = line ? (cairn_str){(const char *)line + 5, size - text.size - 5} : text;
    struct avro_schema *one = compile(text), *two = compile(rest);
    if (one)
        check_text(one);
    if (one && two) {
        struct arena arena = {0};
        struct schema_faults faults = {.arena = &arena};
        cairn_error error = {.detail = ""};
        cairn_err err = avro_compatible(one, two, &faults, &error);
        MUST(err == CAIRN_OK ? faults.count == 0 : faults.count > 0 && error.detail[0]);
        arena_free(&arena);
    }
    avro_free(one);
    avro_free(two);
    return 0;
}
