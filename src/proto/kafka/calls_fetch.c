/* Fetch: batches as they were stored, with their base offset filled in; events that came another way as batches made here.
 *
 *   loop: read what is in the page cache ─► enough, an error, or time is up ─► kafka_respond
 *           ▲                │ it is not there, or takes long         ▲
 *           │                ▼                                        │
 *           │              pool: read ────────────────────────────────┤
 *           │                ▲                                        ▼ no
 *           │                └── rest while the memory of all fetches is taken, or the pool is busy
 *           └── fetch_again ◄── wait (calls_wait.c) ◄─────────────────┘
 *
 * Whoever consumes what was just produced is served by the loop itself: a client has one fetch under way, so that two changes
 * of threads are felt. The loop reads without waiting (os_reads_wait()), and only what is quick: large batches that go from the
 * file to the socket, some small ones. Where that is not all, it answers with what it has, if that is enough for the client.
 * A pool thread brings even the bytes that it only points to into the page cache, so that the loop does not wait for the disk
 * when it sends them.
 *
 * A large batch is not read at all: its head, where the base offset is filled in, is answered from memory, the rest goes from
 * the log's file to the socket. Smaller ones are copied once, into one buffer that the answer points into; it is given back when
 * it has been sent. A request gets at most FETCH_MAX bytes, or what a connection's rate gives at once (rate.h), and one batch more
 * where the first is larger than what was asked for, as Kafka does it, so that nobody is stuck before a large one. Nothing is ever
 * uncommitted here (broker.h): the last stable offset is the end, and no transaction is ever listed as aborted. Fetch sessions
 * (KIP-227) are not kept: the answer's session id is 0. */
#include <proto/kafka/fetch_int.h>

#include <assert.h>
#include <base/arena.h>
#include <batch/event.h>
#include <os/os.h>
#include <proto/kafka/rate.h>
#include <store/store.h>

#define FETCH_MAX (UINT64_C(55) << 20)  /* of one request, as fetch.max.bytes of Kafka's brokers */
#define FETCH_LEAST (UINT64_C(1) << 20) /* less than that is not worth reading for */
#define REST_MS 20                      /* until memory is asked for again */
#define WAIT_MAX_MS 600000
#define MADE_MAX (256u << 10)           /* bytes of a batch that is made here */
#define MADE_RECORDS_MAX 1000u
#define DATA_USUAL (UINT64_C(1) << 20)  /* what consumers ask for of a partition */
#define FILE_LEAST (64u << 10)          /* bytes of a batch that goes from the file to the socket */
#define FILES_MAX 64u                   /* of them in an answer: each is an open file */
#define HERE_PARTS 64u                  /* partitions and topics of a request that is tried on the loop */
#define HERE_COPIED ((size_t)128 << 10) /* bytes that are copied there */
#define HERE_BATCH ((size_t)4 << 20)    /* of a batch that is only pointed to there */

/* ---- reading a partition ------------------------------------------------------------------------------------------------- */

struct reading {
    struct fetching *fetching;
    struct fetch_part *part;
    uint64_t left;  /* bytes that may be added yet; the first batch of the request may have more */
    bool full;
};

/* May this many bytes be added? Whatever comes first may. */
static bool
has_room(const struct reading *reading, size_t size)
{
    return size <= reading->left || reading->fetching->size == 0;
}

/* Note bytes that were added: of the data (file -1), where they may continue the piece before, or of a file. */
static bool
note_piece(struct reading *reading, int file, uint64_t at, size_t size)
{
    struct fetching *fetching = reading->fetching;
    struct fetch_part *part = reading->part;
    struct kafka_piece *last = NULL;
    if (part->piece_count > 0)
        last = (struct kafka_piece *)(void *)(fetching->pieces.data + fetching->pieces.size) - 1;
    if (file < 0 && last && last->file < 0) {
        last->bytes.size += size;
    } else {
        const struct kafka_piece piece = {{NULL, size}, file, at};
        buf_put(&fetching->pieces, &piece, sizeof piece);
        if (fetching->pieces.failed)
            return false;
        part->piece_count++;
    }
    part->size += size;
    fetching->size += size;
    reading->left -= size < reading->left ? size : reading->left;
    return true;
}

