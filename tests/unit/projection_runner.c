/* A projection at work: faults and what is done about them, restarts, rebuilds beside under live writes, models of the
 * past, damaged files. */
#include <pthread.h>
#include <sys/stat.h>
#include <app/sql/runner_int.h>

#include <store/dead.h>

#include "projection_rig.h"

#define ACCOUNT                                                                                    \
    "-- from account\n-- table\n"                                                                  \
    "CREATE TABLE account (id TEXT PRIMARY KEY, balance INTEGER NOT NULL CHECK (balance >= 0), n INTEGER NOT NULL);\n" \
    "-- on Opened\nINSERT INTO account VALUES (:stream_id, 0, 0);\n"                               \
    "-- on Moved\nUPDATE account SET n = n + 1 WHERE id = :stream_id;\n"                           \
    "UPDATE account SET balance = balance + :data.amount WHERE id = :stream_id;\n"

static void
check(struct rig *rig, const char *sql, const char *expected)
{
    char value[512];
    rig_value(rig, sql, value);
    CHECK_STR(value, expected);
}

static void
act(struct rig *rig, cairn_projection_action action)
{
    cairn_error error = {0};
    if (runner_do(rig->runner, action, &error) != CAIRN_OK)
        fail_msg("%s", error.detail);
}

static uint64_t
generation(struct rig *rig)
{
    struct runner *runner = rig->runner;
    pthread_mutex_lock(&runner->lock);
    uint64_t generation = runner->generation;
    pthread_mutex_unlock(&runner->lock);
    return generation;
}

/* Until another generation serves. */
static void
until_rebuilt(struct rig *rig, uint64_t before)
{
    static _Atomic uint32_t nothing;
    int64_t until = os_monotonic_us(os_real()) + RIG_WAIT_MS * INT64_C(1000);
    while (generation(rig) == before) {
        CHECK(os_monotonic_us(os_real()) < until);
        os_wait(&nothing, 0, 500);
    }
}

static void
append_story(struct rig *rig)
{
    rig_append(rig, "account-1", "Opened", "{}");                 /* 0 */
    rig_append(rig, "other-1", "Opened", "{}");                   /* 1: another category */
    rig_append(rig, "account-1", "Moved", "{\"amount\":50}");     /* 2 */
    rig_append(rig, "account-1", "Moved", "{\"amount\":-80}");    /* 3: cannot be */
    rig_append(rig, "account-1", "Moved", "{\"amount\":40}");     /* 4 */
}

/* Goal: an event that cannot be applied stops the projection visibly, also after a restart; nothing of it stays. */
TEST(stops_at_an_event)
{
    struct rig rig;
    struct buf status = {0};
    cairn_error error = {0};
    rig_open(&rig, ACCOUNT);
    append_story(&rig);
    rig_start(&rig);
    for (int round = 0; round < 3; round++) {
        rig_until(&rig, "\"state\":\"stopped\"");
        rig_status(&rig, &status);
        CHECK(strstr(status.data, "\"failure\":{\"position\":3,\"stream\":\"account-1\",\"type\":\"Moved\",\"error\":"
                                  "\"line 8: CHECK constraint failed: balance >= 0\"") != NULL);
        CHECK_INT(runner_position(rig.runner), 3);
        CHECK_INT(runner_wait(rig.runner, 3, 1000, &error), CAIRN_OK);
        CHECK_INT(runner_wait(rig.runner, 4, 1000, &error), CAIRN_E_SCRIPT);
        CHECK(strstr(error.detail, "CHECK constraint") != NULL);
        check(&rig, "SELECT balance, n FROM account", "50|1");
        if (round == 0) {
            act(&rig, CAIRN_PROJECTION_RETRY); /* in vain */
            rig_until(&rig, "\"tries\":2");
        } else if (round == 1) {
            rig_stop(&rig, false);
            rig_start(&rig);
        }
    }
    act(&rig, CAIRN_PROJECTION_SKIP);
    rig_wait(&rig);
    check(&rig, "SELECT balance, n FROM account", "90|2");
    rig_until(&rig, "\"failure\":null,\"parked\":0,\"skipped\":1");
    CHECK_INT(runner_do(rig.runner, CAIRN_PROJECTION_SKIP, &error), CAIRN_E_INVALID);
    CHECK_INT(runner_do(rig.runner, CAIRN_PROJECTION_REPLAY_PARKED, &error), CAIRN_E_INVALID);
    rig_stop(&rig, false);
    rig_start(&rig);
    rig_until(&rig, "\"failure\":null,\"parked\":0,\"skipped\":1");
    buf_clear(&status);
    CHECK_OK(runner_faults(rig.runner, &status, &error));
    buf_put_char(&status, '\0');
    CHECK(strstr(status.data, "{\"parked_events\":[],\"skipped_events\":[{\"position\":3,\"stream\":\"account-1\",\"revision\":2,") != NULL);
    /* A rebuild leaves it out again by itself. */
    uint64_t before = generation(&rig);
    act(&rig, CAIRN_PROJECTION_REBUILD);
    until_rebuilt(&rig, before);
    check(&rig, "SELECT balance, n FROM account", "90|2");
    buf_free(&status);
    rig_close(&rig);
}

