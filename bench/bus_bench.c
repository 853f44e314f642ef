/* The command bus alone, from within: how many commands a second, durable, with a decider in C; how long a state of 1,000
 * events takes to load. Not part of `make bench`, whose part "commands" goes through the public calls; this one is for perf.
 *
 *   bus_bench FOLDER [clients=256] [seconds=3] [streams=1000] [workers=0] [keys=0] [data=100] */
#include <app/bus.h>
#include <base/error.h>
#include <base/json.h>
#include <os/os.h>
#include <os/wait.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

struct counter {
    int64_t sum;
    uint64_t count;
};

static cairn_err
counter_new(void *self, cairn_str stream, void **ret, cairn_error *error)
{
    (void)self, (void)stream, (void)error;
    *ret = calloc(1, sizeof(struct counter));
    return *ret ? CAIRN_OK : CAIRN_E_NOMEM;
}

static void
counter_free(void *self, void *state)
{
    (void)self;
    free(state);
}

static cairn_err
counter_evolve(void *self, void *state, const cairn_recorded *event, cairn_error *error)
{
    (void)self, (void)error;
    struct counter *counter = state;
    int64_t n = 0;
    (void)json_i64(json_get(json_trusted(event->event.data), "n"), &n);
    counter->sum += n;
    counter->count++;
    return CAIRN_OK;
}

static cairn_err
counter_decide(void *self, const void *state, const cairn_command *command, cairn_decision *decision, cairn_error *error)
{
    (void)self, (void)error, (void)state;
    const cairn_event event = {.type = CAIRN_STR("Added"), .data = command->data};
    return cairn_decide_event(decision, (cairn_str){0}, &event);
}

static cairn_err
counter_save(void *self, const void *state, cairn_sink sink, void *context, cairn_error *error)
{
    (void)self, (void)error;
    const struct counter *counter = state;
    char text[100];
    int size = snprintf(text, sizeof text, "{\"sum\":%lld,\"count\":%llu}", (long long)counter->sum,
                        (unsigned long long)counter->count);
    return sink(context, (cairn_str){text, (size_t)size}) ? CAIRN_OK : CAIRN_E_LIMIT;
}

static cairn_err
counter_load(void *self, cairn_str stream, cairn_str text, void **ret, cairn_error *error)
{
    cairn_err err = counter_new(self, stream, ret, error);
    if (err == CAIRN_OK) {
        struct counter *counter = *ret;
        (void)json_i64(json_get(json_trusted(text), "sum"), &counter->sum);
        (void)json_u64(json_get(json_trusted(text), "count"), &counter->count);
    }
    return err;
}

static const cairn_decider counter = {
    .abi = CAIRN_DECIDER_ABI, .name = "counter", .state_new = counter_new, .state_free = counter_free,
    .evolve = counter_evolve, .decide = counter_decide, .save = counter_save, .load = counter_load, .fingerprint = {"1", 1},
};
static const cairn_decider *const deciders[] = {&counter};
static struct app_decider specs[] = {{.name = {"counter", 7}, .kind = APP_DECIDER_NATIVE, .snapshots = {.every_events = 100}}};
static struct app_command commands[] = {{.name = {"Add", 3}, .stream = {"counter-{id}", 12}}};
static struct app_event events[] = {{.type = {"Added", 5}}};
static struct app_manifest manifest = {.name = {"bench", 5}, .deciders = specs, .decider_count = 1, .commands = commands,
                                       .command_count = 1, .events = events, .event_count = 1};
static const uint32_t schema_ids[] = {1};

static _Atomic uint64_t done_count, failed_count;
static _Atomic uint32_t free_slots, slot_word;

static void
on_done(void *context, cairn_err err, const cairn_outcome *outcome, const cairn_error *error)
{
    (void)context, (void)outcome;
    if (err != CAIRN_OK && failed_count++ == 0)
        fprintf(stderr, "failed: %s\n", error->detail);
    done_count++;
    if (atomic_fetch_add(&free_slots, 1) == 0) {
        atomic_fetch_add(&slot_word, 1);
        os_wake(&slot_word, 1);
    }
}

static double
seconds_now(void)
{
    return (double)os_monotonic_us(os_real()) / 1e6;
}

