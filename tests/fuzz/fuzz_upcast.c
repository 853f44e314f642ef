/* Lines "op version from to value", then, after an empty line, the data: a chain answers, chains
 * compose (but for white space), and what comes out is JSON. */
#include <base/bytes.h>
#include <base/error.h>
#include <schema/upcast.h>

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

static cairn_str
next_field(cairn_str *line, char stop)
{
    const char *end = line->size ? memchr(line->data, stop, line->size) : NULL;
    cairn_str field = {line->data, end ? (size_t)(end - line->data) : line->size};
    size_t taken = field.size + (end != NULL);
    line->data += taken;
    line->size -= taken;
    return field;
}

/* White space is kept only where nothing was taken apart. */
static bool
same_but_for_space(cairn_str a, cairn_str b)
{
    struct buf x = {0}, y = {0};
    json_put_compact(&x, a);
    json_put_compact(&y, b);
    bool same = cairn_str_equal(buf_str(&x), buf_str(&y));
    buf_free(&x);
    buf_free(&y);
    return same;
}

static size_t
read_steps(cairn_str *text, struct upcast_step *steps, size_t max)
{
    size_t count = 0;
    while (text->size > 0 && count < max) {
        cairn_str line = next_field(text, '\n');
        if (line.size == 0)
            break;
        cairn_str op = next_field(&line, ' '), version = next_field(&line, ' ');
        steps[count] = (struct upcast_step){.to_version = 2 + (version.size ? (uint32_t)(uint8_t)version.data[0] % 8 : 0),
                                            .op = (enum upcast_op)(op.size ? (uint8_t)op.data[0] % 4 : 0)};
        steps[count].from = next_field(&line, ' ');
        steps[count].to = next_field(&line, ' ');
        steps[count].value = line;
        count++;
    }
    return count;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct upcast_step steps[32];
    struct upcast_chain *chain = NULL;
    struct arena arena = {.size_max = 64 << 20};
    cairn_str data = {(const char *)bytes, size}, whole = {NULL, 0}, half = {NULL, 0}, both = {NULL, 0};
    struct json json;
    cairn_error error = {.code = CAIRN_OK};
    size_t count = read_steps(&data, steps, 32);
    cairn_err err = upcast_build(steps, count, &chain, &error);
    MUST(err == CAIRN_OK || (err == CAIRN_E_INVALID && error.detail[0]));
    if (err != CAIRN_OK)
        return 0;
    err = upcast_apply(chain, CAIRN_STR("T"), 1, 9, data, &arena, &whole, &error);
    MUST(err == CAIRN_OK || err == CAIRN_E_INVALID || err == CAIRN_E_LIMIT || err == CAIRN_E_NOMEM);
    if (err == CAIRN_OK) {
        MUST(count == 0 || whole.data == data.data || json_check(whole, &json, NULL) == CAIRN_OK);
        for (uint32_t middle = 1; middle <= 9; middle += 4) {
            if (upcast_apply(chain, CAIRN_STR("T"), 1, middle, data, &arena, &half, NULL) != CAIRN_OK)
                continue; /* deeper on the way than at the end */
            err = upcast_apply(chain, CAIRN_STR("T"), middle, 9, half, &arena, &both, NULL);
            MUST(err == CAIRN_E_NOMEM || (err == CAIRN_OK && same_but_for_space(both, whole)));
        }
    }
    upcast_free(chain);
    arena_free(&arena);
    return 0;
}
