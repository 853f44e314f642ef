/* bus_rig.h: a bus on a store in a temporary folder, with an app of two deciders in C:
 *
 *   account    stream account-{account}: Deposit {account, amount, note?}, Withdraw (rejected "insufficient"), Nothing,
 *              Move {account, to, amount}: an event here and one in the other account's stream
 *   seats      over several streams: Enrol {course, student}, at most SEATS events tagged course:{course} */
#ifndef TESTS_BUS_RIG_H
#define TESTS_BUS_RIG_H

#include <app/bus.h>
#include <base/error.h>
#include <base/json.h>
#include <base/text.h>
#include <os/wait.h>
#include <pthread.h>

#include "test.h"

#define RIG_SEATS 10

struct account {
    int64_t balance;
    uint64_t count;
    int64_t time_us; /* of the last event: a state that was loaded has the same as one that was kept */
    uint64_t position;
};

static _Atomic uint64_t rig_evolved, rig_decided, rig_states;

static cairn_err
account_new(void *self, cairn_str stream, void **ret, cairn_error *error)
{
    (void)self, (void)stream;
    *ret = calloc(1, sizeof(struct account));
    rig_states += *ret != NULL;
    return *ret ? CAIRN_OK : error_set(error, CAIRN_E_NOMEM, "no memory");
}

static void
account_free(void *self, void *state)
{
    (void)self;
    rig_states--;
    free(state);
}

static size_t
account_size(void *self, const void *state)
{
    (void)self, (void)state;
    return sizeof(struct account);
}

static int64_t
rig_number(cairn_str data, const char *name)
{
    int64_t n = 0;
    (void)json_i64(json_get(json_trusted(data), name), &n);
    return n;
}

static cairn_err
account_evolve(void *self, void *state, const cairn_recorded *event, cairn_error *error)
{
    (void)self, (void)error;
    struct account *account = state;
    int64_t amount = rig_number(event->event.data, "amount");
    rig_evolved++;
    if (cairn_str_equal(event->event.type, CAIRN_STR("Deposited")))
        account->balance += amount;
    else if (cairn_str_equal(event->event.type, CAIRN_STR("Withdrawn")))
        account->balance -= amount;
    account->count++;
    account->time_us = event->time_us;
    account->position = event->position;
    return CAIRN_OK;
}

static cairn_err
account_event(cairn_decision *decision, cairn_str stream, const char *type, int64_t amount, cairn_str note)
{
    char data[600];
    int size = snprintf(data, sizeof data, "{\"amount\":%lld%s%.*s}", (long long)amount, note.size ? ",\"note\":" : "",
                        (int)note.size, note.size ? note.data : "");
    const cairn_event event = {.type = cairn_cstr(type), .data = {data, (size_t)size}};
    return cairn_decide_event(decision, stream, &event);
}

static cairn_err
account_decide(void *self, const void *state, const cairn_command *command, cairn_decision *decision, cairn_error *error)
{
    (void)self;
    const struct account *account = state;
    int64_t amount = rig_number(command->data, "amount");
    rig_decided++;
    if (cairn_str_equal(command->name, CAIRN_STR("Deposit")))
        return account_event(decision, (cairn_str){0}, "Deposited", amount, json_get(json_trusted(command->data), "note").raw);
    if (cairn_str_equal(command->name, CAIRN_STR("Nothing")))
        return CAIRN_OK;
    if (cairn_str_equal(command->name, CAIRN_STR("Break")))
        return error_set(error, CAIRN_E_SCRIPT, "account.c:12: broken");
    if (cairn_str_equal(command->name, CAIRN_STR("Invalid")))
        return account_event(decision, (cairn_str){0}, "Deposited", 1, CAIRN_STR("nonsense"));
    if (account->balance < amount) {
        char details[64];
        int size = snprintf(details, sizeof details, "{\"balance\":%lld}", (long long)account->balance);
        return cairn_decide_reject(decision, CAIRN_STR("insufficient"), CAIRN_STR("there is not enough money"),
                                   (cairn_str){details, (size_t)size});
    }
    if (cairn_str_equal(command->name, CAIRN_STR("Withdraw")))
        return account_event(decision, (cairn_str){0}, "Withdrawn", amount, (cairn_str){0});
    char other[80];
    snprintf(other, sizeof other, "account-%lld", (long long)rig_number(command->data, "to"));
    cairn_err err = account_event(decision, (cairn_str){0}, "Withdrawn", amount, (cairn_str){0});
    return err == CAIRN_OK ? account_event(decision, cairn_cstr(other), "Deposited", amount, (cairn_str){0}) : err;
}

