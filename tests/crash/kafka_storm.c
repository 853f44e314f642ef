/* Rebalance storms: members of groups join and leave every 100 ms while a producer runs; one stalls; a transactional producer is killed.
 *
 * Goal: every acknowledged record is delivered to each group at least once; no commit stands before a record that was not delivered; a
 *       partition comes in order, one after the other, from where the group stood; a member that has lost its place commits nothing;
 *       a transaction is seen whole or not at all, also when its producer dies in the middle (kill -9).
 * Method: real clients against a real server. Each group has a book: what was delivered, up to where without a hole, up to where committed.
 * Arguments: none: the classic protocol, eager. `new`: cooperative, which librdkafka before 2.3 ends with an assertion when a
 * member leaves before its first assignment (its issue 4312), and KIP-848, which it has later; kafka_storm_new.sh finds such a
 * library. TEST_SEED replays who leaves; TEST_SCALE makes the storm six seconds longer each, up to a minute. */
#include "rdkafka_rig.h"

#include <pthread.h>

#define PARTITIONS 6
#define MEMBERS_MAX 6
#define RECORDS_MAX 1000000 /* of a partition */
#define TOPIC "weather"

static struct serve serve;

#define MUST(condition, ...)                                                                                                    \
    do {                                                                                                                        \
        if (!(condition)) {                                                                                                     \
            fprintf(stderr, "not ok %s: ", #condition);                                                                         \
            fprintf(stderr, __VA_ARGS__);                                                                                       \
            fputc('\n', stderr);                                                                                                \
            _exit(1);                                                                                                           \
        }                                                                                                                       \
    } while (0)

/* ---- the producer: record n of a partition has offset n and says n ---------------------------------------------------------------- */

static _Atomic int64_t produced[PARTITIONS]; /* acknowledged, without a hole */
static atomic_bool stop_producer;

static void
delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    (void)rk, (void)opaque;
    int64_t number = (int64_t)(intptr_t)message->_private;
    MUST(message->err == 0 && message->offset == number && atomic_load(&produced[message->partition]) == number,
         "partition %d: record %ld is acknowledged at %ld after %ld: %s", message->partition, (long)number, (long)message->offset,
         (long)produced[message->partition], rd_kafka_err2name(message->err));
    atomic_store(&produced[message->partition], number + 1);
}

static void *
produce(void *context)
{
    (void)context;
    rd_kafka_conf_t *conf = rig_conf(&serve, SETTINGS("enable.idempotence", "true", "linger.ms", "2", "queue.buffering.max.messages", "1000"));
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_t *rk = rig_new(RD_KAFKA_PRODUCER, conf);
    int64_t next[PARTITIONS] = {0};
    for (uint64_t i = 0; !atomic_load(&stop_producer); i++) {
        int32_t partition = (int32_t)(i % PARTITIONS);
        char value[32];
        int size = snprintf(value, sizeof value, "%ld", (long)next[partition]);
        MUST(next[partition] < RECORDS_MAX, "too many records");
        rd_kafka_resp_err_t err = rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(TOPIC), RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_VALUE(value, (size_t)size),
                                                    RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_OPAQUE((void *)(intptr_t)next[partition]), RD_KAFKA_V_END);
        next[partition] += err == 0;
        rd_kafka_poll(rk, i % 60 == 0 ? 3 : 0); /* some 15,000 a second: members have time for other things than reading */
    }
    MUST(rd_kafka_flush(rk, RIG_PATIENCE_MS) == 0, "records are not acknowledged");
    rd_kafka_destroy(rk);
    return NULL;
}

/* ---- a group and its book ------------------------------------------------------------------------------------------------------------ */

