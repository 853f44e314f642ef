/* Preparing an append: prepare.h says what for. */
#include "prepare.h"

#define SCRATCH_KEEP_BYTES (4u << 20)
#define SYSTEM_EVENTS_MAX 65536u

static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;

static void
scratch_free(void *memory)
{
    for (struct scratch *scratch = memory, *next; scratch != NULL; scratch = next) {
        next = scratch->next;
        buf_free(&scratch->records);
        free(scratch->writes);
        free(scratch->events);
        free(scratch->entries);
        free(scratch->heads);
        free(scratch->head_slots);
        free(scratch->batches);
        free(scratch->runs);
        free(scratch->spans);
        batch_close(&scratch->cursor);
        arena_free(&scratch->arena);
        free(scratch);
    }
}

static void
make_scratch_key(void)
{
    if (pthread_key_create(&scratch_key, scratch_free) != 0)
        abort();
}

struct scratch *
scratch_take(void)
{
    pthread_once(&scratch_once, make_scratch_key);
    struct scratch *first = pthread_getspecific(scratch_key), *scratch = first;
    while (scratch != NULL && scratch->taken)
        scratch = scratch->next;
    if (scratch == NULL) {
        scratch = calloc(1, sizeof *scratch);
        if (scratch == NULL || pthread_setspecific(scratch_key, scratch) != 0) {
            free(scratch);
            return NULL;
        }
        scratch->next = first;
    }
    scratch->taken = true;
    return scratch;
}

void
scratch_give(struct scratch *scratch)
{
    for (size_t i = 0; i < scratch->batch_count; i++)
        cairn_topic_release(scratch->batches[i].topic);
    scratch->batch_count = 0;
    if (scratch->records.capacity > SCRATCH_KEEP_BYTES)
        buf_free(&scratch->records);
    if (scratch->cursor.unpacked.capacity > SCRATCH_KEEP_BYTES)
        batch_close(&scratch->cursor);
    scratch->taken = false;
}

bool
have_room(void *array, size_t *capacity, size_t count, size_t item_size)
{
    if (count <= *capacity)
        return true;
    size_t larger = *capacity ? *capacity : 16;
    while (larger < count)
        larger *= 2;
    void *memory = realloc(*(void **)array, larger * item_size);
    if (memory == NULL)
        return false;
    *(void **)array = memory;
    *capacity = larger;
    return true;
}

/* ---- heads ------------------------------------------------------------------------------------------------------------------ */

#define HEADS_SEARCHED 8 /* more are found by a hash table */

static bool
is_head(const struct prepared_head *head, struct hash128 key)
{
    return head->key.low == key.low && head->key.high == key.high;
}

/* A table of at least twice as many slots as there will be heads, filled with those that there are. */
static bool
index_heads(struct scratch *scratch)
{
    size_t slots = 64;
    while (slots < (scratch->head_count + 1) * 4)
        slots *= 2;
    if (slots > scratch->head_slot_capacity) {
        uint32_t *memory = realloc(scratch->head_slots, slots * sizeof *memory);
        if (memory == NULL)
            return false;
        scratch->head_slots = memory;
        scratch->head_slot_capacity = slots;
    }
    scratch->head_slot_count = slots;
    memset(scratch->head_slots, 0, slots * sizeof *scratch->head_slots);
    for (uint32_t i = 0; i < scratch->head_count; i++) {
        size_t slot = scratch->heads[i].key.low & (slots - 1);
        while (scratch->head_slots[slot] != 0)
            slot = (slot + 1) & (slots - 1);
        scratch->head_slots[slot] = i + 1;
    }
    return true;
}

