/* batch/batch.h: batches as other programs write them, and batches as nobody should write them. */
#include "test.h"

#include <base/text.h>
#include <batch/batch.h>
#include <batch/varint.h>

#include <xxhash.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* The same five records, by the Java client 3.7.0 (as an idempotent producer), librdkafka 2.0.2, kafka-python 3.0.12 and
 * kafkajs 2.2 (with kafkajs-snappy and kafkajs-lz4). Java and Python frame snappy as xerial does, the others do not; the
 * lz4 frames differ in flags and block sizes. */
static const struct {
    const char *by, *hex;
} made_by[] = {
    {"java gzip",
     "0000000000000000000000b3ffffffff029ca93c010011000000040000018bcfe568010000018bcfe569f6000000000000126700030000000c00"
     "0000051f8b08000000000000ff73636060603131e2ab56ca53b232ac65e24b4e8d2fa92c4815f32f4a492d0ac8494c4e4d51606064621429c849"
     "cccc532849ad2861106278c6cec2926dccc860c1f0829d8de53f03031b4b862123107395946726a7b22565e631fdffc0c2f08a9d8323273f2ffd"
     "064be228201a300000f510179d96010000"},
    {"java lz4",
     "0000000000000000000000b7ffffffff02dad7fb800013000000040000018bcfe568010000018bcfe569f6000000000000126700030000000c00"
     "00000504224d1860408277000000ff5c460000000434320e7b226e223a317d020e63655f74797065164f72646572506c61636564200001020114"
     "706c61696e2074657874001200e60704046b3301003800e8070604ff000006046831010468310a74776963650662696e02fff00400ea0708086c"
     "6f6e67d80461610200ff1450616161610000000000"},
    {"java none",
     "0000000000000000000001c7ffffffff023f2b71ca0010000000040000018bcfe568010000018bcfe569f6000000000000126700030000000c00"
     "000005460000000434320e7b226e223a317d020e63655f74797065164f72646572506c61636564200001020114706c61696e2074657874001200"
     "e60704046b3301003800e8070604ff000006046831010468310a74776963650662696e02fff00400ea0708086c6f6e67d8046161616161616161"
     "61616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161"
     "61616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161"
     "61616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161"
     "61616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161"
     "61616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161"
     "616100"},
    {"java snappy",
     "0000000000000000000000c8ffffffff02e242167b0012000000040000018bcfe568010000018bcfe569f6000000000000126700030000000c00"
     "00000582534e41505059000000000100000001000000839603f06d460000000434320e7b226e223a317d020e63655f74797065164f7264657250"
     "6c61636564200001020114706c61696e2074657874001200e60704046b3301003800e8070604ff000006046831010468310a7477696365066269"
     "6e02fff00400ea0708086c6f6e67d8046161616161fe0400fe0400fe0400fe04009a04000000"},
    {"java zstd",
     "0000000000000000000000b0ffffffff02b295dd890014000000040000018bcfe568010000018bcfe569f6000000000000126700030000000c00"
     "00000528b52ffd00589c0300b406460000000434320e7b226e223a317d020e63655f74797065164f72646572506c61636564200001020114706c"
     "61696e2074657874001200e60704046b3301003800e8070604ff000006046831010468310a74776963650662696e02fff00400ea0708086c6f6e"
     "67d804610001002a8a0aa2010000"},
    {"kafkajs gzip",
     "0000000000000000000000b70000000002b8202a590001000000040000018bcfe568010000018bcfe569f6ffffffffffffffff00000000000000"
     "0000051f8b080000000000000373636060603131e2ab56ca53b232ac65e24b4e8d2fa92c4815f32f4a492d0ac8494c4e4d51606064621429c849"
     "cccc532849ad2861106278c6cec2926dccc860c7f0829d8de53f03031b4b86215b7e5e2a4b862157497966722a5b52661ed3ff0f2c0cafd83938"
     "72f2f3d26fb0248e02a20103004803185d99010000"},
    {"kafkajs lz4",
     "0000000000000000000000be00000000021e8bf31c0003000000040000018bcfe568010000018bcfe569f6ffffffffffffffff00000000000000"
     "00000504224d186470b97a000000ff5f460000000434320e7b226e223a317d020e63655f74797065164f72646572506c61636564200001020114"
     "706c61696e2074657874001200e60704046b3301003e00e8070604ff000006046831066f6e650468310a74776963650662696e02fff00400ea07"
     "08086c6f6e67d80461610200ff14506161616100000000009b41d822"},
    {"kafkajs snappy",
     "0000000000000000000000b60000000002508acdf00002000000040000018bcfe568010000018bcfe569f6ffffffffffffffff00000000000000"
     "0000059903f06f460000000434320e7b226e223a317d020e63655f74797065164f72646572506c61636564200001020114706c61696e20746578"
     "74001200e60704046b3301003e00e8070604ff000006046831066f6e650468310a74776963650662696e02fff00400ea0708086c6f6e67d80461"
     "616161fe0300fe0300fe0300fe03009e03000000"},
    {"librdkafka gzip",
     "0000000000000000000000b30000000002a0e0fc9c0001000000040000018bcfe568010000018bcfe569f6ffffffffffffffffffffffffffff00"
     "0000051f8b080000000000000373636060603131e2ab56ca53b232ac65e24b4e8d2fa92c4815f32f4a492d0ac8494c4e4d51606064621429c849"
     "cccc532849ad2861106278c6cec2926dccc860c1f0829d8de53f03031b4b862123107395946726a7b22565e631fdffc0c2f08a9d8323273f2ffd"
     "064be228201a300000f510179d96010000"},
    {"librdkafka lz4",
     "0000000000000000000000b70000000002cb71e20a0003000000040000018bcfe568010000018bcfe569f6ffffffffffffffffffffffffffff00"
     "00000504224d1860408277000000ff5c460000000434320e7b226e223a317d020e63655f74797065164f72646572506c61636564200001020114"
     "706c61696e2074657874001200e60704046b3301003800e8070604ff000006046831010468310a74776963650662696e02fff00400ea0708086c"
     "6f6e67d80461610200ff1450616161610000000000"},
    {"librdkafka none",
     "0000000000000000000001c700000000021dd5939d0000000000040000018bcfe568010000018bcfe569f6ffffffffffffffffffffffffffff00"
     "000005460000000434320e7b226e223a317d020e63655f74797065164f72646572506c61636564200001020114706c61696e2074657874001200"
     "e60704046b3301003800e8070604ff000006046831010468310a74776963650662696e02fff00400ea0708086c6f6e67d8046161616161616161"
     "61616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161"
     "61616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161"
     "61616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161"
     "61616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161"
     "61616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161"
     "616100"},
    {"librdkafka snappy",
     "0000000000000000000000b300000000024658ee140002000000040000018bcfe568010000018bcfe569f6ffffffffffffffffffffffffffff00"
     "0000059603f06c460000000434320e7b226e223a317d020e63655f74797065164f72646572506c61636564200001020114706c61696e20746578"
     "74001200e60704046b3301003800e8070604ff000006046831010468310a74776963650662696e02fff00400ea0708086c6f6e67d80461616161"
     "fe0300fe0300fe0300fe03009e03000000"},
    {"librdkafka zstd",
     "0000000000000000000000ad000000000297193d180004000000040000018bcfe568010000018bcfe569f6ffffffffffffffffffffffffffff00"
     "00000528b52ffd00589d0300b406460000000434320e7b226e223a317d020e63655f74797065164f72646572506c61636564200001020114706c"
     "61696e2074657874001200e60704046b3301003800e8070604ff000006046831010468310a74776963650662696e02fff00400ea0708086c6f6e"
     "67d804610001002a8a0aa2"},
    {"python gzip",
     "0000000000000000000000b3000000000218b2f7090001000000040000018bcfe568010000018bcfe569f6ffffffffffffffffffffffffffff00"
     "0000051f8b08008e16026b02ff73636060603131e2ab56ca53b232ac65e24b4e8d2fa92c4815f32f4a492d0ac8494c4e4d51606064621429c849"
     "cccc532849ad2861106278c6cec2926dccc860c1f0829d8de53f03031b4b862123107395946726a7b22565e631fdffc0c2f08a9d8323273f2ffd"
     "064be228201a300000f510179d96010000"},
    {"python lz4",
     "0000000000000000000000bf00000000026e9675770003000000040000018bcfe568010000018bcfe569f6ffffffffffffffffffffffffffff00"
     "00000504224d18684096010000000000009277000000ff5c460000000434320e7b226e223a317d020e63655f74797065164f72646572506c6163"
     "6564200001020114706c61696e2074657874001200e60704046b3301003800e8070604ff000006046831010468310a74776963650662696e02ff"
     "f00400ea0708086c6f6e67d80461610200ff1450616161610000000000"},
    {"python snappy",
     "0000000000000000000000c800000000020c571f6d0002000000040000018bcfe568010000018bcfe569f6ffffffffffffffffffffffffffff00"
     "00000582534e41505059000000000100000001000000839603f06d460000000434320e7b226e223a317d020e63655f74797065164f7264657250"
     "6c61636564200001020114706c61696e2074657874001200e60704046b3301003800e8070604ff000006046831010468310a7477696365066269"
     "6e02fff00400ea0708086c6f6e67d8046161616161fe0400fe0400fe0400fe04009a04000000"},
    {"python zstd",
     "0000000000000000000000ae0000000002e05001300004000000040000018bcfe568010000018bcfe569f6ffffffffffffffffffffffffffff00"
     "00000528b52ffd6096009d0300b406460000000434320e7b226e223a317d020e63655f74797065164f72646572506c6163656420000102011470"
     "6c61696e2074657874001200e60704046b3301003800e8070604ff000006046831010468310a74776963650662696e02fff00400ea0708086c6f"
     "6e67d804610001002a8a0aa2"},
};

