/* Consumer groups: "subscriptions" on the wire. */
#include <proto/http/api_int.h>

#include <base/error.h>
#include <base/json.h>
#include <proto/http/api_parse.h>
#include <proto/http/api_render.h>

/* ---- settings and state ------------------------------------------------------------------------------ */

static void
put_text(struct buf *to, const char *name, cairn_str text)
{
    if (text.size == 0)
        return;
    json_put_text_member(to, name, text);
}

static void
put_config(struct buf *to, const cairn_group_config *config)
{
    put_text(to, "stream", config->stream);
    put_text(to, "category", config->category);
    if (config->query.item_count > 0) {
        json_put_name(to, "query");
        buf_put_char(to, '[');
        for (size_t i = 0; i < config->query.item_count; i++) {
            const cairn_query_item *item = &config->query.items[i];
            json_put_comma(to);
            buf_put_char(to, '{');
            json_put_texts_member(to, "types", item->types, item->type_count);
            json_put_texts_member(to, "tags", item->tags, item->tag_count);
            buf_put_char(to, '}');
        }
        buf_put_char(to, ']');
    }
    json_put_name(to, "from");
    if (config->from == CAIRN_FROM_END)
        buf_put_str(to, CAIRN_STR("\"end\""));
    else
        json_put_i64(to, config->from);
    json_put_u64_member(to, "ack_timeout_ms", config->ack_timeout_ms);
    json_put_u64_member(to, "retry_max", config->retry_max);
    json_put_u64_member(to, "retry_delay_ms", config->retry_delay_ms);
    json_put_u64_member(to, "outstanding_max", config->outstanding_max);
    if (config->dead_letter_topic.size > 0)
        json_put_text_member(to, "dead_letter", config->dead_letter_topic);
    else
        json_put_bool_member(to, "dead_letter", config->dead_letter);
}

static void
put_status(void *context, const cairn_group_status *status)
{
    struct buf *to = context;
    json_put_comma(to);
    buf_put_char(to, '{');
    put_text(to, "name", status->name);
    put_config(to, &status->config);
    json_put_u64_member(to, "checkpoint", status->checkpoint);
    json_put_u64_member(to, "end", status->end);
    json_put_u64_member(to, "lag", status->end > status->checkpoint ? status->end - status->checkpoint : 0);
    json_put_u64_member(to, "outstanding", status->outstanding);
    json_put_u64_member(to, "retrying", status->retrying);
    json_put_u64_member(to, "parked", status->parked);
    json_put_u64_member(to, "dead_letters", status->dead_letters);
    put_text(to, "dead_letter_topic", status->dead_letter_topic);
    json_put_u64_member(to, "acked_total", status->acked_total);
    json_put_name(to, "last_activity");
    if (status->last_activity_us > 0)
        json_put_time(to, status->last_activity_us);
    else
        buf_put_str(to, CAIRN_STR("null"));
    buf_put_char(to, '}');
}

cairn_err
api_group_list(struct api_call *call, cairn_error *error)
{
    buf_put_str(call->out, CAIRN_STR("{\"subscriptions\":["));
    cairn_err err = cairn_group_status_get(call->api->store, 0, (cairn_str){0}, put_status, call->out, error);
    buf_put_str(call->out, CAIRN_STR("]}"));
    return err;
}

cairn_err
api_group_get(struct api_call *call, cairn_error *error)
{
    return cairn_group_status_get(call->api->store, 0, call->parts[0], put_status, call->out, error);
}

/* ---- making and changing ---------------------------------------------------------------------------------- */

/* Copies of a group's settings: what it was is the ground that a PUT changes. */
struct copied_config {
    struct arena *arena;
    cairn_group_config config;
    bool failed;
};

static cairn_str
copy_text(struct copied_config *to, cairn_str text)
{
    cairn_str copy = text.size ? arena_copy(to->arena, text) : (cairn_str){0};
    to->failed |= text.size > 0 && !copy.data;
    return copy;
}

static const cairn_str *
copy_texts(struct copied_config *to, const cairn_str *texts, size_t count)
{
    cairn_str *copies = count ? arena_alloc(to->arena, count * sizeof *copies) : NULL;
    to->failed |= count > 0 && !copies;
    for (size_t i = 0; copies && i < count; i++)
        copies[i] = copy_text(to, texts[i]);
    return copies;
}

static void
copy_config(void *context, const cairn_group_status *status)
{
    struct copied_config *to = context;
    const cairn_query *query = &status->config.query;
    cairn_query_item *items =
        query->item_count ? arena_alloc(to->arena, query->item_count * sizeof *items) : NULL;
    to->config = status->config;
    to->config.stream = copy_text(to, status->config.stream);
    to->config.category = copy_text(to, status->config.category);
    to->config.dead_letter_topic = copy_text(to, status->config.dead_letter_topic);
    to->config.query.items = items;
    to->failed |= query->item_count > 0 && !items;
    for (size_t i = 0; items && i < query->item_count; i++)
        items[i] = (cairn_query_item){copy_texts(to, query->items[i].types, query->items[i].type_count),
                                      query->items[i].type_count,
                                      copy_texts(to, query->items[i].tags, query->items[i].tag_count),
                                      query->items[i].tag_count};
}