struct group {
    const char *name, *strategy; /* strategy NULL: KIP-848 */
    pthread_mutex_t lock;
    bool *seen[PARTITIONS];
    int64_t whole[PARTITIONS];     /* all below were delivered */
    int64_t committed[PARTITIONS]; /* by an acknowledged commit */
    uint64_t records, again;
    unsigned joins, leaves, deaths, assignments, commits, refused;
    atomic_uint alive;             /* members' threads */
};
struct member {
    struct group *group;
    rd_kafka_t *rk;
    atomic_bool leave, die; /* die: without a word to the server */
    int64_t next[PARTITIONS];  /* of what is assigned; -1: not known yet */
    int64_t floor[PARTITIONS]; /* what was committed when it was assigned */
    bool mine[PARTITIONS], dirty[PARTITIONS];
    unsigned pending;
};

static void
note_delivered(struct member *member, int32_t p, int64_t offset)
{
    struct group *group = member->group;
    MUST(member->mine[p], "%s: partition %d comes to a member that does not have it", group->name, p);
    MUST(member->next[p] < 0 || member->next[p] == offset, "%s: partition %d: %ld comes where %ld should", group->name, p, (long)offset, (long)member->next[p]);
    pthread_mutex_lock(&group->lock);
    MUST(offset <= group->whole[p], "%s: partition %d: %ld comes, but %ld never has", group->name, p, (long)offset, (long)group->whole[p]);
    MUST(member->next[p] >= 0 || offset >= member->floor[p], "%s: partition %d: a member begins at %ld, committed was %ld", group->name, p, (long)offset,
         (long)member->floor[p]);
    group->records++;
    group->again += group->seen[p][offset];
    group->seen[p][offset] = true;
    while (group->seen[p][group->whole[p]])
        group->whole[p]++;
    pthread_mutex_unlock(&group->lock);
    member->next[p] = offset + 1;
    member->dirty[p] = true;
    member->pending++;
}

/* Commit what has come. A refusal is an answer, too: the group has gone on without this member. */
static void
commit(struct member *member)
{
    struct group *group = member->group;
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(PARTITIONS);
    for (int32_t p = 0; p < PARTITIONS; p++)
        if (member->mine[p] && member->dirty[p])
            rd_kafka_topic_partition_list_add(offsets, TOPIC, p)->offset = member->next[p];
    rd_kafka_resp_err_t err = offsets->cnt > 0 ? rd_kafka_commit(member->rk, offsets, 0) : RD_KAFKA_RESP_ERR__NO_OFFSET;
    pthread_mutex_lock(&group->lock);
    if (err == 0)
        group->commits++;
    else if (offsets->cnt > 0)
        group->refused++;
    for (int i = 0; err == 0 && i < offsets->cnt; i++) {
        const rd_kafka_topic_partition_t *one = &offsets->elems[i];
        MUST(one->err == 0, "%s: %s", group->name, rd_kafka_err2name(one->err));
        MUST(one->offset <= group->whole[one->partition], "%s: %ld is committed, but %ld has not come", group->name, (long)one->offset,
             (long)group->whole[one->partition]);
        MUST(one->offset >= member->floor[one->partition], "%s: a commit goes back to %ld", group->name, (long)one->offset);
        if (one->offset > group->committed[one->partition])
            group->committed[one->partition] = one->offset;
        member->dirty[one->partition] = false;
    }
    pthread_mutex_unlock(&group->lock);
    member->pending = 0;
    rd_kafka_topic_partition_list_destroy(offsets);
}

static void
rebalanced(rd_kafka_t *rk, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *partitions, void *opaque)
{
    struct member *member = opaque;
    struct group *group = member->group;
    bool gains = err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS, cooperative = !strcmp(rd_kafka_rebalance_protocol(rk), "COOPERATIVE");
    if (!gains && !rd_kafka_assignment_lost(rk))
        commit(member);
    pthread_mutex_lock(&group->lock);
    group->assignments += gains;
    for (int i = 0; i < partitions->cnt; i++) {
        int32_t p = partitions->elems[i].partition;
        member->mine[p] = gains;
        member->next[p] = -1;
        member->dirty[p] = false;
        member->floor[p] = group->committed[p];
    }
    pthread_mutex_unlock(&group->lock);
    rd_kafka_error_t *error = NULL;
    if (cooperative)
        error = gains ? rd_kafka_incremental_assign(rk, partitions) : rd_kafka_incremental_unassign(rk, partitions);
    else
        err = rd_kafka_assign(rk, gains ? partitions : NULL);
    MUST(!error, "%s", rd_kafka_error_string(error));
}

