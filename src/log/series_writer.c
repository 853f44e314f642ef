/* Writes a run file: entries come in order of key and position and leave as chunks in blocks.
 *
 *   add ─► chunk (one key, ≤ 512 entries) ─► block (4 KiB) ─► buffer (256 KiB) ─► file
 *
 * A chunk stays open until the next entry does not fit: another key, a gap in the ordinals, 512 entries, or
 * a block that is full. So a long series fills whole blocks, and short ones share them. Memory is
 * bounded by the buffer, the filter (sized for keys_max beforehand) and 32 bytes a block of fences.
 * Owned by the maintainer. */
#include <log/series_int.h>

#include <stdlib.h>

#define SYNC_BYTES \
    (8u << 20) /* dirty pages left to the kernel at once: a large sync would hold up the log's */

static cairn_err
no_memory(cairn_error *error)
{
    return error_set(error, CAIRN_E_NOMEM, "out of memory while writing an index run");
}

static cairn_err
write_at(struct run_writer *writer, const void *bytes, size_t size, uint64_t offset,
         cairn_error *error)
{
    const struct run *run = writer->run;
    ssize_t written = os_pwrite(writer->os, run->file, bytes, size, offset);
    if (written < 0)
        return error_set_errno(error, (int)-written,
                               "cannot write %zu bytes at %llu of index run %s", size,
                               (unsigned long long)offset, run->name);
    return CAIRN_OK;
}

static cairn_err
sync_file(struct run_writer *writer, cairn_error *error)
{
    int failed = os_sync(writer->os, writer->run->file);
    if (failed < 0)
        return error_set_errno(error, -failed, "cannot sync index run %s", writer->run->name);
    writer->unsynced_bytes = 0;
    return CAIRN_OK;
}

cairn_err
series_writer_begin(struct run_writer *writer, struct os *os, const char *dir, uint64_t id,
                    uint64_t first, uint64_t keys_max, cairn_error *error)
{
    memset(writer, 0, sizeof *writer);
    writer->os = os;
    writer->dir = dir;
    struct run *run = writer->run = calloc(1, sizeof *run);
    writer->buffer = calloc(WRITER_BLOCKS + 1, SERIES_BLOCK);
    if (run == NULL || writer->buffer == NULL)
        return no_memory(error);
    run->os = os;
    run->info.id = id;
    run->info.first = first;
    snprintf(run->name, sizeof run->name, RUN_NAME, (unsigned long long)id);
    /* 10 bits a key; a multiple of 16 lines, so that a merge whose inputs share keys can fold it. */
    run->filter.count = (keys_max * 10 / (8 * FILTER_LINE) / 16 + 1) * 16;
    run->filter.lines = calloc(run->filter.count, FILTER_LINE);
    if (run->filter.lines == NULL)
        return no_memory(error);

    char path[SERIES_PATH_MAX];
    cairn_err err = series_path(path, dir, run->name, error);
    if (err != CAIRN_OK)
        return err;
    int failed = os_open(os, path, OS_WRITE | OS_CREATE | OS_TRUNCATE, &run->file);
    if (failed < 0)
        return error_set_errno(error, -failed, "cannot make index run %s", path);
    uint8_t page[SERIES_BLOCK];
    series_run_header(page, id, first);
    return write_at(writer, page, sizeof page, 0, error);
}

/* ---- blocks -------------------------------------------------------------------------------- */

static cairn_err
flush_blocks(struct run_writer *writer, cairn_error *error)
{
    if (writer->blocks == 0)
        return CAIRN_OK;
    struct run *run = writer->run;
    size_t size = (size_t)writer->blocks * SERIES_BLOCK;
    uint64_t first = run->blocks - writer->blocks;
    cairn_err err = write_at(writer, writer->buffer, size, SERIES_BLOCK * (first + 1), error);
    if (err != CAIRN_OK)
        return err;
    memmove(writer->buffer, writer->buffer + size, SERIES_BLOCK); /* the one being filled */
    memset(writer->buffer + SERIES_BLOCK, 0, size);
    writer->blocks = 0;
    writer->unsynced_bytes += size;
    return writer->unsynced_bytes >= SYNC_BYTES ? sync_file(writer, error) : CAIRN_OK;
}

static uint8_t *
open_block(struct run_writer *writer)
{
    return writer->buffer + (size_t)writer->blocks * SERIES_BLOCK;
}

static cairn_err
end_block(struct run_writer *writer, cairn_error *error)
{
    if (writer->used == 0)
        return CAIRN_OK;
    uint8_t *block = open_block(writer);
    store16(block, (uint16_t)writer->used);
    store32(block + SERIES_BLOCK - 4,
            series_block_crc(writer->run->info.id, writer->run->blocks, block));
    writer->run->blocks++;
    writer->blocks++;
    writer->used = 0;
    writer->key_in_block = false;
    return writer->blocks == WRITER_BLOCKS ? flush_blocks(writer, error) : CAIRN_OK;
}

