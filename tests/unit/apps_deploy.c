/* Deployments through cairn/app.h: versions, history, limits, what is there again after reopening. */
#include "apps_rig.h"

#include <base/error.h>
#include <cairn/topic.h>

static struct apps_rig rig;
static struct rig_files shop;

static void
begin(void)
{
    rig = (struct apps_rig){0};
    rig_begin(&rig);
    rig_shop(&shop);
}

/* ---- history as text ---------------------------------------------------------------------------------------- */

static void
note_deployment(void *context, const cairn_deployment *d)
{
    struct buf *to = context;
    buf_printf(to, "%u%s%s by=%.*s note=%.*s files=%zu of=%u digest=%zu%s\n", d->version, d->current ? "*" : "",
               d->time_us > 0 ? "" : "!", (int)d->by.size, d->by.data, (int)d->note.size, d->note.data, d->file_count,
               d->rollback_of, d->digest.size, d->position < cairn_end(rig.store) ? "" : "!");
}

static const char *
history(const char *app)
{
    rig_clear(&rig);
    if (cairn_app_history(rig.apps, cairn_cstr(app), note_deployment, &rig.out, &rig.error) != CAIRN_OK)
        return cairn_err_name(rig.error.code);
    return rig_text(&rig.out);
}

struct same {
    const struct rig_files *with;
    size_t seen;
    bool same;
};

static void
compare_file(void *context, const cairn_app_file *file)
{
    struct same *same = context;
    bool found = false;
    for (size_t i = 0; i < same->with->count; i++)
        found |= cairn_str_equal(same->with->files[i].path, file->path) && cairn_str_equal(same->with->files[i].text, file->text);
    same->same &= found;
    same->seen++;
}

static bool
files_are(const char *app, uint32_t version, const struct rig_files *files)
{
    struct same same = {.with = files, .same = true};
    rig_clear(&rig);
    CHECK_OK(cairn_app_files(rig.apps, cairn_cstr(app), version, compare_file, &same, &rig.error));
    return same.same && same.seen == files->count;
}

/* Goal: versions count up, the same files change nothing, an earlier version comes back as a new one, and all of it is
 * history with the very files; after reopening too. */
TEST(versions_and_history)
{
    begin();
    struct rig_files first = shop;
    const cairn_deploy_options by_ann = {.by = CAIRN_STR("ann"), .note = CAIRN_STR("the \"first\"\n")};
    CHECK_OK(rig_deploy(&rig, &shop, &by_ann));
    CHECK_INT(rig.deployed.version, 1);
    CHECK(rig.deployed.changed);
    CHECK_STR(rig.deployed.app, "shop");
    uint64_t end = cairn_end(rig.store);
    CHECK_OK(rig_deploy(&rig, &shop, NULL));
    CHECK_INT(rig.deployed.version, 1);
    CHECK(!rig.deployed.changed);
    CHECK_INT(cairn_end(rig.store), end);

    rig_file(&shop, "README.md", "Read me.\n");
    struct rig_files second = shop;
    CHECK_OK(rig_deploy(&rig, &shop, &(cairn_deploy_options){.expected_version = 1}));
    CHECK_INT(rig.deployed.version, 2);
    CHECK_INT(rig_deploy(&rig, &first, &(cairn_deploy_options){.expected_version = 1}), CAIRN_E_CONFLICT);
    CHECK_INT(rig.error.revision, 2);
    /* One file is new: two events, not ten. */
    CHECK_INT(cairn_end(rig.store), end + 2);

    rig_clear(&rig);
    CHECK_OK(cairn_app_rollback(rig.apps, CAIRN_STR("shop"), 1, NULL, rig_fault, &rig, &rig.deployed, &rig.error));
    CHECK_INT(rig.deployed.version, 3);
    CHECK_INT(cairn_app_rollback(rig.apps, CAIRN_STR("shop"), 9, NULL, rig_fault, &rig, &rig.deployed, &rig.error), CAIRN_E_NOTFOUND);
    CHECK_INT(cairn_app_rollback(rig.apps, CAIRN_STR("shop"), 0, NULL, rig_fault, &rig, &rig.deployed, &rig.error), CAIRN_E_INVALID);

    for (int round = 0; round < 2; round++) {
        CHECK_STR(history("shop"), "3* by= note= files=7 of=1 digest=64\n"
                                   "2 by= note= files=8 of=0 digest=64\n"
                                   "1 by=ann note=the \"first\"\n files=7 of=0 digest=64\n");
        CHECK(files_are("shop", 1, &first) && files_are("shop", 2, &second) && files_are("shop", 3, &first));
        CHECK(files_are("shop", 0, &first));
        CHECK_INT(cairn_app_files(rig.apps, CAIRN_STR("shop"), 4, compare_file, &(struct same){0}, NULL), CAIRN_E_NOTFOUND);
        CHECK_STR(history("none"), cairn_err_name(CAIRN_E_NOTFOUND));
        CHECK_STR(history("../x"), cairn_err_name(CAIRN_E_NOTFOUND));
        rig_restart(&rig);
    }
    CHECK_OK(rig_deploy(&rig, &second, NULL));
    CHECK_INT(rig.deployed.version, 4);
    rig_end(&rig);
}