cairn_err
api_group_put(struct api_call *call, cairn_error *error)
{
    struct parse parse = {.arena = call->arena, .error = error};
    struct copied_config copied = {.arena = call->arena};
    cairn_err err =
        cairn_group_status_get(call->api->store, 0, call->parts[0], copy_config, &copied, error);
    if (err == CAIRN_E_NOTFOUND)
        err = CAIRN_OK;
    if (err == CAIRN_OK && copied.failed)
        err = error_set(error, CAIRN_E_NOMEM, "out of memory");
    if (err == CAIRN_OK)
        err = parse_group(&parse, call->body, &copied.config);
    call->malformed = parse.malformed;
    if (err == CAIRN_OK)
        err = cairn_group_put(call->api->store, 0, call->parts[0], &copied.config, error);
    return err == CAIRN_OK ? api_group_get(call, error) : err;
}

cairn_err
api_group_delete(struct api_call *call, cairn_error *error)
{
    call->status = 204;
    return cairn_group_delete(call->api->store, 0, call->parts[0], error);
}

/* ---- taking ------------------------------------------------------------------------------------------------- */

static void
put_delivery(void *context, const cairn_recorded *event, uint32_t delivery)
{
    struct buf *to = context;
    json_put_comma(to);
    render_event_open(to, event);
    json_put_u64_member(to, "delivery", delivery);
    buf_put_char(to, '}');
}

cairn_err
api_group_take_now(struct api_call *call, bool *ret_any, cairn_error *error)
{
    size_t begun;
    buf_clear(call->out);
    buf_put_str(call->out, CAIRN_STR("{\"events\":["));
    begun = call->out->size;
    cairn_err err = cairn_group_take(call->api->store, 0, call->parts[0],
                                     (size_t)call->args.value[ARG_LIMIT].number, put_delivery, call->out, error);
    *ret_any = call->out->size > begun;
    buf_put_str(call->out, CAIRN_STR("]}"));
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

cairn_err
api_group_take(struct api_call *call, cairn_error *error)
{
    struct api_call *kept = api_keep(call);
    if (!kept)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    cairn_err err = api_poll(kept, call->start_us + call->args.value[ARG_WAIT].number * 1000, error);
    if (err != CAIRN_OK)
        api_release(kept);
    return err;
}

/* ---- done with, or not ----------------------------------------------------------------------------------------- */

static cairn_err
put_done(struct api_call *call, const char *name, size_t count, cairn_err err)
{
    buf_printf(call->out, "{\"%s\":%zu}", name, count);
    return err;
}

cairn_err
api_group_ack(struct api_call *call, cairn_error *error)
{
    struct parse parse = {.arena = call->arena, .error = error};
    struct positions positions;
    size_t count = 0;
    cairn_err err = parse_positions(&parse, call->body, false, &positions);
    call->malformed = parse.malformed;
    if (err == CAIRN_OK)
        err = cairn_group_ack(call->api->store, 0, call->parts[0], positions.positions, positions.count, &count,
                              error);
    return put_done(call, "acknowledged", count, err);
}

cairn_err
api_group_nack(struct api_call *call, cairn_error *error)
{
    struct parse parse = {.arena = call->arena, .error = error};
    struct positions positions;
    size_t count = 0;
    cairn_err err = parse_positions(&parse, call->body, true, &positions);
    call->malformed = parse.malformed;
    if (err == CAIRN_OK)
        err = cairn_group_nack(call->api->store, 0, call->parts[0], positions.positions, positions.count,
                               positions.park, positions.reason, &count, error);
    return put_done(call, "refused", count, err);
}

static void
put_parked(void *context, const cairn_recorded *event, uint32_t deliveries, cairn_str reason)
{
    struct buf *to = context;
    json_put_comma(to);
    render_event_open(to, event);
    json_put_u64_member(to, "deliveries", deliveries);
    json_put_text_member(to, "reason", reason);
    buf_put_char(to, '}');
}

cairn_err
api_group_parked(struct api_call *call, cairn_error *error)
{
    buf_put_str(call->out, CAIRN_STR("{\"events\":["));
    cairn_err err = cairn_group_parked(call->api->store, 0, call->parts[0],
                                       (size_t)call->args.value[ARG_LIMIT].number, put_parked, call->out, error);
    buf_put_str(call->out, CAIRN_STR("]}"));
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

cairn_err
api_group_replay(struct api_call *call, cairn_error *error)
{
    size_t count = 0;
    cairn_err err = cairn_group_replay_parked(call->api->store, 0, call->parts[0], &count, error);
    return put_done(call, "replayed", count, err);
}
