/* Opening a log whose files are not as a clean stop leaves them. The files are made by hand here, frame by
 * frame, so that each test holds exactly one thing that recovery must decide. */
#include <log/log_int.h>
#include "os_hook.h"
#include <test.h>

#include <errno.h>

#define FOLDER "data"
#define FIRST FOLDER "/segments/00000001.seg"
#define SECOND FOLDER "/segments/00000002.seg"

/* ---- logs and files ----------------------------------------------------------------------------- */

static cairn_err
try_open(struct os *os, struct log **ret, cairn_error *error)
{
    struct log_options options;
    cairn_log_defaults(&options);
    options.create = options.no_background = true;
    options.segment_size_bytes = 64 << 10;
    options.index_memory_events = 100;
    return cairn_log_open(os, FOLDER, &options, ret, error);
}

static struct log *
open_log(struct os *os)
{
    struct log *log;
    cairn_error error = {0};
    if (try_open(os, &log, &error) != CAIRN_OK)
        fail_msg("it cannot be opened: %s", error.detail);
    return log;
}

static void
append(struct log *log, const char *type, size_t data_size)
{
    static char data[32 << 10];
    cairn_event event = {.type = cairn_cstr(type), .data = {data, data_size}};
    cairn_write write = {CAIRN_STR("s"), CAIRN_ANY, &event, 1};
    cairn_append_request request = {.writes = &write, .write_count = 1};
    cairn_at at;
    cairn_error error = {0};
    if (cairn_log_append(log, &request, &at, &error) != CAIRN_OK)
        fail_msg("append: %s", error.detail);
}

/* The types of all events, one letter each: "abc". */
static const char *
types_of(struct log *log)
{
    static char types[256];
    struct log_reader *reader;
    cairn_read_options options = {0};
    cairn_recorded event;
    size_t n = 0;
    cairn_err err;
    CHECK_OK(cairn_log_read_all(log, &options, &reader, NULL));
    while ((err = cairn_log_reader_next(reader, &event, NULL)) == CAIRN_OK && n < sizeof types - 1) {
        CHECK_INT(event.position, n);
        CHECK_INT(event.revision, n);
        types[n++] = event.event.type.data[0];
    }
    types[n] = '\0';
    CHECK_INT(err, CAIRN_E_END);
    cairn_log_reader_free(reader);
    return types;
}

/* The disk as the power leaves it now, with the log still open: no closing frame, no footer. */
static struct os_sim *
cut(struct os_sim *sim, struct log *log)
{
    struct os_sim *disk = os_sim_after_cut(sim, OS_CUT_KEEP, 1);
    CHECK(disk != NULL);
    cairn_log_close(log);
    os_sim_free(sim);
    return disk;
}

static struct os_sim *
new_disk(void)
{
    struct os_sim *sim = os_sim_new(7);
    CHECK(sim != NULL);
    return sim;
}

static void
read_at(struct os_sim *sim, const char *path, uint64_t offset, void *to, size_t size)
{
    struct os_file *file;
    CHECK_INT(os_open(os_sim_os(sim), path, OS_READ, &file), 0);
    CHECK_INT(os_pread(os_sim_os(sim), file, to, size, offset), size);
    CHECK_INT(os_close(os_sim_os(sim), file), 0);
}

static void
write_at(struct os_sim *sim, const char *path, uint64_t offset, const void *bytes, size_t size)
{
    struct os_file *file;
    CHECK_INT(os_open(os_sim_os(sim), path, OS_WRITE | OS_CREATE, &file), 0);
    CHECK_INT(os_pwrite(os_sim_os(sim), file, bytes, size, offset), size);
    CHECK_INT(os_sync(os_sim_os(sim), file), 0);
    CHECK_INT(os_close(os_sim_os(sim), file), 0);
    CHECK_INT(os_sync_dir(os_sim_os(sim), FOLDER "/segments"), 0);
}

static void
cut_file(struct os_sim *sim, const char *path, uint64_t size)
{
    struct os_file *file;
    CHECK_INT(os_open(os_sim_os(sim), path, OS_WRITE, &file), 0);
    CHECK_INT(os_truncate(os_sim_os(sim), file, size), 0);
    CHECK_INT(os_sync(os_sim_os(sim), file), 0);
    CHECK_INT(os_close(os_sim_os(sim), file), 0);
}

