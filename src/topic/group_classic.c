/* The classic protocol's calls: joining, syncing, heartbeats, leaving; which error answers what is as Kafka's coordinator has it,
 * for that is what clients are written to. The generations themselves: group_rebalance.c. */
#include <topic/groups_int.h>

#include <stdlib.h>

/* ---- checks --------------------------------------------------------------------------------------------------------------------- */

static enum kafka_err
check_name(cairn_str group)
{
    return group.size == 0 || group.size > GROUP_ID_MAX ? KAFKA_INVALID_GROUP_ID : KAFKA_NONE;
}

static enum kafka_err
check_join(const struct groups_broker *groups, const struct group_join *join)
{
    const struct groups_options *options = &groups->options;
    size_t bytes = 0;
    enum kafka_err err = check_name(join->group);
    if (err != KAFKA_NONE)
        return err;
    if (join->session_timeout_ms < (int64_t)options->session_timeout_min_ms
        || join->session_timeout_ms > (int64_t)options->session_timeout_max_ms)
        return KAFKA_INVALID_SESSION_TIMEOUT;
    if (join->protocol_count > PROTOCOLS_MAX || join->instance_id.size > MEMBER_BASE_MAX
        || join->protocol_type.size > MEMBER_BASE_MAX)
        return KAFKA_INVALID_REQUEST;
    for (size_t i = 0; i < join->protocol_count; i++)
        bytes += join->protocols[i].name.size + join->protocols[i].metadata.size;
    return bytes > MEMBER_BYTES_MAX ? KAFKA_INVALID_REQUEST : KAFKA_NONE;
}

enum kafka_err
classic_member_check(const struct kgroup *group, cairn_str member_id, cairn_str instance_id, struct member **ret)
{
    struct member *member = member_by_id(group, member_id);
    if (instance_id.size > 0) {
        struct member *holder = member_by_instance(group, instance_id);
        if (holder == NULL)
            return KAFKA_UNKNOWN_MEMBER_ID;
        if (holder != member)
            return KAFKA_FENCED_INSTANCE_ID;
    }
    if (member == NULL || member->pending)
        return KAFKA_UNKNOWN_MEMBER_ID;
    *ret = member;
    return KAFKA_NONE;
}

/* A visit to a group that classic members may be in. */
static enum kafka_err
begin_classic(struct turn *turn, struct groups_broker *groups, cairn_str name, int64_t now_ms)
{
    *turn = (struct turn){.groups = groups, .now_ms = now_ms, .last = &turn->first};
    enum kafka_err err = check_name(name);
    if (err == KAFKA_NONE)
        err = turn_begin(turn, groups, name, now_ms, false);
    if (err == KAFKA_GROUP_ID_NOT_FOUND || (err == KAFKA_NONE && turn->group->type == GROUP_CONSUMER))
        err = KAFKA_UNKNOWN_MEMBER_ID;
    return err;
}

/* ---- joining -------------------------------------------------------------------------------------------------------------------- */

static bool
protocol_matches(const struct kgroup *group, const struct group_join *join)
{
    if (group->member_count == 0)
        return join->protocol_type.size > 0 && join->protocol_count > 0;
    return cairn_str_equal(group->protocol_type, join->protocol_type)
           && protocols_fit(group, join->protocols, join->protocol_count);
}

static bool
same_protocols(const struct protocols *protocols, const struct group_join *join)
{
    bool same = protocols->count == join->protocol_count;
    for (size_t i = 0; same && i < protocols->count; i++)
        same = cairn_str_equal(protocols->items[i].name, join->protocols[i].name)
               && cairn_str_equal(protocols->items[i].metadata, join->protocols[i].metadata);
    return same;
}

/* Room for one more? While a generation is gathered those who have joined count: who comes late to a full group is out. */
static bool
accepts(const struct turn *turn, const struct member *member)
{
    const struct kgroup *group = turn->group;
    size_t most = turn->groups->options.members_max;
    bool known = member != NULL && !member->pending;
    switch (group->state) {
    case STATE_EMPTY: return true;
    case STATE_PREPARING: return (known && member->joined) || group->joined_count < most;
    default: return known || group->member_count < most;
    }
}

