/* The command bus: what a command comes to, what is written, keys, rejections, faults, deadlines, versions. */
#include "bus_rig.h"

#include <os/os.h>
#include <sched.h>
#include <store/store.h>

static struct rig rig;

static void
begin(void)
{
    rig = (struct rig){.apps = {.workers = 2}};
    rig_begin(&rig);
}

/* The n-th event of a stream; strings live until the reader is freed. */
static cairn_reader *
event_at(const char *stream, int64_t revision, cairn_recorded *ret)
{
    cairn_reader *reader;
    CHECK_OK(cairn_read_stream(rig.store, cairn_cstr(stream), &(cairn_read_options){.from = revision}, &reader, NULL));
    CHECK_OK(cairn_reader_next(reader, ret, NULL));
    return reader;
}

static bool
meta_is(const cairn_recorded *event, const char *name, const char *text)
{
    return json_string_is(json_get(json_trusted(event->event.meta), name), text);
}

/* Goal: a command that is decided is written with everything that the header promises.
 * Method: one with correlation, causation, actor and meta; read its event back. */
TEST(events_bear_the_command)
{
    begin();
    struct came came;
    const cairn_command command = {
        .name = CAIRN_STR("Deposit"), .data = CAIRN_STR("{\"account\":7,\"amount\":5}"), .correlation = CAIRN_STR("c1"),
        .causation = CAIRN_STR("c0"), .actor = CAIRN_STR("ann"), .meta = CAIRN_STR("{\"trace\":[1], \"actor\":\"eve\"}")};
    CHECK_OK(rig_run(&rig, &command, &came));
    CHECK_STR(came.stream, "account-7");
    CHECK_STR(came.type, "Deposited");
    CHECK_INT(came.event_count, 1);
    CHECK_INT(came.at.revision, 0);
    CHECK(came.position == came.at.last_position && came.at.first_position == came.at.last_position);
    cairn_recorded event;
    cairn_reader *reader = event_at("account-7", 0, &event);
    CHECK_INT(event.position, came.position);
    CHECK_INT(event.event.schema_id, 11);
    CHECK(cairn_str_equal(event.event.correlation, CAIRN_STR("c1")));
    CHECK(meta_is(&event, "correlation", "c1") && meta_is(&event, "causation", "c0") && meta_is(&event, "actor", "ann"));
    struct json meta = json_trusted(event.event.meta), bears = json_get(meta, "command");
    CHECK(cairn_str_equal(json_get(meta, "trace").raw, CAIRN_STR("[1]")));
    CHECK_INT(json_count(meta), 5);
    CHECK(json_string_is(json_get(bears, "name"), "Deposit"));
    CHECK(cairn_str_equal(json_get(bears, "data").raw, command.data));
    CHECK(json_get(bears, "time").type == JSON_STRING);
    CHECK_INT(event.event.id.bytes[6] >> 4, 7);
    cairn_reader_free(reader);
    rig_end(&rig);
}

/* Goal: commands on one stream are decided in order, each on what the one before left, without waiting for the disk.
 * Method: submit 200 without waiting; the withdrawals hold only if each sees every earlier one. */
TEST(decided_in_order_on_states_in_flight)
{
    begin();
    struct came came[200];
    for (int i = 0; i < 200; i++) {
        const cairn_command command = {.name = i % 2 ? CAIRN_STR("Withdraw") : CAIRN_STR("Deposit"),
                                       .data = CAIRN_STR("{\"account\":1,\"amount\":3}")};
        CHECK_OK(rig_submit(&rig, &command, &came[i]));
    }
    for (int i = 0; i < 200; i++) {
        rig_await(&came[i]);
        CHECK_OK(came[i].err);
        CHECK_INT(came[i].at.revision, i);
        CHECK_INT(came[i].tries, 1);
    }
    CHECK_INT(rig_balance(rig.store, "account-1", NULL), 0);
    rig_end(&rig);
}

