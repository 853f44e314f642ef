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

/* ---- over several streams ---------------------------------------------------------------------------------- */

/* As rig_seats, but what was decided shows the state that it rested on, and one event is of another stream, before the own. */
static cairn_err
numbering_decide(void *self, const void *state, const cairn_command *command, cairn_decision *decision, cairn_error *error)
{
    (void)self, (void)error;
    const struct account *seats = state;
    char data[100], seat[40];
    if (seats->count >= 2 * RIG_SEATS)
        return cairn_decide_reject(decision, CAIRN_STR("full"), CAIRN_STR("the course is full"), (cairn_str){0});
    snprintf(seat, sizeof seat, "seat-%lld", (long long)rig_number(command->data, "course"));
    int size = snprintf(data, sizeof data, "{\"course\":%lld,\"taken\":%llu}", (long long)rig_number(command->data, "course"),
                        (unsigned long long)seats->count);
    const cairn_event event = {.type = CAIRN_STR("Enrolled"), .data = {data, (size_t)size}};
    cairn_err err = cairn_decide_event(decision, cairn_cstr(seat), &event);
    return err == CAIRN_OK ? cairn_decide_event(decision, (cairn_str){0}, &event) : err;
}

static cairn_err
stricter_decide(void *self, const void *state, const cairn_command *command, cairn_decision *decision, cairn_error *error)
{
    if (((const struct account *)state)->count == 4)
        return cairn_decide_reject(decision, CAIRN_STR("full"), CAIRN_STR("the course is full"), (cairn_str){0});
    return numbering_decide(self, state, command, decision, error);
}

static cairn_err
failing_evolve(void *self, void *state, const cairn_recorded *event, cairn_error *error)
{
    if (rig_number(event->event.data, "course") == 2 && ((struct account *)state)->count == 2)
        return error_set(error, CAIRN_E_SCRIPT, "seats.c:7: broken");
    return account_evolve(self, state, event, error);
}

static int found_count;
static char found_first[100], found_what[300];

static void
take_found(void *context, cairn_str stream, const cairn_error *what)
{
    CHECK(context == &rig);
    if (found_count++ > 0)
        return;
    rig_copy(found_first, sizeof found_first, stream);
    rig_copy(found_what, sizeof found_what, cairn_cstr(what->detail));
}

static bool
stop_at_once(void *context, uint64_t done, uint64_t total)
{
    (void)context;
    CHECK(done < total);
    return false;
}

static void
deploy_seats(const cairn_decider *seats)
{
    static const cairn_decider *deciders[16][2]; /* the workers let go of an earlier version's states later */
    static size_t used;
    CHECK(used < 16);
    bus_app_release(rig.app);
    deciders[used][0] = &rig_account;
    deciders[used][1] = seats;
    rig.app = rig_deploy(&rig, deciders[used++]);
}

static struct bus_replay_counts
check_queries(const cairn_decider *seats)
{
    const struct bus_replay_watch watch = {.found = take_found, .context = &rig};
    struct bus_replay_counts counts = {0};
    cairn_error error = {0};
    deploy_seats(seats);
    found_count = 0;
    if (bus_replay_queries(rig.bus, rig.app, &watch, &counts, &error) != CAIRN_OK)
        fail_msg("%s", error.detail);
    return counts;
}

static void
begin_courses(const cairn_decider *seats)
{
    struct came came;
    char data[100];
    rig = (struct rig){.apps = {.workers = 2, .log = take_line}};
    rig_begin(&rig);
    deploy_seats(seats);
    for (int student = 0; student < 6; student++)
        for (int course = 1; course <= 2; course++) {
            snprintf(data, sizeof data, "{\"course\":%d,\"student\":%d}", course, student % 4);
            CHECK_OK(rig_do(&rig, "Enrol", data, student == 3 ? data : NULL, &came));
            CHECK_OK(rig_do(&rig, "Deposit", "{\"account\":1,\"amount\":2}", NULL, &came));
        }
}

/* Goal: decisions over several streams are taken again once each, on the state that they rested on; a decider that decides
 * otherwise is found out, with the command's stream; so is one that fails.
 * Method: two courses, whose students' streams hold events of both, two events a decision, the first of another stream. */
TEST(replay_over_several_streams)
{
    static cairn_decider seats, stricter, failing;
    seats = rig_seats;
    seats.decide = numbering_decide;
    stricter = failing = seats;
    stricter.decide = stricter_decide;
    failing.evolve = failing_evolve;
    begin_courses(&seats);
    struct bus_replay_counts counts = check_queries(&seats);
    CHECK(counts.commands == 12 && counts.differing == 0 && counts.failed == 0 && counts.left_out == 0);
    CHECK_INT(found_count, 0);
    counts = check_queries(&stricter);
    CHECK(counts.commands == 12 && counts.differing == 2 && counts.failed == 0);
    CHECK_INT(found_count, 2);
    CHECK_STR(found_first, "student-2");
    CHECK_STR(found_what, "revision 0: it would be rejected now");
    counts = check_queries(&failing);
    CHECK(counts.commands == 8 && counts.failed == 4 && counts.differing == 0); /* all but two of the second course */
    CHECK(strstr(found_what, "seats.c:7: broken") != NULL);
    CHECK_INT(bus_replay_queries(rig.bus, rig.app, &(struct bus_replay_watch){.go_on = stop_at_once}, &counts, NULL),
              CAIRN_E_CLOSED);
    counts = (struct bus_replay_counts){0};
    CHECK_OK(bus_replay_stream(rig.bus, rig.app, CAIRN_STR("account-1"), false, true, &counts, NULL));
    CHECK(counts.commands == 12 && counts.differing == 0 && counts.left_out == 0);
    rig_end(&rig);
}

