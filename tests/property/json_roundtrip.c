/* Random JSON documents, built as trees, written, checked, walked and compared with their trees. */
#include "test.h"

#include "json_tour.h"
#include <math.h>

struct node {
    enum json_type type;
    struct node *next, *first; /* the next sibling; the first child */
    cairn_str name, text;      /* of a member; of a string (both plain text) */
    double number;
    int64_t whole;
    bool is_whole;
};

struct random_document {
    uint64_t seed;
    struct arena arena;
    size_t left; /* nodes that may still be made */
};

static uint64_t
below(struct random_document *doc, uint64_t bound)
{
    return test_random(&doc->seed) % bound;
}

/* A well-formed text of any characters: short ones mostly, ASCII mostly, without NUL in names. */
static cairn_str
make_text(struct random_document *doc, bool name)
{
    static const char *const pieces[] = {"\"", "\\", "/",  "\n", "\t", "\x01", "\x1f", "\x7f", "ä",
                                         "€",  "😀", "{",  "]",  ":",  ",",    " ",    "\xf4\x8f\xbf\xbf"};
    struct buf text = {0};
    size_t count = below(doc, 4) ? below(doc, 12) : below(doc, 120);
    for (size_t i = 0; i < count; i++) {
        uint64_t kind = below(doc, 20);
        if (kind == 0)
            buf_put_str(&text, cairn_cstr(pieces[below(doc, sizeof pieces / sizeof pieces[0])]));
        else if (kind == 1 && !name)
            buf_put_char(&text, '\0');
        else
            buf_put_char(&text, (char)('a' + below(doc, 26)));
    }
    cairn_str copy = arena_copy(&doc->arena, buf_str(&text));
    buf_free(&text);
    return copy;
}

static void
make_number(struct random_document *doc, struct node *node)
{
    uint64_t bits = test_random(&doc->seed);
    node->is_whole = below(doc, 2);
    node->whole = (int64_t)bits >> below(doc, 64);
    switch (below(doc, 3)) {
    case 0: memcpy(&node->number, &bits, sizeof bits); break;
    case 1: node->number = (double)(bits % 1000000) / 100; break;
    case 2: node->number = (double)(int64_t)bits; break;
    }
    if (!isfinite(node->number))
        node->number = 0.5;
}

static struct node *
make_node(struct random_document *doc, int depth)
{
    struct node *node = arena_zalloc(&doc->arena, sizeof *node);
    node->type = (enum json_type)(JSON_NULL + below(doc, depth >= 12 ? 5 : 7));
    if (depth == 0)
        node->type = JSON_ARRAY + (enum json_type)below(doc, 2);
    if (node->type == JSON_STRING)
        node->text = make_text(doc, false);
    if (node->type == JSON_NUMBER)
        make_number(doc, node);
    if (node->type >= JSON_ARRAY) {
        struct node **link = &node->first;
        for (uint64_t count = below(doc, 9); count > 0 && doc->left > 0; count--) {
            doc->left--;
            *link = make_node(doc, depth + 1);
            if (node->type == JSON_OBJECT)
                (*link)->name = make_text(doc, true);
            link = &(*link)->next;
        }
    }
    return node;
}

/* ---- two writers: the one of base/json.h, and one that writes as oddly as the grammar allows */

static void
write_plainly(struct buf *to, const struct node *node)
{
    switch (node->type) {
    case JSON_NULL: buf_put_str(to, CAIRN_STR("null")); break;
    case JSON_FALSE: buf_put_str(to, CAIRN_STR("false")); break;
    case JSON_TRUE: buf_put_str(to, CAIRN_STR("true")); break;
    case JSON_STRING: json_put_string(to, node->text); break;
    case JSON_NUMBER:
        if (node->is_whole)
            json_put_i64(to, node->whole);
        else
            json_put_double(to, node->number);
        break;
    default:
        buf_put_char(to, node->type == JSON_ARRAY ? '[' : '{');
        for (const struct node *child = node->first; child; child = child->next) {
            if (node->type == JSON_OBJECT)
                json_put_name(to, child->name.data);
            else
                json_put_comma(to);
            write_plainly(to, child);
        }
        buf_put_char(to, node->type == JSON_ARRAY ? ']' : '}');
    }
}

static void
write_space(struct random_document *doc, struct buf *to)
{
    while (below(doc, 3) == 0)
        buf_put_char(to, " \t\r\n"[below(doc, 4)]);
}

static void
write_text_oddly(struct random_document *doc, struct buf *to, cairn_str text)
{
    buf_put_char(to, '"');
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = (uint8_t)text.data[i];
        if (c < 0x20 || c == '"' || c == '\\' || (c < 0x80 && below(doc, 4) == 0))
            buf_printf(to, below(doc, 2) ? "\\u%04x" : "\\u%04X", c);
        else if (c == 0xF0 && memcmp(text.data + i, "😀", 4) == 0 && below(doc, 2)) {
            buf_put_str(to, CAIRN_STR("\\uD83d\\uDe00"));
            i += 3;
        } else {
            buf_put_char(to, (char)c);
        }
    }
    buf_put_char(to, '"');
}

