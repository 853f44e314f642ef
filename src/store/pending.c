/* A heap whose members a hash table can find: moving a member mends its slot. See the header. */
#include "pending.h"

#include <assert.h>
#include <stdlib.h>

#define CAPACITY_FIRST 16

/* Fibonacci hashing (Knuth 6.4): positions are dense, so the top bits of a product spread them. */
static size_t
slot_of(const struct pending *pending, uint64_t position)
{
    uint64_t spread = position * UINT64_C(0x9E3779B97F4A7C15);
    return (size_t)(spread >> 32) & (pending->slot_count - 1);
}

/* The slot that holds the position, or the empty one where it would be. */
static size_t
find_slot(const struct pending *pending, uint64_t position)
{
    size_t slot = slot_of(pending, position);
    while (pending->slots[slot] != 0 &&
           pending->heap[pending->slots[slot] - 1].position != position)
        slot = (slot + 1) & (pending->slot_count - 1);
    return slot;
}

static void
place(struct pending *pending, size_t index, const struct pending_entry *entry, size_t slot)
{
    pending->heap[index] = *entry;
    pending->slots[slot] = (uint32_t)index + 1;
}

static void
swap(struct pending *pending, size_t a, size_t b)
{
    size_t slot_a = find_slot(pending, pending->heap[a].position);
    size_t slot_b = find_slot(pending, pending->heap[b].position);
    struct pending_entry entry = pending->heap[a];
    place(pending, a, &pending->heap[b], slot_b);
    place(pending, b, &entry, slot_a);
}

/* By moment, then by position, so that what is due together goes out in order. */
static bool
before(const struct pending_entry *a, const struct pending_entry *b)
{
    return a->due_us != b->due_us ? a->due_us < b->due_us : a->position < b->position;
}

static size_t
sift_up(struct pending *pending, size_t index)
{
    while (index > 0) {
        size_t parent = (index - 1) / 2;
        if (!before(&pending->heap[index], &pending->heap[parent]))
            break;
        swap(pending, index, parent);
        index = parent;
    }
    return index;
}

static void
sift_down(struct pending *pending, size_t index)
{
    for (;;) {
        size_t least = index;
        for (size_t child = 2 * index + 1; child <= 2 * index + 2 && child < pending->count; child++)
            if (before(&pending->heap[child], &pending->heap[least]))
                least = child;
        if (least == index)
            return;
        swap(pending, index, least);
        index = least;
    }
}

static bool
grow(struct pending *pending)
{
    size_t capacity = pending->capacity ? pending->capacity * 2 : CAPACITY_FIRST;
    struct pending_entry *heap = realloc(pending->heap, capacity * sizeof *heap);
    if (heap == NULL)
        return false;
    pending->heap = heap;
    uint32_t *slots = calloc(capacity * 2, sizeof *slots);
    if (slots == NULL)
        return false;
    free(pending->slots);
    pending->slots = slots;
    pending->slot_count = capacity * 2;
    pending->capacity = capacity;
    for (size_t i = 0; i < pending->count; i++)
        slots[find_slot(pending, heap[i].position)] = (uint32_t)i + 1;
    return true;
}

void
pending_free(struct pending *pending)
{
    free(pending->heap);
    free(pending->slots);
    *pending = (struct pending){0};
}

bool
pending_add(struct pending *pending, const struct pending_entry *entry)
{
    if (pending->count == pending->capacity && !grow(pending))
        return false;
    size_t slot = find_slot(pending, entry->position);
    assert(pending->slots[slot] == 0);
    place(pending, pending->count, entry, slot);
    pending->back_off_count += entry->state == PENDING_BACK_OFF;
    sift_up(pending, pending->count++);
    return true;
}

const struct pending_entry *
pending_find(const struct pending *pending, uint64_t position)
{
    if (pending->count == 0)
        return NULL;
    uint32_t index = pending->slots[find_slot(pending, position)];
    return index ? &pending->heap[index - 1] : NULL;
}

const struct pending_entry *
pending_first(const struct pending *pending)
{
    return pending->count ? &pending->heap[0] : NULL;
}

void
pending_update(struct pending *pending, const struct pending_entry *entry)
{
    uint32_t index = pending->slots[find_slot(pending, entry->position)];
    assert(index != 0);
    struct pending_entry *at = &pending->heap[index - 1];
    pending->back_off_count -= at->state == PENDING_BACK_OFF;
    pending->back_off_count += entry->state == PENDING_BACK_OFF;
    *at = *entry;
    sift_down(pending, sift_up(pending, index - 1));
}

/* Empty a slot of an open-addressed table: later members of the run move up into the hole unless
 * they sit between their own place and it (Knuth 6.4, algorithm R). */
static void
clear_slot(struct pending *pending, size_t hole)
{
    size_t mask = pending->slot_count - 1;
    pending->slots[hole] = 0;
    for (size_t at = (hole + 1) & mask; pending->slots[at] != 0; at = (at + 1) & mask) {
        size_t home = slot_of(pending, pending->heap[pending->slots[at] - 1].position);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            pending->slots[hole] = pending->slots[at];
            pending->slots[at] = 0;
            hole = at;
        }
    }
}

bool
pending_remove(struct pending *pending, uint64_t position)
{
    if (pending->count == 0)
        return false;
    size_t slot = find_slot(pending, position);
    if (pending->slots[slot] == 0)
        return false;
    size_t index = pending->slots[slot] - 1, last = pending->count - 1;
    pending->back_off_count -= pending->heap[index].state == PENDING_BACK_OFF;
    if (index != last)
        swap(pending, index, last);
    clear_slot(pending, find_slot(pending, position));
    pending->count--;
    if (index != last)
        sift_down(pending, sift_up(pending, index));
    if (pending->count == 0)
        pending_free(pending); /* idle groups hold nothing */
    return true;
}

uint64_t
pending_lowest(const struct pending *pending, uint64_t none)
{
    uint64_t lowest = none;
    for (size_t i = 0; i < pending->count; i++)
        if (!pending->heap[i].replayed && pending->heap[i].position < lowest)
            lowest = pending->heap[i].position;
    return lowest;
}

size_t
pending_memory(const struct pending *pending)
{
    return pending->capacity * sizeof *pending->heap + pending->slot_count * sizeof *pending->slots;
}
