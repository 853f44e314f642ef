/* Any bytes as XES: it ends, within its bounds; every event's data is a JSON object; and the events do not
 * depend on the pieces in which the text comes. */
#include <stdint.h>
#include <stdlib.h>

#include <base/hash.h>
#include <base/json.h>

#include "../../cli/xes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_object(cairn_str text)
{
    struct json value;
    if (text.size && (json_check(text, &value, NULL) != CAIRN_OK || value.type != JSON_OBJECT))
        abort();
}

static bool
take(void *context, const struct xes_event *event)
{
    uint64_t *sum = context;
    if (event->data.size < 2)
        abort();
    const cairn_str parts[] = {event->data, event->types, event->trace_data, event->type, event->time, event->trace_name};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (i < 3)
            check_object(parts[i]);
        *sum = hash64(parts[i].data ? parts[i].data : "", parts[i].size, *sum);
    }
    return true;
}

static cairn_err
parse(cairn_str text, size_t step, uint64_t *ret_sum)
{
    static const cairn_str keys[] = {{"k", 1}, {"org:resource", 12}};
    struct xes_options options = {.visit = take, .context = ret_sum, .tag_keys = keys, .tag_key_count = 2, .keep_log = true};
    struct xes *xes = xes_new(&options);
    cairn_error error = {0};
    cairn_err err = CAIRN_OK;
    if (!xes)
        abort();
    for (size_t at = 0; at < text.size && err == CAIRN_OK; at += step)
        err = xes_feed(xes, (cairn_str){text.data + at, text.size - at < step ? text.size - at : step}, false, &error);
    if (err == CAIRN_OK)
        err = xes_feed(xes, CAIRN_STR(""), true, &error);
    if (err == CAIRN_OK)
        check_object(xes_log(xes));
    if (err != CAIRN_OK && err != CAIRN_E_INVALID && err != CAIRN_E_LIMIT)
        abort();
    xes_free(xes);
    return err;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    cairn_str text = {(const char *)data + 1, size - 1};
    uint64_t whole = 0, pieces = 0;
    cairn_err a = parse(text, text.size, &whole);
    cairn_err b = parse(text, (size_t)data[0] + 1, &pieces);
    if (a != b || whole != pieces)
        abort();
    return 0;
}
