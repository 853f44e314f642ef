/* `cairn bench`: drive the target and say how fast it was.
 *
 * Each client is a thread with a connection of its own, which does one call after the other. A latency is one
 * call's: of an append until it is durable, of a page or a stream until it is read, and for `follow` from the
 * append's beginning until the follower has the event. Latencies go into a histogram of 64 steps for each
 * power of two, so percentiles are within 1.6 %. */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "run.h"
#include "target.h"

#define CLIENTS_MAX 1024
#define STEPS 64
#define BUCKETS (STEPS * 40)
#define BATCH_MAX 4096

struct histogram {
    uint64_t count[BUCKETS];
    uint64_t total, max_us;
};

struct bench {
    const char *what;
    uint64_t clients, events, size_bytes, batch, seconds;
    uint32_t run; /* part of stream names: one bench does not read another's */
    char *data;   /* JSON of size_bytes */
    atomic_uint_fast64_t begun;  /* events handed out to clients */
    atomic_uint_fast64_t done;
    int64_t begin_us, end_us;    /* end: deadline, or INT64_MAX */
    atomic_int_fast64_t appended_us; /* follow: when the event under way was begun */
    atomic_bool stop;
};

struct client {
    struct bench *bench;
    struct target *target;
    pthread_t thread;
    unsigned number;
    struct histogram *latencies;
    uint64_t events, calls;
    cairn_err err;
    cairn_error error;
};

/* ---- latencies ---------------------------------------------------------------------------------------- */