static cairn_err
add_fence(struct run_writer *writer, cairn_error *error)
{
    struct run *run = writer->run;
    if (run->blocks == writer->fences_max) {
        uint64_t more = writer->fences_max ? 2 * writer->fences_max : 256;
        struct fence *fences = realloc(run->fences, more * sizeof *fences);
        if (fences == NULL)
            return no_memory(error);
        run->fences = fences;
        writer->fences_max = more;
    }
    run->fences[run->blocks] = (struct fence){
        .key = writer->key, .position = writer->first_position, .ordinal = writer->first_ordinal};
    return CAIRN_OK;
}

/* ---- chunks -------------------------------------------------------------------------------- */

/* Bytes of the key that the block's previous chunk has too: 0 to 6, or 7 for all of them. */
static unsigned
shared_code(const struct run_writer *writer)
{
    if (!writer->key_in_block)
        return 0;
    unsigned same = 0;
    while (same < 16 && writer->key_be[same] == writer->block_key[same])
        same++;
    return same == 16 ? 7 : same > 6 ? 6 : same;
}

/* Fewer neighbours than this are no shorter as a range than with a byte each. */
#define RANGE_LEAST 16u

/* The most that tag, key, count, ordinal and position of the open chunk can take. */
static uint32_t
head_size(const struct run_writer *writer)
{
    unsigned shared = shared_code(writer);
    return 1 + (shared == 7 ? 0 : 16 - shared) + 3 + varint_size(writer->first_ordinal)
           + varint_size(writer->first_position - writer->run->info.first);
}

static cairn_err
close_chunk(struct run_writer *writer, cairn_error *error)
{
    if (writer->count == 0)
        return CAIRN_OK;
    if (writer->used == 0) {
        cairn_err err = add_fence(writer, error);
        if (err != CAIRN_OK)
            return err;
    }
    uint8_t *begin = open_block(writer) + SERIES_BLOCK_HEAD + writer->used, *at = begin;
    unsigned shared = shared_code(writer);
    uint32_t step = writer->count == 1 ? writer->first_ordinal != 0 : writer->step;
    bool range = writer->range && writer->count > 1;
    *at++ = (uint8_t)(shared | step << 3 | (writer->count < 16 && !range ? writer->count << 4 : 0));
    if (shared != 7) {
        memcpy(at, writer->key_be + shared, 16 - shared);
        at += 16 - shared;
    }
    if (range)
        *at++ = 0;
    if (range || writer->count >= 16)
        at = varint_write(at, writer->count);
    if (step)
        at = varint_write(at, writer->first_ordinal);
    at = varint_write(at, writer->first_position - writer->run->info.first);
    memcpy(at, writer->deltas, writer->deltas_size);
    at += writer->deltas_size;
    writer->used += (uint32_t)(at - begin);
    assert(writer->used <= SERIES_BLOCK_ROOM);
    memcpy(writer->block_key, writer->key_be, 16);
    writer->key_in_block = true;
    writer->count = 0;
    return CAIRN_OK;
}

static cairn_err
open_chunk(struct run_writer *writer, struct hash128 key, uint64_t ordinal, uint64_t position,
           cairn_error *error)
{
    cairn_err err = close_chunk(writer, error);
    if (err != CAIRN_OK)
        return err;
    if (!writer->any || !key_equal(key, writer->key)) {
        assert(!writer->any || key_compare(writer->key, key) < 0);
        writer->any = true;
        writer->key = key;
        key_bytes(key, writer->key_be);
        series_filter_add(&writer->run->filter, key);
        writer->run->keys++;
    }
    writer->first_ordinal = ordinal;
    writer->first_position = position;
    writer->head_size = head_size(writer);
    if (writer->used + writer->head_size > SERIES_BLOCK_ROOM) {
        err = end_block(writer, error);
        if (err != CAIRN_OK)
            return err;
        writer->head_size = head_size(writer);
    }
    writer->count = 1;
    writer->step = 0;
    writer->deltas_size = 0;
    writer->range = false;
    return CAIRN_OK;
}

/* `count` neighbours: on to the range that the chunk is, or as chunks of their own. */
static cairn_err
add_range(struct run_writer *writer, struct hash128 key, uint64_t ordinal, uint32_t step, uint64_t position,
          uint32_t count, cairn_error *error)
{
    writer->run->info.entries += count;
    while (count > 0) {
        uint32_t n = 1, follows;
        bool fits = writer->count > 0 && writer->range && writer->count < SERIES_SPAN_MAX && key_equal(key, writer->key)
                    && position == writer->last_position + 1
                    && step_follows(writer->last_ordinal, ordinal, writer->count, writer->step, &follows) && follows == step;
        if (fits) {
            n = SERIES_SPAN_MAX - writer->count < count ? SERIES_SPAN_MAX - writer->count : count;
            writer->step = step;
            writer->count += n;
        } else {
            cairn_err err = open_chunk(writer, key, ordinal, position, error);
            if (err != CAIRN_OK)
                return err;
            writer->range = true;
        }
        writer->last_position = position + n - 1;
        writer->last_ordinal = ordinal + (uint64_t)step * (n - 1);
        position += n;
        ordinal += (uint64_t)step * n;
        count -= n;
    }
    return CAIRN_OK;
}

