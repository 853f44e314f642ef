/* What the simulated disk (os/sim*.c) leaves after a power cut. */
#include "unit/os_twin.h"

#define SECTOR OS_SIM_SECTOR

/* A disk with one durable file "file" of `size` random bytes. */
static struct os_sim *
disk_with_file(uint8_t *bytes, size_t size)
{
    struct os_sim *sim = os_sim_new(1);
    fill(bytes, size, 1);
    put(os_sim_os(sim), "file", bytes, size, 0, true);
    CHECK_INT(os_sync_dir(os_sim_os(sim), "/"), 0);
    return sim;
}

/* Goal: what is synced is there, whatever the outcome. Method: every kind of cut, many seeds, on a
 * file written in three synced steps and shortened in a fourth. */
TEST(synced_is_durable)
{
    static uint8_t bytes[30000];
    struct os_sim *sim = disk_with_file(bytes, sizeof bytes);
    struct os *os = os_sim_os(sim);
    fill(bytes + 5000, 700, 2);
    put(os, "file", bytes + 5000, 700, 5000, true);
    struct os_file *file;
    CHECK_INT(os_open(os, "file", OS_WRITE, &file), 0);
    CHECK_INT(os_truncate(os, file, 20001), 0);
    CHECK_INT(os_sync(os, file), 0);
    CHECK_INT(os_close(os, file), 0);
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct os_sim *cut = after(sim, (enum os_cut)(seed % 3), seed);
        int64_t size;
        uint8_t *got = get(os_sim_os(cut), "file", &size);
        CHECK_INT(size, 20001);
        CHECK(memcmp(got, bytes, (size_t)size) == 0);
        free(got);
        os_sim_free(cut);
    }
    os_sim_free(sim);
}

enum { OLD = 1, NEW = 2, TORN = 4 };

/* What became of a sector; 0: something that it never may be. */
static unsigned
fate_of(const uint8_t *got, const uint8_t *older, const uint8_t *newer)
{
    if (memcmp(got, older, SECTOR) == 0)
        return OLD;
    if (memcmp(got, newer, SECTOR) == 0)
        return NEW;
    size_t new_head = 0, old_head = 0;
    while (new_head < SECTOR && got[new_head] == newer[new_head])
        new_head++;
    while (old_head < SECTOR && got[old_head] == older[old_head])
        old_head++;
    bool torn = memcmp(got + new_head, older + new_head, SECTOR - new_head) == 0 ||
                memcmp(got + old_head, newer + old_head, SECTOR - old_head) == 0;
    return torn ? TORN : 0;
}

/* Goal: unsynced sectors are each old, new or torn, and every such mixture turns up. Method: overwrite
 * 40 of 64 sectors; classify them in many outcomes. DROP and KEEP are the two extremes. */
TEST(unsynced_sectors_vary)
{
    enum { SECTORS = 64, FIRST = 10, COUNT = 40 };
    static uint8_t older[SECTORS * SECTOR], newer[SECTORS * SECTOR];
    struct os_sim *sim = disk_with_file(older, sizeof older);
    memcpy(newer, older, sizeof newer);
    fill(newer + FIRST * SECTOR, COUNT * SECTOR, 3);
    put(os_sim_os(sim), "file", newer + FIRST * SECTOR, COUNT * SECTOR, FIRST * SECTOR, false);
    unsigned seen[8] = {0};
    for (uint64_t seed = 0; seed < 400; seed++) {
        enum os_cut how = seed == 0 ? OS_CUT_DROP : seed == 1 ? OS_CUT_KEEP : OS_CUT_RANDOM;
        struct os_sim *cut = after(sim, how, seed);
        int64_t size;
        uint8_t *got = get(os_sim_os(cut), "file", &size);
        CHECK_INT(size, sizeof older);
        unsigned fates = 0;
        for (size_t i = 0; i < SECTORS; i++) {
            unsigned fate = fate_of(got + i * SECTOR, older + i * SECTOR, newer + i * SECTOR);
            CHECK(fate != 0);
            if (i >= FIRST && i < FIRST + COUNT)
                fates |= fate;
            else
                CHECK_INT(fate, OLD);
        }
        if (seed < 2)
            CHECK_INT(fates, seed == 0 ? OLD : NEW);
        seen[fates]++;
        free(got);
        os_sim_free(cut);
    }
    CHECK(seen[OLD] > 5 && seen[NEW] > 5 && seen[OLD | NEW] > 5 && seen[OLD | NEW | TORN] > 5);
    os_sim_free(sim);
}