uint32_t
prepare_head(struct scratch *scratch, struct hash128 key, uint64_t first)
{
    size_t slot = 0;
    if (scratch->head_slot_count == 0) {
        for (uint32_t i = 0; i < scratch->head_count; i++)
            if (is_head(&scratch->heads[i], key))
                return i;
    }
    if (scratch->head_count >= HEADS_SEARCHED && scratch->head_count * 2 >= scratch->head_slot_count
        && !index_heads(scratch))
        return NO_HEAD;
    if (scratch->head_slot_count > 0) {
        size_t mask = scratch->head_slot_count - 1;
        for (slot = key.low & mask; scratch->head_slots[slot] != 0; slot = (slot + 1) & mask)
            if (is_head(&scratch->heads[scratch->head_slots[slot] - 1], key))
                return scratch->head_slots[slot] - 1;
    }
    if (!have_room(&scratch->heads, &scratch->head_capacity, scratch->head_count + 1, sizeof *scratch->heads))
        return NO_HEAD;
    uint32_t head = (uint32_t)scratch->head_count++;
    scratch->heads[head] = (struct prepared_head){.key = key, .first = first};
    if (scratch->head_slot_count > 0)
        scratch->head_slots[slot] = head + 1;
    return head;
}

/* ---- events ----------------------------------------------------------------------------------------------------------------- */

/* One draw of randomness an append; its further ids count on from there (RFC 9562 §6.2, method 2), so the
 * ids of an append ascend as its events do. */
static cairn_uuid
new_id(struct log *log, struct scratch *scratch, int64_t now_us)
{
    if (!scratch->drawn) {
        if (scratch->random_left < sizeof scratch->id_random) {
            os_random(log->os, scratch->random, sizeof scratch->random);
            scratch->random_left = sizeof scratch->random;
        }
        scratch->random_left -= sizeof scratch->id_random;
        memcpy(scratch->id_random, scratch->random + scratch->random_left,
               sizeof scratch->id_random);
        scratch->drawn = true;
    }
    for (size_t i = sizeof scratch->id_random; i-- > 0 && ++scratch->id_random[i] == 0;)
        ;
    return uuid_v7(now_us, scratch->id_random);
}

static cairn_err
check_name(cairn_str name, const char *what, size_t index, size_t limit, cairn_error *error)
{
    if (name.size == 0)
        return error_set(error, CAIRN_E_INVALID, "writes[%zu].%s is empty", index, what);
    if (name.size > limit)
        return error_set(error, CAIRN_E_LIMIT, "writes[%zu].%s is %zu bytes; the limit is %zu", index,
                         what, name.size, limit);
    if (!utf8_valid(name))
        return error_set(error, CAIRN_E_INVALID, "writes[%zu].%s is not UTF-8", index, what);
    return CAIRN_OK;
}

static cairn_err
check_text(const cairn_event *event, size_t index, cairn_error *error)
{
    bool valid = utf8_valid(event->type) && utf8_valid(event->content_type)
                 && utf8_valid(event->correlation) && utf8_valid(event->meta);
    for (size_t i = 0; valid && i < event->tag_count; i++)
        valid = utf8_valid(event->tags[i]);
    return valid ? CAIRN_OK
                 : error_set(error, CAIRN_E_INVALID,
                             "events[%zu]: type, content type, tags and meta must be UTF-8", index);
}

static size_t
append_size_max(const struct log *log, const cairn_append_request *request)
{
    return request->system ? LOG_APPEND_MAX : log->options.append_size_max;
}

static size_t
append_events_max(const struct log *log, const cairn_append_request *request)
{
    size_t max = log->options.append_events_max;
    return request->system && max < SYSTEM_EVENTS_MAX ? SYSTEM_EVENTS_MAX : max;
}

