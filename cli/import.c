/* Batches of imported events, several appends under way, each event once. See import.h.
 *
 * Locks: `lock` guards the queue, the counts, the sticky error and what workers have seen of a
 * stream (entry.seen_*). All else belongs to the importer's thread, or to the worker that has the
 * batch. */
#include "import.h"

#include <assert.h>
#include <base/arena.h>
#include <base/error.h>
#include <base/hash.h>
#include <base/text.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define BATCH_BYTES (4u << 20)
#define BATCH_EVENTS 1000
#define WORKERS_MAX 32
#define TRIES_MAX 8
#define RESOLVES_MAX 5

/* A stream of the source. */
struct entry {
    cairn_str name;
    uint64_t hash;
    int64_t next;        /* revision of the next event of the source */
    int64_t there;       /* last revision found there on first sight; -1 none or not looked */
    cairn_uuid head_id, last_id; /* at `there`; of the last event put */
    bool head_readable, looked;
    uint64_t last_batch; /* number of the last batch that touched it; 0 none */
    int64_t seen_there;  /* by a worker, resolving a conflict; -1 */
    uint64_t resolved_in; /* which resolution looked at it last; the batch's worker's, as is: */
    struct stream_head head;
};

/* Events of one stream that follow each other in a batch. */
struct run {
    struct entry *entry;
    int64_t revision; /* of the first */
    size_t first, count;
};

struct batch {
    struct batch *next;
    uint64_t number, after; /* may start when batch `after` and all before it are done */
    struct arena arena;
    cairn_event *events;
    struct run *runs;
    cairn_write *writes;
    size_t event_count, run_count, bytes;
};

struct worker {
    struct import *import;
    struct target *target;
    pthread_t thread;
    uint64_t busy_with; /* batch number; 0: none */
};

struct import {
    struct import_options options;
    cairn_uuid namespace_id;
    struct progress progress;
    int64_t begun_us;

    struct entry **slots; /* open addressing */
    size_t slot_count, stream_count;
    struct arena names;
    bool careful;         /* look heads up on first sight */
    struct buf key;       /* for ids */

    struct batch *batch;  /* being filled */
    struct batch *spare;  /* done, for reuse; under lock */
    uint64_t batches;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct batch *first, *last;
    size_t queued;
    bool closing, found_old;
    struct worker workers[WORKERS_MAX];
    unsigned worker_count;
    uint64_t imported, already, resolutions;
    cairn_err err;
    cairn_error error;
};

/* ---- batches ---------------------------------------------------------------------------------------- */

static void
batch_free(struct batch *batch)
{
    if (!batch)
        return;
    arena_free(&batch->arena);
    free(batch->events);
    free(batch->runs);
    free(batch->writes);
    free(batch);
}

static struct batch *
batch_new(struct import *import)
{
    size_t count = import->options.batch_events;
    pthread_mutex_lock(&import->lock);
    struct batch *batch = import->spare;
    if (batch)
        import->spare = batch->next;
    pthread_mutex_unlock(&import->lock);
    if (batch) {
        arena_reset(&batch->arena);
        batch->event_count = batch->run_count = batch->bytes = 0;
        batch->after = 0;
        return batch;
    }
    batch = calloc(1, sizeof *batch);
    if (!batch)
        return NULL;
    batch->events = calloc(count, sizeof *batch->events);
    batch->runs = calloc(count, sizeof *batch->runs);
    batch->writes = calloc(count, sizeof *batch->writes);
    if (!batch->events || !batch->runs || !batch->writes) {
        batch_free(batch);
        return NULL;
    }
    return batch;
}

static bool
copy_text(struct arena *arena, cairn_str *text)
{
    if (text->size == 0) {
        *text = (cairn_str){0};
        return true;
    }
    *text = arena_copy(arena, *text);
    return text->data != NULL;
}