/* Goal: a file that grew unsynced has any size in between, with zeros or the new data. */
TEST(unsynced_growth)
{
    static uint8_t bytes[20000];
    struct os_sim *sim = disk_with_file(bytes, 3000);
    fill(bytes + 3000, 17000, 9);
    for (size_t i = 3000; i < sizeof bytes; i++)
        bytes[i] |= 1; /* no zeros, so that they can be told from new data */
    put(os_sim_os(sim), "file", bytes + 3000, 17000, 3000, false);
    unsigned short_ones = 0, full = 0, between = 0, with_zeros = 0, whole = 0;
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct os_sim *cut = after(sim, OS_CUT_RANDOM, seed);
        int64_t size;
        uint8_t *got = get(os_sim_os(cut), "file", &size);
        CHECK(size >= 3000 && size <= 20000);
        CHECK(memcmp(got, bytes, 3000) == 0);
        bool zeros = false;
        for (int64_t i = 3000; i < size; i++) {
            CHECK(got[i] == 0 || got[i] == bytes[i]);
            zeros = zeros || got[i] == 0;
        }
        short_ones += size == 3000;
        full += size == 20000;
        between += size > 3000 && size < 20000;
        with_zeros += size == 20000 && zeros;
        whole += size == 20000 && !zeros;
        /* What lies behind the size is gone: growing again shows zeros. */
        struct os_file *file;
        CHECK_INT(os_open(os_sim_os(cut), "file", OS_WRITE, &file), 0);
        CHECK_INT(os_truncate(os_sim_os(cut), file, 20000), 0);
        uint8_t byte = 1;
        CHECK_INT(os_pread(os_sim_os(cut), file, &byte, size < 20000, (uint64_t)size), size < 20000);
        CHECK(size == 20000 || byte == 0);
        CHECK_INT(os_close(os_sim_os(cut), file), 0);
        free(got);
        os_sim_free(cut);
    }
    CHECK(short_ones > 5 && full > 5 && between > 5 && with_zeros > 5 && whole > 5);
    os_sim_free(sim);
}

/* Goal: an unsynced truncation has happened or not. Method: shorten 20,000 bytes to 5,000; the size is one
 * or the other, and what is there is old. */
TEST(unsynced_truncation)
{
    static uint8_t bytes[20000];
    struct os_sim *sim = disk_with_file(bytes, sizeof bytes);
    struct os_file *file;
    CHECK_INT(os_open(os_sim_os(sim), "file", OS_WRITE, &file), 0);
    CHECK_INT(os_truncate(os_sim_os(sim), file, 5000), 0);
    CHECK_INT(os_close(os_sim_os(sim), file), 0);
    unsigned shortened = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct os_sim *cut = after(sim, OS_CUT_RANDOM, seed);
        int64_t size;
        uint8_t *got = get(os_sim_os(cut), "file", &size);
        CHECK(size == 5000 || size == 20000);
        CHECK(memcmp(got, bytes, 5000) == 0);
        /* The rest of the page in which the file was to end may have been cleared already. */
        if (size == 20000)
            CHECK(memcmp(got + 8192, bytes + 8192, 20000 - 8192) == 0);
        shortened += size == 5000;
        free(got);
        os_sim_free(cut);
    }
    CHECK(shortened > 20 && shortened < 180);
    os_sim_free(sim);
}

/* A byte-by-byte model of one file: the values that each byte may have after a cut. */
struct model {
    uint8_t live[8192];
    bool may_be[8192][256];
    size_t size, durable_size, low_size, high_size;
};

static void
model_sync(struct model *model)
{
    model->durable_size = model->low_size = model->high_size = model->size;
    memset(model->may_be, 0, sizeof model->may_be);
    for (size_t i = 0; i < sizeof model->live; i++)
        model->may_be[i][model->live[i]] = true;
}