static cairn_err
prepare_event(struct log *log, struct scratch *scratch, const cairn_append_request *request,
              const cairn_write *write, const cairn_event *from, int64_t now_us, cairn_error *error)
{
    size_t index = scratch->event_count;
    size_t size = record_size(&log->options, write->stream, from, index, error);
    if (size == 0)
        return error ? error->code : CAIRN_E_LIMIT;
    cairn_err err = check_text(from, index, error);
    if (err != CAIRN_OK)
        return err;
    if (scratch->frame_size + size > append_size_max(log, request))
        return error_set(error, CAIRN_E_LIMIT, "the append is larger than %zu bytes, which is the limit",
                         append_size_max(log, request));
    if (!have_room(&scratch->events, &scratch->event_capacity, index + 1, sizeof *scratch->events)
        || !have_room(&scratch->entries, &scratch->entry_capacity,
                      scratch->entry_count + LOG_KEYS_MAX, sizeof *scratch->entries)
        || !buf_reserve(&scratch->records, size))
        return error_set(error, CAIRN_E_NOMEM, "no memory for the append");

    cairn_event event = *from;
    struct prepared_event *prepared = &scratch->events[scratch->event_count++];
    prepared->has_id = !uuid_is_zero(event.id);
    if (!prepared->has_id) {
        event.id = new_id(log, scratch, now_us);
        scratch->has_ids = false;
    }
    prepared->id = event.id;
    prepared->at = (uint32_t)scratch->records.size;
    prepared->size = (uint32_t)size;
    record_encode((uint8_t *)scratch->records.data + scratch->records.size, size, request->scope,
                  write->stream, &event);
    scratch->records.size += size;
    scratch->events_size = scratch->frame_size = scratch->records.size;

    size_t first = scratch->entry_count, n = first;
    scratch->entries[n++] = (struct log_entry){log_key(log, KEY_TYPE, request->scope, event.type), 0};
    if (event.correlation.size > 0)
        scratch->entries[n++] = (struct log_entry){
            log_key(log, KEY_CORRELATION, request->scope, event.correlation), 0};
    if (is_retention_stream(write->stream))
        scratch->entries[n++] = (struct log_entry){log_key(log, KEY_RETENTION, 0, (cairn_str){0}), 0};
    if (is_topic_stream(write->stream))
        scratch->entries[n++] = (struct log_entry){log_key(log, KEY_TOPICS, 0, (cairn_str){0}), 0};
    size_t first_tag = n;
    for (size_t i = 0; i < event.tag_count; i++)
        n = add_tag(log, request->scope, event.tags[i], scratch->entries, first_tag, n);
    prepared->first_entry = (uint32_t)first;
    prepared->entry_count = (uint32_t)(n - first);
    scratch->entry_count = n;
    scratch->index.entries += 5 + n - first; /* two of stream, two directories, the partition */
    return CAIRN_OK;
}

static void
clear(struct scratch *scratch)
{
    buf_clear(&scratch->records);
    scratch->write_count = scratch->event_count = scratch->entry_count = 0;
    scratch->head_count = scratch->head_slot_count = 0;
    scratch->batch_count = scratch->run_count = scratch->span_count = 0;
    scratch->events_size = scratch->frame_size = 0;
    scratch->positions = 0;
    scratch->index = (struct series_need){0};
    scratch->has_ids = true;
    scratch->drawn = false;
}

cairn_err
prepare_partitions(struct log *log, struct scratch *scratch, const cairn_append_request *request, cairn_error *error)
{
    scratch->topics_seen = log_topics_sequenced_changes(log); /* first: what changes meanwhile is looked up again */
    for (size_t i = 0; i < scratch->write_count; i++) {
        struct prepared_write *write = &scratch->writes[i];
        struct hash128 key;
        uint64_t first;
        write->partition = NO_HEAD;
        if (!write->plain || !log_topics_place(log, request->scope, write->stream, &key, &first))
            continue;
        write->partition = prepare_head(scratch, key, first);
        if (write->partition == NO_HEAD)
            return error_set(error, CAIRN_E_NOMEM, "no memory for the append");
    }
    for (size_t i = 0; i < scratch->batch_count; i++) {
        const struct prepared_batch *batch = &scratch->batches[i];
        cairn_topic_ref *topic = log_topic_by_id(log, request->scope, &batch->topic->topic.id, true);
        cairn_topic_release(topic);
        if (topic == NULL)
            return error_set(error, CAIRN_E_NOTFOUND, "batches[%zu]: there is no such topic", i);
    }
    return CAIRN_OK;
}

