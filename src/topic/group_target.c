/* What members are subscribed to, of the topics that there are, and who should have what of that: the target assignment. */
#include <topic/group_consumer_int.h>

#include <assert.h>
#include <stdlib.h>

#define SET_ITEM_BYTES (2 * sizeof(uint64_t)) /* a slot in a set: of a member, and perhaps of its pattern */

/* ---- sets --------------------------------------------------------------------------------------------------------------------------- */

/* The place of the item, or where it would be. */
static size_t
place_of(const struct set *set, uint64_t item)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->items[middle] < item)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool
set_has(const struct set *set, uint64_t item)
{
    size_t place = place_of(set, item);
    return place < set->count && set->items[place] == item;
}

/* Memory doubles when the number is a power of two: for sets that only this has filled. */
bool
set_put(struct set *set, uint64_t item)
{
    if ((set->count & (set->count - 1)) == 0) {
        uint64_t *larger = realloc(set->items, (set->count ? set->count * 2 : 1) * sizeof *larger);
        if (larger == NULL)
            return false;
        set->items = larger;
    }
    set->items[set->count++] = item;
    return true;
}

static int
by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

void
set_sort(struct set *set)
{
    size_t kept = 0;
    if (set->count > 1)
        qsort(set->items, set->count, sizeof *set->items, by_number);
    for (size_t i = 0; i < set->count; i++)
        if (kept == 0 || set->items[kept - 1] != set->items[i])
            set->items[kept++] = set->items[i];
    set->count = kept;
}

bool
set_equal(const struct set *a, const struct set *b)
{
    return a->count == b->count && (a->count == 0 || memcmp(a->items, b->items, a->count * sizeof *a->items) == 0);
}

void
set_free(struct set *set)
{
    free(set->items);
    *set = (struct set){0};
}

/* ---- slots -------------------------------------------------------------------------------------------------------------------------- */

static cairn_str
id_key(const cairn_uuid *id)
{
    return (cairn_str){(const char *)id->bytes, sizeof id->bytes};
}

/* What a slot counts for: itself, and of each partition its owner and its place in a target and in what a member has or gives away. */
static size_t
slot_bytes(const struct slot *slot)
{
    return sizeof *slot + slot->name.size + slot->owner_room * (sizeof(struct member *) + 3 * sizeof(uint64_t));
}

static void
slot_free(struct slot *slot)
{
    str_free(&slot->name);
    free(slot->owners);
    free(slot);
}

static bool
enter_slot(struct consumer_group *consumers, struct slot *slot)
{
    uint32_t index = 0;
    while (index < consumers->slot_count && consumers->slots[index] != NULL)
        index++;
    if (index == consumers->slot_capacity) {
        size_t capacity = consumers->slot_capacity ? consumers->slot_capacity * 2 : 8;
        struct slot **larger = realloc(consumers->slots, capacity * sizeof *larger);
        if (larger == NULL)
            return false;
        consumers->slots = larger;
        consumers->slot_capacity = capacity;
    }
    if (index == consumers->slot_count)
        consumers->slot_count++;
    slot->index = index;
    consumers->slots[index] = slot;
    names_put(&consumers->slots_by_id, &slot->by_id, id_key(&slot->id));
    return true;
}

static struct slot *
slot_new(struct turn *turn, const struct topic_seen *topic)
{
    struct slot *slot = calloc(1, sizeof *slot);
    if (slot == NULL)
        return NULL;
    slot->id = topic->id;
    if (str_copy(topic->name, &slot->name) && bytes_take(turn, slot_bytes(slot))) {
        if (enter_slot(turn->group->consumer, slot))
            return slot;
        bytes_give(turn->groups, slot_bytes(slot));
    }
    slot_free(slot);
    return NULL;
}

static bool
slot_grow(struct turn *turn, struct slot *slot, uint32_t partitions)
{
    struct slot larger = *slot;
    larger.owner_room = partitions;
    size_t more = slot_bytes(&larger) - slot_bytes(slot);
    if (!bytes_take(turn, more))
        return false;
    larger.owners = realloc(slot->owners, partitions * sizeof(struct member *));
    if (larger.owners == NULL) {
        bytes_give(turn->groups, more);
        return false;
    }
    memset(larger.owners + slot->owner_room, 0, (partitions - slot->owner_room) * sizeof(struct member *));
    slot->owners = larger.owners;
    slot->owner_room = partitions;
    return true;
}

