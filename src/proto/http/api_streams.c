/* Streams: listing, what is known of one, retention, deletion, snapshots. */
#include <proto/http/api_int.h>

#include <base/error.h>
#include <base/json.h>
#include <base/text.h>
#include <proto/http/api_parse.h>

#include <stdio.h>

/* ---- listing ----------------------------------------------------------------------------------------- */

struct listing {
    struct buf *out;
    struct arena *arena;
    size_t limit, count;
    cairn_str last;
    bool more;
};

static bool
list_stream(void *context, cairn_str stream, uint64_t first_position)
{
    struct listing *list = context;
    if (list->count == list->limit) {
        list->more = true;
        return false;
    }
    json_put_comma(list->out);
    buf_put_str(list->out, CAIRN_STR("{\"stream\":"));
    json_put_string(list->out, stream);
    buf_put_str(list->out, CAIRN_STR(",\"first_position\":"));
    json_put_u64(list->out, first_position);
    buf_put_char(list->out, '}');
    if (++list->count == list->limit)
        list->last = arena_copy(list->arena, stream);
    return !list->out->failed;
}

cairn_err
api_streams_list(struct api_call *call, cairn_error *error)
{
    struct listing list = {
        .out = call->out, .arena = call->arena, .limit = (size_t)call->args.value[ARG_LIMIT].number};
    buf_put_str(call->out, CAIRN_STR("{\"streams\":["));
    cairn_err err = cairn_streams(call->api->store, 0, call->args.value[ARG_PREFIX].text,
                                  call->args.value[ARG_AFTER].text, list_stream, &list, error);
    if (err != CAIRN_OK)
        return err;
    buf_put_str(call->out, CAIRN_STR("],\"next\":"));
    if (list.more)
        json_put_string(call->out, list.last);
    else
        buf_put_str(call->out, CAIRN_STR("null"));
    buf_put_str(call->out, list.more ? CAIRN_STR(",\"end\":false}") : CAIRN_STR(",\"end\":true}"));
    return CAIRN_OK;
}

/* ---- one stream ---------------------------------------------------------------------------------------- */

/* In the largest unit that says it exactly; what is finer than a millisecond is rounded up to one. */
static void
put_duration(struct buf *to, uint64_t us)
{
    static const struct {
        uint64_t us;
        const char *unit;
    } units[] = {{86400000000, "d"}, {3600000000, "h"}, {60000000, "m"}, {1000000, "s"}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (us % units[i].us == 0) {
            buf_printf(to, "\"%llu%s\"", (unsigned long long)(us / units[i].us), units[i].unit);
            return;
        }
    buf_printf(to, "\"%llums\"", (unsigned long long)(us / 1000 + (us % 1000 > 0)));
}

static void
put_count(struct buf *to, const char *name, uint64_t n)
{
    json_put_name(to, name);
    if (n > 0)
        json_put_u64(to, n);
    else
        buf_put_str(to, CAIRN_STR("null"));
}

static void
put_retention(struct buf *to, const cairn_retention *retention)
{
    buf_put_char(to, '{');
    put_count(to, "max_count", retention->max_count);
    json_put_name(to, "max_age");
    if (retention->max_age_us > 0)
        put_duration(to, retention->max_age_us);
    else
        buf_put_str(to, CAIRN_STR("null"));
    put_count(to, "truncate_before", retention->truncate_before);
    buf_put_char(to, '}');
}

cairn_err
api_stream_get(struct api_call *call, cairn_error *error)
{
    cairn_stream_info info;
    cairn_err err = cairn_stream_info_get(call->api->store, 0, call->parts[0], &info, error);
    if (err != CAIRN_OK)
        return err;
    buf_put_str(call->out, CAIRN_STR("{\"stream\":"));
    json_put_string(call->out, call->parts[0]);
    buf_printf(call->out, ",\"exists\":%s,\"tombstoned\":%s", info.exists ? "true" : "false",
               info.tombstoned ? "true" : "false");
    if (info.exists)
        buf_printf(call->out, ",\"first_revision\":%llu", (unsigned long long)info.first_revision);
    buf_printf(call->out, ",\"last_revision\":%lld", (long long)info.last_revision);
    if (info.last_revision >= 0)
        buf_printf(call->out, ",\"last_position\":%llu", (unsigned long long)info.last_position);
    json_put_name(call->out, "retention");
    put_retention(call->out, &info.retention);
    buf_put_char(call->out, '}');
    return CAIRN_OK;
}

cairn_err
api_stream_delete(struct api_call *call, cairn_error *error)
{
    call->status = 204;
    return cairn_delete(call->api->store, 0, call->parts[0], call->args.value[ARG_EXPECTED].number,
                        call->args.value[ARG_TOMBSTONE].number, error);
}

cairn_err
api_retention_get(struct api_call *call, cairn_error *error)
{
    cairn_stream_info info;
    cairn_err err = cairn_stream_info_get(call->api->store, 0, call->parts[0], &info, error);
    if (err == CAIRN_OK)
        put_retention(call->out, &info.retention);
    return err;
}

cairn_err
api_retention_put(struct api_call *call, cairn_error *error)
{
    struct parse parse = {.arena = call->arena, .error = error};
    cairn_retention retention;
    cairn_err err = parse_retention(&parse, call->body, &retention);
    call->malformed = parse.malformed;
    if (err == CAIRN_OK)
        err = cairn_retention_set(call->api->store, 0, call->parts[0], &retention, error);
    return err == CAIRN_OK ? api_retention_get(call, error) : err;
}

/* ---- snapshots -------------------------------------------------------------------------------------------- */

/* A content type put by an embedding program may be anything; a header field may not. */
static bool
is_field_value(cairn_str text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < 0x20 || text.data[i] > 0x7E)
            return false;
    return true;
}

cairn_err
api_snapshot_get(struct api_call *call, cairn_error *error)
{
    cairn_snapshot snapshot;
    void *memory;
    char revision[24];
    cairn_err err = cairn_snapshot_get(call->api->store, 0, call->parts[0], &snapshot, &memory, error);
    if (err != CAIRN_OK)
        return err;
    int size = snprintf(revision, sizeof revision, "%llu", (unsigned long long)snapshot.revision);
    cairn_str text = arena_copy(call->arena, (cairn_str){revision, (size_t)size});
    if (!is_field_value(snapshot.content_type))
        snapshot.content_type = CAIRN_STR("application/octet-stream");
    if (snapshot.content_type.size > 0)
        call->reply_type_text = arena_copy(call->arena, snapshot.content_type);
    buf_put_str(call->out, snapshot.data);
    cairn_free(memory);
    if (!text.data || (snapshot.content_type.size > 0 && !call->reply_type_text.data))
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    api_reply_field(call, "cairn-revision", text);
    return CAIRN_OK;
}

cairn_err
api_snapshot_put(struct api_call *call, cairn_error *error)
{
    const cairn_snapshot snapshot = {
        .revision = (uint64_t)call->args.value[ARG_REVISION].number,
        .content_type = call->content_type,
        .data = call->body,
    };
    call->status = 204;
    return cairn_snapshot_put(call->api->store, 0, call->parts[0], &snapshot, error);
}