/* Goal: a dry run tells what a deployment would, and changes nothing, neither the app nor the log. */
TEST(dry_run_changes_nothing)
{
    begin();
    const cairn_deploy_options dry = {.dry_run = true};
    CHECK_OK(rig_deploy(&rig, &shop, &dry));
    CHECK_INT(rig.deployed.version, 1);
    CHECK(rig.deployed.changed);
    CHECK_INT(cairn_end(rig.store), 0);
    CHECK_INT(rig_describe(&rig, "shop"), CAIRN_E_NOTFOUND);
    rig_must_deploy(&rig, &shop);
    uint64_t end = cairn_end(rig.store);
    CHECK_OK(rig_deploy(&rig, &shop, &dry));
    CHECK(!rig.deployed.changed);
    /* Against the running version: a member that becomes required. */
    rig_file(&shop, "schemas/changed.json", "{\"type\":\"object\",\"required\":[\"n\",\"by\"],\"properties\":{\"n\":{\"type\":\"integer\"}}}");
    CHECK_INT(rig_deploy(&rig, &shop, &dry), CAIRN_E_INVALID);
    CHECK(rig.faults.size > 0);
    CHECK_INT(cairn_end(rig.store), end);
    CHECK_INT(rig_deploy(&rig, &shop, &(cairn_deploy_options){.dry_run = true, .expected_version = 7}), CAIRN_E_INVALID);
    rig_end(&rig);
}

/* ---- topics ------------------------------------------------------------------------------------------------- */

static bool
topic_is(const char *name, const char *category, uint32_t partitions, const char *config, bool compact)
{
    cairn_topic_ref *ref;
    CHECK_OK(cairn_topic_get(rig.store, 0, cairn_cstr(name), &ref, &rig.error));
    const cairn_topic *topic = cairn_topic_of(ref);
    bool same = cairn_str_equal(topic->category, cairn_cstr(category)) && topic->partitions == partitions && topic->compact == compact &&
                cairn_str_equal(topic->config, cairn_cstr(config));
    if (!same)
        printf("%s: %.*s %u %.*s\n", name, (int)topic->category.size, topic->category.data, topic->partitions, (int)topic->config.size,
               topic->config.data);
    cairn_topic_release(ref);
    return same;
}

static void
with_topics(struct rig_files *files, const char *topics, char to[2048])
{
    snprintf(to, 2048, "%s%s", RIG_SHOP_YAML, topics);
    rig_file(files, "app.yaml", to);
}

/* Goal: a deployment makes the topics that are missing, grows and configures those that are there, and refuses with file and line what
 * cannot be, dry or not; a roll-back leaves partitions as they are.
 * Method: deploy one app again and again with other topics; look at the store's topics after each. */
