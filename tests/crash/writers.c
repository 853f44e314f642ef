/* Many writers at once, on a disk that fails while they write.
 *
 * Their appends are large, so that batches are written ahead (commit.c) while others are being synced. At
 * a random write or sync the disk fails, or says that it is full. What must hold when the log is opened again on a
 * disk that works: what was acknowledged is there, where it was said to be; whatever else is there is whole. */
#include <base/bytes.h>
#include <errno.h>
#include <log/log.h>
#include <os/twin.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <test.h>

#define ROUNDS 40 /* × TEST_SCALE */
#define WRITERS 8
#define APPENDS 60 /* of each writer, in a round */
#define EVENTS_MAX 4
#define DATA_MAX 24000
#define OPENING_CALLS 30 /* more than making a log takes, which is to succeed */

struct stamp {
    uint32_t writer, number, index, count;
};

struct writer {
    struct log *log;
    uint64_t random;
    uint32_t number;
    uint64_t acked_at[APPENDS]; /* first position, plus 1; 0: not acknowledged */
    uint64_t refused;
    bool wrong;
    char text[400];
    char data[EVENTS_MAX][DATA_MAX];
};

static struct writer writers[WRITERS];

static cairn_err
append(struct writer *writer, uint32_t number, cairn_at *ret_at, cairn_error *error)
{
    cairn_event events[EVENTS_MAX];
    uint32_t count = 1 + (uint32_t)(test_random(&writer->random) % EVENTS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct stamp stamp = {writer->number, number, i, count};
        memcpy(writer->data[i], &stamp, sizeof stamp);
        size_t size = sizeof stamp + test_random(&writer->random) % (DATA_MAX - sizeof stamp);
        events[i] = (cairn_event){.type = CAIRN_STR("Written"), .data = {writer->data[i], size}};
    }
    char stream[32];
    snprintf(stream, sizeof stream, "w-%u", writer->number);
    cairn_write write = {cairn_cstr(stream), CAIRN_ANY, events, count};
    cairn_append_request request = {.writes = &write, .write_count = 1};
    return cairn_log_append(writer->log, &request, ret_at, error);
}

/* A full disk may have room again; a failed log stays so. */
static void *
write_until_it_fails(void *context)
{
    struct writer *writer = context;
    for (uint32_t i = 0; i < APPENDS; i++) {
        cairn_at at;
        cairn_error error = {0};
        cairn_err err = append(writer, i, &at, &error);
        if (err == CAIRN_OK) {
            writer->acked_at[i] = at.first_position + 1;
            continue;
        }
        writer->refused++;
        if (err == CAIRN_E_NOSPACE)
            continue;
        if (err != CAIRN_E_IO) {
            writer->wrong = true;
            snprintf(writer->text, sizeof writer->text, "%s: %s", cairn_err_name(err), error.detail);
        }
        break;
    }
    return NULL;
}

static struct log *
open_log(struct os *os, const char *folder)
{
    struct log_options options;
    struct log *log;
    cairn_error error = {0};
    cairn_log_defaults(&options);
    options.create = true;
    options.segment_size_bytes = 2u << 20;
    options.append_size_max = options.event_size_max = 128u << 10;
    options.index_memory_events = 300;
    cairn_err err = cairn_log_open(os, folder, &options, &log, &error);
    if (err != CAIRN_OK)
        fail_msg("opening: %s: %s", cairn_err_name(err), error.detail);
    return log;
}

/* Every append that is there is there once and whole; returns how many. */
static uint64_t
check_appends(struct log *log)
{
    uint64_t whole = 0;
    uint32_t missing = 0;
    struct stamp last = {0};
    uint64_t first = 0;
    struct log_reader *reader;
    cairn_recorded event;
    cairn_error error = {0};
    CHECK(cairn_log_read_all(log, &(cairn_read_options){0}, &reader, &error) == CAIRN_OK);
    cairn_err err;
    while ((err = cairn_log_reader_next(reader, &event, &error)) == CAIRN_OK) {
        struct stamp stamp;
        CHECK(event.event.data.size >= sizeof stamp);
        memcpy(&stamp, event.event.data.data, sizeof stamp);
        CHECK(stamp.writer < WRITERS && stamp.number < APPENDS && stamp.index < stamp.count);
        if (stamp.index == 0) {
            CHECK(missing == 0);
            first = event.position;
            missing = stamp.count;
            uint64_t *acked_at = &writers[stamp.writer].acked_at[stamp.number];
            CHECK(*acked_at == 0 || *acked_at == first + 1); /* once, and where it was said to be */
            *acked_at = UINT64_MAX;                          /* seen */
        } else {
            CHECK(stamp.writer == last.writer && stamp.number == last.number
                  && stamp.index == last.index + 1);
        }
        last = stamp;
        if (--missing == 0)
            whole++;
    }
    CHECK(err == CAIRN_E_END && missing == 0);
    cairn_log_reader_free(reader);
    return whole;
}

static void
play_round(uint64_t *seed, uint64_t *ret_whole, uint64_t *ret_refused, uint64_t *ret_acked)
{
    static const struct {
        unsigned kinds;
        int errno_value;
    } faults[] = {{OS_FAULT_SYNC, EIO}, {OS_FAULT_WRITE, EIO}, {OS_FAULT_WRITE, ENOSPC}};
    char folder[64];
    test_folder(folder);
    struct os_faulty faulty;
    os_faulty_init(&faulty, os_real());
    unsigned fault = (unsigned)(test_random(seed) % 3);
    faulty.kinds = faults[fault].kinds;
    faulty.errno_value = faults[fault].errno_value;
    faulty.torn = test_random(seed) % 2;
    faulty.fail_at = OPENING_CALLS + test_random(seed) % 300;
    struct log *log = open_log(&faulty.os, folder);

    pthread_t threads[WRITERS];
    for (uint32_t i = 0; i < WRITERS; i++) {
        memset(&writers[i], 0, sizeof writers[i]);
        writers[i].log = log;
        writers[i].number = i;
        writers[i].random = test_random(seed);
        CHECK(pthread_create(&threads[i], NULL, write_until_it_fails, &writers[i]) == 0);
    }
    for (uint32_t i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    cairn_log_close(log);
    for (uint32_t i = 0; i < WRITERS; i++) {
        if (writers[i].wrong)
            fail_msg("writer %u: %s", i, writers[i].text);
        *ret_refused += writers[i].refused;
        for (uint32_t j = 0; j < APPENDS; j++)
            *ret_acked += writers[i].acked_at[j] != 0;
    }

    log = open_log(os_real(), folder);
    *ret_whole += check_appends(log);
    for (uint32_t i = 0; i < WRITERS; i++)
        for (uint32_t j = 0; j < APPENDS; j++)
            CHECK(writers[i].acked_at[j] == 0 || writers[i].acked_at[j] == UINT64_MAX);
    cairn_log_close(log);
    test_remove(folder);
}

/* Goal: nothing acknowledged is lost, whatever fails while many write.
 * Method: eight writers, a fault at a random write or sync; then look with a disk that works. */
TEST(acknowledged_is_kept)
{
    uint64_t seed = test_seed(), whole = 0, refused = 0, acked = 0;
    unsigned rounds = ROUNDS * test_scale();
    for (unsigned i = 0; i < rounds; i++)
        play_round(&seed, &whole, &refused, &acked);
    printf("%u rounds: %llu appends acknowledged, %llu refused, %llu found whole\n", rounds,
           (unsigned long long)acked, (unsigned long long)refused, (unsigned long long)whole);
    CHECK(refused > 0 && acked > 0 && whole >= acked);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(acknowledged_is_kept)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
