/* Scavenging that nobody asks for: which segments are read for it, and which records without value go. */
#include <log/sweep.h>
#include <log/topics.h>
#include <os/twin.h>

#include "topic_rig.h"

#define HOUR_US (INT64_C(3600) * 1000000)
#define DAY_US (24 * HOUR_US)
#define T0 INT64_C(1800000000000000)

static cairn_error error;

struct home {
    struct os_sim *sim;
    struct log *log;
    struct batch_maker maker;
    cairn_uuid id;
    unsigned fillers;
};

static void
open_home(struct home *home)
{
    struct log_options options;
    cairn_log_defaults(&options);
    options.create = options.no_background = true;
    options.segment_size_bytes = 64 << 10;
    options.scavenge_interval_us = HOUR_US;
    CHECK_TOLD(cairn_log_open(os_sim_os(home->sim), "data", &options, &home->log, &error));
}

static void
put_topic(struct home *home, bool compact, const char *config, const uint64_t *starts, int64_t expected)
{
    cairn_topic topic = {.id = home->id, .name = CAIRN_STR("t"), .partitions = 1, .compact = compact,
                         .config = cairn_cstr(config), .starts = starts};
    cairn_topic_ref *ref;
    CHECK_TOLD(cairn_log_topic_put(home->log, 0, &topic, expected, &ref, &error));
    cairn_topic_release(ref);
}

/* A log with the topic t of one partition. */
static struct home
new_home(bool compact, const char *config)
{
    struct home home = {.sim = os_sim_new(11), .id = {{7, 7}}};
    CHECK(home.sim != NULL);
    os_sim_set_time(home.sim, T0);
    open_home(&home);
    put_topic(&home, compact, config, NULL, CAIRN_NONE);
    return home;
}

static void
free_home(struct home *home)
{
    cairn_log_close(home->log);
    batch_make_free(&home->maker);
    os_sim_free(home->sim);
}

static void
produce_batch(struct home *home, cairn_str bytes)
{
    cairn_batch batch = {.topic_id = home->id, .bytes = bytes};
    cairn_append_request request = {.batches = &batch, .batch_count = 1};
    cairn_at at;
    CHECK_TOLD(cairn_log_append(home->log, &request, &at, &error));
}

/* One record in a batch of its own; value NULL: none. */
static void
produce(struct home *home, const char *key, const char *value)
{
    cairn_str k = cairn_cstr(key), v = value != NULL ? cairn_cstr(value) : (cairn_str){0};
    batch_make_begin(&home->maker);
    CHECK(batch_make_add(&home->maker, 0, 1700000000000, &k, value != NULL ? &v : NULL, NULL, 0));
    CHECK(batch_make_end(&home->maker, BATCH_PLAIN, 0, 0));
    produce_batch(home, buf_str(&home->maker.out));
}

/* `count` records of 500 bytes in batches of ten, with keys from `first` on; in all of `keys` different ones. */
static void
produce_many(struct home *home, unsigned first, unsigned count, unsigned keys)
{
    static char value[500];
    memset(value, 'v', sizeof value);
    for (unsigned i = 0; i < count;) {
        batch_make_begin(&home->maker);
        for (unsigned n = 0; n < 10; n++, i++) {
            char key[16];
            cairn_str k = {key, (size_t)snprintf(key, sizeof key, "k%u", (first + i) % keys)}, v = {value, sizeof value};
            CHECK(batch_make_add(&home->maker, n, 1700000000000, &k, &v, NULL, 0));
        }
        CHECK(batch_make_end(&home->maker, BATCH_PLAIN, 0, 9));
        produce_batch(home, buf_str(&home->maker.out));
    }
}

static void
append_event(struct home *home, const char *stream, size_t size)
{
    static char data[32 << 10];
    cairn_event event = {.type = CAIRN_STR("plain"), .data = {data, size}};
    cairn_write write = {cairn_cstr(stream), CAIRN_ANY, &event, 1};
    cairn_append_request request = {.writes = &write, .write_count = 1};
    cairn_at at;
    CHECK_TOLD(cairn_log_append(home->log, &request, &at, &error));
}

