/* The server's assignors (KIP-848): who should have which partitions. Pure functions: no group, no lock, no clock.
 *
 * uniform  as even as can be, and as little moved as can be. Where all want the same topics: each has P/N or one more, and keeps
 *          of what it had as much as that allows. Otherwise: what is free goes to whoever wants it and has least, and then
 *          partitions move from who has at least two more to who wants them, until none can.
 * range    topic by topic, neighbouring partitions to members in the order of their names: so the same partitions of topics of
 *          one size come together, where the same members want them. */
#include <topic/group_consumer_int.h>

#include <stdlib.h>

#define NOBODY UINT32_MAX
#define PASSES_MAX 64 /* over all topics, in which partitions move for balance */

/* The tables of one call: partitions of all topics in a row. */
struct plan {
    struct assign *assign;
    size_t *first;      /* of each topic, in the row */
    size_t total;       /* partitions that anybody wants */
    uint32_t *owner;    /* by place in the row */
    size_t *count;      /* by member */
    uint32_t *order;    /* members, for whatever needs a list of them */
    bool *wanted;       /* by topic */
};

static void
plan_free(struct plan *plan)
{
    free(plan->first);
    free(plan->owner);
    free(plan->count);
    free(plan->order);
    free(plan->wanted);
}

static bool
plan_new(struct assign *assign, struct plan *ret)
{
    *ret = (struct plan){.assign = assign};
    size_t topics = assign->topic_count + 1, members = assign->member_count + 1, row = 0;
    ret->first = calloc(topics, sizeof *ret->first);
    ret->wanted = calloc(topics, sizeof *ret->wanted);
    ret->count = calloc(members, sizeof *ret->count);
    ret->order = calloc(members, sizeof *ret->order);
    for (size_t i = 0; ret->first != NULL && i < assign->topic_count; i++) {
        ret->first[i] = row;
        row += assign->partitions[i];
    }
    ret->owner = malloc((row + 1) * sizeof *ret->owner);
    if (ret->first == NULL || ret->wanted == NULL || ret->count == NULL || ret->order == NULL || ret->owner == NULL) {
        plan_free(ret);
        return false;
    }
    for (size_t i = 0; i < row; i++)
        ret->owner[i] = NOBODY;
    for (size_t m = 0; m < assign->member_count; m++)
        for (size_t t = 0; t < assign->members[m].topics->count; t++)
            ret->wanted[assign->members[m].topics->items[t]] = true;
    for (size_t i = 0; i < assign->topic_count; i++)
        if (ret->wanted[i])
            ret->total += assign->partitions[i];
    return true;
}

/* Is it still one that the member may have? */
static bool
is_valid(const struct plan *plan, const struct assign_member *member, uint64_t item)
{
    uint64_t topic = item >> 32;
    return topic < plan->assign->topic_count && (uint32_t)item < plan->assign->partitions[topic]
           && set_has(member->topics, topic);
}

static void
give(struct plan *plan, size_t place, uint32_t member)
{
    if (plan->owner[place] != NOBODY)
        plan->count[plan->owner[place]]--;
    plan->owner[place] = member;
    plan->count[member]++;
}

/* Of what it had, at most `most`. */
static void
keep_old(struct plan *plan, uint32_t m, size_t most)
{
    const struct assign_member *member = &plan->assign->members[m];
    for (size_t i = 0; i < member->old->count && plan->count[m] < most; i++) {
        uint64_t item = member->old->items[i];
        size_t place = is_valid(plan, member, item) ? plan->first[item >> 32] + (uint32_t)item : SIZE_MAX;
        if (place != SIZE_MAX && plan->owner[place] == NOBODY)
            give(plan, place, m);
    }
}