static void
member_poll(struct member *member, int timeout_ms)
{
    rd_kafka_message_t *message = rd_kafka_consumer_poll(member->rk, timeout_ms);
    if (!message) {
        if (member->pending > 0)
            commit(member);
        return;
    }
    if (message->err == 0) {
        char value[32];
        snprintf(value, sizeof value, "%.*s", (int)message->len, (const char *)message->payload);
        MUST(strtol(value, NULL, 10) == message->offset, "partition %d: at %ld stands %s", message->partition, (long)message->offset, value);
        note_delivered(member, message->partition, message->offset);
        if (member->pending >= 300)
            commit(member);
    }
    MUST(message->err != RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, "%s: %s", member->group->name, rd_kafka_message_errstr(message));
    rd_kafka_message_destroy(message);
}

static struct member *
member_open(struct group *group, const char *max_poll_ms)
{
    struct member *member = calloc(1, sizeof *member);
    member->group = group;
    rd_kafka_conf_t *conf = rig_conf(&serve, SETTINGS("group.id", group->name, "auto.offset.reset", "error", "enable.auto.commit", "false", "fetch.wait.max.ms",
                                                      "20", "max.poll.interval.ms", max_poll_ms, "queued.min.messages", "1000"));
    char why[256];
    const char *const classic[] = {"partition.assignment.strategy", group->strategy, "session.timeout.ms", "6000", "heartbeat.interval.ms", "50"};
    const char *const next[] = {"group.protocol", "consumer"};
    const char *const *more = group->strategy ? classic : next;
    for (size_t i = 0; i < (group->strategy ? 6 : 2); i += 2)
        MUST(rd_kafka_conf_set(conf, more[i], more[i + 1], why, sizeof why) == RD_KAFKA_CONF_OK, "%s", why);
    rd_kafka_conf_set_rebalance_cb(conf, rebalanced);
    rd_kafka_conf_set_opaque(conf, member);
    member->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    MUST(member->rk, "%s", why);
    rd_kafka_poll_set_consumer(member->rk);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, TOPIC, RD_KAFKA_PARTITION_UA);
    MUST(rd_kafka_subscribe(member->rk, topics) == 0, "no subscription");
    rd_kafka_topic_partition_list_destroy(topics);
    return member;
}

static void
member_close(struct member *member)
{
    rd_kafka_resp_err_t err = rd_kafka_consumer_close(member->rk); /* gives back, which commits */
    MUST(err == 0, "%s: close: %s", member->group->name, rd_kafka_err2name(err));
    rd_kafka_destroy(member->rk);
    free(member);
}

