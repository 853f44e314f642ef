/* Opens and reads run files: the shape of the file, lookups by fences, and reading in order.
 *
 *   header page │ block 0 │ block 1 │ … │ filter │ fences │ footer
 *
 * A run is immutable: any thread reads it through its file at the same time. Filter and fences are in
 * memory, blocks are read when asked for and checked each time. */
#include <log/series_int.h>

#include <errno.h>
#include <stdlib.h>

/* Where things are in the header page and the footer. */
enum {
    HEADER_MAGIC = 0,
    HEADER_VERSION = 8,
    HEADER_BLOCK = 12,
    HEADER_ID = 16,
    HEADER_FIRST = 24,
    FOOTER_MAGIC = 0,
    FOOTER_ID = 8,
    FOOTER_FIRST = 16,
    FOOTER_END = 24,
    FOOTER_ENTRIES = 32,
    FOOTER_KEYS = 40,
    FOOTER_BLOCKS = 48,
    FOOTER_LINES = 56,
    FOOTER_LEVEL = 64,
    FOOTER_FILTER_CRC = 68,
    FOOTER_FENCES_CRC = 72,
};

void
series_run_header(uint8_t page[SERIES_BLOCK], uint64_t id, uint64_t first)
{
    memset(page, 0, SERIES_BLOCK);
    memcpy(page + HEADER_MAGIC, RUN_MAGIC, 8);
    store32(page + HEADER_VERSION, SERIES_VERSION);
    store32(page + HEADER_BLOCK, SERIES_BLOCK);
    store64(page + HEADER_ID, id);
    store64(page + HEADER_FIRST, first);
    store32(page + SERIES_BLOCK - 4, crc32c(0, page, SERIES_BLOCK - 4));
}

void
series_run_footer(uint8_t to[RUN_FOOTER], const struct run *run, uint32_t filter_crc,
                  uint32_t fences_crc)
{
    memset(to, 0, RUN_FOOTER);
    memcpy(to + FOOTER_MAGIC, RUN_END_MAGIC, 8);
    store64(to + FOOTER_ID, run->info.id);
    store64(to + FOOTER_FIRST, run->info.first);
    store64(to + FOOTER_END, run->info.end);
    store64(to + FOOTER_ENTRIES, run->info.entries);
    store64(to + FOOTER_KEYS, run->keys);
    store64(to + FOOTER_BLOCKS, run->blocks);
    store64(to + FOOTER_LINES, run->filter.count);
    store32(to + FOOTER_LEVEL, run->info.level);
    store32(to + FOOTER_FILTER_CRC, filter_crc);
    store32(to + FOOTER_FENCES_CRC, fences_crc);
    store32(to + RUN_FOOTER - 4, crc32c(0, to, RUN_FOOTER - 4));
}

/* ---- opening ------------------------------------------------------------------------------- */

cairn_err
series_damaged(cairn_error *error, const char *file, uint64_t offset, const char *what)
{
    (void)error_set(error, CAIRN_E_CORRUPT, "index file %s is damaged at byte %llu: %s", file,
                    (unsigned long long)offset, what);
    if (error != NULL)
        error->position = offset;
    return CAIRN_E_CORRUPT;
}

static cairn_err
damaged(const struct run *run, cairn_error *error, uint64_t offset, const char *what)
{
    return series_damaged(error, run->name, offset, what);
}

static cairn_err
read_bytes(const struct run *run, void *to, size_t size, uint64_t offset, cairn_error *error)
{
    ssize_t got = os_pread(run->os, run->file, to, size, offset);
    if (got < 0)
        return error_set_errno(error, (int)-got, "cannot read %zu bytes at %llu of index run %s",
                               size, (unsigned long long)offset, run->name);
    if ((size_t)got < size)
        return damaged(run, error, offset + (size_t)got, "the file ends here");
    return CAIRN_OK;
}

static cairn_err
check_header(const struct run *run, cairn_error *error)
{
    uint8_t page[SERIES_BLOCK];
    cairn_err err = read_bytes(run, page, sizeof page, 0, error);
    if (err != CAIRN_OK)
        return err;
    if (memcmp(page + HEADER_MAGIC, RUN_MAGIC, 8) != 0)
        return damaged(run, error, HEADER_MAGIC, "not an index run");
    if (load32(page + SERIES_BLOCK - 4) != crc32c(0, page, SERIES_BLOCK - 4))
        return damaged(run, error, 0, "the checksum of the header does not match");
    if (load32(page + HEADER_VERSION) < SERIES_VERSION_LEAST || load32(page + HEADER_VERSION) > SERIES_VERSION)
        return error_set(error, CAIRN_E_VERSION,
                         "index run %s has format version %u; this program knows %u", run->name,
                         load32(page + HEADER_VERSION), SERIES_VERSION);
    if (load32(page + HEADER_BLOCK) != SERIES_BLOCK || load64(page + HEADER_ID) != run->info.id
        || load64(page + HEADER_FIRST) != run->info.first)
        return damaged(run, error, HEADER_BLOCK, "the header is not the one the manifest names");
    return CAIRN_OK;
}

