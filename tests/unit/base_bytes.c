/* base/bytes.h: loads and stores, varints, the growable buffer. */
#include "test.h"

#include <base/bytes.h>

/* The sanitizers' allocators end the process when asked for too much, unless told to answer NULL. */
CAIRN_API const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }
CAIRN_API const char *__tsan_default_options(void);
const char *__tsan_default_options(void) { return "allocator_may_return_null=1"; }

/* Goal: what is stored is little-endian, on any alignment.
 * Method: store at odd addresses, look at the bytes, load back. */
TEST(stores_are_little_endian)
{
    uint8_t bytes[16] = {0};
    store16(bytes + 1, 0x0102);
    store32(bytes + 3, 0x03040506);
    store64(bytes + 7, 0x0708090A0B0C0D0Eu);
    const uint8_t expected[] = {0, 2, 1, 6, 5, 4, 3, 0x0E, 0x0D, 0x0C, 0x0B, 0x0A, 9, 8, 7};
    assert_memory_equal(bytes, expected, sizeof expected);
    CHECK_INT(load16(bytes + 1), 0x0102);
    CHECK_INT(load32(bytes + 3), 0x03040506);
    CHECK(load64(bytes + 7) == 0x0708090A0B0C0D0Eu);
}

/* Goal: texts stand in the order of their bytes, as numbers from 0 to 255, a beginning before what it begins.
 * Method: a list in order, each compared with each. */
TEST(texts_have_an_order)
{
    const cairn_str list[] = {{NULL, 0}, {"\0", 1}, {"A", 1}, {"a", 1}, {"a\0", 2}, {"aa", 2}, {"b", 1}, {"\xC3", 1}};
    const int count = sizeof list / sizeof list[0];
    for (int i = 0; i < count; i++)
        for (int j = 0; j < count; j++) {
            int order = cairn_str_order(list[i], list[j]);
            CHECK_INT((order > 0) - (order < 0), (i > j) - (i < j));
        }
    CHECK_INT(cairn_str_order(CAIRN_STR(""), (cairn_str){NULL, 0}), 0);
}

static size_t
varint_size(uint64_t value)
{
    uint8_t bytes[VARINT_MAX];
    return (size_t)(varint_put(bytes, value) - bytes);
}

/* Goal: a varint has the size and bytes of unsigned LEB128.
 * Method: the edges of each size, and one known encoding (DWARF 5 §7.6: 12857 = b9 64). */
TEST(varint_has_leb128_form)
{
    uint8_t bytes[VARINT_MAX];
    CHECK_INT(varint_put(bytes, 12857) - bytes, 2);
    CHECK_INT(bytes[0], 0xB9);
    CHECK_INT(bytes[1], 0x64);
    CHECK_INT(varint_size(0), 1);
    for (unsigned size = 1; size < VARINT_MAX; size++) {
        CHECK_INT(varint_size((UINT64_C(1) << 7 * size) - 1), size);
        CHECK_INT(varint_size(UINT64_C(1) << 7 * size), size + 1);
    }
    CHECK_INT(varint_size(UINT64_MAX), VARINT_MAX);
}

/* Goal: reading gives back what was written, and NULL for every prefix of it.
 * Method: random values of every bit length. */
TEST(varint_reads_back)
{
    uint64_t seed = test_seed();
    for (int round = 0; round < 20000; round++) {
        uint64_t value = test_random(&seed) >> (round % 64), read = ~value;
        uint8_t bytes[VARINT_MAX];
        uint8_t *end = varint_put(bytes, value);
        CHECK(varint_get(bytes, end, &read) == end);
        CHECK(read == value);
        for (const uint8_t *cut = bytes; cut < end; cut++)
            assert_null(varint_get(bytes, cut, &read));
        CHECK(read == value); /* untouched by the failures */
    }
}

/* Goal: a number beyond 64 bits is refused, not wrapped.
 * Method: the largest 10-byte form, one more in the tenth byte, and an eleventh byte. */
TEST(varint_refuses_overflow)
{
    uint8_t bytes[12];
    memset(bytes, 0xFF, sizeof bytes);
    uint64_t value = 7;
    bytes[9] = 1;
    CHECK(varint_get(bytes, bytes + 10, &value) == bytes + 10 && value == UINT64_MAX);
    bytes[9] = 2;
    assert_null(varint_get(bytes, bytes + 10, &value));
    bytes[9] = 0x81;
    bytes[10] = 0;
    assert_null(varint_get(bytes, bytes + 11, &value));
}

/* Goal: a buffer holds exactly what was put, however it grew.
 * Method: random pieces by every kind of put, compared with a plain array. */
TEST(buf_holds_what_was_put)
{
    uint64_t seed = test_seed();
    static char model[200000];
    size_t size = 0;
    struct buf buf = {0};
    while (size < sizeof model - 2000) {
        char piece[1000];
        size_t n = test_random(&seed) % sizeof piece;
        for (size_t i = 0; i < n; i++)
            piece[i] = (char)('a' + test_random(&seed) % 26);
        switch (test_random(&seed) % 4) {
        case 0: buf_put(&buf, piece, n); break;
        case 1: buf_put_str(&buf, (cairn_str){piece, n}); break;
        case 2: buf_printf(&buf, "%.*s", (int)n, piece); break;
        case 3:
            n = 1;
            buf_put_char(&buf, piece[0]);
            break;
        }
        memcpy(model + size, piece, n);
        size += n;
        CHECK(buf.size <= buf.capacity);
    }
    CHECK(!buf.failed);
    CHECK_INT(buf.size, size);
    assert_memory_equal(buf_str(&buf).data, model, size);
    buf_clear(&buf);
    CHECK_INT(buf.size, 0);
    assert_non_null(buf.data); /* kept for reuse */
    buf_free(&buf);
    CHECK(!buf.data && !buf.capacity);
    buf_free(NULL);
}

/* Goal: nothing put is nothing done, also into a buffer that has no memory yet.
 * Method: empty puts of NULL. */
TEST(buf_takes_empty_pieces)
{
    struct buf buf = {0};
    buf_put(&buf, NULL, 0);
    buf_put_str(&buf, (cairn_str){NULL, 0});
    buf_printf(&buf, "%s", "");
    CHECK(!buf.failed && buf.size == 0);
    buf_free(&buf);
}

/* Goal: after a failure the buffer keeps a clean prefix, says so, and works again when cleared.
 * Method: ask for more memory than there can be, in both ways of overflowing. */
TEST(buf_remembers_failure)
{
    struct buf buf = {0};
    buf_put_str(&buf, CAIRN_STR("kept"));
    CHECK(!buf_reserve(&buf, SIZE_MAX));
    CHECK(buf.failed);
    buf_put_str(&buf, CAIRN_STR(" not this"));
    buf_put_char(&buf, 'x');
    buf_printf(&buf, "%d", 7);
    CHECK(!buf_reserve(&buf, 0));
    CHECK(cairn_str_equal(buf_str(&buf), CAIRN_STR("kept")));
    buf_clear(&buf);
    CHECK(!buf_reserve(&buf, PTRDIFF_MAX));
    buf_clear(&buf);
    buf_put_char(&buf, 'y');
    CHECK(!buf.failed && buf.size == 1);
    buf_free(&buf);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(stores_are_little_endian), RUN(texts_have_an_order), RUN(varint_has_leb128_form), RUN(varint_reads_back),
        RUN(varint_refuses_overflow),  RUN(buf_holds_what_was_put), RUN(buf_takes_empty_pieces),
        RUN(buf_remembers_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
