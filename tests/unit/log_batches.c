/* Batches at rest: records that hold many positions, read, damaged, proved, copied. */
#include "log_batches.h"

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
    CHECK_TOLD(cairn_log_reindex(log, NULL, NULL, &error));
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
    CHECK_TOLD(cairn_log_read_all(log, &options, &reader, &error));
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
    CHECK_TOLD(cairn_log_position_at(log, disk->time_us + 1, &position, &error));
    CHECK_INT(position, 2);
    CHECK_TOLD(cairn_log_position_at(log, disk->time_us + 302 - 1, &position, &error));
    CHECK_INT(position, 302);
    CHECK_TOLD(cairn_log_position_at(log, disk->time_us + 302, &position, &error));
    CHECK_INT(position, 802);
    seal(log);
    for (int i = 0; i < 2; i++) {
        char *first, *last, *next;
        CHECK_TOLD(cairn_log_prove(log, 302, &first, &error));
        CHECK_TOLD(cairn_log_prove(log, 801, &last, &error));
        CHECK_TOLD(cairn_log_prove(log, 802, &next, &error));
        check_proof(first);
        check_proof(next);
        CHECK(strstr(first, "\"index\":3,\"leaves\":") != NULL);
        CHECK(strstr(next, "\"index\":4,\"leaves\":") != NULL);
        CHECK_STR(strstr(first, "\"leaf\""), strstr(last, "\"leaf\""));
        free(first);
        free(last);
        free(next);
        delete_stream(log, "my~orders", i == 0 ? disk->keyless : 0);
        CHECK_TOLD(cairn_log_scavenge(log, NULL, NULL, &scavenged, &error));
        CHECK_INT(scavenged.events_removed, i == 0 ? disk->keyless : 0);
    }
    static const uint64_t ends[][2] = {{0, 0}, {1, 1}, {2, 2}, {301, 2}, {302, 302}, {801, 302}, {804, 804}};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char folder[32];
        snprintf(folder, sizeof folder, "branch%zu", i);
        CHECK_TOLD(cairn_log_branch(log, folder, ends[i][0], &error));
        struct log *branch;
        struct log_options options;
        cairn_verify_report report;
        cairn_log_defaults(&options);
        options.no_background = true;
        CHECK_TOLD(cairn_log_open(os_sim_os(disk->sim), folder, &options, &branch, &error));
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

/* Goal: damage to a batch that comes while the log is open is never read, from whichever side one comes; what lies beside it is.
 * Method: flip each byte of one between two others; read positions in it and beside it; flip it back. */
TEST(damage_is_not_read)
{
    static const enum block_mode modes[] = {BLOCK_SCAN, BLOCK_SCAN_BACKWARD, BLOCK_POINT};
    struct disk *disk = new_disk();
    write_batch(disk, 3, true, BATCH_PLAIN);
    uint64_t begin = disk->at + FRAME_HEADER_SIZE, first = disk->position;
    write_batch(disk, 9, true, BATCH_PLAIN);
    uint64_t end = disk->at - 8; /* there may be padding */
    write_batch(disk, 3, true, BATCH_PLAIN);
    struct log *log = open_log(disk->sim);
    for (uint64_t at = begin; at < end; at++) {
        CHECK_INT(os_sim_flip(disk->sim, FIRST, at, 3), 0);
        for (size_t i = 0; i < 3; i++) {
            struct block *block = block_new();
            struct record record;
            CHECK_TOLD(log_read_record(log, block, first - 1, modes[i], &record, &error));
            CHECK_INT(log_read_record(log, block, first + 4, modes[i], &record, &error), CAIRN_E_CORRUPT);
            CHECK(strstr(error.detail, FIRST) != NULL);
            CHECK_INT(log_read_record(log, block, first + 8, modes[i], &record, &error), CAIRN_E_CORRUPT);
            CHECK_TOLD(log_read_record(log, block, first + 9, modes[i], &record, &error));
            block_free(block);
        }
        CHECK_INT(os_sim_flip(disk->sim, FIRST, at, 3), 0);
    }
    check_all(disk, log);
    cairn_log_close(log);
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
        struct batch_head head;
        CHECK(batch_head_read(bytes, &head) == NULL);
        batch_head_write((uint8_t *)maker.out.data, &head); /* its checksum holds */
        size_t front = batch_front_size(CATEGORY.size, 1), size = front + bytes.size;
        struct frame frame = {(uint32_t)pad8(FRAME_HEADER_SIZE + size), 1, 1, 1, disk->time_us};
        uint8_t *frame_bytes = calloc(1, frame.size), *record = frame_bytes + FRAME_HEADER_SIZE;
        batch_front_encode(record, 0, &id, 3, CATEGORY, count, 1, bytes);
        memcpy(record + front, bytes.data, bytes.size);
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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(events_of_batches_are_events),
        RUN(a_batch_is_one_thing),
        RUN(every_byte_of_a_batch_is_checked),
        RUN(a_batch_is_there_whole_or_not_at_all),
        RUN(damage_is_not_read),
        RUN(what_is_no_batch_is_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