static size_t
bucket_of(uint64_t us)
{
    if (us < STEPS)
        return (size_t)us;
    unsigned shift = 63 - (unsigned)__builtin_clzll(us) - 6; /* keeps 6 bits below the highest */
    size_t bucket = (size_t)(shift + 1) * STEPS + (size_t)((us >> shift) - STEPS);
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static uint64_t
value_of(size_t bucket)
{
    if (bucket < STEPS)
        return bucket;
    unsigned shift = (unsigned)(bucket / STEPS) - 1;
    return ((uint64_t)(bucket % STEPS) + STEPS) << shift;
}

static void
record(struct histogram *h, int64_t us)
{
    uint64_t value = us < 0 ? 0 : (uint64_t)us;
    h->count[bucket_of(value)]++;
    h->total++;
    h->max_us = value > h->max_us ? value : h->max_us;
}

static uint64_t
percentile(const struct histogram *h, double p)
{
    uint64_t want = (uint64_t)(p * (double)h->total), seen = 0;
    for (size_t i = 0; i < BUCKETS; i++) {
        seen += h->count[i];
        if (seen > want)
            return value_of(i);
    }
    return h->max_us;
}

/* ---- clients --------------------------------------------------------------------------------------------- */

/* Take the next piece of work: false when there is no more, or time is up. */
static bool
next_piece(struct bench *bench, uint64_t size, uint64_t *ret_begin)
{
    if (interrupted || atomic_load(&bench->stop) || clock_us() >= bench->end_us)
        return false;
    *ret_begin = atomic_fetch_add(&bench->begun, size);
    return *ret_begin < bench->events;
}

static cairn_str
client_stream(const struct bench *bench, unsigned client, char to[64])
{
    snprintf(to, 64, "bench-%08x-%u", bench->run, client);
    return cairn_cstr(to);
}

static cairn_err
append_some(struct client *client, cairn_str stream, size_t count)
{
    struct bench *bench = client->bench;
    static const cairn_str tag = {"bench", 5};
    cairn_event events[64], *all = count <= 64 ? events : calloc(count, sizeof *all);
    if (!all)
        return client->err = CAIRN_E_NOMEM;
    for (size_t i = 0; i < count; i++)
        all[i] = (cairn_event){
            .type = CAIRN_STR("Bench"), .data = cairn_cstr(bench->data), .tags = &tag, .tag_count = 1};
    const cairn_write write = {stream, CAIRN_ANY, all, count};
    const cairn_append_request request = {.writes = &write, .write_count = 1};
    cairn_at at;
    int64_t begin = clock_us();
    atomic_store(&bench->appended_us, begin);
    client->err = client->target->ops->append(client->target, &request, &at, &client->error);
    if (client->err == CAIRN_OK) {
        if (client->latencies)
            record(client->latencies, clock_us() - begin);
        client->events += count;
        client->calls++;
        atomic_fetch_add(&bench->done, count);
    }
    if (all != events)
        free(all);
    return client->err;
}

static void
run_append_client(struct client *client)
{
    struct bench *bench = client->bench;
    char name[64];
    cairn_str stream = client_stream(bench, client->number, name);
    uint64_t begin;
    while (next_piece(bench, bench->batch, &begin))
        if (append_some(client, stream, (size_t)bench->batch) != CAIRN_OK)
            break;
}

static bool
count_event(void *context, const cairn_recorded *event __attribute__((unused)))
{
    struct client *client = context;
    client->events++;
    atomic_fetch_add(&client->bench->done, 1);
    return !interrupted;
}

/* Pages of 1,000 of the whole log, from a place of the client's own on. */
static void
run_read_client(struct client *client)
{
    struct bench *bench = client->bench;
    uint64_t begin;
    while (next_piece(bench, 1000, &begin)) {
        struct read_request request = {.from_given = true, .from = (int64_t)begin, .limit = 1000, .system = true};
        uint64_t before = client->events;
        int64_t begin_us = clock_us();
        client->err = client->target->ops->read(client->target, &request, count_event, client, &client->error);
        if (client->err != CAIRN_OK)
            break;
        record(client->latencies, clock_us() - begin_us);
        client->calls++;
        if (client->events == before)
            break; /* the log's end */
    }
}

static void
run_stream_client(struct client *client)
{
    struct bench *bench = client->bench;
    char name[64];
    struct read_request request = {.stream = client_stream(bench, 0, name)};
    uint64_t begin;
    while (next_piece(bench, 1, &begin)) {
        int64_t begin_us = clock_us();
        client->err = client->target->ops->read(client->target, &request, count_event, client, &client->error);
        if (client->err != CAIRN_OK)
            break;
        record(client->latencies, clock_us() - begin_us);
        client->calls++;
    }
}

/* ---- follow: one writer, one follower, an event at a time ------------------------------------------------ */

static bool
followed(void *context, const cairn_recorded *event __attribute__((unused)))
{
    struct client *client = context;
    struct bench *bench = client->bench;
    int64_t begun = atomic_exchange(&bench->appended_us, 0);
    if (begun) {
        record(client->latencies, clock_us() - begun);
        client->events++;
        client->calls++;
    }
    atomic_fetch_add(&bench->done, 1);
    return !interrupted && !atomic_load(&bench->stop);
}

static void
run_follow_client(struct client *client)
{
    char name[64];
    struct read_request request = {.stream = client_stream(client->bench, 0, name), .from_given = true};
    client->err = client->target->ops->follow(client->target, &request, followed, client, &client->error);
}

static void
write_for_follower(struct client *writer)
{
    struct bench *bench = writer->bench;
    char name[64];
    cairn_str stream = client_stream(bench, 0, name);
    uint64_t begin;
    struct histogram *unused = writer->latencies;
    writer->latencies = NULL;
    while (next_piece(bench, 1, &begin)) {
        uint64_t before = atomic_load(&bench->done);
        if (append_some(writer, stream, 1) != CAIRN_OK)
            break;
        /* append_some counts one, the follower another */
        while (atomic_load(&bench->done) < before + 2 && !interrupted && clock_us() < bench->end_us)
            usleep(20);
    }
    atomic_store(&bench->stop, true);
    (void)append_some(writer, stream, 1); /* lets the follower see that it is over */
    writer->latencies = unused;
}

/* ---- the run ------------------------------------------------------------------------------------------------ */

static const struct {
    const char *name, *unit;
    void (*run)(struct client *client);
} kinds[] = {{"append", "events", run_append_client},
             {"read", "events", run_read_client},
             {"stream", "reads", run_stream_client},
             {"follow", "events", run_follow_client}};

static void *
client_main(void *context)
{
    struct client *client = context;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, client->bench->what) == 0)
            kinds[i].run(client);
    atomic_fetch_add(&client->bench->begun, client->err == CAIRN_OK ? 0 : UINT32_MAX); /* the others may stop */
    return NULL;
}