static void *
member_run(void *context)
{
    struct member *member = context;
    struct group *group = member->group;
    while (!atomic_load(&member->leave) && !atomic_load(&member->die))
        member_poll(member, 20);
    if (atomic_load(&member->die)) {
        rd_kafka_destroy_flags(member->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        free(member);
    } else
        member_close(member);
    atomic_fetch_sub(&group->alive, 1);
    return NULL;
}

static struct member *
member_start(struct group *group)
{
    struct member *member = member_open(group, "300000");
    pthread_t thread;
    atomic_fetch_add(&group->alive, 1);
    MUST(pthread_create(&thread, NULL, member_run, member) == 0, "no thread");
    pthread_detach(thread);
    group->joins++;
    return member;
}

static void
group_begin(struct group *group)
{
    pthread_mutex_init(&group->lock, NULL);
    for (int32_t p = 0; p < PARTITIONS; p++)
        group->seen[p] = calloc(RECORDS_MAX + 1, 1);
}

/* A group that begins at 0 by its commits, not by its members' auto.offset.reset: with that, librdkafka 2.0.2 keeps a timer across
 * rebalances that may set a partition back which it has begun to read again. */
static void
group_commit_zero(struct group *group)
{
    rd_kafka_t *rk = CONSUMER(&serve, "group.id", group->name);
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(PARTITIONS);
    for (int32_t p = 0; p < PARTITIONS; p++)
        rd_kafka_topic_partition_list_add(offsets, TOPIC, p)->offset = 0;
    CHECK_RK(rd_kafka_commit(rk, offsets, 0));
    rd_kafka_topic_partition_list_destroy(offsets);
    rd_kafka_destroy(rk);
}

static bool
group_has_all(struct group *group)
{
    bool all = true;
    pthread_mutex_lock(&group->lock);
    for (int32_t p = 0; p < PARTITIONS; p++)
        all &= group->committed[p] == atomic_load(&produced[p]);
    pthread_mutex_unlock(&group->lock);
    return all;
}

/* When the last member has left, its last commit stands at the end. */
static void
group_end(struct group *group)
{
    rd_kafka_t *rk = CONSUMER(&serve, "group.id", group->name);
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(PARTITIONS);
    for (int32_t p = 0; p < PARTITIONS; p++)
        rd_kafka_topic_partition_list_add(offsets, TOPIC, p);
    CHECK_RK(rd_kafka_committed(rk, offsets, RIG_PATIENCE_MS));
    for (int32_t p = 0; p < PARTITIONS; p++) {
        if (offsets->elems[p].offset != atomic_load(&produced[p]))
            fail_msg("%s: partition %d: %ld is committed of %ld", group->name, p, (long)offsets->elems[p].offset, (long)produced[p]);
        free(group->seen[p]);
    }
    rd_kafka_topic_partition_list_destroy(offsets);
    rd_kafka_destroy(rk);
    printf("%s: %u joined, %u left, %u died, %u assignments; %lu records came, %lu of them again; %u commits, %u refused\n", group->name, group->joins, group->leaves,
           group->deaths, group->assignments, (unsigned long)group->records, (unsigned long)group->again, group->commits, group->refused);
}

/* ---- the storm --------------------------------------------------------------------------------------------------------------------- */

struct storm {
    struct group *group;
    uint64_t seed;
    int64_t until_ms;
    pthread_t thread;
};

static void *
storm_run(void *context)
{
    struct storm *storm = context;
    struct group *group = storm->group;
    struct member *members[MEMBERS_MAX];
    size_t count = 0;
    int64_t died_ms = rig_now_ms() - 5000; /* one dies, then again every eight seconds: what the classic protocol takes to notice comes to a halt for six */
    while (rig_now_ms() < storm->until_ms) {
        bool joins = count <= 1 || (count < MEMBERS_MAX && test_random(&storm->seed) % 2);
        if (joins && atomic_load(&group->alive) < 2 * MEMBERS_MAX)
            members[count++] = member_start(group);
        else if (count > 1) {
            size_t which = test_random(&storm->seed) % count;
            bool dies = rig_now_ms() - died_ms > 8000 && group->strategy;
            died_ms = dies ? rig_now_ms() : died_ms;
            *(dies ? &group->deaths : &group->leaves) += 1;
            atomic_store(dies ? &members[which]->die : &members[which]->leave, true);
            members[which] = members[--count];
        }
        poll(NULL, 0, 100); /* the storm's pace */
    }
    while (count > 1)
        atomic_store(&members[--count]->leave, true);
    for (int64_t until = rig_now_ms() + RIG_PATIENCE_MS; !atomic_load(&stop_producer) || !group_has_all(group); poll(NULL, 0, 5))
        MUST(rig_now_ms() < until, "%s: records do not come", group->name);
    atomic_store(&members[0]->leave, true);
    for (int64_t until = rig_now_ms() + RIG_PATIENCE_MS; atomic_load(&group->alive) > 0; poll(NULL, 0, 5))
        MUST(rig_now_ms() < until, "%s: members do not end", group->name);
    return NULL;
}

static void
storm(struct group *groups, size_t count)
{
    uint64_t seed = test_seed();
    unsigned seconds = 6 * test_scale();
    struct storm storms[2];
    pthread_t producer;
    for (int32_t p = 0; p < PARTITIONS; p++)
        atomic_store(&produced[p], 0);
    atomic_store(&stop_producer, false);
    serve = (struct serve){0};
    serve_start(&serve);
    rd_kafka_t *admin = PRODUCER(&serve);
    rig_make_topic(admin, TOPIC, PARTITIONS);
    rd_kafka_destroy(admin);
    pthread_create(&producer, NULL, produce, NULL);
    for (size_t i = 0; i < count; i++) {
        group_begin(&groups[i]);
        group_commit_zero(&groups[i]);
        storms[i] = (struct storm){.group = &groups[i], .seed = seed + i, .until_ms = rig_now_ms() + (seconds > 60 ? 60 : seconds) * 1000};
        pthread_create(&storms[i].thread, NULL, storm_run, &storms[i]);
    }
    UNTIL(rig_now_ms() >= storms[0].until_ms, poll(NULL, 0, 50));
    atomic_store(&stop_producer, true);
    pthread_join(producer, NULL);
    for (size_t i = 0; i < count; i++)
        pthread_join(storms[i].thread, NULL);
    for (size_t i = 0; i < count; i++)
        group_end(&groups[i]);
    serve_end(&serve);
}

/* ---- members that stall ---------------------------------------------------------------------------------------------------------------- */

/* Run this program again, as "--stalled BROKER" or "--teller BROKER NAME FIRST"; it dies with this process. */
static pid_t
run_again(char *const *arguments, int *ret_out, int *ret_in)
{
    int out[2], in[2];
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(in[0], 0);
        dup2(out[1], 1);
        execv("/proc/self/exe", arguments);
        _exit(127);
    }
    close(out[1]);
    close(in[0]);
    *ret_out = out[0];
    *ret_in = in[1];
    return pid;
}

