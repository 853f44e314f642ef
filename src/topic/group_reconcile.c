/* From what a member has to what it should have, a step with each heartbeat (KIP-848):
 *
 *   STABLE ──target moved on──► revokes first? ──yes──► UNREVOKED ──its heartbeat lists them no more──┐
 *     ▲                              │ no                                                             │
 *     │                              ▼                                                                ▼
 *     └──all that is to be added is free── takes what is free of what it should have ◄────────────────┘
 *                                    │ some has an owner still
 *                                    ▼
 *                               UNRELEASED: asks again with each heartbeat
 *
 * Who gives something away stays at its epoch until it has; then it is at the target's. */
#include <topic/group_consumer_int.h>

#include <assert.h>
#include <stdlib.h>

static struct member **
owner_of(const struct kgroup *group, uint64_t item)
{
    return &group->consumer->slots[item >> 32]->owners[(uint32_t)item];
}

static void
own(struct kgroup *group, const struct set *set, struct member *member)
{
    for (size_t i = 0; i < set->count; i++) {
        assert(*owner_of(group, set->items[i]) == NULL);
        *owner_of(group, set->items[i]) = member;
        group->consumer->slots[set->items[i] >> 32]->held++;
    }
}

static void
release(struct kgroup *group, const struct set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        *owner_of(group, set->items[i]) = NULL;
        group->consumer->slots[set->items[i] >> 32]->held--;
    }
}

void
release_all(struct kgroup *group, struct consumer *consumer)
{
    release(group, &consumer->assigned);
    release(group, &consumer->revoking);
    set_free(&consumer->assigned);
    set_free(&consumer->revoking);
}

/* The slot's index, or -1: none of ours. */
static int64_t
slot_index(const struct kgroup *group, const cairn_uuid *id)
{
    struct link *link = names_get(&group->consumer->slots_by_id, (cairn_str){(const char *)id->bytes, sizeof id->bytes});
    return link ? (int64_t)OWNER_OF(link, struct slot, by_id)->index : -1;
}

/* Does the member say that it has any of these still? When it does not say, it does. */
static bool
holds_any(const struct kgroup *group, const struct consumer_heartbeat *heartbeat, const struct set *set)
{
    if (heartbeat->owned == NULL)
        return true;
    for (size_t t = 0; set->count > 0 && t < heartbeat->owned_count; t++) {
        const struct topic_partitions *topic = &heartbeat->owned[t];
        int64_t slot = slot_index(group, &topic->topic_id);
        for (size_t p = 0; slot >= 0 && p < topic->count; p++)
            if (topic->partitions[p] >= 0 && set_has(set, (uint64_t)slot << 32 | (uint32_t)topic->partitions[p]))
                return true;
    }
    return false;
}

bool
owned_within(const struct kgroup *group, const struct consumer_heartbeat *heartbeat, const struct set *set)
{
    if (heartbeat->owned == NULL)
        return false;
    for (size_t t = 0; t < heartbeat->owned_count; t++) {
        const struct topic_partitions *topic = &heartbeat->owned[t];
        int64_t slot = slot_index(group, &topic->topic_id);
        for (size_t p = 0; p < topic->count; p++)
            if (slot < 0 || topic->partitions[p] < 0 || !set_has(set, (uint64_t)slot << 32 | (uint32_t)topic->partitions[p]))
                return false;
    }
    return true;
}

struct step {
    struct set keep, revoke, add, assigned;
    bool unreleased;
};

static void
step_free(struct step *step)
{
    set_free(&step->keep);
    set_free(&step->revoke);
    set_free(&step->add);
    set_free(&step->assigned);
}

static bool
plan_step(const struct kgroup *group, const struct member *member, struct step *ret)
{
    const struct consumer *consumer = member->consumer;
    for (size_t i = 0; i < consumer->assigned.count; i++) {
        uint64_t item = consumer->assigned.items[i];
        if (!set_put(set_has(&consumer->target, item) ? &ret->keep : &ret->revoke, item))
            return false;
    }
    for (size_t i = 0; i < consumer->target.count; i++) {
        uint64_t item = consumer->target.items[i];
        struct member *owner = *owner_of(group, item);
        ret->unreleased |= owner != NULL && owner != member;
        if (owner == NULL && !set_put(&ret->add, item))
            return false;
        if ((owner == NULL || owner == member) && !set_put(&ret->assigned, item))
            return false;
    }
    return true;
}

static void
move_to(struct consumer *consumer, int32_t epoch, enum reconciling state)
{
    if (consumer->epoch != epoch)
        consumer->previous_epoch = consumer->epoch;
    consumer->epoch = epoch;
    consumer->state = state;
}

/* What was being revoked has been: the caller has released it. */
static bool
next(struct turn *turn, struct member *member, const struct consumer_heartbeat *heartbeat, int32_t epoch, bool *ret_changed)
{
    struct kgroup *group = turn->group;
    struct consumer *consumer = member->consumer;
    struct step step = {0};
    if (!plan_step(group, member, &step)) {
        step_free(&step);
        return false;
    }
    assert(consumer->revoking.count == 0);
    struct set *now;
    if (step.revoke.count > 0 && holds_any(group, heartbeat, &step.revoke)) {
        consumer->revoking = step.revoke;
        step.revoke = (struct set){0};
        now = &step.keep;
        consumer->revoke_due_ms = turn->now_ms + member->rebalance_ms;
        timer_arm(turn->groups, &member->timer, consumer->revoke_due_ms);
        move_to(consumer, epoch, MEMBER_UNREVOKED);
    } else {
        release(group, &step.revoke);
        own(group, &step.add, member);
        now = &step.assigned;
        consumer->revoke_due_ms = NEVER;
        move_to(consumer, group->consumer->target_epoch, step.unreleased ? MEMBER_UNRELEASED : MEMBER_STABLE);
    }
    *ret_changed |= !set_equal(now, &consumer->assigned);
    set_free(&consumer->assigned);
    consumer->assigned = *now;
    *now = (struct set){0};
    step_free(&step);
    return true;
}

bool
reconcile(struct turn *turn, struct member *member, const struct consumer_heartbeat *heartbeat, bool *ret_changed)
{
    struct consumer *consumer = member->consumer;
    int32_t target_epoch = turn->group->consumer->target_epoch, epoch = consumer->epoch;
    switch (consumer->state) {
    case MEMBER_STABLE:
        return epoch == target_epoch || next(turn, member, heartbeat, epoch, ret_changed);
    case MEMBER_UNREVOKED:
        if (consumer->revoking.count > 0 && holds_any(turn->group, heartbeat, &consumer->revoking))
            return true;
        release(turn->group, &consumer->revoking);
        set_free(&consumer->revoking);
        return next(turn, member, heartbeat, epoch < target_epoch ? epoch + 1 : epoch, ret_changed);
    case MEMBER_UNRELEASED:
        return next(turn, member, heartbeat, epoch, ret_changed);
    }
    return true;
}