static bool
batch_add(struct batch *batch, struct entry *entry, const cairn_event *from, int64_t revision)
{
    cairn_event event = *from;
    bool fine = copy_text(&batch->arena, &event.type) && copy_text(&batch->arena, &event.content_type) &&
                copy_text(&batch->arena, &event.data) && copy_text(&batch->arena, &event.meta) &&
                copy_text(&batch->arena, &event.correlation);
    cairn_str *tags = event.tag_count ? arena_alloc(&batch->arena, event.tag_count * sizeof *tags) : NULL;
    fine = fine && (tags || !event.tag_count);
    for (size_t i = 0; fine && i < event.tag_count; i++) {
        tags[i] = from->tags[i];
        fine = copy_text(&batch->arena, &tags[i]);
        batch->bytes += tags[i].size;
    }
    if (!fine)
        return false;
    event.tags = tags;
    struct run *run = batch->run_count ? &batch->runs[batch->run_count - 1] : NULL;
    if (!run || run->entry != entry) {
        run = &batch->runs[batch->run_count++];
        *run = (struct run){.entry = entry, .revision = revision, .first = batch->event_count};
    }
    assert(run->revision + (int64_t)run->count == revision);
    run->count++;
    batch->bytes += event.data.size + event.meta.size + event.type.size + entry->name.size + 64;
    batch->events[batch->event_count++] = event;
    return true;
}

/* ---- a worker: append, and on conflict find out what is there ------------------------------------------ */

static cairn_err
append_batch(struct target *target, struct batch *batch, cairn_at *ret_at, cairn_error *error)
{
    for (size_t i = 0; i < batch->run_count; i++) {
        const struct run *run = &batch->runs[i];
        batch->writes[i] = (cairn_write){.stream = run->entry->name,
                                         .expected = run->revision ? run->revision - 1 : CAIRN_NONE,
                                         .events = batch->events + run->first,
                                         .event_count = run->count};
    }
    const cairn_append_request request = {.writes = batch->writes, .write_count = batch->run_count};
    cairn_err err = CAIRN_OK;
    for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
        err = target->ops->append(target, &request, ret_at, error);
        bool passing = err == CAIRN_E_BUSY || err == CAIRN_E_TIMEOUT || (int)err == (int)CLI_E_UNREACHABLE;
        if (!passing || interrupted)
            break;
        usleep(50000u << tries); /* the same ids at the same place: repeating is safe */
    }
    return err;
}

static cairn_err
another_event(const struct entry *entry, int64_t revision, cairn_error *error)
{
    cairn_err err = error_set(error, CAIRN_E_CONFLICT,
                              "stream %.120s holds another event at revision %lld than this source",
                              entry->name.data, (long long)revision);
    if (error)
        error->revision = revision;
    return err;
}

/* Leave out of a run what its stream has already. */
static cairn_err
trim_run(struct batch *batch, struct run *run, const struct stream_head *head, uint64_t *ret_dropped,
         cairn_error *error)
{
    int64_t last = run->revision + (int64_t)run->count - 1;
    if (head->last_revision < run->revision - 1)
        return error_set(error, CAIRN_E_CONFLICT,
                         "stream %.120s ends at revision %lld, although earlier events of this source were there",
                         run->entry->name.data, (long long)head->last_revision);
    if (head->last_revision < run->revision)
        return CAIRN_OK;
    if (head->last_revision <= last && head->readable) {
        const cairn_event *same = &batch->events[run->first + (size_t)(head->last_revision - run->revision)];
        if (memcmp(&same->id, &head->last_id, sizeof head->last_id) != 0)
            return another_event(run->entry, head->last_revision, error);
    }
    size_t drop = head->last_revision >= last ? run->count : (size_t)(head->last_revision - run->revision) + 1;
    run->first += drop;
    run->count -= drop;
    run->revision += (int64_t)drop;
    *ret_dropped += drop;
    return CAIRN_OK;
}

/* The head of a stream as it is now, looked up once in a resolution; *ret_first on that occasion. */
static cairn_err
head_now(struct worker *worker, struct entry *entry, uint64_t resolution, bool *ret_first, cairn_error *error)
{
    struct import *import = worker->import;
    *ret_first = entry->resolved_in != resolution;
    if (!*ret_first)
        return CAIRN_OK;
    entry->resolved_in = resolution;
    cairn_err err = worker->target->ops->head(worker->target, entry->name, &entry->head, error);
    pthread_mutex_lock(&import->lock);
    if (err == CAIRN_OK && entry->head.last_revision > entry->seen_there)
        entry->seen_there = entry->head.last_revision;
    pthread_mutex_unlock(&import->lock);
    return err;
}

