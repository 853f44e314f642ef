/* Looking at groups, deleting them and their offsets, and who may commit. Those that are not in memory are in the log: they have
 * offsets, and no members. */
#include <topic/groups_int.h>

#include <stdlib.h>

#define EXPIRE_EVERY_MS 600000 /* every offset of every group without members is looked at: not more often, however often asked */

static enum kafka_err
begin_now(struct turn *turn, struct groups_broker *groups, cairn_str name)
{
    return turn_begin(turn, groups, name, atomic_load(&groups->now_ms), false);
}

/* ---- who may commit ------------------------------------------------------------------------------------------------------------- */

static enum kafka_err
may_commit(struct groups_broker *groups, cairn_str group, cairn_str member_id, cairn_str instance_id, int32_t generation,
           bool transactional)
{
    struct turn turn;
    if (group.size > GROUP_ID_MAX)
        return KAFKA_INVALID_GROUP_ID;
    if (begin_now(&turn, groups, group) != KAFKA_NONE) /* a member of what was before a restart joins again upon this */
        return generation < 0 ? KAFKA_NONE : member_id.size > 0 ? KAFKA_UNKNOWN_MEMBER_ID : KAFKA_ILLEGAL_GENERATION;
    struct member *member = member_by_id(turn.group, member_id);
    bool consumer = turn.group->type == GROUP_CONSUMER;
    enum kafka_err err = consumer ? consumer_may_commit(turn.group, member_id, generation)
                                  : classic_may_commit(turn.group, member_id, instance_id, generation, transactional);
    if (err == KAFKA_NONE && member != NULL && !member->pending && !consumer)
        session_renew(&turn, member);
    turn_end(&turn);
    return err;
}

enum kafka_err
groups_may_commit(struct groups_broker *groups, cairn_str group, cairn_str member_id, cairn_str instance_id,
                  int32_t generation_or_epoch)
{
    return may_commit(groups, group, member_id, instance_id, generation_or_epoch, false);
}

/* The broker writes these offsets itself. */
enum kafka_err
groups_may_commit_transaction(struct groups_broker *groups, cairn_str group, cairn_str member_id, cairn_str instance_id,
                              int32_t generation_or_epoch)
{
    enum kafka_err err = may_commit(groups, group, member_id, instance_id, generation_or_epoch, true);
    if (err == KAFKA_NONE)
        offsets_announce(groups, group);
    return err;
}

enum kafka_err
groups_may_fetch(struct groups_broker *groups, cairn_str group, cairn_str member_id, int32_t epoch)
{
    struct turn turn;
    if (member_id.size == 0 && epoch < 0)
        return KAFKA_NONE;
    if (begin_now(&turn, groups, group) != KAFKA_NONE)
        return KAFKA_UNKNOWN_MEMBER_ID;
    struct member *member = member_by_id(turn.group, member_id);
    enum kafka_err err = turn.group->type == GROUP_CONSUMER ? consumer_may_commit(turn.group, member_id, epoch)
                         : member != NULL && !member->pending ? KAFKA_NONE
                                                              : KAFKA_UNKNOWN_MEMBER_ID;
    turn_end(&turn);
    return err;
}

/* ---- describing ------------------------------------------------------------------------------------------------------------------- */

static const char *
state_name(const struct kgroup *group)
{
    static const char *const names[] = {"Empty", "PreparingRebalance", "CompletingRebalance", "Stable"};
    return group->type == GROUP_CONSUMER ? consumer_state(group) : names[group->state];
}

static bool
copy_str(struct arena *arena, cairn_str text, cairn_str *ret)
{
    *ret = arena_copy(arena, text);
    return ret->data != NULL;
}

static bool
describe_whole(const struct kgroup *group, struct arena *arena, struct group_info *ret)
{
    const bool consumer = group->type == GROUP_CONSUMER;
    *ret = (struct group_info){.state = cairn_cstr(state_name(group)), .generation = group->generation,
                               .type = consumer ? "consumer" : "classic"};
    return copy_str(arena, group->name, &ret->group)
           && copy_str(arena, consumer ? CAIRN_STR("consumer") : group->protocol_type, &ret->protocol_type)
           && copy_str(arena, group->protocol, &ret->protocol);
}