static void
say_result(const struct bench *bench, const struct histogram *h, uint64_t events, uint64_t calls, double seconds)
{
    bool stream = strcmp(bench->what, "stream") == 0;
    const char *unit = stream ? "reads" : "events";
    double rate = seconds > 0 ? (double)(stream ? calls : events) / seconds : 0;
    if (out.json) {
        printf("{\"bench\":\"%s\",\"clients\":%llu,\"batch\":%llu,\"size\":%llu,\"events\":%llu,\"calls\":%llu,"
               "\"seconds\":%.3f,\"rate\":%.1f,\"p50_us\":%llu,\"p95_us\":%llu,\"p99_us\":%llu,\"max_us\":%llu}\n",
               bench->what, (unsigned long long)bench->clients, (unsigned long long)bench->batch,
               (unsigned long long)bench->size_bytes, (unsigned long long)events, (unsigned long long)calls, seconds,
               rate, (unsigned long long)percentile(h, 0.5), (unsigned long long)percentile(h, 0.95),
               (unsigned long long)percentile(h, 0.99), (unsigned long long)h->max_us);
        return;
    }
    printf("%s: %llu events in %llu calls by %llu client%s, %.2f s\n", bench->what, (unsigned long long)events,
           (unsigned long long)calls, (unsigned long long)bench->clients, bench->clients == 1 ? "" : "s", seconds);
    printf("rate      %.0f %s/s\n", rate, unit);
    printf("latency   p50 %.3f ms   p95 %.3f ms   p99 %.3f ms   max %.3f ms\n",
           (double)percentile(h, 0.5) / 1000, (double)percentile(h, 0.95) / 1000, (double)percentile(h, 0.99) / 1000,
           (double)h->max_us / 1000);
}

static void
wait_and_show(struct bench *bench, struct client *clients, uint64_t count)
{
    struct progress progress;
    progress_begin(&progress, bench->what);
    for (uint64_t i = 0; i < count; i++) {
        struct timespec soon = {0, 50000000};
        for (;;) {
            struct timespec deadline;
            clock_gettime(CLOCK_REALTIME, &deadline);
            deadline.tv_nsec += soon.tv_nsec;
            deadline.tv_sec += deadline.tv_nsec / 1000000000;
            deadline.tv_nsec %= 1000000000;
            if (pthread_timedjoin_np(clients[i].thread, NULL, &deadline) == 0)
                break;
            bool by_time = bench->end_us != INT64_MAX;
            progress_update(&progress, atomic_load(&bench->done), by_time ? 0 : bench->events, "events");
        }
    }
    progress_end(&progress);
}

/* What a bench reads must be there first. */
static cairn_err
prepare_stream(struct bench *bench, struct client *client)
{
    char name[64];
    struct histogram *kept = client->latencies;
    client->latencies = NULL;
    cairn_err err = CAIRN_OK;
    if (strcmp(bench->what, "stream") == 0)
        err = append_some(client, client_stream(bench, 0, name), 20);
    client->latencies = kept;
    client->events = client->calls = 0;
    atomic_store(&bench->done, 0);
    return err;
}