static void
model_set(struct model *model, size_t from, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        model->live[from + i] = bytes ? bytes[i] : 0;
        model->may_be[from + i][model->live[from + i]] = true;
    }
}

static void
model_resize(struct model *model, size_t size)
{
    if (size < model->size)
        model_set(model, size, NULL, model->size - size);
    model->size = size;
    model->low_size = size < model->low_size ? size : model->low_size;
    model->high_size = size > model->high_size ? size : model->high_size;
}

static void
model_check(const struct model *model, struct os_sim *cut)
{
    int64_t size;
    uint8_t *got = get(os_sim_os(cut), "file", &size);
    CHECK(size >= (int64_t)model->low_size && size <= (int64_t)model->high_size);
    for (int64_t i = 0; i < size; i++)
        CHECK(model->may_be[i][got[i]]);
    free(got);
}

/* One random write, truncation or sync, on the file and in the model. */
static void
model_step(struct model *model, struct os *os, struct os_file *file, uint64_t *seed)
{
    uint8_t bytes[3000];
    uint64_t draw = test_random(seed);
    size_t at = (size_t)(draw >> 8) % 8192, size = (size_t)(draw >> 32) % 3000;
    if (draw % 8 == 0) {
        CHECK_INT(os_sync(os, file), 0);
        model_sync(model);
    } else if (draw % 8 == 1) {
        CHECK_INT(os_truncate(os, file, at), 0);
        model_resize(model, at);
    } else {
        size = size < 8192 - at ? size : 8192 - at;
        fill(bytes, size, draw);
        CHECK_INT(os_pwrite(os, file, bytes, size, at), size);
        if (size && at + size > model->size)
            model_resize(model, at + size);
        model_set(model, at, bytes, size);
    }
}

/* Goal: no outcome shows a byte that was never there, nor loses one that was synced. Method: random writes,
 * truncations and syncs against a model that knows the possible values of every byte. */
TEST(cuts_agree_with_a_model)
{
    uint64_t seed = test_seed();
    struct model *model = calloc(1, sizeof *model);
    struct os_sim *sim = os_sim_new(1);
    struct os *os = os_sim_os(sim);
    struct os_file *file;
    CHECK_INT(os_open(os, "file", OS_WRITE | OS_CREATE, &file), 0);
    CHECK_INT(os_sync_dir(os, "."), 0);
    model_sync(model);
    for (unsigned i = 0; i < 1000 * test_scale(); i++) {
        model_step(model, os, file, &seed);
        for (unsigned k = 0; k < 3; k++) {
            struct os_sim *cut = after(sim, OS_CUT_RANDOM, test_random(&seed));
            model_check(model, cut);
            os_sim_free(cut);
        }
    }
    CHECK_INT(os_close(os, file), 0);
    os_sim_free(sim);
    free(model);
}

/* Goal: a name not made durable by sync_dir may be missing, a synced one may not. */
TEST(new_files_need_their_folder_synced)
{
    struct os_sim *sim = os_sim_new(1);
    struct os *os = os_sim_os(sim);
    put_text(os, "file", "content");
    CHECK_INT(os_mkdir(os, "folder"), 0);
    put_text(os, "folder/inner", "content");
    CHECK_INT(os_sync_dir(os, "folder"), 0); /* of no use while "folder" itself may be missing */
    unsigned files = 0, folders = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct os_sim *cut = after(sim, OS_CUT_RANDOM, seed);
        bool inner = holds(os_sim_os(cut), "folder/inner", "content");
        CHECK_INT(is_there(cut, "folder"), inner);
        CHECK(!is_there(cut, "file") || holds(os_sim_os(cut), "file", "content"));
        files += is_there(cut, "file");
        folders += inner;
        os_sim_free(cut);
    }
    CHECK(files > 20 && files < 180 && folders > 20 && folders < 180);
    CHECK_INT(os_sync_dir(os, "/"), 0);
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct os_sim *cut = after(sim, OS_CUT_RANDOM, seed);
        CHECK(holds(os_sim_os(cut), "file", "content"));
        CHECK(holds(os_sim_os(cut), "folder/inner", "content"));
        os_sim_free(cut);
    }
    os_sim_free(sim);
}