static uint32_t
seed_of(struct os_sim *sim, const char *path)
{
    uint8_t header[SEGMENT_HEADER_SIZE];
    read_at(sim, path, 0, header, sizeof header);
    return segment_seed(load64(header + 40));
}

/* Where frame number `index` begins. */
static uint64_t
frame_offset(struct os_sim *sim, unsigned index)
{
    uint64_t at = SEGMENT_HEADER_SIZE;
    uint8_t header[FRAME_HEADER_SIZE];
    for (unsigned i = 0; i < index; i++) {
        read_at(sim, FIRST, at, header, sizeof header);
        CHECK_INT(load32(header), FRAME_MAGIC);
        at += load32(header + 8);
    }
    return at;
}

/* The bytes of an append of one event to stream "s", as the log would write it; its size. */
static size_t
make_frame(uint32_t seed, char type, uint64_t position, uint64_t durable, int64_t time_us,
           uint8_t to[512])
{
    struct log_options options;
    cairn_log_defaults(&options);
    cairn_event event = {.type = {&type, 1}, .data = CAIRN_STR("some data")};
    event.id.bytes[0] = (uint8_t)type;
    size_t size = record_size(&options, CAIRN_STR("s"), &event, 0, NULL);
    struct frame frame = {(uint32_t)pad8(FRAME_HEADER_SIZE + size), 1, position, durable, time_us};
    CHECK(size > 0 && frame.size <= 512);
    memset(to, 0, 512);
    record_encode(to + FRAME_HEADER_SIZE, size, 0, CAIRN_STR("s"), &event);
    uint32_t crc = record_place(to + FRAME_HEADER_SIZE, seed, position, position, time_us);
    frame_place(to, seed, &frame, frame_carry(0, crc));
    return frame.size;
}

/* A disk with a log that holds "a", cut before a clean stop, and where its next frame goes. */
static struct os_sim *
disk_with_one(uint64_t *ret_tail)
{
    struct os_sim *sim = new_disk();
    struct log *log = open_log(os_sim_os(sim));
    append(log, "a", 10);
    sim = cut(sim, log);
    *ret_tail = frame_offset(sim, 1);
    return sim;
}

static int64_t
now_of(struct os_sim *sim)
{
    return os_now_us(os_sim_os(sim));
}

static void
check_refused(struct os_sim *sim, cairn_err should, const char *file, uint64_t offset)
{
    struct log *log = NULL;
    cairn_error error = {0};
    char place[32];
    snprintf(place, sizeof place, "at byte %llu:", (unsigned long long)offset);
    CHECK_INT(try_open(os_sim_os(sim), &log, &error), should);
    if (strstr(error.detail, file) == NULL || (offset > 0 && strstr(error.detail, place) == NULL))
        fail_msg("'%s' does not name %s %s", error.detail, file, place);
}

static void
close_all(struct log *log, struct os_sim *sim)
{
    cairn_log_close(log);
    os_sim_free(sim);
}

/* ---- a torn tail, or damage -------------------------------------------------------------------------- */

/* Goal: the newest frame, for which nothing vouches, may be torn: it is cut off.
 * Method: flip a byte of it in a log that was not stopped cleanly. */
TEST(unvouched_frame_is_cut_off)
{
    struct os_sim *sim = new_disk();
    struct log *log = open_log(os_sim_os(sim));
    append(log, "a", 10);
    append(log, "b", 10);
    append(log, "c", 10);
    sim = cut(sim, log);
    CHECK_INT(os_sim_flip(sim, FIRST, frame_offset(sim, 2) + 90, 4), 0);
    log = open_log(os_sim_os(sim));
    CHECK_STR(types_of(log), "ab");
    cairn_stats stats;
    cairn_log_stats(log, &stats);
    CHECK(stats.discarded_bytes > 0);
    append(log, "d", 10);
    cairn_log_close(log);
    log = open_log(os_sim_os(sim));
    CHECK_STR(types_of(log), "abd");
    close_all(log, sim);
}

/* Goal: a frame that a later one vouches for was acknowledged: nothing is cut off, opening is refused.
 * Method: flip a byte of the first of three. */