/* Goal: a state that was kept is the state that the log gives, times and positions included.
 * Method: a few commands; the state by the bus's history, which reads the log, before and after a restart. */
TEST(state_is_what_the_log_says)
{
    begin();
    struct came came;
    for (int i = 0; i < 5; i++)
        CHECK_OK(rig_do(&rig, "Deposit", "{\"account\":1,\"amount\":3}", NULL, &came));
    CHECK_INT(rig_do(&rig, "Withdraw", "{\"account\":1,\"amount\":99}", NULL, &came), CAIRN_E_REJECTED);
    CHECK_STR(came.code, "insufficient");
    CHECK_STR(came.details, "{\"balance\":15}");
    CHECK_INT(came.event_count, 0);
    rig_stop(&rig);
    rig_start(&rig);
    CHECK_INT(rig_do(&rig, "Withdraw", "{\"account\":1,\"amount\":99}", NULL, &came), CAIRN_E_REJECTED);
    CHECK_STR(came.details, "{\"balance\":15}");
    CHECK_OK(rig_do(&rig, "Nothing", "{\"account\":1}", NULL, &came));
    CHECK_INT(came.event_count, 0);
    rig_end(&rig);
}

/* Goal: events in several streams are one append; the other stream is not expected anywhere.
 * Method: move money; both are there next to each other; with too little, neither is. */
TEST(one_decision_over_two_streams)
{
    begin();
    struct came came;
    CHECK_OK(rig_do(&rig, "Deposit", "{\"account\":1,\"amount\":10}", NULL, &came));
    CHECK_OK(rig_do(&rig, "Move", "{\"account\":1,\"to\":2,\"amount\":4}", NULL, &came));
    CHECK_INT(came.at.last_position, came.at.first_position + 1);
    CHECK_INT(came.at.revision, 1); /* of the command's stream */
    CHECK_INT(rig_do(&rig, "Move", "{\"account\":1,\"to\":2,\"amount\":7}", NULL, &came), CAIRN_E_REJECTED);
    CHECK_OK(rig_do(&rig, "Withdraw", "{\"account\":2,\"amount\":4}", NULL, &came));
    CHECK_INT(rig_balance(rig.store, "account-1", NULL), 6);
    CHECK_INT(rig_balance(rig.store, "account-2", NULL), 0);
    rig_end(&rig);
}

/* Goal: a state never hides what others have written.
 * Method: write to the stream from outside between commands: rejections and appends rest on it. */
TEST(outside_writers_are_seen)
{
    begin();
    struct came came;
    CHECK_OK(rig_do(&rig, "Deposit", "{\"account\":1,\"amount\":10}", NULL, &came));
    const cairn_event out = {.type = CAIRN_STR("Withdrawn"), .data = CAIRN_STR("{\"amount\":8}")};
    cairn_at at;
    CHECK_OK(cairn_append(rig.store, 0, CAIRN_STR("account-1"), CAIRN_ANY, &out, 1, &at, NULL));
    CHECK_INT(rig_do(&rig, "Withdraw", "{\"account\":1,\"amount\":3}", NULL, &came), CAIRN_E_REJECTED);
    CHECK_STR(came.details, "{\"balance\":2}");
    CHECK_OK(cairn_delete(rig.store, 0, CAIRN_STR("account-1"), CAIRN_ANY, false, NULL));
    CHECK_INT(rig_do(&rig, "Withdraw", "{\"account\":1,\"amount\":3}", NULL, &came), CAIRN_E_REJECTED);
    CHECK_STR(came.details, "{\"balance\":0}");
    CHECK_OK(rig_do(&rig, "Deposit", "{\"account\":1,\"amount\":1}", NULL, &came));
    CHECK_INT(came.at.revision, 2);
    CHECK_OK(cairn_delete(rig.store, 0, CAIRN_STR("account-1"), CAIRN_ANY, true, NULL));
    CHECK_INT(rig_do(&rig, "Deposit", "{\"account\":1,\"amount\":1}", NULL, &came), CAIRN_E_GONE);
    rig_end(&rig);
}

