/* os/sim_tree.c: folders and names of the simulated disk.
 *
 * A live folder is what programs see. A durable folder is what a power cut surely leaves. Between
 * the two stands the list of pending changes (new name, link, rename, unlink): sync_dir moves those
 * of its folder from the list into the durable folders, and a cut applies some of them and drops the
 * others.
 *
 * No change is seen without those it depends on: earlier ones of the same name, since a journal
 * writes these in order, and for a folder that moves all earlier ones. Changes of different names
 * are independent, which is all that POSIX promises; a file system with one journal shows only
 * outcomes in which the changes kept are the first ones, and half of the random cuts are like that.
 *
 * A file made durable by os_sync may still lack its name: ext4 would have written it too, but
 * nobody should rely on that. */
#include "sim_int.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* ---- folders ---- */

/* The entry's index, or where it would have to be inserted. */
static size_t
find_entry(const struct sim_folder *folder, const char *name, bool *ret_found)
{
    size_t low = 0, high = folder->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(folder->entries[middle].name, name);
        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_found = false;
    return low;
}

static struct sim_node *
look_up(const struct sim_folder *folder, const char *name)
{
    bool found;
    size_t i = find_entry(folder, name, &found);
    return found ? folder->entries[i].node : NULL;
}

static int
reserve_entries(struct sim_folder *folder, size_t more)
{
    if (folder->capacity - folder->count >= more)
        return 0;
    size_t capacity = folder->count + more + 8;
    struct sim_entry *larger = realloc(folder->entries, capacity * sizeof *larger);
    if (!larger)
        return -ENOMEM;
    folder->entries = larger;
    folder->capacity = capacity;
    return 0;
}

/* Point a name at a node; takes over the name and one reference. There is room. What the name pointed
 * at before: its reference passes to the caller. */
static struct sim_node *
put_entry(struct sim_folder *folder, char *name, struct sim_node *node)
{
    bool found;
    size_t i = find_entry(folder, name, &found);
    if (found) {
        struct sim_node *before = folder->entries[i].node;
        folder->entries[i].node = node;
        free(name);
        return before;
    }
    assert(folder->count < folder->capacity);
    memmove(folder->entries + i + 1, folder->entries + i,
            (folder->count - i) * sizeof *folder->entries);
    folder->entries[i] = (struct sim_entry){name, node};
    folder->count++;
    return NULL;
}

/* What the name pointed at: its reference passes to the caller; NULL where there is no such name. */
static struct sim_node *
take_entry(struct sim_folder *folder, const char *name)
{
    bool found;
    size_t i = find_entry(folder, name, &found);
    if (!found)
        return NULL;
    struct sim_node *node = folder->entries[i].node;
    free(folder->entries[i].name);
    folder->count--;
    memmove(folder->entries + i, folder->entries + i + 1,
            (folder->count - i) * sizeof *folder->entries);
    return node;
}

/* Fill an empty folder with copies of another one's entries; nodes[slot] stands for the node in that
 * slot. Takes references. */
static int
copy_entries(struct sim_folder *to, const struct sim_folder *from, struct sim_node **nodes)
{
    int err = reserve_entries(to, from->count);
    for (size_t i = 0; !err && i < from->count; i++) {
        char *name = strdup(from->entries[i].name);
        if (!name)
            return -ENOMEM;
        struct sim_node *node = nodes[from->entries[i].node->slot];
        node->references++;
        to->entries[to->count++] = (struct sim_entry){name, node};
    }
    return err;
}

static void
free_entries(struct sim_folder *folder)
{
    for (size_t i = 0; i < folder->count; i++)
        free(folder->entries[i].name);
    free(folder->entries);
    *folder = (struct sim_folder){0};
}

/* ---- nodes ---- */

struct sim_node *
sim_node_new(struct os_sim *sim, bool is_folder)
{
    if (sim->node_count == sim->node_capacity) {
        uint32_t capacity = sim->node_capacity ? sim->node_capacity * 2 : 16;
        struct sim_node **larger = realloc(sim->nodes, capacity * sizeof *larger);
        if (!larger)
            return NULL;
        sim->nodes = larger;
        sim->node_capacity = capacity;
    }
    struct sim_node *node = calloc(1, sizeof *node);
    if (!node)
        return NULL;
    node->references = 1;
    node->is_folder = is_folder;
    node->slot = sim->node_count;
    sim->nodes[sim->node_count++] = node;
    return node;
}

