/* A worker's states, by scope, decider and place (a stream, or a query over several). The worker's thread alone.
 *
 * In the list by last use are the entries that nothing is in flight of and nobody waits for: those may go. Which version
 * of an app a state belongs to is written in its entry; another version takes the entry over when nothing is in flight. */
#include "bus_int.h"

#define BUCKETS_FIRST 64
#define STATE_SIZE_UNKNOWN 1024

static void
list_remove(struct worker *worker, struct entry *entry)
{
    if (entry->newer == NULL && entry->older == NULL && worker->newest != entry)
        return;
    *(entry->newer ? &entry->newer->older : &worker->newest) = entry->older;
    *(entry->older ? &entry->older->newer : &worker->oldest) = entry->newer;
    entry->newer = entry->older = NULL;
}

static void
list_insert(struct worker *worker, struct entry *entry)
{
    entry->older = worker->newest;
    entry->newer = NULL;
    *(worker->newest ? &worker->newest->newer : &worker->oldest) = entry;
    worker->newest = entry;
}

static void
account(struct worker *worker, struct entry *entry, size_t bytes)
{
    struct bus_counts *counts = &worker->bus->counts;
    worker->bytes += bytes - entry->bytes;
    atomic_fetch_add_explicit(&counts->cache_bytes, bytes - entry->bytes, memory_order_relaxed);
    entry->bytes = bytes;
}

void
cache_forget_state(struct worker *worker, struct entry *entry)
{
    if (entry->fold.state != NULL)
        entry->app->deciders[entry->decider]->state_free(entry->self, entry->fold.state);
    entry->fold = (struct fold){.revision = -1};
    account(worker, entry, sizeof *entry + entry->place_size);
}

static void
free_entry(struct worker *worker, struct entry *entry)
{
    assert(entry->in_flight == 0 && entry->waiting == NULL);
    struct entry **at = &worker->buckets[entry->hash & (worker->bucket_count - 1)];
    while (*at != entry)
        at = &(*at)->next;
    *at = entry->next;
    list_remove(worker, entry);
    cache_forget_state(worker, entry);
    account(worker, entry, 0);
    worker->entry_count--;
    atomic_fetch_sub_explicit(&worker->bus->counts.cache_entries, 1, memory_order_relaxed);
    struct bus_app *app = entry->app;
    struct worker_app *with = &app->at_worker[worker->index];
    free(entry);
    if (--with->entries == 0 && with->retired)
        bus_app_leave(app, worker);
}

static bool
grow(struct worker *worker)
{
    if (worker->entry_count < worker->bucket_count)
        return true;
    size_t count = worker->bucket_count ? worker->bucket_count * 2 : BUCKETS_FIRST;
    struct entry **buckets = calloc(count, sizeof *buckets);
    if (buckets == NULL)
        return worker->bucket_count > 0;
    for (size_t i = 0; i < worker->bucket_count; i++) {
        for (struct entry *entry = worker->buckets[i], *next; entry != NULL; entry = next) {
            next = entry->next;
            entry->next = buckets[entry->hash & (count - 1)];
            buckets[entry->hash & (count - 1)] = entry;
        }
    }
    free(worker->buckets);
    worker->buckets = buckets;
    worker->bucket_count = count;
    return true;
}

static bool
is_for(const struct entry *entry, const struct op *op)
{
    if (entry->hash != op->hash || entry->scope != op->command.scope || entry->over_streams != op->over_streams
        || entry->place_size != op->place.size || memcmp(entry->place, op->place.data, op->place.size) != 0)
        return false;
    const struct app_manifest *a = entry->app->manifest, *b = op->app->manifest;
    return (a == b && entry->decider == op->spec->decider)
           || (cairn_str_equal(a->name, b->name)
               && cairn_str_equal(a->deciders[entry->decider].name, b->deciders[op->spec->decider].name));
}

/* An entry without a state takes the version that asks. */
static cairn_err
take_version(struct worker *worker, struct entry *entry, struct op *op, cairn_error *error)
{
    void *self;
    cairn_err err = bus_app_self(op->app, worker, op->spec->decider, &self, error);
    if (err != CAIRN_OK)
        return err;
    struct bus_app *before = entry->app;
    cache_forget_state(worker, entry);
    op->app->at_worker[worker->index].entries++;
    entry->app = op->app;
    entry->decider = op->spec->decider;
    entry->self = self;
    struct worker_app *left = &before->at_worker[worker->index];
    if (--left->entries == 0 && left->retired)
        bus_app_leave(before, worker);
    return CAIRN_OK;
}

