/* Deployments, cut short: by a kill, by a disk that fails or is full.
 *
 * Goal: an app is at its old or its new version, whole, never between: files, schemas, description, decider and read model
 * are all of the same one; what was told as deployed is there; after a full disk the next deployment goes on as if nothing
 * had been.
 * Method: every file of release k says so in its text, and each brings two new schemas. A child deploys one release after
 * another and reports each through a pipe until it is killed; or the n-th write or sync of a deployment fails, n = 1, 2, …
 * until a run meets no fault. */
#include "apps_rig.h"

#include <base/error.h>
#include <errno.h>
#include <os/twin.h>
#include <schema/registry.h>
#include <signal.h>
#include <sys/wait.h>

#define ROUNDS 15

static struct apps_rig rig;
static struct os_faulty faulty;
static struct rig_files files;
static char texts[7][1200];

/* "<what the shop has><how a comment begins>release k" */
static void
make_release(unsigned release)
{
    static const char *const comments[] = {"# %srelease %u\n", "-- %srelease %u\n", NULL, NULL, "-- %srelease %u\n", "-- %srelease %u\n",
                                           "-- %srelease %u\n"};
    struct rig_files plain;
    rig_shop(&plain);
    files.count = 0;
    for (size_t i = 0; i < plain.count; i++) {
        char line[60];
        cairn_str path = plain.files[i].path, text = plain.files[i].text;
        if (comments[i] != NULL) {
            snprintf(line, sizeof line, comments[i], "", release);
            snprintf(texts[i], sizeof texts[i], "%.*s%s", (int)text.size, text.data, line);
        } else { /* a schema: one member more */
            snprintf(texts[i], sizeof texts[i], "{\"title\":\"release %u\",%.*s\n", release, (int)text.size - 1, text.data + 1);
        }
        rig_file(&files, path.data, texts[i]);
    }
}

/* ---- what an app must be ------------------------------------------------------------------------------------------- */

struct releases {
    unsigned release;
    size_t seen;
    bool same;
};

static unsigned
release_in(cairn_str text)
{
    const char *at = memmem(text.data, text.size, "release ", 8);
    assert_non_null(at);
    return (unsigned)strtoul(at + 8, NULL, 10);
}

static void
note_release(void *context, const cairn_app_file *file)
{
    struct releases *releases = context;
    unsigned release = release_in(file->text);
    releases->same &= releases->seen++ == 0 || release == releases->release;
    releases->release = release;
}

struct count {
    unsigned deployments, newest;
};

static void
count_deployment(void *context, const cairn_deployment *deployment)
{
    struct count *count = context;
    count->deployments++;
    count->newest = deployment->version > count->newest ? deployment->version : count->newest;
}

/* Every event's schema is the registry's under the id that the app gives it, and of this release. */
static void
check_schemas(unsigned release, unsigned deployments)
{
    struct schema_registry *registry;
    struct schema_version schema;
    struct json unused, event;
    CHECK_OK(schema_registry_open(rig.store, 0, &registry, NULL));
    CHECK_OK(rig_describe(&rig, "shop"));
    struct json_walk walk = json_walk(json_get(json_trusted(buf_str(&rig.out)), "events"));
    while (json_next(&walk, &unused, &event)) {
        uint64_t id, version;
        CHECK(json_u64(json_get(event, "schema_id"), &id) && json_u64(json_get(event, "version"), &version));
        CHECK(schema_registry_by_id(registry, (uint32_t)id, &schema));
        CHECK_INT(schema.version, version);
        CHECK_INT(release_in(schema.text), release);
        CHECK_INT(release_in(json_get(event, "schema").raw), release);
        CHECK_INT(schema_registry_newest(registry, schema.subject), version);
    }
    CHECK(schema_registry_by_id(registry, 2 * deployments, &schema) && !schema_registry_by_id(registry, 2 * deployments + 1, &schema));
    schema_registry_free(registry);
}

/* At `version`, which is release `version`, whole; and it works. */
static void
check_whole(unsigned version)
{
    struct releases releases = {.same = true};
    struct count count = {0};
    char data[64];
    rig_clear(&rig);
    CHECK_OK(cairn_app_files(rig.apps, CAIRN_STR("shop"), 0, note_release, &releases, &rig.error));
    CHECK(releases.same && releases.seen == 7);
    CHECK_INT(releases.release, version);
    CHECK_OK(cairn_app_history(rig.apps, CAIRN_STR("shop"), count_deployment, &count, NULL));
    CHECK(count.deployments == version && count.newest == version);
    check_schemas(version, count.deployments);
    snprintf(data, sizeof data, "{\"item\":\"v%u\",\"n\":1}", version);
    CHECK_OK(rig_command(&rig, "shop", "Add", data));
    snprintf(data, sizeof data, "{\"item\":\"v%u\",\"n\":", version);
    (void)rig_rows(&rig, "shop", "stock");
    CHECK(rig_says(&rig.out, data));
}

static unsigned
version_now(void)
{
    uint64_t version = 0;
    if (rig_describe(&rig, "shop") != CAIRN_OK)
        return 0;
    CHECK(json_u64(json_get(json_trusted(buf_str(&rig.out)), "version"), &version));
    return (unsigned)version;
}

/* ---- killed ---------------------------------------------------------------------------------------------------------- */

static void
deploy_until_killed(int to)
{
    rig_start(&rig);
    for (unsigned release = version_now() + 1;; release++) {
        make_release(release);
        rig_must_deploy(&rig, &files);
        if (rig.deployed.version != release || write(to, &release, sizeof release) != sizeof release)
            _exit(1);
    }
}

