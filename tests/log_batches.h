/* tests/log_batches.h: a log with batches in it, made by hand, frame by frame, as the sequencer would write them, so that each test
 * holds exactly the bytes that it is about; and what is in it. */
#ifndef TESTS_LOG_BATCHES_H
#define TESTS_LOG_BATCHES_H

#include <base/json.h>
#include <log/topics.h>
#include <log/unfold.h>
#include <os/twin.h>
#include <test.h>

#define FOLDER "data"
#define FIRST FOLDER "/segments/00000001.seg"
#define CATEGORY CAIRN_STR("my~orders")
#define KEYS 7
#define PRODUCER 77

static cairn_error error;

static inline void
check_text(cairn_str text, const char *should)
{
    if (text.size != strlen(should) || memcmp(text.data, should, text.size) != 0)
        fail_msg("'%.*s', not '%s'", (int)text.size, text.data, should);
}

/* ---- a log with batches, and what is in it ----------------------------------------------------------- */

struct expected {
    uint64_t revision, offset;
    uint32_t number; /* the how manieth record of all */
    bool batch, keyed;
    char stream[32];
};

struct disk {
    struct os_sim *sim;
    uint64_t at;         /* in the file: where the next frame goes */
    uint64_t position, durable, offset;
    int64_t time_us;     /* of the event before */
    uint64_t revisions[KEYS], keyless;
    uint32_t numbers;
    struct expected events[4096];
};

static inline struct log *
open_log(struct os_sim *sim)
{
    struct log *log;
    struct log_options options;
    cairn_log_defaults(&options);
    options.create = options.no_background = true;
    options.segment_size_bytes = 64 << 10;
    options.index_memory_events = 100;
    CHECK_TOLD(cairn_log_open(os_sim_os(sim), FOLDER, &options, &log, &error));
    return log;
}

static inline void
append_event(struct log *log, size_t data_size)
{
    static char data[32 << 10];
    cairn_event event = {.type = CAIRN_STR("plain"), .data = {data, data_size}};
    cairn_write write = {CAIRN_STR("other"), CAIRN_ANY, &event, 1};
    cairn_append_request request = {.writes = &write, .write_count = 1};
    cairn_at at;
    CHECK_TOLD(cairn_log_append(log, &request, &at, &error));
}

static inline void
read_at(struct os_sim *sim, uint64_t offset, void *to, size_t size)
{
    struct os_file *file;
    CHECK_INT(os_open(os_sim_os(sim), FIRST, OS_READ, &file), 0);
    CHECK_INT(os_pread(os_sim_os(sim), file, to, size, offset), size);
    CHECK_INT(os_close(os_sim_os(sim), file), 0);
}

static inline void
write_at(struct os_sim *sim, uint64_t offset, const void *bytes, size_t size)
{
    struct os_file *file;
    CHECK_INT(os_open(os_sim_os(sim), FIRST, OS_WRITE, &file), 0);
    CHECK_INT(os_pwrite(os_sim_os(sim), file, bytes, size, offset), size);
    CHECK_INT(os_sync(os_sim_os(sim), file), 0);
    CHECK_INT(os_close(os_sim_os(sim), file), 0);
}

static inline cairn_uuid
topic_id(void)
{
    cairn_uuid id = {{1, 2, 3}};
    return id;
}

static inline void
put_topic(struct log *log, bool compact, int64_t expected)
{
    cairn_topic topic = {.id = topic_id(), .name = CAIRN_STR("my-orders"), .partitions = 4, .compact = compact};
    cairn_topic_ref *ref;
    CHECK_TOLD(cairn_log_topic_put(log, 0, &topic, expected, &ref, &error));
    cairn_topic_release(ref);
}

/* A log that holds a topic's definition, which is event 0, cut before a clean stop. */
static inline struct disk *
new_disk(void)
{
    struct disk *disk = calloc(1, sizeof *disk);
    uint8_t header[FRAME_HEADER_SIZE];
    CHECK(disk != NULL && (disk->sim = os_sim_new(7)) != NULL);
    struct log *log = open_log(disk->sim);
    put_topic(log, false, CAIRN_NONE);
    CHECK_INT(cairn_log_end(log), 1);
    struct os_sim *cut = os_sim_after_cut(disk->sim, OS_CUT_KEEP, 1);
    cairn_log_close(log);
    os_sim_free(disk->sim);
    disk->sim = cut;
    read_at(disk->sim, SEGMENT_HEADER_SIZE, header, sizeof header);
    disk->at = SEGMENT_HEADER_SIZE + load32(header + 8);
    disk->time_us = (int64_t)load64(header + 32);
    disk->position = disk->durable = 1;
    return disk;
}

