/* Which consumer groups are in memory, and who writes their checkpoints when nobody calls.
 *
 * A group is read from the log at its first use and stays in memory until the store is closed. One
 * that turns out not to exist leaves when its last user does, so asking for names that do not exist costs
 * nothing that lasts.
 *
 * The keeper is one thread, begun with the first change that needs it. It sleeps until something
 * is dirty, then looks a second later. A store without threads of its own has none: there
 * acknowledgements and cairn_maintain() write what is due. */
#include <base/error.h>
#include <base/hash.h>
#include <os/thread.h>
#include <stdlib.h>
#include <time.h>

#include "group_int.h"
#include "request.h"

#define BUCKETS 1024

struct groups {
    cairn_store *store;
    pthread_mutex_t lock;
    struct group *buckets[BUCKETS];
    size_t count;
    cairn_scope *listed; /* scopes whose groups are all in memory */
    size_t listed_count;

    pthread_mutex_t keeper_lock;
    pthread_cond_t keeper_wake; /* on the monotonic clock */
    pthread_t keeper;
    bool keeper_begun, dirty, closing;
};

struct groups *
groups_new(cairn_store *store)
{
    struct groups *groups = calloc(1, sizeof *groups);
    if (groups == NULL)
        return NULL;
    groups->store = store;
    pthread_mutex_init(&groups->lock, NULL);
    pthread_mutex_init(&groups->keeper_lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&groups->keeper_wake, &attributes);
    pthread_condattr_destroy(&attributes);
    return groups;
}

/* ---- one group ---------------------------------------------------------------------------- */

static struct group *
new_group(struct groups *groups, cairn_scope scope, cairn_str name, uint64_t hash)
{
    struct group *group = calloc(1, sizeof *group);
    if (group == NULL)
        return NULL;
    group->groups = groups;
    group->store = groups->store;
    group->scope = scope;
    memcpy(group->name, name.data, name.size);
    group->name_size = name.size;
    group->hash = hash;
    pthread_mutex_init(&group->take_lock, NULL);
    pthread_mutex_init(&group->write_lock, NULL);
    pthread_mutex_init(&group->lock, NULL);
    return group;
}

static void
free_group(struct group *group)
{
    group_state_free(&group->state);
    pthread_mutex_destroy(&group->take_lock);
    pthread_mutex_destroy(&group->write_lock);
    pthread_mutex_destroy(&group->lock);
    free(group);
}

static enum group_presence
presence_of(struct group *group)
{
    pthread_mutex_lock(&group->lock);
    enum group_presence presence = group->presence;
    pthread_mutex_unlock(&group->lock);
    return presence;
}

/* ---- the table ---------------------------------------------------------------------------- */

/* The group of that name with one more reference, made (not loaded) when it is not there. */
static cairn_err
find_or_add(struct groups *groups, cairn_scope scope, cairn_str name, struct group **ret,
            cairn_error *error)
{
    uint64_t hash = hash64(name.data, name.size, scope);
    struct group **bucket = &groups->buckets[hash % BUCKETS];
    cairn_err err = CAIRN_OK;
    pthread_mutex_lock(&groups->lock);
    struct group *group = *bucket;
    while (group && !(group->hash == hash && group->scope == scope &&
                      cairn_str_equal(group_name(group), name)))
        group = group->next_in_bucket;
    if (group == NULL && groups->count >= GROUPS_MAX) {
        err = error_set(error, CAIRN_E_LIMIT, "the store has %zu consumer groups; the limit is %d",
                        groups->count, GROUPS_MAX);
    } else if (group == NULL) {
        group = new_group(groups, scope, name, hash);
        if (group) {
            group->next_in_bucket = *bucket;
            *bucket = group;
            groups->count++;
        } else {
            err = error_set(error, CAIRN_E_NOMEM, "out of memory");
        }
    }
    if (group)
        group->refs++;
    pthread_mutex_unlock(&groups->lock);
    if (group)
        *ret = group;
    return err;
}

void
group_release(struct group *group)
{
    struct groups *groups = group->groups;
    bool keep = presence_of(group) == GROUP_PRESENT;
    pthread_mutex_lock(&groups->lock);
    bool gone = --group->refs == 0 && !keep;
    if (gone) {
        struct group **at = &groups->buckets[group->hash % BUCKETS];
        while (*at != group)
            at = &(*at)->next_in_bucket;
        *at = group->next_in_bucket;
        groups->count--;
    }
    pthread_mutex_unlock(&groups->lock);
    if (gone)
        free_group(group);
}