/* From the row into each member's set; the row is in the order of topics and partitions, so the sets are sorted. */
static bool
hand_over(struct plan *plan)
{
    struct assign *assign = plan->assign;
    for (size_t m = 0; m < assign->member_count; m++) {
        assign->members[m].now = (struct set){0};
        if (plan->count[m] > 0 && (assign->members[m].now.items = malloc(plan->count[m] * sizeof(uint64_t))) == NULL)
            return false;
    }
    for (size_t t = 0; t < assign->topic_count; t++) {
        for (uint32_t p = 0; p < assign->partitions[t]; p++) {
            uint32_t owner = plan->owner[plan->first[t] + p];
            if (owner == NOBODY)
                continue;
            struct set *now = &assign->members[owner].now;
            now->items[now->count++] = (uint64_t)t << 32 | p;
        }
    }
    return true;
}

/* ---- all want the same ------------------------------------------------------------------------------------------------------------ */

static bool
all_want_the_same(const struct assign *assign)
{
    for (size_t m = 1; m < assign->member_count; m++)
        if (!set_equal(assign->members[m].topics, assign->members[0].topics))
            return false;
    return true;
}

static size_t
valid_old(const struct plan *plan, const struct assign_member *member, size_t enough)
{
    size_t count = 0;
    for (size_t i = 0; i < member->old->count && count < enough; i++)
        count += is_valid(plan, member, member->old->items[i]);
    return count;
}

/* Who had more than the smaller share keeps one of the larger ones, as long as there are any. */
static size_t
keep_shares(struct plan *plan, size_t share, size_t larger)
{
    for (uint32_t m = 0; m < plan->assign->member_count; m++) {
        bool large = larger > 0 && valid_old(plan, &plan->assign->members[m], share + 1) > share;
        keep_old(plan, m, share + large);
        larger -= plan->count[m] > share;
    }
    return larger;
}

/* The rest, a partition to each in turn, so that a topic's partitions spread. */
static void
deal_rest(struct plan *plan, size_t share, size_t larger)
{
    const struct assign *assign = plan->assign;
    size_t in_turn = 0, at = 0;
    for (uint32_t m = 0; m < assign->member_count; m++)
        if (plan->count[m] <= share) /* at the share exactly: it may yet be one of the larger */
            plan->order[in_turn++] = m;
    for (size_t t = 0; t < assign->topic_count; t++) {
        for (uint32_t p = 0; plan->wanted[t] && p < assign->partitions[t]; p++) {
            if (plan->owner[plan->first[t] + p] != NOBODY)
                continue;
            for (;;) {
                at = at < in_turn ? at : 0;
                uint32_t m = plan->order[at];
                bool more = plan->count[m] < share || (plan->count[m] == share && larger > 0);
                if (more) {
                    larger -= plan->count[m] == share;
                    give(plan, plan->first[t] + p, m);
                    at++;
                    break;
                }
                plan->order[at] = plan->order[--in_turn];
            }
        }
    }
}

static void
uniform_same(struct plan *plan)
{
    size_t members = plan->assign->member_count, share = plan->total / members, larger = plan->total % members;
    larger = keep_shares(plan, share, larger);
    deal_rest(plan, share, larger);
}

/* ---- they want different topics ----------------------------------------------------------------------------------------------------- */

static size_t
subscribers_of(struct plan *plan, size_t topic)
{
    size_t count = 0;
    for (uint32_t m = 0; m < plan->assign->member_count; m++)
        if (set_has(plan->assign->members[m].topics, topic))
            plan->order[count++] = m;
    return count;
}

static void
sink(const struct plan *plan, uint32_t *heap, size_t count, size_t at)
{
    uint32_t member = heap[at];
    for (size_t child; (child = at * 2 + 1) < count; at = child) {
        if (child + 1 < count && plan->count[heap[child + 1]] < plan->count[heap[child]])
            child++;
        if (plan->count[heap[child]] >= plan->count[member])
            break;
        heap[at] = heap[child];
    }
    heap[at] = member;
}

