/* Records of a partition, as people want to see them: events, with offset, timestamp, key and headers.
 *
 * Key and headers are what a Kafka client would get: an event that came another way is made a record first, as Fetch
 * does. The event beside them is the log's own, which knows its stream and revision. A page ends after
 * API_PAGE_BYTES_MAX. */
#include <proto/http/api_kafka.h>

#include <base/error.h>
#include <base/json.h>
#include <batch/event.h>
#include <proto/http/api_render.h>

#include <stdio.h>

#define NEWEST_SPAN_MAX 100000 /* offsets that are looked through for the newest records */

struct record_page {
    struct broker *broker;
    struct buf *to;
    uint32_t partition;
    uint64_t from, next;
    size_t limit, count;
    size_t skip;   /* records before the page, of those from `from` on */
    bool counting; /* nothing is written */
    bool full;
    struct batch_cursor cursor;
    struct batch_maker maker; /* of the one event that is made a record */
    struct arena scratch;
};

/* ---- one record ------------------------------------------------------------------------------------------------------------ */

static void
put_headers(struct buf *to, const struct batch_record *record)
{
    cairn_str rest = record->headers, name, value;
    bool has_value;
    json_put_name(to, "headers");
    buf_put_char(to, '[');
    while (batch_next_header(&rest, &name, &has_value, &value)) {
        json_put_comma(to);
        buf_put_str(to, CAIRN_STR("{\"name\":"));
        json_put_string(to, name);
        api_put_bytes(to, "value", has_value ? &value : NULL);
        buf_put_char(to, '}');
    }
    buf_put_char(to, ']');
}

/* False: the page is full, and the record begins the next one. */
static bool
put_record(struct record_page *page, const cairn_recorded *event, const struct batch_record *record, uint64_t offset)
{
    struct buf *to = page->to;
    page->next = offset;
    if (page->counting || page->skip > 0) {
        page->next = offset + 1;
        page->count += page->counting;
        page->skip -= !page->counting;
        return true;
    }
    if (page->count == page->limit || to->size >= API_PAGE_BYTES_MAX) {
        page->full = true;
        return false;
    }
    json_put_comma(to);
    render_event_open(to, event);
    json_put_u64_member(to, "partition", page->partition);
    json_put_u64_member(to, "offset", offset);
    api_put_ms(to, "timestamp", record->timestamp_ms);
    api_put_bytes(to, "key", record->has_key ? &record->key : NULL);
    json_put_bool_member(to, "tombstone", !record->has_value);
    put_headers(to, record);
    buf_put_char(to, '}');
    page->count++;
    page->next = offset + 1;
    return true;
}

static cairn_err
damaged(const char *fault, uint64_t offset, cairn_error *error)
{
    return error_set(error, fault == batch_no_memory ? CAIRN_E_NOMEM : CAIRN_E_CORRUPT, "the batch at offset %llu: %s",
                     (unsigned long long)offset, fault);
}

/* ---- what lies at an offset --------------------------------------------------------------------------------------------------- */

