/* Goal: what consumers tell each other is read when it is what they write, and refused when it is not, without reading beyond its end.
 * Method: bytes made here; every cut of them; every byte changed to every of some values, in memory of the exact size. */
#include <proto/http/api_kafka.h>
#include <test.h>

static void
put(struct buf *to, uint32_t value, unsigned size)
{
    for (unsigned i = size; i-- > 0;)
        buf_put_char(to, (char)(value >> (8 * i)));
}

static void
put_string(struct buf *to, const char *text)
{
    put(to, (uint32_t)strlen(text), 2);
    buf_put(to, text, strlen(text));
}

static void
put_assignment(struct buf *to)
{
    put(to, 1, 2);
    put(to, 2, 4);
    put_string(to, "orders");
    put(to, 3, 4);
    put(to, 0, 4);
    put(to, 7, 4);
    put(to, INT32_MAX, 4);
    put_string(to, "t");
    put(to, 0, 4);
    put(to, 2, 4);
    buf_put(to, "xy", 2);
}

static void
put_subscription(struct buf *to)
{
    put(to, 3, 2);
    put(to, 2, 4);
    put_string(to, "orders");
    put_string(to, "payments");
    put(to, UINT32_MAX, 4); /* no user data */
    put(to, 0, 4);
}

TEST(reads_what_clients_write)
{
    struct arena arena = {0};
    struct buf bytes = {0};
    struct assigned *items;
    cairn_str *topics;
    size_t count;
    put_assignment(&bytes);
    CHECK(assignment_read(buf_str(&bytes), &arena, &items, &count));
    CHECK_INT(count, 2);
    CHECK(cairn_str_equal(items[0].topic, CAIRN_STR("orders")) && items[0].count == 3);
    CHECK(items[0].partitions[0] == 0 && items[0].partitions[1] == 7 && items[0].partitions[2] == INT32_MAX);
    CHECK(cairn_str_equal(items[1].topic, CAIRN_STR("t")) && items[1].count == 0);
    buf_clear(&bytes);
    put_subscription(&bytes);
    CHECK(subscription_read(buf_str(&bytes), &arena, &topics, &count));
    CHECK(count == 2 && cairn_str_equal(topics[1], CAIRN_STR("payments")));
    CHECK(!assignment_read((cairn_str){0}, &arena, &items, &count));
    CHECK(!subscription_read((cairn_str){0}, &arena, &topics, &count));
    buf_free(&bytes);
    arena_free(&arena);
}

/* A copy of the exact size, so that a sanitizer sees a byte too many. */
static void
try_bytes(cairn_str bytes, struct arena *arena)
{
    struct assigned *items = NULL;
    cairn_str *topics = NULL;
    size_t count;
    char *copy = malloc(bytes.size ? bytes.size : 1);
    assert_non_null(copy);
    memcpy(copy, bytes.data, bytes.size);
    arena_reset(arena);
    cairn_str exact = {copy, bytes.size};
    if (assignment_read(exact, arena, &items, &count))
        for (size_t i = 0; i < count; i++) {
            CHECK(items[i].topic.data >= copy && items[i].topic.data + items[i].topic.size <= copy + bytes.size);
            CHECK(items[i].count <= bytes.size / 4);
        }
    if (subscription_read(exact, arena, &topics, &count))
        CHECK(count <= bytes.size / 2);
    free(copy);
}

TEST(refuses_what_is_cut_or_changed)
{
    static const uint8_t values[] = {0, 1, 2, 0x7F, 0x80, 0xFF};
    struct arena arena = {.size_max = 1 << 20};
    struct buf bytes = {0};
    struct assigned *items;
    size_t count;
    put_assignment(&bytes);
    size_t needed = bytes.size - 6; /* user data is not looked at */
    for (size_t size = 0; size < needed; size++)
        CHECK(!assignment_read((cairn_str){bytes.data, size}, &arena, &items, &count));
    for (int kind = 0; kind < 2; kind++) {
        buf_clear(&bytes);
        (kind ? put_subscription : put_assignment)(&bytes);
        for (size_t size = 0; size <= bytes.size; size++)
            try_bytes((cairn_str){bytes.data, size}, &arena);
        for (size_t i = 0; i < bytes.size; i++)
            for (size_t v = 0; v < sizeof values; v++) {
                char before = bytes.data[i];
                bytes.data[i] = (char)values[v];
                try_bytes(buf_str(&bytes), &arena);
                bytes.data[i] = before;
            }
    }
    buf_free(&bytes);
    arena_free(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(reads_what_clients_write), RUN(refuses_what_is_cut_or_changed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
