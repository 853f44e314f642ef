/* Members of both protocols: their memory, their ids, the ends of their sessions. Under the group's lock. */
#include <topic/groups_int.h>

#include <assert.h>
#include <base/text.h>
#include <os/os.h>
#include <stdlib.h>

/* What is only shown is cut, not refused. */
static cairn_str
cut(cairn_str text)
{
    return (cairn_str){text.data, text.size < MEMBER_BASE_MAX ? text.size : MEMBER_BASE_MAX};
}

/* Random enough that nobody guesses another member's: <base>-<16 bytes in hexadecimal, as a UUID>. */
bool
member_make_id(cairn_str base, cairn_str *ret)
{
    char text[UUID_TEXT_SIZE];
    cairn_uuid id;
    os_random(os_real(), id.bytes, sizeof id.bytes);
    id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0F) | 0x40); /* version 4 */
    id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3F) | 0x80);
    format_uuid(id, text);
    size_t base_size = cut(base).size;
    char *whole = malloc(base_size + 1 + UUID_TEXT_SIZE - 1);
    if (whole == NULL)
        return false;
    if (base_size > 0)
        memcpy(whole, base.data, base_size);
    whole[base_size] = '-';
    memcpy(whole + base_size + 1, text, UUID_TEXT_SIZE - 1);
    *ret = (cairn_str){whole, base_size + UUID_TEXT_SIZE};
    return true;
}

static cairn_str
copy_to(char **at, cairn_str text)
{
    cairn_str copy = {*at, text.size};
    if (text.size > 0)
        memcpy(*at, text.data, text.size);
    *at += text.size;
    return copy;
}

static bool
is_among(cairn_str name, const struct group_protocol *items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (cairn_str_equal(items[i].name, name))
            return true;
    return false;
}

/* Each name once: the first counts. */
struct protocols *
protocols_copy(const struct group_protocol *items, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += items[i].name.size + items[i].metadata.size;
    bytes += sizeof(struct protocols) + count * sizeof *items;
    struct protocols *copy = malloc(bytes);
    if (copy == NULL)
        return NULL;
    *copy = (struct protocols){.bytes = bytes};
    char *at = (char *)&copy->items[count];
    for (size_t i = 0; i < count; i++) {
        if (is_among(items[i].name, copy->items, copy->count))
            continue;
        struct group_protocol *item = &copy->items[copy->count++];
        item->name = copy_to(&at, items[i].name);
        item->metadata = copy_to(&at, items[i].metadata);
    }
    return copy;
}

bool
member_recount(struct turn *turn, struct member *member, size_t before, size_t after)
{
    if (after > before && !bytes_take(turn, after - before))
        return false;
    if (after < before)
        bytes_give(turn->groups, before - after);
    member->bytes += after - before;
    return true;
}

bool
member_assign(struct turn *turn, struct member *member, cairn_str assignment)
{
    (void)member_recount(turn, member, member->assignment.size, 0); /* less is never refused */
    str_free(&member->assignment);
    if (!member_recount(turn, member, 0, assignment.size))
        return false;
    if (str_copy(assignment, &member->assignment))
        return true;
    (void)member_recount(turn, member, assignment.size, 0);
    return false;
}

static void
free_member(struct turn *turn, struct member *member)
{
    bytes_give(turn->groups, member->bytes);
    str_free(&member->id);
    str_free(&member->instance_id);
    str_free(&member->client_id);
    str_free(&member->client_host);
    str_free(&member->assignment);
    free(member->protocols);
    free(member);
}

struct member *
member_new(struct turn *turn, cairn_str id, cairn_str instance_id, cairn_str client_id, cairn_str client_host)
{
    struct member *member = calloc(1, sizeof *member);
    if (member == NULL)
        return NULL;
    size_t bytes = sizeof *member + id.size + instance_id.size + cut(client_id).size + cut(client_host).size;
    bool made = member_recount(turn, member, 0, bytes) && str_copy(id, &member->id) && str_copy(instance_id, &member->instance_id)
                && str_copy(cut(client_id), &member->client_id)
                && str_copy(cut(client_host), &member->client_host)
                && timers_reserve(&turn->groups->timers, 1);
    if (!made) {
        free_member(turn, member);
        return NULL;
    }
    member->timer = (struct timer){.group = turn->group, .kind = TIMER_MEMBER};
    member->deadline_ms = NEVER;
    return member;
}

void
member_enter(struct turn *turn, struct member *member)
{
    struct kgroup *group = turn->group;
    names_put(&group->by_id, &member->by_id, member->id);
    if (member->instance_id.size > 0)
        names_put(&group->by_instance, &member->by_instance, member->instance_id);
    member->previous = group->last;
    *(group->last ? &group->last->next : &group->first) = member;
    group->last = member;
    group->entered = true;
}

void
member_free(struct turn *turn, struct member *member)
{
    struct kgroup *group = turn->group;
    assert(member->join == NULL && member->sync == NULL);
    timer_cancel(turn->groups, &member->timer);
    timers_give_back(&turn->groups->timers, 1);
    names_remove(&group->by_id, &member->by_id);
    if (member->instance_id.size > 0)
        names_remove(&group->by_instance, &member->by_instance);
    *(member->previous ? &member->previous->next : &group->first) = member->next;
    *(member->next ? &member->next->previous : &group->last) = member->previous;
    consumer_member_free(turn, member);
    free_member(turn, member);
}

/* One that could not enter after all. */
void
member_abandon(struct turn *turn, struct member *member)
{
    timers_give_back(&turn->groups->timers, 1);
    free_member(turn, member);
}

struct member *
member_by_id(const struct kgroup *group, cairn_str id)
{
    struct link *link = names_get(&group->by_id, id);
    return link ? OWNER_OF(link, struct member, by_id) : NULL;
}

struct member *
member_by_instance(const struct kgroup *group, cairn_str instance_id)
{
    struct link *link = names_get(&group->by_instance, instance_id);
    return link ? OWNER_OF(link, struct member, by_instance) : NULL;
}

static struct member *
skip_pending(struct member *member)
{
    while (member != NULL && member->pending)
        member = member->next;
    return member;
}

struct member *
member_first(const struct kgroup *group)
{
    return skip_pending(group->first);
}

struct member *
member_after(const struct member *member)
{
    return skip_pending(member->next);
}

/* While there is a deadline the timer is armed at or before it, or has come due and waits to be handled. */
void
member_deadline(struct turn *turn, struct member *member, int64_t due_ms)
{
    int64_t before_ms = member->deadline_ms;
    member->deadline_ms = due_ms;
    if (due_ms < before_ms)
        timer_arm(turn->groups, &member->timer, due_ms);
}
