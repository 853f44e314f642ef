/* KIP-848's heartbeats: the one call by which members join, say what they want and have, are told what they should have, and leave.
 *
 *   epoch 0 joins (or joins again)   > 0 goes on   -1 leaves   -2 leaves for a while, as instances do (KIP-345)
 *
 * Unlike Kafka's, these groups do not outlive the program: a member that goes on in a group that is not there any more is told
 * UNKNOWN_MEMBER_ID, upon which clients join anew; Kafka's GROUP_ID_NOT_FOUND would be the end of them. A group with members of
 * one protocol is not there for those of the other (Kafka with its migration switched off). */
#include <topic/group_consumer_int.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define EPOCH_LEFT (-1)
#define EPOCH_AWAY (-2)
#define TOPICS_MAX 10000 /* names in one subscription */

/* ---- making and ending -------------------------------------------------------------------------------------------------------------- */

void
consumer_group_free(struct groups_broker *groups, struct kgroup *group)
{
    struct consumer_group *consumers = group->consumer;
    if (consumers == NULL)
        return;
    assert(group->first == NULL);
    slots_free(groups, consumers);
    free(consumers);
    group->consumer = NULL;
}

void
consumer_clear(struct turn *turn)
{
    consumer_group_free(turn->groups, turn->group);
    turn->group->type = GROUP_NONE;
    turn->group->state = STATE_EMPTY;
    turn->group->generation = 0;
}

/* Of a member that has left the group's tables already. */
void
consumer_member_free(struct turn *turn, struct member *member)
{
    struct consumer *consumer = member->consumer;
    if (consumer == NULL)
        return;
    release_all(turn->group, consumer);
    drop_subscription(turn->group, consumer);
    pattern_give_back(turn, consumer->pattern);
    set_free(&consumer->target);
    free(consumer->topics);
    free(consumer);
    member->consumer = NULL;
}

static void
fence(struct turn *turn, struct member *member)
{
    member_free(turn, member);
    turn->group->member_count--;
    turn->group->consumer->epoch++;
    if (turn->group->first == NULL) /* nobody makes a target any more, which would tidy up */
        slots_tidy(turn);
}

/* ---- checks ------------------------------------------------------------------------------------------------------------------------- */

static enum kafka_err
check(const struct consumer_heartbeat *heartbeat, const char **ret_message)
{
    size_t bytes = 0;
    *ret_message = "the request does not say what a heartbeat must";
    if (heartbeat->group.size == 0 || heartbeat->group.size > GROUP_ID_MAX)
        return KAFKA_INVALID_GROUP_ID;
    if (heartbeat->instance_id.size > MEMBER_BASE_MAX || heartbeat->member_id.size > MEMBER_BASE_MAX
        || heartbeat->topic_count > TOPICS_MAX || heartbeat->epoch < EPOCH_AWAY
        || (heartbeat->member_id.size == 0 && heartbeat->epoch != 0)
        || (heartbeat->epoch == EPOCH_AWAY && heartbeat->instance_id.size == 0))
        return KAFKA_INVALID_REQUEST;
    for (size_t i = 0; i < heartbeat->topic_count; i++)
        bytes += heartbeat->topics[i].size;
    if (bytes > MEMBER_BYTES_MAX)
        return KAFKA_INVALID_REQUEST;
    bool subscribes = heartbeat->topics != NULL || (heartbeat->has_regex && heartbeat->regex.size > 0);
    if (heartbeat->epoch == 0 && (heartbeat->rebalance_timeout_ms < 0 || !subscribes || heartbeat->owned_count > 0))
        return KAFKA_INVALID_REQUEST;
    *ret_message = NULL;
    if (heartbeat->assignor.size > 0 && !cairn_str_equal(heartbeat->assignor, CAIRN_STR("uniform"))
        && !cairn_str_equal(heartbeat->assignor, CAIRN_STR("range"))) {
        *ret_message = "the assignors are uniform and range";
        return KAFKA_UNSUPPORTED_ASSIGNOR;
    }
    return KAFKA_NONE;
}

