/* os/sim.c: the simulated machine: calls, clock, and the moment at which the power goes.
 *
 *   on ──(step cut_at begins)──► off        off is final: os_sim_after_cut() makes the machine
 *                                           that comes up again
 *
 * A step is a call that changes the disk: a write, a truncation, a change of names, a sync of a file
 * or a folder. A call that is refused, or that has nothing to change, is none. At the step at which the
 * power goes the change is made, so that it counts among the unsynced ones, and answered with -EIO; a
 * sync at that step does nothing. */
#include "sim_int.h"

#include <errno.h>
#include <stdlib.h>

#define CLOCK_START_US INT64_C(1767225600000000) /* 2026-01-01T00:00:00Z */
#define DISK_BYTES (UINT64_C(1) << 40)           /* free space where no limit is set */

struct os_file {
    struct sim_node *node;
    bool writable;
};

static struct os_sim *
sim_of(struct os *os)
{
    return (struct os_sim *)((char *)os - offsetof(struct os_sim, os));
}

/* Count a step; 0, or -EIO when the power goes with it. */
static int
step(struct os_sim *sim)
{
    sim->steps++;
    if (sim->cut_at && sim->steps >= sim->cut_at)
        sim->off = true;
    return sim->off ? -EIO : 0;
}

/* ---- space ---- */

static uint64_t
space_left(const struct os_sim *sim)
{
    uint64_t used = sim->used_pages * SIM_PAGE;
    if (sim->space_limit == UINT64_MAX)
        return DISK_BYTES;
    return sim->space_limit > used ? sim->space_limit - used : 0;
}

/* Files that nobody can reach any more take up no space. */
static void
account(struct os_sim *sim, const struct sim_node *node, uint64_t pages_before)
{
    if (node->names > 0 || node->opens > 0)
        sim->used_pages += node->data.page_count - pages_before;
}

/* ---- files ---- */

static int
truncate_node(struct os_sim *sim, struct sim_node *node, uint64_t size)
{
    if (size == node->data.size)
        return 0;
    uint64_t pages_before = node->data.page_count;
    int err = sim_data_truncate(&node->data, size);
    if (err)
        return err;
    account(sim, node, pages_before);
    return step(sim);
}

/* Check an open of what is there, or make the file that is not. The node is borrowed. */
static int
open_node(struct os_sim *sim, struct sim_place *place, int flags, struct sim_node **ret_node)
{
    struct sim_node *node = place->node;
    *ret_node = node;
    if (node && (flags & OS_CREATE) && (flags & OS_EXCLUSIVE))
        return -EEXIST;
    if (node && node->is_folder)
        return flags & (OS_WRITE | OS_CREATE | OS_TRUNCATE) ? -EISDIR : 0;
    if (node)
        return flags & OS_TRUNCATE ? truncate_node(sim, node, 0) : 0;
    if (!(flags & OS_CREATE))
        return -ENOENT;

    node = sim_node_new(sim, false);
    if (!node)
        return -ENOMEM;
    int err = sim_change_names(sim, NULL, false, place, node);
    sim_node_release(sim, node); /* its name holds it now */
    *ret_node = node;
    return err ? err : step(sim);
}

static int
sim_open(struct os *os, const char *path, int flags, struct os_file **ret_file)
{
    struct os_sim *sim = sim_of(os);
    if (sim->off)
        return -EIO;
    struct sim_place place;
    int err = sim_find(sim, path, &place);
    if (err)
        return err;
    struct os_file *file = malloc(sizeof *file);
    if (!file)
        return -ENOMEM;
    struct sim_node *node;
    err = open_node(sim, &place, flags, &node);
    if (err) {
        free(file);
        return err;
    }
    *file = (struct os_file){.node = node, .writable = flags & OS_WRITE};
    node->references++;
    node->opens++;
    *ret_file = file;
    return 0;
}

/* Memory is given back on a machine that is off, too. */
static int
sim_close(struct os *os, struct os_file *file)
{
    struct os_sim *sim = sim_of(os);
    struct sim_node *node = file->node;
    if (node->lock_owner == file)
        node->lock_owner = NULL;
    node->opens--;
    if (node->names == 0 && node->opens == 0)
        sim->used_pages -= node->data.page_count;
    sim_node_release(sim, node);
    free(file);
    return sim->off ? -EIO : 0;
}

