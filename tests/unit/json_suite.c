/* JSONTestSuite (N. Seriot, "Parsing JSON is a minefield"): y_ must be accepted, n_ must be refused, i_ is
 * free but must not crash. What is accepted makes the whole tour of base/json.h. */
#include "test.h"

#include "json_tour.h"
#include <dirent.h>

struct tally {
    unsigned files, accepted;
};

static char *
read_exactly(const char *folder, const char *name, size_t *ret_size)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    CHECK_INT(fseek(file, 0, SEEK_END), 0);
    long size = ftell(file);
    rewind(file);
    char *bytes = malloc(size > 0 ? (size_t)size : 1); /* not a byte more, so that reading beyond is seen */
    CHECK_INT(fread(bytes, 1, (size_t)size, file), size);
    fclose(file);
    *ret_size = (size_t)size;
    return bytes;
}

static void
run_file(const char *folder, const char *name, struct tally *tally)
{
    size_t size;
    char *bytes = read_exactly(folder, name, &size);
    cairn_str text = {bytes, size};
    struct json value;
    cairn_error error = {.code = CAIRN_OK};
    cairn_err err = json_check(text, &value, &error);
    struct tour tour = {.values = 0};
    tally->files++;
    if (err == CAIRN_OK) {
        tally->accepted++;
        tour_checked(&tour, text, value);
    } else {
        CHECK(err == CAIRN_E_INVALID || err == CAIRN_E_LIMIT);
        CHECK(error.code == err && strncmp(error.detail, "at byte ", 8) == 0);
        CHECK(strtoull(error.detail + 8, NULL, 10) <= size);
        tour_unchecked(&tour, json_trusted(text), 0);
    }
    arena_free(&tour.arena);
    free(bytes);
    if ((name[0] == 'y' && err != CAIRN_OK) || (name[0] == 'n' && err == CAIRN_OK))
        fail_msg("%s: %s", name, err == CAIRN_OK ? "was accepted" : error.detail);
}

/* Goal: json_check() accepts RFC 8259 and nothing else. Method: every file of the suite. */
TEST(suite_holds)
{
    const char *data = getenv("CAIRN_TEST_DATA");
    char folder[400];
    snprintf(folder, sizeof folder, "%s/jsontestsuite/test_parsing", data ? data : "../shared/data");
    DIR *dir = opendir(folder);
    if (!dir) {
        print_message("skipped: there is no %s (set CAIRN_TEST_DATA)\n", folder);
        skip();
    }
    struct tally y = {0}, n = {0}, i = {0};
    for (struct dirent *entry; (entry = readdir(dir));) {
        const char *name = entry->d_name;
        if (strncmp(name, "y_", 2) == 0)
            run_file(folder, name, &y);
        else if (strncmp(name, "n_", 2) == 0)
            run_file(folder, name, &n);
        else if (strncmp(name, "i_", 2) == 0)
            run_file(folder, name, &i);
    }
    closedir(dir);
    print_message("JSONTestSuite: y %u of %u accepted, n %u of %u refused, i %u of %u accepted\n",
                  y.accepted, y.files, n.files - n.accepted, n.files, i.accepted, i.files);
    CHECK(y.files >= 95 && n.files >= 180 && i.files >= 30); /* all of the suite was there */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {RUN(suite_holds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
