/* The query string: read strictly by the table of parameters.
 *
 * A parameter that a route does not take, one given twice that may not be, and a value that does not
 * read whole as its kind are refused by name: a typo must not silently do something else. */
#include <proto/http/api_int.h>

#include <base/error.h>
#include <base/text.h>

#include <stdio.h>

const struct api_arg_spec api_arg_specs[ARG_COUNT] = {
    [ARG_EXPECTED] = {"expected", KIND_EXPECTED,
                      "What the stream must be at: any (the default), none, exists, or its last revision.",
                      0, 0, CAIRN_ANY, false},
    [ARG_FROM_REVISION] = {"from", KIND_FROM,
                           "First revision to return, inclusive; or start, end. By default the first in "
                           "the direction of reading.",
                           0, INT64_MAX - 1, 0, false},
    [ARG_FROM_POSITION] = {"from", KIND_FROM,
                           "First position to return, inclusive; or start, end. By default the first in "
                           "the direction of reading.",
                           0, INT64_MAX - 1, 0, false},
    [ARG_DIRECTION] = {"direction", KIND_DIRECTION, "forward (the default) or backward.", 0, 0,
                       CAIRN_FORWARD, false},
    [ARG_LIMIT] = {"limit", KIND_WHOLE, "At most so many.", 1, API_LIMIT_MAX, API_LIMIT_DEFAULT, false},
    [ARG_AS_OF] = {"as_of", KIND_MOMENT,
                   "Read as it was: at a time (RFC 3339, events of that microsecond included), or when so "
                   "many events had been written (a position, itself not included).",
                   0, INT64_MAX, 0, false},
    [ARG_CATEGORY] = {"category", KIND_TEXT,
                      "Only streams of this category: the text before a name's first '-'.", 0, 0, 0, false},
    [ARG_TYPE] = {"type", KIND_LIST, "Only events of this type; repeat it for any of several.", 0, 0, 0,
                  false},
    [ARG_TAG] = {"tag", KIND_LIST, "Only events that bear this tag; repeat it for all of several.", 0, 0, 0,
                 false},
    [ARG_SINCE] = {"since", KIND_TIME, "Only events committed at this time or later (RFC 3339).", 0, 0, 0,
                   false},
    [ARG_UNTIL] = {"until", KIND_TIME, "Only events committed before this time (RFC 3339).", 0, 0, 0, false},
    [ARG_SYSTEM] = {"system", KIND_BOOL, "Also Cairn's own streams, whose names begin with '$'.", 0, 0, 0,
                    false},
    [ARG_PREFIX] = {"prefix", KIND_TEXT, "Only streams whose names begin with this.", 0, 0, 0, false},
    [ARG_AFTER] = {"after", KIND_TEXT, "Begin after this stream: `next` of the page before.", 0, 0, 0, false},
    [ARG_TOMBSTONE] = {"tombstone", KIND_BOOL,
                       "Close the name for good: later appends answer 410. By default a later append goes on "
                       "with the next revision.",
                       0, 0, 0, false},
    [ARG_REVISION] = {"revision", KIND_WHOLE, "The last revision that the snapshot's state includes.", 0,
                      INT64_MAX - 1, 0, true},
    [ARG_WAIT] = {"wait", KIND_WHOLE, "Milliseconds to wait for an event when none is due.", 0, 60000, 0,
                  false},
    [ARG_ROWS] = {"limit", KIND_WHOLE, "At most so many rows; the query says how many it gives by itself.", 1,
                  API_LIMIT_MAX, API_LIMIT_DEFAULT, false},
    [ARG_CURSOR] = {"cursor", KIND_CURSOR, "`next` of the page before.", 0, 0, 0, false},
    [ARG_AFTER_POSITION] = {"after_position", KIND_WHOLE,
                            "Wait until the read model shows the event at this position: `position` of a command's "
                            "answer, to read your own writes.",
                            0, INT64_MAX - 1, 0, false},
    [ARG_TIMEOUT] = {"timeout_ms", KIND_WHOLE, "Milliseconds for waiting and running together.", 1, 120000, 5000,
                     false},
    [ARG_AT_REVISION] = {"revision", KIND_WHOLE, "The state as it was at this revision; by default as it is now.", 0,
                         INT64_MAX - 1, 0, false},
    [ARG_MAKE] = {"expected", KIND_EXPECTED,
                  "none: make it, and refuse where there is one; exists: change it, and refuse where there is none; any (the "
                  "default).",
                  0, 0, CAIRN_ANY, false},
    [ARG_AFTER_NAME] = {"after", KIND_TEXT, "Begin after this name: `next` of the page before.", 0, 0, 0, false},
    [ARG_NAME_PREFIX] = {"prefix", KIND_TEXT, "Only those whose names begin with this.", 0, 0, 0, false},
    [ARG_FROM_OFFSET] = {"from", KIND_OFFSET,
                         "First offset to return, inclusive; or earliest (the default), or latest: the newest `limit` of them.", 0,
                         INT64_MAX - 1, -2, false},
    [ARG_AT] = {"at", KIND_TIME, "Begin with the first record whose timestamp is at or after this time (RFC 3339).", 0, 0, 0,
                false},
    [ARG_FREE] = {"parameters", KIND_FREE, "The query's own parameters, filters and sort, by name.", 0, 0, 0, false},
};

