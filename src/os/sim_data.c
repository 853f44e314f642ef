/* os/sim_data.c: the bytes of simulated files, live and durable, and what a power cut makes of them.
 *
 * A file has two tables of pages. Writing copies a shared page and puts the copy into the live
 * table; syncing puts the live pages into the durable table. Pages and tables are counted, so that
 * an untouched file costs a new disk two references and a touched one its pointers and the
 * changed pages only. */
#include "sim_int.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct page {
    uint32_t references;
    uint8_t bytes[SIM_PAGE];
};

struct sim_pages {
    uint32_t references;
    uint64_t count;
    struct page *at[]; /* NULL: a hole, zeros */
};

static const uint8_t zeros[SIM_PAGE];

static uint64_t
min64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t
max64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t
pages_for(uint64_t size)
{
    return (size + SIM_PAGE - 1) / SIM_PAGE;
}

/* ---- pages and tables ---- */

static struct page *
page_copy(const uint8_t *bytes)
{
    struct page *page = malloc(sizeof *page);
    if (page) {
        page->references = 1;
        memcpy(page->bytes, bytes, SIM_PAGE);
    }
    return page;
}

static struct page *
page_hold(struct page *page)
{
    if (page)
        page->references++;
    return page;
}

static void
page_release(struct page *page)
{
    if (page && --page->references == 0)
        free(page);
}

static struct page *
page_at(const struct sim_pages *pages, uint64_t number)
{
    return pages && number < pages->count ? pages->at[number] : NULL;
}

static const uint8_t *
bytes_of(const struct page *page)
{
    return page ? page->bytes : zeros;
}

static struct sim_pages *
pages_hold(struct sim_pages *pages)
{
    if (pages)
        pages->references++;
    return pages;
}

static void
pages_release(struct sim_pages *pages)
{
    if (!pages || --pages->references > 0)
        return;
    for (uint64_t i = 0; i < pages->count; i++)
        page_release(pages->at[i]);
    free(pages);
}

/* Make *pages this holder's own, with room for `count` pages. */
static int
own_pages(struct sim_pages **pages, uint64_t count)
{
    struct sim_pages *old = *pages;
    uint64_t old_count = old ? old->count : 0;
    bool is_shared = old && old->references > 1;
    if (old && !is_shared && old_count >= count)
        return 0;
    uint64_t new_count = old_count;
    if (count > old_count)
        new_count = max64(count, max64(8, old_count * 2));

    struct sim_pages *own = realloc(is_shared ? NULL : old, sizeof *own + new_count * sizeof own->at[0]);
    if (!own)
        return -ENOMEM;
    if (is_shared) {
        for (uint64_t i = 0; i < old_count; i++)
            own->at[i] = page_hold(old->at[i]);
        pages_release(old);
    }
    own->references = 1;
    own->count = new_count;
    memset(own->at + old_count, 0, (new_count - old_count) * sizeof own->at[0]);
    *pages = own;
    return 0;
}

/* Make a page of an own table writable. Holes become pages. */
static int
own_page(struct sim_pages *pages, uint64_t number)
{
    assert(pages->references == 1 && number < pages->count);
    struct page *old = pages->at[number];
    if (old && old->references == 1)
        return 0;
    struct page *own = page_copy(bytes_of(old));
    if (!own)
        return -ENOMEM;
    page_release(old);
    pages->at[number] = own;
    return 0;
}

/* Forget everything from `size` on; how many pages fell away. */
static int
cut_pages(struct sim_pages **pages, uint64_t size, uint64_t *ret_dropped)
{
    uint64_t dropped = 0, kept = pages_for(size);
    *ret_dropped = 0;
    if (!*pages)
        return 0;
    int err = own_pages(pages, 0);
    if (!err && size % SIM_PAGE && page_at(*pages, kept - 1)) {
        err = own_page(*pages, kept - 1);
        if (!err)
            memset((*pages)->at[kept - 1]->bytes + size % SIM_PAGE, 0, SIM_PAGE - size % SIM_PAGE);
    }
    if (err)
        return err;
    for (uint64_t i = kept; i < (*pages)->count; i++) {
        dropped += (*pages)->at[i] != NULL;
        page_release((*pages)->at[i]);
        (*pages)->at[i] = NULL;
    }
    *ret_dropped = dropped;
    return 0;
}

/* ---- live ---- */

static void
mark_dirty(struct sim_data *data, uint64_t begin, uint64_t end)
{
    bool was_clean = data->dirty_begin >= data->dirty_end;
    data->dirty_begin = was_clean ? begin : min64(data->dirty_begin, begin);
    data->dirty_end = was_clean ? end : max64(data->dirty_end, end);
}