/* Goal: a rename shows the state before or the state after. Method: both names existed; across
 * folders, too. */
TEST(rename_is_atomic)
{
    static const char *const targets[] = {"to", "folder/to"};
    for (size_t i = 0; i < 2; i++) {
        struct os_sim *sim = os_sim_new(1);
        struct os *os = os_sim_os(sim);
        CHECK_INT(os_mkdir(os, "folder"), 0);
        put_text(os, "from", "new");
        put_text(os, targets[i], "old");
        CHECK_INT(os_sync_dir(os, "folder"), 0);
        CHECK_INT(os_sync_dir(os, "/"), 0);
        CHECK_INT(os_rename(os, "from", targets[i]), 0);
        unsigned renamed = 0;
        for (uint64_t seed = 0; seed < 200; seed++) {
            struct os_sim *cut = after(sim, OS_CUT_RANDOM, seed);
            bool done = holds(os_sim_os(cut), targets[i], "new");
            CHECK(done || holds(os_sim_os(cut), targets[i], "old"));
            CHECK_INT(is_there(cut, "from"), !done);
            renamed += done;
            os_sim_free(cut);
        }
        CHECK(renamed > 20 && renamed < 180);
        os_sim_free(sim);
    }
}

/* Goal: a file that has had a durable name always has one. Method: link, then unlink; a chain of
 * renames. */
TEST(names_change_in_order)
{
    struct os_sim *sim = os_sim_new(1);
    struct os *os = os_sim_os(sim);
    put_text(os, "a", "A");
    put_text(os, "x", "X");
    CHECK_INT(os_sync_dir(os, "/"), 0);
    CHECK_INT(os_link(os, "a", "b"), 0);
    CHECK_INT(os_unlink(os, "a"), 0);
    CHECK_INT(os_rename(os, "x", "y"), 0);
    CHECK_INT(os_rename(os, "y", "z"), 0);
    unsigned seen_ab[4] = {0}, seen_xyz[8] = {0};
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct os_sim *cut = after(sim, OS_CUT_RANDOM, seed);
        unsigned ab = is_there(cut, "a") + 2u * is_there(cut, "b");
        unsigned xyz = is_there(cut, "x") + 2u * is_there(cut, "y") + 4u * is_there(cut, "z");
        seen_ab[ab]++;
        seen_xyz[xyz]++;
        os_sim_free(cut);
    }
    CHECK(seen_ab[0] == 0 && seen_ab[1] > 5 && seen_ab[2] > 5 && seen_ab[3] > 5);
    CHECK_INT(seen_xyz[1] + seen_xyz[2] + seen_xyz[4], 400);
    CHECK(seen_xyz[1] > 5 && seen_xyz[2] > 5 && seen_xyz[4] > 5);
    os_sim_free(sim);
}

/* Goal: a folder that moves is never lost or doubled. Method: move one into another and out again, and the
 * other into it; in each outcome the inner file is at exactly one place. */
TEST(moving_folders)
{
    struct os_sim *sim = os_sim_new(1);
    struct os *os = os_sim_os(sim);
    CHECK_INT(os_mkdir(os, "a"), 0);
    CHECK_INT(os_mkdir(os, "b"), 0);
    put_text(os, "a/file", "A");
    put_text(os, "b/file", "B");
    CHECK_INT(os_sync_dir(os, "a"), 0);
    CHECK_INT(os_sync_dir(os, "b"), 0);
    CHECK_INT(os_sync_dir(os, "/"), 0);
    CHECK_INT(os_rename(os, "a", "b/a"), 0);
    CHECK_INT(os_rename(os, "b/a", "a"), 0);
    CHECK_INT(os_rename(os, "b", "a/b"), 0);
    CHECK(holds(os, "a/b/file", "B"));
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct os_sim *cut = after(sim, OS_CUT_RANDOM, seed);
        CHECK_INT(is_there(cut, "a/file") + is_there(cut, "b/a/file"), 1);
        CHECK_INT(is_there(cut, "b/file") + is_there(cut, "a/b/file"), 1);
        os_sim_free(cut);
    }
    os_sim_free(sim);
}

/* Goal: os_replace_file is atomic under power cuts, and durable once it returns. Method: cut at every step,
 * many outcomes each. */