/* What the members told their leader, and what it gave them, is of a stable group only. */
static bool
describe_member(const struct kgroup *group, const struct member *member, struct arena *arena, struct group_member_info *ret)
{
    bool stable = group->state == STATE_STABLE;
    *ret = (struct group_member_info){0};
    return copy_str(arena, member->id, &ret->member_id) && copy_str(arena, member->instance_id, &ret->instance_id)
           && copy_str(arena, member->client_id, &ret->client_id) && copy_str(arena, member->client_host, &ret->client_host)
           && (!stable || (copy_str(arena, classic_metadata(group, member), &ret->metadata)
                           && copy_str(arena, member->assignment, &ret->assignment)));
}

static enum kafka_err
describe_classic(const struct kgroup *group, struct arena *arena, struct group_info *ret)
{
    struct group_member_info *members = arena_alloc(arena, (group->member_count + 1) * sizeof *members);
    bool described = members != NULL;
    for (struct member *member = member_first(group); described && member != NULL; member = member_after(member))
        described = describe_member(group, member, arena, &members[ret->member_count++]);
    ret->members = members;
    return described ? KAFKA_NONE : KAFKA_COORDINATOR_NOT_AVAILABLE;
}

static enum kafka_err
describe_offsets_only(struct groups_broker *groups, cairn_str group, struct arena *arena, struct group_info *ret)
{
    bool any;
    *ret = (struct group_info){.state = CAIRN_STR("Empty"), .type = "classic"};
    enum kafka_err err = offsets_any(groups, group, &any);
    if (err == KAFKA_NONE && !any)
        return KAFKA_GROUP_ID_NOT_FOUND;
    if (err == KAFKA_NONE && !copy_str(arena, group, &ret->group))
        err = KAFKA_COORDINATOR_NOT_AVAILABLE;
    return err;
}

enum kafka_err
groups_describe(struct groups_broker *groups, cairn_str group, struct arena *arena, struct group_info *ret)
{
    struct turn turn;
    if (begin_now(&turn, groups, group) != KAFKA_NONE)
        return describe_offsets_only(groups, group, arena, ret);
    enum kafka_err err = describe_whole(turn.group, arena, ret) ? KAFKA_NONE : KAFKA_COORDINATOR_NOT_AVAILABLE;
    if (err == KAFKA_NONE)
        err = turn.group->type == GROUP_CONSUMER ? consumer_describe(turn.group, arena, ret)
                                                 : describe_classic(turn.group, arena, ret);
    turn_end(&turn);
    return err;
}

struct listing {
    struct groups_broker *groups;
    group_visit visit;
    void *context;
};

static bool
list_from_log(void *context, cairn_str name)
{
    struct listing *listing = context;
    struct kgroup *group = kgroup_find(listing->groups, name);
    bool any = false;
    if (group != NULL) {
        kgroup_release(group);
        return true;
    }
    if (offsets_any(listing->groups, name, &any) != KAFKA_NONE || !any)
        return true;
    return listing->visit(listing->context, &(struct group_info){.group = name, .state = CAIRN_STR("Empty"), .type = "classic"});
}

void
groups_list(struct groups_broker *groups, group_visit visit, void *context)
{
    struct kgroup **all;
    size_t count;
    struct arena arena = {0};
    bool more = true;
    if (!kgroup_all(groups, &all, &count))
        return;
    for (size_t i = 0; i < count; i++) {
        struct group_info info;
        arena_reset(&arena);
        pthread_mutex_lock(&all[i]->lock);
        bool described = more && !all[i]->dead && describe_whole(all[i], &arena, &info);
        pthread_mutex_unlock(&all[i]->lock);
        kgroup_release(all[i]);
        if (described)
            more = visit(context, &info);
    }
    free(all);
    arena_free(&arena);
    if (more)
        (void)offsets_groups(groups, list_from_log, &(struct listing){groups, visit, context});
}

/* ---- deleting ----------------------------------------------------------------------------------------------------------------------- */

struct gathered {
    struct arena arena;
    struct topic_partition *partitions;
    int64_t *revisions;
    size_t count, capacity;
    bool failed;
    int64_t now_ms, since_ms; /* expiry: only what was committed before, or has a time of its own that is over */
    bool all;                 /* … or whatever there is, and what comes meanwhile */
    size_t kept;
};