TEST(vouched_frame_is_damage)
{
    struct os_sim *sim = new_disk();
    struct log *log = open_log(os_sim_os(sim));
    append(log, "a", 10);
    append(log, "b", 10);
    append(log, "c", 10);
    sim = cut(sim, log);
    CHECK_INT(os_sim_flip(sim, FIRST, SEGMENT_HEADER_SIZE + 90, 4), 0);
    check_refused(sim, CAIRN_E_CORRUPT, FIRST, SEGMENT_HEADER_SIZE);
    os_sim_free(sim);
}

/* Goal: a clean stop vouches for the newest frame too.
 * Method: flip each byte of it after a clean stop. */
TEST(clean_stop_vouches_for_the_last_frame)
{
    struct os_sim *sim = new_disk();
    struct log *log = open_log(os_sim_os(sim));
    append(log, "a", 10);
    append(log, "b", 10);
    cairn_log_close(log);
    uint64_t begin = frame_offset(sim, 1), end = frame_offset(sim, 2);
    for (uint64_t at = begin; at < end; at++) {
        struct os_sim *disk = os_sim_after_cut(sim, OS_CUT_KEEP, 1);
        CHECK_INT(os_sim_flip(disk, FIRST, at, 1), 0);
        check_refused(disk, CAIRN_E_CORRUPT, FIRST, begin);
        os_sim_free(disk);
    }
    os_sim_free(sim);
}

/* Goal: whole frames behind a torn one of the same batch are cut off with it, and never come back.
 * Method: write such a batch by hand; open, put a frame of the same size in the torn one's place, open again. */
TEST(frames_after_a_torn_one_stay_away)
{
    uint64_t tail;
    uint8_t b[512], c[512];
    struct os_sim *sim = disk_with_one(&tail);
    uint32_t seed = seed_of(sim, FIRST);
    size_t size = make_frame(seed, 'b', 1, 1, now_of(sim), b);
    (void)make_frame(seed, 'c', 2, 1, now_of(sim), c);
    b[size - 20] ^= 1;
    write_at(sim, FIRST, tail, b, size);
    write_at(sim, FIRST, tail + size, c, size);

    struct os_sim *torn_again = os_sim_after_cut(sim, OS_CUT_KEEP, 1);
    struct log *log = open_log(os_sim_os(sim));
    CHECK_STR(types_of(log), "a");
    sim = cut(sim, log);
    b[size - 20] ^= 1;
    write_at(sim, FIRST, tail, b, size); /* as if "b" had now been appended again, and nothing else */
    log = open_log(os_sim_os(sim));
    CHECK_STR(types_of(log), "ab");
    close_all(log, sim);

    /* Without recovery in between both are there: so the frame itself was good. */
    write_at(torn_again, FIRST, tail, b, size);
    log = open_log(os_sim_os(torn_again));
    CHECK_STR(types_of(log), "abc");
    close_all(log, torn_again);
}

/* Goal: the durable position in a later frame decides, not the mere presence of one.
 * Method: the same torn frame twice, followed by frames that say different things. */
TEST(durable_position_decides)
{
    for (uint64_t durable = 1; durable <= 2; durable++) {
        uint64_t tail;
        uint8_t b[512], c[512];
        struct os_sim *sim = disk_with_one(&tail);
        uint32_t seed = seed_of(sim, FIRST);
        size_t size = make_frame(seed, 'b', 1, 1, now_of(sim), b);
        (void)make_frame(seed, 'c', 2, durable, now_of(sim), c);
        b[60] ^= 1;
        write_at(sim, FIRST, tail, b, size);
        write_at(sim, FIRST, tail + size, c, size);
        if (durable == 2) {
            check_refused(sim, CAIRN_E_CORRUPT, FIRST, tail);
            os_sim_free(sim);
            continue;
        }
        struct log *log = open_log(os_sim_os(sim));
        CHECK_STR(types_of(log), "a");
        close_all(log, sim);
    }
}

static void
ignore_answer(void *context, cairn_err err, const cairn_at *at __attribute__((unused)),
              const cairn_error *error __attribute__((unused)))
{
    *(cairn_err *)context = err;
}