static bool
add(struct reading *reading, cairn_str batch, uint64_t first_offset)
{
    struct buf *data = &reading->fetching->data;
    uint64_t usual = reading->fetching->here ? HERE_COPIED : DATA_USUAL;
    if (data->capacity == 0 && batch.size > BATCH_HEAD_SIZE) /* most likely there will be more */
        fetches_buffer(reading->fetching->calls->fetches, reading->left < usual ? reading->left : usual, data);
    if (!buf_reserve(data, batch.size))
        return false;
    uint8_t *to = (uint8_t *)data->data + data->size;
    memcpy(to, batch.data, batch.size);
    batch_place(to, (int64_t)first_offset, 0);
    data->size += batch.size;
    return note_piece(reading, -1, data->size - batch.size, batch.size);
}

/* Of the batch only the head is there; the file is the fetch's from here on. */
static bool
add_file(struct reading *reading, const cairn_partition_item *item, int file, uint64_t at)
{
    size_t rest = item->batch.size - BATCH_HEAD_SIZE;
    if (!add(reading, (cairn_str){item->batch.data, BATCH_HEAD_SIZE}, item->first_offset)
        || !note_piece(reading, file, at + BATCH_HEAD_SIZE, rest)) {
        os_descriptor_close(file);
        return false;
    }
    reading->fetching->files++;
    return true;
}

/* What has been read so far is not answered. */
static void
forget(struct fetching *fetching)
{
    const struct kafka_piece *pieces = (const struct kafka_piece *)(void *)fetching->pieces.data;
    for (size_t i = 0; i < fetching->pieces.size / sizeof *pieces; i++)
        if (pieces[i].file >= 0)
            os_descriptor_close(pieces[i].file);
    for (size_t i = 0; i < fetching->part_count; i++)
        fetching->parts[i].piece_count = fetching->parts[i].size = 0;
    buf_clear(&fetching->pieces);
    buf_clear(&fetching->data);
    fetching->files = 0;
    fetching->size = 0;
    fetching->elsewhere = false;
    fetches_settle(fetching->calls->fetches, fetching, fetching->data.capacity);
}

/* While others have what they need, it holds nothing: those that rest would wait for each other. */
static void
let_go(struct fetching *fetching)
{
    forget(fetching);
    fetches_keep_buffer(fetching->calls->fetches, &fetching->data);
    fetches_settle(fetching->calls->fetches, fetching, 0);
}

/* The batch of events that is being made, if there is one. */
static bool
flush_events(struct reading *reading)
{
    struct batch_maker *maker = &reading->fetching->maker;
    if (maker->count == 0)
        return true;
    uint64_t first = (uint64_t)maker->base_offset;
    if (!batch_make_end(maker, BATCH_PLAIN, 0, maker->last_offset))
        return false;
    cairn_str batch = buf_str(&maker->out);
    if (!has_room(reading, batch.size))
        reading->full = true;
    else if (!add(reading, batch, first))
        return false;
    batch_make_begin(maker);
    return true;
}

static bool
add_event(struct reading *reading, const cairn_partition_item *item)
{
    struct batch_maker *maker = &reading->fetching->maker;
    bool started = maker->count > 0;
    if (started && (maker->count >= MADE_RECORDS_MAX || maker->out.size >= MADE_MAX || maker->out.size >= reading->left)) {
        if (!flush_events(reading))
            return false;
        if (reading->full || reading->left == 0) {
            reading->full = true;
            return true;
        }
    }
    bool made = event_to_record(&item->event, (int64_t)item->first_offset, &reading->fetching->scratch, maker);
    arena_reset(&reading->fetching->scratch);
    if (!made && maker->full && maker->count > 0) { /* it begins the next batch, of another answer */
        reading->full = true;
        return flush_events(reading);
    }
    return made;
}