/* The topic's slot, as large as the topic is now. NULL without memory, or when all groups hold too much. */
static struct slot *
slot_of(struct turn *turn, const struct topic_seen *topic, bool *ret_grown)
{
    struct link *link = names_get(&turn->group->consumer->slots_by_id, id_key(&topic->id));
    struct slot *slot = link ? OWNER_OF(link, struct slot, by_id) : slot_new(turn, topic);
    if (slot == NULL || (topic->partitions > slot->owner_room && !slot_grow(turn, slot, topic->partitions)))
        return NULL;
    if (slot->partitions != topic->partitions) {
        slot->partitions = topic->partitions;
        *ret_grown = true;
    }
    return slot;
}

/* Slots that nobody wants or has go; patterns that might still name them look again. */
void
slots_tidy(struct turn *turn)
{
    struct consumer_group *consumers = turn->group->consumer;
    bool any = false;
    for (size_t i = 0; i < consumers->slot_count; i++) {
        struct slot *slot = consumers->slots[i];
        if (slot == NULL || slot->subscribers > 0 || slot->held > 0)
            continue;
        names_remove(&consumers->slots_by_id, &slot->by_id);
        bytes_give(turn->groups, slot_bytes(slot));
        slot_free(slot);
        consumers->slots[i] = NULL;
        any = true;
    }
    for (struct pattern *pattern = consumers->patterns; any && pattern != NULL; pattern = pattern->next)
        pattern->resolved = false;
}

void
slots_free(struct groups_broker *groups, struct consumer_group *consumers)
{
    for (size_t i = 0; i < consumers->slot_count; i++) {
        if (consumers->slots[i] == NULL)
            continue;
        bytes_give(groups, slot_bytes(consumers->slots[i]));
        slot_free(consumers->slots[i]);
    }
    free(consumers->slots);
    names_free(&consumers->slots_by_id);
}

/* ---- patterns ----------------------------------------------------------------------------------------------------------------------- */

static void
pattern_free(struct pattern *pattern)
{
    topic_pattern_free(pattern->code);
    str_free(&pattern->text);
    set_free(&pattern->slots);
    free(pattern);
}

static struct pattern *
pattern_new(struct turn *turn, cairn_str text, char *ret_message, size_t message_size)
{
    struct pattern *pattern = calloc(1, sizeof *pattern);
    if (pattern == NULL)
        return NULL;
    if (str_copy(text, &pattern->text) && topic_pattern_compile(text, &pattern->code, ret_message, message_size)) {
        pattern->bytes = sizeof *pattern + text.size + topic_pattern_bytes(pattern->code);
        if (bytes_take(turn, pattern->bytes))
            return pattern;
    }
    pattern_free(pattern);
    return NULL;
}

struct pattern *
pattern_take(struct turn *turn, cairn_str text, char *ret_message, size_t message_size)
{
    struct consumer_group *consumers = turn->group->consumer;
    struct pattern *pattern = consumers->patterns;
    while (pattern != NULL && !cairn_str_equal(pattern->text, text))
        pattern = pattern->next;
    if (pattern == NULL) {
        pattern = pattern_new(turn, text, ret_message, message_size);
        if (pattern == NULL)
            return NULL;
        pattern->next = consumers->patterns;
        consumers->patterns = pattern;
    }
    pattern->users++;
    return pattern;
}

void
pattern_give_back(struct turn *turn, struct pattern *pattern)
{
    if (pattern == NULL || --pattern->users > 0)
        return;
    struct pattern **at = &turn->group->consumer->patterns;
    while (*at != pattern)
        at = &(*at)->next;
    *at = pattern->next;
    bytes_give(turn->groups, pattern->bytes);
    pattern_free(pattern);
}

struct matching {
    struct turn *turn;
    struct set slots;
    bool grown;
};

static bool
take_match(void *context, const struct topic_seen *topic)
{
    struct matching *matching = context;
    struct slot *slot = slot_of(matching->turn, topic, &matching->grown);
    return slot != NULL && set_put(&matching->slots, slot->index);
}

static bool
resolve_pattern(struct turn *turn, struct pattern *pattern, const struct topics_seen *seen, bool *ret_grown)
{
    struct matching matching = {.turn = turn};
    if (pattern->resolved && pattern->changes == seen->changes)
        return true;
    bool matched = topic_pattern_match(pattern->code, seen, take_match, &matching);
    *ret_grown |= matching.grown;
    if (!matched) {
        set_free(&matching.slots);
        return false;
    }
    set_free(&pattern->slots);
    pattern->slots = matching.slots;
    pattern->changes = seen->changes;
    return pattern->resolved = true;
}

/* ---- subscriptions ------------------------------------------------------------------------------------------------------------------ */

static void
count_subscribers(struct kgroup *group, const struct set *slots, int by)
{
    for (size_t i = 0; i < slots->count; i++)
        group->consumer->slots[slots->items[i]]->subscribers += (size_t)by;
}

void
drop_subscription(struct kgroup *group, struct consumer *consumer)
{
    count_subscribers(group, &consumer->slots, -1);
    set_free(&consumer->slots);
}