static cairn_err
account_save(void *self, const void *state, cairn_sink sink, void *context, cairn_error *error)
{
    (void)self, (void)error;
    const struct account *account = state;
    char text[200];
    int size = snprintf(text, sizeof text, "{\"balance\":%lld,\"count\":%llu,\"time_us\":%lld,\"position\":%llu}",
                        (long long)account->balance, (unsigned long long)account->count, (long long)account->time_us,
                        (unsigned long long)account->position);
    return sink(context, (cairn_str){text, (size_t)size}) ? CAIRN_OK : CAIRN_E_LIMIT;
}

static cairn_err
account_load(void *self, cairn_str stream, cairn_str json, void **ret, cairn_error *error)
{
    cairn_err err = account_new(self, stream, ret, error);
    if (err != CAIRN_OK)
        return err;
    struct account *account = *ret;
    account->balance = rig_number(json, "balance");
    account->count = (uint64_t)rig_number(json, "count");
    account->time_us = rig_number(json, "time_us");
    account->position = (uint64_t)rig_number(json, "position");
    return CAIRN_OK;
}

static cairn_err
seats_decide(void *self, const void *state, const cairn_command *command, cairn_decision *decision, cairn_error *error)
{
    (void)self, (void)error;
    const struct account *seats = state;
    if (seats->count >= RIG_SEATS)
        return cairn_decide_reject(decision, CAIRN_STR("full"), CAIRN_STR("the course is full"), (cairn_str){0});
    const cairn_event event = {.type = CAIRN_STR("Enrolled"), .data = command->data};
    return cairn_decide_event(decision, (cairn_str){0}, &event);
}

static const cairn_decider rig_account = {
    .abi = CAIRN_DECIDER_ABI, .name = "account", .state_new = account_new, .state_free = account_free,
    .state_size = account_size, .evolve = account_evolve, .decide = account_decide, .save = account_save,
    .load = account_load, .fingerprint = {"1", 1},
};
static const cairn_decider rig_account_2 = {
    .abi = CAIRN_DECIDER_ABI, .name = "account", .state_new = account_new, .state_free = account_free,
    .state_size = account_size, .evolve = account_evolve, .decide = account_decide, .save = account_save,
    .load = account_load, .fingerprint = {"2", 1},
};
static const cairn_decider rig_seats = {
    .abi = CAIRN_DECIDER_ABI, .name = "seats", .state_new = account_new, .state_free = account_free,
    .evolve = account_evolve, .decide = seats_decide, .fingerprint = {"1", 1},
};

/* ---- the manifest ------------------------------------------------------------------------------------ */

static const cairn_str rig_course_tags[] = {{"course:{course}", 15}};
static const cairn_str rig_course_types[] = {{"Enrolled", 8}};
static const struct app_query_item rig_items[] = {{rig_course_types, 1, rig_course_tags, 1}};
static struct app_decider rig_deciders[] = {
    {.name = {"account", 7}, .kind = APP_DECIDER_NATIVE, .snapshots = {.every_events = 100}},
    {.name = {"seats", 5}, .kind = APP_DECIDER_NATIVE, .items = rig_items, .item_count = 1},
};
#define RIG_ACCOUNT(text) {.name = {text, sizeof text - 1}, .stream = {"account-{account}", 17}}
static struct app_command rig_commands[] = {
    RIG_ACCOUNT("Deposit"), RIG_ACCOUNT("Withdraw"), RIG_ACCOUNT("Move"), RIG_ACCOUNT("Nothing"), RIG_ACCOUNT("Break"),
    RIG_ACCOUNT("Invalid"),
    {.name = {"Enrol", 5}, .stream = {"student-{student}", 17}, .decider = 1, .permission = {"seats.enrol", 11}},
};
static struct app_event rig_events[] = {
    {.type = {"Deposited", 9}}, {.type = {"Withdrawn", 9}},
    {.type = {"Enrolled", 8}, .tags = rig_course_tags, .tag_count = 1},
};
static const uint32_t rig_schema_ids[] = {11, 12, 13}, rig_schema_versions[] = {1, 1, 1};
static struct app_manifest rig_manifest = {
    .name = {"bank", 4}, .deciders = rig_deciders, .decider_count = 2, .commands = rig_commands,
    .command_count = sizeof rig_commands / sizeof *rig_commands, .events = rig_events, .event_count = 3,
};

/* ---- the rig ------------------------------------------------------------------------------------------- */

struct rig {
    char folder[64];
    cairn_store *store;
    cairn_apps_options apps;
    struct bus *bus;
    struct bus_app *app;
    _Atomic uint32_t gone;
};

static void
rig_gone(void *context)
{
    (*(_Atomic uint32_t *)context)++;
    os_wake(context, 1);
}