/* ---- keys -------------------------------------------------------------------------------------------- */

/* Goal: the same key gives the same answer, also after a restart, for what was decided and for rejections; another
 * command or other data under it is refused.
 * Method: run each twice, restart, run again; count the events. */
TEST(key_gives_the_same_answer)
{
    begin();
    struct came first, again, rejected;
    CHECK_OK(rig_do(&rig, "Deposit", "{\"account\":1,\"amount\":10}", "k1", &first));
    CHECK(!first.repeated);
    CHECK_INT(rig_do(&rig, "Withdraw", "{\"account\":1,\"amount\":50}", "k2", &rejected), CAIRN_E_REJECTED);
    CHECK_OK(rig_do(&rig, "Deposit", "{\"account\":1,\"amount\":100}", "k3", &again));
    CHECK_OK(rig_do(&rig, "Move", "{\"account\":1,\"to\":2,\"amount\":1}", "k4", &again));
    CHECK_OK(rig_do(&rig, "Nothing", "{\"account\":1}", "k5", &again));
    for (int i = 0; i < 2; i++) {
        CHECK_OK(rig_do(&rig, "Deposit", "{\"account\":1,\"amount\":10}", "k1", &again));
        CHECK(again.repeated && memcmp(&again.id, &first.id, 16) == 0);
        CHECK(again.at.first_position == first.at.first_position && again.at.last_position == first.at.last_position
              && again.at.revision == first.at.revision && again.position == first.position);
        CHECK_STR(again.type, "Deposited");
        CHECK_STR(again.stream, "account-1");
        CHECK_INT(rig_do(&rig, "Withdraw", "{\"account\":1,\"amount\":50}", "k2", &again), CAIRN_E_REJECTED);
        CHECK(again.repeated);
        CHECK_STR(again.code, rejected.code);
        CHECK_STR(again.message, rejected.message);
        CHECK_STR(again.details, rejected.details);
        CHECK_INT(rig_do(&rig, "Deposit", "{\"account\":1,\"amount\":11}", "k1", &again), CAIRN_E_EXISTS);
        CHECK_INT(rig_do(&rig, "Withdraw", "{\"account\":1,\"amount\":10}", "k1", &again), CAIRN_E_EXISTS);
        CHECK_OK(rig_do(&rig, "Move", "{\"account\":1,\"to\":2,\"amount\":1}", "k4", &again));
        CHECK(again.repeated && again.event_count == 2 && again.at.last_position == again.at.first_position + 1);
        CHECK_OK(rig_do(&rig, "Nothing", "{\"account\":1}", "k5", &again));
        CHECK(again.repeated && again.event_count == 0);
        rig_stop(&rig);
        rig_start(&rig);
    }
    CHECK_INT(rig_balance(rig.store, "account-1", NULL), 109);
    rig_end(&rig);
}

/* Goal: the same key at the same time has one effect, and all get its answer.
 * Method: 50 at once. */
TEST(key_at_the_same_time)
{
    begin();
    struct came came[50];
    const cairn_command command = {.name = CAIRN_STR("Deposit"), .data = CAIRN_STR("{\"account\":1,\"amount\":1}"),
                                   .key = CAIRN_STR("once")};
    for (int i = 0; i < 50; i++)
        CHECK_OK(rig_submit(&rig, &command, &came[i]));
    int repeated = 0;
    for (int i = 0; i < 50; i++) {
        rig_await(&came[i]);
        CHECK_OK(came[i].err);
        CHECK_INT(came[i].position, came[0].position);
        repeated += came[i].repeated;
    }
    CHECK_INT(repeated, 49);
    CHECK_INT(rig_balance(rig.store, "account-1", NULL), 1);
    rig_end(&rig);
}

static struct os_ops shifted_ops;
static struct os shifted = {&shifted_ops};
static _Atomic int64_t shift_us;

