/* Any bytes as a record batch: the head, the records, in order and by index, through every codec. What is read can be made again, and
 * reads the same. */
#include <batch/batch.h>

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                                       \
    do {                                                                                            \
        if (!(condition)) {                                                                         \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);           \
            abort();                                                                                \
        }                                                                                           \
    } while (0)

static size_t
read_headers(const struct batch_record *record, struct batch_header_field fields[BATCH_HEADERS_MAX])
{
    cairn_str packed = record->headers;
    size_t count = 0;
    bool has_value;
    for (; count < record->header_count; count++) {
        FUZZ_CHECK(batch_next_header(&packed, &fields[count].name, &has_value, &fields[count].value));
        fields[count].null = !has_value;
    }
    FUZZ_CHECK(packed.size == 0);
    return count;
}

static void
same_record(const struct batch_record *a, const struct batch_record *b)
{
    FUZZ_CHECK(a->timestamp_ms == b->timestamp_ms && a->has_key == b->has_key && a->has_value == b->has_value);
    FUZZ_CHECK(cairn_str_equal(a->key, b->key) && cairn_str_equal(a->value, b->value) && a->header_count == b->header_count);
}

/* What was read, made again with another codec. */
static void
make_again(struct batch_cursor *cursor, cairn_str batch, enum batch_codec codec)
{
    static struct batch_header_field fields[BATCH_HEADERS_MAX];
    struct batch_maker maker = {0};
    struct batch_cursor again = {0};
    struct batch_record record, other;
    batch_make_begin(&maker);
    FUZZ_CHECK(batch_open(cursor, batch) == NULL);
    int64_t first = -1, last = 0;
    while (batch_next(cursor, &record)) {
        first = first < 0 ? record.offset_delta : first;
        last = record.offset_delta;
        if (!batch_make_add(&maker, last, record.timestamp_ms, record.has_key ? &record.key : NULL,
                            record.has_value ? &record.value : NULL, fields, read_headers(&record, fields)))
            goto done; /* offsets at the end of their range */
    }
    FUZZ_CHECK(batch_make_end(&maker, codec, 0, last));
    FUZZ_CHECK(batch_crc_holds(buf_str(&maker.out)) && batch_open(&again, buf_str(&maker.out)) == NULL);
    FUZZ_CHECK(batch_open(cursor, batch) == NULL);
    while (batch_next(cursor, &record)) {
        FUZZ_CHECK(batch_next(&again, &other) && again.head.base_offset + other.offset_delta == record.offset_delta);
        same_record(&record, &other);
    }
    FUZZ_CHECK(!batch_next(&again, &other) && !again.fault);
done:
    batch_close(&again);
    batch_make_free(&maker);
}

static void
as_batch(cairn_str batch)
{
    static struct batch_header_field fields[BATCH_HEADERS_MAX];
    struct batch_cursor cursor = {0};
    struct batch_record record, by_index;
    uint32_t count = 0;
    FUZZ_CHECK(batch_open(&cursor, batch) || cursor.head.size <= batch.size);
    if (!cursor.fault) {
        for (; batch_next(&cursor, &record); count++) {
            read_headers(&record, fields);
            if (count % 7 == 0 && batch_record_at(&cursor, count, &by_index))
                same_record(&record, &by_index);
        }
        if (!cursor.fault) {
            FUZZ_CHECK(count == cursor.head.count);
            if (count > 0)
                make_again(&cursor, batch, (enum batch_codec)(batch.size % BATCH_CODECS));
        }
    }
    (void)batch_crc_holds(batch);
    batch_close(&cursor);
}

/* As the packed text of each codec, within a small bound. */
static void
as_packed(cairn_str bytes)
{
    enum { MAX = 1 << 16 };
    struct buf to = {0};
    for (int codec = 0; codec < BATCH_CODECS; codec++) {
        buf_clear(&to);
        (void)codec_unpack((enum batch_codec)codec, bytes, MAX, &to);
        FUZZ_CHECK(to.size <= MAX);
    }
    buf_free(&to);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    as_batch((cairn_str){(const char *)data, size});
    if (size > BATCH_HEAD_SIZE)
        as_packed((cairn_str){(const char *)data + BATCH_HEAD_SIZE, size - BATCH_HEAD_SIZE});
    return 0;
}