TEST(replace_survives_power_cuts)
{
    static char old_bytes[3000], new_bytes[5000];
    memset(old_bytes, 'o', sizeof old_bytes - 1);
    memset(new_bytes, 'n', sizeof new_bytes - 1);
    unsigned replaced = 0, kept = 0;
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        struct os_sim *sim = os_sim_new(n);
        struct os *os = os_sim_os(sim);
        CHECK_INT(os_mkdir(os, "d"), 0);
        CHECK_INT(os_sync_dir(os, "/"), 0);
        CHECK_INT(os_replace_file(os, "d", "config", old_bytes, sizeof old_bytes - 1), 0);
        os_sim_cut_at(sim, os_sim_steps(sim) + n);
        int err = os_replace_file(os, "d", "config", new_bytes, sizeof new_bytes - 1);
        CHECK(err == 0 || err == -EIO);
        done = err == 0;
        for (uint64_t seed = 0; seed < 100; seed++) {
            struct os_sim *cut = after(sim, OS_CUT_RANDOM, seed);
            bool is_new = holds(os_sim_os(cut), "d/config", new_bytes);
            CHECK(is_new || (!done && holds(os_sim_os(cut), "d/config", old_bytes)));
            replaced += !done && is_new;
            kept += !is_new;
            os_sim_free(cut);
        }
        os_sim_free(sim);
    }
    CHECK(replaced > 20 && kept > 20);
}

/* Goal: the machine goes off at the step asked for. Method: each kind of call as that step. */
TEST(cut_at_a_step)
{
    struct os_sim *sim = os_sim_new(1);
    struct os *os = os_sim_os(sim);
    struct os_file *file, *other;
    uint64_t value;
    CHECK_INT(os_open(os, "file", OS_WRITE | OS_CREATE, &file), 0); /* step 1 */
    CHECK_INT(os_sync_dir(os, "/"), 0);                             /* 2 */
    CHECK_INT(os_pwrite(os, file, "durable", 7, 0), 7);             /* 3 */
    CHECK_INT(os_sync(os, file), 0);                                /* 4 */
    CHECK_INT(os_open(os, "file", OS_READ, &other), 0);
    CHECK_INT(os_open(os, "none", OS_READ, &other), -ENOENT);
    CHECK_INT(os_unlink(os, "none"), -ENOENT);
    CHECK_INT(os_pwrite(os, file, "", 0, 0), 0);
    CHECK_INT(os_size(os, file, &value), 0);
    CHECK_INT(os_sim_steps(sim), 4); /* what changes nothing is no step */
    os_sim_cut_at(sim, 5);
    CHECK(!os_sim_is_off(sim));
    CHECK_INT(os_pwrite(os, file, "UNSYNCED", 8, 0), -EIO); /* 5 */
    CHECK(os_sim_is_off(sim));

    char byte;
    CHECK_INT(os_pwrite(os, file, "later", 5, 0), -EIO);
    CHECK_INT(os_pread(os, file, &byte, 1, 0), -EIO);
    CHECK_INT(os_sync(os, file), -EIO);
    CHECK_INT(os_truncate(os, file, 0), -EIO);
    CHECK_INT(os_size(os, file, &value), -EIO);
    CHECK_INT(os_lock(os, file), -EIO);
    CHECK_INT(os_open(os, "file", OS_READ, &(struct os_file *){NULL}), -EIO);
    CHECK_INT(os_rename(os, "file", "x"), -EIO);
    CHECK_INT(os_link(os, "file", "x"), -EIO);
    CHECK_INT(os_unlink(os, "file"), -EIO);
    CHECK_INT(os_mkdir(os, "x"), -EIO);
    CHECK_INT(os_sync_dir(os, "/"), -EIO);
    CHECK_INT(os_free_space(os, "/", &value), -EIO);
    CHECK_INT(os_list(os, "/", NULL, NULL), -EIO);
    CHECK(os_now_us(os) > 0);
    CHECK_INT(os_sim_steps(sim), 5);

    struct os_sim *dropped = after(sim, OS_CUT_DROP, 0), *kept = after(sim, OS_CUT_KEEP, 0);
    CHECK(!os_sim_is_off(dropped) && os_sim_steps(dropped) == 0);
    CHECK(holds(os_sim_os(dropped), "file", "durable"));
    CHECK(holds(os_sim_os(kept), "file", "UNSYNCED"));
    CHECK_INT(os_close(os, file), -EIO);
    CHECK_INT(os_close(os, other), -EIO);
    os_sim_free(dropped);
    os_sim_free(kept);
    os_sim_free(sim);
}

