/* The classic protocol's generations: gathering the members, choosing the protocol, telling them, and waiting for the leader.
 *
 *   maybe_prepare_rebalance   Empty, Stable, CompletingRebalance → PreparingRebalance: everybody has to join again
 *   complete_join             PreparingRebalance → CompletingRebalance (or Empty): who has not joined is out
 *   sync_timer                CompletingRebalance, Stable → PreparingRebalance without those who never asked what they are assigned
 *
 * A group that was empty waits a little for more members to come, at most as long as a rebalance may take: otherwise the start
 * of n consumers would be n rebalances. Static members (KIP-345) stay although they do not rejoin: only their session ends
 * them. All under the group's lock. */
#include <topic/groups_int.h>

#include <assert.h>
#include <stdlib.h>

#define MEMORY_RETRY_MS 100

/* ---- which protocols the members know --------------------------------------------------------------------------------------- */

static struct tally *
tally_of(const struct kgroup *group, cairn_str name)
{
    for (size_t i = 0; i < group->tally_count; i++)
        if (cairn_str_equal(group->tallies[i].name, name))
            return &group->tallies[i];
    return NULL;
}

bool
tally_reserve(struct kgroup *group, size_t more)
{
    size_t needed = group->tally_count + more;
    if (needed <= group->tally_capacity)
        return true;
    size_t capacity = needed < 8 ? 8 : needed * 2;
    struct tally *tallies = realloc(group->tallies, capacity * sizeof *tallies);
    if (tallies == NULL)
        return false;
    group->tallies = tallies;
    group->tally_capacity = capacity;
    return true;
}

/* The name is borrowed from a member that bears it; tally_take() finds another one when that goes. */
void
tally_count_in(struct kgroup *group, const struct protocols *protocols)
{
    for (size_t i = 0; i < protocols->count; i++) {
        struct tally *tally = tally_of(group, protocols->items[i].name);
        if (tally == NULL) {
            assert(group->tally_count < group->tally_capacity);
            tally = &group->tallies[group->tally_count++];
            *tally = (struct tally){.name = protocols->items[i].name};
        }
        tally->members++;
    }
}

static bool
borrow_elsewhere(struct kgroup *group, struct tally *tally, const struct protocols *leaving)
{
    for (struct member *member = member_first(group); member != NULL; member = member_after(member)) {
        for (size_t i = 0; member->protocols != leaving && i < member->protocols->count; i++) {
            if (cairn_str_equal(member->protocols->items[i].name, tally->name)) {
                tally->name = member->protocols->items[i].name;
                return true;
            }
        }
    }
    return false;
}

void
tally_take(struct kgroup *group, const struct protocols *protocols)
{
    for (size_t i = 0; i < protocols->count; i++) {
        struct tally *tally = tally_of(group, protocols->items[i].name);
        tally->members--;
        if (tally->members == 0)
            *tally = group->tallies[--group->tally_count];
        else if (tally->name.data == protocols->items[i].name.data && !borrow_elsewhere(group, tally, protocols))
            assert(!"a counted protocol is some member's");
    }
}

bool
protocols_fit(const struct kgroup *group, const struct group_protocol *items, size_t count)
{
    if (group->member_count == 0)
        return count > 0;
    for (size_t i = 0; i < count; i++) {
        const struct tally *tally = tally_of(group, items[i].name);
        if (tally != NULL && tally->members == group->member_count)
            return true;
    }
    return false;
}

/* Every member votes for the first on its list that all know; most votes win, the earlier one in the first member's list
 * where there are as many. */
cairn_str
select_protocol(struct kgroup *group)
{
    struct tally *best = NULL;
    for (size_t i = 0; i < group->tally_count; i++)
        group->tallies[i].votes = 0;
    for (struct member *member = member_first(group); member != NULL; member = member_after(member)) {
        for (size_t i = 0; i < member->protocols->count; i++) {
            struct tally *tally = tally_of(group, member->protocols->items[i].name);
            if (tally->members == group->member_count) {
                tally->votes++;
                break;
            }
        }
    }
    struct member *first = member_first(group);
    for (size_t i = 0; first != NULL && i < first->protocols->count; i++) {
        struct tally *tally = tally_of(group, first->protocols->items[i].name);
        if (tally->members == group->member_count && (best == NULL || tally->votes > best->votes))
            best = tally;
    }
    return best ? best->name : (cairn_str){0};
}

/* ---- answers ------------------------------------------------------------------------------------------------------------------ */

void
answer_join_error(struct turn *turn, struct answer *answer, enum kafka_err err, cairn_str member_id)
{
    if (answer->member != NULL && answer->member->join == answer)
        answer->member->join = NULL;
    cairn_str copy = arena_copy(&answer->arena, member_id);
    answer->joined = (struct group_joined){.err = err, .generation = -1,
                                           .member_id = copy.data ? copy : (cairn_str){0}};
    answer_give(turn, answer);
}

void
answer_sync_error(struct turn *turn, struct answer *answer, enum kafka_err err)
{
    if (answer->member != NULL && answer->member->sync == answer)
        answer->member->sync = NULL;
    answer->synced = (struct group_synced){.err = err};
    answer_give(turn, answer);
}