/* After a conflict: leave out of the batch what is there. */
static cairn_err
resolve(struct worker *worker, struct batch *batch, uint64_t *ret_dropped, cairn_error *error)
{
    struct import *import = worker->import;
    pthread_mutex_lock(&import->lock);
    uint64_t resolution = ++import->resolutions;
    pthread_mutex_unlock(&import->lock);
    size_t kept = 0;
    for (size_t i = 0; i < batch->run_count; i++) {
        struct run run = batch->runs[i];
        bool first;
        cairn_err err = head_now(worker, run.entry, resolution, &first, error);
        /* what lies further on is brought there by an earlier run of this batch */
        if (err == CAIRN_OK && (first || run.entry->head.last_revision >= run.revision))
            err = trim_run(batch, &run, &run.entry->head, ret_dropped, error);
        if (err != CAIRN_OK)
            return err;
        if (run.count)
            batch->runs[kept++] = run;
    }
    batch->run_count = kept;
    return CAIRN_OK;
}

static cairn_err
do_batch(struct worker *worker, struct batch *batch, uint64_t *ret_imported, uint64_t *ret_already,
         cairn_error *error)
{
    uint64_t dropped = 0;
    cairn_at at = {0};
    cairn_err err = append_batch(worker->target, batch, &at, error);
    for (unsigned i = 0; err == CAIRN_E_CONFLICT && i < RESOLVES_MAX; i++) {
        err = resolve(worker, batch, &dropped, error);
        if (err != CAIRN_OK)
            return err;
        if (batch->run_count == 0)
            break;
        err = append_batch(worker->target, batch, &at, error);
    }
    if (err != CAIRN_OK)
        return err;
    uint64_t rest = batch->event_count - dropped;
    *ret_imported = at.repeated ? 0 : rest;
    *ret_already = at.repeated ? batch->event_count : dropped;
    return CAIRN_OK;
}

/* Every batch up to and including this number is done. Under lock. */
static bool
done_through(const struct import *import, uint64_t number)
{
    if (import->first && import->first->number <= number)
        return false;
    for (unsigned i = 0; i < import->worker_count; i++)
        if (import->workers[i].busy_with && import->workers[i].busy_with <= number)
            return false;
    return true;
}

static struct batch *
take_batch(struct worker *worker)
{
    struct import *import = worker->import;
    for (;;) {
        struct batch *batch = import->first;
        if (batch && done_through(import, batch->after)) {
            import->first = batch->next;
            import->queued--;
            worker->busy_with = batch->number;
            pthread_cond_broadcast(&import->changed);
            return batch;
        }
        if (!batch && import->closing)
            return NULL;
        pthread_cond_wait(&import->changed, &import->lock);
    }
}

static void *
work(void *context)
{
    struct worker *worker = context;
    struct import *import = worker->import;
    struct batch *batch;
    pthread_mutex_lock(&import->lock);
    while ((batch = take_batch(worker))) {
        bool skip = import->err != CAIRN_OK;
        pthread_mutex_unlock(&import->lock);
        cairn_error error = {0};
        uint64_t imported = 0, already = 0;
        cairn_err err = skip ? CAIRN_OK : do_batch(worker, batch, &imported, &already, &error);
        pthread_mutex_lock(&import->lock);
        import->imported += imported;
        import->already += already;
        import->found_old |= already > 0;
        if (err != CAIRN_OK && import->err == CAIRN_OK) {
            import->err = err;
            import->error = error;
        }
        worker->busy_with = 0;
        batch->next = import->spare;
        import->spare = batch;
        pthread_cond_broadcast(&import->changed);
    }
    pthread_mutex_unlock(&import->lock);
    return NULL;
}

/* ---- the importer's side --------------------------------------------------------------------------------- */