TEST(topics_are_made)
{
    static char texts[8][2048];
    begin();
    with_topics(&shop, "topics:\n  items: item\n  my-log:\n", texts[0]);
    CHECK_OK(rig_deploy(&rig, &shop, &(cairn_deploy_options){.dry_run = true}));
    CHECK_INT(cairn_end(rig.store), 0);
    rig_must_deploy(&rig, &shop);
    CHECK(topic_is("items", "item", 1, "{}", false));
    CHECK(topic_is("my-log", "my~log", 1, "{}", false));
    CHECK_OK(rig_describe(&rig, "shop"));
    CHECK(rig_says(&rig.out, "\"topics\":[{\"topic\":\"items\",\"category\":\"item\",\"config\":{}}"));

    with_topics(&shop, "topics:\n  items: {category: item, partitions: 4, config: {cleanup.policy: compact}}\n", texts[1]);
    rig_must_deploy(&rig, &shop);
    CHECK(topic_is("items", "item", 4, "{\"cleanup.policy\":\"compact\"}", true));
    CHECK(topic_is("my-log", "my~log", 1, "{}", false));
    with_topics(&shop, "topics:\n  items: {category: item, config: {retention.ms: 5000}}\n", texts[2]);
    rig_must_deploy(&rig, &shop);
    CHECK(topic_is("items", "item", 4, "{\"retention.ms\":\"5000\",\"cleanup.policy\":\"compact\"}", true));
    uint64_t end = cairn_end(rig.store);

    static const struct {
        const char *topics, *fault;
    } wrong[] = {
        {"topics:\n  items: {category: item, partitions: 3}\n", "app.yaml:11: topic items has 4 partitions already"},
        {"topics:\n  items: thing\n", "app.yaml:11: topic items is there, and its category is item for good"},
        {"topics:\n  things:\n    partitions: 2\n    category: item\n", "app.yaml:13: topic things: category item is that of topic items"},
    };
    for (size_t i = 0; i < 3; i++) {
        with_topics(&shop, wrong[i].topics, texts[3 + i]);
        for (int dry = 0; dry < 2; dry++) {
            CHECK_INT(rig_deploy(&rig, &shop, &(cairn_deploy_options){.dry_run = dry}), CAIRN_E_INVALID);
            CHECK(rig_says(&rig.faults, wrong[i].fault));
        }
        CHECK_INT(cairn_end(rig.store), end);
    }
    rig_clear(&rig);
    CHECK_OK(cairn_app_rollback(rig.apps, CAIRN_STR("shop"), 1, NULL, rig_fault, &rig, &rig.deployed, &rig.error));
    rig_restart(&rig);
    CHECK(topic_is("items", "item", 4, "{\"retention.ms\":\"5000\",\"cleanup.policy\":\"compact\"}", true));
    CHECK_OK(rig_describe(&rig, "shop"));
    rig_end(&rig);
}

/* ---- limits ------------------------------------------------------------------------------------------------- */

static char *
spaces(size_t size)
{
    char *text = malloc(size + 1);
    assert_non_null(text);
    memset(text, ' ', size);
    text[size] = '\0';
    return text;
}

static void
refused(const struct rig_files *files, const char *why)
{
    cairn_err err = rig_deploy(&rig, files, NULL);
    if (err == CAIRN_OK)
        fail_msg("deployed: %s", why);
    CHECK(err == CAIRN_E_INVALID || err == CAIRN_E_LIMIT);
    CHECK(rig_says(&rig.faults, why));
}

/* Goal: files beyond the limits and paths that are none are refused, by name, and nothing is written; what is just within
 * is deployed, and there after reopening. */
TEST(limits_of_files)
{
    begin();
    char *half = spaces(512 << 10), *more = spaces((512 << 10) + 1);
    static char names[RIG_FILES_MAX][32];
    static const char *const bad[] = {"../x.md", "/x.md", "a/../x.md", "a//x.md", "./x.md", "a\\x.md", "", "c:x.md", "x\n.md", "\xff.md"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct rig_files files = shop;
        rig_file(&files, bad[i], "x");
        refused(&files, "path");
    }
    struct rig_files files = shop;
    files.files[files.count++] = (cairn_app_file){CAIRN_STR("item.lua"), CAIRN_STR("return 1")};
    refused(&files, "twice");
    files = shop;
    rig_file(&files, "x.md", "\xff\xfe");
    refused(&files, "UTF-8");
    files = shop;
    rig_file(&files, "x.md", more);
    refused(&files, "too large");
    files = shop;
    for (int i = 0; i < 16; i++) { /* with the others more than 8 MiB */
        snprintf(names[i], sizeof names[i], "notes/%d.md", i);
        rig_file(&files, names[i], half);
    }
    refused(&files, "too large");
    CHECK_INT(cairn_end(rig.store), 0);
    rig_file(&files, names[0], NULL);
    rig_must_deploy(&rig, &files); /* nearly 8 MiB in one append */
    rig_shop(&files);
    for (int i = 0; files.count < 256; i++) {
        snprintf(names[i], sizeof names[i], "notes/%d.md", i);
        rig_file(&files, names[i], names[i]);
    }
    rig_must_deploy(&rig, &files);
    rig_restart(&rig);
    CHECK(files_are("shop", 2, &files));
    CHECK_OK(rig_describe(&rig, "shop"));
    rig_file(&files, "notes/more.md", "");
    refused(&files, "256");
    CHECK_INT(rig_deploy(&rig, &shop, &(cairn_deploy_options){.by = {half, 257}}), CAIRN_E_LIMIT);
    CHECK_INT(rig_deploy(&rig, &shop, &(cairn_deploy_options){.by = CAIRN_STR("\xff")}), CAIRN_E_INVALID);
    CHECK_INT(rig_deploy(&rig, &(struct rig_files){.count = 0}, NULL), CAIRN_E_INVALID);
    free(half);
    free(more);
    rig_end(&rig);
}