cairn_err
group_acquire_any(cairn_store *store, cairn_scope scope, cairn_str name, struct group **ret,
                  cairn_error *error)
{
    if (store == NULL)
        return error_set(error, CAIRN_E_INVALID, "no store given");
    cairn_err err = request_check_name(name, "group name", error);
    if (err == CAIRN_OK && name.size > GROUP_NAME_MAX)
        err = error_set(error, CAIRN_E_LIMIT, "group name is %zu bytes; the limit is %d", name.size,
                        GROUP_NAME_MAX);
    struct group *group = NULL;
    if (err == CAIRN_OK)
        err = find_or_add(store->groups, scope, name, &group, error);
    if (err != CAIRN_OK)
        return err;
    if (presence_of(group) == GROUP_UNKNOWN) {
        pthread_mutex_lock(&group->write_lock);
        if (presence_of(group) == GROUP_UNKNOWN)
            err = group_load(group, error);
        pthread_mutex_unlock(&group->write_lock);
    }
    if (err == CAIRN_OK)
        *ret = group;
    else
        group_release(group);
    return err;
}

cairn_err
group_acquire(cairn_store *store, cairn_scope scope, cairn_str name, struct group **ret,
              cairn_error *error)
{
    struct group *group;
    cairn_err err = group_acquire_any(store, scope, name, &group, error);
    if (err != CAIRN_OK)
        return err;
    if (presence_of(group) != GROUP_PRESENT) {
        group_release(group);
        return error_set(error, CAIRN_E_NOTFOUND, "there is no consumer group '%.*s'",
                         (int)name.size, name.data);
    }
    *ret = group;
    return CAIRN_OK;
}

/* ---- all groups --------------------------------------------------------------------------- */

struct listing {
    struct arena arena;
    cairn_str *names;
    size_t count, capacity;
    bool failed;
};

static bool
add_name(void *context, cairn_str stream, uint64_t first_position)
{
    (void)first_position;
    struct listing *listing = context;
    const size_t prefix = sizeof GROUP_STATE_PREFIX - 1;
    if (stream.size <= prefix)
        return true;
    if (listing->count == listing->capacity) {
        size_t capacity = listing->capacity ? listing->capacity * 2 : 64;
        cairn_str *names = realloc(listing->names, capacity * sizeof *names);
        if (names == NULL) {
            listing->failed = true;
            return false;
        }
        listing->names = names;
        listing->capacity = capacity;
    }
    cairn_str name = {stream.data + prefix, stream.size - prefix};
    listing->names[listing->count] = arena_copy(&listing->arena, name);
    if (listing->names[listing->count++].data == NULL)
        listing->failed = true;
    return !listing->failed;
}

static bool
is_listed(struct groups *groups, cairn_scope scope)
{
    for (size_t i = 0; i < groups->listed_count; i++)
        if (groups->listed[i] == scope)
            return true;
    return false;
}

/* Remember that the scope's groups are in memory: from now on every new one passes through here. A
 * lack of memory only means listing again. */
static void
set_listed(struct groups *groups, cairn_scope scope)
{
    pthread_mutex_lock(&groups->lock);
    if (!is_listed(groups, scope)) {
        cairn_scope *listed =
            realloc(groups->listed, (groups->listed_count + 1) * sizeof *listed);
        if (listed) {
            groups->listed = listed;
            listed[groups->listed_count++] = scope;
        }
    }
    pthread_mutex_unlock(&groups->lock);
}

cairn_err
groups_load_all(cairn_store *store, cairn_scope scope, cairn_error *error)
{
    struct groups *groups = store->groups;
    pthread_mutex_lock(&groups->lock);
    bool listed = is_listed(groups, scope);
    pthread_mutex_unlock(&groups->lock);
    if (listed)
        return CAIRN_OK;
    struct listing listing = {0};
    cairn_err err = store->ops->streams(store, scope, CAIRN_STR(GROUP_STATE_PREFIX),
                                        (cairn_str){0}, add_name, &listing, error);
    if (err == CAIRN_OK && listing.failed)
        err = error_set(error, CAIRN_E_NOMEM, "out of memory");
    for (size_t i = 0; err == CAIRN_OK && i < listing.count; i++) {
        struct group *group;
        err = group_acquire(store, scope, listing.names[i], &group, error);
        if (err == CAIRN_OK)
            group_release(group);
        else if (err == CAIRN_E_NOTFOUND)
            err = CAIRN_OK; /* deleted */
    }
    if (err == CAIRN_OK)
        set_listed(groups, scope);
    arena_free(&listing.arena);
    free(listing.names);
    return err;
}

static int
by_name(const void *a, const void *b)
{
    const struct group *x = *(struct group *const *)a, *y = *(struct group *const *)b;
    return cairn_str_order(group_name(x), group_name(y));
}

/* References to the groups in memory, of one scope or (NULL) of all. */
static cairn_err
collect(struct groups *groups, const cairn_scope *scope, struct group ***ret, size_t *ret_count)
{
    pthread_mutex_lock(&groups->lock);
    struct group **all = malloc((groups->count + 1) * sizeof(struct group *));
    size_t count = 0;
    for (size_t i = 0; all && i < BUCKETS; i++)
        for (struct group *group = groups->buckets[i]; group; group = group->next_in_bucket)
            if (scope == NULL || group->scope == *scope) {
                group->refs++;
                all[count++] = group;
            }
    pthread_mutex_unlock(&groups->lock);
    if (all == NULL)
        return CAIRN_E_NOMEM;
    *ret = all;
    *ret_count = count;
    return CAIRN_OK;
}