static bool
copy_into(struct answer *answer, cairn_str text, cairn_str *ret)
{
    *ret = arena_copy(&answer->arena, text);
    return ret->data != NULL;
}

static bool
copy_members(const struct kgroup *group, struct answer *answer)
{
    struct group_member_view *views = arena_alloc(&answer->arena, (group->member_count + 1) * sizeof *views);
    size_t count = 0;
    if (views == NULL)
        return false;
    for (struct member *member = member_first(group); member != NULL; member = member_after(member)) {
        struct group_member_view *view = &views[count++];
        if (!copy_into(answer, member->id, &view->member_id) || !copy_into(answer, member->instance_id, &view->instance_id)
            || !copy_into(answer, classic_metadata(group, member), &view->metadata))
            return false;
    }
    answer->joined.members = views;
    answer->joined.member_count = count;
    return true;
}

void
answer_joined(struct turn *turn, struct member *member, struct answer *answer, bool with_members, cairn_str leader,
              bool skip_assignment)
{
    const struct kgroup *group = turn->group;
    struct group_joined *joined = &answer->joined;
    *joined = (struct group_joined){.generation = group->generation, .skip_assignment = skip_assignment};
    if (!copy_into(answer, group->protocol_type, &joined->protocol_type)
        || !copy_into(answer, group->protocol, &joined->protocol) || !copy_into(answer, leader, &joined->leader)
        || !copy_into(answer, member->id, &joined->member_id) || (with_members && !copy_members(group, answer))) {
        answer_join_error(turn, answer, KAFKA_COORDINATOR_NOT_AVAILABLE, member->id);
        return;
    }
    if (member->join == answer)
        member->join = NULL;
    answer_give(turn, answer);
}