/* Goal: a sync at the step of the cut is no promise. Method: sync, sync_dir as the step; drop. */
TEST(cut_at_a_sync)
{
    for (uint64_t n = 3; n <= 5; n++) {
        struct os_sim *sim = os_sim_new(1);
        struct os *os = os_sim_os(sim);
        struct os_file *file;
        os_sim_cut_at(sim, n);
        CHECK_INT(os_open(os, "file", OS_WRITE | OS_CREATE, &file), 0); /* step 1 */
        CHECK_INT(os_pwrite(os, file, "x", 1, 0), 1);                   /* 2 */
        CHECK_INT(os_sync_dir(os, "/"), n == 3 ? -EIO : 0);             /* 3 */
        CHECK_INT(os_sync(os, file), n <= 4 ? -EIO : 0);                /* 4 */
        os_close(os, file);
        struct os_sim *cut = after(sim, OS_CUT_DROP, 0);
        CHECK_INT(os_sim_file_size(cut, "file"), n == 3 ? -ENOENT : n == 4 ? 0 : 1);
        os_sim_free(cut);
        os_sim_free(sim);
    }
    struct os_sim *sim = os_sim_new(1);
    CHECK_INT(os_mkdir(os_sim_os(sim), "d"), 0);
    os_sim_cut_at(sim, 1); /* past already */
    CHECK(os_sim_is_off(sim));
    os_sim_free(sim);
}

/* A random workload over a few files and names: what it leaves depends on the seed only. */
static struct os_sim *
random_disk(uint64_t seed)
{
    struct os_sim *sim = os_sim_new(seed);
    struct os *os = os_sim_os(sim);
    uint8_t bytes[6000];
    for (int i = 0; i < 60; i++) {
        char path[2] = {(char)('a' + test_random(&seed) % 6), 0};
        char to[2] = {(char)('a' + test_random(&seed) % 6), 0};
        size_t size = test_random(&seed) % sizeof bytes;
        switch (test_random(&seed) % 5) {
        case 0:
            os_rename(os, path, to);
            break;
        case 1:
            os_unlink(os, path);
            break;
        case 2:
            if (test_random(&seed) % 4 == 0)
                os_sync_dir(os, "/");
            break;
        default:
            fill(bytes, size, test_random(&seed));
            put(os, path, bytes, size, test_random(&seed) % 20000, test_random(&seed) % 2);
        }
    }
    return sim;
}

/* A number that stands for all that is on the disk. */
static uint64_t
print_of(struct os_sim *sim)
{
    uint64_t print = 1;
    for (char path[2] = "a"; *path <= 'f'; ++*path) {
        int64_t size;
        uint8_t *bytes = get(os_sim_os(sim), path, &size);
        print = print * 31 + (uint64_t)size;
        for (int64_t i = 0; i < size; i++)
            print = (print ^ bytes[i]) * 0x100000001B3u;
        free(bytes);
    }
    return print;
}

/* Goal: the same seeds give the same disk and the same outcomes, other seeds others. Method: two runs, in
 * a memory that has been used differently in between. */
TEST(outcomes_depend_on_the_seed_only)
{
    uint64_t prints[50];
    struct os_sim *first = random_disk(5);
    unsigned different = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct os_sim *cut = after(first, OS_CUT_RANDOM, seed);
        prints[seed] = print_of(cut);
        different += seed > 0 && prints[seed] != prints[seed - 1];
        os_sim_free(cut);
    }
    CHECK(different > 30);
    uint64_t live = print_of(first);
    struct os_sim *others = random_disk(6), *second = random_disk(5);
    CHECK(print_of(second) == live && print_of(others) != live);
    CHECK(print_of(first) == live); /* cuts left it as it was */
    for (uint64_t seed = 50; seed-- > 0;) {
        struct os_sim *cut = after(second, OS_CUT_RANDOM, seed);
        CHECK(print_of(cut) == prints[seed]);
        os_sim_free(cut);
    }
    os_sim_free(first);
    os_sim_free(others);
    os_sim_free(second);
}