static inline void
free_disk(struct disk *disk)
{
    os_sim_free(disk->sim);
    free(disk);
}

/* A record batch as a producer sends it. Every fifth record has headers. */
static inline cairn_str
make_batch(struct batch_maker *maker, uint32_t first_number, uint32_t count, bool keyed, enum batch_codec codec)
{
    batch_make_begin(maker);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = first_number + i;
        char key[8], value[32];
        struct batch_header_field headers[] = {{CAIRN_STR("ce_type"), CAIRN_STR("placed"), false},
                                               {CAIRN_STR("ce_tags"), CAIRN_STR("[\"odd\",\"red\"]"), false}};
        cairn_str k = {key, (size_t)snprintf(key, sizeof key, "k%u", number % KEYS)};
        cairn_str v = {value, (size_t)snprintf(value, sizeof value, "{\"number\":%u}", number)};
        CHECK(batch_make_add(maker, i, 1000 + i, keyed ? &k : NULL, &v, headers, number % 5 == 0 ? 2 : 0));
    }
    CHECK(batch_make_end(maker, codec, 0, count - 1));
    struct batch_head head;
    CHECK(batch_head_read(buf_str(&maker->out), &head) == NULL);
    head.producer_id = PRODUCER;
    head.producer_epoch = 1;
    head.base_sequence = (int32_t)first_number;
    batch_head_write((uint8_t *)maker->out.data, &head);
    return buf_str(&maker->out);
}

/* The record of a batch, in memory, for the place that is next; what is in it is noted. */
static inline size_t
make_record(struct disk *disk, uint32_t seed, uint32_t count, bool keyed, enum batch_codec codec, uint8_t **ret)
{
    struct batch_maker maker = {0};
    cairn_str bytes = make_batch(&maker, disk->numbers, count, keyed, codec);
    uint32_t revisions = keyed ? count : 1;
    size_t front = batch_front_size(CATEGORY.size, revisions), size = front + bytes.size;
    uint8_t *record = malloc(size);
    cairn_uuid id = topic_id();
    CHECK(record != NULL);
    batch_front_encode(record, 0, &id, 3, CATEGORY, count, revisions, bytes);
    memcpy(record + front, bytes.data, bytes.size);
    uint8_t *to = batch_record_revisions(record);
    store64(to, disk->keyless);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = disk->numbers + i;
        struct expected *event = &disk->events[disk->position + i];
        event->revision = keyed ? disk->revisions[number % KEYS]++ : disk->keyless++;
        event->offset = disk->offset + i;
        event->number = number;
        event->batch = true;
        event->keyed = keyed;
        snprintf(event->stream, sizeof event->stream, keyed ? "my~orders-k%u" : "my~orders", number % KEYS);
        if (keyed)
            store64(to + 8 * (size_t)i, event->revision);
    }
    (void)batch_record_place(record, seed, disk->position, disk->offset, disk->time_us + (int64_t)disk->position);
    batch_make_free(&maker);
    disk->numbers += count;
    disk->position += count;
    disk->offset += count;
    *ret = record;
    return size;
}

static inline uint32_t
seed_of(struct os_sim *sim)
{
    uint8_t header[SEGMENT_HEADER_SIZE];
    read_at(sim, 0, header, sizeof header);
    return segment_seed(load64(header + 40));
}

/* A frame of one batch at the end of the first segment's file. Its size. */
static inline size_t
write_batch(struct disk *disk, uint32_t count, bool keyed, enum batch_codec codec)
{
    uint8_t *record;
    uint64_t first = disk->position;
    uint32_t seed = seed_of(disk->sim);
    size_t size = make_record(disk, seed, count, keyed, codec, &record);
    struct frame frame = {(uint32_t)pad8(FRAME_HEADER_SIZE + size), 1, first, disk->durable, disk->time_us + (int64_t)first};
    uint8_t *bytes = calloc(1, frame.size);
    CHECK(bytes != NULL);
    memcpy(bytes + FRAME_HEADER_SIZE, record, size);
    frame_place(bytes, seed, &frame, frame_carry(0, load32(record)));
    write_at(disk->sim, disk->at, bytes, frame.size);
    disk->at += frame.size;
    disk->durable = disk->position;
    free(bytes);
    free(record);
    return frame.size;
}

static inline void
write_batches(struct disk *disk)
{
    write_batch(disk, 1, false, BATCH_PLAIN);
    write_batch(disk, 300, true, BATCH_ZSTD);
    write_batch(disk, 500, false, BATCH_PLAIN);
    write_batch(disk, 2, true, BATCH_SNAPPY);
    write_batch(disk, 1100, true, BATCH_LZ4);
}

