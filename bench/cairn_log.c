/* cairn_log.c: points 4 to 6, on a log that is large for this machine.
 *
 * Two logs are built: a small one (1M events) and a large one (20M in 1M streams, a tag each, any of 1M;
 * a tenth of both sizes with --quick). Neighbours in the log are never of one stream, which is what the index
 * likes least. What depends on a fresh process (opening, memory) runs in child processes: cairn_child.c. */
#include "cairn_log.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WINDOW 6 /* bulk appends under way at once */
#define BUSY_TRIES_MAX 1000
#define DIRTY_SHARE 100      /* streams written before kill -9: one for so many events of the log */
#define READ_WINDOW 5000000u /* events of a sequential read */
#define RAW_READ_BLOCK (256 << 10)
#define RATE_SLICE_S 0.5 /* at most: these appends make the logs longer */

/* ---- building ---------------------------------------------------------------------------- */

/* One bulk append with all that it points to. */
struct bulk {
    cairn_write writes[BULK_EVENTS];
    cairn_event events[BULK_EVENTS];
    cairn_str tags[BULK_EVENTS];
    char stream_names[BULK_EVENTS][32], tag_names[BULK_EVENTS][32];
};

/* Multiplying by a number without a common factor with the modulus visits each stream once a turn, so the
 * streams of one append are all different ones. */
static void
fill_bulk(struct bulk *bulk, uint64_t first, uint64_t streams)
{
    for (unsigned i = 0; i < BULK_EVENTS; i++) {
        uint64_t number = first + i, turn = number / streams;
        lib_stream_name(bulk->stream_names[i], number * 7368787 % streams);
        lib_tag_name(bulk->tag_names[i], (number * 15485863 + turn * 104729) % streams);
        bulk->tags[i] = cairn_cstr(bulk->tag_names[i]);
        bulk->events[i] = (cairn_event){.type = CAIRN_STR("OrderPlaced"),
                                        .data = {event_data(), DATA_SIZE},
                                        .tags = &bulk->tags[i],
                                        .tag_count = 1};
        bulk->writes[i] = (cairn_write){.stream = cairn_cstr(bulk->stream_names[i]),
                                        .expected = CAIRN_ANY,
                                        .events = &bulk->events[i],
                                        .event_count = 1};
    }
}

/* Let PROBES streams get 1,000 events each, evenly over the first `spread` events. */
static void
place_probes(struct bulk *bulk, uint64_t first, uint64_t spread)
{
    uint64_t batches = spread / BULK_EVENTS, apart = batches / PROBE_EVENTS;
    if (first >= spread || apart == 0)
        return;
    unsigned at_once = (unsigned)(PROBES / apart), turn = (unsigned)(first / BULK_EVENTS % apart);
    for (unsigned i = 0; i < at_once; i++) {
        snprintf(bulk->stream_names[i], sizeof bulk->stream_names[i], "spread-%u",
                 turn * at_once + i);
        bulk->writes[i].stream = cairn_cstr(bulk->stream_names[i]);
    }
}

struct window {
    pthread_mutex_t lock;
    pthread_cond_t freed;
    unsigned under_way;
    unsigned busy; /* answers */
    cairn_err err;
    cairn_error error;
};

static void
bulk_done(void *context, cairn_err err, const cairn_at *at, const cairn_error *error)
{
    (void)at;
    struct window *window = context;
    pthread_mutex_lock(&window->lock);
    window->under_way--;
    if (err != CAIRN_OK) {
        window->err = err;
        window->error = *error;
    }
    pthread_cond_signal(&window->freed);
    pthread_mutex_unlock(&window->lock);
}

static void
wait_below(struct window *window, unsigned most)
{
    pthread_mutex_lock(&window->lock);
    while (window->under_way > most)
        pthread_cond_wait(&window->freed, &window->lock);
    pthread_mutex_unlock(&window->lock);
}