/* Goal: parked events are applied later, when that can be. */
TEST(parks_and_replays)
{
    struct rig rig;
    rig_open(&rig, ACCOUNT);
    rig.options.on_error = CAIRN_ON_ERROR_PARK;
    append_story(&rig);
    rig_start(&rig);
    rig_wait(&rig);
    rig_until(&rig, "\"parked\":1,\"skipped\":0");
    check(&rig, "SELECT balance, n FROM account", "90|2");
    act(&rig, CAIRN_PROJECTION_REPLAY_PARKED);
    rig_until(&rig, "\"parked\":0,\"skipped\":0");
    check(&rig, "SELECT balance, n FROM account", "10|3");
    rig_append(&rig, "account-1", "Moved", "{\"amount\":-11}");
    rig_until(&rig, "\"parked\":1,");
    act(&rig, CAIRN_PROJECTION_REPLAY_PARKED); /* in vain */
    rig_append(&rig, "account-1", "Moved", "{\"amount\":1}");
    rig_wait(&rig);
    check(&rig, "SELECT balance, n FROM account", "11|4");
    rig_until(&rig, "\"parked\":1,");
    rig_close(&rig);
}

/* Goal: an event becomes a dead letter after its tries, the pauses between them are kept whatever is committed, and it is applied later
 * when that can be, once; also while the projection is paused.
 * Method: two tries with 30 ms and 60 ms; commits meanwhile; the time it takes at least. */
TEST(gives_up_and_takes_back)
{
    struct rig rig;
    cairn_error error = {0};
    rig_open(&rig, ACCOUNT);
    rig.options.on_error = CAIRN_ON_ERROR_DEAD_LETTER;
    rig.options.app = "bank";
    rig.options.retries = 2;
    rig.options.backoff_us = 30000;
    append_story(&rig);
    int64_t began = os_monotonic_us(os_real());
    rig_start(&rig);
    rig_until(&rig, "\"retrying\":true");
    for (int i = 0; i < 20; i++)
        rig_append(&rig, "other-1", "Ignored", "{}");
    rig_wait(&rig);
    CHECK(os_monotonic_us(os_real()) - began >= 90000);
    rig_until(&rig, "\"dead_letters\":1,\"dead_letter_topic\":\"account.dlq\"");
    check(&rig, "SELECT balance, n FROM account", "90|2");
    cairn_stream_info info;
    CHECK_OK(cairn_stream_info_get(rig.store, 0, CAIRN_STR("account.dlq-1"), &info, NULL));
    CHECK_INT(info.last_revision, 0);

    struct dead_return returns[] = {{.position = 3}, {.position = 0}};
    CHECK_OK(runner_return_dead(rig.runner, returns, 2, true, &error));
    CHECK(returns[0].result == DEAD_RETURNED && returns[1].result == DEAD_BEFORE);
    check(&rig, "SELECT balance, n FROM account", "90|2");
    act(&rig, CAIRN_PROJECTION_PAUSE);
    CHECK_OK(runner_return_dead(rig.runner, returns, 2, false, &error));
    CHECK(returns[0].result == DEAD_RETURNED && returns[1].result == DEAD_BEFORE);
    check(&rig, "SELECT balance, n FROM account", "10|3");
    CHECK_OK(runner_return_dead(rig.runner, returns, 1, false, &error));
    CHECK_INT(returns[0].result, DEAD_BEFORE);
    act(&rig, CAIRN_PROJECTION_RESUME);
    rig_append(&rig, "account-1", "Moved", "{\"amount\":-11}");
    rig_wait(&rig);
    rig_until(&rig, "\"dead_letters\":1,");
    struct dead_return last = {.position = cairn_end(rig.store) - 2}; /* its dead letter is behind it */
    CHECK_OK(runner_return_dead(rig.runner, &last, 1, false, &error));
    CHECK(last.result == DEAD_FAILED && strstr(last.why, "CHECK") != NULL);
    rig_stop(&rig, false);
    rig_start(&rig);
    rig_until(&rig, "\"dead_letters\":1,\"dead_letter_topic\":\"account.dlq\"");
    rig_close(&rig);
}