size_t
sim_data_read(const struct sim_data *data, void *to, size_t size, uint64_t offset)
{
    if (offset >= data->size)
        return 0;
    size = (size_t)min64(size, data->size - offset);
    for (size_t done = 0; done < size;) {
        uint64_t at = offset + done;
        size_t part = (size_t)min64(size - done, SIM_PAGE - at % SIM_PAGE);
        memcpy((char *)to + done, bytes_of(page_at(data->live, at / SIM_PAGE)) + at % SIM_PAGE, part);
        done += part;
    }
    return size;
}

ssize_t
sim_data_write(struct sim_data *data, const void *bytes, size_t size, uint64_t offset,
               uint64_t *pages_left)
{
    assert(offset <= SIM_FILE_MAX && size <= SIM_FILE_MAX - offset);
    int err = own_pages(&data->live, pages_for(offset + size));
    size_t done = 0;
    while (!err && done < size) {
        uint64_t at = offset + done, number = at / SIM_PAGE;
        bool is_hole = !data->live->at[number];
        if (is_hole && *pages_left == 0)
            break;
        mark_dirty(data, number, number + 1);
        err = own_page(data->live, number);
        if (err)
            break;
        data->page_count += is_hole;
        *pages_left -= is_hole;
        size_t part = (size_t)min64(size - done, SIM_PAGE - at % SIM_PAGE);
        memcpy(data->live->at[number]->bytes + at % SIM_PAGE, (const char *)bytes + done, part);
        done += part;
    }
    if (done > 0)
        data->size = max64(data->size, offset + done);
    return err ? err : (ssize_t)done;
}

int
sim_data_truncate(struct sim_data *data, uint64_t size)
{
    assert(size <= SIM_FILE_MAX);
    if (size < data->size) {
        uint64_t dropped, end = pages_for(data->size);
        int err = cut_pages(&data->live, size, &dropped);
        if (err)
            return err;
        data->page_count -= dropped;
        mark_dirty(data, size / SIM_PAGE, end);
        data->low_size = min64(data->low_size, size);
    }
    data->size = size;
    return 0;
}

int
sim_data_sync(struct sim_data *data)
{
    if (data->dirty_begin < data->dirty_end) {
        int err = own_pages(&data->durable, data->dirty_end);
        if (err)
            return err;
    }
    for (uint64_t i = data->dirty_begin; i < data->dirty_end; i++) {
        struct page *live = page_at(data->live, i);
        if (live == data->durable->at[i])
            continue;
        page_release(data->durable->at[i]);
        data->durable->at[i] = page_hold(live);
    }
    data->dirty_begin = data->dirty_end = 0;
    data->durable_size = data->low_size = data->size;
    return 0;
}

/* The page may be shared with other disks, which must not see the damage, and between live and
 * durable, which both must. */
int
sim_data_flip(struct sim_data *data, uint64_t offset, uint8_t bits)
{
    if (offset >= data->size)
        return -EINVAL;
    uint64_t number = offset / SIM_PAGE, place = offset % SIM_PAGE;
    bool is_clean = page_at(data->live, number) == page_at(data->durable, number);
    bool is_durable = is_clean || offset < data->durable_size;
    int err = own_pages(&data->live, number + 1);
    if (!err && is_durable)
        err = own_pages(&data->durable, number + 1);
    if (!err && is_durable && !is_clean)
        err = own_page(data->durable, number);
    if (err)
        return err;

    struct page **live = &data->live->at[number];
    struct page *flipped = page_copy(bytes_of(*live));
    if (!flipped)
        return -ENOMEM;
    flipped->bytes[place] ^= bits;
    data->page_count += *live == NULL;
    page_release(*live);
    *live = flipped;
    if (is_clean) {
        page_release(data->durable->at[number]);
        data->durable->at[number] = page_hold(flipped);
    } else if (is_durable) {
        data->durable->at[number]->bytes[place] ^= bits;
    }
    return 0;
}

void
sim_data_free(struct sim_data *data)
{
    pages_release(data->live);
    pages_release(data->durable);
    *data = (struct sim_data){0};
}

/* ---- the cut ---- */

/* How one file fares. Probabilities are drawn anew for each file and cut: were every sector an even
 * coin, a batch of many sectors would never be found whole, nor wholly gone. */
struct fate {
    unsigned new_percent, torn_percent;
    bool was_shortened; /* a truncation below the durable size has reached the disk */
    uint64_t size;
};

static uint64_t
size_between(uint64_t low, uint64_t high, uint64_t *random)
{
    assert(low <= high);
    uint64_t between = low + sim_random(random) % (high - low + 1);
    switch (sim_random(random) % 6) {
    case 0:
    case 1:
        return low;
    case 2:
    case 3:
        return high;
    case 4:
        return max64(low, between - between % OS_SIM_SECTOR);
    default:
        return between;
    }
}

/* Three sizes matter: the durable one, the smallest since, and the live one. When a truncation below the
 * durable size did not reach the disk, nothing that came after it has changed the size either. */