/* A member in a process of its own: reads, is stopped, goes on and commits what it has read. */
static int
stalled(const char *broker)
{
    struct group group = {.name = "stalled", .strategy = "range"};
    char byte;
    snprintf(serve.broker, sizeof serve.broker, "%s", broker);
    group_begin(&group);
    struct member *member = member_open(&group, "6000");
    for (int32_t p = 0; p < PARTITIONS; p++)
        group.whole[p] = RECORDS_MAX - 1; /* the book is the parent's */
    while (member->pending == 0)
        member_poll(member, 20);
    if (write(1, "r", 1) != 1 || read(0, &byte, 1) != 1)
        return 1;
    commit(member);
    printf("%u %u\n", group.commits, group.refused);
    fflush(stdout);
    rd_kafka_destroy_flags(member->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    return 0;
}

static unsigned
count_mine(const struct member *member)
{
    unsigned count = 0;
    for (int32_t p = 0; p < PARTITIONS; p++)
        count += member->mine[p];
    return count;
}

/* Goal: who is away for longer than its session, or its poll interval, loses its partitions, and cannot commit on top of whoever has them.
 * Method: one member's process is stopped (SIGSTOP), one does not poll; a third one reads and commits all; then they go on. */
TEST(members_that_stall)
{
    struct group group = {.name = "stalled", .strategy = "range"};
    char answer[32] = "";
    int out, in;
    pthread_t producer;
    for (int32_t p = 0; p < PARTITIONS; p++)
        atomic_store(&produced[p], 0);
    atomic_store(&stop_producer, false);
    serve = (struct serve){0};
    serve_start(&serve);
    rd_kafka_t *admin = PRODUCER(&serve);
    rig_make_topic(admin, TOPIC, PARTITIONS);
    rd_kafka_destroy(admin);
    group_begin(&group);
    group_commit_zero(&group);
    pthread_create(&producer, NULL, produce, NULL);
    char program[] = "kafka_storm", flag[] = "--stalled";
    char *arguments[] = {program, flag, serve.broker, NULL};
    pid_t pid = run_again(arguments, &out, &in);
    struct member *sleeper = member_open(&group, "6000"), *diligent = member_open(&group, "300000");
    struct pollfd ready = {out, POLLIN, 0};
    UNTIL(count_mine(sleeper) == 2 && count_mine(diligent) == 2 && sleeper->pending > 0 && poll(&ready, 1, 0) == 1,
          (member_poll(sleeper, 1), member_poll(diligent, 1)));
    CHECK_INT(read(out, answer, 1), 1);
    kill(pid, SIGSTOP);

    /* The commit that the sleeper will make: of what it had, which is not committed. */
    UNTIL(count_mine(diligent) == PARTITIONS && group.commits > 0, member_poll(diligent, 20));
    atomic_store(&stop_producer, true);
    pthread_join(producer, NULL);
    UNTIL(group_has_all(&group), member_poll(diligent, 20));
    unsigned commits = group.commits;
    memset(sleeper->dirty, 1, sizeof sleeper->dirty);
    commit(sleeper);
    CHECK_INT(group.commits, commits);
    CHECK_INT(group.refused, 1);

    kill(pid, SIGCONT);
    CHECK_INT(write(in, "g", 1), 1);
    size_t size = 0;
    while (size < sizeof answer - 1 && read(out, answer + size, 1) == 1)
        size++;
    answer[size] = '\0';
    CHECK_STR(answer, "0 1\n");
    CHECK_INT(waitpid(pid, NULL, 0), pid);

    /* It is welcome again, and goes on where the others are. */
    UNTIL(count_mine(sleeper) == PARTITIONS / 2 && count_mine(diligent) == PARTITIONS / 2, (member_poll(sleeper, 1), member_poll(diligent, 1)));
    member_close(sleeper);
    member_close(diligent);
    group_end(&group);
    close(in);
    close(out);
    serve_end(&serve);
}

/* ---- a transactional producer that dies ------------------------------------------------------------------------------------------------- */

#define MONEY "money"
#define MONEY_PARTITIONS 3
#define EACH 8
#define TRANSACTIONS_MAX 100000

/* The producer, in a process of its own, until it is killed. It says a letter and a number before and after each step: 'b' begun, 'h' half of
 * its records are at the server, 'c' about to commit, 'C' committed, 'A' aborted, 'F' replaced by another instance. */
static int
teller(const char *broker, const char *name, unsigned number)
{
    uint64_t seed = number;
    snprintf(serve.broker, sizeof serve.broker, "%s", broker);
    rd_kafka_t *rk = PRODUCER(&serve, "transactional.id", name);
    setvbuf(stdout, NULL, _IOLBF, 0);
    rd_kafka_error_t *error = rd_kafka_init_transactions(rk, RIG_PATIENCE_MS);
    for (; !error; number++) {
        bool commits = test_random(&seed) % 4 != 0;
        error = rd_kafka_begin_transaction(rk);
        printf("b %u\n", number);
        for (int i = 0; !error && i < EACH * MONEY_PARTITIONS; i++) {
            char value[64];
            int size = snprintf(value, sizeof value, "%s %u %d", name, number, i / MONEY_PARTITIONS);
            if (rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(MONEY), RD_KAFKA_V_PARTITION(i % MONEY_PARTITIONS), RD_KAFKA_V_VALUE(value, (size_t)size),
                                  RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END) != 0)
                break; /* the commit says why */
            if (i == EACH * MONEY_PARTITIONS / 2) {
                rd_kafka_flush(rk, RIG_PATIENCE_MS);
                printf("h %u\n", number);
            }
        }
        if (commits)
            printf("c %u\n", number);
        if (!error)
            error = commits ? rd_kafka_commit_transaction(rk, RIG_PATIENCE_MS) : rd_kafka_abort_transaction(rk, RIG_PATIENCE_MS);
        if (!error)
            printf("%c %u\n", commits ? 'C' : 'A', number);
    }
    printf("%c %u %s\n", rd_kafka_error_is_fatal(error) ? 'F' : '?', number, rd_kafka_error_string(error));
    return 0;
}

