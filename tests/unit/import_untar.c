/* cli/untar.c: a backup's archive, whole, in pieces, and hostile. */
#include <test.h>

#include <base/bytes.h>
#include <sys/stat.h>

#include "../../cli/untar.h"

/* A ustar entry with its content and padding. */
static void
put_entry(struct buf *to, const char *prefix, const char *name, char type, const char *content, size_t size)
{
    char block[512] = {0};
    unsigned sum = 0;
    snprintf(block, 101, "%s", name);
    snprintf(block + 124, 12, "%011zo", size);
    block[156] = type;
    memcpy(block + 257, "ustar\00000", 8);
    snprintf(block + 345, 155, "%s", prefix);
    memset(block + 148, ' ', 8);
    for (size_t i = 0; i < sizeof block; i++)
        sum += (unsigned char)block[i];
    snprintf(block + 148, 8, "%06o", sum & 0777777);
    buf_put(to, block, sizeof block);
    buf_put(to, content, size);
    for (size_t pad = (512 - size % 512) % 512; pad > 0; pad--)
        buf_put_char(to, '\0');
}

static void
put_end(struct buf *to)
{
    static const char zeros[1024];
    buf_put(to, zeros, sizeof zeros);
}

static cairn_err
take(const char *folder, const struct buf *archive, size_t step, cairn_error *error)
{
    struct untar untar;
    cairn_err err = CAIRN_OK;
    untar_begin(&untar, folder);
    for (size_t at = 0; at < archive->size && err == CAIRN_OK; at += step)
        err = untar_take(&untar, (cairn_str){archive->data + at, archive->size - at < step ? archive->size - at : step}, error);
    cairn_err end = untar_end(&untar, err == CAIRN_OK ? error : NULL);
    return err == CAIRN_OK ? end : err;
}

static void
check_file(const char *folder, const char *name, const char *content, size_t size)
{
    char path[256], got[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    CHECK_INT(fread(got, 1, sizeof got, file), size);
    assert_memory_equal(got, content, size);
    fclose(file);
}

/* Goal: files and folders come out as they went in. Method: sizes around a block, fed in pieces of many sizes. */
TEST(takes_files_apart)
{
    char content[1500];
    memset(content, 'q', sizeof content);
    for (size_t step = 1; step < 2000; step = step * 3 + 1) {
        char folder[64];
        struct buf archive = {0};
        cairn_error error = {0};
        test_folder(folder);
        put_entry(&archive, "", "cairn.log", '0', content, 128);
        put_entry(&archive, "", "segments/", '5', "", 0);
        put_entry(&archive, "", "segments/00000001.seg", '0', content, 512);
        put_entry(&archive, "index/deep", "run", '0', content, 1500);
        put_entry(&archive, "", "empty", '0', "", 0);
        put_end(&archive);
        CHECK_OK(take(folder, &archive, step, &error));
        check_file(folder, "cairn.log", content, 128);
        check_file(folder, "segments/00000001.seg", content, 512);
        check_file(folder, "index/deep/run", content, 1500);
        check_file(folder, "empty", content, 0);
        buf_free(&archive);
        test_remove(folder);
    }
}

/* Goal: nothing is written outside the folder, and no links. Method: names and kinds that would. */
TEST(refuses_what_leads_out)
{
    static const struct {
        const char *prefix, *name;
        char type;
    } cases[] = {{"", "../out", '0'}, {"", "/tmp/out", '0'}, {"", "a/../../out", '0'}, {"..", "out", '0'},
                 {"", "..", '5'},     {"", "link", '2'},     {"", "hard", '1'},        {"", "dev", '3'},
                 {"", "", '0'},       {"", "a\\b", '0'}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char folder[64];
        struct buf archive = {0};
        cairn_error error = {0};
        test_folder(folder);
        put_entry(&archive, cases[i].prefix, cases[i].name, cases[i].type, "x", 1);
        put_end(&archive);
        if (take(folder, &archive, 100, &error) != CAIRN_E_INVALID)
            fail_msg("case %zu was taken", i);
        buf_free(&archive);
        test_remove(folder);
    }
    CHECK(untar_name_safe("a/b..c/...d") && !untar_name_safe("a/..") && !untar_name_safe("./.."));
}

/* Goal: a damaged or shortened archive is never taken for a whole one. Method: cut it at every block; flip a
 * byte of each header; a file that comes twice. */
TEST(refuses_the_damaged)
{
    struct buf archive = {0};
    cairn_error error = {0};
    put_entry(&archive, "", "a", '0', "hello", 5);
    put_entry(&archive, "", "b", '0', "world", 5);
    put_end(&archive);
    for (size_t size = 0; size < archive.size; size += 256) {
        char folder[64];
        struct buf cut = {.data = archive.data, .size = size};
        test_folder(folder);
        CHECK_INT(take(folder, &cut, 512, &error), CAIRN_E_INVALID);
        test_remove(folder);
    }
    for (size_t at = 0; at < 512; at += 37) {
        char folder[64];
        test_folder(folder);
        archive.data[at] ^= 4;
        CHECK(take(folder, &archive, 512, &error) != CAIRN_OK);
        archive.data[at] ^= 4;
        test_remove(folder);
    }
    char folder[64];
    struct buf twice = {0};
    test_folder(folder);
    put_entry(&twice, "", "a", '0', "hello", 5);
    put_entry(&twice, "", "a", '0', "again", 5);
    put_end(&twice);
    CHECK(take(folder, &twice, 512, &error) != CAIRN_OK);
    check_file(folder, "a", "hello", 5);
    test_remove(folder);
    buf_free(&twice);
    buf_free(&archive);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(takes_files_apart), RUN(refuses_what_leads_out), RUN(refuses_the_damaged)};
    return cmocka_run_group_tests_name("import_untar", tests, NULL, NULL);
}
