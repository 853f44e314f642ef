/* A log's life: open, close, and its figures. log_int.h has the states and invariants. */
#include "topics.h"
#include <errno.h>
#include <os/thread.h>
#include <os/wait.h>

void
cairn_log_defaults(struct log_options *options)
{
    *options = (struct log_options){
        .segment_size_bytes = 256u << 20,
        .event_size_max = 1u << 20,
        .append_size_max = 16u << 20,
        .append_events_max = 4096,
        .index_memory_events = 1000000,
        .head_cache_entries = 1u << 20,
        .appends_waiting_max = LOG_WAITERS_MAX,
    };
}

static cairn_err
check_options(const struct log_options *options, cairn_error *error)
{
    if (options->segment_size_bytes < 64u << 10 || options->segment_size_bytes > LOG_SEGMENT_MAX)
        return error_set(error, CAIRN_E_INVALID,
                         "segment_size is %llu bytes; 64 KiB to 1 GiB are allowed",
                         (unsigned long long)options->segment_size_bytes);
    if (options->append_size_max > LOG_APPEND_MAX || options->event_size_max > options->append_size_max)
        return error_set(error, CAIRN_E_INVALID,
                         "append_size_max is %u and event_size_max %u bytes; 64 MiB is the most, and "
                         "an event must fit an append",
                         options->append_size_max, options->event_size_max);
    if (options->append_events_max == 0 || options->append_events_max > 65536)
        return error_set(error, CAIRN_E_INVALID, "append_events_max is %u; 1 to 65536 are allowed",
                         options->append_events_max);
    return CAIRN_OK;
}

/* ---- the folder ----------------------------------------------------------------------------- */

static void
path_in(const struct log *log, const char *name, char path[LOG_PATH_MAX])
{
    snprintf(path, LOG_PATH_MAX, "%.*s/%s", LOG_PATH_MAX - 40, log->dir, name);
}

/* Make the folder and those above it, durably: a folder is an entry of the one above. Also where it is there
 * already, since whoever made it may have died before that entry was synced. */
int
log_make_folder(struct os *os, const char *dir)
{
    char path[LOG_PATH_MAX], above[LOG_PATH_MAX];
    snprintf(path, sizeof path, "%s", dir);
    for (char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash != NULL)
            *slash = '\0';
        int fault = os_mkdir(os, path);
        bool there = fault == -EEXIST;
        if (fault != 0 && !there)
            return fault;
        snprintf(above, sizeof above, "%s", path);
        char *last = strrchr(above, '/');
        if (last != NULL)
            last[last == above ? 1 : 0] = '\0';
        fault = os_sync_dir(os, last != NULL ? above : ".");
        if (fault != 0 && !(there && fault == -EACCES))
            return fault; /* a folder above ours that we may not read is not ours to sync */
        if (slash == NULL)
            return 0;
        *slash = '/';
    }
}

/* Is there a manifest? Then the folder was made, durably, by whoever wrote it. */
static bool
has_manifest(struct log *log)
{
    char path[LOG_PATH_MAX];
    struct os_file *file;
    path_in(log, "cairn.log", path);
    if (os_open(log->os, path, OS_READ, &file) != 0)
        return false;
    (void)os_close(log->os, file);
    return true;
}

static cairn_err
take_lock(struct log *log, cairn_error *error)
{
    char path[LOG_PATH_MAX];
    path_in(log, "LOCK", path);
    int fault = os_open(log->os, path, OS_WRITE | OS_CREATE, &log->lock_file);
    if (fault != 0)
        return error_set_errno(error, -fault, "%s: cannot open", path);
    fault = os_lock(log->os, log->lock_file);
    if (fault == -EWOULDBLOCK) {
        char owner[64] = "";
        ssize_t n = os_pread(log->os, log->lock_file, owner, sizeof owner - 1, 0);
        if (n > 0)
            owner[strcspn(owner, "\n")] = '\0';
        return error_set(error, CAIRN_E_LOCKED, "%s is in use by another process (%s)", log->dir,
                         owner[0] ? owner : "unknown");
    }
    if (fault != 0)
        return error_set_errno(error, -fault, "%s: cannot lock", path);
    char text[64], time[TIME_TEXT_SIZE];
    format_time(os_now_us(log->os), time);
    int size = snprintf(text, sizeof text, "pid %ld since %s\n", (long)getpid(), time);
    ssize_t n = os_pwrite(log->os, log->lock_file, text, (size_t)size, 0);
    fault = n < 0 ? (int)n : os_truncate(log->os, log->lock_file, (uint64_t)size);
    /* Who owns it is a courtesy; the lock itself is what counts. A full disk is no reason to refuse. */
    return fault == 0 || fault == -ENOSPC || fault == -EDQUOT
               ? CAIRN_OK
               : error_set_errno(error, -fault, "%s: cannot write", path);
}