TEST(killed_while_deploying)
{
    uint64_t seed = test_seed();
    unsigned told = 0;
    rig = (struct apps_rig){0};
    test_folder(rig.folder);
    for (unsigned round = 0; round < ROUNDS * test_scale(); round++) {
        int ends[2];
        CHECK_INT(pipe(ends), 0);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            close(ends[0]);
            deploy_until_killed(ends[1]);
        }
        close(ends[1]);
        /* After so many, at no particular moment of the next. */
        for (unsigned left = (unsigned)(test_random(&seed) % 4) + 1; left > 0; left--)
            if (read(ends[0], &told, sizeof told) != sizeof told)
                fail_msg("the child ended by itself after release %u", told);
        usleep((useconds_t)(test_random(&seed) % 8000)); /* a moment, not a wait */
        CHECK_INT(kill(child, SIGKILL), 0);
        CHECK_INT(waitpid(child, NULL, 0), child);
        while (read(ends[0], &told, sizeof told) == sizeof told)
            ;
        close(ends[0]);
        rig_start(&rig);
        unsigned version = version_now();
        CHECK(version == told || version == told + 1);
        check_whole(version);
        rig_stop(&rig);
        told = version;
    }
    printf("%u releases over %u kills\n", told, ROUNDS * test_scale());
    rig_end(&rig);
}

/* ---- a failing and a full disk ------------------------------------------------------------------------------------------ */

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
        os_faulty_init(&faulty, os_real());
        faulty.kinds = kinds;
        faulty.errno_value = errno_value;
        faulty.torn = at % 2;
        rig = (struct apps_rig){.os = &faulty.os, .store_options = {.segment_size_bytes = 256 << 10}};
        rig_begin(&rig);
        make_release(1);
        rig_must_deploy(&rig, &files);
        CHECK_OK(rig_command(&rig, "shop", "Add", "{\"item\":\"tea\",\"n\":1}"));
        make_release(2);
        fail_at(__atomic_load_n(&faulty.calls, __ATOMIC_SEQ_CST) + at);
        cairn_err err = rig_deploy(&rig, &files, NULL);
        fail_at(0);
        bool fired = __atomic_load_n(&faulty.fired, __ATOMIC_SEQ_CST);
        CHECK(err == CAIRN_OK || (fired && err == (errno_value == EIO ? CAIRN_E_IO : CAIRN_E_NOSPACE)));
        CHECK_INT(version_now(), err == CAIRN_OK ? 2 : 1);
        if (errno_value == ENOSPC) {
            check_whole(err == CAIRN_OK ? 2 : 1);
            rig_must_deploy(&rig, &files); /* there is room again */
            CHECK_INT(rig.deployed.version, 2);
            check_whole(2);
        }
        rig_stop(&rig);
        rig.os = NULL;
        rig_start(&rig);
        unsigned version = version_now();
        CHECK(version == 2 || (version == 1 && err != CAIRN_OK)); /* one that was not told may be there, whole */
        check_whole(version);
        if (version == 1) {
            rig_must_deploy(&rig, &files);
            check_whole(2);
        }
        rig_end(&rig);
        if (!fired)
            return at - 1;
    }
}

TEST(deployments_on_a_failing_disk)
{
    unsigned writes = play(OS_FAULT_WRITE, EIO), syncs = play(OS_FAULT_SYNC, EIO);
    printf("%u failing writes, %u failing syncs\n", writes, syncs);
    CHECK(writes >= 1 && syncs >= 1);
}

TEST(deployments_on_a_full_disk)
{
    unsigned writes = play(OS_FAULT_WRITE, ENOSPC);
    printf("%u full disks\n", writes);
    CHECK(writes >= 1);
}

/* Goal: a read that fails leaves no deployment half told: either nothing happened, or it is there; the next one goes on.
 * Method: the n-th read fails, n = 1, 2, …; the log stays as it is, and the same files are deployed again. */
TEST(deployments_with_a_failing_read)
{
    unsigned told_failed = 0;
    for (unsigned at = 1;; at++) {
        os_faulty_init(&faulty, os_real());
        faulty.kinds = OS_FAULT_READ;
        faulty.errno_value = EIO;
        rig = (struct apps_rig){.os = &faulty.os};
        rig_begin(&rig);
        make_release(1);
        rig_must_deploy(&rig, &files);
        make_release(2);
        fail_at(__atomic_load_n(&faulty.calls, __ATOMIC_SEQ_CST) + at);
        cairn_err err = rig_deploy(&rig, &files, NULL);
        fail_at(0);
        bool fired = __atomic_load_n(&faulty.fired, __ATOMIC_SEQ_CST);
        CHECK(err == CAIRN_OK || fired);
        told_failed += err != CAIRN_OK;
        CHECK_INT(version_now(), err == CAIRN_OK ? 2 : 1);
        rig_must_deploy(&rig, &files);
        CHECK_INT(rig.deployed.version, 2);
        check_whole(2);
        make_release(3);
        rig_must_deploy(&rig, &files);
        check_whole(3);
        rig_restart(&rig);
        CHECK_INT(version_now(), 3);
        rig_end(&rig);
        if (!fired) {
            printf("%u failing reads, %u deployments told as failed\n", at - 1, told_failed);
            CHECK(at > 1);
            return;
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(killed_while_deploying),
        RUN(deployments_on_a_failing_disk),
        RUN(deployments_on_a_full_disk),
        RUN(deployments_with_a_failing_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