static void
join_wait(struct turn *turn, struct member *member, struct answer *answer)
{
    if (member->join != NULL) /* the client has given up that call, and tries again */
        answer_join_error(turn, member->join, KAFKA_REBALANCE_IN_PROGRESS, member->id);
    member->join = answer;
    answer_wait(turn, answer, member);
    set_joined(turn->group, member, true);
}

/* New protocols and timeouts; *ret_old is freed by the caller. */
static enum kafka_err
update_member(struct turn *turn, struct member *member, const struct group_join *join, struct protocols **ret_old)
{
    if (turn->group->tally_count + join->protocol_count > TALLIES_MAX)
        return KAFKA_INCONSISTENT_GROUP_PROTOCOL;
    struct protocols *protocols = protocols_copy(join->protocols, join->protocol_count);
    size_t before = member->protocols ? member->protocols->bytes : 0;
    if (protocols == NULL || !tally_reserve(turn->group, protocols->count)
        || !member_recount(turn, member, before, protocols->bytes)) {
        free(protocols);
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    }
    *ret_old = member->protocols;
    if (*ret_old != NULL)
        tally_take(turn->group, *ret_old);
    member->protocols = protocols;
    tally_count_in(turn->group, protocols);
    member->session_ms = join->session_timeout_ms;
    member->rebalance_ms = join->rebalance_timeout_ms >= 0 ? join->rebalance_timeout_ms : join->session_timeout_ms;
    return KAFKA_NONE;
}

/* One that is in the tables already (it was pending), or has just been made. */
static enum kafka_err
enter_member(struct turn *turn, struct member *member, bool pending, const struct group_join *join, struct answer *answer)
{
    struct kgroup *group = turn->group;
    struct protocols *old = NULL;
    cairn_str protocol_type = {0};
    bool first = group->member_count == 0;
    if (first && !str_copy(join->protocol_type, &protocol_type))
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    enum kafka_err err = update_member(turn, member, join, &old);
    if (err != KAFKA_NONE) {
        str_free(&protocol_type);
        return err;
    }
    if (first) {
        str_free(&group->protocol_type);
        group->protocol_type = protocol_type;
        group->type = GROUP_CLASSIC;
    }
    if (pending) {
        member->pending = false;
        group->pending_count--;
    } else {
        member_enter(turn, member);
    }
    group->member_count++;
    if (group->leader == NULL)
        group->leader = member;
    if (group->state == STATE_PREPARING && group->initial)
        group->member_added = true;
    member->is_new = true;
    member->deadline_ms = NEVER;
    member_deadline(turn, member, turn->now_ms + JOIN_TIMEOUT_NEW_MS);
    join_wait(turn, member, answer);
    maybe_prepare_rebalance(turn);
    return KAFKA_NONE;
}

/* A new id, told with an error: the client joins again with it. So one that fails on the way leaves no member behind. */
static enum kafka_err
give_id(struct turn *turn, struct member *member, const struct group_join *join, struct answer *answer)
{
    struct kgroup *group = turn->group;
    if (group->pending_count >= turn->groups->options.members_max)
        return KAFKA_GROUP_MAX_SIZE_REACHED;
    member->pending = member->id_known = true;
    group->pending_count++;
    if (group->type == GROUP_NONE)
        group->type = GROUP_CLASSIC;
    member_enter(turn, member);
    member_deadline(turn, member, turn->now_ms + join->session_timeout_ms);
    answer_join_error(turn, answer, KAFKA_MEMBER_ID_REQUIRED, member->id);
    return KAFKA_NONE;
}