static struct teller {
    const char *name;
    pid_t pid;
    int in;
    FILE *out;
    char state[TRANSACTIONS_MAX]; /* the last letter of each transaction */
    unsigned last;
    unsigned records[TRANSACTIONS_MAX];
    uint32_t newest[MONEY_PARTITIONS]; /* plus one: of what has been read */
} tellers[2] = {{.name = "mortal"}, {.name = "other"}};

static void
teller_start(struct teller *who)
{
    char program[] = "kafka_storm", flag[] = "--teller", name[16], number[16];
    int out;
    snprintf(name, sizeof name, "%s", who->name);
    snprintf(number, sizeof number, "%u", who->last + 1);
    char *arguments[] = {program, flag, serve.broker, name, number, NULL};
    who->pid = run_again(arguments, &out, &who->in);
    who->out = fdopen(out, "r");
    setvbuf(who->out, NULL, _IONBF, 0);
}

/* The next thing it says; false: it has ended. */
static bool
teller_said(struct teller *who)
{
    char line[256];
    if (!fgets(line, sizeof line, who->out) || !strchr(line, '\n'))
        return false;
    who->last = (unsigned)strtoul(line + 2, NULL, 10);
    if (line[0] == '?' || who->last >= TRANSACTIONS_MAX)
        fail_msg("%s: %s", who->name, line);
    who->state[who->last] = line[0];
    return true;
}