static inline void
check_event(const struct disk *disk, const struct record *record, uint64_t position)
{
    const struct expected *event = &disk->events[position];
    bool marked = event->number % 5 == 0;
    CHECK_INT(record->kind, RECORD_EVENT);
    CHECK_INT(record->position, position);
    CHECK_INT(record->count, 1);
    CHECK(record->unfolded);
    CHECK_INT(record->revision, event->revision);
    CHECK_INT(record->place.offset, event->offset);
    CHECK_INT(record->place.partition, 3);
    CHECK_INT(record->batch.first_position + record->batch_index, position);
    check_text(record->stream, event->stream);
    check_text(record->event.type, marked ? "placed" : "my-orders");
    CHECK_INT(record->event.tag_count, marked ? 2 : 0);
    cairn_str packed = record->tags_packed, tag;
    if (marked) {
        CHECK(record_next_tag(&packed, &tag));
        check_text(tag, "odd");
        CHECK(record_next_tag(&packed, &tag));
        check_text(tag, "red");
    }
    CHECK(!record_next_tag(&packed, &tag));
}

static inline void
check_data(const struct disk *disk, const struct record *record, uint64_t position)
{
    char data[32];
    snprintf(data, sizeof data, "{\"number\":%u}", disk->events[position].number);
    check_text(record->event.data, data);
    check_text(record->event.content_type, "application/json");
    CHECK(record->event.meta.size > 0);
}

static inline void
verify(struct log *log, cairn_verify_report *ret)
{
    CHECK_TOLD(cairn_log_verify(log, NULL, NULL, NULL, ret, &error));
    CHECK_INT(ret->faults, 0);
}

/* Every position, in both directions and here and there. */
static inline void
check_all(const struct disk *disk, struct log *log)
{
    static const enum block_mode modes[] = {BLOCK_SCAN, BLOCK_SCAN_BACKWARD, BLOCK_POINT};
    uint64_t random = 5;
    for (size_t i = 0; i < 3; i++) {
        struct block *block = block_new();
        struct record record;
        for (uint64_t n = 1; n < disk->position; n++) {
            uint64_t position = i == 0 ? n : i == 1 ? disk->position - n : 1 + test_random(&random) % (disk->position - 1);
            CHECK_TOLD(log_read_record(log, block, position, modes[i], &record, &error));
            check_event(disk, &record, position);
            check_data(disk, &record, position);
        }
        block_only_names(block);
        for (uint64_t position = 1; position < disk->position; position += 3) {
            CHECK_TOLD(log_read_record(log, block, position, modes[i], &record, &error));
            check_event(disk, &record, position);
            CHECK_INT(record.event.data.size, 0);
        }
        block_free(block);
    }
}

/* Each stream by its revisions, and its head. */
static inline void
check_streams(const struct disk *disk, struct log *log)
{
    for (unsigned key = 0; key <= KEYS; key++) {
        char stream[32];
        snprintf(stream, sizeof stream, key < KEYS ? "my~orders-k%u" : "my~orders", key);
        uint64_t count = key < KEYS ? disk->revisions[key] : disk->keyless, revision = 0;
        struct log_reader *reader;
        cairn_read_options options = {0};
        cairn_recorded event;
        CHECK_TOLD(cairn_log_read_stream(log, cairn_cstr(stream), &options, &reader, &error));
        while (cairn_log_reader_next(reader, &event, &error) == CAIRN_OK) {
            CHECK_INT(event.revision, revision++);
            check_text(event.stream, stream);
            CHECK_INT(disk->events[event.position].revision, event.revision);
        }
        CHECK_INT(revision, count);
        cairn_log_reader_free(reader);
        cairn_stream_info info;
        CHECK_TOLD(cairn_log_stream_info(log, 0, cairn_cstr(stream), &info, &error));
        CHECK_INT(info.last_revision, (int64_t)count - 1);
    }
}

/* Fill the first segment up, so that it is sealed. */
static inline void
seal(struct log *log)
{
    while (atomic_load(&log->segment_count) == 1)
        append_event(log, 8 << 10);
    CHECK_TOLD(cairn_log_maintain(log, &error));
    CHECK(atomic_load(&atomic_load(&log->slots[0])->sealed));
}

static inline void
delete_stream(struct log *log, const char *name, uint64_t before)
{
    cairn_retention limits = {.truncate_before = before};
    CHECK_TOLD(cairn_log_retention_set(log, 0, cairn_cstr(name), &limits, &error));
}

#endif
