/* Property: whatever races, every command has one effect or none, and everybody is told the truth about it.
 *
 * Goal: with commands from many threads, outside writers, keys used again (at once, later, after a restart), states that are
 * evicted, versions that replace each other: the log holds exactly the events of the commands that were accepted, at the
 * places that were told; the same key always has the same answer; no account is ever overdrawn; seats are not overbooked.
 * Method: a key determines its command. Answers are noted by key; at the end the log is read from its beginning and every
 * event is held against the note of its command. */
#include "bus_rig.h"

#define THREADS 4
#define KEYS 400
#define IN_FLIGHT 24
#define ACCOUNTS 5
#define COURSES 3

struct note {
    bool known;
    cairn_err err;
    uint64_t first, last;
    cairn_uuid id;
    char code[64];
    size_t event_count, seen; /* told; in the log */
};

static struct rig rig;
static struct note notes[KEYS], *loose; /* of commands with a key; without */
static size_t loose_count, loose_max;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t seed, first_seed, repeats;
static _Atomic bool outside_stops;
static _Atomic int64_t outside_sum;

struct asked {
    struct came came;
    char key[32], data[128];
    int key_number; /* -1: none */
};

static void
ask(struct asked *asked, uint64_t *random)
{
    bool keyed = test_random(random) % 4 != 0;
    uint64_t choice = test_random(random);
    asked->key_number = keyed ? (int)(choice % KEYS) : -1;
    snprintf(asked->key, sizeof asked->key, "key-%d", asked->key_number);
    uint64_t what = keyed ? (uint64_t)asked->key_number * 0x9E3779B97F4A7C15u ^ first_seed : choice;
    (void)test_random(&what);
    uint64_t r = test_random(&what);
    int account = (int)(r % ACCOUNTS), amount = (int)(r >> 8) % 50;
    static const char *const names[] = {"Deposit", "Withdraw", "Withdraw", "Move", "Move", "Enrol", "Nothing"};
    const char *name = names[(r >> 20) % 7];
    amount = amount < 0 ? -amount : amount;
    if (strcmp(name, "Enrol") == 0)
        snprintf(asked->data, sizeof asked->data, "{\"course\":%d,\"student\":%d}", account % COURSES, amount);
    else
        snprintf(asked->data, sizeof asked->data, "{\"account\":%d,\"to\":%d,\"amount\":%d}", account,
                 (account + 1) % ACCOUNTS, amount + 1);
    const cairn_command command = {.name = cairn_cstr(name), .data = cairn_cstr(asked->data),
                                   .key = keyed ? cairn_cstr(asked->key) : (cairn_str){0}, .deadline_ms = 120000};
    CHECK_OK(rig_submit(&rig, &command, &asked->came));
}

static void
note(struct asked *asked)
{
    const struct came *came = &asked->came;
    if (came->err == CAIRN_E_BUSY)
        return; /* lost too many races: has no effect, and the key is free */
    if (came->err != CAIRN_OK && came->err != CAIRN_E_REJECTED)
        fail_msg("%s: %s", cairn_err_name(came->err), came->detail);
    struct note now = {true, came->err, came->at.first_position, came->at.last_position, came->id, "", came->event_count, 0};
    if (came->event_count == 0)
        now.first = now.last = 0;
    else
        CHECK(now.last == now.first + now.event_count - 1);
    snprintf(now.code, sizeof now.code, "%s", came->code);
    pthread_mutex_lock(&lock);
    if (asked->key_number >= 0) {
        struct note *before = &notes[asked->key_number];
        if (before->known) {
            repeats++;
            CHECK(before->err == now.err && before->first == now.first && before->last == now.last);
            CHECK(memcmp(&before->id, &now.id, 16) == 0);
            CHECK_STR(before->code, now.code);
        } else {
            *before = now;
        }
    } else if (came->event_count > 0) {
        CHECK(loose_count < loose_max);
        loose[loose_count++] = now;
    }
    pthread_mutex_unlock(&lock);
}

static void *
client_main(void *context)
{
    uint64_t random = *(uint64_t *)context;
    for (int i = 0; i < 12; i++) {
        struct asked asked[IN_FLIGHT];
        for (int j = 0; j < IN_FLIGHT; j++)
            ask(&asked[j], &random);
        for (int j = 0; j < IN_FLIGHT; j++) {
            rig_await(&asked[j].came);
            note(&asked[j]);
        }
    }
    return NULL;
}

static void *
outside_main(void *context)
{
    uint64_t random = *(uint64_t *)context;
    while (!atomic_load(&outside_stops)) {
        char stream[32];
        snprintf(stream, sizeof stream, "account-%d", (int)(test_random(&random) % ACCOUNTS));
        const cairn_event event = {.type = CAIRN_STR("Deposited"), .data = CAIRN_STR("{\"amount\":3}")};
        cairn_at at;
        CHECK_OK(cairn_append(rig.store, 0, cairn_cstr(stream), CAIRN_ANY, &event, 1, &at, NULL));
        outside_sum += 3;
    }
    return NULL;
}

