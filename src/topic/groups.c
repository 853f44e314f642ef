/* The table of groups, visits to them, and the answers that are given after a visit. How it works: groups_int.h. */
#include <topic/groups_int.h>

#include <assert.h>
#include <base/error.h>
#include <base/hash.h>
#include <stdlib.h>

#define SWEEP_MS 10000 /* a full table is looked through for empty groups at most this often */

bool
str_copy(cairn_str text, cairn_str *ret)
{
    char *copy = text.size > 0 ? malloc(text.size) : NULL;
    if (text.size > 0 && copy == NULL)
        return false;
    if (text.size > 0)
        memcpy(copy, text.data, text.size);
    *ret = (cairn_str){copy, text.size};
    return true;
}

void
str_free(cairn_str *text)
{
    free((char *)(uintptr_t)text->data);
    *text = (cairn_str){0};
}

/* ---- answers ------------------------------------------------------------------------------------------------------------------ */

struct answer *
answer_new(enum answer_kind kind, void *context)
{
    struct answer *answer = calloc(1, sizeof *answer);
    if (answer != NULL) {
        answer->kind = kind;
        answer->context = context;
    }
    return answer;
}

static struct answer **
waiting_bucket(struct groups_broker *groups, const void *context)
{
    return &groups->waiting[hash64(&context, sizeof context, 0) % WAITING_BUCKETS];
}

void
answer_wait(struct turn *turn, struct answer *answer, struct member *member)
{
    struct groups_broker *groups = turn->groups;
    answer->group = turn->group;
    answer->member = member;
    pthread_mutex_lock(&groups->waiting_lock);
    answer->waiting_at = waiting_bucket(groups, answer->context);
    answer->waiting_next = *answer->waiting_at;
    if (answer->waiting_next != NULL)
        answer->waiting_next->waiting_at = &answer->waiting_next;
    *answer->waiting_at = answer;
    pthread_mutex_unlock(&groups->waiting_lock);
}

/* Under the lock of those who wait. */
static void
wait_no_more(struct answer *answer)
{
    if (answer->waiting_at == NULL)
        return;
    *answer->waiting_at = answer->waiting_next;
    if (answer->waiting_next != NULL)
        answer->waiting_next->waiting_at = answer->waiting_at;
    answer->waiting_at = NULL;
    answer->waiting_next = NULL;
}

void
answer_give(struct turn *turn, struct answer *answer)
{
    pthread_mutex_lock(&turn->groups->waiting_lock);
    wait_no_more(answer);
    pthread_mutex_unlock(&turn->groups->waiting_lock);
    answer->next = NULL;
    *turn->last = answer;
    turn->last = &answer->next;
}

static void
answer_free(struct answer *answer)
{
    arena_free(&answer->arena);
    free(answer);
}

static void
call_done(const struct answer *answer)
{
    switch (answer->kind) {
    case ANSWER_JOIN: answer->done.joined(answer->context, &answer->joined); break;
    case ANSWER_SYNC: answer->done.synced(answer->context, &answer->synced); break;
    }
}

static void
give_all(struct turn *turn)
{
    for (struct answer *answer = turn->first, *next; answer != NULL; answer = next) {
        next = answer->next;
        call_done(answer);
        answer_free(answer);
    }
    turn->first = NULL;
    turn->last = &turn->first;
}

/* The waiting table says which group it is; then, with the group's lock, whether it still waits. */
bool
groups_forget(struct groups_broker *groups, void *done_context)
{
    pthread_mutex_lock(&groups->waiting_lock);
    struct answer *answer = *waiting_bucket(groups, done_context);
    while (answer != NULL && answer->context != done_context)
        answer = answer->waiting_next;
    struct kgroup *group = answer ? answer->group : NULL;
    if (group != NULL)
        atomic_fetch_add(&group->refs, 1);
    pthread_mutex_unlock(&groups->waiting_lock);
    if (group == NULL)
        return false;
    struct turn turn = {.groups = groups, .group = group, .now_ms = atomic_load(&groups->now_ms), .last = &turn.first};
    pthread_mutex_lock(&group->lock);
    pthread_mutex_lock(&groups->waiting_lock);
    answer = *waiting_bucket(groups, done_context);
    while (answer != NULL && (answer->context != done_context || answer->group != group))
        answer = answer->waiting_next;
    if (answer != NULL)
        wait_no_more(answer);
    pthread_mutex_unlock(&groups->waiting_lock);
    if (answer != NULL) {
        classic_forget(&turn, answer);
        answer_free(answer);
    }
    bool was_waiting = answer != NULL;
    turn_end(&turn);
    return was_waiting;
}

