/* Batches at rest: records that hold many positions. The files are made by hand, frame by frame, as the sequencer would write
 * them, so that each test holds exactly the bytes that it is about. */
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

#define EXPECT_OK(call)                                                                            \
    do {                                                                                           \
        if ((call) != CAIRN_OK)                                                                    \
            fail_msg("%s: %s", #call, error.detail);                                               \
    } while (0)

static void
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

static struct log *
open_log(struct os_sim *sim)
{
    struct log *log;
    struct log_options options;
    cairn_log_defaults(&options);
    options.create = options.no_background = true;
    options.segment_size_bytes = 64 << 10;
    options.index_memory_events = 100;
    EXPECT_OK(cairn_log_open(os_sim_os(sim), FOLDER, &options, &log, &error));
    return log;
}

static void
append_event(struct log *log, size_t data_size)
{
    static char data[32 << 10];
    cairn_event event = {.type = CAIRN_STR("plain"), .data = {data, data_size}};
    cairn_write write = {CAIRN_STR("other"), CAIRN_ANY, &event, 1};
    cairn_append_request request = {.writes = &write, .write_count = 1};
    cairn_at at;
    EXPECT_OK(cairn_log_append(log, &request, &at, &error));
}

static void
read_at(struct os_sim *sim, uint64_t offset, void *to, size_t size)
{
    struct os_file *file;
    CHECK_INT(os_open(os_sim_os(sim), FIRST, OS_READ, &file), 0);
    CHECK_INT(os_pread(os_sim_os(sim), file, to, size, offset), size);
    CHECK_INT(os_close(os_sim_os(sim), file), 0);
}

static void
write_at(struct os_sim *sim, uint64_t offset, const void *bytes, size_t size)
{
    struct os_file *file;
    CHECK_INT(os_open(os_sim_os(sim), FIRST, OS_WRITE, &file), 0);
    CHECK_INT(os_pwrite(os_sim_os(sim), file, bytes, size, offset), size);
    CHECK_INT(os_sync(os_sim_os(sim), file), 0);
    CHECK_INT(os_close(os_sim_os(sim), file), 0);
}

static cairn_uuid
topic_id(void)
{
    cairn_uuid id = {{1, 2, 3}};
    return id;
}

static void
put_topic(struct log *log, bool compact, int64_t expected)
{
    cairn_topic topic = {.id = topic_id(), .name = CAIRN_STR("my-orders"), .partitions = 4, .compact = compact};
    cairn_topic_ref *ref;
    EXPECT_OK(cairn_log_topic_put(log, 0, &topic, expected, &ref, &error));
    cairn_topic_release(ref);
}

/* A log that holds a topic's definition, which is event 0, cut before a clean stop. */
static struct disk *
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

static void
free_disk(struct disk *disk)
{
    os_sim_free(disk->sim);
    free(disk);
}

/* A record batch as a producer sends it. Every fifth record has headers. */
static cairn_str
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
static size_t
make_record(struct disk *disk, uint32_t seed, uint32_t count, bool keyed, enum batch_codec codec, uint8_t **ret)
{
    struct batch_maker maker = {0};
    cairn_str bytes = make_batch(&maker, disk->numbers, count, keyed, codec);
    uint32_t revisions = keyed ? count : 1;
    size_t size = batch_record_size(CATEGORY.size, revisions, bytes.size);
    uint8_t *record = malloc(size);
    cairn_uuid id = topic_id();
    CHECK(record != NULL);
    batch_record_encode(record, size, 0, &id, 3, CATEGORY, count, revisions, bytes);
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

static uint32_t
seed_of(struct os_sim *sim)
{
    uint8_t header[SEGMENT_HEADER_SIZE];
    read_at(sim, 0, header, sizeof header);
    return segment_seed(load64(header + 40));
}

/* A frame of one batch at the end of the first segment's file. Its size. */
static size_t
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

static void
write_batches(struct disk *disk)
{
    write_batch(disk, 1, false, BATCH_PLAIN);
    write_batch(disk, 300, true, BATCH_ZSTD);
    write_batch(disk, 500, false, BATCH_PLAIN);
    write_batch(disk, 2, true, BATCH_SNAPPY);
    write_batch(disk, 1100, true, BATCH_LZ4);
}

static void
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

static void
check_data(const struct disk *disk, const struct record *record, uint64_t position)
{
    char data[32];
    snprintf(data, sizeof data, "{\"number\":%u}", disk->events[position].number);
    check_text(record->event.data, data);
    check_text(record->event.content_type, "application/json");
    CHECK(record->event.meta.size > 0);
}

static void
verify(struct log *log, cairn_verify_report *ret)
{
    EXPECT_OK(cairn_log_verify(log, NULL, NULL, NULL, ret, &error));
    CHECK_INT(ret->faults, 0);
}

/* Every position, in both directions and here and there. */
static void
check_all(const struct disk *disk, struct log *log)
{
    static const enum block_mode modes[] = {BLOCK_SCAN, BLOCK_SCAN_BACKWARD, BLOCK_POINT};
    uint64_t random = 5;
    for (size_t i = 0; i < 3; i++) {
        struct block *block = block_new();
        struct record record;
        for (uint64_t n = 1; n < disk->position; n++) {
            uint64_t position = i == 0 ? n : i == 1 ? disk->position - n : 1 + test_random(&random) % (disk->position - 1);
            EXPECT_OK(log_read_record(log, block, position, modes[i], &record, &error));
            check_event(disk, &record, position);
            check_data(disk, &record, position);
        }
        block_only_names(block);
        for (uint64_t position = 1; position < disk->position; position += 3) {
            EXPECT_OK(log_read_record(log, block, position, modes[i], &record, &error));
            check_event(disk, &record, position);
            CHECK_INT(record.event.data.size, 0);
        }
        block_free(block);
    }
}

/* Each stream by its revisions, and its head. */
static void
check_streams(const struct disk *disk, struct log *log)
{
    for (unsigned key = 0; key <= KEYS; key++) {
        char stream[32];
        snprintf(stream, sizeof stream, key < KEYS ? "my~orders-k%u" : "my~orders", key);
        uint64_t count = key < KEYS ? disk->revisions[key] : disk->keyless, revision = 0;
        struct log_reader *reader;
        cairn_read_options options = {0};
        cairn_recorded event;
        EXPECT_OK(cairn_log_read_stream(log, cairn_cstr(stream), &options, &reader, &error));
        while (cairn_log_reader_next(reader, &event, &error) == CAIRN_OK) {
            CHECK_INT(event.revision, revision++);
            check_text(event.stream, stream);
            CHECK_INT(disk->events[event.position].revision, event.revision);
        }
        CHECK_INT(revision, count);
        cairn_log_reader_free(reader);
        cairn_stream_info info;
        EXPECT_OK(cairn_log_stream_info(log, 0, cairn_cstr(stream), &info, &error));
        CHECK_INT(info.last_revision, (int64_t)count - 1);
    }
}

/* Fill the first segment up, so that it is sealed. */
static void
seal(struct log *log)
{
    while (atomic_load(&log->segment_count) == 1)
        append_event(log, 8 << 10);
    EXPECT_OK(cairn_log_maintain(log, &error));
    CHECK(atomic_load(&atomic_load(&log->slots[0])->sealed));
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

/* Goal: every event of a batch is found at its position, by its stream and by query, whatever the codec; by an index that was made in
 * opening and by one made anew; in an active and in a sealed segment.
 * Method: batches of several shapes; look at everything after each step. */
TEST(events_of_batches_are_events)
{
    struct disk *disk = new_disk();
    cairn_verify_report report;
    write_batches(disk);
    struct log *log = open_log(disk->sim);
    CHECK_INT(cairn_log_end(log), disk->position);
    check_all(disk, log);
    check_streams(disk, log);
    verify(log, &report);
    seal(log);
    verify(log, &report);
    EXPECT_OK(cairn_log_reindex(log, NULL, NULL, &error));
    verify(log, &report);
    check_all(disk, log);
    check_streams(disk, log);
    cairn_log_close(log);
    log = open_log(disk->sim);
    check_all(disk, log);
    check_streams(disk, log);

    cairn_str types[] = {CAIRN_STR("placed")}, tags[] = {CAIRN_STR("red")};
    cairn_query_item item = {.types = types, .type_count = 1, .tags = tags, .tag_count = 1};
    cairn_read_options options = {.category = CATEGORY, .query = {&item, 1}};
    struct log_reader *reader;
    cairn_recorded event;
    uint64_t found = 0, there = 0;
    EXPECT_OK(cairn_log_read_all(log, &options, &reader, &error));
    while (cairn_log_reader_next(reader, &event, &error) == CAIRN_OK) {
        CHECK_INT(disk->events[event.position].number % 5, 0);
        found++;
    }
    cairn_log_reader_free(reader);
    for (uint64_t i = 1; i < disk->position; i++)
        there += disk->events[i].number % 5 == 0;
    CHECK_INT(found, there);
    verify(log, &report);
    cairn_log_close(log);
    free_disk(disk);
}

static void
delete_stream(struct log *log, const char *name, uint64_t before)
{
    cairn_retention limits = {.truncate_before = before};
    EXPECT_OK(cairn_log_retention_set(log, 0, cairn_cstr(name), &limits, &error));
}

static void
hash_member(struct json value, uint8_t ret[32])
{
    struct arena arena = {0};
    CHECK(parse_hex(json_string(value, &arena), ret, 32));
    arena_free(&arena);
}

/* RFC 9162 §2.1.3.2: the path leads from the leaf to its segment's root. */
static void
check_proof(const char *proof)
{
    struct json json = json_trusted(cairn_cstr(proof)), name, item;
    uint64_t index, last;
    uint8_t node[65], root[32], *hash = node + 33;
    CHECK(json_u64(json_get(json, "index"), &index) && json_u64(json_get(json, "leaves"), &last));
    CHECK(index < last--);
    hash_member(json_get(json, "leaf"), hash);
    struct json_walk walk = json_walk(json_get(json, "path"));
    while (json_next(&walk, &name, &item)) {
        uint8_t other[32], mine[32];
        hash_member(item, other);
        memcpy(mine, hash, 32);
        bool right = index % 2 == 1 || index == last; /* we are the right one of the two */
        while (right && index % 2 == 0 && index != 0) {
            index /= 2;
            last /= 2;
        }
        node[0] = 1;
        memcpy(node + 1, right ? other : mine, 32);
        memcpy(node + 33, right ? mine : other, 32);
        sha256(node, sizeof node, root);
        memcpy(hash, root, 32);
        index /= 2;
        last /= 2;
    }
    CHECK_INT(last, 0);
    walk = json_walk(json_get(json, "segments"));
    CHECK(json_next(&walk, &name, &item)); /* the first segment's */
    hash_member(json_get(item, "root"), root);
    CHECK(memcmp(hash, root, 32) == 0);
}

/* Goal: times, proofs and copies go by stored records: a batch has one time and one leaf, and is copied whole or not.
 * Method: ask for the position after each batch's time; compare proofs of neighbours, and follow them to the root, before and after
 * scavenging; branch at every kind of position. */
TEST(a_batch_is_one_thing)
{
    struct disk *disk = new_disk();
    write_batches(disk);
    struct log *log = open_log(disk->sim);
    uint64_t position;
    cairn_scavenge_report scavenged;
    EXPECT_OK(cairn_log_position_at(log, disk->time_us + 1, &position, &error));
    CHECK_INT(position, 2);
    EXPECT_OK(cairn_log_position_at(log, disk->time_us + 302 - 1, &position, &error));
    CHECK_INT(position, 302);
    EXPECT_OK(cairn_log_position_at(log, disk->time_us + 302, &position, &error));
    CHECK_INT(position, 802);
    seal(log);
    for (int i = 0; i < 2; i++) {
        char *first, *last, *next;
        EXPECT_OK(cairn_log_prove(log, 302, &first, &error));
        EXPECT_OK(cairn_log_prove(log, 801, &last, &error));
        EXPECT_OK(cairn_log_prove(log, 802, &next, &error));
        check_proof(first);
        check_proof(next);
        CHECK(strstr(first, "\"index\":3,\"leaves\":") != NULL);
        CHECK(strstr(next, "\"index\":4,\"leaves\":") != NULL);
        CHECK_STR(strstr(first, "\"leaf\""), strstr(last, "\"leaf\""));
        free(first);
        free(last);
        free(next);
        delete_stream(log, "my~orders", i == 0 ? disk->keyless : 0);
        EXPECT_OK(cairn_log_scavenge(log, NULL, NULL, &scavenged, &error));
        CHECK_INT(scavenged.events_removed, i == 0 ? disk->keyless : 0);
    }
    static const uint64_t ends[][2] = {{0, 0}, {1, 1}, {2, 2}, {301, 2}, {302, 302}, {801, 302}, {804, 804}};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char folder[32];
        snprintf(folder, sizeof folder, "branch%zu", i);
        EXPECT_OK(cairn_log_branch(log, folder, ends[i][0], &error));
        struct log *branch;
        struct log_options options;
        cairn_verify_report report;
        cairn_log_defaults(&options);
        options.no_background = true;
        EXPECT_OK(cairn_log_open(os_sim_os(disk->sim), folder, &options, &branch, &error));
        CHECK_INT(cairn_log_end(branch), ends[i][1]);
        verify(branch, &report);
        cairn_log_close(branch);
    }
    cairn_log_close(log);
    free_disk(disk);
}

/* ---- damage ---------------------------------------------------------------------------------------------------- */

/* Goal: no byte of a batch's record can change unnoticed: head, placed part, body.
 * Method: flip each of them; and cut the record at each. */
TEST(every_byte_of_a_batch_is_checked)
{
    struct disk *disk = new_disk();
    uint8_t *record;
    struct record decoded;
    size_t size = make_record(disk, 99, 40, true, BATCH_PLAIN, &record);
    CHECK(record_decode((cairn_str){(char *)record, size}, 99, &decoded) == NULL);
    CHECK_INT(decoded.count, 40);
    CHECK_INT(decoded.batch.revision_count, 40);
    CHECK_INT(batch_revision(&decoded.batch, 39), disk->events[40].revision);
    CHECK(record_decode((cairn_str){(char *)record, size}, 98, &decoded) != NULL);
    for (size_t i = 0; i < size; i++) {
        record[i] ^= 0x10;
        CHECK(record_decode((cairn_str){(char *)record, size}, 99, &decoded) != NULL);
        record[i] ^= 0x10;
        CHECK(record_decode((cairn_str){(char *)record, i}, 99, &decoded) != NULL);
    }
    free(record);
    free_disk(disk);
}

/* Goal: of a batch that was being written when the power went, nothing is left; of one that was acknowledged, nothing may be missing.
 * Method: cut the file at every byte of the last frame, with and without a frame behind it that vouches. */
TEST(a_batch_is_there_whole_or_not_at_all)
{
    struct disk *disk = new_disk();
    write_batch(disk, 30, true, BATCH_PLAIN);
    uint64_t begin = disk->at;
    size_t size = write_batch(disk, 20, true, BATCH_LZ4);
    for (size_t kept = 0; kept < size; kept++) {
        struct os_sim *sim = os_sim_after_cut(disk->sim, OS_CUT_KEEP, 1);
        struct os_file *file;
        CHECK_INT(os_open(os_sim_os(sim), FIRST, OS_WRITE, &file), 0);
        CHECK_INT(os_truncate(os_sim_os(sim), file, begin + kept), 0);
        CHECK_INT(os_close(os_sim_os(sim), file), 0);
        struct log *log = open_log(sim);
        bool padding_only = cairn_log_end(log) == 51;
        CHECK(cairn_log_end(log) == 31 || (padding_only && size - kept < 8));
        append_event(log, 10);
        cairn_log_close(log);
        log = open_log(sim);
        cairn_verify_report report;
        verify(log, &report);
        CHECK_INT(cairn_log_end(log), padding_only ? 52 : 32);
        cairn_log_close(log);
        os_sim_free(sim);
    }
    write_batch(disk, 3, false, BATCH_PLAIN);
    for (uint64_t at = begin; at < begin + size; at += 7) {
        struct os_sim *sim = os_sim_after_cut(disk->sim, OS_CUT_KEEP, 1);
        CHECK_INT(os_sim_flip(sim, FIRST, at, 1), 0);
        struct log *log;
        struct log_options options;
        cairn_log_defaults(&options);
        options.no_background = true;
        CHECK_INT(cairn_log_open(os_sim_os(sim), FOLDER, &options, &log, &error), CAIRN_E_CORRUPT);
        os_sim_free(sim);
    }
    free_disk(disk);
}

/* Goal: a batch whose checksums hold, but which is none, is damage, and verify says so; what lies around it can be read.
 * Method: a record whose batch says another number of records, another offset, or garbage. */
TEST(what_is_no_batch_is_damage)
{
    for (int way = 0; way < 3; way++) {
        struct disk *disk = new_disk();
        uint32_t seed = seed_of(disk->sim);
        struct batch_maker maker = {0};
        cairn_uuid id = topic_id();
        cairn_str bytes = make_batch(&maker, 0, 5, false, way == 2 ? BATCH_ZSTD : BATCH_PLAIN);
        uint32_t count = way == 0 ? 6 : 5;
        if (way == 1)
            maker.out.data[BATCH_HEAD_SIZE + 3] = 6; /* its offset delta: 3 */
        if (way == 2)
            memset(maker.out.data + BATCH_HEAD_SIZE, 'x', bytes.size - BATCH_HEAD_SIZE);
        size_t size = batch_record_size(CATEGORY.size, 1, bytes.size);
        struct frame frame = {(uint32_t)pad8(FRAME_HEADER_SIZE + size), 1, 1, 1, disk->time_us};
        uint8_t *frame_bytes = calloc(1, frame.size), *record = frame_bytes + FRAME_HEADER_SIZE;
        batch_record_encode(record, size, 0, &id, 3, CATEGORY, count, 1, bytes);
        store64(batch_record_revisions(record), 0);
        frame_place(frame_bytes, seed, &frame, frame_carry(0, batch_record_place(record, seed, 1, 0, disk->time_us)));
        struct unfold *unfold = unfold_new();
        struct record decoded, event;
        CHECK(record_decode((cairn_str){(char *)record, size}, seed, &decoded) == NULL);
        const char *fault = unfold_open(unfold, &decoded);
        for (uint32_t i = 0; fault == NULL && i < count; i++)
            fault = unfold_at(unfold, 1 + i, false, &event);
        CHECK(fault != NULL);
        unfold_free(unfold);
        write_at(disk->sim, disk->at, frame_bytes, frame.size);
        struct log *log;
        struct log_options options;
        cairn_log_defaults(&options);
        options.no_background = true;
        CHECK_INT(cairn_log_open(os_sim_os(disk->sim), FOLDER, &options, &log, &error), CAIRN_E_CORRUPT);
        CHECK(strstr(error.detail, "the batch that holds event") != NULL);
        free(frame_bytes);
        batch_make_free(&maker);
        free_disk(disk);
    }
}

/* ---- scavenging ------------------------------------------------------------------------------------------------- */

/* What is left by now: streams of `gone` keys (bits; KEYS: the keyless one) lack all but the last `kept` revisions. */
static void
check_left(const struct disk *disk, struct log *log, unsigned gone)
{
    struct block *block = block_new();
    for (int backward = 0; backward < 2; backward++)
        for (uint64_t i = 1; i < disk->position; i++) {
            uint64_t position = backward ? disk->position - i : i;
            const struct expected *event = &disk->events[position];
            unsigned key = event->keyed ? event->number % KEYS : KEYS;
            struct record record;
            EXPECT_OK(log_read_record(log, block, position, backward ? BLOCK_SCAN_BACKWARD : BLOCK_SCAN, &record, &error));
            if ((gone >> key & 1) == 0) {
                check_event(disk, &record, position);
                check_data(disk, &record, position);
                continue;
            }
            CHECK_INT(record.kind, RECORD_REMOVED);
            CHECK_INT(record.place.offset, event->offset);
            CHECK_INT(record.revision, event->revision);
            if (record.stream.size > 0)
                check_text(record.stream, event->stream);
        }
    block_free(block);
    for (unsigned key = 0; key <= KEYS; key++) {
        char stream[32];
        cairn_stream_info info;
        snprintf(stream, sizeof stream, key < KEYS ? "my~orders-k%u" : "my~orders", key);
        EXPECT_OK(cairn_log_stream_info(log, 0, cairn_cstr(stream), &info, &error));
        CHECK_INT(info.last_revision, (int64_t)(key < KEYS ? disk->revisions[key] : disk->keyless) - 1);
    }
}

/* Goal: scavenging takes out of batches what retention hides, and nothing else; roots and revisions stay, and the index can be made
 * anew from what is left; a batch that nothing is left of keeps its positions and offsets.
 * Method: three rounds with more and more streams deleted; after each look at every position, before and after reindexing. */
TEST(scavenging_thins_batches)
{
    struct disk *disk = new_disk();
    write_batches(disk);
    struct log *log = open_log(disk->sim);
    seal(log);
    cairn_verify_report before, after;
    cairn_scavenge_report report;
    uint8_t root[32];
    memcpy(root, atomic_load(&log->slots[0])->root, 32);
    static const unsigned rounds[] = {1u << 2, 1u << 2 | 1u << 5 | 1u << KEYS, (2u << KEYS) - 1};
    unsigned gone = 0;
    uint64_t removed = 0;
    for (size_t round = 0; round < 3; round++) {
        for (unsigned key = 0; key <= KEYS; key++) {
            char stream[32];
            if (((rounds[round] & ~gone) >> key & 1) == 0)
                continue;
            snprintf(stream, sizeof stream, key < KEYS ? "my~orders-k%u" : "my~orders", key);
            delete_stream(log, stream, key < KEYS ? disk->revisions[key] : disk->keyless);
        }
        gone = rounds[round];
        verify(log, &before);
        uint64_t size = atomic_load(&atomic_load(&log->slots[0])->data_end);
        EXPECT_OK(cairn_log_scavenge(log, NULL, NULL, &report, &error));
        CHECK_INT(report.segments_rewritten, 1);
        CHECK(atomic_load(&atomic_load(&log->slots[0])->data_end) < size);
        CHECK(memcmp(root, atomic_load(&log->slots[0])->root, 32) == 0);
        removed += report.events_removed;
        CHECK_INT(atomic_load(&log->removed), removed);
        check_left(disk, log, gone);
        verify(log, &after);
        CHECK(memcmp(before.root, after.root, 32) == 0);
        EXPECT_OK(cairn_log_reindex(log, NULL, NULL, &error));
        verify(log, &after);
        check_left(disk, log, gone);
        EXPECT_OK(cairn_log_scavenge(log, NULL, NULL, &report, &error));
        CHECK_INT(report.events_removed, 0);
    }
    CHECK_INT(removed, disk->position - 1);
    cairn_log_close(log);
    log = open_log(disk->sim);
    CHECK_INT(atomic_load(&log->removed), removed);
    check_left(disk, log, gone);
    verify(log, &after);
    cairn_log_close(log);
    free_disk(disk);
}

/* ---- scavenging by topics ------------------------------------------------------------------------------------------ */

/* How many records the partition gives from its beginning; each is the one that was at its offset. */
static uint64_t
count_in_partition(const struct disk *disk, struct log *log)
{
    cairn_uuid id = topic_id();
    struct partition_reader *reader;
    struct batch_cursor cursor = {0};
    cairn_partition_item item;
    cairn_err err;
    uint64_t count = 0;
    EXPECT_OK(cairn_log_read_partition(log, 0, &id, 3, 0, &reader, &error));
    while ((err = cairn_log_partition_next(reader, &item, &error)) == CAIRN_OK) {
        struct batch_record record;
        CHECK(batch_crc_holds(item.batch));
        CHECK(batch_open(&cursor, item.batch) == NULL);
        CHECK_INT(cursor.head.producer_id, PRODUCER);
        CHECK_INT(cursor.head.base_sequence, item.first_offset);
        CHECK_INT(cursor.head.last_offset_delta, item.last_offset - item.first_offset);
        for (; batch_next(&cursor, &record); count++) {
            char value[32];
            snprintf(value, sizeof value, "{\"number\":%llu}",
                     (unsigned long long)(item.first_offset + (uint64_t)record.offset_delta));
            check_text(record.value, value);
            CHECK_INT(record.timestamp_ms, 1000 + record.offset_delta);
        }
        CHECK(cursor.fault == NULL);
    }
    CHECK_INT(err, CAIRN_E_END);
    CHECK(disk->numbers >= count);
    batch_close(&cursor);
    cairn_log_partition_reader_free(reader);
    return count;
}

static cairn_scavenge_report
scavenge(struct log *log)
{
    cairn_verify_report before, after;
    cairn_scavenge_report report;
    verify(log, &before);
    EXPECT_OK(cairn_log_scavenge(log, NULL, NULL, &report, &error));
    verify(log, &after);
    CHECK(memcmp(before.root, after.root, 32) == 0);
    if (report.events_removed > 0) {
        EXPECT_OK(cairn_log_reindex(log, NULL, NULL, &error));
        verify(log, &after);
    }
    return report;
}

/* Goal: in a compacting topic the newest record of each key stays, and what has no key; then a start hides what is below it, also within
 * a batch; then deletion takes the rest. No offset is given twice.
 * Method: do one after the other, scavenge, count what the partition gives. */
TEST(topics_say_what_goes)
{
    struct disk *disk = new_disk();
    write_batches(disk);
    struct log *log = open_log(disk->sim);
    cairn_uuid id = topic_id();
    cairn_partition_info info;
    seal(log);
    CHECK_INT(count_in_partition(disk, log), disk->numbers);
    put_topic(log, true, 0);
    CHECK_INT(scavenge(log).events_removed, disk->numbers - disk->keyless - KEYS);
    CHECK_INT(count_in_partition(disk, log), disk->keyless + KEYS);
    CHECK_INT(scavenge(log).events_removed, 0);

    uint64_t starts[4] = {0, 0, 0, 401}; /* within the batch of 500 that begins at 301 */
    cairn_topic topic = {.id = id, .name = CAIRN_STR("my-orders"), .partitions = 4, .compact = true, .starts = starts};
    cairn_topic_ref *ref;
    EXPECT_OK(cairn_log_topic_put(log, 0, &topic, 1, &ref, &error));
    cairn_topic_release(ref);
    CHECK_INT(scavenge(log).events_removed, 101);
    CHECK_INT(count_in_partition(disk, log), disk->keyless - 101 + KEYS);

    starts[3] = disk->offset;
    EXPECT_OK(cairn_log_topic_put(log, 0, &topic, 2, &ref, &error));
    cairn_topic_release(ref);
    for (unsigned key = 0; key < KEYS; key++) {
        char stream[32];
        snprintf(stream, sizeof stream, "my~orders-k%u", key);
        delete_stream(log, stream, disk->revisions[key]);
    }
    (void)scavenge(log);
    CHECK_INT(count_in_partition(disk, log), 0);
    EXPECT_OK(cairn_log_partition_get(log, 0, &id, 3, &info, &error));
    CHECK_INT(info.start, disk->offset);
    CHECK_INT(info.end, disk->offset);
    EXPECT_OK(cairn_log_topic_delete(log, 0, CAIRN_STR("my-orders"), CAIRN_ANY, &error));
    (void)scavenge(log);
    check_left(disk, log, (2u << KEYS) - 1);
    cairn_log_close(log);
    free_disk(disk);
}

/* Goal: where nothing is left of a producer's newest batch, its head is.
 * Method: hide all streams; ask for the producer's batches after scavenging and reindexing. */
TEST(a_producer_is_known_without_records)
{
    struct disk *disk = new_disk();
    write_batches(disk);
    struct log *log = open_log(disk->sim);
    seal(log);
    for (unsigned key = 0; key <= KEYS; key++) {
        char stream[32];
        snprintf(stream, sizeof stream, key < KEYS ? "my~orders-k%u" : "my~orders", key);
        delete_stream(log, stream, key < KEYS ? disk->revisions[key] : disk->keyless);
    }
    CHECK_INT(scavenge(log).events_removed, disk->numbers);
    check_left(disk, log, (2u << KEYS) - 1);
    CHECK_INT(count_in_partition(disk, log), 0);
    cairn_uuid id = topic_id();
    cairn_producer_batch batches[5];
    size_t count;
    EXPECT_OK(cairn_log_producer_batches(log, 0, &id, 3, PRODUCER, batches, 5, &count, &error));
    CHECK_INT(count, 1);
    CHECK_INT(batches[0].epoch, 1);
    CHECK_INT(batches[0].first_sequence, 803);
    CHECK_INT(batches[0].last_sequence, disk->numbers - 1);
    CHECK_INT(batches[0].first_offset, 803);
    CHECK_INT(scavenge(log).events_removed, 0);
    cairn_log_close(log);
    free_disk(disk);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(events_of_batches_are_events),
        RUN(a_batch_is_one_thing),
        RUN(every_byte_of_a_batch_is_checked),
        RUN(a_batch_is_there_whole_or_not_at_all),
        RUN(what_is_no_batch_is_damage),
        RUN(scavenging_thins_batches),
        RUN(topics_say_what_goes),
        RUN(a_producer_is_known_without_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
