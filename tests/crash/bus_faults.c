/* The disk fails, or is full for a moment, while commands are in flight, each decided on the one before.
 *
 * Goal: everybody is told; what was told as done is there; after a full disk the bus goes on, on states that are true.
 * Method: 120 commands at once on few accounts, half of them with keys; the n-th write or sync fails, n = 1, 2, …, until a
 * run meets no fault. With EIO the log is finished: reopen and compare. With ENOSPC go on: ask for too much of every account
 * and compare the balance in the rejection with the log's. */
#include "bus_rig.h"

#include <errno.h>
#include <os/twin.h>
#include <store/store.h>

#define COMMANDS 120
#define ACCOUNTS 4

static struct rig rig;
static struct os_faulty faulty;
static struct came came[COMMANDS];

static void
start(void)
{
    cairn_error error = {0};
    if (cairn_store_open_on(&faulty.os, rig.folder, &(cairn_options){.create = true, .segment_size_bytes = 256 << 10},
                            &rig.store, &error) != CAIRN_OK)
        fail_msg("%s", error.detail);
    CHECK_OK(bus_create(&(struct bus_options){rig.store, &rig.apps}, &rig.bus, NULL));
    rig.app = rig_deploy(&rig, rig_both);
}

static void
submit(int i, struct came *to)
{
    static const char *const names[] = {"Deposit", "Deposit", "Withdraw", "Move", "Nothing"};
    char data[100], key[24];
    snprintf(data, sizeof data, "{\"account\":%d,\"to\":%d,\"amount\":%d}", i % ACCOUNTS, (i + 1) % ACCOUNTS, 1 + i % 7);
    snprintf(key, sizeof key, "key-%d", i);
    const cairn_command command = {.name = cairn_cstr(names[i / ACCOUNTS % 5]), .data = cairn_cstr(data),
                                   .key = i % 2 ? cairn_cstr(key) : (cairn_str){0}, .deadline_ms = 60000};
    CHECK_OK(rig_submit(&rig, &command, to));
}

static void
run_all(cairn_err allowed)
{
    for (int i = 0; i < COMMANDS; i++)
        submit(i, &came[i]);
    for (int i = 0; i < COMMANDS; i++) {
        rig_await(&came[i]);
        if (came[i].err != CAIRN_OK && came[i].err != CAIRN_E_REJECTED && came[i].err != allowed)
            fail_msg("command %d: %s: %s", i, cairn_err_name(came[i].err), came[i].detail);
    }
}

/* Every command that was told to be done is there as it was told, and no command twice. */
static void
check_log(void)
{
    cairn_reader *reader;
    cairn_recorded event;
    int64_t balances[ACCOUNTS] = {0};
    size_t seen[COMMANDS] = {0};
    CHECK_OK(cairn_read_all(rig.store, &(cairn_read_options){0}, &reader, NULL));
    while (cairn_reader_next(reader, &event, NULL) == CAIRN_OK) {
        struct arena arena = {0};
        cairn_uuid id;
        int64_t amount = rig_number(event.event.data, "amount");
        int64_t *balance = &balances[event.stream.data[event.stream.size - 1] - '0'];
        *balance += cairn_str_equal(event.event.type, CAIRN_STR("Deposited")) ? amount : -amount;
        CHECK(*balance >= 0);
        CHECK(parse_uuid(json_string(json_get(json_get(json_trusted(event.event.meta), "command"), "id"), &arena), &id));
        arena_free(&arena);
        for (int i = 0; i < COMMANDS; i++)
            if (memcmp(&came[i].id, &id, 16) == 0)
                CHECK(came[i].err != CAIRN_OK || event.position == came[i].at.first_position + seen[i]++);
    }
    cairn_reader_free(reader);
    for (int i = 0; i < COMMANDS; i++)
        CHECK(came[i].err != CAIRN_OK || seen[i] == came[i].event_count);
}

/* What the bus holds of each account is what the log holds. */
static void
check_states(void)
{
    for (int i = 0; i < ACCOUNTS; i++) {
        char stream[32], data[64], balance[64];
        struct came rejected;
        snprintf(stream, sizeof stream, "account-%d", i);
        snprintf(data, sizeof data, "{\"account\":%d,\"amount\":1000000}", i);
        CHECK_INT(rig_do(&rig, "Withdraw", data, NULL, &rejected), CAIRN_E_REJECTED);
        snprintf(balance, sizeof balance, "{\"balance\":%lld}", (long long)rig_balance(rig.store, stream, NULL));
        CHECK_STR(rejected.details, balance);
    }
}

static void
check_keys(void)
{
    for (int i = 1; i < COMMANDS; i += 2) {
        struct came again;
        if (came[i].err != CAIRN_OK && came[i].err != CAIRN_E_REJECTED)
            continue;
        submit(i, &again);
        rig_await(&again);
        CHECK(again.repeated && again.err == came[i].err && again.position == came[i].position);
        CHECK(memcmp(&again.id, &came[i].id, 16) == 0);
        CHECK_STR(again.details, came[i].details);
    }
}

/* The log's threads are at work already. */
static void
fail_at(uint64_t call)
{
    __atomic_store_n(&faulty.fail_at, call, __ATOMIC_SEQ_CST);
}

static unsigned
play(unsigned kinds, int errno_value)
{
    for (unsigned at = 1;; at++) {
        rig = (struct rig){.apps = {.workers = 2}};
        test_folder(rig.folder);
        os_faulty_init(&faulty, os_real());
        faulty.kinds = kinds;
        faulty.errno_value = errno_value;
        faulty.torn = at % 2;
        start();
        fail_at(__atomic_load_n(&faulty.calls, __ATOMIC_SEQ_CST) + at);
        run_all(errno_value == EIO ? CAIRN_E_IO : CAIRN_E_NOSPACE);
        bool fired = __atomic_load_n(&faulty.fired, __ATOMIC_SEQ_CST);
        fail_at(0);
        if (errno_value == EIO) {
            rig_stop(&rig);
            os_faulty_init(&faulty, os_real());
            start();
        } else {
            check_log();
            check_states();
            for (int i = 0; i < 40; i++)
                submit(i * 2, &came[i * 2]); /* without keys */
            for (int i = 0; i < 40; i++) {
                rig_await(&came[i * 2]);
                if (came[i * 2].err != CAIRN_OK && came[i * 2].err != CAIRN_E_REJECTED)
                    fail_msg("after the full disk: %s: %s", cairn_err_name(came[i * 2].err), came[i * 2].detail);
            }
        }
        check_log();
        check_states();
        check_keys();
        rig_end(&rig);
        if (!fired)
            return at - 1;
        if (at == 40)
            return at;
    }
}

TEST(commands_survive_a_failing_disk)
{
    unsigned writes = play(OS_FAULT_WRITE, EIO), syncs = play(OS_FAULT_SYNC, EIO);
    printf("%u failing writes, %u failing syncs\n", writes, syncs);
    CHECK(writes > 1 && syncs > 1);
}

TEST(commands_survive_a_full_disk)
{
    unsigned writes = play(OS_FAULT_WRITE, ENOSPC);
    printf("%u full disks\n", writes);
    CHECK(writes > 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(commands_survive_a_failing_disk), RUN(commands_survive_a_full_disk)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