/* ---- groups ------------------------------------------------------------------------------------------------------------------- */

static struct kgroup *
kgroup_new(struct groups_broker *groups, cairn_str name)
{
    struct kgroup *group = calloc(1, sizeof *group);
    if (group == NULL || !str_copy(name, &group->name) || !timers_reserve(&groups->timers, 2)) {
        if (group != NULL)
            str_free(&group->name);
        free(group);
        return NULL;
    }
    pthread_mutex_init(&group->lock, NULL);
    atomic_init(&group->refs, 1);
    group->rebalance = (struct timer){.group = group, .kind = TIMER_REBALANCE};
    group->sync = (struct timer){.group = group, .kind = TIMER_SYNC};
    group->rebalance_due_ms = group->sync_due_ms = NEVER;
    return group;
}

void
kgroup_release(struct kgroup *group)
{
    if (atomic_fetch_sub(&group->refs, 1) > 1)
        return;
    assert(group->dead && group->first == NULL);
    names_free(&group->by_id);
    names_free(&group->by_instance);
    free(group->tallies);
    str_free(&group->name);
    str_free(&group->protocol_type);
    str_free(&group->protocol);
    pthread_mutex_destroy(&group->lock);
    free(group);
}

struct kgroup *
kgroup_find(struct groups_broker *groups, cairn_str name)
{
    pthread_mutex_lock(&groups->table_lock);
    struct link *link = names_get(&groups->table, name);
    struct kgroup *group = link ? OWNER_OF(link, struct kgroup, by_name) : NULL;
    if (group != NULL)
        atomic_fetch_add(&group->refs, 1);
    pthread_mutex_unlock(&groups->table_lock);
    return group;
}

bool
kgroup_all(struct groups_broker *groups, struct kgroup ***ret, size_t *ret_count)
{
    pthread_mutex_lock(&groups->table_lock);
    size_t count = 0, buckets = groups->table.buckets ? groups->table.mask + 1 : 2;
    struct link **bucket = groups->table.buckets ? groups->table.buckets : groups->table.first;
    struct kgroup **all = malloc((groups->table.count + 1) * sizeof *all);
    for (size_t i = 0; all != NULL && i < buckets; i++) {
        for (struct link *link = bucket[i]; link != NULL; link = link->next) {
            all[count] = OWNER_OF(link, struct kgroup, by_name);
            atomic_fetch_add(&all[count++]->refs, 1);
        }
    }
    pthread_mutex_unlock(&groups->table_lock);
    *ret = all;
    *ret_count = count;
    return all != NULL;
}

void
kgroup_drop(struct groups_broker *groups, struct kgroup *group)
{
    assert(group->first == NULL && !group->dead);
    timer_cancel(groups, &group->rebalance);
    timer_cancel(groups, &group->sync);
    timers_give_back(&groups->timers, 2);
    consumer_group_free(groups, group);
    group->dead = true;
    pthread_mutex_lock(&groups->table_lock);
    names_remove(&groups->table, &group->by_name);
    pthread_mutex_unlock(&groups->table_lock);
    kgroup_release(group);
}

/* Room in a full table: groups that nobody is in are remembered as a kindness only. */
static void
sweep(struct groups_broker *groups, int64_t now_ms)
{
    struct kgroup **all;
    size_t count;
    pthread_mutex_lock(&groups->table_lock);
    bool early = groups->swept_ms != 0 && now_ms - groups->swept_ms < SWEEP_MS;
    if (!early)
        groups->swept_ms = now_ms;
    pthread_mutex_unlock(&groups->table_lock);
    if (early || !kgroup_all(groups, &all, &count))
        return;
    for (size_t i = 0; i < count; i++) {
        pthread_mutex_lock(&all[i]->lock);
        if (!all[i]->dead && all[i]->first == NULL)
            kgroup_drop(groups, all[i]);
        pthread_mutex_unlock(&all[i]->lock);
        kgroup_release(all[i]);
    }
    free(all);
}