/* The rest of the partition is hidden or scavenged: a batch without records tells the client to go on behind it. */
static bool
add_gap(struct reading *reading, uint64_t end)
{
    uint8_t bytes[BATCH_HEAD_SIZE];
    uint64_t first = reading->part->offset, delta = end - 1 - first;
    struct batch_head head = {.size = sizeof bytes,
                              .last_offset_delta = delta < INT32_MAX ? (int32_t)delta : INT32_MAX,
                              .base_timestamp_ms = -1,
                              .max_timestamp_ms = -1,
                              .producer_id = -1,
                              .producer_epoch = -1,
                              .base_sequence = -1};
    batch_head_write(bytes, &head);
    return add(reading, (cairn_str){(const char *)bytes, sizeof bytes}, first);
}

/* May the loop take this? Otherwise a pool thread begins anew, unless there is enough already. */
static bool
is_quick(const struct fetching *fetching, const cairn_partition_item *item, int file, uint64_t at)
{
    size_t size = item->batch.size;
    return file < 0 ? size > 0 && fetching->data.size + size <= HERE_COPIED
                    : size <= HERE_BATCH && os_descriptor_bring(file, at, size) == 0;
}

/* Enough is enough of each partition that has any: those that give quickly must not keep the others waiting for good. */
static void
stop_here(struct reading *reading)
{
    struct fetching *fetching = reading->fetching;
    if (reading->part->size > 0 && fetching->size >= fetching->min_bytes)
        reading->full = true;
    else
        fetching->elsewhere = true;
}

/* False: no memory. The file is ours now. */
static bool
take_batch(struct reading *reading, const cairn_partition_item *item, int file, uint64_t at)
{
    struct fetching *fetching = reading->fetching;
    bool fine = flush_events(reading);
    if (fine && !reading->full && !has_room(reading, item->batch.size))
        reading->full = true;
    bool wanted = fine && !reading->full;
    if (wanted && fetching->here && !is_quick(fetching, item, file, at)) {
        stop_here(reading);
        wanted = false;
    }
    if (wanted && file >= 0 && !fetching->here)
        (void)os_descriptor_bring(file, at, item->batch.size); /* where that fails, sending it tells why */
    if (wanted)
        return file >= 0 ? add_file(reading, item, file, at) : add(reading, item->batch, item->first_offset);
    if (file >= 0)
        os_descriptor_close(file);
    return fine;
}

static cairn_err
read_items(struct reading *reading, cairn_partition_reader *reader, uint64_t end)
{
    struct fetching *fetching = reading->fetching;
    cairn_partition_item item;
    cairn_err err = CAIRN_OK;
    bool fine = true, files = !fetching->call->session->tls;
    int file;
    uint64_t at;
    batch_make_begin(&fetching->maker);
    while (fine && !reading->full && !fetching->elsewhere && (reading->left > 0 || fetching->size == 0)) {
        bool more_files = files && fetching->files < FILES_MAX;
        if (fetching->here && !more_files) { /* a large one would be read whole */
            stop_here(reading);
            break;
        }
        err = store_partition_find(reader, more_files ? FILE_LEAST : 0, &item, &file, &at, NULL);
        if (err != CAIRN_OK)
            break;
        if (item.batch.size > 0)
            fine = take_batch(reading, &item, file, at);
        else if (fetching->here)
            stop_here(reading);
        else
            fine = add_event(reading, &item);
    }
    if (fetching->here && err != CAIRN_OK && err != CAIRN_E_END) { /* as a rule it is on the disk */
        stop_here(reading);
        err = CAIRN_OK;
    }
    fine = fine && (reading->full || flush_events(reading));
    if (fine && err == CAIRN_E_END && reading->part->size == 0 && !reading->full && reading->part->offset < end)
        fine = add_gap(reading, end);
    return !fine ? CAIRN_E_NOMEM : err == CAIRN_E_END ? CAIRN_OK : err;
}

static void
part_fails(struct fetch_part *part, enum kafka_err err)
{
    part->bad = true;
    part->to->error_code = (int16_t)err;
    part->fetching->must_answer = true;
}