static cairn_err answer_meanwhile;

/* Two appends, of "d" and "e", that come while a batch is being synced: they are in the one after it. */
static void
append_meanwhile(void *context)
{
    for (const char *type = "de"; *type != '\0'; type++) {
        cairn_event event = {.type = {type, 1}, .data = CAIRN_STR("some data")};
        cairn_write write = {CAIRN_STR("s"), CAIRN_ANY, &event, 1};
        cairn_append_request request = {.writes = &write, .write_count = 1};
        CHECK_OK(cairn_log_append_async(context, &request, ignore_answer, &answer_meanwhile, NULL));
    }
}

/* Goal: only the newest batch can be torn: damage to the one before it is damage, also when the newest was placed
 * while that one was being written.
 * Method: batches "a", "b", "c" and "de"; the last one comes in the middle of the sync before. Flip each byte of
 * each frame. */
TEST(newest_batch_vouches_for_the_one_before)
{
    struct os_sim *sim = new_disk();
    struct os_hook hook;
    struct log *log = open_log(os_hook_init(&hook, os_sim_os(sim)));
    append(log, "a", 10);
    append(log, "b", 10);
    answer_meanwhile = CAIRN_E_IO;
    os_hook_arm(&hook, HOOK_SYNC, NULL, append_meanwhile, log);
    append(log, "c", 10);
    CHECK_OK(answer_meanwhile);
    CHECK_INT(log->stats.batches, 4);
    sim = cut(sim, log);
    for (unsigned frame = 0; frame < 5; frame++) {
        uint64_t begin = frame_offset(sim, frame), end = frame_offset(sim, frame + 1);
        for (uint64_t at = begin; at < end; at++) {
            struct os_sim *disk = os_sim_after_cut(sim, OS_CUT_KEEP, 1);
            CHECK_INT(os_sim_flip(disk, FIRST, at, 1), 0);
            if (frame < 3) {
                check_refused(disk, CAIRN_E_CORRUPT, FIRST, begin);
                os_sim_free(disk);
                continue;
            }
            log = open_log(os_sim_os(disk));
            CHECK_STR(types_of(log), frame == 3 ? "abc" : "abcd");
            close_all(log, disk);
        }
    }
    os_sim_free(sim);
}

/* Goal: a frame of another segment is never taken for one of this.
 * Method: a good frame, but made for another segment's id. */
TEST(frame_of_another_segment_does_not_count)
{
    uint64_t tail;
    uint8_t b[512];
    struct os_sim *sim = disk_with_one(&tail);
    size_t size = make_frame(segment_seed(12345), 'b', 1, 1, now_of(sim), b);
    write_at(sim, FIRST, tail, b, size);
    struct log *log = open_log(os_sim_os(sim));
    CHECK_STR(types_of(log), "a");
    close_all(log, sim);
}

/* Goal: a frame must continue the one before it, in position and in time.
 * Method: whole frames that do not. */
TEST(frame_that_does_not_continue_is_cut_off)
{
    for (int kind = 0; kind < 3; kind++) {
        uint64_t tail;
        uint8_t b[512];
        struct os_sim *sim = disk_with_one(&tail);
        int64_t time_us = kind == 1 ? 1 : now_of(sim);
        size_t size = make_frame(seed_of(sim, FIRST), 'b', kind == 0 ? 2 : 1, kind == 2 ? 1 : 0,
                                 time_us, b);
        write_at(sim, FIRST, tail, b, size);
        struct log *log = open_log(os_sim_os(sim));
        CHECK_STR(types_of(log), kind == 2 ? "ab" : "a");
        close_all(log, sim);
    }
}

/* ---- segments that are not whole ----------------------------------------------------------------------- */

/* Goal: a segment whose making was cut off is made anew.
 * Method: several forms of such a file; then work until the segment is needed. */