static void
free_node(struct sim_node *node)
{
    sim_data_free(&node->data);
    free_entries(&node->live);
    free_entries(&node->durable);
    free(node);
}

static void
release_entries(struct os_sim *sim, struct sim_folder *folder)
{
    for (size_t i = 0; i < folder->count; i++)
        sim_node_release(sim, folder->entries[i].node);
}

void
sim_node_release(struct os_sim *sim, struct sim_node *node)
{
    if (!node || --node->references > 0)
        return;
    release_entries(sim, &node->live);
    release_entries(sim, &node->durable);
    struct sim_node *last = sim->nodes[--sim->node_count];
    last->slot = node->slot;
    sim->nodes[last->slot] = last;
    free_node(node);
}

/* A live name of the node is gone: its space is free again once nobody has it open. */
static void
release_name(struct os_sim *sim, struct sim_node *node)
{
    if (!node)
        return;
    node->names--;
    if (node->names == 0 && node->opens == 0)
        sim->used_pages -= node->data.page_count;
    sim_node_release(sim, node);
}

/* ---- paths ---- */

/* Step into a component that is not the last one. */
static int
descend(struct sim_place *place, const char *name)
{
    if (strcmp(name, ".") == 0)
        return 0;
    if (strcmp(name, "..") == 0) {
        if (place->depth > 1)
            place->depth--;
        return 0;
    }
    struct sim_node *child = look_up(&place->above[place->depth - 1]->live, name);
    if (!child)
        return -ENOENT;
    if (!child->is_folder)
        return -ENOTDIR;
    if (place->depth == SIM_DEPTH_MAX)
        return -ENAMETOOLONG;
    place->above[place->depth++] = child;
    return 0;
}

/* The next component into `name`; *path moves behind it and the slashes that follow. */
static int
next_component(const char **path, char name[SIM_NAME_MAX + 1])
{
    size_t size = strcspn(*path, "/");
    if (size > SIM_NAME_MAX)
        return -ENAMETOOLONG;
    memcpy(name, *path, size);
    name[size] = '\0';
    *path += size;
    *path += strspn(*path, "/");
    return 0;
}

int
sim_find(struct os_sim *sim, const char *path, struct sim_place *ret)
{
    if (*path == '\0')
        return -ENOENT;
    ret->above[0] = sim->root; /* also the current folder: there is no other */
    ret->depth = 1;
    path += strspn(path, "/");
    while (*path) {
        int err = next_component(&path, ret->name);
        if (err)
            return err;
        if (*path == '\0' && strcmp(ret->name, ".") != 0 && strcmp(ret->name, "..") != 0) {
            ret->folder = ret->above[ret->depth - 1];
            ret->node = look_up(&ret->folder->live, ret->name);
            return 0;
        }
        err = descend(ret, ret->name);
        if (err)
            return err;
    }
    ret->folder = NULL;
    ret->name[0] = '\0';
    ret->node = ret->above[ret->depth - 1];
    return 0;
}

/* ---- changes ---- */

static void
free_change(struct os_sim *sim, struct sim_change *change)
{
    free(change->from);
    free(change->to);
    sim_node_release(sim, change->from_folder);
    sim_node_release(sim, change->to_folder);
    sim_node_release(sim, change->node);
    *change = (struct sim_change){0};
}

static struct sim_node *
hold(struct sim_node *node)
{
    node->references++;
    return node;
}