/* Goal: many failing events among good ones cost no good one, whichever way they are left out. */
TEST(many_faults)
{
    struct rig rig;
    rig_open(&rig, ACCOUNT);
    rig.options.on_error = CAIRN_ON_ERROR_SKIP;
    rig_append(&rig, "account-1", "Opened", "{}");
    uint64_t seed = test_seed();
    int64_t balance = 0;
    unsigned good = 0, bad = 0;
    for (int i = 0; i < 2000; i++) {
        char data[64];
        int64_t amount = (int64_t)(test_random(&seed) % 40) - 20;
        snprintf(data, sizeof data, "{\"amount\":%lld}", (long long)amount);
        rig_append(&rig, "account-1", "Moved", data);
        if (balance + amount >= 0) {
            balance += amount;
            good++;
        } else
            bad++;
    }
    rig_start(&rig);
    rig_wait(&rig);
    char expected[64];
    snprintf(expected, sizeof expected, "%lld|%u", (long long)balance, good);
    check(&rig, "SELECT balance, n FROM account", expected);
    snprintf(expected, sizeof expected, "\"skipped\":%u,", bad);
    rig_until(&rig, expected);
    CHECK(bad > 10);
    rig_close(&rig);
}

/* Goal: paused means paused, also after a restart. */
TEST(pauses)
{
    struct rig rig;
    rig_open(&rig, ACCOUNT);
    append_story(&rig);
    rig.options.on_error = CAIRN_ON_ERROR_SKIP;
    rig_start(&rig);
    rig_wait(&rig);
    act(&rig, CAIRN_PROJECTION_PAUSE);
    rig_append(&rig, "account-1", "Moved", "{\"amount\":1}");
    CHECK_INT(runner_wait(rig.runner, cairn_end(rig.store), 20, NULL), CAIRN_E_TIMEOUT);
    rig_until(&rig, "\"state\":\"paused\"");
    rig_stop(&rig, false);
    rig_start(&rig);
    rig_until(&rig, "\"state\":\"paused\"");
    CHECK_INT(runner_position(rig.runner), 5);
    act(&rig, CAIRN_PROJECTION_RESUME);
    rig_wait(&rig);
    check(&rig, "SELECT balance, n FROM account", "91|3");
    rig_close(&rig);
}

/* ---- reading ahead ---------------------------------------------------------------------------------------- */

/* Old events say "sum"; some cannot be read. */
static cairn_err
upcast(void *context, cairn_recorded *event, struct arena *arena, cairn_error *error)
{
    (void)context;
    if (event->position % 9973 == 4000)
        return error_set(error, CAIRN_E_SCRIPT, "event %llu is too old", (unsigned long long)event->position);
    if (event->position % 3 == 0) {
        struct json data;
        char text[128];
        if (json_check(event->event.data, &data, error) != CAIRN_OK)
            return CAIRN_OK; /* as it is */
        struct json sum = json_get(data, "sum");
        int size = snprintf(text, sizeof text, "{\"amount\":%.*s,\"memo\":\"%s%llu\"}", (int)sum.raw.size, sum.raw.data,
                            event->position % 2 ? "was " : "\\u00fc\\n", (unsigned long long)event->position);
        event->event.data = arena_copy(arena, (cairn_str){text, (size_t)size});
    }
    return CAIRN_OK;
}