static enum kafka_err
join_new(struct turn *turn, const struct group_join *join, struct answer *answer)
{
    cairn_str id;
    if (!member_make_id(join->instance_id.size > 0 ? join->instance_id : join->client_id, &id))
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    struct member *member = member_new(turn, id, join->instance_id, join->client_id, join->client_host);
    str_free(&id);
    if (member == NULL)
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    enum kafka_err err = join->member_id_required && join->instance_id.size == 0 ? give_id(turn, member, join, answer)
                                                                                 : enter_member(turn, member, false, join, answer);
    if (err != KAFKA_NONE)
        member_abandon(turn, member);
    return err;
}

static enum kafka_err
rejoin(struct turn *turn, struct member *member, const struct group_join *join, struct answer *answer)
{
    struct protocols *old = NULL;
    enum kafka_err err = update_member(turn, member, join, &old);
    if (err != KAFKA_NONE)
        return err;
    free(old);
    join_wait(turn, member, answer);
    maybe_prepare_rebalance(turn);
    return KAFKA_NONE;
}

/* ---- static members (KIP-345) --------------------------------------------------------------------------------------------------- */

static enum kafka_err
rename_member(struct turn *turn, struct member *member)
{
    cairn_str id;
    if (!member_make_id(member->instance_id, &id))
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    if (member->join != NULL)
        answer_join_error(turn, member->join, KAFKA_FENCED_INSTANCE_ID, member->id);
    if (member->sync != NULL)
        answer_sync_error(turn, member->sync, KAFKA_FENCED_INSTANCE_ID);
    names_remove(&turn->group->by_id, &member->by_id);
    str_free(&member->id);
    member->id = id;
    names_put(&turn->group->by_id, &member->by_id, member->id);
    return KAFKA_NONE;
}

/* Would the group go on as it is? The same protocol wins, and the member wants the same topics. */
static bool
changes_nothing(struct kgroup *group, const struct member *member, const struct protocols *old)
{
    if (!cairn_str_equal(select_protocol(group), group->protocol))
        return false;
    cairn_str now = classic_metadata(group, member);
    for (size_t i = 0; i < old->count; i++)
        if (cairn_str_equal(old->items[i].name, group->protocol))
            return cairn_str_equal(old->items[i].metadata, now) || subscription_same_topics(old->items[i].metadata, now);
    return false;
}

/* The program of an instance has been started again: its member gets another id, and whoever still has the old one is fenced. In a
 * stable group it is given what it had, without a rebalance. A leader is then told its old id as the leader's, so that it does
 * not assign anew, unless it knows that it may skip that (KIP-814). */
static enum kafka_err
replace_static(struct turn *turn, struct member *member, const struct group_join *join, struct answer *answer)
{
    struct kgroup *group = turn->group;
    struct protocols *old = NULL;
    cairn_str leader = {0};
    if (!str_copy(group->leader->id, &leader))
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    enum kafka_err err = rename_member(turn, member);
    if (err == KAFKA_NONE)
        err = update_member(turn, member, join, &old);
    if (err != KAFKA_NONE) {
        str_free(&leader);
        return err;
    }
    session_renew(turn, member);
    bool leads = group->leader == member, skips = leads && join->skip_assignment_known;
    if (group->state == STATE_STABLE && changes_nothing(group, member, old)) {
        answer_joined(turn, member, answer, skips, skips ? member->id : leader, skips);
    } else {
        join_wait(turn, member, answer);
        maybe_prepare_rebalance(turn);
    }
    free(old);
    str_free(&leader);
    return KAFKA_NONE;
}

/* ---- joining, as a whole ---------------------------------------------------------------------------------------------------------- */