cairn_err
log_write_manifest(const struct log *log, const char *dir, cairn_error *error)
{
    uint8_t bytes[MANIFEST_SIZE] = MANIFEST_MAGIC;
    store32(bytes + 8, LOG_FORMAT_VERSION);
    memcpy(bytes + 16, log->id.bytes, 16);
    store64(bytes + 32, (uint64_t)os_now_us(log->os));
    memcpy(bytes + 40, log->key_seed, sizeof log->key_seed);
    memcpy(bytes + 104, log->lineage.bytes, 16);
    store32(bytes + 12, crc32c(0, bytes + 16, MANIFEST_SIZE - 16));
    int fault = os_sync_dir(log->os, dir);
    if (fault == 0)
        fault = os_replace_file(log->os, dir, "cairn.log", bytes, sizeof bytes);
    return fault == 0 ? CAIRN_OK
                      : error_set_errno(error, -fault, "%s/cairn.log: cannot write", dir);
}

static cairn_err
begin_log(struct log *log, cairn_error *error)
{
    char path[LOG_PATH_MAX];
    path_in(log, "segments", path);
    int fault = os_mkdir(log->os, path);
    if (fault != 0 && fault != -EEXIST)
        return error_set_errno(error, -fault, "%s: cannot make the folder", path);
    uint8_t random[10];
    os_random(log->os, random, sizeof random);
    log->id = log->lineage = uuid_v7(os_now_us(log->os), random);
    os_random(log->os, log->key_seed, sizeof log->key_seed);
    hash_secret(log->secret, log->key_seed, sizeof log->key_seed);
    return log_write_manifest(log, log->dir, error);
}

static cairn_err
check_manifest(struct log *log, const char *path, const uint8_t *bytes, size_t size,
               cairn_error *error)
{
    if (size != MANIFEST_SIZE || memcmp(bytes, MANIFEST_MAGIC, 8) != 0)
        return error_set(error, CAIRN_E_CORRUPT, "%s at byte 0: this is no manifest of a log", path);
    if (load32(bytes + 8) != LOG_FORMAT_VERSION)
        return error_set(error, CAIRN_E_VERSION,
                         "%s has format version %u; this program knows version %d", path,
                         load32(bytes + 8), LOG_FORMAT_VERSION);
    if (load32(bytes + 12) != crc32c(0, bytes + 16, MANIFEST_SIZE - 16))
        return error_set(error, CAIRN_E_CORRUPT,
                         "%s at byte 12: the manifest does not match its checksum", path);
    memcpy(log->id.bytes, bytes + 16, 16);
    memcpy(log->key_seed, bytes + 40, sizeof log->key_seed);
    memcpy(log->lineage.bytes, bytes + 104, 16);
    hash_secret(log->secret, log->key_seed, sizeof log->key_seed);
    return CAIRN_OK;
}

/* CAIRN_E_NOTFOUND: there is none. */
cairn_err
log_read_manifest(struct log *log, cairn_error *error)
{
    char path[LOG_PATH_MAX], *bytes;
    size_t size;
    path_in(log, "cairn.log", path);
    int fault = os_read_file(log->os, path, MANIFEST_SIZE, &bytes, &size);
    if (fault == -EFBIG)
        return error_set(error, CAIRN_E_CORRUPT, "%s at byte %d: the manifest is too long", path,
                         MANIFEST_SIZE);
    if (fault == -ENOENT)
        return error_set(error, CAIRN_E_NOTFOUND, "%s holds no log", log->dir);
    if (fault != 0)
        return error_set_errno(error, -fault, "%s: cannot read", path);
    cairn_err err = check_manifest(log, path, (uint8_t *)bytes, size, error);
    free(bytes);
    return err;
}