static int
run_clients(struct bench *bench, struct target *target)
{
    struct client *clients = calloc((size_t)bench->clients + 1, sizeof *clients);
    struct histogram *sum = calloc(1, sizeof *sum);
    bool follow = strcmp(bench->what, "follow") == 0;
    uint64_t started = 0, events = 0, calls = 0;
    cairn_error error = {0};
    cairn_err err = clients && sum ? CAIRN_OK : CAIRN_E_NOMEM;
    for (uint64_t i = 0; i <= bench->clients && err == CAIRN_OK; i++) { /* one more: the follower's writer */
        clients[i].bench = bench;
        clients[i].number = (unsigned)i;
        clients[i].latencies = calloc(1, sizeof *clients[i].latencies);
        err = clients[i].latencies ? target->ops->clone(target, &clients[i].target, &error) : CAIRN_E_NOMEM;
    }
    if (err == CAIRN_OK && (err = prepare_stream(bench, &clients[0])) != CAIRN_OK)
        error = clients[0].error;
    bench->begin_us = clock_us();
    bench->end_us = bench->seconds ? bench->begin_us + (int64_t)bench->seconds * 1000000 : INT64_MAX;
    for (; err == CAIRN_OK && started < bench->clients; started++)
        if (pthread_create(&clients[started].thread, NULL, client_main, &clients[started]) != 0)
            break;
    if (err == CAIRN_OK && follow)
        write_for_follower(&clients[bench->clients]);
    wait_and_show(bench, clients, started);
    double seconds = (double)(clock_us() - bench->begin_us) / 1e6;
    for (uint64_t i = 0; clients && i <= bench->clients; i++) {
        struct client *client = &clients[i];
        if (err == CAIRN_OK && client->err != CAIRN_OK && !interrupted) {
            err = client->err;
            error = client->error;
        }
        if (client->latencies && sum && !(follow && i == bench->clients)) {
            for (size_t b = 0; b < BUCKETS; b++)
                sum->count[b] += client->latencies->count[b];
            sum->total += client->latencies->total;
            sum->max_us = client->latencies->max_us > sum->max_us ? client->latencies->max_us : sum->max_us;
            events += client->events;
            calls += client->calls;
        }
        free(client->latencies);
        target_close(client->target);
    }
    int code = err == CAIRN_OK ? EXIT_DONE : fail_error("bench", &error);
    if (!code)
        say_result(bench, sum, events, calls, seconds);
    free(sum);
    free(clients);
    return code;
}

/* JSON text of about so many bytes. */
static char *
make_data(uint64_t size)
{
    size = size < 10 ? 10 : size;
    char *data = malloc((size_t)size + 1);
    if (!data)
        return NULL;
    memset(data, 'x', (size_t)size);
    memcpy(data, "{\"x\":\"", 6);
    memcpy(data + size - 2, "\"}", 3);
    return data;
}

static int
bench_of(const struct args *args, struct bench *bench)
{
    bench->what = args->operand_count ? args->operands[0] : "append";
    bool known = false;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        known |= strcmp(kinds[i].name, bench->what) == 0;
    if (!known)
        return fail(EXIT_USAGE, "bench", "append, read, stream or follow", "no bench \"%s\"", bench->what);
    int code = arg_u64(args, "clients", 1, &bench->clients);
    if (!code)
        code = arg_u64(args, "seconds", 0, &bench->seconds);
    if (!code)
        code = arg_u64(args, "events", bench->seconds ? UINT64_MAX / 2 : 10000, &bench->events);
    if (!code)
        code = arg_size(args, "size", 256, &bench->size_bytes);
    if (!code)
        code = arg_u64(args, "batch", 1, &bench->batch);
    if (code)
        return code;
    if (bench->clients == 0 || bench->clients > CLIENTS_MAX || bench->batch == 0 || bench->batch > BATCH_MAX)
        return fail(EXIT_USAGE, "bench", NULL, "--clients takes 1 to %d, --batch 1 to %d", CLIENTS_MAX, BATCH_MAX);
    if (strcmp(bench->what, "follow") == 0)
        bench->clients = 1;
    if (bench->size_bytes > (1u << 20))
        return fail(EXIT_USAGE, "bench", NULL, "--size takes up to 1 MiB");
    bench->run = (uint32_t)wall_us() ^ (uint32_t)getpid() << 16;
    bench->data = make_data(bench->size_bytes);
    return bench->data ? 0 : fail(EXIT_FAILED, "bench", NULL, "out of memory");
}

int
run_bench(const struct args *args)
{
    static struct bench bench;
    struct target *target;
    int code = bench_of(args, &bench);
    if (!code && !(code = target_open(args, strcmp(bench.what, "read") == 0 ? TARGET_READ : TARGET_CREATE, &target))) {
        code = run_clients(&bench, target);
        target_close(target);
    }
    free(bench.data);
    return code;
}