TEST(unborn_segment_is_made_anew)
{
    static const uint8_t zeros[SEGMENT_HEADER_SIZE];
    for (size_t size = 0; size <= SEGMENT_HEADER_SIZE; size += 16) {
        uint64_t tail;
        struct os_sim *sim = disk_with_one(&tail);
        uint8_t header[SEGMENT_HEADER_SIZE];
        read_at(sim, FIRST, 0, header, sizeof header);
        write_at(sim, SECOND, 0, zeros, size);
        write_at(sim, SECOND, 0, header, size / 2); /* torn: the beginning of one */
        struct log *log = open_log(os_sim_os(sim));
        CHECK_STR(types_of(log), "a");
        for (char type[2] = "b"; type[0] <= 'h'; type[0]++)
            append(log, type, 20000);
        CHECK(os_sim_file_size(sim, SECOND) > 20000);
        cairn_log_close(log);
        log = open_log(os_sim_os(sim));
        CHECK_STR(types_of(log), "abcdefgh");
        close_all(log, sim);
    }
}

/* Goal: a segment that was born and has lost its header is damage: it may hold acknowledged events.
 * Method: damage the header of a last segment that holds frames. */
TEST(born_segment_without_header_is_damage)
{
    struct os_sim *sim = new_disk();
    struct log *log = open_log(os_sim_os(sim));
    for (char type[2] = "a"; type[0] <= 'e'; type[0]++)
        append(log, type, 20000);
    sim = cut(sim, log);
    CHECK(os_sim_file_size(sim, SECOND) > SEGMENT_HEADER_SIZE);
    CHECK_INT(os_sim_flip(sim, SECOND, 50, 1), 0);
    check_refused(sim, CAIRN_E_CORRUPT, SECOND, 16);
    os_sim_free(sim);
}

/* Goal: when making a segment fails late, smaller appends still go into the one before; the file that stayed behind
 * does not count, now or after opening.
 * Method: syncing the folder fails, and so does taking the file away. */
TEST(segment_left_behind_does_not_count)
{
    struct os_sim *sim = new_disk();
    struct os_faulty faulty;
    os_faulty_init(&faulty, os_sim_os(sim));
    struct log *log = open_log(&faulty.os);
    for (char type[2] = "a"; type[0] <= 'c'; type[0]++)
        append(log, type, 20000);
    static char data[20000];
    cairn_event event = {.type = CAIRN_STR("x"), .data = {data, sizeof data}};
    cairn_write write = {CAIRN_STR("s"), CAIRN_ANY, &event, 1};
    cairn_append_request request = {.writes = &write, .write_count = 1};
    cairn_at at;
    cairn_error error = {0};
    faulty.kinds = OS_FAULT_META;
    faulty.calls = 0;
    faulty.fail_at = 2; /* open, sync_dir, unlink */
    faulty.fail_forever = true;
    CHECK_INT(cairn_log_append(log, &request, &at, &error), CAIRN_E_IO);
    CHECK_STR(faulty.fired_at, "sync_dir");
    faulty.fail_at = 0;
    CHECK(os_sim_file_size(sim, SECOND) >= SEGMENT_HEADER_SIZE);
    append(log, "d", 10);
    sim = cut(sim, log);
    log = open_log(os_sim_os(sim));
    CHECK_STR(types_of(log), "abcd");
    append(log, "e", 20000);
    append(log, "f", 20000);
    cairn_log_close(log);
    log = open_log(os_sim_os(sim));
    CHECK_STR(types_of(log), "abcdef");
    close_all(log, sim);
}

/* Goal: a missing segment is damage, not an end.
 * Method: take away the middle one of three, then the first. */
TEST(missing_segment_is_damage)
{
    struct os_sim *sim = new_disk();
    struct log *log = open_log(os_sim_os(sim));
    for (char type[2] = "a"; type[0] <= 'i'; type[0]++)
        append(log, type, 20000);
    cairn_log_close(log);
    for (int i = 0; i < 2; i++) {
        struct os_sim *disk = os_sim_after_cut(sim, OS_CUT_KEEP, 1);
        CHECK_INT(os_unlink(os_sim_os(disk), i ? FIRST : SECOND), 0);
        check_refused(disk, CAIRN_E_CORRUPT, i ? "00000002.seg" : "00000003.seg", 0);
        os_sim_free(disk);
    }
    os_sim_free(sim);
}

/* ---- sealing -------------------------------------------------------------------------------------------- */