static cairn_str
from_hex(const char *hex, struct buf *to)
{
    size_t size = strlen(hex) / 2;
    buf_clear(to);
    CHECK(buf_reserve(to, size) && parse_hex(cairn_cstr(hex), (uint8_t *)to->data, size));
    to->size = size;
    return buf_str(to);
}

static bool
is(cairn_str text, cairn_str expected)
{
    return cairn_str_equal(text, expected);
}

static void
next_header(struct batch_record *record, const char *name, bool has_value, cairn_str value)
{
    cairn_str its_name, its_value;
    bool its_has_value;
    CHECK(batch_next_header(&record->headers, &its_name, &its_has_value, &its_value));
    CHECK(is(its_name, cairn_cstr(name)) && its_has_value == has_value && is(its_value, value));
}

static void
check_five(struct batch_cursor *cursor, bool kafkajs)
{
    struct batch_record r;
    char long_value[300];
    memset(long_value, 'a', sizeof long_value);
    CHECK(batch_next(cursor, &r));
    CHECK(r.has_key && is(r.key, CAIRN_STR("42")) && is(r.value, CAIRN_STR("{\"n\":1}")));
    CHECK(r.timestamp_ms == 1700000000001 && r.offset_delta == 0 && r.header_count == 1);
    next_header(&r, "ce_type", true, CAIRN_STR("OrderPlaced"));
    CHECK(batch_next(cursor, &r));
    CHECK(!r.has_key && is(r.value, CAIRN_STR("plain text")) && r.timestamp_ms == 1700000000000 && r.header_count == 0);
    CHECK(batch_next(cursor, &r));
    CHECK(r.has_key && is(r.key, CAIRN_STR("k3")) && !r.has_value && r.timestamp_ms == 1700000000500);
    CHECK(batch_next(cursor, &r));
    CHECK(is(r.key, CAIRN_STR("\xFF\0")) && r.has_value && r.value.size == 0 && r.header_count == 3);
    if (kafkajs)
        next_header(&r, "h1", true, CAIRN_STR("one")); /* it has no null headers */
    else
        next_header(&r, "h1", false, (cairn_str){0});
    next_header(&r, "h1", true, CAIRN_STR("twice"));
    next_header(&r, "bin", true, CAIRN_STR("\xFF"));
    CHECK(batch_next(cursor, &r));
    CHECK(is(r.key, CAIRN_STR("long")) && is(r.value, (cairn_str){long_value, 300}));
    CHECK(r.offset_delta == 4 && r.timestamp_ms == 1700000000502);
    CHECK(!batch_next(cursor, &r) && cursor->fault == NULL);
}