static bool
gather(void *context, const struct offset_commit *commit)
{
    struct gathered *gathered = context;
    bool over = commit->expire_time_ms >= 0 ? commit->expire_time_ms <= gathered->now_ms
                                            : commit->commit_time_ms <= gathered->since_ms;
    if (!gathered->all && !over) {
        gathered->kept++;
        return true;
    }
    if (gathered->count == gathered->capacity) {
        size_t capacity = gathered->capacity ? gathered->capacity * 2 : 64;
        struct topic_partition *larger = realloc(gathered->partitions, capacity * sizeof *larger);
        if (larger != NULL)
            gathered->partitions = larger;
        int64_t *revisions = realloc(gathered->revisions, capacity * sizeof *revisions);
        if (revisions != NULL)
            gathered->revisions = revisions;
        if (larger == NULL || revisions == NULL)
            return !(gathered->failed = true);
        gathered->capacity = capacity;
    }
    gathered->revisions[gathered->count] = commit->revision;
    struct topic_partition *partition = &gathered->partitions[gathered->count];
    *partition = (struct topic_partition){arena_copy(&gathered->arena, commit->topic), commit->partition};
    gathered->failed = partition->topic.data == NULL;
    gathered->count++;
    return !gathered->failed;
}

static enum kafka_err
delete_gathered(struct groups_broker *groups, cairn_str group, struct gathered *gathered)
{
    enum kafka_err err = groups_offsets(groups, group, gather, gathered);
    if (err == KAFKA_NONE && gathered->failed)
        err = KAFKA_COORDINATOR_NOT_AVAILABLE;
    if (err == KAFKA_NONE && gathered->count > 0)
        err = offsets_delete(groups, group, gathered->partitions, gathered->all ? NULL : gathered->revisions, gathered->count,
                             gathered->kept == 0);
    free(gathered->partitions);
    free(gathered->revisions);
    arena_free(&gathered->arena);
    return err;
}

/* Out of memory, unless somebody is in it. Who only has an id may come again with it, and is told that it is unknown. */
static enum kafka_err
drop_if_empty(struct turn *turn)
{
    struct kgroup *group = turn->group;
    if (member_first(group) != NULL || group->state != STATE_EMPTY)
        return KAFKA_NON_EMPTY_GROUP;
    while (group->first != NULL)
        drop_member(turn, group->first);
    kgroup_drop(turn->groups, group);
    return KAFKA_NONE;
}

enum kafka_err
groups_delete(struct groups_broker *groups, cairn_str group)
{
    struct turn turn;
    struct gathered gathered = {.all = true};
    enum kafka_err err = begin_now(&turn, groups, group);
    bool existed = err == KAFKA_NONE;
    if (existed) {
        existed = turn.group->generation > 0 || turn.group->type == GROUP_CONSUMER;
        err = drop_if_empty(&turn);
        turn_end(&turn);
        if (err != KAFKA_NONE)
            return err;
    }
    err = delete_gathered(groups, group, &gathered);
    return err == KAFKA_NONE && gathered.count == 0 && !existed ? KAFKA_GROUP_ID_NOT_FOUND : err;
}

/* Of clients whose assignors are not the usual consumers' nobody can say what they are subscribed to. */
static enum kafka_err
check_subscribed(struct kgroup *group, const struct topic_partition *partitions, size_t count, enum kafka_err *ret_errs)
{
    bool consumer = group->type == GROUP_CONSUMER;
    if (!consumer && group->member_count > 0 && !cairn_str_equal(group->protocol_type, CAIRN_STR("consumer")))
        return KAFKA_NON_EMPTY_GROUP;
    for (size_t i = 0; i < count; i++) {
        bool subscribed = consumer && consumer_subscribed(group, partitions[i].topic);
        struct member *member = consumer ? NULL : member_first(group);
        for (; member != NULL && !subscribed; member = member_after(member))
            for (size_t p = 0; p < member->protocols->count; p++)
                subscribed |= subscription_has(member->protocols->items[p].metadata, partitions[i].topic);
        if (subscribed)
            ret_errs[i] = KAFKA_GROUP_SUBSCRIBED_TO_TOPIC;
    }
    return KAFKA_NONE;
}