/* ---- removing ------------------------------------------------------------------------------------------------ */

static int
files_of(const char *app)
{
    char command[256];
    snprintf(command, sizeof command, "ls -A '%s/%s' 2>/dev/null | wc -l", rig.models, app);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    int count = -1;
    CHECK_INT(fscanf(pipe, "%d", &count), 1);
    pclose(pipe);
    return count;
}

/* Goal: a removed app takes its read models along and keeps its events and history; brought back, by deploying or by going
 * back, it knows what it knew. */
TEST(removed_and_brought_back)
{
    begin();
    rig_must_deploy(&rig, &shop);
    CHECK_OK(rig_command(&rig, "shop", "Add", "{\"item\":\"tea\",\"n\":3}"));
    CHECK_STR(rig_rows(&rig, "shop", "stock"), "[{\"item\":\"tea\",\"n\":3}]");
    CHECK(files_of("shop") > 0);
    CHECK_OK(cairn_app_remove(rig.apps, CAIRN_STR("shop"), &rig.error));
    CHECK_INT(cairn_app_remove(rig.apps, CAIRN_STR("shop"), &rig.error), CAIRN_E_NOTFOUND);
    CHECK_INT(rig_command(&rig, "shop", "Add", "{\"item\":\"tea\",\"n\":3}"), CAIRN_E_NOTFOUND);
    CHECK_INT(rig_query(&rig, "shop", "stock", NULL, 0), CAIRN_E_NOTFOUND);
    CHECK_STR(history("shop"), "1 by= note= files=7 of=0 digest=64\n");
    rig_restart(&rig);
    CHECK_INT(files_of("shop"), 0);
    CHECK_INT(rig_describe(&rig, "shop"), CAIRN_E_NOTFOUND);
    CHECK_INT(rig_deploy(&rig, &shop, &(cairn_deploy_options){.expected_version = 1}), CAIRN_E_CONFLICT);
    rig_clear(&rig);
    CHECK_OK(cairn_app_rollback(rig.apps, CAIRN_STR("shop"), 1, NULL, rig_fault, &rig, &rig.deployed, &rig.error));
    CHECK_INT(rig.deployed.version, 2);
    CHECK_OK(rig_command(&rig, "shop", "Add", "{\"item\":\"tea\",\"n\":4}"));
    CHECK_STR(rig_rows(&rig, "shop", "stock"), "[{\"item\":\"tea\",\"n\":7}]");
    CHECK_STR(history("shop"), "2* by= note= files=7 of=1 digest=64\n1 by= note= files=7 of=0 digest=64\n");
    rig_end(&rig);
}

/* Goal: read models that a crash left behind (of a removed app, of a projection that a version dropped) go at the next
 * start; those in use stay. */