static int64_t
shifted_now(struct os *os)
{
    (void)os;
    return os_now_us(os_real()) + shift_us;
}

/* Goal: after a week a key may be used anew, and its new answer counts.
 * Method: a machine whose clock is set on by eight days between two commands of the same key. */
TEST(key_is_forgotten_after_a_week)
{
    rig = (struct rig){.apps = {.workers = 1}};
    test_folder(rig.folder);
    shifted_ops = *os_real()->ops;
    shifted_ops.now_us = shifted_now;
    CHECK_OK(cairn_store_open_on(&shifted, rig.folder, &(cairn_options){.create = true}, &rig.store, NULL));
    CHECK_OK(bus_create(&(struct bus_options){rig.store, &rig.apps}, &rig.bus, NULL));
    rig.app = rig_deploy(&rig, rig_both);
    struct came first, second, third;
    CHECK_OK(rig_do(&rig, "Deposit", "{\"account\":1,\"amount\":1}", "k", &first));
    shift_us = INT64_C(8) * 24 * 3600 * 1000000;
    CHECK_OK(rig_do(&rig, "Deposit", "{\"account\":1,\"amount\":2}", "k", &second));
    CHECK(!second.repeated);
    CHECK_OK(rig_do(&rig, "Deposit", "{\"account\":1,\"amount\":2}", "k", &third));
    CHECK(third.repeated && third.position == second.position);
    CHECK_INT(rig_balance(rig.store, "account-1", NULL), 3);
    rig_end(&rig);
}

/* ---- over several streams -------------------------------------------------------------------------------- */

static _Atomic int denied;

static cairn_err
authorise(void *context, cairn_scope scope, cairn_str actor, cairn_str permission, cairn_error *error)
{
    (void)context, (void)scope;
    CHECK(cairn_str_equal(permission, CAIRN_STR("seats.enrol")));
    if (cairn_str_equal(actor, CAIRN_STR("eve")))
        return (void)denied++, error_set(error, CAIRN_E_DENIED, "not eve");
    return CAIRN_OK;
}

/* Goal: a decision over several streams never rests on what has changed.
 * Method: 40 enrol at once into 10 seats of each of two courses, every one into a stream of his own, while some are
 * enrolled from outside. */
TEST(seats_are_not_overbooked)
{
    rig = (struct rig){.apps = {.workers = 2, .authorise = authorise}};
    rig_begin(&rig);
    struct came came[80];
    char data[80][64];
    int taken = 0;
    for (int i = 0; i < 80; i++) {
        snprintf(data[i], sizeof data[i], "{\"course\":%d,\"student\":%d}", i % 2, i);
        const cairn_command command = {.name = CAIRN_STR("Enrol"), .data = cairn_cstr(data[i])};
        CHECK_OK(rig_submit(&rig, &command, &came[i]));
        if (i == 10) {
            const cairn_str tag = CAIRN_STR("course:0");
            const cairn_event event = {.type = CAIRN_STR("Enrolled"), .data = CAIRN_STR("{}"), .tags = &tag, .tag_count = 1};
            cairn_at at;
            CHECK_OK(cairn_append(rig.store, 0, CAIRN_STR("student-x"), CAIRN_ANY, &event, 1, &at, NULL));
        }
    }
    for (int i = 0; i < 80; i++) {
        rig_await(&came[i]);
        CHECK(came[i].err == CAIRN_OK || came[i].err == CAIRN_E_REJECTED);
        taken += came[i].err == CAIRN_OK;
    }
    CHECK(taken == 2 * RIG_SEATS - 1 || taken == 2 * RIG_SEATS); /* the one from outside may have come when it was full */
    const cairn_command eve = {.name = CAIRN_STR("Enrol"), .data = CAIRN_STR("{\"course\":5,\"student\":5}"),
                               .actor = CAIRN_STR("eve")};
    CHECK_INT(rig_run(&rig, &eve, &came[0]), CAIRN_E_DENIED);
    CHECK_INT(denied, 1);
    rig_end(&rig);
}