void
answer_synced(struct turn *turn, struct member *member, struct answer *answer)
{
    const struct kgroup *group = turn->group;
    struct group_synced *synced = &answer->synced;
    *synced = (struct group_synced){.err = KAFKA_NONE};
    if (!copy_into(answer, group->protocol_type, &synced->protocol_type)
        || !copy_into(answer, group->protocol, &synced->protocol)
        || !copy_into(answer, member->assignment, &synced->assignment)) {
        answer_sync_error(turn, answer, KAFKA_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    if (member->sync == answer)
        member->sync = NULL;
    answer_give(turn, answer);
}

/* ---- members ------------------------------------------------------------------------------------------------------------------ */

void
set_joined(struct kgroup *group, struct member *member, bool joined)
{
    group->joined_count += (size_t)joined - (size_t)member->joined;
    member->joined = joined;
}

void
set_unsynced(struct kgroup *group, struct member *member, bool unsynced)
{
    group->unsynced_count += (size_t)unsynced - (size_t)member->unsynced;
    member->unsynced = unsynced;
}

void
session_renew(struct turn *turn, struct member *member)
{
    member_deadline(turn, member, turn->now_ms + member->session_ms);
}

void
drop_member(struct turn *turn, struct member *member)
{
    struct kgroup *group = turn->group;
    if (member->pending) {
        group->pending_count--;
        member_free(turn, member);
        return;
    }
    set_joined(group, member, false);
    set_unsynced(group, member, false);
    tally_take(group, member->protocols);
    group->member_count--;
    bool led = group->leader == member;
    member_free(turn, member);
    if (led)
        group->leader = member_first(group);
}

void
remove_member(struct turn *turn, struct member *member)
{
    if (member->join != NULL)
        answer_join_error(turn, member->join, KAFKA_UNKNOWN_MEMBER_ID, (cairn_str){0});
    if (member->sync != NULL)
        answer_sync_error(turn, member->sync, KAFKA_UNKNOWN_MEMBER_ID);
    bool pending = member->pending;
    drop_member(turn, member);
    if (!pending)
        maybe_prepare_rebalance(turn);
    complete_if_all_joined(turn);
}

static int64_t
rebalance_timeout(const struct kgroup *group)
{
    int64_t most_ms = 0;
    for (struct member *member = member_first(group); member != NULL; member = member_after(member))
        if (member->rebalance_ms > most_ms)
            most_ms = member->rebalance_ms;
    return most_ms;
}

/* ---- generations ---------------------------------------------------------------------------------------------------------------- */

static void
arm_rebalance(struct turn *turn, int64_t due_ms)
{
    turn->group->rebalance_due_ms = due_ms;
    timer_arm(turn->groups, &turn->group->rebalance, due_ms);
}

/* Assignments that were about to be handed out are void: those who wait for them join again. */
static void
cancel_syncs(struct turn *turn)
{
    for (struct member *member = member_first(turn->group); member != NULL; member = member_after(member)) {
        (void)member_assign(turn, member, (cairn_str){0});
        if (member->sync != NULL) {
            answer_sync_error(turn, member->sync, KAFKA_REBALANCE_IN_PROGRESS);
            session_renew(turn, member);
        }
    }
}

void
maybe_prepare_rebalance(struct turn *turn)
{
    struct kgroup *group = turn->group;
    if (group->state == STATE_PREPARING || (group->state == STATE_EMPTY && group->member_count == 0))
        return;
    if (group->state == STATE_COMPLETING)
        cancel_syncs(turn);
    for (struct member *member = member_first(group); member != NULL; member = member_after(member))
        set_unsynced(group, member, false);
    group->sync_due_ms = NEVER;
    int64_t timeout_ms = rebalance_timeout(group), delay_ms = turn->groups->options.initial_delay_ms;
    group->initial = group->state == STATE_EMPTY;
    group->member_added = false;
    group->initial_left_ms = timeout_ms > delay_ms ? timeout_ms - delay_ms : 0;
    group->state = STATE_PREPARING;
    arm_rebalance(turn, turn->now_ms + (group->initial ? delay_ms : timeout_ms));
    complete_if_all_joined(turn);
}

/* A leader that has not joined again leads no more. False: nobody has joined. */
static bool
elect(struct kgroup *group)
{
    if (group->leader != NULL && group->leader->joined)
        return true;
    for (struct member *member = member_first(group); member != NULL; member = member_after(member)) {
        if (member->joined) {
            group->leader = member;
            return true;
        }
    }
    return false;
}

static void
next_generation(struct kgroup *group)
{
    group->generation = group->generation == INT32_MAX ? 1 : group->generation + 1;
    group->rebalance_due_ms = NEVER;
}

static void
become_empty(struct turn *turn)
{
    struct kgroup *group = turn->group;
    next_generation(group);
    str_free(&group->protocol);
    group->leader = NULL;
    group->state = STATE_EMPTY;
}

static void
tell_members(struct turn *turn)
{
    struct kgroup *group = turn->group;
    group->unsynced_count = 0;
    for (struct member *member = member_first(group); member != NULL; member = member_after(member)) {
        if (member->join != NULL)
            answer_joined(turn, member, member->join, member == group->leader, group->leader->id, false);
        member->is_new = false;
        member->deadline_ms = NEVER; /* that of a new member was longer than a session */
        session_renew(turn, member);
        set_joined(group, member, false);
        member->unsynced = false;
        set_unsynced(group, member, true);
    }
}

/* Time is up, or all have joined. */
static void
complete_join(struct turn *turn)
{
    struct kgroup *group = turn->group;
    for (struct member *member = member_first(group), *next; member != NULL; member = next) {
        next = member_after(member);
        if (!member->joined && member->instance_id.size == 0)
            drop_member(turn, member);
    }
    if (group->member_count == 0) {
        become_empty(turn);
        return;
    }
    if (!elect(group)) {
        arm_rebalance(turn, turn->now_ms + rebalance_timeout(group)); /* only static ones are left: their sessions decide */
        return;
    }
    cairn_str protocol;
    if (!str_copy(select_protocol(group), &protocol)) {
        arm_rebalance(turn, turn->now_ms + MEMORY_RETRY_MS);
        return;
    }
    str_free(&group->protocol);
    group->protocol = protocol;
    next_generation(group);
    group->state = STATE_COMPLETING;
    tell_members(turn);
    group->sync_due_ms = turn->now_ms + rebalance_timeout(group);
    timer_arm(turn->groups, &group->sync, group->sync_due_ms);
}

void
complete_if_all_joined(struct turn *turn)
{
    struct kgroup *group = turn->group;
    if (group->state == STATE_PREPARING && !group->initial && group->member_count <= group->joined_count
        && group->pending_count == 0)
        complete_join(turn);
}

/* ---- time ------------------------------------------------------------------------------------------------------------------------ */

void
rebalance_timer(struct turn *turn)
{
    struct kgroup *group = turn->group;
    if (group->state != STATE_PREPARING || group->rebalance_due_ms == NEVER)
        return;
    if (turn->now_ms < group->rebalance_due_ms) {
        timer_arm(turn->groups, &group->rebalance, group->rebalance_due_ms);
        return;
    }
    if (group->initial && group->member_added && group->initial_left_ms > 0) {
        int64_t delay_ms = turn->groups->options.initial_delay_ms;
        if (delay_ms > group->initial_left_ms)
            delay_ms = group->initial_left_ms;
        group->initial_left_ms -= delay_ms;
        group->member_added = false;
        arm_rebalance(turn, turn->now_ms + delay_ms);
        return;
    }
    group->initial = false;
    complete_join(turn);
}

/* Who was told of the generation and never asked for an assignment holds up the others, or holds partitions for nothing. */
void
sync_timer(struct turn *turn)
{
    struct kgroup *group = turn->group;
    bool waits = group->state == STATE_COMPLETING || group->state == STATE_STABLE;
    if (!waits || group->sync_due_ms == NEVER || group->unsynced_count == 0)
        return;
    if (turn->now_ms < group->sync_due_ms) {
        timer_arm(turn->groups, &group->sync, group->sync_due_ms);
        return;
    }
    for (struct member *member = member_first(group), *next; member != NULL; member = next) {
        next = member_after(member);
        if (member->unsynced)
            drop_member(turn, member);
    }
    maybe_prepare_rebalance(turn);
}
