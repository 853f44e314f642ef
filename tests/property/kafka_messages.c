/* Goal: every message of the tables, in every version that is served, survives writing and reading, request and answer.
 * Method: fill structs at random by the tables, write, read, compare field by field; a field that the version lacks must come
 * back as its default. Then damage the bytes and cut them off at every length: reading ends, and says what is wrong. */
#include "test.h"

#include <proto/kafka/codec.h>

#define ITEMS_MAX 4
#define TEXT_MAX 40

static uint64_t seed;

static size_t
below(size_t bound)
{
    return test_random(&seed) % bound;
}

/* ---- filling ---------------------------------------------------------------------------------------------------------- */

static bool
is_there(const struct kafka_field *field, int16_t version)
{
    return version >= field->first && version <= field->last;
}

static void fill(const struct kafka_struct *table, int16_t version, struct arena *arena, char *to);

static cairn_str
random_text(struct arena *arena, bool nullable)
{
    size_t size = below(8) ? below(TEXT_MAX) : below(400);
    if (nullable && below(3) == 0)
        return (cairn_str){NULL, 0};
    char *data = arena_alloc(arena, size);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)test_random(&seed);
    return (cairn_str){data, size};
}

static void
fill_scalar(const struct kafka_field *field, bool nullable, struct arena *arena, char *to)
{
    uint64_t number = below(4) ? test_random(&seed) : (uint64_t)0 - below(2);
    cairn_str text;
    struct kafka_pieces pieces = {0};
    switch ((enum kafka_kind)field->kind) {
    case KAFKA_BOOL:
        *to = number & 1;
        break;
    case KAFKA_UUID:
        for (int i = 0; i < 16; i++)
            to[i] = (char)test_random(&seed);
        break;
    case KAFKA_STRING: case KAFKA_BYTES: case KAFKA_RECORDS:
        text = random_text(arena, nullable);
        memcpy(to, &text, sizeof text);
        break;
    case KAFKA_PIECES:
        pieces.count = below(4);
        pieces.items = arena_alloc(arena, pieces.count * sizeof *pieces.items);
        for (size_t i = 0; i < pieces.count; i++)
            pieces.items[i].bytes = random_text(arena, false);
        memcpy(to, &pieces, sizeof pieces);
        break;
    default:
        memcpy(to, &number, kafka_size_of(field));
    }
}

static void
fill_list(const struct kafka_field *field, int16_t version, struct arena *arena, char *to)
{
    bool null = version >= field->null_from && below(4) == 0;
    int32_t count = null ? -1 : (int32_t)below(ITEMS_MAX);
    size_t size = kafka_size_of(field);
    char *items = count > 0 ? arena_zalloc(arena, (size_t)count * size) : NULL;
    for (int32_t i = 0; i < count; i++) {
        char *item = items + (size_t)i * size;
        if (field->kind == KAFKA_STRUCT)
            fill(field->of, version, arena, item);
        else
            fill_scalar(field, false, arena, item);
    }
    memcpy(to + field->offset, &items, sizeof items);
    memcpy(to + field->beside, &count, sizeof count);
}

static void
fill(const struct kafka_struct *table, int16_t version, struct arena *arena, char *to)
{
    memset(to, 0, table->size);
    for (uint32_t i = 0; i < table->field_count; i++) {
        const struct kafka_field *field = &table->fields[i];
        bool optional = field->kind == KAFKA_STRUCT && field->null_from != KAFKA_NEVER;
        if (field->list) {
            fill_list(field, version, arena, to);
        } else if (field->kind == KAFKA_STRUCT) {
            if (optional)
                to[field->beside] = below(2) != 0;
            if (!optional || to[field->beside])
                fill(field->of, version, arena, to + field->offset);
        } else {
            bool nullable = version >= field->null_from || (field->tag >= 0 && is_there(field, version));
            fill_scalar(field, nullable, arena, to + field->offset);
        }
    }
}

/* ---- comparing ---------------------------------------------------------------------------------------------------------- */

static void compare(const struct kafka_struct *table, int16_t version, const char *sent, const char *got);