cairn_err
group_acquire_all(cairn_store *store, cairn_scope scope, struct group ***ret, size_t *ret_count,
                  cairn_error *error)
{
    if (store == NULL)
        return error_set(error, CAIRN_E_INVALID, "no store given");
    cairn_err err = groups_load_all(store, scope, error);
    if (err != CAIRN_OK)
        return err;
    err = collect(store->groups, &scope, ret, ret_count);
    if (err != CAIRN_OK)
        return error_set(error, err, "out of memory");
    qsort(*ret, *ret_count, sizeof **ret, by_name);
    return CAIRN_OK;
}

static void
checkpoint_all(struct groups *groups, bool always)
{
    struct group **all;
    size_t count;
    if (collect(groups, NULL, &all, &count) != CAIRN_OK)
        return;
    for (size_t i = 0; i < count; i++) {
        group_checkpoint(all[i], always);
        group_release(all[i]);
    }
    free(all);
}

void
groups_checkpoint_due(struct groups *groups)
{
    checkpoint_all(groups, false);
}

uint64_t
groups_memory(struct groups *groups)
{
    struct group **all;
    size_t count;
    if (collect(groups, NULL, &all, &count) != CAIRN_OK)
        return 0;
    uint64_t bytes = sizeof *groups;
    for (size_t i = 0; i < count; i++) {
        pthread_mutex_lock(&all[i]->lock);
        bytes += sizeof **all + all[i]->state.arena.used_bytes +
                 pending_memory(&all[i]->state.pending);
        pthread_mutex_unlock(&all[i]->lock);
        group_release(all[i]);
    }
    free(all);
    return bytes;
}

/* ---- the keeper --------------------------------------------------------------------------- */

/* A little more than a checkpoint's age, so that what woke the keeper is due when it looks. */
static struct timespec
next_look(void)
{
    /* The condition variable waits by the machine's own clock, whatever clock the store has. */
    int64_t at_us = os_monotonic_us(os_real()) + GROUP_CHECKPOINT_US + 50000;
    return (struct timespec){(time_t)(at_us / 1000000), (long)(at_us % 1000000) * 1000};
}

static bool
any_dirty(struct groups *groups)
{
    struct group **all;
    size_t count;
    bool dirty = false;
    if (collect(groups, NULL, &all, &count) != CAIRN_OK)
        return true;
    for (size_t i = 0; i < count; i++) {
        pthread_mutex_lock(&all[i]->lock);
        dirty |= all[i]->dirty;
        pthread_mutex_unlock(&all[i]->lock);
        group_release(all[i]);
    }
    free(all);
    return dirty;
}

static void *
keep(void *context)
{
    struct groups *groups = context;
    pthread_mutex_lock(&groups->keeper_lock);
    while (!groups->closing) {
        if (!groups->dirty) {
            pthread_cond_wait(&groups->keeper_wake, &groups->keeper_lock);
            continue;
        }
        struct timespec at = next_look();
        while (!groups->closing &&
               pthread_cond_timedwait(&groups->keeper_wake, &groups->keeper_lock, &at) == 0)
            ;
        if (groups->closing)
            break;
        groups->dirty = false;
        pthread_mutex_unlock(&groups->keeper_lock);
        checkpoint_all(groups, false);
        bool dirty = any_dirty(groups);
        pthread_mutex_lock(&groups->keeper_lock);
        groups->dirty |= dirty;
    }
    pthread_mutex_unlock(&groups->keeper_lock);
    return NULL;
}

void
groups_wake_keeper(struct groups *groups)
{
    if (groups->store->no_background || groups->store->read_only)
        return;
    pthread_mutex_lock(&groups->keeper_lock);
    if (!groups->keeper_begun) /* no thread to be had: acknowledgements still write checkpoints */
        groups->keeper_begun = os_thread_start(&groups->keeper, "cairn-groups", keep, groups) == 0;
    if (!groups->dirty) {
        groups->dirty = true;
        pthread_cond_signal(&groups->keeper_wake);
    }
    pthread_mutex_unlock(&groups->keeper_lock);
}

void
groups_free(struct groups *groups)
{
    if (groups == NULL)
        return;
    pthread_mutex_lock(&groups->keeper_lock);
    groups->closing = true;
    pthread_cond_signal(&groups->keeper_wake);
    pthread_mutex_unlock(&groups->keeper_lock);
    if (groups->keeper_begun)
        pthread_join(groups->keeper, NULL);
    checkpoint_all(groups, true);
    for (size_t i = 0; i < BUCKETS; i++)
        while (groups->buckets[i]) {
            struct group *group = groups->buckets[i];
            groups->buckets[i] = group->next_in_bucket;
            free_group(group);
        }
    pthread_mutex_destroy(&groups->lock);
    pthread_mutex_destroy(&groups->keeper_lock);
    pthread_cond_destroy(&groups->keeper_wake);
    free(groups->listed);
    free(groups);
}