/* A disk with a sealed first segment of "abc" and "d" in the second; where the first one's footer begins. */
static struct os_sim *
disk_with_sealed(uint64_t *ret_footer, uint64_t *ret_size)
{
    struct os_sim *sim = new_disk();
    struct log *log = open_log(os_sim_os(sim));
    for (char type[2] = "a"; type[0] <= 'd'; type[0]++)
        append(log, type, 20000);
    CHECK_OK(cairn_log_maintain(log, NULL));
    sim = cut(sim, log);
    uint8_t trailer[FOOTER_TRAILER_SIZE];
    *ret_size = (uint64_t)os_sim_file_size(sim, FIRST);
    read_at(sim, FIRST, *ret_size - sizeof trailer, trailer, sizeof trailer);
    CHECK_INT(load32(trailer + 12), FOOTER_MAGIC);
    *ret_footer = load64(trailer);
    return sim;
}

static void
check_sealed_again(struct os_sim *sim, uint64_t size)
{
    struct log *log = open_log(os_sim_os(sim));
    cairn_verify_report report;
    CHECK_STR(types_of(log), "abcd");
    CHECK_OK(cairn_log_verify(log, NULL, NULL, NULL, &report, NULL));
    CHECK_OK(cairn_log_maintain(log, NULL));
    CHECK_OK(cairn_log_verify(log, NULL, NULL, NULL, &report, NULL));
    CHECK_INT(os_sim_file_size(sim, FIRST), size);
    append(log, "e", 10);
    cairn_log_close(log);
    log = open_log(os_sim_os(sim));
    CHECK(atomic_load(&atomic_load(&log->slots[0])->sealed));
    CHECK_STR(types_of(log), "abcde");
    close_all(log, sim);
}

/* Goal: sealing that was cut off is done again, whatever had reached the disk.
 * Method: footers that are cut short, torn, or followed by old zeros. */
TEST(interrupted_sealing_is_done_again)
{
    uint64_t footer, size;
    static const uint8_t zeros[4096];
    for (int kind = 0; kind < 5; kind++) {
        struct os_sim *sim = disk_with_sealed(&footer, &size);
        if (kind == 0) /* nothing of it */
            cut_file(sim, FIRST, footer);
        else if (kind == 1) /* half of it */
            cut_file(sim, FIRST, footer + (size - footer) / 2);
        else if (kind == 2) /* all of it, but the file was not cut behind it */
            write_at(sim, FIRST, size, zeros, sizeof zeros);
        else if (kind == 3) /* the last sector and not the first */
            write_at(sim, FIRST, footer, zeros, 64);
        else /* only the last bytes */
            write_at(sim, FIRST, footer, zeros, size - footer - FOOTER_TRAILER_SIZE);
        check_sealed_again(sim, size);
    }
}

/* Goal: verify finds nothing wrong with a segment that is full and not yet sealed.
 * Method: verify before the background work is done. */
TEST(full_segment_is_no_fault_before_it_is_sealed)
{
    struct os_sim *sim = new_disk();
    struct log *log = open_log(os_sim_os(sim));
    for (char type[2] = "a"; type[0] <= 'd'; type[0]++)
        append(log, type, 20000);
    cairn_verify_report report;
    CHECK_OK(cairn_log_verify(log, NULL, NULL, NULL, &report, NULL));
    CHECK_INT(report.faults, 0);
    close_all(log, sim);
}

/* Goal: damage in a full segment is found although its footer is gone too.
 * Method: flip a byte of a frame, and take the footer away. */
TEST(damage_in_an_unsealed_segment_is_found)
{
    uint64_t footer, size;
    struct os_sim *sim = disk_with_sealed(&footer, &size);
    cut_file(sim, FIRST, footer);
    uint64_t second = frame_offset(sim, 1);
    CHECK_INT(os_sim_flip(sim, FIRST, second + 500, 1), 0);
    check_refused(sim, CAIRN_E_CORRUPT, FIRST, second);
    os_sim_free(sim);
}

/* ---- taken back -------------------------------------------------------------------------------------------- */

/* Goal: what a full disk made us take back never comes back, and what follows is not mistaken for it.
 * Method: a write fails half done; a shorter append takes its place; power cuts, many of them. */