/* Copy what a change needs into a free place at the end of the list, which is not counted yet. */
static int
prepare_change(struct os_sim *sim, const struct sim_place *from, bool keeps_from,
               const struct sim_place *to, struct sim_node *node)
{
    if (sim->pending_count == sim->pending_capacity) {
        size_t capacity = sim->pending_capacity ? sim->pending_capacity * 2 : 16;
        struct sim_change *larger = realloc(sim->pending, capacity * sizeof *larger);
        if (!larger)
            return -ENOMEM;
        sim->pending = larger;
        sim->pending_capacity = capacity;
    }
    struct sim_change *change = &sim->pending[sim->pending_count];
    *change = (struct sim_change){.keeps_from = keeps_from, .node = hold(node)};
    if (from) {
        change->from_folder = hold(from->folder);
        change->from = strdup(from->name);
    }
    if (to) {
        change->to_folder = hold(to->folder);
        change->to = strdup(to->name);
    }
    if ((from && !change->from) || (to && !change->to)) {
        free_change(sim, change);
        return -ENOMEM;
    }
    return 0;
}

int
sim_change_names(struct os_sim *sim, const struct sim_place *from, bool keeps_from,
                 const struct sim_place *to, struct sim_node *node)
{
    int err = prepare_change(sim, from, keeps_from, to, node);
    if (err)
        return err;
    char *name = to ? strdup(to->name) : NULL;
    if (to && (!name || reserve_entries(&to->folder->live, 1))) {
        free(name);
        free_change(sim, &sim->pending[sim->pending_count]);
        return -ENOMEM;
    }

    if (to) {
        node->names++;
        release_name(sim, put_entry(&to->folder->live, name, hold(node)));
    }
    if (from && !keeps_from)
        release_name(sim, take_entry(&from->folder->live, from->name));
    sim->pending_count++;
    return 0;
}

static bool
is_same_name(const struct sim_node *folder_a, const char *a, const struct sim_node *folder_b,
             const char *b)
{
    return folder_a && folder_a == folder_b && strcmp(a, b) == 0;
}

static bool
depends_on(const struct sim_change *later, const struct sim_change *earlier)
{
    bool moves_folder = later->node->is_folder && later->from_folder;
    return moves_folder ||
           is_same_name(later->from_folder, later->from, earlier->from_folder, earlier->from) ||
           is_same_name(later->from_folder, later->from, earlier->to_folder, earlier->to) ||
           is_same_name(later->to_folder, later->to, earlier->from_folder, earlier->from) ||
           is_same_name(later->to_folder, later->to, earlier->to_folder, earlier->to);
}

/* Keep also what the kept changes depend on. */
static void
close_over(const struct os_sim *sim, bool *kept)
{
    for (size_t i = sim->pending_count; i-- > 0;)
        for (size_t j = i; kept[i] && j-- > 0;)
            kept[j] = kept[j] || depends_on(&sim->pending[i], &sim->pending[j]);
}

/* Apply a kept change to the durable folders and free it. */
static void
make_durable(struct os_sim *sim, struct sim_change *change)
{
    if (change->to_folder) {
        sim_node_release(sim, put_entry(&change->to_folder->durable, change->to, hold(change->node)));
        change->to = NULL; /* the folder's now */
    }
    if (change->from_folder && !change->keeps_from)
        sim_node_release(sim, take_entry(&change->from_folder->durable, change->from));
    free_change(sim, change);
}

int
sim_folder_sync(struct os_sim *sim, struct sim_node *folder)
{
    size_t count = sim->pending_count;
    if (count == 0)
        return 0;
    bool *kept = calloc(count, sizeof *kept);
    if (!kept)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        kept[i] = sim->pending[i].from_folder == folder || sim->pending[i].to_folder == folder;
    close_over(sim, kept);

    int err = 0;
    for (size_t i = 0; i < count && !err; i++)
        if (kept[i] && sim->pending[i].to_folder)
            err = reserve_entries(&sim->pending[i].to_folder->durable, count);
    size_t left = 0;
    for (size_t i = 0; i < count && !err; i++) {
        if (kept[i])
            make_durable(sim, &sim->pending[i]);
        else
            sim->pending[left++] = sim->pending[i];
    }
    if (!err)
        sim->pending_count = left;
    free(kept);
    return err;
}

/* ---- the cut ---- */

