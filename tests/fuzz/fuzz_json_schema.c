/* A schema, a newline, a value (the first line is the schema; without a newline the text is both): compiling and validating
 * answer, with and without room for faults the same; a schema follows itself; and "compatible" is kept by the value. */
#include <base/bytes.h>
#include <base/error.h>
#include <schema/compat.h>
#include <schema/json_schema.h>

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

static bool
lend(void *context, cairn_str uri, cairn_str *ret_text)
{
    const cairn_str *text = context;
    if (uri.size % 2)
        return false;
    *ret_text = *text;
    return true;
}

static cairn_err
validate(const struct json_schema *schema, struct json value)
{
    struct arena arena = {.size_max = 64 << 20};
    struct json_schema_fault faults[3];
    size_t count = 99, none = 99;
    cairn_error error = {.code = CAIRN_OK};
    cairn_err err = json_schema_validate(schema, value, &arena, faults, 3, &count, &error);
    MUST(err == CAIRN_OK || err == CAIRN_E_INVALID || err == CAIRN_E_LIMIT || err == CAIRN_E_NOMEM);
    MUST(count <= 3 && (err != CAIRN_E_INVALID || (count > 0 && error.code == err && error.detail[0])));
    MUST(err != CAIRN_OK || count == 0);
    for (size_t i = 0; i < count; i++)
        MUST(faults[i].keyword.size > 0 && faults[i].message.size > 0);
    cairn_err quick = json_schema_validate(schema, value, &arena, NULL, 0, &none, NULL);
    MUST(quick == err || err == CAIRN_E_LIMIT || quick == CAIRN_E_LIMIT || err == CAIRN_E_NOMEM || quick == CAIRN_E_NOMEM);
    MUST(none == 0);
    arena_free(&arena);
    return err;
}

/* The value of the second text against a schema and against the true value of a near one. */
static void
compare(cairn_str text, const struct json_schema *schema, struct json value)
{
    struct arena arena = {.size_max = 64 << 20};
    struct compat_fault faults[2];
    size_t count;
    cairn_str other = CAIRN_STR("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"additionalProperties\":false}");
    struct json_schema *compiled = NULL;
    cairn_err err = compat_check(COMPAT_FULL_TRANSITIVE, &text, 1, text, &arena, faults, 2, &count, NULL);
    MUST(err == CAIRN_OK || err == CAIRN_E_NOMEM);
    err = compat_check(COMPAT_BACKWARD, &other, 1, text, &arena, faults, 2, &count, NULL);
    MUST(err == CAIRN_OK || err == CAIRN_E_INVALID || err == CAIRN_E_NOMEM);
    MUST(json_schema_compile(other, NULL, &compiled, NULL) == CAIRN_OK);
    if (err == CAIRN_OK && validate(compiled, value) == CAIRN_OK)
        MUST(validate(schema, value) != CAIRN_E_INVALID);
    err = compat_check(COMPAT_FORWARD, &other, 1, text, &arena, faults, 2, &count, NULL);
    if (err == CAIRN_OK && validate(schema, value) == CAIRN_OK)
        MUST(validate(compiled, value) != CAIRN_E_INVALID);
    json_schema_free(compiled);
    arena_free(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *line = size ? memchr(data, '\n', size) : NULL;
    cairn_str text = {(const char *)data, line ? (size_t)(line - data) : size};
    cairn_str rest = line ? (cairn_str){(const char *)line + 1, size - text.size - 1} : text;
    struct json value;
    cairn_error error = {.code = CAIRN_OK};
    if (json_check(rest, &value, NULL) != CAIRN_OK)
        return 0;
    for (int draft = JSON_SCHEMA_2020_12; draft <= JSON_SCHEMA_7; draft++) {
        struct json_schema_options options = {.draft = (enum json_schema_draft)draft, .assert_formats = true, .resolve = lend,
                                              .context = &rest, .base_uri = CAIRN_STR("http://example.org/x/y")};
        struct json_schema *schema = NULL;
        cairn_err err = json_schema_compile(text, &options, &schema, &error);
        MUST(err == CAIRN_OK || err == CAIRN_E_INVALID || err == CAIRN_E_LIMIT || err == CAIRN_E_NOMEM);
        MUST((err == CAIRN_OK) == (schema != NULL) && (err == CAIRN_OK || (error.code == err && error.detail[0])));
        if (schema)
            validate(schema, value);
        json_schema_free(schema);
    }
    struct json_schema_options alone = {.assert_formats = true};
    struct json_schema *schema = NULL;
    if (json_schema_compile(text, &alone, &schema, NULL) == CAIRN_OK)
        compare(text, schema, value);
    json_schema_free(schema);
    return 0;
}