/* Goal: what Kafka's clients write is read, whatever they write it with. Method: the batches above; each also cut short
 * everywhere, and with one more byte behind its records. */
TEST(batches_of_other_programs)
{
    struct batch_cursor cursor = {0};
    struct buf bytes = {0};
    for (size_t i = 0; i < COUNT(made_by); i++) {
        cairn_str batch = from_hex(made_by[i].hex, &bytes);
        CHECK(batch_crc_holds(batch));
        const char *fault = batch_open(&cursor, batch);
        if (fault)
            fail_msg("%s: %s", made_by[i].by, fault);
        enum batch_codec codec = (enum batch_codec)(cursor.head.attributes & BATCH_CODEC_BITS);
        CHECK_STR(batch_codec_name(codec), strrchr(made_by[i].by, ' ') + 1);
        CHECK(cursor.head.size == batch.size && cursor.head.count == 5 && cursor.head.last_offset_delta == 4);
        CHECK(cursor.head.max_timestamp_ms == 1700000000502);
        bool java = strncmp(made_by[i].by, "java", 4) == 0;
        CHECK(!java || (cursor.head.producer_id == 4711 && cursor.head.producer_epoch == 3 && cursor.head.base_sequence == 12));
        CHECK(!java || (cursor.head.attributes & BATCH_TRANSACTIONAL));
        check_five(&cursor, strncmp(made_by[i].by, "kafkajs", 7) == 0);
        for (size_t size = 0; size < batch.size; size++)
            CHECK(batch_open(&cursor, (cairn_str){batch.data, size}) == batch_cut_short);
        bytes.data[30] ^= 1;
        CHECK(!batch_crc_holds(batch));
    }
    batch_close(&cursor);
    buf_free(&bytes);
}

