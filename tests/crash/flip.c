/* A byte is flipped, anywhere in any file of a log: it is noticed, and never returned as data.
 *
 * A log with sealed segments, an active one and several index runs is stopped cleanly on the simulated disk. For each
 * byte a copy of the disk is made with that byte flipped. It is noticed when opening is refused, a read
 * answers "corrupt", or verify reports a fault, each naming the file and a place in it; or else it has been
 * made good (the index and the segments' footers are derived: then the byte is gone from the disk, and
 * every answer is right). */
#include "play.h"

#include <os/twin.h>

#define FOLDER "data"
#define FILES_MAX 64

static struct {
    uint64_t flips, refused, unreadable, verified, healed;
} tally;

struct file {
    char path[128];
    uint64_t size;
};

static struct {
    struct file files[FILES_MAX];
    size_t count;
    const char *folder;
} listed;

static void
note_file(void *context, const char *name)
{
    struct os_sim *sim = context;
    struct file *file = &listed.files[listed.count];
    CHECK(listed.count < FILES_MAX);
    snprintf(file->path, sizeof file->path, "%s/%s", listed.folder, name);
    int64_t size = os_sim_file_size(sim, file->path);
    if (strcmp(name, "LOCK") == 0 || size <= 0)
        return; /* a folder, or nothing to flip */
    file->size = (uint64_t)size;
    listed.count++;
}

static void
list_files(struct os_sim *sim)
{
    static const char *const folders[] = {FOLDER, FOLDER "/segments", FOLDER "/index"};
    listed.count = 0;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        listed.folder = folders[i];
        CHECK_INT(os_list(os_sim_os(sim), folders[i], note_file, sim), 0);
    }
}

static cairn_err
open_log(struct os_sim *sim, struct log **ret, cairn_error *error)
{
    struct log_options options;
    cairn_log_defaults(&options);
    options.create = options.no_background = true;
    options.segment_size_bytes = 64 << 10;
    options.index_memory_events = 40;
    return cairn_log_open(os_sim_os(sim), FOLDER, &options, ret, error);
}

/* Two sealed segments at least, an active one, removed events, index runs. */
static struct os_sim *
make_log(struct world *world, uint64_t seed)
{
    struct os_sim *sim = os_sim_new(seed);
    struct play play = {.world = world, .random = seed};
    CHECK(sim != NULL);
    EXPECT_OK(open_log(sim, &play.log, &play.error), &play.error);
    for (unsigned i = 0; i < 60; i++)
        play_do(&play, i % 5 == 0 ? play_many : play_append);
    for (unsigned i = 0; i < 4; i++)
        play_do(&play, play_bulk);
    play_do(&play, play_delete);
    play_do(&play, play_retention);
    play_do(&play, play_maintain);
    play_do(&play, play_scavenge);
    for (unsigned i = 0; i < 3; i++)
        play_do(&play, play_bulk);
    for (unsigned i = 0; i < 20; i++)
        play_do(&play, play_append);
    world_check(world, play.log);
    cairn_log_close(play.log);
    list_files(sim);
    return sim;
}

/* Does the text name this file? The index says only the name within its folder. */
static bool
names_file(const char *text, const struct file *file)
{
    return strstr(text, strrchr(file->path, '/') + 1) != NULL;
}

/* ---- reading what may be damaged --------------------------------------------------------------- */

/* What a read answers is right, or it is "corrupt". True: it is right. */
static bool
is_right(cairn_err err, const cairn_error *error)
{
    EXPECT(err == CAIRN_OK || err == CAIRN_E_CORRUPT, "a read answered %s (%s)", cairn_err_name(err),
           error->detail);
    EXPECT(err == CAIRN_OK || strstr(error->detail, "byte") != NULL,
           "the detail names no place: %s", error->detail);
    return err == CAIRN_OK;
}

/* Read everything, forward or backward; the events must be those of the world. False: some are damaged. */
static bool
read_all(const struct world *world, struct log *log, cairn_direction direction)
{
    cairn_error error = {0};
    cairn_read_options options = {.system = true, .direction = direction,
                                  .from = direction == CAIRN_BACKWARD ? CAIRN_FROM_END : 0};
    struct log_reader *reader;
    EXPECT_OK(cairn_log_read_all(log, &options, &reader, &error), &error);
    cairn_err err;
    cairn_recorded event;
    while ((err = cairn_log_reader_next(reader, &event, &error)) == CAIRN_OK) {
        EXPECT(event.position < world->acked, "position %llu was read",
               (unsigned long long)event.position);
        const struct fact *fact = &world->facts[event.position];
        char stream[64];
        EXPECT(event.revision == fact->revision && event.time_us == fact->time_us
                   && event.scope == fact_scope(fact)
                   && cairn_str_equal(event.stream, cairn_cstr(fact_stream(fact, stream))),
               "position %llu: wrong fields", (unsigned long long)event.position);
        if (!fact->is_retention)
            check_event(fact, &event.event, event.position);
    }
    cairn_log_reader_free(reader);
    return err == CAIRN_E_END || is_right(err, &error);
}