/* "Busy" means nothing was done, try again; a program that loads much has to expect it. */
static cairn_err
append_patiently(cairn_store *store, const cairn_append_request *request, struct window *window)
{
    cairn_err err = CAIRN_E_BUSY;
    for (unsigned tries = 0; err == CAIRN_E_BUSY && tries < BUSY_TRIES_MAX; tries++) {
        err = cairn_append_async(store, request, bulk_done, window, &window->error);
        window->busy += err == CAIRN_E_BUSY;
    }
    return err;
}

bool
log_build(cairn_store *store, uint64_t from, uint64_t to, uint64_t streams, uint64_t spread)
{
    struct window window = {.lock = PTHREAD_MUTEX_INITIALIZER, .freed = PTHREAD_COND_INITIALIZER};
    struct bulk *bulk = malloc(sizeof *bulk);
    bool ok = bulk != NULL;
    for (uint64_t first = from; ok && first < to; first += BULK_EVENTS) {
        fill_bulk(bulk, first, streams);
        place_probes(bulk, first, spread);
        cairn_append_request request = {.writes = bulk->writes, .write_count = BULK_EVENTS};
        wait_below(&window, WINDOW - 1);
        pthread_mutex_lock(&window.lock);
        window.under_way++;
        pthread_mutex_unlock(&window.lock);
        cairn_err err = append_patiently(store, &request, &window);
        if (err != CAIRN_OK) {
            window.under_way--;
            window.err = err;
        }
        ok = window.err == CAIRN_OK;
        if (isatty(STDERR_FILENO) && first / BULK_EVENTS % 200 == 0)
            fprintf(stderr, "\rbench: building a log: %.1fM of %.1fM events", (double)first / 1e6,
                    (double)to / 1e6);
    }
    wait_below(&window, 0);
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    figure_add((double)window.busy, "log.build_busy_answers");
    if (window.err != CAIRN_OK)
        failure("building a log: %s", window.error.detail);
    free(bulk);
    return ok && window.err == CAIRN_OK;
}

static bool
build_timed(cairn_store *store, uint64_t from, uint64_t to, uint64_t streams, uint64_t spread)
{
    uint64_t begin = now_ns();
    if (!log_build(store, from, to, streams, spread))
        return false;
    figure_add((double)(to - from) * 1e9 / (double)(now_ns() - begin), "log.build_events_per_s");
    return true;
}

/* ---- reading ----------------------------------------------------------------------------- */

/* Events read; -1 when that went wrong. Data is touched, so that reading is not merely promised. */
static int64_t
read_events(cairn_reader *reader, uint64_t most)
{
    cairn_recorded event;
    cairn_error error;
    cairn_err err = CAIRN_OK;
    uint64_t count = 0, wrong = 0;
    while (count < most && (err = cairn_reader_next(reader, &event, &error)) == CAIRN_OK) {
        const cairn_str data = event.event.data;
        wrong += data.size != DATA_SIZE || data.data[0] != '{' || data.data[DATA_SIZE - 1] != '}';
        count++;
    }
    if (err != CAIRN_OK && err != CAIRN_E_END)
        failure("reading: %s", error.detail);
    if (wrong > 0)
        failure("reading: %llu events are not what was written", (unsigned long long)wrong);
    return (err == CAIRN_OK || err == CAIRN_E_END) && wrong == 0 ? (int64_t)count : -1;
}

int64_t
log_read_stream(cairn_store *store, const char *stream)
{
    cairn_reader *reader;
    cairn_error error;
    const cairn_read_options options = {0};
    if (cairn_read_stream(store, cairn_cstr(stream), &options, &reader, &error) != CAIRN_OK) {
        failure("reading %s: %s", stream, error.detail);
        return -1;
    }
    int64_t count = read_events(reader, UINT64_MAX);
    cairn_reader_free(reader);
    return count;
}