/* Goal: a batch may be followed by others. Method: two in a row, read one after the other. */
TEST(batches_in_a_row)
{
    struct batch_cursor cursor = {0};
    struct buf bytes = {0}, two = {0};
    cairn_str batch = from_hex(made_by[0].hex, &bytes);
    buf_put_str(&two, batch);
    buf_put_str(&two, batch);
    CHECK(batch_open(&cursor, buf_str(&two)) == NULL && cursor.head.size == batch.size);
    check_five(&cursor, false);
    CHECK(batch_crc_holds(buf_str(&two)));
    CHECK(batch_open(&cursor, (cairn_str){two.data + batch.size, batch.size}) == NULL);
    check_five(&cursor, false);
    batch_close(&cursor);
    buf_free(&bytes);
    buf_free(&two);
}

/* ---- heads */

static const char plain_hex[] = /* one record: key "k", value "v" */
    "0000000000000000" "0000003a" "ffffffff" "02" "00000000" "0000" "00000000" "0000018bcfe56800" "0000018bcfe56800"
    "ffffffffffffffff" "ffff" "ffffffff" "00000001" "10" "00" "00" "00" "02" "6b" "02" "76" "00";

/* Goal: every field is held to what it may be. Method: one field at a time overwritten, all else right. */
TEST(heads_that_lie)
{
    static const struct {
        size_t at;
        const char *hex, *fault;
    } lies[] = {
        {16, "01", "message formats before version 2 are not supported"},
        {16, "00", "message formats before version 2 are not supported"},
        {16, "03", "the batch has an unknown format version"},
        {8, "00000030", "the batch has an impossible length"},
        {8, "ffffffff", "the batch has an impossible length"},
        {8, "7ffffff4", "the batch has an impossible length"},
        {8, "7ffffff3", "the batch is cut short"},
        {21, "0005", "the batch has an unknown codec"},
        {57, "ffffffff", "the batch has too many records"},
        {57, "000f4241", "the batch has too many records"},
        {57, "00000002", "the batch has more records than offsets"},
        {23, "ffffffff", "the batch has more records than offsets"},
        {23, "7fffffff00000000000000000000000000000000ffffffffffffffffffffffffffff00000002",
         "the batch has more records than bytes for them"},
    };
    struct buf bytes = {0}, lie = {0};
    struct batch_head head = {.count = 77};
    for (size_t i = 0; i < COUNT(lies); i++) {
        cairn_str batch = from_hex(plain_hex, &bytes), over = from_hex(lies[i].hex, &lie);
        memcpy(bytes.data + lies[i].at, over.data, over.size);
        const char *fault = batch_head_read(batch, &head);
        CHECK(fault && head.count == 77);
        CHECK_STR(fault, lies[i].fault);
    }
    CHECK(batch_head_read(from_hex(plain_hex, &bytes), &head) == NULL && head.count == 1 && head.size == 70);
    buf_free(&bytes);
    buf_free(&lie);
}