/* Fill the newest segment with what no rule is about, and seal it. */
static void
seal(struct home *home)
{
    uint32_t count = atomic_load(&home->log->segment_count);
    while (atomic_load(&home->log->segment_count) == count)
        append_event(home, "other", 8 << 10);
    CHECK_TOLD(cairn_log_maintain(home->log, &error));
    CHECK(atomic_load(&atomic_load(&home->log->slots[count - 1])->sealed));
}

static unsigned
due(struct home *home, int64_t now_us)
{
    unsigned n = 0;
    for (uint32_t i = 0; i + 1 < atomic_load(&home->log->segment_count); i++)
        n += look_is_due(home->log, atomic_load(&home->log->slots[i]), now_us);
    return n;
}

/* By itself, or because somebody asks for it. */
static cairn_scavenge_report
give_back(struct home *home, int64_t now_us, bool asked)
{
    cairn_scavenge_report report;
    cairn_verify_report sound;
    os_sim_set_time(home->sim, now_us);
    CHECK_TOLD(asked ? cairn_log_scavenge(home->log, NULL, NULL, &report, &error) : log_sweep(home->log, &report, &error));
    CHECK_TOLD(cairn_log_verify(home->log, NULL, NULL, NULL, &sound, &error));
    return report;
}
static cairn_scavenge_report sweep(struct home *home, int64_t now_us) { return give_back(home, now_us, false); }
static cairn_scavenge_report scavenge(struct home *home, int64_t now_us) { return give_back(home, now_us, true); }

/* What the partition gives, as "<offset>:<key>=<value> …"; '-' for null. */
static const char *
content(struct home *home)
{
    static struct buf text;
    struct partition_reader *reader;
    struct batch_cursor cursor = {0};
    cairn_partition_item item;
    cairn_err err;
    buf_clear(&text);
    CHECK_TOLD(cairn_log_read_partition(home->log, 0, &home->id, 0, 0, &reader, &error));
    while ((err = cairn_log_partition_next(reader, &item, &error)) == CAIRN_OK) {
        struct batch_record record;
        if (item.batch.size == 0) {
            buf_printf(&text, "%llu:event ", (unsigned long long)item.first_offset);
            continue;
        }
        CHECK(batch_open(&cursor, item.batch) == NULL);
        while (batch_next(&cursor, &record)) {
            cairn_str value = record.has_value ? record.value : CAIRN_STR("-");
            buf_printf(&text, "%llu:%.*s=%.*s ", (unsigned long long)(item.first_offset + (uint64_t)record.offset_delta),
                       (int)record.key.size, record.key.data, (int)value.size, value.data);
        }
        CHECK(cursor.fault == NULL);
    }
    CHECK_INT(err, CAIRN_E_END);
    batch_close(&cursor);
    cairn_log_partition_reader_free(reader);
    buf_put_char(&text, '\0');
    CHECK(!text.failed);
    return text.data;
}

/* ---- which segments ------------------------------------------------------------------------------------------------------- */

/* Goal: a segment is read once, and again when a quarter of it is hidden by its topic; one of which less is stays as it is.
 * Method: raise the partition's start a little at a time, then delete the topic; ask which segments are due, and sweep. */