enum kafka_err
groups_offset_delete(struct groups_broker *groups, cairn_str group, const struct topic_partition *partitions, size_t count,
                     enum kafka_err *ret_errs)
{
    struct turn turn;
    bool any = true;
    enum kafka_err err = KAFKA_NONE;
    for (size_t i = 0; i < count; i++)
        ret_errs[i] = KAFKA_NONE;
    if (begin_now(&turn, groups, group) == KAFKA_NONE) {
        err = check_subscribed(turn.group, partitions, count, ret_errs);
        turn_end(&turn);
    } else if ((err = offsets_any(groups, group, &any)) == KAFKA_NONE && !any) {
        err = KAFKA_GROUP_ID_NOT_FOUND;
    }
    struct topic_partition *allowed = err == KAFKA_NONE ? malloc((count + 1) * sizeof *allowed) : NULL;
    size_t allowed_count = 0;
    if (err == KAFKA_NONE && allowed == NULL)
        err = KAFKA_COORDINATOR_NOT_AVAILABLE;
    for (size_t i = 0; err == KAFKA_NONE && i < count; i++)
        if (ret_errs[i] == KAFKA_NONE)
            allowed[allowed_count++] = partitions[i];
    if (err == KAFKA_NONE && allowed_count > 0)
        err = offsets_delete(groups, group, allowed, NULL, allowed_count, false);
    free(allowed);
    return err;
}

/* ---- expiry --------------------------------------------------------------------------------------------------------------------------- */

struct expiring {
    struct groups_broker *groups;
    int64_t now_ms, retention_ms;
};

/* Has it members, or had it since the last look? Under its lock. */
static bool
look_busy(struct kgroup *group, int64_t now_ms)
{
    bool busy = group->first != NULL || group->entered;
    group->entered = false;
    if (busy)
        group->seen_wall_ms = now_ms;
    return busy;
}

/* The time runs from the commit, or from when the group was last seen with members, whichever is later. Which groups had members
 * before this program began is not written down, and those that have may not have come back yet: they count as seen then. */
static bool
expire_group(void *context, cairn_str name)
{
    struct expiring *expiring = context;
    struct kgroup *group = kgroup_find(expiring->groups, name);
    int64_t seen_ms = atomic_load(&expiring->groups->opened_ms);
    bool busy = false;
    if (group != NULL) {
        pthread_mutex_lock(&group->lock);
        busy = look_busy(group, expiring->now_ms);
        if (seen_ms < group->seen_wall_ms)
            seen_ms = group->seen_wall_ms;
        pthread_mutex_unlock(&group->lock);
        kgroup_release(group);
    }
    if (busy || seen_ms > expiring->now_ms - expiring->retention_ms)
        return true;
    struct gathered gathered = {.now_ms = expiring->now_ms, .since_ms = expiring->now_ms - expiring->retention_ms};
    (void)delete_gathered(expiring->groups, name, &gathered); /* what fails now is tried again the next time */
    return true;
}

/* Groups that nobody is in and that have no offsets are forgotten. */
static void
forget_empty(struct groups_broker *groups, const struct expiring *expiring)
{
    struct kgroup **all;
    size_t count;
    if (!kgroup_all(groups, &all, &count))
        return;
    for (size_t i = 0; i < count; i++) {
        bool any = true;
        pthread_mutex_lock(&all[i]->lock);
        bool candidate = !look_busy(all[i], expiring->now_ms) && !all[i]->dead
                         && all[i]->seen_wall_ms <= expiring->now_ms - expiring->retention_ms;
        pthread_mutex_unlock(&all[i]->lock);
        if (candidate && offsets_any(groups, all[i]->name, &any) == KAFKA_NONE && !any) {
            pthread_mutex_lock(&all[i]->lock);
            if (!all[i]->dead && all[i]->first == NULL && all[i]->state == STATE_EMPTY)
                kgroup_drop(groups, all[i]);
            pthread_mutex_unlock(&all[i]->lock);
        }
        kgroup_release(all[i]);
    }
    free(all);
}

void
groups_expire(struct groups_broker *groups, int64_t wall_now_us)
{
    struct expiring expiring = {groups, wall_now_us / 1000, (int64_t)groups->options.offsets_retention_minutes * 60000};
    int64_t last_ms = atomic_load(&groups->expired_ms), since_ms = expiring.now_ms - last_ms;
    if (last_ms > 0 && since_ms >= 0 && since_ms < EXPIRE_EVERY_MS)
        return;
    if (last_ms == 0)
        atomic_store(&groups->opened_ms, expiring.now_ms);
    atomic_store(&groups->expired_ms, expiring.now_ms);
    (void)offsets_groups(groups, expire_group, &expiring);
    forget_empty(groups, &expiring);
}