/* Goal: a record is refused for anything that is not as it should be. Method: the records of a batch of one or two. */
TEST(records_that_lie)
{
    static const struct {
        const char *records;
        uint32_t count;
        const char *fault;
    } lies[] = {
        {"14000000026b027600", 1, "a record reaches beyond the batch"},                  /* longer than the rest */
        {"12000000026b027600aabb", 1, "a record has bytes after its end"},
        {"10000000026b02760000", 1, "the batch has bytes after its last record"},
        {"0c00000001010000", 1, "the batch has bytes after its last record"},
        {"0a00000001010000", 1, "a record reaches beyond the batch"},                    /* too short for a record */
        {"10000000046b027600", 1, "a record reaches beyond its end"},                    /* the key eats the value's size */
        {"10000000026b147600", 1, "a record reaches beyond its end"},
        {"10000000026b027602", 1, "a record reaches beyond its end"},                    /* one header, no bytes */
        {"10000000026b0276ff", 1, "a record reaches beyond its end"},
        {"10000000026b027601", 1, "a record has too many headers"},                      /* -1 */
        {"12000000026b0276d20f", 1, "a record has too many headers"},                    /* 1001 */
        {"0e00000001010201" "00", 1, "a record reaches beyond its end"},                 /* a header with a null name */
        {"10000000036b027600", 1, "a record reaches beyond its end"},                    /* size -2 */
        {"0100000000000000", 1, "a record reaches beyond the batch"},                    /* length -1 */
        {"ffffffffff0f00000000", 1, "a record reaches beyond the batch"},                /* six bytes of length */
        {"ffffffff7f00000000", 1, "a record reaches beyond the batch"},                  /* 35 bits */
        {"16000000818080808000010100", 1, "a record reaches beyond its end"},            /* size in six bytes */
        {"10000002026b027600", 1, "the offsets of the records do not ascend"},           /* beyond the last delta */
        {"10000001026b027600", 1, "the offsets of the records do not ascend"},           /* -1 */
        {"10000000026b02760010000000026b027600", 2, "the offsets of the records do not ascend"},
    };
    struct buf bytes = {0}, records = {0}, batch = {0};
    struct batch_cursor cursor = {0};
    struct batch_record record;
    from_hex(plain_hex, &bytes);
    for (size_t i = 0; i < COUNT(lies); i++) {
        from_hex(lies[i].records, &records);
        buf_clear(&batch);
        buf_put(&batch, bytes.data, BATCH_HEAD_SIZE);
        buf_put_str(&batch, buf_str(&records));
        uint8_t *head = (uint8_t *)batch.data;
        head[11] = (uint8_t)(batch.size - 12);
        head[60] = (uint8_t)lies[i].count;
        head[26] = (uint8_t)(lies[i].count - 1);
        const char *fault = batch_open(&cursor, buf_str(&batch));
        for (uint32_t n = 0; !fault && batch_next(&cursor, &record); n++)
            CHECK(n < lies[i].count);
        fault = fault ? fault : cursor.fault;
        if (!fault || strcmp(fault, lies[i].fault) != 0)
            fail_msg("%s: %s, expected %s", lies[i].records, fault ? fault : "no fault", lies[i].fault);
        CHECK(!batch_next(&cursor, &record) && cursor.fault);
    }
    batch_close(&cursor);
    buf_free(&bytes);
    buf_free(&records);
    buf_free(&batch);
}