/* ---- faults ------------------------------------------------------------------------------------------------ */

/* Goal: what is wrong with a command or with what its decider makes is said, and nothing is written. */
TEST(faults_write_nothing)
{
    begin();
    struct came came;
    CHECK_INT(rig_do(&rig, "Deposit", "{\"amount\":1}", NULL, &came), CAIRN_E_INVALID);
    CHECK(strstr(came.detail, "account") != NULL);
    CHECK_INT(rig_do(&rig, "Deposit", "[1]", NULL, &came), CAIRN_E_INVALID);
    CHECK_INT(rig_do(&rig, "Deposit", "{", NULL, &came), CAIRN_E_INVALID);
    CHECK_INT(rig_do(&rig, "Break", "{\"account\":1}", NULL, &came), CAIRN_E_SCRIPT);
    CHECK_STR(came.detail, "account.c:12: broken");
    CHECK_INT(rig_do(&rig, "Break", "{\"account\":1}", "key", &came), CAIRN_E_SCRIPT);
    CHECK_INT(rig_do(&rig, "Invalid", "{\"account\":1}", "key2", &came), CAIRN_E_SCRIPT);
    CHECK(strstr(came.detail, "Deposited") != NULL);
    const cairn_command unknown = {.name = CAIRN_STR("Unknown"), .data = CAIRN_STR("{}")};
    CHECK_INT(rig_submit(&rig, &unknown, &came), CAIRN_E_NOTFOUND);
    CHECK_INT(cairn_end(rig.store), 0);
    CHECK_OK(rig_do(&rig, "Deposit", "{\"account\":1,\"amount\":1}", "key", &came));
    rig_end(&rig);
}

static _Atomic uint32_t gate;

static cairn_err
slow_decide(void *self, const void *state, const cairn_command *command, cairn_decision *decision, cairn_error *error)
{
    while (atomic_load(&gate) == 0)
        os_wait(&gate, 0, UINT64_MAX);
    return account_decide(self, state, command, decision, error);
}

/* Goal: the bounded queue answers when it is full; a command whose deadline passes while it waits is not decided.
 * Method: a decider that waits at a gate; five commands where four may wait; then the deadline passes, the gate opens. */
TEST(queue_and_deadline)
{
    static cairn_decider slow;
    slow = rig_account;
    slow.decide = slow_decide;
    const cairn_decider *const deciders[] = {&slow, &rig_seats};
    rig = (struct rig){.apps = {.workers = 1, .commands_waiting_max = 4}};
    test_folder(rig.folder);
    rig_start(&rig);
    bus_app_release(rig.app);
    rig.app = rig_deploy(&rig, deciders);
    struct came came[5];
    for (int i = 0; i < 5; i++) {
        const cairn_command command = {.name = CAIRN_STR("Deposit"), .data = CAIRN_STR("{\"account\":1,\"amount\":1}"),
                                       .deadline_ms = i == 0 ? 100000 : 1};
        CHECK_OK(rig_submit(&rig, &command, &came[i]));
    }
    rig_await(&came[4]);
    CHECK_INT(came[4].err, CAIRN_E_BUSY);
    int64_t until_us = os_monotonic_us(os_real()) + 1000; /* all four were submitted before: their deadline has passed then */
    while (os_monotonic_us(os_real()) <= until_us)
        sched_yield();
    atomic_store(&gate, 1);
    os_wake(&gate, INT32_MAX);
    for (int i = 0; i < 4; i++) {
        rig_await(&came[i]);
        CHECK_INT(came[i].err, i == 0 ? CAIRN_OK : CAIRN_E_TIMEOUT);
    }
    CHECK_INT(rig_balance(rig.store, "account-1", NULL), 1);
    rig_end(&rig);
}

/* ---- snapshots, cache, versions ---------------------------------------------------------------------------- */