static void
compare_scalar(const struct kafka_field *field, bool null_counts, const char *sent, const char *got)
{
    cairn_str a, b;
    if (field->kind == KAFKA_STRING || field->kind == KAFKA_BYTES || field->kind == KAFKA_RECORDS) {
        memcpy(&a, sent, sizeof a);
        memcpy(&b, got, sizeof b);
        CHECK(cairn_str_equal(a, b));
        CHECK(!null_counts || !a.data == !b.data);
        return;
    }
    if (field->kind == KAFKA_PIECES) {
        struct kafka_pieces parts, whole;
        size_t at = 0;
        memcpy(&parts, sent, sizeof parts);
        memcpy(&whole, got, sizeof whole);
        CHECK_INT(whole.count, 1);
        for (size_t i = 0; i < parts.count; at += parts.items[i++].bytes.size) {
            CHECK(at + parts.items[i].bytes.size <= whole.items[0].bytes.size);
            CHECK(memcmp(whole.items[0].bytes.data + at, parts.items[i].bytes.data, parts.items[i].bytes.size) == 0);
        }
        CHECK_INT(at, whole.items[0].bytes.size);
        return;
    }
    CHECK(memcmp(sent, got, kafka_size_of(field)) == 0);
}

static void
compare_list(const struct kafka_field *field, int16_t version, const char *sent, const char *got)
{
    int32_t count, got_count;
    const char *items, *got_items;
    size_t size = kafka_size_of(field);
    memcpy(&count, sent + field->beside, sizeof count);
    memcpy(&got_count, got + field->beside, sizeof count);
    memcpy(&items, sent + field->offset, sizeof items);
    memcpy(&got_items, got + field->offset, sizeof items);
    CHECK_INT(got_count, count);
    for (int32_t i = 0; i < count; i++) {
        if (field->kind == KAFKA_STRUCT)
            compare(field->of, version, items + (size_t)i * size, got_items + (size_t)i * size);
        else
            compare_scalar(field, false, items + (size_t)i * size, got_items + (size_t)i * size);
    }
}

static void
check_absent(const struct kafka_field *field, const char *got)
{
    static const char zeros[sizeof(cairn_uuid)];
    if (field->list) {
        int32_t count;
        memcpy(&count, got + field->beside, sizeof count);
        CHECK_INT(count, 0);
    } else if (field->kind == KAFKA_STRING || field->kind == KAFKA_BYTES || field->kind == KAFKA_RECORDS) {
        CHECK_INT(((const cairn_str *)(const void *)(got + field->offset))->size, 0);
    } else if (field->kind != KAFKA_STRUCT && field->kind != KAFKA_PIECES) {
        const void *otherwise = field->otherwise ? (const void *)&field->otherwise : zeros;
        CHECK(memcmp(got + field->offset, otherwise, kafka_size_of(field)) == 0);
    } else if (field->null_from != KAFKA_NEVER && field->kind == KAFKA_STRUCT) {
        CHECK(!got[field->beside]);
    }
}

static void
compare(const struct kafka_struct *table, int16_t version, const char *sent, const char *got)
{
    for (uint32_t i = 0; i < table->field_count; i++) {
        const struct kafka_field *field = &table->fields[i];
        bool optional = field->kind == KAFKA_STRUCT && !field->list && field->null_from != KAFKA_NEVER;
        if (!is_there(field, version)) {
            check_absent(field, got);
        } else if (field->list) {
            compare_list(field, version, sent, got);
        } else if (field->kind != KAFKA_STRUCT) {
            compare_scalar(field, version >= field->null_from, sent + field->offset, got + field->offset);
        } else {
            CHECK(!optional || !sent[field->beside] == !got[field->beside]);
            if (!optional || sent[field->beside])
                compare(field->of, version, sent + field->offset, got + field->offset);
        }
    }
}

/* ---- there and back ------------------------------------------------------------------------------------------------------- */

/* What was written, as it goes over the wire, in memory of exactly its size. */
static cairn_str
flatten(const struct kafka_out *out)
{
    const struct kafka_gap *gaps = (const struct kafka_gap *)(void *)out->gaps.data;
    size_t size = kafka_out_size(out), at = 0, from = 0;
    char *data = malloc(size);
    for (size_t i = 0; i <= kafka_out_gaps(out); i++) {
        size_t until = i < kafka_out_gaps(out) ? gaps[i].at : out->bytes.size;
        memcpy(data + at, out->bytes.data + from, until - from);
        at += until - from;
        from = until;
        if (i == kafka_out_gaps(out))
            break;
        memcpy(data + at, gaps[i].piece.bytes.data, gaps[i].piece.bytes.size);
        at += gaps[i].piece.bytes.size;
    }
    CHECK_INT(at, size);
    return (cairn_str){data, size};
}