static enum kafka_err
check_epoch(const struct kgroup *group, const struct member *member, const struct consumer_heartbeat *heartbeat)
{
    const struct consumer *consumer = member->consumer;
    if (heartbeat->epoch == 0 || heartbeat->epoch == consumer->epoch)
        return KAFKA_NONE;
    /* The answer that told it of its new epoch may have been lost. */
    if (heartbeat->epoch < consumer->epoch && heartbeat->epoch == consumer->previous_epoch
        && owned_within(group, heartbeat, &consumer->assigned))
        return KAFKA_NONE;
    return KAFKA_FENCED_MEMBER_EPOCH;
}

/* An empty group of the other kind becomes one of this. */
static enum kafka_err
be_consumer_group(struct turn *turn)
{
    struct kgroup *group = turn->group;
    if (group->type == GROUP_CONSUMER)
        return KAFKA_NONE;
    if (member_first(group) != NULL || group->state != STATE_EMPTY)
        return KAFKA_GROUP_ID_NOT_FOUND;
    struct consumer_group *consumers = calloc(1, sizeof *consumers);
    if (consumers == NULL)
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    while (group->first != NULL) /* had an id only */
        drop_member(turn, group->first);
    classic_clear(turn);
    group->consumer = consumers;
    group->type = GROUP_CONSUMER;
    return KAFKA_NONE;
}

/* ---- members ------------------------------------------------------------------------------------------------------------------------ */

static struct topic_names *
copy_topics(const struct consumer_heartbeat *heartbeat)
{
    size_t bytes = 0;
    for (size_t i = 0; i < heartbeat->topic_count; i++)
        bytes += heartbeat->topics[i].size;
    bytes += sizeof(struct topic_names) + heartbeat->topic_count * sizeof(cairn_str);
    struct topic_names *names = malloc(bytes);
    if (names == NULL)
        return NULL;
    names->bytes = bytes;
    names->count = heartbeat->topic_count;
    char *at = (char *)&names->items[names->count];
    for (size_t i = 0; i < names->count; i++) {
        names->items[i] = (cairn_str){at, heartbeat->topics[i].size};
        if (heartbeat->topics[i].size > 0)
            memcpy(at, heartbeat->topics[i].data, heartbeat->topics[i].size);
        at += heartbeat->topics[i].size;
    }
    return names;
}

static enum kafka_err
add_member(struct turn *turn, const struct consumer_heartbeat *heartbeat, struct member **ret)
{
    struct kgroup *group = turn->group;
    cairn_str id = {0};
    if (group->member_count >= turn->groups->options.members_max)
        return KAFKA_GROUP_MAX_SIZE_REACHED;
    if (heartbeat->member_id.size == 0 && !member_make_id(heartbeat->client_id, &id))
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    struct member *member = member_new(turn, id.size > 0 ? id : heartbeat->member_id, heartbeat->instance_id, heartbeat->client_id,
                                       heartbeat->client_host);
    str_free(&id);
    if (member != NULL && (!member_recount(turn, member, 0, sizeof *member->consumer)
                           || (member->consumer = calloc(1, sizeof *member->consumer)) == NULL)) {
        member_abandon(turn, member);
        member = NULL;
    }
    if (member == NULL)
        return turn->full ? KAFKA_GROUP_MAX_SIZE_REACHED : KAFKA_COORDINATOR_NOT_AVAILABLE;
    member->consumer->revoke_due_ms = NEVER;
    member_enter(turn, member);
    group->member_count++;
    group->consumer->moved = true;
    *ret = member;
    return KAFKA_NONE;
}

/* The instance is back under another member id: what it had is its still. */
static enum kafka_err
take_over(struct turn *turn, struct member *old, const struct consumer_heartbeat *heartbeat, struct member **ret)
{
    struct kgroup *group = turn->group;
    cairn_str id = {0};
    if (heartbeat->member_id.size == 0 ? !member_make_id(heartbeat->client_id, &id) : !str_copy(heartbeat->member_id, &id))
        return KAFKA_COORDINATOR_NOT_AVAILABLE;
    names_remove(&group->by_id, &old->by_id);
    str_free(&old->id);
    old->id = id;
    names_put(&group->by_id, &old->by_id, old->id);
    old->consumer->epoch = old->consumer->previous_epoch = 0;
    *ret = old;
    return KAFKA_NONE;
}

