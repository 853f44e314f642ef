/* Goal: groups used from many threads answer every call once, and lose neither locks nor memory (ThreadSanitizer looks on).
 * Method: threads that do anything to a few groups, one that ticks, one that looks; a count of calls and answers. */
#include <consumer_rig.h>

#include <sched.h>

#define THREADS 4
#define STEPS 600
#define GROUPS 3

static struct groups_broker *groups;
static _Atomic int64_t now_ms = 1000;
static atomic_uint calls, answers, forgotten, commits, committed;
static atomic_bool over;

struct one_call {
    atomic_uint refs; /* the thread's, the answer's */
    atomic_uint answered;
    char id[128];
    int32_t generation;
    bool fine;
};

static void
release(struct one_call *call)
{
    if (atomic_fetch_sub(&call->refs, 1) == 1)
        free(call);
}

static struct one_call *
begin_call(void)
{
    struct one_call *call = calloc(1, sizeof *call);
    assert_non_null(call);
    atomic_init(&call->refs, 2);
    atomic_fetch_add(&calls, 1);
    return call;
}

static void
heard(struct one_call *call)
{
    atomic_fetch_add(&answers, 1);
    if (atomic_fetch_add(&call->answered, 1) != 0)
        abort();
    release(call);
}

static void
heard_join(void *context, const struct group_joined *result)
{
    struct one_call *call = context;
    keep_text(call->id, sizeof call->id, result->member_id);
    call->generation = result->generation;
    call->fine = result->err == KAFKA_NONE;
    heard(call);
}

static void
heard_sync(void *context, const struct group_synced *result)
{
    (void)result;
    heard(context);
}

static void
heard_commit(void *context, enum kafka_err err, const enum kafka_err *errs)
{
    (void)context;
    (void)errs;
    if (err != KAFKA_NONE)
        abort();
    atomic_fetch_add(&committed, 1);
}

/* Wait for the answer a little, or go; then perhaps it comes all the same. */
static bool
await(struct one_call *call, uint64_t *seed)
{
    bool patient = test_random(seed) % 4 != 0;
    for (int i = 0; i < 2000 && atomic_load(&call->answered) == 0 && (patient || i < 5); i++)
        sched_yield();
    if (atomic_load(&call->answered) == 0 && groups_forget(groups, call)) {
        atomic_fetch_add(&forgotten, 1);
        release(call); /* the answer's */
        return false;
    }
    return atomic_load(&call->answered) == 1;
}

static void
join_and_more(cairn_str group, uint64_t *seed)
{
    struct group_protocol protocol = {CAIRN_STR("range"), CAIRN_STR("m")};
    struct group_join join = {.group = group, .client_id = CAIRN_STR("c"), .protocol_type = CAIRN_STR("consumer"),
                              .session_timeout_ms = 6000, .rebalance_timeout_ms = 6000, .protocols = &protocol, .protocol_count = 1};
    if (test_random(seed) % 4 == 0)
        join.instance_id = test_random(seed) % 2 ? CAIRN_STR("A") : CAIRN_STR("B");
    struct one_call *call = begin_call(), *second = NULL;
    groups_join(groups, &join, atomic_load(&now_ms), heard_join, call);
    if (await(call, seed) && call->fine) {
        struct group_assignment assignment = {cairn_cstr(call->id), CAIRN_STR("all")};
        struct group_sync sync = {.group = group, .member_id = cairn_cstr(call->id), .generation = call->generation,
                                  .assignments = &assignment, .assignment_count = 1};
        second = begin_call();
        groups_sync(groups, &sync, atomic_load(&now_ms), heard_sync, second);
        (void)await(second, seed);
        release(second);
        (void)groups_heartbeat(groups, group, cairn_cstr(call->id), join.instance_id, call->generation, atomic_load(&now_ms));
        (void)groups_may_commit(groups, group, cairn_cstr(call->id), join.instance_id, call->generation);
        if (test_random(seed) % 2)
            (void)groups_leave(groups, group, cairn_cstr(call->id), (cairn_str){0}, atomic_load(&now_ms));
    }
    release(call);
}