static void
append_many(struct rig *rig, unsigned begin, unsigned count)
{
    enum { EACH = 500 };
    static char streams[EACH][32], data[EACH][64], tags[EACH][32];
    cairn_event events[EACH];
    cairn_str tag[EACH][2];
    cairn_write writes[EACH];
    cairn_error error;
    cairn_at at;
    for (unsigned from = 0; from < count; from += EACH) {
        for (unsigned i = 0; i < EACH; i++) {
            unsigned n = begin + from + i;
            snprintf(streams[i], sizeof streams[i], "%s-%u", n % 11 == 0 ? "other" : "account", n * 7 % 300);
            snprintf(data[i], sizeof data[i], n % 9001 == 7517 ? "{\"sum\":1" : n % 9500 == 3003 ? "{\"sum\":-9999}" : "{\"sum\":%u}", n);
            snprintf(tags[i], sizeof tags[i], "row:%u", n);
            tag[i][0] = CAIRN_STR("plain");
            tag[i][1] = cairn_cstr(tags[i]);
            events[i] = (cairn_event){.type = n % 5 == 4 ? CAIRN_STR("Ignored") : CAIRN_STR("Moved"), .tags = tag[i], .tag_count = 2,
                                      .data = cairn_cstr(data[i]), .meta = CAIRN_STR("{\"actor\":\"a\\tb\"}")};
            if (n % 9001 == 7517) /* no JSON, though it says so */
                events[i].content_type = CAIRN_STR("application/broken+json");
            writes[i] = (cairn_write){cairn_cstr(streams[i]), CAIRN_ANY, &events[i], 1};
        }
        cairn_append_request request = {.writes = writes, .write_count = EACH};
        if (cairn_append_all(rig->store, &request, &at, &error) != CAIRN_OK)
            fail_msg("%s", error.detail);
    }
}

/* Goal: events read and decoded by another thread give the same rows and the same faults.
 * Method: one runner follows the writer and so reads for itself; others find everything there, and are stopped, paused and
 * resumed on the way. Data that is no JSON, that the table refuses, that cannot be upcast. */
TEST(reads_ahead)
{
    static const char TEXT[] =
        "-- from account\n-- table\nCREATE TABLE move (id TEXT, n INTEGER PRIMARY KEY, amount INTEGER CHECK (amount > -9),"
        " sum, memo, tags, row, time, actor, event TEXT);\n"
        "-- on Moved\nINSERT INTO move VALUES (:stream_id, :position, :data.amount, :data.sum, :data.memo, :tags, :tag.row, :time,"
        " :actor, :id);\n";
    struct rig rig;
    struct buf followed = {0}, ahead = {0};
    uint64_t position;
    cairn_error error = {0};
    rig_open(&rig, TEXT);
    rig.options.on_error = CAIRN_ON_ERROR_SKIP;
    rig.options.upcast = upcast;
    rig_start(&rig);
    for (int i = 0; i < 40; i++) {
        append_many(&rig, (unsigned)i * 1000, 1000);
        rig_wait(&rig);
    }
    rig_dump(&rig, &followed);
    rig_stop(&rig, true);
    rig_start(&rig);
    rig_wait(&rig);
    rig_dump(&rig, &ahead);
    CHECK_STR(followed.data, ahead.data);
    check(&rig, "SELECT count(*) > 20000 AND sum(memo IS NULL) > 9000 AND min(actor) = 'a' || char(9) || 'b' FROM move", "1");
    check(&rig, "SELECT count(*), sum(error LIKE 'event%old'), sum(error LIKE '%not JSON%'), sum(error LIKE '%CHECK%') FROM _cairn_fault",
          "7|3|3|1");
    for (int i = 0; i < 6; i++) {
        CHECK_OK(runner_rebuild(rig.runner, 0, CAIRN_ON_ERROR_SKIP, &error));
        if (i % 2 == 0) {
            error_ignore(runner_do(rig.runner, CAIRN_PROJECTION_PAUSE, &error));
            error_ignore(runner_do(rig.runner, CAIRN_PROJECTION_RESUME, &error));
        } else {
            rig_stop(&rig, false);
            rig_start(&rig);
        }
        error_ignore(runner_rebuild_wait(rig.runner, RIG_WAIT_MS, &position, &error));
        rig_wait(&rig);
        buf_clear(&ahead);
        rig_dump(&rig, &ahead);
        CHECK_STR(followed.data, ahead.data);
    }
    buf_free(&followed);
    buf_free(&ahead);
    rig_close(&rig);
}