static enum kafka_err
join_known(struct turn *turn, const struct group_join *join, struct answer *answer)
{
    struct kgroup *group = turn->group;
    struct member *member = member_by_id(group, join->member_id);
    if (member != NULL && member->pending)
        return join->instance_id.size > 0 ? KAFKA_UNKNOWN_MEMBER_ID : enter_member(turn, member, true, join, answer);
    enum kafka_err err = classic_member_check(group, join->member_id, join->instance_id, &member);
    if (err != KAFKA_NONE)
        return err;
    member->id_known = true;
    bool same = same_protocols(member->protocols, join), leads = group->leader == member;
    switch (group->state) {
    case STATE_EMPTY: return KAFKA_UNKNOWN_MEMBER_ID;
    case STATE_PREPARING: return rejoin(turn, member, join, answer);
    case STATE_COMPLETING: /* it may have missed the answer to its join */
        if (!same)
            return rejoin(turn, member, join, answer);
        answer_joined(turn, member, answer, leads, group->leader->id, false);
        return KAFKA_NONE;
    case STATE_STABLE: /* a leader joins again when it wants to assign anew */
        if (leads || !same)
            return rejoin(turn, member, join, answer);
        answer_joined(turn, member, answer, false, group->leader->id, false);
        return KAFKA_NONE;
    }
    return KAFKA_UNKNOWN_SERVER_ERROR;
}

static enum kafka_err
join_locked(struct turn *turn, const struct group_join *join, struct answer *answer)
{
    struct kgroup *group = turn->group;
    if (group->type == GROUP_CONSUMER) {
        if (group->first != NULL)
            return KAFKA_INCONSISTENT_GROUP_PROTOCOL;
        consumer_clear(turn);
    }
    struct member *member = join->member_id.size > 0 ? member_by_id(group, join->member_id)
                            : join->instance_id.size > 0 ? member_by_instance(group, join->instance_id)
                                                         : NULL;
    if (!accepts(turn, member)) {
        if (member != NULL && join->member_id.size > 0)
            remove_member(turn, member);
        return KAFKA_GROUP_MAX_SIZE_REACHED;
    }
    if (!protocol_matches(group, join))
        return KAFKA_INCONSISTENT_GROUP_PROTOCOL;
    if (join->member_id.size > 0)
        return join_known(turn, join, answer);
    return member != NULL ? replace_static(turn, member, join, answer) : join_new(turn, join, answer);
}

void
groups_join(struct groups_broker *groups, const struct group_join *join, int64_t now_ms, group_joined_done done, void *context)
{
    struct answer *answer = answer_new(ANSWER_JOIN, context);
    if (answer == NULL) {
        done(context, &(struct group_joined){.err = KAFKA_COORDINATOR_NOT_AVAILABLE, .generation = -1});
        return;
    }
    answer->done.joined = done;
    struct turn turn = {.groups = groups, .now_ms = now_ms, .last = &turn.first};
    enum kafka_err err = check_join(groups, join);
    if (err == KAFKA_NONE)
        err = turn_begin(&turn, groups, join->group, now_ms, join->member_id.size == 0);
    if (err == KAFKA_GROUP_ID_NOT_FOUND)
        err = KAFKA_UNKNOWN_MEMBER_ID;
    if (err == KAFKA_NONE)
        err = join_locked(&turn, join, answer);
    if (err == KAFKA_COORDINATOR_NOT_AVAILABLE && turn.full)
        err = KAFKA_GROUP_MAX_SIZE_REACHED;
    if (err != KAFKA_NONE)
        answer_join_error(&turn, answer, err, join->member_id);
    if (turn.group != NULL)
        complete_if_all_joined(&turn);
    turn_end(&turn);
}

/* ---- syncing ---------------------------------------------------------------------------------------------------------------------- */

/* What the leader says, kept; nothing of it when there is no memory, or too much is held by all groups. Who is not mentioned gets nothing. */
static bool
keep_assignments(struct turn *turn, const struct group_sync *sync)
{
    struct kgroup *group = turn->group;
    bool kept = true;
    for (struct member *member = member_first(group); member != NULL; member = member_after(member))
        (void)member_assign(turn, member, (cairn_str){0});
    for (size_t i = 0; kept && i < sync->assignment_count; i++) {
        struct member *member = member_by_id(group, sync->assignments[i].member_id);
        if (member == NULL || member->pending)
            continue;
        kept = member_assign(turn, member, sync->assignments[i].assignment);
    }
    return kept;
}