static ssize_t
sim_pread(struct os *os, struct os_file *file, void *to, size_t size, uint64_t offset)
{
    if (sim_of(os)->off)
        return -EIO;
    if (file->node->is_folder)
        return -EISDIR;
    return (ssize_t)sim_data_read(&file->node->data, to, size, offset);
}

/* The sum of the pieces, or an error where the pieces or the place are refused. */
static ssize_t
check_pieces(const struct iovec *pieces, int count, uint64_t offset)
{
    if (count < 0 || count > SIM_PIECES_MAX || offset > INT64_MAX)
        return -EINVAL;
    uint64_t size = 0;
    for (int i = 0; i < count; i++) {
        if (pieces[i].iov_len > INT64_MAX - size)
            return -EINVAL;
        size += pieces[i].iov_len;
    }
    return offset > SIM_FILE_MAX || size > SIM_FILE_MAX - offset ? -EFBIG : (ssize_t)size;
}

static ssize_t
sim_pwritev(struct os *os, struct os_file *file, const struct iovec *pieces, int count,
            uint64_t offset)
{
    struct os_sim *sim = sim_of(os);
    if (sim->off)
        return -EIO;
    if (!file->writable)
        return -EBADF;
    ssize_t size = check_pieces(pieces, count, offset);
    if (size <= 0)
        return size;

    struct sim_data *data = &file->node->data;
    uint64_t pages_before = data->page_count;
    uint64_t pages_left = space_left(sim) / SIM_PAGE;
    int err = 0;
    for (int i = 0; i < count && !err; i++) {
        ssize_t n = sim_data_write(data, pieces[i].iov_base, pieces[i].iov_len, offset, &pages_left);
        if (n < 0)
            err = (int)n;
        else if ((size_t)n < pieces[i].iov_len)
            err = -ENOSPC;
        offset += pieces[i].iov_len;
    }
    account(sim, file->node, pages_before);
    int off_err = step(sim);
    return off_err ? off_err : err ? err : size;
}

static int
sim_sync(struct os *os, struct os_file *file)
{
    struct os_sim *sim = sim_of(os);
    if (sim->off)
        return -EIO;
    int err = step(sim);
    if (err)
        return err;
    return file->node->is_folder ? sim_folder_sync(sim, file->node)
                                 : sim_data_sync(&file->node->data);
}

static int
sim_truncate(struct os *os, struct os_file *file, uint64_t size_bytes)
{
    struct os_sim *sim = sim_of(os);
    if (sim->off)
        return -EIO;
    if (!file->writable)
        return -EINVAL;
    if (size_bytes > SIM_FILE_MAX)
        return -EFBIG;
    return truncate_node(sim, file->node, size_bytes);
}

static int
sim_size(struct os *os, struct os_file *file, uint64_t *ret_size_bytes)
{
    if (sim_of(os)->off)
        return -EIO;
    *ret_size_bytes = file->node->data.size;
    return 0;
}

static int
sim_lock(struct os *os, struct os_file *file)
{
    if (sim_of(os)->off)
        return -EIO;
    if (file->node->lock_owner && file->node->lock_owner != file)
        return -EWOULDBLOCK;
    file->node->lock_owner = file;
    return 0;
}

/* ---- names ---- */

static int
find(struct os_sim *sim, const char *path, struct sim_place *ret)
{
    return sim->off ? -EIO : sim_find(sim, path, ret);
}

static int
change_names(struct os_sim *sim, const struct sim_place *from, bool keeps_from,
             const struct sim_place *to, struct sim_node *node)
{
    int err = sim_change_names(sim, from, keeps_from, to, node);
    return err ? err : step(sim);
}

static bool
lies_in(const struct sim_place *place, const struct sim_node *folder)
{
    for (int i = 0; i < place->depth; i++)
        if (place->above[i] == folder)
            return true;
    return false;
}