TEST(rewound_frame_stays_away)
{
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct os_sim *sim = os_sim_new(seed);
        struct os_faulty faulty;
        os_faulty_init(&faulty, os_sim_os(sim));
        struct log *log = open_log(&faulty.os);
        append(log, "a", 10);
        static char data[9000];
        cairn_event events[3];
        for (size_t i = 0; i < 3; i++)
            events[i] = (cairn_event){.type = CAIRN_STR("x"), .data = {data, sizeof data}};
        cairn_write write = {CAIRN_STR("s"), CAIRN_ANY, events, 1 + seed % 3};
        cairn_append_request request = {.writes = &write, .write_count = 1};
        cairn_at at;
        faulty.kinds = OS_FAULT_WRITE;
        faulty.errno_value = ENOSPC;
        faulty.torn = seed % 2;
        faulty.calls = 0;
        faulty.fail_at = 1;
        CHECK_INT(cairn_log_append(log, &request, &at, NULL), CAIRN_E_NOSPACE);
        CHECK_STR(types_of(log), "a");
        append(log, "b", 10);
        append(log, "c", 10);
        CHECK_STR(types_of(log), "abc");
        struct os_sim *disk = os_sim_after_cut(sim, OS_CUT_RANDOM, seed);
        close_all(log, sim);
        log = open_log(os_sim_os(disk));
        CHECK_STR(types_of(log), "abc");
        close_all(log, disk);
    }
}

/* Appends in one batch, as concurrent callers make them: while "somebody commits", they queue. */
static cairn_err
append_together(struct log *log, const char *types)
{
    cairn_err answer = CAIRN_OK;
    pthread_mutex_lock(&log->lock);
    log->committing = true;
    pthread_mutex_unlock(&log->lock);
    for (size_t i = 0; types[i] != '\0'; i++) {
        cairn_event event = {.type = {&types[i], 1}, .data = CAIRN_STR("0123456789")};
        cairn_write write = {CAIRN_STR("s"), CAIRN_ANY, &event, 1};
        cairn_append_request request = {.writes = &write, .write_count = 1};
        CHECK_OK(cairn_log_append_async(log, &request, ignore_answer, &answer, NULL));
    }
    pthread_mutex_lock(&log->lock);
    log->committing = false;
    commit_drain(log);
    pthread_mutex_unlock(&log->lock);
    return answer;
}

/* Goal: also whole frames of a batch that was taken back are gone, at once, and although the clock stands still, so that
 * a later frame has the same time.
 * Method: half of a batch of six reaches the disk; cut then, and after one more append of the same size. */
TEST(rewound_batch_stays_away)
{
    static char data[10];
    struct os_sim *sim = new_disk();
    struct os_faulty faulty;
    os_faulty_init(&faulty, os_sim_os(sim));
    struct log *log = open_log(&faulty.os);
    append(log, "a", sizeof data);
    faulty.kinds = OS_FAULT_WRITE;
    faulty.errno_value = ENOSPC;
    faulty.torn = true;
    faulty.calls = 0;
    faulty.fail_at = 1;
    CHECK_INT(append_together(log, "uvwxyz"), CAIRN_E_NOSPACE);
    CHECK(faulty.fired);
    struct os_sim *disk = os_sim_after_cut(sim, OS_CUT_KEEP, 1);
    struct log *after = open_log(os_sim_os(disk));
    CHECK_STR(types_of(after), "a");
    close_all(after, disk);

    os_sim_set_time(sim, 0);
    append(log, "b", sizeof data);
    sim = cut(sim, log);
    log = open_log(os_sim_os(sim));
    CHECK_STR(types_of(log), "ab");
    close_all(log, sim);
}

/* Goal: making the tail durable again does not depend on who wrote it.
 * Method: a process dies right after its write, before the sync; another one takes over, appends, and the
 * power goes: neither the names nor the bytes that the second one has built upon may be missing. */