static cairn_err
check_footer(struct run *run, uint32_t *ret_filter_crc, uint32_t *ret_fences_crc,
             cairn_error *error)
{
    const struct run_info *info = &run->info;
    if (info->size_bytes < SERIES_BLOCK + RUN_FOOTER)
        return damaged(run, error, info->size_bytes, "the manifest gives it no room for a footer");
    uint64_t offset = info->size_bytes - RUN_FOOTER;
    uint8_t footer[RUN_FOOTER];
    cairn_err err = read_bytes(run, footer, sizeof footer, offset, error);
    if (err != CAIRN_OK)
        return err;
    if (load32(footer + RUN_FOOTER - 4) != crc32c(0, footer, RUN_FOOTER - 4)
        || memcmp(footer + FOOTER_MAGIC, RUN_END_MAGIC, 8) != 0)
        return damaged(run, error, offset, "the checksum of the footer does not match");
    run->keys = load64(footer + FOOTER_KEYS);
    run->blocks = load64(footer + FOOTER_BLOCKS);
    run->filter.count = load64(footer + FOOTER_LINES);
    if (load32(footer + RUN_FOOTER - 4) != info->footer_crc
        || load64(footer + FOOTER_ID) != info->id || load64(footer + FOOTER_FIRST) != info->first
        || load64(footer + FOOTER_END) != info->end
        || load64(footer + FOOTER_ENTRIES) != info->entries)
        return damaged(run, error, offset, "the footer is not the one the manifest names");
    /* Bounded by the file's size before they are multiplied. */
    if (run->blocks == 0 || run->blocks > info->size_bytes / SERIES_BLOCK || run->filter.count == 0
        || run->filter.count > info->size_bytes / FILTER_LINE
        || SERIES_BLOCK * (run->blocks + 1) + run->filter.count * FILTER_LINE
                   + run->blocks * sizeof *run->fences + RUN_FOOTER
               != info->size_bytes)
        return damaged(run, error, offset, "the footer's counts do not add up to the file's size");
    *ret_filter_crc = load32(footer + FOOTER_FILTER_CRC);
    *ret_fences_crc = load32(footer + FOOTER_FENCES_CRC);
    return CAIRN_OK;
}

static cairn_err
load_part(const struct run *run, size_t size, uint64_t offset, uint32_t crc, const char *what,
          void **ret, cairn_error *error)
{
    void *bytes = malloc(size);
    if (bytes == NULL)
        return error_set(error, CAIRN_E_NOMEM, "out of memory for %zu bytes of index run %s", size,
                         run->name);
    cairn_err err = read_bytes(run, bytes, size, offset, error);
    if (err == CAIRN_OK && crc32c(0, bytes, size) != crc)
        err = damaged(run, error, offset, what);
    if (err == CAIRN_OK)
        *ret = bytes;
    else
        free(bytes);
    return err;
}

static cairn_err
load(struct run *run, cairn_error *error)
{
    uint64_t size = 0;
    int failed = os_size(run->os, run->file, &size);
    if (failed < 0)
        return error_set_errno(error, -failed, "cannot ask for the size of index run %s",
                               run->name);
    if (size != run->info.size_bytes)
        return damaged(run, error, size, "the file's size is not the manifest's");
    uint32_t filter_crc = 0, fences_crc = 0;
    void *filter = NULL, *fences = NULL;
    cairn_err err = check_header(run, error);
    if (err == CAIRN_OK)
        err = check_footer(run, &filter_crc, &fences_crc, error);
    if (err != CAIRN_OK)
        return err;
    uint64_t at = SERIES_BLOCK * (run->blocks + 1);
    size_t filter_size = run->filter.count * FILTER_LINE;
    err = load_part(run, filter_size, at, filter_crc, "the checksum of the filter does not match",
                    &filter, error);
    run->filter.lines = filter;
    if (err == CAIRN_OK)
        err = load_part(run, run->blocks * sizeof *run->fences, at + filter_size, fences_crc,
                        "the checksum of the fences does not match", &fences, error);
    run->fences = fences;
    return err;
}

