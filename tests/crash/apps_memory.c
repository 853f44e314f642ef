/* Every allocation in the way of a deployment, a command, a query and a description fails in turn.
 *
 * Goal: out of memory is an ordinary error: each call succeeds or says so, nothing crashes or leaks, and with memory again
 * everything works, at the version that was told.
 * Method: no_memory.h, in every thread. One app gets one release
 * after another; in each round the n-th allocation fails, n = 1, 2, … and then in growing steps, until a round meets no fault. */
#include "apps_rig.h"
#include "no_memory.h"

#include <base/error.h>

static struct apps_rig rig;
static struct rig_files files;

static uint64_t
version_now(void)
{
    uint64_t version = 0;
    CHECK_OK(rig_describe(&rig, "shop"));
    CHECK(json_u64(json_get(json_trusted(buf_str(&rig.out)), "version"), &version));
    return version;
}

/* Each release has other files, another schema and another table. */
static void
make_release(unsigned release)
{
    static char readme[40], schema[200], stock[400];
    rig_shop(&files);
    snprintf(readme, sizeof readme, "release %u\n", release);
    snprintf(schema, sizeof schema, "{\"title\":\"%u\",\"type\":\"object\",\"required\":[\"n\"],\"properties\":{\"n\":{\"type\":\"integer\"}}}", release);
    snprintf(stock, sizeof stock, "-- table\nCREATE TABLE stock (item TEXT PRIMARY KEY, n INTEGER NOT NULL, r%u TEXT);\n-- on Added, Taken\n"
             "INSERT INTO stock (item, n) VALUES (:stream_id, :data.n) ON CONFLICT (item) DO UPDATE SET n = n + :data.n;\n", release);
    rig_file(&files, "README.md", readme);
    rig_file(&files, "schemas/changed.json", schema);
    rig_file(&files, "projections/stock.sql", stock);
}

/* With memory again it works, whatever came of the call before; a projection that could not be started is told to. */
static void
check_works(uint64_t version)
{
    CHECK_INT(version_now(), version);
    if (strstr(rig_text(&rig.out), "\"state\":\"failed\"") != NULL)
        CHECK_OK(cairn_projection_do(rig.apps, CAIRN_STR("shop"), CAIRN_STR("stock"), CAIRN_PROJECTION_RETRY, &rig.error));
    CHECK_OK(rig_command(&rig, "shop", "Add", "{\"item\":\"tea\",\"n\":1}"));
    CHECK(strstr(rig_rows(&rig, "shop", "stock"), "{\"item\":\"tea\",\"n\":") != NULL);
}

TEST(deployments_without_memory)
{
    rig = (struct apps_rig){.options = {.workers = 1}};
    rig_begin(&rig);
    make_release(0);
    rig_must_deploy(&rig, &files);
    uint64_t version = 1, at = 1, failed = 0;
    for (unsigned release = 1;; release++, at += 1 + at / 24) {
        make_release(release);
        memory_fails(at, false);
        cairn_err err = rig_deploy(&rig, &files, NULL);
        bool met = memory_returns();
        CHECK(err == CAIRN_OK || met);
        failed += err != CAIRN_OK;
        if (err == CAIRN_OK) {
            CHECK_INT(rig.deployed.version, version + 1);
            version++;
        }
        check_works(version);
        if (!met)
            break;
    }
    rig_restart(&rig);
    check_works(version);
    printf("up to allocation %llu: %llu deployments refused, %llu made\n", (unsigned long long)at, (unsigned long long)failed,
           (unsigned long long)version);
    CHECK(failed > 20);
    rig_end(&rig);
}

static bool
drop_bytes(void *context, cairn_str bytes)
{
    (void)context, (void)bytes;
    return true;
}

static void
see_deployment(void *context, const cairn_deployment *deployment)
{
    (void)context;
    CHECK_INT(deployment->version, 1);
}

static cairn_err
call(unsigned which)
{
    const cairn_command command = {.app = CAIRN_STR("shop"), .name = CAIRN_STR("Add"), .data = CAIRN_STR("{\"item\":\"x\",\"n\":1}")};
    const cairn_app_query_request query = {.app = CAIRN_STR("shop"), .query = CAIRN_STR("stock"), .timeout_ms = 60000};
    const cairn_replay_request replay = {.app = CAIRN_STR("shop"), .decisions = true, .parallel = 1};
    switch (which) {
    case 0: return cairn_command_run(rig.apps, &command, NULL, NULL, NULL);
    case 1: return cairn_app_query(rig.apps, &query, drop_bytes, NULL, NULL);
    case 2: return cairn_app_describe(rig.apps, CAIRN_STR("shop"), drop_bytes, NULL, NULL);
    case 3: return cairn_app_history(rig.apps, CAIRN_STR("shop"), see_deployment, NULL, NULL);
    case 4: return cairn_app_state(rig.apps, CAIRN_STR("shop"), CAIRN_STR("item-tea"), -1, drop_bytes, NULL, NULL);
    case 5: return cairn_app_openapi(rig.apps, CAIRN_STR("shop"), drop_bytes, NULL, NULL);
    case 6: return cairn_app_replay(rig.apps, &replay, NULL, NULL, drop_bytes, NULL, NULL);
    case 7: cairn_apps_metrics(rig.apps, drop_bytes, NULL); return CAIRN_OK;
    default: return cairn_projection_status(rig.apps, CAIRN_STR("shop"), CAIRN_STR("stock"), drop_bytes, NULL, NULL);
    }
}

TEST(calls_without_memory)
{
    rig = (struct apps_rig){.options = {.workers = 1}};
    rig_begin(&rig);
    make_release(0);
    rig_must_deploy(&rig, &files);
    check_works(1);
    for (unsigned which = 0; which < 9; which++)
        for (uint64_t at = 1;; at += 1 + at / 24) {
            memory_fails(at, false);
            cairn_err err = call(which);
            bool met = memory_returns();
            if (err != CAIRN_OK && !met)
                fail_msg("call %u: %s", which, cairn_err_name(err));
            if (!met)
                break;
        }
    check_works(1);
    rig_end(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(deployments_without_memory), RUN(calls_without_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
