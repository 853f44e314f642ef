/* batch/batch.h: what the maker makes is what the cursor reads, whatever the records and the codec; and what is damaged is
 * refused without harm. */
#include "test.h"

#include <batch/batch.h>

#define RECORDS_MAX 300
#define HEADERS_MAX 6

struct model_record {
    int64_t offset, timestamp_ms;
    cairn_str key, value;
    bool has_key, has_value;
    struct batch_header_field headers[HEADERS_MAX];
    size_t header_count;
};

struct model {
    struct model_record records[RECORDS_MAX];
    size_t count;
    struct arena arena;
    uint64_t seed;
};

static uint64_t
below(struct model *model, uint64_t n)
{
    return test_random(&model->seed) % n;
}

/* Sometimes long, sometimes of one letter, sometimes noise: so that codecs have all kinds of work. */
static cairn_str
random_text(struct model *model, size_t size_max)
{
    size_t size = below(model, 4) ? below(model, 20) : below(model, size_max);
    char *text = arena_alloc(&model->arena, size);
    assert_non_null(text);
    unsigned letters = below(model, 3) ? 3 : 256;
    for (size_t i = 0; i < size; i++)
        text[i] = (char)below(model, letters);
    return (cairn_str){text, size};
}

static int64_t
random_time(struct model *model)
{
    switch (below(model, 8)) {
    case 0: return INT64_MIN;
    case 1: return INT64_MAX;
    case 2: return -1;
    default: return 1700000000000 + (int64_t)below(model, 100000);
    }
}

static void
make_model(struct model *model)
{
    arena_reset(&model->arena);
    model->count = 1 + (below(model, 3) ? below(model, 10) : below(model, RECORDS_MAX));
    int64_t offset = (int64_t)below(model, 1 << 20);
    size_t size_max = below(model, 10) ? 200 : 100000;
    for (size_t i = 0; i < model->count; i++) {
        struct model_record *record = &model->records[i];
        *record = (struct model_record){.offset = offset, .timestamp_ms = random_time(model)};
        offset += 1 + (below(model, 5) ? 0 : (int64_t)below(model, 1000));
        if ((record->has_key = below(model, 3) > 0))
            record->key = random_text(model, 100);
        if ((record->has_value = below(model, 5) > 0))
            record->value = random_text(model, size_max);
        record->header_count = below(model, 2) ? 0 : below(model, HEADERS_MAX + 1);
        for (size_t h = 0; h < record->header_count; h++) {
            record->headers[h].name = random_text(model, 40);
            if (!(record->headers[h].null = below(model, 4) == 0))
                record->headers[h].value = random_text(model, 400);
        }
    }
}

static void
make_batch(const struct model *model, struct batch_maker *maker, enum batch_codec codec, uint16_t attributes, int64_t more)
{
    batch_make_begin(maker);
    for (size_t i = 0; i < model->count; i++) {
        const struct model_record *from = &model->records[i];
        CHECK(batch_make_add(maker, from->offset, from->timestamp_ms, from->has_key ? &from->key : NULL,
                             from->has_value ? &from->value : NULL, from->headers, from->header_count));
    }
    CHECK(batch_make_end(maker, codec, attributes, model->records[model->count - 1].offset + more));
}

static void
check_record(const struct model *model, size_t i, const struct batch_head *head, const struct batch_record *record)
{
    const struct model_record *expected = &model->records[i];
    CHECK(head->base_offset + record->offset_delta == expected->offset);
    CHECK(record->timestamp_ms == expected->timestamp_ms);
    CHECK(record->has_key == expected->has_key && record->has_value == expected->has_value);
    CHECK(cairn_str_equal(record->key, expected->key) && cairn_str_equal(record->value, expected->value));
    CHECK_INT(record->header_count, expected->header_count);
    cairn_str packed = record->headers, name, value;
    bool has_value;
    for (size_t h = 0; h < expected->header_count; h++) {
        CHECK(batch_next_header(&packed, &name, &has_value, &value));
        CHECK(cairn_str_equal(name, expected->headers[h].name) && has_value == !expected->headers[h].null);
        CHECK(cairn_str_equal(value, expected->headers[h].value));
    }
    CHECK(!batch_next_header(&packed, &name, &has_value, &value));
}