static void
teller_kill(struct teller *who)
{
    kill(who->pid, SIGKILL);
    waitpid(who->pid, NULL, 0);
    while (teller_said(who)) /* what was on its way */
        continue;
    fclose(who->out);
    close(who->in);
}

static void
teller_until(struct teller *who, char letter)
{
    do
        if (!teller_said(who))
            fail_msg("%s has ended", who->name);
    while (who->state[who->last] != letter);
}

static void
count_money(const rd_kafka_message_t *message)
{
    char value[64], name[16];
    unsigned number, i;
    snprintf(value, sizeof value, "%.*s", (int)message->len, (const char *)message->payload);
    CHECK_INT(sscanf(value, "%15s %u %u", name, &number, &i), 3);
    struct teller *who = &tellers[strcmp(name, tellers[0].name) != 0];
    if (!strchr("cC", who->state[number]))
        fail_msg("a record of %s's transaction %u is seen, which is '%c'", name, number, who->state[number]);
    uint32_t *newest = &who->newest[message->partition]; /* number of the transaction and of the record in it */
    if (number * EACH + i + 1 <= *newest)
        fail_msg("record %u of %s's transaction %u comes too late, or again", i, name, number);
    *newest = number * EACH + i + 1;
    who->records[number]++;
}

static void
read_money(void)
{
    int ended = 0;
    rd_kafka_t *rk = CONSUMER(&serve, "group.id", "verifier", "enable.partition.eof", "true", "enable.auto.commit", "false", "isolation.level", "read_committed");
    rd_kafka_topic_partition_list_t *partitions = rd_kafka_topic_partition_list_new(MONEY_PARTITIONS);
    for (int32_t p = 0; p < MONEY_PARTITIONS; p++)
        rd_kafka_topic_partition_list_add(partitions, MONEY, p)->offset = 0;
    CHECK_RK(rd_kafka_assign(rk, partitions));
    rd_kafka_topic_partition_list_destroy(partitions);
    while (ended < MONEY_PARTITIONS) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(rk, RIG_PATIENCE_MS);
        assert_non_null(message);
        if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
            ended++;
        else {
            CHECK_RK(message->err);
            count_money(message);
        }
        rd_kafka_message_destroy(message);
    }
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
}

/* Goal: whatever a producer was doing when it was killed, each of its transactions is there whole or not at all, those of which it was told so
 *       are there, and another producer does not notice. One that was thought dead commits nothing more.
 * Method: two producers; one is killed again and again after a random step, and once stopped while its successor goes on. */