/* Goal: varints are read as they are written, and only so far as they go. Method: edges of both widths. */
TEST(varints)
{
    static const int64_t edges[] = {0, -1, 1, 63, -64, 64, -65, 8191, -8192, 8192, INT32_MAX, INT32_MIN, (int64_t)INT32_MAX + 1,
                                    (int64_t)INT32_MIN - 1, INT64_MAX, INT64_MIN};
    uint8_t room[VARINT_MAX + 1];
    for (size_t i = 0; i < COUNT(edges); i++) {
        uint8_t *end = signed_varint_put(room, edges[i]);
        int64_t value;
        CHECK_INT(end - room, signed_varint_size(edges[i]));
        CHECK(signed_varint(room, end, 64, &value) == end && value == edges[i]);
        bool fits = edges[i] >= INT32_MIN && edges[i] <= INT32_MAX;
        const uint8_t *after = signed_varint(room, end, 32, &value);
        CHECK(fits ? after == end && value == edges[i] : after == NULL);
        CHECK(signed_varint(room, end - 1, 64, &value) == NULL);
    }
}

/* Goal: what a broker fills in. Method: place leaves the checksum right; stamp makes another that is right, and all records
 * bear the time. */
TEST(placed_and_stamped)
{
    struct buf bytes = {0};
    struct batch_cursor cursor = {0};
    struct batch_record record;
    cairn_str batch = from_hex(made_by[0].hex, &bytes);
    batch_place((uint8_t *)bytes.data, 123456789012, 7);
    CHECK(batch_crc_holds(batch) && batch_open(&cursor, batch) == NULL);
    CHECK(cursor.head.base_offset == 123456789012 && cursor.head.leader_epoch == 7);
    check_five(&cursor, false);
    batch_stamp((uint8_t *)bytes.data, 1800000000000);
    CHECK(batch_crc_holds(batch) && batch_open(&cursor, batch) == NULL);
    CHECK(cursor.head.attributes & BATCH_LOG_APPEND_TIME && cursor.head.max_timestamp_ms == 1800000000000);
    while (batch_next(&cursor, &record))
        CHECK(record.timestamp_ms == 1800000000000);
    CHECK(cursor.fault == NULL);
    batch_close(&cursor);
    buf_free(&bytes);
}

/* Goal: records by index, in any order, beside a walk. Method: backwards, from within the walk, beyond the end. */
TEST(records_by_index)
{
    struct buf bytes = {0};
    struct batch_cursor cursor = {0};
    struct batch_record record, other;
    CHECK(batch_open(&cursor, from_hex(made_by[0].hex, &bytes)) == NULL);
    for (uint32_t i = 0; batch_next(&cursor, &record); i++)
        for (uint32_t j = 5; j-- > 0;) {
            CHECK(batch_record_at(&cursor, j, &other) && other.offset_delta == j);
            CHECK(j != i || (is(other.key, record.key) && is(other.value, record.value)));
        }
    CHECK(cursor.fault == NULL);
    CHECK(!batch_record_at(&cursor, 5, &other) && cursor.fault);
    batch_close(&cursor);
    buf_free(&bytes);
}

/* Goal: compaction's empty batches, and control batches, are batches. */
TEST(empty_and_control)
{
    struct buf bytes = {0};
    struct batch_cursor cursor = {0};
    struct batch_record record;
    from_hex(plain_hex, &bytes);
    bytes.data[11] = 49;
    bytes.data[60] = 0;
    bytes.data[26] = 9;
    CHECK(batch_open(&cursor, buf_str(&bytes)) == NULL && cursor.head.count == 0 && cursor.head.last_offset_delta == 9);
    CHECK(!batch_next(&cursor, &record) && cursor.fault == NULL);
    from_hex(plain_hex, &bytes);
    bytes.data[22] = BATCH_CONTROL | BATCH_TRANSACTIONAL;
    CHECK(batch_open(&cursor, buf_str(&bytes)) == NULL && (cursor.head.attributes & BATCH_CONTROL));
    CHECK(batch_next(&cursor, &record) && !batch_next(&cursor, &record) && cursor.fault == NULL);
    batch_close(&cursor);
    buf_free(&bytes);
}