int64_t
log_read_all(cairn_store *store, uint64_t most)
{
    cairn_reader *reader;
    cairn_error error;
    const cairn_read_options options = {0};
    if (cairn_read_all(store, &options, &reader, &error) != CAIRN_OK) {
        failure("reading all: %s", error.detail);
        return -1;
    }
    int64_t count = read_events(reader, most);
    cairn_reader_free(reader);
    return count;
}

/* Streams of 1,000 events each, `name`-0 and on: how long one takes, whole. */
static void
measure_streams(const struct settings *settings, cairn_store *store, const char *name)
{
    for (unsigned round = 0; round <= settings->rounds; round++) { /* round 0 warms the cache */
        struct histogram *histogram = calloc(1, sizeof *histogram);
        for (unsigned i = 0; histogram != NULL && i < 10 * PROBES; i++) {
            char stream[32];
            snprintf(stream, sizeof stream, "%s-%u", name, i % PROBES);
            uint64_t begin = now_ns();
            int64_t count = log_read_stream(store, stream);
            histogram_add(histogram, now_ns() - begin);
            if (count != PROBE_EVENTS) {
                failure("stream %s has %lld events instead of %d", stream, (long long)count,
                        PROBE_EVENTS);
                free(histogram);
                return;
            }
        }
        if (round > 0 && histogram != NULL) {
            figure_add(histogram_us(histogram, 0.5) / 1e3, "log.stream_%s.p50_ms", name);
            figure_add(histogram_us(histogram, 0.99) / 1e3, "log.stream_%s.p99_ms", name);
        }
        free(histogram);
    }
}

/* The same number of events in one piece, for comparison. */
static bool
append_together(cairn_store *store)
{
    struct bulk *bulk = malloc(sizeof *bulk);
    bool ok = bulk != NULL;
    for (unsigned i = 0; ok && i < PROBES; i++) {
        char stream[32];
        cairn_at at;
        cairn_error error;
        snprintf(stream, sizeof stream, "together-%u", i);
        fill_bulk(bulk, 0, BULK_EVENTS);
        ok = cairn_append(store, 0, cairn_cstr(stream), CAIRN_ANY, bulk->events, PROBE_EVENTS, &at,
                          &error)
             == CAIRN_OK;
        if (!ok)
            failure("appending to %s: %s", stream, error.detail);
    }
    free(bulk);
    return ok;
}

/* Plain read() over the files of the log, as a yardstick: MB/s. */
static struct {
    char *block;
    uint64_t left, total;
} raw_read;

static int
read_file(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)where;
    if (type != FTW_F || info->st_size < RAW_READ_BLOCK)
        return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    for (ssize_t got; fd >= 0 && raw_read.total < raw_read.left
                      && (got = read(fd, raw_read.block, RAW_READ_BLOCK)) > 0;)
        raw_read.total += (uint64_t)got;
    if (fd >= 0)
        close(fd);
    return raw_read.total >= raw_read.left;
}

static double
raw_read_mb_per_s(const char *folder, uint64_t most)
{
    raw_read.block = malloc(RAW_READ_BLOCK);
    raw_read.left = raw_read.block != NULL ? most : 0;
    raw_read.total = 0;
    uint64_t begin = now_ns();
    if (nftw(folder, read_file, 8, FTW_PHYS) < 0)
        failure("cannot walk %s: %s", folder, strerror(errno));
    double seconds = (double)(now_ns() - begin) / 1e9;
    free(raw_read.block);
    return (double)raw_read.total / 1e6 / seconds;
}

static void
measure_sequential(const struct settings *settings, cairn_store *store, const char *folder)
{
    cairn_stats stats;
    cairn_stats_get(store, &stats);
    uint64_t count = stats.events < READ_WINDOW ? stats.events : READ_WINDOW;
    uint64_t bytes = (uint64_t)((double)stats.log_bytes / (double)stats.events * (double)count);
    figure_add((double)stats.log_bytes / (double)stats.events, "log.event_bytes");
    for (unsigned round = 0; round <= settings->rounds; round++) { /* round 0 warms the cache */
        uint64_t begin = now_ns();
        if (log_read_all(store, count) < (int64_t)count - 1) {
            failure("a sequential read did not return %llu events", (unsigned long long)count);
            return;
        }
        double seconds = (double)(now_ns() - begin) / 1e9, raw = raw_read_mb_per_s(folder, bytes);
        if (round == 0)
            continue;
        figure_add((double)count / seconds, "log.read_events_per_s");
        figure_add((double)bytes / 1e6 / seconds, "log.read_mb_per_s");
        figure_add(raw, "log.raw_read_mb_per_s");
    }
}