static bool
resolve_into(struct turn *turn, const struct consumer *consumer, const struct topics_seen *seen, struct set *to, bool *ret_grown)
{
    for (size_t i = 0; consumer->topics != NULL && i < consumer->topics->count; i++) {
        const struct topic_seen *topic = topics_find(seen, consumer->topics->items[i]);
        struct slot *slot = topic ? slot_of(turn, topic, ret_grown) : NULL;
        if (topic != NULL && (slot == NULL || !set_put(to, slot->index)))
            return false;
    }
    if (consumer->pattern == NULL)
        return true;
    if (!resolve_pattern(turn, consumer->pattern, seen, ret_grown))
        return false;
    for (size_t i = 0; i < consumer->pattern->slots.count; i++)
        if (!set_put(to, consumer->pattern->slots.items[i]))
            return false;
    return true;
}

static bool
resolve_member(struct turn *turn, struct member *member, const struct topics_seen *seen, bool *ret_changed)
{
    struct kgroup *group = turn->group;
    struct set slots = {0};
    bool grown = false, resolved = resolve_into(turn, member->consumer, seen, &slots, &grown);
    *ret_changed |= grown;
    if (!resolved) {
        set_free(&slots);
        return false;
    }
    set_sort(&slots);
    if (set_equal(&slots, &member->consumer->slots)) {
        member->consumer->stale = false;
        set_free(&slots);
        return true;
    }
    if (!member_recount(turn, member, member->consumer->slots.count * SET_ITEM_BYTES, slots.count * SET_ITEM_BYTES)) {
        set_free(&slots);
        return false;
    }
    member->consumer->stale = false;
    count_subscribers(group, &slots, 1);
    drop_subscription(group, member->consumer);
    member->consumer->slots = slots;
    *ret_changed = true;
    return true;
}

bool
resolve(struct turn *turn, struct member *member, const struct topics_seen *seen, bool *ret_changed)
{
    struct consumer_group *consumers = turn->group->consumer;
    if (consumers->resolved && consumers->changes == seen->changes)
        return !member->consumer->stale || resolve_member(turn, member, seen, ret_changed);
    consumers->resolved = false;
    for (struct member *each = turn->group->first; each != NULL; each = each->next)
        if (!resolve_member(turn, each, seen, ret_changed))
            return false;
    consumers->changes = seen->changes;
    return consumers->resolved = true;
}

/* ---- the target --------------------------------------------------------------------------------------------------------------------- */

enum assignor
choose_assignor(const struct kgroup *group)
{
    size_t votes[ASSIGNOR_RANGE + 1] = {0};
    for (struct member *member = group->first; member != NULL; member = member->next)
        votes[member->consumer->assignor]++;
    return votes[ASSIGNOR_RANGE] > votes[ASSIGNOR_UNIFORM] ? ASSIGNOR_RANGE : ASSIGNOR_UNIFORM;
}

static bool
prepare(const struct kgroup *group, struct assign *ret, uint32_t **ret_partitions)
{
    const struct consumer_group *consumers = group->consumer;
    uint32_t *partitions = calloc(consumers->slot_count + 1, sizeof *partitions);
    struct assign_member *members = calloc(group->member_count + 1, sizeof *members);
    *ret_partitions = partitions;
    *ret = (struct assign){.members = members, .partitions = partitions, .topic_count = consumers->slot_count};
    if (partitions == NULL || members == NULL)
        return false;
    for (size_t i = 0; i < consumers->slot_count; i++)
        if (consumers->slots[i] != NULL && consumers->slots[i]->subscribers > 0)
            partitions[i] = consumers->slots[i]->partitions;
    for (struct member *member = group->first; member != NULL; member = member->next)
        members[ret->member_count++] = (struct assign_member){
            .order = member->instance_id.size > 0 ? member->instance_id : member->id,
            .topics = &member->consumer->slots,
            .old = &member->consumer->target,
        };
    assert(ret->member_count == group->member_count);
    return true;
}

bool
make_target(struct turn *turn)
{
    struct kgroup *group = turn->group;
    struct assign assign;
    uint32_t *partitions;
    bool made = prepare(group, &assign, &partitions);
    if (made)
        made = choose_assignor(group) == ASSIGNOR_RANGE ? assign_range(&assign) : assign_uniform(&assign);
    struct member *member = group->first;
    for (size_t i = 0; i < assign.member_count; i++, member = member->next) {
        if (!made) {
            set_free(&assign.members[i].now);
            continue;
        }
        set_free(&member->consumer->target);
        member->consumer->target = assign.members[i].now;
    }
    if (made)
        group->consumer->target_epoch = group->consumer->epoch;
    free(assign.members);
    free(partitions);
    return made;
}