static void
await_snapshots(uint64_t count)
{
    struct bus_numbers numbers;
    _Atomic uint32_t never = 0;
    do {
        os_wait(&never, 0, 1000);
        bus_numbers(rig.bus, &numbers);
    } while (numbers.snapshots_taken < count);
}

/* Goal: a snapshot is kept beside the commands, used by whoever loads, and not used by another evolve.
 * Method: 250 deposits; restart; count what is evolved; the same with a decider of another fingerprint. */
TEST(snapshots_are_used)
{
    begin();
    struct came came;
    struct bus_numbers numbers;
    for (int i = 0; i < 250; i++)
        CHECK_OK(rig_do(&rig, "Deposit", "{\"account\":1,\"amount\":1}", NULL, &came));
    await_snapshots(2);
    rig_stop(&rig);
    rig_start(&rig);
    rig_evolved = 0;
    CHECK_OK(rig_do(&rig, "Deposit", "{\"account\":1,\"amount\":1}", NULL, &came));
    CHECK_INT(rig_evolved, 51); /* 200 … 249 and its own */
    bus_numbers(rig.bus, &numbers);
    CHECK_INT(numbers.snapshots_used, 1);
    const cairn_decider *const other[] = {&rig_account_2, &rig_seats};
    bus_app_release(rig.app);
    rig.app = rig_deploy(&rig, other);
    rig_evolved = 0;
    CHECK_INT(rig_do(&rig, "Withdraw", "{\"account\":1,\"amount\":1000}", NULL, &came), CAIRN_E_REJECTED);
    CHECK_STR(came.details, "{\"balance\":251}");
    CHECK_INT(rig_evolved, 251);
    bus_numbers(rig.bus, &numbers);
    CHECK_INT(numbers.snapshots_dropped, 1);
    rig_end(&rig);
}

/* Goal: the cache keeps to its bytes, and what was dropped is loaded again.
 * Method: 300 accounts in room for a few, twice over. */
TEST(cache_is_bounded)
{
    rig = (struct rig){.apps = {.workers = 1, .state_cache_bytes = 8192}};
    rig_begin(&rig);
    struct came came;
    struct bus_numbers numbers;
    char data[64];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 300; i++) {
            snprintf(data, sizeof data, "{\"account\":%d,\"amount\":2}", i);
            CHECK_OK(rig_do(&rig, round ? "Withdraw" : "Deposit", data, NULL, &came));
        }
    }
    bus_numbers(rig.bus, &numbers);
    CHECK(numbers.cache_bytes <= 8192 + 512 && numbers.cache_entries < 40);
    CHECK(numbers.cache_misses >= 500);
    rig_end(&rig);
}

/* Goal: a new version takes over stream by stream, commands under way finish on theirs, and the old one goes.
 * Method: submit many by turns to two versions; release the first; wait until it is gone. */
TEST(versions_take_turns)
{
    begin();
    struct came came[100];
    const cairn_decider *const other[] = {&rig_account_2, &rig_seats};
    struct bus_app *first = rig.app, *second = rig_deploy(&rig, other);
    for (int i = 0; i < 100; i++) {
        const cairn_command command = {.name = CAIRN_STR("Deposit"), .data = CAIRN_STR("{\"account\":1,\"amount\":1}")};
        rig.app = i % 3 ? first : second;
        CHECK_OK(rig_submit(&rig, &command, &came[i]));
    }
    bus_app_release(first);
    for (int i = 0; i < 100; i++) {
        rig_await(&came[i]);
        CHECK_OK(came[i].err);
    }
    rig.app = second;
    CHECK_OK(rig_do(&rig, "Deposit", "{\"account\":1,\"amount\":1}", NULL, &came[0]));
    CHECK_INT(rig_balance(rig.store, "account-1", NULL), 101);
    while (atomic_load(&rig.gone) == 0)
        os_wait(&rig.gone, 0, UINT64_MAX);
    rig_end(&rig);
    CHECK_INT(rig.gone, 2);
}

