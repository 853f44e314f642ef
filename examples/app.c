/* An app inside a program of your own: rules in C, a read model in SQL, a query; no server.
 *
 *   ./app FOLDER
 *
 * The files are those of an app's folder (docs/apps.md); here they stand in the program. A second run deploys nothing,
 * because they have not changed, and goes on counting. */
#include <cairn/app.h>
#include <cairn/cairn.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the decider: an account that is never overdrawn -------------------------------------------- */

/* The event types here have one member, "amount", and their schemas say so. */
static int64_t
amount_of(cairn_str json)
{
    char text[256] = "";
    memcpy(text, json.data, json.size < sizeof text ? json.size : sizeof text - 1);
    const char *at = strstr(text, "\"amount\"");
    return at ? strtoll(strchr(at, ':') + 1, NULL, 10) : 0;
}

static cairn_err
account_new(void *self, cairn_str stream, void **ret_state, cairn_error *error)
{
    (void)self, (void)stream, (void)error;
    return (*ret_state = calloc(1, sizeof(int64_t))) ? CAIRN_OK : CAIRN_E_NOMEM;
}

static void
account_free(void *self, void *state)
{
    (void)self;
    free(state);
}

static cairn_err
evolve(void *self, void *state, const cairn_recorded *event, cairn_error *error)
{
    int64_t *balance = state, amount = amount_of(event->event.data);
    (void)self, (void)error;
    *balance += cairn_str_equal(event->event.type, CAIRN_STR("Deposited")) ? amount : -amount;
    return CAIRN_OK;
}

static cairn_err
decide(void *self, const void *state, const cairn_command *command, cairn_decision *decision, cairn_error *error)
{
    const int64_t *balance = state;
    int deposits = cairn_str_equal(command->name, CAIRN_STR("Deposit"));
    char data[64];
    (void)self, (void)error;
    if (!deposits && *balance < amount_of(command->data))
        return cairn_decide_reject(decision, CAIRN_STR("overdrawn"), CAIRN_STR("there is not enough money"), (cairn_str){0});
    int size = snprintf(data, sizeof data, "{\"amount\":%" PRId64 "}", amount_of(command->data));
    const cairn_event event = {.type = deposits ? CAIRN_STR("Deposited") : CAIRN_STR("Withdrawn"), .data = {data, (size_t)size}};
    return cairn_decide_event(decision, (cairn_str){0}, &event);
}

static const cairn_decider account = {
    .abi = CAIRN_DECIDER_ABI,
    .name = "account",
    .state_new = account_new,
    .state_free = account_free,
    .evolve = evolve,
    .decide = decide, /* no save and load: no snapshots */
};

/* ---- the app's files ------------------------------------------------------------------------------ */

static const cairn_app_file files[] = {
    {CAIRN_STR("app.yaml"),
     CAIRN_STR("app: bank\n"
               "deciders: {account: {native: account}}\n"
               "commands:\n"
               "  Deposit: {stream: \"account-{id}\", schema: schemas/command.json}\n"
               "  Withdraw: {stream: \"account-{id}\", schema: schemas/command.json}\n"
               "events:\n"
               "  Deposited: {schema: schemas/event.json}\n"
               "  Withdrawn: {schema: schemas/event.json}\n")},
    {CAIRN_STR("schemas/command.json"),
     CAIRN_STR("{\"type\": \"object\", \"required\": [\"id\", \"amount\"], \"additionalProperties\": false,"
               " \"properties\": {\"id\": {\"type\": \"string\"}, \"amount\": {\"type\": \"integer\", \"minimum\": 1}}}")},
    {CAIRN_STR("schemas/event.json"),
     CAIRN_STR("{\"type\": \"object\", \"required\": [\"amount\"], \"additionalProperties\": false,"
               " \"properties\": {\"amount\": {\"type\": \"integer\"}}}")},
    {CAIRN_STR("projections/balance.sql"),
     CAIRN_STR("-- from account\n"
               "-- table\n"
               "CREATE TABLE balance (id TEXT PRIMARY KEY, cents INTEGER NOT NULL);\n"
               "-- on Deposited\n"
               "INSERT INTO balance VALUES (:stream_id, :data.amount)\n"
               "  ON CONFLICT (id) DO UPDATE SET cents = cents + excluded.cents;\n"
               "-- on Withdrawn\n"
               "UPDATE balance SET cents = cents - :data.amount WHERE id = :stream_id;\n")},
    {CAIRN_STR("queries/balances.sql"), CAIRN_STR("-- key id\nSELECT id, cents FROM balance\n")},
};