/* The records of a batch beside the events that the log reads at their positions; those that are hidden are in neither. */
static cairn_err
put_batch(struct record_page *page, const cairn_partition_item *item, cairn_error *error)
{
    const cairn_read_options options = {
        .scope = broker_scope(page->broker),
        .from = (int64_t)item->position,
        .end = item->position + (item->last_offset - item->first_offset) + 1,
        .system = true,
    };
    cairn_reader *reader = NULL;
    cairn_recorded event = {0};
    struct batch_record record;
    const char *fault = batch_open(&page->cursor, item->batch);
    if (fault)
        return damaged(fault, item->first_offset, error);
    cairn_err err = cairn_read_all(broker_store(page->broker), &options, &reader, error);
    if (err == CAIRN_OK)
        err = cairn_reader_next(reader, &event, error);
    while (err == CAIRN_OK && !page->full && batch_next(&page->cursor, &record)) {
        uint64_t offset = item->first_offset + (uint64_t)record.offset_delta;
        uint64_t position = item->position + (uint64_t)record.offset_delta;
        if (offset < page->from)
            continue;
        while (err == CAIRN_OK && event.position < position)
            err = cairn_reader_next(reader, &event, error);
        if (err == CAIRN_OK && event.position == position)
            (void)put_record(page, &event, &record, offset);
    }
    if ((err == CAIRN_OK || err == CAIRN_E_END) && page->cursor.fault)
        err = damaged(page->cursor.fault, item->first_offset, error);
    cairn_reader_free(reader);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

static cairn_err
put_event(struct record_page *page, const cairn_partition_item *item, cairn_error *error)
{
    struct batch_record record;
    arena_reset(&page->scratch);
    batch_make_begin(&page->maker);
    if (!event_to_record(&item->event, (int64_t)item->first_offset, &page->scratch, &page->maker) ||
        !batch_make_end(&page->maker, BATCH_PLAIN, 0, (int64_t)item->first_offset))
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    const char *fault = batch_open(&page->cursor, buf_str(&page->maker.out));
    if (fault || !batch_next(&page->cursor, &record))
        return damaged(fault ? fault : page->cursor.fault, item->first_offset, error);
    (void)put_record(page, &item->event, &record, item->first_offset);
    return CAIRN_OK;
}

/* ---- a page -------------------------------------------------------------------------------------------------------------------- */

static cairn_err
where_from(struct api_call *call, struct broker *broker, const cairn_topic *topic, uint32_t partition,
           const cairn_partition_info *info, uint64_t *ret, cairn_error *error)
{
    const struct api_value *at = &call->args.value[ARG_AT];
    int64_t from = call->args.value[ARG_FROM_OFFSET].number;
    uint64_t limit = (uint64_t)call->args.value[ARG_LIMIT].number;
    if (at->given) {
        int64_t timestamp_ms;
        enum kafka_err err = broker_offset_at(broker, &topic->id, partition, at->number / 1000 + (at->number % 1000 > 0), &from,
                                              &timestamp_ms);
        *ret = from >= 0 ? (uint64_t)from : info->end;
        return api_kafka_problem(call, err, NULL, error);
    }
    if (from == OFFSET_EARLIEST)
        *ret = info->start;
    else if (from == OFFSET_LATEST)
        *ret = info->end - info->start > limit ? info->end - limit : info->start;
    else
        *ret = (uint64_t)from;
    if (*ret <= info->end)
        return CAIRN_OK;
    struct broker_why why;
    snprintf(why.text, sizeof why.text, "Offset %llu is beyond the end, which is %llu.", (unsigned long long)*ret,
             (unsigned long long)info->end);
    return api_kafka_problem(call, KAFKA_OFFSET_OUT_OF_RANGE, why.text, error);
}

static cairn_err
fill(struct record_page *page, const cairn_topic *topic, cairn_error *error)
{
    cairn_partition_reader *reader = NULL;
    cairn_partition_item item;
    cairn_err err = cairn_read_partition(broker_store(page->broker), broker_scope(page->broker), &topic->id, page->partition,
                                         page->from, &reader, error);
    while (err == CAIRN_OK && !page->full) {
        err = cairn_partition_next(reader, &item, error);
        if (err == CAIRN_OK)
            err = item.batch.size > 0 ? put_batch(page, &item, error) : put_event(page, &item, error);
        if (err == CAIRN_OK && page->to->failed)
            err = error_set(error, CAIRN_E_NOMEM, "out of memory for the page; ask for fewer records");
    }
    cairn_partition_reader_free(reader);
    batch_close(&page->cursor);
    return err == CAIRN_E_END ? CAIRN_OK : err;
}

/* Begin further back, since what was compacted, deleted or aborted has left its offsets: where the newest `limit` records begin, or
 * those of the last NEWEST_SPAN_MAX offsets. */
static cairn_err
look_back(struct record_page *page, const cairn_topic *topic, const cairn_partition_info *info, cairn_error *error)
{
    const uint64_t have = info->end - info->start;
    cairn_err err = CAIRN_OK;
    page->counting = true;
    page->count = 0;
    for (uint64_t span = page->limit * 4; err == CAIRN_OK && page->count < page->limit; span *= 4) {
        page->count = 0;
        page->from = info->end - (span < have ? span : have);
        err = fill(page, topic, error);
        if (span >= have || span >= NEWEST_SPAN_MAX)
            break;
    }
    page->skip = page->count > page->limit ? page->count - page->limit : 0;
    page->counting = false;
    page->count = 0;
    return err;
}

static cairn_err
put_page(struct api_call *call, struct broker *broker, const cairn_topic *topic, uint32_t partition, cairn_error *error)
{
    struct record_page page = {.broker = broker,
                               .to = call->out,
                               .partition = partition,
                               .limit = (size_t)call->args.value[ARG_LIMIT].number,
                               .scratch = {.size_max = 64u << 20}};
    cairn_partition_info info;
    cairn_err err = cairn_partition_get(broker_store(broker), broker_scope(broker), &topic->id, partition, &info, error);
    if (err == CAIRN_OK)
        err = where_from(call, broker, topic, partition, &info, &page.from, error);
    if (err != CAIRN_OK)
        return err;
    buf_put_str(call->out, CAIRN_STR("{\"records\":["));
    page.next = page.from;
    const size_t begin = call->out->size;
    err = fill(&page, topic, error);
    if (err == CAIRN_OK && call->args.value[ARG_FROM_OFFSET].number == OFFSET_LATEST && !page.full && page.count < page.limit &&
        page.from > info.start) {
        call->out->size = begin;
        err = look_back(&page, topic, &info, error);
        if (err == CAIRN_OK)
            err = fill(&page, topic, error);
    }
    batch_make_free(&page.maker);
    arena_free(&page.scratch);
    if (!page.full && page.next < info.end)
        page.next = info.end; /* what is left is hidden */
    buf_put_char(call->out, ']');
    json_put_u64_member(call->out, "next", page.next);
    json_put_bool_member(call->out, "end", !page.full);
    json_put_u64_member(call->out, "start_offset", info.start);
    json_put_u64_member(call->out, "end_offset", page.next > info.end ? page.next : info.end);
    buf_put_char(call->out, '}');
    return err;
}

cairn_err
api_records(struct api_call *call, cairn_error *error)
{
    uint32_t partition;
    cairn_topic_ref *ref;
    if (call->args.value[ARG_AT].given && call->args.value[ARG_FROM_OFFSET].given) {
        call->malformed = true;
        return error_set(error, CAIRN_E_INVALID, "parameters 'from' and 'at' both say where to begin");
    }
    cairn_err err = api_topic_find(call, call->parts[0], &ref, error);
    if (err != CAIRN_OK)
        return err;
    const cairn_topic *topic = cairn_topic_of(ref);
    err = api_partition_find(call, topic, call->parts[1], &partition, error);
    if (err == CAIRN_OK)
        err = put_page(call, call->api->config.broker, topic, partition, error);
    cairn_topic_release(ref);
    return err;
}