/* ---- rebuilding --------------------------------------------------------------------------------------- */

struct writer {
    struct rig *rig;
    atomic_bool quit;
    atomic_uint count;
};

static void *
write_on(void *context)
{
    struct writer *writer = context;
    while (!atomic_load(&writer->quit)) {
        char stream[32];
        snprintf(stream, sizeof stream, "account-%u", writer->count % 50);
        rig_append(writer->rig, stream, writer->count < 50 ? "Opened" : "Moved", "{\"amount\":1}");
        writer->count++;
    }
    return NULL;
}

/* A reader on one connection per model: what it sees never goes back and is never half there. */
static void *
read_on(void *context)
{
    struct writer *reader = context;
    int64_t before = 0;
    while (!atomic_load(&reader->quit)) {
        char value[512];
        long long sum, n;
        rig_value(reader->rig, "SELECT ifnull(sum(balance), 0), ifnull(sum(n), 0) FROM account", value);
        assert_int_equal(sscanf(value, "%lld|%lld", &sum, &n), 2);
        assert_true(sum == n && sum >= before);
        before = sum;
        reader->count++;
    }
    return NULL;
}

/* Goal: rebuilds under live writes lose and double nothing, and nobody sees one half done.
 * Method: a writer, a reader that asserts that what it sees only grows; rebuilds one after another. */
TEST(rebuilds_under_live_writes)
{
    struct rig rig;
    pthread_t threads[2];
    rig_open(&rig, ACCOUNT);
    rig_start(&rig);
    struct writer writer = {.rig = &rig}, reader = {.rig = &rig};
    CHECK_INT(pthread_create(&threads[0], NULL, write_on, &writer), 0);
    CHECK_INT(pthread_create(&threads[1], NULL, read_on, &reader), 0);
    for (unsigned i = 0; i < 8 * test_scale() || writer.count < 100; i++) {
        uint64_t position, before = generation(&rig);
        cairn_error error = {0};
        CHECK_OK(runner_rebuild(rig.runner, 0, CAIRN_ON_ERROR_STOP, &error));
        if (runner_rebuild_wait(rig.runner, RIG_WAIT_MS, &position, &error) != CAIRN_OK)
            fail_msg("%s", error.detail);
        CHECK(generation(&rig) == before + 1);
        check(&rig, "SELECT ifnull(sum(balance) = sum(n), 1) FROM account", "1"); /* the first may find nothing yet */
    }
    atomic_store(&writer.quit, true);
    atomic_store(&reader.quit, true);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    rig_wait(&rig);
    struct buf live = {0}, fresh = {0};
    rig_dump(&rig, &live);
    rig_dump_fresh(&rig, &fresh);
    CHECK_STR(live.data, fresh.data);
    char expected[64];
    snprintf(expected, sizeof expected, "%u", writer.count - 50);
    check(&rig, "SELECT sum(n) FROM account", expected);
    CHECK(reader.count > 0);
    buf_free(&live);
    buf_free(&fresh);
    rig_close(&rig);
}

/* Goal: a changed projection is built beside; the old model answers until then, and is gone afterwards. */
TEST(a_changed_projection)
{
    struct rig rig;
    char path[256];
    struct stat found;
    rig_open(&rig, ACCOUNT);
    rig.options.on_error = CAIRN_ON_ERROR_SKIP;
    append_story(&rig);
    rig_start(&rig);
    rig_wait(&rig);
    uint64_t before = generation(&rig);
    snprintf(path, sizeof path, "%s/model-%llu.db", rig.models, (unsigned long long)before);
    CHECK(stat(path, &found) == 0);
    rig_stop(&rig, false);
    projection_free(rig.projection);
    rig.projection = rig_parse(ACCOUNT "-- on Noted\nUPDATE account SET n = n + 100 WHERE id = :stream_id;\n");
    rig_append(&rig, "account-1", "Noted", "{}");
    rig.options.on_error = CAIRN_ON_ERROR_STOP; /* what was skipped before is skipped again */
    rig_start(&rig);
    until_rebuilt(&rig, before);
    rig_wait(&rig);
    check(&rig, "SELECT balance, n FROM account", "90|102");
    before = generation(&rig);
    rig_stop(&rig, false);
    CHECK(stat(path, &found) != 0);
    /* Events read differently: the same. */
    rig.options.salt = 7;
    rig_start(&rig);
    until_rebuilt(&rig, before);
    rig_stop(&rig, true);
    snprintf(path, sizeof path, "ls -A %s | grep -q .", rig.models);
    CHECK(system(path) != 0); /* forgotten: nothing is left */
    rig_close(&rig);
}

