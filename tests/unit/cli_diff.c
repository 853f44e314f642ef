/* cli/diff.c: unified diffs of small texts as diff -u has them, and of random ones: applied, they give the other text. */
#include <test.h>

#include "../../cli/diff.h"

static void
differ(const char *a, const char *b, struct buf *to)
{
    buf_clear(to);
    diff_put(to, "a", cairn_cstr(a), "b", cairn_cstr(b), false);
    buf_put_char(to, '\0');
    assert_false(to->failed);
}

/* Goal: the form that patch and people read. Method: texts whose diff is known. */
TEST(diff_is_unified)
{
    static const struct {
        const char *a, *b, *diff;
    } cases[] = {
        {"same\n", "same\n", ""},
        {"", "x\n", "--- a\n+++ b\n@@ -0,0 +1,1 @@\n+x\n"},
        {"x\n", "", "--- a\n+++ b\n@@ -1,1 +0,0 @@\n-x\n"},
        {"1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n",
         "--- a\n+++ b\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n"},
        {"a\nb\n1\n2\n3\n4\n5\n6\n7\nc\n", "b\n1\n2\n3\n4\n5\n6\n7\nc\nd\n",
         "--- a\n+++ b\n@@ -1,4 +1,3 @@\n-a\n b\n 1\n 2\n@@ -8,3 +7,4 @@\n 6\n 7\n c\n+d\n"},
        {"x\ny", "x\ny\n", "--- a\n+++ b\n@@ -1,2 +1,2 @@\n x\n-y\n\\ No newline at end of file\n+y\n"},
        {"\033[31m\n", "tab\there\n", "--- a\n+++ b\n@@ -1,1 +1,1 @@\n-?[31m\n+tab\there\n"},
    };
    struct buf to = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        differ(cases[i].a, cases[i].b, &to);
        assert_string_equal(to.data, cases[i].diff);
    }
    buf_free(&to);
}

/* Take the lines of a unified diff apart: what it keeps and adds must be b, what it keeps and removes a. Lines between hunks
 * are taken from a. */
static void
apply(const char *a, const char *diff, struct buf *to)
{
    size_t line = 1;
    buf_clear(to);
    while (*diff) {
        const char *end = strchr(diff, '\n');
        assert_non_null(end);
        size_t first = 0, count = 0;
        if (strncmp(diff, "--- ", 4) == 0 || strncmp(diff, "+++ ", 4) == 0) {
            diff = end + 1;
            continue;
        }
        if (sscanf(diff, "@@ -%zu,%zu", &first, &count) == 2) {
            for (; line < first + (count == 0); line++) {
                const char *next = strchr(a, '\n') + 1;
                buf_put(to, a, (size_t)(next - a));
                a = next;
            }
        } else {
            size_t size = (size_t)(end - diff);
            if (*diff != '+') {
                assert_memory_equal(a, diff + 1, size);
                a += size;
                line++;
            }
            if (*diff != '-')
                buf_put(to, diff + 1, size);
        }
        diff = end + 1;
    }
    buf_put(to, a, strlen(a) + 1);
}

static size_t
random_text(unsigned *seed, char *to, size_t lines)
{
    size_t size = 0;
    for (size_t i = 0; i < lines; i++) {
        to[size++] = (char)('a' + rand_r(seed) % 4);
        to[size++] = '\n';
    }
    to[size] = '\0';
    return size;
}

/* Goal: whatever the texts, the diff turns one into the other, and its counts are its lines. Method: random texts of few
 * different lines (many ways to match them), also such that the search gives up. */
TEST(diff_turns_one_text_into_the_other)
{
    unsigned seed = 20261121;
    static char a[16000], b[16000];
    struct buf diff = {0}, made = {0};
    for (unsigned round = 0; round < 400; round++) {
        size_t most = round % 100 == 99 ? 4000 : 30, added, removed, plus = 0, minus = 0;
        random_text(&seed, a, (size_t)rand_r(&seed) % most);
        random_text(&seed, b, (size_t)rand_r(&seed) % most);
        if (round % 3 == 0)
            for (size_t i = 0; i < sizeof b && b[i]; i += 2)
                b[i] = b[i] == 'a' ? 'z' : b[i];
        differ(a, b, &diff);
        apply(a, diff.data, &made);
        assert_string_equal(made.data, b);
        assert_true(diff_count(cairn_cstr(a), cairn_cstr(b), &added, &removed));
        for (const char *at = strchr(diff.data, '@'); at && *at; at = strchr(at, '\n') + 1) {
            plus += *at == '+';
            minus += *at == '-';
        }
        assert_int_equal(plus, added);
        assert_int_equal(minus, removed);
    }
    buf_free(&diff);
    buf_free(&made);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(diff_is_unified), RUN(diff_turns_one_text_into_the_other)};
    return cmocka_run_group_tests_name("cli_diff", tests, NULL, NULL);
}
