/* Any bytes as a record of the log whose checksums hold: it is taken apart within its bounds, or refused; a batch unfolds the same
 * forward and backward, with names only or whole.
 *
 * The checksums are made to hold here, so that what lies behind them is reached: no disk does that by accident. */
#include <log/unfold.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)
#define SEED 7u
#define LOOKED_AT 300u /* positions of one batch */

static void
make_sums_hold(uint8_t *record, size_t size)
{
    if (size < BATCH_RECORD_HEAD_SIZE)
        return;
    store32(record + 4, (uint32_t)size);
    bool batch = load32(record + 12) == RECORD_BATCH || load32(record + 12) == RECORD_THINNED;
    size_t head = batch ? BATCH_RECORD_HEAD_SIZE : RECORD_HEAD_SIZE, placed = batch ? load32(record + 40) : 0;
    if (placed > size - head)
        placed = 0;
    if (batch)
        store32(record + 44, crc32c(0, record + head, placed));
    store32(record + 8, crc32c(0, record + head + placed, size - head - placed));
    store32(record, crc32c(SEED, record + 4, head - 4));
}

static void
look_at_tags(const struct record *record)
{
    cairn_str packed = record->tags_packed, tag;
    size_t count = 0;
    while (record_next_tag(&packed, &tag))
        count++;
    MUST(count == record->event.tag_count && packed.size == 0);
}

/* What is the same whichever way one comes. */
struct seen {
    enum record_kind kind;
    uint64_t revision, text;
};

static struct seen
look_at(struct unfold *unfold, uint64_t position, bool only_names)
{
    struct record record;
    const char *fault = unfold_at(unfold, position, only_names, &record);
    if (fault != NULL)
        return (struct seen){0};
    MUST(record.position == position && record.unfolded && record.count == 1);
    if (record.kind == RECORD_REMOVED)
        return (struct seen){record.kind, record.revision, hash64(record.stream.data, record.stream.size, 0)};
    MUST(record.kind == RECORD_EVENT && record.stream.size > 0 && record.event.type.size > 0);
    MUST(record.stream.size <= LOG_NAME_MAX && record.event.type.size <= LOG_NAME_MAX && record.event.tag_count <= LOG_TAGS_MAX);
    look_at_tags(&record);
    uint64_t text = hash64(record.stream.data, record.stream.size, 0) ^ hash64(record.event.type.data, record.event.type.size, 1)
                    ^ hash64(record.tags_packed.data, record.tags_packed.size, 2)
                    ^ hash64(record.event.correlation.data, record.event.correlation.size, 3);
    return (struct seen){record.kind, record.revision, text};
}

static bool
same(struct seen a, struct seen b)
{
    return a.kind == b.kind && a.revision == b.revision && a.text == b.text;
}

static void
look_at_batch(const struct record *stored)
{
    struct unfold *unfold = unfold_new();
    struct seen seen[LOOKED_AT];
    uint32_t count = stored->count < LOOKED_AT ? stored->count : LOOKED_AT, events = 0;
    MUST(unfold != NULL);
    if (unfold_open(unfold, stored) == NULL) {
        bool whole = true;
        for (uint32_t i = 0; i < count; i++) {
            seen[i] = look_at(unfold, stored->position + i, true);
            events += seen[i].kind == RECORD_EVENT;
            whole = whole && seen[i].kind != 0; /* damage is told once; then nothing more comes */
        }
        MUST(events <= unfold_count(unfold));
        for (uint32_t i = count; whole && i-- > 0;)
            MUST(same(seen[i], look_at(unfold, stored->position + i, i % 2)));
    }
    unfold_free(unfold);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = malloc(size + 1), leaf[32];
    MUST(bytes != NULL);
    if (size > 0)
        memcpy(bytes, data, size);
    make_sums_hold(bytes, size);
    struct record record;
    if (record_decode((cairn_str){(char *)bytes, size}, SEED, &record) == NULL) {
        struct record_extent extent = record_extent(bytes);
        MUST(extent.size == size && extent.positions == record.count && extent.removed <= extent.positions);
        record_leaf(&record, leaf);
        if (record_holds_batch(&record))
            look_at_batch(&record);
        else
            look_at_tags(&record);
    }
    free(bytes);
    return 0;
}