static void
hand_out(struct turn *turn)
{
    turn->group->state = STATE_STABLE;
    for (struct member *member = member_first(turn->group); member != NULL; member = member_after(member)) {
        if (member->sync == NULL)
            continue;
        answer_synced(turn, member, member->sync);
        session_renew(turn, member);
    }
}

static enum kafka_err
sync_completing(struct turn *turn, struct member *member, const struct group_sync *sync, struct answer *answer)
{
    struct kgroup *group = turn->group;
    bool leads = group->leader == member;
    if (leads && !keep_assignments(turn, sync))
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    if (member->sync != NULL)
        answer_sync_error(turn, member->sync, KAFKA_REBALANCE_IN_PROGRESS);
    set_unsynced(group, member, false);
    member->sync = answer;
    answer_wait(turn, answer, member);
    if (leads)
        hand_out(turn);
    return KAFKA_NONE;
}

static bool
differs(cairn_str said, cairn_str is)
{
    return said.size > 0 && !cairn_str_equal(said, is);
}

static enum kafka_err
sync_locked(struct turn *turn, const struct group_sync *sync, struct answer *answer)
{
    struct kgroup *group = turn->group;
    struct member *member;
    enum kafka_err err = classic_member_check(group, sync->member_id, sync->instance_id, &member);
    if (err != KAFKA_NONE)
        return err;
    if (sync->generation != group->generation)
        return KAFKA_ILLEGAL_GENERATION;
    if (differs(sync->protocol_type, group->protocol_type) || differs(sync->protocol, group->protocol))
        return KAFKA_INCONSISTENT_GROUP_PROTOCOL;
    switch (group->state) {
    case STATE_EMPTY: return KAFKA_UNKNOWN_MEMBER_ID;
    case STATE_PREPARING: return KAFKA_REBALANCE_IN_PROGRESS;
    case STATE_COMPLETING: return sync_completing(turn, member, sync, answer);
    case STATE_STABLE:
        set_unsynced(group, member, false);
        answer_synced(turn, member, answer);
        session_renew(turn, member);
        return KAFKA_NONE;
    }
    return KAFKA_UNKNOWN_SERVER_ERROR;
}

void
groups_sync(struct groups_broker *groups, const struct group_sync *sync, int64_t now_ms, group_synced_done done, void *context)
{
    struct answer *answer = answer_new(ANSWER_SYNC, context);
    if (answer == NULL) {
        done(context, &(struct group_synced){.err = KAFKA_COORDINATOR_NOT_AVAILABLE});
        return;
    }
    answer->done.synced = done;
    struct turn turn;
    enum kafka_err err = begin_classic(&turn, groups, sync->group, now_ms);
    if (err == KAFKA_NONE)
        err = sync_locked(&turn, sync, answer);
    if (err != KAFKA_NONE)
        answer_sync_error(&turn, answer, err);
    turn_end(&turn);
}

/* ---- heartbeats, leaving ------------------------------------------------------------------------------------------------------------ */

enum kafka_err
groups_heartbeat(struct groups_broker *groups, cairn_str group, cairn_str member_id, cairn_str instance_id, int32_t generation,
                 int64_t now_ms)
{
    struct turn turn;
    struct member *member;
    enum kafka_err err = begin_classic(&turn, groups, group, now_ms);
    if (err == KAFKA_NONE)
        err = classic_member_check(turn.group, member_id, instance_id, &member);
    if (err == KAFKA_NONE && generation != turn.group->generation)
        err = KAFKA_ILLEGAL_GENERATION;
    if (err == KAFKA_NONE && turn.group->state == STATE_EMPTY)
        err = KAFKA_UNKNOWN_MEMBER_ID;
    if (err == KAFKA_NONE) {
        session_renew(&turn, member);
        if (turn.group->state == STATE_PREPARING)
            err = KAFKA_REBALANCE_IN_PROGRESS;
    }
    turn_end(&turn);
    return err;
}