/* ---- rates and conditions ---------------------------------------------------------------- */

static void
measure_load(struct lib_load load, unsigned clients, const char *name)
{
    struct sample sample = {0};
    load.shape = (struct shape){.events = 1, .clients = clients, .seconds = load.shape.seconds};
    if (!(clients == 1 ? lib_run_threads(&load, &sample) : lib_run_async(&load, &sample))) {
        failure("%s: appends by %u clients failed", name, clients);
        return;
    }
    figure_add((double)sample.appends / sample.seconds, "%s.x%u.appends_per_s", name, clients);
    figure_add(sample.seconds * 1e6 / (double)sample.appends, "%s.x%u.us_per_append", name,
               clients);
    figure_add(sample.p50_us, "%s.x%u.p50_us", name, clients);
    figure_add(sample.client_cores, "%s.x%u.client_cores", name, clients);
}

static void
measure_rates(const struct settings *settings, cairn_store *small, cairn_store *large)
{
    double seconds = settings->slice_s < RATE_SLICE_S ? settings->slice_s : RATE_SLICE_S;
    struct lib_load on_small
        = {.store = small, .shape.seconds = seconds, .streams = settings->log_small / PER_STREAM};
    struct lib_load on_large
        = {.store = large, .shape.seconds = seconds, .streams = settings->log_large / PER_STREAM};
    struct lib_load own_tag = {.store = large, .shape.seconds = seconds, .own_tag = true};
    static const unsigned clients[] = {1, 64};
    on_small.tags = on_small.streams;
    on_large.tags = on_large.streams;
    for (unsigned round = 0; round < settings->rounds; round++) {
        disk_settle();
        figure_add((double)cairn_end(small), "rates.small.events");
        figure_add((double)cairn_end(large), "rates.large.events");
        for (unsigned i = 0; i < 2; i++) {
            on_small.condition = on_large.condition = own_tag.condition = false;
            measure_load(on_small, clients[i], "rates.small");
            measure_load(on_large, clients[i], "rates.large");
            measure_load(own_tag, clients[i], "conditions.none");
            on_small.condition = on_large.condition = own_tag.condition = true;
            measure_load(own_tag, clients[i], "conditions.own_tag");
            measure_load(on_small, clients[i], "rates.small_any_tag");
            measure_load(on_large, clients[i], "rates.large_any_tag");
        }
    }
}

/* ---- size, memory, opening --------------------------------------------------------------- */

/* Merging goes on behind our back: wait until the index has stopped changing. */
static void
wait_for_merges(cairn_store *store)
{
    cairn_stats before = {0}, now;
    for (unsigned quiet = 0, i = 0; quiet < 4 && i < 120; i++, sleep_ms(500)) {
        cairn_stats_get(store, &now);
        quiet = now.index_bytes == before.index_bytes && now.index_runs == before.index_runs
                    ? quiet + 1
                    : 0;
        before = now;
    }
}

static bool
run_child(char *output, size_t size, const char *what, const char *folder, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    const char *arguments[] = {"/proc/self/exe", "--child", what, folder, text, NULL};
    if (process_run(arguments, output, size))
        return true;
    failure("the child process that should %s said: %s", what, output);
    return false;
}