/* ---- codecs */

static void
check_unpacks(enum batch_codec codec, cairn_str packed, size_t max, cairn_str expected)
{
    struct buf to = {0};
    buf_put_str(&to, CAIRN_STR("before"));
    const char *fault = codec_unpack(codec, packed, max, &to);
    if (fault)
        fail_msg("%s: %s", batch_codec_name(codec), fault);
    CHECK(to.size == 6 + expected.size && memcmp(to.data, "before", 6) == 0);
    CHECK(expected.size == 0 || memcmp(to.data + 6, expected.data, expected.size) == 0);
    buf_free(&to);
}

static void
check_refuses(enum batch_codec codec, cairn_str packed, size_t max, const char *expected)
{
    struct buf to = {0};
    const char *fault = codec_unpack(codec, packed, max, &to);
    CHECK(fault);
    if (expected)
        CHECK_STR(fault, expected);
    CHECK(to.size <= max && to.capacity <= 2 * max + (64 << 10));
    buf_free(&to);
}

/* Snappy's framing does not say where it ends: what is cut between two blocks is a shorter text. */
static void
check_cut(enum batch_codec codec, cairn_str packed, cairn_str whole)
{
    struct buf to = {0};
    const char *fault = codec_unpack(codec, packed, whole.size, &to);
    CHECK(fault || (codec == BATCH_SNAPPY && to.size < whole.size && to.size % (32 << 10) == 0));
    CHECK(fault || to.size == 0 || memcmp(to.data, whole.data, to.size) == 0);
    buf_free(&to);
}

/* Goal: a text that is just as large as may be comes out, one byte more does not, whichever the codec; two in a row are one
 * text; less than the whole is never taken for it. */
TEST(codecs_at_their_bounds)
{
    static const size_t sizes[] = {1, 2, 100, 16384, 65536, 100000};
    uint64_t seed = test_seed();
    char *text = malloc(200000);
    struct buf packed = {0};
    for (size_t i = 0; i < 200000; i++)
        text[i] = (char)('a' + (i < 50000 ? test_random(&seed) % 26 : i / 1000 % 26));
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (int codec = BATCH_GZIP; codec < BATCH_CODECS; codec++) {
            buf_clear(&packed);
            CHECK(codec_pack((enum batch_codec)codec, (cairn_str){text, sizes[i]}, &packed));
            size_t one = packed.size;
            check_unpacks((enum batch_codec)codec, buf_str(&packed), sizes[i], (cairn_str){text, sizes[i]});
            check_unpacks((enum batch_codec)codec, buf_str(&packed), sizes[i] + 1, (cairn_str){text, sizes[i]});
            check_refuses((enum batch_codec)codec, buf_str(&packed), sizes[i] - 1, "the batch is too large once decompressed");
            for (size_t size = 0; size < one; size += size < 100 || one - size < 100 ? 1 : 1 + one / 100)
                check_cut((enum batch_codec)codec, (cairn_str){packed.data, size}, (cairn_str){text, sizes[i]});
            CHECK(codec_pack((enum batch_codec)codec, (cairn_str){text + sizes[i], sizes[i]}, &packed));
            check_unpacks((enum batch_codec)codec, buf_str(&packed), 2 * sizes[i], (cairn_str){text, 2 * sizes[i]});
            check_refuses((enum batch_codec)codec, buf_str(&packed), 2 * sizes[i] - 1, "the batch is too large once decompressed");
        }
    buf_free(&packed);
    free(text);
}