bool
api_decode(cairn_str text, bool form, struct arena *arena, cairn_str *ret)
{
    bool plain = memchr(text.data, '%', text.size) == NULL &&
                 (!form || memchr(text.data, '+', text.size) == NULL);
    if (text.size == 0 || plain) {
        *ret = text;
        return true;
    }
    struct buf decoded = {0};
    bool ok = percent_get(&decoded, text, form) && !decoded.failed;
    if (ok) {
        *ret = arena_copy(arena, buf_str(&decoded));
        ok = ret->data != NULL;
    }
    buf_free(&decoded);
    return ok;
}

bool
api_parse_expected(cairn_str text, int64_t *ret)
{
    static const struct {
        cairn_str word;
        int64_t value;
    } words[] = {{CAIRN_STR("any"), CAIRN_ANY}, {CAIRN_STR("none"), CAIRN_NONE}, {CAIRN_STR("exists"), CAIRN_EXISTS}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (cairn_str_equal(text, words[i].word)) {
            *ret = words[i].value;
            return true;
        }
    uint64_t revision;
    if (!parse_u64(text, &revision) || revision > INT64_MAX - 1)
        return false;
    *ret = (int64_t)revision;
    return true;
}

static bool
parse_word(cairn_str text, const char *zero, const char *one, int64_t *ret)
{
    if (cairn_str_equal(text, cairn_cstr(zero)))
        *ret = 0;
    else if (cairn_str_equal(text, cairn_cstr(one)))
        *ret = 1;
    else
        return false;
    return true;
}

static bool
parse_whole(cairn_str text, int64_t min, int64_t max, int64_t *ret)
{
    uint64_t n;
    if (!parse_u64(text, &n) || n > (uint64_t)max || (int64_t)n < min)
        return false;
    *ret = (int64_t)n;
    return true;
}

/* NULL when the value reads as its kind, otherwise what it should have been. `said` is scratch. */
static const char *
parse_value(const struct api_arg_spec *spec, struct api_value *value, char said[96])
{
    cairn_str text = value->text;
    switch (spec->kind) {
    case KIND_TEXT:
    case KIND_LIST:
        return text.size > 0 && text.size <= 512 && utf8_valid(text) ? NULL : "1 to 512 bytes of UTF-8";
    case KIND_WHOLE:
        if (parse_whole(text, spec->min, spec->max, &value->number))
            return NULL;
        snprintf(said, 96, "a whole number from %lld to %lld", (long long)spec->min, (long long)spec->max);
        return said;
    case KIND_BOOL:
        return parse_word(text, "false", "true", &value->number) ? NULL : "true or false";
    case KIND_DIRECTION:
        return parse_word(text, "forward", "backward", &value->number) ? NULL : "forward or backward";
    case KIND_EXPECTED:
        return api_parse_expected(text, &value->number) ? NULL : "any, none, exists or a revision";
    case KIND_FROM:
        if (cairn_str_equal(text, CAIRN_STR("start")))
            value->number = CAIRN_FROM_START;
        else if (cairn_str_equal(text, CAIRN_STR("end")))
            value->number = CAIRN_FROM_END;
        else if (!parse_whole(text, spec->min, spec->max, &value->number))
            return "a whole number, start or end";
        return NULL;
    case KIND_OFFSET: /* Kafka's own numbers for the two words */
        if (cairn_str_equal(text, CAIRN_STR("earliest")))
            value->number = -2;
        else if (cairn_str_equal(text, CAIRN_STR("latest")))
            value->number = -1;
        else if (!parse_whole(text, spec->min, spec->max, &value->number))
            return "a whole number, earliest or latest";
        return NULL;
    case KIND_TIME:
        return parse_time(text, &value->number) ? NULL
                                                : "an RFC 3339 time such as 2026-11-21T08:31:11.123456Z";
    case KIND_MOMENT:
        if (parse_whole(text, spec->min, spec->max, &value->number))
            return NULL;
        value->is_time = true;
        return parse_time(text, &value->number)
                   ? NULL
                   : "a position, or an RFC 3339 time such as 2026-11-21T08:31:11.123456Z";
    case KIND_CURSOR:
        return text.size > 0 && text.size <= 4096 ? NULL : "a cursor that a page before has given";
    case KIND_FREE:
        break;
    }
    return "something else";
}

/* "from, limit, tag" into `to`. */
static void
list_taken(uint64_t taken, char *to, size_t size)
{
    size_t at = 0;
    to[0] = '\0';
    for (unsigned i = 0; i < ARG_COUNT && at < size; i++)
        if (taken >> i & 1)
            at += (size_t)snprintf(to + at, size - at, "%s%s", at ? ", " : "", api_arg_specs[i].name);
}

static cairn_err
refuse_unknown(cairn_str name, uint64_t taken, cairn_error *error)
{
    char known[200];
    int shown = (int)(name.size < 60 ? name.size : 60);
    list_taken(taken, known, sizeof known);
    if (!known[0])
        return error_set(error, CAIRN_E_INVALID, "parameter '%.*s' is not known: this path takes none",
                         shown, name.data);
    return error_set(error, CAIRN_E_INVALID, "parameter '%.*s' is not known here; known are %s", shown,
                     name.data, known);
}

static cairn_err
add_to_list(struct api_list *list, const char *name, cairn_str text, struct arena *arena,
            cairn_error *error)
{
    if (list->count == API_LIST_MAX)
        return error_set(error, CAIRN_E_LIMIT, "parameter '%s' is given more than %d times", name,
                         API_LIST_MAX);
    if (!list->items)
        list->items = arena_alloc(arena, API_LIST_MAX * sizeof *list->items);
    if (!list->items)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    list->items[list->count++] = text;
    return CAIRN_OK;
}

/* A parameter that only an app's query knows: kept as it is, and refused by the query where it is unknown. */
static cairn_err
add_free(struct api_args *args, cairn_str name, cairn_str text, struct arena *arena, cairn_error *error)
{
    for (size_t i = 0; i < args->free_count; i++)
        if (cairn_str_equal(args->free[i].name, name))
            return error_set(error, CAIRN_E_INVALID, "parameter '%.*s' is given twice",
                             (int)(name.size < 60 ? name.size : 60), name.data);
    if (args->free_count == API_FREE_MAX)
        return error_set(error, CAIRN_E_LIMIT, "more than %d parameters", API_FREE_MAX);
    if (args->free == NULL)
        args->free = arena_alloc(arena, API_FREE_MAX * sizeof *args->free);
    if (args->free == NULL)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    args->free[args->free_count++] = (cairn_app_param){name, text};
    return CAIRN_OK;
}

static cairn_err
parse_pair(cairn_str name, cairn_str text, uint64_t taken, struct arena *arena, struct api_args *args,
           cairn_error *error)
{
    unsigned i = 0;
    while (i < ARG_FREE && !((taken >> i & 1) && cairn_str_equal(name, cairn_cstr(api_arg_specs[i].name))))
        i++;
    if (i == ARG_FREE)
        return (taken & ARG(FREE)) != 0 ? add_free(args, name, text, arena, error) : refuse_unknown(name, taken, error);

    const struct api_arg_spec *spec = &api_arg_specs[i];
    struct api_value *value = &args->value[i];
    if (value->given && spec->kind != KIND_LIST)
        return error_set(error, CAIRN_E_INVALID, "parameter '%s' is given twice", spec->name);
    value->given = true;
    value->text = text;
    char said[96];
    const char *wanted = parse_value(spec, value, said);
    if (wanted)
        return error_set(error, CAIRN_E_INVALID, "parameter '%s': '%.*s' is not %s", spec->name,
                         (int)(text.size < 60 ? text.size : 60), text.data ? text.data : "", wanted);
    if (spec->kind == KIND_LIST)
        return add_to_list(i == ARG_TYPE ? &args->types : &args->tags, spec->name, text, arena, error);
    return CAIRN_OK;
}

cairn_err
api_args_parse(cairn_str query, uint64_t taken, struct arena *arena, struct api_args *ret,
               cairn_error *error)
{
    memset(ret, 0, sizeof *ret);
    for (unsigned i = 0; i < ARG_COUNT; i++)
        ret->value[i].number = api_arg_specs[i].fallback;

    const char *at = query.data, *end = query.data + query.size;
    while (query.size > 0 && at < end) {
        const char *stop = memchr(at, '&', (size_t)(end - at));
        stop = stop ? stop : end;
        const char *equals = memchr(at, '=', (size_t)(stop - at));
        cairn_str name = {at, (size_t)((equals ? equals : stop) - at)};
        cairn_str text = {equals ? equals + 1 : stop, equals ? (size_t)(stop - equals - 1) : 0};
        at = stop + 1;
        if (name.size == 0 && text.size == 0)
            continue;
        cairn_str plain_name, plain_text;
        if (!api_decode(name, true, arena, &plain_name) || !api_decode(text, true, arena, &plain_text))
            return error_set(error, CAIRN_E_INVALID, "the query string holds a bad percent-escape");
        cairn_err err = parse_pair(plain_name, plain_text, taken, arena, ret, error);
        if (err != CAIRN_OK)
            return err;
    }
    for (unsigned i = 0; i < ARG_COUNT; i++)
        if ((taken >> i & 1) && api_arg_specs[i].required && !ret->value[i].given)
            return error_set(error, CAIRN_E_INVALID, "parameter '%s' is missing", api_arg_specs[i].name);
    return CAIRN_OK;
}
