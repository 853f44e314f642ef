/* The process is killed (SIGKILL) while commands run, again and again, in one folder.
 *
 * Goal: every answer that was given is the same answer again, and every command that bore a key has one effect or none.
 * Method: a key determines its command. A child runs commands with keys from a few threads, many in flight, keys used again
 * and again, and reports each answer through a pipe; it is killed after so many answers. Then the keys that were answered
 * are asked again and compared. After 20 rounds all keys are asked, and every event in the log is held against the answers. */
#include "bus_rig.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#define ROUNDS 20
#define THREADS 3
#define IN_FLIGHT 16
#define KEYS 3000
#define ACCOUNTS 6

struct answer {
    uint32_t key;
    int32_t err;
    uint64_t first, last, event_count, revision;
    cairn_uuid id;
    char code[24];
};

static struct rig rig;
static struct answer answers[KEYS];
static bool known[KEYS];
static uint64_t seen[KEYS], seed;
static int pipe_end;

static struct answer
answer_of(uint32_t key, cairn_err err, const struct came *came)
{
    struct answer answer = {.key = key, .err = err, .event_count = came->event_count, .id = came->id};
    if (came->event_count > 0) {
        answer.first = came->at.first_position;
        answer.last = came->at.last_position;
        answer.revision = came->at.revision;
    }
    memcpy(answer.code, came->code, sizeof answer.code - 1);
    return answer;
}

struct asked {
    struct came came;
    uint32_t key;
};

static void
ask(struct asked *asked, uint32_t key)
{
    uint64_t random = seed + key;
    uint64_t r = test_random(&random);
    char data[100], name_of_key[24];
    static const char *const names[] = {"Deposit", "Deposit", "Withdraw", "Withdraw", "Move", "Nothing"};
    snprintf(data, sizeof data, "{\"account\":%u,\"to\":%u,\"amount\":%u}", (unsigned)(r % ACCOUNTS),
             (unsigned)((r + 1) % ACCOUNTS), (unsigned)(r >> 10) % 40);
    snprintf(name_of_key, sizeof name_of_key, "key-%u", key);
    const cairn_command command = {.name = cairn_cstr(names[(r >> 20) % 6]), .data = cairn_cstr(data),
                                   .key = cairn_cstr(name_of_key), .deadline_ms = 120000};
    asked->key = key;
    CHECK_OK(rig_submit(&rig, &command, &asked->came));
}

/* ---- the child ---------------------------------------------------------------------------------------- */

static void *
child_client(void *context)
{
    uint64_t random = *(uint64_t *)context;
    for (;;) {
        struct asked asked[IN_FLIGHT];
        for (int i = 0; i < IN_FLIGHT; i++)
            ask(&asked[i], (uint32_t)(test_random(&random) % KEYS));
        for (int i = 0; i < IN_FLIGHT; i++) {
            rig_await(&asked[i].came);
            struct answer answer = answer_of(asked[i].key, asked[i].came.err, &asked[i].came);
            if (write(pipe_end, &answer, sizeof answer) != sizeof answer)
                _exit(3);
        }
    }
    return NULL;
}

static void
child_main(uint64_t random)
{
    uint64_t seeds[THREADS];
    pthread_t threads[THREADS];
    rig_start(&rig);
    for (int i = 0; i < THREADS; i++) {
        seeds[i] = test_random(&random);
        pthread_create(&threads[i], NULL, child_client, &seeds[i]);
    }
    pthread_join(threads[0], NULL);
    _exit(4);
}

/* ---- the parent --------------------------------------------------------------------------------------- */

static void
take(const struct answer *answer)
{
    if (answer->err == CAIRN_E_BUSY)
        return;
    CHECK(answer->key < KEYS && (answer->err == CAIRN_OK || answer->err == CAIRN_E_REJECTED));
    if (known[answer->key] && memcmp(&answers[answer->key], answer, sizeof *answer) != 0)
        fail_msg("key %u was answered twice, not the same: %d and %d", answer->key, answers[answer->key].err, answer->err);
    answers[answer->key] = *answer;
    known[answer->key] = true;
}

static unsigned
play(uint64_t random, unsigned wanted)
{
    int ends[2];
    struct answer answer;
    unsigned count = 0;
    CHECK_INT(pipe(ends), 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close(ends[0]);
        pipe_end = ends[1];
        child_main(random);
    }
    close(ends[1]);
    ssize_t got;
    while ((got = read(ends[0], &answer, sizeof answer)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        CHECK_INT(got, sizeof answer); /* pipes take so little whole */
        take(&answer);
        if (++count == wanted)
            kill(child, SIGKILL);
    }
    close(ends[0]);
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return count;
}

static void
ask_again(bool all)
{
    static struct asked asked[64];
    uint32_t key = 0;
    rig_start(&rig);
    while (key < KEYS) {
        int count = 0;
        for (; key < KEYS && count < 64; key++)
            if (all || known[key])
                ask(&asked[count++], key);
        for (int i = 0; i < count; i++) {
            rig_await(&asked[i].came);
            CHECK(all || asked[i].came.repeated);
            struct answer answer = answer_of(asked[i].key, asked[i].came.err, &asked[i].came);
            take(&answer);
        }
    }
    rig_stop(&rig);
}

static void
check_log(void)
{
    cairn_reader *reader;
    cairn_recorded event;
    int64_t balances[ACCOUNTS] = {0};
    rig_start(&rig);
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
        uint32_t key = 0;
        while (key < KEYS && (memcmp(&answers[key].id, &id, 16) != 0 || answers[key].err != CAIRN_OK))
            key++;
        CHECK(key < KEYS);
        CHECK_INT(event.position, answers[key].first + seen[key]);
        seen[key]++;
    }
    cairn_reader_free(reader);
    for (uint32_t key = 0; key < KEYS; key++)
        CHECK_INT(seen[key], answers[key].event_count);
    rig_stop(&rig);
}

TEST(answers_survive)
{
    uint64_t random = test_seed();
    unsigned count = 0;
    seed = random;
    rig = (struct rig){.apps = {.workers = 2, .retries_max = 1000}};
    test_folder(rig.folder);
    for (int round = 0; round < ROUNDS; round++) {
        count += play(test_random(&random), 1 + (unsigned)(test_random(&random) % 400));
        ask_again(false);
    }
    printf("%u answers in %d rounds\n", count, ROUNDS);
    ask_again(true);
    check_log();
    test_remove(rig.folder);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(answers_survive)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