cairn_err
series_run_open(struct os *os, const char *dir, const struct run_info *info, struct run **ret,
                cairn_error *error)
{
    struct run *run = calloc(1, sizeof *run);
    if (run == NULL)
        return error_set(error, CAIRN_E_NOMEM, "out of memory for an index run");
    run->os = os;
    run->info = *info;
    snprintf(run->name, sizeof run->name, RUN_NAME, (unsigned long long)info->id);
    char path[SERIES_PATH_MAX];
    cairn_err err = series_path(path, dir, run->name, error);
    if (err != CAIRN_OK)
        goto done;
    int failed = os_open(os, path, OS_READ, &run->file);
    if (failed == -ENOENT)
        err = error_set(error, CAIRN_E_CORRUPT, "index run %s is named by the manifest and missing",
                        path);
    else if (failed < 0)
        err = error_set_errno(error, -failed, "cannot open index run %s", path);
    else
        err = load(run, error);
done:
    if (err == CAIRN_OK)
        *ret = run;
    else
        series_run_free(run);
    return err;
}

void
series_run_free(struct run *run)
{
    if (run == NULL)
        return;
    if (run->file != NULL)
        (void)os_close(run->os, run->file); /* nothing of it is unsynced that anybody counts on */
    free(run->fences);
    free(run->filter.lines);
    free(run);
}

uint64_t
series_run_memory(const struct run *run)
{
    return sizeof *run + run->blocks * sizeof *run->fences + run->filter.count * FILTER_LINE;
}

/* ---- blocks -------------------------------------------------------------------------------- */

cairn_err
series_run_blocks(const struct run *run, uint64_t first, uint64_t count, uint8_t *to,
                  cairn_error *error)
{
    uint64_t offset = SERIES_BLOCK * (first + 1);
    cairn_err err = read_bytes(run, to, count * SERIES_BLOCK, offset, error);
    for (uint64_t i = 0; err == CAIRN_OK && i < count; i++) {
        const uint8_t *block = to + i * SERIES_BLOCK;
        if (load32(block + SERIES_BLOCK - 4) != series_block_crc(run->info.id, first + i, block))
            err = damaged(run, error, offset + i * SERIES_BLOCK,
                          "the checksum of the block does not match");
    }
    return err;
}

static cairn_err
malformed(const struct run *run, uint64_t block, cairn_error *error)
{
    return damaged(run, error, SERIES_BLOCK * (block + 1), "the block's chunks do not make sense");
}

/* The last block that begins at or before (key, value); 0 where the first one begins after it. */
static uint64_t
seek_block(const struct run *run, struct hash128 key, enum series_by by, uint64_t value)
{
    uint64_t low = 0,
             high = run->blocks; /* fences before low are at or before; from high on, after */
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        const struct fence *fence = &run->fences[middle];
        int order = key_compare(fence->key, key);
        uint64_t begins = by == SERIES_BY_POSITION ? fence->position : fence->ordinal;
        if (order < 0 || (order == 0 && begins <= value))
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? low - 1 : 0;
}

/* ---- lookups ------------------------------------------------------------------------------- */

/* A lookup's block and the place to decode into: 12 KiB of stack, once. */
struct lookup {
    const struct run *run;
    struct sink *sink;
    uint64_t seek;
    uint8_t block[SERIES_BLOCK];
    struct span span;
};

/* Does a chunk begin after everything that a backward read wants? */
static bool
chunk_is_after(const struct lookup *lookup, const struct block_walk *walk)
{
    const struct series_read *read = lookup->sink->read;
    return walk->first_position >= read->end
           || (read->by == SERIES_BY_POSITION ? walk->first_position : walk->first_ordinal)
                  > lookup->seek;
}

/* The chunks of the key in one block, first to last. */
static bool
forward_block(struct lookup *lookup)
{
    struct hash128 key = lookup->sink->read->key;
    struct block_walk walk;
    series_block_walk(&walk, lookup->block, lookup->run->info.first);
    enum block_step step = series_block_find(&walk, key);
    while (step == BLOCK_CHUNK && key_equal(walk.key, key) && !lookup->sink->done) {
        if (!series_block_decode(&walk, &lookup->span))
            return false;
        series_sink_put(lookup->sink, &lookup->span);
        step = series_block_next(&walk);
    }
    return step != BLOCK_BAD;
}

static cairn_err
read_forward(struct lookup *lookup, cairn_error *error)
{
    const struct run *run = lookup->run;
    const struct series_read *read = lookup->sink->read;
    uint64_t block = seek_block(run, read->key, read->by, lookup->seek);
    for (; block < run->blocks && !lookup->sink->done; block++) {
        if (key_compare(run->fences[block].key, read->key) > 0)
            break;
        cairn_err err = series_run_blocks(run, block, 1, lookup->block, error);
        if (err != CAIRN_OK)
            return err;
        if (!forward_block(lookup))
            return malformed(run, block, error);
    }
    return CAIRN_OK;
}

/* The chunks of the key in one block, last to first. They are found from the front, so it is noted where
 * the varints of each begin; 3 bytes is the least that a further chunk takes. */
struct chunk_place {
    uint16_t at, count;
    bool step, range;
};