static void *
deployer_main(void *context)
{
    static const cairn_decider *const other[] = {&rig_account_2, &rig_seats};
    (void)context;
    for (int i = 0; i < 20; i++) {
        struct bus_app *app = rig_deploy(&rig, i % 2 ? rig_both : other);
        struct came came;
        const cairn_command command = {.name = CAIRN_STR("Nothing"), .data = CAIRN_STR("{\"account\":1}")};
        came = (struct came){0};
        CHECK_OK(bus_submit(rig.bus, app, &command, rig_done, &came, NULL));
        bus_app_release(app);
        rig_await(&came);
        CHECK_OK(came.err);
    }
    return NULL;
}

static void
play_round(void)
{
    pthread_t clients[THREADS], outside, deployer;
    uint64_t seeds[THREADS + 1];
    outside_stops = false;
    for (int i = 0; i <= THREADS; i++)
        seeds[i] = test_random(&seed);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&clients[i], NULL, client_main, &seeds[i]);
    pthread_create(&outside, NULL, outside_main, &seeds[THREADS]);
    pthread_create(&deployer, NULL, deployer_main, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(clients[i], NULL);
    pthread_join(deployer, NULL);
    outside_stops = true;
    pthread_join(outside, NULL);
}

/* ---- what the log says ---------------------------------------------------------------------------------- */

static struct note *
note_of(cairn_uuid id)
{
    for (int i = 0; i < KEYS; i++)
        if (notes[i].known && memcmp(&notes[i].id, &id, 16) == 0)
            return &notes[i];
    for (size_t i = 0; i < loose_count; i++)
        if (memcmp(&loose[i].id, &id, 16) == 0)
            return &loose[i];
    return NULL;
}

static void
check_log(void)
{
    cairn_reader *reader;
    cairn_recorded event;
    int64_t balances[ACCOUNTS] = {0}, outside = 0;
    unsigned seats[COURSES] = {0}, decided = 0;
    CHECK_OK(cairn_read_all(rig.store, &(cairn_read_options){0}, &reader, NULL));
    while (cairn_reader_next(reader, &event, NULL) == CAIRN_OK) {
        int64_t amount = rig_number(event.event.data, "amount");
        if (cairn_str_equal(event.event.type, CAIRN_STR("Enrolled"))) {
            seats[rig_number(event.event.data, "course")]++;
        } else {
            int64_t *balance = &balances[event.stream.data[event.stream.size - 1] - '0'];
            *balance += cairn_str_equal(event.event.type, CAIRN_STR("Deposited")) ? amount : -amount;
            CHECK(*balance >= 0);
        }
        if (event.event.meta.size == 0) {
            outside += amount;
            continue;
        }
        struct arena arena = {0};
        cairn_uuid id;
        struct json command = json_get(json_trusted(event.event.meta), "command");
        CHECK(parse_uuid(json_string(json_get(command, "id"), &arena), &id));
        arena_free(&arena);
        struct note *note = note_of(id);
        CHECK(note != NULL && note->err == CAIRN_OK);
        CHECK(event.position == note->first + note->seen && event.position <= note->last);
        note->seen++;
        decided++;
    }
    cairn_reader_free(reader);
    for (int i = 0; i < KEYS; i++)
        CHECK(notes[i].seen == notes[i].event_count);
    for (size_t i = 0; i < loose_count; i++)
        CHECK(loose[i].seen == loose[i].event_count);
    for (int i = 0; i < COURSES; i++)
        CHECK(seats[i] <= RIG_SEATS);
    CHECK_INT(outside, outside_sum);
    CHECK(decided > 100);
}

TEST(every_command_has_one_effect)
{
    seed = first_seed = test_seed();
    unsigned rounds = 4 * test_scale();
    loose_max = (size_t)rounds * THREADS * IN_FLIGHT * 12;
    loose = calloc(loose_max, sizeof *loose);
    CHECK(loose != NULL);
    rig = (struct rig){.apps = {.workers = 3, .state_cache_bytes = 4096, .retries_max = 1000}};
    test_folder(rig.folder);
    rig_start(&rig);
    for (unsigned i = 0; i < rounds; i++) {
        play_round();
        rig_stop(&rig);
        rig_start(&rig);
    }
    struct bus_numbers numbers;
    check_log();
    bus_numbers(rig.bus, &numbers);
    CHECK(repeats > 100);
    rig_end(&rig);
    free(loose);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(every_command_has_one_effect)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