static enum kafka_err
find_leaving(struct kgroup *group, cairn_str member_id, cairn_str instance_id, struct member **ret)
{
    if (member_id.size == 0 && instance_id.size > 0)
        return (*ret = member_by_instance(group, instance_id)) != NULL ? KAFKA_NONE : KAFKA_UNKNOWN_MEMBER_ID;
    struct member *member = member_by_id(group, member_id);
    if (member != NULL && member->pending && instance_id.size == 0) {
        *ret = member;
        return KAFKA_NONE;
    }
    return classic_member_check(group, member_id, instance_id, ret);
}

enum kafka_err
groups_leave(struct groups_broker *groups, cairn_str group, cairn_str member_id, cairn_str instance_id, int64_t now_ms)
{
    struct turn turn;
    struct member *member = NULL;
    enum kafka_err err = begin_classic(&turn, groups, group, now_ms);
    if (err == KAFKA_NONE)
        err = find_leaving(turn.group, member_id, instance_id, &member);
    if (err == KAFKA_NONE)
        remove_member(&turn, member);
    turn_end(&turn);
    return err;
}

/* ---- for others in the room ---------------------------------------------------------------------------------------------------------- */

/* Its connection has gone. It has joined all the same: when its client comes again with its id it finds out what became of that.
 * One that never learnt its id cannot come again. */
void
classic_forget(struct turn *turn, struct answer *answer)
{
    struct member *member = answer->member;
    if (member->sync == answer)
        member->sync = NULL;
    if (member->join == answer)
        member->join = NULL;
    if (member->is_new && !member->id_known && member->instance_id.size == 0) {
        remove_member(turn, member);
        return;
    }
    member->deadline_ms = NEVER;
    session_renew(turn, member);
}

/* Who waits for an answer is alive; a new member waits only so long, since its client may have gone without a word. */
static void
session_timer(struct turn *turn, struct member *member)
{
    bool waits = member->join != NULL || member->sync != NULL;
    if (waits && !member->is_new) {
        member->deadline_ms = NEVER;
        return;
    }
    if (turn->now_ms < member->deadline_ms) {
        if (member->deadline_ms != NEVER)
            timer_arm(turn->groups, &member->timer, member->deadline_ms);
        return;
    }
    remove_member(turn, member);
}

void
classic_timer(struct turn *turn, struct timer *timer)
{
    switch (timer->kind) {
    case TIMER_MEMBER: session_timer(turn, OWNER_OF(timer, struct member, timer)); break;
    case TIMER_REBALANCE: rebalance_timer(turn); break;
    case TIMER_SYNC: sync_timer(turn); break;
    }
}

void
classic_clear(struct turn *turn)
{
    struct kgroup *group = turn->group;
    str_free(&group->protocol_type);
    str_free(&group->protocol);
    group->type = GROUP_NONE;
    group->state = STATE_EMPTY;
    group->generation = 0;
}

cairn_str
classic_metadata(const struct kgroup *group, const struct member *member)
{
    for (size_t i = 0; i < member->protocols->count; i++)
        if (cairn_str_equal(member->protocols->items[i].name, group->protocol))
            return member->protocols->items[i].metadata;
    return (cairn_str){0};
}

enum kafka_err
classic_may_commit(struct kgroup *group, cairn_str member_id, cairn_str instance_id, int32_t generation, bool transactional)
{
    struct member *member;
    bool empty = group->state == STATE_EMPTY;
    if (generation < 0 && empty)
        return KAFKA_NONE;
    if (generation >= 0 || member_id.size > 0 || instance_id.size > 0) {
        enum kafka_err err = classic_member_check(group, member_id, instance_id, &member);
        if (err != KAFKA_NONE)
            return err;
        if (generation != group->generation)
            return KAFKA_ILLEGAL_GENERATION;
    } else if (!transactional && !empty) {
        return KAFKA_UNKNOWN_MEMBER_ID;
    }
    return !transactional && group->state == STATE_COMPLETING ? KAFKA_REBALANCE_IN_PROGRESS : KAFKA_NONE;
}