static inline struct bus_app *
rig_deploy(struct rig *rig, const cairn_decider *const *deciders)
{
    struct bus_app *app;
    const struct bus_app_options options = {.manifest = &rig_manifest, .deciders = deciders, .schema_ids = rig_schema_ids,
                                            .schema_versions = rig_schema_versions, .gone = rig_gone, .context = &rig->gone};
    CHECK_OK(bus_app_new(rig->bus, &options, &app, NULL));
    return app;
}

static const cairn_decider *const rig_both[] = {&rig_account, &rig_seats};

static inline void
rig_start(struct rig *rig)
{
    cairn_error error = {0};
    if (cairn_open(rig->folder, &(cairn_options){.create = true, .segment_size_bytes = 64u << 20}, &rig->store, &error)
        != CAIRN_OK)
        fail_msg("%s", error.detail);
    CHECK_OK(bus_create(&(struct bus_options){rig->store, &rig->apps}, &rig->bus, NULL));
    rig->app = rig_deploy(rig, rig_both);
}

static inline void
rig_stop(struct rig *rig)
{
    bus_app_release(rig->app);
    bus_free(rig->bus);
    cairn_close(rig->store);
}

static inline void
rig_begin(struct rig *rig)
{
    test_folder(rig->folder);
    rig_start(rig);
}

static inline void
rig_end(struct rig *rig)
{
    rig_stop(rig);
    CHECK_INT(rig_states, 0);
    test_remove(rig->folder);
}

/* What a command came to. */
struct came {
    _Atomic uint32_t over;
    cairn_err err;
    cairn_at at;
    uint64_t position;
    size_t event_count;
    cairn_uuid id;
    bool repeated;
    uint32_t tries;
    char stream[100], code[64], message[200], details[600], detail[320], type[64];
};

static inline void
rig_copy(char *to, size_t size, cairn_str text)
{
    snprintf(to, size, "%.*s", (int)text.size, text.size ? text.data : "");
}

static void
rig_done(void *context, cairn_err err, const cairn_outcome *outcome, const cairn_error *error)
{
    struct came *came = context;
    came->err = err;
    came->at = outcome->at;
    came->position = outcome->position;
    came->event_count = outcome->event_count;
    came->id = outcome->id;
    came->repeated = outcome->repeated;
    came->tries = outcome->tries;
    rig_copy(came->stream, sizeof came->stream, outcome->stream);
    rig_copy(came->code, sizeof came->code, outcome->code);
    rig_copy(came->message, sizeof came->message, outcome->message);
    rig_copy(came->details, sizeof came->details, outcome->details);
    rig_copy(came->type, sizeof came->type, outcome->event_count ? outcome->types[0] : (cairn_str){0});
    rig_copy(came->detail, sizeof came->detail, error ? cairn_cstr(error->detail) : (cairn_str){0});
    atomic_store(&came->over, 1);
    os_wake(&came->over, 1);
}

static inline void
rig_await(struct came *came)
{
    while (atomic_load(&came->over) == 0)
        os_wait(&came->over, 0, UINT64_MAX);
}

static inline cairn_err
rig_submit(struct rig *rig, const cairn_command *command, struct came *came)
{
    *came = (struct came){0};
    return bus_submit(rig->bus, rig->app, command, rig_done, came, NULL);
}

static inline cairn_err
rig_run(struct rig *rig, const cairn_command *command, struct came *came)
{
    CHECK_OK(rig_submit(rig, command, came));
    rig_await(came);
    return came->err;
}

/* data: JSON text; key: NULL or a key. */
static inline cairn_err
rig_do(struct rig *rig, const char *name, const char *data, const char *key, struct came *came)
{
    const cairn_command command = {.name = cairn_cstr(name), .data = cairn_cstr(data), .key = cairn_cstr(key),
                                   .actor = CAIRN_STR("ann"), .deadline_ms = 120000};
    return rig_run(rig, &command, came);
}

/* The balance by folding the events, from outside. */
static inline int64_t
rig_balance(cairn_store *store, const char *stream, uint64_t *ret_count)
{
    cairn_reader *reader;
    cairn_recorded event;
    int64_t balance = 0;
    uint64_t count = 0;
    CHECK_OK(cairn_read_stream(store, cairn_cstr(stream), &(cairn_read_options){0}, &reader, NULL));
    while (cairn_reader_next(reader, &event, NULL) == CAIRN_OK) {
        int64_t amount = rig_number(event.event.data, "amount");
        balance += cairn_str_equal(event.event.type, CAIRN_STR("Deposited")) ? amount : -amount;
        count++;
    }
    cairn_reader_free(reader);
    if (ret_count != NULL)
        *ret_count = count;
    return balance;
}

#endif