static void
commit_some(cairn_str group, uint64_t *seed)
{
    struct offset_commit two[2] = {{.topic = CAIRN_STR("t"), .partition = (uint32_t)(test_random(seed) % 4), .offset = 5},
                                   {.topic = CAIRN_STR("u"), .partition = 1, .offset = 6, .metadata = CAIRN_STR("x")}};
    struct arena arena = {0};
    struct offset_commit found;
    atomic_fetch_add(&commits, 1);
    groups_commit_async(groups, group, two, 2, heard_commit, NULL);
    CHECK_INT(groups_offset_fetch(groups, group, CAIRN_STR("u"), 1, &arena, &found), KAFKA_NONE);
    CHECK(found.offset == -1 || found.offset == 6);
    arena_free(&arena);
}

static void
beat_some(uint64_t *seed)
{
    struct client client = {.group = "848", .topics = {"t0"}, .topic_count = 1};
    snprintf(client.id, sizeof client.id, "m%u", (unsigned)(test_random(seed) % 8));
    client_send(&client, groups, atomic_load(&now_ms), 0, on_beaten);
    CHECK_INT(client.calls, 1);
    client_apply(&client);
    client_send(&client, groups, atomic_load(&now_ms), test_random(seed) % 4 ? client.epoch : -1, on_beaten);
    CHECK_INT(client.calls, 2);
}

static void *
work(void *argument)
{
    uint64_t seed = (uint64_t)(uintptr_t)argument;
    for (int i = 0; i < STEPS; i++) {
        char name[8];
        snprintf(name, sizeof name, "g%u", (unsigned)(test_random(&seed) % GROUPS));
        switch (test_random(&seed) % 8) {
        case 0: beat_some(&seed); break;
        case 1: commit_some(cairn_cstr(name), &seed); break;
        case 2: (void)(test_random(&seed) % 16 || groups_delete(groups, cairn_cstr(name))); break;
        default: join_and_more(cairn_cstr(name), &seed); break;
        }
    }
    return NULL;
}

static void *
tick(void *argument)
{
    (void)argument;
    while (!atomic_load(&over)) {
        groups_tick(groups, atomic_fetch_add(&now_ms, 20));
        sched_yield();
    }
    return NULL;
}

static bool
nothing(void *context, const struct group_info *info)
{
    (void)context;
    return info->group.size > 0;
}

static void *
look(void *argument)
{
    (void)argument;
    for (int i = 0; !atomic_load(&over); i++) {
        struct arena arena = {0};
        struct group_info info;
        char name[8];
        snprintf(name, sizeof name, "g%d", i % GROUPS);
        (void)groups_describe(groups, i % 5 ? cairn_cstr(name) : CAIRN_STR("848"), &arena, &info);
        arena_free(&arena);
        if (i % 20 == 0)
            groups_list(groups, nothing, NULL);
        if (i % 50 == 0)
            groups_expire(groups, 0);
    }
    return NULL;
}

TEST(anything_from_many_threads)
{
    char folder[64];
    cairn_store *store;
    struct play play = {0};
    struct groups_topics topics = {play_changes, play_visit, &play};
    pthread_t threads[THREADS + 2];
    uint64_t seed = test_seed();
    test_folder(folder);
    play_set(&play, 0, 8);
    CHECK_OK(cairn_open(folder, &(cairn_options){.create = true, .segment_size_bytes = 1 << 20}, &store, NULL));
    CHECK_OK(groups_new_on(store, 0, &topics, NULL, &groups, NULL));
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)(test_random(&seed) | 1)), 0);
    assert_int_equal(pthread_create(&threads[THREADS], NULL, tick, NULL), 0);
    assert_int_equal(pthread_create(&threads[THREADS + 1], NULL, look, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&over, true);
    pthread_join(threads[THREADS], NULL);
    pthread_join(threads[THREADS + 1], NULL);
    groups_close(groups); /* answers who waits still, and waits for what is being committed */
    CHECK_INT(answers + forgotten, calls);
    CHECK_INT(committed, commits);
    cairn_close(store);
    test_remove(folder);
    printf("%u calls, %u forgotten, %u commits\n", calls, forgotten, commits);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(anything_from_many_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