static cairn_err
submit(struct import *import, cairn_error *error)
{
    struct batch *batch = import->batch;
    import->batch = NULL;
    if (!batch)
        return CAIRN_OK;
    batch->number = ++import->batches;
    batch->next = NULL;
    for (size_t i = 0; i < batch->run_count; i++) {
        struct entry *entry = batch->runs[i].entry;
        if (entry->last_batch > batch->after && entry->last_batch < batch->number)
            batch->after = entry->last_batch;
        entry->last_batch = batch->number;
    }
    if (import->options.ordered)
        batch->after = batch->number - 1;
    pthread_mutex_lock(&import->lock);
    while (import->queued >= 2 && import->err == CAIRN_OK)
        pthread_cond_wait(&import->changed, &import->lock);
    if (import->first)
        import->last->next = batch;
    else
        import->first = batch;
    import->last = batch;
    import->queued++;
    import->careful |= import->found_old;
    cairn_err err = import->err;
    if (err != CAIRN_OK && error)
        *error = import->error;
    pthread_cond_broadcast(&import->changed);
    pthread_mutex_unlock(&import->lock);
    return err;
}

static bool
grow_slots(struct import *import)
{
    size_t count = import->slot_count ? import->slot_count * 2 : 1024;
    struct entry **slots = calloc(count, sizeof *slots);
    if (!slots)
        return false;
    for (size_t i = 0; i < import->slot_count; i++) {
        struct entry *entry = import->slots[i];
        size_t at = entry ? entry->hash & (count - 1) : 0;
        while (entry && slots[at])
            at = (at + 1) & (count - 1);
        if (entry)
            slots[at] = entry;
    }
    free(import->slots);
    import->slots = slots;
    import->slot_count = count;
    return true;
}

static struct entry *
entry_of(struct import *import, cairn_str name, bool *ret_new)
{
    if (import->stream_count * 2 >= import->slot_count && !grow_slots(import))
        return NULL;
    uint64_t hash = hash64(name.data, name.size, 0);
    size_t at = hash & (import->slot_count - 1);
    for (struct entry *entry; (entry = import->slots[at]); at = (at + 1) & (import->slot_count - 1))
        if (entry->hash == hash && cairn_str_equal(entry->name, name)) {
            *ret_new = false;
            return entry;
        }
    struct entry *entry = arena_zalloc(&import->names, sizeof *entry);
    if (!entry)
        return NULL;
    *entry = (struct entry){.name = arena_copy(&import->names, name), .hash = hash, .there = -1, .seen_there = -1};
    if (!entry->name.data)
        return NULL;
    import->slots[at] = entry;
    import->stream_count++;
    *ret_new = true;
    return entry;
}

static cairn_err
look(struct import *import, struct entry *entry, cairn_error *error)
{
    struct stream_head head;
    cairn_err err = import->options.target->ops->head(import->options.target, entry->name, &head, error);
    if (err != CAIRN_OK)
        return err;
    entry->looked = true;
    entry->there = head.last_revision;
    entry->head_id = head.last_id;
    entry->head_readable = head.readable;
    return CAIRN_OK;
}

static bool
keep_id(void *context, const cairn_recorded *event)
{
    *(cairn_recorded *)context = (cairn_recorded){.revision = event->revision, .event.id = event->event.id,
                                                  .time_us = 1};
    return false;
}

/* The id of one event of a stream; *ret_found false where it cannot be read. */
static cairn_err
id_at(struct import *import, cairn_str stream, int64_t revision, cairn_uuid *ret, bool *ret_found,
      cairn_error *error)
{
    struct read_request request = {.stream = stream, .from_given = true, .from = revision, .limit = 1};
    cairn_recorded found = {0};
    cairn_err err = import->options.target->ops->read(import->options.target, &request, keep_id, &found, error);
    *ret_found = err == CAIRN_OK && found.time_us && found.revision == (uint64_t)revision;
    *ret = found.event.id;
    return err;
}

/* The first event of a stream comes with a revision above 0: its earlier events are either in this store
 * already (then it goes on where it was), or nowhere (then it begins at 0). */
static cairn_err
place_first(struct import *import, struct entry *entry, const struct import_event *in, cairn_error *error)
{
    cairn_uuid id;
    bool found = false;
    cairn_err err = CAIRN_OK;
    if (entry->there >= 0)
        err = id_at(import, entry->name, 0, &id, &found, error);
    if (err != CAIRN_OK || entry->there < 0)
        return err;
    if (found && memcmp(&id, &in->event.id, sizeof id) == 0)
        return CAIRN_OK; /* it was given revision 0 by an earlier import */
    if (entry->there < (int64_t)in->revision - 1)
        return error_set(error, CAIRN_E_CONFLICT,
                         "stream %.120s ends at revision %lld here; the source goes on from %llu", entry->name.data,
                         (long long)entry->there, (unsigned long long)in->revision);
    entry->next = (int64_t)in->revision;
    return CAIRN_OK;
}

