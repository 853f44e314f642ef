/* cli/csv.c: rows of CSV, the well-formed and the hostile. */
#include <test.h>

#include "../../cli/csv.h"

/* Read a text to its end: fields joined by '|', rows by '\n'; the error's code, and its detail at the end. */
static cairn_err
read_all(const char *text, size_t size, char separator, struct buf *to)
{
    struct csv *csv = calloc(1, sizeof *csv);
    cairn_error error = {0};
    cairn_err err;
    assert_non_null(csv);
    csv->file = fmemopen((void *)(uintptr_t)text, size ? size : 1, "rb");
    if (size == 0)
        (void)fgetc(csv->file);
    csv->separator = separator;
    while ((err = csv_next(csv, &error)) == CAIRN_OK) {
        for (size_t i = 0; i < csv->field_count; i++) {
            if (i > 0)
                buf_put_char(to, '|');
            buf_put_str(to, csv->fields[i]);
        }
        buf_put_char(to, '\n');
    }
    if (err != CAIRN_E_END)
        buf_put(to, error.detail, strlen(error.detail));
    buf_put_char(to, '\0');
    fclose(csv->file);
    csv_free(csv);
    free(csv);
    return err;
}

struct row {
    const char *text, *read;
    cairn_err err;
};

static void
check_rows(const struct row *rows, size_t count, char separator)
{
    for (size_t i = 0; i < count; i++) {
        struct buf got = {0};
        cairn_err err = read_all(rows[i].text, strlen(rows[i].text), separator, &got);
        if (err != rows[i].err || strcmp(got.data, rows[i].read) != 0)
            fail_msg("case %zu: %s, read <%s>, wanted <%s>", i, cairn_err_name(err), got.data, rows[i].read);
        buf_free(&got);
    }
}

/* Goal: RFC 4180 as written. Method: a table of texts and what they say. */
TEST(reads_what_the_standard_allows)
{
    static const struct row rows[] = {
        {"", "", CAIRN_E_END},
        {"a,b\n1,2\n", "a|b\n1|2\n", CAIRN_E_END},
        {"a,b\r\n1,2\r\n", "a|b\n1|2\n", CAIRN_E_END},
        {"a,b\n1,2", "a|b\n1|2\n", CAIRN_E_END},
        {"a,b\r\n1,2\r", "a|b\n1|2\n", CAIRN_E_END},
        {"\xEF\xBB\xBF" "a,b\n", "a|b\n", CAIRN_E_END},
        {"\"a\",\"b\"\n", "a|b\n", CAIRN_E_END},
        {"\"a,b\",c\n", "a,b|c\n", CAIRN_E_END},
        {"\"a\"\"b\",c\n", "a\"b|c\n", CAIRN_E_END},
        {"\"line\nbreak\",\"x\r\ny\"\n", "line\nbreak|x\r\ny\n", CAIRN_E_END},
        {"\"\",\n", "|\n", CAIRN_E_END},
        {",,\n", "||\n", CAIRN_E_END},
        {"a\n\n\nb\n", "a\nb\n", CAIRN_E_END},
        {"a\n\r\nb\n", "a\nb\n", CAIRN_E_END},
        {" a , b \n", " a | b \n", CAIRN_E_END},
        {"\"\"\"\"\n", "\"\n", CAIRN_E_END},
    };
    check_rows(rows, sizeof rows / sizeof *rows, 0);
}

/* Goal: what the standard leaves open has one answer, and what is broken an error that names the line.
 * Method: the same table. */
TEST(answers_the_hostile)
{
    static const struct row rows[] = {
        {"a\"b,c\n", "a\"b|c\n", CAIRN_E_END},
        {"a\rb\n", "a\rb\n", CAIRN_E_END},
        {"x\n\"never closed\n,,,", "x\nline 2: a quote is never closed", CAIRN_E_INVALID},
        {"x\ny\n\"a\"b,c\n", "x\ny\nline 3: text after a closing quote", CAIRN_E_INVALID},
        {"\"a\"\rb\n", "line 1: a line ends in CR alone", CAIRN_E_INVALID},
        {"\"\xEF\xBB\xBF\"\n", "\xEF\xBB\xBF\n", CAIRN_E_END},
    };
    check_rows(rows, sizeof rows / sizeof *rows, 0);
}

/* Goal: any separator. Method: semicolons and tabs with commas inside. */
TEST(takes_other_separators)
{
    static const struct row semicolons[] = {{"a,b;c\n\"x;y\";z\n", "a,b|c\nx;y|z\n", CAIRN_E_END}};
    static const struct row tabs[] = {{"a b\tc\n\t\n", "a b|c\n|\n", CAIRN_E_END}};
    check_rows(semicolons, 1, ';');
    check_rows(tabs, 1, '\t');
}

/* Goal: bounded memory. Method: a quote that is never closed before 2 MiB, a row of 5,000 fields. */
TEST(refuses_rows_without_bounds)
{
    struct buf text = {0}, got = {0};
    buf_put_char(&text, '"');
    for (size_t i = 0; i < (2u << 20); i++)
        buf_put_char(&text, i % 50 ? 'x' : '\n');
    CHECK_INT(read_all(text.data, text.size, 0, &got), CAIRN_E_LIMIT);
    CHECK(strncmp(got.data, "line 1: ", 8) == 0);
    buf_clear(&text);
    buf_clear(&got);
    for (size_t i = 0; i < CSV_FIELDS_MAX + 1; i++)
        buf_put_char(&text, ',');
    CHECK_INT(read_all(text.data, text.size, 0, &got), CAIRN_E_LIMIT);
    buf_free(&text);
    buf_free(&got);
}

/* Goal: zero bytes and buffer edges change nothing. Method: a field that ends at each offset around the
 * reader's buffer, holding a NUL. */
TEST(reads_across_buffer_edges)
{
    for (size_t pad = 16380; pad < 16390; pad++) {
        struct buf text = {0}, got = {0};
        for (size_t i = 0; i < pad; i++)
            buf_put_char(&text, i == 5 ? '\0' : 'p');
        buf_put(&text, ",\"q\"\"\r\n\",r\r\n", 12);
        CHECK_INT(read_all(text.data, text.size, 0, &got), CAIRN_E_END);
        CHECK_INT(got.size, pad + strlen("|q\"\r\n|r\n") + 1);
        CHECK(memcmp(got.data + pad, "|q\"\r\n|r\n", 9) == 0);
        buf_free(&text);
        buf_free(&got);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(reads_what_the_standard_allows), RUN(answers_the_hostile),
                                       RUN(takes_other_separators), RUN(refuses_rows_without_bounds),
                                       RUN(reads_across_buffer_edges)};
    return cmocka_run_group_tests_name("import_csv", tests, NULL, NULL);
}