/* There is one, or it is made; counted. */
static struct kgroup *
find_or_make(struct groups_broker *groups, cairn_str name, int64_t now_ms)
{
    struct kgroup *group = kgroup_find(groups, name);
    if (group != NULL)
        return group;
    struct kgroup *made = kgroup_new(groups, name);
    if (made == NULL)
        return NULL;
    for (int attempt = 0; attempt < 2; attempt++) {
        pthread_mutex_lock(&groups->table_lock);
        struct link *link = names_get(&groups->table, name);
        bool room = groups->table.count < groups->options.groups_max;
        if (link == NULL && room)
            names_put(&groups->table, &made->by_name, made->name);
        group = link ? OWNER_OF(link, struct kgroup, by_name) : room ? made : NULL;
        if (group != NULL)
            atomic_fetch_add(&group->refs, 1);
        pthread_mutex_unlock(&groups->table_lock);
        if (group != NULL)
            break;
        sweep(groups, now_ms);
    }
    if (group != made) {
        timers_give_back(&groups->timers, 2);
        made->dead = true;
        kgroup_release(made);
    }
    return group;
}

enum kafka_err
turn_begin(struct turn *turn, struct groups_broker *groups, cairn_str name, int64_t now_ms, bool create)
{
    *turn = (struct turn){.groups = groups, .now_ms = now_ms, .last = &turn->first};
    int64_t known = atomic_load(&groups->now_ms);
    while (known < now_ms && !atomic_compare_exchange_weak(&groups->now_ms, &known, now_ms))
        ;
    for (;;) {
        struct kgroup *group = create ? find_or_make(groups, name, now_ms) : kgroup_find(groups, name);
        if (group == NULL)
            return create ? KAFKA_COORDINATOR_NOT_AVAILABLE : KAFKA_GROUP_ID_NOT_FOUND;
        pthread_mutex_lock(&group->lock);
        if (!group->dead) {
            turn->group = group;
            return KAFKA_NONE;
        }
        pthread_mutex_unlock(&group->lock); /* deleted between the table and its lock */
        kgroup_release(group);
    }
}

/* A group that never came to be one (nobody joined with the id that he was given) is forgotten. */
void
turn_end(struct turn *turn)
{
    struct kgroup *group = turn->group;
    if (group != NULL) {
        if (!group->dead && group->first == NULL && group->generation == 0 && group->consumer == NULL
            && group->state == STATE_EMPTY)
            kgroup_drop(turn->groups, group);
        pthread_mutex_unlock(&group->lock);
        kgroup_release(group);
        turn->group = NULL;
    }
    give_all(turn);
}

/* ---- memory --------------------------------------------------------------------------------------------------------------------- */

bool
bytes_take(struct turn *turn, size_t bytes)
{
    struct groups_broker *groups = turn->groups;
    size_t most = groups->options.bytes_max, used = atomic_load(&groups->bytes);
    do {
        if (bytes > most || used > most - bytes) {
            turn->full = true;
            return false;
        }
    } while (!atomic_compare_exchange_weak(&groups->bytes, &used, used + bytes));
    return true;
}

void
bytes_give(struct groups_broker *groups, size_t bytes)
{
    size_t used = atomic_fetch_sub(&groups->bytes, bytes);
    assert(used >= bytes);
    (void)used;
}

size_t
groups_bytes(const struct groups_broker *groups)
{
    return atomic_load(&groups->bytes);
}

/* ---- the whole ------------------------------------------------------------------------------------------------------------------ */

static void
fill_defaults(struct groups_options *options)
{
    static const struct groups_options defaults = {
        .session_timeout_min_ms = 6000, .session_timeout_max_ms = 1800000, .initial_delay_ms = 100, .members_max = 10000,
        .groups_max = 100000, .bytes_max = (size_t)256 << 20, .metadata_max = 4096, .offsets_retention_minutes = 10080,
        .consumer_session_timeout_ms = 45000, .consumer_heartbeat_ms = 5000,
    };
#define FILL(field) options->field = options->field ? options->field : defaults.field
    FILL(session_timeout_min_ms);
    FILL(session_timeout_max_ms);
    FILL(initial_delay_ms);
    FILL(members_max);
    FILL(groups_max);
    FILL(bytes_max);
    FILL(metadata_max);
    FILL(offsets_retention_minutes);
    FILL(consumer_session_timeout_ms);
    FILL(consumer_heartbeat_ms);
#undef FILL
}

