/* Deciders behind webhooks, with a real server over a real socket (tests/integration/webhook.py). */
#include "bus_rig.h"

#include <os/net/fetch.h>
#include <signal.h>
#include <sys/wait.h>

static struct rig rig;
static struct fetch *fetch;
static pid_t server;
static int server_input;
static unsigned port;
static cairn_decider *hook;
static struct app_decider hook_spec[2];
static struct app_manifest hook_manifest;

static void
start_server(void)
{
    int in[2], out[2];
    char text[32] = {0};
    setenv("BANK_SECRET", "a secret of the bank", 1);
    assert_int_equal(pipe(in) | pipe(out), 0);
    server = fork();
    if (server == 0) {
        dup2(in[0], 0);
        dup2(out[1], 9);
        close(in[1]);
        close(out[0]);
        execlp("python3", "python3", "tests/integration/webhook.py", (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    server_input = in[1];
    CHECK(read(out[0], text, sizeof text - 1) > 0);
    close(out[0]);
    port = (unsigned)atoi(text);
    if (port == 0)
        fail_msg("the server said '%s'", text);
}

static void
stop_server(void)
{
    close(server_input);
    CHECK(waitpid(server, NULL, 0) == server);
}

/* The rig with the account's decider behind the path; 2 retries. */
static void
begin(const char *path)
{
    static char url[100];
    snprintf(url, sizeof url, "http://127.0.0.1:%u%s", port, path);
    rig = (struct rig){.apps = {.workers = 1, .post = fetch_post, .post_context = fetch}};
    test_folder(rig.folder);
    CHECK_OK(cairn_open(rig.folder, &(cairn_options){.create = true, .segment_size_bytes = 1u << 20}, &rig.store, NULL));
    CHECK_OK(bus_create(&(struct bus_options){rig.store, &rig.apps}, &rig.bus, NULL));
    memcpy(hook_spec, rig_deciders, sizeof hook_spec);
    hook_spec[0] = (struct app_decider){.name = {"account", 7}, .kind = APP_DECIDER_WEBHOOK, .source = cairn_cstr(url),
                                        
                                        .timeout_ms = strcmp(path, "/slow") == 0 ? 300 : 30000, .retries = 2, .secret = CAIRN_STR("BANK_SECRET"),
                                        .snapshots = {.every_events = 10}};
    CHECK_OK(webhook_decider_make(&hook_spec[0], &rig.apps, &hook, NULL));
    hook_manifest = rig_manifest;
    hook_manifest.deciders = hook_spec;
    static const cairn_decider *deciders[2];
    deciders[0] = hook;
    deciders[1] = &rig_seats;
    CHECK_OK(bus_app_new(rig.bus, &(struct bus_app_options){.manifest = &hook_manifest, .deciders = deciders,
                                                           .schema_ids = rig_schema_ids}, &rig.app, NULL));
}

static void
end(void)
{
    rig_end(&rig);
    webhook_decider_free(hook);
}

/* Goal: a webhook decides: events, tags, rejections; each event is sent to it once; keys work.
 * Method: 25 deposits in flight together, a withdrawal too much, the same key twice; it tells how often it was asked. */
TEST(webhook_decides)
{
    begin("/");
    struct came came[25];
    for (int i = 0; i < 25; i++) {
        const cairn_command command = {.name = CAIRN_STR("Deposit"), .data = CAIRN_STR("{\"account\":1,\"amount\":2}"),
                                       .actor = CAIRN_STR("ann")};
        CHECK_OK(rig_submit(&rig, &command, &came[i]));
    }
    for (int i = 0; i < 25; i++) {
        rig_await(&came[i]);
        if (came[i].err != CAIRN_OK)
            fail_msg("%s", came[i].detail);
    }
    CHECK_INT(rig_do(&rig, "Withdraw", "{\"account\":1,\"amount\":51}", "k", &came[0]), CAIRN_E_REJECTED);
    CHECK_STR(came[0].code, "insufficient");
    CHECK_STR(came[0].details, "{\"balance\": 50, \"count\": 25}");
    CHECK_INT(rig_do(&rig, "Withdraw", "{\"account\":1,\"amount\":51}", "k", &came[0]), CAIRN_E_REJECTED);
    CHECK(came[0].repeated);
    CHECK_OK(rig_do(&rig, "Withdraw", "{\"account\":1,\"amount\":50}", NULL, &came[0]));
    CHECK_INT(rig_do(&rig, "Nothing", "{\"account\":1}", NULL, &came[0]), CAIRN_E_REJECTED);
    CHECK_STR(came[0].details, "{\"requests\": 28, \"sent\": 26, \"count\": 26}");
    CHECK_INT(rig_balance(rig.store, "account-1", NULL), 0);
    end();
}

/* Goal: what a later attempt answers counts; no answer in time, a bad one, a redirect or one too large are faults by name, and
 * nothing is written. */
TEST(webhook_misbehaves)
{
    static const struct {
        const char *path;
        cairn_err err;
        const char *says;
    } cases[] = {{"/flaky", CAIRN_OK, ""}, {"/slow", CAIRN_E_SCRIPT, "no answer within 300 ms"},
                 {"/bad", CAIRN_E_SCRIPT, "not a JSON object"}, {"/huge", CAIRN_E_SCRIPT, "larger than"},
                 {"/away", CAIRN_E_SCRIPT, "answered 302"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct came came;
        begin(cases[i].path);
        CHECK_INT(rig_do(&rig, "Deposit", "{\"account\":1,\"amount\":2}", NULL, &came), cases[i].err);
        CHECK(strstr(came.detail, cases[i].says) != NULL);
        CHECK_INT(cairn_end(rig.store), cases[i].err == CAIRN_OK ? 1 : 0);
        end();
    }
}

/* Goal: a webhook that does not answer holds up its own commands only.
 * Method: a command waits for the slow one while 20 are decided by another decider. */
TEST(webhook_harms_nobody_else)
{
    begin("/slow");
    struct came waits, came;
    const cairn_command command = {.name = CAIRN_STR("Deposit"), .data = CAIRN_STR("{\"account\":1,\"amount\":2}")};
    CHECK_OK(rig_submit(&rig, &command, &waits));
    for (int i = 0; i < 5; i++)
        CHECK_OK(rig_do(&rig, "Enrol", "{\"course\":1,\"student\":1}", NULL, &came));
    CHECK_INT(waits.over, 0);
    rig_await(&waits);
    CHECK_INT(waits.err, CAIRN_E_SCRIPT);
    end();
}

/* Goal: many events are sent in pieces. Method: 200 events of 4 KiB from outside, then one command. */
TEST(webhook_is_sent_pieces)
{
    begin("/");
    static char data[4200];
    snprintf(data, sizeof data, "{\"amount\":1,\"pad\":\"%04000d\"}", 0);
    const cairn_event event = {.type = CAIRN_STR("Deposited"), .data = cairn_cstr(data)};
    struct came came;
    cairn_at at;
    for (int i = 0; i < 200; i++)
        CHECK_OK(cairn_append(rig.store, 0, CAIRN_STR("account-1"), CAIRN_ANY, &event, 1, &at, NULL));
    CHECK_INT(rig_do(&rig, "Nothing", "{\"account\":1}", NULL, &came), CAIRN_E_REJECTED);
    CHECK(strstr(came.details, "\"count\": 200") != NULL);
    end();
}

int
main(void)
{
    CHECK_OK(fetch_new(&fetch, NULL));
    start_server();
    const struct CMUnitTest tests[] = {RUN(webhook_decides), RUN(webhook_misbehaves), RUN(webhook_harms_nobody_else),
                                       RUN(webhook_is_sent_pieces)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    stop_server();
    fetch_free(fetch);
    return failed;
}