static bool
backward_block(struct lookup *lookup)
{
    struct hash128 key = lookup->sink->read->key;
    struct chunk_place places[SERIES_BLOCK_ROOM / 3 + 1];
    unsigned count = 0;
    struct block_walk walk;
    series_block_walk(&walk, lookup->block, lookup->run->info.first);
    enum block_step step = series_block_find(&walk, key);
    while (step == BLOCK_CHUNK && key_equal(walk.key, key)) {
        struct chunk_place place
            = {(uint16_t)(walk.at - lookup->block), (uint16_t)walk.count, walk.step != 0, walk.range};
        if (count == sizeof places / sizeof places[0] || !series_block_begin(&walk))
            return false;
        if (chunk_is_after(lookup, &walk))
            break;
        places[count++] = place;
        if (!series_block_skip(&walk))
            return false;
        step = series_block_next(&walk);
    }
    if (step == BLOCK_BAD)
        return false;
    while (count > 0 && !lookup->sink->done) {
        const struct chunk_place *place = &places[--count];
        walk.at = lookup->block + place->at;
        walk.count = place->count;
        walk.step = place->step;
        walk.range = place->range;
        walk.begun = false;
        if (!series_block_decode(&walk, &lookup->span))
            return false;
        series_sink_put(lookup->sink, &lookup->span);
    }
    return true;
}

static cairn_err
read_backward(struct lookup *lookup, cairn_error *error)
{
    const struct run *run = lookup->run;
    const struct series_read *read = lookup->sink->read;
    uint64_t block = seek_block(run, read->key, read->by, lookup->seek);
    if (read->end < run->info.end) {
        uint64_t last = seek_block(run, read->key, SERIES_BY_POSITION, read->end - 1);
        block = block < last ? block : last;
    }
    for (;; block--) {
        cairn_err err = series_run_blocks(run, block, 1, lookup->block, error);
        if (err != CAIRN_OK)
            return err;
        if (!backward_block(lookup))
            return malformed(run, block, error);
        /* The block before has more of this key only if this one begins with it. */
        if (lookup->sink->done || block == 0 || !key_equal(run->fences[block].key, read->key))
            return CAIRN_OK;
    }
}

cairn_err
series_run_read(const struct run *run, struct sink *sink, cairn_error *error)
{
    const struct series_read *read = sink->read;
    if (!series_filter_has(&run->filter, read->key))
        return CAIRN_OK;
    struct lookup lookup;
    lookup.run = run;
    lookup.sink = sink;
    lookup.seek = series_sink_seek(sink);
    return read->backward ? read_backward(&lookup, error) : read_forward(&lookup, error);
}

/* ---- in order ------------------------------------------------------------------------------ */

cairn_err
series_cursor_open(struct run_cursor *cursor, const struct run *run, cairn_error *error)
{
    memset(cursor, 0, offsetof(struct run_cursor, span));
    cursor->run = run;
    cursor->buffer = malloc((size_t)CURSOR_BLOCKS * SERIES_BLOCK);
    if (cursor->buffer == NULL)
        return error_set(error, CAIRN_E_NOMEM, "out of memory for reading an index run");
    return CAIRN_OK;
}

void
series_cursor_close(struct run_cursor *cursor)
{
    free(cursor->buffer);
    cursor->buffer = NULL;
}

static cairn_err
next_block(struct run_cursor *cursor, cairn_error *error)
{
    const struct run *run = cursor->run;
    if (++cursor->block >= cursor->blocks) {
        uint64_t left = run->blocks - cursor->next_block;
        cursor->end = left == 0;
        if (cursor->end)
            return CAIRN_OK;
        cursor->blocks = left < CURSOR_BLOCKS ? (uint32_t)left : CURSOR_BLOCKS;
        cairn_err err
            = series_run_blocks(run, cursor->next_block, cursor->blocks, cursor->buffer, error);
        if (err != CAIRN_OK)
            return err;
        cursor->next_block += cursor->blocks;
        cursor->block = 0;
    }
    series_block_walk(&cursor->walk, cursor->buffer + (size_t)cursor->block * SERIES_BLOCK,
                      run->info.first);
    cursor->in_block = true;
    return CAIRN_OK;
}

cairn_err
series_cursor_next(struct run_cursor *cursor, cairn_error *error)
{
    while (!cursor->end) {
        enum block_step step = cursor->in_block ? series_block_next(&cursor->walk) : BLOCK_END;
        if (step == BLOCK_CHUNK && series_block_decode(&cursor->walk, &cursor->span)) {
            cursor->key = cursor->walk.key;
            return CAIRN_OK;
        }
        if (step != BLOCK_END)
            return malformed(cursor->run, cursor->next_block - cursor->blocks + cursor->block,
                             error);
        cairn_err err = next_block(cursor, error);
        if (err != CAIRN_OK)
            return err;
    }
    return CAIRN_OK;
}
