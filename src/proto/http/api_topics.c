/* Topics: listing, what there is to know of one, making, changing, deleting. */
#include <proto/http/api_kafka.h>

#include <base/error.h>
#include <base/json.h>

#include <stdio.h>

/* ---- one topic ---------------------------------------------------------------------------------------------------------------- */

/* The commit time of the newest record, or null: there is none, or nothing is left of it. */
static cairn_err
put_newest(struct buf *to, struct broker *broker, cairn_partition_reader **reader, const cairn_topic *topic, uint32_t partition,
           uint64_t end, cairn_error *error)
{
    cairn_partition_item item;
    cairn_err err = *reader ? cairn_partition_seek(*reader, &topic->id, partition, end - 1, error)
                            : cairn_read_partition(broker_store(broker), broker_scope(broker), &topic->id, partition, end - 1,
                                                   reader, error);
    if (err == CAIRN_OK)
        err = cairn_partition_next(*reader, &item, error);
    json_put_name(to, "last_time");
    if (err == CAIRN_OK)
        json_put_time(to, item.time_us);
    else
        buf_put_str(to, CAIRN_STR("null"));
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

/* "offsets": of every partition, where it begins and ends. */
static cairn_err
put_partitions(struct buf *to, struct broker *broker, const cairn_topic *topic, cairn_error *error)
{
    cairn_partition_reader *reader = NULL;
    cairn_err err = CAIRN_OK;
    json_put_name(to, "offsets");
    buf_put_char(to, '[');
    for (uint32_t i = 0; i < topic->partitions && err == CAIRN_OK; i++) {
        cairn_partition_info info;
        err = cairn_partition_get(broker_store(broker), broker_scope(broker), &topic->id, i, &info, error);
        if (err != CAIRN_OK)
            break;
        json_put_comma(to);
        buf_printf(to, "{\"partition\":%u", i);
        json_put_u64_member(to, "start", info.start);
        json_put_u64_member(to, "end", info.end);
        if (info.end > info.start)
            err = put_newest(to, broker, &reader, topic, i, info.end, error);
        else
            buf_put_str(to, CAIRN_STR(",\"last_time\":null"));
        buf_put_char(to, '}');
    }
    buf_put_char(to, ']');
    cairn_partition_reader_free(reader);
    return err;
}

/* "config": each setting with the value in force. */
static void
put_config(struct buf *to, const struct broker *broker, const cairn_topic *topic)
{
    size_t count;
    const struct broker_setting *settings = broker_settings(&count);
    json_put_name(to, "config");
    buf_put_char(to, '{');
    for (size_t i = 0; i < count; i++) {
        bool by_default;
        cairn_str value = broker_setting_get(broker, topic, settings[i].name, &by_default);
        json_put_name(to, settings[i].name);
        buf_put_str(to, CAIRN_STR("{\"value\":"));
        json_put_string(to, value);
        json_put_bool_member(to, "default", by_default);
        json_put_text_member(to, "type", cairn_cstr(settings[i].type));
        json_put_text_member(to, "doc", cairn_cstr(settings[i].doc));
        buf_put_char(to, '}');
    }
    buf_put_char(to, '}');
}

/* `{"topic":…` without its end. */
static void
put_head(struct buf *to, const cairn_topic *topic)
{
    buf_put_str(to, CAIRN_STR("{\"topic\":"));
    json_put_string(to, topic->name);
    json_put_name(to, "id");
    json_put_uuid(to, topic->id);
    json_put_text_member(to, "category", topic->category);
    json_put_u64_member(to, "partitions", topic->partitions);
}

static cairn_err
put_topic(struct api_call *call, cairn_error *error)
{
    cairn_topic_ref *ref;
    cairn_err err = api_topic_find(call, call->parts[0], &ref, error);
    if (err != CAIRN_OK)
        return err;
    const cairn_topic *topic = cairn_topic_of(ref);
    put_head(call->out, topic);
    json_put_u64_member(call->out, "revision", cairn_topic_revision(ref));
    put_config(call->out, call->api->config.broker, topic);
    err = put_partitions(call->out, call->api->config.broker, topic, error);
    buf_put_char(call->out, '}');
    cairn_topic_release(ref);
    return err;
}

cairn_err
api_topic_get(struct api_call *call, cairn_error *error)
{
    return put_topic(call, error);
}

/* ---- all topics --------------------------------------------------------------------------------------------------------------- */

static bool
gather_topic(void *context, const cairn_topic *topic, uint64_t revision)
{
    struct name_page *page = context;
    (void)revision;
    if (name_page_wants(page, topic->name) && !name_page_add(page, topic->name, NULL))
        return false;
    return page->count <= page->limit; /* they come in order: one more than the page says that there are more */
}

/* A topic of the list: what is in all of its partitions, and the settings of its own. */
static cairn_err
put_listed(struct api_call *call, cairn_str name, cairn_error *error)
{
    struct broker *broker = call->api->config.broker;
    uint64_t records = 0;
    cairn_topic_ref *ref;
    cairn_err err = cairn_topic_get(broker_store(broker), broker_scope(broker), name, &ref, error);
    if (err != CAIRN_OK)
        return err == CAIRN_E_NOTFOUND ? CAIRN_OK : err; /* deleted a moment ago */
    const cairn_topic *topic = cairn_topic_of(ref);
    for (uint32_t i = 0; i < topic->partitions && err == CAIRN_OK; i++) {
        cairn_partition_info info = {0};
        err = cairn_partition_get(broker_store(broker), broker_scope(broker), &topic->id, i, &info, error);
        records += info.end - info.start;
    }
    if (err == CAIRN_OK) {
        json_put_comma(call->out);
        put_head(call->out, topic);
        json_put_u64_member(call->out, "records", records);
        json_put_name(call->out, "config");
        buf_put_str(call->out, topic->config.size ? topic->config : CAIRN_STR("{}"));
        buf_put_char(call->out, '}');
    }
    cairn_topic_release(ref);
    return err == CAIRN_E_NOTFOUND ? CAIRN_OK : err;
}

cairn_err
api_topic_list(struct api_call *call, cairn_error *error)
{
    struct name_page page = name_page_of(call);
    struct broker *broker;
    cairn_err err = api_broker(call, &broker, error);
    if (err == CAIRN_OK)
        err = cairn_topics(broker_store(broker), broker_scope(broker), gather_topic, &page, error);
    if (err == CAIRN_OK && page.failed)
        err = error_set(error, CAIRN_E_NOMEM, "out of memory");
    name_page_close(&page);
    buf_put_str(call->out, CAIRN_STR("{\"topics\":["));
    for (size_t i = 0; i < page.count && err == CAIRN_OK; i++)
        err = put_listed(call, page.items[i].name, error);
    if (err == CAIRN_OK)
        name_page_end(&page, call->out);
    name_page_free(&page);
    return err;
}

/* ---- making and changing ---------------------------------------------------------------------------------------------------------- */

static cairn_err
create(struct api_call *call, struct broker *broker, const struct topic_body *body, cairn_error *error)
{
    struct broker_why why = {""};
    const struct broker_topic_spec spec = {
        .name = call->parts[0],
        .category = body->category,
        .partitions = body->has_partitions ? (int32_t)body->partitions : -1,
        .config = body->config,
        .config_count = body->config_count,
    };
    call->status = 201;
    return api_kafka_problem(call, broker_topic_create(broker, &spec, false, NULL, &why), why.text, error);
}

/* Both changes are checked before the first is made. */
static cairn_err
change(struct api_call *call, struct broker *broker, const struct topic_body *body, bool replace, uint32_t had, cairn_error *error)
{
    struct broker_why why = {""};
    cairn_str name = call->parts[0];
    bool grows = body->has_partitions && body->partitions != had;
    enum kafka_err err = KAFKA_NONE;
    for (int check = 1; check >= 0 && err == KAFKA_NONE; check--) {
        if (grows)
            err = broker_topic_grow(broker, name, (int32_t)body->partitions, check, &why);
        if (err == KAFKA_NONE && body->has_config)
            err = broker_topic_configure(broker, name, body->config, body->config_count, replace, check, &why);
    }
    return api_kafka_problem(call, err, why.text, error);
}

static cairn_err
refuse_category(struct api_call *call, const cairn_topic *topic, cairn_error *error)
{
    struct broker_why why;
    snprintf(why.text, sizeof why.text, "The topic is one of category '%.*s' for good.",
             (int)(topic->category.size < 200 ? topic->category.size : 200), topic->category.data);
    return api_kafka_problem(call, KAFKA_INVALID_REQUEST, why.text, error);
}

static cairn_err
put_body(struct api_call *call, const struct topic_body *body, int64_t expected, bool replace, cairn_error *error)
{
    struct broker *broker;
    cairn_topic_ref *ref = NULL;
    cairn_err err = api_broker(call, &broker, error);
    if (err != CAIRN_OK)
        return err;
    err = api_topic_find(call, call->parts[0], &ref, error);
    if (err == CAIRN_E_NOTFOUND && expected != CAIRN_EXISTS) {
        call->problem_members = (cairn_str){0};
        err = create(call, broker, body, error);
    } else if (err == CAIRN_OK && expected == CAIRN_NONE) {
        err = api_kafka_problem(call, KAFKA_TOPIC_ALREADY_EXISTS, NULL, error);
    } else if (err == CAIRN_OK) {
        const cairn_topic *topic = cairn_topic_of(ref);
        bool other = body->category.size > 0 && !cairn_str_equal(body->category, topic->category);
        err = other ? refuse_category(call, topic, error) : change(call, broker, body, replace, topic->partitions, error);
    }
    cairn_topic_release(ref);
    return err == CAIRN_OK ? put_topic(call, error) : err;
}

cairn_err
api_topic_put(struct api_call *call, cairn_error *error)
{
    struct parse parse = {.arena = call->arena, .error = error};
    struct topic_body body;
    int64_t expected = call->args.value[ARG_MAKE].number;
    if (expected >= 0) {
        call->malformed = true;
        return error_set(error, CAIRN_E_INVALID, "parameter 'expected': none, exists or any");
    }
    cairn_err err = parse_topic(&parse, call->body, false, &body);
    call->malformed = parse.malformed;
    return err == CAIRN_OK ? put_body(call, &body, expected, true, error) : err;
}

cairn_err
api_topic_patch(struct api_call *call, cairn_error *error)
{
    struct parse parse = {.arena = call->arena, .error = error};
    struct topic_body body;
    cairn_err err = parse_topic(&parse, call->body, true, &body);
    call->malformed = parse.malformed;
    return err == CAIRN_OK ? put_body(call, &body, CAIRN_EXISTS, false, error) : err;
}

cairn_err
api_topic_delete(struct api_call *call, cairn_error *error)
{
    struct broker_why why = {""};
    struct broker *broker;
    cairn_err err = api_broker(call, &broker, error);
    if (err != CAIRN_OK)
        return err;
    call->status = 204;
    return api_kafka_problem(call, broker_topic_delete(broker, call->parts[0], &why), why.text, error);
}

cairn_err
api_topic_replay(struct api_call *call, cairn_error *error)
{
    struct parse parse = {.arena = call->arena, .error = error};
    cairn_dead_request request;
    cairn_err err = parse_replay(&parse, call->body, &request);
    call->malformed = parse.malformed;
    request.topic = call->parts[0];
    return err == CAIRN_OK ? cairn_dead_letters_replay(call->api->store, call->api->config.apps, &request, buf_sink, call->out, error)
                           : err;
}