cairn_err
groups_new_on(cairn_store *store, cairn_scope scope, const struct groups_topics *topics, const struct groups_options *options,
              struct groups_broker **ret, cairn_error *error)
{
    struct groups_broker *groups = calloc(1, sizeof *groups);
    if (groups == NULL || (groups->offsets = offsets_new()) == NULL) {
        free(groups);
        return error_set(error, CAIRN_E_NOMEM, "out of memory");
    }
    groups->store = store;
    groups->scope = scope;
    groups->topics = *topics;
    if (options != NULL)
        groups->options = *options;
    fill_defaults(&groups->options);
    pthread_mutex_init(&groups->table_lock, NULL);
    pthread_mutex_init(&groups->timers.lock, NULL);
    pthread_mutex_init(&groups->waiting_lock, NULL);
    pthread_mutex_init(&groups->topics_lock, NULL);
    *ret = groups;
    return CAIRN_OK;
}

static void
close_group(struct groups_broker *groups, struct kgroup *group)
{
    struct turn turn = {.groups = groups, .group = group, .now_ms = atomic_load(&groups->now_ms), .last = &turn.first};
    pthread_mutex_lock(&group->lock);
    while (group->first != NULL) {
        struct member *member = group->first;
        if (member->join != NULL)
            answer_join_error(&turn, member->join, KAFKA_NOT_COORDINATOR, member->id);
        if (member->sync != NULL)
            answer_sync_error(&turn, member->sync, KAFKA_NOT_COORDINATOR);
        member_free(&turn, member);
    }
    kgroup_drop(groups, group);
    turn_end(&turn);
}

/* Counted; needs no memory. Nobody else calls any more. */
static struct kgroup *
any_group(struct groups_broker *groups)
{
    size_t buckets = groups->table.buckets ? groups->table.mask + 1 : 2;
    struct link **bucket = groups->table.buckets ? groups->table.buckets : groups->table.first;
    for (size_t i = 0; i < buckets; i++) {
        if (bucket[i] != NULL) {
            struct kgroup *group = OWNER_OF(bucket[i], struct kgroup, by_name);
            atomic_fetch_add(&group->refs, 1);
            return group;
        }
    }
    return NULL;
}

void
groups_close(struct groups_broker *groups)
{
    if (groups == NULL)
        return;
    for (struct kgroup *group; (group = any_group(groups)) != NULL;)
        close_group(groups, group);
    offsets_free(groups->offsets); /* waits for appends that are under way */
    topics_seen_release(groups->seen);
    assert(atomic_load(&groups->bytes) == 0);
    names_free(&groups->table);
    free(groups->timers.heap);
    pthread_mutex_destroy(&groups->table_lock);
    pthread_mutex_destroy(&groups->timers.lock);
    pthread_mutex_destroy(&groups->waiting_lock);
    pthread_mutex_destroy(&groups->topics_lock);
    free(groups);
}

static void
handle(struct turn *turn, struct timer *timer)
{
    if (turn->group->type == GROUP_CONSUMER)
        consumer_timer(turn, timer);
    else
        classic_timer(turn, timer);
}

void
groups_tick(struct groups_broker *groups, int64_t now_ms)
{
    int64_t known = atomic_load(&groups->now_ms);
    while (known < now_ms && !atomic_compare_exchange_weak(&groups->now_ms, &known, now_ms))
        ;
    for (struct kgroup *group; (group = timers_take_group(groups, now_ms)) != NULL;) {
        struct turn turn = {.groups = groups, .group = group, .now_ms = now_ms, .last = &turn.first};
        pthread_mutex_lock(&group->lock);
        for (struct timer *timer; (timer = timers_take_due(groups, group)) != NULL;)
            handle(&turn, timer);
        turn_end(&turn);
    }
}