static struct fate
draw_fate(const struct sim_data *data, uint64_t *random)
{
    static const uint8_t new_percents[] = {0, 10, 50, 90, 100};
    static const uint8_t torn_percents[] = {0, 0, 10, 50};
    struct fate fate = {
        .new_percent = new_percents[sim_random(random) % sizeof new_percents],
        .torn_percent = torn_percents[sim_random(random) % sizeof torn_percents],
        .size = data->durable_size,
    };
    bool is_shorter = data->low_size < data->durable_size;
    fate.was_shortened = is_shorter && sim_chance(random, 50);
    if (fate.was_shortened || !is_shorter)
        fate.size = size_between(data->low_size, data->size, random);
    return fate;
}

/* A torn sector has new bytes up to some place and old ones behind it, or the other way round. */
static void
tear(uint8_t *sector, const uint8_t *newer, uint64_t *random)
{
    uint64_t draw = sim_random(random);
    size_t at = 1 + (draw >> 1) % (OS_SIM_SECTOR - 1);
    if (draw & 1)
        memcpy(sector, newer, at);
    else
        memcpy(sector + at, newer + at, OS_SIM_SECTOR - at);
}

/* Decide each sector of one page, in `bytes`, which holds the old ones. */
static void
settle_sectors(uint8_t *bytes, const uint8_t *newer, const struct fate *fate, uint64_t *random)
{
    for (size_t at = 0; at < SIM_PAGE; at += OS_SIM_SECTOR) {
        if (memcmp(bytes + at, newer + at, OS_SIM_SECTOR) == 0)
            continue;
        if (sim_chance(random, fate->torn_percent))
            tear(bytes + at, newer + at, random);
        else if (sim_chance(random, fate->new_percent))
            memcpy(bytes + at, newer + at, OS_SIM_SECTOR);
    }
}

/* Settle page `number` in `pages`, the outcome, which begins as a copy of the durable table. */
static int
settle_page(const struct sim_data *data, const struct fate *fate, uint64_t number,
            struct sim_pages *pages, uint64_t *random)
{
    struct page *older = pages->at[number], *newer = page_at(data->live, number);
    if (older == newer)
        return 0;
    uint64_t begin = number * SIM_PAGE;
    bool is_shorter = data->low_size < data->durable_size;
    /* Behind a truncation that did not happen, the blocks still hold what they held: a file system
     * gives later writes to the same place other blocks. */
    if (is_shorter && !fate->was_shortened && begin >= data->low_size)
        return 0;

    uint8_t bytes[SIM_PAGE];
    memcpy(bytes, bytes_of(older), SIM_PAGE);
    if (fate->was_shortened && begin + SIM_PAGE > data->low_size) {
        size_t kept = data->low_size > begin ? (size_t)(data->low_size - begin) : 0;
        memset(bytes + kept, 0, SIM_PAGE - kept);
    }
    settle_sectors(bytes, bytes_of(newer), fate, random);

    struct page *outcome;
    if (older && memcmp(bytes, older->bytes, SIM_PAGE) == 0)
        return 0;
    if (newer && memcmp(bytes, newer->bytes, SIM_PAGE) == 0)
        outcome = page_hold(newer);
    else if (!(outcome = page_copy(bytes)))
        return -ENOMEM;
    page_release(older);
    pages->at[number] = outcome;
    return 0;
}

static int
settle_randomly(const struct sim_data *data, uint64_t *random, struct sim_data *ret)
{
    struct fate fate = draw_fate(data, random);
    ret->size = fate.size;
    ret->live = pages_hold(data->durable);
    int err = 0;
    if (data->dirty_begin < data->dirty_end)
        err = own_pages(&ret->live, data->dirty_end);
    for (uint64_t i = data->dirty_begin; !err && i < data->dirty_end; i++)
        err = settle_page(data, &fate, i, ret->live, random);
    uint64_t dropped;
    return err ? err : cut_pages(&ret->live, fate.size, &dropped);
}

static bool
is_synced(const struct sim_data *data)
{
    return data->dirty_begin >= data->dirty_end && data->size == data->durable_size &&
           data->low_size == data->size;
}

int
sim_data_cut(const struct sim_data *data, enum os_cut how, uint64_t *random, struct sim_data *ret)
{
    int err = 0;
    if (how == OS_CUT_KEEP || is_synced(data)) {
        ret->live = pages_hold(data->live);
        ret->size = data->size;
        ret->page_count = data->page_count;
    } else if (how == OS_CUT_DROP) {
        ret->live = pages_hold(data->durable);
        ret->size = data->durable_size;
    } else {
        err = settle_randomly(data, random, ret);
    }
    if (ret->page_count == 0)
        for (uint64_t i = 0; ret->live && i < ret->live->count; i++)
            ret->page_count += ret->live->at[i] != NULL;
    ret->durable = pages_hold(ret->live);
    ret->durable_size = ret->low_size = ret->size;
    return err;
}
