/* Where a store is, and with which options: what opening accepts and what it says when it does not. */
#include <cairn/cairn.h>

#include "test.h"

static cairn_err
try_open(const char *location, const cairn_options *options, cairn_error *error)
{
    cairn_store *store = NULL;
    cairn_err err = cairn_open(location, options, &store, error);
    CHECK((err == CAIRN_OK) == (store != NULL));
    cairn_close(store);
    return err;
}

/* Goal: a path, file:PATH and file:///PATH are the same folder.
 * Method: make a store by one, find it by the others. */
TEST(folders_have_three_spellings)
{
    char folder[64], location[80];
    test_folder(folder);
    const cairn_options create = {.create = true, .no_background = true}, find = {.no_background = true};
    CHECK_INT(try_open(folder, &find, NULL), CAIRN_E_NOTFOUND);
    CHECK_OK(try_open(folder, &create, NULL));
    snprintf(location, sizeof location, "file:%s", folder);
    CHECK_OK(try_open(location, &find, NULL));
    snprintf(location, sizeof location, "file://%s", folder);
    CHECK_OK(try_open(location, &find, NULL));
    test_remove(folder);
}

/* Goal: a backend that this build lacks is named as such.
 * Method: both spellings of PostgreSQL's scheme; read the sentence. */
TEST(databases_are_not_supported_yet)
{
    const char *locations[] = {"postgresql://localhost/cairn", "postgres://u@h/d"};
    for (int i = 0; i < 2; i++) {
        cairn_error error = {0};
        CHECK_INT(try_open(locations[i], NULL, &error), CAIRN_E_UNSUPPORTED);
        CHECK(strstr(error.detail, "PostgreSQL") && strstr(error.detail, "path"));
    }
}

/* Goal: a folder belongs to one opener; the second one is told so, and a reader may look all the same.
 * Method: open twice; open read-only beside it. */
TEST(a_folder_has_one_owner)
{
    char folder[64];
    test_folder(folder);
    const cairn_options create = {.create = true}, look = {.read_only = true};
    cairn_store *store;
    CHECK_OK(cairn_open(folder, &create, &store, NULL));
    cairn_error error = {0};
    CHECK_INT(try_open(folder, &create, &error), CAIRN_E_LOCKED);
    CHECK(strlen(error.detail) > 10);
    CHECK_OK(try_open(folder, &look, &error));
    cairn_close(store);
    CHECK_OK(try_open(folder, &create, NULL));
    test_remove(folder);
}

/* Goal: options out of their bounds are refused by name, and zeros mean defaults that fit together.
 * Method: one option at a time. */
TEST(options_have_bounds)
{
    char folder[64];
    test_folder(folder);
    const struct {
        cairn_options options;
        const char *named;
    } cases[] = {
        {{.create = true, .segment_size_bytes = 1000}, "segment_size"},
        {{.create = true, .segment_size_bytes = UINT64_C(2) << 30}, "segment_size"},
        {{.create = true, .event_size_max = 2 << 20, .append_size_max = 1 << 20}, "event_size"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cairn_error error = {0};
        CHECK_INT(try_open(folder, &cases[i].options, &error), CAIRN_E_INVALID);
        CHECK(strstr(error.detail, cases[i].named));
    }
    const cairn_options small = {.create = true, .append_size_max = 100000};
    CHECK_OK(try_open(folder, &small, NULL));
    test_remove(folder);
}

/* Goal: calls without a store, or without what they need, answer instead of crashing.
 * Method: NULL for each. */
TEST(null_is_an_answer)
{
    cairn_error error = {0};
    cairn_at at;
    const cairn_event event = {.type = CAIRN_STR("T")};
    CHECK_INT(cairn_append(NULL, 0, CAIRN_STR("s"), CAIRN_ANY, &event, 1, &at, &error),
              CAIRN_E_INVALID);
    CHECK_INT(cairn_append_all(NULL, NULL, NULL, NULL), CAIRN_E_INVALID);
    CHECK_INT(cairn_read_all(NULL, NULL, NULL, NULL), CAIRN_E_INVALID);
    CHECK_INT(cairn_reader_next(NULL, NULL, &error), CAIRN_E_INVALID);
    CHECK_INT(cairn_reader_wait(NULL, 1), CAIRN_E_INVALID);
    CHECK_INT(cairn_group_take(NULL, 0, CAIRN_STR("g"), 1, NULL, NULL, NULL), CAIRN_E_INVALID);
    CHECK_INT(cairn_group_status_get(NULL, 0, (cairn_str){0}, NULL, NULL, NULL), CAIRN_E_INVALID);
    CHECK_INT(cairn_verify(NULL, NULL, NULL, NULL, NULL, NULL), CAIRN_E_INVALID);
    CHECK(cairn_end(NULL) == 0);
    cairn_close(NULL);
    cairn_reader_free(NULL);
    cairn_free(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(folders_have_three_spellings), RUN(databases_are_not_supported_yet),
        RUN(a_folder_has_one_owner),       RUN(options_have_bounds),
        RUN(null_is_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