TEST(what_a_topic_hides_is_known_without_reading)
{
    struct home home = new_home(false, "{}");
    uint64_t start;
    int64_t now_us = T0 + HOUR_US;
    produce_many(&home, 0, 400, 400); /* 200 kB: three full segments of 64 kB each, and some */
    seal(&home);
    unsigned sealed = atomic_load(&home.log->segment_count) - 1;
    CHECK(sealed >= 3);
    CHECK_INT(due(&home, now_us), sealed);
    CHECK_INT(sweep(&home, now_us).segments_rewritten, 0);
    CHECK_INT(due(&home, now_us), 0);
    CHECK_INT(due(&home, now_us + 100 * DAY_US), 0);

    put_topic(&home, false, "{}", (start = 20, &start), 0);
    CHECK_INT(due(&home, now_us + 100 * DAY_US), 0);
    put_topic(&home, false, "{}", (start = 60, &start), 1);
    CHECK_INT(due(&home, now_us), 1);
    cairn_scavenge_report report = sweep(&home, now_us);
    CHECK_INT(report.segments_rewritten, 1);
    CHECK_INT(report.events_removed, 60);
    CHECK(report.bytes_freed > 60 * 400);
    CHECK_INT(due(&home, now_us + 100 * DAY_US), 0);

    put_topic(&home, false, "{}", (start = 250, &start), 2);
    CHECK(due(&home, now_us) >= 2);
    uint64_t removed = sweep(&home, now_us).events_removed; /* of the one that the start is in, perhaps too few */
    CHECK(removed >= 150 && removed <= 190);
    CHECK(memcmp(content(&home), "250:k250=", 9) == 0);
    CHECK_TOLD(cairn_log_topic_delete(home.log, 0, CAIRN_STR("t"), CAIRN_ANY, &error));
    CHECK_INT(sweep(&home, now_us).events_removed, 340 - removed);
    CHECK_INT(due(&home, now_us + 100 * DAY_US), 0);
    cairn_stats stats;
    cairn_log_stats(home.log, &stats);
    CHECK_INT(stats.scavenges_total, 4);
    CHECK(stats.scavenged_bytes_total > 400 * 400);
    free_home(&home);
}

/* Goal: what is too little for a sweep goes when somebody asks, and adds up for the next sweep.
 * Method: hide a tenth; sweep, then scavenge. Another time: a seventh, sweep, another seventh. */
TEST(little_is_left_until_it_is_more)
{
    struct home home = new_home(false, "{}");
    uint64_t start;
    produce_many(&home, 0, 100, 100);
    seal(&home);
    put_topic(&home, false, "{}", (start = 10, &start), 0);
    CHECK_INT(sweep(&home, T0 + HOUR_US).events_removed, 0);
    CHECK_INT(scavenge(&home, T0 + HOUR_US).events_removed, 10);
    put_topic(&home, false, "{}", (start = 26, &start), 1);
    CHECK_INT(sweep(&home, T0 + 100 * DAY_US).events_removed, 0);
    put_topic(&home, false, "{}", (start = 45, &start), 2);
    CHECK_INT(sweep(&home, T0 + 100 * DAY_US).events_removed, 35);
    free_home(&home);
}

/* Goal: a compacted segment is read again when its partition has got enough records to take the place of a quarter of it, and
 * less and less often while they did not.
 * Method: new keys first, so that reading wins nothing; then the old keys again. */
TEST(compaction_waits_for_enough_records)
{
    struct home home = new_home(true, "{}");
    int64_t now_us = T0 + HOUR_US;
    produce_many(&home, 0, 100, 1000);
    seal(&home);
    CHECK_INT(sweep(&home, now_us).segments_rewritten, 0);
    produce_many(&home, 100, 20, 1000);
    CHECK_INT(due(&home, now_us + 100 * DAY_US), 0);
    produce_many(&home, 120, 20, 1000);
    CHECK_INT(due(&home, now_us + HOUR_US / 2), 0);
    CHECK_INT(due(&home, now_us + HOUR_US), 1);
    now_us += HOUR_US;
    CHECK_INT(sweep(&home, now_us).segments_rewritten, 0);
    produce_many(&home, 140, 40, 1000);
    CHECK_INT(due(&home, now_us + HOUR_US), 0);
    CHECK_INT(due(&home, now_us + 2 * HOUR_US), 1);
    now_us += 2 * HOUR_US;
    CHECK_INT(sweep(&home, now_us).segments_rewritten, 0);
    produce_many(&home, 0, 60, 1000);
    seal(&home);
    now_us += 4 * HOUR_US;
    cairn_scavenge_report report = sweep(&home, now_us);
    CHECK_INT(report.segments_rewritten, 1);
    CHECK_INT(report.events_removed, 60);
    CHECK(memcmp(content(&home), "60:k60=", 7) == 0);
    free_home(&home);
}

