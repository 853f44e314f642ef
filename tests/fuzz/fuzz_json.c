/* Any bytes as JSON: the check answers, what it accepts makes the whole tour, what it refuses is walked all
 * the same without leaving the text, and as the content of a string they come back as they are. */
#include "../json_tour.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
as_document(cairn_str text)
{
    struct tour tour = {.values = 0};
    struct json value = {.type = JSON_NONE};
    cairn_error error = {.code = CAIRN_OK};
    cairn_err err = json_check(text, &value, &error);
    if (err == CAIRN_OK) {
        TOUR_CHECK(utf8_valid(text));
        tour_checked(&tour, text, value);
    } else {
        TOUR_CHECK(err == CAIRN_E_INVALID || err == CAIRN_E_LIMIT);
        TOUR_CHECK(error.code == err && strncmp(error.detail, "at byte ", 8) == 0);
        TOUR_CHECK(strtoull(error.detail + 8, NULL, 10) <= text.size);
        struct buf to = {0};
        json_put_compact(&to, text);
        TOUR_CHECK(to.size <= text.size);
        buf_free(&to);
    }
    tour_unchecked(&tour, json_trusted(text), 0);
    arena_free(&tour.arena);
}

static void
as_string(cairn_str text)
{
    struct arena arena = {0};
    struct buf to = {0};
    struct json value;
    json_put_string(&to, text);
    TOUR_CHECK(json_check(buf_str(&to), &value, NULL) == CAIRN_OK);
    cairn_str back = json_string(value, &arena);
    TOUR_CHECK(back.data && utf8_valid(back));
    TOUR_CHECK(cairn_str_equal(back, text) == utf8_valid(text));
    buf_free(&to);
    arena_free(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cairn_str text = {(const char *)data, size};
    as_document(text);
    as_string(text);
    return 0;
}