cairn_err
series_writer_add(struct run_writer *writer, struct hash128 key, const struct span *span,
                  cairn_error *error)
{
    if (span->count >= RANGE_LEAST && span->positions[span->count - 1] - span->positions[0] == span->count - 1)
        return add_range(writer, key, span->first_ordinal, span->step, span->positions[0], span->count, error);
    for (uint32_t i = 0; i < span->count; i++) {
        uint64_t position = span->positions[i];
        uint64_t ordinal = span->first_ordinal + (uint64_t)i * span->step;
        uint64_t delta = position - writer->last_position;
        bool fits = writer->count > 0 && (i > 0 || key_equal(key, writer->key))
                    && !writer->range && writer->count < SERIES_CHUNK_MAX
                    && writer->used + writer->head_size + writer->deltas_size + varint_size(delta)
                           <= SERIES_BLOCK_ROOM
                    && step_follows(writer->last_ordinal, ordinal, writer->count, writer->step,
                                    &writer->step);
        if (fits) {
            assert(position > writer->last_position);
            uint8_t *to = writer->deltas + writer->deltas_size;
            writer->deltas_size += (uint32_t)(varint_write(to, delta) - to);
            writer->count++;
        } else {
            cairn_err err = open_chunk(writer, key, ordinal, position, error);
            if (err != CAIRN_OK)
                return err;
        }
        writer->last_position = position;
        writer->last_ordinal = ordinal;
    }
    writer->run->info.entries += span->count;
    return CAIRN_OK;
}

/* ---- the end ------------------------------------------------------------------------------- */

/* Filter, fences and footer follow the blocks. */
static cairn_err
write_tail(struct run_writer *writer, cairn_error *error)
{
    struct run *run = writer->run;
    series_filter_fold(&run->filter, run->keys);
    size_t filter_size = run->filter.count * FILTER_LINE;
    size_t fences_size = run->blocks * sizeof *run->fences;
    uint64_t offset = SERIES_BLOCK * (run->blocks + 1);
    run->info.size_bytes = offset + filter_size + fences_size + RUN_FOOTER;

    uint8_t footer[RUN_FOOTER];
    series_run_footer(footer, run, crc32c(0, run->filter.lines, filter_size),
                      crc32c(0, run->fences, fences_size));
    run->info.footer_crc = load32(footer + RUN_FOOTER - 4);
    struct iovec pieces[3]
        = {{run->filter.lines, filter_size}, {run->fences, fences_size}, {footer, sizeof footer}};
    ssize_t written = os_pwritev(writer->os, run->file, pieces, 3, offset);
    if (written < 0)
        return error_set_errno(error, (int)-written, "cannot write the end of index run %s",
                               run->name);
    return sync_file(writer, error);
}

cairn_err
series_writer_finish(struct run_writer *writer, uint64_t end, struct run **ret, cairn_error *error)
{
    struct run *run = writer->run;
    run->info.end = end;
    run->info.level = series_level(run->info.entries);
    cairn_err err = close_chunk(writer, error);
    if (err == CAIRN_OK)
        err = end_block(writer, error);
    if (err == CAIRN_OK)
        err = flush_blocks(writer, error);
    if (err == CAIRN_OK)
        err = write_tail(writer, error);
    if (err != CAIRN_OK)
        return err;
    int failed = os_sync_dir(writer->os, writer->dir);
    if (failed < 0)
        return error_set_errno(error, -failed, "cannot sync folder %s", writer->dir);

    /* Give back what was taken beforehand and not needed; where that fails nothing is lost. */
    void *fences = realloc(run->fences, run->blocks * sizeof *run->fences);
    if (fences != NULL)
        run->fences = fences;
    void *lines = realloc(run->filter.lines, run->filter.count * FILTER_LINE);
    if (lines != NULL)
        run->filter.lines = lines;
    free(writer->buffer);
    writer->buffer = NULL;
    writer->run = NULL;
    *ret = run;
    return CAIRN_OK;
}

void
series_writer_abort(struct run_writer *writer)
{
    struct run *run = writer->run;
    if (run != NULL) {
        char path[SERIES_PATH_MAX];
        bool made = run->file != NULL;
        cairn_err err = series_path(path, writer->dir, run->name, NULL);
        series_run_free(run);
        if (made && err == CAIRN_OK)
            (void)os_unlink(writer->os, path); /* else the next open does it */
    }
    free(writer->buffer);
    writer->run = NULL;
    writer->buffer = NULL;
}