/* Goal: streams with limits are looked at again when any limit has changed, and in time.
 * Method: a deleted stream fills a segment; ask before and after its deletion. */
TEST(limits_of_streams_are_looked_at)
{
    struct home home = new_home(false, "{}");
    seal(&home);
    CHECK_INT(sweep(&home, T0 + HOUR_US).segments_rewritten, 0);
    CHECK_INT(due(&home, T0 + 100 * DAY_US), 0);
    CHECK_TOLD(cairn_log_delete(home.log, 0, CAIRN_STR("other"), CAIRN_ANY, false, &error));
    CHECK_INT(due(&home, T0 + HOUR_US), 0);
    CHECK_INT(due(&home, T0 + 2 * HOUR_US), 1);
    CHECK_INT(sweep(&home, T0 + 2 * HOUR_US).segments_rewritten, 1);
    CHECK_INT(due(&home, T0 + 100 * DAY_US), 0);
    free_home(&home);
}

/* Goal: a sweep gives way to administrators and to a stop, and says which; nothing is lost by that.
 * Method: each in its way before it begins; then none. */
TEST(a_sweep_gives_way)
{
    struct home home = new_home(false, "{}");
    struct log *log = home.log;
    cairn_scavenge_report report;
    uint64_t start = 100;
    produce_many(&home, 0, 100, 100);
    seal(&home);
    put_topic(&home, false, "{}", &start, 0);
    log_admin_begin(log);
    CHECK_INT(log_sweep(log, &report, &error), CAIRN_E_BUSY);
    log_admin_end(log);
    atomic_store(&log->admin_waiting, 1);
    CHECK_INT(log_sweep(log, &report, &error), CAIRN_E_BUSY);
    atomic_store(&log->admin_waiting, 0);
    atomic_store(&log->stopping, true);
    CHECK_INT(log_sweep(log, &report, &error), CAIRN_E_CLOSED);
    atomic_store(&log->stopping, false);
    CHECK_INT(report.events_removed, 0);
    CHECK_INT(sweep(&home, T0 + HOUR_US).events_removed, 100);
    free_home(&home);
}

/* Goal: what nobody has asked for leaves room on the disk, and goes on when there is more.
 * Method: two full segments, of which half is hidden; little room, then more. */
TEST(a_sweep_leaves_room)
{
    struct home home = new_home(false, "{}");
    struct log *log = home.log;
    cairn_scavenge_report report;
    cairn_stats stats;
    uint64_t start = 50;
    produce_many(&home, 0, 100, 100);
    seal(&home);
    put_topic(&home, false, "{}", &start, 0);
    os_sim_set_space(home.sim, 30 << 10);
    CHECK_INT(log_sweep(log, &report, &error), CAIRN_E_NOSPACE);
    CHECK_INT(report.segments_rewritten, 0);
    CHECK_INT(due(&home, T0), 1);
    os_sim_set_space(home.sim, 60 << 10);
    CHECK_INT(sweep(&home, T0 + HOUR_US).events_removed, 50);
    cairn_log_stats(log, &stats);
    CHECK_INT(stats.scavenges_total, 1);
    CHECK(!stats.disk_full);
    free_home(&home);
}

/* ---- records without value ------------------------------------------------------------------------------------------------ */

static void
produce_nulls(struct home *home, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%u", i);
        produce(home, key, NULL);
    }
}