/* Goal: a rebuild that stands at an event is given up for whoever waits; the old model goes on. */
TEST(a_rebuild_that_fails)
{
    struct rig rig;
    uint64_t position;
    cairn_error error = {0};
    rig_open(&rig, ACCOUNT);
    rig.options.on_error = CAIRN_ON_ERROR_PARK;
    append_story(&rig);
    rig_start(&rig);
    rig_wait(&rig);
    act(&rig, CAIRN_PROJECTION_REPLAY_PARKED); /* now nothing was decided, and in order it cannot be applied */
    rig_until(&rig, "\"parked\":0");
    CHECK_OK(runner_rebuild(rig.runner, 0, CAIRN_ON_ERROR_STOP, &error));
    CHECK_INT(runner_rebuild_wait(rig.runner, RIG_WAIT_MS, &position, &error), CAIRN_E_SCRIPT);
    CHECK(strstr(error.detail, "position 3") != NULL);
    rig_until(&rig, "\"rebuild\":null");
    rig_append(&rig, "account-1", "Moved", "{\"amount\":1}");
    rig_wait(&rig);
    check(&rig, "SELECT balance, n FROM account", "11|4");
    CHECK_OK(runner_rebuild(rig.runner, 0, CAIRN_ON_ERROR_PARK, &error));
    CHECK_OK(runner_rebuild_wait(rig.runner, RIG_WAIT_MS, &position, &error));
    rig_until(&rig, "\"parked\":1");
    rig_close(&rig);
}

/* Goal: a changed projection whose rebuild stands at an event says so, though the old read model answers; it goes on when
 * somebody decides. */
TEST(a_changed_projection_that_fails)
{
    struct rig rig;
    struct buf status = {0};
    struct runner_numbers numbers;
    cairn_error error = {0};
    rig_open(&rig, ACCOUNT);
    rig_append(&rig, "account-1", "Opened", "{}");
    rig_append(&rig, "account-1", "Moved", "{\"amount\":50}");
    rig_append(&rig, "account-1", "Moved", "{\"amount\":7}");
    rig_start(&rig);
    rig_wait(&rig);
    rig_stop(&rig, false);
    projection_free(rig.projection);
    rig.projection = rig_parse(ACCOUNT "DELETE FROM account WHERE :data.amount = 50 AND abs(-9223372036854775807 - 1);\n");
    rig_append(&rig, "account-1", "Moved", "{\"amount\":3}");
    uint64_t position = 1;
    for (int round = 0; round < 2; round++) {
        rig_start(&rig);
        rig_until(&rig, "\"state\":\"stopped\",\"from\":0");
        rig_status(&rig, &status);
        CHECK(strstr(status.data, "{\"name\":\"model\",\"state\":\"stopped\"") != NULL);
        CHECK(strstr(status.data, "\"position\":1,\"stream\":\"account-1\",\"type\":\"Moved\",\"error\":\"line 9: integer overflow\"")
              != NULL);
        CHECK(strstr(status.data, "\"outdated\":true") != NULL);
        runner_numbers(rig.runner, &numbers);
        CHECK_INT(numbers.state, 3);
        CHECK_INT(runner_wait(rig.runner, 3, 1000, &error), CAIRN_OK); /* the old one is there */
        CHECK_INT(runner_wait(rig.runner, 4, RIG_WAIT_MS, &error), CAIRN_E_SCRIPT);
        CHECK(strstr(error.detail, "position 1: line 9") != NULL);
        check(&rig, "SELECT balance, n FROM account", "57|2");
        if (round == 0)
            rig_stop(&rig, false);
    }
    act(&rig, CAIRN_PROJECTION_SKIP);
    CHECK_OK(runner_rebuild_wait(rig.runner, RIG_WAIT_MS, &position, &error));
    rig_wait(&rig);
    check(&rig, "SELECT balance, n FROM account", "10|2");
    rig_until(&rig, "\"outdated\":false");
    rig_until(&rig, "\"state\":\"running\"");
    buf_free(&status);
    rig_close(&rig);
}