static void
note_segment(void *context, const char *name)
{
    *(bool *)context |= strstr(name, ".seg") != NULL;
}

/* Read the manifest, or begin a new log where there is none and that is wanted. */
static cairn_err
open_manifest(struct log *log, cairn_error *error)
{
    cairn_err err = log_read_manifest(log, error);
    if (err != CAIRN_E_NOTFOUND || !log->options.create || log->options.read_only)
        return err;
    char path[LOG_PATH_MAX];
    bool has_segments = false;
    path_in(log, "segments", path);
    if (os_list(log->os, path, note_segment, &has_segments) == 0 && has_segments)
        return error_set(error, CAIRN_E_CORRUPT,
                         "%s/cairn.log is missing, though there are segments", log->dir);
    return begin_log(log, error);
}

/* ---- open and close --------------------------------------------------------------------------- */

#define THREADS 5

/* The last one is there only where it is wanted. */
static int
thread_count(const struct log *log)
{
    return log->options.scavenge_interval_us > 0 ? THREADS : THREADS - 1;
}

/* Join the first `count` of committer, keeper, indexer, sealer and scavenger. */
static void
stop_threads(struct log *log, int count)
{
    const pthread_t threads[THREADS] = {log->committer, log->keeper, log->indexer, log->sealer, log->scavenger};
    atomic_store(&log->stopping, true);
    wake(&log->commit_word);
    wake(&log->keeper_word);
    wake(&log->indexer_word);
    wake(&log->sealer_word);
    wake(&log->scavenger_word);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    log->threads_started = false;
}

static cairn_err
start_threads(struct log *log, cairn_error *error)
{
    if (log->options.no_background || log->options.read_only)
        return CAIRN_OK;
    const struct {
        pthread_t *thread;
        const char *name;
        void *(*run)(void *log);
    } threads[THREADS] = {{&log->committer, "cairn-commit", committer_main},
                   {&log->keeper, "cairn-keep", keeper_main},
                   {&log->indexer, "cairn-index", indexer_main},
                   {&log->sealer, "cairn-seal", sealer_main},
                   {&log->scavenger, "cairn-scavenge", scavenger_main}};
    log->threads_started = true;
    for (int i = 0; i < thread_count(log); i++) {
        if (os_thread_start(threads[i].thread, threads[i].name, threads[i].run, log) != 0) {
            stop_threads(log, i);
            return error_set(error, CAIRN_E_NOMEM, "cannot start the log's threads");
        }
    }
    return CAIRN_OK;
}