TEST(producers_that_die_in_a_transaction)
{
    uint64_t seed = test_seed();
    unsigned deaths = 6 * test_scale(), count[128] = {0};
    deaths = deaths > 200 ? 200 : deaths;
    serve = (struct serve){0};
    serve_start(&serve);
    rd_kafka_t *admin = PRODUCER(&serve);
    rig_make_topic(admin, MONEY, MONEY_PARTITIONS);
    rd_kafka_destroy(admin);
    struct teller *mortal = &tellers[0], *other = &tellers[1];
    teller_start(other);
    teller_until(other, 'C');
    for (unsigned i = 0; i < deaths; i++) {
        teller_start(mortal);
        teller_until(mortal, 'C');
        teller_until(mortal, "bhcC"[i % 4]);
        for (uint64_t steps = test_random(&seed) % 8; steps > 0; steps--)
            CHECK(teller_said(mortal));
        teller_kill(mortal);
        teller_until(other, 'C');
    }

    teller_start(mortal);
    teller_until(mortal, 'C');
    teller_until(mortal, 'h');
    kill(mortal->pid, SIGSTOP);
    static struct teller zombie;
    zombie = *mortal;
    mortal->last += 1000; /* numbers that the one before has not used */
    teller_start(mortal);
    teller_until(mortal, 'C');
    kill(zombie.pid, SIGCONT);
    unsigned before = zombie.last;
    while (teller_said(&zombie) && zombie.state[zombie.last] != 'F')
        if (zombie.last > before + 1 || zombie.state[zombie.last] == 'C')
            CHECK(zombie.state[zombie.last] != 'C');
    CHECK_INT(zombie.state[zombie.last], 'F');
    mortal->state[before] = 'F';
    teller_kill(&zombie);
    teller_kill(mortal);
    teller_kill(other);

    /* Its open transactions end when somebody takes its name. */
    for (size_t i = 0; i < 2; i++) {
        rd_kafka_t *rk = PRODUCER(&serve, "transactional.id", tellers[i].name);
        CHECK_RKE(rd_kafka_init_transactions(rk, RIG_PATIENCE_MS));
        rd_kafka_destroy(rk);
    }
    read_money();
    for (size_t i = 0; i < 2; i++)
        for (unsigned n = 0; n < TRANSACTIONS_MAX; n++) {
            const struct teller *who = &tellers[i];
            count[(unsigned char)who->state[n]]++;
            bool whole = who->records[n] == EACH * MONEY_PARTITIONS, none = who->records[n] == 0;
            if (who->state[n] == 'C' ? !whole : who->state[n] == 'c' ? !whole && !none : !none)
                fail_msg("%s's transaction %u is '%c', and %u of its records are there", who->name, n, who->state[n], who->records[n]);
        }
    printf("%u deaths: %u transactions committed, %u aborted, %u died before their commit, %u during it\n", deaths, count['C'], count['A'], count['b'] + count['h'],
           count['c']);
    serve_end(&serve);
}

TEST(storm_of_eager_members)
{
    struct group groups[2] = {{.name = "range", .strategy = "range"}, {.name = "roundrobin", .strategy = "roundrobin,range"}};
    storm(groups, 2);
}

TEST(storm_of_cooperative_members_and_of_the_next_protocol)
{
    struct group groups[2] = {{.name = "cooperative", .strategy = "cooperative-sticky"}, {.name = "next"}};
    storm(groups, 2);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest eager[] = {RUN(storm_of_eager_members), RUN(members_that_stall), RUN(producers_that_die_in_a_transaction)};
    const struct CMUnitTest new[] = {RUN(storm_of_cooperative_members_and_of_the_next_protocol)};
    if (argc > 2 && !strcmp(argv[1], "--stalled"))
        return stalled(argv[2]);
    if (argc > 4 && !strcmp(argv[1], "--teller"))
        return teller(argv[2], argv[3], (unsigned)strtoul(argv[4], NULL, 10));
    if (argc > 1 && !strcmp(argv[1], "new"))
        return cmocka_run_group_tests(new, NULL, NULL);
    return cmocka_run_group_tests(eager, NULL, NULL);
}