/* Goal: a disk and those made of it do not touch each other, in any order of writing and freeing. Method:
 * many random disks; change one, compare the others. */
TEST(disks_are_independent)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct os_sim *sim = random_disk(seed);
        struct os_sim *one = after(sim, OS_CUT_RANDOM, 1), *two = after(sim, OS_CUT_KEEP, 2);
        struct os_sim *child = after(one, OS_CUT_DROP, 3); /* nothing is unsynced: the same */
        uint64_t print = print_of(sim), print_one = print_of(one), print_two = print_of(two);
        CHECK(print_two == print && print_of(child) == print_one);

        uint8_t bytes[9000];
        fill(bytes, sizeof bytes, seed);
        for (char path[2] = "a"; *path <= 'f'; ++*path)
            put(os_sim_os(one), path, bytes, sizeof bytes, 500, seed % 2);
        CHECK(print_of(one) != print_one);
        CHECK(print_of(sim) == print && print_of(two) == print_two && print_of(child) == print_one);
        put(os_sim_os(sim), "a", bytes, sizeof bytes, 0, true);
        CHECK_INT(os_unlink(os_sim_os(sim), "a"), 0);
        CHECK(print_of(two) == print_two && print_of(child) == print_one);
        os_sim_free(sim);
        os_sim_free(one);
        CHECK(print_of(two) == print_two && print_of(child) == print_one);
        os_sim_free(two);
        CHECK(print_of(child) == print_one);
        os_sim_free(child);
    }
}

/* Goal: flipped bits are seen at once and after a cut, here and in no other disk. Method: a synced
 * byte, an unsynced one, one shared with an older outcome. */
TEST(flips)
{
    static uint8_t bytes[10000];
    struct os_sim *sim = disk_with_file(bytes, sizeof bytes);
    struct os_sim *earlier = after(sim, OS_CUT_DROP, 1);
    put(os_sim_os(sim), "file", bytes, 100, 0, false); /* the first page is unsynced */
    CHECK_INT(os_sim_flip(sim, "file", 50, 0x81), 0);
    CHECK_INT(os_sim_flip(sim, "file", 9999, 0x01), 0);
    CHECK_INT(os_sim_flip(sim, "file", 10000, 0x01), -EINVAL);
    CHECK_INT(os_sim_flip(sim, "none", 0, 0x01), -ENOENT);
    CHECK_INT(os_sim_file_size(sim, "file"), 10000);
    CHECK_INT(os_sim_file_size(sim, "none"), -ENOENT);

    struct os_sim *dropped = after(sim, OS_CUT_DROP, 1), *kept = after(sim, OS_CUT_KEEP, 1);
    struct os_sim *damaged[] = {sim, dropped, kept};
    int64_t size;
    uint8_t *got = get(os_sim_os(earlier), "file", &size);
    CHECK(memcmp(got, bytes, sizeof bytes) == 0);
    free(got);
    bytes[50] ^= 0x81;
    bytes[9999] ^= 0x01;
    for (size_t i = 0; i < 3; i++) {
        got = get(os_sim_os(damaged[i]), "file", &size);
        CHECK_INT(size, sizeof bytes);
        CHECK(memcmp(got, bytes, sizeof bytes) == 0);
        free(got);
        os_sim_free(damaged[i]);
    }
    os_sim_free(earlier);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(synced_is_durable),
        RUN(unsynced_sectors_vary),
        RUN(unsynced_growth),
        RUN(unsynced_truncation),
        RUN(cuts_agree_with_a_model),
        RUN(new_files_need_their_folder_synced),
        RUN(rename_is_atomic),
        RUN(names_change_in_order),
        RUN(moving_folders),
        RUN(replace_survives_power_cuts),
        RUN(cut_at_a_step),
        RUN(cut_at_a_sync),
        RUN(outcomes_depend_on_the_seed_only),
        RUN(disks_are_independent),
        RUN(flips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