/* Goal: states are let go of, and made again, where there are more queries than are kept. */
TEST(replay_of_many_queries)
{
    static cairn_decider seats;
    struct came came;
    char data[100];
    seats = rig_seats;
    seats.decide = numbering_decide;
    begin_courses(&seats);
    for (int course = 0; course < 700; course++) {
        snprintf(data, sizeof data, "{\"course\":%d,\"student\":1}", 10 + course % 350);
        CHECK_OK(rig_do(&rig, "Enrol", data, NULL, &came));
    }
    struct bus_replay_counts counts = check_queries(&seats);
    CHECK(counts.commands == 712 && counts.differing == 0 && counts.failed == 0 && counts.left_out == 0);
    rig_end(&rig);
}

/* Goal: what cannot be decided again is counted: commands whose data was not recorded, that the app has no more, that are about
 * another stream now. One whose first event is of another stream is decided again. */
TEST(replay_says_what_is_left_out)
{
    static cairn_decider seats;
    static char data[80000];
    const cairn_str enrol = rig_commands[6].stream, move = rig_commands[2].name;
    struct came came;
    seats = rig_seats;
    seats.decide = numbering_decide;
    begin_courses(&seats);
    int size = snprintf(data, sizeof data, "{\"account\":7,\"course\":7,\"student\":7,\"amount\":5,\"pad\":\"");
    memset(data + size, 'x', 70000);
    memcpy(data + size + 70000, "\"}", 3);
    CHECK_OK(rig_do(&rig, "Enrol", data, NULL, &came));
    CHECK_OK(rig_do(&rig, "Deposit", data, NULL, &came));
    CHECK_OK(rig_do(&rig, "Deposit", "{\"account\":7,\"amount\":5}", NULL, &came));
    CHECK_OK(rig_do(&rig, "Move", "{\"account\":7,\"to\":8,\"amount\":1}", NULL, &came));
    struct bus_replay_counts counts = check_queries(&seats);
    CHECK(counts.commands == 12 && counts.differing == 0 && counts.left_out == 1);
    counts = (struct bus_replay_counts){0};
    CHECK_OK(bus_replay_stream(rig.bus, rig.app, CAIRN_STR("account-7"), false, true, &counts, NULL));
    CHECK(counts.commands == 2 && counts.differing == 0 && counts.left_out == 1);
    rig_commands[2].name = CAIRN_STR("Moved");
    rig_commands[6].stream = CAIRN_STR("pupil-{student}");
    counts = (struct bus_replay_counts){0};
    CHECK_OK(bus_replay_stream(rig.bus, rig.app, CAIRN_STR("account-7"), false, true, &counts, NULL));
    CHECK(counts.commands == 1 && counts.left_out == 2);
    counts = check_queries(&seats);
    CHECK(counts.commands == 0 && counts.left_out == 13);
    rig_commands[2].name = move;
    rig_commands[6].stream = enrol;
    rig_end(&rig);
}

static cairn_err
other_first_decide(void *self, const void *state, const cairn_command *command, cairn_decision *decision, cairn_error *error)
{
    if (!cairn_str_equal(command->name, CAIRN_STR("Deposit")))
        return account_decide(self, state, command, decision, error);
    cairn_err err = account_event(decision, CAIRN_STR("audit-1"), "Deposited", 1, (cairn_str){0});
    return err == CAIRN_OK ? account_event(decision, (cairn_str){0}, "Deposited", ((const struct account *)state)->balance + 1,
                                           (cairn_str){0}) : err;
}

/* Goal: a decision of one stream is taken again also where its first event is another stream's. */
TEST(replay_finds_where_it_began)
{
    static cairn_decider other;
    const cairn_decider *const deciders[] = {&other, &rig_seats};
    struct came came;
    other = rig_account;
    other.decide = other_first_decide;
    rig = (struct rig){.apps = {.workers = 2, .log = take_line}};
    rig_begin(&rig);
    bus_app_release(rig.app);
    rig.app = rig_deploy(&rig, deciders);
    for (int i = 0; i < 5; i++)
        CHECK_OK(rig_do(&rig, "Deposit", "{\"account\":1,\"amount\":2}", NULL, &came));
    struct bus_replay_counts counts = {0};
    CHECK_OK(bus_replay_stream(rig.bus, rig.app, CAIRN_STR("account-1"), false, true, &counts, NULL));
    CHECK(counts.commands == 5 && counts.differing == 0 && counts.left_out == 0);
    other.decide = account_decide;
    counts = (struct bus_replay_counts){0};
    CHECK_OK(bus_replay_stream(rig.bus, rig.app, CAIRN_STR("account-1"), false, true, &counts, NULL));
    CHECK(counts.commands == 5 && counts.differing == 5);
    rig_end(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(state_at_a_revision), RUN(replay_finds_no_difference),
                                       RUN(replay_finds_differences), RUN(replay_over_several_streams),
                                       RUN(replay_of_many_queries), RUN(replay_says_what_is_left_out),
                                       RUN(replay_finds_where_it_began)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
