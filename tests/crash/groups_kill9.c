/* Goal: an offset whose commit was answered is there after the process was killed, with the commit's other offsets, and its group is
 * listed; what is there is what somebody committed.
 * Method: a child commits rising offsets of several groups, all partitions of a group the same in one call, and says through a
 * pipe what was answered; it is killed (SIGKILL) when it has said enough; the folder is opened and held against that. */
#include <groups_rig.h>

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#define ROUNDS 12
#define GROUPS 5
#define PARTITIONS 6
#define UNDER_WAY 4 /* commits of a group at a time */

struct said {
    uint32_t group;
    int64_t offset;
};

static int pipe_to;
static _Atomic int64_t sent[GROUPS], answered[GROUPS];

static void
on_answer(void *context, enum kafka_err err, const enum kafka_err *errs)
{
    uint32_t group = (uint32_t)(uintptr_t)context;
    bool fine = err == KAFKA_NONE;
    for (int i = 0; fine && i < PARTITIONS; i++)
        fine = errs[i] == KAFKA_NONE;
    if (!fine)
        _exit(3);
    struct said said = {group, atomic_fetch_add(&answered[group], 1) + 1}; /* answered in the order of sending: one commit thread */
    if (write(pipe_to, &said, sizeof said) != sizeof said)
        _exit(4);
}

static void
open_groups(const char *folder, cairn_store **ret_store, struct groups_broker **ret)
{
    static const struct groups_topics none = {no_changes, no_topics, NULL};
    cairn_options options = {.create = true, .segment_size_bytes = 1 << 20};
    CHECK_OK(cairn_open(folder, &options, ret_store, NULL));
    CHECK_OK(groups_new_on(*ret_store, 0, &none, NULL, ret, NULL));
}

static cairn_str
group_name(uint32_t group, char to[16])
{
    snprintf(to, 16, "group-%u", group);
    return cairn_cstr(to);
}

static void
child(const char *folder, const int64_t *from)
{
    cairn_store *store;
    struct groups_broker *groups;
    open_groups(folder, &store, &groups);
    for (uint32_t i = 0; i < GROUPS; i++)
        sent[i] = answered[i] = from[i];
    for (uint32_t g = 0;; g = (g + 1) % GROUPS) {
        if (atomic_load(&sent[g]) - atomic_load(&answered[g]) >= UNDER_WAY) {
            sched_yield();
            continue;
        }
        struct offset_commit commits[PARTITIONS];
        char name[16];
        int64_t offset = atomic_fetch_add(&sent[g], 1) + 1;
        for (uint32_t p = 0; p < PARTITIONS; p++)
            commits[p] = (struct offset_commit){.topic = CAIRN_STR("t"), .partition = p, .offset = offset};
        groups_commit_async(groups, group_name(g, name), commits, PARTITIONS, on_answer, (void *)(uintptr_t)g);
    }
}

struct seen {
    int64_t offset;
    size_t count;
    unsigned groups;
};

static bool
take_offset(void *context, const struct offset_commit *commit)
{
    struct seen *seen = context;
    CHECK(seen->count == 0 || seen->offset == commit->offset); /* all of a commit, or none */
    seen->offset = commit->offset;
    seen->count++;
    return true;
}

static bool
take_group(void *context, const struct group_info *info)
{
    CHECK(info->group.size == 7);
    ((struct seen *)context)->groups++;
    return true;
}

static void
check(const char *folder, const int64_t *said, int64_t *ret_offsets)
{
    cairn_store *store;
    struct groups_broker *groups;
    struct seen all = {0};
    unsigned having = 0;
    open_groups(folder, &store, &groups);
    for (uint32_t g = 0; g < GROUPS; g++) {
        struct seen seen = {0};
        char name[16];
        CHECK_INT(groups_offsets(groups, group_name(g, name), take_offset, &seen), KAFKA_NONE);
        CHECK(seen.count == 0 || seen.count == PARTITIONS);
        CHECK(seen.offset >= said[g]);                 /* nothing answered is lost */
        CHECK(seen.offset <= said[g] + 2 * UNDER_WAY); /* and nothing is there that was not sent */
        ret_offsets[g] = seen.offset;
        having += seen.count > 0;
    }
    groups_list(groups, take_group, &all);
    CHECK_INT(all.groups, having);
    groups_close(groups);
    cairn_close(store);
}

static void
one_round(const char *folder, int64_t *offsets, uint64_t enough)
{
    int ends[2];
    int64_t said[GROUPS];
    memcpy(said, offsets, sizeof said);
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(ends[0]);
        pipe_to = ends[1];
        child(folder, offsets);
        _exit(5);
    }
    close(ends[1]);
    struct said one;
    for (uint64_t n = 0; read(ends[0], &one, sizeof one) == sizeof one;) {
        said[one.group] = one.offset;
        if (++n == enough)
            kill(pid, SIGKILL); /* what it said until then is read to the end */
    }
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    check(folder, said, offsets);
}

TEST(answered_offsets_survive)
{
    char folder[64];
    int64_t offsets[GROUPS] = {0};
    uint64_t seed = test_seed();
    test_folder(folder);
    for (unsigned round = 0; round < ROUNDS * test_scale(); round++)
        one_round(folder, offsets, 1 + test_random(&seed) % 300);
    int64_t sum = 0;
    for (int g = 0; g < GROUPS; g++)
        sum += offsets[g];
    printf("%lld commits survived\n", (long long)sum);
    CHECK(sum >= ROUNDS);
    test_remove(folder);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(answered_offsets_survive)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