/* Keep the figures that a child printed as "name=value" words, under `prefix`. */
static void
keep_figures(char *output, const char *prefix)
{
    for (char *word = strtok(output, " \n"); word != NULL; word = strtok(NULL, " \n")) {
        char *value = strchr(word, '=');
        if (value == NULL)
            continue;
        *value = '\0';
        figure_add(strtod(value + 1, NULL), "%s.%s", prefix, word);
    }
}

/* What a file says so far. */
static void
read_text(const char *path, char *to, size_t size)
{
    FILE *file = fopen(path, "re");
    size_t have = file != NULL ? fread(to, 1, size - 1, file) : 0;
    to[have] = '\0';
    if (file != NULL)
        fclose(file);
}

/* A child appends to so many streams, and is killed when much of it is not in the index on disk. */
static bool
leave_dirty(const struct settings *settings, const char *folder, uint64_t streams)
{
    char log[512], text[24], said[512] = "";
    snprintf(log, sizeof log, "%s/dirty.log", settings->dir);
    snprintf(text, sizeof text, "%llu", (unsigned long long)streams);
    const char *arguments[] = {"/proc/self/exe", "--child", "dirty", folder, text, NULL};
    unlink(log);
    pid_t pid = process_start(arguments, log);
    while (pid > 0 && strstr(said, "ready") == NULL && process_runs(pid)) {
        sleep_ms(10);
        read_text(log, said, sizeof said);
    }
    process_stop(pid, SIGKILL);
    bool ready = strstr(said, "ready") != NULL;
    if (ready)
        keep_figures(said, "open.dirtied");
    else
        failure("the child process that should leave a log unclosed said: %s", said);
    return ready;
}

static void
measure_opening(const struct settings *settings, const char *folder)
{
    char output[2048];
    for (unsigned round = 0; round < (settings->quick ? 2 : 3); round++) {
        progress("opening: after a clean stop");
        if (!run_child(output, sizeof output, "open", folder, 0))
            return;
        keep_figures(output, "open.clean");
        progress("opening: more events, then kill -9");
        if (!leave_dirty(settings, folder, settings->log_large / DIRTY_SHARE))
            return;
        if (!run_child(output, sizeof output, "open", folder, 0))
            return;
        keep_figures(output, "open.killed");
    }
    progress("memory in use");
    if (run_child(output, sizeof output, "use", folder, settings->log_large / PER_STREAM))
        keep_figures(output, "memory");
}

/* ---- the part ---------------------------------------------------------------------------- */

/* The streams are read when merging what was just built is over: it would share the processors with them. */
static bool
build_large(const struct settings *settings, cairn_store *store)
{
    uint64_t streams = settings->log_large / PER_STREAM, half = settings->log_stream;
    progress("building a log of %.0fM events", (double)settings->log_large / 1e6);
    if (!build_timed(store, 0, half, streams, half) || !append_together(store))
        return false;
    figure_add((double)cairn_end(store), "log.stream_read_at_events");
    wait_for_merges(store);
    measure_streams(settings, store, "spread");
    measure_streams(settings, store, "together");
    return build_timed(store, half, settings->log_large, streams, half);
}

void
part_log(const struct settings *settings)
{
    char small_folder[512], large_folder[512];
    cairn_store *small = NULL, *large = NULL;
    snprintf(small_folder, sizeof small_folder, "%s/log-small", settings->dir);
    snprintf(large_folder, sizeof large_folder, "%s/log-large", settings->dir);
    if (!disk_open(settings) || !lib_open(small_folder, &small) || !lib_open(large_folder, &large)
        || !log_build(small, 0, settings->log_small, settings->log_small / PER_STREAM, 0)
        || !build_large(settings, large))
        goto done;
    wait_for_merges(large);
    progress("reading in sequence");
    measure_sequential(settings, large, large_folder);
    progress("rates and conditions");
    measure_rates(settings, small, large);
    wait_for_merges(large);
    cairn_close(small);
    cairn_close(large);
    small = large = NULL;
    measure_opening(settings, large_folder);
done:
    cairn_close(small);
    cairn_close(large);
    disk_close();
}
