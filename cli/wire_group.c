/* Consumer groups over the wire. See target.h and wire_int.h. */
#include "wire_int.h"

#include <base/error.h>
#include <base/text.h>

#include "event_json.h"

static void
put_config(struct buf *to, const cairn_group_config *config)
{
    buf_put_char(to, '{');
    if (config->stream.size) {
        json_put_text_member(to, "stream", config->stream);
    }
    if (config->category.size) {
        json_put_text_member(to, "category", config->category);
    }
    if (config->query.item_count) {
        json_put_name(to, "query");
        wire_put_query(to, &config->query);
    }
    if (config->from) {
        json_put_name(to, "from");
        if (config->from == CAIRN_FROM_END)
            buf_put_str(to, CAIRN_STR("\"end\""));
        else
            json_put_i64(to, config->from);
    }
    const struct {
        const char *name;
        uint32_t value;
    } numbers[] = {{"ack_timeout_ms", config->ack_timeout_ms},
                   {"retry_max", config->retry_max},
                   {"retry_delay_ms", config->retry_delay_ms},
                   {"outstanding_max", config->outstanding_max}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (numbers[i].value) {
            json_put_u64_member(to, numbers[i].name, numbers[i].value);
        }
    if (config->dead_letter_topic.size)
        json_put_text_member(to, "dead_letter", config->dead_letter_topic);
    else if (config->dead_letter)
        json_put_bool_member(to, "dead_letter", true);
    buf_put_char(to, '}');
}

cairn_err
wire_group_put(struct target *target, cairn_str name, const cairn_group_config *config, cairn_error *error)
{
    struct wire *wire = (struct wire *)target;
    buf_clear(&wire->body);
    put_config(&wire->body, config);
    wire_path(wire, "/v1/subscriptions/", name, "");
    struct call call = {.method = "PUT", .body = buf_str(&wire->body), .content_type = "application/json"};
    return wire_call(wire, &call, error);
}

cairn_err
wire_group_delete(struct target *target, cairn_str name, cairn_error *error)
{
    struct wire *wire = (struct wire *)target;
    wire_path(wire, "/v1/subscriptions/", name, "");
    struct call call = {.method = "DELETE"};
    return wire_call(wire, &call, error);
}

cairn_err
wire_group_status(struct target *target, cairn_str name, struct buf *to, cairn_error *error)
{
    struct wire *wire = (struct wire *)target;
    struct call call = {.method = "GET"};
    struct json reply;
    wire_path(wire, name.size ? "/v1/subscriptions/" : "/v1/subscriptions", name, "");
    cairn_err err = wire_call(wire, &call, error);
    if (err == CAIRN_OK)
        err = wire_json(wire, &reply, error);
    if (err == CAIRN_OK)
        json_put_compact(to, name.size ? reply.raw : json_get(reply, "subscriptions").raw);
    return err;
}

/* A page of events that a group hands out or has parked, to the visit. */
static cairn_err
give(struct wire *wire, delivery_visit visit, void *context, cairn_error *error)
{
    struct call call = {.method = "GET"};
    struct json reply, none, item;
    struct arena arena = {0};
    cairn_err err = wire_call(wire, &call, error);
    if (err == CAIRN_OK)
        err = wire_json(wire, &reply, error);
    if (err != CAIRN_OK)
        return err;
    struct json_walk walk = json_walk(json_get(reply, "events"));
    while (json_next(&walk, &none, &item)) {
        struct event_in in;
        arena_reset(&arena);
        err = event_parse(item, &arena, &in, error);
        if (err != CAIRN_OK || !visit(context, &in.recorded, in.delivery, in.reason))
            break;
    }
    arena_free(&arena);
    return err;
}

cairn_err
wire_group_take(struct target *target, cairn_str name, size_t limit, delivery_visit visit, void *context,
                cairn_error *error)
{
    struct wire *wire = (struct wire *)target;
    wire_path(wire, "/v1/subscriptions/", name, "/events");
    wire_arg_number(wire, "limit", (int64_t)limit);
    return give(wire, visit, context, error);
}

cairn_err
wire_group_parked(struct target *target, cairn_str name, size_t limit, delivery_visit visit, void *context,
                  cairn_error *error)
{
    struct wire *wire = (struct wire *)target;
    wire_path(wire, "/v1/subscriptions/", name, "/parked");
    wire_arg_number(wire, "limit", (int64_t)limit);
    return give(wire, visit, context, error);
}

/* POST what is in wire->body, and read one number out of the answer. */
static cairn_err
post(struct wire *wire, const char *member, size_t *ret_count, cairn_error *error)
{
    struct call call = {.method = "POST", .body = buf_str(&wire->body),
                        .content_type = wire->body.size ? "application/json" : NULL};
    struct json reply;
    cairn_err err = wire_call(wire, &call, error);
    if (err == CAIRN_OK)
        err = wire_json(wire, &reply, error);
    if (err == CAIRN_OK && ret_count)
        *ret_count = (size_t)wire_number(reply, member);
    return err;
}

static void
put_positions(struct buf *to, const uint64_t *positions, size_t count)
{
    buf_clear(to);
    buf_put_str(to, CAIRN_STR("{\"positions\":["));
    for (size_t i = 0; i < count; i++) {
        json_put_comma(to);
        json_put_u64(to, positions[i]);
    }
    buf_put_char(to, ']');
}

cairn_err
wire_group_ack(struct target *target, cairn_str name, const uint64_t *positions, size_t count,
               size_t *ret_count, cairn_error *error)
{
    struct wire *wire = (struct wire *)target;
    put_positions(&wire->body, positions, count);
    buf_put_char(&wire->body, '}');
    wire_path(wire, "/v1/subscriptions/", name, "/ack");
    return post(wire, "acknowledged", ret_count, error);
}

cairn_err
wire_group_nack(struct target *target, cairn_str name, const uint64_t *positions, size_t count, bool park,
                cairn_str reason, size_t *ret_count, cairn_error *error)
{
    struct wire *wire = (struct wire *)target;
    put_positions(&wire->body, positions, count);
    if (park)
        buf_put_str(&wire->body, CAIRN_STR(",\"park\":true"));
    if (reason.size) {
        json_put_text_member(&wire->body, "reason", reason);
    }
    buf_put_char(&wire->body, '}');
    wire_path(wire, "/v1/subscriptions/", name, "/nack");
    return post(wire, "refused", ret_count, error);
}

cairn_err
wire_group_replay(struct target *target, cairn_str name, size_t *ret_count, cairn_error *error)
{
    struct wire *wire = (struct wire *)target;
    buf_clear(&wire->body);
    wire_path(wire, "/v1/subscriptions/", name, "/parked/replay");
    return post(wire, "replayed", ret_count, error);
}