TEST(left_over_models_go)
{
    begin();
    rig_must_deploy(&rig, &shop);
    CHECK_OK(rig_command(&rig, "shop", "Add", "{\"item\":\"tea\",\"n\":3}"));
    CHECK_STR(rig_rows(&rig, "shop", "stock"), "[{\"item\":\"tea\",\"n\":3}]");
    rig_stop(&rig);
    char command[400];
    snprintf(command, sizeof command, "cd '%s/shop' && for f in stock*; do cp \"$f\" \"dropped${f#stock}\"; done", rig.models);
    CHECK_INT(system(command), 0);
    int both = files_of("shop");
    rig_start(&rig);
    CHECK_STR(rig_rows(&rig, "shop", "stock"), "[{\"item\":\"tea\",\"n\":3}]");
    rig_stop(&rig);
    CHECK(both >= 4 && files_of("shop") * 2 <= both);
    rig_end(&rig);
}

/* ---- deciders that are gone ------------------------------------------------------------------------------------ */

static cairn_err
no_state(void *self, cairn_str stream, void **ret, cairn_error *error)
{
    (void)self, (void)stream, (void)error;
    *ret = &rig;
    return CAIRN_OK;
}
static void
free_nothing(void *self, void *state)
{
    (void)self, (void)state;
}
static cairn_err
evolve_nothing(void *self, void *state, const cairn_recorded *event, cairn_error *error)
{
    (void)self, (void)state, (void)event, (void)error;
    return CAIRN_OK;
}
static cairn_err
decide_added(void *self, const void *state, const cairn_command *command, cairn_decision *decision, cairn_error *error)
{
    (void)self, (void)state, (void)error, (void)command;
    const cairn_event event = {.type = CAIRN_STR("Added"), .data = CAIRN_STR("{\"n\":1}")};
    return cairn_decide_event(decision, (cairn_str){0}, &event);
}
static const cairn_decider one = {.abi = CAIRN_DECIDER_ABI, .name = "one", .state_new = no_state, .state_free = free_nothing,
                                  .evolve = evolve_nothing, .decide = decide_added, .fingerprint = {"1", 1}};

/* Goal: an app whose decider in C is not in this program any more is left out, with its history; the others run, and it
 * comes back with its decider. */
TEST(missing_native_decider)
{
    static const cairn_decider *const natives[] = {&one};
    rig = (struct apps_rig){.options = {.natives = natives, .native_count = 1}};
    rig_begin(&rig);
    rig_shop(&shop);
    rig_must_deploy(&rig, &shop);
    struct rig_files counted = shop;
    rig_file(&counted, "app.yaml", "app: counted\ndeciders: {one: {native: one}}\ncommands:\n"
                                   "  Add: {schema: schemas/change.json, stream: \"counted-{item}\"}\n"
                                   "events:\n  Added: {schema: schemas/changed.json}\n  Taken: {}\n");
    rig_file(&counted, "item.lua", NULL);
    rig_must_deploy(&rig, &counted);
    CHECK_OK(rig_command(&rig, "counted", "Add", "{\"item\":\"x\",\"n\":5}"));
    rig_stop(&rig);

    rig.options.native_count = 0;
    rig_start(&rig);
    CHECK_INT(rig_describe(&rig, "counted"), CAIRN_E_UNSUPPORTED);
    CHECK_INT(rig_command(&rig, "counted", "Add", "{\"item\":\"x\",\"n\":5}"), CAIRN_E_UNSUPPORTED);
    CHECK_STR(history("counted"), "1* by= note= files=6 of=0 digest=64\n");
    CHECK_INT(rig_deploy(&rig, &counted, NULL), CAIRN_E_INVALID);
    CHECK(rig_says(&rig.faults, "no decider 'one'"));
    CHECK_OK(rig_command(&rig, "shop", "Add", "{\"item\":\"tea\",\"n\":3}"));
    rig_stop(&rig);

    rig.options.native_count = 1;
    rig_start(&rig);
    CHECK_OK(rig_command(&rig, "counted", "Add", "{\"item\":\"x\",\"n\":5}"));
    CHECK_STR(rig_rows(&rig, "counted", "stock"), "[{\"item\":\"tea\",\"n\":3},{\"item\":\"x\",\"n\":2}]");
    rig_end(&rig);
}

/* ---- what a deployment takes over -------------------------------------------------------------------------------- */

/* Goal: on_error is part of what is deployed: changing it alone takes effect at once, on the model that is there. A replay's
 * report says what the new model leaves out. */