/* rename(2)'s rules for what is there already, in the order in which Linux applies them. */
static int
check_replaced(const struct sim_place *from, const struct sim_place *to)
{
    if (lies_in(to, from->node))
        return -EINVAL; /* a folder into itself */
    if (!to->node)
        return 0;
    if (lies_in(from, to->node))
        return -ENOTEMPTY;
    if (from->node->is_folder && !to->node->is_folder)
        return -ENOTDIR;
    if (!from->node->is_folder && to->node->is_folder)
        return -EISDIR;
    return to->node->is_folder && to->node->live.count > 0 ? -ENOTEMPTY : 0;
}

static int
sim_rename(struct os *os, const char *from_path, const char *to_path)
{
    struct os_sim *sim = sim_of(os);
    struct sim_place from, to;
    int err = find(sim, from_path, &from);
    if (!err)
        err = find(sim, to_path, &to);
    if (err)
        return err;
    if (!from.node)
        return -ENOENT;
    if (!from.folder || !to.folder)
        return -EBUSY;
    if (from.node == to.node)
        return 0; /* POSIX: two names of one file, or one name twice: nothing happens */
    err = check_replaced(&from, &to);
    return err ? err : change_names(sim, &from, false, &to, from.node);
}

static int
sim_link(struct os *os, const char *from_path, const char *to_path)
{
    struct os_sim *sim = sim_of(os);
    struct sim_place from, to;
    int err = find(sim, from_path, &from);
    if (!err && !from.node)
        err = -ENOENT;
    if (!err)
        err = find(sim, to_path, &to);
    if (err)
        return err;
    if (to.node)
        return -EEXIST;
    if (from.node->is_folder)
        return -EPERM;
    return change_names(sim, &from, true, &to, from.node);
}

static int
sim_unlink(struct os *os, const char *path)
{
    struct os_sim *sim = sim_of(os);
    struct sim_place place;
    int err = find(sim, path, &place);
    if (err)
        return err;
    if (!place.node)
        return -ENOENT;
    if (place.node->is_folder)
        return -EISDIR;
    return change_names(sim, &place, false, NULL, place.node);
}

static int
sim_mkdir(struct os *os, const char *path)
{
    struct os_sim *sim = sim_of(os);
    struct sim_place place;
    int err = find(sim, path, &place);
    if (err)
        return err;
    if (place.node)
        return -EEXIST;
    struct sim_node *node = sim_node_new(sim, true);
    if (!node)
        return -ENOMEM;
    err = change_names(sim, NULL, false, &place, node);
    sim_node_release(sim, node);
    return err;
}

static int
find_folder(struct os_sim *sim, const char *path, struct sim_node **ret)
{
    struct sim_place place;
    int err = find(sim, path, &place);
    if (err)
        return err;
    if (!place.node)
        return -ENOENT;
    if (!place.node->is_folder)
        return -ENOTDIR;
    *ret = place.node;
    return 0;
}

/* Names are copied first: the visitor may change the folder. */
static int
sim_list(struct os *os, const char *path, void (*visit)(void *context, const char *name),
         void *context)
{
    struct sim_node *node;
    int err = find_folder(sim_of(os), path, &node);
    if (err)
        return err;
    size_t count = node->live.count;
    char(*names)[SIM_NAME_MAX + 1] = malloc((count + 1) * sizeof *names);
    if (!names)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        strcpy(names[i], node->live.entries[i].name); /* fits: sim_find let no longer ones in */
    for (size_t i = 0; i < count; i++)
        visit(context, names[i]);
    free(names);
    return 0;
}

static int
sim_sync_dir(struct os *os, const char *path)
{
    struct os_sim *sim = sim_of(os);
    struct sim_node *node;
    int err = find_folder(sim, path, &node);
    if (!err)
        err = step(sim);
    return err ? err : sim_folder_sync(sim, node);
}

static int
sim_free_space(struct os *os, const char *path, uint64_t *ret_bytes)
{
    struct os_sim *sim = sim_of(os);
    struct sim_place place;
    int err = find(sim, path, &place);
    if (err)
        return err;
    if (!place.node)
        return -ENOENT;
    *ret_bytes = space_left(sim);
    return 0;
}

/* ---- clock and randomness: these go on when the power is off, since they cannot fail ---- */

static int64_t
sim_now_us(struct os *os)
{
    struct os_sim *sim = sim_of(os);
    return sim->clock_base_us + sim->ticks_us++;
}