cairn_err
prepare(struct log *log, struct scratch *scratch, const cairn_append_request *request,
        cairn_error *error)
{
    cairn_error inner = {0};
    if (error == NULL)
        error = &inner;
    clear(scratch);
    size_t events_max = append_events_max(log, request);
    if (request->write_count == 0 && request->batch_count == 0)
        return error_set(error, CAIRN_E_INVALID, "the append has no writes");
    if (request->write_count > events_max)
        return error_set(error, CAIRN_E_LIMIT, "the append has %zu writes; the limit is %zu",
                         request->write_count, events_max);
    if (request->condition_count > LOG_CONDITIONS_MAX)
        return error_set(error, CAIRN_E_LIMIT, "the append has %zu conditions; the limit is %d",
                         request->condition_count, LOG_CONDITIONS_MAX);
    if (!have_room(&scratch->writes, &scratch->write_capacity, request->write_count,
                   sizeof *scratch->writes))
        return error_set(error, CAIRN_E_NOMEM, "no memory for the append");
    int64_t now_us = os_now_us(log->os);
    size_t limit = request->system ? LOG_STREAM_MAX : LOG_NAME_MAX;
    cairn_err err = CAIRN_OK;
    for (size_t i = 0; i < request->write_count; i++) {
        const cairn_write *write = &request->writes[i];
        err = check_name(write->stream, "stream", i, limit, error);
        if (err == CAIRN_OK && write->expected < CAIRN_EXISTS)
            err = error_set(error, CAIRN_E_INVALID, "writes[%zu].expected is no revision", i);
        if (err == CAIRN_OK
            && scratch->event_count + write->event_count > events_max)
            err = error_set(error, CAIRN_E_LIMIT, "the append has more than %zu events, which is the limit",
                            events_max);
        if (err != CAIRN_OK)
            return err;
        struct prepared_write *prepared = &scratch->writes[scratch->write_count++];
        *prepared = (struct prepared_write){
            .stream = write->stream,
            .expected = write->expected,
            .first_event = (uint32_t)scratch->event_count,
            .event_count = (uint32_t)write->event_count,
            .plain = write->stream.data[0] != '$',
            .retention = is_retention_stream(write->stream),
        };
        (void)stream_entries(log, request->scope, write->stream, 0, prepared->entries);
        prepared->head = prepare_head(scratch, prepared->entries[0].key, 0);
        if (prepared->head == NO_HEAD)
            return error_set(error, CAIRN_E_NOMEM, "no memory for the append");
        for (size_t j = 0; err == CAIRN_OK && j < write->event_count; j++)
            err = prepare_event(log, scratch, request, write, &write->events[j], now_us, error);
        if (err != CAIRN_OK)
            return err;
    }
    scratch->positions = scratch->event_count;
    err = prepare_batches(log, scratch, request, error);
    if (err != CAIRN_OK)
        return err;
    if (scratch->positions == 0)
        return error_set(error, CAIRN_E_INVALID, "the append has no events");
    if (pad8(FRAME_HEADER_SIZE + scratch->frame_size) + FRAME_HEADER_SIZE + SEGMENT_HEADER_SIZE
        > log->options.segment_size_bytes)
        return error_set(error, CAIRN_E_LIMIT,
                         "the append is %zu bytes, more than a segment of %llu bytes holds",
                         scratch->frame_size, (unsigned long long)log->options.segment_size_bytes);
    for (size_t i = 0; i < request->condition_count; i++) {
        err = query_check(&request->conditions[i].query, error);
        if (err != CAIRN_OK)
            return err;
    }
    return prepare_partitions(log, scratch, request, error);
}