static cairn_err
make_entry(struct worker *worker, struct op *op, struct entry **ret, cairn_error *error)
{
    void *self;
    cairn_err err = bus_app_self(op->app, worker, op->spec->decider, &self, error);
    if (err != CAIRN_OK)
        return err;
    struct entry *entry = grow(worker) ? malloc(sizeof *entry + op->place.size) : NULL;
    if (entry == NULL) {
        struct worker_app *with = &op->app->at_worker[worker->index];
        if (with->entries == 0 && with->retired)
            bus_app_leave(op->app, worker);
        return error_set(error, CAIRN_E_NOMEM, "no memory for a state");
    }
    *entry = (struct entry){.app = op->app, .decider = op->spec->decider, .scope = op->command.scope, .hash = op->hash,
                            .self = self, .fold = {.revision = -1}, .over_streams = op->over_streams,
                            .place_size = op->place.size};
    entry->waiting_end = &entry->waiting;
    memcpy(entry->place, op->place.data, op->place.size);
    struct entry **bucket = &worker->buckets[entry->hash & (worker->bucket_count - 1)];
    entry->next = *bucket;
    *bucket = entry;
    list_insert(worker, entry);
    account(worker, entry, sizeof *entry + entry->place_size);
    worker->entry_count++;
    atomic_fetch_add_explicit(&worker->bus->counts.cache_entries, 1, memory_order_relaxed);
    op->app->at_worker[worker->index].entries++;
    *ret = entry;
    return CAIRN_OK;
}

cairn_err
cache_find(struct worker *worker, struct op *op, struct entry **ret, cairn_error *error)
{
    struct entry *entry =
        worker->bucket_count ? worker->buckets[op->hash & (worker->bucket_count - 1)] : NULL;
    while (entry != NULL && !is_for(entry, op))
        entry = entry->next;
    if (entry == NULL)
        return make_entry(worker, op, ret, error);
    if (entry->app != op->app) {
        if (entry->in_flight > 0 || entry->blocked) {
            entry->blocked = true;
        } else {
            cairn_err err = take_version(worker, entry, op, error);
            if (err != CAIRN_OK)
                return err;
        }
    }
    *ret = entry;
    return CAIRN_OK;
}

void
cache_forget_states(struct worker *worker)
{
    for (size_t i = 0; i < worker->bucket_count; i++)
        for (struct entry *entry = worker->buckets[i]; entry != NULL; entry = entry->next)
            cache_forget_state(worker, entry);
}

void
cache_resize(struct worker *worker, struct entry *entry, int64_t now_us)
{
    const cairn_decider *decider = entry->app->deciders[entry->decider];
    size_t bytes = sizeof *entry + entry->place_size;
    if (entry->fold.state != NULL)
        bytes += decider->state_size ? decider->state_size(entry->self, entry->fold.state) : STATE_SIZE_UNKNOWN;
    account(worker, entry, bytes);
    entry->used_us = now_us;
    list_remove(worker, entry);
    list_insert(worker, entry);
}

static bool
is_idle(const struct entry *entry)
{
    return entry->in_flight == 0 && entry->waiting == NULL && !entry->blocked;
}

/* Oldest first. What is in use is looked at and stays: as many as there are appends in flight. */
void
cache_trim(struct worker *worker, int64_t now_us)
{
    int64_t ttl_us = (int64_t)worker->bus->apps.state_cache_ttl_ms * 1000;
    for (struct entry *entry = worker->oldest, *newer; entry != NULL; entry = newer) {
        newer = entry->newer;
        bool old = now_us - entry->used_us > ttl_us;
        if (!old && worker->bytes <= worker->bytes_max)
            return;
        if (is_idle(entry))
            free_entry(worker, entry);
    }
}

bool
cache_make_room(struct worker *worker, const struct entry *keep)
{
    bool any = false;
    for (struct entry *entry = worker->oldest, *newer; entry != NULL; entry = newer) {
        newer = entry->newer;
        if (entry == keep || entry->self != keep->self || entry->fold.state == NULL || !is_idle(entry))
            continue;
        free_entry(worker, entry);
        any = true;
    }
    return any;
}

void
cache_settled(struct worker *worker, struct entry *entry)
{
    if (is_idle(entry) && entry->app->at_worker[worker->index].retired)
        free_entry(worker, entry);
}

/* The version has been replaced: what is idle goes now, the rest when it is settled. */
void
cache_retire(struct worker *worker, struct bus_app *app)
{
    struct worker_app *with = &app->at_worker[worker->index];
    with->retired = true;
    if (with->entries == 0) {
        bus_app_leave(app, worker);
        return;
    }
    bus_app_hold(app);
    for (struct entry *entry = worker->oldest, *newer; entry != NULL; entry = newer) {
        newer = entry->newer;
        if (entry->app == app)
            cache_settled(worker, entry);
    }
    bus_app_drop(app);
}

void
cache_close(struct worker *worker)
{
    for (struct entry *entry = worker->oldest, *newer; entry != NULL; entry = newer) {
        newer = entry->newer;
        entry->app->at_worker[worker->index].retired = true;
        free_entry(worker, entry);
    }
    free(worker->buckets);
}