static int64_t
sim_monotonic_us(struct os *os)
{
    return ++sim_of(os)->ticks_us;
}

static void
sim_fill_random(struct os *os, void *to, size_t size)
{
    struct os_sim *sim = sim_of(os);
    for (size_t done = 0; done < size; done += sizeof(uint64_t)) {
        uint64_t word = sim_random(&sim->random);
        memcpy((char *)to + done, &word, size - done < sizeof word ? size - done : sizeof word);
    }
}

/* ---- the disk ---- */

/* Without a root. */
static struct os_sim *
new_disk(uint64_t random)
{
    static const struct os_ops ops = {
        .open = sim_open,
        .close = sim_close,
        .pread = sim_pread,
        .pwritev = sim_pwritev,
        .sync = sim_sync,
        .truncate = sim_truncate,
        .size = sim_size,
        .lock = sim_lock,
        .rename = sim_rename,
        .link = sim_link,
        .unlink = sim_unlink,
        .mkdir = sim_mkdir,
        .list = sim_list,
        .sync_dir = sim_sync_dir,
        .free_space = sim_free_space,
        .now_us = sim_now_us,
        .monotonic_us = sim_monotonic_us,
        .random = sim_fill_random,
    };
    struct os_sim *sim = calloc(1, sizeof *sim);
    if (!sim)
        return NULL;
    sim->os.ops = &ops;
    sim->random = random;
    sim->clock_base_us = CLOCK_START_US;
    sim->space_limit = UINT64_MAX;
    return sim;
}

struct os_sim *
os_sim_new(uint64_t seed)
{
    struct os_sim *sim = new_disk(seed);
    if (sim && !(sim->root = sim_node_new(sim, true))) {
        os_sim_free(sim);
        return NULL;
    }
    return sim;
}

void
os_sim_free(struct os_sim *sim)
{
    if (!sim)
        return;
    sim_tree_free(sim);
    free(sim);
}

struct os *
os_sim_os(struct os_sim *sim)
{
    return &sim->os;
}

uint64_t
os_sim_steps(const struct os_sim *sim)
{
    return sim->steps;
}

void
os_sim_cut_at(struct os_sim *sim, uint64_t step_number)
{
    sim->cut_at = step_number;
    if (step_number && step_number <= sim->steps)
        sim->off = true;
}

bool
os_sim_is_off(const struct os_sim *sim)
{
    return sim->off;
}

struct os_sim *
os_sim_after_cut(const struct os_sim *sim, enum os_cut how, uint64_t seed)
{
    /* Mixed with the old state, so that disk and descendant never hand out the same "random" ids. */
    uint64_t random = sim->random ^ seed;
    struct os_sim *cut = new_disk(sim_random(&random));
    if (!cut)
        return NULL;
    cut->clock_base_us = sim->clock_base_us;
    cut->ticks_us = sim->ticks_us;
    cut->space_limit = sim->space_limit;
    if (sim_tree_cut(sim, how, &random, cut)) {
        os_sim_free(cut);
        return NULL;
    }
    return cut;
}

void
os_sim_set_time(struct os_sim *sim, int64_t now_us)
{
    sim->clock_base_us = now_us - sim->ticks_us;
}

int
os_sim_flip(struct os_sim *sim, const char *path, uint64_t offset, uint8_t bits)
{
    struct sim_place place;
    int err = sim_find(sim, path, &place);
    if (err)
        return err;
    if (!place.node)
        return -ENOENT;
    if (place.node->is_folder)
        return -EISDIR;
    uint64_t pages_before = place.node->data.page_count;
    err = sim_data_flip(&place.node->data, offset, bits);
    account(sim, place.node, pages_before);
    return err;
}

int64_t
os_sim_file_size(struct os_sim *sim, const char *path)
{
    struct sim_place place;
    int err = sim_find(sim, path, &place);
    if (err)
        return err;
    return place.node ? (int64_t)place.node->data.size : -ENOENT;
}

void
os_sim_set_space(struct os_sim *sim, uint64_t bytes)
{
    uint64_t used = sim->used_pages * SIM_PAGE;
    sim->space_limit = bytes > UINT64_MAX - used ? UINT64_MAX : used + bytes;
}