static unsigned
count_of(const char *text, const char *part)
{
    unsigned n = 0;
    for (; (text = strstr(text, part)) != NULL; text++)
        n++;
    return n;
}

/* Goal: a record without value takes the place of those before it, stays for delete.retention.ms, a day by default, and then
 * goes; offsets and revisions stay taken, also when the index is made anew.
 * Method: keys with values twice, five of them then null; scavenge before and after the time, count what is left, append
 * again. */
TEST(null_values_go_when_they_are_old)
{
    static const struct {
        const char *config;
        int64_t age_us;
    } cases[] = {{"{}", DAY_US}, {"{\"delete.retention.ms\":\"60000\"}", 60000000}, {"{\"delete.retention.ms\":\"0\"}", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct home home = new_home(true, cases[i].config);
        cairn_stream_info stream;
        produce_many(&home, 0, 100, 50);
        produce_nulls(&home, 5);
        seal(&home);
        CHECK_INT(count_of(content(&home), "=v"), 100);
        if (cases[i].age_us > 0) {
            CHECK_INT(scavenge(&home, T0 + cases[i].age_us - 1000000).events_removed, 55);
            CHECK_INT(count_of(content(&home), "=v"), 45);
            CHECK_INT(count_of(content(&home), "=-"), 5);
            produce_many(&home, 5, 40, 50); /* so that it is worth writing it again */
        }
        (void)scavenge(&home, T0 + cases[i].age_us + 1000000);
        CHECK_INT(count_of(content(&home), "=v"), 45);
        CHECK_INT(count_of(content(&home), "=-"), 0);
        for (int anew = 0; anew < 2; anew++) {
            CHECK_TOLD(cairn_log_stream_info(home.log, 0, CAIRN_STR("t-k4"), &stream, &error));
            CHECK_INT(stream.last_revision, 2);
            CHECK_TOLD(cairn_log_reindex(home.log, NULL, NULL, &error));
        }
        cairn_log_close(home.log);
        open_home(&home);
        uint64_t offset = 105 + (cases[i].age_us > 0 ? 40 : 0);
        char last[32];
        snprintf(last, sizeof last, "%llu:k4=again ", (unsigned long long)offset);
        produce(&home, "k4", "again");
        CHECK(strstr(content(&home), last) != NULL);
        CHECK_TOLD(cairn_log_stream_info(home.log, 0, CAIRN_STR("t-k4"), &stream, &error));
        CHECK_INT(stream.last_revision, 3);
        free_home(&home);
    }
}

/* Goal: as long as anything older of its key is left, a null value stays: otherwise that would seem to be the newest.
 * Method: an event in k0's stream; values of k0 to k3 in a segment that a sweep spares, because they are too little of it. After
 * a sweep all nulls are there; after that segment has been scavenged, k0's alone. */
TEST(null_values_stay_while_something_older_is_left)
{
    struct home home = new_home(true, "{\"delete.retention.ms\":\"0\"}");
    append_event(&home, "t-k0", 10);
    produce_many(&home, 0, 10, 1000); /* k0 to k9 */
    produce_many(&home, 100, 50, 1000);
    seal(&home);
    CHECK_INT(atomic_load(&home.log->segment_count), 2);
    produce_many(&home, 200, 50, 1000);
    produce_many(&home, 200, 50, 1000);
    produce_nulls(&home, 4);
    seal(&home);
    cairn_scavenge_report report = sweep(&home, T0 + HOUR_US);
    CHECK_INT(report.segments_rewritten, 1);
    CHECK_INT(report.events_removed, 50);
    CHECK_INT(count_of(content(&home), "=-"), 4);
    CHECK(strstr(content(&home), ":k3=v") != NULL);

    report = scavenge(&home, T0 + HOUR_US);
    CHECK_INT(report.segments_rewritten, 2);
    CHECK_INT(report.events_removed, 7);
    CHECK_INT(count_of(content(&home), "=-"), 1);
    CHECK(strstr(content(&home), ":k0=-") != NULL);
    free_home(&home);
}

/* Goal: records without value are worth it by their number, though naming their streams takes as much room as they did; a
 * segment never becomes larger than a full one by that.
 * Method: 40 nulls among 60 values, whose own segment has nothing else to win. */
TEST(null_values_are_worth_it_by_their_number)
{
    struct home home = new_home(true, "{\"delete.retention.ms\":\"60000\"}");
    produce_many(&home, 0, 100, 100);
    seal(&home);
    produce_nulls(&home, 40);
    produce_many(&home, 200, 60, 1000);
    seal(&home);
    CHECK_INT(atomic_load(&home.log->segment_count), 3);
    CHECK_INT(sweep(&home, T0 + 30000000).events_removed, 40);
    CHECK_INT(due(&home, T0 + 50000000), 0);
    CHECK_INT(due(&home, T0 + 2 * HOUR_US), 1);
    CHECK_INT(sweep(&home, T0 + 2 * HOUR_US).events_removed, 40);
    CHECK_INT(count_of(content(&home), "=v"), 120);
    CHECK_INT(count_of(content(&home), "=-"), 0);
    CHECK(atomic_load(&atomic_load(&home.log->slots[1])->data_end) <= 64 << 10);
    CHECK_INT(due(&home, T0 + 100 * DAY_US), 0);
    free_home(&home);
}

/* Goal: of a key with very many records the null value stays: it is not worth looking at all of them.
 * Method: 1,100 values and a null of one key, 900 and a null of another. */
TEST(null_values_of_very_busy_keys_stay)
{
    struct home home = new_home(true, "{\"delete.retention.ms\":\"0\"}");
    produce_many(&home, 0, 1100, 1);
    produce(&home, "k0", NULL);
    seal(&home);
    CHECK_INT(scavenge(&home, T0 + HOUR_US).events_removed, 1100);
    CHECK_STR(content(&home), "1100:k0=- ");
    free_home(&home);
    home = new_home(true, "{\"delete.retention.ms\":\"0\"}");
    produce_many(&home, 0, 900, 1);
    produce(&home, "k0", NULL);
    produce_many(&home, 1, 20, 1000);
    produce_many(&home, 1, 20, 1000);
    seal(&home);
    (void)scavenge(&home, T0 + HOUR_US);
    CHECK_INT(count_of(content(&home), "=v"), 20);
    CHECK_INT(count_of(content(&home), "=-"), 0);
    free_home(&home);
}

/* Goal: min.compaction.lag.ms keeps a record from being taken by a newer one, for so long.
 * Method: keys twice; scavenge before and after. */
TEST(a_lag_is_waited_for)
{
    struct home home = new_home(true, "{\"min.compaction.lag.ms\":\"3600000\",\"delete.retention.ms\":\"0\"}");
    produce_many(&home, 0, 100, 50);
    produce_nulls(&home, 1);
    seal(&home);
    CHECK_INT(sweep(&home, T0 + HOUR_US / 2).events_removed, 0);
    CHECK_INT(due(&home, T0 + HOUR_US), 0);
    CHECK_INT(due(&home, T0 + 2 * HOUR_US), 1);
    CHECK_INT(sweep(&home, T0 + 2 * HOUR_US).events_removed, 52);
    CHECK_INT(count_of(content(&home), "=v"), 49);
    free_home(&home);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(what_a_topic_hides_is_known_without_reading),
        RUN(little_is_left_until_it_is_more),
        RUN(compaction_waits_for_enough_records),
        RUN(limits_of_streams_are_looked_at),
        RUN(a_sweep_gives_way),
        RUN(a_sweep_leaves_room),
        RUN(null_values_go_when_they_are_old),
        RUN(null_values_stay_while_something_older_is_left),
        RUN(null_values_are_worth_it_by_their_number),
        RUN(null_values_of_very_busy_keys_stay),
        RUN(a_lag_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