static cairn_err
first_sight(struct import *import, struct entry *entry, const struct import_event *in, cairn_error *error)
{
    bool has_past = in->has_revision && in->revision > 0;
    cairn_err err = CAIRN_OK;
    if (import->careful || has_past)
        err = look(import, entry, error);
    if (err == CAIRN_OK && has_past)
        err = place_first(import, entry, in, error);
    if (err == CAIRN_OK && import->options.by_tail)
        entry->next = entry->there + 1;
    return err;
}

static void
make_id(struct import *import, const struct entry *entry, cairn_event *event)
{
    if (!uuid_is_zero(event->id))
        return;
    struct buf *key = &import->key;
    buf_clear(key);
    buf_put_str(key, entry->name);
    buf_printf(key, "%c%lld%c", 0, (long long)entry->next, 0);
    buf_put_str(key, event->type);
    buf_put_char(key, '\0');
    buf_put_str(key, event->data);
    event->id = uuid_v5(import->namespace_id, buf_str(key));
}

/* Is the event there already? Then it is counted and left out. */
static cairn_err
is_there(struct import *import, struct entry *entry, const cairn_event *event, bool *ret, cairn_error *error)
{
    bool same = entry->head_readable && memcmp(&event->id, &entry->head_id, sizeof event->id) == 0;
    *ret = import->options.by_tail ? entry->looked && same && entry->next == entry->there + 1
                                   : entry->next <= entry->there;
    if (!import->options.by_tail && entry->next == entry->there && entry->head_readable && !same)
        return another_event(entry, entry->next, error);
    if (*ret) {
        pthread_mutex_lock(&import->lock);
        import->already++;
        import->found_old = true;
        pthread_mutex_unlock(&import->lock);
    }
    return CAIRN_OK;
}

cairn_err
import_put(struct import *import, const struct import_event *in, cairn_error *error)
{
    bool is_new, there;
    if (interrupted)
        return error_set(error, CLI_E_INTERRUPTED, "interrupted");
    struct entry *entry = entry_of(import, in->stream, &is_new);
    if (!entry)
        return error_set(error, CAIRN_E_NOMEM, "out of memory after %zu streams", import->stream_count);
    cairn_err err = is_new ? first_sight(import, entry, in, error) : CAIRN_OK;
    if (err != CAIRN_OK)
        return err;
    cairn_event event = in->event;
    make_id(import, entry, &event);
    err = is_there(import, entry, &event, &there, error);
    if (err != CAIRN_OK)
        return err;
    entry->last_id = event.id;
    if (there) {
        entry->next += !import->options.by_tail;
        return CAIRN_OK;
    }
    struct batch *batch = import->batch;
    size_t size = event.data.size + event.meta.size;
    if (batch && (batch->event_count == import->options.batch_events || batch->bytes + size > BATCH_BYTES)) {
        err = submit(import, error);
        if (err != CAIRN_OK)
            return err;
        batch = NULL;
    }
    if (!batch)
        import->batch = batch = batch_new(import);
    if (!batch || !batch_add(batch, entry, &event, entry->next))
        return error_set(error, CAIRN_E_NOMEM, "out of memory for a batch");
    entry->next++;
    return CAIRN_OK;
}

void
import_already(struct import *import, uint64_t count)
{
    pthread_mutex_lock(&import->lock);
    import->already += count;
    pthread_mutex_unlock(&import->lock);
}

void
import_progress(struct import *import, uint64_t done, uint64_t total, const char *unit)
{
    if (!out.err_terminal || out.quiet)
        return;
    char count[32];
    pthread_mutex_lock(&import->lock);
    uint64_t events = import->imported + import->already;
    pthread_mutex_unlock(&import->lock);
    snprintf(import->progress.extra, sizeof import->progress.extra, "%s events", human_count(events, count));
    progress_update(&import->progress, done, total, unit);
}

/* ---- begin and end ------------------------------------------------------------------------------------------ */