/* However the bytes are damaged, reading ends within them and within the arena's bound. */
static void
damage(cairn_str bytes, const struct kafka_struct *table, int16_t version, bool flexible)
{
    struct kafka_fault fault;
    char *to = malloc(table->size);
    for (size_t size = 0; size < bytes.size; size += 1 + below(1 + bytes.size / 64)) {
        struct arena arena = {.size_max = 1 << 20};
        char *cut = malloc(size + 1);
        size_t used = 0;
        memcpy(cut, bytes.data, size);
        cairn_err err = kafka_read((cairn_str){cut, size}, table, version, flexible, &arena, to, &used, &fault);
        CHECK(err == CAIRN_E_INVALID); /* every byte of a message counts */
        CHECK(fault.what && *fault.what);
        memcpy(cut, bytes.data, size);
        cut[below(size + 1)] = (char)test_random(&seed);
        err = kafka_read((cairn_str){cut, size}, table, version, flexible, &arena, to, &used, &fault);
        CHECK(err == CAIRN_OK ? used <= size : err == CAIRN_E_NOMEM || fault.what);
        free(cut);
        arena_free(&arena);
    }
    free(to);
}

static void
there_and_back(const struct kafka_message *message, int16_t version, bool request)
{
    const struct kafka_struct *table = request ? message->request : message->response;
    bool flexible = kafka_is_flexible(message, version);
    struct arena arena = {0};
    struct kafka_out out = {0};
    struct kafka_fault fault;
    char *sent = malloc(table->size), *got = malloc(table->size);
    int32_t correlation = (int32_t)test_random(&seed), got_correlation = 0;
    size_t body = 4, used;
    fill(table, version, &arena, sent);
    if (request)
        CHECK_OK(kafka_write_request(&out, message, version, correlation, CAIRN_STR("test"), sent));
    else
        CHECK_OK(kafka_write_response(&out, message, version, correlation, sent));
    cairn_str frame = flatten(&out);
    uint32_t size;
    memcpy(&size, frame.data, 4);
    CHECK_INT(__builtin_bswap32(size), frame.size - 4);
    cairn_str bytes = {frame.data + 4, frame.size - 4};
    if (request) {
        struct kafka_header header;
        CHECK_INT(kafka_read_header(bytes, &header, &fault), KAFKA_HEADER_FINE);
        CHECK_INT(header.key, message->key);
        CHECK_INT(header.version, version);
        CHECK_INT(header.correlation, correlation);
        CHECK(header.has_client_id && cairn_str_equal(header.client_id, CAIRN_STR("test")));
        body = header.size;
        bytes = (cairn_str){bytes.data + body, bytes.size - body};
        CHECK_OK(kafka_read(bytes, table, version, flexible, &arena, got, &used, &fault));
        CHECK_INT(used, bytes.size);
    } else {
        CHECK_OK(kafka_read_response(bytes, message, version, &arena, &got_correlation, got, &fault));
        CHECK_INT(got_correlation, correlation);
        body += flexible && message->key != KAFKA_API_API_VERSIONS;
        bytes = (cairn_str){bytes.data + body, bytes.size - body};
    }
    compare(table, version, sent, got);
    damage(bytes, table, version, flexible);
    free((char *)(uintptr_t)frame.data);
    free(sent);
    free(got);
    kafka_out_free(&out);
    arena_free(&arena);
}

TEST(every_message_survives_the_wire_in_every_version)
{
    unsigned pairs = 0;
    seed = test_seed();
    for (int16_t key = 0; key < KAFKA_KEYS; key++) {
        const struct kafka_message *message = kafka_message_of(key);
        for (int16_t version = message ? message->first : 1; version <= (message ? message->last : 0); version++) {
            for (unsigned i = 0; i < 20 * test_scale(); i++) {
                there_and_back(message, version, true);
                there_and_back(message, version, false);
            }
            pairs++;
        }
    }
    printf("%u messages in their versions\n", pairs);
    CHECK(pairs > 150);
}

/* Goal: tags that nobody here knows are passed over (KIP-482). Method: put some where a message has its own. */
TEST(unknown_tagged_fields_are_passed_over)
{
    static const char bytes[] = "\x05name\x03v1" /* two compact texts */
                                "\x02"           /* two tagged fields: */
                                "\x63\x03"       /* tag 99, 3 bytes */
                                "abc"
                                "\x8F\x4E\x00"; /* tag 9999, none */
    struct kafka_api_versions_request got;
    struct kafka_fault fault;
    struct arena arena = {0};
    size_t used;
    CHECK_OK(kafka_read((cairn_str){bytes, sizeof bytes - 1}, &kafka_api_versions_request_table, 3, true, &arena, &got, &used,
                        &fault));
    CHECK_INT(used, sizeof bytes - 1);
    CHECK(cairn_str_equal(got.client_software_name, CAIRN_STR("name")));
    CHECK(cairn_str_equal(got.client_software_version, CAIRN_STR("v1")));
    arena_free(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(every_message_survives_the_wire_in_every_version),
        RUN(unknown_tagged_fields_are_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