static bool
read_streams(const struct world *world, struct log *log)
{
    bool right = true;
    for (unsigned i = 0; i < STREAMS; i++) {
        cairn_error error = {0};
        cairn_read_options options = {.scope = stream_names[i].scope};
        struct log_reader *reader;
        cairn_recorded event;
        int64_t revision = -1;
        cairn_err err = cairn_log_read_stream(log, cairn_cstr(stream_names[i].name), &options,
                                              &reader, &error);
        if (!is_right(err, &error))
            return false;
        while ((err = cairn_log_reader_next(reader, &event, &error)) == CAIRN_OK) {
            EXPECT(event.position < world->acked && (int64_t)event.revision > revision
                       && world->facts[event.position].stream == i
                       && world->facts[event.position].revision == event.revision,
                   "stream %s: position %llu revision %llu is not its own", stream_names[i].name,
                   (unsigned long long)event.position, (unsigned long long)event.revision);
            check_event(&world->facts[event.position], &event.event, event.position);
            revision = (int64_t)event.revision;
        }
        cairn_log_reader_free(reader);
        right = (err == CAIRN_E_END || is_right(err, &error)) && right;
    }
    return right;
}

struct faults_seen {
    const struct file *file;
    uint64_t offset;
    bool named;
    uint64_t nearest; /* reported offset, at or before the flip */
};

static bool
note_fault(void *context, const char *file, uint64_t offset, const char *what)
{
    struct faults_seen *seen = context;
    EXPECT(what[0] != '\0', "a fault without words");
    seen->named |= names_file(file, seen->file);
    if (names_file(file, seen->file) && offset <= seen->offset + 64)
        seen->nearest = offset;
    return true;
}

/* True: verify found it, and named the file. */
static bool
verify_finds(struct log *log, const struct file *file, uint64_t offset)
{
    struct faults_seen seen = {.file = file, .offset = offset};
    cairn_verify_report report;
    cairn_error error = {0};
    cairn_err err = cairn_log_verify(log, note_fault, NULL, &seen, &report, &error);
    EXPECT(err == CAIRN_OK || err == CAIRN_E_CORRUPT, "verify answered %s (%s)", cairn_err_name(err),
           error.detail);
    EXPECT((err == CAIRN_OK) == (report.faults == 0), "verify answered %s with %llu faults",
           cairn_err_name(err), (unsigned long long)report.faults);
    EXPECT(err == CAIRN_OK || seen.named, "verify found faults, but named other files");
    return err == CAIRN_E_CORRUPT;
}

/* The byte on the disk; -1 when the file has no such byte. */
static int
byte_at(struct os_sim *sim, const struct file *file, uint64_t offset)
{
    struct os_file *handle;
    uint8_t byte;
    if (os_open(os_sim_os(sim), file->path, OS_READ, &handle) != 0)
        return -1;
    ssize_t n = os_pread(os_sim_os(sim), handle, &byte, 1, offset);
    (void)os_close(os_sim_os(sim), handle);
    return n == 1 ? byte : -1;
}

/* ---- one flip ------------------------------------------------------------------------------------- */

