/* Names to things, for tables whose entries live in what they name: adding one needs no memory, so it cannot fail after a
 * decision has been taken. More buckets are a wish: without memory for them the chains grow. */
#include <topic/groups_int.h>

#include <base/hash.h>
#include <stdlib.h>

static struct link **
bucket_of(struct names *names, uint64_t hash)
{
    return names->buckets ? &names->buckets[hash & names->mask] : &names->first[hash & 1];
}

static void
move_all(struct link *chain, struct names *to)
{
    while (chain != NULL) {
        struct link *next = chain->next, **bucket = bucket_of(to, chain->hash);
        chain->next = *bucket;
        *bucket = chain;
        chain = next;
    }
}

static void
grow(struct names *names)
{
    size_t now = names->buckets ? names->mask + 1 : 2, capacity = now < 8 ? 8 : now * 2;
    if (names->count < now)
        return;
    struct names larger = {.buckets = calloc(capacity, sizeof *larger.buckets), .mask = capacity - 1, .count = names->count};
    if (larger.buckets == NULL)
        return;
    struct link **old = names->buckets ? names->buckets : names->first;
    for (size_t i = 0; i < now; i++)
        move_all(old[i], &larger);
    free(names->buckets);
    *names = larger;
}

void
names_put(struct names *names, struct link *link, cairn_str key)
{
    grow(names);
    link->key = key;
    link->hash = hash64(key.data, key.size, 0);
    struct link **bucket = bucket_of(names, link->hash);
    link->next = *bucket;
    *bucket = link;
    names->count++;
}

struct link *
names_get(const struct names *names, cairn_str key)
{
    uint64_t hash = hash64(key.data, key.size, 0);
    struct link *link = names->buckets ? names->buckets[hash & names->mask] : names->first[hash & 1];
    while (link != NULL && (link->hash != hash || !cairn_str_equal(link->key, key)))
        link = link->next;
    return link;
}

void
names_remove(struct names *names, struct link *link)
{
    struct link **at = bucket_of(names, link->hash);
    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    names->count--;
}

void
names_free(struct names *names)
{
    free(names->buckets);
    *names = (struct names){0};
}
