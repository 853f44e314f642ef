/* os/twin.h: the faulty and the simulated machine, for tests.
 *
 * The faulty one passes calls to another `os` and makes chosen ones fail. The simulated one keeps
 * folders and files in memory and remembers what has been synced, so that a power cut can be
 * played at any moment: whatever was not synced is then kept, dropped, torn or reordered, sector by
 * sector, as a seed decides. */
#ifndef OS_TWIN_H
#define OS_TWIN_H

#include <os/os.h>

/* ---- faulty -------------------------------------------------------------------------------- */

/* Which calls count (and may fail). */
enum os_fault_kind {
    OS_FAULT_READ = 1 << 0,  /* pread */
    OS_FAULT_WRITE = 1 << 1, /* pwritev: fails having written nothing, or a part (torn) */
    OS_FAULT_SYNC = 1 << 2,
    OS_FAULT_META = 1 << 3,  /* open, truncate, rename, link, unlink, mkdir, list, sync_dir, size, lock, close */
    OS_FAULT_ALL = 15,
};

struct os_faulty {
    struct os os; /* give &faulty->os to the engine */
    struct os *below;
    unsigned kinds;      /* os_fault_kind bits that count */
    uint64_t fail_at;    /* the n-th counted call fails (1 = the first); 0: none */
    bool fail_forever;   /* and every counted one after it */
    int errno_value;     /* EIO, ENOSPC, EMFILE … */
    bool torn;           /* a failing write writes half of its bytes first */
    uint64_t calls;      /* counted so far (atomic) */
    bool fired;          /* the fault has happened (atomic) */
    char fired_at[64];   /* which call: "sync", "pwritev" … */
    uint64_t space_left; /* UINT64_MAX: no limit; else file growth uses it up and then gives ENOSPC */
};
void os_faulty_init(struct os_faulty *faulty, struct os *below);

/* ---- simulated ----------------------------------------------------------------------------- */

struct os_sim; /* begins with a struct os: os_sim_os() */

#define OS_SIM_SECTOR 512

/* How the power cut treats what was not synced. */
enum os_cut { OS_CUT_DROP, OS_CUT_KEEP, OS_CUT_RANDOM }; /* RANDOM: each unsynced sector on its own: old, new, or torn at a byte; renames, links and new files not yet synced by sync_dir: there or not */

/* An empty disk with clock at a fixed time (2026-01-01T00:00:00Z) that advances 1 µs each time it is
 * read. Deterministic: all randomness from the seed. Not thread-safe: for engines with no_background; a
 * disk and all disks made of it by cuts share pages, so they belong to one thread. Paths are taken from the
 * root, with or without a leading '/'. NULL: out of memory. Close all files before the free. */
struct os_sim *os_sim_new(uint64_t seed);
void os_sim_free(struct os_sim *sim);
struct os *os_sim_os(struct os_sim *sim);

/* Writes, syncs and metadata changes so far: each is a moment at which power can be cut. */
uint64_t os_sim_steps(const struct os_sim *sim);
/* From step n on every call fails with -EIO (the machine is off) and changes nothing; the write or
 * change of names in progress at step n counts as unsynced. 0: never. os_close still frees its file. */
void os_sim_cut_at(struct os_sim *sim, uint64_t step);
bool os_sim_is_off(const struct os_sim *sim);
/* A new disk as it is found after the power comes back: the current state of `sim` with everything
 * unsynced treated as `how` says (RANDOM by `seed`). Open files and locks of the old are not in it. `sim`
 * itself is unchanged, so many outcomes of one cut can be tried. NULL: out of memory. */
struct os_sim *os_sim_after_cut(const struct os_sim *sim, enum os_cut how, uint64_t seed);
/* Set the clock; flip bits of one stored byte (both in cache and on disk); a file's size or -ENOENT. */
void os_sim_set_time(struct os_sim *sim, int64_t now_us);
int os_sim_flip(struct os_sim *sim, const char *path, uint64_t offset, uint8_t bits);
int64_t os_sim_file_size(struct os_sim *sim, const char *path);
/* Bytes until -ENOSPC; UINT64_MAX: no limit. */
void os_sim_set_space(struct os_sim *sim, uint64_t bytes);

#endif