static enum kafka_err
find_static(struct turn *turn, const struct consumer_heartbeat *heartbeat, struct member **ret)
{
    struct member *holder = member_by_instance(turn->group, heartbeat->instance_id);
    bool same = holder != NULL && cairn_str_equal(holder->id, heartbeat->member_id);
    if (heartbeat->epoch != 0) {
        if (holder == NULL)
            return KAFKA_UNKNOWN_MEMBER_ID;
        *ret = holder;
        return same ? KAFKA_NONE : KAFKA_FENCED_INSTANCE_ID;
    }
    if (holder == NULL)
        return member_by_id(turn->group, heartbeat->member_id) ? KAFKA_INVALID_REQUEST : add_member(turn, heartbeat, ret);
    *ret = holder;
    if (same) {
        if (holder->consumer->epoch == EPOCH_AWAY)
            holder->consumer->epoch = holder->consumer->previous_epoch = 0;
        return KAFKA_NONE;
    }
    if (holder->consumer->epoch != EPOCH_AWAY)
        return KAFKA_UNRELEASED_INSTANCE_ID;
    if (member_by_id(turn->group, heartbeat->member_id) != NULL)
        return KAFKA_INVALID_REQUEST;
    return take_over(turn, holder, heartbeat, ret);
}

static enum kafka_err
find_member(struct turn *turn, const struct consumer_heartbeat *heartbeat, struct member **ret)
{
    if (heartbeat->instance_id.size > 0)
        return find_static(turn, heartbeat, ret);
    *ret = heartbeat->member_id.size > 0 ? member_by_id(turn->group, heartbeat->member_id) : NULL;
    if (*ret != NULL)
        return (*ret)->instance_id.size > 0 ? KAFKA_UNKNOWN_MEMBER_ID : KAFKA_NONE;
    return heartbeat->epoch == 0 ? add_member(turn, heartbeat, ret) : KAFKA_UNKNOWN_MEMBER_ID;
}

/* ---- what it wants ------------------------------------------------------------------------------------------------------------------ */

static bool
same_topics(const struct topic_names *names, const struct consumer_heartbeat *heartbeat)
{
    bool same = names != NULL && names->count == heartbeat->topic_count;
    for (size_t i = 0; same && i < names->count; i++)
        same = cairn_str_equal(names->items[i], heartbeat->topics[i]);
    return same;
}

static enum kafka_err
take_pattern(struct turn *turn, struct consumer *consumer, cairn_str text, struct broker_why *why)
{
    struct pattern *pattern = NULL;
    cairn_str before = consumer->pattern ? consumer->pattern->text : (cairn_str){0};
    if (cairn_str_equal(before, text))
        return KAFKA_NONE;
    if (text.size > 0) {
        pattern = pattern_take(turn, text, why->text, sizeof why->text);
        if (pattern == NULL)
            return turn->full ? KAFKA_GROUP_MAX_SIZE_REACHED : KAFKA_INVALID_REGULAR_EXPRESSION;
    }
    pattern_give_back(turn, consumer->pattern);
    consumer->pattern = pattern;
    consumer->stale = true;
    return KAFKA_NONE;
}