/* ---- the past ------------------------------------------------------------------------------------------------ */

/* Goal: the model as of any position is the one that ends there, with and without kept copies.
 * Method: the balance is the number of events before. */
TEST(as_of)
{
    struct rig rig;
    uint64_t seed = test_seed();
    cairn_error error = {0};
    rig_open(&rig, "-- table\nCREATE TABLE c (id INTEGER PRIMARY KEY, n INTEGER);\nCREATE VIRTUAL TABLE f USING fts5(x);\n"
             "-- on A\nINSERT INTO c VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET n = n + 1;\n"
             "INSERT INTO f VALUES ('word ' || :position);\n");
    rig.options.checkpoint_every = 100;
    rig_start(&rig);
    for (int i = 0; i < 3000; i++)
        rig_append(&rig, "a-1", "A", "{}");
    rig_wait(&rig);
    rig_append(&rig, "a-1", "A", "{}");
    for (int i = 0; i < 30; i++) {
        uint64_t end = i == 0 ? 0 : test_random(&seed) % 3010;
        uint64_t is = end < 3001 ? end : 3001;
        struct model *model;
        char value[64], expected[64];
        if (runner_hold_as_of(rig.runner, end, RIG_WAIT_MS, &model, &error) != CAIRN_OK)
            fail_msg("as of %llu: %s", (unsigned long long)end, error.detail);
        CHECK_INT(model->position, is);
        sqlite3 *db;
        sqlite3_stmt *read;
        CHECK_OK(sql_open(model->path, SQL_READ, &db, &error));
        CHECK_INT(sqlite3_prepare_v2(db, "SELECT ifnull((SELECT n FROM c), 0), (SELECT count(*) FROM f('word'))", -1, &read,
                                     NULL), SQLITE_OK);
        CHECK_INT(sqlite3_step(read), SQLITE_ROW);
        snprintf(value, sizeof value, "%d %d", sqlite3_column_int(read, 0), sqlite3_column_int(read, 1));
        snprintf(expected, sizeof expected, "%d %d", (int)is, (int)is);
        CHECK_STR(value, expected);
        sqlite3_finalize(read);
        sql_close(db);
        model_release(model);
    }
    struct runner *runner = rig.runner;
    pthread_mutex_lock(&runner->lock);
    size_t kept = runner->copies.kept_count;
    uint64_t newest = kept > 0 ? runner->copies.kept[kept - 1].position : 0;
    pthread_mutex_unlock(&runner->lock);
    CHECK(kept >= 1 && kept <= RUNNER_COPIES_MAX);
    /* From the newest copy: the end is the same. */
    uint64_t position;
    CHECK_OK(runner_rebuild(runner, newest, CAIRN_ON_ERROR_STOP, &error));
    CHECK_OK(runner_rebuild_wait(runner, RIG_WAIT_MS, &position, &error));
    check(&rig, "SELECT n, (SELECT count(*) FROM f('word')) FROM c", "3001|3001");
    rig_stop(&rig, false);
    rig_start(&rig); /* kept copies are found again */
    runner = rig.runner;
    CHECK(runner->copies.kept_count >= 1);
    rig_close(&rig);
}

/* ---- damage -------------------------------------------------------------------------------------------------- */

static void
garble(const char *path, unsigned kind, uint64_t *seed)
{
    FILE *file = fopen(path, "r+b");
    CHECK(file != NULL);
    CHECK_INT(fseek(file, 0, SEEK_END), 0);
    long size = ftell(file);
    if (kind == 0) {
        CHECK_INT(ftruncate(fileno(file), size / 2 / 4096 * 4096), 0);
    } else if (kind == 1) {
        CHECK_INT(ftruncate(fileno(file), 0), 0);
    } else {
        for (int i = 0; i < 20; i++) {
            long at = kind == 2 ? 4096 + (long)(test_random(seed) % (uint64_t)(size - 4096 - 64)) : i;
            CHECK_INT(fseek(file, at, SEEK_SET), 0);
            char noise[64];
            for (size_t j = 0; j < sizeof noise; j++)
                noise[j] = (char)test_random(seed);
            CHECK_INT(fwrite(noise, 1, sizeof noise, file), sizeof noise);
        }
    }
    fclose(file);
}

