/* Bytes as data of schemas that hold every kind of type: reading ends, stays inside, and what is read is JSON. */
#include <base/json.h>
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

static const char *const texts[] = {
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":[\"null\",\"int\",\"long\",\"string\",\"R\"]},"
    "{\"name\":\"b\",\"type\":{\"type\":\"array\",\"items\":[\"bytes\",\"null\",\"double\"]}},"
    "{\"name\":\"c\",\"type\":{\"type\":\"map\",\"values\":{\"type\":\"array\",\"items\":\"null\"}}},"
    "{\"name\":\"d\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\",\"C\"]}},"
    "{\"name\":\"e\",\"type\":{\"type\":\"fixed\",\"name\":\"F\",\"size\":3}},{\"name\":\"f\",\"type\":\"float\"},{\"name\":\"g\",\"type\":\"boolean\"}]}",
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"h\",\"type\":\"int\",\"default\":1},{\"name\":\"a\",\"type\":[\"null\",\"double\",\"bytes\",\"R\"]},"
    "{\"name\":\"d\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"],\"default\":\"A\"}},{\"name\":\"f\",\"type\":\"double\"}]}",
    "{\"type\":\"array\",\"items\":\"null\"}", "[\"string\",{\"type\":\"map\",\"values\":\"float\"}]",
};
#define COUNT (sizeof texts / sizeof texts[0])

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct avro_schema *schemas[COUNT];
    cairn_str bytes = {(const char *)data, size};
    for (size_t i = 0; i < COUNT; i++)
        if (!schemas[i])
            MUST(avro_compile(cairn_cstr(texts[i]), NULL, 0, &schemas[i], NULL) == CAIRN_OK);
    for (size_t i = 0; i < COUNT; i++) {
        struct buf json = {0};
        struct json value;
        cairn_error error = {.detail = ""};
        cairn_err err = avro_check(schemas[i], bytes, &error);
        MUST(err == CAIRN_OK || (err == CAIRN_E_INVALID && error.detail[0]));
        cairn_err shown = avro_to_json(schemas[i], schemas[i], bytes, &json, NULL);
        MUST(shown == err || shown == CAIRN_E_NOMEM);
        MUST(shown != CAIRN_OK || json_check(buf_str(&json), &value, NULL) != CAIRN_E_INVALID);
        buf_clear(&json);
        shown = avro_to_json(schemas[i], schemas[i ^ 1], bytes, &json, NULL);
        MUST(shown != CAIRN_OK || (err == CAIRN_OK && json_check(buf_str(&json), &value, NULL) != CAIRN_E_INVALID));
        buf_free(&json);
    }
    return 0;
}