static double
processor_seconds(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void
fail(const char *what, cairn_err err)
{
    if (err == CAIRN_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, cairn_err_name(err));
    exit(1);
}

static bool
sink(void *context, cairn_str bytes)
{
    (void)context, (void)bytes;
    return true;
}

/* Median of many loads, the cache not in play. */
static void
measure_loads(struct bus *bus, struct bus_app *app, const char *what)
{
    double best = 1e9, sum = 0;
    for (int i = 0; i < 200; i++) {
        double begin = seconds_now();
        fail("state", bus_state(bus, app, 0, CAIRN_STR("counter-long"), -1, sink, NULL, NULL));
        double took = seconds_now() - begin;
        sum += took;
        if (took < best)
            best = took;
    }
    printf("state of 1,000 events, %s: mean %.0f us, best %.0f us\n", what, sum / 200 * 1e6, best * 1e6);
}

int
main(int count, char **arguments)
{
    unsigned clients = count > 2 ? (unsigned)atoi(arguments[2]) : 256;
    double seconds = count > 3 ? atof(arguments[3]) : 3;
    unsigned streams = count > 4 ? (unsigned)atoi(arguments[4]) : 1000;
    unsigned workers = count > 5 ? (unsigned)atoi(arguments[5]) : 0;
    bool keys = count > 6 && atoi(arguments[6]);
    int data_size = count > 7 ? atoi(arguments[7]) : 100;
    cairn_store *store;
    fail("open", cairn_open(arguments[1], &(cairn_options){.create = true}, &store, NULL));
    cairn_apps_options apps = {.workers = workers, .commands_waiting_max = 100000};
    struct bus *bus;
    fail("bus", bus_create(&(struct bus_options){store, &apps}, &bus, NULL));
    struct bus_app *app;
    fail("app", bus_app_new(bus, &(struct bus_app_options){.manifest = &manifest, .deciders = deciders, .schema_ids = schema_ids},
                            &app, NULL));
    atomic_store(&free_slots, clients);
    double begin = seconds_now(), now;
    uint64_t submitted = 0;
    while ((now = seconds_now()) - begin < seconds) {
        while (atomic_load(&free_slots) == 0) {
            uint32_t seen = atomic_load(&slot_word);
            if (atomic_load(&free_slots) == 0)
                os_wait(&slot_word, seen, 100000);
        }
        atomic_fetch_sub(&free_slots, 1);
        char data[2000], key[32];
        int size = snprintf(data, sizeof data, "{\"id\":%llu,\"n\":1,\"pad\":\"%0*d\"}", (unsigned long long)(submitted % streams),
                            data_size, 0);
        snprintf(key, sizeof key, "%llu", (unsigned long long)submitted);
        cairn_command command = {.name = CAIRN_STR("Add"), .data = {data, (size_t)size},
                                 .key = keys ? cairn_cstr(key) : (cairn_str){0}};
        fail("submit", bus_submit(bus, app, &command, on_done, NULL, NULL));
        submitted++;
    }
    while (atomic_load(&done_count) < submitted)
        os_wait(&slot_word, atomic_load(&slot_word), 1000);
    double took = seconds_now() - begin;
    printf("%u clients, %u streams%s: %.0f commands/s, %.2f processor-us each, %llu failed\n", clients, streams, keys ? ", keys" : "",
           (double)submitted / took, processor_seconds() / (double)submitted * 1e6, (unsigned long long)failed_count);

    bus_app_release(app);
    bus_free(bus); /* keeps the snapshots that wait */
    fail("bus", bus_create(&(struct bus_options){store, &apps}, &bus, NULL));
    fail("app", bus_app_new(bus, &(struct bus_app_options){.manifest = &manifest, .deciders = deciders, .schema_ids = schema_ids},
                            &app, NULL));
    char data[64];
    for (int i = 0; i < 1000; i++) {
        uint64_t wanted = atomic_load(&done_count) + 1;
        int size = snprintf(data, sizeof data, "{\"id\":\"long\",\"n\":%d}", i);
        cairn_command command = {.name = CAIRN_STR("Add"), .data = {data, (size_t)size}};
        fail("submit", bus_submit(bus, app, &command, on_done, NULL, NULL));
        while (i % 100 == 99 && atomic_load(&done_count) < wanted)
            ;
    }
    bus_app_release(app);
    bus_free(bus);
    fail("bus", bus_create(&(struct bus_options){store, &apps}, &bus, NULL));
    fail("app", bus_app_new(bus, &(struct bus_app_options){.manifest = &manifest, .deciders = deciders, .schema_ids = schema_ids},
                            &app, NULL));
    measure_loads(bus, app, "with a snapshot");
    struct bus_numbers numbers;
    bus_numbers(bus, &numbers);
    printf("snapshots used: %llu, dropped: %llu\n", (unsigned long long)numbers.snapshots_used,
           (unsigned long long)numbers.snapshots_dropped);
    specs[0].snapshots.every_events = 0;
    measure_loads(bus, app, "without");
    bus_app_release(app);
    bus_free(bus);
    cairn_close(store);
    return 0;
}