/* Goal: a bomb takes no more memory than is allowed. Method: 64 MiB of zeros in each codec, of which 1 MiB is allowed. */
TEST(bombs)
{
    size_t size = (size_t)64 << 20;
    char *zeros = calloc(1, size);
    struct buf packed = {0};
    for (int codec = BATCH_GZIP; codec < BATCH_CODECS; codec++) {
        buf_clear(&packed);
        CHECK(codec_pack((enum batch_codec)codec, (cairn_str){zeros, size}, &packed));
        check_refuses((enum batch_codec)codec, buf_str(&packed), 1 << 20, "the batch is too large once decompressed");
    }
    buf_free(&packed);
    free(zeros);
    /* Raw snappy that says 100 MiB and has eight bytes. */
    check_refuses(BATCH_SNAPPY, CAIRN_STR("\x80\x80\x80\x32\x00\x00\x00\x00"), BATCH_UNPACKED_MAX, "the batch does not decompress");
}

/* Goal: frames of lz4 with the checksum that the first clients wrote (KIP-57) are read, other wrong ones are not. Method: a
 * frame of ours with its checksum replaced; also as the second frame. */
TEST(lz4_with_the_old_checksum)
{
    struct buf packed = {0};
    CHECK(codec_pack(BATCH_LZ4, CAIRN_STR("one, "), &packed));
    size_t second = packed.size;
    CHECK(codec_pack(BATCH_LZ4, CAIRN_STR("two"), &packed));
    for (size_t at = 0; at <= second; at += second) {
        CHECK((uint8_t)packed.data[at + 6] == (uint8_t)(XXH32(packed.data + at + 4, 2, 0) >> 8));
        packed.data[at + 6] = (char)(uint8_t)(XXH32(packed.data + at, 6, 0) >> 8);
        check_unpacks(BATCH_LZ4, buf_str(&packed), 100, CAIRN_STR("one, two"));
    }
    packed.data[6] ^= 1;
    check_refuses(BATCH_LZ4, buf_str(&packed), 100, "the batch does not decompress");
    buf_free(&packed);
}

/* Goal: the maker says no rather than make what nobody can read. */
TEST(maker_at_its_bounds)
{
    struct batch_maker maker = {0};
    cairn_str value = CAIRN_STR("v"), huge = {NULL, (size_t)BATCH_UNPACKED_MAX + 1};
    struct batch_header_field *headers = calloc(BATCH_HEADERS_MAX + 1, sizeof *headers);
    batch_make_begin(&maker);
    CHECK(!batch_make_add(&maker, 0, 0, NULL, &huge, NULL, 0) && maker.full);
    CHECK(batch_make_add(&maker, 10, 0, NULL, &value, NULL, 0) && !maker.full);
    size_t size = maker.out.size;
    CHECK(!batch_make_add(&maker, 11, 0, NULL, &value, headers, BATCH_HEADERS_MAX + 1) && maker.full);
    CHECK(!batch_make_add(&maker, 10 + (int64_t)INT32_MAX, 0, NULL, &value, NULL, 0) && maker.full);
    CHECK(maker.out.size == size && maker.count == 1);
    CHECK(batch_make_add(&maker, 11, 0, NULL, &value, headers, BATCH_HEADERS_MAX));
    CHECK(batch_make_end(&maker, BATCH_PLAIN, BATCH_CONTROL, 20));
    struct batch_cursor cursor = {0};
    struct batch_record record;
    CHECK(batch_open(&cursor, buf_str(&maker.out)) == NULL && cursor.head.last_offset_delta == 10);
    CHECK(cursor.head.attributes == BATCH_CONTROL);
    CHECK(batch_next(&cursor, &record) && batch_next(&cursor, &record) && record.header_count == BATCH_HEADERS_MAX);
    CHECK(!batch_next(&cursor, &record) && !cursor.fault);
    batch_close(&cursor);
    batch_make_free(&maker);
    free(headers);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(batches_of_other_programs), RUN(batches_in_a_row), RUN(heads_that_lie), RUN(records_that_lie), RUN(varints),
        RUN(placed_and_stamped), RUN(records_by_index), RUN(empty_and_control), RUN(codecs_at_their_bounds), RUN(bombs),
        RUN(lz4_with_the_old_checksum), RUN(maker_at_its_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