static void
check_batch(struct model *model, struct batch_cursor *cursor, cairn_str batch, enum batch_codec codec, int64_t more)
{
    struct batch_record record;
    CHECK(batch_crc_holds(batch));
    const char *fault = batch_open(cursor, batch);
    if (fault)
        fail_msg("%s: %s", batch_codec_name(codec), fault);
    const struct batch_head *head = &cursor->head;
    CHECK(head->size == batch.size && head->count == model->count && (head->attributes & BATCH_CODEC_BITS) == codec);
    CHECK(head->producer_id == -1 && head->producer_epoch == -1 && head->base_sequence == -1);
    CHECK(head->base_offset + head->last_offset_delta == model->records[model->count - 1].offset + more);
    int64_t newest = INT64_MIN;
    for (size_t i = 0; i < model->count; i++) {
        newest = model->records[i].timestamp_ms > newest ? model->records[i].timestamp_ms : newest;
        size_t other = below(model, model->count);
        if (below(model, 4) == 0) {
            CHECK(batch_record_at(cursor, (uint32_t)other, &record));
            check_record(model, other, head, &record);
        }
        CHECK(batch_next(cursor, &record));
        check_record(model, i, head, &record);
    }
    CHECK(head->max_timestamp_ms == newest);
    CHECK(!batch_next(cursor, &record) && cursor->fault == NULL);
    CHECK(!batch_next(cursor, &record) && cursor->fault == NULL);
}

/* Goal: maker and cursor agree. Method: random records (nulls, headers, odd times, gaps) through every codec and back. */
TEST(made_is_read)
{
    struct model *model = calloc(1, sizeof *model);
    struct batch_maker maker = {0};
    struct batch_cursor cursor = {0};
    model->seed = test_seed();
    for (unsigned round = 0; round < 150 * test_scale(); round++) {
        make_model(model);
        int64_t more = (int64_t)below(model, 3);
        for (int codec = 0; codec < BATCH_CODECS; codec++) {
            make_batch(model, &maker, (enum batch_codec)codec, 0, more);
            check_batch(model, &cursor, buf_str(&maker.out), (enum batch_codec)codec, more);
        }
    }
    batch_close(&cursor);
    batch_make_free(&maker);
    arena_free(&model->arena);
    free(model);
}

/* What can be asked of a batch, asked. */
static void
tour(struct batch_cursor *cursor, cairn_str batch)
{
    struct batch_record record;
    uint32_t count = 0;
    if (batch_open(cursor, batch) != NULL)
        return;
    while (batch_next(cursor, &record)) {
        cairn_str packed = record.headers, name, value;
        bool has_value;
        uint32_t headers = 0;
        while (batch_next_header(&packed, &name, &has_value, &value))
            headers++;
        CHECK_INT(headers, record.header_count);
        count++;
    }
    CHECK(cursor->fault != NULL || count == cursor->head.count);
    if (!cursor->fault && count > 0)
        CHECK(batch_record_at(cursor, count - 1, &record));
    CHECK(!batch_record_at(cursor, cursor->head.count, &record) && cursor->fault);
}

/* Goal: no damage makes the cursor leave the batch. Method: bytes changed at random, in memory of exactly its size (so
 * that a sanitizer sees every step beyond); and every way to cut it short. */
TEST(damaged_is_refused)
{
    struct model *model = calloc(1, sizeof *model);
    struct batch_maker maker = {0};
    struct batch_cursor cursor = {0};
    model->seed = test_seed();
    for (unsigned round = 0; round < 400 * test_scale(); round++) {
        make_model(model);
        make_batch(model, &maker, (enum batch_codec)(round % BATCH_CODECS), 0, 0);
        size_t size = maker.out.size;
        uint8_t *bytes = malloc(size);
        for (unsigned mutation = 0; mutation < 40; mutation++) {
            memcpy(bytes, maker.out.data, size);
            for (size_t n = 1 + below(model, 3); n > 0; n--) {
                size_t at = below(model, 2) ? below(model, size) : below(model, size < 120 ? size : 120);
                bytes[at] = (uint8_t)(below(model, 2) ? test_random(&model->seed) : bytes[at] ^ 1u << below(model, 8));
            }
            tour(&cursor, (cairn_str){(const char *)bytes, size});
        }
        free(bytes);
        size_t cut = below(model, size);
        bytes = malloc(cut ? cut : 1);
        memcpy(bytes, maker.out.data, cut);
        CHECK(batch_open(&cursor, (cairn_str){(const char *)bytes, cut}) == batch_cut_short);
        free(bytes);
    }
    batch_close(&cursor);
    batch_make_free(&maker);
    arena_free(&model->arena);
    free(model);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(made_is_read), RUN(damaged_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