/* Goal: whatever has become of the file, the read model is right again, and the log line says so.
 * Method: truncated, emptied, garbled pages, garbled header, missing pointer, another store's file. */
TEST(damaged_files)
{
    struct rig rig;
    uint64_t seed = test_seed();
    struct buf good = {0}, again = {0};
    char path[256];
    rig_open(&rig, ACCOUNT);
    for (int i = 0; i < 3000; i++) {
        char stream[32];
        snprintf(stream, sizeof stream, "account-%d", i);
        rig_append(&rig, stream, "Opened", "{}");
    }
    rig_start(&rig);
    rig_wait(&rig);
    rig_dump(&rig, &good);
    for (unsigned kind = 0; kind < 6 * test_scale(); kind++) {
        struct model *model = runner_hold(rig.runner);
        snprintf(path, sizeof path, "%s", model->path);
        model_release(model);
        rig_stop(&rig, false);
        if (kind % 6 == 5)
            CHECK_INT(unlink(path), 0);
        else if (kind % 6 == 4) {
            snprintf(path, sizeof path, "%s/model.current", rig.models);
            CHECK_INT(unlink(path), 0);
        } else
            garble(path, kind % 6, &seed);
        rig_start(&rig);
        rig_wait(&rig);
        buf_clear(&again);
        rig_dump(&rig, &again);
        CHECK_STR(good.data, again.data);
    }
    buf_free(&good);
    buf_free(&again);
    rig_close(&rig);
}

/* Goal: a read model of another log, or of one that was longer, is not taken for this one's. */
TEST(another_log)
{
    struct rig rig;
    char store[96];
    rig_open(&rig, ACCOUNT);
    for (int i = 0; i < 10; i++) {
        char stream[32];
        snprintf(stream, sizeof stream, "account-%d", i);
        rig_append(&rig, stream, "Opened", "{}");
    }
    rig_start(&rig);
    rig_wait(&rig);
    for (int longer = 0; longer < 2; longer++) {
        rig_stop(&rig, false);
        cairn_close(rig.store);
        snprintf(store, sizeof store, "%.64s/store-%d", rig.folder, longer);
        memcpy(rig.store_path, store, sizeof store);
        rig_open_store(&rig);
        for (int i = 0; i < (longer ? 20 : 3); i++)
            rig_append(&rig, i == 0 ? "account-only" : "else-1", i == 0 ? "Opened" : "Noise", "{}");
        rig_start(&rig);
        rig_wait(&rig);
        check(&rig, "SELECT group_concat(id) FROM account", "\"only\"");
    }
    rig_close(&rig);
}

/* Goal: a reader that meets damage has the model built anew, while it is used. */
TEST(a_reader_finds_damage)
{
    struct rig rig;
    rig_open(&rig, ACCOUNT);
    append_story(&rig);
    rig.options.on_error = CAIRN_ON_ERROR_SKIP;
    rig_start(&rig);
    rig_wait(&rig);
    uint64_t before = generation(&rig);
    struct model *model = runner_hold(rig.runner);
    model_damaged(model);
    rig_append(&rig, "account-1", "Moved", "{\"amount\":1}");
    until_rebuilt(&rig, before);
    model_release(model);
    rig_wait(&rig);
    check(&rig, "SELECT balance, n FROM account", "91|3");
    rig_close(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(stops_at_an_event), RUN(parks_and_replays), RUN(gives_up_and_takes_back), RUN(many_faults), RUN(pauses), RUN(reads_ahead), RUN(rebuilds_under_live_writes),
        RUN(a_changed_projection), RUN(a_rebuild_that_fails),
        RUN(a_changed_projection_that_fails), RUN(as_of), RUN(damaged_files), RUN(another_log),
        RUN(a_reader_finds_damage)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