/* Who goes on says what is new; who joins says all: what an instance's life before wanted is over. */
static enum kafka_err
take_wishes(struct turn *turn, struct member *member, const struct consumer_heartbeat *heartbeat, struct broker_why *why)
{
    struct consumer *consumer = member->consumer;
    bool joins = heartbeat->epoch == 0;
    if ((heartbeat->topics != NULL || joins) && !same_topics(consumer->topics, heartbeat)) {
        struct topic_names *topics = copy_topics(heartbeat);
        if (topics == NULL)
            return KAFKA_COORDINATOR_NOT_AVAILABLE;
        if (!member_recount(turn, member, consumer->topics ? consumer->topics->bytes : 0, topics->bytes)) {
            free(topics);
            return KAFKA_GROUP_MAX_SIZE_REACHED;
        }
        free(consumer->topics);
        consumer->topics = topics;
        consumer->stale = true;
    }
    if (heartbeat->has_regex || joins) {
        enum kafka_err err = take_pattern(turn, consumer, heartbeat->has_regex ? heartbeat->regex : (cairn_str){0}, why);
        if (err != KAFKA_NONE)
            return err;
    }
    if (heartbeat->rebalance_timeout_ms >= 0)
        member->rebalance_ms = heartbeat->rebalance_timeout_ms;
    if (heartbeat->assignor.size > 0 || joins) {
        enum assignor assignor = heartbeat->assignor.size == 0           ? ASSIGNOR_ANY
                                 : heartbeat->assignor.data[0] == 'r' ? ASSIGNOR_RANGE
                                                                      : ASSIGNOR_UNIFORM;
        turn->group->consumer->moved |= assignor != consumer->assignor;
        consumer->assignor = assignor;
    }
    return KAFKA_NONE;
}

/* ---- the heartbeat ------------------------------------------------------------------------------------------------------------------ */

/* The group as it is now: its subscriptions as of the topics that there are, its target as of its members. */
static enum kafka_err
refresh(struct turn *turn, struct member *member)
{
    struct consumer_group *consumers = turn->group->consumer;
    struct topics_seen *seen = topics_look(turn->groups, turn->now_ms);
    bool done = seen != NULL && resolve(turn, member, seen, &consumers->moved);
    topics_seen_release(seen);
    consumers->epoch += consumers->moved;
    consumers->moved = false;
    if (done && consumers->target_epoch < consumers->epoch) {
        done = make_target(turn);
        if (done)
            slots_tidy(turn);
    }
    return done ? KAFKA_NONE : KAFKA_COORDINATOR_NOT_AVAILABLE;
}

static bool
copy_set(const struct kgroup *group, const struct set *set, struct arena *arena, const struct topic_partitions **ret,
         size_t *ret_count)
{
    struct topic_partitions *topics = arena_alloc(arena, (set->count + 1) * sizeof *topics);
    int32_t *partitions = arena_alloc(arena, (set->count + 1) * sizeof *partitions);
    size_t count = 0;
    if (topics == NULL || partitions == NULL)
        return false;
    for (size_t i = 0; i < set->count; i++) {
        uint64_t slot = set->items[i] >> 32;
        partitions[i] = (int32_t)(uint32_t)set->items[i];
        if (i == 0 || set->items[i - 1] >> 32 != slot)
            topics[count++] = (struct topic_partitions){.topic_id = group->consumer->slots[slot]->id, .partitions = partitions + i};
        topics[count - 1].count++;
    }
    *ret = topics;
    *ret_count = count;
    return true;
}

/* A full request is one of a member that does not know what was answered last. */
static bool
is_full(const struct consumer_heartbeat *heartbeat)
{
    bool subscribes = heartbeat->topics != NULL || heartbeat->has_regex;
    return heartbeat->epoch == 0 || (heartbeat->rebalance_timeout_ms >= 0 && heartbeat->owned != NULL && subscribes);
}