/* ---- around a command ----------------------------------------------------------------------------------------- */

static char last_line[1024];
static _Atomic int befores, afters;

static void
take_line(void *context, cairn_log_level level, cairn_str line)
{
    (void)context, (void)level;
    rig_copy(last_line, sizeof last_line, line);
}

static cairn_err
before(void *context, const cairn_command *command, cairn_error *error)
{
    (void)context;
    befores++;
    return json_get(json_trusted(command->data), "refuse").type == JSON_TRUE ? error_set(error, CAIRN_E_DENIED, "refused")
                                                                              : CAIRN_OK;
}

static void
after(void *context, const cairn_command *command, cairn_err err, uint64_t took_us)
{
    (void)context, (void)command, (void)err, (void)took_us;
    afters++;
}

/* Goal: middleware is around every command; its line and its numbers say what became of it. */
TEST(middleware_line_and_numbers)
{
    const cairn_middleware middleware = {.before = before, .after = after};
    rig = (struct rig){.apps = {.workers = 1, .middleware = &middleware, .middleware_count = 1, .log = take_line, .log_commands = true}};
    rig_begin(&rig);
    struct came came;
    CHECK_INT(rig_do(&rig, "Deposit", "{\"account\":1,\"amount\":1,\"refuse\":true}", NULL, &came), CAIRN_E_DENIED);
    CHECK_STR(came.detail, "refused");
    CHECK_OK(rig_do(&rig, "Deposit", "{\"account\":\"a b\",\"amount\":1}", NULL, &came));
    CHECK(strncmp(last_line, "command=Deposit app=bank stream=\"account-a b\" outcome=ok took_us=", 60) == 0);
    CHECK(strstr(last_line, " tries=1 id=") != NULL && strstr(last_line, " actor=ann") != NULL);
    CHECK(befores == 2 && afters == 2);
    struct buf text = {0};
    bus_metrics(rig.bus, &text);
    buf_put_char(&text, '\0');
    CHECK(strstr(text.data, "cairn_commands_total{app=\"bank\",command=\"Deposit\",outcome=\"ok\"} 1\n") != NULL);
    CHECK(strstr(text.data, "cairn_commands_total{app=\"bank\",command=\"Deposit\",outcome=\"denied\"} 1\n") != NULL);
    CHECK(strstr(text.data, "cairn_command_seconds_count{app=\"bank\",command=\"Deposit\"} 2\n") != NULL);
    buf_free(&text);
    rig_end(&rig);
}

/* Goal: without log_commands only what went wrong has a line. */
TEST(lines_are_left_out)
{
    rig = (struct rig){.apps = {.workers = 1, .log = take_line}};
    rig_begin(&rig);
    struct came came;
    last_line[0] = '\0';
    CHECK_OK(rig_do(&rig, "Deposit", "{\"account\":1,\"amount\":1}", NULL, &came));
    CHECK_INT(rig_do(&rig, "Withdraw", "{\"account\":1,\"amount\":100}", NULL, &came), CAIRN_E_REJECTED);
    CHECK_STR(last_line, "");
    CHECK_INT(rig_do(&rig, "Break", "{\"account\":1}", NULL, &came), CAIRN_E_SCRIPT);
    CHECK(strstr(last_line, " outcome=script ") != NULL);
    rig_end(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(events_bear_the_command), RUN(decided_in_order_on_states_in_flight), RUN(state_is_what_the_log_says),
        RUN(one_decision_over_two_streams), RUN(outside_writers_are_seen), RUN(key_gives_the_same_answer),
        RUN(key_at_the_same_time),
        RUN(key_is_forgotten_after_a_week), RUN(seats_are_not_overbooked), RUN(faults_write_nothing), RUN(queue_and_deadline),
        RUN(snapshots_are_used), RUN(cache_is_bounded), RUN(versions_take_turns), RUN(middleware_line_and_numbers),
        RUN(lines_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
