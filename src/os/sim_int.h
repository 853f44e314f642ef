/* os/sim_int.h: inside the simulated disk. Private to sim*.c.
 *
 *   sim.c       the calls, the clock, the moment of the cut
 *   sim_tree.c  folders and names: what is there, what is durable, and the changes in between
 *   sim_data.c  bytes of files: what is there, what is durable, and what a cut may leave
 *
 * Everything exists twice: *live*, as programs see it, and *durable*, as it has surely reached the
 * disk. Files differ by pages, folders by a list of pending changes. Invariants:
 *
 *   1. A page whose live and durable pointers differ lies in [dirty_begin, dirty_end).
 *   2. Bytes beyond a file's live (durable) size are zeros in its live (durable) pages.
 *   3. A page or table with more than one reference is never written: it is copied first.
 *   4. Applying the pending changes, in order, to the durable folders gives the live folders.
 *
 * References are plain counters and cross from a disk to those made of it by a cut, so a disk and
 * all its descendants belong to one thread. */
#ifndef OS_SIM_INT_H
#define OS_SIM_INT_H

#include <os/twin.h>

#define SIM_PAGE 4096
#define SIM_SECTORS (SIM_PAGE / OS_SIM_SECTOR)
#define SIM_FILE_MAX (UINT64_C(4) << 30) /* bounds the page tables */
#define SIM_DEPTH_MAX 32                 /* components of a path */
#define SIM_NAME_MAX 255
#define SIM_PIECES_MAX 1024

/* splitmix64 (Steele, Lea, Flood 2014): the whole state is one number. */
static inline uint64_t
sim_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* True in `percent` of 100 cases. */
static inline bool
sim_chance(uint64_t *state, unsigned percent)
{
    return sim_random(state) % 100 < percent;
}

/* ---- sim_data.c ---- */

struct sim_pages; /* a table of pages, shared between files and disks until written */

struct sim_data {
    struct sim_pages *live, *durable; /* NULL: all zeros */
    uint64_t size, durable_size;
    uint64_t low_size; /* smallest size since the last sync; at most size and durable_size */
    uint64_t dirty_begin, dirty_end; /* page numbers */
    uint64_t page_count;             /* live pages that take up space */
};

size_t sim_data_read(const struct sim_data *data, void *to, size_t size, uint64_t offset);
/* Writes what fits: every page that was a hole takes one of *pages_left. The number of bytes written,
 * or -ENOMEM. offset + size is at most SIM_FILE_MAX. */
ssize_t sim_data_write(struct sim_data *data, const void *bytes, size_t size, uint64_t offset,
                       uint64_t *pages_left);
int sim_data_truncate(struct sim_data *data, uint64_t size);
int sim_data_sync(struct sim_data *data);
int sim_data_flip(struct sim_data *data, uint64_t offset, uint8_t bits);
void sim_data_free(struct sim_data *data);
/* What is left of `data` after the cut, into the zeroed *ret. Needs sim_data_free() also on failure. */
int sim_data_cut(const struct sim_data *data, enum os_cut how, uint64_t *random,
                 struct sim_data *ret);

/* ---- sim_tree.c ---- */

struct sim_entry {
    char *name; /* owned */
    struct sim_node *node;
};

/* Entries sorted by name. */
struct sim_folder {
    struct sim_entry *entries;
    size_t count, capacity;
};

/* A file or a folder. It lives as long as something refers to it: an entry of a live or a durable
 * folder, a pending change, an open file, the disk's root. */
struct sim_node {
    uint32_t references;
    uint32_t slot;  /* in os_sim.nodes */
    uint32_t names; /* live entries */
    uint32_t opens;
    bool is_folder;
    struct os_file *lock_owner;
    struct sim_data data;
    struct sim_folder live, durable;
};

/* A change of names that no sync_dir has made durable yet. Atomic. */
struct sim_change {
    struct sim_node *from_folder; /* NULL: no old name (a new file or folder) */
    char *from;
    bool keeps_from;            /* a link: the old name stays */
    struct sim_node *to_folder; /* NULL: no new name (unlink) */
    char *to;
    struct sim_node *node;
};

struct os_sim {
    struct os os;
    struct sim_node *root;
    struct sim_node **nodes; /* all of them, in no order that matters */
    uint32_t node_count, node_capacity;
    struct sim_change *pending; /* oldest first */
    size_t pending_count, pending_capacity;

    uint64_t random;
    int64_t clock_base_us;
    int64_t ticks_us;
    uint64_t steps, cut_at;
    bool off;
    uint64_t used_pages;
    uint64_t space_limit; /* bytes; UINT64_MAX: none */
};

/* Where a path leads. */
struct sim_place {
    struct sim_node *folder; /* that holds the name; NULL: the path is a folder without a name (/ or .) */
    char name[SIM_NAME_MAX + 1];
    struct sim_node *node; /* what is there; NULL: nothing */
    struct sim_node *above[SIM_DEPTH_MAX]; /* the folders passed through, from the root */
    int depth;
};

/* A node with one reference, the caller's; NULL: out of memory. */
struct sim_node *sim_node_new(struct os_sim *sim, bool is_folder);
void sim_node_release(struct os_sim *sim, struct sim_node *node);
/* -ENOENT when a folder on the way is missing; a missing last name is not an error. */
int sim_find(struct os_sim *sim, const char *path, struct sim_place *ret);
/* Make a change live and remember it as pending: new name `to` for the node, old name `from` gone.
 * Either may be NULL. The rules of rename and link have been checked. */
int sim_change_names(struct os_sim *sim, const struct sim_place *from, bool keeps_from,
                     const struct sim_place *to, struct sim_node *node);
/* Make durable what is pending in a folder, and what that depends on. */
int sim_folder_sync(struct os_sim *sim, struct sim_node *folder);
/* Build the nodes of `cut`, an empty disk without a root, as the cut leaves those of `sim`. */
int sim_tree_cut(const struct os_sim *sim, enum os_cut how, uint64_t *random, struct os_sim *cut);
void sim_tree_free(struct os_sim *sim);

#endif