static void
write_oddly(struct random_document *doc, struct buf *to, const struct node *node)
{
    write_space(doc, to);
    if (node->type == JSON_STRING) {
        write_text_oddly(doc, to, node->text);
    } else if (node->type == JSON_NUMBER) {
        if (node->is_whole && below(doc, 2))
            buf_printf(to, "%lld.000e0", (long long)node->whole);
        else if (node->is_whole && node->whole != 0)
            buf_printf(to, "%lld0E-1", (long long)node->whole);
        else if (node->is_whole)
            buf_put_str(to, CAIRN_STR("-0e-7"));
        else
            buf_printf(to, "%.*e", 16 + (int)below(doc, 10), node->number);
    } else if (node->type < JSON_ARRAY) {
        write_plainly(to, node);
    } else {
        buf_put_char(to, node->type == JSON_ARRAY ? '[' : '{');
        write_space(doc, to);
        for (const struct node *child = node->first; child; child = child->next) {
            if (node->type == JSON_OBJECT) {
                write_text_oddly(doc, to, child->name);
                write_space(doc, to);
                buf_put_char(to, ':');
            }
            write_oddly(doc, to, child);
            if (child->next)
                buf_put_char(to, ',');
            write_space(doc, to);
        }
        buf_put_char(to, node->type == JSON_ARRAY ? ']' : '}');
    }
    write_space(doc, to);
}

/* ---- comparing */

static void
compare(struct arena *arena, const struct node *node, struct json value)
{
    CHECK_INT(value.type, node->type);
    if (node->type == JSON_STRING)
        CHECK(cairn_str_equal(json_string(value, arena), node->text));
    if (node->type == JSON_NUMBER) {
        int64_t whole;
        double number;
        if (node->is_whole)
            CHECK(json_i64(value, &whole) && whole == node->whole);
        else
            CHECK(json_double(value, &number) && memcmp(&number, &node->number, sizeof number) == 0);
    }
    struct json_walk walk = json_walk(value);
    struct json name, item;
    size_t count = 0;
    for (const struct node *child = node->first; child; child = child->next, count++) {
        CHECK(json_next(&walk, &name, &item));
        if (node->type == JSON_OBJECT) {
            CHECK(cairn_str_equal(json_string(name, arena), child->name));
            const struct node *same = node->first; /* the first of that name is what json_get finds */
            while (!cairn_str_equal(same->name, child->name))
                same = same->next;
            if (same == child && !memchr(child->name.data, '\\', child->name.size))
                CHECK(json_get(value, child->name.data).raw.data == item.raw.data);
        }
        compare(arena, child, item);
    }
    CHECK(!json_next(&walk, &name, &item));
    CHECK_INT(json_count(value), count);
}

static void
check_written(const struct node *tree, const struct buf *text)
{
    char *exact = malloc(text->size); /* so that reading beyond is seen */
    memcpy(exact, text->data, text->size);
    cairn_str slice = {exact, text->size};
    struct json value;
    cairn_error error;
    if (json_check(slice, &value, &error) != CAIRN_OK)
        fail_msg("%s\n%.*s", error.detail, (int)text->size, text->data);
    struct tour tour = {.values = 0};
    compare(&tour.arena, tree, value);
    tour_checked(&tour, slice, value);
    arena_free(&tour.arena);
    free(exact);
}

/* Goal: what is written reads back as what was meant, in our own writing and in the oddest.
 * Method: random trees; both texts are checked, walked, compared with the tree and compacted. */
TEST(documents_come_back)
{
    struct random_document doc = {.seed = test_seed()};
    struct buf text = {0};
    unsigned rounds = 3000 * test_scale();
    for (unsigned round = 0; round < rounds; round++) {
        doc.left = 1 + below(&doc, 200);
        struct node *tree = make_node(&doc, 0);
        buf_clear(&text);
        write_plainly(&text, tree);
        check_written(tree, &text);
        struct buf compact = {0};
        json_put_compact(&compact, buf_str(&text));
        CHECK(cairn_str_equal(buf_str(&compact), buf_str(&text))); /* our writing has no white space */
        buf_free(&compact);
        buf_clear(&text);
        write_oddly(&doc, &text, tree);
        check_written(tree, &text);
        CHECK(!text.failed);
        arena_reset(&doc.arena);
    }
    buf_free(&text);
    arena_free(&doc.arena);
}

/* Goal: any bytes at all become a JSON string that says the same, as far as they are UTF-8.
 * Method: random bytes; the written string is checked and decoded. */
TEST(any_bytes_become_a_string)
{
    uint64_t seed = test_seed();
    struct arena arena = {0};
    struct buf to = {0};
    for (unsigned round = 0; round < 20000 * test_scale(); round++) {
        char bytes[64];
        size_t size = test_random(&seed) % sizeof bytes;
        for (size_t i = 0; i < size; i++)
            bytes[i] = (char)(test_random(&seed) % (round % 2 ? 256 : 128));
        struct json value;
        buf_clear(&to);
        json_put_string(&to, (cairn_str){bytes, size});
        CHECK_OK(json_check(buf_str(&to), &value, NULL));
        cairn_str text = json_string(value, &arena);
        CHECK(text.data && utf8_valid(text));
        CHECK_INT(cairn_str_equal(text, (cairn_str){bytes, size}), utf8_valid((cairn_str){bytes, size}));
        arena_reset(&arena);
    }
    buf_free(&to);
    arena_free(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(documents_come_back), RUN(any_bytes_become_a_string)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