TEST(inherited_files_are_made_durable)
{
    for (uint64_t call = 1;; call++) {
        struct os_sim *sim = os_sim_new(call);
        struct os_faulty faulty;
        struct log *log = NULL;
        os_faulty_init(&faulty, os_sim_os(sim));
        faulty.fail_at = call;
        faulty.fail_forever = true; /* from here on the first process is dead */
        bool opened = try_open(&faulty.os, &log, NULL) == CAIRN_OK;
        for (unsigned i = 0; opened && i < 6; i++) {
            static char data[20000];
            cairn_event event = {.type = CAIRN_STR("a"), .data = {data, sizeof data}};
            cairn_write write = {CAIRN_STR("s"), CAIRN_ANY, &event, 1};
            cairn_append_request request = {.writes = &write, .write_count = 1};
            cairn_at at;
            if (cairn_log_append(log, &request, &at, NULL) != CAIRN_OK)
                break;
        }
        cairn_log_close(log);
        bool fired = faulty.fired;

        log = open_log(os_sim_os(sim));
        char before[256];
        append(log, "z", 10);
        snprintf(before, sizeof before, "%s", types_of(log));
        struct os_sim *disk = os_sim_after_cut(sim, OS_CUT_DROP, 1);
        close_all(log, sim);
        log = open_log(os_sim_os(disk));
        CHECK_STR(types_of(log), before);
        close_all(log, disk);
        if (!fired)
            break;
    }
}

/* ---- versions ------------------------------------------------------------------------------------------------ */

/* Goal: files of an unknown version are refused by name, and not called damaged.
 * Method: raise the version of each kind of file. */
TEST(unknown_versions_are_refused)
{
    static const char *const files[] = {FOLDER "/cairn.log", FIRST};
    for (size_t i = 0; i < 2; i++) {
        uint64_t tail;
        struct os_sim *sim = disk_with_one(&tail);
        uint8_t version[4];
        struct log *log = NULL;
        cairn_error error = {0};
        store32(version, LOG_FORMAT_VERSION + 1);
        write_at(sim, files[i], 8, version, 4);
        CHECK_INT(try_open(os_sim_os(sim), &log, &error), CAIRN_E_VERSION);
        CHECK(strstr(error.detail, files[i]) != NULL && strstr(error.detail, "version 2") != NULL);
        os_sim_free(sim);
    }
}

/* Goal: an index of an unknown version is refused too, and left alone: a newer program will want it.
 * Method: raise its manifest's version, with a right checksum. */
TEST(index_of_unknown_version_is_refused)
{
    static const char path[] = FOLDER "/index/MANIFEST";
    struct os_sim *sim = new_disk();
    struct log *log = open_log(os_sim_os(sim));
    append(log, "a", 10);
    append(log, "b", 10);
    cairn_log_close(log);
    uint8_t bytes[8192];
    int64_t size = os_sim_file_size(sim, path);
    cairn_error error = {0};
    CHECK(size > 12 && size < (int64_t)sizeof bytes);
    read_at(sim, path, 0, bytes, (size_t)size);
    store32(bytes + 8, 99);
    store32(bytes + size - 4, crc32c(0, bytes, (size_t)size - 4));
    write_at(sim, path, 0, bytes, (size_t)size);
    CHECK_INT(try_open(os_sim_os(sim), &log, &error), CAIRN_E_VERSION);
    CHECK(strstr(error.detail, path) != NULL && strstr(error.detail, "version 99") != NULL);
    CHECK_INT(os_sim_file_size(sim, path), size);
    os_sim_free(sim);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(unvouched_frame_is_cut_off),
        RUN(vouched_frame_is_damage),
        RUN(clean_stop_vouches_for_the_last_frame),
        RUN(frames_after_a_torn_one_stay_away),
        RUN(durable_position_decides),
        RUN(newest_batch_vouches_for_the_one_before),
        RUN(frame_of_another_segment_does_not_count),
        RUN(frame_that_does_not_continue_is_cut_off),
        RUN(unborn_segment_is_made_anew),
        RUN(born_segment_without_header_is_damage),
        RUN(segment_left_behind_does_not_count),
        RUN(missing_segment_is_damage),
        RUN(interrupted_sealing_is_done_again),
        RUN(full_segment_is_no_fault_before_it_is_sealed),
        RUN(damage_in_an_unsealed_segment_is_found),
        RUN(rewound_frame_stays_away),
        RUN(rewound_batch_stays_away),
        RUN(inherited_files_are_made_durable),
        RUN(unknown_versions_are_refused),
        RUN(index_of_unknown_version_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