static cairn_err
stop_workers(struct import *import)
{
    pthread_mutex_lock(&import->lock);
    import->closing = true;
    pthread_cond_broadcast(&import->changed);
    pthread_mutex_unlock(&import->lock);
    for (unsigned i = 0; i < import->worker_count; i++) {
        pthread_join(import->workers[i].thread, NULL);
        target_close(import->workers[i].target);
    }
    import->worker_count = 0;
    return import->err;
}

static void
import_free(struct import *import)
{
    stop_workers(import);
    progress_end(&import->progress);
    batch_free(import->batch);
    for (struct batch *next, *batch = import->spare; batch; batch = next) {
        next = batch->next;
        batch_free(batch);
    }
    arena_free(&import->names);
    free(import->slots);
    buf_free(&import->key);
    pthread_mutex_destroy(&import->lock);
    pthread_cond_destroy(&import->changed);
    free(import);
}

cairn_err
import_begin(const struct import_options *options, struct import **ret, cairn_error *error)
{
    static const cairn_uuid root = {{0xc4, 0x1e, 0x0b, 0x5a, 0x3d, 0x72, 0x4f, 0x86, 0x9a, 0x27, 0x51, 0x0e, 0xd8,
                                     0x6c, 0xb3, 0x94}};
    struct import *import = calloc(1, sizeof *import);
    if (!import)
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    import->options = *options;
    if (!import->options.batch_events)
        import->options.batch_events = BATCH_EVENTS;
    if (!import->options.in_flight)
        import->options.in_flight = 4;
    unsigned workers = import->options.ordered ? 1 : import->options.in_flight;
    import->namespace_id = uuid_v5(root, cairn_cstr(options->kind));
    import->careful = options->careful;
    import->begun_us = clock_us();
    pthread_mutex_init(&import->lock, NULL);
    pthread_cond_init(&import->changed, NULL);
    progress_begin(&import->progress, "importing");
    cairn_err err = CAIRN_OK;
    for (unsigned i = 0; i < workers && i < WORKERS_MAX && err == CAIRN_OK; i++) {
        struct worker *worker = &import->workers[i];
        worker->import = import;
        err = options->target->ops->clone(options->target, &worker->target, error);
        if (err == CAIRN_OK && pthread_create(&worker->thread, NULL, work, worker) != 0) {
            target_close(worker->target);
            err = error_set(error, CAIRN_E_NOMEM, "cannot start a thread");
        }
        if (err == CAIRN_OK) {
            pthread_mutex_lock(&import->lock);
            import->worker_count++;
            pthread_mutex_unlock(&import->lock);
        }
    }
    if (err == CAIRN_OK)
        *ret = import;
    else
        import_free(import);
    return err;
}

/* Streams that hold more than the source: what was skipped must be the source's own. */
static cairn_err
check_skipped(struct import *import, cairn_error *error)
{
    for (size_t i = 0; i < import->slot_count && !interrupted; i++) {
        struct entry *entry = import->slots[i];
        int64_t there = !entry ? -1 : entry->there > entry->seen_there ? entry->there : entry->seen_there;
        if (!entry || entry->next == 0 || there < entry->next)
            continue;
        cairn_uuid id;
        bool found;
        cairn_err err = id_at(import, entry->name, entry->next - 1, &id, &found, error);
        if (err != CAIRN_OK)
            return err;
        if (found && memcmp(&id, &entry->last_id, sizeof id) != 0)
            return another_event(entry, entry->next - 1, error);
    }
    return CAIRN_OK;
}

cairn_err
import_end(struct import *import, cairn_err err, struct import_report *ret, cairn_error *error)
{
    bool whole = err == CAIRN_OK || (int)err == (int)CLI_E_INTERRUPTED;
    cairn_error later = {0};
    cairn_err late_err = whole ? submit(import, &later) : CAIRN_OK;
    if (late_err == CAIRN_OK) {
        late_err = stop_workers(import);
        later = import->error;
    }
    if (late_err == CAIRN_OK && err == CAIRN_OK && !import->options.by_tail)
        late_err = check_skipped(import, &later);
    if (err == CAIRN_OK && late_err != CAIRN_OK) {
        err = late_err;
        if (error)
            *error = later;
    }
    stop_workers(import);
    *ret = (struct import_report){import->imported, import->already, import->stream_count,
                                  (double)(clock_us() - import->begun_us) / 1e6};
    import_free(import);
    return err;
}