static enum kafka_err
go_on(struct turn *turn, const struct consumer_heartbeat *heartbeat, struct arena *arena, struct consumer_heartbeat_result *ret,
      struct broker_why *why)
{
    struct member *member;
    bool changed = false;
    enum kafka_err err = find_member(turn, heartbeat, &member);
    if (err == KAFKA_NONE)
        err = check_epoch(turn->group, member, heartbeat);
    if (err != KAFKA_NONE)
        return err;
    bool is_new = member->deadline_ms == NEVER;
    member_deadline(turn, member, turn->now_ms + turn->groups->options.consumer_session_timeout_ms);
    err = take_wishes(turn, member, heartbeat, why);
    if (err == KAFKA_NONE)
        err = refresh(turn, member);
    if (err != KAFKA_NONE && is_new) { /* who cannot come in is not in */
        fence(turn, member);
        return turn->full ? KAFKA_GROUP_MAX_SIZE_REACHED : err;
    }
    if (err == KAFKA_NONE && !reconcile(turn, member, heartbeat, &changed))
        err = KAFKA_COORDINATOR_NOT_AVAILABLE;
    if (err != KAFKA_NONE)
        return err;
    ret->epoch = member->consumer->epoch;
    ret->heartbeat_interval_ms = (int32_t)turn->groups->options.consumer_heartbeat_ms;
    ret->has_assignment = changed || is_full(heartbeat);
    ret->member_id = arena_copy(arena, member->id);
    bool copied = ret->member_id.data != NULL;
    if (copied && ret->has_assignment)
        copied = copy_set(turn->group, &member->consumer->assigned, arena, &ret->assignment, &ret->assignment_count);
    return copied ? KAFKA_NONE : KAFKA_COORDINATOR_NOT_AVAILABLE;
}

static enum kafka_err
leave(struct turn *turn, const struct consumer_heartbeat *heartbeat, struct consumer_heartbeat_result *ret)
{
    struct member *member;
    enum kafka_err err = find_member(turn, heartbeat, &member);
    if (err != KAFKA_NONE)
        return err;
    ret->member_id = heartbeat->member_id;
    ret->epoch = heartbeat->epoch;
    if (heartbeat->epoch == EPOCH_LEFT) {
        fence(turn, member);
        return KAFKA_NONE;
    }
    struct consumer *consumer = member->consumer;
    struct set assigned = consumer->assigned; /* what it was giving away it has given away */
    consumer->assigned = (struct set){0};
    release_all(turn->group, consumer);
    consumer->assigned = assigned;
    consumer->state = MEMBER_STABLE;
    consumer->epoch = EPOCH_AWAY;
    consumer->revoke_due_ms = NEVER;
    return KAFKA_NONE;
}

static enum kafka_err
begin(struct turn *turn, struct groups_broker *groups, const struct consumer_heartbeat *heartbeat, int64_t now_ms)
{
    bool joins = heartbeat->epoch == 0;
    enum kafka_err err = turn_begin(turn, groups, heartbeat->group, now_ms, joins);
    if (err == KAFKA_NONE && joins)
        return be_consumer_group(turn);
    if (err == KAFKA_NONE && turn->group->type != GROUP_CONSUMER)
        return KAFKA_GROUP_ID_NOT_FOUND;
    return err == KAFKA_GROUP_ID_NOT_FOUND ? KAFKA_UNKNOWN_MEMBER_ID : err;
}

void
groups_consumer_heartbeat(struct groups_broker *groups, const struct consumer_heartbeat *heartbeat, int64_t now_ms,
                          consumer_heartbeat_done done, void *context)
{
    struct turn turn = {.groups = groups, .now_ms = now_ms, .last = &turn.first};
    struct arena arena = {0};
    struct broker_why why = {""};
    struct consumer_heartbeat_result result = {.epoch = heartbeat->epoch};
    result.err = check(heartbeat, &result.message);
    if (result.err == KAFKA_NONE)
        result.err = begin(&turn, groups, heartbeat, now_ms);
    if (result.err == KAFKA_NONE)
        result.err = heartbeat->epoch < 0 ? leave(&turn, heartbeat, &result) : go_on(&turn, heartbeat, &arena, &result, &why);
    if (result.err != KAFKA_NONE)
        result = (struct consumer_heartbeat_result){.err = result.err, .message = why.text[0] ? why.text : result.message};
    struct kgroup *group = turn.group;
    if (group != NULL && group->type == GROUP_CONSUMER && group->first == NULL && group->consumer->target_epoch == 0)
        consumer_clear(&turn); /* nobody ever came in */
    turn_end(&turn);
    done(context, &result);
    arena_free(&arena);
}

/* ---- for others in the room ----------------------------------------------------------------------------------------------------------- */

