/* Every allocation in the bus's way fails in turn: out of memory is an ordinary error.
 *
 * Goal: whoever submitted a command is refused or told, what was told as done is there, nothing crashes or leaks, and with
 * memory again the bus goes on, on states that are true.
 * Method: no_memory.h, in every thread. Ten commands at once on two accounts, of every kind; the n-th allocation fails,
 * n = 1, 2, …, until a run meets no fault. */
#include "bus_rig.h"
#include "no_memory.h"

#define COMMANDS 10

static struct rig rig;

static const struct {
    const char *name, *data, *key;
} commands[COMMANDS] = {
    {"Deposit", "{\"account\":1,\"amount\":9}", NULL},       {"Deposit", "{\"account\":2,\"amount\":9}", "a"},
    {"Withdraw", "{\"account\":1,\"amount\":900}", NULL},    {"Withdraw", "{\"account\":1,\"amount\":900}", "b"},
    {"Move", "{\"account\":2,\"to\":1,\"amount\":3}", "c"},  {"Deposit", "{\"account\":2,\"amount\":9}", "a"},
    {"Enrol", "{\"course\":1,\"student\":1}", NULL},         {"Enrol", "{\"course\":1,\"student\":2}", "d"},
    {"Break", "{\"account\":1}", NULL},                      {"Nothing", "{\"account\":2}", "e"},
};

static bool
is_fine(cairn_err err)
{
    return err == CAIRN_OK || err == CAIRN_E_REJECTED || err == CAIRN_E_NOMEM || err == CAIRN_E_SCRIPT;
}

static void
run_all(void)
{
    struct came came[COMMANDS];
    bool told[COMMANDS];
    for (int i = 0; i < COMMANDS; i++) {
        const cairn_command command = {.name = cairn_cstr(commands[i].name), .data = cairn_cstr(commands[i].data),
                                       .key = cairn_cstr(commands[i].key), .deadline_ms = 60000};
        cairn_err err = rig_submit(&rig, &command, &came[i]);
        CHECK(err == CAIRN_OK || err == CAIRN_E_NOMEM);
        told[i] = err == CAIRN_OK;
    }
    for (int i = 0; i < COMMANDS; i++) {
        if (!told[i])
            continue;
        rig_await(&came[i]);
        if (!is_fine(came[i].err))
            fail_msg("command %d: %s: %s", i, cairn_err_name(came[i].err), came[i].detail);
    }
}

static int64_t
rejected_balance(const char *data)
{
    struct came came;
    CHECK_INT(rig_do(&rig, "Withdraw", data, NULL, &came), CAIRN_E_REJECTED);
    return rig_number(cairn_cstr(came.details), "balance");
}

TEST(memory_runs_out_anywhere)
{
    uint64_t fail_at = 1;
    for (;; fail_at++) {
        rig = (struct rig){.apps = {.workers = 1}};
        rig_begin(&rig);
        struct came came;
        CHECK_OK(rig_do(&rig, "Deposit", "{\"account\":1,\"amount\":1}", NULL, &came)); /* a state is there, another is not */
        memory_fails(fail_at, false);
        run_all();
        bool fired = memory_returns();
        run_all(); /* with memory again: what was refused is done, what was done is repeated */
        CHECK_INT(rejected_balance("{\"account\":1,\"amount\":100000}"), rig_balance(rig.store, "account-1", NULL));
        CHECK_INT(rejected_balance("{\"account\":2,\"amount\":100000}"), rig_balance(rig.store, "account-2", NULL));
        int64_t balance = rig_balance(rig.store, "account-2", NULL);
        CHECK(balance == 6 || balance == 9); /* the move came first and was rejected: then it stays so, by its key */
        rig_end(&rig);
        if (!fired)
            break;
    }
    printf("%llu allocations failed\n", (unsigned long long)fail_at - 1);
    CHECK(fail_at > 30);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(memory_runs_out_anywhere)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