/* True: go on with the next one. False: no memory, or not here. */
static bool
read_part(struct fetch_part *part, uint64_t *left)
{
    struct fetching *fetching = part->fetching;
    struct calls *calls = fetching->calls;
    struct reading reading = {.fetching = fetching, .part = part};
    cairn_partition_info info;
    cairn_err err = cairn_partition_get(calls->store, calls->scope, &part->topic_id, part->partition, &info, NULL);
    if (err != CAIRN_OK && fetching->here) {
        fetching->elsewhere = true;
        return false;
    }
    if (err != CAIRN_OK) {
        part_fails(part, err == CAIRN_E_NOTFOUND ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : kafka_err_of(err));
        return true;
    }
    part->end = info.end;
    part->first_piece = fetching->pieces.size / sizeof(struct kafka_piece);
    part->piece_count = 0;
    part->size = 0;
    part->to->high_watermark = part->to->last_stable_offset = (int64_t)info.end;
    part->to->log_start_offset = (int64_t)info.start;
    if (part->offset < info.start || part->offset > info.end) {
        part_fails(part, KAFKA_OFFSET_OUT_OF_RANGE);
        return true;
    }
    uint64_t most = part->max_bytes > 0 ? (uint64_t)part->max_bytes : 0;
    reading.left = most < *left ? most : *left;
    if (part->offset == info.end || (reading.left == 0 && fetching->size > 0))
        return true;
    cairn_partition_reader *reader = fetches_reader(calls->fetches, &part->topic_id, part->partition, part->offset, &err);
    if (reader)
        err = read_items(&reading, reader, info.end);
    fetches_give_back(calls->fetches, reader, &part->topic_id, part->partition);
    *left -= part->size < *left ? part->size : *left;
    fetching->must_answer |= reading.full || reading.left == 0; /* there is more than may be added: nothing to wait for */
    if (fetching->here && err != CAIRN_OK)
        fetching->elsewhere = true;
    if (err == CAIRN_E_NOMEM || fetching->elsewhere)
        return false;
    if (err == CAIRN_E_NOTFOUND)
        part_fails(part, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    else if (err != CAIRN_OK && part->size == 0)
        part_fails(part, kafka_err_of(err));
    return true;
}

/* ---- beginning ----------------------------------------------------------------------------------------------------------- */

static void
end_fetch(struct kafka_call *call)
{
    struct fetching *fetching = call->state;
    let_go(fetching);
    buf_free(&fetching->pieces);
    batch_make_free(&fetching->maker);
    arena_free(&fetching->scratch);
}

static void
begin_part(struct fetch_part *part, const cairn_topic *topic, enum kafka_err err,
           const struct kafka_fetch_request_partition *in)
{
    part->to->partition_index = in->partition;
    part->to->high_watermark = -1;
    part->max_bytes = in->partition_max_bytes;
    part->partition = (uint32_t)in->partition;
    part->offset = (uint64_t)in->fetch_offset;
    if (err == KAFKA_NONE && (in->partition < 0 || part->partition >= topic->partitions))
        err = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    if (err == KAFKA_NONE)
        err = in->fetch_offset < 0 ? KAFKA_OFFSET_OUT_OF_RANGE : check_epoch(in->current_leader_epoch);
    if (err != KAFKA_NONE)
        part_fails(part, err);
    else
        part->topic_id = topic->id;
}

/* False: no memory. */
static bool
begin_parts(struct kafka_call *call, const struct kafka_fetch_request *in, struct fetching *fetching)
{
    struct kafka_fetch_response *out = &fetching->out;
    size_t count = 0;
    for (int32_t i = 0; i < in->topics_count; i++)
        count += (size_t)in->topics[i].partitions_count;
    fetching->parts = arena_zalloc(&call->arena, (count + 1) * sizeof *fetching->parts);
    out->topics = KAFKA_LIST(call, fetch_response_topic, (size_t)in->topics_count);
    if (!fetching->parts || !out->topics)
        return false;
    for (int32_t i = 0; i < in->topics_count; i++) {
        const struct kafka_fetch_request_topic *asked = &in->topics[i];
        struct kafka_fetch_response_topic *to = &out->topics[out->topics_count++];
        enum kafka_err err;
        to->topic = asked->topic;
        to->partitions = KAFKA_LIST(call, fetch_response_partition, (size_t)asked->partitions_count);
        if (!to->partitions)
            return false;
        cairn_topic_ref *topic = find_topic(call, asked->topic, &err);
        for (int32_t n = 0; n < asked->partitions_count; n++) {
            struct fetch_part *part = &fetching->parts[fetching->part_count++];
            part->fetching = fetching;
            part->to = &to->partitions[to->partitions_count++];
            part->to->aborted_transactions_count = in->isolation_level == 0 ? -1 : 0;
            begin_part(part, topic ? cairn_topic_of(topic) : NULL, err, &asked->partitions[n]);
        }
        cairn_topic_release(topic);
    }
    return true;
}

/* False: it has been answered. */
static bool
begin(struct kafka_call *call)
{
    const struct kafka_fetch_request *in = KAFKA_REQUEST(call, fetch);
    struct fetching *fetching = arena_zalloc(&call->arena, sizeof *fetching);
    if (!fetching) {
        kafka_no_memory(call);
        return false;
    }
    KAFKA_DEFAULTS(fetch_response, &fetching->out);
    if (in->session_id != 0 || in->session_epoch > 0) {
        fetching->out.error_code = in->session_id != 0 ? KAFKA_FETCH_SESSION_ID_NOT_FOUND : KAFKA_INVALID_FETCH_SESSION_EPOCH;
        kafka_respond(call, &fetching->out);
        return false;
    }
    uint64_t rate = kafka_rate_of(call->server, KAFKA_RATE_FETCH);
    uint64_t most = rate && rate_burst(rate) < FETCH_MAX ? rate_burst(rate) : FETCH_MAX;
    int64_t wait_ms = in->max_wait_ms < 0 ? 0 : in->max_wait_ms < WAIT_MAX_MS ? in->max_wait_ms : WAIT_MAX_MS;
    fetching->call = call;
    fetching->calls = calls_of(call);
    fetching->deadline_ms = clock_ms() + wait_ms;
    fetching->max_bytes = in->max_bytes < 0 ? 0 : (uint64_t)in->max_bytes < most ? (uint64_t)in->max_bytes : most;
    fetching->min_bytes = in->min_bytes < 0 ? 0 : (uint64_t)in->min_bytes;
    if (fetching->min_bytes > most) /* it would wait for what it never gets */
        fetching->min_bytes = most;
    call->state = fetching;
    call->on_end = end_fetch;
    if (begin_parts(call, in, fetching))
        return true;
    kafka_no_memory(call);
    return false;
}

/* ---- the request --------------------------------------------------------------------------------------------------------- */

static void
answer(struct kafka_call *call)
{
    struct fetching *fetching = call->state;
    struct kafka_piece *pieces = (struct kafka_piece *)(void *)fetching->pieces.data;
    for (size_t i = 0; i < fetching->pieces.size / sizeof *pieces; i++)
        if (pieces[i].file < 0)
            pieces[i].bytes.data = fetching->data.data + pieces[i].file_at;
    for (size_t i = 0; i < fetching->part_count; i++) {
        struct fetch_part *part = &fetching->parts[i];
        part->to->records.items = pieces + part->first_piece;
        part->to->records.count = part->bad ? 0 : part->piece_count;
    }
    fetching->out.throttle_time_ms = kafka_throttle(call, KAFKA_RATE_FETCH, fetching->size);
    kafka_respond(call, &fetching->out);
}

typedef void step(struct kafka_call *call);

static void rest(struct kafka_call *call);
static void start_waiting(struct kafka_call *call);

/* What comes next. NULL: it is not for this thread. */
static step *
read_parts(struct kafka_call *call)
{
    struct fetching *fetching = call->state;
    struct fetches *fetches = fetching->calls->fetches;
    uint64_t left = 0;
    for (size_t i = 0; i < fetching->part_count && left < fetching->max_bytes; i++)
        left += fetching->parts[i].max_bytes > 0 ? (uint64_t)fetching->parts[i].max_bytes : 0;
    left = left < fetching->max_bytes ? left : fetching->max_bytes;
    forget(fetching);
    if (!fetching->here && left > fetching->reserved) { /* here, little is copied */
        if (!fetches_reserve(fetches, fetching, left - fetching->reserved, FETCH_LEAST)) {
            let_go(fetching);
            return rest;
        }
        left = left < fetching->reserved ? left : fetching->reserved;
    }
    for (size_t i = 0; i < fetching->part_count; i++)
        if (!fetching->parts[i].bad && !read_part(&fetching->parts[i], &left))
            return fetching->elsewhere ? NULL : kafka_no_memory;
    fetches_settle(fetches, fetching, fetching->data.capacity);
    bool enough = fetching->must_answer || fetching->size >= fetching->min_bytes || clock_ms() >= fetching->deadline_ms ||
                  fetching->part_count == 0;
    return enough ? answer : start_waiting;
}

/* On a pool thread. */
static void
read_there(struct kafka_call *call)
{
    if (!call->state && !begin(call))
        return;
    step *next = read_parts(call);
    assert(next);
    if (next == answer && kafka_rate_of(call->server, KAFKA_RATE_FETCH) == 0) /* a rate is the loop's */
        answer(call);
    else
        kafka_post(call, next);
}

/* ---- on the loop's thread ------------------------------------------------------------------------------------------------ */

static bool
may_be_quick(const struct kafka_call *call)
{
    const struct kafka_fetch_request *in = KAFKA_REQUEST(call, fetch);
    size_t count = 0;
    for (int32_t i = 0; i < in->topics_count && count <= HERE_PARTS; i++)
        count += (size_t)in->topics[i].partitions_count + 1;
    return count <= HERE_PARTS && !call->session->tls && store_reads_files(calls_of(call)->store);
}

/* False: a pool thread has to. */
static bool
read_here(struct kafka_call *call)
{
    if (!may_be_quick(call))
        return false;
    if (!call->state && !begin(call))
        return true;
    struct fetching *fetching = call->state;
    fetching->here = true;
    os_reads_wait(false);
    step *next = read_parts(call);
    os_reads_wait(true);
    fetching->here = false;
    if (next)
        next(call);
    else
        let_go(fetching); /* until a pool thread has time */
    return next;
}

static void
go_there(struct kafka_call *call)
{
    if (kafka_is_gone(call))
        kafka_finish(call);
    else if (!kafka_work(call, read_there)) /* the server is busy, or stops */
        rest(call);
}

void
fetch_again(struct kafka_call *call)
{
    kafka_wait(call, 0, NULL);
    call->on_gone = NULL;
    if (kafka_is_gone(call) || !read_here(call))
        go_there(call);
}

static void
nobody_waits(struct kafka_call *call)
{
    struct fetching *fetching = call->state;
    if (fetches_leave(fetching->calls->fetches, fetching))
        kafka_finish(call);
}

static void
time_is_up(struct kafka_call *call)
{
    struct fetching *fetching = call->state;
    if (fetches_leave(fetching->calls->fetches, fetching))
        answer(call);
}

static void
start_waiting(struct kafka_call *call)
{
    struct fetching *fetching = call->state;
    int64_t left_ms = fetching->deadline_ms - clock_ms();
    if (kafka_is_gone(call)) {
        kafka_finish(call);
        return;
    }
    call->on_gone = nobody_waits;
    kafka_wait(call, left_ms > 0 ? (unsigned)left_ms : 1, time_is_up);
    if (!fetches_wait(fetching->calls->fetches, fetching)) { /* it has moved meanwhile; not here, or this would go ever deeper */
        kafka_wait(call, 0, NULL);
        call->on_gone = NULL;
        go_there(call);
    }
}

static void
rest(struct kafka_call *call)
{
    kafka_wait(call, REST_MS, go_there);
}

void
answer_fetch(struct kafka_call *call)
{
    if (!read_here(call))
        go_there(call);
}
