/* States at a revision, aggregates built again, decisions taken again. */
#include "bus_rig.h"

static struct rig rig;
static char shown[300];
static char last_line[1024];

static bool
show(void *context, cairn_str bytes)
{
    (void)context;
    rig_copy(shown, sizeof shown, bytes);
    return true;
}

static void
take_line(void *context, cairn_log_level level, cairn_str line)
{
    (void)context;
    if (level == CAIRN_LOG_WARN)
        rig_copy(last_line, sizeof last_line, line);
}

static void
begin(void)
{
    rig = (struct rig){.apps = {.workers = 2, .log = take_line}};
    rig_begin(&rig);
    struct came came;
    for (int i = 0; i < 150; i++)
        CHECK_OK(rig_do(&rig, "Deposit", "{\"account\":1,\"amount\":2}", NULL, &came));
    CHECK_OK(rig_do(&rig, "Move", "{\"account\":1,\"to\":2,\"amount\":100}", "k", &came));
    CHECK_OK(rig_do(&rig, "Withdraw", "{\"account\":2,\"amount\":30}", NULL, &came));
}

static int64_t
shown_balance(const char *stream, int64_t revision)
{
    CHECK_OK(bus_state(rig.bus, rig.app, 0, cairn_cstr(stream), revision, show, NULL, NULL));
    return rig_number(cairn_cstr(shown), "balance");
}

/* Goal: the state at any revision is the fold of the events up to it, with and without a snapshot before it. */
TEST(state_at_a_revision)
{
    begin();
    CHECK_INT(shown_balance("account-1", 0), 2);
    CHECK_INT(shown_balance("account-1", 99), 200);
    CHECK_INT(shown_balance("account-1", 120), 242);
    CHECK_INT(shown_balance("account-1", -1), 200);
    CHECK_INT(shown_balance("account-2", -1), 70);
    CHECK_INT(shown_balance("account-9", -1), 0);
    CHECK_INT(bus_state(rig.bus, rig.app, 1, CAIRN_STR("student-1"), -1, show, NULL, NULL), CAIRN_E_UNSUPPORTED);
    rig_end(&rig);
}

/* Goal: what was decided is decided again, and nothing differs; an aggregate built again has the snapshot it had. */
TEST(replay_finds_no_difference)
{
    begin();
    struct bus_replay_counts counts = {0};
    CHECK_OK(bus_replay_stream(rig.bus, rig.app, CAIRN_STR("account-1"), true, true, &counts, NULL));
    CHECK(counts.events == 151 && counts.commands == 151 && counts.differing == 0 && counts.failed == 0);
    counts = (struct bus_replay_counts){0};
    CHECK_OK(bus_replay_stream(rig.bus, rig.app, CAIRN_STR("account-2"), true, true, &counts, NULL));
    CHECK(counts.events == 2 && counts.commands == 1 && counts.differing == 0);
    cairn_snapshot snapshot;
    void *memory;
    CHECK_OK(cairn_snapshot_get(rig.store, 0, CAIRN_STR("account-1"), &snapshot, &memory, NULL));
    CHECK_INT(snapshot.revision, 150);
    cairn_free(memory);
    CHECK_INT(bus_replay_stream(rig.bus, rig.app, CAIRN_STR("other-1"), true, true, &counts, NULL), CAIRN_E_NOTFOUND);
    rig_end(&rig);
}

static cairn_err
other_decide(void *self, const void *state, const cairn_command *command, cairn_decision *decision, cairn_error *error)
{
    if (cairn_str_equal(command->name, CAIRN_STR("Move")))
        return cairn_decide_reject(decision, CAIRN_STR("no"), CAIRN_STR("no more"), (cairn_str){0});
    if (((const struct account *)state)->count == 7)
        return account_event(decision, (cairn_str){0}, "Deposited", 999, (cairn_str){0});
    return account_decide(self, state, command, decision, error);
}

static cairn_err
other_evolve(void *self, void *state, const cairn_recorded *event, cairn_error *error)
{
    cairn_err err = account_evolve(self, state, event, error);
    ((struct account *)state)->balance += event->revision == 50;
    return err;
}

/* Goal: a decider that decides otherwise is found out, and a snapshot that its evolve would not have made.
 * Method: deploy one that rejects moves and once gives other data; then one whose evolve adds one. */
TEST(replay_finds_differences)
{
    static cairn_decider other;
    const cairn_decider *const deciders[] = {&other, &rig_seats};
    begin();
    struct bus_replay_counts counts = {0};
    CHECK_OK(bus_replay_stream(rig.bus, rig.app, CAIRN_STR("account-1"), true, false, &counts, NULL));
    CHECK_INT(counts.commands, 0);
    other = rig_account;
    other.decide = other_decide;
    bus_app_release(rig.app);
    rig.app = rig_deploy(&rig, deciders);
    counts = (struct bus_replay_counts){0};
    CHECK_OK(bus_replay_stream(rig.bus, rig.app, CAIRN_STR("account-1"), false, true, &counts, NULL));
    CHECK_INT(counts.commands, 151);
    CHECK_INT(counts.differing, 2);
    CHECK(strstr(last_line, "would be rejected") != NULL);
    other = rig_account;
    other.evolve = other_evolve;
    counts = (struct bus_replay_counts){0};
    CHECK_OK(bus_replay_stream(rig.bus, rig.app, CAIRN_STR("account-1"), false, false, &counts, NULL));
    CHECK_INT(counts.differing, 1);
    CHECK(strstr(last_line, "snapshot") != NULL);
    rig_end(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(state_at_a_revision), RUN(replay_finds_no_difference),
                                       RUN(replay_finds_differences)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