static void
flip_stopped(struct os_sim *sim, const struct world *original, const struct file *file,
             uint64_t offset, uint8_t bits)
{
    struct os_sim *disk = os_sim_after_cut(sim, OS_CUT_KEEP, 1);
    CHECK(disk != NULL);
    CHECK_INT(os_sim_flip(disk, file->path, offset, bits), 0);
    int flipped = byte_at(disk, file, offset);
    struct world world;
    world_copy(&world, original);
    struct log *log;
    cairn_error error = {0};
    tally.flips++;
    cairn_err err = open_log(disk, &log, &error);
    if (err != CAIRN_OK) {
        EXPECT(err == CAIRN_E_CORRUPT || err == CAIRN_E_VERSION, "opening: %s (%s)",
               cairn_err_name(err), error.detail);
        EXPECT(names_file(error.detail, file), "another file is named: %s", error.detail);
        EXPECT(err == CAIRN_E_VERSION || strstr(error.detail, "byte") != NULL, "no place is named: %s",
               error.detail);
        tally.refused++;
    } else {
        bool right = read_all(&world, log, CAIRN_FORWARD);
        right = read_all(&world, log, CAIRN_BACKWARD) && right;
        right = read_streams(&world, log) && right;
        bool found = verify_finds(log, file, offset);
        EXPECT(right || found, "a read found it, verify did not");
        tally.unreadable += !right;
        tally.verified += found;
        if (!found) {
            EXPECT_OK(cairn_log_maintain(log, &error), &error); /* a lost footer is written again */
            EXPECT(byte_at(disk, file, offset) != flipped, "nobody noticed");
            world_check(&world, log);
            world_verify(&world, log);
            tally.healed++;
        }
        cairn_log_close(log);
    }
    world_free(&world);
    os_sim_free(disk);
}

/* The same while the log is open: verify reads what is on the disk. */
static void
flip_running(struct os_sim *sim, const struct world *original, const struct file *file,
             uint64_t offset, uint8_t bits)
{
    struct os_sim *disk = os_sim_after_cut(sim, OS_CUT_KEEP, 1);
    CHECK(disk != NULL);
    struct log *log;
    cairn_error error = {0};
    EXPECT_OK(open_log(disk, &log, &error), &error);
    tally.flips++;
    if (os_sim_flip(disk, file->path, offset, bits) == 0
        && (uint64_t)os_sim_file_size(disk, file->path) == file->size) {
        bool right = read_all(original, log, CAIRN_FORWARD);
        right = read_streams(original, log) && right;
        bool found = verify_finds(log, file, offset);
        EXPECT(found, "verify found nothing in a running log");
        tally.unreadable += !right;
        tally.verified += found;
    }
    cairn_log_close(log);
    os_sim_free(disk);
}

/* Every byte of small files and of the ends of larger ones, and a sample between. */
static uint64_t
next_offset(const struct file *file, uint64_t offset, uint64_t stride, uint64_t *random)
{
    bool dense = offset < 160 || offset + 160 > file->size || file->size < 400;
    return offset + (dense ? 1 : 1 + test_random(random) % (2 * stride));
}

static void
flip_all(void (*flip)(struct os_sim *, const struct world *, const struct file *, uint64_t, uint8_t),
         uint64_t stride)
{
    uint64_t seed = test_seed(), random = seed;
    struct world world;
    world_new(&world);
    struct os_sim *sim = make_log(&world, seed);
    memset(&tally, 0, sizeof tally);
    stride = stride / test_scale() + 1;
#ifdef __SANITIZE_ADDRESS__
    stride *= 4;
#endif
    for (size_t i = 0; i < listed.count; i++) {
        const struct file *file = &listed.files[i];
        for (uint64_t at = 0; at < file->size; at = next_offset(file, at, stride, &random)) {
            uint8_t bits = (uint8_t)(1 + test_random(&random) % 255);
            snprintf(world_context, sizeof world_context, "%s (%llu bytes) byte %llu, bits %02x",
                     file->path, (unsigned long long)file->size, (unsigned long long)at, bits);
            flip(sim, &world, file, at, bits);
        }
    }
    printf("%zu files, %llu flips: %llu refused when opening, %llu met by reading, %llu found by verify, "
           "%llu made good\n", listed.count, (unsigned long long)tally.flips,
           (unsigned long long)tally.refused, (unsigned long long)tally.unreadable,
           (unsigned long long)tally.verified, (unsigned long long)tally.healed);
    os_sim_free(sim);
    world_free(&world);
    CHECK(listed.count >= 6 && tally.flips > 1000);
}

/* Goal: damage to a stopped log is noticed or made good, wherever it is.
 * Method: flip, open, read everything, verify. */
TEST(flips_in_a_stopped_log)
{
    flip_all(flip_stopped, 40);
    CHECK(tally.refused > 0 && tally.unreadable > 0 && tally.verified > 0 && tally.healed > 0);
}

/* Goal: verify finds damage while the log is in use.
 * Method: open, flip, read everything, verify. */
TEST(flips_in_a_running_log)
{
    flip_all(flip_running, 80);
    CHECK(tally.unreadable > 0 && tally.verified > 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(flips_in_a_stopped_log), RUN(flips_in_a_running_log)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