static struct log *
log_new(struct os *os, const char *dir, const struct log_options *options)
{
    struct log *log = calloc(1, sizeof *log);
    if (log == NULL)
        return NULL;
    log->take_backs = 1;
    log->slots = calloc(LOG_SEGMENTS_MAX, sizeof *log->slots);
    if (log->slots == NULL || log_topics_open(log, NULL) != CAIRN_OK) {
        free(log->slots);
        free(log);
        return NULL;
    }
    log->os = os;
    log->options = *options;
    snprintf(log->dir, sizeof log->dir, "%s", dir);
    for (size_t n = strlen(log->dir); n > 1 && log->dir[n - 1] == '/'; n--)
        log->dir[n - 1] = '\0';
    log->open = &log->batches[0];
    /* Held for a microsecond: worth a short spin before sleeping. */
    pthread_mutexattr_t adaptive;
    pthread_mutexattr_init(&adaptive);
    pthread_mutexattr_settype(&adaptive, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(&log->lock, &adaptive);
    pthread_mutexattr_destroy(&adaptive);
    pthread_mutex_init(&log->epoch_lock, NULL);
    pthread_mutex_init(&log->notify_lock, NULL);
    pthread_mutex_init(&log->fill_lock, NULL);
    pthread_mutex_init(&log->admin_lock, NULL);
    pthread_mutex_init(&log->maintain_lock, NULL);
    pthread_mutex_init(&log->seal_lock, NULL);
    pthread_mutex_init(&log->count_lock, NULL);
    pthread_rwlock_init(&log->retention_lock, NULL);
    pthread_cond_init(&log->idle, NULL);
    return log;
}

void
log_free(struct log *log)
{
    cairn_series_close(log->series);
    for (uint32_t i = 0; i < log->retired_count; i++)
        cairn_series_close(log->retired_series[i]);
    uint32_t count = atomic_load(&log->segment_count);
    for (uint32_t i = 0; i < count; i++)
        segment_free(log, atomic_load(&log->slots[i]));
    retention_free(log);
    log_topics_close(log);
    recent_close(log);
    for (int i = 0; i < 2; i++) {
        free(log->batches[i].bytes);
        free(log->batches[i].waiters);
    }
    (void)os_close(log->os, log->lock_file);
    pthread_mutex_destroy(&log->lock);
    pthread_mutex_destroy(&log->epoch_lock);
    pthread_mutex_destroy(&log->notify_lock);
    pthread_mutex_destroy(&log->fill_lock);
    pthread_mutex_destroy(&log->admin_lock);
    pthread_mutex_destroy(&log->maintain_lock);
    pthread_mutex_destroy(&log->seal_lock);
    pthread_mutex_destroy(&log->count_lock);
    pthread_rwlock_destroy(&log->retention_lock);
    pthread_cond_destroy(&log->idle);
    free(log->slots);
    free(log);
}

cairn_err
cairn_log_open(struct os *os, const char *dir, const struct log_options *options, struct log **ret,
               cairn_error *error)
{
    if (strlen(dir) == 0 || strlen(dir) > LOG_PATH_MAX - 64)
        return error_set(error, CAIRN_E_INVALID, "the folder's path has %zu bytes; 1 to %d are allowed",
                         strlen(dir), LOG_PATH_MAX - 64);
    cairn_err err = check_options(options, error);
    if (err != CAIRN_OK)
        return err;
    struct log *log = log_new(os, dir, options);
    if (log == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for a log");
    if (options->create && !options->read_only && !has_manifest(log)) {
        int fault = log_make_folder(os, log->dir);
        if (fault != 0)
            err = error_set_errno(error, -fault, "%s: cannot make the folder", log->dir);
    }
    if (err == CAIRN_OK && !options->read_only)
        err = take_lock(log, error);
    if (err == CAIRN_OK)
        err = open_manifest(log, error);
    if (err == CAIRN_OK)
        err = recent_open(log, error);
    if (err == CAIRN_OK)
        err = log_recover(log, error);
    if (err == CAIRN_OK) {
        log->last_plain_end = log->next_position;
        err = start_threads(log, error);
    }
    if (err != CAIRN_OK) {
        log_free(log);
        return err;
    }
    *ret = log;
    return CAIRN_OK;
}

cairn_err
log_open_segments(struct os *os, const char *dir, struct log **ret, cairn_error *error)
{
    struct log_options options;
    cairn_log_defaults(&options);
    options.read_only = true;
    if (strlen(dir) == 0 || strlen(dir) > LOG_PATH_MAX - 64)
        return error_set(error, CAIRN_E_INVALID, "the folder's path is too long");
    struct log *log = log_new(os, dir, &options);
    if (log == NULL)
        return error_set(error, CAIRN_E_NOMEM, "no memory for a log");
    cairn_err err = log_read_manifest(log, error);
    if (err == CAIRN_OK)
        err = log_recover_segments(log, error);
    if (err != CAIRN_OK) {
        log_free(log);
        return err;
    }
    *ret = log;
    return CAIRN_OK;
}

/* Leave the folder as a clean stop leaves it: the tail vouched for, nothing behind it, the index flushed. Each
 * step helps the next opening; none is needed for what was acknowledged. */
static void
close_cleanly(struct log *log)
{
    pthread_mutex_lock(&log->lock);
    commit_drain(log);
    pthread_mutex_unlock(&log->lock);
    if (atomic_load(&log->failed))
        return;
    error_ignore(log_write_closing_frame(log, NULL));
    uint64_t end = atomic_load(&log->active->data_end);
    if (atomic_load(&log->reserved_end) > end
        && os_truncate(log->os, log->active->file, end) == 0)
        (void)os_sync(log->os, log->active->file);
    bool more = true;
    while (more && keep_seal(log, &more, NULL) == CAIRN_OK)
        ;
    error_ignore(cairn_series_flush(log->series, atomic_load(&log->durable), NULL));
    (void)os_truncate(log->os, log->lock_file, 0);
}

void
cairn_log_close(struct log *log)
{
    if (log == NULL)
        return;
    atomic_store(&log->stopping, true);
    wake(&log->follow_word);
    if (log->threads_started)
        stop_threads(log, thread_count(log));
    if (!log->options.read_only)
        close_cleanly(log);
    log_free(log);
}

struct os *
cairn_log_os(struct log *log)
{
    return log->os;
}

/* ---- figures ------------------------------------------------------------------------------------ */

/* Streams of scope 0, counted on from where the last count ended. */
static uint64_t
count_streams(struct log *log)
{
    struct series_head entries[256];
    size_t count = 0;
    pthread_mutex_lock(&log->count_lock);
    struct series_read read = {.key = log_key(log, KEY_DIRECTORY, 0, (cairn_str){0}),
                               .by = SERIES_BY_POSITION, .from = log->streams_counted_end,
                               .end = cairn_log_end(log)};
    cairn_err err;
    while ((err = cairn_series_read(log->series, &read, entries, 256, &count, NULL)) == CAIRN_OK
           && count > 0) {
        log->streams_counted += count;
        read.from = entries[count - 1].position + 1;
    }
    log->streams_counted_end = err == CAIRN_OK ? read.end : read.from;
    uint64_t streams = log->streams_counted;
    pthread_mutex_unlock(&log->count_lock);
    return streams;
}

static void
segment_stats(struct log *log, cairn_stats *ret)
{
    uint32_t parity = epoch_enter(log);
    ret->segments = atomic_load(&log->segment_count);
    for (uint32_t i = 0; i < ret->segments; i++) {
        struct segment *segment = atomic_load(&log->slots[i]);
        uint64_t size = 0;
        if (os_size(log->os, segment->file, &size) == 0)
            ret->log_bytes += size;
        uint64_t visible = atomic_load(&segment->count);
        if (segment->first_position >= ret->events || visible == 0)
            continue;
        if (ret->first_time_us == 0)
            ret->first_time_us = segment->times[0];
        ret->last_time_us = atomic_load(&segment->last_time_us);
    }
    epoch_leave(log, parity);
}

uint64_t
cairn_log_removed(struct log *log)
{
    return atomic_load(&log->removed);
}

void
cairn_log_stats(struct log *log, cairn_stats *ret)
{
    *ret = (cairn_stats){.log_id = log->id, .events = cairn_log_end(log)};
    ret->streams = count_streams(log);
    segment_stats(log, ret);
    struct series_stats series;
    cairn_series_stats(log->series, &series);
    ret->index_bytes = series.run_bytes;
    ret->index_runs = series.runs;
    ret->index_memory_entries = series.memory_entries;
    ret->memory_bytes = series.memory_bytes + atomic_load(&log->offsets_bytes);
    ret->appends_total = atomic_load(&log->stats.appends);
    ret->events_appended_total = atomic_load(&log->stats.events);
    ret->conflicts_total = atomic_load(&log->stats.conflicts);
    ret->batches_total = atomic_load(&log->stats.batches);
    ret->batch_bytes_total = atomic_load(&log->stats.batch_bytes);
    ret->sync_us_total = atomic_load(&log->stats.sync_us);
    ret->sync_us_max = atomic_load(&log->stats.sync_us_max);
    ret->reads_total = atomic_load(&log->stats.reads);
    ret->events_read_total = atomic_load(&log->stats.events_read);
    ret->appends_waiting = atomic_load(&log->stats.waiting);
    ret->recovered_events = log->stats.recovered_events;
    ret->discarded_bytes = log->stats.discarded_bytes;
    ret->index_faults = atomic_load(&log->stats.index_faults);
    ret->scavenges_total = atomic_load(&log->stats.scavenges);
    ret->scavenged_bytes_total = atomic_load(&log->stats.scavenged_bytes);
    ret->failed = atomic_load(&log->failed);
    ret->disk_full = atomic_load(&log->disk_full);
    pthread_mutex_lock(&log->lock);
    ret->memory_bytes += log->batches[0].capacity + log->batches[1].capacity;
    if (ret->failed || ret->disk_full)
        ret->failure = log->failure;
    ret->index_failure = log->index_failure;
    ret->scavenge_failure = log->scavenge_failure;
    pthread_mutex_unlock(&log->lock);
}