/* ---- the program ------------------------------------------------------------------------------------- */

static int
fail(const char *what, const cairn_error *error)
{
    fprintf(stderr, "%s: %s (%s)\n", what, error->detail, cairn_err_name(error->code));
    return 1;
}

static void
say_fault(void *context, const cairn_app_fault *fault)
{
    (void)context;
    fprintf(stderr, "%.*s:%" PRIu32 ": %.*s\n", (int)fault->file.size, fault->file.data, fault->line, (int)fault->message.size,
            fault->message.data);
}

/* Read models follow what is committed. */
static void
committed(void *apps, uint64_t end)
{
    cairn_apps_committed(apps, end);
}

/* What came of a command, kept: the outcome is borrowed only until this returns. */
struct came {
    uint64_t position;
    char code[32];
};

static void
done(void *context, cairn_err err, const cairn_outcome *outcome, const cairn_error *error)
{
    struct came *came = context;
    (void)err, (void)error;
    came->position = outcome->position;
    snprintf(came->code, sizeof came->code, "%.*s", (int)outcome->code.size, outcome->code.size ? outcome->code.data : "");
}

static int
run_command(cairn_apps *apps, const char *name, const char *data, struct came *came)
{
    const cairn_command command = {
        .app = CAIRN_STR("bank"), .name = {name, strlen(name)}, .data = {data, strlen(data)}};
    cairn_error error;
    cairn_err err = cairn_command_run(apps, &command, done, came, &error);
    if (err != CAIRN_OK && err != CAIRN_E_REJECTED)
        return fail(name, &error);
    printf("%s %s: %s\n", name, data, err == CAIRN_OK ? "done" : came->code);
    return 0;
}

static bool
print(void *context, cairn_str bytes)
{
    (void)context;
    return fwrite(bytes.data, 1, bytes.size, stdout) == bytes.size;
}

static int
work(cairn_apps *apps)
{
    cairn_deployed deployed;
    cairn_error error;
    struct came came = {0};
    const cairn_deploy_options options = {.note = CAIRN_STR("from the program")};
    if (cairn_app_deploy(apps, files, sizeof files / sizeof *files, &options, say_fault, NULL, &deployed, &error) != CAIRN_OK)
        return fail("deploy", &error);
    printf("bank, version %" PRIu32 "%s\n", deployed.version, deployed.changed ? "" : ", as it was");
    if (run_command(apps, "Deposit", "{\"id\":\"ann\",\"amount\":500}", &came) != 0
        || run_command(apps, "Withdraw", "{\"id\":\"ann\",\"amount\":200}", &came) != 0
        || run_command(apps, "Withdraw", "{\"id\":\"ann\",\"amount\":5000}", &came) != 0)
        return 1;
    /* after_position: this query sees what the commands have just done. */
    const cairn_app_query_request request = {.app = CAIRN_STR("bank"), .query = CAIRN_STR("balances"),
                                             .has_after_position = true, .after_position = came.position};
    if (cairn_app_query(apps, &request, print, NULL, &error) != CAIRN_OK)
        return fail("query", &error);
    putchar('\n');
    return 0;
}

int
main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : "app-data";
    char models[4096];
    const cairn_decider *const natives[] = {&account};
    snprintf(models, sizeof models, "%s/apps", folder);
    const cairn_apps_options options = {.folder = models, .natives = natives, .native_count = 1};
    cairn_store *store;
    cairn_apps *apps;
    cairn_error error;
    if (cairn_open(folder, &(cairn_options){.create = true}, &store, &error) != CAIRN_OK)
        return fail(folder, &error);
    int status = 1;
    if (cairn_apps_open(store, &options, &apps, &error) != CAIRN_OK) {
        fail("apps", &error);
    } else {
        cairn_on_commit(store, committed, apps);
        status = work(apps);
        cairn_on_commit(store, NULL, NULL);
        cairn_apps_close(apps);
    }
    cairn_close(store);
    return status;
}
