/* Goal: whatever happens to a projection, its read model is the one that building it from nothing gives.
 * Method: random events (some cannot be applied), and between them random restarts, pauses, rebuilds (given up by a stop, or
 * finished), skips and retries, copies small enough that many are made. At the end all rows are compared with those of a model
 * in plain C, and with those of a projection that begins with nothing. */
#include "projection_rig.h"

#define ACCOUNTS 40
#define ROUNDS 60

static const char TEXT[] =
    "-- from account, audit\n-- table\n"
    "CREATE TABLE account (id TEXT PRIMARY KEY, balance INTEGER NOT NULL CHECK (balance >= 0), moves INTEGER NOT NULL,"
    " last TEXT);\n"
    "CREATE TABLE entry (n INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT, amount INTEGER, day TEXT);\n"
    "CREATE INDEX by_account ON entry (account);\n"
    "CREATE VIRTUAL TABLE note USING fts5(account UNINDEXED, text);\n"
    "CREATE TRIGGER told AFTER UPDATE OF balance ON account WHEN new.balance = 0 BEGIN\n"
    " INSERT INTO note VALUES (new.id, 'empty at ' || new.moves); END;\n"
    "-- on Moved\n"
    "INSERT INTO entry (account, amount, day) VALUES (:stream_id, :data.amount, date('now'));\n"
    "INSERT INTO account VALUES (:stream_id, 0, 0, NULL) ON CONFLICT (id) DO NOTHING;\n"
    "UPDATE account SET balance = balance + :data.amount, moves = moves + 1, last = :data.memo.text WHERE id = :stream_id;\n"
    "-- on Noted\nINSERT INTO note VALUES (:stream_id, :data.memo.text);\n";

struct account {
    int64_t balance;
    unsigned moves;
};

struct play {
    struct rig rig;
    struct account accounts[ACCOUNTS];
    unsigned entries, bad;
    uint64_t seed;
};

/* What the statements do, in C. */
static void
append_random(struct play *play)
{
    char stream[32], data[128];
    unsigned i = (unsigned)(test_random(&play->seed) % ACCOUNTS);
    uint64_t what = test_random(&play->seed) % 20;
    int64_t amount = (int64_t)(test_random(&play->seed) % 60) - 25;
    snprintf(data, sizeof data, "{\"amount\":%lld,\"memo\":{\"text\":\"word%llu \\u00e4\"},\"x\":[1,2]}", (long long)amount,
             (unsigned long long)what);
    if (what < 2)
        snprintf(stream, sizeof stream, "elsewhere-%u", i);
    else
        snprintf(stream, sizeof stream, "account-%u", i);
    rig_append(&play->rig, stream, what == 19 ? "Noted" : what == 18 ? "Ignored" : "Moved", data);
    if (what < 2 || what >= 18)
        return;
    struct account *account = &play->accounts[i];
    if (account->balance + amount < 0) {
        play->bad++;
        return;
    }
    account->balance += amount;
    account->moves++;
    play->entries++;
}

static void
random_action(struct play *play)
{
    static const cairn_projection_action ACTIONS[] = {CAIRN_PROJECTION_PAUSE, CAIRN_PROJECTION_RESUME,
                                                      CAIRN_PROJECTION_RETRY, CAIRN_PROJECTION_SKIP,
                                                      CAIRN_PROJECTION_SKIP, CAIRN_PROJECTION_REBUILD};
    struct rig *rig = &play->rig;
    uint64_t what = test_random(&play->seed) % 9;
    cairn_error error = {0};
    if (what < 6)
        (void)!runner_do(rig->runner, ACTIONS[what], &error);
    else if (what == 6)
        (void)!runner_rebuild(rig->runner, test_random(&play->seed) % (cairn_end(rig->store) + 1), CAIRN_ON_ERROR_SKIP,
                              &error);
    else if (what == 7) {
        rig_stop(rig, false);
        rig->options.on_error = test_random(&play->seed) % 2 ? CAIRN_ON_ERROR_SKIP : CAIRN_ON_ERROR_STOP;
        rig_start(rig);
    } else
        error_ignore(runner_wait(rig->runner, cairn_end(rig->store), 20, &error));
}

static void
settle(struct play *play)
{
    struct rig *rig = &play->rig;
    uint64_t position;
    cairn_error error = {0};
    rig_stop(rig, false);
    rig->options.on_error = CAIRN_ON_ERROR_SKIP;
    rig_start(rig);
    for (int i = 0; i < 3; i++) /* the rebuild's pause, the serving one's */
        (void)!runner_do(rig->runner, CAIRN_PROJECTION_RESUME, &error);
    error_ignore(runner_rebuild_wait(rig->runner, RIG_WAIT_MS, &position, &error));
    (void)!runner_do(rig->runner, CAIRN_PROJECTION_RESUME, &error);
    rig_wait(rig);
}

static void
check_model(struct play *play)
{
    char sql[128], value[512], expected[64];
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        if (play->accounts[i].moves == 0)
            continue;
        snprintf(sql, sizeof sql, "SELECT balance, moves, (SELECT count(*) FROM entry WHERE account = id) FROM account"
                 " WHERE id = '%u'", i);
        rig_value(&play->rig, sql, value);
        snprintf(expected, sizeof expected, "%lld|%u|%u", (long long)play->accounts[i].balance, play->accounts[i].moves,
                 play->accounts[i].moves);
        CHECK_STR(value, expected);
    }
    rig_value(&play->rig, "SELECT count(*), max(n) FROM entry", value);
    snprintf(expected, sizeof expected, "%u|%u", play->entries, play->entries);
    CHECK_STR(value, expected);
    rig_value(&play->rig, "SELECT (SELECT count(*) FROM _cairn_fault)", value);
    snprintf(expected, sizeof expected, "%u", play->bad);
    CHECK_STR(value, expected);
}

TEST(the_model_is_a_function_of_the_events)
{
    struct play play = {.seed = test_seed()};
    rig_open(&play.rig, TEXT);
    play.rig.options.checkpoint_every = 50;
    rig_start(&play.rig);
    for (unsigned round = 0; round < ROUNDS * test_scale(); round++) {
        unsigned count = (unsigned)(test_random(&play.seed) % 40);
        for (unsigned i = 0; i < count; i++)
            append_random(&play);
        random_action(&play);
    }
    settle(&play);
    check_model(&play);
    struct buf live = {0}, fresh = {0};
    rig_dump(&play.rig, &live);
    rig_dump_fresh(&play.rig, &fresh);
    CHECK_STR(live.data, fresh.data);
    printf("%llu events, %u could not be applied\n", (unsigned long long)cairn_end(play.rig.store), play.bad);
    CHECK(play.bad > 0 && play.entries > 0);
    buf_free(&live);
    buf_free(&fresh);
    rig_close(&play.rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(the_model_is_a_function_of_the_events)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