static void
choose_changes(const struct os_sim *sim, enum os_cut how, uint64_t *random, bool *kept)
{
    static const uint8_t percents[] = {10, 50, 90};
    size_t count = sim->pending_count;
    bool is_journal = sim_chance(random, 50);
    unsigned percent = percents[sim_random(random) % sizeof percents];
    size_t first_lost = sim_random(random) % (count + 1);
    for (size_t i = 0; i < count; i++)
        kept[i] = how == OS_CUT_KEEP ||
                  (how == OS_CUT_RANDOM &&
                   (is_journal ? i < first_lost : sim_chance(random, percent)));
    close_over(sim, kept);
}

/* Apply a change of the old disk to the durable folders of the new one. */
static int
replay_change(struct os_sim *cut, const struct sim_change *change, struct sim_node **nodes)
{
    if (change->to_folder) {
        struct sim_folder *folder = &nodes[change->to_folder->slot]->durable;
        char *name = strdup(change->to);
        if (!name || reserve_entries(folder, 1)) {
            free(name);
            return -ENOMEM;
        }
        sim_node_release(cut, put_entry(folder, name, hold(nodes[change->node->slot])));
    }
    if (change->from_folder && !change->keeps_from)
        sim_node_release(
            cut, take_entry(&nodes[change->from_folder->slot]->durable, change->from));
    return 0;
}

static int
replay_changes(const struct os_sim *sim, enum os_cut how, uint64_t *random, struct os_sim *cut,
               struct sim_node **nodes)
{
    bool *kept = calloc(sim->pending_count + 1, sizeof *kept);
    if (!kept)
        return -ENOMEM;
    choose_changes(sim, how, random, kept);
    int err = 0;
    for (size_t i = 0; i < sim->pending_count && !err; i++)
        if (kept[i])
            err = replay_change(cut, &sim->pending[i], nodes);
    free(kept);
    return err;
}

/* The durable folders become the live ones. */
static int
mount(struct os_sim *cut)
{
    struct sim_node **nodes = cut->nodes;
    for (uint32_t slot = 0; slot < cut->node_count; slot++) {
        int err = copy_entries(&nodes[slot]->live, &nodes[slot]->durable, nodes);
        if (err)
            return err;
        for (size_t i = 0; i < nodes[slot]->live.count; i++)
            nodes[slot]->live.entries[i].node->names++;
    }
    return 0;
}

/* Nodes are made in the order of their old slots, so that old and new slots agree and `cut->nodes` maps the
 * ones to the others. Each holds a reference of ours until all is in place; what then has no name is
 * lost. */
int
sim_tree_cut(const struct os_sim *sim, enum os_cut how, uint64_t *random, struct os_sim *cut)
{
    for (uint32_t slot = 0; slot < sim->node_count; slot++)
        if (!sim_node_new(cut, sim->nodes[slot]->is_folder))
            return -ENOMEM;
    struct sim_node **nodes = cut->nodes;
    cut->root = hold(nodes[sim->root->slot]);

    int err = 0;
    for (uint32_t slot = 0; slot < sim->node_count && !err; slot++)
        err = copy_entries(&nodes[slot]->durable, &sim->nodes[slot]->durable, nodes);
    if (!err)
        err = replay_changes(sim, how, random, cut, nodes);
    if (!err)
        err = mount(cut);
    for (uint32_t slot = 0; slot < sim->node_count && !err; slot++)
        if (nodes[slot]->names > 0)
            err = sim_data_cut(&sim->nodes[slot]->data, how, random, &nodes[slot]->data);
    if (err)
        return err;

    /* From the end: what is freed on the way, and what moves into its slot, has been seen. */
    for (uint32_t slot = sim->node_count; slot-- > 0;)
        sim_node_release(cut, nodes[slot]);
    for (uint32_t slot = 0; slot < cut->node_count; slot++)
        cut->used_pages += nodes[slot]->data.page_count;
    return 0;
}

void
sim_tree_free(struct os_sim *sim)
{
    for (uint32_t slot = 0; slot < sim->node_count; slot++)
        free_node(sim->nodes[slot]);
    for (size_t i = 0; i < sim->pending_count; i++) {
        free(sim->pending[i].from);
        free(sim->pending[i].to);
    }
    free(sim->pending);
    free(sim->nodes);
}