static void
give_free(struct plan *plan, size_t topic)
{
    size_t count = subscribers_of(plan, topic);
    for (size_t i = count / 2; i-- > 0;)
        sink(plan, plan->order, count, i);
    for (uint32_t p = 0; p < plan->assign->partitions[topic]; p++) {
        size_t place = plan->first[topic] + p;
        if (plan->owner[place] != NOBODY)
            continue;
        give(plan, place, plan->order[0]);
        sink(plan, plan->order, count, 0);
    }
}

/* From who has most among its owners to who has least among those who want it. Every move makes the whole more even, so it ends. */
static bool
level(struct plan *plan, size_t topic)
{
    size_t count = subscribers_of(plan, topic);
    bool moved = false;
    for (;;) {
        uint32_t least = plan->order[0];
        size_t from = SIZE_MAX;
        for (size_t i = 1; i < count; i++)
            if (plan->count[plan->order[i]] < plan->count[least])
                least = plan->order[i];
        for (uint32_t p = plan->assign->partitions[topic]; p-- > 0;) {
            size_t place = plan->first[topic] + p;
            if (from == SIZE_MAX || plan->count[plan->owner[place]] > plan->count[plan->owner[from]])
                from = place;
        }
        if (from == SIZE_MAX || plan->count[plan->owner[from]] < plan->count[least] + 2)
            return moved;
        give(plan, from, least);
        moved = true;
    }
}

static void
uniform_different(struct plan *plan)
{
    const struct assign *assign = plan->assign;
    for (uint32_t m = 0; m < assign->member_count; m++)
        keep_old(plan, m, SIZE_MAX);
    for (size_t t = 0; t < assign->topic_count; t++)
        if (plan->wanted[t])
            give_free(plan, t);
    bool moved = true;
    for (int pass = 0; moved && pass < PASSES_MAX; pass++) {
        moved = false;
        for (size_t t = 0; t < assign->topic_count; t++)
            if (plan->wanted[t])
                moved |= level(plan, t);
    }
}

bool
assign_uniform(struct assign *assign)
{
    struct plan plan;
    if (assign->member_count == 0)
        return true;
    if (!plan_new(assign, &plan))
        return false;
    if (all_want_the_same(assign))
        uniform_same(&plan);
    else
        uniform_different(&plan);
    bool done = hand_over(&plan);
    plan_free(&plan);
    return done;
}

/* ---- range -------------------------------------------------------------------------------------------------------------------------- */

struct named {
    cairn_str name;
    uint32_t member;
};

static int
by_order(const void *a, const void *b)
{
    cairn_str x = ((const struct named *)a)->name, y = ((const struct named *)b)->name;
    return cairn_str_order(x, y);
}

static void
range_topic(struct plan *plan, const struct named *sorted, size_t topic)
{
    const struct assign *assign = plan->assign;
    size_t count = 0;
    for (size_t i = 0; i < assign->member_count; i++)
        if (set_has(assign->members[sorted[i].member].topics, topic))
            plan->order[count++] = sorted[i].member;
    size_t share = assign->partitions[topic] / count, larger = assign->partitions[topic] % count, place = plan->first[topic];
    for (size_t i = 0; i < count; i++)
        for (size_t n = share + (i < larger); n > 0; n--)
            give(plan, place++, plan->order[i]);
}

bool
assign_range(struct assign *assign)
{
    struct plan plan;
    if (assign->member_count == 0)
        return true;
    struct named *sorted = malloc(assign->member_count * sizeof *sorted);
    if (sorted == NULL || !plan_new(assign, &plan)) {
        free(sorted);
        return false;
    }
    for (uint32_t m = 0; m < assign->member_count; m++)
        sorted[m] = (struct named){assign->members[m].order, m};
    qsort(sorted, assign->member_count, sizeof *sorted, by_order);
    for (size_t t = 0; t < assign->topic_count; t++)
        if (plan.wanted[t])
            range_topic(&plan, sorted, t);
    free(sorted);
    bool done = hand_over(&plan);
    plan_free(&plan);
    return done;
}