TEST(on_error_changes)
{
    begin();
    rig_must_deploy(&rig, &shop);
    CHECK_OK(rig_command(&rig, "shop", "Add", "{\"item\":\"tea\",\"n\":3}"));
    const cairn_event bad = {.type = CAIRN_STR("Added"), .data = CAIRN_STR("{\"n\":null}")};
    cairn_at at;
    CHECK_OK(cairn_append(rig.store, 0, CAIRN_STR("item-tea"), CAIRN_ANY, &bad, 1, &at, NULL));
    rig.position = at.last_position;
    CHECK_INT(rig_query(&rig, "shop", "stock", NULL, 0), CAIRN_E_SCRIPT); /* it stands there */
    rig_file(&shop, "app.yaml", RIG_SHOP_YAML "projections: {stock: {on_error: skip}}\n");
    rig_must_deploy(&rig, &shop);
    rig.position = at.last_position;
    CHECK_STR(rig_rows(&rig, "shop", "stock"), "[{\"item\":\"tea\",\"n\":3}]");
    rig_clear(&rig);
    const cairn_replay_request request = {.app = CAIRN_STR("shop"), .projection = CAIRN_STR("stock"), .on_error = CAIRN_ON_ERROR_SKIP};
    CHECK_OK(cairn_app_replay(rig.apps, &request, NULL, NULL, buf_sink, &rig.out, &rig.error));
    CHECK(rig_says(&rig.out, "\"outcome\":\"rebuilt\"") && rig_says(&rig.out, "\"parked\":0,\"skipped\":1,\"seconds\":"));
    rig_end(&rig);
}

/* Goal: a projection that cannot be started says so, the app runs otherwise, and a retry starts it when the cause is gone.
 * Method: a file stands where its folder should be. */
TEST(projection_that_cannot_start)
{
    begin();
    char path[120];
    snprintf(path, sizeof path, "%s/shop", rig.models);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    rig_must_deploy(&rig, &shop);
    CHECK_OK(rig_command(&rig, "shop", "Add", "{\"item\":\"tea\",\"n\":3}"));
    CHECK(rig_query(&rig, "shop", "stock", NULL, 0) != CAIRN_OK);
    CHECK_OK(rig_describe(&rig, "shop"));
    CHECK(rig_says(&rig.out, "\"state\":\"failed\""));
    CHECK(cairn_projection_do(rig.apps, CAIRN_STR("shop"), CAIRN_STR("stock"), CAIRN_PROJECTION_RETRY, &rig.error) != CAIRN_OK);
    CHECK(cairn_projection_do(rig.apps, CAIRN_STR("shop"), CAIRN_STR("stock"), CAIRN_PROJECTION_PAUSE, &rig.error) != CAIRN_OK);
    CHECK_INT(unlink(path), 0);
    CHECK_OK(cairn_projection_do(rig.apps, CAIRN_STR("shop"), CAIRN_STR("stock"), CAIRN_PROJECTION_RETRY, &rig.error));
    CHECK_STR(rig_rows(&rig, "shop", "stock"), "[{\"item\":\"tea\",\"n\":3}]");
    CHECK_OK(rig_command(&rig, "shop", "Add", "{\"item\":\"tea\",\"n\":1}")); /* it is told of commits */
    CHECK_STR(rig_rows(&rig, "shop", "stock"), "[{\"item\":\"tea\",\"n\":4}]");
    rig_end(&rig);
}

/* Goal: what is deployed has the same place in history and time before and after a restart. */
TEST(deployed_at_stays)
{
    begin();
    rig_must_deploy(&rig, &shop);
    CHECK_OK(rig_describe(&rig, "shop"));
    char before[64], after[64];
    for (int round = 0; round < 2; round++) {
        cairn_str at = json_get(json_trusted(buf_str(&rig.out)), "deployed_at").raw;
        snprintf(round ? after : before, sizeof before, "%.*s", (int)at.size, at.data);
        rig_restart(&rig);
        CHECK_OK(rig_describe(&rig, "shop"));
    }
    CHECK_STR(before, after);
    rig_end(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(versions_and_history), RUN(dry_run_changes_nothing), RUN(topics_are_made), RUN(limits_of_files), RUN(removed_and_brought_back),
        RUN(left_over_models_go), RUN(missing_native_decider), RUN(on_error_changes), RUN(projection_that_cannot_start),
        RUN(deployed_at_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