void
consumer_timer(struct turn *turn, struct timer *timer)
{
    if (timer->kind != TIMER_MEMBER)
        return;
    struct member *member = OWNER_OF(timer, struct member, timer);
    int64_t due_ms = member->consumer->revoke_due_ms < member->deadline_ms ? member->consumer->revoke_due_ms : member->deadline_ms;
    if (turn->now_ms < due_ms)
        timer_arm(turn->groups, timer, due_ms);
    else
        fence(turn, member);
}

enum kafka_err
consumer_may_commit(struct kgroup *group, cairn_str member_id, int32_t epoch)
{
    if (epoch < 0 && group->first == NULL)
        return KAFKA_NONE;
    const struct member *member = member_by_id(group, member_id);
    if (member == NULL)
        return KAFKA_UNKNOWN_MEMBER_ID;
    return epoch == member->consumer->epoch ? KAFKA_NONE : KAFKA_STALE_MEMBER_EPOCH;
}

/* By name, or by a pattern that found it. */
bool
consumer_subscribed(struct kgroup *group, cairn_str topic)
{
    for (size_t i = 0; i < group->consumer->slot_count; i++) {
        const struct slot *slot = group->consumer->slots[i];
        if (slot != NULL && slot->subscribers > 0 && cairn_str_equal(slot->name, topic))
            return true;
    }
    for (struct member *member = group->first; member != NULL; member = member->next)
        for (size_t i = 0; member->consumer->topics != NULL && i < member->consumer->topics->count; i++)
            if (cairn_str_equal(member->consumer->topics->items[i], topic))
                return true;
    return false;
}

const char *
consumer_state(const struct kgroup *group)
{
    const struct consumer_group *consumers = group->consumer;
    if (group->first == NULL)
        return "Empty";
    if (consumers->epoch > consumers->target_epoch)
        return "Assigning";
    for (struct member *member = group->first; member != NULL; member = member->next)
        if (member->consumer->state != MEMBER_STABLE || member->consumer->epoch != consumers->target_epoch)
            return "Reconciling";
    return "Stable";
}

static bool
describe_member(const struct kgroup *group, const struct member *member, struct arena *arena, struct group_member_info *ret)
{
    const struct consumer *consumer = member->consumer;
    size_t count = consumer->topics ? consumer->topics->count : 0;
    cairn_str *topics = arena_alloc(arena, (count + 1) * sizeof *topics);
    bool copied = topics != NULL;
    *ret = (struct group_member_info){.epoch = consumer->epoch, .topics = topics, .topic_count = count,
                                      .member_id = arena_copy(arena, member->id),
                                      .instance_id = arena_copy(arena, member->instance_id),
                                      .client_id = arena_copy(arena, member->client_id),
                                      .client_host = arena_copy(arena, member->client_host),
                                      .regex = arena_copy(arena, consumer->pattern ? consumer->pattern->text : (cairn_str){0})};
    for (size_t i = 0; copied && i < count; i++)
        copied = (topics[i] = arena_copy(arena, consumer->topics->items[i])).data != NULL;
    return copied && ret->member_id.data && ret->instance_id.data && ret->client_id.data && ret->client_host.data && ret->regex.data
           && copy_set(group, &consumer->assigned, arena, &ret->owned, &ret->owned_count)
           && copy_set(group, &consumer->target, arena, &ret->target, &ret->target_count);
}

enum kafka_err
consumer_describe(struct kgroup *group, struct arena *arena, struct group_info *ret)
{
    struct group_member_info *members = arena_alloc(arena, (group->member_count + 1) * sizeof *members);
    bool described = members != NULL;
    for (struct member *member = group->first; described && member != NULL; member = member->next)
        described = describe_member(group, member, arena, &members[ret->member_count++]);
    ret->members = members;
    ret->generation = group->consumer->epoch;
    ret->assignment_epoch = group->consumer->target_epoch;
    ret->protocol = choose_assignor(group) == ASSIGNOR_RANGE ? CAIRN_STR("range") : CAIRN_STR("uniform");
    return described ? KAFKA_NONE : KAFKA_COORDINATOR_NOT_AVAILABLE;
}
